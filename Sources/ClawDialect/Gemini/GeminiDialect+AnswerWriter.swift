// Writes a whole answer as a GenerateContentResponse.
import ClawWire

extension GeminiDialect {
    public static func writeAnswer(_ answer: Answer, _ context: AnswerContext, into out: inout JSONWriter) {
        let isSame = answer.source == .gemini
        // A blocked prompt has feedback instead of candidates; the reader made its choice up.
        let hasCandidates = !isSame || answer.choices.contains { !$0.parts.isEmpty || $0.nativeFinish.exists || $0.finish == .unset }
        out.beginObject()
        if hasCandidates {
            out.key("candidates")
            out.beginArray()
            var calls = 0
            for at in answer.choices.indices { writeCandidate(at, answer, context, &calls, into: &out) }
            out.endArray()
        }
        writeUsage(answer, isSame, into: &out)
        answer.writeExtras(.root, 0, as: .gemini, into: &out)
        if answer.model.exists || !isSame { out.member("modelVersion", answer.model.isEmpty ? context.model : answer.model) }
        if answer.id.exists {
            out.member("responseId", answer.id)
        } else if !isSame {
            out.member("responseId", Identifiers.make("", seed: context.seed, &answer.arena.arena))
        }
        out.endObject()
    }

    private static func writeUsage(_ answer: Answer, _ isSame: Bool, into out: inout JSONWriter) {
        if isSame, answer.extras.contains(where: { $0.scope == .usage }) {
            out.key("usageMetadata")
            out.beginObject()
            answer.writeExtras(.usage, 0, as: .gemini, into: &out)
            out.endObject()
        } else if answer.usage.isKnown {
            out.key("usageMetadata")
            out.beginObject()
            GeminiUsage.write(answer.usage, into: &out)
            out.endObject()
        }
    }

    private static func writeCandidate(_ at: Int, _ answer: Answer, _ context: AnswerContext, _ calls: inout Int, into out: inout JSONWriter) {
        let isSame = answer.source == .gemini
        let choice = answer.choices[at]
        out.beginObject()
        if !isSame || !choice.parts.isEmpty {
            out.key("content")
            out.beginObject()
            out.key("parts")
            out.beginArray()
            for part in choice.parts { writePart(part, answer, context, &calls, into: &out) }
            out.endArray()
            out.member("role", "model")
            answer.writeExtras(.message, at, as: .gemini, into: &out)
            out.endObject()
        }
        if isSame, choice.nativeFinish.exists {
            out.member("finishReason", choice.nativeFinish)
        } else if !isSame {
            out.member("finishReason", GeminiFinish.word(choice.finish))
        }
        if !isSame {
            out.member("index", choice.index)
            GeminiLogprobs.write(choice.logprobs, answer.arena, into: &out)
        }
        answer.writeExtras(.choice, at, as: .gemini, into: &out)
        out.endObject()
    }

    private static func writePart(_ at: Int, _ answer: Answer, _ context: AnswerContext, _ calls: inout Int, into out: inout JSONWriter) {
        let isSame = answer.source == .gemini
        let part = answer.parts[at]
        switch part.kind {
        case .opaque:
            if isSame { out.value(part.json) }
            return
        case .toolResult: return
        case .text, .refusal:
            if part.text.isEmpty, !isSame, part.signature.isEmpty { return }
            out.beginObject()
            out.member("text", part.text.exists ? part.text : JSONBytes(""))
        case .thinking:
            out.beginObject()
            out.member("text", part.text.exists ? part.text : JSONBytes(""))
            out.member("thought", true)
        case .redactedThinking:
            out.beginObject()
            out.member("text", "")
            out.member("thought", true)
            let maker = part.signatureOf ?? answer.source
            out.member("thoughtSignature", GeminiSignatures.outward(part.data, of: maker, isRedacted: true, &answer.arena.arena))
        case .image, .audio, .video, .document:
            guard isSame || part.source == .base64 || part.source == .url, !part.data.isEmpty else { return }
            out.beginObject()
            writeMedia(part, isSame, answer, into: &out)
        case .toolCall:
            out.beginObject()
            out.key("functionCall")
            out.beginObject()
            if !part.id.isEmpty {
                out.member("id", part.id)
            } else if !isSame {
                out.member("id", Identifiers.make("call_", seed: context.seed, ordinal: calls, &answer.arena.arena))
            }
            calls += 1
            out.member("name", part.name)
            if part.isCustom {
                out.key("args")
                out.beginObject()
                out.member("input", part.text)
                out.endObject()
            } else if !isSame || part.json.exists {
                out.member("args", raw: answer.argumentsObject(part))
            }
            answer.writeExtras(.nested, at, as: .gemini, into: &out)
            out.endObject()
        }
        if part.kind != .redactedThinking, part.signature.exists, isSame || !part.signature.isEmpty {
            out.member("thoughtSignature", GeminiSignatures.outward(part.signature, of: part.signatureOf ?? answer.source, &answer.arena.arena))
        }
        answer.writeExtras(.part, at, as: .gemini, into: &out)
        out.endObject()
    }

    private static func writeMedia(_ part: Part, _ isSame: Bool, _ answer: Answer, into out: inout JSONWriter) {
        var type = part.mediaType
        var data = part.data
        var isInline = part.source == .base64
        if part.source == .url, let parsed = DataURL.parse(part.data) {
            type = parsed.mediaType
            data = parsed.data
            isInline = true
        }
        out.key(isInline ? "inlineData" : "fileData")
        out.beginObject()
        if !type.isEmpty {
            out.member("mimeType", type)
        } else if isInline {
            out.member("mimeType", part.kind == .image ? "image/png" : part.kind == .audio ? "audio/wav" : "application/octet-stream")
        }
        out.member(isInline ? "data" : "fileUri", data)
        if isSame, part.name.exists { out.member("displayName", part.name) }
        out.endObject()
    }
}
