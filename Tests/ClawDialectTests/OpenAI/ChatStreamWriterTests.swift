// The stream that clients get, whatever the events come from: order, ids, the one usage chunk, ends.
import ClawDialect
import ClawWire
import Foundation
import Testing

/// Events of no dialect in particular, written as a chat stream.
func chatStream(_ events: [StreamEvent], includesUsage: Bool = true, legacy: Bool = false, keepsExtras: Bool = false, client: ChatClient = .any) -> String {
    var context = testContext
    context.client = client
    context.includesUsage = includesUsage
    let writer = legacy ? CompletionsDialect.streamWriter(context) : ChatDialect.streamWriter(context)
    let list = EventList()
    list.keepsExtras = keepsExtras
    var out = JSONWriter()
    for event in events {
        if event.kind == .error, let error = event.error { writer.write(error: error, into: &out) } else { writer.write(event, list, into: &out) }
    }
    return String(decoding: out.bytes, as: UTF8.self)
}

func event(_ kind: StreamEvent.Kind, _ change: (inout StreamEvent) -> Void = { _ in }) -> StreamEvent {
    var event = StreamEvent(kind)
    change(&event)
    return event
}

struct ChatStreamWriterTests {
    static let start = event(.start) { $0.id = JSONBytes("msg_1"); $0.name = JSONBytes("claude"); $0.number = 5 }
    static func text(_ text: StaticString, _ choice: Int32 = 0) -> StreamEvent { event(.textDelta) { $0.text = JSONBytes(text); $0.choice = choice } }
    static func finish(_ finish: Finish, _ choice: Int32 = 0) -> StreamEvent { event(.finish) { $0.finish = finish; $0.choice = choice; $0.name = JSONBytes("end_turn") } }
    static let usage = event(.usage) { $0.usage.setInput(sum: 10, cacheRead: 4); $0.usage.setOutput(sum: 6, reasoning: 2) }
    static let end = StreamEvent(.end)

    private func lines(_ stream: String) -> [String] {
        #expect(stream.isEmpty || stream.hasSuffix("\n\n"))
        return stream.components(separatedBy: "\n\n").dropLast().map { String($0) }
    }

    @Test func aWholeStreamIsWhatTheSDKsExpect() throws {
        let all = lines(chatStream([Self.start, Self.text("Hi"), Self.text(#" \"you\""#), Self.finish(.stop), Self.usage, Self.end]))
        let head = all[0].prefix { $0 != "[" }
        #expect(head.hasPrefix(#"data: {"id":"chatcmpl-"#) && head.hasSuffix(#","object":"chat.completion.chunk","created":5,"model":"claude","choices":"#))
        #expect(all.dropLast().allSatisfy { $0.hasPrefix(head) })
        #expect(all.map { String($0.dropFirst(head.count)) }.dropLast() == [
            #"[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}"#,
            #"[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}"#,
            #"[{"index":0,"delta":{"content":" \"you\""},"finish_reason":null}],"usage":null}"#,
            #"[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
            #"[],"usage":{"prompt_tokens":10,"completion_tokens":6,"total_tokens":16,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":0}}}"#,
        ])
        #expect(all.last == "data: [DONE]")
    }

    /// Mistral's models of chunks want a name in each call, and have thoughts in the content.
    @Test func mistralsClientsGetWholeCallsAndThoughtsInTheContent() {
        let events = [
            Self.start, event(.thinkingDelta) { $0.text = JSONBytes("hm") },
            event(.callStart) { $0.id = JSONBytes("a"); $0.name = JSONBytes("f") }, event(.callArguments) { $0.text = JSONBytes(#"{\"x\":"#) },
            event(.callStart) { $0.index = 1; $0.id = JSONBytes("b"); $0.name = JSONBytes("g") }, event(.callArguments) { $0.text = JSONBytes("1}") },
            Self.finish(.toolCalls), Self.end,
        ]
        let all = lines(chatStream(events, includesUsage: false, client: .mistral))
        #expect(all.contains { $0.hasSuffix(#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]},"finish_reason":null}]}"#) })
        #expect(all.filter { $0.contains("tool_calls\":") }.map { $0.components(separatedBy: "delta")[1] } == [
            #"":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":null}]}"#,
        ])
        #expect(chatStream(events, client: .openAI).contains(#""reasoning_content":"hm""#))
    }

    @Test func callsThatWaitAreBounded() {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 1)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0x61)
        let piece = JSONBytes(UnsafeRawBufferPointer(memory))
        var events = [Self.start, event(.callStart) { $0.id = JSONBytes("a"); $0.name = JSONBytes("f") }]
        for _ in 0..<5 { events.append(event(.callArguments) { $0.text = piece }) }
        let stream = chatStream(events + [Self.finish(.toolCalls), Self.end], client: .mistral)
        #expect(stream.contains("longer than 4 MiB") && !stream.contains("[DONE]") && stream.utf8.count < 1 << 12)
    }

    @Test func usageIsWrittenOnlyWhereItWasAskedFor() {
        let quiet = chatStream([Self.start, Self.text("a"), Self.usage, Self.finish(.stop), Self.end], includesUsage: false)
        #expect(!quiet.contains("usage") && quiet.hasSuffix("data: [DONE]\n\n"))
    }

    @Test func usageBeforeTheFinishOrBehindItIsOneChunkAtTheEnd() {
        for order in [[Self.usage, Self.finish(.stop)], [Self.finish(.stop), Self.usage], [Self.usage, Self.finish(.stop), Self.usage]] {
            let all = lines(chatStream([Self.start, Self.text("a")] + order + [Self.end]))
            #expect(all.filter { $0.contains(#""choices":[],"usage":{"#) }.count == 1 && all[all.count - 2].contains(#""choices":[]"#))
        }
    }

    @Test func anUnknownUsageIsNoChunk() {
        #expect(!chatStream([Self.start, Self.text("a"), Self.finish(.stop), Self.end]).contains(#""choices":[]"#))
    }

    @Test func optionalEventsChangeNothing() {
        let plain = chatStream([Self.start, Self.text("a"), Self.finish(.stop), Self.end])
        let full = chatStream([
            Self.start, event(.partStart), event(.textDelta), Self.text("a"), event(.partEnd), event(.callEnd), event(.opaque) { $0.json = JSONBytes("{}") },
            event(.citation) { $0.json = JSONBytes("{}") }, Self.finish(.stop), Self.finish(.length), Self.end, Self.text("late"), Self.end,
        ])
        #expect(plain == full)
    }

    @Test func withoutAnEndThereIsNoGoodEnd() {
        #expect(!chatStream([Self.start, Self.text("a"), Self.finish(.stop)]).contains("[DONE]"))
    }

    @Test func anErrorIsTheLastThing() throws {
        var error = ProviderError(status: 529, problem: .overloaded)
        error.source = .messages
        error.type = JSONBytes("overloaded_error")
        error.message = JSONBytes("Overloaded")
        let all = lines(chatStream([Self.start, Self.text("a"), event(.error) { $0.error = error }, Self.text("b"), Self.finish(.stop), Self.end]))
        #expect(all.last == #"data: {"error":{"message":"Overloaded","type":"server_error","param":null,"code":"service_unavailable"}}"#)
        #expect(all.count == 3)
    }

    @Test func aFinishThatSaysErrorIsAnError() {
        let stream = chatStream([Self.start, Self.text("a"), Self.finish(.error), Self.end])
        #expect(stream.contains(#"data: {"error":{"#) && !stream.contains("[DONE]") && !stream.contains(#""finish_reason":"e"#))
    }

    @Test(arguments: [
        (Finish.stop, "stop", "tool_calls"), (.stopSequence, "stop", "tool_calls"), (.length, "length", "length"), (.contextWindow, "length", "length"),
        (.toolCalls, "tool_calls", "tool_calls"), (.contentFilter, "content_filter", "content_filter"), (.refusal, "content_filter", "content_filter"),
        (.pause, "stop", "tool_calls"), (.other, "stop", "tool_calls"), (.unset, "stop", "tool_calls"),
    ])
    func finishesHaveOpenAIsWords(finish: Finish, word: String, afterCalls: String) {
        #expect(chatStream([Self.start, Self.finish(finish), Self.end]).contains(#""finish_reason":"\#(word)""#))
        let call = event(.callStart) { $0.id = JSONBytes("x"); $0.name = JSONBytes("f") }
        #expect(chatStream([Self.start, call, Self.finish(finish), Self.end]).contains(#""finish_reason":"\#(afterCalls)""#))
    }

    @Test func callsAreWrittenInFragments() {
        let stream = chatStream([
            Self.start, Self.text("let me"), event(.callStart) { $0.id = JSONBytes("x"); $0.name = JSONBytes("f"); $0.text = JSONBytes("S"); $0.signatureOf = .gemini },
            event(.callArguments) { $0.text = JSONBytes(#"{\"a\":"#) }, event(.callArguments) { $0.text = JSONBytes("1}") }, event(.callEnd),
            event(.callStart) { $0.index = 1; $0.name = JSONBytes("g") }, event(.callArguments) { $0.index = 1; $0.json = JSONBytes(#"{"n":9007199254740993,"s":"\n"}"#) },
            event(.callStart) { $0.index = 2; $0.name = JSONBytes("h") }, Self.finish(.toolCalls), Self.end,
        ], includesUsage: false)
        let sum = ChatAccumulator(Array(stream.utf8)).choices[0]!
        #expect(sum.calls.map(\.arguments) == [#"{"a":1}"#, #"{"n":9007199254740993,"s":"\n"}"#, "{}"])
        #expect(sum.calls.map(\.name) == ["f", "g", "h"] && sum.calls[0].id == "x" && sum.calls[1].id.hasPrefix("call_") && sum.calls[1].id != sum.calls[2].id)
        #expect(stream.contains(#""function":{"name":"f","arguments":""},"extra_content":{"google":{"thought_signature":"gemini#S"}}}]"#))
        #expect(sum.text == "let me" && sum.finish == "tool_calls")
    }

    @Test func aCustomToolsCallHasInput() {
        let stream = chatStream([
            Self.start, event(.callStart) { $0.id = JSONBytes("x"); $0.name = JSONBytes("f"); $0.isCustom = true }, event(.callArguments) { $0.text = JSONBytes("free text") },
            Self.finish(.toolCalls), Self.end,
        ])
        #expect(stream.contains(#""type":"custom","custom":{"name":"f","input":""}"#) && stream.contains(#""custom":{"input":"free text"}"#))
    }

    @Test func thoughtsAndTheirProofs() {
        let stream = chatStream([
            Self.start, event(.partStart) { $0.partKind = .thinking }, event(.thinkingDelta) { $0.text = JSONBytes("hm") },
            event(.signature) { $0.text = JSONBytes("SIG"); $0.signatureOf = .messages }, event(.redactedThinking) { $0.text = JSONBytes("RED"); $0.signatureOf = .messages },
            event(.signature) { $0.isCall = true; $0.text = JSONBytes("C"); $0.signatureOf = .chat }, Self.text("a"), Self.finish(.stop), Self.end,
        ])
        #expect(stream.contains(#"{"reasoning_content":"hm"}"#))
        #expect(stream.contains(#"{"reasoning_details":[{"type":"reasoning.text","text":"","signature":"messages#SIG","index":0}]}"#))
        #expect(stream.contains(#"{"reasoning_details":[{"type":"reasoning.encrypted","data":"messages#RED","index":1}]}"#))
        #expect(stream.contains(#"{"tool_calls":[{"index":0,"extra_content":{"google":{"thought_signature":"C"}}}]}"#))
    }

    @Test func eachChoiceHasARoleChunkFirst() {
        let sum = ChatAccumulator(Array(chatStream([Self.start, Self.text("b", 1), Self.text("a"), Self.finish(.stop, 1), Self.finish(.length), Self.end]).utf8))
        #expect(sum.choices[0]?.roles == 1 && sum.choices[1]?.roles == 1 && sum.choices[1]?.text == "b" && sum.choices[1]?.finish == "stop" && sum.choices[0]?.finish == "length")
    }

    @Test func aStreamWithoutStartOrNamesIsMadeWhole() {
        let sum = ChatAccumulator(Array(chatStream([Self.text("a"), Self.finish(.stop), Self.end]).utf8))
        #expect(sum.id.hasPrefix("chatcmpl-") && sum.id.count == 38 && sum.model == "asked-model" && sum.choices[0]?.text == "a" && sum.sawDone)
    }

    @Test func idsOfOpenAIsFormAreKept() {
        let start = event(.start) { $0.id = JSONBytes("chatcmpl-abc") }
        #expect(chatStream([start, Self.text("a")]).contains(#""id":"chatcmpl-abc""#))
    }

    @Test func pingsAreComments() { #expect(chatStream([event(.ping)]) == ": keep-alive\n\n") }

    @Test func theOldCompletionsGetTextOnly() {
        let all = lines(chatStream([
            Self.start, event(.thinkingDelta) { $0.text = JSONBytes("hm") }, Self.text("Hi"), event(.callStart) { $0.name = JSONBytes("f") }, Self.finish(.toolCalls), Self.usage, Self.end,
        ], legacy: true))
        #expect(all.count == 4 && all[0].hasPrefix(#"data: {"id":"cmpl-"#))
        #expect(all[0].hasSuffix(#""object":"text_completion","created":5,"model":"claude","choices":[{"index":0,"text":"Hi","logprobs":null,"finish_reason":null}],"usage":null}"#))
        #expect(all[1].hasSuffix(#""choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}],"usage":null}"#) && all[3] == "data: [DONE]")
    }

    @Test func moreCallsThanAnybodyMakesAreAnError() {
        let many = (0..<1100).map { at in event(.callStart) { $0.index = Int32(at); $0.name = JSONBytes("f") } }
        let stream = chatStream([Self.start] + many + [Self.finish(.stop), Self.end])
        #expect(stream.contains(#"data: {"error":"#) && !stream.contains("[DONE]"))
    }
}
