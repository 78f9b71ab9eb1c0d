import ClawPolicy
import Testing

/// SplitMix64, so that every run sees the same numbers.
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Mix.mix(state)
    }
}

@Suite struct ChoiceRendezvousTests {
    private func winners(_ members: [UInt64], _ weights: [Double], keys: Int) -> [Int] {
        members.withUnsafeBufferPointer { members in
            weights.withUnsafeBufferPointer { weights in
                (0..<keys).map { Rendezvous.first(key: Mix.mix(UInt64($0)), members: members, weights: weights) ?? -1 }
            }
        }
    }

    @Test func onlyTheLeaversKeysMove() {
        let members = (1...7).map { Mix.mix(UInt64($0) &* 977) }
        let weights: [Double] = [1, 2, 3, 1, 5, 1, 1]
        let before = winners(members, weights, keys: 50_000)
        for gone in members.indices {
            var left = weights
            left[gone] = 0
            let after = winners(members, left, keys: 50_000)
            for key in before.indices where before[key] != gone { #expect(after[key] == before[key]) }
            #expect(!after.contains(gone))
        }
    }

    @Test func sharesFollowWeights() {
        let weights: [Double] = [1, 2, 3, 4, 10]
        let got = winners((1...5).map { Mix.mix(UInt64($0)) }, weights, keys: 100_000)
        for at in weights.indices {
            let share = Double(got.count { $0 == at }) / 100_000
            #expect(abs(share - weights[at] / 20) < 0.02 * max(weights[at] / 20, 0.3))
        }
    }

    @Test func theOrderBeginsWithTheWinnerAndAgreesWithTheSortedScores() {
        let members = (1...40).map { Mix.mix(UInt64($0)) }
        let weights = (1...40).map { $0 == 7 ? 0 : Double($0 % 5 + 1) }
        members.withUnsafeBufferPointer { members in
            weights.withUnsafeBufferPointer { weights in
                for key in 0..<200 as Range<UInt64> {
                    let sorted = members.indices.filter { weights[$0] > 0 }
                        .sorted { Rendezvous.score(key: key, member: members[$0], weight: weights[$0]) > Rendezvous.score(key: key, member: members[$1], weight: weights[$1]) }
                    for room in [1, 3, 40, 64] {
                        var places = [Int](repeating: -1, count: room)
                        let count = places.withUnsafeMutableBufferPointer { Rendezvous.order(into: $0, key: key, members: members, weights: weights) }
                        #expect(Array(places[0..<count]) == Array(sorted.prefix(room)))
                    }
                    #expect(Rendezvous.first(key: key, members: members, weights: weights) == sorted[0])
                }
            }
        }
    }

    @Test func oddWeightsAreNoMembers() {
        for weight in [0, -1, Double.nan, .infinity] { #expect(Rendezvous.score(key: 1, member: 2, weight: weight) == 0) }
        #expect(winners([], [], keys: 1) == [-1])
    }

    @Test func boundedLoadHoldsTheFactorAndLeavesRoom() {
        var load = [Int](repeating: 0, count: 5)
        for total in 0..<1000 {
            // A key that everybody wants: always the first member that has room.
            let member = load.indices.first { !BoundedLoad.isFull(load: load[$0], total: total, members: 5, factor: 1.25) }
            #expect(member != nil)
            load[member ?? 0] += 1
            #expect(load.max()! <= Int((1.25 * Double(total + 1) / 5).rounded(.up)))
        }
        #expect(BoundedLoad.capacity(total: 7, members: 4, factor: 1.25) == 3)
        #expect(BoundedLoad.isFull(load: 3, total: 7, members: 4, factor: 1.25) && !BoundedLoad.isFull(load: 2, total: 7, members: 4, factor: 1.25))
        for factor in [0, -1, Double.nan, .infinity] { #expect(BoundedLoad.capacity(total: Int.max, members: 0, factor: factor) >= 1) }
    }
}

@Suite struct ChoiceOrderTests {
    private func order(_ room: Int, _ body: (UnsafeMutableBufferPointer<Int>) -> Int) -> [Int] {
        var places = [Int](repeating: -1, count: room)
        let count = places.withUnsafeMutableBufferPointer { body($0) }
        return Array(places[0..<count])
    }

    private func latency(_ averages: [UInt64], _ limits: [UInt64] = [], exploration: Double = 0, random: UInt64 = 5, room: Int = 8) -> [Int] {
        averages.withUnsafeBufferPointer { averages in
            limits.withUnsafeBufferPointer { limits in order(room) { LatencyChoice.order(averages, limits: limits, exploration: exploration, random: random, into: $0) } }
        }
    }

    @Test func theFastestIsFirstAndTheUnknownBeforeIt() {
        #expect(latency([300, 100, 200]) == [1, 2, 0])
        #expect(latency([300, 0, 200]) == [1, 2, 0])
        #expect(latency([300, 100, 200], room: 2) == [1, 2])
        #expect(latency([], room: 2) == [])
    }

    @Test func slowerThanItsLimitIsLast() {
        #expect(latency([300, 100, 200], [0, 50, 0]) == [2, 0, 1])
        #expect(latency([300, 100, 200], [10, 10, 10]) == [1, 2, 0])
    }

    @Test func explorationTakesEachOfTheOthersAsOften() {
        var random = Seeded(1)
        var firsts = [0, 0, 0, 0]
        for _ in 0..<40_000 {
            let got = latency([40, 10, 20, 30], exploration: 0.3, random: random.next())
            #expect(Set(got).count == 4)
            firsts[got[0]] += 1
        }
        #expect(abs(firsts[1] - 28_000) < 600)
        for at in [0, 2, 3] { #expect(abs(firsts[at] - 4000) < 300) }
    }

    @Test func severalUnknownOnesTakeTurns() {
        var random = Seeded(2)
        var firsts = [0, 0, 0]
        for _ in 0..<3000 { firsts[latency([0, 0, 0], random: random.next())[0]] += 1 }
        for count in firsts { #expect(abs(count - 1000) < 150) }
    }

    @Test func theCheapestIsFirst() {
        // gpt-4o-mini 0.15 / 0.60, gpt-4o 2.50 / 10, one unknown.
        let scores = [(2_500_000, 10_000_000), (150_000, 600_000), (-1, 0), (150_000, 600_000)].map {
            CostChoice.score(inputTokens: 1000, outputTokens: 500, inputPrice: $0.0, outputPrice: $0.1)
        }
        #expect(scores == [7_500_000, 450_000, Int64.max, 450_000])
        func cost(_ averages: [UInt64], _ limits: [UInt64]) -> [Int] {
            scores.withUnsafeBufferPointer { scores in
                averages.withUnsafeBufferPointer { averages in
                    limits.withUnsafeBufferPointer { limits in order(8) { CostChoice.order(scores, averages: averages, limits: limits, into: $0) } }
                }
            }
        }
        #expect(cost([], []) == [1, 3, 0, 2])
        #expect(cost([0, 900, 0, 0], [500, 500, 500, 500]) == [3, 0, 2, 1])
    }

    @Test func costNeverTraps() {
        let odd: [Int64] = [Int64.min, -1, 0, 1, 1 << 40, Int64.max]
        for a in odd { for b in odd { for c in odd { for d in odd { #expect(CostChoice.score(inputTokens: a, outputTokens: b, inputPrice: c, outputPrice: d) >= 0) } } } }
        #expect(CostChoice.score(inputTokens: 1, outputTokens: 0, inputPrice: 150_000, outputPrice: 0) == 150)
        #expect(CostChoice.exact(inputTokens: 1, outputTokens: 1, inputPrice: 1, outputPrice: 1) == 2)
    }

    @Test func theLeastLoadedForItsWeightIsFirstAndTiesGoRound() {
        func loaded(_ inFlight: [Int], _ weights: [Int], _ counter: UInt64) -> [Int] {
            inFlight.withUnsafeBufferPointer { inFlight in
                weights.withUnsafeBufferPointer { weights in order(8) { LeastLoaded.order(inFlight, weights: weights, counter: counter, into: $0) } }
            }
        }
        #expect(loaded([4, 4, 9], [1, 2, 3], 0) == [1, 2, 0])
        #expect(loaded([0, 4, 9], [0, 1, 1], 0) == [1, 2, 0])
        #expect((0..<6).map { loaded([2, 2, 2], [1, 1, 1], $0)[0] } == [0, 1, 2, 0, 1, 2])
        #expect(loaded([Int.max, Int.max], [Int.max, 1], UInt64.max) == [0, 1])
        #expect(loaded([], [], 3) == [])
    }
}

@Suite struct ChoiceWeightTests {
    private func turns(_ effective: [UInt64], _ count: Int, from: UInt64 = 0) -> [Int] {
        effective.withUnsafeBufferPointer { effective in (0..<count).map { SmoothWeighted.turn(from &+ UInt64($0), effective: effective) ?? -1 } }
    }

    @Test func turnsAreExactOverACycleAndSpread() {
        let weights = [5, 1, 1, 3].map { SmoothWeighted.effective(weight: $0) }
        for from in [0, 7, 12_345_678] as [UInt64] {
            let got = turns(weights, 10, from: from)
            #expect((0..<4).map { at in got.count { $0 == at } } == [5, 1, 1, 3])
        }
        // Half of the turns are the first's, never more than two in a row.
        let long = turns(weights, 1000).map { $0 == 0 }
        for at in 2..<long.count { #expect(!(long[at] && long[at - 1] && long[at - 2])) }
    }

    @Test func equalWeightsAlternate() {
        let got = turns([1024, 1024, 1024], 9)
        for at in 3..<9 { #expect(got[at] == got[at - 3]) }
        #expect(Set(got[0..<3]).count == 3)
    }

    @Test func slowStartTakesItsShareOnly() {
        let weights = [SmoothWeighted.effective(weight: 1), SmoothWeighted.effective(weight: 1, share: 0.1)]
        let got = turns(weights, 11_000)
        #expect(abs(got.count { $0 == 1 } - 1000) < 30)
        #expect(SmoothWeighted.effective(weight: 0) == 0 && SmoothWeighted.effective(weight: 5, share: 0) == 0 && SmoothWeighted.effective(weight: 1, share: 1e-9) == 1)
        #expect(SmoothWeighted.effective(weight: Int.max, share: .infinity) == UInt64(SmoothWeighted.weightMax) * 1024)
    }

    @Test func nobodyWithoutWeightIsTaken() {
        #expect(turns([0, 0], 2) == [-1, -1])
        #expect(!turns([0, 3, 0, 4], 100).contains { $0 == 0 || $0 == 2 })
        let none: [UInt64] = []
        none.withUnsafeBufferPointer { #expect(SmoothWeighted.pick(1, effective: $0) == nil) }
    }

    @Test func randomPicksFollowWeights() {
        var random = Seeded(3)
        var counts = [0, 0, 0]
        ([1024, 0, 3072] as [UInt64]).withUnsafeBufferPointer { weights in
            for _ in 0..<40_000 { counts[SmoothWeighted.pick(random.next(), effective: weights) ?? 1] += 1 }
            #expect(SmoothWeighted.pick(UInt64.max, effective: weights) == 2 && SmoothWeighted.pick(0, effective: weights) == 0)
        }
        #expect(counts[1] == 0 && abs(counts[0] - 10_000) < 400)
    }
}

@Suite struct ChoiceModelFamilyTests {
    private func isSame(_ one: String, _ other: String) -> Bool {
        Array(one.utf8).withUnsafeBytes { one in Array(other.utf8).withUnsafeBytes { ModelFamily.isSame(one, $0) } }
    }

    @Test(arguments: [
        ("gpt-4o", "gpt-4o-mini"), ("openai/gpt-4o-2024-11-20", "gpt-4.1-nano"), ("chatgpt-4o-latest", "gpt-4o"), ("gpt-35-turbo", "gpt-4"), ("ft:gpt-4o:team::x1", "gpt-4o"),
        ("claude-sonnet-4-5", "claude-haiku-4-5"), ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-3-5-sonnet-20241022"), ("anthropic/claude-opus-4.1", "claude-fable-5"),
        ("llama-3.1-70b", "llama-3.1-8b"), ("meta.llama3-1-70b-instruct-v1:0", "meta-llama/Llama-3.3-70B-Instruct-Turbo"), ("llama3.2:1b", "meta-llama/Meta-Llama-3-8B-Instruct-Lite"),
        ("o3", "o4-mini"), ("o1-pro", "openai/o3-deep-research"), ("gemini-2.5-pro", "gemini-2.5-flash"), ("models/gemini-2.0-flash", "google/gemini-flash-latest"),
        ("text-embedding-3-small", "text-embedding-3-large"), ("mistral-large-2411", "mistral-small-latest"), ("open-mistral-nemo", "mistral.mistral-large-3-675b-instruct"),
        ("open-mixtral-8x7b", "open-mixtral-8x22b"), ("deepseek.r1-v1:0", "us.deepseek.r1-v1:0"), ("deepseek.v3.2", "deepseek-ai/DeepSeek-R1"), ("deepseek-chat", "deepseek-reasoner"),
        ("command-r-plus-08-2024", "command-a-03-2025"), ("c4ai-aya-expanse-32b", "c4ai-aya-vision-8b"), ("amazon.nova-2-lite-v1:0", "amazon.nova-pro-v1:0"),
        ("qwen.qwen3-32b-v1:0", "Qwen/Qwen2.5-7B-Instruct-Turbo"), ("grok-4.3", "xai.grok-4.3"), ("openai.gpt-oss-20b-1:0", "openai/gpt-oss-120b"),
        ("google/gemma-3n-E4B-it", "google.gemma-3-4b-it"), ("GPT-4O", "gpt-4o"), ("42", "42"),
    ]) func oneFamily(_ pair: (String, String)) {
        #expect(isSame(pair.0, pair.1) && isSame(pair.1, pair.0))
    }

    @Test(arguments: [
        ("gpt-4o", "claude-3-opus"), ("mistral-large", "codestral-latest"), ("gpt-4o", "gpt-image-1.5"), ("gpt-4o", "gpt-oss-120b"), ("gpt-4o", "o3"), ("mistral-embed", "mistral-large"),
        ("gemini-2.5-flash", "gemini-2.5-flash-image"), ("gemini-2.5-flash", "gemini-embedding-001"), ("gemini-2.5-pro", "gemma-3-4b-it"), ("open-mixtral-8x7b", "open-mistral-7b"),
        ("llama-3.1-8b", "llama-guard-3-8b"), ("llama-3.1-8b", "codellama-7b"), ("gpt-4o", "gpt-4o-audio-preview"), ("anthropic.claude-sonnet-5", "amazon.nova-pro-v1:0"), ("1", "2"), ("", "gpt-4o"),
        ("text-embedding-3-small", "text-davinci-003"), ("mistral-small-latest", "ministral-8b-latest"), ("openai/gpt-4o", "openai/o3"),
    ]) func twoFamilies(_ pair: (String, String)) {
        #expect(!isSame(pair.0, pair.1) && !isSame(pair.1, pair.0))
    }

    @Test func anyBytesAreRead() {
        var random = Seeded(4)
        for _ in 0..<20_000 {
            let one = (0..<Int(random.next() % 20)).map { _ in Array("gpt-4./:ft o\u{0}é".utf8)[Int(random.next() % 14)] }
            _ = one.withUnsafeBytes { ModelFamily.isSame($0, UnsafeRawBufferPointer(rebasing: $0.dropFirst($0.count / 2))) }
        }
    }
}
