// Reads the members of a request, all but `input`. What the neutral model has a word for goes there; what only tells how this API shall go about it is
// kept as a hint, what equals a default as a quiet extra, and everything else as an extra that upstreams of other dialects refuse by its name.
import ClawWire

extension ResponsesDialect {
    /// `nested` extras of this dialect: their keys begin with the path below, which the writer takes off again.
    enum Nest {
        static let reasoning = (index: 1, path: "reasoning." as StaticString)
        static let text = (index: 2, path: "text." as StaticString)
        static let format = (index: 3, path: "text.format." as StaticString)
    }
    /// More members than any request of this API has; keeps the search for one that stands twice short.
    private static let membersMax = 256
    private static let toolsMax = 10_000

    public static func readRequest(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard body.isObject else { throw Refusal("body", "must be a JSON object") }
        guard body.count <= membersMax else { throw Refusal("body", "has more than 256 members") }
        if let key = body.duplicateKey { throw Refusal(key, "stands twice") }
        conversation.model = try string(body["model"], "model")
        if conversation.model.isEmpty { throw Refusal("model", "must not be empty") }

        let instructions = body["instructions"]
        if instructions.isPresent {
            try conversation.begin(.system)
            var part = Part.text(try string(instructions, "instructions"))
            part.form = ItemForm.instructions
            try conversation.add(part)
        }
        let input = body["input"]
        if input.isPresent {
            try readInput(input, into: conversation)
        } else if !body["previous_response_id"].isPresent, !body["prompt"].isPresent, !body["conversation"].isPresent {
            throw Refusal("input", "is missing: a string or a list of items")
        }
        for member in body.members {
            if member.value.kind == .null { conversation.extra(.root, 0, member); continue }
            if try readSampling(member, into: conversation) { continue }
            if try readShape(member, into: conversation) { continue }
            if try readKeeping(member, into: conversation) { continue }
            if member.key.equals("model") || member.key.equals("instructions") || member.key.equals("input") { continue }
            conversation.extra(.root, 0, member)
        }
        conversation.includesUsage = conversation.wantsStream
    }

    // MARK: members

    /// How the model shall choose its words, and how many.
    private static func readSampling(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) -> Bool {
        let key = member.key
        if key.equals("max_output_tokens") {
            guard let count = member.value.int, count > 0 else { throw Refusal("max_output_tokens", "must be a whole number above 0") }
            conversation.maxTokens = count
        } else if key.equals("temperature") {
            conversation.temperature = try number(member.value, "temperature")
        } else if key.equals("top_p") {
            conversation.topP = try number(member.value, "top_p")
        } else if key.equals("top_logprobs") {
            guard let count = member.value.int, (0...20).contains(count) else { throw Refusal("top_logprobs", "must be a whole number from 0 to 20") }
            conversation.topLogprobs = count
        } else if key.equals("reasoning") {
            try readReasoning(member, into: conversation)
        } else if key.equals("include") {
            try readInclude(member, into: conversation)
        } else {
            return false
        }
        return true
    }

    /// What the answer shall look like, and the tools.
    private static func readShape(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) -> Bool {
        let key = member.key
        if key.equals("text") {
            try readText(member, into: conversation)
        } else if key.equals("tools") {
            guard member.value.isArray else { throw Refusal("tools", "must be a list") }
            var count = 0
            for tool in member.value.elements {
                count += 1
                guard count <= toolsMax else { throw Refusal("tools", "there are more than 10000 of them") }
                try readTool(tool, into: conversation)
            }
            if count == 0 { keepQuiet(.root, 0, member, in: conversation) }
        } else if key.equals("tool_choice") {
            try readToolChoice(member, into: conversation)
        } else if key.equals("parallel_tool_calls") {
            conversation.parallelToolCalls = try flag(member.value, "parallel_tool_calls")
        } else if key.equals("stream") {
            conversation.wantsStream = try flag(member.value, "stream")
            if !conversation.wantsStream { keepQuiet(.root, 0, member, in: conversation) }
        } else if key.equals("truncation") {
            let value = try string(member.value, "truncation")
            if value.equals("disabled") { keepQuiet(.root, 0, member, in: conversation) } else { conversation.extra(.root, 0, member) }
        } else if key.equals("background") {
            if try flag(member.value, "background") { conversation.extra(.root, 0, member) } else { keepQuiet(.root, 0, member, in: conversation) }
        } else {
            return false
        }
        return true
    }

    /// What is kept of it, and on whose account.
    private static func readKeeping(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) -> Bool {
        let key = member.key
        if key.equals("store") {
            conversation.store = try flag(member.value, "store")
        } else if key.equals("previous_response_id") {
            conversation.previousResponseID = try string(member.value, "previous_response_id")
        } else if key.equals("metadata") {
            guard member.value.isObject else { throw Refusal("metadata", "must be an object") }
            conversation.metadata = member.value.raw
        } else if key.equals("service_tier") {
            conversation.serviceTier = try string(member.value, "service_tier")
        } else if key.equals("user") {
            conversation.user = try string(member.value, "user")
        } else if key.equals("prompt_cache_key") {
            conversation.promptCacheKey = try string(member.value, "prompt_cache_key")
        } else if isOneOf(key, "safety_identifier", "prompt_cache_retention", "prompt_cache_options", "stream_options") {
            conversation.extra(.nested, Conversation.hintIndex, member)
        } else {
            return false
        }
        return true
    }

    // MARK: members with members

    private static func readReasoning(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) {
        guard member.value.isObject else { throw Refusal("reasoning", "must be an object") }
        var count = 0
        for inner in member.value.members {
            count += 1
            guard count <= membersMax else { throw Refusal("reasoning", "has more than 256 members") }
            if inner.key.equals("effort"), inner.value.kind != .null {
                _ = try string(inner.value, "reasoning.effort")
                // A word that is newer than this gateway: for upstreams of this dialect to judge.
                guard let effort = Reasoning.Effort(inner.value) else { nest(Nest.reasoning, inner, in: conversation); continue }
                conversation.reasoning.effort = effort
            } else if inner.key.equals("summary"), inner.value.kind != .null {
                conversation.reasoning.summary = try string(inner.value, "reasoning.summary")
                conversation.reasoning.includesThoughts = true
            } else {
                nest(Nest.reasoning, inner, in: conversation)
            }
        }
        if count == 0 { keepQuiet(.root, 0, member, in: conversation) }
    }

    private static func readText(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) {
        guard member.value.isObject else { throw Refusal("text", "must be an object") }
        var count = 0
        for inner in member.value.members {
            count += 1
            guard count <= membersMax else { throw Refusal("text", "has more than 256 members") }
            if inner.key.equals("format"), inner.value.kind != .null {
                try readFormat(inner.value, into: conversation)
            } else if inner.key.equals("verbosity"), inner.value.kind != .null {
                conversation.verbosity = try string(inner.value, "text.verbosity")
            } else {
                nest(Nest.text, inner, in: conversation)
            }
        }
        if count == 0 { keepQuiet(.root, 0, member, in: conversation) }
    }

    private static func readFormat(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isObject else { throw Refusal("text.format", "must be an object") }
        let type = value["type"]
        var format = ResponseFormat()
        if type.equals("text") {
            format.kind = .text
        } else if type.equals("json_object") {
            format.kind = .jsonObject
        } else if type.equals("json_schema") {
            format.kind = .jsonSchema
        } else {
            throw Refusal("text.format.type", "must be text, json_object or json_schema")
        }
        var count = 0
        for inner in value.members {
            count += 1
            guard count <= membersMax else { throw Refusal("text.format", "has more than 256 members") }
            if inner.key.equals("type") { continue }
            if format.kind != .jsonSchema || inner.value.kind == .null {
                nest(Nest.format, inner, in: conversation)
            } else if inner.key.equals("name") {
                format.name = try string(inner.value, "text.format.name")
            } else if inner.key.equals("description") {
                format.description = try string(inner.value, "text.format.description")
            } else if inner.key.equals("schema") {
                guard inner.value.isObject else { throw Refusal("text.format.schema", "must be an object") }
                format.schema = inner.value.raw
            } else if inner.key.equals("strict") {
                format.strict = try flag(inner.value, "text.format.strict")
            } else {
                nest(Nest.format, inner, in: conversation)
            }
        }
        if format.kind == .jsonSchema {
            if format.name.isEmpty { throw Refusal("text.format.name", "is missing") }
            if !format.schema.exists { throw Refusal("text.format.schema", "is missing") }
        }
        conversation.format = format
    }

    /// `message.output_text.logprobs` is the chat API's `logprobs`. Encrypted reasoning is what the gateway returns anyway, so a list of these two is a hint.
    private static func readInclude(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) {
        guard member.value.isArray else { throw Refusal("include", "must be a list of strings") }
        var isHint = true
        for one in member.value.elements {
            guard one.isString else { throw Refusal("include", "must be a list of strings") }
            if one.equals("message.output_text.logprobs") {
                conversation.logprobs = true
            } else if !one.equals("reasoning.encrypted_content") {
                isHint = false
            }
        }
        if isHint { keepQuiet(.root, 0, member, in: conversation) } else { conversation.extra(.root, 0, member) }
    }

    // MARK: tools

    private static func readTool(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isObject else { throw Refusal("tools[]", "must be an object") }
        let type = value["type"]
        guard type.isString else { throw Refusal("tools[].type", "must be a string") }
        var tool = Tool()
        if !type.equals("function") {
            tool.kind = type.equals("custom") ? .custom : .hosted
            tool.opaque = value.raw
            if tool.kind == .custom {
                tool.name = try string(value["name"], "tools[].name")
                if value["description"].isPresent { tool.description = try string(value["description"], "tools[].description") }
            }
            conversation.tools.append(tool)
            return
        }
        let index = conversation.tools.count
        for member in value.members {
            if member.key.equals("type") { continue }
            if member.value.kind == .null {
                conversation.extra(.tool, index, member)
            } else if member.key.equals("name") {
                tool.name = try string(member.value, "tools[].name")
            } else if member.key.equals("description") {
                tool.description = try string(member.value, "tools[].description")
            } else if member.key.equals("parameters") {
                guard member.value.isObject else { throw Refusal("tools[].parameters", "must be an object") }
                tool.schema = member.value.raw
            } else if member.key.equals("strict") {
                // Left out it means "strict where the schema allows it" here and "not strict" everywhere else, so left out it stays.
                tool.strict = try flag(member.value, "tools[].strict")
            } else {
                conversation.extra(.tool, index, member)
            }
        }
        if tool.name.isEmpty { throw Refusal("tools[].name", "is missing") }
        conversation.tools.append(tool)
    }

    private static func readToolChoice(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) {
        let value = member.value
        if value.isString {
            if value.equals("auto") {
                conversation.toolChoice = .auto
            } else if value.equals("none") {
                conversation.toolChoice = .none
            } else if value.equals("required") {
                conversation.toolChoice = .required
            } else {
                throw Refusal("tool_choice", "must be none, auto, required or an object")
            }
        } else if value.isObject, value["type"].isString {
            if value["type"].equals("function") || value["type"].equals("custom") {
                conversation.toolChoice = .tool(try string(value["name"], "tool_choice.name"))
            } else {
                // allowed_tools, or a hosted tool.
                conversation.extra(.root, 0, member)
            }
        } else {
            throw Refusal("tool_choice", "must be none, auto, required or an object with a type")
        }
    }

    // MARK: values

    static func string(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> JSONBytes {
        guard value.isPresent else { throw Refusal(field, "is missing") }
        guard value.isString else { throw Refusal(field, "must be a string") }
        return value.text
    }

    private static func flag(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> Bool {
        guard let flag = value.bool else { throw Refusal(field, "must be true or false") }
        return flag
    }

    private static func number(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> JSONBytes {
        guard value.double != nil else { throw Refusal(field, "must be a number") }
        return value.raw
    }

    static func isOneOf(_ key: JSONValue, _ one: StaticString, _ two: StaticString, _ three: StaticString, _ four: StaticString) -> Bool {
        key.equals(one) || key.equals(two) || key.equals(three) || key.equals(four)
    }

    static func keepQuiet(_ scope: Extra.Scope, _ index: Int, _ member: (key: JSONValue, value: JSONValue), in conversation: Conversation) {
        guard conversation.extras.count < Conversation.countMax else { return }
        conversation.extras.append(Extra(scope, index, key: member.key.text, value: member.value.raw, isQuiet: true))
    }

    private static func nest(_ nest: (index: Int, path: StaticString), _ member: (key: JSONValue, value: JSONValue), in conversation: Conversation) {
        guard conversation.extras.count < Conversation.countMax else { return }
        let key = conversation.arena.arena.joined(JSONBytes(nest.path), member.key.text)
        conversation.extras.append(Extra(.nested, nest.index, key: key, value: member.value.raw))
    }
}
