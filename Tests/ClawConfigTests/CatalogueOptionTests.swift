import ClawDialect
import Foundation
import Testing
@testable import ClawConfig

@Suite struct CatalogueOptionTests {
    static let one = "upstreams:\n  a:\n    type: generic\n    base_url: 'http://127.0.0.1:1/v1'\n"

    func loaded(_ text: String, _ environment: [String: String] = [:]) throws -> Configuration {
        let result = load(text, environment)
        #expect(result.issues.map(\.description) == [])
        return try #require(result.configuration)
    }
    func price(_ text: String) -> Price? { Price(decimal: text.utf8) }

    @Test func pricesAndSizesLand() throws {
        let upstream = try loaded(Self.one + """
            cost_per_million_input_tokens: 2.50
            cost_per_million_output_tokens: "${OUT}"
            cost_per_million_cached_input_tokens: 0
            models:
              - m1
              - {id: m2, alias: two, max_context_tokens: 128000, max_output_tokens: 16384}
              - {id: m3, cost_per_million_input_tokens: 0.083333, cost_per_million_output_tokens: 1000000, cost_per_million_cached_input_tokens: 0.000001}
        """, ["OUT": "10"]).upstreams[0]
        #expect(upstream.prices == PriceOverride(input: price("2.5"), output: price("10"), cachedInput: price("0")))
        #expect(upstream.models.map(\.contextTokensMax) == [nil, 128_000, nil] && upstream.models.map(\.outputTokensMax) == [nil, 16_384, nil])
        #expect(upstream.models[0].prices.isEmpty && upstream.models[1].prices.isEmpty)
        #expect(upstream.models[2].prices == PriceOverride(input: price("0.083333"), output: price("1000000"), cachedInput: price("0.000001")))
    }

    @Test func nothingSaidIsNothingOverridden() throws {
        let configuration = try loaded(Self.one + "    models: [m]\n")
        #expect(configuration.upstreams[0].prices.isEmpty && configuration.upstreams[0].models[0].isBare && configuration.catalogue.path == nil)
        #expect(configuration.catalogue.models.model(provider: "openai", id: "gpt-4o") != nil)
    }

    @Test func aModelsOwnPriceGoesBeforeItsUpstreamsAndThatBeforeTheCatalogues() throws {
        let configuration = try loaded("""
        upstreams:
          a:
            type: openai
            api_key: sk-0123456789
            cost_per_million_output_tokens: 9
            models: [gpt-4o, {id: gpt-4o-mini, cost_per_million_input_tokens: 0.1}]
        """)
        let upstream = configuration.upstreams[0]
        func input(_ tokens: Int64, _ cached: Int64, _ output: Int64) -> Usage {
            var usage = Usage()
            usage.setInput(sum: tokens + cached, cacheRead: cached)
            usage.setOutput(sum: output)
            return usage
        }
        let costs = upstream.models.map { upstream.prices(of: $0, provider: "openai", in: configuration.catalogue.models).cost(of: input(1000, 1000, 100)) }
        // 1000 × 2.5 + 1000 × 1.25 + 100 × 9; 1000 × 0.1 + 1000 × 0.05 (half, as in the list: 0.15 and 0.075) + 100 × 9.
        #expect(costs == [4_650_000, 1_050_000])
        let unlisted = Model(id: "unheard-of", alias: "unheard-of")
        #expect(upstream.prices(of: unlisted, provider: "openai", in: configuration.catalogue.models).cost(of: input(0, 0, 100)) == 900_000)
        #expect(upstream.prices(of: unlisted, provider: "openai", in: configuration.catalogue.models).cost(of: input(1, 0, 100)) == nil)
    }

    @Test func pricesAreShownAsTheyWereWrittenAndCountForTheVersion() throws {
        let text = Self.one + "    models: [{id: m, cost_per_million_input_tokens: 0.000001, cost_per_million_output_tokens: 0.30}]\n"
        let configuration = try loaded(text)
        #expect(configuration.maskedJSON.contains(#"{"alias":"m","cost_per_million_input_tokens":0.000001,"cost_per_million_output_tokens":0.3,"id":"m"}"#))
        var json = try #require(try JSONSerialization.jsonObject(with: Data(configuration.maskedJSON.utf8)) as? [String: Any])
        json["sources"] = nil
        #expect(try loaded(text.replacing("0.30", with: "0.3")).version == configuration.version)
        #expect(try loaded(text.replacing("0.30", with: "0.300001")).version != configuration.version)
        #expect(try loaded(text.replacing("{id: m,", with: "{id: m, max_context_tokens: 5,")).version != configuration.version)
    }

    // MARK: The file

    func inScratch(_ body: (URL) throws -> Void) throws {
        let folder = try Workspace.scratch()
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.appendingPathComponent("models"))
    }

    @Test func aCatalogueFileIsRead() throws {
        try inScratch { file in
            let text = Self.one + "catalogue: {path: '\(file.path)'}\n"
            try Data("generic\tours\t8192\t\t\t0.5,1\nopenai\tgpt-4o\t1000\n".utf8).write(to: file)
            let first = try loaded(text)
            #expect(first.catalogue.path == file.path && first.catalogue.models.model(provider: "generic", id: "ours")?.contextTokensMax == 8192)
            #expect(first.catalogue.models.model(provider: "openai", id: "gpt-4o")?.contextTokensMax == 1000)
            #expect(first.catalogue.models.model(provider: "openai", id: "gpt-4o-mini")?.contextTokensMax == 128_000)
            #expect(first.maskedJSON.contains("\"catalogue\":{\"path\":\"\(file.path)\"}"))
            // The same configuration with another file is another version.
            let again = try loaded(text)
            #expect(again.version == first.version)
            try Data(#"{"format": "openclaw-model-catalog/1", "models": [{"provider": "generic", "model": "ours", "input_price": 1}]}"#.utf8).write(to: file)
            let second = try loaded(text)
            #expect(second.version != first.version && second.catalogue.models.model(provider: "generic", id: "ours")?.prices.input == price("1"))
            #expect(second.catalogue.models.model(provider: "openai", id: "gpt-4o")?.contextTokensMax == 128_000)
        }
    }

    @Test func aBadCatalogueFileIsAnErrorOfTheConfiguration() throws {
        try inScratch { file in
            let text = Self.one + "catalogue:\n  path: '\(file.path)'\n"
            func verdict(_ contents: String) throws -> [String] {
                try Data(contents.utf8).write(to: file)
                let result = load(text)
                #expect(result.configuration == nil)
                return result.issues.map(\.description)
            }
            let place = "openclaw.yaml:6:9: catalogue.path: \"\(file.path)\": "
            let cases = [
                ("", "holds no model"), ("generic\tours\tmany", "line 1: column 3, context window: expected a whole number up to 2^40, found \"many\""),
                ("{\n\"format\": \"openclaw-model-catalog/1\",\n\"models\": [{\"provider\": \"a\", \"model\": \"b\", \"input_prise\": 1}]}",
                 "line 3: models[0].input_prise: unknown member"),
            ]
            for (contents, problem) in cases {
                let issues = try verdict(contents)
                #expect(issues == [place + problem])
            }
            #expect(truncate(file.path, off_t(Catalogue.bytesMax + 1)) == 0)
            #expect(load(text).issues.map(\.description) == [place + "file too large: 16777217 bytes, limit 16777216"])
        }
    }
}
