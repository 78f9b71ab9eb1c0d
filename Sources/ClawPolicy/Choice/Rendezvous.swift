// Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005): each member has a score for a key, made of
// nothing but the two hashes and its weight, and the highest score wins. When a member leaves, only its own keys move, and they spread over the others by
// weight; when one comes, it takes its share evenly from all. There is no ring and no state.
import Glibc

public enum Rendezvous {
    /// More than so many places of an order are never asked for.
    public static let orderMax = 64

    /// Higher wins. A weight that is not above 0 scores 0, which is below every other.
    @inline(__always)
    public static func score(key: UInt64, member: UInt64, weight: Double) -> Double {
        guard weight > 0, weight.isFinite else { return 0 }
        // -ln of a uniform fraction is exponentially distributed, and of exponentials of rate w the chance to be the smallest is w over the sum.
        return weight / -log(Mix.fraction(Mix.mix(key, member)))
    }

    /// The winner; nil when there is none with a weight. Equal scores: the one that comes first.
    public static func first(key: UInt64, members: UnsafeBufferPointer<UInt64>, weights: UnsafeBufferPointer<Double>) -> Int? {
        var best: Int?
        var bestScore = 0.0
        for at in 0..<min(members.count, weights.count) {
            let one = score(key: key, member: members[at], weight: weights[at])
            if one > bestScore { (best, bestScore) = (at, one) }
        }
        return best
    }

    /// The best members, best first, as many as `into` holds (at most `orderMax`); returns how many. Members without weight are not among them.
    public static func order(
        into: UnsafeMutableBufferPointer<Int>, key: UInt64, members: UnsafeBufferPointer<UInt64>, weights: UnsafeBufferPointer<Double>
    ) -> Int {
        let limit = min(into.count, orderMax)
        guard limit > 0 else { return 0 }
        return withUnsafeTemporaryAllocation(of: Double.self, capacity: limit) { scores in
            var count = 0
            for at in 0..<min(members.count, weights.count) {
                let one = score(key: key, member: members[at], weight: weights[at])
                guard one > 0, count < limit || one > scores[limit - 1] else { continue }
                var place = min(count, limit - 1)
                while place > 0, scores[place - 1] < one {
                    scores[place] = scores[place - 1]
                    into[place] = into[place - 1]
                    place -= 1
                }
                scores[place] = one
                into[place] = at
                count = min(count + 1, limit)
            }
            return count
        }
    }
}
