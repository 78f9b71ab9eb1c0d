// The headers of one frame of Amazon's event stream: name, type and value, one behind the other. A block is judged once, when its frame is whole; after
// that it can be walked as often as needed without being judged again.

/// The numbers are the wire's.
public enum FrameValueType: UInt8, Sendable, CaseIterable {
    case yes = 0, no, byte, short, integer, long, bytes, string
    /// Milliseconds since 1970.
    case timestamp
    case uuid

    /// Bytes of a value; nil where a 16-bit length stands before it.
    var fixedCount: Int? {
        switch self {
        case .yes, .no: 0
        case .byte: 1
        case .short: 2
        case .integer: 4
        case .long, .timestamp: 8
        case .uuid: 16
        case .bytes, .string: nil
        }
    }
}

public struct FrameHeader {
    public var name: UnsafeRawBufferPointer
    public var type: FrameValueType
    /// The value as it stands on the wire, without its length.
    public var value: UnsafeRawBufferPointer

    /// Of numbers and timestamps; 1 and 0 of yes and no.
    public var number: Int64? {
        switch type {
        case .yes: return 1
        case .no: return 0
        case .byte, .short, .integer, .long, .timestamp:
            var sum: UInt64 = 0
            for byte in value { sum = sum << 8 | UInt64(byte) }
            let unused = UInt64(64 - value.count * 8)
            return Int64(bitPattern: sum << unused) >> Int64(unused)
        case .bytes, .string, .uuid: return nil
        }
    }
}

public struct FrameHeaders: Sequence, IteratorProtocol {
    /// A frame with more headers is refused: each is compared with all before it. Bedrock sends three.
    public static let countMax = 64

    private var rest: UnsafeRawBufferPointer
    /// `bytes` passed `isValid`.
    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    public mutating func next() -> FrameHeader? {
        guard let (header, end) = Self.read(rest) else { return nil }
        rest = UnsafeRawBufferPointer(rebasing: rest[end...])
        return header
    }

    /// One header and where it ends; nil for none, and for one that is cut or of an unknown type.
    private static func read(_ bytes: UnsafeRawBufferPointer) -> (FrameHeader, end: Int)? {
        guard bytes.count > 0 else { return nil }
        let nameEnd = 1 + Int(bytes[0])
        guard nameEnd > 1, nameEnd < bytes.count, let type = FrameValueType(rawValue: bytes[nameEnd]) else { return nil }
        var start = nameEnd + 1
        let count: Int
        if let fixed = type.fixedCount {
            count = fixed
        } else {
            guard start + 2 <= bytes.count else { return nil }
            count = Int(bytes[start]) << 8 | Int(bytes[start + 1])
            start += 2
        }
        guard count <= bytes.count - start else { return nil }
        let name = UnsafeRawBufferPointer(rebasing: bytes[1..<nameEnd])
        return (FrameHeader(name: name, type: type, value: UnsafeRawBufferPointer(rebasing: bytes[start..<start + count])), start + count)
    }

    /// True when the block is nothing but whole headers with different names, names and strings in UTF-8.
    static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        var count = 0
        while at < bytes.count {
            guard let (header, length) = read(UnsafeRawBufferPointer(rebasing: bytes[at...])), isUTF8(header.name) else { return false }
            if header.type == .string, !isUTF8(header.value) { return false }
            count += 1
            if count > countMax { return false }
            for other in FrameHeaders(UnsafeRawBufferPointer(rebasing: bytes[..<at])) where other.name.elementsEqual(header.name) { return false }
            at += length
        }
        return true
    }

    /// Well-formed UTF-8 (Unicode 3.9, table 3-7).
    private static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        while at < bytes.count {
            let first = bytes[at]
            at += 1
            if first < 0x80 { continue }
            var low: UInt8 = 0x80
            var high: UInt8 = 0xBF
            let more: Int
            switch first {
            case 0xC2...0xDF: more = 1
            case 0xE0...0xEF:
                more = 2
                if first == 0xE0 { low = 0xA0 }
                if first == 0xED { high = 0x9F }
            case 0xF0...0xF4:
                more = 3
                if first == 0xF0 { low = 0x90 }
                if first == 0xF4 { high = 0x8F }
            default: return false
            }
            guard more <= bytes.count - at else { return false }
            for place in at..<at + more {
                guard bytes[place] >= low, bytes[place] <= high else { return false }
                low = 0x80
                high = 0xBF
            }
            at += more
        }
        return true
    }
}
