// Names under which a model is asked for, and the ones the catalogue has it under. Providers date their ids, prefix them, and sell each other's models;
// what follows are the rules by which one name is another's, each only where the provider itself says that both are the same model at the same price.
//
//   any provider   the id itself; without a date at its end (`-2024-08-06`, `-20241022`, `@20241022`) or `-latest`, `@default`; an undated id stands for
//                  `-latest`, `@default` or the latest date there is. The exact date goes first, since a model's prices may change from one to the next.
//   openai         names of earlier snapshots that are a listed model (`gpt-4-0613`).
//   azure          the deployment's name, taken for the model's id, `gpt-35-…` for `gpt-3.5-…`; what Azure's list lacks is looked up in OpenAI's.
//   bedrock        ARNs of foundation models and inference profiles, by their last part (provisioned throughput and application profiles are nobody's
//                  list price: unknown); without a context suffix (`:200k`); without the profile's region (`us.`, `eu.`, `apac.`, `global.`, …), which
//                  is tried with it first because some regions cost more; some are sold by profile only (`us.`, `global.`). Claude models
//                  that are not in Amazon's list are looked up in Anthropic's.
//   gemini, vertex without `models/`, `publishers/…/models/` or `google/`; without a version (`-001`); each in the other's list where its own lacks it,
//                  and Claude in `vertex-anthropic`.
//   ollama-cloud   `:cloud` and `-cloud`, by which a local Ollama names them, and other tags. `ollama` itself is not in the catalogue: a model that runs
//                  on the operator's own machine has no list price. A file may give it one.
//   openrouter     as it is: `:free`, `:nitro` and the like are other prices.

public enum CatalogueNames {
    /// The catalogue's name for an upstream's type, a quirk's name or a name of models.dev. Other names stand for themselves: a file may bring any.
    public static func provider(_ name: String) -> String {
        switch name {
        case "google": "gemini"
        case "google-vertex": "vertex"
        case "google-vertex-anthropic": "vertex-anthropic"
        case "amazon-bedrock": "bedrock"
        case "togetherai": "together"
        default: name
        }
    }

    /// Of an upstream: its quirks' name where it has one (`generic` with `quirks: groq`), else its type.
    public static func provider(type: String, quirks: String?) -> String { provider(quirks ?? type) }

    enum Candidate: Equatable {
        case exact(String, String)
        /// The newest of the dated ids that begin so.
        case newest(String, String)
    }

    /// What to look for, the likeliest first.
    static func candidates(provider: String, id: String) -> [Candidate] {
        var all: [Candidate] = []
        func add(_ providers: [String], _ ids: [String]) {
            for id in ids where !id.isEmpty { for provider in providers { all.append(.exact(provider, id)) } }
            if let last = ids.last, !last.isEmpty { for provider in providers { all.append(.newest(provider, last)) } }
        }
        switch provider {
        case "openai": add(["openai"], shortened(snapshots[id] ?? id, asked: id))
        case "azure":
            let known = id.hasPrefix("gpt-35") ? "gpt-3.5" + id.dropFirst(6) : id
            add(["azure", "openai"], shortened(snapshots[known] ?? known, asked: known))
        case "bedrock":
            guard let name = bedrockName(id) else { return [] }
            let plain = withoutRegion(name)
            add(["bedrock"], name == plain ? [name] : [name, plain])
            for region in ["us.", "global."] { all.append(.exact("bedrock", region + plain)) }
            if plain.hasPrefix("anthropic.") { add(["anthropic"], shortened(withoutVersion(String(plain.dropFirst(10))))) }
        case "gemini", "vertex":
            var name = id
            if let end = name.lastRange(of: "models/") { name = String(name[end...]) }
            if name.hasPrefix("google/") { name = String(name.dropFirst(7)) }
            var ids = shortened(name)
            if let last = ids.last, let dash = last.lastIndex(of: "-"), last[dash...].utf8.count == 4, last[dash...].dropFirst().utf8.allSatisfy(isDigit) {
                ids.append(String(last[..<dash]))
            }
            add(provider == "gemini" ? ["gemini", "vertex"] : ["vertex", "vertex-anthropic", "gemini"], ids)
        case "ollama-cloud":
            var ids = [id]
            if id.hasSuffix("-cloud") || id.hasSuffix(":cloud") { ids.append(String(id.dropLast(6))) }
            if let last = ids.last, let colon = last.firstIndex(of: ":") { ids.append(String(last[..<colon])) }
            add([provider], ids)
        case "openrouter": all.append(.exact(provider, id)); if !id.contains(":") { add([provider], shortened(id)) }
        default: add([provider], shortened(id))
        }
        return all
    }

    // MARK: Dates

    /// The id, and the id without what only names its date.
    private static func shortened(_ id: String, asked: String? = nil) -> [String] {
        var ids = asked.map { $0 == id ? [id] : [$0, id] } ?? [id]
        for suffix in ["-latest", "@latest", "@default"] where id.hasSuffix(suffix) { return ids + [String(id.dropLast(suffix.utf8.count))] }
        if let mark = id.lastIndex(of: "@") {
            ids.append(String(id[..<mark]))
        } else if let length = dateLength(Array(id.utf8)) {
            ids.append(String(id.dropLast(length)))
        }
        return ids
    }

    /// Length of `-2024-08-06` or `-20240806` at the end.
    private static func dateLength(_ id: [UInt8]) -> Int? {
        for length in [11, 9] where id.count > length && date(id.suffix(length)) != nil { return length }
        return nil
    }

    /// The digits of a date with its mark before it.
    private static func date(_ bytes: ArraySlice<UInt8>) -> String? {
        guard let mark = bytes.first, mark == 0x2D || mark == 0x40 else { return nil }
        let rest = Array(bytes.dropFirst())
        var digits = rest
        if rest.count == 10 {
            guard rest[4] == 0x2D, rest[7] == 0x2D else { return nil }
            digits = Array(rest[0..<4] + rest[5..<7] + rest[8..<10])
        }
        guard digits.count == 8, digits.allSatisfy(isDigit), digits.starts(with: "20".utf8) else { return nil }
        return String(decoding: digits, as: UTF8.self)
    }

    /// The date of an id that is `base` and a date.
    static func date(behind base: String, in id: String) -> String? {
        let bytes = Array(id.utf8)
        guard id.hasPrefix(base), bytes.count > base.utf8.count else { return nil }
        return date(bytes[base.utf8.count...])
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    /// OpenAI's snapshots by day and month that are a listed model at its price (its deprecations page).
    private static let snapshots: [String: String] = [
        "gpt-4-0613": "gpt-4", "gpt-4-0314": "gpt-4", "gpt-4-turbo-preview": "gpt-4-turbo", "gpt-4-0125-preview": "gpt-4-turbo",
        "gpt-4-1106-preview": "gpt-4-turbo", "gpt-3.5-turbo-0125": "gpt-3.5-turbo",
    ]

    // MARK: Bedrock

    private static func bedrockName(_ id: String) -> String? {
        var name = id
        if id.hasPrefix("arn:") {
            guard let slash = id.lastIndex(of: "/"), let colon = id[..<slash].lastIndex(of: ":") else { return nil }
            let resource = id[id.index(after: colon)..<slash]
            guard resource == "foundation-model" || resource == "inference-profile" else { return nil }
            name = String(id[id.index(after: slash)...])
        }
        // anthropic.claude-3-sonnet-20240229-v1:0:200k
        if let colon = name.lastIndex(of: ":"), name.hasSuffix("k"), name[colon...].dropFirst().dropLast().utf8.allSatisfy(isDigit) {
            name = String(name[..<colon])
        }
        return name
    }

    private static func withoutRegion(_ name: String) -> String {
        for region in ["us.", "eu.", "apac.", "global.", "jp.", "au.", "ca.", "us-gov."] where name.hasPrefix(region) {
            return String(name.dropFirst(region.utf8.count))
        }
        return name
    }

    /// Without `-v1:0` or `-v1`.
    private static func withoutVersion(_ name: String) -> String {
        guard let mark = name.lastRange(of: "-v") else { return name }
        return name[mark...].utf8.allSatisfy { isDigit($0) || $0 == 0x3A } ? String(name.dropLast(name[mark...].utf8.count + 2)) : name
    }
}

extension String {
    /// Where the text behind the last occurrence of `part` begins.
    fileprivate func lastRange(of part: String) -> String.Index? { ranges(of: part).last?.upperBound }
}
