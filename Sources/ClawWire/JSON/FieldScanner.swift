// One pass over a JSON text that validates it strictly (RFC 8259) and remembers where the values of chosen dotted paths lie. No tree is
// built; strings are skipped at memory speed. Resumable at every byte: feed the same memory again with more behind it.

/// The kind of a JSON value.
public enum JSONKind: UInt8, Sendable { case missing, string, number, bool, null, object, array }

/// Where a wanted value lies in the scanned bytes (a string's span includes its quotes).
public struct JSONSpan: Sendable {
    public var offset = 0
    public var length = 0
    public var kind = JSONKind.missing
    /// A string holds at least one backslash.
    public var isEscaped = false
    /// `true` when kind is bool and the value is true.
    public var isTrue = false
    public init() {}
}

/// The compiled set of wanted paths ("model", "stream_options.include_usage", "choices.0.finish_reason"; a number is an array index).
/// Built once per plan, shared by all scans. At most 64 paths, depth 8.
public final class JSONPaths: @unchecked Sendable {
    public let paths: [String]
    /// Indices into `paths` whose duplicate in a text is refused (policy keys).
    public let unique: Set<Int>
    public init(_ paths: [String], unique: Set<Int>) { self.paths = paths; self.unique = unique }
}

public enum JSONRefusal: Error, Equatable, Sendable {
    case syntax(offset: Int), depth(offset: Int), utf8(offset: Int), duplicate(path: Int, offset: Int), trailing(offset: Int), incomplete(offset: Int)
}

public enum JSONProgress: Equatable, Sendable {
    case needMore
    case complete
    case refused(JSONRefusal)
}

public struct FieldScanner {
    /// Spans by path index. Owned by the scanner's user (worker scratch), `paths.paths.count` entries.
    public init(paths: JSONPaths, depthMax: Int = 128) {}
    /// Scans on to the end of `bytes` (the whole text from its first byte, contiguous; may have moved and grown since the last call).
    /// `isLast`: the text ends here. Spans of wanted values are written to `spans` as they complete.
    public mutating func scan(_ bytes: UnsafeRawBufferPointer, isLast: Bool, spans: UnsafeMutablePointer<JSONSpan>) -> JSONProgress { .needMore }
    /// Kind of the text's outermost value, and for an object: the offset just behind its opening brace and whether it has members
    /// (where a splice inserts a member).
    public var rootKind: JSONKind { .missing }
    public var rootInsertOffset: Int { 0 }
    public var rootIsEmpty: Bool { true }
}
