// Writes a request of /api/chat.
//
// Where others have parts, Ollama has one text and images beside it: texts of a user's or the system's parts are joined by line feeds, those of an
// assistant's as they are. A tool's result is a message of its own. A tool can't be demanded; that none may be called is said by offering none. A schema
// binds the answer by itself, so `strict` on it says nothing more; on a tool it would.
import ClawWire

extension OllamaDialect {
    public static func writeRequest(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        try conversation.refuseWideOptions()
        if conversation.parallelToolCalls == false { try conversation.cannot(.parallelToolCalls, "this upstream decides itself how many calls it makes") }
        out.beginObject()
        out.member("model", target.model)
        out.key("messages")
        out.beginArray()
        var extras = ExtrasCursor(.message)
        for (index, message) in conversation.messages.enumerated() { try writeMessage(conversation, message, index, &extras, into: &out) }
        out.endArray()
        try writeTools(conversation, into: &out)
        try OllamaFields.write(conversation, to: target, into: &out)
        try OllamaFields.writeExtras(conversation, as: .ollama, into: &out)
        out.endObject()
    }

    private static func writeTools(_ conversation: Conversation, into out: inout JSONWriter) throws(Refusal) {
        var offers = true
        switch conversation.toolChoice {
        case .unset, .auto: break
        case .none: offers = false
        case .required, .tool: try conversation.cannot(.toolChoice, "must be auto or none for this upstream")
        }
        if conversation.tools.isEmpty {
            if OllamaFields.isOurs(conversation.source), OllamaFields.isMarked("tools", conversation) {
                out.key("tools")
                out.beginArray()
                out.endArray()
            }
            return
        }
        guard offers else { return }
        var extras = ExtrasCursor(.tool)
        let place = out.count
        out.key("tools")
        out.beginArray()
        var written = 0
        for (index, tool) in conversation.tools.enumerated() {
            switch tool.kind {
            case .function: break
            case .custom:
                try conversation.cannot(.customTools)
                continue
            case .hosted:
                try conversation.cannot(.hostedTools)
                continue
            }
            if tool.cache != .none { conversation.hint(.cacheControl) }
            let isOurs = conversation.source == .ollama
            if tool.strict == true, !isOurs { try conversation.cannot(.strict, "this upstream does not bind calls to their schema") }
            out.beginObject()
            out.member("type", "function")
            out.key("function")
            out.beginObject()
            out.member("name", tool.name)
            out.member(ifPresent: "description", tool.description)
            if tool.schema.exists {
                out.member("parameters", raw: tool.schema)
            } else if !isOurs {
                out.member("parameters", raw: JSONBytes(#"{"type":"object","properties":{}}"#))
            }
            if isOurs, let strict = tool.strict { out.member("strict", strict) }
            out.endObject()
            if isOurs { extras.write(index, of: conversation.extras, into: &out) }
            out.endObject()
            written += 1
        }
        out.endArray()
        if written == 0 { out.truncate(to: place) }
    }

    private static func writeMessage(
        _ conversation: Conversation, _ message: Message, _ index: Int, _ extras: inout ExtrasCursor, into out: inout JSONWriter
    ) throws(Refusal) {
        let isOurs = conversation.source == .ollama
        var hasResult = false
        var hasOther = false
        var hasCall = false
        var hasImage = false
        for part in conversation.parts[message.parts] {
            if part.cache != .none { conversation.hint(.cacheControl) }
            switch part.kind {
            case .toolResult: hasResult = true
            case .text, .refusal, .thinking: hasOther = true
            case .toolCall:
                if part.isCustom { try conversation.cannot(.customTools) }
                hasCall = true
                hasOther = true
            case .image:
                hasImage = true
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
            for place in message.parts where conversation.parts[place].kind == .toolResult {
                try writeResult(conversation, place, index, &extras, takesImages: message.role == .tool && hasImage, message, into: &out)
            }
            if !hasOther || message.role == .tool && isOurs { return }
        }
        out.beginObject()
        switch message.role {
        case .system, .developer: out.member("role", "system")
        case .user, .tool: out.member("role", "user")
        case .assistant: out.member("role", "assistant")
        }
        out.key("content")
        writeText(conversation, message, into: &out)
        if message.role == .assistant { writeThinking(conversation, message, into: &out) }
        if hasImage { try writeImages(conversation, message, into: &out) }
        if hasCall { try writeCalls(conversation, message, into: &out) }
        if isOurs { extras.write(index, of: conversation.extras, into: &out) }
        out.endObject()
    }

    /// One result as a message. `takesImages`: those of its message are its own (Ollama's client had them beside the text).
    private static func writeResult(
        _ conversation: Conversation, _ place: Int, _ index: Int, _ extras: inout ExtrasCursor, takesImages: Bool, _ message: Message, into out: inout JSONWriter
    ) throws(Refusal) {
        let part = conversation.parts[place]
        let isOurs = conversation.source == .ollama
        for child in conversation.inner[part.children] where child.kind != .text {
            try conversation.cannot(.toolResultContent, "a tool's result must be text for this upstream")
        }
        if part.isError { conversation.note(JSONBytes("is_error")) }
        out.beginObject()
        out.member("role", "tool")
        out.key("content")
        JSONPieces.beginString(&out)
        var isFirst = true
        for child in conversation.inner[part.children] where child.kind == .text {
            if !isFirst { out.put("\\n") }
            out.put(child.text)
            isFirst = false
        }
        JSONPieces.endString(&out)
        var name = part.name
        if name.isEmpty, !isOurs { name = conversation.toolName(of: part.id, before: place) }
        if !name.isEmpty { out.member("tool_name", name) }
        if !part.id.isEmpty, !part.id.begins(with: OllamaWords.madeID) { out.member("tool_call_id", part.id) }
        if isOurs {
            if takesImages { try writeImages(conversation, message, into: &out) }
            extras.write(index, of: conversation.extras, into: &out)
        }
        out.endObject()
    }

    /// All text of a message as one string.
    static func writeText(_ conversation: Conversation, _ message: Message, into out: inout JSONWriter) {
        JSONPieces.beginString(&out)
        var isFirst = true
        for part in conversation.parts[message.parts] where part.kind == .text || part.kind == .refusal {
            if !isFirst, message.role != .assistant { out.put("\\n") }
            out.put(part.text)
            isFirst = false
        }
        JSONPieces.endString(&out)
    }

    private static func writeThinking(_ conversation: Conversation, _ message: Message, into out: inout JSONWriter) {
        var isFirst = true
        for part in conversation.parts[message.parts] where part.kind == .thinking && !part.text.isEmpty {
            if isFirst {
                out.key("thinking")
                JSONPieces.beginString(&out)
            }
            out.put(part.text)
            isFirst = false
        }
        if !isFirst { JSONPieces.endString(&out) }
    }

    static func writeImages(_ conversation: Conversation, _ message: Message, into out: inout JSONWriter) throws(Refusal) {
        let place = out.count
        out.key("images")
        out.beginArray()
        var written = 0
        for part in conversation.parts[message.parts] where part.kind == .image {
            var data = part.source == .base64 ? part.data : JSONBytes()
            if part.source == .url, let url = DataURL.parse(part.data) { data = url.data }
            guard data.exists else {
                try conversation.cannot(.image, "must be base64 for this upstream, which fetches nothing")
                continue
            }
            if part.detail.exists, !part.detail.equals("auto") { conversation.note(JSONBytes("messages[].content[].image_url.detail")) }
            out.string(data)
            written += 1
        }
        out.endArray()
        if written == 0 { out.truncate(to: place) }
    }

    private static func writeCalls(_ conversation: Conversation, _ message: Message, into out: inout JSONWriter) throws(Refusal) {
        out.key("tool_calls")
        out.beginArray()
        for part in conversation.parts[message.parts] where part.kind == .toolCall {
            var arguments = JSONBytes("{}")
            if let object = conversation.argumentsObject(part) { arguments = object } else { try conversation.cannot(.toolArguments, "must be a JSON object") }
            out.beginObject()
            if !part.id.isEmpty, !part.id.begins(with: OllamaWords.madeID) { out.member("id", part.id) }
            out.key("function")
            out.beginObject()
            if conversation.source == .ollama { out.member(ifPresent: "index", raw: part.detail) }
            out.member("name", part.name)
            out.member("arguments", raw: arguments)
            out.endObject()
            out.endObject()
        }
        out.endArray()
    }
}
