// Attempts: the ordered candidates of a request are asked until one of them answers. A try is begun where its upstream admits it (Worker+Admission), with a
// key (Worker+Keys) and an endpoint; how it ends is told in one place (`closeAttempt`, Worker+Outcome), and what is tried after a failure is the ladder's
// affair (Worker+Ladder). As long as nothing of an answer has gone to the client the request is kept whole, so each attempt begins with the same bytes;
// afterwards a failure is told to the client.
import CClaw
import ClawConfig
import ClawDialect
import ClawPolicy
import ClawWire
import Glibc

extension Worker {
    /// How long an endpoint that refused a connection is passed by where there are others.
    static let unavailableNanoseconds: UInt64 = 5_000_000_000

    /// The first attempt of a request whose candidates are chosen.
    func startNextAttempt(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.attemptsMax > 1, exchange.pointee.attemptCount == 0, exchange.pointee.route >= 0 {
            shared.outlook.retryBudget(exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.place).request(now: now)
        }
        guard let first = onward(exchange), exchange.pointee.attemptCount < exchange.pointee.attemptsMax else { return exhausted(index) }
        ask(index, first)
    }

    /// The next candidate that was not looked at yet and may be; those of the strategy come before those of `fallback`.
    func onward(_ exchange: UnsafeMutablePointer<Exchange>) -> Int? {
        let open = exchange.pointee.reachable & ~exchange.pointee.passed
        let at = open.trailingZeroBitCount
        return at < exchange.pointee.candidateCount ? at : nil
    }

    /// Asks this candidate, and where it cannot be asked those after it.
    func ask(_ index: UInt32, _ first: Int) {
        let exchange = exchanges.base + Int(index)
        var at = first
        while true {
            exchange.pointee.candidateNext = at + 1
            exchange.pointee.passed |= 1 << UInt8(at)
            let candidate = exchange.pointee.candidates[at]
            exchange.pointee.totalDeadline = deadline(exchange, candidate)
            switch prepare(index, candidate) {
            case .answered: return
            case .unfit: break
            case .ready:
                switch admit(index, holdsPlace: false) {
                case .admitted, .waits: return
                case .refused: break
                }
            }
            guard let next = onward(exchange) else { return exhausted(index) }
            at = next
            passedOver(exchange, next)
        }
    }

    /// The candidate could not be asked: the next try goes to another one, whatever it was meant to be.
    func passedOver(_ exchange: UnsafeMutablePointer<Exchange>, _ next: Int) {
        exchange.pointee.wantsFreshLink = false
        exchange.pointee.why = exchange.pointee.candidates[next].isFallback ? .fallbackModel : .nextCandidate
    }

    /// Runs from the request's start over all attempts and all waiting.
    func deadline(_ exchange: UnsafeMutablePointer<Exchange>, _ candidate: Candidate) -> UInt64 {
        let route = exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)]
        let whole = route.pointee.timeout != 0 ? route.pointee.timeout : exchange.pointee.plan.pointee.upstreams[Int(candidate.upstream)].pointee.timeout
        let end = exchange.pointee.startedAt &+ whole
        return exchange.pointee.clientDeadline == 0 ? end : min(end, exchange.pointee.clientDeadline)
    }

    /// The upstream has admitted it: the attempt begins.
    @inline(__always)
    func open(_ index: UInt32, _ attempt: Attempt) {
        let exchange = exchanges.base + Int(index)
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(attempt.upstream)]
        let fresh = exchange.pointee.wantsFreshLink
        exchange.pointee.wantsFreshLink = false
        var attempt = attempt
        attempt.isOpen = true
        let at = exchange.pointee.attemptCount
        exchange.pointee.attemptCount += 1
        exchange.pointee.attempts[at] = attempt
        exchange.pointee.attemptStartedAt = now
        exchange.pointee.staleRetryUsed = false
        exchange.pointee.turnedAway = 0
        exchange.pointee.upstreamSaid100 = 0
        exchange.pointee.firstByteAt = 0
        exchange.pointee.toldWait = 0
        exchange.pointee.state = .attempting
        exchange.pointee.phase = .none
        dropKept(exchange)
        if upstream.pointee.keys.count > 1 { spend(exchange, upstream, attempt) }
        armHedge(exchange)
        if let signer = upstream.pointee.signer, signer._withUnsafeGuaranteedRef({ $0.current == nil }) { return attemptFailed(index, .noCredentials) }
        let endpoints = upstream.pointee.endpoints
        // Discovery may know of none. (Routing passes such an upstream by; another plan's candidate may come here all the same.)
        if endpoints.count == 0 { return attemptFailed(index, .upstreamConnect) }
        let endpoint = endpoints.count == 1 ? endpoints[0] : endpoints[pickEndpoint(exchange, upstream)]
        exchange.pointee.endpoint = endpoint
        exchange.pointee.attempts[at].endpoint = Int32(truncatingIfNeeded: endpoint.pointee.place)
        if exchange.pointee.tunnel != nil, endpoint.pointee.policy != nil || (endpoint.pointee.tls == nil && endpoint.pointee.speaksHTTP2) { return attemptFailed(index, .upstreamCannotSwitch) }
        if endpoint.pointee.policy != nil { startTransfer(index) } else { startDirect(index, fresh: fresh) }
    }

    /// May this request be sent again after part of it may have reached an upstream? Model requests may: they change nothing. Requests to plain
    /// API backends only where the method says so (RFC 9110 §9.2.2); so too what else a provider has (files, batches, …), unless it said itself that it failed.
    func isRepeatable(_ exchange: UnsafeMutablePointer<Exchange>, after kind: FailureKind) -> Bool {
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].upstream)]
        if upstream.pointee.isModel, kind == .upstreamStatus || exchange.pointee.surface.isModel || exchange.pointee.tunnel != nil || asksModelOnly(exchange.pointee.path) { return true }
        switch exchange.pointee.method {
        case .get, .head, .put, .delete, .options: return true
        default: return false
        }
    }

    /// Paths of OpenAI's API beside the surfaces at which a model answers and nothing is kept.
    private func asksModelOnly(_ path: UnsafeRawBufferPointer) -> Bool {
        func begins(_ text: StaticString) -> Bool { path.count >= text.utf8CodeUnitCount && sameBytes(path.baseAddress, text.utf8Start, text.utf8CodeUnitCount) }
        return begins("/v1/audio/") || begins("/v1/images/") || begins("/v1/rerank") || begins("/v2/rerank")
    }

    /// May anything be tried after a failure of this kind, whatever that is?
    func canMoveOn(_ exchange: UnsafeMutablePointer<Exchange>, after kind: FailureKind) -> Bool {
        if exchange.pointee.partner != noIndex { return canHandOver(exchange, after: kind) }
        return kind.movesOn && !exchange.pointee.isCommitted && exchange.pointee.attemptCount > 0
            && exchange.pointee.attemptCount < exchange.pointee.attemptsMax && now < exchange.pointee.totalDeadline
            && (kind.isBeforeSending || isRepeatable(exchange, after: kind)) && !(exchange.pointee.streamsBody && exchange.pointee.uploadedAny)
    }

    /// Has a request run out of time through its client alone? Then it says nothing of the upstream, or any client could open its breaker for all others: the
    /// client did not read what was there for it, or its own deadline cut off an answer that had begun, or gave less time in all than a connection may take.
    private func isClientsOwn(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        if exchange.pointee.phase == .write { return true }
        guard exchange.pointee.clientDeadline != 0, exchange.pointee.clientDeadline == exchange.pointee.totalDeadline, exchange.pointee.attemptCount > 0 else { return false }
        // How long an answer may be silent has a limit of its own.
        if exchange.pointee.firstByteAt != 0 { return true }
        return exchange.pointee.clientDeadline &- min(exchange.pointee.startedAt, exchange.pointee.clientDeadline) < presentUpstream(exchange).pointee.connectTimeout
    }

    /// The present attempt has failed: what the ladder says, or the end. `as`: the class, where it is known better than by the kind.
    func attemptFailed(_ index: UInt32, _ kind: FailureKind, status: UInt16 = 0, as known: ErrorClass? = nil) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isCommitted, exchange.pointee.isStream, exchange.pointee.sawDone, exchange.pointee.state == .relaying, kind.row.origin == .upstream {
            // All of the stream was there, its end too (or the upstream's own error): how the connection went then is nobody's concern.
            dropUpstream(index)
            return answerComplete(index, reusable: false)
        }
        var errorClass = known ?? kind.row.errorClass
        if known == nil, exchange.pointee.isCollecting, exchange.pointee.status >= 400, kind.row.origin == .upstream, kind != .answerTooLarge {
            // The words of an error broke off: its status still says what it is.
            errorClass = Self.errorClass(of: exchange.pointee.status)
        }
        if kind == .upstreamConnect || kind == .connectTimeout || kind == .upstreamDNS, let endpoint = exchange.pointee.endpoint {
            claw_word_store_relaxed(shared.unavailableUntil + endpoint.pointee.place, now + Self.unavailableNanoseconds)
        }
        let next = nextTry(exchange, after: errorClass, kind)
        closeAttempt(exchange, errorClass, status: status, isOurs: kind.isOurs || (kind == .totalTimeout && isClientsOwn(exchange)))
        dropUpstream(index)
        if exchange.pointee.kept != nil, !exchange.pointee.isCommitted { return answerKept(index) }
        exchange.pointee.failure = kind
        if let next { return go(index, next, after: errorClass) }
        if exchange.pointee.isCommitted {
            if exchange.pointee.continuation != nil, resume(index, kind) { return }
            return truncate(index, kind)
        }
        forgetAnswer(exchange)
        answerError(index, kind, detail: "")
    }

    /// Nobody is left to be asked.
    func exhausted(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isDetached { return detachedFailed(index, .upstreamsExhausted) }
        // Headers and the account name the candidate that was asked last, not one that was only looked at.
        let last = exchange.pointee.attemptCount - 1
        exchange.pointee.candidateNext = last >= 0 ? Int(exchange.pointee.attempts[last].candidate) + 1 : 0
        if exchange.pointee.kept != nil { return answerKept(index) }
        if last >= 0, let failure = exchange.pointee.failure { return answerError(index, failure, detail: "") }
        if exchange.pointee.refusals.isEmpty {
            return exchange.pointee.refusal400 != nil ? answerUnfit(index) : answerError(index, .upstreamsExhausted, detail: "")
        }
        if takeKeyProbe(index) || waitForRecovery(index) { return }
        answerError(index, exchange.pointee.refusals.kind, detail: exchange.pointee.refusals.reason)
    }

    /// Forgets an answer of which nothing went out.
    func forgetAnswer(_ exchange: UnsafeMutablePointer<Exchange>) {
        while !exchange.pointee.output.isEmpty { buffers.release(exchange.pointee.output.dropFirst().buffer) }
        dropAnswerLines(exchange)
        dropTrailers(exchange)
        exchange.pointee.isHeld = false
        exchange.pointee.isStream = false
        exchange.pointee.answerIsChunked = false
        exchange.pointee.answerHasBody = true
        exchange.pointee.status = 0
        exchange.pointee.sawDone = false
        exchange.pointee.sawFinish = false
        exchange.pointee.sawContent = false
        exchange.pointee.heldBuffers = 0
        exchange.pointee.lostBytes = false
        exchange.pointee.hidesLineFeed = false
        exchange.pointee.usage = Usage()
        exchange.pointee.contentBytes = 0
        exchange.pointee.contentEvents = 0
        exchange.pointee.finishReasonLength = 0
        exchange.pointee.events = EventScanner()
        exchange.pointee.answerChunks = ChunkedReader()
        exchange.pointee.tail.release()
        exchange.pointee.pingAt = 0
        exchange.pointee.isCollecting = false
        exchange.pointee.isRewritten = false
        exchange.pointee.collectsCopy = false
        exchange.pointee.firstContentAt = 0
        exchange.pointee.lastContentAt = 0
        dropCollected(exchange)
        dropSavedFields(exchange)
        dropWrittenBlocks(exchange)
    }

    /// The key that the present attempt shows to its upstream.
    func presentKey(_ exchange: UnsafeMutablePointer<Exchange>) -> JSONBytes {
        guard exchange.pointee.attemptCount > 0 else { return JSONBytes() }
        let attempt = exchange.pointee.attempts[exchange.pointee.attemptCount - 1]
        guard attempt.key >= 0 else { return JSONBytes() }
        let value = exchange.pointee.plan.pointee.upstreams[Int(attempt.upstream)].pointee.keys[Int(attempt.key)].pointee.value
        return JSONBytes(value.base, value.count)
    }

    func dropSavedFields(_ exchange: UnsafeMutablePointer<Exchange>) {
        exchange.pointee.savedFields?.deallocate()
        exchange.pointee.savedFields = nil
        exchange.pointee.savedFieldsLength = 0
    }

    /// Lets go of whatever carries the present attempt. Its connection is of no further use.
    func dropUpstream(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.upstreamStream != 0 {
            leaveSession(index, error: StreamError.cancel)
        } else if exchange.pointee.link != noIndex {
            let link = exchange.pointee.link
            exchange.pointee.link = noIndex
            links.base[Int(link)].exchange = noIndex
            closeLink(link, reset: true)
        }
        if exchange.pointee.transfer >= 0, let transfers {
            _ = claw_transfer_cancel(transfers, exchange.pointee.transfer)
            exchange.pointee.transfer = -1
        }
        if exchange.pointee.waitingAt >= 0 {
            let token = SlotToken(.none, generation: exchange.pointee.generation, index: index)
            let state = endpoint(Int(exchange.pointee.waitingAt))
            state.pointee.waiting.removeAll { $0 == token }
            waitingCount -= 1
            metrics.set(.pending, waitingCount)
            exchange.pointee.waitingAt = -1
        }
        if exchange.pointee.queuedAt >= 0 || exchange.pointee.recoveringAt >= 0 { leaveQueue(index) }
    }

    // MARK: the request as it goes upstream

    /// One change of the body: `removed` bytes at `offset` give way to the texts.
    struct BodyEdit {
        var offset = 0
        var removed = 0
        var first = Bytes.empty
        var second = Bytes.empty
        var third = Bytes.empty
        var delta: Int { first.count + second.count + third.count - removed }
    }

    /// The edits this attempt asks for, in order of offset. Everything else of the body goes as it came.
    func edits(_ exchange: UnsafeMutablePointer<Exchange>) -> (count: Int, first: BodyEdit, second: BodyEdit) {
        let candidate = exchange.pointee.candidates[exchange.pointee.candidateNext - 1]
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(candidate.upstream)]
        var model = BodyEdit()
        var hasModelEdit = false
        exchange.pointee.hidesUsage = false
        // A body that was written anew says all this already; one whose model is in the path must not say it twice.
        if exchange.pointee.sentBody != nil || exchange.pointee.surface.hasModelInPath { return (0, model, model) }
        if candidate.hasModel, exchange.pointee.bodyIsJSON, let body = exchange.pointee.bodyBase {
            let span = exchange.pointee.modelSpan
            if span.kind == .string {
                if !candidate.model.json.equals(body + span.offset, span.length) {
                    hasModelEdit = true
                    model.offset = span.offset
                    model.removed = span.length
                    model.first = candidate.model.json
                }
            } else {
                hasModelEdit = true
                model.offset = exchange.pointee.insertOffset
                model.first = Self.modelMember
                model.second = candidate.model.json
                if exchange.pointee.insertNeedsComma { model.third = Self.comma }
            }
        }
        var usage = BodyEdit()
        var hasUsageEdit = false
        let isTokenStream = exchange.pointee.surface == .chat || exchange.pointee.surface == .completions
        if upstream.pointee.streamUsage, exchange.pointee.wantsStream, isTokenStream,
            !(exchange.pointee.includeUsageSpan.kind == .bool && exchange.pointee.includeUsageSpan.isTrue), let body = exchange.pointee.bodyBase
        {
            let options = exchange.pointee.streamOptionsSpan
            let include = exchange.pointee.includeUsageSpan
            hasUsageEdit = true
            if include.kind != .missing {
                usage.offset = include.offset
                usage.removed = include.length
                usage.first = Self.trueText
            } else if options.kind == .object {
                var at = options.offset + 1
                while body[at] == 32 || (body[at] >= 9 && body[at] <= 13) { at += 1 }
                usage.offset = options.offset + 1
                usage.first = Self.includeMember
                if body[at] != 125 { usage.second = Self.comma }
            } else if options.kind == .null {
                usage.offset = options.offset
                usage.removed = options.length
                usage.first = Self.optionsValue
            } else if options.kind == .missing {
                usage.offset = exchange.pointee.insertOffset
                usage.first = Self.optionsMember
                usage.second = Self.comma
            } else {
                hasUsageEdit = false
            }
            exchange.pointee.hidesUsage = hasUsageEdit
        }
        switch (hasModelEdit, hasUsageEdit) {
        case (false, false): return (0, model, usage)
        case (true, false): return (1, model, usage)
        case (false, true): return (1, usage, model)
        case (true, true): return model.offset <= usage.offset ? (2, model, usage) : (2, usage, model)
        }
    }

    private static var modelMember: Bytes { Bytes("\"model\":") }
    private static var comma: Bytes { Bytes(",") }
    private static var trueText: Bytes { Bytes("true") }
    private static var includeMember: Bytes { Bytes("\"include_usage\":true") }
    private static var optionsValue: Bytes { Bytes("{\"include_usage\":true}") }
    private static var optionsMember: Bytes { Bytes("\"stream_options\":{\"include_usage\":true}") }

    /// Bytes of the body as it goes out.
    func outgoingLength(_ exchange: UnsafeMutablePointer<Exchange>, _ edits: (count: Int, first: BodyEdit, second: BodyEdit)) -> Int {
        if exchange.pointee.sentBody != nil { return exchange.pointee.sentBodyLength }
        var length = exchange.pointee.bodyLength
        if edits.count > 0 { length += edits.first.delta }
        if edits.count > 1 { length += edits.second.delta }
        return length
    }

    /// Puts the body, edited, behind the head in `output`. The memory is the exchange's, which outlives the sending or cancels it.
    func appendBody(_ exchange: UnsafeMutablePointer<Exchange>, _ edits: (count: Int, first: BodyEdit, second: BodyEdit), to output: inout Output) {
        if let body = exchange.pointee.sentBody {
            if exchange.pointee.sentBodyLength > 0 { output.append(Segment(base: body, length: UInt32(exchange.pointee.sentBodyLength), buffer: noIndex)) }
            return
        }
        guard let body = exchange.pointee.bodyBase, exchange.pointee.bodyLength > 0 else { return }
        var at = 0
        func text(_ bytes: Bytes, _ output: inout Output) {
            if bytes.count > 0 { output.append(Segment(base: bytes.base, length: UInt32(bytes.count), buffer: noIndex)) }
        }
        func apply(_ edit: BodyEdit, _ output: inout Output) {
            if edit.offset > at { output.append(Segment(base: body + at, length: UInt32(edit.offset - at), buffer: noIndex)) }
            text(edit.first, &output)
            text(edit.second, &output)
            text(edit.third, &output)
            at = edit.offset + edit.removed
        }
        if edits.count > 0 { apply(edits.first, &output) }
        if edits.count > 1 { apply(edits.second, &output) }
        if at < exchange.pointee.bodyLength {
            output.append(Segment(base: body + at, length: UInt32(exchange.pointee.bodyLength - at), buffer: noIndex))
        }
    }
}
