import CClaw
import Glibc
import Testing

/// Certificates, keys and options as they are read: what is refused, and with which words.
@Suite struct TLSSettingsTests {
    @Test func TL_08_aBadPairIsRefusedInASentenceThatNamesTheFile() {
        let cases: [(String, String, String)] = [
            ("missing.pem", "server.key", "certificate missing.pem: No such file or directory"),
            ("server.pem", "missing.key", "key missing.key: No such file or directory"),
            ("garbage.pem", "server.key", "certificate garbage.pem: no certificate in PEM form: no start line"),
            ("server.pem", "garbage.pem", "key garbage.pem: no private key in PEM form: "),
            ("empty.pem", "server.key", "certificate empty.pem: empty"),
            ("folder.pem", "server.key", "certificate folder.pem: not a regular file"),
            ("server.pem", "other.key", "key other.key: does not belong to certificate server.pem"),
            ("expired.pem", "expired.key", "certificate expired.pem: expired on 20"),
            ("early.pem", "server.key", "certificate early.pem: not valid before 2040-01-01T00:00:00Z"),
            ("torn.pem", "server.key", "certificate torn.pem: its chain is unreadable at certificate 2: "),
            ("server.pem", "locked.key", "key locked.key: encrypted, and passphrases are not supported"),
            ("weak.pem", "weak.key", "certificate weak.pem: refused by OpenSSL: ee key too small"),
            ("server.pem", "server.pem", "key server.pem: no private key in PEM form: "),
        ]
        for (certificate, key, words) in cases {
            let settings = TLSSettings(server: [("server.pem", "server.key"), (certificate, key)])
            #expect(settings.result < 0)
            #expect(!settings.isMade)
            let said = settings.problem.split(separator: Certificates.directory + "/").joined()
            #expect(said.hasPrefix(words), "\(said)")
        }
    }

    @Test func aGoodPairIsTakenAndItsLastDayKnown() {
        for pair in [("server.pem", "server.key"), ("chained.pem", "server.key"), ("named.pem", "named.key")] {
            let settings = TLSSettings(server: [pair])
            #expect(settings.result == 0, "\(settings.problem)")
            let left = settings.expires - Int64(time(nil))
            #expect(left > 19 * 86400 && left <= 20 * 86400)
        }
        #expect(TLSSettings(clientTrusting: "ca.pem").expires == 0, "no certificate of its own")
    }

    @Test func optionsThatContradictEachOtherAreRefused() {
        let cases: [(TLSSettings, String)] = [
            (TLSSettings(server: []), "a server needs a certificate"),
            (TLSSettings(version: 11), "TLS 1.2 and 1.3 are served, not 11"),
            (TLSSettings(clients: CLAW_TLS_CLIENT_REQUIRED, clientAuthority: nil), "authorities for clients' certificates"),
            (TLSSettings(ciphers: "nonsense"), "ciphers \"nonsense\": no cipher match"),
            (TLSSettings(suites: "nonsense"), "ciphersuites \"nonsense\": no cipher match"),
            (TLSSettings(clients: 1, clientAuthority: "garbage.pem"), "certificate authorities"),
            (TLSSettings(clients: 1, clientAuthority: "torn.pem"), "certificate authorities"),
            (TLSSettings(clientTrusting: "missing.pem"), "certificate authorities"),
            (TLSSettings(clientTrusting: "ca.pem", pair: ("client.pem", "server.key")), "key "),
        ]
        for (settings, words) in cases {
            #expect(settings.result < 0)
            #expect(settings.problem.hasPrefix(words), "\(settings.problem)")
        }
        var tickets: OpaquePointer?
        #expect(claw_tls_tickets_create(0, &tickets) == -EINVAL)
    }

    @Test func theSystemsAuthoritiesAreTheDefault() {
        let settings = TLSSettings(clientTrusting: nil)
        #expect(settings.result == 0, "\(settings.problem)")
    }

    @Test func theLibrarySaysWhatItIsAndWhetherTheKernelHelps() {
        var kernel: UnsafePointer<CChar>?
        #expect(String(cString: claw_tls_library(&kernel)).hasPrefix("OpenSSL 3"))
        #expect(String(cString: kernel!).contains("kernel TLS"))
    }

    @Test func aPlayedSocketHasNoTLS() throws {
        let bench = Bench(UInt32(CLAW_BACKEND_PLAYED)), settings = TLSSettings()
        #expect(settings.secureServer(bench.loop, 5) == -ENOTSUP)
        var facts = claw_tls_facts()
        #expect(claw_secured(bench.loop, 5, &facts) == -ENOENT)
    }

    @Test(arguments: Backend.real)
    func aSocketIsMadeSecureOnceAndOnTheRightSide(_ backend: Backend) throws {
        let bench = Bench(backend), (fd, _) = try bench.connection(token: 1)
        let server = TLSSettings(), client = TLSSettings(clientTrusting: "ca.pem")
        var facts = claw_tls_facts()
        #expect(claw_secured(bench.loop, fd, &facts) == -ENOENT)
        #expect(client.secureServer(bench.loop, fd) == -EINVAL)
        #expect(server.secureClient(bench.loop, fd, "localhost") == -EINVAL)
        #expect(client.secureClient(bench.loop, fd, "") == -EINVAL)
        #expect(server.secureServer(bench.loop, 4000) == -EBADF)
        #expect(server.secureServer(bench.loop, fd) == 0)
        #expect(server.secureServer(bench.loop, fd) == -EALREADY)
        #expect(claw_handshakes(bench.loop) == 1)
        #expect(claw_secured(bench.loop, fd, &facts) == 0)
        #expect(facts.version == 0)
        claw_close(bench.loop, fd, 0)
        #expect(claw_handshakes(bench.loop) == 0)
    }
}
