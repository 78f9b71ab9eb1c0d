// What lies where in the outlook: each place's words, cut into the views that ClawPolicy gives a meaning. Every view begins on a cache line of its own, so
// that counting one thing does not slow down reading another.
import ClawPolicy
import Synchronization

extension Outlook {
    /// Words a view takes: whole cache lines.
    private static func lines(_ words: Int) -> Int { (words + 7) / 8 * 8 }

    // MARK: upstreams

    private static let concurrencyAt = TrafficClass.allCases.count * lines(Breaker.words)
    private static let queueAt = concurrencyAt + lines(ConcurrencyLimit.words)
    static let upstreamWordsUsed = queueAt + 16

    func breaker(_ upstream: Int, _ traffic: TrafficClass) -> Breaker { Breaker(self.upstream(upstream) + Int(traffic.rawValue) * Self.lines(Breaker.words)) }
    /// Requests under way at an upstream, and how many may be.
    func concurrency(_ upstream: Int) -> ConcurrencyLimit { ConcurrencyLimit(self.upstream(upstream) + Self.concurrencyAt) }
    /// How many requests of all workers wait for a place there.
    func queued(_ upstream: Int) -> Words { self.upstream(upstream) + Self.queueAt }
    /// How many requests of all workers wait for one of its keys to be usable again.
    func recovering(_ upstream: Int) -> Words { self.upstream(upstream) + Self.queueAt + 1 }
    /// A bit for each worker that has requests waiting there (worker 64 shares that of worker 0).
    func waitingWorkers(_ upstream: Int) -> Words { self.upstream(upstream) + Self.queueAt + 8 }

    // MARK: keys

    private static let quotaAt = lines(Cooldowns.words)
    static let keyWordsUsed = quotaAt + lines(Quota.words)

    func cooldowns(_ key: Int) -> Cooldowns { Cooldowns(self.key(key)) }
    /// Does this key cool for anything? `Cooldowns` keeps the latest end of all in its first word.
    @inline(__always)
    func isCooling(_ key: Int, now: UInt64) -> Bool { self.key(key)[0].load(ordering: .relaxed) > now }
    /// Has it ever failed, so that a success is worth telling?
    @inline(__always)
    func isBlemished(_ key: Int) -> Bool { self.key(key)[0].load(ordering: .relaxed) != 0 }
    func quota(_ key: Int) -> Quota { Quota(self.key(key) + Self.quotaAt) }

    // MARK: endpoints, targets, routes

    /// When live traffic was last answered well, on a line of its own (Control/Health).
    static let endpointAnsweredAt = lines(Outlier.words) + 8
    static let endpointWordsUsed = endpointAnsweredAt + 8
    /// The end of the ejection whose end was told of.
    func toldReturn(_ endpoint: Int) -> Words { self.endpoint(endpoint) + Self.lines(Outlier.words) }
    func outlier(_ endpoint: Int) -> Outlier { Outlier(self.endpoint(endpoint)) }

    static let targetWordsUsed = lines(Latency.words)
    func latency(_ target: Int) -> Latency { Latency(self.target(target)) }

    private static let hedgeAt = lines(RetryBudget.words)
    private static let canaryAt = hedgeAt + lines(HedgeBudget.words)
    static let routeWordsUsed = canaryAt + 48

    func retryBudget(_ route: Int) -> RetryBudget { RetryBudget(self.route(route)) }
    func hedgeBudget(_ route: Int) -> HedgeBudget { HedgeBudget(self.route(route) + Self.hedgeAt) }
    /// 48 words for what a route's strategy shares between workers.
    func canary(_ route: Int) -> Words { self.route(route) + Self.canaryAt }

    /// Do all views have room?
    static var fits: Bool {
        upstreamWordsUsed <= upstreamStride && keyWordsUsed <= keyStride && endpointWordsUsed <= endpointStride && targetWordsUsed <= targetStride
            && routeWordsUsed <= routeStride
    }
}
