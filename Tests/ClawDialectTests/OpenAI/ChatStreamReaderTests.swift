// What the reader of chat streams says of each thing that OpenAI or one of its likes does: a table row for each.
import ClawDialect
import ClawWire
import Foundation
import Testing

/// The reader's events as words: `text[0] Hi`.
func chatEvents(_ chunks: [String], _ quirks: Quirks = Quirks(), keepsExtras: Bool = false, legacy: Bool = false) -> [String] {
    let reader = legacy ? CompletionsDialect.streamReader(quirks) : ChatDialect.streamReader(quirks)
    let list = EventList()
    list.keepsExtras = keepsExtras
    var out: [String] = []
    func flush() {
        for event in list.events { out.append(word(event)) }
    }
    for chunk in chunks {
        list.reset()
        let isNamed = chunk.hasPrefix("error:")
        let held = Held(Array((isNamed ? String(chunk.dropFirst(6)) : chunk).utf8))
        reader.read(WireEvent(held.bytes, name: isNamed ? JSONBytes("error") : JSONBytes(), kind: chunk == "[DONE]" ? .done : .event), into: list)
        flush()
    }
    list.reset()
    reader.finish(into: list)
    flush()
    out.append(reader.sawEnd ? "whole" : "cut")
    return out

    func word(_ event: StreamEvent) -> String {
        let place = event.choice == 0 ? "" : "[\(event.choice)]"
        switch event.kind {
        case .start: return "start \(event.id.string) \(event.name.string) \(event.number)"
        case .textDelta: return "text\(place) \(event.text.string)"
        case .thinkingDelta: return "think\(place) \(event.text.string)"
        case .refusalDelta: return "refusal\(place) \(event.text.string)"
        case .callStart: return "call\(place) \(event.index) \(event.id.string) \(event.name.string)" + (event.isCustom ? " custom" : "") + (event.text.isEmpty ? "" : " signed \(event.text.string)")
        case .callArguments: return "args\(place) \(event.index) \(event.json.exists ? "raw " + event.json.string : event.text.string)"
        case .signature: return "signature\(place)\(event.isCall ? " call \(event.index)" : "") \(event.text.string)"
        case .redactedThinking: return "hidden\(place) \(event.text.string)"
        case .finish: return "finish\(place) \(event.finish) \(event.name.string)"
        case .usage: return "usage \(event.usage.input) \(event.usage.output) \(event.usage.cacheRead) \(event.usage.reasoning)"
        case .error: return "error \(event.error!.problem) \(event.error!.status) \(event.error!.code.string): \(event.error!.message.string)"
        case .end: return "end"
        case .opaque: return "opaque"
        case .citation: return "citation"
        case .ping, .partStart, .partEnd, .callEnd: return "\(event.kind)"
        }
    }
}

struct ChatStreamReaderTests {
    struct Row: CustomTestStringConvertible {
        var testDescription: String
        var chunks: [String]
        var events: [String]
        var quirks = Quirks()
        init(_ name: String, _ chunks: [String], _ events: [String], _ quirks: Quirks = Quirks()) {
            testDescription = name; self.chunks = chunks; self.events = events; self.quirks = quirks
        }
    }

    static func delta(_ delta: String, finish: String = "null", index: Int = 0, rest: String = "") -> String {
        #"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":\#(index),"delta":\#(delta),"finish_reason":\#(finish)}]\#(rest)}"#
    }
    static let role = delta(#"{"role":"assistant","content":"","refusal":null}"#)
    static let stop = delta("{}", finish: #""stop""#)
    static let start = "start c1 m 7"

    static let rows: [Row] = [
        Row("text", [role, delta(#"{"content":"Hi"}"#), delta(#"{"content":" \n\u00e9"}"#), stop, "[DONE]"],
            [start, "text Hi", #"text  \n\u00e9"#, "finish stop stop", "end", "whole"]),
        Row("a role and empty content on every delta (OpenRouter) are no events", [role, role, delta(#"{"role":"assistant","content":"a"}"#), role, stop, "[DONE]"],
            [start, "text a", "finish stop stop", "end", "whole"]),
        Row("the finish reason comes twice (OpenRouter)",
            [role, stop, delta(#"{"content":""}"#, finish: #""stop""#, rest: #","usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#), "[DONE]"],
            [start, "finish stop stop", "usage 3 2 0 0", "end", "whole"]),
        Row("usage in a chunk without choices (OpenAI)", [role, stop, #"{"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#, "[DONE]"],
            [start, "finish stop stop", "usage 3 2 0 0", "end", "whole"]),
        Row("usage on every chunk is a running total, never added (Perplexity, vLLM)",
            [delta(#"{"content":"a"}"#, rest: #","usage":{"prompt_tokens":3,"completion_tokens":1}"#), delta(#"{"content":"b"}"#, rest: #","usage":{"prompt_tokens":3,"completion_tokens":2}"#), stop],
            [start, "text a", "usage 3 1 0 0", "text b", "usage 3 2 0 0", "finish stop stop", "end", "whole"]),
        Row("usage null on each chunk is none (DeepSeek)", [delta(#"{"content":"a"}"#, rest: #","usage":null"#), stop, "[DONE]"], [start, "text a", "finish stop stop", "end", "whole"]),
        Row("usage in the finish chunk with DeepSeek's cache words",
            [delta(#"{"content":""}"#, finish: #""stop""#, rest: #","usage":{"prompt_tokens":10,"completion_tokens":1,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6}"#), "[DONE]"],
            [start, "finish stop stop", "usage 10 1 4 0", "end", "whole"]),
        Row("usage in x_groq", [delta("{}", finish: #""stop""#, rest: #","x_groq":{"id":"r","usage":{"prompt_tokens":3,"completion_tokens":2}}"#), "[DONE]"],
            [start, "finish stop stop", "usage 3 2 0 0", "end", "whole"]),
        Row("reasoning that completion_tokens leaves out is added where the total says so (xAI)",
            [stop, #"{"id":"c1","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":45,"completion_tokens_details":{"reasoning_tokens":30}}}"#, "[DONE]"],
            [start, "finish stop stop", "usage 10 35 0 30", "end", "whole"]),
        Row("and where there is no total, by the quirk",
            [stop, #"{"id":"c1","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":30}}}"#, "[DONE]"],
            [start, "finish stop stop", "usage 10 35 0 30", "end", "whole"], Quirks.named("xai")!),
        Row("reasoning that is more than all of it is cut down (OpenRouter)",
            [stop, #"{"id":"c1","choices":[],"usage":{"prompt_tokens":43,"completion_tokens":10,"total_tokens":53,"completion_tokens_details":{"reasoning_tokens":11}}}"#, "[DONE]"],
            [start, "finish stop stop", "usage 43 10 0 10", "end", "whole"]),
        Row("no [DONE] after a finish (Perplexity): whole", [delta(#"{"content":"a"}"#), stop], [start, "text a", "finish stop stop", "end", "whole"]),
        Row("no [DONE] and no finish: cut", [delta(#"{"content":"a"}"#)], [start, "text a", "cut"]),
        Row("one of two choices has not finished: cut", [delta(#"{"content":"a"}"#), delta(#"{"content":"b"}"#, index: 1), stop], [start, "text a", "text[1] b", "finish stop stop", "cut"]),
        Row("[DONE] and no finish reason: whole by its own word", [delta(#"{"content":"a"}"#), "[DONE]"], [start, "text a", "finish stop ", "end", "whole"]),
        Row("nothing but [DONE] is no answer", ["[DONE]"], ["error serverError 502 upstream_malformed_answer: the upstream sent an event that is no chunk of an answer", "whole"]),
        Row("what follows the end is not read", [stop, "[DONE]", delta(#"{"content":"late"}"#)], [start, "finish stop stop", "end", "whole"]),
        Row("no finish_reason key until the last (Z.ai, Foundry)", [#"{"id":"c1","model":"m","created":7,"choices":[{"index":0,"delta":{"content":"a"}}]}"#, stop, "[DONE]"],
            [start, "text a", "finish stop stop", "end", "whole"]),
        Row("Azure's first chunk has no choices and an empty id", [#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[]}"#, role, delta(#"{"content":"a"}"#), stop, "[DONE]"],
            [start, "text a", "finish stop stop", "end", "whole"]),
        Row("Azure's filter chunks without text, also behind the finish",
            [delta(#"{"content":"a"}"#), stop, #"{"id":"c1","choices":[{"index":0,"content_filter_offsets":{"check_offset":1},"finish_reason":null}]}"#, "[DONE]"],
            [start, "text a", "finish stop stop", "end", "whole"]),
        Row("n = 2 interleaved", [role, delta(#"{"role":"assistant","content":""}"#, index: 1), delta(#"{"content":"b"}"#, index: 1), delta(#"{"content":"a"}"#), stop, delta("{}", finish: #""length""#, index: 1), "[DONE]"],
            [start, "text[1] b", "text a", "finish stop stop", "finish[1] length length", "end", "whole"]),
        Row("two choices in one chunk", [#"{"id":"c1","model":"m","created":7,"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}"#, "[DONE]"],
            [start, "text a", "text[1] b", "finish stop ", "finish[1] stop ", "end", "whole"]),
        Row("refusal", [delta(#"{"refusal":"no"}"#), stop, "[DONE]"], [start, "refusal no", "finish stop stop", "end", "whole"]),
        Row("reasoning by both names", [delta(#"{"reasoning_content":"a"}"#), delta(#"{"content":"","reasoning":"b","channel":"analysis"}"#), delta(#"{"reasoning_content":"c","reasoning":"c"}"#), stop, "[DONE]"],
            [start, "think a", "think b", "think c", "finish stop stop", "end", "whole"]),
        Row("a thought comes before the text of the same delta", [delta(#"{"content":"t","reasoning_content":"r"}"#), stop, "[DONE]"], [start, "think r", "text t", "finish stop stop", "end", "whole"]),
        Row("reasoning_details repeat the text and bring the signature",
            [delta(#"{"reasoning":"a","reasoning_details":[{"type":"reasoning.text","text":"a","index":0}]}"#), delta(#"{"reasoning_details":[{"type":"reasoning.text","signature":"S","index":0}]}"#),
             delta(#"{"reasoning_details":[{"type":"reasoning.encrypted","data":"E","index":1}]}"#), delta(#"{"reasoning_details":[{"type":"reasoning.text","text":"only here"}]}"#), stop, "[DONE]"],
            [start, "think a", "signature S", "hidden E", "think only here", "finish stop stop", "end", "whole"]),
        Row("Mistral closes a thought and begins the text in one chunk",
            [delta(#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"closed":true},{"type":"text","text":"c"}]}"#), delta(#"{"content":"d"}"#, finish: #""stop""#, rest: #","p":"abc""#), "[DONE]"],
            [start, "think ab", "text c", "text d", "finish stop stop", "end", "whole"]),
        Row("a call within the role delta, its arguments in pieces",
            [delta(#"{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":""}}]}"#),
             delta(#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}"#), delta(#"{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}"#), delta("{}", finish: #""tool_calls""#), "[DONE]"],
            [start, "call 0 x f", #"args 0 {\"a\""#, "args 0 :1}", "finish toolCalls tool_calls", "end", "whole"]),
        Row("parallel calls by index",
            [delta(#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":""}}]}"#), delta(#"{"tool_calls":[{"index":1,"id":"y","function":{"name":"g","arguments":""}}]}"#),
             delta(#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}},{"index":1,"function":{"arguments":"[]"}}]}"#), "[DONE]"],
            [start, "call 0 x f", "call 1 y g", "args 0 {}", "args 1 []", "finish toolCalls ", "end", "whole"]),
        Row("no index: a new id is a new call (old Mistral)",
            [delta(#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}]}"#, finish: #""tool_calls""#), "[DONE]"],
            [start, "call 0 a f", "args 0 {}", "call 1 b g", "args 1 {}", "finish toolCalls tool_calls", "end", "whole"]),
        Row("no index and no id: goes on", [delta(#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}"#), delta(#"{"tool_calls":[{"function":{"arguments":"}"}}]}"#), "[DONE]"],
            [start, "call 0 a f", "args 0 {", "args 0 }", "finish toolCalls ", "end", "whole"]),
        Row("the same index with another id is a new call", [delta(#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#), delta(#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}]}"#), "[DONE]"],
            [start, "call 0 a f", "args 0 {}", "call 1 b f", "args 1 {}", "finish toolCalls ", "end", "whole"]),
        Row("the same id again, or an empty one, is the same call",
            [delta(#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}"#), delta(#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"\"x\""}}]}"#),
             delta(#"{"tool_calls":[{"index":0,"id":"","type":"function","function":{"arguments":":1}"}}]}"#), "[DONE]"],
            [start, "call 0 a f", "args 0 {", #"args 0 \"x\""#, "args 0 :1}", "finish toolCalls ", "end", "whole"]),
        Row("two whole calls with the id \"\" under one index (Gemini)",
            [delta(#"{"tool_calls":[{"index":0,"id":"","function":{"name":"f","arguments":"{}"}},{"index":0,"id":"","function":{"name":"g","arguments":"{}"}}]}"#), "[DONE]"],
            [start, "call 0  f", "args 0 {}", "call 1  g", "args 1 {}", "finish toolCalls ", "end", "whole"]),
        Row("arguments as an object", [delta(#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{"n":9007199254740993}}}]}"#), "[DONE]"],
            [start, "call 0 a f", #"args 0 raw {"n":9007199254740993}"#, "finish toolCalls ", "end", "whole"]),
        Row("a call's thought signature", [delta(#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"},"extra_content":{"google":{"thought_signature":"S"}}}]}"#), "[DONE]"],
            [start, "call 0 a f signed S", "finish toolCalls ", "end", "whole"]),
        Row("a custom tool's call", [delta(#"{"tool_calls":[{"index":0,"id":"a","type":"custom","custom":{"name":"f","input":"x y"}}]}"#), "[DONE]"],
            [start, "call 0 a f custom", "args 0 x y", "finish toolCalls ", "end", "whole"]),
        Row("the old function_call", [delta(#"{"role":"assistant","content":null,"function_call":{"name":"f","arguments":""}}"#), delta(#"{"function_call":{"arguments":"{}"}}"#), delta("{}", finish: #""function_call""#), "[DONE]"],
            [start, "call 0  f", "args 0 {}", "finish toolCalls function_call", "end", "whole"]),
        Row("tool_calls null or empty are none (Mistral, old vLLM)", [delta(#"{"content":"a","tool_calls":null}"#), delta(#"{"content":"b","tool_calls":[]}"#), stop, "[DONE]"],
            [start, "text a", "text b", "finish stop stop", "end", "whole"]),
        Row("Mistral's model_length", [delta("{}", finish: #""model_length""#), "[DONE]"], [start, "finish length model_length", "end", "whole"]),
        Row("Z.ai's sensitive", [delta("{}", finish: #""sensitive""#), "[DONE]"], [start, "finish contentFilter sensitive", "end", "whole"]),
        Row("Together's eos", [delta("{}", finish: #""eos""#), "[DONE]"], [start, "finish stop eos", "end", "whole"]),
        Row("a word nobody knows", [delta("{}", finish: #""whim""#), "[DONE]"], [start, "finish other whim", "end", "whole"]),
        Row("finish reason error is an error", [delta(#"{"content":"a"}"#), delta("{}", finish: #""error""#), "[DONE]"],
            [start, "text a", "error serverError 502 upstream_failed: the upstream ended its answer with finish_reason error", "whole"]),
        Row("an error in a chunk", [role, #"{"error":{"message":"boom","type":"server_error","code":null}}"#, "[DONE]"], [start, "error serverError 500 : boom", "whole"]),
        Row("an error in the first chunk", [#"{"error":{"message":"slow down","code":429}}"#], ["error rateLimited 429 429: slow down", "whole"]),
        Row("an event named error (Groq)", [role, #"error:{"error":{"message":"tool","type":"invalid_request_error","code":"tool_use_failed","status_code":400}}"#],
            [start, "error badRequest 400 tool_use_failed: tool", "whole"]),
        Row("an error that is a string", [role, #"{"error":"went wrong"}"#], [start, "error serverError 500 : went wrong", "whole"]),
        Row("a flat error (old vLLM)", [role, #"{"object":"error","message":"bad","type":"BadRequestError","code":400}"#], [start, "error badRequest 400 400: bad", "whole"]),
        Row("an error beside choices after the start (OpenRouter)", [role, delta(#"{"content":""}"#, rest: #","error":{"code":502,"message":"provider failed"}"#), "[DONE]"],
            [start, "error serverError 502 502: provider failed", "whole"]),
        Row("an error null or empty is none", [delta(#"{"content":"a"}"#, rest: #","error":null"#), delta(#"{"content":"b"}"#, rest: #","error":{}"#), stop, "[DONE]"], [start, "text a", "text b", "finish stop stop", "end", "whole"]),
        Row("no JSON", [role, "{oops"], [start, "error serverError 502 upstream_malformed_answer: the upstream sent an event that is no chunk of an answer", "whole"]),
        Row("choices that are no list", [role, #"{"id":"c1","choices":5}"#], [start, "error serverError 502 upstream_malformed_answer: the upstream sent an event that is no chunk of an answer", "whole"]),
        Row("a choice with an absurd index", [role, delta("{}", index: 100_000)], [start, "error serverError 502 upstream_malformed_answer: the upstream sent an event that is no chunk of an answer", "whole"]),
        Row("seeds above 2^53 and text beside the delta (Together) do no harm",
            [#"{"id":"c1","model":"m","created":7,"choices":[{"index":0,"text":"a","seed":12479678939117453000,"delta":{"token_id":5,"role":"assistant","content":"a"}}]}"#, stop, "[DONE]"],
            [start, "text a", "finish stop stop", "end", "whole"]),
        Row("Perplexity's growing message is not the delta", [#"{"id":"c1","model":"m","created":7,"choices":[{"index":0,"delta":{"content":"b"},"message":{"role":"assistant","content":"ab"}}],"citations":["u"]}"#, stop],
            [start, "text b", "finish stop stop", "end", "whole"]),
        Row("an id that Ollama gives again and again is not kept", [#"{"id":"chatcmpl-873","model":"m","created":7,"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#, "[DONE]"],
            ["start  m 7", "text a", "finish stop stop", "end", "whole"]),
        Row("usage of 2^63, negative or in words is bounded", [stop, #"{"id":"c1","choices":[],"usage":{"prompt_tokens":9223372036854775808,"completion_tokens":-5}}"#, #"{"id":"c1","choices":[],"usage":{"prompt_tokens":"12"}}"#, "[DONE]"],
            [start, "finish stop stop", "usage 1099511627776 0 0 0", "end", "whole"]),
        Row("cached tokens may be more than the prompt (Grok on Foundry)", [stop, #"{"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":8,"prompt_tokens_details":{"cached_tokens":161}}}"#, "[DONE]"],
            [start, "finish stop stop", "usage 161 8 161 0", "end", "whole"]),
    ]

    @Test(arguments: rows)
    func eachThingThatProvidersDoHasItsEvents(row: Row) { #expect(chatEvents(row.chunks, row.quirks) == row.events) }

    @Test func theSameDialectKeepsWhatHasNoEvent() {
        let first = #"{"choices":[],"created":0,"id":"","model":"","prompt_filter_results":[1]}"#
        #expect(chatEvents([first, Self.delta(#"{"content":""}"#, rest: #","p":"abc""#), Self.stop, "[DONE]"], keepsExtras: true)
            == ["opaque", Self.start, "text ", "finish stop stop", "end", "whole"])
    }

    @Test func theOldCompletionsHaveTextInTheChoice() {
        let chunk = #"{"id":"cmpl-1","object":"text_completion","created":7,"choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":"length"}],"model":"m"}"#
        #expect(chatEvents([chunk, "[DONE]"], legacy: true) == ["start cmpl-1 m 7", "text a", "finish length length", "end", "whole"])
    }

    @Test func aStreamOfCallsWithoutEndIsEnded() {
        let many = (0..<1100).map { Self.delta(#"{"tool_calls":[{"index":\#($0),"id":"c\#($0)","function":{"name":"f"}}]}"#) }
        #expect(chatEvents(many).last == "whole" && chatEvents(many).filter { $0.hasPrefix("error") }.count == 1)
    }
}
