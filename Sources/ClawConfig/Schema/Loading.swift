// One run of the loader over one file: what is wrong with it so far, where each value came from, and how scalars become numbers, truth
// values and times. Readers of options report here and go on, so that all errors of a file come out at once.

final class Loading {
    static let issuesMax = 200
    /// Warnings never crowd out errors.
    static let warningsMax = 100

    /// True exactly when an issue was left out; then there is no need to look for more.
    private(set) var isFull = false

    let file: String
    let environment: [String: String]
    private(set) var issues: [ConfigurationIssue] = []
    private(set) var errorCount = 0
    private var warningCount = 0
    /// Dotted key → "openclaw.yaml:12" or "openclaw.yaml:12 ${NAME}". What is not in here is a default.
    private(set) var sources: [String: String] = [:]
    /// Keys whose value holds something from the environment or a file.
    private(set) var substituted: Set<String> = []
    /// Every known key that has one place, dotted, for suggestions; made for the first unknown key.
    private(set) lazy var knownKeys = FileTable.make().rows(Configuration()).filter { !$0.isLater && !$0.key.contains("[") && !$0.key.contains("NAME") }.map(\.key)
    /// Upstream name → index, filled before routes are read.
    var upstreamIndex: [String: Int] = [:]
    /// Names of upstreams that were defined but are wrong; routes may refer to them without a second error.
    var upstreamNames: Set<String> = []

    /// Options of server that `gateway.bind` gave.
    var bindKeys: Set<String> = []

    init(file: String, environment: [String: String]) {
        self.file = file
        self.environment = environment
    }

    func error(_ place: Place, _ key: String, _ message: String) { add(.error, place, key, message) }
    func warn(_ place: Place, _ key: String, _ message: String) { add(.warning, place, key, message) }
    var hasErrors: Bool { errorCount > 0 }

    private func add(_ severity: ConfigurationIssue.Severity, _ place: Place, _ key: String, _ message: String) {
        if severity == .error { errorCount += 1 }
        guard !isFull else { return }
        if severity == .warning {
            warningCount += 1
            guard warningCount <= Self.warningsMax else {
                if warningCount == Self.warningsMax + 1 {
                    issues.append(.init(severity: .warning, file: file, line: 0, column: 0, key: "", message: "more than \(Self.warningsMax) warnings; the rest is not shown"))
                }
                return
            }
        }
        if issues.count == Self.issuesMax {
            isFull = true
            issues.append(.init(file: file, line: 0, column: 0, key: "", message: "more than \(Self.issuesMax) issues; the rest is not looked at"))
            return
        }
        issues.append(.init(severity: severity, file: file, line: place.line, column: place.column, key: Self.printable(key, 200), message: Self.printable(message, 1000)))
    }

    /// Text of a file as it may stand on one line of a terminal or log: nothing that moves the cursor, forges a line or turns its direction.
    static func printable(_ text: String, _ scalarsMax: Int) -> String {
        var output = "", count = 0
        for scalar in text.unicodeScalars {
            count += 1
            if count > scalarsMax { return output + "…" }
            switch scalar.value {
            case 0..<0x20, 0x7F..<0xA0, 0x2028...0x202E, 0x2066...0x2069: output += "?"
            default: output.unicodeScalars.append(scalar)
            }
        }
        return output
    }

    // MARK: Scalars

    struct Text {
        var string: String
        var isPlain: Bool
        /// References replaced in it.
        var names: [String]
        /// For messages: never the value of a reference, which may be a secret in the wrong place, nor the credentials of a URL.
        var shown: String {
            guard names.isEmpty else { return "the value of \(names.joined(separator: " and "))" }
            let shown = Loading.printable(masked, 60)
            return isPlain ? shown : "\"\(shown)\""
        }

        private var masked: String {
            guard let start = string.firstRange(of: "://"), let end = string.lastIndex(of: "@"), start.upperBound <= end else { return string }
            return string[..<start.upperBound] + "***" + string[end...]
        }
    }

    /// The text of a scalar with its references replaced, or nil after an error was noted. `expected` completes "expected …, found a list".
    func text(_ node: DocumentNode, _ key: String, expected: String) -> Text? {
        guard case .scalar(let raw, let isPlain) = node.value, !node.isNull else {
            error(node.place, key, "expected \(expected), found \(node.kind)")
            return nil
        }
        do throws(Substitution.Refusal) {
            let result = try Substitution.apply(to: raw, environment: environment)
            note(node, key, result.names)
            return Text(string: result.text, isPlain: isPlain, names: result.names)
        } catch {
            self.error(node.place, key, error.message)
            return nil
        }
    }

    /// Records where the value of `key` was written.
    func note(_ node: DocumentNode, _ key: String, _ names: [String] = []) {
        sources[key] = "\(file):\(node.place.line)" + (names.isEmpty ? "" : " " + names.joined(separator: " "))
        if !names.isEmpty { substituted.insert(key) }
    }

    func flag(_ node: DocumentNode, _ key: String) -> Bool? {
        guard let text = text(node, key, expected: "true or false") else { return nil }
        if text.isPlain || !text.names.isEmpty {
            if text.string == "true" { return true }
            if text.string == "false" { return false }
        }
        // YAML 1.1 took these for truth values, 1.2 takes them for text; a file must not depend on which it is.
        let hint = Scalars.isAncientTruth(text.string) || text.string == "true" || text.string == "false" ? "; write true or false without quotes" : ""
        error(node.place, key, "expected true or false, found \(text.shown)\(hint)")
        return nil
    }

    func integer(_ node: DocumentNode, _ key: String, _ range: ClosedRange<Int>) -> Int? {
        let expected = "\(range.lowerBound)…\(range.upperBound)"
        guard let text = text(node, key, expected: expected) else { return nil }
        if let value = Scalars.integer(text.string), range.contains(value) { return value }
        error(node.place, key, "expected \(expected), found \(text.shown)\(Scalars.numberHint(text.string))")
        return nil
    }

    func decimal(_ node: DocumentNode, _ key: String, _ range: ClosedRange<Double>) -> Double? {
        let expected = "\(Canonical.number(range.lowerBound))…\(Canonical.number(range.upperBound))"
        guard let text = text(node, key, expected: expected) else { return nil }
        let value = Scalars.decimal(text.string)
        if let value, range.contains(value) { return value }
        error(node.place, key, "expected \(expected), found \(text.shown)\(value == nil ? Scalars.numberHint(text.string) : "")")
        return nil
    }

    /// Seconds, with a fraction if need be, as nanoseconds.
    func seconds(_ node: DocumentNode, _ key: String, _ range: ClosedRange<Double>) -> UInt64? {
        guard let value = decimal(node, key, range) else { return nil }
        return UInt64((value * 1e9).rounded())
    }
}

/// Scalars of a configuration file. Numbers are plain decimal: no octal, hexadecimal, underscores, exponents or sexagesimals, which
/// different YAML readers read differently.
enum Scalars {
    static func integer(_ text: String) -> Int? { isDecimal(text, fraction: false) ? Int(text) : nil }

    static func decimal(_ text: String) -> Double? { isDecimal(text, fraction: true) ? Double(text) : nil }

    static func isAncientTruth(_ text: String) -> Bool { ["yes", "no", "on", "off", "y", "n"].contains(text.lowercased()) || (["true", "false"].contains(text.lowercased()) && text != text.lowercased()) }

    static func numberHint(_ text: String) -> String {
        let digits = text.hasPrefix("-") || text.hasPrefix("+") ? text.dropFirst() : Substring(text)
        guard let first = digits.utf8.first, (0x30...0x39).contains(first) else { return "" }
        if isDigits(digits), text.first != "+", digits.count == 1 || first != 0x30 { return "" }
        return isDecimal(text, fraction: true) ? "; expected a whole number" : "; numbers are written in plain decimal"
    }

    private static func isDecimal(_ text: String, fraction: Bool) -> Bool {
        var digits = Substring(text)
        if digits.hasPrefix("-") { digits = digits.dropFirst() }
        let parts = digits.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, isDigits(whole), whole.count <= 18, whole.count == 1 || !whole.hasPrefix("0") else { return false }
        return parts.count == 1 || (fraction && isDigits(parts[1]) && parts[1].count <= 18)
    }

    private static func isDigits(_ text: Substring) -> Bool { !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) } }
}
