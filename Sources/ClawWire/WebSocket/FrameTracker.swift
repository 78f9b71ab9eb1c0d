// Where one direction of a WebSocket stands (RFC 6455 §5.2), told from the bytes that pass. A tunnel relays bytes, not frames; it follows frames only
// to know three things: whether it stands between two of them (only there may it put a close frame of its own), with which code the peer closed,
// and how many messages went by. So this is a small value that is fed bytes as they come, cut anywhere, keeps none of them and judges nothing:
// what a peer may not send is for the other peer to refuse.

public struct FrameTracker: Sendable {
    /// What the next byte is.
    private enum Phase: UInt8 { case first, second, length, mask, payload }

    private var phase = Phase.first
    private var opcode: UInt8 = 0
    private var isFinal = false
    private var isMasked = false
    /// Bytes of the extended length or of the mask that are still to come.
    private var headLeft: UInt8 = 0
    /// The mask of a close frame, first byte highest; its code is masked too.
    private var mask: UInt32 = 0
    private var payloadLeft: UInt64 = 0
    /// Bytes of a close frame's code seen.
    private var codeSeen: UInt8 = 0
    private var code: UInt16 = 0

    /// Messages whose last frame is complete (RFC 6455 §5.4); control frames are none.
    public private(set) var messages: UInt64 = 0
    /// A whole close frame has passed.
    public private(set) var sawClose = false
    /// Its code; 1005 when it had none (RFC 6455 §7.1.5). 0: no close frame yet.
    public private(set) var closeCode: UInt16 = 0
    /// A length beyond 2^63 was announced (RFC 6455 §5.2 has none): nothing behind it can be told apart.
    public private(set) var isLost = false

    public init() {}

    /// Nothing of a frame is under way: a control frame may be put in here, between the fragments of a message too.
    @inline(__always) public var isBetweenFrames: Bool { phase == .first && !isLost }

    /// Follows `count` bytes and returns how many it took: all of them, or, with `stopsBetweenFrames`, those up to the first place between two frames
    /// (0 when it stands there already).
    public mutating func follow(_ bytes: UnsafePointer<UInt8>, _ count: Int, stopsBetweenFrames: Bool = false) -> Int {
        if isLost { return count }
        var at = 0
        if stopsBetweenFrames, phase == .first { return 0 }
        while at < count {
            switch phase {
            case .first:
                isFinal = bytes[at] & 0x80 != 0
                opcode = bytes[at] & 0x0F
                at += 1
                phase = .second
            case .second:
                isMasked = bytes[at] & 0x80 != 0
                let short = bytes[at] & 0x7F
                at += 1
                payloadLeft = short < 126 ? UInt64(short) : 0
                headLeft = short == 126 ? 2 : short == 127 ? 8 : 0
                if headLeft > 0 { phase = .length } else { lengthIsKnown() }
            case .length:
                payloadLeft = payloadLeft << 8 | UInt64(bytes[at])
                at += 1
                headLeft -= 1
                if headLeft == 0 {
                    if payloadLeft >> 63 != 0 {
                        isLost = true
                        return count
                    }
                    lengthIsKnown()
                }
            case .mask:
                mask = mask << 8 | UInt32(bytes[at])
                at += 1
                headLeft -= 1
                if headLeft == 0 { payloadBegins() }
            case .payload:
                let take = Int(min(payloadLeft, UInt64(count - at)))
                if opcode == Self.close, codeSeen < 2 { readCode(bytes + at, take) }
                at += take
                payloadLeft -= UInt64(take)
                if payloadLeft == 0 { frameEnds() }
            }
            if stopsBetweenFrames, phase == .first { return at }
        }
        return at
    }

    private static let close: UInt8 = 8

    private mutating func lengthIsKnown() {
        mask = 0
        if isMasked {
            phase = .mask
            headLeft = 4
        } else {
            payloadBegins()
        }
    }

    private mutating func payloadBegins() {
        codeSeen = 0
        code = 0
        phase = .payload
        if payloadLeft == 0 { frameEnds() }
    }

    private mutating func readCode(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        var at = 0
        while at < count, codeSeen < 2 {
            let key = UInt8(truncatingIfNeeded: mask >> (24 - UInt32(codeSeen) * 8))
            code = code << 8 | UInt16(bytes[at] ^ key)
            codeSeen += 1
            at += 1
        }
    }

    private mutating func frameEnds() {
        phase = .first
        if opcode == Self.close {
            if !sawClose { closeCode = codeSeen == 2 ? code : 1005 }
            sawClose = true
        } else if opcode < 8, isFinal {
            messages &+= 1
        }
    }
}

/// A close frame of ours (RFC 6455 §5.5.1).
public enum CloseFrame {
    /// First byte, length, mask, code, and a reason of at most 123 bytes.
    public static let bytesMax = 2 + 4 + 125

    /// Writes one into `into`, which has room for `bytesMax`; `mask`, not nil, as clients must (§5.3). Returns its length.
    public static func write(code: UInt16, reason: StaticString, mask: UInt32?, into: UnsafeMutablePointer<UInt8>) -> Int {
        let count = 2 + min(123, reason.utf8CodeUnitCount)
        into[0] = 0x88
        into[1] = UInt8(count) | (mask == nil ? 0 : 0x80)
        var at = 2
        if let mask {
            for index in 0..<4 { into[at + index] = UInt8(truncatingIfNeeded: mask >> (24 - UInt32(index) * 8)) }
            at += 4
        }
        for index in 0..<count {
            let byte = index == 0 ? UInt8(code >> 8) : index == 1 ? UInt8(truncatingIfNeeded: code) : reason.utf8Start[index - 2]
            let key = mask.map { UInt8(truncatingIfNeeded: $0 >> (24 - UInt32(index & 3) * 8)) } ?? 0
            into[at + index] = byte ^ key
        }
        return at + count
    }
}
