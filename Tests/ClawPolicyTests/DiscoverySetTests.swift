import ClawPolicy
import ClawWire
import Testing

@Suite struct DiscoverySetTests {
    @Test func aSetIsSortedAndHoldsEachPlaceOnce() {
        let set = EndpointSet([
            FoundEndpoint(host: "b", port: 1), FoundEndpoint(host: "a", port: 2, weight: 3), FoundEndpoint(host: "a", port: 1), FoundEndpoint(host: "a", port: 2, weight: 9),
            FoundEndpoint(host: "a", port: 2, isTLS: true), FoundEndpoint(host: "a", port: 2, path: "/v1"),
        ])
        #expect(set.words == ["a:1", "a:2 9", "a:2/v1", "https://a:2", "b:1"])
        #expect(set == EndpointSet(set.endpoints.reversed()))
    }

    @Test func aSetHasABoundAndSaysSo() {
        let many = (0..<300).map { FoundEndpoint(host: "10.0.\($0 / 200).\($0 % 200)", port: 80) }
        let set = EndpointSet(many.shuffled(), notes: (0..<20).map { "note \($0)" })
        #expect(set.endpoints == Array(many.sorted().prefix(256)))
        #expect(set.notes.first == "300 endpoints, the first 256 are taken" && set.notes.count == EndpointSet.notesMax && set.notes.last == "and 14 more")
        #expect(EndpointSet(Array(many.prefix(256))).notes.isEmpty)
    }

    @Test func changesLeadFromOneSetToTheOther() {
        let old = EndpointSet([FoundEndpoint(host: "a", port: 1), FoundEndpoint(host: "b", port: 1), FoundEndpoint(host: "c", port: 1, weight: 2)])
        let new = EndpointSet([FoundEndpoint(host: "b", port: 1), FoundEndpoint(host: "c", port: 1, weight: 5), FoundEndpoint(host: "d", port: 1)])
        let changes = new.changes(since: old)
        #expect(changes.added.map(\.host) == ["d"] && changes.removed.map(\.host) == ["a"] && changes.changed.map(\.weight) == [5])
        #expect(new.changes(since: new).isEmpty && EndpointSet().changes(since: old).removed.count == 3)
    }

    @Test(arguments: [
        ("10.0.0.1:80", "10.0.0.1:80"), ("[FD00::1]:8000", "fd00::1:8000"), ("LLM.Example.com:1", "llm.example.com:1"), ("http://a/", "http://a:80"),
        ("https://a.example.com/v1/", "https://a.example.com:443/v1"), ("https://[::1]:9/v1", "https://::1:9/v1"),
    ])
    func anAddressIsReadInItsForms(text: String, words: String) throws { #expect(EndpointSet([try FoundEndpoint.read(text)]).words == [words]) }

    @Test(arguments: [
        "", ":", "a", "a:", ":80", "10.0.0.1", "[::1]", "::1", "a:0", "a:65536", "a:000080", "a:80/v1", "a b:80", "a:80:90", "user@a:80", "ftp://a:80", "http://", "http://a?x", "a:80?x", "a:80#x",
        "http://u:p@a", "0x7f.1:80", "127.1:80", "2130706433:80", "a\u{0}:80", "ä:80", "-:", "a:-1", "a:+1", String(repeating: "a", count: 5000) + ":80",
    ])
    func whatIsNoAddressIsRefused(text: String) { #expect(kind { _ = try FoundEndpoint.read(text) } == .malformed) }

    @Test func aFileIsLinesOrAnArray() throws {
        let lines = "# models\n\n10.0.0.1:8000 3\r\nhttps://llm.example.com/v1   # main\n\tb.example.com:81\t65535\n10.0.0.1:8000"
        #expect(try with(lines.utf8) { try DiscoveryDocument.list($0) }.words == ["10.0.0.1:8000 3", "b.example.com:81 65535", "https://llm.example.com:443/v1"])
        let array = #" ["10.0.0.1:80", {"url": "http://a/v1", "weight": 2}, {"host": "fd00::1", "port": 8}, {"address": "b:9"}, {"address": "c", "port": 10}, {"Addr": "d:1", "Op": 0}]"#
        #expect(try with(array.utf8) { try DiscoveryDocument.list($0) }.words == ["10.0.0.1:80", "http://a:80/v1 2", "b:9", "c:10", "d:1", "fd00::1:8"])
        for empty in ["", "\n\n", "# nobody", "[]", " [ ] "] { #expect(try with(empty.utf8) { try DiscoveryDocument.list($0) } == EndpointSet()) }
    }

    @Test(arguments: [
        "a:1\nnonsense", "a:1 0", "a:1 -1", "a:1 65536", "a:1 1 1", "a:1 x", "[", "[1]", "[null]", "[{}]", #"[{"url":"a:1","weight":0}]"#, #"[{"url":"a:1","weight":1.5}]"#, #"[{"host":"a"}]"#,
        #"[{"port":1}]"#, #"[{"host":"a","port":"1"}]"#, #"[{"host":"a:1","port":1}]"#, #"[{"host":"a/b","port":1}]"#, #"[{"url":1}]"#, #"["a:1",]"#, #"["a:1"] x"#, #"{"a":1}"#,
    ])
    func oneWrongLineAndNothingOfTheFileCounts(text: String) { #expect(kind { try with(text.utf8) { _ = try DiscoveryDocument.list($0) } } == .malformed, "\(text)") }

    @Test func aProblemSaysWhereItIsInPrintableText() {
        do {
            try with("a:1\nb\u{7}ä".utf8) { _ = try DiscoveryDocument.list($0) }
            Issue.record("not refused")
        } catch let error as DiscoveryProblem {
            #expect(error.message == "line 2: no port in \"b???\"")
        } catch { Issue.record("\(error)") }
    }

    @Test func addressesOfANameAreASet() throws {
        let set = EndpointSet(addresses: [.v4(0x0A00_0002), .v6(high: 0xFD00_0000_0000_0000, low: 1), .v4(0x0A00_0001), .v4(0x0A00_0002)], of: "llm.example.com", port: 8000)
        #expect(set.words == ["10.0.0.1:8000", "10.0.0.2:8000", "fd00::1:8000"] && set.endpoints.allSatisfy { $0.name == "llm.example.com" })
        #expect(EndpointSet(addresses: [.v4(1)], of: "a", port: 0).isEmpty)
    }

    @Test func ofServicesThoseOfTheLowestPriorityCount() {
        let services: [DNSAnswer.Service] = [
            .init(priority: 20, weight: 1, port: 1, target: "late"), .init(priority: 10, weight: 0, port: 8000, target: "a", addresses: [.v4(0x0A00_0001), .v4(0x0A00_0002)]),
            .init(priority: 10, weight: 60_000, port: 8001, target: "b"), .init(priority: 10, weight: 7, port: 8002, target: "c"), .init(priority: 10, weight: 7, port: 0, target: "d"),
        ]
        let set = EndpointSet(services: services, addresses: ["c": [.v4(0x0A00_0003)], "a": [.v4(1)]])
        #expect(set.words == ["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8002 7", "b:8001 60000"] && set.notes == ["port 0 of d"])
        #expect(set.endpoints.map(\.name) == ["a", "a", "c", nil])
        #expect(EndpointSet(services: []) == EndpointSet())
    }
}
