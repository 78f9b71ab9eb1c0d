// Requests of other dialects towards an upstream of the Responses API.
import ClawDialect
import ClawWire
import Foundation
import Testing

/// A conversation made by hand, written for an upstream of this API.
private func written(
    drops: Bool = false, source: DialectID = .chat, quirks: Quirks = Quirks(), stream: Bool = false, _ fill: (Conversation) throws -> Void
) throws -> (body: [String: Any], dropped: [String]) {
    let conversation = Conversation()
    conversation.reset(source: source)
    conversation.dropsUnsupported = drops
    try fill(conversation)
    var out = JSONWriter()
    var target = Target(model: JSONBytes("m"), quirks: quirks)
    target.wantsStream = stream
    do throws(Refusal) { try ResponsesDialect.writeRequest(conversation, to: target, into: &out) } catch {
        throw TestFailure(description: "\(error.field.string): \(error.reason)")
    }
    return (try parsed(String(decoding: out.bytes, as: UTF8.self)) as? [String: Any] ?? [:], conversation.dropped.map(\.string))
}

private func say(_ conversation: Conversation, _ role: Role, _ parts: Part...) throws {
    try conversation.begin(role)
    for part in parts { try conversation.add(part) }
}

private func text(_ text: StaticString) -> Part { .text(JSONBytes(text)) }

private func call(_ id: StaticString, _ name: StaticString, _ arguments: StaticString) -> Part {
    var part = Part(.toolCall)
    part.id = JSONBytes(id)
    part.name = JSONBytes(name)
    part.text = JSONBytes(arguments)
    return part
}

private func result(_ conversation: Conversation, _ id: StaticString, name: StaticString = "", _ pieces: Part...) throws {
    try conversation.begin(.tool)
    var part = Part(.toolResult)
    part.id = JSONBytes(id)
    part.name = JSONBytes(name)
    let start = conversation.inner.count
    conversation.inner += pieces
    try conversation.add(result: part, from: start)
}

struct ResponsesUpstreamTests {
    @Test func turnsBecomeItems() throws {
        let (body, dropped) = try written { it in
            try say(it, .system, text("be brief"))
            try say(it, .developer, text("d"))
            try say(it, .user, text("a"), text("b"))
            try say(it, .assistant, text("let me see"), call("call_1", "f", #"{\"a\":1}"#), call("call_2", "g", ""))
            try result(it, "call_1", text("one"))
            try result(it, "call_2", text("x"), text("y"))
            try say(it, .assistant, text(""), call("call_3", "f", "{}"))
            try result(it, "call_3")
        }
        let expected = #"""
            [{"role":"system","content":"be brief"},{"role":"developer","content":"d"},
             {"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},
             {"role":"assistant","content":"let me see"},
             {"type":"function_call","call_id":"call_1","name":"f","arguments":"{\"a\":1}"},
             {"type":"function_call","call_id":"call_2","name":"g","arguments":"{}"},
             {"type":"function_call_output","call_id":"call_1","output":"one"},
             {"type":"function_call_output","call_id":"call_2","output":[{"type":"input_text","text":"x"},{"type":"input_text","text":"y"}]},
             {"type":"function_call","call_id":"call_3","name":"f","arguments":"{}"},
             {"type":"function_call_output","call_id":"call_3","output":""}]
            """#
        #expect(differences(try parsed(expected), body["input"]) == [])
        #expect(dropped == [] && body["store"] as? Bool == false && body["stream"] == nil && body["include"] == nil)
    }

    @Test func toolsSayThatTheyAreNotStrict() throws {
        let (body, _) = try written { it in
            try say(it, .user, text("h"))
            var tool = Tool()
            tool.name = JSONBytes("f")
            it.tools.append(tool)
            tool.name = JSONBytes("g")
            tool.schema = JSONBytes(#"{"type":"object"}"#)
            tool.description = JSONBytes("d")
            tool.strict = true
            it.tools.append(tool)
            var custom = Tool()
            custom.kind = .custom
            custom.name = JSONBytes("sql")
            custom.opaque = JSONBytes(#"{"type":"custom","custom":{"name":"sql","description":"d","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}}}"#)
            it.tools.append(custom)
            it.toolChoice = .tool(JSONBytes("sql"))
            it.parallelToolCalls = false
        }
        let expected = #"""
            [{"type":"function","name":"f","parameters":{"type":"object","properties":{}},"strict":false},
             {"type":"function","name":"g","description":"d","parameters":{"type":"object"},"strict":true},
             {"type":"custom","name":"sql","description":"d","format":{"type":"grammar","syntax":"lark","definition":"x"}}]
            """#
        #expect(differences(try parsed(expected), body["tools"]) == [])
        #expect(differences(try parsed(#"{"type":"custom","name":"sql"}"#), body["tool_choice"]) == [])
        #expect(body["parallel_tool_calls"] as? Bool == false)
    }

    @Test func membersHaveTheirNamesHere() throws {
        let (body, dropped) = try written(stream: true) { it in
            try say(it, .user, text("h"))
            it.maxTokens = 20
            it.temperature = JSONBytes("0.5")
            it.topP = JSONBytes("1")
            it.logprobs = true
            it.topLogprobs = 2
            it.format.kind = .jsonSchema
            it.format.name = JSONBytes("n")
            it.format.schema = JSONBytes(#"{"type":"object"}"#)
            it.format.strict = true
            it.verbosity = JSONBytes("low")
            it.reasoning.effort = .low
            it.user = JSONBytes("u")
            it.metadata = JSONBytes(#"{"a":"b"}"#)
            it.serviceTier = JSONBytes("flex")
            it.promptCacheKey = JSONBytes("k")
            it.store = true
            it.presencePenalty = JSONBytes("0")
            it.frequencyPenalty = JSONBytes("0.0")
            it.n = 1
            it.logitBias = JSONBytes("{}")
            it.modalities = JSONBytes(#"["text"]"#)
        }
        let expected = #"""
            {"model":"m","input":[{"role":"user","content":"h"}],"max_output_tokens":20,"temperature":0.5,"top_p":1,"top_logprobs":2,
             "include":["message.output_text.logprobs"],"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true},"verbosity":"low"},
             "reasoning":{"effort":"low"},"user":"u","metadata":{"a":"b"},"service_tier":"flex","prompt_cache_key":"k","store":true,"stream":true}
            """#
        #expect(differences(try parsed(expected), body) == [])
        #expect(dropped == [])
    }

    @Test func reasoningAsksForItsProofUnlessItIsStored() throws {
        for store in [nil, false, true] as [Bool?] {
            let (body, _) = try written { it in
                try say(it, .user, text("h"))
                it.reasoning.effort = .high
                it.reasoning.includesThoughts = true
                it.store = store
            }
            #expect(body["include"] as? [String] == (store == true ? nil : ["reasoning.encrypted_content"]))
            #expect(differences(try parsed(#"{"effort":"high","summary":"auto"}"#), body["reasoning"]) == [])
        }
    }

    @Test(arguments: [(0, "none"), (500, "minimal"), (1024, "low"), (10_000, "medium"), (30_000, "high"), (100_000, "xhigh")] as [(Int64, String)])
    func budgetsBecomeEfforts(budget: Int64, effort: String) throws {
        let (body, _) = try written(source: .messages) { it in
            try say(it, .user, text("h"))
            it.reasoning.budget = budget
        }
        #expect((body["reasoning"] as? [String: Any])?["effort"] as? String == effort)
    }

    @Test func thinkingSwitchedOffIsNoWordAboutIt() throws {
        let (body, dropped) = try written(source: .messages) { it in
            try say(it, .user, text("h"))
            it.reasoning.isEnabled = false
            it.reasoning.includesThoughts = true
        }
        #expect(body["reasoning"] == nil && dropped == [])
    }

    @Test func thoughtsGoOnlyToWhoMadeThem() throws {
        var own = Part(.thinking)
        own.text = JSONBytes("t")
        own.signature = JSONBytes("gAAA")
        own.signatureOf = .responses
        var foreign = own
        foreign.signatureOf = .messages
        var bare = Part(.thinking)
        bare.text = JSONBytes("t")
        let (body, dropped) = try written { it in
            try say(it, .user, text("h"))
            try say(it, .assistant, own, foreign, bare, text("a"))
            try say(it, .user, text("h"))
        }
        let expected = #"""
            [{"role":"user","content":"h"},{"type":"reasoning","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"gAAA"},
             {"role":"assistant","content":"a"},{"role":"user","content":"h"}]
            """#
        #expect(differences(try parsed(expected), body["input"]) == [])
        #expect(dropped == ["messages[].reasoning_content"] && body["include"] as? [String] == ["reasoning.encrypted_content"])
    }

    @Test func imagesAndFilesAreGivenInTheFormsHere() throws {
        func part(_ kind: Part.Kind, _ source: Part.Source, _ data: StaticString, type: StaticString = "", name: StaticString? = nil) -> Part {
            var part = Part(kind)
            part.source = source
            part.data = JSONBytes(data)
            part.mediaType = JSONBytes(type)
            if let name { part.name = JSONBytes(name) }
            return part
        }
        let (body, _) = try written { it in
            try say(
                it, .user, part(.image, .base64, "AAAA", type: "image/png"), part(.image, .url, "https://x"), part(.document, .base64, "AAAA", type: "application/pdf"),
                part(.document, .text, #"a\nb"#), part(.document, .fileID, "file-1"), part(.document, .url, "https://y", name: "y.pdf"))
        }
        let expected = #"""
            [{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"auto"},
             {"type":"input_image","image_url":"https://x","detail":"auto"},
             {"type":"input_file","file_data":"data:application/pdf;base64,AAAA","filename":"document.pdf"},
             {"type":"input_file","file_data":"data:text/plain;base64,YQpi","filename":"document.txt"},
             {"type":"input_file","file_id":"file-1"},{"type":"input_file","file_url":"https://y","filename":"y.pdf"}]}]
            """#
        #expect(differences(try parsed(expected), body["input"]) == [])
    }

    @Test func callsWithoutIDsArePairedByNameAndOrder() throws {
        let (body, _) = try written(source: .gemini) { it in
            try say(it, .user, text("h"))
            var json = call("", "f", "")
            json.json = JSONBytes(#"{"q":"\"x\"","n":9007199254740993}"#)
            try say(it, .assistant, json, call("", "g", ""), call("", "f", ""))
            try result(it, "", name: "g", text("g"))
            try result(it, "", name: "f", text("f1"))
            try result(it, "", name: "f", text("f2"))
        }
        let items = try #require(body["input"] as? [[String: Any]]).dropFirst().map { $0 }
        let ids = items.map { $0["call_id"] as? String ?? "" }
        #expect(ids.allSatisfy { $0.hasPrefix("call_") && $0.count > 10 })
        #expect(Set(ids.prefix(3)).count == 3 && ids[3] == ids[1] && ids[4] == ids[0] && ids[5] == ids[2])
        #expect(items[0]["arguments"] as? String == #"{"q":"\"x\"","n":9007199254740993}"#)
    }

    @Test func callIDsThatAreTooLongStayPaired() throws {
        let (body, _) = try written { it in
            try say(it, .assistant, call("call_0123456789012345678901234567890123456789012345678901234567890123456789", "f", "{}"))
            try result(it, "call_0123456789012345678901234567890123456789012345678901234567890123456789", text("x"))
        }
        let ids = (body["input"] as? [[String: Any]] ?? []).map { $0["call_id"] as? String ?? "" }
        #expect(ids.count == 2 && ids[0] == ids[1] && ids[0].count <= 64)
    }

    @Test func outputsOfCustomCallsAreCustomOutputs() throws {
        let (body, _) = try written { it in
            var custom = call("c1", "sql", "SELECT 1")
            custom.isCustom = true
            try say(it, .assistant, custom)
            try result(it, "c1", text("1"))
        }
        let expected = #"[{"type":"custom_tool_call","call_id":"c1","name":"sql","input":"SELECT 1"},{"type":"custom_tool_call_output","call_id":"c1","output":"1"}]"#
        #expect(differences(try parsed(expected), body["input"]) == [])
    }

    /// What the API has no word for: the name in the refusal, and with `drop_unsupported` among the dropped.
    private typealias Change = @Sendable (Conversation) -> Void
    private static let lacking: [(field: String, change: Change)] = [
        ("n", { $0.n = 2 }), ("seed", { $0.seed = JSONBytes("1") }), ("stop", { $0.stop = [JSONBytes("x")] }), ("presence_penalty", { $0.presencePenalty = JSONBytes("0.1") }),
        ("frequency_penalty", { $0.frequencyPenalty = JSONBytes("-1") }), ("logit_bias", { $0.logitBias = JSONBytes(#"{"1":2}"#) }), ("top_k", { $0.topK = JSONBytes("4") }),
        ("min_p", { $0.minP = JSONBytes("0.1") }), ("modalities", { $0.modalities = JSONBytes(#"["text","audio"]"#) }), ("audio", { $0.audio = JSONBytes("{}") }),
        ("prediction", { $0.prediction = JSONBytes("{}") }),
        ("web_search_options", { $0.extras.append(Extra(.root, 0, key: JSONBytes("web_search_options"), value: JSONBytes("{}"))) }),
        ("messages[].name", { $0.messages[0].name = JSONBytes("bob") }),
        ("messages[].content[].input_audio", { try? $0.add(Part(.audio)) }), ("messages[].content[].video_url", { try? $0.add(Part(.video)) }),
        ("messages[].content[].image_url", { try? $0.add(Part(.image)) }), ("messages[].content[].file", { try? $0.add(Part(.document)) }),
        ("messages", { try? $0.add(Part(.opaque)) }),
        ("tools[].type", { var tool = Tool(); tool.kind = .hosted; $0.tools = [tool] }),
    ]

    @Test(arguments: lacking.indices)
    func whatIsLackingIsRefusedByItsName(row: Int) throws {
        let (field, change) = Self.lacking[row]
        do {
            _ = try written { it in try say(it, .user, text("h")); change(it) }
            Issue.record("\(field) was taken")
        } catch { #expect("\(error)".hasPrefix(field + ": ")) }
        let (_, dropped) = try written(drops: true) { it in try say(it, .user, text("h")); change(it) }
        #expect(dropped == [field])
    }

    @Test func aBeginningOfTheAnswerIsRefusedFromDialectsThatContinueIt() throws {
        for (source, isTaken) in [(DialectID.chat, true), (.messages, false), (.converse, false)] {
            let taken = (try? written(source: source) { it in try say(it, .user, text("h")); try say(it, .assistant, text("{")) }) != nil
            #expect(taken == isTaken)
        }
    }

    @Test func hintsAreNamedAndNotRefused() throws {
        var marked = text("h")
        marked.cache = .oneHour
        let (body, dropped) = try written(source: .messages) { it in
            try say(it, .user, marked)
            it.serviceTier = JSONBytes("standard_only")
            it.cache = .fiveMinutes
        }
        #expect(body["service_tier"] == nil && Set(dropped) == [DialectID.messages.pieces.name(of: .cacheControl), DialectID.messages.pieces.name(of: .serviceTier)].reduce(into: Set<String>()) { $0.insert("\($1)") })
    }

    @Test func aServersQuirksAreHeeded() throws {
        var quirks = Quirks()
        quirks.lacks(.parallelToolCalls, .metadata, .verbosity)
        quirks.hasNoDeveloperRole = true
        let fill: (Conversation) throws -> Void = { it in
            try say(it, .developer, text("d"))
            it.metadata = JSONBytes("{}")
            it.parallelToolCalls = true
            it.verbosity = JSONBytes("low")
        }
        let (body, dropped) = try written(drops: true, quirks: quirks, fill)
        #expect(body["metadata"] == nil && body["parallel_tool_calls"] == nil && body["text"] == nil)
        #expect(Set(dropped) == ["metadata", "parallel_tool_calls", "verbosity"])
        #expect(((body["input"] as? [[String: Any]])?.first?["role"] as? String) == "system")
        #expect(throws: TestFailure.self) { try written(quirks: quirks, fill) }
    }
}
