import Foundation
import Testing
import ClawWire
@testable import ClawDialect

@Suite struct ConverseAnswerTests {
    static func read(_ body: String) -> (answer: Answer, isAnswer: Bool, held: Held) {
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        _ = tape.read(held.bytes)
        let answer = Answer()
        answer.reset(source: .converse)
        return (answer, ConverseDialect.readAnswer(tape.root, into: answer), held)
    }

    @Test(.enabled(if: Recordings.isThere)) func recordedAnswersComeBackTheSame() throws {
        let all = Recordings.of("bedrock.converse").filter { $0.status == 200 }
        #expect(all.count == 6)
        for one in all {
            let again = try #require(translateAnswer(one.responseBody, from: .converse, to: .converse), "\(one.id)")
            #expect(differences(try parsed(one.responseBody), try parsed(again)) == [], "\(one.id)")
        }
    }

    @Test(.enabled(if: Recordings.isThere)) func recordedAnswersSayWhatTheyAreExpectedTo() throws {
        for one in Recordings.of("bedrock.converse") where one.status == 200 {
            let (answer, isAnswer, held) = Self.read(String(decoding: one.responseBody, as: UTF8.self))
            #expect(isAnswer)
            let expected = one.expected
            let text = answer.parts.filter { $0.kind == .text }.map { (try? parsed("\"\($0.text.string)\"")) as? String ?? "" }.joined()
            #expect(text == expected["text"] as? String ?? "", "\(one.id)")
            #expect(answer.choices.first?.nativeFinish.string == expected["finish_native"] as? String, "\(one.id)")
            let calls = answer.parts.filter { $0.kind == .toolCall }
            let wanted = expected["tool_calls"] as? [[String: Any]] ?? []
            #expect(calls.count == wanted.count)
            for (call, want) in zip(calls, wanted) {
                #expect(call.id.string == want["id"] as? String && call.name.string == want["name"] as? String)
                #expect(differences(try parsed(call.json.string), want["arguments"]) == [])
            }
            let usage = expected["usage_native"] as? [String: Any] ?? [:]
            #expect(answer.usage.freshInput == usage["inputTokens"] as? Int64 ?? Int64(usage["inputTokens"] as? Int ?? -1))
            #expect(answer.usage.output == Int64(usage["outputTokens"] as? Int ?? -1) && answer.usage.total == Int64(usage["totalTokens"] as? Int ?? -1))
            _ = held
        }
    }

    @Test func usageExcludesTheCacheAndTheTotalIncludesIt() throws {
        // A prompt of 7361 tokens, 7351 of them written to the cache.
        let (answer, _, held) = Self.read("""
            {"output":{"message":{"role":"assistant","content":[]}},"stopReason":"end_turn","usage":{"inputTokens":10,"outputTokens":4,"totalTokens":7365,
            "cacheReadInputTokens":0,"cacheWriteInputTokens":7351,"cacheReadInputTokenCount":0,"cacheWriteInputTokenCount":7351,"cacheDetails":[{"ttl":"1h","inputTokens":51},{"ttl":"5m","inputTokens":7300}]}}
            """)
        let usage = answer.usage
        #expect(usage.freshInput == 10 && usage.cacheWrite == 7300 && usage.cacheWriteHour == 51 && usage.cacheRead == 0 && usage.textOutput == 4)
        #expect(usage.input == 7361 && usage.total == 7365 && usage.statedTotal == 0)
        _ = held
        let counted = Self.read("{\"output\":{\"message\":{\"content\":[]}},\"usage\":{\"inputTokens\":1,\"outputTokens\":1,\"totalTokens\":5,\"cacheReadInputTokenCount\":2}}").answer.usage
        #expect(counted.cacheRead == 2 && counted.statedTotal == 5)
        for broken in ["{\"inputTokens\":\"x\"}", "{\"inputTokens\":-5,\"outputTokens\":1e300,\"totalTokens\":9223372036854775807,\"cacheReadInputTokens\":9223372036854775807}", "[]", "null"] {
            let usage = Self.read("{\"output\":{\"message\":{\"content\":[]}},\"usage\":\(broken)}").answer.usage
            #expect(usage.input >= 0 && usage.output >= 0)
        }
    }

    static let reasons: [(String, Finish)] = [
        ("end_turn", .stop), ("stop_sequence", .stopSequence), ("max_tokens", .length), ("model_context_window_exceeded", .contextWindow), ("tool_use", .toolCalls),
        ("guardrail_intervened", .contentFilter), ("content_filtered", .contentFilter), ("malformed_model_output", .error), ("malformed_tool_use", .error),
        ("refusal", .refusal), ("something_new", .other), ("", .other),
    ]

    @Test(arguments: reasons) func stopReasonsHaveOneMeaningAndTheirWord(_ one: (word: String, finish: Finish)) throws {
        let body = "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"x\"}]}},\"stopReason\":\"\(one.word)\",\"usage\":{\"inputTokens\":1,\"outputTokens\":1,\"totalTokens\":2}}"
        let (answer, _, held) = Self.read(body)
        #expect(answer.choices.first?.finish == one.finish && answer.choices.first?.nativeFinish.string == one.word)
        #expect(differences(try parsed(body), try parsed(translateAnswer(Array(body.utf8), from: .converse, to: .converse) ?? "null")) == [])
        _ = held
    }

    @Test func finishesOfOthersBecomeStopReasons() throws {
        for (finish, word) in [(Finish.stop, "end_turn"), (.length, "max_tokens"), (.toolCalls, "tool_use"), (.contentFilter, "content_filtered"), (.refusal, "content_filtered"),
            (.stopSequence, "stop_sequence"), (.contextWindow, "model_context_window_exceeded"), (.pause, "end_turn"), (.error, "malformed_model_output"), (.other, "end_turn"), (.unset, "end_turn")] {
            #expect("\(ConverseDialect.word(of: finish, hasCalls: false))" == word)
        }
        #expect("\(ConverseDialect.word(of: .stop, hasCalls: true))" == "tool_use" && "\(ConverseDialect.word(of: .other, hasCalls: true))" == "tool_use")
    }

    @Test func blocksOfAllKindsComeBack() throws {
        let body = """
            {"output":{"message":{"role":"assistant","content":[{"text":""},{"reasoningContent":{"reasoningText":{"text":"t","signature":"s"}}},{"reasoningContent":{"reasoningText":{"text":"u"}}},
            {"reasoningContent":{"redactedContent":"cmVk"}},{"toolUse":{"toolUseId":"a","name":"f","input":{"n":12345678901234567890}}},
            {"toolUse":{"toolUseId":"b","name":"nova_grounding","input":{},"type":"server_tool_use"}},{"toolResult":{"toolUseId":"b","content":[],"type":"nova_grounding_result"}},
            {"citationsContent":{"content":[{"text":"c"}],"citations":[{"title":"x"}]}},{"image":{"format":"png","source":{"bytes":"aGk="}}},{"audio":{"format":"opus","source":{"bytes":"aGk="}}},
            {"new":{"x":1}},{"text":5},7]}},"stopReason":"tool_use","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2,"serverToolUsage":{}},"metrics":{"latencyMs":7},
            "trace":{"guardrail":{}},"additionalModelResponseFields":{"stop_sequence":"|"},"serviceTier":{"type":"flex"},"performanceConfig":{"latency":"standard"}}
            """
        #expect(differences(try parsed(body), try parsed(translateAnswer(Array(body.utf8), from: .converse, to: .converse) ?? "null")) == [])
        let (answer, _, held) = Self.read(body)
        #expect(answer.parts.map(\.kind) == [.text, .thinking, .thinking, .redactedThinking, .toolCall, .opaque, .opaque, .text, .image, .audio, .opaque, .opaque, .opaque])
        #expect(answer.parts[1].signatureOf == .converse && answer.parts[3].signatureOf == .converse && answer.serviceTier.string == "flex")
        _ = held
    }

    @Test func answersOfOthersHaveAllThatAnSDKReads() throws {
        let answer = Answer()
        answer.reset(source: .messages)
        answer.beginChoice()
        answer.add(.text(JSONBytes("")))
        answer.add(.text(JSONBytes("hi")))
        var thought = Part(.thinking)
        thought.text = JSONBytes("t")
        thought.signature = JSONBytes("sig")
        thought.signatureOf = .messages
        answer.add(thought)
        var hidden = Part(.redactedThinking)
        hidden.data = JSONBytes("Zm9y")
        hidden.signatureOf = .messages
        answer.add(hidden)
        for _ in 0..<2 {
            var call = Part(.toolCall)
            call.name = JSONBytes("f")
            call.text = JSONBytes("{\\\"a\\\":1}")
            answer.add(call)
        }
        answer.choices[0].finish = .stop
        answer.usage.setInput(sum: 10, cacheRead: 2)
        answer.usage.cacheWriteHour = 3
        answer.usage.setOutput(sum: 5)
        var out = JSONWriter()
        ConverseDialect.writeAnswer(answer, testContext, into: &out)
        let body = try #require(try parsed(String(decoding: out.bytes, as: UTF8.self)) as? [String: Any])
        let content = try #require(((body["output"] as? [String: Any])?["message"] as? [String: Any])?["content"] as? [[String: Any]])
        #expect(try expectEqual(Array(content.prefix(3)), "[{\"text\":\"hi\"},{\"reasoningContent\":{\"reasoningText\":{\"text\":\"t\",\"signature\":\"messages#sig\"}}},{\"reasoningContent\":{\"redactedContent\":\"\(Data("messages#Zm9y".utf8).base64EncodedString())\"}}]") == [])
        let ids = content.suffix(2).compactMap { ($0["toolUse"] as? [String: Any])?["toolUseId"] as? String }
        #expect(Set(ids).count == 2 && ids.allSatisfy { $0.hasPrefix("tooluse_") })
        #expect(body["stopReason"] as? String == "tool_use")
        #expect(try expectEqual(body["usage"], "{\"inputTokens\":8,\"outputTokens\":5,\"totalTokens\":18,\"cacheReadInputTokens\":2,\"cacheWriteInputTokens\":3,\"cacheDetails\":[{\"ttl\":\"1h\",\"inputTokens\":3}]}") == [])
        #expect((body["metrics"] as? [String: Any])?["latencyMs"] != nil)
    }

    @Test func whatIsNoAnswerIsNotTakenForOne() {
        for body in ["[]", "{}", "{\"output\":{}}", "{\"output\":{\"message\":{\"content\":\"x\"}}}", "{\"output\":1}", "null"] { #expect(!Self.read(body).isAnswer, "\(body)") }
        let failed = Self.read("{\"message\":\"boom\"}")
        #expect(!failed.isAnswer && failed.answer.error?.message.string == "boom" && failed.answer.error?.problem == .serverError)
    }

    @Test(.enabled(if: Recordings.isThere)) func mutatedAnswersNeverTrap() throws {
        var random = SeededBytes(5)
        for one in Recordings.of("bedrock.converse") where one.status == 200 {
            for _ in 0..<150 {
                if let text = translateAnswer(random.mutate(one.responseBody), from: .converse, to: .converse) { #expect(isJSON(Array(text.utf8)), "\(text)") }
            }
        }
    }
}

@Suite struct ConverseErrorTests {
    static func read(_ status: Int, _ body: String, kind: String = "") -> (error: ProviderError, written: String, writtenStatus: Int) {
        let held = Held(Array(body.utf8))
        let type = Held(Array(kind.utf8))
        var tape = JSONTape()
        let isJSON = tape.read(held.bytes) == nil
        let arena = ArenaBox()
        let error = ConverseDialect.readError(status: status, isJSON ? tape.root : JSONValue(), text: held.bytes, kind: JSONBytes(type.bytes), arena)
        // Its texts outlive nothing: they are looked at here.
        #expect(error.source == .converse && error.message.exists)
        var out = JSONWriter()
        let written = ConverseDialect.writeError(error, requestID: JSONBytes("r"), into: &out)
        var copy = error
        copy.message = JSONBytes()
        copy.type = JSONBytes()
        copy.native = JSONBytes()
        return (copy, error.message.string + "|" + error.type.string + "|" + String(decoding: out.bytes, as: UTF8.self), written)
    }

    @Test(.enabled(if: Recordings.isThere)) func recordedErrorsComeBackTheSame() throws {
        let all = Recordings.of("bedrock.converse", "bedrock.converse_stream").filter { $0.status != 200 }
        #expect(all.count == 4)
        for one in all {
            let body = String(decoding: one.responseBody, as: UTF8.self)
            let (error, written, status) = Self.read(one.status, body, kind: one.header("x-amzn-errortype"))
            #expect(status == one.status)
            let pieces = written.split(separator: "|", maxSplits: 2, omittingEmptySubsequences: false)
            #expect(differences(try parsed(body), try parsed(String(pieces[2]))) == [], "\(one.id)")
            #expect(String(pieces[0]) == (one.expected["error_native"] as? [String: Any])?["message"] as? String)
            #expect(error.problem == (one.id.contains("context") ? .contextTooLong : one.id.contains("model") ? .modelMissing : .auth), "\(one.id)")
            #expect(!pieces[1].contains(":") && pieces[1].hasSuffix("Exception"))
        }
    }

    static let table: [(Int, String, String, ProblemClass)] = [
        (400, "ValidationException:http://internal.amazon.com/", "{\"message\":\"bad\"}", .badRequest),
        (400, "ValidationException", "{\"message\":\"The provided model identifier is invalid.\"}", .modelMissing),
        (400, "ValidationException", "{\"message\":\"Input is too long for requested model.\"}", .contextTooLong),
        (400, "ValidationException", "{\"message\":\"... Input Tokens Exceeded: Number ...\"}", .contextTooLong),
        (400, "ServiceQuotaExceededException", "{\"message\":\"x\"}", .rateLimited), (403, "AccessDeniedException", "{\"message\":\"x\"}", .auth),
        (403, "UnrecognizedClientException", "{\"message\":\"x\"}", .auth), (403, "InvalidSignatureException", "{\"message\":\"x\"}", .auth),
        (403, "ExpiredTokenException", "{\"message\":\"x\"}", .auth), (403, "", "{\"Message\":\"x\"}", .auth), (404, "ResourceNotFoundException", "{\"message\":\"x\"}", .modelMissing),
        (408, "ModelTimeoutException", "{\"message\":\"x\"}", .timeout), (424, "ModelErrorException", "{\"message\":\"x\",\"originalStatusCode\":500}", .serverError),
        (424, "ModelStreamErrorException", "{\"message\":\"x\"}", .serverError), (424, "", "{\"message\":\"x\"}", .serverError), (429, "ThrottlingException", "{\"message\":\"x\"}", .rateLimited),
        (429, "ModelNotReadyException", "{\"message\":\"x\"}", .rateLimited), (500, "InternalServerException", "{\"message\":\"x\"}", .serverError),
        (503, "ServiceUnavailableException", "{\"message\":\"x\"}", .overloaded), (503, "", "upstream connect error", .overloaded), (502, "", "<html>Bad Gateway</html>", .serverError),
        (404, "", "{\"Output\":{\"__type\":\"com.amazon.coral.service#UnknownOperationException\"},\"Version\":\"1.0\"}", .modelMissing),
        (400, "", "{\"__type\":\"com.amazon.coral.validate#ThrottlingException\",\"message\":\"x\"}", .rateLimited), (400, "", "[]", .badRequest), (500, "", "", .serverError),
    ]

    @Test(arguments: table) func errorsHaveTheirClass(_ one: (status: Int, kind: String, body: String, problem: ProblemClass)) {
        let (error, written, status) = Self.read(one.status, one.body, kind: one.kind)
        #expect(error.problem == one.problem && error.status == one.status && status == one.status && !error.isQuota)
        #expect(!written.hasPrefix("<") && written.split(separator: "|")[0].utf8.count <= 500)
    }

    @Test func plainTextIsKeptShort() {
        let long = Self.read(503, String(repeating: "é", count: 400)).written.split(separator: "|")[0]
        #expect(long.utf8.count <= 500 && long.allSatisfy { $0 == "é" })
        #expect(Self.read(503, "a \"quoted\" line").written.hasPrefix("a \\\"quoted\\\" line|"))
    }

    @Test func errorsOfOthersGetBedrocksStatus() throws {
        for (problem, status, type) in [(ProblemClass.rateLimited, 429, "ThrottlingException"), (.overloaded, 503, "ServiceUnavailableException"), (.timeout, 408, "ModelTimeoutException"),
            (.serverError, 500, "InternalServerException"), (.auth, 403, "AccessDeniedException"), (.modelMissing, 404, "ResourceNotFoundException"), (.contextTooLong, 400, "ValidationException"),
            (.contentFiltered, 400, "ValidationException"), (.badRequest, 400, "ValidationException")] {
            var error = ProviderError(status: 529, problem: problem)
            error.message = JSONBytes("m")
            error.type = JSONBytes("overloaded_error")
            error.source = .messages
            error.native = JSONBytes("{\"type\":\"error\"}")
            var out = JSONWriter()
            #expect(ConverseDialect.writeError(error, requestID: JSONBytes(), into: &out) == status)
            #expect(String(decoding: out.bytes, as: UTF8.self) == "{\"message\":\"m\"}" && "\(ConverseDialect.errorType(of: problem))" == type)
        }
    }
}
