// Requests of other dialects in Gemini's words: the table of the provider's document, and what cannot be said there.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct GeminiRequestWriterTests {
    private func text(_ value: Any?) -> String {
        guard let value, let data = try? JSONSerialization.data(withJSONObject: value, options: [.sortedKeys, .fragmentsAllowed, .withoutEscapingSlashes]) else { return "absent" }
        return String(decoding: data, as: UTF8.self)
    }

    private func call(_ name: String, _ id: String, _ arguments: String = "{}", signature: String? = nil) -> Part {
        var part = Part(.toolCall)
        part.name = words(name)
        part.id = words(id)
        part.text = words(arguments.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\""))
        if let signature {
            part.signature = words(signature)
            part.signatureOf = .gemini
        }
        return part
    }

    private func add(_ conversation: Conversation, result: String, of id: String, isError: Bool = false, image: Bool = false) throws {
        let start = conversation.inner.count
        conversation.inner.append(.text(words(result)))
        if image {
            var picture = Part(.image)
            picture.source = .base64
            picture.mediaType = JSONBytes("image/png")
            picture.data = JSONBytes("AAAA")
            conversation.inner.append(picture)
        }
        var part = Part(.toolResult)
        part.id = words(id)
        part.isError = isError
        try conversation.begin(.tool)
        try conversation.add(result: part, from: start)
    }

    @Test func instructionsAreJoinedAndRolesAreTwo() throws {
        let (body, _) = try geminiRequest { one in
            for (role, said) in [(Role.system, "a"), (.user, "u"), (.developer, "b"), (.user, ""), (.user, "v"), (.assistant, "m"), (.user, "w")] {
                try one.begin(role)
                try one.add(.text(words(said)))
            }
        }
        #expect(text(body["systemInstruction"]) == #"{"parts":[{"text":"a"},{"text":"b"}]}"#)
        #expect(text(body["contents"]) == #"[{"parts":[{"text":"u"},{"text":"v"}],"role":"user"},{"parts":[{"text":"m"}],"role":"model"},{"parts":[{"text":"w"}],"role":"user"}]"#)
        #expect(body["generationConfig"] == nil)
        #expect(body["toolConfig"] == nil)
    }

    @Test func contentWithoutPartsIsNeverSent() throws {
        let (body, _) = try geminiRequest { one in
            try one.begin(.user)
            try one.add(.text(words("u")))
            try one.begin(.assistant)
            try one.add(.text(words("")))
            try one.begin(.user)
            try one.add(.text(words("v")))
        }
        #expect(text(body["contents"]) == #"[{"parts":[{"text":"u"},{"text":"v"}],"role":"user"}]"#)
        #expect(throws: TestFailure.self) {
            try geminiRequest { one in
                try one.begin(.system)
                try one.add(.text(words("s")))
            }
        }
    }

    @Test func resultsOfOneTurnStandInOneContentWithTheirFunctionsNames() throws {
        let (body, _) = try geminiRequest { one in
            try one.begin(.user)
            try one.add(.text(words("go")))
            try one.begin(.assistant)
            try one.add(call("f", "1", #"{"n":12345678901234567890}"#))
            try one.add(call("g", "2", ""))
            try add(one, result: "it\\nis", of: "1")
            try add(one, result: #"{\"a\":1}"#, of: "2")
        }
        let contents = try #require(body["contents"] as? [Any])
        #expect(contents.count == 3)
        #expect(text(contents[1]) == #"{"parts":[{"functionCall":{"args":{"n":12345678901234567890},"id":"1","name":"f"}},{"functionCall":{"args":{},"id":"2","name":"g"}}],"role":"model"}"#)
        #expect(text(contents[2]) == #"{"parts":[{"functionResponse":{"id":"1","name":"f","response":{"result":"it\nis"}}},{"functionResponse":{"id":"2","name":"g","response":{"a":1}}}],"role":"user"}"#)
    }

    @Test func errorsAndPicturesOfResults() throws {
        func result(_ model: String, image: Bool, drops: Bool = false) throws -> String {
            let (body, _) = try geminiRequest(model: model, drops: drops) { one in
                try one.begin(.assistant)
                try one.add(call("f", "1", signature: "c2ln"))
                try add(one, result: "no", of: "1", isError: true, image: image)
            }
            return text((body["contents"] as? [Any])?.last)
        }
        #expect(try result("gemini-2.5-pro", image: false) == #"{"parts":[{"functionResponse":{"id":"1","name":"f","response":{"error":"no"}}}],"role":"user"}"#)
        #expect(try result("gemini-3-pro-preview", image: true).contains(#""parts":[{"inlineData":{"data":"AAAA","mimeType":"image/png"}}]"#))
        #expect(throws: TestFailure.self) { try result("gemini-2.5-pro", image: true) }
    }

    @Test func resultWithoutItsCallIsRefused() {
        let failure = #expect(throws: TestFailure.self) { try geminiRequest { one in try add(one, result: "x", of: "gone") } }
        #expect(failure?.description.hasPrefix("messages:") == true)
    }

    @Test func argumentsThatAreNoObjectAreRefusedOrDropped() throws {
        #expect(throws: TestFailure.self) {
            try geminiRequest { one in
                try one.begin(.assistant)
                try one.add(call("f", "1", "[1]"))
            }
        }
        let (body, dropped) = try geminiRequest(drops: true) { one in
            try one.begin(.assistant)
            try one.add(call("f", "1", "not json"))
        }
        #expect(dropped == ["messages[].tool_calls[].function.arguments"])
        #expect(text(body["contents"]).contains(#""args":{}"#))
    }

    @Test(arguments: [
        ("gemini-3-pro-preview", true), ("models/gemini-3.5-flash", true), ("gemini-flash-latest", true), ("gemini-2.5-pro", false), ("gemini-2.0-flash", false),
    ])
    func missingSignatureIsStoodInForOnTheFirstCallOfEachTurn(_ model: String, _ isWanted: Bool) throws {
        let (body, _) = try geminiRequest(model: model) { one in
            try one.begin(.user)
            try one.add(.text(words("go")))
            for step in 0..<2 {
                try one.begin(.assistant)
                try one.add(call("f", "\(step)a"))
                try one.add(call("f", "\(step)b"))
                try add(one, result: "x", of: "\(step)a")
                try add(one, result: "x", of: "\(step)b")
            }
            try one.begin(.assistant)
            try one.add(call("f", "3", signature: "c2ln"))
            try one.add(call("f", "4"))
        }
        let signatures = (body["contents"] as? [[String: Any]] ?? []).filter { $0["role"] as? String == "model" }.map { content in
            (content["parts"] as? [[String: Any]] ?? []).map { $0["thoughtSignature"] as? String }
        }
        let dummy = isWanted ? "skip_thought_signature_validator" : nil
        #expect(signatures == [[dummy, nil], [dummy, nil], ["c2ln", nil]])
    }

    @Test func onlyItsOwnThoughtsAreSent() throws {
        let (body, dropped) = try geminiRequest { one in
            try one.begin(.assistant)
            for maker in [DialectID.gemini, .messages, nil] {
                var part = Part(.thinking)
                part.text = JSONBytes("hm")
                part.signatureOf = maker
                if maker != nil { part.signature = JSONBytes("c2ln") }
                try one.add(part)
            }
            try one.add(Part(.redactedThinking))
            var foreign = Part.text(words("a"))
            foreign.signature = JSONBytes("eHg=")
            foreign.signatureOf = .messages
            try one.add(foreign)
        }
        #expect(text(body["contents"]) == #"[{"parts":[{"text":"hm","thought":true,"thoughtSignature":"c2ln"},{"text":"a"}],"role":"model"}]"#)
        #expect(dropped == ["messages[].reasoning_content"])
    }

    @Test func mediaAreInlineOrFiles() throws {
        func write(_ kind: Part.Kind, _ source: Part.Source, _ data: String, _ type: String = "") throws -> String {
            let (body, _) = try geminiRequest { one in
                var part = Part(kind)
                part.source = source
                part.data = words(data)
                part.mediaType = words(type)
                try one.begin(.user)
                try one.add(part)
            }
            let parts = (body["contents"] as? [[String: Any]])?.first?["parts"] as? [Any]
            return text(parts?.first)
        }
        #expect(try write(.image, .base64, "AAAA", "image/jpeg") == #"{"inlineData":{"data":"AAAA","mimeType":"image/jpeg"}}"#)
        #expect(try write(.image, .url, "data:image/gif;base64,QUJD") == #"{"inlineData":{"data":"QUJD","mimeType":"image/gif"}}"#)
        #expect(try write(.image, .url, "https://x/y.jpg?z=1") == #"{"fileData":{"fileUri":"https://x/y.jpg?z=1","mimeType":"image/jpeg"}}"#)
        #expect(try write(.audio, .base64, "AAAA", "audio/wav") == #"{"inlineData":{"data":"AAAA","mimeType":"audio/wav"}}"#)
        #expect(try write(.document, .base64, "AAAA", "application/pdf") == #"{"inlineData":{"data":"AAAA","mimeType":"application/pdf"}}"#)
        #expect(try write(.document, .text, "plain") == #"{"text":"plain"}"#)
        #expect(throws: TestFailure.self) { try write(.document, .fileID, "file-1") }
    }

    @Test func toolsStandInOneEntryWithJSONSchema() throws {
        let (body, dropped) = try geminiRequest { one in
            var f = Tool()
            f.name = words("f")
            f.description = words("d")
            f.schema = words(##"{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}},"additionalProperties":false}"##)
            f.strict = true
            f.cache = .fiveMinutes
            var g = Tool()
            g.name = words("g")
            one.tools = [f, g]
        }
        #expect(text(body["tools"]) == ##"[{"functionDeclarations":[{"description":"d","name":"f","parametersJsonSchema":{"additionalProperties":false,"properties":{"a":{"$ref":"#/$defs/x"}},"type":"object"}},{"name":"g"}]}]"##)
        #expect(text(body["toolConfig"]) == #"{"functionCallingConfig":{"mode":"VALIDATED"}}"#)
        #expect(dropped == ["cache_control"])
    }

    @Test func toolChoices() throws {
        func config(_ choice: ToolChoice, model: String = "gemini-2.5-flash", strict: Bool? = nil) throws -> String {
            let (body, _) = try geminiRequest(model: model) { one in
                var f = Tool()
                f.name = words("f")
                f.strict = strict
                one.tools = [f]
                one.toolChoice = choice
            }
            return text((body["toolConfig"] as? [String: Any])?["functionCallingConfig"])
        }
        #expect(try config(.unset) == "absent")
        #expect(try config(.auto) == #"{"mode":"AUTO"}"#)
        #expect(try config(.none) == #"{"mode":"NONE"}"#)
        #expect(try config(.required) == #"{"mode":"ANY"}"#)
        #expect(try config(.tool(words("f"))) == #"{"allowedFunctionNames":["f"],"mode":"ANY"}"#)
        #expect(try config(.auto, strict: true) == #"{"mode":"VALIDATED"}"#)
        #expect(try config(.unset, model: "gemini-2.0-flash", strict: true) == "absent")
    }

    @Test(arguments: [
        ("gemini-2.5-flash", Reasoning.Effort.none, #"{"thinkingBudget":0}"#), ("gemini-2.5-flash", .low, #"{"includeThoughts":true,"thinkingBudget":1024}"#),
        ("gemini-2.5-flash", .medium, #"{"includeThoughts":true,"thinkingBudget":8192}"#), ("gemini-2.5-flash", .high, #"{"includeThoughts":true,"thinkingBudget":24576}"#),
        ("gemini-2.5-flash", .max, #"{"includeThoughts":true,"thinkingBudget":24576}"#), ("gemini-2.5-pro", .none, #"{"thinkingBudget":128}"#),
        ("gemini-2.5-pro", .max, #"{"includeThoughts":true,"thinkingBudget":32768}"#), ("gemini-2.5-flash-lite", .none, #"{"thinkingBudget":0}"#),
        ("gemini-2.5-flash-lite", .minimal, #"{"includeThoughts":true,"thinkingBudget":512}"#), ("gemini-3-flash-preview", .none, #"{"thinkingLevel":"MINIMAL"}"#),
        ("gemini-3-flash-preview", .medium, #"{"includeThoughts":true,"thinkingLevel":"MEDIUM"}"#), ("gemini-3-pro-preview", .none, #"{"thinkingLevel":"LOW"}"#),
        ("gemini-3-pro-preview", .medium, #"{"includeThoughts":true,"thinkingLevel":"HIGH"}"#), ("gemini-3.1-pro-preview", .medium, #"{"includeThoughts":true,"thinkingLevel":"MEDIUM"}"#),
        ("gemini-3.5-flash", .xhigh, #"{"includeThoughts":true,"thinkingLevel":"HIGH"}"#), ("gemini-2.0-flash", .none, "absent"),
        ("projects/p/locations/l/publishers/google/models/gemini-2.5-pro", .low, #"{"includeThoughts":true,"thinkingBudget":1024}"#),
    ])
    func effortIsALevelOrABudgetByModel(_ model: String, _ effort: Reasoning.Effort, _ wanted: String) throws {
        let (body, _) = try geminiRequest(model: model) { $0.reasoning.effort = effort }
        #expect(text((body["generationConfig"] as? [String: Any])?["thinkingConfig"]) == wanted)
    }

    @Test func budgetsAndSwitches() throws {
        func config(_ model: String, _ change: (inout Reasoning) -> Void) throws -> String {
            let (body, _) = try geminiRequest(model: model, source: .messages) { change(&$0.reasoning) }
            return text((body["generationConfig"] as? [String: Any])?["thinkingConfig"])
        }
        #expect(try config("gemini-2.5-flash") { $0.budget = 5000 } == #"{"includeThoughts":true,"thinkingBudget":5000}"#)
        #expect(try config("gemini-2.5-pro") { $0.budget = 1 } == #"{"includeThoughts":true,"thinkingBudget":128}"#)
        #expect(try config("gemini-2.5-flash") { $0.isEnabled = true } == #"{"includeThoughts":true,"thinkingBudget":-1}"#)
        #expect(try config("gemini-2.5-flash") { $0.isEnabled = false } == #"{"thinkingBudget":0}"#)
        #expect(try config("gemini-3-flash-preview") { $0.budget = 5000 } == #"{"includeThoughts":true,"thinkingLevel":"MEDIUM"}"#)
        #expect(try config("gemini-3-flash-preview") { $0.isEnabled = true } == #"{"includeThoughts":true}"#)
        #expect(try config("gemini-2.5-flash") { $0.effort = .low; $0.includesThoughts = false } == #"{"includeThoughts":false,"thinkingBudget":1024}"#)
        #expect(try config("gemini-2.5-flash") { _ in } == "absent")
        #expect(throws: TestFailure.self) { try config("gemini-2.0-flash") { $0.effort = .low } }
    }

    @Test func samplingAndFormats() throws {
        let (body, dropped) = try geminiRequest { one in
            one.temperature = words("0.5")
            one.topP = words("1")
            one.topK = words("3")
            one.n = 2
            one.maxTokens = 9
            one.stop = [words("a")]
            one.seed = words("7")
            one.presencePenalty = words("0")
            one.frequencyPenalty = words("1")
            one.logprobs = true
            one.topLogprobs = 2
            one.modalities = words(#"["text"]"#)
            one.format.kind = .jsonSchema
            one.format.name = words("n")
            one.format.schema = words(#"{"type":"object"}"#)
            one.user = words("u")
            one.metadata = words("{}")
            one.serviceTier = words("auto")
            one.store = true
            one.promptCacheKey = words("k")
        }
        #expect(text(body["generationConfig"]) == #"{"candidateCount":2,"frequencyPenalty":1,"logprobs":2,"maxOutputTokens":9,"presencePenalty":0,"responseJsonSchema":{"type":"object"},"responseLogprobs":true,"responseMimeType":"application/json","seed":7,"stopSequences":["a"],"temperature":0.5,"topK":3,"topP":1}"#)
        #expect(dropped == ["user", "metadata", "service_tier", "store", "prompt_cache_key"])
    }

    @Test func jsonWithToolsOnlyOnTheThirdGeneration() throws {
        func write(_ model: String) throws -> Any? {
            try geminiRequest(model: model) { one in
                var f = Tool()
                f.name = words("f")
                one.tools = [f]
                one.format.kind = .jsonObject
            }.body["generationConfig"]
        }
        #expect(text(try write("gemini-3-pro-preview")) == #"{"responseMimeType":"application/json"}"#)
        #expect(throws: TestFailure.self) { try write("gemini-2.5-pro") }
    }

    static let impossible: [(String, @Sendable (Conversation) -> Void)] = [
        ("min_p", { $0.minP = JSONBytes("0.1") }), ("logit_bias", { $0.logitBias = JSONBytes("{\"1\":1}") }), ("audio", { $0.audio = JSONBytes("{}") }),
        ("prediction", { $0.prediction = JSONBytes("{}") }), ("verbosity", { $0.verbosity = JSONBytes("low") }),
        ("previous_response_id", { $0.previousResponseID = JSONBytes("r") }), ("parallel_tool_calls", { $0.parallelToolCalls = false }),
        ("modalities", { $0.modalities = JSONBytes("[\"text\",\"audio\"]") }), ("stop", { $0.stop = Array(repeating: JSONBytes("x"), count: 6) }),
        ("tools[].type", { var tool = Tool(); tool.kind = .hosted; $0.tools = [tool] }), ("tools[].custom", { var tool = Tool(); tool.kind = .custom; $0.tools = [tool] }),
        ("foreign", { $0.extras.append(Extra(.root, 0, key: JSONBytes("foreign"), value: JSONBytes("1"))) }),
    ]

    @Test(arguments: impossible) func whatGeminiHasNoWordForIsRefusedOrDroppedByName(_ field: String, _ change: @Sendable (Conversation) -> Void) throws {
        do {
            _ = try geminiRequest { change($0) }
            Issue.record("\(field) was passed over")
        } catch let failure as TestFailure {
            #expect(failure.description.hasPrefix(field + ":"))
        }
        #expect(try geminiRequest(drops: true) { change($0) }.dropped == [field])
    }

    @Test func countsAreOfContentsAloneOrOfAll() throws {
        func count(_ build: (Conversation) throws -> Void) throws -> String {
            let one = Conversation()
            one.reset(source: .messages)
            try build(one)
            try one.begin(.user)
            try one.add(.text(words("hi")))
            var out = JSONWriter()
            try GeminiDialect.writeCount(one, to: Target(model: words("gemini-2.5-pro"), quirks: Quirks()), into: &out)
            return text(try parsed(Array(out.bytes)))
        }
        #expect(try count { _ in } == #"{"contents":[{"parts":[{"text":"hi"}],"role":"user"}]}"#)
        let all = try count { one in
            try one.begin(.system)
            try one.add(.text(words("s")))
        }
        #expect(all == #"{"generateContentRequest":{"contents":[{"parts":[{"text":"hi"}],"role":"user"}],"model":"models/gemini-2.5-pro","systemInstruction":{"parts":[{"text":"s"}]}}}"#)
        var out = JSONWriter()
        GeminiDialect.writeCountAnswer(31, into: &out)
        #expect(String(decoding: out.bytes, as: UTF8.self) == #"{"totalTokens":31}"#)
    }
}
