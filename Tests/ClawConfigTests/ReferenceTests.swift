import Testing
@testable import ClawConfig

@Suite struct ReferenceTests {
    @Test func referenceHasEveryOptionWithItsDefault() {
        let reference = configurationReference()
        for row in FileTable.make().rows(Configuration()) { #expect(reference.contains("`\(row.key)`") || !row.key.contains("."), "\(row.key)") }
        for line in ["| `server.listen_port` | 0…65535 | 8080 | Port for clients; 0 takes a free one. |", "| `server.workers` | auto or 1…1024 | auto |",
                     "| `upstreams.NAME.type` | one of openai, anthropic, gemini, bedrock, azure, cohere, mistral, ollama, generic, http | required |", "| `upstreams.NAME.api_keys[].weight` | 1…1000000 | 1 |",
                     "| `routes[].retries.max_attempts` | 1…6 | 3 |", "- `rate_limits`: ", "- `routes[].cache`: ", "| `upstreams.NAME.breaker.failure_ratio` | 0.01…1 | 0.5 |", "| `server.admin.token` | secret |  |"] {
            #expect(reference.contains(line), "\(line)")
        }
    }

    @Test func everyOptionHasADescriptionThatEndsASentence() {
        for row in FileTable.make().rows(Configuration()) { #expect(row.doc.hasSuffix("."), "\(row.key)") }
    }

    @Test(arguments: [("listen_prot", "listen_port"), ("ListenPort", "listen_port"), ("timeout", "timeout_seconds"), ("wieght", "weight"), ("x", nil), ("qqqq", nil), ("", nil)])
    func nearestNameIsSuggested(_ row: (wrong: String, right: String?)) {
        #expect(Suggestion.nearest(to: row.wrong, among: ["listen_address", "listen_port", "timeout_seconds", "weight", "workers"]) == row.right)
    }

    @Test func longNamesAreNotCompared() {
        #expect(Suggestion.nearest(to: String(repeating: "a", count: 1_000_000), among: ["aaaa"]) == nil)
    }
}
