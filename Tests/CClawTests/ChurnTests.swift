import CClaw
import Glibc
import Testing

/// A seeded crowd: sockets of one loop connect to it, send, pause, read in every mode, half-close, close and
/// reset at random. Every byte must be the right one at its place, nothing may come after an end or
/// under a dead token, no buffer may get lost, and in the end all that was sent must have arrived.
@Suite struct ChurnTests {
    @Test(arguments: Backend.real, [(1, 64), (2, 64), (3, 6)] as [(UInt32, UInt32)])
    func seededCrowdKeepsEveryStreamWhole(_ backend: Backend, _ setting: (seed: UInt32, buffers: UInt32)) throws {
        let crowd = Crowd(backend, seed: setting.seed, buffers: setting.buffers)
        for _ in 0..<1500 {
            crowd.turn()
            for _ in 0..<4 { crowd.act() }
        }
        crowd.receiveEverything()
        let whole = crowd.wholePairs()
        #expect(crowd.faults.isEmpty, "\(crowd.faults.prefix(5))")
        #expect(whole > 5, "enough pairs lived to the end to mean something: \(whole)")
        crowd.closeAll()
        let lent: UInt32 = backend == .uring ? min(64, setting.buffers / 2) : 0
        #expect(crowd.settles(at: lent), "buffers in use: \(claw_buffers_in_use(crowd.bench.loop))")
    }
}

private final class Crowd {
    struct Member {
        var token: UInt64
        var connected: Bool
        var mode = off
        var sent = 0, received = 0
        var sendEnded = false, waiting = false, ended = false, broken = false
    }

    let bench: Bench
    let listener = Listener()
    var members: [Int32: Member] = [:]
    var faults: [String] = []
    private var kept: [claw_event] = []
    private var nextToken: UInt64 = 100
    private var state: UInt32

    init(_ backend: Backend, seed: UInt32, buffers: UInt32) {
        bench = Bench(backend, bufferBytes: 4096, buffers: buffers)
        state = seed
        precondition(claw_accept_start(bench.loop, listener.fd, 1) == 0)
    }

    private func random(_ below: UInt32) -> UInt32 {
        state = state &* 1_664_525 &+ 1_013_904_223
        return (state >> 8) % below
    }

    private func expect(_ holds: Bool, _ what: @autoclosure () -> String) {
        if !holds { faults.append(what()) }
    }

    private func slice(_ from: Int, _ count: Int) -> [UInt8] {
        pattern(count, seed: from)
    }

    private func take(_ bytes: [UInt8], _ fd: Int32) {
        guard let member = members[fd] else { return }
        expect(bytes == slice(member.received, bytes.count), "fd \(fd): wrong bytes at \(member.received)")
        members[fd]!.received += bytes.count
    }

    func turn(milliseconds: Int64? = nil) {
        let events = bench.wait(milliseconds: milliseconds ?? Int64(random(4) == 0 ? 1 : 0), capacity: 1 + Int(random(64)))
        bench.forget()
        for event in events { handle(event) }
        while !kept.isEmpty, random(3) == 0 { _ = bench.bytes(kept.removeLast()) }
    }

    private func handle(_ event: claw_event) {
        let fd = event.fd
        if Int(event.kind) == CLAW_ACCEPTED {
            expect(event.result >= 0, "accept: \(event.result)")
            members[event.result] = Member(token: nextToken, connected: true)
            expect(claw_attach(bench.loop, event.result, nextToken) == 0, "attach")
            nextToken += 1
            return
        }
        // Closed or renamed by an earlier event of this batch: only what it carries matters.
        guard let member = members[fd], member.token == event.token else {
            _ = bench.bytes(event)
            return
        }
        switch Int(event.kind) {
        case CLAW_CONNECTED:
            members[fd]!.connected = true
            if event.result != 0 { close(fd) }
        case CLAW_RECEIVED:
            expect(!member.ended && member.connected, "fd \(fd): received after its end")
            if event.result <= 0 {
                members[fd]!.ended = true
                members[fd]!.broken = event.result < 0
            } else if random(10) == 0, kept.count < 20 {
                let start = claw_buffer_base(bench.loop)! + Int(event.buffer) * bench.bufferBytes
                take(Array(UnsafeBufferPointer(start: start, count: Int(event.result))), fd)
                kept.append(event)
            } else {
                take(bench.bytes(event), fd)
            }
        case CLAW_READABLE: read(fd)
        case CLAW_WRITABLE: members[fd]!.waiting = false
        case CLAW_HUNGUP: break
        default: expect(false, "unexpected event \(event)")
        }
    }

    private func read(_ fd: Int32) {
        guard members[fd]!.mode == readable else { return }
        let length = Int(1 + random(random(2) == 0 ? 100 : 20_000))
        var result: Int64
        repeat {
            let (n, bytes) = bench.receive(fd, length: length)
            take(bytes, fd)
            result = n
        } while result == Int64(length) && random(3) != 0
        if result == 0 || (result < 0 && result != -Int64(EAGAIN)) {
            members[fd]!.ended = true
            members[fd]!.broken = result < 0
        }
    }

    func act() {
        if members.count < 60, random(3) == 0 {
            let fd = claw_connect(bench.loop, &listener.address, nextToken)
            expect(fd >= 0, "connect: \(fd)")
            members[fd] = Member(token: nextToken, connected: false)
            nextToken += 1
        }
        let fds = members.keys.sorted()
        guard !fds.isEmpty else { return }
        let fd = fds[Int(random(UInt32(fds.count)))]
        let member = members[fd]!
        switch random(20) {
        case 0..<8 where member.connected && !member.waiting && !member.sendEnded: send(fd)
        case 8..<16:
            members[fd]!.mode = random(3)
            expect(claw_receive(bench.loop, fd, members[fd]!.mode) == 0, "receive")
        case 16 where random(6) == 0: close(fd)
        case 17 where member.connected && random(4) == 0:
            _ = claw_shutdown_send(bench.loop, fd)
            members[fd]!.sendEnded = true
        case 18:
            expect(claw_retoken(bench.loop, fd, nextToken) == 0, "retoken")
            members[fd]!.token = nextToken
            nextToken += 1
        default:
            if member.ended, member.sendEnded { close(fd) }
        }
    }

    private func send(_ fd: Int32) {
        let count = Int(random(8) == 0 ? 1 + random(60_000) : 1 + random(2000))
        let result = bench.send(fd, slice(members[fd]!.sent, count))
        if result == -Int64(EAGAIN) || (result > 0 && result < count) { members[fd]!.waiting = true }
        if result > 0 {
            members[fd]!.sent += Int(result)
        } else if result != -Int64(EAGAIN) {
            expect(result == -Int64(EPIPE) || result == -Int64(ECONNRESET), "send: \(result)")
            members[fd]!.sendEnded = true
        }
    }

    private func close(_ fd: Int32) {
        expect(claw_close(bench.loop, fd, Int32(random(2))) == 0, "close")
        members[fd] = nil
    }

    /// Everybody receives until nothing has come for a while.
    func receiveEverything() {
        var quietSince = claw_monotonic_ns()
        while claw_monotonic_ns() - quietSince < 200_000_000 {
            for fd in members.keys where members[fd]!.mode != buffered {
                members[fd]!.mode = buffered
                _ = claw_receive(bench.loop, fd, buffered)
            }
            let before = members.values.reduce(0) { $0 + $1.received + ($1.ended ? 1 : 0) }
            turn(milliseconds: 20)
            let after = members.values.reduce(0) { $0 + $1.received + ($1.ended ? 1 : 0) }
            if after != before { quietSince = claw_monotonic_ns() }
        }
    }

    /// Compares both ends of each connection that lived; returns how many there were.
    func wholePairs() -> Int {
        let ours = claw_address_port(&listener.address)
        var byPort: [UInt16: Int32] = [:]
        var address = claw_address()
        for fd in members.keys where claw_local_address(fd, &address) == 0 { byPort[claw_address_port(&address)] = fd }
        var pairs = 0
        for (fd, member) in members {
            guard claw_local_address(fd, &address) == 0, claw_address_port(&address) == ours else { continue }
            guard claw_peer_address(fd, &address) == 0, let other = byPort[claw_address_port(&address)], let peer = members[other] else {
                expect(member.ended, "fd \(fd): the other end is gone and nobody said so")
                continue
            }
            if member.broken || peer.broken { continue }
            expect(member.received == peer.sent && peer.received == member.sent, "fd \(fd): not all arrived")
            expect(!member.waiting && !peer.waiting, "fd \(fd): WRITABLE never came")
            expect(member.ended == peer.sendEnded && peer.ended == member.sendEnded, "fd \(fd): an end never came")
            pairs += 1
        }
        return pairs
    }

    func closeAll() {
        for fd in members.keys.sorted() { close(fd) }
        while !kept.isEmpty { _ = bench.bytes(kept.removeLast()) }
    }

    func settles(at lent: UInt32) -> Bool {
        bench.until {
            // Connections nobody handled any more.
            for event in bench.take(CLAW_ACCEPTED) where event.result >= 0 { claw_os_close(event.result) }
            return claw_buffers_in_use(bench.loop) == lent
        }
    }
}
