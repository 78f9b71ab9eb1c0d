// Transport `direct`: our own client, HTTP/1.1 here, HTTP/2 in Worker+Multiplex. Each endpoint has a pool of idle connections (last used, first taken), a cap,
// and a queue of exchanges that wait for a connection or for the endpoint's name to be looked up. Names are looked up on the loop's resolver
// thread, kept for 30 s, and used while a newer answer is on its way.
import CClaw
import ClawConfig
import ClawWire
import Glibc

extension Worker {
    private static let addressLifetime: UInt64 = 30_000_000_000
    /// Exchanges that may wait at one endpoint of one worker.
    static let waitingMax = 4096
    private static let interimAnswersMax = 16

    // MARK: finding a connection

    /// Sends the present attempt over a pooled connection, or a new one; `fresh`: only a new one will do.
    func startDirect(_ index: UInt32, fresh: Bool) {
        let exchange = exchanges.base + Int(index)
        let endpoint = exchange.pointee.endpoint.unsafelyUnwrapped
        let state = self.endpoint(endpoint.pointee.place)
        if state.pointee.generation != endpoint.pointee.generation {
            // The place was another endpoint's, of which nothing is left (`Registry.holdEndpoint`).
            state.pointee = EndpointState()
            state.pointee.generation = endpoint.pointee.generation
        }
        let isMultiplexed = speaksHTTP2(exchange)
        if exchange.pointee.streamsBody, !isMultiplexed { return attemptFailed(index, .upstreamProtocol) }
        if isMultiplexed {
            if joinSession(index, state, fresh: fresh) { return }
            if state.pointee.isOpening { return wait(index, at: endpoint.pointee.place) }
        } else if !fresh {
            while let link = state.pointee.idle.popLast() {
                guard links.base[Int(link)].state == .idle else { continue }
                return send(index, over: link)
            }
        }
        let upstream = presentUpstream(exchange)
        if upstream.pointee.connectionsPerEndpointMax > 0, state.pointee.open >= upstream.pointee.connectionsPerEndpointMax {
            return wait(index, at: endpoint.pointee.place)
        }
        if endpoint.pointee.isLiteral { return connect(index, to: endpoint.pointee.address, addressIndex: 0) }
        let isStale = now &- state.pointee.resolvedAt > Self.addressLifetime
        if isStale || state.pointee.addresses.isEmpty { lookUp(endpoint, state) }
        if state.pointee.addresses.isEmpty {
            guard state.pointee.isResolving else { return attemptFailed(index, .upstreamDNS) }
            return wait(index, at: endpoint.pointee.place)
        }
        let at = state.pointee.nextAddress % state.pointee.addresses.count
        connect(index, to: state.pointee.addresses[at], addressIndex: UInt8(at))
    }

    func presentUpstream(_ exchange: UnsafeMutablePointer<Exchange>) -> UnsafeMutablePointer<PlanUpstream> {
        exchange.pointee.plan.pointee.upstreams[Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].upstream)]
    }

    private func wait(_ index: UInt32, at place: Int) {
        let exchange = exchanges.base + Int(index)
        let state = endpoint(place)
        if state.pointee.waiting.count >= Self.waitingMax { return attemptFailed(index, .upstreamPending) }
        state.pointee.waiting.append(SlotToken(.none, generation: exchange.pointee.generation, index: index))
        exchange.pointee.waitingAt = Int32(place)
        waitingCount += 1
        metrics.set(.pending, waitingCount)
        exchange.pointee.phase = .connect
        setTimer(index, now + presentUpstream(exchange).pointee.connectTimeout)
    }

    private func lookUp(_ endpoint: UnsafeMutablePointer<PlanEndpoint>, _ state: UnsafeMutablePointer<EndpointState>) {
        if state.pointee.isResolving { return }
        let token = SlotToken(.resolver, generation: endpoint.pointee.generation, index: UInt32(endpoint.pointee.place))
        let host = UnsafeRawPointer(endpoint.pointee.host.base).assumingMemoryBound(to: CChar.self)
        state.pointee.isResolving = claw_resolve(loop, host, endpoint.pointee.port, token.value) >= 0
    }

    func resolved(_ event: claw_event, place: Int) {
        let state = endpoint(place)
        guard SlotToken(value: event.token).generation == state.pointee.generation else {
            // What the place's last owner asked for.
            _ = claw_resolved(loop, event.token, nil, 0)
            return
        }
        state.pointee.isResolving = false
        if event.result > 0 {
            var found: [claw_address] = Array(repeating: claw_address(), count: EndpointState.addressesMax)
            let count = claw_resolved(loop, event.token, &found, Int32(EndpointState.addressesMax))
            if count > 0 {
                state.pointee.addresses = Array(found.prefix(Int(count)))
                state.pointee.nextAddress = 0
            }
            state.pointee.resolvedAt = now
        }
        let waiting = state.pointee.waiting
        state.pointee.waiting = []
        for token in waiting {
            guard let index = waiter(token) else { continue }
            if state.pointee.addresses.isEmpty { attemptFailed(index, .upstreamDNS) } else { startDirect(index, fresh: false) }
        }
    }

    /// The exchange a queue entry stands for, if it still waits.
    func waiter(_ token: SlotToken) -> UInt32? {
        let exchange = exchanges.base + Int(token.index)
        guard exchange.pointee.generation == token.generation, exchange.pointee.state == .attempting, exchange.pointee.waitingAt >= 0 else { return nil }
        exchange.pointee.waitingAt = -1
        waitingCount -= 1
        metrics.set(.pending, waitingCount)
        return token.index
    }

    /// A connection of this endpoint has become free or has gone: the next in the queue goes on.
    func wakeWaiting(_ state: UnsafeMutablePointer<EndpointState>) {
        while !state.pointee.waiting.isEmpty {
            let token = state.pointee.waiting.removeFirst()
            if let index = waiter(token) { return startDirect(index, fresh: false) }
        }
    }

    private func connect(_ index: UInt32, to address: claw_address, addressIndex: UInt8) {
        let exchange = exchanges.base + Int(index)
        guard let (at, isFresh) = links.take() else { return attemptFailed(index, .upstreamPending) }
        let link = links.base + at
        if isFresh { link.initialize(to: Link()) }
        let generation = (link.pointee.generation &+ 1) & 0xff_ffff
        link.pointee = Link()
        link.pointee.generation = generation
        link.pointee.place = Int32(exchange.pointee.endpoint.unsafelyUnwrapped.pointee.place)
        var address = address
        let fd = claw_connect(loop, &address, SlotToken(.link, generation: generation, index: UInt32(at)).value)
        guard fd >= 0 else {
            links.give(at)
            return attemptFailed(index, .upstreamConnect)
        }
        link.pointee.fd = fd
        link.pointee.state = .connecting
        link.pointee.addressIndex = addressIndex
        link.pointee.exchange = index
        exchange.pointee.link = UInt32(at)
        let state = endpoint(Int(link.pointee.place))
        state.pointee.open += 1
        if speaksHTTP2(exchange) {
            state.pointee.isOpening = true
            link.pointee.isAwaited = true
        }
        claw_counter_add(linksOpen + Int(link.pointee.place), 1)
        metrics.set(.links, links.inUse)
        metrics.add(.upstreamConnections, presentUpstream(exchange).pointee.label)
        exchange.pointee.phase = .connect
        setTimer(index, now + presentUpstream(exchange).pointee.connectTimeout)
    }

    // MARK: events

    func takeLink(_ event: claw_event, _ token: SlotToken) {
        let link = links.base + Int(token.index)
        guard link.pointee.generation == token.generation, link.pointee.state != .free else {
            if event.kind == UInt16(CLAW_RECEIVED), event.result > 0 { buffers.release(event.buffer) }
            return
        }
        switch Int(event.kind) {
        case CLAW_RECEIVED:
            if event.result > 0 { linkReceived(token.index, event.buffer, Int(event.result)) } else { linkEnded(token.index, event.result) }
        case CLAW_CONNECTED: connected(token.index, event.result)
        case CLAW_SECURED: linkSecured(token.index, event.result)
        case CLAW_WRITABLE:
            link.pointee.isBlocked = false
            if link.pointee.state == .multiplexing { flushSession(token.index) } else { flushLink(token.index) }
        case CLAW_HUNGUP:
            // An end while paused for a slow client: what the peer sent before it is still to be read, and the end behind it. (Receiving may be
            // on again by now: an earlier event of this very batch can have done that.)
            if event.result == 0 { return }
            linkEnded(token.index, event.result)
        default: break
        }
    }

    private func connected(_ linkIndex: UInt32, _ result: Int32) {
        let link = links.base + Int(linkIndex)
        guard link.pointee.state == .connecting else { return }
        let index = link.pointee.exchange
        if result == 0 {
            let mark = shared.unavailableUntil + Int(link.pointee.place)
            if claw_word_load_relaxed(mark) != 0 { claw_word_store_relaxed(mark, 0) }
            return secure(linkIndex)
        }
        let exchange = exchanges.base + Int(index)
        let state = endpoint(Int(link.pointee.place))
        let next = Int(link.pointee.addressIndex) + 1
        exchange.pointee.link = noIndex
        link.pointee.exchange = noIndex
        closeLink(linkIndex, reset: false)
        if !exchange.pointee.endpoint.unsafelyUnwrapped.pointee.isLiteral, next < state.pointee.addresses.count {
            state.pointee.nextAddress = next
            return connect(index, to: state.pointee.addresses[next], addressIndex: UInt8(next))
        }
        state.pointee.nextAddress = 0
        // The address may have moved: the next attempt asks again.
        state.pointee.resolvedAt = 0
        attemptFailed(index, .upstreamConnect)
    }

    /// Is this attempt to go over HTTP/2, as far as is known? What switches protocols needs a connection of its own; what needs HTTP/2 asks for it
    /// each time, because the upstream may have learnt it since.
    private func speaksHTTP2(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let endpoint = exchange.pointee.endpoint.unsafelyUnwrapped
        guard endpoint.pointee.speaksHTTP2, exchange.pointee.tunnel == nil else { return false }
        return exchange.pointee.streamsBody || !self.endpoint(endpoint.pointee.place).pointee.prefersHTTP1
    }

    /// Over TLS the handshake comes first.
    private func secure(_ linkIndex: UInt32) {
        let link = links.base + Int(linkIndex)
        let index = link.pointee.exchange
        let endpoint = exchanges.base[Int(index)].endpoint.unsafelyUnwrapped
        let tls = exchanges.base[Int(index)].tunnel == nil ? endpoint.pointee.tls : endpoint.pointee.tlsHTTP1
        guard let tls else { return linkIsOpen(linkIndex, speaksHTTP2: endpoint.pointee.speaksHTTP2) }
        link.pointee.state = .securing
        let name = UnsafeRawPointer(endpoint.pointee.tlsName.base).assumingMemoryBound(to: CChar.self)
        guard claw_secure_client(loop, link.pointee.fd, tls, name) == 0 else { return attemptFailed(index, .upstreamTLS) }
        link.pointee.receiveMode = UInt8(CLAW_RECEIVE_BUFFERED)
        _ = claw_receive(loop, link.pointee.fd, UInt32(CLAW_RECEIVE_BUFFERED))
    }

    private func linkSecured(_ linkIndex: UInt32, _ result: Int32) {
        let link = links.base + Int(linkIndex)
        guard link.pointee.state == .securing else { return }
        // Nothing of the request was sent, and nothing of it is ever sent in clear text instead (faults TL-10).
        if result != 0 { return attemptFailed(link.pointee.exchange, .upstreamTLS) }
        var facts = claw_tls_facts()
        let isKnown = claw_secured(loop, link.pointee.fd, &facts) == 0
        linkIsOpen(linkIndex, speaksHTTP2: isKnown && facts.alpn == UInt32(CLAW_TLS_ALPN_H2))
    }

    private func linkIsOpen(_ linkIndex: UInt32, speaksHTTP2: Bool) {
        let link = links.base + Int(linkIndex)
        let index = link.pointee.exchange
        let state = endpoint(Int(link.pointee.place))
        let endpoint = exchanges.base[Int(index)].endpoint.unsafelyUnwrapped
        if speaksHTTP2 { return openSession(linkIndex, index) }
        if endpoint.pointee.insistsOnHTTP2, exchanges.base[Int(index)].tunnel == nil { return attemptFailed(index, .upstreamProtocol) }
        if endpoint.pointee.speaksHTTP2, exchanges.base[Int(index)].tunnel == nil { state.pointee.prefersHTTP1 = true }
        openingEnded(linkIndex)
        if exchanges.base[Int(index)].streamsBody { return attemptFailed(index, .upstreamProtocol) }
        send(index, over: linkIndex)
    }

    /// Whoever waited for this link to be open goes on, one way or the other.
    func openingEnded(_ linkIndex: UInt32) {
        let link = links.base + Int(linkIndex)
        guard link.pointee.isAwaited else { return }
        link.pointee.isAwaited = false
        let state = endpoint(Int(link.pointee.place))
        state.pointee.isOpening = false
        let waiting = state.pointee.waiting
        state.pointee.waiting = []
        for token in waiting {
            if let index = waiter(token) { startDirect(index, fresh: false) }
        }
    }

    // MARK: sending

    private func send(_ index: UInt32, over linkIndex: UInt32) {
        let exchange = exchanges.base + Int(index)
        let link = links.base + Int(linkIndex)
        let upstream = presentUpstream(exchange)
        link.pointee.state = .active
        link.pointee.exchange = index
        link.pointee.sawBytes = false
        link.pointee.sentAll = false
        link.pointee.sentAny = false
        link.pointee.answerDone = false
        link.pointee.parser = ResponseParser(takesSwitch: exchange.pointee.tunnel != nil)
        exchange.pointee.link = linkIndex
        let edits = edits(exchange)
        let bound = requestHeadBound(exchange, upstream)
        var memory: UnsafeMutablePointer<UInt8>?
        let start: UnsafeMutablePointer<UInt8>
        if bound <= buffers.size {
            guard let room = buffers.reserve(bound) else { return attemptFailed(index, .upstreamPending) }
            start = room
        } else {
            start = .allocate(capacity: bound)
            memory = start
        }
        var writer = TextWriter(start)
        writer.put(exchange.pointee.headBase + requestMethodOffset(index), requestHead.methodLength)
        writer.put(byte: 32)
        writeTarget(exchange, upstream, &writer)
        writer.put(" HTTP/1.1\r\n")
        writer.put(exchange.pointee.endpoint.unsafelyUnwrapped.pointee.hostLine)
        writeFields(index, upstream, &writer)
        let length = outgoingLength(exchange, edits)
        if length > 0 || exchange.pointee.method == .post || exchange.pointee.method == .put || exchange.pointee.method == .patch {
            writer.put("content-length: ")
            writer.put(number: UInt64(length))
            writer.put("\r\n")
        }
        writer.put("\r\n")
        precondition(writer.count <= bound, "a request head stays within its bound")
        if let memory {
            exchange.pointee.sentHeadMemory?.deallocate()
            exchange.pointee.sentHeadMemory = memory
            link.pointee.output.append(Segment(base: UnsafePointer(memory), length: UInt32(writer.count), buffer: noIndex))
        } else {
            link.pointee.output.append(buffers.commit(writer.count))
        }
        appendBody(exchange, edits, to: &link.pointee.output)
        if link.pointee.receiveMode != UInt8(CLAW_RECEIVE_BUFFERED) {
            link.pointee.receiveMode = UInt8(CLAW_RECEIVE_BUFFERED)
            _ = claw_receive(loop, link.pointee.fd, UInt32(CLAW_RECEIVE_BUFFERED))
        }
        exchange.pointee.phase = .firstByte
        setTimer(index, now + upstream.pointee.firstByteTimeout)
        flushLink(linkIndex)
    }

    /// Offset of the method in the head, which `requestHead` must describe.
    private func requestMethodOffset(_ index: UInt32) -> Int {
        restoreHead(index)
        return requestHead.methodOffset
    }

    func flushLink(_ linkIndex: UInt32) {
        let link = links.base + Int(linkIndex)
        while !link.pointee.output.isEmpty, !link.pointee.isBlocked {
            var slices: InlineArray<16, claw_slice> = .init(repeating: claw_slice(base: nil, length: 0))
            let count = min(16, Int(link.pointee.output.count))
            var total = 0
            for at in 0..<count {
                let segment = link.pointee.output[at]
                slices[at] = claw_slice(base: UnsafeRawPointer(segment.base), length: Int(segment.length))
                total += Int(segment.length)
            }
            let sent = send(link.pointee.fd, &slices, count, total)
            if sent < 0, sent != -Int64(EAGAIN) {
                // The answer, or the end, may be waiting to be read: those events decide what becomes of the transfer.
                link.pointee.isBlocked = true
                return
            }
            var left = max(0, Int(sent))
            if left > 0 { link.pointee.sentAny = true }
            if left < total { link.pointee.isBlocked = true }
            while left > 0 {
                let length = Int(link.pointee.output[0].length)
                if left >= length {
                    buffers.release(link.pointee.output.dropFirst().buffer)
                    left -= length
                } else {
                    link.pointee.output.advanceFirst(left)
                    left = 0
                }
            }
        }
        if link.pointee.output.isEmpty, !link.pointee.sentAll {
            link.pointee.sentAll = true
            let index = link.pointee.exchange
            if index != noIndex {
                let exchange = exchanges.base + Int(index)
                if exchange.pointee.sentAt == 0 {
                    let read = clock()
                    exchange.pointee.overhead = read &- max(exchange.pointee.startedAt, now)
                    exchange.pointee.sentAt = read
                }
                exchange.pointee.sentHeadMemory?.deallocate()
                exchange.pointee.sentHeadMemory = nil
            }
        }
        let index = link.pointee.exchange
        if index != noIndex, exchanges.base[Int(index)].state == .tunnelling { tunnelWent(index) }
    }

    // MARK: receiving

    private func linkReceived(_ linkIndex: UInt32, _ buffer: UInt32, _ count: Int) {
        let link = links.base + Int(linkIndex)
        if link.pointee.state == .multiplexing {
            takeSessionFrames(linkIndex, buffer, count)
            return buffers.release(buffer)
        }
        guard link.pointee.state == .active, link.pointee.exchange != noIndex else {
            // Bytes nobody asked for: this connection is not to be trusted with another request (faults UP-06).
            buffers.release(buffer)
            return closeLink(linkIndex, reset: true)
        }
        link.pointee.sawBytes = true
        let index = link.pointee.exchange
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.state == .tunnelling {
            tunnelFromUpstream(index, buffers.pointer(buffer), count, in: buffer)
            buffers.release(buffer)
            return
        }
        if exchange.pointee.state == .relaying || exchange.pointee.state == .draining {
            relay(index, buffer, from: 0, to: count)
            buffers.release(buffer)
            return
        }
        if link.pointee.heldLength == 0, link.pointee.heldMemory == nil {
            readAnswer(linkIndex, index, buffers.pointer(buffer), buffer: buffer, count: count)
        } else {
            holdAnswer(linkIndex, buffer, count)
            let base = link.pointee.heldMemory ?? buffers.pointer(link.pointee.heldBuffer)
            readAnswer(linkIndex, index, base, buffer: link.pointee.heldMemory == nil ? link.pointee.heldBuffer : noIndex, count: Int(link.pointee.heldLength))
        }
    }

    /// Puts more of an unfinished answer head behind what is held, and releases the buffer.
    private func holdAnswer(_ linkIndex: UInt32, _ buffer: UInt32, _ count: Int) {
        let link = links.base + Int(linkIndex)
        let length = Int(link.pointee.heldLength)
        if let memory = link.pointee.heldMemory, length + count <= Int(link.pointee.heldCapacity) {
            memcpy(memory + length, buffers.pointer(buffer), count)
        } else if link.pointee.heldMemory == nil, length + count <= buffers.size {
            memcpy(buffers.pointer(link.pointee.heldBuffer) + length, buffers.pointer(buffer), count)
        } else {
            let capacity = 2 * (length + count)
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            memcpy(memory, link.pointee.heldMemory ?? buffers.pointer(link.pointee.heldBuffer), length)
            memcpy(memory + length, buffers.pointer(buffer), count)
            dropHeldAnswer(linkIndex)
            link.pointee.heldMemory = memory
            link.pointee.heldCapacity = UInt32(capacity)
            link.pointee.heldLength = UInt32(length)
        }
        link.pointee.heldLength += UInt32(count)
        buffers.release(buffer)
    }

    private func dropHeldAnswer(_ linkIndex: UInt32) {
        let link = links.base + Int(linkIndex)
        if let memory = link.pointee.heldMemory {
            memory.deallocate()
            link.pointee.heldMemory = nil
        }
        if link.pointee.heldBuffer != noIndex {
            buffers.release(link.pointee.heldBuffer)
            link.pointee.heldBuffer = noIndex
        }
        link.pointee.heldLength = 0
        link.pointee.heldCapacity = 0
    }

    /// Reads the answer's head from contiguous bytes (owned: `buffer`, or the link's held memory) and what of the body follows it.
    private func readAnswer(_ linkIndex: UInt32, _ index: UInt32, _ base: UnsafeMutablePointer<UInt8>, buffer: UInt32, count: Int) {
        let link = links.base + Int(linkIndex)
        let exchange = exchanges.base + Int(index)
        var start = 0
        let generation = exchange.pointee.generation
        while true {
            let bytes = UnsafeRawBufferPointer(start: base + start, count: count - start)
            let progress = link.pointee.parser.parse(
                bytes, requestMethod: exchange.pointee.method, limits: exchange.pointee.plan.pointee.headLimits, into: responseHead)
            switch progress {
            case .needMore:
                if start == count, buffer != noIndex {
                    // It ended with an interim answer: nothing is left to hold.
                    if buffer != link.pointee.heldBuffer { buffers.release(buffer) }
                    dropHeldAnswer(linkIndex)
                    return
                }
                if start > 0 { memmove(base, base + start, count - start) }
                if link.pointee.heldLength == 0, link.pointee.heldMemory == nil { link.pointee.heldBuffer = buffer }
                link.pointee.heldLength = UInt32(count - start)
                return
            case .refused:
                if buffer != noIndex, buffer != link.pointee.heldBuffer { buffers.release(buffer) }
                dropHeldAnswer(linkIndex)
                return attemptFailed(index, .upstreamMalformed)
            case .complete(let length):
                link.pointee.parser = ResponseParser(takesSwitch: exchange.pointee.tunnel != nil)
                if responseHead.status < 200, responseHead.status != 101 {
                    exchange.pointee.upstreamSaid100 += 1
                    start += length
                    if exchange.pointee.upstreamSaid100 > Self.interimAnswersMax {
                        if buffer != noIndex, buffer != link.pointee.heldBuffer { buffers.release(buffer) }
                        dropHeldAnswer(linkIndex)
                        return attemptFailed(index, .upstreamMalformed)
                    }
                    continue
                }
                // From here the bytes are the answer's: the link holds nothing while the body streams.
                let heldMemory = link.pointee.heldMemory
                link.pointee.heldMemory = nil
                link.pointee.heldBuffer = noIndex
                link.pointee.heldLength = 0
                link.pointee.heldCapacity = 0
                let isSwitch = responseHead.status == 101
                let accepted = isSwitch ? takeSwitch(index, UnsafePointer(base + start)) : takeAnswerHead(index, UnsafePointer(base + start), isWhole: isWholeAnswer(count - start - length))
                if accepted, exchanges.base[Int(index)].generation == generation {
                    let from = start + length
                    if isSwitch {
                        tunnelFromUpstream(index, base + from, count - from, in: buffer)
                    } else if heldMemory != nil {
                        relayCopy(index, base + from, count - from)
                    } else {
                        relay(index, buffer, from: from, to: count)
                    }
                }
                heldMemory?.deallocate()
                if buffer != noIndex { buffers.release(buffer) }
                return
            }
        }
    }

    /// Does the rest of what was received hold the whole body (so that the connection stays good even if the answer is not used)?
    private func isWholeAnswer(_ rest: Int) -> Bool {
        switch responseHead.framing {
        case .none: rest == 0
        case .contentLength(let length): length == UInt64(rest)
        case .chunked, .untilClose: false
        }
    }

    private func linkEnded(_ linkIndex: UInt32, _ error: Int32) {
        let link = links.base + Int(linkIndex)
        let index = link.pointee.exchange
        if link.pointee.state == .multiplexing { return sessionLost(linkIndex) }
        guard link.pointee.state != .idle, index != noIndex else { return closeLink(linkIndex, reset: false) }
        if link.pointee.state == .securing { return attemptFailed(index, .upstreamTLS) }
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.state == .tunnelling { return tunnelUpstreamEnded(index, error: error) }
        if link.pointee.state == .connecting { return connected(linkIndex, error < 0 ? error : -ECONNRESET) }
        if exchange.pointee.state == .relaying {
            if exchange.pointee.upstreamFraming == .untilClose, error == 0 {
                link.pointee.answerDone = true
                return answerComplete(index, reusable: false)
            }
            return attemptFailed(index, .upstreamTruncated)
        }
        if exchange.pointee.state == .attempting {
            if link.pointee.isReused, !link.pointee.sawBytes, !exchange.pointee.staleRetryUsed, !link.pointee.sentAny || isRepeatable(exchange, after: .upstreamReset) {
                // The pooled connection had gone stale: once more on a fresh one, as if nothing had happened (faults UP-04).
                exchange.pointee.staleRetryUsed = true
                exchange.pointee.link = noIndex
                link.pointee.exchange = noIndex
                closeLink(linkIndex, reset: false)
                return startDirect(index, fresh: true)
            }
            return attemptFailed(index, .upstreamReset)
        }
        exchange.pointee.link = noIndex
        link.pointee.exchange = noIndex
        closeLink(linkIndex, reset: false)
    }

    // MARK: ends

    /// The answer on this link is complete: back to the pool, or closed.
    func releaseLink(_ linkIndex: UInt32, reusable: Bool) {
        let link = links.base + Int(linkIndex)
        link.pointee.exchange = noIndex
        guard reusable, link.pointee.sentAll, link.pointee.output.isEmpty, phase == 0, plan.pointee.names(Int(link.pointee.place)) else { return closeLink(linkIndex, reset: !link.pointee.sentAll) }
        link.pointee.state = .idle
        link.pointee.isReused = true
        if link.pointee.receiveMode != UInt8(CLAW_RECEIVE_BUFFERED) {
            link.pointee.receiveMode = UInt8(CLAW_RECEIVE_BUFFERED)
            _ = claw_receive(loop, link.pointee.fd, UInt32(CLAW_RECEIVE_BUFFERED))
        }
        let state = endpoint(Int(link.pointee.place))
        state.pointee.idle.append(linkIndex)
        if !state.pointee.waiting.isEmpty { wakeWaiting(state) }
    }

    func closeLink(_ linkIndex: UInt32, reset: Bool) {
        let link = links.base + Int(linkIndex)
        if link.pointee.state == .free { return }
        let wasIdle = link.pointee.state == .idle
        link.pointee.state = .free
        let wasAwaited = link.pointee.isAwaited
        link.pointee.isAwaited = false
        dropLinkSession(linkIndex)
        while !link.pointee.output.isEmpty { buffers.release(link.pointee.output.dropFirst().buffer) }
        link.pointee.output.release()
        dropHeldAnswer(linkIndex)
        _ = claw_close(loop, link.pointee.fd, reset ? 1 : 0)
        let state = endpoint(Int(link.pointee.place))
        state.pointee.open -= 1
        claw_word_store_relaxed(linksOpen + Int(link.pointee.place), UInt64(max(0, state.pointee.open)))
        if wasIdle, let at = state.pointee.idle.lastIndex(of: linkIndex) { state.pointee.idle.remove(at: at) }
        links.give(Int(linkIndex))
        metrics.set(.links, links.inUse)
        if wasAwaited { state.pointee.isOpening = false }
        if !state.pointee.waiting.isEmpty, !state.pointee.isResolving { wakeWaiting(state) }
    }

    /// An exchange that reads slower than its upstream sends: stop or go on receiving.
    func setUpstreamReceiving(_ exchange: UnsafeMutablePointer<Exchange>, _ on: Bool) {
        exchange.pointee.isPaused = !on
        if exchange.pointee.upstreamStream != 0 {
            if on { giveWindowBack(exchange) }
        } else if exchange.pointee.link != noIndex {
            let link = links.base + Int(exchange.pointee.link)
            let mode = on ? CLAW_RECEIVE_BUFFERED : CLAW_RECEIVE_OFF
            link.pointee.receiveMode = UInt8(mode)
            _ = claw_receive(loop, link.pointee.fd, UInt32(mode))
        } else if exchange.pointee.transfer >= 0, let transfers {
            _ = claw_transfer_receive(transfers, exchange.pointee.transfer, on ? 1 : 0)
        }
    }
}
