// Finds the frames of an application/vnd.amazon.eventstream body in bytes as they arrive, in place where a frame lies whole in one feed. A frame is
//   total length u32 | headers length u32 | CRC-32 of those eight bytes | headers | payload | CRC-32 of all before it
// in big-endian order. The lengths are not believed before their checksum is right, and nothing of a frame is given out before the frame's is. What the
// scanner says doesn't depend on how the body is cut into feeds. Sources: botocore/eventstream.py, the suite in ../shared/suites/eventstream.

/// One frame. All spans are good until the scanner's next call.
public struct Frame {
    public enum Kind: UInt8, Sendable {
        case event
        /// An error the service's model knows; it ends the stream.
        case exception
        /// One it doesn't know: code and message are in headers.
        case error
        /// No `:message-type`, or another.
        case other
    }
    public var kind = Kind.other
    public var messageType = UnsafeRawBufferPointer(start: nil, count: 0)
    /// `:event-type`, `:exception-type` or `:error-code`, whichever belongs to the kind.
    public var eventType = UnsafeRawBufferPointer(start: nil, count: 0)
    public var contentType = UnsafeRawBufferPointer(start: nil, count: 0)
    public var errorMessage = UnsafeRawBufferPointer(start: nil, count: 0)
    public var headers: FrameHeaders
    public var payload: UnsafeRawBufferPointer

    init(headers: FrameHeaders, payload: UnsafeRawBufferPointer) {
        self.headers = headers
        self.payload = payload
        var exceptionType = eventType
        var errorCode = eventType
        for header in headers where header.type == .string {
            if Self.isNamed(header, ":message-type") { messageType = header.value }
            else if Self.isNamed(header, ":event-type") { eventType = header.value }
            else if Self.isNamed(header, ":exception-type") { exceptionType = header.value }
            else if Self.isNamed(header, ":error-code") { errorCode = header.value }
            else if Self.isNamed(header, ":error-message") { errorMessage = header.value }
            else if Self.isNamed(header, ":content-type") { contentType = header.value }
        }
        let type = JSONBytes(messageType)
        if type.equals("event") {
            kind = .event
        } else if type.equals("exception") {
            kind = .exception
            eventType = exceptionType
        } else if type.equals("error") {
            kind = .error
            eventType = errorCode
        }
    }

    private static func isNamed(_ header: FrameHeader, _ name: StaticString) -> Bool { JSONBytes(header.name).equals(name) }
}

public enum FrameStep {
    /// All fed bytes are used; no frame ends in them any more.
    case needMore
    /// Call again with `from: end`, an offset in the fed bytes.
    case frame(Frame, end: Int)
    /// The body is broken here: `prelude-crc`, `length`, `message-crc` or `header`. Nothing more is read of it.
    case refused(StaticString)
}

/// Scanner state of one body. Holds no memory while no frame is cut by a feed.
public struct FrameScanner: ~Copyable {
    public static let headersBytesMax = 128 << 10
    public static let payloadBytesMax = 24 << 20
    static let preludeBytes = 12
    /// Prelude and the checksum at the end.
    static let overheadBytes = 16

    /// The frame under way, as far as it came in earlier feeds; and a cut frame until the call after it was given out.
    private var carry: UnsafeMutablePointer<UInt8>?
    private var carryCount = 0
    private var carryCapacity = 0
    /// Length of the frame in the carry; 0 as long as its prelude is not whole.
    private var total = 0
    /// What the carry holds was given out.
    private var isGiven = false
    private var refusal: StaticString?
    private let frameBytesMax: Int

    public init(frameBytesMax: Int = FrameScanner.headersBytesMax + FrameScanner.payloadBytesMax + 16) { self.frameBytesMax = frameBytesMax }

    deinit { carry?.deallocate() }

    /// The next frame that ends in `bytes`, read from `offset` on. A feed is read from offset 0, then from each frame's `end`, until `needMore`.
    public mutating func next(_ bytes: UnsafeRawBufferPointer, from offset: Int) -> FrameStep {
        precondition(offset >= 0 && offset <= bytes.count, "offset lies in the fed bytes")
        if isGiven { release() }
        if let refusal { return .refused(refusal) }
        guard offset < bytes.count, let base = bytes.baseAddress else { return .needMore }
        var at = offset
        if carryCount == 0 {
            let left = bytes.count - at
            if left >= Self.preludeBytes {
                if let reason = readPrelude(base + at) { return refuse(reason) }
                if left >= total {
                    let length = total
                    total = 0
                    return give(base + at, length, end: at + length)
                }
            }
            keep(base + at, left)
            return .needMore
        }
        if carryCount < Self.preludeBytes {
            let more = min(Self.preludeBytes - carryCount, bytes.count - at)
            keep(base + at, more)
            at += more
            guard carryCount == Self.preludeBytes, let carry else { return .needMore }
            if let reason = readPrelude(UnsafeRawPointer(carry)) { return refuse(reason) }
        }
        let more = min(total - carryCount, bytes.count - at)
        keep(base + at, more)
        at += more
        guard carryCount == total, let carry else { return .needMore }
        isGiven = true
        return give(UnsafeRawPointer(carry), total, end: at)
    }

    /// True exactly when the bytes so far end where a frame ended (or before the first): a body that ends elsewhere is truncated.
    public var isBetweenFrames: Bool { (carryCount == 0 || isGiven) && refusal == nil }

    /// Bytes of memory held beyond the scanner itself.
    public var heldBytes: Int { carryCapacity }

    /// Sets `total`; or the reason why these twelve bytes begin no frame.
    private mutating func readPrelude(_ at: UnsafeRawPointer) -> StaticString? {
        guard CRC32.of(UnsafeRawBufferPointer(start: at, count: 8)) == Self.word(at + 8) else { return "prelude-crc" }
        let length = Int(Self.word(at))
        let headers = Int(Self.word(at + 4))
        guard length >= Self.overheadBytes, length <= frameBytesMax, headers <= length - Self.overheadBytes, headers <= Self.headersBytesMax,
            length - headers - Self.overheadBytes <= Self.payloadBytesMax
        else { return "length" }
        total = length
        return nil
    }

    private mutating func give(_ at: UnsafeRawPointer, _ length: Int, end: Int) -> FrameStep {
        guard CRC32.of(UnsafeRawBufferPointer(start: at, count: length - 4)) == Self.word(at + length - 4) else { return refuse("message-crc") }
        let headersEnd = Self.preludeBytes + Int(Self.word(at + 4))
        let block = UnsafeRawBufferPointer(start: at + Self.preludeBytes, count: headersEnd - Self.preludeBytes)
        guard FrameHeaders.isValid(block) else { return refuse("header") }
        let payload = UnsafeRawBufferPointer(start: at + headersEnd, count: length - 4 - headersEnd)
        return .frame(Frame(headers: FrameHeaders(block), payload: payload), end: end)
    }

    private mutating func refuse(_ reason: StaticString) -> FrameStep {
        refusal = reason
        release()
        return .refused(reason)
    }

    private static func word(_ at: UnsafeRawPointer) -> UInt32 { UInt32(bigEndian: at.loadUnaligned(as: UInt32.self)) }

    /// Room grows with what has come, not with what a prelude promises.
    private mutating func keep(_ source: UnsafeRawPointer, _ count: Int) {
        guard count > 0 else { return }
        if carryCount + count > carryCapacity {
            let wanted = max(carryCount + count, carryCapacity * 2, 512)
            let capacity = total > 0 ? min(wanted, max(total, carryCount + count)) : wanted
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            if let carry {
                larger.update(from: carry, count: carryCount)
                carry.deallocate()
            }
            carry = larger
            carryCapacity = capacity
        }
        guard let carry else { return }
        (carry + carryCount).update(from: source.assumingMemoryBound(to: UInt8.self), count: count)
        carryCount += count
    }

    private mutating func release() {
        carry?.deallocate()
        carry = nil
        carryCount = 0
        carryCapacity = 0
        total = 0
        isGiven = false
    }
}
