// `openclaw bench`: measures an endpoint and prints what it found. Text goes to standard output, live progress to a terminal only.
import ArgumentParser
import CClaw
import ClawLoad
#if canImport(Glibc)
import Glibc
#else
import Musl
#endif

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure an OpenAI-compatible endpoint: requests/s, latency, time to first token, gaps between tokens.",
        discussion: """
        Without a path (or after /v1) POST …/chat/completions is measured with a generated body. Closed loop by default: each connection sends when it \
        has its answer. With --rate requests are sent when they are due and latency counts from then on, so a stalling server is \
        charged for those who had to wait.
        """
    )

    @Argument(help: "http:// or https:// URL.") var url: String
    @Option(help: "Model to ask for.") var model = "mock-model"
    @Option(name: [.short, .long], help: "Connections kept open.") var connections = 64
    @Option(name: [.short, .long], help: "How long to measure: 500ms, 10s, 2m.") var duration = "10s"
    @Option(name: [.customShort("n"), .long], help: "Measure so many answers instead.") var requests: UInt64?
    @Option(help: "Requests per second (open loop).") var rate: Double?
    @Flag(help: "Ask for a stream; measures first token and gaps.") var stream = false
    @Option(help: "Length of the generated body.") var bodyBytes = 0
    @Option(help: "File to send as the body.") var bodyFile: String?
    @Option(help: "Path and query instead of the URL's.") var path: String?
    @Option(help: "Method instead of POST (GET without a body).") var method: String?
    @Option(name: [.customShort("H"), .long], help: "Header to send, name: value (repeatable).") var header: [String] = []
    @Option(help: "API key, sent as Authorization: Bearer.") var key: String?
    @Option(name: [.short, .long], help: "Threads; connections are shared out.") var threads = 1
    @Option(help: "Time before the measurement that does not count.") var warmup = "0s"
    @Option(help: "Give a request up after this time.") var timeout = "30s"
    @Flag(help: "Do not verify certificates.") var insecure = false
    @Option(help: "File for the figures as JSON, - for standard output (then without the text).") var json: String?
    @Option(help: "File for the latency distribution as HdrHistogram text (.hgrm).") var hdr: String?

    func run() throws {
        var options = BenchOptions(url: url)
        options.model = model
        options.connections = connections
        options.threads = threads
        options.durationNanoseconds = try nanoseconds(duration, "--duration")
        options.warmupNanoseconds = try nanoseconds(warmup, "--warmup")
        options.timeoutNanoseconds = try nanoseconds(timeout, "--timeout")
        options.requests = requests ?? 0
        options.rate = rate ?? 0
        options.stream = stream
        options.bodyBytes = bodyBytes
        options.path = path
        options.method = method
        options.headers = header
        options.key = key
        options.insecure = insecure
        guard (1 ... 60000).contains(connections) else { throw ValidationError("--connections \(connections): expected 1…60000") }
        guard (1 ... 256).contains(threads) else { throw ValidationError("--threads \(threads): expected 1…256") }
        guard options.rate >= 0, options.rate <= 1e8 else { throw ValidationError("--rate \(options.rate): expected 0…1e8") }
        guard (0 ... 1 << 30).contains(bodyBytes) else { throw ValidationError("--body-bytes \(bodyBytes): expected 0…1 GiB") }
        if let bodyFile { options.body = try readFile(bodyFile) }
        _ = claw_signals_block(0)
        _ = claw_descriptors_raise()

        let report: BenchReport
        do {
            let run = try BenchRun(options: options)
            try run.start()
            watch(run)
            report = try run.finish()
        } catch {
            writeError("\(error)\n")
            throw ExitCode(69)
        }
        if json != "-" { print(report.text(), terminator: "") }
        if let json { try write(report.json(), to: json) }
        if let hdr { try write(report.hdr(), to: hdr) }
        if report.answers == 0 { throw ExitCode(69) }
    }

    /// Waits for the end, shows progress, ends it on Ctrl-C.
    private func watch(_ run: BenchRun) {
        let isTerminal = errorIsTerminal()
        var last = BenchProgress()
        var ticks = 0
        while !run.isDone {
            if claw_signals_wait(50_000_000) != 0 { run.stop() }
            ticks += 1
            guard isTerminal, ticks % 20 == 0 else { continue }
            let now = run.progress()
            let seconds = Double(now.elapsedNanoseconds) / 1e9
            var line = "\r\u{1b}[K\(now.isWarmingUp ? "warm-up" : "measure") \(Int(seconds)) s  \(now.answers) answers"
            line += "  \(now.answers - min(now.answers, last.answers))/s"
            if stream { line += "  \(now.tokens - min(now.tokens, last.tokens)) tokens/s" }
            if now.errors > 0 { line += "  \(now.errors) errors" }
            writeError(line)
            last = now
        }
        if isTerminal { writeError("\r\u{1b}[K") }
    }

    private func nanoseconds(_ text: String, _ option: String) throws -> UInt64 {
        let units: [(String, Double)] = [("ms", 1e6), ("us", 1e3), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("", 1e9)]
        for (unit, scale) in units where text.hasSuffix(unit) {
            if let number = Double(text.dropLast(unit.count)), number >= 0, number * scale < 1e17 { return UInt64(number * scale) }
        }
        throw ValidationError("\(option) \(text): expected a time such as 500ms, 10s or 2m")
    }

    private func readFile(_ name: String) throws -> [UInt8] {
        guard let file = fopen(name, "rb") else { throw ValidationError("--body-file \(name): cannot be read (errno \(errno))") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let got = fread(&piece, 1, piece.count, file)
            if got == 0 { return bytes }
            bytes.append(contentsOf: piece[0 ..< got])
        }
    }

    private func write(_ text: String, to name: String) throws {
        if name == "-" {
            print(text, terminator: "")
            return
        }
        guard let file = fopen(name, "wb") else {
            writeError("\(name): cannot be written (errno \(errno))\n")
            throw ExitCode(73)
        }
        var text = text
        let isWritten = text.withUTF8 { fwrite($0.baseAddress, 1, $0.count, file) == $0.count }
        guard fclose(file) == 0, isWritten else {
            writeError("\(name): cannot be written whole\n")
            throw ExitCode(74)
        }
    }
}
