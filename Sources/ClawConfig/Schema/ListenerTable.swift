// Where clients connect: server.listeners, and the limits of HTTP/2 on them. The listener that `listen_address` and `listen_port` describe is called
// "main" and comes first; it is left out when the file gives `listeners` and says nothing about it.

enum ListenerTable {
    enum Limit {
        /// A route names listeners by the bits of one word.
        static let listenersMax = 64
    }
    static let mainName = "main"
    /// Keys of server that describe the main listener.
    private static let mainKeys = ["listen_address", "listen_port", "tls"]

    static func option() -> Option<Server> {
        let table = make()
        return Option(key: "listeners", type: "list of listeners",
                      doc: "Further places where clients connect. Where `listen_address`, `listen_port` and `tls` are all absent, these are the only ones.",
                      children: { Names.listed(table.rows(Listener(name: ""))) },
                      read: { server, node, key, loading in readAll(&server, node, key, table, loading) },
                      write: { server in
                          let listed = server.listeners.filter { $0.name != mainName }
                          return listed.isEmpty ? nil : .array(listed.map(table.write))
                      })
    }

    private static func readAll(_ server: inout Server, _ node: DocumentNode, _ key: String, _ table: Table<Listener>, _ loading: Loading) {
        guard let items = Names.items(node, key, 1...Limit.listenersMax, loading) else { return }
        for (index, item) in items.enumerated() {
            var listener = Listener(name: "")
            table.read(item, into: &listener, at: "\(key)[\(index)]", loading)
            server.listeners.append(listener)
        }
    }

    private static func make() -> Table<Listener> {
        Table(options: [
            .text("name", type: "a name", \.name, "Name in logs, metrics and `match.listener`; `main` is taken.") {
                Names.isName($0) ? $0 == mainName ? "main is the listener of listen_address and listen_port" : nil : "expected a name of \(Names.rule)"
            }.required(),
            .text("address", type: "an IP address, `localhost` or `unix:/path`", \.address,
                  "Where clients connect. Beyond loopback, `security.keys`, `tls.client_auth: required` or `security.allow_unauthenticated` is needed.", check: Address.problem),
            Option(key: "port", type: "0…65535", doc: "Port for clients; 0 takes a free one. Required unless the address is a unix socket.", defaultText: "required",
                   read: { listener, node, key, loading in if let port = loading.integer(node, key, 0...65535) { listener.port = UInt16(port) } },
                   write: { Address.isUnix($0.address) ? nil : .integer(Int($0.port)) }),
            ServerTLSTable.option(\.tls, "TLS for clients of this listener, with the options of `server.tls`; without it: clear text.", withChildren: false),
            protocols(),
            .flag("proxy_protocol", \.proxyProtocol, "Each connection has to begin with a PROXY header (v1 or v2), whose source address is taken for the client's."),
        ])
    }

    private static func protocols() -> Option<Listener> {
        let names = Listener.HTTPVersion.allCases.map(\.rawValue).joined(separator: ", ")
        return Option(key: "protocols", type: "list of h2, http/1.1", doc: "What is spoken: by ALPN over TLS, by the first bytes in clear text.",
                      read: { listener, node, key, loading in
                          guard let items = Names.oneOrMany(node, key, Listener.HTTPVersion.allCases.count, loading) else { return }
                          var found: [Listener.HTTPVersion] = []
                          for item in items {
                              guard let version = chosen(item, key, loading, Listener.HTTPVersion.self, later: []) else { continue }
                              if found.contains(version) { loading.error(item.place, key, "expected each of \(names) once") }
                              found.append(version)
                          }
                          listener.protocols = found
                      },
                      write: { .array($0.protocols.map { .text($0.rawValue) }) })
    }

    // MARK: All of them

    /// Puts the main listener in front, and checks what only all of them together show.
    static func check(_ configuration: inout Configuration, _ root: DocumentNode, _ loading: Loading) {
        let node = root.member("server"), items = node?.member("listeners")?.items ?? []
        func placeOf(_ key: String) -> Place { node?.member(key)?.place ?? node?.place ?? root.place }
        let isMainGiven = mainKeys.contains { node?.member($0) != nil } || root.member("gateway")?.member("bind") != nil
        let listed = configuration.server.listeners
        // Keys that are wrong have been complained of.
        let isGuarded = configuration.security.allowUnauthenticated || root.member("security")?.member("keys") != nil
        for (index, listener) in listed.enumerated() where index < items.count {
            let path = "server.listeners[\(index)]", item = items[index]
            if let port = item.member("port"), Address.isUnix(listener.address) {
                loading.error(port.place, "\(path).port", "has no effect on a unix socket")
            } else if item.member("port") == nil, item.members != nil, !Address.isUnix(listener.address) {
                loading.error(item.place, "\(path).port", "missing; expected 0…65535")
            }
            if !Address.isLocal(listener.address), listener.tls?.clientAuth != .required, !isGuarded {
                loading.error(item.member("address")?.place ?? item.place, "\(path).address", reachable(listener.address))
            }
        }
        if listed.isEmpty || isMainGiven {
            var main = Listener(name: mainName)
            main.address = configuration.server.listenAddress
            main.port = configuration.server.listenPort
            main.tls = configuration.server.tls
            if !Address.isLocal(main.address), main.tls?.clientAuth != .required, !isGuarded {
                let bind = node?.member("listen_address") == nil ? root.member("gateway")?.member("bind") : nil
                loading.error(bind?.place ?? placeOf("listen_address"), bind == nil ? "server.listen_address" : "gateway.bind", reachable(main.address))
            }
            configuration.server.listeners = [main] + listed
        }
        if configuration.server.listeners.count > Limit.listenersMax {
            loading.error(placeOf("listeners"), "server.listeners",
                          "expected at most \(Limit.listenersMax) listeners with the one of listen_address and listen_port, found \(configuration.server.listeners.count)")
        }
        checkDistinct(configuration.server, items, placeOf, node, loading)
    }

    private static func reachable(_ address: String) -> String {
        "\(address) is reachable from other machines and no access control is configured; "
            + "listen on 127.0.0.1, give security.keys, or write security.allow_unauthenticated: true if everybody may use your keys"
    }

    /// No name and no place twice; the admin listener's place included.
    private static func checkDistinct(_ server: Server, _ items: [DocumentNode], _ placeOf: (String) -> Place, _ node: DocumentNode?, _ loading: Loading) {
        let offset = server.listeners.count - items.count
        var names: [String: Int] = [:], places: [String: (name: String, place: Place)] = [:]
        for (index, listener) in server.listeners.enumerated() {
            let item = index >= offset && index - offset < items.count ? items[index - offset] : nil
            let path = item == nil ? "server" : "server.listeners[\(index - offset)]"
            let line = (item?.member("name")?.place ?? item?.place)?.line ?? placeOf("listen_address").line
            if !listener.name.isEmpty, let first = names.updateValue(line, forKey: listener.name), let item {
                loading.error(item.member("name")?.place ?? item.place, "\(path).name", "duplicate name \"\(listener.name)\", first at line \(first)")
            }
            guard let place = Address.place(listener.address, listener.port) else { continue }
            // Without a port (an error by itself) two would be the same by accident.
            if let item, item.member("port") == nil, !Address.isUnix(listener.address) { continue }
            let written = item.map { ($0.member("port") ?? $0.member("address") ?? $0).place } ?? placeOf("listen_port")
            if let first = places.updateValue((item == nil ? "server.listen_address and server.listen_port" : path, written), forKey: place), item != nil {
                loading.error(written, path, "the same address as \(first.name)")
            }
        }
        let adminNode = node?.member("admin")
        if let place = Address.place(server.admin.listenAddress, server.admin.listenPort), let first = places[place] {
            loading.error(adminNode?.member("listen_port")?.place ?? first.place, "server.admin.listen_port", "the same address as \(first.name)")
        }
    }

    /// `match.listener` and `match.client_certificate` of all routes: which listeners there are is known only now.
    static func checkRoutes(_ configuration: Configuration, _ root: DocumentNode, _ loading: Loading) {
        guard let items = root.member("routes")?.items, items.count == configuration.routes.count else { return }
        let names = configuration.server.listeners.map(\.name)
        for (index, route) in configuration.routes.enumerated() {
            guard let match = items[index].member("match") else { continue }
            let path = "\(RouteTable.path(items[index], index)).match"
            if let node = match.member("listener") {
                for name in route.match.listeners where !names.contains(name) {
                    let place = node.items?.first { if case .scalar(name, _) = $0.value { true } else { false } }?.place ?? node.place
                    loading.error(place, "\(path).listener", "no listener has the name \(Loading.printable(name, 60))\(Suggestion.hint(for: name, among: names))")
                }
            }
            if let node = match.member("client_certificate"), route.match.clientSubject != nil || route.match.clientName != nil {
                let reached = configuration.server.listeners.filter { route.match.listeners.isEmpty || route.match.listeners.contains($0.name) }
                if !reached.isEmpty, reached.allSatisfy({ $0.tls.map { $0.clientAuth == .none } ?? true }) {
                    loading.error(node.place, "\(path).client_certificate", "no listener of this route asks for client certificates (tls.client_ca)")
                }
            }
        }
    }
}

enum HTTP2Table {
    static func make() -> Table<HTTP2> {
        Table(options: [
            .integer("max_concurrent_streams", 1...10_000, \.streamsMax, "Requests at one time on a connection; beyond: REFUSED_STREAM."),
            .integer("max_resets", 1...1_000_000, \.resetsMax, "Requests of a connection that may be reset before their answer began, at once; beyond: GOAWAY."),
            .integer("resets_per_second", 1...1_000_000, \.resetsPerSecond, "How many more each second."),
            .integer("max_control_frames", 1...1_000_000, \.controlFramesMax, "SETTINGS, PING, PRIORITY, empty DATA and frames that do nothing, at once; beyond: GOAWAY."),
            .integer("control_frames_per_second", 1...1_000_000, \.controlFramesPerSecond, "How many more each second."),
            .integer("max_continuations", 1...1000, \.continuationsMax, "CONTINUATION frames of one head; beyond: GOAWAY."),
            .integer("stream_window_kb", 16...1_048_576, \.streamWindowBytes, unit: 1 << 10, "Request bytes that may be under way on one stream (KiB)."),
            .integer("connection_window_kb", 64...1_048_576, \.connectionWindowBytes, unit: 1 << 10, "Request bytes that may be under way on one connection (KiB)."),
            .seconds("ping_seconds", 0...3600, \.pingNanoseconds, "A connection with requests and without bytes for so long is asked with PING, and closed after as long again; 0: never."),
            .flag("websocket", \.webSocket, "Offers WebSocket over HTTP/2 (RFC 8441)."),
        ])
    }
}
