// Streams between dialects. The upstream's bytes are cut into its wire's events, each event is read into neutral ones and those are written in the
// client's dialect at once, so nothing waits. The commit barrier, the account and the errors see the neutral events; the relay's framing, pausing
// and flushing are those of any answer. A stream whose dialect is spoken on both sides passes untouched, and is only read along here.
import CClaw
import ClawDialect
import ClawWire
import Glibc

extension Worker {
    /// Writes the head of a stream in the client's dialect, held back until the first content.
    func beginRewriting(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard let translation = exchange.pointee.translation else { return }
        let quirks = presentUpstream(exchange).pointee.quirks
        translation._withUnsafeGuaranteedRef { translation in
            translation.reader = translation.back.pieces.streamReader(quirks)
            if translation.writer == nil { translation.writer = translation.front.pieces.streamWriter(translation.context) }
        }
        exchange.pointee.isRewritten = true
        exchange.pointee.isStream = true
        if exchange.pointee.isCommitted, let continuation = exchange.pointee.continuation { return hasResumed(index, continuation) }
        exchange.pointee.isHeld = true
        let connection = connections.base + Int(exchange.pointee.connection)
        guard let start = answerRoom(exchange, 4096 + exchange.pointee.droppedLength) else { return attemptFailed(index, .buffersExhausted) }
        var writer = TextWriter(start)
        let isOnStream = exchange.pointee.stream != 0
        if !isOnStream { writer.put("HTTP/1.1 200 OK\r\n") }
        writer.put("date: ")
        writer.put(date(), 29)
        writer.put("\r\ncontent-type: ")
        writer.put(contentType(exchange))
        writer.put("\r\ncache-control: no-cache\r\n")
        writeOwnFields(exchange, &writer)
        if isOnStream {
            commitAnswerLines(exchange, writer)
            sayDowngraded(exchange, responseHead)
            return
        }
        if exchange.pointee.versionMinor >= 1 {
            exchange.pointee.answerIsChunked = true
            writer.put("transfer-encoding: chunked\r\n")
        } else {
            connection.pointee.closesAfter = true
        }
        writeConnection(exchange, connection, &writer)
        writer.put("\r\n")
        commitAnswerText(exchange, writer)
        sayDowngraded(exchange, responseHead)
    }

    /// One piece of a stream to be written anew. False when the attempt was given up.
    func rewrite(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        let exchange = exchanges.base + Int(index)
        guard let held = exchange.pointee.translation else { return true }
        if exchange.pointee.sawDone { return true }
        let translator = translator
        translator.out.reset()
        let verdict: StreamVerdict = held._withUnsafeGuaranteedRef { translation in
            let piece = UnsafeRawBufferPointer(start: bytes, count: count)
            var at = 0
            while true {
                switch translation.scanner.next(piece, from: at) {
                case .needMore: return .goOn
                case .refused: return .malformed
                case .event(let event, let end):
                    at = end
                    let verdict = rewrite(exchange, translation, event)
                    if verdict != .goOn { return verdict }
                }
            }
        }
        return rewritten(index, verdict)
    }

    enum StreamVerdict { case goOn, failed, malformed, ended }

    /// What came of one piece: its text goes out, and its failure is a failure of the attempt.
    private func rewritten(_ index: UInt32, _ verdict: StreamVerdict) -> Bool {
        let exchange = exchanges.base + Int(index)
        switch verdict {
        case .failed:
            if exchange.pointee.isHeld {
                let error = translator.streamError ?? ProviderError(status: 502, problem: .serverError)
                if let next = nextTry(exchange, after: Self.errorClass(error.problem), .upstreamInBand) {
                    failedInBand(index, next, Self.errorClass(error.problem))
                } else {
                    answerHeldError(index)
                }
                return false
            }
            if mayResume(exchange, after: .upstreamInBand), !exchange.pointee.isErrorWritten {
                // What came before the error is the client's.
                _ = appendWritten(exchange, translator.out.bytes)
                attemptFailed(index, .upstreamInBand)
                return false
            }
        case .malformed:
            attemptFailed(index, .upstreamMalformed)
            return false
        case .goOn, .ended: break
        }
        guard appendWritten(exchange, translator.out.bytes) else {
            attemptFailed(index, .buffersExhausted)
            return false
        }
        if exchange.pointee.isHeld, exchange.pointee.sawDone || exchange.pointee.sawContent || exchange.pointee.output.bytes > exchange.pointee.plan.pointee.streamBufferBytes {
            commit(index)
        }
        // An upstream may leave its connection open behind its last event; the client does not wait for that.
        if exchange.pointee.sawDone, exchange.pointee.phase == .idle { setTimer(index, now + Self.afterEndNanoseconds) }
        return true
    }

    /// How long the upstream's own end is awaited once its dialect's was there: for the connection's sake only.
    static let afterEndNanoseconds: UInt64 = 100_000_000

    /// The longest silence that is waited for.
    @inline(__always)
    func silenceMax(_ exchange: UnsafeMutablePointer<Exchange>) -> UInt64 {
        exchange.pointee.isRewritten && exchange.pointee.sawDone ? Self.afterEndNanoseconds : presentUpstream(exchange).pointee.idleStreamTimeout
    }

    /// An error before anything went out, and nobody else to ask: it is the answer, with its status.
    private func answerHeldError(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        let error = translator.streamError ?? ProviderError(status: 502, problem: .serverError)
        translator.box.arena.reset()
        closeAttempt(exchange, Self.errorClass(error.problem), status: exchange.pointee.status)
        dropUpstream(index)
        forgetAnswer(exchange)
        exchange.pointee.failure = .upstreamInBand
        exchange.pointee.status = UInt16(clamping: max(400, error.status))
        exchange.pointee.isRewritten = false
        answerProviderError(index, error, UnsafeRawBufferPointer(start: nil, count: 0))
    }

    private func rewrite(_ exchange: UnsafeMutablePointer<Exchange>, _ translation: Translation, _ event: WireEvent) -> StreamVerdict {
        guard let reader = translation.reader, let writer = translation.writer else { return .malformed }
        let list = translator.list
        list.reset()
        list.keepsExtras = translation.front == translation.back && exchange.pointee.continuation == nil
        reader.read(event, into: list)
        return take(exchange, list, writer, reader)
    }

    /// Accounts for the neutral events and writes them.
    private func take(_ exchange: UnsafeMutablePointer<Exchange>, _ list: EventList, _ writer: StreamWriter?, _ reader: StreamReader) -> StreamVerdict {
        for at in list.events.indices {
            switch list.events[at].kind {
            case .error:
                var error = list.events[at].error ?? ProviderError(status: 502, problem: .serverError)
                error.message = Redaction.clean(error.message, &list.arena.arena, key: presentKey(exchange))
                error.native = Redaction.clean(error.native, &list.arena.arena, key: presentKey(exchange))
                exchange.pointee.failure = .upstreamInBand
                exchange.pointee.sawDone = true
                translator.keep(streamError: error)
                guard let writer else { return .failed }
                if exchange.pointee.isHeld { return .failed }
                if mayResume(exchange, after: .upstreamInBand) {
                    exchange.pointee.sawDone = false
                    return .failed
                }
                writer.write(error: error, into: &translator.out)
                exchange.pointee.isErrorWritten = true
                return .failed
            case .usage: exchange.pointee.usage.take(list.events[at].usage)
            case .start: if list.events[at].usage.isKnown { exchange.pointee.usage.take(list.events[at].usage) }
            case .finish: noteFinish(exchange, list.events[at].name)
            case .end: exchange.pointee.sawDone = true
            default: break
            }
            if list.events[at].isContent { noteContent(exchange, list.events[at].text.count) }
            if let continuation = exchange.pointee.continuation, !follow(exchange, continuation, &list.events[at]) { continue }
            writer?.write(list.events[at], list, into: &translator.out)
        }
        if reader.sawFinish { exchange.pointee.sawFinish = true }
        return exchange.pointee.sawDone ? .ended : .goOn
    }

    private func noteContent(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: Int) {
        if exchange.pointee.firstContentAt == 0 {
            exchange.pointee.firstContentAt = now
        } else if now != exchange.pointee.lastContentAt {
            metrics.observe(.interToken, presentUpstream(exchange).pointee.label, nanoseconds: now &- exchange.pointee.lastContentAt)
        }
        exchange.pointee.lastContentAt = now
        exchange.pointee.sawContent = true
        exchange.pointee.contentBytes += UInt64(bytes)
        exchange.pointee.contentEvents += 1
    }

    /// The upstream's bytes have ended. False when the attempt was given up (or the answer is another one by now).
    func finishRewriting(_ index: UInt32) -> Bool {
        let exchange = exchanges.base + Int(index)
        guard let held = exchange.pointee.translation else { return true }
        if !exchange.pointee.sawDone {
            translator.out.reset()
            let verdict: StreamVerdict = held._withUnsafeGuaranteedRef { translation in
                guard let reader = translation.reader, let writer = translation.writer else { return .malformed }
                if let last = translation.scanner.finish() {
                    let verdict = rewrite(exchange, translation, last)
                    if verdict != .goOn { return verdict }
                }
                translator.list.reset()
                reader.finish(into: translator.list)
                return take(exchange, translator.list, writer, reader)
            }
            if !rewritten(index, verdict) { return false }
        }
        if !exchange.pointee.sawDone {
            attemptFailed(index, .upstreamTruncated)
            return false
        }
        return true
    }

    /// Puts written text into the exchange's output, in the client's framing.
    func appendWritten(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard var base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return true }
        if bytes.count > Self.bufferedWrittenMax {
            guard let block = writtenBlock(exchange, bytes, isChunk: exchange.pointee.answerIsChunked) else { return false }
            exchange.pointee.output.append(block)
            return true
        }
        var left = bytes.count
        while left > 0 {
            let take = min(left, 8192)
            guard let room = buffers.reserve(take + 32) else { return false }
            var writer = TextWriter(room)
            if exchange.pointee.answerIsChunked {
                writer.put(chunkSize: UInt64(take))
                writer.put("\r\n")
            }
            writer.put(base, take)
            if exchange.pointee.answerIsChunked { writer.put("\r\n") }
            let segment = buffers.commit(writer.count)
            if !exchange.pointee.output.extendLast(segment) {
                exchange.pointee.output.append(segment)
                exchange.pointee.heldBuffers += 1
            } else {
                buffers.release(segment.buffer)
            }
            base += take
            left -= take
        }
        return true
    }

    /// Beyond this a written text gets a block of its own: one picture must not take the buffers of everybody else.
    static let bufferedWrittenMax = 65536

    /// A large text for the exchange's output, in a block of the body store; nil when there is no room for it.
    func writtenBlock(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, isChunk: Bool) -> Segment? {
        let header = MemoryLayout<WrittenBlock>.size
        guard let block = bodyStore.take(header + bytes.count + 32, budget: exchange.pointee.plan.pointee.bodyMemoryBytesMax) else { return nil }
        let written = UnsafeMutableRawPointer(block.base).bindMemory(to: WrittenBlock.self, capacity: 1)
        written.initialize(to: WrittenBlock(next: exchange.pointee.writtenBlocks, capacity: block.capacity))
        exchange.pointee.writtenBlocks = written
        var writer = TextWriter(block.base + header)
        if isChunk {
            writer.put(chunkSize: UInt64(bytes.count))
            writer.put("\r\n")
        }
        writer.put(bytes)
        if isChunk { writer.put("\r\n") }
        return Segment(base: UnsafePointer(writer.start), length: UInt32(writer.count), buffer: noIndex)
    }

    /// Gives the blocks back; nothing of them is in the output any more.
    func dropWrittenBlocks(_ exchange: UnsafeMutablePointer<Exchange>) {
        while let block = exchange.pointee.writtenBlocks {
            exchange.pointee.writtenBlocks = block.pointee.next
            bodyStore.give(UnsafeMutableRawPointer(block).assumingMemoryBound(to: UInt8.self), capacity: block.pointee.capacity)
        }
    }

    // MARK: reading along

    /// Begins to read along with a stream that passes as it is.
    func beginTapping(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let translation = exchange.pointee.translation else { return }
        let quirks = presentUpstream(exchange).pointee.quirks
        let isArray = responseHead.isJSON && !responseHead.isEventStream
        translation._withUnsafeGuaranteedRef { translation in
            translation.reader = translation.back.pieces.streamReader(quirks)
            if isArray, translation.scanner.framing == .sse { translation.scanner = WireScanner(.array) }
        }
    }

    /// Reads one piece of a stream that passes as it is.
    func tapForeign(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Tap.Verdict {
        guard let held = exchange.pointee.translation else { return .content }
        return held._withUnsafeGuaranteedRef { translation in
            guard let reader = translation.reader else { return .content }
            let piece = UnsafeRawBufferPointer(start: bytes, count: count)
            var at = 0
            while true {
                switch translation.scanner.next(piece, from: at) {
                case .needMore: return .preamble
                // What is no event of this dialect passes as it is; the end will tell.
                case .refused: return .content
                case .event(let event, let end):
                    at = end
                    translator.list.reset()
                    translator.list.keepsExtras = false
                    reader.read(event, into: translator.list)
                    if take(exchange, translator.list, nil, reader) == .failed { return .error }
                }
            }
        }
    }

    /// The end of a stream that was read along.
    func finishTapping(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let held = exchange.pointee.translation else { return }
        held._withUnsafeGuaranteedRef { translation in
            exchange.pointee.endedInEvent = !translation.scanner.isBetweenEvents
            guard let reader = translation.reader, !exchange.pointee.sawDone else { return }
            translator.list.reset()
            if let last = translation.scanner.finish() {
                // Half an event is no word of the upstream's: the stream broke off.
                guard translator.tape.read(last.data) == nil else { return }
                reader.read(last, into: translator.list)
                _ = take(exchange, translator.list, nil, reader)
                translator.list.reset()
            }
            reader.finish(into: translator.list)
            _ = take(exchange, translator.list, nil, reader)
        }
    }

    // MARK: what is ours

    /// Something that keeps a quiet stream alive, in the client's dialect; false where it has no such thing, or half an event is out.
    func pingForeign(_ exchange: UnsafeMutablePointer<Exchange>, _ held: Unmanaged<Translation>) -> Bool {
        if exchange.pointee.sawDone { return false }
        translator.out.reset()
        held._withUnsafeGuaranteedRef { translation in
            if let writer = translation.writer {
                writer.ping(into: &translator.out)
            } else if translation.scanner.isBetweenEvents, !exchange.pointee.sawDone {
                switch translation.scanner.framing {
                case .sse: translator.out.put(": ping\n\n")
                case .lines: translator.out.put(" ")
                case .array: translator.out.put("\n")
                case .frames: break
                }
            }
        }
        return translator.out.count > 0 && appendWritten(exchange, translator.out.bytes)
    }

    /// The last event of a stream that broke off, in the client's dialect; false when there is no room for it.
    func appendForeignError(_ exchange: UnsafeMutablePointer<Exchange>, _ kind: FailureKind, _ sentence: StaticString) -> Bool {
        if exchange.pointee.isErrorWritten { return true }
        var error = ProviderError(status: Int(kind.row.status), problem: kind.row.problem)
        error.message = JSONBytes(sentence)
        error.code = JSONBytes(kind.row.code)
        translator.out.reset()
        if let continuation = exchange.pointee.continuation, let writer = continuation._withUnsafeGuaranteedRef({ $0.writer }) {
            writer.write(error: error, into: &translator.out)
        } else if let held = exchange.pointee.translation {
            held._withUnsafeGuaranteedRef { translation in
                let writer = translation.writer ?? translation.front.pieces.streamWriter(translation.context)
                if translation.writer == nil, !translation.scanner.isBetweenEvents || exchange.pointee.endedInEvent {
                    // Ends what was under way, so that the error is an event of its own.
                    if translation.scanner.framing == .sse { translator.out.put("\n\n") } else { translator.out.put("\n") }
                }
                if translation.writer == nil { writer.beginIsWritten() }
                if translation.writer != nil || translation.scanner.framing != .array { writer.write(error: error, into: &translator.out) }
            }
        }
        // A passed-on array that broke off has no honest end.
        return translator.out.count > 0 && appendWritten(exchange, translator.out.bytes)
    }
}
