// The catalogue as text: a line per model, columns with a tab between them. It is how the built-in catalogue lies in the program (`CatalogueData`), where
// it takes no memory and no time until somebody asks for a model, and it is one of the two forms of a catalogue file. scripts/catalogue.py writes it.
//
//   1 provider     2 model        3 context window       4 input limit (absent: the context window)       5 output limit
//   6 prices       USD per 1,000,000 tokens: input,output,cache read,cache write,cache write for an hour,reasoning,audio in,audio out
//   7 price tiers  above:prices, with ; between them: those prices hold when there are more input tokens than that
//   8 flags        E embedding  T tools  S structured output (s: none)  R reasoning  F temperature (f: refused)  A attachments
//   9 modalities   in>out of t text, i image, p pdf, v video, a audio; absent: t>t
//  10 reasoning    of toggle, efforts with / between them, and min..max of a token budget, with , between them
//  11 embedding dimensions       12 date of release       13 alpha, beta or deprecated
//
// An absent column (or price) says: not stated. In a file, empty lines and those that begin with # are skipped.
import ClawWire

enum CatalogueText {
    typealias Bytes = Slice<UnsafeRawBufferPointer>
    static let columnsMax = 13

    private struct Wrong: Error {
        var message: String
        init(_ message: String) { self.message = message }
    }

    /// One line without its end.
    static func model(_ line: Bytes, number: Int) throws(CatalogueProblem) -> CatalogueModel {
        do throws(Wrong) { return try model(line) } catch { throw CatalogueProblem(line: number, error.message) }
    }

    private static func model(_ line: Bytes) throws(Wrong) -> CatalogueModel {
        let columns = line.split(separator: 0x09, maxSplits: columnsMax, omittingEmptySubsequences: false)
        guard columns.count <= columnsMax else { throw Wrong("expected at most \(columnsMax) columns") }
        func column(_ number: Int) -> Bytes { number <= columns.count ? columns[number - 1] : line[line.endIndex...] }
        // Not repeated: the first line of a file that is no catalogue at all may be anything, a secret too.
        guard CatalogueModel.isName(column(1), CatalogueModel.providerBytesMax) else { throw Wrong("column 1, provider: expected a name") }
        guard CatalogueModel.isName(column(2), CatalogueModel.idBytesMax) else { throw wrong("column 2, model", "a model id", column(2)) }
        var model = CatalogueModel(provider: text(column(1)), id: text(column(2)))
        model.contextTokensMax = try tokens(column(3), "column 3, context window") ?? 0
        model.inputTokensMax = try tokens(column(4), "column 4, input limit") ?? model.contextTokensMax
        model.outputTokensMax = try tokens(column(5), "column 5, output limit") ?? 0
        model.prices.base = try rates(column(6), "column 6, prices")
        try readTiers(column(7), &model.prices)
        try readFlags(column(8), &model)
        try readModalities(column(9), &model)
        try readReasoning(column(10), &model.reasoning)
        model.embeddingDimensions = try tokens(column(11), "column 11, embedding dimensions") ?? 0
        guard CatalogueModel.isDate(column(12)) else { throw wrong("column 12, date of release", "a date such as 2026-02-05", column(12)) }
        model.released = text(column(12))
        if !column(13).isEmpty {
            guard let status = CatalogueModel.Status(rawValue: text(column(13))) else { throw wrong("column 13", "alpha, beta or deprecated", column(13)) }
            model.status = status
        }
        return model
    }

    private static func text(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }
    private static func wrong(_ place: String, _ expected: String, _ found: Bytes) -> Wrong {
        Wrong("\(place): expected \(expected), found \(found.isEmpty ? "nothing" : "\"\(text(found.prefix(60)))\"")")
    }

    private static func tokens(_ bytes: Bytes, _ place: String) throws(Wrong) -> Int64? {
        if bytes.isEmpty { return nil }
        var value: Int64 = 0
        for byte in bytes {
            guard (0x30...0x39).contains(byte), value <= CatalogueModel.tokensMax else { throw wrong(place, "a whole number up to 2^40", bytes) }
            value = value * 10 + Int64(byte - 0x30)
        }
        guard value <= CatalogueModel.tokensMax else { throw wrong(place, "a whole number up to 2^40", bytes) }
        return value
    }

    private static func rates(_ bytes: Bytes, _ place: String) throws(Wrong) -> Prices.Rates {
        var rates = Prices.Rates()
        if bytes.isEmpty { return rates }
        let parts = bytes.split(separator: 0x2C, maxSplits: Prices.Rates.count, omittingEmptySubsequences: false)
        guard parts.count <= Prices.Rates.count else { throw Wrong("\(place): expected at most \(Prices.Rates.count) prices") }
        for (at, part) in parts.enumerated() where !part.isEmpty {
            guard let price = Price(decimal: part) else { throw wrong(place, Price.form, part) }
            rates[at] = price
        }
        return rates
    }

    private static func readTiers(_ bytes: Bytes, _ prices: inout Prices) throws(Wrong) {
        if bytes.isEmpty { return }
        for part in bytes.split(separator: 0x3B, maxSplits: Prices.tiersMax, omittingEmptySubsequences: false) {
            guard let colon = part.firstIndex(of: 0x3A), let above = try tokens(part[..<colon], "column 7, price tiers") else {
                throw wrong("column 7, price tiers", "tokens:prices", part)
            }
            guard prices.addTier(above: above, try rates(part[(colon + 1)...], "column 7, price tiers")) else {
                throw wrong("column 7, price tiers", "at most \(Prices.tiersMax) tiers in rising order, each above 0 tokens", bytes)
            }
        }
    }

    private static func readFlags(_ bytes: Bytes, _ model: inout CatalogueModel) throws(Wrong) {
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "E"): model.kind = .embedding
            case UInt8(ascii: "T"): model.hasTools = true
            case UInt8(ascii: "S"): model.hasStructuredOutput = true
            case UInt8(ascii: "s"): model.hasStructuredOutput = false
            case UInt8(ascii: "R"): model.isReasoning = true
            case UInt8(ascii: "F"): model.takesTemperature = true
            case UInt8(ascii: "f"): model.takesTemperature = false
            case UInt8(ascii: "A"): model.takesAttachments = true
            default: throw wrong("column 8, flags", "letters of ETSsRFfA", bytes)
            }
        }
    }

    private static func readModalities(_ bytes: Bytes, _ model: inout CatalogueModel) throws(Wrong) {
        if bytes.isEmpty { return }
        let sides = bytes.split(separator: 0x3E, omittingEmptySubsequences: false)
        guard sides.count == 2, let inputs = modalities(sides[0]), let outputs = modalities(sides[1]) else {
            throw wrong("column 9, modalities", "in>out in letters of tipva", bytes)
        }
        (model.inputs, model.outputs) = (inputs, outputs)
    }

    private static func modalities(_ bytes: Bytes) -> CatalogueModel.Modalities? {
        var all: CatalogueModel.Modalities = []
        for byte in bytes {
            guard let one = CatalogueModel.Modalities.names.first(where: { $0.letter == byte }) else { return nil }
            all.insert(one.value)
        }
        return all
    }

    private static func readReasoning(_ bytes: Bytes, _ reasoning: inout CatalogueModel.Reasoning) throws(Wrong) {
        let place = "column 10, reasoning"
        for part in bytes.split(separator: 0x2C) {
            if part.elementsEqual("toggle".utf8) {
                reasoning.hasToggle = true
            } else if let dot = part.firstIndex(of: 0x2E) {
                let behind = part[(dot + 1)...]
                guard behind.first == 0x2E else { throw wrong(place, "min..max", part) }
                reasoning.hasBudget = true
                reasoning.budgetMin = try tokens(part[..<dot], place)
                reasoning.budgetMax = try tokens(behind.dropFirst(), place)
            } else {
                for word in part.split(separator: 0x2F) {
                    guard let effort = effort(JSONBytes(UnsafeRawBufferPointer(rebasing: word))) else {
                        throw wrong(place, "toggle, min..max, or efforts of none, minimal, low, medium, high, xhigh, max, default", word)
                    }
                    reasoning.efforts.insert(effort)
                }
            }
        }
    }

    static func effort(_ word: JSONBytes) -> CatalogueModel.Efforts? {
        CatalogueModel.Efforts.names.first { word.equals($0.word) }?.value
    }
}
