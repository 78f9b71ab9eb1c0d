// The plan is the configuration compiled for the workers: plain memory full of offsets and ready-made text, immutable, shared by all workers and
// named by a pointer. A request runs on the plan it started with; a plan is freed when it has been replaced and no worker has a
// request on it any more (`inFlight`, one word per worker, single writer).
import CClaw
import ClawConfig
import ClawDialect
import ClawPolicy
import ClawWire

typealias PlanRef = UnsafeMutablePointer<Plan>

struct Plan {
    /// Counts up with each load; the first is 1.
    var serial: UInt32
    var version: Bytes
    var routes: List<PlanRoute>
    /// Leads to the routes that may take a request.
    var index: RouteIndex
    /// Of `model_routing`; their own routes are the last of `routes`, which the index does not know.
    var profiles: List<PlanProfile>
    var reading: PlanReading
    var upstreams: List<PlanUpstream>
    /// In the order of the listeners' sockets, which a reload cannot change.
    var listeners: List<PlanListener>
    /// Name → served id and label of every configured model, sorted by name.
    var models: List<PlanModel>
    /// Paths every model request is scanned for, policy keys first (see `PolicyPath`).
    var paths: Unmanaged<JSONPaths>
    var pathCount: Int
    /// Body of GET /v1/models, and the single objects.
    var modelsBody: Bytes
    var modelBodies: List<Bytes>
    /// The same in the words of Anthropic, Gemini and Ollama (which has no single ones).
    var anthropicModelsBody: Bytes
    var anthropicModelBodies: List<Bytes>
    var geminiModelsBody: Bytes
    var geminiModelBodies: List<Bytes>
    var tagsBody: Bytes
    /// True exactly when some route has conditions on the body, or tells requests apart by what stands there.
    var needsBody: Bool
    var headLimits: HeadLimits
    var bodyBytesMax: Int
    /// Of an answer that is held whole.
    var answerBytesMax: Int
    var bodyMemoryBytesMax: Int
    var streamBufferBytes: Int
    var headerTimeout: UInt64
    var idleTimeout: UInt64
    var bodyTimeout: UInt64
    var writeTimeout: UInt64
    var ssePing: UInt64
    var tunnelIdle: UInt64
    var requestsPerConnectionMax: Int
    var handshakeTimeout: UInt64
    /// A worker's share of `server.max_handshakes`.
    var handshakesMax: Int
    var http2: HTTP2
    var logSample: Double
    var logFormatIsText: Bool
    /// One word per worker, 128 bytes apart: requests running on this plan.
    var inFlight: UnsafeMutablePointer<UInt64>
    static let inFlightStride = 16
    /// A bit for each endpoint's place that this plan names.
    var places: UnsafeMutablePointer<UInt64>
    @inline(__always)
    func names(_ place: Int) -> Bool { places[place >> 6] & (1 << UInt64(place & 63)) != 0 }
    /// Sorted by digest; empty: everybody may call.
    var callers: List<PlanCaller>
    /// Per worker: state of rotating strategies, `rotationStride` words per worker.
    var rotation: UnsafeMutablePointer<Int64>
    var rotationStride: Int
}

/// Fixed indices into the scanned paths.
enum PolicyPath {
    static let model = 0, stream = 1, streamOptions = 2, includeUsage = 3, serviceTier = 4
    static let names = ["model", "stream", "stream_options", "stream_options.include_usage", "service_tier"]
    static let unique: Set<Int> = [0, 1, 2, 3]
}

/// What a listener's connections begin with.
struct PlanListener {
    var name: Bytes
    var label: UInt16
    /// Settings of TLS (claw_tls); nil: clear text.
    var tls: OpaquePointer?
    var takesHTTP1: Bool
    var takesHTTP2: Bool
    var hasProxyHeader: Bool
}

struct PlanModel {
    var name: Bytes
    var id: Bytes
    var label: UInt16
}

enum PlanPath { case any, exact(Bytes), prefix(Bytes), template(List<PlanSegment>) }
struct PlanSegment { var literal: Bytes; var isVariable: Bool }

enum PlanTextTest { case equals(Bytes), regex(Unmanaged<LinearRegex>), present(Bool) }
struct PlanNamedTest { var name: Bytes; var known: FieldName; var test: PlanTextTest }

enum PlanScalar { case string(Bytes), number(Double), bool(Bool), null }
enum PlanBodyTest {
    case equals(PlanScalar), notEquals(PlanScalar), isIn(List<PlanScalar>), regex(Unmanaged<LinearRegex>)
    case lt(Double), lte(Double), gt(Double), gte(Double), contains(PlanScalar), exists(Bool)
}
struct PlanBodyCondition { var path: Int; var test: PlanBodyTest }

struct PlanRoute {
    var id: Bytes
    var label: UInt16
    /// "x-openclaw-route: ID\r\n"
    var headerLine: Bytes
    var path: PlanPath
    /// Bit per HTTPMethod raw value; 0: any.
    var methods: UInt16
    var hosts: List<Bytes>
    /// Bit per listener; 0: any.
    var listeners: UInt64
    var clientSubject: PlanTextTest?
    var clientName: PlanTextTest?
    var hasClientConditions: Bool { clientSubject != nil || clientName != nil }
    var headers: List<PlanNamedTest>
    var query: List<PlanNamedTest>
    var body: List<PlanBodyCondition>
    var strategy: StrategyType
    var targets: List<PlanTarget>
    var weightTotal: Int
    var modelMap: List<PlanMapping>
    /// 0: the upstream's own.
    var timeout: UInt64
    var attemptsMax: Int
    var stripPrefix: Bytes
    /// It has no condition at all.
    var takesAll: Bool
    /// nil: as the upstream says.
    var dropsUnsupported: Bool?
    /// Protocols a request may switch to, lower case.
    var upgrades: List<Bytes>
    /// Where this route's words begin in a worker's rotation state: one counter, then one per target.
    var rotationOffset: Int
    /// Place of its words in the outlook.
    var place: Int
    /// Conditions on the caller and on the prompt.
    var keyTags: List<Bytes>
    var keyIDs: List<Bytes>
    var keyTenants: List<Bytes>
    var hasKeyConditions: Bool { keyTags.count > 0 || keyIDs.count > 0 || keyTenants.count > 0 }
    /// Conditions that cannot be told before the body is there.
    var needsBody: Bool { body.count > 0 || prompt != nil }
    var prompt: PlanPrompt?
    /// Index into `Plan.profiles`, or -1.
    var profile: Int32
    /// How the log names it: `routes[3]`.
    var rule: Bytes
    /// Gets a share of the requests (its `parts`) a second time (`strategy: shadow`).
    var mirror: PlanTarget?
    var retries: RetrySettings
    /// By `LadderClass`: a byte for each step (its raw value + 1), the first in the lowest byte; 0 ends it.
    var ladders: InlineArray<9, UInt64>
    /// Asked after the strategy's targets.
    var fallbacks: List<PlanTarget>
    /// nil: none for `fallbacks`, any for what the strategy itself names.
    var allowDowngrade: AllowDowngrade?
    var hasPromptAffinity: Bool
    var hedge: HedgeSettings?
    var resumes: Bool
    /// nil: by the type of the upstream.
    var trafficClass: TrafficClass?
    var identity: PlanIdentity
    var exploration: Double
    var loadFactor: Double
    /// Its strategy or its hedges look at how long targets take to answer.
    var needsLatency: Bool
}

/// What requests are told apart by.
enum PlanIdentity { case none, key, user, session, ip, header(Bytes) }

struct PlanTarget {
    var upstream: Int
    var weight: Int
    /// The model this entry sends, if `hasModel`.
    var model: PlanServed
    var hasModel: Bool
    /// Place of its words in the outlook: its upstream and model.
    var place: Int
    /// Hundredths of a percent; -1: none given.
    var parts: Int
    /// Nanoseconds; 0: any.
    var latencyMax: UInt64
    /// Of its upstream's name and model, for consistent hashing.
    var member: UInt64
}

/// A model as sent upstream.
struct PlanServed {
    var id: Bytes
    /// The id as a JSON string, quotes included: what is spliced into the body.
    var json: Bytes
    var label: UInt16
    /// Of the id (`Outlook.hash`), what cool-downs and quotas are kept by; never 0.
    var hash: UInt64
}

/// What the catalogue and the configuration know of a model at an upstream.
struct PlanModelFacts {
    var id: Bytes
    /// 0: not known.
    var outputTokensMax: Int64
    var contextTokensMax: Int64
    var prices: Prices
    /// What it can do, a bit for each of `abilityNames`; `abilitiesKnown`: that is known.
    var abilities: UInt8 = 0
    static let abilitiesKnown: UInt8 = 128
    static let abilityNames: [StaticString] = ["tools", "vision", "audio", "reasoning", "json_schema"]
}

struct PlanMapping { var from: Bytes; var to: PlanServed }

struct PlanKey {
    var id: Bytes
    var weight: Int
    /// "authorization: Bearer …\r\n"
    var headerLine: Bytes
    /// The key alone: no text of an upstream's that holds it reaches a client.
    var value: Bytes
    /// Place of its words in the outlook.
    var place: Int
    var label: UInt16
    /// Models it may be used for, as hashes of their ids; empty: all.
    var models: List<UInt64>
}

struct PlanUpstream {
    var name: Bytes
    var label: UInt16
    /// "x-openclaw-upstream: NAME\r\nx-openclaw-cache: bypass\r\n"
    var headerLine: Bytes
    /// The word of its type.
    var type: Bytes
    var isModel: Bool
    var streamUsage: Bool
    /// The dialect that requests are translated into, and that of its embeddings.
    var dialect: DialectID
    var embeddingDialect: DialectID
    /// A bit for each dialect whose requests go through as they are.
    var native: UInt16
    var quirks: Quirks
    var isOpenAILike: Bool
    var dropsUnsupported: Bool
    /// Ask for usage where a stream is written anew: always, but where the server does not know how.
    var asksUsage: Bool
    /// Of its models, sorted by id as bytes: those it lists, those that routes name, and where it lists none all that the catalogue has of its provider.
    var facts: List<PlanModelFacts>
    /// Signs requests with AWS's credentials; nil: keys are shown as they are.
    var signer: Unmanaged<Signer>?
    /// Fields that its dialect needs and the client may have given itself; `defaultName` is the one to look for.
    var defaultLines: Bytes
    var defaultName: Bytes
    func speaks(_ dialect: DialectID) -> Bool { native & (1 << UInt16(dialect.rawValue)) != 0 }
    var keys: List<PlanKey>
    var endpoints: List<PlanEndpoint>
    /// Aliases this upstream serves, sorted; empty: any model.
    var models: List<PlanMapping>
    /// Lines added to each request, and their lower-case names, which replace the client's.
    var headerLines: Bytes
    var headerNames: List<Bytes>
    var timeout: UInt64
    var connectTimeout: UInt64
    var firstByteTimeout: UInt64
    var idleStreamTimeout: UInt64
    var connectionsPerEndpointMax: Int
    /// Place of its words in the outlook.
    var place: Int
    var breaker: BreakerSettings
    var cooldown: CooldownSettings
    var concurrency: ConcurrencySettings
    var outlier: OutlierSettings
    var hasProbe: Bool
    /// Its requests under way are counted: there is a limit, or a strategy looks at them.
    var countsRequests: Bool
}

/// Who may call (`security.keys`).
struct PlanCaller {
    var id: Bytes
    var tenant: Bytes
    /// Counts from 1; callers without a tenant are one of their own.
    var tenantNumber: UInt32
    var tags: List<Bytes>
    /// SHA-256 of the key.
    var digest: (UInt64, UInt64, UInt64, UInt64)
}

/// A path below an endpoint's base path, cut where the model's name belongs.
struct PlanPathTemplate {
    var head: Bytes
    var hasModel: Bool
    var tail: Bytes
    /// With its question mark.
    var query: Bytes
}

struct PlanEndpoint {
    /// Place of its connections in every worker, the same over reloads for the same host and port; `generation` tells who has had it.
    var place: Int
    var generation: UInt32
    var isTLS: Bool
    var host: Bytes
    var port: UInt16
    /// "host: name:port\r\n"
    var hostLine: Bytes
    var basePath: Bytes
    /// By dialect and operation, see `path`.
    var paths: List<PlanPathTemplate>
    /// OpenAI's paths have another form here (Azure).
    var hasOwnPaths: Bool
    func path(_ dialect: DialectID, _ operation: Operation) -> UnsafeMutablePointer<PlanPathTemplate> { paths[Int(dialect.rawValue) * 4 + Int(operation.rawValue)] }
    /// "https://host:port" or "http://host:port", for the curl transport.
    var origin: Bytes
    var weight: Int
    /// A literal address needs no look-up.
    var address: claw_address
    var isLiteral: Bool
    /// Settings of TLS (claw_tls) when our own client does it.
    var tls: OpaquePointer?
    /// The same, offering HTTP/1.1 alone: for what must switch protocols.
    var tlsHTTP1: OpaquePointer?
    /// What is sent as SNI and checked in the certificate, NUL behind it.
    var tlsName: Bytes
    /// h2 is spoken without asking (http:// with `protocol: http2`) or offered by ALPN.
    var speaksHTTP2: Bool
    /// With `protocol: http2` nothing else is taken.
    var insistsOnHTTP2: Bool
    /// How curl connects; nil exactly when our own client does (http:// without a proxy).
    var policy: OpaquePointer?
}
