import CClaw
import ClawConfig
import ClawEngine
import ClawLoad
import Glibc

/// The gateway process itself: loads the configuration, starts the gateway and its admin listener, and then serves signals until it has ended.
struct GatewayProcess {
    enum Source {
        case file(String), demo
        /// Empty for the demo, which has no file.
        var path: String { if case .file(let path) = self { path } else { "" } }
    }
    let source: Source
    private var mock: MockServer?

    init(source: Source) { self.source = source }

    mutating func run() -> Int32 {
        let begin = claw_monotonic_ns()
        guard let configuration = load() else { return 78 }
        OperatorLog.setLevel(configuration.logging.level.rawValue)
        let gateway: Gateway
        let admin: AdminServer
        do {
            gateway = try Gateway(configuration) { level, text in operatorMessage(level.rawValue, text) }
            try gateway.start()
            let source = self.source
            admin = AdminServer(gateway: gateway) { reload(gateway, source) }
            try admin.start()
        } catch {
            operatorMessage("error", error.description)
            if case .plan = error { return 78 }
            return 69
        }
        announce(configuration, gateway, admin, milliseconds: (claw_monotonic_ns() &- begin) / 1_000_000)
        return serveSignals(gateway, admin)
    }

    private func announce(_ configuration: Configuration, _ gateway: Gateway, _ admin: AdminServer, milliseconds: UInt64) {
        let url = gateway.addresses.first?.url ?? "nowhere"
        let adminAddress = "\(configuration.server.admin.listenAddress):\(admin.port)"
        operatorMessage("info", "serving on \(url), admin on http://\(adminAddress), \(gateway.backendName), \(gateway.workerTotal) workers, configuration \(configuration.version.prefix(12)), ready in \(milliseconds) ms")
        for further in gateway.addresses.dropFirst() { operatorMessage("info", "listener \(further.name) is at \(further.url)") }
        guard case .demo = source else { return }
        let model = configuration.upstreams.first?.models.first?.alias ?? "gpt-4o-mini"
        let text = """

            OpenClaw Gateway is serving on \(url)
            upstream: \(mock == nil ? "OpenAI" : "the built-in mock model (set OPENAI_API_KEY to talk to OpenAI)")

            Stream a completion:
              curl -N \(url)/v1/chat/completions -H 'content-type: application/json' \\
                -d '{"model":"\(model)","stream":true,"messages":[{"role":"user","content":"Hello!"}]}'

            Metrics: http://\(adminAddress)/metrics   Health: http://\(adminAddress)/health   Status: http://\(adminAddress)/admin/status


            """
        _ = text.withCString { write(2, $0, strlen($0)) }
    }

    // MARK: configuration

    private mutating func load() -> Configuration? {
        var demoText: String?
        if case .demo = source {
            do { demoText = try makeDemo() } catch {
                operatorMessage("error", "\(error)")
                return nil
            }
        }
        let result = demoText.map { loadConfiguration(text: $0, name: "demo", environment: environment()) } ?? Self.read(source)
        report(result.issues)
        return result.configuration
    }

    static func read(_ source: Source) -> ConfigurationLoad {
        guard case .file(let path) = source else { return ConfigurationLoad(configuration: nil, issues: []) }
        return loadConfiguration(path: path, environment: environment())
    }

    /// With a key: OpenAI. Without: a mock model on a free port of this machine, in this process.
    private mutating func makeDemo() throws -> String {
        let port = environment()["OPENCLAW_PORT"] ?? "8080"
        let adminPort = environment()["OPENCLAW_ADMIN_PORT"] ?? "9901"
        let server = "server:\n  listen_port: \(port)\n  admin:\n    listen_port: \(adminPort)\n"
        if environment()["OPENAI_API_KEY"]?.isEmpty == false {
            return server + "upstreams:\n  openai:\n    type: openai\n    api_key: ${OPENAI_API_KEY}\n"
        }
        var options = MockOptions()
        _ = options.script.set("ttft-ms", "120")
        _ = options.script.set("rate", "40")
        let mock = try MockServer(options: options)
        try mock.start()
        self.mock = mock
        return server + """
            upstreams:
              mock:
                type: generic
                base_url: http://127.0.0.1:\(mock.port)/v1
                models: [gpt-4o-mini, gpt-4o, mock-model, text-embedding-3-small]
            """
    }

    // MARK: signals

    private func serveSignals(_ gateway: Gateway, _ admin: AdminServer) -> Int32 {
        var watched = FileStamp(source.path)
        while true {
            let signal = claw_signals_wait(gateway.isDraining ? 50_000_000 : 1_000_000_000)
            switch signal {
            case SIGHUP: _ = reload(gateway, source)
            case SIGTERM, SIGINT:
                let again = gateway.isDraining
                operatorMessage("info", again ? "told twice to end: ending now" : "draining: no new connections, what runs may finish")
                gateway.drain(now: again)
            case SIGQUIT: gateway.drain(now: true)
            default: break
            }
            gateway.collectPlans()
            gateway.drainEvents()
            if !gateway.isDraining { gateway.lookAtCertificates() }
            if gateway.configuration.server.watchConfig, !gateway.isDraining {
                let stamp = FileStamp(source.path)
                if stamp != watched {
                    watched = stamp
                    _ = reload(gateway, source)
                }
            }
            if gateway.isDraining, gateway.hasEnded {
                gateway.join()
                admin.stop()
                operatorMessage("info", "ended")
                return 0
            }
        }
    }
}

/// Reads the source again and puts it in force; what speaks against it, or nil.
func reload(_ gateway: Gateway, _ source: GatewayProcess.Source) -> String? {
    if case .demo = source {
        gateway.reloadRefused("the demo has no file to read again")
        return "the demo has no file to read again"
    }
    let result = GatewayProcess.read(source)
    report(result.issues)
    guard let configuration = result.configuration else {
        let problem = result.issues.first.map { "\($0)" } ?? "unusable configuration"
        gateway.reloadRefused(problem)
        return result.issues.filter { $0.severity == .error }.map { "\($0)" }.joined(separator: "\n")
    }
    OperatorLog.setLevel(configuration.logging.level.rawValue)
    return gateway.reload(configuration)
}

func report(_ issues: [ConfigurationIssue]) {
    for issue in issues { operatorMessage(issue.severity == .error ? "error" : "warn", "\(issue)") }
}

/// The process's environment variables.
func environment() -> [String: String] {
    var found: [String: String] = [:]
    var at = environ
    while let entry = at.pointee {
        let text = String(cString: entry)
        if let equal = text.firstIndex(of: "=") { found[String(text[..<equal])] = String(text[text.index(after: equal)...]) }
        at += 1
    }
    return found
}
