// Ollama's completion of one prompt: POST /api/generate. To a model it is a conversation of at most two messages, `system` and `prompt`; its answer has
// `response` and `thinking` at the top instead of a message. The rest (options, format, think, the lines of a stream, errors) is as in /api/chat. Clients
// speak it; upstreams are asked through /api/chat.
import ClawWire

public enum OllamaGenerateDialect: DialectPieces {
    public static var id: DialectID { .ollamaGenerate }
    public static var framing: Framing { .lines }
    public static func name(of field: Field) -> StaticString {
        switch field {
        case .image: "images"
        case .messages: "prompt"
        default: OllamaWords.name(of: field)
        }
    }

    public static func readRequest(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard body.isObject else { throw Refusal("body", "must be an object") }
        try Conversation.refuseDuplicates(body)
        conversation.wantsStream = true
        var system = JSONValue()
        var prompt = JSONValue()
        var images = JSONValue()
        for member in body.members {
            if try OllamaFields.read(member, into: conversation) { continue }
            let (key, value) = member
            if key.equals("prompt") {
                prompt = value
            } else if key.equals("system") {
                system = value
            } else if key.equals("images") {
                images = value
            } else {
                // An empty suffix or template and `raw: false` are what is without them.
                let isDefault = value.text.exists && value.text.isEmpty || value.bool == false
                if isDefault { conversation.extra(.nested, Conversation.hintIndex, member) } else { conversation.extra(.root, 0, member) }
            }
        }
        guard conversation.model.exists else { throw Refusal("model", "is required") }
        if system.exists {
            guard system.isString else { throw Refusal("system", "must be a string") }
            if !system.text.isEmpty {
                try conversation.begin(.system)
                try conversation.add(.text(system.text))
            }
        }
        // Without a prompt Ollama only loads the model, which is nothing that could be said in another dialect.
        guard prompt.isString, !prompt.text.isEmpty else { throw Refusal("prompt", "must be a string that is not empty") }
        try conversation.begin(.user)
        try conversation.add(.text(prompt.text))
        if images.exists { try OllamaFields.readImages(images, "images", into: conversation) }
    }

    public static func writeRequest(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        try conversation.refuseWideOptions()
        out.beginObject()
        out.member("model", target.model)
        var hasSystem = false
        var hasPrompt = false
        for message in conversation.messages {
            switch message.role {
            case .system where !hasSystem && !hasPrompt, .developer where !hasSystem && !hasPrompt:
                out.key("system")
                hasSystem = true
            case .user where !hasPrompt:
                out.key("prompt")
                hasPrompt = true
            default: throw Refusal(JSONBytes(conversation.source.pieces.name(of: .messages)), "must be one prompt for this upstream")
            }
            OllamaDialect.writeText(conversation, message, into: &out)
            try OllamaDialect.writeImages(conversation, message, into: &out)
        }
        if !conversation.tools.isEmpty { try conversation.cannot(.tools) }
        try OllamaFields.write(conversation, to: target, into: &out)
        try OllamaFields.writeExtras(conversation, as: .ollamaGenerate, into: &out)
        out.endObject()
    }

    public static func readAnswer(_ body: JSONValue, into answer: Answer) -> Bool { OllamaAnswer.read(body, into: answer, generates: true) }
    public static func writeAnswer(_ answer: Answer, _ context: AnswerContext, into out: inout JSONWriter) {
        OllamaAnswer.write(answer, context, into: &out, generates: true)
    }
    public static func streamReader(_ quirks: Quirks) -> StreamReader { OllamaStreamReader(generates: true) }
    public static func streamWriter(_ context: AnswerContext) -> StreamWriter { OllamaStreamWriter(context, generates: true) }
    public static func readError(status: Int, _ body: JSONValue, text: UnsafeRawBufferPointer, kind: JSONBytes, _ arena: ArenaBox) -> ProviderError {
        OllamaDialect.readError(status: status, body, text: text, kind: kind, arena)
    }
    public static func writeError(_ error: ProviderError, requestID: JSONBytes, into out: inout JSONWriter) -> Int {
        OllamaDialect.writeError(error, requestID: requestID, into: &out)
    }
}
