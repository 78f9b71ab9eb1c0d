// Writes a whole answer, and the pieces of the response object that the stream's first and last events carry too. An answer that was read from this
// dialect gets all its members back; one of another dialect gets all that the official SDKs' types require, with what this gateway can vouch for.
import ClawWire

extension ResponsesDialect {
    public static func writeAnswer(_ answer: Answer, _ context: AnswerContext, into out: inout JSONWriter) {
        let isOwn = answer.source == .responses
        let choice = answer.choices.first ?? Choice()
        let end = ending(of: choice.finish, native: isOwn ? choice.nativeFinish : JSONBytes())
        var head = ResponseHead()
        head.id = isOwn && !answer.id.isEmpty ? answer.id : Identifiers.make("resp_", seed: context.seed, length: 48, &answer.arena.arena)
        head.model = answer.model.isEmpty ? context.model : answer.model
        head.created = answer.created > 0 ? answer.created : context.now
        head.ending = end
        out.beginObject()
        writeHead(head, into: &out)
        out.key("output")
        out.beginArray()
        writeOutput(answer, choice, isComplete: end.status != .incomplete, context, into: &out)
        out.endArray()
        out.key("usage")
        writeUsage(answer.usage, of: answer, into: &out)
        out.member(ifPresent: "service_tier", answer.serviceTier)
        if isOwn {
            answer.writeExtras(.root, 0, as: .responses, into: &out)
        } else {
            writeSettings(completed: max(context.now, head.created), hasTier: answer.serviceTier.exists, into: &out)
        }
        out.endObject()
    }

    // MARK: the response object

    enum Status {
        case inProgress, completed, incomplete, failed
        var word: StaticString {
            switch self {
            case .inProgress: "in_progress"
            case .completed: "completed"
            case .incomplete: "incomplete"
            case .failed: "failed"
            }
        }
    }

    struct Ending {
        var status: Status
        /// Of `incomplete_details`; empty: there are none.
        var reason = JSONBytes()
    }

    struct ResponseHead {
        var id = JSONBytes()
        var model = JSONBytes()
        var created: Int64 = 0
        var ending = Ending(status: .inProgress)
        /// The text of `error`, where the response failed.
        var failure = JSONBytes()
    }

    static func ending(of finish: Finish, native: JSONBytes = JSONBytes()) -> Ending {
        if native.exists, !native.isEmpty {
            if native.equals("completed") { return Ending(status: .completed) }
            return Ending(status: .incomplete, reason: native)
        }
        return switch finish {
        case .length, .contextWindow: Ending(status: .incomplete, reason: JSONBytes("max_output_tokens"))
        case .contentFilter, .refusal: Ending(status: .incomplete, reason: JSONBytes("content_filter"))
        case .error: Ending(status: .failed)
        case .unset, .stop, .stopSequence, .toolCalls, .pause, .other: Ending(status: .completed)
        }
    }

    /// Members of the response that every dialect's answers have.
    static func writeHead(_ head: ResponseHead, into out: inout JSONWriter) {
        out.member("id", head.id)
        out.member("object", "response")
        out.member("created_at", head.created)
        out.member("status", head.ending.status.word)
        if head.ending.status == .failed {
            out.key("error")
            out.beginObject()
            out.member("code", "server_error")
            out.member("message", head.failure.isEmpty ? JSONBytes("the upstream could not finish its answer") : head.failure)
            out.endObject()
        } else {
            out.null("error")
        }
        if head.ending.reason.isEmpty {
            out.null("incomplete_details")
        } else {
            out.key("incomplete_details")
            // "incomplete" stands for an answer of this dialect that gave no reason.
            if head.ending.reason.equals("incomplete") {
                out.null()
            } else {
                out.beginObject()
                out.member("reason", head.ending.reason)
                out.endObject()
            }
        }
        out.member("model", head.model)
    }

    /// What the request set and the writer of an answer does not know: the defaults, or null where there is none to state.
    static func writeSettings(completed: Int64?, hasTier: Bool, into out: inout JSONWriter) {
        out.member("background", false)
        if let completed { out.member("completed_at", completed) } else { out.null("completed_at") }
        out.null("instructions")
        out.null("max_output_tokens")
        out.null("max_tool_calls")
        out.member("metadata", raw: JSONBytes("{}"))
        out.member("parallel_tool_calls", true)
        out.null("previous_response_id")
        out.member("reasoning", raw: JSONBytes(#"{"effort":null,"summary":null}"#))
        if !hasTier { out.member("service_tier", "default") }
        out.member("store", false)
        out.null("temperature")
        out.member("text", raw: JSONBytes(#"{"format":{"type":"text"}}"#))
        out.member("tool_choice", "auto")
        out.member("tools", raw: JSONBytes("[]"))
        out.null("top_p")
        out.member("truncation", "disabled")
        out.null("user")
    }

    /// The value of `usage`; null where nothing is known. `answer`: whose extras belong to it.
    static func writeUsage(_ usage: Usage, of answer: Answer? = nil, into out: inout JSONWriter) {
        guard usage.isKnown else { return out.null() }
        let isOwn = answer?.source == .responses
        out.beginObject()
        out.member("input_tokens", usage.input)
        out.key("input_tokens_details")
        out.beginObject()
        out.member("cached_tokens", usage.cacheRead)
        if isOwn {
            answer?.writeExtras(.usage, 1, as: .responses, into: &out)
        } else {
            out.member("cache_write_tokens", usage.cacheWrite + usage.cacheWriteHour)
        }
        out.endObject()
        out.member("output_tokens", usage.output)
        out.key("output_tokens_details")
        out.beginObject()
        out.member("reasoning_tokens", usage.reasoning)
        if isOwn { answer?.writeExtras(.usage, 2, as: .responses, into: &out) }
        out.endObject()
        out.member("total_tokens", usage.total)
        if isOwn { answer?.writeExtras(.usage, 0, as: .responses, into: &out) }
        out.endObject()
    }

    // MARK: items

    private static func writeOutput(_ answer: Answer, _ choice: Choice, isComplete: Bool, _ context: AnswerContext, into out: inout JSONWriter) {
        let isOwn = answer.source == .responses
        var items = OutputItems(answer, context, isComplete: isComplete)
        var at = choice.parts.lowerBound
        let end = choice.parts.upperBound
        while at < end {
            let part = answer.parts[at]
            switch part.kind {
            case .thinking: items.writeReasoning(part, into: &out)
            case .redactedThinking:
                items.writeProof(Seal.redacted(part.data, of: part.signatureOf ?? answer.source, &answer.arena.arena), into: &out)
            case .toolCall: items.writeCall(part, at, isLast: at + 1 == end, into: &out)
            case .image where part.source == .base64: items.writeImage(part, into: &out)
            case .opaque where isOwn && part.form & ItemForm.piece == 0: out.value(part.json)
            case .text, .refusal, .opaque:
                if part.kind == .opaque, !isOwn { break }
                let first = at
                while at + 1 < end, OutputItems.isPiece(answer.parts[at + 1], isOwn), !isOwn || answer.parts[at + 1].form & ItemForm.start == 0 { at += 1 }
                items.writeMessage(first...at, isLast: at + 1 == end, logprobs: choice.logprobs, into: &out)
            case .image, .audio, .video, .document, .toolResult: break
            }
            at += 1
        }
    }
}

/// Writes the items of a whole answer, and makes their ids.
private struct OutputItems {
    let answer: Answer
    let context: AnswerContext
    let isOwn: Bool
    let isComplete: Bool
    private var itemExtras = ExtraCursor(.message)
    private var pieceExtras = ExtraCursor(.part)
    private var made = 0
    private var calls = 0

    init(_ answer: Answer, _ context: AnswerContext, isComplete: Bool) {
        self.answer = answer
        self.context = context
        self.isComplete = isComplete
        isOwn = answer.source == .responses
    }

    static func isPiece(_ part: Part, _ isOwn: Bool) -> Bool {
        part.kind == .text || part.kind == .refusal || (isOwn && part.kind == .opaque && part.form & ItemForm.piece != 0)
    }

    private mutating func id(_ prefix: StaticString, _ known: JSONBytes = JSONBytes()) -> JSONBytes {
        if isOwn, !known.isEmpty { return known }
        made += 1
        return Identifiers.make(prefix, seed: context.seed, ordinal: made, length: 48, &answer.arena.arena)
    }

    mutating func writeMessage(_ range: ClosedRange<Int>, isLast: Bool, logprobs: JSONBytes, into out: inout JSONWriter) {
        out.beginObject()
        out.member("id", id("msg_", answer.parts[range.lowerBound].itemID))
        out.member("type", "message")
        out.member("role", "assistant")
        if isOwn {
            itemExtras.write(range.lowerBound, of: answer.extras, into: &out)
        } else {
            out.member("status", isLast && !isComplete ? "incomplete" : "completed")
        }
        out.key("content")
        out.beginArray()
        var logprobs = logprobs
        for at in range {
            let part = answer.parts[at]
            if part.kind == .opaque { out.value(part.json); continue }
            out.beginObject()
            out.member("type", part.kind == .refusal ? "refusal" : "output_text")
            out.member(part.kind == .refusal ? "refusal" : "text", part.text)
            if isOwn {
                pieceExtras.write(at, of: answer.extras, into: &out)
            } else if part.kind == .text {
                out.key("annotations")
                out.beginArray()
                if part.citations.exists, answer.arena.tape.read(part.citations.raw) == nil {
                    for one in answer.arena.tape.root.elements { _ = ResponsesDialect.writeAnnotation(one, into: &out) }
                }
                out.endArray()
                out.key("logprobs")
                if logprobs.exists, answer.arena.tape.read(logprobs.raw) == nil, answer.arena.tape.root["content"].isArray {
                    out.value(answer.arena.tape.root["content"].raw)
                    logprobs = JSONBytes()
                } else {
                    out.value(JSONBytes("[]"))
                }
            }
            out.endObject()
            // A text's own proof (Gemini's) has no place in the message.
        }
        out.endArray()
        out.endObject()
        for at in range where !isOwn && !answer.parts[at].signature.isEmpty { writeProof(outward(answer.parts[at]), into: &out) }
    }

    mutating func writeReasoning(_ part: Part, into out: inout JSONWriter) {
        if isOwn, part.json.exists { return out.value(part.json) }
        writeReasoning(text: part.text, proof: part.signature.isEmpty ? JSONBytes() : outward(part), into: &out)
    }

    /// A reasoning item that is nothing but proof.
    mutating func writeProof(_ proof: JSONBytes, into out: inout JSONWriter) { writeReasoning(text: JSONBytes(), proof: proof, into: &out) }

    private mutating func writeReasoning(text: JSONBytes, proof: JSONBytes, into out: inout JSONWriter) {
        out.beginObject()
        out.member("id", id("rs_"))
        out.member("type", "reasoning")
        out.key("summary")
        out.beginArray()
        if !text.isEmpty {
            out.beginObject()
            out.member("type", "summary_text")
            out.member("text", text)
            out.endObject()
        }
        out.endArray()
        out.member(ifPresent: "encrypted_content", proof)
        out.endObject()
    }

    private func outward(_ part: Part) -> JSONBytes {
        Signatures.outward(part.signature, of: part.signatureOf ?? answer.source, in: .responses, &answer.arena.arena)
    }

    mutating func writeCall(_ part: Part, _ at: Int, isLast: Bool, into out: inout JSONWriter) {
        let callID = part.id.isEmpty ? Identifiers.make("call_", seed: context.seed, ordinal: calls, &answer.arena.arena) : part.id
        calls += 1
        if !isOwn, !part.signature.isEmpty {
            writeProof(Seal.call(callID, part.signature, of: part.signatureOf ?? answer.source, &answer.arena.arena), into: &out)
        }
        out.beginObject()
        out.member("id", id(part.isCustom ? "ctc_" : "fc_", part.itemID))
        out.member("type", part.isCustom ? "custom_tool_call" : "function_call")
        if isOwn {
            itemExtras.write(at, of: answer.extras, into: &out)
        } else {
            out.member("status", isLast && !isComplete ? "incomplete" : "completed")
        }
        out.key(part.isCustom ? "input" : "arguments")
        if part.json.exists {
            out.string(escaping: part.json.raw)
        } else if part.text.isEmpty, !isOwn, !part.isCustom {
            out.string("{}")
        } else {
            out.string(part.text)
        }
        out.member("call_id", callID)
        out.member("name", part.name)
        out.endObject()
    }

    mutating func writeImage(_ part: Part, into out: inout JSONWriter) {
        out.beginObject()
        out.member("id", id("ig_"))
        out.member("type", "image_generation_call")
        out.member("status", "completed")
        out.member("result", part.data)
        out.endObject()
    }
}

extension ResponsesDialect {
    /// A citation in this API's words: its own annotations as they are, the chat API's `{type, url_citation: {…}}` made flat. Others name no place in the
    /// text, which an annotation here must.
    /// - Returns: whether it was written.
    static func writeAnnotation(_ value: JSONValue, into out: inout JSONWriter) -> Bool {
        let inner = value["url_citation"]
        if value["type"].equals("url_citation"), inner.isObject {
            out.beginObject()
            out.member("type", "url_citation")
            for member in inner.members where !member.key.equals("type") {
                out.key(member.key.text)
                out.value(member.value.raw)
            }
            out.endObject()
            return true
        }
        let type = value["type"]
        guard type.equals("url_citation") || type.equals("file_citation") || type.equals("container_file_citation") || type.equals("file_path") else { return false }
        out.value(value.raw)
        return true
    }
}
