import CClaw
@testable import ClawEngine
import ClawPolicy
import Glibc

/// How an upstream behaves for a while.
enum Mood: CaseIterable {
    case healthy, slow, limited, limitedUntold, overloaded, broken, resetting, refusing, stalling, cutting, erringInBand, wrongKey, missingModel, garbage, blackHole
}

/// One connection that a worker opened to an upstream.
struct StormLink {
    let fd: Int32
    let upstream: Int
    var input: [UInt8] = []
    /// What it has yet to say, in pieces, and when the next one is due (virtual ns).
    var pieces: [[UInt8]] = []
    var next = 0
    var dueAt: UInt64 = 0
    var gap: UInt64 = 0
    enum Ending { case stays, resets, ends, stalls }
    var ending = Ending.stays
    /// Told with the last piece: the key at fault begins to cool when it is delivered.
    var told: Cooling.Told?
    /// The attempt it serves: the exchange's place and generation, the attempt's number.
    var exchange: (index: UInt32, generation: UInt32, attempt: Int) = (0, 0, 0)
    /// It was let through to see whether its key still has to cool, and goes well.
    var proves: (key: Int, model: Int)?
    /// Virtual time at a loop's beginning.
    static let clockStart: UInt64 = 1_000_000_000
    var isBusy = false
    /// What it says is an error.
    var hasFailed = false
    var isOver = false
}

extension Storm {
    func meetLinks(_ worker: Int) {
        let loop = workers[worker].loop
        let count = Int(claw_played_connected(loop, -1, nil, nil))
        while links[worker].count < count {
            var fd: Int32 = -1
            var address = claw_address()
            _ = claw_played_connected(loop, Int32(links[worker].count), &fd, &address)
            let port = Int(claw_address_port(&address)) - StormPlan.portBase
            links[worker].append(StormLink(fd: fd, upstream: port % 100))
            open[worker].append(links[worker].count - 1)
        }
    }

    func turn(links worker: Int) {
        meetLinks(worker)
        let loop = workers[worker].loop
        var kept = 0
        for place in 0..<open[worker].count {
            let at = open[worker][place]
            turn(worker, at, loop)
            if !links[worker][at].isOver {
                open[worker][kept] = at
                kept += 1
            }
        }
        open[worker].removeLast(open[worker].count - kept)
    }

    private func turn(_ worker: Int, _ at: Int, _ loop: OpaquePointer) {
        let fd = links[worker][at].fd
        let state = claw_played_state(loop, fd)
        if state >= 2 {
            links[worker][at].isOver = true
            return
        }
        read(loop, fd, &links[worker][at].input)
        if !links[worker][at].isBusy, !links[worker][at].input.isEmpty { takeRequest(worker, at) }
        guard links[worker][at].isBusy, !links[worker][at].isOver else { return }
        while links[worker][at].next < links[worker][at].pieces.count, elapsed >= links[worker][at].dueAt {
            let piece = links[worker][at].pieces[links[worker][at].next]
            _ = claw_played_deliver(loop, fd, piece, piece.count)
            links[worker][at].next += 1
            links[worker][at].dueAt += links[worker][at].gap
        }
        guard links[worker][at].next == links[worker][at].pieces.count, elapsed >= links[worker][at].dueAt || !links[worker][at].pieces.isEmpty else { return }
        switch links[worker][at].ending {
        case .stays:
            if let told = links[worker][at].told { cooling.news.append(told) }
            if let (key, model) = links[worker][at].proves { cooling.proved(links[worker][at].upstream, key, model) }
            links[worker][at].told = nil
            links[worker][at].proves = nil
            links[worker][at].isBusy = false
        case .stalls: break
        case .resets, .ends:
            _ = claw_played_end(loop, fd, links[worker][at].ending == .resets ? ECONNRESET : 0)
            links[worker][at].isOver = true
        }
    }

    private func takeRequest(_ worker: Int, _ at: Int) {
        var id = -1, key = -1, model = -1, upstreamOfKey = -1, isStream = false, length = 0
        var asksUsage = false, begun = 0
        links[worker][at].input.withUnsafeBytes { bytes in
            guard let headEnd = bytes.find("\r\n\r\n") else { return }
            let head = UnsafeRawBufferPointer(rebasing: bytes[..<(headEnd + 2)])
            guard let count = head.number(behind: "content-length: "), bytes.count >= headEnd + 4 + count else { return }
            length = headEnd + 4 + count
            let body = UnsafeRawBufferPointer(rebasing: bytes[(headEnd + 4)..<length])
            id = head.number(behind: "x-sim-id: ") ?? -1
            upstreamOfKey = head.number(behind: "authorization: Bearer sk-storm-secret-") ?? -1
            if let from = head.find("authorization: Bearer sk-storm-secret-") {
                let rest = UnsafeRawBufferPointer(rebasing: head[(from + 38)...])
                key = rest.number(behind: "-") ?? -1
            }
            model = body.number(behind: "\"model\":\"m") ?? -1
            isStream = body.find("\"stream\":true") != nil
            // A stream that goes on says what it has so far.
            begun = body.times("[c")
            if head.find("storm-caller") != nil { violated("request \(id): an upstream was shown the caller's key") }
            asksUsage = body.find("\"include_usage\":true") != nil
        }
        guard length > 0 else { return }
        let rest = links[worker][at].input.count - length
        links[worker][at].input.removeFirst(length)
        if rest > 0 { violated("\(rest) bytes behind a request on a connection") }
        let upstream = links[worker][at].upstream
        guard id >= 0, id < requests.count else { return violated("a request of nobody at upstream \(upstream)") }
        if upstreamOfKey != upstream { violated("request \(id): upstream \(upstream) got the key of upstream \(upstreamOfKey)") }
        guard let index = exchange(worker, on: fdOf(worker, at)) else { return violated("request \(id): a connection without an exchange carries it") }
        let exchange = workers[worker].exchanges.base + Int(index)
        guard exchange.pointee.attemptCount > 0 else { return violated("request \(id): it is sent without an attempt") }
        let attempt = exchange.pointee.attempts[exchange.pointee.attemptCount - 1]
        arrived(id, worker, exchange, attempt, upstream: upstream, key: key, model: model)
        let arrival = requests[id].arrivals
        requests[id].arrivals += 1
        if arrival < 16 { requests[id].models |= UInt64(model & 15) << UInt64(4 * arrival) }
        if exchange.pointee.twin == .shadow, arrival < 32 { requests[id].mirrors |= 1 << UInt32(arrival) }
        links[worker][at].exchange = (index, exchange.pointee.generation, exchange.pointee.attemptCount - 1)
        links[worker][at].proves = attempt.isKeyProbe ? (key, model) : nil
        links[worker][at].isBusy = true
        links[worker][at].next = 0
        links[worker][at].gap = 0
        links[worker][at].dueAt = elapsed + UInt64(chance.number(1...30)) * 1_000_000
        links[worker][at].pieces.removeAll(keepingCapacity: true)
        answer(worker, at, id, arrival, key: key, model: model, isStream: isStream, asksUsage: asksUsage, begun: begun)
        if links[worker][at].ending != .stays || links[worker][at].hasFailed { links[worker][at].proves = nil }
    }

    private func fdOf(_ worker: Int, _ at: Int) -> Int32 { links[worker][at].fd }

    private func tell(_ worker: Int, _ at: Int, key: Int, model: Int, milliseconds: Int = 0, isRefusal: Bool = false) {
        let (index, generation, attempt) = links[worker][at].exchange
        links[worker][at].told = Cooling.Told(
            worker: worker, fd: links[worker][at].fd, exchange: index, generation: generation, attempt: attempt, upstream: links[worker][at].upstream, key: key, model: model, milliseconds: milliseconds, isRefusal: isRefusal)
    }

    private func fail(_ worker: Int, _ at: Int, _ status: Int, _ body: StaticString, retryAfter: Int? = nil, code: StaticString = "Sorry") {
        head.clear()
        head.put("HTTP/1.1 ")
        head.put(status)
        head.put(" Sorry\r\ncontent-type: application/json\r\n")
        if let retryAfter {
            head.put("retry-after: ")
            head.put(retryAfter)
            head.put("\r\n")
        }
        head.put("content-length: ")
        head.put(body.utf8CodeUnitCount)
        head.put("\r\n\r\n")
        head.put(body)
        links[worker][at].pieces.append(head.bytes)
        links[worker][at].ending = .stays
        links[worker][at].hasFailed = true
    }

    private func answer(_ worker: Int, _ at: Int, _ id: Int, _ arrival: Int, key: Int, model: Int, isStream: Bool, asksUsage: Bool, begun: Int) {
        let upstream = links[worker][at].upstream
        let mood = isEnding ? .healthy : moods[upstream]
        links[worker][at].told = nil
        links[worker][at].hasFailed = false
        links[worker][at].ending = .stays
        switch mood {
        case .limited where key == moodKeys[upstream]:
            let seconds = chance.number(1...4)
            tell(worker, at, key: key, model: model, milliseconds: seconds * 1000)
            return fail(worker, at, 429, "{\"error\":{\"message\":\"slow down\",\"type\":\"rate_limit_error\",\"code\":\"rate_limit_exceeded\"}}", retryAfter: seconds)
        case .limitedUntold where key == moodKeys[upstream]:
            tell(worker, at, key: key, model: model)
            return fail(worker, at, 429, "{\"error\":{\"message\":\"slow down\",\"type\":\"rate_limit_error\",\"code\":\"rate_limit_exceeded\"}}")
        case .overloaded: return fail(worker, at, 503, "{\"error\":{\"message\":\"busy\",\"type\":\"server_error\"}}")
        case .broken: return fail(worker, at, 500, "{\"error\":{\"message\":\"broken\",\"type\":\"server_error\"}}")
        case .wrongKey where key == moodKeys[upstream]:
            tell(worker, at, key: key, model: model, isRefusal: true)
            return fail(worker, at, 401, "{\"error\":{\"message\":\"no such key\",\"type\":\"invalid_request_error\",\"code\":\"invalid_api_key\"}}")
        case .missingModel where model == 1:
            return fail(worker, at, 404, "{\"error\":{\"message\":\"no such model\",\"type\":\"invalid_request_error\",\"code\":\"model_not_found\"}}")
        case .resetting, .refusing:
            links[worker][at].ending = .resets
            links[worker][at].dueAt = elapsed
            links[worker][at].pieces.append([])
            return
        case .stalling:
            links[worker][at].ending = .stalls
            return
        case .garbage:
            links[worker][at].pieces.append(Array("SSH-2.0-storm\r\n".utf8))
            links[worker][at].ending = .stalls
            return
        case .slow: links[worker][at].dueAt += UInt64(chance.number(50...1500)) * 1_000_000
        default: break
        }
        let tokens = StormRequest.tokens(id, arrival)
        if !isStream {
            pen.clear()
            pen.put("{\"id\":\"x\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m")
            pen.put(model)
            pen.put("\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"")
            content(id, arrival, 0)
            if requests[id].isLarge { pen.pad(chance.number(100...40_000)) }
            pen.put("\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":")
            pen.put(tokens)
            pen.put(",\"total_tokens\":")
            pen.put(tokens + 3)
            pen.put("}}")
            head.clear()
            head.put("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ")
            head.put(pen.count)
            head.put("\r\n\r\n")
            head.put(pen)
            if mood == .cutting, chance.happens(70) {
                links[worker][at].pieces.append(Array(head.bytes[..<chance.number(1...head.count - 1)]))
                links[worker][at].ending = chance.happens(50) ? .resets : .ends
            } else {
                links[worker][at].pieces.append(head.bytes)
            }
            return
        }
        links[worker][at].gap = UInt64(mood == .slow ? chance.number(1...200) : chance.number(0...10)) * 1_000_000
        head.clear()
        head.put("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        pen.clear()
        pen.put("data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]")
        // Some count as they go.
        if mood == .erringInBand {
            pen.put(",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":")
            pen.put(tokens)
            pen.put("}")
        }
        pen.put("}\n\n")
        chunk()
        links[worker][at].pieces.append(head.bytes)
        if mood == .erringInBand, chance.happens(60) {
            event("data: {\"error\":{\"message\":\"in band\",\"type\":\"server_error\",\"code\":\"overloaded\"}}\n\n")
            links[worker][at].pieces.append(head.bytes)
            links[worker][at].ending = .ends
            return
        }
        for piece in min(begun, Self.pieces)..<Self.pieces {
            head.clear()
            pen.clear()
            pen.put("data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"")
            content(id, arrival, piece)
            if requests[id].isLarge { pen.pad(chance.number(100...40_000)) }
            pen.put("\"}}]}\n\n")
            chunk()
            links[worker][at].pieces.append(head.bytes)
        }
        if mood == .cutting {
            // In the middle of a piece, or between two.
            let last = chance.number(0...links[worker][at].pieces.count - 1)
            links[worker][at].pieces.removeLast(links[worker][at].pieces.count - 1 - last)
            if chance.happens(50) { links[worker][at].pieces[last].removeLast(chance.number(1...links[worker][at].pieces[last].count - 1)) }
            links[worker][at].ending = chance.happens(33) ? .stalls : chance.happens(50) ? .resets : .ends
            return
        }
        event("data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n")
        if asksUsage {
            pen.clear()
            pen.put("data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":")
            pen.put(tokens)
            pen.put(",\"total_tokens\":")
            pen.put(tokens + 3)
            pen.put("}}\n\n")
            chunk()
        }
        pen.clear()
        pen.put("data: [DONE]\n\n")
        chunk()
        head.put("0\r\n\r\n")
        links[worker][at].pieces.append(head.bytes)
    }

    private func content(_ id: Int, _ arrival: Int, _ piece: Int) {
        pen.put("[c")
        pen.put(id)
        pen.put(".")
        pen.put(arrival)
        pen.put(".")
        pen.put(piece)
        pen.put("] ")
    }

    private func event(_ text: StaticString) {
        head.clear()
        pen.clear()
        pen.put(text)
        chunk()
    }

    /// What is in `pen` as a chunk behind what is in `head`.
    private func chunk() {
        head.put(hex: pen.count)
        head.put("\r\n")
        head.put(pen)
        head.put("\r\n")
    }
}
