// The syntax of regular expressions in configuration files: the common part of RE2, PCRE and JavaScript that a linear-time engine can
// match. What those engines read differently, or what needs backtracking, is refused with its name and place instead of being guessed at.

/// Why a pattern was refused.
public struct RegexError: Error, Equatable, Sendable, CustomStringConvertible {
    public var message: String
    /// Offset in Unicode scalars.
    public var offset: Int
    public init(message: String, offset: Int) { self.message = message; self.offset = offset }
    public var description: String { "\(message) at position \(offset + 1)" }
}

indirect enum RegexNode {
    case empty
    case set(ScalarSet)
    case sequence([RegexNode])
    case choice([RegexNode])
    /// `max` nil: without end.
    case times(RegexNode, min: Int, max: Int?)
    case assertion(RegexAssertion)
}

enum RegexAssertion: UInt8 { case start, end, wordBorder, noWordBorder }

struct RegexSyntax {
    private static let depthMax = 100
    private static let countMax = 1000

    private struct Flags { var ignoresCase = false, dotMatchesNewline = false }

    private let pattern: [Unicode.Scalar]
    private var position = 0
    private var flags = Flags()

    static func parse(_ pattern: String) throws(RegexError) -> RegexNode {
        var syntax = RegexSyntax(pattern: Array(pattern.unicodeScalars))
        let node = try syntax.choice(depth: 0)
        if syntax.peek != nil { throw syntax.refused("`)` without `(`") }
        return node
    }

    private init(pattern: [Unicode.Scalar]) { self.pattern = pattern }

    private var peek: Unicode.Scalar? { position < pattern.count ? pattern[position] : nil }
    private func refused(_ message: String, at offset: Int? = nil) -> RegexError { RegexError(message: message, offset: offset ?? position) }
    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == scalar else { return false }
        position += 1
        return true
    }
    private mutating func take(_ text: String) -> Bool {
        let scalars = Array(text.unicodeScalars)
        guard pattern[position...].starts(with: scalars) else { return false }
        position += scalars.count
        return true
    }

    // MARK: Structure

    private mutating func choice(depth: Int) throws(RegexError) -> RegexNode {
        guard depth <= Self.depthMax else { throw refused("groups nested too deeply, limit \(Self.depthMax)") }
        let outer = flags
        defer { flags = outer }
        var branches = [try sequence(depth: depth)]
        while take("|") { branches.append(try sequence(depth: depth)) }
        return branches.count == 1 ? branches[0] : .choice(branches)
    }

    private mutating func sequence(depth: Int) throws(RegexError) -> RegexNode {
        var items: [RegexNode] = []
        while let scalar = peek, scalar != "|", scalar != ")" {
            let start = position
            let item = try atom(depth: depth)
            items.append(try quantified(item, from: start))
        }
        return items.count == 1 ? items[0] : items.isEmpty ? .empty : .sequence(items)
    }

    private mutating func quantified(_ item: RegexNode, from start: Int) throws(RegexError) -> RegexNode {
        guard let bounds = try quantifier() else { return item }
        if case .assertion = item { throw refused("a quantifier after an anchor", at: start) }
        // `a*?` matches the same texts as `a*`; only where the match ends would differ, and nobody asks for that here.
        if !take("?"), peek == "+" { throw refused("possessive quantifiers are not supported") }
        if let next = peek, next == "*" || next == "+" || next == "?" || next == "{" { throw refused("a quantifier after a quantifier") }
        return .times(item, min: bounds.min, max: bounds.max)
    }

    private mutating func quantifier() throws(RegexError) -> (min: Int, max: Int?)? {
        let start = position
        if take("*") { return (0, nil) }
        if take("+") { return (1, nil) }
        if take("?") { return (0, 1) }
        guard take("{") else { return nil }
        guard let least = number() else { throw refused("expected {n}, {n,} or {n,m}; write \\{ for a literal {", at: start) }
        var most: Int? = least
        if take(",") { most = number() }
        guard take("}") else { throw refused("expected {n}, {n,} or {n,m}; write \\{ for a literal {", at: start) }
        guard least <= Self.countMax, most ?? 0 <= Self.countMax else { throw refused("repeated too often, limit \(Self.countMax)", at: start) }
        guard most.map({ $0 >= least }) ?? true else { throw refused("bounds in the wrong order", at: start) }
        return (least, most)
    }

    /// Decimal digits; large ones saturate.
    private mutating func number() -> Int? {
        var value: Int?
        while let scalar = peek, ("0"..."9").contains(scalar) {
            value = min((value ?? 0) * 10 + Int(scalar.value - 0x30), 1_000_000)
            position += 1
        }
        return value
    }

    private mutating func atom(depth: Int) throws(RegexError) -> RegexNode {
        let start = position
        let scalar = pattern[position]
        position += 1
        switch scalar {
        case "(": return try group(depth: depth, from: start)
        case "[": return .set(try bracket(from: start))
        case ".": return .set(flags.dotMatchesNewline ? ScalarSet().inverted : ScalarSet.scalar(0x0A).inverted)
        case "^": return .assertion(.start)
        case "$": return .assertion(.end)
        case "\\": return try escape(from: start)
        case "*", "+", "?": throw refused("nothing to repeat", at: start)
        case "{": throw refused("nothing to repeat; write \\{ for a literal {", at: start)
        default: return .set(literal(scalar.value))
        }
    }

    private func literal(_ value: UInt32) -> ScalarSet { flags.ignoresCase ? ScalarSet.scalar(value).caseFolded : .scalar(value) }

    private mutating func group(depth: Int, from start: Int) throws(RegexError) -> RegexNode {
        if take("?") {
            for look in ["=", "!", "<=", "<!"] where take(look) { throw refused("look-around is not supported", at: start) }
            if take(">") { throw refused("atomic groups are not supported", at: start) }
            if peek == "P" || peek == "<" {
                _ = take("P")
                guard take("<") else { throw refused("back-references and calls are not supported", at: start) }
                while let scalar = peek, scalar != ">" {
                    guard scalar.properties.isAlphabetic || scalar == "_" || ("0"..."9").contains(scalar) else { throw refused("expected a group name") }
                    position += 1
                }
                guard take(">") else { throw refused("group name without >", at: start) }
            } else if !take(":") {
                let changed = try flagLetters(from: start)
                // `(?i)` holds to the end of the group around it, `(?i:…)` inside its own.
                if take(")") {
                    flags = changed
                    return .empty
                }
                guard take(":") else { throw refused("expected ) or : after flags") }
                let outer = flags
                flags = changed
                defer { flags = outer }
                return try closed(depth: depth, from: start)
            }
        }
        return try closed(depth: depth, from: start)
    }

    private mutating func closed(depth: Int, from start: Int) throws(RegexError) -> RegexNode {
        let node = try choice(depth: depth + 1)
        guard take(")") else { throw refused("`(` without `)`", at: start) }
        return node
    }

    private mutating func flagLetters(from start: Int) throws(RegexError) -> Flags {
        var result = flags, isOn = true, count = 0
        while let scalar = peek, scalar != ")", scalar != ":" {
            switch scalar {
            case "i": result.ignoresCase = isOn
            case "s": result.dotMatchesNewline = isOn
            case "-" where isOn: isOn = false
            default: throw refused("unknown flag `\(scalar)`; i and s are supported")
            }
            position += 1
            count += 1
        }
        guard count > 0 else { throw refused("expected flags after (?", at: start) }
        return result
    }

    // MARK: Escapes and classes

    private mutating func escape(from start: Int) throws(RegexError) -> RegexNode {
        switch peek {
        case "b": position += 1; return .assertion(.wordBorder)
        case "B": position += 1; return .assertion(.noWordBorder)
        case "A": position += 1; return .assertion(.start)
        case "z": position += 1; return .assertion(.end)
        default: break
        }
        switch try escapedItem(from: start) {
        case .set(let set): return .set(set)
        case .scalar(let value): return .set(literal(value))
        }
    }

    private enum Item { case set(ScalarSet), scalar(UInt32) }

    /// What stands behind a backslash, in a class or outside.
    private mutating func escapedItem(from start: Int) throws(RegexError) -> Item {
        guard let scalar = peek else { throw refused("a backslash at the end", at: start) }
        position += 1
        switch scalar {
        case "d": return .set(.digits)
        case "D": return .set(ScalarSet.digits.inverted)
        case "w": return .set(.word)
        case "W": return .set(ScalarSet.word.inverted)
        case "s": return .set(.space)
        case "S": return .set(ScalarSet.space.inverted)
        case "n": return .scalar(0x0A)
        case "r": return .scalar(0x0D)
        case "t": return .scalar(0x09)
        case "f": return .scalar(0x0C)
        case "v": return .scalar(0x0B)
        case "x": return .scalar(take("{") ? try braced(from: start) : try hex(2, from: start))
        case "u": return .scalar(take("{") ? try braced(from: start) : try hex(4, from: start))
        case "1"..."9", "k", "g": throw refused("back-references are not supported", at: start)
        case "p", "P": throw refused("Unicode classes are not supported", at: start)
        case "0", "a"..."z", "A"..."Z": throw refused("unknown escape \\\(scalar)", at: start)
        default:
            guard scalar.value < 0x80 else { throw refused("a backslash before a character that needs none", at: start) }
            return .scalar(scalar.value)
        }
    }

    private mutating func braced(from start: Int) throws(RegexError) -> UInt32 {
        var value: UInt32 = 0, count = 0
        while let digit = peek.flatMap({ Self.hexDigit($0) }), count < 8 {
            value = value << 4 | digit
            position += 1
            count += 1
        }
        guard count > 0, take("}"), Unicode.Scalar(value) != nil else { throw refused("expected a hexadecimal code point", at: start) }
        return value
    }

    private mutating func hex(_ digits: Int, from start: Int) throws(RegexError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard let digit = peek.flatMap({ Self.hexDigit($0) }) else { throw refused("expected \(digits) hexadecimal digits", at: start) }
            value = value << 4 | digit
            position += 1
        }
        guard Unicode.Scalar(value) != nil else { throw refused("expected a code point that is no surrogate", at: start) }
        return value
    }

    private static func hexDigit(_ scalar: Unicode.Scalar) -> UInt32? {
        switch scalar {
        case "0"..."9": scalar.value - 0x30
        case "a"..."f": scalar.value - 0x61 + 10
        case "A"..."F": scalar.value - 0x41 + 10
        default: nil
        }
    }

    private mutating func bracket(from start: Int) throws(RegexError) -> ScalarSet {
        let isInverted = take("^")
        var set = ScalarSet(), isFirst = true
        while true {
            guard let scalar = peek else { throw refused("`[` without `]`", at: start) }
            if scalar == "]", !isFirst { break }
            // `[]a]` and `[^]a]` are read in three ways by three engines.
            if scalar == "]" { throw refused("an empty class; write \\] for a literal ]", at: start) }
            isFirst = false
            let itemStart = position
            switch try classItem() {
            case .set(let more): set.formUnion(more)
            case .scalar(let low):
                if peek == "-", position + 1 < pattern.count, pattern[position + 1] != "]" {
                    position += 1
                    guard case .scalar(let high) = try classItem(), low <= high else { throw refused("a range in the wrong order", at: itemStart) }
                    set.formUnion(ScalarSet([low...high]))
                } else {
                    set.formUnion(.scalar(low))
                }
            }
        }
        position += 1
        if flags.ignoresCase { set = set.caseFolded }
        return isInverted ? set.inverted : set
    }

    private mutating func classItem() throws(RegexError) -> Item {
        let start = position, scalar = pattern[position]
        position += 1
        if scalar == "\\" {
            if take("b") { throw refused("\\b inside a class", at: start) }
            return try escapedItem(from: start)
        }
        if scalar == "[", let next = peek, next == ":" || next == "." || next == "=" { throw refused("POSIX classes are not supported", at: start) }
        if (scalar == "&" && peek == "&") || (scalar == "-" && peek == "-") || (scalar == "~" && peek == "~") {
            throw refused("class operations are not supported; escape one of the two characters", at: start)
        }
        return .scalar(scalar.value)
    }
}
