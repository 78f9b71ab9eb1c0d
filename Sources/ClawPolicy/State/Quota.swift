// What is left of one key's limits, as its answers told: for up to eight models the requests and tokens that remain, and when they are renewed. Each request
// that goes out lowers what is left by itself and its estimate, until the next answer tells better; past the renewal nothing is known, and all is ample.
//
// It advises which key to prefer, and no more: its words are changed one by one, so a reader beside a writer may see the figure of one answer with the renewal of
// the one before. A figure is one word (limit high, remaining low, 32 bits each, stopping at their greatest). With more models, the one that was told of the
// longest ago makes room.
import Synchronization

public struct Quota: @unchecked Sendable {
    public static let slots = 8
    private static let stride = 8
    public static let words = slots * stride

    public enum Standing: Sendable, Equatable {
        case ample
        /// Less than the reserve is left: other keys first.
        case low
        /// The provider would refuse it before `until`.
        case empty(until: UInt64)
    }

    private let memory: Words
    // of a slot: 0 model, 1 requests, 2 their renewal (0: not known), 3 tokens, 4 their renewal, 5 when it was told of
    public init(_ memory: Words) { self.memory = memory }

    public func learn(_ signals: RateSignals, model: UInt64, now: UInt64) {
        guard signals.hasFigures else { return }
        let requests = signals.requests, tokens = signals.tokens
        guard requests != nil || tokens != nil else { return }
        let slot = claim(Self.tag(model))
        if let requests { store(requests, slot + 1, now) }
        if let tokens { store(tokens, slot + 3, now) }
        slot[5].store(max(now, 1), ordering: .relaxed)
    }

    /// A request goes out.
    public func spend(model: UInt64, tokens: Int) {
        guard let slot = find(Self.tag(model)) else { return }
        let estimate = UInt64(min(max(tokens, 0), 0xFFFF_FFFF))
        _ = slot.update(1) { $0 &- min($0 & 0xFFFF_FFFF, 1) }
        _ = slot.update(3) { $0 &- min($0 & 0xFFFF_FFFF, estimate) }
    }

    /// How a request of this model with about so many tokens would fare.
    public func standing(model: UInt64, tokens: Int, now: UInt64, _ settings: CooldownSettings) -> Standing {
        guard let slot = find(Self.tag(model)) else { return .ample }
        var isLow = false, until: UInt64 = 0
        weigh(slot + 1, 1, now, settings, &isLow, &until)
        weigh(slot + 3, UInt64(min(max(tokens, 1), 0xFFFF_FFFF)), now, settings, &isLow, &until)
        return until > 0 ? .empty(until: until) : isLow ? .low : .ample
    }

    private func weigh(_ at: Words, _ needed: UInt64, _ now: UInt64, _ settings: CooldownSettings, _ isLow: inout Bool, _ until: inout UInt64) {
        let renewed = at[1].load(ordering: .acquiring)
        if renewed <= now { return }
        let figure = at[0].load(ordering: .relaxed)
        let limit = figure >> 32, remaining = figure & 0xFFFF_FFFF
        if remaining == 0 || remaining < needed && (limit == 0 || needed <= limit) {
            until = max(until, renewed)
        } else if remaining < needed || Double(remaining) < settings.reserveRatio * Double(limit) {
            // More than the whole limit: waiting does not help it, so it is not held back either.
            isLow = true
        }
    }

    // MARK: - Slots

    private static func tag(_ model: UInt64) -> UInt64 { model == 0 ? .max : model }

    private func find(_ tag: UInt64) -> Words? {
        for at in 0 ..< Self.slots {
            let there = memory[at &* Self.stride].load(ordering: .acquiring)
            if there == tag { return memory + at &* Self.stride }
            // Slots are taken in order and never given back.
            if there == 0 { return nil }
        }
        return nil
    }

    private func claim(_ tag: UInt64) -> Words {
        while true {
            var oldest = 0, oldestTold = UInt64.max, oldestTag: UInt64 = 0
            for at in 0 ..< Self.slots {
                let slot = memory + at &* Self.stride
                var there = slot[0].load(ordering: .acquiring)
                if there == 0 {
                    let (done, seen) = slot[0].compareExchange(expected: 0, desired: tag, ordering: .acquiringAndReleasing)
                    if done { return slot }
                    there = seen
                }
                if there == tag { return slot }
                let told = slot[5].load(ordering: .relaxed)
                if told < oldestTold { (oldest, oldestTold, oldestTag) = (at, told, there) }
            }
            let slot = memory + oldest &* Self.stride
            guard slot[0].compareExchange(expected: oldestTag, desired: tag, ordering: .acquiringAndReleasing).exchanged else { continue }
            slot[2].store(0, ordering: .relaxed)
            slot[4].store(0, ordering: .relaxed)
            slot[1].store(0, ordering: .relaxed)
            slot[3].store(0, ordering: .relaxed)
            return slot
        }
    }

    private func store(_ figure: RateSignals.Figure, _ at: Words, _ now: UInt64) {
        _ = at.update(0) { old in (figure.limit == 0 ? old >> 32 : min(figure.limit, 0xFFFF_FFFF)) << 32 | min(figure.remaining, 0xFFFF_FFFF) }
        at[1].store(max(later(now, by: figure.reset), 1), ordering: .releasing)
    }
}
