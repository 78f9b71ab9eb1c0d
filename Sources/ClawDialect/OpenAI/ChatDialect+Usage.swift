// Usage in OpenAI's words, and in those its likes have beside them. `prompt_tokens` includes what came from the cache and `completion_tokens` the reasoning,
// but not everywhere: where the total is the sum of all three, reasoning was not included (xAI).
import ClawWire

extension ChatDialect {
    /// - Parameter excludesReasoning: for answers that state no total to tell by.
    static func usage(_ value: JSONValue, excludesReasoning: Bool = false) -> Usage {
        var usage = Usage()
        guard value.isObject else { return usage }
        var input: Int64?
        var output: Int64?
        var total: Int64?
        var cached: Int64?
        var flatCached: Int64 = 0
        var written: Int64 = 0
        var audioIn: Int64 = 0
        var audioOut: Int64 = 0
        var reasoning: Int64 = 0
        for member in value.members {
            let key = member.key.text
            if member.value.kind == .number {
                guard let (count, isExact) = JSONNumber.parseCount(member.value.raw.raw) else { continue }
                if key.equals("prompt_tokens") {
                    input = count
                    if !isExact { usage.isEstimated = true }
                } else if key.equals("completion_tokens") {
                    output = count
                    if !isExact { usage.isEstimated = true }
                } else if key.equals("total_tokens") {
                    total = count
                } else if key.equals("prompt_cache_hit_tokens") || key.equals("cached_tokens") || key.equals("cache_read_input_tokens") {
                    flatCached = count
                } else if key.equals("cache_creation_input_tokens") {
                    written = count
                } else if key.equals("reasoning_tokens") {
                    reasoning = count
                }
            } else if key.equals("prompt_tokens_details") {
                let details = member.value
                cached = details["cached_tokens"].tokens
                if let count = details["cache_write_tokens"].tokens { written = count }
                audioIn = details["audio_tokens"].tokens ?? 0
            } else if key.equals("completion_tokens_details") {
                let details = member.value
                if let count = details["reasoning_tokens"].tokens { reasoning = count }
                audioOut = details["audio_tokens"].tokens ?? 0
            }
        }
        if let input { usage.setInput(sum: input, cacheRead: cached ?? flatCached, cacheWrite: written, audio: audioIn) }
        if var sum = output {
            if reasoning > 0 {
                let isExcluded = total.map { $0 == (input ?? 0) + sum + reasoning } ?? excludesReasoning
                // Otherwise it is a part of the sum, and more than all cannot be (seen at OpenRouter: 11 of 10).
                if isExcluded { sum += reasoning } else { reasoning = min(reasoning, sum) }
            }
            usage.setOutput(sum: sum, reasoning: reasoning, audio: min(audioOut, sum - reasoning))
        }
        if let total, total > usage.input + usage.output { usage.statedTotal = total }
        return usage
    }

    static func writeUsage(_ usage: Usage, into out: inout JSONWriter) {
        out.beginObject()
        out.member("prompt_tokens", usage.input)
        out.member("completion_tokens", usage.output)
        out.member("total_tokens", usage.total)
        out.key("prompt_tokens_details")
        out.beginObject()
        out.member("cached_tokens", usage.cacheRead)
        if usage.cacheWrite + usage.cacheWriteHour > 0 { out.member("cache_write_tokens", usage.cacheWrite + usage.cacheWriteHour) }
        out.member("audio_tokens", usage.audioInput)
        out.endObject()
        out.key("completion_tokens_details")
        out.beginObject()
        out.member("reasoning_tokens", usage.reasoning)
        out.member("audio_tokens", usage.audioOutput)
        out.endObject()
        out.endObject()
    }

    /// One of `reasoning_details`.
    static func writeDetail(_ isText: Bool, text: JSONBytes, _ proof: JSONBytes, _ index: Int64, into out: inout JSONWriter) {
        out.beginObject()
        if isText {
            out.member("type", "reasoning.text")
            out.member("text", text)
            out.member("signature", proof)
        } else {
            out.member("type", "reasoning.encrypted")
            out.member("data", proof)
        }
        out.member("index", index)
        out.endObject()
    }
}
