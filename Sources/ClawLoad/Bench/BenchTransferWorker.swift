// BenchTransferWorker: one thread of the load generator over https://, where libcurl brings TLS and HTTP/2 (claw_transfer.h). "Connections"
// are requests under way at a time; over HTTP/2 they share sockets. Costs more per request than BenchWorker, which does not
// matter against a provider on the other side of a network. Times and counts mean the same.
import CClaw

private struct BenchSlot: ~Copyable {
    var exchange = BenchExchange()
    /// The transfer's id; < 0 when none is under way.
    var id: Int32 = -1
    /// Not before then, after a failure to connect.
    var retryAt: UInt64 = 0
    var isFree = true
}

final class BenchTransferWorker {
    private static let watchToken: UInt64 = 1
    private static let bufferBytes = 65536

    private let run: BenchRun
    private let tally: BenchTally
    private let loop: OpaquePointer
    private let transfers: OpaquePointer
    private let policy: OpaquePointer
    private let count: Int
    private let slots: UnsafeMutablePointer<BenchSlot>
    private var schedule: BenchSchedule
    private let timeout: UInt64
    private let url: UnsafeMutableBufferPointer<CChar>
    private let method: UnsafeMutableBufferPointer<CChar>
    private let body: UnsafeMutableBufferPointer<UInt8>
    private let bodySlice: UnsafeMutablePointer<claw_slice>
    private let headers: UnsafeMutableBufferPointer<claw_slice>
    private let headerBytes: UnsafeMutableBufferPointer<UInt8>
    private var isOver = false

    /// Throws when libcurl cannot serve.
    init(run: BenchRun, tally: BenchTally, loop: OpaquePointer, slots count: Int, rate: Double, quota: UInt64) throws(LoadError) {
        self.run = run
        self.tally = tally
        self.loop = loop
        self.count = count
        timeout = run.options.timeoutNanoseconds
        var made: OpaquePointer?
        let created = claw_transfers_create(loop, Self.watchToken, UInt32(count), &made)
        guard created >= 0, let made else { throw LoadError("bench: https:// needs libcurl: \(claw_transfers_library().map { String(cString: $0) } ?? "errno \(-created)")") }
        var settings = claw_transfer_policy_options()
        settings.insecure_skip_verify = run.options.insecure ? 1 : 0
        settings.connect_timeout_ms = UInt32(clamping: max(1, run.options.timeoutNanoseconds / 1_000_000))
        var madePolicy: OpaquePointer?
        let agreed = claw_transfer_policy_create(&settings, &madePolicy)
        guard agreed >= 0, let madePolicy else {
            claw_transfers_destroy(made)
            throw LoadError("bench: TLS settings were refused: errno \(-agreed)")
        }
        transfers = made
        policy = madePolicy
        let plan = run.plan
        let host = plan.host.contains(":") ? "[\(plan.host)]" : plan.host
        url = Self.cString("https://\(host):\(plan.port)\(plan.path)")
        method = Self.cString(plan.method)
        body = .allocate(capacity: max(1, plan.body.count))
        _ = body.initialize(from: plan.body)
        bodySlice = .allocate(capacity: 1)
        bodySlice.initialize(to: claw_slice(base: body.baseAddress, length: plan.body.count))
        headerBytes = .allocate(capacity: plan.headers.reduce(1) { $0 + $1.utf8.count })
        headers = .allocate(capacity: max(1, plan.headers.count))
        var at = 0
        for (place, line) in plan.headers.enumerated() {
            for byte in line.utf8 {
                headerBytes[at] = byte
                at += 1
            }
            headers[place] = claw_slice(base: headerBytes.baseAddress.map { $0 + (at - line.utf8.count) }, length: line.utf8.count)
        }
        slots = .allocate(capacity: count)
        for place in 0 ..< count { (slots + place).initialize(to: BenchSlot()) }
        schedule = BenchSchedule(run.options, rate: rate, quota: quota, started: claw_monotonic_ns())
    }

    deinit {
        claw_transfers_destroy(transfers)
        claw_transfer_policy_destroy(policy)
        slots.deinitialize(count: count)
        slots.deallocate()
        url.deallocate()
        method.deallocate()
        body.deallocate()
        bodySlice.deallocate()
        headers.deallocate()
        headerBytes.deallocate()
    }

    private static func cString(_ text: String) -> UnsafeMutableBufferPointer<CChar> {
        let bytes = text.utf8CString
        let copy = UnsafeMutableBufferPointer<CChar>.allocate(capacity: bytes.count)
        _ = copy.initialize(from: bytes)
        return copy
    }

    func work() {
        tally.began = schedule.measureFrom
        let events = UnsafeMutablePointer<claw_event>.allocate(capacity: 256)
        defer { events.deallocate() }
        var now = schedule.started
        while !isOver {
            if now >= schedule.measureTo || run.isStopping { break }
            beginWhatIsDue(now)
            turn(events, now, atMost: waitTime(now))
            now = claw_monotonic_ns()
            giveUpLate(now)
        }
        finish(min(now, schedule.measureTo), events)
    }

    private func waitTime(_ now: UInt64) -> Int64 {
        var until = min(now &+ 50_000_000, schedule.measureTo)
        if schedule.isOpen && (0 ..< count).contains(where: { slots[$0].isFree }) { until = min(until, schedule.nextDue) }
        return until > now ? Int64(clamping: until - now) : 0
    }

    /// One turn of the loop: readiness to libcurl, libcurl's timers, then what came of it.
    private func turn(_ events: UnsafeMutablePointer<claw_event>, _ now: UInt64, atMost: Int64) {
        let deadline = claw_transfers_deadline(transfers, now)
        let wait = deadline >= 0 ? min(deadline, atMost) : atMost
        let got = claw_loop_wait(loop, events, 256, wait)
        for place in 0 ..< Int(max(0, got)) where Int32(events[place].kind) == Int32(CLAW_READY) {
            _ = claw_transfers_ready(transfers, events[place].fd, events[place].result)
        }
        if claw_transfers_deadline(transfers, claw_loop_now(loop)) == 0 { _ = claw_transfers_tick(transfers) }
        var event = claw_transfer_event()
        while claw_transfers_next(transfers, &event) == 1 {
            let place = Int(event.token)
            switch event.kind {
            case Int32(CLAW_TRANSFER_HEAD):
                tally.add(.bytesIn, UInt64(event.length))
                let head = UnsafeRawBufferPointer(start: event.text, count: Int(event.length))
                slots[place].exchange.onHead(status: Int(event.result), isStream: Self.isEventStream(head))
            case Int32(CLAW_TRANSFER_DATA):
                tally.add(.bytesIn, UInt64(event.length))
                if slots[place].exchange.isStream {
                    let start = claw_buffer_base(loop) + Int(event.buffer) * Self.bufferBytes
                    let bytes = UnsafeRawBufferPointer(start: start, count: Int(event.length))
                    slots[place].exchange.scan(bytes, claw_monotonic_ns(), until: schedule.measureTo, tally)
                }
                claw_buffer_release(loop, event.buffer)
            default:
                slots[place].id = -1
                slots[place].isFree = true
                let words = event.result == 0 ? "" : event.text.map { String(cString: $0) } ?? ""
                ended(place, event.result, words)
            }
        }
    }

    private func beginWhatIsDue(_ now: UInt64) {
        for place in 0 ..< count where slots[place].isFree && slots[place].retryAt <= now {
            if schedule.isOpen {
                let intended = schedule.nextDue
                guard intended <= now else { return }
                schedule.begun &+= 1
                begin(place, at: intended)
            } else {
                begin(place, at: claw_monotonic_ns())
            }
        }
    }

    private func begin(_ place: Int, at began: UInt64) {
        slots[place].exchange.begin(at: began, now: claw_loop_now(loop), isCounted: schedule.isMeasured(began))
        var request = claw_transfer_request()
        request.url = UnsafePointer(url.baseAddress)
        request.method = UnsafePointer(method.baseAddress)
        request.headers = UnsafePointer(headers.baseAddress)
        request.header_count = UInt32(run.plan.headers.count)
        request.body = UnsafePointer(bodySlice)
        request.body_count = run.plan.body.isEmpty ? 0 : 1
        request.token = UInt64(place)
        request.policy = policy
        request.window_bytes = 65536
        let id = claw_transfer_start(transfers, &request)
        if id < 0 {
            slots[place].retryAt = claw_monotonic_ns() &+ 100_000_000
            count(.errorConnect, place, "a transfer could not be started: errno \(-id)")
            return
        }
        slots[place].id = id
        slots[place].isFree = false
        tally.add(.bytesOut, UInt64(run.plan.bytes.count))
    }

    private func ended(_ place: Int, _ result: Int32, _ words: String) {
        if isOver && (!schedule.isOpen || schedule.quota > 0) { return }
        let now = claw_monotonic_ns()
        if result == 0 {
            guard slots[place].exchange.isCounted, now <= schedule.measureTo || schedule.isOpen else { return }
            slots[place].exchange.count(now, tally)
            if schedule.quota > 0 && tally.value(.answers) >= schedule.quota { isOver = true }
            return
        }
        switch result {
        case Int32(CLAW_TRANSFER_RESOLVE): count(.errorResolve, place, words)
        case Int32(CLAW_TRANSFER_CONNECT): count(.errorConnect, place, words)
        case Int32(CLAW_TRANSFER_CONNECT_TIMEOUT): count(.errorTimeout, place, words)
        case Int32(CLAW_TRANSFER_TLS): count(.errorTLS, place, words)
        case Int32(CLAW_TRANSFER_NETWORK): count(.errorClosed, place, words)
        default: count(.errorMalformed, place, words)
        }
        if result != Int32(CLAW_TRANSFER_NETWORK) { slots[place].retryAt = now &+ 100_000_000 }
    }

    private func count(_ kind: BenchCount, _ place: Int, _ words: String) {
        guard slots[place].exchange.isCounted else { return }
        tally.add(kind)
        tally.lastError = words
        if schedule.isOpen {
            let now = claw_monotonic_ns()
            tally.latency.record(now &- min(now, slots[place].exchange.began))
        }
    }

    private func giveUpLate(_ now: UInt64) {
        for place in 0 ..< count where !slots[place].isFree && slots[place].exchange.sentAt &+ timeout < now {
            _ = claw_transfer_cancel(transfers, slots[place].id)
            slots[place].id = -1
            slots[place].isFree = true
            count(.errorTimeout, place, "no whole answer in time")
        }
    }

    /// As in BenchWorker: an open loop waits for what is under way, a closed one does not.
    private func finish(_ now: UInt64, _ events: UnsafeMutablePointer<claw_event>) {
        if tally.ended == 0 || schedule.quota == 0 { tally.ended = now }
        let measured = tally.ended
        isOver = true
        if schedule.isOpen && schedule.quota == 0 {
            var clock = now
            let patience = now &+ min(timeout, 5_000_000_000)
            while underWay() > 0 && clock < patience && !run.isStopping {
                turn(events, clock, atMost: 50_000_000)
                clock = claw_monotonic_ns()
            }
            schedule.chargeUnsent(tally, end: now, clock: clock)
            for place in 0 ..< count where isUnderWay(place) { tally.latency.record(clock &- min(clock, slots[place].exchange.began)) }
        }
        tally.add(.unfinished, UInt64(underWay()))
        tally.ended = measured
        for place in 0 ..< count where slots[place].id >= 0 { _ = claw_transfer_cancel(transfers, slots[place].id) }
    }

    private func isUnderWay(_ place: Int) -> Bool { !slots[place].isFree && slots[place].exchange.isCounted }

    private func underWay() -> Int { (0 ..< count).reduce(0) { $0 + (isUnderWay($1) ? 1 : 0) } }

    private static func isEventStream(_ head: UnsafeRawBufferPointer) -> Bool {
        String(decoding: head, as: UTF8.self).lowercased().split(separator: "\r\n").contains {
            $0.hasPrefix("content-type:") && $0.contains("text/event-stream")
        }
    }
}
