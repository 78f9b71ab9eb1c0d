// What a model's tokens cost, and what a request's usage comes to. The prices are those of `Usage`'s classes, which do not overlap, so a cost is the
// plain sum of tokens times price over the classes. A price that nobody states is unknown, and makes the cost unknown: an unknown cost is nil, never 0.
// A stated price of 0 is a price.
//
// Not every class has a price of its own in a price list. What is not stated is billed so, and only so:
//   cacheRead       as input: a provider without a discount for what it had in its cache.
//   cacheWrite      as input; for Claude at 1.25 × input, the 5-minute write of Anthropic's price list.
//   cacheWriteHour  for Claude at 2 × input (same list; the catalogue never has it); for others unknown.
//   audioInput      as input.
//   reasoning, audioOutput   as output: reasoning tokens are output tokens everywhere but where a price says otherwise (Perplexity's deep research).
//   input, output   unknown.
// Tokens that a provider counts in its total and names no class for (`Usage.statedTotal`) have no price and are left out.
//
// Tiers. Some models cost more when the prompt is long: above so many input tokens, cached ones included, other prices hold for the whole request. A
// class that the tier leaves out keeps its base price; but where that was equal to what it falls back to, it follows it into the tier.
//
// Service tiers. Batch and flex cost a share of the standard prices where the provider says so (`discounts`); elsewhere, and for every other
// tier (OpenAI's priority and scale, Anthropic's priority), the price is not in the catalogue and the cost unknown.
import ClawWire

/// How urgently a request was served, as far as that changes its price.
public enum ServiceTier: UInt8, Sendable {
    case standard, batch, flex
    /// Dearer or paid by contract: `priority`, `scale`.
    case other

    /// From the word of a request or answer (`service_tier`); words for the usual one (`default`, `auto`, `on_demand`, none at all) are standard.
    public init(word: JSONBytes) {
        if word.equals("batch") {
            self = .batch
        } else if word.equals("flex") {
            self = .flex
        } else if word.equals("priority") || word.equals("scale") {
            self = .other
        } else {
            self = .standard
        }
    }
}

/// Prices of the operator's own contract, which go before the catalogue's.
public struct PriceOverride: Sendable, Hashable {
    public var input: Price?
    public var output: Price?
    public var cachedInput: Price?
    public init(input: Price? = nil, output: Price? = nil, cachedInput: Price? = nil) {
        self.input = input
        self.output = output
        self.cachedInput = cachedInput
    }
    public var isEmpty: Bool { input == nil && output == nil && cachedInput == nil }
    /// This one's prices, and the other's where this one has none: a model's before its upstream's.
    public func before(_ other: PriceOverride) -> PriceOverride {
        PriceOverride(input: input ?? other.input, output: output ?? other.output, cachedInput: cachedInput ?? other.cachedInput)
    }
}

/// Plain memory without references: fit to be copied into a plan.
@dynamicMemberLookup
public struct Prices: Sendable, Equatable {
    /// A price per class; nil: not stated.
    public struct Rates: Sendable, Equatable {
        // -1: not stated. Half the size of optionals.
        fileprivate var units: InlineArray<8, Int64> = .init(repeating: -1)
        public init() {}

        public var input: Price? { get { self[0] } set { self[0] = newValue } }
        public var output: Price? { get { self[1] } set { self[1] = newValue } }
        public var cacheRead: Price? { get { self[2] } set { self[2] = newValue } }
        /// Kept for 5 minutes or an unnamed time.
        public var cacheWrite: Price? { get { self[3] } set { self[3] = newValue } }
        public var cacheWriteHour: Price? { get { self[4] } set { self[4] = newValue } }
        public var reasoning: Price? { get { self[5] } set { self[5] = newValue } }
        public var audioIn: Price? { get { self[6] } set { self[6] = newValue } }
        public var audioOut: Price? { get { self[7] } set { self[7] = newValue } }

        /// In the order of the text of the catalogue.
        static let count = 8
        subscript(_ place: Int) -> Price? {
            get { units[place] < 0 ? nil : Price(units: units[place]) }
            set { units[place] = newValue?.units ?? -1 }
        }
        public var isEmpty: Bool { (0..<Self.count).allSatisfy { units[$0] < 0 } }
        public static func == (one: Rates, other: Rates) -> Bool { (0..<count).allSatisfy { one.units[$0] == other.units[$0] } }
    }

    public var base = Rates()
    public static let tiersMax = 2
    /// Input tokens above which the tier's prices hold, ascending; 0: no such tier.
    public private(set) var aboveFirst: Int64 = 0
    public private(set) var aboveSecond: Int64 = 0
    public private(set) var first = Rates()
    public private(set) var second = Rates()
    /// Billed by Anthropic's rules for cache writes.
    public private(set) var isClaude = false
    /// Hundredths of the standard price; -1: not known.
    private var batchShare: Int16 = -1
    private var flexShare: Int16 = -1

    /// No prices yet, but the rules by which this provider bills this model; for models that the catalogue does not have.
    public init(provider: String, id: String) {
        isClaude = id.contains("claude")
        (batchShare, flexShare) = Self.discounts(provider, id)
    }
    /// No prices and no rules.
    public init() {}

    public subscript(dynamicMember field: KeyPath<Rates, Price?>) -> Price? { base[keyPath: field] }
    public var isEmpty: Bool { base.isEmpty && aboveFirst == 0 }

    /// - Returns: false, and nothing happens, when there are two tiers already or `above` is not above the last one's.
    public mutating func addTier(above: Int64, _ rates: Rates) -> Bool {
        if aboveFirst == 0, above > 0 {
            (aboveFirst, first) = (above, rates)
        } else if aboveFirst > 0, aboveSecond == 0, above > aboveFirst {
            (aboveSecond, second) = (above, rates)
        } else {
            return false
        }
        return true
    }

    /// Half price by each provider's documents: OpenAI's Batch API and flex processing, Azure's for the models of OpenAI, Anthropic's Message Batches,
    /// batch mode of Gemini and Vertex, batch inference of Mistral and Groq.
    private static func discounts(_ provider: String, _ id: String) -> (batch: Int16, flex: Int16) {
        switch provider {
        case "openai": (50, 50)
        case "azure": ["gpt-", "o1", "o3", "o4", "codex", "text-embedding"].contains { id.hasPrefix($0) } ? (50, 50) : (-1, -1)
        case "anthropic", "gemini", "vertex", "vertex-anthropic", "mistral", "groq": (50, -1)
        default: (-1, -1)
        }
    }

    // MARK: Overriding

    /// With the operator's prices in place of these, in every tier. What a list prices in relation to another class keeps that relation: with the
    /// input at 80 % of the list, cache reads and writes and audio are at 80 % too unless `cachedInput` says otherwise, and reasoning and audio follow
    /// the output likewise.
    public func overriding(_ own: PriceOverride) -> Prices {
        var copy = self
        copy.base = Self.overridden(base, own)
        if aboveFirst > 0 { copy.first = Self.overridden(first, own) }
        if aboveSecond > 0 { copy.second = Self.overridden(second, own) }
        return copy
    }

    public func overriding(input: Price?, output: Price?, cachedInput: Price?) -> Prices {
        overriding(PriceOverride(input: input, output: output, cachedInput: cachedInput))
    }

    private static func overridden(_ rates: Rates, _ own: PriceOverride) -> Rates {
        var rates = rates
        // A price that has no relation to an old price of 0 or none is as good as not stated.
        func follow(_ place: Int, _ old: Price?, _ new: Price) {
            guard let price = rates[place] else { return }
            guard let old, old.units > 0 else {
                rates[place] = nil
                return
            }
            let scaled = (UInt128(price.units) * UInt128(new.units) + UInt128(old.units / 2)) / UInt128(old.units)
            rates[place] = Price(units: Int64(clamping: scaled))
        }
        if let input = own.input {
            for place in [2, 3, 4, 6] { follow(place, rates.input, input) }
            rates.input = input
        }
        if let output = own.output {
            for place in [5, 7] { follow(place, rates.output, output) }
            rates.output = output
        }
        if let cached = own.cachedInput { rates.cacheRead = cached }
        return rates
    }

    // MARK: Cost

    /// The price per class of a request with so many input tokens, what is not stated filled in as told above.
    public func rates(input tokens: Int64) -> Rates {
        let whole = filled(base)
        if aboveSecond > 0, tokens > aboveSecond { return tiered(second, whole) }
        if aboveFirst > 0, tokens > aboveFirst { return tiered(first, whole) }
        return whole
    }

    private func filled(_ stated: Rates) -> Rates {
        var rates = stated
        for place in 2..<Rates.count where rates.units[place] < 0 { rates.units[place] = fallback(of: place, rates) }
        return rates
    }

    /// What a class costs that has no price of its own.
    @inline(__always)
    private func fallback(of place: Int, _ rates: Rates) -> Int64 {
        let input = rates.units[0]
        switch place {
        case 3: return isClaude && input > 0 ? input * 5 / 4 : input
        case 4: return isClaude ? (input < 0 ? -1 : input * 2) : -1
        case 5, 7: return rates.units[1]
        default: return input
        }
    }

    private func tiered(_ stated: Rates, _ whole: Rates) -> Rates {
        var rates = stated
        for place in 0..<2 where rates.units[place] < 0 { rates.units[place] = whole.units[place] }
        for place in 2..<Rates.count where rates.units[place] < 0 {
            rates.units[place] = whole.units[place] == fallback(of: place, whole) ? fallback(of: place, rates) : whole.units[place]
        }
        return rates
    }

    /// What the request cost in USD × 10⁻⁹, rounded to the nearest; nil when it is unknown: no usage was stated, a class has tokens and no price, or the
    /// service tier has no known price. Counts are taken as 0…2⁴⁰ each, so nothing overflows; what is beyond 64 bits (9.2 billion USD) is the greatest.
    public func cost(of usage: Usage, tier: ServiceTier = .standard) -> Int64? {
        let share: Int16
        switch tier {
        case .standard: share = 100
        case .batch: share = batchShare
        case .flex: share = flexShare
        case .other: share = -1
        }
        guard share >= 0 else { return nil }
        // In the order of the rates.
        let tokens: InlineArray<8, Int64> = [
            Self.clamped(usage.freshInput), Self.clamped(usage.textOutput), Self.clamped(usage.cacheRead), Self.clamped(usage.cacheWrite),
            Self.clamped(usage.cacheWriteHour), Self.clamped(usage.reasoning), Self.clamped(usage.audioInput), Self.clamped(usage.audioOutput),
        ]
        let input = tokens[0] + tokens[2] + tokens[3] + tokens[4] + tokens[6]
        guard usage.isKnown || input + tokens[1] + tokens[5] + tokens[7] > 0 else { return nil }
        let rates = rates(input: input)
        var sum: UInt128 = 0
        for place in 0..<Rates.count where tokens[place] > 0 {
            guard rates.units[place] >= 0 else { return nil }
            sum += UInt128(tokens[place]) * UInt128(rates.units[place])
        }
        return Int64(clamping: (sum * UInt128(share) + 50_000) / 100_000)
    }

    private static func clamped(_ tokens: Int64) -> Int64 { max(0, min(JSONNumber.countMax, tokens)) }

    public static func == (one: Prices, other: Prices) -> Bool {
        one.base == other.base && one.aboveFirst == other.aboveFirst && one.aboveSecond == other.aboveSecond && one.first == other.first
            && one.second == other.second && one.isClaude == other.isClaude && one.batchShare == other.batchShare && one.flexShare == other.flexShare
    }
}
