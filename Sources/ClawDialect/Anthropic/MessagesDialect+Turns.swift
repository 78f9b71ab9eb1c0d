// Writes the turns. Neutral messages of the same side that follow each other become one turn (tools' results are the user's side), because a turn must hold
// all results of the turn before, in front of anything else; in the assistant's turn the calls come last. Texts without anything to see are left out
// and so are turns without blocks, both of which the API refuses. A conversation may begin with the assistant: recent models take that, and older
// ones say clearly what they want. A last turn of the assistant is the beginning of its answer and goes without white space at its end.
import ClawWire

extension MessagesDialect {
    /// Ids for calls that have none (Gemini's): results without an id belong to the first call of their name that has no result yet.
    private struct CallIDs {
        private var nameless: [(name: JSONBytes, id: JSONBytes, isDone: Bool)] = []

        mutating func id(ofCall part: Part, _ arena: inout JSONArena) -> JSONBytes {
            if !part.id.isEmpty { return Identifiers.safe(part.id, &arena) }
            let id = Identifiers.make("call_", seed: (0x6E61_6D65, 0x6C65_7373), ordinal: nameless.count, length: 16, &arena)
            nameless.append((part.name, id, false))
            return id
        }

        mutating func id(ofResult part: Part, _ arena: inout JSONArena) -> JSONBytes {
            if !part.id.isEmpty { return Identifiers.safe(part.id, &arena) }
            for at in nameless.indices where !nameless[at].isDone && (part.name.isEmpty || nameless[at].name.equals(part.name)) {
                nameless[at].isDone = true
                return nameless[at].id
            }
            return Identifiers.safe(JSONBytes(""), &arena)
        }
    }

    static func writeTurns(_ conversation: Conversation, _ extras: PlacedExtras, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == .messages
        var ids = CallIDs()
        var at = 0
        // The instructions in front are in `system`; in this dialect others may stand between turns.
        if isOwn { while at < conversation.messages.count, isInstruction(conversation.messages[at]) { at += 1 } }
        var count = 0
        out.key("messages")
        out.beginArray()
        while at < conversation.messages.count {
            let side = conversation.messages[at].role
            if !isOwn, try isEmpty(conversation, at) {
                at += 1
                continue
            }
            var end = at + 1
            while end < conversation.messages.count, try belongs(conversation, extras, end, to: side, isOwn: isOwn) { end += 1 }
            if try writeTurn(conversation, extras, at..<end, isLast: end == conversation.messages.count, &ids, into: &out) { count += 1 }
            at = end
        }
        out.endArray()
        if count == 0 {
            throw Refusal(JSONBytes(conversation.source.pieces.name(of: .messages)), "there is no message with anything in it besides instructions")
        }
    }

    /// What is empty belongs to any turn: left out, it must not stand between two of the same side.
    private static func belongs(
        _ conversation: Conversation, _ extras: PlacedExtras, _ at: Int, to side: Role, isOwn: Bool
    ) throws(Refusal) -> Bool {
        let message = conversation.messages[at]
        if !isOwn {
            if (message.role == .assistant) == (side == .assistant), !isInstruction(message) { return true }
            return try isEmpty(conversation, at)
        }
        if isInstruction(message) || isInstruction(Message(side)) { return false }
        guard (message.role == .assistant) == (side == .assistant) else { return false }
        // Its own members would have no place in another message.
        return !extras.has(.message, at)
    }

    /// Of another dialect: nothing of it goes into a turn.
    private static func isEmpty(_ conversation: Conversation, _ at: Int) throws(Refusal) -> Bool {
        if isInstruction(conversation.messages[at]) { return true }
        for part in conversation.messages[at].parts where try isWritable(conversation.parts[part], conversation) { return false }
        return true
    }

    /// - Returns: false when there was nothing to write.
    private static func writeTurn(
        _ conversation: Conversation, _ extras: PlacedExtras, _ messages: Range<Int>, isLast: Bool, _ ids: inout CallIDs, into out: inout JSONWriter
    ) throws(Refusal) -> Bool {
        let isOwn = conversation.source == .messages
        let role = conversation.messages[messages.lowerBound].role
        let isAssistant = role == .assistant
        var count = 0
        var only = 0
        // A text that the answer goes on from.
        var prefill = -1
        for message in messages where isOwn || !isInstruction(conversation.messages[message]) {
            if conversation.messages[message].name.exists, !isOwn { try conversation.cannot(.name, "this upstream's participants have no names") }
            for at in conversation.messages[message].parts where try isWritable(conversation.parts[at], conversation) {
                count += 1
                only = at
                if isAssistant, isLast, !isOwn { prefill = conversation.parts[at].kind == .text ? at : -1 }
            }
        }
        if count == 0, !isOwn { return false }

        out.beginObject()
        out.member("role", isAssistant ? "assistant" : isInstruction(Message(role)) ? "system" : "user")
        out.key("content")
        if count == 1, isBare(conversation, extras, only) {
            out.string(prefill == only ? trimmed(conversation.parts[only].text) : conversation.parts[only].text)
        } else {
            out.beginArray()
            // First results, then the rest; of another dialect's assistant first what is said, then the calls.
            for isSecond in [false, true] {
                for message in messages where isOwn || !isInstruction(conversation.messages[message]) {
                    for at in conversation.messages[message].parts where try isWritable(conversation.parts[at], conversation) {
                        let kind = conversation.parts[at].kind
                        let comesSecond = isAssistant ? !isOwn && kind == .toolCall : kind != .toolResult
                        if comesSecond == isSecond { try writeBlock(conversation, extras, at, isPrefill: at == prefill, &ids, into: &out) }
                    }
                }
            }
            out.endArray()
        }
        extras.write(.message, messages.lowerBound, into: &out)
        out.endObject()
        return true
    }

    // MARK: which parts

    static func isUsableThought(_ part: Part) -> Bool {
        switch part.kind {
        case .thinking: part.signatureOf == .messages && !part.signature.isEmpty
        case .redactedThinking: part.signatureOf == .messages && !part.data.isEmpty
        default: false
        }
    }

    /// Refuses what the API has no block for, and notes what is left out.
    private static func isWritable(_ part: Part, _ conversation: Conversation) throws(Refusal) -> Bool {
        let isOwn = conversation.source == .messages
        switch part.kind {
        case .text, .refusal: return isOwn || !isBlank(part.text)
        case .toolCall, .toolResult: return true
        case .thinking, .redactedThinking:
            if isUsableThought(part) || isOwn && part.signatureOf == .messages { return true }
            conversation.hint(.thinking)
            return false
        case .image:
            if isOwn { return true }
            let part = unfolded(part, conversation)
            switch part.source {
            case .base64:
                let type = part.mediaType
                if type.equals("image/jpeg") || type.equals("image/png") || type.equals("image/gif") || type.equals("image/webp") { break }
                try conversation.cannot(.image, "this upstream takes jpeg, png, gif and webp images only")
                return false
            case .url:
                if part.data.begins(with: "http") { break }
                try conversation.cannot(.image, "this upstream takes http and https URLs only")
                return false
            case .none, .fileID, .text:
                try conversation.cannot(.image, "this upstream does not have that file")
                return false
            }
            if part.detail.exists, !part.detail.equals("auto") { conversation.hint(.image) }
            return true
        case .document:
            if isOwn { return true }
            switch part.source {
            case .base64:
                if isPDF(part) || part.mediaType.begins(with: "text/plain") { return true }
                try conversation.cannot(.document, "this upstream takes PDF and plain text only")
            case .url, .text: return true
            case .none, .fileID: try conversation.cannot(.document, "this upstream does not have that file")
            }
            return false
        case .audio:
            try conversation.cannot(.inputAudio, "this upstream takes no audio")
            return false
        case .video:
            try conversation.cannot(.video, "this upstream takes no video")
            return false
        case .opaque:
            if isOwn { return true }
            try conversation.cannot(JSONBytes("messages[].content[].type"), "this upstream does not know such a part")
            return false
        }
    }

    /// A data: URL taken apart, and the media type as the API spells it.
    private static func unfolded(_ part: Part, _ conversation: Conversation) -> Part {
        var part = part
        if part.source == .url, let (type, data) = DataURL.parse(part.data) {
            part.source = .base64
            part.mediaType = type
            part.data = data
        }
        part.mediaType = conversation.arena.arena.unescaped(part.mediaType)
        if part.mediaType.equals("image/jpg") { part.mediaType = JSONBytes("image/jpeg") }
        return part
    }

    /// Clients leave the type out, or say octet-stream: `JVBERi` is what `%PDF-` looks like in base64.
    private static func isPDF(_ part: Part) -> Bool { part.mediaType.equals("application/pdf") || part.data.begins(with: "JVBERi") }

    /// A text and nothing else: the string alone says the same as its block.
    static func isBare(_ conversation: Conversation, _ extras: PlacedExtras, _ at: Int) -> Bool {
        let part = conversation.parts[at]
        guard part.kind == .text || part.kind == .refusal, part.cache == .none else { return false }
        guard conversation.source == .messages else { return true }
        return !part.citations.exists && !extras.has(.part, at)
    }

    /// No character that is no white space; `text` is escaped.
    static func isBlank(_ text: JSONBytes) -> Bool { trimmed(text).isEmpty }

    /// Without white space at its end.
    static func trimmed(_ text: JSONBytes) -> JSONBytes {
        var end = text.count
        while end > 0 {
            if text[end - 1] == 0x20 {
                end -= 1
                continue
            }
            guard end > 1, text[end - 1] == 0x6E || text[end - 1] == 0x72 || text[end - 1] == 0x74 else { break }
            // `\n` is a newline unless its backslash is itself escaped.
            var slashes = 0
            while slashes < end - 1, text[end - 2 - slashes] == 0x5C { slashes += 1 }
            if slashes % 2 == 0 { break }
            end -= 2
        }
        return text.prefix(end)
    }

    // MARK: blocks

    private static func writeBlock(
        _ conversation: Conversation, _ extras: PlacedExtras, _ at: Int, isPrefill: Bool, _ ids: inout CallIDs, into out: inout JSONWriter
    ) throws(Refusal) {
        var part = conversation.parts[at]
        if isPrefill { part.text = trimmed(part.text) }
        switch part.kind {
        case .toolCall:
            out.beginObject()
            out.member("type", "tool_use")
            out.member("id", conversation.source == .messages ? part.id : ids.id(ofCall: part, &conversation.arena.arena))
            out.member("name", part.name)
            out.key("input")
            if part.isCustom {
                out.beginObject()
                out.member("input", part.text)
                out.endObject()
            } else {
                guard let input = conversation.argumentsObject(part) else {
                    throw Refusal(JSONBytes(conversation.source.pieces.name(of: .toolArguments)), "must be a JSON object")
                }
                out.value(input)
            }
        case .toolResult:
            out.beginObject()
            out.member("type", "tool_result")
            out.member("tool_use_id", conversation.source == .messages ? part.id : ids.id(ofResult: part, &conversation.arena.arena))
            try writeResult(conversation, extras, part, into: &out)
            if part.isError { out.member("is_error", true) }
        default: return writePlain(part, conversation, extras, .part, at, into: &out)
        }
        if part.cache != .none { writeCache(part.cache, into: &out) }
        extras.write(.part, at, into: &out)
        out.endObject()
    }

    private static func writeResult(
        _ conversation: Conversation, _ extras: PlacedExtras, _ part: Part, into out: inout JSONWriter
    ) throws(Refusal) {
        var count = 0
        var only = 0
        for at in part.children where try isWritable(conversation.inner[at], conversation) {
            count += 1
            only = at
        }
        if count == 0 { return out.member("content", "") }
        out.key("content")
        let first = conversation.inner[only]
        if count == 1, first.kind == .text, first.cache == .none, !first.citations.exists, !extras.has(.inner, only) {
            return out.string(first.text)
        }
        out.beginArray()
        for at in part.children where try isWritable(conversation.inner[at], conversation) {
            writePlain(conversation.inner[at], conversation, extras, .inner, at, into: &out)
        }
        out.endArray()
    }

    static func writeText(
        _ part: Part, _ conversation: Conversation, _ extras: PlacedExtras, _ scope: Extra.Scope, _ at: Int, into out: inout JSONWriter
    ) {
        out.beginObject()
        out.member("type", "text")
        out.member("text", part.text)
        if conversation.source == .messages { out.member(ifPresent: "citations", raw: part.citations) }
        if part.cache != .none { writeCache(part.cache, into: &out) }
        extras.write(scope, at, into: &out)
        out.endObject()
    }

    /// Text, image, document, thought, or a block of this dialect that nobody else knows.
    private static func writePlain(
        _ part: Part, _ conversation: Conversation, _ extras: PlacedExtras, _ scope: Extra.Scope, _ at: Int, into out: inout JSONWriter
    ) {
        switch part.kind {
        case .text, .refusal: return writeText(part, conversation, extras, scope, at, into: &out)
        case .opaque: return out.value(part.json)
        case .thinking:
            out.beginObject()
            out.member("type", "thinking")
            out.member("thinking", part.text)
            out.member("signature", part.signature)
        case .redactedThinking:
            out.beginObject()
            out.member("type", "redacted_thinking")
            out.member("data", part.data)
        case .image:
            out.beginObject()
            out.member("type", "image")
            let image = conversation.source == .messages ? part : unfolded(part, conversation)
            writeSource(image, mediaType: image.mediaType, into: &out)
        case .document:
            out.beginObject()
            out.member("type", "document")
            if conversation.source != .messages, part.source == .base64, !isPDF(part) {
                var text = Part(.document)
                text.source = .text
                let plain = Base64.decode(part.data, &conversation.arena.arena) ?? JSONBytes("")
                text.data = conversation.arena.arena.escaped(plain.raw)
                writeSource(text, mediaType: JSONBytes("text/plain"), into: &out)
            } else {
                let isForeignPDF = conversation.source != .messages && part.source == .base64
                writeSource(part, mediaType: isForeignPDF ? JSONBytes("application/pdf") : part.mediaType, into: &out)
            }
            if !part.name.isEmpty { out.member("title", part.name) }
        case .audio, .video, .toolCall, .toolResult: return
        }
        if part.cache != .none { writeCache(part.cache, into: &out) }
        extras.write(scope, at, into: &out)
        out.endObject()
    }

    private static func writeSource(_ part: Part, mediaType: JSONBytes, into out: inout JSONWriter) {
        out.key("source")
        out.beginObject()
        switch part.source {
        case .base64, .none:
            out.member("type", "base64")
            out.member("media_type", mediaType)
            out.member("data", part.data)
        case .url:
            out.member("type", "url")
            out.member("url", part.data)
        case .fileID:
            out.member("type", "file")
            out.member("file_id", part.data)
        case .text:
            out.member("type", "text")
            out.member("media_type", "text/plain")
            out.member("data", part.data)
        }
        out.endObject()
    }
}
