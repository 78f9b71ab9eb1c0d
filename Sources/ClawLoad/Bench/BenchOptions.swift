// BenchOptions: what a measurement sends, where, how much of it and for how long. `prepare` turns it into the bytes of the one request
// that all connections repeat.
import CClaw
import ClawWire

public struct BenchOptions: Sendable {
    /// http:// or https://; without a path the endpoint of chat completions is meant, after /v1 too.
    public var url: String
    /// Path and query instead of the URL's.
    public var path: String?
    public var method: String?
    public var model = "mock-model"
    public var connections = 64
    public var threads = 1
    /// Ends the measurement after this long (warm-up not counted) …
    public var durationNanoseconds: UInt64 = 10_000_000_000
    /// … or, when > 0, after so many answers.
    public var requests: UInt64 = 0
    public var warmupNanoseconds: UInt64 = 0
    /// Requests per second over all connections, sent at their times whatever the server does; 0: each connection sends when it has
    /// its answer (closed loop).
    public var rate = 0.0
    public var stream = false
    /// Length of the generated body in bytes; 0: a short one.
    public var bodyBytes = 0
    /// A body to send as it is, instead of a generated one.
    public var body: [UInt8]?
    /// `Name: value` lines.
    public var headers: [String] = []
    /// Sent as `Authorization: Bearer`.
    public var key: String?
    public var timeoutNanoseconds: UInt64 = 30_000_000_000
    /// TLS without verification (https:// only).
    public var insecure = false
    public var backend: UInt32 = 1
    public init(url: String) { self.url = url }
}

/// What the options come to.
struct BenchPlan: Sendable {
    var host: String
    var hostHeader: String
    var port: UInt16
    var isTLS: Bool
    var path: String
    var method: String
    var isHead: Bool
    var body: [UInt8]
    /// Header lines besides Host and Content-Length, without line ends.
    var headers: [String]
    /// The whole request for http://.
    var bytes: [UInt8]
    /// The answer is a stream of events.
    var expectsStream: Bool

    init(_ options: BenchOptions) throws(LoadError) {
        var rest = Substring(options.url)
        if rest.hasPrefix("http://") {
            isTLS = false
            rest = rest.dropFirst(7)
        } else if rest.hasPrefix("https://") {
            isTLS = true
            rest = rest.dropFirst(8)
        } else {
            throw LoadError("bench: \(options.url) is no http:// or https:// URL")
        }
        let authorityEnd = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let authority = rest[..<authorityEnd]
        var target = String(rest[authorityEnd...])
        guard !authority.isEmpty, !authority.contains("@") else { throw LoadError("bench: \(options.url) has no host") }
        var portText: Substring = ""
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            host = String(authority[authority.index(after: authority.startIndex) ..< end])
            portText = authority[authority.index(after: end)...]
        } else if let colon = authority.lastIndex(of: ":") {
            host = String(authority[..<colon])
            portText = authority[colon...]
        } else {
            host = String(authority)
        }
        if portText.isEmpty {
            port = isTLS ? 443 : 80
        } else {
            guard portText.first == ":", let number = UInt16(portText.dropFirst()), number > 0 else {
                throw LoadError("bench: \(options.url) has no right port")
            }
            port = number
        }
        hostHeader = String(authority)
        if let path = options.path {
            target = path.hasPrefix("/") ? path : "/" + path
        } else {
            if target.hasSuffix("/") { target.removeLast() }
            if target.isEmpty { target = "/v1" }
            if target.hasSuffix("/v1") { target += "/chat/completions" }
        }
        path = target
        let bare = String(target.prefix { $0 != "?" })
        let generates = ["/chat/completions", "/completions", "/embeddings", "/responses"].first { bare.hasSuffix($0) }
        if let given = options.body {
            body = given
        } else if generates != nil || options.bodyBytes > 0 || options.stream {
            body = Self.generate(options, path: generates ?? "/chat/completions")
        } else {
            body = []
        }
        method = options.method ?? (body.isEmpty ? "GET" : "POST")
        isHead = method == "HEAD"
        expectsStream = options.stream
        var lines: [String] = []
        func isGiven(_ name: String) -> Bool { options.headers.contains { $0.lowercased().hasPrefix(name + ":") } }
        if !body.isEmpty && !isGiven("content-type") { lines.append("Content-Type: application/json") }
        if !isGiven("accept") { lines.append(options.stream ? "Accept: text/event-stream" : "Accept: application/json") }
        if !isGiven("user-agent") { lines.append("User-Agent: openclaw-bench") }
        if let key = options.key { lines.append("Authorization: Bearer \(key)") }
        for header in options.headers {
            guard let colon = header.firstIndex(of: ":"), colon != header.startIndex, !header.utf8.contains(where: { $0 < 0x20 && $0 != 9 }) else {
                throw LoadError("bench: --header \(header): expected name: value")
            }
            if header.lowercased().hasPrefix("host:") {
                hostHeader = String(header[header.index(after: colon)...].drop { $0 == " " })
            } else {
                lines.append(header)
            }
        }
        headers = lines
        var head = "\(method) \(path) HTTP/1.1\r\nHost: \(hostHeader)\r\n" + lines.map { $0 + "\r\n" }.joined()
        if !body.isEmpty || method == "POST" || method == "PUT" { head += "Content-Length: \(body.count)\r\n" }
        head += "\r\n"
        bytes = Array(head.utf8) + body
    }

    /// A request body of about the wished length (exactly, where it is longer than the shortest).
    private static func generate(_ options: BenchOptions, path: String) -> [UInt8] {
        var model: [UInt8] = []
        for byte in options.model.utf8 where byte >= 0x20 && byte != 0x22 && byte != 0x5c { model.append(byte) }
        let name = String(decoding: model, as: UTF8.self)
        let before: String, after: String
        let ending = options.stream ? ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}" : "}"
        switch path {
        case "/embeddings": (before, after) = ("{\"model\":\"\(name)\",\"input\":\"", "\"}")
        case "/completions": (before, after) = ("{\"model\":\"\(name)\",\"prompt\":\"", "\"" + ending)
        case "/responses":
            (before, after) = ("{\"model\":\"\(name)\",\"input\":\"", options.stream ? "\",\"stream\":true}" : "\"}")
        default: (before, after) = ("{\"model\":\"\(name)\",\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}]" + ending)
        }
        let fixedBytes = before.utf8.count + after.utf8.count
        let filler = Array("Tell me how a gateway measures latency without fooling itself. ".utf8)
        let wanted = options.bodyBytes > 0 ? max(1, options.bodyBytes - fixedBytes) : filler.count
        var text = [UInt8](before.utf8)
        text.reserveCapacity(fixedBytes + wanted)
        for place in 0 ..< wanted { text.append(filler[place % filler.count]) }
        text.append(contentsOf: after.utf8)
        return text
    }
}
