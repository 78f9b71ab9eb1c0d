// What the wire costs: heads, chunked bodies, JSON, event streams, paths.
import Benchmark
import ClawWire
import Support

let benchmarks: @Sendable () -> Void = {
    heads()
    chunks()
    texts()
    streams()
    paths()
}

private func copy(_ text: String) -> UnsafeRawBufferPointer {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: text.utf8.count, alignment: 64)
    memory.copyBytes(from: text.utf8)
    return UnsafeRawBufferPointer(memory)
}

/// As the Python client library sends it.
private let requestText = """
    POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.example.com\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r
    Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.99.1\r\nX-Stainless-Lang: python\r
    X-Stainless-Package-Version: 1.99.1\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r
    X-Stainless-Runtime-Version: 3.12.3\r\nAuthorization: Bearer sk-0123456789abcdef0123456789abcdef\r\nX-Stainless-Async: false\r
    x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\nContent-Length: 640\r\n\r\n
    """
private let responseText = """
    HTTP/1.1 200 OK\r\nDate: Thu, 20 Nov 2025 12:00:00 GMT\r\nContent-Type: text/event-stream; charset=utf-8\r
    Transfer-Encoding: chunked\r\nConnection: keep-alive\r\naccess-control-expose-headers: X-Request-ID\r
    openai-organization: some-organization\r\nopenai-processing-ms: 243\r\nopenai-version: 2020-10-01\r
    x-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 30000000\r\nx-ratelimit-remaining-requests: 9999\r
    x-ratelimit-remaining-tokens: 29999967\r\nx-ratelimit-reset-requests: 6ms\r\nx-ratelimit-reset-tokens: 0s\r
    x-request-id: req_0123456789abcdef0123456789abcdef\r\nstrict-transport-security: max-age=31536000\r
    cf-cache-status: DYNAMIC\r\nServer: cloudflare\r\nCF-RAY: 0123456789abcdef-ICN\r\nalt-svc: h3=":443"; ma=86400\r\n\r\n
    """

private func heads() {
    let request = copy(requestText), requestHead = RequestHead()
    measure("request head", operations: 50) { times in
        for _ in 0..<times {
            var parser = RequestParser()
            guard case .complete = parser.parse(request, limits: HeadLimits(), into: requestHead) else { fatalError("the request head is refused") }
        }
    }
    let response = copy(responseText), responseHead = ResponseHead()
    measure("response head", operations: 50) { times in
        for _ in 0..<times {
            var parser = ResponseParser()
            guard case .complete = parser.parse(response, requestMethod: .post, limits: HeadLimits(), into: responseHead) else { fatalError("the response head is refused") }
        }
    }
}

private func chunks() {
    let chunk = String(repeating: "x", count: 240)
    let body = copy(String(repeating: "f0\r\n\(chunk)\r\n", count: 64) + "0\r\n\r\n")
    measure("chunked body of 64 chunks", operations: 10) { times in
        for _ in 0..<times {
            var reader = ChunkedReader()
            var at = 0
            while case .data(let range) = reader.next(body, from: at) { at = range.upperBound }
            guard reader.bodyBytes == 64 * 240, reader.isDone else { fatalError("the chunked body is refused") }
        }
    }
    measure("64 plain chunks", operations: 20) { times in
        for _ in 0..<times {
            var at = 0
            while let chunk = ChunkedReader.plainChunk(body, at: at) { at = chunk.end }
            guard at == body.count - 5 else { fatalError("a plain chunk is not taken") }
        }
    }
}

private func chat(_ sentence: String, bytes: Int) -> String {
    let opening = #"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"temperature":0.7,"max_tokens":1024,"messages":["#
    let closing = #"{"role":"user","content":"Go on."}]}"#
    var text = opening
    while text.utf8.count < bytes - closing.utf8.count { text += #"{"role":"user","content":""# + sentence + #""},"# }
    return text + closing
}

/// One question with its system message.
private func turn(bytes: Int) -> String {
    let opening = #"{"model":"gpt-4o","messages":[{"role":"system","content":"You are a helpful assistant. Answer briefly, in the language of the question, "#
        + #"and say so when you do not know."},{"role":"user","content":""#
    let closing = #""}],"temperature":0.7,"max_tokens":512,"stream":true,"stream_options":{"include_usage":true}}"#
    let question = String(repeating: "Which of the two roads is the shorter one, and which would you take in winter?\\n", count: 10)
    return opening + question.prefix(bytes - opening.utf8.count - closing.utf8.count) + closing
}

private func texts() {
    let english = #"The quick brown fox jumps over the lazy dog.\nIt said: \"good evening\", and went on its way through the wood."#
    let long = String(repeating: english + " ", count: 6)
    let korean = String(repeating: "오늘 날씨가 좋아서 한강 공원에 갔더니 사람들이 많이 나와 있었습니다. ", count: 4)
    let image = #"{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,"#
        + String(repeating: "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ", count: 1 << 20 / 44) + #""}}]}]}"#
    scan("JSON 640 B", turn(bytes: 640), operations: 50)
    scan("JSON 10 KiB", chat(long, bytes: 10 << 10), operations: 10)
    scan("JSON 100 KiB", chat(long, bytes: 100 << 10), operations: 2)
    scan("JSON 1 MiB base64", image, operations: 1)
    scan("JSON 40 KiB Korean", chat(korean, bytes: 40 << 10), operations: 2)
}

private func scan(_ name: String, _ text: String, operations: Int) {
    let paths = JSONPaths(["model", "stream", "stream_options", "stream_options.include_usage", "max_tokens", "temperature"], unique: [0, 1, 2, 3])
    let spans = UnsafeMutablePointer<JSONSpan>.allocate(capacity: 6)
    let bytes = copy(text)
    measure(name, bytes: bytes.count, operations: operations) { times in
        for _ in 0..<times {
            var scanner = FieldScanner(paths: paths)
            guard scanner.scan(bytes, isLast: true, spans: spans) == .complete, spans[0].kind == .string else { fatalError("the text is refused") }
        }
        // The scanner holds the paths without counting.
        withExtendedLifetime(paths) {}
    }
}

private func streams() {
    let event = #"data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1763640000,"model":"gpt-4o-2024-08-06","#
        + #""service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}"#
        + "\n\n"
    let paced = copy(event)
    measure("SSE event, paced", operations: 200) { times in
        var scanner = EventScanner()
        for _ in 0..<times {
            guard case .event(let event) = scanner.next(paced, from: 0), case .needMore = scanner.next(paced, from: event.end) else { fatalError("no event") }
        }
    }
    let count = 50
    let burst = copy(String(repeating: event, count: count))
    measure("SSE burst of 50 events", operations: 4) { times in
        var scanner = EventScanner()
        for _ in 0..<times {
            var at = 0, events = 0
            while case .event(let event) = scanner.next(burst, from: at) {
                at = event.end
                events += 1
            }
            guard events == count else { fatalError("events lost") }
        }
    }
}

private func paths() {
    let output = UnsafeMutableRawBufferPointer.allocate(byteCount: 256, alignment: 16)
    let normal = copy("/v1/chat/completions")
    measure("path, normal", operations: 1000) { times in
        for _ in 0..<times {
            guard case .normal = normalisePath(normal, into: output) else { fatalError("a normal path is not taken for one") }
        }
    }
    let odd = copy("/shop/./items/%7euser/../%41%2dlist/caf%c3%a9")
    measure("path, rewritten", operations: 200) { times in
        for _ in 0..<times {
            guard case .rewritten = normalisePath(odd, into: output) else { fatalError("a path is not rewritten") }
        }
    }
}
