// HTTP/2 towards clients: a connection carries many streams, and each is an exchange of the same pipeline as any other. The session (claw_h2) takes
// frames apart and puts them together; here its events become calls of the pipeline, and what exchanges have to say becomes frames.
// Payload stays where it is: the session says "so many bytes of that stream", and those spans move from the exchange's output to the connection's.
// Frames are made only as far as the socket takes them, so what a slow reader leaves stays in its own exchange, which pauses its own upstream.
import CClaw
import ClawConfig
import ClawWire
import Glibc

/// Error codes of RFC 9113 §7.
enum StreamError {
    static let noError: UInt32 = 0, internalError: UInt32 = 2, refusedStream: UInt32 = 7, cancel: UInt32 = 8
}

extension Worker {
    /// A body up to this size lies in a shared buffer instead of a block of the body store.
    private static let smallBody = 8192

    // MARK: the session

    /// The connection speaks HTTP/2 from here on; what it has received already is fed.
    func startSession(_ index: UInt32) {
        let connection = connections.base + Int(index)
        let limits = plan.pointee.http2
        var options = claw_h2_options()
        options.streams_max = UInt32(clamping: limits.streamsMax)
        options.head_bytes_max = UInt32(clamping: plan.pointee.headLimits.headBytesMax)
        options.head_fields_max = UInt32(clamping: plan.pointee.headLimits.fieldsMax)
        options.stream_window = UInt32(clamping: limits.streamWindowBytes)
        options.connection_window = UInt32(clamping: limits.connectionWindowBytes)
        options.resets_max = UInt32(clamping: limits.resetsMax)
        options.resets_per_second = UInt32(clamping: limits.resetsPerSecond)
        options.control_max = UInt32(clamping: limits.controlFramesMax)
        options.control_per_second = UInt32(clamping: limits.controlFramesPerSecond)
        options.continuations_max = UInt32(clamping: limits.continuationsMax)
        options.connect_protocol = limits.webSocket ? 1 : 0
        var session: OpaquePointer?
        guard claw_h2_create(&options, &session) == 0, let session else { return close(index, reset: true) }
        connection.pointee.session = session
        connection.pointee.state = .multiplexing
        connection.pointee.headTimerRuns = false
        connection.pointee.heardAt = now
        timers.set(connectionTimers + Int(index), now + plan.pointee.idleTimeout)
        receive(index, CLAW_RECEIVE_BUFFERED)
        markDirty(index)
        guard connection.pointee.heldLength > 0 else { return }
        let generation = connection.pointee.generation
        takeFrames(index, heldBase(index), Int(connection.pointee.heldLength))
        if connection.pointee.generation == generation, connection.pointee.state == .multiplexing || connection.pointee.state == .lingering { dropHeld(index) }
    }

    /// Received bytes of an HTTP/2 connection.
    func takeFrames(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        let connection = connections.base + Int(index)
        guard let session = connection.pointee.session else { return }
        let generation = connection.pointee.generation
        connection.pointee.heardAt = now
        connection.pointee.pingedAt = 0
        claw_h2_clock(session, now)
        let result = claw_h2_feed(session, bytes, count)
        var event = claw_h2_event()
        while claw_h2_next(session, &event) == 1 {
            takeFrame(index, session, event)
            settle()
            // What came of it may have been the connection's end.
            if connection.pointee.generation != generation || connection.pointee.session != session { return }
        }
        countRefusals(connection, session)
        if result < 0 { return sessionBroke(index) }
        markDirty(index)
    }

    /// Streams that ended before anything of them became an event.
    private func countRefusals(_ connection: UnsafeMutablePointer<Connection>, _ session: OpaquePointer) {
        let refused = claw_h2_refused(session), malformed = claw_h2_malformed(session)
        if refused != connection.pointee.refusedStreams {
            metrics.add(.refused, RefusalLabel.streams.rawValue, by: UInt64(refused &- connection.pointee.refusedStreams))
            connection.pointee.refusedStreams = refused
        }
        if malformed != connection.pointee.malformedMessages {
            metrics.add(.refused, RefusalLabel.malformed.rawValue, by: UInt64(malformed &- connection.pointee.malformedMessages))
            connection.pointee.malformedMessages = malformed
        }
    }

    private func takeFrame(_ index: UInt32, _ session: OpaquePointer, _ event: claw_h2_event) {
        switch Int(event.kind) {
        case CLAW_H2_HEAD: openStream(index, session, event)
        case CLAW_H2_DATA:
            guard let exchange = exchange(of: event.user) else { return }
            if exchanges.base[Int(exchange)].isConnect { return takeTunnelData(exchange, event.bytes, event.length) }
            if exchanges.base[Int(exchange)].streamsBody { return takeUpload(exchange, event.bytes, event.length) }
            takeData(exchange, event.bytes, event.length)
            claw_h2_consume(session, event.stream, event.length)
        case CLAW_H2_END:
            guard let exchange = exchange(of: event.user) else { return }
            if exchanges.base[Int(exchange)].isConnect {
                tunnelStreamEnded(exchange)
            } else if exchanges.base[Int(exchange)].streamsBody {
                uploadIsWhole(exchange)
            } else if exchanges.base[Int(exchange)].state == .receiving {
                bodyIsWhole(exchange, resumes: true)
            } else {
                exchanges.base[Int(exchange)].bodyIsComplete = true
            }
        case CLAW_H2_RESET:
            guard let exchange = exchange(of: event.user) else { return }
            if event.flags & UInt32(CLAW_H2_OURS) != 0 {
                metrics.add(.refused, RefusalLabel.streamError.rawValue)
                exchanges.base[Int(exchange)].failure = .badRequest
                exchanges.base[Int(exchange)].refusal = StaticWord.streamError
            }
            clientGone(exchange)
        default: break
        }
    }

    /// The running exchange that a stream's word names; nil when it is over.
    func exchange(of user: UInt64) -> UInt32? {
        if user == 0 { return nil }
        let token = SlotToken(value: user)
        guard Int(token.index) < exchanges.touched else { return nil }
        let exchange = exchanges.base + Int(token.index)
        return exchange.pointee.generation == token.generation && exchange.pointee.state != .free ? token.index : nil
    }

    /// The session can't go on: the peer broke the rules or used up a budget. It is told (GOAWAY), everything of it ends, and the log says why.
    private func sessionBroke(_ index: UInt32) {
        let connection = connections.base + Int(index)
        guard let session = connection.pointee.session else { return }
        let blame = claw_h2_blame(session)
        metrics.add(.refused, RefusalLabel.of(blame).rawValue)
        logRefusal(index, blame)
        flushStreams(index)
        guard connection.pointee.session == session else { return }
        endStreams(index)
        settle()
        endSession(index)
    }

    /// A log line for a connection whose frames never became a request.
    private func logRefusal(_ index: UInt32, _ reason: UnsafePointer<CChar>?) {
        guard let exchangeIndex = makeExchange(index) else { return }
        linkStream(index, exchangeIndex)
        identifyUnread(exchangeIndex)
        let exchange = exchanges.base + Int(exchangeIndex)
        exchange.pointee.method = .other
        exchange.pointee.bodyIsComplete = true
        exchange.pointee.failure = .badRequest
        exchange.pointee.refusal = reason
        exchange.pointee.status = FailureKind.badRequest.row.status
        exchange.pointee.state = .draining
        markEnding(exchangeIndex)
    }

    /// Nobody is left to read the answers of this connection's streams.
    private func endStreams(_ index: UInt32) {
        var at = connections.base[Int(index)].exchange
        while at != noIndex {
            let next = exchanges.base[Int(at)].nextStream
            if !exchanges.base[Int(at)].isEnding { clientGone(at) }
            at = next
        }
    }

    /// No stream runs any more and all is said: our side of the connection ends.
    private func endSession(_ index: UInt32) {
        let connection = connections.base + Int(index)
        guard connection.pointee.state == .multiplexing, connection.pointee.streams == 0 else { return abandon(index, reset: true) }
        dropSession(connection)
        linger(index)
    }

    private func dropSession(_ connection: UnsafeMutablePointer<Connection>) {
        if let session = connection.pointee.session { claw_h2_destroy(session) }
        connection.pointee.session = nil
        while !connection.pointee.output.isEmpty { buffers.release(connection.pointee.output.dropFirst().buffer) }
        connection.pointee.output.release()
    }

    /// The socket is closed at once; the slot is free when the last exchange has ended.
    func abandon(_ index: UInt32, reset: Bool) {
        let connection = connections.base + Int(index)
        dropSession(connection)
        dropHeld(index)
        _ = claw_close(loop, connection.pointee.fd, reset ? 1 : 0)
        connection.pointee.fd = -1
        timers.clear(connectionTimers + Int(index))
        connection.pointee.state = .abandoned
        endStreams(index)
        if connection.pointee.streams == 0 { freeConnection(index) }
    }

    // MARK: streams

    private func linkStream(_ index: UInt32, _ exchangeIndex: UInt32) {
        let connection = connections.base + Int(index)
        let exchange = exchanges.base + Int(exchangeIndex)
        exchange.pointee.nextStream = connection.pointee.exchange
        exchange.pointee.previousStream = noIndex
        if connection.pointee.exchange != noIndex { exchanges.base[Int(connection.pointee.exchange)].previousStream = exchangeIndex }
        connection.pointee.exchange = exchangeIndex
        connection.pointee.streams += 1
        if connection.pointee.streams == 1, connection.pointee.state == .multiplexing {
            let ping = plan.pointee.http2.pingNanoseconds
            if ping > 0 { timers.set(connectionTimers + Int(index), now + ping) } else { timers.clear(connectionTimers + Int(index)) }
        }
    }

    func unlinkStream(_ exchangeIndex: UInt32) {
        let exchange = exchanges.base + Int(exchangeIndex)
        let next = exchange.pointee.nextStream
        let previous = exchange.pointee.previousStream
        if previous != noIndex {
            exchanges.base[Int(previous)].nextStream = next
        } else {
            connections.base[Int(exchange.pointee.connection)].exchange = next
        }
        if next != noIndex { exchanges.base[Int(next)].previousStream = previous }
    }

    /// Another exchange takes the place of one on its stream.
    func replaceStream(_ exchangeIndex: UInt32, of other: UInt32) {
        let exchange = exchanges.base + Int(exchangeIndex)
        let (next, previous) = (exchanges.base[Int(other)].nextStream, exchanges.base[Int(other)].previousStream)
        let connection = connections.base + Int(exchange.pointee.connection)
        exchange.pointee.nextStream = next
        exchange.pointee.previousStream = previous
        if previous != noIndex { exchanges.base[Int(previous)].nextStream = exchangeIndex } else { connection.pointee.exchange = exchangeIndex }
        if next != noIndex { exchanges.base[Int(next)].previousStream = exchangeIndex }
        exchanges.base[Int(other)].nextStream = noIndex
        exchanges.base[Int(other)].previousStream = noIndex
        guard let session = connection.pointee.session, exchange.pointee.stream != 0 else { return }
        claw_h2_user(session, exchange.pointee.stream, SlotToken(.none, generation: exchange.pointee.generation, index: exchangeIndex).value)
    }

    private func openStream(_ index: UInt32, _ session: OpaquePointer, _ event: claw_h2_event) {
        let connection = connections.base + Int(index)
        guard let exchangeIndex = makeExchange(index) else {
            metrics.add(.refused, RefusalLabel.streams.rawValue)
            _ = claw_h2_reset(session, event.stream, StreamError.refusedStream, 0)
            return
        }
        let exchange = exchanges.base + Int(exchangeIndex)
        exchange.pointee.stream = event.stream
        exchange.pointee.isConnect = event.flags & UInt32(CLAW_H2_TUNNEL) != 0
        exchange.pointee.endsWithHead = event.flags & UInt32(CLAW_H2_ENDED) != 0
        linkStream(index, exchangeIndex)
        connection.pointee.requests &+= 1
        claw_h2_user(session, event.stream, SlotToken(.none, generation: exchange.pointee.generation, index: exchangeIndex).value)
        let length = event.length
        if length <= buffers.size / 2 {
            guard let room = buffers.reserve(length) else { return answerError(exchangeIndex, .buffersExhausted, detail: "") }
            memcpy(room, event.bytes, length)
            let segment = buffers.commit(length)
            exchange.pointee.headBase = segment.base
            exchange.pointee.headBuffer = segment.buffer
        } else {
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: length)
            memcpy(memory, event.bytes, length)
            exchange.pointee.headBase = UnsafePointer(memory)
            exchange.pointee.headMemory = memory
        }
        exchange.pointee.headLength = UInt32(truncatingIfNeeded: length)
        exchange.pointee.bytesIn = UInt64(length)
        headOwner = .max
        if event.flags & UInt32(CLAW_H2_TOO_LARGE) != 0 {
            identifyUnread(exchangeIndex)
            return answerError(exchangeIndex, .headTooLarge, detail: "")
        }
        var parser = RequestParser()
        let bytes = UnsafeRawBufferPointer(start: exchange.pointee.headBase, count: length)
        switch parser.parse(bytes, limits: plan.pointee.headLimits, into: requestHead) {
        case .complete:
            headOwner = UInt64(exchange.pointee.generation) << 32 | UInt64(exchangeIndex)
            begin(exchangeIndex)
        case .needMore:
            refuseHead(exchangeIndex, HTTPRefusal(status: 400, reason: "head", offset: length))
        case .refused(let refusal):
            refuseHead(exchangeIndex, refusal)
        }
    }

    /// The exchange of a stream has ended.
    func streamEnded(_ index: UInt32, stream: UInt32, error: UInt32?, bodyIsComplete: Bool) {
        let connection = connections.base + Int(index)
        connection.pointee.streams -= 1
        guard let session = connection.pointee.session else {
            if connection.pointee.state == .abandoned, connection.pointee.streams == 0 { freeConnection(index) }
            return
        }
        if stream != 0 {
            if let error {
                _ = claw_h2_reset(session, stream, error, 0)
            } else if !bodyIsComplete {
                _ = claw_h2_enough(session, stream)
            }
            claw_h2_user(session, stream, 0)
        }
        if connection.pointee.streams == 0 {
            timers.set(connectionTimers + Int(index), now + plan.pointee.idleTimeout)
            if connection.pointee.closesAfter || phase != 0 { _ = claw_h2_goaway(session, StreamError.noError, 1) }
        }
        markDirty(index)
    }

    /// Room for a body, and the wait for it.
    func awaitStreamBody(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        exchange.pointee.state = .receiving
        if !mightRoute(exchange) { return answerError(index, .notFound, detail: "") }
        let expected = exchange.pointee.bodyExpected
        if expected >= 0, expected <= Self.smallBody, let room = buffers.reserve(expected) {
            exchange.pointee.bodyBase = room
            exchange.pointee.bodyBuffer = buffers.commit(expected).buffer
        } else if !makeRoomForBody(exchange) {
            return answerError(index, .bodyMemoryExhausted, detail: "server.max_body_memory_mb")
        }
        if exchange.pointee.expectsContinue { sendInterim(index, 100) }
        exchange.pointee.phase = .body
        setTimer(index, now + exchange.pointee.plan.pointee.bodyTimeout)
    }

    private func takeData(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        let exchange = exchanges.base + Int(index)
        // What comes after an early answer is thrown away.
        guard exchange.pointee.state == .receiving, count > 0 else { return }
        if exchange.pointee.bodyExpected >= 0 {
            guard count <= exchange.pointee.bodyExpected - exchange.pointee.bodyLength else {
                exchange.pointee.failure = .badRequest
                return clientGone(index)
            }
            guard exchange.pointee.bodyBuffer != noIndex || growBody(exchange, by: count) else {
                return answerError(index, .bodyMemoryExhausted, detail: "server.max_body_memory_mb")
            }
        } else {
            if count > exchange.pointee.plan.pointee.bodyBytesMax - exchange.pointee.bodyLength { return answerError(index, .bodyTooLarge, detail: "") }
            guard growBody(exchange, by: count) else { return answerError(index, .bodyMemoryExhausted, detail: "server.max_body_memory_mb") }
        }
        memcpy(exchange.pointee.bodyBase.unsafelyUnwrapped + exchange.pointee.bodyLength, bytes, count)
        exchange.pointee.bodyLength += count
        exchange.pointee.bytesIn += UInt64(count)
        scanArrived(index)
    }

    // MARK: answers

    /// What the exchange has for its client may go out: its head, if it was still waiting, is handed over, and the session told how much there is.
    func offer(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard !exchange.pointee.isHeld, !exchange.pointee.isEnding, let session = connections.base[Int(exchange.pointee.connection)].session else { return }
        let isLast = exchange.pointee.state == .draining
        if isLast, exchange.pointee.resetsClient {
            // A cut answer must not look whole: what is queued is dropped, and `finish` resets the stream.
            dropAnswerLines(exchange)
            while !exchange.pointee.output.isEmpty { buffers.release(exchange.pointee.output.dropFirst().buffer) }
            markDirty(exchange.pointee.connection)
            return markEnding(index)
        }
        if exchange.pointee.answerLines.length > 0 {
            let lines = exchange.pointee.answerLines
            let ends = isLast && exchange.pointee.output.isEmpty && exchange.pointee.trailers.length == 0
            let result = claw_h2_answer(
                session, exchange.pointee.stream, UInt32(exchange.pointee.status), UnsafeRawPointer(lines.base).assumingMemoryBound(to: CChar.self),
                Int(lines.length), ends ? 1 : 0)
            dropAnswerLines(exchange)
            guard result == 0 else { return clientGone(index) }
            exchange.pointee.isCommitted = true
            exchange.pointee.bytesOut += UInt64(lines.length)
            if ends {
                markDirty(exchange.pointee.connection)
                return markEnding(index)
            }
        }
        let endsInTrailers = isLast && exchange.pointee.trailers.length > 0
        if claw_h2_offer(session, exchange.pointee.stream, exchange.pointee.output.bytes, isLast && !endsInTrailers ? 1 : 0) != 0 { return clientGone(index) }
        if endsInTrailers, !exchange.pointee.hasGivenTrailers {
            exchange.pointee.hasGivenTrailers = true
            let lines = exchange.pointee.trailers
            _ = claw_h2_trailers(session, exchange.pointee.stream, UnsafeRawPointer(lines.base).assumingMemoryBound(to: CChar.self), Int(lines.length))
            exchange.pointee.bytesOut += UInt64(lines.length)
            if exchange.pointee.output.isEmpty {
                markDirty(exchange.pointee.connection)
                return markEnding(index)
            }
        }
        if !exchange.pointee.isOffered {
            // Slots that were used twice within the turn may have filled the list.
            if offeredCount == exchanges.capacity { lookAtOffered() }
            exchange.pointee.isOffered = true
            offered[offeredCount] = index
            offeredCount += 1
        }
        markDirty(exchange.pointee.connection)
    }

    func dropAnswerLines(_ exchange: UnsafeMutablePointer<Exchange>) {
        buffers.release(exchange.pointee.answerLines.buffer)
        exchange.pointee.answerLines = Segment(base: Bytes.empty.base, length: 0, buffer: noIndex)
    }

    /// Streams whose output was offered this turn and not wholly taken: their client is slow, or its window is full.
    func lookAtOffered() {
        while offeredCount > 0 {
            offeredCount -= 1
            let index = offered[offeredCount]
            let exchange = exchanges.base + Int(index)
            guard exchange.pointee.isOffered else { continue }
            exchange.pointee.isOffered = false
            if exchange.pointee.state == .free || exchange.pointee.isEnding || exchange.pointee.isHeld || exchange.pointee.output.isEmpty { continue }
            if exchange.pointee.phase != .write { clientIsSlow(index) } else { pauseIfFull(exchange) }
        }
    }

    /// Makes frames as far as the socket takes them.
    func flushStreams(_ index: UInt32) {
        let connection = connections.base + Int(index)
        guard connection.pointee.state == .multiplexing, let session = connection.pointee.session else { return }
        // Nobody is sent away without a word. The phase may have changed in this very turn, in front of `drain`.
        if connection.pointee.streams == 0, connection.pointee.closesAfter || phase != 0 { _ = claw_h2_goaway(session, StreamError.noError, 1) }
        while !connection.pointee.isBlocked {
            while connection.pointee.output.bytes < Self.framedMax {
                let count = claw_h2_produce(session, Self.framedMax - connection.pointee.output.bytes, pieces, Int32(Self.piecesMax))
                if count <= 0 { break }
                for at in 0..<Int(count) {
                    // Without the bytes of one frame the rest can't be understood.
                    if !take(pieces[at], connection) { return abandon(index, reset: true) }
                }
            }
            if connection.pointee.output.isEmpty { break }
            if !sendFramed(connection.pointee.fd, &connection.pointee.output, &connection.pointee.isBlocked) { return abandon(index, reset: false) }
        }
        guard connection.pointee.streams == 0, connection.pointee.output.isEmpty else { return }
        if connection.pointee.closesAfter || phase != 0 || claw_h2_is_over(session) != 0 { endSession(index) }
    }

    /// Puts a piece behind what is framed already. False: the pool of buffers is exhausted, or the piece is not what was offered.
    private func take(_ piece: claw_h2_piece, _ connection: UnsafeMutablePointer<Connection>) -> Bool {
        if let bytes = piece.bytes { return copySpan(bytes, Int(piece.length), to: &connection.pointee.output) }
        guard let index = exchange(of: piece.user) else { return piece.length == 0 }
        let exchange = exchanges.base + Int(index)
        guard moveSpan(Int(piece.length), from: &exchange.pointee.output, to: &connection.pointee.output) else { return false }
        exchange.pointee.bytesOut += UInt64(piece.length)
        if piece.ends != 0 || (exchange.pointee.hasGivenTrailers && exchange.pointee.output.isEmpty) {
            markEnding(index)
        } else if exchange.pointee.output.isEmpty {
            outputTaken(index)
        } else if exchange.pointee.phase == .write {
            setTimer(index, now + exchange.pointee.plan.pointee.writeTimeout)
        }
        return true
    }

    // MARK: time

    /// An idle connection ends; one with streams is asked whether anybody is there.
    func expireSession(_ index: UInt32) {
        let connection = connections.base + Int(index)
        guard let session = connection.pointee.session else { return }
        if connection.pointee.streams == 0 {
            let end = connection.pointee.heardAt + plan.pointee.idleTimeout
            if now < end { return timers.set(connectionTimers + Int(index), end) }
            // It was told already and does not read: nobody waits for it any longer.
            if connection.pointee.closesAfter, connection.pointee.isBlocked { return abandon(index, reset: true) }
            timers.set(connectionTimers + Int(index), now + plan.pointee.writeTimeout)
            connection.pointee.closesAfter = true
            _ = claw_h2_goaway(session, StreamError.noError, 1)
            return flushStreams(index)
        }
        let ping = plan.pointee.http2.pingNanoseconds
        if ping == 0 { return }
        if connection.pointee.pingedAt != 0, now >= connection.pointee.pingedAt + ping {
            metrics.add(.refused, RefusalLabel.vanished.rawValue)
            return abandon(index, reset: true)
        }
        if connection.pointee.pingedAt == 0, now >= connection.pointee.heardAt + ping {
            connection.pointee.pingedAt = now
            _ = claw_h2_ping(session)
            markDirty(index)
        }
        timers.set(connectionTimers + Int(index), (connection.pointee.pingedAt != 0 ? connection.pointee.pingedAt : connection.pointee.heardAt) + ping)
    }

    /// The gateway ends: streams that run may finish, new ones are for somebody else.
    func drainSession(_ index: UInt32) {
        let connection = connections.base + Int(index)
        guard let session = connection.pointee.session else { return }
        _ = claw_h2_goaway(session, StreamError.noError, 1)
        markDirty(index)
    }
}

/// Words for the log that are no words of the session's own.
enum StaticWord {
    static var streamError: UnsafePointer<CChar> { pointer("stream_error") }
    static func pointer(_ text: StaticString) -> UnsafePointer<CChar> { UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self) }
}
