import CClaw
import Glibc
import Testing

/// A session as client against a server that a test plays frame by frame.
@Suite struct H2ClientTests {
    /// A client whose SETTINGS are answered, with `count` requests on their way.
    private func client(_ count: Int = 1, method: String = "GET", settings entries: [(UInt16, UInt32)] = []) -> Session {
        let client = Session(client: true)
        _ = client.produce()
        client.feed(settings(entries), Frame(kind: .settings, flags: Frame.ack))
        for _ in 0..<count { #expect(client.ask("\(method) / HTTP/1.1\r\nHost: h\r\n\r\n", user: 3) > 0) }
        _ = client.produce()
        return client
    }

    private let ok: Fields = [(":status", "200")]

    @Test func aRequestIsTakenFromItsHTTP1Head() {
        let client = Session(client: true), server = Session.server()
        let text = "POST /a?b=c HTTP/1.1\r\nX-A: 1\r\nHost: h:1\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nUpgrade: x\r\n\r\n"
        #expect(client.ask(text, end: false) == 1)
        let out = client.output()
        #expect(out.starts(with: preface))
        let told = Session().feed(out)
        #expect(told[0].text == "POST /a?b=c HTTP/1.1\r\nhost: h:1\r\nx-a: 1\r\nte: trailers\r\n\r\n" && told.count == 1)
        let first = Session.frames(out)
        #expect(first[0].kind == .settings && first[0].payload.count % 6 == 0)
        #expect(stride(from: 0, to: first[0].payload.count, by: 6).contains { first[0].payload[$0 + 1] == 2 && number(first[0].payload, $0 + 2) == 0 })
        _ = server
    }

    @Test func requestsThatAreNoneAreRefused() {
        let client = client(0)
        for text in [
            "", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "G(T / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\na\r\n\r\n",
            "GET /\r\n\r\n", "\r\n\r\n", "GET / HTTP/1.1\rHost: h\r\n\r\n",
        ] { #expect(client.ask(text) == -EINVAL, "\(text.debugDescription)") }
        #expect(claw_h2_streams(client.raw) == 0 && client.produce().isEmpty)
        #expect(Session.server().ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n") == -EINVAL)
    }

    @Test func theServersLimitOfStreamsIsHeld() {
        let client = client(2, settings: [(3, 2)]), text = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
        #expect(client.ask(text) == -EAGAIN)
        #expect(client.feed(headers(1, ok)).map(\.kind) == [CLAW_H2_HEAD, CLAW_H2_END])
        #expect(client.ask(text) == 5)
    }

    @Test func interimHeadsComeBeforeTheHeadAndTrailersAfterTheBody() {
        let client = client()
        let told = client.feed(headers(1, [(":status", "100")], end: false), headers(1, [(":status", "103"), ("link", "x")], end: false), headers(1, ok + [("a", "b")], end: false), data(1, "body"), headers(1, [("t", "1")]))
        #expect(told.map(\.kind) == [CLAW_H2_INTERIM, CLAW_H2_INTERIM, CLAW_H2_HEAD, CLAW_H2_DATA, CLAW_H2_TRAILERS, CLAW_H2_END])
        #expect(told.allSatisfy { $0.user == 3 && $0.stream == 1 })
        #expect(claw_h2_streams(client.raw) == 0)
    }

    @Test func aMalformedAnswerResetsItsStream() {
        let cases: [(String, [Frame])] = [
            ("no :status", [headers(1, [("a", "b")])]), (":status of two digits", [headers(1, [(":status", "20")])]), (":status that is none", [headers(1, [(":status", "abc")])]),
            (":status twice", [headers(1, ok + ok)]), ("a pseudo-header field of requests", [headers(1, ok + [(":path", "/")])]), (":status behind a field", [headers(1, [("a", "b")] + ok)]),
            ("101", [headers(1, [(":status", "101")], end: false)]), ("an interim head that ends", [headers(1, [(":status", "100")])]),
            ("payload between the heads", [headers(1, [(":status", "100")], end: false), data(1, "a")]), ("connection", [headers(1, ok + [("connection", "close")])]),
            ("transfer-encoding", [headers(1, ok + [("transfer-encoding", "chunked")])]), ("upper case", [headers(1, ok + [("A", "b")])]), ("a line in a value", [headers(1, ok + [("a", "b\r\nc: d")])]),
            ("content-lengths that differ", [headers(1, ok + [("content-length", "1"), ("content-length", "2")], end: false)]), ("too short", [headers(1, ok + [("content-length", "2")], end: false), data(1, "a", end: true)]),
            ("too long", [headers(1, ok + [("content-length", "2")], end: false), data(1, "abc")]), ("short without payload", [headers(1, ok + [("content-length", "2")])]),
            ("trailers that do not end", [headers(1, ok, end: false), headers(1, [("a", "b")], end: false)]),
        ]
        for (name, frames) in cases {
            for step in [1, Int.max] {
                let client = client()
                let told = client.feed(frames.flatMap(\.bytes), step: step)
                #expect(told.last.map { $0.kind == CLAW_H2_RESET && $0.error == Code.protocolError && $0.flags == UInt32(CLAW_H2_OURS) && $0.user == 3 } == true, "\(name): \(told)")
                #expect(client.produce().filter { $0.kind == .reset } == [reset(1, Code.protocolError)], "\(name)")
                #expect(!client.failed)
            }
        }
    }

    @Test func answersWithoutBodyMayNameItsLength() {
        #expect(client(method: "HEAD").feed(headers(1, ok + [("content-length", "5")])).map(\.kind) == [CLAW_H2_HEAD, CLAW_H2_END])
        #expect(client().feed(headers(1, [(":status", "304"), ("content-length", "5")])).map(\.kind) == [CLAW_H2_HEAD, CLAW_H2_END])
        #expect(client(method: "HEAD").feed(headers(1, ok, end: false), data(1, "a")).last?.kind == CLAW_H2_RESET)
    }

    @Test func H2_13_whatAServerMustNotDoEndsTheConnection() {
        let cases: [(String, [Frame], UInt32)] = [
            ("PUSH_PROMISE", [Frame(kind: .push, flags: 4, stream: 1, payload: [0, 0, 0, 2] + hpack(get))], Code.protocolError), ("a stream of its own", [headers(2, get)], Code.protocolError),
            ("an answer to nothing", [headers(9, ok)], Code.protocolError), ("DATA on nothing", [data(9, "a")], Code.protocolError),
            ("DATA after the end", [headers(1, ok), data(1, "a")], Code.streamClosed), ("HEADERS after the end", [headers(1, ok), headers(1, ok)], Code.streamClosed),
            ("ENABLE_PUSH", [settings([(2, 1)])], Code.protocolError), ("DATA on stream 0", [data(0, "a")], Code.protocolError),
            ("DATA before the head", [data(1, "a")], Code.protocolError), ("an empty end before the head", [data(1, "", end: true)], Code.protocolError),
        ]
        for (name, frames, code) in cases {
            let client = client()
            client.feed(frames)
            #expect(client.failed && claw_h2_blame_code(client.raw) == code, "\(name)")
            #expect(client.produce().last?.code == code, "\(name)")
        }
    }

    @Test func streamsBeyondAGoawayAreOverAndMayBeTriedElsewhere() {
        let client = client(3)
        #expect(client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n", user: 4) == 7) // not sent yet
        let told = client.feed(Frame(kind: .goaway, payload: word(3) + word(0)), headers(1, ok)) + { _ = client.produce(); return client.pull() }()
        #expect(told.contains { $0.kind == CLAW_H2_GOAWAY && $0.stream == 3 })
        #expect(Set(told.filter { $0.kind == CLAW_H2_RESET && $0.error == Code.refused }.map(\.stream)) == [5, 7])
        #expect(told.first { $0.stream == 7 }?.user == 4)
        #expect(client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n") == -EAGAIN && !client.isOver)
        client.feed(headers(3, ok))
        #expect(client.isOver && claw_h2_streams(client.raw) == 0)
    }

    @Test func aRequestIsResetBeforeAndAfterItWasSent() {
        let client = client()
        #expect(claw_h2_reset(client.raw, 1, Code.cancel, 0) == 0)
        let second = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(claw_h2_reset(client.raw, UInt32(second), Code.cancel, 0) == 0)
        _ = client.produce()
        #expect(client.feed(headers(1, ok, end: false), data(1, "late")).isEmpty && !client.failed)
        #expect(client.pull().isEmpty && claw_h2_streams(client.raw) == 0)
    }

    @Test func anUploadFollowsTheServersWindow() {
        let client = client(0)
        let id = UInt32(client.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n", end: false))
        claw_h2_offer(client.raw, id, 100_000, 1)
        #expect(client.produce().reduce(0) { $0 + ($1.kind == .data ? $1.payload.count : 0) } == 65535)
        client.feed(windowUpdate(0, 50_000), windowUpdate(id, 50_000))
        let rest = client.produce()
        #expect(rest.reduce(0) { $0 + $1.payload.count } == 100_000 - 65535 && rest.last?.ends == true)
    }
}
