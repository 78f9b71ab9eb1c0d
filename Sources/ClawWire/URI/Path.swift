// Request paths in one normal form, so that what is matched is what is forwarded (RFC 3986 §6.2.2; faults H1-28).

public enum PathForm: Equatable, Sendable {
    /// Already normal: use the bytes as they are.
    case normal
    /// Was rewritten into `output` (this many bytes): percent-encoded unreserved characters decoded, escapes upper-cased, dot segments removed.
    case rewritten(Int)
    /// Refused with 400: bad escape, encoded NUL or control, encoded slash or backslash, `..` above the root, raw non-ASCII, backslash, `//`, `;` in a dot segment.
    case refused(StaticString)
    public static func == (a: PathForm, b: PathForm) -> Bool {
        switch (a, b) { case (.normal, .normal): true; case let (.rewritten(x), .rewritten(y)): x == y; case let (.refused(x), .refused(y)): x.description == y.description; default: false }
    }
}

/// Normalises a path into `output` (capacity at least `path.count`).
public func normalisePath(_ path: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> PathForm { .normal }

/// An http or https URL of configuration (upstreams), split.
public struct HTTPURL: Equatable, Sendable {
    public var isTLS: Bool
    /// Lower-case ASCII host name, or an address without brackets.
    public var host: String
    public var port: UInt16
    /// Path without trailing slash, "" for none. Query and fragment are refused.
    public var path: String
    /// Throws a sentence that says what is wrong.
    public init(_ text: String) throws(HTTPURLError) { throw HTTPURLError(message: "not built") }
}
public struct HTTPURLError: Error, Equatable, Sendable { public var message: String; public init(message: String) { self.message = message } }
