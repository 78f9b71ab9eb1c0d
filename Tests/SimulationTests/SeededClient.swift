import Foundation
import Glibc

/// One client connection of a seeded play: sends its requests in pieces and ahead of their answers, reads at its own pace, sometimes leaves.
struct SeededClient {
    let fd: Int32
    private var requests: [SeededRequest] = []
    /// Where each request ends in `toSend`.
    private var ends: [Int] = []
    private var toSend: [UInt8] = []
    private var sent = 0
    private var received: [UInt8] = []
    /// Answers read whole.
    private(set) var answered = 0
    private var hasLeft = false
    private var hasEnded = false
    private(set) var isOver = false
    /// The last answer said that no other will follow.
    private var isLastAnswer = false

    init(fd: Int32, _ play: SeededPlay) {
        self.fd = fd
        for _ in 0..<play.chance.number(1...4) {
            let request = play.makeRequest()
            requests.append(request)
            toSend += request.bytes
            ends.append(toSend.count)
        }
    }

    /// Requests that the gateway has from their first byte to their last.
    private var delivered: Int { ends.filter { $0 <= sent }.count }
    /// Requests of which it has at least one byte.
    private var begun: Int { sent == 0 ? 0 : min(requests.count, ends.filter { $0 < sent }.count + 1) }

    mutating func turn(_ play: SeededPlay) {
        if isOver { return }
        read(play)
        let state = play.gateway.state(fd)
        if hasLeft || state == .closed || state == .reset {
            close(play, state)
            return
        }
        if state == .sendingEnded, !hasEnded {
            end(play)
            return
        }
        if sent < toSend.count, !hasEnded, play.chance.happens(play.isEnding ? 100 : 50) {
            let count = play.isEnding ? toSend.count - sent : play.chance.piece(of: toSend.count - sent)
            play.gateway.deliver(fd, Array(toSend[sent..<sent + count]))
            sent += count
        }
        switch play.chance.number(0...(play.isEnding ? 9_999_999 : 249)) {
        case 0:
            play.gateway.end(fd, error: ECONNRESET)
            hasLeft = true
        case 1, 2: end(play)
        case 3...6: play.gateway.window(fd, UInt64(play.chance.one(of: [0, 1, 500, 20_000])))
        case 7...30: play.gateway.window(fd, .max)
        default: break
        }
        if sent == toSend.count, answered == requests.count, play.chance.happens(20) { end(play) }
    }

    private mutating func end(_ play: SeededPlay) {
        play.gateway.end(fd)
        hasEnded = true
    }

    mutating func liftWindow(_ play: SeededPlay) { if !isOver { play.gateway.window(fd, .max) } }

    /// When all is done: nothing delivered may be without an answer on a connection that still stands.
    mutating func judge(_ play: SeededPlay) {
        turn(play)
        if isOver || hasLeft { return }
        if answered < delivered, !play.isDraining { play.violated("client \(fd): \(delivered - answered) requests are without an answer (the first is \(requests[answered].id), \(requests[answered].kind)); \(received.count) bytes unread") }
    }

    // MARK: reading

    private mutating func read(_ play: SeededPlay) {
        received += play.gateway.taken(fd)
        while !received.isEmpty {
            guard answered < begun else { return play.violated("client \(fd): \(received.count) bytes of an answer to no request: \(String(decoding: received.prefix(100), as: UTF8.self))") }
            let request = requests[answered]
            do {
                guard var answer = try ClientAnswer.read(received, method: request.method), answer.isWhole else { return }
                // A head that did not come whole in time is answered without knowing its method.
                if answer.status == 408, request.method == .head, let other = try ClientAnswer.read(received) { answer = other }
                guard answer.isWhole else { return }
                received.removeFirst(answer.length)
                answered += 1
                // A stream that broke off ends its connection too (faults SS-04), which its head could not know.
                isLastAnswer = !answer.keepsAlive || answer.text.contains(SeededPlay.truncationMark)
                play.judge(answer, to: request, isWhole: true)
                if !answer.keepsAlive, !received.isEmpty { play.violated("client \(fd): bytes behind an answer that said it was the last") }
            } catch { return play.violated("client \(fd), answer to \(request.id): \(error)") }
        }
    }

    /// The connection is no more: what was left unfinished has to have a reason.
    private mutating func close(_ play: SeededPlay, _ state: PlayedWorker.SocketState) {
        isOver = true
        guard !hasLeft, answered < begun else { return }
        let request = requests[answered]
        if !received.isEmpty {
            do {
                guard let answer = try ClientAnswer.read(received, method: request.method) else {
                    if state == .closed { play.violated("client \(fd): closed in the middle of a head") }
                    return
                }
                // Delimited by the connection's end: a plain close makes it whole, a reset says that it is not.
                let isWhole = state == .closed && !answer.isChunked && answer.fields["content-length"] == nil
                if state == .closed, !isWhole, !hasEnded { play.violated("client \(fd): the answer to \(request.id) ends before its end, without a reset") }
                play.judge(answer, to: request, isWhole: isWhole)
            } catch { play.violated("client \(fd), answer to \(request.id): \(error)") }
            return
        }
        // Nothing of an answer: a promise broken, unless the last answer took it back, the gateway drains, or the client had ended first.
        if state == .closed, answered < delivered, !isLastAnswer, !hasEnded, !play.isDraining {
            play.violated("client \(fd): closed without an answer to \(request.id) (\(request.kind))")
        }
    }
}
