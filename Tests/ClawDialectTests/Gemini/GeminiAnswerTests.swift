// Whole answers, both ways: finish reasons, blocked prompts, usage, logprobs; and embeddings.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct GeminiAnswerTests {
    static let finishes: [(String, Finish)] = [
        ("STOP", .stop), ("MAX_TOKENS", .length), ("SAFETY", .contentFilter), ("RECITATION", .contentFilter), ("BLOCKLIST", .contentFilter),
        ("PROHIBITED_CONTENT", .contentFilter), ("SPII", .contentFilter), ("LANGUAGE", .contentFilter), ("IMAGE_SAFETY", .contentFilter),
        ("IMAGE_PROHIBITED_CONTENT", .contentFilter), ("IMAGE_RECITATION", .contentFilter), ("NO_IMAGE", .contentFilter), ("MODEL_ARMOR", .contentFilter),
        ("MALFORMED_FUNCTION_CALL", .error), ("UNEXPECTED_TOOL_CALL", .error), ("TOO_MANY_TOOL_CALLS", .error), ("MALFORMED_RESPONSE", .error),
        ("MISSING_THOUGHT_SIGNATURE", .error), ("OTHER", .other), ("FINISH_REASON_UNSPECIFIED", .other), ("INVENTED_TOMORROW", .other),
    ]

    @Test(arguments: finishes) func finishReasonsAreRead(_ word: String, _ finish: Finish) throws {
        let body = "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}],\"role\":\"model\"},\"finishReason\":\"\(word)\"}]}"
        let answer = try #require(geminiAnswer(body))
        #expect(answer.choices[0].finish == finish)
        #expect(answer.choices[0].nativeFinish.string == word)
        #expect(said([event(body)]).said.first { $0.kind == .finish }?.finish == finish)
        #expect(differences(try parsed(body), try parsed(try #require(translateAnswer(Array(body.utf8), from: .gemini, to: .gemini)))) == [])
    }

    @Test func stopWithCallsIsToolCallsAndOtherTooButNotALimit() throws {
        for (word, finish) in [("STOP", Finish.toolCalls), ("OTHER", .toolCalls), ("MAX_TOKENS", .length)] {
            let body = "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]},\"finishReason\":\"\(word)\",\"finishMessage\":\"Model generated function call(s).\"}]}"
            let answer = try #require(geminiAnswer(body))
            #expect(answer.choices[0].finish == finish)
            #expect(answer.argumentsObject(answer.parts[0]).string == "{}")
            #expect(answer.parts[0].id.isEmpty)
            #expect(said([event(body)]).said.first { $0.kind == .finish }?.finish == finish)
        }
    }

    @Test func unexpectedCallIsNoCall() throws {
        let body = #"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"rm","args":{}},"thoughtSignature":"x"}],"role":"model"},"finishReason":"UNEXPECTED_TOOL_CALL"}]}"#
        let answer = try #require(geminiAnswer(body))
        #expect(!answer.hasCalls(answer.choices[0]))
        #expect(answer.choices[0].finish == .error)
        #expect(!said([event(body)]).said.contains { $0.kind == .callStart })
        #expect(said([event(body)], keepsExtras: true).said.contains { $0.kind == .opaque && $0.json.contains("rm") })
    }

    @Test func blockedPromptIsAnEmptyChoiceThatTheFilterEnded() throws {
        let body = #"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3,"totalTokenCount":3},"modelVersion":"m","responseId":"r"}"#
        let answer = try #require(geminiAnswer(body))
        #expect(answer.choices.count == 1)
        #expect(answer.choices[0].finish == .contentFilter)
        #expect(answer.parts.isEmpty)
        #expect(answer.usage.input == 3)
        #expect(answer.usage.hasOutput)
        #expect(differences(try parsed(body), try parsed(try #require(translateAnswer(Array(body.utf8), from: .gemini, to: .gemini)))) == [])
        let stream = said([event(body)])
        #expect(stream.said.map(\.kind) == [.start, .finish, .usage, .end])
        #expect(stream.said[1].finish == .contentFilter)
        let written = translateStream([event(body)], reader: GeminiDialect.streamReader(Quirks()), writer: GeminiDialect.streamWriter(testContext), keepsExtras: true).bytes
        #expect(differences(try parsed(body), try parsed(try #require(sseEvents(written).last).data)) == [])
    }

    @Test func emptyContentsAndMissingOnesAreAnswers() throws {
        for content in [#""content":{},"#, #""content":{"role":"model"},"#, #""content":{"parts":[],"role":"model"},"#, ""] {
            let body = "{\"candidates\":[{\(content)\"finishReason\":\"SAFETY\"}],\"responseId\":\"r\"}"
            #expect(try #require(geminiAnswer(body)).parts.isEmpty)
            #expect(differences(try parsed(body), try parsed(try #require(translateAnswer(Array(body.utf8), from: .gemini, to: .gemini)))) == [])
        }
    }

    @Test(arguments: ["[]", "{}", "1", #"{"candidates":{}}"#, #"{"candidates":[1]}"#, #"{"choices":[]}"#])
    func garbageIsAnError(_ body: String) {
        let held = words(body)
        var tape = JSONTape()
        #expect(tape.read(held.raw) == nil)
        let answer = Answer()
        answer.reset(source: .gemini)
        #expect(!GeminiDialect.readAnswer(tape.root, into: answer))
        #expect(answer.error?.problem == .serverError)
        #expect(answer.error?.code.string == "upstream_malformed_answer")
    }

    @Test func errorInsideA200IsSeen() {
        for body in [#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#, #"[{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}]"#] {
            let held = words(body)
            var tape = JSONTape()
            #expect(tape.read(held.raw) == nil)
            let answer = Answer()
            answer.reset(source: .gemini)
            #expect(!GeminiDialect.readAnswer(tape.root, into: answer))
            #expect(answer.error?.problem == .overloaded)
            #expect(answer.error?.status == 503)
        }
    }

    @Test func usageIsTakenApart() throws {
        let answer = try #require(geminiAnswer(#"""
            {"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":30,"toolUsePromptTokenCount":20,"candidatesTokenCount":10,"thoughtsTokenCount":5,"totalTokenCount":135,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":60},{"modality":"AUDIO","tokenCount":40}],"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":10}],"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":4}]}}
            """#))
        let usage = answer.usage
        #expect(usage.input == 120)
        #expect(usage.cacheRead == 30)
        #expect(usage.audioInput == 30)
        #expect(usage.freshInput == 60)
        #expect(usage.output == 15)
        #expect(usage.reasoning == 5)
        #expect(usage.audioOutput == 4)
        #expect(usage.total == 135)
    }

    @Test func hiddenTokensAreInTheTotal() throws {
        let answer = try #require(geminiAnswer(#"{"candidates":[{}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":2,"totalTokenCount":50}}"#))
        #expect(answer.usage.total == 50)
        #expect(answer.usage.output == 2)
    }

    @Test func absurdCountsAreClamped() throws {
        let answer = try #require(geminiAnswer(#"{"candidates":[{}],"usageMetadata":{"promptTokenCount":-5,"candidatesTokenCount":1e300,"cachedContentTokenCount":7}}"#))
        #expect(answer.usage.freshInput == 0)
        #expect(answer.usage.output == 1 << 40)
    }

    // MARK: from other dialects

    private func foreign(_ build: (Answer) -> Void) throws -> [String: Any] {
        let answer = Answer()
        answer.reset(source: .chat)
        answer.id = JSONBytes("chatcmpl-1")
        answer.model = JSONBytes("gpt-5")
        build(answer)
        var out = JSONWriter()
        GeminiDialect.writeAnswer(answer, testContext, into: &out)
        return try #require(try parsed(Array(out.bytes)) as? [String: Any])
    }

    @Test func answerOfAnotherProviderIsAWholeResponse() throws {
        let written = try foreign { answer in
            for index in 0..<2 {
                answer.beginChoice(Int64(index))
                var thought = Part(.thinking)
                thought.text = JSONBytes("hm")
                answer.add(thought)
                answer.add(.text(JSONBytes("a\\nb")))
                var call = Part(.toolCall)
                call.name = JSONBytes("f")
                call.text = JSONBytes("{\\\"n\\\":12345678901234567890}")
                answer.add(call)
                answer.choices[index].finish = .toolCalls
            }
            answer.usage.setInput(sum: 10, cacheRead: 4)
            answer.usage.setOutput(sum: 8, reasoning: 3)
        }
        let candidates = try #require(written["candidates"] as? [[String: Any]])
        #expect(candidates.count == 2)
        let parts = try #require((candidates[1]["content"] as? [String: Any])?["parts"] as? [[String: Any]])
        #expect(parts[0]["thought"] as? Bool == true)
        #expect(parts[1]["text"] as? String == "a\nb")
        let ids = candidates.compactMap { (($0["content"] as? [String: Any])?["parts"] as? [[String: Any]])?[2]["functionCall"] as? [String: Any] }.map { $0["id"] as? String ?? "" }
        #expect(Set(ids).count == 2 && ids.allSatisfy { $0.hasPrefix("call_") && $0.count > 10 })
        #expect(candidates[1]["finishReason"] as? String == "STOP")
        #expect(candidates[1]["index"] as? Int == 1)
        #expect(differences(written["usageMetadata"], ["promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 3, "totalTokenCount": 18]) == [])
        #expect(written["modelVersion"] as? String == "gpt-5")
        #expect(written["responseId"] as? String == "chatcmpl-1")
    }

    @Test(arguments: [
        (Finish.stop, "STOP"), (.stopSequence, "STOP"), (.length, "MAX_TOKENS"), (.contextWindow, "MAX_TOKENS"), (.toolCalls, "STOP"), (.contentFilter, "SAFETY"),
        (.refusal, "SAFETY"), (.pause, "STOP"), (.other, "STOP"), (.error, "OTHER"), (.unset, "STOP"),
    ])
    func finishesAreWritten(_ finish: Finish, _ word: String) throws {
        let written = try foreign { answer in
            answer.beginChoice()
            answer.choices[0].finish = finish
            answer.choices[0].nativeFinish = JSONBytes("foreign_word")
        }
        #expect((written["candidates"] as? [[String: Any]])?.first?["finishReason"] as? String == word)
    }

    @Test func logprobsAreTranslatedBothWays() throws {
        let body = #"{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"},"finishReason":"STOP","avgLogprobs":-0.5,"logprobsResult":{"chosenCandidates":[{"token":"a","logProbability":-0.5,"tokenId":3}],"topCandidates":[{"candidates":[{"token":"a","logProbability":-0.5},{"token":"b","logProbability":-2}]}]}}]}"#
        let answer = try #require(geminiAnswer(body))
        let wanted = #"{"content":[{"token":"a","logprob":-0.5,"bytes":null,"top_logprobs":[{"token":"a","logprob":-0.5,"bytes":null},{"token":"b","logprob":-2,"bytes":null}]}],"refusal":null}"#
        #expect(differences(try parsed(wanted), try parsed(answer.choices[0].logprobs.string)) == [])
        #expect(differences(try parsed(body), try parsed(try #require(translateAnswer(Array(body.utf8), from: .gemini, to: .gemini)))) == [])
        let written = try foreign { other in
            other.beginChoice()
            other.add(.text(JSONBytes("a")))
            other.choices[0].logprobs = words(wanted)
        }
        let candidate = (written["candidates"] as? [[String: Any]])?.first
        #expect(candidate?["avgLogprobs"] as? Double == -0.5)
        let top = #"{"chosenCandidates":[{"token":"a","logProbability":-0.5}],"topCandidates":[{"candidates":[{"token":"a","logProbability":-0.5},{"token":"b","logProbability":-2}]}]}"#
        #expect(differences(candidate?["logprobsResult"], try parsed(top)) == [])
    }

    @Test func partsOfAnAnswerThatOnlyGeminiKnowsGoBackAsTheyWere() throws {
        let body = #"{"candidates":[{"content":{"parts":[{"executableCode":{"code":"1"}},{"inlineData":{"mimeType":"image/png","data":"AA+/"}},{"fileData":{"fileUri":"gs://x","mimeType":"image/png"}},{"thoughtSignature":"s","text":""},{"text":"a","partMetadata":{"x":1}},{"functionCall":{"name":"f","args":{},"id":"i","willContinue":false}}],"role":"model","x":1},"finishReason":"STOP","groundingMetadata":{"y":[1]},"index":0}],"createTime":"t"}"#
        #expect(differences(try parsed(body), try parsed(try #require(translateAnswer(Array(body.utf8), from: .gemini, to: .gemini)))) == [])
    }

    // MARK: embeddings

    private func embedding(_ body: String) throws -> EmbeddingRequest {
        let held = words(body)
        var tape = JSONTape()
        #expect(tape.read(held.raw) == nil)
        let request = EmbeddingRequest()
        request.reset(source: .gemini)
        do throws(Refusal) { try GeminiDialect.readEmbedding(tape.root, into: request) } catch { throw TestFailure(description: error.field.string) }
        return request
    }

    @Test func oneTextOrMany() throws {
        let one = try embedding(#"{"model":"models/m","content":{"parts":[{"text":"a"}]},"taskType":"RETRIEVAL_QUERY","title":"t","output_dimensionality":8}"#)
        #expect(one.isSingle)
        #expect(one.model.string == "m")
        #expect(one.inputs.map(\.string) == ["a"])
        #expect(one.dimensions == 8)
        #expect(one.task.string == "RETRIEVAL_QUERY")
        var out = JSONWriter()
        try GeminiDialect.writeEmbedding(one, to: Target(model: words("m"), quirks: Quirks()), into: &out)
        let wanted = #"{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]},"taskType":"RETRIEVAL_QUERY","title":"t","outputDimensionality":8}]}"#
        #expect(differences(try parsed(wanted), try parsed(Array(out.bytes))) == [])
        let many = try embedding(#"{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"},{"text":"b"}]}},{"model":"models/m","content":{"parts":[{"text":"c"}]}}]}"#)
        #expect(!many.isSingle)
        #expect(many.inputs.map(\.string) == ["a\\nb", "c"])
        #expect(try embedding(#"{"content":{"parts":[{"text":"a"}]},"embedContentConfig":{"taskType":"X","outputDimensionality":4}}"#).dimensions == 4)
    }

    @Test(arguments: [
        ("{}", "content"), (#"{"content":1}"#, "content"), (#"{"content":{"parts":[]}}"#, "content.parts"), (#"{"content":{"parts":[{"inlineData":{}}]}}"#, "content.parts[].text"),
        (#"{"requests":1}"#, "requests"), (#"{"requests":[]}"#, "requests"), (#"{"requests":[1]}"#, "requests[]"),
        (#"{"content":{"parts":[{"text":"a"}]},"outputDimensionality":0}"#, "outputDimensionality"), (#"{"content":{"parts":[{"text":"a"}]},"taskType":1}"#, "taskType"),
        (#"{"requests":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"a"}]},"taskType":"X"}]}"#, "requests[].taskType"),
        (#"{"requests":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"a"}]},"outputDimensionality":3}]}"#, "requests[].outputDimensionality"),
    ])
    func badEmbeddingRequestIsRefused(_ body: String, _ field: String) {
        let failure = #expect(throws: TestFailure.self) { try embedding(body) }
        #expect(failure?.description == field)
    }

    @Test func embeddingsOfOtherDialects() throws {
        func write(_ change: (EmbeddingRequest) -> Void) throws -> String {
            let request = EmbeddingRequest()
            request.reset(source: .cohere)
            request.inputs = [words("a")]
            change(request)
            var out = JSONWriter()
            do throws(Refusal) {
                try GeminiDialect.writeEmbedding(request, to: Target(model: words("m"), quirks: Quirks()), into: &out)
            } catch { throw TestFailure(description: error.field.string) }
            return String(decoding: out.bytes, as: UTF8.self)
        }
        for (theirs, ours) in [("search_document", "RETRIEVAL_DOCUMENT"), ("search_query", "RETRIEVAL_QUERY"), ("classification", "CLASSIFICATION"), ("clustering", "CLUSTERING")] {
            #expect(try write { $0.task = words(theirs) }.contains("\"taskType\":\"\(ours)\""))
        }
        #expect(throws: TestFailure.self) { try write { $0.task = words("image") } }
        #expect(throws: TestFailure.self) { try write { $0.isTokens = true } }
        #expect(throws: TestFailure.self) { try write { $0.extras = [Extra(.root, 0, key: words("x"), value: words("1"))] } }
    }

    @Test func vectorsAreWrittenAsNumbers() throws {
        let answer = EmbeddingAnswer()
        answer.vectors = [JSONBytes("AACAPwAAAMA=")]
        answer.isBase64 = true
        answer.usage.setInput(sum: 5)
        var context = testContext
        context.isSingle = true
        var out = JSONWriter()
        GeminiDialect.writeEmbeddingAnswer(answer, context, into: &out)
        #expect(differences(try parsed(Array(out.bytes)), try parsed(#"{"embedding":{"values":[1,-2]},"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}}"#)) == [])
        for body in [#"{"embedding":{"values":[1]}}"#, #"{"embeddings":[{"values":[1]}]}"#, #"{"predictions":[{"embeddings":{"values":[1],"statistics":{"token_count":4}}}]}"#] {
            let held = words(body)
            var tape = JSONTape()
            #expect(tape.read(held.raw) == nil)
            let read = EmbeddingAnswer()
            #expect(GeminiDialect.readEmbeddingAnswer(tape.root, into: read))
            #expect(read.vectors.map(\.string) == ["[1]"])
        }
    }
}
