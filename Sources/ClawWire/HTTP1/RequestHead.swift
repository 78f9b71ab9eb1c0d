// The head of an HTTP/1.1 request as offsets into the bytes it was parsed from. A RequestHead is a reusable
// scratch table (one per worker): the parser fills it, the pipeline reads it, nothing is copied out.

/// One field line of a head: where its name and value lie, and which known field it is.
public struct HTTPField {
    public var nameOffset: UInt32 = 0
    public var valueOffset: UInt32 = 0
    /// Bytes of the value, optional white space already taken off both ends.
    public var valueLength: UInt32 = 0
    public var nameLength: UInt16 = 0
    public var name: FieldName = .other
    public init() {}
}

/// Request methods the gateway knows; any other token parses as `.other` (the server answers 501).
public enum HTTPMethod: UInt8, Sendable { case get, head, post, put, delete, patch, options, trace, connect, other }

/// How a message's body is delimited (RFC 9112 §6.3).
public enum BodyFraming: Equatable, Sendable {
    case none
    case contentLength(UInt64)
    case chunked
    /// Responses only: the body ends when the peer closes.
    case untilClose
}

/// Why a head or body was refused, with the status a server answers and the RFC section.
public struct HTTPRefusal: Error, Equatable, Sendable {
    /// 400, 413, 414, 417, 431, 501 or 505 for requests; for responses always 502 towards the client.
    public var status: UInt16
    /// Stable label for counters and logs, e.g. "bare_lf", "content_length_conflict".
    public var reason: StaticString
    /// Where in the fed bytes it was seen.
    public var offset: Int
    public init(status: UInt16, reason: StaticString, offset: Int) { self.status = status; self.reason = reason; self.offset = offset }
    public static func == (a: HTTPRefusal, b: HTTPRefusal) -> Bool {
        a.status == b.status && a.offset == b.offset && a.reason.description == b.reason.description
    }
}

/// Limits of a head; beyond: 414 for the target, 431 for the rest.
public struct HeadLimits: Sendable {
    public var headBytesMax: Int = 65536
    public var targetBytesMax: Int = 16384
    public var fieldsMax: Int = 100
    public init() {}
}

public enum HeadProgress: Equatable, Sendable {
    /// A right beginning; feed the same bytes again with more behind them.
    case needMore
    /// The head is whole and ends (after its empty line) at this offset.
    case complete(Int)
    case refused(HTTPRefusal)
}

public final class RequestHead {
    public static let fieldsCapacity = 128
    public let fields: UnsafeMutablePointer<HTTPField>
    public var fieldCount = 0
    public var method: HTTPMethod = .other
    public var methodOffset = 0, methodLength = 0
    /// The request-target as sent.
    public var targetOffset = 0, targetLength = 0
    /// Path and query of origin-form or absolute-form (the part to route by). Path is never empty ("/" is made by pointing at one where the
    /// absolute form has none: then pathLength == 0 and the reader uses "/"). Query excludes the "?".
    public var pathOffset = 0, pathLength = 0, queryOffset = 0, queryLength = 0
    public var hasQuery = false
    /// `OPTIONS *`.
    public var isAsterisk = false
    /// Authority to route by: absolute-form's if there is one (then Host is rewritten to it), else the Host value. Length 0 when absent (HTTP/1.0).
    public var hostOffset = 0, hostLength = 0
    public var versionMinor: UInt8 = 1
    public var framing: BodyFraming = .none
    public var keepAlive = true
    public var expectContinue = false
    public var hasUpgrade = false
    /// Index of the first field with that known name, or -1. Valid for names other than `.other`.
    public func first(_ name: FieldName) -> Int { firstIndex[Int(name.rawValue)] }
    @usableFromInline var firstIndex: [Int]
    public init() {
        fields = .allocate(capacity: Self.fieldsCapacity)
        fields.initialize(repeating: HTTPField(), count: Self.fieldsCapacity)
        firstIndex = Array(repeating: -1, count: 64)
    }
    deinit { fields.deallocate() }
}

/// Fields the gateway treats by name. Look-up is by length and case-folded bytes.
public enum FieldName: UInt8, Sendable {
    case other = 0
    case host, connection, contentLength, transferEncoding, keepAlive, te, trailer, upgrade, proxyConnection
    case proxyAuthorization, proxyAuthenticate, expect, authorization, xApiKey, apiKey, xGoogApiKey
    case contentType, contentEncoding, accept, acceptEncoding, userAgent, cookie, setCookie
    case xRequestId, traceparent, tracestate, baggage, xForwardedFor, xForwardedProto, xForwardedHost, xForwardedPort, forwarded, xRealIp, via
    case date, server, retryAfter, retryAfterMs, cacheControl, location, altSvc, xSessionId
    /// Any name that begins with `x-openclaw-`.
    case xOpenclaw
    case openaiOrganization, openaiProject, openaiProcessingMs, http2Settings
}

/// Incremental request-head parser; a small value kept per connection while a head is incomplete.
/// Feed it the bytes of the head from its first byte on, contiguous; when more has come, feed the longer span again
/// (what was looked at is not looked at again). The verdict does not depend on how the bytes were cut, and is given as soon as
/// the bytes so far cannot begin a right message.
public struct RequestParser {
    public init() {}
    public mutating func parse(_ bytes: UnsafeRawBufferPointer, limits: HeadLimits, into head: RequestHead) -> HeadProgress { .needMore }
}
