// The life of a request, read downwards: begin → admit → (body) → classify → route → attempt → relay → finish. Each step calls the next one down or
// leaves the exchange waiting for an event; nothing reaches back up. Answers of our own enter at the relay's end like any other, and `finish` is
// the only way an exchange ends. Later stages (authenticate, limit, cache) take their places between admit and attempt.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

extension Worker {
    // MARK: admit

    /// The head is parsed (in `requestHead`): what it says is checked, and the body asked for.
    func begin(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        let head = requestHead
        let connection = connections.base + Int(exchange.pointee.connection)
        exchange.pointee.method = head.method
        exchange.pointee.versionMinor = head.versionMinor
        exchange.pointee.keepAlive = head.keepAlive
        exchange.pointee.expectsContinue = head.expectContinue
        // A stream has neighbours: nothing that it says ends the connection (a CONNECT, for one, is not kept alive over HTTP/1.1).
        if !head.keepAlive, exchange.pointee.stream == 0 { connection.pointee.closesAfter = true }
        let limit = exchange.pointee.plan.pointee.requestsPerConnectionMax
        if limit > 0, Int(connection.pointee.requests) >= limit {
            connection.pointee.closesAfter = true
            if exchange.pointee.stream != 0, let session = connection.pointee.session {
                _ = claw_h2_goaway(session, StreamError.noError, 1)
                markDirty(exchange.pointee.connection)
            }
        }
        identify(exchange)
        // In whose words an early refusal is written depends on the path.
        let hasPath = takePath(exchange)
        if hasPath {
            exchange.pointee.surface = surface(of: exchange)
            if exchange.pointee.plan.pointee.callers.count > 0 { identifyCaller(exchange) }
            if exchange.pointee.surface.isForeign, head.hostProblem == .none, !leadsToModels(exchange) {
                exchange.pointee.surface = .plain
                exchange.pointee.requestedModel = UnsafeRawBufferPointer(start: nil, count: 0)
            }
        }

        // Framing first: what follows depends on it, also after an early answer.
        switch head.framing {
        case .none:
            if exchange.pointee.stream != 0, !exchange.pointee.endsWithHead, !exchange.pointee.isConnect {
                exchange.pointee.bodyExpected = -1
            } else {
                exchange.pointee.bodyIsComplete = true
            }
        case .contentLength(let length):
            if length == 0 { exchange.pointee.bodyIsComplete = true }
            if length > UInt64(exchange.pointee.plan.pointee.bodyBytesMax) {
                return answerError(index, .bodyTooLarge, detail: "")
            }
            exchange.pointee.bodyExpected = Int(length)
        case .chunked:
            exchange.pointee.isChunkedRequest = true
            exchange.pointee.bodyExpected = -1
        case .untilClose:
            exchange.pointee.bodyIsComplete = true
        }
        // Whoever sends one of these may mean something else by the bytes behind it (faults H1-17, H1-27, H1-29).
        if exchange.pointee.stream == 0, head.hostProblem != .none || head.duplicateAuthorization || head.connectionNamesProtected {
            connection.pointee.closesAfter = true
        }
        switch head.hostProblem {
        case .none: break
        case .missing: return answerError(index, .badHost, detail: "host is missing")
        case .duplicate: return answerError(index, .badHost, detail: "more than one host field")
        case .invalid: return answerError(index, .badHost, detail: "host is not a valid authority")
        }
        switch head.method {
        case .other: return answerError(index, .methodUnknown, detail: "")
        case .trace, .connect: return answerError(index, .methodNotAllowed, detail: "")
        default: break
        }
        if head.duplicateAuthorization { return answerError(index, .badRequest, detail: "more than one field with credentials") }
        if head.connectionNamesProtected { return answerError(index, .badRequest, detail: "connection names a field that may not be removed") }
        if head.first(.via) >= 0, isLoop(exchange) {
            metrics.add(.refused, RefusalLabel.loop.rawValue)
            return answerError(index, .loopDetected, detail: "this gateway is its own upstream")
        }
        guard hasPath else { return answerError(index, .badRequest, detail: "the path has no one normal form") }
        if exchange.pointee.plan.pointee.callers.count > 0, exchange.pointee.caller < 0 { return refuseCaller(index) }

        if exchange.pointee.bodyIsComplete { return classify(index) }
        if exchange.pointee.stream != 0 {
            guard isCall(exchange) else { return awaitStreamBody(index) }
            exchange.pointee.streamsBody = true
            return classify(index)
        }
        takeHeldBodyFirst(index)
    }

    /// Takes what of the body came with the head; the usual request is complete with that.
    private func takeHeldBodyFirst(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        let connectionIndex = exchange.pointee.connection
        let connection = connections.base + Int(connectionIndex)
        exchange.pointee.state = .receiving
        // Only a body in the same buffer as its head can stay where it is; one in memory of the connection's own is copied.
        let staysInPlace = !exchange.pointee.isChunkedRequest && Int(connection.pointee.heldLength) >= exchange.pointee.bodyExpected
            && connection.pointee.heldMemory == nil && connection.pointee.heldBuffer == exchange.pointee.headBuffer
        if staysInPlace {
            takeHeldBody(connectionIndex, index)
        } else {
            // Before room is made for a body: could this request go anywhere at all?
            if !mightRoute(exchange) { return answerError(index, .notFound, detail: "") }
            guard makeRoomForBody(exchange) else {
                return answerError(index, .bodyMemoryExhausted, detail: "server.max_body_memory_mb")
            }
            takeHeldBody(connectionIndex, index)
        }
        guard exchange.pointee.state == .receiving else { return }
        if exchange.pointee.bodyIsComplete { return classify(index) }
        // A pipelined request whose sender ended in the middle of its body.
        if connection.pointee.peerEnded { return bodyCannotBecomeWhole(index) }
        if exchange.pointee.expectsContinue, connection.pointee.heldLength == 0, exchange.pointee.bodyLength == 0 {
            sendInterim(index, 100)
            guard exchange.pointee.state == .receiving else { return }
        }
        let remaining = exchange.pointee.bodyExpected - exchange.pointee.bodyLength
        let isLarge = !exchange.pointee.isChunkedRequest && remaining > 8192
        exchange.pointee.phase = .body
        setTimer(index, now + exchange.pointee.plan.pointee.bodyTimeout)
        receive(connectionIndex, isLarge ? CLAW_RECEIVE_READABLE : CLAW_RECEIVE_BUFFERED)
        // Most of a large body is usually there already. It is read when the batch is done, which may hold buffers that come before it. A full list
        // is no harm: the loop says READABLE in the next turn.
        if isLarge, bodyReadCount < connections.capacity {
            bodyReads[bodyReadCount] = connectionIndex
            bodyReadCount += 1
        }
    }

    /// A large body is waited for in large steps, so that each wake-up brings much (100 KiB: 2 instead of 7).
    private func waitForMore(_ exchange: UnsafeMutablePointer<Exchange>, _ connection: UnsafeMutablePointer<Connection>, _ remaining: Int) {
        // Under TLS the kernel counts other bytes than these.
        let step = remaining < 32768 || connection.pointee.isSecure ? 1 : UInt32(min(remaining, Self.bodyStepBytes))
        if step == connection.pointee.receiveAtLeast { return }
        connection.pointee.receiveAtLeast = step
        _ = claw_receive_at_least(loop, connection.pointee.fd, step)
    }
    private static let bodyStepBytes = 262_144

    func makeRoomForBody(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        // A stream costs its client nothing, so it books room as its body comes; on a connection of its own the whole length at once.
        let whole = exchange.pointee.bodyExpected
        let wanted = whole < 0 ? 65536 : exchange.pointee.stream != 0 ? min(whole, 65536) : whole
        guard let block = bodyStore.take(wanted, budget: exchange.pointee.plan.pointee.bodyMemoryBytesMax) else { return false }
        exchange.pointee.bodyBase = block.base
        exchange.pointee.bodyCapacity = block.capacity
        return true
    }

    // MARK: body

    /// Copies received bytes into the body; returns how many belonged to it. With `resumes`, a body that becomes whole sets the pipeline going again.
    @discardableResult
    func takeBody(_ index: UInt32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, resumes: Bool = true) -> Int {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isChunkedRequest { return takeChunks(index, bytes, count, resumes: resumes) }
        let take = min(count, exchange.pointee.bodyExpected - exchange.pointee.bodyLength)
        memcpy(exchange.pointee.bodyBase.unsafelyUnwrapped + exchange.pointee.bodyLength, bytes, take)
        exchange.pointee.bodyLength += take
        exchange.pointee.bytesIn += UInt64(take)
        if exchange.pointee.bodyLength == exchange.pointee.bodyExpected { bodyIsWhole(index, resumes: resumes) }
        return take
    }

    private func takeChunks(_ index: UInt32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, resumes: Bool) -> Int {
        let exchange = exchanges.base + Int(index)
        let input = UnsafeRawBufferPointer(start: bytes, count: count)
        var offset = 0
        while true {
            switch exchange.pointee.requestChunks.next(input, from: offset) {
            case .needMore:
                exchange.pointee.bytesIn += UInt64(count)
                return count
            case .data(let range):
                if exchange.pointee.bodyLength + range.count > exchange.pointee.plan.pointee.bodyBytesMax {
                    answerError(index, .bodyTooLarge, detail: "")
                    return count
                }
                guard growBody(exchange, by: range.count) else {
                    answerError(index, .bodyMemoryExhausted, detail: "server.max_body_memory_mb")
                    return count
                }
                memcpy(exchange.pointee.bodyBase.unsafelyUnwrapped + exchange.pointee.bodyLength, bytes + range.lowerBound, range.count)
                exchange.pointee.bodyLength += range.count
                offset = range.upperBound
            case .end(let end):
                exchange.pointee.bytesIn += UInt64(end)
                bodyIsWhole(index, resumes: resumes)
                return end
            case .refused(let refusal):
                metrics.add(.refused, RefusalLabel.bodyFraming.rawValue)
                answerError(index, refusal.status == 413 ? .bodyTooLarge : refusal.status == 431 ? .headTooLarge : .badRequest, detail: refusal.reason)
                return count
            }
        }
    }

    func growBody(_ exchange: UnsafeMutablePointer<Exchange>, by count: Int) -> Bool {
        let needed = exchange.pointee.bodyLength + count
        if needed <= exchange.pointee.bodyCapacity { return true }
        let plan = exchange.pointee.plan
        let double = exchange.pointee.bodyCapacity * 2
        let wanted = exchange.pointee.bodyExpected < 0 ? double : min(double, exchange.pointee.bodyExpected)
        guard let block = bodyStore.take(max(needed, wanted), budget: plan.pointee.bodyMemoryBytesMax) else { return false }
        if let old = exchange.pointee.bodyBase {
            memcpy(block.base, old, exchange.pointee.bodyLength)
            bodyStore.give(old, capacity: exchange.pointee.bodyCapacity)
        }
        exchange.pointee.bodyBase = block.base
        exchange.pointee.bodyCapacity = block.capacity
        return true
    }

    /// READABLE: a large body is read straight into its place.
    func readBody(_ connectionIndex: UInt32) {
        let connection = connections.base + Int(connectionIndex)
        guard connection.pointee.state == .exchanging else { return }
        let index = connection.pointee.exchange
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .receiving, connection.pointee.receiveMode == UInt8(CLAW_RECEIVE_READABLE), let base = exchange.pointee.bodyBase
        else { return }
        while true {
            let remaining = exchange.pointee.bodyExpected - exchange.pointee.bodyLength
            if remaining <= 0 { break }
            let wanted = min(remaining, 1 << 20)
            let n = claw_recv(loop, connection.pointee.fd, base + exchange.pointee.bodyLength, wanted)
            if n > 0 {
                exchange.pointee.bodyLength += Int(n)
                exchange.pointee.bytesIn += UInt64(n)
                scanArrived(index)
                if Int(n) < wanted { break }
            } else if n == -Int64(EAGAIN) {
                break
            } else {
                connection.pointee.peerEnded = true
                return n == 0 ? bodyCannotBecomeWhole(index) : clientGone(index)
            }
        }
        if exchange.pointee.bodyLength == exchange.pointee.bodyExpected {
            bodyIsWhole(index, resumes: true)
        } else {
            waitForMore(exchange, connection, exchange.pointee.bodyExpected - exchange.pointee.bodyLength)
        }
    }

    /// Scans what has arrived of a large JSON body while it is still in the cache. A refusal waits for the body's end, where it is answered.
    func scanArrived(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard wantsScan(exchange), exchange.pointee.bodyLength < exchange.pointee.bodyExpected else { return }
        if exchange.pointee.scan == nil {
            let scan = UnsafeMutablePointer<BodyScan>.allocate(capacity: 1)
            scan.initialize(to: BodyScan(plan: exchange.pointee.plan))
            exchange.pointee.scan = scan
        }
        guard let scan = exchange.pointee.scan, scan.pointee.progress == .needMore else { return }
        let body = UnsafeRawBufferPointer(start: exchange.pointee.bodyBase, count: exchange.pointee.bodyLength)
        scan.pointee.progress = scan.pointee.scanner.scan(body, isLast: false, spans: scan.pointee.spans)
    }

    private func wantsScan(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        isModelRequest(exchange) || exchange.pointee.plan.pointee.needsBody
    }

    func isModelRequest(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        exchange.pointee.surface.isModel && exchange.pointee.method == .post
    }

    func bodyIsWhole(_ index: UInt32, resumes: Bool) {
        let exchange = exchanges.base + Int(index)
        exchange.pointee.bodyIsComplete = true
        exchange.pointee.phase = .none
        timers.clear(exchangeTimers + Int(index))
        if exchange.pointee.stream == 0 {
            let connection = connections.base + Int(exchange.pointee.connection)
            if connection.pointee.receiveAtLeast != 1 {
                connection.pointee.receiveAtLeast = 1
                _ = claw_receive_at_least(loop, connection.pointee.fd, 1)
            }
            receive(exchange.pointee.connection, CLAW_RECEIVE_BUFFERED)
        }
        if resumes { classify(index) }
    }

    // MARK: classify

    /// Finds what routing and policy need in the body, without building anything from it.
    private func classify(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        exchange.pointee.state = .attempting
        exchange.pointee.promptBytes = exchange.pointee.bodyLength
        if exchange.pointee.surface.isListing, exchange.pointee.method == .get || exchange.pointee.method == .head, !exchange.pointee.isConnect {
            return answerModels(index)
        }
        let progress = scanBody(exchange)
        if isModelRequest(exchange), !acceptModelBody(index, progress) { return }
        route(index)
    }

    /// One scan of the body, where anything in it matters.
    func scanBody(_ exchange: UnsafeMutablePointer<Exchange>) -> JSONProgress {
        let plan = exchange.pointee.plan
        var progress = JSONProgress.complete
        if isModelRequest(exchange) || (plan.pointee.needsBody && exchange.pointee.bodyLength > 0) {
            let body = UnsafeRawBufferPointer(start: exchange.pointee.bodyBase, count: exchange.pointee.bodyLength)
            var scanner: FieldScanner
            if let scan = exchange.pointee.scan {
                progress = scan.pointee.progress
                if progress == .needMore { progress = scan.pointee.scanner.scan(body, isLast: true, spans: scan.pointee.spans) }
                spans.update(from: scan.pointee.spans, count: plan.pointee.pathCount)
                scanner = scan.pointee.scanner
            } else {
                for at in 0..<plan.pointee.pathCount { spans[at].kind = .missing }
                scanner = FieldScanner(paths: plan.pointee.paths._withUnsafeGuaranteedRef { $0 }, depthMax: BodyScan.depthMax)
                progress = scanner.scan(body, isLast: true, spans: spans)
            }
            if case .complete = progress {
                exchange.pointee.bodyIsJSON = scanner.rootKind == .object
                exchange.pointee.insertOffset = scanner.rootInsertOffset
                exchange.pointee.insertNeedsComma = !scanner.rootIsEmpty
            }
        } else {
            for at in 0..<plan.pointee.pathCount { spans[at].kind = .missing }
        }
        return progress
    }

    /// True when a model request's body is what it must be; else the answer is given.
    private func acceptModelBody(_ index: UInt32, _ progress: JSONProgress) -> Bool {
        let exchange = exchanges.base + Int(index)
        if case .refused(let refusal) = progress {
            var writer = TextWriter(scratch)
            switch refusal {
            case .syntax(let offset): writer.put("the body is not valid JSON: unexpected byte at offset "); writer.put(number: UInt64(offset))
            case .depth(let offset): writer.put("the body is nested deeper than 128 levels at offset "); writer.put(number: UInt64(offset))
            case .utf8(let offset): writer.put("the body is not valid UTF-8 at offset "); writer.put(number: UInt64(offset))
            case .duplicate(let path, let offset):
                writer.put("the body has a second \"")
                writer.put(string: path < PolicyPath.names.count ? PolicyPath.names[path] : "key")
                writer.put("\" at offset ")
                writer.put(number: UInt64(offset))
            case .trailing(let offset): writer.put("the body goes on behind its JSON value at offset "); writer.put(number: UInt64(offset))
            case .incomplete(let offset): writer.put("the body ends in the middle of its JSON value at offset "); writer.put(number: UInt64(offset))
            }
            answerError(index, .badJSON, message: UnsafeRawBufferPointer(start: scratch, count: writer.count))
            return false
        }
        switch takeModelBody(exchange) {
        case .taken: return true
        case .noObject: answerError(index, .badJSON, detail: "the body is not a JSON object")
        case .badModel: answerError(index, .badJSON, detail: "model must be a string", param: "model")
        case .badStream: answerError(index, .badJSON, detail: "stream must be true or false", param: "stream")
        }
        return false
    }

    enum ModelBody { case taken, noObject, badModel, badStream }

    /// Notes what a model request's body says, of one that could be read.
    func takeModelBody(_ exchange: UnsafeMutablePointer<Exchange>) -> ModelBody {
        guard exchange.pointee.bodyIsJSON else { return .noObject }
        let model = spans[PolicyPath.model]
        switch model.kind {
        case .string:
            exchange.pointee.modelSpan = model
            exchange.pointee.requestedModel = UnsafeRawBufferPointer(
                start: exchange.pointee.bodyBase.unsafelyUnwrapped + model.offset + 1, count: model.length - 2)
        case .missing: break
        default: return .badModel
        }
        let tier = spans[PolicyPath.serviceTier]
        if tier.kind == .string, let body = exchange.pointee.bodyBase { exchange.pointee.serviceTier = ServiceTier(word: JSONBytes(body + tier.offset + 1, tier.length - 2)) }
        if exchange.pointee.surface.hasModelInPath {
            // The path says which model and whether it streams, whatever the body says.
            restoreModelFromPath(exchange)
            exchange.pointee.wantsStream = exchange.pointee.surface == .geminiStream
            return .taken
        }
        let stream = spans[PolicyPath.stream]
        switch stream.kind {
        case .bool: exchange.pointee.wantsStream = stream.isTrue
        case .missing, .null: exchange.pointee.wantsStream = exchange.pointee.surface.isOllama
        default: return .badStream
        }
        exchange.pointee.streamOptionsSpan = spans[PolicyPath.streamOptions]
        exchange.pointee.includeUsageSpan = spans[PolicyPath.includeUsage]
        return .taken
    }

    // MARK: route

    private func route(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        // The head may have been parsed over by other requests while the body came in.
        restoreHead(index)
        guard let routeIndex = matchRoute(exchange) else { return answerError(index, .notFound, detail: "") }
        exchange.pointee.route = Int32(routeIndex)
        if exchange.pointee.plan.pointee.routes[routeIndex].pointee.profile >= 0 {
            switch room(routeIndex) {
            case .route(let own): exchange.pointee.route = Int32(own)
            case .none(let tokens, let largest): return answerTooLong(index, tokens: tokens, largest: largest)
            }
        }
        let route = exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)]
        if requestHead.hasUpgrade, !admitUpgrade(index, route) { return }
        if exchange.pointee.isConnect, exchange.pointee.tunnel == nil { return answerError(index, .upgradeNotAllowed, detail: "") }
        if requestHead.first(.xOpenclaw) >= 0, !takeDeadline(index) { return }
        let isModelRequest = exchange.pointee.modelSpan.kind == .string || exchange.pointee.requestedModel.count > 0
            || (exchange.pointee.surface.isModel && exchange.pointee.method == .post)
        view.pointee.requestedModel = exchange.pointee.requestedModel
        view.pointee.hasModelInQuery = exchange.pointee.tunnel?.pointee.modelCount ?? 0 > 0
        chooseCandidates(exchange, route)
        noteReading(exchange, route)
        if exchange.pointee.candidateCount == 0 {
            if isModelRequest, exchange.pointee.modelSpan.kind == .missing, exchange.pointee.requestedModel.count == 0 { return answerError(index, .modelRequired, detail: "", param: "model") }
            return isModelRequest ? answerError(index, .modelNotFound, detail: "", param: "model") : answerError(index, .upstreamsExhausted, detail: "")
        }
        exchange.pointee.attemptsMax = route.pointee.attemptsMax
        let mirror = route.pointee.mirror == nil ? nil : dueMirror(exchange, route)
        startNextAttempt(index)
        if let mirror { startShadow(index, route, at: mirror) }
    }

    /// What was found of the request on the way, for whoever needs it later.
    private func noteReading(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) {
        if route.pointee.hasPromptAffinity { view.pointee.readPrompt() }
        if exchange.pointee.plan.pointee.reading.wantsTokens { exchange.pointee.outputTokensAsked = UInt32(clamping: view.pointee.outputTokensAsked()) }
        if case .none = route.pointee.identity {} else { exchange.pointee.identity = view.pointee.identity(route.pointee.identity) }
        guard view.pointee.prompt.isRead else { return }
        exchange.pointee.promptTokens = UInt32(clamping: view.pointee.prompt.tokens)
        exchange.pointee.prefix = view.pointee.prompt.prefix
    }

    /// The answer where no profile has room for a request.
    private func answerTooLong(_ index: UInt32, tokens: Int64, largest: Int64) {
        var writer = TextWriter(scratch)
        writer.put("the request needs about ")
        writer.put(signed: tokens)
        writer.put(" tokens (its prompt as estimated, and what it asks for), and the largest profile has room for ")
        writer.put(signed: largest)
        writer.put(" (model_routing.profiles.*.max_context_tokens)")
        answerError(index, .contextTooLong, message: UnsafeRawBufferPointer(start: scratch, count: writer.count))
    }

    /// Makes `requestHead` describe this exchange's head again.
    func restoreHead(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        let owner = UInt64(exchange.pointee.generation) << 32 | UInt64(index)
        if headOwner == owner { return }
        var parser = RequestParser()
        _ = parser.parse(
            UnsafeRawBufferPointer(start: exchange.pointee.headBase, count: Int(exchange.pointee.headLength)),
            limits: exchange.pointee.plan.pointee.headLimits, into: requestHead)
        headOwner = owner
    }

    // MARK: timers

    @inline(__always)
    func setTimer(_ index: UInt32, _ deadline: UInt64) {
        let exchange = exchanges.base + Int(index)
        exchange.pointee.phaseDeadline = deadline
        var nearest = deadline
        if exchange.pointee.totalDeadline != 0 { nearest = min(nearest, exchange.pointee.totalDeadline) }
        if exchange.pointee.pingAt != 0 { nearest = min(nearest, exchange.pointee.pingAt) }
        if exchange.pointee.probeAt != 0 { nearest = min(nearest, exchange.pointee.probeAt) }
        if exchange.pointee.hedgeAt != 0 { nearest = min(nearest, exchange.pointee.hedgeAt) }
        timers.set(exchangeTimers + Int(index), nearest)
    }

    func expireExchange(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        switch exchange.pointee.state {
        case .free: return
        case .receiving:
            metrics.add(.refused, RefusalLabel.slowBody.rawValue)
            return answerError(index, .bodyTimeout, detail: "")
        case .tunnelling: return expireTunnel(index)
        case .attempting, .relaying, .draining: break
        }
        if exchange.pointee.probeAt != 0, now >= exchange.pointee.probeAt {
            exchange.pointee.probeAt = 0
            probe(index)
            if exchange.pointee.state == .free { return }
        }
        if exchange.pointee.hedgeAt != 0, now >= exchange.pointee.hedgeAt { hedge(index) }
        if exchange.pointee.state == .draining || exchange.pointee.phase == .write {
            if now >= exchange.pointee.phaseDeadline {
                exchange.pointee.failure = .clientWriteTimeout
                return clientGone(index)
            }
            if exchange.pointee.state == .relaying, exchange.pointee.totalDeadline != 0, now >= exchange.pointee.totalDeadline {
                // Reading slowly stretches no deadline; the client keeps its time to take what it gets.
                let deadline = exchange.pointee.phaseDeadline
                attemptFailed(index, .totalTimeout)
                return setTimer(index, deadline)
            }
        } else if exchange.pointee.totalDeadline != 0, now >= exchange.pointee.totalDeadline {
            return attemptFailed(index, .totalTimeout)
        } else if exchange.pointee.phaseDeadline != 0, now >= exchange.pointee.phaseDeadline {
            switch exchange.pointee.phase {
            case .connect: return attemptFailed(index, .connectTimeout)
            case .firstByte: return attemptFailed(index, .firstByteTimeout)
            case .idle: return attemptFailed(index, .idleTimeout)
            case .errorBody: return wordsAreLate(index)
            case .backoff, .recovery: return waited(index)
            case .none, .body, .write, .place: break
            }
        }
        if exchange.pointee.pingAt != 0, now >= exchange.pointee.pingAt { ping(index) }
        if exchange.pointee.state != .free { setTimer(index, exchange.pointee.phaseDeadline == 0 ? .max : exchange.pointee.phaseDeadline) }
    }
}
