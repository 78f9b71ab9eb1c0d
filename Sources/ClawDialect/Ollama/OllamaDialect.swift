// Ollama's native chat (ollama/ollama, api/types.go): POST /api/chat and /api/embed, and the older /api/embeddings; spoken by clients and by upstreams.
//
// What is peculiar. Streaming is the default. A stream is one JSON object a line, the last with `"done":true`, which alone says that the answer is whole.
// A message's content is a string and its images are bare base64 beside it. A call's arguments are an object, and a call comes whole in one line; calls
// often have no id, and their results follow in order or name the tool. `done_reason` never says that calls were made: a call ends with `stop`. Sampling
// is in `options`, what a model may think in `think`, a schema in `format`. An error is `{"error":"text"}`, as a body and as a line.
import ClawWire

public enum OllamaDialect: DialectPieces {
    public static var id: DialectID { .ollama }
    public static var framing: Framing { .lines }
    public static func name(of field: Field) -> StaticString { OllamaWords.name(of: field) }

    public static func readAnswer(_ body: JSONValue, into answer: Answer) -> Bool { OllamaAnswer.read(body, into: answer, generates: false) }
    public static func writeAnswer(_ answer: Answer, _ context: AnswerContext, into out: inout JSONWriter) {
        OllamaAnswer.write(answer, context, into: &out, generates: false)
    }
    public static func streamReader(_ quirks: Quirks) -> StreamReader { OllamaStreamReader(generates: false) }
    public static func streamWriter(_ context: AnswerContext) -> StreamWriter { OllamaStreamWriter(context, generates: false) }
}

enum OllamaWords {
    static func name(of field: Field) -> StaticString {
        switch field {
        case .seed: "options.seed"
        case .temperature: "options.temperature"
        case .topP: "options.top_p"
        case .topK: "options.top_k"
        case .minP: "options.min_p"
        case .presencePenalty: "options.presence_penalty"
        case .frequencyPenalty: "options.frequency_penalty"
        case .stop: "options.stop"
        case .maxTokens: "options.num_predict"
        case .responseFormat: "format"
        case .reasoning: "think"
        case .image: "messages[].images"
        case .thinking: "messages[].thinking"
        default: field.word
        }
    }

    /// Ids that `readRequest` makes for calls that have none begin so; they never leave towards Ollama.
    static let madeID: StaticString = "call_ollama_"
    /// Index under scope `nested` of members that were there and empty. Their value is null, which other dialects pass over.
    static let emptyIndex = -2
}
