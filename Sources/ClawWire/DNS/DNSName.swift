// Names as they stand in messages (RFC 1035 §3.1, §4.1.4): labels with their lengths before them, ended by an empty one. Here they are always held
// uncompressed and in lower case, so that two are the same exactly when their bytes are.
struct DNSName: Hashable, Sendable {
    /// Labels with their lengths, and the empty one at the end: 1 … 255 bytes.
    var wire: [UInt8]

    static let wireBytesMax = 255
    /// Pointers followed in one name. A name has at most 127 labels, so no honest one needs as many.
    static let pointersMax = 127
    static let root = DNSName(wire: [0])

    init(wire: [UInt8]) { self.wire = wire }

    /// A host or service name: letters, digits, "-" and "_", labels of 1 … 63 bytes, 253 in all; a final dot is allowed.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        var end = bytes.count
        if end > 0, bytes[end - 1] == 0x2E { end -= 1 }
        guard end > 0, end <= 253 else { return nil }
        var wire: [UInt8] = []
        wire.reserveCapacity(end + 2)
        for label in bytes[..<end].split(separator: 0x2E, omittingEmptySubsequences: false) {
            guard label.count >= 1, label.count <= 63 else { return nil }
            wire.append(UInt8(label.count))
            for byte in label {
                guard Self.isPlain(byte) else { return nil }
                wire.append(Self.folded(byte))
            }
        }
        wire.append(0)
        self.wire = wire
    }

    /// The name that begins at `at`; `at` is then behind it where it stands. A pointer must lead before the place where the labels being read began, so
    /// that every jump goes further back and none can come round; the first twelve bytes are the header.
    static func read(_ message: UnsafeRawBufferPointer, _ at: inout Int) -> DNSName? {
        var wire: [UInt8] = []
        var place = at
        var began = at
        var jumps = 0
        while true {
            guard place >= 0, place < message.count else { return nil }
            let length = Int(message[place])
            switch length & 0xC0 {
            case 0x00:
                guard place + 1 + length <= message.count, wire.count + 1 + length <= wireBytesMax else { return nil }
                wire.append(UInt8(length))
                for byte in message[place + 1..<place + 1 + length] { wire.append(folded(byte)) }
                place += 1 + length
                if length == 0 {
                    if jumps == 0 { at = place }
                    return DNSName(wire: wire)
                }
            case 0xC0:
                guard place + 2 <= message.count else { return nil }
                let target = (length & 0x3F) << 8 | Int(message[place + 1])
                if jumps == 0 { at = place + 2 }
                jumps += 1
                guard target >= 12, target < began, jumps <= pointersMax else { return nil }
                began = target
                place = target
            default:
                // 01 and 10 are kinds of label that nobody speaks any more (RFC 6891 §5).
                return nil
            }
        }
    }

    /// Without the final dot; nil for the root and for labels that no host name has (they may hold any byte).
    var text: String? {
        var text: [UInt8] = []
        var at = 0
        while at < wire.count, wire[at] != 0 {
            let length = Int(wire[at])
            guard at + 1 + length < wire.count else { return nil }
            if at > 0 { text.append(0x2E) }
            for byte in wire[at + 1..<at + 1 + length] {
                guard Self.isPlain(byte) else { return nil }
                text.append(byte)
            }
            at += 1 + length
        }
        return text.isEmpty ? nil : String(decoding: text, as: UTF8.self)
    }

    /// True for the name itself and all above it.
    func isAtOrAbove(_ other: DNSName) -> Bool {
        var at = 0
        while at < other.wire.count {
            if other.wire[at...].elementsEqual(wire) { return true }
            at += 1 + Int(other.wire[at])
        }
        return false
    }

    private static func folded(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte }
    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x5F: true
        default: false
        }
    }
}
