// How a twin is made, what becomes of its output, and how it ends.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

extension Worker {
    /// A larger body is not held twice.
    static let twinBodyMax = 1 << 20
    /// Detached exchanges of a worker; their slots are beside those that clients have.
    static let twinsMax = 1024

    /// A connection that is nobody's, for exchanges that never had one: it has no socket, is never handed out, and what is written into it nobody reads.
    var nobody: UInt32 { UInt32(connections.capacity) }

    /// May this request be sent a second time, and is there a copy's room? A request that goes upstream as it comes, or wants a tunnel, may not.
    func canBeTwinned(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        exchange.pointee.bodyIsComplete && exchange.pointee.bodyLength <= Self.twinBodyMax && !exchange.pointee.streamsBody && exchange.pointee.tunnel == nil
            && !exchange.pointee.isConnect && exchange.pointee.logMemory == nil && twinsRunning < Self.twinsMax && phase == 0
    }

    /// An exchange with a copy of another's request, and none of its attempts; nil when there is no room for it.
    func makeTwin(of index: UInt32, _ role: TwinRole, on connection: UInt32) -> UInt32? {
        let original = exchanges.base + Int(index)
        var body: (base: UnsafeMutablePointer<UInt8>, capacity: Int)?
        if original.pointee.bodyLength > 0, let from = original.pointee.bodyBase {
            body = bodyStore.take(original.pointee.bodyLength, budget: original.pointee.plan.pointee.bodyMemoryBytesMax)
            guard let body else { return nil }
            memcpy(body.base, from, original.pointee.bodyLength)
        }
        guard let at = makeExchange(connection) else {
            if let body { bodyStore.give(body.base, capacity: body.capacity) }
            return nil
        }
        twinsRunning += 1
        let twin = exchanges.base + Int(at)
        twin.pointee.isDetached = true
        twin.pointee.twin = role
        // It runs on the plan that the request began with.
        if twin.pointee.plan != original.pointee.plan {
            let running = twin.pointee.plan.pointee.inFlight + self.index * Plan.inFlightStride
            claw_word_store(running, claw_word_load_relaxed(running) &- 1)
            twin.pointee.plan = original.pointee.plan
            claw_counter_add(twin.pointee.plan.pointee.inFlight + self.index * Plan.inFlightStride, 1)
        }
        copyHead(original, to: twin)
        if let body {
            twin.pointee.bodyBase = body.base
            twin.pointee.bodyCapacity = body.capacity
            twin.pointee.bodyLength = original.pointee.bodyLength
        }
        copyFacts(original, to: twin)
        twin.pointee.requestedModel = rebased(original.pointee.requestedModel, original, twin)
        return at
    }

    private func copyHead(_ original: UnsafeMutablePointer<Exchange>, to twin: UnsafeMutablePointer<Exchange>) {
        let length = Int(original.pointee.headLength)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, length))
        memcpy(memory, original.pointee.headBase, length)
        twin.pointee.headMemory = memory
        twin.pointee.headBase = UnsafePointer(memory)
        twin.pointee.headLength = original.pointee.headLength
        if original.pointee.pathMemory != nil {
            // The path in normal form; behind it may lie a model's name that was unescaped from it.
            let path = original.pointee.path, model = original.pointee.requestedModel
            var extent = path.count
            if let start = path.baseAddress, let name = model.baseAddress, name >= start, name <= start + 2 * path.count { extent = max(extent, name - start + model.count) }
            let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, extent))
            if let start = path.baseAddress { memcpy(copy, start, extent) }
            twin.pointee.pathMemory = copy
            twin.pointee.path = UnsafeRawBufferPointer(start: copy, count: path.count)
        } else {
            twin.pointee.path = rebased(original.pointee.path, original, twin)
        }
        twin.pointee.hasQuery = original.pointee.hasQuery
        twin.pointee.query = rebased(original.pointee.query, original, twin)
    }

    /// The same text in the twin's copy of the request; static text stays where it is.
    private func rebased(_ text: UnsafeRawBufferPointer, _ original: UnsafeMutablePointer<Exchange>, _ twin: UnsafeMutablePointer<Exchange>) -> UnsafeRawBufferPointer {
        guard let start = text.baseAddress else { return text }
        func moved(_ from: UnsafeRawPointer, _ length: Int, _ to: UnsafeRawPointer) -> UnsafeRawBufferPointer? {
            start >= from && start + text.count <= from + length ? UnsafeRawBufferPointer(start: to + (start - from), count: text.count) : nil
        }
        if let body = original.pointee.bodyBase, let copy = twin.pointee.bodyBase, let found = moved(body, original.pointee.bodyLength, copy) { return found }
        if original.pointee.pathMemory != nil, let path = original.pointee.path.baseAddress, let copy = twin.pointee.path.baseAddress,
            let found = moved(path, 3 * original.pointee.path.count, copy)
        {
            return found
        }
        return moved(original.pointee.headBase, Int(original.pointee.headLength), twin.pointee.headBase) ?? text
    }

    /// What was found out about the request.
    private func copyFacts(_ original: UnsafeMutablePointer<Exchange>, to twin: UnsafeMutablePointer<Exchange>) {
        twin.pointee.method = original.pointee.method
        twin.pointee.surface = original.pointee.surface
        twin.pointee.keepAlive = original.pointee.keepAlive
        twin.pointee.bodyIsComplete = true
        twin.pointee.bodyExpected = original.pointee.bodyExpected
        twin.pointee.wantsStream = original.pointee.wantsStream
        twin.pointee.bodyIsJSON = original.pointee.bodyIsJSON
        twin.pointee.modelSpan = original.pointee.modelSpan
        twin.pointee.streamOptionsSpan = original.pointee.streamOptionsSpan
        twin.pointee.includeUsageSpan = original.pointee.includeUsageSpan
        twin.pointee.insertOffset = original.pointee.insertOffset
        twin.pointee.insertNeedsComma = original.pointee.insertNeedsComma
        twin.pointee.serviceTier = original.pointee.serviceTier
        twin.pointee.promptBytes = original.pointee.promptBytes
        twin.pointee.requestID = original.pointee.requestID
        twin.pointee.requestIDLength = original.pointee.requestIDLength
        twin.pointee.traceHigh = original.pointee.traceHigh
        twin.pointee.traceLow = original.pointee.traceLow
        twin.pointee.traceFlags = original.pointee.traceFlags
        twin.pointee.route = original.pointee.route
        twin.pointee.caller = original.pointee.caller
        twin.pointee.tenant = original.pointee.tenant
        twin.pointee.promptTokens = original.pointee.promptTokens
        twin.pointee.outputTokensAsked = original.pointee.outputTokensAsked
        twin.pointee.identity = original.pointee.identity
        twin.pointee.prefix = original.pointee.prefix
        twin.pointee.clientDeadline = original.pointee.clientDeadline
        twin.pointee.state = .attempting
    }

    /// What a detached exchange has for its client goes nowhere.
    func discard(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        dropOutput(exchange)
        exchange.pointee.isCommitted = true
        exchange.pointee.heldBuffers = 0
        if exchange.pointee.state == .draining { return markEnding(index) }
        exchange.pointee.output.release()
        dropWrittenBlocks(exchange)
    }

    func dropOutput(_ exchange: UnsafeMutablePointer<Exchange>) {
        while !exchange.pointee.output.isEmpty { buffers.release(exchange.pointee.output.dropFirst().buffer) }
        dropAnswerLines(exchange)
    }

    /// A detached exchange has failed, or is not wanted any more.
    func detachedFailed(_ index: UInt32, _ kind: FailureKind) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isEnding { return }
        closeAttempt(exchange, kind.row.errorClass, status: 0, isOurs: kind.isOurs || kind.row.origin != .upstream)
        exchange.pointee.failure = kind
        if exchange.pointee.status == 0 { exchange.pointee.status = kind.row.status }
        leaveQueue(index)
        if exchange.pointee.twin == .hedge { hedgeFailed(index) }
        exchange.pointee.state = .draining
        exchange.pointee.phase = .none
        markEnding(index)
    }

    /// The gateway ends: what nobody waits for does not keep it.
    func endShadows() {
        for at in 0..<exchanges.touched where exchanges.base[at].state != .free && exchanges.base[at].isDetached && exchanges.base[at].twin == .shadow {
            detachedFailed(UInt32(at), .draining)
        }
        settle()
    }

    /// The only way a detached exchange ends.
    func finishDetached(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        dropUpstream(index)
        dropOutput(exchange)
        giveEverythingBack(exchange)
        twinsRunning -= 1
        if exchange.pointee.twin == .shadow { shadowsRunning -= 1 }
        shadowEnds(exchange)
        giveBack(index)
    }
}
