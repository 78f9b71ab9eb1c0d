// Resuming: on a route with `resume: true` a stream whose upstream dies after its beginning has gone out goes on at the next candidate. The request is written anew
// with the text so far as the beginning of the assistant's answer, and the new upstream's events go through the writer that the stream was begun with: its own
// start is left out, its thoughts too, and the client reads on in the same message. `: openclaw resumed …` stands between the two where the client's dialect has
// comments.
//
// What makes it possible: such a route's streams are always written anew, also where both sides speak the same dialect, so every event is understood; and the
// request is kept to the end. Not gone on with: an answer that called a tool or refused, one that has only thought so far, one of several, one that must fit a
// schema, one above 1 MiB. If it cannot be, the stream ends with its dialect's error event as on any other route.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

extension Worker {
    // MARK: before the first part

    /// Is this a stream that shall be able to go on elsewhere?
    func shallResume(_ exchange: UnsafeMutablePointer<Exchange>, _ front: DialectID, _ operation: Operation) -> Bool {
        guard exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.resumes, exchange.pointee.wantsStream, operation == .generate else { return false }
        switch front {
        case .chat, .messages, .gemini, .cohere, .ollama, .responses: return true
        case .completions, .converse, .ollamaGenerate: return false
        }
    }

    /// Called with the conversation that is about to be written for the upstream: notes what speaks against going on, or lets it begin its answer with the text so far.
    func prefill(
        _ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ back: DialectID, _ conversation: Conversation
    ) throws(Refusal) {
        let continuation: Continuation
        if let held = exchange.pointee.continuation {
            continuation = held._withUnsafeGuaranteedRef { $0 }
        } else {
            continuation = Continuation()
            exchange.pointee.continuation = Unmanaged.passRetained(continuation)
        }
        if continuation.resumes == 0 {
            // Another attempt in front of the commit begins from nothing.
            continuation.textLength = 0
            continuation.isBarred = (conversation.n ?? 1) > 1 || conversation.format.kind == .jsonObject || conversation.format.kind == .jsonSchema
                || conversation.logprobs == true || conversation.audio.exists
            return
        }
        guard continues(upstream, back), let text = continuation.text else { throw Refusal("messages", "this upstream does not continue an answer") }
        conversation.continuesAnswer = true
        // Thoughts come before an answer, and this one has begun; some refuse a beginning where thinking is on.
        conversation.reasoning = Reasoning()
        if let most = conversation.maxTokens { conversation.maxTokens = most > continuation.usage.output ? most &- continuation.usage.output : 1 }
        try conversation.begin(.assistant)
        var part = Part(.text)
        part.text = Self.withoutSpace(JSONBytes(text, continuation.textLength))
        continuation.isTrimmed = part.text.count < continuation.textLength
        try conversation.add(part)
        if back == .chat, conversation.source == .chat, upstream.pointee.quirks.takesPrefix {
            conversation.extras.append(Extra(.message, conversation.messages.count - 1, key: JSONBytes("prefix"), value: JSONBytes("true")))
        }
    }

    /// Does it go on with an answer whose beginning is the last message? OpenAI's own servers take such a message for history and begin anew.
    private func continues(_ upstream: UnsafeMutablePointer<PlanUpstream>, _ back: DialectID) -> Bool {
        switch back {
        case .messages, .gemini, .converse, .cohere, .ollama: return true
        case .chat: return !upstream.pointee.type.equals(Bytes("openai").raw) && !upstream.pointee.type.equals(Bytes("azure").raw)
        case .completions, .responses, .ollamaGenerate: return false
        }
    }

    /// Escaped text without white space at its end.
    private static func withoutSpace(_ text: JSONBytes) -> JSONBytes {
        var end = text.count
        while end > 0 {
            if text[end - 1] == 0x20 {
                end -= 1
                continue
            }
            guard end > 1, text[end - 1] == 0x6E || text[end - 1] == 0x72 || text[end - 1] == 0x74 else { break }
            // `\n` is a newline unless its backslash is itself escaped.
            var slashes = 0
            while slashes < end - 1, text[end - 2 - slashes] == 0x5C { slashes += 1 }
            if slashes % 2 == 0 { break }
            end -= 2
        }
        return text.prefix(end)
    }

    /// Escaped text without white space at its beginning.
    private static func withoutLeadingSpace(_ text: JSONBytes) -> JSONBytes {
        var start = 0
        while start < text.count {
            if text[start] == 0x20 {
                start += 1
            } else if text[start] == 0x5C, start + 1 < text.count, text[start + 1] == 0x6E || text[start + 1] == 0x72 || text[start + 1] == 0x74 {
                start += 2
            } else {
                break
            }
        }
        return text.dropFirst(start)
    }

    // MARK: while it streams

    /// Notes what the client gets. False: this event is not for it.
    func follow(_ exchange: UnsafeMutablePointer<Exchange>, _ held: Unmanaged<Continuation>, _ event: inout StreamEvent) -> Bool {
        let continuation = held._withUnsafeGuaranteedRef { $0 }
        let isResumed = continuation.resumes > 0
        switch event.kind {
        case .textDelta:
            if event.choice != 0 { continuation.isBarred = true }
            if isResumed, continuation.isTrimmed, !continuation.hasText {
                event.text = Self.withoutLeadingSpace(event.text)
                if event.text.isEmpty { return false }
            }
            if !event.text.isEmpty { continuation.hasText = true }
            keep(exchange, continuation, event.text)
        case .callStart, .callArguments, .refusalDelta: continuation.isBarred = true
        case .thinkingDelta, .signature, .redactedThinking: if isResumed, !event.isCall { return false }
        case .start: if isResumed { return false }
        case .partStart:
            guard isResumed else { break }
            if event.partKind == .thinking || event.partKind == .redactedThinking {
                continuation.skipsPart = true
                return false
            }
            // The client's part is still open.
            if event.partKind == .text, !continuation.hasText { return false }
        case .partEnd:
            if continuation.skipsPart {
                continuation.skipsPart = false
                return false
            }
        case .usage: if isResumed { event.usage = continuation.usage.adding(event.usage) }
        case .callEnd, .citation, .finish, .ping, .error, .end, .opaque: break
        }
        return true
    }

    private func keep(_ exchange: UnsafeMutablePointer<Exchange>, _ continuation: Continuation, _ text: JSONBytes) {
        guard !continuation.isBarred, text.count > 0, let from = text.base else { return }
        let length = continuation.textLength + text.count
        guard length <= Continuation.textBytesMax else { return continuation.isBarred = true }
        if length > continuation.textCapacity {
            guard let block = bodyStore.take(max(length, 2 * continuation.textCapacity), budget: exchange.pointee.plan.pointee.bodyMemoryBytesMax) else {
                return continuation.isBarred = true
            }
            if let old = continuation.text {
                memcpy(block.base, old, continuation.textLength)
                bodyStore.give(old, capacity: continuation.textCapacity)
            }
            continuation.text = block.base
            continuation.textCapacity = block.capacity
        }
        memcpy(continuation.text.unsafelyUnwrapped + continuation.textLength, from, text.count)
        continuation.textLength = length
    }

    func dropContinuation(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let held = exchange.pointee.continuation else { return }
        exchange.pointee.continuation = nil
        held._withUnsafeGuaranteedRef { continuation in
            if let text = continuation.text { bodyStore.give(text, capacity: continuation.textCapacity) }
            continuation.text = nil
        }
        held.release()
    }

    // MARK: when its upstream dies

    /// May the stream go on elsewhere after this?
    func mayResume(_ exchange: UnsafeMutablePointer<Exchange>, after kind: FailureKind) -> Bool {
        guard let held = exchange.pointee.continuation, exchange.pointee.isCommitted, !exchange.pointee.isDetached, exchange.pointee.isStream,
            exchange.pointee.state == .relaying, !exchange.pointee.sawFinish, kind.movesOn, !exchange.pointee.clientGone, phase == 0, now < exchange.pointee.totalDeadline,
            exchange.pointee.attemptCount < exchange.pointee.attemptsMax, UInt8.max & ~exchange.pointee.passed & Self.placeMask(exchange.pointee.candidateCount) != 0
        else { return false }
        return held._withUnsafeGuaranteedRef { !$0.isBarred && $0.textLength > 0 && $0.resumes < Continuation.resumesMax }
    }

    private static func placeMask(_ count: Int) -> UInt8 { count >= 8 ? .max : (1 << UInt8(max(0, count))) &- 1 }

    /// It is a further attempt like any other: out of the route's retry budget.
    private func takesRetry(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let route = exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)]
        if shared.outlook.retryBudget(route.pointee.place).mayRetry(now: now, route.pointee.retries) { return true }
        metrics.add(.retriesRefused, route.pointee.label)
        noteRoute(.retriesExhausted, exchange, exchange.pointee.attempts[exchange.pointee.attemptCount - 1].errorClass)
        return false
    }

    /// The attempt has failed after the commit, and its upstream is let go. False: the stream ends with an error.
    func resume(_ index: UInt32, _ kind: FailureKind) -> Bool {
        let exchange = exchanges.base + Int(index)
        guard let held = exchange.pointee.continuation else { return false }
        let label = exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.label
        let continuation = held._withUnsafeGuaranteedRef { $0 }
        guard mayResume(exchange, after: kind), takesRetry(exchange) else {
            if kind.movesOn { metrics.add(.resumes, label, continuation.resumes > 0 && !continuation.hasBegun ? ResumeResult.failed.rawValue : ResumeResult.refused.rawValue) }
            return false
        }
        accountPart(exchange, continuation)
        continuation.resumes += 1
        continuation.after = exchange.pointee.attempts[exchange.pointee.attemptCount - 1].errorClass
        continuation.hasBegun = false
        continuation.hasText = false
        continuation.skipsPart = false
        exchange.pointee.translation?._withUnsafeGuaranteedRef { continuation.writer = $0.writer }
        exchange.pointee.answerChunks = ChunkedReader()
        exchange.pointee.upstreamFraming = .none
        exchange.pointee.upstreamRemaining = 0
        exchange.pointee.isPaused = false
        exchange.pointee.sawDone = false
        exchange.pointee.finishReasonLength = 0
        exchange.pointee.reachable = .max
        exchange.pointee.why = .resume
        exchange.pointee.wantsFreshLink = false
        let before = exchange.pointee.attemptCount
        startNextAttempt(index)
        if exchange.pointee.attemptCount > before { exchange.pointee.attempts[before].why = .resume }
        if exchange.pointee.state == .draining, !continuation.hasBegun { metrics.add(.resumes, label, ResumeResult.failed.rawValue) }
        return true
    }

    /// What the part that broke off used: as far as its upstream said so, and else what was delivered.
    private func accountPart(_ exchange: UnsafeMutablePointer<Exchange>, _ continuation: Continuation) {
        var usage = exchange.pointee.usage
        let output = Int64(clamping: max(exchange.pointee.contentEvents, exchange.pointee.contentBytes / 4))
        if usage.output < output { usage.setOutput(sum: output) }
        if !usage.hasInput { usage.setInput(sum: Int64(max(1, exchange.pointee.promptBytes / 4))) }
        usage.isEstimated = true
        let upstream = presentUpstream(exchange).pointee.label
        let candidate = exchange.pointee.candidates[max(0, Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].candidate))]
        let model = candidate.hasModel ? candidate.model.label : 0
        if usage.input > 0 { metrics.add(.tokens, upstream, model, 0, by: UInt64(usage.input)) }
        if usage.output > 0 { metrics.add(.tokens, upstream, model, 1, by: UInt64(usage.output)) }
        if let cost = facts(exchange, candidate)?.pointee.prices.cost(of: usage, tier: exchange.pointee.serviceTier) {
            continuation.hasCost = true
            continuation.cost = cost
            if cost > 0 { metrics.add(.cost, upstream, model, by: UInt64(cost)) }
        }
        continuation.usage = continuation.usage.adding(usage)
        exchange.pointee.usage = Usage()
        exchange.pointee.contentBytes = 0
        exchange.pointee.contentEvents = 0
    }

    /// The upstream that goes on has begun to answer: the client's stream says so, where it has a way of saying things that are not of the answer.
    func hasResumed(_ index: UInt32, _ held: Unmanaged<Continuation>) {
        let exchange = exchanges.base + Int(index)
        let continuation = held._withUnsafeGuaranteedRef { $0 }
        continuation.hasBegun = true
        metrics.add(.resumes, exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.label, ResumeResult.resumed.rawValue)
        guard let translation = exchange.pointee.translation,
            translation._withUnsafeGuaranteedRef({ $0.front.pieces.framing == .sse && !$0.context.asArray })
        else { return }
        var text = TextWriter(scratch)
        text.put(": openclaw resumed upstream=")
        let name = presentUpstream(exchange).pointee.name
        text.put(name.base, min(name.count, 100))
        text.put(" after=")
        text.put(continuation.after.name)
        text.put("\n\n")
        guard appendWritten(exchange, UnsafeRawBufferPointer(start: scratch, count: text.count)) else { return attemptFailed(index, .buffersExhausted) }
        pushLater(index)
    }

    // MARK: the account

    /// The parts before the last become part of the request's usage. The last one's own is counted already.
    func addParts(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let held = exchange.pointee.continuation else { return }
        held._withUnsafeGuaranteedRef { continuation in
            guard continuation.resumes > 0 else { return }
            exchange.pointee.usage = continuation.usage.adding(exchange.pointee.usage)
            if continuation.hasCost { exchange.pointee.cost = (exchange.pointee.cost ?? 0) &+ continuation.cost }
        }
    }

    func writeResumes(_ exchange: UnsafeMutablePointer<Exchange>, _ text: inout TextWriter) {
        guard let resumes = exchange.pointee.continuation?._withUnsafeGuaranteedRef({ $0.resumes }), resumes > 0 else { return }
        text.put(",\"resumed\":")
        text.put(number: UInt64(resumes))
    }
}
