// What every dialect's tests need: bytes in, bytes out, and a comparison of JSON as values.
import ClawDialect
import ClawWire
import Foundation

/// Memory that stays where it is as long as the object lives.
final class Held {
    let raw: UnsafeMutableRawBufferPointer
    init(_ bytes: [UInt8]) {
        raw = .allocate(byteCount: max(1, bytes.count), alignment: 1)
        raw.copyBytes(from: bytes)
        count = bytes.count
    }
    let count: Int
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: raw.baseAddress, count: count) }
    deinit { raw.deallocate() }
}

struct TestFailure: Error, CustomStringConvertible { var description: String }

let testContext = AnswerContext(seed: (1, 2), now: 1_700_000_000, model: JSONBytes("asked-model"), includesUsage: true, wantsStream: true)

/// A request of one dialect in the words of another.
func translateRequest(
    _ body: String, from front: DialectID, to back: DialectID, model: StaticString = "served-model", quirks: Quirks = Quirks(), drops: Bool = false,
    target change: (inout Target) -> Void = { _ in }
) throws -> (body: String, dropped: [String]) {
    let held = Held(Array(body.utf8))
    var tape = JSONTape()
    if let refusal = tape.read(held.bytes) { throw TestFailure(description: "\(refusal)") }
    let conversation = Conversation()
    conversation.reset(source: front)
    conversation.dropsUnsupported = drops
    do throws(Refusal) {
        try front.pieces.readRequest(tape.root, into: conversation)
        var target = Target(model: JSONBytes(model), quirks: quirks)
        target.wantsStream = conversation.wantsStream
        change(&target)
        var out = JSONWriter()
        try back.pieces.writeRequest(conversation, to: target, into: &out)
        return (String(decoding: out.bytes, as: UTF8.self), conversation.dropped.map(\.string))
    } catch {
        throw TestFailure(description: "\(error.field.string): \(error.reason)")
    }
}

/// A whole answer of one dialect in the words of another; nil when the reader does not take it.
func translateAnswer(_ body: [UInt8], from back: DialectID, to front: DialectID, context: AnswerContext = testContext) -> String? {
    let held = Held(body)
    var tape = JSONTape()
    guard tape.read(held.bytes) == nil else { return nil }
    let answer = Answer()
    answer.reset(source: back)
    guard back.pieces.readAnswer(tape.root, into: answer) else { return nil }
    var out = JSONWriter()
    front.pieces.writeAnswer(answer, context, into: &out)
    return String(decoding: out.bytes, as: UTF8.self)
}

/// SSE events of a body that arrives in pieces of this size.
func sseEvents(_ body: [UInt8], pieces size: Int = .max) -> [(name: [UInt8], data: [UInt8], isDone: Bool)] {
    var scanner = EventScanner()
    var out: [(name: [UInt8], data: [UInt8], isDone: Bool)] = []
    var at = 0
    while at < body.count {
        let piece = Held(Array(body[at..<min(body.count, size == .max ? body.count : at + size)]))
        var from = 0
        while case .event(let event) = scanner.next(piece.bytes, from: from) {
            from = event.end
            out.append((Array(event.name), Array(event.data), event.isDone))
        }
        at += piece.count
    }
    return out
}

/// Runs wire events through a reader into a writer. `raw`: what the reader said, event by event.
func translateStream(
    _ events: [(name: [UInt8], data: [UInt8], isDone: Bool)], reader: StreamReader, writer: StreamWriter, keepsExtras: Bool = false
) -> (bytes: [UInt8], kinds: [StreamEvent.Kind]) {
    let list = EventList()
    list.keepsExtras = keepsExtras
    var out = JSONWriter()
    var kinds: [StreamEvent.Kind] = []
    func flush() {
        for event in list.events {
            kinds.append(event.kind)
            if event.kind == .error, let error = event.error { writer.write(error: error, into: &out) } else { writer.write(event, list, into: &out) }
        }
    }
    for event in events {
        let data = Held(event.data)
        let name = Held(event.name)
        list.reset()
        reader.read(WireEvent(data.bytes, name: JSONBytes(name.bytes), kind: event.isDone ? .done : .event), into: list)
        flush()
    }
    list.reset()
    reader.finish(into: list)
    flush()
    return (Array(out.bytes), kinds)
}

func parsed(_ text: String) throws -> Any { try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed) }
func parsed(_ bytes: [UInt8]) throws -> Any { try JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed) }

/// Where two JSON values differ, as paths. `ignoring`: path suffix → why it may differ.
func differences(_ one: Any?, _ other: Any?, ignoring: [String: String] = [:], at path: String = "") -> [String] {
    if ignoring.keys.contains(where: { path == $0 || path.hasSuffix("." + $0) }) { return [] }
    if let a = one as? [String: Any], let b = other as? [String: Any] {
        return Set(a.keys).union(b.keys).sorted().flatMap { differences(a[$0], b[$0], ignoring: ignoring, at: path.isEmpty ? $0 : path + "." + $0) }
    }
    if let a = one as? [Any], let b = other as? [Any] {
        if a.count != b.count { return ["\(path): \(a.count) elements, then \(b.count)"] }
        return zip(a, b).enumerated().flatMap { differences($1.0, $1.1, ignoring: ignoring, at: "\(path).\($0)") }
    }
    if let a = one as? NSObject, let b = other as? NSObject, a.isEqual(b) { return [] }
    if one == nil, other == nil { return [] }
    return ["\(path): \(one.map { "\($0)".prefix(120).description } ?? "absent"), then \(other.map { "\($0)".prefix(120).description } ?? "absent")"]
}
