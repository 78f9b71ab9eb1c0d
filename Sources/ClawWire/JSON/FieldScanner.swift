import CScan

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

/// Why a text is refused. Offsets are those of the first byte that can't stand where it stands (of a character's first byte in `utf8`, of the
/// second key's quote in `duplicate`, of the text's end in `incomplete`) and don't depend on how the text was cut into feeds.
public enum JSONRefusal: Error, Equatable, Sendable {
    case syntax(offset: Int), depth(offset: Int), utf8(offset: Int), duplicate(path: Int, offset: Int), trailing(offset: Int), incomplete(offset: Int)
}

public enum JSONProgress: Equatable, Sendable {
    case needMore
    case complete
    case refused(JSONRefusal)
}

public struct FieldScanner {
    private var state = cscan_json()
    /// Not retained: a scan costs no reference counting. Whoever scans holds the plan that holds the paths.
    private let table: UnsafePointer<cscan_json_paths>

    /// `paths` must outlive the scanner, which doesn't retain them. `depthMax` is capped at 1024 nested containers.
    public init(paths: JSONPaths, depthMax: Int = 128) {
        table = UnsafePointer(paths.table)
        state.depth_max = UInt16(clamping: max(0, min(depthMax, Int(CSCAN_JSON_DEPTH_CAP))))
    }

    /// Scans on to the end of `bytes` (the whole text from its first byte, contiguous; may have moved and grown since the last call).
    /// `isLast`: the text ends here. Spans of wanted values are written to `spans` (one for each path) as they complete; the first call
    /// makes them all missing. A text that is shorter than one already given is a programmer's error.
    public mutating func scan(_ bytes: UnsafeRawBufferPointer, isLast: Bool, spans: UnsafeMutablePointer<JSONSpan>) -> JSONProgress {
        precondition(bytes.count >= Int(bitPattern: UInt(state.verified)), "the text has become shorter")
        let fields = UnsafeMutableRawPointer(spans).assumingMemoryBound(to: cscan_json_span.self)
        let status = cscan_json_feed(&state, table, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, isLast, fields)
        if status == Int32(CSCAN_JSON_NEED_MORE) { return .needMore }
        if status == Int32(CSCAN_JSON_COMPLETE) { return .complete }
        return .refused(refusal(status))
    }

    private func refusal(_ status: Int32) -> JSONRefusal {
        let offset = Int(state.error_offset)
        switch Int(status) {
        case CSCAN_JSON_DEPTH: return .depth(offset: offset)
        case CSCAN_JSON_UTF8: return .utf8(offset: offset)
        case CSCAN_JSON_DUPLICATE: return .duplicate(path: Int(state.error_path), offset: offset)
        case CSCAN_JSON_TRAILING: return .trailing(offset: offset)
        case CSCAN_JSON_INCOMPLETE: return .incomplete(offset: offset)
        default: return .syntax(offset: offset)
        }
    }

    /// Kind of the text's outermost value, `missing` until its first byte has come.
    public var rootKind: JSONKind { JSONKind(rawValue: state.root_kind) ?? .missing }
    /// For an outermost object: the offset just behind its opening brace (where a splice inserts a member), 0 for anything else.
    public var rootInsertOffset: Int { Int(state.root_insert) }
    /// The outermost object has no members (so far).
    public var rootIsEmpty: Bool { !state.root_has_members }
}
