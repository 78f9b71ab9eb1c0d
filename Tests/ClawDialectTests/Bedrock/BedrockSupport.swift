// What Bedrock's tests share: frames in and out, an independent accumulator of ConverseStream, and requests as short calls.
import ClawDialect
import ClawWire
import Foundation

typealias NamedFrame = (name: [UInt8], data: [UInt8], isException: Bool)

/// Frames of a body that arrives in pieces of this size; `error` frames give their message as data.
func frames(_ body: [UInt8], pieces size: Int = .max) -> (frames: [NamedFrame], isWhole: Bool) {
    var scanner = FrameScanner()
    var out: [NamedFrame] = []
    var at = 0
    while at < body.count {
        let piece = Held(Array(body[at..<min(body.count, size == .max ? body.count : at + size)]))
        var from = 0
        while case .frame(let frame, let end) = scanner.next(piece.bytes, from: from) {
            from = end
            out.append((Array(frame.eventType), Array(frame.kind == .error ? frame.errorMessage : frame.payload), frame.kind != .event))
        }
        at += piece.count
    }
    return (out, scanner.isBetweenFrames)
}

/// Runs frames through a reader into a writer.
func translateFrames(_ events: [NamedFrame], reader: StreamReader, writer: StreamWriter, keepsExtras: Bool = false) -> (bytes: [UInt8], events: [StreamEvent], text: String) {
    let list = EventList()
    list.keepsExtras = keepsExtras
    var out = JSONWriter()
    var seen: [StreamEvent] = []
    var text = ""
    func flush() {
        for event in list.events {
            seen.append(event)
            if event.kind == .textDelta { text += event.text.string }
            if event.kind == .error, let error = event.error { writer.write(error: error, into: &out) } else { writer.write(event, list, into: &out) }
        }
    }
    for event in events {
        let data = Held(event.data)
        let name = Held(event.name)
        list.reset()
        reader.read(WireEvent(data.bytes, name: JSONBytes(name.bytes), kind: event.isException ? .exception : .event), into: list)
        flush()
    }
    list.reset()
    reader.finish(into: list)
    flush()
    return (Array(out.bytes), seen, text)
}

func frame(_ name: String, _ json: String, isException: Bool = false) -> NamedFrame { (Array(name.utf8), Array(json.utf8), isException) }

/// What a stream comes to, as an SDK would put it together: written for the tests, from the service's model alone.
struct FramesRead {
    var order: [String] = []
    var message: [String: Any] = [:]

    init(_ frames: [NamedFrame]) throws {
        var blocks: [Int: [String: Any]] = [:]
        var inputs: [Int: String] = [:]
        var others: [[String: Any]] = []
        for frame in frames {
            let name = String(decoding: frame.name, as: UTF8.self)
            if order.last != name { order.append(name) }
            guard var data = try parsed(frame.data) as? [String: Any] else { throw TestFailure(description: "no object") }
            data["p"] = nil
            let index = data["contentBlockIndex"] as? Int ?? -1
            switch name {
            case "contentBlockStart": blocks[index] = data["start"] as? [String: Any]
            case "contentBlockDelta":
                let delta = data["delta"] as? [String: Any] ?? [:]
                var block = blocks[index] ?? [:]
                if let text = delta["text"] as? String { block["text"] = (block["text"] as? String ?? "") + text }
                if let tool = delta["toolUse"] as? [String: Any] { inputs[index, default: ""] += tool["input"] as? String ?? "" }
                if let reasoning = delta["reasoningContent"] as? [String: Any] {
                    for (key, value) in reasoning { block[key == "text" ? "reasoning" : key] = (block[key == "text" ? "reasoning" : key] as? String ?? "") + (value as? String ?? "") }
                }
                if let citation = delta["citation"] { block["citations"] = (block["citations"] as? [Any] ?? []) + [citation] }
                blocks[index] = block
            case "contentBlockStop":
                if let input = inputs[index] { blocks[index]?["input"] = input }
            default: others.append([name: data])
            }
        }
        message["blocks"] = blocks.keys.sorted().map { blocks[$0] ?? [:] }
        message["events"] = others
    }

    var texts: String { (message["blocks"] as? [[String: Any]] ?? []).compactMap { $0["text"] as? String }.joined() }
}

func converseRequest(_ body: String, from front: DialectID = .converse, model: StaticString = "anthropic.claude-sonnet-4-5-20250929-v1:0", drops: Bool = false) throws -> [String: Any] {
    try parsed(try translateRequest(body, from: front, to: .converse, model: model, drops: drops).body) as? [String: Any] ?? [:]
}

/// A request in no dialect, built by the test, as Converse; as if it came from the Chat Completions dialect.
func converseRequest(
    model: StaticString = "anthropic.claude-sonnet-4-5-20250929-v1:0", drops: Bool = false, source: DialectID = .chat, quirks: Quirks = Quirks(),
    counting: Bool = false, _ build: (Conversation) throws -> Void
) throws -> (body: [String: Any], dropped: [String]) {
    let conversation = Conversation()
    conversation.reset(source: source)
    conversation.dropsUnsupported = drops
    try build(conversation)
    var out = JSONWriter()
    let target = Target(model: JSONBytes(model), quirks: quirks)
    do throws(Refusal) {
        if counting { try ConverseDialect.writeCount(conversation, to: target, into: &out) } else { try ConverseDialect.writeRequest(conversation, to: target, into: &out) }
    } catch { throw TestFailure(description: "\(error.field.string): \(error.reason)") }
    return (try parsed(String(decoding: out.bytes, as: UTF8.self)) as? [String: Any] ?? [:], conversation.dropped.map(\.string))
}

extension Conversation {
    func say(_ role: Role, _ text: StaticString) throws {
        try begin(role)
        try add(.text(JSONBytes(text)))
    }
    func call(_ id: StaticString, _ name: StaticString, _ arguments: StaticString) throws {
        var part = Part(.toolCall)
        part.id = JSONBytes(id)
        part.name = JSONBytes(name)
        part.text = JSONBytes(arguments)
        try add(part)
    }
    func result(_ id: StaticString, _ text: StaticString, isError: Bool = false) throws {
        try begin(.tool)
        var part = Part(.toolResult)
        part.id = JSONBytes(id)
        part.isError = isError
        let start = inner.count
        inner.append(.text(JSONBytes(text)))
        try add(result: part, from: start)
    }
    func declare(_ name: StaticString, _ description: StaticString = "", schema: StaticString? = nil) {
        var tool = Tool()
        tool.name = JSONBytes(name)
        tool.description = JSONBytes(description)
        if let schema { tool.schema = JSONBytes(schema) }
        tools.append(tool)
    }
}

func expectEqual(_ value: Any?, _ text: String) throws -> [String] { differences(value, try parsed(text)) }

/// Valid as JSON's grammar has it: numbers and surrogates that Foundation refuses are.
func isJSON(_ bytes: [UInt8]) -> Bool {
    let held = Held(bytes)
    var tape = JSONTape()
    return tape.read(held.bytes) == nil
}
