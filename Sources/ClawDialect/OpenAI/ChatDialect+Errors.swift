// Errors in OpenAI's shape and in all those that its likes have made of it (providers/others.md, rule 4): `error` an object or a string, or no wrapper at all
// (`detail`, `message`, `object: error`); `code` a string, a number or null; `message` a string or an object. A body that is no JSON at all is text for
// the reader of logs, and no more.
//
// What an error means is told by its words before its status, because providers disagree about statuses: a wrong key is 400 at xAI and Gemini, a prompt
// that is too long 413 at Groq, a model that does not exist 400 on one of OpenAI's own endpoints.
import ClawWire

extension ChatDialect {
    private static let messageMax = 500

    public static func readError(status: Int, _ body: JSONValue, text: UnsafeRawBufferPointer, kind: JSONBytes, _ arena: ArenaBox) -> ProviderError {
        var error = ProviderError(status: status, problem: ProviderError.problem(of: status))
        error.source = id
        let root = body.isArray ? body.first : body
        if root.isObject {
            error.native = root.raw
            readWords(root, into: &error, arena)
        } else {
            error.message = plain(body.isString ? body.text.raw : text, isEscaped: body.isString, arena)
        }
        if error.message.isEmpty { error.message = JSONBytes("the upstream answered with an error that says nothing") }
        classify(&error, root)
        return error
    }

    /// An error inside a 200: in the place of an answer, or of a chunk. Nil: none.
    static func inBandError(_ body: JSONValue, _ arena: ArenaBox) -> ProviderError? {
        let root = body.isArray ? body.first : body
        guard root.isObject else { return nil }
        let inner = root["error"]
        let isError = (inner.isObject && inner.count > 0) || (inner.isString && !inner.text.isEmpty) || root["object"].equals("error")
            || (!root["choices"].exists && !root["data"].exists && (root["detail"].isPresent || (root["message"].isString && root["code"].isPresent)))
        guard isError else { return nil }
        var error = readError(status: status(in: root), root, text: UnsafeRawBufferPointer(start: nil, count: 0), kind: JSONBytes(), arena)
        // A chunk that holds an error besides (OpenRouter): only that goes on.
        if root["choices"].exists, inner.isObject { error.native = arena.arena.joined(JSONBytes("{\"error\":"), inner.raw, JSONBytes("}")) }
        return error
    }

    /// The status an error inside a 200 would have had, from whichever number it carries.
    private static func status(in root: JSONValue) -> Int {
        let inner = root["error"]
        for value in [inner["status_code"], inner["status"], inner["code"], root["status"], root["code"]] {
            let number = value.int ?? (value.isString ? JSONNumber.parseInt(value.text.raw) : nil)
            if let number, (400...599).contains(number) { return Int(number) }
        }
        let code = inner["code"].exists ? inner["code"] : root["code"]
        if code.equals("rate_limit_exceeded") || code.equals("insufficient_quota") { return 429 }
        let type = inner["type"].exists ? inner["type"] : root["type"]
        if type.equals("invalid_request_error") { return 400 }
        if type.equals("authentication_error") { return 401 }
        return 500
    }

    private static func readWords(_ root: JSONValue, into error: inout ProviderError, _ arena: ArenaBox) {
        let wrapped = root["error"]
        let inner = wrapped.isObject ? wrapped : root
        error.type = inner["type"].text
        error.param = inner["param"].text
        let code = inner["code"]
        error.code = code.isString ? code.text : code.kind == .number ? code.raw : JSONBytes()
        if wrapped.isString {
            error.message = wrapped.text
            return
        }
        for value in [inner["message"], inner["detail"], inner["msg"], inner["error_msg"]] where value.isPresent {
            if value.isString {
                error.message = value.text
            } else {
                let told = value["detail"].isString ? value["detail"] : value["message"]
                error.message = told.isString ? told.text : plain(value.raw.raw, isEscaped: false, arena)
            }
            return
        }
    }

    /// Text of a body that is no JSON object; a page of HTML says nothing worth keeping.
    private static func plain(_ raw: UnsafeRawBufferPointer, isEscaped: Bool, _ arena: ArenaBox) -> JSONBytes {
        var text = JSONBytes(raw)
        while let first = text.raw.first, first <= 32 { text = text.dropFirst(1) }
        while let last = text.raw.last, last <= 32 { text = text.prefix(text.count - 1) }
        if isEscaped { return text.count <= messageMax ? text : JSONBytes("the upstream answered with a long text") }
        if text.raw.first == 0x3C { return JSONBytes("the upstream answered with a page of HTML") }
        return text.isEmpty ? JSONBytes() : arena.arena.escaped(text.prefix(messageMax).raw)
    }

    // MARK: what it means

    private static func classify(_ error: inout ProviderError, _ root: JSONValue) {
        let status = error.status
        let code = error.code
        let type = error.type
        let message = error.message
        if code.equals("insufficient_quota") || type.equals("insufficient_quota") || code.equals("billing_hard_limit_reached") || status == 402
            || has(message, "nsufficient balance") || has(message, "nsufficient credits")
        {
            error.problem = .rateLimited
            error.isQuota = true
        } else if code.equals("content_filter") || code.equals("content_policy_violation") || type.equals("content_filter")
            || root["error"]["innererror"]["code"].equals("ResponsibleAIPolicyViolation") || (status == 403 && has(message, "moderation"))
        {
            error.problem = .contentFiltered
        } else if code.equals("context_length_exceeded") || type.equals("exceed_context_size_error") || type.equals("too_many_prompt_tokens")
            || (status < 500 && status != 429 && saysTooLong(message))
        {
            error.problem = .contextTooLong
        } else if status == 413, code.equals("rate_limit_exceeded") || type.equals("tokens") {
            // Groq: larger than what a minute allows; it will be so the next minute too.
            error.problem = .contextTooLong
        } else if code.equals("invalid_api_key") || code.equals("API_KEY_INVALID") || type.equals("invalid_api_key") || type.equals("authentication_error")
            || code.equals("401") || (status < 500 && saysBadKey(message))
        {
            error.problem = .auth
        } else if code.equals("model_not_found") || code.equals("DeploymentNotFound") || ((status == 400 || status == 422) && saysNoModel(message)) {
            error.problem = .modelMissing
        } else if code.equals("RateLimitReached") || code.equals("rate_limit_exceeded") || code.equals("429") {
            error.problem = .rateLimited
        } else if code.equals("queue_exceeded") || status == 498 || type.equals("overloaded_error") || (status == 429 && has(message, "overloaded")) {
            // Cerebras' queue and Groq's flex capacity: full for seconds, whoever asks.
            error.problem = .overloaded
        } else if status == 424 || status == 499 {
            error.problem = .serverError
        } else if status == 524 {
            error.problem = .timeout
        }
    }

    private static func has(_ text: JSONBytes, _ words: StaticString) -> Bool { text.contains(words) }
    private static func saysTooLong(_ text: JSONBytes) -> Bool {
        has(text, "maximum context length") || has(text, "context length") || has(text, "context window") || has(text, "context size")
            || has(text, "rompt is too long") || has(text, "prompt too long") || has(text, "messages is too long") || has(text, "too many tokens")
    }
    private static func saysBadKey(_ text: JSONBytes) -> Bool {
        has(text, "ncorrect API key") || has(text, "nvalid API key") || has(text, "nvalid API Key") || has(text, "API key not valid")
            || has(text, "API key is invalid") || has(text, "nvalid x-api-key")
    }
    private static func saysNoModel(_ text: JSONBytes) -> Bool {
        (has(text, "model") || has(text, "Model")) && (has(text, "does not exist") || has(text, "not found") || has(text, "nvalid model") || has(text, "is not a valid model"))
    }

    // MARK: writing

    public static func writeError(_ error: ProviderError, requestID: JSONBytes, into out: inout JSONWriter) -> Int {
        out.beginObject()
        writeErrorMembers(error, requestID: requestID, into: &out)
        out.endObject()
        return statusCode(of: error)
    }

    /// `"error":{…}` and, of an error in this dialect, what stood beside it.
    static func writeErrorMembers(_ error: ProviderError, requestID: JSONBytes, into out: inout JSONWriter) {
        if error.source == id, error.native.exists {
            var tape = JSONTape()
            if tape.read(error.native.raw) == nil, tape.root["error"].isObject { return writeNative(tape.root, into: &out) }
        }
        let isOwn = error.source == id
        let words = words(of: error)
        out.key("error")
        out.beginObject()
        out.member("message", error.message.isEmpty ? JSONBytes("the upstream failed") : error.message)
        if isOwn, error.type.exists { out.member("type", error.type) } else { out.member("type", words.type) }
        let param = isOwn ? error.param : words.param
        if param.exists { out.member("param", param) } else { out.null("param") }
        // A word of the gateway's own is more exact than what the class gives.
        let code = isOwn || isGatewayWord(error.code) ? error.code : JSONBytes()
        if code.exists { out.member("code", code) } else if words.code.exists { out.member("code", words.code) } else { out.null("code") }
        if !requestID.isEmpty { out.member("request_id", requestID) }
        out.endObject()
    }

    /// As it was, with those of the four members that SDKs read which were not there as null.
    private static func writeNative(_ root: JSONValue, into out: inout JSONWriter) {
        for member in root.members {
            out.key(member.key.text)
            guard member.key.equals("error") else {
                out.value(member.value.raw)
                continue
            }
            out.beginObject()
            for inner in member.value.members {
                out.key(inner.key.text)
                out.value(inner.value.raw)
            }
            if !member.value["message"].exists { out.null("message") }
            if !member.value["type"].exists { out.null("type") }
            if !member.value["param"].exists { out.null("param") }
            if !member.value["code"].exists { out.null("code") }
            out.endObject()
        }
    }

    private static func isGatewayWord(_ code: JSONBytes) -> Bool { code.begins(with: "upstream_") }

    private static func statusCode(of error: ProviderError) -> Int {
        switch error.problem {
        case .rateLimited: 429
        case .overloaded: 503
        case .timeout: 504
        case .serverError: (500...599).contains(error.status) && error.status != 529 ? error.status : 500
        case .auth: error.status == 403 ? 403 : 401
        case .modelMissing: 404
        case .contextTooLong, .contentFiltered: 400
        case .badRequest: (400...499).contains(error.status) ? error.status : 400
        }
    }

    private static func words(of error: ProviderError) -> (type: StaticString, code: JSONBytes, param: JSONBytes) {
        let none = JSONBytes()
        switch error.problem {
        case .rateLimited where error.isQuota: return ("insufficient_quota", JSONBytes("insufficient_quota"), none)
        case .rateLimited: return ("requests", JSONBytes("rate_limit_exceeded"), none)
        case .overloaded: return ("server_error", JSONBytes("service_unavailable"), none)
        case .timeout: return ("server_error", JSONBytes("upstream_timeout"), none)
        case .serverError: return ("server_error", none, none)
        case .auth: return ("invalid_request_error", JSONBytes("invalid_api_key"), none)
        case .modelMissing: return ("invalid_request_error", JSONBytes("model_not_found"), none)
        case .contextTooLong: return ("invalid_request_error", JSONBytes("context_length_exceeded"), JSONBytes("messages"))
        case .contentFiltered: return ("invalid_request_error", JSONBytes("content_filter"), JSONBytes("prompt"))
        case .badRequest: return ("invalid_request_error", none, none)
        }
    }
}
