// A byte changed at random makes a text that is no JSON, and every reader behind the tape is out of reach. So most inputs of the dialects' targets are
// changed as values: one is replaced by another, left out, doubled, wrapped, or gets a member more. The rest is left to the fuzzer's own ways.
import ClawDialect
import ClawWire

@_silgen_name("LLVMFuzzerMutate")
private func changeBytes(_ data: UnsafeMutablePointer<UInt8>, _ size: Int, _ capacity: Int) -> Int

private let values = [
    "null", "true", "false", "0", "-1", "1e400", "9223372036854775807", "9223372036854775808", "1.5", "\"\"", "\"\\u0000\"", "\"\\ud83d\"", "\"a\\\\\\\"b\"", "[]", "{}",
    "[[]]", "[{}]", "{\"type\":\"text\",\"text\":\"x\"}", "\"data:image/png;base64,iVBORw0K\"", "\"{\\\"a\\\":1}\"", "\"{\"", "[{\"type\":\"text\",\"text\":\"x\"}]", "\"high\"",
    "\"tool\"", "\"user\"", "\"assistant\"", "\"system\"", "\"https://example.com/a.png\"", "99999999999999999999",
]

nonisolated(unsafe) private var tape = JSONTape()

private struct Walk {
    var values: [Range<Int>] = []
    var members: [Range<Int>] = []
    var objects: [Range<Int>] = []
    var keys: [Range<Int>] = []

    mutating func take(_ value: JSONValue, _ base: UnsafeRawPointer) {
        func range(_ value: JSONValue) -> Range<Int> {
            let raw = value.raw
            guard let start = raw.base else { return 0..<0 }
            let from = UnsafeRawPointer(start) - base
            return from..<from + raw.count
        }
        values.append(range(value))
        if value.isObject { objects.append(range(value)) }
        for member in value.members {
            keys.append(range(member.key))
            members.append(range(member.key).lowerBound..<range(member.value).upperBound)
            take(member.value, base)
        }
        if value.isArray {
            for element in value.elements {
                members.append(range(element))
                take(element, base)
            }
        }
    }
}

/// The JSON texts of an input: all of it, or those of its lines.
private func texts(_ bytes: [UInt8]) -> [Range<Int>] {
    if bytes[1...].withUnsafeBytes({ isJSON($0) }) { return [1..<bytes.count] }
    var found: [Range<Int>] = []
    var at = 1
    while at < bytes.count {
        let end = bytes[at...].firstIndex { $0 == 10 || $0 == 13 } ?? bytes.count
        if let from = bytes[at..<end].firstIndex(of: 0x7B), let to = bytes[from..<end].lastIndex(of: 0x7D) { found.append(from..<to + 1) }
        at = end + 1
    }
    return found
}

private func changed(_ bytes: [UInt8], _ dice: inout Dice) -> [UInt8]? {
    let all = texts(bytes)
    guard !all.isEmpty else { return nil }
    let place = dice.pick(all)
    let text = Array(bytes[place])
    var walk = Walk()
    let isRead = text.withUnsafeBytes { text in
        guard let base = text.baseAddress, tape.read(text) == nil else { return false }
        walk.take(tape.root, base)
        return true
    }
    guard isRead else { return nil }
    var out = text
    func value() -> [UInt8] { dice.below(2) == 0 ? Array(dice.pick(values).utf8) : Array(text[dice.pick(walk.values)]) }
    let kind = dice.below(8)
    switch kind {
    case 0, 1: out.replaceSubrange(dice.pick(walk.values), with: value())
    case 2 where !walk.members.isEmpty:
        // With the comma behind it, or before it.
        var range = dice.pick(walk.members)
        if range.upperBound < out.count, out[range.upperBound] == 0x2C {
            range = range.lowerBound..<range.upperBound + 1
        } else if range.lowerBound > 0, out[range.lowerBound - 1] == 0x2C {
            range = range.lowerBound - 1..<range.upperBound
        }
        out.removeSubrange(range)
    case 3 where !walk.members.isEmpty:
        let range = dice.pick(walk.members)
        out.insert(contentsOf: Array(text[range]) + [0x2C], at: range.lowerBound)
    case 4 where !walk.objects.isEmpty && !walk.keys.isEmpty:
        let object = dice.pick(walk.objects)
        var member = (dice.below(4) == 0 ? Array("\"x\"".utf8) : Array(text[dice.pick(walk.keys)])) + [0x3A] + value()
        if object.count > 2 { member.append(0x2C) }
        out.insert(contentsOf: member, at: object.lowerBound + 1)
    case 5 where walk.keys.count > 1: out.replaceSubrange(dice.pick(walk.keys), with: Array(text[dice.pick(walk.keys)]))
    case 6:
        let range = dice.pick(walk.values)
        out.replaceSubrange(range, with: [0x5B] + Array(text[range]) + [0x5D])
    default:
        let range = dice.pick(walk.values)
        out.replaceSubrange(range, with: Array("{\"type\":".utf8) + Array(text[range]) + [0x7D])
    }
    return Array(bytes[..<place.lowerBound]) + out + Array(bytes[place.upperBound...])
}

@c(LLVMFuzzerCustomMutator)
public func change(_ data: UnsafeMutablePointer<UInt8>, _ size: Int, _ capacity: Int, _ seed: UInt32) -> Int {
    var dice = withUnsafeBytes(of: seed) { Dice($0) }
    guard size > 2, dice.below(4) > 0 else { return changeBytes(data, size, capacity) }
    var bytes = Array(UnsafeBufferPointer(start: data, count: size))
    for _ in 0...dice.below(3) { if let next = changed(bytes, &dice) { bytes = next } }
    // Another dialect with the same words, now and then.
    if dice.below(16) == 0 { bytes[0] = 48 + UInt8(dice.below(10)) }
    guard bytes.count <= capacity else { return changeBytes(data, size, capacity) }
    for (at, byte) in bytes.enumerated() { data[at] = byte }
    return bytes.count
}
