// The head of an answer: read from the upstream's, cleaned of what is between the upstream and us, completed with the contract's headers
// (spec/observability.md), and put into the exchange's output. Whether it goes out at once or waits for the first content event is decided here.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

extension Worker {
    /// `responseHead` describes the head at `base`. True when its body shall be relayed; false when the attempt was given up.
    func takeAnswerHead(_ index: UInt32, _ base: UnsafePointer<UInt8>, isWhole: Bool) -> Bool {
        let exchange = exchanges.base + Int(index)
        let head = responseHead
        let status = UInt16(truncatingIfNeeded: head.status)
        exchange.pointee.firstByteAt = now
        exchange.pointee.attempts[exchange.pointee.attemptCount - 1].status = status
        takeSignals(exchange, base, status: status)
        let upstream = presentUpstream(exchange)
        // A model's error is collected, because its words say more than its status. Of any other the status has to be enough.
        let isReadError = status >= 400 && upstream.pointee.isModel && exchange.pointee.surface.isModel && exchange.pointee.method == .post && !head.isEncoded && !head.isEventStream
        if status >= 400, !isReadError, movesOn(index, status: status, isWhole: isWhole, keepAlive: head.keepAlive) { return false }
        if exchange.pointee.partner != noIndex, exchange.pointee.isDetached, status >= 400, !isReadError {
            // An error is no answer to be first with.
            attemptFailed(index, .upstreamStatus, status: status, as: Self.errorClass(of: status))
            return false
        }
        if exchange.pointee.isCommitted, exchange.pointee.continuation != nil, status >= 300 {
            // It was to go on with a stream; its error is not the client's.
            attemptFailed(index, .upstreamStatus, status: status, as: Self.errorClass(of: status))
            return false
        }
        // To an extended CONNECT a 2xx would say that the tunnel is open (RFC 8441 §4).
        if exchange.pointee.isConnect, status < 300 {
            attemptFailed(index, .upstreamCannotSwitch, status: status)
            return false
        }
        let connection = connections.base + Int(exchange.pointee.connection)
        exchange.pointee.state = .relaying
        // How earlier attempts failed is in `attempts`; this answer begins without a failure.
        exchange.pointee.failure = nil
        exchange.pointee.status = status
        // A stream that goes on is one whatever the new upstream says.
        exchange.pointee.isStream = exchange.pointee.isCommitted || (head.isEventStream && !head.isEncoded)
        exchange.pointee.answerIsJSON = head.isJSON && !head.isEncoded && upstream.pointee.isModel
        exchange.pointee.upstreamFraming = head.framing
        exchange.pointee.upstreamKeepsAlive = head.keepAlive
        if case .contentLength(let length) = head.framing { exchange.pointee.upstreamRemaining = length }
        if exchange.pointee.upstreamStream != 0 {
            // On a stream of its own the rest of the request may still go out beside the answer.
        } else if !exchange.pointee.bodyIsComplete || (exchange.pointee.link != noIndex && !links.base[Int(exchange.pointee.link)].sentAll) {
            // The upstream answers before it has read the request (faults UP-12): the rest of it is not sent.
            stopSending(exchange)
        }
        if let translation = exchange.pointee.translation {
            if translation._withUnsafeGuaranteedRef({ $0.isTranslated }) { return takeForeignHead(index, base) }
            readsAlong(exchange, translation, status)
        }
        if isReadError {
            saveFields(exchange, head, base)
            return takeForeignHead(index, base)
        }
        if exchange.pointee.isStream, upstream.pointee.isModel, status < 300 { exchange.pointee.isHeld = true }
        guard let start = answerRoom(exchange, 4096 + answerFieldBytes(head) + exchange.pointee.droppedLength) else {
            attemptFailed(index, .buffersExhausted)
            return false
        }
        var writer = TextWriter(start)
        let isStream = exchange.pointee.stream != 0
        if isStream {
            // HTTP/2: the session makes the status line's equivalent.
        } else if status == 200 {
            writer.put("HTTP/1.1 200 OK\r\n")
        } else {
            writer.put("HTTP/1.1 ")
            writer.put(number: UInt64(status))
            writer.put(byte: 32)
            writer.put(base + head.reasonOffset, min(head.reasonLength, 256))
            writer.put("\r\n")
        }
        copyFields(head, base, isModel: upstream.pointee.isModel, &writer)
        writeOwnFields(exchange, &writer)
        switch head.framing {
        case .none:
            exchange.pointee.answerHasBody = false
            let length = head.first(.contentLength)
            if exchange.pointee.method == .head, length >= 0 {
                writer.put("content-length: ")
                writer.put(base + Int(head.fields[length].valueOffset), Int(head.fields[length].valueLength))
                writer.put("\r\n")
            }
        case .contentLength(let length) where !exchange.pointee.isStream:
            writer.put("content-length: ")
            writer.put(number: length)
            writer.put("\r\n")
        default:
            if isStream {
                // The stream's own end says where the body ends.
            } else if exchange.pointee.versionMinor >= 1 {
                exchange.pointee.answerIsChunked = true
                writer.put("transfer-encoding: chunked\r\n")
            } else {
                connection.pointee.closesAfter = true
            }
        }
        if isStream {
            commitAnswerLines(exchange, writer)
        } else {
            writeConnection(exchange, connection, &writer)
            writer.put("\r\n")
            commitAnswerText(exchange, writer)
        }
        if exchange.pointee.isStream, exchange.pointee.isHeld { sayDowngraded(exchange, head) }
        exchange.pointee.phase = .idle
        setTimer(index, now + upstream.pointee.idleStreamTimeout)
        if exchange.pointee.partner != noIndex, !exchange.pointee.isHeld { isFirst(index) }
        return true
    }

    /// Both sides speak the same dialect, another than OpenAI's: the answer passes as it is and is read along.
    private func readsAlong(_ exchange: UnsafeMutablePointer<Exchange>, _ translation: Unmanaged<Translation>, _ status: UInt16) {
        guard status < 300, !responseHead.isEncoded else { return }
        let framing = translation._withUnsafeGuaranteedRef { $0.back.pieces.framing }
        let isGenerating = translation._withUnsafeGuaranteedRef { $0.operation == .generate }
        if isGenerating, exchange.pointee.wantsStream, exchange.pointee.isStream || !responseHead.isJSON || (framing == .sse && exchange.pointee.surface == .geminiStream) {
            exchange.pointee.isStream = true
            exchange.pointee.isHeld = true
            beginTapping(exchange)
        } else {
            exchange.pointee.isStream = false
            exchange.pointee.collectsCopy = true
        }
    }

    /// Keeps the field lines of an error until its body is there.
    private func saveFields(_ exchange: UnsafeMutablePointer<Exchange>, _ head: ResponseHead, _ base: UnsafePointer<UInt8>) {
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: answerFieldBytes(head) + 48)
        var writer = TextWriter(memory)
        copyFields(head, base, isModel: true, &writer)
        dropSavedFields(exchange)
        exchange.pointee.savedFields = memory
        exchange.pointee.savedFieldsLength = writer.count
    }

    private func stopSending(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard exchange.pointee.link != noIndex else { return }
        let link = links.base + Int(exchange.pointee.link)
        while !link.pointee.output.isEmpty { buffers.release(link.pointee.output.dropFirst().buffer) }
        exchange.pointee.upstreamKeepsAlive = false
    }

    func answerFieldBytes(_ head: ResponseHead) -> Int {
        var bytes = 0
        for at in 0..<head.fieldCount { bytes += Int(head.fields[at].nameLength) + Int(head.fields[at].valueLength) + 4 }
        return bytes
    }

    /// Room for an answer head: in the arena, or, if it is too large for a buffer, in memory the exchange keeps.
    func answerRoom(_ exchange: UnsafeMutablePointer<Exchange>, _ bound: Int) -> UnsafeMutablePointer<UInt8>? {
        if bound <= buffers.size { return buffers.reserve(bound) }
        exchange.pointee.answerMemory?.deallocate()
        exchange.pointee.answerMemory = .allocate(capacity: bound)
        return exchange.pointee.answerMemory
    }

    func commitAnswerText(_ exchange: UnsafeMutablePointer<Exchange>, _ writer: TextWriter) {
        if exchange.pointee.answerMemory == writer.start {
            exchange.pointee.output.append(Segment(base: UnsafePointer(writer.start), length: UInt32(writer.count), buffer: noIndex))
        } else {
            exchange.pointee.output.append(buffers.commit(writer.count))
        }
    }

    /// HTTP/2: the field lines wait for the session, like a head in the output.
    func commitAnswerLines(_ exchange: UnsafeMutablePointer<Exchange>, _ writer: TextWriter) {
        if exchange.pointee.answerMemory == writer.start {
            exchange.pointee.answerLines = Segment(base: UnsafePointer(writer.start), length: UInt32(writer.count), buffer: noIndex)
        } else {
            exchange.pointee.answerLines = buffers.commit(writer.count)
        }
    }

    func copyFields(_ head: ResponseHead, _ base: UnsafePointer<UInt8>, isModel: Bool, _ writer: inout TextWriter) {
        for at in 0..<head.fieldCount {
            let field = head.fields + at
            switch field.pointee.name {
            case .connection, .keepAlive, .proxyConnection, .proxyAuthenticate, .te, .trailer, .transferEncoding, .upgrade, .contentLength, .xRequestId,
                .xOpenclaw, .altSvc, .secWebSocketAccept:
                continue
            case .setCookie, .openaiOrganization, .openaiProject, .openaiProcessingMs:
                if isModel { continue }
            default: break
            }
            if field.pointee.isNamedByConnection { continue }
            writer.put(base + Int(field.pointee.nameOffset), Int(field.pointee.nameLength))
            writer.put(byte: 58)
            writer.put(byte: 32)
            writer.put(base + Int(field.pointee.valueOffset), Int(field.pointee.valueLength))
            writer.put(byte: 13)
            writer.put(byte: 10)
        }
    }

    /// The contract's headers: at most about 1,600 bytes besides the model's name.
    func writeOwnFields(_ exchange: UnsafeMutablePointer<Exchange>, _ writer: inout TextWriter) {
        writer.put("x-request-id: ")
        withUnsafeBytes(of: exchange.pointee.requestID) {
            writer.put($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), Int(exchange.pointee.requestIDLength))
        }
        writer.put("\r\n")
        let plan = exchange.pointee.plan
        if exchange.pointee.attemptCount > 0 {
            writer.put(plan.pointee.upstreams[Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].upstream)].pointee.headerLine)
            let candidate = exchange.pointee.candidates[max(0, exchange.pointee.candidateNext - 1)]
            if candidate.hasModel {
                writer.put("x-openclaw-model: ")
                writer.put(candidate.model.id)
                writer.put("\r\n")
            } else if exchange.pointee.requestedModel.count > 0, exchange.pointee.requestedModel.count <= 256, !exchange.pointee.modelSpan.isEscaped {
                // An unescaped JSON string holds no control bytes; others than printable ASCII have no place in a field.
                writer.put("x-openclaw-model: ")
                let before = writer.at
                writer.put(exchange.pointee.requestedModel)
                var place = before
                while place < writer.at {
                    if place.pointee < 32 || place.pointee > 126 { place.pointee = 63 }
                    place += 1
                }
                writer.put("\r\n")
            }
        }
        if exchange.pointee.route >= 0 { writer.put(plan.pointee.routes[Int(exchange.pointee.route)].pointee.headerLine) }
        if exchange.pointee.status < 400, isDowngraded(exchange) {
            writer.put("x-openclaw-downgraded: ")
            writeDowngrade(exchange, &writer)
            writer.put("\r\n")
        }
        if let names = exchange.pointee.droppedNames {
            writer.put("x-openclaw-dropped: ")
            writer.put(names, exchange.pointee.droppedLength)
            writer.put("\r\n")
        }
        if exchange.pointee.surface.errorDialect == .messages {
            // What Anthropic's SDKs look for.
            writer.put("request-id: ")
            withUnsafeBytes(of: exchange.pointee.requestID) {
                writer.put($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), Int(exchange.pointee.requestIDLength))
            }
            writer.put("\r\n")
        }
        writer.put("x-openclaw-attempts: ")
        writer.put(number: UInt64(exchange.pointee.attemptCount))
        writer.put("\r\n")
    }

    func writeConnection(_ exchange: UnsafeMutablePointer<Exchange>, _ connection: UnsafeMutablePointer<Connection>, _ writer: inout TextWriter) {
        if phase != 0 { connection.pointee.closesAfter = true }
        if connection.pointee.closesAfter {
            writer.put("connection: close\r\n")
        } else if exchange.pointee.versionMinor == 0 {
            writer.put("connection: keep-alive\r\n")
        }
    }
}
