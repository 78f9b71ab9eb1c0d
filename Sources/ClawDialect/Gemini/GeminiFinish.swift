// Why a candidate ended, in both directions, and usage in Google's classes.
import ClawWire

enum GeminiFinish {
    static func read(_ word: JSONBytes) -> Finish {
        if word.equals("STOP") { return .stop }
        if word.equals("MAX_TOKENS") { return .length }
        for filter in filters where word.equals(filter) { return .contentFilter }
        for failure in failures where word.equals(failure) { return .error }
        // OTHER, FINISH_REASON_UNSPECIFIED, and what will be added.
        return .other
    }

    private static let filters: [StaticString] = [
        "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "NO_IMAGE",
        "MODEL_ARMOR",
    ]
    private static let failures: [StaticString] = [
        "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE",
    ]

    static func word(_ finish: Finish) -> StaticString {
        switch finish {
        case .unset, .stop, .stopSequence, .toolCalls, .pause, .other: "STOP"
        case .length, .contextWindow: "MAX_TOKENS"
        case .contentFilter, .refusal: "SAFETY"
        case .error: "OTHER"
        }
    }
}

enum GeminiUsage {
    /// `isFinal`: nothing comes after, so what is not stated is 0.
    static func read(_ value: JSONValue, isFinal: Bool) -> Usage {
        var usage = Usage()
        var prompt: Int64?
        var tools: Int64 = 0
        var cached: Int64 = 0
        var candidates: Int64?
        var thoughts: Int64?
        var total: Int64 = 0
        var promptAudio: Int64 = 0
        var cachedAudio: Int64 = 0
        var outputAudio: Int64 = 0
        for (key, value) in value.members {
            let name = key.text
            if name.equals("promptTokenCount") {
                prompt = value.tokens
            } else if name.equals("candidatesTokenCount") {
                candidates = value.tokens
            } else if name.equals("totalTokenCount") {
                total = value.tokens ?? 0
            } else if name.equals("thoughtsTokenCount") {
                thoughts = value.tokens
            } else if name.equals("promptTokensDetails") {
                promptAudio = audio(value)
            } else if name.equals("candidatesTokensDetails") {
                outputAudio = audio(value)
            } else if name.equals("cachedContentTokenCount") {
                cached = value.tokens ?? 0
            } else if name.equals("cacheTokensDetails") {
                cachedAudio = audio(value)
            } else if name.equals("toolUsePromptTokenCount") {
                tools = value.tokens ?? 0
            }
        }
        if prompt != nil || tools > 0 {
            usage.setInput(sum: (prompt ?? 0) + tools, cacheRead: cached, audio: promptAudio - cachedAudio)
        }
        if candidates != nil || thoughts != nil || (isFinal && usage.hasInput) {
            // Candidates leave out the thoughts.
            usage.setOutput(sum: (candidates ?? 0) + (thoughts ?? 0), reasoning: thoughts ?? 0, audio: outputAudio)
        }
        if usage.isKnown, total > usage.input + usage.output { usage.statedTotal = total }
        return usage
    }

    private static func audio(_ details: JSONValue) -> Int64 {
        for one in details.elements where one["modality"].equals("AUDIO") { return one["tokenCount"].tokens ?? 0 }
        return 0
    }

    /// Members of usageMetadata, the first without a comma before it.
    static func write(_ usage: Usage, into out: inout JSONWriter) {
        out.put("\"promptTokenCount\":")
        out.put(number: usage.input)
        if usage.cacheRead > 0 {
            out.put(",\"cachedContentTokenCount\":")
            out.put(number: usage.cacheRead)
        }
        out.put(",\"candidatesTokenCount\":")
        out.put(number: usage.textOutput + usage.audioOutput)
        if usage.reasoning > 0 {
            out.put(",\"thoughtsTokenCount\":")
            out.put(number: usage.reasoning)
        }
        out.put(",\"totalTokenCount\":")
        out.put(number: usage.total)
        if usage.audioInput > 0 { writeDetails("promptTokensDetails", usage.input - usage.audioInput, usage.audioInput, into: &out) }
        if usage.audioOutput > 0 { writeDetails("candidatesTokensDetails", usage.textOutput, usage.audioOutput, into: &out) }
    }

    private static func writeDetails(_ name: StaticString, _ text: Int64, _ audio: Int64, into out: inout JSONWriter) {
        out.put(",\"")
        out.put(name)
        out.put("\":[{\"modality\":\"TEXT\",\"tokenCount\":")
        out.put(number: text)
        out.put("},{\"modality\":\"AUDIO\",\"tokenCount\":")
        out.put(number: audio)
        out.put("}]")
    }
}
