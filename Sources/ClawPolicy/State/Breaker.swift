// A breaker of one upstream and traffic class, over all workers.
//
// Closed: everything passes. It opens when a failure is the `consecutiveFailures`th in a row, or when the window holds at least `samplesMin` results of which
// `failureRatio` failed (asked at each failure; a success never opens). Open: nothing passes for open·2^(openings in a row − 1), at most `openMax`. After that
// it is half-open: exactly `halfOpenProbes` requests at a time pass, as probes; `halfOpenSuccesses` good ones close it, one bad one opens it again. An opening
// is "in a row" when the breaker was closed for less than one window before it; healthy longer, and the open time begins again at `open`.
//
// A probe carries the ticket of its half-open phase, and only results with the ticket of the present phase count there: requests that began before the opening,
// or late probes of an earlier phase, disturb nothing. Whoever was admitted settles exactly once, by `record` or `release`; a probe that never settles would
// keep its place for good, so each attempt must have a deadline (RT-05).
//
// The first word is the truth: phase (2 bits), probes in flight (10), good probes (12), openings in a row (6), number of the phase (32: the ticket). All changes
// of phase are a compare-and-swap of it, so each happens once and is told to one caller. The end of the open time is written in front of the change and only
// ever rises, so that nobody sees an opening without its end; a `now` behind another worker's makes nothing close or open early (RT-08).
import Synchronization

public struct Breaker: @unchecked Sendable {
    public static let words = 6 + SlidingCounts.words
    public static let probesMax = 1000
    public static let successesMax = 4000
    /// Half-open with all its probes under way, a breaker says "ask again" for so long from now.
    public static let probeWait: UInt64 = 1_000_000_000

    public enum State: UInt8, Sendable { case closed, open, halfOpen }
    public enum Admission: Sendable, Equatable {
        case pass
        /// One of the few that find out; `ticket` (never 0) goes into `record` or `release`. `isFirst`: this one made the breaker half-open.
        case probe(ticket: UInt32, isFirst: Bool)
        case refused(until: UInt64)
    }
    /// What a result changed. `halfOpened` is not a result's: an admission with `isFirst` tells it.
    public enum Change: UInt8, Sendable { case none, opened, halfOpened, closed, reopened }

    @usableFromInline let memory: Words
    @usableFromInline let counts: SlidingCounts
    // 0 the truth, 1 end of the open time, 2 failures in a row, 3 when it closed, 4 openings in all
    @inlinable @inline(__always) public init(_ memory: Words) {
        self.memory = memory
        counts = SlidingCounts(memory + 6)
    }

    // MARK: - Before an attempt

    /// Everything passes: what `admit` finds almost always, in one load.
    @inlinable @inline(__always) public var isClosed: Bool { memory[0].load(ordering: .acquiring) & 3 == 0 }

    public func admit(now: UInt64, _ settings: BreakerSettings) -> Admission {
        guard settings.isEnabled else { return .pass }
        var word = Word(memory[0].load(ordering: .acquiring))
        while true {
            var next = word
            switch word.phase {
            case .closed: return .pass
            case .open:
                let until = memory[1].load(ordering: .acquiring)
                if now < until { return .refused(until: until) }
                next = Word(phase: .halfOpen, probes: 1, streak: word.streak, number: word.nextNumber)
            case .halfOpen:
                guard word.probes < min(max(settings.halfOpenProbes, 1), Self.probesMax) else { return .refused(until: later(now, by: Self.probeWait)) }
                next.probes &+= 1
            }
            if swap(&word, next) { return .probe(ticket: next.number, isFirst: word.phase == .open) }
        }
    }

    /// What `admit` would say now, without taking a probe (the ticket is 0).
    public func peek(now: UInt64, _ settings: BreakerSettings) -> Admission {
        guard settings.isEnabled else { return .pass }
        let word = Word(memory[0].load(ordering: .acquiring))
        switch word.phase {
        case .closed: return .pass
        case .open:
            let until = memory[1].load(ordering: .acquiring)
            return now < until ? .refused(until: until) : .probe(ticket: 0, isFirst: true)
        case .halfOpen:
            return word.probes < min(max(settings.halfOpenProbes, 1), Self.probesMax) ? .probe(ticket: 0, isFirst: false) : .refused(until: later(now, by: Self.probeWait))
        }
    }

    // MARK: - After it

    /// The verdict of an attempt that was admitted; `ticket`: that of a probe, 0 of any other.
    public func record(success: Bool, ticket: UInt32 = 0, now: UInt64, _ settings: BreakerSettings) -> Change {
        if ticket != 0 { return recordProbe(success, ticket, now, settings) }
        guard settings.isEnabled else { return .none }
        var word = Word(memory[0].load(ordering: .acquiring))
        guard word.phase == .closed else { return .none }
        if success {
            countGood(now, settings.window)
            return .none
        }
        counts.add(bad: 1, now: now, window: settings.window)
        let inARow = memory[2].wrappingAdd(1, ordering: .relaxed).newValue
        if settings.consecutiveFailures <= 0 || inARow < UInt64(settings.consecutiveFailures) {
            let sum = counts.sum(now: now, window: settings.window)
            guard sum.bad > 0, sum.good &+ sum.bad >= settings.samplesMin, Double(sum.bad) >= settings.failureRatio * Double(sum.good &+ sum.bad) else { return .none }
        }
        let isHealthy = since(memory[3].load(ordering: .relaxed), now) >= settings.window
        return swap(&word, opening(isHealthy ? 0 : word.streak, word, now, settings)) ? opened(.opened) : .none
    }

    /// `record` of a good result that was no probe's, of an enabled breaker.
    public func succeeded(now: UInt64, window: UInt64) {
        if isClosed { countGood(now, window) }
    }

    private func countGood(_ now: UInt64, _ window: UInt64) {
        counts.addGood(now: now, window: window)
        if memory[2].load(ordering: .relaxed) != 0 { memory[2].store(0, ordering: .relaxed) }
    }

    private func recordProbe(_ success: Bool, _ ticket: UInt32, _ now: UInt64, _ settings: BreakerSettings) -> Change {
        var word = Word(memory[0].load(ordering: .acquiring))
        while word.phase == .halfOpen && word.number == ticket {
            var next = word
            if !success {
                next = opening(word.streak, word, now, settings)
                if swap(&word, next) { return opened(.reopened) }
                continue
            }
            next.successes &+= 1
            next.probes = max(next.probes &- 1, 0)
            if next.successes >= min(max(settings.halfOpenSuccesses, 1), Self.successesMax) {
                // Nobody counts while it is not closed; what was counted before the opening must not open it again.
                counts.clear()
                memory[2].store(0, ordering: .relaxed)
                memory[3].store(now, ordering: .relaxed)
                next = Word(phase: .closed, probes: 0, streak: word.streak, number: word.nextNumber)
                if swap(&word, next) { return .closed }
            } else if swap(&word, next) {
                return .none
            }
        }
        return .none
    }

    /// An attempt that was admitted ends without a verdict (client gone, bad request, rate limited): its probe's place is free again.
    public func release(ticket: UInt32) {
        guard ticket != 0 else { return }
        var word = Word(memory[0].load(ordering: .acquiring))
        while word.phase == .halfOpen && word.number == ticket && word.probes > 0 {
            var next = word
            next.probes &-= 1
            if swap(&word, next) { return }
        }
    }

    // MARK: - To look at

    /// Open only while its time runs; after it the next request is a probe, which is half-open.
    public func state(now: UInt64) -> State {
        let word = Word(memory[0].load(ordering: .acquiring))
        return word.phase == .open && now >= memory[1].load(ordering: .acquiring) ? .halfOpen : word.phase
    }
    /// End of the latest opening; 0: never opened.
    public var openUntil: UInt64 { memory[1].load(ordering: .acquiring) }
    /// How often it opened since the process began.
    public var opensCount: UInt64 { memory[4].load(ordering: .relaxed) }
    /// How many openings in a row the open time is doubled by.
    public var opensInARow: Int { Word(memory[0].load(ordering: .relaxed)).streak }
    /// The ticket of the present half-open phase, or a number that no probe under way has.
    public var phaseNumber: UInt32 { Word(memory[0].load(ordering: .relaxed)).number }
    public var probesInFlight: Int { Word(memory[0].load(ordering: .relaxed)).probes }

    // MARK: - Words

    private struct Word {
        var phase: State
        var probes: Int
        var successes = 0
        var streak: Int
        var number: UInt32

        init(phase: State, probes: Int, streak: Int, number: UInt32) {
            self.phase = phase
            self.probes = probes
            self.streak = streak
            self.number = number
        }
        init(_ word: UInt64) {
            phase = State(rawValue: UInt8(truncatingIfNeeded: word & 3)) ?? .closed
            probes = Int(truncatingIfNeeded: (word >> 2) & 0x3FF)
            successes = Int(truncatingIfNeeded: (word >> 12) & 0xFFF)
            streak = Int(truncatingIfNeeded: (word >> 24) & 0x3F)
            number = UInt32(truncatingIfNeeded: word >> 32)
        }
        var bits: UInt64 {
            UInt64(phase.rawValue) | UInt64(truncatingIfNeeded: probes) << 2 | UInt64(truncatingIfNeeded: successes) << 12
                | UInt64(truncatingIfNeeded: streak) << 24 | UInt64(number) << 32
        }
        /// 0 is no ticket.
        var nextNumber: UInt32 { number == .max ? 1 : number &+ 1 }
    }

    /// The word of an opening, whose end is written already.
    private func opening(_ streak: Int, _ word: Word, _ now: UInt64, _ settings: BreakerSettings) -> Word {
        let until = later(now, by: min(doubled(settings.open, streak), settings.openMax))
        _ = memory.update(1) { max($0, until) }
        return Word(phase: .open, probes: 0, streak: min(streak &+ 1, 0x3F), number: word.nextNumber)
    }

    private func opened(_ change: Change) -> Change {
        memory[4].wrappingAdd(1, ordering: .relaxed)
        return change
    }

    /// On failure `word` is what is there now.
    private func swap(_ word: inout Word, _ next: Word) -> Bool {
        let (done, seen) = memory[0].compareExchange(expected: word.bits, desired: next.bits, ordering: .acquiringAndReleasing)
        if !done { word = Word(seen) }
        return done
    }
}
