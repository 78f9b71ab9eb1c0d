// The answer in the client's dialect. A plain answer is collected whole (bounded by server.max_answer_mb and by the memory of all bodies), read in the
// upstream's dialect and written in the client's. Errors too, whoever speaks what: so a provider's message reaches the client in a form its SDK
// understands, without keys and addresses of machines in it. When both sides speak the same dialect an error passes as it is, if it is well-formed.
import CClaw
import ClawDialect
import ClawPolicy
import ClawWire
import Glibc

extension Worker {
    // MARK: the head

    /// An answer whose bytes are not passed on: it is to be collected, or is a stream to be written anew. True when its body is awaited.
    func takeForeignHead(_ index: UInt32, _ base: UnsafePointer<UInt8>) -> Bool {
        let exchange = exchanges.base + Int(index)
        let head = responseHead
        let upstream = presentUpstream(exchange)
        noteErrorHead(exchange, base)
        if exchange.pointee.status < 400, exchange.pointee.wantsStream, let translation = exchange.pointee.translation,
            translation._withUnsafeGuaranteedRef({ $0.operation == .generate && isStream(head, $0.back) })
        {
            beginRewriting(index)
        } else if exchange.pointee.isCommitted {
            attemptFailed(index, .upstreamMalformed)
            return false
        } else {
            exchange.pointee.isCollecting = true
            exchange.pointee.isStream = false
            if case .contentLength(let length) = head.framing, length > UInt64(exchange.pointee.plan.pointee.answerBytesMax) {
                let status = exchange.pointee.status
                if status < 400 || !movesOn(index, status: status, isWhole: false, keepAlive: false) { attemptFailed(index, .answerTooLarge) }
                return false
            }
        }
        guard exchange.pointee.state == .relaying else { return false }
        let waitsForWords = exchange.pointee.status >= 400 && canMoveOn(exchange, after: .upstreamStatus)
        exchange.pointee.phase = waitsForWords ? .errorBody : .idle
        setTimer(index, now + (waitsForWords ? min(upstream.pointee.idleStreamTimeout, Self.errorBodyNanoseconds) : upstream.pointee.idleStreamTimeout))
        // A stream that goes on may find its client still busy with what came before: that is the one to be waited for.
        if exchange.pointee.isCommitted, !exchange.pointee.output.isEmpty { clientIsSlow(index) }
        if exchange.pointee.partner != noIndex, !exchange.pointee.isHeld, exchange.pointee.status < 400 { isFirst(index) }
        return true
    }

    /// Where something else could be tried, the words of an error are waited for no longer, and no more of them are read: then its status has to do.
    static let errorBodyNanoseconds: UInt64 = 2_000_000_000
    static let errorBytesMax = 65_536

    private func isStream(_ head: ResponseHead, _ back: DialectID) -> Bool {
        if head.isEncoded { return false }
        switch back.pieces.framing {
        case .sse, .array: return head.isEventStream
        // NDJSON and Amazon's frames have a type of their own; anything that is not plain JSON was sent because a stream was asked for.
        case .lines, .frames: return !head.isJSON
        }
    }

    /// What an error says in its head.
    private func noteErrorHead(_ exchange: UnsafeMutablePointer<Exchange>, _ base: UnsafePointer<UInt8>) {
        guard exchange.pointee.status >= 400, let translation = exchange.pointee.translation else { return }
        let head = responseHead
        let kindName: StaticString = "x-amzn-errortype"
        let retryName: StaticString = "retry-after"
        for at in 0..<head.fieldCount {
            let field = head.fields[at]
            let value = UnsafeRawBufferPointer(start: base + Int(field.valueOffset), count: Int(field.valueLength))
            if Int(field.nameLength) == kindName.utf8CodeUnitCount, Self.sameName(base + Int(field.nameOffset), kindName.utf8Start, kindName.utf8CodeUnitCount) {
                translation._withUnsafeGuaranteedRef { $0.errorKind = Array(value.prefix(200)) }
            } else if Int(field.nameLength) == retryName.utf8CodeUnitCount, Self.sameName(base + Int(field.nameOffset), retryName.utf8Start, retryName.utf8CodeUnitCount) {
                // A date is left to the upstream's own clients; seconds may be fractional.
                if let seconds = JSONNumber.parse(value), seconds > 0 { translation._withUnsafeGuaranteedRef { $0.retryAfter = UInt64(min(86400, seconds.rounded(.up))) } }
            }
        }
    }

    // MARK: collecting

    /// One piece of an answer that is held. False when the attempt was given up.
    func collect(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.phase == .errorBody, exchange.pointee.collectedLength + count > Self.errorBytesMax,
            movesOn(index, status: exchange.pointee.status, isWhole: false, keepAlive: false)
        {
            return false
        }
        switch hold(exchange, bytes, count) {
        case .held: return true
        case .tooLarge: attemptFailed(index, .answerTooLarge)
        case .noMemory: attemptFailed(index, .bodyMemoryExhausted)
        }
        return false
    }

    /// A copy of a plain answer that passes as it is, for its usage. It is done without where there is no room for it.
    func collectCopy(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        if hold(exchange, bytes, count) == .held { return }
        exchange.pointee.collectsCopy = false
        dropCollected(exchange)
    }

    private enum Holding { case held, tooLarge, noMemory }

    /// Puts bytes behind what is collected, in a larger block where need be.
    private func hold(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Holding {
        guard count > 0 else { return .held }
        let plan = exchange.pointee.plan
        let length = exchange.pointee.collectedLength + count
        if length > plan.pointee.answerBytesMax { return .tooLarge }
        if length > exchange.pointee.collectedCapacity {
            let wanted = max(length, min(exchange.pointee.collectedCapacity * 2, plan.pointee.answerBytesMax))
            guard let block = bodyStore.take(wanted, budget: plan.pointee.bodyMemoryBytesMax) else { return .noMemory }
            if let old = exchange.pointee.collected {
                memcpy(block.base, old, exchange.pointee.collectedLength)
                bodyStore.give(old, capacity: exchange.pointee.collectedCapacity)
            }
            exchange.pointee.collected = block.base
            exchange.pointee.collectedCapacity = block.capacity
        }
        memcpy(exchange.pointee.collected.unsafelyUnwrapped + exchange.pointee.collectedLength, bytes, count)
        exchange.pointee.collectedLength = length
        return .held
    }

    /// A whole plain answer of a dialect that both sides speak: usage and finish reason.
    func readAlong(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer) {
        guard let translation = exchange.pointee.translation, exchange.pointee.status < 300, translator.tape.read(bytes) == nil else { return }
        let (back, operation) = translation._withUnsafeGuaranteedRef { ($0.back, $0.operation) }
        switch operation {
        case .embed:
            translator.vectors.reset()
            if back.pieces.readEmbeddingAnswer(translator.tape.root, into: translator.vectors) { exchange.pointee.usage.take(translator.vectors.usage) }
        case .count: break
        case .generate, .stream:
            translator.answer.reset(source: back)
            if back.pieces.readAnswer(translator.tape.root, into: translator.answer) {
                exchange.pointee.usage.take(translator.answer.usage)
                noteFinish(exchange, translator.answer.choices.first?.nativeFinish ?? JSONBytes())
            }
        }
    }

    func noteFinish(_ exchange: UnsafeMutablePointer<Exchange>, _ word: JSONBytes) {
        guard let base = word.base, word.count > 0 else { return }
        let length = min(word.count, 24)
        exchange.pointee.sawFinish = true
        exchange.pointee.finishReasonLength = UInt8(length)
        withUnsafeMutableBytes(of: &exchange.pointee.finishReason) { $0.baseAddress.unsafelyUnwrapped.copyMemory(from: base, byteCount: length) }
    }

    // MARK: writing

    /// The whole of a collected answer is there.
    func answerCollected(_ index: UInt32, reusable: Bool) {
        let exchange = exchanges.base + Int(index)
        let body = UnsafeRawBufferPointer(start: exchange.pointee.collected, count: exchange.pointee.collectedLength)
        exchange.pointee.isCollecting = false
        if exchange.pointee.status >= 400 {
            let error = readError(exchange, body)
            return answerError(index, error, body, after: .upstreamStatus, reusable: reusable)
        }
        switch writeCollected(exchange, body) {
        case .written: break
        case .failed:
            // The upstream says inside a 200 that it failed.
            let error = translator.answer.error ?? ProviderError(status: 502, problem: .serverError)
            translator.box.arena.reset()
            exchange.pointee.status = UInt16(clamping: max(400, error.status))
            return answerError(index, error, UnsafeRawBufferPointer(start: nil, count: 0), after: .upstreamInBand, reusable: reusable)
        case .malformed: return attemptFailed(index, .upstreamMalformed)
        }
        dropCollected(exchange)
        closeAttempt(exchange, .none, status: exchange.pointee.status)
        let written = translator.out.bytes
        let isStream = translator.wroteStream
        answerOwn(
            index, status: exchange.pointee.status, body: Bytes(base: written.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), count: written.count),
            retryAfter: 0, type: isStream ? contentType(exchange) : "application/json")
        releaseUpstream(index, reusable: reusable)
    }

    /// A provider's error that is there whole: something else is tried, or it is the answer. The connection goes back last, because whoever waits for it goes on
    /// at once, with the scratch memory that the error's words lie in.
    private func answerError(_ index: UInt32, _ error: ProviderError, _ body: UnsafeRawBufferPointer, after kind: FailureKind, reusable: Bool) {
        let exchange = exchanges.base + Int(index)
        let errorClass = Self.errorClass(error.problem)
        if exchange.pointee.toldWait == 0, error.problem == .rateLimited {
            exchange.pointee.toldWait = error.retryAfterSeconds > 0 ? UInt64(min(error.retryAfterSeconds, 86_400) * 1e9) : RateSignals.hint(inBody: body) ?? 0
        }
        let status = kind == .upstreamInBand ? 0 : exchange.pointee.status
        if let next = nextTry(exchange, after: errorClass, kind) {
            if let rendered = render(exchange, error, body) { keep(exchange, rendered, errorClass) }
            closeAttempt(exchange, errorClass, status: status)
            releaseUpstream(index, reusable: reusable)
            exchange.pointee.failure = kind
            return go(index, next, after: errorClass)
        }
        if kind == .upstreamInBand { exchange.pointee.failure = kind }
        closeAttempt(exchange, errorClass, status: status)
        answerProviderError(index, error, body)
        releaseUpstream(index, reusable: reusable)
    }

    private enum Written { case written, failed, malformed }

    private func writeCollected(_ exchange: UnsafeMutablePointer<Exchange>, _ body: UnsafeRawBufferPointer) -> Written {
        guard let translation = exchange.pointee.translation, translator.tape.read(body) == nil else { return .malformed }
        let translator = translator
        translator.out.reset()
        translator.wroteStream = false
        let (front, back, operation, context) = translation._withUnsafeGuaranteedRef { ($0.front, $0.back, $0.operation, $0.context) }
        switch operation {
        case .embed:
            translator.vectors.reset()
            translator.answer.error = nil
            guard back.pieces.readEmbeddingAnswer(translator.tape.root, into: translator.vectors) else { return .malformed }
            exchange.pointee.usage.take(translator.vectors.usage)
            front.pieces.writeEmbeddingAnswer(translator.vectors, context, into: &translator.out)
        case .count:
            guard let tokens = back.pieces.readCountAnswer(translator.tape.root) else { return .malformed }
            front.pieces.writeCountAnswer(tokens, into: &translator.out)
        case .generate, .stream:
            translator.answer.reset(source: back)
            guard back.pieces.readAnswer(translator.tape.root, into: translator.answer) else { return translator.answer.error == nil ? .malformed : .failed }
            exchange.pointee.usage.take(translator.answer.usage)
            noteFinish(exchange, translator.answer.choices.first?.nativeFinish ?? JSONBytes())
            if exchange.pointee.wantsStream {
                // The upstream answered whole although a stream was asked for: the client gets its stream all the same.
                translator.wroteStream = true
                streamAnswer(front.pieces.streamWriter(context))
            } else {
                front.pieces.writeAnswer(translator.answer, context, into: &translator.out)
            }
        }
        return translator.out.isOverflown || translator.out.count == 0 ? .malformed : .written
    }

    /// A whole answer as the events of a stream.
    private func streamAnswer(_ writer: StreamWriter) {
        let answer = translator.answer
        let list = translator.list
        list.reset()
        list.keepsExtras = false
        list.addAll(of: answer)
        for event in list.events { writer.write(event, list, into: &translator.out) }
    }

    /// Frees the connection that the answer came over.
    func releaseUpstream(_ index: UInt32, reusable: Bool) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.upstreamStream != 0 {
            leaveSession(index, error: exchange.pointee.uploadIsWhole && exchange.pointee.upload.isEmpty && reusable ? nil : StreamError.cancel)
        } else if exchange.pointee.link != noIndex {
            let link = exchange.pointee.link
            exchange.pointee.link = noIndex
            links.base[Int(link)].exchange = noIndex
            releaseLink(link, reusable: reusable)
        }
        exchange.pointee.transfer = -1
    }

    /// The content type of a stream to this client.
    func contentType(_ exchange: UnsafeMutablePointer<Exchange>) -> StaticString {
        guard let translation = exchange.pointee.translation else { return "text/event-stream" }
        return translation._withUnsafeGuaranteedRef { translation in
            if translation.context.asArray { return "application/json" }
            return translation.front.pieces.framing == .lines ? "application/x-ndjson" : "text/event-stream; charset=utf-8"
        }
    }

    // MARK: errors

    static func errorClass(_ problem: ProblemClass) -> ErrorClass {
        switch problem {
        case .rateLimited: .rateLimited
        case .overloaded: .overloaded
        case .timeout: .timeout
        case .serverError: .serverError
        case .auth: .auth
        case .modelMissing: .modelMissing
        case .contextTooLong: .contextTooLong
        case .contentFiltered: .contentFiltered
        case .badRequest: .badRequest
        }
    }

    private func readError(_ exchange: UnsafeMutablePointer<Exchange>, _ body: UnsafeRawBufferPointer) -> ProviderError {
        translator.box.arena.reset()
        let back = exchange.pointee.translation?._withUnsafeGuaranteedRef { $0.back } ?? presentUpstream(exchange).pointee.dialect
        let isJSON = body.count > 0 && translator.tape.read(body) == nil
        let read = { (kind: JSONBytes) in
            back.pieces.readError(status: Int(exchange.pointee.status), isJSON ? self.translator.tape.root : JSONValue(), text: body, kind: kind, self.translator.box)
        }
        guard let translation = exchange.pointee.translation else { return read(JSONBytes()) }
        return translation._withUnsafeGuaranteedRef { translation in
            translation.errorKind.withUnsafeBytes { read(JSONBytes($0)) }
        }
    }

    /// What the client gets of a provider's error. The bytes lie in scratch memory.
    struct RenderedError {
        var status: UInt16
        var body: UnsafeRawBufferPointer
        var retryAfter: UInt64
        /// Not JSON: it came so, and is not the client's dialect's.
        var isText = false
    }

    /// An upstream's error as the answer, in the client's dialect.
    func answerProviderError(_ index: UInt32, _ error: ProviderError, _ body: UnsafeRawBufferPointer) {
        let exchange = exchanges.base + Int(index)
        guard let rendered = render(exchange, error, body), let base = rendered.body.baseAddress else { return answerError(index, .upstreamStatus, detail: "") }
        exchange.pointee.status = rendered.status
        answerOwn(
            index, status: rendered.status, body: Bytes(base: base.assumingMemoryBound(to: UInt8.self), count: rendered.body.count), retryAfter: rendered.retryAfter,
            type: rendered.isText ? "text/plain; charset=utf-8" : "application/json")
    }

    /// `body`: the upstream's own words, which go through as they are where the client understands them and nothing has to be taken out.
    private func render(_ exchange: UnsafeMutablePointer<Exchange>, _ error: ProviderError, _ body: UnsafeRawBufferPointer) -> RenderedError? {
        var error = error
        let key = presentKey(exchange)
        error.message = Redaction.clean(error.message, &translator.box.arena, key: key)
        error.native = Redaction.clean(error.native, &translator.box.arena, key: key)
        let front = exchange.pointee.surface.errorDialect
        let back = exchange.pointee.translation?._withUnsafeGuaranteedRef { $0.back } ?? presentUpstream(exchange).pointee.dialect
        let (retryHead, status) = (exchange.pointee.translation?._withUnsafeGuaranteedRef { $0.retryAfter } ?? 0, Int(exchange.pointee.status))
        let retryAfter = retryHead > 0 ? retryHead : UInt64(max(0, min(86400, error.retryAfterSeconds.rounded(.up))))
        let clean = Redaction.clean(JSONBytes(body), &translator.box.arena, key: key)
        // The OpenAI family shares its error form, whichever of its endpoints, and so does Ollama's.
        let isSame = front == back || (front == .ollama && back == .ollamaGenerate) || ((front == .chat || front == .completions || front == .responses) && (back == .chat || back == .completions || back == .responses))
        if isSame, body.count > 0, isWellFormed(body, front) || translator.tape.read(body) != nil, let base = clean.base {
            return RenderedError(status: UInt16(clamping: status), body: UnsafeRawBufferPointer(start: base, count: clean.count), retryAfter: retryAfter, isText: !isJSONText(body))
        }
        translator.out.reset()
        var answered = withRequestID(exchange) { front.pieces.writeError(error, requestID: $0, into: &translator.out) }
        if isSame { answered = status }
        let written = translator.out.bytes
        guard written.count > 0 else { return nil }
        saysJSON(exchange)
        return RenderedError(status: UInt16(clamping: answered), body: written, retryAfter: retryAfter)
    }

    /// The body is not the upstream's any more, so neither is its type.
    private func saysJSON(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let lines = exchange.pointee.savedFields else { return }
        let name: StaticString = "content-type:"
        var from = 0
        var to = 0
        while from < exchange.pointee.savedFieldsLength {
            var end = from
            while lines[end] != 10 { end += 1 }
            end += 1
            if end - from < name.utf8CodeUnitCount || !Self.sameName(lines + from, name.utf8Start, name.utf8CodeUnitCount) {
                memmove(lines + to, lines + from, end - from)
                to += end - from
            }
            from = end
        }
        var writer = TextWriter(lines + to)
        writer.put("content-type: application/json\r\n")
        exchange.pointee.savedFieldsLength = to + writer.count
    }

    private func isJSONText(_ body: UnsafeRawBufferPointer) -> Bool { translator.tape.read(body) == nil }

    /// Is this an error as the dialect's SDKs read it? OpenAI: an object under `error` with a message that is text.
    private func isWellFormed(_ body: UnsafeRawBufferPointer, _ front: DialectID) -> Bool {
        guard translator.tape.read(body) == nil else { return false }
        let error = translator.tape.root["error"]
        switch front {
        case .ollama, .ollamaGenerate: return error.isString
        case .cohere: return translator.tape.root["message"].isString
        default: return error.isObject && error["message"].isString
        }
    }

    func withRequestID<R>(_ exchange: UnsafeMutablePointer<Exchange>, _ body: (JSONBytes) -> R) -> R {
        let length = Int(exchange.pointee.requestIDLength)
        return withUnsafeBytes(of: exchange.pointee.requestID) { body(JSONBytes(UnsafeRawBufferPointer(rebasing: $0[..<length]))) }
    }
}
