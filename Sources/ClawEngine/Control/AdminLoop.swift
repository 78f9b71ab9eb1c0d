// The admin listener's thread: accepts, feeds connections, sends what they have to say, and ends those that take too long. Nothing here waits for a
// peer. Bounds: `connectionsMax` connections, 10 s for a head, 30 s for a body, 30 s idle, 30 s without progress and 60 s in all for an answer,
// `outputBytesMax` of answers waiting to be read. When all places are taken the connection that has waited longest gives way, so that
// probes get through whatever else is connected.
import CClaw
import ClawConfig
import ClawWire
import Glibc
import Synchronization

final class AdminLoop: @unchecked Sendable {
    static let connectionsMax = 64
    static let outputBytesMax = 64 << 20
    private static let second: UInt64 = 1_000_000_000
    private static let headTime = 10 * second, bodyTime = 30 * second, idleTime = 30 * second, stallTime = 30 * second, answerTime = 60 * second
    private static let lingerTime = second
    /// A busy connection younger than this does not give way to a new one.
    private static let graceTime = 2 * second

    private let loop: OpaquePointer
    private let listener: Int32
    private let gateway: Gateway
    private let endpoints: AdminEndpoints
    private let reload: @Sendable () -> String?
    private let stopping = Atomic<Bool>(false)

    private var connections: [AdminConnection?] = Array(repeating: nil, count: connectionsMax)
    private var generation: UInt32 = 0
    private let head = RequestHead()
    private var now: UInt64 = 0

    /// What passes between this thread and the one that reloads.
    private struct Reload {
        var isDone = false
        var problem: String?
    }
    private let reloadResult = Mutex(Reload())
    private var reloadThread: UInt64?
    /// Connections the running reload is for, and those that came while it ran: they want one that began after they asked.
    private var reloadFor: [UInt64] = []
    private var reloadNext: [UInt64] = []

    init(gateway: Gateway, listener: Int32, reload: @escaping @Sendable () -> String?) throws(Gateway.StartFailure) {
        self.gateway = gateway
        self.listener = listener
        self.reload = reload
        endpoints = AdminEndpoints(gateway: gateway)
        var options = claw_loop_options(backend: UInt32(CLAW_BACKEND_EPOLL), buffer_bytes: 16384, buffer_count: 256, reserved: 0)
        var made: OpaquePointer?
        let result = claw_loop_create(&options, &made, nil)
        guard result >= 0, let made else { throw .plan("admin listener: no event loop: \(String(cString: strerror(-result)))") }
        loop = made
        let accepting = claw_accept_start(made, listener, SlotToken(.listener, generation: 0, index: 0).value)
        guard accepting >= 0 else { throw .plan("admin listener: cannot accept: \(String(cString: strerror(-accepting)))") }
    }

    deinit { claw_loop_destroy(loop) }

    /// Any thread.
    func stop() {
        stopping.store(true, ordering: .releasing)
        claw_loop_wake(loop)
    }

    func run() {
        let events = UnsafeMutablePointer<claw_event>.allocate(capacity: 64)
        defer { events.deallocate() }
        while !stopping.load(ordering: .acquiring) {
            let count = claw_loop_wait(loop, events, 64, Int64(Self.second))
            now = claw_loop_now(loop)
            for at in 0..<max(0, Int(count)) { take(events[at]) }
            finishReload()
            expire()
            gateway.noteOverflow()
        }
        if let reloadThread { _ = claw_thread_join(reloadThread) }
        for connection in connections { if let connection { close(connection) } }
        _ = claw_accept_stop(loop, listener)
        _ = claw_os_close(listener)
    }

    // MARK: events

    private func take(_ event: claw_event) {
        let token = SlotToken(value: event.token)
        switch SlotToken.Kind(rawValue: token.kind) {
        case .listener: if event.result >= 0 { accept(event.result) }
        case .admin:
            guard let connection = connections[Int(token.index)], connection.token == event.token else {
                if event.kind == UInt16(CLAW_RECEIVED), event.result > 0 { claw_buffer_release(loop, event.buffer) }
                return
            }
            switch Int(event.kind) {
            case CLAW_RECEIVED: received(connection, event)
            case CLAW_WRITABLE:
                flush(connection)
                advance(connection)
            case CLAW_HUNGUP: ended(connection, error: event.result)
            default: break
            }
        default: break
        }
    }

    private func accept(_ fd: Int32) {
        guard let place = connections.firstIndex(where: { $0 == nil }) ?? makeRoom() else {
            _ = claw_os_close(fd)
            return
        }
        generation = (generation &+ 1) & 0xff_ffff
        let token = SlotToken(.admin, generation: generation, index: UInt32(place)).value
        guard claw_attach(loop, fd, token) >= 0 else {
            _ = claw_os_close(fd)
            return
        }
        let connection = AdminConnection(fd: fd, token: token)
        connections[place] = connection
        connection.since = now
        connection.deadline = now + Self.idleTime
        receive(connection, true)
    }

    /// Ends the connection that has been idle, or failing that in its phase, longest.
    private func makeRoom() -> Int? {
        var best: (index: Int, isIdle: Bool, since: UInt64)?
        for (index, connection) in connections.enumerated() {
            guard let connection else { continue }
            if case .reloading = connection.phase { continue }
            let isIdle = connection.isIdle
            if !isIdle, now &- connection.since < Self.graceTime { continue }
            if let found = best, found.isIdle && !isIdle || found.isIdle == isIdle && found.since <= connection.since { continue }
            best = (index, isIdle, connection.since)
        }
        guard let best, let connection = connections[best.index] else { return nil }
        close(connection)
        return best.index
    }

    private func received(_ connection: AdminConnection, _ event: claw_event) {
        guard event.result > 0 else { return ended(connection, error: event.result) }
        let bytes = UnsafeRawBufferPointer(start: claw_buffer_base(loop) + Int(event.buffer) * 16384, count: Int(event.result))
        let isWithinBounds = connection.take(bytes)
        claw_buffer_release(loop, event.buffer)
        if isWithinBounds { advance(connection) } else { close(connection) }
    }

    private func ended(_ connection: AdminConnection, error: Int32) {
        connection.peerEnded = true
        if error < 0 { return close(connection) }
        switch connection.phase {
        case .head, .body, .lingering: close(connection)
        case .reloading, .answering: connection.closeAfterAnswer()
        }
    }

    // MARK: requests

    /// Takes requests out of the input as long as their answers can be sent at once.
    private func advance(_ connection: AdminConnection) {
        while true {
            switch connection.phase {
            case .head, .body: break
            case .reloading, .answering, .lingering: return
            }
            let step = connection.next(head) { endpoints.refusal(of: $0) }
            switch step {
            case .needMore: return wait(connection)
            case .refused(let answer): self.answer(connection, answer)
            case .request(let request):
                switch endpoints.answer(request, connections: connections.count { $0 != nil }) {
                case .answer(let answer): self.answer(connection, answer)
                case .reload: beginReload(connection)
                }
            }
        }
    }

    /// Part of a request is there: the rest has until its deadline, which more bytes do not move.
    private func wait(_ connection: AdminConnection) {
        if connection.wantsContinue {
            connection.continueBody()
            flush(connection)
        }
        let part = connection.part
        if connection.awaited == part { return }
        connection.awaited = part
        switch part {
        case .nothing: enter(connection, Self.idleTime)
        case .head: enter(connection, Self.headTime)
        case .body: enter(connection, Self.bodyTime)
        }
    }

    private func enter(_ connection: AdminConnection, _ time: UInt64) {
        connection.since = now
        connection.deadline = now + time
    }

    private func answer(_ connection: AdminConnection, _ answer: AdminAnswer) {
        let waiting = connections.reduce(0) { $0 + ($1?.unsent ?? 0) }
        if waiting + answer.body.count > Self.outputBytesMax {
            connection.closeAfterAnswer()
            connection.put(AdminAnswer.error(503, "too_many_slow_readers", "too many answers wait to be read by others; ask again").with("retry-after", "5"))
        } else {
            connection.put(answer)
        }
        connection.awaited = nil
        enter(connection, Self.stallTime)
        flush(connection)
    }

    /// Sends what the kernel takes. When all is sent, the connection is ready for the next request (`advance`), or ends.
    private func flush(_ connection: AdminConnection) {
        while connection.unsent > 0 {
            let count = connection.output.withUnsafeBytes { bytes in
                var slice = claw_slice(base: bytes.baseAddress.map { $0 + connection.sent }, length: connection.unsent)
                return claw_send(loop, connection.fd, &slice, 1)
            }
            if count == -Int64(EAGAIN) {
                if case .answering = connection.phase { receive(connection, false) }
                return
            }
            guard count > 0 else { return close(connection) }
            connection.didSend(Int(count))
            connection.deadline = min(now + Self.stallTime, connection.since + Self.answerTime)
        }
        guard case .answering = connection.phase else { return }
        if connection.closesAfter { return linger(connection) }
        connection.phase = .head
        enter(connection, Self.idleTime)
        receive(connection, true)
    }

    private func receive(_ connection: AdminConnection, _ isOn: Bool) {
        if connection.isReceiving == isOn { return }
        connection.isReceiving = isOn
        _ = claw_receive(loop, connection.fd, UInt32(isOn ? CLAW_RECEIVE_BUFFERED : CLAW_RECEIVE_OFF))
    }

    // MARK: reload

    private func beginReload(_ connection: AdminConnection) {
        connection.phase = .reloading
        connection.since = now
        connection.deadline = .max
        receive(connection, false)
        reloadNext.append(connection.token)
        if reloadThread == nil { startReload() }
    }

    private func startReload() {
        reloadFor = reloadNext
        reloadNext = []
        reloadResult.withLock { $0 = Reload() }
        var thread: UInt64 = 0
        let context = Unmanaged.passRetained(self)
        let result = claw_thread_start("reload", { context in
            let loop = Unmanaged<AdminLoop>.fromOpaque(context.unsafelyUnwrapped).takeRetainedValue()
            let problem = loop.reload()
            loop.reloadResult.withLock { $0 = Reload(isDone: true, problem: problem) }
            claw_loop_wake(loop.loop)
            return nil
        }, context.toOpaque(), &thread)
        if result == 0 {
            reloadThread = thread
        } else {
            context.release()
            reloadResult.withLock { $0 = Reload(isDone: true, problem: "no thread to reload on: \(String(cString: strerror(-result)))") }
        }
    }

    private func finishReload() {
        while !reloadFor.isEmpty {
            let (isDone, problem) = reloadResult.withLock { ($0.isDone, $0.problem) }
            guard isDone else { return }
            if let thread = reloadThread { _ = claw_thread_join(thread) }
            reloadThread = nil
            let answer = endpoints.reloaded(problem)
            let waiting = reloadFor
            reloadFor = []
            for token in waiting {
                guard let connection = connections[Int(SlotToken(value: token).index)], connection.token == token else { continue }
                self.answer(connection, answer)
                advance(connection)
            }
            if !reloadNext.isEmpty, reloadThread == nil { startReload() }
        }
    }

    // MARK: ends

    private func expire() {
        for connection in connections {
            guard let connection, connection.deadline <= now else { continue }
            switch connection.phase {
            case .head where !connection.isIdle, .body:
                connection.giveUp()
                answer(connection, .error(408, "request_timeout", "the request did not become whole in time"))
            default: close(connection)
            }
        }
    }

    /// Ends our side first, so that an answer is not lost to a reset caused by bytes still coming (RFC 9112 §9.6).
    private func linger(_ connection: AdminConnection) {
        if connection.peerEnded { return close(connection) }
        connection.phase = .lingering
        enter(connection, Self.lingerTime)
        _ = claw_shutdown_send(loop, connection.fd)
        receive(connection, true)
    }

    private func close(_ connection: AdminConnection) {
        let place = Int(SlotToken(value: connection.token).index)
        guard connections[place] === connection else { return }
        connections[place] = nil
        _ = claw_close(loop, connection.fd, 0)
    }
}
