import CClaw
import Glibc
import Testing

/// What a loop does besides streams: time, waking, foreign descriptors, names, accepting in need.
@Suite struct LoopTests {
    @Test(arguments: Backend.real)
    func waitKeepsItsTimeOut(_ backend: Backend) {
        let bench = Bench(backend)
        // Each ring that other tests destroyed on this thread interrupts it once more some milliseconds later
        // (seen on Linux 6.18), and an interrupted wait may return early.
        let deadline = claw_monotonic_ns() + 10_000_000_000
        var kept = false
        while !kept, claw_monotonic_ns() < deadline {
            let before = claw_monotonic_ns()
            #expect(bench.wait(milliseconds: 30).isEmpty)
            let elapsed = claw_monotonic_ns() - before
            kept = elapsed >= 30_000_000 && claw_loop_now(bench.loop) >= before + 30_000_000
        }
        #expect(kept)
        var event = claw_event()
        #expect(claw_loop_wait(bench.loop, &event, 0, 0) == -EINVAL)
    }

    @Test func badOptionsAreRefused() {
        var loop: OpaquePointer?
        for (backend, bytes, count) in [(9, 4096, 1), (1, 0, 1), (1, 1000, 1), (1, 4096, 0)] as [(UInt32, UInt32, UInt32)] {
            var options = claw_loop_options(backend: backend, buffer_bytes: bytes, buffer_count: count, reserved: 0)
            #expect(claw_loop_create(&options, &loop, nil) == -EINVAL)
            #expect(loop == nil)
        }
    }

    @Test(arguments: Backend.real)
    func wakeFromAnotherThreadEndsTheWait(_ backend: Backend) throws {
        let bench = Bench(backend)
        for _ in 0..<20 {
            var thread: UInt64 = 0
            let waker: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
                claw_loop_wake(OpaquePointer(context))
                return nil
            }
            #expect(claw_thread_start("waker", waker, UnsafeMutableRawPointer(bench.loop), &thread) == 0)
            let woken = try bench.next(CLAW_WOKEN)
            #expect(woken.token == 0)
            #expect(claw_thread_join(thread) == 0)
        }
    }

    @Test(arguments: Backend.real)
    func anyNumberOfWakesIsOneEvent(_ backend: Backend) {
        let bench = Bench(backend)
        for round in 0..<3 {
            for _ in 0..<5 { claw_loop_wake(bench.loop) }
            #expect(bench.wait(milliseconds: 1000).map { Int($0.kind) } == [CLAW_WOKEN], "round \(round)")
            #expect(bench.wait(milliseconds: 10).isEmpty)
        }
    }

    @Test(arguments: Backend.real)
    func loopMadeHereRunsThere(_ backend: Backend) throws {
        let bench = Bench(backend)
        claw_loop_wake(bench.loop)
        var thread: UInt64 = 0
        let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
            var event = claw_event()
            let n = claw_loop_wait(OpaquePointer(context), &event, 1, 5_000_000_000)
            return UnsafeMutableRawPointer(bitPattern: n == 1 && Int(event.kind) == CLAW_WOKEN ? 1 : 2)
        }
        #expect(claw_thread_start("there", body, UnsafeMutableRawPointer(bench.loop), &thread) == 0)
        var result: UnsafeMutableRawPointer?
        #expect(pthread_join(pthread_t(thread), &result) == 0)
        #expect(Int(bitPattern: result) == 1)
    }

    @Test(arguments: Backend.real)
    func foreignDescriptorIsWatchedByLevel(_ backend: Backend) throws {
        let bench = Bench(backend)
        var ends: [Int32] = [0, 0]
        pipe(&ends)
        defer { ends.forEach { close($0) } }
        #expect(claw_watch(bench.loop, ends[0], UInt32(CLAW_READ), 8) == 0)
        bench.wait(milliseconds: 10)
        #expect(bench.events.isEmpty)
        write(ends[1], [1], 1)
        for _ in 0..<3 {
            let event = try bench.next(CLAW_READY, token: 8)
            #expect(event.result == Int32(CLAW_READ))
            #expect(event.fd == ends[0])
        }
        var byte: UInt8 = 0
        read(ends[0], &byte, 1)
        bench.wait(milliseconds: 10)
        _ = bench.take(CLAW_READY)
        bench.wait(milliseconds: 10)
        #expect(bench.events.isEmpty, "read empty: quiet")
        #expect(claw_watch(bench.loop, ends[1], UInt32(CLAW_WRITE), 9) == 0)
        #expect(try bench.next(CLAW_READY, token: 9).result == Int32(CLAW_WRITE))
        #expect(claw_watch(bench.loop, ends[1], 0, 9) == 0)
        _ = bench.take(CLAW_READY, token: 9)
        write(ends[1], [1], 1)
        #expect(claw_watch(bench.loop, ends[0], 0, 8) == 0)
        bench.wait(milliseconds: 20)
        #expect(bench.events.isEmpty, "not watched any more")
        #expect(claw_watch(bench.loop, ends[0], UInt32(CLAW_READ), 10) == 0)
        #expect(try bench.next(CLAW_READY, token: 10).result == Int32(CLAW_READ))
        read(ends[0], &byte, 1)
        close(ends[1])
        ends[1] = -1
        _ = bench.take(CLAW_READY)
        let hung = bench.until { bench.take(CLAW_READY).contains { $0.result == Int32(CLAW_READ | CLAW_ERROR) } }
        #expect(hung, "the other end is gone")
        claw_watch(bench.loop, ends[0], 0, 10)
    }

    @Test(arguments: Backend.real)
    func watchChangesItsInterest(_ backend: Backend) throws {
        let bench = Bench(backend)
        var pair: [Int32] = [0, 0]
        socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair)
        defer { pair.forEach { close($0) } }
        #expect(claw_watch(bench.loop, pair[0], UInt32(CLAW_READ), 1) == 0)
        bench.wait()
        #expect(claw_watch(bench.loop, pair[0], UInt32(CLAW_READ | CLAW_WRITE), 2) == 0)
        #expect(try bench.next(CLAW_READY).result == Int32(CLAW_WRITE))
        write(pair[1], [1], 1)
        let both = bench.until { bench.take(CLAW_READY, token: 2).contains { $0.result == Int32(CLAW_READ | CLAW_WRITE) } }
        #expect(both)
        #expect(claw_watch(bench.loop, pair[0], UInt32(CLAW_READ), 3) == 0)
        _ = bench.take(CLAW_READY)
        #expect(try bench.next(CLAW_READY).result == Int32(CLAW_READ))
        claw_watch(bench.loop, pair[0], 0, 3)
    }

    @Test(arguments: Backend.real)
    func namesAreLookedUpElsewhere(_ backend: Backend) throws {
        let bench = Bench(backend)
        #expect(claw_resolve(bench.loop, "localhost", 8080, 1) == 0)
        #expect(claw_resolve(bench.loop, "no-such-host.invalid", 80, 2) == 0)
        #expect(claw_resolve(bench.loop, "::1", 443, 3) == 0)
        let found = try bench.next(CLAW_RESOLVED, token: 1)
        #expect(found.result > 0)
        var addresses = [claw_address](repeating: claw_address(), count: 8)
        let count = claw_resolved(bench.loop, 1, &addresses, 8)
        #expect(count == found.result)
        for i in 0..<Int(count) { #expect(claw_address_port(&addresses[i]) == 8080) }
        #expect(claw_resolved(bench.loop, 1, &addresses, 8) == 0, "forgotten once fetched")
        #expect(try bench.next(CLAW_RESOLVED, token: 2).result < 0)
        #expect(try bench.next(CLAW_RESOLVED, token: 3).result == 1)
        #expect(claw_resolve(bench.loop, "", 80, 4) == -EINVAL)
        #expect(claw_resolve(bench.loop, String(repeating: "a", count: 300), 80, 4) == -EINVAL)
    }

    @Test(arguments: Backend.real)
    func questionsAreBounded(_ backend: Backend) {
        let bench = Bench(backend)
        var refused = 0
        for i in 0..<300 where claw_resolve(bench.loop, "127.0.0.1", 80, UInt64(i)) == -EAGAIN { refused += 1 }
        #expect(refused == 300 - 256, "none was collected meanwhile")
        var answered = 0
        let all = bench.until {
            answered += bench.take(CLAW_RESOLVED).count
            return answered == 256
        }
        #expect(all)
        #expect(claw_resolve(bench.loop, "127.0.0.1", 80, 1) == 0)
    }

    @Test(arguments: Backend.real)
    func loopMayGoWhileANameIsLookedUp(_ backend: Backend) {
        for _ in 0..<20 {
            let bench = Bench(backend)
            for i in 0..<5 { _ = claw_resolve(bench.loop, "no-such-host.invalid", 80, UInt64(i)) }
            bench.wait()
        }
    }

    @Test(arguments: Backend.real)
    func acceptingStopsAndTheListenerStaysTheCallers(_ backend: Backend) throws {
        let bench = Bench(backend), listener = Listener()
        claw_accept_start(bench.loop, listener.fd, 1)
        let first = Peer(connectingTo: listener.address)
        claw_os_close(try bench.next(CLAW_ACCEPTED).result)
        #expect(claw_accept_stop(bench.loop, listener.fd) == 0)
        let second = Peer(connectingTo: listener.address)
        bench.wait(milliseconds: 20)
        #expect(bench.events.isEmpty)
        #expect(claw_accept_start(bench.loop, listener.fd, 2) == 0)
        claw_os_close(try bench.next(CLAW_ACCEPTED, token: 2).result)
        #expect(claw_accept_stop(bench.loop, listener.fd) == 0)
        _ = (first, second)
    }

    @Test(arguments: Backend.real)
    func stoppedListenerFreesItsPort(_ backend: Backend) throws {
        let bench = Bench(backend)
        var wanted = claw_address()
        claw_address_parse("127.0.0.1", 0, &wanted)
        let first = claw_listen(&wanted, 16, 0)
        claw_local_address(first, &wanted)
        claw_accept_start(bench.loop, first, 1)
        bench.wait()
        claw_accept_stop(bench.loop, first)
        claw_os_close(first)
        let second = claw_listen(&wanted, 16, 0)
        #expect(second >= 0)
        claw_os_close(second)
    }
}
