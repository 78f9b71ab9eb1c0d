// Reads a Converse request. The model's id and whether a stream is wanted are in the URL. `system` becomes messages of the role system in front of the
// others; a message that has the role system itself (some models allow it amid the conversation) gets the role developer, so that both find back to
// their places.
import ClawWire

extension ConverseDialect {
    /// Scopes `nested` by the object they stand in.
    enum Nest {
        static let inferenceConfig = 1
        static let toolConfig = 2
    }

    public static func readRequest(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard body.isObject else { throw Refusal("messages", "the body must be a JSON object") }
        if let key = body.duplicateKey { throw Refusal(key, "stands twice") }
        let system = body["system"]
        if system.isPresent {
            guard system.isArray else { throw Refusal("system", "must be an array") }
            if system.count > 0 { try readMessage(.system, system, into: conversation) }
        }
        let messages = body["messages"]
        guard messages.isArray else { throw Refusal("messages", messages.isPresent ? "must be an array" : "is required") }
        for message in messages.elements {
            guard message.isObject else { throw Refusal("messages[]", "must be an object") }
            let role = message["role"]
            let content = message["content"]
            guard content.isArray else { throw Refusal("messages[].content", "must be an array") }
            if role.equals("user") {
                try readMessage(.user, content, into: conversation)
            } else if role.equals("assistant") {
                try readMessage(.assistant, content, into: conversation)
            } else if role.equals("system") {
                try readMessage(.developer, content, into: conversation)
            } else {
                throw Refusal("messages[].role", "must be user, assistant or system")
            }
            for member in message.members where !member.key.equals("role") && !member.key.equals("content") {
                conversation.extra(.message, conversation.messages.count - 1, member)
            }
        }
        for member in body.members where member.value.isPresent { try readMember(member, into: conversation) }
    }

    private static func readMember(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) {
        let (key, value) = member
        if key.equals("messages") { return }
        if key.equals("system") {
            // An empty list says nothing, but is said.
            if value.count == 0 { conversation.extra(.nested, Conversation.hintIndex, member) }
        } else if key.equals("inferenceConfig") {
            try readInferenceConfig(value, into: conversation)
            if value.count == 0 { conversation.extra(.nested, Conversation.hintIndex, member) }
        } else if key.equals("toolConfig") {
            try readToolConfig(value, into: conversation)
        } else if key.equals("outputConfig") {
            if try !readOutputConfig(value, into: conversation) { conversation.extra(.root, 0, member) }
        } else if key.equals("serviceTier"), value["type"].isString, value.count == 1 {
            conversation.serviceTier = value["type"].text
        } else {
            conversation.extra(.root, 0, member)
        }
    }

    private static func readMessage(_ role: Role, _ content: JSONValue, into conversation: Conversation) throws(Refusal) {
        try conversation.begin(role)
        for block in content.elements {
            if let mark = cacheMark(block), let own = conversation.messages.last?.parts, !own.isEmpty, conversation.parts[own.upperBound - 1].cache == .none {
                conversation.parts[own.upperBound - 1].cache = mark
                continue
            }
            let index = conversation.parts.count
            let result = block["toolResult"]
            if result.isObject, block.count == 1 {
                try readResult(result, into: conversation)
            } else {
                try conversation.add(part(of: block, conversation.arena))
            }
            let kind = conversation.parts[index].kind
            for outer in block.members { for member in outer.value.members where isExtra(member.key, of: kind) { conversation.extra(.part, index, member) } }
        }
    }

    /// What a block asks to be kept, if it is a plain `cachePoint`; one with other members stays a block.
    static func cacheMark(_ block: JSONValue) -> CacheMark? {
        let point = block["cachePoint"]
        guard point.isObject, block.count == 1, point["type"].equals("default") else { return nil }
        if point.count == 1 { return .fiveMinutes }
        return point.count == 2 && point["ttl"].equals("1h") ? .oneHour : nil
    }

    private static func readResult(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        var result = Part(.toolResult)
        result.id = try required(value["toolUseId"], "messages[].content[].toolResult.toolUseId")
        result.name = conversation.toolName(of: result.id)
        let status = value["status"]
        if status.isPresent {
            guard status.equals("success") || status.equals("error") else {
                throw Refusal("messages[].content[].toolResult.status", "must be success or error")
            }
            result.isError = status.equals("error")
        }
        guard value["content"].isArray else { throw Refusal("messages[].content[].toolResult.content", "must be an array") }
        let start = conversation.inner.count
        for block in value["content"].elements {
            guard conversation.inner.count < Conversation.countMax else { throw Refusal("messages", "they have more than 100000 parts") }
            let json = block["json"]
            if json.exists, block.count == 1 {
                // Its text for those who know results as text only.
                var piece = Part.text(conversation.arena.arena.escaped(json.raw.raw))
                piece.json = json.raw
                conversation.inner.append(piece)
            } else {
                let index = conversation.inner.count
                try conversation.inner.append(part(of: block, conversation.arena))
                let kind = conversation.inner[index].kind
                for outer in block.members {
                    for member in outer.value.members where isExtra(member.key, of: kind) { conversation.extra(.inner, index, member) }
                }
            }
        }
        let index = conversation.parts.count
        try conversation.add(result: result, from: start)
        // `success` is what nothing means too.
        if status.equals("success") { for member in value.members where member.key.equals("status") { conversation.extra(.part, index, member) } }
    }

    private static func readInferenceConfig(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isObject else { throw Refusal("inferenceConfig", "must be an object") }
        for member in value.members where member.value.isPresent {
            let (key, value) = member
            if key.equals("maxTokens") {
                guard let count = value.int, count >= 1 else { throw Refusal("inferenceConfig.maxTokens", "must be a whole number of at least 1") }
                conversation.maxTokens = count
            } else if key.equals("temperature") {
                guard value.kind == .number else { throw Refusal("inferenceConfig.temperature", "must be a number") }
                conversation.temperature = value.raw
            } else if key.equals("topP") {
                guard value.kind == .number else { throw Refusal("inferenceConfig.topP", "must be a number") }
                conversation.topP = value.raw
            } else if key.equals("stopSequences") {
                guard value.isArray else { throw Refusal("inferenceConfig.stopSequences", "must be an array of strings") }
                for text in value.elements {
                    guard text.isString else { throw Refusal("inferenceConfig.stopSequences", "must be an array of strings") }
                    conversation.stop.append(text.text)
                }
                if conversation.stop.isEmpty { conversation.extra(.nested, Nest.inferenceConfig, member) }
            } else {
                conversation.extra(.nested, Nest.inferenceConfig, member)
            }
        }
    }

    private static func readToolConfig(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isObject else { throw Refusal("toolConfig", "must be an object") }
        for member in value.members where !member.key.equals("tools") && !member.key.equals("toolChoice") {
            conversation.extra(.nested, Nest.toolConfig, member)
        }
        let tools = value["tools"]
        guard tools.isArray, tools.count > 0 else { throw Refusal("toolConfig.tools", "must be an array of at least one tool") }
        for entry in tools.elements {
            guard conversation.tools.count < Conversation.countMax else { throw Refusal("toolConfig.tools", "there are more than 100000 of them") }
            if let mark = cacheMark(entry), let last = conversation.tools.indices.last, conversation.tools[last].cache == .none {
                conversation.tools[last].cache = mark
                continue
            }
            var tool = Tool()
            let spec = entry["toolSpec"]
            guard entry.isObject else { throw Refusal("toolConfig.tools[]", "must be an object") }
            guard spec.isObject, entry.count == 1 else {
                tool.kind = .hosted
                tool.opaque = entry.raw
                conversation.tools.append(tool)
                continue
            }
            tool.name = try required(spec["name"], "toolConfig.tools[].toolSpec.name")
            tool.description = try optional(spec["description"], "toolConfig.tools[].toolSpec.description")
            let schema = spec["inputSchema"]["json"]
            guard schema.isObject else { throw Refusal("toolConfig.tools[].toolSpec.inputSchema", "must be an object with the schema under json") }
            tool.schema = schema.raw
            if spec["strict"].isPresent {
                guard let strict = spec["strict"].bool else { throw Refusal("toolConfig.tools[].toolSpec.strict", "must be true or false") }
                tool.strict = strict
            }
            for member in spec.members where !["name", "description", "inputSchema", "strict"].contains(where: { member.key.equals($0) }) {
                conversation.extra(.tool, conversation.tools.count, member)
            }
            conversation.tools.append(tool)
        }
        let choice = value["toolChoice"]
        guard choice.isPresent else { return }
        if choice["auto"].isObject {
            conversation.toolChoice = .auto
        } else if choice["any"].isObject {
            conversation.toolChoice = .required
        } else if choice["tool"].isObject {
            conversation.toolChoice = .tool(try required(choice["tool"]["name"], "toolConfig.toolChoice.tool.name"))
        } else {
            throw Refusal("toolConfig.toolChoice", "must be auto, any or tool")
        }
    }

    /// False: it holds something that the neutral model has no word for, and stays whole.
    private static func readOutputConfig(_ value: JSONValue, into conversation: Conversation) throws(Refusal) -> Bool {
        guard value.isObject else { throw Refusal("outputConfig", "must be an object") }
        let effort = value["effort"]
        let format = value["textFormat"]
        let schema = format["structure"]["jsonSchema"]
        for member in value.members where !member.key.equals("effort") && !member.key.equals("textFormat") { return false }
        if format.isPresent {
            guard format["type"].equals("json_schema"), format.count == 2, format["structure"].count == 1, schema["schema"].isString else { return false }
            for member in schema.members where !["schema", "name", "description"].contains(where: { member.key.equals($0) }) { return false }
        }
        var level = Reasoning.Effort.unset
        if effort.isPresent {
            guard effort.isString else { throw Refusal("outputConfig.effort", "must be a string") }
            guard let known = Reasoning.Effort(effort) else { return false }
            level = known
        }
        if format.isPresent {
            let text = conversation.arena.arena.unescaped(schema["schema"].text)
            guard conversation.arena.tape.read(text.raw) == nil, conversation.arena.tape.root.isObject else {
                throw Refusal("outputConfig.textFormat.structure.jsonSchema.schema", "must be the text of a JSON object")
            }
            conversation.format.kind = .jsonSchema
            conversation.format.schema = text
            conversation.format.name = try optional(schema["name"], "outputConfig.textFormat.structure.jsonSchema.name")
            conversation.format.description = try optional(schema["description"], "outputConfig.textFormat.structure.jsonSchema.description")
        }
        conversation.reasoning.effort = level
        return true
    }
}
