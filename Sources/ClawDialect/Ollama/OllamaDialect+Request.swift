// Reads a request of /api/chat.
import ClawWire

extension OllamaDialect {
    public static func readRequest(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard body.isObject else { throw Refusal("body", "must be an object") }
        try Conversation.refuseDuplicates(body)
        conversation.wantsStream = true
        var messages = JSONValue()
        for member in body.members {
            if member.key.equals("messages") {
                messages = member.value
            } else if member.key.equals("tools"), member.value.isPresent {
                try readTools(member.value, into: conversation)
            } else if try !OllamaFields.read(member, into: conversation) {
                conversation.extra(.root, 0, member)
            }
        }
        guard conversation.model.exists else { throw Refusal("model", "is required") }
        guard messages.isPresent else { throw Refusal("messages", "is required") }
        guard messages.isArray else { throw Refusal("messages", "must be an array of messages") }
        var pairing = CallPairing()
        for message in messages.elements { try readMessage(message, &pairing, into: conversation) }
    }

    private static func readTools(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isArray else { throw Refusal("tools", "must be an array of tools") }
        for element in value.elements {
            guard element.isObject else { throw Refusal("tools[]", "must be an object") }
            guard conversation.tools.count < Conversation.countMax else { throw Refusal("tools", "there are more than 100000 of them") }
            let type = element["type"]
            guard !type.isPresent || type.equals("function") else { throw Refusal("tools[].type", "must be function") }
            let function = element["function"]
            guard function.isObject else { throw Refusal("tools[].function", "must be an object") }
            var tool = Tool()
            for (key, value) in function.members where value.isPresent {
                if key.equals("name") {
                    guard value.isString, !value.text.isEmpty else { throw Refusal("tools[].function.name", "must be a string that is not empty") }
                    tool.name = value.text
                } else if key.equals("description") {
                    guard value.isString else { throw Refusal("tools[].function.description", "must be a string") }
                    tool.description = value.text
                } else if key.equals("parameters") {
                    guard value.isObject else { throw Refusal("tools[].function.parameters", "must be a JSON schema") }
                    tool.schema = value.raw
                } else if key.equals("strict") {
                    guard let strict = value.bool else { throw Refusal("tools[].function.strict", "must be true or false") }
                    tool.strict = strict
                }
            }
            guard tool.name.exists else { throw Refusal("tools[].function.name", "is required") }
            for member in element.members where !member.key.equals("type") && !member.key.equals("function") {
                conversation.extra(.tool, conversation.tools.count, member)
            }
            conversation.tools.append(tool)
        }
        if conversation.tools.isEmpty { OllamaFields.mark("tools", conversation) }
    }

    private static func readMessage(_ message: JSONValue, _ pairing: inout CallPairing, into conversation: Conversation) throws(Refusal) {
        guard message.isObject else { throw Refusal("messages[]", "must be an object") }
        let role = message["role"]
        if role.equals("user") {
            try conversation.begin(.user)
        } else if role.equals("assistant") {
            try conversation.begin(.assistant)
        } else if role.equals("system") {
            try conversation.begin(.system)
        } else if role.equals("tool") {
            try conversation.begin(.tool)
        } else {
            throw Refusal("messages[].role", "must be system, user, assistant or tool")
        }
        let isTool = role.equals("tool")
        var thinking = JSONValue()
        var content = JSONValue()
        var images = JSONValue()
        var calls = JSONValue()
        var toolName = JSONValue()
        var callID = JSONValue()
        for member in message.members where member.value.isPresent {
            let (key, value) = member
            if key.equals("role") {
                continue
            } else if key.equals("content") {
                guard value.isString else { throw Refusal("messages[].content", "must be a string") }
                content = value
            } else if key.equals("thinking") {
                guard value.isString else { throw Refusal("messages[].thinking", "must be a string") }
                thinking = value
            } else if key.equals("images") {
                images = value
            } else if key.equals("tool_calls") {
                calls = value
            } else if isTool, key.equals("tool_name") || key.equals("name") {
                guard value.isString else { throw Refusal("messages[].tool_name", "must be a string") }
                toolName = value
            } else if isTool, key.equals("tool_call_id") {
                guard value.isString else { throw Refusal("messages[].tool_call_id", "must be a string") }
                callID = value
            } else {
                conversation.extra(.message, conversation.messages.count - 1, member)
            }
        }
        if isTool {
            var part = Part(.toolResult)
            part.name = toolName.text
            part.id = pairing.answer(id: callID.text, name: toolName.text, in: conversation)
            let start = conversation.inner.count
            guard start < Conversation.countMax else { throw Refusal("messages", "they have more than 100000 parts") }
            conversation.inner.append(.text(content.text.exists ? content.text : JSONBytes("")))
            try conversation.add(result: part, from: start)
            return try OllamaFields.readImages(images, "messages[].images", into: conversation)
        }
        if thinking.exists, !thinking.text.isEmpty {
            var part = Part(.thinking)
            part.text = thinking.text
            try conversation.add(part)
        }
        let hasMore = thinking.exists || calls.count > 0 || images.count > 0
        if !hasMore || !content.text.isEmpty { try conversation.add(.text(content.text.exists ? content.text : JSONBytes(""))) }
        try OllamaFields.readImages(images, "messages[].images", into: conversation)
        if calls.exists { try readCalls(calls, &pairing, into: conversation) }
    }

    private static func readCalls(_ calls: JSONValue, _ pairing: inout CallPairing, into conversation: Conversation) throws(Refusal) {
        guard calls.isArray else { throw Refusal("messages[].tool_calls", "must be an array of calls") }
        pairing.begin(at: conversation.parts.count)
        for call in calls.elements {
            let function = call["function"]
            guard function.isObject else { throw Refusal("messages[].tool_calls[].function", "must be an object") }
            let name = function["name"]
            guard name.isString, !name.text.isEmpty else { throw Refusal("messages[].tool_calls[].function.name", "must be a string that is not empty") }
            let arguments = function["arguments"]
            guard !arguments.isPresent || arguments.isObject else { throw Refusal("messages[].tool_calls[].function.arguments", "must be an object") }
            let id = call["id"]
            guard !id.isPresent || id.isString else { throw Refusal("messages[].tool_calls[].id", "must be a string") }
            var part = Part(.toolCall)
            part.name = name.text
            part.json = arguments.isObject ? arguments.raw : JSONBytes("{}")
            part.id = id.text.isEmpty ? pairing.makeID(conversation) : id.text
            // Where the call stood among its sisters, for Ollama alone.
            if function["index"].kind == .number { part.detail = function["index"].raw }
            try conversation.add(part)
            pairing.count += 1
        }
    }
}

/// Finds the call that a result answers, as Ollama's own clients mean it: by id, else by the tool's name, else in the order of the calls.
struct CallPairing {
    /// Calls of the conversation so far; ids are made of it, so they are the same in every turn.
    var count = 0
    /// Calls of the last message that made some: where they are among the parts, which have their result, and how many at the front all have it.
    private var first = 0
    private var answered: [Bool] = []
    private var head = 0
    /// A result is looked for among this many calls that wait.
    private static let lookMax = 256

    mutating func begin(at part: Int) {
        first = part
        head = 0
        answered.removeAll(keepingCapacity: true)
    }

    func makeID(_ conversation: Conversation) -> JSONBytes {
        let prefix = OllamaWords.madeID
        let length = prefix.utf8CodeUnitCount
        let place = conversation.arena.arena.take(length + 8)
        place.update(from: prefix.utf8Start, count: length)
        // At most 100,000 parts: six digits do.
        var digits = 1
        var bound = 10
        while count >= bound, digits < 8 {
            digits += 1
            bound *= 10
        }
        var rest = count
        for at in stride(from: length + digits - 1, through: length, by: -1) {
            place[at] = 48 + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        return JSONBytes(place, length + digits)
    }

    /// The id of the call that is answered; empty where there is none.
    mutating func answer(id: JSONBytes, name: JSONBytes, in conversation: Conversation) -> JSONBytes {
        while head < answered.count, answered[head] { head += 1 }
        var open = -1
        for ordinal in head..<head + Self.lookMax {
            let place = first + ordinal
            guard place < conversation.parts.count, conversation.parts[place].kind == .toolCall else { break }
            while answered.count <= ordinal { answered.append(false) }
            if answered[ordinal] { continue }
            let call = conversation.parts[place]
            if id.isEmpty ? name.isEmpty || call.name.equals(name) : call.id.equals(id) {
                open = ordinal
                break
            }
            if open < 0, id.isEmpty { open = ordinal }
        }
        if open >= 0 { answered[open] = true }
        if !id.isEmpty { return id }
        return open < 0 ? JSONBytes("") : conversation.parts[first + open].id
    }
}
