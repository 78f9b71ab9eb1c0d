// A worker is one thread and everything that thread touches: its loop, its listener, connections, exchanges, upstream links, buffers,
// timers, counters. Workers share nothing but what `Shared` lists. `run` is the tick: wait, read the clock, take events, fire timers,
// flush what has output, go on with what became ready. Nothing in here waits, locks or hands a request to another thread.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

/// What the control threads and the workers both see. Every word has one writer, but for those that all workers write: the body memory (atomic
/// additions), the marks of unreachable endpoints (the last one to know is right), and the outlook.
final class Shared: @unchecked Sendable {
    /// The plan new requests start on (address of a Plan).
    let plan: UnsafeMutablePointer<UInt64>
    /// 0 serving, 1 draining, 2 ending now.
    let phase: UnsafeMutablePointer<UInt64>
    /// Bytes of request bodies held by all workers.
    let bodyMemory: UnsafeMutablePointer<UInt64>
    /// Monotonic deadline of the drain.
    let drainDeadline: UnsafeMutablePointer<UInt64>
    /// By Registry place: after a failure to connect, `first_available` passes the endpoint by until then and readiness counts it out; a connection
    /// that comes about takes the mark back.
    let unavailableUntil: UnsafeMutablePointer<UInt64>
    /// What is known of upstreams, endpoints, keys, targets and routes.
    let outlook = Outlook()
    /// The workers' loops, for one worker to wake another that waits for what it gave back. Words, 0 where there is none.
    private let loops: UnsafeMutablePointer<UInt64>
    static let loopsMax = 64
    private let words: UnsafeMutablePointer<UInt64>

    init() {
        loops = .allocate(capacity: Self.loopsMax)
        loops.initialize(repeating: 0, count: Self.loopsMax)
        unavailableUntil = .allocate(capacity: Registry.endpointsMax)
        unavailableUntil.initialize(repeating: 0, count: Registry.endpointsMax)
        words = .allocate(capacity: 64)
        words.initialize(repeating: 0, count: 64)
        plan = words
        phase = words + 1
        drainDeadline = words + 2
        bodyMemory = words + 32
    }
    deinit {
        words.deallocate()
        loops.deallocate()
        unavailableUntil.deallocate()
    }

    /// The loop of a worker; it must stay until no worker runs any more. Workers beyond `loopsMax` are not woken by others.
    func offerLoop(_ loop: OpaquePointer, of worker: Int) {
        if worker < Self.loopsMax { claw_word_store(loops + worker, UInt64(UInt(bitPattern: loop))) }
    }

    func withdrawLoop(of worker: Int) {
        if worker < Self.loopsMax { claw_word_store(loops + worker, 0) }
    }

    func wake(_ worker: Int) {
        guard worker < Self.loopsMax, let loop = OpaquePointer(bitPattern: UInt(claw_word_load(loops + worker))) else { return }
        claw_loop_wake(loop)
    }
}

struct WorkerOptions {
    var index = 0
    var backend: UInt32 = 0
    var connectionsMax = 65536
    var bufferBytes = 16384
    var bufferCount = 65536
    var logRingBytes = 1 << 20
    var seriesMax = 10_000
    var pin = false
}

final class Worker {
    let index: Int
    let loop: OpaquePointer
    let shared: Shared
    let metrics: MetricPage
    let log: LogRing
    /// What the event bus is told: a JSON object a line, `{"time":…,"event":"breaker_opened",…}` (Observe/Worker+Events). Drained by the control thread.
    let events = LogRing(bytes: 65_536)
    var buffers: Buffers
    var connections: Slab<Connection>
    var exchanges: Slab<Exchange>
    var links: Slab<Link>
    var timers: TimerWheel
    let connectionTimers = 0
    let exchangeTimers: Int
    let linkTimers: Int
    /// By Registry place; made on first use.
    let endpoints: UnsafeMutablePointer<UnsafeMutablePointer<EndpointState>?>
    /// By Registry place: connections of ours, as `EndpointState.open`, for the control threads to see.
    let linksOpen: UnsafeMutablePointer<UInt64>
    var plan: PlanRef
    /// The plan new requests run on, for the control thread to see.
    let planSeen: UnsafeMutablePointer<UInt64>
    var now: UInt64 = 0
    /// Listening sockets, by place in `Plan.listeners`.
    var listeners: [Int32] = []
    var isAccepting = false
    var phase: UInt64 = 0
    let fallbackErrno: Int32
    /// True exactly when a test scripts the kernel: time is then what the script says.
    let isPlayed: Bool

    // Scratch of the request at hand.
    let requestHead = RequestHead()
    let responseHead = ResponseHead()
    let spans: UnsafeMutablePointer<JSONSpan>
    let scratch: UnsafeMutablePointer<UInt8>
    /// What routing looks at.
    let view: UnsafeMutablePointer<RequestView>
    /// What exchanges have several of, by slot; touched where it is used.
    let candidateMemory: UnsafeMutablePointer<Candidate>
    let attemptMemory: UnsafeMutablePointer<Attempt>
    static let scratchBytes = 262_144
    private static let exchangesMin = 4096
    /// Where several small slices are put together before they are sent.
    let gathered: UnsafeMutablePointer<UInt8>
    static let gatherMax = 4096
    var bodyStore: BodyStore
    /// What translating between dialects needs; made when the first is.
    lazy var translator = Translator()
    /// What signing for AWS needs, likewise.
    lazy var signing = Signing()
    let tapPaths: JSONPaths
    let tapSpans: UnsafeMutablePointer<JSONSpan>
    /// Exchange whose head `requestHead` describes.
    var headOwner: UInt64 = 0

    // Work lists of a tick.
    var dirty: UnsafeMutablePointer<UInt32>
    var dirtyCount = 0
    private let pendingFlush: UnsafeMutablePointer<UInt32>
    var endings: UnsafeMutablePointer<UInt32>
    var endingCount = 0
    var ready: UnsafeMutablePointer<UInt32>
    var readyCount = 0
    /// Connections whose large bodies are to be read on when all events of the batch are taken.
    let bodyReads: UnsafeMutablePointer<UInt32>
    var bodyReadCount = 0

    /// Links that speak HTTP/2 and have something to send.
    let dirtyLinks: UnsafeMutablePointer<UInt32>
    var dirtyLinkCount = 0
    /// Streams whose output is looked at when the turn ends.
    let offered: UnsafeMutablePointer<UInt32>
    var offeredCount = 0
    let pieces: UnsafeMutablePointer<claw_h2_piece>
    let frameSlices: UnsafeMutablePointer<claw_slice>

    var random: (UInt64, UInt64, UInt64, UInt64)
    var instance: UInt64
    var transfers: OpaquePointer?
    let dateText: UnsafeMutablePointer<UInt8>
    var dateSecond: UInt64 = 0
    let timeText: UnsafeMutablePointer<UInt8>
    var timeSecond: UInt64 = 0
    /// CLOCK_REALTIME minus CLOCK_MONOTONIC, renewed once a second.
    var realtimeOffset: UInt64 = 0
    var realtimeCheckedAt: UInt64 = 0
    var waitingCount = 0
    /// Of those that wait, the ones in `placeQueues`: one for each upstream at which requests of this worker had to wait for a place.
    var queuedCount = 0
    var placeQueues: [PlaceQueue] = []
    /// What was decided about an error inside a stream, until the attempt is closed in the same turn.
    var decidedTry: NextTry?
    /// When events that requests may bring by the thousand were told last.
    var retriesToldAt: UInt64 = 0
    var downgradeToldAt: UInt64 = 0
    var tunnelsOpen = 0
    var twinsRunning = 0
    var shadowsRunning = 0

    init(options: WorkerOptions, shared: Shared, instance: UInt64) throws(PlanFailure) {
        index = options.index
        self.shared = shared
        self.instance = instance
        var loopOptions = claw_loop_options(
            backend: options.backend, buffer_bytes: UInt32(options.bufferBytes), buffer_count: UInt32(options.bufferCount), reserved: 0)
        var made: OpaquePointer?
        var fallback: Int32 = 0
        let result = claw_loop_create(&loopOptions, &made, &fallback)
        guard result >= 0, let made else {
            throw PlanFailure(description: "worker \(options.index): no event loop: \(String(cString: strerror(-result)))")
        }
        loop = made
        shared.offerLoop(made, of: options.index)
        fallbackErrno = fallback
        metrics = MetricPage(seriesMax: options.seriesMax)
        log = LogRing(bytes: options.logRingBytes)
        buffers = Buffers(loop: made, size: options.bufferBytes, count: options.bufferCount)
        let capacity = max(16, options.connectionsMax)
        connections = Slab(capacity: capacity, spare: 1)
        (connections.base + capacity).initialize(to: Connection())
        // A connection of HTTP/2 has many exchanges.
        let exchangesMax = max(capacity, Self.exchangesMin) + Self.twinsMax
        exchanges = Slab(capacity: exchangesMax)
        candidateMemory = .allocate(capacity: exchangesMax * Exchange.candidatesMax)
        attemptMemory = .allocate(capacity: exchangesMax * Exchange.attemptsMax)
        links = Slab(capacity: exchangesMax)
        exchangeTimers = capacity
        linkTimers = capacity + exchangesMax
        isPlayed = claw_loop_backend(made) == UInt32(CLAW_BACKEND_PLAYED)
        let start = isPlayed ? claw_loop_now(made) : claw_monotonic_ns()
        timers = TimerWheel(capacity: capacity + 2 * exchangesMax, now: start)
        endpoints = .allocate(capacity: Registry.endpointsMax)
        endpoints.initialize(repeating: nil, count: Registry.endpointsMax)
        linksOpen = .allocate(capacity: Registry.endpointsMax)
        linksOpen.initialize(repeating: 0, count: Registry.endpointsMax)
        plan = PlanRef(bitPattern: UInt(claw_word_load(shared.plan))).unsafelyUnwrapped
        planSeen = .allocate(capacity: 16)
        planSeen.initialize(repeating: claw_word_load(shared.plan), count: 16)
        spans = .allocate(capacity: 64)
        spans.initialize(repeating: JSONSpan(), count: 64)
        tapPaths = JSONPaths(Tap.names, unique: [])
        tapSpans = .allocate(capacity: 64)
        tapSpans.initialize(repeating: JSONSpan(), count: 64)
        scratch = .allocate(capacity: Self.scratchBytes)
        view = .allocate(capacity: 1)
        view.initialize(to: RequestView(plan: plan, head: requestHead, spans: spans, scratch: scratch))
        gathered = .allocate(capacity: Self.gatherMax)
        bodyStore = BodyStore(shared: shared.bodyMemory)
        dirty = .allocate(capacity: capacity + 1)
        pendingFlush = .allocate(capacity: capacity + 1)
        endings = .allocate(capacity: exchangesMax)
        offered = .allocate(capacity: exchangesMax)
        // A link may close and its slot open anew within a turn.
        dirtyLinks = .allocate(capacity: 2 * exchangesMax)
        pieces = .allocate(capacity: Self.piecesMax)
        frameSlices = .allocate(capacity: Self.piecesMax)
        ready = .allocate(capacity: capacity)
        bodyReads = .allocate(capacity: capacity)
        dateText = .allocate(capacity: 64)
        timeText = .allocate(capacity: 64)
        random = (1, 2, 3, 4)
        withUnsafeMutableBytes(of: &random) { _ = claw_random($0.baseAddress, $0.count) }
        now = start
    }

    deinit {
        shared.withdrawLoop(of: index)
        if let transfers { claw_transfers_destroy(transfers) }
        for place in 0..<Registry.endpointsMax {
            if let state = endpoints[place] {
                state.deinitialize(count: 1)
                state.deallocate()
            }
        }
        endpoints.deallocate()
        linksOpen.deallocate()
        planSeen.deallocate()
        spans.deallocate()
        tapSpans.deallocate()
        view.pointee.release()
        view.deallocate()
        candidateMemory.deallocate()
        attemptMemory.deallocate()
        scratch.deallocate()
        gathered.deallocate()
        dirty.deallocate()
        pendingFlush.deallocate()
        endings.deallocate()
        offered.deallocate()
        dirtyLinks.deallocate()
        pieces.deallocate()
        frameSlices.deallocate()
        ready.deallocate()
        bodyReads.deallocate()
        dateText.deallocate()
        timeText.deallocate()
        claw_loop_destroy(loop)
    }

    // MARK: the tick

    /// Serves until the shared phase says to end and nothing is left to do.
    func run() {
        let events = UnsafeMutablePointer<claw_event>.allocate(capacity: 256)
        defer { events.deallocate() }
        while tick(events, capacity: 256) {}
    }

    /// One turn. False when the worker has ended.
    func tick(_ events: UnsafeMutablePointer<claw_event>, capacity: Int32) -> Bool {
        let count = claw_loop_wait(loop, events, capacity, waitNanoseconds())
        now = claw_loop_now(loop)
        for at in 0..<max(0, Int(count)) {
            take(events[at])
            settle()
        }
        while bodyReadCount > 0 {
            bodyReadCount -= 1
            readBody(bodyReads[bodyReadCount])
            settle()
        }
        while let id = timers.nextExpired(now) {
            expire(id)
            settle()
        }
        // What an earlier turn's bound left over.
        settle()
        if transfers != nil { pumpTransfers() }
        if queuedCount > 0 { servePlaces() }
        flushAll()
        lookAtOffered()
        buffers.endTick()
        metrics.set(.buffers, Int(claw_buffers_in_use(loop)))
        if phase != 0 { return drain() }
        if count > 0 {
            let spent = clock() &- now
            metrics.observe(.loopLag, UInt16(truncatingIfNeeded: index), nanoseconds: spent)
        }
        return true
    }

    private func waitNanoseconds() -> Int64 {
        if readyCount > 0 || endingCount > 0 || dirtyCount > 0 || dirtyLinkCount > 0 { return 0 }
        var wait = timers.wait(now)
        if let transfers {
            let deadline = claw_transfers_deadline(transfers, now)
            if deadline >= 0, wait < 0 || deadline < wait { wait = deadline }
        }
        if queuedCount > 0, wait < 0 || wait > Self.placePollNanoseconds { wait = Self.placePollNanoseconds }
        if phase != 0, wait < 0 || wait > 50_000_000 { wait = 50_000_000 }
        return wait
    }

    private func take(_ event: claw_event) {
        let token = SlotToken(value: event.token)
        if event.kind == UInt16(CLAW_RECEIVED), event.result > 0 { buffers.adopt(event.buffer) }
        switch SlotToken.Kind(rawValue: token.kind) {
        case .connection: takeConnection(event, token)
        case .link: takeLink(event, token)
        case .listener: accepted(event, listener: token.index)
        case .transfers:
            if let transfers { _ = claw_transfers_ready(transfers, event.fd, event.result) }
        case .resolver: resolved(event, place: Int(token.index))
        default:
            if event.kind == UInt16(CLAW_WOKEN) { woken() }
        }
    }

    /// Finishes what ended and goes on with connections that became ready, until both lists are empty or the turn's bound is reached.
    @inline(__always)
    func settle() {
        var turns = 0
        while endingCount > 0 || readyCount > 0 {
            while endingCount > 0 {
                endingCount -= 1
                let index = endings[endingCount]
                if exchanges.base[Int(index)].state == .draining { finish(index) }
            }
            if readyCount > 0 {
                readyCount -= 1
                let index = ready[readyCount]
                advance(index)
                // A pipelined client must not keep the worker from its other work.
                turns += 1
                if turns == 64 { return }
            }
        }
    }

    /// Something outside changed: a new plan, or the phase.
    private func woken() {
        let newest = PlanRef(bitPattern: UInt(claw_word_load(shared.plan))).unsafelyUnwrapped
        let isNew = newest != plan
        plan = newest
        if isNew { leaveGoneEndpoints() }
        claw_word_store(planSeen, UInt64(UInt(bitPattern: plan)))
        phase = claw_word_load(shared.phase)
    }

    private func expire(_ id: Int) {
        if id >= linkTimers { return }
        if id >= exchangeTimers { expireExchange(UInt32(id - exchangeTimers)) } else { expireConnection(UInt32(id)) }
    }

    // MARK: work lists

    @inline(__always)
    func markDirty(_ index: UInt32) {
        let connection = connections.base + Int(index)
        if connection.pointee.isDirty { return }
        connection.pointee.isDirty = true
        dirty[dirtyCount] = index
        dirtyCount += 1
    }

    @inline(__always)
    func markEnding(_ exchange: UInt32) {
        if exchanges.base[Int(exchange)].isEnding { return }
        exchanges.base[Int(exchange)].isEnding = true
        endings[endingCount] = exchange
        endingCount += 1
    }

    func flushEverything() { flushAll() }

    private func flushAll() {
        // Flushing may end exchanges, which may make connections ready, which may produce output again.
        var rounds = 0
        flushSessions()
        while dirtyCount > 0, rounds < 8 {
            let count = dirtyCount
            dirtyCount = 0
            // The list may be appended to while it is walked: entries below `count` are read before they can be overwritten,
            // because each walked connection is appended at most once.
            for at in 0..<count {
                let index = dirty[at]
                connections.base[Int(index)].isDirty = false
                pendingFlush[at] = index
            }
            for at in 0..<count { flush(pendingFlush[at]) }
            settle()
            flushSessions()
            rounds += 1
        }
    }

    // MARK: small services

    func endpoint(_ place: Int) -> UnsafeMutablePointer<EndpointState> {
        if let state = endpoints[place] { return state }
        let state = UnsafeMutablePointer<EndpointState>.allocate(capacity: 1)
        state.initialize(to: EndpointState())
        endpoints[place] = state
        return state
    }

    /// xoshiro256**; not for secrets.
    @inline(__always)
    func nextRandom() -> UInt64 {
        let result = rotate(random.1 &* 5, 7) &* 9
        let t = random.1 << 17
        random.2 ^= random.0
        random.3 ^= random.1
        random.1 ^= random.2
        random.0 ^= random.3
        random.2 ^= t
        random.3 = rotate(random.3, 45)
        return result
    }
    @inline(__always)
    private func rotate(_ x: UInt64, _ k: UInt64) -> UInt64 { x << k | x >> (64 - k) }

    /// Monotonic nanoseconds at this very moment, which `now` (the tick's beginning) is not.
    @inline(__always)
    func clock() -> UInt64 { isPlayed ? claw_loop_now(loop) : claw_monotonic_ns() }

    /// Wall clock in nanoseconds, from the tick's monotonic time.
    func realtime(_ monotonic: UInt64) -> UInt64 {
        if now &- realtimeCheckedAt > 1_000_000_000 || realtimeOffset == 0 {
            realtimeOffset = claw_realtime_ns() &- clock()
            realtimeCheckedAt = now
        }
        return monotonic &+ realtimeOffset
    }

    /// The Date field's value (RFC 9110 §5.6.7), made once a second: 29 bytes.
    func date() -> UnsafeMutablePointer<UInt8> {
        let second = realtime(now) / 1_000_000_000
        if second != dateSecond {
            dateSecond = second
            var time = time_t(second)
            var parts = tm()
            gmtime_r(&time, &parts)
            dateText.withMemoryRebound(to: CChar.self, capacity: 64) { _ = strftime($0, 64, "%a, %d %b %Y %H:%M:%S GMT", &parts) }
        }
        return dateText
    }

    /// "2026-11-21T00:00:00." made once a second: 20 bytes.
    func timePrefix(_ second: UInt64) -> UnsafeMutablePointer<UInt8> {
        if second != timeSecond {
            timeSecond = second
            var time = time_t(second)
            var parts = tm()
            gmtime_r(&time, &parts)
            timeText.withMemoryRebound(to: CChar.self, capacity: 64) { _ = strftime($0, 64, "%Y-%m-%dT%H:%M:%S.", &parts) }
        }
        return timeText
    }
}
