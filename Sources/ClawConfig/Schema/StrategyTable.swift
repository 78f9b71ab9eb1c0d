// routes[].strategy: which upstreams answer, in which manner. What a type does not know how to use is refused, so that no option does nothing in silence.

import ClawPolicy

enum StrategyTable {
    enum Limit {
        static let targetsMax = 256
        /// What a canary's counters have room for (`Canary.armsMax`).
        static let canaryMax = 16
    }
    /// Strategies of the contract that later versions bring.
    static let laterTypes = ["semantic"]

    /// A strategy as read: the upstreams are indices already.
    struct Strategy {
        var type = StrategyType.failover
        var targets: [StrategyTarget] = []
        var identity = Identity.none
        var exploration = 0.05
        var loadFactor = 1.25
    }

    static func option() -> Option<Route> {
        let table = make()
        return Option(key: "strategy", type: "a map with upstreams", doc: "Which upstreams answer, in which manner.", children: { table.rows(Strategy()) },
                      read: { route, node, key, loading in
                          var strategy = Strategy()
                          table.read(node, into: &strategy, at: key, loading)
                          (route.strategy, route.targets) = (strategy.type, strategy.targets)
                          (route.identity, route.exploration, route.loadFactor) = (strategy.identity, strategy.exploration, strategy.loadFactor)
                          check(strategy, node, key, loading)
                      },
                      write: { _ in nil }).required()
    }

    private static func make() -> Table<Strategy> {
        let entry = entry()
        return Table(options: [
            .choice("type", \.type, later: laterTypes, "How the upstreams share the requests. `failover` and `first_available`: the first that can; `lowest_latency`: by time to the first token; "
                + "`lowest_cost`: by what the prompt and its answer would cost; `canary`: by `percentage`; `consistent_hash`: by `by`; `shadow`: the entry with a `percentage` gets that share a second time, and its answer is only compared and logged."),
            by(),
            .decimal("exploration", 0...1, \.exploration, "Share of requests that ask another than the fastest (`lowest_latency`), so that one that was slow once is not forgotten."),
            loadFactor(),
            Option(key: "upstreams", type: "list of names or {name, weight, percentage, model, max_latency_ms}", doc: "Who answers.",
                   children: { Names.listed(entry.rows(StrategyTarget(upstream: 0))) },
                   read: { strategy, node, key, loading in strategy.targets = targets(node, key, Limit.targetsMax, entry, loading) },
                   write: { _ in nil }).required(),
        ])
    }

    private static func entry() -> Table<StrategyTarget> {
        Table(options: [
            name(), .integer("weight", 0...UpstreamTable.Limit.weightMax, \.weight, "Share of requests, with weighted_random, weighted_round_robin, least_connections and consistent_hash."), model(),
            Option(key: "percentage", type: "0…100 with at most 2 decimals",
                   doc: "Share of requests of a `canary`; one entry may be without and gets the rest. With `shadow`, the share that the mirror gets.",
                   read: { target, node, key, loading in
                       guard let value = loading.decimal(node, key, 0...100) else { return }
                       guard abs(value * 100 - (value * 100).rounded()) < 1e-6 else {
                           return loading.error(node.place, key, "expected at most 2 decimals, found \(Canonical.number(value))")
                       }
                       target.percentage = (value * 100).rounded() / 100
                   },
                   write: { $0.percentage.map { .decimal($0) } }),
            .milliseconds("max_latency_ms", 1...86_400_000, \.latencyMax, "Passed over while its time to the first token is above, with `lowest_cost` and `lowest_latency`."),
        ])
    }

    static func name() -> Option<StrategyTarget> {
        Option(key: "name", type: "name of an upstream", doc: "The upstream.",
               read: { target, node, key, loading in if let index = upstream(node, key, loading) { target.upstream = index } },
               write: { _ in nil }).required()
    }

    static func model() -> Option<StrategyTarget> {
        .text("model", type: "a model id", \.model, "Replaces the requested model.") { Names.isModel($0) ? nil : "expected a model id" }
    }

    /// A list of names or maps; an entry with a wrong name has -1 for its upstream.
    static func targets(_ node: DocumentNode, _ key: String, _ countMax: Int, _ entry: Table<StrategyTarget>, _ loading: Loading) -> [StrategyTarget] {
        guard let items = Names.items(node, key, 1...countMax, loading) else { return [] }
        return items.enumerated().map { index, item in
            let path = "\(key)[\(index)]"
            var target = StrategyTarget(upstream: -1)
            if case .scalar = item.value { target.upstream = upstream(item, path, loading) ?? -1 } else { entry.read(item, into: &target, at: path, loading) }
            return target
        }
    }

    private static func upstream(_ node: DocumentNode, _ key: String, _ loading: Loading) -> Int? {
        guard let text = loading.text(node, key, expected: "the name of an upstream") else { return nil }
        if let index = loading.upstreamIndex[text.string] { return index }
        if !loading.upstreamNames.contains(text.string) {
            let hint = text.names.isEmpty ? Suggestion.hint(for: text.string, among: loading.upstreamNames.sorted()) : ""
            loading.error(node.place, key, "no upstream has the name \(text.shown)\(hint)")
        }
        return nil
    }

    // MARK: What requests are told apart by

    private static let identities: [(word: String, identity: Identity)] = [("key", .key), ("user", .user), ("session", .session), ("ip", .ip)]

    private static func by() -> Option<Strategy> {
        let words = identities.map(\.word).joined(separator: ", "), form = "\(words), or {header: NAME}"
        let header = Table<Strategy>(options: [
            Option(key: "header", type: "a header name", doc: "", read: { strategy, node, key, loading in
                let name = checkedText(node, key, loading, "a header name", { Names.isToken($0) ? nil : "expected a header name" })
                if let name { strategy.identity = .header(name.lowercased()) }
            }, write: { _ in nil }).required(),
        ])
        return Option(key: "by", type: form,
                      doc: "What requests are told apart by: one `key` (of the caller), `user`, `session`, `ip` or header value stays with one upstream. `consistent_hash` needs it; a `canary` without it draws each request.",
                      read: { strategy, node, key, loading in
                          if case .map = node.value { return header.read(node, into: &strategy, at: key, loading) }
                          guard let text = loading.text(node, key, expected: form) else { return }
                          if let found = identities.first(where: { $0.word == text.string }) { return strategy.identity = found.identity }
                          let hint = text.names.isEmpty ? Suggestion.hint(for: text.string, among: identities.map(\.word)) : ""
                          loading.error(node.place, key, "expected one of \(form), found \(text.shown)\(hint)")
                      },
                      write: { write($0.identity) })
    }

    private static func write(_ identity: Identity) -> Canonical? {
        if case .header(let name) = identity { return .object(["header": .text(name)]) }
        return identities.first { $0.identity == identity }.map { .text($0.word) }
    }

    private static func loadFactor() -> Option<Strategy> {
        Option(key: "load_factor", type: "0 or 1…100", doc: "`consistent_hash` passes an upstream by whose load is above so many times the average; 0: never.",
               read: { strategy, node, key, loading in
                   guard let value = loading.decimal(node, key, 0...100) else { return }
                   guard value == 0 || value >= 1 else { return loading.error(node.place, key, "expected 0 or 1…100, found \(Canonical.number(value))") }
                   strategy.loadFactor = value
               },
               write: { .decimal($0.loadFactor) })
    }

    // MARK: What goes together

    private static func hasLatencyLimits(_ type: StrategyType) -> Bool { type == .lowestCost || type == .lowestLatency }
    private static func hasShares(_ type: StrategyType) -> Bool { type == .canary || type == .shadow }
    private static func tellsApart(_ type: StrategyType) -> Bool { type == .canary || type == .consistentHash }

    private static func check(_ strategy: Strategy, _ node: DocumentNode, _ key: String, _ loading: Loading) {
        // A type that could not be read has been complained of; what goes with it is not known.
        if let type = node.member("type"), case .scalar(let text, _) = type.value, !text.contains("${"), StrategyType(rawValue: text) == nil { return }
        let type = strategy.type, list = node.member("upstreams"), items = list?.items ?? [], place = list?.place ?? node.place
        for (option, isKnown, types) in [("by", tellsApart(type), "canary and consistent_hash"), ("exploration", type == .lowestLatency, "lowest_latency"),
                                         ("load_factor", type == .consistentHash, "consistent_hash")] where !isKnown {
            if let member = node.member(option) { loading.error(member.place, dotted(key, option), "has an effect with strategy \(types) only, not with \(type.rawValue)") }
        }
        if type == .consistentHash, node.member("by") == nil {
            loading.error(node.place, dotted(key, "by"), "missing; consistent_hash needs it: key, user, session, ip, or {header: NAME}")
        }
        for (index, item) in items.enumerated() {
            let path = "\(key).upstreams[\(index)]"
            if let weight = item.member("weight"), !type.goesByWeight { loading.warn(weight.place, "\(path).weight", "has no effect with strategy \(type.rawValue)") }
            if let latency = item.member("max_latency_ms"), !hasLatencyLimits(type) {
                loading.warn(latency.place, "\(path).max_latency_ms", "has an effect with strategy lowest_cost and lowest_latency only, not with \(type.rawValue)")
            }
            if let percentage = item.member("percentage"), !hasShares(type) {
                // Where there are weights, whoever writes a percentage means a share, and would get another one.
                let message = "has an effect with strategy canary and shadow only, not with \(type.rawValue)"
                if type.goesByWeight { loading.error(percentage.place, "\(path).percentage", message + ", which goes by weight") } else { loading.warn(percentage.place, "\(path).percentage", message) }
            }
        }
        if type.goesByWeight, !strategy.targets.isEmpty, strategy.targets.allSatisfy({ $0.weight == 0 }) {
            loading.error(place, dotted(key, "upstreams"), "expected a sum of weights above 0, found 0")
        }
        if strategy.targets.count == items.count, !items.isEmpty {
            if type == .canary { checkCanary(items, place, dotted(key, "upstreams"), strategy.targets, loading) }
            if type == .shadow { checkShadow(items, place, dotted(key, "upstreams"), loading) }
        }
        var seen: [String: Int] = [:]
        for (index, target) in strategy.targets.enumerated() where target.upstream >= 0 && index < items.count {
            if let first = seen.updateValue(items[index].place.line, forKey: "\(target.upstream) \(target.model ?? "")") {
                loading.error(items[index].place, "\(key).upstreams[\(index)]", "duplicate upstream, first at line \(first)")
            }
        }
    }

    private static func checkCanary(_ items: [DocumentNode], _ place: Place, _ key: String, _ targets: [StrategyTarget], _ loading: Loading) {
        if items.count > Limit.canaryMax { return loading.error(place, key, "expected at most \(Limit.canaryMax) upstreams with strategy canary, found \(items.count)") }
        let shares = items.map { $0.member("percentage") }
        // A share that could not be read has been complained of.
        guard zip(shares, targets).allSatisfy({ ($0 == nil) == ($1.percentage == nil) }) else { return }
        let rest = shares.indices.filter { shares[$0] == nil }
        let sum = targets.reduce(0) { $0 + Int((($1.percentage ?? 0) * 100).rounded()) }, shown = Canonical.number(Double(sum) / 100)
        if rest.count == items.count {
            loading.error(place, key, "expected a percentage with strategy canary, found none")
        } else if rest.count > 1 {
            loading.error(items[rest[1]].place, "\(key)[\(rest[1])].percentage", "missing; one entry may be without and gets the rest: the one at line \(items[rest[0]].place.line)")
        } else if sum > 10_000 {
            loading.error(place, key, "expected a sum of percentages of at most 100, found \(shown)")
        } else if rest.isEmpty, sum != 10_000 {
            loading.error(place, key, "expected a sum of percentages of 100, or one entry without percentage that gets the rest; found \(shown)")
        }
    }

    private static func checkShadow(_ items: [DocumentNode], _ place: Place, _ key: String, _ loading: Loading) {
        let mirrors = items.indices.filter { items[$0].member("percentage") != nil }
        if items.count < 2 {
            loading.error(place, key, "expected one that answers and one with a percentage, the mirror, found \(items.count) upstream")
        } else if mirrors.isEmpty {
            loading.error(place, key, "expected a percentage at one entry, the mirror, found none")
        } else if mirrors.count > 1 {
            loading.error(items[mirrors[1]].member("percentage")?.place ?? place, "\(key)[\(mirrors[1])].percentage",
                          "expected a percentage at one entry, the mirror, found a second one; the first is at line \(items[mirrors[0]].place.line)")
        }
    }

    /// What needs to know the upstreams' types.
    static func checkTypes(_ route: Route, _ node: DocumentNode, _ path: String, hasModels: Bool, _ loading: Loading) {
        guard !hasModels, let strategy = node.member("strategy"), route.strategy == .lowestCost else { return }
        loading.error(strategy.member("type")?.place ?? strategy.place, "\(path).strategy.type", "lowest_cost has an effect with models only, and this route has upstreams of type http only")
    }

    // MARK: Out again

    static func write(_ route: Route, _ names: [String]) -> Canonical {
        let type = route.strategy
        var members: [String: Canonical] = ["type": .text(type.rawValue)]
        if tellsApart(type), let by = write(route.identity) { members["by"] = by }
        if type == .lowestLatency { members["exploration"] = .decimal(route.exploration) }
        if type == .consistentHash { members["load_factor"] = .decimal(route.loadFactor) }
        members["upstreams"] = .array(route.targets.map { target in
            var entry = writeTarget(target, names)
            if type.goesByWeight { entry["weight"] = .integer(target.weight) }
            if let percentage = target.percentage { entry["percentage"] = .decimal(percentage) }
            if let latency = target.latencyMax { entry["max_latency_ms"] = Canonical.milliseconds(latency) }
            return .object(entry)
        })
        return .object(members)
    }

    static func writeTarget(_ target: StrategyTarget, _ names: [String]) -> [String: Canonical] {
        var entry: [String: Canonical] = ["name": .text(names.indices.contains(target.upstream) ? names[target.upstream] : "")]
        if let model = target.model { entry["model"] = .text(model) }
        return entry
    }
}
