import CScan

/// Incremental request-head parser; a small value kept per connection while a head is incomplete.
/// Feed it the bytes of the head from its first byte on, contiguous; when more has come, feed the longer span again
/// (what was looked at is not looked at again). The verdict does not depend on how the bytes were cut, and is given as soon as
/// the bytes so far cannot begin a right message.
///
/// The head's table is shared by all connections of a worker, so nothing in it is relied upon between two calls: a head that came in
/// pieces is judged piece by piece and, once whole, read a second time in one go to fill the table. A head that came at once is read once.
///
/// Empty lines before the request line are skipped (RFC 9112 §2.2) and belong to the head's bytes. After `.complete` the parser is
/// ready for the next head.
public struct RequestParser {
    enum Phase: UInt8 { case start, method, target, version, fields }

    var phase = Phase.start
    /// True exactly when a call before this one has moved the state on.
    var isResumed = false
    var method = HTTPMethod.other
    var versionMinor: UInt8 = 1
    var hasBadExpectation = false
    var expectsContinue = false
    /// The next byte to look at, before the fields.
    var position = 0
    var methodStart = 0
    var targetStart = 0
    /// Offset of the first "?" in the target, or -1.
    var queryMark = -1
    var lines = FieldLines()
    var facts = MessageFacts()

    public init() {}

    /// A byte of a request line has been seen (empty lines before it do not count). While false, the connection is idle.
    public var hasBegun: Bool { phase != .start }

    #if !DEBUG
    @_noLocks @_noAllocation
    #endif
    public mutating func parse(_ bytes: UnsafeRawBufferPointer, limits: HeadLimits, into head: RequestHead) -> HeadProgress {
        guard let base = bytes.baseAddress else { return .needMore }
        let start = base.assumingMemoryBound(to: UInt8.self)
        // Offsets are kept in 32 bits.
        let headBytesMax = max(0, min(limits.headBytesMax, 1 << 30))
        let end = min(bytes.count, headBytesMax)
        var progress = read(start, end, headBytesMax, bytes.count, limits, head)
        if case .complete = progress {
            let wasResumed = isResumed
            self = RequestParser()
            if wasResumed {
                progress = read(start, end, headBytesMax, bytes.count, limits, head)
                self = RequestParser()
            }
        }
        return progress
    }

    /// One run over what is there: `end` bytes may be looked at, `count` have come.
    private mutating func read(
        _ bytes: UnsafePointer<UInt8>, _ end: Int, _ headBytesMax: Int, _ count: Int, _ limits: HeadLimits, _ head: RequestHead
    ) -> HeadProgress {
        if phase != .fields {
            if let fault = readRequestLine(bytes, end, limits, head) { return refuse(fault.0, fault.1) }
            if phase != .fields {
                if count > headBytesMax { return refuse(phase == .target ? .targetTooLong : .headTooLarge, headBytesMax) }
                isResumed = true
                return .needMore
            }
        }
        let fields = head.fields, first = head.firstIndex, table = head.names
        let fieldsMax = max(0, min(limits.fieldsMax, RequestHead.fieldsCapacity))
        UnsafeMutableRawPointer(first).initializeMemory(as: UInt8.self, repeating: 0xFF, count: firstIndexCapacity)
        var lines = self.lines
        var duplicateCredential = false
        while true {
            switch lines.next(bytes, end, fieldsMax) {
            case .field:
                let nameLength = lines.nameEnd &- lines.nameStart
                let valueLength = lines.valueEnd &- lines.valueStart
                let name = table.find(bytes + lines.nameStart, nameLength)
                var field = HTTPField()
                field.nameOffset = UInt32(truncatingIfNeeded: lines.nameStart)
                field.nameLength = UInt16(truncatingIfNeeded: nameLength)
                field.valueOffset = UInt32(truncatingIfNeeded: lines.valueStart)
                field.valueLength = UInt32(truncatingIfNeeded: valueLength)
                field.name = name
                if name == .other {
                    if cscan_http_contains(bytes, lines.nameStart, lines.nameEnd, end, 0x5F) != 0 { field.marks = HTTPField.underscore }
                } else {
                    let value = bytes + lines.valueStart
                    var fault: MessageFault?
                    switch name {
                    case .contentLength: fault = facts.onContentLength(value, valueLength)
                    case .transferEncoding: fault = facts.onTransferEncoding(value, valueLength, versionMinor: versionMinor)
                    case .connection: fault = facts.onConnection(bytes, lines.valueStart, lines.valueEnd, table, head.connectionNames)
                    case .expect: onExpect(value, valueLength)
                    case .authorization, .xApiKey, .apiKey, .xGoogApiKey, .proxyAuthorization:
                        if first[Int(name.rawValue)] >= 0 { duplicateCredential = true }
                    default: break
                    }
                    // The line feed told.
                    if let fault { return refuse(fault, lines.position &- 1) }
                    if first[Int(name.rawValue)] < 0 { first[Int(name.rawValue)] = Int8(truncatingIfNeeded: lines.count) }
                }
                fields[lines.count] = field
                lines.count &+= 1
            case .end:
                if facts.hasUnsupportedCoding { return refuse(.transferEncodingUnsupported, lines.position &- 1) }
                if hasBadExpectation { return refuse(.expectation, lines.position &- 1) }
                head.duplicateAuthorization = duplicateCredential
                finish(bytes, lines.count, head)
                return .complete(lines.position)
            case .needMore:
                if count > headBytesMax { return refuse(.headTooLarge, headBytesMax) }
                self.lines = lines
                isResumed = true
                return .needMore
            case .refused:
                return refuse(lines.fault, lines.position)
            }
        }
    }

    private func refuse(_ fault: MessageFault, _ offset: Int) -> HeadProgress {
        .refused(HTTPRefusal(status: fault.status, reason: fault.reason, offset: offset))
    }

    /// Expect (RFC 9110 §10.1.1): 100-continue is all there is. An HTTP/1.0 client can't mean it.
    @inline(never)
    private mutating func onExpect(_ value: UnsafePointer<UInt8>, _ count: Int) {
        guard versionMinor > 0 else { return }
        if equalsFolded(value, count, "100-continue") { expectsContinue = true } else { hasBadExpectation = true }
    }

    /// Reads on in the request line as far as bytes go; the line is whole when the phase is `.fields`. Otherwise bytes ran out, or a
    /// fault and the offset of the byte that decided are returned.
    @inline(__always)
    private mutating func readRequestLine(
        _ bytes: UnsafePointer<UInt8>, _ end: Int, _ limits: HeadLimits, _ head: RequestHead
    ) -> (MessageFault, Int)? {
        var at = position
        if phase == .start {
            while at < end && (bytes[at] == byteCR || bytes[at] == byteLF) {
                if bytes[at] == byteLF { return (.bareLF, at) }
                guard at &+ 1 < end else { position = at; return nil }
                guard bytes[at &+ 1] == byteLF else { return (.bareCR, at &+ 1) }
                at &+= 2
            }
            position = at
            guard at < end else { return nil }
            methodStart = at
            phase = .method
        }
        if phase == .method {
            at = cscan_http_token_end(bytes, at, end)
            position = at
            guard at < end else { return nil }
            guard bytes[at] == byteSP else {
                switch bytes[at] {
                case byteCR: return (.requestLine, at)
                case byteLF: return (.bareLF, at)
                default: return (.method, at)
                }
            }
            guard at > methodStart else { return (.method, at) }
            method = Self.method(bytes + methodStart, at &- methodStart)
            at &+= 1
            targetStart = at
            position = at
            phase = .target
        }
        if phase == .target {
            if let fault = readTarget(bytes, end, max(0, limits.targetBytesMax)) { return fault }
            guard position < end, bytes[position] == byteSP else { return nil }
            let targetEnd = position
            if let fault = acceptTarget(bytes, targetEnd, head) { return (fault, targetEnd) }
            at = targetEnd &+ 1
            position = at
            phase = .version
        }
        let outcome = HTTPVersion.read(bytes, at, end)
        switch outcome.step {
        case .whole: break
        case .needMore: return nil
        case .refused: return (outcome.fault, outcome.offset)
        }
        at = outcome.offset
        guard at < end else { return nil }
        guard bytes[at] == byteCR else { return (bytes[at] == byteLF ? .bareLF : .version, at) }
        guard at &+ 1 < end else { return nil }
        guard bytes[at &+ 1] == byteLF else { return (.bareCR, at &+ 1) }
        versionMinor = outcome.minor
        position = at &+ 2
        lines.position = at &+ 2
        phase = .fields
        return nil
    }

    /// Scans the target up to the byte behind it. Leaves `position` at the space behind it, or at `end`, or at a byte to look at again.
    @inline(__always)
    private mutating func readTarget(_ bytes: UnsafePointer<UInt8>, _ end: Int, _ targetBytesMax: Int) -> (MessageFault, Int)? {
        let last = targetBytesMax < end &- targetStart ? targetStart &+ targetBytesMax : end
        while true {
            let at = cscan_http_target_end(bytes, position, last)
            position = at
            guard at < last else {
                // At the limit only the space may come.
                return at < end && bytes[at] != byteSP ? (.targetTooLong, at) : nil
            }
            switch bytes[at] {
            case byteSP:
                return nil
            case 0x3F:
                if queryMark < 0 { queryMark = at }
                position = at &+ 1
            case 0x25:
                for next in at &+ 1...at &+ 2 {
                    guard next < last else { return next < end ? (.targetTooLong, next) : nil }
                    guard hexValue(bytes[next]) < 16 else { return (.badEscape, next) }
                }
                position = at &+ 3
            case 0x5B, 0x5D:
                // Brackets stand around an IPv6 address only, which only absolute-form and CONNECT have; `acceptTarget` looks closer.
                guard bytes[targetStart] != 0x2F, queryMark < 0 else { return (.target, at) }
                position = at &+ 1
            case 0x23: return (.fragment, at)
            case byteCR: return (.requestLine, at)
            case byteLF: return (.bareLF, at)
            default: return (.target, at)
            }
        }
    }

    /// Decides the form of the whole target (RFC 9112 §3.2) and notes its parts in the head.
    @inline(__always)
    private func acceptTarget(_ bytes: UnsafePointer<UInt8>, _ end: Int, _ head: RequestHead) -> MessageFault? {
        let start = targetStart
        guard start < end else { return .requestLine }
        head.targetOffset = start
        head.targetLength = end &- start
        head.isAsterisk = false
        head.isAbsoluteForm = false
        head.hostLength = 0
        head.hasQuery = queryMark >= 0
        let pathEnd = queryMark >= 0 ? queryMark : end
        head.queryOffset = queryMark >= 0 ? queryMark &+ 1 : end
        head.queryLength = end &- head.queryOffset
        if bytes[start] == 0x2F && method != .connect {
            head.pathOffset = start
            head.pathLength = pathEnd &- start
            return nil
        }
        return acceptOtherForm(bytes, end, pathEnd, head)
    }

    @inline(never)
    private func acceptOtherForm(_ bytes: UnsafePointer<UInt8>, _ end: Int, _ pathEnd: Int, _ head: RequestHead) -> MessageFault? {
        let start = targetStart
        head.pathOffset = pathEnd
        head.pathLength = 0
        if method == .connect {
            guard queryMark < 0, Authority.read(bytes, start, end).isWholeWithPort else { return .authority }
            head.hostOffset = start
            head.hostLength = end - start
            return nil
        }
        if end - start == 1 && bytes[start] == 0x2A {
            guard method == .options else { return .asterisk }
            head.isAsterisk = true
            return nil
        }
        let authority: Int
        if end - start >= 7 && beginsFolded(bytes + start, "http://") {
            authority = start + 7
        } else if end - start >= 8 && beginsFolded(bytes + start, "https://") {
            authority = start + 8
        } else {
            return .targetForm
        }
        var path = authority
        while path < pathEnd && bytes[path] != 0x2F {
            if bytes[path] == 0x40 { return .userinfo }
            path += 1
        }
        guard Authority.read(bytes, authority, path).isWhole else { return .authority }
        for at in path..<pathEnd where bytes[at] == 0x5B || bytes[at] == 0x5D { return .target }
        head.isAbsoluteForm = true
        head.hostOffset = authority
        head.hostLength = path - authority
        head.pathOffset = path
        head.pathLength = pathEnd - path
        return nil
    }

    /// Writes what the whole head tells.
    @inline(__always)
    private func finish(_ bytes: UnsafePointer<UInt8>, _ fieldCount: Int, _ head: RequestHead) {
        let fields = head.fields
        head.fieldCount = fieldCount
        head.method = method
        head.methodOffset = methodStart
        head.methodLength = targetStart &- 1 &- methodStart
        head.versionMinor = versionMinor
        head.framing = facts.isChunked ? .chunked : facts.hasContentLength ? .contentLength(facts.contentLength) : .none
        head.keepAlive = facts.keepsAlive(versionMinor: versionMinor)
        head.expectContinue = expectsContinue
        head.hasUpgrade = head.first(.upgrade) >= 0
        head.connectionSaysUpgrade = facts.saysUpgrade
        head.connectionNameCount = facts.connectionNameCount
        head.connectionNamesProtected = facts.connectionNamesProtected
        if method == .connect {
            // Never a tunnel: whatever follows is not read (RFC 9110 §9.3.6).
            head.framing = .none
            head.keepAlive = false
        }
        let te = head.first(.te)
        head.acceptsTrailers = te >= 0 && Self.listsTrailers(bytes, fields, fieldCount)
        if facts.connectionNameCount > 0 { facts.markNamed(bytes, fields, fieldCount, head.connectionNames) }
        judgeHost(bytes, fieldCount, head)
    }

    @inline(__always)
    private func judgeHost(_ bytes: UnsafePointer<UInt8>, _ fieldCount: Int, _ head: RequestHead) {
        let index = head.first(.host)
        guard index >= 0 else {
            head.hostProblem = versionMinor > 0 ? .missing : .none
            return
        }
        let fields = head.fields
        let offset = Int(fields[index].valueOffset), length = Int(fields[index].valueLength)
        if head.hostLength == 0 {
            head.hostOffset = offset
            head.hostLength = length
        }
        var problem = Authority.read(bytes, offset, offset &+ length).isWhole ? HostProblem.none : .invalid
        var other = index &+ 1
        while other < fieldCount {
            if fields[other].name == .host { problem = .duplicate }
            other &+= 1
        }
        head.hostProblem = problem
    }

    /// TE lists `trailers` (RFC 9110 §10.1.4), parameters aside.
    @inline(never)
    private static func listsTrailers(_ bytes: UnsafePointer<UInt8>, _ fields: UnsafeMutablePointer<HTTPField>, _ count: Int) -> Bool {
        for index in 0..<count where fields[index].name == .te {
            var at = Int(fields[index].valueOffset)
            let end = at + Int(fields[index].valueLength)
            while at < end {
                let token = cscan_http_token_end(bytes, at, end)
                if equalsFolded(bytes + at, token - at, "trailers") { return true }
                at = token
                while at < end && bytes[at] != 0x2C { at += 1 }
                while at < end && (bytes[at] == 0x2C || isBlank(bytes[at])) { at += 1 }
            }
        }
        return false
    }

    @inline(__always)
    private static func method(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> HTTPMethod {
        let raw = UnsafeRawPointer(bytes)
        switch count {
        case 3:
            if bytes[0] == 0x47 && bytes[1] == 0x45 && bytes[2] == 0x54 { return .get }
            if bytes[0] == 0x50 && bytes[1] == 0x55 && bytes[2] == 0x54 { return .put }
        case 4:
            let word = UInt32(littleEndian: raw.loadUnaligned(as: UInt32.self))
            if word == 0x5453_4F50 { return .post }
            if word == 0x4441_4548 { return .head }
        case 5...7:
            return longMethod(bytes, count)
        default: break
        }
        return .other
    }

    @inline(never)
    private static func longMethod(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> HTTPMethod {
        func isWord(_ word: StaticString) -> Bool {
            guard word.utf8CodeUnitCount == count else { return false }
            for index in 0..<count where bytes[index] != word.utf8Start[index] { return false }
            return true
        }
        if isWord("PATCH") { return .patch }
        if isWord("TRACE") { return .trace }
        if isWord("DELETE") { return .delete }
        if isWord("OPTIONS") { return .options }
        if isWord("CONNECT") { return .connect }
        return .other
    }
}

/// Reads `HTTP/1.x` (RFC 9112 §2.3).
enum HTTPVersion {
    enum Step: UInt8 { case whole, needMore, refused }

    struct Outcome {
        var step: Step
        var minor: UInt8 = 1
        /// Behind the version, or the byte that decided.
        var offset: Int
        var fault = MessageFault.version
    }

    @inline(__always)
    static func read(_ bytes: UnsafePointer<UInt8>, _ from: Int, _ end: Int) -> Outcome {
        if end &- from >= 8 {
            let word = UInt64(littleEndian: UnsafeRawPointer(bytes + from).loadUnaligned(as: UInt64.self))
            // "HTTP/1.1", read from its last byte.
            if word == 0x312E_312F_5054_5448 { return Outcome(step: .whole, minor: 1, offset: from &+ 8) }
        }
        return readSlowly(bytes, from, end)
    }

    @inline(never)
    private static func readSlowly(_ bytes: UnsafePointer<UInt8>, _ from: Int, _ end: Int) -> Outcome {
        let pattern: StaticString = "HTTP/1."
        for index in 0..<7 {
            let at = from + index
            guard at < end else { return Outcome(step: .needMore, offset: at) }
            if bytes[at] == pattern.utf8Start[index] { continue }
            return Outcome(step: .refused, offset: at, fault: index == 5 && isDigit(bytes[at]) ? .majorVersion : bytes[at] == byteLF ? .bareLF : .version)
        }
        guard from + 7 < end else { return Outcome(step: .needMore, offset: from + 7) }
        guard isDigit(bytes[from + 7]) else { return Outcome(step: .refused, offset: from + 7) }
        return Outcome(step: .whole, minor: bytes[from + 7] == 48 ? 0 : 1, offset: from + 8)
    }
}
