// BenchWorker: one thread of the load generator over plain HTTP/1.1. It keeps its connections open and repeats one prepared request on
// each: one send, then the answer is parsed where it lies. Closed loop: a connection sends again when it has its answer. Open loop:
// request i is due at start + i/rate; it goes out on a free connection as soon as there is one and its latency counts from when it was
// due, so that a server which stalls is charged for those who waited (no coordinated omission). The clock is read once per answer: a batch
// of events may take longer than one of the latencies measured.
import CClaw
import ClawWire

private enum BenchPhase: UInt8 { case idle, connecting, sending, head, body, waitingToConnect }

private struct BenchConnection: ~Copyable {
    var fd: Int32 = -1
    var generation: UInt32 = 0
    var phase = BenchPhase.idle
    var isConnected = false
    var sentBytes = 0
    /// When connecting began.
    var connectBegan: UInt64 = 0
    var exchange = BenchExchange()
    var parser = ResponseParser()
    var chunked = ChunkedReader()
    var framing = BodyFraming.none
    var remaining: UInt64 = 0
    var keepsAlive = true
    /// A head that was cut.
    var stash: [UInt8] = []
    /// When to try again after a failed connect.
    var retryAt: UInt64 = 0
}

final class BenchWorker {
    private static let wouldBlock: Int64 = -11
    private static let bufferBytes = 65536
    /// Shortly before a request is due the worker polls: the kernel's timers are that late.
    private static let pollNanoseconds: UInt64 = 60_000

    private let run: BenchRun
    private let tally: BenchTally
    private let loop: OpaquePointer
    private let base: UnsafeMutablePointer<UInt8>
    private let count: Int
    private let connections: UnsafeMutablePointer<BenchConnection>
    private let head = ResponseHead()
    private let limits: HeadLimits
    private let request: UnsafeMutablePointer<UInt8>
    private let requestLength: Int
    private let requestMethod: HTTPMethod
    private let address: claw_address
    private let timeout: UInt64
    private var schedule: BenchSchedule
    private var idle: [Int32] = []
    private var isOver = false

    init(run: BenchRun, tally: BenchTally, loop: OpaquePointer, address: claw_address, connections count: Int, rate: Double, quota: UInt64) {
        self.run = run
        self.tally = tally
        self.loop = loop
        self.address = address
        self.count = count
        schedule = BenchSchedule(run.options, rate: rate, quota: quota, started: claw_monotonic_ns())
        timeout = run.options.timeoutNanoseconds
        base = claw_buffer_base(loop)
        connections = .allocate(capacity: count)
        for place in 0 ..< count { (connections + place).initialize(to: BenchConnection()) }
        let bytes = run.plan.bytes
        request = .allocate(capacity: bytes.count)
        request.initialize(from: bytes, count: bytes.count)
        requestLength = bytes.count
        requestMethod = run.plan.isHead ? .head : .post
        var limits = HeadLimits()
        limits.headBytesMax = 262_144
        self.limits = limits
    }

    deinit {
        connections.deinitialize(count: count)
        connections.deallocate()
        request.deallocate()
    }

    func work() {
        tally.began = schedule.measureFrom
        for place in 0 ..< count { connect(place) }
        let events = UnsafeMutablePointer<claw_event>.allocate(capacity: 256)
        defer { events.deallocate() }
        let sweepEvery = max(1_000_000, min(100_000_000, timeout / 4))
        var nextSweep = schedule.started &+ sweepEvery
        var now = schedule.started
        while !isOver {
            let got = claw_loop_wait(loop, events, 256, waitTime(now, sweep: nextSweep))
            for place in 0 ..< Int(max(0, got)) { dispatch(events[place]) }
            now = claw_monotonic_ns()
            if now >= schedule.measureTo || run.isStopping { break }
            if schedule.isOpen { beginDue(now) }
            if now >= nextSweep {
                sweep(now)
                nextSweep = now &+ sweepEvery
            }
        }
        finish(min(now, schedule.measureTo), events)
    }

    private func waitTime(_ now: UInt64, sweep: UInt64) -> Int64 {
        var until = min(sweep, schedule.measureTo)
        if schedule.isOpen && !idle.isEmpty {
            let next = schedule.nextDue
            if next <= now &+ Self.pollNanoseconds { return 0 }
            until = min(until, next &- Self.pollNanoseconds)
        }
        return until > now ? Int64(clamping: until - now) : 0
    }

    private func beginDue(_ now: UInt64) {
        while schedule.nextDue <= now, let place = idle.popLast() {
            let intended = schedule.nextDue
            schedule.begun &+= 1
            begin(Int(place), at: intended)
        }
    }

    // ---- connections ----

    private func connect(_ place: Int) {
        connections[place].generation &+= 1
        connections[place].isConnected = false
        connections[place].phase = .connecting
        var address = address
        let fd = claw_connect(loop, &address, token(place))
        tally.add(.connects)
        if fd < 0 {
            connectFailed(place, Int32(-fd))
            return
        }
        connections[place].fd = fd
        connections[place].connectBegan = claw_monotonic_ns()
    }

    private func token(_ place: Int) -> UInt64 { UInt64(connections[place].generation) << 32 | UInt64(place) }

    private func connectFailed(_ place: Int, _ error: Int32) {
        tally.add(.errorConnect)
        tally.lastError = "connect: errno \(error)"
        drop(place)
        connections[place].phase = .waitingToConnect
        connections[place].retryAt = claw_monotonic_ns() &+ 100_000_000
    }

    private func drop(_ place: Int) {
        if connections[place].fd >= 0 { _ = claw_close(loop, connections[place].fd, 0) }
        connections[place].fd = -1
        connections[place].generation &+= 1
    }

    private func dispatch(_ event: claw_event) {
        let place = Int(event.token & 0xffff_ffff)
        guard place < count, token(place) == event.token else {
            if Int32(event.kind) == Int32(CLAW_RECEIVED) && event.result > 0 { claw_buffer_release(loop, event.buffer) }
            return
        }
        switch Int32(event.kind) {
        case Int32(CLAW_CONNECTED):
            if event.result < 0 {
                connectFailed(place, -event.result)
                return
            }
            connections[place].isConnected = true
            _ = claw_receive(loop, connections[place].fd, UInt32(CLAW_RECEIVE_BUFFERED))
            becomeFree(place, claw_monotonic_ns())
        case Int32(CLAW_WRITABLE):
            if connections[place].phase == .sending { send(place) }
        case Int32(CLAW_RECEIVED):
            if event.result > 0 {
                tally.add(.bytesIn, UInt64(event.result))
                receive(place, base + Int(event.buffer) * Self.bufferBytes, Int(event.result))
                claw_buffer_release(loop, event.buffer)
            } else {
                ended(place, event.result)
            }
        default:
            break
        }
    }

    /// The connection can take a request.
    private func becomeFree(_ place: Int, _ now: UInt64) {
        connections[place].phase = .idle
        if isOver { return }
        if schedule.isOpen {
            let intended = schedule.nextDue
            if intended <= now {
                schedule.begun &+= 1
                begin(place, at: intended)
            } else {
                idle.append(Int32(place))
            }
        } else {
            begin(place, at: now)
        }
    }

    private func begin(_ place: Int, at began: UInt64) {
        connections[place].phase = .sending
        connections[place].exchange.begin(at: began, now: claw_loop_now(loop), isCounted: schedule.isMeasured(began))
        connections[place].sentBytes = 0
        connections[place].parser = ResponseParser()
        send(place)
    }

    private func send(_ place: Int) {
        while connections[place].sentBytes < requestLength {
            var slice = claw_slice(base: request + connections[place].sentBytes, length: requestLength - connections[place].sentBytes)
            let sent = claw_send(loop, connections[place].fd, &slice, 1)
            if sent == Self.wouldBlock { return }
            if sent < 0 {
                // The answer may say why: wait for it or for the end.
                connections[place].phase = .head
                return
            }
            connections[place].sentBytes += Int(sent)
            tally.add(.bytesOut, UInt64(sent))
        }
        connections[place].phase = .head
    }

    // ---- answers ----

    private func receive(_ place: Int, _ bytes: UnsafePointer<UInt8>, _ length: Int) {
        switch connections[place].phase {
        case .head, .sending:
            receiveHead(place, bytes, length)
        case .body:
            let now = connections[place].exchange.isStream ? claw_monotonic_ns() : 0
            receiveBody(place, bytes, length, now)
        case .idle, .connecting, .waitingToConnect:
            failed(place, .errorMalformed, "bytes that no request asked for")
        }
    }

    private func receiveHead(_ place: Int, _ bytes: UnsafePointer<UInt8>, _ length: Int) {
        if connections[place].stash.isEmpty {
            let used = parseHead(place, UnsafeRawBufferPointer(start: bytes, count: length))
            if used == 0 {
                connections[place].stash.append(contentsOf: UnsafeBufferPointer(start: bytes, count: length))
            }
            return
        }
        var whole = connections[place].stash
        connections[place].stash = []
        whole.append(contentsOf: UnsafeBufferPointer(start: bytes, count: length))
        let used = whole.withUnsafeBytes { parseHead(place, $0) }
        if used == 0 { connections[place].stash = whole }
    }

    /// Returns 0 when more is needed.
    private func parseHead(_ place: Int, _ bytes: UnsafeRawBufferPointer) -> Int {
        switch connections[place].parser.parse(bytes, requestMethod: requestMethod, limits: limits, into: head) {
        case .needMore:
            return 0
        case .refused(let refusal):
            failed(place, .errorMalformed, "answer refused: \(refusal.reason)")
            return bytes.count
        case .complete(let end):
            let rest = UnsafeRawBufferPointer(rebasing: bytes[end...])
            if head.status < 200 {
                connections[place].parser = ResponseParser()
                return rest.isEmpty ? end : (parseHead(place, rest) == 0 ? keep(place, rest) : bytes.count)
            }
            connections[place].exchange.onHead(status: head.status, isStream: head.isEventStream)
            connections[place].keepsAlive = head.keepAlive
            connections[place].framing = head.framing
            connections[place].phase = .body
            switch head.framing {
            case .none: connections[place].remaining = 0
            case .contentLength(let length): connections[place].remaining = length
            case .chunked: connections[place].chunked = ChunkedReader()
            case .untilClose: connections[place].keepsAlive = false
            }
            let now = head.isEventStream ? claw_monotonic_ns() : 0
            if let start = rest.baseAddress?.assumingMemoryBound(to: UInt8.self) {
                receiveBody(place, start, rest.count, now)
            } else {
                receiveBody(place, base, 0, now)
            }
            return bytes.count
        }
    }

    /// A cut head behind an interim answer.
    private func keep(_ place: Int, _ rest: UnsafeRawBufferPointer) -> Int {
        connections[place].stash = Array(rest)
        return rest.count
    }

    private func receiveBody(_ place: Int, _ bytes: UnsafePointer<UInt8>, _ length: Int, _ now: UInt64) {
        let span = UnsafeRawBufferPointer(start: bytes, count: length)
        switch connections[place].framing {
        case .none, .contentLength:
            let taken = Int(min(UInt64(length), connections[place].remaining))
            if connections[place].exchange.isStream { scan(place, UnsafeRawBufferPointer(rebasing: span[0 ..< taken]), now) }
            connections[place].remaining -= UInt64(taken)
            if connections[place].remaining == 0 { completed(place, surplus: length - taken) }
        case .untilClose:
            if connections[place].exchange.isStream { scan(place, span, now) }
        case .chunked:
            var at = 0
            while true {
                switch connections[place].chunked.next(span, from: at) {
                case .needMore:
                    return
                case .data(let range):
                    if connections[place].exchange.isStream { scan(place, UnsafeRawBufferPointer(rebasing: span[range]), now) }
                    at = range.upperBound
                case .end(let end):
                    completed(place, surplus: length - end)
                    return
                case .refused(let refusal):
                    failed(place, .errorMalformed, "answer's chunks refused: \(refusal.reason)")
                    return
                }
            }
        }
    }

    private func scan(_ place: Int, _ bytes: UnsafeRawBufferPointer, _ now: UInt64) {
        connections[place].exchange.scan(bytes, now, until: schedule.measureTo, tally)
    }

    /// The answer is whole.
    private func completed(_ place: Int, surplus: Int) {
        if isOver && (!schedule.isOpen || schedule.quota > 0) {
            connections[place].phase = .idle // has all its answers
            return
        }
        let now = claw_monotonic_ns()
        if connections[place].exchange.isCounted && (now <= schedule.measureTo || schedule.isOpen) {
            connections[place].exchange.count(now, tally)
            if schedule.quota > 0 && tally.value(.answers) >= schedule.quota {
                connections[place].phase = .idle
                isOver = true
                return
            }
        }
        if surplus > 0 {
            failed(place, .errorMalformed, "bytes behind the answer's end", isCounted: false)
        } else if connections[place].keepsAlive {
            becomeFree(place, now)
        } else {
            drop(place)
            if !isOver { connect(place) }
        }
    }

    /// The server ended or reset the connection.
    private func ended(_ place: Int, _ result: Int32) {
        switch connections[place].phase {
        case .body where connections[place].framing == .untilClose && result == 0:
            completed(place, surplus: 0)
            return
        case .idle:
            idle.removeAll { $0 == Int32(place) }
            drop(place)
            if !isOver { connect(place) }
            return
        default:
            failed(place, .errorClosed, result < 0 ? "connection: errno \(-result)" : "closed before the answer was whole")
        }
    }

    private func failed(_ place: Int, _ kind: BenchCount, _ words: String, isCounted: Bool = true) {
        // A closed loop that has all its answers does not care what becomes of the rest.
        let matters = isCounted && !(isOver && !schedule.isOpen)
        if matters && (connections[place].exchange.isCounted || connections[place].phase == .connecting) {
            tally.add(kind)
            tally.lastError = words
            if schedule.isOpen && connections[place].exchange.isCounted {
                // Charged with the time it took to fail: leaving it out would flatter.
                let now = claw_monotonic_ns()
                tally.latency.record(now &- min(now, connections[place].exchange.began))
            }
        }
        connections[place].stash = []
        drop(place)
        if !isOver { connect(place) }
    }

    /// A few times a second: time-outs and connects to try again.
    private func sweep(_ now: UInt64) {
        for place in 0 ..< count {
            switch connections[place].phase {
            case .waitingToConnect where connections[place].retryAt <= now:
                connect(place)
            case .sending, .head, .body:
                if connections[place].exchange.sentAt &+ timeout < now { failed(place, .errorTimeout, "no whole answer in time") }
            case .connecting:
                if connections[place].connectBegan &+ timeout < now { connectFailed(place, 110) }
            default:
                break
            }
        }
    }

    /// The measurement is over. Closed loop: what is under way is left. Open loop: it is waited for, at most as long as one request may take,
    /// for leaving out the slow ones would flatter.
    private func finish(_ now: UInt64, _ events: UnsafeMutablePointer<claw_event>) {
        if tally.ended == 0 || schedule.quota == 0 { tally.ended = now }
        let measured = tally.ended
        isOver = true
        var pending = underWay()
        if schedule.isOpen && schedule.quota == 0 {
            var clock = now
            let patience = now &+ min(timeout, 5_000_000_000)
            while pending > 0 && clock < patience && !run.isStopping {
                let got = claw_loop_wait(loop, events, 256, 50_000_000)
                for place in 0 ..< Int(max(0, got)) { dispatch(events[place]) }
                clock = claw_monotonic_ns()
                pending = underWay()
            }
            schedule.chargeUnsent(tally, end: now, clock: clock)
            for place in 0 ..< count where isUnderWay(place) { tally.latency.record(clock &- min(clock, connections[place].exchange.began)) }
        }
        tally.add(.unfinished, UInt64(pending))
        tally.ended = measured
        for place in 0 ..< count { drop(place) }
    }

    private func isUnderWay(_ place: Int) -> Bool {
        switch connections[place].phase {
        case .sending, .head, .body: connections[place].exchange.isCounted
        default: false
        }
    }

    private func underWay() -> Int { (0 ..< count).reduce(0) { $0 + (isUnderWay($1) ? 1 : 0) } }
}
