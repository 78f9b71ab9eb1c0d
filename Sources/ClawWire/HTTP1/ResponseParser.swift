import CScan

/// As RequestParser. `requestMethod` decides bodies of answers to HEAD (RFC 9112 §6.3). 1xx heads are reported like any head with
/// framing `.none`; the caller loops. 101 is refused unless the request asked to switch (`takesSwitch`); what follows its head is the other protocol's.
///
/// Stricter than the RFC asks of a client: no empty line before the status line, no transfer coding but chunked (we never send TE),
/// no Content-Length beside it, no status outside 100 … 599. Every refusal is a 502 towards the client.
public struct ResponseParser {
    enum Phase: UInt8 { case version, code, reason, fields }

    var phase = Phase.version
    /// True exactly when a call before this one has moved the state on.
    var isResumed = false
    var versionMinor: UInt8 = 1
    var status = 0
    /// The next byte to look at, before the fields.
    var position = 0
    var reasonStart = 0
    var reasonEnd = 0
    var lines = FieldLines()
    var facts = MessageFacts()
    /// The request asked for another protocol: a 101 is an answer to it.
    let takesSwitch: Bool

    public init(takesSwitch: Bool = false) { self.takesSwitch = takesSwitch }

    #if !DEBUG
    @_noLocks @_noAllocation
    #endif
    public mutating func parse(
        _ bytes: UnsafeRawBufferPointer, requestMethod: HTTPMethod, limits: HeadLimits, into head: ResponseHead
    ) -> HeadProgress {
        guard let base = bytes.baseAddress else { return .needMore }
        let start = base.assumingMemoryBound(to: UInt8.self)
        let headBytesMax = max(0, min(limits.headBytesMax, 1 << 30))
        let end = min(bytes.count, headBytesMax)
        var progress = read(start, end, headBytesMax, bytes.count, requestMethod, limits, head)
        if case .complete = progress {
            let wasResumed = isResumed
            self = ResponseParser(takesSwitch: takesSwitch)
            if wasResumed {
                progress = read(start, end, headBytesMax, bytes.count, requestMethod, limits, head)
                self = ResponseParser(takesSwitch: takesSwitch)
            }
        }
        return progress
    }

    private mutating func read(
        _ bytes: UnsafePointer<UInt8>, _ end: Int, _ headBytesMax: Int, _ count: Int, _ requestMethod: HTTPMethod,
        _ limits: HeadLimits, _ head: ResponseHead
    ) -> HeadProgress {
        if phase != .fields {
            if let fault = readStatusLine(bytes, end) { return refuse(fault.0, fault.1) }
            if phase != .fields {
                if count > headBytesMax { return refuse(.headTooLarge, headBytesMax) }
                isResumed = true
                return .needMore
            }
        }
        let fields = head.fields, first = head.firstIndex, table = head.names
        let fieldsMax = max(0, min(limits.fieldsMax, RequestHead.fieldsCapacity))
        UnsafeMutableRawPointer(first).initializeMemory(as: UInt8.self, repeating: 0xFF, count: firstIndexCapacity)
        var lines = self.lines
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
                    default: break
                    }
                    if let fault { return refuse(fault, lines.position &- 1) }
                    if first[Int(name.rawValue)] < 0 { first[Int(name.rawValue)] = Int8(truncatingIfNeeded: lines.count) }
                }
                fields[lines.count] = field
                lines.count &+= 1
            case .end:
                if facts.hasUnsupportedCoding { return refuse(.transferEncodingUnsupported, lines.position &- 1) }
                finish(bytes, lines.count, requestMethod, head)
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
        .refused(HTTPRefusal(status: 502, reason: fault.reason, offset: offset))
    }

    /// status-line = HTTP-version SP 3DIGIT [ SP reason-phrase ]; the second space may be missing with the phrase.
    @inline(__always)
    private mutating func readStatusLine(_ bytes: UnsafePointer<UInt8>, _ end: Int) -> (MessageFault, Int)? {
        if phase == .version {
            let outcome = HTTPVersion.read(bytes, 0, end)
            switch outcome.step {
            case .whole: break
            case .needMore: return nil
            case .refused:
                let isLineEnd = outcome.offset == 0 && bytes[0] == byteCR
                return (isLineEnd || outcome.fault == .version ? .statusLine : outcome.fault, outcome.offset)
            }
            versionMinor = outcome.minor
            phase = .code
        }
        if phase == .code {
            guard 8 < end else { return nil }
            guard bytes[8] == byteSP else { return (bytes[8] == byteLF ? .bareLF : .statusLine, 8) }
            var code = 0
            for at in 9..<12 {
                guard at < end else { return nil }
                guard isDigit(bytes[at]) else { return (.statusLine, at) }
                code = code &* 10 &+ Int(bytes[at] &- 48)
                if at == 9 && (code < 1 || code > 5) { return (.statusCode, at) }
            }
            if code == 101, !takesSwitch { return (.switchingProtocols, 11) }
            guard 12 < end else { return nil }
            guard bytes[12] == byteSP || bytes[12] == byteCR else { return (bytes[12] == byteLF ? .bareLF : .statusLine, 12) }
            status = code
            reasonStart = bytes[12] == byteSP ? 13 : 12
            position = reasonStart
            phase = .reason
        }
        let at = cscan_http_value_end(bytes, position, end)
        position = at
        guard at < end else { return nil }
        guard bytes[at] == byteCR else { return (bytes[at] == byteLF ? .bareLF : .controlByte, at) }
        guard at &+ 1 < end else { return nil }
        guard bytes[at &+ 1] == byteLF else { return (.bareCR, at &+ 1) }
        reasonEnd = at
        lines.position = at &+ 2
        phase = .fields
        return nil
    }

    /// Writes what the whole head tells.
    @inline(__always)
    private func finish(_ bytes: UnsafePointer<UInt8>, _ fieldCount: Int, _ requestMethod: HTTPMethod, _ head: ResponseHead) {
        head.fieldCount = fieldCount
        head.status = status
        head.versionMinor = versionMinor
        head.reasonOffset = reasonStart
        head.reasonLength = reasonEnd &- reasonStart
        var keepAlive = facts.keepsAlive(versionMinor: versionMinor)
        if status < 200 || status == 204 || status == 304 || requestMethod == .head {
            head.framing = .none
        } else if facts.isChunked {
            head.framing = .chunked
        } else if facts.hasContentLength {
            head.framing = .contentLength(facts.contentLength)
        } else {
            head.framing = .untilClose
            keepAlive = false
        }
        head.keepAlive = keepAlive
        head.connectionNameCount = facts.connectionNameCount
        if facts.connectionNameCount > 0 { facts.markNamed(bytes, head.fields, fieldCount, head.connectionNames) }
        classify(bytes, fieldCount, head)
    }

    @inline(__always)
    private func classify(_ bytes: UnsafePointer<UInt8>, _ fieldCount: Int, _ head: ResponseHead) {
        head.isEventStream = false
        head.isJSON = false
        head.isEncoded = false
        let type = head.first(.contentType)
        if type >= 0 {
            let value = bytes + Int(head.fields[type].valueOffset)
            let count = Int(head.fields[type].valueLength)
            var end = 0
            while end < count && value[end] != 0x3B && !isBlank(value[end]) { end &+= 1 }
            if end == 16 && equalsFolded(value, end, "application/json") {
                head.isJSON = true
            } else if end == 17 && equalsFolded(value, end, "text/event-stream") {
                head.isEventStream = true
            } else if end > 5 && equalsFolded(value + (end &- 5), 5, "+json") {
                head.isJSON = true
            }
        }
        if head.first(.contentEncoding) >= 0 {
            for index in 0..<fieldCount where head.fields[index].name == .contentEncoding {
                let value = bytes + Int(head.fields[index].valueOffset)
                let count = Int(head.fields[index].valueLength)
                if count > 0 && !equalsFolded(value, count, "identity") { head.isEncoded = true }
            }
        }
    }
}
