// `openclaw mock`: the mock upstream as a process of its own. Each setting of MockScript is a flag here and a header there.
import ArgumentParser
import CClaw
import ClawLoad

struct Mock: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mock",
        abstract: "Serve a mock model that speaks the providers' APIs: for demos, tests and load tests.",
        discussion: """
        The path says whose API is spoken, errors included; POST but for the lists:
          OpenAI     /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses, GET /v1/models and /v1/models/{id}
          Azure      /openai/deployments/{d}/chat/completions (/completions, /embeddings), /openai/v1/…, /models/chat/completions
          Anthropic  /v1/messages, /v1/messages/count_tokens; on Vertex …:rawPredict, …:streamRawPredict
          Gemini     /v1beta/models/{m}:generateContent, :streamGenerateContent (?alt=sse or an array), :embedContent,
                     :batchEmbedContents, :countTokens; the same on Vertex, /v1/projects/…/models/{m}:…
          Ollama     /api/chat, /api/generate, /api/embed, GET /api/tags
          Bedrock    /model/{id}/converse, /converse-stream, /invoke (embeddings of Titan and Cohere), /count-tokens
          Cohere     /v2/chat, /v2/embed
        /bytes/{n} sends n bytes; anything else is echoed as JSON (method, path, query, headers, length and SHA-256 of the body).
        GET /mock/stats counts what was served, GET /mock/last?n= shows the last requests, POST /mock/reset begins anew, POST /mock/set?name=value&… changes settings while it serves (without a query: back to those of the start).

        --replay DIR serves recorded exchanges: every *.json in it and below of the format openclaw-recording/1. A request gets the
        recording that its header `x-mock-recording: <id>` names, or else the first of its method, path and form (plain or stream);
        GET /mock/recordings lists the ids.

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

    @Option(help: ArgumentHelp("Answer with the recorded exchanges of this folder.", valueName: "dir")) var replay: String?
    @Option(help: ArgumentHelp("The recording for all requests that name none.", valueName: "id")) var recording: String?

    @Option(help: "Names the text.") var seed: String?
    @Option(help: "Length of an answer in tokens.") var tokens: String?
    @Option(help: "Exact length of an answer's text in bytes.") var answerBytes: String?
    @Option(help: "Tokens of thinking before the text.") var thinking: String?
    @Option(help: "Answer with so many calls of the first tool offered.") var toolCalls: String?
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
            ("seed", seed), ("tokens", tokens), ("answer-bytes", answerBytes), ("thinking", thinking), ("tool-calls", toolCalls),
            ("delay-ms", delayMs), ("ttft-ms", ttftMs), ("rate", rate), ("jitter", jitter), ("burst", burst), ("status", status),
            ("error-rate", errorRate), ("retry-after", retryAfter),
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
        try readRecordings(into: &options)
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
        if let recordings = options.recordings {
            print("mock replays \(recordings.count) recordings\(recordings.skipped > 0 ? "; \(recordings.skipped) other files left out" : "")")
        }
        flushOutput()
        // SIGTERM, SIGINT or SIGQUIT ends it; the others are not for us.
        while true {
            let signal = claw_signals_wait(-1)
            if signal == 15 || signal == 2 || signal == 3 { break }
        }
        server.stop()
    }
}

extension Mock {
    /// Exits with 66 where there is nothing to read, 65 where a file is wrong, 64 where no recording has the id.
    private func readRecordings(into options: inout MockOptions) throws {
        guard let replay else {
            if recording != nil { throw ValidationError("--recording names one of the recordings of --replay, which is missing") }
            return
        }
        let recordings: MockRecordings
        do {
            recordings = try MockRecordings(folder: replay)
        } catch {
            writeError("--replay \(error)\n")
            throw ExitCode(error.kind == .noInput ? 66 : 65)
        }
        if let recording, !recordings.ids.contains(recording) {
            throw ValidationError("--recording \(recording): no such recording in \(replay)")
        }
        options.recordings = recordings
        options.recording = recording
    }
}

extension String {
    func padding(toLength length: Int) -> String { self + String(repeating: " ", count: max(1, length - count)) }
}
