import CScan

/// An http or https URL of configuration (upstreams), split; `ws` and `wss` mean the same. A URL that a browser would have to repair is refused with a sentence instead:
/// what is written is what is meant. Host names are ASCII (internationalised ones in their `xn--` form); an IPv4 address has its one
/// decimal form, so that no spelling of an address slips past the address rules; IPv6 addresses come out in the form of RFC 5952.
public struct HTTPURL: Equatable, Sendable {
    public var isTLS: Bool
    /// Lower-case ASCII host name, or an address without brackets.
    public var host: String
    public var port: UInt16
    /// Path in normal form without trailing slash, "" for none. Query and fragment are refused.
    public var path: String
    /// `host` is an IPv6 address: it stands in brackets in a Host field.
    public var isIPv6: Bool { host.utf8.contains(0x3A) }

    /// Throws a sentence that says what is wrong.
    public init(_ text: String) throws(HTTPURLError) {
        var bytes = Array(text.utf8)
        let outcome: Result<HTTPURL, HTTPURLError> = bytes.withUnsafeMutableBufferPointer { buffer in
            do throws(HTTPURLError) { return .success(try Self.read(UnsafeMutableBufferPointer(rebasing: buffer[...]), text)) } catch { return .failure(error) }
        }
        self = try outcome.get()
    }

    private init(isTLS: Bool, host: String, port: UInt16, path: String) {
        self.isTLS = isTLS
        self.host = host
        self.port = port
        self.path = path
    }

    private static func read(_ buffer: UnsafeMutableBufferPointer<UInt8>, _ text: String) throws(HTTPURLError) -> HTTPURL {
        func wrong(_ what: String) -> HTTPURLError { HTTPURLError(message: "\(what) in url \"\(printable(text))\"") }
        let count = buffer.count
        guard count > 0, let base = buffer.baseAddress else { throw HTTPURLError(message: "empty url, expected http://host or https://host") }
        guard count <= 8192 else { throw HTTPURLError(message: "url too long: \(count) bytes, limit 8192") }
        let bytes = UnsafePointer(base)
        for byte in buffer {
            if byte >= 0x80 { throw wrong("character outside ASCII (write host names as xn--, other bytes as escapes)") }
            if byte < 0x20 || byte == 0x7F { throw wrong("control character") }
            if byte == 0x20 { throw wrong("blank") }
            if byte == 0x5C { throw wrong("backslash") }
        }
        let isTLS: Bool
        let authority: Int
        if count >= 7 && beginsFolded(bytes, "http://") {
            isTLS = false
            authority = 7
        } else if count >= 8 && beginsFolded(bytes, "https://") {
            isTLS = true
            authority = 8
        } else if count >= 5 && beginsFolded(bytes, "ws://") {
            // The same server under the name its WebSockets go by (RFC 6455 §3).
            isTLS = false
            authority = 5
        } else if count >= 6 && beginsFolded(bytes, "wss://") {
            isTLS = true
            authority = 6
        } else {
            throw wrong("no http:// or https:// at the start")
        }
        var pathStart = authority
        while pathStart < count && bytes[pathStart] != 0x2F && bytes[pathStart] != 0x3F && bytes[pathStart] != 0x23 {
            if bytes[pathStart] == 0x40 { throw wrong("user name or password (credentials have their own keys)") }
            pathStart += 1
        }
        guard pathStart > authority else { throw wrong("no host") }
        let parts = Authority.read(bytes, authority, pathStart)
        guard parts.isWhole else { throw wrong("malformed host or port") }
        if parts.portLength == 0 { throw wrong("colon without a port") }
        if parts.portLength > 0 && parts.port == 0 { throw wrong("port 0") }
        let host: String
        if parts.isLiteral {
            // Authority has judged it.
            guard let address = IPv6Address(bytes, authority + 1, parts.hostEnd - 1) else { throw wrong("malformed address") }
            host = address.text
        } else {
            if let what = faultInName(bytes, authority, parts.hostEnd) { throw wrong(what) }
            host = String(decoding: UnsafeBufferPointer(start: bytes + authority, count: parts.hostEnd - authority), as: UTF8.self).lowercased()
        }
        for at in pathStart..<count {
            if bytes[at] == 0x3F { throw wrong("query") }
            if bytes[at] == 0x23 { throw wrong("fragment") }
        }
        var path = ""
        if pathStart < count {
            var normal = [UInt8](repeating: 0, count: count - pathStart)
            let raw = UnsafeRawBufferPointer(start: bytes + pathStart, count: count - pathStart)
            let form = normal.withUnsafeMutableBytes { normalisePath(raw, into: $0) }
            switch form {
            case .normal: path = String(decoding: raw, as: UTF8.self)
            case .rewritten(let length): path = String(decoding: normal[..<length], as: UTF8.self)
            case .refused(let reason): throw wrong("path that has no safe normal form (\(reason))")
            }
            while path.hasSuffix("/") { path.removeLast() }
        }
        let port = parts.portLength > 0 ? UInt16(parts.port) : isTLS ? 443 : 80
        return HTTPURL(isTLS: isTLS, host: host, port: port, path: path)
    }

    /// A host name as DNS takes it (letters, digits, "-", "_"; labels of 1 … 63 bytes, 253 in all, a final dot allowed), or a dotted IPv4
    /// address. A name whose last label looks like a number is an address or nothing: resolvers read `0x7f.1` and `2130706433` as one.
    private static func faultInName(_ bytes: UnsafePointer<UInt8>, _ from: Int, _ to: Int) -> String? {
        var end = to
        if bytes[end - 1] == 0x2E { end -= 1 }
        guard end > from else { return "empty host name" }
        guard end - from <= 253 else { return "host name above 253 bytes" }
        var labelStart = from
        for at in from...end {
            if at == end || bytes[at] == 0x2E {
                if at == labelStart { return "empty label in the host name" }
                if at - labelStart > 63 { return "label above 63 bytes in the host name" }
                if at < end { labelStart = at + 1 }
            } else if !isOfClass(bytes[at], cscan_http_plain) {
                return "character no host name has"
            }
        }
        if looksNumeric(bytes, labelStart, end) && (end != to || IPv4Address(bytes, from, to) == nil) {
            return "IPv4 address not written as four decimal numbers"
        }
        return nil
    }

    /// All digits, or 0x and hex digits (WHATWG URL, "ends in a number").
    private static func looksNumeric(_ bytes: UnsafePointer<UInt8>, _ from: Int, _ to: Int) -> Bool {
        if to - from >= 2 && bytes[from] == 48 && bytes[from + 1] | 0x20 == 0x78 {
            for at in from + 2..<to where hexValue(bytes[at]) > 15 { return false }
            return true
        }
        for at in from..<to where !isDigit(bytes[at]) { return false }
        return true
    }

    /// The text with everything but printable ASCII replaced, cut after 200 bytes: it goes into messages and logs.
    private static func printable(_ text: String) -> String {
        let bytes = text.utf8.prefix(200).map { $0 >= 0x20 && $0 < 0x7F ? $0 : UInt8(0x3F) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

public struct HTTPURLError: Error, Equatable, Sendable { public var message: String; public init(message: String) { self.message = message } }
