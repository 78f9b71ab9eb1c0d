// Ids that the gateway has to make because a provider gave none, or gave one that the other side refuses. Pure: the randomness comes from the caller.
import ClawWire

public enum Identifiers {
    private static let digits: StaticString = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

    /// `prefix` and `length` letters and digits, the same for the same seed and ordinal (splitmix64).
    public static func make(_ prefix: StaticString, seed: (UInt64, UInt64), ordinal: Int = 0, length: Int = 24, _ arena: inout JSONArena) -> JSONBytes {
        let head = prefix.utf8CodeUnitCount
        let place = arena.take(head + length)
        place.update(from: prefix.utf8Start, count: head)
        var state = seed.0 ^ (UInt64(truncatingIfNeeded: ordinal) &* 0x9E37_79B9_7F4A_7C15)
        var word: UInt64 = 0
        for at in 0..<length {
            if at % 10 == 0 {
                state = state &+ 0x9E37_79B9_7F4A_7C15 &+ seed.1
                word = mix(state)
            }
            place[head + at] = digits.utf8Start[Int(word % 62)]
            word /= 62
        }
        return JSONBytes(place, head + length)
    }

    /// Nine letters and digits that stand for `id`; the same for the same id, and an id of that form as it is (Mistral).
    public static func nine(_ id: JSONBytes, _ arena: inout JSONArena) -> JSONBytes {
        if id.count == 9, id.raw.allSatisfy(isAlphanumeric) { return id }
        var word = mix(hash(id))
        let place = arena.take(9)
        for at in 0..<9 {
            place[at] = digits.utf8Start[Int(word % 62)]
            word /= 62
        }
        return JSONBytes(place, 9)
    }

    /// The id with whatever is not a letter, digit, `_` or `-` (or in `also`) replaced by `_`, cut to `max` with a hash at its end so that different ids stay
    /// different. Unchanged where nothing is wrong with it.
    public static func safe(_ id: JSONBytes, also: StaticString = "", max: Int = 64, _ arena: inout JSONArena) -> JSONBytes {
        func isFine(_ byte: UInt8) -> Bool {
            if isAlphanumeric(byte) || byte == 0x5F || byte == 0x2D { return true }
            for at in 0..<also.utf8CodeUnitCount where also.utf8Start[at] == byte { return true }
            return false
        }
        if id.count > 0, id.count <= max, id.raw.allSatisfy(isFine) { return id }
        let keep = min(id.count, max - 10)
        let place = arena.take(keep + 10)
        for at in 0..<keep { place[at] = isFine(id[at]) ? id[at] : 0x5F }
        place[keep] = 0x5F
        var word = mix(hash(id))
        for at in 0..<9 {
            place[keep + 1 + at] = digits.utf8Start[Int(word % 62)]
            word /= 62
        }
        return JSONBytes(place, keep + 10)
    }

    /// FNV-1a.
    static func hash(_ bytes: JSONBytes) -> UInt64 {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes.raw { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return value
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) }
}
