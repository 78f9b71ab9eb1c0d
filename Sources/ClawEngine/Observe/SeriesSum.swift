// The workers' metric pages added up for one scrape. Series meet under their rendered labels, not under their keys: two keys may read the same (two
// error classes share a name, an upstream may be called "other"), and a scraper refuses a text in which one series is there twice.
import ClawWire

struct SeriesSum {
    private let names: Registry.State
    /// By metric, then by labels as text.
    private var series: [Metric: [String: [UInt64]]] = [:]

    init(names: Registry.State) { self.names = names }

    mutating func add(_ page: MetricPage, worker: Int) {
        page.forEach { metric, labels, words in
            let text = metric.labels(labels, names, worker: worker)
            var sums = series[metric, default: [:]][text] ?? Array(repeating: 0, count: words.count)
            for (index, word) in words.enumerated() { sums[index] &+= word }
            series[metric, default: [:]][text] = sums
        }
    }

    /// Sum of a counter over all its series.
    func total(_ metric: Metric) -> UInt64 { (series[metric] ?? [:]).values.reduce(0) { $0 &+ $1[0] } }

    /// Writes every family that has series. Counters without labels are there from the start, at 0.
    func write(to out: inout Exposition) {
        for metric in Metric.allCases {
            var found = series[metric] ?? [:]
            if found.isEmpty, metric.isAlwaysThere { found[metric.labels((0, 0, 0, 0), names, worker: 0)] = [0] }
            guard !found.isEmpty else { continue }
            out.begin(metric.family, metric.shape == .counter ? .counter : .histogram, metric.help)
            for (labels, words) in found.sorted(by: { $0.key < $1.key }) {
                if metric == .cost {
                    out.sample(labels, seconds: Double(words[0]) / 1e9)
                } else if metric.shape == .counter {
                    out.sample(labels, words[0])
                } else {
                    let bounds = metric.shape == .fine ? Buckets.fine : Buckets.coarse
                    out.histogram(labels, buckets: words[0...bounds.count], bounds: bounds, sum: words[bounds.count + 2])
                }
            }
        }
    }
}

extension Metric {
    /// Name in the contract (spec/observability.md) without `_total`.
    var family: String {
        switch self {
        case .requests: "openclaw_requests"
        case .upstreamRequests: "openclaw_upstream_requests"
        case .requestDuration: "openclaw_request_duration_seconds"
        case .upstreamDuration: "openclaw_upstream_duration_seconds"
        case .timeToFirstToken: "openclaw_time_to_first_token_seconds"
        case .interToken: "openclaw_inter_token_seconds"
        case .overhead: "openclaw_overhead_seconds"
        case .tokens: "openclaw_tokens"
        case .upstreamErrors: "openclaw_upstream_errors"
        case .fallbacks: "openclaw_fallbacks"
        case .loopLag: "openclaw_event_loop_lag_seconds"
        case .refused: "openclaw_refused"
        case .clientDisconnects: "openclaw_client_disconnects"
        case .connectionsAccepted: "openclaw_connections_accepted"
        case .upstreamConnections: "openclaw_upstream_connections"
        case .streamsTruncated: "openclaw_streams_truncated"
        case .handshakes: "openclaw_tls_handshakes"
        case .tunnels: "openclaw_tunnels"
        case .tunnelBytes: "openclaw_tunnel_bytes"
        case .tunnelMessages: "openclaw_tunnel_messages"
        case .cost: "openclaw_estimated_cost_usd"
        case .keyFailures: "openclaw_key_failures"
        case .keyCooldowns: "openclaw_key_cooldowns"
        case .downgrades: "openclaw_downgrades"
        case .retries: "openclaw_retries"
        case .retriesRefused: "openclaw_retries_refused"
        case .shadows: "openclaw_shadow"
        case .hedges: "openclaw_hedges"
        case .resumes: "openclaw_resumes"
        }
    }

    var help: String {
        switch self {
        case .requests: "Requests answered, by route, status and method."
        case .upstreamRequests: "Attempts at upstreams, by the status that came back (0: none did)."
        case .requestDuration: "From the request's head to the last byte of its answer; of a tunnel, to its opening."
        case .upstreamDuration: "Duration of one attempt at an upstream."
        case .timeToFirstToken: "From the request's head to the first token of a stream."
        case .interToken: "Between two tokens of a stream, as they came from the upstream."
        case .overhead: "Time spent inside the gateway itself."
        case .tokens: "Tokens as the upstreams counted them; cached_input is part of input, reasoning part of output."
        case .upstreamErrors: "Attempts that failed, by class."
        case .fallbacks: "Moves to the next candidate after a failed attempt."
        case .loopLag: "Time a worker's turn took: how long an event may have waited."
        case .refused: "What was refused before it became a request."
        case .clientDisconnects: "Clients that went away before their answer was complete."
        case .connectionsAccepted: "Client connections accepted."
        case .upstreamConnections: "Connections opened to upstreams."
        case .streamsTruncated: "Answers that broke off after their beginning had gone out."
        case .handshakes: "TLS handshakes with clients that came to a good end, by version and whether a session was resumed."
        case .tunnels: "Tunnels opened: requests that switched to WebSocket or another protocol."
        case .tunnelBytes: "Bytes that came through tunnels, by the side that sent them."
        case .cost: "Cost of the tokens by the catalogue's prices, in USD."
        case .keyFailures: "Attempts whose key was over its limits or was refused."
        case .keyCooldowns: "Cool-downs of keys that began."
        case .downgrades: "Requests answered by another model than the one asked for, because that could not."
        case .retries: "Further attempts after a failed one, by why they were made."
        case .retriesRefused: "Further attempts that were not made because the route's retry budget was spent."
        case .shadows: "Requests that a mirror was to get a second time, by what came of the comparison."
        case .hedges: "Second attempts beside a first that was late, by which of them answered."
        case .resumes: "Streams that broke off and went on at another upstream, or could not."
        case .tunnelMessages: "WebSocket messages that came through tunnels, by the side that sent them."
        }
    }

    fileprivate var isAlwaysThere: Bool { self == .clientDisconnects || self == .connectionsAccepted }

    /// Names of the labels, in the order of the page's labels a, b, c, d where they come from there.
    private var labelNames: [String] {
        switch self {
        case .requests: ["route_id", "status", "method"]
        case .upstreamRequests: ["upstream_name", "model", "status"]
        case .requestDuration: ["route_id", "upstream_name"]
        case .upstreamDuration, .interToken, .upstreamConnections, .tunnels: ["upstream_name"]
        case .tunnelBytes, .tunnelMessages: ["upstream_name", "from"]
        case .cost: ["upstream_name", "model_name"]
        case .keyFailures, .keyCooldowns: ["upstream_name", "key_id"]
        case .downgrades: ["route_id", "from_model", "to_model"]
        case .retries: ["route_id", "reason"]
        case .retriesRefused: ["route_id"]
        case .shadows, .hedges, .resumes: ["route_id", "result"]
        case .timeToFirstToken: ["upstream_name", "model"]
        case .overhead, .streamsTruncated: ["route_id"]
        case .tokens: ["upstream_name", "model_name", "kind"]
        case .upstreamErrors: ["upstream_name", "model", "class"]
        case .fallbacks: ["route_id", "from", "to", "reason"]
        case .loopLag: ["worker"]
        case .refused: ["reason"]
        case .connectionsAccepted: ["listener"]
        case .handshakes: ["version", "resumed"]
        case .clientDisconnects: []
        }
    }

    func labels(_ key: (a: UInt16, b: UInt16, c: UInt16, d: UInt8), _ names: Registry.State, worker: Int) -> String {
        func name(_ list: [String], _ place: UInt16) -> String { Int(place) < list.count ? list[Int(place)] : list[0] }
        func errorClass(_ raw: UInt16) -> String { Int(raw) < ErrorClass.names.count ? ErrorClass.names[Int(raw)].description : "other" }
        let values: [String] = switch self {
        case .loopLag: ["\(worker)"]
        // The listener of `listen_address` has always been called so here.
        case .connectionsAccepted: [key.a <= 1 ? "data" : name(names.listeners, key.a)]
        case .handshakes: [key.a == 13 ? "1.3" : "1.2", key.b == 0 ? "false" : "true"]
        case .clientDisconnects: []
        case _ where key.d == MetricPage.overflowMark: Array(repeating: "other", count: labelNames.count)
        case .requests: [name(names.routes, key.a), "\(key.b)", Self.methodName(key.c)]
        case .upstreamRequests: [name(names.upstreams, key.a), name(names.models, key.b), "\(key.c)"]
        case .requestDuration: [name(names.routes, key.a), name(names.upstreams, key.b)]
        case .upstreamDuration, .interToken, .upstreamConnections, .tunnels: [name(names.upstreams, key.a)]
        case .cost: [name(names.upstreams, key.a), name(names.models, key.b)]
        case .keyFailures, .keyCooldowns: [name(names.upstreams, key.a), Self.keyName(name(names.keys, key.b), of: name(names.upstreams, key.a))]
        case .downgrades: [name(names.routes, key.a), name(names.models, key.b), name(names.models, key.c)]
        case .retries: [name(names.routes, key.a), Int(key.b) < AttemptReason.names.count ? AttemptReason.names[Int(key.b)].description : "other"]
        case .retriesRefused: [name(names.routes, key.a)]
        case .shadows: [name(names.routes, key.a), ShadowResult.name(key.b)]
        case .hedges: [name(names.routes, key.a), HedgeResult.name(key.b)]
        case .resumes: [name(names.routes, key.a), ResumeResult.name(key.b)]
        case .tunnelBytes, .tunnelMessages: [name(names.upstreams, key.a), key.b == 0 ? "client" : "upstream"]
        case .timeToFirstToken: [name(names.upstreams, key.a), name(names.models, key.b)]
        case .overhead, .streamsTruncated: [name(names.routes, key.a)]
        case .tokens: [name(names.upstreams, key.a), name(names.models, key.b), Self.tokenKind(key.c)]
        case .upstreamErrors: [name(names.upstreams, key.a), name(names.models, key.b), errorClass(key.c)]
        case .fallbacks: [name(names.routes, key.a), name(names.upstreams, key.b), name(names.upstreams, key.c), errorClass(UInt16(key.d))]
        case .refused: [Int(key.a) < RefusalLabel.names.count ? RefusalLabel.names[Int(key.a)] : "other"]
        }
        return Exposition.labels(zip(labelNames, values).map { (name: $0, value: $1) })
    }

    /// Keys are registered as "UPSTREAM ID", because ids are the upstream's own.
    private static func keyName(_ name: String, of upstream: String) -> String {
        name.hasPrefix(upstream + " ") ? String(name.dropFirst(upstream.count + 1)) : name
    }

    private static func methodName(_ raw: UInt16) -> String {
        HTTPMethod(rawValue: UInt8(truncatingIfNeeded: raw)).map { Worker.name(of: $0).description } ?? "OTHER"
    }

    /// Places as `Worker.account` counts them.
    private static func tokenKind(_ place: UInt16) -> String {
        switch place {
        case 0: "input"
        case 1: "output"
        case 2: "cached_input"
        case 3: "reasoning"
        default: "other"
        }
    }
}
