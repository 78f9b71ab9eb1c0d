// The health of one endpoint of several. Passive: so many failures in a row of live traffic, and it is left out for a while (`ejection`, doubled with each
// further time up to `ejectionMax`, halved again for each `ejection` that it was healthy since). Active: so many bad probes in a row make it unhealthy, so many
// good ones healthy. On return its share of the traffic grows from a tenth to the whole within `slowStart`.
//
// How many of an upstream's endpoints may be left out is no endpoint's own business: who would eject asks `mayEject` first.
import Synchronization

public struct Outlier: @unchecked Sendable {
    public static let words = 5

    public enum Change: UInt8, Sendable { case none, unhealthy, healthy }

    private let memory: Words
    // 0 failures in a row, 1 end of the ejection, 2 ejections that the next is doubled by, 3 when probes found it healthy again,
    // 4 probes in a row that speak against its state (low half) and whether it is unhealthy (bit 63)
    public init(_ memory: Words) { self.memory = memory }

    // MARK: - Passive

    /// True: it should be ejected (asked again at each further failure, should the caller not do it).
    public func record(success: Bool, now: UInt64, _ settings: OutlierSettings) -> Bool {
        if success {
            if memory[0].load(ordering: .relaxed) != 0 { memory[0].store(0, ordering: .relaxed) }
            return false
        }
        guard settings.isEnabled, now >= memory[1].load(ordering: .acquiring) else { return false }
        let inARow = memory[0].wrappingAdd(1, ordering: .relaxed).newValue
        return inARow >= UInt64(max(settings.consecutiveFailures, 1))
    }

    /// Leaves it out from now on; false: it already is (another thread was first).
    public func eject(now: UInt64, _ settings: OutlierSettings) -> Bool {
        let old = memory[1].load(ordering: .acquiring)
        guard now >= old else { return false }
        let healthy = since(old, now) / max(settings.ejection, 1)
        let before = memory[2].load(ordering: .relaxed)
        let doublings = before > healthy ? before &- healthy : 0
        let until = later(now, by: max(min(doubled(settings.ejection, Int(doublings)), settings.ejectionMax), 1))
        guard memory[1].compareExchange(expected: old, desired: until, ordering: .acquiringAndReleasing).exchanged else { return false }
        memory[2].store(min(doublings &+ 1, 63), ordering: .relaxed)
        memory[0].store(0, ordering: .relaxed)
        return true
    }

    /// Whether one more of an upstream's endpoints may be left out. One of several always may, unless the share is 0; an only one never.
    public static func mayEject(total: Int, ejected: Int, _ settings: OutlierSettings) -> Bool {
        guard settings.isEnabled, total > 1, ejected >= 0, settings.ejectedRatioMax > 0 else { return false }
        return ejected < max(portion(settings.ejectedRatioMax, of: total), 1)
    }

    // MARK: - Active

    /// The result of a probe; what it changed.
    public func probe(success: Bool, now: UInt64, _ settings: ProbeSettings) -> Change {
        let unhealthy: UInt64 = 1 << 63
        let change = memory.update(4) { word in
            let isUnhealthy = word & unhealthy != 0
            if success != isUnhealthy { return word & unhealthy } // as it was: whatever spoke against it is over
            let inARow = min((word & 0xFFFF_FFFF) &+ 1, 0xFFFF_FFFF)
            let needed = UInt64(max(isUnhealthy ? settings.healthyAfter : settings.unhealthyAfter, 1))
            return inARow < needed ? word & unhealthy | inARow : isUnhealthy ? 0 : unhealthy
        }
        guard (change.old ^ change.new) & unhealthy != 0 else { return .none }
        if change.new & unhealthy != 0 { return .unhealthy }
        memory[3].store(max(now, 1), ordering: .releasing)
        return .healthy
    }

    // MARK: - To choose by

    public func isUsable(now: UInt64) -> Bool { now >= memory[1].load(ordering: .acquiring) && !isUnhealthy }
    public var isUnhealthy: Bool { memory[4].load(ordering: .relaxed) >> 63 != 0 }
    /// End of the latest ejection; 0: never.
    public var ejectedUntil: UInt64 { memory[1].load(ordering: .acquiring) }

    /// The share of its weight that it should get: 0.1 when it has just returned, 1 when it is as any other.
    public func share(now: UInt64, _ settings: OutlierSettings) -> Double {
        let returned = max(memory[1].load(ordering: .relaxed), memory[3].load(ordering: .relaxed))
        if returned == 0 || settings.slowStart == 0 { return 1 }
        let elapsed = since(returned, now)
        return elapsed >= settings.slowStart ? 1 : 0.1 + 0.9 * Double(elapsed) / Double(settings.slowStart)
    }
}
