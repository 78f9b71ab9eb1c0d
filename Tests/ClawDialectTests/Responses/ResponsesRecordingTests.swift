// What the Responses API's providers were recorded saying, read into the neutral model and written again: nothing may be lost or changed.
import ClawDialect
import ClawWire
import Foundation
import Testing

private let recordings = Recordings.of("openai.responses", "azure.responses", "xai.responses")

/// The neutral answer, with the memory it lies in.
private final class ReadAnswer {
    let answer = Answer()
    private let held: Held
    private var tape = JSONTape()
    let isRead: Bool
    init(_ body: [UInt8]) {
        held = Held(body)
        answer.reset(source: .responses)
        isRead = tape.read(held.bytes) == nil && ResponsesDialect.readAnswer(tape.root, into: answer)
    }
}

struct ResponsesRecordingTests {
    @Test(arguments: recordings.filter { $0.status == 200 && !$0.isStream && !$0.tags.contains("count-tokens") })
    func everyAnswerIsWrittenAsItWasRead(recording: Recording) throws {
        let again = try #require(translateAnswer(recording.responseBody, from: .responses, to: .responses))
        #expect(differences(try parsed(recording.responseBody), try parsed(again)) == [])
    }

    @Test(arguments: recordings.filter { $0.status == 200 && !$0.isStream && !$0.tags.contains("count-tokens") })
    func everyAnswerSaysWhatItIsKnownToSay(recording: Recording) throws {
        let expected = recording.expected
        let read = ReadAnswer(recording.responseBody)
        #expect(read.isRead)
        let answer = read.answer
        let parts = answer.parts
        func text(_ kind: Part.Kind) -> String { parts.filter { $0.kind == kind }.map { unescape($0.text) }.joined() }
        #expect(text(.text) == expected["text"] as? String ?? "")
        #expect(text(.thinking) == expected["reasoning_summary"] as? String ?? "")
        #expect(answer.model.string == expected["model"] as? String)
        #expect(parts.contains { $0.kind == .thinking && !$0.signature.isEmpty && $0.signatureOf == .responses } == (expected["has_encrypted_reasoning"] as? Bool ?? false))
        let calls = expected["tool_calls"] as? [[String: Any]] ?? []
        let spoken = parts.filter { $0.kind == .toolCall }
        #expect(spoken.map(\.id.string) == calls.map { $0["id"] as? String })
        #expect(spoken.map(\.name.string) == calls.map { $0["name"] as? String })
        for (call, one) in zip(spoken, calls) { #expect(differences(try parsed(answer.argumentsObject(call).string), one["arguments"]) == []) }
        let usage = try #require(expected["usage_native"] as? [String: Any])
        #expect(answer.usage.input == usage["input_tokens"] as? Int64 && answer.usage.output == usage["output_tokens"] as? Int64)
        #expect(answer.usage.total == usage["total_tokens"] as? Int64)
        #expect(answer.usage.cacheRead == (usage["input_tokens_details"] as? [String: Any])?["cached_tokens"] as? Int64)
        #expect(answer.usage.reasoning == (usage["output_tokens_details"] as? [String: Any])?["reasoning_tokens"] as? Int64)
        #expect(answer.choices.count == 1 && answer.choices[0].finish == (calls.isEmpty ? .stop : .toolCalls))
        #expect(answer.choices[0].nativeFinish.string == expected["status"] as? String)
    }

    @Test(arguments: recordings.filter { $0.status == 200 && $0.isStream })
    func everyStreamGoesOnUnchangedInItsOwnDialect(recording: Recording) {
        let (bytes, _) = translateStream(
            sseEvents(recording.responseBody), reader: ResponsesDialect.streamReader(Quirks()), writer: ResponsesDialect.streamWriter(testContext), keepsExtras: true)
        let before = sseEvents(recording.responseBody)
        let after = sseEvents(bytes)
        #expect(before.map(\.name) == after.map(\.name))
        for (one, other) in zip(before, after) { #expect(one.data == other.data) }
    }

    /// Through the neutral events alone, so that the writer makes every event itself.
    @Test(arguments: recordings.filter { $0.status == 200 && $0.isStream })
    func everyStreamIsToldAnewFromItsNeutralEvents(recording: Recording) throws {
        let (bytes, kinds) = translateStream(
            sseEvents(recording.responseBody), reader: ResponsesDialect.streamReader(Quirks()), writer: ResponsesDialect.streamWriter(testContext))
        let before = ResponsesAccumulator(recording.responseBody)
        let after = ResponsesAccumulator(bytes)
        #expect(before.complaints.filter { !$0.contains("was not what") } == [] && after.complaints == [])
        #expect(before.order == after.order)
        #expect(before.text == after.text && before.thoughts == after.thoughts && before.calls == after.calls && before.status == after.status)
        let expected = recording.expected
        #expect(after.text == expected["text"] as? String ?? "")
        #expect(after.thoughts.joined() == expected["reasoning_summary"] as? String ?? "")
        #expect(after.status == expected["status"] as? String)
        #expect(after.response["model"] as? String == expected["model"] as? String)
        #expect(after.order == expected["event_types"] as? [String])
        #expect(!after.proofs.isEmpty == (expected["has_encrypted_reasoning"] as? Bool ?? false))
        #expect(differences(before.response["incomplete_details"], after.response["incomplete_details"]) == [])
        let ignoring = ["cache_write_tokens": "written also where the upstream does not state it", "num_sources_used": "xAI's", "num_server_side_tools_used": "xAI's", "cost_in_usd_ticks": "xAI's", "context_details": "xAI's"]
        #expect(differences(before.response["usage"], after.response["usage"], ignoring: ignoring) == [])
        #expect(kinds.filter { $0 == .start }.count == 1 && kinds.filter { $0 == .finish }.count == 1 && kinds.last == .end)
    }

    /// Proofs of the item's `done` event are the whole ones.
    @Test(arguments: recordings.filter { $0.tags.contains("reasoning") && $0.isStream && $0.expected["has_encrypted_reasoning"] as? Bool == true })
    func theSignatureIsThatOfTheItemsEnd(recording: Recording) throws {
        let reader = ResponsesDialect.streamReader(Quirks())
        let list = EventList()
        var signatures: [String] = []
        var done: [String] = []
        for event in sseEvents(recording.responseBody) {
            let data = Held(event.data), name = Held(event.name)
            list.reset()
            reader.read(WireEvent(data.bytes, name: JSONBytes(name.bytes)), into: list)
            signatures += list.events.filter { $0.kind == .signature && $0.signatureOf == .responses }.map(\.text.string)
            if let value = try parsed(event.data) as? [String: Any], value["type"] as? String == "response.output_item.done",
                let proof = (value["item"] as? [String: Any])?["encrypted_content"] as? String
            { done.append(proof) }
        }
        #expect(signatures == done && !done.isEmpty)
    }

    @Test(arguments: recordings.filter { $0.status == 200 && $0.isStream })
    func piecesOfAnySizeGiveTheSameStream(recording: Recording) {
        let body = recording.responseBody
        func run(_ size: Int, _ keeps: Bool) -> [UInt8] {
            translateStream(
                sseEvents(body, pieces: size), reader: ResponsesDialect.streamReader(Quirks()), writer: ResponsesDialect.streamWriter(testContext), keepsExtras: keeps
            ).bytes
        }
        let whole = run(.max, false)
        let kept = run(.max, true)
        for size in [1, 2, 3, 5, 7, 13, 31, 64, 100, 1000, 4096] {
            #expect(run(size, false) == whole, "pieces of \(size)")
            if size > 5 { #expect(run(size, true) == kept, "pieces of \(size)") }
        }
    }

    @Test(arguments: recordings)
    func everyRequestIsWrittenAsItWasRead(recording: Recording) throws {
        let body = String(decoding: recording.requestBody, as: UTF8.self)
        let model = (try parsed(body) as? [String: Any])?["model"] as? String ?? ""
        if recording.tags.contains("count-tokens") {
            let held = Held(recording.requestBody)
            var tape = JSONTape()
            #expect(tape.read(held.bytes) == nil)
            let conversation = Conversation()
            conversation.reset(source: .responses)
            var out = JSONWriter()
            try ResponsesDialect.readCount(tape.root, into: conversation)
            try ResponsesDialect.writeCount(conversation, to: Target(model: conversation.model, quirks: Quirks()), into: &out)
            #expect(differences(try parsed(body), try parsed(String(decoding: out.bytes, as: UTF8.self))) == [])
            let answer = Held(recording.responseBody)
            #expect(tape.read(answer.bytes) == nil && ResponsesDialect.readCountAnswer(tape.root) == 18)
            out.reset()
            ResponsesDialect.writeCountAnswer(18, into: &out)
            #expect(differences(try parsed(recording.responseBody), try parsed(String(decoding: out.bytes, as: UTF8.self))) == [])
            return
        }
        let (again, dropped) = try translateRequest(body, from: .responses, to: .responses)
        #expect(dropped == [])
        var value = try #require(try parsed(again) as? [String: Any])
        #expect(value["model"] as? String == "served-model")
        value["model"] = model
        #expect(differences(try parsed(body), value) == [])
    }

    @Test(arguments: recordings.filter { $0.status >= 400 && $0.id.hasPrefix("openai/") })
    func everyErrorIsWrittenAsItWasRead(recording: Recording) throws {
        let again = RewrittenError(recording.status, recording.responseBody)
        #expect(again.status == recording.status)
        #expect(differences(try parsed(recording.responseBody), try parsed(again.body)) == [])
        let native = recording.expected["error_native"] as? [String: Any]
        #expect(again.error.code.string == (native?["error"] as? [String: Any])?["code"] as? String)
    }

    @Test(.enabled(if: Recordings.isThere)) func thereAreRecordings() { #expect(recordings.count >= 19) }
}

func unescape(_ text: JSONBytes) -> String { (try? parsed("\"\(text.string)\"")) as? String ?? "?" }

/// An error body read, and written again.
final class RewrittenError {
    private let held: Held
    private let arena = ArenaBox()
    private(set) var error = ProviderError(status: 0, problem: .badRequest)
    private(set) var body = ""
    private(set) var status = 0
    init(_ status: Int, _ bytes: [UInt8]) {
        held = Held(bytes)
        var tape = JSONTape()
        _ = tape.read(held.bytes)
        error = ResponsesDialect.readError(status: status, tape.root, text: held.bytes, kind: JSONBytes(), arena)
        var out = JSONWriter()
        self.status = ResponsesDialect.writeError(error, requestID: JSONBytes("req_1"), into: &out)
        body = String(decoding: out.bytes, as: UTF8.self)
    }
}
