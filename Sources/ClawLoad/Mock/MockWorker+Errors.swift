// Errors of the mock, each in the words of the dialect that the request's path speaks: as an answer with a status, and in the middle of a stream whose status was 200.

extension MockWorker {
    func answerError(_ connection: UnsafeMutablePointer<MockConnection>, _ status: Int) {
        connection.pointee.recording = MockRecordings.none
        body.count = 0
        // Without alt=sse a stream's error is an array of one, as its answer would have been an array.
        let isArray = connection.pointee.endpoint == .geminiStream && !connection.pointee.asksForEvents
        if isArray { body.append("[") }
        writeErrorBody(connection, status, isIndented: true, into: &body)
        if isArray { body.append("]") }
        let start = out.count
        let isText = connection.pointee.dialect == .anthropic && status == 503
        writeHead(connection, status: status, type: isText ? "text/plain" : Self.plainType(connection.pointee.dialect))
        writeErrorFields(connection, status)
        let hasBody = status >= 200 && status != 204 && status != 304
        if hasBody {
            out.append("content-length: ")
            out.append(decimal: UInt64(body.count))
            out.append("\r\n")
        }
        out.append("\r\n")
        if hasBody && !connection.pointee.isHead {
            if connection.pointee.script.stallAfterEvents >= 0 { connection.pointee.holdAt = out.count - start }
            out.append(body.bytes)
        }
        // An interim status is no answer: what asked for it gets nothing more.
        if status < 200 { connection.pointee.keepsAlive = false }
        flush(connection, .finished)
    }

    private func writeErrorFields(_ connection: UnsafeMutablePointer<MockConnection>, _ status: Int) {
        if status == 405 { out.append(connection.pointee.endpoint == .ollamaTags ? "allow: GET\r\n" : "allow: POST\r\n") }
        switch connection.pointee.dialect {
        case .bedrock:
            out.append("x-amzn-errortype: ")
            out.append(Self.bedrockError(status))
            out.append(":http://internal.amazon.com/coral/com.amazon.bedrock/\r\n")
        case .anthropic:
            switch status {
            case 400, 401, 404: out.append("x-should-retry: false\r\n")
            case 529: out.append("x-should-retry: true\r\n")
            default: break
            }
        default:
            break
        }
        if connection.pointee.script.retryAfter.count > 0 && connection.pointee.dialect != .gemini {
            out.append("retry-after: ")
            connection.pointee.script.retryAfter.write(into: &out)
            out.append("\r\n")
        }
    }

    func writeErrorBody(_ connection: UnsafeMutablePointer<MockConnection>, _ status: Int, isIndented: Bool, into target: inout OutputBytes) {
        switch connection.pointee.dialect {
        case .openai: writeOpenAIError(status, isIndented: isIndented, into: &target)
        case .azure: writeAzureError(status, isIndented: isIndented, into: &target)
        case .anthropic: writeAnthropicError(connection, status, into: &target)
        case .gemini: writeGeminiError(connection, status, into: &target)
        case .ollama: writeOllamaError(connection, status, into: &target)
        case .bedrock:
            target.append("{\"message\":\"")
            target.append(Self.bedrockMessage(status))
            target.append("\"}")
        case .cohere:
            target.append("{\"id\":\"")
            writeUUID(connection, into: &target)
            target.append("\",\"message\":\"")
            writeCohereMessage(connection, status, into: &target)
            target.append("\"}")
        }
    }

    private func writeOpenAIError(_ status: Int, isIndented: Bool, into target: inout OutputBytes) {
        let words: (message: StaticString, type: StaticString, code: StaticString) = switch status {
        case 400: ("The mock was told to refuse this request.", "invalid_request_error", "null")
        case 401: ("Incorrect API key provided: mock. You can find your API key at https://platform.openai.com/account/api-keys.",
                   "invalid_request_error", "\"invalid_api_key\"")
        case 403: ("The mock was told that this is not allowed.", "invalid_request_error", "null")
        case 404: ("The model does not exist or you do not have access to it.", "invalid_request_error", "\"model_not_found\"")
        case 405: ("Not allowed to use this method here. Try POST.", "invalid_request_error", "\"method_not_supported\"")
        case 429: ("Rate limit reached for requests. Please try again in 1s.", "requests", "\"rate_limit_exceeded\"")
        case 503: ("The server is overloaded or not ready yet.", "service_unavailable", "null")
        case 400 ..< 500: ("The mock was told to answer with this status.", "invalid_request_error", "null")
        default: ("The server had an error while processing your request. Sorry about that!", "server_error", "null")
        }
        if isIndented {
            target.append("{\n    \"error\": {\n        \"message\": \"")
            target.append(words.message)
            target.append("\",\n        \"type\": \"")
            target.append(words.type)
            target.append("\",\n        \"param\": null,\n        \"code\": ")
            target.append(words.code)
            target.append("\n    }\n}\n")
        } else {
            target.append("{\"error\":{\"message\":\"")
            target.append(words.message)
            target.append("\",\"type\":\"")
            target.append(words.type)
            target.append("\",\"param\":null,\"code\":")
            target.append(words.code)
            target.append("}}")
        }
    }

    /// Azure's own layer answers these, with the status as the code; the rest is OpenAI's.
    private func writeAzureError(_ status: Int, isIndented: Bool, into target: inout OutputBytes) {
        switch status {
        case 401:
            target.append("{\"error\":{\"code\":\"401\",\"message\":\"Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.\"}}")
        case 404:
            target.append("{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"DeploymentNotFound\",\"message\":\"The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.\"}}")
        case 429:
            target.append("{\"error\":{\"code\":\"429\",\"message\":\"Requests have exceeded call rate limit of your current pricing tier. Please retry after 1 seconds.\"}}")
        default:
            writeOpenAIError(status, isIndented: isIndented, into: &target)
        }
    }

    private func writeAnthropicError(_ connection: UnsafeMutablePointer<MockConnection>, _ status: Int, into target: inout OutputBytes) {
        if status == 503 { // of the proxy before the provider, which knows no JSON
            target.append("upstream connect error or disconnect/reset before headers. reset reason: overflow")
            return
        }
        let words: (type: StaticString, message: StaticString) = switch status {
        case 401: ("authentication_error", "invalid x-api-key")
        case 402: ("billing_error", "The mock was told that the bill is not paid.")
        case 403: ("permission_error", "The mock was told that this is not allowed.")
        case 404: ("not_found_error", "model: ")
        case 409: ("conflict_error", "The mock was told that this conflicts.")
        case 413: ("request_too_large", "Request exceeds the maximum size")
        case 429: ("rate_limit_error", "This request would exceed your organization's rate limit. Please try again later.")
        case 504: ("timeout_error", "Request timed out")
        case 529: ("overloaded_error", "Overloaded")
        case 400 ..< 500: ("invalid_request_error", "The mock was told to refuse this request.")
        default: ("api_error", "Internal server error")
        }
        target.append("{\"type\":\"error\",\"error\":{\"type\":\"")
        target.append(words.type)
        target.append("\",\"message\":\"")
        target.append(words.message)
        if status == 404 { writeModel(connection, into: &target) }
        target.append("\"},\"request_id\":\"")
        writeId(connection, "req_", into: &target)
        target.append("\"}")
    }

    private func writeGeminiError(_ connection: UnsafeMutablePointer<MockConnection>, _ status: Int, into target: inout OutputBytes) {
        let words: (status: StaticString, message: StaticString) = switch status {
        case 400: ("INVALID_ARGUMENT", "The mock was told to refuse this request.")
        case 401: ("UNAUTHENTICATED", "Request had invalid authentication credentials.")
        case 403: ("PERMISSION_DENIED", "The mock was told that this is not allowed.")
        case 404: ("NOT_FOUND", "")
        case 409: ("ABORTED", "The mock was told that this conflicts.")
        case 402, 429: ("RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details.")
        case 499: ("CANCELLED", "The operation was cancelled.")
        case 501: ("UNIMPLEMENTED", "The mock was told that this is not there.")
        case 503: ("UNAVAILABLE", "The model is overloaded. Please try again later.")
        case 504: ("DEADLINE_EXCEEDED", "Deadline expired before operation could complete.")
        case 400 ..< 500: ("FAILED_PRECONDITION", "The mock was told to answer with this status.")
        default: ("INTERNAL", "An internal error has occurred.")
        }
        target.append("{\n  \"error\": {\n    \"code\": ")
        target.append(decimal: UInt64(status))
        target.append(",\n    \"message\": \"")
        if status == 404 {
            target.append("models/")
            writeModel(connection, into: &target)
            target.append(" is not found for API version v1beta, or is not supported for generateContent. Call ModelService.ListModels to see the list of available models and their supported methods.")
        } else {
            target.append(words.message)
        }
        target.append("\",\n    \"status\": \"")
        target.append(words.status)
        target.append("\"")
        if status == 429 {
            target.append(",\n    \"details\": [\n      {\n        \"@type\": \"type.googleapis.com/google.rpc.RetryInfo\",\n        \"retryDelay\": \"")
            if connection.pointee.script.retryAfter.count > 0 {
                connection.pointee.script.retryAfter.write(into: &target)
            } else {
                target.append("1")
            }
            target.append("s\"\n      }\n    ]")
        }
        target.append("\n  }\n}\n")
    }

    private func writeOllamaError(_ connection: UnsafeMutablePointer<MockConnection>, _ status: Int, into target: inout OutputBytes) {
        target.append("{\"error\":\"")
        switch status {
        case 401: target.append("unauthorized")
        case 404:
            target.append("model '")
            writeModel(connection, into: &target)
            target.append("' not found")
        case 405: target.append("method not allowed")
        case 429: target.append("too many requests")
        case 503: target.append("server busy, please try again.  maximum pending requests exceeded")
        case 400 ..< 500: target.append("the mock was told to refuse this request")
        default: target.append("an internal error of the mock")
        }
        target.append("\"}")
    }

    private static func bedrockError(_ status: Int) -> StaticString {
        switch status {
        case 401: "UnrecognizedClientException"
        case 403: "AccessDeniedException"
        case 404: "ResourceNotFoundException"
        case 408: "ModelTimeoutException"
        case 424: "ModelErrorException"
        case 429: "ThrottlingException"
        case 503: "ServiceUnavailableException"
        case 400 ..< 500: "ValidationException"
        default: "InternalServerException"
        }
    }

    private static func bedrockMessage(_ status: Int) -> StaticString {
        switch status {
        case 401: "The security token included in the request is invalid."
        case 403: "The mock was told that this is not allowed."
        case 404: "The mock was told that this model is not there."
        case 408: "The model took too long."
        case 424: "The model had an error."
        case 429: "Too many requests, please wait before trying again."
        case 503: "Bedrock is unable to process your request."
        case 400 ..< 500: "The mock was told to refuse this request."
        default: "The system encountered an unexpected error during processing. Try your request again."
        }
    }

    private func writeCohereMessage(_ connection: UnsafeMutablePointer<MockConnection>, _ status: Int, into target: inout OutputBytes) {
        switch status {
        case 401, 498: target.append("Incorrect API key provided: ***********. You can find your API key at https://dashboard.cohere.com/api-keys.")
        case 404:
            target.append("model '")
            writeModel(connection, into: &target)
            target.append("' not found, make sure the correct model ID was used and that you have access to the model.")
        case 429: target.append("You are using a Trial key, which is limited to 20 API calls / minute.")
        case 503: target.append("the service is overloaded, please try again later")
        case 400 ..< 500: target.append("invalid request: the mock was told to refuse it")
        default: target.append("internal server error, this has been reported to our developers")
        }
    }

    // ---- in streams ----

    /// The error event of the dialect, and what closes the stream's form behind it.
    func renderError(_ connection: UnsafeMutablePointer<MockConnection>) {
        switch connection.pointee.stream.form {
        case .frames:
            let chunk = openEvent(connection, name: "modelStreamErrorException", frameType: ":exception-type", kind: "exception")
            out.append("{\"message\":\"The system encountered an unexpected error during processing. Try your request again.\",\"originalMessage\":\"the mock was told to fail\",\"originalStatusCode\":500}")
            closeEvent(connection, chunk)
        case .array:
            let chunk = openEvent(connection)
            writeErrorBody(connection, 500, isIndented: false, into: &out)
            out.count -= 1 // closeEvent ends the line
            closeEvent(connection, chunk)
            renderArrayEnd(connection)
        case .lines:
            let chunk = openEvent(connection)
            writeErrorBody(connection, 500, isIndented: false, into: &out)
            closeEvent(connection, chunk)
        case .events:
            renderErrorEvent(connection)
        }
    }

    private func renderErrorEvent(_ connection: UnsafeMutablePointer<MockConnection>) {
        switch connection.pointee.dialect {
        case .anthropic:
            let chunk = openEvent(connection, name: "error")
            writeErrorBody(connection, 529, isIndented: false, into: &out)
            closeEvent(connection, chunk)
        case .gemini: // no event at all, but the bare JSON in several lines
            let chunk = connection.pointee.isChunkedAnswer ? out.openChunk() : out.count
            writeErrorBody(connection, 500, isIndented: true, into: &out)
            endPiece(connection, chunk)
        case .cohere:
            let chunk = openEvent(connection, name: "message-end")
            out.append("{\"type\":\"message-end\",\"delta\":{\"error\":\"internal server error, this has been reported to our developers\",\"finish_reason\":\"ERROR\"}}")
            closeEvent(connection, chunk)
        case .openai, .azure, .ollama, .bedrock:
            let isResponses = connection.pointee.endpoint == .responses
            let chunk = openEvent(connection, name: isResponses ? "error" : nil)
            if isResponses {
                out.append("{\"type\":\"error\",\"code\":\"server_error\",\"message\":\"The server had an error while processing your request. Sorry about that!\",\"param\":null,\"sequence_number\":")
                out.append(decimal: UInt64(connection.pointee.stream.events))
                out.append("}")
            } else {
                writeOpenAIError(500, isIndented: false, into: &out)
            }
            closeEvent(connection, chunk)
        }
    }
}
