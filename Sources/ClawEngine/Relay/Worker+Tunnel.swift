// The open tunnel: bytes that arrive on one side go out on the other from the buffer they were received in. Each way has its own back-pressure: when
// more than `server.stream_buffer_kb` waits for one side, the other is not read, and neither is held up by what goes the other way. Frames
// of a WebSocket are followed (FrameTracker), never gathered. The client's side is reached through the exchange's output and `receiveFromClient`
// alone, so it may be a connection or a stream of one.
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
        connections.base[Int(exchange.pointee.connection)].closesAfter = true
        tunnelsOpen += 1
        metrics.set(.tunnels, tunnelsOpen)
        metrics.add(.tunnels, presentUpstream(exchange).pointee.label)
        timers.set(exchangeTimers + Int(index), now + exchange.pointee.plan.pointee.tunnelIdle)
        markDirty(exchange.pointee.connection)
        takeEarlyBytes(index)
        // A drain that began during the handshake.
        if phase != 0, exchange.pointee.state == .tunnelling { sealTunnel(index, code: 1001, .drain) }
    }

    /// What the client sent behind its handshake, without waiting for the answer, was kept by its connection.
    private func takeEarlyBytes(_ index: UInt32) {
        let connectionIndex = exchanges.base[Int(index)].connection
        let connection = connections.base + Int(connectionIndex)
        let offset = Int(connection.pointee.heldOffset), count = Int(connection.pointee.heldLength)
        if count > 0 {
            if let memory = connection.pointee.heldMemory {
                var at = 0
                while at < count {
                    let buffer = buffers.take()
                    guard buffer != noIndex else { return endTunnel(index, .client) }
                    let take = min(count - at, buffers.size)
                    memcpy(buffers.pointer(buffer), memory + offset + at, take)
                    tunnelFromClient(index, buffer, from: 0, to: take)
                    buffers.release(buffer)
                    at += take
                }
            } else {
                tunnelFromClient(index, connection.pointee.heldBuffer, from: offset, to: offset + count)
            }
            dropHeld(connectionIndex)
        }
        guard exchanges.base[Int(index)].state == .tunnelling else { return }
        if connection.pointee.peerEnded { return tunnelClientEnded(index, error: 0) }
        if exchanges.base[Int(index)].tunnel?.pointee.isClientPaused == false { receiveFromClient(index, true) }
    }

    // MARK: both ways

    /// Bytes of the client in `buffer`, from ..< to. The caller keeps its reference on the buffer.
    func tunnelFromClient(_ index: UInt32, _ buffer: UInt32, from: Int, to: Int) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .tunnelling, let tunnel = exchange.pointee.tunnel else { return }
        exchange.pointee.bytesIn += UInt64(to - from)
        let base = buffers.pointer(buffer) + from
        let (pass, followed) = follow(&tunnel.pointee.fromClient, tunnel, base, to - from)
        if pass > 0 { appendToLink(exchange, base, pass, buffer) }
        sealIfDue(index)
        if followed < to - from {
            let (rest, _) = follow(&tunnel.pointee.fromClient, tunnel, base + followed, to - from - followed)
            if rest > 0 { appendToLink(exchange, base + followed, rest, buffer) }
        }
        count(&tunnel.pointee.fromClient, exchange, to - from, direction: 0)
        noteClose(tunnel, tunnel.pointee.fromClient, .client)
        if exchange.pointee.link == noIndex { return tunnelMoved(index) }
        // Goes on in `tunnelWent`.
        flushLink(exchange.pointee.link)
    }

    private func appendToLink(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ count: Int, _ buffer: UInt32) {
        guard exchange.pointee.link != noIndex else { return }
        buffers.retain(buffer)
        links.base[Int(exchange.pointee.link)].output.append(Segment(base: bytes, length: UInt32(count), buffer: buffer))
    }

    /// The same for bytes of the upstream.
    func tunnelFromUpstream(_ index: UInt32, _ buffer: UInt32, from: Int, to: Int) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .tunnelling, to > from, let tunnel = exchange.pointee.tunnel else { return }
        let base = buffers.pointer(buffer) + from
        let (pass, followed) = follow(&tunnel.pointee.fromUpstream, tunnel, base, to - from)
        if pass > 0 { appendToClient(exchange, base, pass, buffer) }
        sealIfDue(index)
        if followed < to - from {
            let (rest, _) = follow(&tunnel.pointee.fromUpstream, tunnel, base + followed, to - from - followed)
            if rest > 0 { appendToClient(exchange, base + followed, rest, buffer) }
        }
        count(&tunnel.pointee.fromUpstream, exchange, to - from, direction: 1)
        noteClose(tunnel, tunnel.pointee.fromUpstream, .upstream)
        exchange.pointee.bytesRelayed += UInt64(to - from)
        tunnelMoved(index)
        if exchange.pointee.state == .tunnelling, !exchange.pointee.output.isEmpty { markDirty(exchange.pointee.connection) }
    }

    /// Bytes that came right behind the 101: in `buffer` with its head, or, behind a very long head (`buffer` is noIndex), in memory to copy from.
    func tunnelFromUpstream(_ index: UInt32, _ buffer: UInt32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        if buffer != noIndex {
            let from = bytes - buffers.pointer(buffer)
            return tunnelFromUpstream(index, buffer, from: from, to: from + count)
        }
        var at = 0
        while at < count {
            let fresh = buffers.take()
            guard fresh != noIndex else { return endTunnel(index, .upstream) }
            let take = min(count - at, buffers.size)
            memcpy(buffers.pointer(fresh), bytes + at, take)
            tunnelFromUpstream(index, fresh, from: 0, to: take)
            buffers.release(fresh)
            at += take
        }
    }

    private func appendToClient(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ count: Int, _ buffer: UInt32) {
        buffers.retain(buffer)
        exchange.pointee.output.append(Segment(base: bytes, length: UInt32(count), buffer: buffer))
        exchange.pointee.heldBuffers += 1
    }

    /// Follows arrived bytes. `pass`: so many from the first on go to the other side. `followed` is less than all when a close frame of ours is due
    /// behind them; the rest is then given in once more.
    private func follow(
        _ way: inout Tunnel.Way, _ tunnel: UnsafeMutablePointer<Tunnel>, _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) -> (pass: Int, followed: Int) {
        if way.isBroken || way.isEnded { return (0, count) }
        guard tunnel.pointee.isWebSocket else { return (count, count) }
        if way.sealCode != 0, !way.isSealed, !way.frames.isBetweenFrames {
            let pass = way.frames.follow(bytes, count, stopsBetweenFrames: true)
            return (pass, pass)
        }
        _ = way.frames.follow(bytes, count)
        return (way.isSealed ? 0 : count, count)
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
        guard let tunnel = exchange.pointee.tunnel, exchange.pointee.link != noIndex else { return }
        let link = links.base + Int(exchange.pointee.link)
        let limit = exchange.pointee.plan.pointee.streamBufferBytes
        let isFull = link.pointee.output.bytes >= limit || Int(link.pointee.output.count) * buffers.size >= limit
        if isFull, !tunnel.pointee.isClientPaused {
            tunnel.pointee.isClientPaused = true
            receiveFromClient(index, false)
        } else if link.pointee.output.isEmpty, tunnel.pointee.isClientPaused {
            tunnel.pointee.isClientPaused = false
            receiveFromClient(index, true)
        }
        tunnelMoved(index)
    }

    /// All of the output is with the kernel: goes on reading the upstream.
    func tunnelDrained(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isPaused { setUpstreamReceiving(exchange, true) }
        tunnelMoved(index)
    }

    /// Reads the client's side, or leaves what it sends in the kernel.
    func receiveFromClient(_ index: UInt32, _ on: Bool) {
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
