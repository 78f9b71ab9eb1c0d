// How much went well and how much did not, lately: a window of ten buckets of equal length. One word for each bucket packs what period it counts for (24 bits)
// and two counts (20 bits each, which stop at their greatest). A bucket whose period is over is begun anew by whoever counts into it next; nobody clears.
//
// The clock of one worker may be behind that of another: what is counted for a period older than the one a bucket holds is dropped, and a sum sees the
// buckets ahead of its `now` as well. The operations are sequentially consistent, so that of two workers who count and then sum at least one sees the other.
import Synchronization

public struct SlidingCounts: @unchecked Sendable {
    public static let buckets = 10
    public static let words = buckets
    /// A bucket counts no further.
    public static let countMax = 0xFFFFF

    /// A bucket so many periods ahead is another worker's clock; further ahead it is one so old that its number came round.
    private static let aheadMax: Int32 = 64

    @usableFromInline let memory: Words
    @inlinable @inline(__always) public init(_ memory: Words) { self.memory = memory }

    /// One good more: what each request that goes well does, so it is quick where the bucket is the period's already.
    public func addGood(now: UInt64, window: UInt64) {
        let period = Self.period(now, window)
        let at = Self.index(period)
        let old = memory[at].load(ordering: .sequentiallyConsistent)
        // The lower bits of the period and a count that has room.
        if (old ^ period << 40) >> 40 == 0, Self.good(old) < Self.countMax, old != 0,
            memory[at].compareExchange(expected: old, desired: old &+ 1 << 20, ordering: .sequentiallyConsistent).exchanged { return }
        add(good: 1, now: now, window: window)
    }

    public func add(good: Int = 0, bad: Int = 0, now: UInt64, window: UInt64) {
        let period = Self.period(now, window)
        _ = change(period) { word in
            Self.pack(period, min(Self.good(word) &+ min(max(good, 0), Self.countMax), Self.countMax), min(Self.bad(word) &+ min(max(bad, 0), Self.countMax), Self.countMax))
        }
    }

    public func sum(now: UInt64, window: UInt64) -> (good: Int, bad: Int) { sum(around: Self.period(now, window), without: -1) }

    /// Counts one bad more if the bad ones of the window, this one included, stay within `allowed` (told how many good there are). Exact over all threads:
    /// never one too many, whoever asks at the same time.
    public func take(now: UInt64, window: UInt64, allowed: (_ good: Int) -> Int) -> Bool {
        let period = Self.period(now, window)
        let before = sum(around: period, without: -1)
        guard before.bad < allowed(before.good) else { return false }
        // The place in the bucket is what this very addition made it; what other buckets hold is looked at after it.
        var isFull = false
        guard let word = change(period, { one in
            isFull = Self.bad(one) >= Self.countMax
            return isFull ? one : one &+ 1
        }), !isFull else { return false }
        let others = sum(around: period, without: Self.index(period))
        if Self.bad(word) &+ others.bad <= allowed(Self.good(word) &+ others.good) { return true }
        _ = change(period) { Self.bad($0) > 0 ? $0 &- 1 : $0 }
        return false
    }

    public func clear() {
        for at in 0 ..< Self.buckets { memory[at].store(0, ordering: .sequentiallyConsistent) }
    }

    // MARK: - Words

    @inline(__always) private static func period(_ now: UInt64, _ window: UInt64) -> UInt64 { now / max(window / UInt64(buckets), 1) }
    @inline(__always) private static func index(_ period: UInt64) -> Int { Int(truncatingIfNeeded: period % UInt64(buckets)) }
    @inline(__always) private static func good(_ word: UInt64) -> Int { Int(truncatingIfNeeded: (word >> 20) & 0xFFFFF) }
    @inline(__always) private static func bad(_ word: UInt64) -> Int { Int(truncatingIfNeeded: word & 0xFFFFF) }
    @inline(__always) private static func pack(_ period: UInt64, _ good: Int, _ bad: Int) -> UInt64 { period << 40 | UInt64(good) << 20 | UInt64(bad) }
    /// How many periods the word's is behind `period`; negative: ahead.
    @inline(__always) private static func age(_ word: UInt64, _ period: UInt64) -> Int32 {
        Int32(truncatingIfNeeded: (period &- (word >> 40)) << 8) >> 8
    }

    /// Changes the bucket of a period, begun anew where it was another's; nil: the bucket is already in use for a later one.
    private func change(_ period: UInt64, _ change: (UInt64) -> UInt64) -> UInt64? {
        let at = Self.index(period)
        var old = memory[at].load(ordering: .sequentiallyConsistent)
        while true {
            let age = Self.age(old, period)
            if age < 0 && age > -Self.aheadMax && old != 0 { return nil }
            let new = change(age == 0 ? old : period << 40)
            if new == old { return new }
            let (done, seen) = memory[at].compareExchange(expected: old, desired: new, ordering: .sequentiallyConsistent)
            if done { return new }
            old = seen
        }
    }

    private func sum(around period: UInt64, without skipped: Int) -> (good: Int, bad: Int) {
        var good = 0, bad = 0
        for at in 0 ..< Self.buckets where at != skipped {
            let word = memory[at].load(ordering: .sequentiallyConsistent)
            let age = Self.age(word, period)
            guard age < Self.buckets && age > -Int32(Self.buckets) else { continue }
            good &+= Self.good(word)
            bad &+= Self.bad(word)
        }
        return (good, bad)
    }
}
