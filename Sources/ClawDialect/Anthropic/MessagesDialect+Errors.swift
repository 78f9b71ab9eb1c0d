// Errors: `{"type":"error","error":{"type","message"},"request_id"}`. What comes back with an error's status need not be that: a proxy before the API sends
// plain text, Bedrock `{"message"}` with the exception's name in a header, Google its own envelope. What a client's program decides by is `type`.
import ClawWire

extension MessagesDialect {
    private static let textMax = 500

    public static func readError(status: Int, _ body: JSONValue, text: UnsafeRawBufferPointer, kind: JSONBytes, _ arena: ArenaBox) -> ProviderError {
        var error = ProviderError(status: status, problem: ProviderError.problem(of: status))
        error.source = .messages
        // Google's JSON arrays of one error.
        let whole = body.isArray ? body.first : body
        let inner = whole["error"]
        if inner.isObject {
            error.message = inner["message"].text
            error.type = inner["type"].text
            error.code = inner["status"].text
        } else {
            error.message = whole["message"].exists ? whole["message"].text : whole["Message"].exists ? whole["Message"].text : inner.text
            error.type = kind
        }
        if whole["type"].equals("error"), inner.isObject { error.native = whole.raw }
        if !error.message.exists { error.message = plain(text, arena) }
        classify(&error)
        return error
    }

    /// Up to 500 bytes of a text that a person wrote; nothing of a web page or of JSON.
    private static func plain(_ text: UnsafeRawBufferPointer, _ arena: ArenaBox) -> JSONBytes {
        var start = 0
        while start < text.count, text[start] <= 0x20 { start += 1 }
        guard start < text.count, text[start] != 0x3C, text[start] != 0x7B, text[start] != 0x5B else {
            return JSONBytes("the upstream answered with an error that it does not explain")
        }
        var end = min(text.count, start + textMax)
        // Not within a character.
        if end < text.count { while end > start, text[end] & 0xC0 == 0x80 { end -= 1 } }
        while end > start, text[end - 1] <= 0x20 { end -= 1 }
        return arena.arena.escaped(UnsafeRawBufferPointer(rebasing: text[start..<end]))
    }

    private static func classify(_ error: inout ProviderError) {
        let type = error.type
        let message = error.message
        if type.equals("authentication_error") || type.equals("permission_error") {
            error.problem = .auth
        } else if type.equals("not_found_error") {
            error.problem = .modelMissing
        } else if type.equals("rate_limit_error") || type.begins(with: "ThrottlingException") || error.code.equals("RESOURCE_EXHAUSTED") {
            error.problem = .rateLimited
        } else if type.equals("overloaded_error") || type.begins(with: "ServiceUnavailableException") {
            error.problem = .overloaded
        } else if type.equals("timeout_error") || type.begins(with: "ModelTimeoutException") {
            error.problem = .timeout
        } else if type.equals("api_error") || type.begins(with: "InternalServerException") || type.begins(with: "ModelErrorException")
            || type.begins(with: "ModelStreamErrorException") {
            error.problem = .serverError
        } else if type.begins(with: "AccessDeniedException") || type.begins(with: "UnrecognizedClientException")
            || type.begins(with: "ExpiredTokenException") || type.begins(with: "InvalidSignatureException") {
            error.problem = .auth
        } else if type.begins(with: "ResourceNotFoundException") {
            error.problem = .modelMissing
        } else if type.begins(with: "ServiceQuotaExceededException") {
            error.problem = .rateLimited
        } else if type.equals("billing_error") || error.status == 402 || message.contains("credit balance is too low") {
            error.problem = .rateLimited
            error.isQuota = true
        } else if message.contains("prompt is too long") || message.contains("Input is too long") || message.contains("exceed context limit")
            || message.contains("exceeds the maximum context") {
            error.problem = .contextTooLong
        } else if message.contains("Output blocked by content filtering policy") {
            error.problem = .contentFiltered
        } else if message.contains("model identifier is invalid") {
            error.problem = .modelMissing
        }
    }

    /// The status that a type has where it stands in a stream.
    static func status(ofType type: JSONBytes) -> Int {
        if type.equals("overloaded_error") { return 529 }
        if type.equals("rate_limit_error") || type.begins(with: "throttlingException") || type.begins(with: "ThrottlingException") { return 429 }
        if type.equals("invalid_request_error") || type.begins(with: "validationException") || type.begins(with: "ValidationException") { return 400 }
        if type.equals("authentication_error") { return 401 }
        if type.equals("billing_error") { return 402 }
        if type.equals("permission_error") { return 403 }
        if type.equals("not_found_error") { return 404 }
        if type.equals("request_too_large") { return 413 }
        if type.equals("timeout_error") || type.begins(with: "modelTimeoutException") { return 504 }
        if type.begins(with: "serviceUnavailableException") { return 503 }
        return 500
    }

    // MARK: writing

    public static func writeError(_ error: ProviderError, requestID: JSONBytes, into out: inout JSONWriter) -> Int {
        let (status, type) = statusAndType(error)
        out.beginObject()
        out.member("type", "error")
        out.key("error")
        out.value(JSONBytes(""))
        putError(error, type, into: &out)
        if !requestID.isEmpty { out.member("request_id", requestID) }
        out.endObject()
        return status
    }

    /// The inner object alone: the provider's own where it was Anthropic.
    static func putError(_ error: ProviderError, _ type: StaticString, into out: inout JSONWriter) {
        if error.source == .messages, error.native.exists {
            var tape = JSONTape()
            if tape.read(error.native.raw) == nil, tape.root["error"].isObject { return out.put(tape.root["error"].raw) }
        }
        out.put("{\"type\":\"")
        out.put(type)
        out.put("\",\"message\":\"")
        // Programs tell by these words that they have to shorten the conversation.
        if error.problem == .contextTooLong, !error.message.contains("prompt is too long") { out.put("prompt is too long: ") }
        if error.message.isEmpty { out.put(message(of: error.problem)) } else { out.put(error.message) }
        out.put("\"}")
    }

    static func statusAndType(_ error: ProviderError) -> (Int, StaticString) {
        let (status, type) = ofClass(error)
        return error.source == .messages && error.native.exists ? (error.status, type) : (status, type)
    }

    private static func ofClass(_ error: ProviderError) -> (Int, StaticString) {
        if error.isQuota { return (402, "billing_error") }
        switch error.problem {
        case .rateLimited: return (429, "rate_limit_error")
        case .overloaded: return (529, "overloaded_error")
        case .timeout: return (504, "timeout_error")
        case .serverError: return (500, "api_error")
        case .auth: return error.status == 403 ? (403, "permission_error") : (401, "authentication_error")
        case .modelMissing: return (404, "not_found_error")
        case .contextTooLong, .contentFiltered: return (400, "invalid_request_error")
        case .badRequest:
            switch error.status {
            case 404: return (404, "not_found_error")
            case 409: return (409, "conflict_error")
            case 413: return (413, "request_too_large")
            case 422: return (422, "invalid_request_error")
            default: return (400, "invalid_request_error")
            }
        }
    }

    private static func message(of problem: ProblemClass) -> StaticString {
        switch problem {
        case .rateLimited: "rate limit exceeded"
        case .overloaded: "Overloaded"
        case .timeout: "the upstream took too long"
        case .serverError: "the upstream failed"
        case .auth: "not authorized"
        case .modelMissing: "model not found"
        case .contextTooLong: "the conversation does not fit the model's context window"
        case .contentFiltered: "blocked by the upstream's content filter"
        case .badRequest: "invalid request"
        }
    }
}
