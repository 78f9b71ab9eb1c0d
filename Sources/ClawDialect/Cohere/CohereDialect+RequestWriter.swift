// Writes a request of /v2/chat.
//
// Numbers whose ranges are narrower than elsewhere: `p` lies in 0.01…0.99, so 1 (which switches it off elsewhere) becomes 0.99; penalties lie in 0…1 and
// others are refused. A wish for some effort becomes a budget of tokens for thinking; the two highest have no bound.
import ClawWire

extension CohereDialect {
    public static func writeRequest(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == .cohere
        try conversation.refuseWideOptions()
        if conversation.parallelToolCalls == false { try conversation.cannot(.parallelToolCalls, "this upstream decides itself how many calls it makes") }
        if conversation.minP.exists { try conversation.cannot(.minP) }
        if let count = conversation.topLogprobs, count > 0 { try conversation.cannot(.topLogprobs) }
        if conversation.messages.isEmpty { throw Refusal(JSONBytes(conversation.source.pieces.name(of: .messages)), "must have at least one for this upstream") }
        out.beginObject()
        out.member("model", target.model)
        out.key("messages")
        out.beginArray()
        var extras = ExtrasCursor(.message)
        for (index, message) in conversation.messages.enumerated() { try writeMessage(conversation, message, index, &extras, into: &out) }
        out.endArray()
        try writeTools(conversation, into: &out)
        switch conversation.format.kind {
        case .unset: break
        case .text: if isOwn { out.member("response_format", raw: JSONBytes(#"{"type":"text"}"#)) }
        case .jsonObject, .jsonSchema:
            out.key("response_format")
            out.beginObject()
            out.member("type", "json_object")
            if conversation.format.kind == .jsonSchema { out.member(ifPresent: "json_schema", raw: conversation.format.schema) }
            out.endObject()
        }
        writeThinking(conversation.reasoning, into: &out)
        if let count = conversation.maxTokens { out.member("max_tokens", count) }
        if !conversation.stop.isEmpty {
            out.key("stop_sequences")
            out.beginArray()
            for word in conversation.stop { out.string(word) }
            out.endArray()
        }
        out.member(ifPresent: "temperature", raw: conversation.temperature)
        out.member(ifPresent: "seed", raw: conversation.seed)
        try writePenalty("frequency_penalty", conversation.frequencyPenalty, .frequencyPenalty, conversation, into: &out)
        try writePenalty("presence_penalty", conversation.presencePenalty, .presencePenalty, conversation, into: &out)
        out.member(ifPresent: "k", raw: conversation.topK)
        writeP(conversation.topP, isOwn: isOwn, into: &out)
        if let wants = conversation.logprobs, isOwn || wants {
            // Nothing neutral carries them in a stream.
            if target.wantsStream, !isOwn {
                try conversation.cannot(.logprobs, "this upstream has them in whole answers only")
            } else {
                out.member("logprobs", wants)
            }
        }
        out.member("stream", target.wantsStream)
        if isOwn { conversation.writeExtras(.root, 0, as: .cohere, into: &out) } else { try conversation.refuseExtras(of: .cohere) }
        out.endObject()
    }

    private static func writeP(_ raw: JSONBytes, isOwn: Bool, into out: inout JSONWriter) {
        guard raw.exists else { return }
        let value = JSONNumber.parse(raw.raw) ?? 0
        if !isOwn, value > 0.99, value <= 1 {
            out.member("p", raw: JSONBytes("0.99"))
        } else if !isOwn, value >= 0, value < 0.01 {
            out.member("p", raw: JSONBytes("0.01"))
        } else {
            out.member("p", raw: raw)
        }
    }

    private static func writePenalty(
        _ name: StaticString, _ raw: JSONBytes, _ field: Field, _ conversation: Conversation, into out: inout JSONWriter
    ) throws(Refusal) {
        guard raw.exists else { return }
        let value = JSONNumber.parse(raw.raw) ?? 0
        if value < 0 || value > 1 { try conversation.cannot(field, "must lie between 0 and 1 for this upstream") } else { out.member(name, raw: raw) }
    }

    private static func writeThinking(_ reasoning: Reasoning, into out: inout JSONWriter) {
        guard reasoning.isSet else { return }
        let isOff = reasoning.effort == .none || reasoning.budget == 0 || reasoning.isEnabled == false
        var budget = reasoning.budget ?? 0
        switch reasoning.effort {
        case .minimal, .low, .medium, .high: budget = reasoning.effort.budget
        case .unset, .none, .xhigh, .max: break
        }
        out.key("thinking")
        out.beginObject()
        out.member("type", isOff ? "disabled" : "enabled")
        if budget > 0, !isOff { out.member("token_budget", budget) }
        out.endObject()
    }

    private static func writeTools(_ conversation: Conversation, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == .cohere
        var only = JSONBytes()
        var choice: StaticString = ""
        switch conversation.toolChoice {
        case .unset, .auto: break
        case .none: choice = "NONE"
        case .required: choice = "REQUIRED"
        case .tool(let name):
            if conversation.tools.contains(where: { $0.kind == .function && $0.name.equals(name) }) {
                only = name
                choice = "REQUIRED"
            } else {
                try conversation.cannot(.toolChoice, "must name a function among the tools")
            }
        }
        var strict = 0
        var lax = 0
        var written = 0
        let place = out.count
        out.key("tools")
        out.beginArray()
        for tool in conversation.tools {
            switch tool.kind {
            case .function: break
            case .custom:
                try conversation.cannot(.customTools)
                continue
            case .hosted:
                try conversation.cannot(.hostedTools)
                continue
            }
            if only.exists, !tool.name.equals(only) { continue }
            if tool.cache != .none { conversation.hint(.cacheControl) }
            if tool.strict == true { strict += 1 } else { lax += 1 }
            out.beginObject()
            out.member("type", "function")
            out.key("function")
            out.beginObject()
            out.member("name", tool.name)
            out.member(ifPresent: "description", tool.description)
            if tool.schema.exists {
                out.member("parameters", raw: tool.schema)
            } else if !isOwn {
                out.member("parameters", raw: JSONBytes(#"{"type":"object","properties":{}}"#))
            }
            out.endObject()
            out.endObject()
            written += 1
        }
        out.endArray()
        if written == 0 {
            out.truncate(to: place)
            if !isOwn {
                if case .required = conversation.toolChoice { try conversation.cannot(.toolChoice, "must not demand a tool where none is offered") }
                return
            }
        }
        if strict > 0, lax == 0 {
            out.member("strict_tools", true)
        } else if strict > 0 {
            try conversation.cannot(.strict, "must be the same for all tools for this upstream")
        } else if isOwn, conversation.tools.first?.strict == false {
            out.member("strict_tools", false)
        }
        if choice.utf8CodeUnitCount > 0 { out.member("tool_choice", choice) }
    }

    // MARK: messages

    private static func writeMessage(
        _ conversation: Conversation, _ message: Message, _ index: Int, _ extras: inout ExtrasCursor, into out: inout JSONWriter
    ) throws(Refusal) {
        let isOwn = conversation.source == .cohere
        var hasResult = false
        var hasOther = false
        var hasCall = false
        for part in conversation.parts[message.parts] {
            if part.cache != .none { conversation.hint(.cacheControl) }
            switch part.kind {
            case .toolResult: hasResult = true
            case .text, .refusal, .thinking, .image: hasOther = true
            case .toolCall:
                if part.isCustom { try conversation.cannot(.customTools) }
                hasCall = true
                hasOther = true
            case .redactedThinking: conversation.hint(.thinking)
            case .audio: try conversation.cannot(.inputAudio)
            case .video: try conversation.cannot(.video)
            case .document: try conversation.cannot(.document)
            case .opaque: try conversation.cannot(.messages, "has a part that only its own provider understands")
            }
        }
        if message.name.exists, !message.name.isEmpty { try conversation.cannot(.name) }
        if hasResult {
            for part in conversation.parts[message.parts] where part.kind == .toolResult { try writeResult(conversation, part, index, &extras, into: &out) }
            if !hasOther { return }
        }
        out.beginObject()
        switch message.role {
        case .system, .developer: out.member("role", "system")
        case .user, .tool: out.member("role", "user")
        case .assistant: out.member("role", "assistant")
        }
        // Thinking before calls is the plan where it came as one, and where a client of another dialect gave back no more than its text.
        if message.role == .assistant { writePlan(conversation, message, takesAll: hasCall && !isOwn, into: &out) }
        try writeContent(conversation, message, takesThinking: message.role == .assistant && !(hasCall && !isOwn), hasCall: hasCall, into: &out)
        if hasCall { try writeCalls(conversation, message, into: &out) }
        if isOwn { extras.write(index, of: conversation.extras, into: &out) }
        out.endObject()
    }

    private static func writePlan(_ conversation: Conversation, _ message: Message, takesAll: Bool, into out: inout JSONWriter) {
        var isFirst = true
        for part in conversation.parts[message.parts] where isPlan(part) || (takesAll && part.kind == .thinking) {
            if isFirst {
                out.key("tool_plan")
                JSONPieces.beginString(&out)
            }
            out.put(part.text)
            isFirst = false
        }
        if !isFirst { JSONPieces.endString(&out) }
    }

    private static func writeContent(
        _ conversation: Conversation, _ message: Message, takesThinking: Bool, hasCall: Bool, into out: inout JSONWriter
    ) throws(Refusal) {
        let isOwn = conversation.source == .cohere
        // One plain text is a string; one that came as a part goes back as one.
        var texts = 0
        var others = 0
        var single = JSONBytes()
        for part in conversation.parts[message.parts] {
            switch part.kind {
            case .text, .refusal:
                texts += 1
                single = part.text
                if isOwn, part.source == .text { others += 1 }
            case .image: others += 1
            case .thinking: if takesThinking, !isPlan(part) { others += 1 }
            default: break
            }
        }
        if texts + others == 0 {
            // Beside calls there may be none.
            if !hasCall, !(isOwn && message.role == .assistant) { out.member("content", "") }
            return
        }
        if texts == 1, others == 0 { return out.member("content", single) }
        out.key("content")
        out.beginArray()
        for part in conversation.parts[message.parts] {
            switch part.kind {
            case .text, .refusal: writeText(part.text, into: &out)
            case .thinking:
                guard takesThinking, !isPlan(part) else { continue }
                out.beginObject()
                out.member("type", "thinking")
                out.member("thinking", part.text)
                out.endObject()
            case .image: try writeImage(conversation, part, into: &out)
            default: break
            }
        }
        out.endArray()
    }

    static func writeText(_ text: JSONBytes, into out: inout JSONWriter) {
        out.beginObject()
        out.member("type", "text")
        out.member("text", text)
        out.endObject()
    }

    private static func writeImage(_ conversation: Conversation, _ part: Part, into out: inout JSONWriter) throws(Refusal) {
        guard part.source == .base64 || part.source == .url else { return try conversation.cannot(.image, "must be base64 or a URL for this upstream") }
        out.beginObject()
        out.member("type", "image_url")
        out.key("image_url")
        out.beginObject()
        if part.source == .url {
            out.member("url", part.data)
        } else {
            out.key("url")
            JSONPieces.beginString(&out)
            out.put("data:")
            out.put(part.mediaType.isEmpty ? JSONBytes("image/jpeg") : part.mediaType)
            out.put(";base64,")
            out.put(part.data)
            JSONPieces.endString(&out)
        }
        if !part.detail.isEmpty { out.member("detail", part.detail) }
        out.endObject()
        out.endObject()
    }

    private static func writeResult(
        _ conversation: Conversation, _ part: Part, _ index: Int, _ extras: inout ExtrasCursor, into out: inout JSONWriter
    ) throws(Refusal) {
        let isOwn = conversation.source == .cohere
        if part.isError { conversation.note(JSONBytes("is_error")) }
        out.beginObject()
        out.member("role", "tool")
        out.member("tool_call_id", part.id.exists ? part.id : JSONBytes(""))
        let children = conversation.inner[part.children]
        if children.count == 1, let child = children.first, child.kind == .text, !isOwn || (child.source != .text && !child.json.exists) {
            out.member("content", child.text)
        } else if children.isEmpty, !isOwn {
            out.member("content", "")
        } else {
            out.key("content")
            out.beginArray()
            for child in children {
                if child.kind == .text, isOwn, child.json.exists {
                    out.value(child.json)
                } else if child.kind == .text {
                    writeText(child.text, into: &out)
                } else {
                    try conversation.cannot(.toolResultContent, "a tool's result must be text for this upstream")
                }
            }
            out.endArray()
        }
        if isOwn { extras.write(index, of: conversation.extras, into: &out) }
        out.endObject()
    }

    private static func writeCalls(_ conversation: Conversation, _ message: Message, into out: inout JSONWriter) throws(Refusal) {
        out.key("tool_calls")
        out.beginArray()
        for part in conversation.parts[message.parts] where part.kind == .toolCall {
            out.beginObject()
            if part.id.exists { out.member("id", part.id) }
            out.member("type", "function")
            out.key("function")
            out.beginObject()
            out.member("name", part.name)
            writeArguments(part, isOwn: conversation.source == .cohere, into: &out)
            out.endObject()
            out.endObject()
        }
        out.endArray()
    }

    /// The arguments' JSON text as a string; of none, an empty object.
    static func writeArguments(_ part: Part, isOwn: Bool, into out: inout JSONWriter) {
        if part.json.exists {
            out.key("arguments")
            out.string(escaping: part.json.raw)
        } else {
            out.member("arguments", part.text.isEmpty && !isOwn ? JSONBytes("{}") : part.text)
        }
    }
}
