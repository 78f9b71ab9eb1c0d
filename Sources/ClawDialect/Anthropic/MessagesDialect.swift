// Anthropic's Messages API, as clients speak it to the gateway and as the gateway speaks it to api.anthropic.com, and to the hosts that serve Claude under
// the same body (Amazon Bedrock's invoke, Google's Vertex; `Quirks.claudeHost`).
//
// How it differs from Chat Completions, and what is made of it. Instructions are no message but a field of their own, and come first: later ones are moved
// there. A turn is a list of blocks, turns alternate, and a tool's result is a block of the user's turn, in front of all others: neutral messages of one
// side that follow each other become one turn. The answer's length must be said. Thinking comes back with a signature, without which it is refused when
// it is sent again. Usage counts what came from the cache apart from the input. A stream consists of blocks that are opened, filled and closed one after
// the other, each event with its name; it ends with `message_stop`.
//
// A request that was read in this dialect is written as it was: nothing is moved, clamped or left out, whatever the model. What the API would refuse in
// a request of another dialect is put right where that changes nothing of what was asked, with the field's name noted where it changes a little.
//
// Two conventions of the gateway's own. A signature of another provider's goes to the client as `maker#signature` (see Signatures). And Gemini signs calls,
// for which there is no place here: such a signature is an empty thinking block of its own right before the call, and put back upon the call when the
// client sends both.
import ClawWire

public enum MessagesDialect: DialectPieces {
    public static var id: DialectID { .messages }

    public static func name(of field: Field) -> StaticString {
        switch field {
        case .stop: "stop_sequences"
        case .parallelToolCalls: "tool_choice.disable_parallel_tool_use"
        case .responseFormat: "output_config.format"
        case .reasoning: "thinking"
        case .user: "metadata.user_id"
        case .image, .document, .video, .inputAudio: "messages[].content[].source"
        case .toolArguments: "messages[].content[].input"
        case .toolResultContent: "messages[].content[].content"
        case .thinking: "messages[].content[].thinking"
        case .systemRole: "system"
        case .strict: "tools[].strict"
        case .customTools: "tools[].type"
        default: field.word
        }
    }

    public static func streamReader(_ quirks: Quirks) -> StreamReader { MessagesStreamReader() }
    public static func streamWriter(_ context: AnswerContext) -> StreamWriter { MessagesStreamWriter(context) }

    // MARK: counting

    /// A request without `max_tokens`.
    public static func readCount(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        try read(body, into: conversation, isCount: true)
    }

    public static func readCountAnswer(_ body: JSONValue) -> Int64? { body["input_tokens"].tokens }

    public static func writeCountAnswer(_ tokens: Int64, into out: inout JSONWriter) {
        out.beginObject()
        out.member("input_tokens", max(0, tokens))
        out.endObject()
    }

    // MARK: places of extras

    /// Indices under scope `nested`: whose member an extra is.
    enum Nested {
        static let outputConfig = 1
        static let metadata = 2
        static let toolChoice = 3
        static let thinking = 4
        /// Hints (see `Conversation.hintIndex`) within a tool, a part or a piece of a tool's result.
        static func hint(_ scope: Extra.Scope, _ index: Int) -> Int { Conversation.placedHintMax - 3 * index - (scope == .tool ? 0 : scope == .part ? 1 : 2) }
        /// The other way.
        static func place(_ hint: Int) -> (scope: Extra.Scope, index: Int) {
            let number = Conversation.placedHintMax - hint
            return (number % 3 == 0 ? .tool : number % 3 == 1 ? .part : .inner, number / 3)
        }
    }

    // MARK: usage

    /// What is there replaces, what is missing or null stays as it was (later events of a stream name only some counts).
    static func readUsage(_ value: JSONValue, into usage: inout Usage) {
        guard value.isObject else { return }
        if let input = value["input_tokens"].tokens {
            usage.hasInput = true
            usage.freshInput = input
        }
        if let read = value["cache_read_input_tokens"].tokens { usage.cacheRead = read }
        let split = value["cache_creation"]
        if let written = value["cache_creation_input_tokens"].tokens {
            usage.cacheWriteHour = min(written, split["ephemeral_1h_input_tokens"].tokens ?? usage.cacheWriteHour)
            usage.cacheWrite = written - usage.cacheWriteHour
        } else if split.isObject {
            usage.cacheWriteHour = split["ephemeral_1h_input_tokens"].tokens ?? 0
            usage.cacheWrite = split["ephemeral_5m_input_tokens"].tokens ?? 0
        }
        if let output = value["output_tokens"].tokens {
            let thinking = value["output_tokens_details"]["thinking_tokens"].tokens ?? usage.reasoning
            usage.setOutput(sum: output, reasoning: min(thinking, output))
        }
    }

    /// The object alone, without asking for a comma. `isWhole`: with what only a message's start and a whole message have.
    static func putUsage(_ usage: Usage, isWhole: Bool, into out: inout JSONWriter) {
        out.put("{\"input_tokens\":")
        out.put(number: usage.freshInput + usage.audioInput)
        out.put(",\"cache_creation_input_tokens\":")
        out.put(number: usage.cacheWrite + usage.cacheWriteHour)
        out.put(",\"cache_read_input_tokens\":")
        out.put(number: usage.cacheRead)
        if isWhole {
            out.put(",\"cache_creation\":{\"ephemeral_5m_input_tokens\":")
            out.put(number: usage.cacheWrite)
            out.put(",\"ephemeral_1h_input_tokens\":")
            out.put(number: usage.cacheWriteHour)
            out.put("}")
        }
        out.put(",\"output_tokens\":")
        out.put(number: usage.output)
        if usage.reasoning > 0 {
            out.put(",\"output_tokens_details\":{\"thinking_tokens\":")
            out.put(number: usage.reasoning)
            out.put("}")
        }
        out.put("}")
    }

    // MARK: why it ended

    static func finish(_ word: JSONValue) -> Finish {
        if word.equals("end_turn") { return .stop }
        if word.equals("tool_use") { return .toolCalls }
        if word.equals("max_tokens") { return .length }
        if word.equals("stop_sequence") { return .stopSequence }
        if word.equals("model_context_window_exceeded") { return .contextWindow }
        if word.equals("pause_turn") { return .pause }
        if word.equals("refusal") { return .refusal }
        return word.isString ? .other : .unset
    }

    static func stopReason(_ finish: Finish, hasCalls: Bool, hasRefusal: Bool) -> StaticString {
        switch finish {
        case .unset, .stop, .other, .error: hasCalls ? "tool_use" : hasRefusal ? "refusal" : "end_turn"
        case .stopSequence: "stop_sequence"
        case .length: "max_tokens"
        case .contextWindow: "model_context_window_exceeded"
        case .toolCalls: "tool_use"
        case .contentFilter, .refusal: "refusal"
        case .pause: "pause_turn"
        }
    }

    // MARK: ids

    static func messageID(_ id: JSONBytes, isOwn: Bool, _ context: AnswerContext, _ arena: inout JSONArena) -> JSONBytes {
        if !id.isEmpty, isOwn || id.begins(with: "msg_") { return id }
        return Identifiers.make("msg_", seed: context.seed, &arena)
    }
}
