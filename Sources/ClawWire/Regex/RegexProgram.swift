// A pattern as a nondeterministic automaton over bytes (Thompson's construction). Built backwards: each node is compiled with the
// instruction that follows it already known, so that the byte sequences of one class can share their tails.

struct RegexProgram {
    enum Limit {
        /// 12 bytes each; a simulation keeps some words per instruction.
        static let instructionsMax = 8192
        /// Visits of syntax nodes, so that `((){1000}){1000}` ends although it makes no instructions.
        static let visitsMax = 50_000
    }

    struct Instruction {
        enum Kind: UInt8 { case bytes, split, assertion, match }
        var kind: Kind
        /// `.bytes`: bounds. `.assertion`: which.
        var low: UInt8 = 0
        var high: UInt8 = 0
        var next: UInt16 = 0
        /// `.split`: the other way.
        var other: UInt16 = 0
    }

    private(set) var instructions: [Instruction] = []
    private(set) var start: UInt16 = 0
    /// True exactly when an assertion asks for word borders, so that what came before has to be remembered.
    private(set) var usesWordBorders = false
    private var visits = 0

    init(_ node: RegexNode) throws(RegexError) {
        let match = try emit(Instruction(kind: .match))
        start = try compile(node, next: match)
    }

    private mutating func emit(_ instruction: Instruction) throws(RegexError) -> UInt16 {
        guard instructions.count < Limit.instructionsMax else {
            throw RegexError(message: "pattern too large: more than \(Limit.instructionsMax) states, repetitions counted out", offset: 0)
        }
        instructions.append(instruction)
        return UInt16(instructions.count - 1)
    }

    /// Index of the first instruction of `node`, which goes on with `next`.
    private mutating func compile(_ node: RegexNode, next: UInt16) throws(RegexError) -> UInt16 {
        visits += 1
        guard visits <= Limit.visitsMax else { throw RegexError(message: "pattern too large, repetitions counted out", offset: 0) }
        switch node {
        case .empty: return next
        case .set(let set): return try compile(set, next: next)
        case .sequence(let items):
            var following = next
            for item in items.reversed() { following = try compile(item, next: following) }
            return following
        case .choice(let branches):
            var starts: [UInt16] = []
            for branch in branches { starts.append(try compile(branch, next: next)) }
            return try choose(starts)
        case .times(let item, let least, let most): return try compile(item, least, most, next: next)
        case .assertion(let assertion):
            if assertion == .wordBorder || assertion == .noWordBorder { usesWordBorders = true }
            return try emit(Instruction(kind: .assertion, low: assertion.rawValue, next: next))
        }
    }

    private mutating func compile(_ item: RegexNode, _ least: Int, _ most: Int?, next: UInt16) throws(RegexError) -> UInt16 {
        var following = next
        if let most {
            // x{0,2} is (x(x)?)?: each optional copy may leave to the end.
            for _ in 0..<(most - least) {
                let copy = try compile(item, next: following)
                following = try emit(Instruction(kind: .split, next: copy, other: next))
            }
        } else {
            let loop = try emit(Instruction(kind: .split))
            let body = try compile(item, next: loop)
            instructions[Int(loop)].next = body
            instructions[Int(loop)].other = next
            following = loop
        }
        for _ in 0..<least { following = try compile(item, next: following) }
        return following
    }

    private mutating func compile(_ set: ScalarSet, next: UInt16) throws(RegexError) -> UInt16 {
        struct Tail: Hashable { var low, high: UInt8; var next: UInt16 }
        var tails: [Tail: UInt16] = [:], starts: [UInt16] = []
        for sequence in set.utf8Sequences {
            var following = next
            for range in sequence.reversed() {
                let tail = Tail(low: range.lowerBound, high: range.upperBound, next: following)
                if let known = tails[tail] {
                    following = known
                } else {
                    following = try emit(Instruction(kind: .bytes, low: tail.low, high: tail.high, next: following))
                    tails[tail] = following
                }
            }
            starts.append(following)
        }
        // An empty class, as [^\s\S], matches nothing: a range no byte is in.
        return starts.isEmpty ? try emit(Instruction(kind: .bytes, low: 1, high: 0, next: next)) : try choose(starts)
    }

    private mutating func choose(_ starts: [UInt16]) throws(RegexError) -> UInt16 {
        var first = starts[starts.count - 1]
        for start in starts.dropLast().reversed() { first = try emit(Instruction(kind: .split, next: start, other: first)) }
        return first
    }
}

/// What lies on one side of a position.
enum RegexNeighbour: UInt8 {
    /// Begin or end of the text.
    case border, word, other

    static func of(_ byte: UInt8) -> RegexNeighbour {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x5F, 0x61...0x7A: .word
        default: .other
        }
    }
}

extension RegexAssertion {
    func holds(before: RegexNeighbour, after: RegexNeighbour) -> Bool {
        switch self {
        case .start: before == .border
        case .end: after == .border
        case .wordBorder: (before == .word) != (after == .word)
        case .noWordBorder: (before == .word) == (after == .word)
        }
    }
}
