// The checked configuration: what openclaw.yaml says, typed, complete with defaults and free of contradictions. Everything downstream
// (the engine's compiled plan) is made from this value and nothing else. Times are nanoseconds, sizes are bytes.

/// A secret: prints as *** plus its last four characters wherever it could be printed, by reflection (`dump`) too.
public struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public let value: String
    public init(_ value: String) { self.value = value }
    public var description: String { value.utf8.count > 8 ? "***" + String(value.suffix(4)) : "***" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

public struct Configuration: Sendable {
    public var server = Server()
    public var upstreams: [Upstream] = []
    public var routes: [Route] = []
    public var logging = Logging()
    public var metrics = Metrics()
    public var security = Security()
    /// SHA-256 (hex) of the canonical form.
    public var version = ""
    /// Commit of the git folder the file lies in, if any.
    public var gitCommit: String?
    /// Path of the file, for messages and reload.
    public var path = ""
    /// The effective configuration as canonical JSON with every secret masked (for /admin/config).
    public var maskedJSON = "{}"
    public init() {}
}

public struct Server: Sendable {
    public var listenAddress = "127.0.0.1"
    public var listenPort: UInt16 = 8080
    public var timeoutNanoseconds: UInt64 = 60_000_000_000
    /// nil: one per core.
    public var workers: Int?
    public enum Backend: String, Sendable, CaseIterable { case auto, epoll, uring = "io_uring" }
    public var ioBackend = Backend.auto
    public var drainNanoseconds: UInt64 = 120_000_000_000
    public var bodyBytesMax = 32 << 20
    public var headBytesMax = 64 << 10
    public var targetBytesMax = 16 << 10
    public var fieldsMax = 100
    public var connectionsMax = 65536
    /// Request bodies held at one time over all requests of the process (`max_body_memory_mb`).
    public var bodyMemoryBytesMax = 1 << 30
    /// Answer bytes held per stream for a slow client (`stream_buffer_kb`).
    public var streamBufferBytes = 64 << 10
    public var idleTimeoutNanoseconds: UInt64 = 75_000_000_000
    public var headerTimeoutNanoseconds: UInt64 = 10_000_000_000
    /// Time to receive a complete body (`body_timeout_seconds`) and to make progress writing (`write_timeout_seconds`).
    public var bodyTimeoutNanoseconds: UInt64 = 60_000_000_000
    public var writeTimeoutNanoseconds: UInt64 = 60_000_000_000
    /// `: ping` comments while a model thinks (`sse_ping_seconds`); 0: none.
    public var ssePingNanoseconds: UInt64 = 0
    /// Pipelined requests answered per connection before it is closed politely (`max_requests_per_connection`); 0: no limit.
    public var requestsPerConnectionMax = 0
    public var watchConfig = false
    public var admin = Admin()
    public init() {}
}

public struct Admin: Sendable {
    public var listenAddress = "127.0.0.1"
    public var listenPort: UInt16 = 9901
    public var token: Secret?
    public init() {}
}

public enum UpstreamType: String, Sendable, CaseIterable { case openai, generic, http }

public struct UpstreamKey: Sendable {
    public var id: String
    public var value: Secret
    public var weight = 1
    public init(id: String, value: Secret, weight: Int = 1) { self.id = id; self.value = value; self.weight = weight }
}

public struct Endpoint: Sendable {
    /// As written, checked to be an http or https URL.
    public var isTLS: Bool
    public var host: String
    public var port: UInt16
    /// Path prefix without trailing slash, e.g. "/v1".
    public var basePath: String
    public var weight = 1
    public init(isTLS: Bool, host: String, port: UInt16, basePath: String, weight: Int = 1) {
        self.isTLS = isTLS; self.host = host; self.port = port; self.basePath = basePath; self.weight = weight
    }
}

public struct Model: Sendable {
    /// The id sent upstream.
    public var id: String
    /// The name clients ask for; equals id when none was given.
    public var alias: String
    public init(id: String, alias: String) { self.id = id; self.alias = alias }
}

public struct Upstream: Sendable {
    public var name: String
    public var type: UpstreamType
    public var keys: [UpstreamKey] = []
    public var endpoints: [Endpoint] = []
    public var models: [Model] = []
    public var timeoutNanoseconds: UInt64 = 60_000_000_000
    public var connectTimeoutNanoseconds: UInt64 = 5_000_000_000
    public var firstByteTimeoutNanoseconds: UInt64 = 60_000_000_000
    public var idleStreamTimeoutNanoseconds: UInt64 = 60_000_000_000
    public var headers: [(name: String, value: String)] = []
    /// Connections per endpoint and worker (`max_connections_per_endpoint`); 0: no limit.
    public var connectionsPerEndpointMax = 0
    public var proxy: String?
    public var tls = UpstreamTLS()
    /// Ask the upstream for usage in event streams (`stream_usage`); nil: as its type does it.
    public var streamUsage: Bool?
    public init(name: String, type: UpstreamType) { self.name = name; self.type = type }
}

public struct UpstreamTLS: Sendable {
    public var caFile: String?
    public var insecureSkipVerify = false
    public var clientCertificate: String?
    public var clientKey: String?
    public var sni: String?
    public init() {}
}

/// A condition on a header or query value.
public enum TextMatch: Sendable { case equals(String), regex(String), present(Bool) }

/// A scalar in a json_body condition.
public enum Scalar: Hashable, Sendable { case string(String), number(Double), bool(Bool), null }

/// One condition on a dotted path of the JSON body. Several on one path all have to hold.
public enum BodyTest: Sendable {
    case equals(Scalar), notEquals(Scalar), isIn([Scalar]), regex(String)
    case lt(Double), lte(Double), gt(Double), gte(Double)
    /// On a string: substring; on an array: has this element.
    case contains(Scalar)
    case exists(Bool)
}

public enum PathMatch: Sendable {
    /// `.prefix` is what stands before the `*`: "/v1/*" is `.prefix("/v1/")`, matched by every path that begins with it, so not by "/v1".
    case any, exact(String), prefix(String)
    /// "/users/{id}/orders": literal and captured segments.
    case template([TemplateSegment])
}
public enum TemplateSegment: Hashable, Sendable { case literal(String), variable(String) }

public struct RouteMatch: Sendable {
    public var path = PathMatch.any
    /// Upper-case names; empty: any.
    public var methods: [String] = []
    /// Lower-case host names without port, `*.example.com` allowed; empty: any.
    public var hosts: [String] = []
    public var headers: [(name: String, test: TextMatch)] = []
    public var query: [(name: String, test: TextMatch)] = []
    public var body: [(path: String, test: BodyTest)] = []
    public init() {}
}

public enum StrategyType: String, Sendable, CaseIterable {
    case firstAvailable = "first_available", roundRobin = "round_robin", weightedRoundRobin = "weighted_round_robin"
    case weightedRandom = "weighted_random", failover
}

public struct StrategyTarget: Sendable {
    /// Index into Configuration.upstreams.
    public var upstream: Int
    public var weight = 1
    /// Replaces the requested model.
    public var model: String?
    public init(upstream: Int, weight: Int = 1, model: String? = nil) { self.upstream = upstream; self.weight = weight; self.model = model }
}

public struct Retries: Sendable {
    /// Attempts in all, the first included (`max_attempts`).
    public var attemptsMax = 3
    public init() {}
}

public struct Route: Sendable {
    public var id: String
    public var match = RouteMatch()
    public var strategy = StrategyType.failover
    public var targets: [StrategyTarget] = []
    /// Requested model → model sent upstream.
    public var modelMap: [String: String] = [:]
    public var timeoutNanoseconds: UInt64?
    public var retries = Retries()
    /// Path prefix taken off before the rest is joined to an `http` upstream's base path (`strip_prefix`).
    public var stripPrefix: String?
    public init(id: String) { self.id = id }
}

public struct Logging: Sendable {
    public enum Format: String, Sendable, CaseIterable { case json, text }
    public enum Level: String, Sendable, CaseIterable { case debug, info, warn, error }
    public enum Output: Sendable { case stdout, file(path: String, rotateBytes: Int?) , off }
    public var format = Format.json
    public var level = Level.info
    public var output = Output.stdout
    /// Share of well-ended requests that get a line, 0…1; failed ones always do.
    public var sample = 1.0
    /// Ring between a worker and the writer (`buffer_kb`).
    public var ringBytes = 1 << 20
    public init() {}
}

public struct Metrics: Sendable {
    public var seriesMax = 10_000
    public init() {}
}

public struct Security: Sendable {
    public var allowUnauthenticated = false
    public init() {}
}

/// One thing wrong (or doubtful) in a configuration file.
public struct ConfigurationIssue: Error, Sendable, CustomStringConvertible {
    public enum Severity: Sendable { case error, warning }
    public var severity = Severity.error
    public var file: String
    public var line: Int
    public var column: Int
    /// Dotted key, e.g. "upstreams.azure.weight"; may be empty.
    public var key: String
    public var message: String
    public init(severity: Severity = .error, file: String, line: Int, column: Int, key: String, message: String) {
        self.severity = severity; self.file = file; self.line = line; self.column = column; self.key = key; self.message = message
    }
    /// "openclaw.yaml:41:7: upstreams.azure.weight: expected 1…1000, found 0"; without a place when line is 0 (the file as a whole).
    public var description: String { "\(file):\(line > 0 ? "\(line):\(column):" : "") \(key.isEmpty ? "" : key + ": ")\(message)" }
}

public struct ConfigurationLoad: Sendable {
    /// nil when any issue is an error.
    public var configuration: Configuration?
    public var issues: [ConfigurationIssue]
    public init(configuration: Configuration?, issues: [ConfigurationIssue]) { self.configuration = configuration; self.issues = issues }
}
