// Writes a request: what stands around the messages. The turns are in MessagesDialect+Turns, how much the model shall think in ThinkingPlan.
//
// What is missing here and has influence on the answer is refused (`cannot`): several answers, seeds, penalties, log probabilities. What is different:
// `max_tokens`, which must be there, is min(4096, the model's most) unless the client said something, and more where thinking counts into it;
// temperatures beyond 1 become 1; a format `json_object`, and a schema for a model without structured outputs, become a sentence in the instructions.
import ClawWire

extension MessagesDialect {
    static let answerTokens: Int64 = 4096
    private static let instruction: StaticString =
        "Answer with one JSON object and nothing else: no prose around it, no code fence."
    private static let schemaInstruction: StaticString =
        "Answer with one JSON value that this JSON Schema accepts and nothing else: no prose around it, no code fence. The schema: "

    public static func writeRequest(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == .messages
        let model = ClaudeModel(target.model)
        try conversation.refuseExtras(of: .messages)
        if !isOwn { try refuseForeign(conversation) }
        var plan = isOwn ? ThinkingPlan() : try ThinkingPlan(conversation, model)
        let maxTokens = isOwn ? conversation.maxTokens ?? answerTokens : plan.room(conversation, target)

        out.beginObject()
        switch target.quirks.claudeHost {
        case .anthropic: out.member("model", target.model)
        case .bedrock: out.member("anthropic_version", "bedrock-2023-05-31")
        case .vertex: out.member("anthropic_version", "vertex-2023-10-16")
        }
        out.member("max_tokens", maxTokens)
        try writePrompt(conversation, plan, model, target, into: &out)
        try writeSampling(conversation, plan, model, into: &out)
        if !conversation.stop.isEmpty { try writeStop(conversation, isOwn: isOwn, into: &out) }
        writeAccount(conversation, isOwn: isOwn, into: &out)
        if target.wantsStream, target.quirks.claudeHost != .bedrock { out.member("stream", true) }
        conversation.writeExtras(.root, 0, as: .messages, into: &out)
        if isOwn { writeHints(conversation, target, into: &out) }
        out.endObject()
    }

    /// What of a request counts: all but what only steers how the answer is made, which the endpoint refuses.
    public static func writeCount(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        let model = ClaudeModel(target.model)
        try conversation.refuseExtras(of: .messages)
        let plan = conversation.source == .messages ? ThinkingPlan() : try ThinkingPlan(conversation, model)
        out.beginObject()
        out.member("model", target.model)
        try writePrompt(conversation, plan, model, target, into: &out)
        conversation.writeExtras(.root, 0, as: .messages, into: &out)
        out.endObject()
    }

    /// Instructions, turns, tools, thinking, format.
    private static func writePrompt(
        _ conversation: Conversation, _ plan: ThinkingPlan, _ model: ClaudeModel, _ target: Target, into out: inout JSONWriter
    ) throws(Refusal) {
        let isOwn = conversation.source == .messages
        var asText = JSONBytes()
        let hasSchemas = isOwn || model.hasSchemas && !target.quirks.hasNoSchemas
        switch conversation.format.kind {
        case .unset, .text: break
        case .jsonObject: asText = JSONBytes(instruction)
        case .jsonSchema:
            if !conversation.format.schema.exists {
                asText = JSONBytes(instruction)
            } else if !hasSchemas {
                let schema = conversation.arena.arena.escaped(conversation.format.schema.raw)
                asText = conversation.arena.arena.joined(JSONBytes(schemaInstruction), schema)
            }
            if !isOwn, conversation.format.description.exists { conversation.hint(.responseFormat) }
        }
        let extras = PlacedExtras(conversation)
        try writeSystem(conversation, extras, adding: asText, into: &out)
        try writeTurns(conversation, extras, into: &out)
        try writeTools(conversation, extras, model, into: &out)
        writeThinking(conversation, plan, hasFormat: conversation.format.kind == .jsonSchema && !asText.exists, into: &out)
        if conversation.cache != .none { writeCache(conversation.cache, into: &out) }
    }

    // MARK: what has no place

    private static func refuseForeign(_ conversation: Conversation) throws(Refusal) {
        if let n = conversation.n, n != 1 { try conversation.cannot(.n, "this upstream gives one answer") }
        if conversation.seed.exists { try conversation.cannot(.seed) }
        if !isZero(conversation.presencePenalty) { try conversation.cannot(.presencePenalty) }
        if !isZero(conversation.frequencyPenalty) { try conversation.cannot(.frequencyPenalty) }
        if !isZero(conversation.minP) { try conversation.cannot(.minP) }
        if conversation.logprobs == true { try conversation.cannot(.logprobs) }
        if let top = conversation.topLogprobs, top > 0 { try conversation.cannot(.topLogprobs) }
        if conversation.logitBias.exists, !isEmptyObject(conversation.logitBias) { try conversation.cannot(.logitBias) }
        if conversation.modalities.exists, conversation.modalities.contains("\"audio\"") || conversation.modalities.contains("\"image\"") {
            try conversation.cannot(.modalities)
        }
        if conversation.audio.exists { try conversation.cannot(.audio) }
        if conversation.verbosity.exists, !conversation.verbosity.equals("medium") {
            try conversation.cannot(.verbosity)
        }
        if conversation.previousResponseID.exists { try conversation.cannot(.previousResponseID) }
        // A prediction makes the answer come faster, not different.
        if conversation.prediction.exists { conversation.hint(.prediction) }
        if conversation.store == true { conversation.hint(.store) }
        if conversation.promptCacheKey.exists { conversation.hint(.promptCacheKey) }
        if conversation.metadata.exists, !isEmptyObject(conversation.metadata) { conversation.hint(.metadata) }
    }

    private static func isZero(_ number: JSONBytes) -> Bool { !number.exists || (JSONNumber.parse(number.raw) ?? 0) == 0 }
    private static func isEmptyObject(_ raw: JSONBytes) -> Bool { !raw.raw.contains { $0 != 0x7B && $0 != 0x7D && $0 > 0x20 } }

    // MARK: instructions

    /// The instructions before the first turn; of another dialect also those between turns, in their order (no turn can hold them).
    private static func writeSystem(
        _ conversation: Conversation, _ extras: PlacedExtras, adding last: JSONBytes, into out: inout JSONWriter
    ) throws(Refusal) {
        let isOwn = conversation.source == .messages
        var count = last.exists ? 1 : 0
        var only = last.exists ? -1 : 0
        for message in conversation.messages {
            guard isInstruction(message) else {
                if isOwn { break }
                continue
            }
            for at in message.parts {
                let part = conversation.parts[at]
                guard part.kind == .text || part.kind == .refusal else {
                    try conversation.cannot(.systemRole, "instructions can be text only")
                    continue
                }
                if !isOwn, isBlank(part.text) { continue }
                count += 1
                only = at
            }
        }
        if count == 0 { return }
        out.key("system")
        if count == 1 {
            if only < 0 { return out.string(last) }
            if isBare(conversation, extras, only) { return out.string(conversation.parts[only].text) }
        }
        out.beginArray()
        for message in conversation.messages {
            guard isInstruction(message) else {
                if isOwn { break }
                continue
            }
            for at in message.parts where conversation.parts[at].kind == .text || conversation.parts[at].kind == .refusal {
                if isOwn || !isBlank(conversation.parts[at].text) { writeText(conversation.parts[at], conversation, extras, .part, at, into: &out) }
            }
        }
        if last.exists { writeText(.text(last), conversation, extras, .part, -1, into: &out) }
        out.endArray()
    }

    static func isInstruction(_ message: Message) -> Bool { message.role == .system || message.role == .developer }

    // MARK: tools

    private static func writeTools(
        _ conversation: Conversation, _ extras: PlacedExtras, _ model: ClaudeModel, into out: inout JSONWriter
    ) throws(Refusal) {
        let isOwn = conversation.source == .messages
        if conversation.tools.isEmpty {
            if isOwn { writeToolChoice(conversation, isOwn: true, into: &out) } else { writeUsedTools(conversation, into: &out) }
            return
        }
        var count = 0
        for index in conversation.tools.indices {
            let tool = conversation.tools[index]
            switch tool.kind {
            case .custom:
                try conversation.cannot(.customTools, "this upstream's tools take an object")
                continue
            case .hosted where !isOwn:
                try conversation.cannot(.hostedTools, "this upstream does not run that tool")
                continue
            case .hosted, .function: break
            }
            if count == 0 {
                out.key("tools")
                out.beginArray()
            }
            count += 1
            if tool.kind == .hosted {
                out.value(tool.opaque)
                continue
            }
            out.beginObject()
            out.member("name", tool.name)
            out.member(ifPresent: "description", tool.description)
            out.key("input_schema")
            writeSchema(tool.schema, conversation, isOwn: isOwn, into: &out)
            if let strict = tool.strict, strict || isOwn {
                if isOwn || model.hasSchemas { out.member("strict", strict) } else { conversation.hint(.strict) }
            }
            if tool.cache != .none { writeCache(tool.cache, into: &out) }
            extras.write(.tool, index, into: &out)
            out.endObject()
        }
        guard count > 0 else { return }
        out.endArray()
        writeToolChoice(conversation, isOwn: isOwn, into: &out)
    }

    /// The API wants `tools` wherever a turn has calls in it, and clients leave them out of the last request to get a text: then those that were called
    /// are named, and not to be used.
    private static func writeUsedTools(_ conversation: Conversation, into out: inout JSONWriter) {
        let namedMax = 128
        var names: [JSONBytes] = []
        for part in conversation.parts where part.kind == .toolCall && names.count < namedMax {
            if !names.contains(where: { $0.equals(part.name) }) { names.append(part.name) }
        }
        if names.isEmpty { return }
        out.key("tools")
        out.beginArray()
        for name in names {
            out.beginObject()
            out.member("name", name)
            out.key("input_schema")
            writeSchema(JSONBytes(), conversation, isOwn: false, into: &out)
            out.endObject()
        }
        out.endArray()
        out.key("tool_choice")
        out.beginObject()
        out.member("type", "none")
        out.endObject()
    }

    /// `type: object` is wanted at the top of a schema, which others take for granted.
    private static func writeSchema(_ schema: JSONBytes, _ conversation: Conversation, isOwn: Bool, into out: inout JSONWriter) {
        if isOwn { return out.value(schema) }
        guard schema.exists, conversation.arena.tape.read(schema.raw) == nil, conversation.arena.tape.root.isObject,
            conversation.arena.tape.root.members.contains(where: { _ in true })
        else { return out.value(JSONBytes("{\"type\":\"object\",\"properties\":{}}")) }
        let root = conversation.arena.tape.root
        if root["type"].exists { return out.value(schema) }
        out.beginObject()
        out.member("type", "object")
        for member in root.members {
            out.key(member.key.text)
            out.value(member.value.raw)
        }
        out.endObject()
    }

    private static func writeToolChoice(_ conversation: Conversation, isOwn: Bool, into out: inout JSONWriter) {
        var isNone = false
        switch conversation.toolChoice {
        case .unset:
            // Calls one at a time are a property of the choice.
            if conversation.parallelToolCalls != false { return }
            out.key("tool_choice")
            out.beginObject()
            out.member("type", "auto")
        case .auto:
            out.key("tool_choice")
            out.beginObject()
            out.member("type", "auto")
        case .required:
            out.key("tool_choice")
            out.beginObject()
            out.member("type", "any")
        case .none:
            out.key("tool_choice")
            out.beginObject()
            out.member("type", "none")
            isNone = true
        case .tool(let name):
            out.key("tool_choice")
            out.beginObject()
            out.member("type", "tool")
            out.member("name", name)
        }
        if let parallel = conversation.parallelToolCalls, isOwn || !parallel && !isNone { out.member("disable_parallel_tool_use", !parallel) }
        conversation.writeExtras(.nested, Nested.toolChoice, as: .messages, into: &out)
        out.endObject()
    }

    // MARK: thinking and format

    private static func writeThinking(_ conversation: Conversation, _ plan: ThinkingPlan, hasFormat: Bool, into out: inout JSONWriter) {
        let isOwn = conversation.source == .messages
        let reasoning = conversation.reasoning
        let mode = isOwn ? ThinkingPlan.asSaid(reasoning) : plan.mode
        let budget = isOwn ? reasoning.budget ?? 0 : plan.budget
        let effort = isOwn ? reasoning.effort : plan.effort
        if mode != .absent {
            out.key("thinking")
            out.beginObject()
            switch mode {
            case .absent: break
            case .disabled: out.member("type", "disabled")
            case .adaptive: out.member("type", "adaptive")
            case .budget:
                out.member("type", "enabled")
                out.member("budget_tokens", budget)
            }
            if mode != .disabled, let shows = reasoning.includesThoughts { out.member("display", shows ? "summarized" : "omitted") }
            conversation.writeExtras(.nested, Nested.thinking, as: .messages, into: &out)
            out.endObject()
        }
        let hasMore = isOwn && conversation.extras.contains { $0.scope == .nested && $0.index == Nested.outputConfig }
        guard effort != .unset || hasFormat || hasMore else { return }
        out.key("output_config")
        out.beginObject()
        if effort != .unset { out.member("effort", effort.word) }
        if hasFormat {
            out.key("format")
            out.beginObject()
            out.member("type", "json_schema")
            out.member("schema", raw: conversation.format.schema)
            out.endObject()
        }
        conversation.writeExtras(.nested, Nested.outputConfig, as: .messages, into: &out)
        out.endObject()
    }

    // MARK: sampling

    private static func writeSampling(
        _ conversation: Conversation, _ plan: ThinkingPlan, _ model: ClaudeModel, into out: inout JSONWriter
    ) throws(Refusal) {
        if conversation.source == .messages {
            out.member(ifPresent: "temperature", raw: conversation.temperature)
            out.member(ifPresent: "top_p", raw: conversation.topP)
            out.member(ifPresent: "top_k", raw: conversation.topK)
            return
        }
        var hasTemperature = false
        if let temperature = number(conversation.temperature) {
            if plan.isOn {
                if temperature != 1 { conversation.hint(.temperature) }
            } else if !model.takesSampling {
                if temperature != 1 { try conversation.cannot(.temperature, "this model takes 1 only") }
            } else if temperature > 1 {
                out.member("temperature", 1)
                conversation.hint(.temperature)
                hasTemperature = true
            } else {
                out.member("temperature", raw: conversation.temperature)
                hasTemperature = true
            }
        }
        if let topP = number(conversation.topP) {
            if !model.takesSampling {
                if topP != 1 { try conversation.cannot(.topP, "this model takes 1 only") }
            } else if plan.isOn, topP < 0.95 {
                conversation.hint(.topP)
            } else if hasTemperature, !model.takesBothSamplings {
                if topP != 1 { conversation.hint(.topP) }
            } else {
                out.member("top_p", raw: conversation.topP)
            }
        }
        if conversation.topK.exists {
            if !model.takesSampling {
                try conversation.cannot(.topK)
            } else if plan.isOn {
                conversation.hint(.topK)
            } else {
                out.member("top_k", raw: conversation.topK)
            }
        }
    }

    private static func number(_ raw: JSONBytes) -> Double? { raw.exists ? JSONNumber.parse(raw.raw) : nil }

    private static func writeStop(_ conversation: Conversation, isOwn: Bool, into out: inout JSONWriter) throws(Refusal) {
        var count = 0
        for sequence in conversation.stop {
            if !isOwn, isBlank(sequence) {
                try conversation.cannot(.stop, "this upstream takes no sequence of white space only")
                continue
            }
            if count == 0 {
                out.key("stop_sequences")
                out.beginArray()
            }
            count += 1
            out.string(sequence)
        }
        if count > 0 { out.endArray() }
    }

    // MARK: account

    private static func writeAccount(_ conversation: Conversation, isOwn: Bool, into out: inout JSONWriter) {
        let hasMore = isOwn && conversation.extras.contains { $0.scope == .nested && $0.index == Nested.metadata }
        if conversation.user.exists || hasMore {
            out.key("metadata")
            out.beginObject()
            out.member(ifPresent: "user_id", conversation.user)
            conversation.writeExtras(.nested, Nested.metadata, as: .messages, into: &out)
            out.endObject()
        }
        let tier = conversation.serviceTier
        guard tier.exists else { return }
        if isOwn || tier.equals("auto") {
            out.member("service_tier", tier)
        } else if tier.equals("default") {
            out.member("service_tier", "standard_only")
        } else {
            conversation.hint(.serviceTier)
        }
    }

    /// Hints of the dialect's own. The version is the host's affair, and betas are a header but on other hosts.
    private static func writeHints(_ conversation: Conversation, _ target: Target, into out: inout JSONWriter) {
        for extra in conversation.extras where extra.scope == .nested && extra.index == Conversation.hintIndex {
            if extra.key.equals("anthropic_version") { continue }
            if target.quirks.claudeHost == .anthropic, extra.key.equals("anthropic_beta") || extra.key.equals("betas") {
                conversation.note(extra.key)
                continue
            }
            out.key(extra.key)
            out.value(extra.value)
        }
    }

    static func writeCache(_ mark: CacheMark, into out: inout JSONWriter) {
        out.key("cache_control")
        out.beginObject()
        out.member("type", "ephemeral")
        if mark == .oneHour { out.member("ttl", "1h") }
        out.endObject()
    }
}
