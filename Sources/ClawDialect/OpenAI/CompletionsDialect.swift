// The old /v1/completions: one prompt, one text. A prompt becomes one user message, so that it reaches models of today; towards an upstream that has this
// endpoint, only a conversation of that one message can be said in it. What the old endpoint alone can do (`suffix`, `echo`, `best_of`, `logprobs` as a
// number) is an extra, which others refuse. Reader and writer of the stream are those of chat with `isLegacy`.
import ClawWire

public enum CompletionsDialect: DialectPieces {
    public static var id: DialectID { .completions }

    public static func name(of field: Field) -> StaticString {
        switch field {
        case .messages, .image, .inputAudio, .document, .video, .toolResultContent, .prefill, .systemRole: "prompt"
        default: field.word
        }
    }

    public static func streamReader(_ quirks: Quirks) -> StreamReader { ChatStreamReader(quirks, isLegacy: true) }
    public static func streamWriter(_ context: AnswerContext) -> StreamWriter { ChatStreamWriter(context, isLegacy: true) }

    public static func readError(status: Int, _ body: JSONValue, text: UnsafeRawBufferPointer, kind: JSONBytes, _ arena: ArenaBox) -> ProviderError {
        ChatDialect.readError(status: status, body, text: text, kind: kind, arena)
    }
    public static func writeError(_ error: ProviderError, requestID: JSONBytes, into out: inout JSONWriter) -> Int {
        ChatDialect.writeError(error, requestID: requestID, into: &out)
    }

    // MARK: requests

    public static func readRequest(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        try ChatDialect.checkRoot(body)
        var prompt = JSONValue()
        for member in body.members {
            if try ChatDialect.readShared(member, into: conversation) { continue }
            let key = member.key.text
            let value = member.value
            if key.equals("prompt") {
                prompt = value
                continue
            }
            guard value.isPresent else { continue }
            if key.equals("suffix") {
                if try !ChatDialect.string(value, "suffix").isEmpty { conversation.extra(.root, 0, member) }
            } else if key.equals("echo") {
                if try ChatDialect.bool(value, "echo") { conversation.extra(.root, 0, member) }
            } else if key.equals("best_of") {
                if try ChatDialect.count(value, "best_of", to: 128) > 1 { conversation.extra(.root, 0, member) }
            } else if key.equals("logprobs") {
                _ = try ChatDialect.count(value, "logprobs", from: 0)
                conversation.extra(.root, 0, member)
            } else {
                conversation.extra(.root, 0, member)
            }
        }
        ChatDialect.readMaxTokens(body, into: conversation)
        guard prompt.exists else { throw Refusal("prompt", "is required") }
        var text = prompt
        if prompt.isArray {
            guard prompt.count == 1, prompt.first.isString else { throw Refusal("prompt", "must be a string or an array of one string; tokens are not taken") }
            text = prompt.first
            conversation.extra(.nested, Conversation.formIndex, (key: promptKey(body), value: prompt))
        }
        guard text.isString else { throw Refusal("prompt", "must be a string or an array of one string; tokens are not taken") }
        try conversation.begin(.user)
        try conversation.add(.text(text.text))
    }

    private static func promptKey(_ body: JSONValue) -> JSONValue {
        for member in body.members where member.key.equals("prompt") { return member.key }
        return JSONValue()
    }

    public static func writeRequest(_ conversation: Conversation, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = conversation.source == id
        try conversation.refuseExtras(of: id)
        guard conversation.messages.count == 1, conversation.messages[0].role == .user else {
            throw Refusal(JSONBytes(conversation.source.pieces.name(of: .messages)), "this upstream takes a single prompt, no conversation")
        }
        for place in conversation.messages[0].parts where conversation.parts[place].kind != .text {
            throw Refusal(JSONBytes(conversation.source.pieces.name(of: .messages)), "this upstream takes text only")
        }
        if !conversation.tools.isEmpty { try conversation.cannot(.tools) }
        if conversation.format.kind == .jsonObject || conversation.format.kind == .jsonSchema { try conversation.cannot(.responseFormat) }
        if conversation.reasoning.isSet { try conversation.cannot(.reasoning) }
        if conversation.logprobs == true { try conversation.cannot(.logprobs) }
        if conversation.modalities.exists { try conversation.cannot(.modalities) }
        if conversation.audio.exists { try conversation.cannot(.audio) }
        if conversation.prediction.exists { try conversation.cannot(.prediction) }
        if conversation.verbosity.exists { try conversation.cannot(.verbosity) }
        if conversation.previousResponseID.exists { try conversation.cannot(.previousResponseID) }
        if conversation.cache != .none { conversation.hint(.cacheControl) }
        var quirks = target.quirks
        quirks.usesMaxTokens = true
        var old = target
        old.quirks = quirks
        out.beginObject()
        out.member("model", target.model)
        if isOwn, let form = ChatDialect.form(of: "prompt", conversation) {
            out.member("prompt", raw: form)
        } else {
            out.member("prompt", conversation.joinedText(conversation.messages[0].parts, separator: "\\n\\n"))
        }
        try ChatDialect.writeShared(conversation, to: old, isOwn: isOwn, into: &out)
        ChatDialect.writeRootExtras(conversation, quirks, isOwn: isOwn, into: &out)
        out.endObject()
    }

    // MARK: answers

    public static func readAnswer(_ body: JSONValue, into answer: Answer) -> Bool {
        guard ChatDialect.readEnvelope(body, into: answer) else { return false }
        for choice in body["choices"].elements {
            guard choice.isObject, answer.choices.count < ChatDialect.choicesMax else { return false }
            let at = answer.choices.count
            answer.beginChoice(choice["index"].int ?? Int64(at))
            ChatDialect.readFinish(choice, at, into: answer)
            guard choice["text"].isString else { return false }
            answer.add(.text(choice["text"].text))
            for member in choice.members {
                let key = member.key.text
                if key.equals("index") || key.equals("finish_reason") || key.equals("text") || key.equals("logprobs") { continue }
                answer.extra(.choice, at, member)
            }
            if answer.choices[at].finish == .error {
                answer.error = ChatDialect.failedInside(answer.choices[at].nativeFinish, answer.arena)
                return false
            }
        }
        return !answer.choices.isEmpty
    }

    /// Thoughts and calls have no place in it; the endpoint has no tools to call.
    public static func writeAnswer(_ answer: Answer, _ context: AnswerContext, into out: inout JSONWriter) {
        let isOwn = answer.source == id
        out.beginObject()
        ChatDialect.writeHead(answer, context, "cmpl-", "text_completion", into: &out)
        out.key("choices")
        out.beginArray()
        var extras = ExtraWalk(.choice)
        for at in answer.choices.indices {
            let choice = answer.choices[at]
            out.beginObject()
            out.key("text")
            JSONPieces.beginString(&out)
            for place in choice.parts where answer.parts[place].kind == .text || answer.parts[place].kind == .refusal { out.put(answer.parts[place].text) }
            JSONPieces.endString(&out)
            out.member("index", choice.index)
            if choice.logprobs.exists, isOwn { out.member("logprobs", raw: choice.logprobs) } else { out.null("logprobs") }
            if isOwn {
                ChatDialect.writeFinish(answer, choice, true, hasCalls: false, into: &out)
            } else {
                let word = ChatDialect.word(of: choice.finish, hasCalls: false)
                out.member("finish_reason", choice.finish == .toolCalls ? "stop" : word)
            }
            if isOwn { while let extra = extras.next(at, in: answer.extras) { ChatDialect.write(extra, into: &out) } }
            out.endObject()
        }
        out.endArray()
        ChatDialect.writeTail(answer, isOwn, into: &out)
        out.endObject()
    }
}
