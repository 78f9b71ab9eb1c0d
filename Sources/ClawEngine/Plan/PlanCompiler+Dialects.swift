// What the plan says of an upstream's dialect: which it is spoken to in, where its endpoints are, how a key is shown to it, what its models cost.
import CClaw
import ClawConfig
import ClawDialect

extension PlanCompiler {
    /// AWS's credentials of an upstream that has no Bedrock API key.
    mutating func signer(of upstream: Upstream) -> Unmanaged<Signer>? {
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
    func facts(of upstream: Upstream) -> [PlanModelFacts] {
        guard upstream.type.provider != nil else { return [] }
        let catalogue = configuration.catalogue.models
        let name = CatalogueNames.provider(type: upstream.type == .gemini && isVertex(upstream) ? "vertex" : upstream.type.rawValue, quirks: upstream.quirks)
        var models = Dictionary(upstream.models.map { ($0.id, $0) }) { first, _ in first }
        let index = configuration.upstreams.firstIndex { $0.name == upstream.name } ?? -1
        for route in configuration.routes where (route.targets + route.fallback.targets).contains(where: { $0.upstream == index }) {
            let named = (route.targets + route.fallback.targets).compactMap { $0.upstream == index ? $0.model : nil } + route.modelMap.values
            for id in named where models[id] == nil && !upstream.models.contains(where: { $0.alias == id }) { models[id] = Model(id: id, alias: id) }
        }
        if upstream.models.isEmpty {
            for known in catalogue.models(of: name) where models[known.id] == nil { models[known.id] = Model(id: known.id, alias: known.id) }
        }
        // Prices of the upstream hold for whatever it is asked for: an entry without a name, which stands first.
        if !upstream.prices.isEmpty { models[""] = Model(id: "", alias: "") }
        return models.values.sorted { Array($0.id.utf8).lexicographicallyPrecedes(Array($1.id.utf8)) }.map { model in
            let known = catalogue.model(provider: name, id: model.id)
            return PlanModelFacts(
                id: memory.text(model.id), outputTokensMax: model.outputTokensMax ?? known.map { Int64($0.outputTokensMax) } ?? 0,
                contextTokensMax: model.contextTokensMax ?? known.map { Int64($0.contextTokensMax) } ?? 0,
                prices: upstream.prices(of: model, provider: name, in: catalogue), abilities: abilities(upstream, known))
        }
    }

    /// What the configuration says its models can do, else what the catalogue does.
    private func abilities(_ upstream: Upstream, _ known: CatalogueModel?) -> UInt8 {
        let flags: [Bool]
        if !upstream.capabilities.isEmpty {
            let all = upstream.capabilities
            flags = [all.contains(.tools), all.contains(.vision), all.contains(.audio), all.contains(.reasoning), all.contains(.jsonSchema)]
        } else if let known {
            flags = [known.hasTools, known.inputs.contains(.image), known.inputs.contains(.audio), known.isReasoning, known.hasStructuredOutput ?? false]
        } else {
            return 0
        }
        return flags.enumerated().reduce(PlanModelFacts.abilitiesKnown) { $1.element ? $0 | 1 << UInt8($1.offset) : $0 }
    }

    /// How a key is shown to this upstream.
    func keyLine(_ key: UpstreamKey, of upstream: Upstream) -> String {
        // Vertex AI takes OAuth tokens, as do all that know nothing better.
        if case .header(let name)? = upstream.type.provider?.key, !(upstream.type == .gemini && isVertex(upstream)) { return "\(name): \(key.value.value)\r\n" }
        return "authorization: Bearer \(key.value.value)\r\n"
    }

    private func isVertex(_ upstream: Upstream) -> Bool { upstream.endpoints.contains { $0.basePath.contains("/publishers/") } }

    /// What it is spoken to in, and what goes through untouched.
    func dialects(of upstream: Upstream) -> (main: DialectID, embeddings: DialectID, native: UInt16) {
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
    func paths(of endpoint: Endpoint, _ upstream: Upstream) -> (paths: [PlanPathTemplate], areOwn: Bool) {
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
}
