// Writes a Converse request. From another dialect: system and developer messages are gathered in `system`; messages of one side that follow each other
// become one (Bedrock wants them to take turns), in which tools' results stand first; blank texts, which Bedrock refuses, are left out. From Converse
// itself everything is written as it was.
import ClawWire

extension ConverseDialect {
    public static func writeRequest(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == .converse
        let model = BedrockModel(target.model)
        try conversation.refuseExtras(of: .converse)
        out.beginObject()
        try writePrompt(conversation, model, target, into: &out)
        try writeInferenceConfig(conversation, model, target, into: &out)
        try writeOutputConfig(conversation, model, target, into: &out)
        if isOwn { conversation.writeExtras(.nested, Conversation.hintIndex, as: .converse, into: &out) }
        if !isOwn { try writeAdditional(conversation, model, target, into: &out) }
        writeServiceTier(conversation, into: &out)
        conversation.writeExtras(.root, 0, as: .converse, into: &out)
        out.endObject()
        if !isOwn { try refuseTheRest(conversation, model, target) }
    }

    public static func readCount(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        let converse = body["input"]["converse"]
        guard converse.isObject else { throw Refusal("input.converse", "must be an object") }
        try readRequest(converse, into: conversation)
    }

    /// What does not change the number of tokens is left out.
    public static func writeCount(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        out.beginObject()
        out.key("input")
        out.beginObject()
        out.key("converse")
        out.beginObject()
        try writePrompt(conversation, BedrockModel(target.model), target, into: &out)
        if conversation.source == .converse {
            for extra in conversation.extras where extra.scope == .nested && extra.index == Conversation.hintIndex && extra.key.equals("system") {
                out.key(extra.key)
                out.value(extra.value)
            }
        }
        conversation.writeExtras(.root, 0, as: .converse, into: &out)
        out.endObject()
        out.endObject()
        out.endObject()
    }

    public static func readCountAnswer(_ body: JSONValue) -> Int64? { body["inputTokens"].tokens }
    public static func writeCountAnswer(_ tokens: Int64, into out: inout JSONWriter) {
        out.beginObject()
        out.member("inputTokens", tokens)
        out.endObject()
    }

    // MARK: prompt

    private static func writePrompt(_ conversation: Conversation, _ model: BedrockModel, _ target: Target, into out: inout JSONWriter) throws(Refusal) {
        out.key("messages")
        out.beginArray()
        if conversation.source == .converse {
            for index in conversation.messages.indices where conversation.messages[index].role != .system {
                try writeOwnMessage(index, of: conversation, into: &out)
            }
        } else {
            try writeTurns(conversation, model, into: &out)
        }
        out.endArray()
        try writeSystem(conversation, model, target, into: &out)
        try writeToolConfig(conversation, model, into: &out)
    }

    private static func writeOwnMessage(_ index: Int, of conversation: Conversation, into out: inout JSONWriter) throws(Refusal) {
        let message = conversation.messages[index]
        out.beginObject()
        out.member("role", message.role == .assistant ? "assistant" : message.role == .developer ? "system" : "user")
        out.key("content")
        out.beginArray()
        for part in message.parts { try writePart(part, of: conversation, nil, into: &out) }
        out.endArray()
        conversation.writeExtras(.message, index, as: .converse, into: &out)
        out.endObject()
    }

    /// Messages of other dialects, in turns.
    private static func writeTurns(_ conversation: Conversation, _ model: BedrockModel, into out: inout JSONWriter) throws(Refusal) {
        let messages = conversation.messages
        var at = 0
        var count = 0
        while at < messages.count {
            guard let side = side(of: messages[at], in: conversation) else {
                at += 1
                continue
            }
            var end = at + 1
            while end < messages.count {
                if let other = Self.side(of: messages[end], in: conversation), other != side { break }
                end += 1
            }
            if count == 0, side == .assistant {
                try conversation.cannot(.prefill, "the first message must be the user's for this upstream")
            } else {
                try writeTurn(at..<end, side, isLast: end == messages.count, of: conversation, model, into: &out)
                count += 1
            }
            at = end
        }
        if count == 0 { throw Refusal(JSONBytes(conversation.source.pieces.name(of: .messages)), "at least one message must have content") }
    }

    /// Whose turn a message belongs to; nil for instructions and for what has nothing to say.
    private static func side(of message: Message, in conversation: Conversation) -> Role? {
        switch message.role {
        case .system, .developer: return nil
        case .user, .assistant, .tool:
            for part in message.parts where isWritable(conversation.parts[part], in: conversation) { return message.role == .assistant ? .assistant : .user }
            return nil
        }
    }

    /// False for what Bedrock would refuse and nobody misses (blank text), and for thoughts without a signature of Bedrock's.
    private static func isWritable(_ part: Part, in conversation: Conversation) -> Bool {
        switch part.kind {
        case .text, .refusal: return !isBlank(part.text)
        case .thinking:
            if part.signatureOf == .converse, !part.signature.isEmpty { return true }
            conversation.hint(.thinking)
            return false
        case .redactedThinking:
            if part.signatureOf == .converse { return true }
            conversation.hint(.thinking)
            return false
        default: return true
        }
    }

    private static func writeTurn(
        _ range: Range<Int>, _ side: Role, isLast: Bool, of conversation: Conversation, _ model: BedrockModel, into out: inout JSONWriter
    ) throws(Refusal) {
        out.beginObject()
        out.member("role", side == .assistant ? "assistant" : "user")
        out.key("content")
        out.beginArray()
        var hasDocument = false
        var hasText = false
        for isResults in [true, false] {
            for index in range where conversation.messages[index].role != .system && conversation.messages[index].role != .developer {
                let message = conversation.messages[index]
                if isResults, message.name.exists, message.role != .tool { try conversation.cannot(.name) }
                for part in message.parts {
                    let one = conversation.parts[part]
                    guard (one.kind == .toolResult) == isResults, isWritable(one, in: conversation) else { continue }
                    if one.kind == .document { hasDocument = true }
                    if one.kind == .text || one.kind == .refusal { hasText = true }
                    try writePart(part, of: conversation, model, into: &out)
                }
            }
        }
        // The whole prompt is to be kept: a mark behind its last block.
        if isLast, conversation.cache != .none { writeMark(conversation.cache, of: conversation, model, into: &out) }
        if hasDocument, !hasText { try conversation.cannot(.document, "needs a text beside it for this upstream") }
        out.endArray()
        out.endObject()
    }

    /// One part with its cache mark. `model`: of requests from other dialects.
    private static func writePart(_ index: Int, of conversation: Conversation, _ model: BedrockModel?, into out: inout JSONWriter) throws(Refusal) {
        let part = conversation.parts[index]
        switch part.kind {
        case .text, .refusal:
            if part.citations.exists, conversation.source == .converse {
                writeCitations(part.text, part.citations, into: &out)
            } else {
                writeText(part.text, into: &out)
            }
        case .thinking: writeThinking(part.text, signature: part.signature, into: &out)
        case .redactedThinking: writeRedacted(part.data, into: &out)
        case .opaque:
            guard conversation.source == .converse else {
                try conversation.cannot(.messages, "this upstream does not know this kind of content")
                return
            }
            out.value(part.json)
        case .image, .document, .video, .audio: try writeMedia(part, index, .part, of: conversation, into: &out)
        case .toolCall:
            if part.isCustom { return try conversation.cannot(.customTools) }
            guard let input = conversation.argumentsObject(part) else {
                throw Refusal(JSONBytes(conversation.source.pieces.name(of: .toolArguments)), "must be a JSON object for this upstream")
            }
            out.beginObject()
            out.key("toolUse")
            out.beginObject()
            out.member("toolUseId", callID(part.id, of: conversation))
            out.member("name", part.name)
            out.member("input", raw: input)
            conversation.writeExtras(.part, index, as: .converse, into: &out)
            out.endObject()
            out.endObject()
        case .toolResult: try writeResult(part, index, of: conversation, into: &out)
        }
        writeMark(part.cache, of: conversation, model, into: &out)
    }

    /// Letters, digits and `_.:-`, at most 64 of them; the same id in the call and in its result.
    private static func callID(_ id: JSONBytes, of conversation: Conversation) -> JSONBytes {
        conversation.source == .converse ? id : Identifiers.safe(id, also: ".:", max: 64, &conversation.arena.arena)
    }

    private static func writeMark(_ mark: CacheMark, of conversation: Conversation, _ model: BedrockModel?, into out: inout JSONWriter) {
        guard mark != .none else { return }
        if let model, !model.hasCache { return conversation.hint(.cacheControl) }
        let isHour = mark == .oneHour && (model?.hasHourCache ?? true)
        if mark == .oneHour, !isHour { conversation.hint(.cacheControl) }
        out.beginObject()
        out.key("cachePoint")
        out.beginObject()
        out.member("type", "default")
        if isHour { out.member("ttl", "1h") }
        out.endObject()
        out.endObject()
    }

    private static func writeResult(_ part: Part, _ index: Int, of conversation: Conversation, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == .converse
        out.beginObject()
        out.key("toolResult")
        out.beginObject()
        out.member("toolUseId", callID(part.id, of: conversation))
        out.key("content")
        out.beginArray()
        var count = 0
        for child in part.children {
            let piece = conversation.inner[child]
            if piece.cache != .none { conversation.hint(.cacheControl) }
            switch piece.kind {
            case .text, .refusal:
                if piece.json.exists || isOwn {
                    if piece.json.exists { writeJSON(piece.json, into: &out) } else { writeText(piece.text, into: &out) }
                } else {
                    if isBlank(piece.text) { continue }
                    let text = conversation.arena.arena.unescaped(piece.text)
                    if text.raw.first(where: { $0 > 32 }) == 0x7B, conversation.arena.tape.read(text.raw) == nil {
                        writeJSON(text, into: &out)
                    } else {
                        writeText(piece.text, into: &out)
                    }
                }
            case .image, .document, .video: try writeMedia(piece, child, .inner, of: conversation, into: &out)
            case .opaque where isOwn: out.value(piece.json)
            default:
                try conversation.cannot(.toolResultContent, "this upstream takes text, images, documents and videos in a tool's result")
                continue
            }
            count += 1
        }
        // A result with nothing in it is a result: blank text would be refused.
        if count == 0, !isOwn { writeJSON(JSONBytes("{}"), into: &out) }
        out.endArray()
        if part.isError { out.member("status", "error") }
        conversation.writeExtras(.part, index, as: .converse, into: &out)
        out.endObject()
        out.endObject()
    }

    private static func writeJSON(_ json: JSONBytes, into out: inout JSONWriter) {
        out.beginObject()
        out.member("json", raw: json)
        out.endObject()
    }

    // MARK: images, documents, videos, sounds

    private static func writeMedia(
        _ part: Part, _ index: Int, _ scope: Extra.Scope, of conversation: Conversation, into out: inout JSONWriter
    ) throws(Refusal) {
        let field: Field
        switch part.kind {
        case .document: field = .document
        case .video: field = .video
        case .audio: field = .inputAudio
        default: field = .image
        }
        var format = BedrockFormat.word(of: part.mediaType, part.kind)
        if format == nil, part.kind == .document { format = BedrockFormat.word(ofFile: part.name, .document) }
        if format == nil, part.source == .text { format = "txt" }
        switch part.source {
        case .url where !part.data.begins(with: "s3://"):
            return try conversation.cannot(field, "must carry the bytes themselves for this upstream, which fetches no URLs")
        case .fileID, .none: return try conversation.cannot(field, "must carry the bytes themselves for this upstream")
        case .url, .base64, .text: break
        }
        guard let format else { return try conversation.cannot(field, "is of a media type that this upstream does not take") }
        if part.detail.exists, !part.detail.equals("auto") { conversation.note(JSONBytes("messages[].content[].image_url.detail")) }
        out.beginObject()
        out.key(mediaKey(part.kind))
        out.beginObject()
        if part.kind == .document {
            out.member("name", conversation.source == .converse ? part.name : documentName(part.name, index, &conversation.arena.arena))
        }
        writeMedia(part, format: format, into: &out)
        conversation.writeExtras(scope, index, as: .converse, into: &out)
        out.endObject()
        out.endObject()
    }

    /// Bedrock's names have letters, digits, single blanks, hyphens and brackets, 1 … 200 of them, and no two documents of a request the same: so a
    /// file's name loses its ending and what else is not allowed, and gains the part's number.
    static func documentName(_ name: JSONBytes, _ ordinal: Int, _ arena: inout JSONArena) -> JSONBytes {
        let plain = arena.unescaped(name)
        let end = plain.raw.lastIndex(of: 0x2E).map { $0 > 0 ? $0 : plain.count } ?? plain.count
        let place = arena.take(190 + 24)
        var count = 0
        for byte in plain.prefix(end).raw where count < 190 {
            let isAllowed = (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || [0x28, 0x29, 0x2D, 0x5B, 0x5D].contains(byte)
            let one: UInt8 = isAllowed ? byte : 0x2D
            if one == 0x2D, count > 0, place[count - 1] == 0x2D { continue }
            place[count] = one
            count += 1
        }
        if !(0..<count).contains(where: { place[$0] != 0x2D }) {
            let word: StaticString = "document"
            place.update(from: word.utf8Start, count: word.utf8CodeUnitCount)
            count = word.utf8CodeUnitCount
        }
        if place[count - 1] != 0x2D {
            place[count] = 0x2D
            count += 1
        }
        let digits = countDigits(ordinal)
        var rest = ordinal
        for at in stride(from: count + digits - 1, through: count, by: -1) {
            place[at] = 48 + UInt8(rest % 10)
            rest /= 10
        }
        return JSONBytes(place, count + digits)
    }

    private static func countDigits(_ number: Int) -> Int {
        var count = 1
        var rest = number / 10
        while rest > 0 {
            count += 1
            rest /= 10
        }
        return count
    }
}
