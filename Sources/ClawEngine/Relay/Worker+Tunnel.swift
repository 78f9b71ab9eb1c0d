// The open tunnel: bytes that arrive on one side go out on the other from the buffer they were received in. Each way has its own back-pressure: when
// more than `server.stream_buffer_kb` waits for one side, the other is not read, and neither is held up by what goes the other way. Frames
// of a WebSocket are followed (FrameTracker), never gathered. The client's side is an HTTP/1.1 connection or a stream of HTTP/2; what only a stream
// has is in Worker+TunnelStream.swift.
//
// Not splice(2): where both sides are plain TCP it costs the same for the frames of realtime APIs (a relay's CPU a frame of 1, 4, 16 KiB: 4.4, 4.4, 4.9 µs;
// recv and send 4.4, 4.2, 5.2) and wins only for bulk (100 µs a MiB against 230), where frames could not be followed and each way would hold a pipe.
import CClaw
import ClawConfig
import ClawWire
import Glibc

extension Worker {
    /// The upstream has switched and the 101 stands in the output: from here on no deadline of a request holds, only the idle time.
    func openTunnel(_ index: UInt32, _ tunnel: UnsafeMutablePointer<Tunnel>) {
        let exchange = exchanges.base + Int(index)
        tunnel.pointee.isOpen = true
        tunnel.pointee.openedAt = now
        tunnel.pointee.movedAt = now
        exchange.pointee.state = .tunnelling
        exchange.pointee.isCommitted = true
        exchange.pointee.isHeld = false
        exchange.pointee.phase = .none
        exchange.pointee.phaseDeadline = 0
        exchange.pointee.totalDeadline = 0
        exchange.pointee.pingAt = 0
        exchange.pointee.probeAt = 0
        closeAttempt(exchange, .none, status: 101)
        if exchange.pointee.link == noIndex || links.base[Int(exchange.pointee.link)].sentAll { releaseRequest(exchange) }
        if exchange.pointee.stream == 0 { connections.base[Int(exchange.pointee.connection)].closesAfter = true }
        tunnelsOpen += 1
        metrics.set(.tunnels, tunnelsOpen)
        metrics.add(.tunnels, presentUpstream(exchange).pointee.label)
        timers.set(exchangeTimers + Int(index), now + exchange.pointee.plan.pointee.tunnelIdle)
        pushLater(index)
        takeEarlyBytes(index)
        // A drain that began during the handshake.
        if phase != 0, exchange.pointee.state == .tunnelling { sealTunnel(index, code: 1001, .drain) }
    }

    /// What the client sent behind its handshake, without waiting for the answer, was kept by its connection or, on a stream, by the exchange.
    private func takeEarlyBytes(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.stream != 0 { return takeEarlyData(index) }
        let connection = connections.base + Int(exchange.pointee.connection)
        if connection.pointee.heldLength > 0 {
            tunnelFromClient(index, heldBase(exchange.pointee.connection), Int(connection.pointee.heldLength), in: connection.pointee.heldBuffer)
            dropHeld(exchange.pointee.connection)
        }
        guard exchange.pointee.state == .tunnelling else { return }
        if connection.pointee.peerEnded { return tunnelClientEnded(index, error: 0) }
        if exchange.pointee.tunnel?.pointee.isClientPaused == false { receiveFromClient(index, true) }
    }

    // MARK: both ways

    /// Bytes of the client, in `buffer`, on which the caller keeps its reference, or (noIndex) in memory that they are copied from.
    func tunnelFromClient(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, _ length: Int, in buffer: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .tunnelling, let tunnel = exchange.pointee.tunnel else { return }
        exchange.pointee.bytesIn += UInt64(length)
        if exchange.pointee.stream != 0 { tunnel.pointee.owed += length }
        var (pass, followed) = follow(&tunnel.pointee.fromClient, tunnel, bytes, length)
        var fits = appendToLink(exchange, bytes, pass, buffer)
        sealIfDue(index)
        if followed < length {
            let rest = followed
            (pass, followed) = follow(&tunnel.pointee.fromClient, tunnel, bytes + rest, length - rest)
            fits = appendToLink(exchange, bytes + rest, pass, buffer) && fits
        }
        guard fits else { return endTunnel(index, .exhausted) }
        count(&tunnel.pointee.fromClient, exchange, length, direction: 0)
        noteClose(tunnel, tunnel.pointee.fromClient, .client)
        if exchange.pointee.link == noIndex { return tunnelWent(index) }
        // Goes on in `tunnelWent`.
        flushLink(exchange.pointee.link)
    }

    /// False: the pool of buffers is exhausted.
    private func appendToLink(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ length: Int, _ buffer: UInt32) -> Bool {
        guard length > 0, exchange.pointee.link != noIndex else { return true }
        let link = links.base + Int(exchange.pointee.link)
        if buffer == noIndex { return copySpan(bytes, length, to: &link.pointee.output) }
        buffers.retain(buffer)
        link.pointee.output.append(Segment(base: bytes, length: UInt32(length), buffer: buffer))
        return true
    }

    /// The same for bytes of the upstream.
    func tunnelFromUpstream(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, _ length: Int, in buffer: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .tunnelling, length > 0, let tunnel = exchange.pointee.tunnel else { return }
        exchange.pointee.bytesRelayed += UInt64(length)
        var (pass, followed) = follow(&tunnel.pointee.fromUpstream, tunnel, bytes, length)
        var fits = appendToClient(exchange, bytes, pass, buffer)
        sealIfDue(index)
        if followed < length {
            let rest = followed
            (pass, followed) = follow(&tunnel.pointee.fromUpstream, tunnel, bytes + rest, length - rest)
            fits = appendToClient(exchange, bytes + rest, pass, buffer) && fits
        }
        guard fits else { return endTunnel(index, .exhausted) }
        count(&tunnel.pointee.fromUpstream, exchange, length, direction: 1)
        noteClose(tunnel, tunnel.pointee.fromUpstream, .upstream)
        // Close frames of ours may have been due the other way.
        if exchange.pointee.link != noIndex, !links.base[Int(exchange.pointee.link)].output.isEmpty { flushLink(exchange.pointee.link) } else { tunnelMoved(index) }
        if exchange.pointee.state == .tunnelling, !exchange.pointee.output.isEmpty { pushLater(index) }
    }

    private func appendToClient(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ length: Int, _ buffer: UInt32) -> Bool {
        guard length > 0 else { return true }
        exchange.pointee.heldBuffers += 1
        if buffer == noIndex { return copySpan(bytes, length, to: &exchange.pointee.output) }
        buffers.retain(buffer)
        exchange.pointee.output.append(Segment(base: bytes, length: UInt32(length), buffer: buffer))
        return true
    }

    /// Follows arrived bytes. `pass`: so many from the first on go to the other side. `followed` is less than all when a close frame of ours is due
    /// behind them; the rest is then given in once more.
    private func follow(
        _ way: inout Tunnel.Way, _ tunnel: UnsafeMutablePointer<Tunnel>, _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) -> (pass: Int, followed: Int) {
        let isShut = way.isSealed || way.isBroken || way.isEnded
        guard tunnel.pointee.isWebSocket else { return (isShut ? 0 : count, count) }
        if way.sealCode != 0, !isShut, !way.frames.isBetweenFrames {
            let pass = way.frames.follow(bytes, count, stopsBetweenFrames: true)
            return (pass, pass)
        }
        _ = way.frames.follow(bytes, count)
        return (isShut ? 0 : count, count)
    }

    private func count(_ way: inout Tunnel.Way, _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: Int, direction: UInt16) {
        way.bytes += UInt64(bytes)
        let label = presentUpstream(exchange).pointee.label
        metrics.add(.tunnelBytes, label, direction, by: UInt64(bytes))
        let messages = way.frames.messages &- way.counted
        if messages > 0 {
            way.counted = way.frames.messages
            metrics.add(.tunnelMessages, label, direction, by: messages)
        }
    }

    private func noteClose(_ tunnel: UnsafeMutablePointer<Tunnel>, _ way: Tunnel.Way, _ party: Tunnel.Party) {
        guard tunnel.pointee.closedBy == .none, way.frames.sawClose else { return }
        tunnel.pointee.closedBy = party
        tunnel.pointee.closeCode = way.frames.closeCode
    }

    // MARK: back-pressure

    /// The link of this tunnel was flushed: goes on reading the client, or stops.
    func tunnelWent(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .tunnelling, let tunnel = exchange.pointee.tunnel else { return }
        var queued = 0, spans = 0
        if exchange.pointee.link != noIndex {
            queued = links.base[Int(exchange.pointee.link)].output.bytes
            spans = Int(links.base[Int(exchange.pointee.link)].output.count)
        }
        if exchange.pointee.stream != 0 {
            giveTunnelWindowBack(exchange, tunnel, queued: queued)
        } else {
            let limit = exchange.pointee.plan.pointee.streamBufferBytes
            if queued >= limit || spans * buffers.size >= limit, !tunnel.pointee.isClientPaused {
                tunnel.pointee.isClientPaused = true
                receiveFromClient(index, false)
            } else if queued == 0, tunnel.pointee.isClientPaused {
                tunnel.pointee.isClientPaused = false
                receiveFromClient(index, true)
            }
        }
        tunnelMoved(index)
    }

    /// All of the output is with the kernel: goes on reading the upstream.
    func tunnelDrained(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isPaused { setUpstreamReceiving(exchange, true) }
        tunnelMoved(index)
    }

    /// Reads the client's side, or leaves what it sends in the kernel. (A stream is held up by its window instead.)
    private func receiveFromClient(_ index: UInt32, _ on: Bool) {
        let connection = exchanges.base[Int(index)].connection
        if connections.base[Int(connection)].peerEnded { return }
        receive(connection, on ? CLAW_RECEIVE_BUFFERED : CLAW_RECEIVE_OFF)
    }

    /// Something moved: the idle time begins anew, and whoever has nothing more to come is told so.
    func tunnelMoved(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .tunnelling, let tunnel = exchange.pointee.tunnel else { return }
        tunnel.pointee.movedAt = now
        passEnds(index, tunnel)
        guard exchange.pointee.state == .tunnelling else { return }
        let idle = now + exchange.pointee.plan.pointee.tunnelIdle
        timers.set(exchangeTimers + Int(index), tunnel.pointee.endsAt == 0 ? idle : min(idle, tunnel.pointee.endsAt))
    }
}
