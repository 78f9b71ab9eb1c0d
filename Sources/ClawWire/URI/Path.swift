import CScan

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

/// Normalises a path into `output` (capacity at least `path.count`). The normal form of a normal form is itself. An empty path is
/// normal (the reader uses "/"). Escapes of reserved characters stay escapes: `%252f` is `%252f` for us and for whoever comes next.
#if !DEBUG
@_noLocks @_noAllocation
#endif
public func normalisePath(_ path: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> PathForm {
    guard let base = path.baseAddress, path.count > 0 else { return .normal }
    let bytes = base.assumingMemoryBound(to: UInt8.self)
    guard bytes[0] == 0x2F else { return .refused("path_without_slash") }
    // Nearly every path is normal: no escape, no "//", no segment that begins with a dot.
    var at = 1
    while at < path.count {
        let stop = cscan_http_target_end(bytes, at, path.count)
        while at < stop {
            if bytes[at &- 1] == 0x2F && (bytes[at] == 0x2F || bytes[at] == 0x2E) { return rewritePath(bytes, path.count, output) }
            at &+= 1
        }
        if stop < path.count { return rewritePath(bytes, path.count, output) }
    }
    return .normal
}

/// The careful way. `written` never overtakes what was read.
private func rewritePath(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ output: UnsafeMutableRawBufferPointer) -> PathForm {
    guard let outputBase = output.baseAddress, output.count >= count else { return .refused("path_too_long") }
    let out = outputBase.assumingMemoryBound(to: UInt8.self)
    var written = 0
    var at = 0
    var changed = false
    while at < count {
        // At a slash: read the segment behind it, up to the next slash or the end.
        out[written] = 0x2F
        written += 1
        at += 1
        let segment = written
        while at < count && bytes[at] != 0x2F {
            var byte = bytes[at]
            if byte == 0x25 {
                guard at + 2 < count else { return .refused("path_escape") }
                let high = hexValue(bytes[at + 1]), low = hexValue(bytes[at + 2])
                guard high < 16, low < 16 else { return .refused("path_escape") }
                let meant = high << 4 | low
                if meant < 0x20 || meant == 0x7F { return .refused("path_encoded_control") }
                if meant == 0x2F || meant == 0x5C { return .refused("path_encoded_slash") }
                if isOfClass(meant, cscan_http_unreserved) {
                    byte = meant
                    changed = true
                    at += 2
                } else {
                    let first = upperHex(high), second = upperHex(low)
                    if first != bytes[at + 1] || second != bytes[at + 2] { changed = true }
                    out[written] = 0x25
                    out[written + 1] = first
                    out[written + 2] = second
                    written += 3
                    at += 3
                    continue
                }
            } else if !isOfClass(byte, cscan_http_target) {
                return .refused(byte >= 0x80 ? "path_not_ascii" : byte == 0x5C ? "path_backslash" : "path_byte")
            }
            out[written] = byte
            written += 1
            at += 1
        }
        let isLast = at >= count
        let length = written - segment
        if length == 0 {
            if !isLast { return .refused("path_empty_segment") }
            break
        }
        guard out[segment] == 0x2E else { continue }
        let dots = length > 1 && out[segment + 1] == 0x2E ? 2 : 1
        if length > dots {
            // Some servers cut parameters off before they look for dots.
            if out[segment + dots] == 0x3B { return .refused("path_dot_segment_parameter") }
            continue
        }
        // Take the segment back, with its slash unless it is the last, whose slash stays as the end of the path.
        changed = true
        written = segment - 1
        if dots == 2 {
            guard written > 0 else { return .refused("path_above_root") }
            repeat { written -= 1 } while out[written] != 0x2F
        }
        if isLast { out[written] = 0x2F; written += 1 }
    }
    return changed ? .rewritten(written) : .normal
}

@inline(__always) private func upperHex(_ value: UInt8) -> UInt8 { value < 10 ? 48 &+ value : 55 &+ value }
