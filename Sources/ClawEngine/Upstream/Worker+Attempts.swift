// Attempts: the ordered candidates of a request are tried one after the other until one answers. As long as nothing of an answer has gone to the
// client, a failure moves on to the next candidate; afterwards it is told to the client. The request is kept whole until then, so each attempt
// begins with the same bytes.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

extension Worker {
    /// How long an endpoint that refused a connection is passed by where the strategy prefers available ones.
    static let unavailableNanoseconds: UInt64 = 5_000_000_000

    func startNextAttempt(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        let tried = exchange.pointee.candidateNext
        var candidate = exchange.pointee.candidates[0]
        search: while true {
            guard exchange.pointee.candidateNext < exchange.pointee.candidateCount, exchange.pointee.attemptCount < exchange.pointee.attemptsMax else {
                // Headers and the account name the candidate that was asked last, not one that was only looked at.
                exchange.pointee.candidateNext = tried
                if exchange.pointee.failure == nil, exchange.pointee.refusal400 != nil { return answerUnfit(index) }
                return answerError(index, exchange.pointee.failure ?? .upstreamsExhausted, detail: "")
            }
            candidate = exchange.pointee.candidates[exchange.pointee.candidateNext]
            exchange.pointee.candidateNext += 1
            switch prepare(index, candidate) {
            case .ready: break search
            case .unfit: continue
            case .answered: return
            }
        }
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(candidate.upstream)]
        var attempt = Attempt()
        attempt.upstream = candidate.upstream
        attempt.model = candidate.hasModel ? candidate.model.id : .empty
        if upstream.pointee.keys.count > 0 {
            attempt.key = upstream.pointee.keys.count == 1 ? 0 : Int32(pickKey(upstream))
        }
        exchange.pointee.attempts[exchange.pointee.attemptCount] = attempt
        exchange.pointee.attemptCount += 1
        exchange.pointee.attemptStartedAt = now
        exchange.pointee.staleRetryUsed = false
        exchange.pointee.turnedAway = 0
        exchange.pointee.upstreamSaid100 = 0
        exchange.pointee.firstByteAt = 0
        exchange.pointee.state = .attempting
        let route = exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)]
        let whole = route.pointee.timeout != 0 ? route.pointee.timeout : upstream.pointee.timeout
        // The deadline runs from the request's start over all attempts.
        exchange.pointee.totalDeadline = exchange.pointee.startedAt + whole
        if let signer = upstream.pointee.signer, signer._withUnsafeGuaranteedRef({ $0.current == nil }) { return attemptFailed(index, .noCredentials) }
        let endpoints = upstream.pointee.endpoints
        let endpoint = endpoints.count == 1 ? endpoints[0] : endpoints[pickEndpoint(endpoints)]
        exchange.pointee.endpoint = endpoint
        if exchange.pointee.tunnel != nil, endpoint.pointee.policy != nil || (endpoint.pointee.tls == nil && endpoint.pointee.speaksHTTP2) { return attemptFailed(index, .upstreamCannotSwitch) }
        if endpoint.pointee.policy != nil { startTransfer(index) } else { startDirect(index, fresh: false) }
    }

    private func pickKey(_ upstream: UnsafeMutablePointer<PlanUpstream>) -> Int {
        var total = 0
        for at in 0..<upstream.pointee.keys.count { total += upstream.pointee.keys[at].pointee.weight }
        guard total > 0 else { return 0 }
        var point = Int(nextRandom() % UInt64(total))
        for at in 0..<upstream.pointee.keys.count {
            point -= upstream.pointee.keys[at].pointee.weight
            if point < 0 { return at }
        }
        return 0
    }

    private func pickEndpoint(_ endpoints: List<PlanEndpoint>) -> Int {
        var total = 0
        for at in 0..<endpoints.count { total += endpoints[at].pointee.weight }
        guard total > 0 else { return 0 }
        var point = Int(nextRandom() % UInt64(total))
        for at in 0..<endpoints.count {
            point -= endpoints[at].pointee.weight
            if point < 0 { return at }
        }
        return 0
    }

    /// May this request be sent again after part of it may have reached an upstream? Model requests may: they change nothing. Requests to plain
    /// API backends only where the method says so (RFC 9110 §9.2.2).
    func isRepeatable(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].upstream)]
        if upstream.pointee.isModel { return true }
        switch exchange.pointee.method {
        case .get, .head, .put, .delete, .options: return true
        default: return false
        }
    }

    /// Is there a further candidate that may be tried after a failure of this kind?
    func canMoveOn(_ exchange: UnsafeMutablePointer<Exchange>, after kind: FailureKind) -> Bool {
        kind.movesOn && !exchange.pointee.isCommitted && exchange.pointee.candidateNext < exchange.pointee.candidateCount
            && exchange.pointee.attemptCount < exchange.pointee.attemptsMax && now < exchange.pointee.totalDeadline
            && (kind.isBeforeSending || isRepeatable(exchange)) && !(exchange.pointee.streamsBody && exchange.pointee.uploadedAny)
    }

    /// The present attempt has failed: the next candidate, or the end.
    func attemptFailed(_ index: UInt32, _ kind: FailureKind, status: UInt16 = 0) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isCommitted, exchange.pointee.isStream, exchange.pointee.sawDone, exchange.pointee.state == .relaying, kind.row.origin == .upstream {
            // All of the stream was there, its end too (or the upstream's own error): how the connection went then is nobody's concern.
            dropUpstream(index)
            return answerComplete(index, reusable: false)
        }
        let errorClass: ErrorClass = status == 429 ? .rateLimited : status == 503 || status == 529 ? .overloaded : kind.row.errorClass
        closeAttempt(exchange, errorClass, status: status)
        dropUpstream(index)
        if kind == .upstreamConnect || kind == .connectTimeout || kind == .upstreamDNS, let endpoint = exchange.pointee.endpoint {
            claw_word_store_relaxed(shared.unavailableUntil + endpoint.pointee.place, now + Self.unavailableNanoseconds)
        }
        exchange.pointee.failure = kind
        if canMoveOn(exchange, after: kind) {
            forgetAnswer(exchange)
            metrics.add(
                .fallbacks, exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.label,
                exchange.pointee.plan.pointee.upstreams[Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].upstream)].pointee.label,
                exchange.pointee.plan.pointee.upstreams[Int(exchange.pointee.candidates[exchange.pointee.candidateNext].upstream)].pointee.label,
                errorClass.rawValue)
            return startNextAttempt(index)
        }
        if exchange.pointee.isCommitted { return truncate(index, kind) }
        forgetAnswer(exchange)
        answerError(index, kind, detail: "")
    }

    /// Writes down how the present attempt ended.
    func closeAttempt(_ exchange: UnsafeMutablePointer<Exchange>, _ errorClass: ErrorClass, status: UInt16) {
        let at = exchange.pointee.attemptCount - 1
        guard at >= 0 else { return }
        exchange.pointee.attempts[at].errorClass = errorClass
        if status != 0 { exchange.pointee.attempts[at].status = status }
        let spent = now &- exchange.pointee.attemptStartedAt
        exchange.pointee.attempts[at].milliseconds = UInt32(truncatingIfNeeded: spent / 1_000_000)
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(exchange.pointee.attempts[at].upstream)]
        let model = exchange.pointee.candidates[max(0, exchange.pointee.candidateNext - 1)]
        let modelLabel = model.hasModel ? model.model.label : 0
        metrics.add(.upstreamRequests, upstream.pointee.label, modelLabel, exchange.pointee.attempts[at].status)
        metrics.observe(.upstreamDuration, upstream.pointee.label, nanoseconds: spent)
        if errorClass != .none { metrics.add(.upstreamErrors, upstream.pointee.label, modelLabel, UInt16(errorClass.rawValue)) }
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
