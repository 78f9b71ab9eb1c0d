// routes[].match: paths, methods, hosts, and conditions on headers, query and JSON body. Those on the caller and the prompt are in CallerTable.

import ClawWire

enum MatchTable {
    enum Limit {
        static let conditionsMax = 64
        static let valuesMax = 1024
        static let textBytesMax = 8192
        /// The JSON scanner follows 64 paths at depth 8; the gateway needs some of them itself.
        static let bodyPathsMax = 48
        static let bodyDepthMax = 8
    }
    private static let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]

    static func make() -> Table<RouteMatch> {
        Table(options: [
            Option(key: "path", type: "a path", doc: "Exact (`/v1/models`), prefix (`/v1/*`: whatever begins with `/v1/`), or template (`/users/{id}`: one segment each).", defaultText: "any",
                   read: { match, node, key, loading in
                       guard let text = loading.text(node, key, expected: "a path") else { return }
                       if let wrong = patternProblem(text.string) { return loading.error(node.place, key, "\(wrong), found \(text.shown)") }
                       match.path = pattern(text.string)
                   },
                   write: { writePath($0.path) }),
            Option(key: "method", type: "a method or list of methods", doc: "Of \(methods.joined(separator: ", ")).", defaultText: "any",
                   read: { match, node, key, loading in
                       for item in Names.oneOrMany(node, key, 16, loading) ?? [] {
                           guard let text = loading.text(item, key, expected: "a method") else { continue }
                           guard methods.contains(text.string) else {
                               let hint = methods.contains(text.string.uppercased()) ? "; methods are upper-case" : ""
                               loading.error(item.place, key, "expected one of \(methods.joined(separator: ", ")), found \(text.shown)\(hint)")
                               continue
                           }
                           match.methods.append(text.string)
                       }
                   },
                   write: { $0.methods.isEmpty ? nil : .array($0.methods.map { .text($0) }) }),
            Option(key: "host", type: "a host name or list of them", doc: "Without port; `*.example.com` for all names below example.com.", defaultText: "any",
                   read: { match, node, key, loading in
                       for item in Names.oneOrMany(node, key, Limit.valuesMax, loading) ?? [] {
                           guard let text = loading.text(item, key, expected: "a host name") else { continue }
                           let host = text.string.lowercased(), name = host.hasPrefix("*.") ? String(host.dropFirst(2)) : host
                           guard Names.isHost(name) || Address.isIPv6(name) else {
                               loading.error(item.place, key, "expected a host name without port, or *.name, found \(text.shown)")
                               continue
                           }
                           match.hosts.append(host)
                       }
                   },
                   write: { $0.hosts.isEmpty ? nil : .array($0.hosts.map { .text($0) }) }),
            Option(key: "listener", type: "a name or list of names", doc: "Names of `server.listeners`, or `main`.", defaultText: "any",
                   read: { match, node, key, loading in
                       for item in Names.oneOrMany(node, key, ListenerTable.Limit.listenersMax, loading) ?? [] {
                           if let text = loading.text(item, key, expected: "the name of a listener") { match.listeners.append(text.string) }
                       }
                   },
                   write: { $0.listeners.isEmpty ? nil : .array($0.listeners.map { .text($0) }) }),
            clientCertificate(),
            conditions("headers", "Header conditions: a value, `{regex: …}` or `{present: true}`.", isHeader: true, \.headers),
            conditions("query", "Query parameter conditions, as for headers.", isHeader: false, \.query),
            body(),
            CallerTable.key(),
            CallerTable.prompt(),
        ])
    }

    // MARK: Paths

    /// What is wrong with a plain path: it has to be in the normal form requests are brought to, or it would never match.
    static func pathProblem(_ path: String) -> String? {
        guard path.hasPrefix("/") else { return "expected a path that begins with /" }
        guard path.utf8.count <= Limit.textBytesMax else { return "expected at most \(Limit.textBytesMax) bytes" }
        guard !path.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F || $0 == 0x3F || $0 == 0x23 }) else { return "expected a path without spaces, ? and #" }
        var copy = path
        let form = copy.withUTF8 { bytes in
            withUnsafeTemporaryAllocation(byteCount: bytes.count, alignment: 1) { normalisePath(UnsafeRawBufferPointer(bytes), into: $0) }
        }
        switch form {
        case .normal: return nil
        case .rewritten: return "expected a path in normal form (RFC 3986 §6.2.2), or it never matches"
        case .refused(let reason): return "expected a path in normal form (\(reason)), or it never matches"
        }
    }

    private static func patternProblem(_ text: String) -> String? {
        let stars = text.utf8.count { $0 == UInt8(ascii: "*") }
        if stars > 0 {
            guard stars == 1, text.hasSuffix("/*") else { return "expected * only at the end, as in /v1/*" }
            guard !text.contains("{") else { return "expected either {name} or *, not both" }
            return pathProblem(String(text.dropLast()))
        }
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "}") }) else { return pathProblem(text) }
        var names: Set<Substring> = []
        for segment in text.split(separator: "/") where segment.contains("{") || segment.contains("}") {
            guard segment.hasPrefix("{"), segment.hasSuffix("}") else { return "expected {name} to be a whole segment, as in /users/{id}" }
            let name = segment.dropFirst().dropLast()
            guard let first = name.utf8.first, !(0x30...0x39).contains(first), name.utf8.allSatisfy({ Names.isAlphanumeric($0) || $0 == 0x5F }) else {
                return "expected a name of letters, digits and _ between { and }"
            }
            guard names.insert(name).inserted else { return "expected each {name} once" }
        }
        // Variables are stood in for by a letter to look at the rest.
        return pathProblem(text.split(separator: "/", omittingEmptySubsequences: false).map { $0.hasPrefix("{") ? "x" : String($0) }.joined(separator: "/"))
    }

    private static func pattern(_ text: String) -> PathMatch {
        if text.hasSuffix("*") { return .prefix(String(text.dropLast())) }
        guard text.contains("{") else { return .exact(text) }
        return .template(text.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map { segment in
            segment.hasPrefix("{") ? .variable(String(segment.dropFirst().dropLast())) : .literal(String(segment))
        })
    }

    private static func writePath(_ path: PathMatch) -> Canonical? {
        switch path {
        case .any: nil
        case .exact(let path): .text(path)
        case .prefix(let path): .text(path + "*")
        case .template(let segments):
            .text(segments.map { segment in
                switch segment { case .literal(let text): "/" + text; case .variable(let name): "/{\(name)}" }
            }.joined())
        }
    }

    // MARK: Client certificate

    private static func clientCertificate() -> Option<RouteMatch> {
        func condition(_ key: String, _ field: WritableKeyPath<RouteMatch, TextMatch?>, _ doc: String) -> Option<RouteMatch> {
            Option(key: key, type: "a condition", doc: doc,
                   read: { match, node, key, loading in
                       let tests = textTests(node, key, loading)
                       if tests.count > 1 { loading.error(node.place, key, "expected one of equals, regex and present, found \(tests.count)") }
                       match[keyPath: field] = tests.first
                   },
                   write: { match in match[keyPath: field].map { .object(Dictionary([write($0)]) { first, _ in first }) } })
        }
        let table = Table<RouteMatch>(options: [
            condition("subject", \.clientSubject, "Its subject as in `CN=billing,O=Example` (RFC 2253): a value, `{regex: …}` or `{present: true}`."),
            condition("san", \.clientName, "Any one of its alternative names, as in `DNS:a.example` or `URI:spiffe://a/b`, likewise."),
        ])
        return Option(key: "client_certificate", type: "map", doc: "Conditions on the client's certificate, which `client_ca` vouches for.", children: { table.rows(RouteMatch()) },
                      read: { match, node, key, loading in
                          table.read(node, into: &match, at: key, loading)
                          if node.isNull || node.members?.isEmpty == true { loading.error(node.place, key, "expected a condition, found \(node.isNull ? node.kind : "an empty map")") }
                      },
                      write: { $0.clientSubject == nil && $0.clientName == nil ? nil : table.write($0) })
    }

    private static func write(_ test: TextMatch) -> (String, Canonical) {
        switch test {
        case .equals(let text): ("equals", .text(text))
        case .regex(let text): ("regex", .text(text))
        case .present(let flag): ("present", .flag(flag))
        }
    }

    // MARK: Headers and query

    private static func conditions(
        _ key: String, _ doc: String, isHeader: Bool, _ field: WritableKeyPath<RouteMatch, [(name: String, test: TextMatch)]>
    ) -> Option<RouteMatch> {
        Option(key: key, type: "map of name → condition", doc: doc,
               read: { match, node, key, loading in
                   guard let members = Names.members(node, key, Limit.conditionsMax, loading) else { return }
                   for member in members {
                       let path = dotted(key, member.key)
                       if isHeader ? !Names.isToken(member.key) : member.key.isEmpty {
                           loading.error(member.keyPlace, path, "expected a \(isHeader ? "header" : "parameter") name")
                       }
                       let name = isHeader ? member.key.lowercased() : member.key
                       for test in textTests(member.value, path, loading) { match[keyPath: field].append((name: name, test: test)) }
                   }
               },
               write: { match in
                   let tests = match[keyPath: field]
                   guard !tests.isEmpty else { return nil }
                   var members: [String: [String: Canonical]] = [:]
                   for (name, test) in tests {
                       let (key, value) = write(test)
                       members[name, default: [:]][key] = value
                   }
                   return .object(members.mapValues { .object($0) })
               })
    }

    private static func textTests(_ node: DocumentNode, _ key: String, _ loading: Loading) -> [TextMatch] {
        if case .scalar = node.value { return loading.text(node, key, expected: "text").map { [.equals($0.string)] } ?? [] }
        var tests: [TextMatch] = []
        let table = Table<[TextMatch]>(options: [
            Option(key: "equals", type: "text", doc: "", read: { tests, node, key, loading in
                if let text = loading.text(node, key, expected: "text") { tests.append(.equals(text.string)) }
            }, write: { _ in nil }),
            Option(key: "regex", type: "a regular expression", doc: "", read: { tests, node, key, loading in
                if let pattern = regex(node, key, loading) { tests.append(.regex(pattern)) }
            }, write: { _ in nil }),
            Option(key: "present", type: "true or false", doc: "", read: { tests, node, key, loading in
                if let flag = loading.flag(node, key) { tests.append(.present(flag)) }
            }, write: { _ in nil }),
        ])
        table.read(node, into: &tests, at: key, loading)
        if node.members?.isEmpty == true { loading.error(node.place, key, "expected a condition, found an empty map") }
        return tests
    }

    private static func regex(_ node: DocumentNode, _ key: String, _ loading: Loading) -> String? {
        guard let text = loading.text(node, key, expected: "a regular expression") else { return nil }
        guard text.string.utf8.count <= Limit.textBytesMax else {
            loading.error(node.place, key, "expected at most \(Limit.textBytesMax) bytes, found \(text.string.utf8.count)")
            return nil
        }
        do throws(RegexError) { _ = try LinearRegex(text.string) } catch {
            loading.error(node.place, key, "not a regular expression this gateway supports: \(error)")
            return nil
        }
        return text.string
    }

    // MARK: Body

    private static func body() -> Option<RouteMatch> {
        let table = operators()
        return Option(key: "json_body", type: "map of dotted path → condition",
                      doc: "Conditions on the JSON body: a value, or a map of \(table.options.map { "`\($0.key)`" }.joined(separator: ", ")), which all have to hold.",
                      read: { match, node, key, loading in
                          guard let members = Names.members(node, key, Limit.conditionsMax, loading) else { return }
                          for member in members {
                              let path = dotted(key, member.key)
                              let steps = member.key.split(separator: ".", omittingEmptySubsequences: false)
                              if steps.contains(where: \.isEmpty) || steps.count > Limit.bodyDepthMax || member.key.utf8.count > 256 {
                                  loading.error(member.keyPlace, path, "expected a dotted path of 1…\(Limit.bodyDepthMax) names")
                              }
                              var tests: [BodyTest] = []
                              if case .map(let operators) = member.value.value {
                                  table.read(member.value, into: &tests, at: path, loading)
                                  if operators.isEmpty { loading.error(member.value.place, path, "expected a condition, found an empty map") }
                              } else if let value = scalar(member.value, path, loading) {
                                  tests.append(.equals(value))
                              }
                              for test in tests { match.body.append((path: member.key, test: test)) }
                          }
                      },
                      write: { match in
                          guard !match.body.isEmpty else { return nil }
                          var members: [String: [String: Canonical]] = [:]
                          for (path, test) in match.body {
                              let (key, value) = write(test)
                              members[path, default: [:]][key] = value
                          }
                          return .object(members.mapValues { .object($0) })
                      })
    }

    private static func operators() -> Table<[BodyTest]> {
        func scalarTest(_ key: String, _ make: @escaping (Scalar) -> BodyTest) -> Option<[BodyTest]> {
            Option(key: key, type: "a value", doc: "", read: { tests, node, key, loading in
                if let value = scalar(node, key, loading) { tests.append(make(value)) }
            }, write: { _ in nil })
        }
        func numberTest(_ key: String, _ make: @escaping (Double) -> BodyTest) -> Option<[BodyTest]> {
            Option(key: key, type: "a number", doc: "", read: { tests, node, key, loading in
                guard let text = loading.text(node, key, expected: "a number") else { return }
                guard let value = Scalars.decimal(text.string) else {
                    return loading.error(node.place, key, "expected a number, found \(text.shown)\(Scalars.numberHint(text.string))")
                }
                tests.append(make(value))
            }, write: { _ in nil })
        }
        return Table(options: [
            scalarTest("equals") { .equals($0) },
            scalarTest("not_equals") { .notEquals($0) },
            Option(key: "in", type: "list of values", doc: "", read: { tests, node, key, loading in
                guard let items = Names.items(node, key, 1...Limit.valuesMax, loading) else { return }
                tests.append(.isIn(items.compactMap { scalar($0, key, loading) }))
            }, write: { _ in nil }),
            Option(key: "regex", type: "a regular expression", doc: "", read: { tests, node, key, loading in
                if let pattern = regex(node, key, loading) { tests.append(.regex(pattern)) }
            }, write: { _ in nil }),
            numberTest("lt") { .lt($0) },
            numberTest("lte") { .lte($0) },
            numberTest("gt") { .gt($0) },
            numberTest("gte") { .gte($0) },
            scalarTest("contains") { .contains($0) },
            Option(key: "exists", type: "true or false", doc: "", read: { tests, node, key, loading in
                if let flag = loading.flag(node, key) { tests.append(.exists(flag)) }
            }, write: { _ in nil }),
        ])
    }

    /// A JSON value. Only what YAML 1.1 and 1.2 read alike is taken as other than text; the rest has to be quoted.
    private static func scalar(_ node: DocumentNode, _ key: String, _ loading: Loading) -> Scalar? {
        if case .scalar(let text, isPlain: true) = node.value, text == "null" || text == "~" { return .null }
        guard let text = loading.text(node, key, expected: "a value") else { return nil }
        guard text.isPlain, text.names.isEmpty else { return .string(text.string) }
        if text.string == "true" { return .bool(true) }
        if text.string == "false" { return .bool(false) }
        if let number = Scalars.decimal(text.string) { return .number(number) }
        if Scalars.isAncientTruth(text.string) {
            loading.error(node.place, key, "\(text.shown) is true or false to some readers of YAML and text to others; quote it, or write true or false")
            return nil
        }
        if isAncientNumber(text.string) {
            loading.error(node.place, key, "\(text.shown) is a number to some readers of YAML and text to others; quote it, or write a plain decimal number")
            return nil
        }
        return .string(text.string)
    }

    /// 017, 0x1F, 0o17, 1_000, 1e3, +1, .5, 1., .inf, .nan.
    private static func isAncientNumber(_ text: String) -> Bool {
        let lower = text.lowercased()
        if ["inf", "+inf", "-inf", "nan"].contains(lower.replacing(".", with: "", maxReplacements: 1)) && lower.contains(".") { return true }
        guard let first = lower.utf8.first(where: { $0 != 0x2B && $0 != 0x2D && $0 != 0x2E }), (0x30...0x39).contains(first) else { return false }
        if lower.hasPrefix("0x") { return lower.dropFirst(2).allSatisfy(\.isHexDigit) }
        var parts = Substring(lower)
        if parts.hasPrefix("0o") { parts = parts.dropFirst(2) }
        return parts.utf8.allSatisfy { (0x30...0x39).contains($0) || [0x2B, 0x2D, 0x2E, 0x5F, 0x65].contains($0) }
            && parts.utf8.count { $0 == 0x2E } <= 1 && parts.utf8.dropFirst().count { $0 == 0x2D || $0 == 0x2B } <= (lower.contains("e") ? 1 : 0)
    }

    private static func write(_ test: BodyTest) -> (String, Canonical) {
        func value(_ scalar: Scalar) -> Canonical {
            switch scalar {
            case .string(let text): .text(text)
            case .number(let number): .decimal(number)
            case .bool(let flag): .flag(flag)
            case .null: .null
            }
        }
        switch test {
        case .equals(let scalar): return ("equals", value(scalar))
        case .notEquals(let scalar): return ("not_equals", value(scalar))
        case .isIn(let scalars): return ("in", .array(scalars.map(value)))
        case .regex(let pattern): return ("regex", .text(pattern))
        case .lt(let number): return ("lt", .decimal(number))
        case .lte(let number): return ("lte", .decimal(number))
        case .gt(let number): return ("gt", .decimal(number))
        case .gte(let number): return ("gte", .decimal(number))
        case .contains(let scalar): return ("contains", value(scalar))
        case .exists(let flag): return ("exists", .flag(flag))
        }
    }
}
