// Writes a stream in the order that OpenAI's SDKs accumulate: response.created, response.in_progress, then for each item output_item.added, its pieces
// (content_part.added, deltas, done, content_part.done) and output_item.done, and at last the whole response with all items and the usage. There is no
// `[DONE]`.
//
// A message or reasoning item ends when something of another kind begins. Calls stay open until their end is said, or the answer's, because some dialects
// may come back to a call after the next one began; each has an `output_index` of its own, so that is well-formed. The last event waits for `.end`: the
// usage may come after the finish reason. Without an `.end` none is written.
//
// The whole answer is kept until then, up to 4 MiB; a longer one ends with an error event.
import ClawWire

extension ResponsesDialect {
    public static func streamWriter(_ context: AnswerContext) -> StreamWriter { ResponsesStreamWriter(context) }
}

final class ResponsesStreamWriter: StreamWriter {
    private static let heldMax = 4 << 20
    /// What an item and a piece of content cost besides their text.
    private static let itemBytes = 2048
    private static let pieceBytes = 256

    private enum Stage { case fresh, open, verbatim, ended }

    private let context: AnswerContext
    private var stage = Stage.fresh
    private var arena = JSONArena()
    private let tape = ArenaBox()
    /// For what is built member by member.
    private var scratch = JSONWriter()
    private var head = ResponsesDialect.ResponseHead()
    private var items: [ResponsesOutputItem] = []
    /// The message or reasoning item under way.
    private var current: ResponsesOutputItem?
    private var calls: [(index: Int32, item: ResponsesOutputItem)] = []
    private var sequence: Int64 = 0
    private var held = 0
    private var usage = Usage()
    private var finish = Finish.unset

    init(_ context: AnswerContext) {
        self.context = context
        super.init()
    }

    override func write(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {
        if stage == .ended { return }
        if event.kind == .opaque, list.keepsExtras { return writeVerbatim(event, into: &out) }
        // The response has one answer.
        if stage == .verbatim || event.choice != 0 { return }
        if stage == .fresh, event.kind != .error, event.kind != .ping { start(event, into: &out) }
        switch event.kind {
        case .textDelta: append(event.text, .text, into: &out)
        case .refusalDelta: append(event.text, .refusal, into: &out)
        case .thinkingDelta: append(event.text, .summary, into: &out)
        case .callArguments: appendArguments(event, into: &out)
        case .start, .usage: usage.take(event.usage)
        case .partStart: if event.partKind == .text || event.partKind == .refusal || event.partKind == .thinking { closePiece(into: &out) }
        case .partEnd: if event.partKind == .thinking { closeCurrent(into: &out) } else { closePiece(into: &out) }
        case .signature: sign(event, into: &out)
        case .redactedThinking:
            closeCurrent(into: &out)
            writeProof(Seal.redacted(event.text, of: event.signatureOf, &arena), into: &out)
        case .callStart: beginCall(event, into: &out)
        case .callEnd: if let item = call(event.index) { close(item, into: &out) }
        case .citation: annotate(event.json, into: &out)
        case .finish: if finish == .unset { finish = event.finish }
        case .ping: ping(into: &out)
        case .error: write(error: event.error ?? ProviderError(status: 500, problem: .serverError), into: &out)
        case .end: end(into: &out)
        case .opaque: break
        }
        if held > Self.heldMax, stage == .open { overflow(into: &out) }
    }

    override func ping(into out: inout JSONWriter) {
        // The API has no event for it; a comment is skipped by every parser.
        if stage != .ended { out.put(": ping\n\n") }
    }

    override func write(error: ProviderError, into out: inout JSONWriter) {
        if stage == .ended { return }
        if stage == .verbatim, error.source == .responses, error.native.contains("\"response.failed\"") {
            writeLine("response.failed", error.native, into: &out)
            stage = .ended
            return
        }
        // Parsers of whole streams want `response.created` before anything else.
        if stage == .fresh { start(StreamEvent(.start), into: &out) }
        out.put("event: error\ndata: {\"type\":\"error\",\"code\":")
        put(ResponsesDialect.code(of: error), into: &out)
        out.put(",\"message\":\"")
        out.put(error.message.isEmpty ? JSONBytes("the upstream could not finish its answer") : error.message)
        out.put("\",\"param\":")
        put(ResponsesDialect.param(of: error), into: &out)
        out.put(",\"sequence_number\":")
        out.put(number: sequence)
        out.put("}\n\n")
        finishUp()
    }

    private func put(_ text: JSONBytes, into out: inout JSONWriter) {
        guard text.exists else { return out.put("null") }
        out.put("\"")
        out.put(text)
        out.put("\"")
    }

    private func overflow(into out: inout JSONWriter) {
        var error = ProviderError(status: 502, problem: .serverError)
        error.code = JSONBytes("upstream_answer_too_large")
        error.message = JSONBytes("the answer is longer than 4 MiB, which is all that is kept of a stream for its last event")
        write(error: error, into: &out)
    }

    private func finishUp() {
        stage = .ended
        items.removeAll()
        calls.removeAll()
        current = nil
    }

    // MARK: events as they came

    private func writeVerbatim(_ event: StreamEvent, into out: inout JSONWriter) {
        guard stage == .fresh || stage == .verbatim else { return }
        stage = .verbatim
        writeLine(event.name, event.json, into: &out)
        if event.number >= 0 { sequence = min(event.number, Int64.max - 1) + 1 }
    }

    private func writeLine(_ name: JSONBytes, _ json: JSONBytes, into out: inout JSONWriter) {
        out.put("event: ")
        out.put(name)
        out.put("\ndata: ")
        // A line break in JSON is white space between values; in an event it would end the line.
        var rest = json
        while let end = rest.raw.firstIndex(where: { $0 == 0x0A || $0 == 0x0D }) {
            out.put(rest.prefix(end))
            rest = rest.dropFirst(end + 1)
        }
        out.put(rest)
        out.put("\n\n")
    }

    private func writeLine(_ name: StaticString, _ json: JSONBytes, into out: inout JSONWriter) { writeLine(JSONBytes(name), json, into: &out) }

    // MARK: the response

    private func start(_ event: StreamEvent, into out: inout JSONWriter) {
        stage = .open
        let isStart = event.kind == .start
        head.id = isStart && event.id.begins(with: "resp_") ? arena.copy(event.id) : Identifiers.make("resp_", seed: context.seed, length: 48, &arena)
        head.model = arena.copy(isStart && !event.name.isEmpty ? event.name : context.model)
        head.created = isStart && event.number > 0 ? event.number : context.now
        writeResponse("response.created", into: &out)
        writeResponse("response.in_progress", into: &out)
    }

    private func writeResponse(_ name: StaticString, into out: inout JSONWriter) {
        open(name, into: &out)
        out.put(",\"response\":")
        scratch.reset()
        scratch.beginObject()
        ResponsesDialect.writeHead(head, into: &scratch)
        scratch.key("output")
        scratch.beginArray()
        // Items that are closed; before the end there are none.
        for item in items where !item.isOpen { scratch.value(item.whole.written) }
        scratch.endArray()
        scratch.key("usage")
        ResponsesDialect.writeUsage(head.ending.status == .inProgress ? Usage() : usage, into: &scratch)
        ResponsesDialect.writeSettings(completed: head.ending.status == .inProgress ? nil : max(context.now, head.created), hasTier: false, into: &scratch)
        scratch.endObject()
        out.put(scratch.written)
        out.put("}\n\n")
        scratch.reset()
    }

    private func end(into out: inout JSONWriter) {
        head.ending = ResponsesDialect.ending(of: finish)
        let last = items.count - 1
        for (place, item) in items.enumerated() where item.isOpen {
            close(item, status: place == last && head.ending.status != .completed ? "incomplete" : "completed", into: &out)
        }
        if held > Self.heldMax { return overflow(into: &out) }
        switch head.ending.status {
        case .incomplete: writeResponse("response.incomplete", into: &out)
        case .failed: writeResponse("response.failed", into: &out)
        case .completed, .inProgress: writeResponse("response.completed", into: &out)
        }
        finishUp()
    }

    /// `event:` and the beginning of `data:`; its object is left open.
    @inline(__always)
    private func open(_ name: StaticString, into out: inout JSONWriter) {
        out.put("event: ")
        out.put(name)
        out.put("\ndata: {\"type\":\"")
        out.put(name)
        out.put("\",\"sequence_number\":")
        out.put(number: sequence)
        sequence += 1
    }

    // MARK: items

    private func begin(
        _ kind: ResponsesOutputItem.Kind, _ prefix: StaticString, callID: JSONBytes = JSONBytes(), name: JSONBytes = JSONBytes(), into out: inout JSONWriter
    ) -> ResponsesOutputItem {
        let item = ResponsesOutputItem(kind, items.count, id: Identifiers.make(prefix, seed: context.seed, ordinal: items.count + 1, length: 48, &arena))
        item.callID = callID
        item.name = name
        items.append(item)
        held += Self.itemBytes
        open("response.output_item.added", into: &out)
        out.put(",\"output_index\":")
        out.put(number: Int64(item.outputIndex))
        out.put(",\"item\":")
        item.write(status: "in_progress", into: &out)
        out.put("}\n\n")
        return item
    }

    private func close(_ item: ResponsesOutputItem, status: StaticString = "completed", into out: inout JSONWriter) {
        guard item.isOpen else { return }
        if item.isCall { closeArguments(item, into: &out) } else { closePiece(of: item, into: &out) }
        item.isOpen = false
        if current === item { current = nil }
        item.write(status: status, into: &item.whole)
        item.text.release()
        item.pieces.release()
        open("response.output_item.done", into: &out)
        out.put(",\"output_index\":")
        out.put(number: Int64(item.outputIndex))
        out.put(",\"item\":")
        out.put(item.whole.written)
        out.put("}\n\n")
    }

    private func closeCurrent(into out: inout JSONWriter) { if let item = current { close(item, into: &out) } }

    // MARK: pieces of content

    /// The current item with a piece of this kind under way.
    @inline(__always)
    private func item(with piece: ResponsesOutputItem.Piece, into out: inout JSONWriter) -> ResponsesOutputItem {
        if let current, current.piece == piece { return current }
        return beginPiece(piece, into: &out)
    }

    private func beginPiece(_ piece: ResponsesOutputItem.Piece, into out: inout JSONWriter) -> ResponsesOutputItem {
        let kind = piece == .summary ? ResponsesOutputItem.Kind.reasoning : .message
        if let current, current.kind != kind { close(current, into: &out) }
        closePiece(into: &out)
        let item = current ?? begin(kind, kind == .reasoning ? "rs_" : "msg_", into: &out)
        current = item
        item.piece = piece
        item.sent = 0
        item.text.reset()
        item.annotations.reset()
        item.annotationCount = 0
        held += Self.pieceBytes
        scratch.reset()
        scratch.put(",\"item_id\":\"")
        scratch.put(item.id)
        scratch.put("\",\"output_index\":")
        scratch.put(number: Int64(item.outputIndex))
        scratch.put(piece == .summary ? ",\"summary_index\":" : ",\"content_index\":")
        scratch.put(number: Int64(item.pieceIndex))
        item.place = arena.copy(scratch.written)
        open(piece == .summary ? "response.reasoning_summary_part.added" : "response.content_part.added", into: &out)
        out.put(item.place)
        out.put(",\"part\":")
        item.writePiece(into: &out)
        out.put("}\n\n")
        return item
    }

    private func append(_ text: JSONBytes, _ piece: ResponsesOutputItem.Piece, into out: inout JSONWriter) {
        if text.isEmpty { return }
        let item = item(with: piece, into: &out)
        item.text.put(text)
        held += text.count
        sendUnsent(item, isLast: false, into: &out)
    }

    private func sendUnsent(_ item: ResponsesOutputItem, isLast: Bool, into out: inout JSONWriter) {
        let delta = item.unsent(isLast: isLast)
        if delta.isEmpty { return }
        switch item.piece {
        case .text: open("response.output_text.delta", into: &out)
        case .refusal: open("response.refusal.delta", into: &out)
        case .summary: open("response.reasoning_summary_text.delta", into: &out)
        case .none: open(item.kind == .custom ? "response.custom_tool_call_input.delta" : "response.function_call_arguments.delta", into: &out)
        }
        out.put(item.place)
        out.put(",\"delta\":\"")
        out.put(delta)
        out.put(item.piece == .text ? "\",\"logprobs\":[]}\n\n" : "\"}\n\n")
    }

    private func closePiece(into out: inout JSONWriter) { if let item = current { closePiece(of: item, into: &out) } }

    private func closePiece(of item: ResponsesOutputItem, into out: inout JSONWriter) {
        if item.piece == .none { return }
        sendUnsent(item, isLast: true, into: &out)
        switch item.piece {
        case .text: open("response.output_text.done", into: &out)
        case .refusal: open("response.refusal.done", into: &out)
        case .summary, .none: open("response.reasoning_summary_text.done", into: &out)
        }
        out.put(item.place)
        out.put(item.piece == .refusal ? ",\"refusal\":\"" : ",\"text\":\"")
        out.put(item.text.written)
        out.put(item.piece == .text ? "\",\"logprobs\":[]}\n\n" : "\"}\n\n")
        open(item.piece == .summary ? "response.reasoning_summary_part.done" : "response.content_part.done", into: &out)
        out.put(item.place)
        out.put(",\"part\":")
        item.writePiece(into: &out)
        out.put("}\n\n")
        if item.pieceIndex > 0 { item.pieces.put(",") }
        item.writePiece(into: &item.pieces)
        item.piece = .none
        item.pieceIndex += 1
    }

    private func annotate(_ json: JSONBytes, into out: inout JSONWriter) {
        guard tape.tape.read(json.raw) == nil else { return }
        scratch.reset()
        guard ResponsesDialect.writeAnnotation(tape.tape.root, into: &scratch) else { return }
        let citation = arena.copy(scratch.written)
        let item = current?.piece == .text ? current.unsafelyUnwrapped : self.item(with: .text, into: &out)
        if item.annotationCount > 0 { item.annotations.put(",") }
        item.annotations.put(citation)
        held += 2 * citation.count
        open("response.output_text.annotation.added", into: &out)
        out.put(item.place)
        out.put(",\"annotation_index\":")
        out.put(number: Int64(item.annotationCount))
        out.put(",\"annotation\":")
        out.put(citation)
        out.put("}\n\n")
        item.annotationCount += 1
    }

    // MARK: proofs

    private func sign(_ event: StreamEvent, into out: inout JSONWriter) {
        if event.text.isEmpty { return }
        if event.isCall {
            guard let call = call(event.index) else { return }
            closeCurrent(into: &out)
            return writeProof(Seal.call(call.callID, event.text, of: event.signatureOf, &arena), into: &out)
        }
        let proof = arena.copy(Signatures.outward(event.text, of: event.signatureOf, in: .responses, &arena))
        held += proof.count
        if let current, current.kind == .reasoning {
            current.proof = proof
        } else {
            closeCurrent(into: &out)
            writeProof(proof, into: &out)
        }
    }

    /// A reasoning item that is nothing but proof.
    private func writeProof(_ proof: JSONBytes, into out: inout JSONWriter) {
        held += proof.count
        let item = begin(.reasoning, "rs_", into: &out)
        item.proof = arena.copy(proof)
        close(item, into: &out)
    }

    // MARK: calls

    private func call(_ index: Int32) -> ResponsesOutputItem? {
        var at = calls.count - 1
        while at >= 0 {
            if calls[at].index == index { return calls[at].item }
            at -= 1
        }
        return nil
    }

    private func beginCall(_ event: StreamEvent, into out: inout JSONWriter) {
        if call(event.index) != nil { return }
        closeCurrent(into: &out)
        let callID = event.id.isEmpty ? Identifiers.make("call_", seed: context.seed, ordinal: Int(event.index), &arena) : arena.copy(event.id)
        if !event.text.isEmpty { writeProof(Seal.call(callID, event.text, of: event.signatureOf, &arena), into: &out) }
        let name = arena.copy(event.name)
        held += callID.count + name.count
        let kind = event.isCustom ? ResponsesOutputItem.Kind.custom : .function
        let item = begin(kind, event.isCustom ? "ctc_" : "fc_", callID: callID, name: name, into: &out)
        scratch.reset()
        scratch.put(",\"item_id\":\"")
        scratch.put(item.id)
        scratch.put("\",\"output_index\":")
        scratch.put(number: Int64(item.outputIndex))
        item.place = arena.copy(scratch.written)
        calls.append((event.index, item))
    }

    private func appendArguments(_ event: StreamEvent, into out: inout JSONWriter) {
        guard let item = call(event.index), item.isOpen else { return }
        let before = item.text.count
        if event.json.exists { item.text.put(escaping: event.json.raw) } else { item.text.put(event.text) }
        held += item.text.count - before
        sendUnsent(item, isLast: false, into: &out)
    }

    private func closeArguments(_ item: ResponsesOutputItem, into out: inout JSONWriter) {
        if item.text.count == 0, item.kind == .function { item.text.put("{}") }
        sendUnsent(item, isLast: true, into: &out)
        open(item.kind == .custom ? "response.custom_tool_call_input.done" : "response.function_call_arguments.done", into: &out)
        out.put(item.place)
        out.put(item.kind == .custom ? ",\"input\":\"" : ",\"arguments\":\"")
        out.put(item.text.written)
        out.put("\"}\n\n")
    }
}
