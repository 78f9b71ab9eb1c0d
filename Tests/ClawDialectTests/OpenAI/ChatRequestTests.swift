// Chat requests: what is refused and by which name, what goes through unchanged, and what each server's quirks make of it.
import ClawDialect
import ClawWire
import Foundation
import Testing

private func request(_ rest: String) -> String { #"{"model":"m","messages":[{"role":"user","content":"hi"}]\#(rest.isEmpty ? "" : "," + rest)}"# }
private func messages(_ list: String) -> String { #"{"model":"m","messages":[\#(list)]}"# }
private let user = #"{"role":"user","content":"hi"}"#

struct ChatRequestTests {
    @Test(arguments: [
        (#"[]"#, "body: must be a JSON object"), (#"{"messages":[]}"#, "model: is required"), (#"{"model":5,"messages":[]}"#, "model: must be a string"),
        (#"{"model":"","messages":[]}"#, "model: must not be empty"), (#"{"model":"m"}"#, "messages: is required"), (#"{"model":"m","messages":null}"#, "messages: is required"),
        (#"{"model":"m","messages":[]}"#, "messages: must not be empty"), (#"{"model":"m","messages":{}}"#, "messages: must be an array"),
        (#"{"model":"m","model":"n","messages":[]}"#, "model: stands twice"), (messages("5"), "messages[0]: must be an object"),
        (messages(#"{"content":"x"}"#), "messages[0].role: must be system, developer, user, assistant, tool or function"),
        (messages(user + #",{"role":"robot","content":"x"}"#), "messages[1].role: must be system, developer, user, assistant, tool or function"),
        (messages(#"{"role":"user"}"#), "messages[0].content: must be a string or an array of parts"),
        (messages(#"{"role":"user","content":null}"#), "messages[0].content: must be a string or an array of parts"),
        (messages(#"{"role":"system","content":5}"#), "messages[0].content: must be a string or an array of parts"),
        (messages(#"{"role":"user","content":"x","name":5}"#), "messages[0].name: must be a string"),
        (messages(#"{"role":"user","content":[5]}"#), "messages[0].content: must be a string or an array of parts"),
        (messages(#"{"role":"user","content":[{"text":"x"}]}"#), "messages[0].content[].type: must be a string"),
        (messages(#"{"role":"user","content":[{"type":"text"}]}"#), "messages[0].content[].text: must be a string"),
        (messages(#"{"role":"user","content":[{"type":"image_url","image_url":{}}]}"#), "messages[0].content[].image_url.url: must be a string: an http or data URL"),
        (messages(#"{"role":"user","content":[{"type":"input_audio","input_audio":{"format":"wav"}}]}"#), "messages[0].content[].input_audio.data: must be a string of base64"),
        (messages(#"{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"aa"}}]}"#), "messages[0].content[].input_audio.format: must be a string: wav or mp3"),
        (messages(#"{"role":"user","content":[{"type":"file","file":{}}]}"#), "messages[0].content[].file: must have a file_id, or file_data with a filename"),
        (messages(#"{"role":"assistant"}"#), "messages[0].content: is required where there are no tool_calls"),
        (messages(#"{"role":"assistant","content":7}"#), "messages[0].content: must be a string, an array of parts or null"),
        (messages(#"{"role":"assistant","tool_calls":{}}"#), "messages[0].tool_calls: must be an array"),
        (messages(#"{"role":"assistant","tool_calls":[{"id":5,"function":{"name":"f"}}]}"#), "messages[0].tool_calls[].id: must be a string"),
        (messages(#"{"role":"assistant","tool_calls":[{"id":"x","type":"zip"}]}"#), "messages[0].tool_calls[].type: must be function or custom"),
        (messages(#"{"role":"assistant","tool_calls":[{"id":"x","function":{}}]}"#), "messages[0].tool_calls[].function.name: must be a string"),
        (messages(#"{"role":"assistant","tool_calls":[{"id":"x","function":{"name":"f","arguments":5}}]}"#), "messages[0].tool_calls[].function.arguments: must be a string of JSON"),
        (messages(#"{"role":"assistant","function_call":{"name":"f"}}"#), "messages[0].function_call: must have a name and arguments"),
        (messages(#"{"role":"tool","content":"x"}"#), "messages[0].tool_call_id: must be a string"),
        (messages(#"{"role":"tool","tool_call_id":"x"}"#), "messages[0].content: must be a string or an array of parts"),
        (messages(#"{"role":"function","content":"x"}"#), "messages[0].name: must be a string"),
        (request(#""temperature":"hot""#), "temperature: must be a number"), (request(#""top_p":true"#), "top_p: must be a number"),
        (request(#""max_tokens":0"#), "max_tokens: is out of range"), (request(#""max_completion_tokens":1.5"#), "max_completion_tokens: must be an integer"),
        (request(#""n":0"#), "n: is out of range"), (request(#""n":129"#), "n: is out of range"), (request(#""seed":1.5"#), "seed: must be an integer"),
        (request(#""stop":5"#), "stop: must be a string or an array of strings"), (request(#""stop":["a",5]"#), "stop: must be a string or an array of strings"),
        (request(#""stream":"yes""#), "stream: must be true or false"), (request(#""stream_options":true"#), "stream_options: must be an object"),
        (request(#""stream_options":{"include_usage":1}"#), "stream_options.include_usage: must be true or false"),
        (request(#""logprobs":5"#), "logprobs: must be true or false"), (request(#""top_logprobs":21"#), "top_logprobs: is out of range"),
        (request(#""logit_bias":[]"#), "logit_bias: must be an object"), (request(#""user":5"#), "user: must be a string"), (request(#""metadata":"x""#), "metadata: must be an object"),
        (request(#""tools":{}"#), "tools: must be an array"), (request(#""tools":[5]"#), "tools[0]: must be an object"),
        (request(#""tools":[{"type":"function"}]"#), "tools[0].function: must be an object"),
        (request(#""tools":[{"type":"function","function":{"description":"x"}}]"#), "tools[0].function.name: must be a string that is not empty"),
        (request(#""tools":[{"type":"function","function":{"name":"f","parameters":"x"}}]"#), "tools[0].function.parameters: must be a JSON Schema, an object"),
        (request(#""tools":[{"type":"function","function":{"name":"f","strict":"x"}}]"#), "tools[0].function.strict: must be true or false"),
        (request(#""tools":[{"type":"custom","custom":{}}]"#), "tools[0].custom.name: must be a string that is not empty"), (request(#""tools":[{}]"#), "tools[0].type: must be a string: function or custom"),
        (request(#""tool_choice":"maybe""#), "tool_choice: must be none, auto, required or an object that names a tool"), (request(#""tool_choice":5"#), "tool_choice: must be an object"),
        (request(#""tool_choice":{"type":"function"}"#), "tool_choice: must be none, auto, required or an object that names a tool"),
        (request(#""tool_choice":{"type":"allowed_tools","allowed_tools":{}}"#), "tool_choice.allowed_tools: must have a mode, auto or required, and tools"),
        (request(#""functions":5"#), "functions: must be an array"), (request(#""functions":[{}]"#), "functions: must be a string that is not empty"),
        (request(#""function_call":"x""#), "function_call: must be none, auto or an object with a name"),
        (request(#""response_format":"json""#), "response_format: must be an object"), (request(#""response_format":{"type":"xml"}"#), "response_format.type: must be text, json_object or json_schema"),
        (request(#""response_format":{"type":"json_schema"}"#), "response_format.json_schema.schema: must be a JSON Schema, an object"),
        (request(#""reasoning_effort":5"#), "reasoning_effort: must be a string"), (request(#""reasoning":{"effort":"lots"}"#), "reasoning.effort: must be none, minimal, low, medium, high, xhigh or max"),
        (request(#""thinking":{"type":"maybe"}"#), "thinking.type: must be enabled or disabled"), (request(#""modalities":"text""#), "modalities: must be an array of strings"),
        (request(#""audio":5"#), "audio: must be an object"), (request(#""verbosity":5"#), "verbosity: must be a string"), (request(#""parallel_tool_calls":1"#), "parallel_tool_calls: must be true or false"),
    ])
    func whatIsWrongIsNamedInTheClientsWords(body: String, refusal: String) {
        #expect(throws: (any Error).self) { try translateRequest(body, from: .chat, to: .chat) }
        do { _ = try translateRequest(body, from: .chat, to: .chat) } catch { #expect("\(error)" == refusal) }
    }

    /// Read and written with no quirks, these are what they were.
    static let kept: [String] = [
        request(""), request(#""temperature":0.70,"top_p":1,"n":2,"seed":9007199254740993,"presence_penalty":-1.5,"frequency_penalty":0,"logit_bias":{"5":-100},"user":"u""#),
        request(#""max_tokens":5"#), request(#""max_completion_tokens":5"#), request(#""max_completion_tokens":5,"stream":false,"store":true,"metadata":{"a":"b"}"#),
        request(#""stop":"x""#), request(#""stop":["x"]"#), request(#""stop":["x","y"]"#), request(#""stream":true"#), request(#""stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}"#),
        request(#""stream":true,"stream_options":{"include_usage":false}"#), request(#""logprobs":true,"top_logprobs":3"#), request(#""logprobs":false,"modalities":["text"],"logit_bias":null"#),
        request(#""modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"},"prediction":{"type":"content","content":"x"},"verbosity":"low""#),
        request(#""response_format":{"type":"text"}"#), request(#""response_format":{"type":"json_object"}"#),
        request(#""response_format":{"type":"json_schema","json_schema":{"name":"a","description":"b","schema":{"type":"object"},"strict":true}}"#),
        request(#""response_format":{"type":"json_object","schema":{"type":"object"}}"#),
        request(#""reasoning_effort":"xhigh""#), request(#""reasoning_effort":"default""#), request(#""safety_identifier":"s","prompt_cache_key":"k","prompt_cache_retention":"24h","service_tier":"flex""#),
        request(#""web_search_options":{},"top_k":5,"min_p":0.1,"repetition_penalty":1.1,"chat_template_kwargs":{"enable_thinking":false}"#),
        request(#""tools":[{"type":"function","function":{"name":"f"}}]"#),
        request(#""tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","x":1.0},"strict":true}},{"type":"custom","custom":{"name":"c","format":{"type":"text"}}},{"type":"web_search"}],"tool_choice":"required","parallel_tool_calls":false"#),
        request(#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"}}"#),
        request(#""tools":[{"type":"custom","custom":{"name":"c"}}],"tool_choice":{"type":"custom","custom":{"name":"c"}}"#),
        request(#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}}"#),
        request(#""functions":[{"name":"f","parameters":{}}],"function_call":{"name":"f"}"#), request(#""functions":[{"name":"f","parameters":{}}],"function_call":"none""#),
        messages(#"{"role":"developer","content":"d"},{"role":"system","content":[{"type":"text","text":"s"}],"name":"n"},"# + user),
        messages(#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b","cache_control":{"type":"ephemeral","ttl":"1h"}}]}"#),
        messages(#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}"#),
        messages(#"{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"mp3"}},{"type":"file","file":{"file_id":"f"}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"}}]}"#),
        messages(user + #",{"role":"assistant","content":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"x","content":"r"}"#),
        messages(user + #",{"role":"assistant","tool_calls":[{"id":"x","type":"custom","custom":{"name":"f","input":"a"}},{"id":"y","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"S"}}}]},{"role":"tool","tool_call_id":"x","content":[{"type":"text","text":"r"}]},{"role":"tool","tool_call_id":"y","content":[{"type":"text","text":"r"},{"type":"text","text":"s"}]}"#),
        messages(user + #",{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"r"}"#),
        messages(user + #",{"role":"assistant","content":"a","refusal":null,"annotations":[{"type":"url_citation"}],"name":"bot"},"# + user),
        messages(user + #",{"role":"assistant","content":null,"refusal":"no"},"# + user), messages(user + #",{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"refusal","refusal":"no"}]},"# + user),
        messages(user + #",{"role":"assistant","audio":{"id":"audio_1"}},"# + user), messages(user + #",{"role":"assistant","content":"","tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"x","content":""}"#),
        messages(#"{"role":"system","content":"s","cache_control":{"type":"ephemeral"}},"# + user),
    ]

    @Test(arguments: kept)
    func theSameDialectGetsWhatWasSent(body: String) throws {
        let (out, dropped) = try translateRequest(body, from: .chat, to: .chat)
        var before = try parsed(body) as? [String: Any] ?? [:]
        before["model"] = "served-model"
        #expect(differences(withoutNulls(before), withoutNulls(try parsed(out))) == [])
        #expect(dropped == [])
    }

    @Test func usageIsAskedForOnTheGatewaysAccount() throws {
        let (out, _) = try translateRequest(request(#""stream":true"#), from: .chat, to: .chat) { $0.asksUsage = true }
        #expect(out.contains(#""stream_options":{"include_usage":true}"#))
        let (quiet, _) = try translateRequest(request(#""stream":true"#), from: .chat, to: .chat, quirks: Quirks.named("mistral")!) { $0.asksUsage = true }
        #expect(!quiet.contains("stream_options"))
        #expect(try !translateRequest(request(""), from: .chat, to: .chat) { $0.asksUsage = true }.body.contains("stream"))
    }

    // MARK: quirks

    struct Quirk: CustomTestStringConvertible {
        var name: String
        var body: String
        var has: [String]
        var hasNot: [String] = []
        var drops: [String] = []
        var testDescription: String { "\(name): \(body.prefix(90))" }
    }
    static let longID = String(repeating: "chatcmpl-tool-", count: 4)
    static let quirks: [Quirk] = [
        Quirk(name: "mistral", body: request(#""max_completion_tokens":5,"seed":7"#), has: [#""max_tokens":5"#, #""random_seed":7"#], hasNot: ["max_completion_tokens", #""seed""#]),
        Quirk(name: "mistral", body: messages(#"{"role":"developer","content":"d"},"# + user), has: [#""role":"system""#], hasNot: ["developer"]),
        Quirk(name: "mistral", body: request(#""user":"u","safety_identifier":"s","prompt_cache_key":"k","service_tier":"auto","store":true"#), has: [], hasNot: ["\"user\":", "safety", "cache", "tier", "store"],
              drops: ["prompt_cache_key", "safety_identifier", "service_tier", "store", "user"]),
        Quirk(name: "mistral", body: messages(user + #",{"role":"assistant","content":"t","reasoning_content":"r"},"# + user),
              has: [#""content":[{"type":"thinking","thinking":[{"type":"text","text":"r"}]},{"type":"text","text":"t"}]"#], hasNot: ["reasoning_content"]),
        Quirk(name: "ollama", body: request(#""max_completion_tokens":5,"user":"u","n":1"#), has: [#""max_tokens":5"#], hasNot: [#""user":"#, #""n""#], drops: ["user"]),
        Quirk(name: "ollama", body: messages(#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#), has: [#""content":"a\n\nb""#]),
        Quirk(name: "ollama", body: request(#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto""#), has: [#""tools""#], hasNot: ["tool_choice"]),
        Quirk(name: "groq", body: request(#""n":1,"presence_penalty":0,"logprobs":false,"metadata":{},"store":false,"reasoning_effort":"xhigh""#), has: [#""reasoning_effort":"high""#],
              hasNot: [#""n""#, "penalty", "logprobs", "metadata", "store"], drops: ["metadata"]),
        Quirk(name: "groq", body: messages(#"{"role":"user","content":"x","name":"bob"}"#), has: [], hasNot: ["bob"], drops: ["messages[].name"]),
        Quirk(name: "deepseek", body: messages(user + #",{"role":"assistant","content":null,"reasoning_content":"r","tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":""}}]},{"role":"tool","tool_call_id":"x","content":"r"}"#),
              has: [#""reasoning_content":"r""#, #""arguments":"{}""#]),
        Quirk(name: "deepseek", body: request(#""response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object","title":"é\"q"}}}"#),
              has: [#""response_format":{"type":"json_object"}"#, #"{"role":"system","content":"Answer with one JSON object, and nothing else, that is valid by this JSON Schema: {\"type\":\"object\",\"title\":\"é\\\"q\"}"}"#], hasNot: ["json_schema"]),
        Quirk(name: "deepseek", body: request(#""thinking":{"type":"disabled"}"#), has: [#""thinking":{"type":"disabled"}"#], hasNot: ["reasoning_effort"]),
        Quirk(name: "zai", body: request(#""reasoning_effort":"high""#), has: [#""thinking":{"type":"enabled"}"#], hasNot: ["reasoning_effort"]),
        Quirk(name: "zai", body: request(#""reasoning_effort":"none""#), has: [#""thinking":{"type":"disabled"}"#]),
        Quirk(name: "openrouter", body: request(#""reasoning":{"max_tokens":2000},"models":["a"],"provider":{"order":["x"]}"#), has: [#""reasoning":{"max_tokens":2000}"#, #""models":["a"]"#, #""provider""#]),
        Quirk(name: "openrouter", body: messages(user + #",{"role":"assistant","content":"a","reasoning":"r","reasoning_details":[{"type":"reasoning.text","text":"r","signature":"S","format":"x"}]},"# + user),
              has: [#""reasoning":"r""#, #""reasoning_details":[{"type":"reasoning.text","text":"r","signature":"S","format":"x"}]"#]),
        Quirk(name: "openai", body: messages(user + #",{"role":"assistant","content":"a","reasoning_content":"r"},"# + user), has: [#""content":"a""#], hasNot: ["reasoning"], drops: ["messages[].reasoning_content"]),
        Quirk(name: "openai", body: request(#""reasoning":{"effort":"low"}"#), has: [#""reasoning_effort":"low""#], hasNot: [#""reasoning":"#]),
        Quirk(name: "azure", body: messages(#"{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}"#), has: [#"[{"type":"text","text":"a"}]"#], drops: ["cache_control"]),
        Quirk(name: "vllm", body: request(#""max_completion_tokens":5,"top_k":4,"stop_token_ids":[1]"#), has: [#""max_tokens":5"#, #""top_k":4"#, #""stop_token_ids":[1]"#]),
        Quirk(name: "perplexity", body: request(#""stream":true,"stream_options":{"include_usage":true},"search_mode":"web""#), has: [#""search_mode""#], hasNot: ["stream_options"]),
        Quirk(name: "openai", body: messages(user + #",{"role":"assistant","content":null,"tool_calls":[{"id":"\#(longID)","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"\#(longID)","content":"r"}"#),
              has: [#""id":"chatcmpl-tool-"#], hasNot: [longID]),
    ]

    @Test(arguments: quirks)
    func eachServerGetsWhatItKnows(row: Quirk) throws {
        let (out, dropped) = try translateRequest(row.body, from: .chat, to: .chat, quirks: Quirks.named(row.name) ?? Quirks())
        for piece in row.has { #expect(out.contains(piece), "\(out)") }
        for piece in row.hasNot { #expect(!out.contains(piece), "\(out)") }
        #expect(dropped.sorted() == row.drops)
        _ = try parsed(out)
    }

    @Test(arguments: [
        ("groq", #""n":2"#, "n"), ("groq", #""presence_penalty":0.5"#, "presence_penalty"), ("groq", #""logprobs":true"#, "logprobs"), ("groq", #""logit_bias":{"5":1}"#, "logit_bias"),
        ("mistral", #""logit_bias":{"5":1}"#, "logit_bias"), ("ollama", #""n":2"#, "n"), ("ollama", #""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required""#, "tool_choice"),
        ("deepseek", #""seed":5"#, "seed"), ("xai", #""logit_bias":{"5":1}"#, "logit_bias"), ("groq", #""tools":[{"type":"custom","custom":{"name":"c"}}]"#, "tools[].custom"),
        ("groq", #""verbosity":"low""#, "verbosity"), ("perplexity", #""tools":[{"type":"function","function":{"name":"f"}}]"#, "tools"), ("together", #""modalities":["audio"]"#, "modalities"),
        ("cerebras", #""parallel_tool_calls":false,"frequency_penalty":1"#, "frequency_penalty"),
    ])
    func whatAServerLacksIsRefusedByNameOrDropped(name: String, member: String, field: String) throws {
        let quirks = try #require(Quirks.named(name))
        do {
            _ = try translateRequest(request(member), from: .chat, to: .chat, quirks: quirks)
            Issue.record("it went through")
        } catch { #expect("\(error)".hasPrefix(field + ": ")) }
        let (out, dropped) = try translateRequest(request(member), from: .chat, to: .chat, quirks: quirks, drops: true)
        #expect(dropped == [field] && !out.contains("\"\(field)\""))
    }

    @Test func imagesByURLAreRefusedWhereOnlyDataIsTaken() throws {
        let body = messages(#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}"#)
        #expect(throws: TestFailure.self) { try translateRequest(body, from: .chat, to: .chat, quirks: Quirks.named("ollama")!) }
        let held = messages(#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}"#)
        #expect(try translateRequest(held, from: .chat, to: .chat, quirks: Quirks.named("ollama")!).body.contains("data:image/png;base64,AAAA"))
    }

    @Test func mistralsIDsAreNineLettersInCallsAndResults() throws {
        let body = messages(user + #",{"role":"assistant","content":null,"tool_calls":[{"id":"call_abcdefghijk","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"abcDEF123","type":"function","function":{"name":"g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call_abcdefghijk","content":"r"},{"role":"tool","tool_call_id":"abcDEF123","content":"s"}"#)
        let (out, _) = try translateRequest(body, from: .chat, to: .chat, quirks: Quirks.named("mistral")!)
        let list = (try parsed(out) as? [String: Any])?["messages"] as? [[String: Any]] ?? []
        let calls = (list[1]["tool_calls"] as? [[String: Any]] ?? []).compactMap { $0["id"] as? String }
        #expect(calls.count == 2 && calls.allSatisfy { $0.utf8.count == 9 && $0.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) } })
        #expect(calls[1] == "abcDEF123" && list[2]["tool_call_id"] as? String == calls[0] && list[3]["tool_call_id"] as? String == calls[1])
    }

    @Test func theNamesAndTheSetsAreTheSameList() {
        for name in Quirks.names { #expect(Quirks.named(name) != nil) }
        #expect(Quirks.named("nobody") == nil && Set(Quirks.names).count == Quirks.names.count)
    }

    @Test func tooManyRootMembersAreRefused() {
        let many = (0..<300).map { "\"k\($0)\":1" }.joined(separator: ",")
        #expect(throws: TestFailure.self) { try translateRequest(request(many), from: .chat, to: .chat) }
    }

    @Test func aLongConversationIsWrittenInLinearTime() throws {
        let turn = #"{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"},"more":1}],"note":1},{"role":"tool","tool_call_id":"x","content":[{"type":"text","text":"r"}]}"#
        let body = messages(Array(repeating: turn, count: 10_000).joined(separator: ","))
        let clock = ContinuousClock()
        var out = ""
        let time = try clock.measure { out = try translateRequest(body, from: .chat, to: .chat).body }
        #expect(out.utf8.count > 2_000_000 && time < .seconds(5))
    }
}
