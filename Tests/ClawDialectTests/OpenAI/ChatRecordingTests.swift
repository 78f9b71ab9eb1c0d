// Every recorded answer, stream, error and request of the providers that speak OpenAI's chat: read, written in the same dialect, and still the same.
import ClawDialect
import ClawWire
import Foundation
import Testing

enum ChatRecordings {
    static let chat = Recordings.of(
        "openai.chat", "azure.chat", "azure.foundry_chat", "mistral.chat", "groq.chat", "deepseek.chat", "openrouter.chat", "vllm.chat", "cerebras.chat",
        "perplexity.chat", "together.chat", "zai.chat", "gemini.openai_compat", "ollama.openai_chat")
    static let isError: @Sendable (Recording) -> Bool = { $0.status >= 400 || $0.id == "azure/chat-prompt-filtered" }
    static let answers = chat.filter { !isError($0) && !$0.isStream }
    static let streams = chat.filter { !isError($0) && $0.isStream }
    static let errors = chat.filter(isError)

    /// The quirks of who answered.
    static func quirks(of recording: Recording) -> Quirks {
        let provider = recording.api.prefix { $0 != "." }
        return Quirks.named(String(provider)) ?? Quirks()
    }
}

struct ChatRecordingTests {
    @Test(.enabled(if: Recordings.isThere), arguments: ChatRecordings.answers)
    func anAnswerReadAndWrittenIsTheSame(recording: Recording) throws {
        let out = try #require(translateAnswer(recording.responseBody, from: .chat, to: .chat))
        let now = try parsed(out) as? [String: Any]
        var ignored: [String: String] = [:]
        if recording.id.hasPrefix("ollama/") { ignored["id"] = "Ollama's ids are not unique: one is made" }
        if recording.id == "gemini/openai-compat-tool-no-id" { ignored["tool_calls.0.id"] = "an empty id is replaced by one that is unique" }
        if recording.id == "azure/chat-content-filtered" { ignored["choices.0.message"] = "what was filtered has no message; clients are given one" }
        #expect(differences(withoutNulls(try parsed(recording.responseBody)), withoutNulls(now), ignoring: ignored) == [])
        let message = ((now?["choices"] as? [[String: Any]])?.first?["message"]) as? [String: Any]
        #expect(message?.keys.contains("content") == true && message?.keys.contains("refusal") == true)
    }

    @Test(.enabled(if: Recordings.isThere), arguments: ChatRecordings.answers)
    func whatAnAnswerSaysIsRead(recording: Recording) throws {
        let held = Held(recording.responseBody)
        var tape = JSONTape()
        try #require(tape.read(held.bytes) == nil)
        let answer = Answer()
        answer.reset(source: .chat)
        try #require(ChatDialect.readAnswer(tape.root, into: answer))
        let expected = recording.expected
        for (at, one) in (expected["choices"] as? [[String: Any]] ?? []).enumerated() {
            let choice = answer.choices[at]
            let parts = answer.parts[choice.parts]
            func text(_ kind: Part.Kind) -> String {
                parts.filter { $0.kind == kind }.map { answer.arena.arena.unescaped($0.text).string }.joined()
            }
            #expect(text(.text) == one["text"] as? String ?? "")
            #expect(text(.thinking) == one["reasoning"] as? String ?? "")
            #expect(text(.refusal) == one["refusal"] as? String ?? "")
            #expect(choice.nativeFinish.string == one["finish_native"] as? String ?? "")
            let calls = one["tool_calls"] as? [[String: Any]] ?? []
            let made = parts.filter { $0.kind == .toolCall }
            #expect(made.count == calls.count)
            for (call, part) in zip(calls, made) {
                #expect(part.id.string == call["id"] as? String ?? "" && part.name.string == call["name"] as? String)
                #expect(differences(call["arguments"], try parsed(answer.argumentsObject(part).string)) == [])
            }
        }
        if let usage = expected["usage_native"] as? [String: Any], let sum = usage["prompt_tokens"] as? Int, let output = usage["completion_tokens"] as? Int {
            let cached = (usage["prompt_tokens_details"] as? [String: Any])?["cached_tokens"] as? Int ?? 0
            #expect(answer.usage.input == Int64(max(sum, cached)))
            #expect(answer.usage.output == Int64(output))
            #expect(answer.usage.total >= Int64(usage["total_tokens"] as? Int ?? 0))
        }
        if let model = expected["model"] as? String { #expect(answer.model.string == model) }
    }

    @Test(.enabled(if: Recordings.isThere), arguments: ChatRecordings.streams)
    func aStreamReadAndWrittenIsTheSame(recording: Recording) {
        let quirks = ChatRecordings.quirks(of: recording)
        let (bytes, kinds) = translateStream(
            sseEvents(recording.responseBody), reader: ChatDialect.streamReader(quirks), writer: ChatDialect.streamWriter(testContext), keepsExtras: true)
        var before = ChatAccumulator(recording.responseBody)
        let after = ChatAccumulator(bytes)
        // Usage is said at a good end only; of what failed the gateway keeps its own account.
        if after.error != nil { before.usage = nil }
        #expect(before.differences(from: after) == [])
        #expect(recording.id.hasPrefix("ollama/") || before.id == after.id)
        #expect(after.ids.count == 1 || before.ids.isEmpty)
        #expect(kinds.filter { $0 == .start }.count == 1)
        #expect(kinds.first == .start || (kinds.first == .opaque && kinds[1] == .start))
        let isFailed = kinds.contains(.error)
        #expect(kinds.last == (isFailed ? .error : .end) && after.sawDone == !isFailed)
        #expect(kinds.filter { $0 == .finish }.count == (isFailed ? kinds.filter { $0 == .finish }.count : before.choices.count))
    }

    @Test(.enabled(if: Recordings.isThere), arguments: ChatRecordings.streams)
    func whatAStreamSaysIsRead(recording: Recording) throws {
        let (bytes, _) = translateStream(
            sseEvents(recording.responseBody), reader: ChatDialect.streamReader(ChatRecordings.quirks(of: recording)),
            writer: ChatDialect.streamWriter(testContext))
        let after = ChatAccumulator(bytes)
        let expected = recording.expected
        for one in expected["choices"] as? [[String: Any]] ?? [] {
            let choice = try #require(after.choices[one["index"] as? Int ?? 0])
            #expect(choice.text == one["text"] as? String ?? "" && choice.reasoning == one["reasoning"] as? String ?? "")
            if expected["error_in_stream"] == nil { #expect(choice.finish == one["finish_native"] as? String) }
            let calls = one["tool_calls"] as? [[String: Any]] ?? []
            #expect(choice.calls.count == calls.count && choice.roles == 1)
            for (call, now) in zip(calls, choice.calls) {
                #expect(now.id == call["id"] as? String && now.name == call["name"] as? String)
                #expect(differences(call["arguments"], try parsed(now.arguments)) == [])
            }
        }
        if let usage = expected["usage_native"] as? [String: Any], after.error == nil {
            #expect(after.usage?["completion_tokens"] as? Int == usage["completion_tokens"] as? Int)
            let total = usage["total_tokens"] as? Int ?? 0
            #expect((after.usage?["total_tokens"] as? Int ?? 0) >= total)
        }
        if expected["error_in_stream"] != nil { #expect(after.error != nil && !after.sawDone) }
    }

    @Test(.enabled(if: Recordings.isThere), arguments: ChatRecordings.streams)
    func aStreamInPiecesIsTheSameStream(recording: Recording) {
        func run(_ size: Int) -> [UInt8] {
            translateStream(
                sseEvents(recording.responseBody, pieces: size), reader: ChatDialect.streamReader(Quirks()),
                writer: ChatDialect.streamWriter(testContext), keepsExtras: true
            ).bytes
        }
        let whole = run(.max)
        let sizes = recording.responseBody.count < 4000 ? Array(1...32) + [63, 64, 997, 4096] : [1, 2, 3, 7, 64, 997, 4096]
        for size in sizes { #expect(run(size) == whole, "in pieces of \(size)") }
    }

    @Test(.enabled(if: Recordings.isThere), arguments: ChatRecordings.errors)
    func anErrorReadAndWrittenIsTheSame(recording: Recording) throws {
        let held = Held(recording.responseBody)
        var tape = JSONTape()
        _ = tape.read(held.bytes)
        let arena = ArenaBox()
        let error = ChatDialect.readError(status: recording.status, tape.root, text: held.bytes, kind: JSONBytes(), arena)
        var out = JSONWriter()
        _ = ChatDialect.writeError(error, requestID: JSONBytes(), into: &out)
        let before = try parsed(recording.responseBody) as? [String: Any] ?? [:]
        let after = try parsed(Array(out.bytes)) as? [String: Any] ?? [:]
        let body = after["error"] as? [String: Any] ?? [:]
        for key in ["message", "type", "param", "code"] { #expect(body.keys.contains(key)) }
        if before["error"] is [String: Any] {
            #expect(differences(withoutNulls(before), withoutNulls(after)) == [])
        } else {
            #expect(body["message"] as? String == before["detail"] as? String)
        }
    }

    @Test(.enabled(if: Recordings.isThere), arguments: ChatRecordings.chat)
    func aRequestReadAndWrittenIsTheSame(recording: Recording) throws {
        // The gateway refuses itself what these were recorded to have refused.
        if recording.id == "openai/chat-error-400-bad-request" || recording.id == "openai/chat-error-400-no-messages" {
            #expect(throws: TestFailure.self) { try translateRequest(String(decoding: recording.requestBody, as: UTF8.self), from: .chat, to: .chat) }
            return
        }
        let before = try parsed(recording.requestBody) as? [String: Any] ?? [:]
        let quirks = ChatRecordings.quirks(of: recording)
        let (body, dropped) = try translateRequest(String(decoding: recording.requestBody, as: UTF8.self), from: .chat, to: .chat, quirks: quirks)
        var renamed = before
        renamed["model"] = "served-model"
        if quirks.usesMaxTokens, let count = renamed.removeValue(forKey: "max_completion_tokens") { renamed["max_tokens"] = count }
        var ignored: [String: String] = [:]
        if recording.api == "groq.chat", (before["n"] as? Int) == 1 { ignored["n"] = "one answer is the default, and Groq's documentation has no n" }
        #expect(differences(withoutNulls(renamed), withoutNulls(try parsed(body)), ignoring: ignored) == [])
        #expect(dropped == [])
    }
}
