import Foundation
import Testing
@testable import ClawConfig

@Suite struct ExampleTests {
    static let environment = ["OPENAI_API_KEY": "sk-example-0123456789"]

    @Test(arguments: ["minimal.yaml", "routing.yaml", "dialects.yaml", "openclaw.yaml", "resilience.yaml"]) func examplesLoadWithoutAnyIssue(_ name: String) throws {
        let path = Workspace.package.appendingPathComponent("examples/\(name)").path
        let load = loadConfiguration(path: path, environment: Self.environment)
        #expect(load.issues.map(\.description) == [])
        let configuration = try #require(load.configuration)
        #expect(configuration.version.count == 64)
        #expect(!configuration.maskedJSON.contains("sk-example"))
    }

    /// Each key of the reference stands somewhere in the tour, be it in a comment.
    @Test func theTourHasEveryOption() throws {
        let text = try String(contentsOf: Workspace.package.appendingPathComponent("examples/openclaw.yaml"), encoding: .utf8)
        let missing = Set(FileTable.make().rows(Configuration()).filter { !$0.isLater }.compactMap { row -> String? in
            let key = String(row.key.split(separator: ".").last ?? "").replacing("[]", with: "")
            return (" " + text).contains(" \(key):") || text.contains("\n\(key):") || key == "NAME" ? nil : row.key
        })
        #expect(missing.sorted() == [])
    }
}
