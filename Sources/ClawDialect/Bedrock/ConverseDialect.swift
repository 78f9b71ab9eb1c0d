// Amazon Bedrock's Converse: one dialect for the models of many makers. It is spoken towards upstreams; the other direction (requests read, answers and
// streams written) is there for upstreams played in tests, and so that nothing of a recorded exchange gets lost on the way through the neutral model.
//
// What differs from OpenAI's chat: the system prompt stands beside the messages, user and assistant take turns, content is a list of blocks that are told
// apart by their only key, a call's arguments are an object, its result is a block of the user's, usage excludes what the cache gave, and a stream is
// frames (`application/vnd.amazon.eventstream`) whose usage comes after its finish reason. The model's id stands in the URL, the type of an error in a
// header. Facts and traps: ../shared/providers/bedrock.md.
import ClawWire

public enum ConverseDialect: DialectPieces {
    public static var id: DialectID { .converse }
    public static var framing: Framing { .frames }

    public static func name(of field: Field) -> StaticString {
        switch field {
        case .maxTokens: "inferenceConfig.maxTokens"
        case .temperature: "inferenceConfig.temperature"
        case .topP: "inferenceConfig.topP"
        case .stop: "inferenceConfig.stopSequences"
        case .topK: "additionalModelRequestFields.top_k"
        case .tools, .hostedTools, .customTools: "toolConfig.tools"
        case .toolChoice, .parallelToolCalls: "toolConfig.toolChoice"
        case .responseFormat: "outputConfig.textFormat"
        case .reasoning: "outputConfig.effort"
        case .metadata: "requestMetadata"
        case .serviceTier: "serviceTier"
        case .cacheControl: "cachePoint"
        case .image: "messages[].content[].image"
        case .inputAudio: "messages[].content[].audio"
        case .document: "messages[].content[].document"
        case .video: "messages[].content[].video"
        case .toolArguments: "messages[].content[].toolUse.input"
        case .toolResultContent: "messages[].content[].toolResult.content"
        case .thinking: "messages[].content[].reasoningContent"
        case .strict: "toolConfig.tools[].toolSpec.strict"
        case .input: "inputText"
        default: field.word
        }
    }

    // MARK: stop reasons

    static func finish(of word: JSONValue) -> Finish {
        if word.equals("end_turn") { return .stop }
        if word.equals("tool_use") { return .toolCalls }
        if word.equals("max_tokens") { return .length }
        if word.equals("stop_sequence") { return .stopSequence }
        if word.equals("guardrail_intervened") || word.equals("content_filtered") { return .contentFilter }
        if word.equals("model_context_window_exceeded") { return .contextWindow }
        if word.equals("malformed_model_output") || word.equals("malformed_tool_use") { return .error }
        if word.equals("refusal") { return .refusal }
        if word.equals("pause_turn") { return .pause }
        return .other
    }

    static func word(of finish: Finish, hasCalls: Bool) -> StaticString {
        switch finish {
        case .stopSequence: "stop_sequence"
        case .length: "max_tokens"
        case .contextWindow: "model_context_window_exceeded"
        case .toolCalls: "tool_use"
        case .contentFilter, .refusal: "content_filtered"
        case .error: "malformed_model_output"
        case .pause: "end_turn"
        case .stop, .unset, .other: hasCalls ? "tool_use" : "end_turn"
        }
    }

    // MARK: usage

    /// `inputTokens` excludes what was read from and written to the cache, as Anthropic's does; `totalTokens` includes them.
    static func usage(of value: JSONValue) -> Usage {
        var usage = Usage()
        if let input = value["inputTokens"].tokens {
            usage.hasInput = true
            usage.freshInput = input
        }
        // The wire says each of these twice.
        if let read = value["cacheReadInputTokens"].tokens ?? value["cacheReadInputTokenCount"].tokens { usage.cacheRead = read }
        if let write = value["cacheWriteInputTokens"].tokens ?? value["cacheWriteInputTokenCount"].tokens { usage.cacheWrite = write }
        var hour: Int64 = 0
        for detail in value["cacheDetails"].elements where detail["ttl"].equals("1h") { hour = saturating(hour, detail["inputTokens"].tokens ?? 0) }
        usage.cacheWriteHour = min(hour, usage.cacheWrite)
        usage.cacheWrite -= usage.cacheWriteHour
        if usage.cacheRead > 0 || usage.cacheWrite > 0 || usage.cacheWriteHour > 0 { usage.hasInput = true }
        if let output = value["outputTokens"].tokens { usage.setOutput(sum: output) }
        if let total = value["totalTokens"].tokens, total > usage.input + usage.output { usage.statedTotal = total }
        return usage
    }

    private static func saturating(_ one: Int64, _ other: Int64) -> Int64 {
        let (sum, isOver) = one.addingReportingOverflow(other)
        return isOver ? .max : sum
    }

    /// A member that `writeUsage` does not write by itself.
    static func isUsageExtra(_ key: JSONValue, _ value: JSONValue) -> Bool {
        if key.equals("inputTokens") || key.equals("outputTokens") || key.equals("totalTokens") { return false }
        if key.equals("cacheReadInputTokens") || key.equals("cacheWriteInputTokens") { return (value.tokens ?? 0) <= 0 }
        return true
    }

    /// The members, without the braces.
    static func writeUsage(_ usage: Usage, isOwn: Bool, into out: inout JSONWriter) {
        out.member("inputTokens", usage.freshInput + usage.audioInput)
        out.member("outputTokens", usage.output)
        out.member("totalTokens", usage.total)
        if usage.cacheRead > 0 { out.member("cacheReadInputTokens", usage.cacheRead) }
        let written = usage.cacheWrite + usage.cacheWriteHour
        if written > 0 { out.member("cacheWriteInputTokens", written) }
        // In its own dialect they are among the extras.
        if usage.cacheWriteHour > 0, !isOwn {
            out.key("cacheDetails")
            out.beginArray()
            for (ttl, count) in [("5m" as StaticString, usage.cacheWrite), ("1h", usage.cacheWriteHour)] where count > 0 {
                out.beginObject()
                out.member("ttl", ttl)
                out.member("inputTokens", count)
                out.endObject()
            }
            out.endArray()
        }
    }
}
