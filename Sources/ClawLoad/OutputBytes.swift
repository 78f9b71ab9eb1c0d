// OutputBytes: a growable run of bytes that answers and requests are written into before they are sent. It owns plain memory
// and never shrinks, so a worker that has one writes without allocating; whoever holds it calls `deallocate`. A copy of the
// value names the same memory: pass it by reference (as a stored property) only.

struct OutputBytes {
    private(set) var base: UnsafeMutablePointer<UInt8>
    private(set) var capacity: Int
    var count = 0

    init(capacity: Int) {
        base = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    func deallocate() { base.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// Makes room for `more` bytes behind what is there.
    @inline(__always)
    mutating func reserve(_ more: Int) {
        if capacity - count < more { grow(more) }
    }

    @inline(never)
    private mutating func grow(_ more: Int) {
        let wanted = max(capacity * 2, count + more)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted)
        larger.update(from: base, count: count)
        base.deallocate()
        base = larger
        capacity = wanted
    }

    @inline(__always)
    mutating func append(_ text: StaticString) {
        append(text.utf8Start, text.utf8CodeUnitCount)
    }

    @inline(__always)
    mutating func append(_ start: UnsafePointer<UInt8>, _ length: Int) {
        reserve(length)
        UnsafeMutableRawPointer(base + count).copyMemory(from: start, byteCount: length)
        count += length
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        reserve(bytes.count)
        UnsafeMutableRawPointer(base + count).copyMemory(from: start, byteCount: bytes.count)
        count += bytes.count
    }

    @inline(__always)
    mutating func append(byte: UInt8) {
        reserve(1)
        base[count] = byte
        count += 1
    }

    mutating func append(repeating byte: UInt8, _ times: Int) {
        guard times > 0 else { return }
        reserve(times)
        (base + count).update(repeating: byte, count: times)
        count += times
    }

    /// Off the hot path: text of our own making.
    mutating func append(text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    mutating func append(decimal value: UInt64) {
        reserve(20)
        var digits = 1
        var rest = value
        while rest >= 10 { rest /= 10; digits += 1 }
        var at = count + digits
        rest = value
        repeat {
            at -= 1
            base[at] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
        count += digits
    }

    mutating func append(hex value: UInt64, digits: Int) {
        reserve(16)
        for place in 0 ..< digits {
            base[count + place] = Self.hexDigit(UInt8(truncatingIfNeeded: value >> (4 * UInt64(digits - 1 - place))) & 15)
        }
        count += digits
    }

    /// Appends bytes as the inside of a JSON string: quotes, backslashes and controls escaped, bytes that are not
    /// ASCII as the Latin-1 character of that number, so that any header value comes out as valid JSON.
    mutating func append(jsonEscaped bytes: UnsafeRawBufferPointer) {
        for byte in bytes {
            switch byte {
            case 0x22, 0x5c:
                append(byte: 0x5c)
                append(byte: byte)
            case 0x20 ..< 0x7f:
                append(byte: byte)
            default:
                append("\\u00")
                append(hex: UInt64(byte), digits: 2)
            }
        }
    }

    /// Appends RFC 4648 base64 with padding.
    mutating func append(base64 bytes: UnsafeRawBufferPointer) {
        let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        let table = alphabet.utf8Start
        reserve((bytes.count + 2) / 3 * 4)
        var at = 0
        while at < bytes.count {
            let left = bytes.count - at
            let a = bytes[at], b = left > 1 ? bytes[at + 1] : 0, c = left > 2 ? bytes[at + 2] : 0
            base[count] = table[Int(a >> 2)]
            base[count + 1] = table[Int((a & 3) << 4 | b >> 4)]
            base[count + 2] = left > 1 ? table[Int((b & 15) << 2 | c >> 6)] : 0x3d
            base[count + 3] = left > 2 ? table[Int(c & 63)] : 0x3d
            count += 4
            at += 3
        }
    }

    /// Puts an HTTP chunk's frame around everything from `start` on, which was written with `chunkRoom` bytes left free before it.
    mutating func closeChunk(from start: Int) {
        let length = count - start - Self.chunkRoom
        var digits = 1
        while digits < 8 && length >> (4 * digits) > 0 { digits += 1 }
        let shift = Self.chunkRoom - digits - 2
        if shift > 0 {
            let from = base + start + Self.chunkRoom
            UnsafeMutableRawPointer(from - shift).copyMemory(from: from, byteCount: length)
            count -= shift
        }
        for place in 0 ..< digits {
            base[start + place] = Self.hexDigit(UInt8(truncatingIfNeeded: length >> (4 * (digits - 1 - place))) & 15)
        }
        base[start + digits] = 0x0d
        base[start + digits + 1] = 0x0a
        append("\r\n")
    }

    /// Leaves room for a chunk's size line and returns where the chunk starts.
    mutating func openChunk() -> Int {
        let start = count
        reserve(Self.chunkRoom)
        count += Self.chunkRoom
        return start
    }

    /// Eight digits of size and CRLF.
    static let chunkRoom = 10

    @inline(__always)
    static func hexDigit(_ nibble: UInt8) -> UInt8 { nibble < 10 ? 0x30 + nibble : 0x57 + nibble }
}
