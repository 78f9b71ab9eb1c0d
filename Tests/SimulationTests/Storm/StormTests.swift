import Foundation
import Glibc
import Synchronization
import Testing

/// Storms decided by chance, each by its seed. `OPENCLAW_STORMS=n` plays the first n of them on two threads, `OPENCLAW_STORM=s` one alone; `make sim` plays ten
/// thousand.
@Suite(.serialized) struct StormTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let requests = environment["OPENCLAW_STORM_REQUESTS"].flatMap { Int($0) } ?? 1000

    private static let seeds: ClosedRange<UInt64> = {
        if let seed = environment["OPENCLAW_STORM"].flatMap({ UInt64($0) }) { return seed...seed }
        return 1...max(1, environment["OPENCLAW_STORMS"].flatMap { UInt64($0) } ?? 20)
    }()

    /// Seeds are worth something only as long as they can be played again.
    @Test func theSameSeedIsTheSameStorm() throws {
        for seed in Self.seeds.prefix(5) {
            let storms = [try Storm(seed: seed, requests: 400, keepsDigest: true), try Storm(seed: seed, requests: 400, keepsDigest: true)]
            for storm in storms { try storm.run() }
            #expect(storms[0].violations == storms[1].violations)
            #expect(storms[0].steps == storms[1].steps && storms[0].elapsed == storms[1].elapsed)
            #expect(storms[0].statuses == storms[1].statuses)
            #expect(storms[0].requests == storms[1].requests)
            #expect(storms[0].logDigest == storms[1].logDigest, "storm \(seed) logs otherwise the second time")
        }
    }

    @Test func INV_1_INV_5_RT_04_UP_14_stormsKeepTheirPromises() throws {
        SeedAtWork.announceTraps()
        let next = Atomic<UInt64>(Self.seeds.lowerBound)
        let failed = Mutex<[(seed: UInt64, violations: [String])]>([])
        let total = Mutex<(requests: Int, delivered: Int, statuses: [Int: Int])>((0, 0, [:]))
        let threads = min(2, Self.seeds.count)
        let started = Date()
        DispatchQueue.concurrentPerform(iterations: threads) { _ in
            while failed.withLock({ $0.count }) < 5 {
                let seed = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard seed <= Self.seeds.upperBound else { return }
                do {
                    let storm = try Storm(seed: seed, requests: Self.requests)
                    if Self.seeds.count == 1 { print(storm.plan.text) }
                    SeedAtWork.seed = seed
                    try storm.run()
                    if !storm.violations.isEmpty { failed.withLock { $0.append((seed, storm.violations)) } }
                    total.withLock { total in
                        total.requests += storm.requests.count
                        total.delivered += storm.delivered
                        for (status, count) in storm.statuses { total.statuses[status, default: 0] += count }
                    }
                } catch { failed.withLock { $0.append((seed, ["\(error)"])) } }
            }
        }
        for (seed, violations) in failed.withLock({ $0 }) {
            Issue.record("""
                storm \(seed): \(violations.count) broken promises, the first ones:
                \(violations.prefix(5).joined(separator: "\n"))
                to play it again: make sim STORM=\(seed)
                """)
        }
        let (requests, delivered, statuses) = total.withLock { $0 }
        let words = statuses.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")
        print("storms: \(Self.seeds.count) seeds, \(requests) requests in \(Int(Date().timeIntervalSince(started))) s, \(delivered) delivered whole; \(words)")
        // A storm in which nothing arrives proves nothing.
        #expect(delivered > requests / 4 || !failed.withLock { $0.isEmpty })
    }
}
