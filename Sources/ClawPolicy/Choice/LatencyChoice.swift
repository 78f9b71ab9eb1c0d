// The target that answers soonest, by the moving average of its time to first token, with a little exploration so that one that was slow once is not
// forgotten.

public enum LatencyChoice {
    /// All targets, the fastest first. `averages` in nanoseconds, 0: no sample yet, which is asked first (several of them in an order that `random` turns).
    /// `limits` in nanoseconds, 0: none; a target slower than its limit goes behind all that are not. With the probability `exploration` another target than
    /// the first is put in front, each of the others as likely: this alone brings one back that its limit put last. Writes as many as `into` holds.
    public static func order(
        _ averages: UnsafeBufferPointer<UInt64>, limits: UnsafeBufferPointer<UInt64>, exploration: Double, random: UInt64, into: UnsafeMutableBufferPointer<Int>
    ) -> Int {
        let count = averages.count
        guard count > 0 else { return 0 }
        @inline(__always) func isSlow(_ at: Int) -> Bool { at < limits.count && limits[at] > 0 && averages[at] > limits[at] }
        @inline(__always) func isLess(_ one: Int, _ other: Int) -> Bool {
            let (slow, slowOther) = (isSlow(one), isSlow(other))
            return slow != slowOther ? slowOther : averages[one] < averages[other]
        }
        let turn = Mix.below(count, Mix.mix(random, 1))
        var written = 0
        for step in 0..<count { insert((turn + step) % count, into, &written, isLess) }
        if written > 1, exploration > 0, Mix.fraction(random) < exploration {
            let place = 1 + Mix.below(written - 1, Mix.mix(random, 2))
            let explored = into[place]
            for at in stride(from: place, to: 0, by: -1) { into[at] = into[at - 1] }
            into[0] = explored
        }
        return written
    }
}
