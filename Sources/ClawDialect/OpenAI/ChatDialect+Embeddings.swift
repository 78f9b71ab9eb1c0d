// OpenAI's embeddings, both ways. Vectors travel as arrays of numbers or as base64 of float32; the SDKs ask for base64 by themselves, so whatever the
// upstream gave is turned into what was asked for.
import ClawWire

extension ChatDialect {
    public static func readEmbedding(_ body: JSONValue, into request: EmbeddingRequest) throws(Refusal) {
        try checkRoot(body)
        var input = JSONValue()
        for member in body.members {
            let key = member.key.text
            let value = member.value
            if key.equals("model") {
                request.model = try string(value, "model")
                if request.model.isEmpty { throw Refusal("model", "must not be empty") }
            } else if !value.isPresent {
                continue
            } else if key.equals("input") {
                input = value
            } else if key.equals("encoding_format") {
                guard value.equals("float") || value.equals("base64") else { throw Refusal("encoding_format", "must be float or base64") }
                request.asBase64 = value.equals("base64")
            } else if key.equals("dimensions") {
                request.dimensions = try count(value, "dimensions")
            } else if key.equals("user") {
                request.user = try string(value, "user")
            } else {
                request.extras.append(Extra(.root, 0, key: key, value: value.raw))
            }
        }
        guard input.exists else { throw Refusal("input", "is required") }
        try readInput(input, into: request)
    }

    private static func readInput(_ input: JSONValue, into request: EmbeddingRequest) throws(Refusal) {
        if input.isString {
            request.isSingle = true
            request.inputs.append(input.text)
            return
        }
        guard input.isArray, input.first.exists else { throw Refusal("input", "must be a string, or an array of strings or token ids that is not empty") }
        if input.first.kind == .number {
            for token in input.elements where token.int == nil { throw Refusal("input", "must hold token ids only, or strings only") }
            request.isSingle = true
            request.isTokens = true
            request.inputs.append(input.raw)
            return
        }
        request.isTokens = input.first.isArray
        for item in input.elements {
            guard request.inputs.count < EmbeddingRequest.inputsMax else { throw Refusal("input", "has more than 10000 elements") }
            if request.isTokens {
                guard item.isArray else { throw Refusal("input", "must hold arrays of token ids only, or strings only") }
                for token in item.elements where token.int == nil { throw Refusal("input", "must hold token ids only, or strings only") }
                request.inputs.append(item.raw)
            } else {
                guard item.isString else { throw Refusal("input", "must hold strings only, or arrays of token ids only") }
                request.inputs.append(item.text)
            }
        }
    }

    public static func writeEmbedding(_ request: EmbeddingRequest, to target: Target, into out: inout JSONWriter) throws(Refusal) {
        let isOwn = request.source == id
        let quirks = target.quirks
        if request.isTokens, quirks.embedsFloatsOnly || quirks.joinsTexts { throw Refusal("input", "this upstream takes text, no token ids") }
        // A title belongs to Gemini's kind of task, and so does the task.
        if !request.title.isEmpty { request.note(JSONBytes("title")) }
        if !request.task.isEmpty { request.note(request.taskName) }
        out.beginObject()
        out.member("model", target.model)
        out.key("input")
        if request.isSingle, request.inputs.count == 1 {
            write(request.inputs[0], request.isTokens, into: &out)
        } else {
            out.beginArray()
            for input in request.inputs { write(input, request.isTokens, into: &out) }
            out.endArray()
        }
        if request.asBase64, !quirks.embedsFloatsOnly { out.member("encoding_format", "base64") }
        if let dimensions = request.dimensions {
            if quirks.supports(.dimensions) {
                out.member(quirks.embedsFloatsOnly ? "output_dimension" : "dimensions", dimensions)
            } else {
                try request.cannot(.dimensions)
            }
        }
        if request.user.exists { if quirks.supports(.user) { out.member("user", request.user) } else { request.note(JSONBytes("user")) } }
        for extra in request.extras {
            if isOwn {
                write(extra, into: &out)
            } else if request.dropsUnsupported {
                request.note(extra.key)
            } else {
                throw Refusal(extra.key, "this upstream does not know it")
            }
        }
        out.endObject()
    }

    private static func write(_ input: JSONBytes, _ isTokens: Bool, into out: inout JSONWriter) {
        if isTokens { out.value(input) } else { out.string(input) }
    }

    public static func readEmbeddingAnswer(_ body: JSONValue, into answer: EmbeddingAnswer) -> Bool {
        guard body.isObject, body["data"].isArray, !body["error"].isPresent else { return false }
        answer.id = body["id"].text
        answer.model = body["model"].text
        answer.usage.take(usage(body["usage"]))
        if answer.usage.hasInput, body["usage"]["completion_tokens"].exists == false { answer.usage.hasOutput = false }
        let count = body["data"].count
        guard count > 0, count <= EmbeddingRequest.inputsMax else { return false }
        // `index` says which input a vector is of; some servers leave it out and mean the order.
        answer.vectors = Array(repeating: JSONBytes(), count: count)
        var next = 0
        for item in body["data"].elements {
            let at = item["index"].exists ? item["index"].int ?? -1 : Int64(next)
            let vector = item["embedding"]
            guard at >= 0, at < Int64(count), !answer.vectors[Int(at)].exists, vector.isArray || vector.isString else { return false }
            if next > 0, answer.isBase64 != vector.isString { return false }
            answer.isBase64 = vector.isString
            answer.vectors[Int(at)] = vector.isString ? vector.text : vector.raw
            next += 1
        }
        return true
    }

    public static func writeEmbeddingAnswer(_ answer: EmbeddingAnswer, _ context: AnswerContext, into out: inout JSONWriter) {
        out.beginObject()
        if context.client == .mistral { out.member("id", answer.id.isEmpty ? Identifiers.make("embd-", seed: context.seed, &answer.arena.arena) : answer.id) }
        out.member("object", "list")
        out.key("data")
        out.beginArray()
        for (at, vector) in answer.vectors.enumerated() {
            out.beginObject()
            out.member("object", "embedding")
            out.member("index", Int64(at))
            out.key("embedding")
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
            out.endObject()
        }
        out.endArray()
        out.member("model", answer.model.isEmpty ? context.model : answer.model)
        out.key("usage")
        out.beginObject()
        out.member("prompt_tokens", answer.usage.input)
        out.member("total_tokens", answer.usage.total)
        out.endObject()
        out.endObject()
    }
}
