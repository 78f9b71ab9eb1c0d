import ClawPolicy
import Synchronization
import Testing

@Suite struct QuotaStateTests {
    let memory = Memory(Quota.words)
    var quota: Quota { Quota(memory.words) }
    let settings = CooldownSettings()

    private func told(requests: (limit: Int, remaining: Int, reset: String)? = nil, tokens: (limit: Int, remaining: Int, reset: String)? = nil) -> RateSignals {
        var signals = RateSignals()
        for (kind, figure) in [("requests", requests), ("tokens", tokens)] {
            guard let figure else { continue }
            for (word, value) in [("limit", figure.limit > 0 ? "\(figure.limit)" : "?"), ("remaining", "\(figure.remaining)"), ("reset", figure.reset)] {
                Array("x-ratelimit-\(word)-\(kind)".utf8).withUnsafeBytes { name in Array(value.utf8).withUnsafeBytes { signals.field(name: name, value: $0, wall: 0) } }
            }
        }
        return signals
    }

    @Test func nothingKnownIsAmple() {
        #expect(quota.standing(model: 7, tokens: 1_000_000, now: 0, settings) == .ample)
        quota.spend(model: 7, tokens: 5)
        quota.learn(RateSignals(), model: 7, now: 5)
        #expect(quota.standing(model: 7, tokens: .max, now: 5, settings) == .ample)
    }

    @Test(arguments: [
        (500, 499, 200_000, 199_000, 1000, Quota.Standing.ample), (500, 25, 200_000, 199_000, 1000, .ample), (500, 24, 200_000, 199_000, 1000, .low), (500, 0, 200_000, 199_000, 1000, .empty(until: 70 * second)),
        (500, 499, 200_000, 9999, 1000, .low), (500, 499, 200_000, 999, 1000, .empty(until: 40 * second)), (500, 0, 200_000, 0, 0, .empty(until: 70 * second)), (500, 499, 200_000, 0, 0, .empty(until: 40 * second)),
        (500, 499, 200_000, 199_000, 250_000, .low), (0, 1, 0, 500, 400, .ample), (0, 0, 0, 500, 400, .empty(until: 70 * second)), (0, 1, 0, 500, 600, .empty(until: 40 * second)),
        (500, 499, 200_000, 199_000, -5, .ample), (.max, .max - 1, .max, .max - 1, .max, .ample),
    ]) func whatIsLeftDecides(limit: Int, remaining: Int, tokenLimit: Int, tokensRemaining: Int, needed: Int, expected: Quota.Standing) {
        quota.learn(told(requests: (limit, remaining, "1m0s"), tokens: (tokenLimit, tokensRemaining, "30s")), model: 7, now: 10 * second)
        #expect(quota.standing(model: 7, tokens: needed, now: 11 * second, settings) == expected)
        #expect(quota.standing(model: 8, tokens: needed, now: 11 * second, settings) == .ample)
        #expect(quota.standing(model: 7, tokens: needed, now: 70 * second, settings) == .ample)
    }

    @Test func eachRequestLowersWhatIsLeftUntilAnAnswerTellsBetter() {
        quota.learn(told(requests: (100, 7, "60s"), tokens: (10_000, 5000, "60s")), model: 7, now: second)
        quota.spend(model: 7, tokens: 100)
        quota.spend(model: 7, tokens: 100)
        #expect(quota.standing(model: 7, tokens: 4800, now: second, settings) == .ample)
        #expect(quota.standing(model: 7, tokens: 4801, now: second, settings) == .empty(until: 61 * second))
        quota.spend(model: 7, tokens: 0)
        #expect(quota.standing(model: 7, tokens: 100, now: second, settings) == .low) // 4 of 100
        for _ in 0 ..< 9 { quota.spend(model: 7, tokens: .max) }
        #expect(quota.standing(model: 7, tokens: 1, now: second, settings) == .empty(until: 61 * second))
        quota.learn(told(requests: (100, 99, "600ms"), tokens: (10_000, 9999, "10ms")), model: 7, now: 2 * second)
        #expect(quota.standing(model: 7, tokens: 1, now: 2 * second, settings) == .ample)
    }

    @Test func aLimitIsRemembered() {
        quota.learn(told(requests: (100, 99, "60s")), model: 7, now: second)
        quota.learn(told(requests: (0, 3, "60s")), model: 7, now: second)
        #expect(quota.standing(model: 7, tokens: 1, now: second, settings) == .low)
    }

    @Test func theModelToldOfLongestAgoMakesRoom() {
        for model in 0 ..< 8 as Range<UInt64> { quota.learn(told(requests: (100, 0, "60s")), model: model, now: second + (model == 3 ? 0 : model + 1)) }
        for model in 0 ..< 8 as Range<UInt64> { #expect(quota.standing(model: model, tokens: 1, now: second, settings) != .ample) }
        quota.learn(told(tokens: (100, 50, "60s")), model: 99, now: 2 * second)
        #expect(quota.standing(model: 3, tokens: 1, now: 2 * second, settings) == .ample)
        #expect(quota.standing(model: 99, tokens: 1, now: 2 * second, settings) == .ample) // not the requests of the one before
        #expect(quota.standing(model: 99, tokens: 51, now: 2 * second, settings) == .empty(until: 62 * second))
        #expect(quota.standing(model: 0, tokens: 1, now: 2 * second, settings) != .ample)
    }

    @Test(arguments: 0 ..< 10) func agreesWithAPlainModel(seed: UInt64) {
        struct Figures { var limit = 0, remaining = 0, renewed: UInt64 = 0 }
        var random = SplitMix(seed)
        var plain: [UInt64: (Figures, Figures)] = [:]
        var now: UInt64 = 0
        for step in 0 ..< 3000 {
            now += UInt64.random(in: 0 ... second, using: &random)
            let model = UInt64.random(in: 0 ... 7, using: &random)
            let tokens = Int.random(in: 0 ... 3000, using: &random)
            var known = plain[model] ?? (Figures(), Figures())
            switch Int.random(in: 0 ..< 4, using: &random) {
            case 0:
                let (requests, used) = (Int.random(in: 0 ... 100, using: &random), Int.random(in: 0 ... 10_000, using: &random)), reset = UInt64.random(in: 1 ... 60, using: &random)
                quota.learn(told(requests: (100, requests, "\(reset)s"), tokens: (10_000, used, "\(reset)s")), model: model, now: now)
                known = (Figures(limit: 100, remaining: requests, renewed: now + reset * second), Figures(limit: 10_000, remaining: used, renewed: now + reset * second))
            case 1:
                quota.spend(model: model, tokens: tokens)
                known.0.remaining = max(known.0.remaining - 1, 0)
                known.1.remaining = max(known.1.remaining - tokens, 0)
            default:
                var expected = Quota.Standing.ample, until: UInt64 = 0
                for (figure, needed) in [(known.0, 1), (known.1, max(tokens, 1))] where figure.renewed > now {
                    if figure.remaining < needed { until = max(until, figure.renewed) } else if Double(figure.remaining) < 0.05 * Double(figure.limit) { expected = .low }
                }
                #expect(quota.standing(model: model, tokens: tokens, now: now, settings) == (until > 0 ? .empty(until: until) : expected), "seed \(seed), step \(step)")
            }
            if plain[model] != nil || known.0.renewed > 0 { plain[model] = known }
        }
    }

    @Test func noSpendingIsLostBetweenThreads() {
        let memory = memory
        quota.learn(told(requests: (100_000, 50_000, "60s"), tokens: (1_000_000, 500_000, "60s")), model: 7, now: second)
        together(4) { _ in
            for _ in 0 ..< 10_000 { Quota(memory.words).spend(model: 7, tokens: 10) }
        }
        #expect(quota.standing(model: 7, tokens: 100_000, now: second, settings) == .ample)
        #expect(quota.standing(model: 7, tokens: 100_001, now: second, settings) == .empty(until: 61 * second))
    }

    @Test func threadsThatLearnAtOnceLeaveWholeSlots() {
        let memory = memory, settings = settings
        let signals = told(requests: (100, 50, "60s"), tokens: (100, 50, "60s"))
        together(4) { thread in
            for at in 0 ..< 5000 as Range<UInt64> {
                Quota(memory.words).learn(signals, model: (at &* 7 &+ UInt64(thread)) % 12, now: at)
                Quota(memory.words).spend(model: at % 12, tokens: 1)
                _ = Quota(memory.words).standing(model: at % 12, tokens: 1, now: at, settings)
            }
        }
        quota.learn(signals, model: 5, now: 6000)
        #expect(quota.standing(model: 5, tokens: 50, now: 6000, settings) == .ample)
    }
}
