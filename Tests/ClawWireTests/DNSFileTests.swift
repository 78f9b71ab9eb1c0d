import ClawWire
import Testing

@Suite struct DNSFileTests {
    private func resolver(_ text: String) -> DNSResolverFile { Array(text.utf8).withUnsafeBytes { DNSResolverFile($0) } }

    @Test func aResolversFileIsRead() {
        let file = resolver("""
            # made by somebody
            ; and somebody else
            nameserver 10.96.0.10
            nameserver   fe80::1%eth0   # link
            nameserver not-an-address
            nameserver 2001:db8::53
            nameserver 192.0.2.4
            domain old.example.com
            search default.svc.cluster.local svc.cluster.local  cluster.local
            options ndots:5 timeout:2 attempts:9 rotate edns0
            """)
        #expect(file.servers.map(\.text) == ["10.96.0.10", "fe80::1", "2001:db8::53"])
        #expect(file.search == ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"])
        #expect(file.dotsMin == 5 && file.timeoutSeconds == 2 && file.attempts == 5)
        #expect(file.names(for: "llm.models") == ["llm.models.default.svc.cluster.local", "llm.models.svc.cluster.local", "llm.models.cluster.local", "llm.models"])
        #expect(file.names(for: "llm.models.") == ["llm.models."])
        #expect(resolver("search a.b").names(for: "x.y") == ["x.y", "x.y.a.b"] && resolver("").names(for: "x") == ["x"])
    }

    @Test(arguments: ["", "\n\n", "nameserver", "options ndots:x timeout: attempts:-1", "search", "\u{0}\u{1}\n", "nameserver %", "options ndots:99999999999999999999"])
    func whatIsNotUnderstoodIsPassedOver(text: String) { #expect(resolver(text) == DNSResolverFile()) }

    @Test func aHostsFileIsRead() {
        let text = Array("127.0.0.1\tlocalhost\n::1 localhost ip6-localhost\n10.0.0.5 Model-Box box # model\n10.0.0.4 box\n#10.0.0.6 box\nnonsense box\n".utf8)
        text.withUnsafeBytes { bytes in
            #expect(DNSHostsFile.addresses(of: "localhost", in: bytes).map(\.text) == ["127.0.0.1", "::1"])
            #expect(DNSHostsFile.addresses(of: "BOX.", in: bytes).map(\.text) == ["10.0.0.4", "10.0.0.5"])
            #expect(DNSHostsFile.addresses(of: "model", in: bytes).isEmpty && DNSHostsFile.addresses(of: "", in: bytes).isEmpty)
        }
    }

    @Test func addressesAreReadInOneFormOfFour() {
        #expect(DNSAddress("10.0.0.1") == .v4(0x0A00_0001) && DNSAddress("::ffff:10.0.0.1") == .v6(high: 0, low: 0xFFFF_0A00_0001))
        for text in ["", "10.1", "010.0.0.1", "0x7f.0.0.1", "1.2.3.4.5", "::1%lo", "[::1]", "12345::", "localhost"] { #expect(DNSAddress(text) == nil, "\(text)") }
    }
}
