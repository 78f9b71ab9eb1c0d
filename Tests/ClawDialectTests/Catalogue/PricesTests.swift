import ClawDialect
import ClawWire
import Foundation
import Testing

struct PricesTests {
    // MARK: One price

    @Test(arguments: [
        ("0", 0), ("0.0", 0), ("2.5", 2_500_000), ("0.083333", 83_333), ("0.000001", 1), ("1000000", 1_000_000_000_000), ("1000000.000000", 1_000_000_000_000),
        ("00", nil), ("01", nil), ("", nil), (".5", nil), ("5.", nil), ("1000000.000001", nil), ("1000001", nil), ("10000000", nil), ("0.0000001", nil), ("-1", nil), ("+1", nil),
        ("1e3", nil), ("1_000", nil), ("1.2.3", nil), ("nan", nil), ("inf", nil), (" 1", nil), ("１", nil), (String(repeating: "9", count: 100_000), nil),
    ] as [(String, Int64?)])
    func aPriceIsReadExactly(_ row: (text: String, units: Int64?)) {
        #expect(Price(decimal: row.text.utf8)?.units == row.units)
    }

    @Test(arguments: ["0", "2.5", "0.083333", "0.000001", "1000000", "0.1", "123456.789012"]) func aPriceIsWrittenAsItWasRead(_ text: String) {
        #expect(Price(decimal: text.utf8)?.description == text)
    }

    @Test(arguments: [("0.049999999999999996", 50_000), ("0.09999999999999999", 100_000), ("3", 3_000_000), ("2.5e-1", 250_000), ("1e6", 1_000_000_000_000), ("-0.0", 0),
                      ("-1", nil), ("1000000.1", nil), ("1e400", nil), ("\"1\"", nil), ("null", nil), ("4e-7", 0)] as [(String, Int64?)])
    func aJSONNumberIsRoundedToSixDecimals(_ row: (text: String, units: Int64?)) {
        let held = Held(Array(row.text.utf8))
        #expect(Price(json: held.bytes)?.units == row.units)
    }

    // MARK: Costs by hand

    struct Case: Sendable, CustomTestStringConvertible {
        var provider: String, id: String, usage: Usage, tier: ServiceTier, cost: Int64?
        init(_ provider: String, _ id: String, _ usage: Usage, _ cost: Int64?, tier: ServiceTier = .standard) {
            (self.provider, self.id, self.usage, self.cost, self.tier) = (provider, id, usage, cost, tier)
        }
        var testDescription: String { "\(provider) \(id) \(usage.input)+\(usage.output) \(tier)" }
    }

    @Test(arguments: [
        // 1,000 × 2.50 + 500 × 1.25 + 200 × 10.00 = 2,500 + 625 + 2,000 µUSD.
        Case("openai", "gpt-4o", usage(input: 1000, cacheRead: 500, output: 200), 5_125_000),
        // Reasoning has no price of its own: 100 × 1.25 + (20 + 300) × 10.
        Case("openai", "gpt-5", usage(input: 100, output: 20, reasoning: 300), 3_325_000),
        // 4 × 3 + 1,163 × 0.30 + 202 × 15 (a recorded answer), and 4 × 3 + 1,163 × 3.75 + 187 × 15.
        Case("anthropic", "claude-3-5-sonnet-20240620", usage(input: 4, cacheRead: 1163, output: 202), 3_390_900),
        Case("anthropic", "claude-3-5-sonnet-20240620", usage(input: 4, cacheWrite: 1163, output: 187), 7_178_250),
        // Kept for an hour: 2 × 5 = 10.
        Case("anthropic", "claude-opus-4-8", usage(input: 10, cacheWrite: 100, hour: 1000, output: 1), 50_000 + 625_000 + 10_000_000 + 25_000),
        Case("bedrock", "eu.anthropic.claude-sonnet-4-6", usage(hour: 10), 66_000), Case("openrouter", "anthropic/claude-haiku-4.5", usage(hour: 10), 20_000),
        // An hour is nobody else's.
        Case("openrouter", "qwen/qwen3-max", usage(input: 1, cacheWrite: 1), 780 + 975), Case("openrouter", "qwen/qwen3-max", usage(hour: 1), nil),
        // No cache prices stated: as input.
        Case("groq", "llama-3.3-70b-versatile", usage(input: 100, cacheRead: 50), 150 * 590), Case("cohere", "command-a-03-2025", usage(input: 1, cacheWrite: 1), 5_000),
        // A stated 0 is 0.
        Case("openai", "gpt-3.5-turbo", usage(input: 100, cacheRead: 1_000_000, output: 10), 65_000), Case("cerebras", "zai-glm-4.7", usage(cacheWrite: 9), 0),
        Case("openrouter", "qwen/qwen3-coder:free", usage(input: 5, output: 7), 0),
        // Audio with a price of its own, and without.
        Case("gemini", "gemini-2.5-flash", usage(input: 10, audioIn: 10, output: 1), 3_000 + 10_000 + 2_500),
        Case("openai", "gpt-4o", usage(audioIn: 10, audioOut: 10), 25_000 + 100_000),
        // Reasoning cheaper than output.
        Case("perplexity", "sonar-deep-research", usage(input: 10, output: 10, reasoning: 10), 20_000 + 80_000 + 30_000),
        // Prices that nobody states.
        Case("ollama-cloud", "gpt-oss:120b", usage(input: 1), nil), Case("openai", "chatgpt-image-latest", usage(input: 1), nil),
        Case("openai", "chatgpt-image-latest", usage(), 0), Case("openai", "text-embedding-3-small", usage(input: 1_000_000), 20_000_000),
        // Long prompts: all of the request at the tier's prices, cached tokens counted in.
        Case("gemini", "gemini-2.5-pro", usage(input: 200_000, output: 10), 250_000_000 + 100_000),
        Case("gemini", "gemini-2.5-pro", usage(input: 200_001, output: 10), 500_002_500 + 150_000),
        Case("gemini", "gemini-2.5-pro", usage(input: 1, cacheRead: 200_000, reasoning: 10), 2_500 + 50_000_000 + 150_000),
        Case("anthropic", "claude-sonnet-4-6", usage(input: 300_000), 900_000_000),
        Case("azure", "claude-opus-4-6", usage(hour: 200_001), 4_000_020_000), Case("azure", "claude-opus-4-6", usage(input: 1, hour: 1), 5_000 + 10_000),
        // In a tier without a price for reasoning it goes with the tier's output where the base price did (12 = 12, then 18), a cache write keeps its own.
        Case("openrouter", "google/gemini-3.1-pro-preview", usage(input: 200_001, cacheWrite: 1000, reasoning: 1000), 800_004_000 + 375_000 + 18_000_000),
        // Service tiers.
        Case("openai", "gpt-4o", usage(input: 1000, output: 100), 1_750_000, tier: .batch), Case("openai", "gpt-4o", usage(input: 1000, output: 100), 1_750_000, tier: .flex),
        Case("anthropic", "claude-opus-4-8", usage(input: 1000), 2_500_000, tier: .batch), Case("anthropic", "claude-opus-4-8", usage(input: 1000), nil, tier: .flex),
        Case("gemini", "gemini-2.5-flash", usage(input: 1000), 150_000, tier: .batch), Case("openai", "gpt-4o", usage(input: 1000), nil, tier: .other),
        Case("azure", "gpt-4o", usage(input: 1000), 1_250_000, tier: .batch), Case("azure", "claude-opus-4-8", usage(input: 1), nil, tier: .batch),
        Case("cohere", "command-a-03-2025", usage(input: 1), nil, tier: .batch), Case("mistral", "mistral-small-latest", usage(input: 1000), 75_000, tier: .batch),
    ])
    func aCostIsTheSumOverItsClasses(_ one: Case) throws {
        let model = try #require(Catalogue.builtIn.model(provider: one.provider, id: one.id))
        #expect(model.prices.cost(of: one.usage, tier: one.tier) == one.cost)
    }

    private func priced(_ input: String, _ output: String? = nil) -> Prices {
        var prices = Prices()
        prices.base.input = Price(decimal: input.utf8)
        prices.base.output = output.flatMap { Price(decimal: $0.utf8) }
        return prices
    }

    @Test func onlyTheEndIsRoundedAndToTheNearest() {
        #expect(priced("0.0004").cost(of: usage(input: 1)) == 0 && priced("0.0005").cost(of: usage(input: 1)) == 1)
        #expect(priced("0.0004").cost(of: usage(input: 3)) == 1 && priced("0.0004", "0.0004").cost(of: usage(input: 1, output: 1)) == 1)
        #expect(priced("0.083333").cost(of: usage(input: 1_000_000)) == 83_333_000)
        var prices = Prices(provider: "openai", id: "x")
        prices.base.input = Price(decimal: "0.005".utf8)
        #expect(prices.cost(of: usage(input: 1), tier: .batch) == 3 && prices.cost(of: usage(input: 3), tier: .flex) == 8)
    }

    @Test func whatIsUnknownIsNil() {
        #expect(priced("1").cost(of: Usage()) == nil)
        #expect(Prices().cost(of: usage(input: 1)) == nil && Prices().cost(of: usage(output: 1)) == nil && Prices().isEmpty)
        #expect(priced("1").cost(of: usage(input: 1, output: 1)) == nil && priced("1").cost(of: usage(input: 1)) == 1000)
        #expect(priced("1").cost(of: usage(reasoning: 1)) == nil && priced("1").cost(of: usage(audioOut: 1)) == nil)
        #expect(Prices().cost(of: usage()) == 0)
        // Counts that somebody put in without saying whose they are.
        var bare = Usage()
        bare.freshInput = 1
        #expect(priced("1").cost(of: bare) == 1000)
    }

    @Test func RL_06_noCountOverflows() {
        let huge = usage(input: .max, cacheRead: .max, cacheWrite: .max, hour: .max, audioIn: .max, output: .max, reasoning: .max, audioOut: .max)
        #expect(priced("1000000", "1000000").cost(of: usage(input: .max, output: .max)) == .max)
        #expect(Catalogue.builtIn.model(provider: "anthropic", id: "claude-opus-4-8")?.prices.cost(of: huge) != nil)
        var claude = Prices(provider: "anthropic", id: "claude-x")
        (claude.base.input, claude.base.output) = (Price(units: Price.unitsMax), Price(units: Price.unitsMax))
        #expect(claude.cost(of: huge) == .max && claude.cost(of: huge, tier: .batch) == .max)
        #expect(priced("1", "1").cost(of: usage(input: -5, output: -1)) == 0 && priced("1", "1").cost(of: usage(input: .min, output: 2)) == 2000)
        // 2⁴⁰ tokens at 1 USD for a million: the count is taken whole, what is above it is not.
        #expect(priced("1").cost(of: usage(input: 1 << 40)) == 1_099_511_627_776_000 && priced("1").cost(of: usage(input: (1 << 40) + 1)) == 1_099_511_627_776_000)
        #expect(priced("0.000001").cost(of: usage(input: .max)) == 1_099_511_628)
    }

    @Test func tiersGoUpAndAreTwoAtMost() {
        var prices = priced("1", "1"), rates = Prices.Rates()
        rates.input = Price(decimal: "2".utf8)
        #expect(!prices.addTier(above: 0, rates) && !prices.addTier(above: -1, rates) && prices.addTier(above: 10, rates) && !prices.addTier(above: 10, rates))
        rates.input = Price(decimal: "3".utf8)
        #expect(prices.addTier(above: 20, rates) && !prices.addTier(above: 30, rates))
        for (tokens, cost) in [(10, 10_000), (11, 22_000), (20, 40_000), (21, 63_000)] as [(Int64, Int64)] { #expect(prices.cost(of: usage(input: tokens)) == cost) }
        // Output, which the tiers leave out, keeps its price.
        #expect(prices.cost(of: usage(input: 21, output: 5)) == 68_000)
    }

    @Test func serviceTiersAreReadFromTheirWords() {
        for (word, tier) in [("batch", .batch), ("flex", .flex), ("priority", .other), ("scale", .other), ("default", .standard), ("auto", .standard), ("on_demand", .standard)]
            as [(StaticString, ServiceTier)] {
            #expect(ServiceTier(word: JSONBytes(word)) == tier)
        }
        #expect(ServiceTier(word: JSONBytes()) == .standard)
    }

    // MARK: Own prices

    private func price(_ text: String) -> Price? { Price(decimal: text.utf8) }

    @Test func ownPricesGoBeforeTheCatalogue() throws {
        let opus = try #require(Catalogue.builtIn.model(provider: "anthropic", id: "claude-opus-4-8")).prices
        #expect(opus.overriding(PriceOverride()) == opus && opus.overriding(input: opus.input, output: opus.output, cachedInput: nil) == opus)
        // 20 % off the input: 5 → 4; reads 0.5 → 0.4, writes 6.25 → 5, writes for an hour 8.
        let own = opus.overriding(input: price("4"), output: nil, cachedInput: nil)
        #expect(own.input == price("4") && own.cacheRead == price("0.4") && own.cacheWrite == price("5") && own.output == price("25"))
        #expect(own.cost(of: usage(input: 1, cacheRead: 1, cacheWrite: 1, hour: 1, output: 1)) == 42_400)
        let free = opus.overriding(input: price("0"), output: price("0"), cachedInput: nil)
        #expect(free.cost(of: usage(input: 9, cacheRead: 9, cacheWrite: 9, hour: 9, output: 9, reasoning: 9)) == 0)
        let cached = opus.overriding(input: price("4"), output: nil, cachedInput: price("0.1"))
        #expect(cached.cacheRead == price("0.1") && cached.cacheWrite == price("5"))
        #expect(opus.overriding(input: nil, output: nil, cachedInput: price("0")).cost(of: usage(cacheRead: 100)) == 0)
    }

    @Test func ownPricesHoldInEveryTier() throws {
        let pro = try #require(Catalogue.builtIn.model(provider: "gemini", id: "gemini-2.5-pro")).prices.overriding(input: price("1"), output: price("2"), cachedInput: nil)
        #expect(pro.cost(of: usage(input: 10, output: 1)) == 12_000 && pro.cost(of: usage(input: 300_000, output: 1)) == 300_002_000)
        #expect(pro.cost(of: usage(input: 300_000, cacheRead: 10)) == 300_001_000)
    }

    @Test func ownPricesOfAnUnknownModelFollowItsProvidersRules() {
        let own = Catalogue.builtIn.prices(provider: "anthropic", id: "claude-next").overriding(input: price("4"), output: price("20"), cachedInput: nil)
        #expect(own.cost(of: usage(input: 1, cacheRead: 1, cacheWrite: 1, hour: 1, output: 1)) == 41_000)
        #expect(own.cost(of: usage(input: 1), tier: .batch) == 2_000)
        let other = Catalogue.builtIn.prices(provider: "vllm", id: "ours").overriding(input: price("0.5"), output: nil, cachedInput: nil)
        #expect(other.cost(of: usage(input: 2, cacheRead: 2, cacheWrite: 2)) == 3_000 && other.cost(of: usage(output: 1)) == nil)
    }

    @Test func overridesOfAModelGoBeforeThoseOfItsUpstream() {
        let model = PriceOverride(input: price("1")), upstream = PriceOverride(input: price("2"), output: price("3"))
        #expect(model.before(upstream) == PriceOverride(input: price("1"), output: price("3")) && PriceOverride().isEmpty && !model.isEmpty)
    }

    @Test func aRelationToAPriceOfZeroIsNone() {
        var prices = priced("0", "0")
        (prices.base.cacheRead, prices.base.reasoning) = (price("1"), price("1"))
        let own = prices.overriding(input: price("2"), output: price("3"), cachedInput: nil)
        #expect(own.cacheRead == nil && own.cost(of: usage(cacheRead: 1, reasoning: 1)) == 5_000)
        // Scaling beyond the greatest price stays there.
        prices = priced("0.000001")
        prices.base.cacheRead = Price(units: Price.unitsMax)
        #expect(prices.overriding(input: Price(units: Price.unitsMax), output: nil, cachedInput: nil).cacheRead?.units == Price.unitsMax)
    }

    @Test func pricesArePlainMemory() {
        #expect(_isPOD(Prices.self) && MemoryLayout<Prices>.size <= 224)
    }

    // MARK: Text

    @Test(arguments: [
        (0, "0"), (1, "0.000000001"), (123_000, "0.000123"), (1_000_000_000, "1"), (2_500_000_000, "2.5"), (12_000_000_001, "12.000000001"), (-123_000, "-0.000123"),
        (Int64.max, "9223372036.854775807"), (Int64.min, "-9223372036.854775808"), (999_999_999, "0.999999999"), (10_000_000_000, "10"), (100_100_000_000, "100.1"),
    ] as [(Int64, String)])
    func aCostIsWrittenInPlainDecimal(_ row: (nanoUSD: Int64, text: String)) throws {
        let out = UnsafeMutablePointer<UInt8>.allocate(capacity: Cost.textMax)
        defer { out.deallocate() }
        let count = Cost.write(nanoUSD: row.nanoUSD, into: out)
        #expect(count <= Cost.textMax)
        let text = String(decoding: UnsafeBufferPointer(start: out, count: count), as: UTF8.self)
        #expect(text == row.text)
        _ = try parsed(text)
    }
}
