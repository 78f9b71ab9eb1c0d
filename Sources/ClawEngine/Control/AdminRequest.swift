// A request to the admin listener and its answer, as values. Requests are few and small here, so they are copied out of the bytes they came in.
import ClawWire

struct AdminRequest {
    var method = HTTPMethod.other
    var path = ""
    var query = ""
    var host = ""
    var hostProblem = HostProblem.none
    var authorization: String?
    var accept: String?
    var hasOrigin = false
    /// It came through a gateway of our kind (its Via says so).
    var cameThroughGateway = false
    var hasDoubtfulFields = false
    var body: [UInt8] = []

    init() {}

    init(_ head: RequestHead, _ bytes: UnsafeRawBufferPointer) {
        func text(_ offset: Int, _ length: Int) -> String { String(decoding: bytes[offset..<offset + length], as: UTF8.self) }
        method = head.method
        path = head.isAsterisk ? "*" : head.pathLength == 0 ? "/" : text(head.pathOffset, head.pathLength)
        query = text(head.queryOffset, head.queryLength)
        host = text(head.hostOffset, head.hostLength)
        hostProblem = head.hostProblem
        hasDoubtfulFields = head.duplicateAuthorization || head.connectionNamesProtected
        for at in 0..<head.fieldCount {
            let field = head.fields[at]
            let value = text(Int(field.valueOffset), Int(field.valueLength))
            switch field.name {
            case .authorization: authorization = value
            case .accept: accept = accept.map { "\($0),\(value)" } ?? value
            case .via: if value.lowercased().contains("openclaw-") { cameThroughGateway = true }
            case .other: if text(Int(field.nameOffset), Int(field.nameLength)).lowercased() == "origin" { hasOrigin = true }
            default: break
            }
        }
    }
}

extension AdminRequest {
    /// The first value of this name in the query, as it stands there.
    func parameter(_ name: String) -> String? {
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts[0] == name { return parts.count > 1 ? String(parts[1]) : "" }
        }
        return nil
    }
}

struct AdminAnswer {
    var status: Int
    var contentType = "application/json"
    var fields: [(name: String, value: String)] = []
    var body: [UInt8]

    init(_ status: Int, json: String) {
        self.status = status
        body = Array(json.utf8) + [0x0a]
    }

    init(_ status: Int, contentType: String, _ body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    /// An error of the admin listener. `code` is stable; the message says what to do.
    static func error(_ status: Int, _ code: String, _ message: String) -> AdminAnswer {
        AdminAnswer(status, json: "{\"error\":{\"message\":\(JSONLine.quoted(message)),\"type\":\"admin_error\",\"code\":\"\(code)\"}}")
    }

    func with(_ name: String, _ value: String) -> AdminAnswer {
        var copy = self
        copy.fields.append((name, value))
        return copy
    }

    /// The answer on the wire. A HEAD request gets the same fields and no body (RFC 9110 §9.3.2).
    func bytes(isHead: Bool, closes: Bool) -> [UInt8] {
        var head = "HTTP/1.1 \(status) \(Self.reason(status))\r\ncontent-type: \(contentType)\r\ncontent-length: \(body.count)\r\ncache-control: no-store\r\n"
        head += "x-content-type-options: nosniff\r\n"
        for (name, value) in fields { head += "\(name): \(value)\r\n" }
        head += closes ? "connection: close\r\n\r\n" : "\r\n"
        return isHead ? Array(head.utf8) : Array(head.utf8) + body
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 202: "Accepted"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 422: "Unprocessable Content"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: "Error"
        }
    }
}
