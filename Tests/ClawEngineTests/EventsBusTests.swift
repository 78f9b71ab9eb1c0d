// What the bus keeps, drops and tells.
import CClaw
import Synchronization
import Testing
@testable import ClawConfig
@testable import ClawEngine

struct EventsBusTests {
    final class Heard: Sendable {
        let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
    }

    private func made() -> (EventBus, Heard) {
        let heard = Heard()
        return (EventBus { level, text in heard.lines.withLock { $0.append("\(level.rawValue) \(text)") } }, heard)
    }

    @Test func theLastThousandAreKeptAndTheRestIsSaidToBeMissed() {
        let (bus, _) = made()
        for number in 1...(EventBus.keptMax + 10) { bus.publish("tick", .debug, "number \(number)") }
        let all = bus.events(since: 0)
        #expect(all.events.count == EventBus.keptMax && all.missed == 10)
        #expect(all.events.first?.id == 11 && all.events.last?.id == UInt64(EventBus.keptMax + 10))
        let some = bus.events(since: 1030)
        #expect(some.events.map(\.id) == [1031, 1032, 1033, 1034] && some.missed == 0)
        #expect(bus.events(since: 5000).events.isEmpty)
        #expect(bus.events(since: .max).events.isEmpty)
    }

    @Test func theOperatorsLogIsNotFloodedByOneKind() {
        let (bus, heard) = made()
        for number in 0..<100 { bus.publish("noisy", .warn, "n\(number)") }
        bus.publish("other", .error, "something else")
        for _ in 0..<7 { bus.publish("noisy", .info, "told", telling: .always) }
        bus.publish("quiet", .info, "unsaid", telling: .never)
        #expect(heard.all == (0..<EventBus.toldMax).map { "warn n\($0)" } + ["error something else"] + Array(repeating: "info told", count: 7))
        #expect(bus.last == 109)
    }

    @Test func aWorkersLineBecomesAnEventWithWordsForPeople() {
        let (bus, heard) = made()
        let ring = LogRing(bytes: 4096)
        func write(_ text: String) { Array(text.utf8).withUnsafeBufferPointer { ring.append($0.baseAddress.unsafelyUnwrapped, $0.count) } }
        write(#"{"time":"2026-01-01T00:00:00.000Z","event":"breaker_opened","upstream":"a\"b","traffic_class":"model","seconds":30.0}"# + "\n" + #"{"time":"2026-01-"#)
        bus.drain([ring])
        #expect(bus.last == 1)
        #expect(bus.events(since: 0).events[0].json == #"{"id":1,"time":"2026-01-01T00:00:00.000Z","event":"breaker_opened","severity":"warn","message":"upstreams.a\"b: the breaker of model traffic opened for 30.0 s: too many failures","upstream":"a\"b","traffic_class":"model","seconds":30.0}"#)
        #expect(heard.all == ["warn upstreams.a\"b: the breaker of model traffic opened for 30.0 s: too many failures"])
        // A line whose end comes later, nonsense, and one that nobody knows.
        write(#"01T00:00:01.000Z","event":"downgrade","route_id":"r","from":"big","to":"small","reason":"rate_limited"}"# + "\nnonsense\n{}\n" + #"{"event":"new_kind"}"# + "\n")
        bus.drain([ring])
        let events = bus.events(since: 1).events
        #expect(events.map(\.name) == ["downgrade", "new_kind"])
        #expect(events[0].message == "route r: small answered for big (rate_limited)")
        #expect(heard.all.count == 2, "a downgrade is not told, a new kind is")
    }

    @Test func subscribersHearEachEventUntilTheyLeave() {
        let (bus, _) = made()
        let heard = Heard()
        let id = bus.subscribe { event in heard.lines.withLock { $0.append(event.name) } }
        bus.publish("one", .info, "")
        bus.unsubscribe(id)
        bus.publish("two", .info, "")
        #expect(heard.all == ["one"])
    }

    @Test func aTimeHasMilliseconds() {
        #expect(EventBus.text(1_700_000_000_007_999_999) == "2023-11-14T22:13:20.007Z")
    }
}
