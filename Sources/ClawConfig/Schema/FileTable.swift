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
            .later("model_routing", "Profiles and rules that choose a model."),
            .later("modelRouting", "As `model_routing`."),
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
            Option(key: "bind", type: "host:port", doc: "As `server.listen_address` and `server.listen_port`.",
                   read: { configuration, node, key, loading in
                       guard let text = loading.text(node, key, expected: "host:port") else { return }
                       guard let colon = text.string.lastIndex(of: ":"), let port = Scalars.integer(String(text.string[text.string.index(after: colon)...])),
                             let port = UInt16(exactly: port) else { return loading.error(node.place, key, "expected host:port, found \(text.shown)") }
                       var host = String(text.string[..<colon])
                       if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
                       if Address.problem(host) != nil || host.hasPrefix("unix:") { return loading.error(node.place, key, "expected host:port with an IP address or localhost, found \(text.shown)") }
                       (configuration.server.listenAddress, configuration.server.listenPort) = (host, port)
                       loading.note(node, "server.listen_address", text.names)
                       loading.note(node, "server.listen_port", text.names)
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

    static func check(_ configuration: inout Configuration, _ root: DocumentNode, _ loading: Loading) {
        if let server = root.member("server"), let gateway = root.member("gateway") {
            let pairs = [("bind", "listen_address"), ("bind", "listen_port"), ("requestTimeoutMs", "timeout_seconds")]
            for (one, other) in pairs {
                if let place = gateway.member(one)?.place, server.member(other) != nil {
                    loading.error(place, "gateway.\(one)", "give either server.\(other) or gateway.\(one)")
                }
            }
        }
        ServerTable.check(&configuration, root, loading)
        ListenerTable.checkRoutes(configuration, root, loading)
        LoggingTable.check(configuration, root, loading)
    }
}
