// Writes JSON text into memory of its own, which grows and is used again. Commas are the writer's business, so that whoever writes an object member by
// member need not know which one is the first. Beyond its limit it writes nothing more and says so at the end, instead of failing at each step.
import Glibc

@inline(__always)
func sameBytes(_ a: UnsafeRawPointer?, _ b: UnsafeRawPointer?, _ count: Int) -> Bool {
    if count == 0 { return true }
    guard let a, let b else { return false }
    return memcmp(a, b, count) == 0
}

public struct JSONWriter: ~Copyable {
    @usableFromInline var memory: UnsafeMutablePointer<UInt8>?
    @usableFromInline var capacity = 0
    public private(set) var limit: Int
    /// Bytes written.
    public var count = 0
    /// Something found no room within the limit: what is written is not whole.
    public private(set) var isOverflown = false
    /// True exactly when the next member or element needs a comma before it.
    @usableFromInline var needsComma = false
    /// A writer that grew beyond this gives its memory back at `reset`.
    private static let keptMax = 1 << 16

    public init(limit: Int = 64 << 20) { self.limit = limit }
    deinit { memory?.deallocate() }

    /// Starts anew.
    public mutating func reset() {
        count = 0
        isOverflown = false
        needsComma = false
        if capacity > Self.keptMax { release() }
    }

    /// Gives the memory back.
    public mutating func release() {
        memory?.deallocate()
        memory = nil
        capacity = 0
        count = 0
        needsComma = false
    }

    /// What is written, until the next change.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: count) }
    public var written: JSONBytes { JSONBytes(memory.map { UnsafePointer($0) }, count) }

    /// Takes back all behind `place`, an earlier `count`.
    public mutating func truncate(to place: Int) { if place < count { count = place } }

    @usableFromInline
    mutating func grow(_ more: Int) -> Bool {
        guard !isOverflown, more <= limit - count else {
            isOverflown = true
            return false
        }
        let wanted = max(count + more, min(limit, max(512, capacity * 2)))
        let fresh = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted)
        if let memory {
            fresh.update(from: memory, count: count)
            memory.deallocate()
        }
        memory = fresh
        capacity = wanted
        return true
    }

    /// Room for `more` bytes behind what is written.
    @inlinable @inline(__always)
    mutating func reserve(_ more: Int) -> UnsafeMutablePointer<UInt8>? {
        if capacity - count < more, !grow(more) { return nil }
        return memory.unsafelyUnwrapped + count
    }

    // MARK: as it is

    @inlinable @inline(__always)
    public mutating func put(_ text: StaticString) { put(text.utf8Start, text.utf8CodeUnitCount) }

    @inlinable @inline(__always)
    public mutating func put(_ bytes: JSONBytes) { if let base = bytes.base { put(base, bytes.count) } }

    @inlinable @inline(__always)
    public mutating func put(_ base: UnsafePointer<UInt8>, _ length: Int) {
        guard length > 0, let room = reserve(length) else { return }
        memcpy(room, base, length)
        count += length
    }

    @inlinable @inline(__always)
    public mutating func put(byte: UInt8) {
        guard let room = reserve(1) else { return }
        room.pointee = byte
        count += 1
    }

    public mutating func put(number value: Int64) {
        guard let room = reserve(20) else { return }
        var rest = value.magnitude
        var digits: InlineArray<20, UInt8> = .init(repeating: 0)
        var place = 20
        repeat {
            place -= 1
            digits[place] = 48 + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
        var at = 0
        if value < 0 {
            room[0] = 45
            at = 1
        }
        while place < 20 {
            room[at] = digits[place]
            at += 1
            place += 1
        }
        count += at
    }

    /// The shortest decimal that reads back as this number; null for what JSON has no word for.
    public mutating func put(number value: Double) {
        guard value.isFinite else { return put("null") }
        if value == value.rounded(), abs(value) < 1e15 { return put(number: Int64(value)) }
        var text = value.description
        text.withUTF8 { if let base = $0.baseAddress { put(base, $0.count) } }
    }

    /// The same for a float32, whose shortest decimal is shorter.
    public mutating func number(float value: Float) {
        separate()
        guard value.isFinite else { return put("null") }
        var text = value.description
        text.withUTF8 { if let base = $0.baseAddress { put(base, $0.count) } }
    }

    /// Any bytes as the inside of a JSON string.
    public mutating func put(escaping raw: UnsafeRawBufferPointer) {
        guard raw.count > 0, let room = reserve(raw.count * 6) else { return }
        count += JSONText.escape(raw, into: room, capacity: raw.count * 6)
    }

    // MARK: structure

    @inlinable @inline(__always)
    mutating func separate() {
        if needsComma { put(byte: 0x2C) }
        needsComma = true
    }

    /// Whether the next member or element has one before it: for who wrote what stands there with `put`.
    @inlinable @inline(__always)
    public mutating func expect(comma: Bool) { needsComma = comma }

    public mutating func beginObject() { separate(); put(byte: 0x7B); needsComma = false }
    public mutating func beginArray() { separate(); put(byte: 0x5B); needsComma = false }
    public mutating func endObject() { put(byte: 0x7D); needsComma = true }
    public mutating func endArray() { put(byte: 0x5D); needsComma = true }
    /// `"name":` of a member whose value follows, by any of the calls below or by `beginObject` and `beginArray`.
    @inlinable
    public mutating func key(_ name: StaticString) {
        separate()
        put(byte: 0x22)
        put(name)
        put("\":")
        needsComma = false
    }
    /// A key as it came from another text.
    public mutating func key(_ name: JSONBytes) {
        separate()
        put(byte: 0x22)
        put(name)
        put("\":")
        needsComma = false
    }

    // MARK: values

    /// A string of escaped text.
    @inlinable
    public mutating func string(_ text: JSONBytes) { separate(); put(byte: 0x22); put(text); put(byte: 0x22) }
    /// A constant that needs no escaping.
    @inlinable
    public mutating func string(_ text: StaticString) { separate(); put(byte: 0x22); put(text); put(byte: 0x22) }
    /// Any bytes as a string.
    public mutating func string(escaping raw: UnsafeRawBufferPointer) { separate(); put(byte: 0x22); put(escaping: raw); put(byte: 0x22) }
    /// A whole value as it stands in another text.
    public mutating func value(_ raw: JSONBytes) { separate(); put(raw) }
    public mutating func number(_ value: Int64) { separate(); put(number: value) }
    public mutating func number(_ value: Double) { separate(); put(number: value) }
    public mutating func bool(_ value: Bool) { separate(); if value { put("true") } else { put("false") } }
    public mutating func null() { separate(); put("null") }

    // MARK: members

    public mutating func member(_ name: StaticString, _ text: JSONBytes) { key(name); string(text) }
    public mutating func member(_ name: StaticString, _ text: StaticString) { key(name); string(text) }
    public mutating func member(_ name: StaticString, raw: JSONBytes) { key(name); value(raw) }
    public mutating func member(_ name: StaticString, _ number: Int64) { key(name); self.number(number) }
    public mutating func member(_ name: StaticString, _ flag: Bool) { key(name); bool(flag) }
    public mutating func null(_ name: StaticString) { key(name); null() }
    /// Only where there is a value.
    public mutating func member(ifPresent name: StaticString, _ text: JSONBytes) { if text.exists { member(name, text) } }
    public mutating func member(ifPresent name: StaticString, raw: JSONBytes) { if raw.exists { member(name, raw: raw) } }
}

/// Memory for texts that are made on the way (ids, unescaped arguments): what it hands out stays where it is until `reset`.
public struct JSONArena: ~Copyable {
    private static let blockBytes = 4096
    private static let keptMax = 4
    private var blocks: [(base: UnsafeMutablePointer<UInt8>, capacity: Int)] = []
    private var block = 0
    private var used = 0

    public init() {}
    deinit { for block in blocks { block.base.deallocate() } }

    public mutating func reset() {
        block = 0
        used = 0
        while blocks.count > Self.keptMax { blocks.removeLast().base.deallocate() }
        if let last = blocks.last, last.capacity > 1 << 16 { blocks.removeLast().base.deallocate() }
    }

    /// Memory of `count` bytes.
    public mutating func take(_ count: Int) -> UnsafeMutablePointer<UInt8> {
        while block < blocks.count {
            if blocks[block].capacity - used >= count {
                let place = blocks[block].base + used
                used += count
                return place
            }
            block += 1
            used = 0
        }
        let capacity = max(Self.blockBytes, count)
        blocks.append((.allocate(capacity: capacity), capacity))
        block = blocks.count - 1
        used = count
        return blocks[block].base
    }

    /// A copy of these bytes.
    public mutating func copy(_ bytes: JSONBytes) -> JSONBytes {
        guard let base = bytes.base, bytes.count > 0 else { return bytes.exists ? JSONBytes("") : bytes }
        let place = take(bytes.count)
        place.update(from: base, count: bytes.count)
        return JSONBytes(place, bytes.count)
    }

    /// The text of a string's inside, its escapes undone (plain bytes, not JSON any more).
    public mutating func unescaped(_ text: JSONBytes) -> JSONBytes {
        guard let base = text.base, text.count > 0, text.raw.contains(0x5C) else { return text }
        let place = take(text.count)
        // The quotes that `unescape` wants are around the text in its place, or put around a copy.
        let whole = take(text.count + 2)
        whole[0] = 0x22
        (whole + 1).update(from: base, count: text.count)
        whole[text.count + 1] = 0x22
        let length = JSONText.unescape(
            UnsafeRawBufferPointer(start: whole, count: text.count + 2), into: UnsafeMutableRawBufferPointer(start: place, count: text.count))
        return JSONBytes(place, length ?? 0)
    }

    /// Plain bytes as the inside of a JSON string.
    public mutating func escaped(_ raw: UnsafeRawBufferPointer) -> JSONBytes {
        guard raw.count > 0 else { return JSONBytes("") }
        let place = take(raw.count * 6)
        return JSONBytes(place, JSONText.escape(raw, into: place, capacity: raw.count * 6))
    }

    /// The parts one behind the other.
    public mutating func joined(_ parts: JSONBytes...) -> JSONBytes {
        let length = parts.reduce(0) { $0 + $1.count }
        let place = take(max(1, length))
        var at = 0
        for part in parts {
            if let base = part.base { (place + at).update(from: base, count: part.count) }
            at += part.count
        }
        return JSONBytes(place, length)
    }
}
