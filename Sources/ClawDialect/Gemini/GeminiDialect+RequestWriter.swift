// Writes a generateContent request: instructions and contents (see +ContentWriter), tools, and what steers the model. Schemas go out as JSON Schema
// (`parametersJsonSchema`, `responseJsonSchema`), which Gemini takes as it is; only what came in Gemini's own form goes back in that.
import ClawWire

extension GeminiDialect {
    public static func writeRequest(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        var writer = GeminiRequestWriter(conversation, target)
        out.beginObject()
        try writer.writeContents(into: &out)
        try writer.writeTools(into: &out)
        try writer.writeToolConfig(into: &out)
        try writer.writeConfig(into: &out)
        try writer.refuseRest()
        writer.writeRootExtras(into: &out)
        out.endObject()
        try conversation.refuseExtras(of: .gemini)
    }

    /// What takes part in the count: contents, and beside them instructions and tools, for which the request must be given whole.
    public static func writeCount(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        var writer = GeminiRequestWriter(conversation, target)
        let isPlain = conversation.tools.isEmpty && !conversation.messages.contains { $0.role == .system || $0.role == .developer }
        out.beginObject()
        if !isPlain {
            out.key("generateContentRequest")
            out.beginObject()
            GeminiKey.writeModel(target.model, into: &out, conversation.arena)
        }
        try writer.writeContents(into: &out)
        try writer.writeTools(into: &out)
        if !isPlain, writer.isSame {
            try writer.writeToolConfig(into: &out)
            try writer.writeConfig(into: &out)
            writer.writeRootExtras(into: &out)
        }
        if !isPlain { out.endObject() }
        out.endObject()
    }
}

struct GeminiRequestWriter {
    let conversation: Conversation
    let target: Target
    let model: GeminiModel
    /// The request came in this dialect too.
    let isSame: Bool

    // Of the content under way (see +ContentWriter).
    enum Open { case none, user, model }
    var open = Open.none
    /// True exactly when the next call of this content is its first and the model wants its signature.
    var wantsSignature = false
    /// Where in the extras the next part's may be: they stand in the order of the parts.
    var extrasAt = 0

    static let stopMax = 5

    init(_ conversation: Conversation, _ target: Target) {
        self.conversation = conversation
        self.target = target
        model = GeminiModel(target.model)
        isSame = conversation.source == .gemini
    }

    // MARK: tools

    func writeTools(into out: inout JSONWriter) throws(Refusal) {
        var functions = 0
        var hosted = 0
        for tool in conversation.tools {
            switch tool.kind {
            case .function: functions += 1
            case .custom: try conversation.cannot(.customTools)
            case .hosted: if isSame { hosted += 1 } else { try conversation.cannot(.hostedTools, "this upstream has no such tool") }
            }
            if tool.cache != .none { conversation.hint(.cacheControl) }
        }
        guard functions + hosted > 0 else { return }
        out.key("tools")
        out.beginArray()
        if functions > 0 {
            out.beginObject()
            out.key("functionDeclarations")
            out.beginArray()
            for tool in conversation.tools where tool.kind == .function { writeFunction(tool, into: &out) }
            out.endArray()
            out.endObject()
        }
        if hosted > 0 { for tool in conversation.tools where tool.kind == .hosted { out.value(tool.opaque) } }
        out.endArray()
    }

    private func writeFunction(_ tool: Tool, into out: inout JSONWriter) {
        if isSame, tool.opaque.exists { return out.value(tool.opaque) }
        out.beginObject()
        out.member("name", tool.name)
        out.member(ifPresent: "description", tool.description)
        out.member(ifPresent: "parametersJsonSchema", raw: tool.schema)
        out.endObject()
    }

    func writeToolConfig(into out: inout JSONWriter) throws(Refusal) {
        let isStrict = conversation.tools.contains { $0.kind == .function && $0.strict == true }
        let hasTools = conversation.tools.contains { $0.kind != .custom }
        if conversation.parallelToolCalls == false { try conversation.cannot(.parallelToolCalls) }
        let place = out.count
        out.key("toolConfig")
        out.beginObject()
        out.key("functionCallingConfig")
        out.beginObject()
        let empty = out.count
        switch conversation.toolChoice {
        case .none: if isSame || hasTools { out.member("mode", "NONE") }
        case .required: out.member("mode", "ANY")
        case .tool(let name):
            out.member("mode", "ANY")
            out.key("allowedFunctionNames")
            out.beginArray()
            out.string(name)
            out.endArray()
        case .auto, .unset:
            if isStrict, isSame || model.validates {
                out.member("mode", "VALIDATED")
            } else {
                if isStrict { conversation.hint(.strict) }
                if case .auto = conversation.toolChoice, isSame || hasTools { out.member("mode", "AUTO") }
            }
        }
        conversation.writeExtras(.nested, GeminiDialect.callingIndex, as: .gemini, into: &out)
        let hasCalling = out.count > empty
        out.endObject()
        if !hasCalling {
            // Nothing is said of calling: what was begun is taken back.
            out.truncate(to: place)
            guard isSame, conversation.extras.contains(where: { $0.scope == .nested && $0.index == GeminiDialect.toolConfigIndex }) else { return }
            out.key("toolConfig")
            out.beginObject()
        }
        conversation.writeExtras(.nested, GeminiDialect.toolConfigIndex, as: .gemini, into: &out)
        out.endObject()
    }

    // MARK: generationConfig

    func writeConfig(into out: inout JSONWriter) throws(Refusal) {
        let place = out.count
        out.key("generationConfig")
        out.beginObject()
        let empty = out.count
        try write("temperature", conversation.temperature, .temperature, into: &out)
        try write("topP", conversation.topP, .topP, into: &out)
        try write("topK", conversation.topK, .topK, into: &out)
        if let n = conversation.n, isSame || n != 1 { out.member("candidateCount", n) }
        if let tokens = conversation.maxTokens { out.member("maxOutputTokens", tokens) }
        try writeStop(into: &out)
        try write("presencePenalty", conversation.presencePenalty, .presencePenalty, into: &out)
        try write("frequencyPenalty", conversation.frequencyPenalty, .frequencyPenalty, into: &out)
        try write("seed", conversation.seed, .seed, into: &out)
        if let logprobs = conversation.logprobs, isSame || logprobs { out.member("responseLogprobs", logprobs) }
        if let top = conversation.topLogprobs, isSame || conversation.logprobs == true { out.member("logprobs", top) }
        try writeFormat(into: &out)
        try writeModalities(into: &out)
        try writeThinking(into: &out)
        conversation.writeExtras(.nested, GeminiDialect.configIndex, as: .gemini, into: &out)
        let isEmpty = out.count == empty
        out.endObject()
        if isEmpty { out.truncate(to: place) }
    }

    private func write(_ name: StaticString, _ number: JSONBytes, _ field: Field, into out: inout JSONWriter) throws(Refusal) {
        guard number.exists else { return }
        guard isSame || target.quirks.supports(field) else { return try conversation.cannot(field) }
        out.member(name, raw: number)
    }

    private func writeStop(into out: inout JSONWriter) throws(Refusal) {
        guard !conversation.stop.isEmpty else { return }
        var count = conversation.stop.count
        if !isSame, count > Self.stopMax {
            try conversation.cannot(.stop, "must be at most 5 for this upstream")
            count = Self.stopMax
        }
        out.key("stopSequences")
        out.beginArray()
        for at in 0..<count { out.string(conversation.stop[at]) }
        out.endArray()
    }

    private func writeFormat(into out: inout JSONWriter) throws(Refusal) {
        let format = conversation.format
        switch format.kind {
        case .unset: return
        case .text: if isSame { out.member("responseMimeType", "text/plain") }
        case .jsonObject, .jsonSchema:
            if !isSame, !model.isThird, conversation.tools.contains(where: { $0.kind == .function }) {
                return try conversation.cannot(.responseFormat, "this model gives no JSON answers where it has tools")
            }
            out.member("responseMimeType", "application/json")
            guard format.kind == .jsonSchema else { return }
            if isSame, format.opaque.exists {
                out.member("responseSchema", raw: format.opaque)
            } else if format.schema.exists {
                out.member("responseJsonSchema", raw: format.schema)
            }
        }
    }

    private func writeModalities(into out: inout JSONWriter) throws(Refusal) {
        guard conversation.modalities.exists else { return }
        let arena = conversation.arena
        guard arena.tape.read(conversation.modalities.raw) == nil, arena.tape.root.isArray else { return try conversation.cannot(.modalities) }
        var hasMore = false
        for one in arena.tape.root.elements where !one.equals("text") {
            guard isSame || one.equals("image") else { return try conversation.cannot(.modalities) }
            hasMore = true
        }
        // Text alone is what there is without the field.
        guard isSame || hasMore else { return }
        out.key("responseModalities")
        out.beginArray()
        for one in arena.tape.root.elements {
            out.string(one.equals("text") ? "TEXT" : one.equals("image") ? "IMAGE" : "AUDIO")
        }
        out.endArray()
    }

    private func writeThinking(into out: inout JSONWriter) throws(Refusal) {
        let wanted = conversation.reasoning
        let isOff = wanted.isEnabled == false || wanted.effort == .none || (wanted.effort == .unset && wanted.budget == 0)
        let isOn = wanted.isSet && !isOff
        if model.thinking == .none, !isSame {
            if isOn { try conversation.cannot(.reasoning, "this model does not think") }
            return
        }
        let includes = isSame ? wanted.includesThoughts : isOff ? nil : wanted.includesThoughts ?? (isOn ? true : nil)
        var tokens: Int64?
        var word: StaticString?
        if isSame, wanted.effort == .unset {
            tokens = wanted.budget
        } else if model.thinking == .level || (isSame && model.thinking == .none) {
            if isSame { tokens = wanted.budget }
            word = level(wanted, isOff: isOff)
        } else {
            tokens = budget(wanted, isOff: isOff)
        }
        let hasExtras = isSame && conversation.extras.contains { $0.scope == .nested && $0.index == GeminiDialect.thinkingIndex }
        guard includes != nil || tokens != nil || word != nil || hasExtras else { return }
        out.key("thinkingConfig")
        out.beginObject()
        if let includes { out.member("includeThoughts", includes) }
        if let tokens { out.member("thinkingBudget", tokens) }
        if let word { out.member("thinkingLevel", word) }
        conversation.writeExtras(.nested, GeminiDialect.thinkingIndex, as: .gemini, into: &out)
        out.endObject()
    }

    /// Models of the third generation: a word, in the steps the model has; they cannot be kept from thinking altogether.
    private func level(_ wanted: Reasoning, isOff: Bool) -> StaticString? {
        var effort = wanted.effort
        if effort == .unset, let budget = wanted.budget {
            if budget < 0 { return nil }
            effort = Reasoning.Effort(budget: budget)
        }
        if isOff { effort = .none }
        switch effort {
        case .unset: return nil
        case .none, .minimal: return model.hasMinimal ? "MINIMAL" : "LOW"
        case .low: return "LOW"
        case .medium: return model.hasMedium ? "MEDIUM" : "HIGH"
        case .high, .xhigh, .max: return "HIGH"
        }
    }

    /// Models before: a number of tokens; 0 for none where the model can do without, -1 for as many as it likes.
    private func budget(_ wanted: Reasoning, isOff: Bool) -> Int64? {
        if isOff { return model.canStop ? 0 : model.budgetMin }
        if wanted.effort == .unset, wanted.budget == nil { return wanted.isEnabled == true ? -1 : nil }
        let tokens = wanted.effort == .unset ? wanted.budget ?? -1 : wanted.effort.budget
        if tokens < 0 { return -1 }
        return min(max(tokens, model.budgetMin), model.budgetMax)
    }

    // MARK: the rest

    /// What Gemini has no field for.
    func refuseRest() throws(Refusal) {
        if conversation.minP.exists { try conversation.cannot(.minP) }
        if conversation.logitBias.exists { try conversation.cannot(.logitBias) }
        if conversation.audio.exists { try conversation.cannot(.audio) }
        if conversation.prediction.exists { try conversation.cannot(.prediction) }
        if conversation.verbosity.exists { try conversation.cannot(.verbosity) }
        if conversation.previousResponseID.exists { try conversation.cannot(.previousResponseID) }
        if conversation.user.exists { conversation.hint(.user) }
        if conversation.metadata.exists { conversation.hint(.metadata) }
        if conversation.serviceTier.exists { conversation.hint(.serviceTier) }
        if conversation.store == true { conversation.hint(.store) }
        if conversation.promptCacheKey.exists { conversation.hint(.promptCacheKey) }
        if conversation.cache != .none { conversation.hint(.cacheControl) }
    }

    func writeRootExtras(into out: inout JSONWriter) {
        conversation.writeExtras(.root, 0, as: .gemini, into: &out)
        conversation.writeExtras(.nested, Conversation.hintIndex, as: .gemini, into: &out)
    }
}
