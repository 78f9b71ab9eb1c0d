// The kinds of options there are, each made from a key, its bounds and the field it lands in.

extension Option {
    static func flag(_ key: String, _ field: WritableKeyPath<Target, Bool>, _ doc: String) -> Option {
        Option(key: key, type: "true or false", doc: doc,
               read: { target, node, key, loading in if let value = loading.flag(node, key) { target[keyPath: field] = value } },
               write: { .flag($0[keyPath: field]) })
    }

    static func flag(_ key: String, _ field: WritableKeyPath<Target, Bool?>, _ doc: String) -> Option {
        Option(key: key, type: "true or false", doc: doc,
               read: { target, node, key, loading in if let value = loading.flag(node, key) { target[keyPath: field] = value } },
               write: { $0[keyPath: field].map { .flag($0) } })
    }

    /// A whole number; the field holds it multiplied by `unit` (1024 for `_kb`).
    static func integer<Number: FixedWidthInteger>(
        _ key: String, _ range: ClosedRange<Int>, _ field: WritableKeyPath<Target, Number>, unit: Int = 1, _ doc: String
    ) -> Option {
        Option(key: key, type: "\(range.lowerBound)…\(range.upperBound)", doc: doc,
               read: { target, node, key, loading in
                   if let value = loading.integer(node, key, range) { target[keyPath: field] = Number(value * unit) }
               },
               write: { .integer(Int($0[keyPath: field]) / unit) })
    }

    static func decimal(_ key: String, _ range: ClosedRange<Double>, _ field: WritableKeyPath<Target, Double>, _ doc: String) -> Option {
        Option(key: key, type: "\(Canonical.number(range.lowerBound))…\(Canonical.number(range.upperBound))", doc: doc,
               read: { target, node, key, loading in if let value = loading.decimal(node, key, range) { target[keyPath: field] = value } },
               write: { .decimal($0[keyPath: field]) })
    }

    static func seconds(_ key: String, _ range: ClosedRange<Double>, _ field: WritableKeyPath<Target, UInt64>, _ doc: String) -> Option {
        Option(key: key, type: "seconds \(Canonical.number(range.lowerBound))…\(Canonical.number(range.upperBound))", doc: doc,
               read: { target, node, key, loading in if let value = loading.seconds(node, key, range) { target[keyPath: field] = value } },
               write: { Canonical.seconds($0[keyPath: field]) })
    }

    static func seconds(_ key: String, _ range: ClosedRange<Double>, _ field: WritableKeyPath<Target, UInt64?>, _ doc: String) -> Option {
        Option(key: key, type: "seconds \(Canonical.number(range.lowerBound))…\(Canonical.number(range.upperBound))", doc: doc,
               read: { target, node, key, loading in if let value = loading.seconds(node, key, range) { target[keyPath: field] = value } },
               write: { $0[keyPath: field].map(Canonical.seconds) })
    }

    /// A whole number of milliseconds; the field holds nanoseconds.
    static func milliseconds(_ key: String, _ range: ClosedRange<Int>, _ field: WritableKeyPath<Target, UInt64>, _ doc: String) -> Option {
        Option(key: key, type: "milliseconds \(range.lowerBound)…\(range.upperBound)", doc: doc,
               read: { target, node, key, loading in if let value = loading.integer(node, key, range) { target[keyPath: field] = UInt64(value) * 1_000_000 } },
               write: { Canonical.milliseconds($0[keyPath: field]) })
    }

    static func milliseconds(_ key: String, _ range: ClosedRange<Int>, _ field: WritableKeyPath<Target, UInt64?>, _ doc: String) -> Option {
        Option(key: key, type: "milliseconds \(range.lowerBound)…\(range.upperBound)", doc: doc,
               read: { target, node, key, loading in if let value = loading.integer(node, key, range) { target[keyPath: field] = UInt64(value) * 1_000_000 } },
               write: { $0[keyPath: field].map(Canonical.milliseconds) })
    }

    /// Text with a check that returns what is wrong ("expected an absolute path"), nil if nothing is.
    static func text(
        _ key: String, type: String, _ field: WritableKeyPath<Target, String>, _ doc: String, check: @escaping (String) -> String? = { _ in nil }
    ) -> Option {
        Option(key: key, type: type, doc: doc,
               read: { target, node, key, loading in
                   if let value = checkedText(node, key, loading, type, check) { target[keyPath: field] = value }
               },
               write: { .text($0[keyPath: field]) })
    }

    static func text(
        _ key: String, type: String, _ field: WritableKeyPath<Target, String?>, _ doc: String, check: @escaping (String) -> String? = { _ in nil }
    ) -> Option {
        Option(key: key, type: type, doc: doc,
               read: { target, node, key, loading in
                   if let value = checkedText(node, key, loading, type, check) { target[keyPath: field] = value }
               },
               write: { $0[keyPath: field].map { .text($0) } })
    }

    /// One of the cases of an enum. `later` are values of the contract that this version does not have.
    static func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: String, _ field: WritableKeyPath<Target, Choice>, later: [String] = [], _ doc: String
    ) -> Option where Choice.RawValue == String {
        let names = Choice.allCases.map(\.rawValue)
        return Option(key: key, type: "one of \(names.joined(separator: ", "))", doc: doc,
                      read: { target, node, key, loading in
                          if let value = chosen(node, key, loading, Choice.self, later: later) { target[keyPath: field] = value }
                      },
                      write: { .text($0[keyPath: field].rawValue) })
    }

    static func secret(_ key: String, _ field: WritableKeyPath<Target, Secret?>, _ doc: String) -> Option {
        Option(key: key, type: "secret", doc: doc,
               read: { target, node, key, loading in if let value = secretValue(node, key, loading) { target[keyPath: field] = value } },
               write: { $0[keyPath: field].map { .secret($0) } })
    }

    static func section<Part>(_ key: String, _ field: WritableKeyPath<Target, Part>, _ table: Table<Part>, _ prototype: Part, _ doc: String) -> Option {
        Option(key: key, type: "map", doc: doc, children: { table.rows(prototype) },
               read: { target, node, key, loading in table.read(node, into: &target[keyPath: field], at: key, loading) },
               write: { table.write($0[keyPath: field]) })
    }

    /// A key of the contract that a later version brings.
    static func later(_ key: String, _ doc: String) -> Option {
        Option(key: key, type: "", doc: doc, isLater: true, read: { _, _, _, _ in }, write: { _ in nil })
    }

    /// A default that is no value of the prototype.
    func defaulting(_ text: String) -> Option {
        var copy = self
        copy.defaultText = text
        return copy
    }

    /// Left out of what is shown where it has no effect.
    func shown(where isShown: @escaping (Target) -> Bool) -> Option {
        let write = self.write
        return Option(key: key, type: type, doc: doc, isLater: isLater, isRequired: isRequired, defaultText: defaultText, children: children, read: read,
                      write: { isShown($0) ? write($0) : nil })
    }

    func required() -> Option {
        var copy = self
        copy.isRequired = true
        return copy
    }
}

func checkedText(_ node: DocumentNode, _ key: String, _ loading: Loading, _ type: String, _ check: (String) -> String?) -> String? {
    guard let text = loading.text(node, key, expected: type) else { return nil }
    guard let wrong = check(text.string) else { return text.string }
    loading.error(node.place, key, "\(wrong), found \(text.shown)")
    return nil
}

func chosen<Choice: RawRepresentable & CaseIterable>(
    _ node: DocumentNode, _ key: String, _ loading: Loading, _ type: Choice.Type, later: [String]
) -> Choice? where Choice.RawValue == String {
    let names = Choice.allCases.map(\.rawValue), list = names.joined(separator: ", ")
    guard let text = loading.text(node, key, expected: "one of \(list)") else { return nil }
    if let choice = Choice(rawValue: text.string) { return choice }
    if later.contains(text.string) {
        loading.error(node.place, key, "`\(text.string)` is not available in this version; available: \(list)")
    } else {
        let hint = text.names.isEmpty ? Suggestion.hint(for: text.string, among: names + later) : ""
        loading.error(node.place, key, "expected one of \(list), found \(text.shown)\(hint)")
    }
    return nil
}

/// A secret that can stand in a header line. No message repeats it.
func secretValue(_ node: DocumentNode, _ key: String, _ loading: Loading) -> Secret? {
    guard let text = loading.text(node, key, expected: "a secret") else { return nil }
    let bytes = text.string.utf8
    let origin = text.names.isEmpty ? "" : " (the value of \(text.names.joined(separator: " and ")))"
    if bytes.isEmpty {
        loading.error(node.place, key, "expected a secret, found an empty text\(origin)")
    } else if bytes.count > 16384 {
        loading.error(node.place, key, "expected at most 16384 bytes, found \(bytes.count)\(origin)")
    } else if let index = bytes.firstIndex(where: { !(0x21...0x7E).contains($0) }) {
        let offset = bytes.distance(from: bytes.startIndex, to: index)
        loading.error(node.place, key, "expected visible ASCII without spaces, found something else at byte \(offset)\(origin)")
    } else {
        return Secret(text.string)
    }
    return nil
}
