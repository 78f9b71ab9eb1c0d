// Reads the messages of a chat request. A `tool` message is one tool result; an assistant's calls follow its text; thoughts come before both, whichever of
// the providers' names they have. What clients echo from an answer without meaning anything by it (`annotations`, a call's `index`) is a hint.
import ClawWire

extension ChatDialect {
    static func readMessages(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isArray else { throw Refusal("messages", "must be an array") }
        var legacyCall = JSONBytes()
        for item in value.elements {
            let at = conversation.messages.count
            guard item.isObject else { throw Refusal(place(conversation.arena, "messages", at), "must be an object") }
            let role = item["role"]
            if role.equals("user") {
                try readPlain(item, .user, into: conversation)
            } else if role.equals("assistant") {
                try readAssistant(item, into: conversation, &legacyCall)
            } else if role.equals("tool") || role.equals("function") {
                try readResult(item, into: conversation, legacyCall)
            } else if role.equals("system") {
                try readPlain(item, .system, into: conversation)
            } else if role.equals("developer") {
                try readPlain(item, .developer, into: conversation)
            } else {
                throw Refusal(place(conversation.arena, "messages", at, ".role"), "must be system, developer, user, assistant, tool or function")
            }
        }
        if conversation.messages.isEmpty { throw Refusal("messages", "must not be empty") }
    }

    private static func readPlain(_ item: JSONValue, _ role: Role, into conversation: Conversation) throws(Refusal) {
        let at = conversation.messages.count
        try conversation.begin(role)
        let content = item["content"]
        guard content.isString || content.isArray else {
            throw Refusal(place(conversation.arena, "messages", at, ".content"), "must be a string or an array of parts")
        }
        try readContent(content, at, into: conversation)
        for member in item.members {
            let key = member.key.text
            if key.equals("role") || key.equals("content") {
                continue
            } else if key.equals("name"), member.value.isPresent {
                conversation.messages[at].name = try name(member.value, at, conversation)
            } else {
                readRest(member, at, into: conversation)
            }
        }
    }

    private static func name(_ value: JSONValue, _ at: Int, _ conversation: Conversation) throws(Refusal) -> JSONBytes {
        guard value.isString else { throw Refusal(place(conversation.arena, "messages", at, ".name"), "must be a string") }
        return value.text
    }

    /// A member nobody knows; and a cache mark on the message, which is one on its last part.
    private static func readRest(_ member: (key: JSONValue, value: JSONValue), _ at: Int, into conversation: Conversation) {
        if member.key.equals("cache_control"), member.value.isObject {
            if !conversation.messages[at].parts.isEmpty { conversation.parts[conversation.parts.count - 1].cache = cacheMark(member.value) }
            conversation.extra(.nested, hintIndex(ofMessage: at), member)
        } else {
            conversation.extra(.message, at, member)
        }
    }

    /// A string or a list of parts, as parts of the last message.
    private static func readContent(_ content: JSONValue, _ at: Int, into conversation: Conversation) throws(Refusal) {
        if content.isString {
            try conversation.add(.text(content.text))
            return
        }
        let start = conversation.parts.count
        for item in content.elements { try conversation.add(readPart(item, at, conversation.parts.count, conversation)) }
        let count = conversation.parts.count - start
        if count == 0 || (count == 1 && conversation.parts[start].kind == .text) { markForm(listForm, at, conversation) }
    }

    private static func markForm(_ form: StaticString, _ at: Int, _ conversation: Conversation) {
        guard conversation.extras.count < Conversation.countMax else { return }
        conversation.extras.append(Extra(.message, at, key: JSONBytes(form), value: JSONBytes("null")))
    }

    // MARK: parts

    /// One part of content. All but plain text keep their whole value, which their own dialect gets back.
    static func readPart(_ item: JSONValue, _ message: Int, _ at: Int, _ conversation: Conversation) throws(Refusal) -> Part {
        func wrong(_ rest: StaticString, _ reason: StaticString) -> Refusal {
            Refusal(place(conversation.arena, "messages", message, rest), reason)
        }
        if item.isString { return .text(item.text) }
        guard item.isObject else { throw wrong(".content", "must be a string or an array of parts") }
        let type = item["type"]
        guard type.isString else { throw wrong(".content[].type", "must be a string") }
        var part = Part(.text)
        var inner: StaticString = ""
        if type.equals("text") {
            guard item["text"].isString else { throw wrong(".content[].text", "must be a string") }
            part.text = item["text"].text
            inner = "text"
        } else if type.equals("image_url") {
            let image = item["image_url"]
            let url = image.isObject ? image["url"] : image
            guard url.isString, !url.text.isEmpty else { throw wrong(".content[].image_url.url", "must be a string: an http or data URL") }
            part = media(.image, url.text)
            part.detail = image["detail"].text
            inner = "image_url"
        } else if type.equals("input_audio") {
            let audio = item["input_audio"]
            guard audio["data"].isString else { throw wrong(".content[].input_audio.data", "must be a string of base64") }
            guard audio["format"].isString else { throw wrong(".content[].input_audio.format", "must be a string: wav or mp3") }
            part.kind = .audio
            part.source = .base64
            part.data = audio["data"].text
            part.mediaType = conversation.arena.arena.joined(JSONBytes("audio/"), audio["format"].text)
            inner = "input_audio"
        } else if type.equals("file") {
            let file = item["file"]
            part.kind = .document
            part.name = file["filename"].text
            if file["file_id"].isString {
                part.source = .fileID
                part.data = file["file_id"].text
            } else if file["file_data"].isString {
                let held = media(.document, file["file_data"].text)
                part.source = .base64
                part.data = held.data
                part.mediaType = held.mediaType.isEmpty ? JSONBytes("application/pdf") : held.mediaType
                // Some clients put the URL there.
                if held.source == .url, held.data.begins(with: "http") { part.source = .url }
            } else {
                throw wrong(".content[].file", "must have a file_id, or file_data with a filename")
            }
            inner = "file"
        } else if type.equals("video_url") {
            let url = item["video_url"].isObject ? item["video_url"]["url"] : item["video_url"]
            guard url.isString else { throw wrong(".content[].video_url.url", "must be a string: an http or data URL") }
            part = media(.video, url.text)
            inner = "video_url"
        } else if type.equals("document_url") {
            guard item["document_url"].isString else { throw wrong(".content[].document_url", "must be a string: an http or data URL") }
            part = media(.document, item["document_url"].text)
            part.name = item["document_name"].text
            inner = "document_url"
        } else if type.equals("refusal") {
            guard item["refusal"].isString else { throw wrong(".content[].refusal", "must be a string") }
            part.kind = .refusal
            part.text = item["refusal"].text
            inner = "refusal"
        } else if type.equals("thinking") {
            part = thinking(item, conversation.arena)
            inner = "thinking"
        } else {
            part.kind = .opaque
            part.json = item.raw
            return part
        }
        var isPlain = part.kind == .text
        for member in item.members where !member.key.equals("type") && !member.key.text.equals(inner) {
            if member.key.equals("cache_control"), member.value.isObject {
                part.cache = cacheMark(member.value)
            } else if member.key.equals("prompt_cache_breakpoint") {
                conversation.extra(.nested, partHintIndex, member)
            } else if part.kind != .thinking && !(part.kind == .document && member.key.equals("document_name")) {
                conversation.extra(.part, at, member)
            }
            isPlain = false
        }
        if !isPlain { part.json = item.raw }
        return part
    }

    /// What a URL names, or holds.
    private static func media(_ kind: Part.Kind, _ url: JSONBytes) -> Part {
        var part = Part(kind)
        if let held = DataURL.parse(url) {
            part.source = .base64
            part.mediaType = held.mediaType
            part.data = held.data
        } else {
            part.source = .url
            part.data = url
        }
        return part
    }

    /// Mistral's `{"type":"thinking","thinking":[{"type":"text","text"}],"closed","signature"}`; `thinking` may be a string.
    static func thinking(_ item: JSONValue, _ arena: ArenaBox) -> Part {
        var part = Part(.thinking)
        part.text = JSONBytes("")
        part.json = item.raw
        if item["thinking"].isString {
            part.text = item["thinking"].text
        } else {
            let text = arena.joined(item["thinking"].elements.lazy.map { $0["text"].text })
            if text.exists { part.text = text }
        }
        if item["signature"].isString, !item["signature"].text.isEmpty {
            (part.signature, part.signatureOf) = split(item["signature"].text)
        }
        return part
    }

    static func split(_ text: JSONBytes) -> (JSONBytes, DialectID?) {
        let whole = Signatures.inward(text, in: .chat)
        return (whole.signature, whole.maker)
    }

    // MARK: an assistant's messages

    private static func readAssistant(_ item: JSONValue, into conversation: Conversation, _ legacyCall: inout JSONBytes) throws(Refusal) {
        let at = conversation.messages.count
        try conversation.begin(.assistant)
        try readReasoning(of: item, at, into: conversation)
        let content = item["content"]
        if content.isString || content.isArray {
            try readContent(content, at, into: conversation)
        } else if content.isPresent {
            throw Refusal(place(conversation.arena, "messages", at, ".content"), "must be a string, an array of parts or null")
        } else if !content.exists {
            markForm(listForm, at, conversation)
        }
        for member in item.members where member.value.isPresent {
            let key = member.key.text
            if key.equals("role") || key.equals("content") || key.equals("reasoning_details") {
                continue
            } else if key.equals("reasoning_content") || key.equals("reasoning") {
                // The one that was not read as the thought: clients of two providers send both.
                let used = item["reasoning_content"].isString ? key.equals("reasoning_content") : true
                if !used || !member.value.isString { conversation.extra(.nested, hintIndex(ofMessage: at), member) }
            } else if key.equals("name") {
                conversation.messages[at].name = try name(member.value, at, conversation)
            } else if key.equals("refusal") {
                guard member.value.isString else { throw Refusal(place(conversation.arena, "messages", at, ".refusal"), "must be a string or null") }
                var part = Part(.refusal)
                part.text = member.value.text
                try conversation.add(part)
            } else if key.equals("audio") {
                // An earlier answer's sound by its id: only who made it has it.
                conversation.extra(.message, at, member)
            } else if key.equals("tool_calls") {
                guard member.value.isArray else { throw Refusal(place(conversation.arena, "messages", at, ".tool_calls"), "must be an array") }
                for call in member.value.elements { try readCall(call, at, into: conversation) }
            } else if key.equals("function_call") {
                let call = member.value
                guard call["name"].isString, call["arguments"].isString || call["arguments"].isObject else {
                    throw Refusal(place(conversation.arena, "messages", at, ".function_call"), "must have a name and arguments")
                }
                var part = Part(.toolCall)
                part.id = Identifiers.make("call_", seed: (0, 0), ordinal: conversation.parts.count, &conversation.arena.arena)
                part.name = call["name"].text
                if call["arguments"].isObject { part.json = call["arguments"].raw } else { part.text = call["arguments"].text }
                legacyCall = part.id
                try conversation.add(part)
                markForm(legacyCallForm, at, conversation)
            } else if key.equals("prefix") {
                // Mistral's SDK says that it is false.
                conversation.extras.append(Extra(.message, at, key: key, value: member.value.raw, isQuiet: member.value.bool == false))
            } else {
                if key.equals("cache_control"), member.value.isObject {
                    readRest(member, at, into: conversation)
                } else if key.equals("annotations"), member.value.isArray, !member.value.first.exists {
                    conversation.extras.append(Extra(.nested, hintIndex(ofMessage: at), key: key, value: member.value.raw, isQuiet: true))
                } else {
                    conversation.extra(.nested, hintIndex(ofMessage: at), member)
                }
            }
        }
        if conversation.messages[at].parts.isEmpty, !item["audio"].isPresent {
            throw Refusal(place(conversation.arena, "messages", at, ".content"), "is required where there are no tool_calls")
        }
    }

    /// Thoughts, by any of their names: text in `reasoning_content` or `reasoning`, proofs and what is hidden in `reasoning_details`.
    private static func readReasoning(of item: JSONValue, _ at: Int, into conversation: Conversation) throws(Refusal) {
        var part = Part(.thinking)
        part.text = item["reasoning_content"].isString ? item["reasoning_content"].text : item["reasoning"].text
        if !item["reasoning_content"].isString, item["reasoning"].isString { part.name = JSONBytes("reasoning") }
        let details = item["reasoning_details"]
        if details.isArray {
            // What it says goes on as the parts that are made of it, so nobody misses it.
            conversation.extras.append(Extra(.nested, hintIndex(ofMessage: at), key: item.key("reasoning_details").text, value: details.raw, isQuiet: true))
            if part.text.isEmpty { part.text = conversation.arena.joined(details.elements.lazy.map { $0["text"].text }) }
            for detail in details.elements where detail["signature"].isString && !detail["signature"].text.isEmpty {
                (part.signature, part.signatureOf) = split(detail["signature"].text)
            }
        }
        if !part.text.isEmpty || part.signature.exists { try conversation.add(part) }
        for detail in details.elements where detail["type"].equals("reasoning.encrypted") && detail["data"].isString {
            var hidden = Part(.redactedThinking)
            (hidden.data, hidden.signatureOf) = split(detail["data"].text)
            try conversation.add(hidden)
        }
    }

    private static func readCall(_ call: JSONValue, _ at: Int, into conversation: Conversation) throws(Refusal) {
        func wrong(_ rest: StaticString, _ reason: StaticString) -> Refusal { Refusal(place(conversation.arena, "messages", at, rest), reason) }
        guard call.isObject else { throw wrong(".tool_calls[]", "must be an object") }
        var part = Part(.toolCall)
        let isCustom = call["type"].equals("custom")
        if call["type"].isPresent, !isCustom, !call["type"].equals("function") { throw wrong(".tool_calls[].type", "must be function or custom") }
        let inner = isCustom ? call["custom"] : call["function"]
        guard call["id"].isString || !call["id"].isPresent else { throw wrong(".tool_calls[].id", "must be a string") }
        guard inner["name"].isString else {
            throw isCustom ? wrong(".tool_calls[].custom.name", "must be a string") : wrong(".tool_calls[].function.name", "must be a string")
        }
        part.id = call["id"].exists ? call["id"].text : JSONBytes("")
        part.name = inner["name"].text
        part.isCustom = isCustom
        let arguments = isCustom ? inner["input"] : inner["arguments"]
        if arguments.isString {
            part.text = arguments.text
        } else if arguments.isObject {
            part.json = arguments.raw
        } else if arguments.isPresent {
            throw isCustom ? wrong(".tool_calls[].custom.input", "must be a string") : wrong(".tool_calls[].function.arguments", "must be a string of JSON")
        } else {
            part.text = JSONBytes("")
        }
        let proof = call["extra_content"]["google"]["thought_signature"]
        if proof.isString, !proof.text.isEmpty { (part.signature, part.signatureOf) = split(proof.text) }
        let ordinal = conversation.parts.count
        try conversation.add(part)
        for member in call.members {
            let key = member.key.text
            // `index` counts the fragments of a stream; in a request it says nothing.
            if key.equals("id") || key.equals("type") || key.equals("function") || key.equals("custom") || key.equals("index") { continue }
            if key.equals("extra_content"), part.signature.exists { continue }
            conversation.extra(.part, ordinal, member)
        }
    }

    // MARK: results

    private static func readResult(_ item: JSONValue, into conversation: Conversation, _ legacyCall: JSONBytes) throws(Refusal) {
        let at = conversation.messages.count
        let isLegacy = item["role"].equals("function")
        try conversation.begin(.tool)
        var part = Part(.toolResult)
        let start = conversation.inner.count
        let content = item["content"]
        if content.isString {
            conversation.inner.append(.text(content.text))
        } else if content.isArray {
            for piece in content.elements {
                guard conversation.inner.count < Conversation.countMax else { throw Refusal("messages", "they have more than 100000 parts") }
                conversation.inner.append(try readPart(piece, at, conversation.parts.count, conversation))
            }
            let pieces = conversation.inner.count - start
            if pieces == 0 || (pieces == 1 && conversation.inner[start].kind == .text) { markForm(listForm, at, conversation) }
        } else if !isLegacy || content.isPresent {
            throw Refusal(place(conversation.arena, "messages", at, ".content"), "must be a string or an array of parts")
        }
        if isLegacy {
            guard item["name"].isString else { throw Refusal(place(conversation.arena, "messages", at, ".name"), "must be a string") }
            part.id = legacyCall
            markForm(legacyCallForm, at, conversation)
        } else {
            guard item["tool_call_id"].isString else { throw Refusal(place(conversation.arena, "messages", at, ".tool_call_id"), "must be a string") }
            part.id = item["tool_call_id"].text
        }
        part.name = item["name"].text
        for member in item.members where member.value.isPresent {
            let key = member.key.text
            if key.equals("role") || key.equals("content") || key.equals("tool_call_id") || key.equals("name") { continue }
            if key.equals("cache_control"), member.value.isObject {
                part.cache = cacheMark(member.value)
                conversation.extra(.nested, hintIndex(ofMessage: at), member)
            } else {
                conversation.extra(.message, at, member)
            }
        }
        try conversation.add(result: part, from: start)
    }
}

extension JSONValue {
    /// The key of the member that a look-up by this name finds.
    fileprivate func key(_ name: StaticString) -> JSONValue {
        var found = JSONValue()
        for member in members where member.key.equals(name) { found = member.key }
        return found
    }
}
