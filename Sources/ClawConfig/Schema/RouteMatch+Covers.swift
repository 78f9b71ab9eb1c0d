// Whether one route's conditions follow from another's: `a.covers(b)` says that every request that b matches a matches too. It errs to the careful side:
// what it cannot see does not follow.

import ClawWire

extension RouteMatch {
    /// Regular expressions compiled once each.
    struct Rules {
        private var compiled: [String: LinearRegex] = [:]

        mutating func matches(_ pattern: String, _ text: String) -> Bool {
            if let rule = compiled[pattern] { return rule.matches(text) }
            guard let rule = try? LinearRegex(pattern) else { return false }
            compiled[pattern] = rule
            return rule.matches(text)
        }
    }

    /// No condition at all.
    public var matchesAll: Bool {
        guard case .any = path else { return false }
        return methods.isEmpty && hosts.isEmpty && listeners.isEmpty && clientSubject == nil && clientName == nil && headers.isEmpty && query.isEmpty && body.isEmpty
            && keyTags.isEmpty && keyIDs.isEmpty && keyTenants.isEmpty && prompt == nil
    }

    func covers(_ other: RouteMatch, _ rules: inout Rules) -> Bool {
        guard Self.holds(methods, other.methods), Self.holds(listeners, other.listeners), Self.holds(keyIDs, other.keyIDs), Self.holds(keyTenants, other.keyTenants),
              keyTags.allSatisfy(other.keyTags.contains), Self.covers(path, other.path), coversHosts(other.hosts) else { return false }
        for (name, test) in headers where !other.headers.contains(where: { $0.name == name && Self.follows(test, $0.test, &rules) }) { return false }
        for (name, test) in query where !other.query.contains(where: { $0.name == name && Self.follows(test, $0.test, &rules) }) { return false }
        for (path, test) in body {
            let known = other.body.filter { $0.path == path }.map(\.test)
            if known.isEmpty || !Self.follows(test, known, &rules) { return false }
        }
        for (test, known) in [(clientSubject, other.clientSubject), (clientName, other.clientName)] {
            if let test { guard let known, Self.follows(test, known, &rules) else { return false } }
        }
        return prompt.map { prompt in other.prompt.map { prompt.covers($0) } ?? false } ?? true
    }

    /// Lists of which one has to be met; an empty one is met by all.
    static func holds(_ list: [String], _ other: [String]) -> Bool { list.isEmpty || (!other.isEmpty && other.allSatisfy(list.contains)) }

    // MARK: Paths and hosts

    /// What all paths of a template begin with.
    static func literalHead(_ segments: [TemplateSegment]) -> String {
        var head = "/"
        for (index, segment) in segments.enumerated() {
            guard case .literal(let text) = segment else { return head }
            head += index + 1 < segments.count ? text + "/" : text
        }
        return head
    }

    private static func covers(_ path: PathMatch, _ other: PathMatch) -> Bool {
        switch (path, other) {
        case (.any, _): true
        case (.exact(let one), .exact(let other)): one == other
        case (.prefix(let prefix), .exact(let other)), (.prefix(let prefix), .prefix(let other)): other.hasPrefix(prefix)
        case (.prefix(let prefix), .template(let segments)): literalHead(segments).hasPrefix(prefix)
        case (.template(let template), .template(let segments)): covers(template, segments)
        case (.template(let template), .exact(let path)):
            covers(template, path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map { .literal(String($0)) })
        default: false
        }
    }

    private static func covers(_ template: [TemplateSegment], _ other: [TemplateSegment]) -> Bool {
        template.count == other.count && zip(template, other).allSatisfy { one, other in
            switch (one, other) {
            case (.variable, .variable): true
            // A variable stands for a segment that is there.
            case (.variable, .literal(let text)): !text.isEmpty
            case (.literal(let one), .literal(let other)): one == other
            case (.literal, .variable): false
            }
        }
    }

    private func coversHosts(_ others: [String]) -> Bool {
        hosts.isEmpty || (!others.isEmpty && others.allSatisfy { other in
            hosts.contains { $0 == other || ($0.hasPrefix("*.") && other.hasSuffix($0.dropFirst()) && other.utf8.count > $0.utf8.count - 1) }
        })
    }

    // MARK: Values

    private static func follows(_ test: TextMatch, _ known: TextMatch, _ rules: inout Rules) -> Bool {
        switch (test, known) {
        case (.equals(let one), .equals(let other)): one == other
        case (.regex(let pattern), .regex(let other)): pattern == other
        case (.regex(let pattern), .equals(let text)): rules.matches(pattern, text)
        case (.present(true), .equals), (.present(true), .regex): true
        case (.present(let one), .present(let other)): one == other
        default: false
        }
    }

    /// All of `known` hold for one and the same value.
    private static func follows(_ test: BodyTest, _ known: [BodyTest], _ rules: inout Rules) -> Bool {
        for one in known {
            switch one {
            case .equals(let scalar): if holds(test, scalar, &rules) { return true }
            case .isIn(let scalars): if !scalars.isEmpty, scalars.allSatisfy({ holds(test, $0, &rules) }) { return true }
            default: if follows(test, one) { return true }
            }
        }
        let bounds = NumberRange([test])
        if bounds.isBounded {
            let range = NumberRange(known)
            return range.isBounded && bounds.holds(range)
        }
        if case .notEquals(.number(let number)) = test {
            let range = NumberRange(known)
            return range.isBounded && !range.contains(number)
        }
        return false
    }

    /// Of conditions that are no values: the same one, and that something is there.
    private static func follows(_ test: BodyTest, _ known: BodyTest) -> Bool {
        switch (test, known) {
        case (.notEquals(let one), .notEquals(let other)), (.contains(let one), .contains(let other)): one == other
        case (.regex(let one), .regex(let other)): one == other
        case (.exists(let one), .exists(let other)): one == other
        case (.exists(true), .regex), (.exists(true), .contains), (.exists(true), .lt), (.exists(true), .lte), (.exists(true), .gt), (.exists(true), .gte): true
        default: false
        }
    }

    /// Whether a condition holds for a value.
    private static func holds(_ test: BodyTest, _ value: Scalar, _ rules: inout Rules) -> Bool {
        switch (test, value) {
        case (.equals(let one), _): return one == value
        case (.notEquals(let one), _): return one != value
        case (.isIn(let list), _): return list.contains(value)
        case (.exists(true), .null): return false
        case (.exists(let isThere), _): return isThere
        case (.regex(let pattern), .string(let text)): return rules.matches(pattern, text)
        case (.contains(.string(let part)), .string(let text)): return text.utf8.firstRange(of: part.utf8) != nil
        case (.lt, .number(let number)), (.lte, .number(let number)), (.gt, .number(let number)), (.gte, .number(let number)): return NumberRange([test]).contains(number)
        default: return false
        }
    }
}

extension PromptMatch {
    /// Every prompt that the other matches this one matches too.
    fileprivate func covers(_ other: PromptMatch) -> Bool {
        guard RouteMatch.holds(languages, other.languages) else { return false }
        if !containsAny.isEmpty, !other.finds(anyOf: containsAny) { return false }
        if !containsAll.allSatisfy({ other.finds(anyOf: [$0]) }) { return false }
        guard !tokens.isEmpty else { return true }
        return !other.tokens.isEmpty && NumberRange(tokens).holds(NumberRange(other.tokens))
    }

    /// Whatever this matches has one of these texts in it.
    private func finds(anyOf texts: [String]) -> Bool {
        func hasOne(_ text: String) -> Bool { texts.contains { text.lowercased().utf8.firstRange(of: $0.lowercased().utf8) != nil } }
        return containsAll.contains(where: hasOne) || (!containsAny.isEmpty && containsAny.allSatisfy(hasOne))
    }
}
