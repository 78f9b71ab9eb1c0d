// Writes a conversation's messages as chat messages. Results of tools are messages of their own here, right behind the calls; a user's message of another
// dialect that holds results and text becomes several. Thoughts go back only to who wants them. Goes once through messages, parts and extras.
import ClawWire

struct ChatMessageWriter {
    private let conversation: Conversation
    private let quirks: Quirks
    private let isOwn: Bool
    private var messageExtras = ExtraWalk(.message)
    private var partExtras = ExtraWalk(.part)
    /// Where in the extras the walk through the messages' hints is.
    private var hint = 0
    /// Ids made for calls that had none, in their order, until their results have come.
    private var madeIDs: [(name: JSONBytes, id: JSONBytes)] = []
    private var callCount = 0
    private let cachesOwnParts: Bool

    init(_ conversation: Conversation, _ quirks: Quirks) {
        self.conversation = conversation
        self.quirks = quirks
        isOwn = conversation.source == .chat
        cachesOwnParts = quirks.takesCacheMarks || quirks.supports(.cacheControl)
    }

    mutating func write(into out: inout JSONWriter) throws(Refusal) {
        out.beginArray()
        if conversation.format.kind == .jsonSchema, quirks.hasNoSchemas { writeSchema(into: &out) }
        for at in conversation.messages.indices {
            let message = conversation.messages[at]
            switch message.role {
            case .system, .developer: try writeInstructions(message, at, into: &out)
            case .assistant: try writeAssistant(message, at, into: &out)
            case .user, .tool: try writeUser(message, at, into: &out)
            }
        }
        out.endArray()
    }

    /// The schema as an instruction, for who knows `json_object` only (and wants the word JSON in the prompt).
    private func writeSchema(into out: inout JSONWriter) {
        out.beginObject()
        out.member("role", "system")
        out.key("content")
        let arena = conversation.arena
        out.string(arena.arena.joined(
            JSONBytes("Answer with one JSON object, and nothing else, that is valid by this JSON Schema: "), arena.arena.escaped(conversation.format.schema.raw)))
        out.endObject()
    }

    // MARK: what is around content

    private func begin(_ role: StaticString, _ message: Message, into out: inout JSONWriter) {
        out.beginObject()
        out.member("role", role)
        if message.name.exists {
            if quirks.supports(.name) { out.member("name", message.name) } else { conversation.hint(.name) }
        }
    }

    /// The message's forms; its other extras are written.
    private mutating func writeExtras(_ at: Int, into out: inout JSONWriter) -> (isList: Bool, isLegacyCall: Bool) {
        var forms = (isList: false, isLegacyCall: false)
        guard isOwn else { return forms }
        while let extra = messageExtras.next(at, in: conversation.extras) {
            if extra.key.equals(ChatDialect.listForm) {
                forms.isList = true
            } else if extra.key.equals(ChatDialect.legacyCallForm) {
                forms.isLegacyCall = true
            } else if !extra.isQuiet || !extra.key.equals("prefix") || quirks.takesPrefix {
                ChatDialect.write(extra, into: &out)
            }
        }
        let index = ChatDialect.hintIndex(ofMessage: at)
        while hint < conversation.extras.count {
            let extra = conversation.extras[hint]
            if extra.scope == .nested, extra.index <= Conversation.placedHintMax, extra.index != Conversation.formIndex {
                if extra.index < index { break }
                if extra.index == index { writeHint(extra, into: &out) }
            }
            hint += 1
        }
        return forms
    }

    private func writeHint(_ extra: Extra, into out: inout JSONWriter) {
        if extra.key.equals("cache_control") {
            if cachesOwnParts { ChatDialect.write(extra, into: &out) } else { conversation.hint(.cacheControl) }
        } else if extra.key.equals("reasoning_details") {
            if quirks.takesReasoningDetails { ChatDialect.write(extra, into: &out) }
        } else if extra.key.equals("reasoning") || extra.key.equals("reasoning_content") {
            if quirks.wantsReasoningBack { ChatDialect.write(extra, into: &out) }
        } else if quirks.hasNoHints {
            if !extra.isQuiet { conversation.note(extra.key) }
        } else {
            ChatDialect.write(extra, into: &out)
        }
    }

    // MARK: instructions, users

    private mutating func writeInstructions(_ message: Message, _ at: Int, into out: inout JSONWriter) throws(Refusal) {
        begin(message.role == .developer && !quirks.hasNoDeveloperRole ? "developer" : "system", message, into: &out)
        let forms = writeExtras(at, into: &out)
        out.key("content")
        try writeContent(message.parts, isList: forms.isList, joins: quirks.joinsTexts, "\\n\\n", into: &out)
        out.endObject()
    }

    private mutating func writeUser(_ message: Message, _ at: Int, into out: inout JSONWriter) throws(Refusal) {
        var rest = 0
        for place in message.parts {
            if conversation.parts[place].kind == .toolResult { try writeResult(conversation.parts[place], at, into: &out) } else { rest += 1 }
        }
        // An own `tool` message is that result and nothing else.
        if rest == 0, !message.parts.isEmpty { return }
        begin("user", message, into: &out)
        let forms = writeExtras(at, into: &out)
        out.key("content")
        try writeContent(message.parts, isList: forms.isList, joins: quirks.joinsTexts, "\\n\\n", into: &out)
        out.endObject()
    }

    /// Content of a message whose parts are written in their order: one text as a string, more as a list.
    private func writeContent(_ range: Range<Int>, isList: Bool, joins: Bool, _ separator: StaticString, into out: inout JSONWriter) throws(Refusal) {
        var texts = 0
        var others = 0
        for place in range {
            switch conversation.parts[place].kind {
            case .text: texts += conversation.parts[place].cache != .none && marks(conversation.parts[place]) ? 2 : 1
            case .toolResult, .toolCall, .thinking, .redactedThinking: break
            case .refusal, .image, .audio, .video, .document, .opaque: others += 1
            }
        }
        if others == 0, joins || texts == 0 || (texts == 1 && !isList) {
            out.string(conversation.joinedText(range, separator: separator))
            for place in range where conversation.parts[place].cache != .none && !isOwn { conversation.hint(.cacheControl) }
            return
        }
        out.beginArray()
        for place in range {
            switch conversation.parts[place].kind {
            case .toolResult, .toolCall, .thinking, .redactedThinking: continue
            case .text, .refusal, .image, .audio, .video, .document, .opaque: try writePart(conversation.parts[place], into: &out)
            }
        }
        out.endArray()
    }

    /// True when this part's cache mark is written on the part itself.
    private func marks(_ part: Part) -> Bool { isOwn ? part.json.exists && cachesOwnParts : quirks.takesCacheMarks }

    private func writePart(_ part: Part, into out: inout JSONWriter) throws(Refusal) {
        if part.cache != .none, !marks(part), !isOwn || part.json.exists { conversation.hint(.cacheControl) }
        if isOwn, part.json.exists, part.cache == .none || cachesOwnParts, part.kind != .image || !quirks.hasNoImageURLs || part.source == .base64 {
            if let field = field(of: part), !quirks.supports(field) { return try conversation.cannot(field) }
            return out.value(part.json)
        }
        if let field = field(of: part), !quirks.supports(field) { return try conversation.cannot(field) }
        let arena = conversation.arena
        switch part.kind {
        case .text:
            out.beginObject()
            out.member("type", "text")
            out.member("text", part.text)
        case .refusal:
            out.beginObject()
            out.member("type", "refusal")
            out.member("refusal", part.text)
        case .image:
            guard part.source == .base64 || (part.source == .url && !quirks.hasNoImageURLs) else {
                return try conversation.cannot(.image, "this upstream takes no image by this kind of reference")
            }
            out.beginObject()
            out.member("type", "image_url")
            out.key("image_url")
            out.beginObject()
            out.member("url", part.source == .url ? part.data : DataURL.make(mediaType: part.mediaType, data: part.data, &arena.arena))
            out.member(ifPresent: "detail", part.detail)
            out.endObject()
        case .audio:
            guard part.source == .base64 else { return try conversation.cannot(.inputAudio, "this upstream takes audio as base64 only") }
            out.beginObject()
            out.member("type", "input_audio")
            out.key("input_audio")
            out.beginObject()
            out.member("data", part.data)
            out.member("format", Self.audioFormat(part.mediaType))
            out.endObject()
        case .document:
            if part.source == .url || part.source == .none {
                return try conversation.cannot(.document, "this upstream takes files as data or by id only")
            }
            out.beginObject()
            switch part.source {
            case .text:
                out.member("type", "text")
                out.member("text", part.data.exists ? part.data : part.text)
            case .base64, .fileID, .url, .none:
                out.member("type", "file")
                out.key("file")
                out.beginObject()
                if part.source == .fileID {
                    out.member("file_id", part.data)
                } else {
                    out.member("filename", part.name.isEmpty ? JSONBytes("document.pdf") : part.name)
                    let type = part.mediaType.isEmpty ? JSONBytes("application/pdf") : part.mediaType
                    out.member("file_data", DataURL.make(mediaType: type, data: part.data, &arena.arena))
                }
                out.endObject()
            }
        case .video:
            guard part.source == .base64 || part.source == .url else { return try conversation.cannot(.video) }
            out.beginObject()
            out.member("type", "video_url")
            out.key("video_url")
            out.beginObject()
            out.member("url", part.source == .url ? part.data : DataURL.make(mediaType: part.mediaType, data: part.data, &arena.arena))
            out.endObject()
        case .opaque, .toolCall, .toolResult, .thinking, .redactedThinking:
            return try conversation.cannot(.messages, "a part of a message is of a kind that this upstream does not know")
        }
        if part.cache != .none, marks(part) { ChatDialect.writeCacheMark(part.cache, into: &out) }
        out.endObject()
    }

    private func field(of part: Part) -> Field? {
        switch part.kind {
        case .image: .image
        case .audio: .inputAudio
        case .document: part.source == .text ? nil : .document
        case .video: .video
        case .text, .refusal, .toolCall, .toolResult, .thinking, .redactedThinking, .opaque: nil
        }
    }

    /// `wav` or `mp3`; other types by their own name.
    private static func audioFormat(_ type: JSONBytes) -> JSONBytes {
        let name = type.begins(with: "audio/") ? type.dropFirst(6) : type
        if name.equals("mpeg") { return JSONBytes("mp3") }
        if name.equals("x-wav") || name.equals("wave") { return JSONBytes("wav") }
        return name
    }

    // MARK: an assistant's messages

    private mutating func writeAssistant(_ message: Message, _ at: Int, into out: inout JSONWriter) throws(Refusal) {
        begin("assistant", message, into: &out)
        let forms = writeExtras(at, into: &out)
        var calls = 0
        var texts = 0
        var thoughts = 0
        for place in message.parts {
            switch conversation.parts[place].kind {
            case .toolCall: calls += 1
            case .thinking, .redactedThinking: thoughts += 1
            case .text, .refusal, .image, .audio, .video, .document, .opaque: texts += 1
            case .toolResult: break
            }
        }
        let thinksInContent = thoughts > 0 ? try writeThoughts(message, into: &out) : false
        try writeAssistantContent(message, forms.isList, hasCalls: calls > 0, hasTexts: texts > 0, thinksInContent, into: &out)
        if !isOwn, calls == 0, at == conversation.messages.count - 1, texts > 0 {
            // The last word is the assistant's own: it is to be continued.
            if quirks.takesPrefix { out.member("prefix", true) } else if !conversation.continuesAnswer { try conversation.cannot(.prefill, "this upstream does not continue an answer") }
        }
        if calls > 0 { try writeCalls(message, isLegacy: forms.isLegacyCall, into: &out) }
        out.endObject()
    }

    private mutating func writeAssistantContent(
        _ message: Message, _ isList: Bool, hasCalls: Bool, hasTexts: Bool, _ thinksInContent: Bool, into out: inout JSONWriter
    ) throws(Refusal) {
        if thinksInContent {
            out.key("content")
            out.beginArray()
            for place in message.parts {
                let part = conversation.parts[place]
                switch part.kind {
                case .thinking: writeThinkingPart(part, into: &out)
                case .toolCall, .toolResult, .redactedThinking: continue
                case .text where part.text.isEmpty && !isOwn: continue
                case .text, .refusal, .image, .audio, .video, .document, .opaque: try writePart(part, into: &out)
                }
            }
            out.endArray()
            return
        }
        if !isOwn {
            // Many of OpenAI's likes take an assistant's content as a string only; the blocks of one turn are one text.
            for place in message.parts {
                switch conversation.parts[place].kind {
                case .image, .audio, .video, .document, .opaque: try conversation.cannot(.messages, "an assistant's message can hold text and calls only")
                case .text where conversation.parts[place].cache != .none: conversation.hint(.cacheControl)
                case .refusal: out.member("refusal", conversation.parts[place].text)
                case .text, .thinking, .redactedThinking, .toolCall, .toolResult: break
                }
            }
            let text = conversation.joinedText(message.parts)
            if text.isEmpty, hasCalls { out.null("content") } else { out.member("content", text) }
            return
        }
        if !hasTexts {
            // A turn of thoughts alone, which this server does not take back, is a turn without words and not one without content.
            let isThoughts = !message.parts.isEmpty && message.parts.allSatisfy {
                conversation.parts[$0].kind == .thinking || conversation.parts[$0].kind == .redactedThinking
            }
            if isThoughts, !hasCalls, !quirks.wantsReasoningBack, !quirks.takesReasoningDetails {
                out.member("content", "")
            } else if !isList {
                out.null("content")
            }
            return
        }
        // A refusal beside the content is a member; in a list it is a part, which has its own value.
        var hasContent = false
        for place in message.parts {
            let part = conversation.parts[place]
            if isBeside(part) {
                if part.kind == .refusal { out.member("refusal", part.text) }
            } else if part.kind != .thinking, part.kind != .redactedThinking {
                hasContent = true
            }
        }
        if !hasContent { return out.null("content") }
        out.key("content")
        var content = message.parts
        while let last = content.last, isBeside(conversation.parts[last]) { content = content.lowerBound..<last }
        try writeContent(content, isList: isList, joins: quirks.joinsTexts, "", into: &out)
    }

    /// A part that does not stand in `content`.
    private func isBeside(_ part: Part) -> Bool { part.kind == .toolCall || (part.kind == .refusal && !part.json.exists) }

    /// Thoughts of earlier turns. True: they are to be written as parts of content.
    private func writeThoughts(_ message: Message, into out: inout JSONWriter) throws(Refusal) -> Bool {
        if quirks.thinkingInContent {
            for place in message.parts where conversation.parts[place].kind == .redactedThinking { conversation.hint(.thinking) }
            return message.parts.contains { conversation.parts[$0].kind == .thinking }
        }
        let parts = conversation.parts
        let text = conversation.arena.joined(message.parts.lazy.map { parts[$0].kind == .thinking && !parts[$0].text.isEmpty ? parts[$0].text : JSONBytes() })
        var hasProof = false
        for place in message.parts {
            let part = parts[place]
            if part.signatureOf == .chat, part.signature.exists || part.kind == .redactedThinking { hasProof = true }
        }
        if quirks.wantsReasoningBack || quirks.takesReasoningDetails {
            if text.exists {
                let place = message.parts.first { conversation.parts[$0].kind == .thinking }
                let word = place.map { conversation.parts[$0].name } ?? JSONBytes()
                let isShort = isOwn ? word.equals("reasoning") : quirks.reasoningInReasoning
                out.member(isShort ? "reasoning" : "reasoning_content", text)
            }
        } else {
            conversation.hint(.thinking)
        }
        // Own details were written as they came.
        if quirks.takesReasoningDetails, hasProof, !isOwn { writeDetails(message, into: &out) }
        return false
    }

    private func writeDetails(_ message: Message, into out: inout JSONWriter) {
        out.key("reasoning_details")
        out.beginArray()
        var index: Int64 = 0
        for place in message.parts where conversation.parts[place].signatureOf == .chat {
            let part = conversation.parts[place]
            guard part.kind == .redactedThinking || (part.kind == .thinking && part.signature.exists) else { continue }
            ChatDialect.writeDetail(part.kind == .thinking, text: part.text, part.kind == .thinking ? part.signature : part.data, index, into: &out)
            index += 1
        }
        out.endArray()
    }

    private func writeThinkingPart(_ part: Part, into out: inout JSONWriter) {
        if isOwn, part.json.exists { return out.value(part.json) }
        out.beginObject()
        out.member("type", "thinking")
        out.key("thinking")
        out.beginArray()
        out.beginObject()
        out.member("type", "text")
        out.member("text", part.text)
        out.endObject()
        out.endArray()
        if part.signature.exists, part.signatureOf == .chat { out.member("signature", part.signature) }
        out.endObject()
    }

    // MARK: calls and results

    private func id(_ id: JSONBytes) -> JSONBytes {
        if quirks.callIDsOfNine { return Identifiers.nine(id, &conversation.arena.arena) }
        return id.count > ChatDialect.callIDMax ? Identifiers.safe(id, max: ChatDialect.callIDMax, &conversation.arena.arena) : id
    }

    private mutating func writeCalls(_ message: Message, isLegacy: Bool, into out: inout JSONWriter) throws(Refusal) {
        var isOpen = false
        for place in message.parts where conversation.parts[place].kind == .toolCall {
            var part = conversation.parts[place]
            if isLegacy, !isOpen, message.parts.last == place {
                out.key("function_call")
                out.beginObject()
                out.member("name", part.name)
                writeArguments(part, "arguments", into: &out)
                out.endObject()
                break
            }
            if !isOpen {
                out.key("tool_calls")
                out.beginArray()
                isOpen = true
            }
            if part.isCustom, !quirks.supports(.customTools) { try conversation.cannot(.customTools) }
            if part.id.isEmpty {
                part.id = Identifiers.make("call_", seed: (0, 0), ordinal: callCount, &conversation.arena.arena)
                if madeIDs.count < 1024 { madeIDs.append((part.name, part.id)) }
            }
            callCount += 1
            out.beginObject()
            out.member("id", id(part.id))
            out.member("type", part.isCustom ? "custom" : "function")
            out.key(part.isCustom ? "custom" : "function")
            out.beginObject()
            out.member("name", part.name)
            writeArguments(part, part.isCustom ? "input" : "arguments", into: &out)
            out.endObject()
            if part.signature.exists, part.signatureOf == .chat {
                out.key("extra_content")
                out.beginObject()
                out.key("google")
                out.beginObject()
                out.member("thought_signature", part.signature)
                out.endObject()
                out.endObject()
            }
            if isOwn { while let extra = partExtras.next(place, in: conversation.extras) { ChatDialect.write(extra, into: &out) } }
            out.endObject()
        }
        if isOpen { out.endArray() }
    }

    private func writeArguments(_ part: Part, _ key: StaticString, into out: inout JSONWriter) {
        out.key(key)
        if part.json.exists {
            out.string(escaping: part.json.raw)
        } else if part.text.isEmpty, !part.isCustom {
            out.string("{}")
        } else {
            out.string(part.text)
        }
    }

    private mutating func writeResult(_ part: Part, _ at: Int, into out: inout JSONWriter) throws(Refusal) {
        var called = part.id
        if called.isEmpty, let made = madeIDs.firstIndex(where: { $0.name.equals(part.name) }) ?? (madeIDs.isEmpty ? nil : 0) {
            called = madeIDs.remove(at: made).id
        }
        out.beginObject()
        let forms = isOwn ? writeExtras(at, into: &out) : (isList: false, isLegacyCall: false)
        out.member("role", forms.isLegacyCall ? "function" : "tool")
        if !forms.isLegacyCall { out.member("tool_call_id", id(called)) }
        if isOwn, part.name.exists { out.member("name", part.name) }
        if part.cache != .none, !isOwn { conversation.hint(.cacheControl) }
        out.key("content")
        var others = false
        for place in part.children where conversation.inner[place].kind != .text { others = true }
        if isOwn, others || forms.isList || part.children.count > 1 {
            out.beginArray()
            for place in part.children { try writePart(conversation.inner[place], into: &out) }
            out.endArray()
        } else if forms.isLegacyCall, part.children.isEmpty {
            out.null()
        } else {
            if others { try conversation.cannot(.toolResultContent, "a tool's result can be text only for this upstream") }
            out.string(conversation.joinedText(part.children, inner: true, separator: "\\n"))
        }
        out.endObject()
    }
}
