// What is tried after a failed attempt. Each class of failure has a ladder: the steps that its route declares, or the standard ones. They are walked from the
// top, a step that cannot apply is passed over, and the first that yields a further try wins; `backoff` and `lower_concurrency` yield none, they go along
// with what follows. Whatever a ladder says, a try is made only while nothing went to the client, within the route's attempts, within the deadline (a
// wait that would pass it is not begun), of a request that may be repeated, and out of the route's retry budget. A ladder is walked once for each failure.
import CClaw
import ClawDialect
import ClawPolicy
import ClawWire

/// A further attempt, decided.
struct NextTry {
    /// Place in the exchange's candidates.
    var candidate: Int
    var why: AttemptReason
    /// Nanoseconds to wait in front of it.
    var delay: UInt64 = 0
    /// Another connection than one from the pool.
    var wantsFreshLink = false
    /// Candidates that may be asked where that one refuses.
    var reachable: UInt8 = 0
    /// It runs already: the other of a request and its hedge.
    var isTwin = false
}

extension Worker {
    /// Steps of a failure that is the upstream's own nature.
    private static let onward = UInt64(LadderStep.nextCandidate.rawValue + 1) | UInt64(LadderStep.fallbackModel.rawValue + 1) << 8

    /// Walks the ladder for the present attempt's failure. Takes from the retry budget what it gives.
    func nextTry(_ exchange: UnsafeMutablePointer<Exchange>, after errorClass: ErrorClass, _ kind: FailureKind) -> NextTry? {
        guard exchange.pointee.attemptCount > 0, exchange.pointee.attempts[exchange.pointee.attemptCount - 1].isOpen, !exchange.pointee.isCommitted else { return nil }
        let route = exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)]
        var steps: UInt64 = 0
        if kind.isUpstreamsOwn { steps = Self.onward } else if let ladder = errorClass.ladder { steps = route.pointee.ladders[Int(ladder.rawValue)] }
        if exchange.pointee.partner != noIndex, let other = otherTwin(exchange, after: kind, isFinal: steps == 0) { return other }
        if steps == 0 || !canMoveOn(exchange, after: kind) {
            // Even where nothing follows the upstream is to get less.
            if holds(steps, .lowerConcurrency) { lowerConcurrency(exchange) }
            return nil
        }
        let present = Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].candidate)
        var delay: UInt64 = 0
        var next: NextTry?
        while steps != 0 {
            let step = LadderStep(rawValue: UInt8(truncatingIfNeeded: steps) &- 1)
            steps >>= 8
            switch step {
            case nil: break
            case .backoff where next == nil: delay = Backoff.delay(attempt: exchange.pointee.attemptCount, settings: route.pointee.retries, random: nextRandom())
            case .lowerConcurrency where next == nil: lowerConcurrency(exchange)
            case .spareKey where next == nil:
                if hasFreshKey(exchange, present) { next = NextTry(candidate: present, why: .spareKey) }
            case .nextEndpoint where next == nil:
                if hasFreshEndpoint(exchange, present), presentKeyCount(exchange) == 0 || hasFreshKey(exchange, present) { next = NextTry(candidate: present, why: .nextEndpoint) }
            case .retry where next == nil:
                // Once more at the same place takes no attempt from a candidate that was not asked yet.
                let untried = waiting(exchange)
                if untried > 0, exchange.pointee.attemptsMax - exchange.pointee.attemptCount <= untried { break }
                if exchange.pointee.retried & (1 << UInt8(present)) == 0, errorClass != .timeout || presentKeyCount(exchange) == 0 || hasFreshKey(exchange, present) {
                    exchange.pointee.retried |= 1 << UInt8(present)
                    next = NextTry(candidate: present, why: delay > 0 ? .backoff : .retry, wantsFreshLink: true)
                }
            case .nextCandidate, .fallbackModel, .largerWindow:
                // Also behind the step that won: where its try is refused, these are asked.
                let reachable = reach(exchange, step.unsafelyUnwrapped, errorClass, from: present)
                if next == nil, reachable != 0 {
                    let at = reachable.trailingZeroBitCount
                    next = NextTry(candidate: at, why: step == .largerWindow ? .largerWindow : exchange.pointee.candidates[at].isFallback ? .fallbackModel : .nextCandidate)
                }
                next?.reachable |= reachable
            default: break
            }
        }
        guard var next else { return nil }
        next.delay = delay
        if delay > 0, now &+ delay >= exchange.pointee.totalDeadline { return nil }
        guard shared.outlook.retryBudget(route.pointee.place).mayRetry(now: now, route.pointee.retries) else {
            metrics.add(.retriesRefused, route.pointee.label)
            noteRoute(.retriesExhausted, exchange, errorClass)
            return nil
        }
        return next
    }

    private func holds(_ steps: UInt64, _ step: LadderStep) -> Bool {
        var left = steps
        while left != 0 {
            if UInt8(truncatingIfNeeded: left) == step.rawValue + 1 { return true }
            left >>= 8
        }
        return false
    }

    /// How many candidates were not looked at yet.
    private func waiting(_ exchange: UnsafeMutablePointer<Exchange>) -> Int {
        (~exchange.pointee.passed & ((1 << UInt8(exchange.pointee.candidateCount & 7)) &- 1 | (exchange.pointee.candidateCount >= 8 ? .max : 0))).nonzeroBitCount
    }

    private func presentKeyCount(_ exchange: UnsafeMutablePointer<Exchange>) -> Int { presentUpstream(exchange).pointee.keys.count }

    /// The candidates that a step leads to and that were not looked at yet, a bit each.
    private func reach(_ exchange: UnsafeMutablePointer<Exchange>, _ step: LadderStep, _ errorClass: ErrorClass, from present: Int) -> UInt8 {
        // No silent move to another model: only to what the route names as a fallback.
        let isNamedOnly = step == .fallbackModel && (errorClass == .modelMissing || errorClass == .contentFiltered)
        let window = step == .largerWindow ? contextWindow(exchange, exchange.pointee.candidates[present]) : 0
        var found: UInt8 = 0
        for at in 0..<exchange.pointee.candidateCount where exchange.pointee.passed & (1 << UInt8(at)) == 0 {
            let candidate = exchange.pointee.candidates[at]
            switch step {
            case .nextCandidate where candidate.isFallback: continue
            case .fallbackModel where isNamedOnly && !candidate.isFallback: continue
            case .largerWindow:
                let other = contextWindow(exchange, candidate)
                if other == 0 || other <= window || (window == 0 && other <= Int64(exchange.pointee.promptTokens)) { continue }
            default: break
            }
            found |= 1 << UInt8(at)
        }
        return found
    }

    /// Tokens; 0: not known.
    func contextWindow(_ exchange: UnsafeMutablePointer<Exchange>, _ candidate: Candidate) -> Int64 { facts(exchange, candidate)?.pointee.contextTokensMax ?? 0 }

    /// The attempt is closed and something else is tried.
    func go(_ index: UInt32, _ next: NextTry, after errorClass: ErrorClass) {
        let exchange = exchanges.base + Int(index)
        if next.isTwin { return twinFailed(index) }
        forgetAnswer(exchange)
        let last = exchange.pointee.attempts[exchange.pointee.attemptCount - 1]
        let plan = exchange.pointee.plan
        let route = plan.pointee.routes[Int(exchange.pointee.route)]
        metrics.add(.retries, route.pointee.label, UInt16(next.why.rawValue))
        if next.candidate != Int(last.candidate) {
            metrics.add(
                .fallbacks, route.pointee.label, plan.pointee.upstreams[Int(last.upstream)].pointee.label,
                plan.pointee.upstreams[Int(exchange.pointee.candidates[next.candidate].upstream)].pointee.label, errorClass.rawValue)
        }
        exchange.pointee.movedBy = errorClass
        exchange.pointee.why = next.why
        exchange.pointee.wantsFreshLink = next.wantsFreshLink
        exchange.pointee.reachable = next.reachable
        exchange.pointee.state = .attempting
        guard next.delay > 0 else { return ask(index, next.candidate) }
        exchange.pointee.candidateNext = next.candidate + 1
        exchange.pointee.phase = .backoff
        setTimer(index, now &+ next.delay)
    }

    /// A wait in front of an attempt is over.
    func waited(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        exchange.pointee.phaseDeadline = 0
        switch exchange.pointee.phase {
        case .backoff:
            exchange.pointee.phase = .none
            ask(index, max(0, exchange.pointee.candidateNext - 1))
        case .recovery:
            exchange.pointee.phase = .none
            leaveQueue(index)
            exchange.pointee.passed = 0
            exchange.pointee.refusals = Refusals()
            exchange.pointee.refusedUntil = .max
            exchange.pointee.why = .first
            guard let first = onward(exchange) else { return exhausted(index) }
            ask(index, first)
        default: break
        }
    }
}
