// Transport `direct` over HTTP/2: a link carries many exchanges, each on a stream of its own, so that a request may still be going out while its answer
// comes in. That is what gRPC needs; its requests go upstream as they come (`streamsBody`), every other request whole. A link is shared by
// all exchanges of a worker for its endpoint, up to the peer's limit of streams; one is opened at a time and the others wait for it.
import CClaw
import ClawConfig
import ClawWire
import Glibc

extension Worker {
    private static let trailersMax = 16384
    /// Connections over which one attempt may be turned away by GOAWAY.
    private static let turnedAwayMax = 16

    // MARK: links

    /// Sends the present attempt over a link that is open already. False: there is none with room.
    func joinSession(_ index: UInt32, _ state: UnsafeMutablePointer<EndpointState>, fresh: Bool) -> Bool {
        var at = 0
        while at < state.pointee.sessions.count {
            let linkIndex = state.pointee.sessions[at]
            if !fresh || !links.base[Int(linkIndex)].isReused, ask(index, over: linkIndex) { return true }
            at += 1
        }
        return false
    }

    /// The link is connected and the peer speaks HTTP/2.
    func openSession(_ linkIndex: UInt32, _ index: UInt32) {
        let link = links.base + Int(linkIndex)
        let exchange = exchanges.base + Int(index)
        var options = claw_h2_options()
        options.is_client = 1
        options.head_bytes_max = UInt32(clamping: exchange.pointee.plan.pointee.headLimits.headBytesMax)
        options.head_fields_max = UInt32(clamping: exchange.pointee.plan.pointee.headLimits.fieldsMax)
        // A paused stream holds no more than its client's buffer; the connection's window has no part in it: streams that wait would close it for the others.
        options.stream_window = UInt32(clamping: max(65536, exchange.pointee.plan.pointee.streamBufferBytes))
        options.connection_window = UInt32(Int32.max)
        // Upstreams are configured, not strangers, and gRPC servers measure the way with a PING a round trip.
        options.control_max = 100_000
        options.control_per_second = 20_000
        var session: OpaquePointer?
        exchange.pointee.link = noIndex
        link.pointee.exchange = noIndex
        guard claw_h2_create(&options, &session) == 0, let session else {
            closeLink(linkIndex, reset: true)
            return attemptFailed(index, .upstreamProtocol)
        }
        link.pointee.session = session
        link.pointee.state = .multiplexing
        link.pointee.heardAt = now
        if link.pointee.receiveMode != UInt8(CLAW_RECEIVE_BUFFERED) {
            link.pointee.receiveMode = UInt8(CLAW_RECEIVE_BUFFERED)
            _ = claw_receive(loop, link.pointee.fd, UInt32(CLAW_RECEIVE_BUFFERED))
        }
        let state = endpoint(Int(link.pointee.place))
        state.pointee.sessions.append(linkIndex)
        state.pointee.prefersHTTP1 = false
        markSession(linkIndex)
        if !ask(index, over: linkIndex) { attemptFailed(index, .upstreamPending) }
    }

    func dropLinkSession(_ linkIndex: UInt32) {
        let link = links.base + Int(linkIndex)
        guard let session = link.pointee.session else { return }
        claw_h2_destroy(session)
        link.pointee.session = nil
        let state = endpoint(Int(link.pointee.place))
        if let at = state.pointee.sessions.firstIndex(of: linkIndex) { state.pointee.sessions.remove(at: at) }
    }

    private func markSession(_ linkIndex: UInt32) {
        let link = links.base + Int(linkIndex)
        if link.pointee.isDirty { return }
        link.pointee.isDirty = true
        dirtyLinks[dirtyLinkCount] = linkIndex
        dirtyLinkCount += 1
    }

    func flushSessions() {
        while dirtyLinkCount > 0 {
            dirtyLinkCount -= 1
            let linkIndex = dirtyLinks[dirtyLinkCount]
            guard links.base[Int(linkIndex)].isDirty else { continue }
            links.base[Int(linkIndex)].isDirty = false
            flushSession(linkIndex)
            settle()
        }
    }

    // MARK: asking

    /// Opens a stream for the present attempt. False: the link takes no more. Until the peer's SETTINGS have come, which are the first it sends, its
    /// limit of streams is not known: one request goes out meanwhile, the others wait, because what is beyond the limit would be refused.
    private func ask(_ index: UInt32, over linkIndex: UInt32) -> Bool {
        let link = links.base + Int(linkIndex)
        let exchange = exchanges.base + Int(index)
        guard link.pointee.state == .multiplexing, !link.pointee.isClosing, let session = link.pointee.session else { return false }
        if !link.pointee.sawBytes, link.pointee.streams > 0 { return false }
        let upstream = presentUpstream(exchange)
        let edits = edits(exchange)
        let bound = requestHeadBound(exchange, upstream) + 64
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: bound)
        defer { memory.deallocate() }
        restoreHead(index)
        var writer = TextWriter(memory)
        writer.put(exchange.pointee.headBase + requestHead.methodOffset, requestHead.methodLength)
        writer.put(byte: 32)
        writeTarget(exchange, upstream, &writer)
        writer.put(" HTTP/1.1\r\n")
        let endpoint = exchange.pointee.endpoint.unsafelyUnwrapped
        writer.put(endpoint.pointee.hostLine)
        writeFields(index, upstream, &writer)
        if exchange.pointee.streamsBody {
            writer.put("te: trailers\r\n")
        } else {
            let length = outgoingLength(exchange, edits)
            if length > 0 || exchange.pointee.method == .post || exchange.pointee.method == .put || exchange.pointee.method == .patch {
                writer.put("content-length: ")
                writer.put(number: UInt64(length))
                writer.put("\r\n")
            }
        }
        writer.put("\r\n")
        precondition(writer.count <= bound, "a request head stays within its bound")
        let hasBody = exchange.pointee.streamsBody ? !exchange.pointee.uploadIsWhole || !exchange.pointee.upload.isEmpty : outgoingLength(exchange, edits) > 0
        let token = SlotToken(.none, generation: exchange.pointee.generation, index: index)
        let scheme: StaticString = endpoint.pointee.isTLS ? "https" : "http"
        let id = claw_h2_ask(
            session, UnsafeRawPointer(memory).assumingMemoryBound(to: CChar.self), writer.count, StaticWord.pointer(scheme), token.value, hasBody ? 0 : 1)
        if id < 0 {
            if id == -EAGAIN { return false }
            attemptFailed(index, .upstreamMalformed)
            return true
        }
        if !exchange.pointee.streamsBody {
            dropUpload(exchange)
            appendBody(exchange, edits, to: &exchange.pointee.upload)
            exchange.pointee.uploadIsWhole = true
        }
        exchange.pointee.upstreamStream = UInt32(id)
        exchange.pointee.link = linkIndex
        exchange.pointee.nextOnLink = link.pointee.exchange
        exchange.pointee.previousOnLink = noIndex
        if link.pointee.exchange != noIndex { exchanges.base[Int(link.pointee.exchange)].previousOnLink = index }
        link.pointee.exchange = index
        link.pointee.streams += 1
        exchange.pointee.phase = .firstByte
        setTimer(index, now + upstream.pointee.firstByteTimeout)
        if hasBody { offerUpload(index) } else { uploadSent(exchange) }
        markSession(linkIndex)
        return true
    }

    private func offerUpload(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.upstreamStream != 0, let session = links.base[Int(exchange.pointee.link)].session else { return }
        _ = claw_h2_offer(session, exchange.pointee.upstreamStream, exchange.pointee.upload.bytes, exchange.pointee.uploadIsWhole ? 1 : 0)
        markSession(exchange.pointee.link)
    }

    private func uploadSent(_ exchange: UnsafeMutablePointer<Exchange>) {
        if exchange.pointee.sentAt != 0 { return }
        let read = clock()
        exchange.pointee.overhead = read &- max(exchange.pointee.startedAt, now)
        exchange.pointee.sentAt = read
    }

    func dropUpload(_ exchange: UnsafeMutablePointer<Exchange>) {
        while !exchange.pointee.upload.isEmpty { buffers.release(exchange.pointee.upload.dropFirst().buffer) }
        exchange.pointee.upload.release()
    }

    /// Is this a gRPC call, whose two directions run side by side?
    func isCall(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let at = requestHead.first(.contentType)
        guard at >= 0, exchange.pointee.surface == .plain else { return false }
        let field = requestHead.fields[at]
        let name: StaticString = "application/grpc"
        let length = Int(field.valueLength)
        guard length >= 16, Self.sameName(exchange.pointee.headBase + Int(field.valueOffset), name.utf8Start, 16) else { return false }
        if length == 16 { return true }
        let next = exchange.pointee.headBase[Int(field.valueOffset) + 16]
        return next == 43 || next == 59 || next == 32
    }

    /// More of a body that goes upstream as it comes. Its window is given back when it has gone.
    func takeUpload(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .attempting || exchange.pointee.state == .relaying, !exchange.pointee.uploadIsWhole else {
            return uploadTaken(exchange, count)
        }
        exchange.pointee.bytesIn += UInt64(count)
        guard copySpan(bytes, count, to: &exchange.pointee.upload) else { return attemptFailed(index, .buffersExhausted) }
        // A call whose client still speaks need not be answered yet.
        if exchange.pointee.phase == .firstByte { setTimer(index, now + presentUpstream(exchange).pointee.firstByteTimeout) }
        offerUpload(index)
    }

    func uploadIsWhole(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        exchange.pointee.bodyIsComplete = true
        guard !exchange.pointee.uploadIsWhole else { return }
        exchange.pointee.uploadIsWhole = true
        offerUpload(index)
    }

    private func uploadTaken(_ exchange: UnsafeMutablePointer<Exchange>, _ count: Int) {
        guard exchange.pointee.stream != 0, let session = connections.base[Int(exchange.pointee.connection)].session else { return }
        claw_h2_consume(session, exchange.pointee.stream, count)
        markDirty(exchange.pointee.connection)
    }

    /// Makes frames as far as the socket takes them.
    func flushSession(_ linkIndex: UInt32) {
        let link = links.base + Int(linkIndex)
        guard link.pointee.state == .multiplexing, let session = link.pointee.session else { return }
        while !link.pointee.isBlocked {
            while link.pointee.output.bytes < Self.framedMax {
                let count = claw_h2_produce(session, Self.framedMax - link.pointee.output.bytes, pieces, Int32(Self.piecesMax))
                if count <= 0 { break }
                for at in 0..<Int(count) {
                    if !takeUploaded(pieces[at], link) { return sessionLost(linkIndex) }
                }
            }
            if link.pointee.output.isEmpty { break }
            if !sendFramed(link.pointee.fd, &link.pointee.output, &link.pointee.isBlocked) { return sessionLost(linkIndex) }
        }
        guard takeUnsent(linkIndex, session) else { return }
        if link.pointee.streams == 0, link.pointee.output.isEmpty, link.pointee.isClosing || claw_h2_is_over(session) != 0 { closeLink(linkIndex, reset: false) }
    }

    /// What a GOAWAY in this very turn kept from going out is found while frames are made. False: the link has ended over it.
    private func takeUnsent(_ linkIndex: UInt32, _ session: OpaquePointer) -> Bool {
        let link = links.base + Int(linkIndex)
        let generation = link.pointee.generation
        var event = claw_h2_event()
        while claw_h2_next(session, &event) == 1 {
            takeSessionFrame(linkIndex, session, event, noIndex)
            settle()
            if link.pointee.generation != generation || link.pointee.session != session { return false }
        }
        return true
    }

    private func takeUploaded(_ piece: claw_h2_piece, _ link: UnsafeMutablePointer<Link>) -> Bool {
        if let bytes = piece.bytes { return copySpan(bytes, Int(piece.length), to: &link.pointee.output) }
        guard let index = exchange(of: piece.user) else { return piece.length == 0 }
        let exchange = exchanges.base + Int(index)
        guard moveSpan(Int(piece.length), from: &exchange.pointee.upload, to: &link.pointee.output) else { return false }
        exchange.pointee.uploadedAny = true
        if exchange.pointee.streamsBody, piece.length > 0 { uploadTaken(exchange, Int(piece.length)) }
        if exchange.pointee.uploadIsWhole, exchange.pointee.upload.isEmpty { uploadSent(exchange) }
        return true
    }

    // MARK: answers

    func takeSessionFrames(_ linkIndex: UInt32, _ buffer: UInt32, _ count: Int) {
        let link = links.base + Int(linkIndex)
        guard let session = link.pointee.session else { return }
        let generation = link.pointee.generation
        link.pointee.heardAt = now
        link.pointee.sawBytes = true
        claw_h2_clock(session, now)
        let result = claw_h2_feed(session, buffers.pointer(buffer), count)
        var event = claw_h2_event()
        while claw_h2_next(session, &event) == 1 {
            takeSessionFrame(linkIndex, session, event, buffer)
            settle()
            if link.pointee.generation != generation || link.pointee.session != session { return }
        }
        if result < 0 { return sessionLost(linkIndex) }
        markSession(linkIndex)
        openingEnded(linkIndex)
    }

    private func takeSessionFrame(_ linkIndex: UInt32, _ session: OpaquePointer, _ event: claw_h2_event, _ buffer: UInt32) {
        if event.kind == UInt32(CLAW_H2_GOAWAY) {
            let link = links.base + Int(linkIndex)
            link.pointee.isClosing = true
            let state = endpoint(Int(link.pointee.place))
            if let at = state.pointee.sessions.firstIndex(of: linkIndex) { state.pointee.sessions.remove(at: at) }
            return markSession(linkIndex)
        }
        guard let index = exchange(of: event.user) else {
            if event.kind == UInt32(CLAW_H2_DATA) { claw_h2_consume(session, event.stream, event.length) }
            return
        }
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.upstreamStream == event.stream, exchange.pointee.link == linkIndex else { return }
        switch Int(event.kind) {
        case CLAW_H2_HEAD:
            guard exchange.pointee.state == .attempting else { return }
            var parser = ResponseParser()
            var limits = exchange.pointee.plan.pointee.headLimits
            limits.headBytesMax += 64
            let bytes = UnsafeRawBufferPointer(start: event.bytes, count: event.length)
            guard event.flags & UInt32(CLAW_H2_TOO_LARGE) == 0, let head = event.bytes,
                case .complete = parser.parse(bytes, requestMethod: exchange.pointee.method, limits: limits, into: responseHead)
            else { return attemptFailed(index, .upstreamMalformed) }
            // A head that is the whole answer goes out as one too, with its end: gRPC's clients take nothing else for an error without messages.
            guard takeAnswerHead(index, head, isWhole: false), event.flags & UInt32(CLAW_H2_ENDED) == 0 else { return }
            if !exchange.pointee.isHeld { markAnswered(index) }
        case CLAW_H2_DATA:
            guard exchange.pointee.state == .relaying, let bytes = event.bytes else { return claw_h2_consume(session, event.stream, event.length) }
            let from = bytes - UnsafePointer(buffers.pointer(buffer))
            exchange.pointee.unconsumed += event.length
            let generation = exchange.pointee.generation
            relay(index, buffer, from: from, to: from + event.length)
            if exchange.pointee.generation == generation, exchange.pointee.upstreamStream == event.stream {
                if !exchange.pointee.isPaused { giveWindowBack(exchange) }
            }
        case CLAW_H2_TRAILERS:
            guard exchange.pointee.state == .relaying, let bytes = event.bytes, event.length <= Self.trailersMax else { return }
            keepTrailers(exchange, bytes, event.length)
        case CLAW_H2_END:
            guard exchange.pointee.state == .relaying else { return attemptFailed(index, .upstreamMalformed) }
            if case .contentLength = exchange.pointee.upstreamFraming, exchange.pointee.upstreamRemaining > 0, exchange.pointee.method != .head {
                return attemptFailed(index, .upstreamTruncated)
            }
            answerComplete(index, reusable: true)
        case CLAW_H2_RESET:
            let goesAway = links.base[Int(linkIndex)].isClosing
            leaveSession(index, error: nil)
            guard exchange.pointee.state == .attempting else { return attemptFailed(index, .upstreamTruncated) }
            guard event.error == StreamError.refusedStream else { return attemptFailed(index, .upstreamReset) }
            refused(index, goesAway: goesAway)
        default: break
        }
    }

    /// REFUSED_STREAM promises that nothing was done with the request (RFC 9113 §8.7): it is sent over another connection, as if nothing had happened. A peer
    /// that refuses by GOAWAY takes so many requests a connection and no more (nginx's keepalive_requests), so of a burst some are refused several times.
    private func refused(_ index: UInt32, goesAway: Bool) {
        let exchange = exchanges.base + Int(index)
        let mayRepeat = goesAway ? exchange.pointee.turnedAway < Self.turnedAwayMax : !exchange.pointee.staleRetryUsed
        guard mayRepeat, !exchange.pointee.streamsBody || !exchange.pointee.uploadedAny else { return attemptFailed(index, .upstreamPending) }
        if goesAway { exchange.pointee.turnedAway += 1 } else { exchange.pointee.staleRetryUsed = true }
        startDirect(index, fresh: !goesAway)
    }

    /// The answer's head may go out before there is any body: a stream's client waits for it.
    private func markAnswered(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.streamsBody { push(index) }
    }

    private func keepTrailers(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        dropTrailers(exchange)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, count))
        memcpy(memory, bytes, count)
        exchange.pointee.trailersMemory = memory
        exchange.pointee.trailers = Segment(base: UnsafePointer(memory), length: UInt32(truncatingIfNeeded: count), buffer: noIndex)
    }

    func dropTrailers(_ exchange: UnsafeMutablePointer<Exchange>) {
        exchange.pointee.trailersMemory?.deallocate()
        exchange.pointee.trailersMemory = nil
        exchange.pointee.trailers = Segment(base: Bytes.empty.base, length: 0, buffer: noIndex)
    }

    /// The client has taken what came: the upstream may send as much again.
    func giveWindowBack(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard exchange.pointee.unconsumed > 0, exchange.pointee.upstreamStream != 0, let session = links.base[Int(exchange.pointee.link)].session else { return }
        claw_h2_consume(session, exchange.pointee.upstreamStream, exchange.pointee.unconsumed)
        exchange.pointee.unconsumed = 0
        markSession(exchange.pointee.link)
    }

    // MARK: ends

    /// The exchange is done with its stream; with an error the upstream is told to stop.
    func leaveSession(_ index: UInt32, error: UInt32?) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.upstreamStream != 0 else { return }
        let linkIndex = exchange.pointee.link
        let link = links.base + Int(linkIndex)
        giveWindowBack(exchange)
        if let session = link.pointee.session {
            if let error { _ = claw_h2_reset(session, exchange.pointee.upstreamStream, error, 0) }
            claw_h2_user(session, exchange.pointee.upstreamStream, 0)
            markSession(linkIndex)
        }
        exchange.pointee.upstreamStream = 0
        exchange.pointee.link = noIndex
        exchange.pointee.unconsumed = 0
        if !exchange.pointee.streamsBody { dropUpload(exchange) }
        let next = exchange.pointee.nextOnLink
        let previous = exchange.pointee.previousOnLink
        if previous != noIndex { exchanges.base[Int(previous)].nextOnLink = next } else { link.pointee.exchange = next }
        if next != noIndex { exchanges.base[Int(next)].previousOnLink = previous }
        exchange.pointee.nextOnLink = noIndex
        exchange.pointee.previousOnLink = noIndex
        link.pointee.streams -= 1
        link.pointee.isReused = true
        // A peer that let this request run out of time, and said nothing on any stream for half of it, is not asked again over this link.
        if error != nil, exchange.pointee.phase == .firstByte, now >= exchange.pointee.phaseDeadline,
            now &- link.pointee.heardAt > presentUpstream(exchange).pointee.firstByteTimeout / 2
        {
            link.pointee.isClosing = true
        }
        let state = endpoint(Int(link.pointee.place))
        if !state.pointee.waiting.isEmpty { wakeWaiting(state) }
    }

    /// The link is gone, and with it every stream on it.
    func sessionLost(_ linkIndex: UInt32) {
        let link = links.base + Int(linkIndex)
        let wasReused = link.pointee.isReused
        link.pointee.isClosing = true
        let generation = link.pointee.generation
        while link.pointee.generation == generation, link.pointee.exchange != noIndex {
            let index = link.pointee.exchange
            let exchange = exchanges.base + Int(index)
            leaveSession(index, error: nil)
            switch exchange.pointee.state {
            case .attempting:
                let isUntouched = !exchange.pointee.uploadedAny || !exchange.pointee.streamsBody
                if wasReused, !exchange.pointee.staleRetryUsed, isUntouched, isRepeatable(exchange, after: .upstreamReset) {
                    exchange.pointee.staleRetryUsed = true
                    startDirect(index, fresh: true)
                } else {
                    attemptFailed(index, .upstreamReset)
                }
            case .relaying: attemptFailed(index, .upstreamTruncated)
            case .free, .receiving, .tunnelling, .draining: break
            }
        }
        if link.pointee.generation == generation { closeLink(linkIndex, reset: false) }
    }
}
