import Foundation
import Testing
import ClawWire
@testable import ClawDialect

@Suite struct ConverseStreamTests {
    static func same(_ events: [NamedFrame]) -> (bytes: [UInt8], events: [StreamEvent], text: String) {
        translateFrames(events, reader: ConverseDialect.streamReader(Quirks()), writer: ConverseDialect.streamWriter(testContext), keepsExtras: true)
    }
    /// As a stream of another dialect would be written: without the extras.
    static func other(_ events: [NamedFrame]) -> (bytes: [UInt8], events: [StreamEvent], text: String) {
        translateFrames(events, reader: ConverseDialect.streamReader(Quirks()), writer: ConverseDialect.streamWriter(testContext))
    }
    static func names(_ bytes: [UInt8]) -> [String] { frames(bytes).frames.map { String(decoding: $0.name, as: UTF8.self) } }

    static let start = frame("messageStart", "{\"role\":\"assistant\"}")
    static let text = frame("contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hi\"}}")
    static let textStop = frame("contentBlockStop", "{\"contentBlockIndex\":0}")
    static let stop = frame("messageStop", "{\"stopReason\":\"end_turn\"}")
    static let usage = frame("metadata", "{\"usage\":{\"inputTokens\":3,\"outputTokens\":2,\"totalTokens\":5},\"metrics\":{\"latencyMs\":1}}")

    @Test(.enabled(if: Recordings.isThere)) func recordedStreamsComeBackTheSame() throws {
        let all = Recordings.of("bedrock.converse_stream").filter { $0.status == 200 }
        #expect(all.count == 10)
        for one in all {
            let (recorded, isWhole) = frames(one.responseBody)
            #expect(isWhole)
            let again = frames(Self.same(recorded).bytes)
            #expect(again.isWhole)
            let before = try FramesRead(recorded)
            let after = try FramesRead(again.frames)
            #expect(before.order == after.order, "\(one.id)")
            #expect(differences(before.message, after.message) == [], "\(one.id)")
            #expect(after.order == one.expected["event_types"] as? [String], "\(one.id)")
        }
    }

    @Test(.enabled(if: Recordings.isThere)) func recordedStreamsSayWhatTheyAreExpectedTo() throws {
        for one in Recordings.of("bedrock.converse_stream") where one.status == 200 {
            let list = EventList()
            let reader = ConverseDialect.streamReader(Quirks())
            var text = "", reasoning = "", native = "", starts = 0, ends = 0, finishes = 0, redacted = 0
            var calls: [(id: String, name: String, arguments: String)] = []
            var usage = Usage()
            func plain(_ escaped: JSONBytes) -> String { (try? parsed("\"\(escaped.string)\"")) as? String ?? "?" }
            for event in frames(one.responseBody).frames {
                let data = Held(event.data), name = Held(event.name)
                list.reset()
                reader.read(WireEvent(data.bytes, name: JSONBytes(name.bytes)), into: list)
                for event in list.events {
                    switch event.kind {
                    case .start: starts += 1
                    case .textDelta: text += plain(event.text)
                    case .thinkingDelta: reasoning += plain(event.text)
                    case .redactedThinking: redacted += 1
                    case .callStart: calls.append((event.id.string, event.name.string, ""))
                    case .callArguments: calls[Int(event.index)].arguments += plain(event.text)
                    case .finish: native = event.name.string; finishes += 1
                    case .usage: usage.take(event.usage)
                    case .end: ends += 1
                    default: break
                    }
                }
            }
            let expected = one.expected
            #expect(starts == 1 && ends == 1 && finishes == 1 && reader.sawEnd && reader.sawFinish, "\(one.id)")
            #expect(text == expected["text"] as? String ?? "" && reasoning == expected["reasoning"] as? String ?? "", "\(one.id)")
            #expect(redacted == expected["redacted_reasoning_blocks"] as? Int ?? 0)
            #expect(native == expected["finish_native"] as? String)
            let wanted = expected["tool_calls"] as? [[String: Any]] ?? []
            #expect(calls.count == wanted.count)
            for (call, want) in zip(calls, wanted) {
                #expect(call.id == want["id"] as? String && call.name == want["name"] as? String)
                #expect(differences(try parsed(call.arguments.isEmpty ? "{}" : call.arguments), want["arguments"]) == [])
            }
            let native2 = expected["usage_native"] as? [String: Any] ?? [:]
            #expect(usage.input == Int64(native2["inputTokens"] as? Int ?? -1) && usage.output == Int64(native2["outputTokens"] as? Int ?? -1))
        }
    }

    @Test(.enabled(if: Recordings.isThere)) func piecesOfAnySizeGiveTheSameBytes() {
        for one in Recordings.of("bedrock.converse_stream") where one.status == 200 {
            let whole = Self.same(frames(one.responseBody).frames).bytes
            for size in Array(1...64) + [1000, 4096] {
                let pieces = frames(one.responseBody, pieces: size)
                #expect(pieces.isWhole)
                let recorded = frames(one.responseBody).frames
                #expect(pieces.frames.count == recorded.count && zip(pieces.frames, recorded).allSatisfy { $0.name == $1.name && $0.data == $1.data }, "\(one.id) \(size)")
            }
            #expect(Self.same(frames(one.responseBody, pieces: 1).frames).bytes == whole)
        }
    }

    @Test func textAndThoughtsOpenWithTheirFirstDelta() {
        let out = Self.other([
            Self.start, frame("contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"\"},\"p\":\"abc\"}"), frame("contentBlockStop", "{\"contentBlockIndex\":0}"),
            frame("contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"reasoningContent\":{\"text\":\"hm\"}}}"),
            frame("contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"reasoningContent\":{\"signature\":\"c2ln\"}}}"), frame("contentBlockStop", "{\"contentBlockIndex\":1}"),
            frame("contentBlockDelta", "{\"contentBlockIndex\":2,\"delta\":{\"text\":\"Hello\"}}"), frame("contentBlockStop", "{\"contentBlockIndex\":2}"), Self.stop, Self.usage,
        ])
        #expect(out.events.map(\.kind) == [.start, .partStart, .partEnd, .partStart, .thinkingDelta, .signature, .partEnd, .partStart, .textDelta, .partEnd, .finish, .usage, .end])
        #expect(out.events[5].signatureOf == .converse && out.events[3].partKind == .thinking)
        // The empty block is gone, the others are numbered from 0.
        #expect(Self.names(out.bytes) == ["messageStart", "contentBlockDelta", "contentBlockDelta", "contentBlockStop", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"])
    }

    @Test(.enabled(if: Recordings.isThere)) func thoughtsThatNovaPutsInItsTextStayText() throws {
        let one = try #require(Recordings.all.first { $0.id == "bedrock/converse-stream-tool-1" })
        let out = Self.other(frames(one.responseBody).frames)
        #expect(out.text.hasPrefix("<thinking> The User") && out.text.contains("</thinking>") && !out.events.contains { $0.kind == .thinkingDelta })
    }

    @Test(.enabled(if: Recordings.isThere)) func redactedThoughtsAreBase64OfBase64AndStaySo() throws {
        let one = try #require(Recordings.all.first { $0.id == "bedrock/converse-stream-thinking-redacted" })
        let recorded = frames(one.responseBody).frames
        for events in [recorded, frames(Self.same(recorded).bytes).frames] {
            let blocks = try #require(try FramesRead(events).message["blocks"] as? [[String: Any]])
            for block in blocks.prefix(2) {
                let once = try #require(Data(base64Encoded: block["redactedContent"] as? String ?? "-"))
                #expect(Data(base64Encoded: once) != nil && once.count > 100)
            }
        }
    }

    @Test func paddingSaysNothing() {
        for padding in ["\"abc\"", "\"\"", "5"] {
            let out = Self.same([frame("messageStart", "{\"p\":\(padding),\"role\":\"assistant\"}"), frame("contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hi\"},\"p\":\(padding)}")])
            #expect(frames(out.bytes).frames.map { String(decoding: $0.data, as: UTF8.self) } == ["{\"role\":\"assistant\"}", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hi\"}}"])
        }
    }

    @Test func callsAreCountedFromZeroAndMayHaveNoInput() throws {
        for input in ["", "{\"contentBlockIndex\":3,\"delta\":{\"toolUse\":{\"input\":\"\"}}}"] {
            var events = [Self.start, Self.text, frame("contentBlockStart", "{\"contentBlockIndex\":3,\"start\":{\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"f\"}}}")]
            if !input.isEmpty { events.append(frame("contentBlockDelta", input)) }
            events += [frame("contentBlockStop", "{\"contentBlockIndex\":3}"), frame("contentBlockStart", "{\"contentBlockIndex\":4,\"start\":{\"toolUse\":{\"name\":\"g\"}}}"),
                frame("contentBlockDelta", "{\"contentBlockIndex\":4,\"delta\":{\"toolUse\":{\"input\":\"{\\\"a\\\":\"}}}"), frame("contentBlockDelta", "{\"contentBlockIndex\":4,\"delta\":{\"toolUse\":{\"input\":\"1}\"}}}"),
                frame("contentBlockStop", "{\"contentBlockIndex\":4}"), frame("messageStop", "{\"stopReason\":\"tool_use\"}"), Self.usage]
            let out = Self.other(events)
            #expect(out.events.filter { $0.isCall }.map(\.index) == [0, 1])
            #expect(out.events.filter { $0.kind == .callArguments }.map(\.index) == [1, 1])
            #expect(out.events.filter { $0.kind == .callEnd }.map(\.index) == [0, 1])
            let message = try FramesRead(frames(out.bytes).frames).message
            let blocks = try #require(message["blocks"] as? [[String: Any]])
            #expect(blocks.count == 3 && blocks[1]["input"] == nil && blocks[2]["input"] as? String == "{\"a\":1}")
            #expect((blocks[2]["toolUse"] as? [String: Any])?["toolUseId"] as? String != "")
        }
    }

    @Test func usageComesAfterMessageStopAndIsTheEnd() {
        let list = EventList()
        let reader = ConverseDialect.streamReader(Quirks())
        for event in [Self.start, Self.text, Self.textStop, Self.stop] {
            let data = Held(event.data), name = Held(event.name)
            list.reset()
            reader.read(WireEvent(data.bytes, name: JSONBytes(name.bytes)), into: list)
        }
        #expect(reader.sawFinish && !reader.sawEnd)
        list.reset()
        // The message is whole even where its usage never comes.
        reader.finish(into: list)
        #expect(list.events.map(\.kind) == [.end] && reader.sawEnd)
    }

    @Test func aStreamThatBreaksOffNeverLooksWhole() {
        let events = [Self.start, Self.text, Self.textStop, Self.stop, Self.usage]
        for count in 0..<3 {
            let out = Self.other(Array(events[..<count]))
            #expect(!out.events.contains { $0.kind == .end } && !Self.names(out.bytes).contains("messageStop"), "\(count)")
        }
        // A writer that sees a finish but no end writes none.
        let writer = ConverseDialect.streamWriter(testContext)
        var out = JSONWriter()
        let list = EventList()
        var finish = StreamEvent(.finish)
        finish.finish = .stop
        for event in [StreamEvent(.start), finish, StreamEvent(.usage)] { writer.write(event, list, into: &out) }
        #expect(Self.names(Array(out.bytes)) == ["messageStart"])
        writer.write(error: ProviderError(status: 500, problem: .serverError), into: &out)
        writer.write(StreamEvent(.end), list, into: &out)
        #expect(Self.names(Array(out.bytes)) == ["messageStart", "internalServerException"])
    }

    static let exceptions: [(String, Int, ProblemClass)] = [
        ("throttlingException", 429, .rateLimited), ("modelStreamErrorException", 424, .serverError), ("validationException", 400, .badRequest),
        ("internalServerException", 500, .serverError), ("serviceUnavailableException", 503, .overloaded), ("modelTimeoutException", 408, .timeout), ("InternalFailure", 500, .serverError), ("new", 500, .serverError),
    ]

    @Test(arguments: exceptions) func exceptionsEndTheStreamWithTheirClass(_ one: (name: String, status: Int, problem: ProblemClass)) throws {
        let body = "{\"message\":\"boom\",\"originalStatusCode\":500,\"originalMessage\":\"b\"}"
        let out = Self.same([Self.start, Self.text, frame(one.name, body, isException: true), Self.stop, Self.usage])
        let error = try #require(out.events.last?.error)
        #expect(error.problem == one.problem && error.status == one.status && out.events.last?.kind == .error)
        let last = try #require(frames(out.bytes).frames.last)
        #expect(last.isException && String(decoding: last.name, as: UTF8.self) == one.name)
        #expect(differences(try parsed(body), try parsed(last.data)) == [])
    }

    @Test func exceptionsWithoutJSONStillHaveAMessage() {
        for (data, message) in [("", "the upstream ended its stream with an error"), ("plain \"text\"", "plain \"text\""), ("{}", "the upstream ended its stream with an error"), ("{\"Message\":\"M\"}", "M")] {
            let last = frames(Self.same([frame("internalServerException", data, isException: true)]).bytes).frames.last
            let body = last.flatMap { try? parsed($0.data) } as? [String: Any]
            #expect(body?["message"] as? String == message || (data.hasPrefix("{") && body != nil), "\(data)")
        }
        // One that says its type in the place of an event's.
        #expect(Self.other([frame("validationException", "{\"message\":\"x\"}")]).events.last?.kind == .error)
    }

    @Test func eventsOfOthersAreWrittenInOrderWhateverComes() throws {
        let list = EventList()
        let writer = ConverseDialect.streamWriter(testContext)
        var out = JSONWriter()
        func say(_ kind: StreamEvent.Kind, _ text: StaticString = "", index: Int32 = 0, _ change: (inout StreamEvent) -> Void = { _ in }) {
            var event = StreamEvent(kind)
            event.text = JSONBytes(text)
            event.index = index
            change(&event)
            writer.write(event, list, into: &out)
        }
        // No start, no part events, usage first, arguments of two calls in turns, one of them whole, a second finish, another choice.
        say(.usage) { $0.usage.setInput(sum: 7); $0.usage.setOutput(sum: 1) }
        say(.thinkingDelta, "hm")
        say(.signature, "sig") { $0.signatureOf = .messages }
        say(.textDelta, "a")
        say(.textDelta, "")
        say(.textDelta, "b")
        say(.textDelta, "z") { $0.choice = 1 }
        say(.callStart) { $0.name = JSONBytes("f") }
        say(.callStart, index: 1) { $0.name = JSONBytes("g"); $0.id = JSONBytes("id") }
        say(.callArguments, "{\\\"x\\\":", index: 0)
        say(.callArguments, index: 1) { $0.json = JSONBytes("{\"q\":\"\\n\"}") }
        say(.callArguments, "1}", index: 0)
        say(.callArguments, "lost", index: 9)
        say(.ping)
        say(.redactedThinking, "UkVE") { $0.signatureOf = .converse }
        say(.refusalDelta, "no")
        say(.citation) { $0.json = JSONBytes("{}") }
        say(.finish) { $0.finish = .stop }
        say(.finish) { $0.finish = .length }
        say(.usage) { $0.usage.setInput(sum: 8); $0.usage.setOutput(sum: 4) }
        say(.end)
        say(.textDelta, "late")
        let all = frames(Array(out.bytes))
        #expect(all.isWhole)
        let got = try FramesRead(all.frames)
        #expect(try expectEqual(got.message["blocks"], """
            [{"reasoning":"hm","signature":"messages#sig"},{"text":"ab"},{"toolUse":{"toolUseId":"\(((got.message["blocks"] as? [[String: Any]])?[2]["toolUse"] as? [String: Any])?["toolUseId"] as? String ?? "")","name":"f"},"input":"{\\"x\\":1}"},
            {"toolUse":{"toolUseId":"id","name":"g"},"input":"{\\"q\\":\\"\\\\n\\"}"},{"redactedContent":"UkVE"},{"text":"no"}]
            """) == [])
        #expect(try expectEqual(got.message["events"], "[{\"messageStart\":{\"role\":\"assistant\"}},{\"messageStop\":{\"stopReason\":\"tool_use\"}},{\"metadata\":{\"usage\":{\"inputTokens\":8,\"outputTokens\":4,\"totalTokens\":12},\"metrics\":{\"latencyMs\":0}}}]") == [])
        // Each block stops once, and nothing is written to one that stopped.
        var open: Set<Int> = [], stopped: Set<Int> = []
        for one in all.frames {
            guard let index = (try parsed(one.data) as? [String: Any])?["contentBlockIndex"] as? Int else { continue }
            if one.name == Array("contentBlockStop".utf8) { #expect(stopped.insert(index).inserted && open.contains(index)) } else { #expect(!stopped.contains(index)); open.insert(index) }
        }
        #expect(open == stopped)
    }

    @Test func serverToolsAndUnknownEventsStayWithConverse() throws {
        let events = [
            Self.start, frame("contentBlockStart", "{\"contentBlockIndex\":0,\"start\":{\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"nova_grounding\",\"type\":\"server_tool_use\"}}}"),
            frame("contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"toolUse\":{\"input\":\"{}\"}}}"), frame("contentBlockStop", "{\"contentBlockIndex\":0}"),
            frame("contentBlockStart", "{\"contentBlockIndex\":1,\"start\":{\"toolResult\":{\"toolUseId\":\"a\"}}}"), frame("contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"toolResult\":[{\"text\":\"x\"}]}}"),
            frame("contentBlockStop", "{\"contentBlockIndex\":1}"), frame("contentBlockDelta", "{\"contentBlockIndex\":2,\"delta\":{\"text\":\"Hi\"}}"),
            frame("contentBlockDelta", "{\"contentBlockIndex\":2,\"delta\":{\"citation\":{\"title\":\"t\"}}}"), frame("contentBlockStop", "{\"contentBlockIndex\":2}"), frame("heartbeat", "{\"x\":1}"),
            frame("messageStop", "{\"stopReason\":\"end_turn\",\"additionalModelResponseFields\":{\"a\":1}}"),
            frame("metadata", "{\"usage\":{\"inputTokens\":1,\"outputTokens\":1,\"totalTokens\":9,\"cacheReadInputTokens\":0,\"serverToolUsage\":{}},\"metrics\":{\"latencyMs\":1},\"trace\":{},\"serviceTier\":{\"type\":\"flex\"}}"),
        ]
        let same = frames(Self.same(events).bytes).frames
        #expect(same.map { String(decoding: $0.name, as: UTF8.self) } == events.map { String(decoding: $0.name, as: UTF8.self) })
        for (one, other) in zip(events, same) { #expect(differences(try parsed(one.data), try parsed(other.data)) == []) }
        let other = Self.other(events)
        #expect(!other.events.contains { $0.kind == .callStart || $0.kind == .opaque } && other.text == "Hi")
    }

    @Test func whatIsNoEventBecomesAnError() {
        for event in [frame("contentBlockDelta", "{"), frame("contentBlockDelta", "[]"), frame("contentBlockDelta", "{\"delta\":1}"), frame("messageStart", ""),
            frame("contentBlockStart", "{\"contentBlockIndex\":0,\"start\":{\"toolUse\":{}}}"), frame("metadata", "{\"usage\":{}}")] {
            let out = Self.other([event, Self.stop])
            #expect(out.events.last?.kind == .error && out.events.last?.error?.code.string == "upstream_malformed_answer" && out.events.last?.error?.problem == .serverError)
        }
        let many = (0...1024).map { frame("contentBlockStart", "{\"contentBlockIndex\":\($0),\"start\":{\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"f\"}}}") }
        #expect(Self.other(many).events.last?.kind == .error)
    }

    @Test(.enabled(if: Recordings.isThere)) func mutatedStreamsNeverTrap() {
        var random = SeededBytes(3)
        for one in Recordings.of("bedrock.converse_stream") where one.status == 200 {
            let recorded = frames(one.responseBody).frames
            for round in 0..<40 {
                var changed = recorded
                for _ in 0..<3 {
                    let at = random.next() % changed.count
                    switch random.next() % 4 {
                    case 0: changed[at].data = random.mutate(changed[at].data)
                    case 1: changed.swapAt(at, random.next() % changed.count)
                    case 2: changed.remove(at: at)
                    default: changed.insert(changed[random.next() % changed.count], at: at)
                    }
                }
                let out = round % 2 == 0 ? Self.same(changed) : Self.other(changed)
                #expect(frames(out.bytes).isWhole)
                for frame in frames(out.bytes).frames { #expect(isJSON(frame.data)) }
                #expect(out.events.filter { $0.kind == .start }.count <= 1 && out.events.filter { $0.kind == .finish }.count <= 1 && out.events.filter { $0.kind == .end }.count <= 1)
            }
        }
    }
}
