// Extras of a request of this dialect, by the place they were read from. The reader comes to the places in their order, so that each list is sorted as it is,
// and a request of nothing but unknown members is still written in time that grows with its length.
import ClawWire

struct PlacedExtras {
    private var messages: [(index: Int, key: JSONBytes, value: JSONBytes)] = []
    private var parts: [(index: Int, key: JSONBytes, value: JSONBytes)] = []
    private var inner: [(index: Int, key: JSONBytes, value: JSONBytes)] = []
    private var tools: [(index: Int, key: JSONBytes, value: JSONBytes)] = []

    /// Nothing where the request is of another dialect.
    init(_ conversation: Conversation) {
        guard conversation.source == .messages else { return }
        for extra in conversation.extras {
            var scope = extra.scope
            var index = extra.index
            if scope == .nested, index <= Conversation.placedHintMax { (scope, index) = MessagesDialect.Nested.place(index) }
            switch scope {
            case .message: messages.append((index, extra.key, extra.value))
            case .part: parts.append((index, extra.key, extra.value))
            case .inner: inner.append((index, extra.key, extra.value))
            case .tool: tools.append((index, extra.key, extra.value))
            case .root, .choice, .usage, .event, .delta, .nested: break
            }
        }
    }

    private func list(_ scope: Extra.Scope) -> [(index: Int, key: JSONBytes, value: JSONBytes)] {
        switch scope {
        case .message: messages
        case .part: parts
        case .inner: inner
        case .tool: tools
        case .root, .choice, .usage, .event, .delta, .nested: []
        }
    }

    private func first(_ list: [(index: Int, key: JSONBytes, value: JSONBytes)], _ index: Int) -> Int {
        var low = 0
        var high = list.count
        while low < high {
            let middle = (low + high) / 2
            if list[middle].index < index { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func has(_ scope: Extra.Scope, _ index: Int) -> Bool {
        let list = list(scope)
        let at = first(list, index)
        return at < list.count && list[at].index == index
    }

    func write(_ scope: Extra.Scope, _ index: Int, into out: inout JSONWriter) {
        let list = list(scope)
        var at = first(list, index)
        while at < list.count, list[at].index == index {
            out.key(list[at].key)
            out.value(list[at].value)
            at += 1
        }
    }
}
