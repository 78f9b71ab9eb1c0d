import ClawPolicy
import Synchronization
import Testing

@Suite struct ConcurrencyLimitStateTests {
    let memory = Memory(ConcurrencyLimit.words)
    var limit: ConcurrencyLimit { ConcurrencyLimit(memory.words) }

    private func settings(max: Int, adaptive: Bool, min: Int = 1, decrease: Double = 0.7) -> ConcurrencySettings {
        var settings = ConcurrencySettings()
        (settings.max, settings.isAdaptive, settings.min, settings.decrease) = (max, adaptive, min, decrease)
        return settings
    }

    @Test func withoutALimitItOnlyCounts() {
        let settings = settings(max: 0, adaptive: false)
        for _ in 0 ..< 1000 { #expect(limit.tryEnter(settings)) }
        limit.lower(latency: 1, now: 5, settings)
        for _ in 0 ..< 1000 { limit.leave(outcome: .tooMuch, latency: 1, now: 5, settings) }
        #expect(limit.inFlight == 0 && limit.limit(settings) == nil)
        limit.leave(outcome: .good, latency: 1, now: 5, settings)
        #expect(limit.inFlight == 0)
    }

    @Test func aFixedLimitHolds() {
        let settings = settings(max: 3, adaptive: false)
        #expect((0 ..< 5).map { _ in limit.tryEnter(settings) } == [true, true, true, false, false])
        limit.leave(outcome: .tooMuch, latency: 1, now: 5, settings)
        #expect(limit.limit(settings) == 3 && limit.tryEnter(settings) && !limit.tryEnter(settings))
    }

    @Test func theLadderLowersAFixedLimitAndGoodRoundsRaiseIt() {
        let settings = settings(max: 10, adaptive: false)
        limit.lower(latency: 1, now: 5, settings)
        #expect(limit.limit(settings) == 7)
        var now: UInt64 = 100
        for expected in [8, 9, 10] {
            while limit.tryEnter(settings) {}
            let flying = limit.inFlight
            for _ in 0 ..< flying {
                limit.leave(outcome: .good, latency: 1, now: now, settings)
                #expect(limit.tryEnter(settings))
            }
            #expect(limit.limit(settings) == expected)
            now += 10
        }
    }

    @Test func itIsLoweredOncePerRoundTrip() {
        let settings = settings(max: 100, adaptive: true)
        for _ in 0 ..< 50 { #expect(limit.tryEnter(settings)) }
        for _ in 0 ..< 20 { limit.leave(outcome: .tooMuch, latency: second, now: 10 * second, settings) }
        #expect(limit.limit(settings) == 70)
        limit.lower(latency: second, now: 10 * second + 5, settings) // the ladder's step for the same attempt
        #expect(limit.limit(settings) == 70)
        limit.leave(outcome: .tooMuch, latency: second, now: 11 * second, settings) // began after the lowering
        #expect(limit.limit(settings) == 49)
        for at in 12 ..< 100 { limit.lower(latency: 1, now: UInt64(at) * second, settings) }
        #expect(limit.limit(settings) == 1)
    }

    @Test func itIsRaisedOnlyWhileItIsUsed() {
        let settings = settings(max: 100, adaptive: true, decrease: 0.5)
        limit.lower(latency: 1, now: 1, settings)
        #expect(limit.limit(settings) == 50)
        for _ in 0 ..< 1000 {
            #expect(limit.tryEnter(settings))
            limit.leave(outcome: .good, latency: 1, now: second, settings)
        }
        #expect(limit.limit(settings) == 50)
        for _ in 0 ..< 30 { #expect(limit.tryEnter(settings)) }
        for _ in 0 ..< 50 {
            #expect(limit.tryEnter(settings))
            limit.leave(outcome: .good, latency: 1, now: second, settings)
        }
        #expect(limit.limit(settings) == 51)
        for _ in 0 ..< 200 { // neither neutral ones nor those that began before the lowering
            #expect(limit.tryEnter(settings))
            limit.leave(outcome: .neutral, latency: 1, now: second, settings)
            #expect(limit.tryEnter(settings))
            limit.leave(outcome: .good, latency: second, now: second, settings)
        }
        #expect(limit.limit(settings) == 51)
    }

    @Test func withoutABoundTheFirstRefusalSetsTheLimit() {
        let settings = settings(max: 0, adaptive: true, min: 2)
        for _ in 0 ..< 40 { #expect(limit.tryEnter(settings)) }
        #expect(limit.limit(settings) == nil)
        limit.leave(outcome: .tooMuch, latency: 1, now: 5, settings)
        #expect(limit.limit(settings) == 28 && !limit.tryEnter(settings))
    }

    @Test func aNewMaximumHoldsAtOnce() {
        let wide = settings(max: 10, adaptive: true)
        for _ in 0 ..< 10 { #expect(limit.tryEnter(wide)) }
        let narrow = settings(max: 4, adaptive: true)
        #expect(limit.limit(narrow) == 4 && !limit.tryEnter(narrow))
        for _ in 0 ..< 7 { limit.leave(outcome: .neutral, latency: 1, now: 1, narrow) }
        #expect(limit.tryEnter(narrow) && !limit.tryEnter(narrow))
    }

    @Test func strangeSettingsDoNoHarm() {
        for settings in [settings(max: .max, adaptive: true, min: .max, decrease: .nan), settings(max: -5, adaptive: true, min: -5, decrease: -1), settings(max: 1, adaptive: true, min: 9, decrease: 7),
                         settings(max: .min, adaptive: false, min: .min, decrease: .infinity)] {
            for at in 0 ..< 200 as Range<UInt64> {
                if limit.tryEnter(settings) { limit.leave(outcome: at % 3 == 0 ? .tooMuch : .good, latency: at % 2 == 0 ? .max : 1, now: at &* 1_000_003, settings) }
                if let now = limit.limit(settings) { #expect(now >= 1 && (settings.max <= 0 || now <= settings.max)) }
            }
        }
        #expect(limit.inFlight == 0)
    }

    @Test(arguments: 0 ..< 20) func agreesWithAPlainModel(seed: UInt64) {
        var random = SplitMix(seed)
        let settings = settings(max: Int.random(in: 4 ... 40, using: &random), adaptive: true, min: Int.random(in: 1 ... 4, using: &random), decrease: 0.6)
        var value = settings.max, good = 0, loweredAt: UInt64 = 0, now: UInt64 = 1000
        var flying: [UInt64] = []
        for step in 0 ..< 5000 {
            now += UInt64.random(in: 0 ... 20, using: &random)
            if Int.random(in: 0 ..< 3, using: &random) > 0 {
                let mayEnter = flying.count < value
                #expect(limit.tryEnter(settings) == mayEnter)
                if mayEnter { flying.append(now) }
            } else if !flying.isEmpty {
                let began = flying.remove(at: Int.random(in: 0 ..< flying.count, using: &random))
                let outcome: ConcurrencyLimit.Outcome = Int.random(in: 0 ..< 60, using: &random) == 0 ? .tooMuch : Bool.random(using: &random) ? .good : .neutral
                limit.leave(outcome: outcome, latency: now - began, now: now, settings)
                if outcome == .tooMuch && (loweredAt == 0 || began >= loweredAt) {
                    value = min(max(Int(Double(value) * 0.6), settings.min), value)
                    (loweredAt, good) = (now, 0)
                } else if outcome == .good && value < settings.max && began >= loweredAt && (flying.count + 1) * 2 >= value {
                    good += 1
                    if good >= value { (value, good) = (value + 1, 0) }
                }
            }
            #expect(limit.inFlight == flying.count && limit.limit(settings) == value, "seed \(seed), step \(step)")
        }
    }

    @Test func neverMoreThanTheLimitOverThreads() {
        let memory = memory, settings = settings(max: 3, adaptive: false)
        let flying = Atomic<Int>(0), most = Atomic<Int>(0), entered = Atomic<Int>(0)
        together(4) { _ in
            let limit = ConcurrencyLimit(memory.words)
            for _ in 0 ..< 10_000 where limit.tryEnter(settings) {
                most.max(flying.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue, ordering: .relaxed)
                entered.wrappingAdd(1, ordering: .relaxed)
                flying.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                limit.leave(outcome: .good, latency: 1, now: 5, settings)
            }
        }
        #expect(most.load(ordering: .relaxed) <= 3 && entered.load(ordering: .relaxed) > 0 && limit.inFlight == 0)
    }

    @Test func aBurstOfRefusalsLowersOnceOverThreads() {
        let memory = memory, settings = settings(max: 100, adaptive: true)
        for _ in 0 ..< 100 { #expect(limit.tryEnter(settings)) }
        together(4) { _ in
            for _ in 0 ..< 25 { ConcurrencyLimit(memory.words).leave(outcome: .tooMuch, latency: second, now: 5 * second, settings) }
        }
        #expect(limit.limit(settings) == 70 && limit.inFlight == 0)
    }
}
