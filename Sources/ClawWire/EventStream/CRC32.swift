// CRC-32 as in zlib and Ethernet (IEEE 802.3, reflected polynomial 0xEDB88320), eight bytes a step: what Amazon's event stream guards its frames with.
// Checked against the check value of the CRC catalogue ("123456789" is 0xCBF43926).

public enum CRC32 {
    /// Eight tables of 256, one behind the other: table k tells what a byte does that has k bytes behind it.
    nonisolated(unsafe) private static let tables: UnsafePointer<UInt32> = {
        let place = UnsafeMutablePointer<UInt32>.allocate(capacity: 8 * 256)
        for byte in 0..<256 {
            var value = UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
            place[byte] = value
        }
        for at in 256..<8 * 256 { place[at] = place[at - 256] >> 8 ^ place[Int(place[at - 256] & 255)] }
        return UnsafePointer(place)
    }()

    /// `before`: the checksum of the bytes before these.
    public static func of(_ bytes: UnsafeRawBufferPointer, after before: UInt32 = 0) -> UInt32 {
        guard let base = bytes.baseAddress else { return before }
        let t = tables
        var value = ~before
        var at = base
        var left = bytes.count
        while left >= 8 {
            let low = UInt32(littleEndian: at.loadUnaligned(as: UInt32.self)) ^ value
            let high = UInt32(littleEndian: at.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
            value = t[Int(7 * 256 + (low & 255))] ^ t[Int(6 * 256 + (low >> 8 & 255))] ^ t[Int(5 * 256 + (low >> 16 & 255))] ^ t[Int(4 * 256 + (low >> 24))]
            value ^= t[Int(3 * 256 + (high & 255))] ^ t[Int(2 * 256 + (high >> 8 & 255))] ^ t[Int(256 + (high >> 16 & 255))] ^ t[Int(high >> 24)]
            at += 8
            left -= 8
        }
        for place in 0..<left { value = value >> 8 ^ t[Int((value ^ UInt32(at.load(fromByteOffset: place, as: UInt8.self))) & 255)] }
        return ~value
    }
}
