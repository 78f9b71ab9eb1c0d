import ClawPolicy
import Glibc
import Testing

/// Prints what a walk costs (of use when built with -c release), and checks that nothing is quadratic.
@Suite struct PromptSpeedTests {
    private func nanoseconds(_ body: [UInt8], _ wanted: PromptReading.Wanted, _ matcher: KeywordMatcher?) -> Double {
        var found = [UInt64](repeating: 0, count: 64)
        var best = Double.infinity
        for _ in 0..<7 {
            let from = processorTime()
            found.withUnsafeMutableBufferPointer { found in
                var reading = PromptReading(wanted, matcher: matcher, found: found.baseAddress)
                body.withUnsafeBytes { _ = reading.read($0) }
            }
            best = min(best, processorTime() - from)
        }
        return best
    }

    /// Of this thread, so that a busy machine changes nothing.
    private func processorTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
    }

    @Test func costGrowsWithLengthAlone() {
        let english = "The quick brown fox jumps over the lazy dog, and nobody asks it why; that is a long story. "
        let korean = "오늘 서울의 날씨가 어떤지 알려 주세요. 그리고 내일은 비가 올까요? "
        let escaped = #"\uc548\ub155\n\"a\" "#
        let matcher = KeywordMatcher((0..<200).map { Array("keyword\($0)".utf8) })
        for (name, line) in [("english", english), ("korean", korean), ("escaped", escaped)] {
            func body(_ bytes: Int) -> [UInt8] { Array("{\"messages\":[{\"role\":\"user\",\"content\":\"\(String(repeating: line, count: bytes / line.utf8.count))\"}]}".utf8) }
            let small = body(20_000), large = body(200_000)
            for (kind, wanted) in [("walk", []), ("keywords", .keywords), ("language", .language), ("tokens", .tokens), ("prefix", .prefix), ("all", [.keywords, .language, .tokens, .prefix])] as [(String, PromptReading.Wanted)] {
                let one = nanoseconds(small, wanted, matcher), ten = nanoseconds(large, wanted, matcher)
                print("\(name) \(kind): \(Int(Double(large.count) * 1000 / ten)) MB/s")
                #expect(ten < one * 40)
            }
        }
    }
}
