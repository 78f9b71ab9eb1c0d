// Active health: each endpoint of an upstream with `health.active` is probed at its interval, ± a tenth, so that what began together does not go on together.
// An endpoint that live traffic was answered by within the interval is not probed: that was a probe, and cost nothing. What speaks for and against an endpoint
// is counted in its words in the outlook (`Outlier.probe`), where workers see it; what probes cost is counted here and stands in no request's account. At most
// `runningMax` probes are under way; further ones that are due wait for one to end.
import CClaw
import ClawConfig
import ClawDialect
import ClawPolicy
import ClawWire
import Glibc
import Synchronization

final class HealthKeeper: @unchecked Sendable {
    static let runningMax = 64

    enum Result: String, Sendable, CaseIterable {
        case success, failure, timeout
        /// The endpoint answers, but not us now (429): it speaks neither for nor against it.
        case limited = "rate_limited"
        /// Live traffic had shown it.
        case skipped
    }

    struct Figures: Sendable {
        var counts: [Result: UInt64] = [:]
        /// That providers said probes have used.
        var tokens: UInt64 = 0
    }
    /// What the last probe of an endpoint came to.
    struct Last: Sendable {
        var result = Result.success
        var words = ""
        /// Wall clock.
        var at: UInt64 = 0
        var milliseconds = 0
    }

    private let shared: Shared
    private let bus: EventBus
    private struct Told {
        var figures: [String: Figures] = [:]
        var last: [UInt64: Last] = [:]
    }
    private let told = Mutex(Told())

    /// An endpoint under watch, on the watcher's thread.
    private final class Probe {
        var target: ProbeTarget
        var timer: TimerQueue.ID?
        var fetch: PlaceID?
        var socket: PlaceID?
        var deadline: TimerQueue.ID?
        var count = 0
        var startedAt: UInt64 = 0
        var isRunning = false
        var isWaiting = false
        init(_ target: ProbeTarget) { self.target = target }
    }
    private var probes: [UInt64: Probe] = [:]
    private var running = 0
    private var waiting: [UInt64] = []

    init(shared: Shared, bus: EventBus) {
        self.shared = shared
        self.bus = bus
    }

    // MARK: control threads

    var figures: [String: Figures] { told.withLock { $0.figures } }

    func last(_ place: Int, _ generation: UInt32) -> Last? { told.withLock { $0.last[UInt64(place) << 32 | UInt64(generation)] } }

    // MARK: the watcher's thread

    /// These are to be probed from now on. Those that already were go on as they are.
    func apply(_ targets: [ProbeTarget], _ watcher: Watcher) {
        var wanted: [UInt64: ProbeTarget] = [:]
        for target in targets { wanted[target.key] = target }
        for (key, probe) in probes where wanted[key] == nil {
            end(probe, watcher)
            probes[key] = nil
            told.withLock { _ = $0.last.removeValue(forKey: key) }
            // Nobody will find it healthy again.
            var settings = probe.target.settings
            settings.healthyAfter = 1
            _ = outlier(probe.target).probe(success: true, now: watcher.now, settings)
        }
        for (key, target) in wanted {
            if let probe = probes[key] {
                let isSooner = target.settings.interval < probe.target.settings.interval
                probe.target = target
                if isSooner, !probe.isRunning, !probe.isWaiting { schedule(probe, watcher, watcher.random() % max(1, target.settings.interval / 10)) }
                continue
            }
            let probe = Probe(target)
            probes[key] = probe
            if case .connection = target.question, target.settings.kind != .tcp {
                bus.publish(
                    "probe_limited", .warn,
                    "upstreams.\(target.upstream): \(target.url) is probed by a connection only: requests signed for AWS and HTTP/2 in clear text are no probe's",
                    [("upstream", JSONLine.quoted(target.upstream)), ("endpoint", JSONLine.quoted(target.url))])
            }
            // The first ones of many endpoints are spread over a tenth of the interval.
            schedule(probe, watcher, watcher.random() % max(1, target.settings.interval / 10))
        }
    }

    private func outlier(_ target: ProbeTarget) -> Outlier { Outlier(shared.outlook.endpoint(target.place)) }

    private func end(_ probe: Probe, _ watcher: Watcher) {
        watcher.cancel(probe.timer)
        stop(probe, watcher)
    }

    /// Ends what is under way of it.
    private func stop(_ probe: Probe, _ watcher: Watcher) {
        watcher.cancel(probe.fetch)
        watcher.close(probe.socket)
        watcher.cancel(probe.deadline)
        probe.fetch = nil
        probe.socket = nil
        probe.deadline = nil
        if probe.isRunning { running -= 1 }
        probe.isRunning = false
        probe.isWaiting = false
    }

    private func schedule(_ probe: Probe, _ watcher: Watcher, _ wait: UInt64) {
        watcher.cancel(probe.timer)
        probe.timer = watcher.after(wait) { [unowned self, unowned watcher, unowned probe] in
            probe.timer = nil
            due(probe, watcher)
        }
    }

    private func due(_ probe: Probe, _ watcher: Watcher) {
        let seen = shared.outlook.endpointAnsweredAt(probe.target.place)
        if seen != 0, watcher.now &- min(watcher.now, seen) < probe.target.settings.interval, !outlier(probe.target).isUnhealthy {
            count(probe.target, .skipped, 0)
            // It counts as a good probe: what spoke against the endpoint is over.
            _ = outlier(probe.target).probe(success: true, now: watcher.now, probe.target.settings)
            return schedule(probe, watcher, watcher.jittered(probe.target.settings.interval))
        }
        guard running < Self.runningMax else {
            probe.isWaiting = true
            waiting.append(probe.target.key)
            return
        }
        begin(probe, watcher)
    }

    private func begin(_ probe: Probe, _ watcher: Watcher) {
        probe.isRunning = true
        probe.isWaiting = false
        running += 1
        probe.startedAt = watcher.now
        probe.count &+= 1
        switch probe.target.question {
        case .connection(let host, let port): connect(probe, host, port, watcher)
        case .requests(let requests):
            probe.fetch = watcher.collect(requests[probe.count % requests.count]) { [unowned self, unowned watcher, unowned probe] result in
                probe.fetch = nil
                switch result {
                case .failure(let failure): done(probe, watcher, failure.kind == .timeout ? .timeout : .failure, failure.description)
                case .success(let answer): judge(probe, answer, watcher)
                }
            }
        }
    }

    private func judge(_ probe: Probe, _ answer: Fetched, _ watcher: Watcher) {
        let isHandshake = probe.target.dialect != nil
        let isGood = isHandshake ? (200...299).contains(answer.status) : probe.target.settings.statuses.contains(answer.status)
        let tokens = isGood ? probe.target.dialect.map { Self.tokens(answer.body, $0) } ?? 0 : 0
        done(probe, watcher, isGood ? .success : answer.status == 429 ? .limited : .failure, "status \(answer.status)", tokens: tokens)
    }

    /// What the provider says the handshake has used.
    private static func tokens(_ body: [UInt8], _ dialect: DialectID) -> UInt64 {
        body.withUnsafeBytes { bytes in
            var tape = JSONTape()
            guard tape.read(bytes) == nil else { return 0 }
            let answer = Answer()
            guard dialect.pieces.readAnswer(tape.root, into: answer), answer.usage.isKnown else { return 0 }
            return UInt64(clamping: answer.usage.total)
        }
    }

    /// A connection that comes about is all that is asked for.
    private func connect(_ probe: Probe, _ host: String, _ port: UInt16, _ watcher: Watcher) {
        probe.deadline = watcher.after(probe.target.settings.timeout) { [unowned self, unowned watcher, unowned probe] in
            done(probe, watcher, .timeout, "no connection within \(probe.target.settings.timeout / 1_000_000) ms")
        }
        var address = claw_address()
        if claw_address_parse(host, port, &address) == 0 { return connect(probe, address, watcher) }
        let number = probe.count
        watcher.lookUp(host, port) { [unowned self, unowned watcher, weak probe] found in
            guard let probe, probe.isRunning, probe.count == number else { return }
            guard let first = found.first else { return done(probe, watcher, .failure, "the name could not be resolved") }
            connect(probe, first, watcher)
        }
    }

    private func connect(_ probe: Probe, _ address: claw_address, _ watcher: Watcher) {
        probe.socket = watcher.connect(address, isStream: true, interest: CLAW_WRITE) { [unowned self, unowned watcher, unowned probe] _ in
            guard let socket = probe.socket else { return }
            let error = watcher.connectionError(socket)
            if error == EINPROGRESS { return }
            done(probe, watcher, error == 0 ? .success : .failure, error == 0 ? "connected" : String(cString: strerror(error)))
        }
        if probe.socket == nil {
            let words = String(cString: strerror(errno))
            watcher.after(0) { [unowned self, unowned watcher, weak probe] in
                if let probe, probe.isRunning { done(probe, watcher, .failure, words) }
            }
        }
    }

    private func done(_ probe: Probe, _ watcher: Watcher, _ result: Result, _ words: String, tokens: UInt64 = 0) {
        let spent = watcher.now &- probe.startedAt
        stop(probe, watcher)
        let target = probe.target
        count(target, result, tokens)
        told.withLock { $0.last[target.key] = Last(result: result, words: words, at: claw_realtime_ns(), milliseconds: Int(spent / 1_000_000)) }
        if result != .limited {
            let change = outlier(target).probe(success: result == .success, now: watcher.now, target.settings)
            if change != .none { tell(target, change, words) }
        }
        schedule(probe, watcher, watcher.jittered(target.settings.interval))
        while running < Self.runningMax, !waiting.isEmpty {
            if let next = probes[waiting.removeFirst()], next.isWaiting { begin(next, watcher) }
        }
    }

    private func count(_ target: ProbeTarget, _ result: Result, _ tokens: UInt64) {
        told.withLock { told in
            told.figures[target.upstream, default: Figures()].counts[result, default: 0] &+= 1
            told.figures[target.upstream, default: Figures()].tokens &+= tokens
        }
    }

    private func tell(_ target: ProbeTarget, _ change: Outlier.Change, _ words: String) {
        let members = [("upstream", JSONLine.quoted(target.upstream)), ("endpoint", JSONLine.quoted(target.url)), ("probe", JSONLine.quoted(words))]
        if change == .unhealthy {
            let count = target.settings.unhealthyAfter
            bus.publish(
                "endpoint_unhealthy", .warn, "upstreams.\(target.upstream): \(target.url) is unhealthy after \(count) probe\(count == 1 ? "" : "s") (\(words)); it gets no requests", members)
        } else {
            bus.publish("endpoint_healthy", .info, "upstreams.\(target.upstream): \(target.url) is healthy again", members)
        }
    }
}

extension Outlook {
    /// When live traffic was last answered well by this endpoint, to a second.
    func endpointAnsweredAt(_ place: Int) -> UInt64 { endpoint(place)[Self.endpointAnsweredAt].load(ordering: .relaxed) }

    /// Live traffic was answered well. Written once a second at most, so that workers do not pass the line around.
    @inline(__always)
    func endpointAnswered(_ place: Int, now: UInt64) {
        let word = endpoint(place) + Self.endpointAnsweredAt
        if now &- word.pointee.load(ordering: .relaxed) > 1_000_000_000 { word.pointee.store(now, ordering: .relaxed) }
    }
}
