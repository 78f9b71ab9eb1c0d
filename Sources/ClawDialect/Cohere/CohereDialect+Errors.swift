// Cohere's errors: `{"message","id"}`, sometimes with `error_type`; the status says the rest. 498 is a key that is none.
import ClawWire

extension CohereDialect {
    public static func readError(status: Int, _ body: JSONValue, text: UnsafeRawBufferPointer, kind: JSONBytes, _ arena: ArenaBox) -> ProviderError {
        var message = body["message"].text
        if message.isEmpty { message = body["error"].isString ? body["error"].text : body["error"]["message"].text }
        if message.isEmpty, !body.exists { message = PlainError.message(text, &arena.arena) }
        var error = ProviderError(status: status, problem: problem(status, body["error_type"], message))
        error.message = message.isEmpty ? PlainError.sentence(error.problem) : message
        error.type = body["error_type"].text
        if body.isObject { error.native = body.raw }
        // A trial key's calls of a month are used up: unlike those of a minute they don't come back soon.
        error.isQuota = status == 402 || (status == 429 && PlainError.mentions(message, "/ month"))
        error.source = .cohere
        return error
    }

    private static func problem(_ status: Int, _ type: JSONValue, _ message: JSONBytes) -> ProblemClass {
        if type.equals("TOO_MANY_TOKENS") || PlainError.mentions(message, "too many tokens") { return .contextTooLong }
        switch status {
        case 498: return .auth
        case 402: return .rateLimited
        case 400, 422:
            if PlainError.mentions(message, "model"), PlainError.mentions(message, "not found") { return .modelMissing }
            if PlainError.mentions(message, "api key") || PlainError.mentions(message, "api token") { return .auth }
            return .badRequest
        default: return ProviderError.problem(of: status)
        }
    }

    public static func writeError(_ error: ProviderError, requestID: JSONBytes, into out: inout JSONWriter) -> Int {
        let isOwn = error.source == .cohere
        if isOwn, error.native.exists {
            out.put(error.native)
            return error.status
        }
        JSONPieces.beginRoot(&out)
        out.member("id", requestID.exists ? requestID : JSONBytes(""))
        out.member("message", error.message.isEmpty ? PlainError.sentence(error.problem) : error.message)
        if error.problem == .contextTooLong { out.member("error_type", "TOO_MANY_TOKENS") }
        out.endObject()
        return isOwn ? error.status : status(error)
    }

    private static func status(_ error: ProviderError) -> Int {
        switch error.problem {
        case .rateLimited: 429
        case .overloaded: 503
        case .timeout: 504
        case .serverError: 500
        case .auth: error.status == 403 ? 403 : 401
        case .modelMissing: 404
        case .contextTooLong, .contentFiltered: 400
        case .badRequest: error.status == 422 ? 422 : 400
        }
    }
}
