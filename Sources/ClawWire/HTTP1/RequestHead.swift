// The head of an HTTP/1.1 request as offsets into the bytes it was parsed from. A RequestHead is a reusable
// scratch table (one per worker): the parser fills it, the pipeline reads it, nothing is copied out.

/// What is wrong with a request's Host fields (RFC 9112 §3.2). The parser takes such heads; the server answers anything but `.none` with 400.
public enum HostProblem: UInt8, Sendable {
    case none
    /// HTTP/1.1 without a Host field. HTTP/1.0 needs none.
    case missing
    /// More than one, equal or not.
    case duplicate
    /// Empty, or no host with an optional port: userinfo, a comma, an escape, a bad address literal, a port above 65535 …
    case invalid
}

/// Valid after `RequestParser.parse` said `.complete`, for the bytes given in that call, until the next call with this head.
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
    /// The target was `http://…` or `https://…`.
    public var isAbsoluteForm = false
    /// Authority to route by: absolute-form's if there is one (then Host is rewritten to it), else the Host value. For CONNECT the target.
    /// Length 0 when absent (HTTP/1.0).
    public var hostOffset = 0, hostLength = 0
    /// Not `.none`: the server answers 400. Judged on the Host fields also when the target names the authority.
    public var hostProblem: HostProblem = .none
    /// 0 or 1; a higher minor version is read as 1 (RFC 9110 §2.5).
    public var versionMinor: UInt8 = 1
    public var framing: BodyFraming = .none
    /// The connection may carry another request behind this one. Always false for CONNECT.
    public var keepAlive = true
    public var expectContinue = false
    /// An Upgrade field is there. It is never forwarded; the request stays HTTP/1.1.
    public var hasUpgrade = false
    /// Connection lists `upgrade`.
    public var connectionSaysUpgrade = false
    /// `TE: trailers`: the client takes trailers.
    public var acceptsTrailers = false
    /// Names the Connection field lists besides close, keep-alive and upgrade: `connectionNameCount` spans, at most 16 (more are refused).
    /// The fields so named are also marked `isNamedByConnection`.
    public let connectionNames: UnsafeMutablePointer<HTTPSpan>
    public var connectionNameCount = 0
    /// Connection lists a field that must not be taken away (host, authorization, content-length, x-api-key …): 400 by the server (faults H1-27).
    public var connectionNamesProtected = false
    /// A field that carries a credential (authorization, proxy-authorization, x-api-key, api-key, x-goog-api-key) is there twice:
    /// 400 by the server (faults H1-29).
    public var duplicateAuthorization = false

    /// Index of the first field with that known name, or -1. Valid for names other than `.other`.
    @inlinable public func first(_ name: FieldName) -> Int { Int(firstIndex[Int(name.rawValue)]) }
    @usableFromInline let firstIndex: UnsafeMutablePointer<Int8>
    let names = FieldNameTable.shared

    public init() {
        fields = .allocate(capacity: Self.fieldsCapacity)
        fields.initialize(repeating: HTTPField(), count: Self.fieldsCapacity)
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

/// Room for every FieldName's raw value.
let firstIndexCapacity = 64
