// The model catalogue: what the program knows of models without asking anybody. It is asked where a configuration is compiled, never on a request's path.
//
// The built-in part is a sorted text inside the program, searched by halving and read line by line: a process that never asks pays nothing for it. A file
// (`catalogue.path`) adds models to it and replaces those of the same provider and id; its models are kept in memory, sorted the same way.
//
// Look-ups try the id as it is, then what it is most probably another name of (`CatalogueNames`); what is found under another name carries that name. A
// model that is nowhere is nil, and so are its prices: nobody's guess is put in the place of a figure.
import ClawWire

public struct Catalogue: Sendable {
    /// A catalogue file beyond this is refused; the built-in text has 70 KiB.
    public static let bytesMax = 16 << 20
    public static let modelsMax = 20_000

    /// Models of the file, sorted by provider and id; they go before the built-in ones.
    private var added: [CatalogueModel] = []
    private let hasBuiltIn: Bool

    /// What the program knows by itself.
    public static let builtIn = Catalogue(hasBuiltIn: true)
    /// Nothing.
    public static let empty = Catalogue(hasBuiltIn: false)
    private init(hasBuiltIn: Bool) { self.hasBuiltIn = hasBuiltIn }

    /// The built-in catalogue with a file's models added and put in the place of its own.
    /// - Parameter bytes: JSON of the form openclaw-model-catalog/1, or lines as told in `CatalogueText`.
    /// - Throws: the first thing wrong, with its line. Then nothing of the file counts.
    public static func load(_ bytes: UnsafeRawBufferPointer, onto base: Catalogue = .builtIn) throws(CatalogueProblem) -> Catalogue {
        guard bytes.count <= bytesMax else { throw CatalogueProblem(line: 0, "file too large: \(bytes.count) bytes, limit \(bytesMax)") }
        let start = bytes.firstIndex { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
        var models = start.map { bytes[$0] } == UInt8(ascii: "{") ? try CatalogueJSON(bytes).models(modelsMax: modelsMax) : try lines(bytes)
        guard !models.isEmpty else { throw CatalogueProblem(line: 0, "holds no model") }
        models.sort { ($0.model.provider, $0.model.id, $0.line) < ($1.model.provider, $1.model.id, $1.line) }
        for (one, next) in zip(models, models.dropFirst()) where one.model.provider == next.model.provider && one.model.id == next.model.id {
            throw CatalogueProblem(line: next.line, "\(next.model.id) of \(next.model.provider) stands there twice, first at line \(one.line)")
        }
        let fresh = models.map(\.model)
        var catalogue = base
        catalogue.added = (base.added.filter { find($0.provider, $0.id, in: fresh) == nil } + fresh).sorted { ($0.provider, $0.id) < ($1.provider, $1.id) }
        return catalogue
    }

    private static func lines(_ bytes: UnsafeRawBufferPointer) throws(CatalogueProblem) -> [(model: CatalogueModel, line: Int)] {
        var models: [(CatalogueModel, Int)] = []
        var number = 0
        for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            let line = line.last == 0x0D ? line.dropLast() : line
            if line.isEmpty || line.first == UInt8(ascii: "#") { continue }
            guard models.count < modelsMax else { throw CatalogueProblem(line: number, "expected at most \(modelsMax) models") }
            models.append((try CatalogueText.model(line, number: number), number))
        }
        return models
    }

    // MARK: Look-ups

    /// What is known of a model of a provider. `provider` is the catalogue's name of it, or an upstream's type or quirk (`CatalogueNames.provider`).
    public func model(provider: String, id: String) -> CatalogueModel? {
        guard provider.utf8.count <= CatalogueModel.providerBytesMax, id.utf8.count <= 4 * CatalogueModel.idBytesMax else { return nil }
        for name in CatalogueNames.candidates(provider: CatalogueNames.provider(provider), id: id) {
            switch name {
            case .exact(let provider, let id): if let model = entry(provider, id) { return model }
            case .newest(let provider, let id): if let model = newest(provider, id) { return model }
            }
        }
        return nil
    }

    /// Its prices; of a model that is not in the catalogue, none, but the rules by which its provider bills, for prices of the operator's own.
    public func prices(provider: String, id: String) -> Prices {
        model(provider: provider, id: id)?.prices ?? Prices(provider: CatalogueNames.provider(provider), id: id)
    }

    /// All of a provider's models, in the order of their ids.
    public func models(of provider: String) -> [CatalogueModel] { models(of: provider, begins: "") }

    /// All there are, by provider and id.
    public var all: [CatalogueModel] {
        var models = added
        if hasBuiltIn { BuiltIn.scan(from: 0) { models.append($0); return true } }
        return merged(models)
    }

    private func merged(_ models: [CatalogueModel]) -> [CatalogueModel] {
        // Those of the file come first in `models` and win.
        var seen = Set<String>()
        return models.filter { seen.insert($0.provider + "\t" + $0.id).inserted }.sorted { ($0.provider, $0.id) < ($1.provider, $1.id) }
    }

    private func models(of provider: String, begins prefix: String) -> [CatalogueModel] {
        var models = added.filter { $0.provider == provider && $0.id.hasPrefix(prefix) }
        if hasBuiltIn {
            BuiltIn.scan(from: BuiltIn.place(provider, prefix)) { model in
                guard model.provider == provider, model.id.hasPrefix(prefix) else { return false }
                models.append(model)
                return true
            }
        }
        return merged(models)
    }

    private func entry(_ provider: String, _ id: String) -> CatalogueModel? {
        Self.find(provider, id, in: added) ?? (hasBuiltIn ? BuiltIn.model(provider, id) : nil)
    }

    private static func find(_ provider: String, _ id: String, in models: [CatalogueModel]) -> CatalogueModel? {
        var low = 0, high = models.count
        while low < high {
            let middle = (low + high) / 2
            if (models[middle].provider, models[middle].id) < (provider, id) { low = middle + 1 } else { high = middle }
        }
        return low < models.count && models[low].provider == provider && models[low].id == id ? models[low] : nil
    }

    /// The one an undated id stands for: `id-latest` or `id@default`, else the dated one with the latest date.
    private func newest(_ provider: String, _ id: String) -> CatalogueModel? {
        if let model = entry(provider, id + "-latest") ?? entry(provider, id + "@default") { return model }
        return models(of: provider, begins: id)
            .compactMap { model in CatalogueNames.date(behind: id, in: model.id).map { (date: $0, model: model) } }
            .max { $0.date < $1.date }?.model
    }
}

/// The sorted text inside the program.
private enum BuiltIn {
    private static var text: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: CatalogueData.text.utf8Start, count: CatalogueData.text.utf8CodeUnitCount)
    }

    /// Where the first line begins whose key is not below this one.
    static func place(_ provider: String, _ id: String) -> Int {
        let key = Array("\(provider)\t\(id)".utf8)
        var low = 0, high = text.count
        while low < high {
            var start = low + (high - low) / 2
            while start > low, text[start - 1] != 0x0A { start -= 1 }
            let line = text[start...].prefix { $0 != 0x0A }
            if Self.key(of: line).lexicographicallyPrecedes(key) { low = line.endIndex + 1 } else { high = start }
        }
        return low
    }

    private static func key(of line: Slice<UnsafeRawBufferPointer>) -> Slice<UnsafeRawBufferPointer> {
        guard let first = line.firstIndex(of: 0x09) else { return line }
        return line[..<(line[(first + 1)...].firstIndex(of: 0x09) ?? line.endIndex)]
    }

    static func model(_ provider: String, _ id: String) -> CatalogueModel? {
        var found: CatalogueModel?
        scan(from: place(provider, id)) { model in
            if model.provider == provider, model.id == id { found = model }
            return false
        }
        return found
    }

    /// Hands over the models from a line's beginning on, until told to stop.
    static func scan(from place: Int, _ take: (CatalogueModel) -> Bool) {
        var at = place
        while at < text.count {
            let line = text[at...].prefix { $0 != 0x0A }
            at = line.endIndex + 1
            // No line of the program's own text is bad; a test reads them all.
            guard !line.isEmpty, let model = try? CatalogueText.model(line, number: 0) else { continue }
            if !take(model) { return }
        }
    }
}
