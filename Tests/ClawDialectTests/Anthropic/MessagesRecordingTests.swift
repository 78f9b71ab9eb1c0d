// Everything recorded from Anthropic, and Claude on Bedrock, is read and written again in its own dialect, and nothing may be lost.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct MessagesRecordingTests {
    static let all = Recordings.of("anthropic.messages", "bedrock.invoke").filter { $0.api != "bedrock.invoke" || $0.id.contains("claude") }
    static let answers = all.filter { $0.status == 200 && !$0.isStream }
    static let streams = all.filter { $0.status == 200 && $0.isStream }
    static let errors = Recordings.of("anthropic.messages").filter { $0.status >= 400 }
    static let requests = all.filter { !$0.requestBody.isEmpty } + Recordings.of("bedrock.invoke_stream").filter { $0.id.contains("claude") }

    @Test func theyAreThereInNumbers() {
        guard Recordings.isThere else { return print("skipped: no recordings") }
        #expect(Self.answers.count >= 18 && Self.streams.count >= 12 && Self.errors.count >= 6)
    }

    // MARK: answers

    @Test(arguments: answers) func anAnswerIsWrittenAsItWas(recording: Recording) throws {
        let again = try #require(translateAnswer(recording.responseBody, from: .messages, to: .messages))
        #expect(differences(try parsed(recording.responseBody), try parsed(again)) == [])
    }

    @Test(arguments: answers) func anAnswerIsReadAsExpected(recording: Recording) throws {
        let held = Held(recording.responseBody)
        var tape = JSONTape()
        #expect(tape.read(held.bytes) == nil)
        let answer = Answer()
        answer.reset(source: .messages)
        #expect(MessagesDialect.readAnswer(tape.root, into: answer))
        let expected = recording.expected
        let text = answer.parts.filter { $0.kind == .text }.map { answer.arena.arena.unescaped($0.text).string }.joined()
        #expect(text == expected["text"] as? String ?? "")
        let thought = answer.parts.filter { $0.kind == .thinking }.map { answer.arena.arena.unescaped($0.text).string }.joined()
        #expect(thought == expected["reasoning"] as? String ?? "")
        let calls = answer.parts.filter { $0.kind == .toolCall }
        let expectedCalls = expected["tool_calls"] as? [[String: Any]] ?? []
        #expect(calls.map(\.id.string) == expectedCalls.map { $0["id"] as? String ?? "" })
        #expect(calls.map(\.name.string) == expectedCalls.map { $0["name"] as? String ?? "" })
        for (call, other) in zip(calls, expectedCalls) {
            #expect(differences(try parsed(answer.argumentsObject(call).string), other["arguments"]) == [])
        }
        #expect(answer.choices[0].nativeFinish.string == expected["finish_native"] as? String)
        #expect(answer.model.string == expected["model"] as? String)
        let usage = expected["usage_native"] as? [String: Any] ?? [:]
        func count(_ key: String) -> Int64 { (usage[key] as? NSNumber)?.int64Value ?? 0 }
        #expect(answer.usage.freshInput == count("input_tokens") && answer.usage.output == count("output_tokens"))
        #expect(answer.usage.cacheRead == count("cache_read_input_tokens"))
        #expect(answer.usage.cacheWrite + answer.usage.cacheWriteHour == count("cache_creation_input_tokens"))
    }

    // MARK: streams

    @Test(arguments: streams) func aStreamIsWrittenAsItWas(recording: Recording) throws {
        let out = rewritten(recording.responseBody)
        let before = MessagesAccumulator(recording.responseBody)
        let after = MessagesAccumulator(out)
        #expect(before.faults == [] && after.faults == [] && after.isWhole)
        #expect(differences(before.message, after.message) == [])
        #expect(before.order == after.order)
        #expect(after.order == recording.expected["event_types"] as? [String])
        #expect(after.stopReason == recording.expected["finish_native"] as? String)
        #expect(differences(recording.expected["usage_native"], after.usage) == [])
        // Not one event more or less, either.
        #expect(sseEvents(recording.responseBody).count == sseEvents(out).count)
    }

    @Test(arguments: streams) func aStreamOfNeutralEventsIsAsExpected(recording: Recording) throws {
        // Written as if it came from elsewhere: only what every dialect has.
        let (out, kinds) = translateStream(
            sseEvents(recording.responseBody), reader: MessagesDialect.streamReader(Quirks()), writer: MessagesDialect.streamWriter(testContext))
        #expect(kinds.first == .start && kinds.filter { $0 == .start }.count == 1)
        #expect(kinds.filter { $0 == .finish }.count == 1 && kinds.last == .end && kinds.filter { $0 == .end }.count == 1)
        let message = MessagesAccumulator(out)
        #expect(message.faults == [] && message.isWhole)
        let expected = recording.expected
        #expect(message.content.compactMap { $0["text"] as? String }.joined() == expected["text"] as? String ?? "")
        #expect(message.content.compactMap { $0["thinking"] as? String }.joined() == expected["reasoning"] as? String ?? "")
        #expect(message.types == expected["block_types"] as? [String])
        #expect(message.stopReason == expected["finish_native"] as? String)
        for (block, call) in zip(message.content.filter { $0["type"] as? String == "tool_use" }, expected["tool_calls"] as? [[String: Any]] ?? []) {
            #expect(differences(block["input"], call["arguments"]) == [] && block["id"] as? String == call["id"] as? String)
        }
        let usage = expected["usage_native"] as? [String: Any] ?? [:]
        for key in ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"] {
            #expect((message.usage[key] as? Int ?? 0) == (usage[key] as? Int ?? 0), "\(key)")
        }
    }

    @Test(arguments: streams) func wherePiecesEndDoesNotMatter(recording: Recording) {
        let whole = rewritten(recording.responseBody)
        for size in recording.responseBody.count < 2500 ? [1, 2, 3, 5, 7, 13, 64, 1000] : [1, 61, 1777] {
            #expect(rewritten(recording.responseBody, pieces: size) == whole, "pieces of \(size)")
        }
    }

    @Test func bedrocksFramesHoldTheSameEvents() throws {
        for recording in Recordings.of("bedrock.invoke_stream") where recording.id.contains("claude") {
            let url = Recordings.folder.appendingPathComponent(recording.id + ".json")
            let whole = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
            let frames = try #require((whole["response"] as? [String: Any])?["decoded_frames"] as? [[String: Any]])
            let events = frames.map { (name: Array("chunk".utf8), data: Array(($0["payload"] as? String ?? "").utf8), isDone: false) }
            let (out, _) = translateStream(
                events, reader: MessagesDialect.streamReader(Quirks()), writer: MessagesDialect.streamWriter(testContext), keepsExtras: true)
            let message = MessagesAccumulator(out)
            #expect(message.faults == [] && message.isWhole)
            #expect(message.order == recording.expected["event_types"] as? [String])
            #expect(message.content.compactMap { $0["text"] as? String }.joined() == recording.expected["text"] as? String)
            #expect(message.types == recording.expected["block_types"] as? [String])
        }
    }

    // MARK: requests

    @Test(arguments: requests) func aRequestIsWrittenAsItWas(recording: Recording) throws {
        let body = String(decoding: recording.requestBody, as: UTF8.self)
        let before = try #require(try parsed(body) as? [String: Any])
        let isBedrock = recording.api.hasPrefix("bedrock")
        var quirks = Quirks()
        if isBedrock { quirks.claudeHost = .bedrock }
        let (again, dropped) = try translateRequest(body, from: .messages, to: .messages, quirks: quirks)
        // The model is the target's to name.
        #expect(differences(plainly(before), plainly(try parsed(again)), ignoring: ["model": "the target names it"]) == [])
        #expect(dropped == [])
        if isBedrock { #expect(again.contains("bedrock-2023-05-31") && !again.contains("\"model\"")) }
    }

    @Test func aCountIsReadAndWritten() throws {
        for recording in Recordings.of("anthropic.count_tokens") {
            let held = Held(recording.requestBody)
            var tape = JSONTape()
            #expect(tape.read(held.bytes) == nil)
            let conversation = Conversation()
            conversation.reset(source: .messages)
            try MessagesDialect.readCount(tape.root, into: conversation)
            var out = JSONWriter()
            try MessagesDialect.writeCount(conversation, to: Target(model: conversation.model, quirks: Quirks()), into: &out)
            #expect(differences(plainly(try parsed(recording.requestBody)), plainly(try parsed(Array(out.bytes)))) == [])
            let body = Held(recording.responseBody)
            #expect(tape.read(body.bytes) == nil)
            let count = try #require(MessagesDialect.readCountAnswer(tape.root))
            out.reset()
            MessagesDialect.writeCountAnswer(count, into: &out)
            #expect(differences(try parsed(recording.responseBody), try parsed(Array(out.bytes))) == [])
        }
    }

    // MARK: errors

    @Test(arguments: errors) func anErrorIsWrittenAsItWas(recording: Recording) throws {
        let held = Held(recording.responseBody)
        var tape = JSONTape()
        let isJSON = tape.read(held.bytes) == nil
        let arena = ArenaBox()
        let error = MessagesDialect.readError(status: recording.status, isJSON ? tape.root : JSONValue(), text: held.bytes, kind: JSONBytes(), arena)
        var out = JSONWriter()
        let status = MessagesDialect.writeError(error, requestID: tape.root["request_id"].text, into: &out)
        if isJSON {
            #expect(status == recording.status)
            #expect(differences(try parsed(recording.responseBody), try parsed(Array(out.bytes))) == [])
        } else {
            // A proxy's text: the same words in the dialect's own form.
            #expect(error.problem == .overloaded && status == 529)
            let message = ((try parsed(Array(out.bytes)) as? [String: Any])?["error"] as? [String: Any])?["message"] as? String
            #expect(message == String(decoding: recording.responseBody, as: UTF8.self))
        }
        let expected: [String: ProblemClass] = [
            "anthropic/error-400-context": .contextTooLong, "anthropic/error-400-invalid-param": .badRequest, "anthropic/error-401": .auth,
            "anthropic/error-404-model": .modelMissing, "anthropic/error-503-plain-text": .overloaded, "anthropic/error-529-overloaded": .overloaded,
        ]
        #expect(error.problem == expected[recording.id])
    }

    // MARK: mutations

    @Test func nothingThatIsBrokenTraps() {
        var state: UInt64 = 0x5EED
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % max(1, bound)
        }
        let alphabet = Array("{}[]\",:\\0123truefalsnul\n dt-".utf8)
        func mutated(_ bytes: [UInt8]) -> [UInt8] {
            var bytes = bytes
            for _ in 0...random(4) where !bytes.isEmpty {
                let at = random(bytes.count)
                switch random(4) {
                case 0: bytes[at] = alphabet[random(alphabet.count)]
                case 1: bytes.remove(at: at)
                case 2: bytes.insert(alphabet[random(alphabet.count)], at: at)
                default: bytes.removeSubrange(at..<min(bytes.count, at + random(40)))
                }
            }
            return bytes
        }
        /// Other values in place of what was there: JSON still, but of other shapes.
        func reshaped(_ value: Any) -> Any {
            if random(30) == 0 { return [NSNull(), "x", 7, [Any](), [String: Any](), true][random(6)] }
            if let object = value as? [String: Any] { return object.mapValues { reshaped($0) } }
            if let list = value as? [Any] { return list.map { reshaped($0) } }
            return value
        }
        func json(_ value: Any) -> [UInt8] { Array((try? JSONSerialization.data(withJSONObject: value, options: .fragmentsAllowed)) ?? Data()) }
        func exchange(_ body: [UInt8], isRequest: Bool) {
            if isRequest {
                _ = try? translateRequest(String(decoding: body, as: UTF8.self), from: .messages, to: .messages)
            } else {
                _ = translateAnswer(body, from: .messages, to: .messages)
            }
        }
        let small = Self.all.filter { $0.requestBody.count < 6000 && $0.responseBody.count < 6000 }
        guard !small.isEmpty else { return }
        for round in 0..<1400 {
            let recording = small[round % small.count]
            switch random(5) {
            case 0: exchange(mutated(recording.requestBody), isRequest: true)
            case 1: exchange(json(reshaped((try? parsed(recording.requestBody)) ?? [:])), isRequest: true)
            case 2 where !recording.isStream: exchange(mutated(recording.responseBody), isRequest: false)
            case 3 where !recording.isStream: exchange(json(reshaped((try? parsed(recording.responseBody)) ?? [:])), isRequest: false)
            default:
                guard recording.isStream else { continue }
                var events = sseEvents(recording.responseBody)
                for at in events.indices where random(12) == 0 { events[at].data = random(2) == 0 ? mutated(events[at].data) : json(reshaped((try? parsed(events[at].data)) ?? 0)) }
                if random(2) == 0, events.count > 2 { events.swapAt(random(events.count), random(events.count)) }
                if random(3) == 0 { events.removeLast(random(events.count)) }
                let (_, kinds) = translateStream(
                    events, reader: MessagesDialect.streamReader(Quirks()), writer: MessagesDialect.streamWriter(testContext), keepsExtras: random(2) == 0)
                if let place = kinds.firstIndex(where: { $0 == .end || $0 == .error }) { #expect(place == kinds.count - 1) }
            }
        }
    }

    // MARK: tools of the tests

    private func rewritten(_ body: [UInt8], pieces: Int = .max) -> [UInt8] {
        translateStream(
            sseEvents(body, pieces: pieces), reader: MessagesDialect.streamReader(Quirks()), writer: MessagesDialect.streamWriter(testContext), keepsExtras: true
        ).bytes
    }

    /// The same request with what has two spellings in one: a text alone and a list of one block of text, absent and false, one turn in one message or in
    /// several that follow each other (the API puts them together itself).
    private func plainly(_ value: Any?) -> Any {
        if let list = value as? [Any] {
            if list.count == 1, let block = list[0] as? [String: Any], block.count == 2, block["type"] as? String == "text" { return block["text"] ?? "" }
            return list.map { plainly($0) }
        }
        guard var object = value as? [String: Any] else { return value ?? NSNull() }
        if object["stream"] as? Bool == false { object["stream"] = nil }
        if object["is_error"] as? Bool == false { object["is_error"] = nil }
        if let messages = object["messages"] as? [[String: Any]] {
            var turns: [[String: Any]] = []
            for var message in messages {
                if let text = message["content"] as? String { message["content"] = [["type": "text", "text": text]] }
                if let last = turns.last, last["role"] as? String == message["role"] as? String {
                    turns[turns.count - 1]["content"] = (last["content"] as? [Any] ?? []) + (message["content"] as? [Any] ?? [])
                } else {
                    turns.append(message)
                }
            }
            object["messages"] = turns
        }
        return object.mapValues { plainly($0) }
    }
}
