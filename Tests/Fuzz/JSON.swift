// The JSON scanner. Checked: verdict and spans don't depend on the cuts nor on the processor's vector instructions; the verdict is that of a plain
// reader of RFC 8259's grammar; a span is a value by itself; any bytes, escaped and unescaped, come out as they were; numbers have the values
// that the standard library reads.
import CScan
import ClawWire

private let pathNames = ["model", "stream", "a", "a.b", "a.b.c", "messages.0.role", "messages.1", "usage.total_tokens", "", "list.2.x.0", "a\u{E9}", "b"]
private let paths = JSONPaths(pathNames, unique: [0, 4])
private let noPaths = JSONPaths([], unique: [])
nonisolated(unsafe) private let none = UnsafeMutablePointer<JSONSpan>.allocate(capacity: 1)
private let isas = [CSCAN_ISA_PORTABLE, CSCAN_ISA_SSE2, CSCAN_ISA_AVX2].map { Int32($0) }

private struct Reading: Equatable {
    var progress = JSONProgress.needMore
    var spans: [[Int]] = []
    var kind = JSONKind.missing
    var insertOffset = 0
    var isEmpty = false
}

private func read(_ bytes: UnsafeRawBufferPointer, _ cuts: [Int], depthMax: Int, spans: inout [JSONSpan]) -> Reading {
    var scanner = FieldScanner(paths: paths, depthMax: depthMax)
    var reading = Reading()
    spans = Array(repeating: JSONSpan(), count: pathNames.count)
    for (index, cut) in cuts.enumerated() {
        reading.progress = spans.withUnsafeMutableBufferPointer { spans in
            withCopy(part(bytes, 0..<cut)) { scanner.scan($0, isLast: index == cuts.count - 1, spans: spans.baseAddress!) }
        }
        if reading.progress != .needMore { break }
    }
    if reading.progress != .complete { return reading }
    reading.spans = spans.map { [$0.offset, $0.length, Int($0.kind.rawValue), $0.isEscaped ? 1 : 0, $0.isTrue ? 1 : 0] }
    (reading.kind, reading.insertOffset, reading.isEmpty) = (scanner.rootKind, scanner.rootInsertOffset, scanner.rootIsEmpty)
    return reading
}

/// A plain reader of the grammar, without recursion.
private func isJSON(_ bytes: UnsafeRawBufferPointer, depthMax: Int) -> Bool {
    guard String(validating: bytes, as: UTF8.self) != nil else { return false }
    var at = 0
    var nesting: [UInt8] = []
    func byte() -> UInt8 { at < bytes.count ? bytes[at] : 0 }
    func isDigit() -> Bool { byte() >= 0x30 && byte() <= 0x39 }
    func skipSpace() { while at < bytes.count, [0x20, 9, 10, 13].contains(byte()) { at += 1 } }
    func take(_ wanted: UInt8) -> Bool {
        guard at < bytes.count, byte() == wanted else { return false }
        at += 1
        return true
    }
    func word(_ text: StaticString) -> Bool {
        for index in 0..<text.utf8CodeUnitCount where !take(text.utf8Start[index]) { return false }
        return true
    }
    func digits() -> Bool {
        guard isDigit() else { return false }
        while isDigit() { at += 1 }
        return true
    }
    func string() -> Bool {
        guard take(0x22) else { return false }
        while at < bytes.count {
            let next = byte()
            at += 1
            switch next {
            case 0x22: return true
            case 0..<0x20: return false
            case 0x5C:
                let escape = byte()
                at += 1
                if escape == 0x75 {
                    for _ in 0..<4 {
                        guard isDigit() || (0x41...0x46).contains(byte() & 0xDF) else { return false }
                        at += 1
                    }
                } else if !Array("\"\\/bfnrt".utf8).contains(escape) {
                    return false
                }
            default: break
            }
        }
        return false
    }
    func number() -> Bool {
        _ = take(0x2D)
        if !take(0x30), !digits() { return false }
        if take(0x2E), !digits() { return false }
        if byte() | 0x20 == 0x65 {
            at += 1
            if !take(0x2B) { _ = take(0x2D) }
            return digits()
        }
        return true
    }
    /// In an object, up to the value.
    func key() -> Bool {
        skipSpace()
        guard string() else { return false }
        skipSpace()
        return take(0x3A)
    }
    while true {
        skipSpace()
        switch byte() {
        case 0x7B, 0x5B:
            let isObject = byte() == 0x7B
            at += 1
            nesting.append(isObject ? 0x7D : 0x5D)
            guard nesting.count <= depthMax else { return false }
            skipSpace()
            if byte() != nesting[nesting.count - 1] {
                if isObject, !key() { return false }
                continue
            }
        case 0x22: guard string() else { return false }
        case 0x74: guard word("true") else { return false }
        case 0x66: guard word("false") else { return false }
        case 0x6E: guard word("null") else { return false }
        default: guard number() else { return false }
        }
        // Behind a value, or before the end of an empty container.
        while true {
            skipSpace()
            guard let close = nesting.last else { return at == bytes.count }
            if take(0x2C) {
                if close == 0x7D, !key() { return false }
                break
            }
            guard take(close) else { return false }
            nesting.removeLast()
        }
    }
}

private func unescape(_ value: [UInt8]) -> [UInt8]? {
    withCopy(value) { value in
        var out = [UInt8](repeating: 0, count: max(0, value.count - 2))
        guard let count = out.withUnsafeMutableBytes({ JSONText.unescape(value, into: $0) }) else { return nil }
        return Array(out[..<count])
    }
}

/// `capacity` bytes at a time.
private func escape(_ bytes: UnsafeRawBufferPointer, capacity: Int) -> [UInt8] {
    var out: [UInt8] = []
    var from = 0
    var piece = [UInt8](repeating: 0, count: capacity)
    while from < bytes.count {
        var consumed = 0
        let count = withCopy(part(bytes, from..<bytes.count)) { JSONText.escape($0, into: &piece, capacity: capacity, consumed: &consumed) }
        check(count <= capacity && consumed > 0 && from + consumed <= bytes.count, "escape: \(count) written, \(consumed) consumed, capacity \(capacity)")
        out += piece[..<count]
        from += consumed
    }
    return out
}

private func checkNumber(_ text: [UInt8]) {
    guard let value = Double(String(decoding: text, as: UTF8.self)) else { fail("no number to the standard library: \(show(text))") }
    let limit = Double.greatestFiniteMagnitude
    withCopy(text) { bytes in
        let parsed = JSONNumber.parse(bytes)
        if text.count < 1024 { check(parsed == max(-limit, min(limit, value)), "\(show(text)) parsed as \(String(describing: parsed))") }
        if let whole = JSONNumber.parseInt(bytes) {
            check(whole == .max || whole == .min || Double(whole) == value, "\(show(text)) parsed as \(whole)")
        }
        guard let count = JSONNumber.parseCount(bytes) else { fail("no count: \(show(text))") }
        check(count.count >= 0 && count.count <= JSONNumber.countMax, "a count of \(count)")
        if count.isExact { check(Double(count.count) == value, "\(show(text)) counted as \(count)") }
    }
}

private func checkSpan(_ span: JSONSpan, _ bytes: UnsafeRawBufferPointer) {
    guard span.kind != .missing else { return }
    check(span.offset >= 0 && span.length > 0 && span.offset + span.length <= bytes.count, "a span outside the text: \(span)")
    let value = Array(bytes[span.offset..<span.offset + span.length])
    var scanner = FieldScanner(paths: noPaths, depthMax: 1024)
    let progress = withCopy(value) { scanner.scan($0, isLast: true, spans: none) }
    check(progress == .complete && scanner.rootKind == span.kind, "a span that is no value of its kind: \(span), \(show(value))")
    check(![0x20, 9, 10, 13].contains(value[0]) && ![0x20, 9, 10, 13].contains(value[value.count - 1]), "a span with space around it: \(show(value))")
    switch span.kind {
    case .string:
        check(span.isEscaped == value.contains(0x5C), "isEscaped is wrong: \(show(value))")
        guard let text = unescape(value) else { fail("a string that has no text: \(show(value))") }
        check(String(validating: text, as: UTF8.self) != nil, "a text that is no UTF-8: \(show(value))")
        if !span.isEscaped { check(text.elementsEqual(value[1..<value.count - 1]), "a text that changed without escapes: \(show(value))") }
        check(withCopy(value) { JSONText.isEqual($0, to: "user") } == (text == Array("user".utf8)), "isEqual is wrong: \(show(value))")
        let again = [0x22] + text.withUnsafeBytes { escape($0, capacity: max(6, text.count * 6)) } + [0x22]
        check(unescape(again) == text, "escaped and unescaped, \(show(text)) is another")
    case .number: checkNumber(value)
    case .bool: check(span.isTrue == (value[0] == 0x74), "isTrue is wrong: \(show(value))")
    default: break
    }
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: data, count: size)
    var dice = Dice(bytes)
    let depthMax = dice.pick([128, 128, 1024, 5])
    var spans: [JSONSpan] = []
    cscan_isa_limit(isas[2])
    let whole = read(bytes, [size], depthMax: depthMax, spans: &spans)
    for span in spans where whole.progress == .complete { checkSpan(span, bytes) }
    var others: [JSONSpan] = []
    for isa in isas {
        cscan_isa_limit(isa)
        let cut = read(bytes, dice.cuts(size), depthMax: depthMax, spans: &others)
        check(cut == whole, "cut, instructions \(isa): \(cut), whole: \(whole)")
    }
    let isGood = isJSON(bytes, depthMax: depthMax)
    switch whole.progress {
    case .complete: check(isGood, "taken, though no JSON")
    case .refused(.duplicate): check(isGood || size > 0, "a duplicate in nothing")
    case .refused: check(!isGood, "refused, though JSON: \(whole.progress)")
    case .needMore: fail("more wanted behind the last byte")
    }

    // Any bytes as text.
    let repaired = Array(String(decoding: bytes, as: UTF8.self).utf8)
    var forms: [[UInt8]] = []
    for isa in isas {
        cscan_isa_limit(isa)
        forms.append(escape(bytes, capacity: isa == isas[2] ? max(6, size * 6) : 6 + dice.below(40)))
    }
    check(forms[0] == forms[1] && forms[1] == forms[2], "escaped in pieces it is another: \(show(forms[0])), \(show(forms[1])), \(show(forms[2]))")
    let quoted = [0x22] + forms[2] + [0x22]
    var scanner = FieldScanner(paths: noPaths)
    check(withCopy(quoted) { scanner.scan($0, isLast: true, spans: none) } == .complete, "an escaped text that is no JSON: \(show(quoted))")
    check(unescape(quoted) == repaired, "escaped and unescaped: \(show(quoted))")
    return 0
}
