// Writes a stream of /api/chat or /api/generate, one object a line. Texts and thoughts are lines as they come; a call is held until its arguments are whole,
// because they are an object here. The last line, `"done":true`, is this dialect's only sign that an answer is whole, so it is written when the source's own
// end was seen and at no other time; it has the finish reason and the counts, whatever order they came in.
import ClawWire

final class OllamaStreamWriter: StreamWriter {
    /// Bytes of calls that are held at once, and how many of them.
    private static let heldBytesMax = 4 << 20
    private static let callsMax = 1024

    private final class Call {
        let index: Int32
        let number: Int64
        let idCount: Int
        let nameCount: Int
        /// The arguments are a raw object, not a string's inside.
        var isObject = false
        /// Id, name and arguments, one behind the other.
        var bytes = JSONWriter(limit: OllamaStreamWriter.heldBytesMax)
        init(_ event: StreamEvent) {
            index = event.index
            number = event.number
            idCount = event.id.count
            nameCount = event.name.count
            if idCount > 0 { bytes.put(event.id) }
            if nameCount > 0 { bytes.put(event.name) }
        }
    }

    private let context: AnswerContext
    private let generates: Bool
    /// `{"model":"…","created_at":"…"`, with which each line begins, and how much of it is the model's.
    private var head = JSONWriter()
    private var modelCount = 0
    private var calls: [Call] = []
    private var callsSeen = 0
    private var heldBytes = 0
    private var finish = Finish.unset
    private var usage = Usage()
    /// The finish is of the same dialect: its word, and members of the last line, come from there.
    private var isOwn = false
    private var nativeFinish: [UInt8] = []
    private var lastExtras = JSONWriter(limit: heldBytesMax)
    private var isOver = false
    private let arena = ArenaBox()

    init(_ context: AnswerContext, generates: Bool) {
        self.context = context
        self.generates = generates
    }

    override func write(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        guard !isOver, event.choice == 0 else { return }
        switch event.kind {
        case .textDelta, .refusalDelta: writeDelta(event, list, isThinking: false, &out)
        case .thinkingDelta: writeDelta(event, list, isThinking: true, &out)
        case .start:
            makeHead(event.name, event.number)
            usage.take(event.usage)
        case .callStart: begin(event, &out)
        case .callArguments: append(event, &out)
        case .callEnd: if let place = calls.firstIndex(where: { $0.index == event.index }) { write(calls.remove(at: place), event, list, &out) }
        case .usage: usage.take(event.usage)
        case .finish: keep(event, list)
        case .end: writeEnd(&out)
        case .error: if let error = event.error { write(error: error, into: &out) }
        case .partStart, .partEnd, .signature, .redactedThinking, .citation, .ping, .opaque: break
        }
    }

    private func makeHead(_ model: JSONBytes, _ created: Int64) {
        head.truncate(to: 0)
        head.put("{\"model\":\"")
        head.put(model.isEmpty ? context.model : model)
        head.put("\"")
        modelCount = head.count
        head.put(",\"created_at\":\"")
        OllamaTime.put(created > 0 ? created : context.now, into: &head)
        head.put("\"")
    }

    /// What a line begins with: the head, or the model and what the source's line said.
    private func beginLine(_ event: StreamEvent, _ list: EventList, _ out: inout JSONWriter) {
        if head.count == 0 { makeHead(JSONBytes(), 0) }
        guard list.keepsExtras, !event.extras.isEmpty, event.extras.upperBound <= list.extras.count else { return out.put(head.written) }
        out.put(head.written.prefix(modelCount))
        putExtras(.event, event, list, &out)
    }

    private func putExtras(_ scope: Extra.Scope, _ event: StreamEvent, _ list: EventList, _ out: inout JSONWriter) {
        for at in event.extras where list.extras[at].scope == scope {
            out.put(",\"")
            out.put(list.extras[at].key)
            out.put("\":")
            out.put(list.extras[at].value)
        }
    }

    private func writeDelta(_ event: StreamEvent, _ list: EventList, isThinking: Bool, _ out: inout JSONWriter) {
        if event.text.isEmpty { return }
        beginLine(event, list, &out)
        out.put(generates ? ",\"response\":\"" : ",\"message\":{\"role\":\"assistant\",\"content\":\"")
        if isThinking { out.put("\",\"thinking\":\"") }
        out.put(event.text)
        out.put("\"")
        if !generates {
            if list.keepsExtras, !event.extras.isEmpty { putExtras(.delta, event, list, &out) }
            out.put("}")
        }
        out.put(",\"done\":false}\n")
    }

    // MARK: calls

    private func begin(_ event: StreamEvent, _ out: inout JSONWriter) {
        // A prompt's completion has no place for calls.
        if generates { return }
        heldBytes += event.id.count + event.name.count
        guard callsSeen < Self.callsMax, heldBytes <= Self.heldBytesMax else { return refuse(&out) }
        callsSeen += 1
        calls.append(Call(event))
    }

    private func append(_ event: StreamEvent, _ out: inout JSONWriter) {
        guard let call = calls.last(where: { $0.index == event.index }) else { return }
        if event.json.exists {
            heldBytes -= call.bytes.count - call.idCount - call.nameCount
            call.bytes.truncate(to: call.idCount + call.nameCount)
            call.isObject = true
        } else if call.isObject {
            return
        }
        let more = event.json.exists ? event.json : event.text
        heldBytes += more.count
        guard heldBytes <= Self.heldBytesMax else { return refuse(&out) }
        if more.count > 0 { call.bytes.put(more) }
    }

    private func refuse(_ out: inout JSONWriter) {
        var error = PlainError.malformed(generates ? .ollamaGenerate : .ollama)
        error.message = JSONBytes("the answer's tool calls are longer than 4 MiB")
        write(error: error, into: &out)
    }

    private func write(_ call: Call, _ event: StreamEvent, _ list: EventList, _ out: inout JSONWriter) {
        let all = call.bytes.written
        heldBytes -= all.count
        let isSame = list.keepsExtras
        var id = all.prefix(call.idCount)
        if id.isEmpty, !isSame { id = Identifiers.make("call_", seed: context.seed, ordinal: Int(call.index), &arena.arena) }
        beginLine(event, list, &out)
        out.put(",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{")
        if !id.isEmpty {
            out.put("\"id\":\"")
            out.put(id)
            out.put("\",")
        }
        out.put("\"function\":{")
        if !isSame || call.number > 0 {
            out.put("\"index\":")
            out.put(number: call.number > 0 && isSame ? call.number - 1 : Int64(call.index))
            out.put(",")
        }
        out.put("\"name\":\"")
        out.put(all.dropFirst(call.idCount).prefix(call.nameCount))
        out.put("\",\"arguments\":")
        out.put(arguments(call, all.dropFirst(call.idCount + call.nameCount)))
        out.put("}}]")
        if isSame, !event.extras.isEmpty { putExtras(.delta, event, list, &out) }
        out.put("},\"done\":false}\n")
        arena.arena.reset()
    }

    /// An object; `{}` for what is none, as where an answer was cut within its arguments.
    private func arguments(_ call: Call, _ bytes: JSONBytes) -> JSONBytes {
        let text = call.isObject ? bytes : arena.arena.unescaped(bytes)
        guard text.raw.contains(where: { $0 > 32 }), arena.tape.read(text.raw) == nil, arena.tape.root.isObject else { return JSONBytes("{}") }
        // A line has no line ends within it, which JSON between its values may have.
        guard text.raw.contains(where: { $0 == 0x0A || $0 == 0x0D }) else { return text }
        let place = arena.arena.take(text.count)
        for at in 0..<text.count { place[at] = text[at] == 0x0A || text[at] == 0x0D ? 0x20 : text[at] }
        return JSONBytes(place, text.count)
    }

    // MARK: the end

    private func keep(_ event: StreamEvent, _ list: EventList) {
        guard finish == .unset else { return }
        finish = event.finish == .unset ? .stop : event.finish
        isOwn = list.keepsExtras
        guard isOwn else { return }
        nativeFinish = Array(event.name.prefix(256).raw)
        for at in event.extras where at < list.extras.count && list.extras[at].scope == .event {
            lastExtras.key(list.extras[at].key)
            lastExtras.value(list.extras[at].value)
        }
    }

    private func writeEnd(_ out: inout JSONWriter) {
        if head.count == 0 { makeHead(JSONBytes(), 0) }
        let none = EventList()
        for call in calls where !isOver { write(call, StreamEvent(.callEnd), none, &out) }
        calls.removeAll()
        out.put(isOwn && lastExtras.count > 0 ? head.written.prefix(modelCount) : head.written)
        if lastExtras.count > 0 {
            out.put(",")
            out.put(lastExtras.written)
        }
        out.put(generates ? ",\"response\":\"\"" : ",\"message\":{\"role\":\"assistant\",\"content\":\"\"}")
        out.put(",")
        JSONPieces.beginMembers(&out)
        out.member("done", true)
        if !isOwn {
            out.member("done_reason", OllamaAnswer.reason(finish))
        } else if !nativeFinish.isEmpty {
            nativeFinish.withUnsafeBytes { out.member("done_reason", JSONBytes($0)) }
        }
        OllamaAnswer.writeCounts(usage, isOwn: isOwn, into: &out)
        out.endObject()
        out.put("\n")
        isOver = true
    }

    /// Space before the next line's object.
    override func ping(into out: inout JSONWriter) { if !isOver { out.put(" ") } }

    override func write(error: ProviderError, into out: inout JSONWriter) {
        if isOver { return }
        isOver = true
        let isOwnError = error.source == .ollama || error.source == .ollamaGenerate
        if isOwnError, error.native.exists {
            out.put(error.native)
        } else {
            JSONPieces.beginRoot(&out)
            out.member("error", error.message.isEmpty ? PlainError.sentence(error.problem) : error.message)
            out.endObject()
        }
        out.put("\n")
    }
}
