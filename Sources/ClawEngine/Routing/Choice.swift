// The memory of one choice among a route's targets: who could be asked, who cannot and why, and in which order. A worker has one and uses it again for every
// request; explaining reads what it holds afterwards.
import ClawPolicy

struct Choice {
    /// More targets of a route than these are not looked at (a profile's are its models times the upstreams).
    static let targetsMax = 4096
    static let fallbacksMax = 4

    /// What became of a target.
    enum Fate: UInt8 {
        case chosen
        /// Good enough, but there were better ones for all places of the list.
        case beyondLimit
        /// The upstream has no such model, or the request names none.
        case notServed
        case noModel
        case noEndpoint
        /// Its model is another than the one asked for, which the route does not allow.
        case downgrade
        /// `weight: 0` in a weighted strategy.
        case weightZero
        /// The same upstream with the same model is in the list already.
        case duplicate
        /// Its model is another than the one asked for: it has its own share of the requests, but may not stand in for those in the list.
        case ownShare
        static let words = ["chosen", "beyond_limit", "model_not_served", "no_model", "no_endpoint", "downgrade_not_allowed", "weight_zero", "duplicate", "own_share_only"]
        var word: String { Self.words[Int(rawValue)] }
    }

    /// By place among those that could be asked.
    let candidates: UnsafeMutablePointer<Candidate>
    let places: UnsafeMutablePointer<Int>
    let states: UnsafeMutablePointer<Availability>
    /// Places in the above: those that can take the request now, those that cannot.
    let ready: UnsafeMutablePointer<Int>
    let waiting: UnsafeMutablePointer<Int>
    /// What strategies count with, and the order they make.
    let order: UnsafeMutablePointer<Int>
    let numbers: UnsafeMutablePointer<Int>
    let weights: UnsafeMutablePointer<Int>
    let words: UnsafeMutablePointer<UInt64>
    let limits: UnsafeMutablePointer<UInt64>
    let shares: UnsafeMutablePointer<Double>
    let scores: UnsafeMutablePointer<Int64>
    /// By target.
    let fates: UnsafeMutablePointer<Fate>
    let fallbackFates: UnsafeMutablePointer<Fate>
    /// The list.
    let chosen: UnsafeMutablePointer<Candidate>
    /// Of those chosen: what they were found to be.
    let chosenStates: UnsafeMutablePointer<Availability>

    init() {
        candidates = .allocate(capacity: Self.targetsMax)
        places = .allocate(capacity: Self.targetsMax)
        states = .allocate(capacity: Self.targetsMax)
        ready = .allocate(capacity: Self.targetsMax)
        waiting = .allocate(capacity: Self.targetsMax)
        order = .allocate(capacity: Self.targetsMax)
        numbers = .allocate(capacity: Self.targetsMax)
        weights = .allocate(capacity: Self.targetsMax)
        words = .allocate(capacity: Self.targetsMax)
        limits = .allocate(capacity: Self.targetsMax)
        shares = .allocate(capacity: Self.targetsMax)
        scores = .allocate(capacity: Self.targetsMax)
        fates = .allocate(capacity: Self.targetsMax)
        fallbackFates = .allocate(capacity: Self.fallbacksMax)
        chosen = .allocate(capacity: Exchange.candidatesMax)
        chosenStates = .allocate(capacity: Exchange.candidatesMax)
    }

    func release() {
        candidates.deallocate()
        places.deallocate()
        states.deallocate()
        ready.deallocate()
        waiting.deallocate()
        order.deallocate()
        numbers.deallocate()
        weights.deallocate()
        words.deallocate()
        limits.deallocate()
        shares.deallocate()
        scores.deallocate()
        fates.deallocate()
        fallbackFates.deallocate()
        chosen.deallocate()
        chosenStates.deallocate()
    }
}
