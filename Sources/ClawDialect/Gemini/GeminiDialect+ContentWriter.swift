// Writes instructions and contents. Messages of one role that follow each other become one content, so that all results of a turn stand together, as
// Gemini demands; a content is begun only by its first part, because one without parts is refused.
import ClawWire

extension GeminiRequestWriter {
    mutating func writeContents(into out: inout JSONWriter) throws(Refusal) {
        try writeInstruction(into: &out)
        let place = out.count
        out.key("contents")
        out.beginArray()
        let empty = out.count
        for message in conversation.messages where message.role != .system && message.role != .developer {
            if message.name.exists { conversation.hint(.name) }
            for at in message.parts { try writePart(at, isModel: message.role == .assistant, into: &out) }
        }
        close(into: &out)
        let isEmpty = out.count == empty
        out.endArray()
        if isEmpty {
            out.truncate(to: place)
            throw Refusal(JSONBytes(conversation.source.pieces.name(of: .messages)), "must hold something that is no instruction for this upstream")
        }
    }

    private mutating func writeInstruction(into out: inout JSONWriter) throws(Refusal) {
        var count = 0
        for message in conversation.messages where message.role == .system || message.role == .developer {
            for at in message.parts {
                let part = conversation.parts[at]
                if part.cache != .none { conversation.hint(.cacheControl) }
                guard part.kind == .text else {
                    try conversation.cannot(.systemRole, "must be text for this upstream")
                    continue
                }
                if part.text.isEmpty { continue }
                if count == 0 {
                    out.key("systemInstruction")
                    out.beginObject()
                    out.key("parts")
                    out.beginArray()
                }
                count += 1
                out.beginObject()
                out.member("text", part.text)
                out.endObject()
            }
        }
        guard count > 0 else { return }
        out.endArray()
        out.endObject()
    }

    /// Begins a part.
    private mutating func begin(_ isModel: Bool, into out: inout JSONWriter) {
        openContent(isModel, into: &out)
        out.beginObject()
    }

    private mutating func openContent(_ isModel: Bool, into out: inout JSONWriter) {
        let wanted = isModel ? Open.model : Open.user
        guard open != wanted else { return }
        close(into: &out)
        open = wanted
        wantsSignature = isModel && model.wantsSignatures
        out.beginObject()
        out.member("role", isModel ? "model" : "user")
        out.key("parts")
        out.beginArray()
    }

    private mutating func close(into out: inout JSONWriter) {
        guard open != .none else { return }
        open = .none
        out.endArray()
        out.endObject()
    }

    /// Closes the part: its signature and what else stood in it.
    private mutating func end(_ at: Int, _ part: Part, into out: inout JSONWriter) {
        if part.signatureOf == .gemini, !part.signature.isEmpty { out.member("thoughtSignature", part.signature) }
        writeExtras(.part, of: at, into: &out)
        out.endObject()
    }

    private mutating func writePart(_ at: Int, isModel: Bool, into out: inout JSONWriter) throws(Refusal) {
        let part = conversation.parts[at]
        if part.cache != .none { conversation.hint(.cacheControl) }
        let isSigned = part.signatureOf == .gemini && !part.signature.isEmpty
        switch part.kind {
        case .text, .refusal:
            if part.text.isEmpty, !isSigned { return }
            begin(isModel, into: &out)
            out.member("text", part.text)
            end(at, part, into: &out)
        case .thinking:
            // Another provider's thoughts prove nothing here.
            guard isSigned || (isSame && part.signature.isEmpty) else { return conversation.hint(.thinking) }
            begin(isModel, into: &out)
            out.member("text", part.text.exists ? part.text : JSONBytes(""))
            out.member("thought", true)
            end(at, part, into: &out)
        case .redactedThinking: conversation.hint(.thinking)
        case .image, .audio, .video, .document:
            guard try canWrite(part) else { return }
            begin(isModel, into: &out)
            writeMedia(part, extrasOf: at, into: &out)
            end(at, part, into: &out)
        case .toolCall:
            let arguments = try arguments(part)
            begin(isModel, into: &out)
            out.key("functionCall")
            out.beginObject()
            writeID(part.id, into: &out)
            out.member("name", part.name)
            if arguments.exists { out.member("args", raw: arguments) }
            writeExtras(.nested, of: at, into: &out)
            out.endObject()
            // A history that another model made has no proof of its thoughts; Google's documentation names the word to say so.
            if wantsSignature, !isSigned { out.member("thoughtSignature", "skip_thought_signature_validator") }
            wantsSignature = false
            end(at, part, into: &out)
        case .toolResult: try writeResult(at, part, into: &out)
        case .opaque:
            guard isSame else { return try conversation.cannot(.messages, "this upstream does not know one of their parts") }
            openContent(isModel, into: &out)
            out.value(part.json)
        }
    }

    // MARK: calls and results

    private func arguments(_ part: Part) throws(Refusal) -> JSONBytes {
        if part.isCustom { return conversation.arena.arena.joined(JSONBytes("{\"input\":\""), part.text, JSONBytes("\"}")) }
        if isSame, !part.json.exists { return JSONBytes() }
        if let object = conversation.argumentsObject(part) { return object }
        try conversation.cannot(.toolArguments, "must be a JSON object for this upstream")
        return JSONBytes("{}")
    }

    private func writeID(_ id: JSONBytes, into out: inout JSONWriter) {
        if !id.isEmpty, !id.begins(with: GeminiRequestReader.madePrefix) { out.member("id", id) }
    }

    private mutating func writeResult(_ at: Int, _ part: Part, into out: inout JSONWriter) throws(Refusal) {
        let name = part.name.isEmpty ? conversation.toolName(of: part.id, before: at) : part.name
        guard !name.isEmpty else {
            throw Refusal(JSONBytes(conversation.source.pieces.name(of: .messages)), "one is a tool's result whose call does not stand before it")
        }
        var media = 0
        for child in part.children {
            let inner = conversation.inner[child]
            switch inner.kind {
            case .text: continue
            case .image, .audio, .video, .document:
                if !isSame, !model.isThird {
                    try conversation.cannot(.toolResultContent, "must be text for this model")
                } else if try canWrite(inner) {
                    media += 1
                }
            default: try conversation.cannot(.toolResultContent, "must be text for this upstream")
            }
        }
        let response = isSame && part.json.exists ? part.json : self.response(part)
        begin(false, into: &out)
        out.key("functionResponse")
        out.beginObject()
        writeID(part.id, into: &out)
        out.member("name", name)
        out.member("response", raw: response)
        if media > 0 {
            out.key("parts")
            out.beginArray()
            for child in part.children where conversation.inner[child].kind != .text {
                guard isMedia(conversation.inner[child]), isWritable(conversation.inner[child]) else { continue }
                out.beginObject()
                writeMedia(conversation.inner[child], extrasOf: nil, into: &out)
                out.endObject()
            }
            out.endArray()
        }
        writeExtras(.nested, of: at, into: &out)
        out.endObject()
        end(at, part, into: &out)
    }

    /// A result's text as the object that Gemini wants: itself if it is one, else in `result`, or in `error` for what went wrong.
    private func response(_ part: Part) -> JSONBytes {
        let arena = conversation.arena
        let text = conversation.joinedText(part.children, inner: true, separator: "\\n")
        let plain = arena.arena.unescaped(text)
        let isObject = plain.raw.contains(0x7B) && arena.tape.read(plain.raw) == nil && arena.tape.root.isObject
        if isObject, !part.isError { return plain }
        let head: StaticString = part.isError ? "{\"error\":" : "{\"result\":"
        if isObject { return arena.arena.joined(JSONBytes(head), plain, JSONBytes("}")) }
        return arena.arena.joined(JSONBytes(head), JSONBytes("\""), text, JSONBytes("\"}"))
    }

    // MARK: media

    private func isMedia(_ part: Part) -> Bool {
        part.kind == .image || part.kind == .audio || part.kind == .video || part.kind == .document
    }

    private func isWritable(_ part: Part) -> Bool {
        switch part.source {
        case .base64, .url, .text: !part.data.isEmpty || part.source == .text
        case .fileID: isSame && !part.data.isEmpty
        case .none: false
        }
    }

    private func canWrite(_ part: Part) throws(Refusal) -> Bool {
        if part.kind == .image, !part.detail.isEmpty, !part.detail.equals("auto") { conversation.note(JSONBytes("detail")) }
        if isWritable(part) { return true }
        let field: Field = part.kind == .image ? .image : part.kind == .audio ? .inputAudio : part.kind == .video ? .video : .document
        try conversation.cannot(field, "must be given as data or as a URL for this upstream")
        return false
    }

    private mutating func writeMedia(_ part: Part, extrasOf at: Int?, into out: inout JSONWriter) {
        if part.source == .text { return out.member("text", part.data.exists ? part.data : part.text) }
        var type = part.mediaType
        var data = part.data
        var isInline = part.source == .base64
        if part.source == .url, let parsed = DataURL.parse(part.data) {
            type = parsed.mediaType
            data = parsed.data
            isInline = true
        }
        if isInline, type.isEmpty {
            type = part.kind == .image ? JSONBytes("image/png") : part.kind == .audio ? JSONBytes("audio/wav") : part.kind == .video ? JSONBytes("video/mp4") : JSONBytes("application/pdf")
        }
        out.key(isInline ? "inlineData" : "fileData")
        out.beginObject()
        if type.isEmpty, !isInline { type = Self.type(ofURL: data) }
        if !type.isEmpty { out.member("mimeType", type) }
        out.member(isInline ? "data" : "fileUri", data)
        if isSame, part.name.exists { out.member("displayName", part.name) }
        if let at { writeExtras(.nested, of: at, into: &out) }
        out.endObject()
    }

    /// From the name's ending; Gemini guesses itself where there is none.
    private static func type(ofURL url: JSONBytes) -> JSONBytes {
        let path = url.prefix(url.firstIndex(of: 0x3F) ?? url.count)
        if path.ends(with: ".png") { return JSONBytes("image/png") }
        if path.ends(with: ".jpg") || path.ends(with: ".jpeg") { return JSONBytes("image/jpeg") }
        if path.ends(with: ".webp") { return JSONBytes("image/webp") }
        if path.ends(with: ".gif") { return JSONBytes("image/gif") }
        if path.ends(with: ".pdf") { return JSONBytes("application/pdf") }
        if path.ends(with: ".mp4") { return JSONBytes("video/mp4") }
        if path.ends(with: ".mp3") { return JSONBytes("audio/mp3") }
        if path.ends(with: ".wav") { return JSONBytes("audio/wav") }
        return JSONBytes()
    }

    // MARK: extras

    /// Extras of a part. They are in the order of the parts, so nothing is looked at twice.
    private mutating func writeExtras(_ scope: Extra.Scope, of part: Int, into out: inout JSONWriter) {
        guard isSame else { return }
        let extras = conversation.extras
        while extrasAt < extras.count {
            let extra = extras[extrasAt]
            if extra.scope == .part || extra.scope == .nested, extra.index >= part { break }
            extrasAt += 1
        }
        var at = extrasAt
        while at < extras.count {
            let extra = extras[at]
            if extra.scope == .part || extra.scope == .nested, extra.index > part { break }
            if extra.scope == scope, extra.index == part {
                out.key(extra.key)
                out.value(extra.value)
            }
            at += 1
        }
    }
}
