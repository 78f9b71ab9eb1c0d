import Testing
@testable import ClawWire

@Suite struct ProxyHeaderTests {
    typealias Progress = ProxyHeader.Progress

    static func parse(_ bytes: [UInt8]) -> Progress { bytes.withUnsafeBytes { ProxyHeader.parse($0) } }

    /// The four bytes of an address as they lie in memory in network order.
    static func ipv4(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, _ port: UInt16) -> ProxyHeader.Source {
        .ipv4(address: [a, b, c, d].withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }, port: port)
    }
    static func ipv6(_ bytes: [UInt8], _ port: UInt16) -> ProxyHeader.Source {
        bytes.withUnsafeBytes { .ipv6(high: $0.loadUnaligned(fromByteOffset: 0, as: UInt64.self), low: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self), port: port) }
    }
    static let documentation: [UInt8] = [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1]

    /// One header alone, behind it a request, and cut at every place: each prefix waits (or, of a wrong one, is refused for good), the whole says the same.
    static func holds(_ bytes: [UInt8], _ expected: Progress) {
        #expect(parse(bytes) == expected)
        #expect(parse(bytes + Array("GET / HTTP/1.1\r\n".utf8)) == expected || expected == .needMore)
        for end in 0..<bytes.count {
            let progress = parse(Array(bytes[..<end]))
            if case .refused = expected { #expect(progress == .needMore || progress == expected, "cut at \(end)") } else { #expect(progress == .needMore, "cut at \(end)") }
        }
    }

    // MARK: version 1

    @Test(arguments: [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", ipv4(192, 0, 2, 1, 56324)),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", ipv4(255, 255, 255, 255, 65535)),
        ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", ipv4(0, 0, 0, 0, 0)),
        ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", ipv6(documentation, 1)),
        ("PROXY TCP6 2001:0DB8:0000:0000:0000:0000:0000:0001 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", ipv6(documentation, 65535)),
        ("PROXY TCP6 ::ffff:192.0.2.1 :: 7 8\r\n", ipv6([UInt8](repeating: 0, count: 10) + [0xFF, 0xFF, 192, 0, 2, 1], 7)),
        ("PROXY UNKNOWN\r\n", .own), ("PROXY UNKNOWN \r\n", .own), ("PROXY UNKNOWN anything at all 1 2\r\n", .own),
        ("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", .own),
    ] as [(String, ProxyHeader.Source)])
    func lineTellsTheSource(_ row: (line: String, source: ProxyHeader.Source)) {
        Self.holds(Array(row.line.utf8), .complete(length: row.line.utf8.count, source: row.source))
    }

    @Test(arguments: [
        "PROXY \r\n", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4\r\n", "PROXY TCP4 \r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 00\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4.5 1 2\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP6 ::1 :::1 1 2\r\n", "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "PROXY TCP6 [::1] ::1 1 2\r\n", "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY UNKNOWNX\r\n", "PROXY unknown\r\n", "PROXY UNIX a b 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n",
        "PROXY UNKNOWN a\nb\r\n", "PROXY UNKNOWN a\rb\r\n", "PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\0\r\n",
        "PROXY TCP6 00000000000000000000000000000000000000000000000::1 ::1 1 2\r\n",
    ])
    func malformedLineIsRefused(_ line: String) { Self.holds(Array(line.utf8), .refused(.line)) }

    @Test(arguments: ["GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "PROXY\r\n", "PROXYTCP4", "PRI * HTTP/2.0\r\n", "proxy TCP4", " PROXY", "\r\n\r\nGET", "\r\n\r\n\0\r\nQUIT\r", "\u{16}\u{03}"])
    func whatIsNoHeaderIsRefusedAtItsFirstWrongByte(_ text: String) {
        let bytes = Array(text.utf8)
        Self.holds(bytes, .refused(.signature))
        #expect(Self.parse(Array(bytes.prefix(13))) == .refused(.signature))
    }

    @Test func lineOfMoreThan107BytesIsRefused() {
        func line(_ count: Int) -> [UInt8] { Array(("PROXY UNKNOWN " + String(repeating: "x", count: count - 16) + "\r\n").utf8) }
        Self.holds(line(107), .complete(length: 107, source: .own))
        #expect(Self.parse(line(108)) == .refused(.lineTooLong))
        // Without an end it is refused as soon as none can come in time.
        let endless = Array(("PROXY UNKNOWN " + String(repeating: "x", count: 200)).utf8)
        #expect(Self.parse(Array(endless[..<105])) == .needMore && Self.parse(Array(endless[..<106])) == .refused(.lineTooLong))
        #expect(Self.parse(endless) == .refused(.lineTooLong))
        for at in 104..<110 { Self.holds(Array(endless[..<at]) + [10] + endless, at < 106 ? .refused(.line) : .refused(.lineTooLong)) }
        for at in 104..<110 { Self.holds(Array(endless[..<at]) + [13] + endless, at < 106 ? .refused(.line) : .refused(.lineTooLong)) }
    }

    // MARK: version 2

    static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    static func header(_ command: UInt8, _ family: UInt8, _ body: [UInt8], length: Int? = nil) -> [UInt8] {
        let length = length ?? body.count
        return signature + [command, family, UInt8(length >> 8), UInt8(length & 255)] + body
    }
    static func extensionBytes(_ type: UInt8, _ value: [UInt8]) -> [UInt8] { [type, UInt8(value.count >> 8), UInt8(value.count & 255)] + value }

    static let four: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 2, 0xDC, 0x04, 0x01, 0xBB]
    static let six: [UInt8] = documentation + [UInt8](repeating: 0, count: 15) + [1] + [0x12, 0x34, 0x01, 0xBB]
    static let unix = [UInt8](repeating: 0x61, count: 216)

    @Test(arguments: [
        ("IPv4", header(0x21, 0x11, four), ipv4(192, 0, 2, 1, 56324)), ("IPv6", header(0x21, 0x21, six), ipv6(documentation, 0x1234)), ("unix", header(0x21, 0x31, unix), .unix),
        ("local without anything", header(0x20, 0x00, []), .own), ("local with addresses", header(0x20, 0x11, four), .own), ("local with any family", header(0x20, 0xFF, [1, 2, 3]), .own),
        ("unspecified", header(0x21, 0x00, []), .own), ("unspecified with something", header(0x21, 0x00, [9, 9, 9]), .own),
        ("extensions", header(0x21, 0x11, four + extensionBytes(0x01, Array("h2".utf8)) + extensionBytes(0x04, [0, 0, 0]) + extensionBytes(0xEA, [])), ipv4(192, 0, 2, 1, 56324)),
        ("extensions behind a unix address", header(0x21, 0x31, unix + extensionBytes(0x20, [1, 0, 0, 0, 0])), .unix),
        ("the longest", header(0x21, 0x11, four + extensionBytes(0x05, [UInt8](repeating: 0, count: 4096 - 16 - 12 - 3))), ipv4(192, 0, 2, 1, 56324)),
    ] as [(String, [UInt8], ProxyHeader.Source)])
    func binaryHeaderTellsTheSource(_ row: (name: String, bytes: [UInt8], source: ProxyHeader.Source)) {
        Self.holds(row.bytes, .complete(length: row.bytes.count, source: row.source))
    }

    @Test(arguments: [
        ("version 1", header(0x11, 0x11, four), .version), ("version 3", header(0x31, 0x11, four), .version), ("command 2", header(0x22, 0x11, four), .command),
        ("command 15", header(0x2F, 0x11, four), .command), ("UDP", header(0x21, 0x12, four), .family), ("UDP over IPv6", header(0x21, 0x22, six), .family),
        ("unix datagrams", header(0x21, 0x32, unix), .family), ("family without transport", header(0x21, 0x10, four), .family), ("transport without family", header(0x21, 0x01, four), .family),
        ("family 4", header(0x21, 0x41, four), .family), ("IPv4 cut", header(0x21, 0x11, Array(four.dropLast())), .addresses), ("IPv6 in the length of IPv4", header(0x21, 0x21, four), .addresses),
        ("unix cut", header(0x21, 0x31, Array(unix.dropLast())), .addresses), ("nothing", header(0x21, 0x11, []), .addresses),
        ("too long", header(0x21, 0x11, four, length: 4081), .tooLong), ("as long as can be said", header(0x20, 0x00, [], length: 65535), .tooLong),
        ("an extension of one byte", header(0x21, 0x11, four + [1]), .extensions), ("an extension of two bytes", header(0x21, 0x11, four + [1, 0]), .extensions),
        ("an extension beyond the end", header(0x21, 0x11, four + [1, 0, 3, 1, 2]), .extensions), ("an extension far beyond the end", header(0x21, 0x11, four + [1, 255, 255, 1]), .extensions),
        ("bytes behind an extension", header(0x21, 0x11, four + extensionBytes(1, [1]) + [0]), .extensions), ("a checksum of three bytes", header(0x21, 0x11, four + extensionBytes(3, [0, 0, 0])), .extensions),
        ("two checksums", header(0x21, 0x11, four + extensionBytes(3, [0, 0, 0, 0]) + extensionBytes(3, [0, 0, 0, 0])), .extensions),
        ("a wrong checksum", header(0x21, 0x11, four + extensionBytes(3, [1, 2, 3, 4])), .checksum),
    ] as [(String, [UInt8], ProxyHeader.Refusal)])
    func malformedBinaryHeaderIsRefused(_ row: (name: String, bytes: [UInt8], refusal: ProxyHeader.Refusal)) { Self.holds(row.bytes, .refused(row.refusal)) }

    @Test func checksumIsCRC32C() {
        let digits = Array("123456789".utf8)
        #expect(digits.withUnsafeBytes { ProxyHeader.checksum($0, zeroed: 9) } == 0xE306_9283, "the check value of CRC-32C")
        // RFC 3720 B.4.
        #expect([UInt8](repeating: 0, count: 32).withUnsafeBytes { ProxyHeader.checksum($0, zeroed: 0) } == 0x8A91_36AA)
    }

    @Test(arguments: [0, 1]) func headerWithItsChecksumIsTakenAndEveryChangedBitRefused(_ before: Int) {
        let name = Self.extensionBytes(2, Array("example.com".utf8))
        let body = before == 1 ? Self.four + name : Self.four
        var bytes = Self.header(0x21, 0x11, body + Self.extensionBytes(3, [0, 0, 0, 0]) + (before == 1 ? [] : name))
        let at = 16 + body.count + 3
        let sum = bytes.withUnsafeBytes { ProxyHeader.checksum($0, zeroed: at) }
        for index in 0..<4 { bytes[at + index] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * index)) }
        Self.holds(bytes, .complete(length: bytes.count, source: Self.ipv4(192, 0, 2, 1, 56324)))
        for index in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << UInt8(bit)
                if case .complete(_, let source) = Self.parse(changed) {
                    // What carries no addresses is not looked into; a type other than 3 is no checksum any more.
                    #expect(source == .own || index == at - 3, "bit \(bit) of byte \(index)")
                }
            }
        }
    }
}
