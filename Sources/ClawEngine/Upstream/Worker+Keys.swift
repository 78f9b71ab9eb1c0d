// Which key and which endpoint an attempt uses. A key is usable for a model when it is for that model, does not cool down for it, and was not found wanting
// by this very request. Among usable keys the weights decide, or, with affinity, the beginning of the prompt, so that a conversation comes back to the key (and the
// endpoint) whose provider has it cached. A key that is nearly used up, as its answers' heads say, is taken when there is no other. Endpoints likewise:
// those that are healthy, were reachable lately, and did not fail this request; when there is none such, any.
import CClaw
import ClawDialect
import ClawPolicy
import ClawWire

extension Worker {
    /// What a key's cool-downs and quotas are kept by.
    func modelHash(_ exchange: UnsafeMutablePointer<Exchange>, _ candidate: Candidate) -> UInt64 {
        candidate.hasModel || exchange.pointee.requestedModel.count == 0 ? candidate.model.hash : Outlook.hash(exchange.pointee.requestedModel)
    }

    // MARK: keys

    /// A key for the next attempt at this candidate; nil, and the refusal noted, when there is none.
    func chooseKey(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ candidate: Candidate) -> Int? {
        let keys = upstream.pointee.keys
        let why = exchange.pointee.why
        let isFresh = why == .spareKey || why == .nextEndpoint
        if keys.count == 1, exchange.pointee.attemptCount == 0, keys[0].pointee.models.count == 0 {
            // The usual case: one key that nothing speaks against.
            if !shared.outlook.isCooling(keys[0].pointee.place, now: now) { return 0 }
            guard let cooling = cooling(keys[0], upstream, modelHash(exchange, candidate)) else { return 0 }
            refuse(exchange, cooling.class == .rateLimited ? .cooling : .keys, until: cooling.until)
            return nil
        }
        let model = modelHash(exchange, candidate)
        // Usable ones, and of them those with something left: a bit each.
        var usable: UInt64 = 0
        var ample: UInt64 = 0
        var soonest = UInt64.max
        var why429 = true
        for at in 0..<min(keys.count, 64) {
            let key = keys[at]
            guard key.pointee.serves(model) else { continue }
            if let cooling = cooling(key, upstream, model) {
                soonest = min(soonest, cooling.until)
                if cooling.class != .rateLimited { why429 = false }
                continue
            }
            if exchange.pointee.attemptCount > 0, isSpent(exchange, upstream: candidate.upstream, key: at, alsoUnblamed: isFresh) { continue }
            usable |= 1 << UInt64(at)
            if hasAmple(exchange, upstream, key, model) { ample |= 1 << UInt64(at) }
        }
        if usable == 0 {
            refuse(exchange, soonest != .max && why429 ? .cooling : .keys, until: soonest)
            return nil
        }
        return pick(exchange, keys, among: ample != 0 ? ample : usable)
    }

    /// What keeps this key from the model; nothing where the present configuration has no cool-downs, whatever an earlier one left.
    private func cooling(_ key: UnsafeMutablePointer<PlanKey>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ model: UInt64) -> (until: UInt64, class: CooldownClass, isTold: Bool)? {
        upstream.pointee.cooldown.max == 0 ? nil : shared.outlook.cooldowns(key.pointee.place).until(model: model, now: now)
    }

    /// Was this key found wanting by this request? After a time-out it is never used again; whatever failed, a step that asks for another key gets one.
    private func isSpent(_ exchange: UnsafeMutablePointer<Exchange>, upstream: Int32, key: Int, alsoUnblamed: Bool) -> Bool {
        for at in 0..<exchange.pointee.attemptCount {
            let attempt = exchange.pointee.attempts[at]
            guard attempt.upstream == upstream, attempt.key == Int32(key) else { continue }
            switch attempt.errorClass {
            case .timeout, .auth: return true
            // Its attempt still runs.
            case .none where exchange.pointee.why == .hedge: return true
            default: if alsoUnblamed { return true }
            }
        }
        return false
    }

    /// Is there a usable key of this candidate's upstream that this request has not used?
    func hasFreshKey(_ exchange: UnsafeMutablePointer<Exchange>, _ at: Int) -> Bool {
        let candidate = exchange.pointee.candidates[at]
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(candidate.upstream)]
        let keys = upstream.pointee.keys
        if keys.count < 2 { return false }
        let model = modelHash(exchange, candidate)
        for key in 0..<min(keys.count, 64) where keys[key].pointee.serves(model) {
            var wasUsed = false
            for at in 0..<exchange.pointee.attemptCount where exchange.pointee.attempts[at].upstream == candidate.upstream && exchange.pointee.attempts[at].key == Int32(key) { wasUsed = true }
            if !wasUsed, cooling(keys[key], upstream, model) == nil { return true }
        }
        return false
    }

    /// Enough left of what the provider allows this key, as far as it said.
    private func hasAmple(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ key: UnsafeMutablePointer<PlanKey>, _ model: UInt64) -> Bool {
        shared.outlook.quota(key.pointee.place).standing(model: model, tokens: tokensExpected(exchange), now: now, upstream.pointee.cooldown) == .ample
    }

    /// What a request takes from its key's limit of tokens, as far as can be guessed.
    private func tokensExpected(_ exchange: UnsafeMutablePointer<Exchange>) -> Int {
        let prompt = exchange.pointee.promptTokens > 0 ? Int(exchange.pointee.promptTokens) : exchange.pointee.bodyLength / 4
        return prompt &+ Int(exchange.pointee.outputTokensAsked)
    }

    /// An attempt with this key begins.
    func spend(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ attempt: Attempt) {
        let model = modelHash(exchange, exchange.pointee.candidates[Int(attempt.candidate)])
        shared.outlook.quota(upstream.pointee.keys[Int(attempt.key)].pointee.place).spend(model: model, tokens: tokensExpected(exchange))
    }

    /// One of the keys in the set, by affinity or by weight.
    private func pick(_ exchange: UnsafeMutablePointer<Exchange>, _ keys: List<PlanKey>, among set: UInt64) -> Int {
        if set & (set &- 1) == 0 { return set.trailingZeroBitCount }
        if let prefix = affinity(exchange) {
            var best = set.trailingZeroBitCount
            var bestScore = 0.0
            for at in 0..<min(keys.count, 64) where set & (1 << UInt64(at)) != 0 {
                let score = Rendezvous.score(key: prefix, member: UInt64(keys[at].pointee.place) &+ 1, weight: Double(keys[at].pointee.weight))
                if score > bestScore { (best, bestScore) = (at, score) }
            }
            return best
        }
        var total = 0
        for at in 0..<min(keys.count, 64) where set & (1 << UInt64(at)) != 0 { total += keys[at].pointee.weight }
        guard total > 0 else { return set.trailingZeroBitCount }
        var point = Int(nextRandom() % UInt64(total))
        for at in 0..<min(keys.count, 64) where set & (1 << UInt64(at)) != 0 {
            point -= keys[at].pointee.weight
            if point < 0 { return at }
        }
        return set.trailingZeroBitCount
    }

    /// What brings this request's conversation back to where it was; nil: nothing does.
    private func affinity(_ exchange: UnsafeMutablePointer<Exchange>) -> UInt64? {
        guard exchange.pointee.prefix != 0, exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.hasPromptAffinity else { return nil }
        return exchange.pointee.prefix
    }

    /// Nobody admits this request. Where keys cool for a time that nobody told us, one request in `probe_interval_seconds` is let through to see whether
    /// they still have to.
    func takeKeyProbe(_ index: UInt32) -> Bool {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.attemptCount == 0, !exchange.pointee.refusals.isDisjoint(with: [.cooling, .keys]) else { return false }
        for at in 0..<exchange.pointee.candidateCount {
            let candidate = exchange.pointee.candidates[at]
            let upstream = exchange.pointee.plan.pointee.upstreams[Int(candidate.upstream)]
            guard upstream.pointee.keys.count > 0 else { continue }
            let model = modelHash(exchange, candidate)
            for key in 0..<upstream.pointee.keys.count where upstream.pointee.keys[key].pointee.serves(model) {
                let cooldowns = shared.outlook.cooldowns(upstream.pointee.keys[key].pointee.place)
                guard let cooling = cooldowns.until(model: model, now: now), !cooling.isTold, cooldowns.mayProbe(now: now, upstream.pointee.cooldown) else { continue }
                exchange.pointee.candidateNext = at + 1
                exchange.pointee.why = .probe
                exchange.pointee.reachable = 0
                exchange.pointee.totalDeadline = deadline(exchange, candidate)
                switch prepare(index, candidate) {
                case .answered: return true
                case .unfit: break
                case .ready: if admit(index, holdsPlace: false, probing: key) != .refused { return true }
                }
            }
        }
        exchange.pointee.candidateNext = 0
        return false
    }

    // MARK: endpoints

    /// Is this endpoint one to ask: healthy, and reachable as far as is known?
    @inline(__always)
    func isUsable(_ endpoint: UnsafeMutablePointer<PlanEndpoint>) -> Bool {
        shared.outlook.outlier(endpoint.pointee.place).isUsable(now: now) && claw_word_load_relaxed(shared.unavailableUntil + endpoint.pointee.place) <= now
    }

    /// Did this request fail there?
    private func hasFailed(_ exchange: UnsafeMutablePointer<Exchange>, at place: Int) -> Bool {
        let isHedge = exchange.pointee.why == .hedge && exchange.pointee.isDetached
        for at in 0..<exchange.pointee.attemptCount where Int(exchange.pointee.attempts[at].endpoint) == place && (exchange.pointee.attempts[at].errorClass.isBreakers || isHedge) { return true }
        return false
    }

    func hasFreshEndpoint(_ exchange: UnsafeMutablePointer<Exchange>, _ at: Int) -> Bool {
        let endpoints = exchange.pointee.plan.pointee.upstreams[Int(exchange.pointee.candidates[at].upstream)].pointee.endpoints
        if endpoints.count < 2 { return false }
        for at in 0..<endpoints.count {
            var wasUsed = false
            for one in 0..<exchange.pointee.attemptCount where Int(exchange.pointee.attempts[one].endpoint) == endpoints[at].pointee.place { wasUsed = true }
            if !wasUsed, isUsable(endpoints[at]) { return true }
        }
        return false
    }

    /// Several endpoints: one of them, by weight and by how long it is back.
    func pickEndpoint(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>) -> Int {
        let endpoints = upstream.pointee.endpoints
        let hasPast = exchange.pointee.attemptCount > 1
        // First those that are usable and did not fail this request, then those that only did not fail it, then any (all are out: better one of them than none).
        for round in 0..<3 {
            func share(_ at: Int) -> UInt64 {
                let endpoint = endpoints[at]
                if round < 2, hasPast, hasFailed(exchange, at: endpoint.pointee.place) { return 0 }
                let weight = UInt64(clamping: endpoint.pointee.weight) &* 1024
                if round > 0 { return weight }
                guard isUsable(endpoint) else { return 0 }
                let share = shared.outlook.outlier(endpoint.pointee.place).share(now: now, upstream.pointee.outlier)
                return share >= 1 ? weight : UInt64(Double(weight) * share)
            }
            if let prefix = affinity(exchange) {
                var best: Int?
                var bestScore = 0.0
                for at in 0..<endpoints.count {
                    let score = Rendezvous.score(key: prefix, member: UInt64(endpoints[at].pointee.place) &+ 1, weight: Double(share(at)))
                    if score > bestScore { (best, bestScore) = (at, score) }
                }
                if let best { return best }
                continue
            }
            var total: UInt64 = 0
            for at in 0..<endpoints.count { total &+= share(at) }
            if total == 0 { continue }
            var point = nextRandom() % total
            for at in 0..<endpoints.count {
                let share = share(at)
                if point < share { return at }
                point &-= share
            }
        }
        return 0
    }
}
