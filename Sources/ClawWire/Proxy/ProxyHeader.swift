import Glibc

/// The header that a proxy puts in front of a connection to tell whose it is (haproxy's proxy-protocol.txt, versions 1 and 2). Pure and without memory of its
/// own: feed it the bytes of the connection from the first one on, contiguous; when more has come, feed the longer span again. The verdict does
/// not depend on how the bytes were cut, and what cannot become a header is refused with its first wrong byte, as far as the signature
/// goes; so an HTTP request on such a listener is refused at once. Trusting a header is for the caller to decide, who asks for one where
/// only proxies connect.
public enum ProxyHeader {
    /// A line of version 1 with its CRLF (§2.1).
    public static let lineBytesMax = 107
    /// A header of version 2 with all it carries. The protocol allows 65551 bytes; what proxies send (names, TLS facts, cloud endpoints) has some hundred.
    public static let bytesMax = 4096

    public enum Progress: Equatable, Sendable {
        /// Right so far.
        case needMore
        /// The header is the first `length` bytes; what follows is the client's.
        case complete(length: Int, source: Source)
        case refused(Refusal)
    }

    /// Where the connection came from at first. Addresses are as they lie in memory in network order, as in `sockaddr_in` and `sockaddr_in6`.
    public enum Source: Equatable, Sendable {
        /// The proxy speaks for itself (health checks), or does not know: the socket's own peer counts.
        case own
        case ipv4(address: UInt32, port: UInt16)
        case ipv6(high: UInt64, low: UInt64, port: UInt16)
        case unix
    }

    public enum Refusal: Equatable, Sendable {
        case signature, line, lineTooLong, version, command, family, tooLong, addresses, extensions, checksum

        /// For the log.
        public var reason: StaticString {
            switch self {
            case .signature: "no PROXY header"
            case .line: "malformed PROXY line"
            case .lineTooLong: "PROXY line longer than 107 bytes"
            case .version: "unknown version of the PROXY protocol"
            case .command: "unknown command in the PROXY header"
            case .family: "unsupported address family in the PROXY header"
            case .tooLong: "PROXY header longer than 4096 bytes"
            case .addresses: "PROXY header too short for its addresses"
            case .extensions: "malformed extension in the PROXY header"
            case .checksum: "wrong checksum of the PROXY header"
            }
        }
    }

    public static func parse(_ bytes: UnsafeRawBufferPointer) -> Progress {
        guard let first = bytes.first else { return .needMore }
        return first == UInt8(ascii: "P") ? parseLine(bytes) : parseBinary(bytes)
    }

    // MARK: version 1

    /// "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"
    private static func parseLine(_ bytes: UnsafeRawBufferPointer) -> Progress {
        let prefix: StaticString = "PROXY "
        for at in 0..<min(bytes.count, prefix.utf8CodeUnitCount) where bytes[at] != prefix.utf8Start[at] { return .refused(.signature) }
        var end = 0
        // The CR of the longest line is the last byte but one.
        while end < min(bytes.count, lineBytesMax - 1), bytes[end] != 13 {
            // A line feed alone ends no line.
            if bytes[end] == 10 { return .refused(.line) }
            end += 1
        }
        guard end + 1 < lineBytesMax else { return .refused(.lineTooLong) }
        guard end + 1 < bytes.count else { return .needMore }
        guard bytes[end + 1] == 10, end > prefix.utf8CodeUnitCount else { return .refused(.line) }
        guard let source = source(ofLine: UnsafeRawBufferPointer(rebasing: bytes[prefix.utf8CodeUnitCount..<end])) else { return .refused(.line) }
        return .complete(length: end + 2, source: source)
    }

    /// What stands between "PROXY " and CRLF.
    private static func source(ofLine line: UnsafeRawBufferPointer) -> Source? {
        // Whatever follows UNKNOWN is to be ignored (§2.1).
        if line.count >= 7, same(UnsafeRawBufferPointer(rebasing: line[..<7]), "UNKNOWN"), line.count == 7 || line[7] == 32 { return .own }
        var rest = line
        guard let family = word(&rest) else { return nil }
        let isIPv6 = same(family, "TCP6")
        guard isIPv6 || same(family, "TCP4") else { return nil }
        guard let from = word(&rest), let to = word(&rest), let fromPort = word(&rest), let toPort = word(&rest), rest.isEmpty else { return nil }
        guard let port = number(fromPort), number(toPort) != nil else { return nil }
        if isIPv6 {
            guard let address = ipv6(from), ipv6(to) != nil else { return nil }
            return .ipv6(high: address.high, low: address.low, port: port)
        }
        guard let address = ipv4(from), ipv4(to) != nil else { return nil }
        return .ipv4(address: address, port: port)
    }

    /// The next word; one space separates two. What follows the last one is empty, or the line ended with a space.
    private static func word(_ rest: inout UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var end = 0
        while end < rest.count, rest[end] != 32 { end += 1 }
        guard end > 0, end + 1 != rest.count else { return nil }
        let found = UnsafeRawBufferPointer(rebasing: rest[..<end])
        rest = UnsafeRawBufferPointer(rebasing: rest[min(end + 1, rest.count)...])
        return found
    }

    private static func same(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard let base = bytes.baseAddress, bytes.count == text.utf8CodeUnitCount else { return false }
        return memcmp(base, text.utf8Start, bytes.count) == 0
    }

    /// 0…65535 without leading zeros.
    private static func number(_ digits: UnsafeRawBufferPointer) -> UInt16? {
        guard digits.count <= 5, digits.count == 1 || digits[0] != 48 else { return nil }
        var value: UInt32 = 0
        for digit in digits {
            guard digit >= 48, digit <= 57 else { return nil }
            value = value * 10 + UInt32(digit - 48)
        }
        return UInt16(exactly: value)
    }

    private static func ipv4(_ text: UnsafeRawBufferPointer) -> UInt32? {
        var address = in_addr()
        return scan(text, AF_INET, &address) ? address.s_addr : nil
    }

    private static func ipv6(_ text: UnsafeRawBufferPointer) -> (high: UInt64, low: UInt64)? {
        var address = in6_addr()
        guard scan(text, AF_INET6, &address) else { return nil }
        return withUnsafeBytes(of: address) { ($0.loadUnaligned(fromByteOffset: 0, as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) }
    }

    /// inet_pton takes no leading zeros, no spaces and no zones, but wants a NUL behind the text.
    private static func scan(_ text: UnsafeRawBufferPointer, _ family: Int32, _ into: UnsafeMutableRawPointer) -> Bool {
        guard text.count < 46 else { return false }
        return withUnsafeTemporaryAllocation(byteCount: 46, alignment: 1) { copy in
            copy.copyMemory(from: text)
            copy[text.count] = 0
            guard let base = copy.baseAddress else { return false }
            let start = base.assumingMemoryBound(to: CChar.self)
            // A NUL within the text would end it early.
            return strlen(start) == text.count && inet_pton(family, start, into) == 1
        }
    }

    // MARK: version 2

    private static func parseBinary(_ bytes: UnsafeRawBufferPointer) -> Progress {
        let signature: StaticString = "\r\n\r\n\0\r\nQUIT\n"
        let fixed = 16
        for at in 0..<min(bytes.count, signature.utf8CodeUnitCount) where bytes[at] != signature.utf8Start[at] { return .refused(.signature) }
        guard bytes.count > 12 else { return .needMore }
        guard bytes[12] >> 4 == 2 else { return .refused(.version) }
        let isLocal = bytes[12] & 15 == 0
        guard isLocal || bytes[12] & 15 == 1 else { return .refused(.command) }
        guard bytes.count > 13 else { return .needMore }
        var addressBytes = 0
        if !isLocal {
            switch bytes[13] {
            case 0x00: break
            case 0x11: addressBytes = 12
            case 0x21: addressBytes = 36
            case 0x31: addressBytes = 216
            // Datagrams (…2) do not come over a connection; the rest has no meaning yet.
            default: return .refused(.family)
            }
        }
        guard bytes.count >= fixed else { return .needMore }
        let length = fixed + Int(bytes[14]) << 8 + Int(bytes[15])
        guard length <= bytesMax else { return .refused(.tooLong) }
        guard length >= fixed + addressBytes else { return .refused(.addresses) }
        guard bytes.count >= length else { return .needMore }
        // LOCAL and an unspecified family carry nothing for us, whatever stands there (§2.2).
        if isLocal || addressBytes == 0 { return .complete(length: length, source: .own) }
        let header = UnsafeRawBufferPointer(rebasing: bytes[..<length])
        if let refusal = wrong(inExtensionsOf: header, from: fixed + addressBytes) { return .refused(refusal) }
        switch addressBytes {
        case 12:
            return .complete(length: length, source: .ipv4(address: header.loadUnaligned(fromByteOffset: fixed, as: UInt32.self), port: port(header, fixed + 8)))
        case 36:
            return .complete(length: length, source: .ipv6(
                high: header.loadUnaligned(fromByteOffset: fixed, as: UInt64.self), low: header.loadUnaligned(fromByteOffset: fixed + 8, as: UInt64.self),
                port: port(header, fixed + 32)))
        default: return .complete(length: length, source: .unix)
        }
    }

    private static func port(_ header: UnsafeRawBufferPointer, _ at: Int) -> UInt16 { UInt16(header[at]) << 8 | UInt16(header[at + 1]) }

    /// Extensions are type, length (two bytes) and value, to the end exactly. Only the checksum (type 3) is looked into (§2.2.3).
    private static func wrong(inExtensionsOf header: UnsafeRawBufferPointer, from start: Int) -> Refusal? {
        var at = start
        var checksumAt: Int?
        while at < header.count {
            guard header.count - at >= 3 else { return .extensions }
            let length = Int(header[at + 1]) << 8 + Int(header[at + 2])
            guard header.count - at - 3 >= length else { return .extensions }
            if header[at] == 3 {
                guard length == 4, checksumAt == nil else { return .extensions }
                checksumAt = at + 3
            }
            at += 3 + length
        }
        guard let checksumAt else { return nil }
        let said = UInt32(bigEndian: header.loadUnaligned(fromByteOffset: checksumAt, as: UInt32.self))
        return said == checksum(header, zeroed: checksumAt) ? nil : .checksum
    }

    /// CRC32C (RFC 4960 appendix B) of the header, its four bytes at `zeroed` taken for 0. Bit by bit: a header is short, and few carry one.
    static func checksum(_ header: UnsafeRawBufferPointer, zeroed: Int) -> UInt32 {
        var value: UInt32 = 0xffff_ffff
        for at in 0..<header.count {
            value ^= at >= zeroed && at < zeroed + 4 ? 0 : UInt32(header[at])
            for _ in 0..<8 { value = value >> 1 ^ (value & 1 == 0 ? 0 : 0x82f6_3b78) }
        }
        return ~value
    }
}
