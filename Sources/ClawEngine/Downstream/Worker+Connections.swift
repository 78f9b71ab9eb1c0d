// Connections: accepting them, receiving their bytes, cutting requests out of the bytes, and ending them. HTTP/1.1 carries one exchange at a
// time on a connection; what a client sends ahead of its turn waits in the connection, and beyond one buffer's worth in the kernel. How a
// connection begins is in Worker+Opening, HTTP/2 in Worker+Streams.
import CClaw
import ClawWire
import Glibc

extension Worker {
    private static let lingerBytesMax: UInt32 = 65536
    private static let lingerNanoseconds: UInt64 = 1_000_000_000
    /// After a client's FIN during an exchange: how long until it is checked whether the client is still there to read.
    static let probeNanoseconds: UInt64 = 25_000_000

    // MARK: events

    func accepted(_ event: claw_event, listener: UInt32) {
        if event.result < 0 {
            metrics.add(.refused, RefusalLabel.accept.rawValue)
            return
        }
        guard phase == 0, let (index, isFresh) = connections.take() else {
            refuseAtDoor(event.result)
            return
        }
        let label = plan.pointee.listeners[Int(listener)].pointee.label
        metrics.add(.connectionsAccepted, label <= 1 ? 0 : label)
        let connection = connections.base + index
        if isFresh { connection.initialize(to: Connection()) }
        let generation = (connection.pointee.generation &+ 1) & 0xff_ffff
        connection.pointee = Connection()
        connection.pointee.generation = generation
        connection.pointee.fd = event.result
        connection.pointee.listener = UInt8(truncatingIfNeeded: listener)
        connection.pointee.peer = PeerAddress(fd: event.result)
        let token = SlotToken(.connection, generation: generation, index: UInt32(index))
        guard claw_attach(loop, event.result, token.value) >= 0 else {
            _ = claw_os_close(event.result)
            connection.pointee.state = .free
            connections.give(index)
            return
        }
        metrics.set(.connections, connections.inUse)
        open(UInt32(index))
    }

    /// More connections than `server.max_connections`: a short answer, and the door.
    private func refuseAtDoor(_ fd: Int32) {
        metrics.add(.refused, RefusalLabel.connections.rawValue)
        let text: StaticString = """
            HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-type: application/json\r\ncontent-length: 156\r\n\r\n\
            {"error":{"message":"too many connections (server.max_connections) or the gateway is ending","type":"server_error","param":null,"code":"connections_full"}}\n
            """
        if claw_attach(loop, fd, 0) >= 0 {
            var slice = claw_slice(base: text.utf8Start, length: text.utf8CodeUnitCount)
            _ = claw_send(loop, fd, &slice, 1)
            _ = claw_close(loop, fd, 0)
        } else {
            _ = claw_os_close(fd)
        }
    }

    @inline(__always)
    func receive(_ index: UInt32, _ mode: Int) {
        let connection = connections.base + Int(index)
        if connection.pointee.receiveMode == UInt8(mode) { return }
        connection.pointee.receiveMode = UInt8(mode)
        _ = claw_receive(loop, connection.pointee.fd, UInt32(mode))
    }

    func takeConnection(_ event: claw_event, _ token: SlotToken) {
        let connection = connections.base + Int(token.index)
        guard connection.pointee.generation == token.generation, connection.pointee.state != .free else {
            if event.kind == UInt16(CLAW_RECEIVED), event.result > 0 { buffers.release(event.buffer) }
            return
        }
        switch Int(event.kind) {
        case CLAW_RECEIVED:
            if event.result > 0 { received(token.index, event.buffer, Int(event.result)) }
            else { peerEnded(token.index, error: event.result) }
        case CLAW_READABLE:
            if connection.pointee.state == .introducing { readIntroduction(token.index) } else { readBody(token.index) }
        case CLAW_SECURED: secured(token.index, event.result)
        case CLAW_WRITABLE:
            connection.pointee.isBlocked = false
            flush(token.index)
        case CLAW_HUNGUP:
            if event.result == 0, connection.pointee.state == .exchanging {
                // It ended its side, but what it sent before is not all read: that may be more requests.
                connection.pointee.peerMayBeGone = true
                if exchanges.base[Int(connection.pointee.exchange)].state != .tunnelling { probeSoon(connection.pointee.exchange) }
            } else {
                peerEnded(token.index, error: event.result)
            }
        default: break
        }
    }

    private func received(_ index: UInt32, _ buffer: UInt32, _ count: Int) {
        let connection = connections.base + Int(index)
        switch connection.pointee.state {
        case .multiplexing:
            takeFrames(index, buffers.pointer(buffer), count)
            buffers.release(buffer)
        case .reading:
            if connection.pointee.heldLength == 0 {
                connection.pointee.heldBuffer = buffer
                connection.pointee.heldOffset = 0
                connection.pointee.heldLength = UInt32(count)
            } else {
                hold(index, buffer, count)
            }
            advance(index)
        case .exchanging:
            let exchange = connection.pointee.exchange
            if exchanges.base[Int(exchange)].state == .tunnelling {
                tunnelFromClient(exchange, buffers.pointer(buffer), count, in: buffer)
                buffers.release(buffer)
            } else if exchanges.base[Int(exchange)].state == .receiving, connection.pointee.heldLength == 0 {
                let used = takeBody(exchange, buffers.pointer(buffer), count)
                if used >= count || connection.pointee.state != .exchanging {
                    buffers.release(buffer)
                } else {
                    connection.pointee.heldBuffer = buffer
                    connection.pointee.heldOffset = UInt32(used)
                    connection.pointee.heldLength = UInt32(count - used)
                    receive(index, CLAW_RECEIVE_OFF)
                }
            } else if !exchanges.base[Int(exchange)].bodyIsComplete {
                // The rest of a body that was answered before it had come: thrown away, within the bound of a lingering close (faults H1-23).
                buffers.release(buffer)
                connection.pointee.lingered &+= UInt32(count)
                if connection.pointee.lingered > Self.lingerBytesMax { receive(index, CLAW_RECEIVE_OFF) }
            } else {
                // Ahead of its turn: kept, and no more is read until the turn comes.
                if connection.pointee.heldLength == 0 {
                    connection.pointee.heldBuffer = buffer
                    connection.pointee.heldOffset = 0
                    connection.pointee.heldLength = UInt32(count)
                } else {
                    hold(index, buffer, count)
                }
                receive(index, CLAW_RECEIVE_OFF)
            }
        case .lingering:
            buffers.release(buffer)
            connection.pointee.lingered &+= UInt32(count)
            if connection.pointee.lingered > Self.lingerBytesMax { close(index, reset: false) }
        case .free, .abandoned, .introducing, .securing:
            buffers.release(buffer)
        }
    }

    /// Puts received bytes behind those already held, so that a head is contiguous; releases the buffer.
    private func hold(_ index: UInt32, _ buffer: UInt32, _ count: Int) {
        let connection = connections.base + Int(index)
        let length = Int(connection.pointee.heldLength)
        let offset = Int(connection.pointee.heldOffset)
        if let memory = connection.pointee.heldMemory, offset + length + count <= Int(connection.pointee.heldCapacity) {
            memcpy(memory + offset + length, buffers.pointer(buffer), count)
        } else if connection.pointee.heldMemory == nil, offset + length + count <= buffers.size, !buffers.isShared(connection.pointee.heldBuffer) {
            memcpy(buffers.pointer(connection.pointee.heldBuffer) + offset + length, buffers.pointer(buffer), count)
        } else {
            // The head limit and one buffer bound what can be held here: receiving is off while more than a head waits.
            let capacity = max(2 * (length + count), 32768)
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            memcpy(memory, heldBase(index), length)
            memcpy(memory + length, buffers.pointer(buffer), count)
            dropHeld(index)
            connection.pointee.heldMemory = memory
            connection.pointee.heldCapacity = UInt32(capacity)
            connection.pointee.heldOffset = 0
            connection.pointee.heldLength = UInt32(length)
        }
        connection.pointee.heldLength += UInt32(count)
        buffers.release(buffer)
    }

    @inline(__always)
    func heldBase(_ index: UInt32) -> UnsafeMutablePointer<UInt8> {
        let connection = connections.base + Int(index)
        let start = connection.pointee.heldMemory ?? buffers.pointer(connection.pointee.heldBuffer)
        return start + Int(connection.pointee.heldOffset)
    }

    @inline(__always)
    func dropHeld(_ index: UInt32) {
        let connection = connections.base + Int(index)
        if let memory = connection.pointee.heldMemory {
            memory.deallocate()
            connection.pointee.heldMemory = nil
            connection.pointee.heldCapacity = 0
        } else {
            buffers.release(connection.pointee.heldBuffer)
        }
        connection.pointee.heldBuffer = noIndex
        connection.pointee.heldOffset = 0
        connection.pointee.heldLength = 0
    }

    // MARK: requests

    /// Cuts the next request out of the held bytes, if it is the connection's turn.
    func advance(_ index: UInt32) {
        let connection = connections.base + Int(index)
        guard connection.pointee.state == .reading else { return }
        if phase != 0, connection.pointee.heldLength == 0 {
            close(index, reset: false)
            return
        }
        if connection.pointee.heldLength == 0 {
            if connection.pointee.peerEnded {
                close(index, reset: false)
            } else {
                receive(index, CLAW_RECEIVE_BUFFERED)
                timers.set(connectionTimers + Int(index), now + plan.pointee.idleTimeout)
            }
            return
        }
        let base = heldBase(index)
        if connection.pointee.requests == 0, beginsSession(connection, base) { return startSession(index) }
        let bytes = UnsafeRawBufferPointer(start: base, count: Int(connection.pointee.heldLength))
        // Even a head that is not whole yet is written over the one described there.
        headOwner = .max
        switch connection.pointee.parser.parse(bytes, limits: plan.pointee.headLimits, into: requestHead) {
        case .complete(let length):
            connection.pointee.parser = RequestParser()
            openExchange(index, base: base, headLength: length)
        case .needMore:
            if connection.pointee.peerEnded {
                // An unfinished head and nobody to answer: the bytes are garbage or a client that changed its mind.
                metrics.add(.refused, RefusalLabel.incompleteHead.rawValue)
                close(index, reset: false)
                return
            }
            receive(index, CLAW_RECEIVE_BUFFERED)
            // The deadline runs from the head's first byte and is not renewed by more of them (slowloris).
            if !connection.pointee.headTimerRuns {
                connection.pointee.headTimerRuns = true
                timers.set(connectionTimers + Int(index), now + plan.pointee.headerTimeout)
            }
        case .refused(let refusal):
            refuse(index, refusal)
        }
    }

    /// Opens an exchange for the head just parsed, moves its bytes over, and sets the pipeline going.
    private func openExchange(_ index: UInt32, base: UnsafeMutablePointer<UInt8>, headLength: Int) {
        let connection = connections.base + Int(index)
        guard let exchangeIndex = takeExchange(index) else {
            close(index, reset: true)
            return
        }
        let exchange = exchanges.base + Int(exchangeIndex)
        timers.clear(connectionTimers + Int(index))
        connection.pointee.headTimerRuns = false
        connection.pointee.requests &+= 1
        exchange.pointee.headBase = UnsafePointer(base)
        exchange.pointee.headLength = UInt32(headLength)
        exchange.pointee.bytesIn = UInt64(headLength)
        if let memory = connection.pointee.heldMemory {
            // The head outgrew a buffer: its memory goes with the exchange, what follows it goes back into a buffer or new memory.
            exchange.pointee.headMemory = memory
            let rest = Int(connection.pointee.heldLength) - headLength
            connection.pointee.heldMemory = nil
            connection.pointee.heldBuffer = noIndex
            connection.pointee.heldOffset = 0
            connection.pointee.heldLength = 0
            if rest > 0 {
                let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(rest, 32768))
                memcpy(copy, base + headLength, rest)
                connection.pointee.heldMemory = copy
                connection.pointee.heldCapacity = UInt32(max(rest, 32768))
                connection.pointee.heldLength = UInt32(rest)
            }
        } else {
            exchange.pointee.headBuffer = connection.pointee.heldBuffer
            if Int(connection.pointee.heldLength) == headLength {
                // The connection's reference becomes the exchange's.
                connection.pointee.heldBuffer = noIndex
                connection.pointee.heldOffset = 0
                connection.pointee.heldLength = 0
            } else {
                buffers.retain(connection.pointee.heldBuffer)
                connection.pointee.heldOffset += UInt32(headLength)
                connection.pointee.heldLength -= UInt32(headLength)
            }
        }
        headOwner = UInt64(exchange.pointee.generation) << 32 | UInt64(exchangeIndex)
        if connection.pointee.peerMayBeGone { probeSoon(exchangeIndex) }
        begin(exchangeIndex)
    }

    /// Bytes held on the connection that belong to the body of its exchange. Called once, when the pipeline wants the body.
    func takeHeldBody(_ index: UInt32, _ exchangeIndex: UInt32) {
        let connection = connections.base + Int(index)
        let available = Int(connection.pointee.heldLength)
        if available == 0 { return }
        let exchange = exchanges.base + Int(exchangeIndex)
        let base = heldBase(index)
        var used = 0
        if !exchange.pointee.isChunkedRequest, exchange.pointee.bodyCapacity == 0, exchange.pointee.bodyExpected <= available,
            connection.pointee.heldMemory == nil, connection.pointee.heldBuffer == exchange.pointee.headBuffer
        {
            // The whole body lies behind its head in the same buffer: it stays there.
            exchange.pointee.bodyBase = base
            exchange.pointee.bodyLength = exchange.pointee.bodyExpected
            exchange.pointee.bytesIn += UInt64(exchange.pointee.bodyExpected)
            used = exchange.pointee.bodyExpected
            exchange.pointee.bodyIsComplete = true
        } else {
            used = takeBody(exchangeIndex, base, available, resumes: false)
        }
        guard connection.pointee.state == .exchanging else { return }
        if used == available {
            dropHeld(index)
        } else {
            connection.pointee.heldOffset += UInt32(used)
            connection.pointee.heldLength -= UInt32(used)
        }
    }

    /// A refused head or framing: one answer, the connection ends, nothing goes upstream.
    func refuse(_ index: UInt32, _ refusal: HTTPRefusal) {
        let connection = connections.base + Int(index)
        guard let exchangeIndex = takeExchange(index) else {
            close(index, reset: true)
            return
        }
        connection.pointee.closesAfter = true
        dropHeld(index)
        exchanges.base[Int(exchangeIndex)].bodyIsComplete = true
        refuseHead(exchangeIndex, refusal)
    }

    /// The answer to a head that is none.
    func refuseHead(_ exchangeIndex: UInt32, _ refusal: HTTPRefusal) {
        identifyUnread(exchangeIndex)
        let exchange = exchanges.base + Int(exchangeIndex)
        exchange.pointee.method = .other
        exchange.pointee.refusal = StaticWord.pointer(refusal.reason)
        metrics.add(.refused, RefusalLabel.framing.rawValue)
        let kind: FailureKind = switch refusal.status {
        case 414: .targetTooLong
        case 431: .headTooLarge
        case 413: .bodyTooLarge
        case 417: .expectationFailed
        case 501: .codingUnknown
        case 505: .versionNotSupported
        default: .badRequest
        }
        answerError(exchangeIndex, kind, detail: refusal.reason)
    }

    private func takeExchange(_ index: UInt32) -> UInt32? {
        guard let at = makeExchange(index) else { return nil }
        let connection = connections.base + Int(index)
        connection.pointee.exchange = at
        connection.pointee.state = .exchanging
        return at
    }

    /// An exchange of this connection; it is not yet the running one, nor on a stream.
    @inline(__always)
    func blankExchange(_ at: Int, _ plan: PlanRef) -> Exchange {
        let candidates = candidateMemory + at * Exchange.candidatesMax, attempts = attemptMemory + at * Exchange.attemptsMax
        candidates.initialize(to: .none)
        attempts.initialize(to: Attempt())
        return Exchange(plan: plan, candidates: Few(candidates, Exchange.candidatesMax), attempts: Few(attempts, Exchange.attemptsMax))
    }

    func makeExchange(_ index: UInt32) -> UInt32? {
        guard let (at, isFresh) = exchanges.take() else { return nil }
        let exchange = exchanges.base + at
        // Never 0: the word of slot 0 in generation 0 would be that of nobody.
        let generation = isFresh ? 1 : max(1, (exchange.pointee.generation &+ 1) & 0xff_ffff)
        if !isFresh { exchange.deinitialize(count: 1) }
        exchange.initialize(to: blankExchange(at, plan))
        exchange.pointee.generation = generation
        exchange.pointee.connection = index
        exchange.pointee.startedAt = now
        let running = plan.pointee.inFlight + self.index * Plan.inFlightStride
        claw_counter_add(running, 1)
        metrics.set(.streams, exchanges.inUse)
        return UInt32(at)
    }

    // MARK: ends

    private func peerEnded(_ index: UInt32, error: Int32) {
        let connection = connections.base + Int(index)
        connection.pointee.peerEnded = true
        switch connection.pointee.state {
        case .reading:
            if error < 0 || connection.pointee.heldLength == 0 { close(index, reset: false) } else { advance(index) }
        case .exchanging:
            let exchange = connection.pointee.exchange
            if exchanges.base[Int(exchange)].state == .tunnelling {
                tunnelClientEnded(exchange, error: error)
            } else if error < 0 {
                clientGone(exchange)
            } else if exchanges.base[Int(exchange)].state == .receiving {
                bodyCannotBecomeWhole(exchange)
            } else {
                connection.pointee.peerMayBeGone = true
                // Receiving is over; paused, the loop still says when the connection breaks.
                receive(index, CLAW_RECEIVE_OFF)
                probeSoon(exchange)
            }
        case .lingering, .introducing, .securing: close(index, reset: false)
        // Half an HTTP/2 connection is of no use to anybody.
        case .multiplexing: abandon(index, reset: false)
        case .free, .abandoned: break
        }
    }

    /// The client has ended its side in the middle of a body. It may still read answers to what it sent before, so no reset.
    func bodyCannotBecomeWhole(_ exchange: UInt32) {
        clientGone(exchange)
        exchanges.base[Int(exchange)].resetsClient = false
        connections.base[Int(exchanges.base[Int(exchange)].connection)].closesAfter = true
    }

    func expireConnection(_ index: UInt32) {
        let connection = connections.base + Int(index)
        switch connection.pointee.state {
        case .reading:
            if connection.pointee.heldLength > 0 {
                metrics.add(.refused, RefusalLabel.slowHead.rawValue)
                guard let exchange = takeExchange(index) else { return close(index, reset: true) }
                connection.pointee.closesAfter = true
                dropHeld(index)
                identifyUnread(exchange)
                exchanges.base[Int(exchange)].bodyIsComplete = true
                exchanges.base[Int(exchange)].method = .other
                answerError(exchange, .headerTimeout, detail: "")
            } else {
                close(index, reset: false)
            }
        case .lingering: close(index, reset: false)
        case .introducing, .securing:
            metrics.add(.refused, RefusalLabel.slowHandshake.rawValue)
            close(index, reset: true)
        case .multiplexing: expireSession(index)
        case .exchanging, .free, .abandoned: break
        }
    }

    /// The exchange on this connection has ended and its answer is with the kernel.
    func exchangeEnded(_ index: UInt32, reset: Bool) {
        let connection = connections.base + Int(index)
        connection.pointee.exchange = noIndex
        if reset {
            close(index, reset: true)
            return
        }
        if connection.pointee.closesAfter || phase != 0 {
            if connection.pointee.peerEnded {
                close(index, reset: false)
            } else {
                linger(index)
            }
            return
        }
        connection.pointee.state = .reading
        if connection.pointee.heldLength > 0 {
            ready[readyCount] = index
            readyCount += 1
        } else if connection.pointee.peerEnded {
            close(index, reset: false)
        } else {
            receive(index, CLAW_RECEIVE_BUFFERED)
            timers.set(connectionTimers + Int(index), now + plan.pointee.idleTimeout)
        }
    }

    /// Ends our side and waits for the peer to end its own, so that an answer is not lost to a reset caused by bytes still coming.
    func linger(_ index: UInt32) {
        let connection = connections.base + Int(index)
        dropHeld(index)
        connection.pointee.state = .lingering
        connection.pointee.lingered = 0
        _ = claw_shutdown_send(loop, connection.pointee.fd)
        receive(index, CLAW_RECEIVE_BUFFERED)
        timers.set(connectionTimers + Int(index), now + Self.lingerNanoseconds)
    }

    func close(_ index: UInt32, reset: Bool) {
        let connection = connections.base + Int(index)
        switch connection.pointee.state {
        case .free, .abandoned: return
        case .multiplexing: return abandon(index, reset: reset)
        default: break
        }
        dropHeld(index)
        _ = claw_close(loop, connection.pointee.fd, reset ? 1 : 0)
        timers.clear(connectionTimers + Int(index))
        freeConnection(index)
    }

    func freeConnection(_ index: UInt32) {
        let connection = connections.base + Int(index)
        dropCertificate(connection)
        connection.pointee.state = .free
        connection.pointee.fd = -1
        connections.give(Int(index))
        metrics.set(.connections, connections.inUse)
    }
}

/// Why something was refused before it became a request (label of openclaw_refused_total).
enum RefusalLabel: UInt16, CaseIterable {
    case other = 0, accept, connections, framing, incompleteHead, slowHead, slowBody, bodyFraming, loop
    // How a connection begins.
    case proxyHeader, handshakes, handshake, handshakeGone, slowHandshake, plainOnTLS, clientCertificate, serverName, alpn
    // HTTP/2: streams, and what ended whole connections (the session's words).
    case streams, streamError, malformed, vanished, protocolError, rapidReset, continuationFlood, controlFlood, headerList, badPreface, streamID, outputFull
    case streamClosed, frameSize, flowControl, compression, calm, internalError, memory
    // Requests that no upstream of their route can be told in its dialect.
    case untranslatable
    // Requests without a key that `security.keys` knows.
    case callerUnknown
    static let names = [
        "other", "accept", "connections", "framing", "incomplete_head", "slow_head", "slow_body", "body_framing", "loop",
        "proxy_header", "handshakes", "handshake", "handshake_gone", "slow_handshake", "plain_on_tls", "client_certificate", "server_name", "alpn",
        "streams", "stream_error", "malformed", "vanished", "protocol_error", "rapid_reset", "continuation_flood", "control_flood", "header_list", "bad_preface",
        "stream_id", "output_full", "stream_closed", "frame_size_error", "flow_control_error", "compression_error", "enhance_your_calm", "internal_error",
        "no_memory", "untranslatable", "caller_unknown",
    ]

    /// The label for a word of claw_h2_blame.
    static func of(_ blame: UnsafePointer<CChar>?) -> RefusalLabel {
        guard let blame else { return .protocolError }
        let word = String(cString: blame)
        guard let at = names.firstIndex(of: word), let label = RefusalLabel(rawValue: UInt16(at)) else { return .protocolError }
        return label
    }
}
