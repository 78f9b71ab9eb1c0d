// The tap reads along while an answer passes: is this event content, an error, the end, and what usage does it state? It holds nothing back and
// changes nothing; what it finds is written into the exchange.
import CScan
import ClawDialect
import ClawWire
import Glibc

enum Tap {
    static let names = [
        "error", "type", "choices", "choices.0.finish_reason", "choices.0.delta.content", "choices.0.delta.tool_calls",
        "choices.0.text", "choices.0.delta.reasoning_content", "choices.0.delta.reasoning", "choices.0.delta.refusal", "choices.0.delta.function_call",
        "usage.prompt_tokens", "usage.completion_tokens", "usage.prompt_tokens_details.cached_tokens", "usage.completion_tokens_details.reasoning_tokens",
        "usage.input_tokens", "usage.output_tokens",
        "response.usage.input_tokens", "response.usage.output_tokens", "response.usage.input_tokens_details.cached_tokens",
        "response.usage.output_tokens_details.reasoning_tokens", "response.status", "status", "usage",
        "usage.input_tokens_details.cached_tokens", "usage.output_tokens_details.reasoning_tokens",
        "usage.prompt_tokens_details.cache_write_tokens", "usage.input_tokens_details.cache_write_tokens", "response.usage.input_tokens_details.cache_write_tokens",
        "usage.prompt_tokens_details.audio_tokens", "usage.completion_tokens_details.audio_tokens",
        "usage.total_tokens", "usage.prompt_cache_hit_tokens", "usage.cached_tokens", "x_groq.usage.prompt_tokens", "x_groq.usage.completion_tokens",
    ]
    static let error = 0, type = 1, choices = 2, finishReason = 3, content = 4, toolCalls = 5, text = 6, reasoningContent = 7, reasoning = 8
    static let refusal = 9, functionCall = 10
    static let promptTokens = 11, completionTokens = 12, cachedTokens = 13, reasoningTokens = 14
    static let inputTokens = 15, outputTokens = 16
    static let responseInput = 17, responseOutput = 18, responseCached = 19, responseReasoning = 20, responseStatus = 21, status = 22, usage = 23
    static let inputCached = 24, outputReasoning = 25
    static let cacheWrite = 26, inputCacheWrite = 27, responseCacheWrite = 28, promptAudio = 29, completionAudio = 30
    // Words of OpenAI's likes: DeepSeek's and Together's cached tokens, Groq's usage without being asked.
    static let totalTokens = 31, cacheHit = 32, flatCached = 33, groqPrompt = 34, groqCompletion = 35

    enum Verdict {
        /// Nothing of it is content (the role delta, `response.created` …).
        case preamble
        case content
        /// The upstream says that it failed.
        case error
        /// Only usage, which this client did not ask for.
        case hidden
    }
}

extension Worker {
    /// What one event's data says. Called with the data of every event of a model's stream.
    func tap(_ exchange: UnsafeMutablePointer<Exchange>, _ event: SSEEvent) -> Tap.Verdict {
        if event.isDone {
            exchange.pointee.sawDone = true
            return .content
        }
        if event.isOversized { return .content }
        let isErrorName = event.name.count == 5 && Bytes("error").equals(event.name)
        // The usual event of a stream under way is one more piece of text: a glance tells, and the full scan is spared (3,000 of 4,200
        // instructions an event).
        if exchange.pointee.sawContent, !isErrorName, let base = event.data.baseAddress,
            cscan_event_matters(base.assumingMemoryBound(to: UInt8.self), event.data.count) == 0
        {
            return .content
        }
        let spans = scanAnswer(event.data)
        guard let spans, let base = event.data.baseAddress else { return isErrorName ? .error : .content }
        if isErrorName { return .error }
        switch spans[Tap.error].kind {
        case .missing, .null: break
        default: return .error
        }
        takeUsage(exchange, spans, base)
        takeFinish(exchange, spans, base)
        if spans[Tap.choices].kind == .array {
            if exchange.pointee.hidesUsage, spans[Tap.usage].kind == .object, spans[Tap.choices].length <= 4,
                isEmptyArray(base, spans[Tap.choices])
            {
                return .hidden
            }
            return isContent(spans) ? .content : .preamble
        }
        if spans[Tap.type].kind == .string { return typed(exchange, spans, base) }
        return .content
    }

    /// Scans a whole JSON value with the tap's paths; nil when it is not JSON.
    func scanAnswer(_ data: UnsafeRawBufferPointer) -> UnsafeMutablePointer<JSONSpan>? {
        for at in 0..<Tap.names.count { tapSpans[at].kind = .missing }
        var scanner = FieldScanner(paths: tapPaths, depthMax: 64)
        guard case .complete = scanner.scan(data, isLast: true, spans: tapSpans) else { return nil }
        return tapSpans
    }

    private func isEmptyArray(_ base: UnsafeRawPointer, _ span: JSONSpan) -> Bool {
        for at in 1..<max(1, span.length - 1) where (base + span.offset + at).load(as: UInt8.self) > 32 { return false }
        return true
    }

    private func isContent(_ spans: UnsafeMutablePointer<JSONSpan>) -> Bool {
        for at in [Tap.content, Tap.text, Tap.reasoningContent, Tap.reasoning, Tap.refusal] where spans[at].kind == .string && spans[at].length > 2 { return true }
        return spans[Tap.toolCalls].kind == .array || spans[Tap.functionCall].kind == .object || spans[Tap.finishReason].kind == .string
            || spans[Tap.usage].kind == .object
    }

    /// Events of the Responses API say in `type` what they are.
    private func typed(_ exchange: UnsafeMutablePointer<Exchange>, _ spans: UnsafeMutablePointer<JSONSpan>, _ base: UnsafeRawPointer) -> Tap.Verdict {
        let value = UnsafeRawBufferPointer(start: base + spans[Tap.type].offset, count: spans[Tap.type].length)
        func names(_ text: StaticString) -> Bool { JSONText.isEqual(value, to: text) }
        if names("error") || names("response.failed") { return .error }
        if names("response.created") || names("response.in_progress") || names("response.queued") { return .preamble }
        if names("response.completed") || names("response.incomplete") {
            exchange.pointee.sawDone = true
            exchange.pointee.sawFinish = true
            if exchange.pointee.finishReasonLength == 0, spans[Tap.responseStatus].kind == .string { keepFinish(exchange, spans[Tap.responseStatus], base) }
        }
        return .content
    }

    func takeFinish(_ exchange: UnsafeMutablePointer<Exchange>, _ spans: UnsafeMutablePointer<JSONSpan>, _ base: UnsafeRawPointer) {
        let span = spans[Tap.finishReason]
        guard span.kind == .string else { return }
        exchange.pointee.sawFinish = true
        keepFinish(exchange, span, base)
    }

    private func keepFinish(_ exchange: UnsafeMutablePointer<Exchange>, _ span: JSONSpan, _ base: UnsafeRawPointer) {
        let length = min(span.length - 2, 24)
        exchange.pointee.finishReasonLength = UInt8(length)
        withUnsafeMutableBytes(of: &exchange.pointee.finishReason) {
            $0.baseAddress.unsafelyUnwrapped.copyMemory(from: base + span.offset + 1, byteCount: length)
        }
    }

    /// The last statement of usage wins; a number that is no count is clamped and marked by JSONNumber's rules (faults SS-11).
    func takeUsage(_ exchange: UnsafeMutablePointer<Exchange>, _ spans: UnsafeMutablePointer<JSONSpan>, _ base: UnsafeRawPointer) {
        func count(_ first: Int, _ second: Int, _ third: Int) -> Int64? {
            for at in [first, second, third] where spans[at].kind == .number {
                return JSONNumber.parseCount(UnsafeRawBufferPointer(start: base + spans[at].offset, count: spans[at].length))?.count
            }
            return nil
        }
        if spans[Tap.usage].kind != .object, spans[Tap.responseInput].kind == .missing, spans[Tap.groqPrompt].kind == .missing { return }
        var usage = Usage()
        let cached = count(Tap.cachedTokens, Tap.inputCached, Tap.responseCached) ?? count(Tap.cacheHit, Tap.flatCached, Tap.cacheHit)
        let reasoning = count(Tap.reasoningTokens, Tap.outputReasoning, Tap.responseReasoning)
        if let value = count(Tap.promptTokens, Tap.inputTokens, Tap.responseInput) ?? count(Tap.groqPrompt, Tap.groqPrompt, Tap.groqPrompt) {
            usage.setInput(
                sum: value, cacheRead: cached ?? 0, cacheWrite: count(Tap.cacheWrite, Tap.inputCacheWrite, Tap.responseCacheWrite) ?? 0,
                audio: count(Tap.promptAudio, Tap.promptAudio, Tap.promptAudio) ?? 0)
            usage.saysCached = cached != nil
        }
        if var value = count(Tap.completionTokens, Tap.outputTokens, Tap.responseOutput) ?? count(Tap.groqCompletion, Tap.groqCompletion, Tap.groqCompletion) {
            // Where the total is the sum of all three, reasoning was not included (xAI).
            if let reasoning, reasoning > 0, count(Tap.totalTokens, Tap.totalTokens, Tap.totalTokens) == usage.input + value + reasoning { value += reasoning }
            usage.setOutput(sum: value, reasoning: reasoning ?? 0, audio: count(Tap.completionAudio, Tap.completionAudio, Tap.completionAudio) ?? 0)
            usage.saysReasoning = reasoning != nil
        }
        exchange.pointee.usage.take(usage)
    }

    /// A plain answer: its usage object and finish reason stand near its end, so only the last bytes are looked at, not the whole text. A quote inside
    /// a JSON string is escaped, so `"usage":` can only be a key.
    func takeUsageFromEnd(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        let start = max(0, count - TailWindow.size)
        let base = bytes + start
        let length = count - start
        var found = cscan_answer_end()
        cscan_find_answer_end(base, length, &found)
        if found.finish > 0, found.finish < length, base[found.finish] == 34 {
            var end = found.finish + 1
            while end < length, base[end] != 34 { end += 1 }
            if end < length {
                var span = JSONSpan()
                span.kind = .string
                span.offset = found.finish
                span.length = end + 1 - found.finish
                exchange.pointee.sawFinish = true
                keepFinish(exchange, span, UnsafeRawPointer(base))
            }
        }
        let open = found.usage
        guard open > 0, open < length, base[open] == 123, length - open + 16 <= Self.scratchBytes else { return }
        var counts = cscan_usage()
        let isPlain = cscan_read_usage(base, open, length, &counts) == 1
        if isPlain, counts.reasoning <= 0 || counts.total != counts.input + counts.output + counts.reasoning {
            var usage = Usage()
            if counts.input >= 0 {
                usage.setInput(sum: counts.input, cacheRead: counts.cached)
                usage.saysCached = counts.cached >= 0
            }
            if counts.output >= 0 {
                usage.setOutput(sum: counts.output, reasoning: counts.reasoning)
                usage.saysReasoning = counts.reasoning >= 0
            }
            exchange.pointee.usage.take(usage)
            return
        }
        var depth = 0
        var end = open
        while end < length {
            if base[end] == 123 { depth += 1 }
            if base[end] == 125 {
                depth -= 1
                if depth == 0 { break }
            }
            end += 1
        }
        guard end < length else { return }
        // Made a document of its own: {"usage":{…}}.
        var writer = TextWriter(scratch)
        writer.put("{\"usage\":")
        writer.put(base + open, end + 1 - open)
        writer.put(byte: 125)
        if let spans = scanAnswer(UnsafeRawBufferPointer(start: scratch, count: writer.count)) { takeUsage(exchange, spans, UnsafeRawPointer(scratch)) }
    }
}
