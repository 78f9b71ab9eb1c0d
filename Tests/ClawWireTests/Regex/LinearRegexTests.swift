import Testing
@testable import ClawWire

@Suite struct LinearRegexTests {
    /// Pattern, texts it matches somewhere, texts it does not.
    static let table: [(String, [String], [String])] = [
        ("", ["", "a"], []),
        ("abc", ["abc", "xabcx", "ababc"], ["", "ab", "acb", "ABC"]),
        ("^abc$", ["abc"], ["xabc", "abcx", "abc\n"]),
        ("a.c", ["abc", "aéc", "a🙂c", "xaxcx"], ["ac", "a\nc", "abbc"]),
        ("(?s)a.c", ["a\nc"], ["ac"]),
        ("colou?r", ["color", "colour"], ["colouur"]),
        ("^a*$", ["", "aaaa"], ["b", "ab"]),
        ("^a+$", ["a", "aaaa"], ["", "b"]),
        ("^(?:ab)+$", ["ab", "abab"], ["", "aba"]),
        ("^a{3}$", ["aaa"], ["aa", "aaaa"]),
        ("^a{2,}$", ["aa", "aaaaa"], ["a"]),
        ("^a{2,4}$", ["aa", "aaa", "aaaa"], ["a", "aaaaa"]),
        ("^a{0,2}b$", ["b", "ab", "aab"], ["aaab"]),
        ("^(?:a{0,2}){2}$", ["", "a", "aaaa"], ["aaaaa"]),
        ("cat|dog|", ["cat", "", "x"], []),
        ("^(cat|dog)s?$", ["cat", "dogs"], ["cats!", "catdog"]),
        ("[a-cx]", ["b", "x"], ["d", "-"]),
        ("^[^a-c]$", ["d", "é", "漢", "🙂", "\n"], ["a", "", "dd"]),
        ("^[-a]+$", ["-a-"], ["b"]),
        ("^[a-]+$", ["-a-"], ["b"]),
        ("^[\\]\\\\^]+$", ["]\\^"], ["a"]),
        ("^[à-ý]+$", ["éèü"], ["e", "ÿ"]),
        ("^\\d+$", ["0123456789"], ["", "1a", "٣"]),
        ("^\\w+$", ["aZ_9"], ["-", "é"]),
        ("^\\s\\S\\D\\W$", [" ax-"], ["aax-"]),
        ("^[\\d\\s]+$", ["1 2"], ["a"]),
        ("\\bcat\\b", ["cat", "a cat.", "cat-cat", "écat"], ["cats", "concat", "_cat"]),
        ("\\Bcat", ["concat"], ["cat", "a cat"]),
        ("^\\b$", [], ["", "a"]),
        ("^\\B$", [""], ["a"]),
        ("a\\b", ["a", "a b"], ["ab"]),
        ("(?i)gpt-4É", ["GPT-4é", "gpt-4É"], ["gpt-5É"]),
        ("(?i:a)b", ["Ab", "ab"], ["aB"]),
        ("a(?i)b|c", ["aB", "ab", "C"], ["Ab"]),
        ("(a(?i)b)c", ["aBc"], ["aBC"]),
        ("(?i)^[^a]$", ["b"], ["a", "A"]),
        ("(?i)^[x-z]{3}$", ["XyZ"], ["abc"]),
        ("(?<year>\\d{4})-(?P<month>\\d\\d)", ["2026-11"], ["26-11"]),
        ("^a*?b$", ["b", "aaab"], ["aaa"]),
        ("\\x41\\u00e9\\x{1F642}", ["Aé🙂"], ["A"]),
        ("\\.\\*\\(\\)\\[\\]\\{\\}\\|\\^\\$\\/\\-", [".*()[]{}|^$/-"], [""]),
        ("^\\t\\n\\r\\f\\v$", ["\t\n\r\u{c}\u{b}"], [""]),
        ("\\Aab\\z", ["ab"], ["ab "]),
        ("[^\\s\\S]", [], ["", "a"]),
        ("(a*)*", ["", "aaa"], []),
        ("^(a|aa)+$", ["aaaa"], ["", "ab"]),
        ("^(?:.{2})*$", ["", "éé", "abcd"], ["abc"]),
        ("^.{0,40}x.{12}$", ["x123456789012", "aaax123456789012"], ["x12345678901", "123456789012"]),
        ("^.$", ["\u{7f}", "\u{80}", "\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}", "\u{10ffff}"], ["\n"]),
        ("}", ["}"], ["{"]), ("]", ["]"], ["["]),
        ("a$|^b", ["ca", "bc", "a", "b"], ["ab ", "cab "]),
        ("(^|x)y", ["y", "axy"], ["ay"]),
        ("x(y|$)", ["x", "axy"], ["xa"]),
    ]

    @Test(arguments: table) func matchesWhatThePatternSays(_ row: (pattern: String, yes: [String], no: [String])) throws {
        let regex = try LinearRegex(row.pattern)
        for text in row.yes {
            #expect(regex.matches(text), "\(row.pattern) on \(text)")
            #expect(Array(text.utf8).withUnsafeBytes { regex.simulate($0).matched }, "simulated \(row.pattern) on \(text)")
        }
        for text in row.no {
            #expect(!regex.matches(text), "\(row.pattern) on \(text)")
            #expect(!Array(text.utf8).withUnsafeBytes { regex.simulate($0).matched }, "simulated \(row.pattern) on \(text)")
        }
    }

    static let refusals: [(String, String)] = [
        ("(a", "`(` without `)` at position 1"), ("a)", "`)` without `(` at position 2"), ("[a", "`[` without `]` at position 1"),
        ("[]", "an empty class; write \\] for a literal ] at position 1"), ("[b-a]", "a range in the wrong order at position 2"),
        ("*a", "nothing to repeat at position 1"), ("a|*", "nothing to repeat at position 3"), ("a**", "a quantifier after a quantifier at position 3"),
        ("a*+", "possessive quantifiers are not supported at position 3"), ("^*", "a quantifier after an anchor at position 1"),
        ("a{2", "expected {n}, {n,} or {n,m}; write \\{ for a literal { at position 2"), ("a{3,2}", "bounds in the wrong order at position 2"),
        ("a{1001}", "repeated too often, limit 1000 at position 2"), ("a{99999999999999999999}", "repeated too often, limit 1000 at position 2"),
        ("{id}", "nothing to repeat; write \\{ for a literal { at position 1"),
        ("(a)\\1", "back-references are not supported at position 4"), ("\\k<a>", "back-references are not supported at position 1"),
        ("(?=a)", "look-around is not supported at position 1"), ("(?!a)", "look-around is not supported at position 1"),
        ("(?<=a)", "look-around is not supported at position 1"), ("(?<!a)", "look-around is not supported at position 1"),
        ("(?>a)", "atomic groups are not supported at position 1"), ("(?m)a", "unknown flag `m`; i and s are supported at position 3"),
        ("(?P=a)", "back-references and calls are not supported at position 1"),
        ("\\pL", "Unicode classes are not supported at position 1"), ("\\q", "unknown escape \\q at position 1"), ("a\\", "a backslash at the end at position 2"),
        ("[[:alpha:]]", "POSIX classes are not supported at position 2"), ("[a&&b]", "class operations are not supported; escape one of the two characters at position 3"),
        ("\\x4", "expected 2 hexadecimal digits at position 1"), ("\\ud800", "expected a code point that is no surrogate at position 1"),
        ("\\x{110000}", "expected a hexadecimal code point at position 1"),
        ("(?:(?:a{1000}){1000}){1000}", "pattern too large: more than 8192 states, repetitions counted out at position 1"),
        ("(?:(?:(?:){1000}){1000}){1000}", "pattern too large, repetitions counted out at position 1"),
    ]

    @Test(arguments: refusals) func whatNeedsBacktrackingOrIsReadDifferentlyElsewhereIsRefused(_ row: (pattern: String, message: String)) {
        #expect { try LinearRegex(row.pattern) } throws: { "\($0)" == row.message }
    }

    @Test func groupsNestToALimit() {
        func nested(_ depth: Int) -> String { String(repeating: "(", count: depth) + String(repeating: ")", count: depth) }
        #expect(throws: Never.self) { try LinearRegex(nested(100)) }
        #expect(throws: RegexError.self) { try LinearRegex(nested(101)) }
        #expect(throws: RegexError.self) { try LinearRegex(nested(100_000)) }
    }

    /// The classical patterns that hang backtracking engines, with the texts that do it. No clock: steps are counted.
    @Test(arguments: ["(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*a){20}$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", ".*.*.*=.*", "(x+x+)+y", "(?:a?){30}a{30}$"])
    func CF_07_stepsAreBoundedByPatternSizeTimesTextLength(_ pattern: String) throws {
        let regex = try LinearRegex(pattern)
        for length in [0, 1, 100, 5000] {
            let text = [UInt8](repeating: 0x61, count: length) + Array("!".utf8)
            let (matched, steps) = text.withUnsafeBytes { regex.simulate($0) }
            #expect(steps <= regex.program.instructions.count * (text.count + 1))
            #expect(matched == text.withUnsafeBytes { regex.matches($0) })
        }
    }

    @Test func CF_07_automatonThatWouldBeHugeIsSimulated() throws {
        let regex = try LinearRegex("a.{20}b")
        #expect(regex.isSimulated)
        #expect(regex.matches("xxa01234567890123456789b"))
        #expect(!regex.matches("xxa0123456789012345678b"))
        #expect(try !LinearRegex("^gpt-4(o|-turbo)?(-\\d{4}-\\d{2}-\\d{2})?$").isSimulated)
    }

    @Test func bytesThatAreNotUTF8MatchNothingAndArePassedOver() throws {
        let dot = try LinearRegex("^.$"), inverted = try LinearRegex("^[^a]$"), search = try LinearRegex("b")
        for bytes: [UInt8] in [[0x80], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82], [0xFF]] {
            bytes.withUnsafeBytes { #expect(!dot.matches($0) && !inverted.matches($0)) }
            (bytes + [0x62]).withUnsafeBytes { #expect(search.matches($0)) }
        }
    }

    /// Random patterns over a small alphabet: table and simulation agree with a matcher that follows the definition.
    @Test func automatonAndSimulationAgreeOnRandomPatterns() throws {
        var seed: UInt64 = 42
        func random(_ below: Int) -> Int {
            seed = seed &* 6364136223846793005 &+ 1442695040888963407
            return Int(seed >> 33) % below
        }
        func pattern(_ depth: Int) -> String {
            switch depth == 0 ? random(4) : random(11) {
            case 0: "a"
            case 1: "b"
            case 2: "[ab]"
            case 3: "."
            case 4: pattern(depth - 1) + pattern(depth - 1)
            case 5: "(?:" + pattern(depth - 1) + "|" + pattern(depth - 1) + ")"
            case 6: "(?:" + pattern(depth - 1) + ")*"
            case 7: "(?:" + pattern(depth - 1) + "){\(random(2)),\(1 + random(3))}"
            case 8: "^" + pattern(depth - 1)
            case 9: pattern(depth - 1) + "$"
            default: "\\b" + pattern(depth - 1)
            }
        }
        for _ in 0..<400 {
            let text = pattern(4)
            let regex = try LinearRegex(text), node = try RegexSyntax.parse(text)
            for _ in 0..<20 {
                let subject = (0..<random(7)).map { _ in Array("ab-".utf8)[random(3)] }
                let wanted = (0...subject.count).contains { !Naive.ends(node, subject, $0).isEmpty }
                #expect(subject.withUnsafeBytes { regex.matches($0) } == wanted, "\(text) on \(String(decoding: subject, as: UTF8.self))")
                #expect(subject.withUnsafeBytes { regex.simulate($0).matched } == wanted, "simulated \(text)")
            }
        }
    }
}

/// All ends of matches that begin at a position, by the definition; ASCII texts only.
private enum Naive {
    static func ends(_ node: RegexNode, _ text: [UInt8], _ start: Int) -> Set<Int> {
        switch node {
        case .empty: return [start]
        case .set(let set): return start < text.count && set.ranges.contains { $0.contains(UInt32(text[start])) } ? [start + 1] : []
        case .sequence(let items): return items.reduce([start]) { starts, item in starts.reduce(into: []) { $0.formUnion(ends(item, text, $1)) } }
        case .choice(let branches): return branches.reduce(into: []) { $0.formUnion(ends($1, text, start)) }
        case .times(let item, let least, let most):
            var now: Set<Int> = [start], all: Set<Int> = least == 0 ? now : []
            for round in 1...(most.map { max($0, 1) } ?? least + text.count + 1) {
                if most == 0 { break }
                now = now.reduce(into: []) { $0.formUnion(ends(item, text, $1)) }
                if round >= least { all.formUnion(now) }
            }
            return all
        case .assertion(let assertion):
            let before = start == 0 ? RegexNeighbour.border : .of(text[start - 1]), after = start == text.count ? RegexNeighbour.border : .of(text[start])
            return assertion.holds(before: before, after: after) ? [start] : []
        }
    }
}
