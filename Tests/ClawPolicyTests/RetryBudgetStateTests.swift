import ClawPolicy
import Synchronization
import Testing

@Suite struct RetryBudgetStateTests {
    let memory = Memory(RetryBudget.words)
    var budget: RetryBudget { RetryBudget(memory.words) }

    @Test func aFewAreAlwaysAllowed() {
        let settings = RetrySettings()
        for _ in 0 ..< 100 { #expect(budget.mayRetry(now: 5, settings)) }
        #expect(!budget.mayRetry(now: 5, settings))
        #expect(budget.mayRetry(now: 5 + 11 * second, settings))
    }

    @Test func nothingIsAllowedWhereNothingIs() {
        var settings = RetrySettings()
        (settings.budget, settings.perSecondMin) = (0, 0)
        for _ in 0 ..< 100 { budget.request(now: 5) }
        #expect(!budget.mayRetry(now: 5, settings))
        (settings.budget, settings.perSecondMin) = (.nan, -7)
        #expect(!budget.mayRetry(now: 5, settings))
        settings.perSecondMin = .max
        #expect(budget.mayRetry(now: 5, settings))
        #expect(budget.spent(now: 5) == (100, 1))
    }

    @Test(arguments: [0.1, 0.2, 0.5]) func RT_01_retriesStayAShareOfRequestsOverTenSeconds(ratio: Double) {
        var settings = RetrySettings()
        (settings.budget, settings.perSecondMin) = (ratio, 0)
        var requests: [UInt64] = [], retries: [UInt64] = []
        // 1,000 requests a second for 30 s, each of which fails and would be tried again twice.
        for at in 0 ..< 30_000 {
            let now = UInt64(at) * milli
            budget.request(now: now)
            requests.append(now)
            for _ in 0 ..< 2 where budget.mayRetry(now: now, settings) { retries.append(now) }
        }
        #expect(Double(retries.count) <= ratio * Double(requests.count))
        #expect(Double(retries.count) >= ratio * Double(requests.count) * 0.9)
        for end in stride(from: 10 * second, through: 30 * second, by: 500_000_000) {
            let seen = retries.filter { $0 < end && $0 + 10 * second >= end }.count
            // A bucket of the ten may hold what the oldest let go.
            #expect(Double(seen) <= ratio * 10_000 * 1.1 + 1)
        }
    }

    @Test func tokensAreTakenExactlyOverThreads() {
        let memory = memory
        var settings = RetrySettings()
        (settings.budget, settings.perSecondMin) = (0.2, 3)
        for _ in 0 ..< 1000 { budget.request(now: second) }
        let taken = Atomic<Int>(0), rule = settings
        together(4) { _ in
            for _ in 0 ..< 1000 where RetryBudget(memory.words).mayRetry(now: second, rule) { taken.wrappingAdd(1, ordering: .relaxed) }
        }
        #expect(taken.load(ordering: .relaxed) == 230)
        #expect(budget.spent(now: second) == (1000, 230))
    }
}
