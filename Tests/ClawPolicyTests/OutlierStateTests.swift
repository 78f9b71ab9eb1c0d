import ClawPolicy
import Synchronization
import Testing

@Suite struct OutlierStateTests {
    let memory = Memory(Outlier.words)
    var endpoint: Outlier { Outlier(memory.words) }
    let settings = OutlierSettings()

    @Test func zeroedWordsAreAHealthyEndpoint() {
        #expect(endpoint.isUsable(now: 0) && !endpoint.isUnhealthy && endpoint.ejectedUntil == 0 && endpoint.share(now: 0, settings) == 1)
    }

    @Test func failuresInARowAskForTheEjection() {
        for _ in 0 ..< 3 {
            for _ in 0 ..< 4 { #expect(!endpoint.record(success: false, now: 1, settings)) }
            #expect(!endpoint.record(success: true, now: 1, settings))
        }
        #expect((0 ..< 7).map { _ in endpoint.record(success: false, now: 1, settings) } == [false, false, false, false, true, true, true])
        #expect(endpoint.eject(now: second, settings) && !endpoint.eject(now: second, settings))
        #expect(!endpoint.isUsable(now: 31 * second - 1) && endpoint.isUsable(now: 31 * second) && endpoint.ejectedUntil == 31 * second)
        // Late failures of what was under way do not count.
        for _ in 0 ..< 9 { #expect(!endpoint.record(success: false, now: 2 * second, settings)) }
        #expect(!endpoint.record(success: false, now: 31 * second, settings))
        var off = settings
        off.isEnabled = false
        for _ in 0 ..< 9 { #expect(!endpoint.record(success: false, now: 40 * second, off)) }
    }

    @Test func RT_06_ejectionsGrowAreCappedAndDecay() {
        var now = second
        for length in [30, 60, 120, 240, 300, 300] as [UInt64] {
            #expect(endpoint.eject(now: now, settings))
            #expect(endpoint.ejectedUntil == now + length * second)
            now = endpoint.ejectedUntil
        }
        now += 60 * second // healthy for two ejections' time: 6 − 2 doublings
        #expect(endpoint.eject(now: now, settings) && endpoint.ejectedUntil == now + 300 * second)
        now = endpoint.ejectedUntil + 120 * second // 5 − 4
        #expect(endpoint.eject(now: now, settings) && endpoint.ejectedUntil == now + 60 * second)
        now = endpoint.ejectedUntil + 3600 * second
        #expect(endpoint.eject(now: now, settings) && endpoint.ejectedUntil == now + 30 * second)
    }

    @Test func itsShareGrowsOnReturn() {
        #expect(endpoint.eject(now: second, settings))
        for (at, share) in [(5, 0.1), (31, 0.1), (46, 0.55), (61, 1), (600, 1)] as [(UInt64, Double)] {
            #expect(abs(endpoint.share(now: at * second, settings) - share) < 1e-9)
        }
        var atOnce = settings
        atOnce.slowStart = 0
        #expect(endpoint.share(now: 31 * second, atOnce) == 1)
    }

    @Test func probesInARowChangeTheVerdict() {
        let probes = ProbeSettings()
        let results = [false, false, true, false, false, false, false, true, false, true, true, true, false]
        let expected: [Outlier.Change] = [.none, .none, .none, .none, .none, .unhealthy, .none, .none, .none, .none, .healthy, .none, .none]
        for (at, (result, change)) in zip(results, expected).enumerated() { #expect(endpoint.probe(success: result, now: UInt64(at) * second, probes) == change, "\(at)") }
        #expect(endpoint.isUsable(now: 20 * second) && endpoint.share(now: 25 * second, settings) == 0.55) // healthy since 10 s
    }

    @Test func anUnhealthyEndpointIsNotUsable() {
        var probes = ProbeSettings()
        (probes.unhealthyAfter, probes.healthyAfter) = (0, -5) // at once
        #expect(endpoint.probe(success: false, now: 5, probes) == .unhealthy && !endpoint.isUsable(now: .max) && endpoint.isUnhealthy)
        #expect(endpoint.probe(success: true, now: 5, probes) == .healthy && endpoint.isUsable(now: 5))
    }

    @Test func RT_07_aShareOfTheEndpointsStays() {
        for (ratio, total, most) in [(0.5, 1, 0), (0.5, 2, 1), (0.5, 3, 1), (0.5, 4, 2), (0.1, 3, 1), (0, 5, 0), (1, 3, 3), (.nan, 3, 0), (9, 3, 3), (0.5, 0, 0), (0.5, -3, 0)] as [(Double, Int, Int)] {
            var rule = settings
            rule.ejectedRatioMax = ratio
            var ejected = 0
            while Outlier.mayEject(total: total, ejected: ejected, rule) { ejected += 1 }
            #expect(ejected == most, "\(ratio) of \(total)")
        }
        #expect(!Outlier.mayEject(total: 3, ejected: -1, settings))
    }

    @Test func strangeNumbersDoNoHarm() {
        var odd = settings
        (odd.ejection, odd.ejectionMax, odd.slowStart, odd.consecutiveFailures) = (.max, .max, .max, -1)
        for now in [0, 1, .max, 5, .max - 1] as [UInt64] {
            _ = endpoint.record(success: false, now: now, odd)
            _ = endpoint.eject(now: now, odd)
            #expect((0.1 ... 1).contains(endpoint.share(now: now, odd)))
        }
        odd.ejection = 0
        let fresh = Memory(Outlier.words)
        for now in 0 ..< 100 as Range<UInt64> { _ = Outlier(fresh.words).eject(now: now, odd) }
    }

    @Test(arguments: 0 ..< 10) func agreesWithAPlainModel(seed: UInt64) {
        var random = SplitMix(seed)
        var inARow = 0, until: UInt64 = 0, doublings: UInt64 = 0, now: UInt64 = 0
        for step in 0 ..< 5000 {
            now += UInt64.random(in: 0 ... second, using: &random)
            let success = Int.random(in: 0 ..< 10, using: &random) < 4
            var expected = false
            if success { inARow = 0 } else if now >= until { inARow += 1; expected = inARow >= 5 }
            #expect(endpoint.record(success: success, now: now, settings) == expected, "seed \(seed), step \(step)")
            if expected && Bool.random(using: &random) {
                let healthy = (now - until) / settings.ejection
                doublings = doublings > healthy ? doublings - healthy : 0
                until = now + min(settings.ejection << doublings, settings.ejectionMax)
                (doublings, inARow) = (doublings + 1, 0)
                #expect(endpoint.eject(now: now, settings))
            }
            #expect(endpoint.isUsable(now: now) == (now >= until) && endpoint.ejectedUntil == until)
        }
    }

    @Test func oneOfManyThreadsEjects() {
        for round in 0 ..< 50 {
            let memory = Memory(Outlier.words), settings = settings
            let ejected = Atomic<Int>(0)
            together(4) { _ in
                for _ in 0 ..< 20 where Outlier(memory.words).record(success: false, now: 5, settings) && Outlier(memory.words).eject(now: 5, settings) { ejected.wrappingAdd(1, ordering: .relaxed) }
            }
            #expect(ejected.load(ordering: .relaxed) == 1, "round \(round)")
        }
    }
}
