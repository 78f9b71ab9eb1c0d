import Foundation
import Glibc
import Testing
@testable import ClawConfig

/// The YAML test suite against our reader. We read less than YAML 1.2 on purpose (no tags, no complex keys, one document), so the
/// differences are listed in Golden/yaml-differences.txt; the list may not grow. OPENCLAW_UPDATE_GOLDEN=1 writes it anew.
@Suite(.enabled(if: Workspace.shared != nil, "shared test data is not there; set OPENCLAW_SHARED")) struct YAMLSuiteTests {
    struct Case {
        var id: String
        var text: String
        var mustFail: Bool
        var json: String?
        var tags: [String]
    }

    static let differences = Workspace.package.appendingPathComponent("Tests/ClawConfigTests/Golden/yaml-differences.txt")

    static func cases() throws -> [Case] {
        let folder = try Workspace.scratch()
        defer { try? FileManager.default.removeItem(at: folder) }
        let archive = try #require(Workspace.shared).appendingPathComponent("suites/yaml/yaml-test-suite-src.tar.gz")
        try #require(unpack(archive.path, into: folder.path))
        let source = folder.appendingPathComponent("src")
        var cases: [Case] = []
        for name in try FileManager.default.contentsOfDirectory(atPath: source.path).sorted() {
            let bytes = try Array(Data(contentsOf: source.appendingPathComponent(name)))
            let root = try bytes.withUnsafeBytes { try DocumentReader.read($0).root }
            var inherited: [String: DocumentNode] = [:]
            for (index, item) in (root?.items ?? []).enumerated() {
                inherited["fail"] = nil
                for member in item.members ?? [] { inherited[member.key] = member.value }
                func text(_ key: String) -> String? { if case .scalar(let text, _)? = inherited[key]?.value { text } else { nil } }
                guard text("skip") == nil, let yaml = text("yaml") else { continue }
                cases.append(Case(id: "\(name.dropLast(5))#\(index)", text: original(yaml), mustFail: text("fail") == "true",
                                  json: text("json").flatMap { $0.isEmpty ? nil : $0 }, tags: (text("tags") ?? "").split(separator: " ").map(String.init)))
            }
        }
        return cases
    }

    /// The suite's visible stand-ins turned back into the characters they stand for.
    static func original(_ text: String) -> String {
        var text = text.replacingOccurrences(of: "␣", with: " ").replacingOccurrences(of: "←", with: "\r").replacingOccurrences(of: "⇔", with: "\u{FEFF}")
        text = text.replacingOccurrences(of: "—*»", with: "\t", options: .regularExpression)
        text = text.replacingOccurrences(of: "↵", with: "")
        return text.hasSuffix("∎\n") ? String(text.dropLast(2)) : text
    }

    static func read(_ text: String) throws -> DocumentNode? {
        let (root, problems) = try Array(text.utf8).withUnsafeBytes { try DocumentReader.read($0) }
        if let problem = problems.first { throw problem }
        return root
    }

    /// nil when equal, scalars compared as text because this reader leaves types to the options.
    static func isEqual(_ node: DocumentNode?, _ json: Any) -> Bool {
        guard let node else { return json is NSNull }
        switch node.value {
        case .scalar(let text, let isPlain):
            if json is NSNull { return isPlain && (node.isNull || ["Null", "NULL"].contains(text)) }
            if let wanted = json as? String { return wanted == text }
            guard isPlain, let number = json as? NSNumber else { return false }
            if text == "true" || text == "false" { return number.boolValue == (text == "true") }
            return Double(text).map { $0 == number.doubleValue } ?? (text.hasPrefix("0x") && Int(text.dropFirst(2), radix: 16) == number.intValue)
        case .list(let items):
            guard let wanted = json as? [Any], wanted.count == items.count else { return false }
            return zip(items, wanted).allSatisfy { isEqual($0, $1) }
        case .map(let members):
            guard let wanted = json as? [String: Any], wanted.count == members.count else { return false }
            return members.allSatisfy { member in wanted[member.key].map { isEqual(member.value, $0) } ?? false }
        }
    }

    /// Where libyaml (YAML 1.1) takes a text that 1.2 refuses, or reads another value: why that may stay. None is a shape our examples use.
    static let reasons = [
        "652Z#0": "a key that begins with ? is read as the explicit-key mark", "HM87#1": "an item that begins with ? is read as the explicit-key mark",
        "9C9N#0": "flow list continued at the margin is harmless", "QB6E#0": "quoted text continued at the margin is harmless",
        "9JBA#0": "comment without a space before it", "CVW2#0": "comment without a space before it", "SU5Z#0": "comment without a space before it",
        "X4QW#0": "comment without a space before it", "DK95#1": "tab as indentation inside quotes", "Y79Y#3": "tab as indentation",
        "G5U8#0": "a lone dash in a flow list is text", "YJV2#0": "a lone dash in a flow list is text", "JEF9#2": "block text of one line of spaces without an end",
        "L24T#1": "block text that ends in a line of spaces without an end", "MUS6#0": "a directive with a comment stuck to it",
        "S98Z#0": "block text that begins with lines of spaces", "Y2GN#0": "an anchor's name ends at a colon",
    ]

    static func difference(_ one: Case) -> String? {
        let node: DocumentNode?
        do { node = try read(one.text) } catch {
            return one.mustFail ? nil : "refused: \((error as? DocumentError)?.message ?? "\(error)")"
        }
        if one.mustFail { return "accepted: \(reasons[one.id] ?? "no reason given")" }
        guard let json = one.json, let wanted = try? JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed) else { return nil }
        return isEqual(node, wanted) ? nil : "another value: \(reasons[one.id] ?? "no reason given")"
    }

    @Test func CF_06_differencesFromTheSuiteAreTheListedOnes() throws {
        let cases = try Self.cases()
        #expect(cases.count > 400)
        let found = cases.compactMap { one in Self.difference(one).map { "\(one.id) \($0) [\(one.tags.joined(separator: " "))]" } }
        if ProcessInfo.processInfo.environment["OPENCLAW_UPDATE_GOLDEN"] != nil {
            try (found.joined(separator: "\n") + "\n").write(to: Self.differences, atomically: true, encoding: .utf8)
        }
        let listed = try String(contentsOf: Self.differences, encoding: .utf8).split(separator: "\n").map(String.init)
        #expect(found == listed)
        #expect(!listed.contains { $0.contains("no reason given") })
    }

    @Test func CF_06_noTextOfTheSuiteWholeOrCutTrapsOrHangs() throws {
        for one in try Self.cases() {
            let bytes = Array(one.text.utf8)
            for end in 0...bytes.count { bytes[..<end].withUnsafeBytes { _ = try? DocumentReader.read($0) } }
            _ = load(one.text)
        }
    }
}

/// Unpacks an archive with tar. Not with Foundation's Process: on Linux two of them in one test process can wait for each other's children
/// for ever.
func unpack(_ archive: String, into folder: String) -> Bool {
    var pid: pid_t = 0
    let words = ["tar", "-xzf", archive, "-C", folder]
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    guard posix_spawnp(&pid, "tar", nil, nil, &arguments, environ) == 0 else { return false }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 { guard errno == EINTR else { return false } }
    return status == 0
}
