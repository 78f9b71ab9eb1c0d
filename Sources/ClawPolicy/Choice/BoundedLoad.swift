// Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016): no member carries more than `factor` times its even share of what is under
// way, the new request counted in; a member that is full is passed over and the next of its order asked. With a factor above 1 some member has room.

public enum BoundedLoad {
    /// The most that one of `members` may carry: ceil(factor · (total + 1) / members), at least 1.
    public static func capacity(total: Int, members: Int, factor: Double) -> Int { capacity(total: total, share: 1 / Double(max(1, members)), factor: factor) }

    /// The same where a member's even share is `share` of all (its weight over the sum of weights).
    public static func capacity(total: Int, share: Double, factor: Double) -> Int {
        let most = (max(1, factor) * (Double(max(0, total)) + 1) * share).rounded(.up)
        // Also refuses what is not a number.
        guard most >= 1 else { return 1 }
        return most < 1e15 ? Int(most) : Int.max
    }

    /// Whether a member that carries `load` of `total` must not get the next one.
    public static func isFull(load: Int, total: Int, members: Int, factor: Double) -> Bool { load >= capacity(total: total, members: members, factor: factor) }
}
