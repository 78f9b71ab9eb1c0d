import CClaw
import Glibc
import Testing

/// What a session tells and produces when everybody behaves.
@Suite struct H2Tests {
    @Test func aRequestBecomesAHeadPayloadAndItsEnd() {
        let server = Session.server()
        let told = server.feed(
            headers(1, post + [("content-type", "application/json"), ("content-length", "5"), ("x-empty", "")], end: false), data(1, "hel"), data(1, "lo", end: true))
        #expect(told.map(\.kind) == [CLAW_H2_HEAD, CLAW_H2_DATA, CLAW_H2_DATA, CLAW_H2_END])
        #expect(told[0].text == "POST /v1/chat HTTP/1.1\r\nhost: example.com\r\ncontent-type: application/json\r\ncontent-length: 5\r\nx-empty: \r\n\r\n")
        #expect(told[0].flags == 0 && told[1].text == "hel" && told[2].text == "lo")
        #expect(claw_h2_streams(server.raw) == 1)
    }

    @Test func aRequestCutAtEveryByteTellsTheSame() {
        let bytes = [
            headers(1, post + [("cookie", "a=1"), ("content-length", "3")], end: false), Frame(kind: .priority, stream: 3, payload: [0, 0, 0, 1, 9]),
            Frame(kind: .unknown, stream: 1, payload: [1, 2, 3]), data(1, "abc"), headers(1, [("grpc-status", "0")]),
            Frame(kind: .headers, flags: Frame.end, stream: 3, payload: hpack(get)),
            Frame(kind: .continuation, flags: Frame.endHeaders, stream: 3, payload: hpack([("x-long", String(repeating: "v", count: 300))])),
        ].flatMap(\.bytes)
        func merged(_ told: [Told]) -> [Told] {
            told.reduce(into: []) { all, one in
                if one.kind == CLAW_H2_DATA, let last = all.last, last.kind == one.kind, last.stream == one.stream { all[all.count - 1].text += one.text } else { all.append(one) }
            }
        }
        let whole = merged(Session.server().feed(bytes))
        #expect(whole.count == 6)
        #expect(whole[2].text == "grpc-status: 0\r\n")
        for step in [1, 2, 3, 7, 9, 10, 64] { #expect(merged(Session.server().feed(bytes, step: step)) == whole, "step \(step)") }
        for cut in 1..<bytes.count {
            let server = Session.server()
            #expect(merged(server.feed(Array(bytes[..<cut])) + server.feed(Array(bytes[cut...]))) == whole, "cut at \(cut)")
        }
    }

    @Test func cookiesBecomeOneLineWhereverTheyStood() {
        let told = Session.server().feed(headers(1, get + [("cookie", "a=1"), ("x-a", "b"), ("cookie", "b=2"), ("cookie", "c=3"), ("x-c", "d")]))
        #expect(told[0].text == "GET /v1/models HTTP/1.1\r\nhost: example.com\r\ncookie: a=1; b=2; c=3\r\nx-a: b\r\nx-c: d\r\n\r\n")
        #expect(told[0].flags == UInt32(CLAW_H2_ENDED))
    }

    @Test func pseudoFieldsMayComeInAnyOrderAndHostMayStandForAuthority() {
        let server = Session.server()
        #expect(server.feed(headers(1, get.reversed()))[0].text == "GET /v1/models HTTP/1.1\r\nhost: example.com\r\n\r\n")
        let hostOnly: Fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("accept", "*/*"), ("host", "h:8080")]
        #expect(server.feed(headers(3, hostOnly))[0].text == "GET / HTTP/1.1\r\naccept: */*\r\nhost: h:8080\r\n\r\n")
        #expect(server.feed(headers(5, get + [("host", "EXAMPLE.com")]))[0].text == "GET /v1/models HTTP/1.1\r\nhost: example.com\r\n\r\n")
        let options: Fields = [(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), (":authority", "h")]
        #expect(server.feed(headers(7, options))[0].text == "OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n")
    }

    @Test func connectIsToldAndExtendedConnectIsAnUpgrade() {
        let server = Session.server { $0.connect_protocol = 1 }
        let plain = server.feed(headers(1, [(":method", "CONNECT"), (":authority", "example.com:443")], end: false))
        #expect(plain[0].text == "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n")
        #expect(plain[0].flags == 0)
        let extended: Fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chat"), (":authority", "h"), ("sec-websocket-version", "13")]
        let tunnel = server.feed(headers(3, extended, end: false), data(3, "\u{1}frame"))
        #expect(tunnel[0].text == "GET /chat HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n")
        #expect(tunnel[0].flags == UInt32(CLAW_H2_TUNNEL) && tunnel[1].text == "\u{1}frame")
        #expect(Session(client: false) { $0.connect_protocol = 1 }.produce()[0].payload.contains(8))
        let without = Session.server()
        #expect(without.feed(headers(1, extended, end: false)).isEmpty)
        #expect(without.produce().first?.code == Code.protocolError)
    }

    @Test func theServersSettingsNameItsLimits() {
        let first = Session { $0.streams_max = 0x01020304; $0.stream_window = 100_000; $0.connection_window = 300_000 }.produce()
        #expect(first[0].kind == .settings)
        let entries = stride(from: 0, to: first[0].payload.count, by: 6).map { (first[0].payload[$0 + 1], number(first[0].payload, $0 + 2)) }
        #expect(entries.contains { $0 == (3, 0x01020304) } && entries.contains { $0 == (4, 100_000) } && entries.contains { $0 == (6, 65536) })
        #expect(!entries.contains { $0.0 == 8 })
        #expect(first[1] == windowUpdate(0, 300_000 - 65535))
    }

    @Test func anAnswerIsAHeadAndItsPayloadAsPieces() {
        let server = Session.server()
        server.feed(headers(1, get))
        claw_h2_user(server.raw, 1, 42)
        #expect(server.answer(1, 200, "Content-Type: text/plain\r\ncontent-length: 20000\r\n", end: false) == 0)
        #expect(server.answer(1, 200) == -ENOENT)
        #expect(claw_h2_offer(server.raw, 1, 20000, 1) == 0)
        var pieces = [claw_h2_piece](repeating: claw_h2_piece(), count: 16)
        let count = Int(claw_h2_produce(server.raw, 1 << 20, &pieces, 16))
        #expect(count == 4)
        #expect(pieces[0].bytes != nil && pieces[1].bytes == nil && pieces[1].length == 16384 && pieces[1].ends == 0)
        #expect(pieces[3].length == 20000 - 16384 && pieces[3].ends == 1 && pieces[3].user == 42 && pieces[3].stream == 1)
        #expect(claw_h2_produce(server.raw, 1 << 20, &pieces, 16) == 0 && claw_h2_wants_write(server.raw) == 0)
        #expect(claw_h2_streams(server.raw) == 0)
        #expect(claw_h2_offer(server.raw, 1, 1, 1) == -ENOENT)
    }

    @Test func anAnswerWithoutBodyEndsWithItsHead() {
        let server = Session.server()
        server.feed(headers(1, get), headers(3, get))
        server.answer(1, 204)
        server.answer(3, 200, end: false)
        claw_h2_offer(server.raw, 3, 0, 1)
        let frames = server.produce()
        #expect(frames.map(\.kind) == [.headers, .headers, .data])
        #expect(frames.map(\.ends) == [true, false, true])
        #expect(server.endings == [1, 3])
    }

    @Test func payloadWaitsForOffersAndWindows() {
        let server = Session.server()
        server.feed(settings([(4, 10)]), headers(1, get))
        server.answer(1, end: false)
        #expect(server.produce().map(\.kind) == [.settings, .headers])
        #expect(claw_h2_wants_write(server.raw) == 0)
        claw_h2_offer(server.raw, 1, 4, 0)
        #expect(server.produce().map(\.payload.count) == [4])
        claw_h2_offer(server.raw, 1, 100, 1)
        claw_h2_offer(server.raw, 1, 100, 1)
        #expect(server.produce().map(\.payload.count) == [6])
        server.feed(windowUpdate(1, 1000))
        let rest = server.produce()
        #expect(rest.map(\.payload.count) == [94] && rest[0].ends)
    }

    @Test func H2_16_streamsTakeTurnsAndAStalledOneHoldsNobodyUp() {
        let server = Session.server()
        server.feed(settings([(4, 1_000_000)]), windowUpdate(0, 10_000_000))
        for i in 0..<4 { server.feed(headers(UInt32(i * 2 + 1), get)) }
        for i in 0..<4 {
            server.answer(UInt32(i * 2 + 1), end: false)
            claw_h2_offer(server.raw, UInt32(i * 2 + 1), i == 0 ? 0 : 65536, i == 0 ? 0 : 1)
        }
        let order = server.produce().filter { $0.kind == .data }.map(\.stream)
        #expect(order.count == 12)
        #expect(Set(order.prefix(3)) == [3, 5, 7] && Set(order[3..<6]) == [3, 5, 7])
        #expect(server.endings.sorted() == [3, 5, 7])
    }

    @Test func aBudgetStopsBetweenFramesAndPiecesNeverOverflow() {
        let server = Session.server()
        server.feed(settings([(4, 1_000_000)]), windowUpdate(0, 10_000_000), headers(1, get))
        server.answer(1, end: false)
        claw_h2_offer(server.raw, 1, 100_000, 1)
        var pieces = [claw_h2_piece](repeating: claw_h2_piece(), count: 2), total = 0, calls = 0
        while true {
            let count = Int(claw_h2_produce(server.raw, 20_000, &pieces, 2))
            if count == 0 { break }
            #expect(count <= 2)
            total += pieces[..<count].reduce(0) { $0 + ($1.bytes == nil ? Int($1.length) : 0) }
            calls += 1
        }
        #expect(total == 100_000 && calls >= 7)
    }

    @Test func trailersEndAStreamBehindItsBody() {
        let pair = Pair()
        let id = UInt32(pair.client.ask("POST /x HTTP/1.1\r\nHost: h\r\nte: trailers\r\n\r\n", end: false))
        claw_h2_offer(pair.client.raw, id, 3, 0)
        #expect(claw_h2_trailers(pair.client.raw, id, "X-Check: 1\r\n", 12) == 0)
        let asked = pair.toServer()
        #expect(asked.map(\.kind) == [CLAW_H2_HEAD, CLAW_H2_DATA, CLAW_H2_TRAILERS, CLAW_H2_END])
        #expect(asked[0].text == "POST /x HTTP/1.1\r\nhost: h\r\nte: trailers\r\n\r\n" && asked[2].text == "x-check: 1\r\n")
        pair.server.answer(id, end: false)
        #expect(pair.toClient().map(\.kind) == [CLAW_H2_HEAD])
        #expect(claw_h2_trailers(pair.server.raw, id, "grpc-status: 0\r\n", 16) == 0)
        let answered = pair.toClient()
        #expect(answered.map(\.kind) == [CLAW_H2_TRAILERS, CLAW_H2_END] && answered[0].text == "grpc-status: 0\r\n")
        #expect(claw_h2_streams(pair.client.raw) == 0 && claw_h2_streams(pair.server.raw) == 0)
    }

    @Test func clientAndServerTalkInPiecesOfAnySize() {
        for step in [1, 5, 1000] {
            let pair = Pair()
            let id = UInt32(pair.client.ask("GET /a?b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-A: b\r\n\r\n", user: 7))
            let asked = pair.toServer(step: step)
            #expect(asked[0].text == "GET /a?b HTTP/1.1\r\nhost: h\r\nx-a: b\r\n\r\n" && asked[0].flags == UInt32(CLAW_H2_ENDED))
            pair.server.answer(id, 103, "link: </a>\r\n", end: false)
            pair.server.answer(id, 200, "x-b: c\r\n", end: false)
            claw_h2_offer(pair.server.raw, id, 5, 1)
            let answered = pair.toClient(step: step)
            #expect(answered.filter { $0.kind != CLAW_H2_DATA }.map(\.kind) == [CLAW_H2_INTERIM, CLAW_H2_HEAD, CLAW_H2_END])
            #expect(answered[0].text == "HTTP/1.1 103 \r\nlink: </a>\r\n\r\n" && answered[1].text == "HTTP/1.1 200 \r\nx-b: c\r\n\r\n")
            #expect(answered.filter { $0.kind == CLAW_H2_DATA }.map(\.text).joined() == "xxxxx")
            #expect(answered.allSatisfy { $0.user == 7 })
        }
    }

    @Test func windowsAreGivenBackAsBytesAreConsumed() {
        let server = Session.server { $0.stream_window = 65535; $0.connection_window = 100_000 }
        server.feed(headers(1, post, end: false), headers(3, post, end: false))
        let full = Frame(kind: .data, stream: 1, payload: [UInt8](repeating: 0, count: 16000))
        server.feed(full, full, full, full)
        #expect(server.produce().isEmpty)
        claw_h2_consume(server.raw, 1, 60_000)
        claw_h2_consume(server.raw, 1, 60_000) // clamped to what was delivered
        let updates = server.produce()
        #expect(updates.contains(windowUpdate(0, 60_000)) || updates.contains(windowUpdate(0, 64_000)))
        #expect(updates.contains { $0.kind == .windowUpdate && $0.stream == 1 })
    }

    @Test func bytesOfStreamsThatAreOverNeverHoldTheConnectionsWindow() {
        let server = Session.server { $0.connection_window = 70_000 }
        let full = { Frame(kind: .data, stream: $0, payload: [UInt8](repeating: 0, count: 16000)) }
        for id in stride(from: UInt32(1), to: 200, by: 2) {
            server.feed(headers(id, post, end: false), full(id))
            switch id % 8 {
            case 1: claw_h2_reset(server.raw, id, Code.cancel, 0)
            case 3: claw_h2_user(server.raw, id, 0)
            case 5:
                server.answer(id)
                claw_h2_enough(server.raw, id)
            default: server.feed(reset(id))
            }
            // Late payload, too; of course not behind the peer's own reset.
            if id % 8 != 7 { server.feed(full(id)) }
            if id % 8 == 3 { claw_h2_reset(server.raw, id, Code.cancel, 0) }
            _ = server.produce()
        }
        #expect(!server.failed, "\(server.blame ?? "")")
        #expect(claw_h2_streams(server.raw) == 0)
    }

    @Test func paddingIsGivenBackByItself() {
        let server = Session.server { $0.connection_window = 70_000 }
        server.feed(headers(1, post, end: false))
        for _ in 0..<600 {
            let told = server.feed(Frame(kind: .data, flags: Frame.padded, stream: 1, payload: [254, 65] + [UInt8](repeating: 0, count: 254)))
            #expect(told.map(\.text) == ["A"])
            claw_h2_consume(server.raw, 1, 1)
            _ = server.produce()
        }
        #expect(!server.failed)
    }

    @Test func aMutedStreamTellsNothingMore() {
        let server = Session.server()
        server.feed(headers(1, post, end: false))
        claw_h2_user(server.raw, 1, 0)
        #expect(server.feed(data(1, "abc"), data(1, "d", end: true)).isEmpty)
    }

    @Test func enoughEndsTheAnswerThenTheRequest() {
        let server = Session.server()
        server.feed(headers(1, post, end: false))
        server.answer(1, 413, end: false)
        claw_h2_offer(server.raw, 1, 3, 1)
        #expect(claw_h2_enough(server.raw, 1) == 0)
        let frames = server.produce()
        #expect(frames.map(\.kind) == [.headers, .data, .reset] && frames[1].ends && frames[2].code == Code.none)
        #expect(server.feed(data(1, "late", end: true)).isEmpty && !server.failed)
        #expect(claw_h2_streams(server.raw) == 0)
    }

    @Test func aResetByThePeerIsToldOnceAndByTheCallerNever() {
        let server = Session.server()
        server.feed(headers(1, get), headers(3, get))
        claw_h2_user(server.raw, 1, 11)
        let told = server.feed(reset(1), reset(1))
        #expect(told == [Told(kind: CLAW_H2_RESET, stream: 1, user: 11, text: "", error: 8, flags: 0)])
        #expect(claw_h2_reset(server.raw, 3, Code.cancel, 0) == 0 && claw_h2_reset(server.raw, 3, Code.cancel, 0) == -ENOENT)
        #expect(server.pull().isEmpty && server.produce().map(\.code) == [Code.cancel])
        #expect(server.pull().isEmpty)
    }

    @Test func aHeadAndItsResetInOneFeedAreBothToldAndTheUserMayBeGivenBetween() {
        let server = Session.server(), bytes = [headers(1, post, end: false), reset(1)].flatMap(\.bytes)
        #expect(claw_h2_feed(server.raw, bytes, bytes.count) == 0)
        var event = claw_h2_event()
        #expect(claw_h2_next(server.raw, &event) == 1 && Int(event.kind) == CLAW_H2_HEAD)
        claw_h2_user(server.raw, 1, 5)
        #expect(claw_h2_next(server.raw, &event) == 1 && Int(event.kind) == CLAW_H2_RESET && event.user == 5)
        #expect(claw_h2_next(server.raw, &event) == 0)
        #expect(claw_h2_answer(server.raw, 1, 200, "", 0, 1) == -ENOENT)
    }

    @Test func eventsNotPulledAreDroppedAndTheirBytesGivenBack() {
        let one = Session.server(), other = Session.server(), bytes = [headers(1, post, end: false), data(1, "abc")].flatMap(\.bytes)
        #expect(claw_h2_feed(one.raw, bytes, bytes.count) == 0)
        other.feed(headers(1, get))
        #expect(one.pull().isEmpty)
        #expect(one.feed(data(1, "d")).map(\.text) == ["d"])
    }

    @Test func H2_17_aStreamAfterTheFinalGoawayIsRefusedAndEarlierOnesFinish() {
        let server = Session.server()
        server.feed(headers(1, get))
        claw_h2_goaway(server.raw, 0, 0)
        #expect(server.produce().map { number($0.payload, 0) } == [0x7FFF_FFFF])
        #expect(server.feed(headers(3, get)).count == 2)
        claw_h2_goaway(server.raw, 0, 1)
        #expect(server.feed(headers(5, get)).isEmpty)
        let frames = server.produce()
        #expect(frames.contains { $0.kind == .goaway && number($0.payload, 0) == 3 && $0.code == Code.none })
        #expect(frames.contains { $0.kind == .reset && $0.stream == 5 && $0.code == Code.refused })
        #expect(server.feed(headers(7, get)).isEmpty)
        #expect(server.produce().map(\.code) == [Code.refused])
        #expect(claw_h2_refused(server.raw) == 2 && !server.isOver)
        server.answer(1)
        server.answer(3)
        #expect(server.produce().map(\.kind) == [.headers, .headers])
        #expect(server.isOver && server.blame == nil)
    }

    @Test func H2_15_aPingIsAnsweredAndTold() {
        let server = Session.server()
        server.feed(Frame(kind: .ping, payload: Array("12345678".utf8)))
        #expect(server.produce() == [Frame(kind: .ping, flags: Frame.ack, payload: Array("12345678".utf8))])
        #expect(server.feed(Frame(kind: .ping, flags: Frame.ack, payload: Array("12345678".utf8))).isEmpty)
        claw_h2_ping(server.raw)
        let sent = server.produce()
        #expect(sent.map(\.kind) == [.ping])
        #expect(server.feed(Frame(kind: .ping, flags: Frame.ack, payload: sent[0].payload)).map(\.kind) == [CLAW_H2_PONG])
    }

    @Test func answersThatAreNoneAreRefused() {
        let server = Session.server()
        server.feed(headers(1, get))
        for lines in ["a b: c\r\n", "a: b", "a: b\n", ": b\r\n", "connection: close\r\n", "transfer-encoding: chunked\r\n", "a: \u{1}\r\n", "x\r\n"] {
            #expect(server.answer(1, 200, lines) == -EINVAL, "\(lines.debugDescription)")
        }
        #expect(server.answer(1, 101) == -EINVAL && server.answer(1, 99) == -EINVAL && server.answer(1, 1000) == -EINVAL)
        #expect(server.answer(3, 200) == -ENOENT)
        #expect(server.answer(1, 200, "a: b\r\n") == 0)
    }
}

