import ClawDialect
import ClawWire
import Foundation
import Testing

/// Requests of other dialects' clients in Ollama's words (providers/ollama.md, "OpenAI → native").
struct OllamaWriterTests {
    private func messages(_ fill: (Conversation) throws -> Void) throws -> [[String: Any]] {
        try nativeRequest(.ollama, fill).body["messages"] as? [[String: Any]] ?? []
    }

    @Test func textsAreOneStringAndImagesBareBase64() throws {
        let all = try messages { one in
            try one.says(.developer, .said("be"), .said("brief"))
            try one.says(.user, .said("look"), .picture(.base64, "QUJD"), .picture(.url, "data:image/png;base64,REVG"))
            try one.says(.assistant, .thought("hm"), .said("a"), .said("b"))
        }
        let wanted = #"[{"role":"system","content":"be\nbrief"},{"role":"user","content":"look","images":["QUJD","REVG"]},{"role":"assistant","content":"ab","thinking":"hm"}]"#
        #expect(differences(all, try parsed(wanted)) == [])
    }

    @Test func callsHaveObjectsAndResultsTheirToolsName() throws {
        let all = try messages { one in
            try one.says(.assistant, .called("c1", "add", #"{\"a\":9007199254740993}"#), .called("c2", "now", ""))
            try one.gets("c2", .said("noon"))
            try one.gets("c1", .said("1"), .said("2"))
        }
        let wanted = #"[{"role":"assistant","content":"","tool_calls":[{"id":"c1","function":{"name":"add","arguments":{"a":9007199254740993}}},{"id":"c2","function":{"name":"now","arguments":{}}}]},{"role":"tool","content":"noon","tool_name":"now","tool_call_id":"c2"},{"role":"tool","content":"1\n2","tool_name":"add","tool_call_id":"c1"}]"#
        #expect(differences(all, try parsed(wanted)) == [])
    }

    @Test func resultsAmongAUsersPartsAreMessagesOfTheirOwn() throws {
        let all = try messages { one in
            try one.says(.assistant, .called("c1", "add", "{}"))
            try one.begin(.user)
            var result = Part(.toolResult)
            result.id = JSONBytes("c1")
            one.inner.append(.said("3"))
            try one.add(result: result, from: 0)
            try one.add(.said("and now?"))
        }
        #expect(all.map { $0["role"] as? String } == ["assistant", "tool", "user"] && all.last?["content"] as? String == "and now?")
    }

    @Test func samplingIsInOptions() throws {
        let body = try nativeRequest(.ollama) { one in
            try one.says(.user, .said("hi"))
            one.maxTokens = 7
            one.temperature = JSONBytes("0.1")
            one.topP = JSONBytes("1")
            one.topK = JSONBytes("3")
            one.seed = JSONBytes("42")
            one.presencePenalty = JSONBytes("0")
            one.frequencyPenalty = JSONBytes("-0.5")
            one.stop = [JSONBytes("END")]
            one.parallelToolCalls = true
            one.n = 1
        }.body
        let wanted = #"{"num_predict":7,"temperature":0.1,"top_p":1,"top_k":3,"seed":42,"presence_penalty":0,"frequency_penalty":-0.5,"stop":["END"]}"#
        #expect(differences(body["options"], try parsed(wanted)) == [])
        #expect(body["stream"] as? Bool == false && body["model"] as? String == "served")
        #expect(try nativeRequest(.ollama) { try $0.says(.user, .said("hi")) }.body["options"] == nil)
    }

    @Test(arguments: [
        (Reasoning.Effort.none, "false"), (.minimal, #""low""#), (.low, #""low""#), (.medium, #""medium""#), (.high, #""high""#), (.xhigh, #""max""#), (.max, #""max""#),
    ])
    func effortIsThink(effort: Reasoning.Effort, think: String) throws {
        let body = try nativeRequest(.ollama) { one in
            try one.says(.user, .said("hi"))
            one.reasoning.effort = effort
        }.body
        #expect(differences(body["think"], try parsed(think)) == [])
    }

    @Test(arguments: [(Int64(0), "false"), (-1, "true"), (2000, #""low""#), (30000, #""high""#)])
    func aBudgetIsThink(budget: Int64, think: String) throws {
        let body = try nativeRequest(.ollama) { one in
            try one.says(.user, .said("hi"))
            one.reasoning.budget = budget
            one.reasoning.isEnabled = budget != 0
        }.body
        #expect(differences(body["think"], try parsed(think)) == [])
    }

    @Test func aSchemaIsTheFormat() throws {
        func format(_ kind: ResponseFormat.Kind) throws -> Any? {
            try nativeRequest(.ollama) { one in
                try one.says(.user, .said("hi"))
                one.format.kind = kind
                one.format.schema = JSONBytes(#"{"type":"object"}"#)
                one.format.strict = true
            }.body["format"]
        }
        #expect(differences(try format(.jsonSchema), try parsed(#"{"type":"object"}"#)) == [])
        #expect(try format(.jsonObject) as? String == "json" && format(.text) == nil && format(.unset) == nil)
    }

    @Test func toolsAreLeftOutWhereNoneMayBeCalled() throws {
        func tools(_ choice: ToolChoice) throws -> [String: Any] {
            try nativeRequest(.ollama) { one in
                try one.says(.user, .said("hi"))
                one.tools = [nativeTool("a"), nativeTool("b", schema: nil)]
                one.toolChoice = choice
            }.body
        }
        let offered = try tools(.auto)["tools"]
        let wanted = #"[{"type":"function","function":{"name":"a","parameters":{"type":"object"}}},{"type":"function","function":{"name":"b","parameters":{"type":"object","properties":{}}}}]"#
        #expect(differences(offered, try parsed(wanted)) == [])
        #expect(try tools(.none)["tools"] == nil)
    }

    @Test func hintsAreDroppedByName() throws {
        let dropped = try nativeRequest(.ollama) { one in
            try one.says(.user, .said("hi"))
            one.user = JSONBytes("me")
            one.metadata = JSONBytes("{}")
            one.serviceTier = JSONBytes("flex")
            one.store = true
            one.promptCacheKey = JSONBytes("k")
            one.cache = .oneHour
            one.prediction = JSONBytes("{}")
            one.verbosity = JSONBytes("medium")
            one.logitBias = JSONBytes("{}")
            one.modalities = JSONBytes(#"["text"]"#)
            one.extras.append(Extra(.nested, Conversation.hintIndex, key: JSONBytes("safety_identifier"), value: JSONBytes("\"x\"")))
        }.dropped
        #expect(dropped == ["prediction", "user", "metadata", "service_tier", "store", "prompt_cache_key", "cache_control", "safety_identifier"])
    }

    @Test func whatItCannotSayIsRefused() throws {
        let hi: (Conversation) throws -> Void = { try $0.says(.user, .said("hi")) }
        let cases: [(String, (Conversation) throws -> Void)] = [
            ("n", { $0.n = 2 }), ("logit_bias", { $0.logitBias = JSONBytes(#"{"5":1}"#) }), ("parallel_tool_calls", { $0.parallelToolCalls = false }),
            ("tool_choice", { $0.toolChoice = .required }), ("tool_choice", { $0.toolChoice = .tool(JSONBytes("a")) }),
            ("modalities", { $0.modalities = JSONBytes(#"["text","audio"]"#) }), ("audio", { $0.audio = JSONBytes("{}") }),
            ("verbosity", { $0.verbosity = JSONBytes("low") }), ("previous_response_id", { $0.previousResponseID = JSONBytes("r") }),
            ("messages[].content[].image_url", { try $0.says(.user, .picture(.url, "https://x/y.png")) }),
            ("messages[].content[].image_url", { try $0.says(.user, .picture(.fileID, "file-1")) }),
            ("messages[].content[].file", { try $0.says(.user, Part(.document)) }), ("messages[].content[].input_audio", { try $0.says(.user, Part(.audio)) }),
            ("messages[].content[].video_url", { try $0.says(.user, Part(.video)) }), ("messages", { try $0.says(.user, Part(.opaque)) }),
            ("messages[].tool_calls[].function.arguments", { try $0.says(.assistant, .called("c", "a", "[1]")) }),
            ("messages[].tool_calls[].function.arguments", { try $0.says(.assistant, .called("c", "a", #"{\"a\":"#)) }),
            ("messages[].content", { try $0.gets("c", .picture(.base64, "AA")) }), ("tools[].function.strict", { $0.tools = [nativeTool("a", strict: true)] }),
            ("tools[].type", { $0.tools = [nativeTool("a")]; $0.tools[0].kind = .hosted }), ("tools[].custom", { $0.tools = [nativeTool("a")]; $0.tools[0].kind = .custom }),
            ("web_search_options", { $0.extras.append(Extra(.root, 0, key: JSONBytes("web_search_options"), value: JSONBytes("{}"))) }),
            ("messages[].name", { $0.messages[0].name = JSONBytes("ann") }),
        ]
        for (field, change) in cases {
            let fill: (Conversation) throws -> Void = { try hi($0); try change($0) }
            let said = nativeRefusal(.ollama, fill)
            #expect(said?.hasPrefix(field + ": ") == true, "\(field): \(said ?? "written")")
            // Where the upstream may drop, it is written without, and said so.
            let (body, dropped) = try nativeRequest(.ollama, drops: true, fill)
            #expect(dropped == [field] && body["model"] != nil, "\(field): \(dropped)")
        }
        // In a stream nothing neutral carries them.
        #expect(nativeRefusal(.ollama, stream: true) { try hi($0); $0.logprobs = true }?.hasPrefix("logprobs: ") == true)
        #expect(nativeRefusal(.ollama, stream: false) { try hi($0); $0.logprobs = true } == nil)
    }

    @Test func aMessageOfManyPartsIsWrittenInTime() throws {
        let all = try messages { one in
            try one.begin(.user)
            for _ in 0..<99_999 { try one.add(.said("0123456789")) }
        }
        #expect((all[0]["content"] as? String)?.utf8.count == 99_999 * 11 - 1)
    }
}
