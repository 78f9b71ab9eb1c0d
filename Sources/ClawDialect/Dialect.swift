// The dialects and their pieces. A dialect is a folder with one type that has these pieces as static functions: pure, no I/O, no globals, each reading from
// memory into a neutral value or writing a neutral value into memory. To add one: its folder, and a line in `DialectID`.
import ClawWire

/// Names a dialect. One line each.
public enum DialectID: UInt8, Sendable, CaseIterable {
    case chat, completions, responses, messages, gemini, converse, cohere, ollama, ollamaGenerate

    @inline(__always)
    public var pieces: any DialectPieces.Type {
        switch self {
        case .chat: ChatDialect.self
        case .completions: CompletionsDialect.self
        case .responses: ResponsesDialect.self
        case .messages: MessagesDialect.self
        case .gemini: GeminiDialect.self
        case .converse: ConverseDialect.self
        case .cohere: CohereDialect.self
        case .ollama: OllamaDialect.self
        case .ollamaGenerate: OllamaGenerateDialect.self
        }
    }
}

/// What a request writer must know of where the request goes.
public struct Target: Sendable {
    /// The model's id there, as escaped text.
    public var model: JSONBytes
    public var quirks: Quirks
    /// What the catalogue knows of the model; 0 and false where it knows nothing.
    public var maxOutputTokens: Int64 = 0
    public var wantsStream = false
    /// Ask for usage in the stream, on the gateway's account.
    public var asksUsage = false
    public init(model: JSONBytes, quirks: Quirks) { self.model = model; self.quirks = quirks }
}

public protocol DialectPieces {
    static var id: DialectID { get }
    static var framing: Framing { get }
    /// What it calls a field; OpenAI's word where it has none of its own.
    static func name(of field: Field) -> StaticString

    // Conversations. The body is an object; wrong types and missing fields are refused with the field's name.
    static func readRequest(_ body: JSONValue, into conversation: Conversation) throws(Refusal)
    static func writeRequest(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal)
    /// A 200's body. False: not an answer of this dialect (its error, if it is one, is in `answer.error`).
    static func readAnswer(_ body: JSONValue, into answer: Answer) -> Bool
    static func writeAnswer(_ answer: Answer, _ context: AnswerContext, into out: inout JSONWriter)
    static func streamReader(_ quirks: Quirks) -> StreamReader
    static func streamWriter(_ context: AnswerContext) -> StreamWriter

    // Errors. `body` is missing when it was no JSON: then `text` is all there is. `kind` is Amazon's x-amzn-ErrorType.
    static func readError(status: Int, _ body: JSONValue, text: UnsafeRawBufferPointer, kind: JSONBytes, _ arena: ArenaBox) -> ProviderError
    /// - Returns: the HTTP status the dialect has for it.
    static func writeError(_ error: ProviderError, requestID: JSONBytes, into out: inout JSONWriter) -> Int

    // Embeddings and counts, where the dialect has them.
    static func readEmbedding(_ body: JSONValue, into request: EmbeddingRequest) throws(Refusal)
    static func writeEmbedding(_ request: EmbeddingRequest, to target: Target, into out: inout JSONWriter) throws(Refusal)
    static func readEmbeddingAnswer(_ body: JSONValue, into answer: EmbeddingAnswer) -> Bool
    static func writeEmbeddingAnswer(_ answer: EmbeddingAnswer, _ context: AnswerContext, into out: inout JSONWriter)
    /// The request of the dialect's token-counting endpoint; the conversation was read by `readRequest` or `readCount`.
    static func readCount(_ body: JSONValue, into conversation: Conversation) throws(Refusal)
    static func writeCount(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal)
    static func readCountAnswer(_ body: JSONValue) -> Int64?
    static func writeCountAnswer(_ tokens: Int64, into out: inout JSONWriter)
}

extension DialectPieces {
    public static var framing: Framing { .sse }
    public static func name(of field: Field) -> StaticString { field.word }
    public static func readRequest(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        throw Refusal("model", "this dialect is spoken towards upstreams only")
    }
    public static func readEmbedding(_ body: JSONValue, into request: EmbeddingRequest) throws(Refusal) {
        throw Refusal("input", "this dialect has no embeddings")
    }
    public static func writeEmbedding(_ request: EmbeddingRequest, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        throw Refusal("model", "this upstream has no embeddings")
    }
    public static func readEmbeddingAnswer(_ body: JSONValue, into answer: EmbeddingAnswer) -> Bool { false }
    public static func writeEmbeddingAnswer(_ answer: EmbeddingAnswer, _ context: AnswerContext, into out: inout JSONWriter) {}
    public static func readCount(_ body: JSONValue, into conversation: Conversation) throws(Refusal) { try readRequest(body, into: conversation) }
    public static func writeCount(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        throw Refusal("model", "this upstream does not count tokens")
    }
    public static func readCountAnswer(_ body: JSONValue) -> Int64? { nil }
    public static func writeCountAnswer(_ tokens: Int64, into out: inout JSONWriter) {}
}

/// Texts to be turned into vectors.
public final class EmbeddingRequest {
    public let arena = ArenaBox()
    public var source = DialectID.chat
    public var model = JSONBytes()
    /// Escaped texts; or, with `isTokens`, raw arrays of token ids.
    public var inputs: [JSONBytes] = []
    public var isTokens = false
    /// One text, not a list of them.
    public var isSingle = false
    public var dimensions: Int64?
    public var asBase64 = false
    /// `search_document`, `RETRIEVAL_QUERY` …: in the source's word.
    public var task = JSONBytes()
    public var title = JSONBytes()
    public var user = JSONBytes()
    public var extras: [Extra] = []
    public private(set) var dropped: [JSONBytes] = []
    public var dropsUnsupported = false
    public static let inputsMax = 10_000
    public init() {}

    public func reset(source: DialectID) {
        self.source = source
        arena.arena.reset()
        model = JSONBytes()
        inputs.removeAll(keepingCapacity: true)
        isTokens = false
        isSingle = false
        dimensions = nil
        asBase64 = false
        task = JSONBytes()
        title = JSONBytes()
        user = JSONBytes()
        extras.removeAll()
        dropped.removeAll()
        dropsUnsupported = false
    }
    public func cannot(_ field: Field, _ reason: StaticString = "this upstream has no such option") throws(Refusal) {
        let name = JSONBytes(source.pieces.name(of: field))
        if !dropsUnsupported { throw Refusal(name, reason) }
        note(name)
    }
    public func note(_ name: JSONBytes) { if dropped.count < 32 { dropped.append(name) } }
}

public final class EmbeddingAnswer {
    public let arena = ArenaBox()
    public var id = JSONBytes()
    public var model = JSONBytes()
    /// Raw arrays of numbers; or, where `isBase64`, escaped base64 of little-endian float32.
    public var vectors: [JSONBytes] = []
    public var isBase64 = false
    public var usage = Usage()
    public init() {}
    public func reset() {
        arena.arena.reset()
        id = JSONBytes()
        model = JSONBytes()
        vectors.removeAll(keepingCapacity: vectors.count <= 1024)
        isBase64 = false
        usage = Usage()
    }
}
