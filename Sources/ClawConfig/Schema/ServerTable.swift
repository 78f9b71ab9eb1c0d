// server, its admin listener, logging and metrics: the sections that are plain options.

import Glibc

enum ServerTable {
    static func make() -> Table<Server> {
        Table(options: [
            .text("listen_address", type: "an IP address, `localhost` or `unix:/path`", \.listenAddress,
                  "Where clients connect. Beyond loopback, `security.keys`, `tls.client_auth: required` or `security.allow_unauthenticated` has to say that this is meant.",
                  check: Address.problem).shown(where: \.hasMain),
            Option.integer("listen_port", 0...65535, \.listenPort, "Port for clients; 0 takes a free one.").shown(where: \.hasMain),
            ServerTLSTable.option(\.tls, "TLS for clients that connect there; without it: clear text. Changed files are taken up within seconds.", withChildren: true),
            ListenerTable.option(),
            .section("http2", \.http2, HTTP2Table.make(), HTTP2(), "HTTP/2 towards clients."),
            .integer("max_handshakes", 1...1_000_000, \.handshakesMax, "TLS handshakes under way at one time; beyond, new connections are closed."),
            .seconds("handshake_timeout_seconds", 0.001...3600, \.handshakeTimeoutNanoseconds, "Time for a TLS handshake, or for a PROXY header; beyond: close."),
            .seconds("timeout_seconds", 0.001...86400, \.timeoutNanoseconds, "Whole upstream request, unless the upstream or the route says otherwise."),
            workers(),
            .choice("io_backend", \.ioBackend, "Kernel interface of the workers' loops; `auto` is epoll, which measured best over all loads; io_uring falls back to epoll where the kernel refuses it."),
            .seconds("drain_seconds", 0...86400, \.drainNanoseconds, "On SIGTERM: how long streams in flight may take to finish."),
            .integer("max_body_mb", 1...4095, \.bodyBytesMax, unit: 1 << 20, "Largest request body (MiB); beyond: 413."),
            .integer("max_header_kb", 1...1024, \.headBytesMax, unit: 1 << 10, "Largest request head (KiB); beyond: 431."),
            .integer("max_target_kb", 1...1024, \.targetBytesMax, unit: 1 << 10,
                     "Longest request target (KiB); beyond: 414. Never more than `max_header_kb`."),
            .integer("max_header_fields", 1...128, \.fieldsMax, "Most header lines of a request; beyond: 431."),
            .integer("max_connections", 1...1_000_000, \.connectionsMax, "Client connections at one time; beyond: 503."),
            .integer("max_answer_mb", 1...4095, \.answerBytesMax, unit: 1 << 20, "Largest answer that is held whole, to be written in another dialect (MiB); beyond: 502."),
            .flag("drop_unsupported", \.dropUnsupported, "Default of `upstreams.*.drop_unsupported`."),
            .integer("max_body_memory_mb", 1...1_048_576, \.bodyMemoryBytesMax, unit: 1 << 20,
                     "Memory for request bodies over all requests (MiB); beyond: 503. Not less than `max_body_mb`."),
            .integer("stream_buffer_kb", 4...65536, \.streamBufferBytes, unit: 1 << 10,
                     "Answer bytes held for a slow client (KiB); beyond, its upstream is paused."),
            .seconds("idle_timeout_seconds", 0.001...86400, \.idleTimeoutNanoseconds, "Keep-alive connection without a request."),
            .seconds("header_timeout_seconds", 0.001...3600, \.headerTimeoutNanoseconds, "Time to receive a complete head; beyond: 408."),
            .seconds("body_timeout_seconds", 0.001...86400, \.bodyTimeoutNanoseconds, "Time to receive a complete body; beyond: 408."),
            .seconds("write_timeout_seconds", 0.001...86400, \.writeTimeoutNanoseconds, "Time without progress while writing to a client."),
            .seconds("tunnel_idle_seconds", 0.001...604_800, \.tunnelIdleNanoseconds, "WebSocket or other tunnel through which nothing moves in either direction."),
            .seconds("sse_ping_seconds", 0...3600, \.ssePingNanoseconds, "Sends `: ping` comments on event streams that often while a model thinks; 0: never."),
            .integer("max_requests_per_connection", 0...1_000_000_000, \.requestsPerConnectionMax,
                     "Requests answered on one connection before it is closed politely; 0: no limit."),
            .flag("watch_config", \.watchConfig, "Reload when the configuration file changes."),
            .section("admin", \.admin, admin(), Admin(), "Separate listener for /health, /ready, /metrics and /admin."),
        ])
    }

    private static func admin() -> Table<Admin> {
        Table(options: [
            .text("listen_address", type: "an IP address, `localhost` or `unix:/path`", \.listenAddress,
                  "Address of the admin listener. Beyond loopback, `token` is needed.", check: Address.problem),
            .integer("listen_port", 0...65535, \.listenPort, "Port of the admin listener; 0 takes a free one."),
            .secret("token", \.token, "Bearer token that /admin asks for."),
        ])
    }

    private static func workers() -> Option<Server> {
        Option(key: "workers", type: "auto or 1…1024", doc: "Worker threads; `auto` is one per core.", defaultText: "\"auto\"",
               read: { server, node, key, loading in
                   guard let text = loading.text(node, key, expected: "auto or 1…1024") else { return }
                   if text.string == "auto" {
                       server.workers = nil
                   } else if let value = Scalars.integer(text.string), (1...1024).contains(value) {
                       server.workers = value
                   } else {
                       loading.error(node.place, key, "expected auto or 1…1024, found \(text.shown)\(Scalars.numberHint(text.string))")
                   }
               },
               write: { $0.workers.map { .integer($0) } ?? .text("auto") })
    }

    /// What only the whole section shows.
    static func check(_ configuration: inout Configuration, _ root: DocumentNode, _ loading: Loading) {
        let node = root.member("server"), place = node?.place ?? root.place
        func placeOf(_ key: String) -> Place { node?.member(key)?.place ?? place }
        if configuration.server.targetBytesMax > configuration.server.headBytesMax {
            if node?.member("max_target_kb") != nil {
                loading.error(placeOf("max_target_kb"), "server.max_target_kb",
                              "expected at most server.max_header_kb (\(configuration.server.headBytesMax >> 10)), found \(configuration.server.targetBytesMax >> 10)")
            }
            configuration.server.targetBytesMax = configuration.server.headBytesMax
        }
        if configuration.server.bodyMemoryBytesMax < configuration.server.bodyBytesMax {
            if node?.member("max_body_memory_mb") != nil {
                loading.error(placeOf("max_body_memory_mb"), "server.max_body_memory_mb",
                              "expected at least server.max_body_mb (\(configuration.server.bodyBytesMax >> 20)), found \(configuration.server.bodyMemoryBytesMax >> 20)")
            }
            configuration.server.bodyMemoryBytesMax = configuration.server.bodyBytesMax
        }
        ListenerTable.check(&configuration, root, loading)
        let server = configuration.server
        let adminNode = node?.member("admin")
        if !Address.isLocal(server.admin.listenAddress), server.admin.token == nil, adminNode?.member("token") == nil {
            loading.error(adminNode?.member("listen_address")?.place ?? placeOf("admin"), "server.admin.listen_address",
                          "\(server.admin.listenAddress) is reachable from other machines; set server.admin.token")
        }
    }
}

enum LoggingTable {
    static func make() -> Table<Logging> {
        Table(options: [
            .choice("format", \.format, "One JSON object per line, or text for people."),
            .choice("level", \.level, "Least severity that is written."),
            Option(key: "output", type: "one of stdout, file, off", doc: "Where lines go; `file` needs `path`.",
                   read: { logging, node, key, loading in
                       guard let choice = chosen(node, key, loading, Kind.self, later: []) else { return }
                       switch choice {
                       case .stdout: logging.output = .stdout
                       case .off: logging.output = .off
                       case .file: if case .file = logging.output {} else { logging.output = .file(path: "", rotateBytes: nil) }
                       }
                   },
                   write: { logging in
                       switch logging.output { case .stdout: .text("stdout"); case .off: .text("off"); case .file: .text("file") }
                   }),
            Option(key: "path", type: "a path", doc: "File of `output: file`.",
                   read: { logging, node, key, loading in
                       guard let text = loading.text(node, key, expected: "a path") else { return }
                       guard !text.string.isEmpty, !text.string.utf8.contains(0) else { return loading.error(node.place, key, "expected a path, found \(text.shown)") }
                       guard case .file(_, let rotate) = logging.output else { return loading.error(node.place, key, "has no effect without logging.output: file") }
                       logging.output = .file(path: text.string, rotateBytes: rotate)
                   },
                   write: { if case .file(let path, _) = $0.output { .text(path) } else { nil } }),
            Option(key: "rotate_mb", type: "1…1048576", doc: "Starts a new file at this size (MiB); none: never.",
                   read: { logging, node, key, loading in
                       guard let size = loading.integer(node, key, 1...1_048_576) else { return }
                       guard case .file(let path, _) = logging.output else { return loading.error(node.place, key, "has no effect without logging.output: file") }
                       logging.output = .file(path: path, rotateBytes: size << 20)
                   },
                   write: { if case .file(_, let rotate?) = $0.output { .integer(rotate >> 20) } else { nil } }),
            .decimal("sample", 0...1, \.sample, "Share of well-ended requests that get a line; failed ones always do."),
            .integer("buffer_kb", 16...1_048_576, \.ringBytes, unit: 1 << 10, "Memory between a worker and the writer (KiB); when full, lines are dropped and counted."),
            Option(key: "bodies", type: "none", doc: "Whether bodies are logged; `redacted` and `full` are not available in this version.", defaultText: "\"none\"",
                   read: { _, node, key, loading in _ = chosen(node, key, loading, Bodies.self, later: ["redacted", "full"]) },
                   write: { _ in .text("none") }),
        ])
    }

    static func check(_ configuration: Configuration, _ root: DocumentNode, _ loading: Loading) {
        if case .file(path: "", _) = configuration.logging.output, let node = root.member("logging"), node.member("path") == nil {
            loading.error(node.member("output")?.place ?? node.place, "logging.path", "missing; logging.output: file needs it")
        }
    }

    private enum Kind: String, CaseIterable { case stdout, file, off }
    private enum Bodies: String, CaseIterable { case none }
}

enum MetricsTable {
    static func make() -> Table<Metrics> {
        Table(options: [
            .integer("max_series", 100...16_000, \.seriesMax, "Series per worker, over all metrics; what goes beyond is counted under `other`."),
            .later("tenant_label", "A label with the tenant."),
        ])
    }
}

extension Server {
    /// Whether `listen_address` and `listen_port` are in use.
    var hasMain: Bool { listeners.isEmpty || listeners[0].name == ListenerTable.mainName }
}

/// Listen addresses.
enum Address {
    /// What is wrong with it, nil if nothing is.
    static func problem(_ text: String) -> String? {
        if text.hasPrefix("unix:") {
            let path = text.dropFirst(5)
            // sockaddr_un has 108 bytes, the last one zero.
            return path.hasPrefix("/") && path.utf8.count <= 107 && !path.utf8.contains(0) ? nil : "expected an absolute path of at most 107 bytes after unix:"
        }
        if text == "localhost" || isIPv4(text) || isIPv6(text) { return nil }
        return text == "*" ? "expected an IP address, `localhost` or `unix:/path` (0.0.0.0 for all)" : "expected an IP address, `localhost` or `unix:/path`"
    }

    static func isUnix(_ text: String) -> Bool { text.hasPrefix("unix:") }

    /// A text that is the same exactly when the socket would be; nil where there is none to clash with (port 0).
    static func place(_ text: String, _ port: UInt16) -> String? {
        if isUnix(text) { return text }
        guard port != 0 else { return nil }
        var address = in6_addr()
        guard inet_pton(AF_INET6, text, &address) == 1 else { return "\(text == "localhost" ? "127.0.0.1" : text):\(port)" }
        return "[\(withUnsafeBytes(of: address) { $0.map { String($0) }.joined(separator: ",") })]:\(port)"
    }

    /// Not reachable from other machines.
    static func isLocal(_ text: String) -> Bool {
        isUnix(text) || text == "localhost" || (isIPv4(text) && text.hasPrefix("127.")) || (isIPv6(text) && isLoopbackIPv6(text))
    }

    static func isIPv4(_ text: String) -> Bool {
        var address = in_addr()
        return inet_pton(AF_INET, text, &address) == 1
    }

    static func isIPv6(_ text: String) -> Bool {
        var address = in6_addr()
        return inet_pton(AF_INET6, text, &address) == 1
    }

    private static func isLoopbackIPv6(_ text: String) -> Bool {
        var address = in6_addr()
        guard inet_pton(AF_INET6, text, &address) == 1 else { return false }
        return withUnsafeBytes(of: address) { bytes in bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1 }
    }
}
