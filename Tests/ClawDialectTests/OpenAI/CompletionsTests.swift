// The old completions, and embeddings: both are small, and both are in use.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct CompletionsTests {
    static let recorded = Recordings.of("openai.completions")

    @Test(.enabled(if: Recordings.isThere), arguments: recorded)
    func whatWasRecordedIsTheSame(recording: Recording) throws {
        let (body, dropped) = try translateRequest(String(decoding: recording.requestBody, as: UTF8.self), from: .completions, to: .completions)
        var before = try parsed(recording.requestBody) as? [String: Any] ?? [:]
        before["model"] = "served-model"
        #expect(differences(before, try parsed(body)) == [] && dropped == [])
        guard recording.isStream else {
            let out = try #require(translateAnswer(recording.responseBody, from: .completions, to: .completions))
            #expect(differences(try parsed(recording.responseBody), try parsed(out)) == [])
            return
        }
        func run(_ size: Int) -> [UInt8] {
            translateStream(
                sseEvents(recording.responseBody, pieces: size), reader: CompletionsDialect.streamReader(Quirks()),
                writer: CompletionsDialect.streamWriter(testContext), keepsExtras: true
            ).bytes
        }
        let whole = run(.max)
        #expect(ChatAccumulator(recording.responseBody).differences(from: ChatAccumulator(whole)) == [] && ChatAccumulator(whole).sawDone)
        for size in Array(1...64) + [997] { #expect(run(size) == whole) }
    }

    @Test func aPromptIsAUsersMessage() throws {
        for prompt in [#""hi""#, #"["hi"]"#] {
            let (body, _) = try translateRequest(#"{"model":"m","prompt":\#(prompt),"max_tokens":16,"best_of":1,"echo":false,"suffix":null,"stop":"x"}"#, from: .completions, to: .chat)
            #expect(body == #"{"model":"served-model","messages":[{"role":"user","content":"hi"}],"max_tokens":16,"stop":["x"]}"#)
        }
    }

    @Test func theSameEndpointGetsEverything() throws {
        let body = #"{"model":"m","prompt":["hi"],"suffix":"s","echo":true,"best_of":3,"logprobs":2,"max_tokens":5,"temperature":0.5,"stop":["a"],"user":"u"}"#
        let (out, _) = try translateRequest(body, from: .completions, to: .completions)
        #expect(differences(try parsed(body.replacingOccurrences(of: "\"m\"", with: "\"served-model\"")), try parsed(out)) == [])
    }

    @Test(arguments: [#""suffix":"s""#, #""echo":true"#, #""best_of":2"#, #""logprobs":0"#])
    func whatOnlyTheOldEndpointCanIsRefusedElsewhere(member: String) throws {
        let body = #"{"model":"m","prompt":"hi",\#(member)}"#
        let name = String(member.dropFirst().prefix { $0 != "\"" })
        do {
            _ = try translateRequest(body, from: .completions, to: .chat)
            Issue.record("it went through")
        } catch { #expect("\(error)".hasPrefix(name + ": ")) }
        #expect(try translateRequest(body, from: .completions, to: .chat, drops: true).dropped == [name])
    }

    @Test(arguments: [
        (#"{"model":"m"}"#, "prompt: is required"), (#"{"model":"m","prompt":[1,2]}"#, "prompt: must be a string or an array of one string; tokens are not taken"),
        (#"{"model":"m","prompt":["a","b"]}"#, "prompt: must be a string or an array of one string; tokens are not taken"), (#"{"model":"m","prompt":5}"#, "prompt: must be a string or an array of one string; tokens are not taken"),
        (#"{"model":"m","prompt":"a","logprobs":true}"#, "logprobs: must be an integer"), (#"{"model":"m","prompt":"a","echo":1}"#, "echo: must be true or false"),
        (#"{"model":"m","prompt":"a","suffix":1}"#, "suffix: must be a string"), (#"{"model":"m","prompt":"a","best_of":"x"}"#, "best_of: must be an integer"), (#"{"prompt":"a"}"#, "model: is required"),
    ])
    func whatIsWrongIsNamed(body: String, refusal: String) {
        do {
            _ = try translateRequest(body, from: .completions, to: .chat)
            Issue.record("it went through")
        } catch { #expect("\(error)" == refusal) }
    }

    @Test func aConversationIsNoPrompt() throws {
        let one = #"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":5}"#
        #expect(try translateRequest(one, from: .chat, to: .completions).body == #"{"model":"served-model","prompt":"hi","max_tokens":5}"#)
        let more = #"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"}]}"#
        #expect(throws: TestFailure.self) { try translateRequest(more, from: .chat, to: .completions) }
        let image = #"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]}"#
        #expect(throws: TestFailure.self) { try translateRequest(image, from: .chat, to: .completions) }
    }

    @Test func aChatAnswerIsAText() throws {
        let chat = #"{"id":"x","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","reasoning_content":"hm","refusal":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#
        let out = try #require(translateAnswer(Array(chat.utf8), from: .chat, to: .completions))
        #expect(out.contains(#""object":"text_completion""#) && out.contains(#""choices":[{"text":"Hi","index":0,"logprobs":null,"finish_reason":"stop"}]"#) && !out.contains("hm"))
        #expect(out.contains(#""total_tokens":3"#))
    }
}

struct EmbeddingTests {
    static let recorded = Recordings.of("openai.embeddings", "azure.embeddings", "mistral.embeddings")

    private func translate(_ body: String, quirks: Quirks = Quirks(), drops: Bool = false) throws -> (body: String, asBase64: Bool, dropped: [String]) {
        let held = Held(Array(body.utf8))
        var tape = JSONTape()
        guard tape.read(held.bytes) == nil else { throw TestFailure(description: "no JSON") }
        let request = EmbeddingRequest()
        request.dropsUnsupported = drops
        do throws(Refusal) {
            try ChatDialect.readEmbedding(tape.root, into: request)
            var out = JSONWriter()
            try ChatDialect.writeEmbedding(request, to: Target(model: JSONBytes("served"), quirks: quirks), into: &out)
            return (String(decoding: out.bytes, as: UTF8.self), request.asBase64, request.dropped.map(\.string))
        } catch { throw TestFailure(description: "\(error.field.string): \(error.reason)") }
    }

    private func answer(_ body: [UInt8], asBase64: Bool) throws -> String? {
        let held = Held(body)
        var tape = JSONTape()
        guard tape.read(held.bytes) == nil else { return nil }
        let answer = EmbeddingAnswer()
        guard ChatDialect.readEmbeddingAnswer(tape.root, into: answer) else { return nil }
        var context = testContext
        context.asBase64 = asBase64
        var out = JSONWriter()
        ChatDialect.writeEmbeddingAnswer(answer, context, into: &out)
        return String(decoding: out.bytes, as: UTF8.self)
    }

    @Test(.enabled(if: Recordings.isThere), arguments: recorded)
    func whatWasRecordedIsTheSame(recording: Recording) throws {
        var before = try parsed(recording.requestBody) as? [String: Any] ?? [:]
        if recording.id == "openai/embeddings-error-400" {
            #expect(throws: TestFailure.self) { try translate(String(decoding: recording.requestBody, as: UTF8.self)) }
            return
        }
        before["model"] = "served"
        #expect(differences(before, try parsed(try translate(String(decoding: recording.requestBody, as: UTF8.self)).body)) == [])
        guard recording.status == 200 else { return }
        let asBase64 = before["encoding_format"] as? String == "base64"
        let out = try #require(try answer(recording.responseBody, asBase64: asBase64))
        let ignored = ["id": "OpenAI's embeddings have none", "usage": "of Mistral's, OpenAI has two counts"]
        #expect(differences(try parsed(recording.responseBody), try parsed(out), ignoring: recording.api == "mistral.embeddings" ? ignored : [:]) == [])
        // And the other way round and back: float32 survives base64 exactly.
        let other = try #require(try answer(recording.responseBody, asBase64: !asBase64))
        let again = try #require(try answer(Array(other.utf8), asBase64: asBase64))
        if asBase64 { #expect(differences(try parsed(out), try parsed(again)) == []) }
        let dims = (try parsed(asBase64 ? other : out) as? [String: Any]).flatMap { ($0["data"] as? [[String: Any]])?[0]["embedding"] as? [Any] }?.count
        #expect(dims ?? 0 > 100)
        if let expected = recording.expected["embedding_dims"] as? Int { #expect(dims == expected) }
    }

    @Test(arguments: [
        (#"{"model":"m","input":"a"}"#, #"{"model":"served","input":"a"}"#), (#"{"model":"m","input":["a"],"dimensions":5}"#, #"{"model":"served","input":["a"],"dimensions":5}"#),
        (#"{"model":"m","input":["a","b"],"encoding_format":"base64","user":"u"}"#, #"{"model":"served","input":["a","b"],"encoding_format":"base64","user":"u"}"#),
        (#"{"model":"m","input":[1,2]}"#, #"{"model":"served","input":[1,2]}"#), (#"{"model":"m","input":[[1,2],[3]],"x":1}"#, #"{"model":"served","input":[[1,2],[3]],"x":1}"#),
    ])
    func inputsOfAllForms(body: String, out: String) throws { #expect(try translate(body).body == out) }

    @Test(arguments: [
        (#"{"model":"m"}"#, "input: is required"), (#"{"model":"m","input":[]}"#, "input: must be a string, or an array of strings or token ids that is not empty"),
        (#"{"model":"m","input":5}"#, "input: must be a string, or an array of strings or token ids that is not empty"), (#"{"model":"m","input":["a",1]}"#, "input: must hold strings only, or arrays of token ids only"),
        (#"{"model":"m","input":[1,"a"]}"#, "input: must hold token ids only, or strings only"), (#"{"model":"m","input":[[1],["a"]]}"#, "input: must hold token ids only, or strings only"),
        (#"{"model":"m","input":"a","encoding_format":"int8"}"#, "encoding_format: must be float or base64"), (#"{"model":"m","input":"a","dimensions":0}"#, "dimensions: is out of range"),
        (#"{"input":"a"}"#, "model: is required"), (#"{"model":"m","input":"a","input":"b"}"#, "input: stands twice"),
    ])
    func whatIsWrongIsNamed(body: String, refusal: String) {
        do {
            _ = try translate(body)
            Issue.record("it went through")
        } catch { #expect("\(error)" == refusal) }
    }

    @Test func mistralGivesFloatsAndHasItsOwnWords() throws {
        let mistral = Quirks.named("mistral")!
        let out = try translate(#"{"model":"m","input":"a","encoding_format":"base64","dimensions":256}"#, quirks: mistral)
        #expect(out.body == #"{"model":"served","input":"a","output_dimension":256}"# && out.asBase64)
        #expect(throws: TestFailure.self) { try translate(#"{"model":"m","input":[1,2]}"#, quirks: mistral) }
    }

    @Test func vectorsStandAtTheirIndex() throws {
        let body = #"{"object":"list","data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#
        let out = try #require(try answer(Array(body.utf8), asBase64: false))
        #expect(out == #"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]},{"object":"embedding","index":1,"embedding":[2]}],"model":"asked-model","usage":{"prompt_tokens":3,"total_tokens":3}}"#)
        #expect(try answer(Array(body.utf8), asBase64: true)?.contains(#""embedding":"AACAPw==""#) == true)
    }

    @Test(arguments: [
        #"{"data":[]}"#, #"{"data":[{"index":5,"embedding":[1]}]}"#, #"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#, #"{"data":[{"index":0}]}"#, #"{"error":{"message":"x"},"data":[{"embedding":[1]}]}"#,
        #"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":"AAAA"}]}"#, "5",
    ])
    func garbageIsNoAnswer(body: String) throws { #expect(try answer(Array(body.utf8), asBase64: false) == nil) }
}
