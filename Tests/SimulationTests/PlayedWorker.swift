import CClaw
@testable import ClawEngine
import ClawConfig
import Foundation
import Testing

/// One real worker on the played loop: no thread, no socket, no clock but the script's. It runs on plans compiled from configuration texts,
/// as `openclaw serve` does; a test plays the clients, the upstreams and the time, turns the worker's ticks, and at the end asks whether
/// everything that was taken was given back. Owns the worker and its plans; made new for each test.
final class PlayedWorker {
    /// Names no descriptor of this process: draining closes it.
    private static let listener: Int32 = 999
    /// The worker's timers stand on a wheel of 4.2 ms slots: they fire at most two slots late, never early.
    static let timerSlackMilliseconds = 9
    static let bufferBytes = 16384

    let shared = Shared()
    private let registry = Registry()
    private var plans: [PlanOwner] = []
    let worker: Worker
    private static let batch = 64
    private let events = UnsafeMutablePointer<claw_event>.allocate(capacity: batch)
    private(set) var hasEnded = false
    /// Virtual nanoseconds since the start.
    private(set) var elapsed: UInt64 = 0
    private(set) var clients: [Int32] = []
    private var logText: [UInt8] = []

    var loop: OpaquePointer { worker.loop }

    /// `adjust` changes what the text says.
    init(_ text: String, seed: UInt64 = 1, connections: Int = 64, buffers: Int = 1024, adjust: (inout Configuration) -> Void = { _ in }) throws {
        var configuration = try Self.configuration(text)
        adjust(&configuration)
        plans = [try PlanOwner(configuration, serial: 1, workers: 1, registry: registry)]
        claw_word_store(shared.plan, UInt64(UInt(bitPattern: plans[0].ref)))
        var options = WorkerOptions()
        options.backend = UInt32(CLAW_BACKEND_PLAYED)
        options.connectionsMax = connections
        options.bufferBytes = Self.bufferBytes
        options.bufferCount = buffers
        worker = try Worker(options: options, shared: shared, instance: 0x0123_4567_89ab_cdef)
        worker.random = (seed | 1, seed &+ 2, seed &+ 3, seed &+ 4)
        #expect(worker.listen(Self.listener) == 0)
        tick()
    }

    deinit { events.deallocate() }

    static func configuration(_ text: String) throws -> Configuration {
        let load = loadConfiguration(text: text, name: "played.yaml", environment: [:])
        return try #require(load.configuration, "\(load.issues.map(\.description).joined(separator: "\n"))")
    }

    /// The new plan is in force for requests that begin after the next tick.
    func reload(_ text: String) throws {
        let owner = try PlanOwner(Self.configuration(text), serial: UInt32(plans.count + 1), workers: 1, registry: registry)
        plans.append(owner)
        claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
        claw_loop_wake(loop)
    }

    // MARK: time

    func tick() {
        if hasEnded { return }
        hasEnded = !worker.tick(events, capacity: Int32(Self.batch))
    }

    /// Turns until everything delivered so far has had its effects.
    func settle() { for _ in 0..<4 { tick() } }

    func advance(nanoseconds: UInt64) {
        claw_played_advance(loop, nanoseconds)
        elapsed += nanoseconds
    }

    func advance(milliseconds: Int) {
        advance(nanoseconds: UInt64(milliseconds) * 1_000_000)
        settle()
    }

    /// Moves the clock in steps of a millisecond until `happened`; how many it took, nil beyond `limit`.
    func milliseconds(limit: Int, until happened: () -> Bool) -> Int? {
        for step in 0...limit {
            if happened() { return step }
            advance(nanoseconds: 1_000_000)
            tick()
        }
        return nil
    }

    // MARK: clients and upstreams

    func client() -> Int32 {
        let fd = claw_played_client(loop, Self.listener)
        if fd >= 0 { clients.append(fd) }
        tick()
        return fd
    }

    func deliver(_ fd: Int32, _ bytes: [UInt8]) { _ = claw_played_deliver(loop, fd, bytes, bytes.count) }
    func deliver(_ fd: Int32, _ text: String) { deliver(fd, Array(text.utf8)) }

    /// Delivers and lets it take effect.
    func say(_ fd: Int32, _ text: String) {
        deliver(fd, text)
        settle()
    }

    /// How many more bytes the peer takes.
    func window(_ fd: Int32, _ bytes: UInt64) { _ = claw_played_window(loop, fd, bytes) }

    func end(_ fd: Int32, error: Int32 = 0) { _ = claw_played_end(loop, fd, error) }

    /// What the worker has sent on a descriptor since the last look.
    func taken(_ fd: Int32) -> [UInt8] {
        let count = Int(claw_played_sent(loop, fd, nil, 0))
        guard count > 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: count) { memory, initialized in
            initialized = Int(claw_played_sent(loop, fd, memory.baseAddress, count))
        }
    }

    /// Bytes sent that nobody has looked at yet.
    func waiting(_ fd: Int32) -> Int { Int(claw_played_sent(loop, fd, nil, 0)) }

    func takenText(_ fd: Int32) -> String { String(decoding: taken(fd), as: UTF8.self) }

    enum SocketState: Int32 { case open, sendingEnded, closed, reset }
    func state(_ fd: Int32) -> SocketState { SocketState(rawValue: claw_played_state(loop, fd)) ?? .closed }
    func isPaused(_ fd: Int32) -> Bool { claw_played_receive_mode(loop, fd) == UInt32(CLAW_RECEIVE_OFF) }

    /// How the next connect calls end.
    func nextConnect(_ result: Int32, delayMilliseconds: Int = 0) {
        _ = claw_played_connect_result(loop, result, UInt64(delayMilliseconds) * 1_000_000)
    }

    var connectCount: Int { Int(claw_played_connected(loop, -1, nil, nil)) }

    /// The descriptor of the worker's connect call number `at`, and the port it asked for.
    func upstream(_ at: Int) -> (fd: Int32, port: UInt16) {
        var fd: Int32 = -1
        var address = claw_address()
        _ = claw_played_connected(loop, Int32(at), &fd, &address)
        return (fd, claw_address_port(&address))
    }

    // MARK: what it says of itself

    private func drainLog() {
        let (first, second) = worker.log.pending()
        logText += first
        logText += second
        worker.log.consume(first.count + second.count)
    }

    /// All log lines so far, as JSON objects.
    var logLines: [[String: Any]] {
        drainLog()
        return logText.split(separator: 10).map { line in
            let object = (try? JSONSerialization.jsonObject(with: Data(line))) as? [String: Any]
            if object == nil { Issue.record("a log line is not JSON: \(String(decoding: line, as: UTF8.self))") }
            return object ?? [:]
        }
    }

    func logHolds(_ text: String) -> Bool {
        drainLog()
        return String(decoding: logText, as: UTF8.self).contains(text)
    }

    var loggedStatuses: [Int] { logLines.map { $0["status"] as? Int ?? -1 } }

    /// A counter over all of its labels; a histogram's observations.
    func count(_ metric: Metric) -> Int {
        var sum = 0
        worker.metrics.forEach { found, _, words in
            guard found == metric else { return }
            sum += Int(words.count == 1 ? words[0] : words[words.count - 2])
        }
        return sum
    }

    var buffersInUse: Int { Int(claw_buffers_in_use(loop)) }

    // MARK: the end

    func drain(seconds: UInt64) {
        claw_word_store(shared.drainDeadline, claw_loop_now(loop) + seconds * 1_000_000_000)
        claw_word_store(shared.phase, 1)
        claw_loop_wake(loop)
    }

    /// Everybody leaves; then nothing may be held any more. What still is, as text.
    func leftovers() -> [String] {
        for fd in clients where state(fd) == .open || state(fd) == .sendingEnded { end(fd) }
        settle()
        // A request that still runs asks again when its connection goes, as often as it may.
        for _ in 0..<Exchange.attemptsMax {
            for at in 0..<connectCount where state(upstream(at).fd) == .open || state(upstream(at).fd) == .sendingEnded { end(upstream(at).fd) }
            settle()
        }
        // Lingering connections, late timers.
        for _ in 0..<4 { advance(milliseconds: 500) }
        var found: [String] = []
        func check(_ name: String, _ value: Int, atMost limit: Int = 0) { if value > limit { found.append("\(name): \(value)") } }
        // A worker that ended at its drain's deadline leaves lingering connections to the end of its loop.
        let hasEndedEarly = hasEnded && worker.connections.inUse > 0
        for at in 0..<worker.connections.touched where worker.connections.base[at].state != .free && !(hasEndedEarly && worker.connections.base[at].state == .lingering) {
            let connection = worker.connections.base[at]
            found.append("connection \(connection.fd) is \(connection.state), holds \(connection.heldLength) bytes, receives \(connection.receiveMode), peer ended: \(connection.peerEnded)")
        }
        check("exchanges", worker.exchanges.inUse)
        if !hasEndedEarly { check("connections", worker.connections.inUse) }
        check("links", worker.links.inUse)
        check("waiting", worker.waitingCount)
        check("body memory", Int(truncatingIfNeeded: claw_word_load(shared.bodyMemory)))
        // The one that short texts are written into stays.
        check("buffers", buffersInUse, atMost: 1)
        for (at, plan) in plans.enumerated() where !plan.isIdle { found.append("plan \(at + 1) counts requests in flight") }
        for gauge in MetricPage.Gauge.allCases where gauge != .buffers && !hasEnded { check("gauge \(gauge)", Int(worker.metrics.gauge(gauge))) }
        check("log lines dropped", Int(claw_word_load_relaxed(worker.log.dropped)))
        let lines = logLines.count { $0["shadow"] == nil }, requests = count(.requests)
        if lines != requests { found.append("\(requests) exchanges were accounted, \(lines) have a log line") }
        return found
    }

    func expectNothingLeft(_ place: SourceLocation = #_sourceLocation) {
        let found = leftovers()
        #expect(found.isEmpty, "\(found.joined(separator: "; "))", sourceLocation: place)
    }
}
