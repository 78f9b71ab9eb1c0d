import ClawWire
import Testing

struct JSONFieldScannerTests {
    @Test func wantedValuesAreFoundWhereTheyLie() {
        let text = #" {"model": "gpt-4o", "n":-1.5e3,"stream":true, "x":{"model":"no"}, "stream_options":{"include_usage":false},"stop":null,"tools":[{},[]] }"#
        let values = Scan.values(text, ["model", "n", "stream", "stream_options.include_usage", "stop", "tools", "stream_options", "absent", "x.absent"])
        #expect(values == [#""gpt-4o""#, "-1.5e3", "true", "false", "null", "[{},[]]", #"{"include_usage":false}"#, nil, nil])
    }

    @Test func arrayElementsAreFoundByIndex() {
        let text = #"{"choices":[{"finish_reason":null},{"finish_reason":"stop"},7],"0":{"0":1}}"#
        let values = Scan.values(text, ["choices.0.finish_reason", "choices.1.finish_reason", "choices.2", "choices.3", "0.0", "choices.01"])
        #expect(values == ["null", #""stop""#, "7", nil, nil, #"{"finish_reason":"stop"}"#])
        #expect(Scan.values("[[],[1,[2,3]]]", ["1.1.1", "0", "1.1"]) == ["3", "[]", "[2,3]"])
    }

    @Test func kindsAndFlagsAreTold() {
        let paths = JSONPaths(["s", "e", "n", "t", "f", "z", "o", "a", "m"], unique: [])
        let text = #"{"s":"x","e":"\u0041","n":0,"t":true,"f":false,"z":null,"o":{},"a":[]}"#
        let (outcome, spans) = Scan.whole(Array(text.utf8), paths: paths)
        #expect(outcome.progress == .complete)
        #expect(spans.map(\.kind) == [.string, .string, .number, .bool, .bool, .null, .object, .array, .missing])
        #expect(spans.map(\.isEscaped) == [false, true, false, false, false, false, false, false, false])
        #expect(spans.map(\.isTrue) == [false, false, false, true, false, false, false, false, false])
    }

    @Test func spanLayoutIsTheMachines() {
        #expect(MemoryLayout<JSONSpan>.stride == 24)
        #expect(MemoryLayout<JSONSpan>.offset(of: \.length) == 8)
        #expect(MemoryLayout<JSONSpan>.offset(of: \.kind) == 16)
        #expect(MemoryLayout<JSONSpan>.offset(of: \.isEscaped) == 17)
        #expect(MemoryLayout<JSONSpan>.offset(of: \.isTrue) == 18)
        #expect(JSONKind.array.rawValue == 6)
    }

    @Test func rootIsDescribedForSplicing() {
        let none = JSONPaths([], unique: [])
        let table: [(String, JSONKind, Int, Bool)] = [
            ("{}", .object, 1, true), (" { }", .object, 2, true), (#"{"a":{}}"#, .object, 1, false), ("[1]", .array, 0, true),
            ("1", .number, 0, true), (#""x""#, .string, 0, true), ("true", .bool, 0, true), ("null", .null, 0, true),
        ]
        for (text, kind, insert, isEmpty) in table {
            let (outcome, _) = Scan.whole(Array(text.utf8), paths: none)
            #expect(outcome.progress == .complete && outcome.root == kind && outcome.insert == insert && outcome.isEmpty == isEmpty, "\(text): \(outcome)")
        }
    }

    @Test func H1_36_duplicatePolicyKeysAreRefused() {
        #expect(Scan.refusal(#"{"model":"a","model":"b"}"#, unique: [0], paths: ["model"]) == .duplicate(path: 0, offset: 13))
        #expect(Scan.refusal(#"{"model":"a","mod\u0065l":"b"}"#, unique: [0], paths: ["model"]) == .duplicate(path: 0, offset: 13))
        #expect(Scan.refusal(#"{"x":{"model":1,"model":2},"model":3}"#, unique: [0], paths: ["model"]) == nil)
        #expect(Scan.refusal(#"{"a":{"b":1},"a":{"b":1}}"#, unique: [1], paths: ["x", "a.b"]) == .duplicate(path: 1, offset: 13))
        #expect(Scan.refusal(#"{"a":{"b":1},"a":null}"#, unique: [0], paths: ["a.b"]) == .duplicate(path: 0, offset: 13))
        #expect(Scan.refusal(#"{"a":1,"a":2}"#, unique: [1], paths: ["a", "b"]) == nil)
    }

    @Test func lastOfOtherDuplicatesCounts() {
        #expect(Scan.values(#"{"a":1,"a":"2"}"#, ["a"]) == [#""2""#])
        #expect(Scan.values(#"{"a":{"b":1},"a":{"c":2}}"#, ["a.b", "a.c", "a"]) == [nil, "2", #"{"c":2}"#])
        #expect(Scan.values(#"{"a":{"b":1},"a":5}"#, ["a.b", "a"]) == [nil, "5"])
    }

    @Test func keysWrittenWithEscapesMatch() {
        #expect(Scan.values(#"{"\u006d\u006F\u0064\u0065\u006c":1}"#, ["model"]) == ["1"])
        #expect(Scan.values(#"{"a\/b":1,"\ud83d\ude00":2,"\"":3,"가":4,"\uac00x":5}"#, ["a/b", "😀", "\"", "가", "가x"]) == ["1", "2", "3", "4", "5"])
        #expect(Scan.values(#"{"\ud800":1,"":2}"#, ["\u{FFFD}x", "a"]) == [nil, nil])
    }

    @Test func samePathTwiceIsGivenTwice() {
        #expect(Scan.values(#"{"a":{"b":[1,2]}}"#, ["a.b.1", "a", "a.b.1", "a.b"]) == ["2", #"{"b":[1,2]}"#, "2", "[1,2]"])
    }

    @Test func sixtyFourPathsOfEightSegmentsWork() {
        let paths = (0..<64).map { i in (0..<8).map { "k\(i)_\($0)" }.joined(separator: ".") }
        var text = "{"
        for i in 0..<64 {
            text += i > 0 ? "," : ""
            text += (0..<8).map { "\"k\(i)_\($0)\":" }.joined(separator: "{") + "\(i)" + String(repeating: "}", count: 7)
        }
        #expect(Scan.values(text + "}", paths) == (0..<64).map { "\($0)" })
    }

    @Test func deepWantedContainerIsFoundAndDeeperOnesAreNot() {
        #expect(Scan.values("[[[[[[[[[[[[1]]]]]]]]]]]]", ["0.0.0.0.0.0.0.0"]) == ["[[[[1]]]]"])
    }

    @Test func H1_36_depthIsLimited() {
        #expect(Scan.refusal(String(repeating: "[", count: 100_000)) == .depth(offset: 128))
        #expect(Scan.refusal(String(repeating: #"{"a":"#, count: 100_000)) == .depth(offset: 128 * 5))
        #expect(Scan.refusal("[[]]", depthMax: 1) == .depth(offset: 1))
        #expect(Scan.refusal("[[],[]]", depthMax: 2) == nil)
        #expect(Scan.refusal("1", depthMax: 0) == nil)
        #expect(Scan.refusal("[]", depthMax: -5) == .depth(offset: 0))
        let deep = String(repeating: #"{"a":["#, count: 512) + String(repeating: "]}", count: 512)
        #expect(Scan.refusal(deep, depthMax: 1_000_000) == nil)
        #expect(Scan.refusal("[" + deep + "]", depthMax: 1_000_000) == .depth(offset: 1 + 511 * 6 + 5))
    }

    @Test func refusalsSayWhatAndWhere() {
        let table: [(String, JSONRefusal)] = [
            ("", .incomplete(offset: 0)), ("  ", .incomplete(offset: 2)), ("{", .incomplete(offset: 1)), ("tru", .incomplete(offset: 3)),
            ("\"a", .incomplete(offset: 2)), ("-", .incomplete(offset: 1)), ("1.", .incomplete(offset: 2)), ("[1", .incomplete(offset: 2)),
            ("tree", .syntax(offset: 2)), ("{} {}", .trailing(offset: 3)), ("1 x", .trailing(offset: 2)), ("01", .trailing(offset: 1)),
            ("[01]", .syntax(offset: 2)), ("[1,]", .syntax(offset: 3)), (#"{"a":1,}"#, .syntax(offset: 7)), (#"{"a" 1}"#, .syntax(offset: 5)),
            ("\"\u{1}\"", .syntax(offset: 1)), (#""\x""#, .syntax(offset: 2)), (#""\u12g4""#, .syntax(offset: 5)), ("[1e+]", .syntax(offset: 4)),
            ("{]", .syntax(offset: 1)), ("[}", .syntax(offset: 1)), ("{1:2}", .syntax(offset: 1)), ("\u{FEFF}{}", .syntax(offset: 0)),
            ("[1\u{A0}]", .syntax(offset: 2)), ("nul\u{0}", .syntax(offset: 3)), ("1.e1", .syntax(offset: 2)), ("+1", .syntax(offset: 0)),
        ]
        for (text, expected) in table { #expect(Scan.refusal(text) == expected, "\(text)") }
    }

    @Test func H1_36_onlyGoodUTF8IsAccepted() {
        let none = JSONPaths([], unique: [])
        let bad: [[UInt8]] = [
            [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xC2], [0xC2, 0x20], [0xE0, 0x80, 0x80], [0xE0, 0x9F, 0xBF], [0xE1, 0x80], [0xED, 0xA0, 0x80],
            [0xED, 0xBF, 0xBF], [0xF0, 0x80, 0x80, 0x80], [0xF0, 0x8F, 0xBF, 0xBF], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFE], [0xFF],
            [0xF1, 0x80, 0x80], [0xE1, 0x80, 0xC0], [0xF8, 0x88, 0x80, 0x80, 0x80],
        ]
        let good: [[UInt8]] = [
            [0xC2, 0x80], [0xDF, 0xBF], [0xE0, 0xA0, 0x80], [0xED, 0x9F, 0xBF], [0xEE, 0x80, 0x80], [0xEF, 0xBF, 0xBF], [0xF0, 0x90, 0x80, 0x80],
            [0xF4, 0x8F, 0xBF, 0xBF], [0x7F],
        ]
        // In front of, inside and behind whole vectors, after ASCII and after other characters.
        for filler in [Array("a".utf8), Array("가".utf8), Array("é".utf8), Array("😀".utf8)] {
            for count in [0, 1, 5, 9, 10, 11, 15, 16, 29, 30, 31, 32, 33, 63, 64, 100] {
                let front = [0x22] + Array(repeatElement(filler, count: count).joined())
                for tail in [0, 1, 40] {
                    let back = Array(repeating: UInt8(0x61), count: tail) + [0x22]
                    for sequence in good {
                        let (outcome, _) = Scan.whole(front + sequence + back, paths: none)
                        #expect(outcome.progress == .complete, "\(filler) × \(count), \(sequence)")
                    }
                    for sequence in bad {
                        let text = front + sequence + back
                        let (outcome, _) = Scan.whole(text, paths: none)
                        #expect(outcome.progress == .refused(.utf8(offset: front.count)), "\(filler) × \(count), \(sequence): \(outcome.progress)")
                        let (pieces, _) = Scan.cut(text, at: max(0, front.count - 2)...text.count, paths: none)
                        #expect(pieces == outcome)
                    }
                }
            }
        }
    }

    @Test func loneSurrogateEscapesAreGrammatical() {
        #expect(Scan.refusal(#"["\ud800","\uDC00\uD800","\ud83d\ude00"]"#) == nil)
        #expect(Scan.refusal("[1e400,-0,0.0e-0,123456789012345678901234567890]") == nil)
    }

    @Test func longTextsCrossTheSlabs() {
        let paths = JSONPaths(["end", "image", "mid"], unique: [])
        for size in [16_370, 16_384, 16_390, 40_000, 100_003] {
            for filler in ["x", "가", "\\n", "😀", "\\u00e9"] {
                let body = String(repeating: filler, count: size / filler.utf8.count)
                let text = Array("{\"image\":\"\(body)\",\"mid\":[1,2],\"end\":12345678}".utf8)
                let (whole, spans) = Scan.whole(text, paths: paths)
                #expect(whole.progress == .complete)
                #expect(spans[1].length == body.utf8.count + 2 && spans[0].offset == text.count - 9 && spans[0].length == 8)
                #expect(Scan.cut(text, at: stride(from: 0, to: text.count, by: 1_777), paths: paths).0 == whole)
                for pad in 0..<20 {
                    let shifted = Array(repeating: UInt8(0x20), count: pad) + text
                    #expect(Scan.whole(shifted, paths: paths).1[0].offset == shifted.count - 9)
                }
            }
        }
    }
}
