/// What a storm knows of cool-downs: what the upstreams told, and what the gateway has to make of it at the least.
struct Cooling {
    /// A provider has told an attempt to leave its key alone.
    struct Told {
        let worker: Int
        /// The connection it came over.
        let fd: Int32
        let exchange: UInt32
        let generation: UInt32
        let attempt: Int
        let upstream: Int
        let key: Int
        let model: Int
        /// 0: it did not say for how long.
        let milliseconds: Int
        /// The key is refused as such, for every model.
        let isRefusal: Bool
    }

    private struct Slot {
        var from: UInt64 = 0
        /// It cools so long at the least.
        var until: UInt64 = 0
        /// It may cool so long, and what is told meanwhile does not change that.
        var unsureUntil: UInt64 = 0
    }

    /// Of the step that is played.
    var news: [Told] = []
    private var slots: [Slot]
    /// The least that any plan so far had: requests in flight keep theirs.
    private var longest = Int.max
    private var shortestGuess = Int.max
    private static let refusals = 8
    private static let auth = 2000
    /// No cool-down is longer, a guessed one included (a fifth more, and the grain of the clock).
    private static let everMilliseconds = 24_100

    init(upstreams: Int) { slots = Array(repeating: Slot(), count: upstreams * StormPlan.keysMax * 9) }

    /// A further plan is in force.
    mutating func settle(_ plan: StormPlan) {
        longest = min(longest, plan.cooldownMaxMilliseconds)
        shortestGuess = min(shortestGuess, plan.cooldownBaseMilliseconds)
    }

    private func place(_ upstream: Int, _ key: Int, _ model: Int) -> Int { (upstream * StormPlan.keysMax + key) * 9 + model }

    /// `isHeard`: the gateway is known to have taken note; else it may have.
    mutating func note(_ told: Told, isHeard: Bool, _ now: UInt64) {
        let at = place(told.upstream, told.key, told.isRefusal ? Self.refusals : told.model)
        let isGuessed = told.milliseconds == 0 && !told.isRefusal
        let most = now + UInt64(isGuessed ? Self.everMilliseconds : max(told.milliseconds, Self.auth) + 10) * 1_000_000
        let least = told.isRefusal ? min(Self.auth, longest) : isGuessed ? min(shortestGuess, longest) * 4 / 5 : min(told.milliseconds, longest)
        let until = now + UInt64(least) * 1_000_000
        if slots[at].from == now {
            // Two in one step: either may have been the first.
            slots[at].until = min(slots[at].until, isHeard ? until : now)
        } else if now >= slots[at].unsureUntil {
            slots[at].from = now
            slots[at].until = isHeard ? until : now
        }
        slots[at].unsureUntil = max(slots[at].unsureUntil, most)
    }

    /// A request that was let through to see how the key is has gone well.
    mutating func proved(_ upstream: Int, _ key: Int, _ model: Int) {
        slots[place(upstream, key, model)].until = 0
        slots[place(upstream, key, Self.refusals)].until = 0
    }

    /// Since when and until when at least the key must not be used for the model; nil: it may be.
    func of(_ upstream: Int, _ key: Int, _ model: Int, _ now: UInt64) -> (since: UInt64, until: UInt64)? {
        for at in [place(upstream, key, model), place(upstream, key, Self.refusals)] where now < slots[at].until { return (slots[at].from, slots[at].until) }
        return nil
    }
}
