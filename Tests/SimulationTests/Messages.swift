import ClawWire
import Testing

/// Requests and answers as texts, and the strict readers that take the worker's output apart again.
enum Message {
    static func chat(model: String = "m", stream: Bool = false, fields: String = "", pad: Int = 0) -> String {
        let body = #"{"model":"\#(model)","stream":\#(stream),"messages":[{"role":"user","content":"\#(String(repeating: "x", count: pad))"}]}"#
        return "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n\(fields)content-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    static func answer(_ body: String, status: String = "200 OK", fields: String = "content-type: application/json\r\n") -> String {
        "HTTP/1.1 \(status)\r\n\(fields)content-length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    static let completion = #"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#

    static let streamHead = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    static let lastChunk = "0\r\n\r\n"

    static func chunk(_ text: String) -> String { "\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n" }

    static let role = #"data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"# + "\n\n"
    static func content(_ text: String) -> String { #"data: {"id":"c","choices":[{"index":0,"delta":{"content":"\#(text)"},"finish_reason":null}]}"# + "\n\n" }
    static let finish = #"data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"# + "\n\n"
    static let done = "data: [DONE]\n\n"
    static let failure = #"data: {"error":{"message":"overloaded","type":"server_error","code":"overloaded"}}"# + "\n\n"
}

/// One answer as a client reads it.
struct ClientAnswer {
    var status = 0
    var interim: [Int] = []
    var fields: [String: String] = [:]
    var body: [UInt8] = []
    var isChunked = false
    var keepsAlive = true
    /// False: the connection's end is the body's end, or the body is not whole yet.
    var isWhole = false
    /// Bytes read, interim answers included.
    var length = 0
    var text: String { String(decoding: body, as: UTF8.self) }
}

struct Unreadable: Error, CustomStringConvertible { var description: String }

extension ClientAnswer {
    /// The first answer in these bytes; nil while its head is not whole. Throws when a client would refuse them.
    static func read(_ bytes: [UInt8], method: HTTPMethod = .post) throws -> ClientAnswer? {
        let head = ResponseHead()
        var answer = ClientAnswer()
        return try bytes.withUnsafeBytes { all in
            while true {
                var parser = ResponseParser()
                let rest = UnsafeRawBufferPointer(rebasing: all[answer.length...])
                guard case .complete(let length) = try progress(parser.parse(rest, requestMethod: method, limits: HeadLimits(), into: head), all) else { return nil }
                if head.status < 200 {
                    answer.interim.append(head.status)
                    answer.length += length
                    continue
                }
                answer.status = head.status
                answer.keepsAlive = head.keepAlive
                for at in 0..<head.fieldCount {
                    let field = head.fields[at]
                    let name = String(decoding: rest[Int(field.nameOffset)..<Int(field.nameOffset) + Int(field.nameLength)], as: UTF8.self)
                    answer.fields[name.lowercased()] = String(decoding: rest[Int(field.valueOffset)..<Int(field.valueOffset) + Int(field.valueLength)], as: UTF8.self)
                }
                answer.length += length
                break
            }
            try answer.readBody(all, head.framing)
            return answer
        }
    }

    private static func progress(_ progress: HeadProgress, _ bytes: UnsafeRawBufferPointer) throws -> HeadProgress {
        if case .refused(let refusal) = progress { throw Unreadable(description: "head refused: \(refusal.reason) at \(refusal.offset): \(String(decoding: bytes.prefix(300), as: UTF8.self))") }
        return progress
    }

    private mutating func readBody(_ all: UnsafeRawBufferPointer, _ framing: BodyFraming) throws {
        switch framing {
        case .none: isWhole = true
        case .contentLength(let wanted):
            let count = min(Int(wanted), all.count - length)
            body = Array(all[length..<length + count])
            length += count
            isWhole = count == Int(wanted)
        case .untilClose:
            body = Array(all[length...])
            length = all.count
        case .chunked:
            isChunked = true
            var reader = ChunkedReader()
            while true {
                switch reader.next(all, from: length) {
                case .needMore:
                    length = all.count
                    return
                case .data(let range):
                    body += all[range]
                    length = range.upperBound
                case .end(let end):
                    length = end
                    isWhole = true
                    return
                case .refused(let refusal):
                    throw Unreadable(description: "chunks refused: \(refusal.reason) at \(refusal.offset)")
                }
            }
        }
    }
}

/// One request as an upstream reads it, by the strict parser.
struct UpstreamRequest {
    var line = ""
    var fields: [String: String] = [:]
    var body: [UInt8] = []
    var length = 0
    var text: String { String(decoding: body, as: UTF8.self) }

    /// The first request in these bytes; nil while it is not whole.
    static func read(_ bytes: [UInt8]) throws -> UpstreamRequest? {
        let head = RequestHead()
        return try bytes.withUnsafeBytes { all in
            var parser = RequestParser()
            let length: Int
            switch parser.parse(all, limits: HeadLimits(), into: head) {
            case .needMore: return nil
            case .refused(let refusal): throw Unreadable(description: "request refused: \(refusal.reason) at \(refusal.offset): \(String(decoding: all.prefix(300), as: UTF8.self))")
            case .complete(let end): length = end
            }
            guard head.hostProblem == .none else { throw Unreadable(description: "host: \(head.hostProblem)") }
            var request = UpstreamRequest()
            request.line = String(decoding: all.prefix { $0 != 13 }, as: UTF8.self)
            for at in 0..<head.fieldCount {
                let field = head.fields[at]
                let name = String(decoding: all[Int(field.nameOffset)..<Int(field.nameOffset) + Int(field.nameLength)], as: UTF8.self).lowercased()
                if request.fields[name] != nil { throw Unreadable(description: "\(name) is there twice") }
                request.fields[name] = String(decoding: all[Int(field.valueOffset)..<Int(field.valueOffset) + Int(field.valueLength)], as: UTF8.self)
            }
            request.length = length
            switch head.framing {
            case .none: break
            case .contentLength(let count):
                guard all.count - length >= Int(count) else { return nil }
                request.body = Array(all[length..<length + Int(count)])
                request.length += Int(count)
            default: throw Unreadable(description: "the gateway sends bodies with a length, this one has \(head.framing)")
            }
            return request
        }
    }
}
