import Testing
@testable import ClawWire

/// Rows of the fault table that the request parser decides, and what it tells the server for the others.
struct RequestHeadTests {
    private func parse(_ text: String, limits: HeadLimits = HeadLimits(), into head: RequestHead = RequestHead()) -> HeadProgress {
        parse(Array(text.utf8), limits: limits, into: head)
    }

    private func parse(_ bytes: [UInt8], limits: HeadLimits = HeadLimits(), into head: RequestHead = RequestHead()) -> HeadProgress {
        var parser = RequestParser()
        return bytes.withUnsafeBytes { parser.parse($0, limits: limits, into: head) }
    }

    /// A refusal's status and reason; and that the byte it names is the one that decided.
    private func refusal(_ text: String, limits: HeadLimits = HeadLimits()) -> String { refusal(Array(text.utf8), limits: limits) }

    private func refusal(_ bytes: [UInt8], limits: HeadLimits = HeadLimits()) -> String {
        switch parse(bytes, limits: limits) {
        case .needMore: return "needMore"
        case .complete: return "complete"
        case .refused(let refusal):
            #expect(parse(Array(bytes[..<refusal.offset]), limits: limits) == .needMore, "decided before \(refusal)")
            #expect(parse(Array(bytes[...refusal.offset]), limits: limits) == .refused(refusal), "decided behind \(refusal)")
            return "\(refusal.status) \(refusal.reason)"
        }
    }

    private func withField(_ line: String, version: String = "1.1") -> String { "POST / HTTP/\(version)\r\nHost: a\r\n\(line)\r\n\r\n" }

    @Test func H1_01_contentLengthBesideTransferEncodingIsRefused() {
        #expect(refusal(withField("Content-Length: 5\r\nTransfer-Encoding: chunked")) == "400 content_length_and_transfer_encoding")
        #expect(refusal(withField("Transfer-Encoding: chunked\r\nContent-Length: 5")) == "400 content_length_and_transfer_encoding")
        #expect(refusal(withField("Transfer-Encoding: xchunked\r\nContent-Length: 5")) == "400 content_length_and_transfer_encoding")
    }

    @Test func H1_02_severalContentLengthsAreRefused() {
        #expect(refusal(withField("Content-Length: 5\r\nContent-Length: 5")) == "400 content_length_conflict")
        #expect(refusal(withField("Content-Length: 5\r\ncontent-length: 6")) == "400 content_length_conflict")
        #expect(refusal(withField("Content-Length: 5, 5")) == "400 content_length")
    }

    @Test(arguments: ["+5", "-1", "0x5", "5_0", "5e0", "", "5 5", "5,", ",5", "5\u{A0}", "\u{A0}5", "5;", "\"5\"", "5.0", "٥"])
    func H1_03_oddContentLengthsAreRefused(_ value: String) {
        #expect(refusal(withField("Content-Length: \(value)")) == "400 content_length")
    }

    @Test func H1_04_hugeContentLengthsAreRefusedWithoutATrap() {
        let head = RequestHead()
        #expect(refusal(withField("Content-Length: 9223372036854775808")) == "400 content_length_overflow")
        #expect(refusal(withField("Content-Length: 18446744073709551617")) == "400 content_length_overflow")
        #expect(refusal(withField("Content-Length: " + String(repeating: "9", count: 40))) == "400 content_length_overflow")
        #expect(refusal(withField("Content-Length: " + String(repeating: "9", count: 40) + "x")) == "400 content_length")
        _ = parse(withField("Content-Length: 9223372036854775807"), into: head)
        #expect(head.framing == .contentLength(9_223_372_036_854_775_807))
        _ = parse(withField("Content-Length: " + String(repeating: "0", count: 40) + "7"), into: head)
        #expect(head.framing == .contentLength(7))
    }

    @Test func H1_06_transferEncodingsOtherThanChunkedAreRefused() {
        for value in ["chunked, gzip", "chunked, chunked", "identity", ",chunked", "chunked,", "", "chunked;q=1", "\u{A0}chunked", "gzip, identity", "gzip, deflate", "\"chunked\""] {
            #expect(refusal(withField("Transfer-Encoding: \(value)")) == "400 transfer_encoding", "\(value)")
        }
        for value in ["gzip", "xchunked", "gzip, chunked", "deflate , Chunked"] {
            #expect(refusal(withField("Transfer-Encoding: \(value)")) == "501 transfer_encoding_unsupported", "\(value)")
        }
        #expect(refusal(withField("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")) == "400 transfer_encoding_repeated")
        #expect(refusal(withField("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked")) == "501 transfer_encoding_unsupported")
        let head = RequestHead()
        _ = parse(withField("transfer-ENCODING:\tCHUNKED \t"), into: head)
        #expect(head.framing == .chunked)
    }

    @Test func H1_07_controlAndHighBytesAroundTransferEncodingAreRefused() {
        for byte in Array(UInt8(0)...0x1F) + Array(0x7F...0xFF) {
            for place in 0..<4 {
                var line = [Array("Transfer-Encoding".utf8), Array(":".utf8), Array("chunked".utf8), []]
                line[place].insert(byte, at: 0)
                let bytes = Array("POST / HTTP/1.1\r\nHost: a\r\n".utf8) + line.joined() + Array("\r\n\r\n".utf8)
                // HTAB is white space, which may stand around a value.
                if byte == 9 && place >= 2 { continue }
                let outcome = refusal(bytes)
                #expect(outcome.hasPrefix("400 "), "byte \(byte) at place \(place): \(outcome)")
            }
        }
    }

    @Test func H1_08_transferEncodingInHTTP10IsRefused() {
        #expect(refusal(withField("Transfer-Encoding: chunked", version: "1.0")) == "400 transfer_encoding_http10")
    }

    @Test func H1_14_lineEndsOtherThanCRLFAreRefused() {
        #expect(refusal("GET / HTTP/1.1\nHost: a\r\n\r\n") == "400 bare_lf")
        #expect(refusal("GET / HTTP/1.1\r\nHost: a\n\r\n") == "400 bare_lf")
        #expect(refusal("GET / HTTP/1.1\r\nHost: a\r\n\n") == "400 bare_lf")
        #expect(refusal("GET / HTTP/1.1\r\nHost: a\r\rX") == "400 bare_cr")
        #expect(refusal("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n") == "400 bare_cr")
        #expect(refusal("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n") == "400 bare_cr")
        #expect(refusal("GET / HTTP/1.1\r\nHost: a\r\n\rX") == "400 bare_cr")
        #expect(refusal("\nGET / HTTP/1.1\r\n\r\n") == "400 bare_lf")
        #expect(refusal("\rGET / HTTP/1.1\r\n\r\n") == "400 bare_cr")
        #expect(refusal("GET /\n") == "400 bare_lf")
        #expect(refusal("GET\n") == "400 bare_lf")
    }

    @Test func H1_15_controlBytesAreRefusedAnywhere() {
        for byte in Array(UInt8(0)...0x1F) + [0x7F] {
            for (before, after) in [("GE", "T / HTTP/1.1\r\n\r\n"), ("GET /a", "b HTTP/1.1\r\n\r\n"), ("GET / HTTP/1.1\r\nna", "me: v\r\n\r\n"), ("GET / HTTP/1.1\r\nname: v", "v\r\n\r\n")] {
                if byte == 9 && before.hasSuffix(": v") { continue }
                let outcome = refusal(Array(before.utf8) + [byte] + Array(after.utf8))
                #expect(outcome.hasPrefix("400 "), "byte \(byte) behind \(before): \(outcome)")
            }
        }
    }

    @Test func H1_16_malformedFieldLinesAreRefused() {
        #expect(refusal("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n") == "400 folded_line")
        #expect(refusal("GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n") == "400 folded_line")
        #expect(refusal("GET / HTTP/1.1\r\n A: b\r\n\r\n") == "400 space_before_fields")
        #expect(refusal("GET / HTTP/1.1\r\nA : b\r\n\r\n") == "400 space_before_colon")
        #expect(refusal("GET / HTTP/1.1\r\n: b\r\n\r\n") == "400 field_name_empty")
        #expect(refusal("GET / HTTP/1.1\r\nA\r\n\r\n") == "400 field_without_colon")
        #expect(refusal("GET / HTTP/1.1\r\nA\r\n : b\r\n\r\n") == "400 field_without_colon")
        #expect(refusal("GET / HTTP/1.1\r\nA@: b\r\n\r\n") == "400 field_name_byte")
    }

    @Test(arguments: [
        ("Host: gateway.test", HostProblem.none), ("Host: gateway.test:8080", .none), ("Host: gateway.test:", .none), ("Host: [::1]:80", .none), ("Host: 127.0.0.1", .none),
        ("X: y", .missing), ("Host: a\r\nHost: a", .duplicate), ("Host: a\r\nhost: b", .duplicate), ("Host:", .invalid), ("Host: a, b", .invalid), ("Host: a,b", .invalid),
        ("Host: u@a", .invalid), ("Host: u:p@a", .invalid), ("Host: a b", .invalid), ("Host: a/b", .invalid), ("Host: a:b", .invalid), ("Host: a:65536", .invalid),
        ("Host: :80", .invalid), ("Host: [::1", .invalid), ("Host: [::1]x", .invalid), ("Host: [fe80::1%25eth0]", .invalid), ("Host: a%20b", .invalid), ("Host: \u{E9}", .invalid),
        ("Host: http://a", .invalid), ("Host: a?b", .invalid), ("Host: a#b", .invalid), ("Host: a:1:2", .invalid), ("Host: a:99999999999999999999", .invalid),
    ])
    func H1_17_problemsOfHostAreTold(_ lines: String, _ problem: HostProblem) {
        let head = RequestHead()
        #expect(parse("GET / HTTP/1.1\r\n\(lines)\r\n\r\n", into: head) != .needMore)
        #expect(head.hostProblem == problem)
    }

    @Test func H1_17_anHTTP10RequestNeedsNoHost() {
        let head = RequestHead()
        _ = parse("GET / HTTP/1.0\r\n\r\n", into: head)
        #expect(head.hostProblem == .none && head.hostLength == 0 && !head.keepAlive)
        _ = parse("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", into: head)
        #expect(head.hostProblem == .duplicate && head.keepAlive)
    }

    @Test func H1_18_absoluteFormRoutesByTheTarget() {
        let text = "POST HTTPS://target.test:444/v1/x?y=/z?[] HTTP/1.1\r\nHost: other.test\r\n\r\n"
        #expect(refusal(text) == "400 target_byte")
        let head = RequestHead()
        let right = Array("POST HTTPS://target.test:444/v1/x?y=/z? HTTP/1.1\r\nHost: other.test\r\n\r\n".utf8)
        #expect(parse(right, into: head) == .complete(right.count))
        func part(_ offset: Int, _ length: Int) -> String { String(decoding: right[offset..<offset + length], as: UTF8.self) }
        #expect(part(head.hostOffset, head.hostLength) == "target.test:444")
        #expect(part(head.pathOffset, head.pathLength) == "/v1/x")
        #expect(part(head.queryOffset, head.queryLength) == "y=/z?")
        #expect(head.isAbsoluteForm && head.hasQuery && head.hostProblem == .none)
        _ = parse("GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", into: head)
        #expect(head.pathLength == 0 && head.queryLength == 1)
        _ = parse("GET /x HTTP/1.1\r\nHost: b\r\n\r\n", into: head)
        #expect(!head.isAbsoluteForm && !head.hasQuery && head.queryLength == 0 && head.hostLength == 1)
    }

    @Test func H1_18_otherFormsAreRefused() {
        for (target, reason) in [
            ("http://", "target_authority"), ("http:///x", "target_authority"), ("http://u@a/", "target_userinfo"), ("http://a:b@c/", "target_userinfo"),
            ("ftp://a/", "target_form"), ("x", "target_form"), ("*", "target_asterisk"), ("http://[::1/", "target_authority"), ("http://a/[x]", "target_byte"),
            ("/%zz", "target_escape"), ("/%4", "target_escape"), ("/a#b", "target_fragment"), ("/a|b", "target_byte"), ("/a[b", "target_byte"), ("http://a:x/", "target_authority"),
        ] {
            #expect(refusal("GET \(target) HTTP/1.1\r\n\r\n") == "400 \(reason)", "\(target)")
        }
        #expect(refusal("OPTIONS * HTTP/1.1\r\n\r\n") == "complete")
        #expect(refusal("OPTIONS ** HTTP/1.1\r\n\r\n") == "400 target_form")
        #expect(refusal("GET  / HTTP/1.1\r\n\r\n") == "400 request_line")
    }

    @Test func H1_19_limitsOfTheHeadHold() {
        var limits = HeadLimits()
        limits.targetBytesMax = 20
        #expect(refusal("GET /" + String(repeating: "a", count: 19) + " HTTP/1.1\r\n\r\n", limits: limits) == "complete")
        #expect(refusal("GET /" + String(repeating: "a", count: 20) + " HTTP/1.1\r\n\r\n", limits: limits) == "414 target_too_long")
        for pad in 15...20 {
            let outcome = refusal("GET /" + String(repeating: "a", count: pad) + "%41 HTTP/1.1\r\n\r\n", limits: limits)
            #expect(outcome == (pad <= 16 ? "complete" : "414 target_too_long"), "\(pad)")
        }
        limits = HeadLimits()
        limits.fieldsMax = 3
        let field = "A: b\r\n"
        #expect(refusal("GET / HTTP/1.1\r\n" + String(repeating: field, count: 3) + "\r\n", limits: limits) == "complete")
        #expect(refusal("GET / HTTP/1.1\r\n" + String(repeating: field, count: 4) + "\r\n", limits: limits) == "431 too_many_fields")
        limits.fieldsMax = 100_000
        #expect(refusal("GET / HTTP/1.1\r\n" + String(repeating: field, count: 128) + "\r\n", limits: limits) == "complete")
        #expect(refusal("GET / HTTP/1.1\r\n" + String(repeating: field, count: 129) + "\r\n", limits: limits) == "431 too_many_fields")
        limits = HeadLimits()
        limits.headBytesMax = 64
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        for pad in 20...50 {
            let text = start + String(repeating: "x", count: pad) + "\r\n\r\n"
            #expect(refusal(text, limits: limits) == (text.utf8.count <= 64 ? "complete" : "431 head_too_large"), "\(pad)")
        }
        #expect(refusal("GET /" + String(repeating: "a", count: 100), limits: limits) == "414 target_too_long")
        #expect(refusal(String(repeating: "A", count: 100), limits: limits) == "431 head_too_large")
        #expect(refusal(String(repeating: "\r\n", count: 100), limits: limits) == "431 head_too_large")
        limits.headBytesMax = 0
        #expect(refusal("G", limits: limits) == "431 head_too_large")
        limits.headBytesMax = 1 << 20
        #expect(refusal("GET / HTTP/1.1\r\n" + String(repeating: "a", count: 70000), limits: limits) == "431 field_name_too_long")
    }

    @Test func H1_20_otherVersionsAreRefused() {
        for (version, outcome) in [
            ("HTTP/2.0", "505 version_major"), ("HTTP/0.9", "505 version_major"), ("HTTP/1.32", "400 version"), ("HTTP/1.1 x", "400 version"), ("http/1.1", "400 version"),
            ("HTTP/1", "400 version"), ("HTTP/1.", "400 version"), ("HTTP/11.1", "400 version"), ("HTTP/1.1 ", "400 version"), ("HTTP /1.1", "400 version"), ("", "400 version"),
        ] {
            #expect(refusal("GET / \(version)\r\n\r\n") == outcome, "\(version)")
        }
        #expect(refusal("GET /\r\n\r\n") == "400 request_line")
        #expect(refusal("GET / HTTP/1.9\r\n\r\n") == "complete")
    }

    @Test func H1_21_methodsAreCaseSensitiveTokens() {
        let head = RequestHead()
        for (word, method) in [
            ("GET", HTTPMethod.get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete), ("PATCH", .patch), ("OPTIONS", .options), ("TRACE", .trace),
            ("get", .other), ("Post", .other), ("GETT", .other), ("PURGE", .other), ("G", .other), (String(repeating: "A", count: 4096), .other),
        ] {
            _ = parse("\(word) / HTTP/1.1\r\n\r\n", into: head)
            #expect(head.method == method && head.methodLength == word.utf8.count, "\(word)")
        }
        #expect(refusal(" / HTTP/1.1\r\n\r\n") == "400 method_byte")
        #expect(refusal("G(T / HTTP/1.1\r\n\r\n") == "400 method_byte")
        _ = parse("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 3\r\n\r\n", into: head)
        #expect(head.method == .connect && head.framing == .none && !head.keepAlive && head.hostLength == 5)
        for target in ["a", "/", "http://a/", "a:", ":443", "u@a:443", "a:443/"] {
            #expect(refusal("CONNECT \(target) HTTP/1.1\r\n\r\n") == "400 target_authority", "\(target)")
        }
    }

    @Test func H1_22_onlyOneExpectationIsKnown() {
        let head = RequestHead()
        _ = parse(withField("Expect: 100-Continue"), into: head)
        #expect(head.expectContinue)
        _ = parse(withField("X: y"), into: head)
        #expect(!head.expectContinue)
        #expect(refusal(withField("Expect: tea")) == "417 expectation")
        #expect(refusal(withField("Expect: ")) == "417 expectation")
        #expect(refusal(withField("Expect: tea\r\nContent-Length: x")) == "400 content_length")
        _ = parse(withField("Expect: 100-continue", version: "1.0"), into: head)
        #expect(!head.expectContinue)
    }

    @Test func H1_24_upgradeIsToldAndChangesNothing() {
        let head = RequestHead()
        _ = parse(withField("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x"), into: head)
        #expect(head.hasUpgrade && head.connectionSaysUpgrade && head.keepAlive && head.framing == .none)
        #expect(head.connectionNameCount == 1 && !head.connectionNamesProtected)
    }

    @Test func H1_27_connectionNamesFieldsButNoProtectedOnes() {
        let head = RequestHead()
        let text = withField("Connection: close,, X-Hop ,x-none\r\nX-HOP: 1\r\nX-Hopp: 1\r\nConnection: te\r\nTE: trailers;q=0.5\r\nx-hop: 2")
        _ = parse(text, into: head)
        #expect(!head.keepAlive && !head.connectionNamesProtected && head.acceptsTrailers)
        #expect(head.connectionNameCount == 3)
        let named = (0..<head.fieldCount).filter { head.fields[$0].isNamedByConnection }
        #expect(named == [2, 5, 6])
        for name in ["authorization", "X-Api-Key", "HOST", "content-length", "Transfer-Encoding", "x-openclaw-route", "cookie", "x-forwarded-for", "content-type"] {
            _ = parse(withField("Connection: keep-alive, \(name)"), into: head)
            #expect(head.connectionNamesProtected, "\(name)")
        }
        let many = (0..<17).map { "x\($0)" }.joined(separator: ",")
        #expect(refusal(withField("Connection: \(many)")) == "400 connection_options")
        _ = parse(withField("X: y"), into: head)
        #expect(head.connectionNameCount == 0 && !head.connectionNamesProtected && head.keepAlive && !head.acceptsTrailers)
    }

    @Test func H1_29_doubleCredentialsAndUnderscoresAreTold() {
        let head = RequestHead()
        for name in ["Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"] {
            _ = parse(withField("\(name): a\r\nOther: b\r\n\(name.lowercased()): a"), into: head)
            #expect(head.duplicateAuthorization, "\(name)")
            _ = parse(withField("\(name): a"), into: head)
            #expect(!head.duplicateAuthorization, "\(name)")
        }
        _ = parse(withField("X_Api_Key: a\r\nA-Long-Name-Without-Any: b\r\nA-Long-Name-With-It-At-The-Very-End_: c"), into: head)
        #expect((0..<head.fieldCount).map { head.fields[$0].hasUnderscore } == [false, true, false, true])
        #expect(head.fields[1].name == .other)
    }

    @Test func H1_34_whatIsNoHTTPIsRefusedAtOnce() {
        #expect(refusal([0x16, 0x03, 0x01]) == "400 method_byte")
        #expect(refusal([0x80]) == "400 method_byte")
        #expect(refusal([0]) == "400 method_byte")
        #expect(refusal("SSH-2.0-OpenSSH_9.2\r\n") == "400 request_line")
    }

    /// A connection's head comes in pieces while others use the worker's table.
    @Test func H1_30_aHeadInPiecesIsReadWholeInTheEnd() {
        let one = Array("GET /one HTTP/1.1\r\nHost: one\r\nAuthorization: x\r\n\r\n".utf8)
        let two = Array("POST /two HTTP/1.1\r\nHost: two\r\nContent-Length: 2\r\nConnection: close, x\r\nX: y\r\n\r\n".utf8)
        let head = RequestHead()
        for cut in 1..<one.count {
            var first = RequestParser(), second = RequestParser()
            #expect(one[..<cut].withUnsafeBytes { first.parse($0, limits: HeadLimits(), into: head) } == .needMore)
            #expect(first.hasBegun)
            #expect(two.withUnsafeBytes { second.parse($0, limits: HeadLimits(), into: head) } == .complete(two.count))
            #expect(one.withUnsafeBytes { first.parse($0, limits: HeadLimits(), into: head) } == .complete(one.count))
            #expect(!first.hasBegun)
            #expect(head.method == .get && head.framing == .none && head.keepAlive && head.fieldCount == 2 && head.connectionNameCount == 0)
            #expect(head.first(.contentLength) == -1 && head.first(.authorization) == 1 && head.fields[0].name == .host)
        }
    }

    @Test func H1_25_emptyLinesBeforeARequestAreSkipped() {
        let text = "\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        let head = RequestHead()
        #expect(parse(text, into: head) == .complete(text.utf8.count))
        #expect(head.methodOffset == 4)
        var parser = RequestParser()
        #expect(Array("\r\n\r".utf8).withUnsafeBytes { parser.parse($0, limits: HeadLimits(), into: head) } == .needMore)
        #expect(!parser.hasBegun)
    }
}
