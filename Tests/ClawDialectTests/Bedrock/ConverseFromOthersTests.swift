@testable import ClawDialect
import ClawWire
import Foundation
import Testing

/// Requests of other dialects, in Converse's words.
@Suite struct ConverseFromOthersTests {
    @Test func instructionsAreGatheredBesideTheMessages() throws {
        let body = try converseRequest {
            try $0.say(.system, "one")
            try $0.say(.user, "hi")
            try $0.say(.developer, "two")
            try $0.say(.user, "again")
        }.body
        #expect(try expectEqual(body, "{\"system\":[{\"text\":\"one\"},{\"text\":\"two\"}],\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"},{\"text\":\"again\"}]}]}") == [])
    }

    @Test func blankTextsAreLeftOutAndTurnsStillAlternate() throws {
        let body = try converseRequest {
            try $0.say(.user, "hi")
            try $0.say(.assistant, " \\n\\t")
            try $0.say(.user, "")
            try $0.say(.user, "there")
            try $0.say(.system, "  ")
        }.body
        #expect(try expectEqual(body, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"},{\"text\":\"there\"}]}]}") == [])
        #expect(performing { _ = try converseRequest { try $0.say(.user, "\\n") } } == "messages: at least one message must have content")
    }

    @Test func firstTurnMustBeTheUsers() throws {
        #expect(performing { _ = try converseRequest { try $0.say(.assistant, "x"); try $0.say(.user, "y") } }?.contains("the first message must be the user's") == true)
        let dropped = try converseRequest(drops: true) { try $0.say(.assistant, "x"); try $0.say(.user, "y") }
        #expect((dropped.body["messages"] as? [Any])?.count == 1 && dropped.dropped == ["messages"])
    }

    @Test func resultsOfToolsStandFirstInOneMessage() throws {
        let body = try converseRequest {
            try $0.say(.user, "go")
            try $0.begin(.assistant)
            try $0.call("call 1/x", "f", "{\\\"a\\\":12345678901234567890}")
            try $0.call("b", "g", "")
            try $0.result("call 1/x", "{\\\"ok\\\": true}")
            try $0.result("b", "plain", isError: true)
            try $0.say(.user, "and?")
            $0.declare("f")
            $0.declare("g")
        }.body
        let messages = try #require(body["messages"] as? [[String: Any]])
        #expect(messages.map { $0["role"] as? String } == ["user", "assistant", "user"])
        let calls = try #require(messages[1]["content"] as? [[String: [String: Any]]])
        let id = try #require(calls[0]["toolUse"]?["toolUseId"] as? String)
        #expect(id.range(of: "^[a-zA-Z0-9_.:-]{1,64}$", options: .regularExpression) != nil && id != "call 1/x")
        let input = try #require(calls[0]["toolUse"]?["input"] as? [String: Any])
        #expect("\(input["a"] ?? "")" == "12345678901234567890")
        #expect((calls[1]["toolUse"]?["input"] as? [String: Any])?.isEmpty == true)
        #expect(try expectEqual(messages[2]["content"], """
            [{"toolResult":{"toolUseId":"\(id)","content":[{"json":{"ok":true}}]}},{"toolResult":{"toolUseId":"b","content":[{"text":"plain"}],"status":"error"}},{"text":"and?"}]
            """) == [])
    }

    @Test func aResultOfBlankTextOrAnArrayIsStillAResult() throws {
        for (text, content) in [("" as StaticString, "[{\"json\":{}}]"), (" ", "[{\"json\":{}}]"), ("[1]", "[{\"text\":\"[1]\"}]"), ("{broken", "[{\"text\":\"{broken\"}]")] {
            let body = try converseRequest {
                try $0.say(.user, "go")
                try $0.begin(.assistant)
                try $0.call("a", "f", "{}")
                try $0.result("a", text)
                $0.declare("f")
            }.body
            let last = (body["messages"] as? [[String: Any]])?.last?["content"] as? [[String: [String: Any]]]
            #expect(try expectEqual(last?.first?["toolResult"]?["content"], content) == [])
        }
    }

    @Test func argumentsThatAreNoObjectAreRefused() {
        #expect(performing { _ = try converseRequest { try $0.say(.user, "x"); try $0.begin(.assistant); try $0.call("a", "f", "[1]") } }?.contains("arguments: must be a JSON object") == true)
    }

    @Test func toolsHaveASchemaAndNoEmptyDescription() throws {
        let body = try converseRequest {
            try $0.say(.user, "x")
            $0.declare("f", "")
            $0.declare("g", "does g", schema: "{\"type\":\"object\",\"properties\":{\"a\":{}}}")
            $0.tools[1].strict = true
        }.body
        #expect(try expectEqual(body["toolConfig"], """
            {"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{}}}}},
            {"toolSpec":{"name":"g","description":"does g","inputSchema":{"json":{"type":"object","properties":{"a":{}}}},"strict":true}}]}
            """) == [])
    }

    @Test func toolChoiceHasThreeWordsAndNone() throws {
        func config(_ choice: ToolChoice, history: Bool = false, tools: Bool = true) throws -> [String: Any] {
            try converseRequest {
                try $0.say(.user, "x")
                if history {
                    try $0.begin(.assistant)
                    try $0.call("a", "old", "{}")
                    try $0.call("b", "old", "{}")
                    try $0.result("a", "r")
                    try $0.result("b", "r")
                }
                if tools { $0.declare("f") }
                $0.toolChoice = choice
            }.body
        }
        func choice(_ body: [String: Any]) -> [String: Any]? { (body["toolConfig"] as? [String: Any])?["toolChoice"] as? [String: Any] }
        #expect(try choice(config(.unset)) == nil)
        #expect(try expectEqual(choice(config(.auto)), "{\"auto\":{}}") == [])
        #expect(try expectEqual(choice(config(.required)), "{\"any\":{}}") == [])
        #expect(try expectEqual(choice(config(.tool(JSONBytes("f")))), "{\"tool\":{\"name\":\"f\"}}") == [])
        // None: no tools at all …
        #expect(try config(.none)["toolConfig"] == nil)
        // … unless the history has some: then they must be declared, and the model is told.
        let told = try config(.none, history: true)
        #expect(try expectEqual(choice(told), "{\"auto\":{}}") == [])
        #expect(try expectEqual(told["system"], "[{\"text\":\"Do not use any tool. Answer with text.\"}]") == [])
        let none = try config(.unset, history: true, tools: false)
        #expect(try expectEqual(none["toolConfig"], "{\"tools\":[{\"toolSpec\":{\"name\":\"old\",\"inputSchema\":{\"json\":{\"type\":\"object\",\"properties\":{}}}}}],\"toolChoice\":{\"auto\":{}}}") == [])
        #expect((none["system"] as? [Any])?.count == 1)
        #expect(performing { _ = try config(.required, tools: false) }?.hasPrefix("tool_choice: ") == true)
        // With tools and history nothing is forbidden.
        #expect(try config(.unset, history: true)["system"] == nil)
    }

    @Test func optionsHaveConversesNames() throws {
        let body = try converseRequest {
            try $0.say(.user, "x")
            $0.maxTokens = 100
            $0.temperature = JSONBytes("0.50")
            $0.topP = JSONBytes("0.9")
            $0.stop = [JSONBytes("a"), JSONBytes("b")]
            $0.topK = JSONBytes("5")
            $0.serviceTier = JSONBytes("flex")
            $0.n = 1
            $0.presencePenalty = JSONBytes("0")
            $0.frequencyPenalty = JSONBytes("null")
            $0.logprobs = false
            $0.logitBias = JSONBytes("{}")
            $0.parallelToolCalls = true
        }.body
        #expect(try expectEqual(body, """
            {"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":100,"temperature":0.5,"topP":0.9,"stopSequences":["a","b"]},
            "additionalModelRequestFields":{"top_k":5},"serviceTier":{"type":"flex"}}
            """) == [])
        for (model, field) in [("us.amazon.nova-pro-v1:0" as StaticString, "{\"inferenceConfig\":{\"topK\":5}}"), ("cohere.command-r-v1:0", "{\"k\":5}"), ("mistral.mistral-large-2407-v1:0", "{\"top_k\":5}")] {
            let body = try converseRequest(model: model) { try $0.say(.user, "x"); $0.topK = JSONBytes("5") }.body
            #expect(try expectEqual(body["additionalModelRequestFields"], field) == [])
        }
        #expect(performing { _ = try converseRequest(model: "meta.llama3-8b-instruct-v1:0") { try $0.say(.user, "x"); $0.topK = JSONBytes("5") } }?.hasPrefix("top_k: ") == true)
        #expect(performing { _ = try converseRequest { try $0.say(.user, "x"); $0.temperature = JSONBytes("1.5") } }?.hasPrefix("temperature: must be at most 1") == true)
        let clamped = try converseRequest(drops: true) { try $0.say(.user, "x"); $0.temperature = JSONBytes("1.5") }
        #expect(try expectEqual(clamped.body["inferenceConfig"], "{\"temperature\":1}") == [] && clamped.dropped == ["temperature"])
    }

    static let cannot: [(String, @Sendable (Conversation) -> Void)] = [
        ("n", { $0.n = 2 }), ("seed", { $0.seed = JSONBytes("1") }), ("min_p", { $0.minP = JSONBytes("0.1") }), ("presence_penalty", { $0.presencePenalty = JSONBytes("1") }),
        ("frequency_penalty", { $0.frequencyPenalty = JSONBytes("-1") }), ("logprobs", { $0.logprobs = true }), ("top_logprobs", { $0.topLogprobs = 3 }),
        ("logit_bias", { $0.logitBias = JSONBytes("{\"1\":2}") }), ("modalities", { $0.modalities = JSONBytes("[\"text\",\"audio\"]") }), ("audio", { $0.audio = JSONBytes("{}") }),
        ("prediction", { $0.prediction = JSONBytes("{}") }), ("verbosity", { $0.verbosity = JSONBytes("low") }), ("previous_response_id", { $0.previousResponseID = JSONBytes("r") }),
        ("parallel_tool_calls", { $0.parallelToolCalls = false; $0.declare("f") }), ("tools[].type", { $0.tools.append(Tool()); $0.tools[0].kind = .hosted }),
        ("tools[].custom", { $0.tools.append(Tool()); $0.tools[0].kind = .custom }), ("messages[].name", { $0.messages[0].name = JSONBytes("bob") }),
        ("web", { $0.extras.append(Extra(.root, 0, key: JSONBytes("web"), value: JSONBytes("{}"))) }),
    ]

    @Test(arguments: cannot) func whatItHasNoWordForIsRefusedOrDroppedByName(_ one: (field: String, set: @Sendable (Conversation) -> Void)) throws {
        #expect(performing { _ = try converseRequest { try $0.say(.user, "x"); one.set($0) } }?.hasPrefix(one.field + ": ") == true)
        let dropped = try converseRequest(drops: true) { try $0.say(.user, "x"); one.set($0) }
        #expect(dropped.dropped == [one.field] && dropped.body["messages"] != nil)
    }

    @Test func hintsAreDroppedByName() throws {
        let out = try converseRequest(model: "meta.llama3-8b-instruct-v1:0") {
            try $0.say(.user, "x")
            $0.parts[0].cache = .fiveMinutes
            $0.user = JSONBytes("u")
            $0.metadata = JSONBytes("{}")
            $0.store = true
            $0.promptCacheKey = JSONBytes("k")
            $0.serviceTier = JSONBytes("scale")
            $0.extras.append(Extra(.nested, Conversation.hintIndex, key: JSONBytes("safety_identifier"), value: JSONBytes("\"s\"")))
        }
        #expect(Set(out.dropped) == ["cache_control", "user", "metadata", "store", "prompt_cache_key", "service_tier", "safety_identifier"])
        #expect(try expectEqual(out.body, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}") == [])
    }

    @Test func cacheMarksBecomeCachePointsWhereTheModelHasThem() throws {
        let body = try converseRequest {
            try $0.say(.system, "s")
            $0.parts[0].cache = .oneHour
            try $0.say(.user, "x")
            $0.parts[1].cache = .fiveMinutes
            $0.declare("f")
            $0.tools[0].cache = .fiveMinutes
            $0.cache = .fiveMinutes
        }.body
        #expect(try expectEqual(body["system"], "[{\"text\":\"s\"},{\"cachePoint\":{\"type\":\"default\",\"ttl\":\"1h\"}}]") == [])
        #expect(try expectEqual((body["messages"] as? [[String: Any]])?[0]["content"], "[{\"text\":\"x\"},{\"cachePoint\":{\"type\":\"default\"}},{\"cachePoint\":{\"type\":\"default\"}}]") == [])
        #expect(((body["toolConfig"] as? [String: Any])?["tools"] as? [Any])?.count == 2)
        let nova = try converseRequest(model: "amazon.nova-lite-v1:0") { try $0.say(.user, "x"); $0.parts[0].cache = .oneHour }
        #expect(try expectEqual((nova.body["messages"] as? [[String: Any]])?[0]["content"], "[{\"text\":\"x\"},{\"cachePoint\":{\"type\":\"default\"}}]") == [] && nova.dropped == ["cache_control"])
    }

    @Test func imagesAndFilesCarryBytesAndNeverURLs() throws {
        func media(_ kind: Part.Kind, _ type: StaticString, _ source: Part.Source, _ data: StaticString = "aGk=", name: StaticString = "r.pdf") throws -> Any? {
            let body = try converseRequest {
                try $0.say(.user, "look")
                var part = Part(kind)
                part.mediaType = JSONBytes(type)
                part.source = source
                part.data = JSONBytes(data)
                part.name = JSONBytes(name)
                part.detail = JSONBytes("auto")
                try $0.add(part)
            }.body
            return ((body["messages"] as? [[String: Any]])?[0]["content"] as? [Any])?.last
        }
        for (type, format) in [("image/png" as StaticString, "png"), ("image/JPEG", "jpeg"), ("image/jpg", "jpeg"), ("image/gif", "gif"), ("image/webp", "webp")] {
            #expect(try expectEqual(media(.image, type, .base64), "{\"image\":{\"format\":\"\(format)\",\"source\":{\"bytes\":\"aGk=\"}}}") == [])
        }
        #expect(try expectEqual(media(.image, "image/png", .url, "s3://b/k"), "{\"image\":{\"format\":\"png\",\"source\":{\"s3Location\":{\"uri\":\"s3://b/k\"}}}}") == [])
        #expect(performing { _ = try media(.image, "image/png", .url, "https://x/y.png") }?.contains("fetches no URLs") == true)
        #expect(performing { _ = try media(.image, "", .fileID, "file-1") }?.contains("bytes themselves") == true)
        #expect(performing { _ = try media(.image, "image/tiff", .base64) }?.contains("media type") == true)
        #expect(try expectEqual(media(.document, "application/pdf", .base64, name: "My  report_v1.2.pdf"), "{\"document\":{\"name\":\"My-report-v1-2-1\",\"format\":\"pdf\",\"source\":{\"bytes\":\"aGk=\"}}}") == [])
        #expect(try expectEqual(media(.document, "", .base64, name: "x.xlsx"), "{\"document\":{\"name\":\"x-1\",\"format\":\"xlsx\",\"source\":{\"bytes\":\"aGk=\"}}}") == [])
        #expect(try expectEqual(media(.document, "text/plain", .text, "words", name: "é"), "{\"document\":{\"name\":\"document-1\",\"format\":\"txt\",\"source\":{\"text\":\"words\"}}}") == [])
        #expect(try expectEqual(media(.audio, "audio/wav", .base64), "{\"audio\":{\"format\":\"wav\",\"source\":{\"bytes\":\"aGk=\"}}}") == [])
        #expect(try expectEqual(media(.video, "video/3gpp", .base64), "{\"video\":{\"format\":\"three_gp\",\"source\":{\"bytes\":\"aGk=\"}}}") == [])
        let alone = performing { _ = try converseRequest { try $0.begin(.user); var part = Part(.document); part.mediaType = JSONBytes("application/pdf"); part.source = .base64; part.data = JSONBytes("aGk="); try $0.add(part) } }
        #expect(alone?.contains("needs a text beside it") == true)
    }

    @Test func documentNamesAreShortAndWithinTheAlphabet() throws {
        let long = Held([UInt8](repeating: 0x61, count: 500))
        var arena = JSONArena()
        for name in [JSONBytes(long.bytes), JSONBytes(""), JSONBytes(".pdf"), JSONBytes("a.b.c"), JSONBytes("a\\\"\\u00e9\\n(b)[c]")] {
            let made = ConverseDialect.documentName(name, 123_456, &arena).string
            #expect(made.range(of: "^[A-Za-z0-9()\\[\\]-]{1,200}$", options: .regularExpression) != nil && made.hasSuffix("-123456"), "\(made)")
        }
    }

    @Test func schemasTravelAsStringsOrAsInstructions() throws {
        func ask(_ model: StaticString, quirks: Quirks = Quirks(), _ kind: ResponseFormat.Kind = .jsonSchema) throws -> [String: Any] {
            try converseRequest(model: model, quirks: quirks) {
                try $0.say(.user, "x")
                $0.format.kind = kind
                $0.format.name = JSONBytes("n")
                $0.format.schema = JSONBytes("{\"type\": \"object\"}")
            }.body
        }
        for model in ["us.anthropic.claude-haiku-4-5-20251001-v1:0", "openai.gpt-oss-120b-1:0", "qwen.qwen3-32b-v1:0", "anthropic.claude-opus-4-6-v1"] as [StaticString] {
            #expect(try expectEqual(ask(model)["outputConfig"], "{\"textFormat\":{\"type\":\"json_schema\",\"structure\":{\"jsonSchema\":{\"schema\":\"{\\\"type\\\": \\\"object\\\"}\",\"name\":\"n\"}}}}") == [])
        }
        var lacking = Quirks()
        lacking.hasNoSchemas = true
        for body in [try ask("anthropic.claude-3-7-sonnet-20250219-v1:0"), try ask("amazon.nova-pro-v1:0"), try ask("openai.gpt-oss-20b-1:0", quirks: lacking)] {
            #expect(body["outputConfig"] == nil)
            #expect(((body["system"] as? [[String: Any]])?.last?["text"] as? String)?.hasSuffix("JSON Schema: {\"type\": \"object\"}") == true)
        }
        #expect(try expectEqual(ask("amazon.nova-pro-v1:0", .jsonObject)["system"], "[{\"text\":\"Answer with one JSON object and nothing else.\"}]") == [])
        #expect(try ask("amazon.nova-pro-v1:0", .text)["system"] == nil)
    }

    static let thinking: [(StaticString, Reasoning.Effort, Int64?, Bool?, String, String?)] = [
        ("anthropic.claude-sonnet-4-20250514-v1:0", .low, nil, nil, "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}}", nil),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", .high, nil, nil, "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":3999}}", nil),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", .unset, 100, nil, "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}}", nil),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", .unset, 2000, nil, "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}}", nil),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", .none, nil, nil, "{\"thinking\":{\"type\":\"disabled\"}}", nil),
        ("us.anthropic.claude-opus-4-6-v1", .high, nil, nil, "{\"thinking\":{\"type\":\"adaptive\"}}", "high"),
        ("us.anthropic.claude-opus-4-6-v1", .xhigh, nil, nil, "{\"thinking\":{\"type\":\"adaptive\"}}", "high"),
        ("us.anthropic.claude-opus-4-7", .xhigh, nil, nil, "{\"thinking\":{\"type\":\"adaptive\"}}", "xhigh"),
        ("us.anthropic.claude-opus-4-7", .unset, 20000, nil, "{\"thinking\":{\"type\":\"adaptive\"}}", "high"),
        ("us.anthropic.claude-opus-4-6-v1", .unset, nil, true, "{\"thinking\":{\"type\":\"adaptive\"}}", nil),
        ("us.amazon.nova-2-lite-v1:0", .medium, nil, nil, "{\"reasoningConfig\":{\"type\":\"enabled\",\"maxReasoningEffort\":\"medium\"}}", nil),
        ("us.amazon.nova-2-lite-v1:0", .none, nil, nil, "{\"reasoningConfig\":{\"type\":\"disabled\"}}", nil),
        ("openai.gpt-oss-120b-1:0", .minimal, nil, nil, "{\"reasoning_effort\":\"low\"}", nil),
        ("openai.gpt-oss-120b-1:0", .max, nil, nil, "{\"reasoning_effort\":\"high\"}", nil),
    ]

    @Test(arguments: thinking) func effortIsSaidInTheMakersWords(_ one: (model: StaticString, effort: Reasoning.Effort, budget: Int64?, isEnabled: Bool?, fields: String, word: String?)) throws {
        let body = try converseRequest(model: one.model) {
            try $0.say(.user, "x")
            $0.maxTokens = 4000
            $0.reasoning.effort = one.effort
            $0.reasoning.budget = one.budget
            $0.reasoning.isEnabled = one.isEnabled
        }.body
        #expect(try expectEqual(body["additionalModelRequestFields"], one.fields) == [])
        #expect((body["outputConfig"] as? [String: Any])?["effort"] as? String == one.word)
    }

    @Test func thinkingThatCannotBeIsRefused() {
        for (model, effort) in [("amazon.nova-micro-v1:0" as StaticString, Reasoning.Effort.low), ("anthropic.claude-3-haiku-20240307-v1:0", .low), ("meta.llama3-8b", .high), ("openai.gpt-oss-20b-1:0", .none)] {
            #expect(performing { _ = try converseRequest(model: model) { try $0.say(.user, "x"); $0.reasoning.effort = effort } }?.hasPrefix("reasoning_effort: ") == true)
        }
        #expect(performing { _ = try converseRequest(model: "anthropic.claude-3-7-sonnet") { try $0.say(.user, "x"); $0.reasoning.effort = .low; $0.maxTokens = 1000 } }?.contains("1024") == true)
        #expect(performing { _ = try converseRequest { try $0.say(.user, "x"); $0.reasoning.effort = .low; $0.temperature = JSONBytes("0") } }?.hasPrefix("temperature: ") == true)
        #expect(performing { _ = try converseRequest { try $0.say(.user, "x"); $0.reasoning.effort = .low; $0.topK = JSONBytes("4") } }?.hasPrefix("top_k: ") == true)
        #expect(performing { _ = try converseRequest(model: "anthropic.claude-v2") { try $0.say(.user, "x"); $0.reasoning.effort = .none } } == nil)
    }

    @Test func onlyBedrocksOwnSignaturesGoThere() throws {
        let out = try converseRequest {
            try $0.say(.user, "x")
            try $0.begin(.assistant)
            for (signature, maker) in [("own" as StaticString, DialectID.converse), ("foreign", .messages), ("", .converse)] {
                var part = Part(.thinking)
                part.text = JSONBytes("t")
                part.signature = JSONBytes(signature)
                part.signatureOf = maker
                try $0.add(part)
            }
            for (data, maker) in [("b3du" as StaticString, DialectID.converse), ("Zm9y", .messages)] {
                var part = Part(.redactedThinking)
                part.data = JSONBytes(data)
                part.signatureOf = maker
                try $0.add(part)
            }
            try $0.add(.text(JSONBytes("said")))
        }
        #expect(try expectEqual((out.body["messages"] as? [[String: Any]])?[1]["content"], """
            [{"reasoningContent":{"reasoningText":{"text":"t","signature":"own"}}},{"reasoningContent":{"redactedContent":"b3du"}},{"text":"said"}]
            """) == [])
        #expect(out.dropped == ["messages[].reasoning_content"])
    }

    @Test func fieldsThatQuirksLackAreRefused() {
        var quirks = Quirks()
        quirks.lacks(.topP, .stop)
        #expect(performing { _ = try converseRequest(quirks: quirks) { try $0.say(.user, "x"); $0.topP = JSONBytes("1") } }?.hasPrefix("top_p: ") == true)
        #expect(performing { _ = try converseRequest(quirks: quirks) { try $0.say(.user, "x"); $0.stop = [JSONBytes("a")] } }?.hasPrefix("stop: ") == true)
    }
}
