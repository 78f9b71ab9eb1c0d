// Writes the root of a chat request for a server with these quirks. A request that was read here keeps its forms and extras; one of another dialect is said
// in OpenAI's newest words. What the server lacks is refused (or dropped by name), values that are its default are just left out.
import ClawWire

extension ChatDialect {
    public static func writeRequest(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == id
        let quirks = target.quirks
        try conversation.refuseExtras(of: id)
        out.beginObject()
        out.member("model", target.model)
        out.key("messages")
        var writer = ChatMessageWriter(conversation, quirks)
        try writer.write(into: &out)
        try writeTools(conversation, quirks, isOwn: isOwn, into: &out)
        try writeShared(conversation, to: target, isOwn: isOwn, into: &out)
        if conversation.logprobs == true {
            if quirks.supports(.logprobs) { out.member("logprobs", true) } else { try conversation.cannot(.logprobs) }
        } else if conversation.logprobs == false, isOwn, quirks.supports(.logprobs) {
            out.member("logprobs", false)
        }
        if let top = conversation.topLogprobs {
            if quirks.supports(.topLogprobs) { out.member("top_logprobs", top) } else if top > 0 { try conversation.cannot(.topLogprobs) }
        }
        try writeFormat(conversation, quirks, isOwn: isOwn, into: &out)
        try writeReasoning(conversation, quirks, isOwn: isOwn, into: &out)
        try writeRaw("modalities", conversation.modalities, .modalities, conversation, quirks, into: &out)
        if isOwn, let form = form(of: "modalities", conversation), quirks.supports(.modalities) { out.member("modalities", raw: form) }
        try writeRaw("audio", conversation.audio, .audio, conversation, quirks, into: &out)
        try writeRaw("prediction", conversation.prediction, .prediction, conversation, quirks, into: &out)
        if conversation.verbosity.exists {
            if quirks.supports(.verbosity) { out.member("verbosity", conversation.verbosity) } else { try conversation.cannot(.verbosity) }
        }
        if conversation.cache != .none {
            if quirks.takesCacheMarks { writeCacheMark(conversation.cache, into: &out) } else { conversation.hint(.cacheControl) }
        }
        if conversation.previousResponseID.exists { try conversation.cannot(.previousResponseID) }
        writeRootExtras(conversation, quirks, isOwn: isOwn, into: &out)
        out.endObject()
    }

    /// The source's own wording of a root member.
    static func form(of key: StaticString, _ conversation: Conversation) -> JSONBytes? {
        for extra in conversation.extras where extra.index == Conversation.formIndex && extra.scope == .nested && extra.key.equals(key) { return extra.value }
        return nil
    }

    static func writeRootExtras(_ conversation: Conversation, _ quirks: Quirks, isOwn: Bool, into out: inout JSONWriter) {
        guard isOwn else { return }
        for extra in conversation.extras {
            if extra.scope == .root {
                write(extra, into: &out)
            } else if extra.scope == .nested, extra.index == Conversation.hintIndex {
                if quirks.hasNoHints { conversation.note(extra.key) } else { write(extra, into: &out) }
            }
        }
    }

    private static func writeRaw(
        _ key: StaticString, _ value: JSONBytes, _ field: Field, _ conversation: Conversation, _ quirks: Quirks, into out: inout JSONWriter
    ) throws(Refusal) {
        guard value.exists else { return }
        if quirks.supports(field) { out.member(key, raw: value) } else { try conversation.cannot(field) }
    }

    private static func isZero(_ number: JSONBytes) -> Bool { JSONNumber.parse(number.raw) == 0 }

    /// What chat and completions share.
    static func writeShared(_ conversation: Conversation, to target: Target, isOwn: Bool, into out: inout JSONWriter) throws(Refusal) {
        let quirks = target.quirks
        if let count = conversation.maxTokens {
            if !quirks.supports(.maxTokens) {
                try conversation.cannot(.maxTokens)
            } else if quirks.usesMaxTokens || conversation.source == .completions || (isOwn && form(of: "max_tokens", conversation) != nil) {
                out.member("max_tokens", count)
            } else {
                out.member("max_completion_tokens", count)
            }
        }
        try writeRaw("temperature", conversation.temperature, .temperature, conversation, quirks, into: &out)
        try writeRaw("top_p", conversation.topP, .topP, conversation, quirks, into: &out)
        if conversation.topK.exists {
            if isOwn || quirks.takesSamplers { out.member("top_k", raw: conversation.topK) } else { try conversation.cannot(.topK) }
        }
        if conversation.minP.exists {
            if isOwn || quirks.takesSamplers { out.member("min_p", raw: conversation.minP) } else { try conversation.cannot(.minP) }
        }
        if quirks.supports(.presencePenalty) || !isZero(conversation.presencePenalty) {
            try writeRaw("presence_penalty", conversation.presencePenalty, .presencePenalty, conversation, quirks, into: &out)
        }
        if quirks.supports(.frequencyPenalty) || !isZero(conversation.frequencyPenalty) {
            try writeRaw("frequency_penalty", conversation.frequencyPenalty, .frequencyPenalty, conversation, quirks, into: &out)
        }
        try writeRaw(quirks.usesRandomSeed ? "random_seed" : "seed", conversation.seed, .seed, conversation, quirks, into: &out)
        if let n = conversation.n {
            if quirks.supports(.n) { out.member("n", n) } else if n > 1 { try conversation.cannot(.n) }
        }
        if !conversation.stop.isEmpty {
            if !quirks.supports(.stop) {
                try conversation.cannot(.stop)
            } else if isOwn, let form = form(of: "stop", conversation) {
                out.member("stop", raw: form)
            } else {
                out.key("stop")
                out.beginArray()
                for word in conversation.stop { out.string(word) }
                out.endArray()
            }
        }
        try writeRaw("logit_bias", conversation.logitBias, .logitBias, conversation, quirks, into: &out)
        writeStream(conversation, to: target, isOwn: isOwn, into: &out)
        let speaksOpenAI = conversation.source == .chat || conversation.source == .responses || conversation.source == .completions
        if conversation.user.exists { if quirks.supports(.user) { out.member("user", conversation.user) } else { conversation.hint(.user) } }
        if conversation.metadata.exists {
            if quirks.supports(.metadata), speaksOpenAI { out.member("metadata", raw: conversation.metadata) } else { conversation.hint(.metadata) }
        }
        if conversation.serviceTier.exists {
            if quirks.supports(.serviceTier), speaksOpenAI { out.member("service_tier", conversation.serviceTier) } else { conversation.hint(.serviceTier) }
        }
        if let store = conversation.store { if quirks.supports(.store) { out.member("store", store) } else if store { conversation.hint(.store) } }
        if conversation.promptCacheKey.exists {
            if quirks.supports(.promptCacheKey) { out.member("prompt_cache_key", conversation.promptCacheKey) } else { conversation.hint(.promptCacheKey) }
        }
    }

    private static func writeStream(_ conversation: Conversation, to target: Target, isOwn: Bool, into out: inout JSONWriter) {
        guard target.wantsStream else {
            if isOwn, let form = form(of: "stream", conversation) { out.member("stream", raw: form.equals("true") ? JSONBytes("false") : form) }
            return
        }
        out.member("stream", true)
        if conversation.continuesAnswer, target.quirks.asksToContinue {
            out.member("add_generation_prompt", false)
            out.member("continue_final_message", true)
        }
        let asks = conversation.includesUsage || target.asksUsage
        let hasOptions = isOwn && form(of: "stream_options", conversation) != nil
        guard asks || hasOptions else { return }
        if target.quirks.hasNoStreamOptions {
            // Who has no such options states the usage in any case.
            let hasMore = conversation.extras.contains { $0.scope == .nested && $0.index == streamOptionsIndex }
            if hasOptions, hasMore { conversation.note(JSONBytes("stream_options")) }
            return
        }
        out.key("stream_options")
        out.beginObject()
        if asks { out.member("include_usage", true) } else if hasOptions { out.member("include_usage", false) }
        if isOwn {
            for extra in conversation.extras where extra.scope == .nested && extra.index == streamOptionsIndex { write(extra, into: &out) }
        }
        out.endObject()
    }

    // MARK: tools

    private static func writeTools(_ conversation: Conversation, _ quirks: Quirks, isOwn: Bool, into out: inout JSONWriter) throws(Refusal) {
        if !conversation.tools.isEmpty {
            if !quirks.supports(.tools) {
                try conversation.cannot(.tools)
            } else if isOwn, let form = form(of: "functions", conversation) {
                out.member("functions", raw: form)
                if conversation.tools.contains(where: { $0.opaque.exists }) { try writeToolList(conversation, quirks, isOwn: true, into: &out) }
            } else {
                try writeToolList(conversation, quirks, isOwn: isOwn, into: &out)
            }
        }
        guard quirks.supports(.tools), isOwn || !conversation.tools.isEmpty else { return }
        if let parallel = conversation.parallelToolCalls {
            // True is what everybody does anyway.
            if quirks.supports(.parallelToolCalls) { out.member("parallel_tool_calls", parallel) } else if !parallel { try conversation.cannot(.parallelToolCalls) }
        }
        if isOwn, let form = form(of: "function_call", conversation) {
            out.member("function_call", raw: form)
            return
        }
        if isOwn, conversation.extras.contains(where: { $0.scope == .root && $0.key.equals("tool_choice") }) { return }
        if !quirks.supports(.toolChoice) {
            switch conversation.toolChoice {
            case .unset, .auto: return
            case .none, .required, .tool: return try conversation.cannot(.toolChoice)
            }
        }
        switch conversation.toolChoice {
        case .unset: break
        case .auto: out.member("tool_choice", "auto")
        case .none: out.member("tool_choice", "none")
        case .required:
            if isOwn, let form = form(of: "tool_choice", conversation) {
                out.member("tool_choice", raw: form)
            } else {
                out.member("tool_choice", quirks.saysAny ? "any" : "required")
            }
        case .tool(let name):
            if isOwn, let form = form(of: "tool_choice", conversation) { return out.member("tool_choice", raw: form) }
            let isCustom = conversation.tools.contains { $0.kind == .custom && $0.name.equals(name) }
            out.key("tool_choice")
            out.beginObject()
            out.member("type", isCustom ? "custom" : "function")
            out.key(isCustom ? "custom" : "function")
            out.beginObject()
            out.member("name", name)
            out.endObject()
            out.endObject()
        }
    }

    private static func writeToolList(_ conversation: Conversation, _ quirks: Quirks, isOwn: Bool, into out: inout JSONWriter) throws(Refusal) {
        let start = out.count
        out.key("tools")
        out.beginArray()
        var count = 0
        for tool in conversation.tools {
            if isOwn, !tool.opaque.exists { continue }
            if tool.kind == .hosted, !isOwn {
                try conversation.cannot(.hostedTools)
                continue
            }
            if tool.kind == .custom, !quirks.supports(.customTools) {
                try conversation.cannot(.customTools)
                continue
            }
            if tool.strict == true, !quirks.supports(.strict) { try conversation.cannot(.strict) }
            count += 1
            let dropsMark = tool.cache != .none && !quirks.takesCacheMarks && !(isOwn && quirks.supports(.cacheControl))
            if dropsMark { conversation.hint(.cacheControl) }
            if isOwn, !dropsMark, tool.strict != true || quirks.supports(.strict) {
                out.value(tool.opaque)
                continue
            }
            out.beginObject()
            if tool.kind == .custom {
                writeCustom(tool, conversation, into: &out)
            } else {
                out.member("type", "function")
                out.key("function")
                out.beginObject()
                out.member("name", tool.name)
                out.member(ifPresent: "description", tool.description)
                // A tool without arguments may leave its schema out at OpenAI; not everywhere.
                out.member("parameters", raw: tool.schema.exists ? tool.schema : JSONBytes(#"{"type":"object","properties":{}}"#))
                if let strict = tool.strict, quirks.supports(.strict) { out.member("strict", strict) }
                out.endObject()
            }
            if tool.cache != .none, !dropsMark { writeCacheMark(tool.cache, into: &out) }
            out.endObject()
        }
        out.endArray()
        // Nothing may be left of them: an empty list is refused.
        if count == 0 { out.truncate(to: start) }
    }

    /// A tool that takes text, from its flat definition in the Responses API.
    private static func writeCustom(_ tool: Tool, _ conversation: Conversation, into out: inout JSONWriter) {
        out.member("type", "custom")
        out.key("custom")
        out.beginObject()
        out.member("name", tool.name)
        if !tool.description.isEmpty { out.member("description", tool.description) }
        if conversation.arena.tape.read(tool.opaque.raw) == nil {
            let root = conversation.arena.tape.root
            let format = root["custom"].isObject ? root["custom"]["format"] : root["format"]
            if format["type"].equals("grammar"), !format["grammar"].exists {
                out.key("format")
                out.beginObject()
                out.member("type", "grammar")
                out.key("grammar")
                out.beginObject()
                out.member(ifPresent: "syntax", raw: format["syntax"].raw)
                out.member(ifPresent: "definition", raw: format["definition"].raw)
                out.endObject()
                out.endObject()
            } else if format.isPresent {
                out.member("format", raw: format.raw)
            }
        }
        out.endObject()
    }

    // MARK: form of the answer, thinking

    private static func writeFormat(_ conversation: Conversation, _ quirks: Quirks, isOwn: Bool, into out: inout JSONWriter) throws(Refusal) {
        let format = conversation.format
        if format.kind == .unset { return }
        if !quirks.supports(.responseFormat) {
            if format.kind != .text { try conversation.cannot(.responseFormat) }
            return
        }
        let asObject = format.kind == .jsonSchema && quirks.hasNoSchemas
        if isOwn, !asObject, let form = form(of: "response_format", conversation) { return out.member("response_format", raw: form) }
        out.key("response_format")
        out.beginObject()
        switch format.kind {
        case .unset, .text: out.member("type", "text")
        case .jsonObject: out.member("type", "json_object")
        case .jsonSchema where asObject: out.member("type", "json_object")
        case .jsonSchema:
            out.member("type", "json_schema")
            out.key("json_schema")
            out.beginObject()
            out.member("name", format.name.isEmpty ? JSONBytes("response") : format.name)
            out.member(ifPresent: "description", format.description)
            out.member("schema", raw: format.schema)
            if let strict = format.strict { out.member("strict", strict) }
            out.endObject()
        }
        out.endObject()
    }

    private static func writeReasoning(_ conversation: Conversation, _ quirks: Quirks, isOwn: Bool, into out: inout JSONWriter) throws(Refusal) {
        let reasoning = conversation.reasoning
        if isOwn, quirks.takesReasoningObject, let form = form(of: "reasoning", conversation) { out.member("reasoning", raw: form) }
        if isOwn, quirks.takesThinkingSwitch, let form = form(of: "thinking", conversation) { out.member("thinking", raw: form) }
        let saidAsObject = isOwn && quirks.takesReasoningObject && form(of: "reasoning", conversation) != nil
        let saidAsSwitch = isOwn && quirks.takesThinkingSwitch && form(of: "thinking", conversation) != nil
        if saidAsObject || !reasoning.isSet { return }
        var effort = reasoning.effort
        if effort == .unset, let budget = reasoning.budget, !saidAsSwitch {
            if quirks.takesReasoningObject, budget > 0 {
                out.key("reasoning")
                out.beginObject()
                out.member("max_tokens", budget)
                out.endObject()
                return
            }
            if budget >= 0 { effort = Reasoning.Effort(budget: budget) }
        }
        if quirks.takesThinkingSwitch, !saidAsSwitch, effort == .unset || effort == .none || !quirks.supports(.reasoning) {
            let isOn = reasoning.isEnabled ?? (effort == .unset ? true : effort != .none)
            out.key("thinking")
            out.beginObject()
            out.member("type", isOn ? "enabled" : "disabled")
            out.endObject()
            if !isOn { return }
        }
        // Nothing is said of how much: thinking, or not, is then the model's own choice.
        if effort == .unset {
            if reasoning.isEnabled == false, !quirks.takesThinkingSwitch { conversation.hint(.reasoning) }
            return
        }
        if !quirks.supports(.reasoning) {
            if !quirks.takesThinkingSwitch, effort != .none { try conversation.cannot(.reasoning) }
            return
        }
        if quirks.hasThreeEfforts {
            switch effort {
            case .minimal: effort = .low
            case .xhigh, .max: effort = .high
            case .unset, .none, .low, .medium, .high: break
            }
        }
        if quirks.takesReasoningObject, !isOwn {
            out.key("reasoning")
            out.beginObject()
            out.member("effort", effort.word)
            out.endObject()
        } else {
            out.member("reasoning_effort", effort.word)
        }
    }
}
