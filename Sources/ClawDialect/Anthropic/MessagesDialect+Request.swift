// Reads a request: what stands around the messages. The messages themselves are in MessagesDialect+Blocks.
//
// Fields are refused for a wrong type in the API's own words for their place (`thinking.budget_tokens`); whether a value is one that the model takes is the
// upstream's to say. Members that nobody here knows are kept as extras: those that only steer how the answer is made, not what it says, as hints.
import ClawWire

extension MessagesDialect {
    private static let membersMax = 256

    public static func readRequest(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        try read(body, into: conversation, isCount: false)
    }

    static func read(_ body: JSONValue, into conversation: Conversation, isCount: Bool) throws(Refusal) {
        guard body.isObject else { throw Refusal("body", "must be an object") }
        guard body.count <= membersMax else { throw Refusal("body", "has more than 256 members") }
        if let key = body.duplicateKey { throw Refusal(key, "is there twice") }

        // On other hosts the model stands in the URL.
        let isHosted = body["anthropic_version"].isPresent
        if body["model"].isPresent || !isHosted {
            conversation.model = try text(required: body["model"], "model")
            if conversation.model.isEmpty { throw Refusal("model", "must not be empty") }
        }
        try readSystem(body["system"], into: conversation)
        let messages = body["messages"]
        guard messages.isArray else { throw Refusal("messages", messages.isPresent ? "must be an array" : "is required") }
        guard messages.first.exists else { throw Refusal("messages", "must not be empty") }
        for message in messages.elements { try readMessage(message, into: conversation) }
        if !isCount {
            guard body["max_tokens"].isPresent else { throw Refusal("max_tokens", "is required") }
        }
        for member in body.members where member.value.isPresent { try readMember(member, into: conversation) }
    }

    private static func readMember(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) {
        let (key, value) = member
        if key.equals("model") || key.equals("system") || key.equals("messages") { return }
        if key.equals("max_tokens") {
            conversation.maxTokens = try whole(value, "max_tokens")
        } else if key.equals("stream") {
            conversation.wantsStream = try bool(value, "stream")
        } else if key.equals("temperature") {
            conversation.temperature = try number(value, "temperature")
        } else if key.equals("top_p") {
            conversation.topP = try number(value, "top_p")
        } else if key.equals("top_k") {
            _ = try whole(value, "top_k")
            conversation.topK = value.raw
        } else if key.equals("stop_sequences") {
            guard value.isArray else { throw Refusal("stop_sequences", "must be an array of strings") }
            for sequence in value.elements {
                guard sequence.isString else { throw Refusal("stop_sequences[]", "must be a string") }
                guard conversation.stop.count < Conversation.countMax else { throw Refusal("stop_sequences", "there are too many of them") }
                conversation.stop.append(sequence.text)
            }
        } else if key.equals("tools") {
            try readTools(value, into: conversation)
        } else if key.equals("tool_choice") {
            try readToolChoice(value, into: conversation)
        } else if key.equals("thinking") {
            try readThinking(member, into: conversation)
        } else if key.equals("output_config") {
            try readOutputConfig(value, into: conversation)
        } else if key.equals("metadata") {
            guard value.isObject else { throw Refusal("metadata", "must be an object") }
            for inner in value.members where inner.value.isPresent {
                if inner.key.equals("user_id") {
                    conversation.user = try text(inner.value, "metadata.user_id")
                } else {
                    conversation.extra(.nested, Nested.metadata, inner)
                }
            }
        } else if key.equals("service_tier") {
            conversation.serviceTier = try text(value, "service_tier")
        } else if key.equals("cache_control") {
            if let mark = try cacheMark(value, "cache_control") {
                conversation.cache = mark
            } else {
                conversation.extra(.nested, Conversation.hintIndex, member)
            }
        } else if isHint(key) {
            conversation.extra(.nested, Conversation.hintIndex, member)
        } else {
            conversation.extra(.root, 0, member)
        }
    }

    /// Members without influence on what the answer says: they name a version or features (whose own fields speak for themselves), speed, an account, or
    /// what of a long conversation may be left out.
    private static func isHint(_ key: JSONValue) -> Bool {
        key.equals("anthropic_version") || key.equals("anthropic_beta") || key.equals("betas") || key.equals("speed") || key.equals("diagnostics")
            || key.equals("user_profile_id") || key.equals("workspace_id") || key.equals("context_management")
    }

    private static func readSystem(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isPresent else { return }
        guard value.isString || value.isArray else { throw Refusal("system", "must be a string or an array of text blocks") }
        try conversation.begin(.system)
        if value.isString { return try conversation.add(.text(value.text)) }
        for block in value.elements {
            guard block.isObject, block["type"].equals("text") else { throw Refusal("system[].type", "must be text") }
            try readBlock(block, role: .system, into: conversation)
        }
    }

    private static func readTools(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isArray else { throw Refusal("tools", "must be an array") }
        for item in value.elements {
            guard item.isObject else { throw Refusal("tools[]", "must be an object") }
            let index = conversation.tools.count
            guard index < Conversation.countMax else { throw Refusal("tools", "there are more than 100000 of them") }
            var tool = Tool()
            tool.name = try text(item["name"], "tools[].name")
            let type = item["type"]
            if type.isPresent, !type.equals("custom") {
                guard type.isString else { throw Refusal("tools[].type", "must be a string") }
                tool.kind = .hosted
                tool.opaque = item.raw
                conversation.tools.append(tool)
                continue
            }
            if tool.name.isEmpty { throw Refusal("tools[].name", "is required") }
            let schema = item["input_schema"]
            guard schema.isObject else { throw Refusal("tools[].input_schema", schema.isPresent ? "must be an object" : "is required") }
            tool.schema = schema.raw
            for member in item.members where member.value.isPresent {
                let (key, inner) = member
                if key.equals("name") || key.equals("type") || key.equals("input_schema") { continue }
                if key.equals("description") {
                    tool.description = try text(inner, "tools[].description")
                } else if key.equals("strict") {
                    tool.strict = try bool(inner, "tools[].strict")
                } else if key.equals("cache_control") {
                    if let mark = try cacheMark(inner, "tools[].cache_control") {
                        tool.cache = mark
                    } else {
                        conversation.extra(.nested, Nested.hint(.tool, index), member)
                    }
                } else if key.equals("eager_input_streaming") || key.equals("defer_loading") {
                    // Without them arguments come when they are whole, and the tool is known from the beginning.
                    conversation.extra(.nested, Nested.hint(.tool, index), member)
                } else {
                    conversation.extra(.tool, index, member)
                }
            }
            conversation.tools.append(tool)
        }
    }

    private static func readToolChoice(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isObject else { throw Refusal("tool_choice", "must be an object") }
        let type = value["type"]
        if type.equals("auto") {
            conversation.toolChoice = .auto
        } else if type.equals("any") {
            conversation.toolChoice = .required
        } else if type.equals("none") {
            conversation.toolChoice = .none
        } else if type.equals("tool") {
            conversation.toolChoice = .tool(try text(required: value["name"], "tool_choice.name"))
        } else {
            throw Refusal("tool_choice.type", "must be auto, any, tool or none")
        }
        for member in value.members where member.value.isPresent {
            if member.key.equals("type") || member.key.equals("name") { continue }
            if member.key.equals("disable_parallel_tool_use") {
                conversation.parallelToolCalls = !(try bool(member.value, "tool_choice.disable_parallel_tool_use"))
            } else {
                conversation.extra(.nested, Nested.toolChoice, member)
            }
        }
    }

    private static func readThinking(_ whole: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) {
        let value = whole.value
        guard value.isObject else { throw Refusal("thinking", "must be an object") }
        let type = value["type"]
        guard type.isString else { throw Refusal("thinking.type", "must be enabled, adaptive or disabled") }
        if type.equals("enabled") {
            conversation.reasoning.isEnabled = true
            guard let budget = value["budget_tokens"].int, budget > 0 else { throw Refusal("thinking.budget_tokens", "must be a whole number above 0") }
            conversation.reasoning.budget = budget
        } else if type.equals("adaptive") {
            conversation.reasoning.isEnabled = true
        } else if type.equals("disabled") {
            conversation.reasoning.isEnabled = false
        } else {
            return conversation.extra(.root, 0, whole)
        }
        for member in value.members where member.value.isPresent {
            if member.key.equals("type") || member.key.equals("budget_tokens") { continue }
            if member.key.equals("display"), member.value.equals("summarized") || member.value.equals("omitted") {
                conversation.reasoning.includesThoughts = member.value.equals("summarized")
            } else {
                conversation.extra(.nested, Nested.thinking, member)
            }
        }
    }

    private static func readOutputConfig(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isObject else { throw Refusal("output_config", "must be an object") }
        for member in value.members where member.value.isPresent {
            let inner = member.value
            if member.key.equals("effort") {
                guard let effort = Reasoning.Effort(inner) else { throw Refusal("output_config.effort", "must be low, medium, high, xhigh or max") }
                conversation.reasoning.effort = effort
            } else if member.key.equals("format") {
                guard inner.isObject, inner["type"].equals("json_schema") else { throw Refusal("output_config.format.type", "must be json_schema") }
                guard inner["schema"].isObject else { throw Refusal("output_config.format.schema", "must be an object") }
                conversation.format.kind = .jsonSchema
                conversation.format.schema = inner["schema"].raw
                conversation.format.strict = true
            } else {
                conversation.extra(.nested, Nested.outputConfig, member)
            }
        }
    }

    // MARK: values

    /// Nil for a mark that the neutral model has no word for.
    static func cacheMark(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> CacheMark? {
        guard value.isPresent else { return CacheMark.none }
        guard value.isObject else { throw Refusal(field, "must be an object") }
        guard value["type"].equals("ephemeral") else { return nil }
        let ttl = value["ttl"]
        for member in value.members where !member.key.equals("type") && !member.key.equals("ttl") { return nil }
        if !ttl.isPresent || ttl.equals("5m") { return .fiveMinutes }
        return ttl.equals("1h") ? .oneHour : nil
    }

    /// Absent for null.
    static func text(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> JSONBytes {
        guard value.isPresent else { return JSONBytes() }
        guard value.isString else { throw Refusal(field, "must be a string") }
        return value.text
    }

    static func text(required value: JSONValue, _ field: StaticString) throws(Refusal) -> JSONBytes {
        guard value.isString else { throw Refusal(field, value.isPresent ? "must be a string" : "is required") }
        return value.text
    }

    private static func bool(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> Bool {
        guard let flag = value.bool else { throw Refusal(field, "must be true or false") }
        return flag
    }

    private static func number(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> JSONBytes {
        guard value.kind == .number else { throw Refusal(field, "must be a number") }
        return value.raw
    }

    private static func whole(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> Int64 {
        guard let number = value.int, number >= 0 else { throw Refusal(field, "must be a whole number of at least 0") }
        return number
    }
}
