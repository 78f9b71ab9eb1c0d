// What the gateway says of itself to operators: life, readiness, status and upstreams, as JSON. Read on the admin thread from words the workers
// write, and from plans that are kept while they are looked at.
import CClaw
import ClawConfig
import Glibc

/// What is known of an upstream right now.
struct UpstreamState {
    struct Endpoint {
        var place: Int
        /// "http://host:port"; never with credentials.
        var url: String
        /// libcurl keeps its connections to itself.
        var isCurl: Bool
        /// No connection failed within the last seconds (`Worker.unavailableNanoseconds`).
        var isUsable: Bool
        /// Connections of all workers; those of the curl transport are not counted here.
        var links: UInt64
    }
    var name: String
    var type: UpstreamType
    var models: [String]
    var keys: [String]
    /// One per host and port, whatever the weights and base paths.
    var endpoints: [Endpoint]
    var isUsable: Bool { endpoints.contains(where: \.isUsable) }

    var json: String {
        var out = JSONLine()
        out.member("name", name)
        out.member("type", type.rawValue)
        out.member("usable", isUsable)
        out.member("keys", list: keys.map(JSONLine.quoted))
        out.member("models", list: models.map(JSONLine.quoted))
        out.member("endpoints", list: endpoints.map { endpoint in
            var line = JSONLine()
            line.member("url", endpoint.url)
            line.member("usable", endpoint.isUsable)
            if endpoint.isCurl { line.member("links", nil as String?) } else { line.member("links", Int(endpoint.links)) }
            return line.text
        })
        return out.text
    }
}

/// Whether requests should be sent here, and what speaks against it.
struct Readiness {
    var reasons: [String] = []
    var routes: [(id: String, upstreams: [(name: String, isUsable: Bool)])] = []
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
                endpoints.append(UpstreamState.Endpoint(
                    place: endpoint.place,
                    url: "\(endpoint.isTLS ? "https" : "http")://\(host.contains(":") ? "[\(host)]" : host):\(endpoint.port)", isCurl: endpoint.policy != nil,
                    isUsable: claw_word_load_relaxed(shared.unavailableUntil + endpoint.place) <= now,
                    links: workers.reduce(0) { $0 &+ claw_word_load_relaxed($1.linksOpen + endpoint.place) }))
            }
            return UpstreamState(
                name: upstream.name, type: upstream.type, models: upstream.models.map(\.alias), keys: upstream.keys.map(\.id), endpoints: endpoints)
        }
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
        for index in 0..<routes.count {
            let route = routes[index].pointee
            var upstreams: [(name: String, isUsable: Bool)] = []
            for at in 0..<route.targets.count {
                let state = states[route.targets[at].pointee.upstream]
                if !upstreams.contains(where: { $0.name == state.name }) { upstreams.append((state.name, state.isUsable)) }
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
        let (open, reloads, refused, lastError) = plans.withLock { ($0.owners.count, $0.reloads, $0.rejected, $0.lastError) }
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
        out.member("config", raw: config.text)
        out.member("listeners", list: listenerStates())
        out.member("libraries", raw: Self.librariesJSON())
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
