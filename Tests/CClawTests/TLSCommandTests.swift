import CClaw
import Glibc
import Testing

private let hello = (when: "Verify return code", say: "hello")
/// The echo says that the session's ticket, which came before it, has arrived.
private let quit = (when: "hello", say: "Q")

/// A server of ours and the `openssl` command as its client: what other people's TLS makes of us.
@Suite struct TLSCommandTests {
    /// Accepts, shakes hands, echoes; keeps what was told.
    private final class Echo {
        let bench: Bench, settings: TLSSettings, listener = Listener()
        var secured: [(result: Int, facts: TLSFacts)] = []
        var ends: [Int32] = []
        var echoed = 0

        init(_ backend: Backend, _ settings: TLSSettings) {
            bench = Bench(backend)
            self.settings = settings
            _ = fcntl(listener.fd, F_SETFL, O_NONBLOCK)
            precondition(claw_accept_start(bench.loop, listener.fd, 1) == 0)
        }

        /// Runs `openssl s_client` with these words. It is told one thing after the other, each once the words before it were seen in what
        /// it says, and at last to quit.
        @discardableResult
        func client(_ options: String, _ talk: (when: String, say: String)...) -> String {
            let port = claw_address_port(&listener.address)
            let command = "cd \(Certificates.directory); exec openssl s_client -no_ign_eof -connect 127.0.0.1:\(port) -CAfile ca.pem \(options)"
            let child = Child(["/bin/sh", "-c", command])
            var rest = (talk.isEmpty ? [("Verify return code", "Q")] : talk)[...]
            let ended = bench.until {
                turn()
                let over = child.look()
                if let next = rest.first, child.text.contains(next.0) {
                    child.say(next.1 + "\n")
                    rest = rest.dropFirst()
                }
                return over
            }
            #expect(ended, "\(child.text)")
            _ = bench.until { turn(); return ends.count + secured.filter { $0.result != 0 }.count >= secured.count }
            return child.text
        }

        private func turn() {
            for event in bench.take(CLAW_ACCEPTED) {
                claw_attach(bench.loop, event.result, 2)
                settings.secureServer(bench.loop, event.result)
            }
            for event in bench.take(CLAW_SECURED) {
                secured.append((Int(event.result), TLSFacts(bench, event.fd)))
                if event.result == 0 { claw_receive(bench.loop, event.fd, buffered) } else { claw_close(bench.loop, event.fd, 0) }
            }
            for event in bench.take(CLAW_RECEIVED) {
                if event.result > 0 {
                    let bytes = bench.bytes(event)
                    echoed += bytes.count
                    _ = bench.send(event.fd, bytes)
                } else {
                    ends.append(event.result)
                    claw_close(bench.loop, event.fd, 0)
                }
            }
        }
    }

    @Test(arguments: Backend.real)
    func TL_01_oldVersionsAndWeakCiphersAreRefusedWithAnAlert(_ backend: Backend) throws {
        let echo = Echo(backend, TLSSettings())
        let cases = [
            ("-tls1 -cipher DEFAULT:@SECLEVEL=0", "alert protocol version"), ("-tls1_1 -cipher DEFAULT:@SECLEVEL=0", "alert protocol version"),
            ("-tls1_2 -cipher AES128-SHA:@SECLEVEL=0", "alert handshake failure"), ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", "alert handshake failure"),
        ]
        for (options, alert) in cases {
            let said = echo.client(options)
            #expect(said.contains(alert), "\(options): \(said)")
            #expect(echo.secured.last?.result == CLAW_TLS_FAILED)
            #expect(echo.secured.last?.facts.reason != nil)
        }
        let good = echo.client("-tls1_2 -comp")
        #expect(good.contains("ECDHE-ECDSA-") && good.contains("Compression: NONE") && good.contains("Verify return code: 0 (ok)"), "\(good)")
        let only13 = Echo(backend, TLSSettings(version: 13))
        #expect(only13.client("-tls1_2").contains("alert protocol version"))
        #expect(only13.client("-tls1_3").contains("Verify return code: 0 (ok)"))
    }

    @Test(arguments: Backend.real)
    func TL_02_renegotiationAndEarlyDataAreRefused(_ backend: Backend) throws {
        var tickets: OpaquePointer?
        #expect(claw_tls_tickets_create(3600, &tickets) == 0)
        defer { claw_tls_tickets_release(tickets) }
        let echo = Echo(backend, TLSSettings(tickets: tickets)), session = "early-\(backend).session"
        let again = echo.client("-tls1_2", ("Verify return code", "R"))
        #expect(again.contains("no renegotiation"), "\(again)")
        #expect(echo.secured.count == 1, "one handshake")
        echo.client("-tls1_3 -sess_out \(session)", hello, quit)
        let early = echo.client("-tls1_3 -sess_in \(session) -early_data server.pem")
        #expect(early.contains("Early data was not sent"), "\(early)")
    }

    @Test(arguments: Backend.real)
    func TL_05_protocolsAsACommandAsksForThem(_ backend: Backend) throws {
        let echo = Echo(backend, TLSSettings())
        #expect(echo.client("-alpn http/1.1,h2").contains("ALPN protocol: h2"))
        #expect(echo.client("").contains("No ALPN negotiated"))
        #expect(echo.client("-alpn spdy/3").contains("alert no application protocol"))
        #expect(echo.secured.map(\.result) == [0, 0, CLAW_TLS_PROTOCOL])
    }

    @Test(arguments: Backend.real)
    func keysAreUpdatedInTheMiddle(_ backend: Backend) throws {
        let echo = Echo(backend, TLSSettings())
        let said = echo.client("-tls1_3", ("Verify return code", "K"), ("KEYUPDATE", "afterwards"), ("afterwards", "Q"))
        #expect(said.contains("KEYUPDATE"), "\(said)")
        #expect(said.contains("afterwards"))
        #expect(echo.ends == [0])
    }

    /// Whether the connection made with this session was resumed.
    private func resumes(_ echo: Echo, _ session: String, _ version: String = "-tls1_3") -> Bool {
        echo.client("\(version) -sess_in \(session)")
        return echo.secured.last?.result == 0 && echo.secured.last?.facts.resumed == true
    }

    @Test(arguments: Backend.real, ["-tls1_2", "-tls1_3"])
    func ticketsResumeWhereverTheirKeysAreKnown(_ backend: Backend, _ version: String) throws {
        var keys: OpaquePointer?, others: OpaquePointer?
        #expect(claw_tls_tickets_create(3600, &keys) == 0)
        #expect(claw_tls_tickets_create(3600, &others) == 0)
        defer { claw_tls_tickets_release(keys); claw_tls_tickets_release(others) }
        let session = "tickets-\(backend)\(version).session"
        let first = Echo(backend, TLSSettings(tickets: keys))
        first.client("\(version) -sess_out \(session)", hello, quit)
        #expect(first.secured.last?.facts.resumed == false)
        #expect(resumes(first, session, version))
        #expect(resumes(Echo(backend, TLSSettings(tickets: keys)), session, version), "after a reload, or at another worker")
        #expect(!resumes(Echo(backend, TLSSettings(tickets: others)), session, version), "other keys")
        #expect(!resumes(Echo(backend, TLSSettings()), session, version), "no tickets")
        let strict = Echo(backend, TLSSettings(clients: CLAW_TLS_CLIENT_REQUIRED, tickets: keys))
        #expect(!resumes(strict, session, version), "a session without a certificate opens no door that asks for one")
        #expect(strict.secured.last?.result == CLAW_TLS_CERTIFICATE)
    }

    @Test(arguments: Backend.real)
    func aResumedClientIsStillKnownByItsCertificate(_ backend: Backend) throws {
        var keys: OpaquePointer?
        #expect(claw_tls_tickets_create(3600, &keys) == 0)
        defer { claw_tls_tickets_release(keys) }
        let echo = Echo(backend, TLSSettings(clients: CLAW_TLS_CLIENT_REQUIRED, tickets: keys)), session = "mutual-\(backend).session"
        echo.client("-cert client.pem -key client.key -sess_out \(session)", hello, quit)
        #expect(echo.secured.last?.facts.subject == "CN=robot,O=Acme")
        #expect(resumes(echo, session))
        #expect(echo.secured.last?.facts.subject == "CN=robot,O=Acme")
        #expect(echo.secured.last?.facts.names?.hasPrefix("DNS:robot.acme,") == true)
    }

    @Test func ticketsAreTakenForTwoPeriods() throws {
        var keys: OpaquePointer?
        #expect(claw_tls_tickets_create(1, &keys) == 0)
        defer { claw_tls_tickets_release(keys) }
        let echo = Echo(.epoll, TLSSettings(tickets: keys)), session = "rotated.session"
        echo.client("-tls1_3 -sess_out \(session)", hello, quit)
        let from = claw_monotonic_ns()
        #expect(resumes(echo, session))
        var refused = false
        while !refused, claw_monotonic_ns() - from < 20_000_000_000 { refused = !resumes(echo, session) }
        #expect(refused)
        #expect(claw_monotonic_ns() - from > 900_000_000, "at least one period")
    }

    @Test(arguments: Backend.real)
    func TL_07_anExpiredClientCertificateIsRefused(_ backend: Backend) throws {
        let echo = Echo(backend, TLSSettings(clients: CLAW_TLS_CLIENT_REQUIRED))
        let said = echo.client("-cert expired.pem -key expired.key")
        #expect(said.contains("alert certificate expired"), "\(said)")
        #expect(echo.secured.last?.result == CLAW_TLS_CERTIFICATE)
        #expect(echo.secured.last?.facts.reason == "certificate has expired")
    }
}
