// MockDialect: whose API a request speaks, read off its path alone, as providers' hosts do. The path also names the endpoint and, in some dialects, the model.

/// Whose words an answer is in: bodies, errors, names of headers.
enum MockDialect: UInt8 { case openai, azure, anthropic, gemini, ollama, bedrock, cohere }

/// How the events of a stream are set apart.
enum StreamForm: UInt8 {
    /// Server-sent events.
    case events
    /// One JSON array whose elements arrive in time (Gemini without alt=sse).
    case array
    /// One JSON object a line (Ollama).
    case lines
    /// Binary frames (Bedrock).
    case frames
}

/// What a path says.
struct MockTarget {
    var endpoint = MockEndpoint.echo
    var dialect = MockDialect.openai
    /// The model where the path names it; empty otherwise.
    var model = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    /// n of /bytes/{n}.
    var number: UInt64 = 0

    init(_ endpoint: MockEndpoint, _ dialect: MockDialect = .openai) {
        self.endpoint = endpoint
        self.dialect = dialect
    }

    static func of(_ path: UnsafeBufferPointer<UInt8>) -> MockTarget {
        if equals(path, "/v1/chat/completions") { return MockTarget(.chat) }
        if begins(path, "/v1/") { return ofVersionOne(path) }
        if begins(path, "/bytes/"), let number = MockScript.whole(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(path)[7...])) {
            var target = MockTarget(.bytes)
            target.number = number
            return target
        }
        if begins(path, "/mock/") { return MockTarget(.admin) }
        if begins(path, "/api/") {
            if equals(path, "/api/chat") { return MockTarget(.ollamaChat, .ollama) }
            if equals(path, "/api/generate") { return MockTarget(.ollamaGenerate, .ollama) }
            if equals(path, "/api/embed") { return MockTarget(.ollamaEmbed, .ollama) }
            if equals(path, "/api/tags") { return MockTarget(.ollamaTags, .ollama) }
        }
        if equals(path, "/v2/chat") { return MockTarget(.cohereChat, .cohere) }
        if equals(path, "/v2/embed") { return MockTarget(.cohereEmbed, .cohere) }
        if begins(path, "/model/") { return ofBedrock(path) }
        if begins(path, "/openai/deployments/") { return ofDeployment(drop(path, 20)) }
        if begins(path, "/openai/v1/") { return ofVersionOne(drop(path, 7)) }
        if begins(path, "/anthropic/v1/messages") { return ofVersionOne(drop(path, 10)) }
        if equals(path, "/models/chat/completions") { return MockTarget(.chat, .azure) }
        if equals(path, "/models/embeddings") { return MockTarget(.embeddings, .azure) }
        if equals(path, "/v1beta/openai/chat/completions") { return MockTarget(.chat) }
        if equals(path, "/v1beta/openai/embeddings") { return MockTarget(.embeddings) }
        if begins(path, "/v1beta") { return ofGoogle(path) }
        return MockTarget(.echo)
    }

    private static func ofVersionOne(_ path: UnsafeBufferPointer<UInt8>) -> MockTarget {
        if equals(path, "/v1/chat/completions") { return MockTarget(.chat) }
        if equals(path, "/v1/completions") { return MockTarget(.completions) }
        if equals(path, "/v1/embeddings") { return MockTarget(.embeddings) }
        if equals(path, "/v1/responses") { return MockTarget(.responses) }
        if equals(path, "/v1/messages") { return MockTarget(.messages, .anthropic) }
        if equals(path, "/v1/messages/count_tokens") { return MockTarget(.countTokens, .anthropic) }
        if equals(path, "/v1/models") { return MockTarget(.models) }
        // Vertex names projects, Gemini's first version models; both put the method behind a colon, where OpenAI's model names may have one too.
        let google = ofGoogle(path)
        if google.endpoint != .echo { return google }
        return MockTarget(begins(path, "/v1/models/") ? .models : .echo)
    }

    /// `…/models/{model}:method`, of the Gemini API and of Vertex.
    private static func ofGoogle(_ path: UnsafeBufferPointer<UInt8>) -> MockTarget {
        guard let colon = path.lastIndex(of: 0x3a), let slash = path[..<colon].lastIndex(of: 0x2f) else {
            return MockTarget(ends(path, "/endpoints/openapi/chat/completions") ? .chat : .echo)
        }
        let method = drop(path, colon + 1)
        var target: MockTarget
        if equals(method, "generatecontent") {
            target = MockTarget(.geminiGenerate, .gemini)
        } else if equals(method, "streamgeneratecontent") {
            target = MockTarget(.geminiStream, .gemini)
        } else if equals(method, "embedcontent") {
            target = MockTarget(.geminiEmbed, .gemini)
        } else if equals(method, "batchembedcontents") {
            target = MockTarget(.geminiBatchEmbed, .gemini)
        } else if equals(method, "counttokens") {
            target = MockTarget(.geminiCount, .gemini)
        } else if equals(method, "rawpredict") || equals(method, "streamrawpredict") {
            target = MockTarget(.messages, .anthropic)
        } else {
            return MockTarget(.echo)
        }
        target.model = UnsafeBufferPointer(rebasing: path[(slash + 1) ..< colon])
        return target
    }

    /// `/model/{id}/method`; an id that is an ARN has its slashes percent-encoded.
    private static func ofBedrock(_ path: UnsafeBufferPointer<UInt8>) -> MockTarget {
        guard let slash = path.lastIndex(of: 0x2f), slash > 7 else { return MockTarget(.echo) }
        let method = drop(path, slash + 1)
        var target: MockTarget
        if equals(method, "converse") {
            target = MockTarget(.converse, .bedrock)
        } else if equals(method, "converse-stream") {
            target = MockTarget(.converseStream, .bedrock)
        } else if equals(method, "invoke") {
            target = MockTarget(.invoke, .bedrock)
        } else if equals(method, "count-tokens") {
            target = MockTarget(.bedrockCount, .bedrock)
        } else {
            return MockTarget(.echo)
        }
        target.model = UnsafeBufferPointer(rebasing: path[7 ..< slash])
        return target
    }

    /// `{deployment}/chat/completions` and so on: Azure goes by the deployment and ignores the body's model.
    private static func ofDeployment(_ rest: UnsafeBufferPointer<UInt8>) -> MockTarget {
        guard let slash = rest.firstIndex(of: 0x2f) else { return MockTarget(.echo) }
        let method = drop(rest, slash)
        var target: MockTarget
        if equals(method, "/chat/completions") {
            target = MockTarget(.chat, .azure)
        } else if equals(method, "/completions") {
            target = MockTarget(.completions, .azure)
        } else if equals(method, "/embeddings") {
            target = MockTarget(.embeddings, .azure)
        } else {
            return MockTarget(.echo)
        }
        target.model = UnsafeBufferPointer(rebasing: rest[..<slash])
        return target
    }

    private static func drop(_ path: UnsafeBufferPointer<UInt8>, _ count: Int) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(rebasing: path[count...])
    }

    private static func equals(_ path: UnsafeBufferPointer<UInt8>, _ literal: StaticString) -> Bool { MockWorker.equals(path, literal) }
    private static func begins(_ path: UnsafeBufferPointer<UInt8>, _ literal: StaticString) -> Bool { MockWorker.begins(path, literal) }
    private static func ends(_ path: UnsafeBufferPointer<UInt8>, _ literal: StaticString) -> Bool {
        path.count >= literal.utf8CodeUnitCount && MockWorker.begins(drop(path, path.count - literal.utf8CodeUnitCount), literal)
    }
}
