// Whole answers of Converse. Text that a guardrail masked or put in the answer's place is text like any other; that it did so is the stop reason
// `guardrail_intervened`. Calls of tools that Bedrock runs itself (`toolUse.type`) and their results are opaque: a client must not take them for its own.
import ClawWire

extension ConverseDialect {
    public static func readAnswer(_ body: JSONValue, into answer: Answer) -> Bool {
        let message = body["output"]["message"]
        guard message.isObject, message["content"].isArray else {
            let text = body["message"].isString ? body["message"] : body["Message"]
            if text.isString {
                var error = ProviderError(status: 500, problem: .serverError)
                error.message = text.text
                error.native = body.raw
                error.source = .converse
                answer.error = error
            }
            return false
        }
        answer.beginChoice()
        for block in message["content"].elements {
            let index = answer.parts.count
            let part = answerPart(of: block, answer.arena)
            answer.add(part)
            for outer in block.members { for member in outer.value.members where isExtra(member.key, of: part.kind) { answer.extra(.part, index, member) } }
        }
        for member in message.members where !member.key.equals("role") && !member.key.equals("content") { answer.extra(.message, 0, member) }
        let last = answer.choices.count - 1
        answer.choices[last].finish = finish(of: body["stopReason"])
        answer.choices[last].nativeFinish = body["stopReason"].text
        answer.usage = usage(of: body["usage"])
        for member in body["usage"].members where isUsageExtra(member.key, member.value) { answer.extra(.usage, 0, member) }
        for member in body.members {
            if member.key.equals("output") || member.key.equals("stopReason") || member.key.equals("usage") { continue }
            if member.key.equals("serviceTier"), member.value["type"].isString, member.value.count == 1 {
                answer.serviceTier = member.value["type"].text
            } else {
                answer.extra(.root, 0, member)
            }
        }
        return true
    }

    private static func answerPart(of block: JSONValue, _ arena: ArenaBox) -> Part {
        if block["toolResult"].exists || block["toolUse"]["type"].exists { return opaque(block) }
        do throws(Refusal) { return try part(of: block, arena) } catch { return opaque(block) }
    }

    public static func writeAnswer(_ answer: Answer, _ context: AnswerContext, into out: inout JSONWriter) {
        let isOwn = answer.source == .converse
        out.beginObject()
        out.key("output")
        out.beginObject()
        out.key("message")
        out.beginObject()
        out.member("role", "assistant")
        out.key("content")
        out.beginArray()
        let choice = answer.choices.first ?? Choice()
        var calls = 0
        for index in choice.parts { writePart(answer.parts[index], index, of: answer, context, &calls, into: &out) }
        out.endArray()
        answer.writeExtras(.message, 0, as: .converse, into: &out)
        out.endObject()
        out.endObject()
        if isOwn, choice.nativeFinish.exists {
            out.member("stopReason", choice.nativeFinish)
        } else {
            out.member("stopReason", word(of: choice.finish, hasCalls: calls > 0))
        }
        out.key("usage")
        out.beginObject()
        writeUsage(answer.usage, isOwn: isOwn, into: &out)
        answer.writeExtras(.usage, 0, as: .converse, into: &out)
        out.endObject()
        if isOwn {
            answer.writeExtras(.root, 0, as: .converse, into: &out)
        } else {
            // Required by the service's model; how long it took is not known here.
            out.key("metrics")
            out.beginObject()
            out.member("latencyMs", Int64(0))
            out.endObject()
        }
        if isOwn, answer.serviceTier.exists {
            out.key("serviceTier")
            out.beginObject()
            out.member("type", answer.serviceTier)
            out.endObject()
        }
        out.endObject()
    }

    private static func writePart(_ part: Part, _ index: Int, of answer: Answer, _ context: AnswerContext, _ calls: inout Int, into out: inout JSONWriter) {
        let isOwn = answer.source == .converse
        switch part.kind {
        case .text, .refusal:
            if part.citations.exists, isOwn {
                writeCitations(part.text, part.citations, into: &out)
            } else if isOwn || !part.text.isEmpty {
                writeText(part.text, into: &out)
            }
        case .thinking:
            writeThinking(part.text, signature: Signatures.outward(part.signature, of: part.signatureOf, in: .converse, &answer.arena.arena), into: &out)
        case .redactedThinking:
            writeRedacted(redacted(part.data, of: part.signatureOf ?? answer.source, &answer.arena.arena), into: &out)
        case .toolCall:
            let ordinal = calls
            calls += 1
            out.beginObject()
            out.key("toolUse")
            out.beginObject()
            out.member("toolUseId", part.id.isEmpty ? Identifiers.make("tooluse_", seed: context.seed, ordinal: ordinal, &answer.arena.arena) : part.id)
            out.member("name", part.name)
            out.member("input", raw: answer.argumentsObject(part))
            answer.writeExtras(.part, index, as: .converse, into: &out)
            out.endObject()
            out.endObject()
        case .image, .document, .video, .audio:
            guard part.source == .base64 || isOwn, let format = BedrockFormat.word(of: part.mediaType, part.kind) else { return }
            out.beginObject()
            out.key(mediaKey(part.kind))
            out.beginObject()
            if part.kind == .document { out.member("name", isOwn ? part.name : documentName(part.name, index, &answer.arena.arena)) }
            writeMedia(part, format: format, into: &out)
            answer.writeExtras(.part, index, as: .converse, into: &out)
            out.endObject()
            out.endObject()
        case .opaque: if isOwn { out.value(part.json) }
        case .toolResult: break
        }
    }

    /// Redacted thoughts as Converse carries them: base64. Those of another maker get its name, as signatures do, and are wrapped.
    static func redacted(_ data: JSONBytes, of maker: DialectID, _ arena: inout JSONArena) -> JSONBytes {
        if maker == .converse { return data }
        return Base64.encode(Signatures.outward(data, of: maker, in: .converse, &arena).raw, &arena)
    }
}
