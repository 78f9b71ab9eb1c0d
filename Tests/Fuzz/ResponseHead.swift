// Response heads, with the same checks as request heads; a hash of the input decides which method was asked.
import ClawWire

private struct Reading: Equatable {
    var end = 0, status = 0
    var versionMinor: UInt8 = 0
    var reason: [UInt8] = []
    var framing = BodyFraming.none
    var flags: [Bool] = []
    var names: [[UInt8]] = [], values: [[UInt8]] = [], marks: [UInt8] = [], known: [FieldName] = [], connectionNames: [[UInt8]] = []

    init(_ head: ResponseHead, _ bytes: UnsafeRawBufferPointer, _ end: Int) {
        func text(_ offset: Int, _ length: Int) -> [UInt8] {
            check(offset >= 0 && length >= 0 && offset + length <= end, "a span outside the head: \(offset)+\(length) of \(end)")
            return Array(bytes[offset..<offset + length])
        }
        self.end = end
        (status, versionMinor, framing) = (head.status, head.versionMinor, head.framing)
        reason = head.reasonLength == 0 ? [] : text(head.reasonOffset, head.reasonLength)
        flags = [head.keepAlive, head.isEventStream, head.isJSON, head.isEncoded]
        for index in 0..<head.fieldCount {
            let field = head.fields[index]
            names.append(text(Int(field.nameOffset), Int(field.nameLength)))
            values.append(text(Int(field.valueOffset), Int(field.valueLength)))
            marks.append(field.marks)
            known.append(field.name)
        }
        for index in 0..<head.connectionNameCount {
            connectionNames.append(text(Int(head.connectionNames[index].offset), Int(head.connectionNames[index].length)))
        }
        for name in FieldName.allCases where name != .other {
            check(head.first(name) == known.firstIndex(of: name) ?? -1, "the index of \(name.spelling) is not that of the first")
        }
    }

    func checkRules(_ method: HTTPMethod) {
        check((100...599).contains(status), "status \(status)")
        for name in names { check(!name.isEmpty && !name.contains { $0 <= 0x20 || $0 >= 0x7F || $0 == 0x3A }, "a field name with \(show(name))") }
        for value in values { check(!value.contains { $0 == 0 || $0 == 10 || $0 == 13 }, "a field value with \(show(value))") }
        let lengths = known.filter { $0 == .contentLength }.count, codings = known.filter { $0 == .transferEncoding }.count
        check(lengths + codings <= 1, "two framing fields taken")
        let isBodiless = method == .head || status < 200 || status == 204 || status == 304
        switch framing {
        case .none: check(isBodiless, "no body where RFC 9112 §6.3 has one")
        case .contentLength: check(!isBodiless && lengths == 1, "a length without its field")
        case .chunked: check(!isBodiless && codings == 1, "chunked without its field")
        case .untilClose: check(!isBodiless && lengths + codings == 0 && !flags[0], "until close beside another framing, or kept alive")
        }
    }

    var written: [UInt8] {
        var out = Array("HTTP/1.\(versionMinor) \(status) ".utf8) + reason + [13, 10]
        for (name, value) in zip(names, values) { out += name + [0x3A] + value + [9, 13, 10] }
        return out + [13, 10]
    }
}

nonisolated(unsafe) private let head = ResponseHead()

private func read(_ bytes: UnsafeRawBufferPointer, _ method: HTTPMethod, _ limits: HeadLimits) -> (HeadProgress, Reading?) {
    var parser = ResponseParser()
    let progress = parser.parse(bytes, requestMethod: method, limits: limits, into: head)
    guard case .complete(let end) = progress else { return (progress, nil) }
    return (progress, Reading(head, bytes, end))
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: data, count: size)
    var dice = Dice(bytes)
    let method = dice.pick([HTTPMethod.get, .post, .head])
    var limits = HeadLimits()
    if dice.below(4) == 0 {
        limits.headBytesMax = dice.below(300)
        limits.fieldsMax = dice.below(6)
    }
    let (progress, reading) = read(bytes, method, limits)
    var parser = ResponseParser()
    var cut = (HeadProgress.needMore, Reading?.none)
    for end in dice.cuts(size) where cut.0 == .needMore {
        cut = withCopy(part(bytes, 0..<end)) { piece in
            let progress = parser.parse(piece, requestMethod: method, limits: limits, into: head)
            if case .complete(let end) = progress { return (progress, Reading(head, piece, end)) }
            return (progress, nil)
        }
    }
    check(cut.0 == progress && cut.1 == reading, "cut: \(cut), whole: \(progress), \(String(describing: reading))")
    switch progress {
    case .needMore: break
    case .refused(let refusal):
        check(refusal.offset >= 0 && refusal.offset < size, "a refusal outside the bytes: \(refusal)")
        check(withCopy(part(bytes, 0..<refusal.offset)) { read($0, method, limits).0 } == .needMore, "refused, but not by its last byte: \(refusal)")
        check(withCopy(part(bytes, 0..<refusal.offset + 1)) { read($0, method, limits).0 } == progress, "refused later than it says: \(refusal)")
    case .complete(let end):
        check(withCopy(part(bytes, 0..<end)) { read($0, method, limits).0 } == progress, "complete, but not without the bytes behind it")
        check(withCopy(part(bytes, 0..<end - 1)) { read($0, method, limits).0 } == .needMore, "complete before its last byte")
        guard let reading else { break }
        reading.checkRules(method)
        let text = reading.written
        let (again, second) = withCopy(text) { read($0, method, HeadLimits()) }
        var expected = reading
        expected.end = text.count
        check(again == .complete(text.count) && second == expected, "written again: \(show(text)) is \(again), \(String(describing: second)), was \(reading)")
    }
    return 0
}
