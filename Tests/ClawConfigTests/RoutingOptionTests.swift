import ClawPolicy
import Foundation
import Testing
@testable import ClawConfig

@Suite struct RoutingOptionTests {
    static let two = "upstreams:\n  a: {type: generic, base_url: 'http://127.0.0.1:1/v1'}\n  b: {type: generic, base_url: 'http://127.0.0.1:2/v1', tier: fast}\n"

    func loaded(_ text: String) throws -> Configuration {
        let result = load(text)
        #expect(result.issues.map(\.description) == [])
        return try #require(result.configuration)
    }
    func upstream(_ options: String) throws -> Upstream {
        try loaded("upstreams:\n  a:\n    type: generic\n" + options.split(separator: "\n").map { "    \($0)\n" }.joined()).upstreams[0]
    }
    func route(_ options: String) throws -> Route {
        try loaded(Self.two + "routes:\n  - id: r\n" + options.split(separator: "\n").map { "    \($0)\n" }.joined()).routes[0]
    }

    @Test func everyOptionOfResilienceLands() throws {
        let a = try upstream("""
        endpoints: ['http://a', 'http://b']
        max_concurrency: 20
        max_pending: 7
        adaptive_concurrency: {min: 3, decrease: 0.5}
        breaker: {enabled: false, window_seconds: 10, min_samples: 2, failure_ratio: 0.25, consecutive_failures: 3, open_seconds: 4, max_open_seconds: 5, half_open_probes: 6, half_open_successes: 7}
        cooldown: {base_seconds: 0.5, max_seconds: 60, auth_probe_seconds: 70, probe_interval_seconds: 2, reserve_ratio: 0.1}
        health:
          active: {path: /up?deep=1, interval_seconds: 9, timeout_seconds: 2, unhealthy_after: 4, healthy_after: 5, statuses: 204}
          passive: {enabled: false, consecutive_failures: 2, ejection_seconds: 3, max_ejection_seconds: 4, max_ejected_ratio: 0.25, slow_start_seconds: 0}
        capabilities: [chat, json_schema]
        tier: t
        region: eu
        api_keys: [{id: k, value: v, models: [m, n]}]
        """)
        var concurrency = ConcurrencySettings()
        (concurrency.max, concurrency.pendingMax, concurrency.isAdaptive, concurrency.min, concurrency.decrease) = (20, 7, true, 3, 0.5)
        #expect(a.concurrency == concurrency)
        var breaker = BreakerSettings()
        (breaker.isEnabled, breaker.window, breaker.samplesMin, breaker.failureRatio, breaker.consecutiveFailures) = (false, 10_000_000_000, 2, 0.25, 3)
        (breaker.open, breaker.openMax, breaker.halfOpenProbes, breaker.halfOpenSuccesses) = (4_000_000_000, 5_000_000_000, 6, 7)
        #expect(a.breaker == breaker)
        var cooldown = CooldownSettings()
        (cooldown.base, cooldown.max, cooldown.authProbe, cooldown.probeInterval, cooldown.reserveRatio) = (500_000_000, 60_000_000_000, 70_000_000_000, 2_000_000_000, 0.1)
        #expect(a.cooldown == cooldown)
        var probe = ProbeSettings()
        (probe.kind, probe.interval, probe.timeout, probe.unhealthyAfter, probe.healthyAfter, probe.statuses) = (.http(path: "/up?deep=1"), 9_000_000_000, 2_000_000_000, 4, 5, 204...204)
        #expect(a.probe == probe)
        var outlier = OutlierSettings()
        (outlier.isEnabled, outlier.consecutiveFailures, outlier.ejection, outlier.ejectionMax, outlier.ejectedRatioMax, outlier.slowStart) = (false, 2, 3_000_000_000, 4_000_000_000, 0.25, 0)
        #expect(a.outlier == outlier)
        #expect(a.capabilities == [.chat, .jsonSchema] && a.tier == "t" && a.region == "eu" && a.keys[0].models == ["m", "n"])
    }

    @Test func whatIsNotSaidOfResilienceIsTheDefault() throws {
        let a = try upstream("base_url: 'http://a'")
        #expect(a.breaker == BreakerSettings() && a.cooldown == CooldownSettings() && a.concurrency == ConcurrencySettings() && a.outlier == OutlierSettings() && a.probe == nil)
        #expect(a.discovery == nil && a.capabilities.isEmpty && a.tier == nil)
        let r = try route("strategy: {upstreams: [a]}")
        #expect(r.retries == RetrySettings() && r.hedge == nil && !r.resume && r.affinity == nil && r.trafficClass == nil && r.identity == .none)
        #expect(r.fallback.targets.isEmpty && r.fallback.allowDowngrade == nil && r.fallback.ladders.isEmpty && r.match.prompt == nil)
    }

    @Test func timesThatWereNotWrittenGiveWay() throws {
        #expect(try upstream("base_url: 'http://a'\nbreaker: {open_seconds: 900}").breaker.openMax == 900_000_000_000)
        #expect(try upstream("base_url: 'http://a'\nbreaker: {max_open_seconds: 5}").breaker.open == 5_000_000_000)
        #expect(try upstream("base_url: 'http://a'\ncooldown: {max_seconds: 0}").cooldown.max == 0)
        #expect(try upstream("base_url: 'http://a'\nhealth: {active: {probe: tcp, interval_seconds: 1}}").probe?.timeout == 1_000_000_000)
        #expect(try route("strategy: {upstreams: [a]}\nretries: {backoff_ms: 5000}").retries.backoffMax == 5_000_000_000)
    }

    @Test func adaptiveConcurrencyIsAWordOrAMap() throws {
        #expect(try upstream("base_url: 'http://a'\nmax_concurrency: 5\nadaptive_concurrency: true").concurrency.isAdaptive)
        #expect(try upstream("base_url: 'http://a'\nmax_concurrency: 5\nadaptive_concurrency: {}").concurrency.isAdaptive)
        #expect(try !upstream("base_url: 'http://a'\nmax_concurrency: 5\nadaptive_concurrency: false").concurrency.isAdaptive)
    }

    @Test func everySourceOfEndpointsLands() throws {
        func source(_ text: String) throws -> Discovery { try #require(upstream("endpoints: {discovery: {\(text)}}").discovery) }
        let dns = try source("type: dns, name: x.internal, port: 8000, record: aaaa, server: '127.0.0.1:53', scheme: https, path: /v1/, interval_seconds: 5")
        guard case .dns(name: "x.internal", record: .aaaa, port: 8000, server: "127.0.0.1:53") = dns.source else { Issue.record("\(dns)"); return }
        #expect(dns.isTLS && dns.basePath == "/v1" && dns.interval == 5_000_000_000)
        guard case .dns(name: "_x._tcp.a", record: .srv, port: 0, server: nil) = try source("type: dns, name: _x._tcp.a, record: srv").source else { Issue.record("srv"); return }
        guard case .file(path: "/e.yaml") = try source("type: file, path: /e.yaml").source else { Issue.record("file"); return }
        guard case .kubernetes(api: DiscoveryTable.podAPI, namespace: "default", service: "s", port: nil, tokenFile: DiscoveryTable.podTokenFile, ca: DiscoveryTable.podCA)
            = try source("type: kubernetes, service: s").source else { Issue.record("pod"); return }
        guard case .kubernetes(api: "http://127.0.0.1:1", namespace: "n", service: "s", port: "http", tokenFile: nil, ca: nil)
            = try source("type: kubernetes, service: s, namespace: n, port: http, api: 'http://127.0.0.1:1'").source else { Issue.record("kubernetes"); return }
        guard case .consul(address: "http://c:8500", service: "s", tag: "t", datacenter: "d", token: Secret("abc"))
            = try source("type: consul, address: 'http://c:8500', service: s, tag: t, datacenter: d, token: abc").source else { Issue.record("consul"); return }
        guard case .etcd(endpoints: ["http://e:1", "http://e:2"], prefix: "/p/", username: "u", password: Secret("p"))
            = try source("type: etcd, endpoints: ['http://e:1', 'http://e:2'], prefix: /p/, username: u, password: p").source else { Issue.record("etcd"); return }
        guard case .etcd(endpoints: [DiscoveryTable.etcdEndpoint], prefix: "/p/", username: nil, password: nil) = try source("type: etcd, prefix: /p/").source else { Issue.record("etcd"); return }
        #expect(try upstream("endpoints: {discovery: {type: etcd, prefix: /p/}}").endpoints.isEmpty)
    }

    @Test func everyOptionOfRoutingLands() throws {
        let r = try route("""
        strategy: {type: consistent_hash, by: {header: X-Doc}, load_factor: 0, upstreams: [a, {name: b, model: m}]}
        retries: {max_attempts: 6, budget: 0.5, min_per_second: 3, backoff_ms: 10, max_backoff_ms: 20}
        fallback: {upstreams: [{name: a, model: n}], allow_downgrade: same_family, on_network: [retry], on_content_filtered: []}
        on_rate_limited: [backoff, spare_key]
        affinity: prompt_prefix
        hedge: {after_ms: 800, max_ratio: 0.1}
        resume: true
        traffic_class: tool
        """.replacing("same_family", with: "any"))
        #expect(r.identity == .header("x-doc") && r.loadFactor == 0)
        var retries = RetrySettings()
        (retries.attemptsMax, retries.budget, retries.perSecondMin, retries.backoffBase, retries.backoffMax) = (6, 0.5, 3, 10_000_000, 20_000_000)
        #expect(r.retries == retries)
        #expect(r.fallback.targets.map(\.upstream) == [0] && r.fallback.targets[0].model == "n" && r.fallback.allowDowngrade == .any)
        #expect(r.fallback.ladders == [.network: Ladder([.retry]), .contentFiltered: Ladder([]), .rateLimited: Ladder([.backoff, .spareKey])])
        #expect(r.affinity == .promptPrefix && r.hedge?.after == .nanoseconds(800_000_000) && r.hedge?.ratioMax == 0.1 && r.resume && r.trafficClass == .tool)
        let latency = try route("strategy: {type: lowest_latency, exploration: 0, upstreams: [{name: a, max_latency_ms: 5}]}")
        #expect(latency.exploration == 0 && latency.targets[0].latencyMax == 5_000_000)
        let canary = try route("strategy: {type: canary, by: ip, upstreams: [{name: a, percentage: 0.29}, b]}")
        #expect(canary.targets.map(\.percentage) == [0.29, nil] && canary.identity == .ip)
        #expect(try route("strategy: {upstreams: [a]}\nhedge: {after: p99_ttft}").hedge?.after == .p99)
    }

    @Test func laddersMayStandUnderTheRoute() throws {
        for text in ["on_timeout: next_candidate\nallow_downgrade: none", "fallback: {on_timeout: [next_candidate], allow_downgrade: none}"] {
            let fallback = try route("strategy: {upstreams: [a]}\n" + text).fallback
            #expect(fallback.ladders == [.timeout: Ladder([.nextCandidate])] && fallback.allowDowngrade == AllowDowngrade.none)
        }
    }

    @Test(arguments: LadderClass.allCases) func standardLaddersAreAllowed(_ failure: LadderClass) {
        #expect(Ladder.standard(failure).steps.allSatisfy(FallbackTable.steps(after: failure).contains))
        #expect(Ladder.standard(failure).steps.last != .backoff && Ladder.standard(failure).steps.count <= Ladder.stepsMax)
    }

    @Test func conditionsOnCallersAndPromptsLand() throws {
        let configuration = try loaded(Self.two + """
        security: {keys: [{id: one, value: 0123456789abcdef, tenant: acme, tags: [x, y]}, {id: two, value: fedcba9876543210}]}
        routes:
          - id: r
            match:
              key: {tags: [x, y], id: one, tenant: [acme]}
              prompt: {contains_any: [Invoice, "two words"], contains_all: a, language: [ko, en], max_tokens_estimate: {gt: 1, gte: 2, lt: 9, lte: 8}}
            strategy: {upstreams: [a]}
        """)
        let match = configuration.routes[0].match, prompt = try #require(match.prompt)
        #expect(match.keyTags == ["x", "y"] && match.keyIDs == ["one"] && match.keyTenants == ["acme"])
        #expect(prompt.containsAny == ["Invoice", "two words"] && prompt.containsAll == ["a"] && prompt.languages == ["ko", "en"] && prompt.tokens.count == 4)
        #expect(configuration.security.keys.map(\.id) == ["one", "two"] && configuration.security.keys[0].tenant == "acme" && configuration.security.keys[0].tags == ["x", "y"])
        #expect(configuration.security.keys[1].value == Secret("fedcba9876543210") && configuration.security.keys[1].tenant == nil)
    }

    @Test func keysOfCallersAreAccessControl() throws {
        #expect(try loaded(Self.two + "server: {listen_address: 0.0.0.0}\nsecurity: {keys: [{id: one, value: 0123456789abcdef}]}\n").server.listenAddress == "0.0.0.0")
    }

    @Test(arguments: ["model_routing", "modelRouting"]) func bothSpellingsOfModelRoutingMeanTheSame(_ section: String) throws {
        let isCamel = section == "modelRouting"
        let routing = try #require(loaded(Self.two + """
        \(section):
          default: large
          profiles:
            zsmall: {\(isCamel ? "maxContextTokens" : "max_context_tokens"): 8000, \(isCamel ? "preferProviders" : "prefer_providers"): [b, generic, fast], models: [m, n]}
            large: {\(isCamel ? "maxContextTokens" : "max_context_tokens"): 9000}
          rules:
            - {when: {header: {name: X-Profile, equals: small}}, use: zsmall}
            - {when: {header: {name: X-Any}}, use: large}
        """).modelRouting)
        #expect(routing.profiles.map(\.name) == ["zsmall", "large"] && routing.profiles.map(\.contextTokensMax) == [8000, 9000] && routing.defaultProfile == 1)
        #expect(routing.profiles[0].preferProviders == ["b", "generic", "fast"] && routing.profiles[0].models == ["m", "n"])
        #expect(routing.rules.map(\.header) == ["x-profile", "x-any"] && routing.rules.map(\.equals) == ["small", nil] && routing.rules.map(\.profile) == [0, 1])
    }

    @Test func orderOfProfilesIsPartOfTheVersion() throws {
        let one = "one: {models: m}", other = "two: {models: n}"
        func version(_ profiles: String) throws -> String { try loaded(Self.two + "model_routing: {default: one, profiles: {\(profiles)}}\n").version }
        #expect(try version("\(one), \(other)") != version("\(other), \(one)"))
    }

    @Test(arguments: [("127.0.0.1:18080", "127.0.0.1", 18080), ("0.0.0.0", "0.0.0.0", 8080), (":8081", "127.0.0.1", 8081), ("loopback", "127.0.0.1", 8080), ("loopback:1", "127.0.0.1", 1),
                      ("[::1]:81", "::1", 81), ("::1", "::1", 8080), ("[::1]", "::1", 8080), ("localhost:9", "localhost", 9)] as [(String, String, UInt16)])
    func bindSaysAddressOrPortOrBoth(_ row: (text: String, address: String, port: UInt16)) throws {
        let configuration = try loaded(Self.two + "gateway: {bind: '\(row.text)'}\nsecurity: {keys: [{id: k, value: 0123456789abcdef}]}\n")
        #expect(configuration.server.listenAddress == row.address && configuration.server.listenPort == row.port)
    }

    @Test(arguments: ["", ":", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "a.example:1", "unix:/x", "[::1", "::1]:80", "[::1]80"]) func whatIsNoBindIsRefused(_ text: String) {
        #expect(load(Self.two + "gateway: {bind: '\(text)'}\n").configuration == nil)
    }

    /// Whatever can be read can be written and read again, and means the same then.
    @Test(arguments: [
        "a: {type: generic, base_url: 'http://a', max_concurrency: 3, adaptive_concurrency: true}",
        "a: {type: generic, endpoints: {discovery: {type: dns, name: x, port: 1, scheme: https, path: /v1}}, health: {active: {probe: tcp}}, tls: {sni: x}}",
        "a: {type: generic, endpoints: {discovery: {type: dns, name: x, record: srv, server: 1.1.1.1}}}",
        "a: {type: generic, endpoints: {discovery: {type: file, path: /x}}, tls: {sni: x}}",
        "a: {type: generic, endpoints: {discovery: {type: kubernetes, service: s}}, models: [m], health: {active: {probe: model_handshake, model: m}}}",
        "a: {type: generic, endpoints: {discovery: {type: consul, service: s}}}",
        "a: {type: generic, endpoints: {discovery: {type: etcd, prefix: /p}}, health: {active: {path: /x, statuses: 200}}}",
    ]) func upstreamsRoundTrip(_ text: String) throws {
        let configuration = try loaded("upstreams:\n  \(text)\n")
        #expect(try loaded(withoutSources(configuration.maskedJSON)).version == configuration.version)
    }

    @Test(arguments: [
        "strategy: {type: canary, by: user, upstreams: [{name: a, percentage: 12.5}, b]}", "strategy: {type: shadow, upstreams: [a, {name: b, percentage: 1}]}",
        "strategy: {type: consistent_hash, by: {header: X}, load_factor: 2, upstreams: [a, b]}", "strategy: {type: lowest_latency, exploration: 0, upstreams: [{name: a, max_latency_ms: 1}]}",
        "strategy: {type: lowest_cost, upstreams: [a, {name: b, model: m, max_latency_ms: 1}]}", "strategy: {type: least_connections, upstreams: [a, b]}",
        "strategy: {upstreams: [a]}\nfallback: {upstreams: [{name: b, model: m}], allow_downgrade: any}\non_auth: []\nhedge: {after_ms: 5}\nresume: true\naffinity: prompt_prefix\ntraffic_class: tool",
        "match: {prompt: {contains_any: [x], max_tokens_estimate: {gte: 5, lt: 10}, language: ko}}\nstrategy: {upstreams: [a]}\nretries: {budget: 0, backoff_ms: 1}",
    ]) func routesRoundTrip(_ text: String) throws {
        let configuration = try loaded(Self.two + "routes:\n  - id: r\n" + text.split(separator: "\n").map { "    \($0)\n" }.joined())
        #expect(try loaded(withoutSources(configuration.maskedJSON)).version == configuration.version)
    }

    func withoutSources(_ json: String) throws -> String {
        var object = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
        object["sources"] = nil
        return String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self)
    }

    @Test func weightsAreOfTheVersionWhereTheyCount() throws {
        func version(_ type: String, _ weight: Int) throws -> String {
            try loaded(Self.two + "routes:\n  - {strategy: {type: \(type), upstreams: [a, {name: b, weight: \(weight)}]}}\n").version
        }
        for type in ["weighted_random", "weighted_round_robin", "least_connections", "consistent_hash, by: ip"] {
            #expect(try version(type, 2) != version(type, 3), "\(type)")
        }
    }

    @Test func wordsBeyondWhatIsLookedForAtOnceAreRefusedAtTheirRoute() {
        func issues(routes: Int, words: Int, bytes: Int) -> [String] {
            let text = Self.two + "routes:\n" + (0..<routes).map { route in
                let list = (0..<words).map { "w\(route)x\($0)" }.map { $0 + String(repeating: "y", count: max(0, bytes - $0.utf8.count)) }
                return "  - {match: {prompt: {contains_any: [same, \(list.joined(separator: ", "))]}}, strategy: {upstreams: [a]}}\n"
            }.joined()
            return loadConfiguration(text: text, name: "f.yaml", environment: [:]).issues.map(\.description)
        }
        #expect(issues(routes: 16, words: 250, bytes: 0).isEmpty)
        #expect(issues(routes: 18, words: 250, bytes: 0) == [
            "f.yaml:21:22: routes[16].match.prompt: with this route all routes look for 4251 different words of 25384 bytes in prompts; expected at most 4096 words of 65536 bytes in all"
        ])
        let large = issues(routes: 3, words: 100, bytes: 250)
        #expect(large.count == 1 && large[0].hasPrefix("f.yaml:7:22: routes[2].match.prompt: with this route all routes look for 301 different words of 75004 bytes"), "\(large)")
    }

    @Test func versionDependsOnWhatRoutesSayOfFailures() throws {
        func version(_ text: String) throws -> String { try loaded(Self.two + "routes:\n  - {strategy: {upstreams: [a]}, \(text)}\n").version }
        let texts = ["id: r", "id: r, resume: true", "id: r, hedge: {}", "id: r, on_timeout: []", "id: r, allow_downgrade: none", "id: r, retries: {budget: 0.1}", "id: r, traffic_class: tool", "id: r, fallback: {upstreams: [b]}"]
        #expect(try Set(texts.map(version)).count == texts.count)
    }
}
