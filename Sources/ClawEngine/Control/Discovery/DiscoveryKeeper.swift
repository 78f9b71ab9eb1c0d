// Keeps the sets of endpoints that sources find. The sources live on the watcher's thread; what they found, and how they are, control threads read here. A set
// that has changed is put in force by compiling the plan anew, at most `plansPerSecond` times a second whatever the sources do, and what changes within
// `gatherTime` goes into one plan.
import CClaw
import ClawConfig
import ClawPolicy
import Glibc
import Synchronization

/// How one upstream's source is.
struct DiscoveryState: Sendable {
    enum Health: String, Sendable { case waiting, ok, failing, doubtful }
    var kind: String
    var health = Health.waiting
    /// nil: it has not answered yet.
    var set: EndpointSet?
    var endpoints: [Endpoint]?
    /// Wall clock, nanoseconds.
    var succeededAt: UInt64 = 0
    var changedAt: UInt64 = 0
    var answers = 0
    var changes = 0
    /// In a row.
    var failures = 0
    var failuresInAll = 0
    var error: String?

    var json: String {
        var out = JSONLine()
        out.member("type", kind)
        out.member("state", health.rawValue)
        out.member("endpoints", set?.endpoints.count ?? 0)
        out.member("last_success", succeededAt == 0 ? nil : EventBus.text(succeededAt))
        out.member("last_change", changedAt == 0 ? nil : EventBus.text(changedAt))
        out.member("answers", answers)
        out.member("changes", changes)
        out.member("failures_in_a_row", failures)
        out.member("last_error", error)
        out.member("notes", list: (set?.notes ?? []).map(JSONLine.quoted))
        return out.text
    }
}

final class DiscoveryKeeper: @unchecked Sendable {
    static let gatherTime: UInt64 = 100_000_000
    static let planTime: UInt64 = 200_000_000
    /// How long a start waits for the first answers.
    static let startTime: UInt64 = 2_000_000_000

    private let bus: EventBus
    /// Puts what is known now in force; says what speaks against it.
    nonisolated(unsafe) var compile: @Sendable () -> String? = { nil }
    private let states = Mutex<[String: DiscoveryState]>([:])
    private let answered: UnsafeMutablePointer<sem_t>

    // On the watcher's thread.
    private var sources: [String: (identity: String, source: DiscoverySource)] = [:]
    private var planTimer: TimerQueue.ID?
    private var plannedAt: UInt64 = 0
    /// What was told last of upstreams that changed since; an event is told for a plan, not for each of a source's changes.
    private var told: [String: EndpointSet] = [:]
    private var untold: Set<String> = []

    init(bus: EventBus) {
        self.bus = bus
        answered = .allocate(capacity: 1)
        sem_init(answered, 0, 0)
    }

    deinit {
        sem_destroy(answered)
        answered.deallocate()
    }

    // MARK: control threads

    /// What was found so far, by upstream.
    var found: [String: [Endpoint]] { states.withLock { $0.compactMapValues(\.endpoints) } }

    func state(_ upstream: String) -> DiscoveryState? { states.withLock { $0[upstream] } }

    /// Waits until each of these sources has answered once, at most `startTime`; those that have not. A first failure is no answer: whoever starts at the same time as
    /// its registry may still have it.
    func waitForFirst(_ names: [String]) -> [String] {
        var until = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        until.tv_sec += Int(Self.startTime / 1_000_000_000)
        while true {
            let waiting = states.withLock { states in names.filter { states[$0] != nil && states[$0]?.set == nil } }
            if waiting.isEmpty { return [] }
            if sem_timedwait(answered, &until) != 0, errno == ETIMEDOUT { return waiting }
        }
    }

    /// States for what is configured from now on, so that whoever looks sees them at once. Sets of upstreams whose source changed stay until the new one
    /// answers.
    /// - Parameter keepsOthers: those that this configuration does not name stay too, because it is not in force yet.
    func expect(_ configuration: Configuration, keepsOthers: Bool) {
        states.withLock { states in
            var fresh: [String: DiscoveryState] = keepsOthers ? states : [:]
            for upstream in configuration.upstreams {
                guard let discovery = upstream.discovery else { continue }
                var state = states[upstream.name] ?? DiscoveryState(kind: discovery.kind)
                state.kind = discovery.kind
                fresh[upstream.name] = state
            }
            states = fresh
        }
    }

    // MARK: the watcher's thread

    /// Begins and ends sources as the configuration says.
    /// - Parameter keepsOthers: only those of upstreams that have none yet begin.
    func apply(_ configuration: Configuration, keepsOthers: Bool, _ watcher: Watcher) {
        var wanted: [String: Discovery] = [:]
        for upstream in configuration.upstreams { if let discovery = upstream.discovery { wanted[upstream.name] = discovery } }
        for (name, running) in sources where !keepsOthers && wanted[name]?.sourceIdentity != running.identity {
            running.source.end()
            sources[name] = nil
        }
        if !keepsOthers { told = told.filter { wanted[$0.key] != nil } }
        for (name, discovery) in wanted {
            guard sources[name] == nil else { continue }
            let source = DiscoverySource.make(discovery, watcher) { [unowned self, unowned watcher] news in take(news, of: name, discovery, watcher) }
            sources[name] = (discovery.sourceIdentity, source)
            source.ask()
        }
    }

    private func take(_ news: DiscoverySource.News, of upstream: String, _ discovery: Discovery, _ watcher: Watcher) {
        let now = claw_realtime_ns()
        var isFirst = false
        var isChanged = false
        var was = DiscoveryState.Health.waiting
        let state: DiscoveryState? = states.withLock { states in
            guard var state = states[upstream] else { return nil }
            was = state.health
            switch news {
            case .answer(let set):
                isFirst = state.answers == 0
                state.health = .ok
                state.answers += 1
                state.failures = 0
                state.error = nil
                state.succeededAt = now
                if let set {
                    if state.endpoints == nil || !set.changes(since: state.set ?? EndpointSet()).isEmpty {
                        isChanged = true
                        state.changes += 1
                        state.changedAt = now
                        state.endpoints = set.endpoints.map { discovery.endpoint($0) }
                    }
                    state.set = set
                }
            case .failure(let why):
                state.health = .failing
                state.failures += 1
                state.failuresInAll += 1
                state.error = why
            case .doubtful: state.health = .doubtful
            }
            states[upstream] = state
            return state
        }
        guard let state else { return }
        if isFirst { sem_post(answered) }
        if isChanged {
            untold.insert(upstream)
            planSoon(watcher)
        }
        let members = [("upstream", JSONLine.quoted(upstream)), ("source", JSONLine.quoted(state.kind))]
        if state.health == .failing, was != .failing {
            let kept = state.set.map { "its last set of \($0.endpoints.count) stays" } ?? "nothing was found yet"
            bus.publish(
                "discovery_failed", .warn, "upstreams.\(upstream): discovery (\(state.kind)) does not answer, \(kept): \(state.error ?? "")",
                members + [("error", JSONLine.quoted(state.error ?? ""))])
        } else if state.health == .ok, was == .failing {
            bus.publish("discovery_recovered", .info, "upstreams.\(upstream): discovery (\(state.kind)) answers again", members)
        } else if state.health == .doubtful, was != .doubtful {
            bus.publish("discovery_empty", .warn, "upstreams.\(upstream): discovery (\(state.kind)) names no endpoint any more; asked once more before that is believed", members)
        }
    }

    private func tell(_ upstream: String) {
        guard let state = state(upstream), let set = state.set else { return }
        let changes = set.changes(since: told[upstream] ?? EndpointSet())
        let isFirst = told.updateValue(set, forKey: upstream) == nil
        if changes.isEmpty, !isFirst { return }
        func list(_ endpoints: [FoundEndpoint]) -> String { "[\(endpoints.prefix(64).map { JSONLine.quoted(Self.text($0)) }.joined(separator: ","))]" }
        let count = set.endpoints.count
        bus.publish(
            "discovery_changed", .info,
            "upstreams.\(upstream): \(count) endpoint\(count == 1 ? "" : "s") by discovery (\(state.kind)): \(changes.added.count) added, \(changes.removed.count) removed, \(changes.changed.count) changed",
            [("upstream", JSONLine.quoted(upstream)), ("source", JSONLine.quoted(state.kind)), ("endpoints", String(count)), ("added", list(changes.added)),
             ("removed", list(changes.removed)), ("changed", list(changes.changed)), ("notes", "[\(set.notes.map(JSONLine.quoted).joined(separator: ","))]")])
    }

    private static func text(_ endpoint: FoundEndpoint) -> String {
        let host = endpoint.host.contains(":") ? "[\(endpoint.host)]" : endpoint.host
        return "\(host):\(endpoint.port)\(endpoint.path ?? "")"
    }

    private func planSoon(_ watcher: Watcher) {
        guard planTimer == nil else { return }
        let since = watcher.now &- plannedAt
        let wait = max(Self.gatherTime, plannedAt == 0 || since >= Self.planTime ? 0 : Self.planTime - since)
        planTimer = watcher.after(wait) { [unowned self, unowned watcher] in
            planTimer = nil
            plannedAt = watcher.now
            for upstream in untold.sorted() { tell(upstream) }
            untold = []
            if let problem = compile() {
                bus.publish("discovery_refused", .error, "what discovery found cannot be put in force, the endpoints in force stay: \(problem)", [("error", JSONLine.quoted(problem))])
            }
        }
    }
}

extension Discovery {
    /// Two with the same are the same source with the same meaning.
    var sourceIdentity: String { "\(identity) \(isTLS) \(basePath)" }
}
