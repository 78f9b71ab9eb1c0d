// Writes a stream, as SSE or as one JSON array whose elements come in time. Text goes out as it comes, a chunk each. A call must be whole in its chunk, so
// its fragments are kept until it ends (see HeldCall). Finish reasons and usage are kept until the source has said that its stream is whole, and then go
// out together in the last chunk: whoever sees a finish reason can rely on it.
import ClawWire

final class GeminiStreamWriter: StreamWriter {
    /// Bytes of calls that are not whole yet, over all of them.
    static let heldBytesMax = 4 << 20
    static let heldCallsMax = 1024
    private static let choicesMax = 128

    private struct HeldFinish {
        var choice: Int32
        var finish: Finish
        var native: JSONBytes
        /// Members of the candidate, each with a comma before it.
        var extras: JSONBytes
    }

    private let context: AnswerContext
    /// For what must outlive the event it came in.
    private let kept = ArenaBox()
    /// For one call's arguments.
    private let scratch = ArenaBox()
    /// What stands behind `candidates` in every chunk, to its end.
    private var tail = JSONBytes()
    private var hasWritten = false
    private var isOver = false
    private var finishes: [HeldFinish] = []
    private var usage = Usage()
    /// The usage members of a source of the same dialect, and what stood beside its last candidates.
    private var usageMembers = JSONWriter(limit: 1 << 16)
    private var rootMembers = JSONWriter(limit: 1 << 20)
    private var calls: [HeldCall] = []
    private var heldBytes = 0
    private var callCount = 0
    /// The first half of a surrogate pair whose second half is to come: a chunk is a JSON text of its own and must not hold half a character.
    private var half = JSONWriter(limit: 16)
    private var halfChoice: Int32 = 0
    private var halfIsThought = false

    init(_ context: AnswerContext) { self.context = context }

    override func write(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        guard !isOver else { return }
        switch event.kind {
        case .start:
            makeTail(event.id, event.name)
            usage.take(event.usage)
            keepRoot(event, list)
        case .textDelta, .refusalDelta: writeText(event, list, isThought: false, into: &out)
        case .thinkingDelta: writeText(event, list, isThought: true, into: &out)
        case .signature:
            if event.isCall {
                if let call = calls.last(where: { $0.choice == event.choice && $0.index == event.index }) {
                    call.signature = call.memory.copy(event.text)
                    call.signatureOf = event.signatureOf
                }
                return
            }
            guard !event.text.isEmpty else { return }
            beginPart(into: &out)
            // Others than Gemini sign their thoughts only.
            out.put(event.partKind == .text && event.signatureOf == .gemini ? "\"text\":\"\"" : "\"text\":\"\",\"thought\":true")
            putSignature(event.text, event.signatureOf, isRedacted: false, into: &out)
            endPart(event, list, into: &out)
        case .redactedThinking:
            beginPart(into: &out)
            out.put("\"text\":\"\",\"thought\":true")
            putSignature(event.text, event.signatureOf, isRedacted: true, into: &out)
            endPart(event, list, into: &out)
        case .callStart:
            keepRoot(event, list)
            startCall(event, into: &out)
        case .callArguments: addArguments(event, list, into: &out)
        case .callEnd:
            if let call = calls.last(where: { $0.choice == event.choice && $0.index == event.index }) { call.isWhole = true }
            flushCalls(event, list, into: &out)
        case .finish: hold(event, list)
        case .usage:
            usage.take(event.usage)
            keepUsage(event, list)
            keepRoot(event, list)
        case .opaque: writeOpaque(event, list, into: &out)
        case .end: writeEnd(into: &out)
        case .error: if let error = event.error { write(error: error, into: &out) }
        case .partStart, .partEnd, .citation, .ping: return
        }
    }

    override func write(error: ProviderError, into out: inout JSONWriter) {
        guard !isOver else { return }
        beginChunk(into: &out)
        if error.source == .gemini, error.native.exists, error.native.raw.first == 0x7B {
            putFlat(error.native, into: &out)
        } else {
            let (status, word) = GeminiDialect.status(of: error)
            var body = JSONWriter(limit: 1 << 20)
            GeminiDialect.writeErrorMember(error, status, word, JSONBytes(), into: &body)
            out.put("{")
            putFlat(body.written, into: &out)
            out.put("}")
        }
        endChunk(into: &out)
        if context.asArray { out.put("]") }
        isOver = true
    }

    /// White space between the elements of the array, or an empty line between events: nothing to any reader.
    override func ping(into out: inout JSONWriter) {
        guard !isOver else { return }
        out.put(context.asArray ? "\n" : "\r\n")
    }

    // MARK: chunks

    private func makeTail(_ id: JSONBytes, _ model: JSONBytes) {
        guard !tail.exists else { return }
        let name = model.isEmpty ? context.model : model
        let given = id.isEmpty ? Identifiers.make("", seed: context.seed, &kept.arena) : id
        tail = kept.arena.joined(JSONBytes(",\"modelVersion\":\""), name, JSONBytes("\",\"responseId\":\""), given, JSONBytes("\"}"))
    }

    private func beginChunk(into out: inout JSONWriter) {
        if !tail.exists { makeTail(JSONBytes(), JSONBytes()) }
        if !context.asArray {
            out.put("data: ")
        } else if hasWritten {
            out.put(",\n")
        } else {
            out.put("[")
        }
        hasWritten = true
    }

    private func endChunk(into out: inout JSONWriter) {
        if context.asArray { out.put("\n") } else { out.put("\r\n\r\n") }
    }

    /// To the inside of the only part of the only candidate.
    private func beginPart(into out: inout JSONWriter) {
        beginChunk(into: &out)
        out.put("{\"candidates\":[{\"content\":{\"parts\":[{")
    }

    private func endPart(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if event.extras.isEmpty {
            out.put("}],\"role\":\"model\"},\"index\":")
            out.put(number: Int64(event.choice))
            out.put("}]")
        } else {
            putExtras(.part, event, list, into: &out)
            out.put("}],\"role\":\"model\"},\"index\":")
            out.put(number: Int64(event.choice))
            putExtras(.choice, event, list, into: &out)
            out.put("}]")
        }
        putRoot(event, list, into: &out)
        out.put(tail)
        endChunk(into: &out)
    }

    /// What stands beside the candidates: this event's own, or what an event before it brought that had no chunk.
    private func putRoot(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if event.extras.contains(where: { list.extras[$0].scope == .event }) {
            putExtras(.event, event, list, into: &out)
        } else {
            out.put(rootMembers.written)
        }
        rootMembers.reset()
    }

    private func putExtras(_ scope: Extra.Scope, _ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        for at in event.extras where at < list.extras.count && list.extras[at].scope == scope {
            out.put(",\"")
            out.put(list.extras[at].key)
            out.put("\":")
            putFlat(list.extras[at].value, into: &out)
        }
    }

    /// A JSON value without line ends, which may only stand between its tokens and would end an SSE line.
    private func putFlat(_ value: JSONBytes, into out: inout JSONWriter) {
        guard value.raw.contains(where: { $0 == 0x0A || $0 == 0x0D }) else { return out.put(value) }
        for byte in value.raw { out.put(byte: byte == 0x0A || byte == 0x0D ? 0x20 : byte) }
    }

    private func putSignature(_ text: JSONBytes, _ maker: DialectID?, isRedacted: Bool, into out: inout JSONWriter) {
        guard !text.isEmpty else { return }
        scratch.arena.reset()
        out.put(",\"thoughtSignature\":\"")
        out.put(GeminiSignatures.outward(text, of: maker, isRedacted: isRedacted, &scratch.arena))
        out.put("\"")
    }

    // MARK: text

    private func writeText(_ event: StreamEvent, _ list: EventList, isThought: Bool, into out: inout JSONWriter) {
        var text = event.text
        if halfChoice != event.choice || halfIsThought != isThought { half.reset() }
        let rest = Self.endsInHalf(text) ? text.dropFirst(text.count - 6) : JSONBytes()
        text = text.prefix(text.count - rest.count)
        if !text.isEmpty || half.count > 0 || !event.extras.isEmpty {
            beginPart(into: &out)
            out.put("\"text\":\"")
            out.put(half.written)
            out.put(text)
            out.put(isThought ? "\",\"thought\":true" : "\"")
            endPart(event, list, into: &out)
        }
        half.reset()
        half.put(rest)
        halfChoice = event.choice
        halfIsThought = isThought
    }

    /// The text ends in the escape of a high surrogate, `\ud800` to `\udbff`.
    private static func endsInHalf(_ text: JSONBytes) -> Bool {
        guard text.count >= 6, let base = text.base else { return false }
        let at = text.count - 6
        guard base[at] == 0x5C, base[at + 1] == 0x75, base[at + 2] | 32 == 0x64 else { return false }
        let second = base[at + 3] | 32
        guard second == 0x38 || second == 0x39 || second == 0x61 || second == 0x62 else { return false }
        var slashes = 1
        while slashes <= at, base[at - slashes] == 0x5C { slashes += 1 }
        return slashes % 2 == 1
    }

    private func writeOpaque(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        guard list.keepsExtras else { return }
        beginChunk(into: &out)
        out.put("{\"candidates\":[{")
        if event.name.equals("part"), event.json.exists {
            out.put("\"content\":{\"parts\":[")
            putFlat(event.json, into: &out)
            out.put("],\"role\":\"model\"},")
        }
        out.put("\"index\":")
        out.put(number: Int64(event.choice))
        putExtras(.choice, event, list, into: &out)
        out.put("}]")
        putRoot(event, list, into: &out)
        out.put(tail)
        endChunk(into: &out)
    }

    // MARK: calls

    private func startCall(_ event: StreamEvent, into out: inout JSONWriter) {
        guard calls.count < Self.heldCallsMax else { return failTooLarge(into: &out) }
        let call = HeldCall(event.choice, event.index)
        call.id = event.id.isEmpty ? JSONBytes() : call.memory.copy(event.id)
        call.name = call.memory.copy(event.name)
        call.isCustom = event.isCustom
        if !event.text.isEmpty {
            call.signature = call.memory.copy(event.text)
            call.signatureOf = event.signatureOf
        }
        calls.append(call)
        call.heldBytes = event.id.count + event.name.count + event.text.count
        if hold(call.heldBytes, into: &out) { callCount += 1 }
    }

    private func addArguments(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        guard let call = calls.last(where: { $0.choice == event.choice && $0.index == event.index }) else { return }
        let piece = event.json.exists ? event.json : event.text
        guard hold(piece.count, into: &out) else { return }
        call.isObject = event.json.exists
        call.arguments.put(piece)
        call.heldBytes += piece.count
    }

    /// Counts what is held; false where that was too much and the stream has ended for it.
    private func hold(_ count: Int, into out: inout JSONWriter) -> Bool {
        heldBytes += count
        if heldBytes <= Self.heldBytesMax { return true }
        failTooLarge(into: &out)
        return false
    }

    private func failTooLarge(into out: inout JSONWriter) {
        var error = ProviderError(status: 502, problem: .serverError)
        error.message = JSONBytes("the calls of this answer are larger than 4 MiB")
        write(error: error, into: &out)
        calls.removeAll()
    }

    /// Writes the calls from the first on that are whole; they keep their order, since a signature stands at the first.
    private func flushCalls(_ event: StreamEvent?, _ list: EventList?, into out: inout JSONWriter) {
        while let call = calls.first, call.isWhole {
            calls.removeFirst()
            heldBytes -= min(heldBytes, call.heldBytes)
            scratch.arena.reset()
            beginPart(into: &out)
            out.put("\"functionCall\":{\"name\":\"")
            out.put(call.name)
            out.put("\",\"args\":")
            putFlat(call.object(scratch), into: &out)
            let isNative = list?.keepsExtras ?? false
            if !call.id.isEmpty || !isNative {
                out.put(",\"id\":\"")
                out.put(call.id.isEmpty ? Identifiers.make("call_", seed: context.seed, ordinal: callCount - calls.count - 1, &scratch.arena) : call.id)
                out.put("\"")
            }
            out.put("}")
            putSignature(call.signature, call.signatureOf, isRedacted: false, into: &out)
            if let event, let list, event.index == call.index, event.choice == call.choice {
                endPart(event, list, into: &out)
            } else {
                out.put("}],\"role\":\"model\"},\"index\":")
                out.put(number: Int64(call.choice))
                out.put("}]")
                out.put(tail)
                endChunk(into: &out)
            }
        }
    }

    // MARK: the end

    private func hold(_ event: StreamEvent, _ list: EventList) {
        for call in calls where call.choice == event.choice { call.isWhole = true }
        keepRoot(event, list)
        guard finishes.count < Self.choicesMax, !finishes.contains(where: { $0.choice == event.choice }) else { return }
        var held = HeldFinish(choice: event.choice, finish: event.finish, native: JSONBytes(), extras: JSONBytes())
        if list.keepsExtras {
            held.native = kept.arena.copy(event.name.prefix(128))
            var members = JSONWriter(limit: 1 << 16)
            putExtras(.choice, event, list, into: &members)
            if !members.isOverflown, members.count > 0 { held.extras = kept.arena.copy(members.written) }
        }
        finishes.append(held)
    }

    private func keepUsage(_ event: StreamEvent, _ list: EventList) {
        guard event.extras.contains(where: { list.extras[$0].scope == .usage }) else { return }
        usageMembers.reset()
        putExtras(.usage, event, list, into: &usageMembers)
    }

    private func keepRoot(_ event: StreamEvent, _ list: EventList) {
        guard event.extras.contains(where: { list.extras[$0].scope == .event }) else { return }
        rootMembers.reset()
        putExtras(.event, event, list, into: &rootMembers)
    }

    private func writeEnd(into out: inout JSONWriter) {
        for call in calls { call.isWhole = true }
        flushCalls(nil, nil, into: &out)
        guard !isOver else { return }
        beginChunk(into: &out)
        out.put("{")
        let isBlocked = finishes.count == 1 && finishes[0].finish == .contentFilter && !finishes[0].native.exists && rootMembers.written.contains("\"promptFeedback\"")
        var head: StaticString = "\"usageMetadata\":{"
        if !isBlocked {
            if finishes.isEmpty { finishes.append(HeldFinish(choice: 0, finish: .stop, native: JSONBytes(), extras: JSONBytes())) }
            out.put("\"candidates\":[")
            for at in finishes.indices { putFinish(finishes[at], isFirst: at == 0, into: &out) }
            out.put("]")
            head = ",\"usageMetadata\":{"
        }
        if usageMembers.count > 0 {
            out.put(head)
            out.put(usageMembers.written.dropFirst(1))
            out.put("}")
        } else if usage.isKnown {
            out.put(head)
            GeminiUsage.write(usage, into: &out)
            out.put("}")
        }
        // Without candidates and usage the first of the members has no comma to stand before it.
        let isBare = isBlocked && usageMembers.count == 0 && !usage.isKnown
        out.put(isBare ? rootMembers.written.dropFirst(1) : rootMembers.written)
        out.put(tail)
        endChunk(into: &out)
        if context.asArray { out.put("]") }
        isOver = true
    }

    private func putFinish(_ held: HeldFinish, isFirst: Bool, into out: inout JSONWriter) {
        if !isFirst { out.put(",") }
        out.put("{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"finishReason\":\"")
        if held.native.exists { out.put(held.native) } else { out.put(GeminiFinish.word(held.finish)) }
        out.put("\",\"index\":")
        out.put(number: Int64(held.choice))
        out.put(held.extras)
        out.put("}")
    }
}

/// A call whose arguments are still coming.
final class HeldCall {
    let choice: Int32
    let index: Int32
    var id = JSONBytes()
    var name = JSONBytes()
    var signature = JSONBytes()
    var signatureOf: DialectID?
    var isCustom = false
    /// `arguments` are a raw object; else the inside of a JSON string.
    var isObject = false
    var isWhole = false
    var arguments = JSONWriter(limit: GeminiStreamWriter.heldBytesMax)
    /// For its texts.
    var memory = JSONArena()
    var heldBytes = 0

    init(_ choice: Int32, _ index: Int32) { self.choice = choice; self.index = index }

    /// The arguments as an object; `{}` for what is none.
    func object(_ box: ArenaBox) -> JSONBytes {
        if isCustom { return box.arena.joined(JSONBytes("{\"input\":\""), arguments.written, JSONBytes("\"}")) }
        if isObject { return arguments.written }
        let text = box.arena.unescaped(arguments.written)
        guard text.raw.contains(where: { $0 > 32 }), box.tape.read(text.raw) == nil, box.tape.root.isObject else { return JSONBytes("{}") }
        return text
    }
}
