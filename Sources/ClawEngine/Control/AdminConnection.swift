// A connection to the admin listener, without its socket: bytes go in, requests come out, answers go in, bytes to send come out. One request at a time;
// what a client sends ahead of its turn stays in `input`, for which the loop stops receiving while an answer is on its way.
import ClawWire

final class AdminConnection {
    enum Phase {
        /// Between requests or within a head.
        case head
        /// The head is judged; its body is coming.
        case body(AdminRequest)
        /// A reload runs for it.
        case reloading
        /// Its answer is being sent.
        case answering
        /// Our side has ended; the peer's end is waited for.
        case lingering
    }
    enum Step {
        case needMore
        case request(AdminRequest)
        /// An answer before the request is whole; the connection ends with it.
        case refused(AdminAnswer)
    }

    static let bodyBytesMax = 1 << 20
    private static let limits = HeadLimits()

    let fd: Int32
    let token: UInt64
    var phase = Phase.head
    /// When the phase began, and when it must have ended.
    var since: UInt64 = 0
    var deadline: UInt64 = 0
    /// What the present deadline is for while a request comes; nil: for something else.
    enum Part { case nothing, head, body }
    var awaited: Part?
    var peerEnded = false
    var isReceiving = false
    private(set) var isHead = false
    private(set) var closesAfter = false
    /// The client waits for leave to send its body (Expect: 100-continue).
    private(set) var wantsContinue = false

    private var input: [UInt8] = []
    private var parser = RequestParser()
    private var bodyLeft = 0
    private var chunks: ChunkedReader?

    private(set) var output: [UInt8] = []
    private(set) var sent = 0
    var unsent: Int { output.count - sent }

    init(fd: Int32, token: UInt64) {
        self.fd = fd
        self.token = token
    }

    var isIdle: Bool { if case .head = phase { input.isEmpty } else { false } }
    var part: Part { if case .head = phase { input.isEmpty ? .nothing : .head } else { .body } }

    // MARK: in

    /// False when more came than any request can need.
    func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if case .lingering = phase { return true }
        input.append(contentsOf: bytes)
        return input.count <= Self.bodyBytesMax + 4 * Self.limits.headBytesMax
    }

    /// The next thing the input says. `judge` refuses a request by its head alone, before a body is taken.
    func next(_ head: RequestHead, judge: (AdminRequest) -> AdminAnswer?) -> Step {
        if case .head = phase {
            let outcome: (HeadProgress, AdminRequest) = input.withUnsafeBytes { bytes in
                let progress = parser.parse(bytes, limits: Self.limits, into: head)
                if case .complete = progress { return (progress, AdminRequest(head, bytes)) }
                return (progress, AdminRequest())
            }
            switch outcome.0 {
            case .needMore: return .needMore
            case .refused(let refusal):
                giveUp()
                return .refused(.error(Int(refusal.status), "bad_request", "not a request this server takes: \(refusal.reason)"))
            case .complete(let length):
                input.removeFirst(length)
                if let refusal = open(outcome.1, head, judge) { return .refused(refusal) }
            }
        }
        guard case .body(var request) = phase else { return .needMore }
        let isWhole = takeBody(&request)
        guard let isWhole else {
            closesAfter = true
            return .refused(.error(400, "bad_request", "the body's chunks are malformed or more than \(Self.bodyBytesMax) bytes"))
        }
        phase = .body(request)
        return isWhole ? .request(request) : .needMore
    }

    private func open(_ request: AdminRequest, _ head: RequestHead, _ judge: (AdminRequest) -> AdminAnswer?) -> AdminAnswer? {
        isHead = head.method == .head
        closesAfter = !head.keepAlive
        chunks = nil
        bodyLeft = 0
        wantsContinue = false
        switch head.framing {
        case .none, .untilClose: break
        case .contentLength(let length):
            guard length <= UInt64(Self.bodyBytesMax) else {
                closesAfter = true
                return .error(413, "body_too_large", "the body has \(length) bytes, at most \(Self.bodyBytesMax) are taken")
            }
            bodyLeft = Int(length)
        case .chunked: chunks = ChunkedReader()
        }
        if let refusal = judge(request) {
            // Its body, if any, is not read: what follows can't be told from a new request.
            if bodyLeft > 0 || chunks != nil { closesAfter = true }
            return refusal
        }
        wantsContinue = head.expectContinue && input.isEmpty && (bodyLeft > 0 || chunks != nil)
        phase = .body(request)
        return nil
    }

    /// Moves body bytes from the input into the request: true when the body is whole, nil when it can't be.
    private func takeBody(_ request: inout AdminRequest) -> Bool? {
        guard chunks != nil else {
            let count = min(bodyLeft, input.count)
            request.body.append(contentsOf: input.prefix(count))
            input.removeFirst(count)
            bodyLeft -= count
            return bodyLeft == 0
        }
        var at = 0
        while true {
            let step = input.withUnsafeBytes { chunks?.next($0, from: at) } ?? .needMore
            switch step {
            case .needMore:
                input.removeAll(keepingCapacity: true)
                return false
            case .data(let range):
                guard request.body.count + range.count <= Self.bodyBytesMax else { return nil }
                request.body.append(contentsOf: input[range])
                at = range.upperBound
            case .end(let end):
                input.removeFirst(end)
                return true
            case .refused: return nil
            }
        }
    }

    // MARK: out

    func closeAfterAnswer() { closesAfter = true }

    /// The request will not become whole: one answer, and the end.
    func giveUp() {
        closesAfter = true
        if case .head = phase { isHead = false }
    }

    /// Bytes to send ahead of the answer.
    func continueBody() {
        wantsContinue = false
        output.append(contentsOf: "HTTP/1.1 100 Continue\r\n\r\n".utf8)
    }

    func put(_ answer: AdminAnswer) {
        output.append(contentsOf: answer.bytes(isHead: isHead, closes: closesAfter))
        phase = .answering
    }

    func didSend(_ count: Int) {
        sent += count
        if sent == output.count {
            output = []
            sent = 0
        }
    }
}
