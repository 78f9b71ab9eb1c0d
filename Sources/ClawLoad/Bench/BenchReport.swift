// BenchReport: the figures of a measurement, as text for people, as JSON for programs and as HdrHistogram's percentile text. Times are
// kept in nanoseconds; text shows milliseconds.

public struct BenchReport: Sendable {
    static let errorKinds: [(count: BenchCount, name: String)] = [
        (.errorResolve, "resolve"), (.errorConnect, "connect"), (.errorTLS, "tls"), (.errorTimeout, "timeout"), (.errorClosed, "closed"),
        (.errorMalformed, "malformed"), (.status4xx, "status_4xx"), (.status5xx, "status_5xx"), (.streamCut, "stream_cut"),
        (.streamError, "stream_error"), (.unsent, "unsent"),
    ]
    private static let percents: [(percent: Double, name: String)] = [(50, "p50"), (90, "p90"), (99, "p99"), (99.9, "p99.9")]

    let options: BenchOptions
    let plan: BenchPlan
    private var counts: [UInt64]
    var latency = Histogram()
    var firstToken = Histogram()
    var gaps = Histogram()
    public let seconds: Double
    let lastError: String

    init(options: BenchOptions, plan: BenchPlan, tallies: [BenchTally]) {
        self.options = options
        self.plan = plan
        counts = BenchCount.allCases.map { count in tallies.reduce(0) { $0 + $1.value(count) } }
        for tally in tallies {
            latency.merge(tally.latency)
            firstToken.merge(tally.firstToken)
            gaps.merge(tally.gaps)
        }
        let began = tallies.map(\.began).min() ?? 0, ended = tallies.map(\.ended).max() ?? 0
        seconds = ended > began ? Double(ended - began) / 1e9 : 0
        lastError = tallies.map(\.lastError).first { !$0.isEmpty } ?? ""
    }

    func value(_ count: BenchCount) -> UInt64 { counts[count.rawValue] }

    public var answers: UInt64 { value(.answers) }
    public var requestsPerSecond: Double { seconds > 0 ? Double(answers) / seconds : 0 }
    public var tokens: UInt64 { value(.tokens) }
    public var tokensPerSecond: Double { seconds > 0 ? Double(tokens) / seconds : 0 }
    /// Everything that went wrong, error statuses included.
    public var errors: UInt64 { Self.errorKinds.reduce(0) { $0 + value($1.count) } }
    public func errors(_ name: String) -> UInt64 { Self.errorKinds.first { $0.name == name }.map { value($0.count) } ?? 0 }
    public func latencyPercentile(_ percent: Double) -> UInt64 { latency.percentile(percent) }
    public func firstTokenPercentile(_ percent: Double) -> UInt64 { firstToken.percentile(percent) }
    public func gapPercentile(_ percent: Double) -> UInt64 { gaps.percentile(percent) }

    public func text() -> String {
        var text = "\(plan.method) \(options.url) (\(plan.path), body \(plan.body.count) bytes\(options.stream ? ", stream" : ""))\n"
        text += "  \(options.connections) connections, \(min(options.threads, options.connections)) threads, "
        text += options.rate > 0 ? "open loop at \(fixed(options.rate, 0)) requests/s, latency from the time due\n" : "closed loop\n"
        text += "  \(answers) answers in \(fixed(seconds, 2)) s: \(fixed(requestsPerSecond, 1)) requests/s, "
        text += "\(Self.bytes(value(.bytesIn))) in, \(Self.bytes(value(.bytesOut))) out, \(value(.connects)) connects\n"
        text += "                  min      mean       p50       p90       p99     p99.9       max\n"
        text += "  latency   " + Self.row(latency)
        if !firstToken.isEmpty || options.stream {
            text += "  1st token " + Self.row(firstToken)
            text += "  gap       " + Self.row(gaps)
            text += "  \(tokens) tokens: \(fixed(tokensPerSecond, 1)) tokens/s\n"
        }
        if errors > 0 {
            let list = Self.errorKinds.filter { value($0.count) > 0 }.map { "\($0.name) \(value($0.count))" }.joined(separator: ", ")
            text += "  errors: \(list)\(lastError.isEmpty ? "" : " (last: \(lastError))")\n"
        } else {
            text += "  no errors\n"
        }
        return text
    }

    private static func row(_ histogram: Histogram) -> String {
        let values: [Double] = [Double(histogram.minimum), histogram.mean] + percents.map { Double(histogram.percentile($0.percent)) } + [Double(histogram.greatest)]
        return values.map { fixed($0 / 1e6, 3, width: 9) }.joined(separator: " ") + " ms\n"
    }

    private static func bytes(_ count: UInt64) -> String {
        let value = Double(count)
        if value >= 1e9 { return fixed(value / 1e9, 2) + " GB" }
        if value >= 1e6 { return fixed(value / 1e6, 2) + " MB" }
        return fixed(value / 1e3, 1) + " kB"
    }

    public func json() -> String {
        var text = "{\"url\":\(Self.quoted(options.url)),\"path\":\(Self.quoted(plan.path)),\"method\":\(Self.quoted(plan.method))"
        text += ",\"stream\":\(options.stream),\"body_bytes\":\(plan.body.count),\"connections\":\(options.connections)"
        text += ",\"threads\":\(min(options.threads, options.connections)),\"loop\":\"\(options.rate > 0 ? "open" : "closed")\""
        if options.rate > 0 { text += ",\"rate\":\(fixed(options.rate, 3))" }
        text += ",\"seconds\":\(fixed(seconds, 6)),\"answers\":\(answers),\"requests_per_second\":\(fixed(requestsPerSecond, 3))"
        text += ",\"status_2xx\":\(value(.status2xx)),\"unfinished\":\(value(.unfinished))"
        text += ",\"bytes_in\":\(value(.bytesIn)),\"bytes_out\":\(value(.bytesOut)),\"connects\":\(value(.connects))"
        text += ",\"tokens\":\(tokens),\"tokens_per_second\":\(fixed(tokensPerSecond, 3))"
        text += ",\"errors\":{" + Self.errorKinds.map { "\"\($0.name)\":\(value($0.count))" }.joined(separator: ",") + "}"
        text += ",\"latency_ns\":" + Self.object(latency)
        text += ",\"first_token_ns\":" + Self.object(firstToken)
        text += ",\"gap_ns\":" + Self.object(gaps)
        if !lastError.isEmpty { text += ",\"last_error\":\(Self.quoted(lastError))" }
        return text + "}\n"
    }

    private static func object(_ histogram: Histogram) -> String {
        guard !histogram.isEmpty else { return "null" }
        var text = "{\"count\":\(histogram.total),\"min\":\(histogram.minimum),\"mean\":\(fixed(histogram.mean, 0))"
        for (percent, name) in percents { text += ",\"\(name)\":\(histogram.percentile(percent))" }
        return text + ",\"max\":\(histogram.greatest)}"
    }

    private static func quoted(_ text: String) -> String {
        var out = OutputBytes(capacity: text.utf8.count + 16)
        defer { out.deallocate() }
        var text = text
        text.withUTF8 { out.append(jsonEscaped: UnsafeRawBufferPointer($0)) }
        return "\"" + String(decoding: out.bytes, as: UTF8.self) + "\""
    }

    /// HdrHistogram's percentile text of the latencies in milliseconds (for HdrHistogram plotters).
    public func hdr() -> String { latency.percentileText() }
}
