// BenchExchange: one request under way and what its answer has shown so far, whatever brings it (our own HTTP/1.1 client or libcurl).
// BenchSchedule: when requests are due and which of them count. Both are plain state of one bench worker.
import ClawWire

/// When a worker measures, and when its requests are due (open loop).
struct BenchSchedule {
    let started: UInt64
    let measureFrom: UInt64
    /// UInt64.max when a number of answers ends the measurement.
    let measureTo: UInt64
    /// Requests per second; 0: closed loop.
    let rate: Double
    /// How many answers end the measurement; 0: time does.
    let quota: UInt64
    /// Open loop: how many requests were begun.
    var begun: UInt64 = 0

    init(_ options: BenchOptions, rate: Double, quota: UInt64, started: UInt64) {
        self.started = started
        self.rate = rate
        self.quota = quota
        measureFrom = started &+ options.warmupNanoseconds
        measureTo = quota == 0 ? measureFrom &+ options.durationNanoseconds : UInt64.max
    }

    var isOpen: Bool { rate > 0 }

    /// When the next request is due (open loop).
    var nextDue: UInt64 { started &+ UInt64(Double(begun) / rate * 1e9) }

    func isMeasured(_ began: UInt64) -> Bool { began >= measureFrom && began < measureTo }

    /// Open loop, at the end: requests that were due and never sent, charged with the time they have waited.
    mutating func chargeUnsent(_ tally: BenchTally, end: UInt64, clock: UInt64) {
        while nextDue < measureTo && nextDue < end {
            if nextDue >= measureFrom {
                tally.add(.unsent)
                tally.latency.record(clock &- min(clock, nextDue))
            }
            begun &+= 1
        }
    }
}

struct BenchExchange: ~Copyable {
    /// From when latency counts: when it was due (open loop) or sent.
    var began: UInt64 = 0
    /// When it went out: its time-out counts from here.
    var sentAt: UInt64 = 0
    /// True exactly when it began within the measurement.
    var isCounted = false
    var status = 0
    var isStream = false
    private var scanner = EventScanner(carryBytesMax: 1 << 20)
    private var sawDone = false
    private var sawError = false
    private var lastToken: UInt64 = 0
    /// Where the last token's text was found in its event; the next event of the stream has it there too.
    private var tokenOffset = 0

    init() {}

    mutating func begin(at began: UInt64, now: UInt64, isCounted: Bool) {
        self.began = began
        sentAt = max(began, now)
        self.isCounted = isCounted
        status = 0
        isStream = false
        sawDone = false
        sawError = false
        lastToken = 0
    }

    mutating func onHead(status: Int, isStream: Bool) {
        self.status = status
        self.isStream = isStream
        if isStream { scanner = EventScanner(carryBytesMax: 1 << 20) }
    }

    /// Bytes of a stream's body arrived now; what comes after `measureTo` is not counted.
    mutating func scan(_ bytes: UnsafeRawBufferPointer, _ now: UInt64, until measureTo: UInt64, _ tally: BenchTally) {
        var at = 0
        while case .event(let event) = scanner.next(bytes, from: at) {
            at = event.end
            if event.isDone {
                sawDone = true
            } else {
                onEvent(event.data, now, until: measureTo, tally)
            }
        }
    }

    private mutating func onEvent(_ data: UnsafeRawBufferPointer, _ now: UInt64, until measureTo: UInt64, _ tally: BenchTally) {
        if StreamWords.begins(data, "{\"error\"") || StreamWords.begins(data, "{\"type\":\"error\"") {
            sawError = true
            return
        }
        if StreamWords.isLast(data) { sawDone = true }
        guard StreamWords.holdsToken(data, hint: &tokenOffset) else { return }
        if isCounted && now < measureTo {
            tally.add(.tokens)
            if lastToken == 0 {
                tally.firstToken.record(now &- min(now, began))
            } else {
                tally.gaps.record(now &- lastToken)
            }
        }
        lastToken = now
    }

    /// The answer is whole.
    func count(_ now: UInt64, _ tally: BenchTally) {
        tally.add(.answers)
        switch status {
        case 200 ..< 300: tally.add(.status2xx)
        case 300 ..< 400: tally.add(.status3xx)
        case 400 ..< 500: tally.add(.status4xx)
        default: tally.add(.status5xx)
        }
        if isStream {
            if sawError { tally.add(.streamError) } else if !sawDone { tally.add(.streamCut) }
        }
        tally.latency.record(now &- min(now, began))
        tally.ended = now
    }
}
