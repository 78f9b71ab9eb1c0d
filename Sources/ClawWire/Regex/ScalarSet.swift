// A set of Unicode scalars as sorted ranges, for the character classes of regular expressions, and its form as UTF-8 byte sequences.

struct ScalarSet: Equatable {
    /// Sorted, disjoint, not adjacent.
    private(set) var ranges: [ClosedRange<UInt32>] = []

    static let scalarMax: UInt32 = 0x10FFFF
    /// Non-ASCII scalars of one class whose case variants are looked up one by one; larger classes fold their ASCII part only.
    private static let foldedMax = 1024

    init(_ ranges: [ClosedRange<UInt32>] = []) {
        for range in ranges { insert(range) }
        normalise()
    }

    static func scalar(_ value: UInt32) -> ScalarSet { ScalarSet([value...value]) }
    static let digits = ScalarSet([0x30...0x39])
    static let word = ScalarSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    static let space = ScalarSet([0x09...0x0D, 0x20...0x20])

    private mutating func insert(_ range: ClosedRange<UInt32>) { ranges.append(range) }

    mutating func formUnion(_ other: ScalarSet) {
        ranges += other.ranges
        normalise()
    }

    private mutating func normalise() {
        ranges.sort { $0.lowerBound < $1.lowerBound }
        var merged: [ClosedRange<UInt32>] = []
        for range in ranges {
            if let last = merged.last, range.lowerBound <= last.upperBound || range.lowerBound == last.upperBound + 1 {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        ranges = merged
    }

    var inverted: ScalarSet {
        var result = ScalarSet(), next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { result.ranges.append(next...(range.lowerBound - 1)) }
            next = range.upperBound + 1
        }
        if next <= Self.scalarMax { result.ranges.append(next...Self.scalarMax) }
        return result
    }

    /// With the other case of each letter (simple one-to-one mappings; k does not fold to the Kelvin sign).
    var caseFolded: ScalarSet {
        var result = self
        for range in ranges {
            if let upper = Self.overlap(range, 0x41...0x5A) { result.insert((upper.lowerBound + 32)...(upper.upperBound + 32)) }
            if let lower = Self.overlap(range, 0x61...0x7A) { result.insert((lower.lowerBound - 32)...(lower.upperBound - 32)) }
            guard let rest = Self.overlap(range, 0x80...Self.scalarMax), rest.count <= Self.foldedMax else { continue }
            for value in rest {
                guard let properties = Unicode.Scalar(value)?.properties else { continue }
                for text in [properties.lowercaseMapping, properties.uppercaseMapping, properties.titlecaseMapping] {
                    let scalars = text.unicodeScalars
                    if let other = scalars.first, scalars.count == 1, other.value >= 0x80 { result.insert(other.value...other.value) }
                }
            }
        }
        result.normalise()
        return result
    }

    private static func overlap(_ a: ClosedRange<UInt32>, _ b: ClosedRange<UInt32>) -> ClosedRange<UInt32>? {
        let low = max(a.lowerBound, b.lowerBound), high = min(a.upperBound, b.upperBound)
        return low <= high ? low...high : nil
    }

    // MARK: UTF-8

    /// The set as alternatives of byte-range sequences: a scalar is in the set exactly when its UTF-8 bytes match one of them.
    /// Surrogates have no UTF-8 form and are left out. (The method of Russ Cox's "Regular Expression Matching in the Wild".)
    var utf8Sequences: [[ClosedRange<UInt8>]] {
        var sequences: [[ClosedRange<UInt8>]] = []
        var work = Array(ranges.reversed())
        while let range = work.popLast() {
            let low = range.lowerBound, high = range.upperBound
            if let cut = Self.cut(low, high) {
                work.append((cut + 1)...high)
                work.append(low...cut)
            } else if low < 0xD800 || low > 0xDFFF {
                sequences.append(zip(Self.encode(low), Self.encode(high)).map { $0...$1 })
            }
        }
        return sequences
    }

    /// Where a range has to be split so that both ends have one length and each byte position ranges freely; nil if it need not.
    private static func cut(_ low: UInt32, _ high: UInt32) -> UInt32? {
        for limit: UInt32 in [0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF] where low <= limit && high > limit { return limit }
        if high <= 0x7F { return nil }
        for shift: UInt32 in [6, 12, 18] {
            let mask = (1 << shift) - 1 as UInt32
            guard low & ~mask != high & ~mask else { continue }
            if low & mask != 0 { return low | mask }
            if high & mask != mask { return (high & ~mask) - 1 }
        }
        return nil
    }

    private static func encode(_ value: UInt32) -> [UInt8] {
        func tail(_ shift: UInt32) -> UInt8 { 0x80 | UInt8(value >> shift & 0x3F) }
        switch value {
        case 0...0x7F: return [UInt8(value)]
        case 0x80...0x7FF: return [0xC0 | UInt8(value >> 6), tail(0)]
        case 0x800...0xFFFF: return [0xE0 | UInt8(value >> 12), tail(6), tail(0)]
        default: return [0xF0 | UInt8(value >> 18), tail(12), tail(6), tail(0)]
        }
    }
}
