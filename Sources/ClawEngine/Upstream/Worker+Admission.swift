// Whether an upstream takes a request now. In this order: a usable key; a place among the requests it may have at a time (or the queue for one); the leave of
// its breaker. What is taken here stands in the attempt and is given back in `closeAttempt`, once. A refusal says why and until when, for the answer
// that a client gets when nobody admits its request.
import CClaw
import ClawDialect
import ClawPolicy
import ClawWire

/// Why candidates could not be asked.
struct Refusals: OptionSet {
    let rawValue: UInt8
    static let breaker = Refusals(rawValue: 1), cooling = Refusals(rawValue: 2), keys = Refusals(rawValue: 4), queue = Refusals(rawValue: 8)

    var kind: FailureKind {
        if self == .cooling { return .upstreamsCooling }
        return self == .queue ? .upstreamPending : .upstreamsExhausted
    }

    var reason: StaticString {
        if contains(.breaker) { return "the breakers of its upstreams are open after failures (upstreams.*.breaker)" }
        if contains(.keys) { return "its upstreams refused their keys (upstreams.*.api_keys), or no key is for this model" }
        if contains(.cooling) { return "all keys of its upstreams are cooling down after rate limits" }
        return ""
    }
}

enum Admission { case admitted, waits, refused }

extension Worker {
    /// Asks the upstream of the present candidate, and begins the attempt. `holdsPlace`: a place was taken for this request already. `probing`: the cooling
    /// key that is to be tried all the same.
    func admit(_ index: UInt32, holdsPlace: Bool, probing: Int? = nil) -> Admission {
        let exchange = exchanges.base + Int(index)
        let at = exchange.pointee.candidateNext - 1
        let candidate = exchange.pointee.candidates.place(at)
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(candidate.pointee.upstream)]
        var attempt = Attempt()
        attempt.upstream = candidate.pointee.upstream
        attempt.candidate = Int8(truncatingIfNeeded: at)
        if candidate.pointee.hasModel { attempt.model = candidate.pointee.model.id }
        attempt.why = exchange.pointee.why
        attempt.holdsPlace = holdsPlace
        if let probing {
            attempt.key = Int32(probing)
            attempt.isKeyProbe = true
        } else if upstream.pointee.keys.count == 1, exchange.pointee.attemptCount == 0, upstream.pointee.keys[0].pointee.models.count == 0,
            !shared.outlook.isCooling(upstream.pointee.keys[0].pointee.place, now: now)
        {
            // The usual case: one key that nothing speaks against.
            attempt.key = 0
        } else if upstream.pointee.keys.count > 0 {
            guard let key = chooseKey(exchange, upstream, candidate.pointee) else {
                if holdsPlace { leavePlace(upstream, .neutral, began: now) }
                return .refused
            }
            attempt.key = Int32(key)
        }
        if upstream.pointee.countsRequests, !holdsPlace {
            switch takePlace(index, upstream) {
            case .admitted: attempt.holdsPlace = true
            // A probe does not wait: by the time it had a place the key would be usable, or another probe under way.
            case .waits where probing != nil:
                leaveQueue(index)
                return .refused
            case .waits: return .waits
            case .refused: return .refused
            }
        }
        if upstream.pointee.breaker.isEnabled, shared.outlook.breaker(upstream.pointee.place, trafficClass(exchange, upstream)).isClosed {
            attempt.breaker = .pass
        } else if !passesBreaker(exchange, upstream, &attempt) {
            if attempt.holdsPlace { leavePlace(upstream, .neutral, began: now) }
            return .refused
        }
        open(index, attempt)
        return .admitted
    }

    /// This candidate cannot be asked, and why.
    func refuse(_ exchange: UnsafeMutablePointer<Exchange>, _ why: Refusals, until: UInt64) {
        exchange.pointee.refusals.insert(why)
        exchange.pointee.refusedUntil = min(exchange.pointee.refusedUntil, until)
    }

    // MARK: the breaker

    @inline(__always)
    func trafficClass(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>) -> TrafficClass {
        exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.trafficClass ?? (upstream.pointee.isModel ? .model : .http)
    }

    private func passesBreaker(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ attempt: inout Attempt) -> Bool {
        guard upstream.pointee.breaker.isEnabled else { return true }
        let traffic = trafficClass(exchange, upstream)
        switch shared.outlook.breaker(upstream.pointee.place, traffic).admit(now: now, upstream.pointee.breaker) {
        case .pass: attempt.breaker = .pass
        case .probe(let ticket, let isFirst):
            attempt.breaker = .probe
            attempt.probeTicket = ticket
            if isFirst { noteBreaker(.breakerHalfOpen, upstream, traffic) }
        case .refused(let until):
            refuse(exchange, .breaker, until: until)
            return false
        }
        return true
    }

    /// The answer of a probe has begun: that counts already, so that a long stream does not keep its upstream half-open.
    func provesBreaker(_ exchange: UnsafeMutablePointer<Exchange>) {
        let at = exchange.pointee.attemptCount - 1
        guard at >= 0, exchange.pointee.attempts[at].breaker == .probe else { return }
        let upstream = presentUpstream(exchange)
        let traffic = trafficClass(exchange, upstream)
        let ticket = exchange.pointee.attempts[at].probeTicket
        exchange.pointee.attempts[at].breaker = .proven
        note(shared.outlook.breaker(upstream.pointee.place, traffic).record(success: true, ticket: ticket, now: now, upstream.pointee.breaker), upstream, traffic)
    }

    /// Gives back what an attempt has of its breaker, with what came of it.
    func settleBreaker(_ exchange: UnsafeMutablePointer<Exchange>, _ attempt: UnsafeMutablePointer<Attempt>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ errorClass: ErrorClass, isOurs: Bool) {
        let hold = attempt.pointee.breaker
        if hold == .none { return }
        let traffic = trafficClass(exchange, upstream)
        let breaker = shared.outlook.breaker(upstream.pointee.place, traffic)
        if isOurs || errorClass == .clientGone { return breaker.release(ticket: hold == .probe ? attempt.pointee.probeTicket : 0) }
        let isGood = !errorClass.isBreakers
        if isGood, hold == .pass { return breaker.succeeded(now: now, window: upstream.pointee.breaker.window) }
        // The good of a proven probe is counted; its later failure is one like any other.
        if hold == .proven, isGood { return }
        note(breaker.record(success: isGood, ticket: hold == .probe ? attempt.pointee.probeTicket : 0, now: now, upstream.pointee.breaker), upstream, traffic)
    }

    private func note(_ change: Breaker.Change, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ traffic: TrafficClass) {
        switch change {
        case .none: break
        case .opened: noteBreaker(.breakerOpened, upstream, traffic)
        case .reopened: noteBreaker(.breakerReopened, upstream, traffic)
        case .halfOpened: noteBreaker(.breakerHalfOpen, upstream, traffic)
        case .closed: noteBreaker(.breakerClosed, upstream, traffic)
        }
    }

    // MARK: places

    /// A place among the upstream's concurrent requests; else one in the queue for it.
    private func takePlace(_ index: UInt32, _ upstream: UnsafeMutablePointer<PlanUpstream>) -> Admission {
        let outlook = shared.outlook
        let place = upstream.pointee.place
        // Whoever waits already is first.
        if outlook.queued(place)[0].load(ordering: .relaxed) == 0, outlook.concurrency(place).tryEnter(upstream.pointee.concurrency) { return .admitted }
        let exchange = exchanges.base + Int(index)
        // No use in waiting for a place behind an open breaker.
        if case .refused(let until) = outlook.breaker(place, trafficClass(exchange, upstream)).peek(now: now, upstream.pointee.breaker) {
            refuse(exchange, .breaker, until: until)
            return .refused
        }
        if joinQueue(index, upstream) { return .waits }
        refuse(exchange, .queue, until: now &+ 1_000_000_000)
        return .refused
    }

    func leavePlace(_ upstream: UnsafeMutablePointer<PlanUpstream>, _ outcome: ConcurrencyLimit.Outcome, began: UInt64) {
        shared.outlook.concurrency(upstream.pointee.place).leave(outcome: outcome, latency: now &- began, now: now, upstream.pointee.concurrency)
        placeFreed(upstream.pointee.place)
    }

    /// The ladder's step after too much was asked of an upstream.
    func lowerConcurrency(_ exchange: UnsafeMutablePointer<Exchange>) {
        let upstream = presentUpstream(exchange)
        guard upstream.pointee.countsRequests else { return }
        shared.outlook.concurrency(upstream.pointee.place).lower(latency: now &- exchange.pointee.attemptStartedAt, now: now, upstream.pointee.concurrency)
    }
}
