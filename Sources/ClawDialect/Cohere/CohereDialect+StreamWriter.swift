// Writes a stream of /v2/chat in the order that Cohere's own has: message-start; contents, each begun and ended, or a plan and then calls; message-end with
// the finish reason and the usage, held until the source's end was seen; [DONE].
import ClawWire

final class CohereStreamWriter: StreamWriter {
    private enum Open { case none, text, thinking, plan }

    private let context: AnswerContext
    private let arena = ArenaBox()
    private var hasStarted = false
    private var open = Open.none
    /// Contents begun so far.
    private var contents: Int64 = 0
    /// The call under way; -1 for none.
    private var openCall: Int32 = -1
    private var hasCalls = false
    private var finish = Finish.unset
    private var isOwn = false
    private var nativeFinish: [UInt8] = []
    private var usage = Usage()
    /// Members of the usage that only Cohere has: `index` and the member, copied.
    private var usageExtras: [Extra] = []
    private var usageArena = JSONArena()
    private var isOver = false

    init(_ context: AnswerContext) { self.context = context }

    override func write(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        guard !isOver, event.choice == 0 else { return }
        switch event.kind {
        case .start:
            start(event.id, &out)
            usage.take(event.usage)
        case .partStart:
            if event.name.equals(CohereDialect.planMark) { return }
            if event.partKind == .text { begin(.text, &out) } else if event.partKind == .thinking { begin(.thinking, &out) }
        case .partEnd: if event.partKind == .text || event.partKind == .thinking { close(&out) }
        case .textDelta, .refusalDelta: writeDelta(event, list, .text, &out)
        case .thinkingDelta: writeDelta(event, list, event.name.equals(CohereDialect.planMark) ? .plan : .thinking, &out)
        case .callStart: beginCall(event, &out)
        case .callArguments: writeArguments(event, &out)
        case .callEnd: endCall(event.index, &out)
        case .citation: if list.keepsExtras { writeCitation(event, &out) }
        case .opaque: if list.keepsExtras { frame(event.name, &out); out.put(event.json); out.put("\n\n") }
        case .usage: keep(event, list)
        case .finish:
            guard finish == .unset else { return }
            finish = event.finish == .unset ? .stop : event.finish
            isOwn = list.keepsExtras
            if isOwn { nativeFinish = Array(event.name.prefix(256).raw) }
        case .end: writeEnd(&out)
        case .error: if let error = event.error { write(error: error, into: &out) }
        case .signature, .redactedThinking, .ping: break
        }
    }

    private func frame(_ name: JSONBytes, _ out: inout JSONWriter) {
        out.put("event: ")
        out.put(name)
        out.put("\ndata: ")
    }

    private func start(_ id: JSONBytes, _ out: inout JSONWriter) {
        if hasStarted { return }
        hasStarted = true
        out.put("event: message-start\ndata: {\"id\":\"")
        out.put(id.isEmpty ? Identifiers.make("", seed: context.seed, &arena.arena) : id)
        out.put("\",\"type\":\"message-start\",\"delta\":{\"message\":{\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\",")
        out.put("\"tool_calls\":[],\"citations\":[]}}}\n\n")
    }

    private func begin(_ kind: Open, _ out: inout JSONWriter) {
        start(JSONBytes(), &out)
        if open == kind { return }
        close(&out)
        endCall(openCall, &out)
        open = kind
        if kind == .plan { return }
        out.put("event: content-start\ndata: {\"type\":\"content-start\",\"index\":")
        out.put(number: contents)
        out.put(kind == .text ? ",\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}\n\n"
            : ",\"delta\":{\"message\":{\"content\":{\"type\":\"thinking\",\"thinking\":\"\"}}}}\n\n")
        contents += 1
    }

    private func close(_ out: inout JSONWriter) {
        if open == .text || open == .thinking {
            out.put("event: content-end\ndata: {\"type\":\"content-end\",\"index\":")
            out.put(number: contents - 1)
            out.put("}\n\n")
        }
        open = .none
    }

    private func writeDelta(_ event: StreamEvent, _ list: EventList, _ kind: Open, _ out: inout JSONWriter) {
        if event.text.isEmpty && event.extras.isEmpty { return }
        begin(kind, &out)
        if kind == .plan {
            out.put("event: tool-plan-delta\ndata: {\"type\":\"tool-plan-delta\",\"delta\":{\"message\":{\"tool_plan\":\"")
            out.put(event.text)
            out.put("\"}}}\n\n")
            return
        }
        out.put("event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":")
        out.put(number: contents - 1)
        out.put(kind == .text ? ",\"delta\":{\"message\":{\"content\":{\"text\":\"" : ",\"delta\":{\"message\":{\"content\":{\"thinking\":\"")
        out.put(event.text)
        out.put("\"}}}")
        if list.keepsExtras {
            for at in event.extras where at < list.extras.count && list.extras[at].scope == .event {
                out.put(",\"")
                out.put(list.extras[at].key)
                out.put("\":")
                out.put(list.extras[at].value)
            }
        }
        out.put("}\n\n")
    }

    // MARK: calls

    private func beginCall(_ event: StreamEvent, _ out: inout JSONWriter) {
        start(JSONBytes(), &out)
        close(&out)
        endCall(openCall, &out)
        openCall = event.index
        hasCalls = true
        out.put("event: tool-call-start\ndata: {\"type\":\"tool-call-start\",\"index\":")
        out.put(number: Int64(event.index))
        out.put(",\"delta\":{\"message\":{\"tool_calls\":{\"id\":\"")
        out.put(event.id.isEmpty ? Identifiers.make("call_", seed: context.seed, ordinal: Int(event.index), &arena.arena) : event.id)
        out.put("\",\"type\":\"function\",\"function\":{\"name\":\"")
        out.put(event.name)
        out.put("\",\"arguments\":\"\"}}}}}\n\n")
        arena.arena.reset()
    }

    private func writeArguments(_ event: StreamEvent, _ out: inout JSONWriter) {
        guard event.json.exists || !event.text.isEmpty else { return }
        out.put("event: tool-call-delta\ndata: {\"type\":\"tool-call-delta\",\"index\":")
        out.put(number: Int64(event.index))
        out.put(",\"delta\":{\"message\":{\"tool_calls\":{\"function\":{\"arguments\":\"")
        if event.json.exists { out.put(escaping: event.json.raw) } else { out.put(event.text) }
        out.put("\"}}}}}\n\n")
    }

    private func endCall(_ index: Int32, _ out: inout JSONWriter) {
        guard index >= 0, index == openCall else { return }
        openCall = -1
        out.put("event: tool-call-end\ndata: {\"type\":\"tool-call-end\",\"index\":")
        out.put(number: Int64(index))
        out.put("}\n\n")
    }

    private func writeCitation(_ event: StreamEvent, _ out: inout JSONWriter) {
        out.put("event: citation-start\ndata: {\"type\":\"citation-start\",\"index\":")
        out.put(number: Int64(event.index))
        out.put(",\"delta\":{\"message\":{\"citations\":")
        out.put(event.json)
        out.put("}}}\n\n")
    }

    // MARK: the end

    private func keep(_ event: StreamEvent, _ list: EventList) {
        usage.take(event.usage)
        guard list.keepsExtras else { return }
        usageExtras.removeAll()
        usageArena.reset()
        for at in event.extras where at < list.extras.count && list.extras[at].scope == .usage {
            let extra = list.extras[at]
            usageExtras.append(Extra(.usage, extra.index, key: usageArena.copy(extra.key), value: usageArena.copy(extra.value)))
        }
    }

    private func writeEnd(_ out: inout JSONWriter) {
        start(JSONBytes(), &out)
        close(&out)
        endCall(openCall, &out)
        isOver = true
        out.put("event: message-end\ndata: ")
        JSONPieces.beginRoot(&out)
        out.member("type", "message-end")
        out.key("delta")
        out.beginObject()
        if isOwn {
            nativeFinish.withUnsafeBytes { out.member("finish_reason", JSONBytes($0)) }
        } else {
            out.member("finish_reason", CohereDialect.word(finish, hasCalls: hasCalls))
        }
        if usage.isKnown || !usageExtras.isEmpty {
            out.key("usage")
            CohereDialect.writeUsage(usage, isOwn ? usageExtras : nil, into: &out)
        }
        out.endObject()
        out.endObject()
        out.put("\n\ndata: [DONE]\n\n")
    }

    /// The API has no event for it; a comment is skipped by every parser.
    override func ping(into out: inout JSONWriter) { if !isOver { out.put(": ping\n\n") } }

    /// The answer's end says that it failed; no [DONE] follows.
    override func beginIsWritten() { hasStarted = true }

    override func write(error: ProviderError, into out: inout JSONWriter) {
        if isOver { return }
        start(JSONBytes(), &out)
        isOver = true
        out.put("event: message-end\ndata: ")
        JSONPieces.beginRoot(&out)
        out.member("type", "message-end")
        out.key("delta")
        out.beginObject()
        out.member("finish_reason", error.problem == .timeout ? "TIMEOUT" : "ERROR")
        out.member("error", error.message.isEmpty ? PlainError.sentence(error.problem) : error.message)
        out.endObject()
        out.endObject()
        out.put("\n\n")
    }
}
