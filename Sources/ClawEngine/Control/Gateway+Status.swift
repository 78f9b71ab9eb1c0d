// What the gateway says of itself to operators: life, readiness, status and upstreams, as JSON. Read on the admin thread from words the workers
// write, and from plans that are kept while they are looked at.
import CClaw
import ClawConfig
import ClawPolicy
import Glibc

/// What is known of an upstream right now.
struct UpstreamState {
    struct Endpoint {
        var place: Int
        /// "http://host:port"; never with credentials.
        var url: String
        /// libcurl keeps its connections to itself.
        var isCurl: Bool
        /// No connection failed within the last seconds (`Worker.unavailableNanoseconds`), and neither probes nor live traffic speak against it.
        var isUsable: Bool
        /// By probes.
        var isUnhealthy: Bool
        /// By live traffic; 0: it is not.
        var ejectedUntil: UInt64
        var probe: HealthKeeper.Last?
        /// Connections of all workers; those of the curl transport are not counted here.
        var links: UInt64
    }
    var name: String
    var type: UpstreamType
    var models: [String]
    struct Key {
        struct Cooling {
            /// nil: every model.
            var model: String?
            var word: String
            var seconds: Int
            /// By the provider.
            var isTold: Bool
        }
        var id: String
        var cooling: [Cooling]
    }
    struct BreakerState {
        var traffic: TrafficClass
        var state: Breaker.State
        /// Until it lets a probe through; 0 unless it is open.
        var seconds: Int
        var opens: UInt64
    }
    struct Load {
        var inFlight: Int
        /// nil: none.
        var limit: Int?
        /// Requests that wait for a place.
        var waiting: Int
        /// Requests that wait for a key.
        var recovering: Int
    }
    var keys: [Key]
    /// Those that have ever had something to do, and those that do now.
    var breakers: [BreakerState]
    /// nil: its requests are not counted, because nothing limits them.
    var load: Load?
    /// One per host and port, whatever the weights and base paths.
    var endpoints: [Endpoint]
    /// nil: its endpoints stand in the configuration.
    var discovery: DiscoveryState?
    /// An endpoint, a key, and a breaker that is not open for its kind of traffic.
    var isUsable: Bool { endpoints.contains(where: \.isUsable) && !areAllKeysOut && !isBroken }
    /// Each key cools for every model.
    var areAllKeysOut: Bool { !keys.isEmpty && keys.allSatisfy { $0.cooling.contains { $0.model == nil } } }
    private var isBroken: Bool { breakers.contains { $0.state == .open && $0.traffic == (type == .http ? .http : .model) } }

    var json: String {
        var out = JSONLine()
        out.member("name", name)
        out.member("type", type.rawValue)
        out.member("usable", isUsable)
        out.member("keys", list: keys.map(\.json))
        out.member("models", list: models.map(JSONLine.quoted))
        out.member("endpoints", list: endpoints.map { endpoint in
            var line = JSONLine()
            line.member("url", endpoint.url)
            line.member("usable", endpoint.isUsable)
            line.member("health", endpoint.isUnhealthy ? "unhealthy" : endpoint.ejectedUntil > 0 ? "ejected" : endpoint.isUsable ? "ok" : "unreachable")
            if endpoint.ejectedUntil > 0 { line.member("ejected_seconds", Int((endpoint.ejectedUntil &- min(endpoint.ejectedUntil, claw_monotonic_ns())) / 1_000_000_000) + 1) }
            if let probe = endpoint.probe {
                var last = JSONLine()
                last.member("result", probe.result.rawValue)
                last.member("said", probe.words)
                last.member("time", EventBus.text(probe.at))
                last.member("ms", probe.milliseconds)
                line.member("last_probe", raw: last.text)
            }
            if endpoint.isCurl { line.member("links", nil as String?) } else { line.member("links", Int(endpoint.links)) }
            return line.text
        })
        out.member("breakers", list: breakers.map { breaker in
            var line = JSONLine()
            line.member("traffic_class", breaker.traffic.word)
            line.member("state", breaker.state.word)
            if breaker.state == .open { line.member("open_seconds", breaker.seconds) }
            line.member("opens", Int(clamping: breaker.opens))
            return line.text
        })
        if let load {
            var line = JSONLine()
            line.member("in_flight", load.inFlight)
            if let limit = load.limit { line.member("limit", limit) } else { line.member("limit", nil as String?) }
            line.member("waiting_for_a_place", load.waiting)
            line.member("waiting_for_a_key", load.recovering)
            out.member("load", raw: line.text)
        }
        if let discovery { out.member("discovery", raw: discovery.json) } else { out.member("discovery", nil as String?) }
        return out.text
    }

    /// Why it cannot be asked now, for people; nil: it can.
    var problem: String? {
        if isUsable { return nil }
        if let discovery, endpoints.isEmpty {
            guard let set = discovery.set else { return "discovery (\(discovery.kind)) has not answered yet\(discovery.error.map { ": \($0)" } ?? "")" }
            return set.isEmpty ? "discovery (\(discovery.kind)) names no endpoint" : "what discovery found is not in force yet"
        }
        if endpoints.isEmpty { return "it has no endpoint" }
        if isBroken { return "its breaker is open" }
        if areAllKeysOut { return "all of its keys were refused or cool down" }
        return "none of its \(endpoints.count) endpoint\(endpoints.count == 1 ? "" : "s") is usable"
    }
}

extension UpstreamState.Key {
    /// Never with its value.
    var json: String {
        var out = JSONLine()
        out.member("id", id)
        out.member("usable", !cooling.contains { $0.model == nil })
        out.member("cooling", list: cooling.map { cooling in
            var line = JSONLine()
            line.member("model", cooling.model)
            line.member("class", cooling.word)
            line.member("seconds", cooling.seconds)
            line.member("told_by_provider", cooling.isTold)
            return line.text
        })
        return out.text
    }
}

extension Breaker.State {
    var word: String {
        switch self {
        case .closed: "closed"
        case .open: "open"
        case .halfOpen: "half_open"
        }
    }
}

/// Whether requests should be sent here, and what speaks against it.
struct Readiness {
    var reasons: [String] = []
    var routes: [(id: String, upstreams: [(name: String, isUsable: Bool, problem: String?)])] = []
    var isReady: Bool { reasons.isEmpty }

    func json(withRoutes: Bool) -> String {
        var out = JSONLine()
        out.member("ready", isReady)
        out.member("reasons", list: reasons.map(JSONLine.quoted))
        if withRoutes {
            out.member("routes", list: routes.map { route in
                var line = JSONLine()
                line.member("route_id", route.id)
                line.member("usable", route.upstreams.contains { $0.isUsable })
                line.member("upstreams", list: route.upstreams.map { upstream in
                    var entry = JSONLine()
                    entry.member("name", upstream.name)
                    entry.member("usable", upstream.isUsable)
                    if let problem = upstream.problem { entry.member("why_not", problem) }
                    return entry.text
                })
                return line.text
            })
        }
        return out.text
    }
}

extension Gateway {
    private var newestPlan: PlanOwner { plans.withLock { $0.owners[$0.owners.count - 1] } }

    private var uptimeSeconds: Int { Int((claw_monotonic_ns() &- startedAt) / 1_000_000_000) }

    // MARK: upstreams

    func upstreamStates() -> [UpstreamState] { upstreamStates(of: newestPlan) }

    private func upstreamStates(of owner: PlanOwner) -> [UpstreamState] {
        let now = claw_monotonic_ns()
        let workers = self.workers
        let compiled = owner.ref.pointee.upstreams
        return owner.configuration.upstreams.enumerated().map { index, upstream in
            var endpoints: [UpstreamState.Endpoint] = []
            for at in 0..<compiled[index].pointee.endpoints.count {
                let endpoint = compiled[index].pointee.endpoints[at].pointee
                if endpoints.contains(where: { $0.place == endpoint.place }) { continue }
                let host = endpoint.host.string
                let outlier = Outlier(shared.outlook.endpoint(endpoint.place))
                endpoints.append(UpstreamState.Endpoint(
                    place: endpoint.place,
                    url: "\(endpoint.isTLS ? "https" : "http")://\(host.contains(":") ? "[\(host)]" : host):\(endpoint.port)", isCurl: endpoint.policy != nil,
                    isUsable: claw_word_load_relaxed(shared.unavailableUntil + endpoint.place) <= now && outlier.isUsable(now: now),
                    isUnhealthy: outlier.isUnhealthy, ejectedUntil: outlier.ejectedUntil > now ? outlier.ejectedUntil : 0,
                    probe: health.last(endpoint.place, endpoint.generation),
                    links: workers.reduce(0) { $0 &+ claw_word_load_relaxed($1.linksOpen + endpoint.place) }))
            }
            return UpstreamState(
                name: upstream.name, type: upstream.type, models: upstream.models.map(\.alias), keys: keyStates(of: compiled[index], now),
                breakers: breakerStates(of: compiled[index], now), load: loadState(of: compiled[index]), endpoints: endpoints,
                discovery: discovery.state(upstream.name))
        }
    }

    private func keyStates(of upstream: UnsafeMutablePointer<PlanUpstream>, _ now: UInt64) -> [UpstreamState.Key] {
        var names: [UInt64: String] = [:]
        // Plain backends have no models: what their keys cool for is everything.
        let nameless = Cooldowns.mark(of: Outlook.hash(""))
        func name(_ id: Bytes) { if id.count > 0 { names[Cooldowns.mark(of: Outlook.hash(id.raw))] = id.string } }
        for at in 0..<upstream.pointee.facts.count { name(upstream.pointee.facts[at].pointee.id) }
        for at in 0..<upstream.pointee.models.count { name(upstream.pointee.models[at].pointee.to.id) }
        return (0..<upstream.pointee.keys.count).map { at in
            let key = upstream.pointee.keys[at].pointee
            return UpstreamState.Key(id: key.id.string, cooling: shared.outlook.cooldowns(key.place).all(now: now).map { cooling in
                UpstreamState.Key.Cooling(
                    model: cooling.mark == 0 || cooling.mark == nameless ? nil : names[cooling.mark] ?? "(a model that the configuration does not name)", word: cooling.class.word,
                    seconds: Self.secondsLeft(cooling.until, now), isTold: cooling.isTold)
            })
        }
    }

    private static func secondsLeft(_ until: UInt64, _ now: UInt64) -> Int { until > now ? Int(clamping: max(1, (until - now + 989_999_999) / 1_000_000_000)) : 0 }

    /// The one of its own kind of traffic, and others that have opened or that routes name.
    private func breakerStates(of upstream: UnsafeMutablePointer<PlanUpstream>, _ now: UInt64) -> [UpstreamState.BreakerState] {
        guard upstream.pointee.breaker.isEnabled else { return [] }
        return TrafficClass.allCases.compactMap { traffic in
            let breaker = shared.outlook.breaker(upstream.pointee.place, traffic)
            let state = breaker.state(now: now)
            guard traffic == (upstream.pointee.isModel ? .model : .http) || state != .closed || breaker.opensCount > 0 else { return nil }
            return UpstreamState.BreakerState(
                traffic: traffic, state: state, seconds: state == .open ? Self.secondsLeft(breaker.openUntil, now) : 0, opens: breaker.opensCount)
        }
    }

    private func loadState(of upstream: UnsafeMutablePointer<PlanUpstream>) -> UpstreamState.Load? {
        guard upstream.pointee.countsRequests else { return nil }
        let place = upstream.pointee.place
        let concurrency = shared.outlook.concurrency(place)
        return UpstreamState.Load(
            inFlight: concurrency.inFlight, limit: concurrency.limit(upstream.pointee.concurrency),
            waiting: Int(clamping: shared.outlook.queued(place)[0].load(ordering: .relaxed)),
            recovering: Int(clamping: shared.outlook.recovering(place)[0].load(ordering: .relaxed)))
    }

    // MARK: life and readiness

    func healthJSON() -> String {
        let configuration = self.configuration
        var out = JSONLine()
        out.member("status", "ok")
        out.member("version", Build.version)
        out.member("config_version", configuration.version)
        out.member("git_commit", configuration.gitCommit)
        out.member("uptime_seconds", uptimeSeconds)
        out.member("draining", isDraining)
        return out.text
    }

    /// Ready means: started, not draining, and each route has an upstream that took the last connection it was asked for.
    func readiness() -> Readiness {
        var out = Readiness()
        if isDraining { out.reasons.append("draining") }
        if runners.isEmpty { out.reasons.append("not started") } else if !isDraining, hasEnded { out.reasons.append("ended") }
        let owner = newestPlan
        let states = upstreamStates(of: owner)
        let routes = owner.ref.pointee.routes
        // Behind those that are matched stand the profiles' own, which are the same once more.
        for index in 0..<owner.ref.pointee.index.routeCount {
            let route = routes[index].pointee
            var upstreams: [(name: String, isUsable: Bool, problem: String?)] = []
            for at in 0..<route.targets.count + route.fallbacks.count {
                let target = at < route.targets.count ? route.targets[at] : route.fallbacks[at - route.targets.count]
                let state = states[target.pointee.upstream]
                if !upstreams.contains(where: { $0.name == state.name }) { upstreams.append((state.name, state.isUsable, state.problem)) }
            }
            let id = route.id.string
            out.routes.append((id, upstreams))
            if !upstreams.contains(where: { $0.isUsable }) { out.reasons.append("no usable upstream for route \(id)") }
        }
        return out
    }

    // MARK: listeners

    private func listenerStates() -> [String] {
        let owner = newestPlan
        let compiled = owner.ref.pointee.listeners
        return owner.configuration.server.places.enumerated().map { index, listener in
            var out = JSONLine()
            out.member("name", listener.name)
            let address = addresses.indices.contains(index) ? addresses[index] : nil
            out.member("address", listener.address)
            if listener.address.hasPrefix("unix:") { out.member("port", nil as String?) } else { out.member("port", Int(address?.port ?? listener.port)) }
            out.member("protocols", list: listener.protocols.map { JSONLine.quoted($0.rawValue) })
            out.member("proxy_protocol", listener.proxyProtocol)
            if let tls = listener.tls, index < compiled.count, let settings = compiled[index].pointee.tls {
                var line = JSONLine()
                let expires = claw_tls_expires(settings)
                if expires > 0 { line.member("certificate_expires", Int(expires)) } else { line.member("certificate_expires", nil as String?) }
                line.member("certificates", tls.pairs.count)
                line.member("client_auth", tls.clientAuth.rawValue)
                line.member("min_version", tls.versionMin.rawValue)
                line.member("kernel_tls", tls.kernelTLS)
                out.member("tls", raw: line.text)
            } else {
                out.member("tls", nil as String?)
            }
            return out.text
        }
    }

    /// What TLS is made of, and whether the kernel takes part in it.
    private static func librariesJSON() -> String {
        var kernel: UnsafePointer<CChar>?
        var out = JSONLine()
        out.member("tls", claw_tls_library(&kernel).map { String(cString: $0) })
        out.member("kernel_tls", kernel.map { String(cString: $0) })
        return out.text
    }

    // MARK: status

    func statusJSON() -> String {
        noteOverflow()
        let configuration = self.configuration
        let (open, reloads, refused, lastError, serial) = plans.withLock { ($0.owners.count, $0.reloads, $0.rejected, $0.lastError, Int($0.serial)) }
        let bodyMemory = claw_word_load_relaxed(shared.bodyMemory)
        var out = JSONLine()
        out.member("version", Build.version)
        out.member("pid", Int(getpid()))
        out.member("uptime_seconds", uptimeSeconds)
        out.member("draining", isDraining)
        out.member("backend", backendName)
        out.member("workers", workerTotal)
        out.member("connections", Int(gauge(.connections)))
        out.member("streams", Int(gauge(.streams)))
        out.member("pending", Int(gauge(.pending)))
        out.member("requests_total", Int(truncatingIfNeeded: seriesSum().total(.requests)))
        out.member("buffers_in_use", Int(gauge(.buffers)))
        out.member("body_memory_bytes", Int(truncatingIfNeeded: bodyMemory))
        out.member("log_lines_dropped", Int(truncatingIfNeeded: logLinesDropped))
        var config = JSONLine()
        config.member("version", configuration.version)
        config.member("git_commit", configuration.gitCommit)
        config.member("path", configuration.path)
        config.member("reloads_ok", reloads)
        config.member("reloads_refused", refused)
        config.member("last_error", lastError)
        config.member("open_plans", open)
        config.member("plans_compiled", serial)
        out.member("config", raw: config.text)
        out.member("listeners", list: listenerStates())
        out.member("libraries", raw: Self.librariesJSON())
        var happened = JSONLine()
        happened.member("last", Int(clamping: bus.last))
        happened.member("dropped", Int(clamping: eventsDropped))
        out.member("events", raw: happened.text)
        out.member("upstreams", list: upstreamStates().map(\.json))
        return out.text
    }
}

/// One JSON object on one line, written member by member.
struct JSONLine {
    private var members = ""

    var text: String { "{\(members)}" }

    static func quoted(_ text: String) -> String { PlanCompiler.jsonString(text) }

    mutating func member(_ name: String, raw: String) {
        if !members.isEmpty { members += "," }
        members += "\"\(name)\":\(raw)"
    }
    mutating func member(_ name: String, _ value: String?) { member(name, raw: value.map(Self.quoted) ?? "null") }
    mutating func member(_ name: String, _ value: Int) { member(name, raw: String(value)) }
    mutating func member(_ name: String, _ value: Bool) { member(name, raw: value ? "true" : "false") }
    mutating func member(_ name: String, list: [String]) { member(name, raw: "[\(list.joined(separator: ","))]") }
}
