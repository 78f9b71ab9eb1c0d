// /v2/embed: up to 96 texts at once, each with a purpose (`input_type`), and vectors by type. Of an upstream floats are asked for; whoever wants base64 gets
// it made of them.
import ClawWire

extension CohereDialect {
    /// Texts of one request.
    static let textsMax = 96

    public static func readEmbedding(_ body: JSONValue, into request: EmbeddingRequest) throws(Refusal) {
        guard body.isObject else { throw Refusal("body", "must be an object") }
        try Conversation.refuseDuplicates(body)
        for member in body.members {
            let (key, value) = member
            if key.equals("model") {
                guard value.isString, !value.text.isEmpty else { throw Refusal("model", "must be a string that is not empty") }
                request.model = value.text
            } else if value.kind == .null {
                request.extras.append(Extra(.root, 0, key: key.text, value: value.raw))
            } else if key.equals("texts") {
                guard value.isArray else { throw Refusal("texts", "must be an array of strings") }
                for element in value.elements {
                    guard element.isString else { throw Refusal("texts", "must be an array of strings") }
                    guard request.inputs.count < textsMax else { throw Refusal("texts", "must have at most 96 elements") }
                    request.inputs.append(element.text)
                }
            } else if key.equals("input_type") {
                guard value.isString else { throw Refusal("input_type", "must be a string") }
                request.task = value.text
            } else if key.equals("embedding_types") {
                guard value.isArray, value.count == 1, value.first.equals("float") || value.first.equals("base64") else {
                    throw Refusal("embedding_types", "must be one of float and base64")
                }
                request.asBase64 = value.first.equals("base64")
            } else if key.equals("output_dimension") {
                guard let count = value.int, count > 0 else { throw Refusal("output_dimension", "must be a whole number above 0") }
                request.dimensions = count
            } else {
                request.extras.append(Extra(.root, 0, key: key.text, value: value.raw))
            }
        }
        guard request.model.exists else { throw Refusal("model", "is required") }
        guard request.task.exists else { throw Refusal("input_type", "is required") }
        guard !request.inputs.isEmpty else { throw Refusal("texts", "must be an array of at least one string") }
    }

    public static func writeEmbedding(_ request: EmbeddingRequest, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        let input = JSONBytes(request.source.pieces.name(of: .input))
        if request.isTokens { throw Refusal(input, "must be text for this upstream") }
        if request.inputs.count > textsMax { throw Refusal(input, "must have at most 96 texts for this upstream") }
        if request.inputs.isEmpty { throw Refusal(input, "must have at least one text") }
        if !request.title.isEmpty { try request.refuse(JSONBytes("title"), "this upstream knows no titles") }
        if !request.user.isEmpty { request.note(JSONBytes("user")) }
        out.beginObject()
        out.member("model", target.model)
        out.key("texts")
        out.beginArray()
        for text in request.inputs { out.string(text) }
        out.endArray()
        out.member("input_type", try inputType(request))
        out.key("embedding_types")
        out.beginArray()
        out.string(request.source == .cohere && request.asBase64 ? "base64" : "float")
        out.endArray()
        if let count = request.dimensions { out.member("output_dimension", count) }
        for extra in request.extras {
            if request.source == .cohere {
                out.key(extra.key)
                out.value(extra.value)
            } else if request.source == .ollama, extra.key.equals("truncate") {
                out.member("truncate", extra.value.equals("false") ? "NONE" : "END")
            } else {
                try request.refuse(extra)
            }
        }
        out.endObject()
    }

    /// Cohere's word for the purpose; Gemini's words have their like.
    private static func inputType(_ request: EmbeddingRequest) throws(Refusal) -> JSONBytes {
        let task = request.task
        if task.isEmpty { return JSONBytes("search_document") }
        for word in ["search_document", "search_query", "classification", "clustering", "image"] as [StaticString] where task.equals(word) { return task }
        if request.source == .cohere { return task }
        if task.equals("RETRIEVAL_DOCUMENT") || task.equals("TASK_TYPE_UNSPECIFIED") { return JSONBytes("search_document") }
        for word in ["RETRIEVAL_QUERY", "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY"] as [StaticString] where task.equals(word) {
            return JSONBytes("search_query")
        }
        if task.equals("CLASSIFICATION") { return JSONBytes("classification") }
        if task.equals("CLUSTERING") || task.equals("SEMANTIC_SIMILARITY") { return JSONBytes("clustering") }
        try request.refuse(request.taskName, "must be a task that this upstream knows")
        return JSONBytes("search_document")
    }

    public static func readEmbeddingAnswer(_ body: JSONValue, into answer: EmbeddingAnswer) -> Bool {
        answer.isBase64 = !body["embeddings"]["float"].isArray
        let vectors = answer.isBase64 ? body["embeddings"]["base64"] : body["embeddings"]["float"]
        guard vectors.isArray else { return false }
        for vector in vectors.elements {
            guard answer.isBase64 ? vector.isString : vector.isArray else { return false }
            answer.vectors.append(answer.isBase64 ? vector.text : vector.raw)
        }
        answer.id = body["id"].text
        if let count = body["meta"]["billed_units"]["input_tokens"].tokens { answer.usage.setInput(sum: count) }
        return true
    }

    public static func writeEmbeddingAnswer(_ answer: EmbeddingAnswer, _ context: AnswerContext, into out: inout JSONWriter) {
        out.beginObject()
        out.member("id", answer.id.isEmpty ? Identifiers.make("", seed: context.seed, &answer.arena.arena) : answer.id)
        out.key("embeddings")
        out.beginObject()
        out.key(context.asBase64 ? "base64" : "float")
        out.beginArray()
        for vector in answer.vectors {
            if answer.isBase64 == context.asBase64 {
                if answer.isBase64 { out.string(vector) } else { out.value(vector) }
            } else if answer.isBase64 {
                // `\/` is the one escape that base64 can have.
                Base64.writeVector(answer.arena.arena.unescaped(vector), &answer.arena.arena, into: &out)
            } else if answer.arena.tape.read(vector.raw) == nil {
                out.string(Base64.vector(answer.arena.tape.root, &answer.arena.arena))
            } else {
                out.string("")
            }
        }
        out.endArray()
        out.endObject()
        out.key("meta")
        out.beginObject()
        out.member("api_version", raw: JSONBytes(#"{"version":"2"}"#))
        if answer.usage.hasInput {
            out.key("billed_units")
            out.beginObject()
            out.member("input_tokens", answer.usage.input)
            out.endObject()
        }
        out.endObject()
        out.member("response_type", "embeddings_by_type")
        out.endObject()
    }
}
