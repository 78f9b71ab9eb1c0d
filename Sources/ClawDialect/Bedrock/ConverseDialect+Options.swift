// What stands beside the messages of a Converse request: instructions, tools, and options by Converse's names or by the names of the model's maker.
import ClawWire

extension ConverseDialect {
    // MARK: instructions

    static func writeSystem(_ conversation: Conversation, _ model: BedrockModel, _ target: Target, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == .converse
        let start = out.count
        out.key("system")
        out.beginArray()
        let first = out.count
        for message in conversation.messages where message.role == .system || (message.role == .developer && !isOwn) {
            if message.name.exists, !isOwn { try conversation.cannot(.name) }
            for index in message.parts {
                let part = conversation.parts[index]
                if part.kind == .opaque, isOwn {
                    out.value(part.json)
                } else if part.kind == .text {
                    if !isOwn, isBlank(part.text) { continue }
                    writeText(part.text, into: &out)
                } else {
                    try conversation.cannot(.systemRole, "instructions must be text for this upstream")
                    continue
                }
                if part.cache != .none, isOwn || model.hasCache {
                    out.beginObject()
                    out.key("cachePoint")
                    out.beginObject()
                    out.member("type", "default")
                    if part.cache == .oneHour, isOwn || model.hasHourCache { out.member("ttl", "1h") }
                    out.endObject()
                    out.endObject()
                } else if part.cache != .none {
                    conversation.hint(.cacheControl)
                }
            }
        }
        if !isOwn {
            writeFormatInstruction(conversation, model, target, into: &out)
            if forbidsTools(conversation) { writeText(JSONBytes("Do not use any tool. Answer with text."), into: &out) }
        }
        let isEmpty = out.count == first
        out.endArray()
        if isEmpty { out.truncate(to: start) }
    }

    /// The history has tool blocks, so tools must be declared (Bedrock), but the model shall not use them.
    private static func forbidsTools(_ conversation: Conversation) -> Bool {
        guard hasToolBlocks(conversation) else { return false }
        if case .none = conversation.toolChoice { return true }
        return conversation.tools.isEmpty
    }

    private static func hasToolBlocks(_ conversation: Conversation) -> Bool {
        conversation.parts.contains { ($0.kind == .toolCall && !$0.isCustom) || $0.kind == .toolResult }
    }

    /// Where the model has no schemas, it is asked for what the schema wants.
    private static func writeFormatInstruction(_ conversation: Conversation, _ model: BedrockModel, _ target: Target, into out: inout JSONWriter) {
        switch conversation.format.kind {
        case .unset, .text: return
        case .jsonSchema where model.hasSchemas && !target.quirks.hasNoSchemas: return
        case .jsonObject: writeText(JSONBytes("Answer with one JSON object and nothing else."), into: &out)
        case .jsonSchema:
            out.beginObject()
            out.key("text")
            let schema = conversation.arena.arena.escaped(conversation.format.schema.raw)
            let asked: StaticString = "Answer with one JSON object and nothing else. It must conform to this JSON Schema: "
            out.string(conversation.arena.arena.joined(JSONBytes(asked), schema))
            out.endObject()
        }
    }

    // MARK: tools

    static func writeToolConfig(_ conversation: Conversation, _ model: BedrockModel, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == .converse
        var isForbidden = false
        if !isOwn {
            // Checked here, so that nothing of them is lost where no tools are written.
            for tool in conversation.tools where tool.kind != .function { try conversation.cannot(tool.kind == .custom ? .customTools : .hostedTools) }
            isForbidden = forbidsTools(conversation)
            switch conversation.toolChoice {
            case .none where !isForbidden: return
            case .required, .tool:
                if !conversation.tools.contains(where: { $0.kind == .function }) {
                    try conversation.cannot(.toolChoice, "asks for a tool where there are none")
                }
            default: break
            }
        }
        let start = out.count
        out.key("toolConfig")
        out.beginObject()
        out.key("tools")
        out.beginArray()
        let first = out.count
        for (index, tool) in conversation.tools.enumerated() {
            if tool.kind == .function {
                writeTool(tool, index, of: conversation, model, into: &out)
            } else if isOwn {
                out.value(tool.opaque)
            } else {
                continue
            }
            guard tool.cache != .none else { continue }
            if isOwn || model.hasCache {
                out.beginObject()
                out.key("cachePoint")
                out.beginObject()
                out.member("type", "default")
                if tool.cache == .oneHour, isOwn || model.hasHourCache { out.member("ttl", "1h") }
                out.endObject()
                out.endObject()
            } else {
                conversation.hint(.cacheControl)
            }
        }
        if isForbidden, out.count == first { writeToolsOfHistory(conversation, into: &out) }
        let isEmpty = out.count == first
        out.endArray()
        if !isEmpty {
            switch conversation.toolChoice {
            case .unset where !isForbidden: break
            case .unset, .auto, .none: writeChoice("auto", JSONBytes(), into: &out)
            case .required: writeChoice(isForbidden ? "auto" : "any", JSONBytes(), into: &out)
            case .tool(let name): if isForbidden { writeChoice("auto", JSONBytes(), into: &out) } else { writeChoice("tool", name, into: &out) }
            }
            conversation.writeExtras(.nested, Nest.toolConfig, as: .converse, into: &out)
        }
        out.endObject()
        if isEmpty { out.truncate(to: start) }
    }

    private static func writeChoice(_ kind: StaticString, _ name: JSONBytes, into out: inout JSONWriter) {
        out.key("toolChoice")
        out.beginObject()
        out.key(kind)
        out.beginObject()
        out.member(ifPresent: "name", name)
        out.endObject()
        out.endObject()
    }

    private static func writeTool(_ tool: Tool, _ index: Int, of conversation: Conversation, _ model: BedrockModel, into out: inout JSONWriter) {
        out.beginObject()
        out.key("toolSpec")
        out.beginObject()
        out.member("name", tool.name)
        if !tool.description.isEmpty { out.member("description", tool.description) }
        out.key("inputSchema")
        out.beginObject()
        out.member("json", raw: tool.schema.exists ? tool.schema : JSONBytes("{\"type\":\"object\",\"properties\":{}}"))
        out.endObject()
        if let strict = tool.strict {
            if conversation.source == .converse || (strict && model.hasSchemas) { out.member("strict", strict) } else if strict { conversation.hint(.strict) }
        }
        conversation.writeExtras(.tool, index, as: .converse, into: &out)
        out.endObject()
        out.endObject()
    }

    /// A tool for each name that was called, as far as the history knows.
    private static func writeToolsOfHistory(_ conversation: Conversation, into out: inout JSONWriter) {
        var count = 0
        for (index, part) in conversation.parts.enumerated() where part.kind == .toolCall && !part.isCustom {
            if conversation.parts[..<index].contains(where: { $0.kind == .toolCall && !$0.isCustom && $0.name.equals(part.name) }) { continue }
            guard count < 64 else { break }
            var tool = Tool()
            tool.name = part.name
            writeTool(tool, -1, of: conversation, BedrockModel(JSONBytes()), into: &out)
            count += 1
        }
        if count == 0 {
            var tool = Tool()
            tool.name = JSONBytes("tool")
            writeTool(tool, -1, of: conversation, BedrockModel(JSONBytes()), into: &out)
        }
    }

    // MARK: options by Converse's names

    /// False, and refused or noted, where the upstream's quirks say that it lacks the field.
    private static func has(_ field: Field, _ conversation: Conversation, _ target: Target) throws(Refusal) -> Bool {
        if target.quirks.supports(field) { return true }
        try conversation.cannot(field)
        return false
    }

    static func writeInferenceConfig(_ conversation: Conversation, _ model: BedrockModel, _ target: Target, into out: inout JSONWriter) throws(Refusal) {
        let start = out.count
        let isOwn = conversation.source == .converse
        out.key("inferenceConfig")
        out.beginObject()
        let first = out.count
        if let count = conversation.maxTokens, try has(.maxTokens, conversation, target) { out.member("maxTokens", count) }
        if conversation.temperature.exists, !conversation.temperature.equals("null"), try has(.temperature, conversation, target) {
            let value = JSONNumber.parse(conversation.temperature.raw) ?? 0
            if !isOwn, model.maker == .claude, value != 1, thinks(conversation, model) {
                try conversation.cannot(.temperature, "must be 1 or absent where the model thinks")
            } else if value > 1, !isOwn {
                try conversation.cannot(.temperature, "must be at most 1 for this upstream")
                out.member("temperature", Int64(1))
            } else {
                out.member("temperature", raw: conversation.temperature)
            }
        }
        if conversation.topP.exists, !conversation.topP.equals("null"), try has(.topP, conversation, target) { out.member("topP", raw: conversation.topP) }
        if !conversation.stop.isEmpty, try has(.stop, conversation, target) {
            out.key("stopSequences")
            out.beginArray()
            for text in conversation.stop { out.string(text) }
            out.endArray()
        }
        conversation.writeExtras(.nested, Nest.inferenceConfig, as: .converse, into: &out)
        let isEmpty = out.count == first
        out.endObject()
        if isEmpty { out.truncate(to: start) }
    }

    static func writeOutputConfig(_ conversation: Conversation, _ model: BedrockModel, _ target: Target, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == .converse
        let format = conversation.format
        let start = out.count
        out.key("outputConfig")
        out.beginObject()
        let first = out.count
        if format.kind == .jsonSchema, isOwn || (model.hasSchemas && !target.quirks.hasNoSchemas) {
            out.key("textFormat")
            out.beginObject()
            out.member("type", "json_schema")
            out.key("structure")
            out.beginObject()
            out.key("jsonSchema")
            out.beginObject()
            // The schema travels as a string.
            out.key("schema")
            out.string(escaping: format.schema.exists ? format.schema.raw : JSONBytes("{}").raw)
            if !format.name.isEmpty { out.member("name", format.name) }
            if !format.description.isEmpty { out.member("description", format.description) }
            out.endObject()
            out.endObject()
            out.endObject()
        }
        if isOwn, conversation.reasoning.effort != .unset {
            out.member("effort", conversation.reasoning.effort.word)
        } else if !isOwn, model.thinksAdaptively, thinks(conversation, model), let word = effortWord(conversation, model) {
            out.member("effort", word)
        }
        let isEmpty = out.count == first
        out.endObject()
        if isEmpty { out.truncate(to: start) }
    }

    static func writeServiceTier(_ conversation: Conversation, into out: inout JSONWriter) {
        let tier = conversation.serviceTier
        guard tier.exists else { return }
        if conversation.source != .converse {
            if tier.equals("auto") || tier.equals("default") || tier.equals("standard_only") { return }
            guard tier.equals("priority") || tier.equals("flex") || tier.equals("reserved") else { return conversation.hint(.serviceTier) }
        }
        out.key("serviceTier")
        out.beginObject()
        out.member("type", tier)
        out.endObject()
    }

    // MARK: options by the maker's names

    /// The model is asked to think, in whatever words.
    private static func thinks(_ conversation: Conversation, _ model: BedrockModel) -> Bool {
        let reasoning = conversation.reasoning
        if reasoning.isEnabled == false || reasoning.effort == .none || reasoning.budget == 0 { return false }
        return reasoning.isSet
    }

    private static func level(_ reasoning: Reasoning) -> Reasoning.Effort {
        if reasoning.effort != .unset { return reasoning.effort }
        if let budget = reasoning.budget, budget > 0 { return Reasoning.Effort(budget: budget) }
        return .unset
    }

    /// Claude's words are low, medium, high, and from 4.6 on max, from 4.7 on xhigh.
    private static func effortWord(_ conversation: Conversation, _ model: BedrockModel) -> StaticString? {
        switch level(conversation.reasoning) {
        case .unset, .none: nil
        case .minimal, .low: "low"
        case .medium: "medium"
        case .high: "high"
        case .xhigh: model.version >= 407 ? "xhigh" : "high"
        case .max: "max"
        }
    }

    static func writeAdditional(_ conversation: Conversation, _ model: BedrockModel, _ target: Target, into out: inout JSONWriter) throws(Refusal) {
        let start = out.count
        out.key("additionalModelRequestFields")
        out.beginObject()
        let first = out.count
        if conversation.topK.exists, !conversation.topK.equals("null"), try has(.topK, conversation, target) {
            switch model.maker {
            case .claude where thinks(conversation, model): try conversation.cannot(.topK, "must be absent where the model thinks")
            case .claude, .mistral: out.member("top_k", raw: conversation.topK)
            case .cohere: out.member("k", raw: conversation.topK)
            case .nova:
                out.key("inferenceConfig")
                out.beginObject()
                out.member("topK", raw: conversation.topK)
                out.endObject()
            case .titan, .llama, .ai21, .gptOSS, .unknown: try conversation.cannot(.topK)
            }
        }
        if conversation.reasoning.isSet, try has(.reasoning, conversation, target) { try writeReasoning(conversation, model, into: &out) }
        let isEmpty = out.count == first
        out.endObject()
        if isEmpty { out.truncate(to: start) }
    }

    private static func writeReasoning(_ conversation: Conversation, _ model: BedrockModel, into out: inout JSONWriter) throws(Refusal) {
        let reasoning = conversation.reasoning
        let isWanted = thinks(conversation, model)
        switch model.maker {
        case .claude:
            guard isWanted else {
                // Off is what it is unless asked.
                if model.version >= 307 { writeThinking("disabled", nil, into: &out) }
                return
            }
            if model.thinksAdaptively, reasoning.budget == nil || !model.thinksByBudget { return writeThinking("adaptive", nil, into: &out) }
            guard model.thinksByBudget else { return try conversation.cannot(.reasoning, "this model does not think") }
            let effort = level(reasoning)
            let stated = reasoning.budget.map { $0 > 0 ? $0 : Reasoning.Effort.medium.budget }
            var budget = max(1024, stated ?? (effort == .unset ? Reasoning.Effort.medium : effort).budget)
            // Thinking is part of the answer's tokens and must leave some.
            if let count = conversation.maxTokens {
                guard count > 1024 else { return try conversation.cannot(.reasoning, "needs an answer of more than 1024 tokens (max_tokens) to think in") }
                budget = min(budget, count - 1)
            }
            writeThinking("enabled", budget, into: &out)
        case .nova:
            guard model.version >= 200 else {
                if isWanted { try conversation.cannot(.reasoning, "this model does not think") }
                return
            }
            out.key("reasoningConfig")
            out.beginObject()
            out.member("type", isWanted ? "enabled" : "disabled")
            if isWanted {
                switch level(reasoning) {
                case .none, .minimal, .low: out.member("maxReasoningEffort", "low")
                case .unset, .medium: out.member("maxReasoningEffort", "medium")
                case .high, .xhigh, .max: out.member("maxReasoningEffort", "high")
                }
            }
            out.endObject()
        case .gptOSS:
            guard isWanted else { return try conversation.cannot(.reasoning, "this model always thinks") }
            switch level(reasoning) {
            case .none, .minimal, .low: out.member("reasoning_effort", "low")
            case .unset, .medium: out.member("reasoning_effort", "medium")
            case .high, .xhigh, .max: out.member("reasoning_effort", "high")
            }
        case .titan, .llama, .mistral, .cohere, .ai21, .unknown:
            if isWanted { try conversation.cannot(.reasoning, "this model has no such option that is known here") }
        }
    }

    private static func writeThinking(_ type: StaticString, _ budget: Int64?, into out: inout JSONWriter) {
        out.key("thinking")
        out.beginObject()
        out.member("type", type)
        if let budget { out.member("budget_tokens", budget) }
        out.endObject()
    }

    // MARK: what Converse has no word for

    static func refuseTheRest(_ conversation: Conversation, _ model: BedrockModel, _ target: Target) throws(Refusal) {
        func isSet(_ number: JSONBytes) -> Bool { number.exists && !number.equals("null") && JSONNumber.parse(number.raw) != 0 }
        if let n = conversation.n, n != 1 { try conversation.cannot(.n) }
        if conversation.seed.exists, !conversation.seed.equals("null") { try conversation.cannot(.seed) }
        if isSet(conversation.minP) { try conversation.cannot(.minP) }
        if isSet(conversation.presencePenalty) { try conversation.cannot(.presencePenalty) }
        if isSet(conversation.frequencyPenalty) { try conversation.cannot(.frequencyPenalty) }
        if conversation.logprobs == true { try conversation.cannot(.logprobs) }
        if let count = conversation.topLogprobs, count > 0 { try conversation.cannot(.topLogprobs) }
        if conversation.logitBias.exists, !["null", "{}"].contains(where: { conversation.logitBias.equals($0) }) { try conversation.cannot(.logitBias) }
        if conversation.parallelToolCalls == false, !conversation.tools.isEmpty { try conversation.cannot(.parallelToolCalls) }
        if conversation.modalities.exists, !["null", "[\"text\"]"].contains(where: { conversation.modalities.equals($0) }) {
            try conversation.cannot(.modalities)
        }
        if conversation.audio.exists, !conversation.audio.equals("null") { try conversation.cannot(.audio) }
        if conversation.prediction.exists, !conversation.prediction.equals("null") { try conversation.cannot(.prediction) }
        if conversation.verbosity.exists, !conversation.verbosity.isEmpty { try conversation.cannot(.verbosity) }
        if !conversation.previousResponseID.isEmpty { try conversation.cannot(.previousResponseID) }
        if conversation.user.exists { conversation.hint(.user) }
        if conversation.metadata.exists { conversation.hint(.metadata) }
        if conversation.store == true { conversation.hint(.store) }
        if conversation.promptCacheKey.exists { conversation.hint(.promptCacheKey) }
    }
}
