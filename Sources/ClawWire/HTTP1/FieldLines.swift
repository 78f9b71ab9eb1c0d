import CScan

// Cuts the field lines of a head, for requests and responses alike.

/// The resumable state of reading field lines up to the empty line. It is a value inside the parsers: they copy it to the stack,
/// call `next` until it says something else than `.field`, and keep the copy when bytes run out. Only syntax is judged here.
struct FieldLines {
    enum Phase: UInt8 { case lineStart, name, value }
    enum Outcome: UInt8 { case field, end, needMore, refused }

    /// A name's length is kept in 16 bits.
    static let nameBytesMax = 65535

    var phase = Phase.lineStart
    /// Fields delivered so far.
    var count = 0
    /// The next byte to look at; after `.refused` the byte that decided; after `.end` the first byte behind the head.
    var position = 0
    var nameStart = 0
    /// Where the colon is. Valid from phase `.value` on.
    var nameEnd = 0
    /// Valid after `.field`: the value without white space around it.
    var valueStart = 0
    var valueEnd = 0
    /// Valid after `.refused`.
    var fault = MessageFault.bareLF

    @inline(__always)
    mutating func next(_ bytes: UnsafePointer<UInt8>, _ end: Int, _ fieldsMax: Int) -> Outcome {
        var at = position
        if phase == .lineStart {
            guard at < end else { return .needMore }
            if !isOfClass(bytes[at], cscan_http_token) {
                return lineStartsOddly(bytes, end)
            }
            guard count < fieldsMax else { fault = .tooManyFields; return .refused }
            nameStart = at
            phase = .name
        }
        if phase == .name {
            at = cscan_http_token_end(bytes, at, end)
            if at &- nameStart > Self.nameBytesMax {
                position = nameStart + Self.nameBytesMax
                fault = .nameTooLong
                return .refused
            }
            position = at
            guard at < end else { return .needMore }
            guard bytes[at] == 0x3A else { fault = Self.faultInName(bytes[at]); return .refused }
            nameEnd = at
            at &+= 1
            phase = .value
        }
        at = cscan_http_value_end(bytes, at, end)
        position = at
        guard at < end else { return .needMore }
        guard bytes[at] == byteCR else { fault = bytes[at] == byteLF ? .bareLF : .controlByte; return .refused }
        guard at &+ 1 < end else { return .needMore }
        guard bytes[at &+ 1] == byteLF else { position = at &+ 1; fault = .bareCR; return .refused }
        position = at &+ 2
        phase = .lineStart
        var first = nameEnd &+ 1
        while first < at && isBlank(bytes[first]) { first &+= 1 }
        while at > first && isBlank(bytes[at &- 1]) { at &-= 1 }
        valueStart = first
        valueEnd = at
        return .field
    }

    /// A line that does not begin with a name: the empty line, or something wrong.
    @inline(never)
    private mutating func lineStartsOddly(_ bytes: UnsafePointer<UInt8>, _ end: Int) -> Outcome {
        switch bytes[position] {
        case byteCR:
            guard position + 1 < end else { return .needMore }
            guard bytes[position + 1] == byteLF else { position += 1; fault = .bareCR; return .refused }
            position += 2
            return .end
        case byteLF: fault = .bareLF
        case byteSP, byteHTAB: fault = count == 0 ? .spaceBeforeFields : .foldedLine
        case 0x3A: fault = .emptyName
        default: fault = .nameByte
        }
        return .refused
    }

    private static func faultInName(_ byte: UInt8) -> MessageFault {
        switch byte {
        case byteCR: .noColon
        case byteLF: .bareLF
        case byteSP, byteHTAB: .spaceBeforeColon
        default: .nameByte
        }
    }
}
