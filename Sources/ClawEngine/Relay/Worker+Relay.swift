// The relay moves an answer's body from the upstream's receive buffer to the client's socket without copying it: spans of the buffer go into the
// exchange's output and the buffer goes back when they are sent. It knows the upstream's framing, gives the client its own, and lets the tap read
// along. Commit barrier: a model's stream is held back, head and all, until its first content event (or `server.stream_buffer_kb` of
// preamble), so that a failure before it can still go to another candidate.
import CClaw
import CScan
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

extension Worker {
    // MARK: taking the upstream's bytes

    /// Body bytes of the answer in `buffer`, from ..< to. The caller keeps its reference on the buffer.
    func relay(_ index: UInt32, _ buffer: UInt32, from: Int, to: Int) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .relaying else { return }
        let base = buffers.pointer(buffer)
        let generation = exchange.pointee.generation
        switch exchange.pointee.upstreamFraming {
        case .none:
            if exchange.pointee.transfer >= 0 || exchange.pointee.upstreamStream != 0 { return }
            return answerComplete(index, reusable: from == to && exchange.pointee.upstreamKeepsAlive)
        case .contentLength:
            let take = Int(min(UInt64(to - from), exchange.pointee.upstreamRemaining))
            exchange.pointee.upstreamRemaining -= UInt64(take)
            let isLast = exchange.pointee.upstreamRemaining == 0
            if take > 0, !deliver(index, base + from, take, buffer, isWhole: isLast && exchange.pointee.bytesRelayed == 0) { return }
            // With curl the end comes as an event of its own, which also says that the request's memory is free.
            if isLast, exchange.pointee.transfer < 0, exchange.pointee.upstreamStream == 0 { return answerComplete(index, reusable: from + take == to && exchange.pointee.upstreamKeepsAlive) }
        case .untilClose:
            if to > from, !deliver(index, base + from, to - from, buffer, isWhole: false) { return }
        case .chunked:
            if !relayChunks(index, base, buffer, from: from, to: to) { return }
        }
        guard exchange.pointee.generation == generation, exchange.pointee.state == .relaying else { return }
        // While the client is the one waited for, bytes from upstream are no progress (faults H1-33).
        if exchange.pointee.phase != .write, exchange.pointee.phase != .errorBody, !(exchange.pointee.isRewritten && exchange.pointee.sawDone) {
            exchange.pointee.phaseDeadline = now + presentUpstream(exchange).pointee.idleStreamTimeout
        }
        if exchange.pointee.pingAt != 0 { exchange.pointee.pingAt = now + exchange.pointee.plan.pointee.ssePing }
        if !exchange.pointee.isHeld, !exchange.pointee.output.isEmpty || exchange.pointee.answerLines.length > 0 { pushLater(index) }
    }

    /// The same for bytes in memory of somebody else's: they are copied (rare: behind a very long head).
    func relayCopy(_ index: UInt32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        var at = 0
        let generation = exchanges.base[Int(index)].generation
        repeat {
            let buffer = buffers.take()
            guard buffer != noIndex else { return attemptFailed(index, .buffersExhausted) }
            let take = min(count - at, buffers.size)
            memcpy(buffers.pointer(buffer), bytes + at, take)
            relay(index, buffer, from: 0, to: take)
            buffers.release(buffer)
            at += take
        } while at < count && exchanges.base[Int(index)].generation == generation
    }

    /// Chunked framing. Whole plain chunks go on as they are, framing and all; the rest is framed anew, so that after each read the client stands
    /// between two chunks and an honest end can always be written.
    private func relayChunks(_ index: UInt32, _ base: UnsafeMutablePointer<UInt8>, _ buffer: UInt32, from: Int, to: Int) -> Bool {
        let exchange = exchanges.base + Int(index)
        let input = UnsafeRawBufferPointer(start: base, count: to)
        var at = from
        while true {
            if exchange.pointee.answerIsChunked, exchange.pointee.answerChunks.isBetweenChunks, !exchange.pointee.isRewritten, !(exchange.pointee.hidesUsage && exchange.pointee.sawFinish) {
                let begin = at
                var start = at
                while let chunk = ChunkedReader.plainChunk(input, at: at) {
                    // While usage is being hidden only a chunk that is one whole event can go on, or be left out, as it is.
                    if exchange.pointee.hidesUsage, !isOneEvent(exchange, base + chunk.dataStart, chunk.dataCount) { break }
                    switch read(exchange, base + chunk.dataStart, chunk.dataCount) {
                    case .goOn: break
                    case .hidden:
                        if at > start { append(exchange, base + start, at - start, buffer) }
                        start = chunk.end
                    case .failed:
                        failedInBand(index)
                        return false
                    }
                    if exchange.pointee.collectsCopy {
                        collectCopy(exchange, base + chunk.dataStart, chunk.dataCount)
                    } else if exchange.pointee.answerIsJSON {
                        exchange.pointee.tail.append(base + chunk.dataStart, chunk.dataCount)
                    }
                    exchange.pointee.bytesRelayed += UInt64(chunk.dataCount)
                    at = chunk.end
                    if exchange.pointee.hidesUsage, exchange.pointee.sawFinish { break }
                }
                if at > begin {
                    if at > start { append(exchange, base + start, at - start, buffer) }
                    if exchange.pointee.isHeld, exchange.pointee.sawContent || exchange.pointee.output.bytes > exchange.pointee.plan.pointee.streamBufferBytes {
                        commit(index)
                    }
                    continue
                }
            }
            switch exchange.pointee.answerChunks.next(input, from: at) {
            case .needMore: return true
            case .data(let range):
                if !deliver(index, base + range.lowerBound, range.count, buffer, isWhole: false) { return false }
                at = range.upperBound
            case .end(let end):
                answerComplete(index, reusable: end == to && exchange.pointee.upstreamKeepsAlive)
                return false
            case .refused:
                attemptFailed(index, exchange.pointee.isCommitted ? .upstreamTruncated : .upstreamMalformed)
                return false
            }
        }
    }

    /// Does this piece begin between two events and hold exactly one?
    private func isOneEvent(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        let end: StaticString = "\n\n"
        return exchange.pointee.events.isBetweenEvents && count > 2 && cscan_find(bytes, count, end.utf8Start, 2) == count - 2
    }

    private enum ReadResult { case goOn, hidden, failed }

    /// Lets the tap read one piece of the body. `.failed`: an error before the commit. `.hidden`: its last event is not for the client.
    private func read(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> ReadResult {
        guard exchange.pointee.isStream else { return .goOn }
        if exchange.pointee.translation != nil {
            let verdict = tapForeign(exchange, bytes, count)
            if verdict == .error { maskKey(exchange, bytes, count) }
            return note(exchange, verdict, nil, isTapped: true)
        }
        let piece = UnsafeRawBufferPointer(start: bytes, count: count)
        var at = 0
        var result = ReadResult.goOn
        while true {
            guard case .event(let event) = exchange.pointee.events.next(piece, from: at) else { return result }
            let verdict = tap(exchange, event)
            if verdict == .error { maskKey(exchange, bytes + at, event.end - at) }
            at = event.end
            if note(exchange, verdict, event.data) == .failed { return .failed }
            result = verdict == .hidden ? .hidden : .goOn
        }
    }

    /// An error event that passes as it is does not tell the client our key.
    private func maskKey(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        Redaction.mask(presentKey(exchange), in: UnsafeMutableRawBufferPointer(start: UnsafeMutablePointer(mutating: bytes), count: count))
    }

    /// What a verdict means for timings and for the commit barrier. `data`: of the event, nil where the verdict is that of a reader.
    private func note(_ exchange: UnsafeMutablePointer<Exchange>, _ verdict: Tap.Verdict, _ data: UnsafeRawBufferPointer?, isTapped: Bool = false) -> ReadResult {
        switch verdict {
        case .preamble, .hidden: break
        case .content where isTapped: exchange.pointee.sawContent = true
        case .content:
            if exchange.pointee.firstContentAt == 0 {
                exchange.pointee.firstContentAt = now
            } else if now != exchange.pointee.lastContentAt {
                metrics.observe(.interToken, presentUpstream(exchange).pointee.label, nanoseconds: now &- exchange.pointee.lastContentAt)
            }
            exchange.pointee.lastContentAt = now
            exchange.pointee.sawContent = true
            exchange.pointee.contentEvents += 1
        case .error:
            if exchange.pointee.isHeld {
                if decideInBand(exchange, data) { return .failed }
                // Nobody else to ask: the upstream's own words go to the client.
                exchange.pointee.sawContent = true
            }
            exchange.pointee.failure = .upstreamInBand
            exchange.pointee.sawDone = true
        }
        return .goOn
    }

    /// One piece of the body on its way to the client. False when the attempt was given up.
    private func deliver(_ index: UInt32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ buffer: UInt32, isWhole: Bool) -> Bool {
        let exchange = exchanges.base + Int(index)
        exchange.pointee.bytesRelayed += UInt64(count)
        if exchange.pointee.isCollecting { return collect(index, bytes, count) }
        if exchange.pointee.isRewritten { return rewrite(index, bytes, count) }
        if exchange.pointee.isStream {
            if exchange.pointee.hidesUsage { return deliverHiding(index, bytes, count, buffer) }
            if read(exchange, bytes, count) == .failed {
                failedInBand(index)
                return false
            }
        } else if exchange.pointee.collectsCopy {
            if isWhole { readAlong(exchange, UnsafeRawBufferPointer(start: bytes, count: count)) } else { collectCopy(exchange, bytes, count) }
        } else if exchange.pointee.answerIsJSON {
            if isWhole {
                takeUsageFromEnd(exchange, bytes, count)
            } else {
                exchange.pointee.tail.append(bytes, count)
            }
        }
        frame(exchange, bytes, count, buffer)
        if exchange.pointee.lostBytes { return giveUp(index) }
        if exchange.pointee.isHeld, exchange.pointee.sawContent || exchange.pointee.output.bytes > exchange.pointee.plan.pointee.streamBufferBytes { commit(index) }
        return true
    }

    /// As `deliver`, leaving out the usage event that only the gateway asked for. From the finish event on, an unfinished event at the end of a
    /// read is held back until it is known not to be that one.
    private func deliverHiding(_ index: UInt32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ buffer: UInt32) -> Bool {
        let exchange = exchanges.base + Int(index)
        let piece = UnsafeRawBufferPointer(start: bytes, count: count)
        var start = exchange.pointee.hidesLineFeed && count > 0 && bytes[0] == 10 ? 1 : 0
        var at = start
        if count > 0 { exchange.pointee.hidesLineFeed = false }
        while case .event(let event) = exchange.pointee.events.next(piece, from: at) {
            let verdict = tap(exchange, event)
            if verdict == .error { maskKey(exchange, bytes + at, event.end - at) }
            if note(exchange, verdict, event.data) == .failed {
                failedInBand(index)
                return false
            }
            if verdict == .hidden {
                if at > start { frame(exchange, bytes + start, at - start, buffer) }
                exchange.pointee.holdbackLength = 0
                start = event.end
                if start == count, start > 0, bytes[start - 1] == 13 { exchange.pointee.hidesLineFeed = true }
            } else if exchange.pointee.holdbackLength > 0 {
                releaseHoldback(exchange)
            }
            at = event.end
        }
        var end = count
        if exchange.pointee.sawFinish, at < count, exchange.pointee.holdbackLength + count - at <= Exchange.holdbackMax {
            if exchange.pointee.holdback == nil { exchange.pointee.holdback = .allocate(capacity: Exchange.holdbackMax) }
            memcpy(exchange.pointee.holdback.unsafelyUnwrapped + exchange.pointee.holdbackLength, bytes + at, count - at)
            exchange.pointee.holdbackLength += count - at
            end = at
        } else if exchange.pointee.holdbackLength > 0, at < count {
            releaseHoldback(exchange)
        }
        if end > start { frame(exchange, bytes + start, end - start, buffer) }
        if exchange.pointee.lostBytes { return giveUp(index) }
        if exchange.pointee.isHeld, exchange.pointee.sawContent || exchange.pointee.output.bytes > exchange.pointee.plan.pointee.streamBufferBytes { commit(index) }
        return true
    }

    /// All buffers are in use, and a piece of the body had no room: an answer with a hole in it is no answer.
    private func giveUp(_ index: UInt32) -> Bool {
        attemptFailed(index, .buffersExhausted)
        return false
    }

    private func releaseHoldback(_ exchange: UnsafeMutablePointer<Exchange>) {
        let length = exchange.pointee.holdbackLength
        exchange.pointee.holdbackLength = 0
        guard length > 0, let holdback = exchange.pointee.holdback else { return }
        guard let room = buffers.reserve(length) else {
            exchange.pointee.lostBytes = true
            return
        }
        memcpy(room, holdback, length)
        let segment = buffers.commit(length)
        frame(exchange, UnsafeMutablePointer(mutating: segment.base), length, segment.buffer)
        buffers.release(segment.buffer)
    }

    // MARK: giving it to the client

    @inline(__always)
    private func append(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ count: Int, _ buffer: UInt32) {
        // What has to wait is packed together: a small span would keep a whole buffer from everybody else.
        if count <= 4096, exchange.pointee.isPaused || exchange.pointee.isHeld, copySpan(bytes, count, to: &exchange.pointee.output) { return }
        buffers.retain(buffer)
        exchange.pointee.output.append(Segment(base: bytes, length: UInt32(truncatingIfNeeded: count), buffer: buffer))
        exchange.pointee.heldBuffers += 1
    }

    /// Appends body bytes in the client's framing.
    private func frame(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ buffer: UInt32) {
        guard exchange.pointee.answerHasBody, exchange.pointee.method != .head else { return }
        if exchange.pointee.answerIsChunked {
            guard let room = buffers.reserve(24) else {
                exchange.pointee.lostBytes = true
                return
            }
            var writer = TextWriter(room)
            writer.put(chunkSize: UInt64(count))
            writer.put("\r\n")
            exchange.pointee.output.append(buffers.commit(writer.count))
            append(exchange, bytes, count, buffer)
            appendStatic(exchange, "\r\n")
        } else {
            append(exchange, bytes, count, buffer)
        }
    }

    func appendStatic(_ exchange: UnsafeMutablePointer<Exchange>, _ text: StaticString) {
        exchange.pointee.output.append(Segment(base: text.utf8Start, length: UInt32(text.utf8CodeUnitCount), buffer: noIndex))
    }

    /// Nothing speaks against this answer any more: it may go out, and no other candidate will be asked.
    func commit(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.partner != noIndex { isFirst(index) }
        exchange.pointee.isHeld = false
        exchange.pointee.isCommitted = true
        provesBreaker(exchange)
        let isSent = exchange.pointee.upstreamStream != 0
            ? exchange.pointee.uploadIsWhole && exchange.pointee.upload.isEmpty
            : exchange.pointee.link == noIndex || links.base[Int(exchange.pointee.link)].sentAll
        if isSent, exchange.pointee.transfer < 0, exchange.pointee.continuation == nil { releaseRequest(exchange) }
        if exchange.pointee.plan.pointee.ssePing > 0 {
            exchange.pointee.pingAt = now + exchange.pointee.plan.pointee.ssePing
            setTimer(index, now + silenceMax(exchange))
        }
    }

    /// Lets the request's bytes go, so that a long stream holds none; what the log wants is copied out.
    func releaseRequest(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard exchange.pointee.logMemory == nil else { return }
        let path = min(exchange.pointee.path.count, 512)
        let model = min(exchange.pointee.requestedModel.count, 256)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, path + model))
        if let from = exchange.pointee.path.baseAddress { memcpy(memory, from, path) }
        if let from = exchange.pointee.requestedModel.baseAddress { memcpy(memory + path, from, model) }
        exchange.pointee.logMemory = memory
        exchange.pointee.path = UnsafeRawBufferPointer(start: memory, count: path)
        exchange.pointee.requestedModel = UnsafeRawBufferPointer(start: memory + path, count: model)
        dropRequest(exchange)
    }

    private func dropRequest(_ exchange: UnsafeMutablePointer<Exchange>) {
        if exchange.pointee.bodyCapacity > 0, let body = exchange.pointee.bodyBase {
            bodyStore.give(body, capacity: exchange.pointee.bodyCapacity)
        }
        dropSentBody(exchange)
        buffers.release(exchange.pointee.bodyBuffer)
        exchange.pointee.bodyBuffer = noIndex
        exchange.pointee.bodyBase = nil
        exchange.pointee.bodyCapacity = 0
        if let scan = exchange.pointee.scan {
            scan.pointee.release()
            scan.deallocate()
            exchange.pointee.scan = nil
        }
        exchange.pointee.bodyIsJSON = false
        exchange.pointee.pathMemory?.deallocate()
        exchange.pointee.pathMemory = nil
        exchange.pointee.headMemory?.deallocate()
        exchange.pointee.headMemory = nil
        if exchange.pointee.headBuffer != noIndex {
            buffers.release(exchange.pointee.headBuffer)
            exchange.pointee.headBuffer = noIndex
        }
    }

    /// The upstream has delivered the whole answer.
    func answerComplete(_ index: UInt32, reusable: Bool) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isCollecting { return answerCollected(index, reusable: reusable) }
        if exchange.pointee.isRewritten {
            guard finishRewriting(index) else { return }
        } else if exchange.pointee.isStream {
            finishTapping(exchange)
            if exchange.pointee.translation == nil { exchange.pointee.endedInEvent = !exchange.pointee.events.isBetweenEvents }
            let (_, doneAtEnd) = exchange.pointee.events.finish()
            if doneAtEnd { exchange.pointee.sawDone = true }
            let wantsMark = presentUpstream(exchange).pointee.isModel && exchange.pointee.status < 300
            if wantsMark, !exchange.pointee.sawDone {
                // A clean end without the dialect's last event is a broken answer (faults SS-05).
                if !exchange.pointee.isCommitted, !exchange.pointee.sawContent {
                    if canMoveOn(exchange, after: .upstreamTruncated) { return attemptFailed(index, .upstreamTruncated) }
                }
                exchange.pointee.upstreamCut = true
                if exchange.pointee.sawFinish {
                    metrics.add(.streamsTruncated, exchange.pointee.route >= 0 ? exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.label : 0)
                } else {
                    if !exchange.pointee.isCommitted, !exchange.pointee.sawContent { return attemptFailed(index, .upstreamTruncated) }
                    exchange.pointee.isCommitted = true
                    return attemptFailed(index, .upstreamTruncated)
                }
            }
            // What is held back is an event without its end: worth something only as a [DONE] whose empty line is missing.
            if exchange.pointee.holdbackLength > 0, doneAtEnd { releaseHoldback(exchange) }
            exchange.pointee.holdbackLength = 0
        } else if exchange.pointee.collectsCopy {
            if exchange.pointee.collectedLength > 0 { readAlong(exchange, UnsafeRawBufferPointer(start: exchange.pointee.collected, count: exchange.pointee.collectedLength)) }
        } else if let tail = exchange.pointee.tail.base, exchange.pointee.tail.length > 0 {
            takeUsageFromEnd(exchange, tail, exchange.pointee.tail.length)
        }
        if exchange.pointee.answerIsChunked, exchange.pointee.method != .head {
            appendStatic(exchange, "0\r\n")
            if exchange.pointee.trailers.length > 0 {
                exchange.pointee.output.append(exchange.pointee.trailers)
                buffers.retain(exchange.pointee.trailers.buffer)
            }
            appendStatic(exchange, "\r\n")
        }
        closeAttempt(exchange, exchange.pointee.failure == .upstreamInBand ? exchange.pointee.inBandClass : statusClass(exchange), status: exchange.pointee.status)
        releaseUpstream(index, reusable: reusable)
        exchange.pointee.isHeld = false
        exchange.pointee.state = .draining
        exchange.pointee.phase = .none
        exchange.pointee.totalDeadline = 0
        exchange.pointee.pingAt = 0
        push(index)
    }

    /// What the answer's status means. The 404 of a plain backend, or of a provider's files, is of what was asked for, and of no model.
    private func statusClass(_ exchange: UnsafeMutablePointer<Exchange>) -> ErrorClass {
        let errorClass = Self.errorClass(of: exchange.pointee.status)
        return errorClass == .modelMissing && !(presentUpstream(exchange).pointee.isModel && exchange.pointee.surface.isModel) ? .badRequest : errorClass
    }

    static func errorClass(of status: UInt16) -> ErrorClass {
        switch status {
        case 0..<400: .none
        case 401, 403: .auth
        case 404: .modelMissing
        case 429: .rateLimited
        case 503, 529: .overloaded
        case 500...: .serverError
        default: .badRequest
        }
    }

    /// A failure after the commit: a stream ends with an error event of the client's dialect, anything else with a reset; never like a good end.
    func truncate(_ index: UInt32, _ kind: FailureKind) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isDetached { return detachedFailed(index, kind) }
        exchange.pointee.failure = kind
        exchange.pointee.upstreamCut = kind != .draining
        dropUpstream(index)
        if exchange.pointee.stream == 0 { connections.base[Int(exchange.pointee.connection)].closesAfter = true }
        metrics.add(.streamsTruncated, exchange.pointee.route >= 0 ? exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.label : 0)
        if exchange.pointee.isStream, exchange.pointee.answerIsChunked || exchange.pointee.versionMinor == 0 || exchange.pointee.stream != 0 {
            // A piece of an event that can't become whole, and may be the one the client must not see.
            exchange.pointee.holdbackLength = 0
            if !appendErrorEvent(exchange, kind) {
                exchange.pointee.resetsClient = true
            } else if exchange.pointee.answerIsChunked {
                appendStatic(exchange, "0\r\n\r\n")
            }
        } else {
            exchange.pointee.resetsClient = true
        }
        exchange.pointee.isHeld = false
        exchange.pointee.state = .draining
        exchange.pointee.phase = .none
        exchange.pointee.totalDeadline = 0
        exchange.pointee.pingAt = 0
        push(index)
    }

    /// False: there is no buffer for it.
    private func appendErrorEvent(_ exchange: UnsafeMutablePointer<Exchange>, _ kind: FailureKind) -> Bool {
        if exchange.pointee.translation != nil || exchange.pointee.continuation != nil { return appendForeignError(exchange, kind, Self.sentence(kind)) }
        guard let room = buffers.reserve(1024) else { return false }
        let row = kind.row
        let body = scratch
        var writer = TextWriter(body)
        // Ends an event that was under way, so that the error is one of its own.
        if !exchange.pointee.events.isBetweenEvents || exchange.pointee.endedInEvent { writer.put("\n\n") }
        if exchange.pointee.surface == .responses {
            writer.put("event: error\ndata: {\"type\":\"error\",\"code\":\"")
            writer.put(row.code)
            writer.put("\",\"message\":\"")
            writer.put(Self.sentence(kind))
            writer.put("\",\"param\":null}\n\n")
        } else {
            writer.put("data: {\"error\":{\"message\":\"")
            writer.put(Self.sentence(kind))
            writer.put("\",\"type\":\"")
            writer.put(row.type)
            writer.put("\",\"param\":null,\"code\":\"")
            writer.put(row.code)
            writer.put("\"}}\n\n")
        }
        var out = TextWriter(room)
        if exchange.pointee.answerIsChunked {
            out.put(chunkSize: UInt64(writer.count))
            out.put("\r\n")
        }
        out.put(UnsafeRawBufferPointer(start: body, count: writer.count))
        if exchange.pointee.answerIsChunked { out.put("\r\n") }
        exchange.pointee.output.append(buffers.commit(out.count))
        return true
    }

    private static func sentence(_ kind: FailureKind) -> StaticString {
        switch kind {
        case .idleTimeout: "the upstream went silent in the middle of its answer"
        case .totalTimeout: "the request took too long in all"
        case .draining: "the gateway is shutting down"
        case .upstreamMalformed: "the upstream's answer was not valid HTTP, or not what its API prescribes"
        default: "the upstream's answer broke off; what was sent so far is not complete"
        }
    }

    // MARK: the end

    /// The only way an exchange ends: account, log, give everything back, and let the connection go on.
    func finish(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isDetached { return finishDetached(index) }
        let end = clock()
        exchange.pointee.overhead &+= end &- max(now, exchange.pointee.startedAt)
        if exchange.pointee.partner != noIndex { cancelHedge(index) }
        giveEverythingBack(exchange)
        account(exchange, end: end)
        if exchange.pointee.shadow != nil { shadowEnds(exchange) }
        let connection = exchange.pointee.connection
        let reset = exchange.pointee.resetsClient
        let stream = exchange.pointee.stream
        let isOnStream = connections.base[Int(connection)].state != .exchanging
        let error: UInt32? = !reset ? nil : exchange.pointee.clientGone ? StreamError.cancel : StreamError.internalError
        let bodyIsComplete = exchange.pointee.isConnect ? exchange.pointee.clientEnded : exchange.pointee.bodyIsComplete
        if isOnStream { unlinkStream(index) }
        giveBack(index)
        if isOnStream {
            streamEnded(connection, stream: stream, error: error, bodyIsComplete: bodyIsComplete)
        } else {
            exchangeEnded(connection, reset: reset)
        }
    }

    /// Everything that an exchange still has goes back, its slot last.
    func giveBack(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        timers.clear(exchangeTimers + Int(index))
        dropRequest(exchange)
        dropTunnel(exchange)
        exchange.pointee.logMemory?.deallocate()
        exchange.pointee.logMemory = nil
        exchange.pointee.answerMemory?.deallocate()
        exchange.pointee.answerMemory = nil
        exchange.pointee.sentHeadMemory?.deallocate()
        exchange.pointee.sentHeadMemory = nil
        exchange.pointee.holdback?.deallocate()
        exchange.pointee.holdback = nil
        exchange.pointee.tail.release()
        dropTranslation(exchange)
        dropSavedFields(exchange)
        exchange.pointee.refusal400?.deallocate()
        exchange.pointee.refusal400 = nil
        exchange.pointee.droppedNames?.deallocate()
        exchange.pointee.droppedNames = nil
        exchange.pointee.output.release()
        dropWrittenBlocks(exchange)
        dropAnswerLines(exchange)
        dropTrailers(exchange)
        dropUpload(exchange)
        dropContinuation(exchange)
        exchange.pointee.events = EventScanner()
        exchange.pointee.state = .free
        let running = exchange.pointee.plan.pointee.inFlight + self.index * Plan.inFlightStride
        claw_word_store(running, claw_word_load_relaxed(running) &- 1)
        exchanges.give(Int(index))
        metrics.set(.streams, exchanges.inUse)
    }
}
