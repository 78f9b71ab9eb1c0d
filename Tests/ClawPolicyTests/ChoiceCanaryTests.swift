import ClawPolicy
import Dispatch
import Synchronization
import Testing

/// Words of the size that canary wants, shared by threads.
final class CanaryWords: @unchecked Sendable {
    let words = Words.allocate(capacity: Canary.words)
    init() { for at in 0..<Canary.words { (words + at).initialize(to: Atomic(0)) } }
    deinit {
        words.deinitialize(count: Canary.words)
        words.deallocate()
    }
}

@Suite struct ChoiceCanaryTests {
    static let shares = [100, 500, 1000, 2500, 5000, 9000]

    @Test func withoutIdentityTheShareIsExactOverAnyRun() {
        for parts in [0, 1, 33, 100, 2500, 3333, 5000, 9000, 9999, 10_000] {
            let state = CanaryWords()
            let taken = (0..<30_000).map { _ in Canary.next(state.words, parts: parts) ? 1 : 0 }
            for start in [0, 1, 77, 5000, 19_999] {
                for length in [100, 1000, 10_000] where start + length <= 30_000 {
                    let got = taken[start..<start + length].reduce(0, +) * 10_000
                    #expect(abs(got - parts * length) <= 10_000, "\(parts) parts from \(start) over \(length)")
                }
            }
        }
    }

    @Test func withoutIdentityTheShareIsExactOverAllWorkers() {
        for parts in Self.shares {
            let state = CanaryWords()
            let taken = Atomic(0)
            DispatchQueue.concurrentPerform(iterations: 4) { _ in
                for _ in 0..<2500 where Canary.next(state.words, parts: parts) { taken.wrappingAdd(1, ordering: .relaxed) }
            }
            #expect(abs(taken.load(ordering: .relaxed) - parts) <= 1)
        }
    }

    @Test func severalArmsAreExactToo() {
        for parts in [[100, 0, 2500], [5000, 3000, 0, 500], [0, 9999], [3333, 3333, 3334], [0]] {
            let rest = parts.firstIndex(of: 0) ?? 2
            let state = CanaryWords()
            var counts = [Int](repeating: 0, count: parts.count)
            parts.withUnsafeBufferPointer { parts in
                for step in 0..<25_000 {
                    let arm = Canary.nextArm(state.words, parts: parts, rest: rest)
                    if step >= 3210, step < 13_210 { counts[arm] += 1 }
                }
            }
            for at in parts.indices where at != rest { #expect(abs(counts[at] - parts[at]) <= 1) }
        }
    }

    /// Deals the requests of these sessions out; every session must keep its arm. Returns the share of each arm in parts.
    private func run(_ requests: [Int], parts: [Int], rest: Int, seed: UInt64, state: CanaryWords = CanaryWords()) -> [Int] {
        var counts = [Int](repeating: 0, count: parts.count)
        var arms: [Int: Int] = [:]
        var moved = 0
        parts.withUnsafeBufferPointer { parts in
            for session in requests {
                let arm = Canary.stickyArm(state.words, identity: Mix.mix(seed, UInt64(session)), parts: parts, rest: rest)
                counts[arm] += 1
                if let old = arms[session], old != arm { moved += 1 }
                arms[session] = arm
            }
        }
        #expect(moved == 0)
        return counts.map { $0 * 10_000 / max(1, requests.count) }
    }

    /// 10,000 requests whose sessions ask as often as Zipf's law says, the greatest cut to 4.8 %.
    private func zipf(_ sessions: Int, _ random: inout Seeded) -> [Int] {
        var weights = (1...sessions).map { 1 / Double($0) }
        for _ in 0..<20 {
            let sum = weights.reduce(0, +)
            weights = weights.map { min($0, 0.045 * sum) }
        }
        var sums: [Double] = []
        for weight in weights { sums.append((sums.last ?? 0) + weight) }
        return (0..<10_000).map { _ in
            let at = Double(random.next() >> 11) * 0x1p-53 * sums[sums.count - 1]
            var (low, high) = (0, sums.count - 1)
            while low < high {
                let middle = (low + high) / 2
                if sums[middle] > at { high = middle } else { low = middle + 1 }
            }
            return low
        }
    }

    @Test func sessionsStickAndTheShareIsWithinAPoint() {
        for seed in 1...5 as ClosedRange<UInt64> {
            var random = Seeded(seed)
            let patterns: [(String, [Int])] = [
                ("1,000 × 10 in turns", (0..<10_000).map { $0 % 1000 }), ("1,000 × 10 one after the other", (0..<10_000).map { $0 / 10 }),
                ("1,000 × 10 mixed", (0..<10_000).map { $0 % 1000 }.shuffled(using: &random)), ("10,000 × 1", Array(0..<10_000)), ("skewed", zipf(1000, &random)), ("skewed, many", zipf(5000, &random)),
            ]
            for (name, requests) in patterns {
                for parts in Self.shares {
                    let share = run(requests, parts: [parts, 0], rest: 1, seed: seed)
                    #expect(abs(share[0] - parts) <= 100, "\(name), seed \(seed): \(share[0]) for \(parts)")
                }
                let three = run(requests, parts: [1000, 0, 3000], rest: 1, seed: seed)
                #expect(abs(three[0] - 1000) <= 100 && abs(three[2] - 3000) <= 100, "\(name), seed \(seed): \(three)")
            }
        }
    }

    @Test func sessionsStickOverManyThreads() {
        let state = CanaryWords()
        let arms = [[Int]](repeating: [], count: 4)
        let results = Mutex(arms)
        DispatchQueue.concurrentPerform(iterations: 4) { worker in
            var own = [Int](repeating: -1, count: 1000)
            var random = Seeded(UInt64(worker))
            ([2000, 0] as [Int]).withUnsafeBufferPointer { parts in
                for _ in 0..<10_000 {
                    let session = Int(random.next() % 1000)
                    let arm = Canary.stickyArm(state.words, identity: Mix.mix(UInt64(session)), parts: parts, rest: 1)
                    if own[session] >= 0, own[session] != arm { own[session] = 99 } else if own[session] != 99 { own[session] = arm }
                }
            }
            results.withLock { $0[worker] = own }
        }
        let all = results.withLock { $0 }
        for session in 0..<1000 { #expect(Set(all.map { $0[session] }.filter { $0 >= 0 }).count <= 1 && !all.contains { $0[session] == 99 }) }
    }

    @Test func newSharesMoveNoMoreThanTheyMust() {
        let state = CanaryWords()
        let requests = (0..<10_000).map { $0 % 1000 }
        _ = run(requests, parts: [1000, 0], rest: 1, seed: 9, state: state)
        // The counts begin anew; who was there keeps to hash or table, so nearly all of the rest's sessions stay.
        let share = run(requests, parts: [2000, 0], rest: 1, seed: 9, state: state)
        #expect(abs(share[0] - 2000) < 400)
    }

    @Test func aMillionIdentitiesDoNotWearItOut() {
        let state = CanaryWords()
        let share = run((0..<300_000).map { ($0 / 3) }, parts: [1000, 0, 500], rest: 1, seed: 5, state: state)
        #expect(abs(share[0] - 1000) <= 100 && abs(share[2] - 500) <= 100)
        // Sessions that stay while others come and go are never moved.
        _ = run((0..<200_000).map { $0 % 7 == 0 ? $0 % 500 : 1_000_000 + $0 }, parts: [1000, 0, 500], rest: 1, seed: 6, state: state)
    }
}
