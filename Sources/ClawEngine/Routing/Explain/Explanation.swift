// Why a request goes where it goes: the rule that takes it, each rule before that one with the condition that does not hold, the candidates in order with
// the figures they were ordered by, and what keeps each of the others out. Nobody's secrets are in it: values of what carries credentials are masked.
import CClaw
import ClawConfig
import ClawPolicy
import ClawWire

public struct Explanation: Sendable {
    struct Rule {
        var rule: String
        var route: String
        enum Verdict { case matched, notReached, failed(condition: String, wanted: String, seen: String?) }
        var verdict: Verdict
    }
    struct Key {
        var id: String
        /// nil: usable.
        var problem: String?
        var coolingMilliseconds: Int?
    }
    struct Target {
        var upstream: String
        var model: String?
        var isFallback = false
        var isDowngrade = false
        /// What it was ordered by; nil: by its place.
        var score: Int?
        /// Its average time to the first token; nil: nothing is known of it. And whether that is above its `max_latency_ms`, which puts it behind the others.
        var latencyMilliseconds: Int?
        var isSlow = false
        /// Why it cannot take the request now, and for how long.
        var problem: String?
        var recoversMilliseconds: Int?
        var keys: [Key] = []
        var exclusion: String?
    }

    var method = "", path = "", surface = ""
    var model: String?
    var caller: String?
    var tenant: String?
    var promptTokens: Int?
    var language: String?
    var outputTokens: Int?
    var refusal: (status: Int, code: String, message: String)?
    var rules: [Rule] = []
    var matched: (rule: String, route: String, strategy: String)?
    var profile: (matched: String, used: String)?
    var scoreUnit: String?
    var candidates: [Target] = []
    var excluded: [Target] = []
    var mirror: (target: Target, percentage: Double)?

    // MARK: making one

    /// From the file alone: every upstream is taken to be well.
    public static func make(_ request: DescribedRequest, _ configuration: Configuration) throws(PlanFailure) -> Explanation {
        let shared = Shared()
        let owner = try PlanOwner(configuration, serial: 1, workers: 1, registry: Registry())
        claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
        return try make(request, owner, shared)
    }

    /// With what is known of upstreams now.
    static func make(_ request: DescribedRequest, _ owner: PlanOwner, _ shared: Shared) throws(PlanFailure) -> Explanation {
        let preview = try RequestPreview(owner: owner, shared: shared)
        var out = Explanation()
        out.method = request.method
        // A key in the query is not repeated.
        out.path = String(request.path.prefix { $0 != "?" })
        let refusal = preview.take(request)
        out.note(preview)
        if let refusal {
            out.refuse(refusal.kind, refusal.message)
            return out
        }
        out.route(preview)
        return out
    }

    private mutating func refuse(_ kind: FailureKind, _ message: String) { refusal = (Int(kind.row.status), "\(kind.row.code)", message) }

    private mutating func note(_ preview: RequestPreview) {
        let exchange = preview.exchange, plan = preview.owner.ref
        surface = "\(exchange.pointee.surface)"
        if exchange.pointee.requestedModel.count > 0 { model = Self.shown(exchange.pointee.requestedModel) }
        if exchange.pointee.caller >= 0 {
            let found = plan.pointee.callers[Int(exchange.pointee.caller)].pointee
            caller = found.id.string
            if found.tenant.count > 0 { tenant = found.tenant.string }
        }
    }

    private mutating func route(_ preview: RequestPreview) {
        let worker = preview.worker, view = worker.view, plan = preview.owner.ref
        let found = worker.firstRoute()
        for at in 0..<plan.pointee.index.routeCount {
            let route = plan.pointee.routes[at]
            var rule = Rule(rule: route.pointee.rule.string, route: route.pointee.id.string, verdict: .notReached)
            if at == found {
                rule.verdict = .matched
            } else if found == nil || at < found ?? 0 {
                let mismatch = view.pointee.mismatch(route)
                let told = ConditionWords(view, route).tell(mismatch)
                rule.verdict = .failed(condition: told.condition, wanted: told.wanted, seen: told.seen)
            }
            rules.append(rule)
        }
        defer {
            if view.pointee.prompt.isRead {
                let wanted = plan.pointee.reading.prompt
                if wanted.contains(.tokens) { promptTokens = view.pointee.prompt.tokens }
                if wanted.contains(.language) { language = "\(LanguageGuess.codes[view.pointee.prompt.language])" }
            }
        }
        guard let found else { return refuse(.notFound, "no route matches") }
        if plan.pointee.reading.wantsTokens {
            let asked = Int(view.pointee.outputTokensAsked())
            outputTokens = asked > 0 ? asked : nil
        }
        var used = found
        switch worker.room(found) {
        case .route(let own): used = own
        case .none(let tokens, let largest):
            matched = (plan.pointee.routes[found].pointee.rule.string, plan.pointee.routes[found].pointee.id.string, "")
            return refuse(.contextTooLong, "about \(tokens) tokens are needed, the largest profile has room for \(largest)")
        }
        let route = plan.pointee.routes[used]
        matched = (route.pointee.rule.string, route.pointee.id.string, route.pointee.strategy.rawValue)
        let asked = plan.pointee.routes[found].pointee.profile
        if asked >= 0 { profile = (plan.pointee.profiles[Int(asked)].pointee.name.string, plan.pointee.profiles[Int(route.pointee.profile)].pointee.name.string) }
        choose(preview, route)
    }

    private mutating func choose(_ preview: RequestPreview, _ route: UnsafeMutablePointer<PlanRoute>) {
        let worker = preview.worker, plan = preview.owner.ref
        let count = worker.choose(route)
        let choice = worker.view.pointee.choice
        scoreUnit = Self.unit(route.pointee.strategy)
        for at in 0..<count {
            var one = target(preview, choice.chosen[at], choice.chosenStates[at])
            let latency = worker.shared.outlook.latency(Int(choice.chosen[at].target)).value
            if latency > 0 { one.latencyMilliseconds = Int(latency / 1_000_000) }
            let limits = route.pointee.targets.elements.filter { $0.place == Int(choice.chosen[at].target) }.map(\.latencyMax)
            one.isSlow = !one.isFallback && limits.contains { $0 > 0 && latency > $0 }
            candidates.append(one)
        }
        func exclude(_ list: List<PlanTarget>, _ fates: UnsafeMutablePointer<Choice.Fate>, _ most: Int, isFallback: Bool) {
            for at in 0..<min(list.count, most) where fates[at] != .chosen {
                let one = list[at].pointee
                var target = Target(upstream: plan.pointee.upstreams[one.upstream].pointee.name.string, model: one.hasModel ? one.model.id.string : model, isFallback: isFallback)
                target.exclusion = fates[at].word
                excluded.append(target)
            }
        }
        exclude(route.pointee.targets, choice.fates, Choice.targetsMax, isFallback: false)
        exclude(route.pointee.fallbacks, choice.fallbackFates, Choice.fallbacksMax, isFallback: true)
        if let one = route.pointee.mirror {
            mirror = (Target(upstream: plan.pointee.upstreams[one.upstream].pointee.name.string, model: one.hasModel ? one.model.id.string : model), Double(one.parts) / 100)
        }
        guard count == 0 else { return }
        if excluded.contains(where: { $0.exclusion == Choice.Fate.noModel.word }) { return refuse(.modelRequired, "the request names no model") }
        if model != nil { refuse(.modelNotFound, "no upstream of the route serves this model") } else { refuse(.upstreamsExhausted, "no upstream of the route can take it") }
    }

    private func target(_ preview: RequestPreview, _ candidate: Candidate, _ state: Availability) -> Target {
        let worker = preview.worker
        let upstream = preview.owner.ref.pointee.upstreams[Int(candidate.upstream)]
        var out = Target(upstream: upstream.pointee.name.string, model: candidate.hasModel ? candidate.model.id.string : upstream.pointee.isModel ? model : nil)
        out.isFallback = candidate.isFallback
        out.isDowngrade = candidate.isOther
        if scoreUnit != nil, !candidate.isFallback, candidate.score != CostChoice.unknown { out.score = Int(candidate.score) }
        func milliseconds(_ until: UInt64) -> Int? { until == .max ? nil : until > worker.now ? Int((until - worker.now + 999_999) / 1_000_000) : 0 }
        if case .until(let until, let reason) = state {
            out.problem = reason.word
            out.recoversMilliseconds = milliseconds(until)
        }
        let hash = worker.modelHash(candidate)
        for at in 0..<upstream.pointee.keys.count {
            let key = upstream.pointee.keys[at]
            var told = Key(id: key.pointee.id.string)
            if !key.pointee.serves(hash) {
                told.problem = "not_for_this_model"
            } else if upstream.pointee.cooldown.max > 0, let cooling = worker.shared.outlook.cooldowns(key.pointee.place).until(model: hash, now: worker.now) {
                told.problem = "cooling_\(cooling.class.word)"
                told.coolingMilliseconds = milliseconds(cooling.until)
            }
            out.keys.append(told)
        }
        return out
    }

    private static func unit(_ strategy: StrategyType) -> String? {
        switch strategy {
        case .failover, .firstAvailable, .roundRobin, .canary, .shadow: nil
        case .weightedRoundRobin, .weightedRandom: "weight"
        case .leastConnections, .consistentHash: "requests_under_way"
        case .lowestLatency: "nanoseconds_to_first_token"
        case .lowestCost: "nano_usd"
        }
    }

    static func shown(_ text: UnsafeRawBufferPointer) -> String {
        text.count <= 200 ? String(decoding: text, as: UTF8.self) : String(decoding: text.prefix(200), as: UTF8.self) + "…"
    }
}
