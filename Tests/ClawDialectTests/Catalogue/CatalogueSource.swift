// The catalogue's source (../shared/catalog/model_prices.json) as Foundation reads it, to hold against what the program says. Absent in a user's clone.
import ClawDialect
import Foundation

enum CatalogueSource {
    static let bytes: [UInt8] = {
        let file = Recordings.folder.deletingLastPathComponent().appendingPathComponent("catalog/model_prices.json")
        guard let data = try? Data(contentsOf: file) else {
            print("skipped: no catalogue at \(file.path)")
            return []
        }
        return Array(data)
    }()
    static var isThere: Bool { !bytes.isEmpty }
    static func models() -> [[String: Any]] {
        let root = (try? JSONSerialization.jsonObject(with: Data(bytes))) as? [String: Any]
        return root?["models"] as? [[String: Any]] ?? []
    }

    /// A figure as a decimal of at most six places; nil for null and for what is not there.
    static func decimal(_ value: Any?) -> Decimal? {
        guard let number = value as? NSNumber else { return nil }
        var exact = Decimal(string: number.description) ?? number.decimalValue, rounded = Decimal()
        NSDecimalRound(&rounded, &exact, 6, .plain)
        return rounded
    }
}

func load(_ text: String, onto base: Catalogue = .builtIn) throws(CatalogueProblem) -> Catalogue {
    let held = Held(Array(text.utf8))
    return try Catalogue.load(held.bytes, onto: base)
}

/// A usage from counts that do not overlap.
func usage(
    input: Int64 = 0, cacheRead: Int64 = 0, cacheWrite: Int64 = 0, hour: Int64 = 0, audioIn: Int64 = 0, output: Int64 = 0, reasoning: Int64 = 0, audioOut: Int64 = 0
) -> Usage {
    var usage = Usage()
    (usage.hasInput, usage.hasOutput) = (true, true)
    (usage.freshInput, usage.cacheRead, usage.cacheWrite, usage.cacheWriteHour, usage.audioInput) = (input, cacheRead, cacheWrite, hour, audioIn)
    (usage.textOutput, usage.reasoning, usage.audioOutput) = (output, reasoning, audioOut)
    return usage
}
