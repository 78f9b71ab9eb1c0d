// Reads ConverseStream. Text and thoughts have no contentBlockStart: their block opens with its first delta. Calls are counted from 0 while the wire counts
// blocks. Usage comes in `metadata`, after `messageStop`, and is the end. Each payload has a padding `p` of random length, which says nothing.
import ClawWire

extension ConverseDialect {
    public static func streamReader(_ quirks: Quirks) -> StreamReader { ConverseStreamReader() }
}

final class ConverseStreamReader: StreamReader {
    private static let callsMax = 1024
    private var isStarted = false
    /// The block of text or thoughts under way; -1: none.
    private var openIndex: Int64 = -1
    private var openKind = Part.Kind.text
    /// The wire's block index of each call; -1 once it has ended.
    private var calls: [Int64] = []

    override func read(_ event: WireEvent, into list: EventList) {
        if sawEnd { return }
        if event.kind == .exception || event.name.ends(with: "Exception") { return fail(event, list) }
        guard list.arena.tape.read(event.data) == nil, list.arena.tape.root.isObject else { return malformed("an event is no JSON object", list) }
        let body = list.arena.tape.root
        if event.name.equals("contentBlockDelta") { return readDelta(event, body, list) }
        if event.name.equals("contentBlockStop") { return readStop(event, body, list) }
        if event.name.equals("contentBlockStart") { return readStart(event, body, list) }
        if event.name.equals("messageStart") {
            start(list)
            if let last = list.events.indices.last { list.events[last].extras = extras(of: body, "role", list) }
        } else if event.name.equals("messageStop") {
            guard !sawFinish else { return }
            start(list)
            close(list)
            let reason = body["stopReason"]
            var finish = StreamEvent(.finish)
            finish.finish = ConverseDialect.finish(of: reason)
            finish.name = reason.text
            finish.extras = extras(of: body, "stopReason", list)
            sawFinish = true
            list.add(finish)
        } else if event.name.equals("metadata") {
            start(list)
            readMetadata(body, list)
        } else if list.keepsExtras {
            passOn(event, list)
        }
    }

    /// The bytes have ended. `messageStop` says that the message is whole; only its usage is missing where no `metadata` came.
    override func finish(into list: EventList) {
        guard sawFinish, !sawEnd else { return }
        sawEnd = true
        list.add(.end)
    }

    private func start(_ list: EventList) {
        guard !isStarted else { return }
        isStarted = true
        list.add(.start)
    }

    private func readMetadata(_ body: JSONValue, _ list: EventList) {
        var usage = StreamEvent(.usage)
        usage.usage = ConverseDialect.usage(of: body["usage"])
        let first = list.extras.count
        if list.keepsExtras {
            for member in body["usage"].members where ConverseDialect.isUsageExtra(member.key, member.value) { list.extra(.usage, 0, member) }
        }
        usage.extras = first..<extras(of: body, "usage", list).upperBound
        list.add(usage)
        guard sawFinish else { return malformed("usage came before the stop reason", list) }
        sawEnd = true
        list.add(.end)
    }

    // MARK: blocks

    private func readStart(_ event: WireEvent, _ body: JSONValue, _ list: EventList) {
        start(list)
        let tool = body["start"]["toolUse"]
        // A tool of Bedrock's own is no call for the client.
        guard tool.isObject, !tool["type"].exists else {
            if list.keepsExtras { passOn(event, list) }
            return
        }
        guard calls.count < Self.callsMax, tool["name"].isString else { return malformed("a call has no name, or there are more than 1024", list) }
        close(list)
        var call = StreamEvent(.callStart)
        call.index = Int32(calls.count)
        call.isCall = true
        call.id = tool["toolUseId"].text
        call.name = tool["name"].text
        calls.append(body["contentBlockIndex"].int ?? 0)
        list.add(call)
    }

    private func readDelta(_ event: WireEvent, _ body: JSONValue, _ list: EventList) {
        start(list)
        let index = body["contentBlockIndex"].int ?? 0
        let delta = body["delta"]
        guard delta.isObject else { return malformed("a delta is no object", list) }
        let text = delta["text"]
        if text.isString {
            open(.text, index, list)
            // An empty piece says nothing, except that a block is there.
            if !text.text.isEmpty || list.keepsExtras { list.add(.textDelta, text: text.text, index: Int(truncatingIfNeeded: index)) }
            return
        }
        let tool = delta["toolUse"]
        if tool.isObject {
            guard let ordinal = ordinal(of: index) else {
                if list.keepsExtras { passOn(event, list) }
                return
            }
            guard tool["input"].isString else { return malformed("a call's input is no string", list) }
            if !tool["input"].text.isEmpty || list.keepsExtras { list.add(.callArguments, text: tool["input"].text, index: ordinal) }
            return
        }
        let reasoning = delta["reasoningContent"]
        if reasoning.isObject {
            let place = Int(truncatingIfNeeded: index)
            if reasoning["text"].isString {
                open(.thinking, index, list)
                if !reasoning["text"].text.isEmpty || list.keepsExtras { list.add(.thinkingDelta, text: reasoning["text"].text, index: place) }
            }
            if reasoning["signature"].isString {
                open(.thinking, index, list)
                var signature = StreamEvent(.signature)
                signature.index = Int32(truncatingIfNeeded: index)
                signature.text = reasoning["signature"].text
                signature.signatureOf = .converse
                list.add(signature)
            }
            if reasoning["redactedContent"].isString {
                open(.redactedThinking, index, list)
                var redacted = StreamEvent(.redactedThinking)
                redacted.index = Int32(truncatingIfNeeded: index)
                redacted.partKind = .redactedThinking
                redacted.text = reasoning["redactedContent"].text
                redacted.signatureOf = .converse
                list.add(redacted)
            }
            return
        }
        if delta["citation"].isObject {
            open(.text, index, list)
            var citation = StreamEvent(.citation)
            citation.index = Int32(truncatingIfNeeded: index)
            citation.json = delta["citation"].raw
            list.add(citation)
        } else if list.keepsExtras {
            passOn(event, list)
        }
    }

    private func readStop(_ event: WireEvent, _ body: JSONValue, _ list: EventList) {
        start(list)
        let index = body["contentBlockIndex"].int ?? 0
        if index == openIndex {
            close(list)
        } else if let ordinal = ordinal(of: index) {
            calls[ordinal] = -1
            list.add(.callEnd, index: ordinal)
        } else if list.keepsExtras {
            passOn(event, list)
        }
    }

    /// Of the call whose block this is. The one under way is nearly always the last.
    private func ordinal(of index: Int64) -> Int? { index < 0 ? nil : calls.lastIndex(of: index) }

    private func open(_ kind: Part.Kind, _ index: Int64, _ list: EventList) {
        if openIndex == index, openKind == kind { return }
        close(list)
        openIndex = max(0, index)
        openKind = kind
        var part = StreamEvent(.partStart)
        part.partKind = kind
        part.index = Int32(truncatingIfNeeded: index)
        list.add(part)
    }

    private func close(_ list: EventList) {
        guard openIndex >= 0 else { return }
        var part = StreamEvent(.partEnd)
        part.partKind = openKind
        part.index = Int32(truncatingIfNeeded: openIndex)
        openIndex = -1
        list.add(part)
    }

    // MARK: what only Converse understands

    private func extras(of body: JSONValue, _ known: StaticString, _ list: EventList) -> Range<Int> {
        let first = list.extras.count
        guard list.keepsExtras else { return first..<first }
        for member in body.members where !member.key.equals(known) && !member.key.equals("p") { list.extra(.event, 0, member) }
        return first..<list.extras.count
    }

    private func passOn(_ event: WireEvent, _ list: EventList) {
        var opaque = StreamEvent(.opaque)
        opaque.name = event.name
        opaque.json = JSONBytes(event.data)
        list.add(opaque)
    }

    // MARK: errors

    private func fail(_ event: WireEvent, _ list: EventList) {
        let isJSON = event.data.count > 0 && list.arena.tape.read(event.data) == nil
        let body = isJSON ? list.arena.tape.root : JSONValue()
        var message = body["message"].isString ? body["message"].text : body["Message"].text
        if !message.exists { message = body["originalMessage"].text }
        if !message.exists {
            let text = UnsafeRawBufferPointer(rebasing: event.data[..<min(event.data.count, 500)])
            message = isJSON || text.count == 0 ? JSONBytes("the upstream ended its stream with an error") : list.arena.arena.escaped(text)
        }
        var error = ConverseDialect.error(status: 0, type: list.arena.arena.escaped(event.name.raw), message: message)
        if body.isObject { error.native = body.raw }
        var failure = StreamEvent(.error)
        failure.error = error
        sawEnd = true
        list.add(failure)
    }

    private func malformed(_ what: StaticString, _ list: EventList) {
        var error = ProviderError(status: 502, problem: .serverError)
        error.message = JSONBytes(what)
        error.code = JSONBytes("upstream_malformed_answer")
        error.source = .converse
        var failure = StreamEvent(.error)
        failure.error = error
        sawEnd = true
        list.add(failure)
    }
}
