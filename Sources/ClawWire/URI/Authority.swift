import CScan

/// The grammar of `host [":" port]` as Host fields, absolute-form targets, CONNECT targets and configured URLs hold it (RFC 3986 §3.2,
/// narrower: no userinfo, no escapes, no comma, no zone id, no future address forms). Pure functions over bytes.
struct Authority {
    /// Offset behind the host (behind the bracket of an address literal), or -1 when the bytes are no authority.
    var hostEnd = -1
    /// The port's digits; empty when there is none. -1 for no colon.
    var portLength = -1
    var port = 0
    var isLiteral = false

    var isWhole: Bool { hostEnd >= 0 }
    var isWholeWithPort: Bool { hostEnd >= 0 && portLength > 0 }

    /// Judges `from ..< to`. A host is required, a port is not, even behind a colon; it is at most 65535.
    @inline(__always)
    static func read(_ bytes: UnsafePointer<UInt8>, _ from: Int, _ to: Int) -> Authority {
        var result = Authority()
        var at = from
        if at < to && bytes[at] == 0x5B {
            guard let end = literalEnd(bytes, from, to) else { return result }
            at = end
            result.isLiteral = true
        } else {
            while at < to && isOfClass(bytes[at], cscan_http_host) { at &+= 1 }
            guard at > from else { return result }
        }
        let hostEnd = at
        if at < to {
            guard bytes[at] == 0x3A else { return result }
            at &+= 1
            let digits = at
            var port = 0
            while at < to {
                guard isDigit(bytes[at]) else { return result }
                port = port &* 10 &+ Int(bytes[at] &- 48)
                guard port <= 65535 else { return result }
                at &+= 1
            }
            result.port = port
            result.portLength = at &- digits
        }
        result.hostEnd = hostEnd
        return result
    }

    @inline(never)
    private static func literalEnd(_ bytes: UnsafePointer<UInt8>, _ from: Int, _ to: Int) -> Int? {
        var close = from + 1
        while close < to && bytes[close] != 0x5D { close += 1 }
        guard close < to, IPv6Address(bytes, from + 1, close) != nil else { return nil }
        return close + 1
    }
}

/// An IPv6 address (RFC 4291 §2.2).
struct IPv6Address: Equatable {
    /// The eight groups, first in the highest bits of `high`.
    var high: UInt64 = 0
    var low: UInt64 = 0

    /// Reads the text in `from ..< to`: groups of at most four hex digits, one "::", possibly a dotted IPv4 address at the end.
    init?(_ bytes: UnsafePointer<UInt8>, _ from: Int, _ to: Int) {
        var count = 0
        var gap = -1
        var at = from
        if to - at >= 2 && bytes[at] == 0x3A && bytes[at + 1] == 0x3A {
            gap = 0
            at += 2
        }
        while at < to {
            guard count < 8 else { return nil }
            if let dotted = IPv4Address(bytes, at, to) {
                guard count <= 6 else { return nil }
                append(UInt16(dotted.value >> 16), &count)
                append(UInt16(dotted.value & 0xFFFF), &count)
                at = to
                break
            }
            var group: UInt16 = 0
            let first = at
            while at < to && at - first < 4 && hexValue(bytes[at]) < 16 {
                group = group << 4 | UInt16(hexValue(bytes[at]))
                at += 1
            }
            guard at > first else { return nil }
            append(group, &count)
            if at == to { break }
            guard bytes[at] == 0x3A else { return nil }
            at += 1
            guard at < to else { return nil }
            if bytes[at] == 0x3A {
                guard gap < 0 else { return nil }
                gap = count
                at += 1
            }
        }
        if gap < 0 {
            guard count == 8 else { return nil }
            return
        }
        // RFC 4291: "::" stands for one or more groups.
        guard count < 8 else { return nil }
        var spread = IPv6Address()
        for index in 0..<count {
            spread.set(index < gap ? index : index + 8 - count, group(index))
        }
        self = spread
    }

    init() {}

    func group(_ index: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64(48 - (index & 3) * 16))
    }

    private mutating func set(_ index: Int, _ group: UInt16) {
        let shifted = UInt64(group) << UInt64(48 - (index & 3) * 16)
        if index < 4 { high |= shifted } else { low |= shifted }
    }

    private mutating func append(_ group: UInt16, _ count: inout Int) {
        set(count, group)
        count += 1
    }

    /// The one text of the address (RFC 5952): lower case, the first longest run of two or more zero groups as "::".
    var text: String {
        var best = 0, bestLength = 1, index = 0
        while index < 8 {
            var length = 0
            while index + length < 8 && group(index + length) == 0 { length += 1 }
            if length > bestLength { best = index; bestLength = length }
            index += max(length, 1)
        }
        var result = ""
        index = 0
        while index < 8 {
            if bestLength > 1 && index == best {
                result += "::"
                index += bestLength
                continue
            }
            if !result.isEmpty && !result.hasSuffix(":") { result += ":" }
            result += String(group(index), radix: 16)
            index += 1
        }
        return result
    }
}

/// An IPv4 address in its one form: four decimal numbers up to 255 without leading zeros.
struct IPv4Address: Equatable {
    var value: UInt32 = 0

    init?(_ bytes: UnsafePointer<UInt8>, _ from: Int, _ to: Int) {
        var at = from
        for part in 0..<4 {
            if part > 0 {
                guard at < to, bytes[at] == 0x2E else { return nil }
                at += 1
            }
            let first = at
            var number: UInt32 = 0
            while at < to && isDigit(bytes[at]) && at - first < 3 {
                number = number * 10 + UInt32(bytes[at] - 48)
                at += 1
            }
            guard at > first, number <= 255, at - first == 1 || bytes[first] != 48 else { return nil }
            value = value << 8 | number
        }
        guard at == to else { return nil }
    }
}
