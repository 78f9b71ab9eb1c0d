import ClawLoad
import ClawWire
import Foundation
import Testing

/// What the mock answers when nothing goes wrong, form by form.
struct MockAnswerTests {
    private func json(_ answer: Answer?) throws -> [String: Any] {
        let object = try JSONSerialization.jsonObject(with: Data(try #require(answer).body))
        return try #require(object as? [String: Any])
    }

    private func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test func plainChatHasOpenAIsShapeAndConsistentUsage() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat())
            let answer = client.answer()
            #expect(answer?.status == 200)
            #expect(answer?.header("content-type") == "application/json")
            let body = try json(answer)
            #expect(body["object"] as? String == "chat.completion")
            #expect(body["model"] as? String == "gpt-4o")
            let choice = try #require((body["choices"] as? [[String: Any]])?.first)
            #expect(choice["finish_reason"] as? String == "stop")
            let message = try #require(choice["message"] as? [String: Any])
            #expect((message["content"] as? String)?.isEmpty == false)
            #expect(message["refusal"] is NSNull)
            let usage = try #require(body["usage"] as? [String: Any])
            // Three words are two blanks apart.
            #expect(usage["prompt_tokens"] as? Int == 3)
            #expect(usage["completion_tokens"] as? Int == 48)
            #expect(usage["total_tokens"] as? Int == 51)
        }
    }

    @Test func sameSeedGivesSameTextAndAnotherSeedAnother() throws {
        try withMock { (mock: MockServer) throws in
            func content(_ seed: Int) throws -> String {
                let client = RawClient(port: mock.port)
                client.post("/v1/chat/completions", chat(), headers: ["x-mock-seed: \(seed)"])
                let body = try json(client.answer())
                let message = (body["choices"] as? [[String: Any]])?.first?["message"] as? [String: Any]
                return try #require(message?["content"] as? String)
            }
            let first = try content(7), again = try content(7), other = try content(8)
            #expect(first == again)
            #expect(first != other)
        }
    }

    @Test(arguments: [1, 2, 3, 7, 100, 1000, 20_000, 100_000])
    func answerBytesAreExactPlainAndStreamed(_ wanted: Int) throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(), headers: ["x-mock-answer-bytes: \(wanted)"])
            let body = try json(client.answer())
            let message = (body["choices"] as? [[String: Any]])?.first?["message"] as? [String: Any]
            let plain = try #require(message?["content"] as? String)
            #expect(plain.utf8.count == wanted)
            client.post("/v1/chat/completions", chat(stream: true, usage: true), headers: ["x-mock-answer-bytes: \(wanted)"])
            var streamed = "", deltas = 0
            var completion = 0
            for event in try #require(client.answer()).events() where event.data != "[DONE]" {
                let chunk = try object(event.data)
                if let delta = (chunk["choices"] as? [[String: Any]])?.first?["delta"] as? [String: Any],
                   let text = delta["content"] as? String, !text.isEmpty {
                    streamed += text
                    deltas += 1
                }
                if let usage = chunk["usage"] as? [String: Any] { completion = usage["completion_tokens"] as? Int ?? -1 }
            }
            #expect(streamed == plain)
            #expect(deltas == completion)
        }
    }

    @Test func streamHasRoleFirstTokensFinishUsageAndDone() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(stream: true, usage: true), headers: ["x-mock-tokens: 5"])
            let answer = try #require(client.answer())
            #expect(answer.header("content-type") == "text/event-stream; charset=utf-8")
            #expect(answer.header("transfer-encoding") == "chunked")
            let events = answer.events().map(\.data)
            // role, five tokens, finish, usage, [DONE]
            #expect(events.count == 9)
            #expect(events.last == "[DONE]")
            let chunks = try events.dropLast().map(object)
            #expect(Set(chunks.map { $0["id"] as? String ?? "" }).count == 1)
            #expect(Set(chunks.map { $0["created"] as? Int ?? 0 }).count == 1)
            func delta(_ chunk: [String: Any]) -> [String: Any]? { (chunk["choices"] as? [[String: Any]])?.first?["delta"] as? [String: Any] }
            #expect(delta(chunks[0])?["role"] as? String == "assistant")
            #expect(delta(chunks[0])?["content"] as? String == "")
            for chunk in chunks[1 ... 5] { #expect((delta(chunk)?["content"] as? String)?.isEmpty == false) }
            #expect(delta(chunks[6])?.isEmpty == true)
            #expect((chunks[6]["choices"] as? [[String: Any]])?.first?["finish_reason"] as? String == "stop")
            for chunk in chunks[0 ... 6] { #expect(chunk["usage"] is NSNull) }
            #expect((chunks[7]["choices"] as? [Any])?.isEmpty == true)
            #expect((chunks[7]["usage"] as? [String: Any])?["completion_tokens"] as? Int == 5)
        }
    }

    @Test func streamWithoutIncludeUsageHasNoUsageKey() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(stream: true), headers: ["x-mock-tokens: 3"])
            let events = try #require(client.answer()).events().map(\.data)
            #expect(events.count == 6)
            for event in events.dropLast() { #expect(try object(event)["usage"] == nil) }
        }
    }

    @Test func maxTokensCutsWithFinishReasonLength() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(maxTokens: 4))
            let body = try json(client.answer())
            #expect((body["choices"] as? [[String: Any]])?.first?["finish_reason"] as? String == "length")
            #expect((body["usage"] as? [String: Any])?["completion_tokens"] as? Int == 4)
        }
    }

    @Test func severalChoicesInterleave() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat(stream: true, n: 2), headers: ["x-mock-tokens: 2"])
            let events = try #require(client.answer()).events().map(\.data).dropLast()
            let indices = try events.map { (try object($0)["choices"] as? [[String: Any]])?.first?["index"] as? Int ?? -1 }
            #expect(indices == [0, 1, 0, 1, 0, 1, 0, 1])
        }
    }

    @Test func legacyCompletionsAnswerPlainAndStreamed() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/completions", "{\"model\":\"m\",\"prompt\":\"a b\"}", headers: ["x-mock-tokens: 3"])
            let body = try json(client.answer())
            #expect(body["object"] as? String == "text_completion")
            let plain = (body["choices"] as? [[String: Any]])?.first?["text"] as? String
            client.post("/v1/completions", "{\"model\":\"m\",\"prompt\":\"a b\",\"stream\":true}", headers: ["x-mock-tokens: 3"])
            let events = try #require(client.answer()).events().map(\.data)
            let text = try events.dropLast().map { (try object($0)["choices"] as? [[String: Any]])?.first?["text"] as? String ?? "" }.joined()
            #expect(text == plain)
            #expect(events.last == "[DONE]")
        }
    }

    @Test func responsesStreamNamesItsEventsAndHasNoDone() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/responses", "{\"model\":\"m\",\"input\":\"a b\"}", headers: ["x-mock-tokens: 2"])
            #expect(try json(client.answer())["status"] as? String == "completed")
            client.post("/v1/responses", "{\"model\":\"m\",\"input\":\"a b\",\"stream\":true}", headers: ["x-mock-tokens: 2"])
            let events = try #require(client.answer()).events()
            #expect(events.map(\.name) == [
                "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
                "response.output_text.delta", "response.output_text.delta", "response.output_text.done", "response.content_part.done",
                "response.output_item.done", "response.completed",
            ])
            for (place, event) in events.enumerated() {
                let data = try object(event.data)
                #expect(data["type"] as? String == event.name)
                #expect(data["sequence_number"] as? Int == place)
            }
            let last = try object(events[9].data)["response"] as? [String: Any]
            #expect((last?["usage"] as? [String: Any])?["output_tokens"] as? Int == 2)
        }
    }

    @Test func embeddingsInBase64AreTheSameNumbers() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/embeddings", "{\"model\":\"e\",\"input\":[\"a, b\",\"c\",\"d\"],\"dimensions\":9}")
            let floats = try #require(try json(client.answer())["data"] as? [[String: Any]])
            client.post("/v1/embeddings", "{\"input\":[\"a, b\",\"c\",\"d\"],\"encoding_format\":\"base64\",\"dimensions\":9,\"model\":\"e\"}")
            let encoded = try #require(try json(client.answer())["data"] as? [[String: Any]])
            #expect(floats.count == 3)
            #expect(encoded.count == 3)
            for place in 0 ..< 3 {
                let numbers = try #require(floats[place]["embedding"] as? [Double])
                let bytes = Data(base64Encoded: encoded[place]["embedding"] as? String ?? "") ?? Data()
                let decoded = bytes.withUnsafeBytes { span in (0 ..< span.count / 4).map { Double(span.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)) } }
                #expect(numbers.count == 9)
                #expect(decoded == numbers)
            }
        }
    }

    @Test(arguments: [("\"one text\"", 1), ("[\"a\"]", 1), ("[1,2,3]", 1), ("[[1,2],[3]]", 2), ("[\"a\",\"b\",\"c\",\"d\"]", 4)])
    func embeddingsCountTheirInputs(_ input: String, _ wanted: Int) throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/embeddings", "{\"model\":\"e\",\"input\":\(input)}")
            #expect((try json(client.answer())["data"] as? [Any])?.count == wanted)
        }
    }

    @Test func modelsAreListedAndFoundByName() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.get("/v1/models")
            #expect((try json(client.answer(to: .get))["data"] as? [[String: Any]])?.first?["id"] as? String == "mock-model")
            client.get("/v1/models/gpt-4o")
            #expect(try json(client.answer(to: .get))["id"] as? String == "gpt-4o")
            client.get("/v1/models/none")
            let missing = client.answer(to: .get)
            #expect(missing?.status == 404)
            #expect((try json(missing)["error"] as? [String: Any])?["code"] as? String == "model_not_found")
        }
    }

    @Test func echoTellsWhatCame() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.send("PUT /echo/a%20b?x=1 HTTP/1.1\r\nHost: h\r\nX-Odd: \"q\\\"\r\nContent-Length: 3\r\n\r\nabc")
            let body = try json(client.answer())
            #expect(body["method"] as? String == "PUT")
            #expect(body["path"] as? String == "/echo/a%20b")
            #expect(body["query"] as? String == "x=1")
            #expect((body["headers"] as? [[String]])?.contains(["X-Odd", "\"q\\\""]) == true)
            #expect(body["body_length"] as? Int == 3)
            // FIPS 180-4 example.
            #expect(body["body_sha256"] as? String == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        }
    }

    @Test func echoDigestOfALongBodyIsThatOfTheBytes() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/echo", String(repeating: "a", count: 1_000_000))
            // NIST's example of a million times "a".
            #expect(try json(client.answer())["body_sha256"] as? String == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
        }
    }

    @Test(arguments: ["auto", "chunked", "content-length"])
    func bytesComeWholeInEachFraming(_ framing: String) throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.get("/bytes/1000000", headers: ["x-mock-framing: \(framing)"])
            let body = try #require(client.answer(to: .get)).body
            #expect(body.count == 1_000_000)
            #expect(body.enumerated().allSatisfy { $0.element == 0x61 + UInt8($0.offset % 26) })
        }
    }

    @Test func requestCutAtEveryByteGetsTheSameAnswer() throws {
        try withMock { (mock: MockServer) throws in
            let pieces = ["{\"model\":\"gpt-4o\",\"stream\":true,", "\"stream_options\":{\"include_usage\": true }}"]
            let chunks = pieces.map { String($0.utf8.count, radix: 16) + "\r\n" + $0 + "\r\n" }.joined() + "0\r\n\r\n"
            let request = "POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\nx-mock-tokens: 2\r\n\r\n" + chunks
            let client = RawClient(port: mock.port)
            client.send(request)
            let whole = try #require(client.answer()).events().count
            #expect(whole == 6)
            let bytes = Array(request.utf8)
            for cut in stride(from: 1, to: bytes.count, by: 3) {
                client.send(Array(bytes[..<cut]))
                usleep(300)
                client.send(Array(bytes[cut...]))
                #expect(client.answer()?.events().count == whole)
            }
            for byte in bytes { client.send([byte]) }
            #expect(client.answer()?.events().count == whole)
        }
    }

    @Test func pipelinedRequestsAreAnsweredInOrder() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            var all = ""
            for number in 0 ..< 50 {
                let delay = number % 10 == 3 ? "x-mock-delay-ms: 5\r\n" : ""
                all += "GET /echo/\(number) HTTP/1.1\r\nHost: m\r\n\(delay)\r\n"
            }
            client.send(all)
            for number in 0 ..< 50 { #expect(try json(client.answer(to: .get))["path"] as? String == "/echo/\(number)") }
        }
    }

    @Test func headGetsNoBodyAndHTTP10IsClosed() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.send("HEAD /bytes/10 HTTP/1.1\r\nHost: m\r\n\r\n")
            #expect(client.answer(to: .head)?.body.isEmpty == true)
            client.send("GET /bytes/10 HTTP/1.0\r\n\r\n")
            let (bytes, isReset) = client.readAll()
            #expect(String(decoding: bytes, as: UTF8.self).hasSuffix("\r\n\r\nabcdefghij"))
            #expect(!isReset)
        }
    }

    @Test func expectationIsAnsweredBeforeTheBody() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.send("POST /echo HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            #expect(client.answer()?.status == 100)
            client.send("hi")
            #expect(client.answer()?.status == 200)
        }
    }

    @Test func fieldsAreFoundWhereverTheyStandInALargeBody() throws {
        try withMock { (mock: MockServer) throws in
            let text = String(repeating: "words \\\"quoted\\\" é ", count: 40_000)
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", "{\"messages\":[{\"content\":\"\(text)\",\"model\":\"wrong\",\"stream\":false}],\"model\":\"right\",\"stream\":true}", headers: ["x-mock-tokens: 1"])
            let events = try #require(client.answer()).events()
            #expect(try object(events[0].data)["model"] as? String == "right")
        }
    }

    @Test func malformedRequestIsRefusedAndClosed() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.send("GET / HTTP/1.1\r\nHost: m\r\nbad line\r\n\r\n")
            let (bytes, _) = client.readAll()
            #expect(String(decoding: bytes, as: UTF8.self).hasPrefix("HTTP/1.1 400 "))
        }
    }
}
