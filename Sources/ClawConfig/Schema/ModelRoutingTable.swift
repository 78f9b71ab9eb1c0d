// model_routing: profiles, each a context window with upstreams and models that are preferred, and rules that choose one by a header. `modelRouting` is the
// same in the spelling of openclaw.json; each spelling has its own keys, and a file has one of the two.

enum ModelRoutingTable {
    enum Limit {
        static let profilesMax = 64
        static let rulesMax = 256
        static let providersMax = 64
        static let modelsMax = 64
    }
    enum Spelling {
        case snake, camel
        var section: String { self == .snake ? "model_routing" : "modelRouting" }
        var contextTokens: String { self == .snake ? "max_context_tokens" : "maxContextTokens" }
        var preferProviders: String { self == .snake ? "prefer_providers" : "preferProviders" }
    }

    static func option(_ spelling: Spelling) -> Option<Configuration> {
        let table = make(spelling)
        return Option(key: spelling.section, type: "map",
                      doc: spelling == .snake ? "Profiles that choose models: by headers, and by how long the prompt is." : "As `model_routing`, in the spelling of openclaw.json.",
                      children: { table.rows(ModelRouting()) },
                      read: { configuration, node, key, loading in
                          var routing = ModelRouting()
                          table.read(node, into: &routing, at: key, loading)
                          configuration.modelRouting = routing
                      },
                      // Shown in one spelling, whichever was used.
                      write: { spelling == .snake ? $0.modelRouting.map(table.write) : nil })
    }

    private static func make(_ spelling: Spelling) -> Table<ModelRouting> {
        // Profiles first: the others name them.
        Table(options: [profiles(spelling), defaultProfile(), rules()])
    }

    private static func profile(_ node: DocumentNode, _ key: String, _ routing: ModelRouting, _ loading: Loading) -> Int? {
        guard let text = loading.text(node, key, expected: "the name of a profile") else { return nil }
        if let index = routing.profiles.firstIndex(where: { $0.name == text.string }) { return index }
        let hint = text.names.isEmpty ? Suggestion.hint(for: text.string, among: routing.profiles.map(\.name)) : ""
        loading.error(node.place, key, "no profile has the name \(text.shown)\(hint)")
        return nil
    }

    private static func defaultProfile() -> Option<ModelRouting> {
        Option(key: "default", type: "name of a profile", doc: "Used where no rule fits.", defaultText: "none",
               read: { routing, node, key, loading in routing.defaultProfile = profile(node, key, routing, loading) },
               write: { routing in routing.defaultProfile.map { .text(routing.profiles[$0].name) } })
    }

    private static func profiles(_ spelling: Spelling) -> Option<ModelRouting> {
        let table = Table<ModelRouting.Profile>(options: [
            .tokens(spelling.contextTokens, \.contextTokensMax, "A request whose estimate is above goes to the next profile that has room for it."),
            Option(key: spelling.preferProviders, type: "list of names", doc: "Upstreams, by name, type or tier: the first is asked first, others that serve the model after them.",
                   read: { profile, node, key, loading in profile.preferProviders = Names.words(node, key, 1...Limit.providersMax, loading) },
                   write: { $0.preferProviders.isEmpty ? nil : .array($0.preferProviders.map { .text($0) }) }),
            Option(key: "models", type: "list of models", doc: "Tried in this order; without it, the one asked for.",
                   read: { profile, node, key, loading in
                       guard let items = Names.oneOrMany(node, key, Limit.modelsMax, loading) else { return }
                       profile.models = items.compactMap { checkedText($0, key, loading, "a model", { Names.isModel($0) ? nil : "expected a model" }) }
                   },
                   write: { $0.models.isEmpty ? nil : .array($0.models.map { .text($0) }) }),
        ])
        return Option(key: "profiles", type: "map of name → profile", doc: "In the order of the file, which is that in which larger windows are looked for.",
                      children: { table.rows(ModelRouting.Profile(name: "")).map { var row = $0; row.key = ".NAME.\(row.key)"; return row } },
                      read: { routing, node, key, loading in
                          guard let members = Names.members(node, key, Limit.profilesMax, loading) else { return }
                          if members.isEmpty { loading.error(node.place, key, "expected at least one profile, found none") }
                          for member in members {
                              let path = dotted(key, member.key)
                              if !Names.isName(member.key) { loading.error(member.keyPlace, path, "expected a name of \(Names.rule)") }
                              var profile = ModelRouting.Profile(name: member.key)
                              table.read(member.value, into: &profile, at: path, loading)
                              routing.profiles.append(profile)
                          }
                      },
                      write: { routing in .object(Dictionary(routing.profiles.map { ($0.name, table.write($0)) }) { first, _ in first }) }).required()
    }

    private struct Condition {
        var header = ""
        var equals: String?
    }

    private static func rules() -> Option<ModelRouting> {
        let header = Table<Condition>(options: [
            .text("name", type: "a header name", \.header, "The header.") { Names.isToken($0) ? nil : "expected a header name" }.required(),
            .text("equals", type: "text", \.equals, "Its value; without it, that it is there is enough."),
        ])
        let when = Table<Condition>(options: [
            Option(key: "header", type: "map", doc: "A condition on a header.", children: { header.rows(Condition()) },
                   read: { condition, node, key, loading in header.read(node, into: &condition, at: key, loading) },
                   write: { header.write($0) }).required(),
        ])
        func rows() -> [ReferenceRow] {
            Table<Condition>(options: [
                Option(key: "when", type: "map", doc: "When it is used.", children: { when.rows(Condition()) }, read: { _, _, _, _ in }, write: { _ in nil }).required(),
                Option(key: "use", type: "name of a profile", doc: "The profile.", read: { _, _, _, _ in }, write: { _ in nil }).required(),
            ]).rows(Condition())
        }
        return Option(key: "rules", type: "list of {when, use}", doc: "The first that fits chooses the profile.", children: { Names.listed(rows()) },
                      read: { routing, node, key, loading in
                          guard let items = Names.items(node, key, 0...Limit.rulesMax, loading) else { return }
                          // By header and value (nil: any), the line of the first rule that asks for it.
                          var lines: [String: [String?: Int]] = [:]
                          for (index, item) in items.enumerated() {
                              let known = routing
                              var condition = Condition(), use: Int?
                              Table<Int>(options: [
                                  Option(key: "when", type: "a map with header", doc: "", read: { _, node, key, loading in when.read(node, into: &condition, at: key, loading) }, write: { _ in nil }).required(),
                                  Option(key: "use", type: "name of a profile", doc: "", read: { _, node, key, loading in use = profile(node, key, known, loading) }, write: { _ in nil }).required(),
                              ]).read(item, at: "\(key)[\(index)]", loading)
                              if let use, !condition.header.isEmpty {
                                  let header = condition.header.lowercased()
                                  if let line = lines[header]?[nil] ?? lines[header]?[condition.equals] {
                                      loading.warn(item.place, "\(key)[\(index)]", "never reached: the rule at line \(line) before it holds for every request that this one does")
                                  } else {
                                      lines[header, default: [:]][condition.equals] = item.place.line
                                  }
                                  routing.rules.append(.init(header: condition.header.lowercased(), equals: condition.equals, profile: use))
                              }
                          }
                      },
                      write: { routing in
                          routing.rules.isEmpty ? nil : .array(routing.rules.map { rule in
                              var header: [String: Canonical] = ["name": .text(rule.header)]
                              if let equals = rule.equals { header["equals"] = .text(equals) }
                              return .object(["when": .object(["header": .object(header)]), "use": .text(routing.profiles[rule.profile].name)])
                          })
                      })
    }

    // MARK: What goes together

    static func check(_ configuration: Configuration, _ root: DocumentNode, _ loading: Loading) {
        if let camel = root.members?.first(where: { $0.key == Spelling.camel.section }), root.member(Spelling.snake.section) != nil {
            return loading.error(camel.keyPlace, camel.key, "give either model_routing or modelRouting")
        }
        for spelling in [Spelling.snake, .camel] {
            guard let node = root.member(spelling.section), let routing = configuration.modelRouting else { continue }
            if node.members != nil, node.member("default") == nil, node.member("rules")?.items?.isEmpty ?? true, node.member("profiles") != nil {
                loading.error(node.place, spelling.section, "no profile is ever used; expected default or rules")
            }
            for profile in routing.profiles {
                guard let part = node.member("profiles")?.member(profile.name) else { continue }
                check(profile, part, "\(spelling.section).profiles.\(profile.name)", spelling, configuration, loading)
            }
        }
    }

    private static func check(
        _ profile: ModelRouting.Profile, _ node: DocumentNode, _ path: String, _ spelling: Spelling, _ configuration: Configuration, _ loading: Loading
    ) {
        let upstreams = configuration.upstreams
        if node.members?.isEmpty ?? true, node.isNull || node.members != nil {
            loading.error(node.place, path, "expected \(spelling.contextTokens), \(spelling.preferProviders) or models, found nothing")
        }
        func place(_ key: String, _ text: String) -> Place {
            let list = node.member(key)
            return list?.items?.first { if case .scalar(text, _) = $0.value { true } else { false } }?.place ?? list?.place ?? node.place
        }
        let known = upstreams.map(\.name) + upstreams.compactMap(\.tier), types = Set(upstreams.map(\.type.rawValue))
        for name in profile.preferProviders where !known.contains(name) && !types.contains(name) {
            let (at, key) = (place(spelling.preferProviders, name), "\(path).\(spelling.preferProviders)")
            if UpstreamType(rawValue: name) != nil {
                loading.warn(at, key, "no upstream has the type \(name)")
            } else {
                let hint = Suggestion.hint(for: name, among: known + types.sorted())
                loading.error(at, key, "no upstream has the name, type or tier \(Loading.printable(name, 60))\(hint)")
            }
        }
        let served = upstreams.filter { $0.type != .http }
        guard !served.contains(where: \.models.isEmpty) else { return }
        let models = Set(served.flatMap { $0.models.flatMap { [$0.alias, $0.id] } } + configuration.routes.flatMap { $0.modelMap.keys } + configuration.routes.flatMap { $0.targets.compactMap(\.model) })
        for model in profile.models where !models.contains(model) {
            loading.warn(place("models", model), "\(path).models", "no upstream lists the model \(Loading.printable(model, 60))\(Suggestion.hint(for: model, among: models.sorted()))")
        }
    }
}

extension Table {
    /// Reads a map whose parts land elsewhere.
    fileprivate func read(_ node: DocumentNode, at path: String, _ loading: Loading) where Target == Int {
        var nothing = 0
        read(node, into: &nothing, at: path, loading)
    }
}
