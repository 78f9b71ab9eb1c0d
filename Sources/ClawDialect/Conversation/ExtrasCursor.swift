// Gives a scope's extras back place by place. Readers add them in the order of the text, so one walk over all of them serves all messages (or tools) of a
// request, however many there are.
import ClawWire

struct ExtrasCursor {
    private let scope: Extra.Scope
    private var at = 0
    init(_ scope: Extra.Scope) { self.scope = scope }

    /// Writes the extras of this index; the indices of the calls must rise.
    mutating func write(_ index: Int, of extras: [Extra], into out: inout JSONWriter) {
        while at < extras.count {
            if extras[at].scope == scope {
                if extras[at].index > index { return }
                if extras[at].index == index {
                    out.key(extras[at].key)
                    out.value(extras[at].value)
                }
            }
            at += 1
        }
    }
}
