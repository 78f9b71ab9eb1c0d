// The catalogue as JSON: the form openclaw-model-catalog/1, one object per model under `models`. Read strictly, as configuration is: an unknown member is
// an error, since a misspelt price would be a price that is missing, and the first thing wrong is named with its line and its path.
import ClawWire

struct CatalogueJSON {
    static let format: StaticString = "openclaw-model-catalog/1"
    private let text: UnsafeRawBufferPointer

    init(_ text: UnsafeRawBufferPointer) { self.text = text }

    func models(modelsMax: Int) throws(CatalogueProblem) -> [(model: CatalogueModel, line: Int)] {
        var tape = JSONTape()
        if let refusal = tape.read(text) { throw problem(of: refusal) }
        let root = tape.root
        guard root.isObject, root["format"].equals(Self.format) else {
            throw CatalogueProblem(line: root["format"].exists ? line(of: root["format"]) : 0, "format: expected \"\(Self.format)\"")
        }
        guard root["models"].isArray else { throw CatalogueProblem(line: 0, "models: expected a list of models") }
        if root["currency"].isPresent, !root["currency"].equals("USD") { throw wrong(root["currency"], "currency", "USD") }
        if root["price_unit"].isPresent, !root["price_unit"].equals("per 1,000,000 tokens") { throw wrong(root["price_unit"], "price_unit", "per 1,000,000 tokens") }
        for member in root.members {
            switch member.key.text.string {
            case "format", "currency", "price_unit", "source", "models": break
            default: throw unknown(member.key, "")
            }
        }
        var models: [(CatalogueModel, Int)] = []
        // Lines are counted on from the last model's.
        var (place, number) = (0, 1)
        for value in root["models"].elements {
            let path = "models[\(models.count)]"
            guard models.count < modelsMax else { throw CatalogueProblem(line: line(of: value), "\(path): expected at most \(modelsMax) models") }
            let start = offset(of: value)
            while place < start {
                if text[place] == 0x0A { number += 1 }
                place += 1
            }
            models.append((try model(value, path), number))
        }
        return models
    }

    // MARK: One model

    private func model(_ value: JSONValue, _ path: String) throws(CatalogueProblem) -> CatalogueModel {
        guard value.isObject else { throw wrong(value, path, "an object") }
        if let twice = value.duplicateKey { throw CatalogueProblem(line: line(of: value), "\(path).\(shown(twice)): stands there twice") }
        let provider = value["provider"], id = value["model"]
        guard CatalogueModel.isName(provider.text.raw, CatalogueModel.providerBytesMax), !provider.isEscaped else {
            throw wrong(provider, path + ".provider", "a name", in: value)
        }
        guard CatalogueModel.isName(id.text.raw, CatalogueModel.idBytesMax), !id.isEscaped else { throw wrong(id, path + ".model", "a model id", in: value) }
        var model = CatalogueModel(provider: provider.text.string, id: id.text.string)
        var inputMax: Int64?
        for member in value.members {
            let inner = member.value, place = "\(path).\(shown(member.key.text))"
            if let at = Self.price(member.key) {
                model.prices.base[at] = try price(inner, place)
                continue
            }
            switch member.key.text.string {
            case "provider", "model", "name", "knowledge": break
            case "max_context_tokens": model.contextTokensMax = try tokens(inner, place) ?? 0
            case "max_input_tokens": inputMax = try tokens(inner, place)
            case "max_output_tokens": model.outputTokensMax = try tokens(inner, place) ?? 0
            case "embedding_dimensions": model.embeddingDimensions = try tokens(inner, place) ?? 0
            case "price_tiers": try readTiers(inner, place, &model.prices)
            case "capabilities": try readCapabilities(inner, place, &model)
            case "release_date":
                guard !inner.isPresent || inner.isString && CatalogueModel.isDate(inner.text.raw) else { throw wrong(inner, place, "a date such as 2026-02-05") }
                model.released = inner.text.string
            case "status":
                guard inner.isPresent else { break }
                guard let status = CatalogueModel.Status(rawValue: inner.text.string) else { throw wrong(inner, place, "alpha, beta or deprecated") }
                model.status = status
            default: throw unknown(member.key, path)
            }
        }
        model.inputTokensMax = inputMax ?? model.contextTokensMax
        return model
    }

    /// Place of a price among the rates.
    private static func price(_ key: JSONValue) -> Int? {
        let names: [StaticString] = [
            "input_price", "output_price", "cache_read_price", "cache_write_price", "cache_write_hour_price", "reasoning_price", "input_audio_price",
            "output_audio_price",
        ]
        return names.firstIndex { key.equals($0) }
    }

    private func readTiers(_ value: JSONValue, _ path: String, _ prices: inout Prices) throws(CatalogueProblem) {
        guard value.isPresent else { return }
        guard value.isArray else { throw wrong(value, path, "a list of tiers") }
        for (number, tier) in value.elements.enumerated() {
            let place = "\(path)[\(number)]"
            guard tier.isObject else { throw wrong(tier, place, "an object") }
            guard let above = try tokens(tier["above_input_tokens"], place + ".above_input_tokens") else {
                throw wrong(tier["above_input_tokens"], place + ".above_input_tokens", "a whole number", in: tier)
            }
            var rates = Prices.Rates()
            for member in tier.members where !member.key.equals("above_input_tokens") {
                guard let at = Self.price(member.key) else { throw unknown(member.key, place) }
                rates[at] = try price(member.value, "\(place).\(shown(member.key.text))")
            }
            guard prices.addTier(above: above, rates) else {
                throw CatalogueProblem(line: line(of: tier), "\(place): expected at most \(Prices.tiersMax) tiers in rising order, each above 0 tokens")
            }
        }
    }

    private func readCapabilities(_ value: JSONValue, _ path: String, _ model: inout CatalogueModel) throws(CatalogueProblem) {
        guard value.isPresent else { return }
        guard value.isObject else { throw wrong(value, path, "an object") }
        for member in value.members {
            let inner = member.value, place = "\(path).\(shown(member.key.text))"
            switch member.key.text.string {
            case "kind":
                guard inner.equals("chat") || inner.equals("embedding") else { throw wrong(inner, place, "chat or embedding") }
                model.kind = inner.equals("chat") ? .chat : .embedding
            case "input": model.inputs = try modalities(inner, place)
            case "output": model.outputs = try modalities(inner, place)
            case "tools": model.hasTools = try flag(inner, place) ?? false
            case "structured_output": model.hasStructuredOutput = try flag(inner, place)
            case "reasoning": model.isReasoning = try flag(inner, place) ?? false
            case "temperature": model.takesTemperature = try flag(inner, place)
            case "attachments": model.takesAttachments = try flag(inner, place) ?? false
            case "reasoning_options": try readReasoning(inner, place, &model.reasoning)
            case "interleaved_reasoning": break
            default: throw unknown(member.key, path)
            }
        }
    }

    private func readReasoning(_ value: JSONValue, _ path: String, _ reasoning: inout CatalogueModel.Reasoning) throws(CatalogueProblem) {
        guard value.isPresent else { return }
        guard value.isArray else { throw wrong(value, path, "a list") }
        for (number, option) in value.elements.enumerated() {
            let place = "\(path)[\(number)]", type = option["type"]
            if type.equals("toggle") {
                reasoning.hasToggle = true
            } else if type.equals("effort") {
                guard option["values"].isArray else { throw wrong(option["values"], place + ".values", "a list of efforts", in: option) }
                for word in option["values"].elements {
                    guard let effort = CatalogueText.effort(word.text) else {
                        throw wrong(word, place + ".values", "none, minimal, low, medium, high, xhigh, max or default")
                    }
                    reasoning.efforts.insert(effort)
                }
            } else if type.equals("budget_tokens") {
                reasoning.hasBudget = true
                reasoning.budgetMin = try tokens(option["min"], place + ".min")
                reasoning.budgetMax = try tokens(option["max"], place + ".max")
            } else {
                throw wrong(type, place + ".type", "toggle, effort or budget_tokens", in: option)
            }
        }
    }

    private func modalities(_ value: JSONValue, _ path: String) throws(CatalogueProblem) -> CatalogueModel.Modalities {
        guard value.isArray else { throw wrong(value, path, "a list of text, image, pdf, video, audio") }
        var all: CatalogueModel.Modalities = []
        for word in value.elements {
            guard let one = CatalogueModel.Modalities.names.first(where: { word.equals($0.word) }) else {
                throw wrong(word, path, "text, image, pdf, video or audio")
            }
            all.insert(one.value)
        }
        return all
    }

    // MARK: Scalars

    private func flag(_ value: JSONValue, _ path: String) throws(CatalogueProblem) -> Bool? {
        guard value.isPresent else { return nil }
        guard let flag = value.bool else { throw wrong(value, path, "true, false or null") }
        return flag
    }

    private func tokens(_ value: JSONValue, _ path: String) throws(CatalogueProblem) -> Int64? {
        guard value.isPresent else { return nil }
        guard let number = value.int, (0...CatalogueModel.tokensMax).contains(number) else { throw wrong(value, path, "a whole number 0…2^40 or null") }
        return number
    }

    private func price(_ value: JSONValue, _ path: String) throws(CatalogueProblem) -> Price? {
        guard value.isPresent else { return nil }
        guard value.kind == .number, let price = Price(json: value.raw.raw) else { throw wrong(value, path, "a number 0…1000000 or null") }
        return price
    }

    // MARK: What is wrong

    private func line(at offset: Int) -> Int { text.prefix(offset).reduce(1) { $1 == 0x0A ? $0 + 1 : $0 } }

    private func offset(of value: JSONValue) -> Int {
        guard let base = text.baseAddress, let place = value.raw.base else { return 0 }
        return UnsafeRawPointer(place) - base
    }

    private func line(of value: JSONValue) -> Int { value.exists ? line(at: offset(of: value)) : 0 }

    private func shown(_ bytes: JSONBytes) -> String { String(bytes.string.prefix(60)) }

    /// `parent`: where a missing value should have been.
    private func wrong(_ value: JSONValue, _ path: String, _ expected: String, in parent: JSONValue = JSONValue()) -> CatalogueProblem {
        CatalogueProblem(line: line(of: value.exists ? value : parent), "\(path): expected \(expected), found \(value.exists ? shown(value.raw) : "nothing")")
    }

    private func unknown(_ key: JSONValue, _ path: String) -> CatalogueProblem {
        CatalogueProblem(line: line(of: key), "\(path.isEmpty ? "" : path + ".")\(shown(key.text)): unknown member")
    }

    private func problem(of refusal: JSONTape.Refusal) -> CatalogueProblem {
        switch refusal {
        case .json(.syntax(let offset)), .json(.trailing(let offset)), .json(.duplicate(_, let offset)):
            CatalogueProblem(line: line(at: offset), "not valid JSON")
        case .json(.depth(let offset)): CatalogueProblem(line: line(at: offset), "nested deeper than \(JSONTape.depthMax) levels")
        case .json(.utf8(let offset)): CatalogueProblem(line: line(at: offset), "not UTF-8")
        case .json(.incomplete(let offset)): CatalogueProblem(line: line(at: offset), "not valid JSON: it ends too soon")
        case .tooManyValues, .tooLong: CatalogueProblem(line: 0, "more than \(JSONTape.nodesMax) values")
        }
    }
}
