// MockServer: an upstream for demos, tests and load tests that speaks the APIs of OpenAI, Anthropic, Gemini, Ollama, Bedrock and Cohere. It binds its listeners when made (so `port` is known
// and connections are accepted by the kernel from then on), runs one thread per worker, and can live inside another process: tests
// and the gateway's demo mode do that. What each answer looks like is a MockScript; what was served is at GET /mock/stats.
import CClaw
import Synchronization

public struct MockOptions: Sendable {
    /// An IP literal.
    public var address = "127.0.0.1"
    /// 0 takes a free one.
    public var port: UInt16 = 0
    public var threads = 1
    /// CLAW_BACKEND_*: 0 automatic, 1 epoll, 2 io_uring.
    public var backend: UInt32 = 0
    /// Pins worker i to the process's core i.
    public var pinsThreads = false
    /// What GET /v1/models lists. Any model is answered.
    public var models = ["mock-model", "gpt-4o-mini", "gpt-4o", "text-embedding-3-small"]
    public var script = MockScript()
    /// Recorded exchanges to answer with, and the id of the one that every request gets unless it names another.
    public var recordings: MockRecordings?
    public var recording: String?
    public init() {}
}

public struct LoadError: Error, Sendable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

public final class MockServer: @unchecked Sendable {
    public let options: MockOptions
    public let port: UInt16
    let vocabulary = Vocabulary()
    let recordings: MockRecordings
    /// The number of the recording that requests get by default.
    let recording: Int32
    private let listeners: [Int32]
    private let tallies: [MockTally]
    /// Whether to stop; the serial of the settings.
    private let stopWord: UnsafeMutablePointer<UInt64>
    private let changed = Mutex<MockScript?>(nil)
    private struct Running {
        /// Loops that may be woken, by worker.
        var loops: [Int: UInt] = [:]
        var threads: [UInt64] = []
        var baseline: [UInt64] = []
        var failure: String?
        /// CLAW_BACKEND_* that serves; AUTO and io_uring may have fallen back to epoll.
        var backend: UInt32 = 0
    }
    private let running = Lock(Running())

    /// Binds. Throws when the address is none or taken, or the default recording is not there.
    public init(options: MockOptions) throws(LoadError) {
        self.options = options
        recordings = options.recordings ?? MockRecordings()
        recording = options.recording.map { [recordings] in recordings.number(of: $0) } ?? MockRecordings.none
        if let id = options.recording, recording < 0 { throw LoadError("mock has no recording of the id \(id)") }
        let count = max(1, options.threads)
        var address = claw_address()
        guard claw_address_parse(options.address, options.port, &address) >= 0 else {
            throw LoadError("mock address: \(options.address) is no IP address")
        }
        var listeners: [Int32] = []
        var port = options.port
        for _ in 0 ..< count {
            let fd = claw_listen(&address, 4096, 1)
            guard fd >= 0 else {
                for listener in listeners { _ = claw_os_close(listener) }
                throw LoadError("mock cannot listen on \(options.address):\(options.port): errno \(-fd)\(fd == -98 ? " (address in use)" : "")")
            }
            listeners.append(fd)
            if port == 0 {
                var local = claw_address()
                _ = claw_local_address(fd, &local)
                port = claw_address_port(&local)
                _ = claw_address_parse(options.address, port, &address)
            }
        }
        self.listeners = listeners
        self.port = port
        tallies = (0 ..< count).map { _ in MockTally() }
        stopWord = .allocate(capacity: 2)
        stopWord.initialize(repeating: 0, count: 2)
    }

    deinit {
        for listener in listeners { _ = claw_os_close(listener) }
        stopWord.deallocate()
    }

    var isStopping: Bool { claw_word_load(stopWord) != 0 }

    // ---- settings that change while it serves (POST /mock/set) ----

    /// Counts up with each change, so that a worker looks at one word per request.
    var settingsSerial: UInt64 { claw_word_load(stopWord + 1) }
    var script: MockScript { changed.withLock { $0 } ?? options.script }

    /// Takes `name=value&…` over what is set; the first that is no setting is returned, and nothing changed.
    func change(_ query: Substring) -> Substring? {
        changed.withLock { changed in
            var next = changed ?? options.script
            for pair in query.split(separator: "&") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                if !next.set(String(parts[0]), parts.count > 1 ? String(parts[1]) : "") { return pair }
            }
            changed = next
            claw_word_store(stopWord + 1, claw_word_load(stopWord + 1) + 1)
            return nil
        }
    }

    /// Back to the settings it was started with.
    func restoreSettings() {
        changed.withLock { $0 = nil }
        claw_word_store(stopWord + 1, claw_word_load(stopWord + 1) + 1)
    }

    /// Serves on threads of its own and returns.
    public func start() throws(LoadError) {
        for index in listeners.indices {
            let seat = Unmanaged.passRetained(Seat(server: self, index: index))
            var thread: UInt64 = 0
            let result = claw_thread_start("mock-\(index)", { context in
                if let context {
                    let seat = Unmanaged<Seat>.fromOpaque(context).takeRetainedValue()
                    seat.server.work(seat.index)
                }
                return nil
            }, seat.toOpaque(), &thread)
            guard result >= 0 else {
                seat.release()
                stop()
                throw LoadError("mock cannot start a thread: errno \(-result)")
            }
            running.withLock { $0.threads.append(thread) }
        }
    }

    /// Serves until `stop` is called from another thread.
    public func run() throws(LoadError) {
        try start()
        join()
        if let failure = running.withLock({ $0.failure }) { throw LoadError(failure) }
    }

    /// Ends all connections and waits for the threads.
    public func stop() {
        claw_word_store(stopWord, 1)
        running.withLock { state in
            for loop in state.loops.values { claw_loop_wake(OpaquePointer(bitPattern: loop)) }
        }
        join()
    }

    /// What GET /mock/stats answers.
    public func stats() -> String {
        var json = OutputBytes(capacity: 4096)
        defer { json.deallocate() }
        writeStats(into: &json)
        return String(decoding: json.bytes, as: UTF8.self)
    }

    private func join() {
        let threads = running.withLock { state in
            defer { state.threads = [] }
            return state.threads
        }
        for thread in threads { _ = claw_thread_join(thread) }
    }

    private final class Seat {
        let server: MockServer
        let index: Int
        init(server: MockServer, index: Int) {
            self.server = server
            self.index = index
        }
    }

    /// A worker thread from beginning to end.
    private func work(_ index: Int) {
        if options.pinsThreads { _ = claw_thread_pin(Int32(index)) }
        var settings = claw_loop_options(
            backend: options.backend, buffer_bytes: UInt32(MockWorker.bufferBytes), buffer_count: 4096, reserved: 0
        )
        var made: OpaquePointer?
        var fallback: Int32 = 0
        let result = claw_loop_create(&settings, &made, &fallback)
        guard result >= 0, let loop = made else {
            running.withLock { $0.failure = "mock cannot make its event loop: errno \(-result)" }
            return
        }
        let isStopped = running.withLock { state in
            state.loops[index] = UInt(bitPattern: loop)
            state.backend = claw_loop_backend(loop)
            return isStopping
        }
        if !isStopped {
            MockWorker(index: index, server: self, loop: loop, tally: tallies[index]).run(listener: listeners[index])
        }
        running.withLock { $0.loops[index] = nil }
        claw_loop_destroy(loop)
    }

    // ---- figures ----

    /// Begins counting anew. Figures of what is open or in flight stay.
    func reset() {
        let total = MockTally.sum(tallies)
        running.withLock { $0.baseline = total }
        for tally in tallies { tally.forgetDeparturesAndRecords() }
    }

    func writeStats(into json: inout OutputBytes) {
        var total = MockTally.sum(tallies)
        let gauges = [MockCount.connectionsOpen.rawValue, MockCount.inFlight.rawValue]
        let baseline = running.withLock { $0.baseline }
        for (place, value) in baseline.enumerated() where !gauges.contains(place) { total[place] &-= value }
        func figure(_ name: StaticString, _ count: MockCount) {
            json.append(name)
            json.append(decimal: total[count.rawValue])
        }
        let backend = running.withLock { $0.backend }
        json.append(backend == UInt32(CLAW_BACKEND_URING) ? "{\"backend\":\"uring\"" : "{\"backend\":\"epoll\"")
        figure(",\"requests\":", .requests)
        figure(",\"finished\":", .finished)
        figure(",\"aborted\":", .aborted)
        figure(",\"broken\":", .broken)
        figure(",\"refused\":", .refused)
        figure(",\"in_flight\":", .inFlight)
        json.append(",\"by_path\":{")
        var isFirst = true
        for endpoint in MockEndpoint.allCases where endpoint != .admin {
            let count = total[MockCount.allCases.count + endpoint.rawValue]
            guard count > 0 else { continue }
            json.append(isFirst ? "\"" : ",\"")
            isFirst = false
            json.append(endpoint.label)
            json.append("\":")
            json.append(decimal: count)
        }
        json.append("},\"by_status\":{")
        isFirst = true
        for status in 100 ..< 600 {
            let count = total[MockCount.allCases.count + MockEndpoint.allCases.count + status]
            guard count > 0 else { continue }
            json.append(isFirst ? "\"" : ",\"")
            isFirst = false
            json.append(decimal: UInt64(status))
            json.append("\":")
            json.append(decimal: count)
        }
        figure("},\"streams\":{\"started\":", .streamsStarted)
        figure(",\"finished\":", .streamsFinished)
        figure(",\"aborted\":", .streamsAborted)
        figure(",\"broken\":", .streamsBroken)
        figure("},\"bytes_in\":", .bytesIn)
        figure(",\"bytes_out\":", .bytesOut)
        figure(",\"tokens_sent\":", .tokensSent)
        figure(",\"events_sent\":", .eventsSent)
        figure(",\"connections\":{\"accepted\":", .connectionsAccepted)
        figure(",\"open\":", .connectionsOpen)
        json.append("},\"client_disconnects\":[")
        isFirst = true
        for departure in tallies.flatMap({ $0.lastDepartures() }).sorted(by: { $0.at < $1.at }).suffix(MockTally.ring) {
            json.append(isFirst ? "{\"at_ns\":" : ",{\"at_ns\":")
            isFirst = false
            json.append(decimal: departure.at)
            json.append(",\"path\":\"")
            json.append(departure.endpoint.label)
            json.append("\",\"bytes_sent\":")
            json.append(decimal: departure.bytesSent)
            json.append(",\"tokens_sent\":")
            json.append(decimal: UInt64(departure.tokensSent))
            json.append("}")
        }
        json.append("]}")
    }

    /// The last n requests over all workers, oldest first.
    func writeLast(_ n: Int, into json: inout OutputBytes) {
        let records = tallies.flatMap { $0.lastRecords() }.sorted { ($0.record.at, $0.record.number) < ($1.record.at, $1.record.number) }
        json.append("{\"requests\":[")
        var isFirst = true
        for (record, head, body) in records.suffix(min(n, MockTally.ring)) {
            json.append(isFirst ? "{\"at_ns\":" : ",{\"at_ns\":")
            isFirst = false
            json.append(decimal: record.at)
            json.append(",\"head_length\":")
            json.append(decimal: UInt64(record.headTotal))
            json.append(",\"body_length\":")
            json.append(decimal: record.bodyTotal)
            json.append(record.isBodyWhole || record.bodyTotal == 0 ? ",\"body_whole\":true" : ",\"body_whole\":false")
            let lines = Self.lines(head)
            json.append(",\"request_line\":\"")
            lines.first?.withUnsafeBytes { json.append(jsonEscaped: $0) }
            json.append("\",\"headers\":[")
            var authorization: [UInt8]?
            for (place, line) in lines.dropFirst().enumerated() {
                guard let colon = line.firstIndex(of: 0x3a) else { continue }
                let name = Array(line[..<colon])
                let value = Array(line[(colon + 1)...].drop { $0 == 0x20 || $0 == 0x09 })
                json.append(place == 0 ? "[\"" : ",[\"")
                name.withUnsafeBytes { json.append(jsonEscaped: $0) }
                json.append("\",\"")
                value.withUnsafeBytes { json.append(jsonEscaped: $0) }
                json.append("\"]")
                if authorization == nil, ["authorization", "x-api-key", "api-key", "x-goog-api-key"].contains(String(decoding: name, as: UTF8.self).lowercased()) {
                    authorization = value
                }
            }
            json.append("],\"auth\":")
            if let authorization {
                json.append("\"")
                authorization.withUnsafeBytes { json.append(jsonEscaped: $0) }
                json.append("\"")
            } else {
                json.append("null")
            }
            json.append(",\"head_base64\":\"")
            head.withUnsafeBytes { json.append(base64: $0) }
            json.append("\",\"body_base64\":\"")
            body.withUnsafeBytes { json.append(base64: $0) }
            json.append("\"}")
        }
        json.append("]}")
    }

    private static func lines(_ head: [UInt8]) -> [[UInt8]] {
        head.split(separator: 0x0a).map { line in line.last == 0x0d ? Array(line.dropLast()) : Array(line) }.filter { !$0.isEmpty }
    }
}
