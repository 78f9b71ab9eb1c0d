/// The dice of a seeded play: SplitMix64 (Steele, Lea, Flood 2014). The same seed throws the same for ever.
struct Chance {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 ^ 0x5851_f42d_4c95_7f2d }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    mutating func number(_ range: ClosedRange<Int>) -> Int { range.lowerBound + Int(next() % UInt64(range.count)) }
    /// True `percent` times of a hundred.
    mutating func happens(_ percent: Int) -> Bool { Int(next() % 100) < percent }
    mutating func one<T>(of things: [T]) -> T { things[Int(next() % UInt64(things.count))] }
    /// The length of a piece: often tiny, sometimes all there is.
    mutating func piece(of count: Int) -> Int {
        switch next() % 6 {
        case 0: 1
        case 1: min(count, number(1...20))
        case 2: min(count, number(1...300))
        case 3: min(count, number(1...5000))
        default: count
        }
    }
}
