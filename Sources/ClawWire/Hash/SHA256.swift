// SHA-256 (FIPS 180-4) in plain Swift. It names configurations and signs requests to Bedrock (SigV4), so 150 lines here are cheaper than swift-crypto,
// which would add BoringSSL and minutes to every clean build. The hash is a value that owns no memory: hashing allocates nothing unless an array or a
// String is asked for. Checked against the vectors of NIST's CAVP (short, long, million-a).

public struct SHA256: Sendable {
    public static let digestBytes = 32
    static let blockBytes = 64

    private var state: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) =
        (0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19)
    /// Bytes not yet hashed: the first `length % 64` of these.
    private var pending = InlineArray<64, UInt8>(repeating: 0)
    private var length: UInt64 = 0

    public init() {}

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        var held = Int(length % 64)
        length &+= UInt64(bytes.count)
        var at = base
        var left = bytes.count
        if held > 0 {
            let take = min(64 - held, left)
            for place in 0..<take { pending[held + place] = at.load(fromByteOffset: place, as: UInt8.self) }
            held += take
            at += take
            left -= take
            guard held == 64 else { return }
            compressPending()
        }
        if left >= 64 {
            let blocks = left / 64
            Self.compress(&state, at, blocks)
            at += blocks * 64
            left -= blocks * 64
        }
        for place in 0..<left { pending[place] = at.load(fromByteOffset: place, as: UInt8.self) }
    }

    /// The digest, 32 bytes, into the caller's memory.
    public consuming func finish(into out: UnsafeMutablePointer<UInt8>) {
        let bits = length &* 8
        var held = Int(length % 64)
        pending[held] = 0x80
        held += 1
        if held > 56 {
            for place in held..<64 { pending[place] = 0 }
            compressPending()
            held = 0
        }
        for place in held..<56 { pending[place] = 0 }
        for place in 0..<8 { pending[56 + place] = UInt8(truncatingIfNeeded: bits >> UInt64(56 - place * 8)) }
        compressPending()
        let place = UnsafeMutableRawPointer(out)
        place.storeBytes(of: state.0.bigEndian, toByteOffset: 0, as: UInt32.self)
        place.storeBytes(of: state.1.bigEndian, toByteOffset: 4, as: UInt32.self)
        place.storeBytes(of: state.2.bigEndian, toByteOffset: 8, as: UInt32.self)
        place.storeBytes(of: state.3.bigEndian, toByteOffset: 12, as: UInt32.self)
        place.storeBytes(of: state.4.bigEndian, toByteOffset: 16, as: UInt32.self)
        place.storeBytes(of: state.5.bigEndian, toByteOffset: 20, as: UInt32.self)
        place.storeBytes(of: state.6.bigEndian, toByteOffset: 24, as: UInt32.self)
        place.storeBytes(of: state.7.bigEndian, toByteOffset: 28, as: UInt32.self)
    }

    /// The 32 bytes of the digest.
    public consuming func finish() -> [UInt8] {
        let hash = self
        return [UInt8](unsafeUninitializedCapacity: Self.digestBytes) { buffer, count in
            if let base = buffer.baseAddress { hash.finish(into: base) }
            count = Self.digestBytes
        }
    }

    /// The digest of these bytes, into 32 bytes of the caller's.
    public static func digest(of bytes: UnsafeRawBufferPointer, into out: UnsafeMutablePointer<UInt8>) {
        var hash = SHA256()
        hash.update(bytes)
        hash.finish(into: out)
    }

    /// Lower-case hexadecimal digits of `count` bytes, into twice as many of the caller's.
    public static func writeHex(_ bytes: UnsafePointer<UInt8>, _ count: Int = digestBytes, into out: UnsafeMutablePointer<UInt8>) {
        for at in 0..<count {
            let high = bytes[at] >> 4
            let low = bytes[at] & 15
            out[at * 2] = high < 10 ? 48 + high : 87 + high
            out[at * 2 + 1] = low < 10 ? 48 + low : 87 + low
        }
    }

    public static func hash(_ bytes: [UInt8]) -> [UInt8] {
        var hash = SHA256()
        bytes.withUnsafeBytes { hash.update($0) }
        return hash.finish()
    }

    /// Lower-case hexadecimal digest, 64 characters.
    public static func hex(of bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: hash(bytes).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    private mutating func compressPending() {
        let block = pending
        withUnsafeBytes(of: block) { if let base = $0.baseAddress { Self.compress(&state, base, 1) } }
    }

    private static func compress(
        _ state: inout (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32), _ bytes: UnsafeRawPointer, _ blocks: Int
    ) {
        let k = constants
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { words in
            guard let w = words.baseAddress else { return }
            for block in 0..<blocks {
                let start = bytes + block * 64
                for t in 0..<16 { w[t] = UInt32(bigEndian: start.loadUnaligned(fromByteOffset: t * 4, as: UInt32.self)) }
                for t in 16..<64 {
                    let s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ (w[t - 15] >> 3)
                    let s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ (w[t - 2] >> 10)
                    w[t] = w[t - 16] &+ s0 &+ w[t - 7] &+ s1
                }
                var (a, b, c, d, e, f, g, h) = state
                for t in 0..<64 {
                    let s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
                    let t1 = h &+ s1 &+ ((e & f) ^ (~e & g)) &+ k[t] &+ w[t]
                    let s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
                    let t2 = s0 &+ ((a & b) ^ (a & c) ^ (b & c))
                    (h, g, f, e, d, c, b, a) = (g, f, e, d &+ t1, c, b, a, t1 &+ t2)
                }
                state = (state.0 &+ a, state.1 &+ b, state.2 &+ c, state.3 &+ d, state.4 &+ e, state.5 &+ f, state.6 &+ g, state.7 &+ h)
            }
        }
    }

    @inline(__always) private static func rotate(_ x: UInt32, _ n: UInt32) -> UInt32 { (x >> n) | (x << (32 &- n)) }

    /// FIPS 180-4 §4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes.
    nonisolated(unsafe) private static let constants: UnsafePointer<UInt32> = {
        let words: [UInt32] = [
            0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
            0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
            0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
            0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
            0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
            0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
            0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
            0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
        ]
        let place = UnsafeMutablePointer<UInt32>.allocate(capacity: 64)
        place.initialize(from: words, count: 64)
        return UnsafePointer(place)
    }()
}
