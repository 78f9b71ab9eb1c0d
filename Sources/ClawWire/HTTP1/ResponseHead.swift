// The head of an HTTP/1.1 response, the same way as RequestHead.

public final class ResponseHead {
    public let fields: UnsafeMutablePointer<HTTPField>
    public var fieldCount = 0
    public var status = 0
    public var versionMinor: UInt8 = 1
    public var reasonOffset = 0, reasonLength = 0
    public var framing: BodyFraming = .none
    /// May the connection carry another request once this message has been read to its end?
    public var keepAlive = true
    /// `content-type: text/event-stream` (any parameters).
    public var isEventStream = false
    public var isJSON = false
    /// A content-encoding other than identity is present.
    public var isEncoded = false
    public func first(_ name: FieldName) -> Int { firstIndex[Int(name.rawValue)] }
    @usableFromInline var firstIndex: [Int]
    public init() {
        fields = .allocate(capacity: RequestHead.fieldsCapacity)
        fields.initialize(repeating: HTTPField(), count: RequestHead.fieldsCapacity)
        firstIndex = Array(repeating: -1, count: 64)
    }
    deinit { fields.deallocate() }
}

/// As RequestParser. `requestMethod` decides bodies of answers to HEAD (RFC 9112 §6.3). 1xx heads are reported like any head with
/// framing `.none`; the caller loops. 101 is refused (we never ask for it; later issues parse it apart).
public struct ResponseParser {
    public init() {}
    public mutating func parse(_ bytes: UnsafeRawBufferPointer, requestMethod: HTTPMethod, limits: HeadLimits, into head: ResponseHead) -> HeadProgress { .needMore }
}

/// Reads a chunked body (RFC 9112 §7.1) without copying it. Value state, resumable at every byte.
public struct ChunkedReader {
    public enum Step: Equatable, Sendable {
        /// All input used, more is expected.
        case needMore
        /// This range of the input is body; call again with the input behind it.
        case data(Range<Int>)
        /// The body is whole; the message ends at this offset of the input. Trailer bytes, if any were seen, were validated and skipped
        /// unless the reader was made with `keepTrailers`.
        case end(Int)
        case refused(HTTPRefusal)
    }
    public init(extensionBytesMax: Int = 4096, trailerBytesMax: Int = 16384) {}
    /// Decoded bytes so far.
    public private(set) var bodyBytes: UInt64 = 0
    public mutating func next(_ bytes: UnsafeRawBufferPointer, from offset: Int) -> Step { .needMore }
}
