import ClawLoad
import Foundation
import Testing

/// What holds in every dialect alike.
struct MockDialectTests {
    @Test(arguments: Spoken.allCases) func plainAndStreamSayTheSame(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            let plain = try spoken.told(mock, stream: false, headers: ["x-mock-tokens: 7"])
            let stream = try spoken.told(mock, stream: true, headers: ["x-mock-tokens: 7"])
            let chat = try Spoken.chat.told(mock, stream: false, headers: ["x-mock-tokens: 7"])
            #expect(plain.text == chat.text)
            #expect(stream.text == plain.text)
            #expect(stream.finish == plain.finish)
            #expect(plain.output == 7)
            #expect(stream.output == 7)
            #expect(plain.prompt == 2)
            #expect(stream.prompt == 2)
            #expect(stream.isWhole)
            #expect(plain.thought.isEmpty && plain.calls.isEmpty && stream.thought.isEmpty && stream.calls.isEmpty)
        }
    }

    @Test(arguments: Spoken.allCases) func thinkingComesFirst(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            let headers = ["x-mock-tokens: 3", "x-mock-thinking: 5"]
            let plain = try spoken.told(mock, stream: false, headers: headers)
            let stream = try spoken.told(mock, stream: true, headers: headers)
            #expect(!plain.thought.isEmpty)
            #expect(stream.thought == plain.thought)
            #expect(stream.text == plain.text)
            #expect(plain.thought != plain.text)
            #expect(plain.output == 8)
            #expect(stream.output == 8)
            #expect(plain.signature == stream.signature)
            #expect((plain.signature != nil) == [.messages, .gemini, .geminiArray, .bedrock].contains(spoken))
        }
    }

    @Test(arguments: Spoken.allCases, [1, 3]) func toolCallsCallTheFirstToolOffered(_ spoken: Spoken, _ count: Int) throws {
        try withMock { (mock: MockServer) throws in
            for stream in [false, true] {
                let told = try spoken.told(mock, stream: stream, tools: true, headers: ["x-mock-tool-calls: \(count)"])
                #expect(told.calls.count == count)
                #expect(told.text.isEmpty)
                #expect(told.calls.allSatisfy { $0.name == "weather" && $0.city == "Seoul" && $0.number == 9_007_199_254_740_993 })
                // Ids are there and none comes twice; Gemini's calls have none.
                let ids = told.calls.compactMap(\.id)
                #expect(Set(ids).count == (spoken == .gemini || spoken == .geminiArray ? 0 : count))
                #expect(told.finish == finish(spoken, calls: true))
                #expect(told.output == 4 * count)
                #expect(!stream || told.isWhole)
            }
        }
    }

    @Test(arguments: Spoken.allCases) func thoughtTextAndCallsComeTogether(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            let headers = ["x-mock-tool-calls: 2", "x-mock-tool-text: true", "x-mock-thinking: 2", "x-mock-tokens: 3"]
            let plain = try spoken.told(mock, stream: false, tools: true, headers: headers)
            let stream = try spoken.told(mock, stream: true, tools: true, headers: headers)
            #expect(!plain.text.isEmpty && !plain.thought.isEmpty)
            #expect(plain.calls.count == 2)
            #expect(stream.text == plain.text)
            #expect(stream.thought == plain.thought)
            // The stream comes in pieces, so its arguments are compared as values.
            #expect(stream.calls.map(\.number) == plain.calls.map(\.number))
            #expect(stream.calls.map(\.name) == plain.calls.map(\.name))
            #expect(plain.output == 13)
            #expect(stream.output == 13)
        }
    }

    @Test func withoutToolsOfferedTheCallHasANameOfItsOwn() throws {
        try withMock { (mock: MockServer) throws in
            for spoken in Spoken.allCases {
                let told = try spoken.told(mock, stream: true, headers: ["x-mock-tool-calls: 1"])
                #expect(told.calls.map(\.name) == ["get_weather"])
            }
        }
    }

    @Test(arguments: Spoken.allCases) func jsonIsAnsweredWhereItIsAskedFor(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            for stream in [false, true] {
                let usual = try spoken.told(mock, stream: stream, headers: ["x-mock-tokens: 4"])
                let told = try spoken.told(mock, stream: stream, json: true, headers: ["x-mock-tokens: 4"])
                let answer = try object(Array(told.text.utf8))
                #expect(answer.keys.sorted() == ["answer"])
                #expect(answer["answer"] as? String == usual.text)
            }
        }
    }

    @Test(arguments: Spoken.allCases) func requestsLimitCutsTheText(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            for stream in [false, true] {
                let told = try spoken.told(mock, stream: stream, limit: 4)
                #expect(told.output == 4)
                #expect(told.finish == finish(spoken, calls: false, isCut: true))
                #expect(try spoken.told(mock, stream: stream).finish == finish(spoken, calls: false))
            }
        }
    }

    private func finish(_ spoken: Spoken, calls: Bool, isCut: Bool = false) -> String {
        switch spoken {
        case .chat: calls ? "tool_calls" : isCut ? "length" : "stop"
        case .responses: isCut ? "incomplete" : "completed"
        case .messages, .bedrock: calls ? "tool_use" : isCut ? "max_tokens" : "end_turn"
        case .gemini, .geminiArray: isCut ? "MAX_TOKENS" : "STOP"
        case .ollama: isCut ? "length" : "stop"
        case .cohere: calls ? "TOOL_CALL" : isCut ? "MAX_TOKENS" : "COMPLETE"
        }
    }

    @Test(arguments: Spoken.allCases) func errorInTheStreamIsTheDialectsOwnAndTheEnd(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            for number in 0 ..< 4 {
                let told = try spoken.told(mock, stream: true, headers: ["x-mock-error-after: \(number)", "x-mock-tokens: 6"])
                #expect(told.error?.isEmpty == false, "after \(number)")
                #expect(!told.isWhole)
            }
        }
    }

    @Test(arguments: Spoken.allCases) func streamWithoutItsEndEndsCleanly(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            let told = try spoken.told(mock, stream: true, headers: ["x-mock-no-done: true", "x-mock-tokens: 3"])
            #expect(!told.isWhole)
            #expect(told.error == nil)
            #expect(!told.text.isEmpty)
        }
    }

    @Test(arguments: Spoken.allCases) func framingsAndSplitWritesCarryTheSameStream(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            let wanted = ["x-mock-tokens: 5", "x-mock-thinking: 2"]
            let usual = try spoken.told(mock, stream: true, headers: wanted)
            for header in ["x-mock-framing: content-length", "x-mock-framing: chunked", "x-mock-split: 11"] {
                let told = try spoken.told(mock, stream: true, headers: wanted + [header])
                #expect(told.text == usual.text)
                #expect(told.thought == usual.thought)
                #expect(told.order == usual.order)
                #expect(told.isWhole)
            }
            let client = RawClient(port: mock.port)
            client.post(spoken.path(stream: true), spoken.body(stream: true), headers: wanted + ["x-mock-framing: until-close"])
            let all = client.readAll()
            #expect(!all.isReset)
            let end = try #require((0 ..< all.bytes.count - 3).first { Array(all.bytes[$0 ..< $0 + 4]) == Array("\r\n\r\n".utf8) }) + 4
            let told = try spoken.read(Answer(status: 200, body: Array(all.bytes[end...]), isEventStream: true), stream: true)
            #expect(told.text == usual.text)
        }
    }

    @Test(arguments: Spoken.allCases) func answerBytesAndEventBytesHold(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            for stream in [false, true] {
                let told = try spoken.told(mock, stream: stream, headers: ["x-mock-answer-bytes: 1000"])
                #expect(told.text.utf8.count == 1000)
            }
            let told = try spoken.told(mock, stream: true, headers: ["x-mock-event-bytes: 500", "x-mock-tokens: 3"])
            #expect(told.text.utf8.count == 1500)
        }
    }

    @Test(arguments: Spoken.allCases) func usageFaultsShowInEveryDialect(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            for stream in [false, true] {
                let missing = try spoken.told(mock, stream: stream, headers: ["x-mock-usage: missing"])
                #expect(missing.output == nil && missing.prompt == nil)
                for (kind, count) in [("negative", ":-3"), ("huge", ":9223372036854775808"), ("string", ":\"3\""), ("float", ":3.5")] {
                    let answer = try spoken.ask(mock, stream: stream, headers: ["x-mock-usage: \(kind)", "x-mock-tokens: 3"])
                    let text = answer.text.replacingOccurrences(of: ": ", with: ":")
                    #expect(text.contains(count + ",") || text.contains(count + "}"), "\(kind)")
                }
            }
        }
    }

    @Test(arguments: Spoken.allCases) func paceAndFirstTokenAreKept(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            for stream in [false, true] {
                let began = ContinuousClock.now
                let told = try spoken.told(
                    mock, stream: stream, headers: ["x-mock-rate: 200", "x-mock-ttft-ms: 30", "x-mock-tokens: 6", "x-mock-thinking: 5"])
                // Eleven tokens are ten gaps of 5 ms.
                #expect(ContinuousClock.now - began >= .milliseconds(79))
                #expect(!told.text.isEmpty)
            }
        }
    }

    @Test(arguments: Spoken.allCases) func resetAndCutComeWhereTheyShall(_ spoken: Spoken) throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post(spoken.path(stream: true), spoken.body(stream: true), headers: ["x-mock-reset: events:2"])
            #expect(client.readAll().isReset)
            let cut = RawClient(port: mock.port)
            cut.post(spoken.path(stream: true), spoken.body(stream: true), headers: ["x-mock-cut-after: 300"])
            #expect(cut.readAll().bytes.count == 300)
            let stalled = RawClient(port: mock.port)
            stalled.post(spoken.path(stream: true), spoken.body(stream: true), headers: ["x-mock-stall: 2:40"])
            let answer = try #require(stalled.answer())
            #expect(try spoken.read(answer, stream: true).isWhole)
        }
    }

    @Test func errorRatePlaysInEveryDialect() throws {
        try withMock(settings: [("error-rate", "0.5"), ("status", "429")]) { (mock: MockServer) throws in
            for spoken in Spoken.allCases {
                var refused = 0
                for number in 0 ..< 20 { if try spoken.ask(mock, stream: number % 2 == 0).status == 429 { refused += 1 } }
                #expect((3 ... 17).contains(refused), "\(spoken)")
            }
        }
    }

    @Test func bodyCutAnywhereIsReadTheSame() throws {
        try withMock { (mock: MockServer) throws in
            for spoken in Spoken.allCases {
                let body = Array(spoken.body(stream: true, tools: true, json: true, limit: 5).utf8)
                for size in [1, 2, 7] {
                    let client = RawClient(port: mock.port)
                    client.send("POST \(spoken.path(stream: true)) HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\nx-mock-tool-calls: 1\r\nx-mock-tool-text: 1\r\n\r\n")
                    for start in stride(from: 0, to: body.count, by: size) {
                        let piece = body[start ..< min(body.count, start + size)]
                        client.send(Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + [13, 10])
                    }
                    client.send("0\r\n\r\n")
                    let told = try spoken.read(try #require(client.answer()), stream: true)
                    #expect(told.calls.map(\.name) == ["weather"])
                    #expect(told.text.hasPrefix("{\"answer\":\""))
                    #expect(told.output == 9)
                }
            }
        }
    }

    @Test func garbageBodiesAreAnsweredAllTheSame() throws {
        try withMock { (mock: MockServer) throws in
            for spoken in Spoken.allCases {
                for body in ["", "}}}}]]", "[[[[", "{\"tools\":[[{\"name\":", "{\"tools\":{\"function\":[\"name\"", "{\"model\":5,\"tools\":\"x\"}", "\"\\", "{{{{{{{\"name\":1", "}{\"model\":{}"] {
                    let client = RawClient(port: mock.port)
                    client.post(spoken.path(stream: false), body)
                    #expect(client.answer()?.status == 200)
                }
            }
        }
    }

    @Test func pathsNameTheEndpointAndTheModel() throws {
        try withMock { (mock: MockServer) throws in
            for (path, word) in [
                ("/openai/deployments/my-dep/chat/completions?api-version=1", "\"model\":\"my-dep\""),
                ("/openai/deployments/my-dep/completions", "\"object\":\"text_completion\""),
                ("/openai/deployments/my-dep/embeddings", "\"embedding\""),
                ("/openai/v1/chat/completions", "\"model\":\"body\""), ("/openai/v1/responses", "\"object\":\"response\""),
                ("/openai/v1/embeddings", "\"embedding\""), ("/models/chat/completions", "\"model\":\"body\""),
                ("/v1beta/openai/chat/completions", "\"object\":\"chat.completion\""), ("/anthropic/v1/messages", "\"type\":\"message\""),
                ("/v1/projects/p/locations/l/endpoints/openapi/chat/completions", "\"object\":\"chat.completion\""),
                ("/v1/projects/p/locations/l/publishers/anthropic/models/claude@1:rawPredict", "\"model\":\"claude@1\""),
                ("/v1beta1/projects/p/locations/l/publishers/google/models/g:generateContent", "\"modelVersion\": \"g\""),
                ("/v1/models/g2:generateContent", "\"modelVersion\": \"g2\""), ("/v1/models/ft:gpt:org", "\"error\""),
                ("/v1beta/models/g:nothing", "\"body_sha256\""), ("/model/x/nothing", "\"body_sha256\""), ("/api/nothing", "\"body_sha256\""),
                ("/openai/deployments/x", "\"body_sha256\""), ("/model/converse", "\"body_sha256\""), ("/v1beta", "\"body_sha256\""),
            ] {
                let client = RawClient(port: mock.port)
                client.post(path, "{\"model\":\"body\",\"max_tokens\":2}")
                let text = try #require(client.answer()).text
                #expect(text.contains(word), "\(path): \(text)")
            }
        }
    }

    @Test func modelsOfAzuresPathAreFoundByName() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.get("/openai/v1/models/gpt-4o")
            #expect(try object(try #require(client.answer(to: .get)).body)["id"] as? String == "gpt-4o")
            client.get("/openai/v1/models")
            #expect(try object(try #require(client.answer(to: .get)).body)["object"] as? String == "list")
        }
    }

    @Test func figuresTellTheEndpointsApart() throws {
        try withMock { (mock: MockServer) throws in
            for spoken in Spoken.allCases { _ = try spoken.ask(mock, stream: true, headers: ["x-mock-tokens: 2", "x-mock-thinking: 1", "x-mock-tool-calls: 1"]) }
            let stats = try object(Array(mock.stats().utf8))
            let paths = try #require(stats["by_path"] as? [String: Int])
            #expect(paths[":streamGenerateContent"] == 2)
            for path in ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/api/chat", "/model/converse-stream", "/v2/chat"] { #expect(paths[path] == 1, "\(path)") }
            #expect(stats["tokens_sent"] as? Int == 8 * 5)
            #expect((stats["streams"] as? [String: Int])?["finished"] == 8)
        }
    }
}
