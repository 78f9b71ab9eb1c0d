import ClawWire
import Testing

struct SSEEventScannerTests {
    private func events(_ text: String, carryBytesMax: Int = 65536) -> [StreamOutcome.Event] {
        StreamOutcome(Array(text.utf8), cuts: [], carryBytesMax: carryBytesMax).events
    }

    @Test func scannerIsSmallAndHoldsNothingBetweenEvents() {
        #expect(MemoryLayout<EventScanner>.size <= 64)
        var scanner = EventScanner()
        let stream = Array("event: x\ndata: one\ndata: two\n\ndata: three\n\n".utf8)
        var heldAtMost = 0
        stream.withUnsafeBytes { raw in
            for at in stream.indices {
                let piece = UnsafeRawBufferPointer(rebasing: raw[at...at])
                var from = 0
                while case .event(let event) = scanner.next(piece, from: from) { from = event.end }
                heldAtMost = max(heldAtMost, scanner.heldBytes)
                let held = scanner.isBetweenEvents ? scanner.heldBytes : 0
                #expect(held == 0, "at \(at)")
            }
            // In one piece nothing is held but what two lines of data need.
            guard case .event(let one) = scanner.next(raw, from: 0) else { return }
            #expect(Array(one.data) == Array("one\ntwo".utf8) && Array(one.name) == Array("x".utf8))
            guard case .event(let two) = scanner.next(raw, from: one.end) else { return }
            let held = scanner.heldBytes
            #expect(held == 0)
            #expect(two.data.baseAddress! >= raw.baseAddress! && two.data.baseAddress! < raw.baseAddress! + raw.count)
        }
        #expect(heldAtMost > 0)
    }

    @Test func scannerLivesBehindAPointer() {
        struct Stream: ~Copyable { var id = 1; var scanner = EventScanner(carryBytesMax: 100) }
        let place = UnsafeMutablePointer<Stream>.allocate(capacity: 1)
        for _ in 0..<3 {
            place.initialize(to: Stream())
            Array("data: unfinished".utf8).withUnsafeBytes { raw in
                if case .event = place.pointee.scanner.next(raw, from: 0) { Issue.record("no event ended") }
            }
            let held = place.pointee.scanner.heldBytes
            #expect(held > 0)
            place.deinitialize(count: 1)
        }
        place.deallocate()
    }

    @Test func SS_10_longDataIsFlaggedAndTheStreamGoesOn() {
        let long = String(repeating: "y", count: 300)
        let stream = Array("data: a\n\ndata: \(long)\n\ndata: b\n\ndata: \(long.prefix(150))\ndata: \(long.prefix(50))\n\ndata: c\n\n".utf8)
        let whole = StreamOutcome(stream, cuts: [], carryBytesMax: 200)
        #expect(whole.events.map(\.isOversized) == [false, true, false, true, false])
        #expect(whole.events.map(\.data.count) == [1, 0, 1, 0, 1])
        #expect(!whole.lost)
        for step in [1, 2, 7, 64] {
            #expect(whole.agrees(with: StreamOutcome(stream, cuts: stride(from: 0, to: stream.count, by: step), carryBytesMax: 200)), "in steps of \(step)")
        }
        // Exactly at the limit, and one over it.
        for (count, isOversized) in [(199, false), (200, false), (201, true)] {
            let one = Array("data:\(String(repeating: "z", count: count))\n\n".utf8)
            #expect(StreamOutcome(one, cuts: [], carryBytesMax: 200).events.map(\.isOversized) == [isOversized])
            #expect(StreamOutcome(one, cuts: 0...one.count, carryBytesMax: 200).events.map(\.isOversized) == [isOversized])
        }
        // No carry at all still finds events, as long as they need none.
        #expect(events("data: x\n\ndata\n\n", carryBytesMax: 0).map(\.isOversized) == [true, false])
    }

    @Test func SS_10_tenMegabytesInOneLineAreReadInBoundedMemory() {
        var scanner = EventScanner()
        let piece = [UInt8](repeating: 0x61, count: 16384)
        func feed(_ bytes: [UInt8]) -> [Bool] {
            bytes.withUnsafeBytes { raw in
                var flags: [Bool] = []
                var from = 0
                while case .event(let event) = scanner.next(raw, from: from) { flags.append(event.isOversized); from = event.end }
                return flags
            }
        }
        #expect(feed(Array("data: ".utf8)) == [])
        for _ in 0..<640 {
            #expect(feed(piece) == [])
            let held = scanner.heldBytes
            #expect(held <= 65536)
        }
        let isBetween = scanner.isBetweenEvents
        #expect(!isBetween)
        #expect(feed(Array("\n\ndata: ok\n\n".utf8)) == [true, false])
        // A comment, an unknown field or an id of any length is no event and takes no memory.
        for start in [": ", "unknown: ", "id: ", "datax", "retry: "] {
            #expect(feed(Array(start.utf8)) == [])
            for _ in 0..<100 {
                let (flags, held) = (feed(piece), scanner.heldBytes)
                #expect(flags == [] && held == 0)
            }
            #expect(feed(Array("\n\ndata: ok\n\n".utf8)) == [false])
        }
        // A name that long makes its event oversized.
        #expect(feed(Array("event: ".utf8)) == [])
        for _ in 0..<100 {
            let (flags, held) = (feed(piece), scanner.heldBytes)
            #expect(flags == [] && held <= 300)
        }
        #expect(feed(Array("\ndata: x\n\ndata: ok\n\n".utf8)) == [true, false])
        let (lost, isDone) = scanner.finish()
        #expect(!lost && !isDone)
    }

    @Test func SS_06_betweenEventsIsToldExactly() {
        let stream = Array("\u{FEFF}: hi\n\ndata: a\n\nevent: b\ndata: c\r\n\r\nfoo\n\n: x\ndata: d\r\rid: 1\n\n".utf8)
        // True behind an empty line or a comment, false inside a line or block; reckoned here from the text alone.
        var scanner = EventScanner()
        let isAtStart = scanner.isBetweenEvents
        #expect(isAtStart)
        var isOpen = false
        var line: [UInt8] = []
        var wasCR = false
        stream.withUnsafeBytes { raw in
            for (at, byte) in stream.enumerated() {
                let piece = UnsafeRawBufferPointer(rebasing: raw[at...at])
                while case .event = scanner.next(piece, from: 0) { break }
                if at >= 3 {
                    if byte == 0x0A && wasCR {
                        wasCR = false
                    } else if byte == 0x0A || byte == 0x0D {
                        wasCR = byte == 0x0D
                        if line.isEmpty { isOpen = false } else if line[0] != 0x3A { isOpen = true }
                        line = []
                    } else {
                        wasCR = false
                        line.append(byte)
                    }
                }
                let expected = at >= 2 && !isOpen && line.isEmpty
                let isBetween = scanner.isBetweenEvents
                #expect(isBetween == expected, "behind byte \(at)")
            }
        }
    }

    @Test func endOfAnEventIsBehindItsEmptyLine() {
        let text = Array("data: a\r\n\r\ndata: b\n\n\ndata: c\r\rdata: d\n\r\n".utf8)
        let outcome = StreamOutcome(text, cuts: [])
        #expect(outcome.ends == [11, 20, 30, 40])
        #expect(outcome.events.map(\.data) == ["a", "b", "c", "d"].map { Array($0.utf8) })
    }

    @Test func markerIsToldFromWhatLooksLikeIt() {
        for text in ["[DONE]", " [DONE]", "[DONE]  ", "   [DONE] "] { #expect(events("data:\(text)\n\n").map(\.isDone) == [true], "\(text)") }
        for text in ["[done]", "[DONE", "[DONE]]", "\"[DONE]\"", "[DONE]\ndata:", "[DONE] x", "\t[DONE]", "", "      ", "[DONEX", "{\"a\":\"[DONE]\"}"] {
            #expect(events("data:\(text)\n\n").map(\.isDone) == [false], "\(text)")
        }
        // At the stream's end without an empty line; a line begun behind it makes it not the last one.
        for (text, isDone) in [("data: [DONE]", true), ("data: [DONE]\n", true), ("data: [DONE]\r", true), ("data: [DON", false), ("data: [DONE]\nda", false),
            ("data: [DONE]\n: x", false), ("data: x\ndata: [DONE]", false), ("data: [DONE]\n\n", false)] {
            let bytes = Array(text.utf8)
            #expect(StreamOutcome(bytes, cuts: []).isDone == isDone, "\(text)")
            #expect(StreamOutcome(bytes, cuts: 0...bytes.count).isDone == isDone, "\(text)")
        }
    }

    @Test func SS_01_randomStreamsCutAnywhereGiveTheSameAsWhole() {
        var random = SplitMix(21)
        let pieces = [
            "data: ", "data:", "data", "event: ", "event:", "event", "id: ", "id", "retry: ", "12", "\n", "\n", "\n\n", "\r", "\r\n", "\r\n\r\n", ":", ": ping", " ", "x",
            "{\"a\":1}", "[DONE]", "가😀", "foo: bar", "\u{FEFF}", "\0", "dat", "even", "data : ", String(repeating: "long ", count: 20),
        ].map { Array($0.utf8) } + [[0xFF], [0xEF], [0xEF, 0xBB]]
        for round in 0..<2_500 {
            let stream = Array((0..<Int.random(in: 1...25, using: &random)).flatMap { _ in pieces.randomElement(using: &random)! })
            let limit = round % 3 == 0 ? 40 : 1000
            let whole = StreamOutcome(stream, cuts: [], carryBytesMax: limit)
            let cuts = (0..<4).map { _ in Int.random(in: 0...stream.count, using: &random) }.sorted()
            #expect(whole.agrees(with: StreamOutcome(stream, cuts: cuts, carryBytesMax: limit)), "\(cuts) \(String(decoding: stream, as: UTF8.self).debugDescription)")
            #expect(whole.agrees(with: StreamOutcome(stream, cuts: 0...stream.count, carryBytesMax: limit)), "\(String(decoding: stream, as: UTF8.self).debugDescription)")
        }
    }
}
