// RawClient: a blocking socket to a mock on this machine, for tests that must see and send exact bytes; and Answer, what it read, taken
// apart with the project's own parsers.
import ClawLoad
import ClawWire
import Glibc

final class RawClient {
    let fd: Int32
    private var buffer: [UInt8] = []

    /// Reads give up after this time, so a test that would hang fails instead.
    init(port: UInt16, timeoutSeconds: Int = 60) {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var one: Int32 = 1
        setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        var patience = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        precondition(result == 0, "cannot connect to the mock: errno \(errno)")
    }

    deinit { Glibc.close(fd) }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let result = bytes.withUnsafeBytes { Glibc.send(fd, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
            if result < 0, errno == EINTR { continue }
            if result <= 0 { return }
            sent += result
        }
    }

    func post(_ path: String, _ body: String, headers: [String] = []) {
        let lines = (["Host: mock", "Content-Length: \(body.utf8.count)"] + headers).map { $0 + "\r\n" }.joined()
        send("POST \(path) HTTP/1.1\r\n\(lines)\r\n\(body)")
    }

    func get(_ path: String, headers: [String] = []) {
        send("GET \(path) HTTP/1.1\r\nHost: mock\r\n" + headers.map { $0 + "\r\n" }.joined() + "\r\n")
    }

    /// One read: bytes, empty at the end, nil on a reset or when nothing came in time.
    func read() -> [UInt8]? {
        var piece = [UInt8](repeating: 0, count: 65536)
        var got = recv(fd, &piece, piece.count, 0)
        // Other suites of the process are about signals; one of theirs is no reset.
        while got < 0, errno == EINTR { got = recv(fd, &piece, piece.count, 0) }
        return got < 0 ? nil : Array(piece[0 ..< got])
    }

    /// Reads to the end; `isReset` says how it came.
    func readAll() -> (bytes: [UInt8], isReset: Bool) {
        var all = buffer
        buffer = []
        while let piece = read() {
            if piece.isEmpty { return (all, false) }
            all += piece
        }
        return (all, true)
    }

    /// Reads one whole answer; what comes behind it is kept for the next. Nil when the connection ends first.
    func answer(to method: HTTPMethod = .post) -> Answer? {
        while true {
            if let (answer, end) = Answer.parse(buffer, method: method) {
                buffer.removeFirst(end)
                return answer
            }
            guard let piece = read(), !piece.isEmpty else { return nil }
            buffer += piece
        }
    }
}

struct Answer {
    var status = 0
    var headers: [(name: String, value: String)] = []
    var body: [UInt8] = []
    var keepsAlive = true
    var isEventStream = false

    var text: String { String(decoding: body, as: UTF8.self) }
    func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name }?.value }

    static func parse(_ bytes: [UInt8], method: HTTPMethod) -> (Answer, Int)? {
        bytes.withUnsafeBytes { span -> (Answer, Int)? in
            var parser = ResponseParser()
            let head = ResponseHead()
            var limits = HeadLimits()
            limits.headBytesMax = 1 << 20
            guard case .complete(var at) = parser.parse(span, requestMethod: method, limits: limits, into: head) else { return nil }
            func text(_ offset: UInt32, _ length: Int) -> String {
                String(decoding: span[Int(offset) ..< Int(offset) + length], as: UTF8.self)
            }
            var answer = Answer(status: head.status, keepsAlive: head.keepAlive, isEventStream: head.isEventStream)
            for place in 0 ..< head.fieldCount {
                let field = head.fields[place]
                answer.headers.append((text(field.nameOffset, Int(field.nameLength)), text(field.valueOffset, Int(field.valueLength))))
            }
            switch head.framing {
            case .none:
                return (answer, at)
            case .contentLength(let length):
                guard span.count >= at + Int(length) else { return nil }
                answer.body = Array(span[at ..< at + Int(length)])
                return (answer, at + Int(length))
            case .untilClose:
                return nil
            case .chunked:
                var reader = ChunkedReader()
                while true {
                    switch reader.next(span, from: at) {
                    case .needMore, .refused: return nil
                    case .data(let range):
                        answer.body += span[range]
                        at = range.upperBound
                    case .end(let end): return (answer, end)
                    }
                }
            }
        }
    }

    /// The data of the body's events, in order, and their names.
    func events() -> [(name: String, data: String)] { Answer.events(body) }

    static func events(_ body: [UInt8]) -> [(name: String, data: String)] {
        var scanner = EventScanner()
        var found: [(String, String)] = []
        body.withUnsafeBytes { span in
            var at = 0
            while case .event(let event) = scanner.next(span, from: at) {
                found.append((String(decoding: event.name, as: UTF8.self), String(decoding: event.data, as: UTF8.self)))
                at = event.end
            }
        }
        return found
    }
}

/// Runs a mock for the length of a test; on io_uring when OPENCLAW_TEST_BACKEND is uring, else on epoll.
func withMock(threads: Int = 1, settings: [(String, String)] = [], _ test: (MockServer) throws -> Void) throws {
    var options = MockOptions()
    options.threads = threads
    options.backend = getenv("OPENCLAW_TEST_BACKEND").map { String(cString: $0) } == "uring" ? 2 : 1
    for (name, value) in settings { precondition(options.script.set(name, value), "no such setting: \(name)=\(value)") }
    let server = try MockServer(options: options)
    try server.start()
    defer { server.stop() }
    try test(server)
}

func chat(stream: Bool = false, usage: Bool = false, maxTokens: Int? = nil, n: Int? = nil) -> String {
    var body = "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"one two three\"}]"
    if stream { body += ",\"stream\":true" }
    if usage { body += ",\"stream_options\":{\"include_usage\":true}" }
    if let maxTokens { body += ",\"max_tokens\":\(maxTokens)" }
    if let n { body += ",\"n\":\(n)" }
    return body + "}"
}
