// Metrics as text for a scraper: Prometheus' format 0.0.4, or OpenMetrics 1.0 when it is asked for. The two differ in four places only: OpenMetrics
// names a counter's family without `_total` and an information metric's without `_info`, writes bounds of buckets as floats ("1.0"), and ends
// with `# EOF`. An Exposition is an append-only text; who makes it keeps each family's samples together and distinct.

struct Exposition {
    enum Format {
        case prometheus, openMetrics

        var contentType: String {
            switch self {
            case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
            case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }

        /// What an Accept field asks for: OpenMetrics if it is named there with a weight above 0, else what every scraper reads.
        init(accept: String?) {
            self = .prometheus
            for part in (accept ?? "").split(separator: ",") {
                let words = part.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
                guard words.first == "application/openmetrics-text" else { continue }
                let isRefused = words.contains { $0.hasPrefix("q=0") && !$0.dropFirst(3).contains { ("1"..."9").contains($0) } }
                if !isRefused { self = .openMetrics }
            }
        }
    }

    enum Kind { case counter, gauge, histogram, information }

    let format: Format
    private(set) var bytes: [UInt8] = []
    private var family = ""
    private var kind = Kind.gauge

    init(_ format: Format) {
        self.format = format
        bytes.reserveCapacity(65536)
    }

    /// Begins a family. `name` is that of the samples without the suffix of the kind: no `_total`, no `_info`.
    mutating func begin(_ name: String, _ kind: Kind, _ help: String) {
        family = name
        self.kind = kind
        let named = format == .openMetrics ? name : name + Self.suffix(kind)
        let type = switch kind {
        case .counter: "counter"
        case .gauge: "gauge"
        case .histogram: "histogram"
        case .information: format == .openMetrics ? "info" : "gauge"
        }
        put("# HELP \(named) \(Self.escaped(help, quotes: format == .openMetrics))\n# TYPE \(named) \(type)\n")
    }

    private static func suffix(_ kind: Kind) -> String {
        switch kind {
        case .counter: "_total"
        case .information: "_info"
        case .gauge, .histogram: ""
        }
    }

    /// `labels` as made by `labels(_:)`.
    mutating func sample(_ labels: String = "", _ value: UInt64) { sample(labels, text: String(value)) }
    mutating func sample(_ labels: String = "", seconds value: Double) { sample(labels, text: "\(value)") }

    private mutating func sample(_ labels: String, text: String) {
        put(family)
        put(Self.suffix(kind))
        if !labels.isEmpty { put("{\(labels)}") }
        put(" \(text)\n")
    }

    /// A histogram's samples. `words` are observations per bucket, one more than bounds; the sum and the bounds are nanoseconds. The count is made of
    /// the buckets, not counted apart: a scrape that comes between two additions must not show a count that differs from the last bucket.
    mutating func histogram(_ labels: String = "", buckets: ArraySlice<UInt64>, bounds: [UInt64], sum: UInt64) {
        let comma = labels.isEmpty ? "" : ","
        var total: UInt64 = 0
        for (index, count) in buckets.enumerated() {
            total &+= count
            put("\(family)_bucket{\(labels)\(comma)le=\"\(index < bounds.count ? bound(bounds[index]) : "+Inf")\"} \(total)\n")
        }
        let braces = labels.isEmpty ? "" : "{\(labels)}"
        put("\(family)_sum\(braces) \(Double(sum) / 1e9)\n\(family)_count\(braces) \(total)\n")
    }

    private func bound(_ nanoseconds: UInt64) -> String {
        let text = "\(Double(nanoseconds) / 1e9)"
        return format == .prometheus && text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }

    /// Ends the text; nothing may follow.
    mutating func end() {
        if format == .openMetrics { put("# EOF\n") }
    }

    private mutating func put(_ text: String) { bytes.append(contentsOf: text.utf8) }

    // MARK: labels

    /// `a="x",b="y"`, values escaped.
    static func labels(_ pairs: [(name: String, value: String)]) -> String {
        var text = ""
        for (name, value) in pairs {
            if !text.isEmpty { text += "," }
            text += "\(name)=\"\(escaped(value, quotes: true))\""
        }
        return text
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        guard text.utf8.contains(where: { $0 == 0x5c || $0 == 0x0a || $0 == 0x22 }) else { return text }
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\"" where quotes: out += "\\\""
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}
