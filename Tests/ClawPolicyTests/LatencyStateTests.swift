@testable import ClawPolicy
import Synchronization
import Testing

@Suite struct LatencyStateTests {
    let memory = Memory(Latency.words)
    var latency: Latency { Latency(memory.words) }

    @Test func zeroedWordsKnowNothing() {
        #expect(latency.value == 0 && latency.age(now: 5) == .max && latency.percentile(0.5, now: 5) == nil)
    }

    @Test func theFirstSampleIsTheMean() {
        latency.sample(200 * milli, now: 5 * second)
        #expect(latency.value == 200 * milli && latency.age(now: 7 * second) == 2 * second && latency.age(now: 0) == 0)
    }

    @Test func aSampleAfterSilenceCountsMore() {
        latency.sample(1000 * milli, now: second)
        latency.sample(0, now: second + milli)
        #expect(latency.value > 990 * milli)
        latency.sample(100 * milli, now: 3600 * second)
        #expect(latency.value < 105 * milli)
    }

    @Test(arguments: [1, 10, 100]) func tenSecondsOfAnyRateWeighTheSame(perSecond: UInt64) {
        latency.sample(1000 * milli, now: 100 * second)
        for at in 1 ... 10 * perSecond { latency.sample(100 * milli, now: 100 * second + at * second / perSecond) }
        // 1/e of the old is left.
        #expect(latency.value > 400 * milli && latency.value < 480 * milli)
    }

    @Test func RT_08_anEarlierClockDoesNoHarm() {
        latency.sample(100 * milli, now: 100 * second)
        latency.sample(900 * milli, now: 40 * second)
        #expect(latency.value > 100 * milli && latency.value < 102 * milli && latency.age(now: 100 * second) == 0)
        for _ in 0 ..< 30 { latency.sample(100 * milli, now: 40 * second) }
        #expect(latency.percentile(0.5, now: 100 * second) != nil)
    }

    @Test func bucketsCoverAllTimesWithoutGap() {
        var end: UInt64 = 0
        for at in 0 ..< Latency.buckets {
            let (from, width) = Latency.bounds(at)
            #expect(from == end && Latency.index(from) == at && Latency.index(from + width - 1) == at)
            end = from + width
        }
        #expect(end == 1 << 39 && Latency.index(.max) == Latency.buckets - 1)
    }

    @Test func percentilesNeedTwentySamplesOfTheLastTwoMinutes() {
        for at in 0 ..< 20 as Range<UInt64> {
            #expect(latency.percentile(0.95, now: 60 * second) == nil)
            latency.sample(100 * milli, now: 60 * second + at)
        }
        for now in [60, 119, 120, 179] as [UInt64] { #expect(latency.percentile(0.95, now: now * second) != nil) }
        #expect(latency.percentile(0.95, now: 180 * second) == nil)
        latency.sample(100 * milli, now: 600 * second)
        #expect(latency.percentile(0.95, now: 600 * second) == nil)
    }

    @Test(arguments: 0 ..< 10) func percentilesAreNearTheTrueOnes(seed: UInt64) {
        var random = SplitMix(seed)
        var all: [UInt64] = []
        let start = (random.next() >> 20) / Latency.window * Latency.window
        for at in 0 ..< 5000 as Range<UInt64> {
            // From a millisecond to ten seconds, evenly in the exponent.
            let sample = UInt64(Double(milli) * pow10(Double.random(in: 0 ... 4, using: &random)))
            all.append(sample)
            latency.sample(sample, now: start + at * 20 * milli)
        }
        all.sort()
        for share in [0.5, 0.9, 0.95, 0.99] {
            let exact = Double(all[Int(share * 5000) - 1]), seen = Double(latency.percentile(share, now: start + 100 * second) ?? 0)
            #expect(abs(seen / exact - 1) < 0.12, "p\(share): \(seen) for \(exact)")
        }
        #expect((latency.percentile(1, now: start + 100 * second) ?? 0) >= (latency.percentile(0, now: start + 100 * second) ?? .max))
        #expect(latency.percentile(.nan, now: start + 100 * second) != nil)
    }
    private func pow10(_ exponent: Double) -> Double {
        var result = 1.0
        for _ in 0 ..< Int(exponent) { result *= 10 }
        return result * (1 + 9 * (exponent - exponent.rounded(.down)))
    }

    @Test(arguments: 0 ..< 10) func agreesWithAPlainModel(seed: UInt64) {
        var random = SplitMix(seed)
        var mean = 0.0, last: UInt64 = 0, now: UInt64 = 1 + random.next() >> 24
        var seen: [(minute: UInt64, bucket: Int)] = []
        for _ in 0 ..< 300 {
            now += UInt64.random(in: 0 ... 3 * second, using: &random)
            let sample = UInt64.random(in: 1 ... 5 * second, using: &random)
            latency.sample(sample, now: now)
            let dt = last == 0 ? 0 : Double(now - last)
            mean = last == 0 ? Double(sample) : mean + max(dt / (dt + 10e9), 0.001) * (Double(sample) - mean)
            last = now
            seen.append((now / (60 * second), Latency.index(sample)))
            seen.removeAll { $0.minute + 1 < now / (60 * second) }
            #expect(abs(Double(latency.value) - mean) <= 2)
            let median = latency.percentile(0.5, now: now)
            #expect((median == nil) == (seen.count < 20))
            if let median {
                let sorted = seen.map(\.bucket).sorted(), (from, width) = Latency.bounds(sorted[(sorted.count + 1) / 2 - 1])
                #expect(median >= from && median <= from + width)
            }
        }
    }

    @Test func extremesDoNotTrap() {
        for now in [0, 1, .max, 5] as [UInt64] { for sample in [0, 1, .max] as [UInt64] { for _ in 0 ..< 30 { latency.sample(sample, now: now) } } }
        #expect(latency.value > 0 && latency.percentile(0.99, now: 5) != nil)
    }

    @Test func noSampleIsLostBetweenThreads() {
        let memory = memory
        together(4) { thread in
            for _ in 0 ..< 5000 { Latency(memory.words).sample(UInt64(thread + 1) * 100 * milli, now: 60 * second) }
        }
        // 5,000 of each: a quarter ends exactly at the first bucket's end.
        let (from, width) = Latency.bounds(Latency.index(100 * milli))
        #expect(latency.percentile(0.25, now: 60 * second) == from + width)
        #expect(latency.value >= 100 * milli && latency.value <= 400 * milli)
    }
}
