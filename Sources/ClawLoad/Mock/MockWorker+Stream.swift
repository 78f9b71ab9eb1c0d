// Streams of the mock: events of chat, completions and responses, and the bytes of /bytes/{n}. A stream is a number of steps, each of
// which renders one event; which event a step is follows from its number alone, so a stream can be measured beforehand (for a
// content-length), paced, broken off at any event and taken up again when the socket has room. Steps that are due go out in one write,
// each event in an HTTP chunk of its own as the provider sends them.
import CClaw

extension MockWorker {
    func startStream(_ connection: UnsafeMutablePointer<MockConnection>) {
        var stream = MockStream()
        stream.isActive = true
        stream.answer = answerText(connection)
        stream.choices = connection.pointee.endpoint == .responses ? 1 : Int(connection.pointee.glance.choices)
        let wait = connection.pointee.script.firstTokenNanoseconds
        stream.due = now &+ wait
        connection.pointee.stream = stream
        tally.add(.streamsStarted)
        makePrefix(connection)

        var frame = connection.pointee.script.frame
        if frame == .auto { frame = .chunked }
        if connection.pointee.isOldVersion && frame == .chunked { frame = .untilClose }
        if connection.pointee.script.garbage == .noLastChunk { frame = .chunked }
        if connection.pointee.script.garbage == .short || connection.pointee.script.garbage == .surplus { frame = .contentLength }
        if frame == .untilClose { connection.pointee.keepsAlive = false }
        connection.pointee.isChunkedAnswer = false
        let length = frame == .contentLength ? measureStream(connection) : 0
        connection.pointee.isChunkedAnswer = frame == .chunked

        writeHead(connection, status: 200, type: "text/event-stream; charset=utf-8")
        out.append("cache-control: no-cache\r\n")
        switch frame {
        case .contentLength:
            out.append("content-length: ")
            out.append(decimal: UInt64(length + (connection.pointee.script.garbage == .short ? 100 : 0)))
            out.append("\r\n\r\n")
        case .chunked: out.append("transfer-encoding: chunked\r\n\r\n")
        default: out.append("\r\n")
        }
        if wait > 0 {
            flush(connection, .none)
            if connection.pointee.phase == .answering { arm(connection, at: now &+ wait) }
        } else {
            advance(connection)
        }
    }

    /// Renders and sends what is due, on top of what is in `out`; then waits for time or for the socket.
    func advance(_ connection: UnsafeMutablePointer<MockConnection>) {
        if connection.pointee.endpoint == .bytes {
            advanceBytes(connection)
            return
        }
        let rate = connection.pointee.script.tokensPerSecond
        let byEvents = connection.pointee.script.breaksByEvents
        while true {
            if rate > 0 && isEarly(connection, rate) {
                flush(connection, .none)
                if connection.pointee.phase == .answering { arm(connection, at: connection.pointee.stream.due) }
                return
            }
            if byEvents {
                let events = connection.pointee.stream.events
                if events == connection.pointee.script.resetAfterEvents {
                    flush(connection, .reset)
                    return
                }
                if events == connection.pointee.script.stallAfterEvents && !connection.pointee.stream.stallDone {
                    connection.pointee.stream.stallDone = true
                    flush(connection, .none)
                    let pause = connection.pointee.script.stallNanoseconds
                    if pause > 0 && connection.pointee.phase == .answering {
                        connection.pointee.stream.due = max(connection.pointee.stream.due, now &+ pause)
                        arm(connection, at: now &+ pause)
                    }
                    return
                }
                if events == connection.pointee.script.errorAfterEvents {
                    writeErrorEvent(connection)
                    finishStream(connection, isBroken: true)
                    return
                }
            }
            if !renderStep(connection) {
                finishStream(connection, isBroken: false)
                return
            }
            if out.count >= Self.turnBytes {
                flush(connection, .none)
                if connection.pointee.phase == .answering && connection.pointee.pendingCount == 0 { arm(connection, at: now &+ 1) }
                return
            }
        }
    }

    /// Output that waited for the socket is gone.
    func continueStream(_ connection: UnsafeMutablePointer<MockConnection>) {
        if connection.pointee.stream.wantsAdvance || !connection.pointee.isTimerArmed {
            let isStalled = connection.pointee.stream.stallDone && connection.pointee.script.stallNanoseconds == 0
            if isStalled { return }
            connection.pointee.stream.wantsAdvance = false
            arm(connection, at: now &+ 1)
        }
    }

    private func finishStream(_ connection: UnsafeMutablePointer<MockConnection>, isBroken: Bool) {
        let garbage = connection.pointee.script.garbage
        if connection.pointee.isChunkedAnswer && garbage != .noLastChunk { out.append("0\r\n\r\n") }
        if garbage == .surplus { out.append("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad") }
        flush(connection, garbage == .short || garbage == .noLastChunk ? .cut : .finished)
    }

    /// Is the next step a token whose time has not come? Moves `due` on when a burst begins.
    private func isEarly(_ connection: UnsafeMutablePointer<MockConnection>, _ rate: Double) -> Bool {
        let lead = leadSteps(connection)
        let place = connection.pointee.stream.step - lead
        guard place > 0 else { return false }
        let choices = connection.pointee.stream.choices
        guard place < connection.pointee.stream.answer.tokens * choices, place % choices == 0 else { return false }
        let token = place / choices
        if token % connection.pointee.script.burst == 0 && token != connection.pointee.stream.pacedToken {
            connection.pointee.stream.pacedToken = token
            var gap = 1e9 / rate * Double(connection.pointee.script.burst)
            if connection.pointee.script.jitter > 0 {
                let draw = unitInterval(seed: connection.pointee.script.seed &+ 1, place: UInt64(token))
                gap *= 1 + connection.pointee.script.jitter * (2 * draw - 1)
            }
            connection.pointee.stream.due &+= UInt64(min(1e15, gap))
        }
        return connection.pointee.stream.due > now
    }

    /// Steps before the first token.
    private func leadSteps(_ connection: UnsafeMutablePointer<MockConnection>) -> Int {
        switch connection.pointee.endpoint {
        case .chat: connection.pointee.stream.choices
        case .responses: 4
        default: 0
        }
    }

    /// The length of all events without chunk frames; leaves the stream as it was.
    private func measureStream(_ connection: UnsafeMutablePointer<MockConnection>) -> Int {
        let stream = connection.pointee.stream, sent = connection.pointee.tokensSent
        let before = out.count
        var total = 0
        measuring = true
        let errorAt = connection.pointee.script.errorAfterEvents
        while true {
            if errorAt >= 0 && connection.pointee.stream.events == errorAt {
                writeErrorEvent(connection)
                total += out.count - before
                break
            }
            let more = renderStep(connection)
            total += out.count - before
            out.count = before
            if !more { break }
        }
        measuring = false
        out.count = before
        connection.pointee.stream = stream
        connection.pointee.tokensSent = sent
        return total
    }

    // ---- events ----

    /// Everything of a chat or completion chunk up to its choices, rendered once.
    private func makePrefix(_ connection: UnsafeMutablePointer<MockConnection>) {
        connection.pointee.dropPrefix()
        guard connection.pointee.endpoint != .responses else { return }
        body.count = 0
        let isChat = connection.pointee.endpoint == .chat
        body.append("{\"id\":\"")
        writeId(connection, isChat ? "chatcmpl-" : "cmpl-", into: &body)
        body.append(isChat ? "\",\"object\":\"chat.completion.chunk\",\"created\":" : "\",\"object\":\"text_completion\",\"created\":")
        body.append(decimal: realtime / 1_000_000_000)
        body.append(",\"model\":\"")
        writeModel(connection, into: &body)
        body.append(isChat ? "\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\",\"choices\":[" : "\",\"choices\":[")
        let prefix = UnsafeMutablePointer<UInt8>.allocate(capacity: body.count)
        prefix.update(from: body.base, count: body.count)
        connection.pointee.prefix = prefix
        connection.pointee.prefixCount = body.count
        body.count = 0
    }

    /// Opens an event's frame and its first lines, up to where its data begins.
    private func openEvent(_ connection: UnsafeMutablePointer<MockConnection>, name: StaticString? = nil) -> Int {
        let chunk = connection.pointee.isChunkedAnswer ? out.openChunk() : -1
        let every = connection.pointee.script.commentsEvery
        if every > 0 && connection.pointee.stream.events > 0 && connection.pointee.stream.events % every == 0 {
            out.append(": mock comment")
            endLine(connection)
            endLine(connection)
        }
        if let name {
            out.append("event: ")
            out.append(name)
            endLine(connection)
        }
        out.append("data: ")
        return chunk
    }

    private func closeEvent(_ connection: UnsafeMutablePointer<MockConnection>, _ chunk: Int) {
        endLine(connection)
        endLine(connection)
        if chunk >= 0 { out.closeChunk(from: chunk) }
        connection.pointee.stream.events += 1
        if !measuring { tally.add(.eventsSent) }
    }

    @inline(__always)
    private func endLine(_ connection: UnsafeMutablePointer<MockConnection>) {
        switch connection.pointee.script.lineEnd {
        case .lf: out.append(byte: 0x0a)
        case .crlf: out.append("\r\n")
        case .cr: out.append(byte: 0x0d)
        }
    }

    /// Renders the next event; false when there is none.
    private func renderStep(_ connection: UnsafeMutablePointer<MockConnection>) -> Bool {
        if connection.pointee.endpoint == .responses { return renderResponsesStep(connection) }
        let lead = leadSteps(connection)
        let choices = connection.pointee.stream.choices
        let tokens = connection.pointee.stream.answer.tokens * choices
        let step = connection.pointee.stream.step
        connection.pointee.stream.step = step + 1
        if step < lead {
            renderChoice(connection, choice: step, kind: .role)
        } else if step < lead + tokens {
            renderChoice(connection, choice: (step - lead) % choices, kind: .token((step - lead) / choices))
            if !measuring { countTokens(connection, 1) }
        } else if step < lead + tokens + choices {
            renderChoice(connection, choice: step - lead - tokens, kind: .finish)
        } else {
            switch tail(connection, step - lead - tokens - choices) {
            case .usage: renderUsage(connection)
            case .done: renderDone(connection)
            case .end: return false
            }
        }
        return true
    }

    private enum Tail { case usage, done, end }

    /// What follows the last choice.
    private func tail(_ connection: UnsafeMutablePointer<MockConnection>, _ place: Int) -> Tail {
        let usage = connection.pointee.script.usage
        let asked = connection.pointee.glance.includeUsage
        var usages = 0
        if asked {
            switch usage {
            case .missing, .first, .afterDone: usages = 0
            case .twice: usages = 2
            default: usages = 1
            }
        }
        if place < usages { return .usage }
        let dones = connection.pointee.script.leavesOutDone ? 0 : 1
        if place < usages + dones { return .done }
        if asked && usage == .afterDone && place == usages + dones { return .usage }
        return .end
    }

    private enum ChoiceKind { case role, token(Int), finish }

    private func renderChoice(_ connection: UnsafeMutablePointer<MockConnection>, choice: Int, kind: ChoiceKind) {
        let chunk = openEvent(connection)
        if let prefix = connection.pointee.prefix { out.append(prefix, connection.pointee.prefixCount) }
        let isChat = connection.pointee.endpoint == .chat
        if isChat {
            out.append("{\"index\":")
            out.append(decimal: UInt64(choice))
            out.append(",\"delta\":{")
        } else {
            out.append("{\"text\":\"")
        }
        switch kind {
        case .role:
            out.append("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}]")
        case .token(let token):
            if isChat { out.append("\"content\":\"") }
            let start = out.count
            vocabulary.write(token: token, of: connection.pointee.stream.answer, into: &out)
            out.append(repeating: 0x78, connection.pointee.script.eventBytes - (out.count - start))
            if isChat {
                out.append("\"},\"logprobs\":null,\"finish_reason\":null}]")
            } else {
                out.append("\",\"index\":")
                out.append(decimal: UInt64(choice))
                out.append(",\"logprobs\":null,\"finish_reason\":null}]")
            }
        case .finish:
            if isChat {
                out.append("},\"logprobs\":null,\"finish_reason\":\"")
            } else {
                out.append("\",\"index\":")
                out.append(decimal: UInt64(choice))
                out.append(",\"logprobs\":null,\"finish_reason\":\"")
            }
            out.append(isCutByLimit(connection) ? "length\"}]" : "stop\"}]")
        }
        if connection.pointee.glance.includeUsage {
            if connection.pointee.script.usage == .first && connection.pointee.stream.events == 0 {
                out.append(",\"usage\":")
                writeUsage(connection, completion: connection.pointee.stream.answer.tokens * connection.pointee.stream.choices, details: true, into: &out)
            } else {
                out.append(",\"usage\":null")
            }
        }
        out.append("}")
        closeEvent(connection, chunk)
    }

    private func renderUsage(_ connection: UnsafeMutablePointer<MockConnection>) {
        let chunk = openEvent(connection)
        if let prefix = connection.pointee.prefix { out.append(prefix, connection.pointee.prefixCount) }
        out.append("],\"usage\":")
        let completion = connection.pointee.stream.answer.tokens * connection.pointee.stream.choices
        writeUsage(connection, completion: completion, details: connection.pointee.endpoint == .chat, into: &out)
        out.append("}")
        closeEvent(connection, chunk)
    }

    private func renderDone(_ connection: UnsafeMutablePointer<MockConnection>) {
        let chunk = openEvent(connection)
        out.append("[DONE]")
        closeEvent(connection, chunk)
    }

    private func writeErrorEvent(_ connection: UnsafeMutablePointer<MockConnection>) {
        let isResponses = connection.pointee.endpoint == .responses
        let chunk = openEvent(connection, name: isResponses ? "error" : nil)
        if isResponses {
            out.append("{\"type\":\"error\",\"code\":\"server_error\",\"message\":\"The server had an error while processing your request. Sorry about that!\",\"param\":null,\"sequence_number\":")
            out.append(decimal: UInt64(connection.pointee.stream.events))
            out.append("}")
        } else {
            writeErrorBody(500, isIndented: false, into: &out)
        }
        closeEvent(connection, chunk)
    }

    /// The named events of the Responses API; there is no [DONE].
    private func renderResponsesStep(_ connection: UnsafeMutablePointer<MockConnection>) -> Bool {
        let answer = connection.pointee.stream.answer
        let step = connection.pointee.stream.step
        connection.pointee.stream.step = step + 1
        let chunk: Int
        switch step {
        case 0, 1:
            chunk = openEvent(connection, name: step == 0 ? "response.created" : "response.in_progress")
            out.append(step == 0 ? "{\"type\":\"response.created\",\"response\":" : "{\"type\":\"response.in_progress\",\"response\":")
            writeResponse(connection, status: "in_progress", into: &out)
        case 2:
            chunk = openEvent(connection, name: "response.output_item.added")
            out.append("{\"type\":\"response.output_item.added\",\"item\":{\"id\":\"")
            writeId(connection, "msg_")
            out.append("\",\"type\":\"message\",\"status\":\"in_progress\",\"content\":[],\"role\":\"assistant\"},\"output_index\":0")
        case 3:
            chunk = openEvent(connection, name: "response.content_part.added")
            openItemEvent(connection, "{\"type\":\"response.content_part.added\",\"content_index\":0,\"item_id\":\"")
            out.append(",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"\"}")
        case 4 ..< 4 + answer.tokens:
            chunk = openEvent(connection, name: "response.output_text.delta")
            openItemEvent(connection, "{\"type\":\"response.output_text.delta\",\"content_index\":0,\"item_id\":\"")
            out.append(",\"delta\":\"")
            let start = out.count
            vocabulary.write(token: step - 4, of: answer, into: &out)
            out.append(repeating: 0x78, connection.pointee.script.eventBytes - (out.count - start))
            out.append("\",\"logprobs\":[]")
            if !measuring { countTokens(connection, 1) }
        case 4 + answer.tokens:
            chunk = openEvent(connection, name: "response.output_text.done")
            openItemEvent(connection, "{\"type\":\"response.output_text.done\",\"content_index\":0,\"item_id\":\"")
            out.append(",\"logprobs\":[],\"text\":\"")
            vocabulary.write(answer, into: &out)
            out.append("\"")
        case 5 + answer.tokens:
            chunk = openEvent(connection, name: "response.content_part.done")
            openItemEvent(connection, "{\"type\":\"response.content_part.done\",\"content_index\":0,\"item_id\":\"")
            out.append(",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"")
            vocabulary.write(answer, into: &out)
            out.append("\"}")
        case 6 + answer.tokens:
            chunk = openEvent(connection, name: "response.output_item.done")
            out.append("{\"type\":\"response.output_item.done\",\"item\":")
            writeResponseItem(connection, answer, into: &out)
            out.append(",\"output_index\":0")
        case 7 + answer.tokens where !connection.pointee.script.leavesOutDone:
            let isCut = isCutByLimit(connection)
            chunk = openEvent(connection, name: isCut ? "response.incomplete" : "response.completed")
            out.append(isCut ? "{\"type\":\"response.incomplete\",\"response\":" : "{\"type\":\"response.completed\",\"response\":")
            writeResponse(connection, status: "completed", into: &out)
        default:
            return false
        }
        out.append(",\"sequence_number\":")
        out.append(decimal: UInt64(step))
        out.append("}")
        closeEvent(connection, chunk)
        return true
    }

    private func openItemEvent(_ connection: UnsafeMutablePointer<MockConnection>, _ start: StaticString) {
        out.append(start)
        writeId(connection, "msg_")
        out.append("\",\"output_index\":0")
    }

    // ---- /bytes/{n} ----

    func startBytes(_ connection: UnsafeMutablePointer<MockConnection>) {
        let length = connection.pointee.argument
        connection.pointee.stream = MockStream()
        connection.pointee.stream.isActive = true
        connection.pointee.stream.bytesLeft = connection.pointee.isHead ? 0 : length
        var frame = connection.pointee.script.frame
        if connection.pointee.isOldVersion && frame == .chunked { frame = .untilClose }
        if frame == .untilClose { connection.pointee.keepsAlive = false }
        connection.pointee.isChunkedAnswer = frame == .chunked && !connection.pointee.isHead
        writeHead(connection, status: 200, type: "application/octet-stream")
        switch frame {
        case .chunked: out.append("transfer-encoding: chunked\r\n\r\n")
        case .untilClose: out.append("\r\n")
        default:
            out.append("content-length: ")
            out.append(decimal: length)
            out.append("\r\n\r\n")
        }
        advance(connection)
    }

    private func advanceBytes(_ connection: UnsafeMutablePointer<MockConnection>) {
        let total = connection.pointee.argument
        let length = Int(min(UInt64(65536), connection.pointee.stream.bytesLeft))
        if length > 0 {
            let chunk = connection.pointee.isChunkedAnswer ? out.openChunk() : -1
            // Letters by their place, so that a lost or doubled piece shows.
            let first = total &- connection.pointee.stream.bytesLeft
            out.reserve(length)
            for place in 0 ..< length {
                out.base[out.count + place] = 0x61 + UInt8(truncatingIfNeeded: (first &+ UInt64(place)) % 26)
            }
            out.count += length
            if chunk >= 0 { out.closeChunk(from: chunk) }
            connection.pointee.stream.bytesLeft -= UInt64(length)
        }
        if connection.pointee.stream.bytesLeft == 0 {
            if connection.pointee.isChunkedAnswer { out.append("0\r\n\r\n") }
            flush(connection, .finished)
        } else {
            flush(connection, .none)
            if connection.pointee.phase == .answering && connection.pointee.pendingCount == 0 { arm(connection, at: now &+ 1) }
        }
    }
}
