// What GET /metrics says: the workers' pages added up, then the gauges of the gateway and of its process. Only what this version has a source for is
// written: a metric that nothing feeds is left out, so that 0 always means that nothing happened.
import CClaw
import ClawConfig
import ClawPolicy

extension Gateway {
    /// - Parameter adminConnections: open connections of the admin listener.
    func exposition(_ format: Exposition.Format, adminConnections: Int) -> [UInt8] {
        noteOverflow()
        var out = Exposition(format)
        seriesSum().write(to: &out)
        writeLoad(to: &out, adminConnections: adminConnections)
        writeUpstreams(to: &out)
        writeOutlook(to: &out)
        writeConfiguration(to: &out)
        Self.writeProcess(to: &out)
        out.end()
        return out.bytes
    }

    func seriesSum() -> SeriesSum {
        var sum = SeriesSum(names: registry.names())
        for worker in workers { sum.add(worker.metrics, worker: worker.index) }
        return sum
    }

    var workers: [Worker] { runners.compactMap(\.worker) }

    func gauge(_ gauge: MetricPage.Gauge) -> UInt64 { workers.reduce(0) { $0 &+ $1.metrics.gauge(gauge) } }

    var logLinesDropped: UInt64 { workers.reduce(0) { $0 &+ claw_word_load_relaxed($1.log.dropped) } }

    /// Says once in the log that a worker ran out of series.
    func noteOverflow() {
        guard hasSeriesOverflow else { return }
        let isFirst = plans.withLock { plans in
            defer { plans.overflowLogged = true }
            return !plans.overflowLogged
        }
        if isFirst { events(.warn, "more series than metrics.max_series (\(configuration.metrics.seriesMax)): new ones are counted under the labels \"other\"") }
    }

    private var hasSeriesOverflow: Bool { workers.contains { claw_word_load($0.metrics.overflow) != 0 } }

    // MARK: gauges

    private func writeLoad(to out: inout Exposition, adminConnections: Int) {
        let data = Exposition.labels([("listener", "data")])
        out.begin("openclaw_connections", .gauge, "Open client connections.")
        out.sample(Exposition.labels([("listener", "admin")]), UInt64(max(0, adminConnections)))
        out.sample(data, gauge(.connections))
        out.begin("openclaw_streams_active", .gauge, "Requests being answered.")
        out.sample(data, gauge(.streams))
        out.begin("openclaw_tunnels_open", .gauge, "WebSockets and other tunnels that are open.")
        out.sample(data, gauge(.tunnels))
        out.begin("openclaw_pending", .gauge, "Requests that wait for an upstream connection or a name.")
        out.sample(data, gauge(.pending))
        out.begin("openclaw_buffers_in_use", .gauge, "Buffers of the event loops taken or lent to the kernel.")
        out.sample("", gauge(.buffers))
        out.begin("openclaw_mem_budget_used_bytes", .gauge, "Bytes of request bodies held, of server.max_body_memory_mb.")
        out.sample("", claw_word_load_relaxed(shared.bodyMemory))
        out.begin("openclaw_log_dropped", .counter, "Request log lines dropped because their writer was too slow.")
        out.sample("", logLinesDropped)
        out.begin("openclaw_log_write_failures", .counter, "Batches of log lines the file system refused.")
        out.sample("", UInt64(max(0, logWriteFailures)))
        out.begin("openclaw_series_overflowed", .gauge, "1 when series beyond metrics.max_series are counted under the labels \"other\".")
        out.sample("", hasSeriesOverflow ? 1 : 0)
    }

    private func writeUpstreams(to out: inout Exposition) {
        let states = upstreamStates()
        out.begin("openclaw_upstream_healthy", .gauge, "1 while an endpoint gets requests; 0: probes or live traffic speak against it, or it could not be connected to just now.")
        for state in states {
            for endpoint in state.endpoints {
                out.sample(Exposition.labels([("upstream_name", state.name), ("endpoint", endpoint.url)]), endpoint.isUsable ? 1 : 0)
            }
        }
        let found = states.filter { $0.discovery != nil }
        if !found.isEmpty {
            out.begin("openclaw_discovery_up", .gauge, "1 while an upstream's source of endpoints answers; at 0 its last good set stays in force.")
            for state in found {
                guard let discovery = state.discovery else { continue }
                let isUp = discovery.health == .ok || discovery.health == .doubtful
                out.sample(Exposition.labels([("upstream_name", state.name), ("source", discovery.kind)]), isUp ? 1 : 0)
            }
        }
        let probed = health.figures.sorted { $0.key < $1.key }
        if !probed.isEmpty {
            out.begin("openclaw_probe", .counter, "Probes of endpoints (health.active), by what became of them. They stand in no request's account.")
            for (name, figures) in probed {
                for result in HealthKeeper.Result.allCases {
                    guard let count = figures.counts[result] else { continue }
                    out.sample(Exposition.labels([("upstream_name", name), ("result", result.rawValue)]), count)
                }
            }
            out.begin("openclaw_probe_tokens", .counter, "Tokens that providers say model handshakes have used.")
            for (name, figures) in probed where figures.tokens > 0 { out.sample(Exposition.labels([("upstream_name", name)]), figures.tokens) }
        }
        out.begin("openclaw_upstream_connections_open", .gauge, "Connections to endpoints without an egress proxy, busy or idle.")
        for state in states where state.endpoints.contains(where: { !$0.isCurl }) {
            out.sample(Exposition.labels([("upstream_name", state.name)]), state.endpoints.reduce(0) { $0 &+ $1.links })
        }
    }

    /// What the workers know together of the upstreams in force.
    private func writeOutlook(to out: inout Exposition) {
        let owner = plans.withLock { $0.owners[$0.owners.count - 1] }
        let upstreams = (0..<owner.ref.pointee.upstreams.count).map { owner.ref.pointee.upstreams[$0].pointee }
        let now = claw_monotonic_ns()
        out.begin("openclaw_breaker_state", .gauge, "Breakers by class of traffic: 0 closed, 1 half-open, 2 open.")
        for upstream in upstreams where upstream.breaker.isEnabled {
            for traffic in TrafficClass.allCases {
                let breaker = shared.outlook.breaker(upstream.place, traffic)
                // Of the classes that its kind of upstream does not have by itself, those that something happened to.
                guard traffic == (upstream.isModel ? .model : .http) || breaker.opensCount > 0 else { continue }
                let state: UInt64 = switch breaker.state(now: now) {
                case .closed: 0
                case .halfOpen: 1
                case .open: 2
                }
                out.sample(Exposition.labels([("upstream_name", upstream.name.string), ("traffic_class", traffic.word)]), state)
            }
        }
        let counted = upstreams.filter { $0.countsRequests }
        if counted.isEmpty { return }
        out.begin("openclaw_upstream_in_flight", .gauge, "Requests under way at upstreams with a limit, or whose strategy looks at it.")
        for upstream in counted { out.sample(Exposition.labels([("upstream_name", upstream.name.string)]), UInt64(max(0, shared.outlook.concurrency(upstream.place).inFlight))) }
        out.begin("openclaw_upstream_concurrency_limit", .gauge, "How many requests may be under way at an upstream now; one without a limit is left out.")
        for upstream in counted {
            guard let limit = shared.outlook.concurrency(upstream.place).limit(upstream.concurrency) else { continue }
            out.sample(Exposition.labels([("upstream_name", upstream.name.string)]), UInt64(max(0, limit)))
        }
        out.begin("openclaw_upstream_waiting", .gauge, "Requests that wait for a place at an upstream, or for one of its keys to be usable again.")
        for upstream in counted {
            let waiting = shared.outlook.queued(upstream.place)[0].load(ordering: .relaxed) &+ shared.outlook.recovering(upstream.place)[0].load(ordering: .relaxed)
            out.sample(Exposition.labels([("upstream_name", upstream.name.string)]), waiting)
        }
    }

    private func writeConfiguration(to out: inout Exposition) {
        let configuration = self.configuration
        let reloads = plans.withLock { (ok: $0.reloads, refused: $0.rejected) }
        out.begin("openclaw_config", .information, "The configuration in force.")
        out.sample(Exposition.labels([("version", configuration.version), ("git_sha", configuration.gitCommit ?? "")]), 1)
        out.begin("openclaw_config_reloads", .counter, "Reloads, by what became of them.")
        out.sample(Exposition.labels([("result", "ok")]), UInt64(reloads.ok))
        out.sample(Exposition.labels([("result", "refused")]), UInt64(reloads.refused))
        out.begin("openclaw_build", .information, "The program.")
        out.sample(Exposition.labels([("version", Build.version), ("mode", Build.mode), ("backend", backendName)]), 1)
    }

    /// The process metrics every client library of Prometheus has, under their usual names.
    private static func writeProcess(to out: inout Exposition) {
        var process = claw_process()
        guard claw_process_read(&process) >= 0 else { return }
        out.begin("process_cpu_seconds", .counter, "User and system CPU time.")
        out.sample("", seconds: Double(process.cpu_user_ns &+ process.cpu_system_ns) / 1e9)
        out.begin("process_resident_memory_bytes", .gauge, "Resident memory.")
        out.sample("", process.resident)
        out.begin("process_virtual_memory_bytes", .gauge, "Virtual memory.")
        out.sample("", process.virtual_bytes)
        out.begin("process_open_fds", .gauge, "Open file descriptors.")
        out.sample("", process.descriptors)
        out.begin("process_max_fds", .gauge, "Limit of open file descriptors.")
        out.sample("", process.descriptors_max)
        out.begin("process_threads", .gauge, "Threads.")
        out.sample("", process.threads)
        out.begin("process_start_time_seconds", .gauge, "Start of the process in seconds since the epoch.")
        out.sample("", seconds: process.start_time)
    }
}

/// The program itself.
public enum Build {
    public static let version = "0.1.0"
    #if DEBUG
    public static let mode = "debug"
    #else
    public static let mode = "release"
    #endif
}
