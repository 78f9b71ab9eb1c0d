// What Gemini's tests need beside the harness: requests and answers of no dialect, the events of both forms of its stream, and an accumulator that puts a
// stream together as the official SDK does, independent of the code under test.
import ClawDialect
import ClawWire
import Foundation
import Testing

/// Words that need no escaping, kept for as long as the process lives.
func words(_ text: String) -> JSONBytes {
    let bytes = Array(text.utf8)
    let place = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
    place.update(from: bytes, count: bytes.count)
    return JSONBytes(place, bytes.count)
}

/// A request that is built by hand, as if it came in another dialect, in Gemini's words.
func geminiRequest(
    model: String = "gemini-2.5-flash", source: DialectID = .chat, drops: Bool = false, _ build: (Conversation) throws -> Void
) throws -> (body: [String: Any], dropped: [String]) {
    let conversation = Conversation()
    conversation.reset(source: source)
    conversation.dropsUnsupported = drops
    try build(conversation)
    if conversation.messages.isEmpty {
        try conversation.begin(.user)
        try conversation.add(.text(words("hi")))
    }
    var out = JSONWriter()
    do throws(Refusal) {
        try GeminiDialect.writeRequest(conversation, to: Target(model: words(model), quirks: Quirks()), into: &out)
    } catch {
        throw TestFailure(description: "\(error.field.string): \(error.reason)")
    }
    guard let body = try parsed(Array(out.bytes)) as? [String: Any] else { throw TestFailure(description: "no object") }
    return (body, conversation.dropped.map(\.string))
}

/// What a Gemini request says, in no dialect. The bytes it lies in are kept.
func geminiConversation(_ body: String) throws -> Conversation {
    let text = words(body)
    var tape = JSONTape()
    if let refusal = tape.read(text.raw) { throw TestFailure(description: "\(refusal)") }
    let conversation = Conversation()
    conversation.reset(source: .gemini)
    do throws(Refusal) {
        try GeminiDialect.readRequest(tape.root, into: conversation)
    } catch {
        throw TestFailure(description: "\(error.field.string): \(error.reason)")
    }
    return conversation
}

func geminiAnswer(_ body: String) -> Answer? {
    let text = words(body)
    var tape = JSONTape()
    guard tape.read(text.raw) == nil else { return nil }
    let answer = Answer()
    answer.reset(source: .gemini)
    return GeminiDialect.readAnswer(tape.root, into: answer) ? answer : nil
}

typealias Wire = (name: [UInt8], data: [UInt8], isDone: Bool)

/// Elements of the array form.
func arrayEvents(_ body: [UInt8], pieces size: Int = .max) -> [Wire] {
    var scanner = ArrayScanner()
    var out: [Wire] = []
    var at = 0
    while at < body.count {
        let piece = Held(Array(body[at..<min(body.count, size == .max ? body.count : at + size)]))
        var from = 0
        reading: while true {
            switch scanner.next(piece.bytes, from: from) {
            case .element(let data, let end):
                out.append(([], Array(data), false))
                from = end
            case .end(let end): from = end
            case .needMore, .refused: break reading
            }
        }
        at += piece.count
    }
    return out
}

func geminiEvents(_ body: [UInt8], pieces size: Int = .max) -> [Wire] {
    body.first(where: { $0 > 32 }) == UInt8(ascii: "[") ? arrayEvents(body, pieces: size) : sseEvents(body, pieces: size)
}

func event(_ text: String) -> Wire { ([], Array(text.utf8), false) }

/// Neutral events, each copied from what a reader said.
struct Said: Equatable, CustomStringConvertible {
    var kind: StreamEvent.Kind
    var text = ""
    var name = ""
    var json = ""
    var id = ""
    var index = 0
    var choice = 0
    var finish = Finish.unset
    var description: String { "\(kind)(\(text)|\(name)|\(json)|\(id)|\(index)|\(choice)|\(finish))" }
}

func said(_ events: [Wire], keepsExtras: Bool = false, atEnd: Bool = true) -> (said: [Said], usage: Usage, error: ProviderError?, sawEnd: Bool) {
    let reader = GeminiDialect.streamReader(Quirks())
    let list = EventList()
    list.keepsExtras = keepsExtras
    var out: [Said] = []
    var usage = Usage()
    var error: ProviderError?
    func take() {
        for one in list.events {
            out.append(Said(
                kind: one.kind, text: one.text.string, name: one.name.string, json: one.json.string, id: one.id.string, index: Int(one.index),
                choice: Int(one.choice), finish: one.finish))
            usage.take(one.usage)
            error = one.error ?? error
        }
    }
    var held: [Held] = []
    for one in events {
        let data = Held(one.data)
        held.append(data)
        list.reset()
        reader.read(WireEvent(data.bytes, kind: one.isDone ? .done : .event), into: list)
        take()
    }
    list.reset()
    if atEnd { reader.finish(into: list) }
    take()
    if var last = error {
        last.message = words(last.message.string)
        last.code = words(last.code.string)
        last.type = words(last.type.string)
        error = last
    }
    return (out, usage, error, reader.sawEnd)
}

/// A stream put together from its chunks.
struct Accumulated {
    var text: [Int: String] = [:]
    var reasoning: [Int: String] = [:]
    var signatures: [String] = []
    var calls: [[String: Any]] = []
    var others: [Any] = []
    var finish: [Int: String] = [:]
    var candidateMembers: [String: Any] = [:]
    var rootMembers: [String: Any] = [:]
    var usage: [String: Any] = [:]
    var errors: [[String: Any]] = []
    var chunks = 0

    init(_ events: [Wire]) throws {
        for one in events {
            guard let chunk = try parsed(one.data) as? [String: Any] else { throw TestFailure(description: "a chunk is no object") }
            chunks += 1
            if let error = chunk["error"] as? [String: Any] { errors.append(error) }
            for (key, value) in chunk where key != "candidates" && key != "usageMetadata" && key != "error" { rootMembers[key] = value }
            if let latest = chunk["usageMetadata"] as? [String: Any] { usage = latest }
            for candidate in chunk["candidates"] as? [[String: Any]] ?? [] { take(candidate) }
        }
    }

    private mutating func take(_ candidate: [String: Any]) {
        let index = candidate["index"] as? Int ?? 0
        for (key, value) in candidate where key != "content" && key != "index" && key != "finishReason" { candidateMembers["\(index).\(key)"] = value }
        if let reason = candidate["finishReason"] as? String { finish[index] = reason }
        for part in (candidate["content"] as? [String: Any])?["parts"] as? [[String: Any]] ?? [] {
            if let signature = part["thoughtSignature"] as? String { signatures.append(signature) }
            if let call = part["functionCall"] as? [String: Any] {
                calls.append(call)
            } else if let piece = part["text"] as? String {
                if piece.isEmpty { continue }
                if part["thought"] as? Bool == true { reasoning[index, default: ""] += piece } else { text[index, default: ""] += piece }
            } else if part.keys.contains(where: { $0 != "thoughtSignature" }) {
                others.append(part)
            }
        }
    }

    var value: [String: Any] {
        [
            "text": text.map { "\($0.key):\($0.value)" }.sorted(), "reasoning": reasoning.map { "\($0.key):\($0.value)" }.sorted(), "signatures": signatures, "calls": calls,
            "others": others, "finish": finish.map { "\($0.key):\($0.value)" }.sorted(), "candidate": candidateMembers, "root": rootMembers, "usage": usage, "errors": errors,
        ]
    }
}

/// A value with names of members in camel case and without members that say nothing.
func camel(_ value: Any, inside: String = "") -> Any {
    if let object = value as? [String: Any] {
        // What is the caller's own data keeps its names.
        if ["args", "response", "properties", "responseJsonSchema", "parametersJsonSchema", "labels"].contains(inside) { return object }
        var out: [String: Any] = [:]
        for (key, value) in object where !(value is NSNull) {
            let pieces = key.split(separator: "_")
            let name = pieces.count < 2 ? key : String(pieces[0]) + pieces.dropFirst().map(\.capitalized).joined()
            if name == "generationConfig", (value as? [String: Any])?.isEmpty == true { continue }
            out[name] = camel(value, inside: name)
        }
        return out
    }
    if let array = value as? [Any] { return array.map { camel($0) } }
    if inside == "mode" || inside == "thinkingLevel", let word = value as? String { return word.uppercased() }
    if inside == "data", let text = value as? String { return text.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/") }
    return value
}
