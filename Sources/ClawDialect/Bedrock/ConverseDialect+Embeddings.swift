// Embeddings at Bedrock go by InvokeModel, in the format of the model's maker: Titan takes one text a call, Cohere a list with what it is for.
import ClawWire

extension ConverseDialect {
    private enum EmbeddingModel { case titan(hasDimensions: Bool, isMultimodal: Bool), cohere(hasDimensions: Bool), unknown }
    /// Texts of one call to Cohere's models.
    private static let cohereInputsMax = 96

    /// By the id's beginning, behind a region (`us.`, `global.`) or an ARN's last slash.
    private static func embeddingModel(_ model: JSONBytes) -> EmbeddingModel {
        var id = model
        if let slash = id.raw.lastIndex(of: 0x2F) { id = id.dropFirst(slash + 1) }
        for _ in 0..<2 {
            if id.begins(with: "amazon.titan-embed") {
                return .titan(hasDimensions: !id.begins(with: "amazon.titan-embed-text-v1") && !id.begins(with: "amazon.titan-embed-g1"),
                              isMultimodal: id.begins(with: "amazon.titan-embed-image"))
            }
            if id.begins(with: "cohere.embed") { return .cohere(hasDimensions: id.begins(with: "cohere.embed-v4")) }
            guard let dot = id.firstIndex(of: 0x2E) else { break }
            id = id.dropFirst(dot + 1)
        }
        return .unknown
    }

    public static func readEmbedding(_ body: JSONValue, into request: EmbeddingRequest) throws(Refusal) {
        guard body.isObject else { throw Refusal("inputText", "the body must be a JSON object") }
        if let key = body.duplicateKey { throw Refusal(key, "stands twice") }
        if body["texts"].isPresent {
            guard body["texts"].isArray else { throw Refusal("texts", "must be an array of strings") }
            for text in body["texts"].elements {
                guard text.isString, request.inputs.count < EmbeddingRequest.inputsMax else {
                    throw Refusal("texts", "must be an array of at most 10000 strings")
                }
                request.inputs.append(text.text)
            }
            request.task = try optional(body["input_type"], "input_type")
        } else {
            request.inputs.append(try required(body["inputText"], "inputText"))
            request.isSingle = true
        }
        for name in ["dimensions", "output_dimension"] as [StaticString] where body[name].isPresent {
            guard let count = body[name].int, count > 0 else { throw Refusal(name, "must be a whole number above 0") }
            request.dimensions = count
        }
        for member in body.members
        where !["texts", "input_type", "inputText", "dimensions", "output_dimension"].contains(where: { member.key.equals($0) }) && member.value.isPresent {
            request.extras.append(Extra(.root, 0, key: member.key.text, value: member.value.raw))
        }
    }

    public static func writeEmbedding(_ request: EmbeddingRequest, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        let input = JSONBytes(request.source.pieces.name(of: .input))
        if request.isTokens { throw Refusal(input, "must be text for this upstream") }
        guard let first = request.inputs.first else { throw Refusal(input, "must hold at least one text") }
        if request.source != .converse {
            for extra in request.extras where !extra.value.equals("null") {
                if !request.dropsUnsupported { throw Refusal(extra.key, "this upstream does not know it") }
                request.note(extra.key)
            }
            if request.user.exists { request.note(JSONBytes(request.source.pieces.name(of: .user))) }
            if request.title.exists { request.note(JSONBytes("title")) }
        }
        out.beginObject()
        switch embeddingModel(target.model) {
        case .unknown: throw Refusal("model", "is no embedding model of Bedrock's that is known here (amazon.titan-embed…, cohere.embed…)")
        case .titan(let hasDimensions, let isMultimodal):
            guard request.inputs.count == 1 else { throw Refusal(input, "must be one text: this model takes one a call") }
            out.member("inputText", first)
            if request.task.exists { request.note(JSONBytes("task")) }
            if let dimensions = request.dimensions {
                if isMultimodal {
                    out.key("embeddingConfig")
                    out.beginObject()
                    out.member("outputEmbeddingLength", dimensions)
                    out.endObject()
                } else if hasDimensions {
                    out.member("dimensions", dimensions)
                } else {
                    try request.cannot(.dimensions)
                }
            }
        case .cohere(let hasDimensions):
            guard request.inputs.count <= cohereInputsMax else { throw Refusal(input, "must be at most 96 texts for this model") }
            out.key("texts")
            out.beginArray()
            for text in request.inputs { out.string(text) }
            out.endArray()
            out.member("input_type", cohereTask(request.task))
            if let dimensions = request.dimensions { if hasDimensions { out.member("output_dimension", dimensions) } else { try request.cannot(.dimensions) } }
        }
        if request.source == .converse {
            for extra in request.extras {
                out.key(extra.key)
                out.value(extra.value)
            }
        }
        out.endObject()
    }

    /// Cohere wants to know what the texts are for; Gemini's words and none at all are put into its own.
    private static func cohereTask(_ task: JSONBytes) -> JSONBytes {
        if !task.exists || task.isEmpty { return JSONBytes("search_document") }
        let words: [(StaticString, StaticString)] = [
            ("RETRIEVAL_QUERY", "search_query"), ("QUESTION_ANSWERING", "search_query"), ("FACT_VERIFICATION", "search_query"),
            ("CODE_RETRIEVAL_QUERY", "search_query"), ("RETRIEVAL_DOCUMENT", "search_document"), ("CLASSIFICATION", "classification"),
            ("CLUSTERING", "clustering"), ("SEMANTIC_SIMILARITY", "clustering"), ("TASK_TYPE_UNSPECIFIED", "search_document"),
        ]
        for (theirs, ours) in words where task.equals(theirs) { return JSONBytes(ours) }
        return task
    }

    public static func readEmbeddingAnswer(_ body: JSONValue, into answer: EmbeddingAnswer) -> Bool {
        let one = body["embedding"]
        if one.isArray {
            answer.vectors.append(one.raw)
        } else {
            let list = body["embeddings"].isArray ? body["embeddings"] : body["embeddings"]["float"]
            guard list.isArray else { return false }
            for vector in list.elements {
                guard vector.isArray else { return false }
                answer.vectors.append(vector.raw)
            }
        }
        answer.id = body["id"].text
        if let tokens = body["inputTextTokenCount"].tokens { answer.usage.setInput(sum: tokens) }
        return true
    }

    public static func writeEmbeddingAnswer(_ answer: EmbeddingAnswer, _ context: AnswerContext, into out: inout JSONWriter) {
        func write(_ vector: JSONBytes) { if answer.isBase64 { Base64.writeVector(vector, &answer.arena.arena, into: &out) } else { out.value(vector) } }
        out.beginObject()
        if context.isSingle, let vector = answer.vectors.first {
            out.key("embedding")
            write(vector)
            out.member("inputTextTokenCount", answer.usage.input)
        } else {
            out.member("id", answer.id.isEmpty ? Identifiers.make("emb_", seed: context.seed, &answer.arena.arena) : answer.id)
            out.key("embeddings")
            out.beginArray()
            for vector in answer.vectors { write(vector) }
            out.endArray()
            out.member("response_type", "embeddings_floats")
        }
        out.endObject()
    }
}
