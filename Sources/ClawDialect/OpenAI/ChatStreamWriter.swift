// Writes a chat stream (with `isLegacy`, one of the old completions) of any reader's events: a role chunk first for each choice, one id and one `created` on
// all chunks, a finish chunk once, the usage in a chunk of its own when it was asked for, `[DONE]` at the end and only there.
//
// What all chunks begin with is made once, at the start, and copied. Usage is held until the end, because dialects state it before, with or after the finish.
// An error is the last thing: after it nothing is written, not even an end.
import ClawWire

final class ChatStreamWriter: StreamWriter {
    private struct Call {
        var choice: Int32
        var index: Int32
        var isCustom: Bool
        var hasArguments: Bool
    }
    /// A call that waits until it is whole.
    private final class WaitingCall {
        let choice: Int32
        let index: Int32
        var id = JSONWriter(limit: 1 << 12)
        var name = JSONWriter(limit: 1 << 12)
        var arguments = JSONWriter(limit: ChatStreamWriter.waitingBytesMax)
        init(choice: Int32, index: Int32) {
            self.choice = choice
            self.index = index
        }
    }
    private static let callsMax = 1024
    /// Of all calls that wait, together.
    private static let waitingBytesMax = 4 << 20
    /// Usage objects of the source and what stood beside them; more is dropped, as no provider has so much.
    private static let keptMax = 1 << 14

    private let context: AnswerContext
    private let isLegacy: Bool
    /// `data: {"id":…,"model":…` and the members that all chunks have, up to the comma before `choices`.
    private var head = JSONWriter(limit: 1 << 16)
    private var usage = Usage()
    /// The source's own usage object, and members of its chunk.
    private var ownUsage = JSONWriter(limit: ChatStreamWriter.keptMax)
    private var besideUsage = JSONWriter(limit: ChatStreamWriter.keptMax)
    private var opened: UInt128 = 0
    private var finished: UInt128 = 0
    private var calls: [Call] = []
    /// Of a client that takes whole calls only.
    private var waiting: [WaitingCall] = []
    private var waitingBytes = 0
    private var hasEnded = false
    private var detailIndex: Int64 = 0

    init(_ context: AnswerContext, isLegacy: Bool) {
        self.context = context
        self.isLegacy = isLegacy
    }

    override func write(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if hasEnded { return }
        switch event.kind {
        case .textDelta: if !event.text.isEmpty || !event.extras.isEmpty { writeText(event, list, into: &out) }
        case .thinkingDelta: writeThought(event, list, into: &out)
        case .callArguments: writeArguments(event, list, into: &out)
        case .callStart: writeCall(event, list, into: &out)
        case .refusalDelta where !isLegacy:
            if !event.text.isEmpty {
                beginDelta(event, list, into: &out)
                out.member("refusal", event.text)
                endDelta(event, list, into: &out)
            }
        case .start: start(event, list, into: &out)
        case .finish: writeFinish(event, list, into: &out)
        case .usage: keep(event, list)
        case .signature: writeSignature(event, list, into: &out)
        case .redactedThinking: writeHidden(event, list, into: &out)
        case .opaque: if list.keepsExtras { writeOpaque(event, into: &out) }
        case .ping: ping(into: &out)
        case .error: if let error = event.error { write(error: error, into: &out) }
        case .end: writeEnd(into: &out)
        // A citation in another dialect's words has no place here; one of Mistral's goes back into its list.
        case .citation: if list.keepsExtras, !isLegacy, context.client != .openAI { writeInList(event, list, into: &out) }
        case .partStart, .partEnd, .callEnd, .refusalDelta: break
        }
    }

    override func write(error: ProviderError, into out: inout JSONWriter) {
        if hasEnded { return }
        hasEnded = true
        out.put("data: ")
        out.expect(comma: false)
        out.beginObject()
        ChatDialect.writeErrorMembers(error, requestID: JSONBytes(), into: &out)
        out.endObject()
        out.put("\n\n")
    }

    override func ping(into out: inout JSONWriter) { out.put(": keep-alive\n\n") }

    // MARK: the start

    private func start(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if head.count == 0 { makeHead(event, list) }
        open(0, into: &out)
    }

    private func makeHead(_ event: StreamEvent, _ list: EventList) {
        let prefix: StaticString = isLegacy ? "cmpl-" : "chatcmpl-"
        let isOurs = !event.id.isEmpty && (list.keepsExtras || event.id.begins(with: prefix))
        head.reset()
        head.put("data: ")
        head.beginObject()
        head.member("id", isOurs ? event.id : Identifiers.make(prefix, seed: context.seed, length: 29, &list.arena.arena))
        head.member("object", isLegacy ? "text_completion" : "chat.completion.chunk")
        head.member("created", event.number > 0 ? event.number : context.now)
        head.member("model", event.name.isEmpty ? context.model : event.name)
        if list.keepsExtras {
            for extra in list.extras[event.extras] where extra.scope == .event { ChatDialect.write(extra, into: &head) }
        }
    }

    /// Only where a reader forgot its start.
    private func needHead(_ list: EventList) {
        if head.count == 0 { makeHead(StreamEvent(.start), list) }
    }

    private func open(_ choice: Int32, into out: inout JSONWriter) {
        let bit = bit(choice)
        if opened & bit != 0 { return }
        opened |= bit
        if isLegacy { return }
        out.put(head.written)
        out.put(",\"choices\":[{\"index\":")
        out.put(number: Int64(choice))
        out.put(",\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"finish_reason\":null}]")
        endChunk(into: &out)
    }

    private func bit(_ choice: Int32) -> UInt128 { 1 << UInt128(UInt8(truncatingIfNeeded: max(0, min(127, choice)))) }

    // MARK: chunks

    @inline(__always)
    private func endChunk(into out: inout JSONWriter) {
        if context.includesUsage { out.put(",\"usage\":null}\n\n") } else { out.put("}\n\n") }
    }

    /// A chunk up to the inside of its delta.
    private func beginDelta(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        needHead(list)
        open(event.choice, into: &out)
        out.put(head.written)
        out.put(",\"choices\":[{\"index\":")
        out.put(number: Int64(event.choice))
        out.put(",\"delta\":{")
        out.expect(comma: false)
    }

    private func endDelta(_ event: StreamEvent, _ list: EventList, _ finish: JSONBytes = JSONBytes(), into out: inout JSONWriter) {
        let hasExtras = list.keepsExtras && !event.extras.isEmpty
        if hasExtras { for extra in list.extras[event.extras] where extra.scope == .delta { ChatDialect.write(extra, into: &out) } }
        endChoice(event, list, finish, hasExtras, "},\"finish_reason\":", into: &out)
    }

    private func endChoice(
        _ event: StreamEvent, _ list: EventList, _ finish: JSONBytes, _ hasExtras: Bool, _ between: StaticString, into out: inout JSONWriter
    ) {
        out.put(between)
        if finish.exists {
            out.put(byte: 0x22)
            out.put(finish)
            out.put(byte: 0x22)
        } else {
            out.put("null")
        }
        if hasExtras {
            for extra in list.extras[event.extras] where extra.scope == .choice { put(extra, into: &out) }
            out.put("}]")
            for extra in list.extras[event.extras] where extra.scope == .event { put(extra, into: &out) }
        } else {
            out.put("}]")
        }
        endChunk(into: &out)
    }

    private func put(_ extra: Extra, into out: inout JSONWriter) {
        out.put(",\"")
        out.put(extra.key)
        out.put("\":")
        out.put(extra.value)
    }

    private func writeText(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if isLegacy { return writeLegacyText(event, list, JSONBytes(), into: &out) }
        beginDelta(event, list, into: &out)
        if !event.text.isEmpty {
            out.put("\"content\":\"")
            out.put(event.text)
            out.put(byte: 0x22)
            out.expect(comma: true)
        }
        endDelta(event, list, into: &out)
    }

    private func writeLegacyText(_ event: StreamEvent, _ list: EventList, _ finish: JSONBytes, into out: inout JSONWriter) {
        needHead(list)
        opened |= bit(event.choice)
        out.put(head.written)
        out.put(",\"choices\":[{\"index\":")
        out.put(number: Int64(event.choice))
        out.put(",\"text\":\"")
        if event.kind == .textDelta { out.put(event.text) }
        let hasExtras = list.keepsExtras && !event.extras.isEmpty
        let hasLogprobs = hasExtras && list.extras[event.extras].contains { $0.scope == .choice && $0.key.equals("logprobs") }
        endChoice(event, list, finish, hasExtras, hasLogprobs ? "\",\"finish_reason\":" : "\",\"logprobs\":null,\"finish_reason\":", into: &out)
    }

    // MARK: thoughts

    private func writeThought(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if isLegacy || (event.text.isEmpty && event.extras.isEmpty && !(list.keepsExtras && event.json.exists)) { return }
        if list.keepsExtras, event.json.exists, context.client != .openAI { return writeInList(event, list, into: &out) }
        beginDelta(event, list, into: &out)
        if !list.keepsExtras, context.client == .mistral {
            out.key("content")
            out.beginArray()
            ChatDialect.writeThinking(event.text, into: &out)
            out.endArray()
            return endDelta(event, list, into: &out)
        }
        // Text that stood in the details alone goes back with them.
        if !event.text.isEmpty, !(list.keepsExtras && event.name.equals("reasoning_details")) {
            out.member(list.keepsExtras && event.name.equals("reasoning") ? "reasoning" : "reasoning_content", event.text)
        }
        endDelta(event, list, into: &out)
    }

    /// A part of a list as content (Mistral), as it was.
    private func writeInList(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        beginDelta(event, list, into: &out)
        out.key("content")
        out.beginArray()
        out.value(event.json)
        out.endArray()
        endDelta(event, list, into: &out)
    }

    private func writeSignature(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if isLegacy { return }
        let proof = Signatures.outward(event.text, of: event.signatureOf, in: .chat, &list.arena.arena)
        if event.isCall {
            beginDelta(event, list, into: &out)
            beginCall(event.index, into: &out)
            ChatDialect.writeProof(proof, into: &out)
            endCall(into: &out)
            return endDelta(event, list, into: &out)
        }
        // The same dialect's details went as they came, with the event they came with.
        if list.keepsExtras {
            if !event.extras.isEmpty { writeEmpty(event, list, into: &out) }
            return
        }
        writeDetail(true, proof, event, list, into: &out)
        detailIndex += 1
    }

    private func writeHidden(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if isLegacy { return }
        if list.keepsExtras {
            if !event.extras.isEmpty { writeEmpty(event, list, into: &out) }
            return
        }
        writeDetail(false, Signatures.outward(event.text, of: event.signatureOf, in: .chat, &list.arena.arena), event, list, into: &out)
        detailIndex += 1
    }

    private func writeDetail(_ isText: Bool, _ proof: JSONBytes, _ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        beginDelta(event, list, into: &out)
        out.key("reasoning_details")
        out.beginArray()
        ChatDialect.writeDetail(isText, text: JSONBytes(""), proof, detailIndex, into: &out)
        out.endArray()
        endDelta(event, list, into: &out)
    }

    private func writeEmpty(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        beginDelta(event, list, into: &out)
        endDelta(event, list, into: &out)
    }

    // MARK: calls

    private func beginCall(_ index: Int32, into out: inout JSONWriter) {
        out.key("tool_calls")
        out.beginArray()
        out.beginObject()
        out.member("index", Int64(index))
    }

    private func endCall(into out: inout JSONWriter) {
        out.endObject()
        out.endArray()
    }

    private func place(_ event: StreamEvent) -> Int? { calls.lastIndex { $0.index == event.index && $0.choice == event.choice } }

    private func writeCall(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if isLegacy { return }
        guard calls.count < Self.callsMax else { return overflow(into: &out) }
        calls.append(Call(choice: event.choice, index: event.index, isCustom: event.isCustom, hasArguments: false))
        let ordinal = Int(event.choice) * Self.callsMax + Int(event.index)
        if context.client == .mistral {
            let call = WaitingCall(choice: event.choice, index: event.index)
            call.id.put(event.id.isEmpty ? Identifiers.make("call_", seed: context.seed, ordinal: ordinal, &list.arena.arena) : event.id)
            call.name.put(event.name)
            return waiting.append(call)
        }
        beginDelta(event, list, into: &out)
        if list.keepsExtras, event.number == 1 {
            out.key("function_call")
            out.beginObject()
            out.member("name", event.name)
            out.member("arguments", "")
            out.endObject()
            return endDelta(event, list, into: &out)
        }
        beginCall(event.index, into: &out)
        out.member("id", event.id.isEmpty ? Identifiers.make("call_", seed: context.seed, ordinal: ordinal, &list.arena.arena) : event.id)
        out.member("type", event.isCustom ? "custom" : "function")
        out.key(event.isCustom ? "custom" : "function")
        out.beginObject()
        out.member("name", event.name)
        out.member(event.isCustom ? "input" : "arguments", "")
        out.endObject()
        if !event.text.isEmpty { ChatDialect.writeProof(Signatures.outward(event.text, of: event.signatureOf, in: .chat, &list.arena.arena), into: &out) }
        endCall(into: &out)
        endDelta(event, list, into: &out)
    }

    private func tooLong(into out: inout JSONWriter) {
        var error = ProviderError(status: 502, problem: .serverError)
        error.message = JSONBytes("the upstream's tool calls are longer than 4 MiB")
        error.code = JSONBytes("upstream_malformed_answer")
        waiting.removeAll()
        write(error: error, into: &out)
    }

    private func overflow(into out: inout JSONWriter) {
        var error = ProviderError(status: 502, problem: .serverError)
        error.message = JSONBytes("the upstream's answer has more than 1024 tool calls")
        error.code = JSONBytes("upstream_malformed_answer")
        write(error: error, into: &out)
    }

    private func writeArguments(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if isLegacy || (event.text.isEmpty && !event.json.exists && event.extras.isEmpty) { return }
        let place = place(event)
        if let place, !event.text.isEmpty || event.json.exists { calls[place].hasArguments = true }
        let isCustom = place.map { calls[$0].isCustom } ?? event.isCustom
        if context.client == .mistral {
            guard let call = waiting.last(where: { $0.index == event.index && $0.choice == event.choice }) else { return }
            let before = call.arguments.count
            if event.json.exists { call.arguments.put(escaping: event.json.raw) } else { call.arguments.put(event.text) }
            waitingBytes += call.arguments.count - before
            if call.arguments.isOverflown || waitingBytes > Self.waitingBytesMax { tooLong(into: &out) }
            return
        }
        beginDelta(event, list, into: &out)
        let isFunctionCall = list.keepsExtras && event.number == 1
        if isFunctionCall {
            out.key("function_call")
            out.beginObject()
        } else {
            beginCall(event.index, into: &out)
            out.key(isCustom ? "custom" : "function")
            out.beginObject()
        }
        out.key(isCustom ? "input" : "arguments")
        if event.json.exists { out.string(escaping: event.json.raw) } else { out.string(event.text) }
        out.endObject()
        if !isFunctionCall { endCall(into: &out) }
        endDelta(event, list, into: &out)
    }

    // MARK: the end

    private func writeFinish(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        let bit = bit(event.choice)
        if finished & bit != 0 { return }
        if event.finish == .error {
            var error = ProviderError(status: 502, problem: .serverError)
            error.message = JSONBytes("the upstream says that generating this answer failed")
            error.code = JSONBytes("upstream_failed")
            return write(error: error, into: &out)
        }
        finished |= bit
        let hasCalls = calls.contains { $0.choice == event.choice }
        if hasCalls { completeCalls(event, list, into: &out) }
        if hasEnded { return }
        let word = list.keepsExtras && event.name.exists ? event.name : JSONBytes(ChatDialect.word(of: event.finish, hasCalls: hasCalls))
        if isLegacy {
            // Of OpenAI's five words the old endpoint has three.
            return writeLegacyText(event, list, word.equals("tool_calls") ? JSONBytes("stop") : word, into: &out)
        }
        beginDelta(event, list, into: &out)
        endDelta(event, list, word, into: &out)
    }

    /// Calls without arguments: an empty string is no JSON, which clients parse.
    private func completeCalls(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        for at in calls.indices where calls[at].choice == event.choice && !calls[at].hasArguments && !calls[at].isCustom {
            calls[at].hasArguments = true
            var rest = StreamEvent(.callArguments)
            rest.choice = event.choice
            rest.index = calls[at].index
            rest.text = JSONBytes("{}")
            writeArguments(rest, list, into: &out)
        }
        writeWaiting(event, list, into: &out)
    }

    private func writeWaiting(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        let whole = waiting.filter { $0.choice == event.choice }
        if whole.isEmpty { return }
        waiting.removeAll { $0.choice == event.choice }
        if whole.contains(where: { $0.name.isOverflown || $0.id.isOverflown }) { return tooLong(into: &out) }
        var about = StreamEvent(.callStart)
        about.choice = event.choice
        beginDelta(about, list, into: &out)
        out.key("tool_calls")
        out.beginArray()
        for call in whole {
            out.beginObject()
            out.member("index", Int64(call.index))
            out.member("id", JSONBytes(call.id.bytes))
            out.member("type", "function")
            out.key("function")
            out.beginObject()
            out.member("name", JSONBytes(call.name.bytes))
            out.member("arguments", JSONBytes(call.arguments.bytes))
            out.endObject()
            out.endObject()
        }
        out.endArray()
        endDelta(about, list, into: &out)
    }

    private func keep(_ event: StreamEvent, _ list: EventList) {
        usage.take(event.usage)
        guard list.keepsExtras else { return }
        if event.json.exists, event.json.count < Self.keptMax {
            ownUsage.reset()
            ownUsage.put(event.json)
        }
        if event.extras.isEmpty { return }
        besideUsage.reset()
        for extra in list.extras[event.extras] where extra.scope == .event { put(extra, into: &besideUsage) }
        if besideUsage.isOverflown { besideUsage.reset() }
    }

    private func writeOpaque(_ event: StreamEvent, into out: inout JSONWriter) {
        if !event.name.isEmpty {
            out.put("event: ")
            out.put(event.name)
            out.put(byte: 0x0A)
        }
        out.put("data: ")
        out.put(event.json)
        out.put("\n\n")
    }

    private func writeEnd(into out: inout JSONWriter) {
        hasEnded = true
        if context.includesUsage, usage.isKnown, head.count > 0 {
            out.put(head.written)
            out.put(",\"choices\":[],\"usage\":")
            if ownUsage.count > 0 {
                out.put(ownUsage.written)
            } else {
                out.expect(comma: false)
                ChatDialect.writeUsage(usage, into: &out)
            }
            out.put(besideUsage.written)
            out.put("}\n\n")
        }
        out.put("data: [DONE]\n\n")
    }
}
