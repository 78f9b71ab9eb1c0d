// How an attempt ended, and what follows from that for everybody else. `closeAttempt` is the one place where it is written down and where all that the attempt
// held is given back: the breaker's leave, the place among concurrent requests, the key's failure or success, the endpoint's, the latency. It does so once, however
// often and from wherever it is called. What class a failure is says first its kind, then the answer's status, then the words of the provider's
// error, which are collected for that.
import CClaw
import ClawDialect
import ClawPolicy
import ClawWire
import Glibc

/// A provider's error, ready to be the answer, kept while somebody else is asked.
struct KeptError {
    var status: UInt16
    var errorClass: ErrorClass
    /// Field lines that it came with; owned.
    var fields: UnsafeMutablePointer<UInt8>?
    var fieldsLength: Int
    /// Owned.
    var body: UnsafeMutablePointer<UInt8>
    var bodyLength: Int
    var retryAfter: UInt64
    var isText: Bool
}

extension Worker {
    // MARK: the end of an attempt

    /// Writes down how the present attempt ended and gives back what it held. `isOurs`: the failure says nothing of the upstream.
    func closeAttempt(_ exchange: UnsafeMutablePointer<Exchange>, _ errorClass: ErrorClass, status: UInt16, isOurs: Bool = false) {
        let at = exchange.pointee.attemptCount - 1
        guard at >= 0 else { return }
        let attempt = exchange.pointee.attempts.place(at)
        guard attempt.pointee.isOpen else { return }
        attempt.pointee.isOpen = false
        attempt.pointee.errorClass = errorClass
        if status != 0 { attempt.pointee.status = status }
        let spent = now &- exchange.pointee.attemptStartedAt
        attempt.pointee.milliseconds = UInt32(truncatingIfNeeded: spent / 1_000_000)
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(attempt.pointee.upstream)]
        let candidate = exchange.pointee.candidates.place(Int(attempt.pointee.candidate))
        let modelLabel = candidate.pointee.hasModel ? candidate.pointee.model.label : 0
        metrics.add(.upstreamRequests, upstream.pointee.label, modelLabel, attempt.pointee.status)
        metrics.observe(.upstreamDuration, upstream.pointee.label, nanoseconds: spent)
        if errorClass != .none, errorClass != .hedgeLost { metrics.add(.upstreamErrors, upstream.pointee.label, modelLabel, UInt16(errorClass.rawValue)) }
        settleBreaker(exchange, attempt, upstream, errorClass, isOurs: isOurs)
        // Nothing is held against most keys, and then a success changes nothing.
        if attempt.pointee.key >= 0, errorClass != .none || shared.outlook.isBlemished(upstream.pointee.keys[Int(attempt.pointee.key)].pointee.place) {
            settleKey(exchange, attempt.pointee, upstream, candidate.pointee, errorClass, isOurs: isOurs)
        }
        if upstream.pointee.endpoints.count > 1, attempt.pointee.endpoint >= 0, !isOurs, errorClass != .clientGone { settleEndpoint(exchange, attempt.pointee, upstream, errorClass) }
        if errorClass == .none, upstream.pointee.hasProbe, attempt.pointee.endpoint >= 0, !isOurs { shared.outlook.endpointAnswered(Int(attempt.pointee.endpoint), now: now) }
        // A tunnel goes on holding its place.
        if attempt.pointee.holdsPlace, attempt.pointee.status != 101 { givePlaceBack(exchange, at, upstream, isOurs ? .clientGone : errorClass) }
        guard errorClass == .none, exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.needsLatency, exchange.pointee.firstByteAt != 0 else { return }
        let first = exchange.pointee.firstContentAt != 0 ? exchange.pointee.firstContentAt : exchange.pointee.firstByteAt
        shared.outlook.latency(Int(candidate.pointee.target)).sample(first &- min(first, exchange.pointee.attemptStartedAt), now: now)
    }

    private func givePlaceBack(_ exchange: UnsafeMutablePointer<Exchange>, _ at: Int, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ errorClass: ErrorClass) {
        exchange.pointee.attempts[at].holdsPlace = false
        let outcome: ConcurrencyLimit.Outcome = switch errorClass {
        case .none: .good
        case .rateLimited, .overloaded, .timeout: .tooMuch
        default: .neutral
        }
        leavePlace(upstream, outcome, began: exchange.pointee.attemptStartedAt)
    }

    /// The exchange ends: nothing that any of its attempts took may stay taken. (What is left here belongs to a tunnel, or to an answer of ours that cut an
    /// attempt short.)
    func giveEverythingBack(_ exchange: UnsafeMutablePointer<Exchange>) {
        dropKept(exchange)
        let at = exchange.pointee.attemptCount - 1
        guard at >= 0 else { return }
        if exchange.pointee.attempts[at].isOpen { closeAttempt(exchange, .none, status: 0, isOurs: true) }
        guard exchange.pointee.attempts[at].holdsPlace else { return }
        givePlaceBack(exchange, at, exchange.pointee.plan.pointee.upstreams[Int(exchange.pointee.attempts[at].upstream)], .clientGone)
    }

    // MARK: keys

    private func settleKey(
        _ exchange: UnsafeMutablePointer<Exchange>, _ attempt: Attempt, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ candidate: Candidate, _ errorClass: ErrorClass, isOurs: Bool
    ) {
        let key = upstream.pointee.keys[Int(attempt.key)]
        let kind: CooldownClass
        switch errorClass {
        case .none:
            return shared.outlook.cooldowns(key.pointee.place).succeeded(model: modelHash(exchange, candidate), now: now, isProbe: attempt.isKeyProbe)
        case .rateLimited: kind = .rateLimited
        // A plain backend's 403 may be of what was asked for.
        case .auth where !isOurs && upstream.pointee.isModel: kind = .auth
        default: return
        }
        metrics.add(.keyFailures, upstream.pointee.label, key.pointee.label)
        let told = kind == .rateLimited && exchange.pointee.toldWait > 0 ? exchange.pointee.toldWait : nil
        let cooled = shared.outlook.cooldowns(key.pointee.place).cool(
            model: modelHash(exchange, candidate), class: kind, told: told, now: now, upstream.pointee.cooldown, random: nextRandom())
        guard cooled else { return }
        metrics.add(.keyCooldowns, upstream.pointee.label, key.pointee.label)
        noteKey(kind == .auth ? .keyRefused : .keyCooled, upstream, key, candidate, exchange)
    }

    // MARK: endpoints

    private func settleEndpoint(_ exchange: UnsafeMutablePointer<Exchange>, _ attempt: Attempt, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ errorClass: ErrorClass) {
        let outlier = shared.outlook.outlier(Int(attempt.endpoint))
        let settings = upstream.pointee.outlier
        if !errorClass.isBreakers { noteReturn(exchange, outlier, Int(attempt.endpoint), upstream) }
        guard outlier.record(success: !errorClass.isBreakers, now: now, settings) else { return }
        var ejected = 0
        let endpoints = upstream.pointee.endpoints
        for at in 0..<endpoints.count where !shared.outlook.outlier(endpoints[at].pointee.place).isUsable(now: now) { ejected += 1 }
        guard Outlier.mayEject(total: endpoints.count, ejected: ejected, settings), outlier.eject(now: now, settings) else { return }
        noteEndpoint(.endpointEjected, upstream, exchange.pointee.endpoint)
    }

    /// The first good answer after an ejection is over.
    private func noteReturn(_ exchange: UnsafeMutablePointer<Exchange>, _ outlier: Outlier, _ place: Int, _ upstream: UnsafeMutablePointer<PlanUpstream>) {
        let until = outlier.ejectedUntil
        let told = shared.outlook.toldReturn(place)
        guard until != 0, until <= now, told[0].load(ordering: .relaxed) != until else { return }
        if told[0].exchange(until, ordering: .acquiringAndReleasing) != until { noteEndpoint(.endpointReturned, upstream, exchange.pointee.endpoint) }
    }

    // MARK: classes

    /// Is this class known well enough from the status alone? A 404 may be of anything, and a plain backend's 401 is between it and the client.
    private func isPlain(_ exchange: UnsafeMutablePointer<Exchange>, _ errorClass: ErrorClass) -> Bool {
        switch errorClass {
        case .rateLimited, .overloaded, .serverError: true
        case .auth: presentUpstream(exchange).pointee.isModel
        default: false
        }
    }

    /// An answer whose status alone says what it is: something else is tried, or (false) it is the client's.
    func movesOn(_ index: UInt32, status: UInt16, isWhole: Bool, keepAlive: Bool) -> Bool {
        let exchange = exchanges.base + Int(index)
        let errorClass = Self.errorClass(of: status)
        guard isPlain(exchange, errorClass), canMoveOn(exchange, after: .upstreamStatus), let next = nextTry(exchange, after: errorClass, .upstreamStatus) else { return false }
        if isWhole, keepAlive, exchange.pointee.link != noIndex, exchange.pointee.upstreamStream == 0 {
            let link = exchange.pointee.link
            exchange.pointee.link = noIndex
            releaseLink(link, reusable: true)
        }
        closeAttempt(exchange, errorClass, status: status)
        dropUpstream(index)
        exchange.pointee.failure = .upstreamStatus
        go(index, next, after: errorClass)
        return true
    }

    /// The words of an error that could be moved on from have not come in time.
    func wordsAreLate(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if movesOn(index, status: exchange.pointee.status, isWhole: false, keepAlive: false) { return }
        exchange.pointee.phase = .idle
        setTimer(index, exchange.pointee.phaseDeadline &+ presentUpstream(exchange).pointee.idleStreamTimeout)
    }

    /// What the answer's head says of its key's limits: of an error, how long to leave the key alone; of any answer, what is left, where there is a choice of keys.
    @inline(__always)
    func takeSignals(_ exchange: UnsafeMutablePointer<Exchange>, _ base: UnsafePointer<UInt8>, status: UInt16) {
        let attempt = exchange.pointee.attempts.place(exchange.pointee.attemptCount - 1)
        if status >= 400 || (attempt.pointee.key >= 0 && exchange.pointee.plan.pointee.upstreams[Int(attempt.pointee.upstream)].pointee.keys.count > 1) {
            readSignals(exchange, base, attempt.pointee, status: status)
        }
    }

    private func readSignals(_ exchange: UnsafeMutablePointer<Exchange>, _ base: UnsafePointer<UInt8>, _ attempt: Attempt, status: UInt16) {
        let head = responseHead
        exchange.pointee.toldWait = 0
        var at = 0
        while at < head.fieldCount, !RateSignals.concerns(UnsafeRawBufferPointer(start: base + Int(head.fields[at].nameOffset), count: Int(head.fields[at].nameLength))) { at += 1 }
        if at == head.fieldCount { return }
        var signals = RateSignals()
        let wall = realtime(now)
        while at < head.fieldCount {
            let field = head.fields[at]
            signals.field(
                name: UnsafeRawBufferPointer(start: base + Int(field.nameOffset), count: Int(field.nameLength)),
                value: UnsafeRawBufferPointer(start: base + Int(field.valueOffset), count: Int(field.valueLength)), wall: wall)
            at += 1
        }
        if status >= 400 { exchange.pointee.toldWait = signals.told ?? 0 }
        guard attempt.key >= 0, signals.hasFigures else { return }
        let upstream = presentUpstream(exchange)
        let candidate = exchange.pointee.candidates[Int(attempt.candidate)]
        shared.outlook.quota(upstream.pointee.keys[Int(attempt.key)].pointee.place).learn(signals, model: modelHash(exchange, candidate), now: now)
    }

    // MARK: errors inside a stream

    /// An error event in front of the commit: is something else tried? Then `failedInBand` follows at once.
    func decideInBand(_ exchange: UnsafeMutablePointer<Exchange>, _ data: UnsafeRawBufferPointer?) -> Bool {
        if let data {
            translator.box.arena.reset()
            let isJSON = translator.tape.read(data) == nil
            let error = presentUpstream(exchange).pointee.dialect.pieces.readError(
                status: 500, isJSON ? translator.tape.root : JSONValue(), text: data, kind: JSONBytes(), translator.box)
            exchange.pointee.inBandClass = Self.errorClass(error.problem)
        } else {
            exchange.pointee.inBandClass = translator.streamError.map { Self.errorClass($0.problem) } ?? .serverError
        }
        decidedTry = nextTry(exchange, after: exchange.pointee.inBandClass, .upstreamInBand)
        return decidedTry != nil
    }

    func failedInBand(_ index: UInt32) {
        guard let next = decidedTry else { return attemptFailed(index, .upstreamInBand) }
        decidedTry = nil
        failedInBand(index, next, exchanges.base[Int(index)].inBandClass)
    }

    func failedInBand(_ index: UInt32, _ next: NextTry, _ errorClass: ErrorClass) {
        let exchange = exchanges.base + Int(index)
        closeAttempt(exchange, errorClass, status: 0)
        dropUpstream(index)
        exchange.pointee.failure = .upstreamInBand
        go(index, next, after: errorClass)
    }

    // MARK: kept errors

    func dropKept(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let kept = exchange.pointee.kept else { return }
        kept.pointee.fields?.deallocate()
        kept.pointee.body.deallocate()
        kept.deallocate()
        exchange.pointee.kept = nil
    }

    /// Keeps a provider's error that would be the answer if nobody else could be asked. The saved field lines go with it.
    func keep(_ exchange: UnsafeMutablePointer<Exchange>, _ rendered: RenderedError, _ errorClass: ErrorClass) {
        dropKept(exchange)
        let body = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, rendered.body.count))
        if let from = rendered.body.baseAddress { memcpy(body, from, rendered.body.count) }
        let kept = UnsafeMutablePointer<KeptError>.allocate(capacity: 1)
        kept.initialize(to: KeptError(
            status: rendered.status, errorClass: errorClass, fields: exchange.pointee.savedFields, fieldsLength: exchange.pointee.savedFieldsLength, body: body,
            bodyLength: rendered.body.count, retryAfter: rendered.retryAfter, isText: rendered.isText))
        exchange.pointee.savedFields = nil
        exchange.pointee.savedFieldsLength = 0
        exchange.pointee.kept = kept
    }

    /// The last attempt's upstream has the last word.
    func answerKept(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard let kept = exchange.pointee.kept else { return answerError(index, .upstreamsExhausted, detail: "") }
        dropUpstream(index)
        dropSavedFields(exchange)
        exchange.pointee.savedFields = kept.pointee.fields
        exchange.pointee.savedFieldsLength = kept.pointee.fieldsLength
        kept.pointee.fields = nil
        exchange.pointee.status = kept.pointee.status
        exchange.pointee.failure = nil
        let body = Bytes(base: UnsafePointer(kept.pointee.body), count: kept.pointee.bodyLength)
        answerOwn(index, status: kept.pointee.status, body: body, retryAfter: kept.pointee.retryAfter, type: kept.pointee.isText ? "text/plain; charset=utf-8" : "application/json")
    }
}
