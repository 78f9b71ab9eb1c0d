@testable import ClawLoad
import Testing

/// The HDR histogram against sorted lists.
struct HistogramTests {
    private func values(_ count: Int, seed: UInt64, upTo bits: UInt64) -> [UInt64] {
        (0 ..< UInt64(count)).map { place in
            let draw = splitMix(seed &* 1_000_003 &+ place)
            return draw >> (64 - (draw % bits + 1))
        }
    }

    @Test(arguments: [1, 2, 3, 10, 1000, 20_000]) func percentilesAreThoseOfTheSortedListToThreeDigits(_ count: Int) {
        for seed in UInt64(1) ... 5 {
            let all = values(count, seed: seed, upTo: 41)
            var histogram = Histogram()
            for value in all { histogram.record(value) }
            let sorted = all.sorted()
            for percent in [0.0, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100] {
                let rank = max(1, Int((percent / 100 * Double(count)).rounded(.up)))
                let right = sorted[rank - 1]
                let found = histogram.percentile(percent)
                #expect(found >= right)
                #expect(found - right <= right / 1000 + 1, "\(percent)% of \(count): \(found), not \(right)")
            }
            #expect(histogram.minimum == sorted.first)
            #expect(histogram.greatest == sorted.last)
            #expect(histogram.total == UInt64(count))
        }
    }

    @Test func smallValuesAreExact() {
        var histogram = Histogram()
        for value in UInt64(0) ..< 2048 { histogram.record(value) }
        for value in UInt64(1) ... 2047 { #expect(histogram.percentile(Double(value + 1) / 2048 * 100) == value) }
    }

    @Test func mergingIsRecordingTogether() {
        let all = values(5000, seed: 9, upTo: 30)
        var one = Histogram(), left = Histogram(), right = Histogram()
        for (place, value) in all.enumerated() {
            one.record(value)
            if place % 3 == 0 { left.record(value) } else { right.record(value) }
        }
        left.merge(right)
        for percent in [0.0, 50, 99, 100] { #expect(left.percentile(percent) == one.percentile(percent)) }
        #expect(left.mean == one.mean)
        #expect(left.deviation == one.deviation)
    }

    @Test func meanAndDeviationAreThoseOfTheList() {
        let all = values(10_000, seed: 3, upTo: 20)
        var histogram = Histogram()
        for value in all { histogram.record(value) }
        let mean = all.reduce(0.0) { $0 + Double($1) } / Double(all.count)
        let deviation = (all.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(all.count)).squareRoot()
        #expect(abs(histogram.mean - mean) <= mean / 1000)
        #expect(abs(histogram.deviation - deviation) <= deviation / 500)
    }

    @Test func valuesBeyondTheRangeAreCountedAtItsEnd() {
        var histogram = Histogram()
        histogram.record(UInt64.max)
        #expect(histogram.percentile(50) == Histogram.valueMax)
        #expect(Histogram().percentile(99) == 0)
    }

    @Test func percentileTextIsHdrHistograms() throws {
        var histogram = Histogram()
        for value in UInt64(1) ... 1000 { histogram.record(value * 1_000_000) }
        let lines = histogram.percentileText().split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines[0] == "       Value     Percentile TotalCount 1/(1-Percentile)")
        let rows = lines.dropFirst(2).prefix { !$0.hasPrefix("#") }
        var lastValue = 0.0, lastCount = 0
        for row in rows {
            let fields = row.split(separator: " ")
            let value = try #require(Double(fields[0])), percentile = try #require(Double(fields[1])), count = try #require(Int(fields[2]))
            #expect(value >= lastValue && count >= lastCount)
            #expect(Double(count) / 1000 >= percentile - 1e-9)
            lastValue = value
            lastCount = count
        }
        #expect(rows.last?.contains("1.000000000000       1000") == true)
        #expect(lines.contains { $0.hasPrefix("#[Max     =     1000.000, Total count    =         1000]") })
    }

    @Test(arguments: [(0.0, 2, "0.00"), (1.005, 1, "1.0"), (-1.5, 0, "-2"), (0.9999, 3, "1.000"), (123.456, 2, "123.46"), (5, 12, "5.000000000000")])
    func numbersArePrintedRounded(_ value: Double, _ decimals: Int, _ wanted: String) {
        #expect(fixed(value, decimals) == wanted)
    }
}
