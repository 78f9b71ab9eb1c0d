import ClawConfig
import Testing

@testable import ClawEngine

/// What is told of a request's way, and what is not.
@Suite struct RoutingExplainTests {
    static let text = """
        upstreams:
          a: {type: openai, base_url: "http://127.0.0.1:1/v1", models: [gpt-4o, spare], api_keys: [{id: one, value: sk-upstream-key-1}, {id: two, value: sk-upstream-key-2, models: [spare]}]}
          b: {type: generic, base_url: "http://127.0.0.1:1", models: [gpt-4o, gpt-4o-mini]}
          c: {type: generic, base_url: "http://127.0.0.1:1", models: [other]}
        routes:
          - {id: elsewhere, match: {path: /v1/embeddings}, strategy: {upstreams: [a]}}
          - {id: secretive, match: {headers: {X-Internal-Token: tok-configured-value}}, strategy: {upstreams: [a]}}
          - {id: premium, match: {headers: {x-tier: premium}, json_body: {temperature: {lte: 0.2}}}, strategy: {upstreams: [a]}}
          - {id: main, match: {json_body: {model: {in: [gpt-4o]}}}, strategy: {upstreams: [a, c, b]}, fallback: {upstreams: [{name: b, model: gpt-4o-mini}, {name: c, model: other}], allow_downgrade: same_family}}
          - {id: rest, strategy: {upstreams: [c]}}
        """

    @Test func everyRuleSaysWhyItDoesNotMatch() throws {
        let rig = try RoutingRig(Self.text)
        let told = try rig.explain(RoutingRig.request(
            #"{"model":"gpt-4o","temperature":0.7,"messages":[]}"#, headers: [("x-tier", "premium"), ("x-internal-token", "tok-of-the-client"), ("authorization", "Bearer sk-client-secret")]))
        #expect(told.matched?.rule == "routes[3]" && told.matched?.route == "main")
        func failure(_ at: Int) -> [String?]? { if case .failed(let condition, let wanted, let seen) = told.rules[at].verdict { [condition, wanted, seen] } else { nil } }
        #expect(failure(0) == ["path", "/v1/embeddings", "/v1/chat/completions"])
        #expect(failure(1) == ["headers.x-internal-token", "***", "***"])
        #expect(failure(2) == ["json_body.temperature", "<= 0.2", "0.7"])
        if case .matched = told.rules[3].verdict {} else { Issue.record("not matched") }
        if case .notReached = told.rules[4].verdict {} else { Issue.record("reached") }
        #expect(told.candidates.map { "\($0.upstream) \($0.model ?? "")\($0.isFallback ? " fallback" : "")\($0.isDowngrade ? " other" : "")" } == ["a gpt-4o", "b gpt-4o", "b gpt-4o-mini fallback other"])
        #expect(told.excluded.map { "\($0.upstream) \($0.exclusion ?? "")" } == ["c model_not_served", "c downgrade_not_allowed"])
        #expect(told.candidates[0].keys.map { "\($0.id) \($0.problem ?? "")" } == ["one ", "two not_for_this_model"])
    }

    @Test func noSecretIsEverTold() throws {
        let rig = try RoutingRig(Self.text)
        let told = try rig.explain(RoutingRig.request(
            #"{"model":"gpt-4o","messages":[]}"#, path: "/v1/chat/completions?key=query-secret",
            headers: [("x-internal-token", "tok-of-the-client"), ("authorization", "Bearer sk-client-secret"), ("cookie", "cookie-secret")]))
        for text in [told.json, told.text] {
            for secret in ["tok-of-the-client", "tok-configured-value", "sk-client-secret", "cookie-secret", "query-secret", "sk-upstream"] { #expect(!text.contains(secret), "\(secret)") }
        }
    }

    @Test func whatCannotTakeItNowSaysForHowLong() throws {
        let rig = try RoutingRig(Self.text)
        rig.open("a")
        let told = try rig.explain(RoutingRig.request(#"{"model":"gpt-4o","messages":[]}"#))
        #expect(told.candidates.map(\.upstream) == ["b", "a", "b"])
        #expect(told.candidates[1].problem == "breaker_open")
        #expect((1...30_000).contains(try #require(told.candidates[1].recoversMilliseconds)))
    }

    @Test func askingChangesNothing() throws {
        let rig = try RoutingRig("""
            upstreams: {a: {type: generic, base_url: "http://127.0.0.1:1"}, b: {type: generic, base_url: "http://127.0.0.1:1"}}
            routes:
              - {id: c, match: {path: /v1/chat/completions}, strategy: {type: canary, upstreams: [a, {name: b, percentage: 50}]}}
              - {id: r, strategy: {type: round_robin, upstreams: [a, b]}}
            """)
        for _ in 0..<5 {
            #expect(try rig.explain(RoutingRig.request()).candidates.map(\.upstream) == ["a", "b"])
            #expect(try rig.explain(RoutingRig.request(path: "/v1/embeddings")).candidates.map(\.upstream) == ["a", "b"])
        }
        #expect(rig.shared.outlook.canary(rig.plan.pointee.routes[0].pointee.place)[0].load(ordering: .relaxed) == 0)
    }

    @Test func requestsThatGoNowhereSayWhatIsAnswered() throws {
        let rig = try RoutingRig(Self.text)
        #expect(try rig.explain(RoutingRig.request("{not json")).refusal?.code == "invalid_json")
        #expect(try rig.explain(RoutingRig.request(#"{"model":"unknown","messages":[]}"#)).refusal?.code == "model_not_found")
        #expect(try rig.explain(RoutingRig.request(#"{"messages":[]}"#)).refusal?.code == "missing_required_parameter")
        #expect(try rig.explain(RoutingRig.request(method: "BREW")).refusal?.code == "method_not_implemented")
        #expect(try rig.explain(RoutingRig.request(path: "/a b")).refusal?.code == "bad_request")
        #expect(try rig.explain(RoutingRig.request(headers: [("x-a", "1\r\nx-b: 2")])).refusal?.code == "bad_request")
    }

    @Test(arguments: [
        (#"{"path":"/x","method":"GET","headers":{"A":"1","B":["2","3"]},"body":{"model":"m\"x"},"key_id":"k","listener":null}"#, nil),
        (#"{"body":"text\n"}"#, nil), ("{}", nil), ("[]", "expected a JSON object"), (#"{"pth":1}"#, "unknown member pth"), (#"{"path":1}"#, "path: expected a string"),
        (#"{"headers":[]}"#, "headers: expected an object"), ("{", "not valid JSON"),
    ] as [(String, String?)])
    func descriptionsAreReadStrictly(_ row: (text: String, problem: String?)) {
        do throws(DescribedRequest.Problem) {
            let read = try DescribedRequest(json: Array(row.text.utf8))
            #expect(row.problem == nil)
            if row.text.hasPrefix(#"{"path":"/x""#) {
                #expect(read.path == "/x" && read.method == "GET" && read.keyID == "k" && read.listener == nil && read.headers.count == 3)
                #expect(String(decoding: read.body, as: UTF8.self) == #"{"model":"m\"x"}"#)
            }
            if row.text.contains("text") { #expect(read.body == Array("text\n".utf8)) }
        } catch { #expect(row.problem.map { error.description.contains($0) } ?? false, "\(error)") }
    }
}
