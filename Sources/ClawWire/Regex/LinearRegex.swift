// Regular expressions from configuration files, matched against bytes that strangers send. The time is bounded by
// pattern size × text length whatever both are (no backtracking), so no pattern can be made to hang a worker (CF-07).
// Made once per plan, read by all workers at once.

/// A compiled pattern; see RegexSyntax for what may stand in it. Text is UTF-8; bytes that are not UTF-8 match nothing but can be passed
/// over by a search. `^` and `$` are the ends of the text; `\d \w \s \b` are ASCII.
public final class LinearRegex: @unchecked Sendable {
    public let pattern: String
    let program: RegexProgram
    /// nil when the pattern's automaton is too large: then it is simulated.
    private let table: UnsafeMutablePointer<UInt16>?
    private let columns: UnsafeMutablePointer<UInt8>
    private let matchesAtEnd: UnsafeMutablePointer<Bool>
    private let columnCount: Int
    private let initial: UInt16
    public let isSimulated: Bool

    /// Throws what is wrong or not supported, and where.
    public init(_ pattern: String) throws(RegexError) {
        self.pattern = pattern
        program = try RegexProgram(RegexSyntax.parse(pattern))
        let automaton = RegexAutomaton(program)
        isSimulated = automaton == nil
        columnCount = automaton?.columnCount ?? 0
        initial = automaton?.initial ?? 0
        table = automaton.map { Self.copy($0.table) }
        columns = Self.copy(automaton?.columns ?? [])
        matchesAtEnd = Self.copy(automaton?.matchesAtEnd ?? [])
    }

    private static func copy<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafeMutablePointer<Element> {
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(1, elements.count))
        for (index, element) in elements.enumerated() { (memory + index).initialize(to: element) }
        return memory
    }

    deinit {
        table?.deallocate()
        columns.deallocate()
        matchesAtEnd.deallocate()
    }

    /// Does the pattern match anywhere in the text?
    public func matches(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let table else { return simulate(bytes).matched }
        var state = initial
        for byte in bytes {
            state = table[Int(state) * columnCount + Int(columns[Int(byte)])]
            if state <= RegexAutomaton.matched { return state == RegexAutomaton.matched }
        }
        return matchesAtEnd[Int(state)]
    }

    public func matches(_ text: String) -> Bool {
        var copy = text
        return copy.withUTF8 { matches(UnsafeRawBufferPointer($0)) }
    }

    /// Follows all ways through the program at once. Each instruction is visited at most once per byte and neighbour, so `steps` is at
    /// most instructions × (bytes + 1).
    func simulate(_ bytes: UnsafeRawBufferPointer) -> (matched: Bool, steps: Int) {
        let size = program.instructions.count
        return program.instructions.withUnsafeBufferPointer { instructions in
            withUnsafeTemporaryAllocation(of: UInt16.self, capacity: size * 3) { lists in
                withUnsafeTemporaryAllocation(of: Int.self, capacity: size * 2) { marks in
                    marks.initialize(repeating: 0)
                    return run(bytes, instructions, size, lists, marks)
                }
            }
        }
    }

    /// `lists`: instructions to follow now, the same for the next byte, and the stack of the closure. `marks`: the round in which an
    /// instruction was last put on the stack, and on the next list; rounds count from 1.
    private func run(
        _ bytes: UnsafeRawBufferPointer, _ instructions: UnsafeBufferPointer<RegexProgram.Instruction>, _ size: Int,
        _ lists: UnsafeMutableBufferPointer<UInt16>, _ marks: UnsafeMutableBufferPointer<Int>
    ) -> (matched: Bool, steps: Int) {
        var current = lists.baseAddress!, following = current + size
        let stack = current + size * 2
        var currentCount = 0, steps = 0, before = RegexNeighbour.border
        for offset in 0...bytes.count {
            let round = offset + 1
            let byte = offset < bytes.count ? bytes[offset] : 0
            let after = offset < bytes.count ? RegexNeighbour.of(byte) : .border
            var depth = 0, followingCount = 0
            @inline(__always) func push(_ index: UInt16) {
                guard marks[Int(index)] != round else { return }
                marks[Int(index)] = round
                stack[depth] = index
                depth += 1
            }
            // A match may begin at every position.
            push(program.start)
            for index in 0..<currentCount { push(current[index]) }
            while depth > 0 {
                depth -= 1
                steps += 1
                let instruction = instructions[Int(stack[depth])]
                switch instruction.kind {
                case .match: return (true, steps)
                case .split:
                    push(instruction.other)
                    push(instruction.next)
                case .assertion:
                    if let assertion = RegexAssertion(rawValue: instruction.low), assertion.holds(before: before, after: after) { push(instruction.next) }
                case .bytes:
                    guard offset < bytes.count, instruction.low <= byte, byte <= instruction.high, marks[size + Int(instruction.next)] != round else { continue }
                    marks[size + Int(instruction.next)] = round
                    following[followingCount] = instruction.next
                    followingCount += 1
                }
            }
            swap(&current, &following)
            currentCount = followingCount
            before = after
        }
        return (false, steps)
    }
}
