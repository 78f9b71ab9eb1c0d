// Streams of this API: what a reader makes of servers that send more or less than OpenAI, and what a writer makes of whatever another dialect's reader says.
import ClawDialect
import ClawWire
import Foundation
import Testing

/// Neutral events as a reader of another dialect might give them.
private struct Script {
    var events: [StreamEvent] = []
    mutating func add(_ kind: StreamEvent.Kind, _ text: StaticString = "", index: Int32 = 0, _ change: (inout StreamEvent) -> Void = { _ in }) {
        var event = StreamEvent(kind)
        if text.utf8CodeUnitCount > 0 { event.text = JSONBytes(text) }
        event.index = index
        change(&event)
        events.append(event)
    }
    mutating func call(_ index: Int32, _ id: StaticString, _ name: StaticString) {
        add(.callStart, index: index) { $0.id = JSONBytes(id); $0.name = JSONBytes(name); $0.isCall = true }
    }
    mutating func finish(_ finish: Finish) { add(.finish) { $0.finish = finish } }
    mutating func usage(_ input: Int64, _ output: Int64) {
        add(.usage) { $0.usage.setInput(sum: input, cacheRead: 1); $0.usage.setOutput(sum: output, reasoning: 2) }
    }
    func written() -> [UInt8] {
        let writer = ResponsesDialect.streamWriter(testContext)
        let list = EventList()
        var out = JSONWriter()
        for event in events { writer.write(event, list, into: &out) }
        return Array(out.bytes)
    }
}

private func accumulated(_ fill: (inout Script) -> Void) -> ResponsesAccumulator {
    var script = Script()
    fill(&script)
    return ResponsesAccumulator(script.written())
}

/// What a reader makes of these events (`type` or `name|json`), as short words.
private func read(_ events: [String], keepsExtras: Bool = false) -> [String] {
    let reader = ResponsesDialect.streamReader(Quirks())
    let list = EventList()
    list.keepsExtras = keepsExtras
    var out: [String] = []
    func take() {
        for event in list.events {
            var word = "\(event.kind)"
            if event.kind == .error { word += " \(event.error?.status ?? 0) \(event.error?.problem ?? .badRequest) \(event.error?.code.string ?? "") \(event.error?.message.string ?? "")" }
            if event.kind == .finish { word += " \(event.finish) \(event.name.string)" }
            if event.kind == .callStart { word += " \(event.index) \(event.id.string) \(event.name.string)\(event.isCustom ? " custom" : "")" }
            if event.kind == .callArguments || event.kind == .callEnd { word += " \(event.index)" }
            if event.kind == .partStart { word += " \(event.partKind)" }
            if !event.text.isEmpty { word += " \(event.text.string)" }
            out.append(word)
        }
    }
    for event in events {
        let cut = event.firstIndex(of: "|")
        let name = cut.map { String(event[..<$0]) } ?? ""
        let json = cut.map { String(event[event.index(after: $0)...]) } ?? event
        let held = Held(Array(json.utf8)), nameHeld = Held(Array(name.utf8))
        list.reset()
        reader.read(WireEvent(held.bytes, name: JSONBytes(nameHeld.bytes)), into: list)
        take()
    }
    list.reset()
    reader.finish(into: list)
    take()
    return out
}

struct ResponsesStreamWriterTests {
    @Test func textComesInTheOrderTheSDKsExpect() {
        let it = accumulated {
            $0.add(.start) { $0.id = JSONBytes("chatcmpl-1"); $0.name = JSONBytes("gpt-x"); $0.number = 5 }
            $0.add(.textDelta, "Hel")
            $0.add(.textDelta, "")
            $0.add(.ping)
            $0.add(.textDelta, #"lo \"you\""#)
            $0.finish(.stop)
            $0.usage(10, 5)
            $0.add(.end)
        }
        #expect(it.complaints == [])
        #expect(it.names == [
            "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added", "response.output_text.delta",
            "response.output_text.delta", "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
        ])
        #expect(it.text == #"Hello "you""# && it.status == "completed")
        #expect(it.response["model"] as? String == "gpt-x" && it.response["created_at"] as? Int == 5)
        #expect((it.response["id"] as? String)?.hasPrefix("resp_") == true && (it.output.first?["id"] as? String)?.hasPrefix("msg_") == true)
        let usage = #"{"input_tokens":10,"input_tokens_details":{"cached_tokens":1,"cache_write_tokens":0},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":15}"#
        #expect(differences(try? parsed(usage), it.response["usage"]) == [])
    }

    @Test func thinkingTextAndCallsAreItemsOfTheirOwn() throws {
        let it = accumulated {
            $0.add(.start)
            $0.add(.partStart) { $0.partKind = .thinking }
            $0.add(.thinkingDelta, "hm")
            $0.add(.thinkingDelta, "m")
            $0.add(.signature, "Eqo") { $0.signatureOf = .messages }
            $0.add(.partEnd) { $0.partKind = .thinking }
            $0.add(.redactedThinking, "EmwK") { $0.signatureOf = .messages }
            $0.add(.partStart, index: 1) { $0.partKind = .text }
            $0.add(.textDelta, "a")
            $0.add(.partEnd, index: 1) { $0.partKind = .text }
            $0.add(.partStart, index: 2) { $0.partKind = .text }
            $0.add(.textDelta, "b")
            $0.add(.partEnd, index: 2) { $0.partKind = .text }
            $0.call(0, "toolu_1", "f")
            $0.add(.callArguments, #"{\"a\""#)
            $0.add(.callArguments, #":1}"#)
            $0.add(.callEnd)
            $0.call(1, "", "g")
            $0.add(.callEnd, index: 1)
            $0.usage(1, 1)
            $0.finish(.toolCalls)
            $0.add(.end)
        }
        #expect(it.complaints == [])
        #expect(it.output.map { $0["type"] as? String } == ["reasoning", "reasoning", "message", "function_call", "function_call"])
        try #require(it.output.count == 5 && it.calls.count == 2)
        #expect(it.thoughts == ["hmm", ""] && it.proofs == ["messages#Eqo", "messages##EmwK"])
        #expect((it.output[2]["content"] as? [[String: Any]])?.map { $0["text"] as? String } == ["a", "b"])
        #expect(it.calls[0] == ["id": "toolu_1", "name": "f", "arguments": #"{"a":1}"#])
        #expect(it.calls[1]["arguments"] == "{}" && it.calls[1]["id"]?.hasPrefix("call_") == true)
        #expect(it.output.allSatisfy { $0["type"] as? String == "reasoning" || $0["status"] as? String == "completed" } && it.status == "completed")
        #expect(Set(it.output.map { $0["id"] as? String ?? "" }).count == 5)
    }

    @Test func argumentsOfSeveralCallsMayComeInTurns() {
        let it = accumulated {
            $0.add(.start)
            $0.call(0, "a", "f")
            $0.call(1, "b", "g")
            $0.add(.callArguments, "{", index: 1)
            $0.add(.callArguments, "{}", index: 0)
            $0.add(.callArguments, "}", index: 1)
            $0.add(.callArguments, "x", index: 7)
            $0.call(1, "b", "g")
            $0.add(.textDelta, "later")
            $0.finish(.toolCalls)
            $0.add(.end)
        }
        #expect(it.complaints == [])
        #expect(it.calls.map { $0["arguments"] } == ["{}", "{}"] && it.text == "later")
    }

    @Test func wholeArgumentsAndCustomInputsAreText() throws {
        let it = accumulated {
            $0.add(.start)
            $0.call(0, "a", "f")
            $0.add(.callArguments) { $0.json = JSONBytes(#"{"q":"\"x\"","n":9007199254740993}"#) }
            $0.add(.callStart, index: 1) { $0.id = JSONBytes("c"); $0.name = JSONBytes("sql"); $0.isCustom = true }
            $0.add(.callArguments, "SELECT", index: 1)
            $0.add(.end)
        }
        #expect(it.complaints == [])
        try #require(it.calls.count == 2 && it.output.count == 2)
        #expect(it.calls[0]["arguments"] == #"{"q":"\"x\"","n":9007199254740993}"# && it.calls[1]["arguments"] == "SELECT")
        #expect(it.output[1]["type"] as? String == "custom_tool_call" && it.names.contains("response.custom_tool_call_input.done"))
    }

    @Test func aCallsProofStandsBesideIt() {
        let it = accumulated {
            $0.add(.start)
            $0.add(.callStart, "CiQ=") { $0.id = JSONBytes("a"); $0.name = JSONBytes("f"); $0.signatureOf = .gemini }
            $0.call(1, "b", "g")
            $0.add(.signature, "Abc", index: 1) { $0.isCall = true; $0.signatureOf = .gemini }
            $0.finish(.toolCalls)
            $0.add(.end)
        }
        #expect(it.complaints == [] && it.proofs == ["gemini#@a@CiQ=", "gemini#@b@Abc"])
        #expect(it.output.map { $0["type"] as? String } == ["reasoning", "function_call", "function_call", "reasoning"])
    }

    @Test func aProofBehindTheTextIsAnItemOfItsOwn() {
        let it = accumulated {
            $0.add(.start)
            $0.add(.textDelta, "a")
            $0.add(.signature, "Abc") { $0.signatureOf = .gemini }
            $0.finish(.stop)
            $0.add(.end)
        }
        #expect(it.complaints == [] && it.text == "a" && it.proofs == ["gemini#Abc"])
    }

    @Test func refusalsAreTheirOwnKindOfPiece() {
        let it = accumulated {
            $0.add(.start)
            $0.add(.textDelta, "a")
            $0.add(.refusalDelta, "I ")
            $0.add(.refusalDelta, "won't")
            $0.finish(.stop)
            $0.add(.end)
        }
        #expect(it.complaints == [] && it.text == "a" && it.refusal == "I won't" && it.output.count == 1)
        #expect(it.names.contains("response.refusal.done"))
    }

    @Test func citationsOfThisVendorAreAnnotations() {
        let it = accumulated {
            $0.add(.start)
            $0.add(.textDelta, "a")
            $0.add(.citation) { $0.json = JSONBytes(#"{"type":"url_citation","url_citation":{"url":"u","title":"t","start_index":0,"end_index":1}}"#) }
            $0.add(.citation) { $0.json = JSONBytes(#"{"type":"url_citation","url":"v","title":"t","start_index":0,"end_index":1}"#) }
            $0.add(.citation) { $0.json = JSONBytes(#"{"type":"char_location","cited_text":"x"}"#) }
            $0.add(.end)
        }
        #expect(it.complaints == [])
        let annotations = (it.output.first?["content"] as? [[String: Any]])?.first?["annotations"] as? [[String: Any]]
        #expect(annotations?.map { $0["url"] as? String } == ["u", "v"])
    }

    @Test(arguments: [
        (Finish.stop, "completed", nil), (.unset, "completed", nil), (.toolCalls, "completed", nil), (.stopSequence, "completed", nil), (.pause, "completed", nil),
        (.other, "completed", nil), (.length, "incomplete", "max_output_tokens"), (.contextWindow, "incomplete", "max_output_tokens"),
        (.contentFilter, "incomplete", "content_filter"), (.refusal, "incomplete", "content_filter"), (.error, "failed", nil),
    ] as [(Finish, String, String?)])
    func finishesHaveTheirLastEvent(finish: Finish, status: String, reason: String?) {
        let it = accumulated {
            $0.add(.start)
            $0.add(.textDelta, "a")
            $0.finish(finish)
            $0.finish(.stop)
            $0.add(.end)
        }
        #expect(it.complaints == [] && it.status == status && it.names.last == "response.\(status)")
        #expect((it.response["incomplete_details"] as? [String: Any])?["reason"] as? String == reason)
        #expect(it.output.first?["status"] as? String == (status == "completed" ? "completed" : "incomplete"))
        #expect((it.response["error"] as? [String: Any] != nil) == (status == "failed"))
    }

    @Test func withoutAnEndThereIsNoGoodEnd() {
        let it = accumulated {
            $0.add(.start)
            $0.add(.textDelta, "a")
            $0.finish(.stop)
            $0.usage(1, 1)
        }
        #expect(it.status == "" && it.error == nil && it.names.last == "response.output_text.delta")
    }

    @Test func anErrorIsTheLastEvent() {
        let writer = ResponsesDialect.streamWriter(testContext)
        let list = EventList()
        var out = JSONWriter()
        writer.write(StreamEvent(.start), list, into: &out)
        var delta = StreamEvent(.textDelta)
        delta.text = JSONBytes("a")
        writer.write(delta, list, into: &out)
        var error = ProviderError(status: 529, problem: .overloaded)
        error.source = .messages
        error.message = JSONBytes("busy")
        error.code = JSONBytes("overloaded_error")
        writer.write(error: error, into: &out)
        writer.write(delta, list, into: &out)
        writer.write(StreamEvent(.end), list, into: &out)
        writer.write(error: error, into: &out)
        let it = ResponsesAccumulator(Array(out.bytes))
        #expect(it.complaints == [] && it.status == "" && it.names.last == "error")
        #expect(differences(try? parsed(#"{"type":"error","code":"server_overloaded","message":"busy","param":null,"sequence_number":5}"#), it.error) == [])
    }

    @Test func anErrorBeforeAnythingStillBeginsAResponse() {
        let it = accumulated { $0.add(.error) { $0.error = ProviderError(status: 500, problem: .serverError) } }
        #expect(it.complaints == [] && it.names == ["response.created", "response.in_progress", "error"])
    }

    @Test func otherAnswersThanTheFirstAreLeftOut() {
        let it = accumulated {
            $0.add(.textDelta, "a")
            $0.add(.textDelta, "b") { $0.choice = 1 }
            $0.add(.finish) { $0.choice = 1; $0.finish = .length }
            $0.finish(.stop)
            $0.add(.end)
        }
        #expect(it.complaints == [] && it.text == "a" && it.status == "completed" && it.response["model"] as? String == "asked-model")
    }

    @Test func anEmptyAnswerIsAResponseWithoutItems() {
        let it = accumulated { $0.add(.start); $0.finish(.length); $0.add(.end) }
        #expect(it.complaints == [] && it.output.isEmpty && it.status == "incomplete")
    }

    @Test func halvesOfASurrogatePairAreSentTogether() {
        var script = Script()
        script.add(.textDelta, #"a\ud83d"#)
        script.add(.textDelta, #"\ude00b\\ud83d"#)
        script.add(.textDelta, #"c\uD83D"#)
        script.add(.end)
        let text = String(decoding: script.written(), as: UTF8.self)
        #expect(text.contains(#""delta":"a""#) && text.contains(#""delta":"\ud83d\ude00b\\ud83d""#) && text.contains(#""delta":"\uD83D""#))
    }

    @Test func anAnswerBeyondTheLimitEndsWithAnError() {
        let piece = Held(Array(String(repeating: "x", count: 1 << 15).utf8))
        for kind in [StreamEvent.Kind.textDelta, .thinkingDelta, .callArguments] {
            let it = accumulated { script in
                script.add(.start)
                if kind == .callArguments { script.call(0, "a", "f") }
                for _ in 0...128 { script.add(kind) { $0.text = JSONBytes(piece.bytes) } }
                script.finish(.stop)
                script.add(.end)
            }
            #expect(it.complaints.map { $0.prefix(200) } == [])
            #expect(it.status == "" && it.error?["code"] as? String == "upstream_answer_too_large")
        }
        let many = accumulated { script in
            for index in 0..<3000 {
                script.call(Int32(index), "a", "f")
                script.add(.callEnd, index: Int32(index))
            }
            script.add(.end)
        }
        #expect(many.error != nil)
    }

    @Test func aKeptEventOfSeveralLinesIsOneLine() {
        let writer = ResponsesDialect.streamWriter(testContext)
        let list = EventList()
        list.keepsExtras = true
        var out = JSONWriter()
        var event = StreamEvent(.opaque)
        event.name = JSONBytes("response.created")
        event.json = JSONBytes("{\n\"type\": \"response.created\",\r\n\"sequence_number\": 7}")
        event.number = 7
        writer.write(event, list, into: &out)
        writer.write(error: ProviderError(status: 500, problem: .serverError), into: &out)
        let events = sseEvents(Array(out.bytes))
        #expect(events.count == 2)
        #expect((try? parsed(events[0].data) as? [String: Any])?["sequence_number"] as? Int == 7)
        #expect((try? parsed(events[1].data) as? [String: Any])?["sequence_number"] as? Int == 8)
    }
}

struct ResponsesStreamReaderTests {
    @Test func onlyTheLastFormOfATextIsTakenWhereThereAreNoDeltas() {
        let begin = #"{"type":"response.created","response":{"id":"r","model":"m"}}"#
        let message = #"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","content":[]}}"#
        let part = #"{"type":"response.content_part.added","output_index":0,"content_index":0,"part":{"type":"output_text","text":""}}"#
        let end = #"{"type":"response.completed","response":{"status":"completed"}}"#
        #expect(read([begin, message, part, #"{"type":"response.output_text.done","text":"a"}"#, #"{"type":"response.content_part.done","part":{"type":"output_text","text":"a"}}"#, #"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":[{"type":"output_text","text":"a"}]}}"#, end])
            == ["start", "partStart text", "textDelta a", "partEnd", "finish stop completed", "end"])
        #expect(read([begin, message, part, #"{"type":"response.content_part.done","part":{"type":"output_text","text":"a"}}"#, end])
            == ["start", "partStart text", "textDelta a", "partEnd", "finish stop completed", "end"])
        #expect(read([begin, #"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":[{"type":"output_text","text":"a"},{"type":"refusal","refusal":"no"}]}}"#, end])
            == ["start", "textDelta a", "refusalDelta no", "finish stop completed", "end"])
        #expect(read([begin, message, part, #"response.output_text.delta|{"delta":"a"}"#, #"{"type":"response.output_text.done","text":"a"}"#, end])
            == ["start", "partStart text", "textDelta a", "finish stop completed", "end"])
    }

    @Test func onlyTheLastFormOfArgumentsIsTakenWhereThereAreNoDeltas() {
        let added = #"{"type":"response.output_item.added","output_index":3,"item":{"type":"function_call","call_id":"c","id":"fc","name":"f","arguments":""}}"#
        let other = #"{"type":"response.output_item.added","output_index":4,"item":{"type":"custom_tool_call","call_id":"d","name":"g","input":""}}"#
        let end = #"{"type":"response.completed","response":{"status":"completed"}}"#
        #expect(read([
            added, other, #"{"type":"response.function_call_arguments.delta","output_index":3,"delta":"{}"}"#, #"{"type":"response.function_call_arguments.done","output_index":3,"arguments":"{}"}"#,
            #"{"type":"response.custom_tool_call_input.done","output_index":4,"input":"x"}"#,
            #"{"type":"response.output_item.done","output_index":3,"item":{"type":"function_call","arguments":"{}"}}"#, #"{"type":"response.output_item.done","output_index":4,"item":{"type":"custom_tool_call","input":"x"}}"#, end,
        ]) == ["start", "callStart 0 c f", "callStart 1 d g custom", "callArguments 0 {}", "callArguments 1 x", "callEnd 0", "callEnd 1", "finish toolCalls completed", "end"])
        #expect(read([#"{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"}}"#, end])
            == ["start", "callStart 0 c f", #"callArguments 0 {\"a\":1}"#, "callEnd 0", "finish toolCalls completed", "end"])
    }

    @Test func sectionsOfAThoughtAreSetApart() {
        let added = #"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","summary":[]}}"#
        let part = #"{"type":"response.reasoning_summary_part.added","summary_index":0}"#
        #expect(read([
            added, part, #"{"type":"response.reasoning_summary_text.delta","delta":"a"}"#, #"{"type":"response.reasoning_summary_text.done","text":"a"}"#, part,
            #"{"type":"response.reasoning_summary_text.done","text":"b"}"#, #"{"type":"response.output_item.done","item":{"type":"reasoning","summary":[],"encrypted_content":"g"}}"#,
        ]) == ["start", "partStart thinking", "thinkingDelta a", "thinkingDelta \\n\\n", "thinkingDelta b", "signature g", "partEnd"])
        // Open models give the thoughts themselves; an item without either is no part at all.
        #expect(read([added, #"{"type":"response.reasoning_text.delta","delta":"a"}"#]) == ["start", "partStart thinking", "thinkingDelta a"])
        #expect(read([added, #"{"type":"response.output_item.done","item":{"type":"reasoning","summary":[]}}"#]) == ["start"])
        #expect(read([#"{"type":"response.output_item.done","item":{"type":"reasoning","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}]}}"#])
            == ["start", "partStart thinking", "thinkingDelta a\\n\\nb", "partEnd"])
    }

    @Test(arguments: [
        (#"error|{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null,"sequence_number":3}"#, "error 429 rateLimited rate_limit_exceeded slow"),
        (#"error|{"type":"error","error":{"type":"server_error","code":null,"message":"bad"}}"#, "error 500 serverError  bad"),
        (#"{"error":{"message":"x","code":"context_length_exceeded"}}"#, "error 400 contextTooLong context_length_exceeded x"),
        (#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"m"}}}"#, "error 500 serverError server_error m"),
        (#"{"type":"response.failed","response":{"status":"failed","error":null}}"#, "error 500 serverError  the upstream could not finish its answer"),
        (#"{"type":"response.completed"}"#, "error 502 serverError upstream_malformed_answer the upstream sent an event that is none of this API's"),
        ("nonsense", "error 502 serverError upstream_malformed_answer the upstream sent an event that is none of this API's"),
        ("[1]", "error 502 serverError upstream_malformed_answer the upstream sent an event that is none of this API's"),
        ("{}", "error 502 serverError upstream_malformed_answer the upstream sent an event that is none of this API's"),
    ])
    func errorsInsideAStreamEndIt(event: String, expected: String) {
        let after = #"{"type":"response.output_text.delta","delta":"a"}"#
        #expect(read([event, after]).filter { $0 != "start" } == [expected])
    }

    @Test func aFailureOfItsOwnDialectKeepsItsForm() throws {
        let body = #"event: response.created\#ndata: {"type":"response.created","sequence_number":0,"response":{"id":"r"}}\#n\#nevent: response.failed\#ndata: {"type":"response.failed","sequence_number":1,"response":{"id":"r","status":"failed","error":{"code":"server_error","message":"m"}}}\#n\#n"#
        let (bytes, _) = translateStream(
            sseEvents(Array(body.utf8)), reader: ResponsesDialect.streamReader(Quirks()), writer: ResponsesDialect.streamWriter(testContext), keepsExtras: true)
        #expect(String(decoding: bytes, as: UTF8.self) == body)
    }

    @Test func aStreamThatIsCutOffHasNoEnd() {
        let reader = ResponsesDialect.streamReader(Quirks())
        let list = EventList()
        let held = Held(Array(#"{"type":"response.output_text.delta","delta":"a"}"#.utf8))
        reader.read(WireEvent(held.bytes), into: list)
        list.reset()
        reader.finish(into: list)
        #expect(list.events.isEmpty && !reader.sawEnd && !reader.sawFinish)
    }

    @Test func whatIsUnknownIsPassedOver() {
        #expect(read([#"{"type":"response.brand_new","x":1}"#, #"keepalive|{"type":"keepalive"}"#, #"odd|{"type":"odd"}"#, #"{"type":"response.function_call_arguments.delta","output_index":9,"delta":"x"}"#, #"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"content_filter"}}}"#])
            == ["start", "ping", "finish contentFilter content_filter", "end"])
    }

    /// 2,000 damaged streams: an error or an end that is missing, never a trap, and never a complaint about what was written until then.
    @Test func damagedStreamsAreNeverWrittenAsSomethingElse() {
        var state: UInt64 = 42
        func random(_ below: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % max(1, below)
        }
        let streams = Recordings.of("openai.responses", "xai.responses").filter { $0.isStream && $0.responseBody.count < 9000 }.map { sseEvents($0.responseBody) }
        guard !streams.isEmpty else { return print("skipped: no recordings") }
        for round in 0..<2000 {
            var events = streams[round % streams.count]
            for _ in 0...random(3) {
                let at = random(events.count)
                switch random(4) {
                case 0: events.remove(at: at)
                case 1: events.swapAt(at, random(events.count))
                case 2: events[at].data[random(events[at].data.count)] = UInt8(truncatingIfNeeded: random(256))
                default: events[at].data.removeLast(random(events[at].data.count))
                }
                if events.isEmpty { events = streams[0] }
            }
            let (bytes, _) = translateStream(events, reader: ResponsesDialect.streamReader(Quirks()), writer: ResponsesDialect.streamWriter(testContext))
            #expect(ResponsesAccumulator(bytes).complaints == [], "round \(round)")
            _ = translateStream(events, reader: ResponsesDialect.streamReader(Quirks()), writer: ResponsesDialect.streamWriter(testContext), keepsExtras: true)
        }
    }
}
