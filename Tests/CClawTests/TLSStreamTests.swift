import CClaw
import Glibc
import Testing

/// Bytes through secure sockets, on both kernel backends: they behave like plain ones, and an end that nobody signed is an error.
@Suite struct TLSStreamTests {
    private func secured(_ backend: Backend, buffers: UInt32 = 256, bufferBytes: UInt32 = 16384, tickets: OpaquePointer? = nil) throws -> Wire {
        let wire = try Wire(Bench(backend, bufferBytes: bufferBytes, buffers: buffers), server: TLSSettings(tickets: tickets), client: TLSSettings(clientTrusting: "ca.pem"))
        let results = try wire.shake()
        try #require(results == (0, 0))
        return wire
    }

    /// A connection without the test's hands in between, so that the kernel's buffers are the only ones: the server's end and the client's.
    private func direct(_ bench: Bench, server: TLSSettings = TLSSettings(), client: TLSSettings = TLSSettings(clientTrusting: "ca.pem")) throws -> (Int32, Int32) {
        let listener = Listener()
        var address = listener.address
        let clientEnd = claw_connect(bench.loop, &address, Wire.client), serverEnd = listener.accept()
        try #require(claw_attach(bench.loop, serverEnd, Wire.server) == 0)
        _ = try bench.next(CLAW_CONNECTED)
        try #require(server.secureServer(bench.loop, serverEnd) == 0)
        try #require(client.secureClient(bench.loop, clientEnd, "localhost") == 0)
        for token in [Wire.server, Wire.client] { try #require(try bench.next(CLAW_SECURED, token: token).result == 0) }
        return (serverEnd, clientEnd)
    }

    /// Sends all of it from one end and takes it in at the other.
    private func move(_ bench: Bench, _ bytes: [UInt8], from: Int32, to: Int32, token: UInt64, pause: Bool = false) -> [UInt8] {
        var rest = bytes[...], got: [UInt8] = []
        var mayWrite = true
        var turns = 0
        _ = bench.until {
            while mayWrite, !rest.isEmpty {
                let piece = Array(rest.prefix(100_000)), n = bench.send(from, piece)
                rest = rest.dropFirst(max(0, Int(n)))
                mayWrite = n == Int64(piece.count)
            }
            if !bench.take(CLAW_WRITABLE).isEmpty { mayWrite = true }
            for event in bench.take(CLAW_RECEIVED, token: token) { got += bench.bytes(event) }
            turns += 1
            if pause { claw_receive(bench.loop, to, turns % 3 == 0 ? off : buffered) }
            return got.count >= bytes.count
        }
        return got
    }

    @Test(arguments: Backend.real)
    func smallMessagesGoBothWays(_ backend: Backend) throws {
        let bench = Bench(backend), (server, client) = try direct(bench)
        claw_receive(bench.loop, server, buffered)
        claw_receive(bench.loop, client, buffered)
        for round in 0..<50 {
            let words = pattern(64, seed: round)
            #expect(bench.send(client, words) == 64)
            #expect(bench.bytes(try bench.next(CLAW_RECEIVED, token: Wire.server)) == words)
            #expect(bench.send(server, words) == 64)
            #expect(bench.bytes(try bench.next(CLAW_RECEIVED, token: Wire.client)) == words)
        }
        #expect(claw_buffers_in_use(bench.loop) <= (backend == .uring ? 64 : 0))
    }

    @Test(arguments: Backend.real)
    func slicesBecomeOneRecord(_ backend: Backend) throws {
        let wire = try secured(backend)
        wire.toClient = []
        let whole = pattern(3000)
        let sent = whole.withUnsafeBytes { raw in
            var slices = (0..<30).map { claw_slice(base: raw.baseAddress! + $0 * 100, length: 100) }
            slices.insert(claw_slice(base: raw.baseAddress, length: 0), at: 7)
            slices.append(claw_slice(base: raw.baseAddress, length: 0))
            return claw_send(wire.bench.loop, wire.serverEnd, slices, Int32(slices.count))
        }
        #expect(sent == 3000)
        claw_receive(wire.bench.loop, wire.clientEnd, buffered)
        #expect(wire.bench.bytes(try wire.next(CLAW_RECEIVED, token: Wire.client)) == whole)
        #expect(wire.toClient.count == 5 + 3000 + 1 + 16, "one record: \(wire.toClient.count)")
    }

    @Test(arguments: Backend.real)
    func recordsThatArriveTogetherShareABuffer(_ backend: Backend) throws {
        let wire = try secured(backend)
        wire.grain = 0
        for i in 0..<20 { #expect(wire.bench.send(wire.clientEnd, pattern(100, seed: i * 100)) == 100) }
        for _ in 0..<20 { wire.carry() }
        wire.grain = 1 << 20
        wire.carry()
        claw_receive(wire.bench.loop, wire.serverEnd, buffered)
        #expect(wire.bench.bytes(try wire.next(CLAW_RECEIVED, token: Wire.server)) == pattern(2000))
    }

    @Test(arguments: Backend.real, [false, true])
    func megabytesGoBothWaysThroughBackPressure(_ backend: Backend, _ pause: Bool) throws {
        let bench = Bench(backend), (server, client) = try direct(bench), body = pattern(6 << 20)
        claw_receive(bench.loop, server, buffered)
        claw_receive(bench.loop, client, buffered)
        #expect(move(bench, body, from: client, to: server, token: Wire.server, pause: pause) == body)
        #expect(move(bench, body, from: server, to: client, token: Wire.client, pause: pause) == body)
    }

    @Test(arguments: Backend.real)
    func recordsCutAnywhereComeThrough(_ backend: Backend) throws {
        let wire = try secured(backend), body = pattern(40_000)
        claw_receive(wire.bench.loop, wire.serverEnd, buffered)
        #expect(wire.bench.send(wire.clientEnd, body) == 40_000)
        wire.grain = 777
        var got: [UInt8] = []
        #expect(wire.until {
            for event in wire.bench.take(CLAW_RECEIVED) { got += wire.bench.bytes(event) }
            return got.count >= body.count
        })
        #expect(got == body)
    }

    @Test(arguments: Backend.real)
    func aSenderThatIsStoppedGoesOnWhereItWas(_ backend: Backend) throws {
        let bench = Bench(backend), (server, client) = try direct(bench)
        let body = pattern(16 << 20)
        var sent = 0, rounds = 0
        while true {
            let n = bench.send(server, Array(body[sent..<min(sent + 50_000, body.count)]))
            if n == -Int64(EAGAIN) { break }
            try #require(n > 0)
            sent += Int(n)
            rounds += 1
            try #require(sent < body.count, "the client reads nothing: sending stops")
            bench.wait()
            bench.take(CLAW_WRITABLE)
        }
        #expect(bench.send(server, Array(body[sent..<sent + 3])) == -Int64(EAGAIN), "fewer bytes are no other record")
        claw_receive(bench.loop, client, buffered)
        var got: [UInt8] = []
        // Offered one byte at a time, the bytes of the record that was stuck are counted and not sent twice.
        #expect(bench.until {
            for event in bench.take(CLAW_RECEIVED) { got += bench.bytes(event) }
            return !bench.take(CLAW_WRITABLE).isEmpty
        })
        for _ in 0..<20_000 {
            let n = bench.send(server, [body[sent]])
            if n == 1 { sent += 1 } else { bench.wait() }
            for event in bench.take(CLAW_RECEIVED) { got += bench.bytes(event) }
        }
        #expect(bench.until {
            for event in bench.take(CLAW_RECEIVED) { got += bench.bytes(event) }
            return got.count >= sent
        })
        #expect(got == Array(body[..<sent]))
    }

    @Test(arguments: Backend.real)
    func readableModeReadsAMebibyte(_ backend: Backend) throws {
        let bench = Bench(backend), (server, client) = try direct(bench), body = pattern(1 << 20)
        claw_receive(bench.loop, server, readable)
        var rest = body[...], got: [UInt8] = []
        var end: Int64 = 1
        #expect(bench.until {
            if !rest.isEmpty {
                let n = bench.send(client, Array(rest.prefix(200_000)))
                rest = rest.dropFirst(max(0, Int(n)))
                if rest.isEmpty { claw_shutdown_send(bench.loop, client) }
            }
            for _ in bench.take(CLAW_READABLE, token: Wire.server) {
                while true {
                    let (n, bytes) = bench.receive(server, length: 30_000)
                    got += bytes
                    if n <= 0, n != -Int64(EAGAIN) { end = n }
                    if n < 30_000 { break }
                }
            }
            bench.take(CLAW_WRITABLE)
            return end <= 0
        })
        #expect(end == 0, "a clean end")
        #expect(got == body)
        #expect(bench.take(CLAW_RECEIVED).isEmpty)
        #expect(bench.receive(server, length: 10).0 == 0, "the end stays the end")
    }

    @Test(arguments: Backend.real)
    func waitingForManyBytesNeverWaitsForTooMany(_ backend: Backend) throws {
        for size in [40_000, 100_000, 300_001] {
            let wire = try secured(backend), bench = wire.bench, body = pattern(size)
            claw_receive(bench.loop, wire.serverEnd, readable)
            var rest = body[...], got: [UInt8] = []
            var asked: UInt32 = 1
            // Records of 16 KiB that arrive in pieces: OpenSSL always holds a part of one.
            wire.grain = 5_000
            let whole = wire.until {
                let n = rest.isEmpty ? 0 : bench.send(wire.clientEnd, Array(rest))
                rest = rest.dropFirst(max(0, Int(n)))
                for _ in bench.take(CLAW_READABLE, token: Wire.server) {
                    got += bench.receive(wire.serverEnd, length: size - got.count).1
                    let wanted = UInt32(max(1, min(size - got.count, 200_000)))
                    if wanted != asked { #expect(claw_receive_at_least(bench.loop, wire.serverEnd, wanted) == 0) }
                    asked = wanted
                }
                bench.take(CLAW_WRITABLE)
                return got.count == size
            }
            #expect(whole, "\(got.count) of \(size)")
            #expect(got == body)
        }
    }

    @Test(arguments: Backend.real)
    func aReaderThatStopsEarlyIsToldAgain(_ backend: Backend) throws {
        let bench = Bench(backend), (server, client) = try direct(bench)
        claw_receive(bench.loop, server, readable)
        #expect(bench.send(client, pattern(1000)) == 1000)
        _ = try bench.next(CLAW_READABLE)
        bench.wait(milliseconds: 10)
        #expect(bench.take(CLAW_READABLE).isEmpty, "told once until claw_recv made progress")
        #expect(bench.receive(server, length: 100).0 == 100)
        _ = try bench.next(CLAW_READABLE)
        #expect(bench.receive(server, length: 2000).1 == Array(pattern(1000)[100...]))
        #expect(bench.receive(server, length: 10).0 == -Int64(EAGAIN))
        bench.wait(milliseconds: 10)
        #expect(bench.events.isEmpty)
        #expect(bench.send(client, [7]) == 1)
        _ = try bench.next(CLAW_READABLE)
        #expect(bench.receive(server, length: 10).1 == [7])
    }

    @Test(arguments: Backend.real)
    func whatWasDecryptedAlreadyIsFoundAfterAPause(_ backend: Backend) throws {
        let bench = Bench(backend, bufferBytes: 4096), (server, client) = try direct(bench), body = pattern(12_000)
        #expect(bench.send(client, body) == 12_000)
        claw_receive(bench.loop, server, buffered)
        let first = bench.bytes(try bench.next(CLAW_RECEIVED))
        claw_receive(bench.loop, server, off)
        var got = first
        for event in bench.take(CLAW_RECEIVED) { got += bench.bytes(event) }
        bench.wait(milliseconds: 10)
        #expect(bench.events.isEmpty, "paused")
        for mode in [readable, off, buffered] { claw_receive(bench.loop, server, mode) }
        #expect(bench.until {
            for event in bench.take(CLAW_RECEIVED) { got += bench.bytes(event) }
            return got.count >= 12_000
        })
        #expect(got == body)
    }

    @Test(arguments: Backend.real)
    func aPausedReceiverTakesNothingFromTheKernel(_ backend: Backend) throws {
        let bench = Bench(backend), (_, client) = try direct(bench)
        var sent = 0
        while true {
            let n = bench.send(client, pattern(100_000))
            if n < 0 { break }
            sent += Int(n)
            bench.wait()
            bench.take(CLAW_WRITABLE)
            try #require(sent < 64 << 20, "the kernel's buffers are the bound")
        }
        bench.wait(milliseconds: 10)
        #expect(bench.take(CLAW_RECEIVED).isEmpty)
    }

    @Test(arguments: Backend.real)
    func fewBuffersAreEnough(_ backend: Backend) throws {
        let bench = Bench(backend, bufferBytes: 4096, buffers: 2), (server, client) = try direct(bench), body = pattern(200_000)
        claw_receive(bench.loop, server, buffered)
        #expect(move(bench, body, from: client, to: server, token: Wire.server) == body)
    }

    // ---- ends

    @Test(arguments: Backend.real)
    func aGoodbyeIsACleanEnd(_ backend: Backend) throws {
        for closing in [true, false] {
            let bench = Bench(backend), (server, client) = try direct(bench)
            claw_receive(bench.loop, server, buffered)
            #expect(bench.send(client, pattern(500)) == 500)
            if closing { claw_close(bench.loop, client, 0) } else { #expect(claw_shutdown_send(bench.loop, client) == 0) }
            #expect(bench.bytes(try bench.next(CLAW_RECEIVED)) == pattern(500))
            #expect(try bench.next(CLAW_RECEIVED).result == 0)
            bench.wait(milliseconds: 5)
            #expect(bench.events.isEmpty)
            guard !closing else { continue }
            claw_receive(bench.loop, client, buffered)
            #expect(bench.send(client, [1]) == -Int64(EPIPE), "its side is over")
            #expect(bench.send(server, pattern(300)) == 300, "the other goes on")
            #expect(bench.bytes(try bench.next(CLAW_RECEIVED, token: Wire.client)) == pattern(300))
        }
    }

    @Test(arguments: Backend.real)
    func TL_09_anEndWithoutGoodbyeIsNoCleanEnd(_ backend: Backend) throws {
        for mode in [buffered, readable] {
            for cut in [0, 250] {
                let wire = try secured(backend)
                #expect(wire.bench.send(wire.clientEnd, pattern(500)) == 500)
                let record = wire.atClient.read(5 + 500 + 1 + 16)
                wire.atServer.write(record.dropLast(cut == 0 ? 0 : cut))
                wire.atServer.shutdownWrite()
                claw_receive(wire.bench.loop, wire.serverEnd, mode)
                var got: [UInt8] = [], end: Int64 = 1
                #expect(wire.bench.until {
                    for event in wire.bench.take(CLAW_RECEIVED) {
                        got += wire.bench.bytes(event)
                        if event.result <= 0 { end = Int64(event.result) }
                    }
                    for _ in wire.bench.take(CLAW_READABLE) {
                        let (n, bytes) = wire.bench.receive(wire.serverEnd, length: 1000)
                        got += bytes
                        if n <= 0, n != -Int64(EAGAIN) { end = n }
                    }
                    return end <= 0
                })
                #expect(end == -Int64(EPROTO))
                #expect(got == (cut == 0 ? pattern(500) : []))
                #expect(wire.facts(Wire.server).reason == "the connection ended without close_notify")
                if mode == readable { #expect(wire.bench.receive(wire.serverEnd, length: 10).0 == -Int64(EPROTO), "and stays one") }
            }
        }
    }

    @Test(arguments: Backend.real)
    func aChangedRecordEndsTheConnection(_ backend: Backend) throws {
        let wire = try secured(backend)
        claw_receive(wire.bench.loop, wire.serverEnd, buffered)
        wire.rewrite = { bytes in bytes.enumerated().map { $0 == 20 ? $1 ^ 1 : $1 } }
        #expect(wire.bench.send(wire.clientEnd, pattern(500)) == 500)
        #expect(try wire.next(CLAW_RECEIVED, token: Wire.server).result == -EPROTO)
        #expect(wire.facts(Wire.server).reason == "decryption failed or bad record mac")
        #expect(wire.bench.send(wire.serverEnd, [1]) < 0)
        claw_receive(wire.bench.loop, wire.clientEnd, buffered)
        #expect(try wire.next(CLAW_RECEIVED, token: Wire.client).result == -EPROTO, "the client hears an alert")
    }

    @Test(arguments: Backend.real)
    func aResetIsTold(_ backend: Backend) throws {
        for mode in [buffered, readable, off] {
            let bench = Bench(backend), (server, client) = try direct(bench)
            claw_receive(bench.loop, server, mode)
            bench.wait(milliseconds: 2)
            claw_close(bench.loop, client, 1)
            let kind = mode == buffered ? CLAW_RECEIVED : CLAW_HUNGUP
            #expect(try bench.next(kind, token: Wire.server).result == -ECONNRESET)
            if mode == readable { #expect(bench.receive(server, length: 10).0 == -Int64(ECONNRESET)) }
            _ = bench.take(CLAW_READABLE)
            bench.wait(milliseconds: 5)
            #expect(bench.events.isEmpty, "told once")
        }
    }

    @Test(arguments: Backend.real)
    func anEndWhilePausedHangsUpWithZeroAndBytesComeLater(_ backend: Backend) throws {
        let bench = Bench(backend), (server, client) = try direct(bench)
        bench.wait()
        #expect(bench.send(client, pattern(300)) == 300)
        claw_close(bench.loop, client, 0)
        #expect(try bench.next(CLAW_HUNGUP).result == 0)
        bench.wait(milliseconds: 5)
        #expect(bench.events.isEmpty, "told once")
        claw_receive(bench.loop, server, buffered)
        #expect(bench.bytes(try bench.next(CLAW_RECEIVED)) == pattern(300))
        #expect(try bench.next(CLAW_RECEIVED).result == 0)
    }

    @Test(arguments: Backend.real)
    func sendingDuringTheHandshakeWaitsForIt(_ backend: Backend) throws {
        let bench = Bench(backend), wire = try Wire(bench, server: TLSSettings(), client: TLSSettings(clientTrusting: "ca.pem"))
        #expect(bench.send(wire.clientEnd, [1, 2, 3]) == -Int64(EAGAIN))
        #expect(bench.receive(wire.clientEnd, length: 10).0 == -Int64(EAGAIN))
        claw_receive(bench.loop, wire.serverEnd, buffered)
        _ = try wire.next(CLAW_WRITABLE, token: Wire.client)
        #expect(bench.send(wire.clientEnd, [1, 2, 3]) == 3)
        #expect(bench.bytes(try wire.next(CLAW_RECEIVED, token: Wire.server)) == [1, 2, 3])
    }

    @Test(arguments: Backend.real)
    func closingOneHundredInTheMiddleLeavesNothingBehind(_ backend: Backend) throws {
        let bench = Bench(backend), server = TLSSettings(), client = TLSSettings(clientTrusting: "ca.pem")
        for round in 0..<100 {
            let wire = try Wire(bench, server: server, client: client)
            for _ in 0..<round % 7 { wire.carry(); bench.wait() }
            claw_close(bench.loop, wire.serverEnd, Int32(round & 1))
            claw_close(bench.loop, wire.clientEnd, 0)
            bench.forget()
        }
        bench.wait(milliseconds: 5)
        #expect(bench.events.isEmpty)
        #expect(claw_handshakes(bench.loop) == 0)
    }
}
