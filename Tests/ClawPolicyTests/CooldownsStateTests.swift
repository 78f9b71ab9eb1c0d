import ClawPolicy
import Synchronization
import Testing

@Suite struct CooldownsStateTests {
    let memory = Memory(Cooldowns.words)
    var keys: Cooldowns { Cooldowns(memory.words) }
    let settings = CooldownSettings()
    /// The middle of the jitter: ±0.
    let even: UInt64 = .max / 2

    private func until(_ model: UInt64, _ now: UInt64) -> UInt64? { keys.until(model: model, now: now)?.until }
    /// Ends are rounded up to four milliseconds.
    private func isNear(_ end: UInt64?, _ expected: UInt64) -> Bool { end.map { $0 >= expected && $0 < expected + Cooldowns.grain } ?? false }

    @Test func everyWordIsThereOnce() { #expect(CooldownClass.words.count == CooldownClass.allCases.count) }

    @Test func zeroedWordsCoolNothing() {
        #expect(until(0, 0) == nil && until(7, .max) == nil)
        keys.succeeded(model: 7, now: 5)
    }

    @Test func toldTimesHoldUpToTheCap() {
        #expect(keys.cool(model: 7, class: .rateLimited, told: 20 * second, now: second, settings, random: 0))
        let found = keys.until(model: 7, now: second)
        #expect(isNear(found?.until, 21 * second) && found?.class == .rateLimited && found?.isTold == true)
        #expect(until(8, second) == nil && until(0, second) == nil)
        #expect(until(7, 21 * second + Cooldowns.grain) == nil)
        #expect(keys.cool(model: 8, class: .rateLimited, told: 1_000_000_000 * second, now: second, settings, random: 0))
        #expect(isNear(until(8, second), 301 * second))
    }

    @Test func guessedTimesDoubleWithJitterUpToTheCap() {
        var now = second
        for length in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] as [UInt64] {
            let random = UInt64.random(in: 0 ... .max)
            #expect(keys.cool(model: 7, class: .rateLimited, told: nil, now: now, settings, random: random))
            let found = keys.until(model: 7, now: now)
            let end = found?.until ?? 0
            #expect(found?.isTold == false && end >= now + length * 800 * milli && end <= now + min(length * 1200 * milli, settings.max) + Cooldowns.grain)
            now = end
        }
    }

    @Test func theJitterIsAFifthEachWay() {
        for (random, expected) in [(0, 800), (even, 1000), (.max, 1200)] as [(UInt64, UInt64)] {
            let memory = Memory(Cooldowns.words)
            #expect(Cooldowns(memory.words).cool(model: 7, class: .rateLimited, told: 0, now: second, settings, random: random)) // told nothing: a guess
            #expect(isNear(Cooldowns(memory.words).until(model: 7, now: second)?.until, second + expected * milli - (random == even ? 1 : 0)))
        }
    }

    @Test func failuresWhileCoolingNeverExtend() {
        #expect(keys.cool(model: 7, class: .rateLimited, told: nil, now: second, settings, random: even))
        let end = until(7, second)
        for at in 0 ..< 100 { #expect(!keys.cool(model: 7, class: .rateLimited, told: 200 * second, now: second + UInt64(at) * 9 * milli, settings, random: even)) }
        #expect(until(7, second) == end)
        #expect(keys.cool(model: 7, class: .rateLimited, told: nil, now: 10 * second, settings, random: even))
        #expect(isNear(until(7, 10 * second), 12 * second)) // the second failure, not the hundredth
    }

    @Test func aSuccessForgetsFailures() {
        #expect(keys.cool(model: 7, class: .rateLimited, told: nil, now: second, settings, random: even))
        keys.succeeded(model: 7, now: second + 1) // began before it cooled
        #expect(until(7, second + 2) != nil)
        keys.succeeded(model: 8, now: 10 * second)
        #expect(keys.cool(model: 7, class: .rateLimited, told: nil, now: 10 * second, settings, random: even))
        #expect(isNear(until(7, 10 * second), 12 * second))
        keys.succeeded(model: 7, now: 20 * second)
        #expect(keys.cool(model: 7, class: .rateLimited, told: nil, now: 20 * second, settings, random: even))
        #expect(isNear(until(7, 20 * second), 21 * second))
        keys.succeeded(model: 7, now: 20 * second + 1, isProbe: true)
        #expect(until(7, 20 * second + 1) == nil)
    }

    @Test func aRefusedKeyCoolsForEveryModel() {
        #expect(keys.cool(model: 7, class: .auth, told: nil, now: second, settings, random: 0))
        for model in [0, 7, 8] as [UInt64] {
            let found = keys.until(model: model, now: second)
            #expect(isNear(found?.until, 301 * second) && found?.class == .auth && found?.isTold == false)
        }
        #expect(!keys.cool(model: 8, class: .auth, told: nil, now: 2 * second, settings, random: 0))
        #expect(keys.cool(model: 8, class: .rateLimited, told: 5 * second, now: 2 * second, settings, random: 0))
        #expect(keys.until(model: 8, now: 2 * second)?.class == .auth)
    }

    @Test func classesOfAModelAreApart() {
        #expect(keys.cool(model: 7, class: .rateLimited, told: 5 * second, now: second, settings, random: 0))
        #expect(keys.cool(model: 7, class: .modelMissing, told: 9 * second, now: second, settings, random: 0))
        #expect(keys.until(model: 7, now: second)?.class == .modelMissing && isNear(until(7, second), 10 * second))
    }

    @Test func withoutACapNothingCools() {
        var off = settings
        off.max = 0
        for kind in CooldownClass.allCases { #expect(!keys.cool(model: 7, class: kind, told: 9 * second, now: 1, off, random: 1)) }
        #expect(until(7, 1) == nil)
    }

    @Test func theSoonestMakesRoomWhenAllSlotsAreTaken() {
        for model in 1 ... 16 as ClosedRange<UInt64> { #expect(keys.cool(model: model, class: .rateLimited, told: (model == 5 ? 10 : 100) * second, now: second, settings, random: 0)) }
        for model in 1 ... 16 as ClosedRange<UInt64> { #expect(until(model, second) != nil) }
        #expect(keys.cool(model: 17, class: .rateLimited, told: 50 * second, now: second, settings, random: 0))
        #expect(until(5, second) == nil && until(17, second) != nil && until(4, second) != nil)
    }

    @Test func probesArePaced() {
        #expect(keys.mayProbe(now: 5 * second, settings))
        #expect(!keys.mayProbe(now: 5 * second, settings) && !keys.mayProbe(now: 6 * second - 1, settings))
        #expect(!keys.mayProbe(now: 0, settings)) // another worker's clock
        #expect(keys.mayProbe(now: 6 * second, settings))
    }

    @Test func strangeNumbersDoNoHarm() {
        var odd = settings
        (odd.base, odd.max, odd.authProbe, odd.probeInterval) = (.max, .max, .max, .max)
        for now in [0, 1, .max - 1, .max] as [UInt64] {
            for model in [0, 1, .max, 1 << 63] as [UInt64] {
                for kind in CooldownClass.allCases {
                    for told in [nil, 0, 1, .max] as [UInt64?] { _ = keys.cool(model: model, class: kind, told: told, now: now, odd, random: .max) }
                    _ = keys.until(model: model, now: now)
                    keys.succeeded(model: model, now: now)
                }
            }
            _ = keys.mayProbe(now: now, odd)
        }
    }

    @Test(arguments: 0 ..< 20) func agreesWithAPlainModel(seed: UInt64) {
        struct Name: Hashable { var model: UInt64, kind: CooldownClass }
        var random = SplitMix(seed)
        var plain: [Name: (end: UInt64, failures: Int, isTold: Bool)] = [:]
        var now: UInt64 = 0
        for step in 0 ..< 3000 {
            now += UInt64.random(in: 0 ... 2 * second, using: &random)
            let model = UInt64.random(in: 1 ... 6, using: &random) // six models of two classes and auth: all slots suffice
            switch Int.random(in: 0 ..< 10, using: &random) {
            case 0 ..< 3:
                let kind = CooldownClass.allCases[Int.random(in: 0 ..< 3, using: &random)]
                let name = Name(model: kind == .auth ? 0 : model, kind: kind)
                let told: UInt64? = Bool.random(using: &random) ? UInt64.random(in: 1 ... 400 * second, using: &random) : nil
                let old = plain[name]
                let isCooling = old.map { $0.end > now } ?? false
                #expect(keys.cool(model: model, class: kind, told: told, now: now, settings, random: even) == !isCooling)
                if !isCooling {
                    let failures = min((old?.failures ?? 0) + 1, 15)
                    let guess = kind == .auth ? settings.authProbe : min(settings.base << UInt64(failures - 1), settings.max)
                    let end = now + min(told ?? guess, settings.max)
                    plain[name] = ((end + Cooldowns.grain - 1) / Cooldowns.grain * Cooldowns.grain, failures, told != nil)
                }
            case 3 ..< 5:
                let isProbe = Bool.random(using: &random)
                keys.succeeded(model: model, now: now, isProbe: isProbe)
                plain = plain.filter { !(($0.key.model == model || $0.key.model == 0) && (isProbe || $0.value.end <= now)) }
            default:
                let expected = plain.filter { ($0.key.model == model || $0.key.model == 0) && $0.value.end > now }.map(\.value.end).max()
                let seen = until(model, now)
                // A guess may differ by a rounding of its jitter.
                #expect((seen == nil) == (expected == nil) && since(seen, expected) <= Cooldowns.grain, "seed \(seed), step \(step)")
            }
        }
    }
    private func since(_ one: UInt64?, _ other: UInt64?) -> UInt64 {
        guard let one, let other else { return 0 }
        return max(one, other) - min(one, other)
    }

    @Test func oneOfManyThreadsCoolsAndOneProbes() {
        for round in 0 ..< 50 {
            let memory = Memory(Cooldowns.words), settings = settings
            let cooled = Atomic<Int>(0), probed = Atomic<Int>(0)
            together(4) { thread in
                let keys = Cooldowns(memory.words)
                for _ in 0 ..< 50 {
                    if keys.cool(model: 7, class: .rateLimited, told: nil, now: second, settings, random: UInt64(thread)) { cooled.wrappingAdd(1, ordering: .relaxed) }
                    if keys.mayProbe(now: second, settings) { probed.wrappingAdd(1, ordering: .relaxed) }
                }
            }
            #expect(cooled.load(ordering: .relaxed) == 1 && probed.load(ordering: .relaxed) == 1, "round \(round)")
        }
    }
}
