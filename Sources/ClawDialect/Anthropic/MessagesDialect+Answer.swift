// Whole answers. Written in the dialect they were read in, usage is the upstream's own object, with all that no other dialect knows (tiers, places, server
// tools); else it has the counts that the official clients read, zero where nothing is known.
import ClawWire

extension MessagesDialect {
    public static func readAnswer(_ body: JSONValue, into answer: Answer) -> Bool {
        guard body["content"].isArray else {
            if body["type"].equals("error") || body["error"].isObject {
                answer.error = readError(status: 500, body, text: UnsafeRawBufferPointer(start: nil, count: 0), kind: JSONBytes(), answer.arena)
            }
            return false
        }
        answer.beginChoice()
        for block in body["content"].elements where !readBlock(block, into: answer) { return false }
        for member in body.members {
            let (key, value) = member
            if key.equals("id") {
                answer.id = value.text
            } else if key.equals("model") {
                answer.model = value.text
            } else if key.equals("stop_reason") {
                answer.choices[0].finish = finish(value)
                answer.choices[0].nativeFinish = value.text
            } else if key.equals("stop_sequence") {
                answer.choices[0].stopSequence = value.text
            } else if key.equals("usage") {
                readUsage(value, into: &answer.usage)
                answer.serviceTier = tier(value["service_tier"])
                answer.extra(.usage, 0, member)
            } else if !key.equals("type"), !key.equals("role"), !key.equals("content") {
                answer.extra(.root, 0, member)
            }
        }
        return true
    }

    /// In the words of Chat Completions.
    private static func tier(_ word: JSONValue) -> JSONBytes {
        if word.equals("standard") { return JSONBytes("default") }
        return word.equals("priority") ? JSONBytes("priority") : JSONBytes()
    }

    private static func readBlock(_ block: JSONValue, into answer: Answer) -> Bool {
        guard block.isObject else { return false }
        let type = block["type"]
        let index = answer.parts.count
        if type.equals("text") {
            var part = Part.text(block["text"].text)
            if block["citations"].exists { part.citations = block["citations"].raw }
            guard part.text.exists else { return false }
            answer.add(part)
            for member in block.members where !member.key.equals("type") && !member.key.equals("text") && !member.key.equals("citations") {
                answer.extra(.part, index, member)
            }
        } else if type.equals("thinking") {
            var part = Part(.thinking)
            part.text = block["thinking"].text
            part.signature = block["signature"].text
            part.signatureOf = .messages
            guard part.text.exists else { return false }
            answer.add(part)
            for member in block.members where !member.key.equals("type") && !member.key.equals("thinking") && !member.key.equals("signature") {
                answer.extra(.part, index, member)
            }
        } else if type.equals("redacted_thinking") {
            var part = Part(.redactedThinking)
            part.data = block["data"].text
            part.signatureOf = .messages
            answer.add(part)
            for member in block.members where !member.key.equals("type") && !member.key.equals("data") { answer.extra(.part, index, member) }
        } else if type.equals("tool_use") {
            var part = Part(.toolCall)
            part.id = block["id"].text
            part.name = block["name"].text
            guard part.name.exists else { return false }
            part.json = block["input"].isObject ? block["input"].raw : JSONBytes("{}")
            answer.add(part)
            for member in block.members {
                if member.key.equals("type") || member.key.equals("id") || member.key.equals("name") || member.key.equals("input") { continue }
                answer.extra(.part, index, member)
            }
        } else {
            guard type.isString else { return false }
            var part = Part(.opaque)
            part.json = block.raw
            answer.add(part)
        }
        return true
    }

    // MARK: writing

    public static func writeAnswer(_ answer: Answer, _ context: AnswerContext, into out: inout JSONWriter) {
        let isOwn = answer.source == .messages
        let choice = answer.choices.first ?? Choice()
        out.beginObject()
        out.member("id", messageID(answer.id, isOwn: isOwn, context, &answer.arena.arena))
        out.member("type", "message")
        out.member("role", "assistant")
        out.member("model", answer.model.isEmpty ? context.model : answer.model)
        out.key("content")
        out.beginArray()
        var calls = 0
        var hasRefusal = false
        for at in choice.parts {
            let part = answer.parts[at]
            if part.kind == .refusal { hasRefusal = true }
            writePart(part, answer, at, calls, context, into: &out)
            if part.kind == .toolCall { calls += 1 }
        }
        out.endArray()
        if isOwn, choice.nativeFinish.exists {
            out.member("stop_reason", choice.nativeFinish)
        } else if isOwn, choice.finish == .unset {
            out.null("stop_reason")
        } else {
            out.member("stop_reason", stopReason(choice.finish, hasCalls: calls > 0, hasRefusal: hasRefusal))
        }
        if choice.stopSequence.exists { out.member("stop_sequence", choice.stopSequence) } else { out.null("stop_sequence") }
        answer.writeExtras(.root, 0, as: .messages, into: &out)
        if isOwn, answer.extras.contains(where: { $0.scope == .usage }) {
            answer.writeExtras(.usage, 0, as: .messages, into: &out)
        } else {
            out.key("usage")
            out.value(JSONBytes(""))
            putUsage(answer.usage, isWhole: true, into: &out)
        }
        out.endObject()
    }

    private static func writePart(
        _ part: Part, _ answer: Answer, _ at: Int, _ call: Int, _ context: AnswerContext, into out: inout JSONWriter
    ) {
        let isOwn = answer.source == .messages
        switch part.kind {
        case .text, .refusal:
            if part.text.isEmpty, !isOwn { return }
            out.beginObject()
            out.member("type", "text")
            out.member("text", part.text)
            if isOwn { out.member(ifPresent: "citations", raw: part.citations) }
        case .thinking:
            if part.text.isEmpty, part.signature.isEmpty, !isOwn { return }
            out.beginObject()
            out.member("type", "thinking")
            out.member("thinking", part.text)
            out.member("signature", Signatures.outward(part.signature, of: part.signatureOf, in: .messages, &answer.arena.arena))
        case .redactedThinking:
            out.beginObject()
            out.member("type", "redacted_thinking")
            out.member("data", Signatures.outward(part.data, of: part.signatureOf, in: .messages, &answer.arena.arena))
        case .toolCall:
            if !part.signature.isEmpty, !isOwn {
                // There is no place for it in the call.
                out.beginObject()
                out.member("type", "thinking")
                out.member("thinking", "")
                out.member("signature", Signatures.outward(part.signature, of: part.signatureOf, in: .messages, &answer.arena.arena))
                out.endObject()
            }
            out.beginObject()
            out.member("type", "tool_use")
            out.member("id", part.id.isEmpty ? Identifiers.make("toolu_", seed: context.seed, ordinal: call, &answer.arena.arena) : part.id)
            out.member("name", part.name)
            out.key("input")
            if part.isCustom {
                out.beginObject()
                out.member("input", part.text)
                out.endObject()
            } else {
                out.value(answer.argumentsObject(part))
            }
        case .image:
            // No model of Anthropic's makes images, but its blocks have the form.
            out.beginObject()
            out.member("type", "image")
            out.key("source")
            out.beginObject()
            if part.source == .url {
                out.member("type", "url")
                out.member("url", part.data)
            } else {
                out.member("type", "base64")
                out.member("media_type", part.mediaType)
                out.member("data", part.data)
            }
            out.endObject()
        case .audio:
            // What was said, where that is known.
            if part.text.isEmpty { return }
            out.beginObject()
            out.member("type", "text")
            out.member("text", part.text)
        case .opaque:
            if isOwn { out.value(part.json) }
            return
        case .video, .document, .toolResult: return
        }
        answer.writeExtras(.part, at, as: .messages, into: &out)
        out.endObject()
    }
}
