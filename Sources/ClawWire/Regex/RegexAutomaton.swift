// The deterministic automaton of a program, built whole when it stays small, which those of hand-written patterns do: then a match is one
// table look-up per byte, allocates nothing, and the table may be read by all threads at once. Patterns such as `a.{20}b`, whose
// automaton has a million states, are given up after a bounded effort and simulated instead.

struct RegexAutomaton {
    enum Limit {
        static let statesMax = 1024
        /// Visits of instructions while building: a few milliseconds at most.
        static let visitsMax = 200_000
    }
    /// States 0 and 1 are final: nothing can match any more, and matched.
    static let dead: UInt16 = 0
    static let matched: UInt16 = 1

    /// Byte → column.
    private(set) var columns = [UInt8](repeating: 0, count: 256)
    private(set) var columnCount = 0
    /// state × columnCount + column → state.
    private(set) var table: [UInt16] = []
    /// By state: a text that ends here matches.
    private(set) var matchesAtEnd: [Bool] = []
    private(set) var initial: UInt16 = 0

    /// Instructions that are to be followed, and what came before: all that a state has to know.
    private struct Key: Hashable {
        var instructions: [UInt16]
        var before: RegexNeighbour
    }

    /// nil when it would be too large.
    init?(_ program: RegexProgram) {
        let samples = divide(program)
        var closure = RegexClosure(program)
        var states: [Key: UInt16] = [:], keys: [Key] = []
        table = [UInt16](repeating: 0, count: columnCount * 2)
        for column in 0..<columnCount { table[Int(Self.matched) * columnCount + column] = Self.matched }
        matchesAtEnd = [false, true]
        func state(_ key: Key) -> UInt16 {
            if let known = states[key] { return known }
            let number = UInt16(keys.count + 2)
            states[key] = number
            keys.append(key)
            return number
        }
        initial = state(Key(instructions: [program.start], before: .border))
        var done = 0
        while done < keys.count {
            let key = keys[done]
            done += 1
            // One closure for each kind of neighbour, then one step for each column.
            var closed: [RegexNeighbour: (live: [UInt16], isMatch: Bool)] = [:]
            for neighbour in [RegexNeighbour.border, .word, .other] { closed[neighbour] = closure.close(key.instructions, key.before, neighbour) }
            matchesAtEnd.append(closed[.border]?.isMatch ?? false)
            for sample in samples {
                let neighbour = RegexNeighbour.of(sample)
                guard let (live, isMatch) = closed[neighbour] else { return nil }
                if isMatch {
                    table.append(Self.matched)
                    continue
                }
                var following: Set<UInt16> = [program.start]
                for index in live {
                    let instruction = program.instructions[Int(index)]
                    if instruction.low <= sample, sample <= instruction.high { following.insert(instruction.next) }
                }
                closure.visits += live.count
                table.append(state(Key(instructions: following.sorted(), before: program.usesWordBorders ? neighbour : .other)))
            }
            guard keys.count <= Limit.statesMax, closure.visits <= Limit.visitsMax else { return nil }
        }
        markDead()
    }

    /// Bytes that no instruction tells apart share a column. Returns one byte of each.
    private mutating func divide(_ program: RegexProgram) -> [UInt8] {
        var begins = [Bool](repeating: false, count: 257)
        begins[0] = true
        func border(_ low: UInt8, _ high: UInt8) {
            begins[Int(low)] = true
            begins[Int(high) + 1] = true
        }
        for instruction in program.instructions where instruction.kind == .bytes && instruction.low <= instruction.high { border(instruction.low, instruction.high) }
        // Closures are made per kind of neighbour, so the two kinds never share a column, word borders or not.
        for range in [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A] as [ClosedRange<UInt8>] { border(range.lowerBound, range.upperBound) }
        var samples: [UInt8] = []
        for byte in 0..<256 {
            if begins[byte] { samples.append(UInt8(byte)) }
            columns[byte] = UInt8(samples.count - 1)
        }
        columnCount = samples.count
        return samples
    }

    /// A state that leads only to itself and does not match at the end can be left at once.
    private mutating func markDead() {
        for state in 2..<matchesAtEnd.count where !matchesAtEnd[state] {
            let row = table[(state * columnCount)..<((state + 1) * columnCount)]
            guard row.allSatisfy({ Int($0) == state }) else { continue }
            for index in table.indices where Int(table[index]) == state { table[index] = Self.dead }
            if Int(initial) == state { initial = Self.dead }
        }
    }
}

/// Follows splits and assertions.
private struct RegexClosure {
    private let program: RegexProgram
    private var marks: [Int]
    private var mark = 0
    private var stack: [UInt16] = []
    var visits = 0

    init(_ program: RegexProgram) {
        self.program = program
        marks = [Int](repeating: 0, count: program.instructions.count)
    }

    /// The byte instructions reached between two neighbours without consuming anything, and whether a match is.
    mutating func close(_ start: [UInt16], _ before: RegexNeighbour, _ after: RegexNeighbour) -> (live: [UInt16], isMatch: Bool) {
        mark += 1
        var live: [UInt16] = []
        for index in start { push(index) }
        while let index = stack.popLast() {
            visits += 1
            let instruction = program.instructions[Int(index)]
            switch instruction.kind {
            case .bytes: live.append(index)
            case .split:
                push(instruction.other)
                push(instruction.next)
            case .assertion:
                if let assertion = RegexAssertion(rawValue: instruction.low), assertion.holds(before: before, after: after) { push(instruction.next) }
            case .match:
                stack.removeAll(keepingCapacity: true)
                return ([], true)
            }
        }
        return (live, false)
    }

    private mutating func push(_ index: UInt16) {
        guard marks[Int(index)] != mark else { return }
        marks[Int(index)] = mark
        stack.append(index)
    }
}
