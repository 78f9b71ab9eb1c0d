import Foundation
import Testing
@testable import ClawConfig

@Suite struct ExampleTests {
    static let environment = ["OPENAI_API_KEY": "sk-example-0123456789"]

    @Test(arguments: ["minimal.yaml", "routing.yaml", "dialects.yaml", "openclaw.yaml"]) func examplesLoadWithoutAnyIssue(_ name: String) throws {
        let path = Workspace.package.appendingPathComponent("examples/\(name)").path
        let load = loadConfiguration(path: path, environment: Self.environment)
        #expect(load.issues.map(\.description) == [])
        let configuration = try #require(load.configuration)
        #expect(configuration.version.count == 64)
        #expect(!configuration.maskedJSON.contains("sk-example"))
    }
}
