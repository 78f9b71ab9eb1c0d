@testable import ClawPolicy
import Synchronization
import Testing

@Suite struct SlidingCountsStateTests {
    let memory = Memory(SlidingCounts.words)
    var counts: SlidingCounts { SlidingCounts(memory.words) }

    @Test func zeroedWordsAreAnEmptyWindow() {
        for now in [0, 1, second, .max] as [UInt64] { #expect(counts.sum(now: now, window: second) == (0, 0)) }
    }

    @Test func bucketsLeaveTheWindowOneByOne() {
        for at in 0 ..< 10 { counts.add(good: 1, bad: 2, now: UInt64(at) * second, window: 10 * second) }
        #expect(counts.sum(now: 9 * second, window: 10 * second) == (10, 20))
        #expect(counts.sum(now: 12 * second, window: 10 * second) == (7, 14))
        #expect(counts.sum(now: 18 * second, window: 10 * second) == (1, 2))
        #expect(counts.sum(now: 19 * second, window: 10 * second) == (0, 0))
    }

    @Test func countsStopAtTheirGreatest() {
        for _ in 0 ..< 3 { counts.add(good: .max, bad: SlidingCounts.countMax - 1, now: 5, window: second) }
        #expect(counts.sum(now: 5, window: second) == (SlidingCounts.countMax, SlidingCounts.countMax))
        counts.add(good: -5, bad: .min, now: 5, window: second)
        #expect(counts.sum(now: 5, window: second) == (SlidingCounts.countMax, SlidingCounts.countMax))
        #expect(!counts.take(now: 5, window: second) { _ in .max })
    }

    @Test func zeroedWordsCountAtAnyTime() {
        // Periods whose low 24 bits lie half a turn and more ahead of a zeroed word's.
        for period in [1 << 22, 1 << 23, 1 << 23 + 5, 1 << 24 - 1, 1 << 24, 1 << 40] as [UInt64] {
            let memory = Memory(SlidingCounts.words)
            SlidingCounts(memory.words).add(good: 3, bad: 1, now: period, window: 10)
            #expect(SlidingCounts(memory.words).sum(now: period, window: 10) == (3, 1))
            // And those of long ago are begun anew.
            SlidingCounts(memory.words).add(good: 2, now: period + 10_000_000, window: 10)
            #expect(SlidingCounts(memory.words).sum(now: period + 10_000_000, window: 10) == (2, 0))
        }
    }

    @Test func strangeWindowsAndTimesDoNoHarm() {
        for window in [0, 1, 9, 10, .max] as [UInt64] {
            for now in [0, 1, 1 << 40, .max - 1, .max] as [UInt64] {
                counts.add(good: 1, bad: 1, now: now, window: window)
                _ = counts.sum(now: now, window: window)
                _ = counts.take(now: now, window: window) { $0 }
            }
        }
    }

    @Test func RT_08_anEarlierClockNeitherErasesNorRevives() {
        counts.add(bad: 5, now: 100 * second, window: 10 * second)
        counts.add(bad: 7, now: 90 * second, window: 10 * second) // a whole window behind: the bucket is in use for later
        #expect(counts.sum(now: 100 * second, window: 10 * second) == (0, 5))
        counts.add(bad: 1, now: 99 * second, window: 10 * second)
        #expect(counts.sum(now: 100 * second, window: 10 * second) == (0, 6))
        #expect(counts.sum(now: 99 * second, window: 10 * second) == (0, 6)) // sees what is ahead of it
    }

    @Test(arguments: 0 ..< 20) func agreesWithAPlainModel(seed: UInt64) {
        var random = SplitMix(seed)
        let window = ([10, 1000, 7 * second, 30 * second] as [UInt64])[Int(seed % 4)]
        let length = max(window / 10, 1)
        var now: UInt64 = random.next() >> 20
        var model: [UInt64: (good: Int, bad: Int)] = [:]
        for step in 0 ..< 2000 {
            now += UInt64.random(in: 0 ... length * (step % 97 == 0 ? 30 : 1), using: &random)
            let (good, bad) = (Int.random(in: 0 ... 5, using: &random), Int.random(in: 0 ... 5, using: &random))
            let one = model[now / length] ?? (0, 0)
            model[now / length] = (one.good + good, one.bad + bad)
            counts.add(good: good, bad: bad, now: now, window: window)
            var expected = (0, 0)
            for (at, one) in model where at + 10 > now / length { expected = (expected.0 + one.good, expected.1 + one.bad) }
            model = model.filter { $0.key + 10 > now / length }
            #expect(counts.sum(now: now, window: window) == expected)
        }
    }

    @Test func nothingIsLostBetweenThreads() {
        let memory = memory
        together(4) { thread in
            for at in 0 ..< 20_000 { SlidingCounts(memory.words).add(good: 1, bad: thread & 1, now: UInt64(at % 10) * second, window: 10 * second) }
        }
        #expect(counts.sum(now: 9 * second, window: 10 * second) == (80_000, 40_000))
    }

    @Test(arguments: [5, 6, 4] as [UInt64]) func whoTakesBetweenTheLookAndTheCountIsSeen(other: UInt64) {
        // The rule is asked first before anything is counted: there another worker, perhaps of the bucket beside, takes the only one.
        var isFirst = true
        let counts = counts
        let taken = counts.take(now: 5 * second, window: 10 * second) { _ in
            if isFirst {
                isFirst = false
                #expect(counts.take(now: other * second, window: 10 * second) { _ in 1 })
            }
            return 1
        }
        #expect(!taken && counts.sum(now: 6 * second, window: 10 * second) == (0, 1))
    }

    @Test func takingIsExactOverThreadsAndBucketBorders() {
        let memory = memory
        counts.add(good: 500, now: 5 * second, window: 10 * second)
        let taken = Atomic<Int>(0)
        together(4) { thread in
            // Two threads are a bucket ahead of the others.
            for _ in 0 ..< 2000 where SlidingCounts(memory.words).take(now: UInt64(5 + thread & 1) * second, window: 10 * second, allowed: { $0 }) {
                taken.wrappingAdd(1, ordering: .relaxed)
            }
        }
        #expect(taken.load(ordering: .relaxed) <= 500)
        while counts.take(now: 6 * second, window: 10 * second, allowed: { $0 }) { taken.wrappingAdd(1, ordering: .relaxed) }
        #expect(taken.load(ordering: .relaxed) == 500)
        #expect(counts.sum(now: 6 * second, window: 10 * second) == (500, 500))
    }
}
