// One model as the catalogue has it: what it costs, how much goes in and comes out, and what it can do. Whatever a source does not state is said to be
// unknown here (nil, 0 for a limit), never guessed.

public struct CatalogueModel: Sendable, Equatable {
    public enum Kind: UInt8, Sendable { case chat, embedding }
    public enum Status: String, Sendable, CaseIterable { case alpha, beta, deprecated }

    public struct Modalities: OptionSet, Sendable, Hashable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let text = Modalities(rawValue: 1), image = Modalities(rawValue: 2), pdf = Modalities(rawValue: 4)
        public static let video = Modalities(rawValue: 8), audio = Modalities(rawValue: 16)
        /// Word, letter in the text form, value.
        static let names: [(word: StaticString, letter: UInt8, value: Modalities)] = [
            ("text", 0x74, .text), ("image", 0x69, .image), ("pdf", 0x70, .pdf), ("video", 0x76, .video), ("audio", 0x61, .audio),
        ]
    }

    /// How much thought can be asked for.
    public struct Efforts: OptionSet, Sendable, Hashable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let none = Efforts(rawValue: 1), minimal = Efforts(rawValue: 2), low = Efforts(rawValue: 4), medium = Efforts(rawValue: 8)
        public static let high = Efforts(rawValue: 16), xhigh = Efforts(rawValue: 32), max = Efforts(rawValue: 64), standard = Efforts(rawValue: 128)
        static let names: [(word: StaticString, value: Efforts)] = [
            ("none", .none), ("minimal", .minimal), ("low", .low), ("medium", .medium), ("high", .high), ("xhigh", .xhigh), ("max", .max),
            ("default", .standard),
        ]
    }

    /// The ways in which thinking is switched and measured; all absent where the source names none, which need not mean that there are none.
    public struct Reasoning: Sendable, Equatable {
        public var hasToggle = false
        public var efforts: Efforts = []
        /// Thinking tokens can be bounded, from `budgetMin` to `budgetMax` where those are stated.
        public var hasBudget = false
        public var budgetMin: Int64?
        public var budgetMax: Int64?
        public init() {}
    }

    /// The catalogue's name of the provider: `openai`, `vertex-anthropic`, …
    public var provider: String
    /// The provider's own id.
    public var id: String
    public var kind = Kind.chat
    /// Tokens; 0: not stated.
    public var contextTokensMax: Int64 = 0
    /// The context window, unless the source states a smaller limit for what goes in.
    public var inputTokensMax: Int64 = 0
    public var outputTokensMax: Int64 = 0
    public var prices: Prices
    public var hasTools = false
    /// Answers to a JSON schema; nil: not stated.
    public var hasStructuredOutput: Bool?
    public var isReasoning = false
    public var reasoning = Reasoning()
    /// False: the model refuses `temperature`; nil: not stated.
    public var takesTemperature: Bool?
    public var takesAttachments = false
    public var inputs: Modalities = .text
    public var outputs: Modalities = .text
    /// Length of an embedding; 0: none or not stated.
    public var embeddingDimensions: Int64 = 0
    /// `2026-02-05`, `2026-02` or empty.
    public var released = ""
    public var status: Status?

    public init(provider: String, id: String) {
        self.provider = provider
        self.id = id
        prices = Prices(provider: provider, id: id)
    }

    // What a catalogue can hold; beyond it a file is refused.
    static let providerBytesMax = 64
    static let idBytesMax = 256
    static let tokensMax: Int64 = 1 << 40

    /// Visible ASCII: both names are keys of a text with tabs, and an id is what Config's `models[].id` may be.
    static func isName(_ bytes: some Sequence<UInt8>, _ bytesMax: Int) -> Bool {
        var count = 0
        for byte in bytes {
            guard (0x21...0x7E).contains(byte), byte != 0x22, byte != 0x5C else { return false }
            count += 1
        }
        return (1...bytesMax).contains(count)
    }

    static func isDate(_ bytes: some Collection<UInt8>) -> Bool {
        guard [0, 4, 7, 10].contains(bytes.count) else { return false }
        return bytes.enumerated().allSatisfy { $0 == 4 || $0 == 7 ? $1 == 0x2D : (0x30...0x39).contains($1) }
    }
}

/// Why a catalogue's file is not taken.
public struct CatalogueProblem: Error, Sendable, Equatable, CustomStringConvertible {
    /// Counted from 1; 0: the file as a whole.
    public var line: Int
    /// `models[3].input_price: expected …, found …`, in lower case.
    public var message: String
    public init(line: Int, _ message: String) { self.line = line; self.message = message }
    public var description: String { line > 0 ? "line \(line): \(message)" : message }
}
