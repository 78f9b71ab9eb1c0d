// routes[].match.key and routes[].match.prompt: conditions on who asks, and on what is asked.

import ClawPolicy

enum CallerTable {
    enum Limit {
        static let namesMax = 1024
        static let wordsMax = 256
        static let wordBytesMax = 256
        static let tokensMax = 1_000_000_000
    }

    static func key() -> Option<RouteMatch> {
        func names(_ key: String, _ type: String, _ field: WritableKeyPath<RouteMatch, [String]>, _ doc: String) -> Option<RouteMatch> {
            Option(key: key, type: type, doc: doc,
                   read: { match, node, key, loading in match[keyPath: field] = Names.words(node, key, 1...Limit.namesMax, loading) },
                   write: { $0[keyPath: field].isEmpty ? nil : .array($0[keyPath: field].map { .text($0) }) })
        }
        let table = Table<RouteMatch>(options: [
            names("tags", "a name or list of names", \.keyTags, "Tags that the key has, all of them."),
            names("id", "a name or list of names", \.keyIDs, "Its id, any one of these."),
            names("tenant", "a name or list of names", \.keyTenants, "Its tenant, any one of these."),
        ])
        return Option(key: "key", type: "map", doc: "Attributes of the caller's key (`security.keys`); all that is given has to hold.", children: { table.rows(RouteMatch()) },
                      read: { match, node, key, loading in
                          table.read(node, into: &match, at: key, loading)
                          notEmpty(node, key, loading)
                      },
                      write: { $0.keyTags.isEmpty && $0.keyIDs.isEmpty && $0.keyTenants.isEmpty ? nil : table.write($0) })
    }

    private static func notEmpty(_ node: DocumentNode, _ key: String, _ loading: Loading) {
        if node.isNull || node.members?.isEmpty == true { loading.error(node.place, key, "expected a condition, found \(node.isNull ? node.kind : "an empty map")") }
    }

    // MARK: Prompt

    static func prompt() -> Option<RouteMatch> {
        let table = Table<PromptMatch>(options: [
            words("contains_any", \.containsAny, "Any one of these is found in the prompt's text, whatever the case."),
            words("contains_all", \.containsAll, "All of these are."),
            Option(key: "language", type: "a language or list of them", doc: "Any one of these: \(languages.joined(separator: ", ")). ISO 639-1 codes of those that can be told apart; `und` where it cannot be said.", defaultText: "any",
                   read: { prompt, node, key, loading in
                       for item in Names.oneOrMany(node, key, Limit.wordsMax, loading) ?? [] {
                           guard let text = loading.text(item, key, expected: "one of \(languages.joined(separator: ", "))") else { continue }
                           let code = text.string
                           if !languages.contains(code) {
                               let hint = languages.contains(code.lowercased()) ? "; codes are lower-case" : languages.contains(String(code.prefix(2))) && code.dropFirst(2).first == "-" ? "; write \(code.prefix(2))" : ""
                               loading.error(item.place, key, "expected one of \(languages.joined(separator: ", ")), found \(text.shown)\(hint)")
                           } else if !prompt.languages.contains(code) {
                               prompt.languages.append(code)
                           }
                       }
                   },
                   write: { $0.languages.isEmpty ? nil : .array($0.languages.map { .text($0) }) }),
            tokens(),
        ])
        return Option(key: "prompt", type: "map", doc: "Conditions on the prompt; all that is given has to hold.", children: { table.rows(PromptMatch()) },
                      read: { match, node, key, loading in
                          var prompt = PromptMatch()
                          table.read(node, into: &prompt, at: key, loading)
                          notEmpty(node, key, loading)
                          match.prompt = prompt
                      },
                      write: { $0.prompt.map(table.write) })
    }

    private static func words(_ key: String, _ field: WritableKeyPath<PromptMatch, [String]>, _ doc: String) -> Option<PromptMatch> {
        Option(key: key, type: "a text or list of texts", doc: doc,
               read: { prompt, node, key, loading in
                   for item in Names.oneOrMany(node, key, Limit.wordsMax, loading) ?? [] {
                       guard let text = loading.text(item, key, expected: "a text") else { continue }
                       if !(1...Limit.wordBytesMax).contains(text.string.utf8.count) {
                           loading.error(item.place, key, "expected 1…\(Limit.wordBytesMax) bytes, found \(text.string.utf8.count)")
                       } else if !prompt[keyPath: field].contains(text.string) {
                           prompt[keyPath: field].append(text.string)
                       }
                   }
               },
               write: { $0[keyPath: field].isEmpty ? nil : .array($0[keyPath: field].map { .text($0) }) })
    }

    private static func tokens() -> Option<PromptMatch> {
        let bounds: [(key: String, make: (Double) -> BodyTest)] = [("gt", { .gt($0) }), ("gte", { .gte($0) }), ("lt", { .lt($0) }), ("lte", { .lte($0) })]
        let table = Table<[BodyTest]>(options: bounds.map { bound in
            Option(key: bound.key, type: "0…\(Limit.tokensMax)", doc: "", read: { tests, node, key, loading in
                if let value = loading.integer(node, key, 0...Limit.tokensMax) { tests.append(bound.make(Double(value))) }
            }, write: { _ in nil })
        })
        return Option(key: "max_tokens_estimate", type: "map of gt, gte, lt, lte → tokens", doc: "On the estimate of the prompt's tokens.",
                      read: { prompt, node, key, loading in
                          let errors = loading.errorCount
                          table.read(node, into: &prompt.tokens, at: key, loading)
                          notEmpty(node, key, loading)
                          let range = NumberRange(prompt.tokens)
                          if errors == loading.errorCount, range.isEmpty { loading.error(node.place, key, "never holds: no number is in these bounds") }
                      },
                      write: { prompt in
                          var members: [String: Canonical] = [:]
                          for test in prompt.tokens {
                              switch test {
                              case .gt(let bound): members["gt"] = .decimal(bound)
                              case .gte(let bound): members["gte"] = .decimal(bound)
                              case .lt(let bound): members["lt"] = .decimal(bound)
                              case .lte(let bound): members["lte"] = .decimal(bound)
                              default: continue
                              }
                          }
                          return members.isEmpty ? nil : .object(members)
                      })
    }

    /// Those that are guessed; a condition on another would never hold.
    private static let languages = LanguageGuess.codes.map { "\($0)" }
}

/// What several bounds on one number leave of it.
struct NumberRange {
    var low = -Double.infinity, high = Double.infinity
    var isLowOpen = false, isHighOpen = false

    init(_ tests: [BodyTest]) {
        for test in tests {
            switch test {
            case .gt(let bound): raise(bound, isOpen: true)
            case .gte(let bound): raise(bound, isOpen: false)
            case .lt(let bound): lower(bound, isOpen: true)
            case .lte(let bound): lower(bound, isOpen: false)
            default: continue
            }
        }
    }

    private mutating func raise(_ bound: Double, isOpen: Bool) { if bound > low || (bound == low && isOpen) { (low, isLowOpen) = (bound, isOpen) } }
    private mutating func lower(_ bound: Double, isOpen: Bool) { if bound < high || (bound == high && isOpen) { (high, isHighOpen) = (bound, isOpen) } }

    var isBounded: Bool { low > -.infinity || high < .infinity }
    var isEmpty: Bool { low > high || (low == high && (isLowOpen || isHighOpen)) }
    func contains(_ number: Double) -> Bool { (isLowOpen ? number > low : number >= low) && (isHighOpen ? number < high : number <= high) }
    /// Every number of the other is one of this.
    func holds(_ other: NumberRange) -> Bool {
        (other.low > low || (other.low == low && (!isLowOpen || other.isLowOpen))) && (other.high < high || (other.high == high && (!isHighOpen || other.isHighOpen)))
    }
}
