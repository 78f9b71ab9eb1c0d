// Reads a stream of named events. Their order within an item is fixed, but servers differ in which of them they send: the text of a part may come in deltas,
// or only in its `done`, or only with its item; a call's arguments likewise. Each is taken where it comes first.
//
// When the stream is written in this dialect again (`keepsExtras`), each event goes on whole, as an opaque event before its neutral ones, and the writer
// passes it through: 58 kinds of events, most of which mean nothing to the model, keep all their members.
import ClawWire

extension ResponsesDialect {
    public static func streamReader(_ quirks: Quirks) -> StreamReader { ResponsesStreamReader() }
}

final class ResponsesStreamReader: StreamReader {
    /// Calls of an answer that are told apart.
    private static let callsMax = 4096

    private struct Call {
        var outputIndex: Int64
        var hasArguments = false
    }

    private var hasStarted = false
    private var calls: [Call] = []
    /// Counts content parts and reasoning items: the neutral events' part ordinal.
    private var ordinal = -1
    /// The part or item under way has given text.
    private var partHasText = false
    private var itemHasText = false
    private var isPartOpen = false
    private var isThinkingOpen = false
    /// A thought was given, and what comes next in the same item is another section.
    private var isSectionDue = false

    override func read(_ event: WireEvent, into list: EventList) {
        if sawEnd { return }
        // Not of this API, but some servers close every stream with it.
        if event.kind == .done { return }
        guard list.arena.tape.read(event.data) == nil, list.arena.tape.root.isObject else { return fail(into: list) }
        let root = list.arena.tape.root
        let name = event.name.isEmpty || event.name.equals("message") ? root["type"].text : event.name
        if name.equals("response.output_text.delta") {
            begin(root, name, list)
            return delta(.textDelta, root["delta"].text, list)
        }
        if name.equals("error") || (!name.begins(with: "response.") && root["error"].isObject) {
            return fail(with: ResponsesDialect.inBand(root), into: list)
        }
        if name.equals("response.failed") || name.equals("response.cancelled") {
            var error = ResponsesDialect.inBand(root["response"]["error"])
            if !error.message.exists { error.message = JSONBytes("the upstream could not finish its answer") }
            error.native = root.raw
            return fail(with: error, into: list)
        }
        guard name.begins(with: "response.") else {
            if name.equals("ping") || name.equals("keepalive") { list.add(.ping) }
            if name.isEmpty { fail(into: list) }
            return
        }
        begin(root, name, list)
        readNamed(name.dropFirst(9), root, list)
    }

    // MARK: begin and end

    private func begin(_ root: JSONValue, _ name: JSONBytes, _ list: EventList) {
        if list.keepsExtras {
            var whole = StreamEvent(.opaque)
            whole.name = name
            whole.json = root.raw
            whole.number = root["sequence_number"].int ?? -1
            list.add(whole)
        }
        if hasStarted { return }
        hasStarted = true
        let response = root["response"]
        var start = StreamEvent(.start)
        start.id = response["id"].text
        start.name = response["model"].text
        start.number = response["created_at"].int ?? 0
        list.add(start)
    }

    private func end(_ response: JSONValue, _ list: EventList) {
        closeThinking(list)
        let usage = ResponsesDialect.readUsage(response["usage"])
        if usage.isKnown {
            var event = StreamEvent(.usage)
            event.usage = usage
            list.add(event)
        }
        let (finish, native) = ResponsesDialect.readFinish(response, hasCalls: !calls.isEmpty)
        var event = StreamEvent(.finish)
        event.finish = finish
        event.name = native
        list.add(event)
        list.add(.end)
        sawFinish = true
        sawEnd = true
    }

    private func fail(into list: EventList) {
        var error = ProviderError(status: 502, problem: .serverError)
        error.source = .responses
        error.code = JSONBytes("upstream_malformed_answer")
        error.message = JSONBytes("the upstream sent an event that is none of this API's")
        fail(with: error, into: list)
    }

    private func fail(with error: ProviderError, into list: EventList) {
        var event = StreamEvent(.error)
        event.error = error
        list.add(event)
        sawEnd = true
    }

    // MARK: events

    /// `name` without its `response.`.
    private func readNamed(_ name: JSONBytes, _ root: JSONValue, _ list: EventList) {
        if name.equals("function_call_arguments.delta") || name.equals("custom_tool_call_input.delta") {
            arguments(root["delta"].text, root, isWhole: false, list)
        } else if name.equals("reasoning_summary_text.delta") || name.equals("reasoning_text.delta") {
            think(root["delta"].text, list)
        } else if name.equals("refusal.delta") {
            delta(.refusalDelta, root["delta"].text, list)
        } else if name.equals("output_item.added") {
            beginItem(root["item"], root, list)
        } else if name.equals("output_item.done") {
            endItem(root["item"], root, list)
        } else if name.equals("content_part.added") {
            beginPart(root["part"], list)
        } else if name.equals("content_part.done") {
            endPart(root["part"], list)
        } else if name.equals("output_text.done") {
            if !partHasText { delta(.textDelta, root["text"].text, list) }
        } else if name.equals("refusal.done") {
            if !partHasText { delta(.refusalDelta, root["refusal"].text, list) }
        } else if name.equals("function_call_arguments.done") {
            arguments(root["arguments"].text, root, isWhole: true, list)
        } else if name.equals("custom_tool_call_input.done") {
            arguments(root["input"].text, root, isWhole: true, list)
        } else if name.equals("reasoning_summary_part.added") {
            isSectionDue = itemHasText
            partHasText = false
        } else if name.equals("reasoning_summary_text.done") || name.equals("reasoning_text.done") {
            if !partHasText { think(root["text"].text, list) }
        } else if name.equals("output_text.annotation.added") {
            guard root["annotation"].isObject else { return }
            var event = StreamEvent(.citation)
            event.json = root["annotation"].raw
            event.index = Int32(truncatingIfNeeded: max(0, ordinal))
            list.add(event)
        } else if name.equals("completed") || name.equals("incomplete") || name.equals("done") {
            guard root["response"].isObject else { return fail(into: list) }
            end(root["response"], list)
        }
    }

    private func delta(_ kind: StreamEvent.Kind, _ text: JSONBytes, _ list: EventList) {
        if text.isEmpty { return }
        partHasText = true
        itemHasText = true
        list.add(kind, text: text, index: max(0, ordinal))
    }

    // MARK: items and their content

    private func beginItem(_ item: JSONValue, _ root: JSONValue, _ list: EventList) {
        itemHasText = false
        partHasText = false
        isSectionDue = false
        if item["type"].equals("function_call") || item["type"].equals("custom_tool_call") { beginCall(item, root, list) }
    }

    private func beginCall(_ item: JSONValue, _ root: JSONValue, _ list: EventList) {
        guard calls.count < Self.callsMax else { return }
        calls.append(Call(outputIndex: root["output_index"].int ?? -1 - Int64(calls.count)))
        var event = StreamEvent(.callStart)
        event.index = Int32(truncatingIfNeeded: calls.count - 1)
        event.id = item["call_id"].text
        event.name = item["name"].text
        event.isCall = true
        event.isCustom = item["type"].equals("custom_tool_call")
        list.add(event)
    }

    private func endItem(_ item: JSONValue, _ root: JSONValue, _ list: EventList) {
        let type = item["type"]
        if type.equals("reasoning") {
            if !itemHasText {
                let text = ResponsesDialect.thoughts(of: item, &list.arena.arena)
                if !text.isEmpty { think(text, list) }
            }
            // The one of `output_item.added` may be unfinished.
            let proof = item["encrypted_content"].text
            if !proof.isEmpty {
                openThinking(list)
                var event = StreamEvent(.signature)
                event.text = proof
                event.signatureOf = .responses
                event.index = Int32(truncatingIfNeeded: ordinal)
                list.add(event)
            }
            closeThinking(list)
        } else if type.equals("function_call") || type.equals("custom_tool_call") {
            if find(root) == nil { beginCall(item, root, list) }
            guard let call = find(root) else { return }
            if !calls[call].hasArguments { arguments(item["arguments"].exists ? item["arguments"].text : item["input"].text, root, isWhole: true, list) }
            var event = StreamEvent(.callEnd)
            event.index = Int32(truncatingIfNeeded: call)
            event.isCall = true
            list.add(event)
        } else if type.equals("message"), !itemHasText {
            for part in item["content"].elements {
                if part["text"].isString { delta(.textDelta, part["text"].text, list) }
                if part["refusal"].isString { delta(.refusalDelta, part["refusal"].text, list) }
            }
        }
        itemHasText = false
    }

    private func beginPart(_ part: JSONValue, _ list: EventList) {
        partHasText = false
        guard part["type"].equals("output_text") || part["type"].equals("refusal") else { return }
        ordinal += 1
        isPartOpen = true
        var event = StreamEvent(.partStart)
        event.partKind = part["type"].equals("refusal") ? .refusal : .text
        event.index = Int32(truncatingIfNeeded: ordinal)
        list.add(event)
        // A part that is begun with its text.
        if event.partKind == .text { delta(.textDelta, part["text"].text, list) } else { delta(.refusalDelta, part["refusal"].text, list) }
    }

    private func endPart(_ part: JSONValue, _ list: EventList) {
        guard isPartOpen else { return }
        if !partHasText {
            if part["type"].equals("refusal") { delta(.refusalDelta, part["refusal"].text, list) } else { delta(.textDelta, part["text"].text, list) }
        }
        isPartOpen = false
        partHasText = false
        var event = StreamEvent(.partEnd)
        event.partKind = part["type"].equals("refusal") ? .refusal : .text
        event.index = Int32(truncatingIfNeeded: ordinal)
        list.add(event)
    }

    // MARK: thinking

    private func think(_ text: JSONBytes, _ list: EventList) {
        if text.isEmpty { return }
        openThinking(list)
        if isSectionDue { list.add(.thinkingDelta, text: JSONBytes("\\n\\n"), index: ordinal) }
        isSectionDue = false
        delta(.thinkingDelta, text, list)
    }

    /// Only once there is something to say: reasoning items without a word and without proof are the rule.
    private func openThinking(_ list: EventList) {
        if isThinkingOpen { return }
        isThinkingOpen = true
        ordinal += 1
        var event = StreamEvent(.partStart)
        event.partKind = .thinking
        event.index = Int32(truncatingIfNeeded: ordinal)
        list.add(event)
    }

    private func closeThinking(_ list: EventList) {
        guard isThinkingOpen else { return }
        isThinkingOpen = false
        var event = StreamEvent(.partEnd)
        event.partKind = .thinking
        event.index = Int32(truncatingIfNeeded: ordinal)
        list.add(event)
    }

    // MARK: calls

    private func find(_ root: JSONValue) -> Int? {
        guard let index = root["output_index"].int else { return calls.isEmpty ? nil : calls.count - 1 }
        var at = calls.count - 1
        while at >= 0 {
            if calls[at].outputIndex == index { return at }
            at -= 1
        }
        return nil
    }

    private func arguments(_ text: JSONBytes, _ root: JSONValue, isWhole: Bool, _ list: EventList) {
        guard let call = find(root), !(isWhole && calls[call].hasArguments), !text.isEmpty else { return }
        calls[call].hasArguments = true
        list.add(.callArguments, text: text, index: call)
        list.events[list.events.count - 1].isCall = true
    }
}
