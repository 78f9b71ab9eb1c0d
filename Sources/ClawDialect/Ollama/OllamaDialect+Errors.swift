// Ollama's errors: `{"error":"text"}`, a string, with a status that says the rest. 401 has a `signin_url` beside it; proxies before a cloud answer plain text.
import ClawWire

extension OllamaDialect {
    public static func readError(status: Int, _ body: JSONValue, text: UnsafeRawBufferPointer, kind: JSONBytes, _ arena: ArenaBox) -> ProviderError {
        let word = body["error"]
        var message = word.isString ? word.text : word["message"].text
        if message.isEmpty { message = body["message"].text }
        if message.isEmpty, !body.exists { message = PlainError.message(text, &arena.arena) }
        var error = ProviderError(status: status, problem: problem(status, message))
        error.message = message.isEmpty ? PlainError.sentence(error.problem) : message
        if body.isObject { error.native = body.raw }
        error.isQuota = status == 402
        error.source = .ollama
        return error
    }

    static func problem(_ status: Int, _ message: JSONBytes) -> ProblemClass {
        if status == 400 || status == 413 || status == 500 || status == 502 {
            // "prompt too long; exceeded max context length by 4 tokens", "input length exceeds maximum context length" (embeddings)
            if PlainError.mentions(message, "prompt too long") || PlainError.mentions(message, "prompt is too long")
                || PlainError.mentions(message, "context length") || PlainError.mentions(message, "context window")
            {
                return .contextTooLong
            }
            if PlainError.mentions(message, "model"), PlainError.mentions(message, "not found") { return .modelMissing }
        }
        if status == 402 { return .rateLimited }
        return ProviderError.problem(of: status)
    }

    public static func writeError(_ error: ProviderError, requestID: JSONBytes, into out: inout JSONWriter) -> Int {
        let isOwn = error.source == .ollama || error.source == .ollamaGenerate
        if isOwn, error.native.exists {
            out.put(error.native)
            return error.status
        }
        JSONPieces.beginRoot(&out)
        out.member("error", error.message.isEmpty ? PlainError.sentence(error.problem) : error.message)
        out.endObject()
        return isOwn ? error.status : status(error)
    }

    private static func status(_ error: ProviderError) -> Int {
        switch error.problem {
        case .rateLimited: 429
        case .overloaded: 503
        case .timeout: 504
        case .serverError: (500...502).contains(error.status) ? error.status : 500
        case .auth: error.status == 403 ? 403 : 401
        case .modelMissing: 404
        case .contextTooLong, .contentFiltered: 400
        case .badRequest: (400...499).contains(error.status) && error.status != 401 && error.status != 404 ? error.status : 400
        }
    }
}
