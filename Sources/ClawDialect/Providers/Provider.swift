// A provider is what `upstreams.*.type` names: the dialect it is spoken to in, where its endpoints are below the base URL, how a key is shown to it.
// Data, not code; to add one, write a line into `Provider.all` (and a folder, when its dialect is a new one).

/// What a request asks for, whatever the dialect.
public enum Operation: UInt8, Sendable {
    case generate, stream, embed, count
}

public struct Provider: Sendable {
    public enum KeyForm: Sendable {
        /// `authorization: Bearer KEY`
        case bearer
        /// `NAME: KEY`
        case header(String)
        /// AWS Signature Version 4; a configured key is a Bedrock API key and goes as bearer.
        case signature
    }
    /// The word in the configuration and in the log's `provider`.
    public var name: String
    public var dialect: DialectID
    /// Dialects whose requests go through byte for byte.
    public var native: Set<DialectID>
    public var baseURL: String?
    public var key: KeyForm
    /// Sent unless the client (of the same dialect) sent its own.
    public var headers: [(name: String, value: String)] = []
    /// Put behind a base path that does not end in a version of its own ("/v1").
    public var version = ""
    /// Name of the set of quirks it always has.
    public var quirks: String?
    /// The base URL is the root that OpenAI's `/v1` stands for, and paths below `/v1` that the gateway has no word for go there too.
    public var isOpenAILike = false
    /// The default of `stream_usage`.
    public var asksUsage = false

    /// Path below the base path. `{model}` is replaced by the model's id, percent-encoded.
    public func path(_ operation: Operation, _ dialect: DialectID, model: String = "") -> String {
        switch dialect {
        case .chat: operation == .embed ? "/embeddings" : "/chat/completions"
        case .completions: "/completions"
        case .responses: "/responses"
        case .messages: operation == .count ? "/messages/count_tokens" : "/messages"
        case .gemini:
            switch operation {
            case .generate: "/models/{model}:generateContent"
            case .stream: "/models/{model}:streamGenerateContent?alt=sse"
            case .embed: "/models/{model}:batchEmbedContents"
            case .count: "/models/{model}:countTokens"
            }
        case .converse:
            switch operation {
            case .generate: "/model/{model}/converse"
            case .stream: "/model/{model}/converse-stream"
            case .embed: "/model/{model}/invoke"
            case .count: "/model/{model}/count-tokens"
            }
        case .cohere: operation == .embed ? "/embed" : "/chat"
        case .ollama: operation == .embed ? "/api/embed" : "/api/chat"
        case .ollamaGenerate: "/api/generate"
        }
    }

    public static func named(_ name: String) -> Provider? { all.first { $0.name == name } }

    /// One line (of data) each.
    public static let all: [Provider] = [
        Provider(name: "openai", dialect: .chat, native: [.chat, .completions, .responses], baseURL: "https://api.openai.com/v1", key: .bearer, isOpenAILike: true, asksUsage: true),
        Provider(name: "anthropic", dialect: .messages, native: [.messages], baseURL: "https://api.anthropic.com", key: .header("x-api-key"),
                 headers: [("anthropic-version", "2023-06-01")], version: "/v1"),
        Provider(name: "gemini", dialect: .gemini, native: [.gemini], baseURL: "https://generativelanguage.googleapis.com", key: .header("x-goog-api-key"), version: "/v1beta"),
        Provider(name: "bedrock", dialect: .converse, native: [.converse], baseURL: nil, key: .signature),
        Provider(name: "azure", dialect: .chat, native: [.chat, .completions], baseURL: nil, key: .header("api-key"), quirks: "azure", isOpenAILike: true, asksUsage: true),
        Provider(name: "cohere", dialect: .cohere, native: [.cohere], baseURL: "https://api.cohere.com", key: .bearer, version: "/v2"),
        Provider(name: "mistral", dialect: .chat, native: [], baseURL: "https://api.mistral.ai/v1", key: .bearer, quirks: "mistral", isOpenAILike: true),
        Provider(name: "ollama", dialect: .ollama, native: [.ollama, .ollamaGenerate], baseURL: "http://127.0.0.1:11434", key: .bearer),
        Provider(name: "generic", dialect: .chat, native: [.chat, .completions, .responses], baseURL: nil, key: .bearer, isOpenAILike: true),
    ]
}
