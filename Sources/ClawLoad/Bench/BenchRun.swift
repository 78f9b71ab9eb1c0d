// BenchRun: one measurement from beginning to end. It prepares the request, finds the server's address, starts the workers and, when they
// have ended, puts their figures together. While it runs, `progress` may be asked from the thread that started it.
import CClaw

/// How far a measurement has come.
public struct BenchProgress: Sendable {
    public var answers: UInt64 = 0
    public var errors: UInt64 = 0
    public var tokens: UInt64 = 0
    public var elapsedNanoseconds: UInt64 = 0
    public var isWarmingUp = false
    public init() {}
}

public final class BenchRun: @unchecked Sendable {
    public let options: BenchOptions
    let plan: BenchPlan
    private let tallies: [BenchTally]
    private let stopWord: UnsafeMutablePointer<UInt64>
    private let doneWord: UnsafeMutablePointer<UInt64>
    private var threads: [UInt64] = []
    private var started: UInt64 = 0
    private let failure = Lock<String?>(nil)

    /// Throws when the options make no sense.
    public init(options: BenchOptions) throws(LoadError) {
        guard options.connections > 0, options.threads > 0 else { throw LoadError("bench: connections and threads must be at least 1") }
        guard options.durationNanoseconds > 0 || options.requests > 0 else { throw LoadError("bench: the duration must be above 0") }
        self.options = options
        plan = try BenchPlan(options)
        let count = min(options.threads, options.connections)
        tallies = (0 ..< count).map { _ in BenchTally() }
        stopWord = .allocate(capacity: 1)
        stopWord.initialize(to: 0)
        doneWord = .allocate(capacity: 1)
        doneWord.initialize(to: 0)
    }

    deinit {
        stopWord.deallocate()
        doneWord.deallocate()
    }

    var isStopping: Bool { claw_word_load_relaxed(stopWord) != 0 }

    /// Ends the measurement early; what was measured so far counts.
    public func stop() { claw_word_store(stopWord, 1) }

    public var isDone: Bool { claw_word_load(doneWord) >= UInt64(tallies.count) }

    /// Starts the threads and returns.
    public func start() throws(LoadError) {
        started = claw_monotonic_ns()
        for index in tallies.indices {
            let seat = Unmanaged.passRetained(Seat(run: self, index: index))
            var thread: UInt64 = 0
            let result = claw_thread_start("bench-\(index)", { context in
                if let context {
                    let seat = Unmanaged<Seat>.fromOpaque(context).takeRetainedValue()
                    seat.run.work(seat.index)
                    _ = claw_word_add(seat.run.doneWord, 1)
                }
                return nil
            }, seat.toOpaque(), &thread)
            guard result >= 0 else {
                seat.release()
                stop()
                for thread in threads { _ = claw_thread_join(thread) }
                threads = []
                throw LoadError("bench cannot start a thread: errno \(-result)")
            }
            threads.append(thread)
        }
    }

    public func progress() -> BenchProgress {
        var progress = BenchProgress()
        for tally in tallies {
            progress.answers += tally.value(.answers)
            progress.tokens += tally.value(.tokens)
            for kind in BenchReport.errorKinds { progress.errors += tally.value(kind.count) }
        }
        let elapsed = claw_monotonic_ns() &- started
        progress.isWarmingUp = elapsed < options.warmupNanoseconds
        progress.elapsedNanoseconds = progress.isWarmingUp ? elapsed : elapsed - options.warmupNanoseconds
        return progress
    }

    /// Waits for the end and sums up. Throws when nothing could be measured at all (no address, no loop).
    public func finish() throws(LoadError) -> BenchReport {
        for thread in threads { _ = claw_thread_join(thread) }
        threads = []
        if let words = failure.withLock({ $0 }) { throw LoadError(words) }
        return BenchReport(options: options, plan: plan, tallies: tallies)
    }

    /// Starts, waits, sums up.
    public func measure() throws(LoadError) -> BenchReport {
        try start()
        return try finish()
    }

    private final class Seat {
        let run: BenchRun
        let index: Int
        init(run: BenchRun, index: Int) {
            self.run = run
            self.index = index
        }
    }

    private func work(_ index: Int) {
        let count = tallies.count
        let connections = options.connections / count + (index < options.connections % count ? 1 : 0)
        let quota = options.requests == 0 ? 0 : max(1, options.requests / UInt64(count) + (UInt64(index) < options.requests % UInt64(count) ? 1 : 0))
        var settings = claw_loop_options(
            backend: options.backend, buffer_bytes: 65536, buffer_count: UInt32(min(65536, max(256, connections * 2))), reserved: 0
        )
        var made: OpaquePointer?
        var fallback: Int32 = 0
        guard claw_loop_create(&settings, &made, &fallback) >= 0, let loop = made else {
            failure.withLock { $0 = "bench cannot make its event loop" }
            return
        }
        defer { claw_loop_destroy(loop) }
        let rate = options.rate / Double(count)
        if plan.isTLS {
            do {
                try BenchTransferWorker(run: self, tally: tallies[index], loop: loop, slots: connections, rate: rate, quota: quota).work()
            } catch {
                failure.withLock { $0 = "\(error)" }
            }
            return
        }
        guard let address = address(loop) else {
            failure.withLock { $0 = "bench: \(plan.host) cannot be resolved" }
            return
        }
        BenchWorker(
            run: self, tally: tallies[index], loop: loop, address: address, connections: connections, rate: rate, quota: quota
        ).work()
    }

    private func address(_ loop: OpaquePointer) -> claw_address? {
        var address = claw_address()
        if claw_address_parse(plan.host, plan.port, &address) >= 0 { return address }
        guard claw_resolve(loop, plan.host, plan.port, 1) >= 0 else { return nil }
        var event = claw_event()
        let patience = claw_monotonic_ns() &+ 10_000_000_000
        while claw_monotonic_ns() < patience {
            guard claw_loop_wait(loop, &event, 1, 1_000_000_000) == 1, Int32(event.kind) == Int32(CLAW_RESOLVED) else { continue }
            guard event.result > 0, claw_resolved(loop, 1, &address, 1) > 0 else { return nil }
            return address
        }
        return nil
    }
}
