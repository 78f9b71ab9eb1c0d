// Google's errors: `{"error":{code, message, status, details[]}}`, in an array of one where a stream without `alt=sse` was asked for. What happened is often
// said only in `details`: a wrong key is a 400 like any other but for its ErrorInfo, and how long to wait is in RetryInfo and in no header.
import ClawWire

extension GeminiDialect {
    public static func readError(status: Int, _ body: JSONValue, text: UnsafeRawBufferPointer, kind: JSONBytes, _ arena: ArenaBox) -> ProviderError {
        var error = ProviderError(status: status, problem: ProviderError.problem(of: status))
        error.source = .gemini
        let object = errorObject(body)
        guard object.exists else {
            error.message = plainMessage(body.exists ? UnsafeRawBufferPointer(start: nil, count: 0) : text, arena)
            if status == 402 { error.isQuota = true }
            return error
        }
        error.native = body.raw
        fill(&error, object)
        return error
    }

    /// An error where an answer or a piece of a stream was awaited; nil for anything else.
    static func inBandError(_ body: JSONValue, _ arena: ArenaBox) -> ProviderError? {
        let object = errorObject(body)
        guard object.exists else { return nil }
        let code = object["code"].int ?? 500
        var error = ProviderError(status: (400...599).contains(code) ? Int(code) : 500, problem: .serverError)
        error.problem = ProviderError.problem(of: error.status)
        error.source = .gemini
        error.native = body.raw
        fill(&error, object)
        return error
    }

    private static func errorObject(_ body: JSONValue) -> JSONValue {
        let whole = body.isArray ? body.first : body
        let object = whole["error"]
        return object.isObject ? object : JSONValue()
    }

    private static func fill(_ error: inout ProviderError, _ object: JSONValue) {
        let message = object["message"].text
        error.message = message
        error.type = object["status"].text
        for detail in object["details"].elements {
            let reason = detail["reason"].text
            if !reason.isEmpty, error.code.isEmpty { error.code = reason }
            if detail["retryDelay"].isString { error.retryAfterSeconds = seconds(detail["retryDelay"].text) }
        }
        let word = error.type
        if error.code.begins(with: "API_KEY_") || message.contains("API key not valid") || message.contains("API key expired") {
            error.problem = .auth
        } else if word.equals("UNAUTHENTICATED") || word.equals("PERMISSION_DENIED") {
            error.problem = .auth
        } else if error.status == 402 || message.contains("credits are depleted") {
            error.problem = .rateLimited
            error.isQuota = true
        } else if word.equals("RESOURCE_EXHAUSTED") {
            error.problem = .rateLimited
        } else if word.equals("FAILED_PRECONDITION"), message.contains("location") || message.contains("billing") {
            // The account cannot be used from here or at all; the request is not to blame.
            error.problem = .auth
        } else if error.status == 400, isTooLong(message) {
            error.problem = .contextTooLong
        } else if error.status == 400, message.contains("Responsible AI") || message.contains("PROHIBITED_CONTENT") {
            error.problem = .contentFiltered
        } else if word.equals("UNAVAILABLE") {
            error.problem = .overloaded
        } else if word.equals("DEADLINE_EXCEEDED") {
            error.problem = .timeout
        } else if word.equals("NOT_FOUND") {
            error.problem = .modelMissing
        }
    }

    private static func isTooLong(_ message: JSONBytes) -> Bool {
        if message.contains("exceeds the maximum number of tokens") { return true }
        return message.contains("token count") && (message.contains("exceeds") || message.contains("too large"))
    }

    /// "48s", "1.5s".
    static func seconds(_ text: JSONBytes) -> Double {
        guard text.ends(with: "s"), let value = JSONNumber.parse(text.prefix(text.count - 1).raw), value > 0 else { return 0 }
        return min(value, 86_400)
    }

    /// A proxy's plain text, cut; of HTML and other things nothing.
    private static func plainMessage(_ text: UnsafeRawBufferPointer, _ arena: ArenaBox) -> JSONBytes {
        let cut = UnsafeRawBufferPointer(rebasing: text.prefix(500))
        guard let first = cut.first(where: { $0 > 32 }), first != 0x3C, cut.allSatisfy({ $0 >= 32 || $0 == 9 || $0 == 10 || $0 == 13 }) else {
            return JSONBytes("the upstream answered with an error and did not say which")
        }
        return arena.arena.escaped(cut)
    }

    public static func writeError(_ error: ProviderError, requestID: JSONBytes, into out: inout JSONWriter) -> Int {
        if error.source == .gemini, error.native.exists {
            out.value(error.native)
            return error.status
        }
        let (status, word) = status(of: error)
        out.beginObject()
        writeErrorMember(error, status, word, requestID, into: &out)
        out.endObject()
        return status
    }

    /// The member `error` of a body.
    static func writeErrorMember(_ error: ProviderError, _ status: Int, _ word: StaticString, _ requestID: JSONBytes, into out: inout JSONWriter) {
        out.key("error")
        out.beginObject()
        out.member("code", Int64(status))
        out.member("message", error.message.exists ? error.message : JSONBytes("the request could not be served"))
        out.member("status", word)
        let isKey = error.problem == .auth && status == 400
        let waits = error.retryAfterSeconds > 0
        if isKey || waits || !requestID.isEmpty {
            out.key("details")
            out.beginArray()
            if isKey {
                out.beginObject()
                out.member("@type", "type.googleapis.com/google.rpc.ErrorInfo")
                out.member("reason", "API_KEY_INVALID")
                out.member("domain", "googleapis.com")
                out.endObject()
            }
            if waits {
                out.beginObject()
                out.member("@type", "type.googleapis.com/google.rpc.RetryInfo")
                out.key("retryDelay")
                // Whole seconds, upwards: the string is a proto duration, which has no exponent.
                out.put("\"")
                out.put(number: Int64(min(error.retryAfterSeconds, 86_400).rounded(.up)))
                out.put("s\"")
                out.endObject()
            }
            if !requestID.isEmpty {
                out.beginObject()
                out.member("@type", "type.googleapis.com/google.rpc.RequestInfo")
                out.member("requestId", requestID)
                out.endObject()
            }
            out.endArray()
        }
        out.endObject()
    }

    static func status(of error: ProviderError) -> (Int, StaticString) {
        switch error.problem {
        case .rateLimited: return (429, "RESOURCE_EXHAUSTED")
        case .overloaded: return (503, "UNAVAILABLE")
        case .timeout: return (504, "DEADLINE_EXCEEDED")
        case .serverError: return error.status == 502 ? (502, "INTERNAL") : (500, "INTERNAL")
        case .auth: return error.status == 403 ? (403, "PERMISSION_DENIED") : (400, "INVALID_ARGUMENT")
        case .modelMissing: return (404, "NOT_FOUND")
        case .contextTooLong, .contentFiltered: return (400, "INVALID_ARGUMENT")
        case .badRequest:
            switch error.status {
            case 404: return (404, "NOT_FOUND")
            case 409: return (409, "ABORTED")
            case 499: return (499, "CANCELLED")
            case 401...498: return (error.status, "INVALID_ARGUMENT")
            default: return (400, "INVALID_ARGUMENT")
            }
        }
    }
}
