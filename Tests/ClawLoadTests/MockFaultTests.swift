import ClawLoad
import ClawWire
import Foundation
import Testing

/// Each fault the mock can play is the fault it says.
struct MockFaultTests {
    private func stream(_ mock: MockServer, _ headers: String...) -> (bytes: [UInt8], isReset: Bool) {
        let client = RawClient(port: mock.port)
        client.post("/v1/chat/completions", chat(stream: true, usage: true), headers: headers + ["Connection: close", "x-mock-tokens: 6"])
        return client.readAll()
    }

    private func events(_ bytes: [UInt8]) -> [String] {
        // The body may be cut: read what is there.
        bytes.withUnsafeBytes { span in
            var parser = ResponseParser()
            let head = ResponseHead()
            guard case .complete(var at) = parser.parse(span, requestMethod: .post, limits: HeadLimits(), into: head) else { return [] }
            var body: [UInt8] = []
            if head.framing == .chunked {
                var reader = ChunkedReader()
                while case .data(let range) = reader.next(span, from: at) {
                    body += span[range]
                    at = range.upperBound
                }
            } else {
                body = Array(span[at...])
            }
            return Answer.events(body).map(\.data)
        }
    }

    @Test func statusHasOpenAIsErrorShapeAndRetryAfter() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(stream: true), headers: ["x-mock-status: 429", "x-mock-retry-after: 7"])
            let answer = try #require(client.answer())
            #expect(answer.status == 429)
            #expect(answer.header("retry-after") == "7")
            let object = try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any]
            let error = try #require(object?["error"] as? [String: Any])
            #expect(error.keys.sorted() == ["code", "message", "param", "type"])
            #expect(error["code"] as? String == "rate_limit_exceeded")
        }
    }

    @Test func errorRateIsAShareAndTheSameEveryTime() throws {
        func statuses() throws -> [Int] {
            var found: [Int] = []
            try withMock(settings: [("error-rate", "0.3"), ("seed", "5")]) { (mock: MockServer) throws in
                let client = RawClient(port: mock.port)
                for _ in 0 ..< 400 {
                    client.post("/v1/chat/completions", chat())
                    found.append(client.answer()?.status ?? 0)
                }
            }
            return found
        }
        let first = try statuses()
        let failed = first.filter { $0 == 500 }.count
        #expect((80 ... 160).contains(failed))
        #expect(first.filter { $0 == 200 }.count == 400 - failed)
        let again = try statuses()
        #expect(again == first)
    }

    @Test func resetBeforeTheHeadGivesNothing() throws {
        try withMock { (mock: MockServer) throws in
            let result = stream(mock, "x-mock-reset: head")
            #expect(result.bytes.isEmpty)
            #expect(result.isReset)
        }
    }

    @Test func resetAndCutAfterBytesGiveThatManyBytes() throws {
        try withMock { (mock: MockServer) throws in
            let reset = stream(mock, "x-mock-reset: bytes:400")
            #expect(reset.bytes.count <= 400)
            #expect(reset.isReset)
            let cut = stream(mock, "x-mock-cut-after: 400")
            #expect(cut.bytes.count == 400)
            #expect(!cut.isReset)
        }
    }

    @Test(arguments: 0 ..< 9) func errorEventComesAfterAnyNumberOfEvents(_ number: Int) throws {
        try withMock { (mock: MockServer) throws in
            let result = stream(mock, "x-mock-error-after: \(number)")
            let found = events(result.bytes)
            #expect(found.count == number + 1)
            #expect(found.last?.hasPrefix("{\"error\":{") == true)
            #expect(!found.contains("[DONE]") || number == 9)
            #expect(!result.isReset)
        }
    }

    @Test func noDoneEndsCleanly() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(stream: true), headers: ["x-mock-no-done: true", "x-mock-tokens: 2"])
            let found = try #require(client.answer()).events().map(\.data)
            #expect(found.count == 4)
            #expect(!found.contains("[DONE]"))
        }
    }

    @Test func stallHoldsTheStreamAndThenGoesOn() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            let began = ContinuousClock.now
            client.post("/v1/chat/completions", chat(stream: true), headers: ["x-mock-stall: 2:120", "x-mock-tokens: 3"])
            let first = try #require(client.read())
            #expect(events(first).count == 2)
            let rest = try #require(client.read())
            #expect(ContinuousClock.now - began >= .milliseconds(120))
            #expect(String(decoding: rest, as: UTF8.self).contains("[DONE]"))
        }
    }

    @Test func stalledPlainAnswerShowsItsHeadFirst() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(), headers: ["x-mock-stall: 0:80"])
            let head = try #require(client.read())
            #expect(String(decoding: head, as: UTF8.self).hasSuffix("\r\n\r\n"))
            #expect(client.read()?.first == UInt8(ascii: "{"))
        }
    }

    @Test func paceIsKept() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            let began = ContinuousClock.now
            client.post("/v1/chat/completions", chat(stream: true), headers: ["x-mock-rate: 200", "x-mock-ttft-ms: 50", "x-mock-tokens: 21"])
            let head = try #require(client.read())
            #expect(events(head).isEmpty)
            var arrivals = 0
            var all = head
            while !String(decoding: all.suffix(200), as: UTF8.self).contains("[DONE]"), let piece = client.read(), !piece.isEmpty {
                arrivals += 1
                all += piece
            }
            // 50 ms, then 20 gaps of 5 ms.
            #expect(ContinuousClock.now - began >= .milliseconds(149))
            #expect(arrivals >= 5)
            #expect(events(all).count == 24)
        }
    }

    @Test(arguments: [("lf", "\n\n"), ("crlf", "\r\n\r\n"), ("cr", "\r\r")])
    func lineEndsAreAsAskedAndParseAlike(_ name: String, _ end: String) throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(stream: true), headers: ["x-mock-eol: \(name)", "x-mock-comments: 2", "x-mock-tokens: 4"])
            let answer = try #require(client.answer())
            #expect(answer.text.hasSuffix("[DONE]" + end))
            #expect(answer.text.contains(": mock comment" + end))
            #expect(answer.events().count == 7)
        }
    }

    @Test func splitWritesCutEventsAnywhere() throws {
        try withMock { (mock: MockServer) throws in
            let whole = stream(mock, "x-mock-seed: 3")
            let split = stream(mock, "x-mock-seed: 3", "x-mock-split: 7")
            #expect(events(split.bytes).count == events(whole.bytes).count)
            #expect(split.bytes.count == whole.bytes.count)
        }
    }

    @Test(arguments: [
        "status-line", "header", "chunk-size", "nul", "two-lengths", "length-and-chunked", "101", "huge-headers", "many-headers", "bare-lf",
    ])
    func garbageIsRefusedByAStrictParser(_ kind: String) throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(), headers: ["x-mock-garbage: \(kind)"])
            let (bytes, _) = client.readAll()
            #expect(!bytes.isEmpty)
            bytes.withUnsafeBytes { span in
                var parser = ResponseParser()
                let head = ResponseHead()
                switch parser.parse(span, requestMethod: .post, limits: HeadLimits(), into: head) {
                case .refused: break
                case .needMore: Issue.record("\(kind): the parser waits for more")
                case .complete(let end):
                    guard head.framing == .chunked else {
                        Issue.record("\(kind): the parser accepts it")
                        return
                    }
                    var reader = ChunkedReader()
                    guard case .refused = reader.next(span, from: end) else {
                        Issue.record("\(kind): the chunks are accepted")
                        return
                    }
                }
            }
        }
    }

    @Test func surplusShortFloodAndMissingLastChunkAreWhatTheySay() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(), headers: ["x-mock-garbage: surplus"])
            #expect(client.answer()?.status == 200)
            #expect(client.answer()?.text == "bad")

            let short = RawClient(port: mock.port)
            short.post("/v1/chat/completions", chat(), headers: ["x-mock-garbage: short"])
            #expect(short.answer() == nil)

            let flood = RawClient(port: mock.port)
            flood.post("/v1/chat/completions", chat(), headers: ["x-mock-garbage: flood-1xx"])
            for _ in 0 ..< 1000 { #expect(flood.answer()?.status == 103) }
            #expect(flood.answer()?.status == 200)

            let endless = RawClient(port: mock.port)
            endless.post("/v1/chat/completions", chat(stream: true), headers: ["x-mock-garbage: no-last-chunk"])
            let (bytes, isReset) = endless.readAll()
            #expect(!isReset)
            #expect(events(bytes).last == "[DONE]")
            #expect(!String(decoding: bytes, as: UTF8.self).hasSuffix("0\r\n\r\n"))
        }
    }

    @Test(arguments: [
        ("missing", 0), ("twice", 2), ("negative", 1), ("float", 1), ("huge", 1), ("string", 1), ("first", 1), ("after-done", 1), ("unasked", 1),
    ])
    func usageFaultsShowInTheStream(_ kind: String, _ usages: Int) throws {
        try withMock { (mock: MockServer) throws in
            let found = events(stream(mock, "x-mock-usage: \(kind)").bytes)
            #expect(found.filter { $0.contains("\"prompt_tokens\"") }.count == usages)
            switch kind {
            case "negative": #expect(found.contains { $0.contains("\"completion_tokens\":-6,") })
            case "float": #expect(found.contains { $0.contains("\"completion_tokens\":6.5,") })
            case "huge": #expect(found.contains { $0.contains("\"completion_tokens\":9223372036854775808,") })
            case "string": #expect(found.contains { $0.contains("\"completion_tokens\":\"6\",") })
            case "first": #expect(found[0].contains("\"completion_tokens\":6,"))
            case "after-done": #expect(found.last != "[DONE]")
            default: #expect(found.last == "[DONE]")
            }
        }
    }

    @Test func framingsOfAStreamCarryTheSameEvents() throws {
        try withMock { (mock: MockServer) throws in
            let chunked = events(stream(mock, "x-mock-framing: chunked").bytes)
            #expect(chunked.count == 10)
            for framing in ["until-close", "content-length"] { #expect(events(stream(mock, "x-mock-framing: \(framing)").bytes).count == chunked.count) }
        }
    }

    @Test func earlyAnswerComesBeforeTheBodyAndCloses() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nContent-Length: 1000000\r\nx-mock-early: true\r\nx-mock-status: 413\r\n\r\n")
            let (bytes, isReset) = client.readAll()
            #expect(String(decoding: bytes, as: UTF8.self).hasPrefix("HTTP/1.1 413 "))
            #expect(!isReset)
        }
    }

    @Test func contentTypeAndEventBytesAreAsAsked() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(stream: true), headers: ["x-mock-content-type: application/json", "x-mock-event-bytes: 100000", "x-mock-tokens: 2"])
            let answer = try #require(client.answer())
            #expect(answer.header("content-type") == "application/json")
            #expect(answer.body.count > 200_000)
        }
    }

    @Test func settingsWithNoSuchValueAreRefused() {
        var script = MockScript()
        for (name, value) in [
            ("tokens", "-1"), ("status", "99"), ("status", "600"), ("jitter", "2"), ("burst", "0"), ("reset", "bytes"), ("reset", "bytes:x"),
            ("stall", ""), ("stall", "1:2:3"), ("garbage", "nonsense"), ("framing", "x"), ("eol", "x"), ("no-done", "perhaps"), ("nonsense", "1"),
            ("tokens", "99999999999999999999"), ("delay-ms", "nan"),
        ] {
            let isTaken = script.set(name, value)
            #expect(!isTaken, "\(name)=\(value)")
        }
        for setting in MockScript.settings where !["status", "reset", "garbage", "usage", "framing", "eol"].contains(setting.name) {
            let isTaken = script.set(setting.name, "1")
            #expect(isTaken, "\(setting.name)=1")
        }
    }
}
