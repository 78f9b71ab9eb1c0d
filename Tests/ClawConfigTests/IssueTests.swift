import Foundation
import Testing
@testable import ClawConfig

/// Golden/issues.txt: `=== name`, a configuration, `--- `, everything that is wrong with it. OPENCLAW_UPDATE_GOLDEN=1 writes it anew.
@Suite struct IssueTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var text: String
        var issues: [String]
        var testDescription: String { name }
    }

    static let file = Workspace.package.appendingPathComponent("Tests/ClawConfigTests/Golden/issues.txt")
    static let environment = ["SECRET": "canary-4711-secret", "A": "a"]

    static let cases: [Case] = {
        let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
        return ("\n" + text).components(separatedBy: "\n=== ").dropFirst().compactMap { part in
            let halves = ("\n" + part.drop { $0 != "\n" }.dropFirst()).components(separatedBy: "\n--- ")
            guard halves.count == 2 else { return nil }
            let yaml = halves[0].dropFirst()
            return Case(name: String(part.prefix { $0 != "\n" }), text: yaml.isEmpty ? "" : yaml + "\n",
                        issues: halves[1].split(separator: "\n").map(String.init))
        }
    }()

    static func lines(_ text: String) -> [String] {
        loadConfiguration(text: text, name: "openclaw.yaml", environment: environment).issues.map { ($0.severity == .warning ? "warning " : "") + $0.description }
    }

    @Test(arguments: cases) func CF_01_issuesAreAllNamedWithPlaceKeyAndRemedy(_ one: Case) {
        #expect(Self.lines(one.text) == one.issues)
    }

    @Test func goldenFileIsReadWhole() throws {
        #expect(Self.cases.count > 60)
        if ProcessInfo.processInfo.environment["OPENCLAW_UPDATE_GOLDEN"] != nil {
            let text = Self.cases.map { "=== \($0.name)\n\($0.text)--- \n" + Self.lines($0.text).map { $0 + "\n" }.joined() }.joined()
            try text.write(to: Self.file, atomically: true, encoding: .utf8)
        }
    }

    @Test func CF_10_noIssueRepeatsASecret() {
        for one in Self.cases {
            let text = Self.lines(one.text).joined(separator: "\n")
            for secret in ["canary-4711", "hunter22", "sk-secret", "password@host", "has space", "sk-not-a-map", "key=secret"] {
                #expect(!text.contains(secret), "\(one.name)")
            }
        }
    }
}
