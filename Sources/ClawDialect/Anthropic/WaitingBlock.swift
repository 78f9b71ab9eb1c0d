// What the stream writer keeps of blocks that have to wait. Blocks are written one after the other, but other dialects' calls may come side by side:
// while the arguments of one are under way, whatever else comes waits in its order. `ArgumentsScan` tells when arguments are whole, so that a
// call need not stay open until the answer's end in dialects that do not say where a call ends.
import ClawWire

final class WaitingBlock {
    enum Kind: UInt8 { case text, thinking, call, redacted }
    let kind: Kind
    /// Of a call.
    let index: Int32
    var id = JSONWriter()
    var name = JSONWriter()
    /// Escaped: text, thought, data of redacted thinking, or arguments so far.
    var text = JSONWriter()
    var signature = JSONWriter()
    var scan = ArgumentsScan()
    var isEnded = false

    init(_ kind: Kind, index: Int32 = -1) {
        self.kind = kind
        self.index = index
    }
}

/// Follows the nesting of a JSON object that comes in pieces, each the inside of a JSON string itself.
struct ArgumentsScan {
    private var depth = 0
    private var isInString = false
    private var isAfterBackslash = false
    private(set) var isComplete = false

    mutating func take(whole: Bool) { isComplete = whole }

    mutating func take(_ text: JSONBytes) {
        guard let base = text.base else { return }
        var at = 0
        while at < text.count {
            var byte = base[at]
            at += 1
            if byte == 0x5C {
                guard at < text.count else { return }
                byte = base[at]
                at += 1
                switch byte {
                case 0x22, 0x5C, 0x2F: break
                case 0x75:
                    byte = Self.ascii(text, at)
                    at += 4
                default: byte = 0x20
                }
            }
            step(byte)
        }
    }

    private mutating func step(_ byte: UInt8) {
        if isInString {
            if isAfterBackslash {
                isAfterBackslash = false
            } else if byte == 0x5C {
                isAfterBackslash = true
            } else if byte == 0x22 {
                isInString = false
            }
            return
        }
        switch byte {
        case 0x22: isInString = true
        case 0x7B, 0x5B: depth += 1
        case 0x7D, 0x5D:
            depth -= 1
            if depth <= 0 { isComplete = true }
        default: break
        }
    }

    /// The character of `\u00XX`, or one without meaning here.
    private static func ascii(_ text: JSONBytes, _ at: Int) -> UInt8 {
        guard at + 4 <= text.count, text[at] == 0x30, text[at + 1] == 0x30 else { return 0x7F }
        func digit(_ byte: UInt8) -> UInt8 {
            switch byte {
            case 48...57: byte - 48
            case 65...70: byte - 55
            case 97...102: byte - 87
            default: 0
            }
        }
        return digit(text[at + 2]) << 4 | digit(text[at + 3])
    }
}
