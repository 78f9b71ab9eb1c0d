// routes: an ordered list, the first match wins. Each route says what it matches and which upstreams answer, in which manner.

import ClawPolicy

enum RouteTable {
    enum Limit {
        static let routesMax = 10_000
        static let modelsMax = 4096
        static let upgradesMax = 8
    }

    static func option() -> Option<Configuration> {
        let table = make()
        return Option(key: "routes", type: "list of routes", doc: "The first route that matches a request wins. Without routes, the upstreams that list the requested model are tried in file order.",
                      children: { Names.listed(table.rows(Route(id: ""))) },
                      read: { configuration, node, key, loading in readAll(&configuration, node, key, table, loading) },
                      write: { configuration in
                          let names = configuration.upstreams.map(\.name)
                          return .array(configuration.routes.map { route in
                              guard case .object(var members) = table.write(route) else { return .null }
                              members["strategy"] = StrategyTable.write(route, names)
                              members["fallback"] = FallbackTable.write(route, names)
                              return .object(members)
                          })
                      })
    }

    private static func readAll(_ configuration: inout Configuration, _ node: DocumentNode, _ key: String, _ table: Table<Route>, _ loading: Loading) {
        if node.isNull { return }
        guard let items = Names.items(node, key, 0...Limit.routesMax, loading) else { return }
        var lines: [String: Int] = [:], bodyPaths: Set<String> = []
        var words = Words()
        var shadows = Shadows()
        for (index, item) in items.enumerated() {
            var route = Route(id: "route-\(index + 1)")
            let path = path(item, index), errors = loading.errorCount
            table.read(item, into: &route, at: path, loading)
            let place = item.member("id")?.place ?? item.place
            if let first = lines.updateValue(place.line, forKey: route.id) {
                loading.error(place, dotted(path, "id"), "duplicate id \"\(route.id)\", first at line \(first)")
            }
            complete(&route, item, path, configuration, loading)
            // A route with an error may match less than what could be read of it says.
            if errors == loading.errorCount, let shadow = shadows.add(route.match, path: path, line: place.line) {
                loading.warn(place, path, "never reached: \(shadow.path) (line \(shadow.line)) before it matches every request\(shadow.matchesAll ? "" : " that this one does")")
            }
            for test in route.match.body { bodyPaths.insert(test.path) }
            words.add(route.match.prompt, item.member("match")?.member("prompt"), path, loading)
            configuration.routes.append(route)
        }
        if bodyPaths.count > MatchTable.Limit.bodyPathsMax {
            loading.error(node.place, key, "expected at most \(MatchTable.Limit.bodyPathsMax) different json_body paths in all routes, found \(bodyPaths.count)")
        }
    }

    /// The words that all routes together look for in prompts: one automaton finds them, and it is bounded.
    private struct Words {
        private var seen: Set<String> = []
        private var bytes = 0
        private var isOver = false

        mutating func add(_ prompt: PromptMatch?, _ node: DocumentNode?, _ path: String, _ loading: Loading) {
            guard let prompt, let node, !isOver else { return }
            for word in prompt.containsAny + prompt.containsAll where seen.insert(word).inserted { bytes += word.utf8.count }
            isOver = seen.count > KeywordMatcher.keywordsMax || bytes > KeywordMatcher.bytesMax
            guard isOver else { return }
            loading.error(node.place, dotted(path, "match.prompt"), "with this route all routes look for \(seen.count) different words of \(bytes) bytes in prompts; expected at most \(KeywordMatcher.keywordsMax) words of \(KeywordMatcher.bytesMax) bytes in all")
        }
    }

    private static func make() -> Table<Route> {
        Table(options: [
            .text("id", type: "a name", \.id, "Name in logs, metrics and `x-openclaw-route`.") { Names.isName($0) ? nil : "expected a name of \(Names.rule)" }
                .defaulting("route-N, N counting from 1"),
            .section("match", \.match, MatchTable.make(), RouteMatch(), "What a request has to look like; all that is given has to hold. Without it: any."),
            StrategyTable.option(),
            modelMap(),
            .seconds("timeout_seconds", 0.001...86400, \.timeoutNanoseconds, "A whole request on this route.").defaulting("the upstream's"),
            .section("retries", \.retries, ResilienceTable.retries(), RetrySettings(), "How often, and how soon, a request is tried again while nothing was sent to the client."),
            FallbackTable.option(),
            affinity(),
            ResilienceTable.hedge(),
            .flag("resume", \.resume, "A stream whose upstream dies goes on at the next candidate, which gets the text so far; marked in the stream and the log."),
            trafficClass(),
            .text("strip_prefix", type: "a path", \.stripPrefix, "Taken off the path before it is joined to the base path of an `http` upstream.") {
                $0.hasPrefix("/") && $0 != "/" && !$0.hasSuffix("/") && MatchTable.pathProblem($0) == nil ? nil : "expected a path without / at its end"
            },
            upgrade(),
            .flag("drop_unsupported", \.dropUnsupported, "As `upstreams.*.drop_unsupported`, for requests of this route.").defaulting("the upstream's"),
        ] + FallbackTable.routeOptions() + [
            .later("cache", "Answers from cache."),
            .later("transform", "Changes to requests and answers."),
            .later("scopes", "Scopes a caller needs."),
            .later("claims", "Claims a caller needs."),
        ])
    }

    /// Messages name a route as its author does.
    static func path(_ item: DocumentNode, _ index: Int) -> String {
        if let id = item.member("id"), case .scalar(let text, _) = id.value, Names.isName(text) { return "routes.\(text)" }
        return "routes[\(index)]"
    }

    private static func affinity() -> Option<Route> {
        let words = Affinity.allCases.map(\.rawValue)
        return Option(key: "affinity", type: "one of \(words.joined(separator: ", "))", doc: "Requests whose prompts begin alike go to the same key and endpoint while they are well, for the provider's prompt cache.",
                      defaultText: "none",
                      read: { route, node, key, loading in if let choice = chosen(node, key, loading, Affinity.self, later: []) { route.affinity = choice } },
                      write: { $0.affinity.map { .text($0.rawValue) } })
    }

    private static func trafficClass() -> Option<Route> {
        let words = TrafficClass.words, list = words.joined(separator: ", ")
        return Option(key: "traffic_class", type: "one of \(list)", doc: "Which breaker its failures count for: long tools and short model calls never share one.",
                      defaultText: "http for upstreams of type http, else model",
                      read: { route, node, key, loading in
                          guard let text = loading.text(node, key, expected: "one of \(list)") else { return }
                          if let index = words.firstIndex(of: text.string) { return route.trafficClass = TrafficClass(rawValue: UInt8(index)) }
                          let hint = text.names.isEmpty ? Suggestion.hint(for: text.string, among: words) : ""
                          loading.error(node.place, key, "expected one of \(list), found \(text.shown)\(hint)")
                      },
                      write: { $0.trafficClass.map { .text($0.word) } })
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
        let fallbackTypes = route.fallback.targets.filter { configuration.upstreams.indices.contains($0.upstream) }.map { configuration.upstreams[$0.upstream].type }
        // Where no upstream could be read, nothing is known of what they are.
        let hasModels = types.isEmpty || (types + fallbackTypes).contains { $0 != .http }
        StrategyTable.checkTypes(route, node, path, hasModels: types.isEmpty || types.contains { $0 != .http }, loading)
        FallbackTable.check(route, node, path, configuration, hasModels: hasModels, loading)
        ResilienceTable.checkRetries(&route, node, path, loading)
        for key in ["hedge", "resume", "affinity"] where !hasModels {
            if let member = node.member(key), key != "resume" || route.resume { loading.error(member.place, dotted(path, key), "has an effect with models only, and this route has upstreams of type http only") }
        }
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
