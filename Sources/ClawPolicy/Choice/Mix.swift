// The one mixing function of this module: every bit of the input reaches every bit of the output, and no two inputs share an output (the finaliser of
// SplitMix64, Steele, Lea, Flood 2014). Hashes made with it are the same on every machine and in every run, so that what sticks survives a restart.

public enum Mix {
    @inline(__always)
    public static func mix(_ word: UInt64) -> UInt64 {
        var z = word &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Two words as one; the order matters.
    @inline(__always)
    public static func mix(_ one: UInt64, _ other: UInt64) -> UInt64 { mix(mix(one) ^ (other &* 0xFF51_AFD7_ED55_8CCD)) }

    /// A hash of bytes, eight at a time. Not for input that an attacker may craft to collide, beyond spoiling the balance of a choice.
    public static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
        var state = mix(seed, UInt64(truncatingIfNeeded: bytes.count))
        var at = 0
        while at + 8 <= bytes.count {
            state = mix(state ^ UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
            at += 8
        }
        var tail: UInt64 = 0
        while at < bytes.count {
            tail = tail << 8 | UInt64(bytes[at])
            at += 1
        }
        return mix(state ^ tail)
    }

    /// `word` as a fraction of 1, never 0 and never 1.
    @inline(__always)
    static func fraction(_ word: UInt64) -> Double { (Double(word >> 11) + 0.5) * 0x1p-53 }

    /// `word` spread evenly over 0..<bound (Lemire's multiplication; the bias is below 2⁻³²); 0 for a bound that is not positive.
    @inline(__always)
    static func below(_ bound: Int, _ word: UInt64) -> Int { bound <= 0 ? 0 : Int(UInt64(bound).multipliedFullWidth(by: word).high) }
}
