// Answers of the mock that are not the right one: errors in OpenAI's shape, refusals of requests that do not parse, and the
// broken HTTP of `x-mock-garbage`.
import CClaw
import ClawWire

extension MockWorker {
    /// An error as OpenAI writes it (indented by four).
    func answerError(_ connection: UnsafeMutablePointer<MockConnection>, _ status: Int) {
        body.count = 0
        writeErrorBody(status, isIndented: true, into: &body)
        let start = out.count
        writeHead(connection, status: status, type: "application/json")
        if status == 405 { out.append("allow: POST\r\n") }
        if connection.pointee.script.retryAfter.count > 0 {
            out.append("retry-after: ")
            connection.pointee.script.retryAfter.write(into: &out)
            out.append("\r\n")
        }
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

    func writeErrorBody(_ status: Int, isIndented: Bool, into target: inout OutputBytes) {
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

    /// A request that does not parse: the status the parser named, and the end.
    func refuse(_ connection: UnsafeMutablePointer<MockConnection>, _ refusal: HTTPRefusal) {
        connection.pointee.phase = .answering
        connection.pointee.endpoint = .admin // not an exchange that is counted
        connection.pointee.script = MockScript()
        connection.pointee.keepsAlive = false
        connection.pointee.isHead = false
        connection.pointee.sentBytes = 0
        connection.pointee.holdAt = -1
        tally.add(status: Int(refusal.status))
        body.count = 0
        body.append("{\"error\":{\"message\":\"the mock cannot read this request\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"")
        body.append(refusal.reason)
        body.append("\"}}")
        out.count = 0
        sendBody(connection, status: Int(refusal.status), type: "application/json")
    }

    func writeGarbage(_ connection: UnsafeMutablePointer<MockConnection>) {
        let text: StaticString = "content-type: application/json\r\n"
        connection.pointee.keepsAlive = false
        switch connection.pointee.script.garbage {
        case .statusLine:
            out.append("HTP/1.1 OK two hundred\r\n")
            out.append(text)
            out.append("content-length: 2\r\n\r\n{}")
        case .header:
            out.append("HTTP/1.1 200 OK\r\n")
            out.append(text)
            out.append("this line has no colon\r\ncontent-length: 2\r\n\r\n{}")
        case .chunkSize:
            out.append("HTTP/1.1 200 OK\r\n")
            out.append(text)
            out.append("transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")
        case .nul:
            out.append("HTTP/1.1 200 OK\r\n")
            out.append(text)
            out.append("x-nul: a")
            out.append(byte: 0)
            out.append("b\r\ncontent-length: 2\r\n\r\n{}")
        case .twoLengths:
            out.append("HTTP/1.1 200 OK\r\n")
            out.append(text)
            out.append("content-length: 2\r\ncontent-length: 5\r\n\r\n{}   ")
        case .lengthAndChunked:
            out.append("HTTP/1.1 200 OK\r\n")
            out.append(text)
            out.append("content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        case .switching:
            out.append("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: mock\r\n\r\n")
        case .hugeHeaders:
            out.append("HTTP/1.1 200 OK\r\n")
            out.append(text)
            for _ in 0 ..< 256 {
                out.append("x-filler: ")
                out.append(repeating: 0x61, 4084)
                out.append("\r\n")
            }
            out.append("content-length: 2\r\n\r\n{}")
        case .manyHeaders:
            out.append("HTTP/1.1 200 OK\r\n")
            out.append(text)
            for number in 0 ..< 2000 {
                out.append("x-filler-")
                out.append(decimal: UInt64(number))
                out.append(": a\r\n")
            }
            out.append("content-length: 2\r\n\r\n{}")
        case .bareLineFeed:
            out.append("HTTP/1.1 200 OK\ncontent-type: application/json\ncontent-length: 2\n\n{}")
        case .none, .surplus, .short, .flood1xx, .noLastChunk:
            break
        }
        flush(connection, .cut)
    }

    static func reason(_ status: Int) -> StaticString {
        switch status {
        case 200: "OK"
        case 204: "No Content"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 429: "Too Many Requests"
        case 500: "Internal Server Error"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        default: "Mock"
        }
    }
}
