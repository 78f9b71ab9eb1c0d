import Testing
@testable import ClawConfig

/// What `covers` says is held against requests that are tried out, and what `Shadows` finds against `covers` asked of every pair.
@Suite struct ShadowTests {
    struct Dice {
        var state: UInt64
        mutating func roll(_ sides: Int) -> Int {
            state = state &* 6364136223846793005 &+ 1442695040888963407
            return Int((state >> 33) % UInt64(sides))
        }
        mutating func pick<T>(_ items: [T]) -> T { items[roll(items.count)] }
        mutating func some(_ items: [String], _ countMax: Int) -> [String] { Array(Set((0..<roll(countMax + 1)).map { _ in pick(items) })).sorted() }
    }

    struct Request {
        var path: String, method: String, host: String, header: String?, model: Scalar?, number: Double, tags: [String], id: String, text: String, language: String, tokens: Double
    }

    static func match(_ dice: inout Dice) -> RouteMatch {
        var match = RouteMatch()
        match.path = dice.pick([.any, .exact("/a/b"), .exact("/a"), .prefix("/a/"), .prefix("/"), .template([.literal("a"), .variable("x")]), .template([.variable("x"), .literal("b")]), .template([.variable("x")])])
        if dice.roll(3) == 0 { match.methods = dice.some(["GET", "POST"], 2) }
        if dice.roll(3) == 0 { match.hosts = dice.some(["a.org", "*.a.org", "*.b.a.org", "x.b.a.org"], 2) }
        if dice.roll(3) == 0 { match.headers = [(name: "h", test: dice.pick([.equals("one"), .equals("two"), .regex("^o"), .present(true), .present(false)]))] }
        let models: [BodyTest] = [.equals(.string("m")), .isIn([.string("m"), .string("n")]), .isIn([.string("n")]), .notEquals(.string("m")), .regex("^m"), .exists(true), .exists(false), .contains(.string("n"))]
        for _ in 0..<dice.roll(3) { match.body.append((path: "model", test: dice.pick(models))) }
        for _ in 0..<dice.roll(3) { match.body.append((path: "n", test: dice.pick([.lt(2), .lte(2), .gt(1), .gte(2), .equals(.number(2)), .isIn([.number(1), .number(3)]), .notEquals(.number(2))]))) }
        if dice.roll(4) == 0 { match.keyTags = dice.some(["s", "t"], 2) }
        if dice.roll(4) == 0 { match.keyIDs = dice.some(["k", "l"], 2) }
        if dice.roll(4) == 0 {
            var prompt = PromptMatch()
            prompt.containsAny = dice.some(["bill", "billing", "INVOICE"], 2)
            prompt.containsAll = dice.some(["bill", "invoice"], 1)
            prompt.languages = dice.some(["en", "ko"], 2)
            if dice.roll(2) == 0 { prompt.tokens = [dice.pick([.gt(1), .gte(2), .lt(3), .lte(2)])] }
            match.prompt = prompt
        }
        return match
    }

    static func request(_ dice: inout Dice) -> Request {
        Request(path: dice.pick(["/a/b", "/a", "/", "/a/c", "/c/b", "/c", "/a/"]), method: dice.pick(["GET", "POST"]), host: dice.pick(["a.org", "x.a.org", "x.b.a.org", "b.a.org", "c.org"]),
                header: dice.pick([nil, "one", "two", "other"]), model: dice.pick([nil, .string("m"), .string("n"), .string("mn"), .null, .number(1)]), number: Double(dice.roll(4)),
                tags: dice.some(["s", "t"], 2), id: dice.pick(["k", "l"]), text: dice.pick(["a bill", "Billing of an invoice", "invoices", ""]), language: dice.pick(["en", "ko", "de"]), tokens: Double(dice.roll(5)))
    }

    static func holds(_ test: BodyTest, _ value: Scalar?) -> Bool {
        switch (test, value) {
        case (.exists(let isThere), _): isThere == (value != nil && value != .null)
        case (_, nil): false
        case (.equals(let one), _): one == value
        case (.notEquals(let one), _): one != value
        case (.isIn(let list), let value?): list.contains(value)
        case (.regex(let pattern), .string(let text)): pattern == "^m" && text.hasPrefix("m")
        case (.contains(.string(let part)), .string(let text)): text.contains(part)
        case (.lt(let bound), .number(let number)): number < bound
        case (.lte(let bound), .number(let number)): number <= bound
        case (.gt(let bound), .number(let number)): number > bound
        case (.gte(let bound), .number(let number)): number >= bound
        default: false
        }
    }

    static func matches(_ match: RouteMatch, _ request: Request) -> Bool {
        let segments = request.path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        let path = switch match.path {
        case .any: true
        case .exact(let path): request.path == path
        case .prefix(let prefix): request.path.hasPrefix(prefix)
        case .template(let template): template.count == segments.count && zip(template, segments).allSatisfy { if case .literal(let text) = $0 { text == $1 } else { !$1.isEmpty } }
        }
        guard path, match.methods.isEmpty || match.methods.contains(request.method), match.keyTags.allSatisfy(request.tags.contains), match.keyIDs.isEmpty || match.keyIDs.contains(request.id) else { return false }
        guard match.hosts.isEmpty || match.hosts.contains(where: { $0.hasPrefix("*.") ? request.host.hasSuffix($0.dropFirst()) : request.host == $0 }) else { return false }
        for (_, test) in match.headers {
            let holds = switch test {
            case .equals(let text): request.header == text
            case .regex: request.header?.hasPrefix("o") ?? false
            case .present(let isThere): isThere == (request.header != nil)
            }
            if !holds { return false }
        }
        for (path, test) in match.body where !holds(test, path == "n" ? .number(request.number) : request.model) { return false }
        guard let prompt = match.prompt else { return true }
        let text = request.text.lowercased()
        return (prompt.containsAny.isEmpty || prompt.containsAny.contains { text.contains($0.lowercased()) }) && prompt.containsAll.allSatisfy { text.contains($0.lowercased()) }
            && (prompt.languages.isEmpty || prompt.languages.contains(request.language)) && prompt.tokens.allSatisfy { holds($0, .number(request.tokens)) }
    }

    @Test func aShadowTakesEveryRequestOfWhatItShadows() {
        var dice = Dice(state: 7), rules = RouteMatch.Rules(), covered = 0, requests = 0
        for _ in 0..<15_000 {
            let one = Self.match(&dice), other = Self.match(&dice)
            guard one.covers(other, &rules) else { continue }
            covered += 1
            for _ in 0..<60 {
                let request = Self.request(&dice)
                guard Self.matches(other, request) else { continue }
                requests += 1
                #expect(Self.matches(one, request), "\(one) does not match \(request), which \(other) does")
            }
        }
        // Otherwise nothing was tried.
        #expect(covered > 250 && requests > 250)
    }

    @Test func aRouteCoversItself() {
        var dice = Dice(state: 3), rules = RouteMatch.Rules()
        for _ in 0..<500 {
            let one = Self.match(&dice)
            #expect(one.covers(one, &rules), "\(one)")
        }
    }

    @Test func filingLosesNoShadow() {
        var dice = Dice(state: 11), rules = RouteMatch.Rules(), found = 0
        for _ in 0..<120 {
            var shadows = Shadows(), kept: [(match: RouteMatch, path: String)] = []
            for index in 0..<40 {
                var match = Self.match(&dice)
                // Catch-alls would end each round at its beginning.
                if match.matchesAll { match.methods = ["GET"] }
                let shadow = shadows.add(match, path: "r\(index)", line: index)
                let all = kept.filter { $0.match.covers(match, &rules) }
                #expect(shadow.map { shadow in all.contains { $0.path == shadow.path } } ?? all.isEmpty)
                if shadow == nil { kept.append((match, "r\(index)")) } else { found += 1 }
            }
        }
        #expect(found > 120)
    }

    @Test(arguments: [("path: /p/%", 0), ("path: /v1/chat/completions, json_body: {model: m%}", 0), ("path: '/v1/*', host: h%.example.com", 0), ("path: '/%/{x}'", 0),
                      ("headers: {X-T: {regex: '^a%$'}}", Shadows.comparisonsMax)])
    func fewPairsAreCompared(_ row: (form: String, comparisonsMax: Int)) throws {
        let routes = (0..<2000).map { "  - {match: {\(row.form.replacing("%", with: String($0)))}, strategy: {upstreams: [a]}}\n" }.joined()
        let result = load("upstreams: {a: {type: generic, base_url: 'http://127.0.0.1:1/v1'}}\nroutes:\n" + routes)
        #expect(result.issues.isEmpty)
        var shadows = Shadows()
        for route in try #require(result.configuration).routes { #expect(shadows.add(route.match, path: route.id, line: 1) == nil) }
        #expect(shadows.comparisons <= row.comparisonsMax)
    }

    @Test func manyWarningsAreNoErrorAndHideNone() {
        let never = (0..<300).map { "  - {match: {path: /\($0)}, strategy: {upstreams: [a]}}\n" }.joined()
        let text = "upstreams: {a: {type: generic, base_url: 'http://127.0.0.1:1/v1'}}\nroutes:\n  - {strategy: {upstreams: [a]}}\n" + never
        let result = load(text)
        #expect(result.configuration != nil && result.issues.count == Loading.warningsMax + 1)
        #expect(result.issues.contains { $0.message == "more than 100 warnings; the rest is not shown" })
        #expect(load(text + "server: {listen_port: x}\n").issues.contains { $0.key == "server.listen_port" })
    }
}
