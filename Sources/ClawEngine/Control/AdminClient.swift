// The other end of the admin listener, for `openclaw reload` and `openclaw status`: one request over one connection, blocking, each step bounded.
import CClaw
import Glibc

/// Why a running gateway could not be asked.
public struct AdminUnreachable: Error, Sendable, CustomStringConvertible {
    public let description: String
}

public struct AdminClient {
    private static let seconds = 5
    private static let answerBytesMax = 64 << 20
    private let address: String
    private let token: String?
    private let what: String

    /// - Parameters:
    ///   - what: how messages call the other end.
    ///   - address: "host:port", "[::1]:port" or "unix:/path".
    ///   - token: `server.admin.token` of the gateway, if it has one.
    public init(address: String, token: String?, what: String = "the gateway's admin listener") {
        self.address = address
        self.token = token
        self.what = what
    }

    /// The same for any other server on this machine or beside it (a credential endpoint): HTTP/1.0, so that the answer comes in one piece, and
    /// `authorization` as it is.
    public func fetch(_ path: String, authorization: String?) throws -> (status: Int, body: String) {
        let fd = try connect()
        defer { close(fd) }
        var request = "GET \(path) HTTP/1.0\r\nhost: \(address)\r\naccept: application/json\r\n"
        if let authorization { request += "authorization: \(authorization)\r\n" }
        try send(fd, Array("\(request)\r\n".utf8))
        return try parse(try receive(fd))
    }

    /// Asks and returns the answer's status and body. Throws AdminUnreachable when there is no whole answer within 5 s a step.
    public func ask(_ method: String, _ path: String) throws -> (status: Int, body: String) {
        if let token, token.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) { throw unreachable("the token holds a control character") }
        let fd = try connect()
        defer { close(fd) }
        let isUnix = address.hasPrefix("unix:")
        var request = "\(method) \(path) HTTP/1.1\r\nhost: \(isUnix ? "localhost" : address)\r\nconnection: close\r\n"
        if method == "POST" { request += "content-length: 0\r\n" }
        if let token, !token.isEmpty { request += "authorization: Bearer \(token)\r\n" }
        try send(fd, Array("\(request)\r\n".utf8))
        return try parse(try receive(fd))
    }

    private func unreachable(_ reason: String) -> AdminUnreachable { AdminUnreachable(description: "\(what) at \(address): \(reason)") }

    private func unreachable(errno code: Int32) -> AdminUnreachable {
        switch code {
        case ECONNREFUSED, ENOENT: unreachable("nobody listens there (is the gateway running? --admin says where its admin listener is)")
        case EAGAIN, ETIMEDOUT, EINPROGRESS: unreachable("no answer within \(Self.seconds) s")
        default: unreachable(String(cString: strerror(code)))
        }
    }

    // MARK: connection

    private func connect() throws -> Int32 {
        if address.hasPrefix("unix:") {
            var parsed = claw_address()
            guard claw_address_parse(address, 0, &parsed) == 0 else { throw unreachable("not a path of a socket") }
            return try withUnsafeBytes(of: &parsed.bytes) { bytes in
                try connect(Int32(parsed.family), bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(parsed.length))
            }
        }
        guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...]) else {
            throw unreachable("expected host:port")
        }
        var host = address[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(String(host), String(port), &hints, &list)
        guard result == 0 else { throw unreachable(String(cString: gai_strerror(result))) }
        defer { freeaddrinfo(list) }
        var failure = unreachable("the name has no address")
        var next = list
        while let entry = next {
            do { return try connect(entry.pointee.ai_family, entry.pointee.ai_addr, entry.pointee.ai_addrlen) } catch let problem as AdminUnreachable { failure = problem }
            next = entry.pointee.ai_next
        }
        throw failure
    }

    private func connect(_ family: Int32, _ to: UnsafePointer<sockaddr>?, _ length: socklen_t) throws -> Int32 {
        let fd = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0, let to else { throw unreachable(errno: errno) }
        // On Linux the send time-out bounds connect(2) too (socket(7)).
        var limit = timeval(tv_sec: Self.seconds, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard Glibc.connect(fd, to, length) == 0 else {
            let code = errno
            close(fd)
            throw unreachable(errno: code)
        }
        return fd
    }

    private func send(_ fd: Int32, _ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.send(fd, $0.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
            if count > 0 { sent += count } else if errno != EINTR { throw unreachable(errno: errno) }
        }
    }

    private func receive(_ fd: Int32) throws -> [UInt8] {
        var received: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(fd, &piece, piece.count, 0)
            if count == 0 { return received }
            if count < 0 {
                if errno == EINTR { continue }
                throw unreachable(errno: errno)
            }
            received += piece[..<count]
            if isWhole(received) { return received }
            if received.count > Self.answerBytesMax { throw unreachable("the answer has more than \(Self.answerBytesMax) bytes") }
        }
    }

    // MARK: answer

    /// Has everything come that the answer's length says? Not every server ends the connection because it was asked to.
    private func isWhole(_ bytes: [UInt8]) -> Bool {
        guard let end = Self.endOfHead(bytes) else { return false }
        return Self.length(String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")).map { bytes.count >= end + 4 + $0 } ?? false
    }

    private static func endOfHead(_ bytes: [UInt8]) -> Int? {
        bytes.count < 4 ? nil : (0...bytes.count - 4).first { bytes[$0] == 13 && bytes[$0 + 1] == 10 && bytes[$0 + 2] == 13 && bytes[$0 + 3] == 10 }
    }

    private static func length(_ lines: [Substring]) -> Int? {
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2, parts[0].lowercased() == "content-length" { return Int(parts[1].filter { $0 != " " }) }
        }
        return nil
    }

    /// The listener ends the connection behind its answer and always states a length; anything else is not it.
    private func parse(_ bytes: [UInt8]) throws -> (status: Int, body: String) {
        let end = Self.endOfHead(bytes) ?? bytes.count
        let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard end + 4 <= bytes.count, words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw unreachable(bytes.isEmpty ? "it closed the connection without an answer" : "what answers there does not speak HTTP")
        }
        if let length = Self.length(lines), length != bytes.count - end - 4 { throw unreachable("its answer broke off") }
        var body = bytes[(end + 4)...]
        if body.last == 0x0a { body = body.dropLast() }
        return (status, String(decoding: body, as: UTF8.self))
    }
}
