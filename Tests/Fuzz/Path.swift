// Paths. Checked: a normal form is its own normal form, has nothing left to normalise and is the one that a plain, slow reading of the rules gives.
import ClawWire

private enum Form: Equatable { case normal([UInt8]), refused }

private func normalise(_ bytes: UnsafeRawBufferPointer) -> (form: Form, isRewritten: Bool) {
    var out = [UInt8](repeating: 0xAA, count: bytes.count)
    let form = withCopy(bytes) { copy in out.withUnsafeMutableBytes { normalisePath(copy, into: $0) } }
    switch form {
    case .normal: return (.normal(Array(bytes)), false)
    case .rewritten(let length):
        check(length > 0 && length <= bytes.count, "a length of \(length) for \(bytes.count) bytes")
        return (.normal(Array(out[..<length])), true)
    case .refused: return (.refused, false)
    }
}

/// RFC 3986 §6.2.2 with what the gateway refuses, over whole segments.
private func normalisePlainly(_ path: [UInt8]) -> Form {
    if path.isEmpty { return .normal([]) }
    guard path[0] == 0x2F else { return .refused }
    let hex = Array("0123456789ABCDEF".utf8)
    func value(_ at: Int) -> Int? {
        guard at < path.count else { return nil }
        return hex.firstIndex(of: (0x61...0x66).contains(path[at]) ? path[at] - 0x20 : path[at])
    }
    let unreserved = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~".utf8)
    let allowed = unreserved.union("!$&'()*+,;=:@/".utf8)
    var text: [UInt8] = []
    var at = 0
    while at < path.count {
        if path[at] == 0x25 {
            guard let high = value(at + 1), let low = value(at + 2) else { return .refused }
            let byte = UInt8(high << 4 | low)
            if byte < 0x20 || byte == 0x7F || byte == 0x2F || byte == 0x5C { return .refused }
            text += unreserved.contains(byte) ? [byte] : [0x25, hex[high], hex[low]]
            at += 3
        } else {
            guard allowed.contains(path[at]) else { return .refused }
            text.append(path[at])
            at += 1
        }
    }
    let segments = text.dropFirst().split(separator: 0x2F, omittingEmptySubsequences: false).map(Array.init)
    var kept: [[UInt8]] = []
    for (index, segment) in segments.enumerated() {
        let isLast = index == segments.count - 1
        if segment.isEmpty && !isLast { return .refused }
        if segment.starts(with: Array(".;".utf8)) || segment.starts(with: Array("..;".utf8)) { return .refused }
        switch segment {
        case [0x2E]: if isLast { kept.append([]) }
        case [0x2E, 0x2E]:
            guard kept.popLast() != nil else { return .refused }
            if isLast { kept.append([]) }
        default: kept.append(segment)
        }
    }
    return .normal(kept.flatMap { [0x2F] + $0 })
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: data, count: size)
    let (form, isRewritten) = normalise(bytes)
    check(form == normalisePlainly(Array(bytes)), "\(form) against \(normalisePlainly(Array(bytes)))")
    guard case .normal(let text) = form else { return 0 }
    check(isRewritten == (text != Array(bytes)), "rewritten to itself, or changed and not said")
    let (again, isRewrittenAgain) = text.withUnsafeBytes(normalise)
    check(again == form && !isRewrittenAgain, "the normal form \(show(text)) has another")
    return 0
}
