// Requests of the Responses API: what is read, what is refused in whose words, and what a request of another dialect becomes.
import ClawDialect
import ClawWire
import Foundation
import Testing

/// A conversation read from a body, with the memory it lies in.
private final class ReadRequest {
    let conversation = Conversation()
    private let held: Held
    private var tape = JSONTape()
    var refusal: String?
    init(_ body: String) {
        held = Held(Array(body.utf8))
        conversation.reset(source: .responses)
        guard tape.read(held.bytes) == nil else { refusal = "no JSON"; return }
        do throws(Refusal) { try ResponsesDialect.readRequest(tape.root, into: conversation) } catch { refusal = "\(error.field.string): \(error.reason)" }
    }
    /// One line a message: role and parts.
    var shape: [String] {
        conversation.messages.map { message in
            "\(message.role):" + conversation.parts[message.parts].map { " \($0.kind)" }.joined()
        }
    }
}

private func refusal(_ body: () throws -> Void) -> String {
    do { try body() } catch { return "\(error)" }
    return "none"
}

struct ResponsesRequestTests {
    // MARK: the same dialect on both sides

    /// The members of a request besides model; each comes out as it went in.
    @Test(arguments: [
        #""input":"hello""#,
        #""input":"h","instructions":"be brief""#,
        #""input":[{"role":"user","content":"h"}],"instructions":"be brief""#,
        #""input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]}]"#,
        #""input":[{"role":"user","content":[]},{"role":"user","content":""}]"#,
        #""input":[{"role":"developer","content":"d"},{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a"}]"#,
        #""input":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","phase":"commentary","content":[{"type":"output_text","text":"a","annotations":[],"logprobs":[]},{"type":"refusal","refusal":"no"}]},{"id":"msg_2","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"b","annotations":[{"type":"url_citation","url":"u","title":"t","start_index":0,"end_index":1}]}]},{"role":"user","content":"more"}]"#,
        #""input":[{"role":"user","content":[{"type":"input_image","image_url":"https://x/y.png","detail":"low","file_id":null},{"type":"input_image","image_url":"data:image/png;base64,AAAA"},{"type":"input_image","file_id":"file-1","detail":"auto"}]}]"#,
        #""input":[{"role":"user","content":[{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"},{"type":"input_file","file_id":"file-1"},{"type":"input_file","file_url":"https://x/y.pdf"},{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}]"#,
        #""input":[{"role":"user","content":[{"type":"input_text","text":"a","prompt_cache_breakpoint":{"mode":"explicit"}},{"type":"input_new","x":[1]}]}]"#,
        #""input":[{"role":"user","content":"w"},{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}],"encrypted_content":"gAAA"},{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{\"a\":1}","status":"completed"},{"type":"function_call","call_id":"call_2","name":"f","arguments":""},{"type":"function_call_output","call_id":"call_1","output":"1"},{"type":"function_call_output","id":"fco_1","status":"completed","call_id":"call_2","output":[{"type":"input_text","text":"2"},{"type":"input_image","image_url":"https://x","detail":"auto"}]}]"#,
        #""input":[{"role":"user","content":"w"},{"type":"custom_tool_call","id":"ctc_1","call_id":"c","name":"sql","input":"SELECT 1"},{"type":"custom_tool_call_output","call_id":"c","output":"1"}]"#,
        #""input":[{"type":"item_reference","id":"msg_9"},{"id":"rs_9"},{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q"}},{"role":"user","content":"h"}]"#,
        #""input":"h","tools":[{"type":"function","name":"f","description":null,"parameters":{"type":"object"},"strict":null},{"type":"function","name":"g","parameters":{},"strict":false},{"type":"web_search","filters":{"allowed_domains":["x"]}},{"type":"custom","name":"sql","format":{"type":"grammar","syntax":"lark","definition":"a"}}],"tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":false"#,
        #""input":"h","tools":[{"type":"custom","name":"sql"}],"tool_choice":{"type":"custom","name":"sql"}"#,
        #""input":"h","tools":[],"tool_choice":"none""#,
        #""input":"h","tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]}"#,
        #""input":"h","tool_choice":{"type":"web_search"}"#,
        #""input":"h","text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true,"description":null},"verbosity":"low"}"#,
        #""input":"h","text":{"format":{"type":"json_object"}}"#,
        #""input":"h","text":{"format":{"type":"text"},"new":1}"#,
        #""input":"h","text":{}"#,
        #""input":"h","reasoning":{"effort":"high","summary":"concise","context":"auto"},"max_output_tokens":16,"temperature":0.10,"top_p":1e-1"#,
        #""input":"h","reasoning":{"effort":"galactic"}"#,
        #""input":"h","reasoning":{"effort":null,"summary":null}"#,
        #""input":"h","reasoning":{}"#,
        #""input":"h","include":["reasoning.encrypted_content","message.output_text.logprobs"],"top_logprobs":2"#,
        #""input":"h","include":["web_search_call.action.sources"]"#,
        #""input":"h","store":true,"stream":false,"truncation":"auto","background":false,"metadata":{"a":"b"},"service_tier":"flex","user":"u""#,
        #""input":"h","store":false,"stream":true,"truncation":"disabled","stream_options":{"include_obfuscation":false},"safety_identifier":"s","prompt_cache_key":"k""#,
        #""input":"h","previous_response_id":"resp_1","max_tool_calls":3,"conversation":{"id":"conv_1"},"brand_new":{"x":[null]}"#,
        #""previous_response_id":"resp_1""#,
        #""prompt":{"id":"pmpt_1","variables":{}},"instructions":"i""#,
        #""input":null,"previous_response_id":"resp_1","temperature":null,"tools":null,"text":null,"reasoning":null,"stream":null,"instructions":null"#,
    ])
    func whatIsReadIsWrittenBack(members: String) throws {
        let body = "{\"model\":\"served-model\",\(members)}"
        let (again, dropped) = try translateRequest(body, from: .responses, to: .responses)
        #expect(differences(try parsed(body), try parsed(again)) == [])
        #expect(dropped == [])
    }

    // MARK: reading

    @Test func itemsOfTheAssistantBecomeOneTurn() {
        let read = ReadRequest(
            #"{"model":"m","instructions":"i","input":[{"role":"user","content":"u"},{"type":"reasoning","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"gAAA"},{"role":"assistant","content":"a"},{"type":"function_call","call_id":"1","name":"f","arguments":"{}"},{"type":"function_call","call_id":"2","name":"g","arguments":"{}"},{"type":"function_call_output","call_id":"1","output":"x"},{"type":"function_call_output","call_id":"2","output":"y"},{"role":"user","content":"again"}]}"#)
        #expect(read.refusal == nil)
        #expect(read.shape == ["system: text", "user: text", "assistant: thinking text toolCall toolCall", "tool: toolResult", "tool: toolResult", "user: text"])
        let parts = read.conversation.parts
        #expect(parts[2].text.string == "t" && parts[2].signature.string == "gAAA" && parts[2].signatureOf == .responses)
        #expect(parts[4].id.string == "1" && parts[4].name.string == "f" && parts[6].id.string == "1")
        #expect(read.conversation.inner.map(\.text.string) == ["x", "y"])
    }

    @Test func itemIDsAndCallIDsAreKeptApart() {
        let read = ReadRequest(#"{"model":"m","input":[{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{}"}]}"#)
        #expect(read.conversation.parts[0].id.string == "call_1" && read.conversation.parts[0].itemID.string == "fc_1")
    }

    @Test func membersGoToTheirPlaces() {
        let read = ReadRequest(
            #"{"model":"m","input":"h","max_output_tokens":9007199254740993,"temperature":0.70,"top_logprobs":3,"include":["message.output_text.logprobs"],"reasoning":{"effort":"minimal","summary":"auto"},"text":{"verbosity":"low","format":{"type":"json_schema","name":"n","description":"d","schema":{"a":1},"strict":false}},"store":false,"previous_response_id":"resp_1","metadata":{"k":"v"},"service_tier":"flex","user":"u","prompt_cache_key":"p","stream":true,"parallel_tool_calls":true,"tool_choice":"required"}"#)
        let it = read.conversation
        #expect(read.refusal == nil)
        #expect(it.maxTokens == 9_007_199_254_740_993 && it.temperature.string == "0.70" && it.logprobs == true && it.topLogprobs == 3)
        #expect(it.reasoning.effort == .minimal && it.reasoning.summary.string == "auto" && it.reasoning.includesThoughts == true)
        #expect(it.verbosity.string == "low" && it.format.kind == .jsonSchema && it.format.schema.string == #"{"a":1}"# && it.format.strict == false)
        #expect(it.store == false && it.previousResponseID.string == "resp_1" && it.metadata.string == #"{"k":"v"}"#)
        #expect(it.serviceTier.string == "flex" && it.user.string == "u" && it.promptCacheKey.string == "p" && it.wantsStream && it.includesUsage)
        #expect(it.parallelToolCalls == true)
        if case .required = it.toolChoice {} else { Issue.record("tool_choice is \(it.toolChoice)") }
    }

    @Test func strictIsLeftAsItWasSaid() {
        let read = ReadRequest(#"{"model":"m","input":"h","tools":[{"type":"function","name":"a"},{"type":"function","name":"b","strict":true},{"type":"function","name":"c","strict":false},{"type":"web_search"},{"type":"custom","name":"d"}]}"#)
        #expect(read.conversation.tools.map(\.strict) == [nil, true, false, nil, nil])
        #expect(read.conversation.tools.map(\.kind) == [.function, .function, .function, .hosted, .custom])
    }

    @Test func proofsOfOtherProvidersFindTheirWayBack() {
        let read = ReadRequest(
            #"{"model":"m","input":[{"role":"user","content":"u"},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gemini#@call_1@CiQ="},{"type":"function_call","call_id":"call_1","name":"f","arguments":"{}"},{"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":"messages##EmwK"},{"type":"reasoning","id":"rs_3","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"messages#Eqo"},{"type":"function_call","call_id":"c@2","name":"f","arguments":"{}"},{"type":"reasoning","id":"rs_4","summary":[],"encrypted_content":"gemini#@c@2@Abc"}]}"#)
        #expect(read.shape == ["user: text", "assistant: toolCall redactedThinking thinking toolCall"])
        let parts = read.conversation.parts
        #expect(parts[1].signature.string == "CiQ=" && parts[1].signatureOf == .gemini)
        #expect(parts[2].data.string == "EmwK" && parts[2].signatureOf == .messages)
        #expect(parts[3].signature.string == "Eqo" && parts[3].signatureOf == .messages && parts[3].text.string == "t")
        #expect(parts[4].signature.string == "Abc" && parts[4].signatureOf == .gemini)
    }

    @Test func foreignProofsDoNotReachThisProvider() throws {
        let body = #"{"model":"m","input":[{"role":"user","content":"u"},{"type":"reasoning","id":"rs_3","summary":[],"encrypted_content":"messages#Eqo"},{"role":"assistant","content":"a"},{"role":"user","content":"u"}]}"#
        let (again, dropped) = try translateRequest(body, from: .responses, to: .responses)
        #expect(!again.contains("Eqo") && dropped == ["input[].encrypted_content"])
    }

    // MARK: refusals

    @Test(arguments: [
        (#"[]"#, "body"), (#"{}"#, "model"), (#"{"model":1,"input":"h"}"#, "model"), (#"{"model":"","input":"h"}"#, "model"), (#"{"model":"m"}"#, "input"),
        (#"{"model":"m","input":1}"#, "input"), (#"{"model":"m","input":{}}"#, "input"), (#"{"model":"m","input":["x"]}"#, "input[]"),
        (#"{"model":"m","input":[{}]}"#, "input[].type"), (#"{"model":"m","input":[{"type":1}]}"#, "input[].type"),
        (#"{"model":"m","input":[{"role":"tool","content":"x"}]}"#, "input[].role"), (#"{"model":"m","input":[{"role":1,"content":"x"}]}"#, "input[].role"),
        (#"{"model":"m","input":[{"type":"message","content":"x"}]}"#, "input[].role"), (#"{"model":"m","input":[{"role":"user"}]}"#, "input[].content"),
        (#"{"model":"m","input":[{"role":"user","content":5}]}"#, "input[].content"), (#"{"model":"m","input":[{"role":"user","content":["x"]}]}"#, "input[].content[]"),
        (#"{"model":"m","input":[{"role":"user","content":[{"text":"x"}]}]}"#, "input[].content[].type"),
        (#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text"}]}]}"#, "input[].content[].text"),
        (#"{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":{"url":"x"}}]}]}"#, "input[].content[].image_url"),
        (#"{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"u","file_id":"f"}]}]}"#, "input[].content[].file_id"),
        (#"{"model":"m","input":[{"role":"user","content":[{"type":"input_file","filename":"f"}]}]}"#, "input[].content[].file_data"),
        (#"{"model":"m","input":[{"role":"user","content":[{"type":"input_audio"}]}]}"#, "input[].content[].input_audio.data"),
        (#"{"model":"m","input":[{"type":"function_call","name":"f","arguments":"{}"}]}"#, "input[].call_id"),
        (#"{"model":"m","input":[{"type":"function_call","call_id":"c","arguments":"{}"}]}"#, "input[].name"),
        (#"{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":{}}]}"#, "input[].arguments"),
        (#"{"model":"m","input":[{"type":"function_call_output","call_id":"c"}]}"#, "input[].output"),
        (#"{"model":"m","input":[{"type":"function_call_output","output":"c"}]}"#, "input[].call_id"),
        (#"{"model":"m","input":[{"type":"reasoning","encrypted_content":1}]}"#, "input[].encrypted_content"),
        (#"{"model":"m","input":"h","instructions":[]}"#, "instructions"), (#"{"model":"m","input":"h","tools":{}}"#, "tools"),
        (#"{"model":"m","input":"h","tools":["f"]}"#, "tools[]"), (#"{"model":"m","input":"h","tools":[{"name":"f"}]}"#, "tools[].type"),
        (#"{"model":"m","input":"h","tools":[{"type":"function"}]}"#, "tools[].name"),
        (#"{"model":"m","input":"h","tools":[{"type":"function","name":"f","parameters":"x"}]}"#, "tools[].parameters"),
        (#"{"model":"m","input":"h","tools":[{"type":"function","name":"f","strict":1}]}"#, "tools[].strict"),
        (#"{"model":"m","input":"h","tools":[{"type":"function","function":{"name":"f"}}]}"#, "tools[].name"),
        (#"{"model":"m","input":"h","tool_choice":"any"}"#, "tool_choice"), (#"{"model":"m","input":"h","tool_choice":{"type":"function"}}"#, "tool_choice.name"),
        (#"{"model":"m","input":"h","text":"x"}"#, "text"), (#"{"model":"m","input":"h","text":{"format":{"type":"xml"}}}"#, "text.format.type"),
        (#"{"model":"m","input":"h","text":{"format":{"type":"json_schema","schema":{}}}}"#, "text.format.name"),
        (#"{"model":"m","input":"h","text":{"format":{"type":"json_schema","name":"n"}}}"#, "text.format.schema"),
        (#"{"model":"m","input":"h","text":{"verbosity":1}}"#, "text.verbosity"), (#"{"model":"m","input":"h","reasoning":"high"}"#, "reasoning"),
        (#"{"model":"m","input":"h","reasoning":{"effort":1}}"#, "reasoning.effort"), (#"{"model":"m","input":"h","reasoning":{"summary":true}}"#, "reasoning.summary"),
        (#"{"model":"m","input":"h","max_output_tokens":0}"#, "max_output_tokens"), (#"{"model":"m","input":"h","max_output_tokens":1.5}"#, "max_output_tokens"),
        (#"{"model":"m","input":"h","max_output_tokens":"9"}"#, "max_output_tokens"), (#"{"model":"m","input":"h","temperature":"0"}"#, "temperature"),
        (#"{"model":"m","input":"h","top_p":[]}"#, "top_p"), (#"{"model":"m","input":"h","top_logprobs":21}"#, "top_logprobs"),
        (#"{"model":"m","input":"h","include":"x"}"#, "include"), (#"{"model":"m","input":"h","include":[1]}"#, "include"),
        (#"{"model":"m","input":"h","store":"no"}"#, "store"), (#"{"model":"m","input":"h","stream":1}"#, "stream"),
        (#"{"model":"m","input":"h","background":"x"}"#, "background"), (#"{"model":"m","input":"h","truncation":1}"#, "truncation"),
        (#"{"model":"m","input":"h","metadata":[]}"#, "metadata"), (#"{"model":"m","input":"h","user":1}"#, "user"),
        (#"{"model":"m","input":"h","previous_response_id":1}"#, "previous_response_id"), (#"{"model":"m","input":"h","service_tier":1}"#, "service_tier"),
        (#"{"model":"m","input":"h","parallel_tool_calls":1}"#, "parallel_tool_calls"), (#"{"model":"m","input":"h","prompt_cache_key":1}"#, "prompt_cache_key"),
        (#"{"model":"m","input":"h","input":"x"}"#, "input"),
    ])
    func whatIsWrongIsRefusedByItsName(body: String, field: String) {
        #expect(ReadRequest(body).refusal?.hasPrefix(field + ": ") == true, "\(ReadRequest(body).refusal ?? "taken")")
    }

    @Test func backgroundIsRefusedEvenForItsOwnUpstream() throws {
        let body = #"{"model":"m","input":"h","background":true}"#
        #expect(refusal { _ = try translateRequest(body, from: .responses, to: .responses) }.hasPrefix("background: "))
        let (again, dropped) = try translateRequest(body, from: .responses, to: .responses, drops: true)
        #expect(!again.contains("background") && dropped == ["background"])
    }

    @Test func anEarlierResponseIsKnownToItsOwnDialectAlone() throws {
        let read = ReadRequest(#"{"model":"m","input":"h","previous_response_id":"resp_1"}"#)
        try read.conversation.refuseExtras(of: .responses)
        #expect(refusal { try read.conversation.refuseExtras(of: .gemini) }.contains("this upstream does not have the earlier response"))
        read.conversation.dropsUnsupported = true
        try read.conversation.refuseExtras(of: .gemini)
        #expect(read.conversation.dropped.map(\.string) == ["previous_response_id"])
    }

    /// What other dialects' writers would refuse, and what they would pass over without a word.
    @Test func extrasAreLoudExactlyWhereTheAnswerDependsOnThem() throws {
        let loud = ReadRequest(#"{"model":"m","input":"h","truncation":"auto","max_tool_calls":1,"include":["web_search_call.results"],"reasoning":{"context":"auto"},"safety_identifier":"s","tool_choice":{"type":"web_search"},"tools":[{"type":"function","name":"f","defer_loading":true}]}"#)
        loud.conversation.dropsUnsupported = true
        try loud.conversation.refuseExtras(of: .messages)
        #expect(Set(loud.conversation.dropped.map(\.string)) == ["truncation", "max_tool_calls", "include", "reasoning.context", "safety_identifier", "tool_choice", "defer_loading"])
        let quiet = ReadRequest(#"{"model":"m","input":[{"type":"message","id":"msg_1","role":"assistant","status":"completed","phase":"final_answer","content":[{"type":"output_text","text":"x","annotations":[],"logprobs":[]}]},{"type":"function_call","id":"f","status":"completed","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"x","status":"completed"}],"truncation":"disabled","background":false,"stream":false,"include":["reasoning.encrypted_content"],"text":{},"reasoning":{"effort":null},"tools":[],"temperature":null}"#)
        #expect(quiet.refusal == nil)
        try quiet.conversation.refuseExtras(of: .messages)
        #expect(quiet.conversation.dropped.isEmpty)
    }

    @Test func manyItemsWithManyExtrasAreWrittenInOneWalk() throws {
        let items = (0..<20_000).map { #"{"type":"message","role":"user","content":[{"type":"input_text","text":"\#($0)","odd":\#($0)}]}"# }.joined(separator: ",")
        let body = "{\"model\":\"served-model\",\"input\":[\(items)]}"
        #expect(differences(try parsed(body), try parsed(try translateRequest(body, from: .responses, to: .responses).body)) == [])
    }
}
