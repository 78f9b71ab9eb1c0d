// Counters of one worker: a page of words that this worker alone writes and the admin thread reads at a scrape. A series is found by a key of
// small numbers (metric, up to four labels) in an open-addressed table; a new one takes the next words of the page. Beyond the cap on
// series, counts go to the metric's series with all labels "other" (`overflowMark`).
import CClaw

enum Metric: UInt8, CaseIterable {
    case requests = 1, upstreamRequests, requestDuration, upstreamDuration, timeToFirstToken, interToken, overhead
    case tokens, upstreamErrors, fallbacks, loopLag, refused, clientDisconnects, connectionsAccepted
    case upstreamConnections, streamsTruncated, handshakes
    case tunnels, tunnelBytes, tunnelMessages
    /// In nano-USD, shown in USD.
    case cost
    case keyFailures, keyCooldowns, downgrades, retries, retriesRefused
    case shadows, hedges, resumes

    enum Shape { case counter, fine, coarse }
    var shape: Shape {
        switch self {
        case .requestDuration, .upstreamDuration, .timeToFirstToken, .interToken: .coarse
        case .overhead, .loopLag: .fine
        default: .counter
        }
    }
}

/// Bounds of the histogram buckets in nanoseconds.
enum Buckets {
    static let fine: [UInt64] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 20_000, 100_000].map { $0 * 1_000 }
    static let coarse: [UInt64] = [
        500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000, 500_000_000,
        1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000, 30_000_000_000, 60_000_000_000, 120_000_000_000,
    ]
}

final class MetricPage: @unchecked Sendable {
    static let tableSize = 32768
    private static let wordsMax = 1 << 20
    private let keys: UnsafeMutablePointer<UInt64>
    private let places: UnsafeMutablePointer<UInt32>
    private let words: UnsafeMutablePointer<UInt64>
    private let fine: UnsafeMutablePointer<UInt64>
    private let coarse: UnsafeMutablePointer<UInt64>
    private var used = 0
    private var series = 0
    private let seriesMax: Int
    /// Set once when a series went to "other"; the control thread logs it.
    let overflow: UnsafeMutablePointer<UInt64>
    /// Gauges: connections, exchanges running, exchanges waiting for a connection, links open, buffers in use, tunnels open.
    let gauges: UnsafeMutablePointer<UInt64>
    enum Gauge: Int, CaseIterable { case connections, streams, pending, links, buffers, tunnels }
    /// Fourth label of a metric's series for all that came when the page was full; no real fourth label is that high.
    static let overflowMark: UInt8 = 0xff

    init(seriesMax: Int) {
        self.seriesMax = min(seriesMax, Self.tableSize / 2)
        keys = .allocate(capacity: Self.tableSize)
        keys.initialize(repeating: 0, count: Self.tableSize)
        places = .allocate(capacity: Self.tableSize)
        // Reserved, not touched: a word is zeroed when its series is made.
        words = .allocate(capacity: Self.wordsMax)
        fine = .allocate(capacity: Buckets.fine.count)
        coarse = .allocate(capacity: Buckets.coarse.count)
        for (index, bound) in Buckets.fine.enumerated() { fine[index] = bound }
        for (index, bound) in Buckets.coarse.enumerated() { coarse[index] = bound }
        gauges = .allocate(capacity: 32)
        gauges.initialize(repeating: 0, count: 32)
        overflow = gauges + 16
    }

    deinit {
        keys.deallocate()
        places.deallocate()
        words.deallocate()
        fine.deallocate()
        coarse.deallocate()
        gauges.deallocate()
    }

    /// Never 0, which marks a free place of the table: metrics count from 1.
    @inline(__always)
    static func key(_ metric: Metric, _ a: UInt16, _ b: UInt16, _ c: UInt16, _ d: UInt8 = 0) -> UInt64 {
        UInt64(metric.rawValue) << 56 | UInt64(d) << 48 | UInt64(a) << 32 | UInt64(b) << 16 | UInt64(c)
    }

    private static func width(_ metric: Metric) -> Int {
        switch metric.shape {
        case .counter: 1
        case .fine: Buckets.fine.count + 3
        case .coarse: Buckets.coarse.count + 3
        }
    }

    @inline(__always)
    private func words(of key: UInt64, _ metric: Metric) -> UnsafeMutablePointer<UInt64> {
        var at = Int((key &* 0x9e37_79b9_7f4a_7c15) >> 49)
        while true {
            let found = keys[at]
            if found == key { return words + Int(places[at]) }
            if found == 0 { return insert(key, metric, at) }
            at = (at + 1) & (Self.tableSize - 1)
        }
    }

    @inline(never)
    private func insert(_ key: UInt64, _ metric: Metric, _ at: Int) -> UnsafeMutablePointer<UInt64> {
        let width = Self.width(metric)
        let other = Self.key(metric, 0, 0, 0, Self.overflowMark)
        // `other` series stand outside the cap: one per metric, so table and words have room for them whatever the cap is.
        if series >= seriesMax, key != other {
            claw_word_store(overflow, 1)
            return words(of: other, metric)
        }
        for index in 0..<width { words[used + index] = 0 }
        places[at] = UInt32(used)
        used += width
        series += 1
        claw_word_store(keys + at, key)
        return words + Int(places[at])
    }

    @inline(__always)
    func add(_ metric: Metric, _ a: UInt16, _ b: UInt16 = 0, _ c: UInt16 = 0, _ d: UInt8 = 0, by n: UInt64 = 1) {
        claw_counter_add(words(of: Self.key(metric, a, b, c, d), metric), n)
    }

    /// Adds an observation to a histogram: words are the buckets, then the count, then the sum in nanoseconds.
    @inline(__always)
    func observe(_ metric: Metric, _ a: UInt16, _ b: UInt16 = 0, nanoseconds: UInt64) {
        let isFine = metric.shape == .fine
        let bounds = isFine ? fine : coarse
        let count = isFine ? 13 : 17
        var bucket = 0
        while bucket < count, nanoseconds > bounds[bucket] { bucket += 1 }
        let at = words(of: Self.key(metric, a, b, 0), metric)
        claw_counter_add(at + bucket, 1)
        claw_counter_add(at + count + 1, 1)
        claw_counter_add(at + count + 2, nanoseconds)
    }

    @inline(__always)
    func set(_ gauge: Gauge, _ value: Int) { claw_word_store_relaxed(gauges + gauge.rawValue, UInt64(max(0, value))) }
    func gauge(_ gauge: Gauge) -> UInt64 { claw_word_load_relaxed(gauges + gauge.rawValue) }

    /// For the scraper (another thread): every series with its labels and words.
    func forEach(_ body: (_ metric: Metric, _ labels: (a: UInt16, b: UInt16, c: UInt16, d: UInt8), _ words: [UInt64]) -> Void) {
        for at in 0..<Self.tableSize {
            let key = claw_word_load(keys + at)
            guard key != 0, let metric = Metric(rawValue: UInt8(key >> 56)) else { continue }
            let start = words + Int(places[at])
            let values = (0..<Self.width(metric)).map { claw_word_load_relaxed(start + $0) }
            let labels = (
                a: UInt16(truncatingIfNeeded: key >> 32), b: UInt16(truncatingIfNeeded: key >> 16), c: UInt16(truncatingIfNeeded: key),
                d: UInt8(truncatingIfNeeded: key >> 48)
            )
            body(metric, labels, values)
        }
    }
}
