// What a configuration says of failures: limits, times and orders, as plain values. ClawConfig fills them, the plan carries them, the decisions in this
// module read them. Times are nanoseconds.

/// Kinds of traffic whose failures are counted apart (long tools and short model calls never share a window).
public enum TrafficClass: UInt8, Sendable, CaseIterable {
    case model, tool, http
    public static let words = ["model", "tool", "http"]
    public var word: String { Self.words[Int(rawValue)] }
}

/// Classes of failure that a route can declare a ladder for.
public enum LadderClass: UInt8, Sendable, CaseIterable {
    case rateLimited, overloaded, timeout, network, serverError, auth, modelMissing, contextTooLong, contentFiltered
    public static let words = ["rate_limited", "overloaded", "timeout", "network", "server_error", "auth", "model_missing", "context_too_long", "content_filtered"]
    public var word: String { Self.words[Int(rawValue)] }
}

/// What is done after a failed attempt, one after the other; a step that cannot apply is passed over.
public enum LadderStep: UInt8, Sendable, CaseIterable {
    /// A wait with full jitter in front of the next try.
    case backoff
    /// Once more at the same upstream, on another connection, at another endpoint where there is one; once for each candidate.
    case retry
    /// Another key of the same upstream that is not cooling and was not used by this request.
    case spareKey
    /// Another endpoint of the same upstream, with a key that this request has not used.
    case nextEndpoint
    /// Fewer requests at a time to this upstream; then the next step.
    case lowerConcurrency
    /// The next of the strategy's upstreams.
    case nextCandidate
    /// The next of the strategy's upstreams, then those of `fallback`; after `model_missing` and `content_filtered` those of `fallback` alone.
    case fallbackModel
    /// The next candidate, of the strategy or of `fallback`, whose model has a larger context window.
    case largerWindow
    public static let words = ["backoff", "retry", "spare_key", "next_endpoint", "lower_concurrency", "next_candidate", "fallback_model", "larger_window"]
    public var word: String { Self.words[Int(rawValue)] }
}

/// At most eight steps for each class, in the order in which they are tried.
public struct Ladder: Sendable, Equatable {
    public var steps: [LadderStep]
    public init(_ steps: [LadderStep]) { self.steps = steps }
    public static let stepsMax = 8
    /// What is done where a route says nothing.
    public static func standard(_ of: LadderClass) -> Ladder {
        switch of {
        case .rateLimited: Ladder([.spareKey, .lowerConcurrency, .nextCandidate, .fallbackModel])
        case .overloaded: Ladder([.backoff, .nextCandidate, .fallbackModel])
        case .timeout: Ladder([.nextEndpoint, .nextCandidate, .fallbackModel])
        case .network: Ladder([.retry, .nextCandidate, .fallbackModel])
        case .serverError: Ladder([.nextCandidate, .fallbackModel])
        case .auth: Ladder([.spareKey, .nextCandidate, .fallbackModel])
        case .modelMissing: Ladder([.fallbackModel])
        case .contextTooLong: Ladder([.largerWindow])
        case .contentFiltered: Ladder([])
        }
    }
}

/// Whether a model other than the one asked for may answer.
public enum AllowDowngrade: String, Sendable, CaseIterable { case none, sameFamily = "same_family", any }

public struct BreakerSettings: Sendable, Equatable {
    public var isEnabled = true
    public var window: UInt64 = 30_000_000_000
    public var samplesMin = 20
    public var failureRatio = 0.5
    public var consecutiveFailures = 5
    public var open: UInt64 = 30_000_000_000
    public var openMax: UInt64 = 300_000_000_000
    public var halfOpenProbes = 1
    public var halfOpenSuccesses = 3
    public init() {}
}

public struct CooldownSettings: Sendable, Equatable {
    /// The first cool-down where the provider does not say how long; doubled with each further failure.
    public var base: UInt64 = 1_000_000_000
    /// No cool-down is longer, whatever a provider says. 0: no key ever cools down.
    public var max: UInt64 = 300_000_000_000
    /// How long a refused key (401, 403) is left alone before it is tried again.
    public var authProbe: UInt64 = 300_000_000_000
    /// When every key cools for a time that nobody told us, one request in so long is let through all the same.
    public var probeInterval: UInt64 = 1_000_000_000
    /// Of what a key's limit allows, the share below which other keys are preferred.
    public var reserveRatio = 0.05
    public init() {}
}

public struct ConcurrencySettings: Sendable, Equatable {
    /// 0: no limit.
    public var max = 0
    public var pendingMax = 1024
    /// Finds the limit by itself, between `min` and `max`: lowered when the upstream says it is too much, raised by one for each full round.
    public var isAdaptive = false
    public var min = 1
    /// What is kept of the limit when it is lowered.
    public var decrease = 0.7
    public init() {}
}

public struct RetrySettings: Sendable, Equatable {
    /// Attempts in all, the first included.
    public var attemptsMax = 3
    /// Retries as a share of requests (over 10 s), beside `perSecondMin` retries a second that are always allowed.
    public var budget = 0.2
    public var perSecondMin = 10
    public var backoffBase: UInt64 = 25_000_000
    public var backoffMax: UInt64 = 1_000_000_000
    public init() {}
}

public struct HedgeSettings: Sendable, Equatable {
    public enum After: Sendable, Equatable { case nanoseconds(UInt64), p50, p90, p95, p99 }
    public var after = After.p95
    /// Second attempts as a share of requests.
    public var ratioMax = 0.05
    public init() {}
}

/// Passive health: an endpoint of several that fails is left out for a while.
public struct OutlierSettings: Sendable, Equatable {
    public var isEnabled = true
    public var consecutiveFailures = 5
    public var ejection: UInt64 = 30_000_000_000
    public var ejectionMax: UInt64 = 300_000_000_000
    /// Of an upstream's endpoints at most this share is left out; beyond it all are asked again.
    public var ejectedRatioMax = 0.5
    /// How long a returned endpoint's share grows from a tenth to the whole; 0: at once.
    public var slowStart: UInt64 = 30_000_000_000
    public init() {}
}

/// Active health: a probe of each endpoint at an interval.
public struct ProbeSettings: Sendable, Equatable {
    public enum Kind: Sendable, Equatable { case http(path: String), tcp, modelHandshake }
    public var kind = Kind.tcp
    public var interval: UInt64 = 30_000_000_000
    public var timeout: UInt64 = 5_000_000_000
    public var unhealthyAfter = 3
    public var healthyAfter = 2
    /// Statuses that count as healthy (HTTP).
    public var statuses: ClosedRange<Int> = 200...399
    /// A model handshake asks for this model; empty: the first that the upstream lists.
    public var model = ""
    public init() {}
}
