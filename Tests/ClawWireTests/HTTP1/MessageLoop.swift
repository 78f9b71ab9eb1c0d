import ClawWire

/// Drives the parsers over a byte stream as a server or client would, given in pieces. What it reports must not depend on the cuts.
struct RequestLoop {
    struct Message: Equatable {
        var method: String
        var target: String
        var version: String
        var framing: String
        var body: [UInt8]
        var trailers: [UInt8]
        var then: String
        var hostProblem: HostProblem
        var knownMethod: HTTPMethod
        var path: String
        var query: String?
        var host: String
        var fieldNames: [String]
    }

    enum End: Equatable {
        case accept
        case incomplete
        case reject(HTTPRefusal)
    }

    var messages: [Message] = []
    var end = End.accept
    /// A head was accepted whose body is not whole or was refused.
    var inBody = false
    var ignoredBytes = 0
    var limits = HeadLimits()
    private var head = RequestHead()

    /// Cuts are ascending offsets into the stream; a piece ends at each.
    static func run(_ stream: [UInt8], cuts: some Sequence<Int>, limits: HeadLimits = HeadLimits()) -> RequestLoop {
        var loop = RequestLoop()
        loop.limits = limits
        loop.run(stream, Array(cuts) + [stream.count])
        return loop
    }

    private enum State { case head, length(UInt64), chunked(ChunkedReader), closed }

    private mutating func run(_ stream: [UInt8], _ ends: [Int]) {
        var start = 0
        var state = State.head
        var parser = RequestParser()
        var open: Message?
        var consumed = 0
        for end in ends {
            // Memory of exactly the size that has come, so that the address sanitizer sees a byte too far.
            let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, end - start), alignment: 1)
            defer { piece.deallocate() }
            for index in start..<end { piece[index - start] = stream[index] }
            var offset = consumed - start
            let count = end - start
            pieces: while true {
                switch state {
                case .closed:
                    ignoredBytes += count - offset
                    offset = count
                    break pieces
                case .head:
                    let input = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(piece)[offset..<count])
                    // Every other connection of the worker uses the same table.
                    for index in 0..<RequestHead.fieldsCapacity { head.fields[index] = HTTPField() }
                    switch parser.parse(input, limits: limits, into: head) {
                    case .needMore:
                        self.end = parser.hasBegun ? .incomplete : .accept
                        break pieces
                    case .refused(let refusal):
                        var absolute = refusal
                        absolute.offset += start + offset
                        self.end = .reject(absolute)
                        return
                    case .complete(let length):
                        var message = describe(input)
                        message.then = head.keepAlive ? "keep-alive" : "close"
                        offset += length
                        switch head.framing {
                        case .none:
                            messages.append(message)
                            state = head.keepAlive ? .head : .closed
                        case .contentLength(let length):
                            open = message
                            state = .length(length)
                        case .chunked:
                            open = message
                            state = .chunked(ChunkedReader(keepTrailers: true))
                        case .untilClose:
                            fatalError("a request never runs to the close")
                        }
                        self.end = .accept
                    }
                case .length(let left):
                    let taken = min(left, UInt64(count - offset))
                    open!.body += piece[offset..<offset + Int(taken)]
                    offset += Int(taken)
                    if taken == left {
                        messages.append(open!)
                        state = open!.then == "close" ? .closed : .head
                        open = nil
                        inBody = false
                        self.end = .accept
                    } else {
                        state = .length(left - taken)
                        inBody = true
                        self.end = .incomplete
                        break pieces
                    }
                case .chunked(var reader):
                    let step = reader.next(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(piece)[0..<count]), from: offset)
                    inBody = true
                    switch step {
                    case .needMore:
                        offset = count
                        state = .chunked(reader)
                        self.end = .incomplete
                        break pieces
                    case .data(let range):
                        open!.body += piece[range]
                        offset = range.upperBound
                        state = .chunked(reader)
                    case .end(let behind):
                        offset = behind
                        open!.trailers = reader.trailers
                        messages.append(open!)
                        state = open!.then == "close" ? .closed : .head
                        open = nil
                        inBody = false
                        self.end = .accept
                    case .refused(let refusal):
                        var absolute = refusal
                        absolute.offset += start
                        self.end = .reject(absolute)
                        return
                    }
                }
            }
            consumed = start + offset
            // A head that is not whole stays in the buffer; everything else has been used.
            start = consumed
        }
    }

    private func describe(_ input: UnsafeRawBufferPointer) -> Message {
        func text(_ offset: Int, _ length: Int) -> String { String(decoding: input[offset..<offset + length], as: UTF8.self) }
        return Message(
            method: text(head.methodOffset, head.methodLength), target: text(head.targetOffset, head.targetLength),
            version: "1.\(head.versionMinor)", framing: framingName(head.framing), body: [], trailers: [], then: "",
            hostProblem: head.hostProblem, knownMethod: head.method, path: text(head.pathOffset, head.pathLength),
            query: head.hasQuery ? text(head.queryOffset, head.queryLength) : nil, host: text(head.hostOffset, head.hostLength),
            fieldNames: (0..<head.fieldCount).map { text(Int(head.fields[$0].nameOffset), Int(head.fields[$0].nameLength)) }
        )
    }
}

func framingName(_ framing: BodyFraming) -> String {
    switch framing {
    case .none: "none"
    case .contentLength: "content-length"
    case .chunked: "chunked"
    case .untilClose: "until-close"
    }
}

/// One response to one request, the peer closes after the last byte.
struct ResponseLoop: Equatable {
    enum End: Equatable {
        case accept
        case incomplete
        case reject(HTTPRefusal)
    }

    var interim: [Int] = []
    var status = 0
    var framing = ""
    var body: [UInt8] = []
    var surplusBytes = 0
    var reuse = false
    var end = End.incomplete
    var isEventStream = false
    var isJSON = false
    var fieldCount = 0

    private enum State { case head, length(UInt64), chunked(ChunkedReader), untilClose, done }

    static func run(_ stream: [UInt8], method: HTTPMethod, cuts: some Sequence<Int>, limits: HeadLimits = HeadLimits()) -> ResponseLoop {
        var loop = ResponseLoop()
        let head = ResponseHead()
        var parser = ResponseParser()
        var state = State.head
        var start = 0
        for end in Array(cuts) + [stream.count] {
            let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, end - start), alignment: 1)
            defer { piece.deallocate() }
            for index in start..<end { piece[index - start] = stream[index] }
            let count = end - start
            var offset = 0
            pieces: while true {
                switch state {
                case .head:
                    let input = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(piece)[offset..<count])
                    for index in 0..<RequestHead.fieldsCapacity { head.fields[index] = HTTPField() }
                    switch parser.parse(input, requestMethod: method, limits: limits, into: head) {
                    case .needMore: break pieces
                    case .refused(let refusal):
                        loop.end = .reject(HTTPRefusal(status: refusal.status, reason: refusal.reason, offset: refusal.offset + start + offset))
                        return loop
                    case .complete(let length):
                        offset += length
                        if head.status < 200 { loop.interim.append(head.status); continue }
                        loop.status = head.status
                        loop.reuse = head.keepAlive
                        loop.framing = framingName(head.framing)
                        loop.isEventStream = head.isEventStream
                        loop.isJSON = head.isJSON
                        loop.fieldCount = head.fieldCount
                        switch head.framing {
                        case .none: state = .done
                        case .contentLength(let length): state = .length(length)
                        case .chunked: state = .chunked(ChunkedReader())
                        case .untilClose: state = .untilClose
                        }
                    }
                case .length(let left):
                    let taken = min(left, UInt64(count - offset))
                    loop.body += piece[offset..<offset + Int(taken)]
                    offset += Int(taken)
                    state = taken == left ? .done : .length(left - taken)
                    if taken < left { break pieces }
                case .chunked(var reader):
                    switch reader.next(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(piece)[0..<count]), from: offset) {
                    case .needMore: offset = count; state = .chunked(reader); break pieces
                    case .data(let range): loop.body += piece[range]; offset = range.upperBound; state = .chunked(reader)
                    case .end(let behind): offset = behind; state = .done
                    case .refused(let refusal):
                        loop.end = .reject(HTTPRefusal(status: 502, reason: refusal.reason, offset: refusal.offset + start))
                        return loop
                    }
                case .untilClose:
                    loop.body += piece[offset..<count]
                    offset = count
                    break pieces
                case .done:
                    loop.surplusBytes += count - offset
                    offset = count
                    break pieces
                }
            }
            start += offset
        }
        switch state {
        case .done, .untilClose: loop.end = .accept
        default: loop.end = .incomplete
        }
        if loop.surplusBytes > 0 { loop.reuse = false }
        return loop
    }
}
