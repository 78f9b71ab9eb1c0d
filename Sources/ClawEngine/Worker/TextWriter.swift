// Appends bytes to memory whose capacity the caller has made sure of. Used for heads, log lines and small bodies.
import CScan
import ClawWire
import Glibc

struct TextWriter {
    let start: UnsafeMutablePointer<UInt8>
    var at: UnsafeMutablePointer<UInt8>

    init(_ start: UnsafeMutablePointer<UInt8>) {
        self.start = start
        at = start
    }

    var count: Int { at - start }

    @inline(__always)
    mutating func put(_ text: StaticString) {
        let count = text.utf8CodeUnitCount
        memcpy(at, text.utf8Start, count)
        at += count
    }

    @inline(__always)
    mutating func put(_ bytes: Bytes) {
        memcpy(at, bytes.base, bytes.count)
        at += bytes.count
    }

    @inline(__always)
    mutating func put(_ base: UnsafePointer<UInt8>, _ count: Int) {
        memcpy(at, base, count)
        at += count
    }

    @inline(__always)
    mutating func put(_ raw: UnsafeRawBufferPointer) {
        if let base = raw.baseAddress {
            memcpy(at, base, raw.count)
            at += raw.count
        }
    }

    @inline(__always)
    mutating func put(byte: UInt8) {
        at.pointee = byte
        at += 1
    }

    /// Not for the request path: a literal given here would be a String, with its reference counts.
    mutating func put(string: String) {
        var string = string
        string.withUTF8 { if let base = $0.baseAddress { put(base, $0.count) } }
    }

    @inline(__always)
    mutating func put(number value: UInt64) {
        if value < 10 {
            put(byte: 48 + UInt8(truncatingIfNeeded: value))
            return
        }
        var rest = value
        var digits = 0
        var probe = value
        while probe > 0 {
            probe /= 10
            digits += 1
        }
        var place = digits
        while place > 0 {
            place -= 1
            at[place] = 48 + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        at += digits
    }

    mutating func put(signed value: Int64) {
        if value < 0 { put(byte: 45) }
        put(number: value.magnitude)
    }

    @inline(__always)
    mutating func put(hex value: UInt64, digits: Int) {
        var shift = UInt64(digits * 4)
        while shift > 0 {
            shift -= 4
            let nibble = UInt8(truncatingIfNeeded: (value >> shift) & 15)
            put(byte: nibble < 10 ? 48 + nibble : 87 + nibble)
        }
    }

    /// A number in upper bounds of a chunk header: hexadecimal without leading zeros.
    @inline(__always)
    mutating func put(chunkSize value: UInt64) {
        let digits = max(1, (64 - value.leadingZeroBitCount + 3) / 4)
        put(hex: value, digits: digits)
    }

    /// Milliseconds with three decimals, from nanoseconds.
    mutating func put(milliseconds nanoseconds: UInt64) {
        let micros = nanoseconds / 1000
        put(number: micros / 1000)
        let rest = micros % 1000
        put(byte: 46)
        put(byte: 48 + UInt8(rest / 100))
        put(byte: 48 + UInt8(rest / 10 % 10))
        put(byte: 48 + UInt8(rest % 10))
    }

    /// `"…"` with whatever needs it escaped, at most `limit` bytes of the source.
    mutating func put(json raw: UnsafeRawBufferPointer, limit: Int = 512) {
        put(byte: 34)
        let count = min(raw.count, limit)
        if count > 0 {
            at += JSONText.escape(UnsafeRawBufferPointer(rebasing: raw[..<count]), into: at, capacity: count * 6)
        }
        put(byte: 34)
    }
}
