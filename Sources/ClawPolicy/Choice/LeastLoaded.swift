// The target with the least under way for its weight. All are looked at: there are never more than a few, and looking at all is better than at two.

public enum LeastLoaded {
    /// All members by inFlight / weight, smallest first; where these are equal, turns go round with `counter`. A weight of 0 or less goes last. Writes as many
    /// as `into` holds, returns how many.
    public static func order(
        _ inFlight: UnsafeBufferPointer<Int>, weights: UnsafeBufferPointer<Int>, counter: UInt64, into: UnsafeMutableBufferPointer<Int>
    ) -> Int {
        let count = min(inFlight.count, weights.count)
        guard count > 0 else { return 0 }
        let turn = Int(truncatingIfNeeded: counter % UInt64(count))
        var written = 0
        for step in 0..<count {
            let at = (turn + step) % count
            insert(at, into, &written) { isLess($0, $1, inFlight, weights) }
        }
        return written
    }

    @inline(__always)
    private static func isLess(_ one: Int, _ other: Int, _ inFlight: UnsafeBufferPointer<Int>, _ weights: UnsafeBufferPointer<Int>) -> Bool {
        guard weights[one] > 0 else { return false }
        guard weights[other] > 0 else { return true }
        let left = UInt64(max(0, inFlight[one])).multipliedFullWidth(by: UInt64(weights[other]))
        let right = UInt64(max(0, inFlight[other])).multipliedFullWidth(by: UInt64(weights[one]))
        return left.high != right.high ? left.high < right.high : left.low < right.low
    }
}

/// Sorts `at` into the places filled so far, behind those that it is not less than; what falls off the end is dropped.
@inline(__always)
func insert(_ at: Int, _ into: UnsafeMutableBufferPointer<Int>, _ written: inout Int, _ isLess: (Int, Int) -> Bool) {
    var place = written
    while place > 0, isLess(at, into[place - 1]) {
        if place < into.count { into[place] = into[place - 1] }
        place -= 1
    }
    guard place < into.count else { return }
    into[place] = at
    if written < into.count { written += 1 }
}
