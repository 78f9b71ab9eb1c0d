// Errors of all shapes: what class each is, what clients are told, and errors of other dialects in OpenAI's words.
import ClawDialect
import ClawWire
import Foundation
import Testing

private func read(_ status: Int, _ body: String) -> (class: ProblemClass, status: Int, message: String, type: String, code: String, isQuota: Bool, out: String, outStatus: Int) {
    let held = Held(Array(body.utf8))
    var tape = JSONTape()
    _ = tape.read(held.bytes)
    let arena = ArenaBox()
    let error = ChatDialect.readError(status: status, tape.root, text: held.bytes, kind: JSONBytes(), arena)
    var out = JSONWriter()
    let outStatus = ChatDialect.writeError(error, requestID: JSONBytes("req_1"), into: &out)
    return (error.problem, error.status, error.message.string, error.type.string, error.code.string, error.isQuota, String(decoding: out.bytes, as: UTF8.self), outStatus)
}

struct ChatErrorTests {
    @Test(arguments: [
        (401, #"{"error":{"message":"Incorrect API key provided: sk-.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#, ProblemClass.auth),
        (400, #"{"code":"invalid-argument","error":"Incorrect API key provided. You can obtain one."}"#, .auth),
        (400, #"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#, .auth),
        (401, #"{"detail":"Invalid API Key"}"#, .auth), (401, #"{"error":{"code":"401","message":"Access denied due to invalid subscription key"}}"#, .auth),
        (403, #"{"error":{"message":"Your input was flagged by moderation","code":403}}"#, .contentFiltered), (403, #"{"error":{"message":"no"}}"#, .auth),
        (404, #"{"error":{"message":"no","type":"invalid_request_error","code":"model_not_found"}}"#, .modelMissing),
        (400, #"{"error":{"message":"no","type":"invalid_request_error","code":"model_not_found"}}"#, .modelMissing),
        (404, #"{"error":{"type":"invalid_request_error","code":"DeploymentNotFound","message":"x"}}"#, .modelMissing),
        (404, #"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#, .modelMissing),
        (400, #"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}"#, .modelMissing),
        (400, #"{"error":{"message":"x","code":"context_length_exceeded"}}"#, .contextTooLong),
        (400, #"{"error":{"message":"This model's maximum context length is 1048565 tokens.","code":"invalid_request_error"}}"#, .contextTooLong),
        (400, #"{"error":{"message":"prompt too long; exceeded max context length by 1","code":null}}"#, .contextTooLong),
        (400, #"{"error":{"message":"The total length of all messages is too long.","type":"too_many_prompt_tokens","code":400}}"#, .contextTooLong),
        (400, #"{"error":{"code":400,"message":"x","type":"exceed_context_size_error","n_ctx":4096}}"#, .contextTooLong),
        (413, #"{"error":{"message":"Request too large","type":"tokens","code":"rate_limit_exceeded"}}"#, .contextTooLong),
        (429, #"{"error":{"message":"x","type":"requests","code":"rate_limit_exceeded"}}"#, .rateLimited), (429, #"{"error":{"code":"RateLimitReached","message":"x"}}"#, .rateLimited),
        (429, #"{"error":{"code":"1302","message":"concurrency"}}"#, .rateLimited), (429, #"{"object":"error","message":"x","type":"y","code":"1300"}"#, .rateLimited),
        (429, #"{"message":"Too many requests","type":"too_many_requests_error","param":"queue","code":"queue_exceeded"}"#, .overloaded),
        (429, #"{"message":"x","type":"too_many_requests_error","param":"quota","code":"request_quota_exceeded"}"#, .rateLimited),
        (429, #"{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}"#, .rateLimited), (402, #"{"error":{"message":"Insufficient Balance"}}"#, .rateLimited),
        (400, #"{"error":{"message":"x","type":null,"param":"prompt","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#, .contentFiltered),
        (400, #"{"error":{"message":"x","code":"tool_use_failed","failed_generation":"y"}}"#, .badRequest), (422, #"{"object":"error","message":{"detail":[{"loc":["body"]}]},"type":"x","code":null}"#, .badRequest),
        (500, #"{"error":{"message":"x","type":"server_error","param":null,"code":null}}"#, .serverError), (502, "", .serverError), (503, #"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#, .overloaded),
        (498, #"{"error":{"message":"flex"}}"#, .overloaded), (524, #"{"error":{"code":524,"message":"x"}}"#, .timeout), (504, "", .timeout), (408, "", .timeout), (424, #"{"error":{"message":"x"}}"#, .serverError), (400, "", .badRequest),
    ])
    func eachErrorHasItsClass(status: Int, body: String, expected: ProblemClass) throws {
        let error = read(status, body)
        #expect(error.class == expected && error.status == status && !error.message.isEmpty)
        let out = (try parsed(error.out) as? [String: Any])?["error"] as? [String: Any] ?? [:]
        #expect(Set(out.keys).isSuperset(of: ["message", "type", "param", "code"]))
    }

    @Test func quotaIsToldFromLimits() {
        #expect(read(429, #"{"error":{"message":"x","code":"insufficient_quota"}}"#).isQuota && read(402, "{}").isQuota)
        #expect(!read(429, #"{"error":{"message":"x","code":"rate_limit_exceeded"}}"#).isQuota)
    }

    @Test func theWordsAreRead() {
        let vllm = read(400, #"{"error":{"message":"m","type":"BadRequestError","param":"p","code":400}}"#)
        #expect(vllm.message == "m" && vllm.type == "BadRequestError" && vllm.code == "400" && vllm.out == #"{"error":{"message":"m","type":"BadRequestError","param":"p","code":400}}"#)
        #expect(read(422, #"{"object":"error","message":{"detail":"x"},"type":"t","code":null}"#).message == "x")
        #expect(read(422, #"{"detail":[{"loc":["body","x"]}]}"#).message == #"[{\"loc\":[\"body\",\"x\"]}]"#)
        #expect(read(400, #"{"code":"invalid-argument","error":"bad \"x\""}"#).message == #"bad \"x\""#)
        #expect(read(401, #"{"detail":"Invalid API Key"}"#).out == #"{"error":{"message":"Invalid API Key","type":"invalid_request_error","param":null,"code":"invalid_api_key","request_id":"req_1"}}"#)
    }

    @Test func whatIsNoJSONIsTextOrNothing() {
        #expect(read(503, " upstream connect error\n").message == "upstream connect error")
        #expect(read(502, "<html><body>Bad Gateway</body></html>").message == "the upstream answered with a page of HTML")
        #expect(read(500, String(repeating: "x", count: 5000)).message.count == 500)
        #expect(read(500, "").message == "the upstream answered with an error that says nothing")
        #expect(read(500, "tab\there").out.contains(#""message":"tab\there""#))
    }

    @Test(arguments: [
        (ProblemClass.rateLimited, 429, 429, "requests", "rate_limit_exceeded"), (.overloaded, 529, 503, "server_error", "service_unavailable"), (.timeout, 408, 504, "server_error", "upstream_timeout"),
        (.serverError, 500, 500, "server_error", nil), (.serverError, 529, 500, "server_error", nil), (.auth, 400, 401, "invalid_request_error", "invalid_api_key"),
        (.modelMissing, 400, 404, "invalid_request_error", "model_not_found"), (.contextTooLong, 413, 400, "invalid_request_error", "context_length_exceeded"),
        (.contentFiltered, 400, 400, "invalid_request_error", "content_filter"), (.badRequest, 422, 422, "invalid_request_error", nil),
    ] as [(ProblemClass, Int, Int, String, String?)])
    func errorsOfOtherDialectsHaveOpenAIsWords(problem: ProblemClass, from: Int, status: Int, type: String, code: String?) throws {
        var error = ProviderError(status: from, problem: problem)
        error.source = .messages
        error.message = JSONBytes("what happened")
        error.type = JSONBytes("overloaded_error")
        error.code = JSONBytes("foreign_word")
        error.native = JSONBytes(#"{"type":"error","error":{"type":"overloaded_error"}}"#)
        var out = JSONWriter()
        #expect(ChatDialect.writeError(error, requestID: JSONBytes(), into: &out) == status)
        let body = (try parsed(Array(out.bytes)) as? [String: Any])?["error"] as? [String: Any] ?? [:]
        #expect(body["message"] as? String == "what happened" && body["type"] as? String == type && body["code"] as? String == code && body.keys.contains("param"))
    }

    @Test(arguments: [
        #"{"error":{"message":"x","code":502}}"#, #"{"error":"x"}"#, #"[{"error":{"code":429,"message":"x"}}]"#, #"{"object":"error","message":"x","code":400}"#, #"{"detail":"x"}"#,
        #"{"id":"a","choices":[{"index":0,"message":{"role":"assistant","content":"half"},"finish_reason":"error"}]}"#,
    ])
    func anErrorInsideA200IsOne(body: String) throws {
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        try #require(tape.read(held.bytes) == nil)
        let answer = Answer()
        answer.reset(source: .chat)
        #expect(!ChatDialect.readAnswer(tape.root, into: answer) && answer.error != nil)
    }

    @Test(arguments: ["{}", "[]", "5", #"{"choices":5}"#, #"{"choices":[]}"#, #"{"choices":[5]}"#, #"{"id":"x"}"#])
    func garbageIsNoAnswer(body: String) { #expect(translateAnswer(Array(body.utf8), from: .chat, to: .chat) == nil) }

    @Test func azuresFilteredPromptInsideA200() throws {
        let body = #"{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        try #require(tape.read(held.bytes) == nil)
        let answer = Answer()
        answer.reset(source: .chat)
        #expect(!ChatDialect.readAnswer(tape.root, into: answer))
        #expect(answer.error?.problem == .contentFiltered && answer.error?.status == 400)
    }
}
