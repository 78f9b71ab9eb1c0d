// What translating costs: events of streams from the upstream's bytes to the client's, requests and answers, the policy's fields of a large body, and the
// price of a request.
import Benchmark
import ClawDialect
import ClawWire
import Support

let benchmarks: @Sendable () -> Void = {
    chunks()
    bodies()
    prices()
}

private func copy(_ bytes: some Sequence<UInt8>) -> UnsafeRawBufferPointer {
    let all = Array(bytes)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: all.count, alignment: 64)
    memory.copyBytes(from: all)
    return UnsafeRawBufferPointer(memory)
}

private let context = AnswerContext(seed: (1, 2), now: 1_700_000_000, model: JSONBytes("asked-model"), includesUsage: true, wantsStream: true)

// MARK: streams

/// One stream as a worker has it.
private final class Stream {
    private var scanner: WireScanner
    private let reader: StreamReader
    private let writer: StreamWriter
    private let list = EventList()
    private var out = JSONWriter()

    init(from back: DialectID, to front: DialectID, opening: UnsafeRawBufferPointer) {
        scanner = WireScanner(back.pieces.framing)
        reader = back.pieces.streamReader(Quirks())
        writer = front.pieces.streamWriter(context)
        guard feed(opening) > 0 else { fatalError("the stream does not begin") }
    }

    /// Bytes written for these.
    func feed(_ bytes: UnsafeRawBufferPointer) -> Int {
        out.reset()
        var at = 0
        while case .event(let event, let end) = scanner.next(bytes, from: at) {
            at = end
            list.reset()
            reader.read(event, into: list)
            for event in list.events { writer.write(event, list, into: &out) }
        }
        return out.count
    }
}

private func translated(_ name: String, from back: DialectID, to front: DialectID, opening: UnsafeRawBufferPointer, chunk: UnsafeRawBufferPointer) {
    measure("translated chunk, \(name)", operations: 100) { times in
        let stream = Stream(from: back, to: front, opening: opening)
        for _ in 0..<times { guard stream.feed(chunk) > 0 else { fatalError("a chunk is not translated") } }
    }
}

private func frame(_ type: StaticString, _ payload: StaticString) -> [UInt8] {
    var out = JSONWriter()
    let frame = FrameWriter.event(JSONBytes(type), into: &out)
    out.put(payload)
    frame.end(&out)
    return Array(out.bytes)
}

private func chunks() {
    func chatChunk(_ delta: String) -> UnsafeRawBufferPointer {
        let text = #"data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1763640000,"model":"gpt-4o-2024-08-06","#
            + #""service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":"# + delta
            + #","logprobs":null,"finish_reason":null}]}"# + "\n\n"
        return copy(text.utf8)
    }
    translated("OpenAI to Anthropic", from: .chat, to: .messages, opening: chatChunk(#"{"role":"assistant","content":"A"}"#), chunk: chatChunk(#"{"content":" word"}"#))

    let message = """
        event: message_start\ndata: {"type":"message_start","message":{"id":"msg_0123456789","type":"message","role":"assistant",\
        "model":"claude-sonnet-4-5-20250929","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1}}}\n\n\
        event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n
        """
    let delta = """
        event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word"}}\n\n
        """
    translated("Anthropic to OpenAI", from: .messages, to: .chat, opening: copy(message.utf8), chunk: copy(delta.utf8))
    translated("Anthropic to Responses", from: .messages, to: .responses, opening: copy(message.utf8), chunk: copy(delta.utf8))

    let gemini = copy((#"data: {"candidates":[{"content":{"parts":[{"text":" word"}],"role":"model"},"index":0}],"#
        + #""usageMetadata":{"promptTokenCount":25,"candidatesTokenCount":12,"totalTokenCount":37,"promptTokensDetails":[{"modality":"TEXT","tokenCount":25}]},"#
        + #""modelVersion":"gemini-2.5-flash","responseId":"0123456789abcdef"}"# + "\r\n\r\n").utf8)
    translated("Gemini to OpenAI", from: .gemini, to: .chat, opening: gemini, chunk: gemini)

    let start = copy(frame("messageStart", #"{"p":"abcdefghijklmn","role":"assistant"}"#))
    let block = copy(frame("contentBlockDelta", #"{"contentBlockIndex":0,"delta":{"text":" word"},"p":"abcdefghijklmnopqrstuvwxyzABCDEFGH"}"#))
    translated("Bedrock to Anthropic", from: .converse, to: .messages, opening: start, chunk: block)
}

// MARK: whole bodies

private let sentence = #"The quick brown fox jumps over the lazy dog.\nIt said: \"good evening\", and went on its way through the wood. "#

/// A conversation of turns, each with a call of a tool now and then; about `bytes` bytes.
private func chat(bytes: Int) -> UnsafeRawBufferPointer {
    let text = String(repeating: sentence, count: 6)
    var all = #"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"temperature":0.7,"max_tokens":1024,"tools":[{"type":"function","function":"#
        + #"{"name":"search","description":"Searches.","parameters":{"type":"object","properties":{"query":{"type":"string"}},"required":["query"]}}}],"messages":["#
        + #"{"role":"system","content":"You are a helpful assistant."}"#
    var turn = 0
    while all.utf8.count < bytes {
        all += #",{"role":"user","content":""# + text + #""}"#
        all += turn % 4 == 0
            ? #",{"role":"assistant","content":null,"tool_calls":[{"id":"call_\#(turn)","type":"function","function":{"name":"search","arguments":"{\"query\":\"fox\"}"}}]}"#
                + #",{"role":"tool","tool_call_id":"call_\#(turn)","content":""# + text + #""}"#
            : #",{"role":"assistant","content":""# + text + #""}"#
        turn += 1
    }
    return copy((all + #",{"role":"user","content":"Go on."}]}"#).utf8)
}

/// A request's way through a worker.
private final class Requests {
    private var tape = JSONTape()
    private let conversation = Conversation()
    private var out = JSONWriter()

    func translate(_ body: UnsafeRawBufferPointer, from front: DialectID, to back: DialectID) -> UnsafeRawBufferPointer {
        out.reset()
        guard tape.read(body) == nil, tape.root.duplicateKey == nil else { fatalError("the body is refused") }
        conversation.reset(source: front)
        conversation.dropsUnsupported = true
        var target = Target(model: JSONBytes("served-model"), quirks: Quirks())
        target.wantsStream = true
        do throws(Refusal) {
            try front.pieces.readRequest(tape.root, into: conversation)
            try back.pieces.writeRequest(conversation, to: target, into: &out)
        } catch { fatalError("\(error.field.string): \(error.reason)") }
        return out.bytes
    }
}

private func bodies() {
    let body = chat(bytes: 100_000)
    // The fields that policy looks at.
    let paths = JSONPaths(["model", "stream", "stream_options", "stream_options.include_usage", "service_tier"], unique: [0, 1, 2, 3])
    let spans = UnsafeMutablePointer<JSONSpan>.allocate(capacity: 5)
    measure("100 kB request, classified", operations: 4) { times in
        for _ in 0..<times {
            var scanner = FieldScanner(paths: paths)
            guard scanner.scan(body, isLast: true, spans: spans) == .complete, spans[0].kind == .string else { fatalError("the body is refused") }
        }
        // The scanner holds the paths without counting.
        withExtendedLifetime(paths) {}
    }
    let requests = Requests()
    let foreign = copy(requests.translate(body, from: .chat, to: .messages))
    measure("100 kB request, OpenAI to Anthropic", operations: 1) { times in
        for _ in 0..<times { guard requests.translate(body, from: .chat, to: .messages).count > 0 else { fatalError("nothing is written") } }
    }
    measure("100 kB request, Anthropic to OpenAI", operations: 1) { times in
        for _ in 0..<times { guard requests.translate(foreign, from: .messages, to: .chat).count > 0 else { fatalError("nothing is written") } }
    }

    let whole = copy((#"{"id":"msg_0123456789","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[{"type":"text","text":""#
        + String(repeating: sentence, count: 8) + #""},{"type":"tool_use","id":"toolu_0123","name":"search","input":{"query":"fox"}}],"#
        + #""stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":25,"cache_read_input_tokens":10,"output_tokens":160}}"#).utf8)
    var tape = JSONTape()
    let answer = Answer()
    var out = JSONWriter()
    measure("answer, Anthropic to OpenAI", operations: 20) { times in
        for _ in 0..<times {
            answer.reset(source: .messages)
            out.reset()
            guard tape.read(whole) == nil, MessagesDialect.readAnswer(tape.root, into: answer) else { fatalError("the answer is refused") }
            ChatDialect.writeAnswer(answer, context, into: &out)
        }
    }
}

private func prices() {
    let prices = Catalogue.builtIn.prices(provider: "anthropic", id: "claude-sonnet-4-5")
    var usage = Usage()
    usage.setInput(sum: 210_000, cacheRead: 100_000, cacheWrite: 5000)
    usage.setOutput(sum: 800, reasoning: 300)
    guard prices.cost(of: usage) != nil else { fatalError("no price is known") }
    measure("cost", operations: 1000) { times in
        for _ in 0..<times {
            guard prices.cost(of: usage) != nil else { fatalError("no price is known") }
            usage.freshInput ^= 1
        }
    }
}
