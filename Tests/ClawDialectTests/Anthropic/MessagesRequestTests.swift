// Requests as clients of the Messages API send them: what is read out of them, what is refused by name, and what goes back as it came.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct MessagesRequestTests {
    private static let least = #""model":"claude-x","max_tokens":10,"messages":[{"role":"user","content":"hi"}]"#

    private func read<R>(_ body: String, _ look: (Conversation) throws -> R) throws -> R {
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        if let refusal = tape.read(held.bytes) { throw TestFailure(description: "\(refusal)") }
        let conversation = Conversation()
        conversation.reset(source: .messages)
        do throws(Refusal) { try MessagesDialect.readRequest(tape.root, into: conversation) } catch {
            throw TestFailure(description: "\(error.field.string): \(error.reason)")
        }
        return try look(conversation)
    }

    private func refusal(_ body: String) -> String {
        do {
            try read(body) { _ in }
            return "taken"
        } catch { return "\(error)" }
    }

    // MARK: refused by name

    @Test(arguments: [
        ("[]", "body: must be an object"),
        ("{}", "model: is required"),
        (#"{"model":1}"#, "model: must be a string"),
        (#"{"model":""}"#, "model: must not be empty"),
        (#"{"model":"m","max_tokens":1}"#, "messages: is required"),
        (#"{"model":"m","max_tokens":1,"messages":{}}"#, "messages: must be an array"),
        (#"{"model":"m","max_tokens":1,"messages":[]}"#, "messages: must not be empty"),
        (#"{"model":"m","max_tokens":1,"messages":[1]}"#, "messages[]: must be an object"),
        (#"{"model":"m","max_tokens":1,"messages":[{"role":"tool","content":"x"}]}"#, "messages[].role: must be user, assistant or system"),
        (#"{"model":"m","max_tokens":1,"messages":[{"role":"user"}]}"#, "messages[].content: is required"),
        (#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":7}]}"#, "messages[].content: must be a string or an array of blocks"),
        (#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#, "max_tokens: is required"),
        (#"{"model":"m","max_tokens":null,"messages":[{"role":"user","content":"x"}]}"#, "max_tokens: is required"),
        (#"{"model":"m","model":"n","max_tokens":1,"messages":[{"role":"user","content":"x"}]}"#, "model: is there twice"),
    ])
    func whatIsNoRequestIsRefused(body: String, reason: String) { #expect(refusal(body) == reason) }

    @Test(arguments: [
        ("\"max_tokens\":-1", "max_tokens"), ("\"max_tokens\":1.5", "max_tokens"), ("\"max_tokens\":\"9\"", "max_tokens"),
        ("\"stream\":1", "stream"), ("\"temperature\":\"1\"", "temperature"), ("\"top_p\":[]", "top_p"), ("\"top_k\":1.5", "top_k"),
        ("\"stop_sequences\":\"x\"", "stop_sequences"), ("\"stop_sequences\":[1]", "stop_sequences[]"),
        ("\"system\":7", "system"), ("\"system\":[\"x\"]", "system[].type"), (#""system":[{"type":"image"}]"#, "system[].type"),
        (#""system":[{"type":"text","text":1}]"#, "messages[].content[].text"),
        ("\"tools\":{}", "tools"), ("\"tools\":[1]", "tools[]"), (#""tools":[{"name":"a"}]"#, "tools[].input_schema"),
        (#""tools":[{"input_schema":{}}]"#, "tools[].name"), (#""tools":[{"name":"a","input_schema":[]}]"#, "tools[].input_schema"),
        (#""tools":[{"name":"a","input_schema":{},"strict":1}]"#, "tools[].strict"),
        (#""tools":[{"name":"a","input_schema":{},"description":1}]"#, "tools[].description"), (#""tools":[{"type":1}]"#, "tools[].type"),
        ("\"tool_choice\":\"auto\"", "tool_choice"), (#""tool_choice":{"type":"required"}"#, "tool_choice.type"),
        (#""tool_choice":{"type":"tool"}"#, "tool_choice.name"),
        (#""tool_choice":{"type":"auto","disable_parallel_tool_use":1}"#, "tool_choice.disable_parallel_tool_use"),
        ("\"thinking\":true", "thinking"), ("\"thinking\":{}", "thinking.type"), (#""thinking":{"type":"enabled"}"#, "thinking.budget_tokens"),
        (#""thinking":{"type":"enabled","budget_tokens":"x"}"#, "thinking.budget_tokens"),
        ("\"output_config\":[]", "output_config"), (#""output_config":{"effort":"hard"}"#, "output_config.effort"),
        (#""output_config":{"format":{"type":"json_object"}}"#, "output_config.format.type"),
        (#""output_config":{"format":{"type":"json_schema"}}"#, "output_config.format.schema"),
        ("\"metadata\":[]", "metadata"), (#""metadata":{"user_id":7}"#, "metadata.user_id"), ("\"service_tier\":1", "service_tier"),
        ("\"cache_control\":\"x\"", "cache_control"),
    ])
    func aFieldOfTheWrongTypeIsNamed(member: String, field: String) {
        let body = member.hasPrefix("\"max_tokens") ? Self.least.replacingOccurrences(of: "\"max_tokens\":10", with: member) : Self.least + "," + member
        #expect(refusal("{\(body)}").hasPrefix(field + ": "), "\(refusal("{\(body)}"))")
    }

    @Test(arguments: [
        ("user", "1", "type"), ("user", #"{"type":1}"#, "type"), ("user", #"{"type":"text"}"#, "text"), ("user", #"{"type":"text","text":1}"#, "text"),
        ("user", #"{"type":"image"}"#, "source"), ("user", #"{"type":"image","source":{}}"#, "source.type"),
        ("user", #"{"type":"image","source":{"type":"base64","data":"x"}}"#, "source.media_type"),
        ("user", #"{"type":"image","source":{"type":"base64","media_type":"image/png"}}"#, "source.data"),
        ("user", #"{"type":"image","source":{"type":"url"}}"#, "source.url"),
        ("user", #"{"type":"document","source":{"type":"text"}}"#, "source.data"), ("user", #"{"type":"tool_result"}"#, "tool_use_id"),
        ("user", #"{"type":"tool_result","tool_use_id":"a","is_error":1}"#, "is_error"),
        ("user", #"{"type":"tool_result","tool_use_id":"a","content":1}"#, "content"),
        ("user", #"{"type":"tool_result","tool_use_id":"a","content":[1]}"#, "content[].type"),
        ("user", #"{"type":"tool_use","id":"a","name":"b","input":{}}"#, "type"), ("user", #"{"type":"thinking","thinking":"x"}"#, "type"),
        ("assistant", #"{"type":"tool_use","name":"b","input":{}}"#, "id"), ("assistant", #"{"type":"tool_use","id":"a","input":{}}"#, "name"),
        ("assistant", #"{"type":"tool_use","id":"a","name":"b"}"#, "input"), ("assistant", #"{"type":"tool_use","id":"a","name":"b","input":"{}"}"#, "input"),
        ("assistant", #"{"type":"tool_result","tool_use_id":"a"}"#, "type"), ("assistant", #"{"type":"thinking"}"#, "thinking"),
        ("assistant", #"{"type":"thinking","thinking":"","signature":1}"#, "signature"), ("assistant", #"{"type":"redacted_thinking"}"#, "data"),
        ("user", #"{"type":"text","text":"x","cache_control":1}"#, "cache_control"),
    ])
    func aBlockOfTheWrongFormIsNamed(role: String, block: String, field: String) {
        let body = #"{"model":"m","max_tokens":1,"messages":[{"role":"\#(role)","content":[\#(block)]}]}"#
        #expect(refusal(body).hasPrefix("messages[].content[].\(field): "), "\(refusal(body))")
    }

    // MARK: what is read

    @Test func everyOptionHasItsPlace() throws {
        let body = #"""
            {\#(Self.least),"system":[{"type":"text","text":"be brief","cache_control":{"type":"ephemeral","ttl":"1h"}}],"temperature":0.5,"top_p":0.9,
            "top_k":40,"stop_sequences":["a","b"],"stream":true,"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},
            "thinking":{"type":"enabled","budget_tokens":2048,"display":"omitted"},"output_config":{"effort":"xhigh","format":{"type":"json_schema","schema":{"a":1}}},
            "metadata":{"user_id":"u"},"service_tier":"standard_only","cache_control":{"type":"ephemeral"},
            "tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"strict":true,"cache_control":{"type":"ephemeral"}},
            {"type":"web_search_20250305","name":"web_search","max_uses":3}]}
            """#
        try read(body) { c in
            #expect(c.model.string == "claude-x" && c.maxTokens == 10 && c.wantsStream && c.temperature.string == "0.5" && c.topP.string == "0.9")
            #expect(c.topK.string == "40" && c.stop.map(\.string) == ["a", "b"] && c.parallelToolCalls == false)
            guard case .tool(let name) = c.toolChoice else { return #expect(Bool(false)) }
            #expect(name.string == "f")
            #expect(c.reasoning.isEnabled == true && c.reasoning.budget == 2048 && c.reasoning.includesThoughts == false && c.reasoning.effort == .xhigh)
            #expect(c.format.kind == .jsonSchema && c.format.schema.string == #"{"a":1}"#)
            #expect(c.user.string == "u" && c.serviceTier.string == "standard_only" && c.cache == .fiveMinutes)
            #expect(c.messages[0].role == .system && c.parts[0].cache == .oneHour && c.parts[0].text.string == "be brief")
            #expect(c.tools[0].kind == .function && c.tools[0].strict == true && c.tools[0].cache == .fiveMinutes && c.tools[0].description.string == "d")
            #expect(c.tools[1].kind == .hosted && c.tools[1].opaque.string.contains("max_uses") && c.extras.isEmpty)
        }
    }

    @Test(arguments: [("auto", 0), ("any", 1), ("none", 2)])
    func toolChoicesHaveTheirNeutralNames(word: String, place: Int) throws {
        try read(#"{\#(Self.least),"tool_choice":{"type":"\#(word)"}}"#) { c in
            switch c.toolChoice {
            case .auto: #expect(place == 0)
            case .required: #expect(place == 1)
            case .none: #expect(place == 2)
            case .unset, .tool: #expect(Bool(false))
            }
        }
    }

    @Test func adaptiveAndDisabledThinkingAreTold() throws {
        try read(#"{\#(Self.least),"thinking":{"type":"adaptive","display":"summarized"}}"#) {
            #expect($0.reasoning.isEnabled == true && $0.reasoning.budget == nil && $0.reasoning.includesThoughts == true)
        }
        try read(#"{\#(Self.least),"thinking":{"type":"disabled"}}"#) { #expect($0.reasoning.isEnabled == false) }
    }

    @Test func aTurnWithResultsBecomesToolMessages() throws {
        let body = #"""
            {"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},
            {"type":"redacted_thinking","data":"r"},{"type":"text","text":"x"},{"type":"tool_use","id":"a","name":"f","input":{"n":9007199254740993}},
            {"type":"tool_use","id":"b","name":"g","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"one"},{"type":"tool_result","tool_use_id":"b","is_error":true,
            "content":[{"type":"text","text":"two"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]},{"type":"text","text":"go on"}]}]}
            """#
        try read(body) { c in
            #expect(c.messages.map(\.role) == [.assistant, .tool, .tool, .user])
            #expect(c.parts.map(\.kind) == [.thinking, .redactedThinking, .text, .toolCall, .toolCall, .toolResult, .toolResult, .text])
            #expect(c.parts[0].signature.string == "s" && c.parts[0].signatureOf == .messages && c.parts[1].data.string == "r")
            #expect(c.parts[3].json.string == #"{"n":9007199254740993}"#)
            #expect(c.parts[5].id.string == "a" && c.parts[5].name.string == "f" && c.inner[0].text.string == "one" && !c.parts[5].isError)
            #expect(c.parts[6].name.string == "g" && c.parts[6].isError && c.parts[6].children == 1..<3 && c.inner[2].kind == .image)
        }
    }

    @Test func foreignSignaturesAreToldByTheirMaker() throws {
        let body = #"""
            {"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[
            {"type":"thinking","thinking":"t","signature":"gemini#AA"},{"type":"thinking","thinking":"","signature":"gemini#BB"},
            {"type":"tool_use","id":"a","name":"f","input":{}},{"type":"redacted_thinking","data":"responses#CC"}]}]}
            """#
        try read(body) { c in
            #expect(c.parts.map(\.kind) == [.text, .thinking, .toolCall, .redactedThinking])
            #expect(c.parts[1].signatureOf == .gemini && c.parts[1].signature.string == "AA")
            // An empty thought of Gemini's right before a call is that call's signature.
            #expect(c.parts[2].signatureOf == .gemini && c.parts[2].signature.string == "BB" && c.messages[1].parts == 1..<4)
            #expect(c.parts[3].signatureOf == .responses && c.parts[3].data.string == "CC")
        }
        // None of it goes to Anthropic.
        let (out, dropped) = try translateRequest(body, from: .messages, to: .messages)
        #expect(!out.contains("AA") && !out.contains("BB") && !out.contains("CC") && dropped == ["messages[].content[].thinking"])
    }

    // MARK: back as it came

    @Test func whatOnlyThisDialectKnowsGoesBack() throws {
        let body = #"""
            {"model":"served-model","max_tokens":7,"system":[{"type":"text","text":"a"},{"type":"text","text":"b","cache_control":{"type":"ephemeral","ttl":"1h"}}],
            "messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"},"title":"t","context":"c",
            "citations":{"enabled":true}},{"type":"document","source":{"type":"content","content":"x"}},{"type":"image","source":{"type":"file","file_id":"f_1"}},
            {"type":"document","source":{"type":"text","media_type":"text/plain","data":"plain"},"cache_control":{"type":"ephemeral","scope":"global"}},
            {"type":"image","source":{"type":"url","url":"https://x/y"},"transformations":{"a":1}},{"type":"search_result","source":"s","title":"t","content":[]},
            {"type":"container_upload","file_id":"f_2"}]},
            {"role":"assistant","content":[{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"q"}},
            {"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[]},{"type":"text","text":"found","citations":[{"type":"x"}]},
            {"type":"tool_use","id":"t1","name":"f","input":{"a":[1,2.50]},"caller":{"type":"direct"}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"search_result","source":"s","title":"t","content":[]},
            {"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],"is_error":true}]},
            {"role":"system","content":"from now on in French"},{"role":"user","content":[{"type":"text","text":"x"}],"note":"n"}],
            "tools":[{"name":"f","input_schema":{"type":"object"},"eager_input_streaming":true,"defer_loading":true,"strict":false},
            {"type":"bash_20250124","name":"bash"}],"tool_choice":{"type":"auto","disable_parallel_tool_use":false},
            "thinking":{"type":"adaptive","display":"omitted","more":1},"output_config":{"effort":"low","task_budget":{"total":5}},
            "metadata":{"user_id":"u","other":"o"},"container":"c_1","inference_geo":"eu","context_management":{"edits":[]},"mcp_servers":[],"speed":"fast",
            "temperature":1.50,"top_k":5,"service_tier":"auto","stop_sequences":[" "],"cache_control":{"type":"ephemeral","ttl":"1h"}}
            """#
        let (out, dropped) = try translateRequest(body, from: .messages, to: .messages)
        var before = try #require(try parsed(body) as? [String: Any])
        // One block of text alone is written as its text.
        var messages = try #require(before["messages"] as? [[String: Any]])
        messages[4]["content"] = "x"
        before["messages"] = messages
        #expect(differences(before, try parsed(out)) == [])
        #expect(dropped == [])
    }

    @Test func anUnknownWayOfThinkingGoesBack() throws {
        let (out, _) = try translateRequest(#"{\#(Self.least),"thinking":{"type":"between_tools","x":1}}"#, from: .messages, to: .messages)
        #expect(out.contains(#""thinking":{"type":"between_tools","x":1}"#))
    }

    @Test func betasAreAHeaderButOnOtherHosts() throws {
        let body = #"{\#(Self.least),"anthropic_beta":["a"],"stream":true}"#
        let (out, dropped) = try translateRequest(body, from: .messages, to: .messages)
        #expect(!out.contains("anthropic_beta") && dropped == ["anthropic_beta"] && out.contains(#""stream":true"#))
        var quirks = Quirks()
        quirks.claudeHost = .vertex
        let (vertex, none) = try translateRequest(body, from: .messages, to: .messages, quirks: quirks)
        #expect(vertex.contains(#""anthropic_beta":["a"]"#) && vertex.contains("vertex-2023-10-16") && !vertex.contains(#""model""#) && none == [])
        #expect(vertex.contains(#""stream":true"#))
        quirks.claudeHost = .bedrock
        #expect(!(try translateRequest(body, from: .messages, to: .messages, quirks: quirks).body.contains("stream")))
    }

    @Test func extrasAreHintsOrRefusedElsewhere() throws {
        let body = #"""
            {"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","scope":"global"}}]},
            {"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{},"caller":{"type":"direct"}}]}],"context_management":{"edits":[]},
            "speed":"fast","container":"c","tools":[{"name":"f","input_schema":{},"eager_input_streaming":true,"defer_loading":true}]}
            """#
        try read(body) { c in
            c.dropsUnsupported = true
            do throws(Refusal) { try c.refuseExtras(of: .chat) } catch { #expect(Bool(false)) }
            #expect(c.dropped.map(\.string).sorted() == ["cache_control", "caller", "container", "context_management", "defer_loading", "eager_input_streaming", "speed"])
        }
        try read(body) { c in
            do throws(Refusal) {
                try c.refuseExtras(of: .chat)
                #expect(Bool(false))
            } catch { #expect(error.field.string == "container") }
        }
    }

    @Test func manyUnknownMembersCostNoMoreThanTheirLength() throws {
        let block = #"{"type":"tool_use","id":"a","name":"f","input":{},"caller":{"type":"direct"},"x":1}"#
        let blocks = Array(repeating: block, count: 20_000).joined(separator: ",")
        let body = #"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[\#(blocks)]}]}"#
        let (out, _) = try translateRequest(body, from: .messages, to: .messages)
        #expect(out.hasSuffix(block + "]}]}"))
    }

    @Test func fieldsAreNamedInTheDialectsWords() {
        let words: [(Field, String)] = [
            (.stop, "stop_sequences"), (.topK, "top_k"), (.responseFormat, "output_config.format"), (.reasoning, "thinking"), (.user, "metadata.user_id"),
            (.parallelToolCalls, "tool_choice.disable_parallel_tool_use"), (.maxTokens, "max_tokens"), (.systemRole, "system"), (.strict, "tools[].strict"),
            (.toolArguments, "messages[].content[].input"), (.image, "messages[].content[].source"), (.hostedTools, "tools[].type"),
            (.thinking, "messages[].content[].thinking"), (.toolResultContent, "messages[].content[].content"), (.cacheControl, "cache_control"),
        ]
        for (field, word) in words { #expect("\(MessagesDialect.name(of: field))" == word) }
    }

    @Test func aCountNeedsNoMaximumAndSendsOnlyWhatCounts() throws {
        let held = Held(Array(#"{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":0.5,"stream":true}"#.utf8))
        var tape = JSONTape()
        #expect(tape.read(held.bytes) == nil)
        let conversation = Conversation()
        conversation.reset(source: .messages)
        do throws(Refusal) {
            try MessagesDialect.readCount(tape.root, into: conversation)
            var out = JSONWriter()
            try MessagesDialect.writeCount(conversation, to: Target(model: JSONBytes("m"), quirks: Quirks()), into: &out)
            #expect(out.written.string == #"{"model":"m","messages":[{"role":"user","content":"x"}]}"#)
        } catch { #expect(Bool(false), "\(error.field.string)") }
    }
}
