import CClaw
import ClawConfig
import ClawPolicy
import Testing

@testable import ClawEngine

/// In which order upstreams are asked, over a worker that has no sockets.
@Suite struct RoutingStrategyTests {
    static func text(_ strategy: String, route: String = "", upstreams: String? = nil, more: String = "") -> String {
        """
        upstreams:
        \(upstreams ?? ["a", "b", "c"].map { "  \($0): {type: generic, base_url: \"http://127.0.0.1:1\", api_key: sk-\($0)-1234567890}" }.joined(separator: "\n"))
        routes:
          - id: r
            strategy: \(strategy)
        \(route.isEmpty ? "" : route.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n"))
        \(more)
        """
    }

    @Test func thoseThatCannotTakeItComeLast() throws {
        let rig = try RoutingRig(Self.text("{type: failover, upstreams: [a, b, c]}"))
        #expect(try rig.candidates() == ["a", "b", "c"])
        rig.open("a")
        #expect(try rig.candidates() == ["b", "c", "a"])
        rig.open("b")
        rig.open("c")
        // None is ever taken away.
        #expect(try rig.candidates() == ["a", "b", "c"])
    }

    @Test func aBreakerThatIsNoLongerOpenLetsItsUpstreamComeFirst() throws {
        let rig = try RoutingRig(Self.text("{type: failover, upstreams: [a, b]}"))
        rig.open("a")
        #expect(try rig.candidates() == ["b", "a"])
        rig.now += rig.upstream("a").pointee.breaker.open
        #expect(try rig.candidates() == ["a", "b"])
    }

    @Test func anUpstreamWhoseKeysAllCoolComesLast() throws {
        let rig = try RoutingRig(Self.text("{type: failover, upstreams: [a, b]}"))
        let upstream = rig.upstream("a")
        let cooldowns = rig.shared.outlook.cooldowns(upstream.pointee.keys[0].pointee.place)
        _ = cooldowns.cool(model: Outlook.hash("m"), class: .rateLimited, told: 5_000_000_000, now: rig.now, upstream.pointee.cooldown, random: 1)
        #expect(try rig.candidates() == ["b", "a"])
        #expect(try rig.candidates(RoutingRig.request(#"{"model":"another","messages":[]}"#)) == ["a", "b"])
        rig.now += 6_000_000_000
        #expect(try rig.candidates() == ["a", "b"])
    }

    @Test func roundRobinGivesEachThatCanTakeItTheSameShare() throws {
        let rig = try RoutingRig(Self.text("{type: round_robin, upstreams: [a, b, c]}"))
        #expect(try (0..<4).map { _ in try rig.candidates()[0] } == ["a", "b", "c", "a"])
        rig.open("b")
        var counts: [String: Int] = [:]
        for _ in 0..<20 { counts[try rig.candidates()[0], default: 0] += 1 }
        #expect(counts == ["a": 10, "c": 10])
        #expect(try rig.candidates().last == "b")
    }

    @Test func weightedRoundRobinIsExact() throws {
        let rig = try RoutingRig(Self.text("{type: weighted_round_robin, upstreams: [{name: a, weight: 5}, {name: b, weight: 3}, {name: c, weight: 0}]}"))
        var counts: [String: Int] = [:]
        for _ in 0..<80 {
            let order = try rig.candidates()
            #expect(!order.contains("c"))
            counts[order[0], default: 0] += 1
        }
        #expect(counts == ["a": 50, "b": 30])
    }

    @Test func weightedRandomFollowsTheWeights() throws {
        let rig = try RoutingRig(Self.text("{type: weighted_random, upstreams: [{name: a, weight: 70}, {name: b, weight: 30}]}"))
        var first = 0
        for _ in 0..<2000 where try rig.candidates()[0] == "a" { first += 1 }
        #expect((1280...1520).contains(first))
    }

    @Test func anUpstreamThatHasJustComeBackGetsLessThanItsWeight() throws {
        let rig = try RoutingRig(Self.text("{type: weighted_random, upstreams: [a, b]}"))
        let upstream = rig.upstream("a"), outlier = rig.shared.outlook.outlier(upstream.pointee.endpoints[0].pointee.place)
        _ = outlier.eject(now: rig.now, upstream.pointee.outlier)
        #expect(try rig.candidates() == ["b", "a"])
        rig.now = outlier.ejectedUntil + 1_000_000
        var first = 0
        for _ in 0..<1000 where try rig.candidates()[0] == "a" { first += 1 }
        #expect(first < 200)
        rig.now += upstream.pointee.outlier.slowStart
        first = 0
        for _ in 0..<1000 where try rig.candidates()[0] == "a" { first += 1 }
        #expect((400...600).contains(first))
    }

    @Test func leastConnectionsAsksWhoHasTheLeastUnderWay() throws {
        let rig = try RoutingRig(Self.text("{type: least_connections, upstreams: [a, b, c]}"))
        func enter(_ name: String, _ times: Int) {
            let upstream = rig.upstream(name)
            for _ in 0..<times { _ = rig.shared.outlook.concurrency(upstream.pointee.place).tryEnter(upstream.pointee.concurrency) }
        }
        enter("a", 3)
        enter("b", 1)
        enter("c", 2)
        #expect(try rig.candidates() == ["b", "c", "a"])
    }

    @Test func lowestLatencyAsksTheFastestThatIsFastEnough() throws {
        let rig = try RoutingRig(Self.text("{type: lowest_latency, exploration: 0, upstreams: [{name: a, max_latency_ms: 50}, b, c]}"))
        func sample(_ at: Int, _ milliseconds: UInt64) { rig.shared.outlook.latency(rig.plan.pointee.routes[0].pointee.targets[at].pointee.place).sample(milliseconds * 1_000_000, now: rig.now) }
        sample(0, 100)
        sample(1, 300)
        sample(2, 200)
        // The fastest is above its limit.
        #expect(try rig.candidates() == ["c", "b", "a"])
        let told = try rig.explain(RoutingRig.request())
        #expect(told.candidates.map(\.isSlow) == [false, false, true] && told.candidates.map(\.latencyMilliseconds) == [200, 300, 100])
    }

    @Test func lowestLatencyExplores() throws {
        let rig = try RoutingRig(Self.text("{type: lowest_latency, exploration: 0.2, upstreams: [a, b]}"))
        func sample(_ at: Int, _ milliseconds: UInt64) { rig.shared.outlook.latency(rig.plan.pointee.routes[0].pointee.targets[at].pointee.place).sample(milliseconds * 1_000_000, now: rig.now) }
        sample(0, 100)
        sample(1, 300)
        var explored = 0
        for _ in 0..<1000 where try rig.candidates()[0] == "b" { explored += 1 }
        #expect((130...280).contains(explored))
    }

    static let priced = """
          a: {type: generic, base_url: "http://127.0.0.1:1", cost_per_million_input_tokens: 1, cost_per_million_output_tokens: 10}
          b: {type: generic, base_url: "http://127.0.0.1:1", cost_per_million_input_tokens: 3, cost_per_million_output_tokens: 1}
          c: {type: generic, base_url: "http://127.0.0.1:1"}
        """

    @Test func lowestCostCountsThePromptAndWhatIsAsked() throws {
        let rig = try RoutingRig(Self.text("{type: lowest_cost, upstreams: [c, a, b]}", upstreams: Self.priced))
        let long = String(repeating: "word and another word, ", count: 400)
        func body(_ text: String, _ more: String) -> DescribedRequest { RoutingRig.request(#"{"model":"m","messages":[{"role":"user","content":"\#(text)"}]\#(more)}"#) }
        // A short prompt and a long answer: output's price decides. No price is no bargain.
        #expect(try rig.candidates(body("hi", "")) == ["b", "a", "c"])
        #expect(try rig.candidates(body(long, #","max_tokens":1"#)) == ["a", "b", "c"])
        #expect(try rig.candidates(body(long, #","max_completion_tokens":4000"#)) == ["b", "a", "c"])
    }

    @Test func aCanaryWithoutIdentityIsExactOverTenThousandRequests() throws {
        let rig = try RoutingRig(Self.text("{type: canary, upstreams: [{name: a}, {name: b, percentage: 5}]}"))
        var share = 0
        for _ in 0..<10_000 {
            let order = try rig.candidates()
            #expect(order.count == 2)
            if order[0] == "b" { share += 1 }
        }
        #expect(share == 500)
    }

    @Test func aCanarySticksToItsSessionAlsoOverAReload() throws {
        let text = Self.text("{type: canary, by: session, upstreams: [{name: a}, {name: b, percentage: 30}]}")
        let rig = try RoutingRig(text)
        var seen: [Int: String] = [:]
        var share = 0
        for step in 0..<10_000 {
            if step == 5_000 { try rig.reload(text) }
            let session = step % 500
            let first = try rig.candidates(RoutingRig.request(headers: [("x-session-id", "session-\(session)")]))[0]
            if let before = seen[session] { #expect(before == first) }
            seen[session] = first
            if first == "b" { share += 1 }
        }
        #expect((2_900...3_100).contains(share))
    }

    @Test func anArmThatCannotTakeItGivesWayToTheRest() throws {
        let rig = try RoutingRig(Self.text("{type: canary, upstreams: [{name: b, percentage: 50}, {name: a}]}"))
        rig.open("b")
        for _ in 0..<20 { #expect(try rig.candidates() == ["a", "b"]) }
    }

    @Test func consistentHashStaysAndMovesLittle() throws {
        let text = Self.text("{type: consistent_hash, by: {header: x-user}, upstreams: [a, b, c]}")
        let rig = try RoutingRig(text)
        func first(_ user: Int) throws -> String { try rig.candidates(RoutingRig.request(headers: [("X-User", "user-\(user)")]))[0] }
        let before = try (0..<300).map { try first($0) }
        #expect(try (0..<300).map { try first($0) } == before)
        for name in ["a", "b", "c"] { #expect(before.count { $0 == name } > 60) }
        // Those of the upstream that left move, nobody else.
        rig.open("b")
        let without = try (0..<300).map { try first($0) }
        for at in 0..<300 { #expect(before[at] == "b" ? without[at] != "b" : without[at] == before[at]) }
        // An upstream that carries far more than its share is passed by.
        try rig.reload(text)
        let shared = rig.upstream("a")
        for _ in 0..<50 { _ = rig.shared.outlook.concurrency(shared.pointee.place).tryEnter(shared.pointee.concurrency) }
        #expect(try (0..<50).allSatisfy { try first($0) != "a" })
    }

    @Test func aShadowAnswersNobody() throws {
        let rig = try RoutingRig(Self.text("{type: shadow, upstreams: [a, {name: b, percentage: 12.5}, c]}"))
        #expect(try rig.candidates() == ["a", "c"])
        let mirror = try #require(rig.plan.pointee.routes[0].pointee.mirror)
        #expect(mirror.parts == 1250 && rig.plan.pointee.upstreams[mirror.upstream].pointee.name.string == "b")
    }

    // MARK: fallbacks

    @Test func fallbacksComeBehindAndAreNoOtherModelUnlessAllowed() throws {
        func order(_ allowed: String) throws -> [String] {
            try RoutingRig(Self.text(
                "{type: failover, upstreams: [{name: a, model: gpt-4o}]}",
                route: "fallback: {upstreams: [{name: b, model: gpt-4o}\(allowed)"))
                .candidates(RoutingRig.request(#"{"model":"gpt-4o","messages":[]}"#))
        }
        let others = ", {name: b, model: gpt-4o-mini}, {name: c, model: claude-sonnet-4-5}]"
        #expect(try order("]}") == ["a/gpt-4o", "b/gpt-4o"])
        #expect(try order("], allow_downgrade: none}") == ["a/gpt-4o", "b/gpt-4o"])
        #expect(try order(others + ", allow_downgrade: same_family}") == ["a/gpt-4o", "b/gpt-4o", "b/gpt-4o-mini"])
        #expect(try order(others + ", allow_downgrade: any}") == ["a/gpt-4o", "b/gpt-4o", "b/gpt-4o-mini", "c/claude-sonnet-4-5"])
    }

    @Test func whatTheStrategyNamesIsAllowedUntilTheRouteSaysNo() throws {
        let strategy = "{type: failover, upstreams: [{name: a, model: gpt-4o}, {name: b, model: gpt-4o-mini}]}"
        let request = RoutingRig.request(#"{"model":"gpt-4o","messages":[]}"#)
        #expect(try RoutingRig(Self.text(strategy)).candidates(request) == ["a/gpt-4o", "b/gpt-4o-mini"])
        #expect(try RoutingRig(Self.text(strategy, route: "allow_downgrade: none")).candidates(request) == ["a/gpt-4o"])
    }

    /// The example of the configuration contract: a share of the requests goes to another model because the route says so, whatever `allow_downgrade` says of
    /// what stands in when an upstream fails.
    @Test func aShareOfTheRequestsIsNoDowngradeButStandsInForNobody() throws {
        let strategy = "{type: weighted_random, upstreams: [{name: a, weight: 70}, {name: b, weight: 30, model: gpt-4o-mini}]}"
        let request = RoutingRig.request(#"{"model":"gpt-4","messages":[]}"#)
        let rig = try RoutingRig(Self.text(strategy, route: "fallback: {upstreams: [b], allow_downgrade: none}"))
        var counts: [[String]: Int] = [:]
        for _ in 0..<2000 { counts[try rig.candidates(request), default: 0] += 1 }
        #expect(counts.keys.allSatisfy { $0.first == "b/gpt-4o-mini" || !$0.contains("b/gpt-4o-mini") }, "\(counts)")
        let share = counts.reduce(0) { $0 + ($1.key.first == "b/gpt-4o-mini" ? $1.value : 0) }
        #expect((480...720).contains(share), "\(share) of 2000")
    }

    @Test func whatHasNoWeightGetsNothingOfTheStrategiesThatGoByWeight() throws {
        for type in ["weighted_random", "weighted_round_robin", "least_connections", "consistent_hash, by: ip"] {
            let rig = try RoutingRig(Self.text("{type: \(type), upstreams: [a, {name: b, weight: 0}]}"))
            #expect(try rig.candidates() == ["a"], "\(type)")
        }
    }

    @Test func anAliasIsNoOtherModel() throws {
        let rig = try RoutingRig(Self.text(
            "{type: failover, upstreams: [{name: a, model: fast}]}", route: "allow_downgrade: none",
            upstreams: "  a: {type: generic, base_url: \"http://127.0.0.1:1\", models: [{id: gpt-4o-mini-2024, alias: fast}]}"))
        #expect(try rig.candidates(RoutingRig.request(#"{"model":"fast","messages":[]}"#)) == ["a/gpt-4o-mini-2024"])
        #expect(!rig.worker.view.pointee.choice.chosen[0].isOther)
    }

    // MARK: profiles

    static let profiles = """
        upstreams:
          local: {type: ollama, base_url: "http://127.0.0.1:1", models: [qwen]}
          cloud: {type: openai, base_url: "http://127.0.0.1:1/v1", api_key: sk-cloud-1234567890, models: [gpt-4o, gpt-4o-mini]}
          other: {type: generic, base_url: "http://127.0.0.1:1", tier: cheap, models: [gpt-4o, qwen]}
        model_routing:
          default: small
          profiles:
            small: {max_context_tokens: 200, models: [qwen]}
            large: {max_context_tokens: 2000, prefer_providers: [cheap], models: [gpt-4o, gpt-4o-mini]}
            any: {prefer_providers: [openai]}
          rules:
            - {when: {header: {name: X-Profile, equals: big}}, use: large}
            - {when: {header: {name: X-Any}}, use: any}
        """

    @Test func profilesChooseModelsAndUpstreams() throws {
        let rig = try RoutingRig(Self.profiles)
        func order(_ model: String, _ headers: [(String, String)] = []) throws -> [String] { try rig.candidates(RoutingRig.request(#"{"model":"\#(model)","messages":[]}"#, headers: headers)) }
        #expect(try order("whatever") == ["local/qwen", "other/qwen"])
        #expect(try order("whatever", [("x-profile", "big")]) == ["other/gpt-4o", "cloud/gpt-4o", "cloud/gpt-4o-mini"])
        // The model asked for is tried first where it is one of the profile's.
        #expect(try order("gpt-4o-mini", [("x-profile", "big")]) == ["cloud/gpt-4o-mini", "other/gpt-4o", "cloud/gpt-4o"])
        #expect(try order("gpt-4o", [("x-any", "1")]) == ["cloud/gpt-4o", "other/gpt-4o"])
    }

    @Test func aRequestThatIsTooLongGoesToTheNextProfileWithRoom() throws {
        let rig = try RoutingRig(Self.profiles)
        func order(_ words: Int, _ more: String = "") throws -> [String] {
            try rig.candidates(RoutingRig.request(#"{"model":"gpt-4o","messages":[{"role":"user","content":"\#(String(repeating: "word ", count: words))"}]\#(more)}"#))
        }
        #expect(try order(50)[0] == "local/qwen")
        #expect(try order(400)[0] == "other/gpt-4o")
        // What the answer may take counts too.
        #expect(try order(50, #","max_tokens":500"#)[0] == "other/gpt-4o")
        #expect(try order(4000)[0] == "cloud/gpt-4o")
        let explained = try rig.explain(RoutingRig.request(#"{"model":"gpt-4o","messages":[{"role":"user","content":"\#(String(repeating: "word ", count: 400))"}]}"#))
        #expect(explained.profile?.used == "large" && explained.profile?.matched == "small")
    }

    @Test func withoutRoomAnywhereItIsRefused() throws {
        let rig = try RoutingRig(Self.profiles.replacing("    any: {prefer_providers: [openai]}\n", with: "").replacing("    - {when: {header: {name: X-Any}}, use: any}", with: ""))
        let request = RoutingRig.request(#"{"model":"gpt-4o","messages":[{"role":"user","content":"\#(String(repeating: "word ", count: 4000))"}]}"#)
        #expect(try rig.candidates(request) == ["too long"])
        #expect(try rig.explain(request).refusal?.code == "context_length_exceeded")
    }

    @Test func configuredRoutesComeBeforeProfiles() throws {
        let rig = try RoutingRig(Self.profiles + "\nroutes:\n  - {id: own, match: {headers: {x-own: '1'}}, strategy: {upstreams: [cloud]}}\n")
        #expect(try rig.explain(RoutingRig.request(#"{"model":"gpt-4o","messages":[]}"#, headers: [("x-own", "1")])).matched?.rule == "routes[0]")
        #expect(try rig.explain(RoutingRig.request(#"{"model":"gpt-4o","messages":[]}"#)).matched?.rule == "model_routing.profiles.small")
    }

    // MARK: prompts and callers

    @Test func routesMatchOnThePrompt() throws {
        let rig = try RoutingRig("""
            upstreams: {a: {type: generic, base_url: "http://127.0.0.1:1"}}
            routes:
              - {id: billing, match: {prompt: {contains_any: [Invoice, billing]}}, strategy: {upstreams: [a]}}
              - {id: both, match: {prompt: {contains_all: [red, green]}}, strategy: {upstreams: [a]}}
              - {id: korean, match: {prompt: {language: ko}}, strategy: {upstreams: [a]}}
              - {id: long, match: {prompt: {max_tokens_estimate: {gt: 500}}}, strategy: {upstreams: [a]}}
              - {id: rest, strategy: {upstreams: [a]}}
            """)
        func route(_ text: String) throws -> String? { try rig.explain(RoutingRig.request(#"{"model":"m","messages":[{"role":"user","content":"\#(text)"}]}"#)).matched?.route }
        #expect(try route("Where is my invoice?") == "billing")
        #expect(try route("green, not only red") == "both")
        #expect(try route("only red here") == "rest")
        #expect(try route("안녕하세요, 오늘 날씨가 어떻습니까? 내일은 비가 올까요?") == "korean")
        #expect(try route(String(repeating: "many words here ", count: 400)) == "long")
        #expect(try rig.explain(RoutingRig.request("", path: "/v1/files", method: "GET")).matched?.route == "rest")
    }

    @Test func callersAreKnownByTheirKeysWhereverClientsPutThem() throws {
        let rig = try RoutingRig("""
            upstreams: {a: {type: generic, base_url: "http://127.0.0.1:1"}}
            routes:
              - {id: reds, match: {key: {tags: [red]}}, strategy: {upstreams: [a]}}
              - {id: tenants, match: {key: {tenant: acme}}, strategy: {upstreams: [a]}}
              - {id: one, match: {key: {id: third}}, strategy: {upstreams: [a]}}
              - {id: rest, strategy: {upstreams: [a]}}
            security:
              keys:
                - {id: first, value: first-secret-of-callers, tags: [red, blue]}
                - {id: second, value: second-secret-of-callers, tenant: acme}
                - {id: third, value: third-secret-of-callers}
                - {id: fourth, value: fourth-secret-of-callers, tags: [blue]}
            """)
        func route(_ headers: [(String, String)], path: String = "/v1/chat/completions", _ body: String = #"{"model":"m","messages":[]}"#) throws -> String? {
            let told = try rig.explain(RoutingRig.request(body, path: path, headers: headers))
            return told.refusal?.code ?? told.matched?.route
        }
        #expect(try route([("authorization", "Bearer first-secret-of-callers")]) == "reds")
        #expect(try route([("Authorization", "bearer second-secret-of-callers")]) == "tenants")
        #expect(try route([("x-api-key", "third-secret-of-callers")]) == "one")
        #expect(try route([("api-key", "fourth-secret-of-callers")]) == "rest")
        #expect(try route([("x-goog-api-key", "fourth-secret-of-callers")]) == "rest")
        #expect(try route([], path: "/v1beta/models/m:generateContent?key=third-secret-of-callers", "{}") == "one")
        #expect(try route([("sec-websocket-protocol", "realtime, openai-insecure-api-key.third-secret-of-callers")]) == "one")
        // A wrong one beside a right one does no harm.
        #expect(try route([("authorization", "Bearer nobody"), ("x-api-key", "third-secret-of-callers")]) == "one")
        for wrong in [[], [("authorization", "Bearer third-secret-of-caller")], [("authorization", "Basic third-secret-of-callers")], [("x-api-key", "")], [("x-api-key", "third-secret-of-callersx")]] {
            #expect(try route(wrong) == "invalid_api_key", "\(wrong)")
        }
        #expect(try route([], path: "/v1/chat/completions?key=third-secret-of-callers") == "invalid_api_key")
    }

    @Test(arguments: [1, 2, 3, 7, 64, 1000])
    func everyCallerAndNobodyElseIsFound(_ count: Int) {
        let memory = PlanMemory()
        var callers = (0..<count).map { at in
            PlanCaller(id: memory.text("\(at)"), tenant: .empty, tenantNumber: 1, tags: memory.array([]), digest: Outlook.digest(Array("key \(at)".utf8)))
        }
        callers.sort { $0.digest < $1.digest }
        let list = memory.array(callers)
        for at in 0..<count {
            let found = Worker.caller(Outlook.digest(Array("key \(at)".utf8)), list)
            #expect(found >= 0 && list[found].pointee.id.string == "\(at)")
            #expect(Worker.caller(Outlook.digest(Array("no key \(at)".utf8)), list) == -1)
        }
        #expect(Worker.caller((0, 0, 0, 0), list) == -1)
        #expect(Worker.caller((.max, .max, .max, .max), list) == -1)
    }
}
