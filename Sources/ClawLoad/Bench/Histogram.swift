// Histogram: an HDR histogram (Gil Tene's log-linear layout) of nanoseconds with three significant digits, from 1 ns to 2^42 ns (73
// minutes; longer is counted there). A value below 2,048 has a place of its own; above, each power of two is cut into 1,024 places,
// so the error is below 0.1 %. Recording is an index computation and an increment. One thread writes; merge when it has ended.

struct Histogram {
    static let subBuckets = 2048
    static let half = 1024
    static let buckets = 32
    static let valueMax: UInt64 = (1 << 42) - 1
    private static let places = (buckets + 1) * half

    private var counts = [UInt64](repeating: 0, count: places)
    private(set) var total: UInt64 = 0
    private(set) var least = UInt64.max
    private(set) var greatest: UInt64 = 0

    var isEmpty: Bool { total == 0 }
    var minimum: UInt64 { total == 0 ? 0 : least }

    mutating func record(_ value: UInt64) {
        let bounded = min(value, Self.valueMax)
        counts[Self.place(bounded)] &+= 1
        total &+= 1
        if bounded < least { least = bounded }
        if bounded > greatest { greatest = bounded }
    }

    mutating func merge(_ other: Histogram) {
        for place in 0 ..< Self.places { counts[place] &+= other.counts[place] }
        total &+= other.total
        least = min(least, other.least)
        greatest = max(greatest, other.greatest)
    }

    @inline(__always)
    private static func place(_ value: UInt64) -> Int {
        let bucket = 53 - (value | UInt64(subBuckets - 1)).leadingZeroBitCount
        return (bucket + 1) << 10 + Int(value >> UInt64(bucket)) - half
    }

    /// The least value that is counted at a place, and how many values are.
    private static func range(_ place: Int) -> (value: UInt64, width: UInt64) {
        let bucket = place >> 10 - 1
        if bucket < 0 { return (UInt64(place), 1) }
        return (UInt64(place & (half - 1) + half) << UInt64(bucket), 1 << UInt64(bucket))
    }

    private func highest(_ place: Int) -> UInt64 {
        let range = Self.range(place)
        return min(range.value + range.width - 1, greatest)
    }

    /// The value that this share (0…100) of all values does not exceed.
    func percentile(_ percent: Double) -> UInt64 {
        guard total > 0 else { return 0 }
        let wanted = max(1, UInt64((min(100, max(0, percent)) / 100 * Double(total)).rounded(.up)))
        var seen: UInt64 = 0
        for place in 0 ..< Self.places where counts[place] > 0 {
            seen += counts[place]
            if seen >= wanted { return highest(place) }
        }
        return greatest
    }

    var mean: Double {
        guard total > 0 else { return 0 }
        var sum = 0.0
        for place in 0 ..< Self.places where counts[place] > 0 { sum += Double(counts[place]) * Self.middle(place) }
        return sum / Double(total)
    }

    var deviation: Double {
        guard total > 0 else { return 0 }
        let mean = mean
        var sum = 0.0
        for place in 0 ..< Self.places where counts[place] > 0 {
            let distance = Self.middle(place) - mean
            sum += Double(counts[place]) * distance * distance
        }
        return (sum / Double(total)).squareRoot()
    }

    private static func middle(_ place: Int) -> Double {
        let range = range(place)
        return Double(range.value) + Double(range.width / 2)
    }

    /// The percentile distribution as HdrHistogram prints it (`.hgrm`), values in milliseconds, five steps per halving of the rest.
    func percentileText() -> String {
        var text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
        func line(_ place: Int, _ level: Double, _ seen: UInt64) {
            text += fixed(Double(highest(place)) / 1e6, 3, width: 12) + " " + fixed(level / 100, 12) + " " + padded("\(seen)", 10)
            if level < 100 { text += " " + fixed(1 / (1 - level / 100), 2, width: 14) }
            text += "\n"
        }
        var level = 0.0
        var seen: UInt64 = 0
        for place in 0 ..< Self.places where counts[place] > 0 {
            seen += counts[place]
            let reached = 100 * Double(seen) / Double(total)
            while reached >= level && level < 100 {
                if seen == total && reached >= 100 && 100 - level < 100 / Double(2 * total) { break }
                line(place, level, seen)
                let halvings = (100 / (100 - level)).exponent + 1
                level += 100 / (5 * Double(sign: .plus, exponent: Int(halvings), significand: 1))
            }
            if seen == total { line(place, 100, seen) }
        }
        text += "#[Mean    = \(fixed(mean / 1e6, 3, width: 12)), StdDeviation   = \(fixed(deviation / 1e6, 3, width: 12))]\n"
        text += "#[Max     = \(fixed(Double(greatest) / 1e6, 3, width: 12)), Total count    = \(padded("\(total)", 12))]\n"
        text += "#[Buckets = \(padded("\(Self.buckets)", 12)), SubBuckets     = \(padded("\(Self.subBuckets)", 12))]\n"
        return text
    }
}

func padded(_ text: String, _ width: Int) -> String {
    text.utf8.count >= width ? text : String(repeating: " ", count: width - text.utf8.count) + text
}

/// A number with that many decimals (at most 12), rounded.
func fixed(_ value: Double, _ decimals: Int, width: Int = 0) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return padded("\(value)", width) }
    let isNegative = value < 0
    var whole = abs(value).rounded(.down)
    var scale: UInt64 = 1
    for _ in 0 ..< decimals { scale *= 10 }
    var part = UInt64(((abs(value) - whole) * Double(scale)).rounded())
    if part >= scale {
        part -= scale
        whole += 1
    }
    var text = (isNegative ? "-" : "") + "\(UInt64(whole))"
    if decimals > 0 {
        let digits = "\(part)"
        text += "." + String(repeating: "0", count: decimals - digits.utf8.count) + digits
    }
    return padded(text, width)
}
