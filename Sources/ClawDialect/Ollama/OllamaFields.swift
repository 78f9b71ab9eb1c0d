// The members of a request that /api/chat and /api/generate share: everything but the texts themselves.
import ClawWire

enum OllamaFields {
    /// Reads a member that both have. False: it is none of them.
    static func read(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) -> Bool {
        let (key, value) = member
        if key.equals("model") {
            guard value.isString, !value.text.isEmpty else { throw Refusal("model", "must be a string that is not empty") }
            conversation.model = value.text
        } else if key.equals("stream") {
            guard value.isPresent else { return true }
            guard let wants = value.bool else { throw Refusal("stream", "must be true or false") }
            conversation.wantsStream = wants
        } else if value.kind == .null {
            // The same as not there. Ollama gets it back; a value of null keeps nobody else.
            conversation.extra(.root, 0, member)
        } else if key.equals("options") {
            guard value.isObject else { throw Refusal("options", "must be an object") }
            if value.count == 0 { mark("options", conversation) }
            for option in value.members { try readOption(option, into: conversation) }
        } else if key.equals("format") {
            try readFormat(value, into: conversation)
        } else if key.equals("think") {
            try readThink(value, into: conversation)
        } else if key.equals("logprobs") {
            guard let wants = value.bool else { throw Refusal("logprobs", "must be true or false") }
            conversation.logprobs = wants
        } else if key.equals("top_logprobs") {
            guard let count = value.int, (0...20).contains(count) else { throw Refusal("top_logprobs", "must be a whole number from 0 to 20") }
            conversation.topLogprobs = count
        } else if key.equals("keep_alive") {
            guard value.isString || value.kind == .number else { throw Refusal("keep_alive", "must be a string or a number") }
            conversation.extra(.nested, Conversation.hintIndex, member)
        } else {
            return false
        }
        return true
    }

    /// Remembers a member that was there and empty.
    static func mark(_ name: StaticString, _ conversation: Conversation) {
        conversation.extras.append(Extra(.nested, OllamaWords.emptyIndex, key: JSONBytes(name), value: JSONBytes("null")))
    }
    static func isMarked(_ name: StaticString, _ conversation: Conversation) -> Bool {
        conversation.extras.contains { $0.scope == .nested && $0.index == OllamaWords.emptyIndex && $0.key.equals(name) }
    }

    private static func readFormat(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        if value.isObject {
            conversation.format.kind = .jsonSchema
            conversation.format.schema = value.raw
        } else if value.equals("json") {
            conversation.format.kind = .jsonObject
        } else if value.equals("") {
            conversation.format.kind = .text
        } else {
            throw Refusal("format", "must be json or a JSON schema")
        }
    }

    private static func readThink(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        if let isOn = value.bool {
            conversation.reasoning.isEnabled = isOn
        } else if let effort = Reasoning.Effort(value), effort == .low || effort == .medium || effort == .high || effort == .max {
            conversation.reasoning.effort = effort
        } else {
            throw Refusal("think", "must be true, false, low, medium, high or max")
        }
    }

    private static func readOption(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) {
        let (key, value) = member
        if value.kind == .null { return keep(member, 0, conversation) }
        if key.equals("temperature") {
            conversation.temperature = try number(value, "options.temperature")
        } else if key.equals("top_p") {
            conversation.topP = try number(value, "options.top_p")
        } else if key.equals("top_k") {
            conversation.topK = try whole(value, "options.top_k")
        } else if key.equals("min_p") {
            conversation.minP = try number(value, "options.min_p")
        } else if key.equals("seed") {
            conversation.seed = try whole(value, "options.seed")
        } else if key.equals("presence_penalty") {
            conversation.presencePenalty = try number(value, "options.presence_penalty")
        } else if key.equals("frequency_penalty") {
            conversation.frequencyPenalty = try number(value, "options.frequency_penalty")
        } else if key.equals("num_predict") {
            _ = try whole(value, "options.num_predict")
            // Nothing above zero: no limit, which is the default.
            if let count = value.int, count > 0 { conversation.maxTokens = count } else { keep(member, Conversation.hintIndex, conversation) }
        } else if key.equals("stop") {
            guard value.isArray else { throw Refusal("options.stop", "must be an array of strings") }
            for word in value.elements {
                guard word.isString else { throw Refusal("options.stop", "must be an array of strings") }
                guard conversation.stop.count < 1024 else { throw Refusal("options.stop", "must have at most 1024 elements") }
                conversation.stop.append(word.text)
            }
            if conversation.stop.isEmpty { keep(member, Conversation.hintIndex, conversation) }
        } else {
            keep(member, isHint(key, value) ? Conversation.hintIndex : 0, conversation)
        }
    }

    /// How a model is loaded, and sampling that is switched off.
    private static func isHint(_ key: JSONValue, _ value: JSONValue) -> Bool {
        for name in ["num_batch", "num_gpu", "main_gpu", "num_thread", "numa", "low_vram", "use_mmap", "use_mlock"] as [StaticString] where key.equals(name) {
            return true
        }
        if key.equals("mirostat") { return value.double == 0 }
        if key.equals("repeat_penalty") || key.equals("tfs_z") || key.equals("typical_p") { return value.double == 1 }
        return false
    }

    /// An option without a neutral word, by its whole name: `options.num_ctx`.
    private static func keep(_ member: (key: JSONValue, value: JSONValue), _ index: Int, _ conversation: Conversation) {
        guard conversation.extras.count < Conversation.countMax else { return }
        let key = conversation.arena.arena.joined(JSONBytes("options."), member.key.text)
        conversation.extras.append(Extra(.nested, index, key: key, value: member.value.raw))
    }

    private static func number(_ value: JSONValue, _ name: StaticString) throws(Refusal) -> JSONBytes {
        guard value.kind == .number else { throw Refusal(name, "must be a number") }
        return value.raw
    }
    private static func whole(_ value: JSONValue, _ name: StaticString) throws(Refusal) -> JSONBytes {
        guard value.int != nil else { throw Refusal(name, "must be a whole number") }
        return value.raw
    }

    /// Adds `images` to the last message.
    static func readImages(_ value: JSONValue, _ name: StaticString, into conversation: Conversation) throws(Refusal) {
        if !value.isPresent { return }
        guard value.isArray else { throw Refusal(name, "must be an array of base64 strings") }
        for element in value.elements {
            guard element.isString, !element.text.isEmpty else { throw Refusal(name, "must be an array of base64 strings") }
            var part = Part(.image)
            part.source = .base64
            if let url = DataURL.parse(element.text) {
                part.mediaType = url.mediaType
                part.data = url.data
            } else {
                part.mediaType = JSONBytes(mediaType(of: element.text))
                part.data = element.text
            }
            try conversation.add(part)
        }
    }

    /// By the first bytes of what the base64 stands for.
    static func mediaType(of base64: JSONBytes) -> StaticString {
        // A slash may be escaped in JSON.
        let text = base64.begins(with: "\\") ? base64.dropFirst(1) : base64
        if text.begins(with: "iVBOR") { return "image/png" }
        if text.begins(with: "R0lGOD") { return "image/gif" }
        if text.begins(with: "UklGR") { return "image/webp" }
        return "image/jpeg"
    }

    // MARK: writing

    static func isOurs(_ source: DialectID) -> Bool { source == .ollama || source == .ollamaGenerate }

    static func write(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        switch conversation.format.kind {
        case .unset: break
        case .text: if isOurs(conversation.source) { out.member("format", "") }
        case .jsonObject: out.member("format", "json")
        case .jsonSchema:
            if conversation.format.schema.exists { out.member("format", raw: conversation.format.schema) } else { out.member("format", "json") }
        }
        writeThink(conversation.reasoning, into: &out)
        writeOptions(conversation, into: &out)
        out.member("stream", target.wantsStream)
        if conversation.logprobs == true || conversation.topLogprobs ?? 0 > 0 {
            // Nothing neutral carries them in a stream.
            if target.wantsStream, !isOurs(conversation.source) {
                try conversation.cannot(.logprobs, "this upstream has them in whole answers only")
            } else {
                out.member("logprobs", true)
                if let count = conversation.topLogprobs { out.member("top_logprobs", count) }
            }
        } else if isOurs(conversation.source) {
            if let wants = conversation.logprobs { out.member("logprobs", wants) }
            if let count = conversation.topLogprobs { out.member("top_logprobs", count) }
        }
    }

    private static func writeThink(_ reasoning: Reasoning, into out: inout JSONWriter) {
        var effort = reasoning.effort
        if effort == .unset, let budget = reasoning.budget, budget >= 0 { effort = Reasoning.Effort(budget: budget) }
        switch effort {
        case .none: out.member("think", false)
        case .minimal, .low: out.member("think", "low")
        case .medium: out.member("think", "medium")
        case .high: out.member("think", "high")
        case .xhigh, .max: out.member("think", "max")
        case .unset:
            if let isOn = reasoning.isEnabled { out.member("think", isOn) } else if reasoning.budget != nil { out.member("think", true) }
        }
    }

    private static func writeOptions(_ conversation: Conversation, into out: inout JSONWriter) {
        let place = out.count
        out.key("options")
        out.beginObject()
        let start = out.count
        out.member(ifPresent: "temperature", raw: conversation.temperature)
        out.member(ifPresent: "top_p", raw: conversation.topP)
        out.member(ifPresent: "top_k", raw: conversation.topK)
        out.member(ifPresent: "min_p", raw: conversation.minP)
        out.member(ifPresent: "seed", raw: conversation.seed)
        out.member(ifPresent: "presence_penalty", raw: conversation.presencePenalty)
        out.member(ifPresent: "frequency_penalty", raw: conversation.frequencyPenalty)
        if let count = conversation.maxTokens { out.member("num_predict", count) }
        if !conversation.stop.isEmpty {
            out.key("stop")
            out.beginArray()
            for word in conversation.stop { out.string(word) }
            out.endArray()
        }
        if isOurs(conversation.source) {
            for extra in conversation.extras where extra.scope == .nested && extra.key.begins(with: "options.") {
                out.key(extra.key.dropFirst(8))
                out.value(extra.value)
            }
        }
        let isEmpty = out.count == start
        out.endObject()
        if isEmpty, !isMarked("options", conversation) { out.truncate(to: place) }
    }

    /// What has no neutral word: back to where it was, or refused. The two dialects share all but what a prompt alone has.
    static func writeExtras(_ conversation: Conversation, as dialect: DialectID, into out: inout JSONWriter) throws(Refusal) {
        guard isOurs(conversation.source) else { return try conversation.refuseExtras(of: dialect) }
        for extra in conversation.extras {
            let isRoot = extra.scope == .root || (extra.scope == .nested && extra.index == Conversation.hintIndex && !extra.key.begins(with: "options."))
            guard isRoot else { continue }
            let isShared = extra.key.equals("keep_alive") || extra.key.equals("truncate") || extra.key.equals("shift")
            if conversation.source == dialect || isShared {
                out.key(extra.key)
                out.value(extra.value)
            } else if extra.scope == .nested {
                conversation.note(extra.key)
            } else if !extra.value.equals("null") {
                try conversation.cannot(extra.key, "this upstream does not know it")
            }
        }
    }
}
