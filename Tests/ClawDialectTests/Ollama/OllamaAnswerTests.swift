import ClawDialect
import ClawWire
import Foundation
import Testing

struct OllamaAnswerTests {
    /// A cohere answer or stream in Ollama's words stands for any other provider's.
    private static let cohere = #"{"id":"x","message":{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a\n"},{"type":"text","text":"b"}],"tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":9007199254740993}"}},{"type":"function","function":{"name":"now","arguments":""}}]},"finish_reason":"TOOL_CALL","usage":{"billed_units":{"input_tokens":3,"output_tokens":5},"tokens":{"input_tokens":500,"output_tokens":9}}}"#

    @Test func anotherProvidersAnswerIsWhole() throws {
        let text = try #require(translateAnswer(Array(Self.cohere.utf8), from: .cohere, to: .ollama))
        var body = try parsed(text) as? [String: Any] ?? [:]
        var message = body["message"] as? [String: Any] ?? [:]
        let calls = message["tool_calls"] as? [[String: Any]] ?? []
        #expect((calls.last?["id"] as? String)?.hasPrefix("call_") == true && calls.last?["id"] as? String != calls.first?["id"] as? String)
        message["tool_calls"] = calls.map { $0["function"] }
        body["message"] = message
        let wanted = #"{"model":"asked-model","created_at":"2023-11-14T22:13:20Z","message":{"role":"assistant","content":"a\nb","thinking":"hm","tool_calls":[{"index":0,"name":"add","arguments":{"a":9007199254740993}},{"index":1,"name":"now","arguments":{}}]},"done":true,"done_reason":"stop","total_duration":0,"load_duration":0,"prompt_eval_count":3,"prompt_eval_duration":0,"eval_count":5,"eval_duration":0}"#
        #expect(differences(body, try parsed(wanted)) == [])
        #expect(text.contains("9007199254740993"))
        let prompt = try #require(translateAnswer(Array(Self.cohere.utf8), from: .cohere, to: .ollamaGenerate))
        let answer = try parsed(prompt) as? [String: Any] ?? [:]
        #expect(answer["response"] as? String == "a\nb" && answer["thinking"] as? String == "hm" && answer["message"] == nil && answer["done"] as? Bool == true)
    }

    @Test(arguments: [("COMPLETE", "stop"), ("STOP_SEQUENCE", "stop"), ("MAX_TOKENS", "length"), ("TOOL_CALL", "stop"), ("ERROR_TOXIC", "stop"), ("NEWS", "stop")])
    func aFinishHasOneOfTwoWords(word: String, reason: String) throws {
        let body = #"{"id":"x","message":{"content":[{"type":"text","text":"a"}]},"finish_reason":"\#(word)"}"#
        let text = try #require(translateAnswer(Array(body.utf8), from: .cohere, to: .ollama))
        #expect((try parsed(text) as? [String: Any])?["done_reason"] as? String == reason)
    }

    @Test(arguments: [
        (#""done_reason":"stop""#, "COMPLETE"), (#""done_reason":"length""#, "MAX_TOKENS"), (#""done_reason":"load""#, "COMPLETE"), (#""x":1"#, "COMPLETE"),
    ])
    func aReasonIsAFinish(reason: String, word: String) throws {
        func finish(_ message: String) throws -> String? {
            let body = #"{"model":"m","created_at":"2024-09-16T02:41:57.1Z","message":{"role":"assistant",\#(message)},"done":true,\#(reason)}"#
            let text = try #require(translateAnswer(Array(body.utf8), from: .ollama, to: .cohere))
            return (try parsed(text) as? [String: Any])?["finish_reason"] as? String
        }
        #expect(try finish(#""content":"a""#) == word)
        // Calls end with `stop`, and with nothing but calls.
        #expect(try finish(#""content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":[1]}}}]"#) == (word == "MAX_TOKENS" ? word : "TOOL_CALL"))
    }

    @Test func aPromptsCountMayBeMissing() throws {
        let body = #"{"model":"m","message":{"role":"assistant","content":"a"},"done":true,"eval_count":4}"#
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        let isJSON = tape.read(held.bytes) == nil
        let answer = Answer()
        answer.reset(source: .ollama)
        let isRead = OllamaDialect.readAnswer(tape.root, into: answer)
        #expect(isJSON && isRead && answer.usage.hasInput && answer.usage.input == 0 && answer.usage.output == 4)
        // And stays missing.
        #expect(differences(try parsed(body), try parsed(translateAnswer(held.bytes.map { $0 }, from: .ollama, to: .ollama) ?? "")) == [])
    }

    @Test func callsKeepTheirIndexAndId() throws {
        for function in [#"{"index":0,"name":"f","arguments":{}}"#, #"{"name":"f","arguments":{"a":1}}"#] {
            for id in [#""id":"call_1","#, ""] {
                let body = #"{"model":"m","created_at":"2024-09-16T02:41:57Z","message":{"role":"assistant","content":"","tool_calls":[{\#(id)"function":\#(function)}],"images":["AA"]},"done":true,"done_reason":"stop","logprobs":[{"token":"a","logprob":-0.5}]}"#
                #expect(differences(try parsed(body), try parsed(translateAnswer(Array(body.utf8), from: .ollama, to: .ollama) ?? "")) == [])
                let stream = Array((body.replacingOccurrences(of: "\"done\":true,\"done_reason\":\"stop\"", with: "\"done\":false")
                    + "\n{\"model\":\"m\",\"created_at\":\"2024-09-16T02:41:58Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}\n").utf8)
                #expect(differences(try nativeObjects(ofLines: stream), try nativeObjects(ofLines: nativeStream(stream, from: .ollama, to: .ollama).bytes)) == [])
            }
        }
    }

    @Test func logprobsAreOpenAIsObject() throws {
        let body = #"{"model":"m","message":{"role":"assistant","content":"a"},"done":true,"logprobs":[{"token":"a","logprob":-0.5}]}"#
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        _ = tape.read(held.bytes)
        let answer = Answer()
        answer.reset(source: .ollama)
        _ = OllamaDialect.readAnswer(tape.root, into: answer)
        #expect(answer.choices[0].logprobs.string == #"{"content":[{"token":"a","logprob":-0.5}],"refusal":null}"#)
        // And the other way.
        answer.source = .chat
        var out = JSONWriter()
        OllamaDialect.writeAnswer(answer, testContext, into: &out)
        #expect(out.written.contains(#""logprobs":[{"token":"a","logprob":-0.5}]"#))
    }

    @Test(arguments: ["[]", "{}", #"{"message":"x"}"#, #"{"model":"m","done":true}"#, "7"])
    func whatIsNoAnswerIsNotTaken(body: String) { #expect(translateAnswer(Array(body.utf8), from: .ollama, to: .ollama) == nil) }

    @Test func anErrorInsideA200IsAnError() {
        let held = Held(Array(#"{"error":"model runner crashed"}"#.utf8))
        var tape = JSONTape()
        _ = tape.read(held.bytes)
        let answer = Answer()
        answer.reset(source: .ollama)
        let isRead = OllamaDialect.readAnswer(tape.root, into: answer)
        #expect(!isRead && answer.error?.message.string == "model runner crashed" && answer.error?.problem == .serverError)
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (951_868_799, "2000-02-29T23:59:59Z"), (1_700_000_000, "2023-11-14T22:13:20Z"),
        (1_709_251_199, "2024-02-29T23:59:59Z"), (4_107_542_400, "2100-03-01T00:00:00Z"), (253_402_300_799, "9999-12-31T23:59:59Z"),
    ] as [(Int64, String)])
    func timesAreRFC3339(seconds: Int64, text: String) throws {
        var context = testContext
        context.now = seconds
        let body = translateAnswer(Array(#"{"id":"x","message":{"content":"a"},"finish_reason":"COMPLETE"}"#.utf8), from: .cohere, to: .ollama, context: context)
        #expect(body?.contains("\"created_at\":\"\(text)\"") == true)
        #expect(created(text) == seconds)
    }

    private func created(_ text: String) -> Int64 {
        let held = Held(Array(#"{"created_at":"\#(text)","message":{"content":""},"done":true}"#.utf8))
        var tape = JSONTape()
        _ = tape.read(held.bytes)
        let answer = Answer()
        answer.reset(source: .ollama)
        _ = OllamaDialect.readAnswer(tape.root, into: answer)
        return answer.created
    }

    @Test func everyDaysTimeIsWhatFoundationSays() {
        let formatter = ISO8601DateFormatter()
        var dice = NativeDice(5)
        for _ in 0..<500 {
            let seconds = Int64(dice.roll(200_000)) * 43_201
            #expect(created(formatter.string(from: Date(timeIntervalSince1970: Double(seconds)))) == seconds)
        }
        #expect(created("2024-05-24T20:26:46.294874+02:00") == created("2024-05-24T18:26:46Z") && created("2024-05-24T20:26:46-00:30") == created("2024-05-24T20:56:46Z"))
        for text in ["", "yesterday", "2024-05-24", "2024-13-24T20:26:46Z", "2024-05-24T20:26:46", "2024-05-24T20:26:46+2", "2024-05-24T2x:26:46Z", "0000-00-00T00:00:00Z"] {
            #expect(created(text) == 0, "\(text)")
        }
    }

    // MARK: errors

    private func readError(_ status: Int, _ text: String, _ use: (ProviderError) -> Void) {
        let held = Held(Array(text.utf8))
        var tape = JSONTape()
        let isJSON = tape.read(held.bytes) == nil
        let arena = ArenaBox()
        defer { withExtendedLifetime(arena) {} }
        use(OllamaDialect.readError(status: status, isJSON ? tape.root : JSONValue(), text: held.bytes, kind: JSONBytes(), arena))
    }

    @Test(arguments: [
        (404, #"{"error":"model 'x' not found"}"#, ProblemClass.modelMissing, "model 'x' not found"),
        (400, #"{"error":"\"x\" does not support thinking"}"#, .badRequest, #"\"x\" does not support thinking"#),
        (400, #"{"error":"prompt too long; exceeded max context length by 4 tokens"}"#, .contextTooLong, "prompt too long; exceeded max context length by 4 tokens"),
        (401, #"{"error":"unauthorized","signin_url":"https://x"}"#, .auth, "unauthorized"), (403, #"{"error":"cloud is off"}"#, .auth, "cloud is off"),
        (429, #"{"error":"too many"}"#, .rateLimited, "too many"), (500, #"{"error":"crash"}"#, .serverError, "crash"), (502, #"{"error":"bad"}"#, .serverError, "bad"),
        (503, #"{"error":"server busy"}"#, .overloaded, "server busy"), (404, "404 page not found", .modelMissing, "404 page not found"),
        (502, "<html>nginx</html>", .serverError, "the upstream failed"), (500, "", .serverError, "the upstream failed"), (500, "[1]", .serverError, "the upstream failed"),
        (400, #"{"error":{"message":"like openai","type":"x"}}"#, .badRequest, "like openai"), (500, "a\u{1}b", .serverError, "the upstream failed"),
        (504, "line \"one\"\n", .timeout, #"line \"one\""#),
    ])
    func errorsAreTold(status: Int, body: String, problem: ProblemClass, message: String) {
        readError(status, body) { error in
            #expect(error.problem == problem && error.message.string == message && error.status == status)
        }
    }

    @Test(arguments: [
        (ProblemClass.rateLimited, 429), (.overloaded, 503), (.timeout, 504), (.serverError, 500), (.auth, 401), (.modelMissing, 404), (.contextTooLong, 400),
        (.contentFiltered, 400), (.badRequest, 400),
    ])
    func othersErrorsAreAString(problem: ProblemClass, status: Int) throws {
        var error = ProviderError(status: 418, problem: problem)
        error.source = .chat
        error.native = JSONBytes(#"{"error":{"message":"theirs"}}"#)
        error.message = JSONBytes("it \\\"broke\\\"")
        var out = JSONWriter()
        let said = OllamaDialect.writeError(error, requestID: JSONBytes("r"), into: &out)
        #expect(said == (problem == .badRequest ? 418 : status))
        #expect(differences(try parsed(Array(out.bytes)), ["error": "it \"broke\""]) == [])
        error.message = JSONBytes()
        out.reset()
        _ = OllamaDialect.writeError(error, requestID: JSONBytes(), into: &out)
        #expect(out.count > 12)
    }

    // MARK: embeddings

    private func embedding(_ body: String, to back: DialectID, drops: Bool = false) throws -> (body: [String: Any], dropped: [String], isSingle: Bool) {
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        _ = tape.read(held.bytes)
        let request = EmbeddingRequest()
        request.reset(source: .ollama)
        request.dropsUnsupported = drops
        var out = JSONWriter()
        do throws(Refusal) {
            try OllamaDialect.readEmbedding(tape.root, into: request)
            try back.pieces.writeEmbedding(request, to: Target(model: JSONBytes("served"), quirks: Quirks()), into: &out)
        } catch { throw TestFailure(description: "\(error.field.string): \(error.reason)") }
        return (try parsed(Array(out.bytes)) as? [String: Any] ?? [:], request.dropped.map(\.string), request.isSingle)
    }

    @Test func textsAreEmbedded() throws {
        let many = try embedding(#"{"model":"m","input":["a","b"],"dimensions":64,"truncate":false,"keep_alive":"5m","options":{}}"#, to: .cohere)
        let wanted = #"{"model":"served","texts":["a","b"],"input_type":"search_document","embedding_types":["float"],"output_dimension":64,"truncate":"NONE"}"#
        #expect(differences(many.body, try parsed(wanted)) == [] && many.dropped == ["keep_alive"] && !many.isSingle)
        let own = try embedding(#"{"model":"m","input":"a","truncate":true,"keep_alive":0}"#, to: .ollama)
        #expect(differences(own.body, try parsed(#"{"model":"served","input":["a"],"truncate":true,"keep_alive":0}"#)) == [])
        let old = try embedding(#"{"model":"m","prompt":"a"}"#, to: .ollama)
        #expect(differences(old.body, try parsed(#"{"model":"served","input":["a"]}"#)) == [] && old.isSingle)
    }

    @Test(arguments: [
        (#"{"input":"a"}"#, "model"), (#"{"model":"m"}"#, "input"), (#"{"model":"m","input":[]}"#, "input"), (#"{"model":"m","input":[1]}"#, "input"),
        (#"{"model":"m","input":{}}"#, "input"), (#"{"model":"m","prompt":1}"#, "prompt"), (#"{"model":"m","prompt":"a","input":"b"}"#, "prompt"),
        (#"{"model":"m","input":"a","dimensions":"x"}"#, "dimensions"), (#"{"model":"m","input":"a","options":{"num_ctx":1}}"#, "options"), ("[]", "body"),
    ])
    func whatIsNoEmbeddingIsRefused(body: String, field: String) {
        do {
            _ = try embedding(body, to: .cohere)
            Issue.record("taken: \(body)")
        } catch { #expect("\(error)".hasPrefix(field + ": "), "\(error)") }
    }

    @Test func whatAnEmbeddingCannotSayIsRefused() throws {
        let request = EmbeddingRequest()
        let changes: [(EmbeddingRequest) -> Void] = [
            { $0.isTokens = true; $0.inputs = [JSONBytes("[1,2]")] }, { $0.task = JSONBytes("CLUSTERING") }, { $0.title = JSONBytes("t") },
            { $0.extras.append(Extra(.root, 0, key: JSONBytes("x"), value: JSONBytes("1"))) },
        ]
        for change in changes {
            request.reset(source: .chat)
            request.inputs = [JSONBytes("a")]
            change(request)
            var out = JSONWriter()
            #expect(throws: Refusal.self) { try OllamaDialect.writeEmbedding(request, to: Target(model: JSONBytes("m"), quirks: Quirks()), into: &out) }
        }
    }

    @Test func vectorsComeBack() throws {
        let held = Held(Array(#"{"model":"m","embeddings":[[0.1,-2e-3],[1,2]],"total_duration":5,"prompt_eval_count":7}"#.utf8))
        var tape = JSONTape()
        _ = tape.read(held.bytes)
        let answer = EmbeddingAnswer()
        let isRead = OllamaDialect.readEmbeddingAnswer(tape.root, into: answer)
        #expect(isRead && answer.vectors.map(\.string) == ["[0.1,-2e-3]", "[1,2]"] && answer.usage.input == 7)
        var out = JSONWriter()
        OllamaDialect.writeEmbeddingAnswer(answer, testContext, into: &out)
        let wanted = #"{"model":"m","embeddings":[[0.1,-2e-3],[1,2]],"total_duration":0,"load_duration":0,"prompt_eval_count":7}"#
        #expect(differences(try parsed(Array(out.bytes)), try parsed(wanted)) == [])
        var single = testContext
        single.isSingle = true
        out.reset()
        OllamaDialect.writeEmbeddingAnswer(answer, single, into: &out)
        #expect(out.written.string == #"{"embedding":[0.1,-2e-3]}"#)
        // Base64 of another provider's becomes numbers.
        answer.reset()
        answer.vectors = [JSONBytes("AACAPwAAAMA=")]
        answer.isBase64 = true
        out.reset()
        OllamaDialect.writeEmbeddingAnswer(answer, single, into: &out)
        #expect(differences(try parsed(Array(out.bytes)), try parsed(#"{"embedding":[1,-2]}"#)) == [])
    }
}
