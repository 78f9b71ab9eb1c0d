import ClawPolicy
import Synchronization
import Testing

@Suite struct HedgeBudgetStateTests {
    let memory = Memory(HedgeBudget.words)
    var budget: HedgeBudget { HedgeBudget(memory.words) }

    @Test func hedgesAreAShareOfTheRequestsOfAMinute() {
        let settings = HedgeSettings()
        #expect(!budget.mayHedge(now: 0, settings))
        for at in 0 ..< 59 { budget.request(now: UInt64(at) * second) }
        #expect(budget.mayHedge(now: 58 * second, settings))
        #expect(budget.mayHedge(now: 58 * second, settings))
        #expect(!budget.mayHedge(now: 58 * second, settings))
        #expect(budget.spent(now: 58 * second) == (59, 2))
        #expect(!budget.mayHedge(now: 200 * second, settings))
    }

    @Test func hedgesAreTakenExactlyOverThreads() {
        let memory = memory
        var settings = HedgeSettings()
        settings.ratioMax = 0.5
        for _ in 0 ..< 1000 { budget.request(now: second) }
        let taken = Atomic<Int>(0), rule = settings
        together(4) { _ in
            for _ in 0 ..< 1000 where HedgeBudget(memory.words).mayHedge(now: second, rule) { taken.wrappingAdd(1, ordering: .relaxed) }
        }
        #expect(taken.load(ordering: .relaxed) == 500)
    }
}
