// Cohere's v2 API (cohere-ai/cohere-python, src/cohere/v2): POST /v2/chat and /v2/embed, spoken by upstreams and by clients.
//
// What is peculiar. Before calls the model writes a `tool_plan`, which wants to be sent back in the next turn: in the neutral model it is thinking whose
// signature is the word tool_plan and whose maker is Cohere, so it survives a client of another dialect that returns its signatures. A named tool can't be
// demanded; offering it alone and demanding some tool is the same. `strict` is one switch for all tools. `usage` counts twice: `tokens` with a hidden preamble
// of some hundred tokens, `billed_units` what is paid for. The gateway's counts are the billed ones; `tokens` and `cached_tokens` (of a prompt that is not
// billed as such) are kept as extras of the usage. A stream ends with `message-end` and then `[DONE]`.
import ClawWire

public enum CohereDialect: DialectPieces {
    public static var id: DialectID { .cohere }
    public static func name(of field: Field) -> StaticString {
        switch field {
        case .topP: "p"
        case .topK: "k"
        case .stop: "stop_sequences"
        case .reasoning: "thinking"
        case .strict: "strict_tools"
        case .thinking: "messages[].content[].thinking"
        case .dimensions: "output_dimension"
        case .encodingFormat: "embedding_types"
        case .input: "texts"
        default: field.word
        }
    }
    public static func streamReader(_ quirks: Quirks) -> StreamReader { CohereStreamReader() }
    public static func streamWriter(_ context: AnswerContext) -> StreamWriter { CohereStreamWriter(context) }

    /// Signature of thinking that came as a `tool_plan`.
    static let planMark: StaticString = "tool_plan"
    static func isPlan(_ part: Part) -> Bool { part.kind == .thinking && part.signatureOf == .cohere && part.signature.equals(planMark) }

    static func finish(_ word: JSONValue) -> Finish {
        if word.equals("COMPLETE") { return .stop }
        if word.equals("STOP_SEQUENCE") { return .stopSequence }
        if word.equals("MAX_TOKENS") { return .length }
        if word.equals("TOOL_CALL") { return .toolCalls }
        if word.equals("ERROR") || word.equals("TIMEOUT") { return .error }
        // Words of the first version of the API.
        if word.equals("ERROR_TOXIC") { return .contentFilter }
        if word.equals("ERROR_LIMIT") { return .contextWindow }
        return word.isString ? .other : .unset
    }
    static func word(_ finish: Finish, hasCalls: Bool) -> StaticString {
        switch finish {
        case .length, .contextWindow: "MAX_TOKENS"
        case .stopSequence: "STOP_SEQUENCE"
        case .toolCalls: "TOOL_CALL"
        case .error: "ERROR"
        case .unset, .stop, .contentFilter, .refusal, .pause, .other: hasCalls ? "TOOL_CALL" : "COMPLETE"
        }
    }
    /// What `finish_reason` ERROR and TIMEOUT say of an answer inside a 200.
    static func failure(_ word: JSONValue, _ message: JSONBytes, _ native: JSONBytes) -> ProviderError {
        var error = word.equals("TIMEOUT") ? ProviderError(status: 504, problem: .timeout) : ProviderError(status: 502, problem: .serverError)
        error.message = message.isEmpty ? PlainError.sentence(error.problem) : message
        error.type = word.text
        error.native = native
        error.source = .cohere
        return error
    }

    // MARK: usage

    /// Counts of `billed_units`, or of `tokens` where that is all there is.
    static func usage(_ value: JSONValue) -> Usage {
        var usage = Usage()
        let billed = value["billed_units"]
        let tokens = value["tokens"]
        if let input = billed["input_tokens"].tokens ?? tokens["input_tokens"].tokens { usage.setInput(sum: input) }
        if let output = billed["output_tokens"].tokens ?? tokens["output_tokens"].tokens {
            usage.setOutput(sum: output, reasoning: min(output, tokens["reasoning_tokens"].tokens ?? 0))
        }
        return usage
    }
    static func isOfBilled(_ key: JSONValue) -> Bool { key.equals("input_tokens") || key.equals("output_tokens") }

    /// `ownExtras` with scope `usage`: index 0 of the usage itself, 1 of `billed_units`.
    static func writeUsage(_ usage: Usage, _ ownExtras: [Extra]?, into out: inout JSONWriter) {
        out.beginObject()
        out.key("billed_units")
        out.beginObject()
        if usage.hasInput { out.member("input_tokens", usage.input) }
        if usage.hasOutput { out.member("output_tokens", usage.output) }
        for extra in ownExtras ?? [] where extra.scope == .usage && extra.index == 1 {
            out.key(extra.key)
            out.value(extra.value)
        }
        out.endObject()
        if let ownExtras {
            for extra in ownExtras where extra.scope == .usage && extra.index == 0 {
                out.key(extra.key)
                out.value(extra.value)
            }
        } else {
            out.key("tokens")
            out.beginObject()
            if usage.hasInput { out.member("input_tokens", usage.input) }
            if usage.hasOutput { out.member("output_tokens", usage.output) }
            out.endObject()
        }
        out.endObject()
    }
}
