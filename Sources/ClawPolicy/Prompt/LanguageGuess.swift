// Which language a prompt is in: most by its script, the Latin ones by their little words and letters. What the user says counts before what the system or
// the assistant said, and what he says last before the rest; text between fences of three backticks is code and does not count, nor do words that stick to
// brackets and underscores. Of each message the first 2 KiB are looked at. Without at least two letters, or a Latin text without any word or letter that
// tells, it is `und`.
//
// Codes: ko ja zh ru uk ar fa he hi th el vi en de fr es it pt nl pl tr sv cs id und. A close relative that is not among them is taken for the nearest
// (Danish for Swedish, Belarusian for Ukrainian, Urdu for Persian, Marathi for Hindi).

public struct LanguageGuess {
    /// Positions in `codes`; the first are those of LanguageWords.
    public static let codes: [StaticString] = LanguageWords.codes + ["ko", "ja", "zh", "ru", "uk", "ar", "fa", "he", "hi", "th", "el", "und"]
    public static let undetermined = 24
    /// The position of a code as configurations write it; nil: none that is ever guessed.
    public static func index(of code: String) -> Int? { codes.firstIndex { "\($0)" == code } }
    static let messageBytesMax = 2048, allBytesMax = 1 << 17

    /// What was counted of some text.
    struct Tally {
        /// Points for each Latin language.
        var latin = InlineArray<13, Int32>(repeating: 0)
        /// Points from words that no program has.
        var evidence: Int32 = 0
        var letters: Int32 = 0
        // Characters of other scripts.
        var hangul: Int32 = 0, kana: Int32 = 0, han: Int32 = 0, cyrillic: Int32 = 0, arabic: Int32 = 0, hebrew: Int32 = 0, devanagari: Int32 = 0, thai: Int32 = 0, greek: Int32 = 0
        var ukrainian: Int32 = 0, russian: Int32 = 0, persian: Int32 = 0

        var isEmpty: Bool { letters + hangul + kana + han + cyrillic + arabic + hebrew + devanagari + thai + greek == 0 }

        /// self / divisor + other.
        mutating func add(_ other: Tally, afterDividingBy divisor: Int32) {
            for at in 0..<13 { latin[at] = latin[at] / divisor + other.latin[at] }
            evidence = evidence / divisor + other.evidence
            letters = letters / divisor + other.letters
            hangul = hangul / divisor + other.hangul
            kana = kana / divisor + other.kana
            han = han / divisor + other.han
            cyrillic = cyrillic / divisor + other.cyrillic
            arabic = arabic / divisor + other.arabic
            hebrew = hebrew / divisor + other.hebrew
            devanagari = devanagari / divisor + other.devanagari
            thai = thai / divisor + other.thai
            greek = greek / divisor + other.greek
            ukrainian = ukrainian / divisor + other.ukrainian
            russian = russian / divisor + other.russian
            persian = persian / divisor + other.persian
        }
    }

    private var current = Tally(), system = Tally(), users = Tally(), others = Tally()
    private var messageBytes = 0, systemBytes = 0, allBytes = 0
    // The character under way: what is missing of it, and what there is.
    private var missing = 0
    private var scalar: UInt32 = 0
    // The word under way.
    private var hash = LanguageWords.start
    private var length = 0
    private var isWordClean = true
    private var before: UInt8 = 0x20
    private var fence = 0
    private var isInCode = false

    public init() {}

    public mutating func text(_ bytes: UnsafeRawBufferPointer, isSystem: Bool) {
        let used = isSystem ? systemBytes : messageBytes
        guard used < Self.messageBytesMax, allBytes < Self.allBytesMax else { return }
        let count = min(bytes.count, Self.messageBytesMax - used)
        if isSystem { systemBytes += count } else { messageBytes += count }
        allBytes += count
        let table = LanguageWords.table
        if isSystem { swap(&current, &system) }
        for byte in bytes.prefix(count) { read(byte, table) }
        if isSystem { swap(&current, &system) }
    }

    public mutating func textEnd(isSystem: Bool) {
        let table = LanguageWords.table
        if isSystem { swap(&current, &system) }
        endWord(0x20, table)
        if isSystem { swap(&current, &system) }
        (missing, before, fence, isInCode, isWordClean) = (0, 0x20, 0, false, true)
    }

    public mutating func messageEnd(isUser: Bool) {
        if isUser {
            // "2" or "```" says nothing, so it does not weaken what was said before.
            if !current.isEmpty { users.add(current, afterDividingBy: 4) }
        } else {
            others.add(current, afterDividingBy: 1)
        }
        current = Tally()
        messageBytes = 0
    }

    /// A position in `codes`.
    public var language: Int {
        for one in 0..<3 {
            let found = Self.language(of: one == 0 ? users : one == 1 ? others : system)
            if found != Self.undetermined { return found }
        }
        return Self.undetermined
    }

    private static func language(of tally: Tally) -> Int {
        var best = 0
        for at in 1..<13 where tally.latin[at] > tally.latin[best] { best = at }
        // A syllable or a character of the dense scripts says as much as two letters. Latin letters among others are mostly names, unless words say otherwise.
        let latin = tally.evidence >= 18 ? tally.letters : tally.evidence > 0 ? tally.letters / 2 : tally.letters / 5
        let eastern = tally.kana + tally.han
        let weights: InlineArray<9, Int32> = [
            tally.hangul * 2, eastern * 2, tally.cyrillic, tally.arabic, tally.hebrew, tally.devanagari, tally.thai, tally.greek, latin,
        ]
        var script = 8
        for at in 0..<8 where weights[at] > weights[script] || (weights[at] == weights[script] && weights[at] > 0) { script = at }
        guard script < 8 else {
            return tally.letters < 2 || tally.latin[best] == 0 ? undetermined : best
        }
        guard script <= 1 || weights[script] >= 2 else { return undetermined }
        switch script {
        case 0: return 13
        // Japanese is never long without kana; Chinese that quotes a Japanese word has few.
        case 1: return tally.kana * 8 > tally.han ? 14 : 15
        case 2: return tally.ukrainian > tally.russian ? 17 : 16
        case 3: return tally.persian * 40 > tally.arabic ? 19 : 18
        case 4: return 20
        case 5: return 21
        case 6: return 22
        default: return 23
        }
    }

    @inline(__always)
    private mutating func read(_ byte: UInt8, _ table: LanguageWords.Table) {
        if byte < 0x80 {
            missing = 0
            if byte == 0x60 {
                fence += 1
                if fence == 3 { isInCode.toggle() }
            } else {
                fence = 0
            }
            let lower = byte | 0x20
            if lower >= 0x61, lower <= 0x7A {
                letter(lower, nil)
            } else if byte == 0x27, length > 0 {
                letter(0x27, nil)
            } else {
                endWord(byte, table)
                before = byte
            }
            return
        }
        fence = 0
        if byte >= 0xC0 {
            (missing, scalar) = byte >= 0xF0 ? (3, UInt32(byte & 7)) : byte >= 0xE0 ? (2, UInt32(byte & 15)) : (1, UInt32(byte & 31))
            return
        }
        guard missing > 0 else { return }
        scalar = scalar << 6 | UInt32(byte & 63)
        missing -= 1
        if missing == 0 { character(scalar, table) }
    }

    @inline(__always)
    private mutating func letter(_ one: UInt8, _ two: UInt8?) {
        if length == 0 { isWordClean = Self.isClear(before) }
        hash = LanguageWords.add(hash, one)
        if let two { hash = LanguageWords.add(hash, two) }
        length += 1
    }

    /// What may stand next to a word of a sentence, not of a program.
    @inline(__always)
    private static func isClear(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x20, 0x0A, 0x0D, 0x09, 0x2E, 0x2C, 0x3F, 0x21, 0x3A, 0x3B, 0x22, 0x27, 0x29, 0x28, 0x2D, 0x2A, 0x23, 0xFF: true
        default: false
        }
    }

    private mutating func endWord(_ byte: UInt8, _ table: LanguageWords.Table) {
        guard length > 0 else { return }
        defer { (hash, length) = (LanguageWords.start, 0) }
        guard !isInCode, isWordClean, Self.isClear(byte), byte != 0x28 else { return }
        current.letters &+= Int32(truncatingIfNeeded: length)
        let entry = table.find(hash)
        guard entry != 0 else { return }
        let points = Int32(entry >> 8 & 0xFF)
        let isOfCode = entry & 1 != 0
        var languages = UInt16(truncatingIfNeeded: entry >> 16)
        while languages != 0 {
            let at = languages.trailingZeroBitCount
            languages &= languages - 1
            if at < 13 { current.latin[at] &+= isOfCode && at == 0 ? max(1, points / 3) : points }
        }
        if !isOfCode { current.evidence &+= points }
    }

    /// A character beyond ASCII.
    private mutating func character(_ scalar: UInt32, _ table: LanguageWords.Table) {
        switch scalar {
        case 0xC0...0x24F where scalar != 0xD7 && scalar != 0xF7, 0x1E00...0x1EFF:
            latinLetter(scalar)
            return
        case 0x300...0x36F:
            // A mark of its own: decomposed text is not composed here.
            return
        default: break
        }
        endWord(0xFF, table)
        before = 0xFF
        guard !isInCode else { return }
        switch scalar {
        case 0x370...0x3FF, 0x1F00...0x1FFF: current.greek &+= 1
        case 0x400...0x52F:
            current.cyrillic &+= 1
            switch scalar {
            case 0x404, 0x406, 0x407, 0x454, 0x456, 0x457, 0x490, 0x491: current.ukrainian &+= 1
            case 0x42A, 0x42B, 0x42D, 0x401, 0x44A, 0x44B, 0x44D, 0x451: current.russian &+= 1
            default: break
            }
        case 0x590...0x5FF: current.hebrew &+= 1
        case 0x600...0x6FF, 0x750...0x77F, 0xFB50...0xFDFF, 0xFE70...0xFEFF:
            current.arabic &+= 1
            switch scalar {
            case 0x67E, 0x686, 0x698, 0x6AF, 0x6A9, 0x6CC: current.persian &+= 1
            default: break
            }
        case 0x900...0x97F: current.devanagari &+= 1
        case 0xE00...0xE7F: current.thai &+= 1
        case 0x3040...0x30FF, 0x31F0...0x31FF, 0xFF66...0xFF9F: current.kana &+= 1
        case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x3FFFF: current.han &+= 1
        case 0x1100...0x11FF, 0x3130...0x318F, 0xAC00...0xD7AF: current.hangul &+= 1
        case 0xBF, 0xA1: if !isInCode { current.latin[3] &+= 12 }
        default: break
        }
    }

    /// Letters with marks: into the word, in lower case, and some of them tell by themselves.
    private mutating func latinLetter(_ upper: UInt32) {
        var scalar = upper
        switch scalar {
        case 0xC0...0xDE: scalar += 32
        // In these, capitals are even, or odd, and their small letters next to them.
        case 0x100...0x12F, 0x132...0x137, 0x14A...0x177, 0x1A0...0x1A5, 0x1E00...0x1EFF: scalar |= 1
        case 0x139...0x148, 0x179...0x17E: scalar += scalar & 1
        case 0x1AF: scalar = 0x1B0
        case 0x130: scalar = 0x69
        default: break
        }
        if scalar < 0x80 {
            letter(UInt8(scalar), nil)
        } else if scalar < 0x800 {
            letter(UInt8(0xC0 | scalar >> 6), UInt8(0x80 | scalar & 63))
        } else {
            letter(UInt8(0xE0 | scalar >> 12), UInt8(0x80 | scalar >> 6 & 63))
            hash = LanguageWords.add(hash, UInt8(0x80 | scalar & 63))
        }
        guard !isInCode else { return }
        @inline(__always) func gain(_ language: Int, _ points: Int32) {
            current.latin[language] &+= points
            current.evidence &+= 1
        }
        switch scalar {
        case 0xDF: gain(1, 10)
        case 0xE4: gain(1, 4); gain(9, 4)
        case 0xF6: gain(1, 4); gain(9, 4); gain(8, 4)
        case 0xFC: gain(1, 4); gain(8, 5); gain(3, 1)
        case 0xE5: gain(9, 9)
        case 0xF1: gain(3, 9)
        case 0xE3, 0xF5: gain(5, 9); gain(12, scalar == 0xE3 ? 2 : 2)
        case 0xE7: gain(2, 4); gain(5, 4); gain(8, 5)
        case 0xE8: gain(2, 5); gain(4, 4)
        case 0xEA: gain(2, 4); gain(5, 3); gain(12, 3)
        case 0xEB, 0xEE, 0xFB, 0xEF: gain(2, 4)
        case 0x153: gain(2, 8)
        case 0xE0: gain(2, 4); gain(4, 4); gain(5, 2); gain(12, 3)
        case 0xF2, 0xEC, 0xF9: gain(4, 6); gain(12, 2)
        case 0xE1, 0xED, 0xF3, 0xFA: gain(3, 4); gain(5, 2); gain(10, 2); gain(12, 1)
        case 0xE9: gain(2, 4); gain(3, 2); gain(5, 2); gain(10, 1)
        case 0xFD: gain(10, 5)
        case 0x105, 0x107, 0x119, 0x142, 0x144, 0x15B, 0x17A, 0x17C: gain(7, 9)
        case 0x11B, 0x159, 0x16F, 0x10D, 0x161, 0x17E, 0x165, 0x10F, 0x148: gain(10, 7)
        case 0x11F, 0x131, 0x15F: gain(8, 9)
        case 0x111, 0x1A1, 0x1B0, 0x103, 0x1EA0...0x1EFF: gain(12, 8)
        default: break
        }
    }
}
