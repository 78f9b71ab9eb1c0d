// Writes ConverseStream as frames. Blocks are numbered in the order in which they open. A stream read from Converse is written event by event as it came;
// of any other, `messageStop` waits for the end, so that a stream that breaks off never looks whole, and `metadata` follows it.
import ClawWire

extension ConverseDialect {
    public static func streamWriter(_ context: AnswerContext) -> StreamWriter { ConverseStreamWriter(context) }
}

final class ConverseStreamWriter: StreamWriter {
    private static let callsMax = 1024
    private let context: AnswerContext
    private var isStarted = false
    private var isEnded = false
    private var hasStop = false
    private var hasMetadata = false
    private var next: Int64 = 0
    private var isOpen = false
    private var openKind = Part.Kind.text
    private var calls: [(block: Int64, isOpen: Bool)] = []
    private var finish = Finish.unset
    private var usage = Usage()

    init(_ context: AnswerContext) { self.context = context }

    override func write(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if isEnded || event.choice != 0 { return }
        switch event.kind {
        case .start: start(event, list, into: &out)
        case .partStart: close(into: &out)
        case .partEnd: close(into: &out)
        case .textDelta, .refusalDelta:
            if event.text.isEmpty, !list.keepsExtras { return }
            open(.text, list, into: &out)
            let frame = beginDelta(next - 1, into: &out)
            out.member("text", event.text)
            endDelta(frame, into: &out)
        case .thinkingDelta:
            if event.text.isEmpty, !list.keepsExtras { return }
            open(.thinking, list, into: &out)
            writeReasoning("text", event.text, into: &out)
        case .signature:
            if event.isCall || event.text.isEmpty { return }
            open(.thinking, list, into: &out)
            writeReasoning("signature", Signatures.outward(event.text, of: event.signatureOf, in: .converse, &list.arena.arena), into: &out)
        case .redactedThinking:
            close(into: &out)
            open(.redactedThinking, list, into: &out)
            let data = list.keepsExtras ? event.text : ConverseDialect.redacted(event.text, of: event.signatureOf ?? .messages, &list.arena.arena)
            writeReasoning("redactedContent", data, into: &out)
        case .callStart: writeCall(event, list, into: &out)
        case .callArguments: writeArguments(event, list, into: &out)
        case .callEnd: closeCall(Int(event.index), into: &out)
        case .citation:
            guard list.keepsExtras else { return }
            open(.text, list, into: &out)
            let frame = beginDelta(next - 1, into: &out)
            out.member("citation", raw: event.json)
            endDelta(frame, into: &out)
        case .finish:
            if finish == .unset { finish = event.finish }
            if list.keepsExtras { writeStop(event.name, event, list, into: &out) }
        case .usage:
            usage.take(event.usage)
            if list.keepsExtras { writeMetadata(event, list, into: &out) }
        case .opaque: if list.keepsExtras { passOn(event, into: &out) }
        case .end:
            start(event, list, into: &out)
            writeStop(JSONBytes(), nil, list, into: &out)
            // A stream of Converse's own without metadata stays one.
            if !list.keepsExtras { writeMetadata(nil, list, into: &out) }
            isEnded = true
        case .error: if let error = event.error { write(error: error, into: &out) }
        case .ping: break
        }
    }

    override func write(error: ProviderError, into out: inout JSONWriter) {
        if isEnded { return }
        isEnded = true
        let isOwn = error.source == .converse && !error.type.isEmpty
        let type = isOwn && error.type.count <= 256 ? error.type : JSONBytes(ConverseDialect.exceptionType(of: error.problem))
        let frame = FrameWriter.exception(type, into: &out)
        if isOwn, error.native.exists {
            out.value(error.native)
        } else {
            out.beginObject()
            out.member("message", error.message.exists ? error.message : JSONBytes(""))
            out.endObject()
        }
        frame.end(&out)
    }

    // MARK: events

    private func start(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        guard !isStarted else { return }
        isStarted = true
        let frame = FrameWriter.event(JSONBytes("messageStart"), into: &out)
        out.beginObject()
        out.member("role", "assistant")
        if event.kind == .start { writeExtras(event, .event, list, into: &out) }
        out.endObject()
        frame.end(&out)
    }

    private func writeStop(_ native: JSONBytes, _ event: StreamEvent?, _ list: EventList, into out: inout JSONWriter) {
        guard !hasStop else { return }
        hasStop = true
        close(into: &out)
        closeCalls(into: &out)
        let frame = FrameWriter.event(JSONBytes("messageStop"), into: &out)
        out.beginObject()
        if native.exists {
            out.member("stopReason", native)
        } else {
            out.member("stopReason", ConverseDialect.word(of: finish, hasCalls: !calls.isEmpty))
        }
        if let event { writeExtras(event, .event, list, into: &out) }
        out.endObject()
        frame.end(&out)
    }

    private func writeMetadata(_ event: StreamEvent?, _ list: EventList, into out: inout JSONWriter) {
        guard !hasMetadata else { return }
        hasMetadata = true
        let frame = FrameWriter.event(JSONBytes("metadata"), into: &out)
        out.beginObject()
        out.key("usage")
        out.beginObject()
        ConverseDialect.writeUsage(usage, isOwn: event != nil, into: &out)
        if let event { writeExtras(event, .usage, list, into: &out) }
        out.endObject()
        if let event {
            writeExtras(event, .event, list, into: &out)
        } else {
            out.key("metrics")
            out.beginObject()
            out.member("latencyMs", Int64(0))
            out.endObject()
        }
        out.endObject()
        frame.end(&out)
    }

    private func writeExtras(_ event: StreamEvent, _ scope: Extra.Scope, _ list: EventList, into out: inout JSONWriter) {
        for at in event.extras where list.extras[at].scope == scope {
            out.key(list.extras[at].key)
            out.value(list.extras[at].value)
        }
    }

    private func passOn(_ event: StreamEvent, into out: inout JSONWriter) {
        guard event.name.count <= 256 else { return }
        // A block that the reader left whole has its number among the others.
        if event.name.equals("contentBlockStart") { next += 1 }
        let frame = FrameWriter.event(event.name, into: &out)
        out.value(event.json)
        frame.end(&out)
    }

    // MARK: blocks

    private func open(_ kind: Part.Kind, _ list: EventList, into out: inout JSONWriter) {
        if isOpen, openKind == kind { return }
        start(StreamEvent(.ping), list, into: &out)
        close(into: &out)
        closeCalls(into: &out)
        isOpen = true
        openKind = kind
        next += 1
    }

    private func close(into out: inout JSONWriter) {
        guard isOpen else { return }
        isOpen = false
        writeBlockStop(next - 1, into: &out)
    }

    private func writeBlockStop(_ block: Int64, into out: inout JSONWriter) {
        let frame = FrameWriter.event(JSONBytes("contentBlockStop"), into: &out)
        out.beginObject()
        out.member("contentBlockIndex", block)
        out.endObject()
        frame.end(&out)
    }

    private func beginDelta(_ block: Int64, into out: inout JSONWriter) -> FrameWriter {
        let frame = FrameWriter.event(JSONBytes("contentBlockDelta"), into: &out)
        out.beginObject()
        out.member("contentBlockIndex", block)
        out.key("delta")
        out.beginObject()
        return frame
    }

    private func endDelta(_ frame: FrameWriter, into out: inout JSONWriter) {
        out.endObject()
        out.endObject()
        frame.end(&out)
    }

    private func writeReasoning(_ key: StaticString, _ text: JSONBytes, into out: inout JSONWriter) {
        let frame = beginDelta(next - 1, into: &out)
        out.key("reasoningContent")
        out.beginObject()
        out.member(key, text)
        out.endObject()
        endDelta(frame, into: &out)
    }

    // MARK: calls

    private func writeCall(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        guard calls.count < Self.callsMax else {
            var error = ProviderError(status: 502, problem: .serverError)
            error.message = JSONBytes("the answer has more than 1024 calls")
            return write(error: error, into: &out)
        }
        start(StreamEvent(.ping), list, into: &out)
        close(into: &out)
        // Calls are numbered as they come, so one that is skipped leaves no gap; calls before it stay open, for their arguments may come in turns.
        let ordinal = calls.count
        calls.append((next, true))
        next += 1
        let frame = FrameWriter.event(JSONBytes("contentBlockStart"), into: &out)
        out.beginObject()
        out.member("contentBlockIndex", calls[ordinal].block)
        out.key("start")
        out.beginObject()
        out.key("toolUse")
        out.beginObject()
        out.member("toolUseId", event.id.isEmpty ? Identifiers.make("tooluse_", seed: context.seed, ordinal: ordinal, &list.arena.arena) : event.id)
        out.member("name", event.name)
        out.endObject()
        out.endObject()
        out.endObject()
        frame.end(&out)
    }

    private func writeArguments(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        let ordinal = Int(event.index)
        guard calls.indices.contains(ordinal), calls[ordinal].isOpen, !event.text.isEmpty || !event.json.isEmpty || list.keepsExtras else { return }
        let frame = beginDelta(calls[ordinal].block, into: &out)
        out.key("toolUse")
        out.beginObject()
        out.key("input")
        if event.json.isEmpty { out.string(event.text) } else { out.string(escaping: event.json.raw) }
        out.endObject()
        endDelta(frame, into: &out)
    }

    private func closeCall(_ ordinal: Int, into out: inout JSONWriter) {
        guard calls.indices.contains(ordinal), calls[ordinal].isOpen else { return }
        calls[ordinal].isOpen = false
        writeBlockStop(calls[ordinal].block, into: &out)
    }

    private func closeCalls(into out: inout JSONWriter) {
        guard let last = calls.last, last.isOpen || calls.contains(where: { $0.isOpen }) else { return }
        for ordinal in calls.indices { closeCall(ordinal, into: &out) }
    }
}
