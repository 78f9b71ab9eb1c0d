import ClawLoad
import Foundation
import Testing

/// The bytes of each dialect where its providers differ from the usual: frames, line ends, names of headers, what is left out.
struct MockShapeTests {
    private func post(_ mock: MockServer, _ path: String, _ body: String, _ headers: [String] = []) throws -> Answer {
        let client = RawClient(port: mock.port)
        client.post(path, body, headers: headers)
        return try #require(client.answer())
    }

    // ---- Anthropic ----

    @Test func messageStreamHasTheProvidersOrderAndPing() throws {
        try withMock { (mock: MockServer) throws in
            let answer = try Spoken.messages.ask(
                mock, stream: true, tools: true, headers: ["x-mock-tokens: 2", "x-mock-thinking: 2", "x-mock-tool-calls: 1", "x-mock-tool-text: 1"])
            #expect(answer.header("content-type") == "text/event-stream; charset=utf-8")
            #expect(answer.header("request-id")?.hasPrefix("req_") == true)
            #expect(answer.header("x-request-id") == nil)
            #expect(answer.header("openai-version") == nil)
            let events = answer.events()
            #expect(events.map(\.name) == [
                "message_start", "content_block_start", "ping", "content_block_delta", "content_block_delta", "content_block_delta", "content_block_stop",
                "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
                "content_block_start", "content_block_delta", "content_block_delta", "content_block_delta", "content_block_delta", "content_block_stop",
                "message_delta", "message_stop",
            ])
            #expect(events[2].data == "{\"type\": \"ping\"}")
            // Blanks before the last brace, as the provider pads.
            #expect(events.contains { $0.data.hasSuffix("  }") })
            let start = try #require(try object(Array(events[0].data.utf8))["message"] as? [String: Any])
            #expect((start["content"] as? [Any])?.isEmpty == true)
            #expect(start["stop_reason"] is NSNull)
            let first = try #require(start["usage"] as? [String: Any])
            #expect(first["output_tokens"] as? Int == 1)
            #expect(first["cache_creation_input_tokens"] as? Int == 0)
            #expect(first["cache_read_input_tokens"] as? Int == 0)
            let last = try #require(try object(Array(events[17].data.utf8))["usage"] as? [String: Any])
            #expect(last["output_tokens"] as? Int == 8)
            #expect((last["output_tokens_details"] as? [String: Any])?["thinking_tokens"] as? Int == 2)
        }
    }

    @Test func firstBlockGetsThePingWhicheverItIs() throws {
        try withMock { (mock: MockServer) throws in
            for headers in [["x-mock-tokens: 1"], ["x-mock-tool-calls: 2"], ["x-mock-thinking: 1", "x-mock-tool-calls: 1"]] {
                let names = try Spoken.messages.ask(mock, stream: true, headers: headers).events().map(\.name)
                #expect(names.filter { $0 == "ping" }.count == 1)
                #expect(names[2] == "ping")
                #expect(names[1] == "content_block_start")
            }
        }
    }

    @Test func plainMessageHasTheSDKsMembers() throws {
        try withMock { (mock: MockServer) throws in
            let root = try object(try Spoken.messages.ask(mock).body)
            #expect(root.keys.sorted() == ["content", "id", "model", "role", "stop_details", "stop_reason", "stop_sequence", "type", "usage"])
            #expect(root["type"] as? String == "message")
            #expect(root["stop_sequence"] is NSNull)
            let usage = try #require(root["usage"] as? [String: Any])
            #expect(usage["cache_creation_input_tokens"] as? Int == 0 && usage["cache_read_input_tokens"] as? Int == 0)
        }
    }

    // ---- Gemini ----

    @Test func geminiEventsEndInCRLFAndCarryRunningTotals() throws {
        try withMock { (mock: MockServer) throws in
            let answer = try Spoken.gemini.ask(mock, stream: true, headers: ["x-mock-tokens: 3", "x-mock-thinking: 2"])
            #expect(answer.header("content-type") == "text/event-stream")
            #expect(!answer.text.replacingOccurrences(of: "\r\n", with: "").contains("\n"))
            #expect(!answer.text.contains("event:") && !answer.text.contains("[DONE]"))
            let chunks = try answer.events().map { try object(Array($0.data.utf8)) }
            #expect(chunks.count == 6)
            let usage = chunks.compactMap { $0["usageMetadata"] as? [String: Any] }
            #expect(usage.map { $0["thoughtsTokenCount"] as? Int ?? 0 } == [1, 2, 2, 2, 2, 2])
            #expect(usage.map { $0["candidatesTokenCount"] as? Int } == [nil, nil, 1, 2, 3, 3])
            #expect(usage.map { $0["totalTokenCount"] as? Int } == [3, 4, 5, 6, 7, 7])
            for chunk in chunks {
                #expect(chunk["modelVersion"] as? String == "mini")
                #expect(chunk["responseId"] as? String == chunks[0]["responseId"] as? String)
            }
            let finishes = chunks.map { (($0["candidates"] as? [[String: Any]])?.first?["finishReason"]) as? String }
            #expect(finishes == [nil, nil, nil, nil, nil, "STOP"])
            #expect(answer.header("x-request-id") == nil)
        }
    }

    @Test func geminiArrayIsFramedAsTheProviderFramesIt() throws {
        try withMock { (mock: MockServer) throws in
            let answer = try Spoken.geminiArray.ask(mock, stream: true, headers: ["x-mock-tokens: 2"])
            #expect(answer.header("content-type") == "application/json; charset=UTF-8")
            #expect(answer.text.hasPrefix("[{\n"))
            #expect(answer.text.hasSuffix("}\n]"))
            #expect(answer.text.components(separatedBy: "\n}\n,\n{\n").count == 3)
            #expect(!answer.isEventStream)
        }
    }

    @Test func onlyTheFirstOfSeveralGeminiCallsIsSigned() throws {
        try withMock { (mock: MockServer) throws in
            let root = try object(try Spoken.gemini.ask(mock, tools: true, headers: ["x-mock-tool-calls: 3", "x-mock-thinking: 1"]).body)
            let candidate = try #require((root["candidates"] as? [[String: Any]])?.first)
            let parts = try #require((candidate["content"] as? [String: Any])?["parts"] as? [[String: Any]])
            #expect(parts.map { $0["thoughtSignature"] != nil } == [false, true, false, false])
            #expect(candidate["finishReason"] as? String == "STOP")
        }
    }

    // ---- Ollama ----

    @Test func ollamaStreamsLinesUnlessToldNotTo() throws {
        try withMock { (mock: MockServer) throws in
            let answer = try post(mock, "/api/chat", "{\"model\":\"llama\",\"messages\":[]}", ["x-mock-tokens: 2"])
            #expect(answer.header("content-type") == "application/x-ndjson")
            #expect(answer.text.hasSuffix("}\n"))
            let lines = try answer.text.split(separator: "\n").map { try object(Array($0.utf8)) }
            #expect(lines.count == 3)
            #expect(lines.map { $0["done"] as? Bool } == [false, false, true])
            for line in lines {
                #expect(line["model"] as? String == "llama")
                let time = try #require(line["created_at"] as? String)
                let formatter = ISO8601DateFormatter()
                formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
                // Nine digits, of which Foundation reads three.
                #expect(time.range(of: "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{9}Z$", options: .regularExpression) != nil)
                let date = try #require(formatter.date(from: String(time.prefix(23)) + "Z"))
                #expect(abs(date.timeIntervalSinceNow) < 60)
            }
            #expect(lines[2]["eval_count"] as? Int == 2)
            for name in ["total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_duration"] { #expect(lines[2][name] is Int) }
            #expect(lines[0]["eval_count"] == nil)
            let plain = try post(mock, "/api/chat", "{\"model\":\"llama\",\"messages\":[],\"stream\":false}")
            #expect(plain.header("content-type") == "application/json; charset=utf-8")
            #expect(try object(plain.body)["done"] as? Bool == true)
        }
    }

    @Test func ollamaGenerateAnswersInResponse() throws {
        try withMock { (mock: MockServer) throws in
            let headers = ["x-mock-tokens: 3", "x-mock-thinking: 2", "x-mock-tool-calls: 2"]
            let plain = try object(try post(mock, "/api/generate", "{\"model\":\"l\",\"prompt\":\"x\",\"stream\":false}", headers).body)
            let lines = try post(mock, "/api/generate", "{\"model\":\"l\",\"prompt\":\"x\"}", headers).text.split(separator: "\n").map { try object(Array($0.utf8)) }
            #expect(lines.map { $0["response"] as? String ?? "?" }.joined() == plain["response"] as? String)
            #expect(lines.map { $0["thinking"] as? String ?? "" }.joined() == plain["thinking"] as? String)
            #expect(lines.last?["done_reason"] as? String == "stop")
            #expect(lines.last?["eval_count"] as? Int == 5)
            #expect(lines.allSatisfy { $0["message"] == nil })
        }
    }

    // ---- Bedrock ----

    @Test func converseStreamIsFramesInTheProvidersOrder() throws {
        try withMock { (mock: MockServer) throws in
            let answer = try Spoken.bedrock.ask(
                mock, stream: true, tools: true, headers: ["x-mock-tokens: 1", "x-mock-thinking: 1", "x-mock-tool-calls: 1", "x-mock-tool-text: 1"])
            #expect(answer.header("content-type") == "application/vnd.amazon.eventstream")
            #expect(answer.header("x-amzn-requestid") != nil)
            let frames = try Frame.all(answer.body)
            #expect(frames.map { $0.headers[":event-type"] } == [
                "messageStart", "contentBlockDelta", "contentBlockDelta", "contentBlockStop", "contentBlockDelta", "contentBlockStop", "contentBlockStart",
                "contentBlockDelta", "contentBlockDelta", "contentBlockDelta", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata",
            ])
            let indices = try frames.map { try object($0.payload)["contentBlockIndex"] as? Int }
            #expect(indices == [nil, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, nil, nil])
            let usage = try #require(try object(frames[13].payload)["usage"] as? [String: Any])
            #expect(usage["totalTokens"] as? Int == 2 + 6)
            #expect(usage["cacheReadInputTokens"] as? Int == 0)
        }
    }

    @Test func errorInAConverseStreamIsAnExceptionFrame() throws {
        try withMock { (mock: MockServer) throws in
            let answer = try Spoken.bedrock.ask(mock, stream: true, headers: ["x-mock-error-after: 2"])
            let frames = try Frame.all(answer.body)
            #expect(frames.count == 3)
            #expect(frames[2].headers == [":message-type": "exception", ":exception-type": "modelStreamErrorException", ":content-type": "application/json"])
            #expect(try object(frames[2].payload)["originalStatusCode"] as? Int == 500)
        }
    }

    @Test func largeFramesAreWholeToo() throws {
        try withMock { (mock: MockServer) throws in
            let answer = try Spoken.bedrock.ask(mock, stream: true, headers: ["x-mock-event-bytes: 100000", "x-mock-tokens: 2"])
            let frames = try Frame.all(answer.body)
            #expect(frames.filter { $0.payload.count > 100_000 }.count == 2)
        }
    }

    @Test func checksumOfTheTestsIsTheKnownOne() {
        // The check value of CRC-32/ISO-HDLC.
        #expect(Frame.checksum(Array("123456789".utf8)[...]) == 0xcbf4_3926)
    }

    // ---- Cohere ----

    @Test func cohereStreamEndsWithMessageEndAndDone() throws {
        try withMock { (mock: MockServer) throws in
            let answer = try Spoken.cohere.ask(mock, stream: true, headers: ["x-mock-tokens: 2", "x-mock-thinking: 1"])
            #expect(answer.header("content-type") == "text/event-stream")
            #expect(answer.events().map(\.name) == [
                "message-start", "content-start", "content-delta", "content-end", "content-start", "content-delta", "content-delta", "content-end",
                "message-end", "",
            ])
            #expect(answer.text.hasSuffix("data: [DONE]\n\n"))
            let calls = try Spoken.cohere.told(mock, stream: true, tools: true, headers: ["x-mock-tool-calls: 1", "x-mock-tool-text: 1"])
            #expect(calls.order == ["message-start", "tool-plan-delta", "tool-call-start", "tool-call-delta", "tool-call-end", "message-end"])
            #expect(calls.calls.first?.id?.hasPrefix("weather_") == true)
            let plain = try object(try Spoken.cohere.ask(mock, tools: true, headers: ["x-mock-tool-calls: 1"]).body)
            #expect((plain["message"] as? [String: Any])?["content"] == nil)
            #expect(plain["model"] == nil && plain["created"] == nil)
        }
    }

    // ---- OpenAI ----

    @Test func chatStreamOpensACallAndSendsItsArgumentsInPieces() throws {
        try withMock { (mock: MockServer) throws in
            let events = try Spoken.chat.ask(mock, stream: true, tools: true, headers: ["x-mock-tool-calls: 2"]).events().map(\.data).dropLast(2)
            let deltas = try events.map { ((try object(Array($0.utf8))["choices"] as? [[String: Any]])?.first?["delta"] as? [String: Any]) ?? [:] }
            // role, twice an opening and four pieces, finish
            #expect(deltas.count == 12)
            #expect(deltas[0]["content"] is NSNull)
            let calls = deltas.compactMap { ($0["tool_calls"] as? [[String: Any]])?.first }
            #expect(calls.map { $0["index"] as? Int } == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
            #expect(calls.map { $0["id"] != nil } == [true, false, false, false, false, true, false, false, false, false])
            #expect((calls[0]["function"] as? [String: Any])?["arguments"] as? String == "")
        }
    }

    @Test func severalChoicesHaveCallsOfTheirOwn() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            for stream in [false, true] {
                client.post("/v1/chat/completions", chat(stream: stream, n: 2), headers: ["x-mock-tool-calls: 2", "x-mock-thinking: 1"])
                let text = try #require(client.answer()).text
                let ids = Set(text.components(separatedBy: "\"id\":\"call_").dropFirst().map { $0.prefix { $0 != "\"" } })
                #expect(ids.count == 4)
            }
        }
    }

    @Test func responsesStreamHasAllItemsInTurn() throws {
        try withMock { (mock: MockServer) throws in
            let told = try Spoken.responses.told(
                mock, stream: true, tools: true, headers: ["x-mock-tokens: 2", "x-mock-thinking: 2", "x-mock-tool-calls: 1", "x-mock-tool-text: 1"])
            #expect(told.order == [
                "response.created", "response.in_progress",
                "response.output_item.added", "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta",
                "response.reasoning_summary_text.done", "response.reasoning_summary_part.done", "response.output_item.done",
                "response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.output_text.done",
                "response.content_part.done", "response.output_item.done",
                "response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done", "response.output_item.done",
                "response.completed",
            ])
            let answer = try Spoken.responses.ask(mock, stream: true, headers: ["x-mock-thinking: 1", "x-mock-tool-calls: 2"])
            let added = try answer.events().filter { $0.name == "response.output_item.added" }.map { try object(Array($0.data.utf8)) }
            #expect(added.map { $0["output_index"] as? Int } == [0, 1, 2])
        }
    }

    // ---- counts and embeddings ----

    @Test func tokensAreCountedInEachDialect() throws {
        try withMock { (mock: MockServer) throws in
            let body = "{\"x\":\"one two three\"}"
            #expect(try post(mock, "/v1/messages/count_tokens", body).text == "{\"input_tokens\":3}")
            #expect(try post(mock, "/model/m/count-tokens", body).text == "{\"inputTokens\":3}")
            let gemini = try object(try post(mock, "/v1beta/models/g:countTokens", body).body)
            #expect(gemini["totalTokens"] as? Int == 3)
            #expect((gemini["promptTokensDetails"] as? [[String: Any]])?.first?["tokenCount"] as? Int == 3)
        }
    }

    @Test func embeddingsAreTheSameNumbersInEachDialect() throws {
        try withMock { (mock: MockServer) throws in
            let usual = try #require(try object(try post(mock, "/v1/embeddings", "{\"input\":[\"a\",\"b\"],\"dimensions\":5}").body)["data"] as? [[String: Any]])
            let vectors = usual.compactMap { $0["embedding"] as? [Double] }
            #expect(vectors.count == 2 && vectors[0] != vectors[1] && vectors[0].count == 5)

            let one = try object(try post(mock, "/v1beta/models/g:embedContent", "{\"content\":{\"parts\":[{\"text\":\"a, b\"}]},\"outputDimensionality\":5}").body)
            #expect((one["embedding"] as? [String: Any])?["values"] as? [Double] == vectors[0])
            let request = "{\"model\":\"models/g\",\"content\":{\"parts\":[{\"text\":\"a, b\"},{}]},\"outputDimensionality\":5}"
            let batch = try object(try post(mock, "/v1beta/models/g:batchEmbedContents", "{\"requests\":[\(request),\(request)]}").body)
            #expect((batch["embeddings"] as? [[String: Any]])?.compactMap { $0["values"] as? [Double] } == vectors)

            let ollama = try object(try post(mock, "/api/embed", "{\"model\":\"m\",\"input\":[\"a\",\"b\"],\"dimensions\":5}").body)
            #expect(ollama["embeddings"] as? [[Double]] == vectors)
            #expect(ollama["model"] as? String == "m")
            let single = try object(try post(mock, "/api/embed", "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":5}").body)
            #expect((single["embeddings"] as? [[Double]])?.count == 1)

            let titan = try object(try post(mock, "/model/amazon.titan-embed-text-v2%3A0/invoke", "{\"inputText\":\"a\",\"dimensions\":5}").body)
            #expect(titan["embedding"] as? [Double] == vectors[0])
            #expect(titan["inputTextTokenCount"] as? Int == 1)
            let invoked = try object(try post(mock, "/model/us.cohere.embed-v4/invoke", "{\"texts\":[\"a\",\"b\"],\"output_dimension\":5}").body)
            #expect(invoked["embeddings"] as? [[Double]] == vectors)

            let cohere = try object(try post(mock, "/v2/embed", "{\"texts\":[\"a\",\"b\"],\"output_dimension\":5,\"embedding_types\":[\"float\"]}").body)
            #expect((cohere["embeddings"] as? [String: Any])?["float"] as? [[Double]] == vectors)
            #expect(((cohere["meta"] as? [String: Any])?["billed_units"] as? [String: Any])?["input_tokens"] as? Int == 1)
        }
    }

    @Test func ollamaListsItsModels() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.get("/api/tags")
            let answer = try #require(client.answer(to: .get))
            let models = try #require(try object(answer.body)["models"] as? [[String: Any]])
            #expect(models.map { $0["name"] as? String } == ["mock-model", "gpt-4o-mini", "gpt-4o", "text-embedding-3-small"])
            #expect(models.allSatisfy { $0["model"] as? String == $0["name"] as? String && $0["digest"] is String })
        }
    }

    // ---- errors ----

    @Test(arguments: [400, 401, 403, 404, 429, 500, 503, 529]) func errorsAreInTheWordsOfThePath(_ status: Int) throws {
        try withMock { (mock: MockServer) throws in
            for spoken in Spoken.allCases {
                for stream in [false, true] {
                    let answer = try spoken.ask(mock, stream: stream, headers: ["x-mock-status: \(status)", "x-mock-retry-after: 7"])
                    #expect(answer.status == status)
                    switch spoken {
                    case .chat, .responses:
                        #expect((try object(answer.body)["error"] as? [String: Any])?.keys.sorted() == ["code", "message", "param", "type"])
                    case .messages where status == 503:
                        #expect(answer.header("content-type") == "text/plain")
                        #expect(answer.text.hasPrefix("upstream connect error"))
                    case .messages:
                        let root = try object(answer.body)
                        #expect(root["type"] as? String == "error")
                        #expect(root["request_id"] as? String == answer.header("request-id"))
                        let wanted = [
                            400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
                            429: "rate_limit_error", 500: "api_error", 529: "overloaded_error",
                        ]
                        #expect((root["error"] as? [String: Any])?["type"] as? String == wanted[status])
                        #expect(answer.header("x-should-retry") == ([400, 401, 404].contains(status) ? "false" : status == 529 ? "true" : nil))
                    case .gemini, .geminiArray:
                        // A stream that is no event stream is an array, its error too.
                        let isArray = spoken == .geminiArray && stream
                        let json = try JSONSerialization.jsonObject(with: Data(answer.body))
                        let root = isArray ? (json as? [[String: Any]])?.first : json as? [String: Any]
                        let error = try #require(root?["error"] as? [String: Any])
                        #expect(error["code"] as? Int == status)
                        let wanted = [
                            400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED",
                            500: "INTERNAL", 503: "UNAVAILABLE", 529: "INTERNAL",
                        ]
                        #expect(error["status"] as? String == wanted[status])
                        #expect(answer.header("retry-after") == nil)
                        let delay = (error["details"] as? [[String: Any]])?.first?["retryDelay"] as? String
                        #expect(delay == (status == 429 ? "7s" : nil))
                    case .ollama:
                        #expect((try object(answer.body)["error"] as? String)?.isEmpty == false)
                        if status == 404 { #expect(answer.text == "{\"error\":\"model 'mini' not found\"}") }
                    case .bedrock:
                        #expect(try object(answer.body).keys.sorted() == ["message"])
                        let wanted = [
                            400: "ValidationException", 401: "UnrecognizedClientException", 403: "AccessDeniedException", 404: "ResourceNotFoundException",
                            429: "ThrottlingException", 500: "InternalServerException", 503: "ServiceUnavailableException", 529: "InternalServerException",
                        ]
                        #expect(answer.header("x-amzn-errortype")?.prefix { $0 != ":" } == wanted[status].map { $0[...] })
                    case .cohere:
                        #expect(try object(answer.body).keys.sorted() == ["id", "message"])
                    }
                    if ![.gemini, .geminiArray].contains(spoken) { #expect(answer.header("retry-after") == "7") }
                }
            }
        }
    }

    @Test func azureAnswersSomeErrorsItself() throws {
        try withMock { (mock: MockServer) throws in
            for (status, code) in [(401, "401"), (404, "DeploymentNotFound"), (429, "429")] {
                let answer = try post(mock, "/openai/deployments/d/chat/completions?api-version=x", "{}", ["x-mock-status: \(status)"])
                #expect((try object(answer.body)["error"] as? [String: Any])?["code"] as? String == code)
                #expect(answer.header("apim-request-id") != nil)
            }
        }
    }

    @Test func otherMethodsAreRefusedInTheDialectsWords() throws {
        try withMock { (mock: MockServer) throws in
            for spoken in Spoken.allCases {
                let client = RawClient(port: mock.port)
                client.get(spoken.path(stream: false))
                let answer = try #require(client.answer(to: .get))
                #expect(answer.status == 405)
                #expect(answer.header("allow") == "POST")
            }
            #expect(try post(mock, "/api/tags", "{}").status == 405)
        }
    }
}
