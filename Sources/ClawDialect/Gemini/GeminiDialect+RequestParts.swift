// The parts of a request's contents. Calls mostly have no id in this dialect, and results name the function only, so the reader makes ids that other
// dialects can pair by: `gemini_call_<n>` for the n-th call of the conversation, the same each time the conversation comes. A result belongs to the first
// call of its function that has none yet.
import ClawWire

extension GeminiRequestReader {
    /// Ids that begin so are the reader's own and never sent to Gemini.
    static let madePrefix: StaticString = "gemini_call_"

    /// `current`: whose message parts of this content are being added to.
    mutating func readPart(_ part: JSONValue, isModel: Bool, _ current: inout Role?) throws(Refusal) {
        guard part.isObject else { throw Refusal("contents[].parts[]", "must be an object") }
        var text = JSONValue()
        var signature = JSONValue()
        var data = JSONValue()
        var dataKey = JSONValue()
        var isThought = false
        var others = 0
        for (key, value) in part.members where value.isPresent {
            if key.equals("text") {
                guard value.isString else { throw Refusal("contents[].parts[].text", "must be a string") }
                text = value
            } else if key.equals("thought") {
                guard let flag = value.bool else { throw Refusal("contents[].parts[].thought", "must be true or false") }
                isThought = flag
            } else if GeminiKey.matches(key, "thoughtSignature") {
                guard value.isString else { throw Refusal("contents[].parts[].thoughtSignature", "must be a string") }
                signature = value
            } else if Self.isData(key) {
                guard !data.exists else { throw Refusal("contents[].parts[]", "must hold one kind of data only") }
                data = value
                dataKey = key
            } else {
                others += 1
            }
        }
        if text.exists, data.exists { throw Refusal("contents[].parts[]", "must hold one kind of data only") }
        let isOpaque = !text.exists && !data.exists && others > 0
        if !text.exists, !data.exists, others == 0, !signature.exists { throw Refusal("contents[].parts[]", "must hold some kind of data") }

        let isResult = data.exists && GeminiKey.matches(dataKey, "functionResponse")
        let isCall = data.exists && GeminiKey.matches(dataKey, "functionCall")
        let role: Role = isResult ? .tool : isModel || isCall ? .assistant : .user
        if current != role {
            try conversation.begin(role)
            current = role
        }
        let index = conversation.parts.count
        if isOpaque {
            var opaque = Part(.opaque)
            opaque.json = part.raw
            return try conversation.add(opaque)
        }
        if others > 0 {
            for member in part.members where member.value.isPresent {
                if member.key.equals("text") || member.key.equals("thought") || GeminiKey.matches(member.key, "thoughtSignature") || Self.isData(member.key) { continue }
                conversation.extra(.part, index, member)
            }
        }
        if isResult { return try readResult(data, index) }
        var made: Part
        if isCall {
            made = try readCall(data, index)
        } else if data.exists {
            made = try readMedia(data, isInline: GeminiKey.matches(dataKey, "inlineData"), index)
        } else {
            made = .text(text.exists ? text.text : JSONBytes(""))
            if isThought { made.kind = .thinking }
        }
        if signature.exists, !signature.text.isEmpty {
            let (proof, maker, isRedacted) = GeminiSignatures.inward(signature.text, &conversation.arena.arena)
            made.signatureOf = maker
            if isRedacted {
                made.kind = .redactedThinking
                made.data = proof
            } else {
                made.signature = proof
                if made.kind == .thinking, maker != .gemini { made.text = gatherThoughts(before: made.text) }
            }
        } else if made.kind == .text || made.kind == .thinking, made.text.isEmpty, others == 0 {
            // The last chunk of a stream, given back: nothing was said in it.
            return
        }
        if isCall {
            pending.append(Int32(truncatingIfNeeded: index))
            if pending.count > Self.pendingMax { pending.removeFirst() }
        }
        try conversation.add(made)
    }

    /// Other providers sign a thought as a whole, but what a client gives back is in the pieces in which it was streamed: the text of all unsigned ones before
    /// the signature, which are taken out of the message, and `last`.
    private func gatherThoughts(before last: JSONBytes) -> JSONBytes {
        guard let range = conversation.messages.last?.parts else { return last }
        var start = range.upperBound
        while start > range.lowerBound, conversation.parts[start - 1].kind == .thinking, conversation.parts[start - 1].signature.isEmpty { start -= 1 }
        // Extras name parts by their place, so these must keep theirs.
        if let extra = conversation.extras.last, extra.scope == .part || extra.scope == .nested, extra.index >= start { return last }
        guard start < range.upperBound else { return last }
        let whole = conversation.arena.joined((conversation.parts[start..<range.upperBound].lazy.map(\.text)) + CollectionOfOne(last))
        conversation.parts.removeSubrange(start...)
        conversation.messages[conversation.messages.count - 1].parts = range.lowerBound..<start
        return whole
    }

    private static func isData(_ key: JSONValue) -> Bool {
        GeminiKey.matches(key, "functionCall") || GeminiKey.matches(key, "functionResponse") || GeminiKey.matches(key, "inlineData")
            || GeminiKey.matches(key, "fileData")
    }

    // MARK: calls and results

    private mutating func readCall(_ call: JSONValue, _ index: Int) throws(Refusal) -> Part {
        guard call.isObject else { throw Refusal("contents[].parts[].functionCall", "must be an object") }
        var part = Part(.toolCall)
        for member in call.members where member.value.isPresent {
            let (key, value) = member
            if key.equals("name") {
                part.name = try string(value, "contents[].parts[].functionCall.name")
            } else if key.equals("id") {
                part.id = try string(value, "contents[].parts[].functionCall.id")
            } else if key.equals("args") {
                guard value.isObject else { throw Refusal("contents[].parts[].functionCall.args", "must be an object") }
                part.json = value.raw
            } else {
                conversation.extra(.nested, index, member)
            }
        }
        guard !part.name.isEmpty else { throw Refusal("contents[].parts[].functionCall.name", "is required") }
        if part.id.isEmpty { part.id = makeID() }
        calls += 1
        return part
    }

    private mutating func makeID() -> JSONBytes {
        var number = JSONWriter(limit: 64)
        number.put(Self.madePrefix)
        number.put(number: Int64(calls))
        return conversation.arena.arena.copy(number.written)
    }

    private mutating func readResult(_ result: JSONValue, _ index: Int) throws(Refusal) {
        guard result.isObject else { throw Refusal("contents[].parts[].functionResponse", "must be an object") }
        var part = Part(.toolResult)
        let start = conversation.inner.count
        var media = JSONValue()
        for member in result.members where member.value.isPresent {
            let (key, value) = member
            if key.equals("name") {
                part.name = try string(value, "contents[].parts[].functionResponse.name")
            } else if key.equals("id") {
                part.id = try string(value, "contents[].parts[].functionResponse.id")
            } else if key.equals("response") {
                guard value.isObject else { throw Refusal("contents[].parts[].functionResponse.response", "must be an object") }
                part.json = value.raw
                addText(of: value, &part)
            } else if key.equals("parts") {
                guard value.isArray else { throw Refusal("contents[].parts[].functionResponse.parts", "must be an array") }
                media = value
            } else {
                conversation.extra(.nested, index, member)
            }
        }
        guard !part.name.isEmpty else { throw Refusal("contents[].parts[].functionResponse.name", "is required") }
        for one in media.elements {
            let inline = GeminiKey.pick(one, "inlineData")
            let file = GeminiKey.pick(one, "fileData")
            guard conversation.inner.count < Conversation.countMax else { throw Refusal("contents", "there are more than 100000 parts of results") }
            guard inline.exists || file.exists else { throw Refusal("contents[].parts[].functionResponse.parts[]", "must hold inlineData or fileData") }
            conversation.inner.append(try readMedia(inline.exists ? inline : file, isInline: inline.exists, index))
        }
        part.id = pair(part.name, part.id)
        try conversation.add(result: part, from: start)
    }

    /// What a tool said, as text: the one member that Google's documentation names, or all of the object.
    private func addText(of response: JSONValue, _ part: inout Part) {
        var text = JSONBytes()
        if response.count == 1, let (key, value) = firstMember(response), key.equals("result") || key.equals("output") || key.equals("error") {
            part.isError = key.equals("error")
            text = value.isString ? value.text : conversation.arena.arena.escaped(value.raw.raw)
        } else {
            text = conversation.arena.arena.escaped(response.raw.raw)
        }
        conversation.inner.append(.text(text))
    }

    private func firstMember(_ object: JSONValue) -> (key: JSONValue, value: JSONValue)? {
        var members = object.members
        return members.next()
    }

    /// The id that the result's call has.
    private mutating func pair(_ name: JSONBytes, _ id: JSONBytes) -> JSONBytes {
        if !id.isEmpty, let at = pending.firstIndex(where: { conversation.parts[Int($0)].id.equals(id) }) {
            pending.remove(at: at)
            return id
        }
        if let at = pending.firstIndex(where: { conversation.parts[Int($0)].name.equals(name) }) {
            return conversation.parts[Int(pending.remove(at: at))].id
        }
        if !id.isEmpty { return id }
        defer { calls += 1 }
        return makeID()
    }

    // MARK: media

    private func readMedia(_ value: JSONValue, isInline: Bool, _ index: Int) throws(Refusal) -> Part {
        guard value.isObject else { throw Refusal(isInline ? "contents[].parts[].inlineData" : "contents[].parts[].fileData", "must be an object") }
        var type = JSONBytes()
        var data = JSONBytes()
        var name = JSONBytes()
        for member in value.members where member.value.isPresent {
            let (key, value) = member
            if GeminiKey.matches(key, "mimeType") {
                type = try string(value, isInline ? "contents[].parts[].inlineData.mimeType" : "contents[].parts[].fileData.mimeType")
            } else if isInline, key.equals("data") {
                data = try string(value, "contents[].parts[].inlineData.data")
            } else if !isInline, GeminiKey.matches(key, "fileUri") {
                data = try string(value, "contents[].parts[].fileData.fileUri")
            } else if GeminiKey.matches(key, "displayName") {
                name = try string(value, "contents[].parts[].inlineData.displayName")
            } else {
                conversation.extra(.nested, index, member)
            }
        }
        if isInline, type.isEmpty { throw Refusal("contents[].parts[].inlineData.mimeType", "is required") }
        guard !data.isEmpty else { throw Refusal(isInline ? "contents[].parts[].inlineData.data" : "contents[].parts[].fileData.fileUri", "is required") }
        return GeminiMedia.part(type: type, data: data, name: name, isInline: isInline, &conversation.arena.arena)
    }
}

/// Pictures, sounds and files, which are told apart by their media type.
enum GeminiMedia {
    static func part(type: JSONBytes, data: JSONBytes, name: JSONBytes, isInline: Bool, _ arena: inout JSONArena) -> Part {
        var part = Part(kind(type, data))
        part.mediaType = type
        part.name = name
        part.data = isInline ? standard(data, &arena) : data
        // Files of Google's own stores are nothing that another provider could fetch.
        let isOpen = data.begins(with: "http") && !data.contains("generativelanguage.googleapis.com")
        part.source = isInline ? .base64 : isOpen ? .url : .fileID
        return part
    }

    private static func kind(_ type: JSONBytes, _ data: JSONBytes) -> Part.Kind {
        if type.begins(with: "image/") || type.begins(with: "image\\/") { return .image }
        if type.begins(with: "audio/") || type.begins(with: "audio\\/") { return .audio }
        if type.begins(with: "video/") || type.begins(with: "video\\/") { return .video }
        if type.isEmpty, data.contains("youtube.com/") || data.contains("youtu.be/") { return .video }
        return .document
    }

    /// The standard alphabet with its padding; everybody else refuses base64url.
    static func standard(_ text: JSONBytes, _ arena: inout JSONArena) -> JSONBytes {
        guard text.firstIndex(of: 0x2D) != nil || text.firstIndex(of: 0x5F) != nil, text.firstIndex(of: 0x5C) == nil else { return text }
        let missing = text.count % 4 == 0 ? 0 : 4 - text.count % 4
        let place = arena.take(text.count + missing)
        for at in 0..<text.count { place[at] = text[at] == 0x2D ? 0x2B : text[at] == 0x5F ? 0x2F : text[at] }
        for at in 0..<missing { place[text.count + at] = 0x3D }
        return JSONBytes(place, text.count + missing)
    }
}
