import Testing
@testable import ClawWire

struct ResponseHeadTests {
    private func parse(_ text: String, method: HTTPMethod = .post, into head: ResponseHead = ResponseHead()) -> HeadProgress {
        var parser = ResponseParser()
        return Array(text.utf8).withUnsafeBytes { parser.parse($0, requestMethod: method, limits: HeadLimits(), into: head) }
    }

    private func reason(_ text: String) -> String {
        switch parse(text) {
        case .needMore: return "needMore"
        case .complete: return "complete"
        case .refused(let refusal):
            #expect(refusal.status == 502)
            let bytes = Array(text.utf8)
            #expect(parse(String(decoding: bytes[..<refusal.offset], as: UTF8.self)) == .needMore)
            return refusal.reason.description
        }
    }

    @Test func framingFollowsTheRules() {
        let head = ResponseHead()
        for (status, method, fields, framing, keepAlive) in [
            (200, HTTPMethod.get, "Content-Length: 5", BodyFraming.contentLength(5), true), (200, .get, "Transfer-Encoding: chunked", .chunked, true),
            (200, .get, "X: y", .untilClose, false), (200, .head, "Content-Length: 5", .none, true), (200, .head, "Transfer-Encoding: chunked", .none, true),
            (204, .get, "X: y", .none, true), (304, .get, "Content-Length: 5", .none, true), (100, .get, "X: y", .none, true), (103, .get, "X: y", .none, true),
            (205, .get, "Content-Length: 0", .contentLength(0), true), (200, .get, "Content-Length: 5\r\nConnection: close", .contentLength(5), false),
            (503, .get, "Content-Length: 5\r\nConnection: Keep-Alive, Close", .contentLength(5), false),
        ] {
            _ = parse("HTTP/1.1 \(status) X\r\n\(fields)\r\n\r\n", method: method, into: head)
            #expect(head.status == status && head.framing == framing && head.keepAlive == keepAlive, "\(status) \(method) \(fields)")
        }
        _ = parse("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", into: head)
        #expect(!head.keepAlive)
        _ = parse("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", into: head)
        #expect(head.keepAlive)
    }

    /// The same head, asked for and not, whole and byte by byte.
    @Test func aSwitchIsTakenOnlyWhenAskedFor() {
        let bytes = Array("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".utf8)
        let head = ResponseHead()
        var parser = ResponseParser(takesSwitch: true)
        for _ in 0..<2 {
            for end in 0...bytes.count {
                let progress = bytes[..<end].withUnsafeBytes { parser.parse($0, requestMethod: .get, limits: HeadLimits(), into: head) }
                #expect(progress == (end == bytes.count ? .complete(end) : .needMore))
            }
            #expect(head.status == 101 && head.framing == .none)
        }
        #expect(reason("HTTP/1.1 101 Switching Protocols\r\n\r\n") == "unasked_101")
    }

    @Test func UP_05_brokenHeadsAreRefused() {
        for (text, wanted) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "content_length_conflict"), ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "content_length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "content_length_and_transfer_encoding"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer_encoding_unsupported"), ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "transfer_encoding"),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_http10"), ("HTTP/1.1 101 X\r\n\r\n", "unasked_101"), ("HTTP/1.1 099 X\r\n\r\n", "status_code"),
            ("HTTP/1.1 600 X\r\n\r\n", "status_code"), ("HTTP/1.1 2000 X\r\n\r\n", "status_line"), ("HTTP/1.1 20 X\r\n\r\n", "status_line"), ("HTTP/2 200\r\n\r\n", "version_major"),
            ("<html>", "status_line"), ("HTTP/1.1 200 O\u{0}K\r\n\r\n", "control_byte"), ("HTTP/1.1 200 OK\r\nA: b\u{1}\r\n\r\n", "control_byte"), ("HTTP/1.1 200 OK\n", "bare_lf"),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", "status_line"), ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "folded_line"),
        ] {
            #expect(reason(text) == wanted, "\(text)")
        }
        #expect(reason("HTTP/1.1 200 OK\r\n" + String(repeating: "A: b\r\n", count: 101)) == "too_many_fields")
        #expect(reason("HTTP/1.1 200 OK\r\nA: " + String(repeating: "b", count: 70000)) == "head_too_large")
        #expect(reason("HTTP/1.1 200 \r\n\r\n") == "complete")
        #expect(reason("HTTP/1.1 200\r\n\r\n") == "complete")
    }

    @Test func contentIsClassified() {
        let head = ResponseHead()
        for (fields, isEvents, isJSON, isEncoded) in [
            ("Content-Type: text/event-stream", true, false, false), ("content-type: Text/Event-Stream; charset=utf-8", true, false, false), ("Content-Type: text/event-stream ;x", true, false, false),
            ("Content-Type: text/event-streams", false, false, false), ("Content-Type: application/json", false, true, false), ("Content-Type: APPLICATION/JSON;charset=utf-8", false, true, false),
            ("Content-Type: application/problem+json", false, true, false), ("Content-Type: application/jsonl", false, false, false), ("Content-Type: +json", false, false, false),
            ("Content-Encoding: gzip", false, false, true), ("Content-Encoding: Identity", false, false, false), ("Content-Encoding: identity\r\nContent-Encoding: br", false, false, true),
            ("Content-Encoding: identity, gzip", false, false, true), ("Content-Type:", false, false, false),
        ] {
            _ = parse("HTTP/1.1 200 OK\r\n\(fields)\r\n\r\n", into: head)
            #expect(head.isEventStream == isEvents && head.isJSON == isJSON && head.isEncoded == isEncoded, "\(fields)")
        }
    }

    @Test func connectionNamesAreMarked() {
        let head = ResponseHead()
        _ = parse("HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-Other: 2\r\n\r\n", into: head)
        #expect((0..<head.fieldCount).map { head.fields[$0].isNamedByConnection } == [false, true, false])
        #expect(head.reasonLength == 2)
    }
}
