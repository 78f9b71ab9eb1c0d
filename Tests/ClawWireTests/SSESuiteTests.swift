import ClawWire
import Foundation
import Testing

/// What a stream comes to, comparable.
struct StreamOutcome: Equatable {
    struct Event: Equatable {
        var name: [UInt8]
        var data: [UInt8]
        var id: [UInt8]
        var isDone = false
        var isOversized = false
    }
    var events: [Event] = []
    var ends: [Int] = []
    var lastID: [UInt8] = []
    var retry: Int64?
    var lost = false
    var isDone = false

    /// Reads a stream in pieces that end at `cuts` and at its end, each an exact-size copy.
    init(_ body: [UInt8], cuts: some Sequence<Int>, carryBytesMax: Int = 1 << 20, tracksID: Bool = true) {
        var scanner = EventScanner(carryBytesMax: carryBytesMax, tracksID: tracksID)
        var start = 0
        for cut in Array(cuts) + [body.count] {
            let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: cut - start, alignment: 1)
            defer { piece.deallocate() }
            piece.copyBytes(from: body[start..<cut])
            var from = 0
            while case .event(let event) = scanner.next(UnsafeRawBufferPointer(piece), from: from) {
                from = event.end
                events.append(Event(
                    name: Array(event.name), data: Array(event.data), id: scanner.lastEventID, isDone: event.isDone, isOversized: event.isOversized))
                ends.append(start + event.end)
            }
            start = cut
        }
        (lost, isDone) = scanner.finish()
        lastID = scanner.lastEventID
        retry = scanner.retryMilliseconds
    }

    /// An LF that comes in the next feed belongs to the CR before it, so only the ends may differ, by that one byte.
    func agrees(with other: StreamOutcome) -> Bool {
        var (a, b) = (self, other)
        guard a.ends.count == b.ends.count, zip(a.ends, b.ends).allSatisfy({ abs($0 - $1) <= 1 }) else { return false }
        a.ends = []
        b.ends = []
        return a == b
    }
}

@Suite(.enabled(if: WireSuites.isPresent, WireSuites.absence))
struct SSESuiteTests {
    static func load(_ name: String) -> [[String: Any]] {
        guard let file = WireSuites.folder?.appendingPathComponent("sse/\(name)"), let data = try? Data(contentsOf: file),
            let root = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
        else { return [] }
        return root["cases"] as? [[String: Any]] ?? []
    }

    static func body(_ one: [String: Any]) -> [UInt8] { Array(Data(base64Encoded: one["bytes"] as? String ?? "") ?? Data()) }

    /// Cuts worth trying: all, but of the one very long body only those near its ends.
    static func cuts(_ body: [UInt8]) -> [Int] { (0...body.count).filter { $0 < 200 || $0 > body.count - 200 } }

    @Test func SS_01_SS_02_parsingSuitePassesWholeAndCut() {
        let cases = Self.load("parsing.json")
        #expect(cases.count == 77)
        for one in cases {
            let name = one["name"] as? String ?? ""
            let body = Self.body(one)
            let whole = StreamOutcome(body, cuts: [])
            let expected = one["events"] as? [[String: String]] ?? []
            #expect(whole.events.count == expected.count, "\(name)")
            for (event, want) in zip(whole.events, expected) {
                let type = event.name.isEmpty ? "message" : String(decoding: event.name, as: UTF8.self)
                #expect(type == want["type"], "\(name)")
                #expect(String(decoding: event.data, as: UTF8.self) == want["data"], "\(name)")
                #expect(String(decoding: event.id, as: UTF8.self) == want["id"], "\(name)")
            }
            #expect(String(decoding: whole.lastID, as: UTF8.self) == one["last_event_id"] as? String, "\(name)")
            #expect(whole.lost == one["lost_at_end"] as? Bool, "\(name)")
            if one["retry_unchecked"] == nil { #expect(whole.retry == (one["retry_ms"] as? NSNumber)?.int64Value, "\(name)") }

            #expect(whole.agrees(with: StreamOutcome(body, cuts: 0...body.count)), "\(name) byte by byte")
            for cut in Self.cuts(body) { #expect(whole.agrees(with: StreamOutcome(body, cuts: [cut])), "\(name) cut at \(cut)") }
        }
    }

    @Test func SS_04_SS_05_doneSuitePassesWholeAndCut() {
        let cases = Self.load("done.json")
        #expect(cases.count == 27)
        for one in cases {
            let name = one["name"] as? String ?? ""
            let body = Self.body(one)
            let whole = StreamOutcome(body, cuts: [])
            let marker = whole.events.firstIndex(where: \.isDone)
            #expect((marker != nil || whole.isDone) == one["done"] as? Bool, "\(name)")
            #expect((marker ?? whole.events.count) == one["events_before"] as? Int, "\(name)")
            #expect((marker.map { whole.events.count - $0 - 1 } ?? 0) == one["events_after"] as? Int, "\(name)")
            #expect(whole.agrees(with: StreamOutcome(body, cuts: 0...body.count)), "\(name) byte by byte")
            for cut in 0...body.count { #expect(whole.agrees(with: StreamOutcome(body, cuts: [cut])), "\(name) cut at \(cut)") }
        }
    }
}
