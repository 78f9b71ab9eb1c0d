// Streams written from neutral events as other dialects' readers make them, in whatever order those come; and what is read of single wire events.
import ClawDialect
import ClawWire
import Foundation
import Testing

@testable import ClawDialect

/// Feeds events one by one, each in a list of its own, as if each came with its own wire event.
final class StreamScript {
    let writer: StreamWriter
    let list = EventList()
    var out = JSONWriter()
    private var held: [Held] = []
    init(keepsExtras: Bool = false) {
        writer = MessagesDialect.streamWriter(AnswerContext(seed: (1, 2), now: 1, model: JSONBytes("asked")))
        list.keepsExtras = keepsExtras
    }
    func bytes(_ text: String) -> JSONBytes {
        let one = Held(Array(text.utf8))
        held.append(one)
        return JSONBytes(one.bytes)
    }
    @discardableResult func put(_ kind: StreamEvent.Kind, _ text: String = "", index: Int32 = 0, _ change: (inout StreamEvent) -> Void = { _ in }) -> Self {
        list.reset()
        var event = StreamEvent(kind)
        if !text.isEmpty { event.text = bytes(text) }
        event.index = index
        change(&event)
        writer.write(event, list, into: &out)
        return self
    }
    func call(_ index: Int32, _ id: String, _ name: String, signature: String = "") -> Self {
        put(.callStart, signature, index: index) {
            $0.id = bytes(id)
            $0.name = bytes(name)
            if !signature.isEmpty { $0.signatureOf = .gemini }
        }
    }
    func arguments(_ index: Int32, _ text: String) -> Self { put(.callArguments, text, index: index) }
    func finish(_ finish: Finish) -> Self { put(.finish) { $0.finish = finish } }
    func usage(_ input: Int64, _ output: Int64) -> Self {
        put(.usage) {
            $0.usage.setInput(sum: input)
            $0.usage.setOutput(sum: output)
        }
    }
    var result: MessagesAccumulator { MessagesAccumulator(Array(out.bytes)) }
    var text: String { out.written.string }
}

struct MessagesStreamTests {
    @Test func aTextIsOneBlock() throws {
        let s = StreamScript().put(.start).put(.textDelta).put(.textDelta, "Hel").put(.textDelta, "lo\\n").finish(.stop).usage(5, 7).put(.end)
        let m = s.result
        #expect(m.faults == [] && m.isWhole && m.types == ["text"] && m.content[0]["text"] as? String == "Hello\n")
        #expect(m.order == ["message_start", "content_block_start", "ping", "content_block_delta", "content_block_stop", "message_delta", "message_stop"])
        #expect(m.stopReason == "end_turn" && m.message["stop_sequence"] is NSNull && m.message["model"] as? String == "asked")
        #expect((m.message["id"] as? String ?? "").hasPrefix("msg_") && m.message["role"] as? String == "assistant" && m.message["type"] as? String == "message")
        #expect(same(m.usage, #"""
            {"input_tokens":5,"output_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,
            "cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}}
            """#) == [])
    }

    @Test func usageMayComeBeforeAfterOrNever() {
        let after = StreamScript().put(.textDelta, "x").finish(.length)
        #expect(!after.text.contains("message_delta"))
        #expect(after.usage(1, 2).text.contains(#""stop_reason":"max_tokens""#))
        let before = StreamScript().put(.textDelta, "x").usage(1, 2).finish(.stop)
        #expect(!before.text.contains("message_delta"))
        #expect(before.put(.end).result.usage["output_tokens"] as? Int == 2)
        let never = StreamScript().put(.textDelta, "x").finish(.stop).put(.end).result
        #expect(never.faults == [] && never.isWhole && never.usage["output_tokens"] as? Int == 0)
        // Totals, not differences.
        let twice = StreamScript().put(.textDelta, "x").usage(10, 1).usage(10, 5).finish(.stop).put(.end).result
        #expect(twice.usage["input_tokens"] as? Int == 10 && twice.usage["output_tokens"] as? Int == 5)
    }

    @Test func withoutAnEndThereIsNone() {
        let s = StreamScript().put(.start).put(.textDelta, "x").finish(.stop)
        #expect(!s.text.contains("message_delta") && !s.text.contains("message_stop"))
    }

    @Test func anEndComesOnceAndNothingBehindIt() {
        let s = StreamScript().put(.textDelta, "x").finish(.stop).finish(.length).put(.end).put(.end).put(.textDelta, "y").usage(1, 1).put(.ping)
        s.writer.ping(into: &s.out)
        #expect(s.result.faults == [] && s.result.isWhole && s.result.stopReason == "end_turn")
    }

    @Test func anEmptyAnswerHasNoBlocks() {
        let m = StreamScript().put(.start).put(.textDelta).finish(.stop).put(.end).result
        #expect(m.faults == [] && m.isWhole && m.content.isEmpty)
    }

    @Test func thoughtsTextAndCallsFollowEachOther() {
        let s = StreamScript().put(.start).put(.thinkingDelta, "hm").put(.thinkingDelta, "m").put(.textDelta, "so").call(0, "call_1", "f")
            .arguments(0, "{\\\"a\\\":").arguments(0, "").arguments(0, "1}").finish(.toolCalls).usage(1, 1).put(.end)
        let m = s.result
        #expect(m.faults == [] && m.types == ["thinking", "text", "tool_use"] && m.stopReason == "tool_use")
        #expect(m.content[0]["thinking"] as? String == "hmm" && m.content[0]["signature"] as? String == "")
        #expect(m.content[2]["id"] as? String == "call_1" && same(m.content[2]["input"], #"{"a":1}"#) == [])
    }

    @Test func signaturesComeBeforeTheStopAndCarryTheirMaker() {
        let s = StreamScript().put(.thinkingDelta, "a").put(.signature, "SIG") { $0.signatureOf = .messages }.put(.textDelta, "x")
            .put(.redactedThinking, "DATA") { $0.signatureOf = .converse }.put(.signature, "G") { $0.signatureOf = .gemini }.finish(.stop).put(.end)
        let m = s.result
        #expect(m.faults == [] && m.types == ["thinking", "text", "redacted_thinking", "thinking"])
        #expect(m.content[0]["signature"] as? String == "SIG" && m.content[2]["data"] as? String == "converse#DATA")
        #expect(m.content[3]["signature"] as? String == "gemini#G" && m.content[3]["thinking"] as? String == "")
    }

    @Test func aCallsSignatureIsAThoughtBeforeIt() {
        let m = StreamScript().call(0, "a", "f", signature: "GG").put(.callArguments, index: 0) { $0.json = JSONBytes("{\"q\":\"\\n\"}") }.finish(.stop).put(.end).result
        #expect(m.faults == [] && m.types == ["thinking", "tool_use"] && m.content[0]["signature"] as? String == "gemini#GG")
        #expect(same(m.content[1]["input"], #"{"q":"\n"}"#) == [] && m.stopReason == "tool_use")
    }

    @Test func callsSideBySideAreWrittenOneAfterTheOther() {
        let s = StreamScript().call(0, "a", "f").call(1, "b", "g").arguments(0, "{\\\"x\\\":\\\"}").arguments(1, "{\\\"y\\\"").arguments(0, "\\\"").arguments(1, ":2}")
        #expect(!s.text.contains("\"g\""))
        _ = s.arguments(0, "}")
        // The first is whole: the second need not wait for the end.
        #expect(s.text.contains("\"g\""))
        let m = s.finish(.toolCalls).usage(1, 1).put(.end).result
        #expect(m.faults == [] && m.types == ["tool_use", "tool_use"])
        #expect(same(m.content[0]["input"], #"{"x":"}"}"#) == [] && same(m.content[1]["input"], #"{"y":2}"#) == [])
    }

    @Test func callsOneAfterTheOtherAreNotHeld() {
        let s = StreamScript().call(0, "a", "f").arguments(0, "{\\\"x\\\":{}}").call(1, "b", "g")
        #expect(s.text.contains("\"g\""))
        let ended = StreamScript().call(0, "a", "f").put(.callEnd, index: 0).call(1, "b", "g").put(.callEnd, index: 1)
        #expect(ended.text.contains("\"g\""))
        let m = ended.finish(.toolCalls).put(.end).result
        // Nothing was said of arguments: none is an object.
        #expect(m.faults == [] && m.content.allSatisfy { same($0["input"], "{}") == [] } && ended.text.contains(#""partial_json":"{}""#))
    }

    @Test func whatComesAmidACallWaitsInItsOrder() {
        let s = StreamScript().call(0, "a", "f").put(.textDelta, "aside").put(.thinkingDelta, "hm").put(.signature, "S") { $0.signatureOf = .messages }
            .put(.redactedThinking, "R") { $0.signatureOf = .messages }.call(1, "b", "g").arguments(1, "{}").arguments(0, "{\\\"k\\\":1}").put(.textDelta, "bye")
            .finish(.toolCalls).put(.end)
        let m = s.result
        #expect(m.faults == [] && m.types == ["tool_use", "text", "thinking", "redacted_thinking", "tool_use", "text"])
        #expect(same(m.content[0]["input"], #"{"k":1}"#) == [] && m.content[1]["text"] as? String == "aside" && m.content[2]["signature"] as? String == "S")
        #expect(m.content[5]["text"] as? String == "bye")
    }

    @Test func aCallBeginsWhenItsNameIsKnown() {
        let s = StreamScript().call(0, "", "").arguments(0, "{}")
        #expect(!s.text.contains("tool_use"))
        let m = s.call(0, "id7", "f").finish(.toolCalls).put(.end).result
        #expect(m.faults == [] && m.content[0]["name"] as? String == "f" && m.content[0]["id"] as? String == "id7")
    }

    @Test func idsAreMadeWhereThereAreNone() {
        let m = StreamScript().call(0, "", "f").put(.callEnd, index: 0).call(1, "", "f").finish(.toolCalls).put(.end).result
        let ids = m.content.compactMap { $0["id"] as? String }
        #expect(m.faults == [] && Set(ids).count == 2 && ids.allSatisfy { $0.hasPrefix("toolu_") && $0.count == 30 })
    }

    @Test func partsOfBlockDialectsAreBlocksOfTheirOwn() {
        let s = StreamScript().put(.partStart) { $0.partKind = .text }.put(.textDelta, "a").put(.partEnd).put(.partStart, index: 1) { $0.partKind = .text }
            .put(.textDelta, "b").put(.partStart, index: 2) { $0.partKind = .text }.put(.partEnd).put(.partStart, index: 3) { $0.partKind = .thinking }.put(.partEnd)
        let m = s.finish(.stop).put(.end).result
        #expect(m.faults == [] && m.content.compactMap { $0["text"] as? String } == ["a", "b"])
    }

    @Test(arguments: [
        (Finish.stop, "end_turn"), (.stopSequence, "stop_sequence"), (.length, "max_tokens"), (.contextWindow, "model_context_window_exceeded"),
        (.toolCalls, "tool_use"), (.contentFilter, "refusal"), (.refusal, "refusal"), (.pause, "pause_turn"), (.other, "end_turn"), (.unset, "end_turn"),
    ])
    func finishesHaveTheirWords(finish: Finish, word: String) {
        #expect(StreamScript().put(.textDelta, "x").finish(finish).put(.end).result.stopReason == word)
    }

    @Test func theStopSequenceIsTold() {
        let m = StreamScript().put(.textDelta, "x").put(.finish, "END") { $0.finish = .stopSequence }.put(.end).result
        #expect(m.stopReason == "stop_sequence" && m.message["stop_sequence"] as? String == "END")
    }

    @Test func callsMakeAStopAToolUseAndARefusalARefusal() {
        #expect(StreamScript().call(0, "a", "f").arguments(0, "{}").finish(.stop).put(.end).result.stopReason == "tool_use")
        #expect(StreamScript().call(0, "a", "f").arguments(0, "{}").finish(.length).put(.end).result.stopReason == "max_tokens")
        let refusal = StreamScript().put(.refusalDelta, "no").finish(.stop).put(.end).result
        #expect(refusal.stopReason == "refusal" && refusal.content[0]["text"] as? String == "no")
        // The source's own word means nothing here.
        #expect(StreamScript().put(.textDelta, "x").put(.finish) { $0.finish = .stop; $0.name = JSONBytes("STOP") }.put(.end).result.stopReason == "end_turn")
    }

    @Test func otherChoicesAreNotMixedIn() {
        let m = StreamScript().put(.textDelta, "a").put(.textDelta, "b") { $0.choice = 1 }.put(.finish) { $0.choice = 1; $0.finish = .length }.finish(.stop).put(.end).result
        #expect(m.content[0]["text"] as? String == "a" && m.stopReason == "end_turn")
    }

    @Test func anErrorEndsTheStream() {
        let s = StreamScript().put(.textDelta, "x")
        var error = ProviderError(status: 503, problem: .overloaded)
        error.message = JSONBytes("too busy")
        error.type = JSONBytes("server_error")
        s.writer.write(error: error, into: &s.out)
        _ = s.finish(.stop).put(.end)
        #expect(s.result.error?["type"] as? String == "overloaded_error" && s.result.error?["message"] as? String == "too busy")
        #expect(s.text.contains("event: error\ndata: {\"type\":\"error\",") && !s.text.contains("message_stop"))
        // A generation that failed has no good end either.
        let failed = StreamScript().put(.textDelta, "x").finish(.error).put(.end)
        #expect(failed.result.error?["type"] as? String == "api_error" && !failed.text.contains("message_stop"))
    }

    @Test func argumentsAfterACallsEndAreAnError() {
        let s = StreamScript().call(0, "a", "f").put(.callEnd, index: 0).arguments(0, " ").arguments(0, "")
        #expect(s.result.error == nil)
        #expect(s.arguments(0, "{}").result.error != nil)
    }

    @Test func whatWaitsIsBounded() {
        let s = StreamScript().call(0, "a", "f").call(1, "b", "g")
        let piece = String(repeating: "x", count: 1 << 20)
        for _ in 0..<3 { _ = s.arguments(1, piece) }
        #expect(s.result.error == nil)
        for _ in 0..<2 { _ = s.arguments(1, piece) }
        #expect(s.result.error?["type"] as? String == "api_error")
        var many = StreamScript()
        for index in 0..<1025 { many = many.call(Int32(index), "a", "f") }
        #expect(many.result.error != nil)
    }

    @Test func pingsAreEvents() {
        let s = StreamScript().put(.ping)
        #expect(s.text == "")
        s.writer.ping(into: &s.out)
        #expect(s.text == "event: ping\ndata: {\"type\": \"ping\"}\n\n")
        #expect(s.put(.textDelta, "x").put(.ping).finish(.stop).put(.end).result.faults == [])
    }

    @Test func usageIsTakenApart() {
        let m = StreamScript().put(.start) {
            $0.usage.setInput(sum: 100, cacheRead: 60, cacheWrite: 10, audio: 5)
            $0.usage.cacheWriteHour = 3
            $0.usage.setOutput(sum: 9, reasoning: 4)
        }.put(.textDelta, "x").finish(.stop).put(.end).result
        #expect(m.usage["input_tokens"] as? Int == 30 && m.usage["cache_read_input_tokens"] as? Int == 60 && m.usage["cache_creation_input_tokens"] as? Int == 13)
        #expect(same(m.usage["cache_creation"], #"{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":3}"#) == [])
        #expect(m.usage["output_tokens"] as? Int == 9 && same(m.usage["output_tokens_details"], #"{"thinking_tokens":4}"#) == [])
    }

    @Test func argumentsAreWholeWhenTheirBracesClose() {
        for (pieces, isWhole) in [
            (["{}"], true), (["{\\\"a\\\":\\\"}\\\"", "}"], true), (["{\\\"a\\\":\\\"\\\\\\\"}\\\""], false), (["{\\\"a\\\":[{},{}]", ",\\\"b\\\":1}"], true),
            (["{\\\"a\\\":\\\"\\\\\\\\\\\"}"], true), (["{\\u0022a\\u0022:\\u0022}\\u0022"], false), (["{\\u0022a\\u0022:\\u0022}\\u0022\\u007d"], true), ([" ", ""], false),
        ] {
            var scan = ArgumentsScan()
            for piece in pieces {
                let held = Held(Array(piece.utf8))
                scan.take(JSONBytes(held.bytes))
            }
            #expect(scan.isComplete == isWhole, "\(pieces)")
        }
    }

    // MARK: reading

    private func read(_ datas: [String], keepsExtras: Bool = false) -> [StreamEvent.Kind] {
        translateStream(
            datas.map { ([], Array($0.utf8), false) }, reader: MessagesDialect.streamReader(Quirks()), writer: StreamWriter(), keepsExtras: keepsExtras
        ).kinds
    }

    @Test(arguments: [
        (["x"], [.error]), (["[]"], [.error]), (["{}"], [.error]), ([#"{"type":1}"#], [.error]),
        ([#"{"type":"message_stop"}"#, #"{"type":"ping"}"#], [.start, .end]),
        ([#"{"type":"future_event"}"#], [.start, .opaque]), ([#"{"type":"ping"}"#], [.ping]),
        ([#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#], [.start, .textDelta]),
        ([#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta"}}"#], [.start, .error]),
        ([#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"x"}}"#, #"{"type":"message_stop"}"#], [.start, .error]),
        ([#"{"type":"content_block_start","index":0}"#], [.start, .error]), ([#"{"type":"content_block_stop","index":9}"#], []),
        ([#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"x"}}"#], [.start, .partStart, .textDelta]),
        ([#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{"x":1}}}"#], [.start, .callStart, .callArguments]),
        ([#"{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}}"#, #"{"type":"content_block_stop","index":0}"#],
            [.start, .redactedThinking]),
        ([#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#, #"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#],
            [.start, .finish, .usage, .usage]),
        ([#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, #"{"type":"message_stop"}"#], [.error]),
    ] as [([String], [StreamEvent.Kind])])
    func eventsAreReadAsTheyAre(datas: [String], kinds: [StreamEvent.Kind]) { #expect(read(datas) == kinds) }

    @Test func blocksThatNobodyElseKnowsGoThroughWhole() {
        let events = [
            #"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"container":{"id":"c"},"usage":{"input_tokens":1,"output_tokens":1,"server_tool_use":null}}}"#,
            #"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}"#,
            #"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"q\":1}"}}"#,
            #"{"type":"content_block_stop","index":0}"#,
            #"{"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[]}}"#,
            #"{"type":"content_block_stop","index":1}"#,
            #"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":"","citations":[]}}"#,
            #"{"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"type":"x","cited_text":"y"}}}"#,
            #"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"found"}}"#,
            #"{"type":"content_block_stop","index":2}"#,
            #"{"type":"content_block_start","index":3,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            #"{"type":"content_block_delta","index":3,"delta":{"type":"thinking_delta","thinking":"","estimated_tokens":50}}"#,
            #"{"type":"content_block_delta","index":3,"delta":{"type":"signature_delta","signature":"S"}}"#,
            #"{"type":"content_block_stop","index":3}"#,
            #"{"type":"message_delta","delta":{"stop_reason":"pause_turn","stop_sequence":null,"stop_details":null,"container":{"id":"c2"}},"usage":{"output_tokens":9,"server_tool_use":{"web_search_requests":1}},"context_management":{"applied_edits":[]}}"#,
            #"{"type":"message_stop"}"#,
        ].map { text -> (name: [UInt8], data: [UInt8], isDone: Bool) in
            let type = (try? parsed(text) as? [String: Any])?["type"] as? String ?? ""
            return (Array(type.utf8), Array(text.utf8), false)
        }
        let text = events.map { "event: \(String(decoding: $0.name, as: UTF8.self))\ndata: \(String(decoding: $0.data, as: UTF8.self))\n\n" }.joined()
        let body = Array(text.utf8)
        let (own, _) = translateStream(events, reader: MessagesDialect.streamReader(Quirks()), writer: MessagesDialect.streamWriter(testContext), keepsExtras: true)
        let before = MessagesAccumulator(body)
        let after = MessagesAccumulator(own)
        #expect(before.faults == [] && after.faults == [] && differences(before.message, after.message) == [] && before.order == after.order)
        // For others, what they know of it.
        let (other, _) = translateStream(events, reader: MessagesDialect.streamReader(Quirks()), writer: MessagesDialect.streamWriter(testContext))
        let message = MessagesAccumulator(other)
        #expect(message.faults == [] && message.types == ["text", "thinking"] && message.stopReason == "pause_turn" && message.isWhole)
    }

    @Test func inputFromTheStartStaysWhereTheEndNamesOnlyOutput() {
        let list = EventList()
        let reader = MessagesDialect.streamReader(Quirks())
        var last = Usage()
        for text in [
            #"{"type":"message_start","message":{"id":"a","model":"m","usage":{"input_tokens":10,"cache_creation_input_tokens":7,"cache_read_input_tokens":3,"cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":2},"output_tokens":1}}}"#,
            #"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":20,"input_tokens":null}}"#,
        ] {
            let held = Held(Array(text.utf8))
            list.reset()
            reader.read(WireEvent(held.bytes), into: list)
            for event in list.events where event.kind == .usage || event.kind == .start { last.take(event.usage) }
        }
        #expect(last.freshInput == 10 && last.cacheWrite == 5 && last.cacheWriteHour == 2 && last.cacheRead == 3 && last.output == 20 && last.input == 20)
    }

    @Test func anExceptionOfBedrocksIsAnError() {
        for (name, data, problem) in [
            ("throttlingException", #"{"message":"slow down"}"#, ProblemClass.rateLimited), ("modelStreamErrorException", "oops", .serverError),
            ("validationException", #"{"message":"Input is too long for requested model."}"#, .contextTooLong),
        ] {
            let held = Held(Array(data.utf8))
            let word = Held(Array(name.utf8))
            let list = EventList()
            let reader = MessagesDialect.streamReader(Quirks())
            reader.read(WireEvent(held.bytes, name: JSONBytes(word.bytes), kind: .exception), into: list)
            #expect(list.events.count == 1 && list.events[0].kind == .error && list.events[0].error?.problem == problem && reader.sawEnd, "\(name)")
        }
    }

    @Test func aStreamThatBreaksOffIsNotWhole() {
        let list = EventList()
        let reader = MessagesDialect.streamReader(Quirks())
        let held = Held(Array(#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}"#.utf8))
        reader.read(WireEvent(held.bytes), into: list)
        list.reset()
        reader.finish(into: list)
        #expect(list.events.isEmpty && reader.sawFinish && !reader.sawEnd)
    }
}
