// `openclaw mock`: the mock upstream as a process of its own. Each setting of MockScript is a flag here and a header there.
import ArgumentParser
import CClaw
import ClawLoad

struct Mock: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mock",
        abstract: "Serve a mock model that speaks OpenAI's API: for demos, tests and load tests.",
        discussion: """
        Paths: POST /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses; GET /v1/models, /v1/models/{id}; /bytes/{n};
        anything else is echoed as JSON (method, path, query, headers, length and SHA-256 of the body).
        GET /mock/stats counts what was served, GET /mock/last?n= shows the last requests, POST /mock/reset begins anew.

        Settings (as `--set name=value` for all requests, as header `x-mock-name: value` for one):
        \(MockScript.settings.map { "  " + $0.name.padding(toLength: 14) + $0.help }.joined(separator: "\n"))
        """
    )

    @Option(help: "IP address to listen on.") var address = "127.0.0.1"
    @Option(help: "Port; 0 takes a free one.") var port: UInt16 = 9001
    @Option(help: "Worker threads, each with a listener of its own.") var threads = 1
    @Option(help: "Event loop: auto, epoll or uring.") var backend = "auto"
    @Flag(help: "Pin worker i to core i.") var pin = false
    @Option(help: "Model that GET /v1/models lists (repeatable).") var model: [String] = []
    @Option(name: .customLong("set"), help: ArgumentHelp("A setting for all requests (repeatable).", valueName: "name=value")) var settings: [String] = []

    @Option(help: "Names the text.") var seed: String?
    @Option(help: "Length of an answer in tokens.") var tokens: String?
    @Option(help: "Exact length of an answer's text in bytes.") var answerBytes: String?
    @Option(help: "Milliseconds before the head.") var delayMs: String?
    @Option(help: "Milliseconds from the head to the first event.") var ttftMs: String?
    @Option(help: "Tokens per second; 0 is as fast as it goes.") var rate: String?
    @Option(help: "Share of each gap that varies, 0…1.") var jitter: String?
    @Option(help: "Tokens that come together.") var burst: String?
    @Option(help: "Answer with this error status.") var status: String?
    @Option(help: "Share of requests that get the status and the faults, 0…1.") var errorRate: String?
    @Option(help: "Retry-After of such answers.") var retryAfter: String?

    func run() throws {
        var options = MockOptions()
        options.address = address
        options.port = port
        options.threads = threads
        options.pinsThreads = pin
        if !model.isEmpty { options.models = model }
        switch backend {
        case "auto": options.backend = UInt32(CLAW_BACKEND_AUTO)
        case "epoll": options.backend = UInt32(CLAW_BACKEND_EPOLL)
        case "uring": options.backend = UInt32(CLAW_BACKEND_URING)
        default: throw ValidationError("--backend \(backend): expected auto, epoll or uring")
        }
        guard (1 ... 64).contains(threads) else { throw ValidationError("--threads \(threads): expected 1…64") }
        let named: [(String, String?)] = [
            ("seed", seed), ("tokens", tokens), ("answer-bytes", answerBytes), ("delay-ms", delayMs), ("ttft-ms", ttftMs), ("rate", rate),
            ("jitter", jitter), ("burst", burst), ("status", status), ("error-rate", errorRate), ("retry-after", retryAfter),
        ]
        for case let (name, value?) in named {
            guard options.script.set(name, value) else { throw ValidationError("--\(name) \(value): no such value") }
        }
        for setting in settings {
            let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, options.script.set(String(parts[0]), String(parts[1])) else {
                throw ValidationError("--set \(setting): no such setting or value (openclaw mock --help lists them)")
            }
        }
        _ = claw_signals_block(0)
        _ = claw_descriptors_raise()
        let server: MockServer
        do {
            server = try MockServer(options: options)
            try server.start()
        } catch {
            print("\(error)")
            throw ExitCode(69)
        }
        print("mock listening on http://\(address.contains(":") ? "[\(address)]" : address):\(server.port)")
        flushOutput()
        // SIGTERM, SIGINT or SIGQUIT ends it; the others are not for us.
        while true {
            let signal = claw_signals_wait(-1)
            if signal == 15 || signal == 2 || signal == 3 { break }
        }
        server.stop()
    }
}

extension String {
    func padding(toLength length: Int) -> String { self + String(repeating: " ", count: max(1, length - count)) }
}
