// Hedges: when a request to a model has nothing of an answer after a while (`hedge.after`), a second attempt begins beside the first, at the next candidate or at
// another key or endpoint of the same one. Whichever of the two has something for the client first, an answer's head or a stream's first token, is the request's
// exchange from then on; the other is cancelled in the same turn and its attempt logged with class `hedge_lost`. What it used is unknown, and not accounted.
//
// An error is no answer to be first with: when the second attempt fails, the first goes on as if nothing had been; when the first fails, the second takes its place,
// and no third is made for it. There is one hedge a request at most, it is one of the request's attempts, and how many there are of all requests of a route is
// bounded by `hedge.max_ratio`.
import CClaw
import ClawConfig
import ClawDialect
import ClawPolicy
import ClawWire
import Glibc

extension Worker {
    /// When an attempt of a request begins: the time of its second one.
    @inline(__always)
    func armHedge(_ exchange: UnsafeMutablePointer<Exchange>) {
        let route = exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)]
        if let settings = route.pointee.hedge { armHedge(exchange, route, settings) }
    }

    private func armHedge(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>, _ settings: HedgeSettings) {
        exchange.pointee.hedgeAt = 0
        guard !exchange.pointee.isDetached, !exchange.pointee.isCommitted, exchange.pointee.surface.isModel, exchange.pointee.method == .post, exchange.pointee.tunnel == nil
        else { return }
        // One request of the budget's measure, however often it is tried.
        if exchange.pointee.attemptCount == 1 { shared.outlook.hedgeBudget(route.pointee.place).request(now: now) }
        if exchange.pointee.hasHedged { return }
        exchange.pointee.hedgeAt = hedgeDelay(exchange, settings).map { now &+ $0 } ?? 0
    }

    /// How long a first token is waited for; nil: nobody knows yet how long it usually takes.
    private func hedgeDelay(_ exchange: UnsafeMutablePointer<Exchange>, _ settings: HedgeSettings) -> UInt64? {
        let share: Double
        switch settings.after {
        case .nanoseconds(let delay): return delay
        case .p50: share = 0.5
        case .p90: share = 0.9
        case .p95: share = 0.95
        case .p99: share = 0.99
        }
        let target = exchange.pointee.candidates[max(0, Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].candidate))].target
        return shared.outlook.latency(Int(target)).percentile(share, now: now)
    }

    /// The first attempt is late.
    func hedge(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        exchange.pointee.hedgeAt = 0
        let route = exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)]
        guard let settings = route.pointee.hedge, isOpen(exchange), exchange.pointee.attempts[exchange.pointee.attemptCount - 1].isOpen,
            exchange.pointee.partner == noIndex
        else { return }
        guard let next = hedgeCandidate(exchange), exchange.pointee.attemptCount < exchange.pointee.attemptsMax, canBeTwinned(exchange),
            shared.outlook.hedgeBudget(route.pointee.place).mayHedge(now: now, settings), let at = makeTwin(of: index, .hedge, on: exchange.pointee.connection)
        else { return metrics.add(.hedges, route.pointee.label, HedgeResult.refused.rawValue) }
        exchange.pointee.hasHedged = true
        let twin = exchanges.base + Int(at)
        twin.pointee.hasHedged = true
        // What it writes is for this client, whether or not it will be sent.
        twin.pointee.versionMinor = exchange.pointee.versionMinor
        twin.pointee.stream = exchange.pointee.stream
        twin.pointee.startedAt = exchange.pointee.startedAt
        twin.pointee.sentAt = exchange.pointee.sentAt
        for place in 0..<exchange.pointee.candidateCount { twin.pointee.candidates[place] = exchange.pointee.candidates[place] }
        twin.pointee.candidateCount = exchange.pointee.candidateCount
        // Of its own accord it is sent to nobody else.
        twin.pointee.passed = .max
        copyAttempts(of: exchange, to: twin)
        twin.pointee.attemptCount = exchange.pointee.attemptCount
        twin.pointee.attemptsMax = exchange.pointee.attemptCount + 1
        twin.pointee.retried = exchange.pointee.retried
        twin.pointee.why = .hedge
        twin.pointee.partner = index
        exchange.pointee.partner = at
        ask(at, next)
    }

    /// Who is asked a second time: the next of the strategy's candidates; the same one where it has another key or endpoint.
    private func hedgeCandidate(_ exchange: UnsafeMutablePointer<Exchange>) -> Int? {
        for at in 0..<exchange.pointee.candidateCount where exchange.pointee.passed & (1 << UInt8(at)) == 0 && !exchange.pointee.candidates[at].isFallback { return at }
        let present = max(0, Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].candidate))
        return hasFreshEndpoint(exchange, present) || hasFreshKey(exchange, present) ? present : nil
    }

    /// What was taken for them is the first one's to give back.
    private func copyAttempts(of exchange: UnsafeMutablePointer<Exchange>, to other: UnsafeMutablePointer<Exchange>) {
        for place in 0..<exchange.pointee.attemptCount {
            other.pointee.attempts[place] = exchange.pointee.attempts[place]
            other.pointee.attempts[place].holdsPlace = false
            other.pointee.attempts[place].breaker = .none
            other.pointee.attempts[place].isOpen = false
        }
    }

    /// Nothing of an answer is there yet.
    private func isOpen(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        !exchange.pointee.isDetached && !exchange.pointee.isCommitted && !exchange.pointee.clientGone && exchange.pointee.attemptCount > 0
            && (exchange.pointee.state == .attempting || (exchange.pointee.state == .relaying && (exchange.pointee.isHeld || exchange.pointee.isCollecting)))
    }

    // MARK: who is first

    /// This exchange has something for the client, and the other of the two has not.
    func isFirst(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.isDetached else { return cancelHedge(index) }
        let other = exchange.pointee.partner
        let first = exchanges.base + Int(other)
        // The first one's answer is being made already: an error of its own, or the client is gone.
        guard isOpen(first), !first.pointee.isEnding else { return cancelHedge(other) }
        noteLate(first)
        closeAttempt(first, .hedgeLost, status: 0, isOurs: true)
        takeOver(index, from: other)
    }

    /// It took at least so long to its first token: without that only what was fast would ever be learnt.
    private func noteLate(_ first: UnsafeMutablePointer<Exchange>) {
        let attempt = first.pointee.attempts[first.pointee.attemptCount - 1]
        guard attempt.isOpen, attempt.candidate >= 0 else { return }
        shared.outlook.latency(Int(first.pointee.candidates[Int(attempt.candidate)].target)).sample(now &- min(now, first.pointee.attemptStartedAt), now: now)
    }

    /// An answer of the gateway's own making goes out; false when it is none to be first with.
    func answersFirst(_ index: UInt32, _ status: UInt16) -> Bool {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isDetached, status >= 400 {
            detachedFailed(index, exchange.pointee.failure ?? .upstreamStatus)
            return false
        }
        // An answer of the first one's ends the second when it has gone (`finish`): what it is made of lies in scratch memory now, which others may want.
        if exchange.pointee.isDetached { isFirst(index) }
        return true
    }

    /// May the other of the two answer alone, after this one has failed so?
    func canHandOver(_ exchange: UnsafeMutablePointer<Exchange>, after kind: FailureKind) -> Bool {
        guard !exchange.pointee.isCommitted, kind.movesOn else { return false }
        if exchange.pointee.isDetached { return true }
        let second = exchanges.base + Int(exchange.pointee.partner)
        return second.pointee.state != .draining && !second.pointee.isEnding
    }

    /// What follows a failure while two attempts run: nothing new, as the other is under way. nil: the failure is the client's answer. `isFinal`: the class's ladder
    /// has no steps on this route.
    func otherTwin(_ exchange: UnsafeMutablePointer<Exchange>, after kind: FailureKind, isFinal: Bool) -> NextTry? {
        guard exchange.pointee.isDetached || (!isFinal && canHandOver(exchange, after: kind)) else { return nil }
        var other = NextTry(candidate: 0, why: .hedge)
        other.isTwin = true
        return other
    }

    /// One of the two has failed, its account is written, its upstream let go.
    func twinFailed(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isDetached { return detachedFailed(index, exchange.pointee.failure ?? .upstreamReset) }
        guard exchange.pointee.partner != noIndex else { return answerError(index, exchange.pointee.failure ?? .upstreamReset, detail: "") }
        takeOver(exchange.pointee.partner, from: index)
    }

    /// The client becomes this exchange's. The other ends.
    private func takeOver(_ index: UInt32, from other: UInt32) {
        let exchange = exchanges.base + Int(index)
        let first = exchanges.base + Int(other)
        exchange.pointee.partner = noIndex
        first.pointee.partner = noIndex
        exchange.pointee.isDetached = false
        exchange.pointee.twin = .none
        first.pointee.isDetached = true
        first.pointee.twin = .loser
        if connections.base[Int(exchange.pointee.connection)].state == .exchanging {
            connections.base[Int(exchange.pointee.connection)].exchange = index
        } else {
            replaceStream(index, of: other)
        }
        exchange.pointee.endsWithHead = first.pointee.endsWithHead
        exchange.pointee.bytesIn = first.pointee.bytesIn
        exchange.pointee.overhead = first.pointee.overhead
        exchange.pointee.attemptsMax = first.pointee.attemptsMax
        exchange.pointee.retried |= first.pointee.retried
        exchange.pointee.failure = nil
        exchange.pointee.passed = first.pointee.passed | passed(by: exchange)
        exchange.pointee.movedBy = first.pointee.movedBy
        copyAttempts(of: first, to: exchange)
        exchange.pointee.shadow = first.pointee.shadow
        first.pointee.shadow = nil
        if first.pointee.probeAt != 0 {
            exchange.pointee.probeAt = first.pointee.probeAt
            setTimer(index, exchange.pointee.phaseDeadline == 0 ? .max : exchange.pointee.phaseDeadline)
        }
        metrics.add(.hedges, exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.label, HedgeResult.won.rawValue)
        end(other)
    }

    /// The first has its answer, or ends otherwise: the second is not wanted any more.
    func cancelHedge(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        let second = exchange.pointee.partner
        guard second != noIndex else { return }
        let twin = exchanges.base + Int(second)
        if twin.pointee.attemptCount > exchange.pointee.attemptCount { closeAttempt(twin, .hedgeLost, status: 0, isOurs: true) }
        unite(exchange, twin)
        metrics.add(.hedges, exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.label, HedgeResult.lost.rawValue)
        twin.pointee.twin = .loser
        end(second)
    }

    /// The second has failed before either had an answer.
    func hedgeFailed(_ index: UInt32) {
        let twin = exchanges.base + Int(index)
        guard twin.pointee.partner != noIndex else { return }
        let exchange = exchanges.base + Int(twin.pointee.partner)
        unite(exchange, twin)
        metrics.add(.hedges, exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.label, HedgeResult.failed.rawValue)
    }

    /// The candidate that a hedge was sent to.
    private func passed(by twin: UnsafeMutablePointer<Exchange>) -> UInt8 {
        let candidate = twin.pointee.attemptCount > 0 ? Int(twin.pointee.attempts[twin.pointee.attemptCount - 1].candidate) : -1
        return candidate >= 0 ? 1 << UInt8(candidate) : 0
    }

    /// The second attempt's account becomes part of the request's. The present attempt stays the last of the list.
    private func unite(_ exchange: UnsafeMutablePointer<Exchange>, _ twin: UnsafeMutablePointer<Exchange>) {
        exchange.pointee.partner = noIndex
        twin.pointee.partner = noIndex
        let count = exchange.pointee.attemptCount
        guard twin.pointee.attemptCount > count, count > 0, count < Exchange.attemptsMax else { return }
        exchange.pointee.passed |= passed(by: twin)
        exchange.pointee.attempts[count] = exchange.pointee.attempts[count - 1]
        exchange.pointee.attempts[count - 1] = twin.pointee.attempts[count]
        exchange.pointee.attempts[count - 1].holdsPlace = false
        exchange.pointee.attempts[count - 1].breaker = .none
        exchange.pointee.attempts[count - 1].isOpen = false
        exchange.pointee.attemptCount = count + 1
        exchange.pointee.hedgePlace = Int8(count - 1)
    }

    /// The place in the list of the attempt that began as number `at`.
    func attemptPlace(_ exchange: UnsafeMutablePointer<Exchange>, _ at: Int) -> Int {
        let hedge = Int(exchange.pointee.hedgePlace)
        return hedge < 0 ? at : at == hedge ? hedge + 1 : at == hedge + 1 ? hedge : at
    }

    /// A detached exchange that nobody wants any more; its upstream is cancelled before the turn ends.
    private func end(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        // Whose turn it is in a queue is told by the connection, which may be somebody else's when the turn ends.
        leaveQueue(index)
        exchange.pointee.state = .draining
        exchange.pointee.phase = .none
        exchange.pointee.hedgeAt = 0
        timers.clear(exchangeTimers + Int(index))
        markEnding(index)
    }
}
