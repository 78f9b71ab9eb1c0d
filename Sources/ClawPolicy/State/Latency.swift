// How long one target takes to its first token: a mean that forgets, and percentiles.
//
// The mean is weighted by time (τ = 10 s): a sample that comes dt after the one before gets the weight dt / (dt + τ), so ten seconds of any rate weigh the same
// and the first after a long silence counts nearly alone. A weight is at least 1/1000: at more than a hundred samples a second the memory is a thousand samples.
//
// The percentiles are of the present and the previous minute, from buckets of four to the octave between a quarter of a millisecond and nine minutes; inside a
// bucket they are interpolated. A bucket is one word: minute (16 bits), count of that minute (24), count of the minute before (24); whoever counts next moves
// them on.
import Synchronization

public struct Latency: @unchecked Sendable {
    public static let buckets = 80
    public static let words = 2 + buckets
    public static let tau: UInt64 = 10_000_000_000
    public static let window: UInt64 = 60_000_000_000
    /// Fewer give no percentile.
    public static let samplesMin = 20

    private let memory: Words
    // 0 the mean (bits of a Double), 1 when the latest sample came
    public init(_ memory: Words) { self.memory = memory }

    public func sample(_ nanoseconds: UInt64, now: UInt64) {
        let before = memory.update(1) { max($0, now, 1) }.old
        let elapsed = Double(before == 0 ? 0 : since(before, now))
        let weight = max(elapsed / (elapsed + Double(Self.tau)), 0.001)
        let sample = max(Double(nanoseconds), 1)
        _ = memory.update(0) { bits in
            let mean = Double(bitPattern: bits)
            return (bits == 0 ? sample : mean + weight * (sample - mean)).bitPattern
        }
        let minute = Self.minute(now)
        _ = memory.update(2 + Self.index(nanoseconds)) { word in
            let moved = Self.moved(word, minute)
            return moved >> 24 & Self.countMax == Self.countMax ? moved : moved &+ 1 << 24
        }
    }

    /// The mean; 0: no sample yet.
    public var value: UInt64 { UInt64(min(Double(bitPattern: memory[0].load(ordering: .relaxed)), 0x1p62)) }

    /// How long ago the latest sample came; `.max`: never.
    public func age(now: UInt64) -> UInt64 {
        let latest = memory[1].load(ordering: .relaxed)
        return latest == 0 ? .max : since(latest, now)
    }

    /// What `share` (0…1) of the samples of the last one to two minutes stayed below; nil where there were too few.
    public func percentile(_ share: Double, now: UInt64) -> UInt64? {
        let minute = Self.minute(now)
        var total: UInt64 = 0
        for at in 0 ..< Self.buckets { total &+= Self.count(memory[2 + at].load(ordering: .relaxed), minute) }
        guard total >= Self.samplesMin else { return nil }
        let wanted = (share > 0 ? min(share, 1) : 0) * Double(total)
        var below: UInt64 = 0
        for at in 0 ..< Self.buckets {
            let count = Self.count(memory[2 + at].load(ordering: .relaxed), minute)
            if count > 0 && Double(below &+ count) >= wanted {
                let (from, width) = Self.bounds(at)
                return from &+ UInt64(Double(width) * min(max((wanted - Double(below)) / Double(count), 0), 1))
            }
            below &+= count
        }
        // Others counted between the two walks.
        return Self.bounds(Self.buckets - 1).from
    }

    // MARK: - Buckets

    private static let countMax: UInt64 = 0xFF_FFFF
    @inline(__always) private static func minute(_ now: UInt64) -> UInt64 { (now / window) & 0xFFFF }
    @inline(__always) private static func count(_ word: UInt64, _ minute: UInt64) -> UInt64 {
        let moved = moved(word, minute)
        return (moved >> 24 & countMax) &+ (moved & countMax)
    }

    /// The word as it is in that minute: minute (high), its count, the count of the one before (low).
    private static func moved(_ word: UInt64, _ minute: UInt64) -> UInt64 {
        let counts = word & 0xFFFF_FFFF_FFFF
        let age = Int16(truncatingIfNeeded: minute &- (word >> 48))
        if counts == 0 { return minute << 48 }
        if age <= 0 && age > -4 { return word } // another worker's clock may be ahead
        return minute << 48 | (age == 1 ? counts >> 24 : 0)
    }

    /// Four buckets to the octave of units of 2¹⁸ ns.
    @inline(__always) static func index(_ nanoseconds: UInt64) -> Int {
        let units = nanoseconds >> 18
        if units < 4 { return Int(truncatingIfNeeded: units) }
        let octave = 63 &- units.leadingZeroBitCount
        return min((octave &- 1) &* 4 &+ Int(truncatingIfNeeded: (units >> UInt64(octave &- 2)) & 3), buckets &- 1)
    }

    static func bounds(_ index: Int) -> (from: UInt64, width: UInt64) {
        if index < 4 { return (UInt64(index) << 18, 1 << 18) }
        let shift = UInt64(index / 4 - 1 + 18)
        return (UInt64(4 + index % 4) << shift, 1 << shift)
    }
}
