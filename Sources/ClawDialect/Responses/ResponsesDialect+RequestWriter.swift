// Writes a request for an upstream of this API: all members but the items of `input` (+InputWriter). From other dialects it says two things expressly that
// are different when left out: `strict: false` for tools without a word about it (left out means strict here), and `store: false`, because nobody who
// speaks another API expects the provider to keep the conversation. What this API has no word for (stop, n, seed, penalties, logit_bias …) is refused.
import ClawWire

extension ResponsesDialect {
    public static func writeRequest(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        try refuseWhatIsLacking(conversation, target.quirks)
        try conversation.refuseExtras(of: .responses)
        out.beginObject()
        out.member("model", target.model)
        let hasSecrets = try writeInput(conversation, target, into: &out)
        try writeTools(conversation, target.quirks, into: &out)
        try writeText(conversation, target.quirks, into: &out)
        let reasons = try writeReasoning(conversation, target.quirks, into: &out)
        try writeSampling(conversation, target.quirks, into: &out)
        let isOwn = conversation.source == .responses
        let store = conversation.store ?? (isOwn ? nil : false)
        writeInclude(conversation, wantsSecrets: store == false && (reasons || hasSecrets), into: &out)
        if target.wantsStream { out.member("stream", true) }
        if let store { out.member("store", store) }
        writeHints(conversation, target.quirks, into: &out)
        try writeRoot(conversation, wantsStream: target.wantsStream, into: &out)
        out.endObject()
    }

    /// /responses/input_tokens takes the members that make up the prompt, and no others.
    public static func writeCount(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        out.beginObject()
        out.member("model", target.model)
        _ = try writeInput(conversation, target, into: &out)
        try writeTools(conversation, target.quirks, into: &out)
        try writeText(conversation, target.quirks, into: &out)
        _ = try writeReasoning(conversation, target.quirks, into: &out)
        if conversation.source == .responses {
            if !conversation.previousResponseID.isEmpty { out.member("previous_response_id", conversation.previousResponseID) }
            for extra in conversation.extras where extra.scope == .root {
                guard extra.key.equals("conversation") || extra.key.equals("truncation") || extra.key.equals("tool_choice") || extra.key.equals("personality")
                else { continue }
                out.key(extra.key)
                out.value(extra.value)
            }
        }
        out.endObject()
    }

    // MARK: what there is no word for

    private static func refuseWhatIsLacking(_ conversation: Conversation, _ quirks: Quirks) throws(Refusal) {
        if let n = conversation.n, n != 1 { try conversation.cannot(.n) }
        if conversation.seed.exists { try conversation.cannot(.seed) }
        if !conversation.stop.isEmpty { try conversation.cannot(.stop) }
        if isSaid(conversation.presencePenalty) { try conversation.cannot(.presencePenalty) }
        if isSaid(conversation.frequencyPenalty) { try conversation.cannot(.frequencyPenalty) }
        if conversation.logitBias.contains(":") { try conversation.cannot(.logitBias) }
        if conversation.topK.exists { try conversation.cannot(.topK) }
        if conversation.minP.exists { try conversation.cannot(.minP) }
        if conversation.modalities.contains("audio") || conversation.modalities.contains("image") { try conversation.cannot(.modalities) }
        if conversation.audio.exists { try conversation.cannot(.audio) }
        if conversation.prediction.exists { try conversation.cannot(.prediction) }
        if conversation.cache != .none { conversation.hint(.cacheControl) }
        // There a last message of the assistant is the beginning of the answer; here it is history like any other.
        if conversation.source == .messages || conversation.source == .converse, let last = conversation.messages.last, last.role == .assistant {
            try conversation.cannot(.prefill, "this upstream does not continue a message of the assistant")
        }
    }

    /// A penalty other than the default 0.
    private static func isSaid(_ number: JSONBytes) -> Bool { number.exists && JSONNumber.parse(number.raw) != 0 }

    /// False, after a refusal or with the name noted, for what this server lacks.
    private static func has(_ field: Field, _ conversation: Conversation, _ quirks: Quirks) throws(Refusal) -> Bool {
        if quirks.supports(field) { return true }
        try conversation.cannot(field)
        return false
    }

    // MARK: members

    private static func writeSampling(_ conversation: Conversation, _ quirks: Quirks, into out: inout JSONWriter) throws(Refusal) {
        if let count = conversation.maxTokens, try has(.maxTokens, conversation, quirks) { out.member("max_output_tokens", count) }
        if conversation.temperature.exists, try has(.temperature, conversation, quirks) { out.member("temperature", raw: conversation.temperature) }
        if conversation.topP.exists, try has(.topP, conversation, quirks) { out.member("top_p", raw: conversation.topP) }
        if let count = conversation.topLogprobs, conversation.source == .responses || conversation.logprobs == true {
            if try has(.topLogprobs, conversation, quirks) { out.member("top_logprobs", count) }
        }
    }

    private static func writeInclude(_ conversation: Conversation, wantsSecrets: Bool, into out: inout JSONWriter) {
        if conversation.source == .responses { return }
        let wantsLogprobs = conversation.logprobs == true
        if !wantsLogprobs && !wantsSecrets { return }
        out.key("include")
        out.beginArray()
        if wantsSecrets { out.string("reasoning.encrypted_content") }
        if wantsLogprobs { out.string("message.output_text.logprobs") }
        out.endArray()
    }

    /// - Returns: whether thinking was asked for.
    private static func writeReasoning(_ conversation: Conversation, _ quirks: Quirks, into out: inout JSONWriter) throws(Refusal) -> Bool {
        let reasoning = conversation.reasoning
        var effort = reasoning.effort
        if effort == .unset, let budget = reasoning.budget, budget >= 0 { effort = Reasoning.Effort(budget: budget) }
        var summary = reasoning.summary
        // Where these are asked to think, they show it.
        let shows = [.messages, .ollama, .ollamaGenerate].contains(conversation.source) && reasoning.isSet
        if !summary.exists, reasoning.includesThoughts ?? shows, reasoning.isEnabled != false, effort != .none { summary = JSONBytes("auto") }
        let isOwn = conversation.source == .responses
        let hasMore = isOwn && conversation.extras.contains { $0.scope == .nested && $0.index == Nest.reasoning.index }
        // Thinking that is switched off as such is the default elsewhere; models that cannot think take no word about it here.
        guard effort != .unset || summary.exists || hasMore, try has(.reasoning, conversation, quirks) else { return false }
        out.key("reasoning")
        out.beginObject()
        if effort != .unset { out.member("effort", effort.word) }
        if summary.exists { out.member("summary", summary) }
        writeNest(Nest.reasoning, conversation, into: &out)
        out.endObject()
        return effort != .none
    }

    private static func writeText(_ conversation: Conversation, _ quirks: Quirks, into out: inout JSONWriter) throws(Refusal) {
        var format = conversation.format
        if format.kind != .unset, format.kind != .text, !(try has(.responseFormat, conversation, quirks)) { format.kind = .unset }
        var hasVerbosity = conversation.verbosity.exists
        if hasVerbosity { hasVerbosity = try has(.verbosity, conversation, quirks) }
        let isOwn = conversation.source == .responses
        let hasMore = isOwn && conversation.extras.contains { $0.scope == .nested && $0.index == Nest.text.index }
        guard format.kind != .unset || hasVerbosity || hasMore else { return }
        out.key("text")
        out.beginObject()
        if format.kind != .unset {
            out.key("format")
            out.beginObject()
            switch format.kind {
            case .unset, .text: out.member("type", "text")
            case .jsonSchema where format.schema.exists:
                out.member("type", "json_schema")
                out.member("name", format.name.isEmpty ? JSONBytes("response") : format.name)
                out.member(ifPresent: "description", format.description)
                out.member("schema", raw: format.schema)
                if let strict = format.strict { out.member("strict", strict) }
            case .jsonObject, .jsonSchema: out.member("type", "json_object")
            }
            writeNest(Nest.format, conversation, into: &out)
            out.endObject()
        }
        if hasVerbosity {
            out.member("verbosity", conversation.verbosity)
        }
        writeNest(Nest.text, conversation, into: &out)
        out.endObject()
    }

    private static func writeNest(_ nest: (index: Int, path: StaticString), _ conversation: Conversation, into out: inout JSONWriter) {
        guard conversation.source == .responses else { return }
        for extra in conversation.extras where extra.scope == .nested && extra.index == nest.index {
            out.key(extra.key.dropFirst(nest.path.utf8CodeUnitCount))
            out.value(extra.value)
        }
    }

    /// What has no influence on the answer.
    private static func writeHints(_ conversation: Conversation, _ quirks: Quirks, into out: inout JSONWriter) {
        if conversation.metadata.exists {
            if quirks.supports(.metadata) { out.member("metadata", raw: conversation.metadata) } else { conversation.hint(.metadata) }
        }
        if conversation.user.exists {
            if quirks.supports(.user) { out.member("user", conversation.user) } else { conversation.hint(.user) }
        }
        if conversation.promptCacheKey.exists {
            if quirks.supports(.promptCacheKey) { out.member("prompt_cache_key", conversation.promptCacheKey) } else { conversation.hint(.promptCacheKey) }
        }
        if conversation.serviceTier.exists {
            // The tiers' names are OpenAI's own; other providers' are others.
            let isOurs = conversation.source == .responses || conversation.source == .chat || conversation.source == .completions
            if isOurs, quirks.supports(.serviceTier) { out.member("service_tier", conversation.serviceTier) } else { conversation.hint(.serviceTier) }
        }
    }

    /// What was read at the top and has no word of the model's.
    private static func writeRoot(_ conversation: Conversation, wantsStream: Bool, into out: inout JSONWriter) throws(Refusal) {
        guard conversation.source == .responses else { return }
        if !conversation.previousResponseID.isEmpty { out.member("previous_response_id", conversation.previousResponseID) }
        for extra in conversation.extras where extra.scope == .root || (extra.scope == .nested && extra.index == Conversation.hintIndex) {
            if extra.key.equals("stream"), wantsStream { continue }
            if extra.key.equals("background"), extra.value.equals("true") {
                try conversation.cannot(extra.key, "answers are not kept, so there would be nothing to poll: only false is possible")
                continue
            }
            out.key(extra.key)
            out.value(extra.value)
        }
    }

    // MARK: tools

    private static func writeTools(_ conversation: Conversation, _ quirks: Quirks, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == .responses
        if !conversation.tools.isEmpty, try has(.tools, conversation, quirks) {
            var cursor = ExtraCursor(.tool)
            out.key("tools")
            out.beginArray()
            for (index, tool) in conversation.tools.enumerated() {
                switch tool.kind {
                case .function:
                    out.beginObject()
                    out.member("type", "function")
                    out.member("name", tool.name)
                    out.member(ifPresent: "description", tool.description)
                    if tool.schema.exists {
                        out.member("parameters", raw: tool.schema)
                    } else if !isOwn {
                        // The member is required here.
                        out.member("parameters", raw: JSONBytes(#"{"type":"object","properties":{}}"#))
                    }
                    if let strict = tool.strict ?? (isOwn ? nil : false) { out.member("strict", strict) }
                    if isOwn { cursor.write(index, of: conversation.extras, into: &out) }
                    out.endObject()
                    if tool.cache != .none { conversation.hint(.cacheControl) }
                case .custom where isOwn, .hosted where isOwn: out.value(tool.opaque)
                case .custom where conversation.source == .chat: try writeCustomTool(tool, conversation, into: &out)
                case .custom: try conversation.cannot(.customTools)
                case .hosted: try conversation.cannot(.hostedTools)
                }
            }
            out.endArray()
        }
        switch conversation.toolChoice {
        case .unset: break
        case .auto: out.member("tool_choice", "auto")
        case .none: out.member("tool_choice", "none")
        case .required: out.member("tool_choice", "required")
        case .tool(let name):
            let isCustom = conversation.tools.contains { $0.kind == .custom && $0.name.equals(name) }
            out.key("tool_choice")
            out.beginObject()
            out.member("type", isCustom ? "custom" : "function")
            out.member("name", name)
            out.endObject()
        }
        if let parallel = conversation.parallelToolCalls, try has(.parallelToolCalls, conversation, quirks) { out.member("parallel_tool_calls", parallel) }
    }

    /// The chat API's `{type, custom: {name, description, format: {type, grammar: {…}}}}`, which is flat here.
    private static func writeCustomTool(_ tool: Tool, _ conversation: Conversation, into out: inout JSONWriter) throws(Refusal) {
        guard conversation.arena.tape.read(tool.opaque.raw) == nil else { return try conversation.cannot(.customTools, "must be an object") }
        let custom = conversation.arena.tape.root["custom"]
        out.beginObject()
        out.member("type", "custom")
        for member in custom.members {
            out.key(member.key.text)
            let grammar = member.value["grammar"]
            guard member.key.equals("format"), grammar.isObject else { out.value(member.value.raw); continue }
            out.beginObject()
            out.member("type", "grammar")
            for inner in grammar.members {
                out.key(inner.key.text)
                out.value(inner.value.raw)
            }
            out.endObject()
        }
        out.endObject()
    }
}
