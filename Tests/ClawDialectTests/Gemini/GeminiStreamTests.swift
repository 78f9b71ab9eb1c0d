// Streams that no recording shows: calls in fragments from other dialects, ends and the lack of them, errors in the middle, both framings.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct GeminiStreamTests {
    /// Runs neutral events, one list each, through a writer.
    private func write(_ events: [StreamEvent], asArray: Bool = false, keepsExtras: Bool = false, error: ProviderError? = nil) -> [UInt8] {
        var context = testContext
        context.asArray = asArray
        let writer = GeminiDialect.streamWriter(context)
        let list = EventList()
        list.keepsExtras = keepsExtras
        var out = JSONWriter()
        for event in events { writer.write(event, list, into: &out) }
        if let error { writer.write(error: error, into: &out) }
        return Array(out.bytes)
    }

    private func make(_ kind: StreamEvent.Kind, _ text: String = "", index: Int = 0, choice: Int = 0, _ change: (inout StreamEvent) -> Void = { _ in }) -> StreamEvent {
        var event = StreamEvent(kind)
        event.text = words(text)
        event.index = Int32(index)
        event.choice = Int32(choice)
        change(&event)
        return event
    }

    private func usage(_ input: Int64, _ output: Int64) -> StreamEvent {
        make(.usage) {
            $0.usage.setInput(sum: input)
            $0.usage.setOutput(sum: output)
        }
    }

    private func finish(_ finish: Finish, choice: Int = 0) -> StreamEvent {
        make(.finish, choice: choice) {
            $0.finish = finish
            $0.name = words("foreign")
        }
    }

    private let start: StreamEvent = {
        var event = StreamEvent(.start)
        event.id = JSONBytes("id-1")
        event.name = JSONBytes("model-1")
        return event
    }()

    // MARK: writing

    @Test func chunkIsAWholeResponse() throws {
        let bytes = write([start, make(.textDelta, "a")])
        #expect(String(decoding: bytes, as: UTF8.self) == "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}],\"role\":\"model\"},\"index\":0}],\"modelVersion\":\"model-1\",\"responseId\":\"id-1\"}\r\n\r\n")
    }

    @Test func finishAndUsageComeTogetherAtTheEndWhateverTheirOrder() throws {
        let text = make(.textDelta, "a")
        for order in [[usage(3, 1), finish(.length), usage(3, 4)], [finish(.length), usage(3, 4)], [usage(3, 4), finish(.length)]] {
            let all = try Accumulated(sseEvents(write([start, text] + order + [StreamEvent(.end)])))
            #expect(all.chunks == 2)
            #expect(all.finish == [0: "MAX_TOKENS"])
            #expect(all.usage["candidatesTokenCount"] as? Int == 4)
        }
    }

    @Test func withoutAnEndThereIsNoFinish() throws {
        let all = try Accumulated(sseEvents(write([start, make(.textDelta, "a"), finish(.stop), usage(1, 1)])))
        #expect(all.finish.isEmpty)
        #expect(all.usage.isEmpty)
    }

    @Test func streamWithoutStartHasAnIDAndTheModelThatWasAskedFor() throws {
        let all = try Accumulated(sseEvents(write([make(.textDelta, "a"), finish(.stop), StreamEvent(.end)])))
        #expect(all.rootMembers["modelVersion"] as? String == "asked-model")
        #expect((all.rootMembers["responseId"] as? String ?? "").count > 10)
    }

    @Test func callIsWrittenWhenItIsWhole() throws {
        func call(_ index: Int, _ name: String, id: String = "") -> StreamEvent {
            make(.callStart, index: index) {
                $0.name = words(name)
                $0.id = words(id)
            }
        }
        let pieces = [#"{\"a\":"#, #"\"}\\\""#, #"\"}"#].map { make(.callArguments, $0, index: 0) }
        // Ended, not ended, interleaved with another, and with text between.
        for events in [
            [call(0, "f", id: "x")] + pieces + [make(.callEnd, index: 0), call(1, "g"), make(.callEnd, index: 1)],
            [call(0, "f", id: "x")] + pieces + [call(1, "g")],
            [call(0, "f", id: "x"), pieces[0], call(1, "g"), pieces[1], make(.textDelta, "t"), pieces[2], make(.callEnd, index: 1)],
        ] {
            let all = try Accumulated(sseEvents(write([start] + events + [finish(.toolCalls), StreamEvent(.end)])))
            #expect(all.calls.map { $0["name"] as? String } == ["f", "g"])
            #expect(all.calls[0]["id"] as? String == "x")
            #expect(all.calls[0]["args"] as? [String: String] == ["a": "}\\\""] || (all.calls[0]["args"] as? [String: String])?["a"] == "}\"")
            #expect((all.calls[1]["args"] as? [String: Any])?.isEmpty == true)
            #expect((all.calls[1]["id"] as? String)?.hasPrefix("call_") == true)
            #expect(all.finish == [0: "STOP"])
        }
        // Before its end nothing of it is seen.
        #expect(try Accumulated(sseEvents(write([start, call(0, "f")] + pieces))).calls.isEmpty)
    }

    @Test func madeIDsDiffer() throws {
        let events = (0..<5).flatMap { index in
            [make(.callStart, index: index) { $0.name = JSONBytes("f") }, make(.callEnd, index: index)]
        }
        let ids = try Accumulated(sseEvents(write([start] + events + [finish(.toolCalls), StreamEvent(.end)]))).calls.map { $0["id"] as? String ?? "" }
        #expect(Set(ids).count == 5)
    }

    @Test func rawArgumentsKeepTheirNumbersAndLoseTheirLineEnds() throws {
        let bytes = write([
            start, make(.callStart) { $0.name = JSONBytes("f") }, make(.callArguments) { $0.json = JSONBytes("{\n\"n\": 12345678901234567890,\r\n\"s\":\"\\n\"}") }, make(.callEnd),
            finish(.toolCalls), StreamEvent(.end),
        ])
        #expect(String(decoding: bytes, as: UTF8.self).contains("12345678901234567890"))
        #expect(sseEvents(bytes).count == 2)
        #expect(try Accumulated(sseEvents(bytes)).calls.count == 1)
    }

    @Test func hugeArgumentsEndTheStreamWithAnError() throws {
        let piece = String(repeating: "x", count: 1 << 20)
        let events = [make(.callStart) { $0.name = JSONBytes("f") }] + (0..<6).map { _ in make(.callArguments, piece) }
        let all = try Accumulated(sseEvents(write([start] + events + [finish(.toolCalls), StreamEvent(.end)])))
        #expect(all.errors.count == 1)
        #expect(all.calls.isEmpty)
        #expect(all.finish.isEmpty)
    }

    @Test func severalChoicesEndTogether() throws {
        let all = try Accumulated(sseEvents(write([
            start, make(.textDelta, "a"), make(.textDelta, "b", choice: 1), finish(.stop), make(.textDelta, "c", choice: 1), finish(.length, choice: 1), usage(1, 2), StreamEvent(.end),
        ])))
        #expect(all.text == [0: "a", 1: "bc"])
        #expect(all.finish == [0: "STOP", 1: "MAX_TOKENS"])
    }

    @Test func thoughtsRefusalsAndForeignSignatures() throws {
        let all = try Accumulated(sseEvents(write([
            start, make(.partStart), make(.thinkingDelta, "h"), make(.thinkingDelta, "m"), make(.signature, "abc") { $0.signatureOf = .messages; $0.partKind = .thinking },
            make(.redactedThinking, "zzz") { $0.signatureOf = .messages }, make(.partEnd), make(.textDelta, ""), StreamEvent(.ping), make(.refusalDelta, "no"), finish(.refusal),
            StreamEvent(.end),
        ])))
        #expect(all.reasoning == [0: "hm"])
        #expect(all.text == [0: "no"])
        #expect(all.signatures.compactMap { Data(base64Encoded: $0) }.map { String(decoding: $0, as: UTF8.self) } == ["messages#abc", "messages#redacted:zzz"])
        #expect(all.finish == [0: "SAFETY"])
    }

    @Test func halvesOfACharacterAreNotCutApart() throws {
        let bytes = write([start, make(.textDelta, #"a\ud83d"#), make(.textDelta, #"\ude00b"#), make(.textDelta, #"\\ud83d"#), finish(.stop), StreamEvent(.end)])
        #expect(try Accumulated(sseEvents(bytes)).text == [0: "a😀b\\ud83d"])
    }

    @Test func arrayIsValidInEveryEnd() throws {
        for events in [[start, make(.textDelta, "a"), make(.textDelta, "b"), finish(.stop), StreamEvent(.end)], [StreamEvent(.end)]] {
            #expect(try parsed(write(events, asArray: true)) is [Any])
        }
        for before in [[], [start], [start, make(.textDelta, "a")]] {
            var error = ProviderError(status: 503, problem: .overloaded)
            error.message = JSONBytes("busy")
            let array = try #require(try parsed(write(before, asArray: true, error: error)) as? [[String: Any]])
            #expect((array.last?["error"] as? [String: Any])?["code"] as? Int == 503)
        }
    }

    @Test func nothingFollowsAnErrorOrTheEnd() throws {
        let writer = GeminiDialect.streamWriter(testContext)
        let list = EventList()
        var out = JSONWriter()
        writer.write(start, list, into: &out)
        writer.write(error: ProviderError(status: 500, problem: .serverError), into: &out)
        let place = out.count
        for event in [make(.textDelta, "a"), finish(.stop), StreamEvent(.end)] { writer.write(event, list, into: &out) }
        writer.write(error: ProviderError(status: 500, problem: .serverError), into: &out)
        writer.ping(into: &out)
        #expect(out.count == place)
        // The official SDK knows an error by the way its chunk begins.
        #expect(String(decoding: out.bytes, as: UTF8.self).hasPrefix("data: {\"error\":{\"code\":500,"))
    }

    @Test func pingIsNothingToAReader() throws {
        for asArray in [false, true] {
            var context = testContext
            context.asArray = asArray
            let writer = GeminiDialect.streamWriter(context)
            let list = EventList()
            var out = JSONWriter()
            writer.ping(into: &out)
            for event in [start, make(.textDelta, "a"), finish(.stop), StreamEvent(.end)] {
                writer.write(event, list, into: &out)
                if event.kind != .end { writer.ping(into: &out) }
            }
            let bytes = Array(out.bytes)
            #expect(geminiEvents(bytes).count == 2)
            if asArray { #expect(try parsed(bytes) is [Any]) }
        }
    }

    // MARK: reading

    @Test func usageIsALatestTotalAndNeverASum() {
        let chunk = { (text: String, out: Int) in
            event("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\(text)\"}]}}],\"usageMetadata\":{\"promptTokenCount\":5,\"candidatesTokenCount\":\(out),\"totalTokenCount\":\(5 + out)}}")
        }
        let (_, usage, _, sawEnd) = said([chunk("a", 1), chunk("b", 2), chunk("c", 3)])
        #expect(usage.output == 3)
        #expect(usage.input == 5)
        #expect(!sawEnd)
    }

    @Test func outputIsUnknownUntilItIsStated() {
        let (_, usage, _, _) = said([event(#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}}"#)])
        #expect(usage.hasInput)
        #expect(!usage.hasOutput)
    }

    @Test func streamWithoutFinishReasonIsCutOff() {
        #expect(!said([event(#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#)]).said.contains { $0.kind == .end })
        #expect(!said([]).sawEnd)
        // One of two candidates has ended.
        let half = said([event(#"{"candidates":[{"index":0,"finishReason":"STOP"},{"index":1,"content":{"parts":[{"text":"a"}]}}]}"#)])
        #expect(!half.sawEnd)
        #expect(half.said.filter { $0.kind == .finish }.count == 1)
    }

    @Test func finishIsSaidOnceThoughItComesTwice() {
        let end = event(#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}]}"#)
        let (events, _, _, sawEnd) = said([end, end])
        #expect(events.filter { $0.kind == .finish }.count == 1)
        #expect(sawEnd)
    }

    @Test func thoughtsCallsAndSignaturesOfOneChunk() {
        let (events, _, _, _) = said([event(#"""
            {"responseId":"r","modelVersion":"m","candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"a"},{"text":"","thoughtSignature":"c2ln"},
            {"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"c2ln"},{"functionCall":{"name":"g","id":"i"}}]},"finishReason":"STOP"}]}
            """#)])
        #expect(events.map(\.kind) == [
            .start, .thinkingDelta, .textDelta, .signature, .callStart, .callArguments, .callEnd, .callStart, .callArguments, .callEnd, .finish, .end,
        ])
        #expect(events[4].text == "c2ln")
        #expect(events[5].json == #"{"x":1}"#)
        #expect(events[8].json == "{}")
        #expect(events[7].index == 1)
        #expect(events[7].id == "i")
        #expect(events[10].finish == .toolCalls)
        #expect(events[10].name == "STOP")
    }

    @Test func callsInPiecesGoOnlyToGeminisOwnClients() throws {
        let events = [
            event(#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","willContinue":true}}]}}]}"#),
            event(#"{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"$.a","stringValue":"x"}],"willContinue":true}}]}}]}"#),
            event(#"{"candidates":[{"content":{"parts":[{"functionCall":{}}]},"finishReason":"STOP"}]}"#),
        ]
        #expect(said(events).error?.problem == .serverError)
        let same = translateStream(events, reader: GeminiDialect.streamReader(Quirks()), writer: GeminiDialect.streamWriter(testContext), keepsExtras: true).bytes
        #expect(differences(try Accumulated(events).value, try Accumulated(sseEvents(same)).value, ignoring: ["root": "the id and the model, which every chunk has"]) == [])
    }

    @Test func whatStandsBesideGoesBackInSomeChunk() throws {
        let events = [
            event(#"{"createTime":"t","modelVersion":"m","responseId":"r","candidates":[{"content":{"parts":[{"text":"a","partMetadata":{"p":1}}]},"safetyRatings":[1]}]}"#),
            event("{\"other\":\n1,\"modelVersion\":\"m\",\"responseId\":\"r\",\"candidates\":[{\"groundingMetadata\":{\n\"g\":1}}]}"),
            event(#"{"modelVersion":"m","responseId":"r","candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"AA=="}}]},"finishReason":"STOP","finishMessage":"f"}],"usageMetadata":{"trafficType":"ON_DEMAND"}}"#),
        ]
        let same = translateStream(events, reader: GeminiDialect.streamReader(Quirks()), writer: GeminiDialect.streamWriter(testContext), keepsExtras: true).bytes
        #expect(differences(try Accumulated(events).value, try Accumulated(sseEvents(same)).value) == [])
        #expect(String(decoding: same, as: UTF8.self).contains("\"partMetadata\":{\"p\":1}"))
    }

    @Test(arguments: [
        #"{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"7s"}]}}"#,
        "[{\n  \"error\": {\n    \"code\": 429,\n \"message\": \"slow\", \"status\": \"RESOURCE_EXHAUSTED\", \"details\":[{\"retryDelay\":\"7s\"}]}}]",
    ])
    func errorInTheMiddleEndsTheStream(_ body: String) {
        let (events, _, error, sawEnd) = said([event(#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#), event(body), event("{}")])
        #expect(events.last?.kind == .error)
        #expect(error?.problem == .rateLimited)
        #expect(error?.status == 429)
        #expect(error?.retryAfterSeconds == 7)
        #expect(sawEnd)
    }

    @Test(arguments: ["", "{", "nonsense", "[]", "1", "[1]", #"{"candidates":[1]}"#]) func garbageIsAnError(_ body: String) {
        let (events, _, error, sawEnd) = said([event(body)])
        #expect(events.last?.kind == .error)
        #expect(error?.code.string == "upstream_malformed_answer")
        #expect(sawEnd)
    }

    @Test func textIsCopiedInAFewMicroseconds() {
        let body = #"{"candidates": [{"content": {"parts": [{"text": " wind of 10 km/h."}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 233,"candidatesTokenCount": 21,"totalTokenCount": 254,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 233}],"serviceTier": "standard"},"modelVersion": "gemini-2.5-flash","responseId": "VL-Fao-BIOTbvdIPyZ3HiAQ"}"#
        let data = words(body)
        let reader = GeminiDialect.streamReader(Quirks())
        let writer = GeminiDialect.streamWriter(testContext)
        let list = EventList()
        var out = JSONWriter()
        let rounds = 20_000
        let clock = ContinuousClock()
        var reading = Duration.zero
        let whole = clock.measure {
            for round in 0..<rounds {
                list.reset()
                let began = clock.now
                reader.read(WireEvent(data.raw), into: list)
                reading += clock.now - began
                for event in list.events { writer.write(event, list, into: &out) }
                if round % 100 == 0 { out.reset() }
            }
        }
        #if !DEBUG
        print("Gemini text delta: \(whole / rounds) in all, \(reading / rounds) of it reading")
        #endif
        #expect(whole / rounds < .microseconds(500))
    }
}
