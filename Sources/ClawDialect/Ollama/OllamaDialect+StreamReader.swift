// Reads a stream of /api/chat or /api/generate: one object a line, the last with `"done":true`. A line may hold thinking, text and whole calls at once. What
// a line says besides (`created_at`, durations on the last) goes with its events as extras where the same dialect is written.
import ClawWire

final class OllamaStreamReader: StreamReader {
    private let generates: Bool
    private let source: DialectID
    private var hasStarted = false
    private var calls = 0

    init(generates: Bool) {
        self.generates = generates
        source = generates ? .ollamaGenerate : .ollama
    }

    override func read(_ event: WireEvent, into list: EventList) {
        if sawEnd || event.kind == .done { return }
        guard list.arena.tape.read(event.data) == nil, list.arena.tape.root.isObject else { return fail(PlainError.malformed(source), list) }
        let line = list.arena.tape.root
        let message = generates ? line : line["message"]
        let done = line["done"].bool
        if line["error"].isPresent { return fail(OllamaAnswer.error(line, source), list) }
        let content = generates ? line["response"] : message["content"]
        guard done != nil || (generates ? content.isString : message.isObject) else { return fail(PlainError.malformed(source), list) }

        if !hasStarted {
            hasStarted = true
            var start = StreamEvent(.start)
            start.name = line["model"].text
            start.number = OllamaTime.seconds(line["created_at"].text)
            list.add(start)
        }
        // The first event takes all extras of the line, the others only its time.
        var extras = 0..<0
        var stamp = 0..<0
        if list.keepsExtras { (extras, stamp) = keepExtras(line, message, list) }

        if let thinking = Self.text(message["thinking"]) {
            add(.thinkingDelta, thinking, extras, list)
            extras = stamp
        }
        if let text = Self.text(content) {
            add(.textDelta, text, extras, list)
            extras = stamp
        }
        if !generates {
            for call in message["tool_calls"].elements {
                add(call, extras, list)
                extras = stamp
            }
        }
        guard done == true else { return }
        var usage = StreamEvent(.usage)
        usage.usage = OllamaAnswer.usage(line)
        if usage.usage.isKnown { list.add(usage) }
        var finish = StreamEvent(.finish)
        finish.name = line["done_reason"].text
        finish.finish = OllamaAnswer.finish(line["done_reason"], hasCalls: calls > 0)
        finish.extras = extras
        list.add(finish)
        list.add(.end)
        sawFinish = true
        sawEnd = true
    }

    private static func text(_ value: JSONValue) -> JSONBytes? {
        let text = value.text
        return text.isEmpty ? nil : text
    }

    private func add(_ kind: StreamEvent.Kind, _ text: JSONBytes, _ extras: Range<Int>, _ list: EventList) {
        var event = StreamEvent(kind)
        event.text = text
        event.extras = extras
        list.add(event)
    }

    private func add(_ call: JSONValue, _ extras: Range<Int>, _ list: EventList) {
        let part = OllamaAnswer.call(call)
        var event = StreamEvent(.callStart)
        event.index = Int32(truncatingIfNeeded: calls)
        event.isCall = true
        event.id = part.id
        event.name = part.name
        // One more than the index that was stated, for the same dialect.
        if let index = call["function"]["index"].int, index >= 0, index < Int64.max { event.number = index + 1 }
        list.add(event)
        event = StreamEvent(.callArguments)
        event.index = Int32(truncatingIfNeeded: calls)
        event.isCall = true
        event.json = part.json
        event.text = part.text
        list.add(event)
        event = StreamEvent(.callEnd)
        event.index = Int32(truncatingIfNeeded: calls)
        event.isCall = true
        event.extras = extras
        list.add(event)
        calls += 1
    }

    private func keepExtras(_ line: JSONValue, _ message: JSONValue, _ list: EventList) -> (all: Range<Int>, stamp: Range<Int>) {
        let start = list.extras.count
        for member in line.members where member.key.equals("created_at") { list.extra(.event, 0, member) }
        let stamp = start..<list.extras.count
        for member in line.members where !member.key.equals("created_at") && !OllamaAnswer.isOfAnswer(member.key, generates) { list.extra(.event, 0, member) }
        if !generates {
            for member in message.members where !OllamaAnswer.isOfMessage(member.key) { list.extra(.delta, 0, member) }
        }
        return (start..<list.extras.count, stamp)
    }

    private func fail(_ error: ProviderError, _ list: EventList) {
        sawEnd = true
        list.add(PlainError.event(error))
    }
}
