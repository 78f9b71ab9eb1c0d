// Errors: `{"error": {message, type, param, code}}` with an HTTP status, `{code, message}` inside a response that failed, and the stream's `error` event
// with its members at the top. xAI says `{code, error: "text"}`, Azure leaves members out, and proxies in front of all of them answer with plain text or
// HTML. The class is taken from the code where it is known, then from the message for what OpenAI gives no code of its own, then from the status.
import ClawWire

extension ResponsesDialect {
    /// Bytes of a plain text that are shown.
    private static let textMax = 500

    public static func readError(status: Int, _ body: JSONValue, text: UnsafeRawBufferPointer, kind: JSONBytes, _ arena: ArenaBox) -> ProviderError {
        var error = ProviderError(status: status, problem: ProviderError.problem(of: status))
        error.source = .responses
        guard body.isObject else {
            error.message = plainText(text, arena)
            return error
        }
        error.native = body.raw
        fill(&error, from: body)
        classify(&error)
        return error
    }

    /// The error of a response that failed, or of a body that is nothing but one: it came with status 200.
    static func inBand(_ value: JSONValue) -> ProviderError {
        // No status of its own: the one of its class.
        var error = ProviderError(status: 0, problem: .serverError)
        error.source = .responses
        fill(&error, from: value)
        classify(&error)
        error.status = status(of: error)
        return error
    }

    /// Takes members from wherever this body has them.
    private static func fill(_ error: inout ProviderError, from body: JSONValue) {
        let inner = body["error"]
        let object = inner.isObject ? inner : body
        error.message = object["message"].text
        // xAI's; or the text is all there is.
        if !error.message.exists { error.message = inner.isString ? inner.text : object["detail"].text }
        if !error.message.exists { error.message = object["error"].text }
        let type = object["type"]
        if !type.equals("error") { error.type = type.text }
        // Azure's codes are sometimes numbers.
        error.code = object["code"].isString ? object["code"].text : object["code"].kind == .number ? object["code"].raw : JSONBytes()
        error.param = object["param"].text
    }

    private static func classify(_ error: inout ProviderError) {
        let code = error.code
        let type = error.type
        func says(_ word: StaticString) -> Bool { code.equals(word) || type.equals(word) }
        if says("insufficient_quota") || says("billing_hard_limit_reached") || says("billing_not_active") {
            error.problem = .rateLimited
            error.isQuota = true
        } else if says("context_length_exceeded") || error.message.contains("context window") || error.message.contains("maximum context length")
            || error.message.contains("maximum prompt length") || says("string_above_max_length")
        {
            error.problem = .contextTooLong
        } else if says("content_filter") || says("content_policy_violation") || says("ResponsibleAIPolicyViolation") || says("invalid_prompt")
            || says("bio_policy") || says("image_content_policy_violation")
        {
            error.problem = .contentFiltered
        } else if says("model_not_found") || says("DeploymentNotFound") || says("model_not_available") {
            error.problem = .modelMissing
        } else if says("invalid_api_key") || says("authentication_error") || says("permission_error") || error.message.begins(with: "Incorrect API key") {
            error.problem = .auth
        } else if says("rate_limit_exceeded") || says("rate_limit_error") || says("tokens") || says("requests") {
            error.problem = .rateLimited
        } else if says("server_overloaded") || says("slow_down") || says("service_unavailable") || says("overloaded_error") {
            error.problem = .overloaded
        } else if says("server_error") || says("internal_error"), error.status < 501 {
            error.problem = .serverError
        } else if error.status == 404, says("previous_response_not_found") || error.message.begins(with: "Item with id") || error.param.exists {
            // Something else of the request's is missing, not the model.
            error.problem = .badRequest
        }
    }

    /// A text of at most 500 bytes; nothing of what is a page or no text at all.
    private static func plainText(_ text: UnsafeRawBufferPointer, _ arena: ArenaBox) -> JSONBytes {
        var start = 0
        while start < text.count, text[start] <= 0x20 { start += 1 }
        let piece = UnsafeRawBufferPointer(rebasing: text[start..<min(text.count, start + textMax)])
        let isText = !piece.contains { $0 < 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }
        guard isText, let first = piece.first, first != 0x3C, first != 0x7B, first != 0x5B else {
            return JSONBytes("the upstream answered with an error that says no more")
        }
        return arena.arena.escaped(piece)
    }

    // MARK: writing

    public static func writeError(_ error: ProviderError, requestID: JSONBytes, into out: inout JSONWriter) -> Int {
        out.beginObject()
        out.key("error")
        out.beginObject()
        out.member("message", error.message.isEmpty ? JSONBytes("the upstream answered with an error that says no more") : error.message)
        out.member("type", type(of: error))
        write("param", param(of: error), into: &out)
        write("code", code(of: error), into: &out)
        out.endObject()
        out.endObject()
        return status(of: error)
    }

    private static func write(_ name: StaticString, _ text: JSONBytes, into out: inout JSONWriter) {
        if text.exists { out.member(name, text) } else { out.null(name) }
    }

    /// True where the error's words are OpenAI's.
    private static func isOurs(_ error: ProviderError) -> Bool { error.source == .responses || error.source == .chat || error.source == .completions }

    static func type(of error: ProviderError) -> JSONBytes {
        if isOurs(error), !error.type.isEmpty { return error.type }
        switch error.problem {
        case .rateLimited: return JSONBytes(error.isQuota ? "insufficient_quota" : "requests")
        case .overloaded, .timeout, .serverError: return JSONBytes("server_error")
        case .auth, .modelMissing, .contextTooLong, .contentFiltered, .badRequest: return JSONBytes("invalid_request_error")
        }
    }

    /// Absent: null.
    static func code(of error: ProviderError) -> JSONBytes {
        if isOurs(error) && (error.code.exists || error.type.exists) { return error.code }
        // The gateway's own words.
        if error.code.begins(with: "upstream_") { return error.code }
        switch error.problem {
        case .rateLimited: return JSONBytes(error.isQuota ? "insufficient_quota" : "rate_limit_exceeded")
        case .timeout: return JSONBytes("upstream_timeout")
        case .auth: return JSONBytes("invalid_api_key")
        case .modelMissing: return JSONBytes("model_not_found")
        case .contextTooLong: return JSONBytes("context_length_exceeded")
        case .contentFiltered: return JSONBytes("content_filter")
        case .overloaded: return JSONBytes("server_overloaded")
        case .serverError: return JSONBytes("server_error")
        case .badRequest: return JSONBytes()
        }
    }

    static func param(of error: ProviderError) -> JSONBytes {
        // The chat API's name for what is `input` here.
        if error.param.exists { return error.param.equals("messages") ? JSONBytes("input") : error.param }
        if isOurs(error), error.type.exists { return JSONBytes() }
        return switch error.problem {
        case .modelMissing: JSONBytes("model")
        case .contextTooLong: JSONBytes("input")
        default: JSONBytes()
        }
    }

    /// As this API does it: an unknown model is a 400 here, not the chat API's 404.
    static func status(of error: ProviderError) -> Int {
        if error.source == .responses, error.status >= 400, error.status < 600, !(error.problem == .auth && error.status == 400) { return error.status }
        return switch error.problem {
        case .rateLimited: 429
        case .overloaded: 503
        case .timeout: 504
        case .serverError: (500..<600).contains(error.status) && error.status != 529 ? error.status : 500
        case .auth: error.status == 403 ? 403 : 401
        case .modelMissing, .contextTooLong, .contentFiltered, .badRequest: 400
        }
    }
}
