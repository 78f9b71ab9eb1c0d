import ClawDialect
import ClawWire
import Foundation
import Testing

struct OllamaRequestTests {
    /// The neutral conversation of a body; it must outlive its texts, so the closure gets it.
    private func read<R>(_ body: String, _ dialect: DialectID = .ollama, _ use: (Conversation) throws -> R) throws -> R {
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        if let refusal = tape.read(held.bytes) { throw TestFailure(description: "\(refusal)") }
        let conversation = Conversation()
        conversation.reset(source: dialect)
        do throws(Refusal) { try dialect.pieces.readRequest(tape.root, into: conversation) } catch {
            throw TestFailure(description: "\(error.field.string): \(error.reason)")
        }
        return try use(conversation)
    }
    private func refused(_ body: String, _ dialect: DialectID = .ollama) -> String? {
        do {
            try read(body, dialect) { _ in }
            return nil
        } catch {
            return "\(error)"
        }
    }
    private static let hello = #""model":"m","messages":[{"role":"user","content":"hi"}]"#

    @Test func streamingIsTheDefault() throws {
        #expect(try read("{\(Self.hello)}") { $0.wantsStream } && read("{\(Self.hello),\"stream\":null}") { $0.wantsStream })
        #expect(try !read("{\(Self.hello),\"stream\":false}") { $0.wantsStream })
        #expect(try read(#"{"model":"m","prompt":"hi"}"#, .ollamaGenerate) { $0.wantsStream })
        // Towards an upstream it is said either way.
        #expect(try translateRequest("{\(Self.hello),\"stream\":false}", from: .ollama, to: .ollama).body.contains("\"stream\":false"))
    }

    @Test func optionsAreFields() throws {
        let options = #"{"temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.05,"seed":9007199254740993,"num_predict":100,"stop":["a","b"],"presence_penalty":1,"frequency_penalty":-1,"num_ctx":8192,"repeat_penalty":1.2,"num_gpu":1,"mirostat":0}"#
        try read("{\(Self.hello),\"options\":\(options)}") { one in
            #expect(one.temperature.string == "0.5" && one.topP.string == "0.9" && one.topK.string == "40" && one.minP.string == "0.05")
            #expect(one.seed.string == "9007199254740993" && one.maxTokens == 100 && one.stop.map(\.string) == ["a", "b"])
            #expect(one.presencePenalty.string == "1" && one.frequencyPenalty.string == "-1")
            #expect(one.extras.map(\.key.string) == ["options.num_ctx", "options.repeat_penalty", "options.num_gpu", "options.mirostat"])
        }
        // All of it goes back where it was.
        let body = "{\(Self.hello),\"stream\":true,\"keep_alive\":\"5m\",\"truncate\":false,\"options\":\(options)}"
        let again = try translateRequest(body, from: .ollama, to: .ollama, model: "m").body
        #expect(differences(try parsed(body), try parsed(again)) == [])
    }

    @Test func noLimitOfTokensIsNoField() throws {
        for count in [-1, -2, 0] {
            try read("{\(Self.hello),\"options\":{\"num_predict\":\(count)}}") { #expect($0.maxTokens == nil) }
            let (_, dropped) = try translateRequest("{\(Self.hello),\"options\":{\"num_predict\":\(count)}}", from: .ollama, to: .cohere)
            #expect(dropped == ["options.num_predict"])
        }
    }

    @Test func whatOnlyOllamaKnowsIsRefusedByItsWholeName() throws {
        func toCohere(_ more: String, drops: Bool = false) throws -> [String] {
            try translateRequest("{\(Self.hello),\(more)}", from: .ollama, to: .cohere, drops: drops).dropped
        }
        #expect(throws: TestFailure.self) { try toCohere(#""options":{"num_ctx":1}"#) }
        #expect(try toCohere(#""options":{"num_ctx":1,"min_p":0.1},"truncate":true,"keep_alive":0"#, drops: true).sorted()
            == ["keep_alive", "options.min_p", "options.num_ctx", "truncate"])
        // Hints, defaults and nulls are no reason to refuse.
        #expect(try toCohere(#""keep_alive":-1,"think":null,"format":null,"options":{"num_thread":4,"repeat_penalty":1.0,"seed":null}"#)
            == ["keep_alive", "options.num_thread", "options.repeat_penalty"])
        #expect(try toCohere(#""format":"","options":{},"tools":[]"#) == [])
    }

    @Test(arguments: [
        (#""think":true"#, #""thinking":{"type":"enabled"}"#), (#""think":false"#, #""thinking":{"type":"disabled"}"#),
        (#""think":"low""#, #""thinking":{"type":"enabled","token_budget":1024}"#), (#""think":"max""#, #""thinking":{"type":"enabled"}"#),
        (#""format":"json""#, #""response_format":{"type":"json_object"}"#),
        (#""format":{"type":"object"}"#, #""response_format":{"type":"json_object","json_schema":{"type":"object"}}"#),
        (#""options":{"stop":["x"],"num_predict":5}"#, #""max_tokens":5,"stop_sequences":["x"]"#),
    ])
    func thinkAndFormatHaveTheirLikeElsewhere(native: String, other: String) throws {
        let body = try translateRequest("{\(Self.hello),\(native)}", from: .ollama, to: .cohere).body
        let wanted = #"{"model":"served-model","messages":[{"role":"user","content":"hi"}],"stream":true,"# + other + "}"
        #expect(differences(try parsed(body), try parsed(wanted)) == [])
    }

    @Test func imagesAreToldByTheirFirstBytes() throws {
        let images = ["/9j/AA", #"\/9j\/AA"#, "iVBORw", "R0lGODdh", "UklGRg", "data:image/bmp;base64,Qk0="]
        let list = images.map { "\"\($0)\"" }.joined(separator: ",")
        try read(#"{"model":"m","messages":[{"role":"user","content":"look","images":["# + list + "]}]}") { one in
            #expect(one.parts.map(\.kind) == [.text, .image, .image, .image, .image, .image, .image])
            #expect(one.parts.dropFirst().map(\.mediaType.string) == ["image/jpeg", "image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp"])
            #expect(one.parts.last?.data.string == "Qk0=")
        }
        let body = try translateRequest(#"{"model":"m","messages":[{"role":"user","content":"","images":["iVBORw"]}]}"#, from: .ollama, to: .cohere).body
        #expect(body.contains(#""content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw"}}]"#))
        let prompt = try translateRequest(#"{"model":"m","prompt":"what","images":["iVBORw"]}"#, from: .ollamaGenerate, to: .ollama).body
        #expect(prompt.contains(#"{"role":"user","content":"what","images":["iVBORw"]}"#))
    }

    @Test(arguments: [
        // By id, by name, in order; calls without ids get the same ones in every turn.
        (#"{"id":"c1","function":{"name":"a","arguments":{}}},{"id":"c2","function":{"name":"b","arguments":{}}}"#,
            [#""tool_call_id":"c2""#, #""tool_call_id":"c1""#], ["c1", "c2"], ["c2", "c1"]),
        (#"{"function":{"name":"a","arguments":{}}},{"function":{"name":"b","arguments":{}}}"#,
            [#""tool_name":"b""#, #""tool_name":"a""#], ["call_ollama_0", "call_ollama_1"], ["call_ollama_1", "call_ollama_0"]),
        (#"{"function":{"name":"a","arguments":{}}},{"function":{"name":"a","arguments":{}}}"#,
            [#""tool_name":"a""#, #""tool_name":"a""#], ["call_ollama_0", "call_ollama_1"], ["call_ollama_0", "call_ollama_1"]),
        (#"{"function":{"name":"a"}},{"function":{"name":"b","arguments":null}}"#,
            [#""x":1"#, #""tool_name":"unheard""#], ["call_ollama_0", "call_ollama_1"], ["call_ollama_0", "call_ollama_1"]),
    ])
    func resultsFindTheirCalls(calls: String, results: [String], ids: [String], answered: [String]) throws {
        let body = #"{"model":"m","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"","tool_calls":["# + calls + "]},"
            + results.map { #"{"role":"tool","content":"r","# + $0 + "}" }.joined(separator: ",") + "]}"
        try read(body) { one in
            #expect(one.parts.filter { $0.kind == .toolCall }.map(\.id.string) == ids)
            #expect(one.parts.filter { $0.kind == .toolResult }.map(\.id.string) == answered)
        }
        // Ids that were made don't go back to Ollama.
        let again = try translateRequest(body, from: .ollama, to: .ollama).body
        #expect(!again.contains("call_ollama_") && again.contains("\"c1\"") == ids.contains("c1"))
    }

    @Test func manyCallsAndResultsArePairedInTime() throws {
        let count = 20_000
        let calls = Array(repeating: #"{"function":{"name":"a","arguments":{}}}"#, count: count).joined(separator: ",")
        let results = Array(repeating: #"{"role":"tool","content":"r","tool_name":"b"}"#, count: count).joined(separator: ",")
        try read(#"{"model":"m","messages":[{"role":"assistant","tool_calls":["# + calls + "]}," + results + "]}") { one in
            #expect(one.parts.last?.id.string == "call_ollama_\(count - 1)")
        }
    }

    @Test(arguments: [
        (#"{"messages":[]}"#, "model"), (#"{"model":"","messages":[]}"#, "model"), (#"{"model":5,"messages":[]}"#, "model"), (#"{"model":"m"}"#, "messages"),
        (#"{"model":"m","messages":null}"#, "messages"), (#"{"model":"m","messages":{}}"#, "messages"), (#"{"model":"m","messages":[1]}"#, "messages[]"),
        (#"{"model":"m","messages":[{"role":"robot"}]}"#, "messages[].role"), (#"{"model":"m","messages":[{"content":"x"}]}"#, "messages[].role"),
        (#"{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]}"#, "messages[].content"),
        (#"{"model":"m","messages":[{"role":"assistant","thinking":true}]}"#, "messages[].thinking"),
        (#"{"model":"m","messages":[{"role":"user","images":"x"}]}"#, "messages[].images"),
        (#"{"model":"m","messages":[{"role":"user","images":[7]}]}"#, "messages[].images"),
        (#"{"model":"m","messages":[{"role":"assistant","tool_calls":{"a":1}}]}"#, "messages[].tool_calls"),
        (#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{}]}]}"#, "messages[].tool_calls[].function"),
        (#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":{}}}]}]}"#, "messages[].tool_calls[].function.name"),
        (#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"a","arguments":"{}"}}]}]}"#, "messages[].tool_calls[].function.arguments"),
        (#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":1,"function":{"name":"a"}}]}]}"#, "messages[].tool_calls[].id"),
        (#"{"model":"m","messages":[{"role":"tool","tool_name":1}]}"#, "messages[].tool_name"),
        (#"{"model":"m","messages":[{"role":"tool","tool_call_id":1}]}"#, "messages[].tool_call_id"),
        (#"{"model":"m","messages":[],"stream":"yes"}"#, "stream"), (#"{"model":"m","messages":[],"options":[]}"#, "options"),
        (#"{"model":"m","messages":[],"options":{"temperature":"hot"}}"#, "options.temperature"),
        (#"{"model":"m","messages":[],"options":{"seed":1.5}}"#, "options.seed"), (#"{"model":"m","messages":[],"options":{"top_k":"a"}}"#, "options.top_k"),
        (#"{"model":"m","messages":[],"options":{"num_predict":true}}"#, "options.num_predict"),
        (#"{"model":"m","messages":[],"options":{"stop":"x"}}"#, "options.stop"), (#"{"model":"m","messages":[],"options":{"stop":[1]}}"#, "options.stop"),
        (#"{"model":"m","messages":[],"format":"xml"}"#, "format"), (#"{"model":"m","messages":[],"format":3}"#, "format"),
        (#"{"model":"m","messages":[],"think":"hard"}"#, "think"), (#"{"model":"m","messages":[],"think":"minimal"}"#, "think"),
        (#"{"model":"m","messages":[],"keep_alive":[]}"#, "keep_alive"), (#"{"model":"m","messages":[],"logprobs":1}"#, "logprobs"),
        (#"{"model":"m","messages":[],"top_logprobs":21}"#, "top_logprobs"), (#"{"model":"m","messages":[],"tools":{}}"#, "tools"),
        (#"{"model":"m","messages":[],"tools":[1]}"#, "tools[]"), (#"{"model":"m","messages":[],"tools":[{"type":"web"}]}"#, "tools[].type"),
        (#"{"model":"m","messages":[],"tools":[{"function":1}]}"#, "tools[].function"), (#"{"model":"m","messages":[],"tools":[{"function":{}}]}"#, "tools[].function.name"),
        (#"{"model":"m","messages":[],"tools":[{"function":{"name":"a","parameters":[]}}]}"#, "tools[].function.parameters"),
        (#"{"model":"m","messages":[],"model":"n"}"#, "model"), (#"[]"#, "body"), (#"3"#, "body"),
    ])
    func whatIsNoRequestIsRefusedByItsField(body: String, field: String) { #expect(refused(body)?.hasPrefix(field + ": ") == true, "\(refused(body) ?? "read")") }

    @Test(arguments: [
        (#"{"model":"m"}"#, "prompt"), (#"{"model":"m","prompt":""}"#, "prompt"), (#"{"model":"m","prompt":["a"]}"#, "prompt"), (#"{"prompt":"a"}"#, "model"),
        (#"{"model":"m","prompt":"a","system":1}"#, "system"), (#"{"model":"m","prompt":"a","images":{}}"#, "images"),
    ])
    func whatIsNoPromptIsRefused(body: String, field: String) { #expect(refused(body, .ollamaGenerate)?.hasPrefix(field + ": ") == true) }

    @Test func aPromptIsAConversation() throws {
        let body = #"{"model":"m","system":"be brief","prompt":"why?","stream":false,"options":{"num_ctx":4096},"keep_alive":"1m","think":true}"#
        let chat = try translateRequest(body, from: .ollamaGenerate, to: .ollama).body
        let wanted = #"{"model":"served-model","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"why?"}],"stream":false,"options":{"num_ctx":4096},"keep_alive":"1m","think":true}"#
        #expect(differences(try parsed(chat), try parsed(wanted)) == [])
        let own = try translateRequest(body, from: .ollamaGenerate, to: .ollamaGenerate, model: "m").body
        #expect(differences(try parsed(body), try parsed(own)) == [])
        // What a prompt alone has.
        for more in [#""suffix":"b""#, #""raw":true"#, #""template":"x""#, #""context":[1,2]"#] {
            let one = String(body.dropLast()) + "," + more + "}"
            #expect(throws: TestFailure.self) { try translateRequest(one, from: .ollamaGenerate, to: .ollama) }
            #expect(try translateRequest(one, from: .ollamaGenerate, to: .cohere, drops: true).dropped.contains(String(more.split(separator: "\"")[0])))
            #expect(differences(try parsed(one), try parsed(translateRequest(one, from: .ollamaGenerate, to: .ollamaGenerate, model: "m").body)) == [])
        }
        for more in [#""suffix":"""#, #""raw":false"#] {
            #expect(throws: Never.self) { try translateRequest(String(body.dropLast()) + "," + more + "}", from: .ollamaGenerate, to: .ollama) }
        }
    }

    @Test func aFieldIsNamedInOllamasWords() {
        #expect(OllamaDialect.name(of: .topK).description == "options.top_k" && OllamaDialect.name(of: .responseFormat).description == "format")
        #expect(OllamaDialect.name(of: .reasoning).description == "think" && OllamaDialect.name(of: .maxTokens).description == "options.num_predict")
        #expect(OllamaDialect.name(of: .image).description == "messages[].images" && OllamaGenerateDialect.name(of: .image).description == "images")
        #expect(OllamaDialect.name(of: .toolChoice).description == "tool_choice")
    }
}
