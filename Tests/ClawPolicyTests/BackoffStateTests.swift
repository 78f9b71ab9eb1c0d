import ClawPolicy
import Testing

@Suite struct BackoffStateTests {
    @Test func delaysFillTheWholeRange() {
        let settings = RetrySettings()
        for (attempt, bound) in [(1, 25), (2, 50), (3, 100), (6, 800), (7, 1000), (50, 1000), (.max, 1000), (0, 25), (.min, 25)] as [(Int, UInt64)] {
            #expect(Backoff.delay(attempt: attempt, settings: settings, random: 0) == 0)
            #expect(Backoff.delay(attempt: attempt, settings: settings, random: .max) == bound * milli)
            #expect(Backoff.delay(attempt: attempt, settings: settings, random: .max / 2) / milli == bound / 2)
        }
    }

    @Test func extremesDoNotOverflow() {
        var settings = RetrySettings()
        (settings.backoffBase, settings.backoffMax) = (.max, .max)
        for random in [0, 1, .max] as [UInt64] { #expect(Backoff.delay(attempt: 9, settings: settings, random: random) == random) }
        (settings.backoffBase, settings.backoffMax) = (0, 0)
        #expect(Backoff.delay(attempt: 9, settings: settings, random: .max) == 0)
        (settings.backoffBase, settings.backoffMax) = (5, 3)
        #expect(Backoff.delay(attempt: 1, settings: settings, random: .max) == 3)
    }
}
