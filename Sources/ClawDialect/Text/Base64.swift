// Base64 (RFC 4648) for what is carried in it on one side and not on the other: vectors of float32, Bedrock's blobs. Decoding takes both alphabets and
// missing padding, because Gemini's answers use base64url.
import ClawWire

public enum Base64 {
    private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    public static func encodedCount(_ count: Int) -> Int { (count + 2) / 3 * 4 }

    /// Writes `encodedCount(bytes.count)` bytes.
    public static func encode(_ bytes: UnsafeRawBufferPointer, into out: UnsafeMutablePointer<UInt8>) {
        var at = 0
        var place = 0
        let table = alphabet.utf8Start
        while at < bytes.count {
            let left = bytes.count - at
            let word = UInt32(bytes[at]) << 16 | (left > 1 ? UInt32(bytes[at + 1]) << 8 : 0) | (left > 2 ? UInt32(bytes[at + 2]) : 0)
            out[place] = table[Int(word >> 18)]
            out[place + 1] = table[Int(word >> 12 & 63)]
            out[place + 2] = left > 1 ? table[Int(word >> 6 & 63)] : 0x3D
            out[place + 3] = left > 2 ? table[Int(word & 63)] : 0x3D
            at += 3
            place += 4
        }
    }

    public static func encode(_ bytes: UnsafeRawBufferPointer, _ arena: inout JSONArena) -> JSONBytes {
        let place = arena.take(max(1, encodedCount(bytes.count)))
        encode(bytes, into: place)
        return JSONBytes(place, encodedCount(bytes.count))
    }

    /// Decoded bytes, or nil for what is no base64.
    public static func decode(_ text: JSONBytes, _ arena: inout JSONArena) -> JSONBytes? {
        let place = arena.take(max(1, text.count / 4 * 3 + 3))
        var count = 0
        var word: UInt32 = 0
        var bits = 0
        for byte in text.raw {
            let value: UInt32
            switch byte {
            case 65...90: value = UInt32(byte) - 65
            case 97...122: value = UInt32(byte) - 71
            case 48...57: value = UInt32(byte) + 4
            case 0x2B, 0x2D: value = 62
            case 0x2F, 0x5F: value = 63
            case 0x3D, 0x0A, 0x0D, 0x20: continue
            default: return nil
            }
            word = word << 6 | value
            bits += 6
            if bits >= 8 {
                bits -= 8
                place[count] = UInt8(truncatingIfNeeded: word >> UInt32(bits))
                count += 1
            }
        }
        return JSONBytes(place, count)
    }

    /// A raw JSON array of numbers as base64 of little-endian float32 (OpenAI's `encoding_format: base64`).
    public static func vector(_ numbers: JSONValue, _ arena: inout JSONArena) -> JSONBytes {
        let length = numbers.count
        let place = arena.take(max(4, length * 4))
        var at = 0
        for number in numbers.elements {
            let bits = Float(number.double ?? 0).bitPattern.littleEndian
            UnsafeMutableRawPointer(place).storeBytes(of: bits, toByteOffset: at, as: UInt32.self)
            at += 4
        }
        return encode(UnsafeRawBufferPointer(start: place, count: at), &arena)
    }

    /// The other way: writes the array of numbers.
    public static func writeVector(_ text: JSONBytes, _ arena: inout JSONArena, into out: inout JSONWriter) {
        out.beginArray()
        if let bytes = decode(text, &arena) {
            var at = 0
            while at + 4 <= bytes.count {
                let bits = bytes.raw.loadUnaligned(fromByteOffset: at, as: UInt32.self)
                out.number(float: Float(bitPattern: UInt32(littleEndian: bits)))
                at += 4
            }
        }
        out.endArray()
    }
}
