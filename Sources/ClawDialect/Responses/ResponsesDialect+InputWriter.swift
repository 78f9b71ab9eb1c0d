// Writes a conversation's messages as the items of `input`: runs of text and the like are message items; calls, outputs and reasoning are items of their
// own beside them.
import ClawWire

extension ResponsesDialect {
    /// Members `instructions` and `input`.
    /// - Returns: whether encrypted reasoning of this API's is among the items.
    static func writeInput(_ conversation: Conversation, _ target: Target, into out: inout JSONWriter) throws(Refusal) -> Bool {
        var items = InputItems(conversation, target.quirks)
        var rest = conversation.messages[...]
        if items.isOwn {
            if let part = conversation.parts.first, part.form & ItemForm.instructions != 0 {
                out.member("instructions", part.text)
                rest = rest.dropFirst()
            }
            // Only a prompt, an earlier response or a stored conversation is named: there was no input.
            if rest.isEmpty, namesItsPrompt(conversation) { return false }
            if rest.count == 1, let one = rest.first, one.parts.count == 1, conversation.parts[one.parts.lowerBound].form & ItemForm.input != 0 {
                out.member("input", conversation.parts[one.parts.lowerBound].text)
                return false
            }
        }
        out.key("input")
        out.beginArray()
        for message in rest { try items.write(message, into: &out) }
        out.endArray()
        return items.hasSecrets
    }

    private static func namesItsPrompt(_ conversation: Conversation) -> Bool {
        !conversation.previousResponseID.isEmpty || conversation.extras.contains { $0.scope == .root && ($0.key.equals("prompt") || $0.key.equals("conversation")) }
    }
}

/// What is to be remembered from item to item.
private struct InputItems {
    /// The longest `call_id` that is taken.
    private static let callIDMax = 64
    /// How far back an output looks for its call, and how many calls without an id are remembered.
    private static let reach = 256

    let conversation: Conversation
    let quirks: Quirks
    let isOwn: Bool
    var hasSecrets = false
    private var itemExtras = ExtraCursor(.message)
    private var pieceExtras = ExtraCursor(.part)
    private var innerExtras = ExtraCursor(.inner)
    /// Calls that came without an id (Gemini's) and wait for their output: names, and the ids made for them.
    private var open: [(name: JSONBytes, id: JSONBytes)] = []
    private var made = 0
    private let hasCustomCalls: Bool

    init(_ conversation: Conversation, _ quirks: Quirks) {
        self.conversation = conversation
        self.quirks = quirks
        isOwn = conversation.source == .responses
        hasCustomCalls = conversation.parts.contains { $0.kind == .toolCall && $0.isCustom }
    }

    mutating func write(_ message: Message, into out: inout JSONWriter) throws(Refusal) {
        if message.name.exists { try conversation.cannot(.name) }
        var at = message.parts.lowerBound
        let end = message.parts.upperBound
        while at < end {
            let part = conversation.parts[at]
            switch part.kind {
            case .toolCall: writeCall(part, at, into: &out)
            case .toolResult: try writeOutput(part, at, into: &out)
            case .thinking, .redactedThinking: writeReasoning(part, into: &out)
            case .opaque where !isPiece(part):
                if isOwn { out.value(part.json) } else { try conversation.cannot(.messages, "it holds a part that this upstream does not know") }
            case .text, .refusal, .image, .audio, .video, .document, .opaque:
                let first = at
                while at + 1 < end, isPiece(conversation.parts[at + 1]), !isOwn || conversation.parts[at + 1].form & ItemForm.start == 0 { at += 1 }
                try writeMessage(message.role, first...at, into: &out)
            }
            at += 1
        }
    }

    private func isPiece(_ part: Part) -> Bool {
        switch part.kind {
        case .text, .refusal, .image, .audio, .video, .document: true
        case .opaque: isOwn && part.form & ItemForm.piece != 0
        case .toolCall, .toolResult, .thinking, .redactedThinking: false
        }
    }

    // MARK: messages

    private mutating func writeMessage(_ role: Role, _ range: ClosedRange<Int>, into out: inout JSONWriter) throws(Refusal) {
        let first = conversation.parts[range.lowerBound]
        let isAlone = range.count == 1 && first.kind == .text
        // What other dialects say beside their calls is often an empty text; here it would be a message.
        if !isOwn, role == .assistant, isAlone, first.text.isEmpty { return }
        out.beginObject()
        if isOwn {
            out.member(ifPresent: "id", first.itemID)
            itemExtras.write(range.lowerBound, of: conversation.extras, into: &out)
        }
        switch role {
        case .system: out.member("role", "system")
        case .developer: out.member("role", quirks.hasNoDeveloperRole ? "system" : "developer")
        case .assistant: out.member("role", "assistant")
        case .user, .tool: out.member("role", "user")
        }
        if isAlone, isOwn ? first.form & ItemForm.bare != 0 : true {
            if first.cache != .none { conversation.hint(.cacheControl) }
            out.member("content", first.text)
        } else {
            out.key("content")
            out.beginArray()
            // A text that does not exist stands for an empty list.
            for at in range where !isOwn || conversation.parts[at].kind != .text || conversation.parts[at].text.exists {
                let part = conversation.parts[at]
                if part.kind == .opaque { out.value(part.json); continue }
                try open(part, inAnswer: role == .assistant, into: &out)
                if isOwn { pieceExtras.write(at, of: conversation.extras, into: &out) }
                out.endObject()
            }
            out.endArray()
        }
        out.endObject()
    }

    /// One piece of content, its object still open.
    private func open(_ part: Part, inAnswer: Bool, into out: inout JSONWriter) throws(Refusal) {
        if !isOwn, part.cache != .none { conversation.hint(.cacheControl) }
        if !isOwn, inAnswer, part.kind != .text, part.kind != .refusal {
            try conversation.cannot(part.kind == .image ? .image : .messages, "this upstream takes only text from the assistant")
        }
        out.beginObject()
        switch part.kind {
        case .refusal:
            out.member("type", "refusal")
            out.member("refusal", part.text)
        case .image:
            out.member("type", "input_image")
            try writeImage(part, into: &out)
        case .document:
            out.member("type", "input_file")
            try writeFile(part, into: &out)
        case .audio where isOwn:
            out.member("type", "input_audio")
            out.key("input_audio")
            out.beginObject()
            out.member("data", part.data)
            out.member("format", part.mediaType.dropFirst(6))
            out.endObject()
        case .audio, .video:
            try conversation.cannot(part.kind == .audio ? .inputAudio : .video)
            out.member("type", "input_text")
            out.member("text", "")
        default:
            out.member("type", inAnswer ? "output_text" : "input_text")
            out.member("text", part.text)
        }
    }

    private func writeImage(_ part: Part, into out: inout JSONWriter) throws(Refusal) {
        switch part.source {
        case .base64: out.member("image_url", DataURL.make(mediaType: part.mediaType, data: part.data, &conversation.arena.arena))
        case .url: out.member("image_url", part.data)
        case .fileID where knowsFiles: out.member("file_id", part.data)
        case .fileID, .text, .none: try conversation.cannot(.image, "this upstream knows no such file")
        }
        if part.detail.exists { out.member("detail", part.detail) } else if !isOwn { out.member("detail", "auto") }
    }

    private func writeFile(_ part: Part, into out: inout JSONWriter) throws(Refusal) {
        var hasData = false
        switch part.source {
        case .base64 where part.mediaType.isEmpty && isOwn: out.member("file_data", part.data)
        case .base64:
            out.member("file_data", DataURL.make(mediaType: part.mediaType, data: part.data, &conversation.arena.arena))
            hasData = true
        case .text:
            let text = conversation.arena.arena.unescaped(part.data)
            let data = Base64.encode(text.raw, &conversation.arena.arena)
            out.member("file_data", DataURL.make(mediaType: JSONBytes("text/plain"), data: data, &conversation.arena.arena))
            hasData = true
        case .url: out.member("file_url", part.data)
        case .fileID where knowsFiles: out.member("file_id", part.data)
        case .fileID, .none: try conversation.cannot(.document, "this upstream knows no such file")
        }
        if part.name.exists {
            out.member("filename", part.name)
        } else if hasData, !isOwn {
            // The member is required beside file_data, and its ending tells what it is.
            out.member("filename", part.mediaType.equals("application/pdf") ? "document.pdf" : part.source == .text ? "document.txt" : "document")
        }
        out.member(ifPresent: "detail", part.detail)
    }

    /// Ids of files are the provider's own.
    private var knowsFiles: Bool { isOwn || conversation.source == .chat }

    // MARK: items beside messages

    private mutating func writeCall(_ part: Part, _ at: Int, into out: inout JSONWriter) {
        out.beginObject()
        out.member("type", part.isCustom ? "custom_tool_call" : "function_call")
        if isOwn { out.member(ifPresent: "id", part.itemID) }
        var id = callID(part.id)
        if id.isEmpty {
            id = makeID()
            if open.count == Self.reach { open.removeFirst() }
            open.append((part.name, id))
        }
        out.member("call_id", id)
        out.member("name", part.name)
        out.key(part.isCustom ? "input" : "arguments")
        if part.json.exists {
            out.string(escaping: part.json.raw)
        } else if part.text.isEmpty, !isOwn, !part.isCustom {
            out.string("{}")
        } else {
            out.string(part.text)
        }
        if isOwn { itemExtras.write(at, of: conversation.extras, into: &out) }
        out.endObject()
    }

    private mutating func writeOutput(_ part: Part, _ at: Int, into out: inout JSONWriter) throws(Refusal) {
        var id = callID(part.id)
        if id.isEmpty, let place = open.firstIndex(where: { part.name.isEmpty || $0.name.equals(part.name) }) { id = open.remove(at: place).id }
        if id.isEmpty { id = makeID() }
        let isCustom = part.isCustom || (hasCustomCalls && conversation.parts[max(0, at - Self.reach)..<at].contains { $0.isCustom && $0.id.equals(part.id) })
        out.beginObject()
        out.member("type", isCustom ? "custom_tool_call_output" : "function_call_output")
        if isOwn { out.member(ifPresent: "id", part.itemID) }
        out.member("call_id", id)
        if part.cache != .none { conversation.hint(.cacheControl) }
        if part.isError { conversation.note(JSONBytes("is_error")) }
        let children = part.children
        let isAlone = children.count == 1 && conversation.inner[children.lowerBound].kind == .text
        out.key("output")
        if isAlone, isOwn ? part.form & ItemForm.bare != 0 : true {
            out.string(conversation.inner[children.lowerBound].text)
        } else if children.isEmpty, !isOwn {
            if part.json.exists { out.string(escaping: part.json.raw) } else { out.string(part.text) }
        } else {
            out.beginArray()
            for place in children {
                let child = conversation.inner[place]
                switch child.kind {
                case .opaque where isOwn: out.value(child.json)
                case .opaque where child.json.exists:
                    out.beginObject()
                    out.member("type", "input_text")
                    out.key("text")
                    out.string(escaping: child.json.raw)
                    out.endObject()
                case .text, .image, .document, .audio:
                    if child.kind == .audio, !isOwn { try conversation.cannot(.toolResultContent); continue }
                    try open(child, inAnswer: false, into: &out)
                    if isOwn { innerExtras.write(place, of: conversation.extras, into: &out) }
                    out.endObject()
                default: try conversation.cannot(.toolResultContent)
                }
            }
            out.endArray()
        }
        if isOwn { itemExtras.write(at, of: conversation.extras, into: &out) }
        out.endObject()
    }

    private mutating func writeReasoning(_ part: Part, into out: inout JSONWriter) {
        if isOwn, part.kind == .thinking, part.json.exists, part.signature.isEmpty || part.signatureOf == .responses { return out.value(part.json) }
        // Another provider's, or none: it would be refused.
        guard part.kind == .thinking, part.signatureOf == .responses, !part.signature.isEmpty else { return conversation.hint(.thinking) }
        hasSecrets = true
        out.beginObject()
        out.member("type", "reasoning")
        if !part.itemID.isEmpty { out.member("id", part.itemID) }
        out.key("summary")
        out.beginArray()
        if !part.text.isEmpty {
            out.beginObject()
            out.member("type", "summary_text")
            out.member("text", part.text)
            out.endObject()
        }
        out.endArray()
        out.member("encrypted_content", part.signature)
        out.endObject()
    }

    // MARK: ids

    private func callID(_ id: JSONBytes) -> JSONBytes {
        isOwn || id.count <= Self.callIDMax ? id : Identifiers.safe(id, max: Self.callIDMax, &conversation.arena.arena)
    }

    /// Nothing of the request's says more than its place, so that is what it is made of.
    private mutating func makeID() -> JSONBytes {
        made += 1
        return Identifiers.make("call_", seed: (0x0C1A_11D5, 0), ordinal: made, &conversation.arena.arena)
    }
}
