// routes: an ordered list, the first match wins. Each route says what it matches and which upstreams answer, in which manner.

enum RouteTable {
    enum Limit {
        static let routesMax = 10_000
        static let targetsMax = 256
        static let modelsMax = 4096
        static let upgradesMax = 8
    }
    /// Strategies of the contract that later versions bring.
    static let laterStrategies = ["least_connections", "lowest_latency", "lowest_cost", "canary", "consistent_hash", "semantic", "shadow"]

    static func option() -> Option<Configuration> {
        let table = make()
        return Option(key: "routes", type: "list of routes", doc: "The first route that matches a request wins. Without routes, the upstreams that list the requested model are tried in file order.",
                      children: { Names.listed(table.rows(Route(id: ""))) },
                      read: { configuration, node, key, loading in readAll(&configuration, node, key, table, loading) },
                      write: { configuration in
                          let names = configuration.upstreams.map(\.name)
                          return .array(configuration.routes.map { route in
                              guard case .object(var members) = table.write(route) else { return .null }
                              members["strategy"] = writeStrategy(route, names)
                              return .object(members)
                          })
                      })
    }

    private static func readAll(_ configuration: inout Configuration, _ node: DocumentNode, _ key: String, _ table: Table<Route>, _ loading: Loading) {
        if node.isNull { return }
        guard let items = Names.items(node, key, 0...Limit.routesMax, loading) else { return }
        var lines: [String: Int] = [:], bodyPaths: Set<String> = []
        var catchAll: String?
        for (index, item) in items.enumerated() {
            var route = Route(id: "route-\(index + 1)")
            // Messages name a route as its author does.
            var path = "\(key)[\(index)]"
            if let id = item.member("id"), case .scalar(let text, _) = id.value, Names.isName(text) { path = dotted(key, text) }
            table.read(item, into: &route, at: path, loading)
            let place = item.member("id")?.place ?? item.place
            if let first = lines.updateValue(place.line, forKey: route.id) {
                loading.error(place, dotted(path, "id"), "duplicate id \"\(route.id)\", first at line \(first)")
            }
            complete(&route, item, path, configuration, loading)
            if let catchAll { loading.warn(place, path, "never reached: \(catchAll) before it matches every request") }
            if route.match.matchesAll, catchAll == nil, item.member("match").map({ $0.isNull || $0.members?.isEmpty == true }) ?? true { catchAll = path }
            for test in route.match.body { bodyPaths.insert(test.path) }
            configuration.routes.append(route)
        }
        if bodyPaths.count > MatchTable.Limit.bodyPathsMax {
            loading.error(node.place, key, "expected at most \(MatchTable.Limit.bodyPathsMax) different json_body paths in all routes, found \(bodyPaths.count)")
        }
    }

    private static func make() -> Table<Route> {
        Table(options: [
            .text("id", type: "a name", \.id, "Name in logs, metrics and `x-openclaw-route`.") { Names.isName($0) ? nil : "expected a name of \(Names.rule)" }
                .defaulting("route-N, N counting from 1"),
            .section("match", \.match, MatchTable.make(), RouteMatch(), "What a request has to look like; all that is given has to hold. Without it: any."),
            strategy(),
            modelMap(),
            .seconds("timeout_seconds", 0.001...86400, \.timeoutNanoseconds, "A whole request on this route.").defaulting("the upstream's"),
            .section("retries", \.retries, retries(), Retries(), "How often a request is tried while nothing was sent to the client."),
            .text("strip_prefix", type: "a path", \.stripPrefix, "Taken off the path before it is joined to the base path of an `http` upstream.") {
                $0.hasPrefix("/") && $0 != "/" && !$0.hasSuffix("/") && MatchTable.pathProblem($0) == nil ? nil : "expected a path without / at its end"
            },
            upgrade(),
            .flag("drop_unsupported", \.dropUnsupported, "As `upstreams.*.drop_unsupported`, for requests of this route.").defaulting("the upstream's"),
            .later("fallback", "Upstreams to turn to by class of failure."),
            .later("affinity", "Keeps related requests on one key and endpoint."),
            .later("cache", "Answers from cache."),
            .later("transform", "Changes to requests and answers."),
            .later("allow_downgrade", "Whether another model may answer."),
            .later("on_rate_limited", "Order of actions when rate limited."),
            .later("on_timeout", "Order of actions after a timeout."),
            .later("on_model_missing", "Order of actions when a model is missing."),
            .later("scopes", "Scopes a caller needs."),
            .later("claims", "Claims a caller needs."),
        ])
    }

    private static func retries() -> Table<Retries> {
        Table(options: [.integer("max_attempts", 1...6, \.attemptsMax, "Attempts in all, the first included.")])
    }

    // MARK: Strategy

    /// A strategy as read: the upstreams are indices already.
    private struct Strategy {
        var type = StrategyType.failover
        var targets: [StrategyTarget] = []
    }

    private static func strategy() -> Option<Route> {
        let entry = Table<StrategyTarget>(options: [
            Option(key: "name", type: "name of an upstream", doc: "The upstream.",
                   read: { target, node, key, loading in if let index = upstream(node, key, loading) { target.upstream = index } },
                   write: { _ in nil }).required(),
            .integer("weight", 0...UpstreamTable.Limit.weightMax, \.weight, "Share of requests, for the weighted strategies."),
            .text("model", type: "a model id", \.model, "Replaces the requested model.") { Names.isModel($0) ? nil : "expected a model id" },
            .later("percentage", "Share of requests of a canary."),
            .later("max_latency_ms", "Latency beyond which it is passed over."),
        ])
        let table = Table<Strategy>(options: [
            .choice("type", \.type, later: laterStrategies, "How the upstreams share the requests."),
            Option(key: "upstreams", type: "list of names or {name, weight, model}", doc: "Who answers.",
                   children: { Names.listed(entry.rows(StrategyTarget(upstream: 0))) },
                   read: { strategy, node, key, loading in
                       guard let items = Names.items(node, key, 1...Limit.targetsMax, loading) else { return }
                       for (index, item) in items.enumerated() {
                           let path = "\(key)[\(index)]"
                           var target = StrategyTarget(upstream: -1)
                           if case .scalar = item.value { target.upstream = upstream(item, path, loading) ?? -1 } else { entry.read(item, into: &target, at: path, loading) }
                           strategy.targets.append(target)
                       }
                   },
                   write: { _ in nil }).required(),
        ])
        return Option(key: "strategy", type: "a map with upstreams", doc: "Which upstreams answer, in which manner.", children: { table.rows(Strategy()) },
                      read: { route, node, key, loading in
                          var strategy = Strategy()
                          table.read(node, into: &strategy, at: key, loading)
                          (route.strategy, route.targets) = (strategy.type, strategy.targets)
                          check(strategy, node, key, loading)
                      },
                      write: { _ in nil }).required()
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

    private static func check(_ strategy: Strategy, _ node: DocumentNode, _ key: String, _ loading: Loading) {
        let items = node.member("upstreams")?.items ?? []
        let isWeighted = strategy.type == .weightedRandom || strategy.type == .weightedRoundRobin
        if isWeighted {
            if !strategy.targets.isEmpty, strategy.targets.allSatisfy({ $0.weight == 0 }) {
                loading.error(node.member("upstreams")?.place ?? node.place, dotted(key, "upstreams"), "expected a sum of weights above 0, found 0")
            }
        } else if let type = node.member("type").map({ _ in strategy.type.rawValue }) ?? Optional(StrategyType.failover.rawValue) {
            for (index, item) in items.enumerated() {
                if let weight = item.member("weight") {
                    loading.warn(weight.place, "\(key).upstreams[\(index)].weight", "has no effect with strategy \(type)")
                }
            }
        }
        var seen: [String: Int] = [:]
        for (index, target) in strategy.targets.enumerated() where target.upstream >= 0 && index < items.count {
            if let first = seen.updateValue(items[index].place.line, forKey: "\(target.upstream) \(target.model ?? "")") {
                loading.error(items[index].place, "\(key).upstreams[\(index)]", "duplicate upstream, first at line \(first)")
            }
        }
    }

    private static func writeStrategy(_ route: Route, _ names: [String]) -> Canonical {
        let isWeighted = route.strategy == .weightedRandom || route.strategy == .weightedRoundRobin
        return .object(["type": .text(route.strategy.rawValue), "upstreams": .array(route.targets.map { target in
            var entry: [String: Canonical] = ["name": .text(names.indices.contains(target.upstream) ? names[target.upstream] : "")]
            if isWeighted { entry["weight"] = .integer(target.weight) }
            if let model = target.model { entry["model"] = .text(model) }
            return .object(entry)
        })])
    }

    // MARK: Models, the whole

    private static func modelMap() -> Option<Route> {
        Option(key: "model_map", type: "map of model → model", doc: "Requested model → model sent upstream.",
               read: { route, node, key, loading in
                   guard let members = Names.members(node, key, Limit.modelsMax, loading) else { return }
                   loading.note(node, key)
                   for member in members {
                       let path = dotted(key, member.key)
                       if !Names.isModel(member.key) { loading.error(member.keyPlace, path, "expected a model name for a key") }
                       let value = checkedText(member.value, path, loading, "a model id", { Names.isModel($0) ? nil : "expected a model id" })
                       if let value { route.modelMap[member.key] = value }
                   }
               },
               write: { $0.modelMap.isEmpty ? nil : .object($0.modelMap.mapValues { .text($0) }) })
    }

    /// RFC 9110 §7.8. What would only be another HTTP (RFC 7540 §3.2) or a TLS behind our back (RFC 2817) is none the gateway can pass on.
    private static let neverUpgrades = ["h2c", "h2", "http", "tls"]

    private static func upgrade() -> Option<Route> {
        Option(key: "upgrade", type: "list of protocols", doc: "Protocols a request may switch to (`Upgrade`); its bytes then pass both ways as they are. `[]`: none. A request that asks for others goes on as plain HTTP.",
               read: { route, node, key, loading in
                   guard let items = Names.items(node, key, 0...Limit.upgradesMax, loading) else { return }
                   route.upgrades = []
                   for item in items {
                       guard let text = loading.text(item, key, expected: "a protocol") else { continue }
                       let name = text.string.lowercased()
                       if !Names.isToken(name) || name.utf8.count > 64 {
                           loading.error(item.place, key, "expected a protocol name without version, found \(text.shown)")
                       } else if neverUpgrades.contains(name) {
                           loading.error(item.place, key, "\(text.shown) is never passed on")
                       } else if !route.upgrades.contains(name) {
                           route.upgrades.append(name)
                       }
                   }
               },
               write: { .array($0.upgrades.map { .text($0) }) })
    }

    private static func complete(_ route: inout Route, _ node: DocumentNode, _ path: String, _ configuration: Configuration, _ loading: Loading) {
        let types = route.targets.filter { configuration.upstreams.indices.contains($0.upstream) }.map { configuration.upstreams[$0.upstream].type }
        if let strip = node.member("strip_prefix"), !types.isEmpty, !types.contains(.http) {
            loading.error(strip.place, dotted(path, "strip_prefix"), "has an effect on upstreams of type http only, and this route has none")
        }
        if let strip = node.member("strip_prefix"), let prefix = route.stripPrefix {
            let start: String? = switch route.match.path {
            case .exact(let path), .prefix(let path): path
            case .any, .template: nil
            }
            if let start, !start.hasPrefix(prefix) { loading.error(strip.place, dotted(path, "strip_prefix"), "match.path does not begin with \(prefix)") }
        }
    }
}

extension RouteMatch {
    /// No condition at all.
    var matchesAll: Bool {
        guard case .any = path else { return false }
        return methods.isEmpty && hosts.isEmpty && listeners.isEmpty && clientSubject == nil && clientName == nil && headers.isEmpty && query.isEmpty && body.isEmpty
    }
}
