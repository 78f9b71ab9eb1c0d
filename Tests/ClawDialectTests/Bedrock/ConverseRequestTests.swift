import ClawDialect
import ClawWire
import Foundation
import Testing

@Suite struct ConverseRequestTests {
    @Test(.enabled(if: Recordings.isThere)) func recordedRequestsComeBackTheSame() throws {
        let all = Recordings.of("bedrock.converse", "bedrock.converse_stream")
        #expect(all.count == 20)
        for one in all {
            let again = try converseRequest(String(decoding: one.requestBody, as: UTF8.self))
            #expect(differences(try parsed(one.requestBody), again) == [], "\(one.id)")
        }
    }

    @Test func everyFieldComesBackInItsPlace() throws {
        let body = """
            {"messages":[{"role":"user","content":[{"text":"hi\\n\\"x\\""},{"cachePoint":{"type":"default","ttl":"1h"}},{"image":{"format":"png","source":{"bytes":"aGk="}}},
            {"image":{"format":"jpeg","source":{"s3Location":{"uri":"s3://b/k"}}}},{"image":{"format":"jpeg","source":{"s3Location":{"uri":"s3://b/k","bucketOwner":"1"}}}},
            {"document":{"name":"a b","format":"pdf","source":{"bytes":"aGk="},"citations":{"enabled":true}}},{"document":{"name":"c","format":"txt","source":{"text":"t"}}},
            {"document":{"name":"d","source":{"content":[{"text":"x"}]}}},{"video":{"format":"three_gp","source":{"bytes":"aGk="}}},{"audio":{"format":"wav","source":{"bytes":"aGk="}}},
            {"guardContent":{"text":{"text":"g"}}},{"searchResult":{"source":"s","title":"t","content":[{"text":"x"}]}},{"cachePoint":{"type":"default","ttl":"5m"}},{"tomorrow":{"a":1}}]},
            {"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"c2ln"}}},{"reasoningContent":{"redactedContent":"cmVk"}},
            {"toolUse":{"toolUseId":"t.1:a","name":"f","input":{"n":12345678901234567890},"type":"server_tool_use"}},
            {"citationsContent":{"content":[{"text":"c"}],"citations":[{"title":"x"}]}},{"citationsContent":{"content":[{"text":"c"},{"text":"d"}],"citations":[]}}]},
            {"role":"user","content":[{"toolResult":{"toolUseId":"t.1:a","content":[{"json":{"a":[1]}},{"text":""},{"image":{"format":"gif","source":{"bytes":"aGk="}}},{"searchResult":{}}],"status":"success"}},
            {"toolResult":{"toolUseId":"u","content":[],"status":"error"}},{"cachePoint":{"type":"default"}}]},{"role":"system","content":[{"text":"amid"}]},{"role":"user","content":[{"text":""}],"id":7}],
            "system":[{"text":"s"},{"cachePoint":{"type":"default"}},{"guardContent":{"text":{"text":"g"}}}],
            "inferenceConfig":{"maxTokens":9,"temperature":0.10,"topP":1e-1,"stopSequences":["|"],"new":1},
            "toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object"}},"strict":false,"x":1}},{"cachePoint":{"type":"default"}},{"systemTool":{"name":"nova_grounding"}}],
            "toolChoice":{"tool":{"name":"f"}},"y":2},"additionalModelRequestFields":{"top_k":3,"thinking":{"type":"enabled","budget_tokens":2000}},
            "outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\\"type\\": \\"object\\"}","name":"n","description":"d"}}},"effort":"max"},
            "guardrailConfig":{"guardrailIdentifier":"g"},"performanceConfig":{"latency":"optimized"},"serviceTier":{"type":"reserved"},"requestMetadata":{"a":"b"},
            "promptVariables":{"v":{"text":"x"}},"additionalModelResponseFieldPaths":["/stop_sequence"]}
            """
        #expect(differences(try parsed(body), try converseRequest(body)) == [])
        for choice in ["{\"auto\":{}}", "{\"any\":{}}"] {
            let other = "{\"messages\":[],\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":{}}}}],\"toolChoice\":\(choice)},\"outputConfig\":{\"effort\":\"ultra\"},\"system\":[]}"
            #expect(differences(try parsed(other), try converseRequest(other)) == [])
        }
    }

    static let bad: [(String, String)] = [
        ("[]", "messages"), ("{}", "messages"), ("{\"messages\":{}}", "messages"), ("{\"messages\":[1]}", "messages[]"),
        ("{\"messages\":[{\"role\":\"tool\",\"content\":[]}]}", "messages[].role"), ("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "messages[].content"),
        ("{\"messages\":[],\"messages\":[]}", "messages"), ("{\"messages\":[],\"system\":\"x\"}", "system"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}", "messages[].content[]"), ("{\"messages\":[{\"role\":\"user\",\"content\":[{}]}]}", "messages[].content[]"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\",\"image\":{}}]}]}", "messages[].content[]"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":1}]}]}", "messages[].content[].text"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":[{\"image\":1}]}]}", "messages[].content[]"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":[{\"image\":{\"format\":\"png\"}}]}]}", "messages[].content[].*.source"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":[{\"image\":{\"format\":1,\"source\":{}}}]}]}", "messages[].content[].*.format"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":[{\"image\":{\"format\":\"png\",\"source\":{\"bytes\":1}}}]}]}", "messages[].content[].*.source.bytes"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":[{\"document\":{\"format\":\"pdf\",\"source\":{\"bytes\":\"\"}}}]}]}", "messages[].content[].document.name"),
        ("{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"toolUse\":{\"name\":\"f\",\"input\":{}}}]}]}", "messages[].content[].toolUse.toolUseId"),
        ("{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"toolUse\":{\"toolUseId\":\"f\",\"input\":{}}}]}]}", "messages[].content[].toolUse.name"),
        ("{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"toolUse\":{\"toolUseId\":\"f\",\"name\":\"f\",\"input\":\"{}\"}}]}]}", "messages[].content[].toolUse.input"),
        ("{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"reasoningContent\":{\"reasoningText\":{\"text\":1}}}]}]}", "messages[].content[].reasoningContent.reasoningText.text"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":[{\"toolResult\":{\"content\":[]}}]}]}", "messages[].content[].toolResult.toolUseId"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":[{\"toolResult\":{\"toolUseId\":\"a\",\"content\":\"x\"}}]}]}", "messages[].content[].toolResult.content"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":[{\"toolResult\":{\"toolUseId\":\"a\",\"content\":[],\"status\":\"bad\"}}]}]}", "messages[].content[].toolResult.status"),
        ("{\"messages\":[],\"inferenceConfig\":1}", "inferenceConfig"), ("{\"messages\":[],\"inferenceConfig\":{\"maxTokens\":\"1\"}}", "inferenceConfig.maxTokens"),
        ("{\"messages\":[],\"inferenceConfig\":{\"maxTokens\":0}}", "inferenceConfig.maxTokens"), ("{\"messages\":[],\"inferenceConfig\":{\"maxTokens\":1.5}}", "inferenceConfig.maxTokens"),
        ("{\"messages\":[],\"inferenceConfig\":{\"temperature\":true}}", "inferenceConfig.temperature"), ("{\"messages\":[],\"inferenceConfig\":{\"topP\":\"1\"}}", "inferenceConfig.topP"),
        ("{\"messages\":[],\"inferenceConfig\":{\"stopSequences\":\"x\"}}", "inferenceConfig.stopSequences"),
        ("{\"messages\":[],\"inferenceConfig\":{\"stopSequences\":[1]}}", "inferenceConfig.stopSequences"),
        ("{\"messages\":[],\"toolConfig\":[]}", "toolConfig"), ("{\"messages\":[],\"toolConfig\":{\"tools\":[]}}", "toolConfig.tools"),
        ("{\"messages\":[],\"toolConfig\":{\"tools\":[1]}}", "toolConfig.tools[]"),
        ("{\"messages\":[],\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"inputSchema\":{\"json\":{}}}}]}}", "toolConfig.tools[].toolSpec.name"),
        ("{\"messages\":[],\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\"}}]}}", "toolConfig.tools[].toolSpec.inputSchema"),
        ("{\"messages\":[],\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":{}},\"strict\":1}}]}}", "toolConfig.tools[].toolSpec.strict"),
        ("{\"messages\":[],\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":{}}}}],\"toolChoice\":{\"none\":{}}}}", "toolConfig.toolChoice"),
        ("{\"messages\":[],\"outputConfig\":1}", "outputConfig"), ("{\"messages\":[],\"outputConfig\":{\"effort\":1}}", "outputConfig.effort"),
        ("{\"messages\":[],\"outputConfig\":{\"textFormat\":{\"type\":\"json_schema\",\"structure\":{\"jsonSchema\":{\"schema\":\"{\"}}}}}", "outputConfig.textFormat.structure.jsonSchema.schema"),
    ]

    @Test(arguments: bad) func wrongTypesAreRefusedByName(_ one: (body: String, field: String)) {
        #expect(performing { _ = try converseRequest(one.body) }?.hasPrefix(one.field + ": ") == true, "\(one.body): \(performing { _ = try converseRequest(one.body) } ?? "taken")")
    }

    @Test func nullIsAbsent() throws {
        let body = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}],\"system\":null,\"inferenceConfig\":{\"topP\":null},\"toolConfig\":null,\"outputConfig\":null}"
        #expect(try expectEqual(try converseRequest(body), "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}") == [])
    }

    @Test(.enabled(if: Recordings.isThere)) func mutatedRequestsNeverTrap() throws {
        var random = SeededBytes(11)
        for one in Recordings.of("bedrock.converse", "bedrock.converse_stream") {
            for _ in 0..<60 {
                let held = Held(random.mutate(one.requestBody))
                var tape = JSONTape()
                guard tape.read(held.bytes) == nil else { continue }
                let conversation = Conversation()
                conversation.reset(source: .converse)
                var out = JSONWriter()
                do throws(Refusal) {
                    try ConverseDialect.readRequest(tape.root, into: conversation)
                    try ConverseDialect.writeRequest(conversation, to: Target(model: JSONBytes("m"), quirks: Quirks()), into: &out)
                    #expect(isJSON(Array(out.bytes)))
                } catch { #expect(error.field.count > 0) }
            }
        }
    }

    @Test(.enabled(if: Recordings.isThere)) func countsGoAndComeBack() throws {
        let one = try #require(Recordings.of("bedrock.count_tokens").first)
        let held = Held(one.requestBody)
        var tape = JSONTape()
        #expect(tape.read(held.bytes) == nil)
        let conversation = Conversation()
        conversation.reset(source: .converse)
        try ConverseDialect.readCount(tape.root, into: conversation)
        var out = JSONWriter()
        try ConverseDialect.writeCount(conversation, to: Target(model: JSONBytes("m"), quirks: Quirks()), into: &out)
        #expect(differences(try parsed(one.requestBody), try parsed(String(decoding: out.bytes, as: UTF8.self))) == [])
        let answer = Held(one.responseBody)
        #expect(tape.read(answer.bytes) == nil)
        #expect(ConverseDialect.readCountAnswer(tape.root) == 375)
        out.reset()
        ConverseDialect.writeCountAnswer(375, into: &out)
        #expect(String(decoding: out.bytes, as: UTF8.self) == "{\"inputTokens\":375}")
        // What has no weight in tokens is neither sent nor refused.
        let counted = try converseRequest(counting: true) {
            try $0.say(.user, "x")
            $0.maxTokens = 5
            $0.seed = JSONBytes("1")
        }
        #expect(try expectEqual(counted.body, "{\"input\":{\"converse\":{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}}}") == [])
    }
}

/// The message of what this throws; nil for nothing.
func performing(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch { return "\(error)" }
}

/// Seeded changes of bytes: flipped, swapped, cut, doubled.
struct SeededBytes {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33)
    }
    mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
        guard !bytes.isEmpty else { return bytes }
        var out = bytes
        for _ in 0...next() % 3 {
            let at = next() % out.count
            switch next() % 6 {
            case 0: out[at] = UInt8(truncatingIfNeeded: next())
            case 1: out[at] = [0x22, 0x7B, 0x7D, 0x5B, 0x5D, 0x2C, 0x3A, 0x5C, 0x30, 0x6E][next() % 10]
            case 2: out.swapAt(at, next() % out.count)
            case 3: if out.count > 20 { out.removeSubrange(at..<min(out.count, at + next() % 8)) }
            case 4:
                // A value becomes another.
                if let quote = out[at...].firstIndex(of: 0x22), let end = out[(quote + 1)...].firstIndex(of: 0x22) {
                    out.replaceSubrange(quote...end, with: Array(["null", "1", "-1e999", "[]", "{}", "true", "\"\\ud800\"", "9223372036854775808"][next() % 8].utf8))
                }
            default: out.insert(contentsOf: out[at..<min(out.count, at + 12)], at: at)
            }
            if out.isEmpty { return bytes }
        }
        return out
    }
}
