import ClawDialect
import ClawWire
import Foundation
import Testing

/// Every recorded exchange of Ollama's and Cohere's own APIs, read and written again in its dialect.
@Suite(.enabled(if: Recordings.isThere))
struct NativeRecordingTests {
    static let all = Recordings.of("ollama.chat", "ollama.generate", "cohere.chat")
    static let answers = all.filter { $0.status == 200 && !$0.isStream }
    static let streams = all.filter { $0.status == 200 && $0.isStream }
    static let errors = Recordings.of("ollama.chat", "ollama.generate", "cohere.chat", "cohere.embed").filter { $0.status != 200 }

    static func dialect(_ recording: Recording) -> DialectID {
        recording.api == "ollama.chat" ? .ollama : recording.api == "ollama.generate" ? .ollamaGenerate : .cohere
    }

    @Test func thereAreAllOfThem() { #expect(Self.answers.count == 8 && Self.streams.count == 5 && Self.errors.count == 4) }

    @Test(arguments: all) func aRequestLosesNothing(recording: Recording) throws {
        let dialect = Self.dialect(recording)
        let text = String(decoding: recording.requestBody, as: UTF8.self)
        let model = (try parsed(text) as? [String: Any])?["model"] as? String
        let (again, dropped) = try translateRequest(text, from: dialect, to: dialect)
        var before = try parsed(text) as? [String: Any] ?? [:]
        // The model is the target's.
        #expect(model != nil)
        before["model"] = "served-model"
        #expect(differences(before, try parsed(again)) == [] && dropped == [])
    }

    @Test(arguments: answers) func anAnswerLosesNothing(recording: Recording) throws {
        let dialect = Self.dialect(recording)
        let again = try #require(translateAnswer(recording.responseBody, from: dialect, to: dialect))
        #expect(differences(try parsed(recording.responseBody), try parsed(again)) == [])
    }

    @Test(arguments: answers) func theNeutralAnswerSaysWhatTheRecordingExpects(recording: Recording) throws {
        let dialect = Self.dialect(recording)
        let held = Held(recording.responseBody)
        var tape = JSONTape()
        let isJSON = tape.read(held.bytes) == nil
        #expect(isJSON)
        let answer = Answer()
        answer.reset(source: dialect)
        let isRead = dialect.pieces.readAnswer(tape.root, into: answer)
        #expect(isRead)
        let expected = recording.expected
        func plain(_ kind: Part.Kind) -> String {
            answer.parts.filter { $0.kind == kind }.map { answer.arena.arena.unescaped($0.text).string }.joined()
        }
        #expect(plain(.text) == expected["text"] as? String ?? "")
        #expect(plain(.thinking) == (expected["reasoning"] ?? expected["tool_plan"]) as? String ?? "")
        #expect(answer.choices.first?.nativeFinish.string == expected["finish_native"] as? String)
        let usage = expected["usage_native"] as? [String: Any] ?? [:]
        let billed = usage["billed_units"] as? [String: Any] ?? [:]
        #expect(answer.usage.input == (billed["input_tokens"] ?? usage["prompt_eval_count"]) as? Int64)
        #expect(answer.usage.output == (billed["output_tokens"] ?? usage["eval_count"]) as? Int64)
        if let model = expected["model"] as? String { #expect(answer.model.string == model) }
        let calls = answer.parts.filter { $0.kind == .toolCall }
        for (call, other) in zip(calls, expected["tool_calls"] as? [[String: Any]] ?? []) {
            #expect(call.id.string == other["id"] as? String && call.name.string == other["name"] as? String)
            #expect(differences(try parsed(answer.argumentsObject(call).string), other["arguments"]) == [])
        }
        #expect(calls.count == (expected["tool_calls"] as? [Any] ?? []).count)
        #expect((answer.choices.first?.finish == .toolCalls) == !calls.isEmpty)
    }

    @Test(arguments: streams) func aStreamLosesNothing(recording: Recording) throws {
        let dialect = Self.dialect(recording)
        let again = nativeStream(recording.responseBody, from: dialect, to: dialect)
        #expect(again.isWhole && again.kinds.filter { $0 == .start }.count == 1)
        #expect(again.kinds.filter { $0 == .finish }.count == 1 && again.kinds.last == .end)
        // Event for event the same, which says more than that the sums are.
        if dialect == .cohere {
            #expect(differences(try nativeObjects(ofEvents: recording.responseBody), try nativeObjects(ofEvents: again.bytes)) == [])
        } else {
            #expect(differences(try nativeObjects(ofLines: recording.responseBody), try nativeObjects(ofLines: again.bytes)) == [])
        }
    }

    @Test(arguments: streams) func aStreamSaysWhatTheRecordingExpects(recording: Recording) throws {
        let dialect = Self.dialect(recording)
        let expected = recording.expected
        let again = nativeStream(recording.responseBody, from: dialect, to: dialect).bytes
        let all = dialect == .cohere ? try NativeSum.cohere(again) : try NativeSum.ollama(again)
        #expect(all.text == expected["text"] as? String ?? "" && all.plan == expected["tool_plan"] as? String ?? "")
        #expect((all.last["finish_reason"] ?? all.last["done_reason"]) as? String == expected["finish_native"] as? String)
        if dialect == .cohere {
            #expect(all.order == expected["event_types"] as? [String])
            #expect(differences(all.last["usage"], expected["usage_native"]) == [])
            #expect(all.calls.map(\.id) == (expected["tool_calls"] as? [[String: Any]] ?? []).map { $0["id"] as? String ?? "" })
        } else {
            for (key, value) in expected["usage_native"] as? [String: Any] ?? [:] { #expect(differences(all.last[key], value) == []) }
            #expect(try nativeObjects(ofLines: again).count == expected["lines"] as? Int)
        }
    }

    @Test(arguments: streams) func whereAStreamIsCutDoesNotMatter(recording: Recording) {
        let dialect = Self.dialect(recording)
        for front in [dialect, .ollama, .cohere] {
            let whole = nativeStream(recording.responseBody, from: dialect, to: front)
            for size in (front == dialect ? [1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 47, 53, 61, 64, 100, 997, 4096] : [1, 59]) {
                #expect(nativeStream(recording.responseBody, from: dialect, to: front, pieces: size).bytes == whole.bytes, "\(size)")
            }
        }
    }

    @Test(arguments: streams) func aStreamThatBreaksOffHasNoGoodEnd(recording: Recording) throws {
        let dialect = Self.dialect(recording)
        let body = recording.responseBody
        // Cut before the last event that matters.
        let text = String(decoding: body, as: UTF8.self)
        let mark = dialect == .cohere ? "event: message-end" : "\n{\"model\""
        let place = try #require(text.range(of: mark, options: .backwards))
        let cut = Array(text[..<place.lowerBound].utf8) + [0x0A]
        for front in [dialect, .ollama, .cohere] {
            let half = nativeStream(cut, from: dialect, to: front)
            #expect(!half.kinds.contains(.finish) && !half.kinds.contains(.end))
            let out = String(decoding: half.bytes, as: UTF8.self)
            #expect(!out.contains("\"done\":true") && !out.contains("message-end") && !out.contains("[DONE]"))
        }
    }

    @Test(arguments: errors) func anErrorLosesNothing(recording: Recording) throws {
        let dialect = Self.dialect(recording)
        let held = Held(recording.responseBody)
        var tape = JSONTape()
        let isJSON = tape.read(held.bytes) == nil
        #expect(isJSON)
        let arena = ArenaBox()
        defer { withExtendedLifetime(arena) {} }
        let error = dialect.pieces.readError(status: recording.status, tape.root, text: held.bytes, kind: JSONBytes(), arena)
        var out = JSONWriter()
        let status = dialect.pieces.writeError(error, requestID: JSONBytes(), into: &out)
        #expect(status == recording.status)
        #expect(differences(try parsed(recording.responseBody), try parsed(Array(out.bytes))) == [])
        let problem: ProblemClass = recording.status == 401 ? .auth : recording.status == 404 ? .modelMissing : .contextTooLong
        #expect(error.problem == problem && !error.message.isEmpty)
    }

    @Test(arguments: Recordings.of("cohere.embed")) func anEmbeddingLosesNothing(recording: Recording) throws {
        let held = Held(recording.requestBody)
        var tape = JSONTape()
        let isJSON = tape.read(held.bytes) == nil
        #expect(isJSON)
        let request = EmbeddingRequest()
        request.reset(source: .cohere)
        try CohereDialect.readEmbedding(tape.root, into: request)
        var out = JSONWriter()
        try CohereDialect.writeEmbedding(request, to: Target(model: request.model, quirks: Quirks()), into: &out)
        #expect(differences(try parsed(recording.requestBody), try parsed(Array(out.bytes))) == [])
        guard recording.status == 200 else { return }
        let body = Held(recording.responseBody)
        let isBody = tape.read(body.bytes) == nil
        #expect(isBody)
        let answer = EmbeddingAnswer()
        #expect(CohereDialect.readEmbeddingAnswer(tape.root, into: answer))
        #expect(answer.vectors.count == recording.expected["items"] as? Int && answer.usage.input == 7)
        out.reset()
        CohereDialect.writeEmbeddingAnswer(answer, testContext, into: &out)
        let ignored = [
            "texts": "an echo of the request, which a neutral answer has no room for", "meta.billed_units.image_tokens": "always 0: images are not asked for",
        ]
        #expect(differences(try parsed(recording.responseBody), try parsed(Array(out.bytes)), ignoring: ignored) == [])
    }

    @Test func hostileBytesNeverTrap() {
        var dice = NativeDice(20)
        let bodies = Self.all.flatMap { [($0.requestBody, Self.dialect($0)), ($0.responseBody, Self.dialect($0))] }.filter { $0.0.count < 9000 }
        for round in 0..<2000 {
            let (bytes, dialect) = bodies[round % bodies.count]
            nativeFeed(nativeMutation(bytes, &dice), dialect)
        }
    }
}
