// The head of an HTTP/1.1 response, the same way as RequestHead.

/// Valid after `ResponseParser.parse` said `.complete`, for the bytes given in that call, until the next call with this head.
public final class ResponseHead {
    public let fields: UnsafeMutablePointer<HTTPField>
    public var fieldCount = 0
    /// 100 … 599.
    public var status = 0
    public var versionMinor: UInt8 = 1
    public var reasonOffset = 0, reasonLength = 0
    public var framing: BodyFraming = .none
    /// May the connection carry another request once this message has been read to its end?
    public var keepAlive = true
    /// `content-type: text/event-stream` (any parameters).
    public var isEventStream = false
    /// `application/json` or a type ending in `+json` (any parameters).
    public var isJSON = false
    /// A content-encoding other than identity is present.
    public var isEncoded = false
    /// Names the Connection field lists besides close, keep-alive and upgrade; fields so named are marked `isNamedByConnection`.
    public let connectionNames: UnsafeMutablePointer<HTTPSpan>
    public var connectionNameCount = 0

    @inlinable public func first(_ name: FieldName) -> Int { Int(firstIndex[Int(name.rawValue)]) }
    @usableFromInline let firstIndex: UnsafeMutablePointer<Int8>
    let names = FieldNameTable.shared

    public init() {
        fields = .allocate(capacity: RequestHead.fieldsCapacity)
        fields.initialize(repeating: HTTPField(), count: RequestHead.fieldsCapacity)
        firstIndex = .allocate(capacity: firstIndexCapacity)
        firstIndex.initialize(repeating: -1, count: firstIndexCapacity)
        connectionNames = .allocate(capacity: MessageFacts.connectionNamesMax)
        connectionNames.initialize(repeating: HTTPSpan(), count: MessageFacts.connectionNamesMax)
    }

    deinit {
        fields.deallocate()
        firstIndex.deallocate()
        connectionNames.deallocate()
    }
}
