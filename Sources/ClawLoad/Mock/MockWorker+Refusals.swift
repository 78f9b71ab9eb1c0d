// Answers of the mock that are no answers: refusals of requests that do not parse, and the broken HTTP of `x-mock-garbage`.
import CClaw
import ClawWire

extension MockWorker {
    /// A request that does not parse: the status the parser named, and the end.
    func refuse(_ connection: UnsafeMutablePointer<MockConnection>, _ refusal: HTTPRefusal) {
        connection.pointee.phase = .answering
        connection.pointee.endpoint = .admin // not an exchange that is counted
        connection.pointee.dialect = .openai
        connection.pointee.recording = MockRecordings.none
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
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 422: "Unprocessable Content"
        case 429: "Too Many Requests"
        case 500: "Internal Server Error"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 529: "Overloaded"
        default: "Mock"
        }
    }
}
