// Reads a chat stream (and, with `isLegacy`, one of the old completions): chunks with deltas, then `[DONE]` or, behind a finish reason, just the end.
//
// Rules that OpenAI's likes have taught (providers/others.md, last section). Calls are told apart by `index`; without one a new id begins a new call, and so
// does another id under an index that is taken. The first finish reason of a choice counts, the last usage counts, wherever either stands. A chunk may have
// no choices, an empty id, a role again, content that is empty or a list; none of that is an event. An `error` in a chunk ends the stream, whether or not
// the SSE event is named so.
//
// State: which choices were seen and have finished, as bit sets (at most 128), and the calls so far (at most 1,024 of a stream).
import ClawWire

final class ChatStreamReader: StreamReader {
    private struct Call {
        var choice: Int32
        /// The wire's index; -1: it had none.
        var index: Int32
        /// Counts the choice's calls from 0.
        var ordinal: Int32
        /// A hash of its id; 0: it had none.
        var id: UInt64
    }
    private static let callsMax = 1024

    private let quirks: Quirks
    private let isLegacy: Bool
    private var hasStarted = false
    private var seen: UInt128 = 0
    private var finished: UInt128 = 0
    private var called: UInt128 = 0
    private var calls: [Call] = []

    init(_ quirks: Quirks, isLegacy: Bool) {
        self.quirks = quirks
        self.isLegacy = isLegacy
    }

    override func read(_ event: WireEvent, into list: EventList) {
        if sawEnd { return }
        if event.kind == .done { return end(list) }
        guard list.arena.tape.read(event.data) == nil, list.arena.tape.root.isObject || list.arena.tape.root.isArray else {
            return fail(malformed(list), list)
        }
        let root = list.arena.tape.root
        if event.name.equals("error") || root.isArray {
            let error = ChatDialect.inBandError(root, list.arena) ?? ChatDialect.readError(
                status: 500, root, text: UnsafeRawBufferPointer(start: nil, count: 0), kind: JSONBytes(), list.arena)
            return fail(error, list)
        }
        readChunk(root, list)
    }

    override func finish(into list: EventList) {
        guard !sawEnd, sawFinish, finished == seen else { return }
        list.add(.end)
        sawEnd = true
    }

    private func malformed(_ list: EventList) -> ProviderError {
        var error = ProviderError(status: 502, problem: .serverError)
        error.message = JSONBytes("the upstream sent an event that is no chunk of an answer")
        error.code = JSONBytes("upstream_malformed_answer")
        return error
    }

    private func fail(_ error: ProviderError, _ list: EventList) {
        var event = StreamEvent(.error)
        event.error = error
        list.add(event)
        sawEnd = true
    }

    private func end(_ list: EventList) {
        if !hasStarted { return fail(malformed(list), list) }
        // Choices that have no reason to end, but did: the stream is whole by its own word.
        var open = seen & ~finished
        while open != 0 {
            let choice = open.trailingZeroBitCount
            open &= open - 1
            add(called & (1 << UInt128(choice)) != 0 ? .toolCalls : .stop, JSONBytes(), choice, list)
        }
        list.add(.end)
        sawEnd = true
    }

    private func add(_ finish: Finish, _ word: JSONBytes, _ choice: Int, _ list: EventList) {
        finished |= 1 << UInt128(choice)
        sawFinish = true
        var event = StreamEvent(.finish)
        event.choice = Int32(choice)
        event.finish = finish
        event.name = word
        list.add(event)
    }

    // MARK: chunks

    private func readChunk(_ root: JSONValue, _ list: EventList) {
        var choices = JSONValue()
        var usage = JSONValue()
        var id = JSONBytes()
        var model = JSONBytes()
        var created: Int64 = 0
        var mayFail = false
        for member in root.members {
            let key = member.key.text
            let value = member.value
            switch key.count {
            case 2 where key.equals("id"): id = value.text
            case 5 where key.equals("model"): model = value.text
            case 5 where key.equals("usage"): if value.isObject { usage = value }
            case 5 where key.equals("error"): mayFail = value.isPresent
            case 6 where key.equals("object"): mayFail = mayFail || value.equals("error")
            case 6 where key.equals("x_groq"):
                if !usage.exists, value["usage"].isObject { usage = value["usage"] }
                if value["error"].isPresent { mayFail = true }
            case 7 where key.equals("choices"): choices = value
            case 7 where key.equals("created"): created = value.int ?? 0
            default: if !choices.exists, key.equals("detail") { mayFail = true }
            }
        }
        guard choices.isArray || !choices.isPresent else { return fail(malformed(list), list) }
        let first = list.events.count
        if mayFail, !choices.first.exists, !usage.exists, let error = ChatDialect.inBandError(root, list.arena) { return fail(error, list) }
        if !hasStarted {
            // Azure's first chunk has neither id nor choices: it is no start.
            guard !id.isEmpty || choices.first.exists || usage.exists || mayFail else {
                if list.keepsExtras { opaque(root, list) }
                return
            }
            start(id, model, created, root, list)
        }
        let rest = list.events.count
        for choice in choices.elements where !readChoice(choice, list) { return fail(malformed(list), list) }
        if sawEnd { return }
        if usage.exists { readUsage(usage, root, list) }
        if list.keepsExtras { keepExtras(root, from: rest, isAfterStart: first != rest, list) }
        if mayFail, let error = ChatDialect.inBandError(root, list.arena) { fail(error, list) }
    }

    private func start(_ id: JSONBytes, _ model: JSONBytes, _ created: Int64, _ root: JSONValue, _ list: EventList) {
        hasStarted = true
        var event = StreamEvent(.start)
        event.id = ChatDialect.answerID(id)
        event.name = model
        event.number = created
        if list.keepsExtras {
            let from = list.extras.count
            for member in root.members where Self.isSticky(member.key) { list.extra(.event, 0, member) }
            event.extras = from..<list.extras.count
        }
        list.add(event)
    }

    /// Members that are the same on all chunks: of the first one only, and the writer repeats them.
    private static func isSticky(_ key: JSONValue) -> Bool { key.equals("system_fingerprint") || key.equals("service_tier") || key.equals("provider") }

    private func opaque(_ root: JSONValue, _ list: EventList) {
        var event = StreamEvent(.opaque)
        event.json = root.raw
        list.add(event)
    }

    private func readUsage(_ value: JSONValue, _ root: JSONValue, _ list: EventList) {
        let usage = ChatDialect.usage(value, excludesReasoning: quirks.completionExcludesReasoning)
        guard usage.isKnown else { return }
        var event = StreamEvent(.usage)
        event.usage = usage
        // The writer of the same dialect repeats the object itself, prices and times in it included.
        if list.keepsExtras { event.json = value.raw }
        list.add(event)
    }

    /// Members of the chunk that no event holds go with its first event behind the start.
    private func keepExtras(_ root: JSONValue, from rest: Int, isAfterStart: Bool, _ list: EventList) {
        let from = list.extras.count
        for member in root.members {
            let key = member.key
            if key.equals("id") || key.equals("model") || key.equals("usage") || key.equals("object") || key.equals("choices") || key.equals("created") { continue }
            if key.equals("error") || Self.isSticky(key) || member.value.kind == .null { continue }
            list.extra(.event, 0, member)
        }
        let range = from..<list.extras.count
        if range.isEmpty { return }
        if list.events.count == rest { list.add(.textDelta) }
        // An event with extras of its choice keeps those: its range is widened over both, as they follow one another.
        for at in rest..<list.events.count where list.events[at].extras.isEmpty {
            list.events[at].extras = range
            return
        }
        var carrier = StreamEvent(.textDelta)
        carrier.choice = list.events[rest].choice
        carrier.extras = range
        list.add(carrier)
    }

    // MARK: choices

    /// False: it is none.
    private func readChoice(_ choice: JSONValue, _ list: EventList) -> Bool {
        guard choice.isObject else { return false }
        let first = list.events.count
        var delta = JSONValue()
        var text = JSONValue()
        var word = JSONValue()
        var index: Int64 = 0
        for member in choice.members {
            let key = member.key.text
            switch key.count {
            case 4 where key.equals("text"): text = member.value
            case 5 where key.equals("index"): index = member.value.int ?? 0
            case 5 where key.equals("delta"): delta = member.value
            case 13 where key.equals("finish_reason"): word = member.value
            default: break
            }
        }
        guard index >= 0, index < Int64(ChatDialect.choicesMax) else { return false }
        let at = Int(index)
        seen |= 1 << UInt128(at)
        if delta.isObject {
            guard readDelta(delta, at, list) else { return false }
        } else if text.isString, !text.text.isEmpty {
            list.add(.textDelta, text: text.text, choice: at)
        }
        if word.isString, finished & (1 << UInt128(at)) == 0 {
            let finish = ChatDialect.finish(word.text)
            if finish == .error {
                finished |= 1 << UInt128(at)
                fail(ChatDialect.failedInside(word.text, list.arena), list)
                return true
            }
            add(finish, word.text, at, list)
        }
        if list.keepsExtras { keepExtras(of: choice, delta, at, from: first, list) }
        return true
    }

    private func keepExtras(of choice: JSONValue, _ delta: JSONValue, _ at: Int, from first: Int, _ list: EventList) {
        let from = list.extras.count
        for member in choice.members {
            let key = member.key
            if key.equals("index") || key.equals("delta") || key.equals("finish_reason") || member.value.kind == .null { continue }
            // Perplexity's `message` is all that was said so far.
            if key.equals("message") || (key.equals("text") && !delta.isObject) { continue }
            list.extra(.choice, at, member)
        }
        for member in delta.members where member.value.kind != .null {
            let key = member.key
            if key.equals("role") || key.equals("content") || key.equals("refusal") || key.equals("reasoning_content") || key.equals("reasoning") { continue }
            if key.equals("tool_calls") || key.equals("function_call") { continue }
            list.extra(.delta, at, member)
        }
        let range = from..<list.extras.count
        if range.isEmpty { return }
        if list.events.count == first { list.add(.textDelta, choice: at) }
        list.events[first].extras = range
    }

    // MARK: deltas

    private func readDelta(_ delta: JSONValue, _ choice: Int, _ list: EventList) -> Bool {
        var content = JSONValue()
        var thought = JSONValue()
        var isShort = false
        var refusal = JSONValue()
        var toolCalls = JSONValue()
        var functionCall = JSONValue()
        var details = JSONValue()
        for member in delta.members {
            let key = member.key.text
            switch key.count {
            case 7 where key.equals("content"): content = member.value
            case 7 where key.equals("refusal"): refusal = member.value
            case 9 where key.equals("reasoning"):
                if !thought.isString || thought.text.isEmpty {
                    thought = member.value
                    isShort = true
                }
            case 17 where key.equals("reasoning_content"):
                if member.value.isString, !member.value.text.isEmpty || !thought.isString {
                    thought = member.value
                    isShort = false
                }
            case 17 where key.equals("reasoning_details"): details = member.value
            case 10 where key.equals("tool_calls"): toolCalls = member.value
            case 13 where key.equals("function_call"): functionCall = member.value
            default: break
            }
        }
        let hasThought = thought.isString && !thought.text.isEmpty
        if hasThought { addThought(thought.text, isShort ? JSONBytes("reasoning") : JSONBytes(), JSONBytes(), choice, list) }
        if details.isArray { readDetails(details, hasThought, choice, list) }
        if content.isString {
            if !content.text.isEmpty { list.add(.textDelta, text: content.text, choice: choice) }
        } else if content.isArray {
            readList(content, choice, list)
        }
        if refusal.isString, !refusal.text.isEmpty { list.add(.refusalDelta, text: refusal.text, choice: choice) }
        if toolCalls.isArray {
            for call in toolCalls.elements where !readCall(call, choice, list) { return false }
        } else if toolCalls.isPresent {
            return false
        }
        if functionCall.isObject { readLegacyCall(functionCall, choice, list) }
        return true
    }

    /// `name` of the event says under which of the names it came, `json` that it was a part of content.
    private func addThought(_ text: JSONBytes, _ name: JSONBytes, _ json: JSONBytes, _ choice: Int, _ list: EventList) {
        var event = StreamEvent(.thinkingDelta)
        event.choice = Int32(choice)
        event.text = text
        event.name = name
        event.json = json
        list.add(event)
    }

    private func readDetails(_ details: JSONValue, _ hasThought: Bool, _ choice: Int, _ list: EventList) {
        for detail in details.elements {
            if detail["type"].equals("reasoning.encrypted") {
                guard detail["data"].isString else { continue }
                var event = StreamEvent(.redactedThinking)
                event.choice = Int32(choice)
                (event.text, event.signatureOf) = ChatDialect.split(detail["data"].text)
                list.add(event)
                continue
            }
            let text = detail["text"].isString ? detail["text"].text : detail["summary"].text
            if !hasThought, !text.isEmpty { addThought(text, JSONBytes("reasoning_details"), JSONBytes(), choice, list) }
            if detail["signature"].isString, !detail["signature"].text.isEmpty {
                var event = StreamEvent(.signature)
                event.choice = Int32(choice)
                (event.text, event.signatureOf) = ChatDialect.split(detail["signature"].text)
                list.add(event)
            }
        }
    }

    /// Mistral's list: a thought may be closed and the first text begun in one chunk.
    private func readList(_ content: JSONValue, _ choice: Int, _ list: EventList) {
        for item in content.elements {
            if item["type"].equals("thinking") {
                let part = ChatDialect.thinking(item, list.arena)
                if !part.text.isEmpty || list.keepsExtras { addThought(part.text, JSONBytes("thinking"), item.raw, choice, list) }
                if part.signature.exists {
                    var event = StreamEvent(.signature)
                    event.choice = Int32(choice)
                    event.text = part.signature
                    event.signatureOf = part.signatureOf
                    list.add(event)
                }
            } else if item["text"].isString {
                if !item["text"].text.isEmpty { list.add(.textDelta, text: item["text"].text, choice: choice) }
            } else if item.isObject {
                var event = StreamEvent(.citation)
                event.choice = Int32(choice)
                event.json = item.raw
                list.add(event)
            }
        }
    }

    // MARK: calls

    private func readCall(_ call: JSONValue, _ choice: Int, _ list: EventList) -> Bool {
        guard call.isObject else { return false }
        var wire: Int64 = -1
        if let index = call["index"].int {
            guard index >= 0, index < Int64(Int32.max) else { return false }
            wire = index
        }
        let id = call["id"]
        let isCustom = call["custom"].isObject
        let inner = isCustom ? call["custom"] : call["function"]
        let name = inner["name"].text
        let proof = call["extra_content"]["google"]["thought_signature"]
        guard let ordinal = ordinal(choice, wire, id, hasName: !name.isEmpty, list) else { return false }
        if ordinal.isNew {
            called |= 1 << UInt128(choice)
            var event = StreamEvent(.callStart)
            event.choice = Int32(choice)
            event.index = ordinal.at
            event.id = id.text
            event.name = name
            event.isCustom = isCustom
            if proof.isString, !proof.text.isEmpty { (event.text, event.signatureOf) = ChatDialect.split(proof.text) }
            list.add(event)
        } else if proof.isString, !proof.text.isEmpty {
            var event = StreamEvent(.signature)
            event.choice = Int32(choice)
            event.index = ordinal.at
            event.isCall = true
            (event.text, event.signatureOf) = ChatDialect.split(proof.text)
            list.add(event)
        }
        let arguments = isCustom ? inner["input"] : inner["arguments"]
        guard (arguments.isString && !arguments.text.isEmpty) || arguments.isObject else { return true }
        var event = StreamEvent(.callArguments)
        event.choice = Int32(choice)
        event.index = ordinal.at
        event.isCustom = isCustom
        if arguments.isObject { event.json = arguments.raw } else { event.text = arguments.text }
        list.add(event)
        return true
    }

    /// Which call of its choice a fragment belongs to. Nil: there are too many.
    private func ordinal(_ choice: Int, _ wire: Int64, _ id: JSONValue, hasName: Bool, _ list: EventList) -> (at: Int32, isNew: Bool)? {
        let hash = id.isString && !id.text.isEmpty ? Identifiers.hash(id.text) | 1 : 0
        var count: Int32 = 0
        var found: Int?
        var at = calls.count - 1
        while at >= 0 {
            let call = calls[at]
            if call.choice == Int32(choice) {
                if count == 0 { count = call.ordinal + 1 }
                if wire < 0 || call.index == Int32(wire) {
                    found = at
                    break
                }
            }
            at -= 1
        }
        if let found {
            let call = calls[found]
            // Google's endpoint gives several whole calls one index and the id "".
            let isNext = hash != 0 ? call.id != 0 && call.id != hash : wire < 0 ? hasName : call.id == 0 && hasName && id.isString
            if !isNext { return (call.ordinal, false) }
        }
        guard calls.count < Self.callsMax else { return nil }
        calls.append(Call(choice: Int32(choice), index: Int32(wire), ordinal: count, id: hash))
        return (count, true)
    }

    /// `function_call`, of which there is one; `number` 1 says so to the writer of the same dialect.
    private func readLegacyCall(_ call: JSONValue, _ choice: Int, _ list: EventList) {
        if called & (1 << UInt128(choice)) == 0 {
            called |= 1 << UInt128(choice)
            var event = StreamEvent(.callStart)
            event.choice = Int32(choice)
            event.name = call["name"].text
            event.number = 1
            list.add(event)
        }
        guard call["arguments"].isString, !call["arguments"].text.isEmpty else { return }
        var event = StreamEvent(.callArguments)
        event.choice = Int32(choice)
        event.text = call["arguments"].text
        event.number = 1
        list.add(event)
    }
}
