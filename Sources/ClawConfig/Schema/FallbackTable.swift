// routes[].fallback: who is asked when the strategy's upstreams fail, whether another model may answer, and a ladder for each class of failure. The ladders
// and `allow_downgrade` may stand beside `fallback` as well, as the contract writes them; in both places they are refused.

import ClawPolicy

enum FallbackTable {
    enum Limit {
        /// Candidates of a request are bounded; these come after the strategy's.
        static let targetsMax = 4
    }

    static func option() -> Option<Route> {
        let table = make()
        return Option(key: "fallback", type: "map", doc: "What is done when the strategy's upstreams fail.", children: { table.rows(Route(id: "")) },
                      read: { route, node, key, loading in table.read(node, into: &route, at: key, loading) },
                      write: { _ in nil })
    }

    /// The same options where they stand under the route itself; what they say is shown below `fallback`.
    static func routeOptions() -> [Option<Route>] {
        ([downgrade()] + ladders()).map { option in
            Option(key: option.key, type: option.type, doc: "As `fallback.\(option.key)`.", read: option.read, write: { _ in nil })
        }
    }

    private static func make() -> Table<Route> { Table(options: [upstreams(), downgrade()] + ladders()) }

    private static func upstreams() -> Option<Route> {
        let entry = Table<StrategyTarget>(options: [StrategyTable.name(), StrategyTable.model()])
        return Option(key: "upstreams", type: "list of names or {name, model}", doc: "Asked in this order after the strategy's; at most \(Limit.targetsMax).",
                      children: { Names.listed(entry.rows(StrategyTarget(upstream: 0))) },
                      read: { route, node, key, loading in route.fallback.targets = StrategyTable.targets(node, key, Limit.targetsMax, entry, loading) },
                      write: { _ in nil })
    }

    private static func downgrade() -> Option<Route> {
        let names = AllowDowngrade.allCases.map(\.rawValue).joined(separator: ", ")
        return Option(key: "allow_downgrade", type: "one of \(names)",
                      doc: "Whether a model other than the one asked for may answer. Not given: what the strategy itself names may, what `fallback.upstreams` names may not.",
                      read: { route, node, key, loading in
                          if let choice = chosen(node, key, loading, AllowDowngrade.self, later: []) { route.fallback.allowDowngrade = choice }
                      },
                      write: { $0.fallback.allowDowngrade.map { .text($0.rawValue) } })
    }

    static func write(_ route: Route, _ names: [String]) -> Canonical? {
        guard case .object(var members) = make().write(route) else { return nil }
        if !route.fallback.targets.isEmpty { members["upstreams"] = .array(route.fallback.targets.map { .object(StrategyTable.writeTarget($0, names)) }) }
        return members.isEmpty ? nil : .object(members)
    }

    // MARK: Ladders

    /// What can come of use after each class: another key where a key is to blame, another endpoint where a machine is, another model where that is.
    static func steps(after failure: LadderClass) -> [LadderStep] {
        switch failure {
        case .rateLimited, .overloaded, .serverError: [.backoff, .retry, .spareKey, .nextEndpoint, .lowerConcurrency, .nextCandidate, .fallbackModel]
        case .timeout: [.backoff, .retry, .spareKey, .nextEndpoint, .lowerConcurrency, .nextCandidate, .fallbackModel]
        case .network: [.backoff, .retry, .nextEndpoint, .lowerConcurrency, .nextCandidate, .fallbackModel]
        case .auth: [.spareKey, .nextCandidate, .fallbackModel]
        case .modelMissing: [.spareKey, .nextEndpoint, .nextCandidate, .fallbackModel]
        case .contextTooLong: [.largerWindow]
        case .contentFiltered: [.nextCandidate, .fallbackModel]
        }
    }

    static func key(of failure: LadderClass) -> String { "on_\(failure.word)" }

    private static func ladders() -> [Option<Route>] {
        LadderClass.allCases.map { failure in
            let words = steps(after: failure).map(\.word).joined(separator: ", ")
            return Option(key: key(of: failure), type: "list of steps", doc: "\(meaning(of: failure)) Of \(words); `[]`: the client gets the failure.",
                          defaultText: Ladder.standard(failure).steps.isEmpty ? "none" : Ladder.standard(failure).steps.map(\.word).joined(separator: ", "),
                          read: { route, node, key, loading in
                              if let ladder = ladder(node, key, failure, loading) { route.fallback.ladders[failure] = ladder }
                          },
                          write: { route in route.fallback.ladders[failure].map { .array($0.steps.map { .text($0.word) }) } })
        }
    }

    private static func meaning(of failure: LadderClass) -> String {
        switch failure {
        case .rateLimited: "Steps after a 429 or a provider's quota."
        case .overloaded: "After 503, 529 and what providers say when they are full."
        case .timeout: "After a time-out."
        case .network: "After a refused or broken connection."
        case .serverError: "After other 5xx and malformed answers."
        case .auth: "After 401 and 403."
        case .modelMissing: "Where the upstream does not have the model."
        case .contextTooLong: "Where the prompt does not fit the model's window."
        case .contentFiltered: "After a refusal by a content policy."
        }
    }

    private static func ladder(_ node: DocumentNode, _ key: String, _ failure: LadderClass, _ loading: Loading) -> Ladder? {
        let allowed = steps(after: failure), words = allowed.map(\.word), list = words.joined(separator: ", ")
        guard let items = items(node, key, loading) else { return nil }
        var steps: [LadderStep] = [], lines: [LadderStep: Int] = [:]
        for item in items {
            guard let text = loading.text(item, key, expected: "one of \(list)") else { continue }
            guard let index = LadderStep.words.firstIndex(of: text.string), let step = LadderStep(rawValue: UInt8(index)) else {
                let hint = text.names.isEmpty ? Suggestion.hint(for: text.string, among: words) : ""
                loading.error(item.place, key, "expected one of \(list), found \(text.shown)\(hint)")
                continue
            }
            if !allowed.contains(step) {
                loading.error(item.place, key, "\(step.word) makes no sense after \(failure.word); expected one of \(list)")
            } else if let first = lines.updateValue(item.place.line, forKey: step) {
                loading.error(item.place, key, "duplicate step \(step.word), first at line \(first)")
            } else {
                steps.append(step)
            }
        }
        if steps.last == .backoff, let last = items.last { loading.error(last.place, key, "backoff is a wait before another step, and none follows; expected one of \(list) behind it") }
        return Ladder(steps)
    }

    private static func items(_ node: DocumentNode, _ key: String, _ loading: Loading) -> [DocumentNode]? {
        if case .scalar = node.value, !node.isNull {
            loading.note(node, key)
            return [node]
        }
        return Names.items(node, key, 0...Ladder.stepsMax, loading)
    }

    // MARK: What goes together

    /// - Parameter hasModels: an upstream of the strategy or of `fallback` is of another type than http.
    static func check(_ route: Route, _ node: DocumentNode, _ path: String, _ configuration: Configuration, hasModels: Bool, _ loading: Loading) {
        let fallback = node.member("fallback")
        for key in ["allow_downgrade"] + LadderClass.allCases.map(key) {
            guard let beside = node.member(key) else { continue }
            if fallback?.member(key) != nil { loading.error(beside.place, dotted(path, key), "give either fallback.\(key) or \(key)") }
        }
        func written(_ key: String) -> (node: DocumentNode, path: String)? {
            fallback?.member(key).map { ($0, "\(path).fallback.\(key)") } ?? node.member(key).map { ($0, dotted(path, key)) }
        }
        if !hasModels {
            for key in ["allow_downgrade"] + [LadderClass.modelMissing, .contextTooLong, .contentFiltered].map(key) {
                if let (place, path) = written(key).map({ ($0.node.place, $0.path) }) {
                    loading.error(place, path, "has an effect with models only, and this route has upstreams of type http only")
                }
            }
        }
        if fallback?.member("upstreams") == nil {
            for failure in [LadderClass.modelMissing, .contentFiltered] where route.fallback.ladders[failure]?.steps.contains(.fallbackModel) == true {
                if let (node, path) = written(key(of: failure)) {
                    loading.error(node.place, path, "after \(failure.word) fallback_model is one of fallback.upstreams, and there are none")
                }
            }
        }
        checkTargets(route, node, path, configuration, loading)
    }

    /// No way back to where the request came from, and no upstream twice.
    private static func checkTargets(_ route: Route, _ node: DocumentNode, _ path: String, _ configuration: Configuration, _ loading: Loading) {
        guard let items = node.member("fallback")?.member("upstreams")?.items, items.count == route.fallback.targets.count else { return }
        let first = node.member("strategy")?.member("upstreams")?.items ?? []
        var lines: [String: Int] = [:]
        for (index, target) in route.targets.enumerated() where target.upstream >= 0 && index < first.count {
            // The mirror of a shadow answers nobody.
            if route.strategy == .shadow, target.percentage != nil { continue }
            lines[ModelNames.place(target, route, configuration)] = first[index].place.line
        }
        var seen: [String: Int] = [:]
        for (index, target) in route.fallback.targets.enumerated() where target.upstream >= 0 {
            let place = ModelNames.place(target, route, configuration), item = items[index], path = "\(path).fallback.upstreams[\(index)]"
            if let line = lines[place] {
                loading.error(item.place, path, "a cycle: line \(item.place.line) leads back to what the strategy asks at line \(line), the same upstream and model")
            } else if let line = seen.updateValue(item.place.line, forKey: place) {
                loading.error(item.place, path, "duplicate upstream, first at line \(line)")
            } else {
                warnOfDowngrade(target, item, path, route, configuration, loading)
            }
        }
    }

    /// A fallback that nothing may ever turn to.
    private static func warnOfDowngrade(
        _ target: StrategyTarget, _ item: DocumentNode, _ path: String, _ route: Route, _ configuration: Configuration, _ loading: Loading
    ) {
        guard [nil, AllowDowngrade.none].contains(route.fallback.allowDowngrade), let model = target.model else { return }
        let upstream = configuration.upstreams[target.upstream]
        guard upstream.type != .http, let served = ModelNames.served(by: route, configuration) else { return }
        if served.isDisjoint(with: ModelNames.names(of: model, at: upstream)) {
            loading.warn((item.member("model") ?? item).place, "\(path).model", "never asked: \(model) is none of the models of this route, and allow_downgrade is none; write same_family or any to allow it")
        }
    }
}

/// Which models a route is about, as far as its text shows.
enum ModelNames {
    /// What a model is called at an upstream: its id and its alias.
    static func names(of model: String, at upstream: Upstream) -> Set<String> {
        var names: Set<String> = [model]
        for one in upstream.models where one.id == model || one.alias == model { names.formUnion([one.id, one.alias]) }
        return names
    }

    /// Models that a request has to ask for to come here; nil: any.
    static func asked(_ match: RouteMatch) -> [String]? {
        func texts(_ scalars: [Scalar]) -> [String] { scalars.compactMap { if case .string(let text) = $0 { text } else { nil } } }
        for (path, test) in match.body where path == "model" {
            switch test {
            case .equals(let scalar): return texts([scalar])
            case .isIn(let scalars): return texts(scalars)
            default: continue
            }
        }
        return nil
    }

    /// Everything that the route's strategy can be asked for or send; nil: anything.
    static func served(by route: Route, _ configuration: Configuration) -> Set<String>? {
        let asked = asked(route.match)
        var names = Set(asked ?? [])
        for target in route.targets where configuration.upstreams.indices.contains(target.upstream) {
            let upstream = configuration.upstreams[target.upstream]
            if let model = target.model {
                names.formUnion(self.names(of: model, at: upstream))
            } else if let asked {
                for model in asked { names.formUnion(self.names(of: route.modelMap[model] ?? model, at: upstream)) }
            } else if upstream.models.isEmpty {
                return nil
            } else {
                for model in upstream.models { names.formUnion([model.id, model.alias]) }
                for (from, to) in route.modelMap { names.formUnion([from, to]) }
            }
        }
        return names
    }

    /// A text that is the same for two entries exactly when they send the same model to the same upstream.
    static func place(_ target: StrategyTarget, _ route: Route, _ configuration: Configuration) -> String {
        guard configuration.upstreams.indices.contains(target.upstream) else { return "\(target.upstream) \(target.model ?? "")" }
        var model = target.model
        if model == nil, let asked = asked(route.match), asked.count == 1 { model = route.modelMap[asked[0]] ?? asked[0] }
        let upstream = configuration.upstreams[target.upstream]
        if let alias = model { model = upstream.models.first { $0.alias == alias }?.id ?? alias }
        return "\(target.upstream) \(model ?? "")"
    }
}
