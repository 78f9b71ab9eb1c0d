// Reads the root of a chat request. Each member is looked at once; what the neutral model has no word for becomes an extra: of the root where the answer
// may depend on it, a hint where it does not.
import ClawWire

extension ChatDialect {
    /// More members than any client sends; the search for duplicates compares each with each.
    static let rootMembersMax = 256

    public static func readRequest(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        try checkRoot(body)
        var messages = JSONValue()
        for member in body.members {
            if try readShared(member, into: conversation) { continue }
            let value = member.value
            let key = member.key.text
            guard value.isPresent else {
                if !key.equals("messages") { conversation.extra(.root, 0, member) }
                continue
            }
            if key.equals("messages") {
                messages = value
            } else if key.equals("tools") {
                try readTools(value, into: conversation)
            } else if key.equals("functions") {
                try readFunctions(value, into: conversation)
                form(member, conversation)
            } else if key.equals("tool_choice") {
                try readToolChoice(member, into: conversation)
            } else if key.equals("function_call") {
                try readFunctionCall(value, into: conversation)
                form(member, conversation)
            } else if key.equals("parallel_tool_calls") {
                conversation.parallelToolCalls = try bool(value, "parallel_tool_calls")
            } else if key.equals("max_completion_tokens") {
                conversation.maxTokens = try count(value, "max_completion_tokens")
            } else if key.equals("logprobs") {
                conversation.logprobs = try bool(value, "logprobs")
            } else if key.equals("top_logprobs") {
                conversation.topLogprobs = try count(value, "top_logprobs", from: 0, to: 20)
            } else if key.equals("response_format") {
                try readFormat(value, into: conversation)
                form(member, conversation)
            } else if key.equals("reasoning_effort") {
                _ = try string(value, "reasoning_effort")
                // A word of one provider's own (Groq's `default`) goes to that dialect alone.
                if let effort = Reasoning.Effort(value) { conversation.reasoning.effort = effort } else { conversation.extra(.root, 0, member) }
            } else if key.equals("reasoning") {
                try readReasoning(value, into: conversation)
                form(member, conversation)
            } else if key.equals("thinking") {
                try readThinkingSwitch(value, into: conversation)
                form(member, conversation)
            } else if key.equals("verbosity") {
                conversation.verbosity = try string(value, "verbosity")
            } else if key.equals("modalities") {
                guard value.isArray else { throw Refusal("modalities", "must be an array of strings") }
                // Text alone is what everybody answers with.
                if value.count == 1, value.first.equals("text") { form(member, conversation) } else { conversation.modalities = value.raw }
            } else if key.equals("audio") {
                conversation.audio = try object(value, "audio").raw
            } else if key.equals("prediction") {
                conversation.prediction = try object(value, "prediction").raw
            } else if key.equals("cache_control") {
                conversation.cache = cacheMark(try object(value, "cache_control"))
                form(member, conversation)
            } else {
                conversation.extra(.root, 0, member)
            }
        }
        // The old name stands where the new one does not.
        readMaxTokens(body, into: conversation)
        guard messages.exists else { throw Refusal("messages", "is required") }
        try readMessages(messages, into: conversation)
    }

    static func checkRoot(_ body: JSONValue) throws(Refusal) {
        guard body.isObject else { throw Refusal("body", "must be a JSON object") }
        guard body.count <= rootMembersMax else { throw Refusal("body", "has more than 256 members") }
        if let key = body.duplicateKey { throw Refusal(key, "stands twice") }
        guard body["model"].exists else { throw Refusal("model", "is required") }
    }

    /// Members that chat and completions share. False: none of those.
    static func readShared(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) -> Bool {
        let value = member.value
        let key = member.key.text
        if key.equals("model") {
            conversation.model = try string(value, "model")
            if conversation.model.isEmpty { throw Refusal("model", "must not be empty") }
            return true
        }
        guard value.isPresent else { return false }
        if key.equals("stream") {
            conversation.wantsStream = try bool(value, "stream")
            form(member, conversation)
        } else if key.equals("stream_options") {
            for option in try object(value, "stream_options").members {
                if option.key.equals("include_usage") {
                    if option.value.isPresent { conversation.includesUsage = try bool(option.value, "stream_options.include_usage") }
                } else if option.value.isPresent {
                    conversation.extra(.nested, streamOptionsIndex, option)
                }
            }
            form(member, conversation)
        } else if key.equals("max_tokens") {
            _ = try count(value, "max_tokens")
            form(member, conversation)
        } else if key.equals("temperature") {
            conversation.temperature = try number(value, "temperature")
        } else if key.equals("top_p") {
            conversation.topP = try number(value, "top_p")
        } else if key.equals("top_k") {
            conversation.topK = try integer(value, "top_k")
        } else if key.equals("min_p") {
            conversation.minP = try number(value, "min_p")
        } else if key.equals("presence_penalty") {
            conversation.presencePenalty = try number(value, "presence_penalty")
        } else if key.equals("frequency_penalty") {
            conversation.frequencyPenalty = try number(value, "frequency_penalty")
        } else if key.equals("seed") {
            conversation.seed = try integer(value, "seed")
        } else if key.equals("n") {
            conversation.n = try count(value, "n", to: 128)
        } else if key.equals("stop") {
            try readStop(value, into: conversation)
            form(member, conversation)
        } else if key.equals("logit_bias") {
            // An empty one asks for nothing.
            if try object(value, "logit_bias").count == 0 { form(member, conversation) } else { conversation.logitBias = value.raw }
        } else if key.equals("user") {
            conversation.user = try string(value, "user")
        } else if key.equals("metadata") {
            conversation.metadata = try object(value, "metadata").raw
        } else if key.equals("service_tier") {
            conversation.serviceTier = try string(value, "service_tier")
        } else if key.equals("store") {
            conversation.store = try bool(value, "store")
        } else if key.equals("prompt_cache_key") {
            conversation.promptCacheKey = try string(value, "prompt_cache_key")
        } else if key.equals("safety_identifier") || key.equals("prompt_cache_retention") || key.equals("prompt_cache_options") {
            conversation.extra(.nested, Conversation.hintIndex, member)
        } else {
            return false
        }
        return true
    }

    static func form(_ member: (key: JSONValue, value: JSONValue), _ conversation: Conversation) {
        conversation.extra(.nested, Conversation.formIndex, member)
    }

    /// `max_tokens`, where there is no `max_completion_tokens`.
    static func readMaxTokens(_ body: JSONValue, into conversation: Conversation) {
        if conversation.maxTokens == nil, let count = body["max_tokens"].int { conversation.maxTokens = count }
    }

    private static func readStop(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        if value.isString {
            conversation.stop.append(value.text)
            return
        }
        guard value.isArray else { throw Refusal("stop", "must be a string or an array of strings") }
        for word in value.elements {
            guard word.isString else { throw Refusal("stop", "must be a string or an array of strings") }
            conversation.stop.append(word.text)
        }
    }

    /// OpenAI's three, llama.cpp's schema without a wrapper, and json_object with a schema (llama.cpp, Together).
    private static func readFormat(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        let type = try object(value, "response_format")["type"]
        if type.equals("text") {
            conversation.format.kind = .text
        } else if type.equals("json_object") {
            conversation.format.kind = .jsonObject
            if value["schema"].isObject {
                conversation.format.kind = .jsonSchema
                conversation.format.schema = value["schema"].raw
            }
        } else if type.equals("json_schema") {
            let inner = value["json_schema"].exists ? try object(value["json_schema"], "response_format.json_schema") : value
            conversation.format.kind = .jsonSchema
            guard inner["schema"].isObject || inner["schema"].bool != nil else {
                throw Refusal("response_format.json_schema.schema", "must be a JSON Schema, an object")
            }
            conversation.format.schema = inner["schema"].raw
            if inner["name"].isPresent { conversation.format.name = try string(inner["name"], "response_format.json_schema.name") }
            if inner["description"].isPresent {
                conversation.format.description = try string(inner["description"], "response_format.json_schema.description")
            }
            if inner["strict"].isPresent { conversation.format.strict = try bool(inner["strict"], "response_format.json_schema.strict") }
        } else {
            throw Refusal("response_format.type", "must be text, json_object or json_schema")
        }
    }

    /// OpenRouter's and Ollama's `reasoning: {effort, max_tokens, exclude, enabled}`.
    private static func readReasoning(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        for member in try object(value, "reasoning").members where member.value.isPresent {
            if member.key.equals("effort") {
                guard let effort = Reasoning.Effort(member.value) else {
                    throw Refusal("reasoning.effort", "must be none, minimal, low, medium, high, xhigh or max")
                }
                conversation.reasoning.effort = effort
            } else if member.key.equals("max_tokens") {
                conversation.reasoning.budget = try count(member.value, "reasoning.max_tokens", from: 0)
            } else if member.key.equals("exclude") {
                conversation.reasoning.includesThoughts = try !bool(member.value, "reasoning.exclude")
            } else if member.key.equals("enabled") {
                conversation.reasoning.isEnabled = try bool(member.value, "reasoning.enabled")
            } else if member.key.equals("summary") {
                conversation.reasoning.summary = try string(member.value, "reasoning.summary")
            }
        }
    }

    /// `thinking: {type: enabled|disabled, budget_tokens}` (DeepSeek, Z.ai, Anthropic's word in other gateways).
    private static func readThinkingSwitch(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        let type = try object(value, "thinking")["type"]
        if type.equals("enabled") || type.equals("adaptive") || type.equals("auto") {
            conversation.reasoning.isEnabled = true
        } else if type.equals("disabled") {
            conversation.reasoning.isEnabled = false
        } else {
            throw Refusal("thinking.type", "must be enabled or disabled")
        }
        if value["budget_tokens"].isPresent { conversation.reasoning.budget = try count(value["budget_tokens"], "thinking.budget_tokens", from: 0) }
    }
}
