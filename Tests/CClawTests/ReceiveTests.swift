import CClaw
import Glibc
import Testing

/// Back-pressure and the three ways to receive, on both kernel backends.
@Suite struct ReceiveTests {
    @Test(arguments: Backend.real)
    func resetWhilePausedHangsUp(_ backend: Backend) throws {
        let bench = Bench(backend), (_, peer) = try bench.connection(token: 5)
        bench.wait()
        peer.reset()
        #expect(try bench.next(CLAW_HUNGUP, token: 5).result == -ECONNRESET)
        bench.wait(milliseconds: 20)
        #expect(bench.events.isEmpty, "told once")
    }

    @Test(arguments: Backend.real)
    func resetAfterPausingHangsUp(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 5)
        claw_receive(bench.loop, fd, buffered)
        peer.write([1])
        #expect(bench.bytes(try bench.next(CLAW_RECEIVED)) == [1])
        claw_receive(bench.loop, fd, off)
        peer.write([2, 3])
        bench.wait(milliseconds: 20)
        #expect(bench.events.isEmpty, "paused: the bytes stay")
        peer.reset()
        #expect(try bench.next(CLAW_HUNGUP, token: 5).result == -ECONNRESET)
        claw_receive(bench.loop, fd, buffered)
        #expect(bench.bytes(try bench.next(CLAW_RECEIVED)) == [2, 3], "bytes go before the end")
        #expect(try bench.next(CLAW_RECEIVED).result == -ECONNRESET)
    }

    @Test(arguments: Backend.real)
    func endWhilePausedHangsUpWithZeroAndBytesComeLater(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 5)
        bench.wait()
        peer.write(pattern(300))
        peer.shutdownWrite()
        #expect(try bench.next(CLAW_HUNGUP, token: 5).result == 0)
        bench.wait(milliseconds: 20)
        #expect(bench.events.isEmpty, "told once")
        claw_receive(bench.loop, fd, buffered)
        #expect(bench.bytes(try bench.next(CLAW_RECEIVED)) == pattern(300))
        #expect(try bench.next(CLAW_RECEIVED).result == 0)
    }

    @Test(arguments: Backend.real)
    func resetAfterTheEndIsStillTold(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 5)
        bench.wait()
        peer.shutdownWrite()
        #expect(try bench.next(CLAW_HUNGUP).result == 0)
        bench.wait()
        peer.reset()
        #expect(try bench.next(CLAW_HUNGUP).result < 0)
        _ = fd
    }

    @Test(arguments: Backend.real)
    func bytesBeforeAResetAreDeliveredFirst(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 5)
        peer.write(pattern(40_000))
        peer.reset()
        claw_receive(bench.loop, fd, buffered)
        var all: [UInt8] = []
        var end: Int32 = 1
        while end > 0 {
            let event = try bench.next(CLAW_RECEIVED)
            end = event.result
            all += bench.bytes(event)
        }
        #expect(all == pattern(40_000))
        #expect(end == -ECONNRESET)
    }

    @Test(arguments: Backend.real)
    func readableModeReadsAMebibyte(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 5)
        let body = pattern(1 << 20)
        claw_receive(bench.loop, fd, readable)
        var toWrite = body[...], got: [UInt8] = []
        var ended = false
        let whole = bench.until {
            toWrite = toWrite.dropFirst(peer.writeSome(toWrite))
            if toWrite.isEmpty, peer.fd >= 0 { peer.close() }
            for _ in bench.take(CLAW_READABLE, token: 5) {
                while true {
                    let (n, bytes) = bench.receive(fd, length: 100_000)
                    got += bytes
                    if n == 0 { ended = true }
                    if n < 100_000 { break }
                }
            }
            return ended
        }
        #expect(whole)
        #expect(got == body)
        #expect(bench.take(CLAW_RECEIVED).isEmpty)
        #expect(bench.receive(fd, length: 10).0 == 0, "the end stays the end")
    }

    @Test(arguments: Backend.real)
    func readerThatStopsEarlyIsToldAgain(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 5)
        claw_receive(bench.loop, fd, readable)
        peer.write(pattern(1000))
        _ = try bench.next(CLAW_READABLE)
        bench.wait(milliseconds: 20)
        #expect(bench.take(CLAW_READABLE).isEmpty, "told once until claw_recv made progress")
        #expect(bench.receive(fd, length: 100).0 == 100)
        _ = try bench.next(CLAW_READABLE)
        #expect(bench.receive(fd, length: 2000).1 == Array(pattern(1000)[100...]))
        #expect(bench.receive(fd, length: 10).0 == -Int64(EAGAIN))
        bench.wait(milliseconds: 20)
        #expect(bench.events.isEmpty)
        peer.write([7])
        _ = try bench.next(CLAW_READABLE)
        #expect(bench.receive(fd, length: 10).1 == [7])
    }

    @Test(arguments: Backend.real)
    func resetWhileAReaderStallsHangsUp(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 5)
        claw_receive(bench.loop, fd, readable)
        peer.write(pattern(1000))
        _ = try bench.next(CLAW_READABLE)
        bench.wait()
        peer.reset()
        #expect(try bench.next(CLAW_HUNGUP, token: 5).result == -ECONNRESET)
        #expect(bench.receive(fd, length: 1000).1 == pattern(1000))
        #expect(bench.receive(fd, length: 1000).0 == -Int64(ECONNRESET))
    }

    @Test(arguments: Backend.real)
    func bytesThatCameBeforeSwitchingOnAreFound(_ backend: Backend) throws {
        for mode in [buffered, readable] {
            let bench = Bench(backend), (fd, peer) = try bench.connection(token: 5)
            peer.write([1, 2, 3])
            bench.wait(milliseconds: 20)
            bench.wait(milliseconds: 20)
            #expect(bench.events.isEmpty)
            claw_receive(bench.loop, fd, mode)
            if mode == buffered {
                #expect(bench.bytes(try bench.next(CLAW_RECEIVED)) == [1, 2, 3])
            } else {
                _ = try bench.next(CLAW_READABLE)
                #expect(bench.receive(fd, length: 10).1 == [1, 2, 3])
            }
        }
    }

    /// Whatever the modes do in between, the stream comes out whole and in order.
    @Test(arguments: Backend.real, [1, 64])
    func bytesSurviveEveryChangeOfMode(_ backend: Backend, _ capacity: Int) throws {
        let bench = Bench(backend, bufferBytes: 4096, buffers: 16), (fd, peer) = try bench.connection(token: 5)
        let body = pattern(600_000)
        var toWrite = body[...], got: [UInt8] = []
        var ended = false
        var mode = off
        var seed: UInt32 = 12345
        let whole = bench.until(capacity: capacity) {
            toWrite = toWrite.dropFirst(peer.writeSome(toWrite.prefix(30_000)))
            if toWrite.isEmpty, peer.fd >= 0 { peer.shutdownWrite() }
            for event in bench.take(CLAW_RECEIVED) {
                if event.result == 0 { ended = true }
                got += bench.bytes(event)
            }
            if !bench.take(CLAW_READABLE).isEmpty, mode == readable {
                let (n, bytes) = bench.receive(fd, length: 5000)
                got += bytes
                if n == 0 { ended = true }
            }
            seed = seed &* 1_664_525 &+ 1_013_904_223
            mode = (seed >> 16) % 3
            claw_receive(bench.loop, fd, mode)
            return ended
        }
        #expect(whole)
        #expect(got.count == body.count)
        #expect(got == body)
    }

    @Test(arguments: Backend.real)
    func switchingOffAndOnWithinATickIsHarmless(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 5)
        claw_receive(bench.loop, fd, buffered)
        bench.wait()
        for i in 0..<50 {
            for _ in 0..<3 {
                claw_receive(bench.loop, fd, off)
                claw_receive(bench.loop, fd, buffered)
            }
            peer.write([UInt8(i)])
            #expect(bench.bytes(try bench.next(CLAW_RECEIVED)) == [UInt8(i)])
        }
    }

    @Test(arguments: Backend.real)
    func exhaustedBuffersHoldThingsUpAndRecover(_ backend: Backend) throws {
        let bench = Bench(backend, bufferBytes: 4096, buffers: 4), (fd, peer) = try bench.connection(token: 5)
        let (otherFd, other) = try bench.connection(token: 6)
        claw_receive(bench.loop, fd, buffered)
        claw_receive(bench.loop, otherFd, buffered)
        let body = pattern(100_000)
        var toWrite = body[...], held: [claw_event] = [], got: [UInt8] = []
        _ = bench.until {
            toWrite = toWrite.dropFirst(peer.writeSome(toWrite))
            held += bench.take(CLAW_RECEIVED, token: 5)
            return held.count == 4
        }
        #expect(held.count == 4, "all buffers are the receiver's now")
        #expect(claw_buffer_take(bench.loop) == CLAW_NO_BUFFER)
        other.write([77])
        let before = threadCPU()
        bench.wait(milliseconds: 40)
        #expect(bench.events.isEmpty, "nothing can be received without a buffer")
        #expect(threadCPU() - before < 20_000_000, "and waiting for one is not spinning")
        for event in held { got += bench.bytes(event) }
        let whole = bench.until {
            toWrite = toWrite.dropFirst(peer.writeSome(toWrite))
            for event in bench.take(CLAW_RECEIVED, token: 5) { got += bench.bytes(event) }
            return got.count == body.count
        }
        #expect(whole)
        #expect(got == body)
        #expect(bench.bytes(try bench.next(CLAW_RECEIVED, token: 6)) == [77], "the other one was not starved for ever")
    }

    @Test(arguments: Backend.real)
    func oneLoudSocketDoesNotSilenceTheOthers(_ backend: Backend) throws {
        let bench = Bench(backend), (loud, loudPeer) = try bench.connection(token: 1)
        let (quiet, quietPeer) = try bench.connection(token: 2)
        claw_receive(bench.loop, loud, buffered)
        claw_receive(bench.loop, quiet, buffered)
        loudPeer.write(pattern(500_000))
        quietPeer.write([5])
        for _ in 0..<3 where bench.take(CLAW_RECEIVED, token: 2).isEmpty {
            bench.wait(milliseconds: 1000)
            if bench.events.contains(where: { $0.token == 2 }) { return }
        }
        Issue.record("the quiet socket was not heard in three waits")
    }

    @Test(arguments: Backend.real)
    func oneEventAtATimeLosesNothing(_ backend: Backend) throws {
        let bench = Bench(backend), listener = Listener()
        claw_accept_start(bench.loop, listener.fd, 1)
        let peers = (0..<20).map { _ in Peer(connectingTo: listener.address) }
        for i in 0..<20 {
            let fd = try bench.next(CLAW_ACCEPTED, capacity: 1).result
            claw_attach(bench.loop, fd, UInt64(100 + i))
            claw_receive(bench.loop, fd, buffered)
        }
        for peer in peers {
            peer.write([1, 2])
            peer.shutdownWrite()
        }
        claw_loop_wake(bench.loop)
        for i in 0..<20 {
            #expect(bench.bytes(try bench.next(CLAW_RECEIVED, token: UInt64(100 + i), capacity: 1)) == [1, 2])
            #expect(try bench.next(CLAW_RECEIVED, token: UInt64(100 + i), capacity: 1).result == 0)
        }
        _ = try bench.next(CLAW_WOKEN, capacity: 1)
        #expect(bench.events.isEmpty)
    }
}

/// Processor time this thread has used.
func threadCPU() -> Int {
    var t = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)
    return t.tv_sec * 1_000_000_000 + t.tv_nsec
}
