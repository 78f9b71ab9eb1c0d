// What an upstream says of its failures: breaker, cool-downs of its keys, how many requests it takes at a time, health; and what a route says of further
// tries: retries and hedging.

import ClawPolicy

enum ResilienceTable {
    // MARK: Breaker and cool-downs

    static func breaker() -> Option<Upstream> {
        .section("breaker", \.breaker, breakerTable(), BreakerSettings(), "Circuit breaker, one for each kind of traffic: an upstream that fails gets nothing for a while. Rate limits and wrong keys do not count.")
    }

    private static func breakerTable() -> Table<BreakerSettings> {
        Table(options: [
            .flag("enabled", \.isEnabled, "false: never opens."),
            .seconds("window_seconds", 1...3600, \.window, "Time over which the share of failures is taken."),
            .integer("min_samples", 1...1_000_000, \.samplesMin, "Requests within the window before the share counts."),
            .decimal("failure_ratio", 0.01...1, \.failureRatio, "Share of failures within the window that opens it."),
            .integer("consecutive_failures", 1...1_000_000, \.consecutiveFailures, "Failures in a row that open it."),
            .seconds("open_seconds", 0.001...86400, \.open, "How long it stays open; doubled each time it opens again at once."),
            .seconds("max_open_seconds", 0.001...86400, \.openMax, "Never longer than this. Not less than `open_seconds`."),
            .integer("half_open_probes", 1...1000, \.halfOpenProbes, "Requests at one time that try whether it is well again."),
            .integer("half_open_successes", 1...1000, \.halfOpenSuccesses, "How many of them have to go well before it closes."),
        ])
    }

    static func cooldown() -> Option<Upstream> {
        .section("cooldown", \.cooldown, cooldownTable(), CooldownSettings(), "How long a key is left alone after a failure that is the key's (rate limits, refused keys).")
    }

    private static func cooldownTable() -> Table<CooldownSettings> {
        Table(options: [
            .seconds("base_seconds", 0.001...86400, \.base, "The first time, where the provider does not say how long; doubled with each further failure."),
            .seconds("max_seconds", 0...86400, \.max, "Never longer, whatever the provider says; 0: keys never cool down. Not less than `base_seconds`."),
            .seconds("auth_probe_seconds", 0.001...604_800, \.authProbe, "How long a refused key (401, 403) is left alone before it is tried again."),
            .seconds("probe_interval_seconds", 0.001...3600, \.probeInterval, "When all keys cool and no provider said for how long: one request in this time is let through."),
            .decimal("reserve_ratio", 0...1, \.reserveRatio, "A key with less than this share of its limit left is used only where no other is."),
        ])
    }

    // MARK: Concurrency

    static func concurrency() -> [Option<Upstream>] {
        let table = Table<ConcurrencySettings>(options: [
            .integer("min", 1...1_000_000, \.min, "It never goes below."),
            .decimal("decrease", 0.1...0.99, \.decrease, "What is kept of it each time it is lowered."),
        ])
        return [
            .integer("max_concurrency", 0...1_000_000, \.concurrency.max, "Requests at one time; 0: no limit."),
            Option<Upstream>.integer("max_pending", 0...1_000_000, \.concurrency.pendingMax, "Requests that may wait for their turn, fairly between tenants; beyond: 503 with Retry-After.")
                .shown { $0.concurrency.max > 0 }.defaulting("1024"),
            Option(key: "adaptive_concurrency", type: "true, false or a map",
                   doc: "Finds the limit by itself, up to `max_concurrency`: lower when the upstream has too much, higher by one for each full round that went well.", defaultText: "false",
                   children: { table.rows(ConcurrencySettings()) },
                   read: { upstream, node, key, loading in
                       if case .map = node.value {
                           upstream.concurrency.isAdaptive = true
                           table.read(node, into: &upstream.concurrency, at: key, loading)
                       } else if let flag = loading.flag(node, key) {
                           upstream.concurrency.isAdaptive = flag
                       }
                   },
                   write: { $0.concurrency.max == 0 ? nil : $0.concurrency.isAdaptive ? table.write($0.concurrency) : .flag(false) }),
        ]
    }

    // MARK: Health

    static func health() -> Option<Upstream> {
        let table = Table<Upstream>(options: [active(), passive()])
        return Option(key: "health", type: "map", doc: "Whether its endpoints are well.", children: { table.rows(Upstream(name: "", type: .openai)) },
                      read: { upstream, node, key, loading in table.read(node, into: &upstream, at: key, loading) },
                      write: { upstream in
                          guard case .object(let members) = table.write(upstream), !members.isEmpty else { return nil }
                          return .object(members)
                      })
    }

    private enum Probe: String, CaseIterable { case tcp, modelHandshake = "model_handshake" }

    private static func active() -> Option<Upstream> {
        let table = Table<ProbeSettings>(options: [
            Option(key: "path", type: "a path", doc: "Asked with GET, below the host's root.",
                   read: { probe, node, key, loading in
                       if let path = checkedText(node, key, loading, "a path", { isTarget($0) ? nil : "expected a path that begins with /" }) { probe.kind = .http(path: path) }
                   },
                   write: { if case .http(let path) = $0.kind { .text(path) } else { nil } }),
            Option(key: "probe", type: "one of tcp, model_handshake", doc: "Instead of `path`: a connection, or a completion of one token by the real model with the real key.",
                   read: { probe, node, key, loading in
                       guard let kind = chosen(node, key, loading, Probe.self, later: []) else { return }
                       probe.kind = kind == .tcp ? .tcp : .modelHandshake
                   },
                   write: { probe in
                       switch probe.kind { case .http: nil; case .tcp: .text(Probe.tcp.rawValue); case .modelHandshake: .text(Probe.modelHandshake.rawValue) }
                   }).defaulting(""),
            Option<ProbeSettings>.text("model", type: "a model id", \.model, "Which model `model_handshake` asks.") { Names.isModel($0) ? nil : "expected a model id" }
                .shown { !$0.model.isEmpty }.defaulting("the first of `models`"),
            .seconds("interval_seconds", 0.1...86400, \.interval, "From one probe to the next."),
            .seconds("timeout_seconds", 0.001...3600, \.timeout, "An answer that takes longer is a failure. Never more than `interval_seconds`."),
            .integer("unhealthy_after", 1...1000, \.unhealthyAfter, "Failures in a row after which an endpoint gets no requests."),
            .integer("healthy_after", 1...1000, \.healthyAfter, "Successes in a row after which it gets requests again."),
            statuses(),
        ])
        return Option(key: "active", type: "map", doc: "A probe of each endpoint at an interval; needs `path` or `probe`.", children: { table.rows(ProbeSettings()) },
                      read: { upstream, node, key, loading in
                          var probe = ProbeSettings()
                          table.read(node, into: &probe, at: key, loading)
                          upstream.probe = probe
                      },
                      write: { $0.probe.map(table.write) })
    }

    private static func isTarget(_ text: String) -> Bool {
        text.hasPrefix("/") && text.utf8.count <= 8192 && text.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x23 }
    }

    private static func statuses() -> Option<ProbeSettings> {
        let form = "a status or [from, to]"
        return Option(key: "statuses", type: form, doc: "Statuses that count as well, with `path`: both ends and all between them.",
                      read: { probe, node, key, loading in
                          if case .scalar = node.value {
                              if let status = loading.integer(node, key, 100...599) { probe.statuses = status...status }
                              return
                          }
                          guard let items = node.items, items.count == 2 else {
                              return loading.error(node.place, key, "expected \(form), found \(node.items.map { "\($0.count) items" } ?? node.kind)")
                          }
                          loading.note(node, key)
                          let ends = items.compactMap { loading.integer($0, key, 100...599) }
                          guard ends.count == 2 else { return }
                          guard ends[0] <= ends[1] else { return loading.error(node.place, key, "expected the lower end first, found [\(ends[0]), \(ends[1])]") }
                          probe.statuses = ends[0]...ends[1]
                      },
                      write: { probe in
                          guard case .http = probe.kind else { return nil }
                          return .array([.integer(probe.statuses.lowerBound), .integer(probe.statuses.upperBound)])
                      }).defaulting("[200, 399]")
    }

    private static func passive() -> Option<Upstream> {
        let table = Table<OutlierSettings>(options: [
            .flag("enabled", \.isEnabled, "false: no endpoint is left out for what its requests came to."),
            .integer("consecutive_failures", 1...1_000_000, \.consecutiveFailures, "Failures in a row after which an endpoint is left out."),
            .seconds("ejection_seconds", 0.001...86400, \.ejection, "For how long; longer with each time."),
            .seconds("max_ejection_seconds", 0.001...86400, \.ejectionMax, "Never longer than this. Not less than `ejection_seconds`."),
            .decimal("max_ejected_ratio", 0...1, \.ejectedRatioMax, "Share of endpoints that may be left out; beyond it all are asked again."),
            .seconds("slow_start_seconds", 0...3600, \.slowStart, "How long the share of an endpoint that returns grows from a tenth to the whole; 0: at once."),
        ])
        return Option(key: "passive", type: "map", doc: "Leaves out an endpoint whose requests fail, of an upstream that has several.", children: { table.rows(OutlierSettings()) },
                      read: { upstream, node, key, loading in table.read(node, into: &upstream.outlier, at: key, loading) },
                      write: { hasSeveralEndpoints($0) ? table.write($0.outlier) : nil })
    }

    private static func hasSeveralEndpoints(_ upstream: Upstream) -> Bool { upstream.endpoints.count > 1 || upstream.discovery != nil }

    // MARK: What goes together

    static func check(_ upstream: inout Upstream, _ node: DocumentNode, _ path: String, _ loading: Loading) {
        if let breaker = node.member("breaker") {
            order(\.breaker.open, \.breaker.openMax, ("open_seconds", "max_open_seconds"), &upstream, breaker, dotted(path, "breaker"), loading)
        }
        if let cooldown = node.member("cooldown"), upstream.cooldown.max > 0 {
            order(\.cooldown.base, \.cooldown.max, ("base_seconds", "max_seconds"), &upstream, cooldown, dotted(path, "cooldown"), loading)
        }
        checkConcurrency(upstream, node, path, loading)
        guard let health = node.member("health") else { return }
        if let passive = health.member("passive") {
            let path = "\(path).health.passive"
            order(\.outlier.ejection, \.outlier.ejectionMax, ("ejection_seconds", "max_ejection_seconds"), &upstream, passive, path, loading)
            if node.member("endpoints") == nil || upstream.endpoints.count == 1 && upstream.discovery == nil {
                loading.warn(passive.place, path, "has no effect on an upstream with one endpoint")
            }
        }
        if let active = health.member("active"), active.members != nil { checkProbe(&upstream, node, active, "\(path).health.active", loading) }
    }

    /// A first time and the longest: what was not written gives way, and two that contradict each other are an error.
    private static func order(
        _ first: WritableKeyPath<Upstream, UInt64>, _ longest: WritableKeyPath<Upstream, UInt64>, _ keys: (first: String, longest: String),
        _ upstream: inout Upstream, _ node: DocumentNode, _ path: String, _ loading: Loading
    ) {
        guard upstream[keyPath: first] > upstream[keyPath: longest] else { return }
        if let written = node.member(keys.longest), node.member(keys.first) != nil {
            loading.error(written.place, dotted(path, keys.longest), "expected at least \(keys.first), \(Canonical.seconds(upstream[keyPath: first]).json(.masked)), found \(Canonical.seconds(upstream[keyPath: longest]).json(.masked))")
        } else if node.member(keys.longest) != nil {
            upstream[keyPath: first] = upstream[keyPath: longest]
        } else {
            upstream[keyPath: longest] = upstream[keyPath: first]
        }
    }

    private static func checkConcurrency(_ upstream: Upstream, _ node: DocumentNode, _ path: String, _ loading: Loading) {
        // A limit that could not be read has been complained of.
        let isLimited = upstream.concurrency.max > 0 || node.member("max_concurrency").map { if case .scalar("0", _) = $0.value { false } else { true } } ?? false
        if let pending = node.member("max_pending"), !isLimited { loading.error(pending.place, dotted(path, "max_pending"), "has no effect without max_concurrency") }
        guard let adaptive = node.member("adaptive_concurrency"), upstream.concurrency.isAdaptive else { return }
        let key = dotted(path, "adaptive_concurrency")
        if !isLimited {
            loading.error(adaptive.place, key, "needs max_concurrency, the limit it stays below")
        } else if upstream.concurrency.max > 0, upstream.concurrency.min > upstream.concurrency.max {
            loading.error(adaptive.member("min")?.place ?? adaptive.place, "\(key).min", "expected at most max_concurrency, \(upstream.concurrency.max), found \(upstream.concurrency.min)")
        }
    }

    private static func checkProbe(_ upstream: inout Upstream, _ node: DocumentNode, _ active: DocumentNode, _ path: String, _ loading: Loading) {
        guard let probe = upstream.probe else { return }
        if let kind = active.member("probe"), active.member("path") != nil { return loading.error(kind.place, dotted(path, "probe"), "give either path or probe") }
        if active.member("probe") == nil, active.member("path") == nil {
            return loading.error(active.place, path, "nothing to ask; expected path, or probe: tcp or model_handshake")
        }
        func only(_ key: String, _ isKnown: Bool, _ with: String) {
            if let member = active.member(key), !isKnown { loading.error(member.place, dotted(path, key), "has an effect with \(with) only") }
        }
        only("statuses", active.member("path") != nil, "path")
        only("model", probe.kind == .modelHandshake, "probe: model_handshake")
        if probe.timeout > probe.interval {
            if let timeout = active.member("timeout_seconds") {
                loading.error(timeout.place, dotted(path, "timeout_seconds"), "expected at most interval_seconds, \(Canonical.seconds(probe.interval).json(.masked)), found \(Canonical.seconds(probe.timeout).json(.masked))")
            } else {
                upstream.probe?.timeout = probe.interval
            }
        }
        guard probe.kind == .modelHandshake else { return }
        let kind = active.member("probe") ?? active
        if upstream.type == .http {
            loading.error(kind.place, dotted(path, "probe"), "an upstream of type http has no model to ask; expected path, or probe: tcp")
        } else if active.member("model") == nil, node.member("models") == nil {
            loading.error(kind.place, dotted(path, "model"), "missing; model_handshake asks it, or the first of the upstream's models")
        } else if let model = active.member("model"), !probe.model.isEmpty, !upstream.models.isEmpty,
                  !upstream.models.contains(where: { $0.id == probe.model || $0.alias == probe.model }) {
            loading.error(model.place, dotted(path, "model"), "the upstream lists no model of this name\(Suggestion.hint(for: probe.model, among: upstream.models.map(\.alias)))")
        }
    }

    // MARK: Routes

    static func retries() -> Table<RetrySettings> {
        Table(options: [
            .integer("max_attempts", 1...6, \.attemptsMax, "Attempts in all, the first included."),
            .decimal("budget", 0...1, \.budget, "Retries as a share of this route's requests (over 10 s), so that they cannot multiply an outage."),
            .integer("min_per_second", 0...1_000_000, \.perSecondMin, "Retries a second that are allowed beside the budget."),
            .milliseconds("backoff_ms", 1...60_000, \.backoffBase, "Longest wait of the first `backoff`, doubled with each attempt; the wait is anything from 0 to this (full jitter)."),
            .milliseconds("max_backoff_ms", 1...600_000, \.backoffMax, "Never longer than this. Not less than `backoff_ms`."),
        ])
    }

    static func checkRetries(_ route: inout Route, _ node: DocumentNode, _ path: String, _ loading: Loading) {
        guard let retries = node.member("retries"), route.retries.backoffBase > route.retries.backoffMax else { return }
        if let written = retries.member("max_backoff_ms"), retries.member("backoff_ms") != nil {
            loading.error(written.place, "\(path).retries.max_backoff_ms", "expected at least backoff_ms, \(route.retries.backoffBase / 1_000_000), found \(route.retries.backoffMax / 1_000_000)")
        } else if retries.member("max_backoff_ms") != nil {
            route.retries.backoffBase = route.retries.backoffMax
        } else {
            route.retries.backoffMax = route.retries.backoffBase
        }
    }

    private static let quantiles: [(word: String, after: HedgeSettings.After)] = [("p50_ttft", .p50), ("p90_ttft", .p90), ("p95_ttft", .p95), ("p99_ttft", .p99)]

    static func hedge() -> Option<Route> {
        let words = quantiles.map(\.word).joined(separator: ", ")
        let table = Table<HedgeSettings>(options: [
            Option(key: "after", type: "one of \(words)", doc: "How late: a quantile of the upstream's times to the first token.", defaultText: "p95_ttft",
                   read: { hedge, node, key, loading in
                       guard let text = loading.text(node, key, expected: "one of \(words)") else { return }
                       if let found = quantiles.first(where: { $0.word == text.string }) { return hedge.after = found.after }
                       let hint = text.names.isEmpty ? Scalars.integer(text.string) != nil ? "; milliseconds are `after_ms`" : Suggestion.hint(for: text.string, among: quantiles.map(\.word)) : ""
                       loading.error(node.place, key, "expected one of \(words), found \(text.shown)\(hint)")
                   },
                   write: { hedge in quantiles.first { $0.after == hedge.after }.map { .text($0.word) } }),
            Option(key: "after_ms", type: "milliseconds 1…600000", doc: "How late, instead of `after`.",
                   read: { hedge, node, key, loading in
                       if let value = loading.integer(node, key, 1...600_000) { hedge.after = .nanoseconds(UInt64(value) * 1_000_000) }
                   },
                   write: { if case .nanoseconds(let time) = $0.after { Canonical.milliseconds(time) } else { nil } }),
            .decimal("max_ratio", 0...1, \.ratioMax, "Second attempts as a share of requests."),
        ])
        return Option(key: "hedge", type: "map", doc: "A second attempt at the next candidate when the first token is late; the one that answers first wins, the other is cancelled. Without it: none.",
                      children: { table.rows(HedgeSettings()) },
                      read: { route, node, key, loading in
                          var hedge = HedgeSettings()
                          table.read(node, into: &hedge, at: key, loading)
                          if let time = node.member("after_ms"), node.member("after") != nil { loading.error(time.place, dotted(key, "after_ms"), "give either after or after_ms") }
                          route.hedge = hedge
                      },
                      write: { $0.hedge.map(table.write) })
    }
}
