// Streams of the mock: their events in any dialect, recorded streams, and the bytes of /bytes/{n}. A stream is a number of steps, each of which renders one
// event; which event a step is follows from its number alone (MockMoment), so a stream can be measured beforehand (for a content-length), paced, broken off at
// any event and taken up again when the socket has room. Steps that are due go out in one write, each event in an HTTP chunk of its own as the providers send
// them. What the events say is in the files of the dialects; this one has their time, their frames and their end.
import CClaw

extension MockWorker {
    func startStream(_ connection: UnsafeMutablePointer<MockConnection>) {
        var stream = MockStream()
        stream.isActive = true
        stream.content = content(connection)
        stream.choices = connection.pointee.endpoint == .chat || connection.pointee.endpoint == .completions ? Int(connection.pointee.glance.choices) : 1
        stream.form = form(connection)
        stream.lineEnd = connection.pointee.script.lineEnd ?? (connection.pointee.dialect == .gemini ? .crlf : .lf)
        stream.shape = shape(connection, stream)
        if connection.pointee.recording >= 0 { stream.bytesLeft = UInt64(server.recordings.entries[Int(connection.pointee.recording)].body.count) }
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

        writeHead(connection, status: 200, type: streamType(connection))
        if stream.form == .events && connection.pointee.recording < 0 { out.append("cache-control: no-cache\r\n") }
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

    private func form(_ connection: UnsafeMutablePointer<MockConnection>) -> StreamForm {
        switch connection.pointee.endpoint {
        case .geminiStream: connection.pointee.asksForEvents ? .events : .array
        case .ollamaChat, .ollamaGenerate: .lines
        case .converseStream: .frames
        default: .events
        }
    }

    private func streamType(_ connection: UnsafeMutablePointer<MockConnection>) -> StaticString {
        switch (connection.pointee.dialect, connection.pointee.stream.form) {
        case (_, .array): "application/json; charset=UTF-8"
        case (_, .lines): "application/x-ndjson"
        case (_, .frames): "application/vnd.amazon.eventstream"
        case (.gemini, _), (.cohere, _): "text/event-stream"
        default: "text/event-stream; charset=utf-8"
        }
    }

    /// How many events the dialect's stream has around its tokens.
    private func shape(_ connection: UnsafeMutablePointer<MockConnection>, _ stream: MockStream) -> StreamShape {
        var shape = StreamShape()
        switch connection.pointee.endpoint {
        case .chat:
            shape.lead = stream.choices
            shape.callParts = MockCall.parts
        case .responses:
            shape = StreamShape(
                lead: 2, thinkingOpen: 2, thinkingClose: 3, textOpen: 2, textClose: 3, callOpen: 1, callParts: MockCall.parts, callClose: 2)
        case .messages: // the ping comes behind the first block's opening
            shape = StreamShape(
                lead: 1, thinkingOpen: 1, thinkingClose: 2, textOpen: 1, textClose: 1, callOpen: 1, callParts: MockCall.parts, callClose: 1, firstOpen: 1)
        case .converseStream: // only calls have an opening
            shape = StreamShape(lead: 1, thinkingClose: 2, textClose: 1, callOpen: 1, callParts: MockCall.parts, callClose: 1)
        case .cohereChat: // text before calls is the plan and no block
            let isPlan = stream.content.calls > 0
            shape = StreamShape(
                lead: 1, thinkingOpen: 1, thinkingClose: 1, textOpen: isPlan ? 0 : 1, textClose: isPlan ? 0 : 1, callOpen: 1, callParts: MockCall.parts,
                callClose: 1)
        default: // Gemini and Ollama send a call whole
            break
        }
        return shape
    }

    /// Renders and sends what is due, on top of what is in `out`; then waits for time or for the socket.
    func advance(_ connection: UnsafeMutablePointer<MockConnection>) {
        if connection.pointee.endpoint == .bytes && connection.pointee.recording < 0 {
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
                    renderError(connection)
                    finishStream(connection)
                    return
                }
            }
            if !renderStep(connection) {
                finishStream(connection)
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

    private func finishStream(_ connection: UnsafeMutablePointer<MockConnection>) {
        let garbage = connection.pointee.script.garbage
        if connection.pointee.isChunkedAnswer && garbage != .noLastChunk { out.append("0\r\n\r\n") }
        if garbage == .surplus { out.append("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad") }
        flush(connection, garbage == .short || garbage == .noLastChunk ? .cut : .finished)
    }

    /// Is the next step a token whose time has not come? Moves `due` on when a burst begins.
    private func isEarly(_ connection: UnsafeMutablePointer<MockConnection>, _ rate: Double) -> Bool {
        guard let token = pacedToken(connection), token > 0 else { return false }
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

    /// The number of the next step among all tokens, those of thinking and of calls too; nil when it is none, or the same token of another choice. The pieces
    /// of a recorded answer count as tokens.
    private func pacedToken(_ connection: UnsafeMutablePointer<MockConnection>) -> Int? {
        if connection.pointee.recording >= 0 { return connection.pointee.stream.step }
        let content = connection.pointee.stream.content
        let (moment, choice) = MockMoment.of(
            connection.pointee.stream.step, connection.pointee.stream.shape, content, choices: connection.pointee.stream.choices)
        guard choice == 0 else { return nil }
        switch moment {
        case .thinking(let token): return token
        case .text(let token): return content.thought.tokens + token
        case .callPart(let call, let part): return content.thought.tokens + content.text.tokens + call * MockCall.parts + part
        default: return nil
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
                renderError(connection)
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

    /// Renders the next event; false when there is none.
    private func renderStep(_ connection: UnsafeMutablePointer<MockConnection>) -> Bool {
        if connection.pointee.recording >= 0 { return renderRecordedPiece(connection) }
        let step = connection.pointee.stream.step
        let (moment, choice) = MockMoment.of(
            step, connection.pointee.stream.shape, connection.pointee.stream.content, choices: connection.pointee.stream.choices)
        connection.pointee.stream.step = step + 1
        switch connection.pointee.endpoint {
        case .chat, .completions: return renderOpenAI(connection, moment, choice)
        case .responses: return renderResponses(connection, moment, step)
        case .messages: return renderAnthropic(connection, moment, step)
        case .geminiStream: return renderGemini(connection, moment)
        case .ollamaChat, .ollamaGenerate: return renderOllama(connection, moment)
        case .converseStream: return renderBedrock(connection, moment, step)
        case .cohereChat: return renderCohere(connection, moment)
        default: return false
        }
    }

    /// What all events of the stream have in common, rendered once.
    private func makePrefix(_ connection: UnsafeMutablePointer<MockConnection>) {
        connection.pointee.dropPrefix()
        body.count = 0
        switch connection.pointee.endpoint {
        case .chat, .completions: writeOpenAIPrefix(connection)
        case .ollamaChat, .ollamaGenerate: writeOllamaPrefix(connection, into: &body)
        default: return
        }
        let prefix = UnsafeMutablePointer<UInt8>.allocate(capacity: body.count)
        prefix.update(from: body.base, count: body.count)
        connection.pointee.prefix = prefix
        connection.pointee.prefixCount = body.count
        body.count = 0
    }

    func writePrefix(_ connection: UnsafeMutablePointer<MockConnection>) {
        if let prefix = connection.pointee.prefix { out.append(prefix, connection.pointee.prefixCount) }
    }

    /// Opens an event's frame, up to where its data begins. The returned place goes to `closeEvent`.
    func openEvent(
        _ connection: UnsafeMutablePointer<MockConnection>, name: StaticString? = nil, frameType: StaticString = ":event-type", kind: StaticString = "event"
    ) -> Int {
        let start = connection.pointee.isChunkedAnswer ? out.openChunk() : out.count
        switch connection.pointee.stream.form {
        case .events:
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
        case .array:
            out.append(connection.pointee.stream.events == 0 ? "[" : ",\n")
        case .lines:
            break
        case .frames:
            let frame = out.openFrame()
            if let name { out.append(frameHeader: frameType, name) }
            out.append(frameHeader: ":content-type", "application/json")
            out.append(frameHeader: ":message-type", kind)
            out.endFrameHeaders(from: frame)
        }
        return start
    }

    func closeEvent(_ connection: UnsafeMutablePointer<MockConnection>, _ start: Int) {
        switch connection.pointee.stream.form {
        case .events:
            endLine(connection)
            endLine(connection)
        case .array, .lines:
            out.append(byte: 0x0a)
        case .frames:
            out.closeFrame(from: connection.pointee.isChunkedAnswer ? start + OutputBytes.chunkRoom : start)
        }
        endPiece(connection, start)
    }

    /// Closes what is sent at a time, where nothing more of the form is wanted.
    func endPiece(_ connection: UnsafeMutablePointer<MockConnection>, _ start: Int) {
        if connection.pointee.isChunkedAnswer { out.closeChunk(from: start) }
        connection.pointee.stream.events += 1
        if !measuring { tally.add(.eventsSent) }
    }

    @inline(__always)
    func endLine(_ connection: UnsafeMutablePointer<MockConnection>) {
        switch connection.pointee.stream.lineEnd {
        case .lf: out.append(byte: 0x0a)
        case .crlf: out.append("\r\n")
        case .cr: out.append(byte: 0x0d)
        }
    }

    /// One token of the text, padded to the size asked for; as the inside of a JSON string.
    func writeTextToken(_ connection: UnsafeMutablePointer<MockConnection>, _ token: Int) {
        let content = connection.pointee.stream.content
        if token == 0 && content.isJSON { out.append(MockWorker.jsonOpening) }
        writeToken(connection, token, of: content.text)
        if token == content.text.tokens - 1 && content.isJSON && !content.isCut { out.append(MockWorker.jsonClosing) }
        connection.pointee.stream.textTold = token + 1
    }

    func writeThoughtToken(_ connection: UnsafeMutablePointer<MockConnection>, _ token: Int) {
        writeToken(connection, token, of: connection.pointee.stream.content.thought)
        connection.pointee.stream.thoughtTold = token + 1
    }

    private func writeToken(_ connection: UnsafeMutablePointer<MockConnection>, _ token: Int, of text: AnswerText) {
        let start = out.count
        vocabulary.write(token: token, of: text, into: &out)
        out.append(repeating: 0x78, connection.pointee.script.eventBytes - (out.count - start))
        if !measuring { countTokens(connection, 1) }
    }

    /// A piece of a call's arguments; as the inside of a JSON string.
    func writeCallPart(_ connection: UnsafeMutablePointer<MockConnection>, _ part: Int) {
        out.append(MockCall.part(part))
        if !measuring { countTokens(connection, 1) }
    }

    /// Tells of a call that is sent whole.
    func countCall(_ connection: UnsafeMutablePointer<MockConnection>) {
        if !measuring { countTokens(connection, MockCall.parts) }
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
