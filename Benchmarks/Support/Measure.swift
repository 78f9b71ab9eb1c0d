// How everything here is measured: a sample is the quickest of many short batches, so that it says what the code costs and not what else the
// machine did. Times are picoseconds, since some of what is measured takes a few nanoseconds and the tool counts in whole numbers. Processor
// instructions would be steadier, but few virtual machines let them be counted.
//
// The files in Thresholds/ are budgets written by hand, about what a core of a Xeon at 2 … 3 GHz needs. A run fails when a p90 is four times its
// budget: wide on purpose, to catch an algorithm that went wrong and not a busy machine. Bytes per second have less slack, see below. Those of a translated chunk and of a classified
// body are a quarter of what they may cost at most: 3 µs and 60 µs.
import Benchmark
import Glibc

public let perOperation = BenchmarkMetric.custom("picoseconds per operation")
public let perByte = BenchmarkMetric.custom("picoseconds per byte")
public let megabytesPerSecond = BenchmarkMetric.custom("MB per second", polarity: .prefersLarger, useScalingFactor: false)

private func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Nanoseconds of the quickest batch.
private func quickest(within window: Int, _ body: () -> Void) -> Int {
    var best = Int.max
    let start = now()
    var at = start
    var batches = 0
    while batches < 5 || at - start < window {
        body()
        let end = now()
        best = min(best, end - at)
        at = end
        batches += 1
    }
    return max(1, best)
}

/// Registers a benchmark. `body` does its operation as often as it is told; `operations` should take some ten microseconds.
public func measure(_ name: String, operations: Int, _ body: @escaping (Int) -> Void) {
    let configuration = Benchmark.Configuration(
        metrics: [perOperation], warmupIterations: 1, maxDuration: .milliseconds(500), maxIterations: 20,
        thresholds: [perOperation: BenchmarkThresholds(relative: [.p90: slack])])
    Benchmark(name, configuration: configuration) { benchmark in
        let nanoseconds = quickest(within: 3_000_000) { body(operations) }
        benchmark.measurement(perOperation, nanoseconds * 1000 / operations)
    }
}

/// The same for what reads `bytes` bytes per operation; the budget is per byte.
public func measure(_ name: String, bytes: Int, operations: Int, _ body: @escaping (Int) -> Void) {
    let configuration = Benchmark.Configuration(
        metrics: [perOperation, perByte, megabytesPerSecond], warmupIterations: 1, maxDuration: .milliseconds(500), maxIterations: 20,
        thresholds: [perByte: BenchmarkThresholds(relative: [.p90: byteSlack])])
    Benchmark(name, configuration: configuration) { benchmark in
        let nanoseconds = quickest(within: 20_000_000) { body(operations) }
        benchmark.measurement(perOperation, nanoseconds * 1000 / operations)
        benchmark.measurement(perByte, nanoseconds * 1000 / (operations * bytes))
        benchmark.measurement(megabytesPerSecond, operations * bytes * 1000 / nanoseconds)
    }
}

/// Percent above the budget. At 100 or more, being quicker than the budget never counts as a deviation.
private let slack = 300.0
/// Budget 250 plus this is 500 ps per byte: 2 GB/s, the least that the JSON scanner may do. A text of 640 bytes does a little over that
/// at best, so that its budget is 400.
private let byteSlack = 100.0
