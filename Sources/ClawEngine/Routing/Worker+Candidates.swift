// The candidates of a request: its route's targets that serve the model, in the order of the strategy, those that can take it now in front of those that
// cannot; then what `fallback` names. Everything is over the request in `view` and the words all workers share, so that explaining can ask the same.
import CClaw
import ClawConfig
import ClawDialect
import ClawPolicy
import ClawWire
import Glibc

extension Worker {
    /// Of the strategy's targets at most so many are candidates.
    static let strategyMax = 6

    /// Fills the exchange's candidates in the order they are to be tried; `view` describes it.
    func chooseCandidates(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) {
        exchange.pointee.candidateNext = 0
        if route.pointee.targets.count == 1, route.pointee.fallbacks.count == 0, route.pointee.strategy != .canary {
            // The usual case: one that is asked whether it seems able to or not, so nobody looks.
            var fate = Choice.Fate.chosen
            guard let only = fit(route, route.pointee.targets[0], isFallback: false, fate: &fate) else {
                exchange.pointee.candidateCount = 0
                return
            }
            exchange.pointee.candidates[0] = only
            exchange.pointee.candidateCount = 1
            return
        }
        let count = choose(route)
        for at in 0..<count { exchange.pointee.candidates[at] = view.pointee.choice.chosen[at] }
        if count > 1, exchange.pointee.candidates[0].isOther { noteStandIn(exchange, count) }
        exchange.pointee.candidateCount = count
    }

    /// Another model comes first: because one that serves what was asked for cannot take it now, or because the strategy says so?
    private func noteStandIn(_ exchange: UnsafeMutablePointer<Exchange>, _ count: Int) {
        let choice = view.pointee.choice
        for at in 1..<count where !choice.chosen[at].isOther && !choice.chosenStates[at].isReady && choice.chosenStates[0].isReady { exchange.pointee.candidates[0].standsIn = true }
    }

    /// Fills `choice` and returns how many there are.
    func choose(_ route: UnsafeMutablePointer<PlanRoute>) -> Int {
        let choice = view.pointee.choice
        let isProfile = route.pointee.profile >= 0
        let range = targets(route)
        var eligible = 0, readyCount = 0, waitingCount = 0
        for step in 0..<range.count {
            let at = range.at(step)
            let target = route.pointee.targets[at]
            guard let candidate = fit(route, target, isFallback: false, fate: &choice.fates[at]) else { continue }
            choice.fates[at] = .beyondLimit
            choice.candidates[eligible] = candidate
            choice.places[eligible] = at
            let state = availability(target, candidate, route)
            choice.states[eligible] = state
            if state.isReady {
                choice.ready[readyCount] = eligible
                readyCount += 1
            } else {
                choice.waiting[waitingCount] = eligible
                waitingCount += 1
            }
            eligible += 1
        }
        var count = 0
        let limit = isProfile ? Exchange.candidatesMax : Self.strategyMax
        let arm = route.pointee.strategy == .canary ? canaryArm(route) : 0
        // Candidates that cannot take it now come last, not never: the last usable one is never taken away.
        count = append(route, choice.ready, readyCount, arm, turns: true, count, limit)
        count = append(route, choice.waiting, waitingCount, arm, turns: readyCount == 0, count, limit)
        return appendFallbacks(route, count)
    }

    /// The targets to look at, in their order: of a profile those of the model that is asked for first.
    private func targets(_ route: UnsafeMutablePointer<PlanRoute>) -> TargetRange {
        var range = TargetRange(total: min(route.pointee.targets.count, Choice.targetsMax))
        guard route.pointee.profile >= 0, let asked = askedModel() else { return range }
        let models = view.pointee.plan.pointee.profiles[Int(route.pointee.profile)].pointee.models
        for at in 0..<models.count where models[at].pointee.name.equals(asked) {
            range.first = models[at].pointee.from
            range.firstCount = min(models[at].pointee.count, max(0, range.total - range.first))
            break
        }
        return range
    }

    private struct TargetRange {
        let total: Int
        var first = 0, firstCount = 0
        var count: Int { total }
        /// The first ones in front, the others in their order.
        @inline(__always)
        func at(_ step: Int) -> Int {
            if step < firstCount { return first + step }
            let rest = step - firstCount
            return rest < first ? rest : rest + firstCount
        }
    }

    /// Puts a group of those that could be asked into the list, in the strategy's order. `turns`: the request takes its turn in this group.
    private func append(
        _ route: UnsafeMutablePointer<PlanRoute>, _ group: UnsafeMutablePointer<Int>, _ groupCount: Int, _ arm: Int, turns: Bool, _ before: Int, _ limit: Int
    ) -> Int {
        let choice = view.pointee.choice
        guard groupCount > 0, before < limit else { return before }
        let ordered = groupCount == 1 && !turns ? 1 : arrange(route, group, groupCount, arm, turns: turns)
        var count = before
        for step in 0..<ordered where count < limit {
            let place = groupCount == 1 ? group[0] : group[choice.order[step]]
            let at = choice.places[place]
            if holds(choice.candidates[place], count) {
                choice.fates[at] = .duplicate
                continue
            }
            // Its share of the requests is its own, as the strategy says; it may not stand in for another.
            if count > 0, !isAllowed(route, choice.candidates[place], isFallback: false) {
                choice.fates[at] = .ownShare
                continue
            }
            choice.chosen[count] = choice.candidates[place]
            choice.chosenStates[count] = choice.states[place]
            choice.fates[at] = .chosen
            count += 1
        }
        return count
    }

    private func holds(_ candidate: Candidate, _ count: Int) -> Bool {
        for at in 0..<count {
            let other = view.pointee.choice.chosen[at]
            if other.upstream == candidate.upstream, other.hasModel == candidate.hasModel, !candidate.hasModel || other.model.id.equals(candidate.model.id.raw) { return true }
        }
        return false
    }

    private func appendFallbacks(_ route: UnsafeMutablePointer<PlanRoute>, _ before: Int) -> Int {
        let choice = view.pointee.choice
        let fallbacks = route.pointee.fallbacks
        if fallbacks.count == 0 { return before }
        var count = before
        for round in 0..<2 {
            for at in 0..<min(fallbacks.count, Choice.fallbacksMax) {
                if round == 1, choice.fallbackFates[at] != .beyondLimit { continue }
                guard var candidate = fit(route, fallbacks[at], isFallback: true, fate: &choice.fallbackFates[at]) else { continue }
                choice.fallbackFates[at] = .beyondLimit
                let state = availability(fallbacks[at], candidate, route)
                if state.isReady != (round == 0) { continue }
                if holds(candidate, count) {
                    choice.fallbackFates[at] = .duplicate
                    continue
                }
                guard count < Exchange.candidatesMax else { continue }
                candidate.isFallback = true
                choice.chosen[count] = candidate
                choice.chosenStates[count] = state
                choice.fallbackFates[at] = .chosen
                count += 1
            }
        }
        return count
    }

    private func availability(_ target: UnsafeMutablePointer<PlanTarget>, _ candidate: Candidate, _ route: UnsafeMutablePointer<PlanRoute>) -> Availability {
        let upstream = view.pointee.plan.pointee.upstreams[target.pointee.upstream]
        if route.pointee.strategy == .firstAvailable {
            // An endpoint that nobody could connect to a moment ago is passed by.
            var until = UInt64.max
            for at in 0..<upstream.pointee.endpoints.count { until = min(until, claw_word_load_relaxed(shared.unavailableUntil + upstream.pointee.endpoints[at].pointee.place)) }
            if until > now { return .until(until, .unhealthy) }
        }
        return availability(upstream, model: modelHash(candidate), route.pointee.trafficClass ?? (upstream.pointee.isModel ? .model : .http))
    }

    /// What the keys' cool-downs for this candidate are kept by.
    func modelHash(_ candidate: Candidate) -> UInt64 {
        candidate.hasModel || view.pointee.requestedModel.count == 0 ? candidate.model.hash : Outlook.hash(view.pointee.requestedModel)
    }

    // MARK: one target

    /// The target as a candidate for this request; nil when it is none, and why.
    private func fit(_ route: UnsafeMutablePointer<PlanRoute>, _ target: UnsafeMutablePointer<PlanTarget>, isFallback: Bool, fate: inout Choice.Fate) -> Candidate? {
        if target.pointee.weight == 0, !isFallback, route.pointee.strategy.goesByWeight {
            fate = .weightZero
            return nil
        }
        guard var candidate = candidate(route, target, fate: &fate) else { return nil }
        candidate.target = Int32(truncatingIfNeeded: target.pointee.place)
        candidate.isOther = isOther(route, target, candidate)
        // Of the strategies that choose each for its own sake, one may still be the first (see `append`).
        if !isAllowed(route, candidate, isFallback: isFallback), isFallback || route.pointee.strategy.goesByList {
            fate = .downgrade
            return nil
        }
        return candidate
    }

    /// Whether its model may stand in for the one asked for. What the strategy itself names may where the route says nothing; what stands under `fallback` may not.
    private func isAllowed(_ route: UnsafeMutablePointer<PlanRoute>, _ candidate: Candidate, isFallback: Bool) -> Bool {
        guard candidate.isOther, let allowed = route.pointee.allowDowngrade ?? (isFallback ? AllowDowngrade.none : nil), allowed != .any else { return true }
        return allowed == .sameFamily && askedModel().map { ModelFamily.isSame($0, candidate.model.id.raw) } ?? false
    }

    /// The mirror of a `shadow`, which answers nobody, as a candidate; nil when it does not serve the request's model.
    func mirrorCandidate(_ route: UnsafeMutablePointer<PlanRoute>, _ mirror: PlanTarget) -> Candidate? {
        var mirror = mirror
        var fate = Choice.Fate.chosen
        return withUnsafeMutablePointer(to: &mirror) { target in
            var candidate = candidate(route, target, fate: &fate)
            candidate?.target = Int32(truncatingIfNeeded: target.pointee.place)
            return candidate
        }
    }

    /// The target as a candidate for this request's model; nil when it does not serve it.
    @inline(__always)
    private func candidate(_ route: UnsafeMutablePointer<PlanRoute>, _ target: UnsafeMutablePointer<PlanTarget>, fate: inout Choice.Fate) -> Candidate? {
        let upstream = view.pointee.plan.pointee.upstreams[target.pointee.upstream]
        let index = Int32(target.pointee.upstream)
        if upstream.pointee.endpoints.count == 0 {
            fate = .noEndpoint
            return nil
        }
        if !upstream.pointee.isModel { return Candidate(upstream: index, hasModel: false, model: target.pointee.model) }
        if target.pointee.hasModel { return Candidate(upstream: index, hasModel: true, model: resolve(upstream, target.pointee.model) ?? target.pointee.model) }
        guard view.pointee.modelSpan.kind == .string || view.pointee.surface.hasModelInPath || view.pointee.hasModelInQuery else {
            // A request that names no model (GET /v1/files …) goes through as it is; a model request without one goes nowhere.
            fate = .noModel
            return view.pointee.surface.isModel && view.pointee.method == .post ? nil : Candidate(upstream: index, hasModel: false, model: target.pointee.model)
        }
        fate = .notServed
        guard let asked = askedModel() else { return nil }
        for at in 0..<route.pointee.modelMap.count where route.pointee.modelMap[at].pointee.from.equals(asked) {
            let mapped = route.pointee.modelMap[at].pointee.to
            return Candidate(upstream: index, hasModel: true, model: resolve(upstream, mapped) ?? mapped)
        }
        if upstream.pointee.models.count > 0 {
            for at in 0..<upstream.pointee.models.count {
                let entry = upstream.pointee.models[at]
                if entry.pointee.from.equals(asked) { return Candidate(upstream: index, hasModel: true, model: entry.pointee.to) }
            }
            return nil
        }
        return Candidate(upstream: index, hasModel: false, model: target.pointee.model)
    }

    /// Is the model it sends another than the one asked for? Names that the configuration gives a model (aliases, `model_map`) stand for that model.
    private func isOther(_ route: UnsafeMutablePointer<PlanRoute>, _ target: UnsafeMutablePointer<PlanTarget>, _ candidate: Candidate) -> Bool {
        guard candidate.hasModel, target.pointee.hasModel, let asked = askedModel() else { return false }
        if target.pointee.model.id.equals(asked) || candidate.model.id.equals(asked) { return false }
        for at in 0..<route.pointee.modelMap.count where route.pointee.modelMap[at].pointee.from.equals(asked) {
            let mapped = route.pointee.modelMap[at].pointee.to.id
            if mapped.equals(candidate.model.id.raw) || mapped.equals(target.pointee.model.id.raw) { return false }
        }
        let models = view.pointee.plan.pointee.upstreams[target.pointee.upstream].pointee.models
        for at in 0..<models.count where models[at].pointee.from.equals(asked) && models[at].pointee.to.id.equals(candidate.model.id.raw) { return false }
        return true
    }

    /// The requested model, unescaped: from the query of a request that asks for a tunnel, else from the path or the body.
    private func askedModel() -> UnsafeRawBufferPointer? {
        if view.pointee.hasModelInQuery || view.pointee.surface.hasModelInPath { return view.pointee.requestedModel }
        guard let body = view.pointee.body, view.pointee.modelSpan.kind == .string else { return nil }
        return view.pointee.text(view.pointee.modelSpan, body)
    }

    /// An alias of this upstream stands for the id behind it.
    private func resolve(_ upstream: UnsafeMutablePointer<PlanUpstream>, _ model: PlanServed) -> PlanServed? {
        for at in 0..<upstream.pointee.models.count where upstream.pointee.models[at].pointee.from.equals(model.id.base, model.id.count) {
            return upstream.pointee.models[at].pointee.to
        }
        return nil
    }
}
