// BenchTally: what one bench worker counted and timed. The words may be read while it runs (live progress); the histograms only after it.
import CClaw

enum BenchCount: Int, CaseIterable {
    /// Answers of any status that came whole, within the measurement.
    case answers
    case status2xx, status3xx, status4xx, status5xx
    case errorResolve, errorConnect, errorTLS, errorTimeout, errorClosed, errorMalformed
    /// A stream that ended without [DONE] (or its dialect's last event), and one that carried an error event.
    case streamCut, streamError
    /// Begun within the measurement and not answered when it ended.
    case unfinished
    /// Open loop: due within the measurement, but no connection was free until its end.
    case unsent
    case tokens, bytesIn, bytesOut, connects
}

final class BenchTally: @unchecked Sendable {
    private let words: UnsafeMutablePointer<UInt64>
    var latency = Histogram()
    var firstToken = Histogram()
    var gaps = Histogram()
    /// When the first and the last recorded thing happened.
    var began: UInt64 = 0
    var ended: UInt64 = 0
    /// Words about the last error of its kind, for the report.
    var lastError = ""

    init() {
        words = .allocate(capacity: BenchCount.allCases.count)
        words.initialize(repeating: 0, count: BenchCount.allCases.count)
    }

    deinit { words.deallocate() }

    @inline(__always)
    func add(_ count: BenchCount, _ n: UInt64 = 1) { claw_counter_add(words + count.rawValue, n) }

    func value(_ count: BenchCount) -> UInt64 { claw_word_load_relaxed(words + count.rawValue) }
}
