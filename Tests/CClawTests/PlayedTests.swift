import CClaw
import Glibc
import Testing

/// The scripted kernel does what its script says, and nothing else.
@Suite struct PlayedTests {
    private func bench(bufferBytes: UInt32 = 4096, buffers: UInt32 = 16) -> Bench {
        Bench(UInt32(CLAW_BACKEND_PLAYED), bufferBytes: bufferBytes, buffers: buffers)
    }

    private func client(_ bench: Bench, token: UInt64 = 5) throws -> Int32 {
        if claw_accept_start(bench.loop, 3, 1) != 0 { #expect(claw_accept_start(bench.loop, 3, 1) == -EEXIST) }
        let fd = claw_played_client(bench.loop, 3)
        #expect(try bench.next(CLAW_ACCEPTED, token: 1).result == fd)
        #expect(claw_attach(bench.loop, fd, token) == 0)
        return fd
    }

    private func deliver(_ bench: Bench, _ fd: Int32, _ bytes: [UInt8]) {
        #expect(claw_played_deliver(bench.loop, fd, bytes, bytes.count) == 0)
    }

    private func sent(_ bench: Bench, _ fd: Int32, capacity: Int = 100_000) -> [UInt8] {
        var into = [UInt8](repeating: 0, count: capacity)
        let n = claw_played_sent(bench.loop, fd, &into, capacity)
        return Array(into[..<Int(max(n, 0))])
    }

    @Test func clientIsAcceptedOnceSomebodyAccepts() throws {
        let bench = bench()
        #expect(claw_played_client(bench.loop, 3) == -EAGAIN)
        #expect(try client(bench) == 1000)
        #expect(try client(bench) == 1001)
        #expect(bench.events.isEmpty)
        #expect(claw_accept_stop(bench.loop, 3) == 0)
        #expect(claw_played_client(bench.loop, 3) == -EAGAIN)
    }

    @Test func eachDeliveryIsOneEventCutOnlyAtTheBuffersSize() throws {
        let bench = bench(), fd = try client(bench)
        claw_receive(bench.loop, fd, buffered)
        #expect(claw_played_receive_mode(bench.loop, fd) == buffered)
        deliver(bench, fd, [1, 2])
        deliver(bench, fd, [3])
        deliver(bench, fd, pattern(5000))
        let events = bench.wait()
        #expect(events.map(\.result) == [2, 1, 4096, 904])
        #expect(events.map { Int($0.flags) } == [CLAW_MORE, CLAW_MORE, CLAW_MORE, 0])
        #expect(events.flatMap { bench.bytes($0) } == [1, 2, 3] + pattern(5000))
        #expect(claw_buffers_in_use(bench.loop) == 0)
        #expect(claw_played_end(bench.loop, fd, 0) == 0)
        #expect(bench.wait().map(\.result) == [0])
        #expect(claw_played_deliver(bench.loop, fd, [1], 1) == -EPIPE)
    }

    @Test func bytesWaitWhileReceivingIsOff() throws {
        let bench = bench(), fd = try client(bench)
        deliver(bench, fd, [1])
        #expect(bench.wait().isEmpty)
        claw_played_end(bench.loop, fd, 0)
        #expect(bench.wait().map { [Int32($0.kind), $0.result] } == [[Int32(CLAW_HUNGUP), 0]])
        #expect(bench.wait().isEmpty)
        claw_receive(bench.loop, fd, buffered)
        #expect(bench.wait().map(\.result) == [1, 0])
    }

    @Test func resetWhilePausedHangsUp() throws {
        let bench = bench(), fd = try client(bench)
        claw_played_end(bench.loop, fd, ECONNRESET)
        #expect(bench.wait().map { [Int32($0.kind), $0.result] } == [[Int32(CLAW_HUNGUP), -ECONNRESET]])
        #expect(bench.send(fd, [1]) == -Int64(ECONNRESET))
    }

    @Test func whatCameBeforeAttachingIsFound() throws {
        let bench = bench()
        claw_accept_start(bench.loop, 3, 1)
        let fd = claw_played_client(bench.loop, 3)
        deliver(bench, fd, [8])
        claw_played_end(bench.loop, fd, ECONNRESET)
        bench.wait()
        claw_attach(bench.loop, fd, 2)
        claw_receive(bench.loop, fd, buffered)
        #expect(bench.wait().map(\.result) == [1, -ECONNRESET])
    }

    @Test func readableModeReadsIntoOnesOwnMemory() throws {
        let bench = bench(), fd = try client(bench)
        claw_receive(bench.loop, fd, readable)
        deliver(bench, fd, pattern(3000))
        deliver(bench, fd, pattern(2000))
        #expect(bench.wait().map { Int($0.kind) } == [CLAW_READABLE])
        #expect(bench.wait().isEmpty)
        #expect(bench.receive(fd, length: 4000).1 == pattern(3000) + pattern(2000)[..<1000])
        #expect(bench.wait().map { Int($0.kind) } == [CLAW_READABLE])
        #expect(bench.receive(fd, length: 4000).0 == 1000)
        #expect(bench.receive(fd, length: 4000).0 == -Int64(EAGAIN))
        #expect(bench.wait().isEmpty)
        claw_played_end(bench.loop, fd, 0)
        #expect(bench.wait().map { Int($0.kind) } == [CLAW_READABLE])
        #expect(bench.receive(fd, length: 10).0 == 0)
    }

    @Test func windowLimitsSendingAndWritableFollows() throws {
        let bench = bench(), fd = try client(bench)
        claw_played_window(bench.loop, fd, 10)
        #expect(bench.send(fd, pattern(8)) == 8)
        #expect(bench.send(fd, pattern(8)) == 2)
        #expect(bench.send(fd, pattern(8)) == -Int64(EAGAIN))
        #expect(bench.wait().isEmpty)
        claw_played_window(bench.loop, fd, 100)
        #expect(bench.wait().map { Int($0.kind) } == [CLAW_WRITABLE])
        #expect(bench.wait().isEmpty)
        #expect(bench.send(fd, pattern(8)) == 8)
        #expect(claw_played_sent(bench.loop, fd, nil, 0) == 18, "asked how much, forgets nothing")
        #expect(sent(bench, fd, capacity: 5) == Array(pattern(8)[..<5]))
        #expect(sent(bench, fd) == Array(pattern(8)[5...]) + pattern(8)[..<2] + pattern(8))
        #expect(sent(bench, fd).isEmpty)
    }

    @Test func connectsEndAsAndWhenScripted() throws {
        let bench = bench()
        var address = claw_address()
        claw_address_parse("10.1.2.3", 99, &address)
        claw_played_connect_result(bench.loop, 0, 2_000_000)
        claw_played_connect_result(bench.loop, -ECONNREFUSED, 1_000_000)
        let slow = claw_connect(bench.loop, &address, 1), refused = claw_connect(bench.loop, &address, 2)
        let plain = claw_connect(bench.loop, &address, 3)
        #expect(bench.wait().map(\.token) == [3])
        #expect(bench.send(slow, [1]) == -Int64(EAGAIN), "not connected yet")
        let before = claw_loop_now(bench.loop)
        claw_played_advance(bench.loop, 5_000_000)
        #expect(claw_loop_now(bench.loop) == before, "the clock is read by waiting")
        let events = bench.wait()
        #expect(claw_loop_now(bench.loop) == before + 5_000_000)
        #expect(events.filter { Int($0.kind) == CLAW_CONNECTED }.map(\.token) == [2, 1], "in the order of their hours")
        #expect(events.filter { Int($0.kind) == CLAW_CONNECTED }.map(\.result) == [-ECONNREFUSED, 0])
        #expect(events.filter { Int($0.kind) == CLAW_WRITABLE }.map(\.token) == [1])
        var fd: Int32 = 0
        var asked = claw_address()
        #expect(claw_played_connected(bench.loop, 1, &fd, &asked) == 3)
        #expect(fd == refused)
        #expect(claw_address_port(&asked) == 99)
        _ = plain
    }

    @Test func stateOutlivesTheClose() throws {
        let bench = bench(), a = try client(bench), b = try client(bench, token: 6)
        #expect(claw_played_state(bench.loop, a) == 0)
        #expect(bench.send(a, [1, 2]) == 2)
        #expect(claw_shutdown_send(bench.loop, a) == 0)
        #expect(claw_played_state(bench.loop, a) == 1)
        #expect(bench.send(a, [1]) == -Int64(EPIPE))
        claw_close(bench.loop, a, 0)
        claw_close(bench.loop, b, 1)
        #expect(claw_played_state(bench.loop, a) == 2)
        #expect(claw_played_state(bench.loop, b) == 3)
        #expect(sent(bench, a) == [1, 2])
        #expect(claw_played_deliver(bench.loop, a, [1], 1) == -EPIPE)
        #expect(bench.wait().isEmpty)
        #expect(try client(bench) == 1002, "no number is used twice")
    }

    @Test func closedSocketsEventsNeverSurface() throws {
        let bench = bench(), fd = try client(bench)
        claw_receive(bench.loop, fd, buffered)
        deliver(bench, fd, [1])
        claw_close(bench.loop, fd, 0)
        #expect(bench.wait().isEmpty)
        #expect(claw_buffers_in_use(bench.loop) == 0)
    }

    @Test func exhaustedBuffersHoldThingsUpAndRecover() throws {
        let bench = bench(buffers: 2), fd = try client(bench)
        claw_receive(bench.loop, fd, buffered)
        for i in 0..<4 { deliver(bench, fd, [UInt8(i)]) }
        let first = bench.wait()
        #expect(first.count == 2)
        #expect(bench.wait().isEmpty)
        #expect(bench.bytes(first[0]) == [0])
        let second = bench.wait()
        #expect(second.map { bench.bytes($0) } == [[2]])
        #expect(bench.bytes(first[1]) == [1])
        #expect(bench.wait().map { bench.bytes($0) } == [[3]])
    }

    @Test func namesAnswerAsScripted() throws {
        let bench = bench()
        claw_played_name(bench.loop, "api.example", "192.0.2.7")
        claw_played_name(bench.loop, "gone.example", nil)
        claw_resolve(bench.loop, "api.example", 443, 1)
        claw_resolve(bench.loop, "gone.example", 443, 2)
        claw_resolve(bench.loop, "unheard.example", 443, 3)
        claw_resolve(bench.loop, "198.51.100.1", 443, 4)
        let events = bench.wait()
        #expect(events.map(\.token) == [1, 2, 3, 4])
        #expect(events.map { $0.result > 0 } == [true, false, false, true])
        var address = claw_address()
        #expect(claw_resolved(bench.loop, 1, &address, 1) == 1)
        var text = [CChar](repeating: 0, count: 64)
        let length = claw_address_text(&address, &text, 64)
        #expect(String(decoding: text[..<Int(length)].map { UInt8($0) }, as: UTF8.self) == "192.0.2.7")
        #expect(claw_address_port(&address) == 443)
        claw_played_name(bench.loop, "api.example", nil)
        claw_resolve(bench.loop, "api.example", 443, 5)
        #expect(bench.wait().map { $0.result < 0 } == [true])
    }

    @Test func wakeIsOneEvent() {
        let bench = bench()
        claw_loop_wake(bench.loop)
        claw_loop_wake(bench.loop)
        #expect(bench.wait().map { Int($0.kind) } == [CLAW_WOKEN])
        #expect(bench.wait().isEmpty)
    }
}
