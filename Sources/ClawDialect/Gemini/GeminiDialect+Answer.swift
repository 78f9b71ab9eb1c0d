// Reads a whole answer. Candidates become choices, and their parts parts; what has no neutral word (ratings, citations, grounding) is kept for Gemini's own
// clients. A prompt that was blocked has no candidates: it becomes one empty choice that the filter ended.
import ClawWire

extension GeminiDialect {
    public static func readAnswer(_ body: JSONValue, into answer: Answer) -> Bool {
        if let error = inBandError(body, answer.arena) {
            answer.error = error
            return false
        }
        guard body.isObject else { return malformed(answer) }
        let candidates = body["candidates"]
        let isBlocked = body["promptFeedback"]["blockReason"].isString
        guard candidates.isArray || isBlocked || (!candidates.isPresent && body["usageMetadata"].isObject) else { return malformed(answer) }
        answer.id = body["responseId"].text
        answer.model = body["modelVersion"].text
        for member in body.members {
            let name = member.key.text
            if name.equals("candidates") || name.equals("responseId") || name.equals("modelVersion") { continue }
            if name.equals("usageMetadata") {
                answer.usage = GeminiUsage.read(member.value, isFinal: true)
                for one in member.value.members { answer.extra(.usage, 0, one) }
                continue
            }
            answer.extra(.root, 0, member)
        }
        for candidate in candidates.elements {
            guard candidate.isObject, answer.choices.count < 1024 else { return malformed(answer) }
            readCandidate(candidate, into: answer)
        }
        if answer.choices.isEmpty {
            answer.beginChoice()
            answer.choices[0].finish = isBlocked ? .contentFilter : .other
        }
        return true
    }

    private static func malformed(_ answer: Answer) -> Bool {
        answer.error = malformedError
        return false
    }

    static var malformedError: ProviderError {
        var error = ProviderError(status: 502, problem: .serverError)
        error.code = JSONBytes("upstream_malformed_answer")
        error.message = JSONBytes("the upstream's answer is not what its API prescribes")
        error.source = .gemini
        return error
    }

    private static func readCandidate(_ candidate: JSONValue, into answer: Answer) {
        let at = answer.choices.count
        answer.beginChoice(max(0, min(candidate["index"].int ?? 0, Int64(Int32.max))))
        let reason = candidate["finishReason"].text
        let content = candidate["content"]
        let parts = content["parts"]
        var finish = reason.exists ? GeminiFinish.read(reason) : .unset
        // The model called what was not offered: that must not be acted upon.
        let isUnexpected = reason.equals("UNEXPECTED_TOOL_CALL")
        for part in parts.elements where part.isObject { readPart(part, isUnexpected: isUnexpected, into: answer) }
        if finish == .stop || finish == .other, answer.hasCalls(answer.choices[at]) { finish = .toolCalls }
        answer.choices[at].finish = finish
        answer.choices[at].nativeFinish = reason
        for member in candidate.members {
            let name = member.key.text
            if name.equals("finishReason") { continue }
            if name.equals("content"), parts.first.exists {
                for inner in content.members where !inner.key.equals("parts") && !inner.key.equals("role") { answer.extra(.message, at, inner) }
                continue
            }
            if name.equals("logprobsResult") { answer.choices[at].logprobs = GeminiLogprobs.read(member.value, &answer.arena.arena) }
            answer.extra(.choice, at, member)
        }
    }

    private static func readPart(_ value: JSONValue, isUnexpected: Bool, into answer: Answer) {
        var text = JSONValue()
        var signature = JSONBytes()
        var call = JSONValue()
        var inline = JSONValue()
        var file = JSONValue()
        var isThought = false
        var others = 0
        for (key, member) in value.members {
            let name = key.text
            if name.equals("text") {
                text = member
            } else if name.equals("thought") {
                isThought = member.bool ?? false
            } else if name.equals("thoughtSignature") {
                signature = member.text
            } else if name.equals("functionCall") {
                call = member
            } else if name.equals("inlineData") {
                inline = member
            } else if name.equals("fileData") {
                file = member
            } else {
                others += 1
            }
        }
        let at = answer.parts.count
        var part = Part(.opaque)
        part.json = value.raw
        if text.isString {
            part = .text(text.text)
            if isThought { part.kind = .thinking }
        } else if call.isObject, !isUnexpected, call["name"].isString, !call["partialArgs"].exists {
            part = Part(.toolCall)
            part.id = call["id"].text
            part.name = call["name"].text
            if call["args"].isObject { part.json = call["args"].raw }
            for member in call.members where !member.key.equals("id") && !member.key.equals("name") && !member.key.equals("args") {
                answer.extra(.nested, at, member)
            }
        } else if inline.isObject, inline["data"].isString {
            part = GeminiMedia.part(
                type: inline["mimeType"].text, data: inline["data"].text, name: inline["displayName"].text, isInline: true, &answer.arena.arena)
        } else if file.isObject, file["fileUri"].isString {
            part = GeminiMedia.part(type: file["mimeType"].text, data: file["fileUri"].text, name: file["displayName"].text, isInline: false, &answer.arena.arena)
        } else if !call.exists, !inline.exists, !file.exists, others == 0 {
            part = .text(JSONBytes(""))
        }
        if part.kind == .opaque { return answer.add(part) }
        if signature.exists {
            part.signature = signature
            part.signatureOf = .gemini
        }
        if others > 0 {
            for member in value.members {
                let name = member.key.text
                if name.equals("text") || name.equals("thought") || name.equals("thoughtSignature") || name.equals("functionCall") || name.equals("inlineData")
                    || name.equals("fileData")
                {
                    continue
                }
                answer.extra(.part, at, member)
            }
        }
        answer.add(part)
    }

    public static func readCountAnswer(_ body: JSONValue) -> Int64? { body["totalTokens"].tokens }

    public static func writeCountAnswer(_ tokens: Int64, into out: inout JSONWriter) {
        out.beginObject()
        out.member("totalTokens", tokens)
        out.endObject()
    }
}

/// `logprobsResult` and OpenAI's `logprobs` object.
enum GeminiLogprobs {
    static func read(_ result: JSONValue, _ arena: inout JSONArena) -> JSONBytes {
        let chosen = result["chosenCandidates"]
        guard chosen.isArray else { return JSONBytes() }
        var out = JSONWriter(limit: 8 << 20)
        var tops = result["topCandidates"].elements
        out.beginObject()
        out.key("content")
        out.beginArray()
        for one in chosen.elements {
            out.beginObject()
            writeToken(one, into: &out)
            out.key("top_logprobs")
            out.beginArray()
            if let top = tops.next() {
                for other in top["candidates"].elements {
                    out.beginObject()
                    writeToken(other, into: &out)
                    out.endObject()
                }
            }
            out.endArray()
            out.endObject()
        }
        out.endArray()
        out.null("refusal")
        out.endObject()
        return out.isOverflown ? JSONBytes() : arena.copy(out.written)
    }

    private static func writeToken(_ one: JSONValue, into out: inout JSONWriter) {
        out.member("token", one["token"].text.exists ? one["token"].text : JSONBytes(""))
        out.member("logprob", raw: one["logProbability"].kind == .number ? one["logProbability"].raw : JSONBytes("0"))
        out.null("bytes")
    }

    /// Members `avgLogprobs` and `logprobsResult` of a candidate.
    static func write(_ logprobs: JSONBytes, _ arena: ArenaBox, into out: inout JSONWriter) {
        guard logprobs.exists, arena.tape.read(logprobs.raw) == nil else { return }
        let content = arena.tape.root["content"]
        guard content.first.exists else { return }
        var sum = 0.0
        var count = 0
        for one in content.elements {
            sum += one["logprob"].double ?? 0
            count += 1
        }
        out.key("avgLogprobs")
        out.number(sum / Double(count))
        out.key("logprobsResult")
        out.beginObject()
        out.key("chosenCandidates")
        out.beginArray()
        for one in content.elements { writeCandidate(one, into: &out) }
        out.endArray()
        out.key("topCandidates")
        out.beginArray()
        for one in content.elements {
            out.beginObject()
            out.key("candidates")
            out.beginArray()
            for top in one["top_logprobs"].elements { writeCandidate(top, into: &out) }
            out.endArray()
            out.endObject()
        }
        out.endArray()
        out.endObject()
    }

    private static func writeCandidate(_ one: JSONValue, into out: inout JSONWriter) {
        out.beginObject()
        if one["token"].isString { out.member("token", one["token"].text) }
        if one["logprob"].kind == .number { out.member("logProbability", raw: one["logprob"].raw) }
        out.endObject()
    }
}
