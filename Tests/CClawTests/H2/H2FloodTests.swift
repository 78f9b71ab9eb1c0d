import CClaw
import Glibc
import Testing

/// What costs the peer nothing and us something ends after a known number of times, and what is honest never does.
@Suite struct H2FloodTests {
    /// Feeds until the connection ends; how many rounds that took.
    private func rounds(_ server: Session, most: Int = 20_000, produce: Bool = true, _ make: (Int) -> [Frame]) -> Int {
        for i in 0..<most {
            server.feed(make(i))
            if server.failed { return i }
            if produce { _ = server.produce() }
        }
        return most
    }

    private func id(_ i: Int) -> UInt32 { UInt32(i * 2 + 1) }
    private func openAndReset(_ i: Int) -> [Frame] { [headers(id(i), get), reset(id(i))] }

    private func expectCalm(_ server: Session, _ word: String) {
        #expect(server.failed && server.blame == word)
        #expect(server.produce().last.map { $0.kind == .goaway && $0.code == Code.calm } == true)
    }

    @Test func H2_02_rapidResetsEndTheConnection() {
        let server = Session.server()
        #expect(rounds(server) { openAndReset($0) } == 200)
        expectCalm(server, "rapid_reset")
        // All in one feed it is no different.
        let other = Session.server()
        let told = other.feed((0..<20_000).flatMap(openAndReset))
        #expect(told.filter { $0.kind == CLAW_H2_HEAD }.count <= 201)
        expectCalm(other, "rapid_reset")
    }

    @Test func H2_02_theBudgetRefillsWithTime() {
        let server = Session.server()
        var now: UInt64 = 1_000_000_000
        claw_h2_clock(server.raw, now)
        let spent = rounds(server) {
            now += 50_000_000 // 20 a second, as fast as it refills
            claw_h2_clock(server.raw, now)
            return openAndReset($0)
        }
        #expect(spent == 20_000 && !server.failed)
    }

    @Test func H2_03_resetsThatWeWereMadeToSendCountAlike() {
        let make: [(UInt32) -> [Frame]] = [
            { [headers($0, get + [("X", "y")])] },
            { [headers($0, post, end: false), windowUpdate($0, 0x7FFF_FFFF)] },
            { [headers($0, post + [("content-length", "1")], end: false), data($0, "ab")] },
            { [headers($0, post, end: false), headers($0, [("a", "b")], end: false)] },
        ]
        for (i, frames) in make.enumerated() {
            let server = Session.server()
            #expect(rounds(server) { frames(id($0)) } == 200, "way \(i)")
            expectCalm(server, "rapid_reset")
        }
    }

    @Test func H2_03_aResetThatTheCallerBlamesOnThePeerCounts() {
        let server = Session.server()
        let spent = rounds(server) { i in
            if i > 0 { claw_h2_reset(server.raw, id(i - 1), Code.calm, 1) }
            return [headers(id(i), get)]
        }
        #expect(spent == 201)
        expectCalm(server, "rapid_reset")
    }

    @Test func H2_04_stopsAfterTheAnswersHeadCostNothing() {
        let server = Session.server()
        let spent = rounds(server, most: 2000) { i in
            var frames = [headers(id(i), get)]
            if i > 0 {
                let last = id(i - 1)
                server.answer(last, end: false)
                _ = server.produce()
                frames.append(reset(last))
            }
            return frames
        }
        #expect(spent == 2000 && !server.failed)
    }

    @Test func H2_05_aFloodOfContinuationsEndsTheConnection() {
        let server = Session.server()
        let first = Frame(kind: .headers, flags: 1, stream: 1, payload: hpack(get)), more = Frame(kind: .continuation, stream: 1, payload: [])
        server.feed([first] + [Frame](repeating: more, count: 8))
        #expect(!server.failed)
        server.feed(more)
        expectCalm(server, "continuation_flood")
    }

    @Test func H2_06_floodsOfControlFramesEndTheConnection() {
        let kinds: [(String, Int, [Frame])] = [
            ("SETTINGS", 1000, [settings()]), ("PING", 1000, [Frame(kind: .ping, payload: [UInt8](repeating: 0, count: 8))]),
            ("PING ACK", 1000, [Frame(kind: .ping, flags: 1, payload: [UInt8](repeating: 0, count: 8))]),
            ("empty DATA", 1000, [data(1, "")]), ("padding only", 1000, [Frame(kind: .data, flags: 8, stream: 1, payload: [2, 0, 0])]),
            ("PRIORITY", 1000, [Frame(kind: .priority, stream: 3, payload: [0, 0, 0, 1, 1])]), ("PRIORITY_UPDATE", 1000, [Frame(kind: .priorityUpdate, payload: [0, 0, 0, 1])]),
            ("unknown", 1000, [Frame(kind: .unknown)]), ("WINDOW_UPDATE", 1070, [windowUpdate(0, 1)]), ("WINDOW_UPDATE on a stream", 1070, [windowUpdate(1, 1)]),
            ("RST_STREAM on nothing", 1000, [Frame(kind: .reset, stream: 3, payload: [0, 0, 0, 8])]),
            ("GOAWAY", 1000, [Frame(kind: .goaway, payload: [0, 0, 0, 0, 0, 0, 0, 0])]),
        ]
        for (name, most, frames) in kinds {
            for produce in [true, false] {
                let server = Session.server()
                server.feed(headers(3, get), reset(3), headers(5, post, end: false))
                let spent = rounds(server, produce: produce) { _ in frames.map { var f = $0; if f.stream == 1 { f.stream = 5 }; return f } }
                #expect(spent <= most, "\(name)")
                expectCalm(server, "control_flood")
            }
        }
        let empty = Session.server()
        #expect(rounds(empty) { [Frame(kind: .headers, flags: 5, stream: id($0), payload: [])] } == 200)
        expectCalm(empty, "rapid_reset")
    }

    @Test func H2_06_aPeerThatNeverReadsIsEndedBeforeTheQueueGrows() {
        let server = Session.server { $0.control_max = 1_000_000; $0.output_bytes_max = 64 * 1024 }
        let spent = rounds(server, produce: false) { _ in [Frame(kind: .ping, payload: [UInt8](repeating: 0, count: 8))] }
        #expect(spent <= 520)
        expectCalm(server, "output_full")
    }

    @Test func windowUpdatesThatAnswerWhatWeSendAreFree() {
        let server = Session.server { $0.control_max = 10 }
        server.feed(headers(1, get))
        server.answer(1, end: false)
        for _ in 0..<5000 {
            claw_h2_offer(server.raw, 1, 200, 0)
            #expect(server.produce().last?.payload.count == 200)
            server.feed(windowUpdate(0, 200), windowUpdate(1, 200))
        }
        #expect(!server.failed)
    }

    @Test func H2_06_windowsGivenByTheByteAreNotFree() {
        let server = Session.server { $0.control_max = 100 }
        server.feed(settings([(4, 0)]), headers(1, get))
        server.answer(1, end: false)
        claw_h2_offer(server.raw, 1, 1 << 20, 1)
        #expect(rounds(server) { _ in [windowUpdate(1, 1)] } < 300)
        expectCalm(server, "control_flood")
    }

    @Test func H2_07_aHeadBeyondTheLimitIsTruncatedForA431AndAnAbsurdOneEndsTheConnection() {
        let server = Session.server { $0.head_bytes_max = 4096; $0.head_fields_max = 20 }
        let big = (0..<4).map { ("x-\($0)", String(repeating: "v", count: 1000)) }, many = (0..<21).map { ("x-\($0)", "v") }
        for (id, fields) in [(UInt32(1), big), (3, many)] {
            let told = server.feed(headers(id, get + fields))
            #expect(told.map(\.kind) == [CLAW_H2_HEAD, CLAW_H2_END])
            #expect(told[0].text == "GET /v1/models HTTP/1.1\r\nhost: example.com\r\n\r\n" && told[0].flags == UInt32(CLAW_H2_TOO_LARGE | CLAW_H2_ENDED))
            #expect(server.answer(id, 431) == 0)
        }
        let longPath: Fields = [(":method", "GET"), (":scheme", "https"), (":authority", "h"), (":path", "/" + String(repeating: "p", count: 8000))]
        #expect(server.feed(headers(5, longPath))[0].text == "GET / HTTP/1.1\r\nhost: invalid\r\n\r\n")
        #expect(server.feed(headers(7, get)).map(\.flags) == [UInt32(CLAW_H2_ENDED), 0])
        // One entry of the dynamic table, referenced again and again: a byte on the wire, 1036 in the list.
        let bomb = hpack(get) + [0x40] + hpackString(Array("bomb".utf8)) + hpackString([UInt8](repeating: 97, count: 1000)) + [UInt8](repeating: 0xBE, count: 10_000)
        #expect(server.feed(Frame(kind: .headers, flags: 5, stream: 9, payload: bomb)).isEmpty)
        expectCalm(server, "header_list")
    }

    @Test func tooLargeTrailersResetTheStream() {
        let server = Session.server { $0.head_bytes_max = 1000 }
        server.feed(headers(1, post, end: false))
        let told = server.feed(headers(1, [("a", String(repeating: "v", count: 2000))]))
        #expect(told.map(\.kind) == [CLAW_H2_RESET] && told[0].error == Code.calm)
    }

    @Test func cookiePiecesOutOfPlaceAreBounded() {
        let fields = (0..<40).flatMap { [("cookie", "a\($0)=1"), ("x-\($0)", "v")] }
        #expect(Session.server().feed(headers(1, get + fields))[0].flags & UInt32(CLAW_H2_TOO_LARGE) != 0)
        let together = (0..<500).map { ("cookie", "a\($0)=1") }
        let told = Session.server().feed(headers(1, get + together))
        #expect(told[0].flags == UInt32(CLAW_H2_ENDED) && told[0].text.components("cookie: ") == 1 && told[0].text.components("; ") == 499)
    }

    @Test func H2_09_streamsAboveTheLimitAreRefusedAndCounted() {
        let server = Session.server { $0.streams_max = 5 }
        for i in 0..<8 { server.feed(headers(id(i), get)) }
        #expect(claw_h2_streams(server.raw) == 5 && claw_h2_refused(server.raw) == 3)
        #expect(server.produce() == [reset(11, Code.refused), reset(13, Code.refused), reset(15, Code.refused)])
        // Compression is not disturbed by what was refused, and room made is room.
        server.answer(1)
        _ = server.produce()
        #expect(server.feed(headers(17, get)).count == 2)
        let spent = rounds(server) { [headers(id($0 + 50), get)] }
        #expect(spent == 197)
        expectCalm(server, "rapid_reset")
    }

    @Test func H2_08_aZeroWindowHoldsPayloadAndNothingElse() {
        let server = Session.server()
        server.feed(settings([(4, 0)]))
        for i in 0..<100 {
            server.feed(headers(id(i), get))
            server.answer(id(i), end: false)
            claw_h2_offer(server.raw, id(i), 1000, 1)
        }
        let frames = server.produce()
        #expect(frames.filter { $0.kind == .headers }.count == 100 && !frames.contains { $0.kind == .data })
        #expect(claw_h2_wants_write(server.raw) == 0)
        server.feed(settings([(4, 1000)]))
        #expect(server.produce().filter { $0.kind == .data && $0.ends && $0.payload.count == 1000 }.count == 65) // the connection's window is 65535
    }
}
