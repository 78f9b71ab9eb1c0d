// An output item of a stream that is being written: what has to be known of it until the response's last event, which repeats all items in full.
import ClawWire

final class ResponsesOutputItem {
    enum Kind { case message, reasoning, function, custom }
    enum Piece { case none, text, refusal, summary }

    let kind: Kind
    let outputIndex: Int
    let id: JSONBytes
    /// Of a call.
    var callID = JSONBytes()
    var name = JSONBytes()
    var isOpen = true
    /// The piece of content under way.
    var piece = Piece.none
    /// Of the piece under way, or of the next one.
    var pieceIndex = 0
    /// Text of the piece under way, or a call's arguments so far.
    var text = JSONWriter()
    /// How much of `text` was sent as deltas.
    var sent = 0
    /// `,"item_id":…` up to the delta's opening quote: the same for all deltas of a piece.
    var place = JSONBytes()
    /// Annotations of the piece under way, and pieces of content that are finished: elements of JSON arrays.
    var annotations = JSONWriter()
    var pieces = JSONWriter()
    /// The whole item, once it is closed.
    var whole = JSONWriter()
    var proof = JSONBytes()
    var annotationCount = 0

    init(_ kind: Kind, _ outputIndex: Int, id: JSONBytes) {
        self.kind = kind
        self.outputIndex = outputIndex
        self.id = id
    }

    var isCall: Bool { kind == .function || kind == .custom }

    /// What of `text` can be sent now: all but the first half of a surrogate pair at its end, which waits for its other half because parsers of single
    /// events make a replacement character of each half.
    func unsent(isLast: Bool = false) -> JSONBytes {
        let written = text.written
        var end = written.count
        if !isLast, end - sent >= 6, Self.endsInHalf(written) { end -= 6 }
        let piece = JSONBytes(written.base.map { $0 + sent }, end - sent)
        sent = end
        return piece
    }

    /// True for an end of `\uD800`…`\uDBFF` whose backslash is not itself escaped.
    private static func endsInHalf(_ text: JSONBytes) -> Bool {
        let raw = text.raw
        let at = raw.count - 6
        guard raw[at] == 0x5C, raw[at + 1] == 0x75, raw[at + 2] | 0x20 == 0x64 else { return false }
        let third = raw[at + 3] | 0x20
        guard raw[at + 3] == 0x38 || raw[at + 3] == 0x39 || third == 0x61 || third == 0x62 else { return false }
        var before = at
        while before > 0, raw[before - 1] == 0x5C { before -= 1 }
        return (at - before).isMultiple(of: 2)
    }

    /// The item as it is now, without the braces' comma: for `output_item.added`, `output_item.done` and the response's `output`.
    func write(status: StaticString, into out: inout JSONWriter) {
        out.put("{\"id\":\"")
        out.put(id)
        switch kind {
        case .message:
            out.put("\",\"type\":\"message\",\"status\":\"")
            out.put(status)
            out.put("\",\"content\":[")
            out.put(pieces.written)
            out.put("],\"role\":\"assistant\"}")
        case .reasoning:
            out.put("\",\"type\":\"reasoning\",\"summary\":[")
            out.put(pieces.written)
            out.put("]")
            if proof.exists {
                out.put(",\"encrypted_content\":\"")
                out.put(proof)
                out.put("\"")
            }
            out.put("}")
        case .function, .custom:
            out.put(kind == .function ? "\",\"type\":\"function_call\",\"status\":\"" : "\",\"type\":\"custom_tool_call\",\"status\":\"")
            out.put(status)
            out.put(kind == .function ? "\",\"arguments\":\"" : "\",\"input\":\"")
            out.put(text.written)
            out.put("\",\"call_id\":\"")
            out.put(callID)
            out.put("\",\"name\":\"")
            out.put(name)
            out.put("\"}")
        }
    }

    /// The piece under way as an object.
    func writePiece(into out: inout JSONWriter) {
        switch piece {
        case .none: break
        case .text:
            out.put("{\"type\":\"output_text\",\"annotations\":[")
            out.put(annotations.written)
            out.put("],\"logprobs\":[],\"text\":\"")
            out.put(text.written)
            out.put("\"}")
        case .refusal:
            out.put("{\"type\":\"refusal\",\"refusal\":\"")
            out.put(text.written)
            out.put("\"}")
        case .summary:
            out.put("{\"type\":\"summary_text\",\"text\":\"")
            out.put(text.written)
            out.put("\"}")
        }
    }
}
