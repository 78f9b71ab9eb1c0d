// What recorded answers cost. The usage is read here from the provider's own words by an independent hand, the expected cost is worked out in Foundation's
// decimals from the source file; two providers say themselves what a request cost, and there the sums have to agree to the last digit.
import ClawDialect
import ClawWire
import Foundation
import Testing

@Suite(.enabled(if: Recordings.isThere && CatalogueSource.isThere)) struct RecordedCostTests {
    struct Metered {
        var id: String, provider: String, model: String, usage: Usage, native: [String: Any]
    }

    private let metered: [Metered] = Recordings.all.compactMap { one in
        guard let native = one.expected["usage_native"] as? [String: Any], let model = model(one), let usage = usage(native) else { return nil }
        return Metered(id: one.id, provider: provider(one.api), model: model, usage: usage, native: native)
    }

    static func provider(_ api: String) -> String {
        let name = String(api.prefix { $0 != "." })
        return ["vllm", "zai", "ollama"].contains(name) ? "generic" : name
    }

    static func model(_ one: Recording) -> String? {
        if let body = (try? parsed(one.requestBody)) as? [String: Any], let model = body["model"] as? String { return model }
        if let model = one.expected["model"] as? String, !one.api.hasPrefix("bedrock") { return model }
        let parts = (one.requestPath.removingPercentEncoding ?? "").split(separator: "/")
        return parts.firstIndex(of: "model").map { String(parts[$0 + 1]) }
    }

    static func usage(_ native: [String: Any]) -> Usage? {
        func count(_ keys: String...) -> Int64? { keys.lazy.compactMap { native[$0] as? Int64 }.first }
        func inner(_ group: String, _ key: String) -> Int64 { (native[group] as? [String: Any])?[key] as? Int64 ?? 0 }
        var usage = Usage()
        if let billed = native["billed_units"] as? [String: Any] {
            usage.setInput(sum: billed["input_tokens"] as? Int64 ?? 0)
            usage.setOutput(sum: billed["output_tokens"] as? Int64 ?? 0)
        } else if let prompt = count("prompt_tokens") {
            usage.setInput(sum: prompt, cacheRead: inner("prompt_tokens_details", "cached_tokens"), cacheWrite: inner("prompt_tokens_details", "cache_write_tokens"),
                           audio: inner("prompt_tokens_details", "audio_tokens"))
            usage.setOutput(sum: count("completion_tokens") ?? 0, reasoning: inner("completion_tokens_details", "reasoning_tokens"),
                            audio: inner("completion_tokens_details", "audio_tokens"))
        } else if native["input_tokens_details"] != nil {
            usage.setInput(sum: count("input_tokens") ?? 0, cacheRead: inner("input_tokens_details", "cached_tokens"), cacheWrite: inner("input_tokens_details", "cache_write_tokens"))
            usage.setOutput(sum: count("output_tokens") ?? 0, reasoning: inner("output_tokens_details", "reasoning_tokens"))
        } else if let fresh = count("input_tokens", "inputTokens") {
            usage.setInput(sum: fresh)
            usage.cacheRead = count("cache_read_input_tokens", "cacheReadInputTokens") ?? 0
            usage.cacheWriteHour = inner("cache_creation", "ephemeral_1h_input_tokens")
            usage.cacheWrite = (count("cache_creation_input_tokens", "cacheWriteInputTokens") ?? 0) - usage.cacheWriteHour
            usage.setOutput(sum: count("output_tokens", "outputTokens") ?? 0, reasoning: inner("output_tokens_details", "thinking_tokens"))
        } else if let prompt = count("promptTokenCount") {
            usage.setInput(sum: prompt)
            usage.hasOutput = true
            (usage.textOutput, usage.reasoning) = (count("candidatesTokenCount") ?? 0, count("thoughtsTokenCount") ?? 0)
        } else {
            return nil
        }
        return usage
    }

    /// In nano-dollars, by the source file's row for exactly this model; nil where it has none or a price is missing.
    private func expected(_ one: Metered, _ source: [[String: Any]]) -> Decimal? {
        guard let row = source.first(where: { $0["provider"] as? String == one.provider && $0["model"] as? String == one.model }),
              let input = CatalogueSource.decimal(row["input_price"]), let output = CatalogueSource.decimal(row["output_price"]) else { return nil }
        let read = CatalogueSource.decimal(row["cache_read_price"]) ?? input, write = CatalogueSource.decimal(row["cache_write_price"]) ?? input
        let audio = CatalogueSource.decimal(row["input_audio_price"]) ?? input, usage = one.usage
        #expect(usage.input <= 200_000, "no recorded prompt is long")
        let micro = Decimal(usage.freshInput) * input + Decimal(usage.cacheRead) * read + Decimal(usage.cacheWrite) * write + Decimal(usage.cacheWriteHour) * input * 2
            + Decimal(usage.audioInput) * audio + Decimal(usage.output) * output
        return micro * 1000
    }

    @Test func everyRecordedUsageCostsWhatTheSourceSays() throws {
        let source = CatalogueSource.models()
        var known = 0
        for one in metered {
            guard let wanted = expected(one, source) else { continue }
            known += 1
            let cost = try #require(Catalogue.builtIn.prices(provider: one.provider, id: one.model).cost(of: one.usage), "\(one.id)")
            #expect(Decimal(cost) == wanted, "\(one.id)")
        }
        #expect(known >= 110, "\(known) of \(metered.count)")
    }

    @Test func modelsWithoutAPriceAreTheOnesThatNobodyListsOne() {
        let unknown = Set(metered.filter { Catalogue.builtIn.prices(provider: $0.provider, id: $0.model).cost(of: $0.usage) == nil }.map { "\($0.provider) \($0.model)" })
        #expect(unknown.sorted() == [
            "azure embedding", "azure gpt-5.6-luna", "azure openllmetry-testing", "bedrock amazon.titan-text-express-v1", "bedrock amazon.titan-text-lite-v1",
            "bedrock anthropic.claude-v2", "cerebras qwen-3-coder-480b", "gemini gemini-1.5-flash", "gemini gemini-2.5-pro-preview-05-06", "gemini gemini-3.6-flash",
            "generic facebook/opt-125m", "generic glm-4.7", "generic gpt-oss:120b", "generic qwen3:0.6b", "groq llama3-8b-8192", "openai davinci-002",
            "openai gpt-4o-audio-preview", "openai gpt-4o-mini-audio-preview", "openai gpt-5.6-terra", "openrouter minimax/minimax-m2:free",
        ])
    }

    @Test func ourSumsAreTheProvidersOwn() throws {
        var compared = 0
        for one in metered {
            let prices = Catalogue.builtIn.prices(provider: one.provider, id: one.model)
            if one.provider == "openrouter", let stated = one.native["cost"] as? NSNumber, let cost = prices.cost(of: one.usage) {
                compared += 1
                #expect(Decimal(string: stated.description) == Decimal(cost) / 1_000_000_000, "\(one.id)")
            }
            // xAI counts in ticks of 10⁻¹⁰ USD, and its reasoning tokens within the output here.
            if one.provider == "xai", let ticks = one.native["cost_in_usd_ticks"] as? Int64 {
                compared += 1
                #expect(prices.cost(of: one.usage) == ticks / 10, "\(one.id)")
            }
        }
        #expect(compared == 7)
    }

    @Test(arguments: [
        // 4 × 3 + 1163 × 0.3 + 202 × 15; 4 × 3 + 1163 × 3.75 + 187 × 15; 7 × 1.25 + 192 × 0.2 + 123 × 2.5; 14 × 1 + 10 × 5 (µUSD).
        ("anthropic/messages-cache-read", 3_390_900), ("anthropic/messages-cache-write", 7_178_250), ("xai/responses-basic", 354_650), ("openrouter/chat-basic", 64_000),
    ] as [(String, Int64)])
    func aFewByHand(_ row: (id: String, cost: Int64)) throws {
        let one = try #require(metered.first { $0.id == row.id })
        #expect(Catalogue.builtIn.prices(provider: one.provider, id: one.model).cost(of: one.usage) == row.cost)
    }
}
