import ClawWire
import Foundation
import Testing

struct JSONTextTests {
    private func unescape(_ value: String, capacity: Int? = nil) -> [UInt8]? {
        let bytes = Array(value.utf8)
        var buffer = [UInt8](repeating: 0xAA, count: capacity ?? max(0, bytes.count - 2))
        let length = bytes.withUnsafeBytes { value in buffer.withUnsafeMutableBytes { JSONText.unescape(value, into: $0) } }
        return length.map { Array(buffer[..<$0]) }
    }

    private func escape(_ bytes: [UInt8], capacity: Int? = nil) -> (text: [UInt8], consumed: Int) {
        let capacity = capacity ?? bytes.count * 6
        // Guard bytes behind the capacity show an overrun.
        var buffer = [UInt8](repeating: 0xAA, count: capacity + 8)
        var consumed = -1
        let written = bytes.withUnsafeBytes { source in
            buffer.withUnsafeMutableBufferPointer { JSONText.escape(source, into: $0.baseAddress!, capacity: capacity, consumed: &consumed) }
        }
        #expect(written <= capacity)
        #expect(buffer[capacity...].allSatisfy { $0 == 0xAA })
        return (Array(buffer[..<written]), consumed)
    }

    @Test func escapesAreUndone() {
        #expect(unescape(#""""#) == [])
        #expect(unescape(#""plain 가""#) == Array("plain 가".utf8))
        #expect(unescape(#""\"\\\/\b\f\n\r\t""#) == Array("\"\\/\u{8}\u{C}\n\r\t".utf8))
        #expect(unescape(#""\u0041\u00e9\uAC00\ud83d\ude00\u0000""#) == Array("Aé가😀\0".utf8))
        #expect(unescape(#""\ud800""#) == Array("\u{FFFD}".utf8))
        #expect(unescape(#""\ud800\ud83d\ude00\udc00x""#) == Array("\u{FFFD}😀\u{FFFD}x".utf8))
        #expect(unescape(#""\ud800A""#) == Array("\u{FFFD}A".utf8))
        for malformed in [#""\""#, #""\u12""#, #""\x""#, #""\u12g4""#, "\"", "x", "", "\"x", "12"] { #expect(unescape(malformed) == nil, "\(malformed)") }
        #expect(unescape(#""abc""#, capacity: 2) == nil)
        #expect(unescape(#""\n""#, capacity: 0) == nil)
        #expect(unescape(#""ab\uac00""#, capacity: 4) == nil)
        #expect(unescape(#""ab\uac00""#, capacity: 5) == Array("ab가".utf8))
    }

    @Test func stringValuesAreComparedInPlace() {
        func isEqual(_ value: String, _ text: StaticString) -> Bool { Array(value.utf8).withUnsafeBytes { JSONText.isEqual($0, to: text) } }
        #expect(isEqual(#""stop""#, "stop"))
        #expect(isEqual(#""st\u006fp""#, "stop"))
        #expect(isEqual(#""""#, ""))
        #expect(isEqual(#""\ud83d\ude00""#, "😀"))
        #expect(!isEqual(#""stop""#, "sto"))
        #expect(!isEqual(#""sto""#, "stop"))
        #expect(!isEqual(#""sto\u00e9""#, "stop"))
        #expect(!isEqual("stop", "stop"))
        #expect(!isEqual("\"", ""))
    }

    @Test func OB_01_anyBytesBecomeAValidStringBody() throws {
        #expect(escape(Array("a\"b\\c\n\r\t\u{8}\u{C}\u{1}\u{1F}\u{7F}/é가😀".utf8)).text == Array(#"a\"b\\c\n\r\t\b\f\u0001\u001f"#.utf8) + Array("\u{7F}/é가😀".utf8))
        #expect(escape([]).text == [])
        #expect(escape([0xFF]).text == Array(#"\ufffd"#.utf8))
        #expect(escape([0xE2, 0x82]).text == Array(#"\ufffd"#.utf8))
        #expect(escape([0xE2, 0x82, 0x41]).text == Array(#"\ufffdA"#.utf8))
        #expect(escape([0xED, 0xA0, 0x80]).text == Array(#"\ufffd\ufffd\ufffd"#.utf8))
        #expect(escape([0xF0, 0x9F, 0x98, 0xF0, 0x9F, 0x98, 0x80]).text == Array(#"\ufffd"#.utf8) + Array("😀".utf8))

        var random = SplitMix(7)
        let pieces: [[UInt8]] = ["가나", "😀", "plain text that is a little longer than a vector is wide", "\"", "\\", "\n", "\u{1}", "é"].map { Array($0.utf8) } + [[0x80], [0xF0, 0x9F], [0xC3], [0xFF]]
        for _ in 0..<2_000 {
            let bytes = Array((0..<Int.random(in: 0...12, using: &random)).flatMap { _ in pieces.randomElement(using: &random)! })
            let (text, consumed) = escape(bytes)
            #expect(consumed == bytes.count)
            // Another decoder reads back the same text, with U+FFFD where it wasn't UTF-8.
            let read = try JSONSerialization.jsonObject(with: Data([0x22] + text + [0x22]), options: .fragmentsAllowed) as? String
            #expect(read == String(decoding: bytes, as: UTF8.self))
            // Cut short it is the same up to a whole character, and the rest follows.
            let capacity = Int.random(in: 0...text.count, using: &random)
            let (head, upTo) = escape(bytes, capacity: capacity)
            #expect(head == Array(text[..<head.count]) && capacity - head.count < 6)
            #expect(head + escape(Array(bytes[upTo...])).text == text)
        }
    }

    @Test func numbersAreReadAsDoubles() {
        func parse(_ text: String) -> Double? { Array(text.utf8).withUnsafeBytes { JSONNumber.parse($0) } }
        for text in ["0", "-0", "1", "0.1", "0.7", "1.5e3", "123456789012345678", "9007199254740993", "1e22", "1e23", "1e-22", "1E+2", "5e-324", "1e-400",
            "2.2250738585072011e-308", "1.7976931348623157e308", "0.30000000000000004", "100000000000000000000.5", "0.000001", "-12.25", "179769313486231580793e288"] {
            #expect(parse(text) == Double(text), "\(text)")
        }
        #expect(parse("1e400") == .greatestFiniteMagnitude)
        #expect(parse("-1e400") == -.greatestFiniteMagnitude)
        #expect(parse("1e99999999999999999999999") == .greatestFiniteMagnitude)
        #expect(parse("1e-99999999999999999999999") == 0)
        for text in ["", "-", "+1", "01", ".5", "1.", "1e", "1e+", "0x10", "inf", "nan", "1 ", " 1", "\"1\"", "null", "1,", String(repeating: "9", count: 2000)] {
            #expect(parse(text) == nil, "\(text)")
        }
        var random = SplitMix(11)
        for _ in 0..<3_000 {
            let text = "\(Double(bitPattern: random.next() & 0x7FEF_FFFF_FFFF_FFFF))".replacingOccurrences(of: "+", with: "")
            #expect(parse(text) == Double(text), "\(text)")
            let short = "\(Int.random(in: 0...99_999, using: &random)).\(Int.random(in: 0...9_999, using: &random))e\(Int.random(in: -30...30, using: &random))"
            #expect(parse(short) == Double(short), "\(short)")
        }
    }

    @Test func wholeNumbersAreExactOrSaturate() {
        func parse(_ text: String) -> Int64? { Array(text.utf8).withUnsafeBytes { JSONNumber.parseInt($0) } }
        let table: [(String, Int64?)] = [
            ("0", 0), ("-0", 0), ("12", 12), ("-12", -12), ("12.0", 12), ("1.2e1", 12), ("120e-1", 12), ("1e3", 1000), ("12.5", nil), ("1e-1", nil),
            ("9223372036854775807", .max), ("9223372036854775808", .max), ("-9223372036854775808", .min), ("-9223372036854775809", .min),
            ("9223372036854775806", .max - 1), ("-9223372036854775807", .min + 1), ("1e400", .max), ("-1e400", .min), ("0e99999999999999999999", 0),
            ("1900000000000000000.5", nil), ("1900000000000000000.00", 1_900_000_000_000_000_000), ("1900000000000000000.00000001", nil),
            ("18446744073709551619", .max), ("1844674407370955161.90", nil), ("1e99999999999999999999", .max), ("1e-99999999999999999999", nil),
            ("0.00000000000000000000001e23", 1), ("", nil), ("\"5\"", nil), ("null", nil), ("1e", nil), ("--1", nil), ("00", nil),
            (String(repeating: "9", count: 5000), .max), ("1" + String(repeating: "0", count: 30) + "e-30", 1),
        ]
        for (text, expected) in table { #expect(parse(text) == expected, "\(text)") }
    }

    @Test func SS_11_tokenCountsAreClampedAndFlagged() {
        func parse(_ text: String) -> (count: Int64, isExact: Bool)? { Array(text.utf8).withUnsafeBytes { JSONNumber.parseCount($0) } }
        let table: [(String, (Int64, Bool)?)] = [
            ("0", (0, true)), ("-0", (0, true)), ("17", (17, true)), ("17.0", (17, true)), ("-5", (0, false)), ("-0.5", (0, false)), ("12.7", (12, false)),
            ("9223372036854775808", (1 << 40, false)), ("1e400", (1 << 40, false)), ("-1e400", (0, false)), ("1099511627776", (1 << 40, true)),
            ("1099511627777", (1 << 40, false)), ("\"17\"", nil), ("null", nil), ("true", nil), ("{}", nil), ("", nil), ("NaN", nil),
        ]
        for (text, expected) in table {
            let got = parse(text)
            #expect(got?.count == expected?.0 && got?.isExact == expected?.1, "\(text): \(String(describing: got))")
        }
    }
}
