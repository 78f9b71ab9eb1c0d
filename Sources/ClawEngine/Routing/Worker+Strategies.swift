// The strategies: in which order a route's targets are asked. What is decided here is which words to decide by; the decisions are ClawPolicy's.
import CClaw
import ClawConfig
import ClawDialect
import ClawPolicy
import ClawWire

extension Worker {
    /// Tokens that an answer is taken to have where the client does not say.
    static let answerTokensUsual: Int64 = 256

    /// Orders a group of `choice` for the route's strategy: places in the group, written to `choice.order`; how many. `turns`: counters move on.
    func arrange(_ route: UnsafeMutablePointer<PlanRoute>, _ group: UnsafeMutablePointer<Int>, _ count: Int, _ arm: Int, turns: Bool) -> Int {
        let choice = view.pointee.choice
        let into = UnsafeMutableBufferPointer(start: choice.order, count: count)
        @inline(__always) func target(_ at: Int) -> UnsafeMutablePointer<PlanTarget> { route.pointee.targets[choice.places[group[at]]] }
        @inline(__always) func score(_ at: Int, _ value: Int64) { choice.candidates[group[at]].score = value }
        func rotate(_ first: Int) -> Int {
            for step in 0..<count { choice.order[step] = first + step < count ? first + step : first + step - count }
            return count
        }
        let words = rotationWords(route)
        let turns = turns && !view.pointee.isDescribed
        switch route.pointee.strategy {
        case .failover, .firstAvailable, .shadow: return rotate(0)
        case .roundRobin:
            if !turns || count == 1 { return rotate(0) }
            let turn = UInt64(bitPattern: words[0])
            words[0] = Int64(bitPattern: turn &+ 1)
            return rotate(Int(turn % UInt64(count)))
        case .weightedRoundRobin:
            for at in 0..<count { score(at, Int64(target(at).pointee.weight)) }
            if count == 1 { return rotate(0) }
            if !turns { return rotate((0..<count).max { target($0).pointee.weight < target($1).pointee.weight } ?? 0) }
            // Smooth weighted round robin: each gains its weight, the richest is taken and pays the total.
            var best = 0
            var total: Int64 = 0
            for at in 0..<count {
                let place = 1 + choice.places[group[at]]
                words[place] &+= Int64(target(at).pointee.weight)
                total &+= Int64(target(at).pointee.weight)
                if words[place] > words[1 + choice.places[group[best]]] { best = at }
            }
            words[1 + choice.places[group[best]]] &-= total
            return rotate(best)
        case .weightedRandom:
            for at in 0..<count {
                choice.words[at] = SmoothWeighted.effective(weight: target(at).pointee.weight, share: share(target(at)))
                score(at, Int64(target(at).pointee.weight))
            }
            if count == 1 { return rotate(0) }
            if view.pointee.isDescribed { return rotate((0..<count).max { choice.words[$0] < choice.words[$1] } ?? 0) }
            return rotate(SmoothWeighted.pick(nextRandom(), effective: UnsafeBufferPointer(start: choice.words, count: count)) ?? 0)
        case .leastConnections:
            for at in 0..<count {
                choice.numbers[at] = inFlight(target(at))
                choice.weights[at] = target(at).pointee.weight
                score(at, Int64(choice.numbers[at]))
            }
            let turn = UInt64(bitPattern: words[0])
            if turns { words[0] = Int64(bitPattern: turn &+ 1) }
            return LeastLoaded.order(UnsafeBufferPointer(start: choice.numbers, count: count), weights: UnsafeBufferPointer(start: choice.weights, count: count), counter: turn, into: into)
        case .lowestLatency:
            for at in 0..<count {
                choice.words[at] = shared.outlook.latency(target(at).pointee.place).value
                choice.limits[at] = target(at).pointee.latencyMax
                score(at, Int64(clamping: choice.words[at]))
            }
            return LatencyChoice.order(
                UnsafeBufferPointer(start: choice.words, count: count), limits: UnsafeBufferPointer(start: choice.limits, count: count),
                exploration: turns ? route.pointee.exploration : 0, random: nextRandom(), into: into)
        case .lowestCost:
            view.pointee.readPrompt()
            let asked = view.pointee.outputTokensAsked()
            for at in 0..<count {
                choice.words[at] = shared.outlook.latency(target(at).pointee.place).value
                choice.limits[at] = target(at).pointee.latencyMax
                choice.scores[at] = cost(choice.candidates[group[at]], output: asked)
                score(at, choice.scores[at])
            }
            return CostChoice.order(
                UnsafeBufferPointer(start: choice.scores, count: count), averages: UnsafeBufferPointer(start: choice.words, count: count),
                limits: UnsafeBufferPointer(start: choice.limits, count: count), into: into)
        case .canary:
            for at in 0..<count where choice.places[group[at]] == arm {
                choice.order[0] = at
                var next = 1
                for other in 0..<count where other != at {
                    choice.order[next] = other
                    next += 1
                }
                return count
            }
            // Whoever has the rest stands in for an arm that cannot take it.
            let rest = canaryRest(route)
            for at in 0..<count where choice.places[group[at]] == rest { return rotate(at) }
            return rotate(0)
        case .consistentHash: return hashed(route, group, count, into)
        }
    }

    /// This worker's turns on the route.
    private func rotationWords(_ route: UnsafeMutablePointer<PlanRoute>) -> UnsafeMutablePointer<Int64> {
        let plan = view.pointee.plan
        return plan.pointee.rotation + index * plan.pointee.rotationStride + route.pointee.rotationOffset
    }

    private func inFlight(_ target: UnsafeMutablePointer<PlanTarget>) -> Int {
        shared.outlook.concurrency(view.pointee.plan.pointee.upstreams[target.pointee.upstream].pointee.place).inFlight
    }

    /// Of its weight, what an upstream gets whose endpoints have come back a moment ago (slow start): as much as the best of them.
    private func share(_ target: UnsafeMutablePointer<PlanTarget>) -> Double {
        let upstream = view.pointee.plan.pointee.upstreams[target.pointee.upstream]
        if !upstream.pointee.outlier.isEnabled || upstream.pointee.outlier.slowStart == 0 { return 1 }
        var best = 0.0
        for at in 0..<upstream.pointee.endpoints.count where best < 1 {
            best = max(best, shared.outlook.outlier(upstream.pointee.endpoints[at].pointee.place).share(now: now, upstream.pointee.outlier))
        }
        return best > 0 ? best : 1
    }

    /// What this request would cost there, in nano-USD, as far as it can be known before.
    private func cost(_ candidate: Candidate, output: Int64) -> Int64 {
        guard let facts = facts(candidate) else { return CostChoice.unknown }
        var usage = Usage()
        usage.setInput(sum: Int64(view.pointee.prompt.tokens))
        usage.setOutput(sum: min(output > 0 ? output : Self.answerTokensUsual, facts.pointee.outputTokensMax > 0 ? facts.pointee.outputTokensMax : .max))
        return facts.pointee.prices.cost(of: usage, tier: .standard) ?? CostChoice.unknown
    }

    /// What is known of the candidate's model; where it sends the asked one, of that.
    private func facts(_ candidate: Candidate) -> UnsafeMutablePointer<PlanModelFacts>? {
        let list = view.pointee.plan.pointee.upstreams[Int(candidate.upstream)].pointee.facts
        var id = candidate.model.id.raw
        if !candidate.hasModel {
            if view.pointee.surface.hasModelInPath || view.pointee.hasModelInQuery {
                id = view.pointee.requestedModel
            } else if let body = view.pointee.body, view.pointee.modelSpan.kind == .string, let text = view.pointee.text(view.pointee.modelSpan, body) {
                id = text
            }
        }
        return Self.facts(list, id)
    }

    // MARK: canary

    /// The place of the target that has what the others' shares leave.
    private func canaryRest(_ route: UnsafeMutablePointer<PlanRoute>) -> Int {
        for at in 0..<min(route.pointee.targets.count, Canary.armsMax) where route.pointee.targets[at].pointee.parts < 0 { return at }
        return 0
    }

    /// The target that this request belongs to, by the shares; counted, unless the request is only a described one.
    func canaryArm(_ route: UnsafeMutablePointer<PlanRoute>) -> Int {
        let choice = view.pointee.choice
        let count = min(route.pointee.targets.count, Canary.armsMax)
        for at in 0..<count { choice.numbers[at] = max(0, route.pointee.targets[at].pointee.parts) }
        let parts = UnsafeBufferPointer(start: choice.numbers, count: count)
        let rest = canaryRest(route)
        let identity = view.pointee.identity(route.pointee.identity)
        if view.pointee.isDescribed { return identity == 0 ? rest : Canary.hashArm(identity, parts: parts, rest: rest) }
        guard let words = shared.outlook.canaryWords(route.pointee.place) else { return rest }
        return identity == 0 ? Canary.nextArm(words, parts: parts, rest: rest) : Canary.stickyArm(words, identity: identity, parts: parts, rest: rest)
    }

    // MARK: consistent hash

    /// By rendezvous; members that have more than their share of what is under way go behind the others.
    private func hashed(_ route: UnsafeMutablePointer<PlanRoute>, _ group: UnsafeMutablePointer<Int>, _ count: Int, _ into: UnsafeMutableBufferPointer<Int>) -> Int {
        let choice = view.pointee.choice
        var identity = view.pointee.identity(route.pointee.identity)
        if identity == 0 { identity = nextRandom() }
        var total = 0
        for at in 0..<count {
            let target = route.pointee.targets[choice.places[group[at]]]
            choice.words[at] = target.pointee.member
            choice.shares[at] = Double(max(1, target.pointee.weight))
            choice.numbers[at] = inFlight(target)
            choice.candidates[group[at]].score = Int64(choice.numbers[at])
            total &+= choice.numbers[at]
        }
        let members = UnsafeBufferPointer(start: choice.words, count: count), weights = UnsafeBufferPointer(start: choice.shares, count: count)
        let ordered = Rendezvous.order(into: into, key: identity, members: members, weights: weights)
        guard route.pointee.loadFactor > 0, ordered > 1 else { return ordered }
        // The full ones behind the others, both in their order.
        var written = 0
        for round in 0..<2 {
            for step in 0..<ordered {
                let at = into[step]
                let isFull = BoundedLoad.isFull(load: choice.numbers[at], total: total, members: count, factor: route.pointee.loadFactor)
                if isFull == (round == 1) {
                    choice.weights[written] = at
                    written += 1
                }
            }
        }
        for step in 0..<ordered { into[step] = choice.weights[step] }
        return ordered
    }
}
