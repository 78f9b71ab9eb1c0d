// The checked configuration: what openclaw.yaml says, typed, complete with defaults and free of contradictions. Everything downstream
// (the engine's compiled plan) is made from this value and nothing else. Times are nanoseconds, sizes are bytes.
import ClawDialect
import ClawPolicy

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
    public var modelRouting: ModelRouting?
    public var catalogue = ModelCatalogue()
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
    /// An answer that is held whole, to be written in another dialect (`max_answer_mb`).
    public var answerBytesMax = 32 << 20
    /// The default of `upstreams.*.drop_unsupported`.
    public var dropUnsupported = false
    /// Answer bytes held per stream for a slow client (`stream_buffer_kb`).
    public var streamBufferBytes = 64 << 10
    public var idleTimeoutNanoseconds: UInt64 = 75_000_000_000
    public var headerTimeoutNanoseconds: UInt64 = 10_000_000_000
    /// Time to receive a complete body (`body_timeout_seconds`) and to make progress writing (`write_timeout_seconds`).
    public var bodyTimeoutNanoseconds: UInt64 = 60_000_000_000
    public var writeTimeoutNanoseconds: UInt64 = 60_000_000_000
    /// A tunnel (WebSocket) through which nothing moves either way for so long is closed (`tunnel_idle_seconds`).
    public var tunnelIdleNanoseconds: UInt64 = 300_000_000_000
    /// `: ping` comments while a model thinks (`sse_ping_seconds`); 0: none.
    public var ssePingNanoseconds: UInt64 = 0
    /// Pipelined requests answered per connection before it is closed politely (`max_requests_per_connection`); 0: no limit.
    public var requestsPerConnectionMax = 0
    public var watchConfig = false
    public var admin = Admin()
    /// TLS of the listener made of `listen_address` and `listen_port`; nil: clear text.
    public var tls: ServerTLS?
    public var http2 = HTTP2()
    /// Handshakes that may be under way at one time in the process (`max_handshakes`); beyond, new connections are closed at the door.
    public var handshakesMax = 4096
    /// Time for a TLS handshake, PROXY header included (`handshake_timeout_seconds`).
    public var handshakeTimeoutNanoseconds: UInt64 = 10_000_000_000
    /// All listeners, the one of `listen_address` first (absent when `listeners` was given without it). Never empty once loaded.
    public var listeners: [Listener] = []
    public init() {}
}

/// One place where clients connect (`server.listeners[]`).
public struct Listener: Sendable {
    /// For metrics, logs and `match.listener`; "main" for the first.
    public var name: String
    public var address = "127.0.0.1"
    public var port: UInt16 = 0
    public var tls: ServerTLS?
    public enum HTTPVersion: String, Sendable, CaseIterable { case http1 = "http/1.1", http2 = "h2" }
    /// What is spoken there (`protocols`): by ALPN over TLS, by the preface in clear text.
    public var protocols: [HTTPVersion] = [.http2, .http1]
    /// A PROXY header (v1 or v2) is required in front of each connection.
    public var proxyProtocol = false
    public init(name: String) { self.name = name }
}

/// TLS towards clients.
public struct ServerTLS: Sendable {
    public struct Pair: Sendable, Equatable {
        public var certificate: String, key: String
        public init(certificate: String, key: String) { self.certificate = certificate; self.key = key }
    }
    /// Files; the first pair is for clients that ask for no name or an unknown one.
    public var pairs: [Pair] = []
    public var clientCA: String?
    public enum ClientAuth: String, Sendable, CaseIterable { case none, optional, required }
    public var clientAuth = ClientAuth.none
    public enum Version: String, Sendable, CaseIterable { case v12 = "1.2", v13 = "1.3" }
    public var versionMin = Version.v12
    public var ciphers: String?
    public var ciphersuites: String?
    /// How often the keys of session tickets change; 0: no tickets.
    public var ticketRotationSeconds = 43200
    public var kernelTLS = true
    public var strictSNI = false
    public init() {}
}

/// Limits of HTTP/2 towards clients (`server.http2`).
public struct HTTP2: Sendable {
    public var streamsMax = 256
    /// Streams reset before their answer began: how many at once, and how many more each second.
    public var resetsMax = 150
    public var resetsPerSecond = 20
    public var controlFramesMax = 1000
    public var controlFramesPerSecond = 100
    public var continuationsMax = 8
    public var streamWindowBytes = 256 << 10
    public var connectionWindowBytes = 1 << 20
    /// A connection with open streams and no bytes for so long is asked with PING, and closed when nothing comes for as long again; 0: never.
    public var pingNanoseconds: UInt64 = 30_000_000_000
    /// RFC 8441.
    public var webSocket = true
    public init() {}
}

public struct Admin: Sendable {
    public var listenAddress = "127.0.0.1"
    public var listenPort: UInt16 = 9901
    public var token: Secret?
    public init() {}
}

/// The word of a provider (`Provider.all`), or `http`.
public struct UpstreamType: RawRepresentable, Hashable, Sendable, CaseIterable {
    public let rawValue: String
    public init?(rawValue: String) {
        guard rawValue == "http" || Provider.named(rawValue) != nil else { return nil }
        self.rawValue = rawValue
    }
    private init(_ word: String) { rawValue = word }
    public static let http = UpstreamType("http")
    public static let generic = UpstreamType("generic")
    public static let openai = UpstreamType("openai")
    public static let gemini = UpstreamType("gemini")
    public static let bedrock = UpstreamType("bedrock")
    public static let azure = UpstreamType("azure")
    public static let allCases: [UpstreamType] = Provider.all.map { UpstreamType($0.name) } + [.http]
    /// nil for `http`.
    public var provider: Provider? { Provider.named(rawValue) }
}

public struct UpstreamKey: Sendable {
    public var id: String
    public var value: Secret
    public var weight = 1
    /// Models (names that clients ask for, or ids) this key may be used for; empty: all.
    public var models: [String] = []
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
    /// The name that `host` is an address of, where discovery knows it: asked for in TLS and in Host.
    public var name: String?
    public init(isTLS: Bool, host: String, port: UInt16, basePath: String, weight: Int = 1) {
        self.isTLS = isTLS; self.host = host; self.port = port; self.basePath = basePath; self.weight = weight
    }
}

public struct Model: Sendable {
    /// The id sent upstream.
    public var id: String
    /// The name clients ask for; equals id when none was given.
    public var alias: String
    /// Tokens (`max_context_tokens`, `max_output_tokens`); nil: what the catalogue says.
    public var contextTokensMax: Int64?
    public var outputTokensMax: Int64?
    /// `cost_per_million_…`, before the upstream's.
    public var prices = PriceOverride()
    public init(id: String, alias: String) { self.id = id; self.alias = alias }
    /// Nothing but an id.
    var isBare: Bool { alias == id && contextTokensMax == nil && outputTokensMax == nil && prices.isEmpty }
}

/// What is known of models (`catalogue`): what the program has built in, and a file's models on top.
public struct ModelCatalogue: Sendable {
    public var path: String?
    public var models = Catalogue.builtIn
    /// SHA-256 (hex) of the file, which makes it part of the version.
    var digest: String?
    public init() {}
}

public struct Upstream: Sendable {
    public var name: String
    public var type: UpstreamType
    public var keys: [UpstreamKey] = []
    public var endpoints: [Endpoint] = []
    public var models: [Model] = []
    /// `cost_per_million_…`, before the catalogue's.
    public var prices = PriceOverride()
    public var timeoutNanoseconds: UInt64 = 60_000_000_000
    public var connectTimeoutNanoseconds: UInt64 = 5_000_000_000
    public var firstByteTimeoutNanoseconds: UInt64 = 60_000_000_000
    public var idleStreamTimeoutNanoseconds: UInt64 = 60_000_000_000
    public var headers: [(name: String, value: String)] = []
    /// Connections per endpoint and worker (`max_connections_per_endpoint`); 0: no limit.
    public var connectionsPerEndpointMax = 0
    public var proxy: String?
    public var tls = UpstreamTLS()
    /// HTTP version towards it (`protocol`): auto is HTTP/1.1 for http:// and what ALPN gives for https://; http2 over http:// is prior knowledge.
    public enum HTTPProtocol: String, Sendable, CaseIterable { case auto, http1, http2 }
    public var httpProtocol = HTTPProtocol.auto
    /// Ask the upstream for usage in event streams (`stream_usage`); nil: as its type does it.
    public var streamUsage: Bool?
    /// Name of the set of quirks (`quirks`); nil: the type's own.
    public var quirks: String?
    /// Which of OpenAI's APIs requests are translated into, and which go through untouched (`api`).
    public enum API: String, Sendable, CaseIterable { case auto, chat, responses }
    public var api = API.auto
    /// Azure's `api-version` (`api_version`); nil: as its URL's form needs it.
    public var apiVersion: String?
    /// Vertex AI (`project`, `location`), and AWS (`region`).
    public var project: String?
    public var location: String?
    public var region: String?
    public var aws = AWS()
    /// Leave out what the upstream's dialect cannot express (`drop_unsupported`); nil: as `server.drop_unsupported` says.
    public var dropUnsupported: Bool?
    public var breaker = BreakerSettings()
    public var cooldown = CooldownSettings()
    /// `max_concurrency`, `max_pending`, `adaptive_concurrency`.
    public var concurrency = ConcurrencySettings()
    /// `health.active`; nil: no probes.
    public var probe: ProbeSettings?
    /// `health.passive`.
    public var outlier = OutlierSettings()
    /// Where its endpoints come from (`endpoints.discovery`); then `endpoints` is what is known before the first answer, and may be empty.
    public var discovery: Discovery?
    /// What its models can do (`capabilities`); empty: what the catalogue says.
    public var capabilities: [Capability] = []
    /// A label for `model_routing` and people (`tier`).
    public var tier: String?
    public init(name: String, type: UpstreamType) { self.name = name; self.type = type }
}

public enum Capability: String, Sendable, CaseIterable { case chat, tools, vision, embeddings, jsonSchema = "json_schema", streaming, reasoning, audio }

/// Where an upstream's endpoints come from. A source that is down keeps the last good set.
public struct Discovery: Sendable {
    public enum Source: Sendable {
        /// `type: dns`: A and AAAA, or SRV (`record: srv`), of a name; `server`: host:port of a name server instead of those of the system.
        case dns(name: String, record: Record, port: UInt16, server: String?)
        /// `type: file`: a YAML or JSON list of URLs or {url, weight}, looked at once a second.
        case file(path: String)
        /// `type: kubernetes`: EndpointSlices of a service, by list and watch. `api`: URL of the API server; `token_file`, `ca`: as a pod has them.
        case kubernetes(api: String, namespace: String, service: String, port: String?, tokenFile: String?, ca: String?)
        /// `type: consul`: healthy instances of a service, by blocking queries.
        case consul(address: String, service: String, tag: String?, datacenter: String?, token: Secret?)
        /// `type: etcd`: each key below a prefix is an endpoint (its value a URL, host:port, or {"url"|"address", "weight"}), by watch.
        case etcd(endpoints: [String], prefix: String, username: String?, password: Secret?)
    }
    public enum Record: String, Sendable, CaseIterable { case a, aaaa, any, srv }
    public var source: Source
    /// What is put around a found host and port (`scheme`, `path`).
    public var isTLS = false
    public var basePath = ""
    /// Least time between two looks where the source does not say (`interval_seconds`).
    public var interval: UInt64 = 30_000_000_000
    public init(source: Source) { self.source = source }
}

/// Profiles that choose models (`model_routing`).
public struct ModelRouting: Sendable {
    public struct Profile: Sendable {
        public var name: String
        public var contextTokensMax: Int64?
        /// Names or types of upstreams, the first is asked first; others that serve the model come after them.
        public var preferProviders: [String] = []
        /// Models in the order in which they are tried; empty: the one asked for.
        public var models: [String] = []
        public init(name: String) { self.name = name }
    }
    public struct Rule: Sendable {
        public var header: String
        /// `equals`; nil: present is enough.
        public var equals: String?
        /// Index into `profiles`.
        public var profile: Int
        public init(header: String, equals: String?, profile: Int) { self.header = header; self.equals = equals; self.profile = profile }
    }
    /// Index into `profiles`.
    public var defaultProfile: Int?
    /// In file order, which is the order in which larger windows are looked for.
    public var profiles: [Profile] = []
    public var rules: [Rule] = []
    public init() {}
}

/// Where an upstream of type bedrock has its credentials from (`aws`). Without any of it: the environment, the profile file, the container's endpoint, in
/// that order.
public struct AWS: Sendable {
    public var accessKeyID: Secret?
    public var secretAccessKey: Secret?
    public var sessionToken: Secret?
    public var profile: String?
    public var credentialsFile: String?
    public init() {}
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
    /// Names of listeners; empty: any.
    public var listeners: [String] = []
    /// Conditions on the verified client certificate: its subject (RFC 2253 form) and any one of its SAN entries ("DNS:…", "URI:…"); nil: none.
    public var clientSubject: TextMatch?
    public var clientName: TextMatch?
    public var headers: [(name: String, test: TextMatch)] = []
    public var query: [(name: String, test: TextMatch)] = []
    public var body: [(path: String, test: BodyTest)] = []
    /// Tags of the caller's key (`key.tags`): all of them have to be there; and its id (`key.id`) and tenant (`key.tenant`), any one of the list.
    public var keyTags: [String] = []
    public var keyIDs: [String] = []
    public var keyTenants: [String] = []
    public var prompt: PromptMatch?
    public init() {}
}

/// Conditions on what is asked (`match.prompt`); all that is given has to hold.
public struct PromptMatch: Sendable {
    /// `contains_any`, `contains_all`: found anywhere in the prompt's text, whatever the case.
    public var containsAny: [String] = []
    public var containsAll: [String] = []
    /// ISO 639-1 codes, any one of them (`language`).
    public var languages: [String] = []
    /// On the estimate of prompt tokens (`max_tokens_estimate`: gt, gte, lt, lte).
    public var tokens: [BodyTest] = []
    public init() {}
}

public enum StrategyType: String, Sendable, CaseIterable {
    case firstAvailable = "first_available", roundRobin = "round_robin", weightedRoundRobin = "weighted_round_robin"
    case weightedRandom = "weighted_random", failover
    case leastConnections = "least_connections", lowestLatency = "lowest_latency", lowestCost = "lowest_cost"
    case canary, consistentHash = "consistent_hash", shadow

    /// A target's `weight` counts; one with 0 gets nothing.
    public var goesByWeight: Bool {
        switch self {
        case .weightedRandom, .weightedRoundRobin, .leastConnections, .consistentHash: true
        default: false
        }
    }

    /// Who answers first is the order of the list, so that the later ones stand in for those before them; with the others each is chosen for its own sake.
    public var goesByList: Bool { self == .failover || self == .firstAvailable || self == .shadow }
}

/// What a request is told apart by (`strategy.by`): for canary and consistent_hash.
public enum Identity: Sendable, Equatable { case none, key, user, session, ip, header(String) }

public struct StrategyTarget: Sendable {
    /// Index into Configuration.upstreams.
    public var upstream: Int
    public var weight = 1
    /// Replaces the requested model.
    public var model: String?
    /// Share of a canary or of a shadow, 0…100.
    public var percentage: Double?
    /// Passed over while its time to the first token is above (`max_latency_ms`).
    public var latencyMax: UInt64?
    public init(upstream: Int, weight: Int = 1, model: String? = nil) { self.upstream = upstream; self.weight = weight; self.model = model }
}

/// What a route does when its strategy's upstreams fail (`fallback`, `on_…`).
public struct Fallback: Sendable {
    /// Asked after the strategy's.
    public var targets: [StrategyTarget] = []
    /// nil: none for `targets`; what the strategy itself names is allowed.
    public var allowDowngrade: AllowDowngrade?
    /// Ladders that the route declares, by class.
    public var ladders: [LadderClass: Ladder] = [:]
    public init() {}
}

public enum Affinity: String, Sendable, CaseIterable { case promptPrefix = "prompt_prefix" }

public struct Route: Sendable {
    public var id: String
    public var match = RouteMatch()
    public var strategy = StrategyType.failover
    public var targets: [StrategyTarget] = []
    /// Requested model → model sent upstream.
    public var modelMap: [String: String] = [:]
    public var timeoutNanoseconds: UInt64?
    public var retries = RetrySettings()
    public var fallback = Fallback()
    /// nil: any key and endpoint.
    public var affinity: Affinity?
    public var hedge: HedgeSettings?
    /// A stream whose upstream dies goes on at the next candidate (`resume`).
    public var resume = false
    /// nil: model for providers, http for plain upstreams.
    public var trafficClass: TrafficClass?
    /// What canary and consistent_hash tell requests apart by (`strategy.by`).
    public var identity = Identity.none
    /// Chance of asking another than the fastest (`strategy.exploration`), for lowest_latency.
    public var exploration = 0.05
    /// consistent_hash passes a target by whose load is above so many times the average (`strategy.load_factor`); 0: never.
    public var loadFactor = 1.25
    /// nil: as the upstream says.
    public var dropUnsupported: Bool?
    /// Path prefix taken off before the rest is joined to an `http` upstream's base path (`strip_prefix`).
    public var stripPrefix: String?
    /// Protocols a request may switch to (`upgrade`), lower case; empty: none, such requests go on as plain HTTP.
    public var upgrades = ["websocket"]
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
    /// Who may call (`keys`); empty: everybody. With keys a request without a valid one is a 401.
    public var keys: [CallerKey] = []
    public init() {}
}

/// A caller's key as it stands in the file (`security.keys[]`).
public struct CallerKey: Sendable {
    public var id: String
    public var value: Secret
    public var tenant: String?
    public var tags: [String] = []
    public init(id: String, value: Secret) { self.id = id; self.value = value }
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
