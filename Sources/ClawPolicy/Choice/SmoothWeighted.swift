// Choices by weight, for targets, endpoints and keys. A weight is a whole number; what counts is the effective weight, weight · share, where the share of
// a member that has just come back grows from a tenth to the whole (slow start). Nothing here keeps state but the caller's counter, one word that all
// workers raise by one, so the turns are exact over all of them without a lock.

public enum SmoothWeighted {
    /// Effective weights are counted in 1024ths of a weight; no weight is above this.
    public static let weightMax = 1 << 20
    static let unit = 1024.0

    /// weight · share in 1024ths; at least 1 for a member with any weight and share, 0 for one with none.
    @inline(__always)
    public static func effective(weight: Int, share: Double = 1) -> UInt64 {
        guard weight > 0, share > 0 else { return 0 }
        return max(1, UInt64(Double(min(weight, weightMax)) * min(1, share) * unit))
    }

    /// Whose turn it is at this count: over as many turns in a row as the smallest whole weights add up to, each member has exactly its share, and its turns
    /// are spread evenly, not in blocks. `effective` are effective weights (see above); nil when all are 0.
    public static func turn(_ count: UInt64, effective: UnsafeBufferPointer<UInt64>) -> Int? {
        var divisor: UInt64 = 0
        for weight in effective { divisor = common(divisor, weight) }
        guard divisor > 0 else { return nil }
        var total: UInt64 = 0
        for weight in effective { total &+= weight / divisor }
        guard total > 0 else { return nil }
        // A step of about the golden section of the cycle, without a common divisor, visits every place once and its neighbours as late as can be.
        var step = max(1, UInt64(Double(total) * 0.618_033_988_749_895))
        while common(step, total) != 1 { step += 1 }
        let place = total <= UInt64(UInt32.max) ? (count % total) &* step % total : total.dividingFullWidth((count % total).multipliedFullWidth(by: step)).remainder
        return member(at: place, effective, divisor)
    }

    /// A member at random, by weight; nil when all weights are 0.
    public static func pick(_ random: UInt64, effective: UnsafeBufferPointer<UInt64>) -> Int? {
        var total: UInt64 = 0
        for weight in effective { total &+= weight }
        guard total > 0 else { return nil }
        return member(at: total.multipliedFullWidth(by: random).high, effective, 1)
    }

    @inline(__always)
    private static func member(at place: UInt64, _ effective: UnsafeBufferPointer<UInt64>, _ divisor: UInt64) -> Int? {
        var left = place
        for at in effective.indices {
            let weight = effective[at] / divisor
            if left < weight { return at }
            left &-= weight
        }
        return nil
    }

    @inline(__always)
    private static func common(_ one: UInt64, _ other: UInt64) -> UInt64 {
        var (a, b) = (one, other)
        while b != 0 { (a, b) = (b, a % b) }
        return a
    }
}
