import ClawConfig
import ClawWire
import Testing

@testable import ClawEngine

/// The index finds what looking at one route after the other finds, for whatever routes and requests.
@Suite struct RoutingIndexTests {
    struct Chance {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
        mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
        mutating func one<Element>(of list: [Element]) -> Element { list[below(list.count)] }
        mutating func is_(_ percent: Int) -> Bool { below(100) < percent }
    }

    // Small pools, so that conditions hold often enough.
    static let words = ["a", "b", "users", "v1", "items", "x-y", "long-name-of-a-segment"]
    static let models = ["m", "gpt-4o", "gpt-4o-mini", "claude", "quo\"te"]
    static let values = ["1", "2", "premium", "basic", "", "a b"]
    static let headerNames = ["x-tier", "x-tenant", "x-kind", "x-four", "x-five"]

    static func path(_ chance: inout Chance) -> String { "/" + (0..<1 + chance.below(4)).map { _ in chance.one(of: words) }.joined(separator: "/") }

    static func scalar(_ chance: inout Chance) -> Scalar {
        switch chance.below(4) {
        case 0: .number(Double(chance.below(3)))
        case 1: .bool(chance.is_(50))
        default: .string(chance.one(of: models))
        }
    }

    static func text(_ chance: inout Chance) -> TextMatch {
        switch chance.below(6) {
        case 0: .regex("^[12]$")
        case 1: .present(chance.is_(50))
        default: .equals(chance.one(of: values))
        }
    }

    static func test(_ chance: inout Chance) -> BodyTest {
        switch chance.below(10) {
        case 0: .regex("gpt")
        case 1: .exists(chance.is_(50))
        case 2: .notEquals(scalar(&chance))
        case 3: .isIn([scalar(&chance), scalar(&chance)])
        case 4: .isIn([.string("m"), .string("claude")])
        case 5: .gt(Double(chance.below(3)))
        case 6: .contains(.string("gpt"))
        default: .equals(scalar(&chance))
        }
    }

    static func match(_ chance: inout Chance, hasKeys: Bool) -> RouteMatch {
        var match = RouteMatch()
        switch chance.below(6) {
        case 0: match.path = .exact(path(&chance))
        case 1: match.path = .prefix(path(&chance) + "/")
        case 2: match.path = .template((0..<1 + chance.below(4)).map { _ in chance.is_(40) ? .variable("v") : .literal(chance.one(of: words)) })
        case 3: match.path = .exact("/v1/chat/completions")
        default: break
        }
        if chance.is_(20) { match.methods = chance.is_(50) ? ["POST"] : ["GET", "PUT"] }
        if chance.is_(20) { match.hosts = [chance.one(of: ["api.example.com", "*.example.com", "*.a.example.com", "example.com"]), "other.test"] }
        if chance.is_(10) { match.listeners = ["main"] }
        for name in headerNames where chance.is_(18) { match.headers.append((name, text(&chance))) }
        for name in ["page", "kind"] where chance.is_(12) { match.query.append((name, text(&chance))) }
        for path in ["model", "n", "user", "a.b"] where chance.is_(12) {
            match.body.append((path, test(&chance)))
            if chance.is_(20) { match.body.append((path, test(&chance))) }
        }
        if hasKeys {
            if chance.is_(15) { match.keyIDs = ["k\(chance.below(4))", "k\(chance.below(4))"] }
            if chance.is_(15) { match.keyTenants = ["t\(chance.below(2))"] }
            if chance.is_(15) { match.keyTags = chance.is_(50) ? ["red"] : ["red", "blue"] }
        }
        if chance.is_(6) {
            var prompt = PromptMatch()
            prompt.containsAny = ["hello"]
            match.prompt = prompt
        }
        return match
    }

    static func request(_ chance: inout Chance, hasKeys: Bool) -> DescribedRequest {
        var out = DescribedRequest()
        out.method = chance.one(of: ["POST", "POST", "GET", "PUT", "DELETE"])
        out.path = chance.is_(50) ? path(&chance) + (chance.is_(20) ? "/" : "") : "/v1/chat/completions"
        if chance.is_(40) { out.path += "?page=\(chance.one(of: ["1", "2", "a+b", "%31"]))&kind=\(chance.one(of: ["1", "premium"]))&page=2" }
        if chance.is_(70) { out.headers.append(("Host", chance.one(of: ["api.example.com", "API.Example.com:8080", "x.a.example.com", "example.com", "[::1]:80", "other.test"]))) }
        for name in headerNames where chance.is_(50) { out.headers.append((name, chance.one(of: values))) }
        if chance.is_(20) { out.headers.append((headerNames[0], chance.one(of: values))) }
        if chance.is_(80) {
            let model = chance.one(of: [#""m""#, #""gpt-4o""#, #""gpt\u002d4o""#, #""quo\"te""#, "1", "true", "null", #""claude""#])
            let content = chance.is_(50) ? "Hello there" : "bye"
            out.body = Array((out.path.hasPrefix("/v1/chat/completions") && out.method == "POST"
                ? #"{"model":"\#(chance.one(of: ["m", "gpt-4o", "claude", "gpt\\u002d4o"]))","n":\#(chance.below(3)),"user":\#(model),"messages":[{"role":"user","content":"\#(content)"}]}"#
                : #"{"model":\#(model),"n":\#(chance.below(3)),"a":{"b":\#(model)},"messages":[{"role":"user","content":"\#(content)"}]}"#).utf8)
        } else if out.path.hasPrefix("/v1/chat/completions"), out.method == "POST" {
            out.body = Array("{}".utf8)
        } else if chance.is_(30) {
            out.body = Array("no json".utf8)
        }
        if hasKeys { out.keyID = "k\(chance.below(4))" }
        return out
    }

    static func configuration(_ chance: inout Chance, routes: Int, hasKeys: Bool) throws -> Configuration {
        var configuration = try RoutingRig.load("upstreams: {a: {type: generic, base_url: \"http://127.0.0.1:1\"}}\n")
        configuration.routes = (0..<routes).map { at in
            var route = Route(id: "r\(at)")
            route.match = match(&chance, hasKeys: hasKeys)
            route.targets = [StrategyTarget(upstream: 0)]
            return route
        }
        if hasKeys {
            configuration.security.keys = (0..<4).map { at in
                var key = CallerKey(id: "k\(at)", value: Secret("secret-of-a-caller-\(at)"))
                key.tenant = at < 2 ? "t\(at)" : nil
                key.tags = at == 0 ? [] : at == 1 ? ["red"] : ["blue", "red"]
                return key
            }
        }
        return configuration
    }

    @Test(arguments: 0..<36)
    func theIndexFindsWhatLookingAtEachFinds(_ seed: Int) throws {
        var chance = Chance(state: UInt64(seed) &* 7919 &+ 1)
        let hasKeys = seed % 3 == 0
        let rig = try RoutingRig(Self.configuration(&chance, routes: chance.one(of: [3, 9, 20, 64, 65, 130, 300]), hasKeys: hasKeys))
        let worker = rig.worker, view = worker.view, routes = rig.plan.pointee.routes, count = rig.plan.pointee.index.routeCount
        #expect((rig.plan.pointee.index.words > 0) == (count > RouteIndex.linearMax))
        var matched = 0
        for step in 0..<60 {
            let request = Self.request(&chance, hasKeys: hasKeys)
            if rig.preview.take(request) != nil { continue }
            let wanted = (0..<count).first { view.pointee.mismatch(routes[$0]).isNone }
            #expect(worker.firstRoute() == wanted, "seed \(seed), step \(step): \(request)")
            if wanted != nil { matched += 1 }
            // All that match are among those looked at, in order.
            var search = RouteSearch(view, .all)
            var looked: [Int] = []
            while let at = search.next(view) { looked.append(at) }
            #expect(looked == looked.sorted() && looked.allSatisfy { $0 < count })
            let all = (0..<count).filter { view.pointee.mismatch(routes[$0]).isNone }
            #expect(Set(looked).isSuperset(of: all), "seed \(seed), step \(step)")
            // Before the body is there.
            let mayMatch = (0..<count).contains { view.pointee.headMismatch(routes[$0]).isNone }
            #expect(worker.mightRoute(rig.preview.exchange) == mayMatch, "seed \(seed), step \(step)")
        }
        if count > 20 { #expect(matched > 0) }
    }

    @Test(arguments: [1_000, 10_000])
    func aDecisionLooksAtFewOfManyRoutes(_ count: Int) throws {
        for shape in 0..<5 {
            var configuration = try RoutingRig.load("upstreams: {a: {type: generic, base_url: \"http://127.0.0.1:1\"}}\n")
            configuration.routes = (0..<count).map { at in
                var route = Route(id: "r\(at)")
                switch shape {
                case 0: route.match.path = .exact("/service/\(at)/items")
                case 1: (route.match.path, route.match.body) = (.exact("/v1/chat/completions"), [("model", .equals(.string("model-\(at)")))])
                case 2: (route.match.path, route.match.headers) = (.prefix("/v1/"), [("x-tenant", .equals("t\(at)"))])
                case 3: route.match.hosts = ["s\(at).example.com"]
                default: route.match.path = .template([.literal("users"), .variable("id"), .literal("kind-\(at)")])
                }
                route.targets = [StrategyTarget(upstream: 0)]
                return route
            }
            let rig = try RoutingRig(configuration), last = count - 1
            let request = switch shape {
            case 0: RoutingRig.request("", path: "/service/\(last)/items", method: "GET")
            case 1: RoutingRig.request(#"{"model":"model-\#(last)","messages":[]}"#)
            case 2: RoutingRig.request(headers: [("X-Tenant", "t\(last)")])
            case 3: RoutingRig.request(headers: [("host", "s\(last).example.com:8080")])
            default: RoutingRig.request("", path: "/users/7/kind-\(last)", method: "GET")
            }
            #expect(rig.preview.take(request) == nil)
            var search = RouteSearch(rig.worker.view, .all)
            var looked: [Int] = []
            while let at = search.next(rig.worker.view) { looked.append(at) }
            #expect(looked == [last], "shape \(shape)")
            #expect(rig.worker.firstRoute() == last)
        }
    }
}
