// The tables and timers of the control thread that fetches.
import Testing
@testable import ClawEngine

struct FetchTimerTests {
    @Test func timersGoOffInTheOrderOfTheirTimes() {
        var queue = TimerQueue()
        var order: [Int] = []
        for (number, at) in [50, 10, 40, 10, 30].enumerated() { _ = queue.add(UInt64(at)) { order.append(number) } }
        #expect(queue.wait(5) == 5)
        while let action = queue.next(30) { action() }
        #expect(Set(order.prefix(2)) == [1, 3] && order[2...] == [4])
        #expect(queue.wait(30) == 10)
        while let action = queue.next(100) { action() }
        #expect(order.suffix(2) == [2, 0])
        #expect(queue.wait(100) == -1)
    }

    @Test func aCancelledTimerDoesNotGoOff() {
        var queue = TimerQueue()
        var fired = 0
        var ids: [TimerQueue.ID] = []
        for at in 0..<1000 { ids.append(queue.add(UInt64(at)) { fired += 1 }) }
        for (at, id) in ids.enumerated() where at % 10 != 0 { queue.cancel(id) }
        queue.cancel(ids[1])
        while let action = queue.next(2000) { action() }
        #expect(fired == 100)
        queue.cancel(ids[0])
        #expect(queue.wait(2000) == -1)
    }

    @Test func aPlaceOfATableNamesOneUseOfIt() {
        var table = Places<String>()
        let one = table.add("one", kind: .link)
        let two = table.add("two", kind: .link)
        #expect(table[one] == "one" && table[two] == "two")
        #expect(table.remove(one) == "one")
        #expect(table[one] == nil && table.remove(one) == nil)
        let three = table.add("three", kind: .link)
        #expect(three.index == one.index && three != one)
        #expect(table[one] == nil && table[three] == "three")
        #expect(table[PlaceID(value: 0xffff_ffff)] == nil)
    }

    @Test func aFieldOfAnAnswerIsFoundByItsName() {
        let fields = "HTTP\r\nX-Consul-Index:  17\r\ncontent-type: application/json\r\n"
        #expect(Fetched.field("x-consul-index", in: fields) == "17")
        #expect(Fetched.field("content-type", in: fields) == "application/json")
        #expect(Fetched.field("etag", in: fields) == nil)
    }
}
