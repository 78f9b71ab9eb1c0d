// A hash of what a conversation begins with: the same for all of its turns, so that they meet the same key and endpoint, and with them the provider's prompt
// cache. It covers the system text, then the messages up to the end of the first of the user's, at most the first 4 KiB of all that: about 1,024 tokens, the
// least that providers cache, so that conversations under one long system text stay together. Tools are left out; they may change between turns.
//
// The system text may stand behind the messages, so the messages' hash is kept for each length that may be allowed, in steps of 64 bytes.

public struct PrefixHash {
    public static let bytesMax = 4096
    static let step = 64, steps = bytesMax / step

    private var system = Part()
    private var messages = Part()
    private var checkpoints = InlineArray<64, UInt64>(repeating: 0)
    private var isOver = false

    public init() {}

    /// Text of one string as a hash that grows. The ends of strings are part of it.
    private struct Part {
        var hash: UInt64 = 0
        var word: UInt64 = 0
        var count = 0
        var current: UInt64 { count % 8 == 0 ? hash : Mix.mix(hash ^ word, UInt64(count % 8)) }

        @inline(__always)
        mutating func add(_ byte: UInt8) {
            word = word << 8 | UInt64(byte)
            count += 1
            if count % 8 == 0 {
                hash = Mix.mix(hash ^ word)
                word = 0
            }
        }
    }

    @inline(__always)
    public mutating func text(_ bytes: UnsafeRawBufferPointer, isSystem: Bool) {
        if isSystem {
            guard system.count < Self.bytesMax else { return }
            for byte in bytes.prefix(Self.bytesMax - system.count) { system.add(byte) }
        } else if !isOver, messages.count < Self.bytesMax {
            for byte in bytes.prefix(Self.bytesMax - messages.count) { add(byte) }
        }
    }

    @inline(__always)
    public mutating func textEnd(isSystem: Bool) {
        if isSystem {
            if system.count < Self.bytesMax { system.add(0xFF) }
        } else if !isOver, messages.count < Self.bytesMax {
            add(0xFF)
        }
    }

    @inline(__always)
    private mutating func add(_ byte: UInt8) {
        messages.add(byte)
        if messages.count % Self.step == 0 { checkpoints[messages.count / Self.step - 1] = messages.hash }
    }

    @inline(__always)
    public mutating func messageEnd(isUser: Bool) { if isUser, messages.count > 0 { isOver = true } }

    /// 0 where there was no text.
    public var value: UInt64 {
        guard system.count + messages.count > 0 else { return 0 }
        let room = Self.bytesMax - system.count
        var rest = messages.current
        if messages.count > room { rest = room < Self.step ? 0 : checkpoints[room / Self.step - 1] }
        let all = Mix.mix(system.current, rest)
        return all == 0 ? 1 : all
    }
}
