// SHA-256 (FIPS 180-4), incremental. The echo endpoint names a body by it, so that a test can compare what it sent with what came
// upstream without sending it back.

struct SHA256 {
    private var state: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) =
        (0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19)
    private var block = InlineArray<64, UInt8>(repeating: 0)
    private var filled = 0
    private var length: UInt64 = 0

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        length &+= UInt64(bytes.count)
        var at = 0
        while at < bytes.count {
            if filled == 0 && bytes.count - at >= 64 {
                compress { bytes[at + $0] }
                at += 64
                continue
            }
            block[filled] = bytes[at]
            filled += 1
            at += 1
            if filled == 64 {
                let whole = block
                compress { whole[$0] }
                filled = 0
            }
        }
    }

    /// The digest as eight words; the value is used up.
    mutating func finish() -> InlineArray<8, UInt32> {
        let bits = length &* 8
        var padding = InlineArray<72, UInt8>(repeating: 0)
        padding[0] = 0x80
        let zeros = (filled < 56 ? 56 : 120) - filled
        for place in 0 ..< 8 { padding[zeros + place] = UInt8(truncatingIfNeeded: bits >> (56 - 8 * UInt64(place))) }
        withUnsafeBytes(of: &padding) { update(UnsafeRawBufferPointer(rebasing: $0[0 ..< zeros + 8])) }
        return [state.0, state.1, state.2, state.3, state.4, state.5, state.6, state.7]
    }

    private static let constants: [UInt32] = {
        // First 32 bits of the fractional parts of the cube roots of the first 64 primes, by integer cube root of p·2^96.
        var primes: [UInt64] = []
        var candidate: UInt64 = 2
        while primes.count < 64 {
            if primes.allSatisfy({ candidate % $0 != 0 }) { primes.append(candidate) }
            candidate += 1
        }
        return primes.map { prime in
            // Largest r with r³ ≤ prime·2^96, r < 2^35: by bisection with 128-bit products.
            var low: UInt64 = 0, high: UInt64 = 1 << 36
            let target = UInt128(prime) << 96
            while high - low > 1 {
                let middle = (low + high) / 2
                if UInt128(middle) * UInt128(middle) * UInt128(middle) <= target { low = middle } else { high = middle }
            }
            return UInt32(truncatingIfNeeded: low)
        }
    }()

    private mutating func compress(_ byte: (Int) -> UInt8) {
        var w = InlineArray<64, UInt32>(repeating: 0)
        for t in 0 ..< 16 {
            w[t] = UInt32(byte(4 * t)) << 24 | UInt32(byte(4 * t + 1)) << 16 | UInt32(byte(4 * t + 2)) << 8 | UInt32(byte(4 * t + 3))
        }
        for t in 16 ..< 64 {
            let s0 = Self.turn(w[t - 15], 7) ^ Self.turn(w[t - 15], 18) ^ (w[t - 15] >> 3)
            let s1 = Self.turn(w[t - 2], 17) ^ Self.turn(w[t - 2], 19) ^ (w[t - 2] >> 10)
            w[t] = w[t - 16] &+ s0 &+ w[t - 7] &+ s1
        }
        var (a, b, c, d, e, f, g, h) = state
        Self.constants.withUnsafeBufferPointer { k in
            for t in 0 ..< 64 {
                let t1 = h &+ (Self.turn(e, 6) ^ Self.turn(e, 11) ^ Self.turn(e, 25)) &+ ((e & f) ^ (~e & g)) &+ k[t] &+ w[t]
                let t2 = (Self.turn(a, 2) ^ Self.turn(a, 13) ^ Self.turn(a, 22)) &+ ((a & b) ^ (a & c) ^ (b & c))
                (h, g, f, e, d, c, b, a) = (g, f, e, d &+ t1, c, b, a, t1 &+ t2)
            }
        }
        state = (state.0 &+ a, state.1 &+ b, state.2 &+ c, state.3 &+ d, state.4 &+ e, state.5 &+ f, state.6 &+ g, state.7 &+ h)
    }

    @inline(__always)
    private static func turn(_ word: UInt32, _ bits: UInt32) -> UInt32 { word >> bits | word << (32 - bits) }
}
