// catalogue: a file with models that the program does not know, or knows by other prices; and the options by which an upstream or one of its models says
// the same in the configuration itself. The file is read when the configuration is, at the start and at each reload, and a file that is wrong is an
// error of the configuration.

import ClawDialect
import ClawWire

enum CatalogueTable {
    static func option() -> Option<Configuration> {
        .section("catalogue", \.catalogue, make(), ModelCatalogue(), "What is known of models: prices, sizes, capabilities. The program knows some 800 models by itself.")
    }

    private static func make() -> Table<ModelCatalogue> {
        Table(options: [
            Option(key: "path", type: "a path",
                   doc: "File with further models; one that is built in is replaced. JSON of the form openclaw-model-catalog/1, or the text that scripts/catalogue.py makes of it. Read again at each reload.",
                   read: { target, node, key, loading in
                       guard let text = loading.text(node, key, expected: "a path") else { return }
                       guard !text.string.isEmpty, !text.string.utf8.contains(0) else { return loading.error(node.place, key, "expected a path, found \(text.shown)") }
                       target.path = text.string
                       do throws(FileProblem) {
                           let bytes = try readFile(text.string, bytesMax: Catalogue.bytesMax)
                           target.models = try models(bytes)
                           target.digest = SHA256.hex(of: bytes)
                       } catch {
                           loading.error(node.place, key, "\(text.shown): \(error.message)")
                       }
                   },
                   write: { $0.path.map { .text($0) } }),
        ])
    }

    private static func models(_ bytes: [UInt8]) throws(FileProblem) -> Catalogue {
        let result = bytes.withUnsafeBytes { bytes -> Result<Catalogue, CatalogueProblem> in
            do throws(CatalogueProblem) { return .success(try Catalogue.load(bytes)) } catch { return .failure(error) }
        }
        switch result {
        case .success(let catalogue): return catalogue
        case .failure(let problem): throw FileProblem(message: problem.description)
        }
    }

    /// What has no effect on an upstream without models.
    static func check(_ upstream: Upstream, _ node: DocumentNode, _ path: String, _ loading: Loading) {
        guard upstream.type == .http else { return }
        for key in ["cost_per_million_input_tokens", "cost_per_million_output_tokens", "cost_per_million_cached_input_tokens"] {
            if let cost = node.member(key) { loading.error(cost.place, dotted(path, key), "has no effect on an upstream of type http") }
        }
    }
}

extension Option {
    /// USD for 1,000,000 tokens, kept exactly.
    static func price(_ key: String, _ field: WritableKeyPath<Target, Price?>, _ doc: String) -> Option {
        Option(key: key, type: Price.form, doc: doc,
               read: { target, node, key, loading in
                   guard let text = loading.text(node, key, expected: Price.form) else { return }
                   if let price = Price(decimal: text.string.utf8) {
                       target[keyPath: field] = price
                   } else {
                       let hint = Scalars.decimal(text.string) == nil ? Scalars.numberHint(text.string) : ""
                       loading.error(node.place, key, "expected \(Price.form), found \(text.shown)\(hint)")
                   }
               },
               write: { $0[keyPath: field].map { .exact($0.description) } })
    }

    /// A number of tokens.
    static func tokens(_ key: String, _ field: WritableKeyPath<Target, Int64?>, _ doc: String) -> Option {
        let range = 1...1_000_000_000
        return Option(key: key, type: "\(range.lowerBound)…\(range.upperBound)", doc: doc,
                      read: { target, node, key, loading in
                          if let value = loading.integer(node, key, range) { target[keyPath: field] = Int64(value) }
                      },
                      write: { $0[keyPath: field].map { .integer(Int($0)) } })
    }
}

extension Upstream {
    /// What a model costs here: the catalogue's prices, but before them those of its entry, and before the upstream's.
    /// - Parameter provider: as in `CatalogueNames.provider(type:quirks:)`.
    public func prices(of model: Model, provider: String, in catalogue: Catalogue) -> Prices {
        catalogue.prices(provider: provider, id: model.id).overriding(model.prices.before(prices))
    }
}
