// The client's end of an answer: what is in an exchange's output goes to its socket once a turn, a slow client pauses its own upstream, a quiet stream is
// kept awake, and a client that leaves is noticed and ends its exchange.
import CClaw
import ClawConfig
import ClawWire
import Glibc

extension Worker {
    /// What the exchange has for its client may go out.
    @inline(__always)
    func push(_ index: UInt32) {
        if exchanges.base[Int(index)].isDetached { return discard(index) }
        if exchanges.base[Int(index)].stream == 0 { flush(exchanges.base[Int(index)].connection) } else { offer(index) }
    }

    /// The same, when the turn ends.
    @inline(__always)
    func pushLater(_ index: UInt32) {
        if exchanges.base[Int(index)].isDetached { return discard(index) }
        if exchanges.base[Int(index)].stream == 0 { markDirty(exchanges.base[Int(index)].connection) } else { offer(index) }
    }

    /// Hands what is in the exchange's output to the kernel; ends the exchange when all of a finished answer is there.
    func flush(_ connectionIndex: UInt32) {
        let connection = connections.base + Int(connectionIndex)
        if connection.pointee.state == .multiplexing { return flushStreams(connectionIndex) }
        guard connection.pointee.state == .exchanging else { return }
        let index = connection.pointee.exchange
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isHeld { return }
        if connection.pointee.isBlocked { return pauseIfFull(exchange) }
        while !exchange.pointee.output.isEmpty {
            var slices: InlineArray<16, claw_slice> = .init(repeating: claw_slice(base: nil, length: 0))
            let count = min(16, Int(exchange.pointee.output.count))
            var total = 0
            for at in 0..<count {
                let segment = exchange.pointee.output[at]
                slices[at] = claw_slice(base: UnsafeRawPointer(segment.base), length: Int(segment.length))
                total += Int(segment.length)
            }
            let sent = send(connection.pointee.fd, &slices, count, total)
            if sent < 0, sent != -Int64(EAGAIN) { return clientGone(index) }
            exchange.pointee.isCommitted = true
            var left = max(0, Int(sent))
            exchange.pointee.bytesOut += UInt64(left)
            let isShort = left < total
            while left > 0 {
                let length = Int(exchange.pointee.output[0].length)
                if left >= length {
                    buffers.release(exchange.pointee.output.dropFirst().buffer)
                    left -= length
                } else {
                    exchange.pointee.output.advanceFirst(left)
                    left = 0
                }
            }
            if isShort {
                connection.pointee.isBlocked = true
                return clientIsSlow(index)
            }
        }
        if exchange.pointee.state == .draining {
            exchange.pointee.heldBuffers = 0
            return markEnding(index)
        }
        outputTaken(index)
    }

    /// The client has all there is so far, and more is to come.
    @inline(__always)
    func outputTaken(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        exchange.pointee.heldBuffers = 0
        if exchange.pointee.state == .tunnelling { return tunnelDrained(index) }
        if exchange.pointee.isStream { exchange.pointee.output.release() }
        if exchange.pointee.writtenBlocks != nil { dropWrittenBlocks(exchange) }
        if exchange.pointee.phase == .write {
            exchange.pointee.phase = .idle
            setTimer(index, now + silenceMax(exchange))
        }
        if exchange.pointee.isPaused { setUpstreamReceiving(exchange, true) }
    }

    /// Sends slices; several small ones are put together first, because one span costs the kernel less than the copy costs us.
    @inline(__always)
    func send(_ fd: Int32, _ slices: inout InlineArray<16, claw_slice>, _ count: Int, _ total: Int) -> Int64 {
        if count > 1, total <= Self.gatherMax {
            var at = gathered
            for index in 0..<count {
                memcpy(at, slices[index].base.unsafelyUnwrapped, slices[index].length)
                at += slices[index].length
            }
            var whole = claw_slice(base: UnsafeRawPointer(gathered), length: total)
            return claw_send(loop, fd, &whole, 1)
        }
        return withUnsafeBytes(of: &slices) {
            claw_send(loop, fd, $0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: claw_slice.self), Int32(count))
        }
    }

    /// The client takes less than there is: beyond the stream's buffer its own upstream pauses, and only that one.
    func clientIsSlow(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.state == .tunnelling { return pauseIfFull(exchange) }
        // Its stream is about to go on at another upstream: until that answers, the times of the attempt count.
        if exchange.pointee.state == .attempting, exchange.pointee.isCommitted { return }
        exchange.pointee.phase = .write
        setTimer(index, now + exchange.pointee.plan.pointee.writeTimeout)
        pauseIfFull(exchange)
    }

    func pauseIfFull(_ exchange: UnsafeMutablePointer<Exchange>) {
        let limit = exchange.pointee.plan.pointee.streamBufferBytes
        let isFull = exchange.pointee.output.bytes >= limit || Int(exchange.pointee.heldBuffers) * buffers.size >= limit
        if isFull, !exchange.pointee.isPaused, exchange.pointee.state == .relaying || exchange.pointee.state == .tunnelling { setUpstreamReceiving(exchange, false) }
    }

    /// While a model thinks: a comment keeps what lies between awake. Only between events, only when nothing else is waiting to go out.
    func ping(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        exchange.pointee.pingAt = now + exchange.pointee.plan.pointee.ssePing
        guard exchange.pointee.state == .relaying || exchange.pointee.state == .attempting, exchange.pointee.isStream, exchange.pointee.isCommitted, exchange.pointee.output.isEmpty,
            exchange.pointee.events.isBetweenEvents
        else { return }
        if let translation = exchange.pointee.translation {
            guard pingForeign(exchange, translation) else { return }
        } else {
            appendStatic(exchange, exchange.pointee.answerIsChunked ? "8\r\n: ping\n\n\r\n" : ": ping\n\n")
        }
        push(index)
    }

    // MARK: a client that leaves

    /// The client has ended its side of the connection. It may only be done asking (half-close), or it may be gone: FIN says the same. So, a moment
    /// later, something harmless is sent: a client that is gone answers with a reset.
    func probeSoon(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        exchange.pointee.probeAt = now + Self.probeNanoseconds
        setTimer(index, exchange.pointee.phaseDeadline == 0 ? .max : exchange.pointee.phaseDeadline)
    }

    func probe(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.output.isEmpty || exchange.pointee.isHeld, exchange.pointee.state == .attempting || exchange.pointee.state == .relaying else { return }
        if !exchange.pointee.isCommitted {
            guard exchange.pointee.versionMinor >= 1 else { return }
            // 102 (RFC 2518 §10.1): any number of 1xx may come before an answer (RFC 9110 §15.2).
            sendInterim(index, 102)
        } else if let translation = exchange.pointee.translation {
            if exchange.pointee.isStream, pingForeign(exchange, translation) { push(index) }
        } else if exchange.pointee.isStream, exchange.pointee.events.isBetweenEvents {
            appendStatic(exchange, exchange.pointee.answerIsChunked ? "3\r\n:\n\n\r\n" : ":\n\n")
            push(index)
        }
    }

    /// Sends an interim answer past the output. A socket that is full goes without it; one that takes only half of it can get no answer any more.
    func sendInterim(_ index: UInt32, _ status: UInt32) {
        let exchange = exchanges.base + Int(index)
        let connection = connections.base + Int(exchange.pointee.connection)
        if exchange.pointee.stream != 0 {
            if let session = connection.pointee.session { _ = claw_h2_answer(session, exchange.pointee.stream, status, nil, 0, 0) }
            return markDirty(exchange.pointee.connection)
        }
        let text: StaticString = status == 100 ? "HTTP/1.1 100 Continue\r\n\r\n" : "HTTP/1.1 102 Processing\r\n\r\n"
        var slice = claw_slice(base: text.utf8Start, length: text.utf8CodeUnitCount)
        let sent = claw_send(loop, connection.pointee.fd, &slice, 1)
        // Under TLS what did not go out is encrypted already and can't be taken back.
        if sent != Int64(text.utf8CodeUnitCount), sent != -Int64(EAGAIN) || connection.pointee.isSecure { clientGone(index) }
    }

    /// Nobody is left to answer: the upstream is cancelled at once, what was used is accounted, the connection goes.
    func clientGone(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state != .free else { return }
        if exchange.pointee.isDetached { return detachedFailed(index, .clientGone) }
        if exchange.pointee.state == .tunnelling { return tunnelClientLost(index) }
        exchange.pointee.clientGone = true
        if exchange.pointee.failure == nil { exchange.pointee.failure = .clientGone }
        if exchange.pointee.attemptCount > 0, exchange.pointee.state == .attempting || exchange.pointee.state == .relaying {
            closeAttempt(exchange, .clientGone, status: exchange.pointee.status)
        }
        if exchange.pointee.status == 0 { exchange.pointee.status = 499 }
        metrics.add(.clientDisconnects, 0)
        dropUpstream(index)
        dropAnswerLines(exchange)
        while !exchange.pointee.output.isEmpty { buffers.release(exchange.pointee.output.dropFirst().buffer) }
        exchange.pointee.state = .draining
        exchange.pointee.resetsClient = true
        markEnding(index)
    }
}
