// What one key must not be used for, and until when: up to sixteen cool-downs, each of one model (or every model) and class.
//
// A cool-down lasts as long as the provider told (at most `settings.max`), or for `base`, doubled with each further failure, ±20 %; a refused key (`auth`)
// cools for every model and for `authProbe`. A failure while it cools never extends it. Its failures are forgotten with a success of the key and model after
// it ended; a success while it cools is of a request that began before, and changes nothing, unless it was a probe's: that ends it.
//
// A slot is one word: model (21 bits of its hash; 0: every model), class (2), told (1), failures (4), end (36 bits of 2²² ns: four milliseconds, rounded up,
// for nine years). So a change is one compare-and-swap. When all slots are taken, the one that ends soonest makes room. Two models of a key whose 21 bits are
// the same cool together: one pair in two million.
import Synchronization

public enum CooldownClass: UInt8, Sendable, CaseIterable {
    case rateLimited, auth, modelMissing
    public static let words = ["rate_limited", "auth", "model_missing"]
    public var word: String { Self.words[Int(rawValue)] }
}

public struct Cooldowns: @unchecked Sendable {
    public static let slots = 16
    public static let words = 2 + slots
    /// Ends are multiples of this.
    public static let grain: UInt64 = 1 << 22

    private let memory: Words
    // 0 the latest end of all, 1 when the next probe may go, then the slots
    public init(_ memory: Words) { self.memory = memory }

    /// The latest end of what keeps this key from the model; nil: nothing does. One load where nothing cools.
    public func until(model: UInt64, now: UInt64) -> (until: UInt64, class: CooldownClass, isTold: Bool)? {
        if memory[0].load(ordering: .acquiring) <= now { return nil }
        let tag = Self.tag(model)
        var found: Slot?
        for at in 2 ..< Self.words {
            let slot = Slot(memory[at].load(ordering: .acquiring))
            guard slot.end > now, slot.tag == 0 || slot.tag == tag else { continue }
            if slot.end > found?.end ?? 0 { found = slot }
        }
        return found.map { ($0.end, $0.class, $0.isTold) }
    }

    /// A failure of this class; `told`: how long from now, where the provider said. False: it cools for this already (or never does).
    public func cool(model: UInt64, class kind: CooldownClass, told: UInt64?, now: UInt64, _ settings: CooldownSettings, random: UInt64) -> Bool {
        guard settings.max > 0 else { return false }
        let tag = kind == .auth ? 0 : Self.tag(model)
        while true {
            var place = 2, old: UInt64 = 0, soonest = UInt64.max
            search: for at in 2 ..< Self.words {
                let word = memory[at].load(ordering: .acquiring)
                let slot = Slot(word)
                if word != 0 && slot.tag == tag && slot.class == kind {
                    if slot.end > now { return false }
                    (place, old, soonest) = (at, word, 0)
                    break search
                }
                let end = word == 0 ? 0 : max(slot.end, 1)
                if end < soonest { (place, old, soonest) = (at, word, end) }
            }
            let known = Slot(old)
            let failures = old != 0 && known.tag == tag && known.class == kind ? min(known.failures &+ 1, 15) : 1
            let isTold = told ?? 0 > 0
            let length = isTold ? told ?? 0 : kind == .auth ? settings.authProbe : Self.guess(failures, settings, random)
            let slot = Slot(tag: tag, class: kind, isTold: isTold, failures: failures, end: later(now, by: max(min(length, settings.max), 1)))
            guard memory[place].compareExchange(expected: old, desired: slot.bits, ordering: .acquiringAndReleasing).exchanged else { continue }
            _ = memory.update(0) { max($0, slot.end) }
            return true
        }
    }

    /// A request with this key and model went well; `isProbe`: it was let through although the key cooled.
    public func succeeded(model: UInt64, now: UInt64, isProbe: Bool = false) {
        if memory[0].load(ordering: .relaxed) == 0 { return }
        let tag = Self.tag(model)
        for at in 2 ..< Self.words {
            let word = memory[at].load(ordering: .relaxed)
            let slot = Slot(word)
            guard word != 0, slot.tag == 0 || slot.tag == tag, isProbe || slot.end <= now else { continue }
            // Somebody else's newer word stays.
            _ = memory[at].compareExchange(expected: word, desired: 0, ordering: .acquiringAndReleasing)
        }
    }

    /// Whether a request may go out although the key cools; one in `probeInterval` over all threads.
    public func mayProbe(now: UInt64, _ settings: CooldownSettings) -> Bool {
        let next = memory[1].load(ordering: .relaxed)
        guard now >= next else { return false }
        return memory[1].compareExchange(expected: next, desired: max(later(now, by: settings.probeInterval), 1), ordering: .acquiringAndReleasing).exchanged
    }

    // MARK: - To look at

    /// One thing that the key cools for. `mark`: the model's (`mark(of:)`), 0 for every model.
    public struct Cooling: Sendable, Equatable {
        public var mark: UInt64
        public var `class`: CooldownClass
        public var until: UInt64
        public var isTold: Bool
    }

    /// All that it cools for now.
    public func all(now: UInt64) -> [Cooling] {
        if memory[0].load(ordering: .acquiring) <= now { return [] }
        return (2 ..< Self.words).compactMap { at in
            let slot = Slot(memory[at].load(ordering: .acquiring))
            return slot.end > now ? Cooling(mark: slot.tag, class: slot.class, until: slot.end, isTold: slot.isTold) : nil
        }
    }

    /// What is kept of a model's hash.
    public static func mark(of model: UInt64) -> UInt64 { tag(model) }

    private static func guess(_ failures: UInt64, _ settings: CooldownSettings, _ random: UInt64) -> UInt64 {
        // At most 2⁶², so that a fifth more is no overflow.
        let full = min(doubled(settings.base, Int(failures) &- 1), settings.max, 1 << 62)
        return full &- full / 5 &+ random.multipliedFullWidth(by: full / 5 &* 2 &+ 1).high
    }

    // MARK: - Words

    /// 21 bits of a model's hash, 0 for every model and only for that.
    @inline(__always) private static func tag(_ model: UInt64) -> UInt64 {
        model == 0 ? 0 : max((model ^ model >> 21 ^ model >> 42) & 0x1F_FFFF, 1)
    }

    private struct Slot {
        var tag: UInt64
        var `class`: CooldownClass
        var isTold: Bool
        var failures: UInt64
        /// A multiple of the grain; 0: empty.
        var end: UInt64

        init(tag: UInt64, class: CooldownClass, isTold: Bool, failures: UInt64, end: UInt64) {
            (self.tag, self.class, self.isTold, self.failures) = (tag, `class`, isTold, failures)
            self.end = min((end &- 1) / Cooldowns.grain &+ 1, (1 << 36) &- 1) &* Cooldowns.grain
        }
        @inline(__always) init(_ word: UInt64) {
            tag = word & 0x1F_FFFF
            `class` = CooldownClass(rawValue: UInt8(truncatingIfNeeded: word >> 21 & 3)) ?? .rateLimited
            isTold = word >> 23 & 1 != 0
            failures = word >> 24 & 0xF
            end = (word >> 28) &* Cooldowns.grain
        }
        var bits: UInt64 { tag | UInt64(`class`.rawValue) << 21 | (isTold ? 1 << 23 : 0) | failures << 24 | (end / Cooldowns.grain) << 28 }
    }
}
