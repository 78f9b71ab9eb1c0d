// What keeps retries from multiplying an outage: over the last ten seconds at most a share of the requests, beside a few a second that are always allowed.
import Synchronization

public struct RetryBudget: @unchecked Sendable {
    public static let words = SlidingCounts.words
    public static let window: UInt64 = 10_000_000_000

    @usableFromInline let counts: SlidingCounts
    @inlinable @inline(__always) public init(_ memory: Words) { counts = SlidingCounts(memory) }

    /// One request begins (its first attempt, not its retries).
    public func request(now: UInt64) { counts.addGood(now: now, window: Self.window) }

    /// Takes one retry from the budget; false: there is none left. Never one too many over all threads.
    public func mayRetry(now: UInt64, _ settings: RetrySettings) -> Bool {
        counts.take(now: now, window: Self.window) { requests in
            portion(settings.budget, of: requests) &+ min(max(settings.perSecondMin, 0), 100_000) &* 10
        }
    }

    public func spent(now: UInt64) -> (requests: Int, retries: Int) {
        let sum = counts.sum(now: now, window: Self.window)
        return (sum.good, sum.bad)
    }
}

/// A share of a count, rounded down; what is no share counts as none.
func portion(_ ratio: Double, of count: Int) -> Int {
    guard ratio > 0 else { return 0 }
    return Int(min(ratio, 1) * Double(count) + 1e-9)
}
