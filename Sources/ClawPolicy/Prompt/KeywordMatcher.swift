// All keywords of all routes at once: an Aho-Corasick automaton (1975), made when a configuration is loaded and read by every worker, whose cost for each
// byte of a prompt does not depend on how many keywords there are. A keyword is found wherever its characters stand, inside words too (as `contains`).
//
// Letters of either case are the same: ASCII, and those of Latin-1 (À…Þ), Greek (Α…Ω, Ϊ, Ϋ, accented vowels) and Cyrillic (А…Я, Ѐ…Џ), whose UTF-8 is as
// long in both cases. Others (Ā, Ł, İ, ß/SS, Armenian …) match only as they are written. To fold while bytes come one by one, the automaton reads symbols
// instead of bytes: the two lead bytes that Greek letters have (CE, CF) are one symbol, Cyrillic ones (D0, D1) too, and what follows a lead is one symbol
// for both cases.

public final class KeywordMatcher: @unchecked Sendable {
    public static let keywordsMax = 4096
    /// All keywords together; it bounds the automaton: one state for each byte, of as many numbers as there are different symbols.
    public static let bytesMax = 1 << 16

    public let count: Int
    /// Words of the set of what is found.
    public var foundWords: Int { (count + 63) / 64 }
    public var isEmpty: Bool { count == 0 }

    /// The class of a symbol for [lead · 256 + byte]; class 0: in no keyword.
    let classes: UnsafeMutablePointer<UInt16>
    /// Next state, already times `width`, for [state + class]; the highest bit: keywords end there.
    let next: UnsafeMutablePointer<UInt32>
    let nextCount: Int
    let width: Int
    /// For state / width: the first keyword that ends there, or none; and the longest shorter ending that has one.
    let ends: UnsafeMutablePointer<Int32>
    let shorter: UnsafeMutablePointer<UInt32>
    let stateCount: Int
    /// For a keyword: another of the same letters, or -1.
    let twins: UnsafeMutablePointer<Int32>

    static let endsHere: UInt32 = 0x8000_0000

    /// Keyword i is found as bit i. An empty one is never found. nil beyond the bounds above.
    public init?(_ keywords: [[UInt8]]) {
        guard keywords.count <= Self.keywordsMax, keywords.reduce(0, { $0 + $1.count }) <= Self.bytesMax else { return nil }
        count = keywords.count
        let symbols = keywords.map { keyword in
            var lead = 0
            return keyword.map { byte in
                let symbol = Self.symbol(lead, byte)
                lead = Self.lead(byte)
                return symbol
            }
        }
        // Symbols that occur get classes of their own.
        var classOf: [Int: Int] = [:]
        for symbol in symbols.joined() where classOf[symbol] == nil { classOf[symbol] = classOf.count + 1 }
        width = classOf.count + 1
        classes = .allocate(capacity: 8 * 256)
        for lead in 0..<8 { for byte in 0..<256 { classes[lead * 256 + byte] = UInt16(classOf[Self.symbol(lead, UInt8(byte))] ?? 0) } }
        // The trie.
        let statesMax = symbols.reduce(1) { $0 + $1.count }
        var table = [UInt32](repeating: 0, count: statesMax * width)
        var endAt = [Int32](repeating: -1, count: statesMax)
        twins = .allocate(capacity: max(1, keywords.count))
        twins.initialize(repeating: -1, count: max(1, keywords.count))
        var states = 1
        for (id, word) in symbols.enumerated() where !word.isEmpty {
            var state = 0
            for symbol in word {
                let place = state * width + (classOf[symbol] ?? 0)
                if table[place] == 0 {
                    table[place] = UInt32(states)
                    states += 1
                }
                state = Int(table[place])
            }
            twins[id] = endAt[state]
            endAt[state] = Int32(id)
        }
        // Breadth first: where a letter does not go on, the automaton is where it would be after the longest ending of what it has read.
        var failure = [UInt32](repeating: 0, count: states)
        var shorterAt = [UInt32](repeating: 0, count: states)
        var queue: [Int] = []
        queue.reserveCapacity(states)
        for column in 0..<width where table[column] != 0 { queue.append(Int(table[column])) }
        var head = 0
        while head < queue.count {
            let state = queue[head]
            head += 1
            let fallback = Int(failure[state])
            shorterAt[state] = endAt[fallback] >= 0 ? UInt32(fallback) : shorterAt[fallback]
            for column in 0..<width {
                let child = Int(table[state * width + column])
                if child == 0 {
                    table[state * width + column] = table[fallback * width + column]
                } else {
                    failure[child] = table[fallback * width + column]
                    queue.append(child)
                }
            }
        }
        stateCount = states
        nextCount = states * width
        next = .allocate(capacity: nextCount)
        for place in 0..<nextCount {
            let state = Int(table[place])
            next[place] = UInt32(state * width) | (endAt[state] >= 0 || shorterAt[state] != 0 ? Self.endsHere : 0)
        }
        ends = .allocate(capacity: states)
        shorter = .allocate(capacity: states)
        for state in 0..<states {
            (ends + state).initialize(to: endAt[state])
            (shorter + state).initialize(to: shorterAt[state])
        }
    }

    deinit {
        classes.deallocate()
        next.deallocate()
        ends.deallocate()
        shorter.deallocate()
        twins.deallocate()
    }

    /// Bytes that begin a letter with two cases: 1 Latin-1 (C3), 2 Greek (CE, CF), 3 Cyrillic (D0, D1), with the bit 4 for the second of each pair.
    @inline(__always)
    static func lead(_ byte: UInt8) -> Int {
        switch byte {
        case 0xC3: 1
        case 0xCE: 2
        case 0xCF: 6
        case 0xD0: 3
        case 0xD1: 7
        default: 0
        }
    }

    /// The symbol of a byte behind a lead. Behind none it is the byte, in lower case, and the lead that stands for its pair; behind one, 256 · pair + the low
    /// bits of the lower-case letter in both of its bytes.
    static func symbol(_ lead: Int, _ byte: UInt8) -> Int {
        guard lead != 0, byte >= 0x80, byte < 0xC0 else {
            switch byte {
            case 0x41...0x5A: return Int(byte) + 32
            case 0xCF: return 0xCE
            case 0xD1: return 0xD0
            default: return Int(byte)
            }
        }
        var letter = Int(byte & 63) + (lead & 4 != 0 ? 64 : 0)
        switch lead & 3 {
        case 1: if letter <= 0x1E, letter != 0x17 { letter += 0x20 }
        case 2:
            // U+0380 + letter: Ά Έ Ή Ί, Ό, Ύ Ώ, Α…Ϋ.
            switch letter {
            case 0x06: letter = 0x2C
            case 0x08...0x0A: letter += 37
            case 0x0C: letter = 0x4C
            case 0x0E, 0x0F: letter += 63
            case 0x11...0x2B where letter != 0x22: letter += 32
            default: break
            }
        default:
            // U+0400 + letter: Ѐ…Џ, А…Я.
            if letter < 0x10 { letter += 80 } else if letter < 0x30 { letter += 32 }
        }
        return 256 * (lead & 3) + letter
    }

    /// A reading of one prompt: a value of two words, and the caller's bits.
    public struct Reading {
        var state: UInt32 = 0
        var lead = 0
        public init() {}

        /// The next text has nothing to do with the last.
        @inline(__always)
        public mutating func reset() {
            state = 0
            lead = 0
        }

        /// Reads on; sets the bits of what ends in these bytes. `found` has `foundWords` words, zeroed by the caller for each prompt.
        public mutating func read(_ bytes: UnsafeRawBufferPointer, _ matcher: KeywordMatcher, found: UnsafeMutablePointer<UInt64>) {
            guard matcher.count > 0 else { return }
            let classes = matcher.classes, next = matcher.next
            var state = Int(self.state)
            var lead = self.lead
            for byte in bytes {
                let entry = next[state + Int(classes[lead << 8 | Int(byte)])]
                lead = byte < 0xC3 ? 0 : KeywordMatcher.lead(byte)
                state = Int(entry & ~KeywordMatcher.endsHere)
                if entry & KeywordMatcher.endsHere != 0 { matcher.note(state, found) }
            }
            self.state = UInt32(state)
            self.lead = lead
        }
    }

    /// Every keyword that ends in a state. Where the first is set, all shorter ones are: so each is set once, and this costs nothing over a long prompt.
    @inline(never)
    private func note(_ scaled: Int, _ found: UnsafeMutablePointer<UInt64>) {
        var state = scaled / width
        while state != 0 {
            var id = ends[state]
            if id >= 0, found[Int(id) / 64] & 1 << (UInt64(id) % 64) != 0 { return }
            while id >= 0 {
                found[Int(id) / 64] |= 1 << (UInt64(id) % 64)
                id = twins[Int(id)]
            }
            state = Int(shorter[state])
        }
    }
}
