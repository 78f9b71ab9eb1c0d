// Compiles a checked configuration into a Plan and owns its memory. Compilation happens on the control thread; workers only read.
import CClaw
import ClawConfig
import ClawDialect
import ClawPolicy
import ClawWire
import Glibc

/// What compiling can still find wrong (everything a file can say is checked before).
public struct PlanFailure: Error, CustomStringConvertible {
    public let description: String
}

final class PlanOwner: @unchecked Sendable {
    let ref: PlanRef
    /// As it was loaded: endpoints that were discovered are in the plan alone.
    let configuration: Configuration
    /// The files it was compiled from.
    let files: CertificateFiles
    private let memory: PlanMemory
    /// Objects the plan points to without counting.
    private let retained: [AnyObject]
    private let workers: Int

    /// - Parameter found: endpoints by the upstream's name, instead of those that the configuration has.
    init(_ loaded: Configuration, found: [String: [Endpoint]] = [:], serial: UInt32, workers: Int, registry: Registry) throws(PlanFailure) {
        var configuration = loaded
        for at in configuration.upstreams.indices {
            if configuration.upstreams[at].discovery != nil, let endpoints = found[configuration.upstreams[at].name] { configuration.upstreams[at].endpoints = endpoints }
        }
        files = CertificateFiles(loaded)
        let memory = PlanMemory()
        var compiler = PlanCompiler(configuration: configuration, memory: memory, registry: registry)
        let upstreams = try compiler.upstreams()
        let listeners = try compiler.listeners()
        let routes = try compiler.routes()
        let reading = try compiler.reading(routes.all)
        // Nothing below can fail; above, nothing but `memory` and the compiler holds anything.
        let paths = JSONPaths(compiler.paths, unique: PolicyPath.unique)
        self.configuration = loaded
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
            routes: memory.array(routes.all), index: compiler.routeIndex(routes.matching), profiles: memory.array(routes.profiles), reading: reading, upstreams: memory.array(upstreams), listeners: memory.array(listeners), models: memory.array(listing.models),
            paths: Unmanaged.passUnretained(paths), pathCount: compiler.paths.count,
            modelsBody: listing.body, modelBodies: memory.array(listing.single),
            anthropicModelsBody: listing.anthropic.body, anthropicModelBodies: memory.array(listing.anthropic.single),
            geminiModelsBody: listing.gemini.body, geminiModelBodies: memory.array(listing.gemini.single), tagsBody: listing.tags,
            needsBody: routes.matching.contains { $0.needsBody } || reading.user.count + reading.session.count > 0,
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
            places: Self.places(of: upstreams, memory), callers: memory.array(compiler.callers()),
            rotation: memory.zeroed(words: (workers + 1) * max(stride, 16)), rotationStride: max(stride, 16)))
    }

    /// The lane of per-worker words that no worker has: who explains goes there.
    var spareLane: Int { workers }

    private static func places(of upstreams: [PlanUpstream], _ memory: PlanMemory) -> UnsafeMutablePointer<UInt64> {
        let words = UnsafeMutableRawPointer(memory.zeroed(words: Registry.endpointsMax / 64)).assumingMemoryBound(to: UInt64.self)
        for upstream in upstreams {
            for at in 0..<upstream.endpoints.count {
                let place = upstream.endpoints[at].pointee.place
                words[place >> 6] |= 1 << UInt64(place & 63)
            }
        }
        return words
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
    /// What routes look for in prompts.
    var keywords = Keywords()
    var wanted: PromptReading.Wanted = []
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
        PlanServed(id: memory.text(id), json: memory.text(Self.jsonString(id)), label: registry.label(.model, id), hash: Outlook.hash(id))
    }

    // MARK: upstreams

    mutating func upstreams() throws(PlanFailure) -> [PlanUpstream] {
        var out: [PlanUpstream] = []
        for upstream in configuration.upstreams {
            let provider = upstream.type.provider
            var keys: [PlanKey] = []
            for key in upstream.keys { keys.append(try compile(key, of: upstream)) }
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
                connectionsPerEndpointMax: upstream.connectionsPerEndpointMax,
                place: try place(.upstream, upstream.name), breaker: upstream.breaker, cooldown: upstream.cooldown, concurrency: upstream.concurrency,
                outlier: upstream.outlier, hasProbe: upstream.probe != nil, countsRequests: countsRequests(upstream)))
        }
        return out
    }

    private func countsRequests(_ upstream: Upstream) -> Bool {
        if upstream.concurrency.max > 0 || upstream.concurrency.isAdaptive { return true }
        return configuration.routes.contains { route in
            (route.strategy == .leastConnections || route.strategy == .consistentHash) && route.targets.contains { configuration.upstreams[$0.upstream].name == upstream.name }
        }
    }

    /// A key that has another value is another key: what was learnt of the old one is not held against it.
    private mutating func compile(_ key: UpstreamKey, of upstream: Upstream) throws(PlanFailure) -> PlanKey {
        let place = try place(.key, "\(upstream.name) \(key.id) \(Outlook.hash(key.value.value))")
        let names = key.models.map { name in upstream.models.first { $0.alias == name }?.id ?? name }
        return PlanKey(
            id: memory.text(key.id), weight: key.weight, headerLine: memory.text(keyLine(key, of: upstream)), value: memory.text(key.value.value), place: place,
            label: registry.label(.key, "\(upstream.name) \(key.id)"), models: memory.array(names.map { Outlook.hash($0) }))
    }

    /// Words in the outlook for this name; the same ones over reloads.
    func place(_ family: Registry.Place, _ name: String) throws(PlanFailure) -> Int {
        guard let place = registry.place(family, name) else {
            throw PlanFailure(description: "more than \(family.capacity) different \(family.plural) since the start; restart to forget old ones")
        }
        return place
    }

    // MARK: callers

    func callers() -> [PlanCaller] {
        var tenants: [String: UInt32] = [:]
        let made = configuration.security.keys.map { key in
            let number = tenants[key.tenant ?? " \(key.id)"] ?? UInt32(tenants.count + 1)
            tenants[key.tenant ?? " \(key.id)"] = number
            return PlanCaller(
                id: memory.text(key.id), tenant: memory.text(key.tenant ?? ""), tenantNumber: number, tags: memory.array(key.tags.map { memory.text($0) }),
                digest: Outlook.digest(Array(key.value.value.utf8)))
        }
        return made.sorted { $0.digest < $1.digest }
    }

    private mutating func compile(_ endpoint: Endpoint, of upstream: Upstream) throws(PlanFailure) -> PlanEndpoint {
        let paths = paths(of: endpoint, upstream)
        let held = registry.holdEndpoint("\(upstream.name) \(endpoint.isTLS ? "https" : "http")://\(endpoint.host):\(endpoint.port)")
        guard let (place, generation) = held else { throw PlanFailure(description: "upstreams.\(upstream.name): more than \(Registry.endpointsMax) endpoints in use") }
        memory.endings.append { [registry] in registry.releaseEndpoint(place) }
        var address = claw_address()
        let isLiteral = claw_address_parse(endpoint.host, endpoint.port, &address) == 0
        let bracketed = endpoint.host.contains(":") ? "[\(endpoint.host)]" : endpoint.host
        let isDefaultPort = endpoint.port == (endpoint.isTLS ? 443 : 80)
        // With another name to ask for (`tls.sni`) that name is the origin, in TLS and in Host, and only the connection goes to the URL's host.
        let sni = endpoint.isTLS ? upstream.tls.sni ?? endpoint.name : nil
        let asked = sni ?? endpoint.name ?? bracketed
        let authority = isDefaultPort ? asked : "\(asked):\(endpoint.port)"
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
            place: place, generation: generation, isTLS: endpoint.isTLS, host: memory.text(endpoint.host), port: endpoint.port,
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

    /// Those that requests are matched with, in this order, and behind them those that profiles run on.
    struct Routes {
        var matching: [PlanRoute] = []
        var all: [PlanRoute] = []
        var profiles: [PlanProfile] = []
    }

    mutating func routes() throws(PlanFailure) -> Routes {
        var out = Routes()
        for (at, route) in configuration.routes.enumerated() {
            out.matching.append(try compile(route))
            out.matching[at].rule = memory.text("routes[\(at)]")
        }
        let isImplicit = configuration.routes.isEmpty && configuration.modelRouting?.defaultProfile == nil
        let profiles = try profiles(before: out.matching.count, implicit: isImplicit)
        out.matching += profiles.rules
        if isImplicit {
            // Neither routes nor a profile for the rest: every upstream that lists the model is a candidate, in file order, with failover.
            var route = Route(id: "default")
            route.targets = configuration.upstreams.indices.map { StrategyTarget(upstream: $0) }
            out.matching.append(try compile(route))
            out.matching[out.matching.count - 1].rule = memory.text("routes[0]")
        }
        out.all = out.matching + profiles.own
        out.profiles = profiles.profiles
        return out
    }

    mutating func compile(_ route: Route) throws(PlanFailure) -> PlanRoute {
        var headers: [PlanNamedTest] = []
        for (name, test) in route.match.headers { headers.append(try compile(name.lowercased(), test)) }
        var query: [PlanNamedTest] = []
        for (name, test) in route.match.query { query.append(try compile(name, test)) }
        var body: [PlanBodyCondition] = []
        for (path, test) in route.match.body { body.append(PlanBodyCondition(path: try place(path), test: try compile(test))) }
        var targets: [PlanTarget] = []
        var mirror: PlanTarget?
        for target in route.targets {
            let compiled = try compile(target)
            if route.strategy == .shadow, target.percentage != nil { mirror = compiled } else { targets.append(compiled) }
        }
        var fallbacks: [PlanTarget] = []
        for target in route.fallback.targets { fallbacks.append(try compile(target)) }
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
            stripPrefix: memory.text(route.stripPrefix ?? ""), takesAll: route.match.matchesAll, dropsUnsupported: route.dropUnsupported,
            upgrades: memory.array(route.upgrades.map { memory.text($0) }),
            rotationOffset: offset, place: try place(.route, route.id),
            keyTags: memory.array(route.match.keyTags.map { memory.text($0) }), keyIDs: memory.array(route.match.keyIDs.map { memory.text($0) }),
            keyTenants: memory.array(route.match.keyTenants.map { memory.text($0) }),
            prompt: try route.match.prompt.map { (prompt) throws(PlanFailure) in try compile(prompt) }, profile: -1, rule: .empty, mirror: mirror,
            retries: route.retries, ladders: ladders(route), fallbacks: memory.array(fallbacks), allowDowngrade: route.fallback.allowDowngrade,
            hasPromptAffinity: route.affinity == .promptPrefix, hedge: route.hedge, resumes: route.resume, trafficClass: route.trafficClass,
            identity: compile(route.identity), exploration: route.exploration, loadFactor: route.loadFactor,
            needsLatency: route.strategy == .lowestLatency || route.hedge != nil || route.targets.contains { $0.latencyMax != nil })
    }

    private func compile(_ target: StrategyTarget) throws(PlanFailure) -> PlanTarget {
        let upstream = configuration.upstreams[target.upstream]
        return PlanTarget(
            upstream: target.upstream, weight: target.weight, model: served(target.model ?? ""), hasModel: target.model != nil,
            place: try place(.target, "\(upstream.name) \(target.model ?? "")"), parts: target.percentage.map { Int(($0 * 100).rounded()) } ?? -1,
            latencyMax: target.latencyMax ?? 0, member: Outlook.hash("\(upstream.name) \(target.model ?? "")"))
    }

    private func compile(_ identity: Identity) -> PlanIdentity {
        switch identity {
        case .none: .none
        case .key: .key
        case .user: .user
        case .session: .session
        case .ip: .ip
        case .header(let name): .header(memory.text(name.lowercased()))
        }
    }

    /// A byte for each step.
    private func ladders(_ route: Route) -> InlineArray<9, UInt64> {
        var out = InlineArray<9, UInt64>(repeating: 0)
        for one in LadderClass.allCases {
            let ladder = route.fallback.ladders[one] ?? .standard(one)
            for (at, step) in ladder.steps.prefix(Ladder.stepsMax).enumerated() { out[Int(one.rawValue)] |= UInt64(step.rawValue + 1) << UInt64(8 * at) }
        }
        return out
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

    mutating func compile(_ name: String, _ test: TextMatch) throws(PlanFailure) -> PlanNamedTest {
        let compiled: PlanTextTest
        switch test {
        case .equals(let text): compiled = .equals(memory.text(text))
        case .regex(let pattern): compiled = .regex(try regex(pattern))
        case .present(let wanted): compiled = .present(wanted)
        }
        return PlanNamedTest(name: memory.text(name), known: .other, test: compiled)
    }

    mutating func place(_ path: String) throws(PlanFailure) -> Int {
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

    mutating func compile(_ test: BodyTest) throws(PlanFailure) -> PlanBodyTest {
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
}
