// Waiting for a place at an upstream. A freed place goes to the waiter whose turn it is, of this worker at the end of its turn; where other workers have
// waiters too every second place is left to them, and the one whose turn it is is woken. A worker with waiters also looks for itself every few milliseconds, so that no
// place can be forgotten between two workers.
import CClaw
import ClawPolicy
import ClawWire

extension Worker {
    /// How often a worker with waiters looks for places that others gave back.
    static let placePollNanoseconds: Int64 = 5_000_000

    /// Whom this request counts for in a queue: its tenant, else its client's address.
    private func lane(_ exchange: UnsafeMutablePointer<Exchange>) -> UInt64 {
        if exchange.pointee.tenant != 0 { return UInt64(exchange.pointee.tenant) }
        let peer = connections.base[Int(exchange.pointee.connection)].peer
        var h = (peer.high ^ 0x9e37_79b9_7f4a_7c15) &* 0xd6e8_feb8_6659_fd93 ^ peer.low
        h ^= h >> 32
        return h &* 0xd6e8_feb8_6659_fd93 | 1 << 63
    }

    /// Waits for a place, as long as the request's deadline lets it. False: too many wait already.
    func joinQueue(_ index: UInt32, _ upstream: UnsafeMutablePointer<PlanUpstream>) -> Bool {
        let exchange = exchanges.base + Int(index)
        let place = upstream.pointee.place
        guard countWaiter(shared.outlook.queued(place), upstream.pointee.concurrency.pendingMax) else { return false }
        let queue = placeQueue(place)
        if queue.count == 0 { _ = shared.outlook.waitingWorkers(place)[0].bitwiseOr(1 << UInt64(self.index & 63), ordering: .sequentiallyConsistent) }
        queue.append(SlotToken(.none, generation: exchange.pointee.generation, index: index), tenant: lane(exchange))
        exchange.pointee.queuedAt = Int32(place)
        exchange.pointee.state = .attempting
        exchange.pointee.phase = .place
        queuedCount += 1
        waitingCount += 1
        metrics.set(.pending, waitingCount)
        setTimer(index, exchange.pointee.totalDeadline)
        return true
    }

    /// One more waits there; false beyond the limit of all workers.
    private func countWaiter(_ word: Words, _ limit: Int) -> Bool {
        if word[0].wrappingAdd(1, ordering: .sequentiallyConsistent).newValue <= UInt64(max(0, limit)) { return true }
        word[0].wrappingSubtract(1, ordering: .sequentiallyConsistent)
        return false
    }

    private func placeQueue(_ place: Int) -> PlaceQueue {
        if let found = placeQueues.first(where: { $0.place == place }) { return found }
        let made = PlaceQueue(place: place)
        placeQueues.append(made)
        return made
    }

    /// The exchange waits no more, whatever the reason, neither for a place nor for a key.
    func leaveQueue(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.queuedAt >= 0 {
            let place = Int(exchange.pointee.queuedAt)
            placeQueue(place).remove(SlotToken(.none, generation: exchange.pointee.generation, index: index), tenant: lane(exchange))
            uncountWaiter(exchange, place)
        }
        guard exchange.pointee.recoveringAt >= 0 else { return }
        shared.outlook.recovering(Int(exchange.pointee.recoveringAt))[0].wrappingSubtract(1, ordering: .relaxed)
        exchange.pointee.recoveringAt = -1
        waitingCount -= 1
        metrics.set(.pending, waitingCount)
    }

    private func uncountWaiter(_ exchange: UnsafeMutablePointer<Exchange>, _ place: Int) {
        exchange.pointee.queuedAt = -1
        waitingCount -= 1
        metrics.set(.pending, waitingCount)
        shared.outlook.queued(place)[0].wrappingSubtract(1, ordering: .sequentiallyConsistent)
        queuedCount -= 1
        if placeQueue(place).count == 0 { _ = shared.outlook.waitingWorkers(place)[0].bitwiseAnd(~(1 << UInt64(self.index & 63)), ordering: .sequentiallyConsistent) }
    }

    /// A place was given back. Own waiters are served when this turn ends; where there are none, somebody else's are.
    func placeFreed(_ place: Int) {
        if shared.outlook.queued(place)[0].load(ordering: .sequentiallyConsistent) == 0 { return }
        if queuedCount > 0, placeQueues.contains(where: { $0.place == place && $0.count > 0 }) { return }
        wakeOther(place)
    }

    /// Wakes the next worker behind this one that has waiters there. False: there is none.
    @discardableResult
    private func wakeOther(_ place: Int) -> Bool {
        let own: UInt64 = 1 << UInt64(index & 63)
        let others = shared.outlook.waitingWorkers(place)[0].load(ordering: .sequentiallyConsistent) & ~own
        if others == 0 { return false }
        let behind = others & ~(own &* 2 &- 1)
        shared.wake((behind != 0 ? behind : others).trailingZeroBitCount)
        return true
    }

    /// Gives free places to those who wait, as long as there are both.
    func servePlaces() {
        for queue in placeQueues where queue.count > 0 { serve(queue) }
    }

    private func serve(_ queue: PlaceQueue) {
        // What this turn can hand out is bounded by what waits at its beginning.
        var turns = queue.count
        while turns > 0, queue.count > 0 {
            turns -= 1
            if queue.servedInARow > 0, wakeOther(queue.place) {
                queue.servedInARow = 0
                return
            }
            guard let token = queue.first else { return }
            let exchange = exchanges.base + Int(token.index)
            guard exchange.pointee.generation == token.generation, Int(exchange.pointee.queuedAt) == queue.place, exchange.pointee.candidateNext > 0 else {
                _ = queue.next()
                continue
            }
            let upstream = exchange.pointee.plan.pointee.upstreams[Int(exchange.pointee.candidates[exchange.pointee.candidateNext - 1].upstream)]
            guard shared.outlook.concurrency(queue.place).tryEnter(upstream.pointee.concurrency) else { return }
            _ = queue.next()
            queue.servedInARow += 1
            uncountWaiter(exchange, queue.place)
            exchange.pointee.phase = .none
            exchange.pointee.phaseDeadline = 0
            hasPlace(token.index)
            settle()
        }
    }

    /// A place was taken for this exchange, which waited for it: the rest of what it needs is asked for now.
    private func hasPlace(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        if admit(index, holdsPlace: true) != .refused { return }
        guard let next = onward(exchange) else { return exhausted(index) }
        passedOver(exchange, next)
        ask(index, next)
    }

    // MARK: waiting for a key

    /// No candidate can be asked because of rate limits, and one can again soon: the request waits for that, once. Everybody comes back at another moment.
    func waitForRecovery(_ index: UInt32) -> Bool {
        let exchange = exchanges.base + Int(index)
        let until = exchange.pointee.refusedUntil
        guard exchange.pointee.refusals == .cooling, !exchange.pointee.hasWaited, exchange.pointee.attemptCount == 0, until != .max, until > now,
            until - now <= Self.recoveryNanosecondsMax
        else { return false }
        let wait = until - now
        let jitter = nextRandom() % max(1, min(wait / 4 &+ 10_000_000, 500_000_000))
        guard until &+ jitter < exchange.pointee.totalDeadline else { return false }
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(exchange.pointee.candidates[0].upstream)]
        guard countWaiter(shared.outlook.recovering(upstream.pointee.place), upstream.pointee.concurrency.pendingMax) else { return false }
        exchange.pointee.hasWaited = true
        exchange.pointee.recoveringAt = Int32(upstream.pointee.place)
        exchange.pointee.state = .attempting
        exchange.pointee.phase = .recovery
        waitingCount += 1
        metrics.set(.pending, waitingCount)
        setTimer(index, until &+ jitter)
        return true
    }

    /// No request waits longer for a key to be usable again.
    static let recoveryNanosecondsMax: UInt64 = 5_000_000_000
}
