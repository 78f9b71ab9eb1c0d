// How many requests may be under way to one upstream at a time, over all workers; and the finding of that number (additive increase, multiplicative decrease).
//
// The limit is `max` until it is lowered: to `decrease` of what it was, at least `min`, and at most once for each round trip: what began before the latest
// lowering says nothing about the limit of now. Adaptive without a `max`, there is no limit until the upstream says "too much" for the first time; then it is
// `decrease` of what was under way. It is raised by one for each full round (as many good results as the limit) that used at least half of it, up to `max`.
// A fixed limit (not adaptive) is lowered by the ladder's step alone, and raised likewise.
//
// The first word packs what is under way (low half) and the lowered limit (high half; 0: not lowered), so that an entry is one compare-and-swap and never one
// too many.
import Synchronization

public struct ConcurrencyLimit: @unchecked Sendable {
    public static let words = 3

    public enum Outcome: UInt8, Sendable {
        case good
        /// Says nothing about load: a bad request, a client gone.
        case neutral
        /// Rate limited, overloaded, timed out.
        case tooMuch
    }

    private let memory: Words
    // 0 under way and lowered limit, 1 good ones of this round, 2 when it was lowered
    public init(_ memory: Words) { self.memory = memory }

    public var inFlight: Int { Int(truncatingIfNeeded: memory[0].load(ordering: .relaxed) & 0xFFFF_FFFF) }

    /// The limit of now; nil: none.
    public func limit(_ settings: ConcurrencySettings) -> Int? {
        let limit = Self.limit(memory[0].load(ordering: .relaxed), settings)
        return limit == .max ? nil : Int(limit)
    }

    /// Takes a place; false: all are taken.
    public func tryEnter(_ settings: ConcurrencySettings) -> Bool {
        let change = memory.update(0) { word in
            let flying = word & 0xFFFF_FFFF
            return flying < min(Self.limit(word, settings), 0xFFFF_FFFE) ? word &+ 1 : word
        }
        return change.new != change.old
    }

    /// Gives the place back, once for each entry. `latency`: from the entry to now.
    public func leave(outcome: Outcome, latency: UInt64, now: UInt64, _ settings: ConcurrencySettings) {
        if outcome == .tooMuch && settings.isAdaptive { lower(latency: latency, now: now, settings) }
        let before = memory.update(0) { $0 & 0xFFFF_FFFF == 0 ? $0 : $0 &- 1 }.old
        guard outcome == .good, before >> 32 != 0 else { return }
        raise(before, latency, now, settings)
    }

    /// Lowers the limit after an attempt of this latency, at most once for each round trip; the ladder's step, also of a fixed limit.
    public func lower(latency: UInt64, now: UInt64, _ settings: ConcurrencySettings) {
        guard settings.isAdaptive || settings.max > 0 else { return }
        let lowered = memory[2].load(ordering: .acquiring)
        let began = since(latency, now)
        guard lowered == 0 || began >= lowered else { return }
        guard memory[2].compareExchange(expected: lowered, desired: Swift.max(now, 1), ordering: .acquiringAndReleasing).exchanged else { return }
        memory[1].store(0, ordering: .relaxed)
        _ = memory.update(0) { word in
            let old = Self.limit(word, settings)
            let from = old == .max ? Swift.max(word & 0xFFFF_FFFF, 1) : old
            let kept = UInt64(Double(from) * (settings.decrease > 0 ? Swift.min(settings.decrease, 1) : 0))
            return word & 0xFFFF_FFFF | Swift.min(Swift.max(kept, Self.least(settings)), from) << 32
        }
    }

    private func raise(_ before: UInt64, _ latency: UInt64, _ now: UInt64, _ settings: ConcurrencySettings) {
        let limit = Self.limit(before, settings)
        guard limit != .max, since(latency, now) >= memory[2].load(ordering: .acquiring), (before & 0xFFFF_FFFF) &* 2 >= limit else { return }
        guard memory.update(1, { $0 &+ 1 >= limit ? 0 : $0 &+ 1 }).new == 0 else { return }
        _ = memory.update(0) { word in
            guard word >> 32 == before >> 32 else { return word }
            let next = Swift.min((word >> 32) &+ 1, 0xFFFF_FFFF)
            return word & 0xFFFF_FFFF | (settings.max > 0 && next >= UInt64(settings.max) ? 0 : next) << 32
        }
    }

    private static func least(_ settings: ConcurrencySettings) -> UInt64 { UInt64(Swift.min(Swift.max(settings.min, 1), 0x7FFF_FFFF)) }

    @inline(__always) private static func limit(_ word: UInt64, _ settings: ConcurrencySettings) -> UInt64 {
        guard settings.isAdaptive || settings.max > 0 else { return .max }
        let most = settings.max > 0 ? Swift.min(UInt64(settings.max), 0x7FFF_FFFF) : .max
        let lowered = word >> 32
        return lowered == 0 ? most : Swift.min(lowered, most)
    }
}
