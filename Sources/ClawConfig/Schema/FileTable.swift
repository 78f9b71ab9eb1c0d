// The sections of the file, in the order they are read: routes refer to upstreams, and both take defaults from server.

enum FileTable {
    static func make() -> Table<Configuration> {
        Table(options: [
            .section("server", \.server, ServerTable.make(), Server(), "The listeners and their limits."),
            gateway(),
            UpstreamTable.option(),
            RouteTable.option(),
            CatalogueTable.option(),
            .section("security", \.security, SecurityTable.make(), Security(), "Who may use the gateway."),
            .section("logging", \.logging, LoggingTable.make(), Logging(), "The log."),
            .section("metrics", \.metrics, MetricsTable.make(), Metrics(), "Metrics of the admin listener."),
            ModelRoutingTable.option(.snake),
            ModelRoutingTable.option(.camel),
            .later("rate_limits", "Limits on requests and tokens."),
            .later("caching", "Cached answers."),
            .later("transformations", "Changes to requests and answers."),
            .later("storage", "Where keys and usage are kept."),
            .later("shared_state", "State shared between instances."),
        ])
    }

    /// `gateway` of openclaw.json: other names for three options of server.
    private static func gateway() -> Option<Configuration> {
        let table = Table<Configuration>(options: [
            Option(key: "bind", type: "address, :port, address:port or loopback",
                   doc: "As `server.listen_address` and `server.listen_port`; what it does not say stays as it is. `loopback` is 127.0.0.1.",
                   read: { configuration, node, key, loading in
                       guard let text = loading.text(node, key, expected: bindForm) else { return }
                       guard let bind = bind(text.string) else { return loading.error(node.place, key, "expected \(bindForm), found \(text.shown)") }
                       if let address = bind.address {
                           configuration.server.listenAddress = address
                           loading.bindKeys.insert("listen_address")
                           loading.note(node, "server.listen_address", text.names)
                       }
                       if let port = bind.port {
                           configuration.server.listenPort = port
                           loading.bindKeys.insert("listen_port")
                           loading.note(node, "server.listen_port", text.names)
                       }
                   },
                   write: { _ in nil }),
            Option(key: "requestTimeoutMs", type: "1…86400000", doc: "As `server.timeout_seconds`, in milliseconds.",
                   read: { configuration, node, key, loading in
                       guard let value = loading.integer(node, key, 1...86_400_000) else { return }
                       configuration.server.timeoutNanoseconds = UInt64(value) * 1_000_000
                       loading.note(node, "server.timeout_seconds")
                   },
                   write: { _ in nil }),
        ])
        return Option(key: "gateway", type: "map", doc: "Names of openclaw.json for options of `server`.", children: { table.rows(Configuration()) },
                      read: { configuration, node, key, loading in table.read(node, into: &configuration, at: key, loading) },
                      write: { _ in nil })
    }

    private static let bindForm = "an IP address, localhost or loopback, with or without :port, or :port"

    private static func bind(_ text: String) -> (address: String?, port: UInt16?)? {
        var host = Substring(text), port: UInt16?
        // More than one colon and no bracket: an IPv6 address without a port.
        if let colon = text.lastIndex(of: ":"), text.hasPrefix("[") ? text[..<colon].hasSuffix("]") : text.firstIndex(of: ":") == colon {
            guard let number = Scalars.integer(String(text[text.index(after: colon)...])), let value = UInt16(exactly: number) else { return nil }
            (host, port) = (text[..<colon], value)
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        if host.isEmpty { return port.map { (nil, $0) } }
        let address = host == "loopback" ? "127.0.0.1" : String(host)
        return Address.problem(address) == nil && !Address.isUnix(address) ? (address, port) : nil
    }

    static func check(_ configuration: inout Configuration, _ root: DocumentNode, _ loading: Loading) {
        if let server = root.member("server"), let gateway = root.member("gateway") {
            let pairs = loading.bindKeys.sorted().map { ("bind", $0) } + [("requestTimeoutMs", "timeout_seconds")]
            for (one, other) in pairs {
                if let place = gateway.member(one)?.place, server.member(other) != nil {
                    loading.error(place, "gateway.\(one)", "give either server.\(other) or gateway.\(one)")
                }
            }
        }
        ServerTable.check(&configuration, root, loading)
        ListenerTable.checkRoutes(configuration, root, loading)
        SecurityTable.check(configuration, root, loading)
        ModelRoutingTable.check(configuration, root, loading)
        LoggingTable.check(configuration, root, loading)
    }
}
