import Glibc

// Finds the lines of newline-delimited JSON (NDJSON, as Ollama streams it) in bytes as they arrive, in place. It is to such a stream what `EventScanner` is
// to text/event-stream: what it says doesn't depend on how the stream is cut into feeds, and it holds memory only while a feed cuts a line.

public enum LineStep {
    /// All fed bytes are used; no line ends in them any more.
    case needMore
    /// A line that is not empty, without its end. `data` is good until the scanner's next call. Call again with `from: end`.
    case line(data: UnsafeRawBufferPointer, end: Int)
    /// A line is longer than `lineBytesMax`. Where the next one begins is not looked for: every further call says the same.
    case tooLong
}

/// Scanner state of one stream. A line ends with LF or CRLF; a CR elsewhere belongs to the line (in JSON it is white space). Empty lines are skipped.
public struct LineScanner: ~Copyable {
    /// The line under way, as far as it isn't in the bytes being fed; and a line that was cut until the call after it was given.
    private var carry: UnsafeMutablePointer<UInt8>?
    private var carryCount = 0
    private var carryCapacity = 0
    /// The line in the carry has been given: the next call lets it go.
    private var isGiven = false
    private var isBroken = false
    private let lineBytesMax: Int

    public init(lineBytesMax: Int = 8 << 20) { self.lineBytesMax = max(0, lineBytesMax) }

    deinit { carry?.deallocate() }

    /// The next line that ends in `bytes`, read from `offset` on. A feed is read from offset 0, then from each line's `end`, until `needMore`.
    public mutating func next(_ bytes: UnsafeRawBufferPointer, from offset: Int) -> LineStep {
        precondition(offset >= 0 && offset <= bytes.count, "offset lies in the fed bytes")
        if isGiven { release() }
        if isBroken { return .tooLong }
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return .needMore }
        var at = offset
        while at < bytes.count {
            guard let found = memchr(base + at, 0x0A, bytes.count - at) else {
                return append(base + at, bytes.count - at) ? .needMore : giveUp()
            }
            let length = UnsafePointer(found.assumingMemoryBound(to: UInt8.self)) - (base + at)
            let end = at + length + 1
            var line = UnsafePointer(base + at)
            var count = length
            if carryCount > 0 {
                guard append(line, length), let carry else { return giveUp() }
                line = UnsafePointer(carry)
                count = carryCount
            }
            if count > 0, line[count - 1] == 0x0D { count -= 1 }
            guard count <= lineBytesMax else { return giveUp() }
            if count > 0 {
                isGiven = carryCount > 0
                return .line(data: UnsafeRawBufferPointer(start: line, count: count), end: end)
            }
            release()
            at = end
        }
        return .needMore
    }

    /// The stream ended. The last line, if it had no end of its own; good until the scanner's next call.
    public mutating func finish() -> UnsafeRawBufferPointer? {
        if isGiven { release() }
        guard !isBroken, carryCount > 0, let carry else { return nil }
        let count = carry[carryCount - 1] == 0x0D ? carryCount - 1 : carryCount
        isGiven = true
        return count > 0 && count <= lineBytesMax ? UnsafeRawBufferPointer(start: carry, count: count) : nil
    }

    /// True exactly when the bytes so far end at a line's start.
    public var isBetweenLines: Bool { !isBroken && (carryCount == 0 || isGiven) }

    /// Bytes of memory held beyond the scanner itself.
    public var heldBytes: Int { carryCapacity }

    /// Adds to the line under way; false when it is too long, its CR aside.
    private mutating func append(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        if length == 0 { return true }
        let count = carryCount + length
        guard count <= lineBytesMax || (count == lineBytesMax + 1 && bytes[length - 1] == 0x0D) else { return false }
        if count > carryCapacity {
            let capacity = min(max(count, carryCapacity * 2, 512), lineBytesMax + 1)
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            if let carry {
                larger.update(from: carry, count: carryCount)
                carry.deallocate()
            }
            carry = larger
            carryCapacity = capacity
        }
        guard let carry else { return false }
        (carry + carryCount).update(from: bytes, count: length)
        carryCount = count
        return true
    }

    private mutating func giveUp() -> LineStep {
        release()
        isBroken = true
        return .tooLong
    }

    private mutating func release() {
        carry?.deallocate()
        carry = nil
        carryCount = 0
        carryCapacity = 0
        isGiven = false
    }
}
