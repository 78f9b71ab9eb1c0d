import CScan
import ClawWire
import Foundation
import Testing

/// RFC 8259 written down again as a recursive reader, slow and plain: the judge of what the machine accepts.
private struct ReferenceReader {
    let text: [UInt8]
    var at = 0

    static func accepts(_ text: [UInt8], depthMax: Int) -> Bool {
        guard String(validating: text, as: UTF8.self) != nil else { return false }
        var reader = ReferenceReader(text: text)
        guard reader.value(depthMax) else { return false }
        return reader.at == text.count
    }

    private var byte: UInt8? { at < text.count ? text[at] : nil }
    private mutating func skipSpace() { while let b = byte, [0x20, 0x09, 0x0A, 0x0D].contains(b) { at += 1 } }
    private mutating func take(_ expected: Character) -> Bool {
        guard byte == expected.asciiValue else { return false }
        at += 1
        return true
    }
    private mutating func digits() -> Bool {
        let start = at
        while let b = byte, (0x30...0x39).contains(b) { at += 1 }
        return at > start
    }

    private mutating func value(_ depth: Int) -> Bool {
        skipSpace()
        defer { skipSpace() }
        switch byte.map({ Character(UnicodeScalar($0)) }) {
        case "{":
            at += 1
            skipSpace()
            if depth == 0 { return false }
            if take("}") { return true }
            repeat {
                skipSpace()
                guard string() else { return false }
                skipSpace()
                guard take(":"), value(depth - 1) else { return false }
            } while take(",")
            return take("}")
        case "[":
            at += 1
            skipSpace()
            if depth == 0 { return false }
            if take("]") { return true }
            repeat { guard value(depth - 1) else { return false } } while take(",")
            return take("]")
        case "\"": return string()
        case "t": return word("true")
        case "f": return word("false")
        case "n": return word("null")
        default:
            _ = take("-")
            if !take("0") { guard digits() else { return false } }
            if take(".") { guard digits() else { return false } }
            if take("e") || take("E") {
                if !take("+") { _ = take("-") }
                return digits()
            }
            return true
        }
    }

    private mutating func word(_ word: String) -> Bool {
        guard text[at...].starts(with: word.utf8) else { return false }
        at += word.utf8.count
        return true
    }

    private mutating func string() -> Bool {
        guard take("\"") else { return false }
        while let b = byte {
            at += 1
            if b == 0x22 { return true }
            if b < 0x20 { return false }
            guard b == 0x5C else { continue }
            guard let escape = byte else { return false }
            at += 1
            if escape == 0x75 {
                for _ in 0..<4 {
                    guard let digit = byte, Character(UnicodeScalar(digit)).isHexDigit, digit < 0x80 else { return false }
                    at += 1
                }
            } else if !Array("\"\\/bfnrt".utf8).contains(escape) {
                return false
            }
        }
        return false
    }
}

/// Random texts, valid by construction.
private struct Writer {
    var random: SplitMix
    var text: [UInt8] = []

    mutating func pick<T>(_ choices: [T]) -> T { choices.randomElement(using: &random)! }
    mutating func space() {
        if Int.random(in: 0..<6, using: &random) == 0 { text += Array(pick([" ", "\n", "\t ", "\r\n", "                                        "]).utf8) }
    }
    mutating func string(_ body: String) {
        text.append(0x22)
        for scalar in body.unicodeScalars {
            switch scalar {
            case "\"": text += Array(#"\""#.utf8)
            case "\\": text += Array(#"\\"#.utf8)
            case "\n": text += Array(#"\n"#.utf8)
            default:
                if scalar.value < 0x20 || Int.random(in: 0..<12, using: &random) == 0 {
                    for unit in String(scalar).utf16 { text += Array((Bool.random(using: &random) ? "\\u%04x" : "\\u%04X").withCString { String(format: String(cString: $0), unit) }.utf8) }
                } else {
                    text += Array(String(scalar).utf8)
                }
            }
        }
        text.append(0x22)
    }
    mutating func value(_ depth: Int) {
        space()
        switch Int.random(in: 0..<(depth > 0 ? 9 : 6), using: &random) {
        case 0: text += Array(pick(["0", "-1", "12.5", "1e3", "-0.0E-2", "123456789"]).utf8)
        case 1: text += Array(pick(["true", "false", "null"]).utf8)
        case 2: string(String(repeating: pick(["a", "가", "\n", "😀", "\\", "\"x", "plain words "]), count: Int.random(in: 0..<90, using: &random)))
        case 3, 4, 5: string(pick(["", "short", "안녕하세요", "a\"b\\c\n", "😀😀", "é\u{1}"]))
        case 6:
            text.append(0x5B)
            for i in 0..<Int.random(in: 0..<4, using: &random) { if i > 0 { text.append(0x2C) }; value(depth - 1) }
            space()
            text.append(0x5D)
        default: object(depth - 1)
        }
        space()
    }
    mutating func object(_ depth: Int) {
        text.append(0x7B)
        let keys = ["a", "b", "model", "stream_options", "ab", "가", "choices"].shuffled(using: &random).prefix(Int.random(in: 0...5, using: &random))
        for (i, key) in keys.enumerated() {
            if i > 0 { text.append(0x2C) }
            space()
            string(key)
            space()
            text.append(0x3A)
            value(depth)
        }
        space()
        text.append(0x7D)
    }
    static func text(_ seed: UInt64) -> [UInt8] {
        var writer = Writer(random: SplitMix(seed))
        if seed % 4 == 0 { writer.value(4) } else { writer.object(4) }
        return writer.text
    }
}

struct JSONPropertyTests {
    static let names = ["model", "a", "a.b", "stream_options.a.0", "choices.0.model", "choices.1", "가", "ab", "b.b.b", "0.model"]
    static let paths = JSONPaths(names, unique: [])
    static let strict = JSONPaths(names, unique: [0, 2])

    private func mutate(_ text: [UInt8], _ random: inout SplitMix) -> [UInt8] {
        var text = text
        let dictionary: [[UInt8]] = ["\"", "\\", "{", "}", "[", "]", ",", ":", "\\u", "\\ud800", "0", "-", "e", ".", "\n", "\u{0}", "null", "\u{FEFF}"].map { Array($0.utf8) }
            + [[0x80], [0xC3], [0xE0], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xFF]]
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let at = Int.random(in: 0...text.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: text.insert(contentsOf: dictionary.randomElement(using: &random)!, at: at)
            case 1 where at < text.count: text.remove(at: at)
            case 2 where at < text.count: text[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 3: text.removeSubrange(at...)
            default:
                let end = min(text.count, at + Int.random(in: 0...40, using: &random))
                text.insert(contentsOf: text[at..<end], at: Int.random(in: 0...text.count, using: &random))
            }
        }
        return text
    }

    @Test func H1_36_mutatedTextsAreJudgedAsByThePlainReader() {
        var random = SplitMix(1)
        var accepted = 0
        for seed in 0..<3_000 as Range<UInt64> {
            let text = mutate(Writer.text(seed), &random)
            let (outcome, _) = Scan.whole(text, paths: Self.paths, depthMax: 6)
            let expected = ReferenceReader.accepts(text, depthMax: 6)
            #expect((outcome.progress == .complete) == expected, "seed \(seed): \(outcome.progress) \(String(decoding: text, as: UTF8.self))")
            if expected { accepted += 1 }
        }
        // The mutations leave enough of both.
        #expect(accepted > 300 && accepted < 2_700, "\(accepted)")
    }

    @Test func H1_36_mutatedTextsCutAnywhereGiveTheSameAsWhole() {
        var random = SplitMix(2)
        for seed in 0..<1_500 as Range<UInt64> {
            let text = mutate(Writer.text(seed), &random)
            let (whole, _) = Scan.whole(text, paths: Self.strict, depthMax: 5)
            let cuts = (0..<5).map { _ in Int.random(in: 0...text.count, using: &random) }.sorted()
            #expect(Scan.cut(text, at: cuts, paths: Self.strict, depthMax: 5).0 == whole, "seed \(seed) cuts \(cuts)")
            if text.count < 300 { #expect(Scan.cut(text, at: 0...text.count, paths: Self.strict, depthMax: 5).0 == whole, "seed \(seed)") }
        }
    }

    @Test func allKernelsGiveTheSame() {
        defer { _ = cscan_isa_limit(Int32(CSCAN_ISA_AVX2)) }
        var random = SplitMix(3)
        for seed in 0..<600 as Range<UInt64> {
            let text = seed % 3 == 0 ? Writer.text(seed) : mutate(Writer.text(seed), &random)
            let outcomes = [CSCAN_ISA_PORTABLE, CSCAN_ISA_SSE2, CSCAN_ISA_AVX2].map { isa in
                _ = cscan_isa_limit(Int32(isa))
                return Scan.whole(text, paths: Self.strict).0
            }
            #expect(outcomes[0] == outcomes[1] && outcomes[1] == outcomes[2], "seed \(seed): \(outcomes)")

            let places = [CSCAN_ISA_PORTABLE, CSCAN_ISA_SSE2, CSCAN_ISA_AVX2].map { isa in
                _ = cscan_isa_limit(Int32(isa))
                return text.withUnsafeBufferPointer { bytes in
                    (0..<min(text.count, 70)).flatMap { start in
                        var bad = false
                        let rest = bytes.baseAddress! + start
                        let count = bytes.count - start
                        return [cscan_json_string(rest, count), cscan_line_end(rest, count), cscan_utf8(rest, count, &bad), bad ? 1 : 0]
                    }
                }
            }
            #expect(places[0] == places[1] && places[1] == places[2], "seed \(seed)")
        }
    }

    @Test func valuesAreThoseOfAnotherParser() throws {
        for seed in 0..<1_500 as Range<UInt64> {
            let text = Writer.text(seed)
            let (outcome, spans) = Scan.whole(text, paths: Self.paths)
            #expect(outcome.progress == .complete, "seed \(seed)")
            let root = try JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed)
            for (name, span) in zip(Self.names, spans) {
                var value: Any? = root
                for segment in name.split(separator: ".") {
                    if let index = Int(segment) {
                        let array = value as? [Any]
                        value = array.flatMap { index < $0.count ? $0[index] : nil }
                    } else {
                        value = (value as? [String: Any])?[String(segment)]
                    }
                }
                guard let value else {
                    #expect(span.kind == .missing, "seed \(seed) \(name)")
                    continue
                }
                let own = Array(text[span.offset..<span.offset + span.length])
                guard span.kind != .missing, let read = try? JSONSerialization.jsonObject(with: Data(own), options: .fragmentsAllowed) else {
                    Issue.record("seed \(seed) \(name): \(span)")
                    continue
                }
                #expect((read as? NSObject) == (value as? NSObject), "seed \(seed) \(name)")
                if let string = value as? String {
                    var buffer = [UInt8](repeating: 0, count: own.count)
                    let length = own.withUnsafeBytes { value in buffer.withUnsafeMutableBytes { JSONText.unescape(value, into: $0) } }
                    #expect(length.map { Array(buffer[..<$0]) } == Array(string.utf8), "seed \(seed) \(name)")
                    #expect(span.isEscaped == own.contains(0x5C))
                }
            }
        }
    }

    @Test func onlyTheNineEscapesAreAcceptedWhereverTheyStand() {
        let none = JSONPaths([], unique: [])
        for byte in 0...255 as ClosedRange<UInt8> {
            for front in [0, 1, 30, 31, 62, 63, 64, 100] {
                let text = [0x22] + Array(repeating: 0x61, count: front) + [0x5C, 0x6E, 0x5C, byte] + Array(repeating: 0x30, count: 90) + [0x22]
                #expect((Scan.whole(text, paths: none).0.progress == .complete) == Array("\"\\/bfnrtu".utf8).contains(byte), "\(byte) at \(front)")
            }
        }
    }

    @Test func longStringsFullOfEscapesAreJudgedAsByThePlainReader() {
        var random = SplitMix(4)
        let pieces: [[UInt8]] = [#"\\"#, #"\""#, #"\n"#, #"\u00e9"#, #"\ud83d\ude00"#, "a", "plain plain plain ", #"\/"#, "가", "\\\\\\\\\\\\"].map { Array($0.utf8) }
        let faults: [[UInt8]] = [#"\x"#, #"\u12"#, #"\u12g4"#, "\u{1}", #"\"#, "\"", #"\u"#, #"\é"#].map { Array($0.utf8) }
        for round in 0..<4_000 {
            var body: [UInt8] = []
            let favourite = pieces.randomElement(using: &random)!
            for _ in 0..<Int.random(in: 0...60, using: &random) { body += Bool.random(using: &random) ? favourite : pieces.randomElement(using: &random)! }
            if round % 2 == 0 { body.insert(contentsOf: faults.randomElement(using: &random)!, at: Int.random(in: 0...body.count, using: &random)) }
            // Behind the string there is enough for whole blocks.
            let text = Array(#"{"a":""#.utf8) + body + Array("\",\"b\":[\(String(repeating: "1,", count: 70))1]}".utf8)
            let (outcome, _) = Scan.whole(text, paths: Self.paths)
            #expect((outcome.progress == .complete) == ReferenceReader.accepts(text, depthMax: 128), "\(String(decoding: text, as: UTF8.self))")
            let cuts = (0..<3).map { _ in Int.random(in: 0...text.count, using: &random) }.sorted()
            #expect(Scan.cut(text, at: cuts, paths: Self.paths).0 == outcome, "\(cuts): \(String(decoding: text, as: UTF8.self))")
        }
    }
}
