import ClawDialect
import ClawWire
import Foundation
import Testing

struct OllamaStreamTests {
    /// Neutral events as any dialect's reader might give them, written as Ollama's lines.
    private func lines(
        _ events: [StreamEvent], _ dialect: DialectID = .ollama, context: AnswerContext = testContext
    ) throws -> (lines: [[String: Any]], text: String) {
        let writer = dialect.pieces.streamWriter(context)
        let list = EventList()
        var out = JSONWriter()
        for event in events { writer.write(event, list, into: &out) }
        return (try nativeObjects(ofLines: Array(out.bytes)), String(decoding: out.bytes, as: UTF8.self))
    }
    private func event(_ kind: StreamEvent.Kind, _ text: StaticString? = nil, index: Int32 = 0, id: StaticString = "", name: StaticString = "", json: StaticString? = nil) -> StreamEvent {
        var event = StreamEvent(kind)
        if let text { event.text = JSONBytes(text) }
        if let json { event.json = JSONBytes(json) }
        event.index = index
        event.id = JSONBytes(id)
        event.name = JSONBytes(name)
        return event
    }
    private func usage(_ input: Int64, _ output: Int64) -> StreamEvent {
        var event = StreamEvent(.usage)
        event.usage.setInput(sum: input)
        event.usage.setOutput(sum: output)
        return event
    }
    private func finish(_ finish: Finish) -> StreamEvent {
        var event = StreamEvent(.finish)
        event.finish = finish
        return event
    }

    @Test func linesAreExactlyOllamas() throws {
        let (_, text) = try lines([
            event(.start, name: "gpt-x"), event(.partStart), event(.thinkingDelta, "h\\n"), event(.textDelta, "a\\\"b"), event(.textDelta, ""), event(.partEnd), event(.ping),
            finish(.length), usage(3, 4), event(.end),
        ])
        let head = #"{"model":"gpt-x","created_at":"2023-11-14T22:13:20Z","#
        let wanted = [
            head + #""message":{"role":"assistant","content":"","thinking":"h\n"},"done":false}"#,
            head + #""message":{"role":"assistant","content":"a\"b"},"done":false}"#,
            head + #""message":{"role":"assistant","content":""},"done":true,"done_reason":"length","total_duration":0,"load_duration":0,"prompt_eval_count":3,"prompt_eval_duration":0,"eval_count":4,"eval_duration":0}"#,
        ]
        #expect(text == wanted.joined(separator: "\n") + "\n")
        let (generated, _) = try lines([event(.thinkingDelta, "h"), event(.textDelta, "a"), event(.callStart, name: "f"), finish(.stop), event(.end)], .ollamaGenerate)
        #expect(generated.map { $0["response"] as? String } == ["", "a", ""] && generated.map { $0["thinking"] as? String } == ["h", nil, nil])
        #expect(generated.allSatisfy { $0["model"] as? String == "asked-model" && $0["message"] == nil } && generated[2]["done_reason"] as? String == "stop")
    }

    @Test func countsComeInWhateverOrder() throws {
        let tail: [[StreamEvent]] = [
            [usage(3, 4), finish(.stop), event(.end)], [finish(.stop), usage(3, 4), event(.end)], [usage(1, 1), finish(.stop), usage(3, 4), finish(.length), event(.end)],
            [usage(3, 4), event(.end)],
        ]
        for events in tail {
            let (all, _) = try lines([event(.textDelta, "a")] + events)
            #expect(all.count == 2 && all[1]["done"] as? Bool == true && all[1]["done_reason"] as? String == "stop")
            #expect(all[1]["prompt_eval_count"] as? Int == 3 && all[1]["eval_count"] as? Int == 4)
        }
        let (bare, _) = try lines([event(.textDelta, "a"), finish(.stop), event(.end)])
        #expect(bare[1]["eval_count"] == nil)
    }

    @Test func withoutTheSourcesEndThereIsNone() throws {
        #expect(try lines([event(.textDelta, "a"), finish(.stop), usage(1, 2)]).lines.count == 1)
        #expect(try lines([event(.textDelta, "a"), finish(.stop), event(.end), event(.textDelta, "b"), event(.end)]).lines.count == 2)
    }

    @Test func callsAreWholeHoweverTheyCome() throws {
        let starts = [event(.callStart, index: 0, id: "c0", name: "f"), event(.callStart, index: 1, name: "g")]
        let one = event(.callArguments, #"{\"a\":"#, index: 0)
        let two = event(.callArguments, #"\"\\u00e9\"}"#, index: 0)
        let other = event(.callArguments, index: 1, json: "{\n\"b\":9007199254740993}")
        let orders: [[StreamEvent]] = [
            [starts[0], one, two, event(.callEnd, index: 0), starts[1], other, event(.callEnd, index: 1)], [starts[0], one, two, starts[1], other],
            [starts[0], starts[1], other, one, event(.textDelta, "between"), two], [starts[0], one, starts[1], two, other, event(.callEnd, index: 1)],
        ]
        for order in orders {
            let (all, text) = try lines(order + [finish(.toolCalls), event(.end)])
            let calls = all.compactMap { ($0["message"] as? [String: Any])?["tool_calls"] as? [[String: Any]] }.flatMap { $0 }
            let sorted = calls.sorted { (($0["function"] as? [String: Any])?["index"] as? Int ?? 0) < (($1["function"] as? [String: Any])?["index"] as? Int ?? 0) }
            #expect(differences(sorted.map { $0["function"] }, try parsed(#"[{"index":0,"name":"f","arguments":{"a":"é"}},{"index":1,"name":"g","arguments":{"b":9007199254740993}}]"#)) == [])
            #expect(sorted[0]["id"] as? String == "c0" && (sorted[1]["id"] as? String)?.hasPrefix("call_") == true)
            #expect(text.contains("9007199254740993") && all.last?["done_reason"] as? String == "stop")
        }
    }

    @Test(arguments: ["", " ", "[1]", #"{\"a\":"#, "nonsense"])
    func argumentsThatAreNoObjectAreEmpty(arguments: String) throws {
        let held = Held(Array(arguments.utf8))
        var delta = event(.callArguments)
        delta.text = JSONBytes(held.bytes)
        let (all, _) = try lines([event(.callStart, id: "c", name: "f"), delta, finish(.length), event(.end)])
        let call = ((all[0]["message"] as? [String: Any])?["tool_calls"] as? [[String: Any]])?.first?["function"] as? [String: Any]
        #expect(differences(call?["arguments"], [String: Any]()) == [])
    }

    @Test func callsThatAreTooLongEndTheStreamWithAnError() throws {
        let held = Held([UInt8](repeating: 0x61, count: 1 << 20))
        var delta = event(.callArguments)
        delta.text = JSONBytes(held.bytes)
        let (all, _) = try lines([event(.callStart, name: "f")] + Array(repeating: delta, count: 5) + [finish(.stop), event(.end)])
        #expect(all.count == 1 && (all[0]["error"] as? String)?.contains("4 MiB") == true)
        let (many, _) = try lines((0..<1025).map { event(.callStart, index: $0, name: "f") } + [event(.end)])
        #expect(many.count == 1 && many[0]["error"] != nil)
    }

    @Test func anErrorIsALineAndTheLast() throws {
        let writer = OllamaDialect.streamWriter(testContext)
        let list = EventList()
        var out = JSONWriter()
        writer.write(event(.textDelta, "a"), list, into: &out)
        var error = ProviderError(status: 500, problem: .serverError)
        error.message = JSONBytes("it broke")
        error.source = .chat
        writer.write(error: error, into: &out)
        writer.write(error: error, into: &out)
        writer.write(event(.end), list, into: &out)
        let all = try nativeObjects(ofLines: Array(out.bytes))
        #expect(all.count == 2 && all[1]["error"] as? String == "it broke" && all[1].count == 1)
    }

    @Test(arguments: [
        ("{\"error\":\"boom\"}\n", "boom"), ("not json\n", "the upstream sent what is no answer"), ("[]\n", "the upstream sent what is no answer"),
        ("{}\n", "the upstream sent what is no answer"), ("{\"message\":\"a\"}\n", "the upstream sent what is no answer"), ("{\"model\":\"m\",\"mess", "the upstream sent what is no answer"),
    ])
    func whatIsNoLineIsAnError(bad: String, message: String) throws {
        let good = #"{"model":"m","created_at":"2024-05-24T20:26:46Z","message":{"role":"assistant","content":"a"},"done":false}"# + "\n"
        for front in [DialectID.ollama, .cohere] {
            let out = nativeStream(Array((good + bad + (bad.hasSuffix("\n") ? good : "")).utf8), from: .ollama, to: front)
            #expect(out.kinds == [.start, .textDelta, .error] && String(decoding: out.bytes, as: UTF8.self).contains(message))
        }
        let own = try nativeObjects(ofLines: nativeStream(Array((good + bad).utf8), from: .ollama, to: .ollama).bytes)
        #expect(own.count == 2 && own[1]["error"] != nil)
    }

    @Test func oneLineMayHoldEverything() throws {
        let line = #"{"model":"m","created_at":"2024-05-24T20:26:46Z","message":{"role":"assistant","thinking":"t","content":"a","tool_calls":[{"function":{"name":"f","arguments":{"x":1}}},{"id":"i","function":{"index":1,"name":"g","arguments":{}}}]},"done":true,"done_reason":"stop","eval_count":2}"# + "\n"
        let out = nativeStream(Array(line.utf8), from: .ollama, to: .cohere)
        #expect(out.kinds == [.start, .thinkingDelta, .textDelta, .callStart, .callArguments, .callEnd, .callStart, .callArguments, .callEnd, .usage, .finish, .end])
        let all = try NativeSum.cohere(out.bytes)
        #expect(all.order == ["message-start", "content-start", "content-delta", "content-end", "content-start", "content-delta", "content-end", "tool-call-start", "tool-call-delta", "tool-call-end", "tool-call-start", "tool-call-delta", "tool-call-end", "message-end"])
        #expect(all.text == "a" && all.thinking == "t" && all.last["finish_reason"] as? String == "TOOL_CALL" && all.calls.map(\.name) == ["f", "g"])
        #expect(all.calls[0].id.hasPrefix("call_") && all.calls[1].id == "i")
        let own = try NativeSum.ollama(nativeStream(Array(line.utf8), from: .ollama, to: .ollama).bytes)
        #expect(own.calls.map(\.id) == ["", "i"] && own.text == "a" && own.thinking == "t" && own.last["eval_count"] as? Int == 2)
    }

    @Test func otherChoicesArePassedOver() throws {
        var second = event(.textDelta, "b")
        second.choice = 1
        #expect(try lines([event(.textDelta, "a"), second, finish(.stop), event(.end)]).lines.count == 2)
    }
}
