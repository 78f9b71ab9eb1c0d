import ClawDialect
import ClawWire
import Foundation
import Testing

@Suite struct InvokeModelTests {
    @Test(.enabled(if: Recordings.isThere)) func chunksHoldTheMakersEvents() throws {
        let all = Recordings.of("bedrock.invoke_stream")
        #expect(all.count == 3)
        for one in all {
            var inner: [[String: Any]] = []
            let arena = ArenaBox()
            for event in frames(one.responseBody).frames {
                let data = Held(event.data), name = Held(event.name)
                arena.arena.reset()
                let unwrapped = try #require(InvokeModel.inner(of: WireEvent(data.bytes, name: JSONBytes(name.bytes)), arena), "\(one.id)")
                inner.append(try #require(try parsed(Array(unwrapped.data)) as? [String: Any]))
            }
            if one.id.contains("nova") {
                #expect(inner.count == one.expected["inner_chunks"] as? Int)
                #expect(differences(inner.first, one.expected["inner_first"]) == [] && differences(inner.last, one.expected["inner_last"]) == [])
            } else {
                var order: [String] = []
                for event in inner { if let type = event["type"] as? String, order.last != type { order.append(type) } }
                #expect(order == one.expected["event_types"] as? [String])
                #expect(inner.last?["amazon-bedrock-invocationMetrics"] != nil)
            }
        }
    }

    @Test func otherPayloadsAreTold() {
        let arena = ArenaBox()
        func inner(_ name: StaticString, _ text: String, _ kind: WireEvent.Kind = .event) -> String? {
            let held = Held(Array(text.utf8))
            return InvokeModel.inner(of: WireEvent(held.bytes, name: JSONBytes(name), kind: kind), arena).map { String(decoding: $0.data, as: UTF8.self) }
        }
        #expect(inner("chunk", "{\"bytes\":\"aGk=\",\"p\":\"abc\"}") == "hi")
        #expect(inner("chunk", "{\"bytes\":\"a\\/\\/+\"}") != nil && inner("chunk", "{\"bytes\":\"\"}") == "")
        for bad in ["", "{}", "{\"bytes\":1}", "{\"bytes\":\"*\"}", "[]"] { #expect(inner("chunk", bad) == nil, "\(bad)") }
        #expect(inner("throttlingException", "{\"message\":\"x\"}", .exception) == "{\"message\":\"x\"}")
        #expect(inner("other", "x") == "x")
    }
}

@Suite struct BedrockPathTests {
    @Test func aModelIsOneSegmentWhateverItsID() {
        func path(_ operation: BedrockPath.Operation, _ model: StaticString) -> String {
            var out = JSONWriter()
            BedrockPath.write(operation, model: JSONBytes(model), into: &out)
            return String(decoding: out.bytes, as: UTF8.self)
        }
        #expect(path(.converse, "anthropic.claude-3-haiku-20240307-v1:0") == "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse")
        #expect(path(.converseStream, "us.amazon.nova-micro-v1:0") == "/model/us.amazon.nova-micro-v1%3A0/converse-stream")
        #expect(path(.invoke, "arn:aws:bedrock:us-east-1:1:inference-profile/us.x") == "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x/invoke")
        #expect(path(.invokeStream, "../é ?#") == "/model/..%2F%C3%A9%20%3F%23/invoke-with-response-stream")
        #expect(path(.countTokens, "a~b_c-d.e") == "/model/a~b_c-d.e/count-tokens")
    }
}

@Suite struct BedrockEmbeddingTests {
    static func write(_ model: StaticString, drops: Bool = false, source: DialectID = .chat, _ build: (EmbeddingRequest) -> Void) throws -> (body: Any, dropped: [String]) {
        let request = EmbeddingRequest()
        request.reset(source: source)
        request.dropsUnsupported = drops
        build(request)
        var out = JSONWriter()
        do throws(Refusal) { try ConverseDialect.writeEmbedding(request, to: Target(model: JSONBytes(model), quirks: Quirks()), into: &out) } catch {
            throw TestFailure(description: "\(error.field.string): \(error.reason)")
        }
        return (try parsed(String(decoding: out.bytes, as: UTF8.self)), request.dropped.map(\.string))
    }

    @Test(.enabled(if: Recordings.isThere)) func titanGoesAndComesBack() throws {
        let one = try #require(Recordings.of("bedrock.invoke").first { $0.id.contains("embed") })
        let held = Held(one.requestBody)
        var tape = JSONTape()
        #expect(tape.read(held.bytes) == nil)
        let request = EmbeddingRequest()
        request.reset(source: .converse)
        try ConverseDialect.readEmbedding(tape.root, into: request)
        #expect(request.isSingle && request.dimensions == 1024)
        var out = JSONWriter()
        try ConverseDialect.writeEmbedding(request, to: Target(model: JSONBytes("amazon.titan-embed-text-v2:0"), quirks: Quirks()), into: &out)
        #expect(differences(try parsed(one.requestBody), try parsed(String(decoding: out.bytes, as: UTF8.self))) == [])
        let body = Held(one.responseBody)
        #expect(tape.read(body.bytes) == nil)
        let answer = EmbeddingAnswer()
        #expect(ConverseDialect.readEmbeddingAnswer(tape.root, into: answer))
        #expect(answer.usage.input == 8 && answer.vectors.count == 1)
        out.reset()
        var context = testContext
        context.isSingle = true
        ConverseDialect.writeEmbeddingAnswer(answer, context, into: &out)
        #expect(differences(try parsed(one.responseBody), try parsed(String(decoding: out.bytes, as: UTF8.self)),
            ignoring: ["embeddingsByType": "says the same vector again"]) == [])
    }

    @Test func titanTakesOneTextACall() throws {
        #expect(try expectEqual(Self.write("us.amazon.titan-embed-text-v2:0") { $0.inputs = [JSONBytes("a")]; $0.dimensions = 256 }.body, "{\"inputText\":\"a\",\"dimensions\":256}") == [])
        #expect(try expectEqual(Self.write("amazon.titan-embed-image-v1") { $0.inputs = [JSONBytes("a")]; $0.dimensions = 256 }.body, "{\"inputText\":\"a\",\"embeddingConfig\":{\"outputEmbeddingLength\":256}}") == [])
        #expect(performing { _ = try Self.write("amazon.titan-embed-text-v2:0") { $0.inputs = [JSONBytes("a"), JSONBytes("b")] } }?.hasPrefix("input: must be one text") == true)
        #expect(performing { _ = try Self.write("amazon.titan-embed-text-v1") { $0.inputs = [JSONBytes("a")]; $0.dimensions = 256 } }?.hasPrefix("dimensions: ") == true)
        #expect(performing { _ = try Self.write("amazon.titan-embed-text-v2:0") { _ in } }?.hasPrefix("input: ") == true)
        #expect(performing { _ = try Self.write("amazon.titan-embed-text-v2:0") { $0.inputs = [JSONBytes("[1]")]; $0.isTokens = true } }?.hasPrefix("input: must be text") == true)
    }

    @Test func cohereTakesAListAndItsTask() throws {
        for (task, word) in [(JSONBytes(), "search_document"), (JSONBytes("search_query"), "search_query"), (JSONBytes("RETRIEVAL_QUERY"), "search_query"), (JSONBytes("CLASSIFICATION"), "classification")] {
            #expect(try expectEqual(Self.write("cohere.embed-multilingual-v3") { $0.inputs = [JSONBytes("a"), JSONBytes("b")]; $0.task = task }.body, "{\"texts\":[\"a\",\"b\"],\"input_type\":\"\(word)\"}") == [])
        }
        #expect(try expectEqual(Self.write("global.cohere.embed-v4:0") { $0.inputs = [JSONBytes("a")]; $0.dimensions = 512 }.body, "{\"texts\":[\"a\"],\"input_type\":\"search_document\",\"output_dimension\":512}") == [])
        #expect(performing { _ = try Self.write("cohere.embed-english-v3") { $0.inputs = Array(repeating: JSONBytes("a"), count: 97) } }?.contains("96") == true)
        #expect(performing { _ = try Self.write("cohere.embed-english-v3") { $0.inputs = [JSONBytes("a")]; $0.dimensions = 4 } }?.hasPrefix("dimensions: ") == true)
    }

    @Test func othersAreRefusedAndHintsNoted() throws {
        #expect(performing { _ = try Self.write("meta.llama3") { $0.inputs = [JSONBytes("a")] } }?.hasPrefix("model: ") == true)
        let noted = try Self.write("arn:aws:bedrock:us-east-1:1:foundation-model/cohere.embed-english-v3", drops: true) {
            $0.inputs = [JSONBytes("a")]
            $0.user = JSONBytes("u")
            $0.extras = [Extra(.root, 0, key: JSONBytes("x"), value: JSONBytes("1"))]
        }
        #expect(noted.dropped == ["x", "user"])
        #expect(performing { _ = try Self.write("cohere.embed-english-v3") { $0.inputs = [JSONBytes("a")]; $0.extras = [Extra(.root, 0, key: JSONBytes("x"), value: JSONBytes("1"))] } }?.hasPrefix("x: ") == true)
    }

    @Test func answersOfCohereHaveAVectorForEachText() throws {
        for body in ["{\"id\":\"i\",\"embeddings\":[[1,2],[3,4]],\"response_type\":\"embeddings_floats\",\"texts\":[]}", "{\"id\":\"i\",\"embeddings\":{\"float\":[[1,2],[3,4]]}}"] {
            let held = Held(Array(body.utf8))
            var tape = JSONTape()
            #expect(tape.read(held.bytes) == nil)
            let answer = EmbeddingAnswer()
            #expect(ConverseDialect.readEmbeddingAnswer(tape.root, into: answer) && answer.vectors.map(\.string) == ["[1,2]", "[3,4]"])
            var out = JSONWriter()
            ConverseDialect.writeEmbeddingAnswer(answer, testContext, into: &out)
            #expect(try expectEqual(try parsed(String(decoding: out.bytes, as: UTF8.self)), "{\"id\":\"i\",\"embeddings\":[[1,2],[3,4]],\"response_type\":\"embeddings_floats\"}") == [])
        }
        for bad in ["{}", "{\"embeddings\":[1]}", "{\"embedding\":\"x\"}", "[]"] {
            let held = Held(Array(bad.utf8))
            var tape = JSONTape()
            #expect(tape.read(held.bytes) == nil && !ConverseDialect.readEmbeddingAnswer(tape.root, into: EmbeddingAnswer()))
        }
    }
}
