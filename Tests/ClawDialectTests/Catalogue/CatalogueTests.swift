import ClawDialect
import ClawWire
import Foundation
import Testing

struct CatalogueTests {
    @Test func theBuiltInCatalogueIsWholeAndFindsEachOfItsModels() {
        let all = Catalogue.builtIn.all
        #expect(all.count == 826)
        for model in all { #expect(Catalogue.builtIn.model(provider: model.provider, id: model.id) == model, "\(model.provider) \(model.id)") }
        #expect(Set(all.map(\.provider)).sorted() == [
            "anthropic", "azure", "bedrock", "cerebras", "cohere", "deepseek", "gemini", "groq", "mistral", "ollama-cloud", "openai", "openrouter",
            "perplexity", "together", "vertex", "vertex-anthropic", "xai",
        ])
        #expect(Catalogue.builtIn.models(of: "deepseek").map(\.id) == ["deepseek-chat", "deepseek-reasoner", "deepseek-v4-flash", "deepseek-v4-pro"])
        #expect(Catalogue.builtIn.models(of: "xai").count == 5 && Catalogue.builtIn.models(of: "anthropic").count == 24)
        #expect(Catalogue.builtIn.models(of: "anthropi").isEmpty && Catalogue.empty.all.isEmpty)
    }

    @Test(.enabled(if: CatalogueSource.isThere)) func everyModelOfTheSourceIsBuiltInWithTheSameFigures() throws {
        let source = CatalogueSource.models()
        #expect(source.count == 826)
        for one in source {
            let provider = try #require(one["provider"] as? String), id = try #require(one["model"] as? String)
            let model = try #require(Catalogue.builtIn.model(provider: provider, id: id), "\(provider) \(id)")
            let capabilities = try #require(one["capabilities"] as? [String: Any])
            let what = Comment(rawValue: "\(provider) \(id)")
            #expect(model.provider == provider && model.id == id)
            #expect(model.contextTokensMax == one["max_context_tokens"] as? Int64 ?? 0, what)
            #expect(model.inputTokensMax == one["max_input_tokens"] as? Int64 ?? 0, what)
            #expect(model.outputTokensMax == one["max_output_tokens"] as? Int64 ?? 0, what)
            #expect(rates(model.prices.base) == figures(one), what)
            let tiers = one["price_tiers"] as? [[String: Any]] ?? []
            #expect(tiers.count == (model.prices.aboveFirst > 0 ? 1 : 0) && model.prices.aboveSecond == 0, what)
            for tier in tiers {
                #expect(model.prices.aboveFirst == tier["above_input_tokens"] as? Int64 && rates(model.prices.first) == figures(tier), what)
            }
            #expect((model.kind == .embedding) == (capabilities["kind"] as? String == "embedding"), what)
            #expect(model.hasTools == capabilities["tools"] as? Bool && model.isReasoning == capabilities["reasoning"] as? Bool, what)
            #expect(model.hasStructuredOutput == capabilities["structured_output"] as? Bool, what)
            #expect(model.takesTemperature == capabilities["temperature"] as? Bool, what)
            #expect(model.takesAttachments == capabilities["attachments"] as? Bool, what)
            #expect(words(model.inputs) == Set(capabilities["input"] as? [String] ?? []) && words(model.outputs) == Set(capabilities["output"] as? [String] ?? []), what)
            #expect(reasoning(model.reasoning) == Set((capabilities["reasoning_options"] as? [[String: Any]] ?? []).map(reasoning)), what)
            #expect(model.embeddingDimensions == one["embedding_dimensions"] as? Int64 ?? 0, what)
            #expect(model.released == one["release_date"] as? String && model.status?.rawValue == one["status"] as? String, what)
        }
    }

    private func rates(_ rates: Prices.Rates) -> [Decimal?] {
        [rates.input, rates.output, rates.cacheRead, rates.cacheWrite, rates.cacheWriteHour, rates.reasoning, rates.audioIn, rates.audioOut]
            .map { $0.flatMap { Decimal(string: $0.description) } }
    }
    private func figures(_ one: [String: Any]) -> [Decimal?] {
        ["input_price", "output_price", "cache_read_price", "cache_write_price", "-", "reasoning_price", "input_audio_price", "output_audio_price"]
            .map { CatalogueSource.decimal(one[$0]) }
    }
    private func words(_ modalities: CatalogueModel.Modalities) -> Set<String> {
        let names: [(CatalogueModel.Modalities, String)] = [(.text, "text"), (.image, "image"), (.pdf, "pdf"), (.video, "video"), (.audio, "audio")]
        return Set(names.filter { modalities.contains($0.0) }.map(\.1))
    }
    private func words(_ efforts: CatalogueModel.Efforts) -> String {
        let names: [(CatalogueModel.Efforts, String)] = [
            (.standard, "default"), (.high, "high"), (.low, "low"), (.max, "max"), (.medium, "medium"), (.minimal, "minimal"), (.none, "none"), (.xhigh, "xhigh"),
        ]
        return names.filter { efforts.contains($0.0) }.map(\.1).joined(separator: "/")
    }
    private func reasoning(_ reasoning: CatalogueModel.Reasoning) -> Set<String> {
        var all = Set<String>()
        if reasoning.hasToggle { all.insert("toggle") }
        if reasoning.efforts != [] { all.insert(words(reasoning.efforts)) }
        if reasoning.hasBudget { all.insert("\(reasoning.budgetMin ?? -1)..\(reasoning.budgetMax ?? -1)") }
        return all
    }
    private func reasoning(_ option: [String: Any]) -> String {
        switch option["type"] as? String {
        case "effort": (option["values"] as? [String] ?? []).sorted().joined(separator: "/")
        case "budget_tokens": "\(option["min"] as? Int ?? -1)..\(option["max"] as? Int ?? -1)"
        case let type: type ?? ""
        }
    }

    @Test(.enabled(if: CatalogueSource.isThere)) func theSourceItselfIsACatalogueFile() throws {
        let held = Held(CatalogueSource.bytes)
        let loaded = try Catalogue.load(held.bytes, onto: .empty)
        #expect(loaded.all == Catalogue.builtIn.all)
    }

    // MARK: Names

    struct Name: Sendable, CustomTestStringConvertible {
        var provider: String, asked: String, found: String?
        init(_ provider: String, _ asked: String, _ found: String?) { (self.provider, self.asked, self.found) = (provider, asked, found) }
        var testDescription: String { "\(provider) \(asked)" }
    }

    @Test(arguments: [
        // The id itself, also where a shorter one is there and dearer or cheaper.
        Name("openai", "gpt-4o", "openai/gpt-4o"), Name("openai", "gpt-4o-2024-08-06", "openai/gpt-4o-2024-08-06"),
        Name("openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        // Dates.
        Name("openai", "gpt-4.1-2025-04-14", "openai/gpt-4.1"), Name("openai", "gpt-5.5-2026-04-23", "openai/gpt-5.5"),
        Name("openai", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"), Name("openai", "o3-latest", "openai/o3"),
        Name("openai", "gpt-4-0613", "openai/gpt-4"), Name("openai", "gpt-4-1106-preview", "openai/gpt-4-turbo"),
        Name("anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5-20250929"),
        Name("anthropic", "claude-sonnet-4-6-20260217", "anthropic/claude-sonnet-4-6"),
        Name("anthropic", "claude-3-5-sonnet-latest", "anthropic/claude-3-5-sonnet-20241022"),
        Name("anthropic", "claude-3-haiku", "anthropic/claude-3-haiku-20240307"),
        Name("anthropic", "claude-3-opus-20250101", "anthropic/claude-3-opus-20240229"),
        Name("mistral", "mistral-large-latest", "mistral/mistral-large-latest"), Name("mistral", "mistral-small", "mistral/mistral-small-latest"),
        Name("mistral", "mistral-large-2407", nil),
        // What is no date and no other name.
        Name("openai", "gpt-4o-2024-13", nil), Name("openai", "gpt-4o-19990101", nil), Name("openai", "gpt-4o-audio-preview-2025-06-03", nil),
        Name("openai", "ft:gpt-4o-mini-2024-07-18:org::abc", nil), Name("openai", "GPT-4o", nil), Name("openai", "", nil), Name("openai", "-2024-08-06", nil),
        Name("openai", "claude-opus-4-8", nil), Name("", "gpt-4o", nil), Name("nowhere", "gpt-4o", nil), Name("openai", "gpt-4o\tx", nil), Name("openai", "gpt-4ö", nil),
        Name("openai", "gpt-3.5-turbo-1106", nil),
        // Azure: its own list, then OpenAI's.
        Name("azure", "gpt-4o", "azure/gpt-4o"), Name("azure", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"), Name("azure", "gpt-35-turbo-1106", "azure/gpt-3.5-turbo-1106"),
        Name("azure", "gpt-35-turbo", "openai/gpt-3.5-turbo"), Name("azure", "gpt-4.1-2025-04-14", "azure/gpt-4.1"), Name("azure", "our-deployment", nil),
        Name("azure", "text-embedding-3-small", "azure/text-embedding-3-small"),
        // Bedrock.
        Name("bedrock", "amazon.nova-micro-v1:0", "bedrock/amazon.nova-micro-v1:0"), Name("bedrock", "us.amazon.nova-micro-v1:0", "bedrock/amazon.nova-micro-v1:0"),
        Name("bedrock", "eu.anthropic.claude-sonnet-4-6", "bedrock/eu.anthropic.claude-sonnet-4-6"),
        Name("bedrock", "apac.anthropic.claude-sonnet-4-6", "bedrock/anthropic.claude-sonnet-4-6"),
        Name("bedrock", "anthropic.claude-fable-5", "bedrock/us.anthropic.claude-fable-5"),
        Name("bedrock", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-7", "bedrock/anthropic.claude-opus-4-7"),
        Name("bedrock", "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-opus-4-7", "bedrock/eu.anthropic.claude-opus-4-7"),
        Name("bedrock", "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/anthropic.claude-opus-4-7", nil),
        Name("bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl", nil), Name("bedrock", "arn:", nil), Name("bedrock", "arn:/", nil),
        Name("bedrock", "anthropic.claude-3-haiku-20240307-v1:0", "anthropic/claude-3-haiku-20240307"),
        Name("bedrock", "us.anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic/claude-3-5-sonnet-20240620"),
        Name("bedrock", "anthropic.claude-3-sonnet-20240229-v1:0:200k", "anthropic/claude-3-sonnet-20240229"),
        Name("bedrock", "anthropic.claude-v2", nil), Name("bedrock", "amazon.titan-embed-text-v2:0", nil), Name("bedrock", "us.", nil),
        // Google.
        Name("gemini", "models/gemini-2.5-flash", "gemini/gemini-2.5-flash"), Name("gemini", "gemini-2.0-flash-001", "gemini/gemini-2.0-flash"),
        Name("gemini", "gemini-embedding-001", "gemini/gemini-embedding-001"), Name("gemini", "tunedModels/gemini-2.5-flash", nil), Name("gemini", "models/", nil),
        Name("vertex", "publishers/google/models/gemini-2.5-pro", "vertex/gemini-2.5-pro"), Name("vertex", "google/gemini-2.5-pro", "vertex/gemini-2.5-pro"),
        Name("vertex", "gemini-2.0-flash", "gemini/gemini-2.0-flash"), Name("vertex", "claude-sonnet-4-5", "vertex/claude-sonnet-4-5@20250929"),
        Name("vertex", "claude-opus-4-6@20260205", "vertex/claude-opus-4-6@default"), Name("vertex-anthropic", "claude-opus-4-6", "vertex-anthropic/claude-opus-4-6@default"),
        Name("google-vertex", "gemini-2.5-pro@default", "vertex/gemini-2.5-pro"), Name("google", "gemini-2.5-pro", "gemini/gemini-2.5-pro"),
        // The others.
        Name("cohere", "command-a-03-2025", "cohere/command-a-03-2025"), Name("cohere", "command-a", nil),
        Name("ollama-cloud", "gpt-oss:120b", "ollama-cloud/gpt-oss:120b"), Name("ollama-cloud", "gpt-oss:120b-cloud", "ollama-cloud/gpt-oss:120b"),
        Name("ollama-cloud", "glm-4.6:cloud", "ollama-cloud/glm-4.6"), Name("ollama-cloud", "glm-5:latest", "ollama-cloud/glm-5"), Name("ollama", "gpt-oss:120b", nil),
        Name("openrouter", "anthropic/claude-haiku-4.5", "openrouter/anthropic/claude-haiku-4.5"), Name("openrouter", "qwen/qwen3-coder:free", "openrouter/qwen/qwen3-coder:free"),
        Name("openrouter", "anthropic/claude-haiku-4.5:nitro", nil), Name("openrouter", "openai/gpt-4o-2024-08-06", "openrouter/openai/gpt-4o-2024-08-06"),
        Name("groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"), Name("deepseek", "deepseek-chat", "deepseek/deepseek-chat"), Name("xai", "grok-4.3", "xai/grok-4.3"),
        Name("perplexity", "sonar-pro", "perplexity/sonar-pro"), Name("cerebras", "gpt-oss-120b", "cerebras/gpt-oss-120b"),
        Name("togetherai", "openai/gpt-oss-20b", "together/openai/gpt-oss-20b"),
    ])
    func aModelIsFoundUnderTheNamesItHas(_ name: Name) {
        let model = Catalogue.builtIn.model(provider: name.provider, id: name.asked)
        #expect(model.map { "\($0.provider)/\($0.id)" } == name.found)
    }

    @Test func anUpstreamIsLookedUpByItsQuirksOrItsType() {
        #expect(CatalogueNames.provider(type: "generic", quirks: "groq") == "groq" && CatalogueNames.provider(type: "openai", quirks: nil) == "openai")
        #expect(CatalogueNames.provider(type: "generic", quirks: "togetherai") == "together")
    }

    @Test func longNamesAreNotSearchedFor() {
        let long = String(repeating: "models/", count: 100_000)
        #expect(Catalogue.builtIn.model(provider: "gemini", id: long) == nil && Catalogue.builtIn.model(provider: long, id: "x") == nil)
    }

    @Test func capabilitiesAreAsStated() throws {
        let fable = try #require(Catalogue.builtIn.model(provider: "anthropic", id: "claude-fable-5"))
        #expect(fable.contextTokensMax == 1_000_000 && fable.outputTokensMax == 128_000 && fable.hasTools && fable.isReasoning && fable.takesTemperature == false)
        #expect(fable.hasStructuredOutput == nil && fable.inputs == [.text, .image, .pdf] && fable.outputs == .text && fable.reasoning.efforts == [.low, .medium, .high, .xhigh, .max])
        #expect(!fable.reasoning.hasBudget && !fable.reasoning.hasToggle && fable.released == "2026-06-09" && fable.status == nil)
        let flash = try #require(Catalogue.builtIn.model(provider: "gemini", id: "gemini-2.5-flash"))
        #expect(flash.reasoning.hasToggle && flash.reasoning.hasBudget && flash.reasoning.budgetMax == 24576 && flash.inputs.contains(.audio))
        let embedding = try #require(Catalogue.builtIn.model(provider: "openai", id: "text-embedding-3-small"))
        #expect(embedding.kind == .embedding && embedding.embeddingDimensions == 1536 && embedding.outputTokensMax == 0)
    }
}
