import ClawWire
import Glibc

/// What one upstream connection answered, or began to answer, to one request.
struct ServedAnswer {
    var status: Int
    /// The body as the client should see it.
    var body: String
    var isStream: Bool
}

/// One connection the worker opened: reads requests strictly, answers by chance well or badly, in pieces.
struct SeededUpstream {
    let fd: Int32
    let port: UInt16
    private(set) var input: [UInt8] = []
    private var toDeliver: [UInt8] = []
    private var at = 0
    private enum Ending { case stays, ends, resets, stalls }
    private var ending = Ending.stays
    /// An answer is under way, or was broken off: no further request may come.
    private(set) var isBusy = false
    private(set) var isOver = false
    /// The request at hand was answered before it was read.
    private var isEarly = false

    init(fd: Int32, port: UInt16) {
        self.fd = fd
        self.port = port
    }

    /// Looks at what has arrived and acts on it.
    mutating func turn(_ play: SeededPlay) {
        if isOver { return }
        guard play.gateway.state(fd) == .open || play.gateway.state(fd) == .sendingEnded else {
            isOver = true
            return
        }
        let news = play.gateway.taken(fd)
        input += news
        if isEarly { input = [] }
        if !input.isEmpty { takeRequest(play) }
        if isBusy, !isOver, play.chance.happens(play.isEnding ? 100 : 60) { deliver(play) }
        if !isBusy, !isOver, play.chance.happens(play.isEnding ? 0 : 2) {
            // Idle connections end now and then, some with a last word that nobody asked for.
            if play.chance.happens(30) { play.gateway.deliver(fd, "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n") }
            play.gateway.end(fd, error: play.chance.happens(50) ? ECONNRESET : 0)
            isOver = true
        }
    }

    private mutating func takeRequest(_ play: SeededPlay) {
        do {
            guard let request = try UpstreamRequest.read(input) else {
                if !isBusy, play.chance.happens(3) { answerEarly(play) }
                return
            }
            if isBusy { return play.violated("a request was sent on connection \(fd) while its answer is under way") }
            input.removeFirst(request.length)
            if !input.isEmpty { play.violated("\(input.count) bytes behind a request on connection \(fd): \(request.line) \(request.fields) \(String(decoding: input, as: UTF8.self).debugDescription)") }
            try play.received(request, port: port)
            answer(request, play)
        } catch { play.violated("connection \(fd): \(error)") }
    }

    /// Says no as soon as the head is there.
    private mutating func answerEarly(_ play: SeededPlay) {
        let text = String(decoding: input.prefix(2000), as: UTF8.self)
        let lines = text.split(whereSeparator: \.isNewline)
        guard text.contains("\r\n\r\n"), let line = lines.first(where: { $0.hasPrefix("x-sim-id: ") }) else { return }
        let id = String(line.dropFirst(10))
        isEarly = true
        input = []
        let body = #"{"error":{"message":"\#(id): not so much"}}"#
        play.note(ServedAnswer(status: 413, body: body, isStream: false), for: id)
        begin("HTTP/1.1 413 Content Too Large\r\ncontent-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)", .ends)
    }

    private mutating func begin(_ text: String, _ ending: Ending) {
        toDeliver = Array(text.utf8)
        at = 0
        self.ending = ending
        isBusy = true
    }

    private mutating func deliver(_ play: SeededPlay) {
        if at < toDeliver.count {
            let count = play.isEnding ? toDeliver.count - at : play.chance.piece(of: toDeliver.count - at)
            play.gateway.deliver(fd, Array(toDeliver[at..<at + count]))
            at += count
        }
        guard at == toDeliver.count else { return }
        switch ending {
        case .stays: isBusy = false
        case .stalls: break
        case .ends, .resets:
            play.gateway.end(fd, error: ending == .ends ? 0 : ECONNRESET)
            isOver = true
        }
        if ending != .stalls {
            toDeliver = []
            at = 0
        }
    }

    // MARK: answers

    private mutating func answer(_ request: UpstreamRequest, _ play: SeededPlay) {
        let id = request.fields["x-sim-id"] ?? ""
        let isHead = request.line.hasPrefix("HEAD")
        let isStream = request.text.contains(#""stream":true"#)
        var text = play.chance.happens(8) ? "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" : ""
        let luck = play.chance.number(0...99)
        switch luck {
        case 0..<6:
            let status = play.chance.one(of: [400, 401, 404, 429, 500, 502, 503, 529])
            let body = #"{"error":{"message":"\#(id) failed","code":null}}"#
            play.note(ServedAnswer(status: status, body: isHead ? "" : body, isStream: false), for: id)
            text += "HTTP/1.1 \(status) Sorry\r\ncontent-type: application/json\r\nretry-after: 1\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(isHead ? "" : body)"
            return begin(text, .stays)
        case 6..<8:
            return begin(play.chance.one(of: ["SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\nco\u{0}: x\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "\r\n\r\n"]), .stalls)
        case 8..<10: return begin(text, .stalls)
        case 10..<12:
            let status = play.chance.one(of: [204, 304])
            play.note(ServedAnswer(status: status, body: "", isStream: false), for: id)
            return begin(text + "HTTP/1.1 \(status) None\r\n\r\n", .stays)
        default: break
        }
        let body = isStream ? streamBody(id, request, play) : plainBody(id, play)
        play.note(ServedAnswer(status: 200, body: isHead ? "" : body.shown, isStream: isStream), for: id)
        var ending = Ending.stays
        text += "HTTP/1.1 200 OK\r\ncontent-type: \(isStream ? "text/event-stream" : "application/json")\r\n"
        if play.chance.happens(10) {
            text += "connection: close\r\n"
            ending = .ends
        }
        let headEnd: Int
        var isUntilClose = false
        switch play.chance.number(0...9) {
        case 0 where !isHead:
            isUntilClose = true
            ending = .ends
            text += "\r\n"
            headEnd = text.utf8.count
            text += body.sent
        case 1...5:
            text += "transfer-encoding: chunked\r\n\r\n"
            headEnd = text.utf8.count
            if !isHead { text += SeededRequest.chunked(body.sent, &play.chance) }
        default:
            text += "content-length: \(body.sent.utf8.count)\r\n\r\n"
            headEnd = text.utf8.count
            if !isHead { text += body.sent }
        }
        if play.chance.happens(15), !isHead {
            // Broken off somewhere. Where the end is the connection's, a good end cannot be told from a bad one.
            let cut = isUntilClose ? headEnd : play.chance.number(0...text.utf8.count - 1)
            text = String(decoding: Array(text.utf8)[..<cut], as: UTF8.self)
            ending = isUntilClose ? .resets : play.chance.one(of: [.ends, .resets, .stalls])
        } else if play.chance.happens(3), !isUntilClose {
            text += "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen"
            ending = .stalls
        }
        begin(text, ending)
    }

    private func plainBody(_ id: String, _ play: SeededPlay) -> (sent: String, shown: String) {
        let pad = String(repeating: "a", count: play.chance.happens(20) ? play.chance.number(0...60_000) : play.chance.number(0...300))
        let text = #"{"id":"\#(id)","choices":[{"message":{"content":"\#(pad)"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#
        return (text, text)
    }

    private func streamBody(_ id: String, _ request: UpstreamRequest, _ play: SeededPlay) -> (sent: String, shown: String) {
        let end = play.chance.happens(15) ? "\r\n\r\n" : "\n\n"
        var events: [String] = []
        if play.chance.happens(20) { events.append(": thinking") }
        if play.chance.happens(70) { events.append(#"data: {"id":"\#(id)","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#) }
        if play.chance.happens(5) { events.append(#"data: {"error":{"message":"\#(id) in band","code":"overloaded"}}"#) }
        let size = play.chance.happens(20) ? 3000 : 20
        for at in 0..<play.chance.number(1...12) {
            events.append(#"data: {"id":"\#(id)","choices":[{"index":0,"delta":{"content":"\#(at) \#(String(repeating: "s", count: play.chance.number(0...size)))"}}]}"#)
        }
        events.append(#"data: {"id":"\#(id)","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#)
        var shown = events
        if request.text.contains(#""include_usage":true"#) {
            let usage = #"data: {"id":"\#(id)","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#
            events.append(usage)
            if play.request(id)?.wantsUsage == true { shown.append(usage) }
        }
        let isMarked = !play.chance.happens(8)
        if isMarked { events.append("data: [DONE]"); shown.append("data: [DONE]") }
        return (events.map { $0 + end }.joined(), shown.map { $0 + end }.joined())
    }
}
