// Whole answers of other dialects in this API's form, answers of this API that OpenAI was not recorded giving, and errors.
import ClawDialect
import ClawWire
import Foundation
import Testing

private func written(_ source: DialectID, _ fill: (Answer) -> Void) throws -> [String: Any] {
    let answer = Answer()
    answer.reset(source: source)
    fill(answer)
    var out = JSONWriter()
    ResponsesDialect.writeAnswer(answer, testContext, into: &out)
    return try parsed(String(decoding: out.bytes, as: UTF8.self)) as? [String: Any] ?? [:]
}

private func output(_ body: [String: Any]) -> [[String: Any]] { body["output"] as? [[String: Any]] ?? [] }

struct ResponsesAnswerTests {
    @Test func answersOfOtherDialectsHaveAllTheSDKAsksFor() throws {
        let body = try written(.chat) { it in
            it.id = JSONBytes("chatcmpl-1")
            it.model = JSONBytes("gpt-x")
            it.created = 7
            it.usage.setInput(sum: 10, cacheRead: 4, cacheWrite: 1)
            it.usage.setOutput(sum: 5, reasoning: 2)
            it.add(.text(JSONBytes("hi")))
            it.choices[0].finish = .stop
            it.choices[0].logprobs = JSONBytes(#"{"content":[{"token":"hi","logprob":0,"bytes":[1],"top_logprobs":[]}],"refusal":null}"#)
        }
        for key in ["id", "object", "created_at", "status", "error", "incomplete_details", "instructions", "metadata", "model", "output", "parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p", "usage", "text", "truncation", "reasoning", "previous_response_id"] {
            #expect(body[key] != nil, "\(key)")
        }
        #expect((body["id"] as? String)?.hasPrefix("resp_") == true && body["model"] as? String == "gpt-x" && body["created_at"] as? Int == 7)
        let content = try #require((output(body).first?["content"] as? [[String: Any]])?.first)
        #expect(content["text"] as? String == "hi" && (content["annotations"] as? [Any])?.isEmpty == true && (content["logprobs"] as? [[String: Any]])?.count == 1)
        let usage = #"{"input_tokens":10,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":1},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":15}"#
        #expect(differences(try parsed(usage), body["usage"]) == [])
    }

    @Test func partsBecomeItems() throws {
        let body = try written(.messages) { it in
            var thought = Part(.thinking)
            thought.text = JSONBytes("hm")
            thought.signature = JSONBytes("Eqo")
            thought.signatureOf = .messages
            it.add(thought)
            var redacted = Part(.redactedThinking)
            redacted.data = JSONBytes("EmwK")
            redacted.signatureOf = .messages
            it.add(redacted)
            it.add(.text(JSONBytes("a")))
            var cited = Part.text(JSONBytes("b"))
            cited.citations = JSONBytes(#"[{"type":"char_location"},{"type":"url_citation","url":"u","title":"t","start_index":0,"end_index":1}]"#)
            it.add(cited)
            var call = Part(.toolCall)
            call.name = JSONBytes("f")
            call.json = JSONBytes(#"{"n":9007199254740993,"s":"\""}"#)
            it.add(call)
            call.signature = JSONBytes("CiQ=")
            call.signatureOf = .gemini
            it.add(call)
            var image = Part(.image)
            image.source = .base64
            image.data = JSONBytes("AAAA")
            it.add(image)
            it.choices[0].finish = .toolCalls
        }
        let items = output(body)
        #expect(items.map { $0["type"] as? String } == ["reasoning", "reasoning", "message", "function_call", "reasoning", "function_call", "image_generation_call"])
        try #require(items.count == 7)
        #expect(items.compactMap { $0["encrypted_content"] as? String }.prefix(2) == ["messages#Eqo", "messages##EmwK"])
        #expect(((items[2]["content"] as? [[String: Any]])?[1]["annotations"] as? [Any])?.count == 1)
        #expect(items[3]["arguments"] as? String == #"{"n":9007199254740993,"s":"\""}"#)
        let ids = [items[3], items[5]].map { $0["call_id"] as? String ?? "" }
        #expect(ids[0] != ids[1] && ids.allSatisfy { $0.hasPrefix("call_") } && items[4]["encrypted_content"] as? String == "gemini#@\(ids[1])@CiQ=")
        #expect(Set(items.map { $0["id"] as? String ?? "" }).count == items.count && body["status"] as? String == "completed")
    }

    @Test func theLastItemOfACutAnswerIsIncomplete() throws {
        let body = try written(.chat) { it in
            it.add(.text(JSONBytes("a")))
            it.choices[0].finish = .length
        }
        #expect(body["status"] as? String == "incomplete" && output(body)[0]["status"] as? String == "incomplete")
        #expect(differences(try parsed(#"{"reason":"max_output_tokens"}"#), body["incomplete_details"]) == [])
    }

    /// Forms that were not recorded: read and written, they are the same.
    @Test(arguments: [
        #""status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[]"#,
        #""status":"incomplete","incomplete_details":{"reason":"steered"},"output":[]"#,
        #""status":"incomplete","incomplete_details":null,"output":[]"#,
        #""status":"completed","incomplete_details":null,"output":[{"id":"msg","type":"message","role":"assistant","status":"completed","content":[{"type":"refusal","refusal":"no"},{"type":"odd","x":1},{"type":"output_text","text":"","annotations":[{"type":"url_citation","url":"u"}],"logprobs":[{"token":"a"}],"new":1}]},{"id":"msg2","type":"message","role":"assistant","status":"completed","content":[]},{"id":"msg3","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"x","annotations":[]}]}]"#,
        #""status":"completed","incomplete_details":null,"output":[{"id":"ws","type":"web_search_call","status":"completed"},{"id":"rs","type":"reasoning","summary":[]},{"id":"ctc","type":"custom_tool_call","call_id":"c","name":"sql","input":"x","status":"completed"},{"type":"odd"}],"brand_new":[1]"#,
    ])
    func answersAreWrittenAsTheyWereRead(members: String) throws {
        let body = #"{"id":"resp_1","object":"response","created_at":1,"model":"m","error":null,"usage":null,"# + members + "}"
        let again = try #require(translateAnswer(Array(body.utf8), from: .responses, to: .responses))
        #expect(differences(try parsed(body), try parsed(again)) == [])
    }

    @Test(arguments: ["{}", "[]", "1", #"{"output":{}}"#, #"{"object":"chat.completion","choices":[]}"#, #"{"status":"queued","output":[]}"#, #"{"status":"in_progress","output":[]}"#])
    func whatIsNoAnswerIsNotTaken(body: String) { #expect(translateAnswer(Array(body.utf8), from: .responses, to: .responses) == nil) }

    @Test(arguments: [
        (#"{"status":"failed","error":{"code":"rate_limit_exceeded","message":"m"},"output":[]}"#, ProblemClass.rateLimited, 429),
        (#"{"status":"failed","error":{"code":"server_error","message":"m"},"output":[]}"#, .serverError, 500),
        (#"{"status":"cancelled","error":null,"output":[]}"#, .serverError, 500),
        (#"{"error":{"code":"invalid_prompt","message":"m"}}"#, .contentFiltered, 400),
    ])
    func aFailureInsideATwoHundredIsAnError(body: String, problem: ProblemClass, status: Int) {
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        #expect(tape.read(held.bytes) == nil)
        let answer = Answer()
        answer.reset(source: .responses)
        #expect(!ResponsesDialect.readAnswer(tape.root, into: answer))
        #expect(answer.error?.problem == problem && answer.error?.status == status)
    }

    @Test func damagedAnswersNeverTrap() {
        var state: UInt64 = 7
        func random(_ below: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % max(1, below)
        }
        let all = Recordings.of("openai.responses", "xai.responses").filter { !$0.isStream && $0.responseBody.count < 6000 }
        for round in 0..<2000 where !all.isEmpty {
            let one = all[round % all.count]
            for (bytes, isRequest) in [(one.responseBody, false), (one.requestBody, true)] where !bytes.isEmpty {
                var body = bytes
                for _ in 0...random(2) {
                    let at = random(body.count)
                    switch random(3) {
                    case 0: body[at] = Array("{}[]\",:0n1 ".utf8)[random(11)]
                    case 1: body.remove(at: at)
                    default: body.insert(contentsOf: body[at..<min(body.count, at + random(20))], at: at)
                    }
                    if body.isEmpty { body = bytes }
                }
                if isRequest {
                    _ = try? translateRequest(String(decoding: body, as: UTF8.self), from: .responses, to: .responses)
                } else if let again = translateAnswer(body, from: .responses, to: .responses) {
                    #expect((try? parsed(again)) != nil, "round \(round)")
                }
            }
        }
    }
}

struct ResponsesErrorTests {
    @Test(arguments: [
        (400, #"{"error":{"message":"m","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}"#, ProblemClass.contextTooLong, false),
        (400, #"{"error":{"message":"Your input exceeds the context window of this model.","type":"invalid_request_error","param":"input","code":null}}"#, .contextTooLong, false),
        (400, #"{"error":{"message":"m","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#, .modelMissing, false),
        (404, #"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#, .modelMissing, false),
        (404, #"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#, .modelMissing, false),
        (404, #"{"error":{"message":"Item with id 'rs_1' not found.","type":"invalid_request_error","param":"input","code":null}}"#, .badRequest, false),
        (400, #"{"error":{"message":"m","type":"invalid_request_error","param":"previous_response_id","code":"previous_response_not_found"}}"#, .badRequest, false),
        (401, #"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#, .auth, false),
        (401, #"{"error":{"code":"401","message":"Access denied"}}"#, .auth, false), (403, #"{"error":{"message":"m","type":"invalid_request_error"}}"#, .auth, false),
        (400, #"{"code":"invalid-argument","error":"Incorrect API key provided. You can obtain one."}"#, .auth, false),
        (429, #"{"error":{"message":"m","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#, .rateLimited, false),
        (429, #"{"error":{"message":"m","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#, .rateLimited, true),
        (400, #"{"error":{"message":"m","type":null,"param":"prompt","code":"content_filter","status":400}}"#, .contentFiltered, false),
        (400, #"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"invalid_prompt"}}"#, .contentFiltered, false),
        (400, #"{"error":{"message":"m","type":"invalid_request_error","param":"x","code":"unknown_parameter"}}"#, .badRequest, false),
        (500, #"{"error":{"message":"m","type":"server_error","param":null,"code":null}}"#, .serverError, false),
        (503, #"{"error":{"message":"m","type":"server_error","param":null,"code":null}}"#, .overloaded, false),
        (503, #"{"error":{"message":"m","type":"service_unavailable","code":"slow_down"}}"#, .overloaded, false),
        (504, "upstream request timeout", .timeout, false), (502, "<html>bad gateway</html>", .serverError, false), (404, "", .modelMissing, false),
        (429, "[]", .rateLimited, false), (400, #"{"error":1}"#, .badRequest, false), (400, #"{"detail":"x"}"#, .badRequest, false),
    ])
    func errorsHaveTheirClass(status: Int, body: String, problem: ProblemClass, isQuota: Bool) throws {
        let again = RewrittenError(status, Array(body.utf8))
        #expect(again.error.problem == problem && again.error.isQuota == isQuota && again.error.status == status)
        let written = try #require((try parsed(again.body) as? [String: Any])?["error"] as? [String: Any])
        #expect(Set(written.keys) == ["message", "type", "param", "code"] && (written["message"] as? String)?.isEmpty == false)
        #expect(written["type"] is String)
    }

    @Test func plainTextIsShownAndPagesAreNot() {
        let plain = RewrittenError(503, Array("  no \"healthy\" upstream\n".utf8) + [0xFF])
        #expect(unescape(plain.error.message).hasPrefix("no \"healthy\" upstream"))
        let long = RewrittenError(503, Array(String(repeating: "ä", count: 900).utf8))
        #expect(unescape(long.error.message).utf8.count <= 504)
        #expect(RewrittenError(503, Array("<html>".utf8)).error.message.string.hasPrefix("the upstream answered"))
        #expect(RewrittenError(503, [1, 2, 3]).error.message.string.hasPrefix("the upstream answered"))
    }

    /// Errors of other dialects: this API's words and statuses for their class.
    @Test(arguments: [
        (ProblemClass.rateLimited, 429, 429, "requests", "rate_limit_exceeded"), (.overloaded, 529, 503, "server_error", "server_overloaded"),
        (.timeout, 408, 504, "server_error", "upstream_timeout"), (.serverError, 500, 500, "server_error", "server_error"), (.serverError, 529, 500, "server_error", "server_error"),
        (.auth, 400, 401, "invalid_request_error", "invalid_api_key"), (.auth, 403, 403, "invalid_request_error", "invalid_api_key"),
        (.modelMissing, 404, 400, "invalid_request_error", "model_not_found"), (.contextTooLong, 413, 400, "invalid_request_error", "context_length_exceeded"),
        (.contentFiltered, 422, 400, "invalid_request_error", "content_filter"), (.badRequest, 422, 400, "invalid_request_error", nil),
    ] as [(ProblemClass, Int, Int, String, String?)])
    func errorsOfOthersAreSaidInThisAPIsWords(problem: ProblemClass, status: Int, expected: Int, type: String, code: String?) throws {
        var error = ProviderError(status: status, problem: problem)
        error.source = .messages
        error.type = JSONBytes("overloaded_error")
        error.code = JSONBytes("foreign")
        error.message = JSONBytes("m")
        var out = JSONWriter()
        #expect(ResponsesDialect.writeError(error, requestID: JSONBytes(), into: &out) == expected)
        let body = try #require((try parsed(String(decoding: out.bytes, as: UTF8.self)) as? [String: Any])?["error"] as? [String: Any])
        #expect(body["type"] as? String == type && body["code"] as? String == code && body["message"] as? String == "m" && body["param"] != nil)
    }

    @Test func theGatewaysOwnWordsAndTheVendorsStay() throws {
        var error = ProviderError(status: 502, problem: .serverError)
        error.source = .gemini
        error.code = JSONBytes("upstream_malformed_answer")
        var out = JSONWriter()
        #expect(ResponsesDialect.writeError(error, requestID: JSONBytes(), into: &out) == 502)
        #expect(out.written.contains("upstream_malformed_answer"))
        out.reset()
        error = ProviderError(status: 400, problem: .contextTooLong)
        error.source = .chat
        error.type = JSONBytes("invalid_request_error")
        error.code = JSONBytes("context_length_exceeded")
        error.param = JSONBytes("messages")
        #expect(ResponsesDialect.writeError(error, requestID: JSONBytes(), into: &out) == 400)
        #expect(out.written.contains("\"param\":\"input\"") && out.written.contains("context_length_exceeded"))
        out.reset()
        error = ProviderError(status: 429, problem: .rateLimited)
        error.source = .cohere
        error.isQuota = true
        #expect(ResponsesDialect.writeError(error, requestID: JSONBytes(), into: &out) == 429)
        #expect(out.written.contains("\"code\":\"insufficient_quota\""))
    }
}
