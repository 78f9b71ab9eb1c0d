// Embeddings: `embedContent` for one text and `batchEmbedContents` for many, whose requests each name the model. Towards Gemini it is always the latter.
import ClawWire

extension GeminiDialect {
    public static func readEmbedding(_ body: JSONValue, into request: EmbeddingRequest) throws(Refusal) {
        try refuseDoubles(body)
        let requests = GeminiKey.pick(body, "requests")
        guard requests.exists else {
            request.isSingle = true
            return try readOne(body, into: request, isFirst: true)
        }
        guard requests.isArray else { throw Refusal("requests", "must be an array") }
        for member in body.members where member.value.isPresent && !GeminiKey.matches(member.key, "requests") && !GeminiKey.matches(member.key, "model") {
            request.extras.append(Extra(.root, 0, key: member.key.text, value: member.value.raw))
        }
        for one in requests.elements {
            guard one.isObject else { throw Refusal("requests[]", "must be an object") }
            guard request.inputs.count < EmbeddingRequest.inputsMax else { throw Refusal("requests", "there are more than 10000 of them") }
            try readOne(one, into: request, isFirst: request.inputs.isEmpty)
        }
        guard !request.inputs.isEmpty else { throw Refusal("requests", "must not be empty") }
    }

    /// What is said of the first text must be said of all, since the neutral request says it once.
    private static func readOne(_ body: JSONValue, into request: EmbeddingRequest, isFirst: Bool) throws(Refusal) {
        var content = JSONValue()
        var task = JSONBytes()
        var title = JSONBytes()
        var dimensions: Int64?
        for member in body.members where member.value.isPresent {
            let (key, value) = member
            if GeminiKey.matches(key, "content") {
                content = value
            } else if GeminiKey.matches(key, "model") {
                guard value.isString else { throw Refusal("model", "must be a string") }
                if !request.model.exists { request.model = GeminiKey.bareModel(value.text) }
            } else if GeminiKey.matches(key, "taskType") {
                guard value.isString else { throw Refusal("taskType", "must be a string") }
                task = value.text
            } else if GeminiKey.matches(key, "title") {
                guard value.isString else { throw Refusal("title", "must be a string") }
                title = value.text
            } else if GeminiKey.matches(key, "outputDimensionality") {
                guard let number = value.int, number > 0 else { throw Refusal("outputDimensionality", "must be a whole number from 1 on") }
                dimensions = number
            } else if GeminiKey.matches(key, "embedContentConfig") {
                // Vertex's place for the same.
                guard value.isObject else { throw Refusal("embedContentConfig", "must be an object") }
                let inner = GeminiKey.pick(value, "taskType")
                if inner.isString { task = inner.text }
                if GeminiKey.pick(value, "title").isString { title = GeminiKey.pick(value, "title").text }
                if let number = GeminiKey.pick(value, "outputDimensionality").int { dimensions = number }
            } else {
                request.extras.append(Extra(.root, 0, key: key.text, value: value.raw))
            }
        }
        guard content.exists else { throw Refusal("content", "is required") }
        guard content.isObject else { throw Refusal("content", "must be an object") }
        let parts = GeminiKey.pick(content, "parts")
        guard parts.first.exists else { throw Refusal("content.parts", "must be an array that is not empty") }
        var text = JSONBytes()
        for part in parts.elements {
            let piece = GeminiKey.pick(part, "text")
            guard piece.isString else { throw Refusal("content.parts[].text", "must be a string") }
            text = text.exists ? request.arena.arena.joined(text, JSONBytes("\\n"), piece.text) : piece.text
        }
        if isFirst {
            request.task = task
            request.title = title
            request.dimensions = dimensions
        } else {
            guard task.equals(request.task) else { throw Refusal("requests[].taskType", "must be the same in all requests") }
            guard title.equals(request.title) else { throw Refusal("requests[].title", "must be the same in all requests") }
            guard dimensions == request.dimensions else { throw Refusal("requests[].outputDimensionality", "must be the same in all requests") }
        }
        request.inputs.append(text)
    }

    public static func writeEmbedding(_ request: EmbeddingRequest, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        let isSame = request.source == .gemini
        if request.isTokens { throw Refusal(JSONBytes(request.source.pieces.name(of: .input)), "must be text for this upstream") }
        let task = try task(request)
        if request.user.exists { request.note(JSONBytes(request.source.pieces.name(of: .user))) }
        // Of several requests the neutral one no longer knows whose a member was.
        let keepsExtras = isSame && request.inputs.count == 1
        if !keepsExtras {
            for extra in request.extras where !extra.value.equals("null") {
                if !request.dropsUnsupported { throw Refusal(extra.key, "this upstream does not know it") }
                request.note(extra.key)
            }
        }
        out.beginObject()
        out.key("requests")
        out.beginArray()
        for input in request.inputs {
            out.beginObject()
            GeminiKey.writeModel(target.model, into: &out, request.arena)
            out.key("content")
            out.beginObject()
            out.key("parts")
            out.beginArray()
            out.beginObject()
            out.member("text", input)
            out.endObject()
            out.endArray()
            out.endObject()
            if task.exists { out.member("taskType", task) }
            if request.title.exists { out.member("title", request.title) }
            if let dimensions = request.dimensions { out.member("outputDimensionality", dimensions) }
            if keepsExtras {
                for extra in request.extras {
                    out.key(extra.key)
                    out.value(extra.value)
                }
            }
            out.endObject()
        }
        out.endArray()
        out.endObject()
    }

    /// What the vectors are for, in Gemini's words.
    private static func task(_ request: EmbeddingRequest) throws(Refusal) -> JSONBytes {
        let word = request.task
        if word.isEmpty { return JSONBytes() }
        if request.source == .gemini { return word }
        if word.equals("search_document") { return JSONBytes("RETRIEVAL_DOCUMENT") }
        if word.equals("search_query") { return JSONBytes("RETRIEVAL_QUERY") }
        if word.equals("classification") { return JSONBytes("CLASSIFICATION") }
        if word.equals("clustering") { return JSONBytes("CLUSTERING") }
        if !request.dropsUnsupported { throw Refusal("input_type", "must be search_document, search_query, classification or clustering for this upstream") }
        request.note(JSONBytes("input_type"))
        return JSONBytes()
    }

    public static func readEmbeddingAnswer(_ body: JSONValue, into answer: EmbeddingAnswer) -> Bool {
        let many = body["embeddings"]
        let one = body["embedding"]
        let predictions = body["predictions"]
        var tokens: Int64 = 0
        if many.isArray {
            for vector in many.elements where !add(vector, &tokens, into: answer) { return false }
        } else if one.isObject {
            guard add(one, &tokens, into: answer) else { return false }
        } else if predictions.isArray {
            for prediction in predictions.elements where !add(prediction["embeddings"], &tokens, into: answer) { return false }
        } else {
            return false
        }
        let stated = body["usageMetadata"]["promptTokenCount"].tokens
        if stated != nil || tokens > 0 { answer.usage.setInput(sum: stated ?? tokens) }
        return true
    }

    private static func add(_ vector: JSONValue, _ tokens: inout Int64, into answer: EmbeddingAnswer) -> Bool {
        guard vector["values"].isArray else { return false }
        answer.vectors.append(vector["values"].raw)
        let statistics = vector["statistics"]
        tokens += statistics["tokenCount"].tokens ?? statistics["token_count"].tokens ?? 0
        return true
    }

    public static func writeEmbeddingAnswer(_ answer: EmbeddingAnswer, _ context: AnswerContext, into out: inout JSONWriter) {
        out.beginObject()
        if context.isSingle {
            out.key("embedding")
            if let vector = answer.vectors.first { writeVector(vector, answer, into: &out) } else { out.null() }
        } else {
            out.key("embeddings")
            out.beginArray()
            for vector in answer.vectors { writeVector(vector, answer, into: &out) }
            out.endArray()
        }
        if answer.usage.hasInput {
            out.key("usageMetadata")
            out.beginObject()
            out.member("promptTokenCount", answer.usage.input)
            out.member("totalTokenCount", answer.usage.total)
            out.endObject()
        }
        out.endObject()
    }

    private static func writeVector(_ vector: JSONBytes, _ answer: EmbeddingAnswer, into out: inout JSONWriter) {
        out.beginObject()
        out.key("values")
        if answer.isBase64 { Base64.writeVector(vector, &answer.arena.arena, into: &out) } else { out.value(vector) }
        out.endObject()
    }
}
