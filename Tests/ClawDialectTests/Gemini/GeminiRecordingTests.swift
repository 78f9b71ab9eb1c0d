// Every recorded exchange with Gemini and Vertex, read and written again in the same dialect: nothing may be lost.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct GeminiRecordingTests {
    static let answers = Recordings.of("gemini.generateContent", "vertex.generateContent").filter { $0.status == 200 }
    static let streams = Recordings.of("gemini.streamGenerateContent", "vertex.streamGenerateContent").filter { $0.status == 200 }
    static let errors = Recordings.of("gemini.", "vertex.").filter { $0.status >= 400 && $0.api != "gemini.openai_compat" }
    static let requests = Recordings.of(
        "gemini.generateContent", "vertex.generateContent", "gemini.streamGenerateContent", "vertex.streamGenerateContent")

    @Test func recordingsAreThere() {
        guard Recordings.isThere else { return }
        #expect(Self.answers.count >= 14)
        #expect(Self.streams.count >= 11)
        #expect(Self.errors.count >= 5)
    }

    // MARK: answers

    @Test(arguments: answers) func answerComesBackAsItWas(_ recording: Recording) throws {
        let written = try #require(translateAnswer(recording.responseBody, from: .gemini, to: .gemini))
        #expect(differences(try parsed(recording.responseBody), try parsed(written)) == [])
    }

    @Test(arguments: answers) func answerSaysWhatAnIndependentReaderSaw(_ recording: Recording) throws {
        let answer = try #require(geminiAnswer(String(decoding: recording.responseBody, as: UTF8.self)))
        let expected = recording.expected
        let choice = try #require(answer.choices.first)
        let parts = answer.parts[choice.parts]
        func joined(_ kind: Part.Kind) throws -> String { try parts.filter { $0.kind == kind }.map { try unquoted($0.text) }.joined() }
        #expect(try joined(.text) == expected["text"] as? String ?? "")
        #expect(try joined(.thinking) == expected["reasoning"] as? String ?? "")
        if let finish = expected["finish_native"] as? String { #expect(choice.nativeFinish.string == finish) }
        if let model = expected["model"] as? String { #expect(answer.model.string == model) }
        let calls = choice.nativeFinish.equals("UNEXPECTED_TOOL_CALL") ? [] : expected["tool_calls"] as? [[String: Any]] ?? []
        let read = parts.filter { $0.kind == .toolCall }
        #expect(read.count == calls.count)
        for (part, call) in zip(read, calls) {
            #expect(part.name.string == call["name"] as? String)
            #expect(part.id.string == call["id"] as? String ?? "")
            #expect(differences(call["arguments"], try parsed(answer.argumentsObject(part).string)) == [])
        }
        #expect(!calls.isEmpty == (choice.finish == .toolCalls))
        #expect(parts.filter { !$0.signature.isEmpty }.count == (choice.nativeFinish.equals("UNEXPECTED_TOOL_CALL") ? 0 : expected["thought_signatures"] as? Int ?? 0))
        check(answer.usage, expected["usage_native"] as? [String: Any] ?? [:])
    }

    private func unquoted(_ text: JSONBytes) throws -> String { try parsed("\"\(text.string)\"") as? String ?? "" }

    private func check(_ usage: Usage, _ native: [String: Any]) {
        func count(_ key: String) -> Int64 { Int64(native[key] as? Int ?? 0) }
        #expect(usage.input == count("promptTokenCount") + count("toolUsePromptTokenCount"))
        #expect(usage.reasoning == count("thoughtsTokenCount"))
        #expect(usage.output == count("candidatesTokenCount") + count("thoughtsTokenCount"))
        #expect(usage.cacheRead == count("cachedContentTokenCount"))
        if native["totalTokenCount"] != nil { #expect(usage.total == count("totalTokenCount")) }
    }

    // MARK: streams

    private func rewritten(_ recording: Recording, pieces size: Int = .max, asArray: Bool = false) -> [UInt8] {
        var context = testContext
        context.asArray = asArray
        return translateStream(
            geminiEvents(recording.responseBody, pieces: size), reader: GeminiDialect.streamReader(Quirks()), writer: GeminiDialect.streamWriter(context),
            keepsExtras: true
        ).bytes
    }

    @Test(arguments: streams) func streamComesBackAsItWas(_ recording: Recording) throws {
        let before = try Accumulated(geminiEvents(recording.responseBody))
        let sse = rewritten(recording)
        #expect(String(decoding: sse.prefix(6), as: UTF8.self) == "data: ")
        #expect(sse.suffix(4) == [13, 10, 13, 10])
        #expect(differences(before.value, try Accumulated(sseEvents(sse)).value) == [])
        let array = rewritten(recording, asArray: true)
        #expect(differences(before.value, try Accumulated(arrayEvents(array)).value) == [])
        #expect(try parsed(array) is [Any])
    }

    @Test(arguments: streams) func streamSaysWhatAnIndependentReaderSaw(_ recording: Recording) throws {
        let (events, usage, error, sawEnd) = said(geminiEvents(recording.responseBody))
        let expected = recording.expected
        #expect(error == nil)
        #expect(sawEnd)
        #expect(events.filter { $0.kind == .start }.count == 1)
        #expect(events.first?.kind == .start)
        #expect(events.filter { $0.kind == .finish }.count == 1)
        #expect(events.last?.kind == .end)
        func joined(_ kind: StreamEvent.Kind) throws -> String {
            try events.filter { $0.kind == kind }.map { try parsed("\"\($0.text)\"") as? String ?? "" }.joined()
        }
        #expect(try joined(.textDelta) == expected["text"] as? String ?? "")
        if let reasoning = expected["reasoning"] as? String { #expect(try joined(.thinkingDelta) == reasoning) }
        #expect(events.first { $0.kind == .finish }?.name == expected["finish_native"] as? String)
        #expect(events.first?.name == expected["model"] as? String)
        let calls = expected["tool_calls"] as? [[String: Any]] ?? []
        let starts = events.filter { $0.kind == .callStart }
        #expect(starts.map(\.name) == calls.map { $0["name"] as? String ?? "" })
        #expect(starts.map(\.id) == calls.map { $0["id"] as? String ?? "" })
        #expect(starts.map(\.index) == Array(0..<calls.count))
        for (said, call) in zip(events.filter { $0.kind == .callArguments }, calls) { #expect(differences(call["arguments"], try parsed(said.json)) == []) }
        if !calls.isEmpty { #expect(events.first { $0.kind == .finish }?.finish == .toolCalls) }
        check(usage, expected["usage_native"] as? [String: Any] ?? [:])
    }

    @Test(arguments: streams) func streamIsTheSameHoweverItIsCut(_ recording: Recording) {
        let whole = rewritten(recording)
        let sizes = recording.responseBody.count < 1000 ? Array(1...64) : [1, 2, 3, 7, 16, 61, 500, 4096]
        for size in sizes { #expect(rewritten(recording, pieces: size) == whole) }
    }

    // MARK: errors, requests, embeddings, counts

    @Test(arguments: errors) func errorComesBackAsItWas(_ recording: Recording) throws {
        let held = Held(recording.responseBody)
        var tape = JSONTape()
        #expect(tape.read(held.bytes) == nil)
        let arena = ArenaBox()
        let error = GeminiDialect.readError(status: recording.status, tape.root, text: held.bytes, kind: JSONBytes(), arena)
        var out = JSONWriter()
        #expect(GeminiDialect.writeError(error, requestID: JSONBytes("r"), into: &out) == recording.status)
        #expect(differences(try parsed(recording.responseBody), try parsed(Array(out.bytes))) == [])
    }

    @Test(arguments: requests) func requestComesBackAsItWas(_ recording: Recording) throws {
        let model = recording.requestPath.split(separator: "/").last.map { String($0.prefix { $0 != ":" }) } ?? ""
        let conversation = try geminiConversation(String(decoding: recording.requestBody, as: UTF8.self))
        var out = JSONWriter()
        try GeminiDialect.writeRequest(conversation, to: Target(model: words(model), quirks: Quirks()), into: &out)
        #expect(conversation.dropped.isEmpty)
        let found = differences(
            camel(try parsed(recording.requestBody)), camel(try parsed(Array(out.bytes))),
            ignoring: ["systemInstruction.role": "instructions have no role; Gemini ignores what stands there"])
        #expect(found == [])
    }

    @Test(arguments: Recordings.of("gemini.batchEmbedContents")) func embeddingsComeBackAsTheyWere(_ recording: Recording) throws {
        let held = Held(recording.requestBody)
        var tape = JSONTape()
        #expect(tape.read(held.bytes) == nil)
        let request = EmbeddingRequest()
        request.reset(source: .gemini)
        try GeminiDialect.readEmbedding(tape.root, into: request)
        #expect(request.dimensions == 768)
        var out = JSONWriter()
        try GeminiDialect.writeEmbedding(request, to: Target(model: words("gemini-embedding-001"), quirks: Quirks()), into: &out)
        #expect(differences(try parsed(recording.requestBody), try parsed(Array(out.bytes))) == [])

        let body = Held(recording.responseBody)
        #expect(tape.read(body.bytes) == nil)
        let answer = EmbeddingAnswer()
        #expect(GeminiDialect.readEmbeddingAnswer(tape.root, into: answer))
        #expect(answer.vectors.count == recording.expected["items"] as? Int)
        var written = JSONWriter()
        GeminiDialect.writeEmbeddingAnswer(answer, testContext, into: &written)
        #expect(differences(try parsed(recording.responseBody), try parsed(Array(written.bytes))) == [])
    }

    @Test(arguments: Recordings.of("gemini.countTokens")) func countsComeBackAsTheyWere(_ recording: Recording) throws {
        let held = Held(recording.requestBody)
        var tape = JSONTape()
        #expect(tape.read(held.bytes) == nil)
        let conversation = Conversation()
        conversation.reset(source: .gemini)
        try GeminiDialect.readCount(tape.root, into: conversation)
        #expect(conversation.model.string == "gemini-3.5-flash")
        var out = JSONWriter()
        try GeminiDialect.writeCount(conversation, to: Target(model: conversation.model, quirks: Quirks()), into: &out)
        #expect(differences(try parsed(recording.requestBody), try parsed(Array(out.bytes))) == [])
        let body = Held(recording.responseBody)
        #expect(tape.read(body.bytes) == nil)
        #expect(GeminiDialect.readCountAnswer(tape.root) == 61)
    }
}
