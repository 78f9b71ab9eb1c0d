// Writes a stream: `message_start`, the blocks in their order, `message_delta`, `message_stop`, every event with its name in a line of its own, without which
// the official clients ignore it.
//
// A block is opened by the first content of its kind and closed by the next of another kind, by its end where the source has such a thing, or by the
// answer's end. Calls whose fragments come side by side are written one after the other: what comes while the arguments of one are under way waits
// (WaitingBlock), up to 4 MiB and 1,024 blocks. `message_delta` has the final usage, so it is held from the finish until usage or the end is known. A stream
// without an end of its own never gets one here.
//
// Where the source is this dialect too, blocks open and close where they did, and members that nobody else knows are written back.
import ClawWire

final class MessagesStreamWriter: StreamWriter {
    private enum Open: UInt8 { case none, text, thinking, call }
    private static let waitingBytesMax = 4 << 20
    private static let blocksMax = 1024

    private let context: AnswerContext
    /// Ids that are made, and what is held until the end.
    private var arena = JSONArena()
    private var isStarted = false
    /// Nothing is written any more.
    private var isEnded = false

    private var open = Open.none
    /// Of the block that comes next; an open one has the number before it.
    private var next = 0
    private var hasPinged = false
    /// The open block has had a delta.
    private var hasDelta = false
    /// The open call, as the source counts; -1 when none is open.
    private var call: Int32 = -1
    private var scan = ArgumentsScan()
    /// Calls seen, written or waiting.
    private var seen: [Int32] = []
    private var waiting: [WaitingBlock] = []
    private var waitingBytes = 0

    private var usage = Usage()
    private var finish = Finish.unset
    private var native = JSONBytes()
    private var stopSequence = JSONBytes()
    /// Members of the finish event that only this dialect knows.
    private var more = JSONWriter()
    private var isFinished = false
    private var isFinishWritten = false
    private var hasRefusal = false

    init(_ context: AnswerContext) {
        self.context = context
        super.init()
    }

    override func write(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if isEnded { return }
        switch event.kind {
        case .textDelta:
            if event.choice == 0 { text(event, .text, list, &out) }
        case .thinkingDelta:
            if event.choice == 0 { text(event, .thinking, list, &out) }
        case .refusalDelta:
            guard event.choice == 0 else { return }
            if !event.text.isEmpty { hasRefusal = true }
            text(event, .text, list, &out)
        case .callArguments:
            if event.choice == 0 { arguments(event, list, &out) }
        case .callStart:
            if event.choice == 0 { callStart(event, list, &out) }
        case .callEnd:
            if event.choice == 0 { callEnd(event, &out) }
        case .partStart:
            if event.choice == 0 { partStart(event, list, &out) }
        case .partEnd:
            if event.choice == 0 { partEnd(&out) }
        case .signature:
            if event.choice == 0 { signature(event, list, &out) }
        case .redactedThinking:
            if event.choice == 0 { redacted(event, list, &out) }
        case .citation:
            if list.keepsExtras, open == .text { putDelta("citations_delta\",\"citation\":", raw: event.json, &out) }
        case .start: start(event, list, &out)
        case .finish:
            if event.choice == 0 { hold(event, list, &out) }
        case .usage:
            usage.take(event.usage)
            if isFinished, !isFinishWritten { writeFinish(event, list, &out) }
        case .ping:
            if isStarted { ping(into: &out) }
        case .opaque:
            if list.keepsExtras { pass(event, &out) }
        case .error:
            if let error = event.error { write(error: error, into: &out) }
        case .end: end(list, &out)
        }
    }

    override func ping(into out: inout JSONWriter) {
        if !isEnded { out.put("event: ping\ndata: {\"type\": \"ping\"}\n\n") }
    }

    override func write(error: ProviderError, into out: inout JSONWriter) {
        if isEnded { return }
        isEnded = true
        waiting.removeAll()
        out.put("event: error\ndata: {\"type\":\"error\",\"error\":")
        MessagesDialect.putError(error, MessagesDialect.statusAndType(error).1, into: &out)
        out.put("}\n\n")
    }

    private func fail(_ message: StaticString, _ out: inout JSONWriter) {
        var error = ProviderError(status: 502, problem: .serverError)
        error.message = JSONBytes(message)
        write(error: error, into: &out)
    }

    // MARK: start and end

    private func start(_ event: StreamEvent, _ list: EventList, _ out: inout JSONWriter) {
        if isStarted { return }
        isStarted = true
        usage.take(event.usage)
        out.put("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"")
        out.put(MessagesDialect.messageID(event.id, isOwn: list.keepsExtras, context, &arena))
        out.put("\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"")
        out.put(event.name.isEmpty ? context.model : event.name)
        out.put("\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null")
        putExtras(event, .event, list, &out)
        out.put(",\"usage\":")
        if !putNativeUsage(event, list, &out) { MessagesDialect.putUsage(usage, isWhole: true, into: &out) }
        out.put("}}\n\n")
    }

    private func ensureStart(_ list: EventList, _ out: inout JSONWriter) {
        if !isStarted { start(StreamEvent(.start), list, &out) }
    }

    private func hold(_ event: StreamEvent, _ list: EventList, _ out: inout JSONWriter) {
        if isFinished { return }
        if event.finish == .error { return fail("the upstream failed while it answered", &out) }
        ensureStart(list, &out)
        isFinished = true
        finish = event.finish
        if list.keepsExtras {
            native = arena.copy(event.name)
            putExtras(event, .delta, list, &more)
        }
        stopSequence = arena.copy(event.text)
        drain(all: true, &out)
    }

    private func writeFinish(_ event: StreamEvent?, _ list: EventList, _ out: inout JSONWriter) {
        isFinishWritten = true
        close(&out)
        out.put("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"")
        if native.isEmpty {
            out.put(MessagesDialect.stopReason(finish, hasCalls: !seen.isEmpty, hasRefusal: hasRefusal))
        } else {
            out.put(native)
        }
        if stopSequence.exists {
            out.put("\",\"stop_sequence\":\"")
            out.put(stopSequence)
            out.put("\"")
        } else {
            out.put("\",\"stop_sequence\":null")
        }
        out.put(more.written)
        out.put("},\"usage\":")
        if let event, putNativeUsage(event, list, &out) {
            putExtras(event, .event, list, &out)
        } else {
            MessagesDialect.putUsage(usage, isWhole: false, into: &out)
        }
        out.put("}\n\n")
    }

    private func end(_ list: EventList, _ out: inout JSONWriter) {
        ensureStart(list, &out)
        drain(all: true, &out)
        if isEnded { return }
        if !isFinishWritten { writeFinish(nil, list, &out) }
        out.put("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
        isEnded = true
    }

    // MARK: text and thinking

    @inline(__always)
    private func text(_ event: StreamEvent, _ kind: Open, _ list: EventList, _ out: inout JSONWriter) {
        if open != kind || !waiting.isEmpty || event.text.isEmpty {
            if !prepare(event, kind, list, &out) { return }
        }
        hasDelta = true
        out.put("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":")
        out.put(number: Int64(next - 1))
        if kind == .text { out.put(",\"delta\":{\"type\":\"text_delta\",\"text\":\"") } else { out.put(",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"") }
        out.put(event.text)
        out.put("\"")
        if !event.extras.isEmpty { putExtras(event, .delta, list, &out) }
        out.put("}}\n\n")
    }

    /// - Returns: true when the event's text is to be written into the open block.
    private func prepare(_ event: StreamEvent, _ kind: Open, _ list: EventList, _ out: inout JSONWriter) -> Bool {
        if isFinishWritten { return false }
        if event.text.isEmpty { return list.keepsExtras && open == kind && waiting.isEmpty }
        ensureStart(list, &out)
        if mustWait {
            let wanted: WaitingBlock.Kind = kind == .text ? .text : .thinking
            guard let block = waitingBlock(wanted, &out) else { return false }
            add(event.text, to: &block.text, &out)
            return false
        }
        if open != kind { openBlock(kind, event, nil, &out) }
        return true
    }

    private func partStart(_ event: StreamEvent, _ list: EventList, _ out: inout JSONWriter) {
        guard event.partKind == .text || event.partKind == .thinking || event.partKind == .refusal, !isFinishWritten else { return }
        let kind: Open = event.partKind == .thinking ? .thinking : .text
        if mustWait {
            waiting.last?.isEnded = true
        } else if list.keepsExtras {
            ensureStart(list, &out)
            openBlock(kind, event, list, &out)
        } else if open == kind {
            // Another part of the same kind. Opened when there is something in it.
            close(&out)
        }
    }

    private func partEnd(_ out: inout JSONWriter) {
        if let last = waiting.last {
            if last.kind != .call { last.isEnded = true }
        } else if open == .text || open == .thinking {
            close(&out)
        }
    }

    private func signature(_ event: StreamEvent, _ list: EventList, _ out: inout JSONWriter) {
        // A call's own comes with its start or finds no place.
        if event.isCall || event.text.isEmpty && !list.keepsExtras || isFinishWritten { return }
        ensureStart(list, &out)
        let text = Signatures.outward(event.text, of: event.signatureOf, in: .messages, &list.arena.arena)
        if mustWait {
            guard let block = waitingBlock(.thinking, &out) else { return }
            block.signature.reset()
            return add(text, to: &block.signature, &out)
        }
        if open != .thinking { openBlock(.thinking, event, nil, &out) }
        putSignature(text, &out)
    }

    private func redacted(_ event: StreamEvent, _ list: EventList, _ out: inout JSONWriter) {
        if isFinishWritten { return }
        ensureStart(list, &out)
        let data = Signatures.outward(event.text, of: event.signatureOf, in: .messages, &list.arena.arena)
        if mustWait {
            guard let block = waitingBlock(.redacted, &out) else { return }
            add(data, to: &block.text, &out)
            block.isEnded = true
            return
        }
        putRedacted(data, &out)
    }

    // MARK: calls

    private func callStart(_ event: StreamEvent, _ list: EventList, _ out: inout JSONWriter) {
        if isFinishWritten { return }
        ensureStart(list, &out)
        if seen.contains(event.index) {
            // Said again, perhaps with the name that was missing.
            guard let block = waiting.first(where: { $0.kind == .call && $0.index == event.index }) else { return }
            if block.name.count == 0 { add(event.name, to: &block.name, &out) }
            if block.id.count == 0 { add(event.id, to: &block.id, &out) }
            return drain(all: false, &out)
        }
        guard seen.count < Self.blocksMax else { return fail("the answer has more than 1024 calls", &out) }
        seen.append(event.index)
        let signature = Signatures.outward(event.text, of: event.signatureOf, in: .messages, &list.arena.arena)
        if mustWait || event.name.isEmpty {
            let block = WaitingBlock(.call, index: event.index)
            add(event.id, to: &block.id, &out)
            add(event.name, to: &block.name, &out)
            add(signature, to: &block.signature, &out)
            return waiting.append(block)
        }
        if !signature.isEmpty, !list.keepsExtras { putCallSignature(signature, &out) }
        openCall(event.index, id: event.id, name: event.name, &out)
        if !event.extras.isEmpty { putExtras(event, .part, list, &out) }
        out.put("}}\n\n")
        firstPing(list, &out)
    }

    private func arguments(_ event: StreamEvent, _ list: EventList, _ out: inout JSONWriter) {
        if isFinishWritten { return }
        var text = event.text
        if event.json.exists { text = list.arena.arena.escaped(event.json.raw) }
        if open == .call, call == event.index {
            if text.isEmpty, !list.keepsExtras { return }
            putArguments(text, &out)
            if event.json.exists { scan.take(whole: true) } else { scan.take(text) }
            return drain(all: false, &out)
        }
        guard let block = waiting.first(where: { $0.kind == .call && $0.index == event.index }), !block.isEnded else {
            // A call that is closed was whole; more than white space would be lost.
            if !MessagesDialect.isBlank(text) { fail("the arguments of a call came after its end", &out) }
            return
        }
        add(text, to: &block.text, &out)
        if event.json.exists { block.scan.take(whole: true) } else { block.scan.take(text) }
    }

    private func callEnd(_ event: StreamEvent, _ out: inout JSONWriter) {
        if open == .call, call == event.index {
            close(&out)
            return drain(all: false, &out)
        }
        waiting.first { $0.kind == .call && $0.index == event.index }?.isEnded = true
    }

    // MARK: waiting

    /// Something is under way that must not be interrupted.
    private var mustWait: Bool { !waiting.isEmpty || open == .call && !scan.isComplete }

    /// The last one, if it is of this kind and still takes something, or a new one; nil when there are too many.
    private func waitingBlock(_ kind: WaitingBlock.Kind, _ out: inout JSONWriter) -> WaitingBlock? {
        if let last = waiting.last, last.kind == kind, !last.isEnded, kind != .redacted { return last }
        guard waiting.count < Self.blocksMax else {
            fail("the answer has more than 1024 blocks under way", &out)
            return nil
        }
        let block = WaitingBlock(kind)
        waiting.append(block)
        return block
    }

    private func add(_ text: JSONBytes, to writer: inout JSONWriter, _ out: inout JSONWriter) {
        if text.isEmpty { return }
        waitingBytes += text.count
        if waitingBytes > Self.waitingBytesMax { return fail("the calls of the answer are longer than 4 MiB", &out) }
        writer.put(text)
    }

    /// Writes what need not wait any more; `all`: everything.
    private func drain(all: Bool, _ out: inout JSONWriter) {
        while !waiting.isEmpty {
            if open == .call, !scan.isComplete, !all { return }
            let block = waiting[0]
            if block.kind == .call, block.name.count == 0, !all { return }
            waiting.removeFirst()
            waitingBytes -= block.text.count + block.signature.count + block.name.count + block.id.count
            switch block.kind {
            case .redacted: putRedacted(block.text.written, &out)
            case .text, .thinking:
                openBlock(block.kind == .text ? .text : .thinking, StreamEvent(.partStart), nil, &out)
                if block.text.count > 0 {
                    putDelta(block.kind == .text ? "text_delta\",\"text\":\"" : "thinking_delta\",\"thinking\":\"", text: block.text.written, &out)
                }
                if block.signature.count > 0 { putSignature(block.signature.written, &out) }
                if block.isEnded { close(&out) }
            case .call:
                if block.signature.count > 0 { putCallSignature(block.signature.written, &out) }
                openCall(block.index, id: block.id.written, name: block.name.written, &out)
                out.put("}}\n\n")
                firstPing(nil, &out)
                if block.text.count > 0 { putArguments(block.text.written, &out) }
                scan = block.scan
                if block.isEnded { close(&out) }
            }
        }
    }

    // MARK: pieces

    private func close(_ out: inout JSONWriter) {
        if open == .none { return }
        if open == .call {
            // No arguments: some clients parse what they have put together, and nothing is no JSON.
            if !hasDelta { putArguments(JSONBytes("{}"), &out) }
            call = -1
        }
        open = .none
        out.put("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":")
        out.put(number: Int64(next - 1))
        out.put("}\n\n")
    }

    private func beginBlock(_ out: inout JSONWriter) {
        close(&out)
        out.put("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":")
        out.put(number: Int64(next))
        next += 1
        hasDelta = false
    }

    /// `list`: where the event's extras are.
    private func openBlock(_ kind: Open, _ event: StreamEvent, _ list: EventList?, _ out: inout JSONWriter) {
        beginBlock(&out)
        open = kind
        if kind == .text {
            out.put(",\"content_block\":{\"type\":\"text\",\"text\":\"\"")
        } else {
            out.put(",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"")
        }
        if let list { putExtras(event, .part, list, &out) }
        out.put("}}\n\n")
        firstPing(list, &out)
    }

    /// Leaves the block's object open.
    private func openCall(_ index: Int32, id: JSONBytes, name: JSONBytes, _ out: inout JSONWriter) {
        beginBlock(&out)
        open = .call
        call = index
        scan = ArgumentsScan()
        out.put(",\"content_block\":{\"type\":\"tool_use\",\"id\":\"")
        out.put(id.isEmpty ? Identifiers.make("toolu_", seed: context.seed, ordinal: Int(index), &arena) : id)
        out.put("\",\"name\":\"")
        out.put(name)
        out.put("\",\"input\":{}")
    }

    /// As the API does after its first block; a stream of this dialect has its own.
    private func firstPing(_ list: EventList?, _ out: inout JSONWriter) {
        if hasPinged { return }
        hasPinged = true
        if list?.keepsExtras != true { ping(into: &out) }
    }

    private func putDelta(_ head: StaticString, text: JSONBytes, _ out: inout JSONWriter) {
        hasDelta = true
        out.put("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":")
        out.put(number: Int64(next - 1))
        out.put(",\"delta\":{\"type\":\"")
        out.put(head)
        out.put(text)
        out.put("\"}}\n\n")
    }

    private func putDelta(_ head: StaticString, raw: JSONBytes, _ out: inout JSONWriter) {
        hasDelta = true
        out.put("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":")
        out.put(number: Int64(next - 1))
        out.put(",\"delta\":{\"type\":\"")
        out.put(head)
        out.put(raw)
        out.put("}}\n\n")
    }

    private func putArguments(_ text: JSONBytes, _ out: inout JSONWriter) { putDelta("input_json_delta\",\"partial_json\":\"", text: text, &out) }
    private func putSignature(_ text: JSONBytes, _ out: inout JSONWriter) { putDelta("signature_delta\",\"signature\":\"", text: text, &out) }

    /// A block of its own before the call.
    private func putCallSignature(_ text: JSONBytes, _ out: inout JSONWriter) {
        openBlock(.thinking, StreamEvent(.partStart), nil, &out)
        putSignature(text, &out)
        close(&out)
    }

    private func putRedacted(_ data: JSONBytes, _ out: inout JSONWriter) {
        beginBlock(&out)
        out.put(",\"content_block\":{\"type\":\"redacted_thinking\",\"data\":\"")
        out.put(data)
        out.put("\"}}\n\n")
        firstPing(nil, &out)
        // Closed like any other.
        open = .thinking
        close(&out)
    }

    // MARK: what only this dialect knows

    private func pass(_ event: StreamEvent, _ out: inout JSONWriter) {
        if isFinishWritten, event.name.begins(with: "content_block") { return }
        if event.name.equals("content_block_start") {
            close(&out)
            next = Int(event.index) + 1
            hasPinged = true
        }
        out.put("event: ")
        out.put(event.name)
        out.put("\ndata: ")
        out.put(event.json)
        out.put("\n\n")
    }

    private func putExtras(_ event: StreamEvent, _ scope: Extra.Scope, _ list: EventList, _ out: inout JSONWriter) {
        guard list.keepsExtras, event.extras.upperBound <= list.extras.count else { return }
        for at in event.extras where list.extras[at].scope == scope {
            out.put(",\"")
            out.put(list.extras[at].key)
            out.put("\":")
            out.put(list.extras[at].value)
        }
    }

    private func putNativeUsage(_ event: StreamEvent, _ list: EventList, _ out: inout JSONWriter) -> Bool {
        guard list.keepsExtras, event.extras.upperBound <= list.extras.count else { return false }
        for at in event.extras where list.extras[at].scope == .usage {
            out.put(list.extras[at].value)
            return true
        }
        return false
    }
}
