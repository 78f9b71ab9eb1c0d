// Frames of application/vnd.amazon.eventstream, as Bedrock's streams have them: lengths and a checksum of them, headers, the payload, and a checksum of all
// before. A frame is opened in place, its headers and payload are appended, and closing it fills in what was left free.

extension OutputBytes {
    /// Leaves room for both lengths and the first checksum; returns where the frame starts.
    mutating func openFrame() -> Int {
        let start = count
        reserve(12)
        count += 12
        return start
    }

    /// A header whose value is a string (type 7).
    mutating func append(frameHeader name: StaticString, _ value: StaticString) {
        append(byte: UInt8(truncatingIfNeeded: name.utf8CodeUnitCount))
        append(name)
        append(byte: 7)
        append(byte: UInt8(truncatingIfNeeded: value.utf8CodeUnitCount >> 8))
        append(byte: UInt8(truncatingIfNeeded: value.utf8CodeUnitCount))
        append(value)
    }

    /// All headers are there: the payload follows.
    mutating func endFrameHeaders(from start: Int) { put(UInt32(truncatingIfNeeded: count - start - 12), at: start + 4) }

    mutating func closeFrame(from start: Int) {
        put(UInt32(truncatingIfNeeded: count - start + 4), at: start)
        put(FrameChecksum.of(UnsafeRawBufferPointer(start: base + start, count: 8)), at: start + 8)
        reserve(4)
        count += 4
        put(FrameChecksum.of(UnsafeRawBufferPointer(start: base + start, count: count - 4 - start)), at: count - 4)
    }

    private func put(_ value: UInt32, at place: Int) {
        UnsafeMutableRawPointer(base + place).storeBytes(of: value.bigEndian, as: UInt32.self)
    }
}

/// CRC-32 with the reflected polynomial 0xEDB88320 (IEEE 802.3, zlib), eight bytes a step (Kounavis and Berry, "slicing-by-8", 2005): table k holds the
/// remainder of a byte that k zero bytes follow.
enum FrameChecksum {
    private static let tables: [UInt32] = {
        var tables: [UInt32] = []
        for byte in UInt32(0) ..< 256 {
            var value = byte
            for _ in 0 ..< 8 { value = value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
            tables.append(value)
        }
        for place in 256 ..< 2048 {
            let before = tables[place - 256]
            tables.append(before >> 8 ^ tables[Int(before & 255)])
        }
        return tables
    }()

    static func of(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        tables.withUnsafeBufferPointer { tables in
            func entry(_ table: Int, _ word: UInt64, _ shift: UInt64) -> UInt32 { tables[table << 8 | Int(word >> shift & 255)] }
            var value = UInt32.max
            var at = 0
            while at + 8 <= bytes.count {
                let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)) ^ UInt64(value)
                let low = entry(7, word, 0) ^ entry(6, word, 8) ^ entry(5, word, 16) ^ entry(4, word, 24)
                value = low ^ entry(3, word, 32) ^ entry(2, word, 40) ^ entry(1, word, 48) ^ entry(0, word, 56)
                at += 8
            }
            while at < bytes.count {
                value = value >> 8 ^ tables[Int(UInt8(truncatingIfNeeded: value) ^ bytes[at])]
                at += 1
            }
            return ~value
        }
    }
}
