// Patterns and texts: the input is a pattern, a line feed and a text. Checked: the automaton and the simulation agree, with each other and with
// a slow matcher over the syntax tree; the simulation keeps its bound on steps.
@testable import ClawWire

/// Where a match of a node that begins at one of some places may end.
private struct SlowMatcher {
    let text: [UInt8]
    var steps = 0
    static let stepsMax = 20_000

    private func neighbour(_ at: Int) -> RegexNeighbour { at < 0 || at >= text.count ? .border : .of(text[at]) }

    /// Length and value of the one well-formed character at a place.
    private func scalar(_ at: Int) -> (UInt32, Int)? {
        guard at < text.count else { return nil }
        let first = text[at]
        let length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        guard at + length <= text.count, let one = String(validating: text[at..<at + length], as: UTF8.self) else { return nil }
        guard let value = one.unicodeScalars.first, one.unicodeScalars.count == 1 else { return nil }
        return (value.value, length)
    }

    mutating func ends(_ node: RegexNode, _ starts: Set<Int>) -> Set<Int> {
        steps += 1 + starts.count
        if starts.isEmpty || steps > Self.stepsMax { return [] }
        switch node {
        case .empty: return starts
        case .set(let set):
            return Set(starts.compactMap { at in
                guard let (value, length) = scalar(at), set.ranges.contains(where: { $0.contains(value) }) else { return nil }
                return at + length
            })
        case .sequence(let items):
            var places = starts
            for item in items { places = ends(item, places) }
            return places
        case .choice(let branches):
            var places: Set<Int> = []
            for branch in branches { places.formUnion(ends(branch, starts)) }
            return places
        case .times(let item, let least, let most):
            var places = starts
            for _ in 0..<least {
                let next = ends(item, places)
                if next == places { break }
                places = next
            }
            var reached = places
            var round = least
            while round < most ?? .max, !places.isEmpty {
                places = ends(item, places).subtracting(reached)
                reached.formUnion(places)
                round += 1
            }
            return reached
        case .assertion(let assertion): return starts.filter { assertion.holds(before: neighbour($0 - 1), after: neighbour($0)) }
        }
    }
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: data, count: size)
    let border = bytes.firstIndex(of: 10) ?? size
    let text = Array(bytes[min(size, border + 1)...])
    let pattern = String(decoding: bytes[..<border], as: UTF8.self)
    let regex: LinearRegex
    do throws(RegexError) { regex = try LinearRegex(pattern) } catch {
        check(error.offset >= 0 && error.offset <= pattern.unicodeScalars.count, "a place outside the pattern: \(error)")
        return 0
    }
    let (matched, steps) = withCopy(text) { regex.simulate($0) }
    check(steps <= regex.program.instructions.count * (text.count + 1), "\(steps) steps")
    let byTable = withCopy(text) { regex.matches($0) }
    check(byTable == matched, "the automaton says \(byTable), the simulation \(matched)")
    guard text.count <= 64, let node = try? RegexSyntax.parse(pattern) else { return 0 }
    var slow = SlowMatcher(text: text)
    let isFound = !slow.ends(node, Set(0...text.count)).isEmpty
    if slow.steps <= SlowMatcher.stepsMax { check(isFound == matched, "slowly \(isFound), the simulation \(matched)") }
    return 0
}
