// Compiles a checked configuration into a Plan and owns its memory. Compilation happens on the control thread; workers only read.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

/// What compiling can still find wrong (everything a file can say is checked before).
public struct PlanFailure: Error, CustomStringConvertible {
    public let description: String
}

final class PlanOwner: @unchecked Sendable {
    let ref: PlanRef
    let configuration: Configuration
    /// The files it was compiled from.
    let files: CertificateFiles
    private let memory: PlanMemory
    /// Objects the plan points to without counting.
    private let retained: [AnyObject]
    private let workers: Int

    init(_ configuration: Configuration, serial: UInt32, workers: Int, registry: Registry) throws(PlanFailure) {
        files = CertificateFiles(configuration)
        let memory = PlanMemory()
        var compiler = PlanCompiler(configuration: configuration, memory: memory, registry: registry)
        let upstreams = try compiler.upstreams()
        let listeners = try compiler.listeners()
        let routes = try compiler.routes()
        // Nothing below can fail; above, nothing but `memory` and the compiler holds anything.
        let paths = JSONPaths(compiler.paths, unique: PolicyPath.unique)
        self.configuration = configuration
        self.workers = workers
        self.memory = memory
        ref = .allocate(capacity: 1)
        retained = compiler.retained + [paths]
        let inFlight = memory.zeroed(words: workers * Plan.inFlightStride)
        let stride = (compiler.rotationWords + 15) / 16 * 16
        let listing = compiler.modelListing()
        var limits = HeadLimits()
        limits.headBytesMax = configuration.server.headBytesMax
        limits.targetBytesMax = configuration.server.targetBytesMax
        limits.fieldsMax = min(configuration.server.fieldsMax, RequestHead.fieldsCapacity)
        ref.initialize(to: Plan(
            serial: serial, version: memory.text(String(configuration.version.prefix(12))),
            routes: memory.array(routes), upstreams: memory.array(upstreams), listeners: memory.array(listeners), models: memory.array(listing.models),
            paths: Unmanaged.passUnretained(paths), pathCount: compiler.paths.count,
            modelsBody: listing.body, modelBodies: memory.array(listing.single),
            anthropicModelsBody: listing.anthropic.body, anthropicModelBodies: memory.array(listing.anthropic.single),
            geminiModelsBody: listing.gemini.body, geminiModelBodies: memory.array(listing.gemini.single), tagsBody: listing.tags,
            needsBody: routes.contains { $0.body.count > 0 },
            headLimits: limits, bodyBytesMax: configuration.server.bodyBytesMax,
            answerBytesMax: configuration.server.answerBytesMax, bodyMemoryBytesMax: configuration.server.bodyMemoryBytesMax, streamBufferBytes: configuration.server.streamBufferBytes,
            headerTimeout: configuration.server.headerTimeoutNanoseconds, idleTimeout: configuration.server.idleTimeoutNanoseconds,
            bodyTimeout: configuration.server.bodyTimeoutNanoseconds, writeTimeout: configuration.server.writeTimeoutNanoseconds,
            ssePing: configuration.server.ssePingNanoseconds, tunnelIdle: configuration.server.tunnelIdleNanoseconds,
            requestsPerConnectionMax: configuration.server.requestsPerConnectionMax,
            handshakeTimeout: configuration.server.handshakeTimeoutNanoseconds, handshakesMax: max(1, configuration.server.handshakesMax / workers),
            http2: configuration.server.http2,
            logSample: configuration.logging.sample, logFormatIsText: configuration.logging.format == .text,
            inFlight: UnsafeMutableRawPointer(inFlight).assumingMemoryBound(to: UInt64.self),
            rotation: memory.zeroed(words: workers * max(stride, 16)), rotationStride: max(stride, 16)))
    }

    /// True when no worker has a request on this plan.
    var isIdle: Bool {
        for worker in 0..<workers where claw_word_load(ref.pointee.inFlight + worker * Plan.inFlightStride) != 0 { return false }
        return true
    }

    deinit { ref.deallocate() }
}

/// The pieces of compilation; a value so that each step can build on the names the earlier ones made.
struct PlanCompiler {
    let configuration: Configuration
    let memory: PlanMemory
    let registry: Registry
    var paths = PolicyPath.names
    var retained: [AnyObject] = []
    var rotationWords = 0
    /// Settings of TLS towards upstreams, by name and version of HTTP.
    var clientSettings: [String: OpaquePointer] = [:]

    static func jsonString(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }

    func served(_ id: String) -> PlanServed {
        PlanServed(id: memory.text(id), json: memory.text(Self.jsonString(id)), label: registry.label(.model, id))
    }

    // MARK: upstreams

    mutating func upstreams() throws(PlanFailure) -> [PlanUpstream] {
        var out: [PlanUpstream] = []
        for upstream in configuration.upstreams {
            let provider = upstream.type.provider
            let keys = upstream.keys.map { key in
                PlanKey(id: memory.text(key.id), weight: key.weight, headerLine: memory.text(keyLine(key, of: upstream)))
            }
            let spoken = dialects(of: upstream)
            let quirks = (upstream.quirks ?? provider?.quirks).flatMap { Quirks.named($0) } ?? Quirks()
            let defaults = provider?.headers ?? []
            var endpoints: [PlanEndpoint] = []
            for endpoint in upstream.endpoints { endpoints.append(try compile(endpoint, of: upstream)) }
            let models = upstream.models.map { PlanMapping(from: memory.text($0.alias), to: served($0.id)) }
            let lines = upstream.headers.map { "\($0.name.lowercased()): \($0.value)\r\n" }.joined()
            out.append(PlanUpstream(
                name: memory.text(upstream.name), label: registry.label(.upstream, upstream.name),
                headerLine: memory.text("x-openclaw-upstream: \(upstream.name)\r\nx-openclaw-cache: bypass\r\n"),
                type: memory.text(upstream.type.rawValue), isModel: provider != nil,
                streamUsage: upstream.streamUsage ?? (provider?.asksUsage ?? false && !quirks.hasNoStreamOptions),
                dialect: spoken.main, embeddingDialect: spoken.embeddings, native: spoken.native, quirks: quirks,
                isOpenAILike: provider?.isOpenAILike ?? false, dropsUnsupported: upstream.dropUnsupported ?? configuration.server.dropUnsupported,
                asksUsage: upstream.streamUsage ?? !quirks.hasNoStreamOptions, facts: memory.array(facts(of: upstream)), signer: signer(of: upstream),
                defaultLines: memory.text(defaults.map { "\($0.name): \($0.value)\r\n" }.joined()), defaultName: memory.text(defaults.first?.name ?? ""),
                keys: memory.array(keys), endpoints: memory.array(endpoints), models: memory.array(models),
                headerLines: memory.text(lines), headerNames: memory.array(upstream.headers.map { memory.text($0.name.lowercased()) }),
                timeout: upstream.timeoutNanoseconds, connectTimeout: upstream.connectTimeoutNanoseconds,
                firstByteTimeout: upstream.firstByteTimeoutNanoseconds, idleStreamTimeout: upstream.idleStreamTimeoutNanoseconds,
                connectionsPerEndpointMax: upstream.connectionsPerEndpointMax))
        }
        return out
    }

    /// AWS's credentials of an upstream that has no Bedrock API key.
    private mutating func signer(of upstream: Upstream) -> Unmanaged<Signer>? {
        guard upstream.type == .bedrock, upstream.keys.isEmpty else { return nil }
        let signer = registry.signer(upstream.name, region: upstream.region ?? Self.region(of: upstream))
        signer.configure(upstream.aws)
        retained.append(signer)
        return Unmanaged.passUnretained(signer)
    }

    /// Bedrock's hosts name their region: `bedrock-runtime.us-east-1.amazonaws.com`.
    private static func region(of upstream: Upstream) -> String {
        let parts = upstream.endpoints.first?.host.split(separator: ".") ?? []
        if parts.count > 3, parts[0].hasPrefix("bedrock") { return String(parts[1]) }
        return CredentialSource.region(environment: Signer.environment) ?? "us-east-1"
    }

    /// Prices and sizes of the models that this upstream may be asked for.
    private func facts(of upstream: Upstream) -> [PlanModelFacts] {
        guard upstream.type.provider != nil else { return [] }
        let catalogue = configuration.catalogue.models
        let name = CatalogueNames.provider(type: upstream.type == .gemini && isVertex(upstream) ? "vertex" : upstream.type.rawValue, quirks: upstream.quirks)
        var models = Dictionary(upstream.models.map { ($0.id, $0) }) { first, _ in first }
        let index = configuration.upstreams.firstIndex { $0.name == upstream.name } ?? -1
        for route in configuration.routes where route.targets.contains(where: { $0.upstream == index }) {
            let named = route.targets.compactMap { $0.upstream == index ? $0.model : nil } + route.modelMap.values
            for id in named where models[id] == nil && !upstream.models.contains(where: { $0.alias == id }) { models[id] = Model(id: id, alias: id) }
        }
        if upstream.models.isEmpty {
            for known in catalogue.models(of: name) where models[known.id] == nil { models[known.id] = Model(id: known.id, alias: known.id) }
        }
        return models.values.sorted { Array($0.id.utf8).lexicographicallyPrecedes(Array($1.id.utf8)) }.map { model in
            let known = catalogue.model(provider: name, id: model.id)
            return PlanModelFacts(
                id: memory.text(model.id), outputTokensMax: model.outputTokensMax ?? known.map { Int64($0.outputTokensMax) } ?? 0,
                prices: upstream.prices(of: model, provider: name, in: catalogue))
        }
    }

    /// How a key is shown to this upstream.
    private func keyLine(_ key: UpstreamKey, of upstream: Upstream) -> String {
        // Vertex AI takes OAuth tokens, as do all that know nothing better.
        if case .header(let name)? = upstream.type.provider?.key, !(upstream.type == .gemini && isVertex(upstream)) { return "\(name): \(key.value.value)\r\n" }
        return "authorization: Bearer \(key.value.value)\r\n"
    }

    private func isVertex(_ upstream: Upstream) -> Bool { upstream.endpoints.contains { $0.basePath.contains("/publishers/") } }

    /// What it is spoken to in, and what goes through untouched.
    private func dialects(of upstream: Upstream) -> (main: DialectID, embeddings: DialectID, native: UInt16) {
        guard let provider = upstream.type.provider else { return (.chat, .chat, 0) }
        var native = provider.native
        var main = provider.dialect
        let quirks = upstream.quirks.flatMap { Quirks.named($0) }
        switch upstream.api {
        case .auto:
            if upstream.type == .azure, upstream.endpoints.allSatisfy({ AzureForm(of: $0) == .versionless }) { native.insert(.responses) }
            if quirks?.hasNoResponses ?? false { native.remove(.responses) }
        case .chat: native.remove(.responses)
        case .responses:
            native.remove(.chat)
            native.insert(.responses)
            main = .responses
        }
        return (main, provider.isOpenAILike ? .chat : provider.dialect, native.reduce(0) { $0 | 1 << UInt16($1.rawValue) })
    }

    /// The forms of Azure's URLs (providers/azure.md).
    private enum AzureForm {
        /// …/openai/v1: OpenAI's own paths.
        case versionless
        /// …/openai/deployments/NAME
        case deployments
        /// …/models, of Azure AI Foundry
        case models

        init(of endpoint: Endpoint) {
            if endpoint.basePath.hasSuffix("/v1") {
                self = .versionless
            } else if endpoint.basePath.hasSuffix("/models") || (endpoint.host.hasSuffix(".services.ai.azure.com") && endpoint.basePath.isEmpty) {
                self = .models
            } else {
                self = .deployments
            }
        }
    }

    /// Where the endpoints of an API are below this one's address.
    private func paths(of endpoint: Endpoint, _ upstream: Upstream) -> (paths: [PlanPathTemplate], areOwn: Bool) {
        guard let provider = upstream.type.provider else { return ([], false) }
        var root = endpoint.basePath
        var query = ""
        var areOwn = false
        if upstream.type == .azure {
            areOwn = true
            let form = AzureForm(of: endpoint)
            switch form {
            case .versionless: break
            case .models: if !root.hasSuffix("/models") { root += "/models" }
            case .deployments:
                if !root.contains("/deployments/") { root += (root.hasSuffix("/openai") ? "" : "/openai") + "/deployments/{model}" }
            }
            let version = upstream.apiVersion ?? (form == .versionless ? "" : form == .models ? "2024-05-01-preview" : "2024-10-21")
            if !version.isEmpty { query = "?api-version=\(version)" }
        } else if !provider.version.isEmpty, !Self.endsInVersion(root), !root.contains("/publishers/") {
            root += provider.version
        }
        var out: [PlanPathTemplate] = []
        for dialect in DialectID.allCases {
            for raw in 0..<4 {
                let operation = Operation(rawValue: UInt8(raw)) ?? .generate
                let path = provider.path(operation, dialect)
                let mark = path.firstIndex(of: "?") ?? path.endIndex
                let whole = root + path[..<mark]
                let ownQuery = String(path[mark...])
                let hasModel = whole.contains("{model}")
                out.append(PlanPathTemplate(
                    head: memory.text(hasModel ? Self.before(whole) : whole), hasModel: hasModel, tail: memory.text(hasModel ? Self.behind(whole) : ""),
                    query: memory.text(ownQuery.isEmpty ? query : ownQuery)))
            }
        }
        return (out, areOwn)
    }

    private static func before(_ path: String) -> String { path.firstRange(of: "{model}").map { String(path[..<$0.lowerBound]) } ?? path }
    private static func behind(_ path: String) -> String { path.firstRange(of: "{model}").map { String(path[$0.upperBound...]) } ?? "" }

    /// "/v1", "/v1beta", "/api/v2" …
    private static func endsInVersion(_ path: String) -> Bool {
        guard let last = path.split(separator: "/").last, last.first == "v" else { return false }
        return last.dropFirst().first?.isNumber ?? false
    }

    private mutating func compile(_ endpoint: Endpoint, of upstream: Upstream) throws(PlanFailure) -> PlanEndpoint {
        let paths = paths(of: endpoint, upstream)
        guard let place = registry.endpoint("\(upstream.name) \(endpoint.isTLS ? "https" : "http")://\(endpoint.host):\(endpoint.port)") else {
            throw PlanFailure(description: "upstreams.\(upstream.name): more than \(Registry.endpointsMax) different endpoints since the start; restart to forget old ones")
        }
        var address = claw_address()
        let isLiteral = claw_address_parse(endpoint.host, endpoint.port, &address) == 0
        let bracketed = endpoint.host.contains(":") ? "[\(endpoint.host)]" : endpoint.host
        let isDefaultPort = endpoint.port == (endpoint.isTLS ? 443 : 80)
        // With another name to ask for (`tls.sni`) that name is the origin, in TLS and in Host, and only the connection goes to the URL's host.
        let sni = endpoint.isTLS ? upstream.tls.sni : nil
        let authority = isDefaultPort ? sni ?? bracketed : "\(sni ?? bracketed):\(endpoint.port)"
        var policy: OpaquePointer?
        var tls: OpaquePointer?
        var tlsHTTP1: OpaquePointer?
        if upstream.proxy == nil {
            if endpoint.isTLS {
                tls = try settings(of: upstream, upstream.httpProtocol)
                tlsHTTP1 = upstream.httpProtocol == .http1 ? tls : try settings(of: upstream, .http1)
            }
        } else {
            policy = try self.policy(of: upstream, connectTo: sni.map { "\($0):\(endpoint.port):\(bracketed):\(endpoint.port)" })
        }
        return PlanEndpoint(
            place: place, isTLS: endpoint.isTLS, host: memory.text(endpoint.host), port: endpoint.port,
            hostLine: memory.text("host: \(authority)\r\n"), basePath: memory.text(endpoint.basePath),
            paths: memory.array(paths.paths), hasOwnPaths: paths.areOwn,
            origin: memory.text("\(endpoint.isTLS ? "https" : "http")://\(sni ?? bracketed):\(endpoint.port)"), weight: endpoint.weight,
            address: address, isLiteral: isLiteral, tls: tls, tlsHTTP1: tlsHTTP1, tlsName: memory.text(sni ?? endpoint.host),
            speaksHTTP2: policy == nil && (upstream.httpProtocol == .http2 || (tls != nil && upstream.httpProtocol == .auto)),
            insistsOnHTTP2: upstream.httpProtocol == .http2, policy: policy)
    }

    private mutating func settings(of upstream: Upstream, _ version: Upstream.HTTPProtocol) throws(PlanFailure) -> OpaquePointer {
        let key = "\(upstream.name) \(version)"
        if let made = clientSettings[key] { return made }
        var options = claw_tls_client_options()
        options.ca_file = pointer(upstream.tls.caFile)
        options.client_certificate = pointer(upstream.tls.clientCertificate)
        options.client_key = pointer(upstream.tls.clientKey)
        options.insecure_skip_verify = upstream.tls.insecureSkipVerify ? 1 : 0
        options.alpn = switch version {
        case .auto: UInt32(CLAW_TLS_ALPN_H2) | UInt32(CLAW_TLS_ALPN_HTTP1)
        case .http1: UInt32(CLAW_TLS_ALPN_HTTP1)
        case .http2: UInt32(CLAW_TLS_ALPN_H2)
        }
        options.kernel_tls = 1
        var made: OpaquePointer?
        var problem = [CChar](repeating: 0, count: 512)
        guard claw_tls_client(&options, &made, &problem, problem.count) == 0, let made else {
            let words = problem.withUnsafeBufferPointer { String(cString: $0.baseAddress.unsafelyUnwrapped) }
            throw PlanFailure(description: "upstreams.\(upstream.name).tls: \(words)")
        }
        memory.own(made) { claw_tls_release($0) }
        clientSettings[key] = made
        return made
    }

    /// A C string that lives as long as the plan.
    func pointer(_ text: String?) -> UnsafePointer<CChar>? {
        guard let text else { return nil }
        return UnsafeRawPointer(memory.text(text).base).assumingMemoryBound(to: CChar.self)
    }

    private mutating func policy(of upstream: Upstream, connectTo: String?) throws(PlanFailure) -> OpaquePointer {
        var options = claw_transfer_policy_options()
        options.ca_file = pointer(upstream.tls.caFile)
        options.client_certificate = pointer(upstream.tls.clientCertificate)
        options.client_key = pointer(upstream.tls.clientKey)
        options.proxy = pointer(upstream.proxy)
        options.connect_to = pointer(connectTo)
        options.http_version = upstream.httpProtocol == .http1 ? 1 : 0
        options.insecure_skip_verify = upstream.tls.insecureSkipVerify ? 1 : 0
        options.connect_timeout_ms = UInt32(min(upstream.connectTimeoutNanoseconds / 1_000_000, UInt64(UInt32.max)))
        var made: OpaquePointer?
        let result = claw_transfer_policy_create(&options, &made)
        guard result == 0, let made else {
            throw PlanFailure(description: "upstreams.\(upstream.name).tls: \(String(cString: strerror(-result)))")
        }
        memory.own(made) { claw_transfer_policy_destroy($0) }
        return made
    }

    // MARK: routes

    mutating func routes() throws(PlanFailure) -> [PlanRoute] {
        var configured = configuration.routes
        if configured.isEmpty {
            // No routes: every upstream that lists the model is a candidate, in file order, with failover.
            var route = Route(id: "default")
            route.targets = configuration.upstreams.indices.map { StrategyTarget(upstream: $0) }
            configured = [route]
        }
        var out: [PlanRoute] = []
        for route in configured { out.append(try compile(route)) }
        return out
    }

    private mutating func compile(_ route: Route) throws(PlanFailure) -> PlanRoute {
        var headers: [PlanNamedTest] = []
        for (name, test) in route.match.headers { headers.append(try compile(name.lowercased(), test)) }
        var query: [PlanNamedTest] = []
        for (name, test) in route.match.query { query.append(try compile(name, test)) }
        var body: [PlanBodyCondition] = []
        for (path, test) in route.match.body { body.append(PlanBodyCondition(path: try place(path), test: try compile(test))) }
        let targets = route.targets.map { target in
            PlanTarget(upstream: target.upstream, weight: target.weight, model: served(target.model ?? ""), hasModel: target.model != nil)
        }
        let offset = rotationWords
        rotationWords += 1 + targets.count
        return PlanRoute(
            id: memory.text(route.id), label: registry.label(.route, route.id), headerLine: memory.text("x-openclaw-route: \(route.id)\r\n"),
            path: compile(route.match.path), methods: methods(route.match.methods), hosts: memory.array(route.match.hosts.map { memory.text($0) }),
            listeners: listenerMask(route.match.listeners),
            clientSubject: try route.match.clientSubject.map { (test) throws(PlanFailure) in try compile("", test).test },
            clientName: try route.match.clientName.map { (test) throws(PlanFailure) in try compile("", test).test },
            headers: memory.array(headers), query: memory.array(query), body: memory.array(body), strategy: route.strategy,
            targets: memory.array(targets), weightTotal: route.targets.reduce(0) { $0 + $1.weight },
            modelMap: memory.array(route.modelMap.sorted { $0.key < $1.key }.map { PlanMapping(from: memory.text($0.key), to: served($0.value)) }),
            timeout: route.timeoutNanoseconds ?? 0, attemptsMax: max(1, min(route.retries.attemptsMax, Exchange.attemptsMax)),
            stripPrefix: memory.text(route.stripPrefix ?? ""), dropsUnsupported: route.dropUnsupported,
            upgrades: memory.array(route.upgrades.map { memory.text($0) }),
            rotationOffset: offset)
    }

    private func compile(_ path: PathMatch) -> PlanPath {
        switch path {
        case .any: .any
        case .exact(let text): .exact(memory.text(text))
        case .prefix(let text): .prefix(memory.text(text))
        case .template(let segments):
            .template(memory.array(segments.map { segment in
                switch segment {
                case .literal(let text): PlanSegment(literal: memory.text(text), isVariable: false)
                case .variable: PlanSegment(literal: .empty, isVariable: true)
                }
            }))
        }
    }

    private func methods(_ names: [String]) -> UInt16 {
        let all: [(String, HTTPMethod)] = [
            ("GET", .get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete), ("PATCH", .patch), ("OPTIONS", .options),
        ]
        var mask: UInt16 = 0
        for (name, method) in all where names.contains(name) { mask |= 1 << UInt16(method.rawValue) }
        return mask
    }

    private mutating func regex(_ pattern: String) throws(PlanFailure) -> Unmanaged<LinearRegex> {
        do {
            let regex = try LinearRegex(pattern)
            retained.append(regex)
            return Unmanaged.passUnretained(regex)
        } catch { throw PlanFailure(description: "regex \(pattern): \(error)") }
    }

    private mutating func compile(_ name: String, _ test: TextMatch) throws(PlanFailure) -> PlanNamedTest {
        let compiled: PlanTextTest
        switch test {
        case .equals(let text): compiled = .equals(memory.text(text))
        case .regex(let pattern): compiled = .regex(try regex(pattern))
        case .present(let wanted): compiled = .present(wanted)
        }
        return PlanNamedTest(name: memory.text(name), known: .other, test: compiled)
    }

    private mutating func place(_ path: String) throws(PlanFailure) -> Int {
        if let index = paths.firstIndex(of: path) { return index }
        guard paths.count < 64 else { throw PlanFailure(description: "routes: conditions on more than \(64 - PolicyPath.names.count) different json_body paths; \(path) is one too many") }
        paths.append(path)
        return paths.count - 1
    }

    private func scalar(_ value: Scalar) -> PlanScalar {
        switch value {
        case .string(let text): .string(memory.text(text))
        case .number(let number): .number(number)
        case .bool(let bool): .bool(bool)
        case .null: .null
        }
    }

    private mutating func compile(_ test: BodyTest) throws(PlanFailure) -> PlanBodyTest {
        switch test {
        case .equals(let value): .equals(scalar(value))
        case .notEquals(let value): .notEquals(scalar(value))
        case .isIn(let values): .isIn(memory.array(values.map { scalar($0) }))
        case .regex(let pattern): .regex(try regex(pattern))
        case .lt(let number): .lt(number)
        case .lte(let number): .lte(number)
        case .gt(let number): .gt(number)
        case .gte(let number): .gte(number)
        case .contains(let value): .contains(scalar(value))
        case .exists(let wanted): .exists(wanted)
        }
    }

    // MARK: models

    /// Every name a client may ask for: aliases of upstreams in file order, then names that routes map.
    struct Listing {
        var models: [PlanModel] = []
        var body = Bytes.empty
        var single: [Bytes] = []
        var anthropic: (body: Bytes, single: [Bytes]) = (.empty, [])
        var gemini: (body: Bytes, single: [Bytes]) = (.empty, [])
        var tags = Bytes.empty
    }

    mutating func modelListing() -> Listing {
        var seen: Set<String> = []
        var listed: [(name: String, id: String, owner: String)] = []
        for upstream in configuration.upstreams where upstream.type != .http {
            for model in upstream.models where seen.insert(model.alias).inserted { listed.append((model.alias, model.id, upstream.name)) }
        }
        for route in configuration.routes {
            for (from, to) in route.modelMap.sorted(by: { $0.key < $1.key }) where seen.insert(from).inserted { listed.append((from, to, route.id)) }
        }
        var models: [PlanModel] = []
        var single: [Bytes] = []
        var texts: [String] = []
        for entry in listed {
            let text = "{\"id\":\(Self.jsonString(entry.name)),\"object\":\"model\",\"created\":0,\"owned_by\":\(Self.jsonString(entry.owner))}"
            texts.append(text)
            models.append(PlanModel(name: memory.text(entry.name), id: memory.text(entry.id), label: registry.label(.model, entry.id)))
            single.append(memory.text(text))
        }
        var listing = Listing(models: models, body: memory.text("{\"object\":\"list\",\"data\":[" + texts.joined(separator: ",") + "]}"), single: single)
        let names = listed.map { Self.jsonString($0.name) }
        let anthropic = names.map { "{\"type\":\"model\",\"id\":\($0),\"display_name\":\($0),\"created_at\":\"1970-01-01T00:00:00Z\"}" }
        listing.anthropic.single = anthropic.map { memory.text($0) }
        listing.anthropic.body = memory.text(
            "{\"data\":[" + anthropic.joined(separator: ",") + "],\"has_more\":false,\"first_id\":\(names.first ?? "null"),\"last_id\":\(names.last ?? "null")}")
        let methods = "[\"generateContent\",\"streamGenerateContent\",\"countTokens\",\"embedContent\",\"batchEmbedContents\"]"
        let gemini = listed.map {
            "{\"name\":\(Self.jsonString("models/" + $0.name)),\"displayName\":\(Self.jsonString($0.name)),\"supportedGenerationMethods\":\(methods)}"
        }
        listing.gemini.single = gemini.map { memory.text($0) }
        listing.gemini.body = memory.text("{\"models\":[" + gemini.joined(separator: ",") + "]}")
        listing.tags = memory.text("{\"models\":[" + names.map {
            "{\"name\":\($0),\"model\":\($0),\"modified_at\":\"1970-01-01T00:00:00Z\",\"size\":0,\"digest\":\"\",\"details\":{\"parent_model\":\"\",\"format\":\"\",\"family\":\"\",\"families\":[],\"parameter_size\":\"\",\"quantization_level\":\"\"}}"
        }.joined(separator: ",") + "]}")
        return listing
    }
}
