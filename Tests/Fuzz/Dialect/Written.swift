// What the targets of the dialects share: is something valid JSON, is a stream's text valid in its framing, and a neutral event as text to compare.
import ClawDialect
import ClawWire

nonisolated(unsafe) private var tape = JSONTape()

func isJSON(_ bytes: UnsafeRawBufferPointer) -> Bool { tape.read(bytes) == nil }
func isJSON(_ bytes: JSONBytes) -> Bool { isJSON(bytes.raw) }
func isObject(_ bytes: UnsafeRawBufferPointer) -> Bool { tape.read(bytes) == nil && tape.root.isObject }

/// True for what may stand between the quotes of a JSON string.
func isInside(_ text: JSONBytes) -> Bool {
    if !text.raw.contains(where: { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C || $0 >= 0x80 }) { return true }
    return ([0x22] + Array(text.raw) + [0x22]).withUnsafeBytes { isJSON($0) }
}

func show(_ bytes: UnsafeRawBufferPointer) -> String { show(Array(bytes)) }

/// The first byte of an input says which dialect is meant; a digit, so that a seed can be read.
func dialect(_ bytes: UnsafeRawBufferPointer) -> DialectID {
    DialectID(rawValue: (bytes[0] &- 48) % UInt8(DialectID.allCases.count)) ?? .chat
}

func context(_ dice: inout Dice) -> AnswerContext {
    AnswerContext(
        seed: (dice.next(), dice.next()), now: 1_700_000_000, model: JSONBytes("asked"), includesUsage: dice.below(2) == 0, wantsStream: dice.below(2) == 0,
        asArray: dice.below(2) == 0)
}

func quirks(_ dice: inout Dice) -> Quirks {
    let names = Quirks.names
    return dice.below(2) == 0 ? Quirks() : Quirks.named(names[dice.below(names.count)]) ?? Quirks()
}

/// Every event of a written stream is a JSON object (or SSE's end marker), and nothing is left over.
func checkStream(_ bytes: UnsafeRawBufferPointer, of dialect: DialectID, asArray: Bool, isWhole: Bool) {
    let framing: Framing = dialect == .gemini && asArray ? .array : dialect.pieces.framing
    var scanner = WireScanner(framing)
    var at = 0
    scan: while true {
        switch scanner.next(bytes, from: at) {
        case .needMore: break scan
        case .refused(let reason): fail("\(dialect) wrote no stream: \(reason), \(show(bytes))")
        case .event(let event, let end):
            at = end
            check(event.kind == .done || isObject(event.data), "\(dialect) wrote an event that is no JSON object: \(show(event.data))")
        }
    }
    check(scanner.isBetweenEvents, "\(dialect) wrote half an event: \(show(bytes))")
    if isWhole, framing == .array, bytes.count > 0 { check(isJSON(bytes), "\(dialect) wrote an array that is no JSON: \(show(bytes))") }
}

func checkUsage(_ usage: Usage) {
    check(usage.input >= 0 && usage.output >= 0 && usage.total >= usage.input, "a usage of \(usage)")
}

func checkError(_ error: ProviderError) {
    check((100...999).contains(error.status), "an error of status \(error.status)")
    check(error.retryAfterSeconds.isFinite && error.retryAfterSeconds >= 0, "retry after \(error.retryAfterSeconds)")
    for text in [error.message, error.type, error.code, error.param] { check(isInside(text), "an error's text that is no text of JSON: \(show(text.raw))") }
}

/// All that a neutral event says, as one text.
func told(_ event: StreamEvent, _ list: EventList) -> String {
    // The name of an opaque event is the wire's.
    for text in [event.text, event.id, event.kind == .opaque ? JSONBytes() : event.name] { check(isInside(text), "\(event.kind): a text that is no text of JSON: \(show(text.raw))") }
    check(!event.json.exists || isJSON(event.json), "\(event.kind): no JSON: \(show(event.json.raw))")
    if event.kind == .usage || event.kind == .start { checkUsage(event.usage) }
    if let error = event.error { checkError(error) }
    var all = "\(event.kind) \(event.choice) \(event.index) \(event.partKind) \(event.finish) \(event.isCall) \(event.isCustom) \(event.number) "
    all += "\(event.text.string)|\(event.id.string)|\(event.name.string)|\(event.json.string) \(String(describing: event.signatureOf)) \(event.usage) "
    if let error = event.error { all += "\(error.status) \(error.problem) \(error.message.string) \(error.code.string) \(error.type.string) \(error.native.string)" }
    for extra in list.extras[event.extras.clamped(to: list.extras.indices)] { all += " \(extra.scope) \(extra.key.string): \(extra.value.string)" }
    return all
}
