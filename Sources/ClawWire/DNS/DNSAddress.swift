/// An address as a record, a hosts file or a resolver's configuration has it. Its order is that of its bytes, IPv4 first.
public enum DNSAddress: Hashable, Sendable, Comparable {
    case v4(UInt32)
    /// The first eight bytes and the last.
    case v6(high: UInt64, low: UInt64)

    /// Reads the one decimal form of IPv4, or any form of IPv6 (RFC 4291 §2.2), without brackets and scope.
    public init?(_ text: String) {
        var text = text
        let read: DNSAddress?? = text.withUTF8 { bytes in
            guard let base = bytes.baseAddress, bytes.count <= 45 else { return nil }
            if let four = IPv4Address(base, 0, bytes.count) { return .v4(four.value) }
            if let six = IPv6Address(base, 0, bytes.count) { return .v6(high: six.high, low: six.low) }
            return nil
        }
        guard let found = read ?? nil else { return nil }
        self = found
    }

    public var isV6: Bool { if case .v6 = self { true } else { false } }

    /// Dotted decimal, or the form of RFC 5952 without brackets.
    public var text: String {
        switch self {
        case .v4(let value): return "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
        case .v6(let high, let low):
            var address = IPv6Address()
            address.high = high
            address.low = low
            return address.text
        }
    }
}
