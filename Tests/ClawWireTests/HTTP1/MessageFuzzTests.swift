import Testing
@testable import ClawWire

/// Seeds and mutations of them: no trap, and the same verdict whole, byte by byte and cut at random (faults H1-30, INV-8).
/// The generator is seeded, so a failure comes again.
struct MessageFuzzTests {
    /// Seeds that go through every state, for when the corpus is not there.
    private static let seeds: [String] = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /v1/chat/completions?x=%20y HTTP/1.1\r\nHost: gateway.test:8080\r\nContent-Length: 5\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n\r\nhello",
        "POST http://[::1]:80/a?b HTTP/1.1\r\nhost: [::1]:80\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n5;a=\"b\\\"c\";d\r\nhello\r\n0\r\nVary: *\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nAuthorization: Bearer x\r\nx_y: z\r\n\r\nCONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n10\r\ndata: 0123456789\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    ]
    private static let words = ["\r\n", "\r", "\n", "\r\n\r\n", " ", "\t", ":", "%", "%2e", "0", "ffffffffffffffff", "Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n", "Host: b\r\n", ",", ";", "\"", "\0", "\u{7F}", "HTTP/1.1", "chunked", "Connection: close\r\n", "[::1]", "?", "#", "@"].map { Array($0.utf8) }

    private func mutate(_ seed: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = seed
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = bytes.isEmpty ? 0 : Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: if !bytes.isEmpty { bytes[place] = UInt8.random(in: 0...255, using: &random) }
            case 1: if !bytes.isEmpty { bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
            case 2: bytes.insert(contentsOf: Self.words[Int.random(in: 0..<Self.words.count, using: &random)], at: place)
            case 3: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...6, using: &random)))
            default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 20)], at: place)
            }
        }
        return bytes
    }

    private func check(_ bytes: [UInt8], _ random: inout SeededGenerator, _ limits: HeadLimits, _ what: @autoclosure () -> String, byBytes: Bool) {
        let whole = RequestLoop.run(bytes, cuts: [], limits: limits)
        if byBytes { same(RequestLoop.run(bytes, cuts: 0..<bytes.count, limits: limits), whole, what() + " byte by byte") }
        let cuts = (0..<Int.random(in: 1...6, using: &random)).map { _ in Int.random(in: 0...bytes.count, using: &random) }.sorted()
        same(RequestLoop.run(bytes, cuts: cuts, limits: limits), whole, what() + " cut at \(cuts)")
        if case .reject(let refusal) = whole.end {
            // With the deciding byte gone there is no refusal, with nothing behind it there is the same.
            if case .reject = RequestLoop.run(Array(bytes[..<refusal.offset]), cuts: [], limits: limits).end { Issue.record("\(what()): refused before \(refusal)") }
            if RequestLoop.run(Array(bytes[...refusal.offset]), cuts: [], limits: limits).end != whole.end { Issue.record("\(what()): not refused at \(refusal)") }
        }
        let response = ResponseLoop.run(bytes, method: .get, cuts: [], limits: limits)
        if ResponseLoop.run(bytes, method: .get, cuts: cuts, limits: limits) != response { Issue.record("\(what()) as response cut at \(cuts)") }
        if byBytes && ResponseLoop.run(bytes, method: .get, cuts: 0..<bytes.count, limits: limits) != response { Issue.record("\(what()) as response byte by byte") }
    }

    @Test func H1_30_mutatedSeedsAreJudgedTheSameHoweverCut() {
        var random = SeededGenerator(30)
        var tight = HeadLimits()
        tight.headBytesMax = 90
        tight.targetBytesMax = 12
        tight.fieldsMax = 3
        for round in 0..<600 {
            for (index, seed) in Self.seeds.enumerated() {
                let bytes = round == 0 ? Array(seed.utf8) : mutate(Array(seed.utf8), &random)
                check(bytes, &random, round % 3 == 2 ? tight : HeadLimits(), "seed \(index) round \(round): \(String(decoding: bytes, as: UTF8.self))", byBytes: true)
            }
        }
    }

    @Test(.enabled(if: SharedSuites.arePresent, "shared suites not found: set OPENCLAW_SHARED"))
    func H1_30_corpusIsJudgedTheSameHoweverCut() throws {
        let files = try SharedSuites.corpus("http1-corpus/http1-corpus.tar.gz")
        #expect(files.count == 1972)
        var random = SeededGenerator(1972)
        var withGoodRequest = 0
        for (index, file) in files.enumerated() {
            // Byte by byte is a copy of the whole per byte in this loop, so it is for the short ones.
            check(file, &random, HeadLimits(), "file \(index)", byBytes: file.count <= 700)
            if let first = RequestLoop.run(file, cuts: []).messages.first, first.hostProblem != .duplicate { withGoodRequest += 1 }
            check(mutate(file, &random), &random, HeadLimits(), "file \(index) changed", byBytes: false)
            chunked(file, &random)
        }
        // 632 by the reading the corpus came with, which takes any number of names in Connection; we take 16.
        #expect(withGoodRequest == 631)
    }

    /// Anything as a chunked body: no trap, the same however cut.
    private func chunked(_ bytes: [UInt8], _ random: inout SeededGenerator) {
        func run(_ cut: Int) -> ([UInt8], String) {
            var reader = ChunkedReader(keepTrailers: true)
            var body: [UInt8] = []
            for range in [0..<cut, cut..<bytes.count] {
                let piece = Array(bytes[range])
                var offset = 0
                piece: while true {
                    switch piece.withUnsafeBytes({ reader.next($0, from: offset) }) {
                    case .needMore: break piece
                    case .data(let data): body += piece[data]; offset = data.upperBound
                    case .end(let end): return (body, "end \(range.lowerBound + end) \(reader.trailers.count)")
                    case .refused(let refusal): return (body, "\(refusal.reason) \(range.lowerBound + refusal.offset)")
                    }
                }
            }
            return (body, "more")
        }
        let whole = run(bytes.count)
        let cut = Int.random(in: 0...bytes.count, using: &random)
        #expect(run(cut) == whole)
    }

    /// A head that trickles in costs its length once more, not its square: every byte is looked at by the scan only once.
    @Test func H1_31_aTricklingHeadIsNotReadAgainAndAgain() {
        let bytes = Array(("GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "x", count: 60000)).utf8)
        var parser = RequestParser()
        let head = RequestHead()
        bytes.withUnsafeBytes { raw in
            for count in stride(from: 1, through: raw.count, by: 1) {
                let before = parser.lines.position
                #expect(parser.parse(UnsafeRawBufferPointer(rebasing: raw[..<count]), limits: HeadLimits(), into: head) == .needMore)
                if parser.phase == .fields && parser.lines.phase == .value { #expect(parser.lines.position >= before && parser.lines.position >= count - 1) }
            }
        }
    }
}
