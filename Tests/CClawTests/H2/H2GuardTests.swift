import CClaw
import Glibc
import Testing

/// What a peer does wrong, and the error it gets: RFC 9113 and RFC 7541, MUST by MUST.
@Suite struct H2GuardTests {
    enum Verdict: Equatable, CustomStringConvertible {
        case connection(UInt32), stream(UInt32), fine
        var description: String {
            switch self {
            case .connection(let code): "connection error \(code)"
            case .stream(let code): "stream error \(code)"
            case .fine: "fine"
            }
        }
    }

    /// The verdict on frames that follow a sound beginning, the same in one piece and byte by byte.
    static func verdict(_ frames: [Frame], prepare: (Session) -> Void = { _ in }) -> Verdict {
        func judge(step: Int) -> Verdict {
            let server = Session.server { $0.streams_max = 10 }
            prepare(server)
            server.feed(frames.flatMap(\.bytes), step: step)
            let out = server.produce()
            if server.failed {
                #expect(server.blame != nil && server.isOver && claw_h2_wants_write(server.raw) == 0)
                #expect(out.last?.kind == .goaway && out.last?.code == claw_h2_blame_code(server.raw))
                #expect(server.feed(headers(99, get)).isEmpty && server.status == -EPROTO && server.produce().isEmpty)
                return .connection(out.last?.code ?? 999)
            }
            if let reset = out.first(where: { $0.kind == .reset }) { return .stream(reset.code!) }
            return .fine
        }
        let whole = judge(step: .max), pieces = judge(step: 1)
        #expect(whole == pieces)
        return whole
    }

    static func raw(_ kind: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> Frame {
        Frame(kind: Frame.Kind(rawValue: kind)!, flags: flags, stream: stream, payload: payload)
    }

    static let open = headers(1, post, end: false), done = headers(1, get)

    static let frameFaults: [(String, [Frame], Verdict)] = [
        // 4.1, 4.2
        ("a frame above 16384", [open, data(1, String(repeating: "a", count: 16385))], .connection(Code.frameSize)),
        ("a frame of exactly 16384", [open, data(1, String(repeating: "a", count: 16384))], .fine),
        ("an unknown frame", [Frame(kind: .unknown, flags: 255, stream: 9, payload: [1, 2, 3])], .fine),
        // 4.3
        ("HPACK index 0", [raw(1, 5, 1, [0x80])], .connection(Code.compression)),
        ("HPACK index beyond the tables", [raw(1, 5, 1, [0xFF, 0x80, 0x01])], .connection(Code.compression)),
        ("HPACK integer without end", [raw(1, 5, 1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F])], .connection(Code.compression)),
        ("HPACK table size above the setting", [raw(1, 5, 1, [0x3F, 0xE2, 0x1F] + hpack(get))], .connection(Code.compression)),
        ("HPACK table size behind a field", [raw(1, 5, 1, hpack(get) + [0x20])], .connection(Code.compression)),
        ("HPACK string cut off", [raw(1, 5, 1, [0x00, 0x05, 0x61])], .connection(Code.compression)),
        ("HPACK Huffman end of string", [raw(1, 5, 1, [0x00, 0x85, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0x61])], .connection(Code.compression)),
        ("HPACK Huffman padding of zeros", [raw(1, 5, 1, [0x00, 0x81, 0x18 & 0xFE, 0x01, 0x61])], .connection(Code.compression)),
        // 5.1
        ("DATA on an idle stream", [data(1, "a")], .connection(Code.protocolError)),
        ("RST_STREAM on an idle stream", [reset(1)], .connection(Code.protocolError)),
        ("WINDOW_UPDATE on an idle stream", [windowUpdate(1, 1)], .connection(Code.protocolError)),
        ("CONTINUATION on an idle stream", [raw(9, 4, 1, hpack(get))], .connection(Code.protocolError)),
        ("PRIORITY on an idle stream", [raw(2, 0, 7, [0, 0, 0, 1, 1])], .fine),
        ("DATA after END_STREAM", [done, data(1, "a")], .connection(Code.streamClosed)),
        ("HEADERS after END_STREAM", [done, headers(1, get)], .connection(Code.streamClosed)),
        ("DATA after their reset", [open, reset(1), data(1, "a")], .connection(Code.streamClosed)),
        ("HEADERS after their reset", [open, reset(1), headers(1, get)], .connection(Code.streamClosed)),
        ("PRIORITY, WINDOW_UPDATE and RST_STREAM after their reset", [open, reset(1), raw(2, 0, 1, [0, 0, 0, 3, 1]), windowUpdate(1, 1), reset(1)], .fine),
        ("DATA on a stream that was skipped", [headers(5, get), data(3, "a")], .connection(Code.streamClosed)),
        // 5.1.1
        ("an even stream", [headers(2, get)], .connection(Code.protocolError)),
        ("a stream below an earlier one", [headers(5, get), headers(3, get)], .connection(Code.protocolError)),
        ("HEADERS on stream 0", [headers(0, get)], .connection(Code.protocolError)),
        // 5.3.2, 6.3
        ("PRIORITY on stream 0", [raw(2, 0, 0, [0, 0, 0, 1, 1])], .connection(Code.protocolError)),
        ("PRIORITY of four bytes", [open, raw(2, 0, 1, [0, 0, 0, 1])], .connection(Code.frameSize)),
        ("PRIORITY on itself", [open, raw(2, 0, 1, [0x80, 0, 0, 1, 1])], .connection(Code.protocolError)),
        ("HEADERS with priority on itself", [raw(1, 0x25, 1, [0, 0, 0, 1, 1] + hpack(get))], .connection(Code.protocolError)),
        // 6.1, 6.2
        ("DATA on stream 0", [data(0, "a")], .connection(Code.protocolError)),
        ("DATA padded beyond its length", [open, raw(0, 8, 1, [4, 1, 2])], .connection(Code.protocolError)),
        ("DATA padded without a length", [open, raw(0, 8, 1, [])], .connection(Code.protocolError)),
        ("HEADERS padded beyond its length", [raw(1, 0x0D, 1, [100, 0x82])], .connection(Code.protocolError)),
        ("HEADERS with priority, too short", [raw(1, 0x25, 1, [0, 0, 0])], .connection(Code.frameSize)),
        ("HEADERS padded and with priority", [raw(1, 0x2D, 1, [2, 0, 0, 0, 3, 1] + hpack(get) + [0, 0])], .fine),
        // 6.4
        ("RST_STREAM on stream 0", [reset(0)], .connection(Code.protocolError)),
        ("RST_STREAM of five bytes", [open, raw(3, 0, 1, [0, 0, 0, 0, 0])], .connection(Code.frameSize)),
        // 6.5
        ("SETTINGS on a stream", [raw(4, 0, 1, [])], .connection(Code.protocolError)),
        ("SETTINGS ACK with payload", [raw(4, 1, 0, [0, 3, 0, 0, 0, 1])], .connection(Code.frameSize)),
        ("SETTINGS of five bytes", [raw(4, 0, 0, [0, 3, 0, 0, 0])], .connection(Code.frameSize)),
        ("SETTINGS_ENABLE_PUSH 2", [settings([(2, 2)])], .connection(Code.protocolError)),
        ("SETTINGS_INITIAL_WINDOW_SIZE 2^31", [settings([(4, 1 << 31)])], .connection(Code.flowControl)),
        ("SETTINGS_MAX_FRAME_SIZE 16383", [settings([(5, 16383)])], .connection(Code.protocolError)),
        ("SETTINGS_MAX_FRAME_SIZE 2^24", [settings([(5, 1 << 24)])], .connection(Code.protocolError)),
        ("an unknown setting", [settings([(0x7777, 1)])], .fine),
        ("a window that overflows by SETTINGS", [open, windowUpdate(1, 0x7FFF_FFFF - 65535), settings([(4, 65536)])], .connection(Code.flowControl)),
        // 6.6, 8.4
        ("PUSH_PROMISE", [open, raw(5, 4, 1, [0, 0, 0, 2] + hpack(get))], .connection(Code.protocolError)),
        // 6.7, 6.8
        ("PING on a stream", [raw(6, 0, 1, [0, 0, 0, 0, 0, 0, 0, 0])], .connection(Code.protocolError)),
        ("PING of seven bytes", [raw(6, 0, 0, [0, 0, 0, 0, 0, 0, 0])], .connection(Code.frameSize)),
        ("GOAWAY on a stream", [raw(7, 0, 1, [0, 0, 0, 0, 0, 0, 0, 0])], .connection(Code.protocolError)),
        ("GOAWAY of seven bytes", [raw(7, 0, 0, [0, 0, 0, 0, 0, 0, 0])], .connection(Code.frameSize)),
        // 6.9
        ("WINDOW_UPDATE of 0 on the connection", [windowUpdate(0, 0)], .connection(Code.protocolError)),
        ("WINDOW_UPDATE of 0 on a stream", [open, windowUpdate(1, 0)], .connection(Code.protocolError)),
        ("WINDOW_UPDATE of three bytes", [raw(8, 0, 0, [0, 0, 1])], .connection(Code.frameSize)),
        ("the connection's window above 2^31-1", [windowUpdate(0, 0x7FFF_FFFF)], .connection(Code.flowControl)),
        ("a stream's window above 2^31-1", [open, windowUpdate(1, 0x7FFF_FFFF)], .stream(Code.flowControl)),
        // 6.10
        ("CONTINUATION behind END_HEADERS", [open, raw(9, 4, 1, [])], .connection(Code.protocolError)),
        ("another frame within a header block", [raw(1, 1, 1, hpack(get)), data(1, "a")], .connection(Code.protocolError)),
        ("an unknown frame within a header block", [raw(1, 1, 1, hpack(get)), Frame(kind: .unknown)], .connection(Code.protocolError)),
        ("CONTINUATION of another stream", [raw(1, 1, 1, hpack(get)), raw(9, 4, 3, [])], .connection(Code.protocolError)),
        ("a header block in four frames", [raw(1, 1, 1, []), raw(9, 0, 1, hpack(get)), raw(9, 0, 1, []), raw(9, 4, 1, hpack([("a", "b")]))], .fine),
    ]

    @Test(arguments: frameFaults.indices) func H2_01_H2_12_H2_13_everyFaultOfFramesGetsItsError(_ i: Int) {
        let (name, frames, expected) = H2GuardTests.frameFaults[i]
        #expect(H2GuardTests.verdict(frames) == expected, "\(name)")
    }

    @Test func H2_01_flowControlIsHeldAgainstThePeer() {
        let block = Frame(kind: .data, stream: 1, payload: [UInt8](repeating: 0, count: 16384))
        let server = Session.server { $0.stream_window = 100_000; $0.connection_window = 1_000_000 }
        server.feed(headers(1, post, end: false), block, block, block, block, block, block)
        #expect(!server.failed)
        server.feed(block)
        #expect(server.failed && claw_h2_blame_code(server.raw) == Code.flowControl && server.blame == "flow_control_error")
        let other = Session.server { $0.stream_window = 1_000_000; $0.connection_window = 100_000 }
        other.feed(headers(1, post, end: false), block, block, block, block, block, block)
        #expect(!other.failed)
        other.feed(block)
        #expect(other.failed && claw_h2_blame_code(other.raw) == Code.flowControl)
    }

    /// Late frames of a stream that we reset are no fault of the peer's.
    @Test func H2_01_lateFramesOfStreamsWeResetAreTolerated() {
        for produced in [true, false] {
            let server = Session.server()
            server.feed(headers(1, post, end: false))
            claw_h2_reset(server.raw, 1, Code.cancel, 0)
            if produced { _ = server.produce() }
            let told = server.feed(data(1, "late"), windowUpdate(1, 1), headers(1, [("x-trailer", "1")]), reset(1))
            #expect(told.isEmpty && !server.failed)
        }
    }

    @Test func H2_18_aWrongPrefaceEndsTheConnection() {
        for (bytes, word) in [
            (Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), "bad_preface"), (Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX".utf8), "bad_preface"),
            (preface + headers(1, get).bytes, "bad_preface"), (preface + Frame(kind: .settings, flags: Frame.ack).bytes, "bad_preface"),
        ] {
            for step in [1, 10, Int.max] {
                let server = Session()
                server.feed(bytes, step: step)
                #expect(server.failed && server.blame == word && claw_h2_blame_code(server.raw) == Code.protocolError)
                #expect(server.produce().last?.kind == .goaway)
            }
        }
        let whole = preface + settings().bytes
        for cut in 0...whole.count {
            let server = Session()
            server.feed(Array(whole[..<cut]))
            server.feed(Array(whole[cut...]))
            #expect(!server.failed)
        }
    }

    // ---- messages (§8) ----------------------------------------------------------------------------

    static func with(_ changes: (inout Fields) -> Void) -> Fields {
        var fields = get
        changes(&fields)
        return fields
    }

    static func replacing(_ name: String, _ value: String?) -> Fields { get.compactMap { $0.0 == name ? value.map { (name, $0) } : $0 } }

    static let malformed: [(String, Fields)] = [
        ("no :method", replacing(":method", nil)), ("no :path", replacing(":path", nil)), ("no :scheme", replacing(":scheme", nil)),
        ("neither :authority nor host", replacing(":authority", nil)), ("empty", []), (":method twice", [(":method", "GET")] + get),
        (":path twice", get + [(":path", "/")]), ("a pseudo-header field behind a field", [("a", "b")] + get), (":status in a request", get + [(":status", "200")]),
        ("an unknown pseudo-header field", get + [(":extra", "1")]), (":path empty", replacing(":path", "")), (":path without slash", replacing(":path", "v1")),
        (":path absolute", replacing(":path", "http://example.com/")), (":path * for GET", replacing(":path", "*")), (":path with a space", replacing(":path", "/a b")),
        (":path with a line", replacing(":path", "/a\r\nx: y")), (":path with NUL", replacing(":path", "/a\u{0}")), (":path beyond ASCII", replacing(":path", "/ä")), (":path with a fragment", replacing(":path", "/a#b")),
        (":path with HTTP/1.1", replacing(":path", "/ HTTP/1.1\r\nhost: evil\r\n\r\n")), (":method empty", replacing(":method", "")),
        (":method with a space", replacing(":method", "GET /x")), (":method with a line", replacing(":method", "GET\r\n")), (":method with a colon", replacing(":method", "GE:T")),
        (":scheme ftp", replacing(":scheme", "ftp")), (":scheme with a line", replacing(":scheme", "http\r\n")), (":authority empty", replacing(":authority", "")),
        (":authority with a user", replacing(":authority", "user@example.com")), (":authority with a space", replacing(":authority", "a b")),
        (":authority with a slash", replacing(":authority", "a/b")), (":authority with a line", replacing(":authority", "a\r\nb: c")),
        (":protocol without leave", get + [(":protocol", "websocket")]), ("CONNECT with a path", replacing(":method", "CONNECT")),
        ("CONNECT without authority", [(":method", "CONNECT")]), ("host that differs", get + [("host", "evil.com")]), ("host twice", get + [("host", "example.com"), ("host", "example.com")]),
        ("host with a user", replacing(":authority", nil) + [("host", "a@b")]), ("host empty", replacing(":authority", nil) + [("host", "")]),
        ("an upper-case name", get + [("X-A", "b")]), ("an empty name", get + [("", "b")]), ("a name with a colon", get + [("a:b", "c")]), ("a name with a space", get + [("a b", "c")]),
        ("a name with a trailing space", get + [("a ", "c")]), ("a name with a line", get + [("a\r\nb", "c")]), ("a name with NUL", get + [("a\u{0}", "c")]),
        ("a name beyond ASCII", get + [("ä", "c")]), ("a name with DEL", get + [("a\u{7F}", "c")]), ("a name with a parenthesis", get + [("a(b", "c")]),
        ("a value with a line feed", get + [("a", "b\nc: d")]), ("a value with a carriage return", get + [("a", "b\rc")]), ("a value with NUL", get + [("a", "b\u{0}c")]),
        ("a value with a control", get + [("a", "b\u{1}c")]), ("a value with a leading space", get + [("a", " b")]), ("a value with a trailing tab", get + [("a", "b\t")]),
        ("connection", get + [("connection", "close")]), ("keep-alive", get + [("keep-alive", "1")]), ("proxy-connection", get + [("proxy-connection", "close")]),
        ("transfer-encoding", get + [("transfer-encoding", "chunked")]), ("upgrade", get + [("upgrade", "h2c")]), ("te: gzip", get + [("te", "gzip")]),
        ("te: trailers, gzip", get + [("te", "trailers, gzip")]), ("content-length that is none", get + [("content-length", "1a")]), ("content-length +0", get + [("content-length", "+0")]),
        ("content-length empty", get + [("content-length", "")]), ("content-length of 19 digits", get + [("content-length", "1000000000000000000")]),
        ("content-length as a list", get + [("content-length", "0, 0")]), ("content-lengths that differ", get + [("content-length", "0"), ("content-length", "1")]),
        ("content-length without payload", get + [("content-length", "5")]),
    ]

    @Test(arguments: malformed.indices) func H2_10_H2_11_aMalformedRequestIsResetAndNeverTold(_ i: Int) {
        let (name, fields) = H2GuardTests.malformed[i]
        for split in [false, true] {
            let server = Session.server(), block = hpack(fields)
            let frames = split
                ? [Frame(kind: .headers, flags: Frame.end, stream: 1, payload: Array(block.prefix(block.count / 2))), Frame(kind: .continuation, flags: 4, stream: 1, payload: Array(block.dropFirst(block.count / 2)))]
                : [headers(1, fields)]
            #expect(server.feed(frames).isEmpty, "\(name)")
            #expect(server.produce() == [reset(1, Code.protocolError)], "\(name)")
            // The connection goes on, and so does its compression.
            #expect(server.feed(headers(3, get)).map(\.kind) == [CLAW_H2_HEAD, CLAW_H2_END] && !server.failed)
            #expect(claw_h2_malformed(server.raw) == 1)
        }
    }

    @Test func H2_14_payloadMustBeAsLongAsContentLength() {
        let five = post + [("content-length", "5")]
        for frames in [[data(1, "toolong")], [data(1, "abc"), data(1, "def")], [data(1, "abc", end: true)], [data(1, "", end: true)], [data(1, "ab"), headers(1, [("a", "b")])]] {
            let server = Session.server()
            server.feed(headers(1, five, end: false))
            claw_h2_user(server.raw, 1, 9)
            let told = server.feed(frames)
            #expect(told.last == Told(kind: CLAW_H2_RESET, stream: 1, user: 9, text: "", error: Code.protocolError, flags: UInt32(CLAW_H2_OURS)))
            #expect(server.produce().filter { $0.kind == .reset } == [reset(1, Code.protocolError)])
        }
        let same = Session.server()
        let told = same.feed(headers(1, five + [("content-length", "5")], end: false), data(1, "abcde"), data(1, "", end: true))
        #expect(told.map(\.kind) == [CLAW_H2_HEAD, CLAW_H2_DATA, CLAW_H2_END] && told[0].text.components("content-length") == 1)
    }

    @Test func H2_11_malformedTrailersResetTheStream() {
        for (fields, end) in [([(":path", "/")], true), ([("X", "y")], true), ([("transfer-encoding", "chunked")], true), ([("a", "b")], false)] as [(Fields, Bool)] {
            let server = Session.server()
            server.feed(headers(1, post, end: false))
            #expect(server.feed(headers(1, fields, end: end)).map(\.kind) == [CLAW_H2_RESET])
            #expect(server.produce().map(\.code) == [Code.protocolError])
        }
        let server = Session.server()
        server.feed(headers(1, post, end: false))
        #expect(server.feed(headers(1, [("content-length", "9"), ("host", "evil"), ("a", "b")])).map(\.text) == ["a: b\r\n", ""])
    }
}

extension String {
    func components(_ part: String) -> Int { ranges(of: part).count }
}
