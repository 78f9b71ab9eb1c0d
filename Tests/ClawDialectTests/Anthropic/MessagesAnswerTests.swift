// Whole answers of other dialects written for clients of the Messages API, errors both ways, and answers that are none.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct MessagesAnswerTests {
    private func written(_ fill: (Answer) -> Void) -> [String: Any] {
        let answer = Answer()
        answer.reset(source: .chat)
        answer.beginChoice()
        fill(answer)
        var out = JSONWriter()
        MessagesDialect.writeAnswer(answer, testContext, into: &out)
        return (try? parsed(Array(out.bytes))) as? [String: Any] ?? ["no JSON": out.written.string]
    }

    @Test func anAnswerHasAllThatClientsRead() {
        let out = written {
            $0.id = JSONBytes("chatcmpl-1")
            $0.add(.text(JSONBytes("hi")))
            $0.choices[0].finish = .stop
            $0.usage.setInput(sum: 10, cacheRead: 4)
            $0.usage.setOutput(sum: 3, reasoning: 1)
        }
        #expect((out["id"] as? String ?? "").hasPrefix("msg_"))
        var rest = out
        rest["id"] = nil
        #expect(same(rest, #"""
            {"type":"message","role":"assistant","model":"asked-model","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,
            "usage":{"input_tokens":6,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"cache_creation":{"ephemeral_5m_input_tokens":0,
            "ephemeral_1h_input_tokens":0},"output_tokens":3,"output_tokens_details":{"thinking_tokens":1}}}
            """#) == [])
    }

    @Test func partsBecomeBlocks() {
        let out = written {
            var thought = Part(.thinking)
            thought.text = JSONBytes("hm")
            thought.signature = JSONBytes("S")
            thought.signatureOf = .gemini
            $0.add(thought)
            var redacted = Part(.redactedThinking)
            redacted.data = JSONBytes("D")
            redacted.signatureOf = .responses
            $0.add(redacted)
            $0.add(.text(JSONBytes("")))
            var call = Part(.toolCall)
            call.name = JSONBytes("f")
            call.text = JSONBytes("{\\\"a\\\":12345678901234567890}")
            call.signature = JSONBytes("CS")
            call.signatureOf = .gemini
            $0.add(call)
            call.id = JSONBytes("call_1")
            call.signature = JSONBytes()
            call.text = JSONBytes("no json")
            $0.add(call)
            call.text = JSONBytes("free text")
            call.isCustom = true
            $0.add(call)
            var image = Part(.image)
            image.source = .base64
            image.mediaType = JSONBytes("image/png")
            image.data = JSONBytes("AA")
            $0.add(image)
            $0.choices[0].finish = .stop
        }
        let content = out["content"] as? [[String: Any]] ?? []
        #expect(content.map { $0["type"] as? String } == ["thinking", "redacted_thinking", "thinking", "tool_use", "tool_use", "tool_use", "image"])
        #expect(content[0]["signature"] as? String == "gemini#S" && content[1]["data"] as? String == "responses#D" && content[2]["signature"] as? String == "gemini#CS")
        #expect((content[3]["id"] as? String ?? "").hasPrefix("toolu_") && (content[3]["input"] as? [String: Any])?["a"] != nil)
        #expect(content[4]["id"] as? String == "call_1" && same(content[4]["input"], "{}") == [] && same(content[5]["input"], #"{"input":"free text"}"#) == [])
        #expect(out["stop_reason"] as? String == "tool_use")
    }

    @Test func aRefusalIsARefusal() {
        let out = written {
            var part = Part(.refusal)
            part.text = JSONBytes("no")
            $0.add(part)
            $0.choices[0].finish = .stop
        }
        #expect(out["stop_reason"] as? String == "refusal" && same(out["content"], #"[{"type":"text","text":"no"}]"#) == [])
    }

    @Test func foreignWordsAreNotCopied() {
        let out = written {
            $0.add(.text(JSONBytes("x")))
            $0.choices[0].finish = .length
            $0.choices[0].nativeFinish = JSONBytes("length")
        }
        #expect(out["stop_reason"] as? String == "max_tokens")
    }

    @Test(arguments: [
        #"{"type":"message","content":"x"}"#, "[]", "7", #"{"content":[7]}"#, #"{"content":[{}]}"#, #"{"content":[{"type":"text"}]}"#, #"{"content":[{"type":"tool_use"}]}"#,
    ])
    func whatIsNoAnswerIsNotTaken(body: String) { #expect(translateAnswer(Array(body.utf8), from: .messages, to: .messages) == nil) }

    @Test func anErrorInsideA200IsTold() {
        let held = Held(Array(#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#.utf8))
        var tape = JSONTape()
        #expect(tape.read(held.bytes) == nil)
        let answer = Answer()
        answer.reset(source: .messages)
        #expect(!MessagesDialect.readAnswer(tape.root, into: answer))
        #expect(answer.error?.problem == .overloaded && answer.error?.message.string == "Overloaded")
    }

    @Test func aRefusedAnswerKeepsItsDetails() throws {
        let body = #"""
            {"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"refusal","stop_sequence":null,
            "stop_details":{"type":"refusal","category":"cyber","explanation":null},"container":null,"usage":{"input_tokens":1,"output_tokens":0}}
            """#
        #expect(differences(try parsed(body), try parsed(translateAnswer(Array(body.utf8), from: .messages, to: .messages) ?? "")) == [])
    }

    // MARK: errors

    private func read(_ status: Int, _ body: String, kind: StaticString = "") -> (ProviderError, ArenaBox, Held) {
        let held = Held(Array(body.utf8))
        let arena = ArenaBox()
        let isJSON = arena.tape.read(held.bytes) == nil
        return (MessagesDialect.readError(status: status, isJSON ? arena.tape.root : JSONValue(), text: held.bytes, kind: JSONBytes(kind), arena), arena, held)
    }

    @Test(arguments: [
        (400, "invalid_request_error", "messages: bad", ProblemClass.badRequest, false),
        (400, "invalid_request_error", "prompt is too long: 2 tokens > 1 maximum", .contextTooLong, false),
        (400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 3", .contextTooLong, false),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", .rateLimited, true),
        (400, "invalid_request_error", "Output blocked by content filtering policy", .contentFiltered, false),
        (401, "authentication_error", "invalid x-api-key", .auth, false), (402, "billing_error", "pay", .rateLimited, true),
        (403, "permission_error", "no", .auth, false), (404, "not_found_error", "model: x", .modelMissing, false),
        (409, "conflict_error", "x", .badRequest, false), (413, "request_too_large", "x", .badRequest, false), (422, "invalid_request_error", "x", .badRequest, false),
        (429, "rate_limit_error", "x", .rateLimited, false), (500, "api_error", "x", .serverError, false), (504, "timeout_error", "x", .timeout, false),
        (529, "overloaded_error", "Overloaded", .overloaded, false),
    ])
    func everyErrorHasItsClassAndGoesBack(status: Int, type: String, message: String, problem: ProblemClass, isQuota: Bool) throws {
        let body = #"{"type":"error","error":{"type":"\#(type)","message":"\#(message)","details":null},"request_id":"req_1"}"#
        let (error, arena, held) = read(status, body)
        defer { withExtendedLifetime((arena, held)) {} }
        #expect(error.problem == problem && error.isQuota == isQuota && error.message.string == message && error.type.string == type)
        var out = JSONWriter()
        #expect(MessagesDialect.writeError(error, requestID: JSONBytes("req_1"), into: &out) == status)
        #expect(differences(try parsed(body), try parsed(Array(out.bytes))) == [])
    }

    @Test(arguments: [
        (503, "upstream connect error or disconnect/reset before headers", "", ProblemClass.overloaded, "upstream connect error or disconnect/reset before headers"),
        (502, "<html><body>Bad Gateway</body></html>", "", .serverError, "the upstream answered with an error that it does not explain"),
        (500, "", "", .serverError, "the upstream answered with an error that it does not explain"),
        (429, #"{"message":"Too many requests"}"#, "ThrottlingException", .rateLimited, "Too many requests"),
        (403, #"{"Message":"no access"}"#, "AccessDeniedException", .auth, "no access"),
        (400, #"{"message":"The provided model identifier is invalid."}"#, "ValidationException", .modelMissing, "The provided model identifier is invalid."),
        (400, #"{"message":"Input is too long for requested model."}"#, "ValidationException", .contextTooLong, "Input is too long for requested model."),
        (429, #"[{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}]"#, "", .rateLimited, "Quota"),
    ])
    func bodiesOfOtherFormsAreErrorsToo(status: Int, body: String, kind: String, problem: ProblemClass, message: String) {
        let word = Held(Array(kind.utf8))
        let held = Held(Array(body.utf8))
        let arena = ArenaBox()
        let isJSON = arena.tape.read(held.bytes) == nil
        let error = MessagesDialect.readError(
            status: status, isJSON ? arena.tape.root : JSONValue(), text: held.bytes, kind: kind.isEmpty ? JSONBytes() : JSONBytes(word.bytes), arena)
        #expect(error.problem == problem && error.message.string == message && !error.native.exists)
    }

    @Test func aLongTextIsCutBetweenCharacters() {
        for (text, count) in [(String(repeating: "é", count: 400), 500), ("a" + String(repeating: "é", count: 400), 499)] {
            let (error, arena, held) = read(503, text)
            defer { withExtendedLifetime((arena, held)) {} }
            #expect(error.message.count == count && text.hasPrefix(error.message.string))
        }
    }

    @Test(arguments: [
        (ProblemClass.rateLimited, 429, false, 429, "rate_limit_error"), (.rateLimited, 429, true, 402, "billing_error"), (.overloaded, 503, false, 529, "overloaded_error"),
        (.timeout, 504, false, 504, "timeout_error"), (.serverError, 502, false, 500, "api_error"), (.auth, 401, false, 401, "authentication_error"),
        (.auth, 403, false, 403, "permission_error"), (.modelMissing, 400, false, 404, "not_found_error"), (.contextTooLong, 413, false, 400, "invalid_request_error"),
        (.contentFiltered, 400, false, 400, "invalid_request_error"), (.badRequest, 400, false, 400, "invalid_request_error"),
        (.badRequest, 413, false, 413, "request_too_large"), (.badRequest, 409, false, 409, "conflict_error"), (.badRequest, 405, false, 400, "invalid_request_error"),
    ])
    func errorsOfOthersAreSaidInTheDialectsWords(problem: ProblemClass, status: Int, isQuota: Bool, expected: Int, type: String) throws {
        var error = ProviderError(status: status, problem: problem)
        error.isQuota = isQuota
        error.type = JSONBytes("foreign_type")
        error.code = JSONBytes("foreign_code")
        error.message = JSONBytes("a \\\"message\\\"")
        error.native = JSONBytes("{\"error\":{}}")
        var out = JSONWriter()
        #expect(MessagesDialect.writeError(error, requestID: JSONBytes("req_7"), into: &out) == expected)
        let message = problem == .contextTooLong ? #"prompt is too long: a \"message\""# : #"a \"message\""#
        #expect(same(try parsed(Array(out.bytes)), #"{"type":"error","error":{"type":"\#(type)","message":"\#(message)"},"request_id":"req_7"}"#) == [])
        error.message = JSONBytes()
        out.reset()
        _ = MessagesDialect.writeError(error, requestID: JSONBytes(), into: &out)
        let body = try parsed(Array(out.bytes)) as? [String: Any]
        #expect(((body?["error"] as? [String: Any])?["message"] as? String ?? "") != "" && body?["request_id"] == nil)
    }
}
