// Bedrock's errors. The body says a sentence and nothing else; the type is in the header `x-amzn-ErrorType: ValidationException:http://…`, or, after a
// stream has begun with 200, in the frame (`throttlingException`). A few sentences tell more than their type does.
import ClawWire

extension ConverseDialect {
    private typealias Row = (type: StaticString, status: Int, problem: ProblemClass)

    private static let rows: [Row] = [
        ("ValidationException", 400, .badRequest), ("ThrottlingException", 429, .rateLimited), ("TooManyRequestsException", 429, .rateLimited),
        ("ModelNotReadyException", 429, .rateLimited), ("ServiceQuotaExceededException", 400, .rateLimited), ("AccessDeniedException", 403, .auth),
        ("UnrecognizedClientException", 403, .auth), ("InvalidSignatureException", 403, .auth), ("ExpiredTokenException", 403, .auth),
        ("IncompleteSignatureException", 403, .auth), ("MissingAuthenticationTokenException", 403, .auth), ("InvalidClientTokenId", 403, .auth),
        ("ResourceNotFoundException", 404, .modelMissing), ("ModelTimeoutException", 408, .timeout), ("ModelErrorException", 424, .serverError),
        ("ModelStreamErrorException", 424, .serverError), ("InternalServerException", 500, .serverError), ("InternalServerError", 500, .serverError),
        ("InternalFailure", 500, .serverError), ("ServiceUnavailableException", 503, .overloaded), ("ServiceUnavailable", 503, .overloaded),
    ]

    public static func readError(status: Int, _ body: JSONValue, text: UnsafeRawBufferPointer, kind: JSONBytes, _ arena: ArenaBox) -> ProviderError {
        var type = kind.prefix(kind.firstIndex(of: 0x3A) ?? kind.count)
        if type.isEmpty, body["__type"].isString {
            // `com.amazon.coral.service#UnknownOperationException`
            let word = body["__type"].text
            type = word.dropFirst(word.firstIndex(of: 0x23).map { $0 + 1 } ?? 0)
        }
        let said = body["message"].isString ? body["message"].text : body["Message"].text
        let message = said.exists ? said : plainText(text, isJSON: body.exists, &arena.arena)
        var error = error(status: status, type: type, message: message)
        if body.isObject { error.native = body.raw }
        return error
    }

    /// Status 0: the type's own.
    static func error(status: Int, type: JSONBytes, message: JSONBytes) -> ProviderError {
        var error = ProviderError(status: status == 0 ? 500 : status, problem: status == 0 ? .serverError : ProviderError.problem(of: status))
        if status == 424 { error.problem = .serverError }
        for row in rows where BedrockFormat.isSame(type, row.type) {
            if status == 0 { error.status = row.status }
            error.problem = row.problem
        }
        if error.problem == .badRequest {
            if message.contains("model identifier is invalid") || message.contains("model ID is invalid") { error.problem = .modelMissing }
            if message.contains("Input Tokens Exceeded") || message.contains("Input is too long") || message.contains("input is too long")
                || message.contains("prompt is too long") || message.contains("maximum context length") || message.contains("exceeds the maximum input") {
                error.problem = .contextTooLong
            }
            if message.contains("content filter") { error.problem = .contentFiltered }
        }
        error.type = type
        error.message = message
        error.source = .converse
        return error
    }

    /// What a body that is no JSON says, if it is a sentence and no page.
    private static func plainText(_ text: UnsafeRawBufferPointer, isJSON: Bool, _ arena: inout JSONArena) -> JSONBytes {
        let generic = JSONBytes("the upstream answered with an error and no message")
        guard !isJSON, let first = text.first(where: { $0 > 32 }), first != 0x3C, first != 0x7B else { return generic }
        var end = min(text.count, 500)
        // Not amid a character.
        while end < text.count, end > 0, text[end] & 0xC0 == 0x80 { end -= 1 }
        return arena.escaped(UnsafeRawBufferPointer(rebasing: text[..<end]))
    }

    public static func writeError(_ error: ProviderError, requestID: JSONBytes, into out: inout JSONWriter) -> Int {
        if error.source == .converse, error.native.exists {
            out.value(error.native)
            return error.status
        }
        out.beginObject()
        out.member("message", error.message.exists ? error.message : JSONBytes(""))
        out.endObject()
        return error.source == .converse ? error.status : status(of: error.problem)
    }

    private static func status(of problem: ProblemClass) -> Int {
        switch problem {
        case .rateLimited: 429
        case .overloaded: 503
        case .timeout: 408
        case .serverError: 500
        case .auth: 403
        case .modelMissing: 404
        case .contextTooLong, .contentFiltered, .badRequest: 400
        }
    }

    /// The header `x-amzn-ErrorType` of an error; in a stream's frame its first letter is small.
    public static func errorType(of problem: ProblemClass) -> StaticString {
        switch problem {
        case .rateLimited: "ThrottlingException"
        case .overloaded: "ServiceUnavailableException"
        case .timeout: "ModelTimeoutException"
        case .serverError: "InternalServerException"
        case .auth: "AccessDeniedException"
        case .modelMissing: "ResourceNotFoundException"
        case .contextTooLong, .contentFiltered, .badRequest: "ValidationException"
        }
    }

    static func exceptionType(of problem: ProblemClass) -> StaticString {
        switch problem {
        case .rateLimited: "throttlingException"
        case .overloaded: "serviceUnavailableException"
        case .timeout: "modelTimeoutException"
        case .serverError: "internalServerException"
        case .auth: "accessDeniedException"
        case .modelMissing: "resourceNotFoundException"
        case .contextTooLong, .contentFiltered, .badRequest: "validationException"
        }
    }
}
