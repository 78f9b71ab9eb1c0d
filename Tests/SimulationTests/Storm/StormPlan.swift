@testable import ClawEngine
import ClawConfig

/// What a storm's gateway is configured with, by chance: its upstreams, keys, strategies, ladders, limits. The same value says what the invariants are
/// held against.
struct StormPlan {
    /// Upstreams that answer to the models asked for; the one behind them is the fallback with a model of its own.
    var upstreams = 3
    /// By upstream: is it there, and which of its keys are.
    var isPresent: [Bool] = []
    var keys: [[Int]] = []
    var attemptsMax = 3
    var halfOpenProbes = 1
    var cooldownMaxMilliseconds = 3000
    var cooldownBaseMilliseconds = 200
    var maxConcurrency = 0
    var hasBreaker = true
    /// A fallback upstream with another model, which the route names.
    var hasFallback = false
    var allowsDowngrade = false
    var hedges = false
    var resumes = false
    var hasCallers = false
    /// Another name of the first model.
    var hasMap = false
    /// Requests with a certain header run on a profile: on `profileModels`, or, where there are none, on the model asked for.
    var hasProfiles = false
    var profileModels: [Int] = []
    var strategy = "failover"
    /// Gets requests a second time; -1: none does.
    var mirror = -1
    var text = ""
    static let portBase = 8000
    static let fallbackModel = 7
    static let mappedModel = 2
    static let keysMax = 4
    static let profileAttemptsMax = 3
    static let strategies = [
        "failover", "round_robin", "weighted_random", "weighted_round_robin", "first_available", "least_connections", "lowest_latency", "lowest_cost", "consistent_hash", "canary", "shadow",
    ]

    init(_ chance: inout Chance) {
        upstreams = chance.number(2...4)
        change(&chance)
    }

    /// Another configuration over the same names, as a reload brings it: upstreams and keys come, go and come back.
    mutating func change(_ chance: inout Chance) {
        isPresent = (0..<upstreams).map { _ in chance.happens(85) } + [true]
        while isPresent.count(where: { $0 }) < 3 { isPresent[chance.number(0...upstreams - 1)] = true }
        keys = (0...upstreams).map { at in
            if at == upstreams { return [0] }
            let set = chance.number(1...(1 << Self.keysMax) - 1) & (chance.happens(50) ? 3 : 15)
            return set == 0 ? [0] : (0..<Self.keysMax).filter { set >> $0 & 1 != 0 }
        }
        attemptsMax = chance.number(1...5)
        halfOpenProbes = chance.number(1...2)
        hasBreaker = chance.happens(85)
        maxConcurrency = chance.happens(30) ? chance.number(2...6) : 0
        hasFallback = chance.happens(40)
        allowsDowngrade = hasFallback && chance.happens(60)
        hedges = chance.happens(20)
        resumes = chance.happens(20)
        hasCallers = chance.happens(40)
        hasMap = chance.happens(50)
        hasProfiles = chance.happens(30)
        profileModels = chance.happens(50) ? [0, Self.fallbackModel] : []
        cooldownMaxMilliseconds = chance.one(of: [1000, 3000, 20_000])
        cooldownBaseMilliseconds = chance.one(of: [200, 1000])
        strategy = chance.one(of: Self.strategies)
        let present = (0..<upstreams).filter { isPresent[$0] }
        mirror = strategy == "shadow" ? present[chance.number(1...present.count - 1)] : -1
        write(present, &chance)
    }

    private mutating func write(_ present: [Int], _ chance: inout Chance) {
        var text = """
            server: { timeout_seconds: 8, write_timeout_seconds: 4, idle_timeout_seconds: 60 }
            logging: { buffer_kb: 1024 }

            """
        if hasCallers {
            text += "security:\n  keys:\n"
            for caller in 0..<3 { text += "    - { id: c\(caller), value: storm-caller-\(caller)-for-simulation-only, tenant: t\(caller / 2) }\n" }
        }
        text += "upstreams:\n"
        for at in present + [upstreams] {
            let isLast = at == upstreams
            text += "  u\(at):\n    type: \(isLast || chance.happens(70) ? "generic" : "openai")\n"
            text += "    api_keys: [\(keys[at].map { "{ id: k\($0), value: sk-storm-secret-\(at)-\($0)-, weight: \(chance.number(1...3)) }" }.joined(separator: ", "))]\n"
            if !isLast, chance.happens(30) {
                text += "    endpoints: [ \"http://10.0.\(at).1:\(Self.portBase + at)/v1\", \"http://10.0.\(at).2:\(Self.portBase + 100 + at)/v1\" ]\n"
            } else if at == 1, chance.happens(60) {
                text += "    base_url: http://storm.example:\(Self.portBase + at)/v1\n"
            } else {
                text += "    base_url: http://10.0.\(at).1:\(Self.portBase + at)/v1\n"
            }
            text += "    stream_usage: true\n    models: [ \(isLast ? "m\(Self.fallbackModel)" : "m0, m1") ]\n"
            if strategy == "lowest_cost", chance.happens(80) { text += "    cost_per_million_input_tokens: \(chance.number(1...9))\n" }
            text += """
                    timeout_seconds: 6
                    connect_timeout_seconds: 0.5
                    first_byte_timeout_seconds: \(chance.one(of: ["1", "2"]))
                    idle_stream_timeout_seconds: 1
                    breaker: { enabled: \(hasBreaker), window_seconds: \(chance.one(of: ["2", "10"])), min_samples: \(chance.number(4...20)), consecutive_failures: \(chance.number(2...6)), open_seconds: \(chance.one(of: ["0.5", "2"])), max_open_seconds: 8, half_open_probes: \(halfOpenProbes), half_open_successes: \(chance.number(1...3)) }
                    cooldown: { base_seconds: \(Double(cooldownBaseMilliseconds) / 1000), max_seconds: \(Double(cooldownMaxMilliseconds) / 1000), auth_probe_seconds: 2, probe_interval_seconds: 0.5 }

                """
            if maxConcurrency > 0 {
                text += "    max_concurrency: \(maxConcurrency)\n    max_pending: \(chance.one(of: [0, 4, 100]))\n"
                if chance.happens(50) { text += "    adaptive_concurrency: true\n" }
            }
        }
        let shares = chance.number(1...60)
        let targets = present.enumerated().map { place, at in
            switch strategy {
            case "weighted_random", "weighted_round_robin": "{ name: u\(at), weight: \(place + 1) }"
            case "canary": place == 0 ? "{ name: u\(at), percentage: \(shares) }" : place == 1 ? "{ name: u\(at) }" : "{ name: u\(at), percentage: 10 }"
            case "shadow" where at == mirror: "{ name: u\(at), percentage: \(chance.one(of: [10, 100])) }"
            case "lowest_latency" where chance.happens(30), "lowest_cost" where chance.happens(30): "{ name: u\(at), max_latency_ms: \(chance.one(of: [20, 500])) }"
            default: "{ name: u\(at) }"
            }
        }.joined(separator: ", ")
        let isToldApart = strategy == "consistent_hash" || (strategy == "canary" && chance.happens(50))
        text += """
            routes:
              - id: storm
                match: { path: "/v1/chat/completions"\(hasProfiles ? ", headers: { X-Profile: { present: false } }" : "") }
                strategy: { type: \(strategy)\(isToldApart ? ", by: \(hasCallers && chance.happens(50) ? "key" : "session")" : ""), upstreams: [\(targets)] }
                retries: { max_attempts: \(attemptsMax), budget: \(chance.one(of: ["0.2", "1"])), min_per_second: \(chance.one(of: [1, 20])), backoff_ms: 10, max_backoff_ms: 100 }

            """
        if hasFallback { text += "    fallback: { upstreams: [ { name: u\(upstreams), model: m\(Self.fallbackModel) } ]\(allowsDowngrade ? ", allow_downgrade: any" : "") }\n" }
        if chance.happens(30) { text += "    on_server_error: [ backoff, retry, next_candidate ]\n" }
        if chance.happens(20) { text += "    affinity: prompt_prefix\n" }
        if hedges { text += "    hedge: { after_ms: \(chance.one(of: [50, 300])), max_ratio: 0.5 }\n" }
        if resumes { text += "    resume: true\n" }
        if hasMap { text += "    model_map: { m\(Self.mappedModel): m0 }\n" }
        if hasProfiles {
            let models = profileModels.isEmpty ? "" : ", models: [\(profileModels.map { "m\($0)" }.joined(separator: ", "))]"
            text += """
                model_routing:
                  profiles:
                    narrow: { max_context_tokens: 400, prefer_providers: [u\(present[present.count - 1])]\(models) }
                    wide: { max_context_tokens: 1000000\(models) }
                  rules: [ { when: { header: { name: X-Profile } }, use: narrow } ]

                """
        }
        self.text = text
    }

    /// What a request for this model gets where nothing fails.
    func model(for asked: Int) -> Int { asked == Self.mappedModel && hasMap ? 0 : asked }

    /// May a request go to the upstream at this place with this model?
    func allows(model: Int, asked: Int, upstream: Int, onProfile: Bool) -> Bool {
        guard isPresent[upstream], (model == Self.fallbackModel) == (upstream == upstreams) else { return false }
        if onProfile, hasProfiles { return profileModels.isEmpty ? model == asked : profileModels.contains(model) }
        if upstream < upstreams { return model == self.model(for: asked) }
        return hasFallback && allowsDowngrade && model == Self.fallbackModel
    }

    func attempts(onProfile: Bool) -> Int { onProfile && hasProfiles ? Self.profileAttemptsMax : attemptsMax }
}
