// Reads a stream of /v2/chat: named events whose data has the name again as `type`. Within events `content`, `tool_calls` and `citations` are objects, where
// whole messages have arrays. The plan before calls has no event that begins or ends it: it begins with its first delta and ends with the next event of
// another kind.
import ClawWire

final class CohereStreamReader: StreamReader {
    private static let callsMax = 1024

    private var hasStarted = false
    private var isInPlan = false
    /// Parts seen so far: contents and the plan, as the neutral model counts them.
    private var parts = 0
    private var openKind = Part.Kind.text
    /// Cohere's indices of the calls, in order.
    private var calls: [Int64] = []

    override func read(_ event: WireEvent, into list: EventList) {
        if sawEnd { return }
        if event.kind == .done { return finish(into: list) }
        guard list.arena.tape.read(event.data) == nil, list.arena.tape.root.isObject else { return fail(PlainError.malformed(.cohere), list) }
        let body = list.arena.tape.root
        let type = body["type"]
        func isNamed(_ name: StaticString) -> Bool { type.isString ? type.equals(name) : event.name.equals(name) }
        let delta = body["delta"]
        let message = delta["message"]

        if isNamed("content-delta") {
            start(list)
            return readDelta(body, message["content"], list)
        }
        if isNamed("tool-plan-delta") {
            start(list)
            return readPlan(message["tool_plan"].text, list)
        }
        if isNamed("tool-call-delta") {
            var event = StreamEvent(.callArguments)
            event.isCall = true
            event.index = ordinal(body["index"].int)
            let call = message["tool_calls"].isArray ? message["tool_calls"].first : message["tool_calls"]
            event.text = call["function"]["arguments"].text
            if event.index >= 0, !event.text.isEmpty { list.add(event) }
            return
        }
        if isNamed("message-start") { return start(list, id: body["id"].text) }
        if isNamed("content-start") {
            start(list)
            endPlan(list)
            let content = message["content"]
            openKind = content["type"].equals("thinking") || content["thinking"].isString ? .thinking : .text
            part(.partStart, list)
            parts += 1
            return readDelta(body, content, list)
        }
        if isNamed("content-end") { return part(.partEnd, list) }
        if isNamed("tool-call-start") { return readCall(body["index"].int, message["tool_calls"], list) }
        if isNamed("tool-call-end") {
            let index = ordinal(body["index"].int)
            if index >= 0 { add(.callEnd, index, list) }
            return
        }
        if isNamed("citation-start") {
            var event = StreamEvent(.citation)
            event.index = Int32(truncatingIfNeeded: body["index"].int ?? 0)
            event.json = message["citations"].raw
            if event.json.exists { list.add(event) }
            return
        }
        if isNamed("message-end") { return readEnd(delta, body, list) }
        if !type.isString, body["message"].isString || body["error"].exists {
            return fail(CohereDialect.readError(status: 502, body, text: event.data, kind: JSONBytes(), list.arena), list)
        }
        var opaque = StreamEvent(.opaque)
        opaque.json = body.raw
        opaque.name = type.isString ? type.text : event.name
        list.add(opaque)
    }

    /// [DONE], or the end of the bytes: whole once message-end was seen.
    override func finish(into list: EventList) {
        if sawFinish, !sawEnd {
            sawEnd = true
            list.add(.end)
        }
    }

    private func start(_ list: EventList, id: JSONBytes = JSONBytes()) {
        if hasStarted { return }
        hasStarted = true
        var event = StreamEvent(.start)
        event.id = id
        list.add(event)
    }

    private func part(_ kind: StreamEvent.Kind, _ list: EventList) {
        var event = StreamEvent(kind)
        event.partKind = openKind
        event.index = Int32(truncatingIfNeeded: kind == .partStart ? parts : max(0, parts - 1))
        list.add(event)
    }

    private func readDelta(_ body: JSONValue, _ content: JSONValue, _ list: EventList) {
        let thinking = content["thinking"].text
        let text = thinking.isEmpty ? content["text"].text : thinking
        var event = StreamEvent(thinking.isEmpty ? .textDelta : .thinkingDelta)
        event.text = text
        event.index = Int32(truncatingIfNeeded: max(0, parts - 1))
        if list.keepsExtras {
            let first = list.extras.count
            for member in body.members where !member.key.equals("type") && !member.key.equals("index") && !member.key.equals("delta") {
                list.extra(.event, 0, member)
            }
            event.extras = first..<list.extras.count
        }
        if !text.isEmpty || !event.extras.isEmpty { list.add(event) }
    }

    private func readPlan(_ text: JSONBytes, _ list: EventList) {
        if !isInPlan {
            isInPlan = true
            openKind = .thinking
            var event = StreamEvent(.partStart)
            event.partKind = .thinking
            event.index = Int32(truncatingIfNeeded: parts)
            event.name = JSONBytes(CohereDialect.planMark)
            list.add(event)
            parts += 1
        }
        var event = StreamEvent(.thinkingDelta)
        event.text = text
        event.index = Int32(truncatingIfNeeded: max(0, parts - 1))
        event.name = JSONBytes(CohereDialect.planMark)
        if !text.isEmpty { list.add(event) }
    }

    /// The plan is over: its mark as a signature, so that it comes back as what it is.
    private func endPlan(_ list: EventList) {
        guard isInPlan else { return }
        isInPlan = false
        var event = StreamEvent(.signature)
        event.text = JSONBytes(CohereDialect.planMark)
        event.signatureOf = .cohere
        event.index = Int32(truncatingIfNeeded: max(0, parts - 1))
        list.add(event)
        event = StreamEvent(.partEnd)
        event.partKind = .thinking
        event.index = Int32(truncatingIfNeeded: max(0, parts - 1))
        event.name = JSONBytes(CohereDialect.planMark)
        list.add(event)
    }

    private func readCall(_ index: Int64?, _ value: JSONValue, _ list: EventList) {
        start(list)
        endPlan(list)
        let call = value.isArray ? value.first : value
        guard call.isObject, calls.count < Self.callsMax else { return fail(PlainError.malformed(.cohere), list) }
        calls.append(index ?? Int64(calls.count))
        var event = StreamEvent(.callStart)
        event.isCall = true
        event.index = Int32(truncatingIfNeeded: calls.count - 1)
        event.id = call["id"].text.exists ? call["id"].text : JSONBytes("")
        event.name = call["function"]["name"].text
        list.add(event)
        let arguments = call["function"]["arguments"].text
        guard !arguments.isEmpty else { return }
        event = StreamEvent(.callArguments)
        event.isCall = true
        event.index = Int32(truncatingIfNeeded: calls.count - 1)
        event.text = arguments
        list.add(event)
    }

    private func add(_ kind: StreamEvent.Kind, _ index: Int32, _ list: EventList) {
        var event = StreamEvent(kind)
        event.isCall = true
        event.index = index
        list.add(event)
    }

    /// The call that an event is about: the latest with its index; -1 for none.
    private func ordinal(_ index: Int64?) -> Int32 {
        guard let index else { return Int32(truncatingIfNeeded: calls.count - 1) }
        return Int32(truncatingIfNeeded: calls.lastIndex(of: index) ?? -1)
    }

    private func readEnd(_ delta: JSONValue, _ body: JSONValue, _ list: EventList) {
        if sawFinish { return }
        start(list)
        endPlan(list)
        let word = delta["finish_reason"]
        let finish = CohereDialect.finish(word)
        if finish == .error || delta["error"].isPresent { return fail(CohereDialect.failure(word, delta["error"].text, JSONBytes()), list) }
        var event = StreamEvent(.usage)
        event.usage = CohereDialect.usage(delta["usage"])
        if list.keepsExtras {
            let first = list.extras.count
            for member in delta["usage"].members where !member.key.equals("billed_units") { list.extra(.usage, 0, member) }
            for member in delta["usage"]["billed_units"].members where !CohereDialect.isOfBilled(member.key) { list.extra(.usage, 1, member) }
            event.extras = first..<list.extras.count
        }
        if event.usage.isKnown || !event.extras.isEmpty { list.add(event) }
        event = StreamEvent(.finish)
        event.name = word.text
        event.finish = finish == .unset ? .other : finish
        if event.finish == .other, !calls.isEmpty { event.finish = .toolCalls }
        list.add(event)
        sawFinish = true
    }

    private func fail(_ error: ProviderError, _ list: EventList) {
        sawEnd = true
        list.add(PlainError.event(error))
    }
}
