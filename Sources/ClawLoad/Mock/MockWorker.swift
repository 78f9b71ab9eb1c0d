// MockWorker: one thread of the mock server. It owns its loop, its listening socket (SO_REUSEPORT), its connections and its timers and
// shares nothing with the other workers but their tallies, which it only reads. MockServer makes and starts it. One turn: wait,
// events, timers; an answer is rendered into one scratch buffer and sent in the same turn, so a plain request costs one read and
// one write.
import CClaw
import ClawWire

final class MockWorker {
    static let wouldBlock: Int64 = -11 // EAGAIN on Linux
    static let bufferBytes = 16384
    static let bodyReadBytes = 262_144
    /// Bodies longer than this are read by large reads into the worker's own memory.
    static let largeBodyBytes: UInt64 = 65536
    /// A stream that goes as fast as it can gives way to the others after this much.
    static let turnBytes = 32768
    static let lingerNanoseconds: UInt64 = 2_000_000_000

    let index: Int
    let server: MockServer
    let loop: OpaquePointer
    let base: UnsafeMutablePointer<UInt8>
    let tally: MockTally
    let vocabulary: Vocabulary
    var script: MockScript
    var settingsSerial: UInt64 = 0
    let head = RequestHead()
    let limits: HeadLimits
    /// The answer being rendered; empty between calls.
    var out = OutputBytes(capacity: 65536)
    /// A body whose length its head needs.
    var body = OutputBytes(capacity: 65536)
    let bodyRead: UnsafeMutablePointer<UInt8>
    var connections: [UnsafeMutablePointer<MockConnection>] = []
    var free: [UInt32] = []
    var deadlines = Deadlines()
    var now: UInt64
    /// What to add to the loop's clock to get nanoseconds since 1970.
    let realtimeOffset: UInt64
    var requestNumber: UInt64 = 0
    /// True exactly while a stream is rendered only to learn its length.
    var measuring = false

    init(index: Int, server: MockServer, loop: OpaquePointer, tally: MockTally) {
        self.index = index
        self.server = server
        self.loop = loop
        self.tally = tally
        base = claw_buffer_base(loop)
        vocabulary = server.vocabulary
        script = server.options.script
        var limits = HeadLimits()
        limits.headBytesMax = 1 << 20
        limits.targetBytesMax = 65536
        limits.fieldsMax = RequestHead.fieldsCapacity
        self.limits = limits
        bodyRead = .allocate(capacity: Self.bodyReadBytes)
        now = claw_monotonic_ns()
        realtimeOffset = claw_realtime_ns() &- now
    }

    deinit {
        for connection in connections {
            connection.pointee.dropPending()
            connection.pointee.dropStash()
            connection.pointee.dropEcho()
            connection.pointee.dropPrefix()
            connection.deallocate()
        }
        out.deallocate()
        body.deallocate()
        bodyRead.deallocate()
    }

    var realtime: UInt64 { realtimeOffset &+ now }

    func run(listener: Int32) {
        let events = UnsafeMutablePointer<claw_event>.allocate(capacity: 256)
        defer { events.deallocate() }
        guard claw_accept_start(loop, listener, UInt64.max) >= 0 else { return }
        while !server.isStopping {
            var timeout: Int64 = -1
            if let nearest = deadlines.nearest {
                let clock = claw_monotonic_ns()
                timeout = nearest > clock ? Int64(clamping: nearest - clock) : 0
            }
            let count = claw_loop_wait(loop, events, 256, timeout)
            now = claw_loop_now(loop)
            for place in 0 ..< Int(max(0, count)) { dispatch(events[place]) }
            while let entry = deadlines.pop(due: now) {
                let connection = connections[Int(entry.owner)]
                if connection.pointee.isTimerArmed && connection.pointee.timerNumber == entry.number {
                    connection.pointee.isTimerArmed = false
                    onTimer(connection)
                }
            }
        }
        _ = claw_accept_stop(loop, listener)
    }

    private func dispatch(_ event: claw_event) {
        if Int32(event.kind) == Int32(CLAW_ACCEPTED) {
            if event.result >= 0 { accept(event.result) }
            return
        }
        let index = Int(event.token & 0xffff_ffff)
        guard index < connections.count, connections[index].pointee.token == event.token,
              connections[index].pointee.phase != .closed
        else {
            if Int32(event.kind) == Int32(CLAW_RECEIVED) && event.result > 0 { claw_buffer_release(loop, event.buffer) }
            return
        }
        let connection = connections[index]
        switch Int32(event.kind) {
        case Int32(CLAW_RECEIVED):
            if event.result > 0 {
                consume(connection, base + Int(event.buffer) * Self.bufferBytes, Int(event.result))
                claw_buffer_release(loop, event.buffer)
                adjustReceiving(connection)
            } else {
                onPeerGone(connection)
            }
        case Int32(CLAW_READABLE):
            readBody(connection)
        case Int32(CLAW_WRITABLE):
            pump(connection)
            if connection.pointee.phase == .head { resumeInput(connection) }
        case Int32(CLAW_HUNGUP):
            onPeerGone(connection)
        default:
            break
        }
    }

    private func accept(_ fd: Int32) {
        let connection: UnsafeMutablePointer<MockConnection>
        if let index = free.popLast() {
            connection = connections[Int(index)]
        } else {
            connection = .allocate(capacity: 1)
            connection.initialize(to: MockConnection(index: UInt32(connections.count)))
            connections.append(connection)
        }
        connection.pointee.generation &+= 1
        connection.pointee.fd = fd
        connection.pointee.phase = .head
        connection.pointee.parser = RequestParser()
        guard claw_attach(loop, fd, connection.pointee.token) >= 0 else {
            _ = claw_os_close(fd)
            connection.pointee.phase = .closed
            free.append(connection.pointee.index)
            return
        }
        tally.add(.connectionsAccepted)
        tally.add(.connectionsOpen)
        setReceiving(connection, UInt32(CLAW_RECEIVE_BUFFERED))
    }

    func setReceiving(_ connection: UnsafeMutablePointer<MockConnection>, _ mode: UInt32) {
        guard connection.pointee.receiveMode != mode else { return }
        connection.pointee.receiveMode = mode
        _ = claw_receive(loop, connection.pointee.fd, mode)
    }

    /// Ends the connection at once.
    func close(_ connection: UnsafeMutablePointer<MockConnection>, reset: Bool = false) {
        guard connection.pointee.phase != .closed else { return }
        _ = claw_close(loop, connection.pointee.fd, reset ? 1 : 0)
        connection.pointee.phase = .closed
        connection.pointee.fd = -1
        connection.pointee.receiveMode = 0
        connection.pointee.isTimerArmed = false
        connection.pointee.dropPending()
        connection.pointee.dropStash()
        connection.pointee.dropEcho()
        connection.pointee.dropPrefix()
        connection.pointee.stream.isActive = false
        tally.takeBack(.connectionsOpen)
        free.append(connection.pointee.index)
    }

    /// Arms the connection's only timer; one that was armed is forgotten.
    func arm(_ connection: UnsafeMutablePointer<MockConnection>, at: UInt64) {
        connection.pointee.timerNumber &+= 1
        connection.pointee.isTimerArmed = true
        deadlines.add(at: at, owner: connection.pointee.index, number: connection.pointee.timerNumber)
    }

    private func onTimer(_ connection: UnsafeMutablePointer<MockConnection>) {
        switch connection.pointee.phase {
        case .waiting:
            respond(connection)
        case .answering:
            if connection.pointee.pendingCount > 0 {
                if connection.pointee.script.splitBytes > 0 || connection.pointee.isHolding {
                    if connection.pointee.isHolding {
                        connection.pointee.isHolding = false
                        connection.pointee.holdAt = -1
                    }
                    pump(connection)
                } else {
                    connection.pointee.stream.wantsAdvance = true
                }
            } else if connection.pointee.stream.isActive {
                out.count = 0
                advance(connection)
            }
        case .lingering:
            close(connection)
        case .head, .body, .closed:
            break
        }
        if connection.pointee.phase == .head { resumeInput(connection) }
    }

    /// The client ended its side or reset the connection.
    private func onPeerGone(_ connection: UnsafeMutablePointer<MockConnection>) {
        switch connection.pointee.phase {
        case .body, .waiting, .answering:
            leave(connection)
        case .head, .lingering, .closed:
            break
        }
        close(connection)
    }

    /// Counts an exchange that the client broke off.
    func leave(_ connection: UnsafeMutablePointer<MockConnection>) {
        guard connection.pointee.endpoint != .admin else { return }
        tally.add(.aborted)
        tally.add(.bytesIn, connection.pointee.requestBytes)
        if connection.pointee.stream.isActive && connection.pointee.endpoint != .bytes { tally.add(.streamsAborted) }
        tally.takeBack(.inFlight)
        tally.addDeparture(MockDeparture(
            at: realtime, endpoint: connection.pointee.endpoint,
            bytesSent: connection.pointee.sentBytes, tokensSent: connection.pointee.tokensSent
        ))
    }
}
