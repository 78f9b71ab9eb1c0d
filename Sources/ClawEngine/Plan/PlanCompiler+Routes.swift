// What a plan's routes are besides their conditions on the head: conditions on the prompt, the routes that profiles become, and what routing has to look
// for in bodies on their account.
import ClawConfig
import ClawPolicy
import ClawWire

/// Conditions on the prompt (`match.prompt`).
struct PlanPrompt {
    /// Places of keywords in the plan's matcher.
    var containsAny: List<Int>
    var containsAll: List<Int>
    /// A bit for each of `LanguageGuess.codes`; 0: any.
    var languages: UInt64
    /// On the estimate of tokens.
    var tokens: List<PlanBodyTest>
}

/// A profile of `model_routing`.
struct PlanProfile {
    var name: Bytes
    /// 0: any.
    var contextTokensMax: Int64
    /// Its own route, which no request matches but which those run on that the profile takes.
    var route: Int
    /// Its models, in the order in which they are tried; empty: the one that is asked for.
    var models: List<PlanProfileModel>
}

struct PlanProfileModel {
    var name: Bytes
    /// Where the targets that send it lie in the route's list.
    var from: Int
    var count: Int
}

/// What of a body is looked at for the sake of routing; places in the scanned paths.
struct PlanReading {
    /// What one walk through the prompt finds.
    var prompt: PromptReading.Wanted = []
    var keywords: Unmanaged<KeywordMatcher>?
    var keywordWords = 0
    /// For explaining: the keywords and the scanned paths by their places.
    var keywordTexts: List<Bytes>
    var pathNames: List<Bytes>
    /// Where clients say how long the answer may be, whom they ask for, and which conversation it is.
    var outputTokens: List<Int>
    var user: List<Int>
    var session: List<Int>
    /// Routes ask for the estimate of tokens beyond their conditions: profiles, `lowest_cost`.
    var wantsTokens = false
}

extension PlanCompiler {
    /// Words of the prompt that routes look for, each once.
    struct Keywords {
        var list: [[UInt8]] = []
        var places: [String: Int] = [:]

        mutating func place(_ word: String) -> Int {
            if let place = places[word] { return place }
            places[word] = list.count
            list.append(Array(word.utf8))
            return list.count - 1
        }
    }

    mutating func compile(_ prompt: PromptMatch) throws(PlanFailure) -> PlanPrompt {
        var languages: UInt64 = 0
        for (place, code) in LanguageGuess.codes.enumerated() where prompt.languages.contains("\(code)") { languages |= 1 << UInt64(place) }
        // A language that is never told from others: the condition never holds.
        if !prompt.languages.isEmpty, languages == 0 { languages = 1 << 63 }
        if !prompt.languages.isEmpty { wanted.insert(.language) }
        if !prompt.tokens.isEmpty { wanted.insert(.tokens) }
        if !prompt.containsAny.isEmpty || !prompt.containsAll.isEmpty { wanted.insert(.keywords) }
        var tokens: [PlanBodyTest] = []
        for test in prompt.tokens { tokens.append(try compile(test)) }
        let any = prompt.containsAny.map { keywords.place($0) }, all = prompt.containsAll.map { keywords.place($0) }
        return PlanPrompt(containsAny: memory.array(any), containsAll: memory.array(all), languages: languages, tokens: memory.array(tokens))
    }

    /// After all routes.
    mutating func reading(_ routes: [PlanRoute]) throws(PlanFailure) -> PlanReading {
        var out = PlanReading(keywordTexts: memory.array(keywords.list.map { memory.bytes($0) }), pathNames: memory.array([]), outputTokens: memory.array([]), user: memory.array([]), session: memory.array([]))
        func asks(_ holds: (PlanIdentity) -> Bool) -> Bool { routes.contains { holds($0.identity) } }
        out.wantsTokens = configuration.modelRouting?.profiles.contains { $0.contextTokensMax != nil } ?? false || routes.contains { $0.strategy == .lowestCost }
        if out.wantsTokens {
            wanted.insert(.tokens)
            out.outputTokens = memory.array(try places([
                "max_tokens", "max_completion_tokens", "max_output_tokens", "generationConfig.maxOutputTokens", "options.num_predict", "inferenceConfig.maxTokens",
            ]))
        }
        if asks({ if case .user = $0 { true } else { false } }) { out.user = memory.array(try places(["user", "metadata.user_id", "safety_identifier"])) }
        if asks({ if case .session = $0 { true } else { false } }) { out.session = memory.array(try places(["prompt_cache_key", "conversation"])) }
        if routes.contains(where: { $0.hasPromptAffinity }) { wanted.insert(.prefix) }
        out.prompt = wanted
        if !keywords.list.isEmpty {
            guard let matcher = KeywordMatcher(keywords.list) else {
                throw PlanFailure(description: "routes: at most \(KeywordMatcher.keywordsMax) different words of \(KeywordMatcher.bytesMax) bytes in all can be looked for in prompts (match.prompt)")
            }
            retained.append(matcher)
            out.keywords = Unmanaged.passUnretained(matcher)
            out.keywordWords = matcher.foundWords
        }
        out.pathNames = memory.array(paths.map { memory.text($0) })
        return out
    }

    private mutating func places(_ names: [String]) throws(PlanFailure) -> [Int] {
        var out: [Int] = []
        for name in names { out.append(try place(name)) }
        return out
    }

    // MARK: profiles

    /// The routes that stand behind the configured ones, and the profiles with the routes of their own, which come last of all.
    struct Profiles {
        var rules: [PlanRoute] = []
        var own: [PlanRoute] = []
        var profiles: [PlanProfile] = []
    }

    /// `before`: how many routes there are already; `implicit`: the one that stands behind the rules where no profile is the default, if any.
    mutating func profiles(before: Int, implicit: Bool) throws(PlanFailure) -> Profiles {
        var out = Profiles()
        guard let routing = configuration.modelRouting else { return out }
        let matching = before + routing.rules.count + (routing.defaultProfile != nil ? 1 : 0) + (implicit ? 1 : 0)
        for (at, profile) in routing.profiles.enumerated() {
            var route = Route(id: "profile:\(profile.name)")
            var models: [PlanProfileModel] = []
            let order = preferred(profile)
            for model in profile.models {
                let targets = order.filter { serves($0, model) }.map { index in
                    var target = StrategyTarget(upstream: index)
                    target.model = model
                    return target
                }
                models.append(PlanProfileModel(name: memory.text(model), from: route.targets.count, count: targets.count))
                route.targets += targets
            }
            if profile.models.isEmpty { route.targets = order.map { StrategyTarget(upstream: $0) } }
            var compiled = try compile(route)
            compiled.profile = Int32(at)
            compiled.rule = memory.text("model_routing.profiles.\(profile.name)")
            out.own.append(compiled)
            out.profiles.append(PlanProfile(name: memory.text(profile.name), contextTokensMax: profile.contextTokensMax ?? 0, route: matching + at, models: memory.array(models)))
        }
        for rule in routing.rules {
            var route = out.own[rule.profile]
            let test: PlanTextTest = rule.equals.map { .equals(memory.text($0)) } ?? .present(true)
            route.takesAll = false
            route.headers = memory.array([PlanNamedTest(name: memory.text(rule.header.lowercased()), known: .other, test: test)])
            out.rules.append(route)
        }
        if let standard = routing.defaultProfile { out.rules.append(out.own[standard]) }
        return out
    }

    /// Model upstreams in the order in which a profile asks them.
    private func preferred(_ profile: ModelRouting.Profile) -> [Int] {
        let upstreams = configuration.upstreams
        func rank(_ index: Int) -> Int {
            profile.preferProviders.firstIndex { upstreams[index].name == $0 || upstreams[index].tier == $0 || upstreams[index].type.rawValue == $0 } ?? profile.preferProviders.count
        }
        return upstreams.indices.filter { upstreams[$0].type != .http }.sorted { (rank($0), $0) < (rank($1), $1) }
    }

    /// Does this upstream have the model? One that lists none has what the catalogue says, and where the catalogue knows nothing of its type, any.
    private func serves(_ index: Int, _ model: String) -> Bool {
        let upstream = configuration.upstreams[index]
        if !upstream.models.isEmpty { return upstream.models.contains { $0.alias == model || $0.id == model } }
        let known = facts(of: upstream).filter { $0.id.count > 0 }
        return known.isEmpty || known.contains { $0.id.string == model }
    }
}
