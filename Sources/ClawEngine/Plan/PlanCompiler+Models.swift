// The lists of models that the gateway answers itself, in the words of each client dialect.
import ClawConfig
import ClawDialect

extension PlanCompiler {
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
