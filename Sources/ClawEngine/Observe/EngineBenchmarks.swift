// Doors for the micro-benchmarks in Benchmarks/, which measure what is internal to the engine. Each type holds one such thing, set up as a
// worker sets it up, and does it a number of times; nothing here is used by the gateway.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

@_spi(Benchmarks)
public enum EngineBenchmarks {
    /// A worker's counters with 64 routes.
    public final class Counters {
        private let page = MetricPage(seriesMax: 10_000)
        public init() {}

        public func add(_ times: Int) {
            for at in 0..<times { page.add(.requests, UInt16(truncatingIfNeeded: at & 63), 200, 2) }
        }

        public func observe(_ times: Int) {
            for at in 0..<times { page.observe(.requestDuration, UInt16(truncatingIfNeeded: at & 63), 1, nanoseconds: UInt64(at & 1023) * 1_000_000) }
        }
    }

    /// A worker's log ring and the thread that empties it, in one.
    public final class Ring {
        private let ring = LogRing(bytes: 1 << 20)
        private let line: UnsafeMutablePointer<UInt8>
        private let count: Int

        public init(lineBytes: Int) {
            count = lineBytes
            line = .allocate(capacity: lineBytes)
            line.initialize(repeating: 0x61, count: lineBytes)
        }
        deinit { line.deallocate() }

        public func append(_ times: Int) {
            for at in 0..<times {
                ring.append(line, count)
                if at & 63 == 63 { ring.empty() }
            }
            ring.empty()
        }
    }

    /// A worker's timers, 10,000 connections.
    public final class Timers {
        private static let idMax = 10_000
        private var wheel = TimerWheel(capacity: idMax, now: 1 << 40)
        private var now: UInt64 = 1 << 40
        public init() {}

        /// A deadline 30 s ahead, put off again and again: what each read and write does.
        public func postpone(_ times: Int) {
            for at in 0..<times {
                now += 1000
                wheel.set(at % Self.idMax, now + 30_000_000_000)
            }
        }

        /// Set 10 ms ahead and waited for. Returns how many expired.
        public func setAndExpire(_ times: Int) -> Int {
            var expired = 0
            var left = times
            while left > 0 {
                let batch = min(left, Self.idMax)
                for id in 0..<batch { wheel.set(id, now + 10_000_000) }
                now += 20_000_000
                while wheel.nextExpired(now) != nil { expired += 1 }
                left -= batch
            }
            return expired
        }
    }

    /// A request with its body, from its scanned body to its candidates.
    public final class Decision {
        private let owner: PlanOwner
        private let shared = Shared()
        private let preview: RequestPreview

        public init(_ configuration: Configuration, _ request: DescribedRequest) throws(PlanFailure) {
            owner = try PlanOwner(configuration, serial: 1, workers: 1, registry: Registry())
            claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
            preview = try RequestPreview(owner: owner, shared: shared)
            if let refusal = preview.take(request) { throw PlanFailure(description: refusal.message) }
            preview.worker.view.pointee.isDescribed = false
        }

        /// The route's index, -1 when none matches.
        public func match(_ times: Int) -> Int {
            var route = -1
            for _ in 0..<times { route = preview.worker.matchRoute(preview.exchange) ?? -1 }
            return route
        }

        /// How many candidates there are.
        public func choose(_ times: Int) -> Int {
            guard let found = preview.worker.matchRoute(preview.exchange) else { return 0 }
            let route = owner.ref.pointee.routes[found]
            var count = 0
            for _ in 0..<times {
                preview.worker.chooseCandidates(preview.exchange, route)
                count = preview.exchange.pointee.candidateCount
            }
            return count
        }
    }

    /// A request whose first attempt has found its upstream overloaded.
    public final class Ladder {
        private let owner: PlanOwner
        private let shared = Shared()
        private let preview: RequestPreview

        public init(_ configuration: Configuration, _ request: DescribedRequest) throws(PlanFailure) {
            owner = try PlanOwner(configuration, serial: 1, workers: 1, registry: Registry())
            claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
            preview = try RequestPreview(owner: owner, shared: shared)
            if let refusal = preview.take(request) { throw PlanFailure(description: refusal.message) }
            guard let route = preview.worker.matchRoute(preview.exchange) else { throw PlanFailure(description: "no route") }
            let exchange = preview.exchange
            exchange.pointee.route = Int32(route)
            preview.worker.chooseCandidates(exchange, owner.ref.pointee.routes[route])
            exchange.pointee.attemptsMax = Exchange.attemptsMax
            exchange.pointee.totalDeadline = .max
            exchange.pointee.attempts[0] = Attempt(upstream: exchange.pointee.candidates[0].upstream, key: 0, status: 503, candidate: 0, isOpen: true)
            exchange.pointee.attemptCount = 1
            exchange.pointee.passed = 1
        }

        /// How often there was a further try.
        public func walk(_ times: Int) -> Int {
            var count = 0
            for _ in 0..<times {
                // A try is taken from the budget, which is of so many a second.
                preview.worker.now += 10_000_000
                if let next = preview.worker.nextTry(preview.exchange, after: .overloaded, .upstreamStatus), next.candidate == 1 { count += 1 }
            }
            return count
        }
    }

    /// A worker with one request at hand, as far as routing and accounting see it.
    public final class Request {
        private let owner: PlanOwner
        private let shared = Shared()
        private let worker: Worker
        private let exchange: UnsafeMutablePointer<Exchange>
        private let head: UnsafeMutableRawBufferPointer

        /// `head`: a whole request head whose path is in normal form.
        public init(_ configuration: Configuration, head text: String) throws(PlanFailure) {
            owner = try PlanOwner(configuration, serial: 1, workers: 1, registry: Registry())
            claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
            var options = WorkerOptions()
            options.connectionsMax = 16
            options.bufferCount = 16
            worker = try Worker(options: options, shared: shared, instance: 1)
            head = .allocate(byteCount: text.utf8.count, alignment: 16)
            head.copyBytes(from: text.utf8)
            var parser = RequestParser()
            guard case .complete = parser.parse(UnsafeRawBufferPointer(head), limits: HeadLimits(), into: worker.requestHead),
                let base = head.baseAddress, let connection = worker.connections.take(), let slot = worker.exchanges.take()
            else { throw PlanFailure(description: "the head is not whole") }
            (worker.connections.base + connection.index).initialize(to: Connection())
            exchange = worker.exchanges.base + slot.index
            exchange.initialize(to: worker.blankExchange(slot.index, owner.ref))
            let parsed = worker.requestHead
            exchange.pointee.connection = UInt32(connection.index)
            exchange.pointee.method = parsed.method
            exchange.pointee.headBase = UnsafePointer(base.assumingMemoryBound(to: UInt8.self))
            exchange.pointee.path = UnsafeRawBufferPointer(rebasing: head[parsed.pathOffset..<parsed.pathOffset + parsed.pathLength])
            exchange.pointee.query = UnsafeRawBufferPointer(rebasing: head[parsed.queryOffset..<parsed.queryOffset + parsed.queryLength])
            exchange.pointee.hasQuery = parsed.hasQuery
            exchange.pointee.startedAt = worker.now
            exchange.pointee.requestIDLength = 36
            exchange.pointee.status = 200
            exchange.pointee.attempts[0] = Attempt(upstream: 0, status: 200, milliseconds: 12)
            exchange.pointee.attemptCount = 1
            exchange.pointee.firstContentAt = worker.now + 5_000_000
            exchange.pointee.usage.setInput(sum: 100, cacheRead: 50)
            exchange.pointee.usage.setOutput(sum: 200)
        }
        deinit { head.deallocate() }

        /// The route's index, -1 when none matches.
        public func match(_ times: Int) -> Int {
            var route = -1
            for _ in 0..<times { route = worker.matchRoute(exchange) ?? -1 }
            exchange.pointee.route = Int32(route)
            return route
        }

        /// Counters and log line of a request that ended well.
        public func account(_ times: Int) {
            for at in 0..<times {
                worker.account(exchange, end: exchange.pointee.startedAt + 12_000_000)
                if at & 63 == 63 { worker.log.empty() }
            }
            worker.log.empty()
        }
    }
}

extension LogRing {
    fileprivate func empty() {
        let (first, second) = pending()
        consume(first.count + second.count)
    }
}
