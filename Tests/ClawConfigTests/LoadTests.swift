import Testing
@testable import ClawConfig

func load(_ text: String, _ environment: [String: String] = [:]) -> ConfigurationLoad {
    loadConfiguration(text: text, name: "openclaw.yaml", environment: environment)
}

@Test func smallestUsefulFileHasOneUpstream() throws {
    let result = load("upstreams:\n  a: {type: openai, api_key: sk-0123456789}\n")
    #expect(result.issues.map(\.description) == [])
    let configuration = try #require(result.configuration)
    print(configuration.maskedJSON)
    print(configuration.version)
    #expect(configuration.routes.isEmpty)
}
