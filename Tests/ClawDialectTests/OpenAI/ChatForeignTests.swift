// Conversations and answers of another dialect in chat's words: what becomes a message of its own, what is left out by name, what is refused.
import ClawDialect
import ClawWire
import Foundation
import Testing

private func written(_ quirks: Quirks = Quirks(), drops: Bool = false, _ build: (Conversation) throws -> Void) throws -> (body: [String: Any], text: String, dropped: [String]) {
    let conversation = Conversation()
    conversation.reset(source: .messages)
    conversation.dropsUnsupported = drops
    conversation.model = JSONBytes("m")
    try build(conversation)
    var out = JSONWriter()
    do throws(Refusal) {
        try ChatDialect.writeRequest(conversation, to: Target(model: JSONBytes("m"), quirks: quirks), into: &out)
    } catch { throw TestFailure(description: "\(error.field.string): \(error.reason)") }
    let text = String(decoding: out.bytes, as: UTF8.self)
    return (try parsed(text) as? [String: Any] ?? [:], text, conversation.dropped.map(\.string))
}

private func part(_ kind: Part.Kind, _ change: (inout Part) -> Void) -> Part {
    var part = Part(kind)
    change(&part)
    return part
}

struct ChatForeignTests {
    private func say(_ conversation: Conversation, _ role: Role, _ parts: Part...) throws {
        try conversation.begin(role)
        for part in parts { try conversation.add(part) }
    }
    private func call(_ id: StaticString, _ name: StaticString, _ json: StaticString = #"{"a": 9007199254740993}"#) -> Part {
        part(.toolCall) { $0.id = JSONBytes(id); $0.name = JSONBytes(name); $0.json = JSONBytes(json) }
    }
    private func result(_ conversation: Conversation, _ id: StaticString, _ pieces: Part...) throws {
        let start = conversation.inner.count
        conversation.inner += pieces
        try conversation.add(result: part(.toolResult) { $0.id = JSONBytes(id); $0.isError = true }, from: start)
    }

    @Test func resultsAreMessagesBeforeTheUsersWords() throws {
        let out = try written { conversation in
            try say(conversation, .system, .text(JSONBytes("be kind")), .text(JSONBytes("be brief")))
            try say(conversation, .user, .text(JSONBytes("hi")))
            try say(conversation, .assistant, .text(JSONBytes("one ")), .text(JSONBytes("two")), call("x", "f"), call("y", "g"))
            try conversation.begin(.user)
            try result(conversation, "x", .text(JSONBytes("r1")), .text(JSONBytes("r2")))
            try result(conversation, "y")
            try conversation.add(.text(JSONBytes("and now?")))
        }
        let list = out.body["messages"] as? [[String: Any]] ?? []
        #expect(list.map { $0["role"] as? String } == ["system", "user", "assistant", "tool", "tool", "user"])
        #expect((list[0]["content"] as? [[String: String]])?.map { $0["text"] } == ["be kind", "be brief"])
        #expect(list[2]["content"] as? String == "one two" && list[3]["content"] as? String == "r1\nr2" && list[3]["tool_call_id"] as? String == "x")
        #expect(list[4]["content"] as? String == "" && list[5]["content"] as? String == "and now?")
        #expect(out.text.contains(#"{"id":"x","type":"function","function":{"name":"f","arguments":"{\"a\": 9007199254740993}"}}"#))
        #expect(out.dropped == [])
    }

    @Test func aCallWithoutTextHasContentNull() throws {
        let out = try written { conversation in
            try say(conversation, .user, .text(JSONBytes("hi")))
            try say(conversation, .assistant, call("x", "f", "{}"))
            try conversation.begin(.tool)
            try result(conversation, "x", .text(JSONBytes("r")))
        }
        #expect(out.text.contains(#"{"role":"assistant","content":null,"tool_calls":[{"id":"x""#))
    }

    @Test func imagesInResultsAreRefusedOrDropped() throws {
        func build(_ conversation: Conversation) throws {
            try say(conversation, .user, .text(JSONBytes("hi")))
            try say(conversation, .assistant, call("x", "f", "{}"))
            try conversation.begin(.user)
            try result(conversation, "x", .text(JSONBytes("seen")), part(.image) { $0.source = .base64; $0.data = JSONBytes("AA") })
        }
        #expect(throws: TestFailure.self) { try written(Quirks(), build) }
        let out = try written(drops: true, build)
        #expect(out.text.contains(#""content":"seen""#) && out.dropped == ["messages[].content[].content"])
    }

    @Test func idsThatAreMissingAreMadeAndPaired() throws {
        let out = try written { conversation in
            try say(conversation, .user, .text(JSONBytes("hi")))
            try say(conversation, .assistant, call("", "f", "{}"), call("", "g", "{}"))
            try conversation.begin(.user)
            for name in ["g", "f"] as [StaticString] {
                try conversation.add(result: part(.toolResult) { $0.id = JSONBytes(""); $0.name = JSONBytes(name) }, from: conversation.inner.count)
            }
        }
        let list = out.body["messages"] as? [[String: Any]] ?? []
        let ids = (list[1]["tool_calls"] as? [[String: Any]] ?? []).compactMap { $0["id"] as? String }
        #expect(Set(ids).count == 2 && list[2]["tool_call_id"] as? String == ids[1] && list[3]["tool_call_id"] as? String == ids[0])
    }

    @Test func mediaHasItsPart() throws {
        let out = try written { conversation in
            try say(
                conversation, .user, part(.image) { $0.source = .base64; $0.mediaType = JSONBytes("image/png"); $0.data = JSONBytes("AAAA") },
                part(.image) { $0.source = .url; $0.data = JSONBytes("https://x/y"); $0.detail = JSONBytes("high") },
                part(.audio) { $0.source = .base64; $0.mediaType = JSONBytes("audio/mpeg"); $0.data = JSONBytes("BBBB") },
                part(.document) { $0.source = .base64; $0.mediaType = JSONBytes("application/pdf"); $0.data = JSONBytes("CCCC"); $0.name = JSONBytes("a.pdf") },
                part(.document) { $0.source = .text; $0.data = JSONBytes("plain") }, .text(JSONBytes("what?")))
        }
        #expect(out.text.contains(#"[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"image_url","image_url":{"url":"https://x/y","detail":"high"}},{"type":"input_audio","input_audio":{"data":"BBBB","format":"mp3"}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,CCCC"}},{"type":"text","text":"plain"},{"type":"text","text":"what?"}]"#))
        #expect(throws: TestFailure.self) { try written { try say($0, .user, part(.document) { $0.source = .url; $0.data = JSONBytes("https://x") }) } }
    }

    @Test func thoughtsGoBackOnlyToWhoWantsThem() throws {
        func build(_ conversation: Conversation) throws {
            try say(conversation, .user, .text(JSONBytes("hi")))
            try say(conversation, .assistant, part(.thinking) { $0.text = JSONBytes("hm"); $0.signature = JSONBytes("S"); $0.signatureOf = .messages }, .text(JSONBytes("a")))
            try say(conversation, .user, .text(JSONBytes("go on")))
        }
        let plain = try written(Quirks(), build)
        #expect(!plain.text.contains("hm") && plain.dropped == ["messages[].content[].thinking"])
        let deep = try written(Quirks.named("deepseek")!, build)
        #expect(deep.text.contains(#""reasoning_content":"hm""#) && deep.dropped == [] && !deep.text.contains("\"S\""))
        let open = try written(Quirks.named("openrouter")!, build)
        #expect(open.text.contains(#""reasoning":"hm""#) && !open.text.contains("reasoning_details"))
        #expect(try written(Quirks.named("mistral")!, build).text.contains(#"{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}"#))
    }

    @Test func proofsOfOpenRoutersOwnGoBackToIt() throws {
        let out = try written(Quirks.named("openrouter")!) { conversation in
            try say(conversation, .user, .text(JSONBytes("hi")))
            try say(conversation, .assistant, part(.thinking) { $0.text = JSONBytes("hm"); $0.signature = JSONBytes("S"); $0.signatureOf = .chat }, call("x", "f"))
            try conversation.begin(.user)
            try result(conversation, "x", .text(JSONBytes("r")))
        }
        #expect(out.text.contains(#""reasoning_details":[{"type":"reasoning.text","text":"hm","signature":"S","index":0}]"#))
    }

    @Test func anAnswerToBeContinuedIsRefusedOrPrefixed() throws {
        func build(_ conversation: Conversation) throws {
            try say(conversation, .user, .text(JSONBytes("hi")))
            try say(conversation, .assistant, .text(JSONBytes("{")))
        }
        #expect(throws: TestFailure.self) { try written(Quirks(), build) }
        #expect(try written(Quirks.named("mistral")!, build).text.contains(#""content":"{","prefix":true"#))
        #expect(try written(drops: true, build).dropped == ["messages"])
    }

    @Test func fieldsOfOtherDialects() throws {
        let out = try written(drops: true) { conversation in
            try say(conversation, .user, .text(JSONBytes("hi")))
            conversation.maxTokens = 9
            conversation.topK = JSONBytes("5")
            conversation.stop = [JSONBytes("a"), JSONBytes("b")]
            conversation.metadata = JSONBytes("{}")
            conversation.serviceTier = JSONBytes("standard_only")
            conversation.cache = .fiveMinutes
            conversation.reasoning.budget = 10_000
            conversation.previousResponseID = JSONBytes("resp_1")
            conversation.format.kind = .jsonSchema
            conversation.format.schema = JSONBytes("{}")
            var tool = Tool()
            tool.name = JSONBytes("f")
            tool.cache = .oneHour
            var hosted = Tool()
            hosted.kind = .hosted
            conversation.tools = [tool, hosted]
            conversation.toolChoice = .required
            conversation.extras = [Extra(.root, 0, key: JSONBytes("container"), value: JSONBytes("{}"))]
        }
        #expect(out.text.contains(#""max_completion_tokens":9"#) && out.text.contains(#""stop":["a","b"]"#) && out.text.contains(#""reasoning_effort":"medium""#))
        #expect(out.text.contains(#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],"tool_choice":"required""#))
        #expect(out.text.contains(#""response_format":{"type":"json_schema","json_schema":{"name":"response","schema":{}}}"#))
        #expect(Set(out.dropped) == ["container", "tools[].type", "cache_control", "top_k", "metadata", "service_tier", "previous_response_id"])
    }

    @Test func marksAndBudgetsGoToOpenRouter() throws {
        let out = try written(Quirks.named("openrouter")!) { conversation in
            try say(conversation, .user, part(.text) { $0.text = JSONBytes("hi"); $0.cache = .oneHour })
            conversation.reasoning.budget = 10_000
            conversation.topK = JSONBytes("5")
        }
        #expect(out.text.contains(#"[{"type":"text","text":"hi","cache_control":{"type":"ephemeral","ttl":"1h"}}]"#))
        #expect(out.text.contains(#""reasoning":{"max_tokens":10000}"#) && out.text.contains(#""top_k":5"#) && out.dropped == [])
    }

    // MARK: answers

    private func answered(_ build: (Answer) -> Void) throws -> String {
        let answer = Answer()
        answer.reset(source: .messages)
        build(answer)
        var out = JSONWriter()
        ChatDialect.writeAnswer(answer, testContext, into: &out)
        return String(decoding: out.bytes, as: UTF8.self)
    }

    @Test func anAnswerOfAnotherDialect() throws {
        let out = try answered { answer in
            answer.id = JSONBytes("msg_1")
            answer.beginChoice()
            answer.add(part(.thinking) { $0.text = JSONBytes("hm"); $0.signature = JSONBytes("S"); $0.signatureOf = .messages })
            answer.add(part(.redactedThinking) { $0.data = JSONBytes("R") })
            answer.add(.text(JSONBytes("a")))
            answer.add(.text(JSONBytes("b")))
            answer.add(part(.toolCall) { $0.id = JSONBytes(""); $0.name = JSONBytes("f"); $0.json = JSONBytes("{}"); $0.signature = JSONBytes("T"); $0.signatureOf = .gemini })
            answer.choices[0].finish = .stop
            answer.usage.setInput(sum: 5)
            answer.usage.setOutput(sum: 3)
            answer.usage.statedTotal = 20
        }
        let body = try parsed(out) as? [String: Any] ?? [:]
        let choice = (body["choices"] as? [[String: Any]])?[0] ?? [:]
        let message = choice["message"] as? [String: Any] ?? [:]
        #expect((body["id"] as? String)?.hasPrefix("chatcmpl-") == true && body["object"] as? String == "chat.completion" && body["created"] as? Int == 1_700_000_000)
        #expect(message["content"] as? String == "ab" && message["refusal"] is NSNull && message["reasoning_content"] as? String == "hm")
        #expect(choice["finish_reason"] as? String == "tool_calls")
        #expect(out.contains(#""reasoning_details":[{"type":"reasoning.text","text":"hm","signature":"messages#S","index":0},{"type":"reasoning.encrypted","data":"messages#R","index":1}]"#))
        #expect(out.contains(#""extra_content":{"google":{"thought_signature":"gemini#T"}}"#) && out.contains(#""id":"call_"#))
        #expect((body["usage"] as? [String: Any])?["total_tokens"] as? Int == 20)
    }

    @Test func anEmptyAnswerHasContentAndRefusal() throws {
        let out = try answered { $0.beginChoice(); $0.choices[0].finish = .length }
        #expect(out.contains(#""message":{"role":"assistant","content":"","refusal":null},"finish_reason":"length""#) && !out.contains("usage"))
        #expect(try answered { $0.beginChoice(); $0.add(part(.refusal) { $0.text = JSONBytes("no") }) }.contains(#""content":null,"refusal":"no"},"finish_reason":"stop""#))
    }

    @Test func severalChoices() throws {
        let out = try answered { answer in
            for at in 0..<2 {
                answer.beginChoice(Int64(at))
                answer.add(part(.toolCall) { $0.name = JSONBytes("f"); $0.text = JSONBytes("") })
            }
        }
        let choices = (try parsed(out) as? [String: Any])?["choices"] as? [[String: Any]] ?? []
        let ids = choices.compactMap { ((($0["message"] as? [String: Any])?["tool_calls"] as? [[String: Any]])?[0])?["id"] as? String }
        #expect(Set(ids).count == 2 && choices.map { $0["index"] as? Int } == [0, 1] && out.contains(#""arguments":"{}""#))
    }
}
