// Reads a request's `input`: a string, or items. Items of the assistant that follow each other (reasoning, message, calls) become one message of the
// neutral model, because other dialects want a turn's calls together and refuse outputs that do not directly follow them.
import ClawWire

extension ResponsesDialect {
    /// How many seals of calls may wait for their call, or calls be searched for one that comes late: they are neighbours.
    private static let sealsMax = 64

    static func readInput(_ input: JSONValue, into conversation: Conversation) throws(Refusal) {
        if input.isString {
            try conversation.begin(.user)
            var part = Part.text(input.text)
            part.form = ItemForm.start | ItemForm.bare | ItemForm.input
            try conversation.add(part)
            return
        }
        guard input.isArray else { throw Refusal("input", "must be a string or a list of items") }
        var seals: [(id: JSONBytes, signature: JSONBytes, maker: DialectID)] = []
        for item in input.elements {
            guard item.isObject else { throw Refusal("input[]", "must be an object") }
            let type = item["type"]
            guard !type.isPresent || type.isString else { throw Refusal("input[].type", "must be a string") }
            if type.equals("message") || (!type.isPresent && item["role"].exists) {
                try readMessage(item, into: conversation)
            } else if type.equals("function_call") || type.equals("custom_tool_call") {
                try readCall(item, isCustom: type.equals("custom_tool_call"), seals: seals, into: conversation)
            } else if type.equals("function_call_output") || type.equals("custom_tool_call_output") {
                try readOutput(item, isCustom: type.equals("custom_tool_call_output"), into: conversation)
            } else if type.equals("reasoning") {
                try readReasoningItem(item, seals: &seals, into: conversation)
            } else if type.isPresent || item["id"].isString {
                try beginAssistant(conversation)
                var part = Part(.opaque)
                part.json = item.raw
                part.form = ItemForm.start
                try conversation.add(part)
            } else {
                throw Refusal("input[].type", "is missing")
            }
        }
    }

    // MARK: items

    private static func readMessage(_ item: JSONValue, into conversation: Conversation) throws(Refusal) {
        let role = item["role"]
        if role.equals("assistant") {
            try beginAssistant(conversation)
        } else if role.equals("user") {
            try conversation.begin(.user)
        } else if role.equals("system") {
            try conversation.begin(.system)
        } else if role.equals("developer") {
            try conversation.begin(.developer)
        } else {
            throw Refusal("input[].role", "must be user, assistant, system or developer")
        }
        let first = conversation.parts.count
        for member in item.members {
            if member.key.equals("role") || member.key.equals("content") { continue }
            if member.key.equals("id"), member.value.isString { continue }
            if isOneOf(member.key, "type", "status", "phase", "id") {
                keepQuiet(.message, first, member, in: conversation)
            } else {
                conversation.extra(.message, first, member)
            }
        }
        let content = item["content"]
        var form = ItemForm.start
        let itemID = item["id"].text
        if content.isString {
            var part = Part.text(content.text)
            part.form = form | ItemForm.bare
            part.itemID = itemID
            return try conversation.add(part)
        }
        guard content.isArray else { throw Refusal("input[].content", "must be a string or a list of parts") }
        for value in content.elements {
            var part = try readPiece(value, .part, conversation.parts.count, into: conversation)
            part.form |= form
            part.itemID = itemID
            form = 0
            try conversation.add(part)
        }
        if form != 0 {
            // Not a piece at all: a text that does not exist stands for the empty list.
            var part = Part(.text)
            part.form = form
            part.itemID = itemID
            try conversation.add(part)
        }
    }

    private static func readCall(
        _ item: JSONValue, isCustom: Bool, seals: [(id: JSONBytes, signature: JSONBytes, maker: DialectID)], into conversation: Conversation
    ) throws(Refusal) {
        try beginAssistant(conversation)
        var part = Part(.toolCall)
        part.form = ItemForm.start
        part.isCustom = isCustom
        part.id = try string(item["call_id"], "input[].call_id")
        part.name = try string(item["name"], "input[].name")
        part.text = isCustom ? try string(item["input"], "input[].input") : try string(item["arguments"], "input[].arguments")
        part.itemID = item["id"].text
        for seal in seals where seal.id.equals(part.id) {
            part.signature = seal.signature
            part.signatureOf = seal.maker
        }
        let first = conversation.parts.count
        for member in item.members {
            if isOneOf(member.key, "call_id", "name", isCustom ? "input" : "arguments", "type") { continue }
            if member.key.equals("id"), member.value.isString { continue }
            if member.key.equals("status") { keepQuiet(.message, first, member, in: conversation) } else { conversation.extra(.message, first, member) }
        }
        try conversation.add(part)
    }

    private static func readOutput(_ item: JSONValue, isCustom: Bool, into conversation: Conversation) throws(Refusal) {
        try conversation.begin(.tool)
        var part = Part(.toolResult)
        part.form = ItemForm.start
        part.isCustom = isCustom
        part.id = try string(item["call_id"], "input[].call_id")
        part.itemID = item["id"].text
        let first = conversation.parts.count
        for member in item.members {
            if isOneOf(member.key, "call_id", "output", "type", "type") { continue }
            if member.key.equals("id"), member.value.isString { continue }
            if member.key.equals("status") { keepQuiet(.message, first, member, in: conversation) } else { conversation.extra(.message, first, member) }
        }
        let start = conversation.inner.count
        let output = item["output"]
        if output.isString {
            part.form |= ItemForm.bare
            conversation.inner.append(.text(output.text))
        } else {
            guard output.isArray else { throw Refusal("input[].output", "must be a string or a list of parts") }
            for value in output.elements {
                guard conversation.inner.count < Conversation.countMax else { throw Refusal("input[].output", "there are more than 100000 parts") }
                conversation.inner.append(try readPiece(value, .inner, conversation.inner.count, into: conversation))
            }
        }
        try conversation.add(result: part, from: start)
    }

    private static func readReasoningItem(
        _ item: JSONValue, seals: inout [(id: JSONBytes, signature: JSONBytes, maker: DialectID)], into conversation: Conversation
    ) throws(Refusal) {
        var part = Part(.thinking)
        part.form = ItemForm.start
        part.itemID = item["id"].text
        // For an upstream of this dialect, which takes the item as it is.
        part.json = item.raw
        part.text = thoughts(of: item, &conversation.arena.arena)
        let sealed = item["encrypted_content"]
        if sealed.isPresent {
            switch Seal.open(try string(sealed, "input[].encrypted_content")) {
            case .thought(let signature, let maker):
                part.signature = signature
                part.signatureOf = maker
            case .redacted(let data, let maker):
                part.kind = .redactedThinking
                part.data = data
                part.signatureOf = maker
            case .call(let id, let signature, let maker):
                // Made by this gateway, next to the call it belongs to: no thought of its own.
                if !sign(id, signature, maker, in: conversation) {
                    if seals.count == sealsMax { seals.removeFirst() }
                    seals.append((id, signature, maker))
                }
                return
            }
        }
        try beginAssistant(conversation)
        try conversation.add(part)
    }

    /// Gives a call that was read already its signature; false where there is none near by.
    private static func sign(_ id: JSONBytes, _ signature: JSONBytes, _ maker: DialectID, in conversation: Conversation) -> Bool {
        for at in conversation.parts.indices.suffix(sealsMax) where conversation.parts[at].kind == .toolCall && conversation.parts[at].id.equals(id) {
            conversation.parts[at].signature = signature
            conversation.parts[at].signatureOf = maker
            return true
        }
        return false
    }

    private static func beginAssistant(_ conversation: Conversation) throws(Refusal) {
        if conversation.messages.last?.role != .assistant { try conversation.begin(.assistant) }
    }

    /// The summary's texts, or else those of the content (open models), a blank line between them.
    static func thoughts(of item: JSONValue, _ arena: inout JSONArena) -> JSONBytes {
        var text = JSONBytes()
        for list in [item["summary"], item["content"]] where !text.exists {
            var length = 0
            for piece in list.elements where piece["text"].isString { length += piece["text"].text.count + 4 }
            if length == 0 { continue }
            let place = arena.take(length)
            var at = 0
            for piece in list.elements where piece["text"].isString {
                if at > 0 { for byte in "\\n\\n".utf8 { place[at] = byte; at += 1 } }
                let one = piece["text"].text
                if let base = one.base { (place + at).update(from: base, count: one.count) }
                at += one.count
            }
            text = JSONBytes(place, at)
        }
        return text.exists ? text : JSONBytes("")
    }

    // MARK: pieces of content

    /// One piece of a message's content or of an output; its extras go to `scope` and `index`.
    private static func readPiece(_ value: JSONValue, _ scope: Extra.Scope, _ index: Int, into conversation: Conversation) throws(Refusal) -> Part {
        guard value.isObject else { throw Refusal("input[].content[]", "must be an object") }
        let type = value["type"]
        guard type.isString else { throw Refusal("input[].content[].type", "must be a string") }
        var part: Part
        if type.equals("input_text") || type.equals("output_text") || type.equals("text") {
            part = .text(try string(value["text"], "input[].content[].text"))
        } else if type.equals("refusal") {
            part = Part(.refusal)
            part.text = try string(value["refusal"], "input[].content[].refusal")
        } else if type.equals("input_image") {
            part = try readImage(value)
        } else if type.equals("input_file") {
            part = try readFile(value)
        } else if type.equals("input_audio") {
            part = Part(.audio)
            let audio = value["input_audio"]
            part.source = .base64
            part.data = try string(audio["data"], "input[].content[].input_audio.data")
            part.mediaType = conversation.arena.arena.joined(JSONBytes("audio/"), try string(audio["format"], "input[].content[].input_audio.format"))
        } else {
            part = Part(.opaque)
            part.json = value.raw
            part.form = ItemForm.piece
            return part
        }
        for member in value.members {
            if member.key.equals("type") || isKnown(member.key, in: part.kind) && member.value.kind != .null { continue }
            if member.key.equals("prompt_cache_breakpoint") { part.cache = .fiveMinutes }
            // Annotations and log probabilities tell about an answer that was given; the cache's mark is in `part.cache`.
            if member.key.equals("annotations") || member.key.equals("logprobs") || member.key.equals("prompt_cache_breakpoint") {
                if part.kind == .text, member.key.equals("annotations"), member.value.first.exists { part.citations = member.value.raw }
                if scope == .inner || conversation.extras.count < Conversation.countMax { keepQuiet(scope, index, member, in: conversation) }
            } else {
                conversation.extra(scope, index, member)
            }
        }
        return part
    }

    private static func isKnown(_ key: JSONValue, in kind: Part.Kind) -> Bool {
        switch kind {
        case .text: key.equals("text")
        case .refusal: key.equals("refusal")
        case .image: key.equals("image_url") || key.equals("file_id") || key.equals("detail")
        case .document: key.equals("file_id") || key.equals("file_data") || key.equals("file_url") || key.equals("filename") || key.equals("detail")
        case .audio: key.equals("input_audio")
        default: false
        }
    }

    private static func readImage(_ value: JSONValue) throws(Refusal) -> Part {
        var part = Part(.image)
        if value["detail"].isPresent { part.detail = try string(value["detail"], "input[].content[].detail") }
        if value["file_id"].isPresent {
            if value["image_url"].isPresent { throw Refusal("input[].content[].file_id", "stands beside image_url: only one of them can be meant") }
            part.source = .fileID
            part.data = try string(value["file_id"], "input[].content[].file_id")
            return part
        }
        let url = try string(value["image_url"], "input[].content[].image_url")
        if let image = DataURL.parse(url) {
            part.source = .base64
            part.mediaType = image.mediaType
            part.data = image.data
        } else {
            part.source = .url
            part.data = url
        }
        return part
    }

    private static func readFile(_ value: JSONValue) throws(Refusal) -> Part {
        var part = Part(.document)
        if value["detail"].isPresent { part.detail = try string(value["detail"], "input[].content[].detail") }
        var sources = 0
        for one in [value["file_id"], value["file_url"], value["file_data"]] where one.isPresent { sources += 1 }
        if sources > 1 { throw Refusal("input[].content[].file_id", "stands beside file_url or file_data: only one of them can be meant") }
        if value["filename"].isPresent { part.name = try string(value["filename"], "input[].content[].filename") }
        if value["file_id"].isPresent {
            part.source = .fileID
            part.data = try string(value["file_id"], "input[].content[].file_id")
        } else if value["file_url"].isPresent {
            part.source = .url
            part.data = try string(value["file_url"], "input[].content[].file_url")
        } else {
            let data = try string(value["file_data"], "input[].content[].file_data")
            part.source = .base64
            if let file = DataURL.parse(data) {
                part.mediaType = file.mediaType
                part.data = file.data
            } else {
                part.data = data
            }
        }
        return part
    }
}
