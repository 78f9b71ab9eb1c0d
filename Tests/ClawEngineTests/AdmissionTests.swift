@testable import ClawEngine
import ClawPolicy
import Testing

/// The queue for an upstream's places, and where the words of what workers share lie.
@Suite struct AdmissionTests {
    private func token(_ at: Int) -> SlotToken { SlotToken(.none, generation: 1, index: UInt32(at)) }

    private func drain(_ queue: PlaceQueue) -> [Int] {
        var out: [Int] = []
        while let next = queue.next() { out.append(Int(next.index)) }
        return out
    }

    @Test func tenantsTakeTurnsAndEachKeepsItsOrder() {
        let queue = PlaceQueue(place: 7)
        for at in 0..<4 { queue.append(token(at), tenant: 1) }
        queue.append(token(10), tenant: 2)
        queue.append(token(20), tenant: 3)
        queue.append(token(11), tenant: 2)
        #expect(queue.count == 7)
        #expect(queue.first == token(0))
        #expect(drain(queue) == [0, 10, 20, 1, 11, 2, 3])
        #expect(queue.count == 0)
        #expect(queue.first == nil)
    }

    @Test func whoComesNewWaitsForOneTurnOfEverybodyElse() {
        let queue = PlaceQueue(place: 0)
        for tenant in 0..<5 { for at in 0..<10 { queue.append(token(tenant * 100 + at), tenant: UInt64(tenant)) } }
        for _ in 0..<7 { _ = queue.next() }
        queue.append(token(999), tenant: 99)
        let rest = drain(queue)
        #expect(rest.firstIndex(of: 999) == 5)
    }

    @Test func whoLeavesIsNotServedAndHoldsNobodyUp() {
        let queue = PlaceQueue(place: 0)
        for at in 0..<3 { queue.append(token(at), tenant: 1) }
        queue.append(token(10), tenant: 2)
        queue.remove(token(1), tenant: 1)
        queue.remove(token(10), tenant: 2)
        // Not there (any more): nothing happens.
        queue.remove(token(10), tenant: 2)
        queue.remove(token(5), tenant: 1)
        #expect(queue.count == 2)
        #expect(drain(queue) == [0, 2])
    }

    /// Against a model that keeps the lanes as lists: everybody comes out once, in the order of its lane, and no lane is passed over.
    @Test func playsByChanceServeEverybodyOnceAndFairly() {
        var state: UInt64 = 88_172_645_463_325_252
        func chance(_ below: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(below))
        }
        for _ in 0..<200 {
            let queue = PlaceQueue(place: 0)
            var lanes: [UInt64: [Int]] = [:]
            // Who waited when a tenant had its last turn, and has had none since.
            var owed: [UInt64: Set<UInt64>] = [:]
            var next = 0
            func forget(_ tenant: UInt64) {
                lanes[tenant] = nil
                owed[tenant] = nil
                for other in owed.keys { owed[other]!.remove(tenant) }
            }
            for _ in 0..<300 {
                switch chance(5) {
                case 0, 1:
                    let tenant = UInt64(chance(6))
                    lanes[tenant, default: []].append(next)
                    queue.append(token(next), tenant: tenant)
                    next += 1
                case 2 where !lanes.isEmpty:
                    let tenant = lanes.keys.sorted()[chance(lanes.count)]
                    let at = chance(lanes[tenant]!.count)
                    queue.remove(token(lanes[tenant]!.remove(at: at)), tenant: tenant)
                    if lanes[tenant]!.isEmpty { forget(tenant) }
                default:
                    guard let found = queue.next() else {
                        #expect(lanes.isEmpty)
                        continue
                    }
                    guard let tenant = lanes.first(where: { $0.value.first == Int(found.index) })?.key else {
                        Issue.record("\(found.index) was nobody's turn")
                        return
                    }
                    lanes[tenant]!.removeFirst()
                    #expect(owed[tenant, default: []].isEmpty, "a second turn while others wait since before the first")
                    for other in owed.keys { owed[other]!.remove(tenant) }
                    owed[tenant] = Set(lanes.keys.filter { $0 != tenant })
                    if lanes[tenant]!.isEmpty { forget(tenant) }
                }
                #expect(queue.count == lanes.values.reduce(0) { $0 + $1.count })
            }
            #expect(drain(queue).sorted() == lanes.values.flatMap { $0 }.sorted())
        }
    }

    @Test func allViewsOfTheOutlookHaveRoomAndLieApart() {
        #expect(Outlook.fits)
        let outlook = Outlook()
        // What one view counts no other sees.
        for traffic in TrafficClass.allCases { for _ in 0..<5 { _ = outlook.breaker(3, traffic).record(success: false, now: 1, BreakerSettings()) } }
        #expect(outlook.concurrency(3).inFlight == 0)
        var limited = ConcurrencySettings()
        limited.max = 2
        #expect(outlook.concurrency(3).tryEnter(limited))
        #expect(outlook.queued(3)[0].load(ordering: .relaxed) == 0)
        #expect(outlook.recovering(3)[0].load(ordering: .relaxed) == 0)
        #expect(outlook.waitingWorkers(3)[0].load(ordering: .relaxed) == 0)
        #expect(outlook.breaker(4, .model).state(now: 1) == .closed)
        #expect(outlook.breaker(2, .http).state(now: 1) == .closed)
        #expect(outlook.cooldowns(5).cool(model: 1, class: .rateLimited, told: 10_000_000_000, now: 1, CooldownSettings(), random: 1))
        #expect(outlook.isCooling(5, now: 1))
        #expect(!outlook.isCooling(5, now: 60_000_000_000))
        #expect(outlook.isBlemished(5))
        #expect(!outlook.isCooling(4, now: 1) && !outlook.isCooling(6, now: 1))
    }
}
