// Requests of other dialects written for Anthropic, row by row of the provider document's table. Conversations are put together by hand here, so that no
// other dialect's reader has a part in it.
import ClawDialect
import ClawWire
import Foundation
import Testing

/// A conversation as a reader of Chat Completions would leave it.
final class ForeignConversation {
    let value = Conversation()
    private var held: [Held] = []
    init(drops: Bool = false) {
        value.reset(source: .chat)
        value.dropsUnsupported = drops
    }
    func bytes(_ text: String) -> JSONBytes {
        let one = Held(Array(text.utf8))
        held.append(one)
        return JSONBytes(one.bytes)
    }
    @discardableResult func say(_ role: Role, _ parts: Part...) -> Self {
        try? value.begin(role)
        for part in parts { try? value.add(part) }
        return self
    }
    @discardableResult func say(_ role: Role, _ text: String) -> Self { say(role, .text(bytes(text))) }
    func call(_ id: String, _ name: String, _ arguments: String) -> Part {
        var part = Part(.toolCall)
        part.id = bytes(id)
        part.name = bytes(name)
        part.text = bytes(arguments)
        return part
    }
    @discardableResult func result(_ id: String, _ text: String, name: String = "") -> Self {
        var part = Part(.toolResult)
        part.id = bytes(id)
        part.name = bytes(name)
        let start = value.inner.count
        if !text.isEmpty { value.inner.append(.text(bytes(text))) }
        try? value.begin(.tool)
        try? value.add(result: part, from: start)
        return self
    }
    func thought(_ text: String, _ signature: String, of maker: DialectID?) -> Part {
        var part = Part(.thinking)
        part.text = bytes(text)
        part.signature = bytes(signature)
        part.signatureOf = maker
        return part
    }
    func file(_ kind: Part.Kind, _ source: Part.Source, _ data: String, _ type: String = "") -> Part {
        var part = Part(kind)
        part.source = source
        part.data = bytes(data)
        if !type.isEmpty { part.mediaType = bytes(type) }
        return part
    }
    func tool(_ name: String, _ schema: String?) {
        var tool = Tool()
        tool.name = bytes(name)
        if let schema { tool.schema = bytes(schema) }
        value.tools.append(tool)
    }
    /// The request; or what is refused, as `field: reason`.
    func written(model: StaticString = "claude-haiku-4-5", most: Int64 = 0, quirks: Quirks = Quirks(), stream: Bool = false) -> [String: Any] {
        var target = Target(model: JSONBytes(model), quirks: quirks)
        target.maxOutputTokens = most
        target.wantsStream = stream
        var out = JSONWriter()
        do throws(Refusal) { try MessagesDialect.writeRequest(value, to: target, into: &out) } catch {
            return ["refused": error.field.string, "reason": "\(error.reason)"]
        }
        return (try? parsed(Array(out.bytes))) as? [String: Any] ?? ["refused": "no JSON: \(out.written.string)"]
    }
    var dropped: [String] { value.dropped.map(\.string) }
}

func same(_ one: Any?, _ json: String) -> [String] { differences(one, try? parsed(json)) }

struct MessagesFromOthersTests {
    // MARK: instructions and turns

    @Test func instructionsAreJoinedInOrderWhereverTheyStand() {
        let c = ForeignConversation().say(.system, "one").say(.user, "hi").say(.developer, "two").say(.assistant, "yes").say(.system, "  ").say(.user, "go")
        let out = c.written()
        #expect(same(out["system"], #"[{"type":"text","text":"one"},{"type":"text","text":"two"}]"#) == [])
        #expect(same(out["messages"], #"[{"role":"user","content":"hi"},{"role":"assistant","content":"yes"},{"role":"user","content":"go"}]"#) == [])
    }

    @Test func oneInstructionIsAString() {
        #expect(ForeignConversation().say(.system, "one").say(.user, "hi").written()["system"] as? String == "one")
        #expect(ForeignConversation().say(.user, "hi").written()["system"] == nil)
    }

    @Test func emptyTextsAndEmptyTurnsAreLeftOut() {
        let c = ForeignConversation()
        c.say(.user, "").say(.assistant, " \\n\\t").say(.user, .text(c.bytes("")), .text(c.bytes("x"))).say(.assistant, "").say(.user, "y")
        #expect(same(c.written()["messages"], #"[{"role":"user","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}]}]"#) == [])
        #expect(ForeignConversation().say(.system, "a").say(.user, " ").written()["refused"] as? String == "messages")
    }

    @Test func turnsOfTheSameSideAreMerged() {
        let c = ForeignConversation().say(.user, "a").say(.user, "b").say(.assistant, "c").say(.assistant, "d").say(.user, "e")
        #expect(same(c.written()["messages"], #"""
            [{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
            {"role":"assistant","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]},{"role":"user","content":"e"}]
            """#) == [])
    }

    @Test func resultsOfSeveralToolMessagesAreOneTurnAndComeFirst() {
        let c = ForeignConversation()
        c.say(.user, "?").say(.assistant, c.call("call_1", "f", "{}"), c.call("call_2", "g", "{\\\"a\\\":9007199254740993}"), .text(c.bytes("let me see")))
        c.say(.user, "quick!").result("call_1", "one").result("call_2", "")
        #expect(same(c.written()["messages"], #"""
            [{"role":"user","content":"?"},{"role":"assistant","content":[{"type":"text","text":"let me see"},{"type":"tool_use","id":"call_1","name":"f","input":{}},
            {"type":"tool_use","id":"call_2","name":"g","input":{"a":9007199254740993}}]},{"role":"user","content":[
            {"type":"tool_result","tool_use_id":"call_1","content":"one"},{"type":"tool_result","tool_use_id":"call_2","content":""},{"type":"text","text":"quick!"}]}]
            """#) == [])
    }

    @Test func theNumberInArgumentsIsNotTouched() {
        let c = ForeignConversation()
        c.say(.user, "?").say(.assistant, c.call("a", "f", "{\\\"n\\\":12345678901234567890}")).result("a", "x")
        var out = JSONWriter()
        try? MessagesDialect.writeRequest(c.value, to: Target(model: JSONBytes("m"), quirks: Quirks()), into: &out)
        #expect(out.written.contains("12345678901234567890"))
    }

    @Test func emptyArgumentsAreAnObjectAndOthersRefused() {
        for (arguments, expected) in [("", "{}"), (" ", "{}"), ("{}", "{}"), ("{\\\"a\\\":1}", "{\"a\":1}")] {
            let c = ForeignConversation()
            c.say(.user, "?").say(.assistant, c.call("a", "f", arguments)).result("a", "x")
            let blocks = (c.written()["messages"] as? [[String: Any]])?[1]["content"] as? [[String: Any]]
            #expect(same(blocks?[0]["input"], expected) == [])
        }
        for arguments in ["{", "[]", "7", "\\\"x\\\"", "{\\\"a\\\":}"] {
            let c = ForeignConversation(drops: true)
            c.say(.user, "?").say(.assistant, c.call("a", "f", arguments))
            #expect(c.written()["refused"] as? String == "messages[].tool_calls[].function.arguments")
        }
    }

    @Test func idsAreMadeSafeOnBothSides() throws {
        let c = ForeignConversation()
        c.say(.user, "?").say(.assistant, c.call("functions.f:0", "f", "{}"), c.call("functions.f;0", "f", "{}")).result("functions.f:0", "x").result("functions.f;0", "y")
        let messages = try #require(c.written()["messages"] as? [[String: Any]])
        let calls = try #require(messages[1]["content"] as? [[String: Any]]).compactMap { $0["id"] as? String }
        let results = try #require(messages[2]["content"] as? [[String: Any]]).compactMap { $0["tool_use_id"] as? String }
        #expect(calls == results && Set(calls).count == 2)
        #expect(calls.allSatisfy { $0.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == "-") } })
    }

    @Test func callsWithoutIdsFindTheirResultsByName() throws {
        let c = ForeignConversation()
        c.say(.user, "?").say(.assistant, c.call("", "f", "{}"), c.call("", "g", "{}"), c.call("", "f", "{}"))
        c.result("", "g's", name: "g").result("", "f's", name: "f").result("", "f's second", name: "f")
        let messages = try #require(c.written()["messages"] as? [[String: Any]])
        let calls = try #require(messages[1]["content"] as? [[String: Any]]).compactMap { $0["id"] as? String }
        let results = try #require(messages[2]["content"] as? [[String: Any]]).compactMap { $0["tool_use_id"] as? String }
        #expect(Set(calls).count == 3 && results == [calls[1], calls[0], calls[2]])
    }

    @Test func thePrefillLosesItsWhiteSpace() {
        for (text, kept) in [("{ ", "{"), ("a\\n\\t ", "a"), ("a\\\\n", "a\\\\n"), ("an", "an"), ("\\\\\\n", "\\\\")] {
            let c = ForeignConversation().say(.user, "x").say(.assistant, text)
            var out = JSONWriter()
            try? MessagesDialect.writeRequest(c.value, to: Target(model: JSONBytes("m"), quirks: Quirks()), into: &out)
            #expect(out.written.string.contains(#"{"role":"assistant","content":"\#(kept)"}"#), "\(text)")
        }
        // Not in the middle.
        let c = ForeignConversation().say(.user, "x").say(.assistant, "a ").say(.user, "y")
        #expect(same(c.written()["messages"], #"[{"role":"user","content":"x"},{"role":"assistant","content":"a "},{"role":"user","content":"y"}]"#) == [])
    }

    @Test func theFirstMessageMayBeTheAssistants() {
        let c = ForeignConversation().say(.assistant, "hello").say(.user, "hi")
        #expect(same(c.written()["messages"], #"[{"role":"assistant","content":"hello"},{"role":"user","content":"hi"}]"#) == [])
    }

    @Test func thoughtsGoOnlyWithTheirOwnSignature() {
        let c = ForeignConversation()
        var redacted = Part(.redactedThinking)
        redacted.data = c.bytes("RR")
        redacted.signatureOf = .messages
        c.say(.user, "x").say(.assistant, c.thought("a", "S", of: .messages), redacted, c.thought("b", "", of: nil), c.thought("c", "G", of: .gemini), .text(c.bytes("t")))
        c.say(.user, "y")
        #expect(same((c.written()["messages"] as? [[String: Any]])?[1]["content"], #"""
            [{"type":"thinking","thinking":"a","signature":"S"},{"type":"redacted_thinking","data":"RR"},{"type":"text","text":"t"}]
            """#) == [])
        #expect(c.dropped == ["messages[].reasoning_content"])
    }

    // MARK: parts

    @Test(arguments: [
        (Part.Source.base64, "AAAA", "image/png", #"{"type":"base64","media_type":"image/png","data":"AAAA"}"#),
        (.base64, "AAAA", "image\\/webp", #"{"type":"base64","media_type":"image/webp","data":"AAAA"}"#),
        (.base64, "AAAA", "image/jpg", #"{"type":"base64","media_type":"image/jpeg","data":"AAAA"}"#),
        (.url, "https://x/y.png", "", #"{"type":"url","url":"https://x/y.png"}"#),
        (.url, "data:image/gif;base64,R0lG", "", #"{"type":"base64","media_type":"image/gif","data":"R0lG"}"#),
    ])
    func imagesHaveTheirSource(source: Part.Source, data: String, type: String, expected: String) {
        let c = ForeignConversation()
        c.say(.user, c.file(.image, source, data, type))
        let blocks = (c.written()["messages"] as? [[String: Any]])?[0]["content"] as? [[String: Any]]
        #expect(blocks?[0]["type"] as? String == "image" && same(blocks?[0]["source"], expected) == [])
    }

    @Test(arguments: [
        (Part.Kind.image, Part.Source.base64, "image/bmp", "messages[].content[].image_url"), (.image, .fileID, "", "messages[].content[].image_url"),
        (.image, .url, "", "messages[].content[].image_url"), (.audio, .base64, "audio/wav", "messages[].content[].input_audio"),
        (.video, .url, "", "messages[].content[].video_url"), (.document, .base64, "application/msword", "messages[].content[].file"),
        (.document, .fileID, "", "messages[].content[].file"), (.opaque, .none, "", "messages[].content[].type"),
    ])
    func whatHasNoBlockIsRefusedOrDropped(kind: Part.Kind, source: Part.Source, type: String, field: String) {
        for drops in [false, true] {
            let c = ForeignConversation(drops: drops)
            c.say(.user, .text(c.bytes("x")), c.file(kind, source, "ftp://AAAA", type))
            let out = c.written()
            if drops {
                #expect(same(out["messages"], #"[{"role":"user","content":"x"}]"#) == [] && c.dropped == [field])
            } else {
                #expect(out["refused"] as? String == field)
            }
        }
    }

    @Test(arguments: [
        (Part.Source.base64, "JVBERi0x", "application/pdf", #"{"type":"base64","media_type":"application/pdf","data":"JVBERi0x"}"#),
        (.base64, "JVBERi0x", "", #"{"type":"base64","media_type":"application/pdf","data":"JVBERi0x"}"#),
        (.base64, "aGkKIg==", "text/plain", #"{"type":"text","media_type":"text/plain","data":"hi\n\""}"#),
        (.url, "https://x/y.pdf", "", #"{"type":"url","url":"https://x/y.pdf"}"#),
    ])
    func filesAreDocuments(source: Part.Source, data: String, type: String, expected: String) {
        let c = ForeignConversation()
        var part = c.file(.document, source, data, type)
        part.name = c.bytes("a.pdf")
        c.say(.user, part)
        let blocks = (c.written()["messages"] as? [[String: Any]])?[0]["content"] as? [[String: Any]]
        #expect(blocks?[0]["type"] as? String == "document" && same(blocks?[0]["source"], expected) == [] && blocks?[0]["title"] as? String == "a.pdf")
    }

    // MARK: tools

    @Test func toolsHaveASchemaWithATypeAtItsTop() {
        let c = ForeignConversation().say(.user, "x")
        c.tool("a", nil)
        c.tool("b", "{}")
        c.tool("c", #"{"properties":{"q":{"type":"string"}}}"#)
        c.tool("d", #"{"type":"object","properties":{}}"#)
        c.value.tools[3].strict = true
        c.value.tools[2].strict = false
        #expect(same(c.written()["tools"], #"""
            [{"name":"a","input_schema":{"type":"object","properties":{}}},{"name":"b","input_schema":{"type":"object","properties":{}}},
            {"name":"c","input_schema":{"type":"object","properties":{"q":{"type":"string"}}}},
            {"name":"d","input_schema":{"type":"object","properties":{}},"strict":true}]
            """#) == [])
    }

    @Test func toolChoicesAreNamedAsHere() {
        let cases: [(ToolChoice, Bool?, String?)] = [
            (.unset, nil, nil), (.auto, nil, #"{"type":"auto"}"#), (.required, nil, #"{"type":"any"}"#), (.none, nil, #"{"type":"none"}"#),
            (.tool(JSONBytes("f")), nil, #"{"type":"tool","name":"f"}"#), (.unset, true, nil),
            (.unset, false, #"{"type":"auto","disable_parallel_tool_use":true}"#), (.required, false, #"{"type":"any","disable_parallel_tool_use":true}"#),
            (.none, false, #"{"type":"none"}"#),
        ]
        for (choice, parallel, expected) in cases {
            let c = ForeignConversation().say(.user, "x")
            c.tool("f", nil)
            c.value.toolChoice = choice
            c.value.parallelToolCalls = parallel
            let out = c.written()
            #expect(same(out["tool_choice"], expected ?? "") == [] && out["tools"] != nil)
        }
        // Without tools there is nothing to choose.
        let c = ForeignConversation().say(.user, "x")
        c.value.toolChoice = .auto
        c.value.parallelToolCalls = false
        #expect(c.written()["tool_choice"] == nil)
    }

    @Test func toolsOfTheHistoryAreNamedWhereTheClientLeftThemOut() {
        let c = ForeignConversation()
        c.say(.user, "?").say(.assistant, c.call("a", "f", "{}"), c.call("b", "f", "{}")).result("a", "x").result("b", "x")
        let out = c.written()
        #expect(same(out["tools"], #"[{"name":"f","input_schema":{"type":"object","properties":{}}}]"#) == [])
        #expect(same(out["tool_choice"], #"{"type":"none"}"#) == [])
    }

    @Test func foreignToolsAreRefused() {
        for (kind, field) in [(Tool.Kind.custom, "tools[].custom"), (.hosted, "tools[].type")] {
            let c = ForeignConversation().say(.user, "x")
            c.tool("f", nil)
            c.value.tools[0].kind = kind
            #expect(c.written()["refused"] as? String == field)
            c.value.dropsUnsupported = true
            #expect(c.written()["tools"] == nil && c.dropped == [field])
        }
    }

    // MARK: options

    @Test func theMaximumHasADefault() {
        for (said, most, expected) in [(nil, 0, 4096), (nil, 64000, 4096), (nil, 2048, 2048), (99, 0, 99), (9000, 8192, 8192)] as [(Int64?, Int64, Int)] {
            let c = ForeignConversation().say(.user, "x")
            c.value.maxTokens = said
            #expect(c.written(most: most)["max_tokens"] as? Int == expected)
            #expect(c.dropped == (said == 9000 ? ["max_tokens"] : []))
        }
    }

    @Test func samplingIsPutWithinWhatTheModelTakes() {
        let cases: [(StaticString, String, String, [String: Double], [String])] = [
            ("claude-3-5-sonnet-20240620", "0.5", "0.9", ["temperature": 0.5, "top_p": 0.9], []),
            ("claude-3-5-sonnet-20240620", "1.7", "", ["temperature": 1], ["temperature"]),
            ("claude-haiku-4-5", "0.5", "0.9", ["temperature": 0.5], ["top_p"]),
            ("claude-haiku-4-5", "0.5", "1", ["temperature": 0.5], []),
            ("claude-haiku-4-5", "", "0.9", ["top_p": 0.9], []),
            ("claude-opus-4-8", "1", "1", [:], []),
        ]
        for (model, temperature, topP, expected, dropped) in cases {
            let c = ForeignConversation().say(.user, "x")
            if !temperature.isEmpty { c.value.temperature = c.bytes(temperature) }
            if !topP.isEmpty { c.value.topP = c.bytes(topP) }
            let out = c.written(model: model)
            #expect(out["temperature"] as? Double == expected["temperature"] && out["top_p"] as? Double == expected["top_p"], "\(model)")
            #expect(c.dropped == dropped)
        }
        let c = ForeignConversation().say(.user, "x")
        c.value.temperature = c.bytes("0.2")
        #expect(c.written(model: "claude-opus-4-8")["refused"] as? String == "temperature")
    }

    @Test func whatHasInfluenceAndNoPlaceIsRefusedByName() {
        let cases: [(String, (Conversation) -> Void)] = [
            ("n", { $0.n = 2 }), ("seed", { $0.seed = JSONBytes("7") }), ("presence_penalty", { $0.presencePenalty = JSONBytes("0.5") }),
            ("frequency_penalty", { $0.frequencyPenalty = JSONBytes("-1") }), ("min_p", { $0.minP = JSONBytes("0.1") }), ("logprobs", { $0.logprobs = true }),
            ("top_logprobs", { $0.topLogprobs = 3 }), ("logit_bias", { $0.logitBias = JSONBytes("{\"1\":2}") }), ("modalities", { $0.modalities = JSONBytes("[\"audio\"]") }),
            ("audio", { $0.audio = JSONBytes("{}") }), ("verbosity", { $0.verbosity = JSONBytes("low") }),
            ("previous_response_id", { $0.previousResponseID = JSONBytes("r") }), ("stop", { $0.stop = [JSONBytes("\\n\\n")] }),
            ("messages[].name", { $0.messages[0].name = JSONBytes("ann") }),
        ]
        for (field, change) in cases {
            let c = ForeignConversation().say(.user, "x")
            change(c.value)
            #expect(c.written()["refused"] as? String == field)
            c.value.dropsUnsupported = true
            #expect(c.written()["refused"] == nil && c.dropped == [field], "\(c.dropped)")
        }
    }

    @Test func whatSaysNothingIsNoReasonToRefuse() {
        let c = ForeignConversation().say(.user, "x")
        c.value.n = 1
        c.value.presencePenalty = JSONBytes("0")
        c.value.frequencyPenalty = JSONBytes("0.0")
        c.value.logprobs = false
        c.value.topLogprobs = 0
        c.value.logitBias = JSONBytes("{ }")
        c.value.modalities = JSONBytes("[\"text\"]")
        c.value.verbosity = JSONBytes("medium")
        c.value.store = false
        c.value.metadata = JSONBytes("{}")
        c.value.format.kind = .text
        #expect(same(c.written(), #"{"model":"claude-haiku-4-5","max_tokens":4096,"messages":[{"role":"user","content":"x"}]}"#) == [])
        #expect(c.dropped == [])
    }

    @Test func hintsAreDroppedByName() {
        let c = ForeignConversation().say(.user, "x")
        c.value.store = true
        c.value.metadata = JSONBytes("{\"a\":\"b\"}")
        c.value.promptCacheKey = JSONBytes("k")
        c.value.prediction = JSONBytes("{}")
        c.value.serviceTier = JSONBytes("flex")
        c.value.extras = [Extra(.nested, Conversation.hintIndex, key: JSONBytes("safety_identifier"), value: JSONBytes("\"s\""))]
        #expect(c.written()["refused"] == nil)
        #expect(c.dropped.sorted() == ["metadata", "prediction", "prompt_cache_key", "safety_identifier", "service_tier", "store"])
        c.value.extras = [Extra(.root, 0, key: JSONBytes("web_search_options"), value: JSONBytes("{}"))]
        #expect(c.written()["refused"] as? String == "web_search_options")
    }

    @Test func userTierStopAndStreamHaveTheirPlaces() {
        let c = ForeignConversation().say(.user, "x")
        c.value.user = JSONBytes("u1")
        c.value.serviceTier = JSONBytes("default")
        c.value.stop = [JSONBytes("END")]
        c.value.topK = JSONBytes("5")
        let out = c.written(stream: true)
        #expect(same(out["metadata"], #"{"user_id":"u1"}"#) == [] && out["service_tier"] as? String == "standard_only" && out["stream"] as? Bool == true)
        #expect(same(out["stop_sequences"], #"["END"]"#) == [] && out["top_k"] as? Int == 5)
        c.value.serviceTier = JSONBytes("auto")
        #expect(c.written()["service_tier"] as? String == "auto")
    }

    // MARK: formats

    @Test func aSchemaIsTheFormatWhereTheModelKnowsIt() {
        let c = ForeignConversation().say(.system, "be brief").say(.user, "x")
        c.value.format.kind = .jsonSchema
        c.value.format.name = JSONBytes("n")
        c.value.format.schema = JSONBytes(#"{"type":"object","additionalProperties":false}"#)
        let out = c.written()
        #expect(same(out["output_config"], #"{"format":{"type":"json_schema","schema":{"type":"object","additionalProperties":false}}}"#) == [])
        #expect(out["system"] as? String == "be brief")
        // An older model is told in words.
        let old = c.written(model: "claude-3-5-sonnet-20240620")
        let system = old["system"] as? [[String: Any]]
        #expect(old["output_config"] == nil && (system?[1]["text"] as? String ?? "").hasSuffix(#"The schema: {"type":"object","additionalProperties":false}"#))
    }

    @Test func anyJSONIsASentenceInTheInstructions() {
        let c = ForeignConversation().say(.user, "x")
        c.value.format.kind = .jsonObject
        let out = c.written()
        #expect((out["system"] as? String ?? "").hasPrefix("Answer with one JSON object") && out["output_config"] == nil)
    }
}
