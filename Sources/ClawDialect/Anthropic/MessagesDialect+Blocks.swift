// Reads messages and their blocks. A user's turn with tools' results in it becomes several neutral messages: one of role `tool` for each result, as in Chat
// Completions, and one for what is left. Blocks that only this API has (server tools and their results, search results …) are kept whole as opaque parts.
import ClawWire

extension MessagesDialect {
    static func readMessage(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isObject else { throw Refusal("messages[]", "must be an object") }
        let word = value["role"]
        let role: Role
        if word.equals("user") {
            role = .user
        } else if word.equals("assistant") {
            role = .assistant
        } else if word.equals("system") {
            role = .system
        } else {
            throw Refusal("messages[].role", "must be user, assistant or system")
        }
        let first = conversation.messages.count
        let content = value["content"]
        if content.isString {
            try conversation.begin(role)
            try conversation.add(.text(content.text))
        } else if content.isArray {
            // Results open messages of their own; what is no result goes into a message of the turn's role, opened when it is needed.
            var isOpen = false
            for block in content.elements {
                guard block.isObject, block["type"].isString else {
                    throw Refusal("messages[].content[].type", "must be the name of a kind of block")
                }
                if block["type"].equals("tool_result") {
                    guard role == .user else { throw Refusal("messages[].content[].type", "tool_result must be in a message of the user") }
                    try readResult(block, into: conversation)
                    isOpen = false
                    continue
                }
                if !isOpen { try conversation.begin(role) }
                isOpen = true
                try readBlock(block, role: role, into: conversation)
            }
            if conversation.messages.count == first { try conversation.begin(role) }
        } else {
            throw Refusal("messages[].content", content.isPresent ? "must be a string or an array of blocks" : "is required")
        }
        for member in value.members where member.value.isPresent && !member.key.equals("role") && !member.key.equals("content") {
            conversation.extra(.message, first, member)
        }
    }

    /// Any block but a tool's result, into the message under way.
    static func readBlock(_ block: JSONValue, role: Role, into conversation: Conversation) throws(Refusal) {
        let index = conversation.parts.count
        let type = block["type"]
        if type.equals("tool_use") {
            guard role == .assistant else { throw Refusal("messages[].content[].type", "tool_use must be in a message of the assistant") }
            var part = Part(.toolCall)
            part.id = try text(required: block["id"], "messages[].content[].id")
            part.name = try text(required: block["name"], "messages[].content[].name")
            let input = block["input"]
            guard input.isObject else { throw Refusal("messages[].content[].input", input.isPresent ? "must be an object" : "is required") }
            part.json = input.raw
            takeSignature(into: &part, of: conversation)
            let place = conversation.parts.count
            part.cache = try readRest(of: block, .part, place, "id", "name", "input", into: conversation)
            try conversation.add(part)
        } else if type.equals("thinking") || type.equals("redacted_thinking") {
            guard role == .assistant else { throw Refusal("messages[].content[].type", "thinking must be in a message of the assistant") }
            if type.equals("thinking") {
                var part = Part(.thinking)
                part.text = try text(required: block["thinking"], "messages[].content[].thinking")
                let signature = try text(block["signature"], "messages[].content[].signature")
                (part.signature, part.signatureOf) = Signatures.inward(signature, in: .messages)
                part.cache = try readRest(of: block, .part, index, "thinking", "signature", into: conversation)
                try conversation.add(part)
            } else {
                var part = Part(.redactedThinking)
                (part.data, part.signatureOf) = Signatures.inward(try text(required: block["data"], "messages[].content[].data"), in: .messages)
                part.cache = try readRest(of: block, .part, index, "data", into: conversation)
                try conversation.add(part)
            }
        } else {
            try conversation.add(try readPlain(block, .part, index, into: conversation))
        }
    }

    /// An empty thought signed by Gemini right before a call carries that call's signature.
    private static func takeSignature(into call: inout Part, of conversation: Conversation) {
        guard let message = conversation.messages.last, !message.parts.isEmpty, let last = conversation.parts.last, last.kind == .thinking, last.text.isEmpty,
            last.signatureOf == .gemini, !last.signature.isEmpty
        else { return }
        call.signature = last.signature
        call.signatureOf = .gemini
        conversation.parts.removeLast()
        conversation.messages[conversation.messages.count - 1].parts = message.parts.lowerBound..<conversation.parts.count
    }

    private static func readResult(_ block: JSONValue, into conversation: Conversation) throws(Refusal) {
        try conversation.begin(.tool)
        var part = Part(.toolResult)
        part.id = try text(required: block["tool_use_id"], "messages[].content[].tool_use_id")
        part.name = recentToolName(part.id, in: conversation)
        let isError = block["is_error"]
        if isError.isPresent {
            guard let flag = isError.bool else { throw Refusal("messages[].content[].is_error", "must be true or false") }
            part.isError = flag
        }
        let start = conversation.inner.count
        let content = block["content"]
        if content.isString {
            if !content.text.isEmpty { conversation.inner.append(.text(content.text)) }
        } else if content.isArray {
            for inner in content.elements {
                guard inner.isObject, inner["type"].isString else {
                    throw Refusal("messages[].content[].content[].type", "must be the name of a kind of block")
                }
                guard conversation.inner.count < Conversation.countMax else { throw Refusal("messages", "they have more than 100000 parts") }
                conversation.inner.append(try readPlain(inner, .inner, conversation.inner.count, into: conversation))
            }
        } else if content.isPresent {
            throw Refusal("messages[].content[].content", "must be a string or an array of blocks")
        }
        part.cache = try readRest(of: block, .part, conversation.parts.count, "tool_use_id", "content", "is_error", into: conversation)
        try conversation.add(result: part, from: start)
    }

    /// The name of the call that a result is for. Calls stand in the turn before their results, so that a look at the last parts is enough (and a body of
    /// nothing but calls and results costs no more than its length).
    private static func recentToolName(_ id: JSONBytes, in conversation: Conversation) -> JSONBytes {
        for part in conversation.parts.suffix(1024).reversed() where part.kind == .toolCall && part.id.equals(id) { return part.name }
        return JSONBytes()
    }

    /// Text, image or document; anything else whole.
    private static func readPlain(
        _ block: JSONValue, _ scope: Extra.Scope, _ index: Int, into conversation: Conversation
    ) throws(Refusal) -> Part {
        let type = block["type"]
        if type.equals("text") {
            var part = Part.text(try text(required: block["text"], "messages[].content[].text"))
            if block["citations"].isPresent { part.citations = block["citations"].raw }
            part.cache = try readRest(of: block, scope, index, "text", "citations", into: conversation)
            return part
        }
        let isImage = type.equals("image")
        if isImage || type.equals("document"), var part = try readSource(block["source"], isImage: isImage) {
            if isImage {
                part.cache = try readRest(of: block, scope, index, "source", into: conversation)
            } else {
                part.name = try text(block["title"], "messages[].content[].title")
                part.cache = try readRest(of: block, scope, index, "source", "title", into: conversation)
            }
            return part
        }
        var part = Part(.opaque)
        part.json = block.raw
        return part
    }

    /// Nil for a source that the neutral model has no word for.
    private static func readSource(_ source: JSONValue, isImage: Bool) throws(Refusal) -> Part? {
        guard source.isObject else { throw Refusal("messages[].content[].source", source.isPresent ? "must be an object" : "is required") }
        var part = Part(isImage ? .image : .document)
        let type = source["type"]
        let members: Int
        if type.equals("base64") {
            part.source = .base64
            part.mediaType = try text(required: source["media_type"], "messages[].content[].source.media_type")
            part.data = try text(required: source["data"], "messages[].content[].source.data")
            members = 3
        } else if type.equals("url") {
            part.source = .url
            part.data = try text(required: source["url"], "messages[].content[].source.url")
            members = 2
        } else if type.equals("file") {
            part.source = .fileID
            part.data = try text(required: source["file_id"], "messages[].content[].source.file_id")
            members = 2
        } else if type.equals("text"), !isImage {
            part.source = .text
            part.mediaType = JSONBytes("text/plain")
            part.data = try text(required: source["data"], "messages[].content[].source.data")
            members = source["media_type"].isPresent ? 3 : 2
        } else {
            guard type.isString else { throw Refusal("messages[].content[].source.type", "must be base64, url, file, text or content") }
            return nil
        }
        return source.count == members ? part : nil
    }

    /// The block's cache mark; members besides `type` and those named become extras.
    private static func readRest(
        of block: JSONValue, _ scope: Extra.Scope, _ index: Int, _ one: StaticString, _ two: StaticString = "type", _ three: StaticString = "type",
        into conversation: Conversation
    ) throws(Refusal) -> CacheMark {
        var mark = CacheMark.none
        for member in block.members where member.value.isPresent {
            let key = member.key
            if key.equals("type") || key.equals(one) || key.equals(two) || key.equals(three) { continue }
            if key.equals("cache_control") {
                if let known = try cacheMark(member.value, "messages[].content[].cache_control") {
                    mark = known
                } else {
                    conversation.extra(.nested, Nested.hint(scope, index), member)
                }
            } else if key.equals("caller"), member.value["type"].equals("direct") {
                // How every call comes about that no server tool made: an answer's block comes back with it.
                conversation.extra(.nested, Nested.hint(scope, index), member)
            } else {
                conversation.extra(scope, index, member)
            }
        }
        return mark
    }
}
