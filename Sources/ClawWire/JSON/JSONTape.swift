// A tape is a flat index over one JSON text: a node for each value and key, in the order of the text, each naming where its bytes lie and where the
// next sibling's node is. Nothing is copied and nothing is unescaped; the memory is the tape's own and used again for the next text. It is what the
// dialects read from, where all of a text matters; where only a few fields do, `FieldScanner` alone is cheaper.
//
// How it works. `FieldScanner` first validates the whole text (grammar, UTF-8, depth) at its 4–15 GB/s; the walk that makes the nodes can then rely on
// that, and still never reads beyond the text. An object's node is followed by key, value, key, value …; an array's by its elements.
import CScan

/// One value (or key) of the text.
public struct JSONNode: Sendable {
    public var offset: UInt32
    public var length: UInt32
    /// The node behind this value and all within it.
    public var next: UInt32
    public var kind: JSONKind
    /// A string holds at least one backslash.
    public var isEscaped: Bool
}

/// Bytes of a JSON text that somebody else keeps alive: the inside of a string with its escapes as they came, or a whole value. What is said in one
/// dialect as a string is said in the other as a string too, so text travels escaped and is copied as it is.
public struct JSONBytes: @unchecked Sendable {
    public var base: UnsafePointer<UInt8>?
    public var count: Int
    @inlinable @inline(__always)
    public init() { base = nil; count = 0 }
    @inlinable @inline(__always)
    public init(_ base: UnsafePointer<UInt8>?, _ count: Int) { self.base = base; self.count = count }
    /// A constant of the program, which needs no escaping.
    @inlinable @inline(__always)
    public init(_ text: StaticString) { base = text.utf8Start; count = text.utf8CodeUnitCount }
    @inlinable @inline(__always)
    public init(_ raw: UnsafeRawBufferPointer) { base = raw.baseAddress?.assumingMemoryBound(to: UInt8.self); count = raw.count }
    @inlinable @inline(__always)
    public var isEmpty: Bool { count == 0 }
    /// False for a value that was not there at all, which an empty string is not.
    @inlinable @inline(__always)
    public var exists: Bool { base != nil }
    @inlinable @inline(__always)
    public var raw: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
    @inlinable @inline(__always)
    public subscript(_ at: Int) -> UInt8 { raw[at] }
    /// Byte for byte; for strings without escapes, and for raw values.
    public func equals(_ text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && (count == 0 || sameBytes(base, text.utf8Start, count))
    }
    public func equals(_ other: JSONBytes) -> Bool { count == other.count && (count == 0 || sameBytes(base, other.base, count)) }
    public func begins(with text: StaticString) -> Bool {
        count >= text.utf8CodeUnitCount && sameBytes(base, text.utf8Start, text.utf8CodeUnitCount)
    }
    public func ends(with text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        return count >= length && sameBytes(base.map { $0 + (count - length) }, text.utf8Start, length)
    }
    public func dropFirst(_ length: Int) -> JSONBytes { JSONBytes(base.map { $0 + min(length, count) }, count - min(length, count)) }
    public func prefix(_ length: Int) -> JSONBytes { JSONBytes(base, min(length, count)) }
    /// Where `byte` stands first, or nil.
    public func firstIndex(of byte: UInt8) -> Int? { raw.firstIndex(of: byte) }
    public func contains(_ text: StaticString) -> Bool {
        guard let base, count > 0 else { return text.utf8CodeUnitCount == 0 }
        return cscan_find(base, count, text.utf8Start, text.utf8CodeUnitCount) < count
    }
    /// Where `text` stands first, or nil.
    public func firstIndex(of text: JSONBytes) -> Int? {
        guard let base, count > 0, let wanted = text.base, text.count > 0 else { return nil }
        let at = cscan_find(base, count, wanted, text.count)
        return at < count ? at : nil
    }
    public func contains(_ text: JSONBytes) -> Bool { firstIndex(of: text) != nil }
    /// For tests and messages.
    public var string: String { String(decoding: raw, as: UTF8.self) }
}

public struct JSONTape: ~Copyable {
    public enum Refusal: Error, Equatable, Sendable {
        case json(JSONRefusal)
        /// More values than `nodesMax`.
        case tooManyValues
        /// 4 GiB or more.
        case tooLong
    }
    /// Nested containers of a text.
    public static let depthMax = 128
    /// Values and keys of a text (16 bytes each); an embedding of 3,072 numbers for each of 300 texts still fits.
    public static let nodesMax = 1 << 20
    /// A tape that grew beyond this gives its memory back before the next text.
    private static let keptMax = 1 << 14

    private var nodes: UnsafeMutablePointer<JSONNode>?
    private var capacity = 0
    public private(set) var count = 0
    private var base: UnsafePointer<UInt8>?
    private let paths = JSONPaths([], unique: [])

    public init() {}
    deinit { nodes?.deallocate() }

    /// Reads a whole text. Until the next call (or the tape's end) `root` names its values; the text must stay where it is as long.
    /// - Returns: nil when it is valid.
    public mutating func read(_ text: UnsafeRawBufferPointer) -> Refusal? {
        count = 0
        base = nil
        guard text.count < Int(UInt32.max) else { return .tooLong }
        var scanner = FieldScanner(paths: paths, depthMax: Self.depthMax)
        var none = JSONSpan()
        switch scanner.scan(text, isLast: true, spans: &none) {
        case .refused(let refusal): return .json(refusal)
        case .needMore: return .json(.incomplete(offset: text.count))
        case .complete: break
        }
        if capacity > Self.keptMax {
            nodes?.deallocate()
            nodes = nil
            capacity = 0
        }
        base = text.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return walk(text) ? nil : .tooManyValues
    }

    /// The text's outermost value; missing when nothing valid was read.
    public var root: JSONValue { count == 0 ? JSONValue() : JSONValue(nodes: nodes.map { UnsafePointer($0) }, base: base, index: 0) }

    private mutating func grow() -> Bool {
        let wider = capacity == 0 ? 256 : capacity * 2
        guard wider <= Self.nodesMax else { return false }
        let fresh = UnsafeMutablePointer<JSONNode>.allocate(capacity: wider)
        if let nodes {
            fresh.update(from: nodes, count: count)
            nodes.deallocate()
        }
        nodes = fresh
        capacity = wider
        return true
    }

    /// Makes the nodes of a validated text.
    private mutating func walk(_ text: UnsafeRawBufferPointer) -> Bool {
        let bytes = base.unsafelyUnwrapped
        let end = text.count
        var open: InlineArray<128, UInt32> = .init(repeating: 0)
        var depth = 0
        var at = 0
        while at < end {
            let byte = bytes[at]
            switch byte {
            case 0x20, 0x0A, 0x0D, 0x09, 0x2C, 0x3A:
                at += 1
                continue
            case 0x7D, 0x5D:
                guard depth > 0 else { return true }
                depth -= 1
                let node = nodes.unsafelyUnwrapped + Int(open[depth])
                node.pointee.length = UInt32(truncatingIfNeeded: at + 1) &- node.pointee.offset
                node.pointee.next = UInt32(truncatingIfNeeded: count)
                at += 1
                continue
            default: break
            }
            if count == capacity, !grow() { return false }
            let node = nodes.unsafelyUnwrapped + count
            let start = at
            var kind = JSONKind.number
            var isEscaped = false
            switch byte {
            case 0x22:
                kind = .string
                at = Self.stringEnd(bytes, at + 1, end, &isEscaped)
            case 0x7B, 0x5B:
                kind = byte == 0x7B ? .object : .array
                guard depth < 128 else { return true }
                open[depth] = UInt32(truncatingIfNeeded: count)
                depth += 1
                at += 1
            case 0x74, 0x66:
                kind = .bool
                at = min(end, at + (byte == 0x74 ? 4 : 5))
            case 0x6E:
                kind = .null
                at = min(end, at + 4)
            default:
                at += 1
                while at < end {
                    let c = bytes[at]
                    if c == 0x2C || c == 0x7D || c == 0x5D || c <= 0x20 { break }
                    at += 1
                }
            }
            count += 1
            node.initialize(to: JSONNode(
                offset: UInt32(truncatingIfNeeded: start), length: UInt32(truncatingIfNeeded: at - start), next: UInt32(truncatingIfNeeded: count),
                kind: kind, isEscaped: isEscaped))
        }
        return true
    }

    /// The offset behind a string's closing quote; `at` is behind its opening one.
    private static func stringEnd(_ bytes: UnsafePointer<UInt8>, _ from: Int, _ end: Int, _ isEscaped: inout Bool) -> Int {
        var at = from
        while true {
            // Eight bytes at a time: a byte that is a quote or a backslash becomes zero, and a zero byte borrows into its top bit.
            while at + 8 <= end {
                let word = UnsafeRawPointer(bytes + at).loadUnaligned(as: UInt64.self)
                let quote = word ^ 0x2222_2222_2222_2222
                let escape = word ^ 0x5C5C_5C5C_5C5C_5C5C
                let hit = ((quote &- 0x0101_0101_0101_0101) & ~quote | (escape &- 0x0101_0101_0101_0101) & ~escape) & 0x8080_8080_8080_8080
                if hit != 0 {
                    at += hit.trailingZeroBitCount / 8
                    break
                }
                at += 8
            }
            while at < end, bytes[at] != 0x22, bytes[at] != 0x5C { at += 1 }
            guard at < end else { return end }
            if bytes[at] == 0x22 { return at + 1 }
            isEscaped = true
            at += 2
            if at >= end { return end }
        }
    }
}

/// A value of a tape. Missing where a look-up found nothing, and then everything asked of it is nothing too.
public struct JSONValue: @unchecked Sendable {
    let nodes: UnsafePointer<JSONNode>?
    let base: UnsafePointer<UInt8>?
    let index: UInt32

    /// The missing value.
    public init() { nodes = nil; base = nil; index = 0 }
    init(nodes: UnsafePointer<JSONNode>?, base: UnsafePointer<UInt8>?, index: UInt32) { self.nodes = nodes; self.base = base; self.index = index }

    private var node: JSONNode? { nodes.map { $0[Int(index)] } }
    public var kind: JSONKind { node?.kind ?? .missing }
    public var exists: Bool { nodes != nil }
    /// There, and not null.
    public var isPresent: Bool { kind != .missing && kind != .null }
    public var isString: Bool { kind == .string }
    public var isObject: Bool { kind == .object }
    public var isArray: Bool { kind == .array }
    public var isEscaped: Bool { node?.isEscaped ?? false }

    /// The value as it stands in the text, a string with its quotes.
    public var raw: JSONBytes {
        guard let node, let base else { return JSONBytes() }
        return JSONBytes(base + Int(node.offset), Int(node.length))
    }

    /// A string's inside, escapes as they came; absent for anything else.
    public var text: JSONBytes {
        guard let node, let base, node.kind == .string, node.length >= 2 else { return JSONBytes() }
        return JSONBytes(base + Int(node.offset) + 1, Int(node.length) - 2)
    }

    /// A string equal to `text`, its escapes undone.
    public func equals(_ text: StaticString) -> Bool {
        guard let node, node.kind == .string else { return false }
        return node.isEscaped ? JSONText.isEqual(raw.raw, to: text) : self.text.equals(text)
    }

    public var bool: Bool? {
        guard let node, let base, node.kind == .bool else { return nil }
        return base[Int(node.offset)] == 0x74
    }

    /// A number whose value is whole, saturating at 64 bits; exact above 2^53.
    public var int: Int64? { kind == .number ? JSONNumber.parseInt(raw.raw) : nil }
    public var double: Double? { kind == .number ? JSONNumber.parse(raw.raw) : nil }
    /// A token count, clamped to what a count can be (faults SS-11); nil for what is no number.
    public var tokens: Int64? { kind == .number ? JSONNumber.parseCount(raw.raw)?.count : nil }

    /// The member with this key; the last one where several have it, as in most parsers.
    public subscript(_ key: StaticString) -> JSONValue {
        guard let nodes, let base, nodes[Int(index)].kind == .object else { return JSONValue() }
        let end = nodes[Int(index)].next
        let length = UInt32(truncatingIfNeeded: key.utf8CodeUnitCount)
        var at = index + 1
        var found: UInt32 = 0
        while at < end {
            let name = nodes[Int(at)]
            if name.isEscaped {
                if JSONText.isEqual(UnsafeRawBufferPointer(start: base + Int(name.offset), count: Int(name.length)), to: key) { found = at + 1 }
            } else if name.length == length + 2, sameBytes(base + Int(name.offset) + 1, key.utf8Start, Int(length)) {
                found = at + 1
            }
            at = nodes[Int(at + 1)].next
        }
        return found == 0 ? JSONValue() : JSONValue(nodes: nodes, base: base, index: found)
    }

    /// Elements of an array; none of anything else.
    public var elements: JSONElements { JSONElements(self) }
    /// Members of an object in the order of the text; none of anything else.
    public var members: JSONMembers { JSONMembers(self) }
    /// Number of elements or members.
    public var count: Int {
        var count = 0
        if isArray { for _ in elements { count += 1 } } else { for _ in members { count += 1 } }
        return count
    }
    public var first: JSONValue {
        for element in elements { return element }
        return JSONValue()
    }

    /// The first key that stands twice in this object, if any. It compares each with each, so it looks at no more than 256 members: ask `count` first.
    public var duplicateKey: JSONBytes? {
        var left = 256
        for (place, one) in members.enumerated() {
            left -= 1
            if left < 0 { break }
            for (other, two) in members.enumerated() {
                if other >= place { break }
                if one.key.text.equals(two.key.text) { return one.key.text }
            }
        }
        return nil
    }
}

public struct JSONElements: Sequence, IteratorProtocol {
    private let parent: JSONValue
    private var at: UInt32
    private let end: UInt32
    init(_ value: JSONValue) {
        parent = value
        at = value.index + 1
        end = value.isArray ? value.nodes.unsafelyUnwrapped[Int(value.index)].next : 0
    }
    public mutating func next() -> JSONValue? {
        guard at < end, let nodes = parent.nodes else { return nil }
        defer { at = nodes[Int(at)].next }
        return JSONValue(nodes: nodes, base: parent.base, index: at)
    }
}

public struct JSONMembers: Sequence, IteratorProtocol {
    private let parent: JSONValue
    private var at: UInt32
    private let end: UInt32
    init(_ value: JSONValue) {
        parent = value
        at = value.index + 1
        end = value.isObject ? value.nodes.unsafelyUnwrapped[Int(value.index)].next : 0
    }
    public mutating func next() -> (key: JSONValue, value: JSONValue)? {
        guard at < end, let nodes = parent.nodes else { return nil }
        let key = JSONValue(nodes: nodes, base: parent.base, index: at)
        let value = JSONValue(nodes: nodes, base: parent.base, index: at + 1)
        at = nodes[Int(at + 1)].next
        return (key, value)
    }
}
