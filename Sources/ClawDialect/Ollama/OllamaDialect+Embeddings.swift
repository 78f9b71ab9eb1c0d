// /api/embed (one text or several, an answer of vectors) and the older /api/embeddings (`prompt`, an answer of one vector), which only clients still speak.
import ClawWire

extension OllamaDialect {
    public static func readEmbedding(_ body: JSONValue, into request: EmbeddingRequest) throws(Refusal) {
        guard body.isObject else { throw Refusal("body", "must be an object") }
        try Conversation.refuseDuplicates(body)
        for member in body.members {
            let (key, value) = member
            if key.equals("model") {
                guard value.isString, !value.text.isEmpty else { throw Refusal("model", "must be a string that is not empty") }
                request.model = value.text
            } else if !value.isPresent {
                continue
            } else if key.equals("input") {
                if value.isString {
                    request.inputs.append(value.text)
                } else if value.isArray {
                    for element in value.elements {
                        guard element.isString else { throw Refusal("input", "must be a string or an array of strings") }
                        guard request.inputs.count < EmbeddingRequest.inputsMax else { throw Refusal("input", "must have at most 10000 elements") }
                        request.inputs.append(element.text)
                    }
                } else {
                    throw Refusal("input", "must be a string or an array of strings")
                }
            } else if key.equals("prompt") {
                guard value.isString else { throw Refusal("prompt", "must be a string") }
                request.inputs.append(value.text)
                request.isSingle = true
            } else if key.equals("dimensions") {
                guard let count = value.int, count > 0 else { throw Refusal("dimensions", "must be a whole number above 0") }
                request.dimensions = count
            } else if key.equals("options"), value.count == 0 {
                continue
            } else {
                let isHint = key.equals("keep_alive")
                request.extras.append(Extra(isHint ? .nested : .root, isHint ? Conversation.hintIndex : 0, key: key.text, value: value.raw))
            }
        }
        guard request.model.exists else { throw Refusal("model", "is required") }
        if request.isSingle, request.inputs.count != 1 { throw Refusal("prompt", "must not be there together with input") }
        guard !request.inputs.isEmpty else { throw Refusal("input", "must be a string or an array of at least one string") }
    }

    public static func writeEmbedding(_ request: EmbeddingRequest, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        let input = JSONBytes(request.source.pieces.name(of: .input))
        if request.isTokens { throw Refusal(input, "must be text for this upstream") }
        // Cohere's clients have to name one.
        if !request.task.isEmpty {
            if request.source == .cohere { request.note(request.taskName) } else { try request.refuse(request.taskName, "this upstream knows no tasks") }
        }
        if !request.title.isEmpty { try request.refuse(JSONBytes("title"), "this upstream knows no titles") }
        if !request.user.isEmpty { request.note(JSONBytes("user")) }
        out.beginObject()
        out.member("model", target.model)
        out.key("input")
        out.beginArray()
        for text in request.inputs { out.string(text) }
        out.endArray()
        if let count = request.dimensions { out.member("dimensions", count) }
        for extra in request.extras {
            if request.source == .ollama {
                out.key(extra.key)
                out.value(extra.value)
            } else {
                try request.refuse(extra)
            }
        }
        out.endObject()
    }

    public static func readEmbeddingAnswer(_ body: JSONValue, into answer: EmbeddingAnswer) -> Bool {
        let vectors = body["embeddings"]
        if vectors.isArray {
            for vector in vectors.elements {
                guard vector.isArray else { return false }
                answer.vectors.append(vector.raw)
            }
        } else if body["embedding"].isArray {
            answer.vectors.append(body["embedding"].raw)
        } else {
            return false
        }
        answer.model = body["model"].text
        if let count = body["prompt_eval_count"].tokens { answer.usage.setInput(sum: count) }
        return true
    }

    public static func writeEmbeddingAnswer(_ answer: EmbeddingAnswer, _ context: AnswerContext, into out: inout JSONWriter) {
        out.beginObject()
        if context.isSingle {
            out.key("embedding")
            if let vector = answer.vectors.first { write(vector, answer, into: &out) } else { out.value(JSONBytes("[]")) }
            return out.endObject()
        }
        out.member("model", answer.model.isEmpty ? context.model : answer.model)
        out.key("embeddings")
        out.beginArray()
        for vector in answer.vectors { write(vector, answer, into: &out) }
        out.endArray()
        out.member("total_duration", 0)
        out.member("load_duration", 0)
        if answer.usage.hasInput { out.member("prompt_eval_count", answer.usage.input) }
        out.endObject()
    }

    private static func write(_ vector: JSONBytes, _ answer: EmbeddingAnswer, into out: inout JSONWriter) {
        if answer.isBase64 { Base64.writeVector(vector, &answer.arena.arena, into: &out) } else { out.value(vector) }
    }
}

extension EmbeddingRequest {
    /// What the client called the task.
    var taskName: JSONBytes {
        switch source {
        case .gemini: JSONBytes("taskType")
        case .cohere: JSONBytes("input_type")
        default: JSONBytes("task")
        }
    }
    func refuse(_ name: JSONBytes, _ reason: StaticString) throws(Refusal) {
        if !dropsUnsupported { throw Refusal(name, reason) }
        note(name)
    }
    /// A member of another dialect.
    func refuse(_ extra: Extra) throws(Refusal) {
        if extra.value.equals("null") { return }
        if extra.scope == .nested, extra.index == Conversation.hintIndex { note(extra.key) } else { try refuse(extra.key, "this upstream does not know it") }
    }
}
