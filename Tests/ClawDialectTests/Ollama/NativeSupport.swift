// What the tests of Ollama and Cohere share: conversations made by hand (as a client of another dialect would have them), streams cut into pieces, and
// accumulators that read a stream as the providers' own libraries do, with Foundation alone.
import ClawDialect
import ClawWire
import Foundation
import Testing

/// A request written from a conversation that the test fills.
func nativeRequest(
    _ dialect: DialectID, source: DialectID = .chat, drops: Bool = false, stream: Bool = false, _ fill: (Conversation) throws -> Void
) throws -> (body: [String: Any], dropped: [String]) {
    let conversation = Conversation()
    conversation.reset(source: source)
    conversation.dropsUnsupported = drops
    try fill(conversation)
    var target = Target(model: JSONBytes("served"), quirks: Quirks())
    target.wantsStream = stream
    var out = JSONWriter()
    do throws(Refusal) {
        try dialect.pieces.writeRequest(conversation, to: target, into: &out)
    } catch {
        throw TestFailure(description: "\(error.field.string): \(error.reason)")
    }
    return (try parsed(Array(out.bytes)) as? [String: Any] ?? [:], conversation.dropped.map(\.string))
}

/// The refusal of a writer, as "field: reason"; nil when it wrote.
func nativeRefusal(_ dialect: DialectID, source: DialectID = .chat, stream: Bool = false, _ fill: (Conversation) throws -> Void) -> String? {
    do {
        _ = try nativeRequest(dialect, source: source, stream: stream, fill)
        return nil
    } catch {
        return "\(error)"
    }
}

extension Conversation {
    func says(_ role: Role, _ parts: Part...) throws {
        try begin(role)
        for part in parts { try add(part) }
    }
    func gets(_ id: StaticString, _ pieces: Part...) throws {
        try begin(.tool)
        var part = Part(.toolResult)
        part.id = JSONBytes(id)
        let start = inner.count
        inner.append(contentsOf: pieces)
        try add(result: part, from: start)
    }
}

extension Part {
    static func said(_ text: StaticString) -> Part { .text(JSONBytes(text)) }
    static func thought(_ text: StaticString) -> Part {
        var part = Part(.thinking)
        part.text = JSONBytes(text)
        return part
    }
    /// Arguments as OpenAI's string, escaped.
    static func called(_ id: StaticString, _ name: StaticString, _ arguments: StaticString) -> Part {
        var part = Part(.toolCall)
        part.id = JSONBytes(id)
        part.name = JSONBytes(name)
        part.text = JSONBytes(arguments)
        return part
    }
    static func picture(_ source: Source, _ data: StaticString, _ type: StaticString = "image/png") -> Part {
        var part = Part(.image)
        part.source = source
        part.data = JSONBytes(data)
        part.mediaType = JSONBytes(type)
        return part
    }
}

func nativeTool(_ name: StaticString, strict: Bool? = nil, schema: StaticString? = #"{"type":"object"}"#) -> Tool {
    var tool = Tool()
    tool.name = JSONBytes(name)
    tool.strict = strict
    if let schema { tool.schema = JSONBytes(schema) }
    return tool
}

/// A stream of any of these dialects, arriving in pieces of this size, from one dialect to another; and the neutral kinds on the way.
func nativeStream(
    _ body: [UInt8], from back: DialectID, to front: DialectID, pieces size: Int = .max, context: AnswerContext = testContext
) -> (bytes: [UInt8], kinds: [StreamEvent.Kind], isWhole: Bool) {
    let reader = back.pieces.streamReader(Quirks())
    let events = back.pieces.framing == .lines ? nativeLines(body, pieces: size) : sseEvents(body, pieces: size)
    let (bytes, kinds) = translateStream(events, reader: reader, writer: front.pieces.streamWriter(context), keepsExtras: back == front)
    return (bytes, kinds, reader.sawEnd)
}

func nativeLines(_ body: [UInt8], pieces size: Int = .max) -> [(name: [UInt8], data: [UInt8], isDone: Bool)] {
    var scanner = LineScanner()
    var out: [(name: [UInt8], data: [UInt8], isDone: Bool)] = []
    var at = 0
    while at < body.count {
        let piece = Held(Array(body[at..<min(body.count, size == .max ? body.count : at + size)]))
        var from = 0
        while case .line(let data, let end) = scanner.next(piece.bytes, from: from) {
            from = end
            out.append(([], Array(data), false))
        }
        at += piece.count
    }
    if let last = scanner.finish() { out.append(([], Array(last), false)) }
    return out
}

/// The lines of NDJSON, parsed one by one.
func nativeObjects(ofLines bytes: [UInt8]) throws -> [[String: Any]] {
    guard bytes.isEmpty || bytes.last == 0x0A else { throw TestFailure(description: "the last line has no end") }
    return try bytes.split(separator: 0x0A).map { try parsed(Array($0)) as? [String: Any] ?? [:] }
}

/// The events of SSE with their names; `[DONE]` is an event without a name whose data is that string.
func nativeObjects(ofEvents bytes: [UInt8]) throws -> [[String: Any]] {
    let blocks = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\n\n")
    guard blocks.last?.trimmingCharacters(in: .newlines) == "" else { throw TestFailure(description: "the last event has no end") }
    return try blocks.dropLast().map { block in
        var event: [String: Any] = [:]
        for line in block.split(separator: "\n") {
            if line.hasPrefix("event: ") { event["event"] = String(line.dropFirst(7)) }
            if line.hasPrefix("data: ") { event["data"] = line == "data: [DONE]" ? "[DONE]" : try parsed(String(line.dropFirst(6))) }
        }
        return event
    }.filter { !$0.isEmpty }
}

/// What a client has at the end of a stream.
struct NativeSum {
    var text = ""
    var thinking = ""
    var plan = ""
    var calls: [(id: String, name: String, arguments: Any?)] = []
    var last: [String: Any] = [:]
    var order: [String] = []

    static func ollama(_ bytes: [UInt8]) throws -> NativeSum {
        var all = NativeSum()
        for line in try nativeObjects(ofLines: bytes) {
            let message = line["message"] as? [String: Any] ?? [:]
            all.text += message["content"] as? String ?? line["response"] as? String ?? ""
            all.thinking += message["thinking"] as? String ?? line["thinking"] as? String ?? ""
            for call in message["tool_calls"] as? [[String: Any]] ?? [] {
                let function = call["function"] as? [String: Any] ?? [:]
                all.calls.append((call["id"] as? String ?? "", function["name"] as? String ?? "", function["arguments"]))
            }
            all.last = line
        }
        return all
    }

    static func cohere(_ bytes: [UInt8]) throws -> NativeSum {
        var all = NativeSum()
        var arguments: [Int: String] = [:]
        for event in try nativeObjects(ofEvents: bytes) {
            guard let data = event["data"] as? [String: Any] else { continue }
            let type = data["type"] as? String ?? ""
            if event["event"] as? String != type { throw TestFailure(description: "an event's name is not its type: \(event)") }
            if all.order.last != type { all.order.append(type) }
            let delta = data["delta"] as? [String: Any] ?? [:]
            let message = delta["message"] as? [String: Any] ?? [:]
            if type == "content-delta", let content = message["content"] as? [String: Any] {
                all.text += content["text"] as? String ?? ""
                all.thinking += content["thinking"] as? String ?? ""
            }
            all.plan += message["tool_plan"] as? String ?? ""
            if let call = message["tool_calls"] as? [String: Any], let function = call["function"] as? [String: Any], let index = data["index"] as? Int {
                if type == "tool-call-start" { all.calls.append((call["id"] as? String ?? "", function["name"] as? String ?? "", nil)) }
                arguments[index, default: ""] += function["arguments"] as? String ?? ""
            }
            if type == "message-end" { all.last = delta }
        }
        for place in all.calls.indices { all.calls[place].arguments = try? parsed(arguments[place] ?? "") }
        return all
    }
}

/// A small generator whose numbers are the same in every run.
struct NativeDice {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func roll(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % max(1, bound)
    }
}

/// The bytes with a few changes that often leave JSON valid: other values, cut ends, doubled pieces.
func nativeMutation(_ bytes: [UInt8], _ dice: inout NativeDice) -> [UInt8] {
    var out = bytes
    let values = ["null", "[]", "{}", "\"\"", "-1", "1e999", "true", "\"\\ud83d\"", "[[[]]]", "{\"a\":{\"a\":1}}", "9223372036854775808"].map { Array($0.utf8) }
    for _ in 0...dice.roll(3) where !out.isEmpty {
        let at = dice.roll(out.count)
        switch dice.roll(6) {
        case 0: out[at] = UInt8(dice.roll(256))
        case 1: out.removeSubrange(at..<min(out.count, at + 1 + dice.roll(8)))
        case 2: out.removeSubrange(at...)
        case 3: out.insert(contentsOf: out[at..<min(out.count, at + 1 + dice.roll(30))], at: at)
        default:
            // Another value behind a colon.
            guard let colon = out[at...].firstIndex(of: 0x3A) else { continue }
            var end = colon + 1
            if end < out.count, out[end] == 0x20 { end += 1 }
            if end < out.count, out[end] == 0x22 {
                end += 1
                while end < out.count, out[end] != 0x22 { end += 1 }
                end = min(out.count, end + 1)
            } else {
                while end < out.count, ![0x2C, 0x7D, 0x5D].contains(out[end]) { end += 1 }
            }
            out.replaceSubrange(colon + 1..<end, with: values[dice.roll(values.count)])
        }
    }
    return out
}

/// By the grammar alone: Foundation refuses numbers and surrogates that JSON allows.
func isNativeJSON(_ bytes: JSONBytes) -> Bool {
    var tape = JSONTape()
    return tape.read(bytes.raw) == nil
}

/// Runs hostile bytes through everything a dialect reads; what comes out must be JSON where it claims to be.
func nativeFeed(_ bytes: [UInt8], _ dialect: DialectID) {
    let held = Held(bytes)
    var tape = JSONTape()
    let isValid = tape.read(held.bytes) == nil
    if isValid {
        let conversation = Conversation()
        for target in [dialect, .ollama, .cohere] {
            conversation.reset(source: dialect)
            conversation.dropsUnsupported = target == .ollama
            var out = JSONWriter()
            do throws(Refusal) {
                try dialect.pieces.readRequest(tape.root, into: conversation)
                try target.pieces.writeRequest(conversation, to: Target(model: JSONBytes("m"), quirks: Quirks()), into: &out)
                #expect(isNativeJSON(out.written), "\(String(decoding: bytes, as: UTF8.self))")
            } catch {
                #expect(!error.field.isEmpty)
            }
        }
        for target in [dialect, .ollama, .cohere] {
            let answer = Answer()
            answer.reset(source: dialect)
            guard dialect.pieces.readAnswer(tape.root, into: answer) else { continue }
            var out = JSONWriter()
            target.pieces.writeAnswer(answer, testContext, into: &out)
            #expect(isNativeJSON(out.written), "\(String(decoding: bytes, as: UTF8.self))")
        }
        let embedding = EmbeddingRequest()
        embedding.reset(source: dialect)
        do throws(Refusal) { try dialect.pieces.readEmbedding(tape.root, into: embedding) } catch { #expect(!error.field.isEmpty) }
        let vectors = EmbeddingAnswer()
        _ = dialect.pieces.readEmbeddingAnswer(tape.root, into: vectors)
    }
    let arena = ArenaBox()
    defer { withExtendedLifetime(arena) {} }
    let error = dialect.pieces.readError(status: 400, isValid ? tape.root : JSONValue(), text: held.bytes, kind: JSONBytes(), arena)
    var out = JSONWriter()
    _ = dialect.pieces.writeError(error, requestID: JSONBytes("r"), into: &out)
    #expect(isNativeJSON(out.written))
    for target in [dialect, .ollama, .cohere] { _ = nativeStream(bytes, from: dialect, to: target) }
}
