// Request heads. Checked: the verdict and all that is read don't depend on the cuts; an offset of a refusal is that of the byte that decided;
// all offsets lie in the head; framing is told by exactly one field; a head written again as it was read is read as the same request.
import ClawWire

private struct Reading: Equatable {
    var end = 0
    var method = HTTPMethod.other
    var methodText: [UInt8] = [], target: [UInt8] = [], path: [UInt8] = [], query: [UInt8] = [], host: [UInt8] = []
    var hasQuery = false, isAsterisk = false, isAbsoluteForm = false
    var hostProblem = HostProblem.none
    var versionMinor: UInt8 = 0
    var framing = BodyFraming.none
    var flags: [Bool] = []
    var fields: [Field] = []
    var connectionNames: [[UInt8]] = []

    struct Field: Equatable {
        var name: [UInt8], value: [UInt8], known: FieldName, marks: UInt8
    }

    init(_ head: RequestHead, _ bytes: UnsafeRawBufferPointer, _ end: Int) {
        func text(_ offset: Int, _ length: Int) -> [UInt8] {
            check(offset >= 0 && length >= 0 && offset + length <= end, "a span outside the head: \(offset)+\(length) of \(end)")
            return Array(bytes[offset..<offset + length])
        }
        self.end = end
        method = head.method
        methodText = text(head.methodOffset, head.methodLength)
        target = text(head.targetOffset, head.targetLength)
        path = head.pathLength == 0 ? [] : text(head.pathOffset, head.pathLength)
        hasQuery = head.hasQuery
        query = head.hasQuery ? text(head.queryOffset, head.queryLength) : []
        host = head.hostLength == 0 ? [] : text(head.hostOffset, head.hostLength)
        (isAsterisk, isAbsoluteForm, hostProblem) = (head.isAsterisk, head.isAbsoluteForm, head.hostProblem)
        (versionMinor, framing) = (head.versionMinor, head.framing)
        flags = [
            head.keepAlive, head.expectContinue, head.hasUpgrade, head.connectionSaysUpgrade, head.acceptsTrailers, head.connectionNamesProtected,
            head.duplicateAuthorization,
        ]
        for index in 0..<head.fieldCount {
            let field = head.fields[index]
            fields.append(
                Field(
                    name: text(Int(field.nameOffset), Int(field.nameLength)), value: text(Int(field.valueOffset), Int(field.valueLength)),
                    known: field.name, marks: field.marks))
        }
        for index in 0..<head.connectionNameCount {
            connectionNames.append(text(Int(head.connectionNames[index].offset), Int(head.connectionNames[index].length)))
        }
        for name in FieldName.allCases where name != .other {
            check(head.first(name) == fields.firstIndex { $0.known == name } ?? -1, "the index of \(name.spelling) is not that of the first")
        }
    }

    /// What holds of every head that is taken.
    func checkRules() {
        for field in fields {
            check(!field.name.isEmpty, "a field without a name")
            check(!field.name.contains { $0 <= 0x20 || $0 >= 0x7F || $0 == 0x3A }, "a field name with \(show(field.name))")
            check(!field.value.contains { $0 == 0 || $0 == 10 || $0 == 13 }, "a field value with \(show(field.value))")
            check(field.value.first != 0x20 && field.value.first != 9 && field.value.last != 0x20 && field.value.last != 9, "a value with blanks around it")
            let isUnderscored = field.known == .other && field.name.contains(0x5F)
            check((field.marks & HTTPField.underscore != 0) == isUnderscored, "the mark for an underscore is wrong at \(show(field.name))")
        }
        check(!target.contains { $0 <= 0x20 || $0 >= 0x7F }, "a target with \(show(target))")
        if method != .connect && !isAsterisk { check(path.isEmpty ? isAbsoluteForm : path[0] == 0x2F, "a path that begins with no slash: \(show(path))") }
        let lengths = fields.filter { $0.known == .contentLength }.count, codings = fields.filter { $0.known == .transferEncoding }.count
        switch framing {
        case .none: check(lengths == 0 && codings == 0 || method == .connect, "a framing field and no framing")
        case .contentLength(let length):
            check(lengths == 1 && codings == 0, "a content length beside another framing")
            check(length < 1 << 63, "a content length above 2^63")
        case .chunked: check(lengths == 0 && codings == 1 && versionMinor == 1, "chunked beside another framing")
        case .untilClose: fail("a request whose body ends with the connection")
        }
        check(!(versionMinor == 0 && flags[1]), "100-continue from an HTTP/1.0 client")
    }

    /// The same request in the plainest form.
    var written: [UInt8] {
        var out = methodText + [0x20] + target + Array(" HTTP/1.\(versionMinor)\r\n".utf8)
        for field in fields { out += field.name + [0x3A, 0x20] + field.value + [13, 10] }
        return out + [13, 10]
    }
}

nonisolated(unsafe) private let head = RequestHead()

private func read(_ bytes: UnsafeRawBufferPointer, _ limits: HeadLimits) -> (HeadProgress, Reading?) {
    var parser = RequestParser()
    let progress = parser.parse(bytes, limits: limits, into: head)
    guard case .complete(let end) = progress else { return (progress, nil) }
    check(!parser.hasBegun, "a parser that is not ready for the next head")
    return (progress, Reading(head, bytes, end))
}

private func readCut(_ bytes: UnsafeRawBufferPointer, _ cuts: [Int], _ limits: HeadLimits) -> (HeadProgress, Reading?) {
    var parser = RequestParser()
    for cut in cuts {
        let (progress, reading) = withCopy(part(bytes, 0..<cut)) { piece -> (HeadProgress, Reading?) in
            let progress = parser.parse(piece, limits: limits, into: head)
            if case .complete(let end) = progress { return (progress, Reading(head, piece, end)) }
            return (progress, nil)
        }
        if progress != .needMore { return (progress, reading) }
    }
    return (.needMore, nil)
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let all = UnsafeRawBufferPointer(start: data, count: size)
    var dice = Dice(all)
    var limits = HeadLimits()
    if dice.below(4) == 0 {
        limits.headBytesMax = dice.below(300)
        limits.targetBytesMax = dice.below(60)
        limits.fieldsMax = dice.below(6)
    }
    // Heads that follow each other, as on one connection whose requests have no bodies.
    var from = 0
    for _ in 0..<8 {
        let bytes = part(all, from..<size)
        let (progress, reading) = read(bytes, limits)
        let cut = readCut(bytes, dice.cuts(bytes.count), limits)
        check(cut.0 == progress && cut.1 == reading, "cut: \(cut), whole: \(progress), \(String(describing: reading))")
        switch progress {
        case .needMore: return 0
        case .refused(let refusal):
            check(refusal.offset >= 0 && refusal.offset < bytes.count, "a refusal outside the bytes: \(refusal)")
            check(withCopy(part(bytes, 0..<refusal.offset)) { read($0, limits).0 } == .needMore, "refused, but not by its last byte: \(refusal)")
            check(withCopy(part(bytes, 0..<refusal.offset + 1)) { read($0, limits).0 } == progress, "refused later than it says: \(refusal)")
            return 0
        case .complete(let end):
            check(end > 0 && end <= bytes.count, "an end outside the bytes")
            check(withCopy(part(bytes, 0..<end)) { read($0, limits).0 } == progress, "complete, but not without the bytes behind it")
            check(withCopy(part(bytes, 0..<end - 1)) { read($0, limits).0 } == .needMore, "complete before its last byte")
            guard let reading else { return 0 }
            reading.checkRules()
            let text = reading.written
            let (again, second) = withCopy(text) { read($0, HeadLimits()) }
            var expected = reading
            expected.end = text.count
            check(again == .complete(text.count) && second == expected, "written again: \(show(text)) is \(again), \(String(describing: second)), was \(reading)")
            from += end
        }
    }
    return 0
}
