import ClawPolicy
import Synchronization
import Testing

@Suite struct BreakerStateTests {
    let memory = Memory(Breaker.words)
    var breaker: Breaker { Breaker(memory.words) }
    let settings = BreakerSettings()

    /// A breaker that its fifth failure opened at `now`.
    private func open(at now: UInt64) {
        for _ in 0 ..< 4 { #expect(breaker.record(success: false, now: now, settings) == .none) }
        #expect(breaker.record(success: false, now: now, settings) == .opened)
    }
    private func probe(at now: UInt64, isFirst: Bool, _ settings: BreakerSettings? = nil) -> UInt32 {
        guard case .probe(let ticket, let first) = breaker.admit(now: now, settings ?? self.settings) else {
            Issue.record("no probe at \(now)")
            return 0
        }
        #expect(ticket != 0 && first == isFirst)
        return ticket
    }

    @Test func zeroedWordsAreAClosedBreaker() {
        #expect(breaker.admit(now: 0, settings) == .pass && breaker.peek(now: .max, settings) == .pass)
        #expect(breaker.state(now: 0) == .closed && breaker.openUntil == 0 && breaker.opensCount == 0)
    }

    @Test func opensAtFailuresInARowOnly() {
        for _ in 0 ..< 3 {
            for _ in 0 ..< 4 { #expect(breaker.record(success: false, now: 1, settings) == .none) }
            #expect(breaker.record(success: true, now: 1, settings) == .none)
        }
        open(at: 1)
        #expect(breaker.admit(now: 1, settings) == .refused(until: 30 * second + 1))
        #expect(breaker.peek(now: 1, settings) == .refused(until: 30 * second + 1))
        #expect(breaker.state(now: 1) == .open && breaker.opensCount == 1)
        // Further failures of requests that were under way change nothing.
        #expect(breaker.record(success: false, now: 2, settings) == .none)
        #expect(breaker.openUntil == 30 * second + 1)
    }

    @Test func opensAtARatioOfEnoughSamples() {
        for at in 0 ..< 18 { #expect(breaker.record(success: at % 2 == 0, now: UInt64(at), settings) == .none) }
        #expect(breaker.record(success: true, now: 19, settings) == .none)
        // 10 good, 10 bad.
        #expect(breaker.record(success: false, now: 20, settings) == .opened)
    }

    @Test func failuresThatLeftTheWindowDoNotCount() {
        for at in 0 ..< 200 {
            // Every second one fails, but twenty take 38 s.
            #expect(breaker.record(success: at % 2 == 0, now: UInt64(at) * 2 * second, settings) == .none)
        }
    }

    @Test func halfOpenClosesAfterEnoughGoodProbes() {
        open(at: 0)
        #expect(breaker.admit(now: 30 * second - 1, settings) == .refused(until: 30 * second))
        #expect(breaker.state(now: 30 * second) == .halfOpen && breaker.peek(now: 30 * second, settings) == .probe(ticket: 0, isFirst: true))
        let first = probe(at: 30 * second, isFirst: true)
        #expect(breaker.admit(now: 30 * second, settings) == .refused(until: 31 * second))
        #expect(breaker.peek(now: 30 * second, settings) == .refused(until: 31 * second))
        #expect(breaker.record(success: true, ticket: first, now: 30 * second, settings) == .none)
        #expect(breaker.peek(now: 30 * second, settings) == .probe(ticket: 0, isFirst: false))
        #expect(breaker.record(success: true, ticket: probe(at: 30 * second, isFirst: false), now: 30 * second, settings) == .none)
        #expect(breaker.record(success: true, ticket: probe(at: 30 * second, isFirst: false), now: 30 * second, settings) == .closed)
        #expect(breaker.admit(now: 30 * second, settings) == .pass && breaker.state(now: 30 * second) == .closed)
        // What failed before the opening does not open it again.
        #expect(breaker.record(success: false, now: 30 * second, settings) == .none)
    }

    @Test func oneBadProbeOpensAgainForTwiceAsLong() {
        open(at: 0)
        var now = 30 * second
        for length in [60, 120, 240, 300, 300] as [UInt64] {
            #expect(breaker.record(success: true, ticket: probe(at: now, isFirst: true), now: now, settings) == .none)
            #expect(breaker.record(success: false, ticket: probe(at: now, isFirst: false), now: now, settings) == .reopened)
            #expect(breaker.admit(now: now, settings) == .refused(until: now + length * second))
            now += length * second
        }
        #expect(breaker.opensCount == 6)
    }

    @Test func lateResultsDisturbNothing() {
        var settings = settings
        settings.halfOpenProbes = 2
        open(at: 0)
        let old = probe(at: 30 * second, isFirst: true, settings), other = probe(at: 30 * second, isFirst: false, settings)
        #expect(breaker.record(success: false, ticket: old, now: 30 * second, settings) == .reopened)
        #expect(breaker.record(success: false, ticket: other, now: 30 * second, settings) == .none)
        #expect(breaker.openUntil == 90 * second && breaker.opensCount == 2)
        let fresh = probe(at: 90 * second, isFirst: true, settings)
        #expect(fresh != old)
        // Of an earlier phase, of before the opening, and a second time.
        for ticket in [old, other, 0] {
            for success in [true, false] { #expect(breaker.record(success: success, ticket: ticket, now: 91 * second, settings) == .none) }
            breaker.release(ticket: ticket)
        }
        #expect(breaker.probesInFlight == 1 && breaker.state(now: 91 * second) == .halfOpen)
    }

    @Test func RT_05_aProbeWithoutVerdictGivesItsPlaceBack() {
        open(at: 0)
        breaker.release(ticket: probe(at: 30 * second, isFirst: true))
        #expect(breaker.probesInFlight == 0)
        let next = probe(at: 31 * second, isFirst: false)
        #expect(breaker.record(success: false, ticket: next, now: 40 * second, settings) == .reopened) // its deadline passed
        breaker.release(ticket: next)
        #expect(breaker.openUntil == 100 * second)
    }

    @Test func RT_06_openTimeGrowsWhileFlappingAndDecaysWhenHealthy() {
        var now: UInt64 = 0
        var lengths: [UInt64] = []
        var settings = settings
        settings.open = second
        settings.openMax = 8 * second
        settings.halfOpenSuccesses = 1
        for _ in 0 ..< 6 { // a second up, a second down
            for _ in 0 ..< 5 { _ = breaker.record(success: false, now: now, settings) }
            lengths.append((breaker.openUntil - now) / second)
            now = breaker.openUntil
            #expect(breaker.record(success: true, ticket: probe(at: now, isFirst: true, settings), now: now, settings) == .closed)
            now += second
        }
        #expect(lengths == [1, 2, 4, 8, 8, 8])
        now += settings.window
        for _ in 0 ..< 5 { _ = breaker.record(success: false, now: now, settings) }
        #expect(breaker.openUntil == now + second && breaker.opensInARow == 1)
    }

    @Test func RT_08_aClockBehindNeitherClosesNorSticks() {
        open(at: 3600 * second)
        let until = breaker.openUntil
        #expect(breaker.admit(now: 0, settings) == .refused(until: until))
        #expect(breaker.record(success: true, now: 0, settings) == .none && breaker.record(success: false, now: 0, settings) == .none)
        #expect(breaker.openUntil == until)
        let ticket = probe(at: until, isFirst: true)
        #expect(breaker.record(success: false, ticket: ticket, now: until - 5 * second, settings) == .reopened)
        #expect(breaker.openUntil == until + 55 * second)
        // An hour ahead ends the time at most as it would have ended.
        for _ in 0 ..< 3 { _ = breaker.record(success: true, ticket: probe(at: until + 3600 * second, isFirst: breaker.state(now: 0) == .open), now: 0, settings) }
        #expect(breaker.state(now: 0) == .closed)
    }

    @Test func aSwitchedOffBreakerLetsAllPass() {
        open(at: 0)
        var off = settings
        off.isEnabled = false
        #expect(breaker.admit(now: 1, off) == .pass && breaker.peek(now: 1, off) == .pass)
        #expect(breaker.record(success: false, now: 1, off) == .none)
    }

    @Test func strangeSettingsDoNoHarm() {
        var odd = BreakerSettings()
        (odd.samplesMin, odd.failureRatio, odd.consecutiveFailures, odd.halfOpenProbes, odd.halfOpenSuccesses) = (-1, .nan, -1, 0, .max)
        (odd.window, odd.open, odd.openMax) = (0, .max, .max)
        for at in 0 ..< 50 { _ = breaker.record(success: at % 2 == 0, now: .max - UInt64(at), odd) }
        #expect(breaker.state(now: 0) == .closed)
        odd.failureRatio = 0
        #expect(breaker.record(success: false, now: .max, odd) == .opened)
        #expect(breaker.openUntil == .max)
        let ticket = probe(at: .max, isFirst: true, odd)
        #expect(breaker.record(success: true, ticket: ticket, now: .max, odd) == .none)
        #expect(breaker.record(success: false, ticket: ticket, now: .max, odd) == .reopened)
    }

    // MARK: - Against a plain model

    /// What the prose says, for one thread.
    private struct Model {
        var phase = Breaker.State.closed
        var until: UInt64 = 0, closedAt: UInt64 = 0
        var inARow = 0, streak = 0, probes = 0, successes = 0, phases = 0
        var seen: [(period: UInt64, success: Bool)] = []

        mutating func admit(_ now: UInt64, _ settings: BreakerSettings) -> (isAdmitted: Bool, isProbe: Bool) {
            if phase == .closed { return (true, false) }
            if phase == .open {
                if now < until { return (false, false) }
                (phase, probes, successes, phases) = (.halfOpen, 0, 0, phases + 1)
            }
            if probes == settings.halfOpenProbes { return (false, false) }
            probes += 1
            return (true, true)
        }
        mutating func open(_ now: UInt64, _ settings: BreakerSettings) {
            until = now + min(settings.open << UInt64(min(streak, 20)), settings.openMax)
            (phase, streak, phases) = (.open, streak + 1, phases + 1)
        }
        mutating func record(_ success: Bool, ofPhase: Int?, _ now: UInt64, _ settings: BreakerSettings) -> Breaker.Change {
            if let ofPhase {
                guard phase == .halfOpen, ofPhase == phases else { return .none }
                if !success {
                    open(now, settings)
                    return .reopened
                }
                probes -= 1
                successes += 1
                guard successes == settings.halfOpenSuccesses else { return .none }
                (phase, closedAt, inARow, seen, phases) = (.closed, now, 0, [], phases + 1)
                return .closed
            }
            guard phase == .closed else { return .none }
            let period = now / (settings.window / 10)
            seen.append((period, success))
            seen.removeAll { $0.period + 10 <= period }
            inARow = success ? 0 : inARow + 1
            let bad = seen.count { !$0.success }
            guard !success, inARow >= settings.consecutiveFailures || seen.count >= settings.samplesMin && Double(bad) >= settings.failureRatio * Double(seen.count) else { return .none }
            if now - closedAt >= settings.window { streak = 0 }
            open(now, settings)
            return .opened
        }
    }

    @Test(arguments: 0 ..< 30) func agreesWithAPlainModel(seed: UInt64) {
        var random = SplitMix(seed)
        var settings = BreakerSettings()
        settings.window = 10 * second
        settings.open = 3 * second
        settings.openMax = 20 * second
        settings.samplesMin = Int.random(in: 2 ... 15, using: &random)
        settings.failureRatio = Double.random(in: 0.2 ... 0.9, using: &random)
        settings.consecutiveFailures = Int.random(in: 3 ... 12, using: &random)
        settings.halfOpenProbes = Int.random(in: 1 ... 4, using: &random)
        settings.halfOpenSuccesses = Int.random(in: 1 ... 6, using: &random)
        var model = Model()
        var now: UInt64 = 0
        var flying: [(ticket: UInt32, phase: Int?)] = []
        var failing = 0.0
        for step in 0 ..< 5000 {
            if step % 200 == 0 { failing = [0.05, 0.5, 0.95][Int.random(in: 0 ..< 3, using: &random)] }
            now += UInt64.random(in: 0 ... 300 * milli, using: &random)
            if flying.count < 12, Bool.random(using: &random) {
                let expected = model.admit(now, settings)
                switch breaker.admit(now: now, settings) {
                case .pass:
                    #expect(expected.isAdmitted && !expected.isProbe)
                    flying.append((0, nil))
                case .probe(let ticket, _):
                    #expect(expected.isProbe)
                    flying.append((ticket, model.phases))
                case .refused: #expect(!expected.isAdmitted)
                }
            } else if !flying.isEmpty {
                let one = flying.remove(at: Int.random(in: 0 ..< flying.count, using: &random))
                if Int.random(in: 0 ..< 10, using: &random) == 0 {
                    if let phase = one.phase, phase == model.phases, model.phase == .halfOpen { model.probes -= 1 }
                    breaker.release(ticket: one.ticket)
                } else {
                    let success = Double.random(in: 0 ..< 1, using: &random) >= failing
                    let change = breaker.record(success: success, ticket: one.ticket, now: now, settings)
                    #expect(change == model.record(success, ofPhase: one.phase, now, settings), "seed \(seed), step \(step)")
                }
            }
            #expect(breaker.probesInFlight == (model.phase == .halfOpen ? model.probes : 0))
            if model.phase == .open { #expect(breaker.openUntil == model.until) }
        }
    }

    // MARK: - Threads

    @Test(arguments: [1, 3]) func RT_04_halfOpenProbesAreExactOverThreads(allowed: Int) {
        let memory = memory
        var rule = settings
        (rule.halfOpenProbes, rule.halfOpenSuccesses) = (allowed, 4000)
        let settings = rule
        open(at: 0)
        let flying = Atomic<Int>(0), most = Atomic<Int>(0), firsts = Atomic<Int>(0), probes = Atomic<Int>(0)
        together(4) { thread in
            let breaker = Breaker(memory.words)
            for at in 0 ..< 3000 {
                guard case .probe(let ticket, let isFirst) = breaker.admit(now: 30 * second, settings) else { continue }
                let now = flying.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                most.max(now, ordering: .relaxed)
                probes.wrappingAdd(1, ordering: .relaxed)
                if isFirst { firsts.wrappingAdd(1, ordering: .relaxed) }
                flying.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                if (at + thread) % 4 == 0 { breaker.release(ticket: ticket) } else { _ = breaker.record(success: true, ticket: ticket, now: 30 * second, settings) }
                if at % 64 == 0 { _ = breaker.record(success: false, now: 30 * second, settings) }
            }
        }
        #expect(most.load(ordering: .relaxed) <= allowed && probes.load(ordering: .relaxed) > 0)
        #expect(firsts.load(ordering: .relaxed) == 1)
        #expect(breaker.probesInFlight == 0)
    }

    @Test func anOpeningIsToldOnce() {
        for round in 0 ..< 50 {
            let memory = Memory(Breaker.words)
            let settings = settings
            let opened = Atomic<Int>(0)
            together(4) { _ in
                for _ in 0 ..< 20 where Breaker(memory.words).record(success: false, now: 1, settings) == .opened { opened.wrappingAdd(1, ordering: .relaxed) }
            }
            #expect(opened.load(ordering: .relaxed) == 1, "round \(round)")
            #expect(Breaker(memory.words).openUntil == 30 * second + 1)
        }
    }
}
