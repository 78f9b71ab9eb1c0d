// How many second attempts may run beside a late first: a share of the requests of the last minute. A minute, so that a route with a request a second and a
// share of 5 % may hedge at all.
import Synchronization

public struct HedgeBudget: @unchecked Sendable {
    public static let words = SlidingCounts.words
    public static let window: UInt64 = 60_000_000_000

    private let counts: SlidingCounts
    public init(_ memory: Words) { counts = SlidingCounts(memory) }

    public func request(now: UInt64) { counts.add(good: 1, now: now, window: Self.window) }

    /// Takes one hedge from the budget; false: there is none left. Never one too many over all threads.
    public func mayHedge(now: UInt64, _ settings: HedgeSettings) -> Bool {
        counts.take(now: now, window: Self.window) { portion(settings.ratioMax, of: $0) }
    }

    public func spent(now: UInt64) -> (requests: Int, hedges: Int) {
        let sum = counts.sum(now: now, window: Self.window)
        return (sum.good, sum.bad)
    }
}
