import CClaw
import Glibc
import Testing

/// Handshakes on both kernel backends: what comes of them, for whom, and what a peer that misbehaves can do.
@Suite struct TLSHandshakeTests {
    private let trusting = TLSSettings(clientTrusting: "ca.pem")

    /// What a handshake of these two comes to.
    private func shake(_ backend: Backend, _ server: TLSSettings, _ client: TLSSettings, host: String = "localhost") throws -> (wire: Wire, server: Int, client: Int) {
        let wire = try Wire(Bench(backend), server: server, client: client, host: host)
        let results = try wire.shake()
        return (wire, results.server, results.client)
    }

    @Test(arguments: Backend.real)
    func bothSidesBecomeSecureAndKnowEachOther(_ backend: Backend) throws {
        let both = CLAW_TLS_ALPN_HTTP1 | CLAW_TLS_ALPN_H2
        let (wire, server, client) = try shake(backend, TLSSettings(), TLSSettings(clientTrusting: "ca.pem", alpn: both))
        #expect((server, client) == (0, 0))
        for token in [Wire.server, Wire.client] {
            let facts = wire.facts(token)
            #expect(facts.version == 13)
            #expect(facts.alpn == CLAW_TLS_ALPN_H2)
            #expect(facts.cipher == "TLS_AES_256_GCM_SHA384")
            #expect(facts.serverName == "localhost")
            #expect(facts.subject == nil && facts.names == nil && facts.reason == nil && !facts.resumed)
        }
        #expect(claw_handshakes(wire.bench.loop) == 0)
    }

    @Test(arguments: Backend.real)
    func TL_04_aClientHelloInSingleBytesIsAccepted(_ backend: Backend) throws {
        let wire = try Wire(Bench(backend), server: TLSSettings(), client: trusting)
        wire.grain = 1
        let results = try wire.shake()
        #expect(results == (0, 0))
    }

    @Test(arguments: Backend.real)
    func TL_04_aClientHelloInRecordsOfOneByteIsAccepted(_ backend: Backend) throws {
        let wire = try Wire(Bench(backend), server: TLSSettings(), client: trusting)
        var first = true
        wire.rewrite = { bytes in
            defer { first = false }
            return first ? bytes[5...].flatMap { [22, 3, 1, 0, 1, $0] } : bytes
        }
        let results = try wire.shake()
        #expect(results == (0, 0))
    }

    @Test(arguments: Backend.real)
    func TL_04_sixteenKilobytesOfExtensionsAreAnsweredOrAlerted(_ backend: Backend) throws {
        let wire = try Wire(Bench(backend), server: TLSSettings(), client: trusting)
        wire.rewrite = { Self.withExtension(of: 15_000, $0) }
        #expect(wire.until { wire.toClient.count >= 5 })
        #expect([21, 22].contains(wire.toClient[0]), "an alert or a ServerHello")
        _ = try wire.next(CLAW_SECURED, token: Wire.client)
    }

    /// A ClientHello in one record with one more extension, of a kind nobody knows.
    private static func withExtension(of length: Int, _ hello: [UInt8]) -> [UInt8] {
        func two(_ n: Int) -> [UInt8] { [UInt8(n >> 8), UInt8(n & 255)] }
        var at = 5 + 4 + 2 + 32
        at += 1 + Int(hello[at])
        at += 2 + Int(hello[at]) << 8 + Int(hello[at + 1])
        at += 1 + Int(hello[at])
        let before = Array(hello[9..<at]), extensions = Array(hello[(at + 2)...]) + [0x7a, 0x7a] + two(length) + [UInt8](repeating: 0, count: length)
        let body = before + two(extensions.count) + extensions
        return [22, 3, 1] + two(body.count + 4) + [1, 0] + two(body.count) + body
    }

    @Test(arguments: Backend.real)
    func plainHTTPIsRecognisedAndAnsweredInPlain(_ backend: Backend) throws {
        for words in ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "OPTIONS * HTTP/1.1\r\n\r\n"] {
            for grain in [1, 1000] {
                let wire = try Wire(Bench(backend), server: TLSSettings(), client: nil)
                wire.grain = grain
                var rest = Array(words.utf8)[...]
                var told: claw_event?
                _ = wire.bench.until {
                    rest = rest.dropFirst(wire.atServer.writeSome(rest.prefix(grain)))
                    wire.bench.wait()
                    told = wire.bench.take(CLAW_SECURED).first
                    return told != nil
                }
                #expect(told?.result == Int32(CLAW_TLS_PLAIN_HTTP))
                #expect(wire.facts(Wire.server).reason == "an HTTP request in clear text")
                #expect(wire.bench.send(wire.serverEnd, Array("HTTP/1.1 400\r\n\r\n".utf8)) == 16)
                claw_close(wire.bench.loop, wire.serverEnd, 0)
                if grain > 1 { #expect(wire.atServer.read() == Array("HTTP/1.1 400\r\n\r\n".utf8), "and nothing of TLS") }
            }
        }
    }

    @Test(arguments: Backend.real)
    func garbageEndsTheHandshake(_ backend: Backend) throws {
        for bytes in [[UInt8](repeating: 0, count: 100), Array("GARBAGE\r\n\r\n".utf8), [22, 3, 1, 0xff, 0xff] + pattern(200), [128, 46, 1, 0, 2]] {
            let wire = try Wire(Bench(backend), server: TLSSettings(), client: nil)
            wire.atServer.write(bytes)
            wire.atServer.shutdownWrite()
            let event = try wire.bench.next(CLAW_SECURED)
            #expect([CLAW_TLS_FAILED, CLAW_TLS_GONE].contains(Int(event.result)))
            #expect(wire.facts(Wire.server).reason != nil)
            #expect(wire.bench.send(wire.serverEnd, [1]) == -Int64(EPIPE))
            wire.bench.wait(milliseconds: 5)
            #expect(wire.bench.events.isEmpty, "nothing more is told")
        }
    }

    @Test(arguments: Backend.real)
    func TL_03_aHandshakeThatStallsIsCountedUntilItIsClosed(_ backend: Backend) throws {
        let bench = Bench(backend), settings = TLSSettings()
        let connections = try (0..<20).map { try bench.connection(token: 100 + UInt64($0)) }
        for (fd, peer) in connections {
            #expect(settings.secureServer(bench.loop, fd) == 0)
            peer.write([22, 3, 1, 0, 200, 1])
        }
        for _ in 0..<5 { bench.wait(milliseconds: 5) }
        #expect(bench.events.isEmpty)
        #expect(claw_handshakes(bench.loop) == 20)
        for (fd, _) in connections { claw_close(bench.loop, fd, 0) }
        #expect(claw_handshakes(bench.loop) == 0)
        bench.wait()
        #expect(bench.events.isEmpty)
    }

    @Test(arguments: Backend.real)
    func aPeerThatLeavesInTheMiddleIsGone(_ backend: Backend) throws {
        for reset in [true, false] {
            let wire = try Wire(Bench(backend), server: TLSSettings(), client: nil)
            wire.atServer.write([22, 3, 1, 0, 200, 1])
            wire.bench.wait(milliseconds: 5)
            if reset { wire.atServer.reset() } else { wire.atServer.close() }
            #expect(try wire.bench.next(CLAW_SECURED).result == Int32(CLAW_TLS_GONE))
            wire.bench.wait(milliseconds: 5)
            #expect(wire.bench.events.isEmpty)
        }
    }

    @Test(arguments: Backend.real)
    func bytesReceivedBeforeTLSAreNotLost(_ backend: Backend) throws {
        let bench = Bench(backend), settings = TLSSettings()
        let (serverEnd, atServer) = try bench.connection(token: 1), (clientEnd, atClient) = try bench.connection(token: 2)
        #expect(trusting.secureClient(bench.loop, clientEnd, "localhost") == 0)
        bench.wait(milliseconds: 5)
        let hello = atClient.read(100)
        claw_receive(bench.loop, serverEnd, readable)
        atServer.write(Array("PROXY UNKNOWN\r\n".utf8) + hello)
        var got: [UInt8] = []
        #expect(bench.until { got += bench.receive(serverEnd, length: 200).1; return got.count == 115 })
        #expect(settings.secureServer(bench.loop, serverEnd, after: Array(got[15...])) == 0)
        var done: [UInt64] = []
        #expect(bench.until {
            if let some = atClient.readSome() { atServer.write(some) }
            if let some = atServer.readSome() { atClient.write(some) }
            done += bench.take(CLAW_SECURED).filter { $0.result == 0 }.map(\.token)
            return done.count == 2
        })
    }

    @Test(arguments: Backend.real)
    func aLongChainGoesThroughASmallBufferInSteps(_ backend: Backend) throws {
        let wire = try Wire(Bench(backend), server: TLSSettings(server: [("long.pem", "server.key")]), client: trusting)
        var small: Int32 = 2048
        setsockopt(wire.serverEnd, SOL_SOCKET, SO_SNDBUF, &small, 4)
        setsockopt(wire.atServer.fd, SOL_SOCKET, SO_RCVBUF, &small, 4)
        wire.grain = 500
        let results = try wire.shake()
        #expect(results == (0, 0))
        #expect(wire.toClient.count > 10_000)
    }

    @Test(arguments: Backend.real)
    func aBitChangedAnywhereHarmsNobodyElse(_ backend: Backend) throws {
        let bench = Bench(backend), server = TLSSettings(clients: CLAW_TLS_CLIENT_OPTIONAL)
        let client = TLSSettings(clientTrusting: "ca.pem", pair: ("client.pem", "client.key"), alpn: CLAW_TLS_ALPN_H2)
        var failed = 0
        for round in 0..<150 {
            let wire = try Wire(bench, server: server, client: client)
            let at = round * 13
            var passed = 0
            wire.rewrite = { bytes in
                defer { passed += bytes.count }
                return bytes.indices.map { $0 + passed == at ? bytes[$0] ^ UInt8(1 << (round & 7)) : bytes[$0] }
            }
            claw_receive(bench.loop, wire.serverEnd, buffered)
            for _ in 0..<12 { wire.carry(); bench.wait() }
            for event in bench.take(CLAW_SECURED) where event.result != 0 { failed += 1 }
            claw_close(bench.loop, wire.serverEnd, 0)
            claw_close(bench.loop, wire.clientEnd, 0)
            bench.forget()
        }
        #expect(failed > 50, "most changes are noticed within the handshake: \(failed)")
        #expect(claw_handshakes(bench.loop) == 0)
        let wire = try Wire(bench, server: server, client: client)
        let results = try wire.shake()
        #expect(results == (0, 0))
    }

    // ---- names

    @Test(arguments: Backend.real)
    func TL_06_theNameAskedForChoosesTheCertificate(_ backend: Backend) throws {
        let server = TLSSettings(server: [("server.pem", "server.key"), ("other.pem", "other.key"), ("named.pem", "named.key")])
        let cases: [(String, Int, String?)] = [
            ("localhost", 0, "localhost"), ("OTHER.example", 0, "other.example"), ("plain.example", 0, "plain.example"),
            ("x.apps.example", 0, "x.apps.example"), ("x.y.apps.example", CLAW_TLS_CERTIFICATE, "x.y.apps.example"),
            ("apps.example", CLAW_TLS_CERTIFICATE, "apps.example"), ("ignored.example", CLAW_TLS_CERTIFICATE, "ignored.example"),
            ("127.0.0.1", 0, nil), ("10.0.0.1", CLAW_TLS_CERTIFICATE, nil), ("other.example.", 0, "other.example"),
        ]
        for (host, expected, told) in cases {
            let (wire, _, client) = try shake(backend, server, trusting, host: host)
            #expect(client == expected, "\(host)")
            if expected == 0 { #expect(wire.facts(Wire.server).serverName == told, "\(host)") }
        }
    }

    @Test(arguments: Backend.real)
    func TL_06_strictServersRefuseUnknownAndAbsentNames(_ backend: Backend) throws {
        let server = TLSSettings(server: [("server.pem", "server.key"), ("other.pem", "other.key")], strict: true)
        for (host, expected) in [("localhost", 0), ("other.example", 0), ("unknown.example", CLAW_TLS_NAME), ("127.0.0.1", CLAW_TLS_NAME)] {
            let (wire, result, client) = try shake(backend, server, trusting, host: host)
            #expect(result == expected, "\(host)")
            #expect((client == 0) == (expected == 0))
            if expected != 0 { #expect(wire.facts(Wire.client).reason?.contains("unrecognized name") == true) }
        }
    }

    @Test(arguments: Backend.real)
    func TL_05_applicationProtocols(_ backend: Backend) throws {
        let http1 = CLAW_TLS_ALPN_HTTP1, h2 = CLAW_TLS_ALPN_H2
        let cases: [(server: Int, client: Int, chosen: Int?)] = [
            (http1 | h2, http1 | h2, h2), (http1 | h2, http1, http1), (http1, http1 | h2, http1), (h2, http1 | h2, h2),
            (http1 | h2, 0, 0), (h2, 0, 0), (h2, http1, nil), (http1, h2, nil),
        ]
        for (offered, asked, chosen) in cases {
            let (wire, server, client) = try shake(backend, TLSSettings(alpn: offered), TLSSettings(clientTrusting: "ca.pem", alpn: asked))
            let expected = chosen == nil ? CLAW_TLS_PROTOCOL : 0
            #expect((server, client) == (expected, expected))
            if let chosen { #expect(wire.facts(Wire.server).alpn == chosen && wire.facts(Wire.client).alpn == chosen) }
        }
    }

    // ---- certificates

    @Test(arguments: Backend.real)
    func TL_10_aServersCertificateIsChecked(_ backend: Backend) throws {
        let good = TLSSettings(), rogue = TLSSettings(server: [("impostor.pem", "impostor.key")])
        let cases: [(TLSSettings, TLSSettings, String, String?)] = [
            (good, trusting, "localhost", nil), (good, trusting, "elsewhere.example", "hostname mismatch"),
            (good, trusting, "10.1.1.1", "IP address mismatch"), (good, TLSSettings(clientTrusting: "rogue.pem"), "localhost", "unable to get local issuer certificate"),
            (rogue, trusting, "localhost", "unable to get local issuer certificate"), (rogue, TLSSettings(clientTrusting: nil, skip: true), "any", nil),
        ]
        for (server, client, host, words) in cases {
            let (wire, atServer, atClient) = try shake(backend, server, client, host: host)
            #expect(atClient == (words == nil ? 0 : CLAW_TLS_CERTIFICATE))
            #expect(wire.facts(Wire.client).reason == words)
            if words != nil { #expect(atServer == CLAW_TLS_FAILED, "the server hears an alert") }
        }
    }

    @Test(arguments: Backend.real)
    func TL_07_clientCertificatesAreVerifiedAndTold(_ backend: Backend) throws {
        let required = TLSSettings(clients: CLAW_TLS_CLIENT_REQUIRED), optional = TLSSettings(clients: CLAW_TLS_CLIENT_OPTIONAL)
        let known = TLSSettings(clientTrusting: "ca.pem", pair: ("client.pem", "client.key"))
        let unknown = TLSSettings(clientTrusting: "ca.pem", pair: ("impostor.pem", "impostor.key"))
        for server in [required, optional] {
            let (wire, result, _) = try shake(backend, server, known)
            #expect(result == 0)
            #expect(wire.facts(Wire.server).subject == "CN=robot,O=Acme")
            #expect(wire.facts(Wire.server).names == "DNS:robot.acme,URI:spiffe://acme/robot,email:r@acme.example,IP:10.0.0.7")
            let refused = try shake(backend, server, unknown)
            #expect(refused.server == CLAW_TLS_CERTIFICATE)
            #expect(refused.wire.facts(Wire.server).reason == "unable to get local issuer certificate")
            #expect(refused.wire.facts(Wire.server).subject == nil)
        }
        let without = try shake(backend, required, trusting)
        #expect(without.server == CLAW_TLS_CERTIFICATE)
        #expect(without.wire.facts(Wire.server).reason == "no certificate was sent")
        let anybody = try shake(backend, optional, trusting)
        #expect(anybody.server == 0 && anybody.wire.facts(Wire.server).subject == nil)
    }

    @Test(arguments: Backend.real)
    func TL_07_namesInACertificateCannotPretendToBeOthers(_ backend: Backend) throws {
        let server = TLSSettings(clients: CLAW_TLS_CLIENT_REQUIRED)
        let (wire, result, _) = try shake(backend, server, TLSSettings(clientTrusting: "ca.pem", pair: ("strange.pem", "strange.key")))
        #expect(result == 0)
        #expect(wire.facts(Wire.server).subject == "CN=a\\,b\\\"c")
        #expect(wire.facts(Wire.server).names == "URI:x\\2CDNS:admin")
    }

    // ---- fairness

    @Test(arguments: Backend.real)
    func TL_11_handshakesAreBoundedInATurn(_ backend: Backend) throws {
        let bench = Bench(backend), settings = TLSSettings()
        let wires = try (0..<40).map { _ in try Wire(bench, server: settings, client: nil) }
        let hello = try clientHello(bench)
        for wire in wires { wire.atServer.write(hello) }
        var answered: [Int] = []
        for _ in 0..<200 where answered.last != 40 {
            bench.wait()
            answered.append(wires.filter { $0.atServer.ready(POLLIN, milliseconds: 0) }.count)
        }
        let most = zip(answered, [0] + answered).map { $0 - $1 }.max() ?? 0
        #expect(answered.last == 40, "all are answered")
        #expect(most <= 32, "and not in one turn: \(most)")
    }

    private func clientHello(_ bench: Bench) throws -> [UInt8] {
        let (fd, peer) = try bench.connection(token: 77)
        #expect(trusting.secureClient(bench.loop, fd, "localhost") == 0)
        bench.wait(milliseconds: 5)
        defer { claw_close(bench.loop, fd, 0) }
        _ = peer.ready(POLLIN)
        return try #require(peer.readSome())
    }
}
