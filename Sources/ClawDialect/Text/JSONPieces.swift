// Small things that writers of several dialects do with a `JSONWriter` and that it has no call of its own for: a text that begins anew behind another one
// (events and lines of a stream), and a string whose pieces lie in different places.
import ClawWire

enum JSONPieces {
    /// Begins an object that is no element or member of anything before it, whatever was written before.
    static func beginRoot(_ out: inout JSONWriter) {
        beginMembers(&out)
        out.put(byte: 0x7B)
    }

    /// What follows is the first member of an object whose beginning the caller puts itself: no comma before it.
    static func beginMembers(_ out: inout JSONWriter) {
        let place = out.count
        out.beginObject()
        out.truncate(to: place)
    }

    /// A string that goes on: pieces follow by `put`, then `endString`.
    static func beginString(_ out: inout JSONWriter) {
        out.string("")
        out.truncate(to: out.count - 1)
    }
    static func endString(_ out: inout JSONWriter) { out.put(byte: 0x22) }
}
