// Reads a stream. Each event names its kind in the data, so the SSE event's name is not needed; an event of Bedrock's carries the same data in base64.
//
// Usage comes twice: with the message's start and, cumulative but often without the input's side, at its end; what was said before stays. Calls are
// numbered from 0, whatever blocks stand between them. A block that only this API has (server tools and their results) goes through whole as `opaque`
// events, with its deltas. After `message_stop` or an error nothing counts any more.
import ClawWire

final class MessagesStreamReader: StreamReader {
    private enum Kind: UInt8 { case text, thinking, redacted, call, opaque }
    private struct Block {
        var index: Int64
        var kind: Kind
        var call: Int32
    }
    /// Blocks that are open at the same time; the API opens one.
    private static let openMax = 64

    private var open: [Block] = []
    private var calls: Int32 = 0
    private var usage = Usage()
    private var hasStarted = false

    override func read(_ event: WireEvent, into list: EventList) {
        if sawEnd || event.kind == .done { return }
        if event.kind == .exception { return readException(event, into: list) }
        guard list.arena.tape.read(event.data) == nil, list.arena.tape.root.isObject else { return fail(list) }
        var root = list.arena.tape.root
        if !root["type"].exists, root["bytes"].isString {
            guard let bytes = Base64.decode(root["bytes"].text, &list.arena.arena), list.arena.tape.read(bytes.raw) == nil,
                list.arena.tape.root.isObject
            else { return fail(list) }
            root = list.arena.tape.root
        }
        let type = root["type"]
        if type.equals("content_block_delta") {
            readDelta(root, event, into: list)
        } else if type.equals("content_block_start") {
            readBlockStart(root, event, into: list)
        } else if type.equals("content_block_stop") {
            readBlockStop(root, into: list)
        } else if type.equals("ping") {
            list.add(.ping)
        } else if type.equals("message_start") {
            readStart(root["message"], into: list)
        } else if type.equals("message_delta") {
            readMessageDelta(root, into: list)
        } else if type.equals("message_stop") {
            start(list)
            list.add(.end)
            sawEnd = true
        } else if type.equals("error") {
            readFailure(root, into: list)
        } else if type.isString {
            pass(root, into: list)
        } else {
            fail(list)
        }
    }

    // MARK: the message

    private func readStart(_ message: JSONValue, into list: EventList) {
        guard !hasStarted else { return }
        hasStarted = true
        var event = StreamEvent(.start)
        event.id = message["id"].text
        event.name = message["model"].text
        MessagesDialect.readUsage(message["usage"], into: &usage)
        event.usage = usage
        if list.keepsExtras {
            let from = list.extras.count
            for member in message.members {
                let key = member.key
                if key.equals("usage") {
                    list.extra(.usage, 0, member)
                } else if !(key.equals("id") || key.equals("type") || key.equals("role") || key.equals("model") || key.equals("content")
                    || key.equals("stop_reason") || key.equals("stop_sequence")) {
                    list.extra(.event, 0, member)
                }
            }
            event.extras = from..<list.extras.count
        }
        list.add(event)
    }

    /// For a stream that forgot to.
    private func start(_ list: EventList) {
        if hasStarted { return }
        hasStarted = true
        list.add(.start)
    }

    private func readMessageDelta(_ root: JSONValue, into list: EventList) {
        start(list)
        let delta = root["delta"]
        MessagesDialect.readUsage(root["usage"], into: &usage)
        if delta["stop_reason"].isString, !sawFinish {
            sawFinish = true
            var event = StreamEvent(.finish)
            event.finish = MessagesDialect.finish(delta["stop_reason"])
            event.name = delta["stop_reason"].text
            event.text = delta["stop_sequence"].text
            if list.keepsExtras {
                let from = list.extras.count
                for member in delta.members where !member.key.equals("stop_reason") && !member.key.equals("stop_sequence") {
                    list.extra(.delta, 0, member)
                }
                event.extras = from..<list.extras.count
            }
            list.add(event)
        }
        var event = StreamEvent(.usage)
        event.usage = usage
        if list.keepsExtras {
            let from = list.extras.count
            for member in root.members {
                if member.key.equals("usage") {
                    list.extra(.usage, 0, member)
                } else if !member.key.equals("type"), !member.key.equals("delta") {
                    list.extra(.event, 0, member)
                }
            }
            event.extras = from..<list.extras.count
        }
        list.add(event)
    }

    // MARK: blocks

    private func readBlockStart(_ root: JSONValue, _ wire: WireEvent, into list: EventList) {
        start(list)
        let block = root["content_block"]
        guard let index = root["index"].int, block.isObject, open.count < Self.openMax else { return fail(list) }
        let type = block["type"]
        let number = Int32(clamping: index)
        if type.equals("text") || type.equals("thinking") {
            let isText = type.equals("text")
            open.append(Block(index: index, kind: isText ? .text : .thinking, call: 0))
            var event = StreamEvent(.partStart)
            event.index = number
            event.partKind = isText ? .text : .thinking
            if list.keepsExtras {
                let from = list.extras.count
                for member in block.members where !member.key.equals("type") && !member.key.equals(isText ? "text" : "thinking") {
                    if isText || !member.key.equals("signature") { list.extra(.part, 0, member) }
                }
                event.extras = from..<list.extras.count
            }
            list.add(event)
            let text = block[isText ? "text" : "thinking"].text
            if !text.isEmpty { list.add(isText ? .textDelta : .thinkingDelta, text: text) }
            if !isText, !block["signature"].text.isEmpty { addSignature(block["signature"].text, list) }
        } else if type.equals("tool_use") {
            open.append(Block(index: index, kind: .call, call: calls))
            var event = StreamEvent(.callStart)
            event.index = calls
            event.id = block["id"].text
            event.name = block["name"].text
            calls &+= 1
            if list.keepsExtras {
                let from = list.extras.count
                for member in block.members {
                    let key = member.key
                    if key.equals("type") || key.equals("id") || key.equals("name") || key.equals("input") { continue }
                    list.extra(.part, 0, member)
                }
                event.extras = from..<list.extras.count
            }
            list.add(event)
            let input = block["input"]
            if input.isObject, input.members.contains(where: { _ in true }) {
                var arguments = StreamEvent(.callArguments)
                arguments.index = event.index
                arguments.json = input.raw
                list.add(arguments)
            }
        } else if type.equals("redacted_thinking") {
            open.append(Block(index: index, kind: .redacted, call: 0))
            var event = StreamEvent(.redactedThinking)
            event.index = number
            event.text = block["data"].text
            event.signatureOf = .messages
            list.add(event)
        } else if type.isString {
            open.append(Block(index: index, kind: .opaque, call: 0))
            pass(root, into: list)
        } else {
            fail(list)
        }
    }

    private func readDelta(_ root: JSONValue, _ wire: WireEvent, into list: EventList) {
        start(list)
        let delta = root["delta"]
        let type = delta["type"]
        var block: Block?
        if let last = open.last {
            let index = root["index"].int
            block = last.index == index ? last : open.last { $0.index == index }
        }
        if block?.kind == .opaque { return pass(root, into: list) }
        if type.equals("text_delta") {
            guard delta["text"].isString else { return fail(list) }
            add(.textDelta, delta["text"].text, delta, "text", list)
        } else if type.equals("input_json_delta") {
            guard let block, block.kind == .call, delta["partial_json"].isString else { return fail(list) }
            add(.callArguments, delta["partial_json"].text, delta, "partial_json", list, index: block.call)
        } else if type.equals("thinking_delta") {
            guard delta["thinking"].isString else { return fail(list) }
            add(.thinkingDelta, delta["thinking"].text, delta, "thinking", list)
        } else if type.equals("signature_delta") {
            addSignature(delta["signature"].text, list)
        } else if type.equals("citations_delta") {
            var event = StreamEvent(.citation)
            event.json = delta["citation"].raw
            list.add(event)
        } else if type.isString {
            pass(root, into: list)
        } else {
            fail(list)
        }
    }

    @inline(__always)
    private func add(
        _ kind: StreamEvent.Kind, _ text: JSONBytes, _ delta: JSONValue, _ known: StaticString, _ list: EventList, index: Int32 = 0
    ) {
        var event = StreamEvent(kind)
        event.text = text
        event.index = index
        if list.keepsExtras {
            let from = list.extras.count
            for member in delta.members where !member.key.equals("type") && !member.key.equals(known) { list.extra(.delta, 0, member) }
            event.extras = from..<list.extras.count
        }
        list.add(event)
    }

    private func addSignature(_ text: JSONBytes, _ list: EventList) {
        var event = StreamEvent(.signature)
        event.text = text
        event.signatureOf = .messages
        list.add(event)
    }

    private func readBlockStop(_ root: JSONValue, into list: EventList) {
        let index = root["index"].int
        guard let place = open.lastIndex(where: { $0.index == index }) else { return }
        let block = open.remove(at: place)
        switch block.kind {
        case .text, .thinking:
            var event = StreamEvent(.partEnd)
            event.index = Int32(clamping: block.index)
            event.partKind = block.kind == .text ? .text : .thinking
            list.add(event)
        case .call: list.add(.callEnd, index: Int(block.call))
        case .redacted: break
        case .opaque: pass(root, into: list)
        }
    }

    /// An event that only this dialect knows.
    private func pass(_ root: JSONValue, into list: EventList) {
        start(list)
        var event = StreamEvent(.opaque)
        event.name = root["type"].text
        event.index = Int32(clamping: root["index"].int ?? 0)
        event.json = root.raw
        list.add(event)
    }

    // MARK: failures

    private func readFailure(_ root: JSONValue, into list: EventList) {
        let status = MessagesDialect.status(ofType: root["error"]["type"].text)
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        var event = StreamEvent(.error)
        event.error = MessagesDialect.readError(status: status, root, text: none, kind: JSONBytes(), list.arena)
        list.add(event)
        sawEnd = true
    }

    private func readException(_ wire: WireEvent, into list: EventList) {
        let isJSON = list.arena.tape.read(wire.data) == nil
        var event = StreamEvent(.error)
        event.error = MessagesDialect.readError(
            status: MessagesDialect.status(ofType: wire.name), isJSON ? list.arena.tape.root : JSONValue(), text: wire.data, kind: wire.name, list.arena)
        list.add(event)
        sawEnd = true
    }

    private func fail(_ list: EventList) {
        var error = ProviderError(status: 502, problem: .serverError)
        error.code = JSONBytes("upstream_malformed_answer")
        error.message = JSONBytes("the upstream's stream is malformed")
        var event = StreamEvent(.error)
        event.error = error
        list.add(event)
        sawEnd = true
    }
}
