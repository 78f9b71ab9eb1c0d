import ClawDialect
import ClawWire
import Foundation
import Testing

/// Requests in Cohere's words, and its answers and errors (providers/others.md, "Cohere v2 chat").
struct CohereTests {
    private func written(_ fill: (Conversation) throws -> Void) throws -> [String: Any] {
        try nativeRequest(.cohere) { one in
            try one.says(.user, .said("hi"))
            try fill(one)
        }.body
    }

    @Test func namesAndRangesAreItsOwn() throws {
        let body = try written { one in
            one.maxTokens = 7
            one.temperature = JSONBytes("0.1")
            one.topP = JSONBytes("0.5")
            one.topK = JSONBytes("3")
            one.seed = JSONBytes("42")
            one.presencePenalty = JSONBytes("0")
            one.frequencyPenalty = JSONBytes("1")
            one.stop = [JSONBytes("END")]
            one.logprobs = true
        }
        let wanted = #"{"model":"served","messages":[{"role":"user","content":"hi"}],"max_tokens":7,"temperature":0.1,"p":0.5,"k":3,"seed":42,"presence_penalty":0,"frequency_penalty":1,"stop_sequences":["END"],"logprobs":true,"stream":false}"#
        #expect(differences(body, try parsed(wanted)) == [])
        for (value, p) in [("1", 0.99), ("1.0", 0.99), ("0.995", 0.99), ("0", 0.01), ("0.001", 0.01), ("0.99", 0.99), ("0.3", 0.3)] as [(StaticString, Double)] {
            #expect(try written { $0.topP = JSONBytes(value) }["p"] as? Double == p)
        }
    }

    @Test func toolChoiceHasTwoWordsAndATrick() throws {
        func choice(_ choice: ToolChoice) throws -> (word: String?, tools: Int) {
            let body = try written { one in
                one.tools = [nativeTool("a"), nativeTool("b")]
                one.toolChoice = choice
            }
            return (body["tool_choice"] as? String, (body["tools"] as? [Any])?.count ?? 0)
        }
        #expect(try choice(.unset) == (nil, 2) && choice(.auto) == (nil, 2) && choice(.none) == ("NONE", 2) && choice(.required) == ("REQUIRED", 2))
        #expect(try choice(.tool(JSONBytes("b"))) == ("REQUIRED", 1))
        #expect(throws: TestFailure.self) { try choice(.tool(JSONBytes("c"))) }
        #expect(throws: TestFailure.self) { try written { $0.toolChoice = .required } }
        #expect(try written { $0.toolChoice = .none }["tool_choice"] == nil)
    }

    @Test func strictIsForAllToolsOrNone() throws {
        #expect(try written { $0.tools = [nativeTool("a", strict: true), nativeTool("b", strict: true)] }["strict_tools"] as? Bool == true)
        #expect(try written { $0.tools = [nativeTool("a"), nativeTool("b", strict: false)] }["strict_tools"] == nil)
        #expect(throws: TestFailure.self) { try written { $0.tools = [nativeTool("a", strict: true), nativeTool("b")] } }
        let own = #"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":false,"strict_tools":false,"tools":[{"type":"function","function":{"name":"a"}}],"tool_choice":"REQUIRED","documents":[{"data":{"t":1}}],"safety_mode":"OFF","citation_options":{"mode":"FAST"},"priority":3,"seed":null,"response_format":{"type":"text"},"thinking":{"type":"enabled","token_budget":50},"p":1}"#
        #expect(differences(try parsed(own), try parsed(translateRequest(own, from: .cohere, to: .cohere, model: "m").body)) == [])
    }

    @Test func aSchemaIsAnObjectsSchema() throws {
        let schema = try written { one in
            one.format.kind = .jsonSchema
            one.format.schema = JSONBytes(#"{"type":"object"}"#)
        }["response_format"]
        #expect(differences(schema, try parsed(#"{"type":"json_object","json_schema":{"type":"object"}}"#)) == [])
        #expect(differences(try written { $0.format.kind = .jsonObject }["response_format"], try parsed(#"{"type":"json_object"}"#)) == [])
        #expect(try written { $0.format.kind = .text }["response_format"] == nil)
    }

    @Test(arguments: [
        (Reasoning.Effort.none, #"{"type":"disabled"}"#), (.low, #"{"type":"enabled","token_budget":1024}"#), (.high, #"{"type":"enabled","token_budget":24576}"#),
        (.max, #"{"type":"enabled"}"#),
    ])
    func effortIsABudget(effort: Reasoning.Effort, thinking: String) throws {
        #expect(differences(try written { $0.reasoning.effort = effort }["thinking"], try parsed(thinking)) == [])
    }

    @Test func thinkingBeforeCallsGoesBackAsThePlan() throws {
        var plan = Part.thought("I will add")
        plan.signature = JSONBytes("tool_plan")
        plan.signatureOf = .cohere
        for thought in [plan, .thought("I will add")] {
            let all = try written { one in
                try one.says(.assistant, thought, .called("c1", "add", #"{\"a\":1}"#))
                try one.gets("c1", .said("2"))
            }["messages"] as? [Any]
            let wanted = #"[{"role":"user","content":"hi"},{"role":"assistant","tool_plan":"I will add","tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c1","content":"2"}]"#
            #expect(differences(all, try parsed(wanted)) == [])
        }
        // Without calls it is thinking, unless it says that it was a plan.
        let all = try written { one in
            try one.says(.assistant, .thought("hm"), .said("a"))
            try one.says(.assistant, plan, .said("a"))
        }["messages"] as? [Any]
        let wanted = #"[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a"}]},{"role":"assistant","tool_plan":"I will add","content":"a"}]"#
        #expect(differences(all, try parsed(wanted)) == [])
    }

    @Test func thePlanSurvivesAClientOfAnotherDialect() throws {
        // The answer's plan is thinking with a mark, in whole answers and in streams.
        let body = #"{"id":"x","message":{"tool_plan":"I will","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"TOOL_CALL"}"#
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        _ = tape.read(held.bytes)
        let answer = Answer()
        answer.reset(source: .cohere)
        let isRead = CohereDialect.readAnswer(tape.root, into: answer)
        #expect(isRead && answer.parts.map(\.kind) == [.thinking, .toolCall] && answer.parts[0].signature.string == "tool_plan" && answer.parts[0].signatureOf == .cohere)
        let stream = "event: tool-plan-delta\ndata: {\"type\":\"tool-plan-delta\",\"delta\":{\"message\":{\"tool_plan\":\"I\"}}}\n\nevent: tool-call-start\ndata: {\"type\":\"tool-call-start\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":{\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}}}}\n\n"
        #expect(nativeStream(Array(stream.utf8), from: .cohere, to: .cohere).kinds == [.start, .partStart, .thinkingDelta, .signature, .partEnd, .callStart])
    }

    @Test func imagesAreURLs() throws {
        let all = try written { one in
            try one.says(.user, .said("look"), .picture(.base64, "QUJD"), .picture(.url, "https://x/y.png"))
        }["messages"] as? [Any]
        let wanted = #"{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}},{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}"#
        #expect(differences(all?.last, try parsed(wanted)) == [])
    }

    @Test func whatItCannotSayIsRefused() throws {
        let cases: [(String, (Conversation) throws -> Void)] = [
            ("n", { $0.n = 2 }), ("min_p", { $0.minP = JSONBytes("0.1") }), ("top_logprobs", { $0.topLogprobs = 3 }), ("parallel_tool_calls", { $0.parallelToolCalls = false }),
            ("presence_penalty", { $0.presencePenalty = JSONBytes("-0.1") }), ("frequency_penalty", { $0.frequencyPenalty = JSONBytes("1.5") }),
            ("messages[].content[].image_url", { try $0.says(.user, .picture(.fileID, "f")) }), ("messages[].content[].file", { try $0.says(.user, Part(.document)) }),
            ("messages[].content", { try $0.gets("c", .picture(.base64, "AA")) }), ("tools[].type", { $0.tools = [nativeTool("a")]; $0.tools[0].kind = .hosted }),
            ("tools[].custom", { $0.tools = [nativeTool("a")]; $0.tools[0].kind = .custom }), ("messages[].name", { $0.messages[0].name = JSONBytes("ann") }),
            ("x", { $0.extras.append(Extra(.root, 0, key: JSONBytes("x"), value: JSONBytes("1"))) }),
        ]
        for (field, change) in cases {
            let fill: (Conversation) throws -> Void = { try $0.says(.user, .said("hi")); try change($0) }
            #expect(nativeRefusal(.cohere, fill)?.hasPrefix(field + ": ") == true, "\(field): \(nativeRefusal(.cohere, fill) ?? "written")")
            #expect(try nativeRequest(.cohere, drops: true, fill).dropped == [field])
        }
        #expect(nativeRefusal(.cohere, stream: true) { try $0.says(.user, .said("hi")); $0.logprobs = true }?.hasPrefix("logprobs: ") == true)
    }

    @Test(arguments: [
        (#"{"messages":[]}"#, "model"), (#"{"model":"m"}"#, "messages"), (#"{"model":"m","messages":[{"role":"x"}]}"#, "messages[].role"),
        (#"{"model":"m","messages":[{"role":"user","content":1}]}"#, "messages[].content"), (#"{"model":"m","messages":[{"role":"user","content":[{}]}]}"#, "messages[].content[].type"),
        (#"{"model":"m","messages":[{"role":"tool","content":"a"}]}"#, "messages[].tool_call_id"), (#"{"model":"m","messages":[],"tool_choice":"auto"}"#, "tool_choice"),
        (#"{"model":"m","messages":[],"p":"1"}"#, "p"), (#"{"model":"m","messages":[],"thinking":{}}"#, "thinking.type"), (#"{"model":"m","messages":[],"max_tokens":-1}"#, "max_tokens"),
        (#"{"model":"m","messages":[],"response_format":{"type":"json_schema"}}"#, "response_format.type"), (#"{"model":"m","messages":[],"stop_sequences":"x"}"#, "stop_sequences"),
        (#"{"model":"m","messages":[],"p":1,"p":2}"#, "p"), (#"{"model":"m","messages":[],"tools":[{}]}"#, "tools[].type"), ("1", "body"),
    ])
    func whatIsNoRequestIsRefused(body: String, field: String) {
        do {
            _ = try translateRequest(body, from: .cohere, to: .cohere)
            Issue.record("taken: \(body)")
        } catch { #expect("\(error)".hasPrefix(field + ": "), "\(error)") }
    }

    // MARK: answers

    private func answer(_ body: String, _ use: (Answer, Bool) -> Void) {
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        _ = tape.read(held.bytes)
        let answer = Answer()
        answer.reset(source: .cohere)
        use(answer, CohereDialect.readAnswer(tape.root, into: answer))
    }

    @Test func whatIsBilledIsWhatCounts() {
        answer(#"{"id":"x","message":{"content":[]},"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":7.0,"output_tokens":50},"tokens":{"input_tokens":502,"output_tokens":55,"reasoning_tokens":38},"cached_tokens":448}}"#) { one, isRead in
            #expect(isRead && one.usage.freshInput == 7 && one.usage.cacheRead == 0 && one.usage.output == 50 && one.usage.reasoning == 38)
        }
        answer(#"{"id":"x","message":{"content":[]},"finish_reason":"COMPLETE","usage":{"tokens":{"input_tokens":502,"output_tokens":55}}}"#) { one, _ in
            #expect(one.usage.input == 502 && one.usage.output == 55)
        }
    }

    @Test(arguments: [
        ("COMPLETE", Finish.stop), ("STOP_SEQUENCE", .stopSequence), ("MAX_TOKENS", .length), ("TOOL_CALL", .toolCalls), ("ERROR_TOXIC", .contentFilter), ("NEW_WORD", .other),
    ])
    func finishesAreTold(word: String, finish: Finish) {
        answer(#"{"id":"x","message":{"content":[{"type":"text","text":"a"}]},"finish_reason":"\#(word)"}"#) { one, isRead in
            #expect(isRead && one.choices[0].finish == finish && one.choices[0].nativeFinish.string == word)
        }
    }

    @Test func anAnswerThatFailedIsAnError() {
        answer(#"{"id":"x","message":{"content":[]},"finish_reason":"ERROR"}"#) { one, isRead in #expect(!isRead && one.error?.status == 502) }
        answer(#"{"id":"x","message":{"content":[]},"finish_reason":"TIMEOUT"}"#) { one, isRead in #expect(!isRead && one.error?.problem == .timeout && one.error?.status == 504) }
        answer(#"{"id":"x","message":"no"}"#) { one, isRead in #expect(!isRead && one.error?.message.string == "no") }
        for body in ["{}", "[]", #"{"message":[]}"#, #"{"message":{"tool_calls":[1]},"finish_reason":"TOOL_CALL"}"#] { answer(body) { one, isRead in #expect(!isRead && one.error == nil) } }
    }

    @Test func logprobsArePiecesProbabilities() {
        answer(#"{"id":"x","message":{"content":"a"},"finish_reason":"COMPLETE","logprobs":[{"text":"a","token_ids":[1],"logprobs":[-0.5]},{"text":"bc","token_ids":[2,3],"logprobs":[-1,-0.25]}]}"#) { one, _ in
            #expect(one.choices[0].logprobs.string == #"{"content":[{"token":"a","logprob":-0.5,"bytes":null,"top_logprobs":[]},{"token":"bc","logprob":-1.25,"bytes":null,"top_logprobs":[]}],"refusal":null}"#)
        }
    }

    // MARK: streams

    private func stream(_ datas: String...) -> [UInt8] { Array(datas.map { "data: \($0)\n\n" }.joined().utf8) }
    private static let text = #"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}}}"#
    private static let end = #"{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}"#

    @Test func theEndIsMessageEndAndThenDone() throws {
        let whole = nativeStream(stream(Self.text, Self.end, "[DONE]"), from: .cohere, to: .ollama)
        #expect(whole.isWhole && whole.kinds == [.start, .textDelta, .finish, .end])
        // Without [DONE], as older servers have it; but not without message-end.
        #expect(nativeStream(stream(Self.text, Self.end), from: .cohere, to: .ollama).bytes == whole.bytes)
        #expect(!nativeStream(stream(Self.text, "[DONE]"), from: .cohere, to: .ollama).isWhole)
        #expect(!nativeStream(stream(Self.text), from: .cohere, to: .ollama).isWhole)
    }

    @Test(arguments: [
        (#"{"type":"message-end","delta":{"finish_reason":"ERROR","error":"it broke"}}"#, "it broke"), (#"{"type":"message-end","delta":{"finish_reason":"TIMEOUT"}}"#, "in time"),
        (#"{"message":"internal","id":"x"}"#, "internal"), ("nonsense", "no answer"), ("[]", "no answer"),
    ])
    func failuresInAStreamAreErrors(data: String, message: String) throws {
        let out = nativeStream(stream(Self.text, data, Self.end, "[DONE]"), from: .cohere, to: .ollama)
        #expect(out.kinds == [.start, .textDelta, .error])
        let last = try nativeObjects(ofLines: out.bytes).last?["error"] as? String
        #expect(last?.contains(message) == true)
        let own = nativeStream(stream(Self.text, data), from: .cohere, to: .cohere).bytes
        #expect(String(decoding: own, as: UTF8.self).contains("ERROR") || String(decoding: own, as: UTF8.self).contains("TIMEOUT"))
        #expect(!String(decoding: own, as: UTF8.self).contains("[DONE]"))
    }

    @Test func callsMayBeArraysAndComeInPieces() throws {
        let out = nativeStream(stream(
            #"{"type":"tool-call-start","index":3,"delta":{"message":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{"}}]}}}"#,
            #"{"type":"tool-call-start","index":4,"delta":{"message":{"tool_calls":{"id":"d","function":{"name":"g","arguments":""}}}}}"#,
            #"{"type":"tool-call-delta","index":3,"delta":{"message":{"tool_calls":{"function":{"arguments":"\"a\":1}"}}}}}"#, #"{"type":"tool-call-delta","index":9,"delta":{}}"#,
            #"{"type":"tool-call-end","index":3}"#, #"{"type":"tool-call-end","index":4}"#, #"{"type":"message-end","delta":{"finish_reason":"SOMETHING"}}"#, "[DONE]"
        ), from: .cohere, to: .ollama)
        let all = try NativeSum.ollama(out.bytes)
        #expect(all.calls.map(\.id) == ["c", "d"] && differences(all.calls.map(\.arguments), [["a": 1], [String: Any]()]) == [])
        #expect(all.last["done_reason"] as? String == "stop")
    }

    @Test func unknownEventsStayInTheirDialect() throws {
        let body = Array("event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"a\"}}},\"logprobs\":{\"text\":\"a\"}}\n\nevent: debug\ndata: {\"type\":\"debug\",\"prompt\":\"p\"}\n\n".utf8)
        let own = String(decoding: nativeStream(body, from: .cohere, to: .cohere).bytes, as: UTF8.self)
        #expect(own.contains("event: debug\ndata: {\"type\":\"debug\",\"prompt\":\"p\"}\n\n") && own.contains(#""logprobs":{"text":"a"}"#))
        #expect(try nativeObjects(ofLines: nativeStream(body, from: .cohere, to: .ollama).bytes).count == 1)
    }

    // MARK: errors and embeddings

    @Test(arguments: [
        (400, #"{"message":"bad"}"#, ProblemClass.badRequest, false), (400, #"{"message":"too many tokens: x","error_type":"TOO_MANY_TOKENS"}"#, .contextTooLong, false),
        (401, #"{"message":"Incorrect API key"}"#, .auth, false), (403, "{}", .auth, false), (404, #"{"message":"model 'x' not found"}"#, .modelMissing, false),
        (422, #"{"message":"no"}"#, .badRequest, false), (429, #"{"message":"You are using a Trial key, which is limited to 1000 API calls / month"}"#, .rateLimited, true),
        (429, #"{"message":"limited to 10 API calls / minute"}"#, .rateLimited, false), (498, "{}", .auth, false), (500, "oops", .serverError, false), (503, "", .overloaded, false), (504, "", .timeout, false),
    ])
    func errorsAreTold(status: Int, body: String, problem: ProblemClass, isQuota: Bool) throws {
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        let isJSON = tape.read(held.bytes) == nil
        let arena = ArenaBox()
        defer { withExtendedLifetime(arena) {} }
        var error = CohereDialect.readError(status: status, isJSON ? tape.root : JSONValue(), text: held.bytes, kind: JSONBytes(), arena)
        #expect(error.problem == problem && error.isQuota == isQuota && !error.message.isEmpty)
        error.source = .chat
        var out = JSONWriter()
        let again = CohereDialect.writeError(error, requestID: JSONBytes("req"), into: &out)
        let written = try parsed(Array(out.bytes)) as? [String: Any] ?? [:]
        #expect(written["id"] as? String == "req" && written["message"] is String && (400...599).contains(again))
    }

    private func embedding(_ fill: (EmbeddingRequest) -> Void) throws -> [String: Any] {
        let request = EmbeddingRequest()
        request.reset(source: .gemini)
        request.inputs = [JSONBytes("a")]
        fill(request)
        var out = JSONWriter()
        do throws(Refusal) { try CohereDialect.writeEmbedding(request, to: Target(model: JSONBytes("m"), quirks: Quirks()), into: &out) } catch {
            throw TestFailure(description: error.field.string)
        }
        return try parsed(Array(out.bytes)) as? [String: Any] ?? [:]
    }

    @Test func purposesHaveTheirWords() throws {
        for (task, word) in [
            ("", "search_document"), ("RETRIEVAL_QUERY", "search_query"), ("RETRIEVAL_DOCUMENT", "search_document"), ("CLASSIFICATION", "classification"),
            ("CLUSTERING", "clustering"), ("search_query", "search_query"), ("FACT_VERIFICATION", "search_query"), ("SEMANTIC_SIMILARITY", "clustering"),
        ] as [(StaticString, String)] {
            #expect(try embedding { $0.task = JSONBytes(task) }["input_type"] as? String == word)
        }
        #expect(throws: TestFailure.self) { try embedding { $0.task = JSONBytes("DREAMING") } }
    }

    @Test func clientsGetFloatsOrBase64() throws {
        func answered(_ types: String) throws -> [String: Any] {
            let body = Array(#"{"model":"m","texts":["a"],"input_type":"search_query","embedding_types":["\#(types)"]}"#.utf8)
            var tape = JSONTape()
            let request = EmbeddingRequest()
            request.reset(source: .cohere)
            let answer = EmbeddingAnswer()
            var context = testContext
            var out = JSONWriter()
            try body.withUnsafeBytes { bytes in
                #expect(tape.read(bytes) == nil)
                do throws(Refusal) { try CohereDialect.readEmbedding(tape.root, into: request) } catch { throw TestFailure(description: error.field.string) }
                context.asBase64 = request.asBase64
                answer.vectors = [JSONBytes("[1, -2.5]")]
                CohereDialect.writeEmbeddingAnswer(answer, context, into: &out)
            }
            return try #require(try parsed(Array(out.bytes)) as? [String: Any])
        }
        #expect(differences(try answered("float")["embeddings"], try parsed(#"{"float":[[1,-2.5]]}"#)) == [])
        #expect(differences(try answered("base64")["embeddings"], try parsed(#"{"base64":["AACAPwAAIMA="]}"#)) == [])
        #expect(throws: TestFailure.self) { try answered("int8") }
    }

    @Test func aDocumentAsAResultIsItsDataForOthersAndItselfForCohere() throws {
        let request = #"{"model":"m","stream":false,"messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":[{"type":"document","document":{"id":"d","data":{"warm":"21 \"degrees\""}}}]}]}"#
        #expect(differences(try parsed(request), try parsed(translateRequest(request, from: .cohere, to: .cohere, model: "m").body)) == [])
        let other = try #require(try parsed(translateRequest(request, from: .cohere, to: .chat, model: "m").body) as? [String: Any])
        #expect(((other["messages"] as? [[String: Any]])?.last?["content"] as? String) == #"{"warm":"21 \"degrees\""}"#)
    }

    @Test func ninetySixTextsAtMost() throws {
        #expect((try embedding { $0.inputs = Array(repeating: JSONBytes("a"), count: 96) }["texts"] as? [Any])?.count == 96)
        for bad in [{ $0.inputs = Array(repeating: JSONBytes("a"), count: 97) }, { $0.isTokens = true }, { $0.inputs = [] }] as [(EmbeddingRequest) -> Void] {
            #expect(throws: TestFailure.self) { try embedding { bad($0); $0.dropsUnsupported = true } }
        }
    }
}
