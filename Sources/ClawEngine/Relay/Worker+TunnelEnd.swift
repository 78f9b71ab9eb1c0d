// How a tunnel ends. Normally the peers see to it: close frames pass as they are, an end of one side (FIN) is passed on when all before it has gone
// out, and when both ways have ended the exchange does. The gateway ends a tunnel itself when it drains, when nothing moved for the idle time,
// or when one side is lost. Then a WebSocket gets a close frame of ours, never into the middle of another frame: 1001 from a gateway that goes, 1011 to a
// client whose upstream broke off, 1001 to an upstream whose client vanished; and the peers have some seconds to close. Other protocols have no
// words for it and get the end alone.
import CClaw
import ClawConfig
import ClawWire
import Glibc

extension Worker {
    // MARK: one side ends

    /// The client has ended its side (0), or its connection is lost (< 0).
    func tunnelClientEnded(_ index: UInt32, error: Int32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .tunnelling, let tunnel = exchange.pointee.tunnel else { return }
        if error < 0 { return tunnelClientLost(index) }
        // Receiving is over; paused, the loop still says when the connection breaks.
        if exchange.pointee.stream == 0 { receive(exchange.pointee.connection, CLAW_RECEIVE_OFF) }
        if tunnel.pointee.isWebSocket {
            // To end without a close frame is to break off (RFC 6455 §7.1.4): the upstream is told in its own words.
            // Who ends without an answer to the upstream's close frame leaves nothing to say.
            if isUnclosed(tunnel.pointee.fromClient), !tunnel.pointee.fromUpstream.frames.sawClose {
                tunnel.pointee.end = .client
                seal(index, &tunnel.pointee.fromClient, code: 1001, reason: "the client is gone", towardsClient: false)
            }
            beginEnding(tunnel)
        }
        tunnel.pointee.fromClient.isEnded = true
        flushTunnelLink(index)
        tunnelMoved(index)
    }

    /// Nobody reads on the client's side any more. The upstream gets to know, and a moment to close.
    func tunnelClientLost(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .tunnelling, let tunnel = exchange.pointee.tunnel, !tunnel.pointee.fromUpstream.isBroken else { return }
        // After both have closed the rest is nobody's loss.
        if !(tunnel.pointee.fromClient.frames.sawClose && tunnel.pointee.fromUpstream.frames.sawClose) {
            exchange.pointee.clientGone = true
            exchange.pointee.failure = .clientGone
            if tunnel.pointee.end == .peers { tunnel.pointee.end = .client }
            metrics.add(.clientDisconnects, 0)
        }
        exchange.pointee.resetsClient = true
        if exchange.pointee.stream == 0 { receive(exchange.pointee.connection, CLAW_RECEIVE_OFF) }
        dropAnswerLines(exchange)
        while !exchange.pointee.output.isEmpty { buffers.release(exchange.pointee.output.dropFirst().buffer) }
        exchange.pointee.heldBuffers = 0
        tunnel.pointee.fromUpstream.isBroken = true
        if tunnel.pointee.isWebSocket, isUnclosed(tunnel.pointee.fromClient), !tunnel.pointee.fromUpstream.frames.sawClose {
            seal(index, &tunnel.pointee.fromClient, code: 1001, reason: "the client is gone", towardsClient: false)
        }
        tunnel.pointee.fromClient.isEnded = true
        beginEnding(tunnel)
        // What the upstream still says is thrown away, its end is waited for.
        if exchange.pointee.isPaused { setUpstreamReceiving(exchange, true) }
        flushTunnelLink(index)
        tunnelMoved(index)
    }

    /// The upstream has ended its side (0), or its connection is lost (< 0).
    func tunnelUpstreamEnded(_ index: UInt32, error: Int32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .tunnelling, let tunnel = exchange.pointee.tunnel else { return }
        let isAbrupt = tunnel.pointee.isWebSocket ? isUnclosed(tunnel.pointee.fromUpstream) : error < 0
        if isAbrupt, !tunnel.pointee.fromClient.frames.sawClose, tunnel.pointee.endsAt == 0 {
            exchange.pointee.upstreamCut = true
            exchange.pointee.failure = .upstreamTruncated
            tunnel.pointee.end = .upstream
        }
        if tunnel.pointee.isWebSocket {
            if isUnclosed(tunnel.pointee.fromUpstream), !tunnel.pointee.fromClient.frames.sawClose {
                seal(index, &tunnel.pointee.fromUpstream, code: 1011, reason: "the upstream broke off", towardsClient: true)
            }
            beginEnding(tunnel)
        } else if error < 0 {
            exchange.pointee.resetsClient = true
        }
        tunnel.pointee.fromUpstream.isEnded = true
        if error < 0 {
            tunnel.pointee.fromClient.isBroken = true
            closeTunnelLink(exchange, reset: false)
        } else if exchange.pointee.link != noIndex {
            let link = links.base + Int(exchange.pointee.link)
            link.pointee.receiveMode = UInt8(CLAW_RECEIVE_OFF)
            _ = claw_receive(loop, link.pointee.fd, UInt32(CLAW_RECEIVE_OFF))
            exchange.pointee.isPaused = false
        }
        if !exchange.pointee.output.isEmpty { pushLater(index) }
        tunnelMoved(index)
    }

    // MARK: ends pass on

    /// Sends the end of each way behind its last byte; with both gone the tunnel is over.
    func passEnds(_ index: UInt32, _ tunnel: UnsafeMutablePointer<Tunnel>) {
        let exchange = exchanges.base + Int(index)
        if tunnel.pointee.isWebSocket, tunnel.pointee.fromClient.frames.sawClose, tunnel.pointee.fromUpstream.frames.sawClose { beginEnding(tunnel) }
        // Where the gateway closed and the peer has closed as well, nothing is left to say (RFC 6455 §7.1.1).
        if tunnel.pointee.fromUpstream.isSealed, tunnel.pointee.fromClient.frames.sawClose { tunnel.pointee.fromUpstream.isEnded = true }
        if tunnel.pointee.fromClient.isSealed, tunnel.pointee.fromUpstream.frames.sawClose { tunnel.pointee.fromClient.isEnded = true }
        if tunnel.pointee.fromClient.isEnded, !tunnel.pointee.fromClient.isOver, exchange.pointee.link != noIndex {
            let link = links.base + Int(exchange.pointee.link)
            if link.pointee.output.isEmpty {
                tunnel.pointee.fromClient.finSent = true
                _ = claw_shutdown_send(loop, link.pointee.fd)
            }
        }
        if tunnel.pointee.fromUpstream.isEnded, !tunnel.pointee.fromUpstream.isOver, exchange.pointee.output.isEmpty {
            // The end of a stream's answer is the end of its exchange: there the client's close is waited for first.
            if exchange.pointee.stream == 0 {
                tunnel.pointee.fromUpstream.finSent = true
                _ = claw_shutdown_send(loop, connections.base[Int(exchange.pointee.connection)].fd)
            } else if exchange.pointee.link == noIndex || links.base[Int(exchange.pointee.link)].output.isEmpty,
                !tunnel.pointee.isWebSocket || tunnel.pointee.fromClient.frames.sawClose || tunnel.pointee.fromClient.isEnded
            {
                return endTunnel(index)
            }
        }
        if tunnel.pointee.fromClient.isOver, tunnel.pointee.fromUpstream.isOver || tunnel.pointee.fromUpstream.isEnded, isHeardOut(tunnel) { endTunnel(index) }
    }

    /// Both sides have ended, or will not be heard any more.
    private func isHeardOut(_ tunnel: UnsafeMutablePointer<Tunnel>) -> Bool {
        tunnel.pointee.fromClient.isEnded || tunnel.pointee.fromClient.isBroken ? tunnel.pointee.fromUpstream.isEnded : false
    }

    // MARK: the gateway ends it

    /// The drain has begun: WebSockets are told (1001) and asked to close; others run on to the drain's deadline.
    func sealTunnels() {
        for at in 0..<exchanges.touched where exchanges.base[at].state == .tunnelling {
            sealTunnel(UInt32(at), code: 1001, .drain)
            settle()
        }
    }

    /// Closes both ways of a WebSocket with a close frame of ours, at once or when the frame under way has passed.
    func sealTunnel(_ index: UInt32, code: UInt16, _ end: Tunnel.End) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .tunnelling, let tunnel = exchange.pointee.tunnel, tunnel.pointee.isWebSocket, tunnel.pointee.endsAt == 0 else { return }
        if tunnel.pointee.closedBy == .none { tunnel.pointee.end = end }
        if isUnclosed(tunnel.pointee.fromUpstream) { tunnel.pointee.fromUpstream.sealCode = code }
        if isUnclosed(tunnel.pointee.fromClient) { tunnel.pointee.fromClient.sealCode = code }
        // A drain has a deadline of its own.
        if end != .drain { beginEnding(tunnel) }
        sealIfDue(index)
        pushLater(index)
        flushTunnelLink(index)
    }

    /// Puts in the close frames that waited for the end of a frame.
    func sealIfDue(_ index: UInt32) {
        guard let tunnel = exchanges.base[Int(index)].tunnel else { return }
        if tunnel.pointee.fromUpstream.sealCode != 0 {
            seal(index, &tunnel.pointee.fromUpstream, code: tunnel.pointee.fromUpstream.sealCode, reason: "the gateway closes", towardsClient: true)
        }
        if tunnel.pointee.fromClient.sealCode != 0 {
            seal(index, &tunnel.pointee.fromClient, code: tunnel.pointee.fromClient.sealCode, reason: "the gateway closes", towardsClient: false)
        }
    }

    private func isUnclosed(_ way: Tunnel.Way) -> Bool { !way.isSealed && !way.frames.sawClose && !way.isEnded && !way.isBroken }

    /// A close frame of ours behind what has gone this way, if it stands between two frames.
    private func seal(_ index: UInt32, _ way: inout Tunnel.Way, code: UInt16, reason: StaticString, towardsClient: Bool) {
        let exchange = exchanges.base + Int(index)
        if way.frames.sawClose { way.sealCode = 0 }
        guard isUnclosed(way), way.frames.isBetweenFrames, let room = buffers.reserve(CloseFrame.bytesMax) else { return }
        // A client masks (RFC 6455 §5.3), which we are towards the upstream.
        let mask: UInt32? = towardsClient ? nil : UInt32(truncatingIfNeeded: nextRandom())
        let segment = buffers.commit(CloseFrame.write(code: code, reason: reason, mask: mask, into: room))
        if towardsClient {
            exchange.pointee.output.append(segment)
        } else if exchange.pointee.link != noIndex {
            links.base[Int(exchange.pointee.link)].output.append(segment)
        } else {
            buffers.release(segment.buffer)
        }
        way.isSealed = true
        way.sealCode = 0
        if let tunnel = exchange.pointee.tunnel, tunnel.pointee.closedBy == .none {
            tunnel.pointee.closedBy = .gateway
            tunnel.pointee.closeCode = code
        }
    }

    private func beginEnding(_ tunnel: UnsafeMutablePointer<Tunnel>) {
        if tunnel.pointee.endsAt == 0 { tunnel.pointee.endsAt = now + Tunnel.endingNanoseconds }
    }

    private func flushTunnelLink(_ index: UInt32) {
        let link = exchanges.base[Int(index)].link
        if link != noIndex { flushLink(link) }
    }

    // MARK: the end

    func expireTunnel(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard let tunnel = exchange.pointee.tunnel else { return }
        if tunnel.pointee.endsAt != 0, now >= tunnel.pointee.endsAt { return endTunnel(index) }
        let idle = tunnel.pointee.movedAt + exchange.pointee.plan.pointee.tunnelIdle
        if now >= idle, tunnel.pointee.endsAt == 0 {
            tunnel.pointee.end = .idle
            guard tunnel.pointee.isWebSocket else { return endTunnel(index) }
            sealTunnel(index, code: 1001, .idle)
            guard exchange.pointee.state == .tunnelling else { return }
        }
        timers.set(exchangeTimers + Int(index), tunnel.pointee.endsAt != 0 ? tunnel.pointee.endsAt : max(idle, now + 1_000_000))
    }

    /// Lets the upstream go; the exchange ends when the client has what is queued for it.
    func endTunnel(_ index: UInt32, _ end: Tunnel.End? = nil) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .tunnelling, let tunnel = exchange.pointee.tunnel else { return }
        if let end { tunnel.pointee.end = end }
        closeTunnelLink(exchange, reset: false)
        exchange.pointee.state = .draining
        exchange.pointee.isPaused = false
        if exchange.pointee.clientGone || tunnel.pointee.fromUpstream.isBroken { return markEnding(index) }
        exchange.pointee.phase = .write
        setTimer(index, now + exchange.pointee.plan.pointee.writeTimeout)
        push(index)
    }

    private func closeTunnelLink(_ exchange: UnsafeMutablePointer<Exchange>, reset: Bool) {
        let link = exchange.pointee.link
        guard link != noIndex else { return }
        exchange.pointee.link = noIndex
        links.base[Int(link)].exchange = noIndex
        closeLink(link, reset: reset)
    }

    /// Gives the tunnel back, open or not. Called from `finish`.
    func dropTunnel(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let tunnel = exchange.pointee.tunnel else { return }
        if tunnel.pointee.isOpen {
            tunnelsOpen -= 1
            metrics.set(.tunnels, tunnelsOpen)
        }
        tunnel.deinitialize(count: 1)
        tunnel.deallocate()
        exchange.pointee.tunnel = nil
    }

    // MARK: the log

    /// What the log line of a tunnel has besides; nothing for any other exchange.
    func writeTunnel(_ exchange: UnsafeMutablePointer<Exchange>, _ text: inout TextWriter) {
        guard let tunnel = exchange.pointee.tunnel, tunnel.pointee.isOpen else { return }
        text.put(",\"tunnel\":{\"protocol\":")
        text.put(json: tunnel.pointee.name.raw, limit: 64)
        text.put(",\"open_ms\":")
        text.put(milliseconds: now &- tunnel.pointee.openedAt)
        text.put(",\"bytes_from_client\":")
        text.put(number: tunnel.pointee.fromClient.bytes)
        text.put(",\"bytes_from_upstream\":")
        text.put(number: tunnel.pointee.fromUpstream.bytes)
        if tunnel.pointee.isWebSocket {
            text.put(",\"messages_from_client\":")
            text.put(number: tunnel.pointee.fromClient.frames.messages)
            text.put(",\"messages_from_upstream\":")
            text.put(number: tunnel.pointee.fromUpstream.frames.messages)
        } else {
            text.put(",\"messages_from_client\":null,\"messages_from_upstream\":null")
        }
        text.put(",\"close_code\":")
        if tunnel.pointee.closedBy == .none { text.put("null") } else { text.put(number: UInt64(tunnel.pointee.closeCode)) }
        switch tunnel.pointee.closedBy {
        case .none: text.put(",\"closed_by\":null")
        case .client: text.put(",\"closed_by\":\"client\"")
        case .upstream: text.put(",\"closed_by\":\"upstream\"")
        case .gateway: text.put(",\"closed_by\":\"gateway\"")
        }
        text.put(",\"ended_by\":\"")
        text.put(tunnel.pointee.end.name)
        text.put("\"}")
    }
}
