import CClaw
import Glibc
import Testing

let off = UInt32(CLAW_RECEIVE_OFF), buffered = UInt32(CLAW_RECEIVE_BUFFERED), readable = UInt32(CLAW_RECEIVE_READABLE)

/// Streams on both kernel backends: the same tests, because both promise the same.
@Suite struct StreamTests {
    @Test func ringIsUsableHereOrSaysWhyNot() {
        if Backend.fallback != 0 { print("io_uring is refused here (errno \(Backend.fallback)): its tests are left out") }
        #expect(Backend.real.contains(.epoll))
    }

    @Test(arguments: Backend.real)
    func acceptedAndConnectedSocketsEcho(_ backend: Backend) throws {
        let bench = Bench(backend), listener = Listener()
        #expect(claw_accept_start(bench.loop, listener.fd, 1) == 0)
        let client = claw_connect(bench.loop, &listener.address, 2)
        #expect(client >= 0)
        #expect(try bench.next(CLAW_CONNECTED, token: 2).result == 0)
        let server = try bench.next(CLAW_ACCEPTED, token: 1).result
        #expect(claw_attach(bench.loop, server, 3) == 0)
        for fd in [client, server] {
            #expect(claw_receive(bench.loop, fd, buffered) == 0)
            var on: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, &size)
            #expect(on != 0, "TCP_NODELAY is set")
            #expect(fcntl(fd, F_GETFL) & O_NONBLOCK != 0)
            #expect(fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
        }
        #expect(bench.send(client, Array("ping".utf8)) == 4)
        #expect(bench.bytes(try bench.next(CLAW_RECEIVED, token: 3)) == Array("ping".utf8))
        #expect(bench.send(server, Array("pong".utf8)) == 4)
        #expect(bench.bytes(try bench.next(CLAW_RECEIVED, token: 2)) == Array("pong".utf8))
        #expect(bench.take(CLAW_WRITABLE).isEmpty, "nobody's send fell short")
        #expect(claw_close(bench.loop, client, 0) == 0)
        #expect(try bench.next(CLAW_RECEIVED, token: 3).result == 0)
    }

    @Test(arguments: Backend.real)
    func refusedConnectIsToldAsEvent(_ backend: Backend) throws {
        let bench = Bench(backend)
        var address = Listener().address   // closed again: nobody listens there
        let fd = claw_connect(bench.loop, &address, 7)
        #expect(fd >= 0)
        #expect(try bench.next(CLAW_CONNECTED, token: 7).result == -ECONNREFUSED)
        #expect(claw_close(bench.loop, fd, 0) == 0)
        #expect(claw_close(bench.loop, fd, 0) == -EBADF, "it ends once")
    }

    @Test(arguments: Backend.real)
    func unixSocketsConnectAndEcho(_ backend: Backend) throws {
        let bench = Bench(backend)
        let path = "/tmp/claw-\(getpid())-\(backend.rawValue).sock"
        var address = claw_address()
        #expect(claw_address_parse("unix:" + path, 0, &address) == 0)
        let listener = claw_listen(&address, 16, 0)
        defer { close(listener); unlink(path) }
        #expect(claw_accept_start(bench.loop, listener, 1) == 0)
        let client = claw_connect(bench.loop, &address, 2)
        #expect(try bench.next(CLAW_CONNECTED, token: 2).result == 0)
        let server = try bench.next(CLAW_ACCEPTED).result
        #expect(claw_attach(bench.loop, server, 3) == 0)
        claw_receive(bench.loop, server, buffered)
        #expect(bench.send(client, [1, 2, 3]) == 3)
        #expect(bench.bytes(try bench.next(CLAW_RECEIVED, token: 3)) == [1, 2, 3])
        claw_accept_stop(bench.loop, listener)
        claw_close(bench.loop, client, 0)
        #expect(try bench.next(CLAW_RECEIVED, token: 3).result == 0)
    }

    @Test(arguments: Backend.real)
    func sendToAStoppedReaderFallsShortAndWritableComesOnce(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 5)
        let piece = pattern(256 * 1024)
        var sent = 0, last: Int64 = 0
        repeat {
            last = bench.send(fd, piece)
            sent += Int(max(last, 0))
        } while last == Int64(piece.count)
        #expect(last == -Int64(EAGAIN) || last < piece.count)
        bench.wait(milliseconds: 30)
        #expect(bench.take(CLAW_WRITABLE).isEmpty, "the peer has read nothing")
        var received = 0
        let told = bench.until {
            received += peer.readSome()?.count ?? 0
            return bench.events.contains { Int($0.kind) == CLAW_WRITABLE }
        }
        #expect(told)
        while received < sent, peer.ready(POLLIN) { received += peer.readSome()?.count ?? 0 }
        bench.wait(milliseconds: 30)
        #expect(received == sent)
        #expect(bench.take(CLAW_WRITABLE, token: 5).count == 1)
        #expect(bench.send(fd, [1]) == 1)
    }

    @Test(arguments: Backend.real)
    func staleEventForReusedDescriptorIsDropped(_ backend: Backend) throws {
        let bench = Bench(backend), listener = Listener()
        // A number nobody else in this process gets by chance.
        let old = Peer(connectingTo: listener.address), oldFd = move(listener.accept(), to: 15_000 + Int32(backend.rawValue))
        let new = Peer(connectingTo: listener.address), next = listener.accept()
        #expect(claw_attach(bench.loop, oldFd, 10) == 0)
        claw_receive(bench.loop, oldFd, buffered)
        bench.wait()                       // receiving is under way in the kernel
        let inUse = claw_buffers_in_use(bench.loop)
        old.write(pattern(100))
        #expect(claw_close(bench.loop, oldFd, 0) == 0)
        let newFd = move(next, to: oldFd)
        #expect(newFd == oldFd)
        #expect(claw_attach(bench.loop, newFd, 11) == 0)
        claw_receive(bench.loop, newFd, buffered)
        bench.wait(milliseconds: 30)
        #expect(bench.events.isEmpty, "what came for the old owner surfaces nowhere")
        new.write([42])
        let event = try bench.next(CLAW_RECEIVED)
        #expect(event.token == 11)
        #expect(bench.bytes(event) == [42])
        #expect(bench.until { claw_buffers_in_use(bench.loop) == inUse }, "the late buffer went back")
    }

    @Test(arguments: Backend.real)
    func closedSocketTellsNothingMore(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 4)
        claw_receive(bench.loop, fd, buffered)
        bench.wait()
        peer.write(pattern(5000))
        claw_close(bench.loop, fd, 0)
        peer.close()
        bench.wait(milliseconds: 30)
        #expect(bench.events.isEmpty)
        #expect(claw_receive(bench.loop, fd, off) == -EBADF)
        #expect(bench.send(fd, [1]) == -Int64(EBADF))
    }

    @Test(arguments: Backend.real)
    func halfClosedConnectionStillSends(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 6)
        claw_receive(bench.loop, fd, buffered)
        peer.write(Array("request".utf8))
        peer.shutdownWrite()
        #expect(bench.bytes(try bench.next(CLAW_RECEIVED)) == Array("request".utf8))
        #expect(try bench.next(CLAW_RECEIVED).result == 0)
        #expect(bench.send(fd, Array("answer".utf8)) == 6)
        #expect(peer.read(6) == Array("answer".utf8))
        #expect(claw_shutdown_send(bench.loop, fd) == 0)
        #expect(peer.read() == [])
        bench.wait(milliseconds: 20)
        #expect(bench.events.isEmpty, "the end is told once")
    }

    @Test(arguments: Backend.real)
    func ourEndStillReceives(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 6)
        claw_receive(bench.loop, fd, buffered)
        #expect(claw_shutdown_send(bench.loop, fd) == 0)
        #expect(peer.read() == [])
        peer.write([9, 9])
        #expect(bench.bytes(try bench.next(CLAW_RECEIVED)) == [9, 9])
        peer.close()
        #expect(try bench.next(CLAW_RECEIVED).result == 0)
    }

    @Test(arguments: Backend.real)
    func sendAfterPeerIsGoneIsAnErrorAndNoSignal(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 6)
        peer.reset()
        let gone = bench.until { [-Int64(EPIPE), -Int64(ECONNRESET)].contains(bench.send(fd, [1])) }
        #expect(gone)
        #expect(bench.send(fd, [1]) == -Int64(EPIPE))
    }

    @Test(arguments: Backend.real)
    func closeDeliversWhatWasSent(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 6)
        claw_receive(bench.loop, fd, buffered)
        bench.wait()
        let sent = Int(bench.send(fd, pattern(1 << 20)))
        #expect(sent > 0)
        claw_close(bench.loop, fd, 0)
        #expect(peer.read() == Array(pattern(1 << 20)[..<sent]))
        #expect(peer.error == 0)
    }

    @Test(arguments: Backend.real)
    func resetReachesThePeerAtOnce(_ backend: Backend) throws {
        for armed in [false, true] {
            let bench = Bench(backend), (fd, peer) = try bench.connection(token: 6)
            if armed {
                claw_receive(bench.loop, fd, buffered)
                bench.wait()
            }
            claw_close(bench.loop, fd, 1)
            #expect(peer.ready(POLLIN))
            #expect(peer.readSome() == [])
            #expect(peer.error == ECONNRESET)
        }
    }

    @Test(arguments: Backend.real)
    func retokenedSocketTellsUnderItsNewToken(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 6)
        claw_receive(bench.loop, fd, buffered)
        bench.wait()
        peer.write([1])
        #expect(claw_retoken(bench.loop, fd, 60) == 0)
        #expect(bench.bytes(try bench.next(CLAW_RECEIVED, token: 60)) == [1])
    }

    @Test(arguments: Backend.real)
    func slicesAreSentInOrder(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, peer) = try bench.connection(token: 6)
        let bytes = pattern(640)
        bytes.withUnsafeBytes { raw in
            let slices = (0..<64).map { claw_slice(base: raw.baseAddress! + $0 * 10, length: 10) }
            #expect(claw_send(bench.loop, fd, slices, 64) == 640)
            #expect(claw_send(bench.loop, fd, slices, 65) == -Int64(EINVAL))
            #expect(claw_send(bench.loop, fd, slices, 0) == 0)
            let absurd = [claw_slice(base: raw.baseAddress, length: .max), claw_slice(base: raw.baseAddress, length: 2)]
            #expect(claw_send(bench.loop, fd, absurd, 2) == -Int64(EINVAL))
        }
        #expect(peer.read(640) == bytes)
    }

    @Test(arguments: Backend.real)
    func twoHundredConnectionsComeAndGo(_ backend: Backend) throws {
        let bench = Bench(backend), listener = Listener()
        #expect(claw_accept_start(bench.loop, listener.fd, 1) == 0)
        for round in 0..<4 {
            let peers = (0..<50).map { _ in Peer(connectingTo: listener.address) }
            for (i, peer) in peers.enumerated() { peer.write(pattern(200, seed: i)) }
            var servers: [Int32] = []
            for i in 0..<50 {
                let fd = try bench.next(CLAW_ACCEPTED).result
                #expect(claw_attach(bench.loop, fd, UInt64(100 + i)) == 0)
                claw_receive(bench.loop, fd, buffered)
                servers.append(fd)
            }
            for i in 0..<50 {
                var echo: [UInt8] = []
                while echo.count < 200 { echo += bench.bytes(try bench.next(CLAW_RECEIVED, token: UInt64(100 + i))) }
                #expect(bench.send(servers[i], echo) == 200)
            }
            #expect(Set(peers.map { $0.read(200) }).count == 50, "round \(round): each got an own echo")
            for (i, fd) in servers.enumerated() { claw_close(bench.loop, fd, Int32(i % 2)) }
            _ = bench.take(CLAW_RECEIVED)
        }
        bench.wait(milliseconds: 20)
        #expect(bench.events.isEmpty)
        let lent: UInt32 = backend == .uring ? 64 : 0
        #expect(bench.until { claw_buffers_in_use(bench.loop) <= lent }, "no buffer got lost")
    }
}

/// The same socket under another number.
private func move(_ fd: Int32, to number: Int32) -> Int32 {
    defer { close(fd) }
    return dup2(fd, number)
}
