// Reads a request of /v2/chat.
import ClawWire

extension CohereDialect {
    public static func readRequest(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard body.isObject else { throw Refusal("body", "must be an object") }
        try Conversation.refuseDuplicates(body)
        var messages = JSONValue()
        var tools = JSONValue()
        var strict: Bool?
        for member in body.members {
            let (key, value) = member
            if key.equals("model") {
                guard value.isString, !value.text.isEmpty else { throw Refusal("model", "must be a string that is not empty") }
                conversation.model = value.text
            } else if key.equals("messages") {
                messages = value
            } else if key.equals("stream") {
                guard !value.isPresent || value.bool != nil else { throw Refusal("stream", "must be true or false") }
                conversation.wantsStream = value.bool == true
            } else if value.kind == .null {
                conversation.extra(.root, 0, member)
            } else if key.equals("tools") {
                tools = value
            } else if key.equals("strict_tools") {
                strict = try bool(value, "strict_tools")
            } else if key.equals("tool_choice") {
                if value.equals("REQUIRED") {
                    conversation.toolChoice = .required
                } else if value.equals("NONE") {
                    conversation.toolChoice = .none
                } else {
                    throw Refusal("tool_choice", "must be REQUIRED or NONE")
                }
            } else if key.equals("response_format") {
                try readFormat(value, into: conversation)
            } else if key.equals("thinking") {
                try readThinking(value, into: conversation)
            } else if key.equals("stop_sequences") {
                guard value.isArray else { throw Refusal("stop_sequences", "must be an array of strings") }
                for word in value.elements {
                    guard word.isString, conversation.stop.count < 1024 else { throw Refusal("stop_sequences", "must be an array of at most 1024 strings") }
                    conversation.stop.append(word.text)
                }
            } else if key.equals("max_tokens") {
                guard let count = value.int, count >= 0 else { throw Refusal("max_tokens", "must be a whole number that is not negative") }
                conversation.maxTokens = count
            } else if key.equals("temperature") {
                conversation.temperature = try number(value, "temperature")
            } else if key.equals("p") {
                conversation.topP = try number(value, "p")
            } else if key.equals("k") {
                conversation.topK = try number(value, "k")
            } else if key.equals("seed") {
                conversation.seed = try number(value, "seed")
            } else if key.equals("presence_penalty") {
                conversation.presencePenalty = try number(value, "presence_penalty")
            } else if key.equals("frequency_penalty") {
                conversation.frequencyPenalty = try number(value, "frequency_penalty")
            } else if key.equals("logprobs") {
                conversation.logprobs = try bool(value, "logprobs")
            } else {
                conversation.extra(.root, 0, member)
            }
        }
        guard conversation.model.exists else { throw Refusal("model", "is required") }
        guard messages.isArray else { throw Refusal("messages", "must be an array of messages") }
        if tools.exists { try readTools(tools, strict, into: conversation) }
        for message in messages.elements { try readMessage(message, into: conversation) }
    }

    private static func bool(_ value: JSONValue, _ name: StaticString) throws(Refusal) -> Bool {
        guard let flag = value.bool else { throw Refusal(name, "must be true or false") }
        return flag
    }
    private static func number(_ value: JSONValue, _ name: StaticString) throws(Refusal) -> JSONBytes {
        guard value.kind == .number else { throw Refusal(name, "must be a number") }
        return value.raw
    }

    private static func readFormat(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        if value["type"].equals("text") {
            conversation.format.kind = .text
        } else if value["type"].equals("json_object") {
            conversation.format.kind = .jsonObject
            if value["json_schema"].isPresent {
                guard value["json_schema"].isObject else { throw Refusal("response_format.json_schema", "must be a JSON schema") }
                conversation.format.kind = .jsonSchema
                conversation.format.schema = value["json_schema"].raw
            }
        } else {
            throw Refusal("response_format.type", "must be text or json_object")
        }
    }

    private static func readThinking(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        if value["type"].equals("enabled") {
            conversation.reasoning.isEnabled = true
        } else if value["type"].equals("disabled") {
            conversation.reasoning.isEnabled = false
        } else {
            throw Refusal("thinking.type", "must be enabled or disabled")
        }
        let budget = value["token_budget"]
        if budget.isPresent {
            guard let tokens = budget.int, tokens > 0 else { throw Refusal("thinking.token_budget", "must be a whole number above 0") }
            conversation.reasoning.budget = tokens
        }
    }

    private static func readTools(_ value: JSONValue, _ strict: Bool?, into conversation: Conversation) throws(Refusal) {
        guard value.isArray else { throw Refusal("tools", "must be an array of tools") }
        for element in value.elements {
            guard conversation.tools.count < Conversation.countMax else { throw Refusal("tools", "there are more than 100000 of them") }
            let function = element["function"]
            guard element["type"].equals("function"), function.isObject else { throw Refusal("tools[].type", "must be function, with an object of that name") }
            let name = function["name"]
            guard name.isString, !name.text.isEmpty else { throw Refusal("tools[].function.name", "must be a string that is not empty") }
            let description = function["description"]
            guard !description.isPresent || description.isString else { throw Refusal("tools[].function.description", "must be a string") }
            let schema = function["parameters"]
            guard !schema.isPresent || schema.isObject else { throw Refusal("tools[].function.parameters", "must be a JSON schema") }
            var tool = Tool()
            tool.name = name.text
            tool.description = description.text
            if schema.isObject { tool.schema = schema.raw }
            tool.strict = strict
            conversation.tools.append(tool)
        }
    }

    // MARK: messages

    private static func readMessage(_ message: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard message.isObject else { throw Refusal("messages[]", "must be an object") }
        let role = message["role"]
        if role.equals("tool") { return try readResult(message, into: conversation) }
        if role.equals("user") {
            try conversation.begin(.user)
        } else if role.equals("assistant") {
            try conversation.begin(.assistant)
        } else if role.equals("system") {
            try conversation.begin(.system)
        } else {
            throw Refusal("messages[].role", "must be system, user, assistant or tool")
        }
        let plan = message["tool_plan"]
        if plan.isPresent {
            guard plan.isString else { throw Refusal("messages[].tool_plan", "must be a string") }
            try conversation.add(planPart(plan.text))
        }
        let content = message["content"]
        if content.isString {
            try conversation.add(.text(content.text))
        } else if content.isPresent {
            guard content.isArray else { throw Refusal("messages[].content", "must be a string or an array of parts") }
            for element in content.elements {
                guard let part = part(element) else { throw Refusal("messages[].content[].type", "must be text, image_url or thinking, with a member of that name") }
                try conversation.add(part)
            }
        }
        let calls = message["tool_calls"]
        guard !calls.isPresent || calls.isArray else { throw Refusal("messages[].tool_calls", "must be an array of calls") }
        for call in calls.elements {
            guard let part = self.call(call) else { throw Refusal("messages[].tool_calls[].function", "must be an object with a name and arguments") }
            try conversation.add(part)
        }
        for member in message.members where !isOfMessage(member.key) { conversation.extra(.message, conversation.messages.count - 1, member) }
    }

    private static func readResult(_ message: JSONValue, into conversation: Conversation) throws(Refusal) {
        try conversation.begin(.tool)
        let id = message["tool_call_id"]
        guard id.isString else { throw Refusal("messages[].tool_call_id", "must be a string") }
        var result = Part(.toolResult)
        result.id = id.text
        let start = conversation.inner.count
        let content = message["content"]
        guard content.isString || content.isArray else { throw Refusal("messages[].content", "must be a string or an array of parts") }
        guard start + content.count < Conversation.countMax else { throw Refusal("messages", "they have more than 100000 parts") }
        if content.isString { conversation.inner.append(.text(content.text)) }
        for element in content.elements {
            if let part = part(element) {
                conversation.inner.append(part)
            } else {
                // A document, which only Cohere has in this form.
                guard element["type"].equals("document") else { throw Refusal("messages[].content[].type", "must be text or document") }
                conversation.inner.append(document(element, conversation))
            }
        }
        try conversation.add(result: result, from: start)
        for member in message.members where !member.key.equals("tool_call_id") && !member.key.equals("role") && !member.key.equals("content") {
            conversation.extra(.message, conversation.messages.count - 1, member)
        }
    }

    /// A document as a tool's result: for others it is the text of its data. `json` is the whole of it, for Cohere.
    private static func document(_ element: JSONValue, _ conversation: Conversation) -> Part {
        let data = element["document"]["data"].exists ? element["document"]["data"] : element["document"]
        var part = Part.text(data.isString ? data.text : conversation.arena.arena.escaped(data.raw.raw))
        part.json = element.raw
        return part
    }

    static func planPart(_ text: JSONBytes) -> Part {
        var part = Part(.thinking)
        part.text = text
        part.signature = JSONBytes(planMark)
        part.signatureOf = .cohere
        return part
    }

    /// A part of a content array. `source` of a text says that it came in one.
    static func part(_ value: JSONValue) -> Part? {
        let type = value["type"]
        if type.equals("text"), value["text"].isString {
            var part = Part.text(value["text"].text)
            part.source = .text
            return part
        }
        if type.equals("thinking"), value["thinking"].isString {
            var part = Part(.thinking)
            part.text = value["thinking"].text
            return part
        }
        if type.equals("image_url") {
            let url = value["image_url"]["url"]
            guard url.isString else { return nil }
            var part = Part(.image)
            if let data = DataURL.parse(url.text) {
                part.source = .base64
                part.mediaType = data.mediaType
                part.data = data.data
            } else {
                part.source = .url
                part.data = url.text
            }
            part.detail = value["image_url"]["detail"].text
            return part
        }
        return nil
    }

    static func call(_ value: JSONValue) -> Part? {
        let function = value["function"]
        guard function["name"].isString else { return nil }
        var part = Part(.toolCall)
        part.id = value["id"].text.exists ? value["id"].text : JSONBytes("")
        part.name = function["name"].text
        if function["arguments"].isObject { part.json = function["arguments"].raw } else { part.text = function["arguments"].text }
        if !part.json.exists, !part.text.exists { part.text = JSONBytes("") }
        return part
    }

    static func isOfMessage(_ key: JSONValue) -> Bool {
        key.equals("role") || key.equals("content") || key.equals("tool_plan") || key.equals("tool_calls")
    }
}
