// A canary: a share of requests goes to another target, in hundredths of a percent (0…10,000) and exactly, over all workers, without a lock.
//
// Without an identity the requests are dealt out: one shared word counts them, and each count belongs to one arm. With two arms an arm's turns are as even
// as can be (the error is carried on, as in Bresenham's line); with more, a walk by the golden section over the 10,000 places, which visits each once.
//
// With an identity (a session, a key) the choice sticks. The identity's hash decides, without any state, which alone would miss the share by more than a
// point where there are few identities, or some that ask more than others. So the load of each arm is counted, and an identity that is new is given to the
// arm that lacks most when the arm of its hash is ahead, or another behind, by more than `tolerance`. The load that counts is what is to be expected: of an
// identity that has asked n times, n + a, where a is great when all ask about as often (then identities are what must be shared out, for there will be
// requests of those that have hardly begun) and nothing when few ask most (then requests are). How it is, shows in how often an identity is found among the
// last 16: chances to meet oneself, sum of p², are 1/identities when all are alike, and more when not (a Gamma prior, fitted by its second moment).
//
// Those given against their hash are remembered in a table; who has been seen at all, so that nobody is moved later, in two generations of a filter. A
// filter that errs takes a new identity for a known one, which then goes by its hash: harmless. An identity is forgotten only after `generationMax` others
// came since it was last seen. Where the table has no room, the hash decides.
import Synchronization

public enum Canary {
    /// One arm's share is this many parts at most, and all together are.
    public static let partsMax = 10_000
    public static let armsMax = 16
    /// Words of shared memory that a canary's state takes.
    public static let words = tableStart + tableWords + 2 * filterWords

    /// Of all load, the deviation from which new identities are given against their hash.
    static let tolerance = 0.001
    /// Identities of a generation of the filter.
    public static let generationMax: UInt64 = 1 << 15
    /// Requests that the shares are measured over: then all counts are halved.
    static let windowMax: UInt64 = 1 << 17
    /// The most that an identity's beginnings count, in requests; less than `priorMin` is nothing.
    static let priorMax = 8.0, priorMin = 0.7
    /// An arm of few parts (of 10,000) gets nobody in the first requests: identities that ask much show themselves soon, and one of them would fill it for good.
    @inline(__always) static func wait(parts: Double) -> Double { parts < 700 ? 200 : parts < 1500 ? 100 : parts < 3000 ? 50 : 0 }

    // Word 0 counts requests without identity, 1 holds a hash of the shares that the counts belong to, 2 all requests with identity, 3 the generation
    // (above bit 32) and its identities, 4 how often an identity was among the last ones; then the arms' requests, their identities, and the last ones.
    static let settingsWord = 1, totalWord = 2, generationWord = 3, meetingsWord = 4, armStart = 5
    static let newStart = armStart + armsMax
    static let recentStart = newStart + armsMax, recent = 16
    static let tableStart = recentStart + recent
    static let tableWords = 1 << 13, tableWays = 4
    static let filterWords = 1 << 13

    /// Whether this request is one of `parts` in 10,000: exact over any run. One atomic addition.
    @inline(__always)
    public static func next(_ words: Words, parts: Int) -> Bool {
        let parts = UInt64(max(0, min(partsMax, parts)))
        let old = words[0].wrappingAdd(1, ordering: .relaxed).oldValue % UInt64(partsMax)
        // The count-th request is taken when the share's line crosses a whole number there.
        return (old + 1) * parts / UInt64(partsMax) != old * parts / UInt64(partsMax)
    }

    /// The arm of the next request. `parts` of up to 16 arms; what they leave of 10,000 belongs to the arm `rest`, which is none of those with parts (it may
    /// have parts, which are then its least). Over 10,000 requests in a row each arm has exactly its parts.
    public static func nextArm(_ words: Words, parts: UnsafeBufferPointer<Int>, rest: Int) -> Int {
        if parts.count == 2, rest == 0 || rest == 1 {
            let other = 1 - rest
            return next(words, parts: parts[other]) ? other : rest
        }
        let count = words[0].wrappingAdd(1, ordering: .relaxed).oldValue % UInt64(partsMax)
        // 6181 is next to the golden section of 10,000 and shares no divisor with it.
        return arm(at: Int(count * 6181 % UInt64(partsMax)), parts, rest)
    }

    /// The arm that the identity's hash alone gives.
    @inline(__always)
    public static func hashArm(_ identity: UInt64, parts: UnsafeBufferPointer<Int>, rest: Int) -> Int { arm(at: Mix.below(partsMax, Mix.mix(identity, 0xCA_4A21)), parts, rest) }

    @inline(__always)
    private static func arm(at place: Int, _ parts: UnsafeBufferPointer<Int>, _ rest: Int) -> Int {
        var left = place
        for at in 0..<min(parts.count, armsMax) where at != rest {
            let own = max(0, min(partsMax, parts[at]))
            if left < own { return at }
            left -= own
        }
        return rest
    }

    /// The arm of a request of this identity (a hash of it); counts the request.
    public static func stickyArm(_ words: Words, identity: UInt64, parts: UnsafeBufferPointer<Int>, rest: Int) -> Int {
        let mixed = Mix.mix(identity)
        settle(words, parts, rest)
        meet(words, mixed)
        var arm = hashArm(identity, parts: parts, rest: rest)
        let generation = words[generationWord].load(ordering: .relaxed) >> 32
        if let found = lookUp(words, mixed, generation) {
            arm = found < min(parts.count, armsMax) && found >= 0 ? found : rest
            _ = mark(words, mixed)
        } else if !isSeen(words, mixed, generation) {
            let wanted = wantedArm(words, parts, rest, arm)
            defer { if arm >= 0, arm < armsMax { words[newStart + arm].wrappingAdd(1, ordering: .relaxed) } }
            if wanted != arm, let agreed = remember(words, mixed, wanted, generation) {
                if mark(words, mixed) || agreed != wanted {
                    arm = agreed
                } else {
                    // Another worker saw the same identity for the first time, at this instant, and went by the hash.
                    forget(words, mixed, agreed)
                }
            } else if !mark(words, mixed), let found = lookUp(words, mixed, generation) {
                arm = found
            }
        } else {
            _ = mark(words, mixed)
        }
        count(words, arm)
        return arm
    }

    // MARK: Counts

    /// Counts of other shares than these are no measure of these.
    @inline(__always)
    private static func settle(_ words: Words, _ parts: UnsafeBufferPointer<Int>, _ rest: Int) {
        var hash = UInt64(truncatingIfNeeded: rest) &+ 1
        for part in parts { hash = (hash &* 0x9E37_79B9_7F4A_7C15) ^ UInt64(truncatingIfNeeded: part &+ 1) }
        hash |= 1
        let old = words[settingsWord].load(ordering: .relaxed)
        guard old != hash, words[settingsWord].compareExchange(expected: old, desired: hash, ordering: .relaxed).exchanged else { return }
        words[totalWord].store(0, ordering: .relaxed)
        for at in meetingsWord..<recentStart { words[at].store(0, ordering: .relaxed) }
    }

    @inline(__always)
    private static func count(_ words: Words, _ arm: Int) {
        guard arm >= 0, arm < armsMax else { return }
        words[armStart + arm].wrappingAdd(1, ordering: .relaxed)
        let total = words[totalWord].wrappingAdd(1, ordering: .relaxed).newValue
        guard total == windowMax else { return }
        // Only the request that makes the total full comes here.
        words[totalWord].wrappingSubtract(windowMax / 2, ordering: .relaxed)
        for at in meetingsWord..<recentStart { words[at].wrappingSubtract(words[at].load(ordering: .relaxed) / 2, ordering: .relaxed) }
    }

    /// Notes the identity among the last ones, and whether it was there.
    @inline(__always)
    private static func meet(_ words: Words, _ mixed: UInt64) {
        var meetings: UInt64 = 0
        for at in recentStart..<recentStart + recent where words[at].load(ordering: .relaxed) == mixed { meetings += 1 }
        if meetings > 0 { words[meetingsWord].wrappingAdd(meetings, ordering: .relaxed) }
        words[recentStart + Int(words[totalWord].load(ordering: .relaxed) % UInt64(recent))].store(mixed, ordering: .relaxed)
    }

    /// The arm that a new identity should have: that of its hash, unless it is ahead or another is behind by more than the tolerance.
    private static func wantedArm(_ words: Words, _ parts: UnsafeBufferPointer<Int>, _ rest: Int, _ hashed: Int) -> Int {
        let arms = min(parts.count, armsMax)
        // This request, and its identity, counted in.
        var requests = 1.0, identities = 1.0
        for at in 0..<arms {
            requests += Double(words[armStart + at].load(ordering: .relaxed))
            identities += Double(words[newStart + at].load(ordering: .relaxed))
        }
        let meetings = Double(words[meetingsWord].load(ordering: .relaxed)) / (requests * Double(recent))
        let excess = identities * meetings - 1
        let prior = excess <= 1 / priorMax ? priorMax : 1 / excess < priorMin ? 0 : 1 / excess
        let load = requests + prior * identities
        var restParts = Double(partsMax)
        for at in 0..<arms where at != rest { restParts -= Double(max(0, min(partsMax, parts[at]))) }
        var best = hashed
        var bestLack = -Double.infinity, hashedLack = -Double.infinity
        for at in 0..<arms {
            let own = at == rest ? max(0, restParts) : Double(max(0, min(partsMax, parts[at])))
            guard own > 0, requests > wait(parts: own) else { continue }
            let carried = Double(words[armStart + at].load(ordering: .relaxed)) + prior * Double(words[newStart + at].load(ordering: .relaxed))
            let lack = own / Double(partsMax) * load - carried
            if at == hashed { hashedLack = lack }
            if lack > bestLack || (lack == bestLack && at == hashed) { (best, bestLack) = (at, lack) }
        }
        guard bestLack > -Double.infinity else { return hashed }
        let slack = tolerance * load
        return 1 + prior - hashedLack > slack || bestLack > slack ? best : hashed
    }

    // MARK: Who was seen: words of 48 bits of a filter under the low 16 bits of their generation

    @inline(__always)
    private static func bits(_ mixed: UInt64) -> UInt64 {
        1 << (((mixed >> 16 & 0xFFFF) &* 48) >> 16) | 1 << (((mixed >> 32 & 0xFFFF) &* 48) >> 16) | 1 << (((mixed >> 48) &* 48) >> 16)
    }
    @inline(__always)
    private static func filterPlace(_ mixed: UInt64, _ generation: UInt64) -> Int {
        tableStart + tableWords + Int(generation & 1) * filterWords + Int(mixed & UInt64(filterWords - 1))
    }
    /// The generation as the words bear it: never 0, so that zeroed words belong to none.
    @inline(__always)
    private static func stamp(_ generation: UInt64) -> UInt64 { generation % 0x7FFF + 1 }

    @inline(__always)
    private static func isSeen(_ words: Words, _ mixed: UInt64, _ generation: UInt64) -> Bool {
        let wanted = bits(mixed)
        for back in 0...1 as ClosedRange<UInt64> where generation >= back {
            let word = words[filterPlace(mixed, generation - back)].load(ordering: .relaxed)
            if word >> 48 == stamp(generation - back), word & wanted == wanted { return true }
        }
        return false
    }

    /// Notes the identity in the present generation; true when it was not there. Begins the next generation when this one is full.
    private static func mark(_ words: Words, _ mixed: UInt64) -> Bool {
        let generation = words[generationWord].load(ordering: .relaxed) >> 32
        let wanted = bits(mixed)
        let own = stamp(generation) << 48
        let (old, new) = words.update(filterPlace(mixed, generation)) { ($0 >> 48) << 48 == own ? $0 | wanted : own | wanted }
        guard old != new else { return false }
        let count = words[generationWord].wrappingAdd(1, ordering: .relaxed).newValue
        if count & 0xFFFF_FFFF == generationMax { words[generationWord].wrappingAdd((1 << 32) &- generationMax, ordering: .relaxed) }
        return true
    }

    // MARK: Who was given against the hash: sets of four words, of a tag (44 bits), the low 15 bits of the generation (bits 5…19) and arm + 1 (bits 0…4)

    @inline(__always)
    private static func setStart(_ mixed: UInt64) -> Int { tableStart + Int(mixed & UInt64(tableWords / tableWays - 1)) * tableWays }
    @inline(__always)
    private static func entry(_ mixed: UInt64, _ arm: Int, _ generation: UInt64) -> UInt64 {
        (mixed >> 20) << 20 | (generation & 0x7FFF) << 5 | UInt64(truncatingIfNeeded: arm + 1) & 31
    }

    @inline(__always)
    private static func lookUp(_ words: Words, _ mixed: UInt64, _ generation: UInt64) -> Int? {
        let start = setStart(mixed)
        for at in start..<start + tableWays {
            let word = words[at].load(ordering: .relaxed)
            guard word >> 20 == mixed >> 20, word & 31 != 0 else { continue }
            let arm = Int(word & 31) - 1
            let fresh = entry(mixed, arm, generation)
            if word != fresh { _ = words[at].compareExchange(expected: word, desired: fresh, ordering: .relaxed) }
            return arm
        }
        return nil
    }

    /// Takes an empty place or one that two generations have passed over. Returns the arm that the table now has for the identity; nil: there is no room.
    private static func remember(_ words: Words, _ mixed: UInt64, _ arm: Int, _ generation: UInt64) -> Int? {
        let start = setStart(mixed)
        for at in start..<start + tableWays {
            let word = words[at].load(ordering: .relaxed)
            if word >> 20 == mixed >> 20, word & 31 != 0 { return Int(word & 31) - 1 }
            let age = (generation &- (word >> 5)) & 0x7FFF
            guard word == 0 || age >= 2 else { continue }
            if words[at].compareExchange(expected: word, desired: entry(mixed, arm, generation), ordering: .acquiringAndReleasing).exchanged { return arm }
            if let found = lookUp(words, mixed, generation) { return found }
        }
        return nil
    }

    private static func forget(_ words: Words, _ mixed: UInt64, _ arm: Int) {
        let start = setStart(mixed)
        for at in start..<start + tableWays {
            let word = words[at].load(ordering: .relaxed)
            if word >> 20 == mixed >> 20, word & 31 == UInt64(truncatingIfNeeded: arm + 1) & 31 {
                _ = words[at].compareExchange(expected: word, desired: 0, ordering: .relaxed)
            }
        }
    }
}
