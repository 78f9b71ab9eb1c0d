// Transport `curl`: https:// endpoints, and all that lie behind an egress proxy, over libcurl's multi interface (TLS verification, HTTP/2, proxies). The answer arrives as loop
// buffers like any other; the relay does not know the difference.
import CClaw
import ClawConfig
import ClawWire
import Glibc

extension Worker {
    func startTransfer(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        let upstream = presentUpstream(exchange)
        guard let transfers = transferSet(), let policy = exchange.pointee.endpoint.unsafelyUnwrapped.pointee.policy else { return attemptFailed(index, .upstreamTLS) }
        let edits = edits(exchange)
        let bound = requestHeadBound(exchange, upstream) * 2
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: bound)
        defer { memory.deallocate() }
        var writer = TextWriter(memory)
        restoreHead(index)
        writer.put(exchange.pointee.headBase + requestHead.methodOffset, requestHead.methodLength)
        writer.put(byte: 0)
        let url = writer.count
        writer.put(exchange.pointee.endpoint.unsafelyUnwrapped.pointee.origin)
        writeTarget(exchange, upstream, &writer)
        writer.put(byte: 0)
        let lines = writer.count
        writeFields(index, upstream, &writer)
        precondition(writer.count <= bound, "a request head stays within its bound")
        // curl wants each line as a slice of its own, without CRLF.
        var headers: [claw_slice] = []
        headers.reserveCapacity(32)
        var at = lines
        while at < writer.count {
            guard let end = memchr(memory + at, 13, writer.count - at) else { break }
            let length = UnsafeRawPointer(end) - UnsafeRawPointer(memory + at)
            headers.append(claw_slice(base: UnsafeRawPointer(memory + at), length: length))
            at += length + 2
        }
        var output = Output()
        appendBody(exchange, edits, to: &output)
        var body: [claw_slice] = []
        while !output.isEmpty {
            let segment = output.dropFirst()
            body.append(claw_slice(base: UnsafeRawPointer(segment.base), length: Int(segment.length)))
        }
        output.release()
        let token = SlotToken(.none, generation: exchange.pointee.generation, index: index)
        let id = headers.withUnsafeBufferPointer { headers in
            body.withUnsafeBufferPointer { body in
                var request = claw_transfer_request()
                request.method = UnsafeRawPointer(memory).assumingMemoryBound(to: CChar.self)
                request.url = UnsafeRawPointer(memory + url).assumingMemoryBound(to: CChar.self)
                request.headers = headers.baseAddress
                request.header_count = UInt32(headers.count)
                request.body = body.baseAddress
                request.body_count = UInt32(body.count)
                request.token = token.value
                request.policy = policy
                request.window_bytes = UInt32(exchange.pointee.plan.pointee.streamBufferBytes)
                return claw_transfer_start(transfers, &request)
            }
        }
        guard id >= 0 else { return attemptFailed(index, .upstreamPending) }
        exchange.pointee.transfer = id
        exchange.pointee.phase = .firstByte
        exchange.pointee.sentAt = now
        setTimer(index, now + upstream.pointee.firstByteTimeout)
    }

    /// The worker's set of curl transfers, made when the first is needed.
    private func transferSet() -> OpaquePointer? {
        if let transfers { return transfers }
        var made: OpaquePointer?
        _ = claw_transfers_create(loop, SlotToken(.transfers, generation: 0, index: 0).value, 0, &made)
        transfers = made
        return made
    }

    /// Lets curl's timers run and takes what came of its transfers.
    func pumpTransfers() {
        guard let transfers else { return }
        if claw_transfers_deadline(transfers, now) == 0 { _ = claw_transfers_tick(transfers) }
        var event = claw_transfer_event()
        var turns = 0
        while turns < 256, claw_transfers_next(transfers, &event) == 1 {
            turns += 1
            if event.kind == CLAW_TRANSFER_DATA { buffers.adopt(event.buffer) }
            let token = SlotToken(value: event.token)
            let exchange = exchanges.base + Int(token.index)
            if exchange.pointee.generation == token.generation, exchange.pointee.transfer == event.id { takeTransfer(event, token.index) }
            if event.kind == CLAW_TRANSFER_DATA { buffers.release(event.buffer) }
            settle()
        }
    }

    private func takeTransfer(_ event: claw_transfer_event, _ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        switch Int(event.kind) {
        case CLAW_TRANSFER_HEAD: transferHead(event, index)
        case CLAW_TRANSFER_DATA:
            guard exchange.pointee.state == .relaying else { return }
            relay(index, event.buffer, from: 0, to: Int(event.length))
        case CLAW_TRANSFER_ENDED:
            exchange.pointee.transfer = -1
            if exchange.pointee.state == .relaying {
                if event.result != 0 { return attemptFailed(index, .upstreamTruncated) }
                if case .contentLength = exchange.pointee.upstreamFraming, exchange.pointee.upstreamRemaining > 0 { return attemptFailed(index, .upstreamTruncated) }
                answerComplete(index, reusable: false)
            } else if exchange.pointee.state == .attempting {
                let kind: FailureKind = switch event.result {
                case Int32(CLAW_TRANSFER_RESOLVE): .upstreamDNS
                case Int32(CLAW_TRANSFER_CONNECT): .upstreamConnect
                case Int32(CLAW_TRANSFER_CONNECT_TIMEOUT): .connectTimeout
                case Int32(CLAW_TRANSFER_TLS): .upstreamTLS
                case Int32(CLAW_TRANSFER_MALFORMED): .upstreamMalformed
                default: .upstreamReset
                }
                attemptFailed(index, kind)
            }
        default: break
        }
    }

    /// curl hands the head over as field lines; with a status line in front it is one that our own strict parser reads.
    private func transferHead(_ event: claw_transfer_event, _ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .attempting, let lines = event.text else { return }
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: Int(event.length) + 64)
        defer { memory.deallocate() }
        var writer = TextWriter(memory)
        writer.put("HTTP/1.1 ")
        writer.put(number: UInt64(max(100, min(999, event.result))))
        writer.put(byte: 32)
        writer.put(Self.reason(UInt16(max(100, min(999, event.result)))))
        writer.put("\r\n")
        writer.put(UnsafeRawBufferPointer(start: lines, count: Int(event.length)))
        writer.put("\r\n")
        var parser = ResponseParser()
        var limits = exchange.pointee.plan.pointee.headLimits
        limits.headBytesMax += 64
        let progress = parser.parse(
            UnsafeRawBufferPointer(start: memory, count: writer.count), requestMethod: exchange.pointee.method, limits: limits, into: responseHead)
        guard case .complete = progress else { return attemptFailed(index, .upstreamMalformed) }
        guard takeAnswerHead(index, memory, isWhole: false) else { return }
        // curl has taken the chunks apart already.
        if exchange.pointee.upstreamFraming == .chunked { exchange.pointee.upstreamFraming = .untilClose }
    }
}
