// Reads a stream: each event is a whole GenerateContentResponse with what came since the last. Calls come whole. Usage is a running total in each event and
// is never added up. Nothing marks the end but the finish reasons: a stream is whole when each candidate that was seen has one.
import ClawWire

final class GeminiStreamReader: StreamReader {
    private static let choicesMax = 64
    private var hasStarted = false
    /// Bits of the candidates seen, and of those that have finished.
    private var seen: UInt64 = 0
    private var finished: UInt64 = 0
    /// Calls so far, by candidate.
    private var calls: [Int32] = []

    override func read(_ event: WireEvent, into list: EventList) {
        guard !sawEnd else { return }
        if event.kind == .done {
            finish(into: list)
            return
        }
        guard list.arena.tape.read(event.data) == nil else { return fail(GeminiDialect.malformedError, list) }
        let root = list.arena.tape.root
        if let error = GeminiDialect.inBandError(root, list.arena) { return fail(error, list) }
        guard root.isObject else { return fail(GeminiDialect.malformedError, list) }
        var candidates = JSONValue()
        var usage = JSONValue()
        var feedback = JSONValue()
        var id = JSONValue()
        var model = JSONValue()
        let firstExtra = list.extras.count
        for member in root.members {
            let name = member.key.text
            if name.equals("candidates") {
                candidates = member.value
            } else if name.equals("usageMetadata") {
                usage = member.value
            } else if name.equals("modelVersion") {
                model = member.value
            } else if name.equals("responseId") {
                id = member.value
            } else {
                if name.equals("promptFeedback") { feedback = member.value }
                if list.keepsExtras { list.extra(.event, 0, member) }
            }
        }
        let firstEvent = list.events.count
        let chunkExtras = firstExtra..<list.extras.count
        if !hasStarted {
            hasStarted = true
            var start = StreamEvent(.start)
            start.id = id.text
            start.name = model.text
            list.add(start)
        }
        let firstContent = list.events.count
        for candidate in candidates.elements {
            guard candidate.isObject else { return fail(GeminiDialect.malformedError, list) }
            readCandidate(candidate, into: list)
        }
        if feedback["blockReason"].isString, !sawFinish {
            var blocked = StreamEvent(.finish)
            blocked.finish = .contentFilter
            list.add(blocked)
            seen |= 1
            finished |= 1
            sawFinish = true
        }
        if usage.isObject { readUsage(usage, list) }
        guard !chunkExtras.isEmpty, list.events.count > firstEvent else { return }
        // The first event of the content carries what stands beside the candidates, so that it stays with it.
        let carrier = list.events.count > firstContent ? firstContent : firstEvent
        attach(chunkExtras, to: carrier, list)
    }

    /// Extras of an event are one range: those it has already are added behind the new ones.
    private func attach(_ range: Range<Int>, to event: Int, _ list: EventList) {
        guard !range.isEmpty else { return }
        let old = list.events[event].extras
        if old.isEmpty {
            list.events[event].extras = range
            return
        }
        let start = list.extras.count
        for at in range { list.extras.append(list.extras[at]) }
        for at in old { list.extras.append(list.extras[at]) }
        list.events[event].extras = start..<list.extras.count
    }

    override func finish(into list: EventList) {
        guard !sawEnd, sawFinish, finished == seen else { return }
        sawEnd = true
        list.add(.end)
    }

    private func fail(_ error: ProviderError, _ list: EventList) {
        var event = StreamEvent(.error)
        event.error = error
        list.add(event)
        sawEnd = true
    }

    private func readUsage(_ value: JSONValue, _ list: EventList) {
        var event = StreamEvent(.usage)
        event.usage = GeminiUsage.read(value, isFinal: sawFinish)
        guard event.usage.isKnown || list.keepsExtras else { return }
        if list.keepsExtras {
            let start = list.extras.count
            for member in value.members { list.extra(.usage, 0, member) }
            event.extras = start..<list.extras.count
        }
        list.add(event)
    }

    private func readCandidate(_ candidate: JSONValue, into list: EventList) {
        var content = JSONValue()
        var reason = JSONBytes()
        var choice = 0
        var others = 0
        for (key, value) in candidate.members {
            let name = key.text
            if name.equals("content") {
                content = value
            } else if name.equals("finishReason") {
                reason = value.text
            } else if name.equals("index") {
                choice = Int(max(0, min(value.int ?? 0, Int64(Self.choicesMax - 1))))
            } else {
                others += 1
            }
        }
        seen |= 1 << UInt64(choice)
        while calls.count <= choice { calls.append(0) }
        let first = list.events.count
        let isUnexpected = reason.equals("UNEXPECTED_TOOL_CALL")
        for part in content["parts"].elements where part.isObject {
            readPart(part, choice, isUnexpected: isUnexpected, into: list)
            if sawEnd { return }
        }
        if reason.exists, finished & (1 << UInt64(choice)) == 0 {
            finished |= 1 << UInt64(choice)
            sawFinish = true
            var event = StreamEvent(.finish)
            event.choice = Int32(truncatingIfNeeded: choice)
            event.finish = GeminiFinish.read(reason)
            if calls[choice] > 0, event.finish == .stop || event.finish == .other { event.finish = .toolCalls }
            event.name = reason
            list.add(event)
        }
        guard list.keepsExtras, others > 0 else { return }
        let start = list.extras.count
        for member in candidate.members {
            let name = member.key.text
            if !name.equals("content"), !name.equals("finishReason"), !name.equals("index") { list.extra(.choice, choice, member) }
        }
        if list.events.count == first {
            var bare = StreamEvent(.opaque)
            bare.choice = Int32(truncatingIfNeeded: choice)
            bare.name = JSONBytes("candidate")
            list.add(bare)
        }
        attach(start..<list.extras.count, to: list.events.count - 1, list)
    }

    private func readPart(_ part: JSONValue, _ choice: Int, isUnexpected: Bool, into list: EventList) {
        var text = JSONValue()
        var call = JSONValue()
        var signature = JSONBytes()
        var isThought = false
        var others = 0
        for (key, value) in part.members {
            let name = key.text
            if name.equals("text") {
                text = value
            } else if name.equals("thought") {
                isThought = value.bool ?? false
            } else if name.equals("thoughtSignature") {
                signature = value.text
            } else if name.equals("functionCall") {
                call = value
            } else {
                others += 1
            }
        }
        if call.isObject { return readCall(call, part, signature, choice, isUnexpected: isUnexpected, into: list) }
        guard text.isString || (others == 0 && signature.exists) else {
            addOpaque(part, choice, into: list)
            return
        }
        if text.isString, !text.text.isEmpty {
            var event = StreamEvent(isThought ? .thinkingDelta : .textDelta)
            event.choice = Int32(truncatingIfNeeded: choice)
            event.text = text.text
            if others > 0, list.keepsExtras {
                let start = list.extras.count
                for member in part.members {
                    let name = member.key.text
                    if !name.equals("text"), !name.equals("thought"), !name.equals("thoughtSignature") { list.extra(.part, 0, member) }
                }
                event.extras = start..<list.extras.count
            }
            list.add(event)
        }
        if !signature.isEmpty {
            var event = StreamEvent(.signature)
            event.choice = Int32(truncatingIfNeeded: choice)
            event.partKind = isThought ? .thinking : .text
            event.text = signature
            event.signatureOf = .gemini
            list.add(event)
        }
    }

    /// What only Gemini's own clients understand: pictures, code that was run, calls in pieces.
    private func addOpaque(_ part: JSONValue, _ choice: Int, into list: EventList) {
        guard list.keepsExtras else { return }
        var event = StreamEvent(.opaque)
        event.choice = Int32(truncatingIfNeeded: choice)
        event.name = JSONBytes("part")
        event.json = part.raw
        list.add(event)
    }

    private func readCall(_ call: JSONValue, _ part: JSONValue, _ signature: JSONBytes, _ choice: Int, isUnexpected: Bool, into list: EventList) {
        // The model called what was not offered: that must not be acted upon.
        if isUnexpected { return addOpaque(part, choice, into: list) }
        let isInPieces = call["partialArgs"].exists || call["willContinue"].exists
        if isInPieces || !call["name"].isString {
            if !list.keepsExtras { return fail(GeminiDialect.malformedError, list) }
            calls[choice] &+= 1
            return addOpaque(part, choice, into: list)
        }
        var start = StreamEvent(.callStart)
        start.choice = Int32(truncatingIfNeeded: choice)
        start.index = calls[choice]
        start.id = call["id"].text
        start.name = call["name"].text
        if !signature.isEmpty {
            start.text = signature
            start.signatureOf = .gemini
        }
        list.add(start)
        var arguments = StreamEvent(.callArguments)
        arguments.choice = start.choice
        arguments.index = start.index
        let args = call["args"]
        arguments.json = args.isObject ? args.raw : JSONBytes("{}")
        list.add(arguments)
        var end = StreamEvent(.callEnd)
        end.choice = start.choice
        end.index = start.index
        list.add(end)
        calls[choice] &+= 1
    }
}
