import CClaw
@testable import ClawEngine
import Glibc

/// One client connection of a storm: one request at a time, sent whole, its answer read as it comes.
struct StormClient {
    let worker: Int
    var fd: Int32 = -1
    /// The request under way; -1: none.
    var request = -1
    var received: [UInt8] = []
    /// It leaves when this much virtual time is reached; 0: stays.
    var leavesAt: UInt64 = 0
    /// How much more of the answer it takes; `.max`: whatever comes.
    var window = UInt64.max
    /// It takes nothing more, ever.
    var isStuck = false

    init(worker: Int) { self.worker = worker }
}

extension Storm {
    /// Opens what is closed, reads what has come, asks for more.
    func turn(client at: Int) {
        let worker = clients[at].worker
        let loop = workers[worker].loop
        if clients[at].fd < 0 {
            if isEnding || isDraining { return }
            clients[at].fd = claw_played_client(loop, Self.listener)
            clients[at].received.removeAll(keepingCapacity: true)
            return
        }
        let fd = clients[at].fd
        read(loop, fd, &clients[at].received)
        if clients[at].request >= 0 {
            lookAtAnswer(at)
        } else if !clients[at].received.isEmpty {
            violated("bytes for a client that asked for nothing: \(String(decoding: clients[at].received.prefix(300), as: UTF8.self))")
            clients[at].received.removeAll(keepingCapacity: true)
        }
        let state = claw_played_state(loop, fd)
        if state != 0 {
            if clients[at].request >= 0 { lost(at, isReset: state == 3) }
            if state == 1 { _ = claw_played_end(loop, fd, 0) }
            clients[at].fd = -1
            return
        }
        if clients[at].request >= 0 {
            if clients[at].leavesAt != 0, elapsed >= clients[at].leavesAt {
                requests[clients[at].request].hasLeft = true
                clients[at].request = -1
                _ = claw_played_end(loop, fd, ECONNRESET)
                clients[at].fd = -1
            } else if clients[at].window != .max, !clients[at].isStuck, chance.happens(30) {
                clients[at].window = UInt64(chance.number(1...(requests[clients[at].request].isLarge || isEnding ? 60_000 : 400)))
                _ = claw_played_window(loop, fd, clients[at].window)
            }
            return
        }
        if requests.count < requestsMax, !isEnding, chance.happens(60) { ask(at, loop, fd) }
    }

    private func ask(_ at: Int, _ loop: OpaquePointer, _ fd: Int32) {
        let id = requests.count
        var request = StormRequest()
        request.model = chance.happens(8) ? StormPlan.mappedModel : chance.number(0...1)
        request.isStream = chance.happens(50)
        request.hasProfile = chance.happens(12)
        request.isKnown = !chance.happens(2)
        request.isLarge = chance.number(0...999) < 4
        request.isSlow = chance.happens(4)
        requests.append(request)
        pen.clear()
        pen.put("{\"model\":\"m")
        pen.put(request.model)
        pen.put("\",\"stream\":")
        if request.isStream { pen.put("true") } else { pen.put("false") }
        pen.put(",\"max_tokens\":16,\"messages\":[{\"role\":\"user\",\"content\":\"question ")
        pen.put(id % 17)
        if request.isLarge { pen.pad(chance.number(1000...120_000)) }
        pen.put("\"}]}")
        head.clear()
        head.put("POST /v1/chat/completions HTTP/1.1\r\nhost: storm\r\nx-request-id: r")
        head.put(id)
        head.put("\r\nx-sim-id: ")
        head.put(id)
        head.put("\r\nx-session-id: s")
        head.put(id % 13)
        if request.hasProfile { head.put("\r\nx-profile: wanted") }
        head.put("\r\nauthorization: Bearer storm-caller-")
        head.put(request.isKnown ? id % 3 : 9)
        head.put("-for-simulation-only")
        if chance.happens(5) {
            head.put("\r\nx-openclaw-deadline-ms: ")
            head.put(chance.number(1...3000))
        }
        head.put("\r\ncontent-type: application/json\r\ncontent-length: ")
        head.put(pen.count)
        head.put("\r\n\r\n")
        head.put(pen)
        clients[at].request = id
        clients[at].received.removeAll(keepingCapacity: true)
        clients[at].leavesAt = chance.happens(3) ? elapsed + UInt64(chance.number(0...400)) * 1_000_000 : 0
        clients[at].window = request.isSlow ? UInt64(chance.number(0...400)) : .max
        clients[at].isStuck = request.isSlow && chance.happens(15)
        _ = claw_played_window(loop, fd, clients[at].window)
        _ = claw_played_deliver(loop, fd, head.bytes, head.count)
    }

    // MARK: answers

    private func lookAtAnswer(_ at: Int) {
        let id = clients[at].request
        clients[at].received.withUnsafeBytes { bytes in
            guard let headEnd = bytes.find("\r\n\r\n") else { return }
            let head = UnsafeRawBufferPointer(rebasing: bytes[..<headEnd])
            let body = UnsafeRawBufferPointer(rebasing: bytes[(headEnd + 4)...])
            let isChunked = head.find("transfer-encoding: chunked") != nil
            if isChunked {
                guard body.ends("0\r\n\r\n") else { return }
            } else {
                guard let length = head.number(behind: "content-length: "), body.count >= length else { return }
                if body.count > length { violated("request \(id): bytes behind its answer") }
            }
            judge(id, head, body)
            clients[at].request = -1
        }
        if clients[at].request < 0 { clients[at].received.removeAll(keepingCapacity: true) }
    }

    private func judge(_ id: Int, _ head: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer) {
        let status = head.number(behind: "HTTP/1.1 ") ?? 0
        requests[id].answers += 1
        requests[id].status = status
        if requests[id].answers > 1 { violated("request \(id) was answered twice") }
        if head.number(behind: "x-request-id: r") != id { violated("request \(id) got another's answer") }
        tally(status)
        guard status == 200 else {
            if status == 429 || status == 503, head.find("retry-after: ") == nil, head.find("x-openclaw-upstream") == nil { violated("request \(id): \(status) without Retry-After") }
            if ![400, 401, 403, 404, 429, 500, 502, 503, 504, 529].contains(status) { violated("request \(id) got \(status)") }
            return
        }
        let isDone = body.find("data: [DONE]") != nil, hasError = body.find("data: {\"error\"") != nil
        requests[id].isCut = requests[id].isStream && hasError
        if requests[id].isStream, isDone == hasError { violated("request \(id): a stream that \(isDone ? "has both an end and an error" : "ends in silence"): \(String(decoding: body.suffix(2000), as: UTF8.self))") }
        requests[id].wentOn = requests[id].isStream && body.find(": openclaw resumed ") != nil
        let (first, pieces) = readPieces(id, body)
        if first < 0 {
            // A stream that failed behind its head and before its first piece.
            if !requests[id].isCut { violated("request \(id): content of nobody: \(String(decoding: body.prefix(300), as: UTF8.self))") }
            return
        }
        let whole = requests[id].isStream ? Self.pieces : 1
        if isDone || !requests[id].isStream, pieces != whole { violated("request \(id): \(pieces) of \(whole) pieces came") }
        if isDone || !requests[id].isStream { delivered += 1 }
        // No model but the one asked for, unless that is said.
        requests[id].isDowngraded = head.find("x-openclaw-downgraded: ") != nil
        let model = requests[id].model(of: first), asked = requests[id].model
        if !requests[id].hasProfile, !(requests[id].isDowngraded ? model == StormPlan.fallbackModel : model == asked || (asked == StormPlan.mappedModel && model == 0)) {
            violated("request \(id) for m\(asked) was answered by m\(model), downgraded: \(requests[id].isDowngraded)")
        }
    }

    /// Every piece of content says "[c<id>.<arrival>.<piece>]": they must come in order, once each, of one arrival, or, where the stream went on elsewhere, of one
    /// behind the other. Notes the last arrival; returns the first one (-1: there is no content) and how many pieces came.
    private func readPieces(_ id: Int, _ body: UnsafeRawBufferPointer) -> (first: Int, count: Int) {
        var at = 0, count = 0, first = -1
        while let from = body.find("[c", from: at) {
            at = from + 2
            guard let dot = body.find(".", from: at), let next = body.find(".", from: dot + 1),
                let whose = body.number(behind: "[c", from: from), let arrival = body.number(behind: ".", from: dot), let piece = body.number(behind: ".", from: next)
            else { continue }
            let last = requests[id].arrival
            if whose != id { violated("request \(id) got content of request \(whose)") }
            if piece != count { violated("request \(id): piece \(piece) came as number \(count)") }
            if first >= 0, arrival != last, !requests[id].wentOn || arrival < last { violated("request \(id): content of arrivals \(last) and \(arrival) in one answer") }
            if arrival < 32, requests[id].mirrors >> UInt32(arrival) & 1 != 0 { violated("request \(id) got its shadow's answer") }
            if first < 0 { first = arrival }
            requests[id].arrival = arrival
            count += 1
        }
        return (first, count)
    }

    /// The gateway took the connection away under a request.
    private func lost(_ at: Int, isReset: Bool) {
        let id = clients[at].request
        clients[at].request = -1
        requests[id].answers += 1
        requests[id].isCut = true
        let bytes = clients[at].received.count
        // Who reads nothing for long is let go.
        if requests[id].isSlow {
            requests[id].hasLeft = true
            return
        }
        // Only a plain answer that broke off behind its head may end so.
        if bytes == 0 { violated("request \(id): its connection was \(isReset ? "reset" : "closed") without a byte of an answer") }
    }
}
