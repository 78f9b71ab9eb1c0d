import CClaw
@testable import ClawEngine
import ClawConfig
import ClawPolicy
import Glibc

/// A storm: two real workers that share what workers share, on loops that the script plays, with many clients before them and upstreams behind them that
/// change their minds. Time is virtual, everything is decided by the seed. It counts what is asked, answered, accounted and delivered, and holds it against
/// the promises of the failover plan.
final class Storm {
    static let listener: Int32 = 999
    static let workerCount = 2
    static let clientsPerWorker = 8
    static let pieces = 4

    let seed: UInt64
    var chance: Chance
    private(set) var plan: StormPlan
    let requestsMax: Int
    let shared = Shared()
    private let registry = Registry()
    /// Every plan that was in force, and what it was made from.
    private(set) var owners: [PlanOwner] = []
    private(set) var plans: [StormPlan] = []
    private(set) var workers: [Worker] = []
    private var hasEnded = Array(repeating: false, count: workerCount)
    private let events = UnsafeMutablePointer<claw_event>.allocate(capacity: 64)
    /// Virtual nanoseconds since the start.
    private(set) var elapsed: UInt64 = 0
    private(set) var violations: [String] = []
    var requests: [StormRequest] = []
    var clients: [StormClient] = []
    var links: [[StormLink]] = [[], []]
    /// Links that are not over, by place in `links`.
    var open: [[Int]] = [[], []]
    var moods: [Mood]
    var moodKeys: [Int]
    private var moodUntil: [UInt64]
    var isEnding = false
    /// The gateway is told to end when the last request has been made; others end with nobody there.
    let drains: Bool
    private(set) var isDraining = false
    var pen = Pen()
    var head = Pen()
    var delivered = 0
    private(set) var statuses: [Int: Int] = [:]
    private let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)
    private var logText: [UInt8] = []
    private(set) var steps = 0
    /// FNV-1a of all that was logged.
    private(set) var logDigest: UInt64 = 0xcbf2_9ce4_8422_2325
    let keepsDigest: Bool
    var cooling: Cooling
    /// By upstream: the place of its words, and since when its breaker is open as far as was seen; 0: it is not.
    private(set) var places: [Int]
    private var openSince: [UInt64]

    init(seed: UInt64, requests: Int, keepsDigest: Bool = false) throws {
        self.seed = seed
        self.keepsDigest = keepsDigest
        requestsMax = requests
        chance = Chance(seed)
        plan = StormPlan(&chance)
        drains = chance.happens(30)
        let count = plan.upstreams + 1
        moods = Array(repeating: .healthy, count: count)
        moodKeys = Array(repeating: 0, count: count)
        moodUntil = Array(repeating: 0, count: count)
        cooling = Cooling(upstreams: count)
        places = Array(repeating: -1, count: count)
        openSince = Array(repeating: 0, count: count)
        try putInForce()
        var options = WorkerOptions()
        options.backend = UInt32(CLAW_BACKEND_PLAYED)
        options.connectionsMax = 64
        options.bufferCount = 1024
        for index in 0..<Self.workerCount {
            options.index = index
            let worker = try Worker(options: options, shared: shared, instance: seed)
            worker.random = (chance.next() | 1, chance.next(), chance.next(), chance.next())
            _ = worker.listen(Self.listener)
            workers.append(worker)
            _ = claw_played_name(worker.loop, "storm.example", "10.0.1.1")
            for _ in 0..<Self.clientsPerWorker { clients.append(StormClient(worker: index)) }
        }
    }

    deinit {
        events.deallocate()
        scratch.deallocate()
    }

    private func putInForce() throws {
        let load = loadConfiguration(text: plan.text, name: "storm.yaml", environment: [:])
        guard let configuration = load.configuration else { throw StormFailure(text: load.issues.map(\.description).joined(separator: "\n") + "\n" + plan.text) }
        let owner = try PlanOwner(configuration, serial: UInt32(owners.count + 1), workers: Self.workerCount, registry: registry)
        owners.append(owner)
        plans.append(plan)
        cooling.settle(plan)
        let upstreams = owner.ref.pointee.upstreams
        for at in 0..<upstreams.count { places[number(upstreams[at])] = upstreams[at].pointee.place }
        claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
        for worker in workers { claw_loop_wake(worker.loop) }
    }

    /// The number in the name of an upstream, which a reload does not change.
    func number(_ upstream: UnsafeMutablePointer<PlanUpstream>) -> Int { upstream.pointee.name.raw.number(behind: "u") ?? 0 }

    /// Which plan it runs on.
    func plan(of exchange: UnsafeMutablePointer<Exchange>) -> StormPlan {
        var at = owners.count - 1
        while at > 0, owners[at].ref != exchange.pointee.plan { at -= 1 }
        return plans[at]
    }

    func violated(_ text: String) { if violations.count < 20 { violations.append("at \(elapsed / 1_000_000) ms: \(text)") } }
    func tally(_ status: Int) { statuses[status, default: 0] += 1 }

    /// Appends what was sent on a descriptor.
    func read(_ loop: OpaquePointer, _ fd: Int32, _ into: inout [UInt8]) {
        while true {
            let count = Int(claw_played_sent(loop, fd, scratch, 1 << 16))
            guard count > 0 else { return }
            into.append(contentsOf: UnsafeBufferPointer(start: scratch, count: count))
        }
    }

    // MARK: the play

    func run() throws {
        while requests.count < requestsMax || clients.contains(where: { $0.request >= 0 }) {
            try step()
            if steps > requestsMax * 40 {
                violated("after \(steps) steps \(requests.count) of \(requestsMax) requests were made and \(clients.filter { $0.request >= 0 }.count) wait")
                break
            }
        }
        try finish()
    }

    private func step() throws {
        steps += 1
        for at in moods.indices where elapsed >= moodUntil[at] { changeMood(at) }
        if requests.count < requestsMax, chance.number(0...999) < 2 {
            plan.change(&chance)
            try putInForce()
        }
        if drains, !isDraining, requests.count == requestsMax { drain() }
        for at in clients.indices { turn(client: at) }
        turn(links: 0)
        turn(links: 1)
        let luck = chance.number(0...999)
        let ahead: UInt64 = luck == 0 && chance.happens(10) ? 3_600_000_000_000 : luck < 4 ? UInt64(chance.number(500...4000)) * 1_000_000 : UInt64(chance.number(0...12)) * 1_000_000
        tick(ahead)
        noteCooled()
        lookAtWhatIsHeld()
    }

    private func tick(_ ahead: UInt64) {
        elapsed += ahead
        for at in workers.indices {
            let worker = workers[at]
            claw_played_advance(worker.loop, ahead)
            for _ in 0..<2 where !hasEnded[at] {
                // The clock on the wall is played too.
                worker.realtimeOffset = 1_800_000_000_000_000_000
                worker.realtimeCheckedAt = StormLink.clockStart + elapsed
                hasEnded[at] = !worker.tick(events, capacity: 64)
            }
            readLog(worker)
        }
    }

    private func drain() {
        isDraining = true
        claw_word_store(shared.drainDeadline, clock + UInt64(chance.number(0...6000)) * 1_000_000)
        claw_word_store(shared.phase, 1)
        for worker in workers { claw_loop_wake(worker.loop) }
    }

    private func changeMood(_ at: Int) {
        moods[at] = isEnding || chance.happens(60) ? .healthy : chance.one(of: Mood.allCases)
        moodKeys[at] = chance.one(of: plan.keys[at])
        moodUntil[at] = elapsed + UInt64(chance.number(200...4000)) * 1_000_000
        for worker in workers {
            for port in [StormPlan.portBase + at, StormPlan.portBase + 100 + at] {
                _ = claw_played_port(worker.loop, UInt16(port), moods[at] == .refusing ? -ECONNREFUSED : 0, moods[at] == .blackHole ? 1 << 60 : UInt64(chance.number(0...3)) * 1_000_000)
            }
            if at == 1 { _ = claw_played_name(worker.loop, "storm.example", chance.happens(20) ? nil : "10.0.1.1") }
        }
    }

    // MARK: promises

    var clock: UInt64 { StormLink.clockStart + elapsed }

    /// What an attempt was begun for has reached its upstream.
    func arrived(_ id: Int, _ worker: Int, _ exchange: UnsafeMutablePointer<Exchange>, _ attempt: Attempt, upstream: Int, key: Int, model: Int) {
        let plan = plan(of: exchange), request = requests[id], now = clock
        if number(exchange.pointee.plan.pointee.upstreams[Int(attempt.upstream)]) != upstream { violated("request \(id): an attempt of another upstream came to upstream \(upstream)") }
        if exchange.pointee.twin == .shadow {
            if upstream != plan.mirror || model != plan.model(for: request.model) { violated("request \(id): its shadow went to upstream \(upstream) as m\(model)") }
        } else if !plan.allows(model: model, asked: request.model, upstream: upstream, onProfile: request.hasProfile) {
            violated("request \(id) for m\(request.model) was sent to upstream \(upstream) as m\(model)")
        }
        if plan.hasCallers, !request.isKnown { violated("request \(id) of an unknown caller was sent to upstream \(upstream)") }
        if !plan.keys[upstream].contains(key) { violated("request \(id): key \(key) of upstream \(upstream) is none of its plan's") }
        let attemptsMax = plan.attempts(onProfile: request.hasProfile)
        if exchange.pointee.attemptCount > attemptsMax { violated("request \(id): attempt \(exchange.pointee.attemptCount) of at most \(attemptsMax)") }
        // Each attempt may be repeated once, when a pooled connection proves stale.
        if request.arrivals - request.mirrors.nonzeroBitCount + 1 > 2 * attemptsMax, exchange.pointee.twin != .shadow {
            violated("request \(id) arrived \(request.arrivals + 1) times for \(attemptsMax) attempts")
        }
        // What the attempt began under is what counts.
        if !attempt.isKeyProbe, let (since, until) = cooling.of(upstream, key, model, now), exchange.pointee.attemptStartedAt > since {
            violated("request \(id) used key \(key) of upstream \(upstream) \((until - now) / 1_000_000) ms before its cool-down ends")
        }
        if openSince[upstream] != 0, exchange.pointee.attemptStartedAt > openSince[upstream], plan.hasBreaker, attempt.breaker == .pass || attempt.breaker == .none {
            violated("request \(id) passed the open breaker of upstream \(upstream)")
        }
    }

    /// The workers have heard what was told in this step, unless whom it was told to was not there any more: then its connection is gone as well.
    private func noteCooled() {
        for told in cooling.news {
            let exchange = workers[told.worker].exchanges.base + Int(told.exchange)
            var isHeard = claw_played_state(workers[told.worker].loop, told.fd) == 0
            if exchange.pointee.generation == told.generation, exchange.pointee.state != .free, told.attempt < exchange.pointee.attemptCount {
                isHeard = exchange.pointee.attempts[told.attempt].errorClass == (told.isRefusal ? .auth : .rateLimited)
            }
            cooling.note(told, isHeard: isHeard, clock)
        }
        cooling.news.removeAll(keepingCapacity: true)
    }

    /// What is taken of places, probes and breakers against who holds it.
    private func lookAtWhatIsHeld() {
        let count = moods.count
        var probes = [Int](repeating: 0, count: count), limits = probes, holders = probes
        for worker in workers {
            for index in 0..<worker.exchanges.touched {
                let exchange = worker.exchanges.base + index
                guard exchange.pointee.state != .free, exchange.pointee.attemptCount > 0 else { continue }
                let attempt = exchange.pointee.attempts[exchange.pointee.attemptCount - 1]
                guard attempt.holdsPlace || (attempt.isOpen && attempt.breaker == .probe) else { continue }
                let at = number(exchange.pointee.plan.pointee.upstreams[Int(attempt.upstream)])
                if attempt.holdsPlace { holders[at] += 1 }
                // Of the newest half-open phase: one that failed may have left a probe behind that is still under way.
                if attempt.isOpen, attempt.breaker == .probe, attempt.probeTicket == breaker(at).phaseNumber {
                    probes[at] += 1
                    limits[at] = max(limits[at], plan(of: exchange).halfOpenProbes)
                }
            }
        }
        for at in 0..<count where places[at] >= 0 {
            if probes[at] > limits[at] { violated("\(probes[at]) probes at a time go to upstream \(at), \(limits[at]) are allowed") }
            let breaker = breaker(at), state = breaker.state(now: clock)
            if breaker.probesInFlight != probes[at] { violated("\(breaker.probesInFlight) probes of upstream \(at) are counted, \(probes[at]) run") }
            let flying = shared.outlook.concurrency(places[at]).inFlight
            if flying != holders[at] { violated("\(flying) places of upstream \(at) are taken, \(holders[at]) requests hold one") }
            if state != .open { openSince[at] = 0 } else if openSince[at] == 0 { openSince[at] = clock }
        }
    }

    // MARK: the log

    private func readLog(_ worker: Worker) {
        let (first, second) = worker.log.pending()
        if first.count == 0 { return }
        logText.append(contentsOf: first)
        logText.append(contentsOf: second)
        if keepsDigest { for byte in logText { logDigest = (logDigest ^ UInt64(byte)) &* 0x100_0000_01b3 } }
        worker.log.consume(first.count + second.count)
        logText.withUnsafeBytes { bytes in
            var at = 0
            while let end = memchr(bytes.baseAddress! + at, 10, bytes.count - at) {
                let stop = UnsafeRawPointer(end) - bytes.baseAddress!
                take(line: UnsafeRawBufferPointer(rebasing: bytes[at..<stop]))
                at = stop + 1
                if at == bytes.count { break }
            }
            if at != bytes.count { violated("half a log line") }
        }
        logText.removeAll(keepingCapacity: true)
    }

    private func take(line: UnsafeRawBufferPointer) {
        if line.find("\"shadow\":") != nil { return }
        guard let id = line.number(behind: "\"request_id\":\"r"), id < requests.count else { return violated("a log line of nobody: \(String(decoding: line, as: UTF8.self))") }
        requests[id].lines += 1
        if requests[id].lines > 1 { violated("request \(id) has \(requests[id].lines) log lines") }
        if line.find("storm-secret") != nil { violated("request \(id): a secret is in the log") }
        guard let from = line.find("\"attempts\":["), let to = line.find("\"cache\":", from: from) else { return violated("request \(id): a log line without attempts") }
        let attempts = UnsafeRawBufferPointer(rebasing: line[from..<to]).times("\"upstream\":")
        requests[id].attempts = attempts
        let status = line.number(behind: ",\"status\":", from: 0) ?? 0
        requests[id].loggedStatus = status
        requests[id].loggedTokens = line.number(behind: "\"output\":") ?? -1
        requests[id].isLoggedDowngraded = line.find("\"downgraded\":true") != nil
    }

    // MARK: the end

    private func finish() throws {
        isEnding = true
        for at in moods.indices { moodUntil[at] = 0 }
        for _ in 0..<200 { try step() }
        for at in clients.indices where clients[at].fd >= 0 {
            _ = claw_played_end(workers[clients[at].worker].loop, clients[at].fd, 0)
        }
        for _ in 0..<20 { try step() }
        for worker in workers.indices {
            meetLinks(worker)
            for link in links[worker] where !link.isOver { _ = claw_played_end(workers[worker].loop, link.fd, 0) }
        }
        for _ in 0..<60 { tick(500_000_000) }
        var accounted = 0
        for (at, worker) in workers.enumerated() {
            func check(_ name: String, _ value: Int, atMost limit: Int = 0) { if value > limit { violated("left over at worker \(worker.index): \(value) \(name)") } }
            if isDraining, !hasEnded[at] { violated("worker \(at) has not ended, long after it was told to") }
            check("exchanges", worker.exchanges.inUse)
            // A worker that ends leaves closed connections that linger to the end of its loop.
            if !hasEnded[at] { check("connections", worker.connections.inUse) }
            check("links", worker.links.inUse)
            check("waiting", worker.waitingCount)
            check("buffers", Int(claw_buffers_in_use(worker.loop)), atMost: 1)
            check("log lines dropped", Int(claw_word_load_relaxed(worker.log.dropped)))
            worker.metrics.forEach { metric, _, words in
                if metric == .requests { accounted += Int(words[0]) }
            }
        }
        if claw_word_load(shared.bodyMemory) != 0 { violated("left over: \(claw_word_load(shared.bodyMemory)) bytes of bodies") }
        for (at, owner) in owners.enumerated() where !owner.isIdle { violated("plan \(at + 1) counts requests in flight") }
        lookForPlacesHeld()
        let lines = requests.reduce(0) { $0 + $1.lines }
        if accounted != lines { violated("\(accounted) requests were counted, \(lines) have a log line") }
        let attemptsMax = plans.reduce(StormPlan.profileAttemptsMax) { max($0, $1.attemptsMax) }
        for id in requests.indices { judge(id, attemptsMax) }
    }

    /// What was answered, logged and delivered, against each other.
    private func judge(_ id: Int, _ attemptsMax: Int) {
        let request = requests[id]
        if request.lines != 1 { violated("request \(id) has \(request.lines) log lines") }
        if request.attempts > attemptsMax { violated("request \(id): \(request.attempts) attempts of at most \(attemptsMax)") }
        if !request.hasLeft, request.answers != 1 { violated("request \(id) was answered \(request.answers) times") }
        if request.status != 0, request.loggedStatus != request.status { violated("request \(id): logged as \(request.loggedStatus), answered with \(request.status)") }
        guard request.arrival >= 0, request.status == 200, !request.hasLeft else { return }
        let tokens = StormRequest.tokens(id, request.arrival), logged = request.loggedTokens
        if request.wentOn {
            // Parts that broke off count as far as their upstreams said, else by a guess; the last one may have had nothing to add.
            let most = (0..<request.arrivals).reduce(60_000) { $0 + StormRequest.tokens(id, $1) }
            if !request.isCut, logged < tokens || logged > most { violated("request \(id): \(logged) tokens are accounted, its parts had \(tokens) and at most \(most)") }
            return
        }
        if request.isCut, logged == tokens || logged < StormRequest.tokens(0, 0) { return }
        if logged != tokens { violated("request \(id): \(logged) tokens are accounted, \(tokens) were delivered") }
        if !request.hasProfile, request.isLoggedDowngraded != request.isDowngraded { violated("request \(id): its log line says downgraded: \(request.isLoggedDowngraded), its answer \(request.isDowngraded)") }
    }
}

struct StormFailure: Error, CustomStringConvertible {
    let text: String
    var description: String { text }
}
