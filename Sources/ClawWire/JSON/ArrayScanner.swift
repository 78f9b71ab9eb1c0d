// Finds the elements of one JSON array that arrives in pieces (`[{…}\n,\n{…}]`, Gemini's streams without `alt=sse`), as soon as each is whole and without
// waiting for the array's end. It only counts brackets outside of strings; whether an element is valid JSON is for its reader to say. A single object at
// the top is taken as the only element. What it says doesn't depend on how the array is cut into feeds.

public enum ArrayStep {
    /// All fed bytes are used; no element ends in them any more.
    case needMore
    /// An element, valid until the next call. Call again with `from: end`.
    case element(data: UnsafeRawBufferPointer, end: Int)
    /// The array's closing bracket was the byte before this offset. Said once.
    case end(Int)
    /// No such array, or an element of more than `elementBytesMax`. Everything after is refused too.
    case refused(StaticString)
}

/// Scanner state of one stream. Holds memory only for an element that a feed cuts.
public struct ArrayScanner: ~Copyable {
    private enum Place: UInt8 {
        case start, afterOpening, inElement, afterElement, afterComma
        /// Behind a single object, whose end is still to be told; behind the end; refused.
        case afterObject, ended, failed
    }

    private var place = Place.start
    /// True exactly when the object under way stands alone, not in an array.
    private var isAlone = false
    private var isInString = false
    /// The last byte was a backslash inside a string that escapes the next one.
    private var isEscaped = false
    /// Brackets of the element that are open.
    private var depth: UInt32 = 0
    /// The element as far as earlier feeds had it; a whole one until the call after it was told.
    private var carry: UnsafeMutablePointer<UInt8>?
    private var carryCount = 0
    private var carryCapacity = 0
    private let elementBytesMax: Int
    private var reason: StaticString = ""
    /// A carry that grew beyond this is given back with its element.
    private static let keptMax = 1 << 16

    public init(elementBytesMax: Int = 8 << 20) { self.elementBytesMax = elementBytesMax }
    deinit { carry?.deallocate() }

    /// True where no element is waiting for the rest of it.
    public var isBetweenElements: Bool { place != .inElement }
    /// The array (or the single object) has ended.
    public var isEnded: Bool { place == .ended || place == .afterObject }
    /// Bytes of memory held beyond the scanner itself.
    public var heldBytes: Int { carryCapacity }

    /// The next element that ends in `bytes`, read from `offset` on. A feed is read from offset 0, then from each element's `end`, until `needMore`.
    public mutating func next(_ bytes: UnsafeRawBufferPointer, from offset: Int) -> ArrayStep {
        precondition(offset >= 0 && offset <= bytes.count, "offset lies in the fed bytes")
        if place == .failed { return .refused(reason) }
        if place == .afterObject {
            place = .ended
            return .end(offset)
        }
        if place != .inElement { dropCarry() }
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return .needMore }
        var at = offset
        while at < bytes.count, place != .inElement {
            let byte = base[at]
            at += 1
            if byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { continue }
            switch (place, byte) {
            case (.start, 0x5B): place = .afterOpening
            case (.start, 0x7B), (.afterOpening, 0x7B), (.afterComma, 0x7B):
                isAlone = place == .start
                place = .inElement
                at -= 1
            case (.afterElement, 0x2C): place = .afterComma
            case (.afterOpening, 0x5D), (.afterElement, 0x5D):
                place = .ended
                return .end(at)
            case (.start, _): return fail("the stream is no JSON array")
            case (.ended, _): return fail("there is more behind the end of the array")
            case (.afterElement, _): return fail("neither a comma nor the end of the array stands behind an element")
            default: return fail("an element of the array is no object")
            }
        }
        guard at < bytes.count else { return .needMore }
        return readElement(base, from: at, count: bytes.count)
    }

    private mutating func readElement(_ base: UnsafePointer<UInt8>, from start: Int, count: Int) -> ArrayStep {
        var at = start
        while at < count {
            if isInString {
                at = skipString(base, at, count)
                continue
            }
            let byte = base[at]
            at += 1
            switch byte {
            case 0x22: isInString = true
            case 0x7B, 0x5B: depth &+= 1
            case 0x7D, 0x5D:
                depth &-= 1
                guard depth == 0 else { continue }
                place = isAlone ? .afterObject : .afterElement
                if carryCount == 0 {
                    guard at - start <= elementBytesMax else { return fail("an element of the array is too large") }
                    return .element(data: UnsafeRawBufferPointer(start: base + start, count: at - start), end: at)
                }
                guard keep(base + start, at - start) else { return fail("an element of the array is too large") }
                return .element(data: UnsafeRawBufferPointer(start: carry, count: carryCount), end: at)
            default: break
            }
        }
        guard keep(base + start, count - start) else { return fail("an element of the array is too large") }
        return .needMore
    }

    /// Steps over a string's inside, to behind its closing quote or the feed's end.
    private mutating func skipString(_ base: UnsafePointer<UInt8>, _ from: Int, _ count: Int) -> Int {
        var at = from
        if isEscaped {
            isEscaped = false
            at += 1
        }
        while at < count {
            // Eight bytes at a time: a byte that is a quote or a backslash becomes zero, and a zero byte borrows into its top bit.
            while at + 8 <= count {
                let word = UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self)
                let quote = word ^ 0x2222_2222_2222_2222
                let escape = word ^ 0x5C5C_5C5C_5C5C_5C5C
                let hit = ((quote &- 0x0101_0101_0101_0101) & ~quote | (escape &- 0x0101_0101_0101_0101) & ~escape) & 0x8080_8080_8080_8080
                if hit != 0 {
                    at += hit.trailingZeroBitCount / 8
                    break
                }
                at += 8
            }
            while at < count, base[at] != 0x22, base[at] != 0x5C { at += 1 }
            guard at < count else { return at }
            if base[at] == 0x22 {
                isInString = false
                return at + 1
            }
            at += 2
            if at > count {
                isEscaped = true
                return count
            }
        }
        return at
    }

    /// Adds to the carry. False: it would be more than `elementBytesMax`.
    private mutating func keep(_ source: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        guard length <= elementBytesMax - carryCount else { return false }
        if carryCount + length > carryCapacity {
            let capacity = min(max(carryCount + length, carryCapacity * 2, 512), elementBytesMax)
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            if let carry {
                larger.update(from: carry, count: carryCount)
                carry.deallocate()
            }
            carry = larger
            carryCapacity = capacity
        }
        if let carry { (carry + carryCount).update(from: source, count: length) }
        carryCount += length
        return true
    }

    private mutating func dropCarry() {
        carryCount = 0
        guard carryCapacity > Self.keptMax else { return }
        carry?.deallocate()
        carry = nil
        carryCapacity = 0
    }

    private mutating func fail(_ why: StaticString) -> ArrayStep {
        place = .failed
        reason = why
        dropCarry()
        return .refused(why)
    }
}
