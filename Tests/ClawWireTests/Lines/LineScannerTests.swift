import ClawWire
import Testing

struct LineScannerTests {
    /// The lines of a stream that comes in pieces of these sizes, used in turn; nil behind what was too long.
    private func lines(_ text: [UInt8], pieces sizes: [Int], lineBytesMax: Int = 8 << 20) -> [[UInt8]?] {
        var scanner = LineScanner(lineBytesMax: lineBytesMax)
        var out: [[UInt8]?] = []
        var at = 0
        var turn = 0
        feeding: while at < text.count {
            let piece = Array(text[at..<min(text.count, at + sizes[turn % sizes.count])])
            turn += 1
            at += piece.count
            var from = 0
            // The piece's memory is gone once it is read: what the scanner keeps must be its own.
            let isBroken = piece.withUnsafeBytes { raw in
                while true {
                    switch scanner.next(raw, from: from) {
                    case .needMore: return false
                    case .line(let data, let end):
                        out.append(Array(data))
                        from = end
                    case .tooLong: return true
                    }
                }
            }
            if isBroken {
                out.append(nil)
                break feeding
            }
        }
        if let last = scanner.finish() { out.append(Array(last)) }
        return out
    }
    private func strings(_ text: String, pieces sizes: [Int] = [.max >> 1], lineBytesMax: Int = 8 << 20) -> [String?] {
        lines(Array(text.utf8), pieces: sizes, lineBytesMax: lineBytesMax).map { $0.map { String(decoding: $0, as: UTF8.self) } }
    }

    @Test(arguments: [
        ("", []), ("\n", []), ("a\n", ["a"]), ("a", ["a"]), ("a\r\nb\n", ["a", "b"]), ("\n\r\n\na\n\r\n\nb\n", ["a", "b"]), ("a\r", ["a"]), ("\r", []),
        ("a\rb\n", ["a\rb"]), ("{\"a\":\"é😀\"}\r\n{}\n{}", ["{\"a\":\"é😀\"}", "{}", "{}"]), ("a\r\r\n", ["a\r"]), (" \n", [" "]),
    ])
    func linesEndWithLFOrCRLF(text: String, expected: [String]) {
        for size in 1...8 { #expect(strings(text, pieces: [size]) == expected.map { $0 }) }
        #expect(strings(text) == expected.map { $0 })
    }

    @Test func whatItSaysDoesNotDependOnTheCuts() {
        var random: UInt64 = 7
        func next(_ bound: Int) -> Int {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(random >> 33) % bound
        }
        for _ in 0..<400 {
            let text = (0..<next(120)).map { _ in Array("ab\n\r{}é".utf8)[next(8)] }
            let whole = lines(text, pieces: [1000], lineBytesMax: 12)
            for size in 1...9 { #expect(lines(text, pieces: [size], lineBytesMax: 12) == whole, "\(text) by \(size)") }
            #expect(lines(text, pieces: (0..<5).map { _ in 1 + next(20) }, lineBytesMax: 12) == whole)
        }
    }

    @Test func aLineMayBeAsLongAsTheLimitAndNoLonger() {
        for size in [1, 2, 3, 100] {
            #expect(strings("12345678\r\nx\n", pieces: [size], lineBytesMax: 8) == ["12345678", "x"])
            #expect(strings("x\n123456789\nx\n", pieces: [size], lineBytesMax: 8) == ["x", nil])
            #expect(strings("12345678\r9\nx\n", pieces: [size], lineBytesMax: 8) == [nil])
        }
    }

    @Test func onceTooLongItStaysSo() {
        var scanner = LineScanner(lineBytesMax: 2)
        let said = Array("abc\nd\n".utf8).withUnsafeBytes { raw in
            (0..<3).map { _ in
                if case .tooLong = scanner.next(raw, from: 0) { return true }
                return false
            }
        }
        let held = scanner.heldBytes
        let isBetween = scanner.isBetweenLines
        let rest = scanner.finish() == nil
        #expect(said == [true, true, true] && held == 0 && !isBetween && rest)
    }

    @Test func memoryIsHeldOnlyWhileALineIsCut() {
        var scanner = LineScanner()
        let text = Array("first\nsecond\r\n\nthird\n".utf8)
        text.withUnsafeBytes { raw in
            var heldAtMost = 0
            for at in text.indices {
                let piece = UnsafeRawBufferPointer(rebasing: raw[at...at])
                var from = 0
                while case .line(_, let end) = scanner.next(piece, from: from) { from = end }
                heldAtMost = max(heldAtMost, scanner.heldBytes)
                let isBetween = scanner.isBetweenLines
                #expect(isBetween == (text[at] == 0x0A), "behind byte \(at)")
                if isBetween {
                    let held = scanner.heldBytes
                    #expect(held == 0)
                }
            }
            #expect(heldAtMost == 512)
            // In one piece nothing is held, and lines are spans of the piece.
            guard case .line(let data, 6) = scanner.next(raw, from: 0), let place = data.baseAddress, let start = raw.baseAddress else {
                Issue.record("no line")
                return
            }
            let held = scanner.heldBytes
            #expect(held == 0 && place == start)
        }
    }
}
