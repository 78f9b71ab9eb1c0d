// A condition that does not hold, in words: what it is, what it wants, and what the request has instead. What carries credentials by its name is masked, on
// both sides.
import ClawConfig
import ClawPolicy
import ClawWire

struct ConditionWords {
    private let view: UnsafeMutablePointer<RequestView>
    private let route: UnsafeMutablePointer<PlanRoute>

    init(_ view: UnsafeMutablePointer<RequestView>, _ route: UnsafeMutablePointer<PlanRoute>) {
        self.view = view
        self.route = route
    }

    typealias Told = (condition: String, wanted: String, seen: String?)

    func tell(_ mismatch: Mismatch) -> Told {
        let at = Int(mismatch.at)
        switch mismatch.condition {
        case .none: return ("none", "", nil)
        case .method: return ("method", methods(), "\(view.pointee.method)".uppercased())
        case .listener: return ("listener", "one of its listeners", listener())
        case .path: return ("path", path(), Explanation.shown(view.pointee.path))
        case .host:
            let length = view.pointee.hostName() ?? 0
            return ("host", list(route.pointee.hosts), Explanation.shown(UnsafeRawBufferPointer(start: view.pointee.hostText, count: length)))
        case .clientSubject: return ("client_certificate.subject", route.pointee.clientSubject.map { words($0) } ?? "", view.pointee.certificate?.pointee.subject.string)
        case .clientName: return ("client_certificate.san", route.pointee.clientName.map { words($0) } ?? "", view.pointee.certificate?.pointee.names.string)
        case .header: return header(route.pointee.headers[at].pointee)
        case .query: return query(route.pointee.query[at].pointee)
        case .keyID: return ("key.id", list(route.pointee.keyIDs), caller()?.id.string)
        case .keyTenant: return ("key.tenant", list(route.pointee.keyTenants), caller().map(\.tenant.string))
        case .keyTags: return ("key.tags", route.pointee.keyTags[at].pointee.string, caller().map { list($0.tags) })
        case .noBody: return ("json_body", "a JSON object", view.pointee.bodyLength == 0 ? nil : "another body")
        case .body: return body(route.pointee.body[at].pointee)
        case .promptContainsAny: return ("prompt.contains_any", keywords(route.pointee.prompt?.containsAny), "none of them")
        case .promptContainsAll: return ("prompt.contains_all", keywords(route.pointee.prompt?.containsAll), "not all of them")
        case .promptLanguage: return ("prompt.language", languages(), "\(LanguageGuess.codes[view.pointee.prompt.language])")
        case .promptTokens: return ("prompt.max_tokens_estimate", route.pointee.prompt.map { words($0.tokens[at].pointee) } ?? "", String(view.pointee.prompt.tokens))
        }
    }

    private func caller() -> PlanCaller? { view.pointee.caller >= 0 ? view.pointee.plan.pointee.callers[Int(view.pointee.caller)].pointee : nil }

    private func methods() -> String {
        ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"].enumerated().filter { route.pointee.methods & (1 << UInt16($0.offset)) != 0 }.map(\.element).joined(separator: ", ")
    }

    private func listener() -> String? {
        let listeners = view.pointee.plan.pointee.listeners
        return Int(view.pointee.listener) < listeners.count ? listeners[Int(view.pointee.listener)].pointee.name.string : nil
    }

    private func path() -> String {
        switch route.pointee.path {
        case .any: "any"
        case .exact(let text): text.string
        case .prefix(let text): text.string + "*"
        case .template(let segments): segments.elements.map { "/" + ($0.isVariable ? "{…}" : $0.literal.string) }.joined()
        }
    }

    private func list(_ texts: List<Bytes>) -> String { texts.elements.prefix(20).map(\.string).joined(separator: ", ") + (texts.count > 20 ? ", …" : "") }

    // MARK: what carries credentials

    static func isSecret(_ name: String) -> Bool {
        let lower = name.lowercased()
        let plain = ["max_tokens", "max_completion_tokens", "max_output_tokens", "prompt_cache_key", "idempotency-key"]
        if plain.contains(lower) { return false }
        return ["key", "token", "secret", "auth", "password", "cookie", "credential", "signature", "session"].contains { lower.contains($0) }
    }

    // MARK: headers and query

    private func words(_ test: PlanTextTest) -> String {
        switch test {
        case .equals(let text): text.string
        case .regex: "a regular expression"
        case .present(let wanted): wanted ? "present" : "absent"
        }
    }

    private func named(_ kind: String, _ test: PlanNamedTest, _ seen: [String]) -> Told {
        let name = test.name.string, isSecret = Self.isSecret(name)
        var wanted = words(test.test)
        if isSecret, case .equals = test.test { wanted = "***" }
        return ("\(kind).\(name)", wanted, seen.isEmpty ? nil : isSecret ? "***" : seen.joined(separator: ", "))
    }

    private func header(_ test: PlanNamedTest) -> Told {
        var seen: [String] = []
        for at in 0..<view.pointee.fieldCount where view.pointee.isNamed(view.pointee.fields[at], test.name) { seen.append(Explanation.shown(view.pointee.value(view.pointee.fields[at]))) }
        return named("headers", test, seen)
    }

    private func query(_ test: PlanNamedTest) -> Told {
        var seen: [String] = []
        var parameters = QueryParameters(view.pointee.query, view.pointee.hasQuery)
        while parameters.next() {
            if parameters.isNamed(test.name, view.pointee.scratch), let value = parameters.value(view.pointee.scratch) { seen.append(Explanation.shown(value)) }
        }
        return named("query", test, seen)
    }

    // MARK: body and prompt

    private func body(_ condition: PlanBodyCondition) -> Told {
        let name = view.pointee.plan.pointee.reading.pathNames[condition.path].pointee.string
        let isSecret = Self.isSecret(name)
        var seen: String?
        if condition.path == PolicyPath.model, view.pointee.surface.hasModelInPath {
            seen = Explanation.shown(view.pointee.requestedModel)
        } else if let body = view.pointee.body, view.pointee.spans[condition.path].kind != .missing {
            let span = view.pointee.spans[condition.path]
            seen = Explanation.shown(UnsafeRawBufferPointer(start: body + span.offset, count: span.length))
        }
        var wanted = words(condition.test)
        if isSecret {
            seen = seen.map { _ in "***" }
            wanted = "***"
        }
        return ("json_body.\(name)", wanted, seen)
    }

    private func words(_ value: PlanScalar) -> String {
        switch value {
        case .string(let text): PlanCompiler.jsonString(text.string)
        case .number(let number): Self.number(number)
        case .bool(let bool): bool ? "true" : "false"
        case .null: "null"
        }
    }

    private static func number(_ number: Double) -> String { number == number.rounded() && abs(number) < 1e15 ? String(Int64(number)) : String(number) }

    private func words(_ test: PlanBodyTest) -> String {
        switch test {
        case .equals(let value): words(value)
        case .notEquals(let value): "not \(words(value))"
        case .isIn(let values): "one of " + values.elements.prefix(20).map { words($0) }.joined(separator: ", ") + (values.count > 20 ? ", …" : "")
        case .regex: "a regular expression"
        case .lt(let bound): "< \(Self.number(bound))"
        case .lte(let bound): "<= \(Self.number(bound))"
        case .gt(let bound): "> \(Self.number(bound))"
        case .gte(let bound): ">= \(Self.number(bound))"
        case .contains(let value): "contains \(words(value))"
        case .exists(let wanted): wanted ? "present" : "absent"
        }
    }

    private func keywords(_ places: List<Int>?) -> String {
        guard let places else { return "" }
        let words = view.pointee.plan.pointee.reading.keywordTexts
        return places.elements.prefix(20).map { words[$0].pointee.string }.joined(separator: ", ") + (places.count > 20 ? ", …" : "")
    }

    private func languages() -> String {
        let mask = route.pointee.prompt?.languages ?? 0
        return LanguageGuess.codes.enumerated().filter { mask & (1 << UInt64($0.offset & 63)) != 0 }.map { "\($0.element)" }.joined(separator: ", ")
    }
}
