// How much to think, in the words that each model takes; and what a model's name says.
import ClawDialect
import ClawWire
import Foundation
import Testing

@testable import ClawDialect

struct MessagesThinkingTests {
    @Test(arguments: [
        ("claude-opus-4-6", 406), ("claude-3-5-sonnet-20240620", 305), ("claude-3-7-sonnet-20250219", 307), ("claude-opus-4-20250514", 400),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 405), ("anthropic/claude-haiku-4.5", 405), ("claude-sonnet-4@20250514", 400),
        ("claude-3-opus-20240229", 300), ("anthropic.claude-v2:1", 201), ("claude-instant-v1", 100), ("claude-2.1", 201), ("claude-sonnet-5", 500),
        ("claude-sonnet-5-5", 505), ("claude-opus-4-0", 400), ("claude-opus-4-6-v1", 406), ("claude", nil), ("my-model", nil), ("claude-next", nil), ("", nil),
    ] as [(String, Int?)])
    func theVersionIsReadOffTheName(name: String, version: Int?) {
        let held = Held(Array(name.utf8))
        #expect(ClaudeModel.version(JSONBytes(held.bytes)) == version)
    }

    /// Model, what was asked, `thinking`, `output_config`, `max_tokens`, what was noted.
    private static let rows: [(StaticString, @Sendable (inout Reasoning) -> Void, String, String, Int, [String])] = [
        ("claude-sonnet-4-5", { $0.effort = .minimal }, #"{"type":"enabled","budget_tokens":1024}"#, "", 4096, []),
        ("claude-sonnet-4-5", { $0.effort = .low }, #"{"type":"enabled","budget_tokens":1024}"#, "", 4096, []),
        ("claude-sonnet-4-5", { $0.effort = .medium }, #"{"type":"enabled","budget_tokens":2048}"#, "", 4096, []),
        ("claude-3-7-sonnet-20250219", { $0.effort = .high }, #"{"type":"enabled","budget_tokens":4096}"#, "", 8192, []),
        ("claude-opus-4-1", { $0.effort = .xhigh }, #"{"type":"enabled","budget_tokens":8192}"#, "", 12288, []),
        ("claude-haiku-4-5", { $0.effort = .max }, #"{"type":"enabled","budget_tokens":16384}"#, "", 20480, []),
        ("claude-haiku-4-5", { $0.budget = 10000 }, #"{"type":"enabled","budget_tokens":10000}"#, "", 14096, []),
        ("claude-haiku-4-5", { $0.budget = 5 }, #"{"type":"enabled","budget_tokens":1024}"#, "", 4096, []),
        ("claude-haiku-4-5", { $0.budget = -1 }, #"{"type":"enabled","budget_tokens":2048}"#, "", 4096, []),
        ("claude-haiku-4-5", { $0.isEnabled = true }, #"{"type":"enabled","budget_tokens":2048}"#, "", 4096, []),
        ("claude-haiku-4-5", { $0.effort = .none }, "", "", 4096, []),
        ("claude-haiku-4-5", { $0.budget = 0 }, "", "", 4096, []),
        ("claude-opus-4-6", { $0.effort = .low }, #"{"type":"adaptive"}"#, #"{"effort":"low"}"#, 20480, []),
        ("claude-opus-4-6", { $0.effort = .minimal }, #"{"type":"adaptive"}"#, #"{"effort":"low"}"#, 20480, []),
        ("claude-sonnet-4-6", { $0.effort = .xhigh }, #"{"type":"adaptive"}"#, #"{"effort":"high"}"#, 20480, ["reasoning_effort"]),
        ("claude-sonnet-4-6", { $0.effort = .max }, #"{"type":"adaptive"}"#, #"{"effort":"max"}"#, 20480, []),
        ("claude-opus-4-6", { $0.budget = 3000 }, #"{"type":"enabled","budget_tokens":3000}"#, "", 4096, []),
        ("claude-opus-4-7", { $0.budget = 5000 }, #"{"type":"adaptive"}"#, #"{"effort":"medium"}"#, 20480, []),
        ("claude-opus-4-7", { $0.effort = .xhigh }, #"{"type":"adaptive"}"#, #"{"effort":"xhigh"}"#, 20480, []),
        ("claude-opus-4-7", { $0.isEnabled = true; $0.includesThoughts = true }, #"{"type":"adaptive","display":"summarized"}"#, "", 20480, []),
        ("claude-opus-4-7", { $0.isEnabled = false }, "", "", 4096, []),
        ("claude-sonnet-5", { $0.includesThoughts = true }, #"{"type":"adaptive","display":"summarized"}"#, "", 20480, []),
        ("claude-haiku-4-5", { $0.includesThoughts = true }, "", "", 4096, []),
        ("claude-sonnet-5", { $0.effort = .none }, #"{"type":"disabled"}"#, "", 4096, []),
        ("claude-fable-5", { $0.effort = .none }, "", #"{"effort":"low"}"#, 4096, ["reasoning_effort"]),
        ("an-alias", { $0.effort = .high }, #"{"type":"adaptive"}"#, #"{"effort":"high"}"#, 20480, []),
        ("claude-haiku-4-5", { _ in }, "", "", 4096, []),
    ]

    @Test func effortAndBudgetAreWhatTheModelTakes() {
        for (model, change, thinking, config, most, noted) in Self.rows {
            let c = ForeignConversation().say(.user, "x")
            change(&c.value.reasoning)
            let out = c.written(model: model)
            #expect(same(out["thinking"], thinking) == [], "\(model)")
            #expect(same(out["output_config"], config) == [], "\(model)")
            #expect(out["max_tokens"] as? Int == most && c.dropped == noted, "\(model) \(out) \(c.dropped)")
        }
    }

    @Test func aModelThatDoesNotThinkRefuses() {
        let c = ForeignConversation().say(.user, "x")
        c.value.reasoning.effort = .high
        #expect(c.written(model: "claude-3-5-sonnet-20240620")["refused"] as? String == "reasoning_effort")
        c.value.dropsUnsupported = true
        #expect(c.written(model: "claude-3-5-sonnet-20240620")["thinking"] == nil && c.dropped == ["reasoning_effort"])
        let off = ForeignConversation().say(.user, "x")
        off.value.reasoning.effort = .none
        #expect(off.written(model: "claude-3-5-sonnet-20240620")["refused"] == nil)
    }

    @Test func theMaximumHasRoomForThoughts() {
        for (said, budget, most, tokens, thought) in [
            (500, 2048, 0, 2548, 2048), (2048, 2048, 0, 4096, 2048), (4000, 2048, 0, 4000, 2048), (4000, 60000, 64000, 64000, 60000),
            (nil, 90000, 64000, 64000, 63999), (nil, Int64.max, 0, (1 << 40) + 4096, 1 << 40),
        ] as [(Int64?, Int64, Int64, Int, Int)] {
            let c = ForeignConversation().say(.user, "x")
            c.value.maxTokens = said
            c.value.reasoning.budget = budget
            let out = c.written(most: most)
            #expect(out["max_tokens"] as? Int == tokens && (out["thinking"] as? [String: Any])?["budget_tokens"] as? Int == thought, "\(out)")
        }
        // No room at all: it answers without.
        let c = ForeignConversation().say(.user, "x")
        c.value.reasoning.budget = 2048
        #expect(c.written(most: 1000)["thinking"] == nil && c.dropped == ["reasoning_effort"])
    }

    @Test func samplingIsUnsetWithThinkingAndNoted() {
        let c = ForeignConversation().say(.user, "x")
        c.value.reasoning.effort = .low
        c.value.temperature = JSONBytes("0.3")
        c.value.topK = JSONBytes("5")
        c.value.topP = JSONBytes("0.5")
        let out = c.written()
        #expect(out["temperature"] == nil && out["top_k"] == nil && out["top_p"] == nil && out["thinking"] != nil)
        #expect(c.dropped.sorted() == ["temperature", "top_k", "top_p"])
        let fine = ForeignConversation().say(.user, "x")
        fine.value.reasoning.effort = .low
        fine.value.temperature = JSONBytes("1.0")
        fine.value.topP = JSONBytes("0.97")
        #expect(fine.written()["top_p"] as? Double == 0.97 && fine.dropped == [])
    }

    @Test func aForcedToolGoesBeforeThinking() {
        for choice in [ToolChoice.required, .tool(JSONBytes("f"))] {
            let c = ForeignConversation().say(.user, "x")
            c.tool("f", nil)
            c.value.toolChoice = choice
            c.value.reasoning.effort = .high
            #expect(c.written()["thinking"] == nil && c.dropped == ["reasoning_effort"])
        }
    }

    @Test func callsMadeWithoutThoughtsGoOnWithoutThem() {
        func conversation(_ thought: Bool) -> ForeignConversation {
            let c = ForeignConversation().say(.user, "x")
            c.tool("f", nil)
            if thought { c.say(.assistant, c.thought("t", "S", of: .messages), c.call("a", "f", "{}")) } else { c.say(.assistant, c.call("a", "f", "{}")) }
            c.result("a", "y")
            c.value.reasoning.effort = .low
            return c
        }
        let without = conversation(false)
        #expect(without.written()["thinking"] == nil && without.dropped == ["reasoning_effort"])
        #expect(conversation(true).written()["thinking"] != nil)
        #expect(conversation(false).written(model: "claude-opus-4-8")["thinking"] != nil)
        // A new question of the user's starts afresh.
        let later = conversation(false)
        later.say(.assistant, "done").say(.user, "and now?")
        #expect(later.written()["thinking"] != nil)
    }
}
