// How many tokens a prompt will be, without any provider's tokenizer: within about 15 % on ordinary text. Tokenizers of today's models cut text into words
// with their space, runs of punctuation and groups of digits, and long or rare words into pieces; so words are counted, and their letters beyond what a
// piece mostly has. Characters of other scripts have a cost each, as measured on the tokenizers of 2024 and later (about o200k).

public struct TokenEstimate {
    /// What a message costs beside its text, and what a conversation does.
    static let perMessage = 4.0, perPrompt = 3.0
    /// What Anthropic puts in front of tools, once (346 by its documents for Claude 4, more in what is counted), and around each.
    static let toolPrompt = 400.0, perTool = 40.0
    /// Bytes of an answer format that asks for no more than `json_object`, which costs nothing.
    static let structureFree = 24
    /// An image of ordinary size; a low-detail one is 85, a large one up to 1,600.
    static let perImage = 765.0
    /// Text beyond this is taken to be like what came before.
    static let exactBytesMax = 1 << 16

    // Runs and bytes of ASCII classes; bytes of others by the length of their characters and script.
    private var words = 0, letters = 0, digitRuns = 0, digits = 0, marks = 0, lines = 0
    private var twoByte = 0, latinMarked = 0, dense = 0, hangul = 0, kana = 0, wide = 0, otherThree = 0
    private var counted = 0, uncounted = 0
    private var tokens = 0, messages = 0, images = 0, structures = 0, tools = 0
    private var isBare = false
    private var previous: UInt8 = 0

    public init() {}

    /// From the length of the body alone, for where nobody looked inside: JSON and text in equal measure.
    @inline(__always)
    public static func fromBytes(_ count: Int) -> Int { max(0, count) / 4 + 1 }

    private enum Class { static let space: UInt8 = 0, letter: UInt8 = 1, digit: UInt8 = 2, mark: UInt8 = 3, line: UInt8 = 4 }
    private static let classes: InlineArray<128, UInt8> = {
        var all = InlineArray<128, UInt8>(repeating: Class.mark)
        for byte in 0..<128 {
            switch UInt8(byte) {
            case 0x41...0x5A, 0x61...0x7A, 0x27: all[byte] = Class.letter
            case 0x30...0x39: all[byte] = Class.digit
            case 0x0A, 0x0D: all[byte] = Class.line
            case 0...0x20: all[byte] = Class.space
            default: break
            }
        }
        return all
    }()

    public mutating func text(_ bytes: UnsafeRawBufferPointer) {
        let take = min(bytes.count, Self.exactBytesMax - counted)
        if take < bytes.count { uncounted &+= bytes.count - take }
        guard take > 0 else { return }
        counted += take
        let classes = Self.classes
        var previous = self.previous
        for byte in bytes.prefix(take) {
            if byte < 0x80 {
                let kind = classes[Int(byte)]
                let isNew = kind != previous
                previous = kind
                switch kind {
                case Class.letter:
                    letters &+= 1
                    if isNew { words &+= 1 }
                case Class.digit:
                    digits &+= 1
                    if isNew { digitRuns &+= 1 }
                case Class.mark: if isNew { marks &+= 1 }
                case Class.line: if isNew { lines &+= 1 }
                default: break
                }
            } else if byte >= 0xC0 {
                switch byte {
                // Within a word of Latin letters: the word goes on.
                case 0xC3...0xC6: latinMarked &+= 1
                case 0xC0..<0xE0:
                    twoByte &+= 1
                    previous = 9
                case 0xE1: if previous == Class.letter { latinMarked &+= 1 } else { otherThree &+= 1 }
                case 0xE4...0xE9:
                    dense &+= 1
                    previous = 9
                case 0xE3:
                    kana &+= 1
                    previous = 9
                case 0xEA...0xED:
                    hangul &+= 1
                    previous = 9
                case 0xF0...0xFF:
                    wide &+= 1
                    previous = 9
                default:
                    otherThree &+= 1
                    previous = 9
                }
            }
        }
        self.previous = previous
    }

    @inline(__always) public mutating func textEnd() { previous = 0 }
    @inline(__always) public mutating func messageEnd() { messages &+= 1 }
    @inline(__always) public mutating func structure(bytes: Int) { structures &+= bytes }
    @inline(__always) public mutating func token() { tokens &+= 1 }
    @inline(__always) public mutating func image() { images &+= 1 }

    @inline(__always) public mutating func bare() { isBare = true }
    @inline(__always) public mutating func toolPrompt() { tools &+= 1 }

    public var value: Int {
        // A word is a token up to about six letters, and one more for each five beyond, on the average of English prose 1.25.
        let plain = Double(words) * 0.92 + max(0, Double(letters) - 4.6 * Double(words)) * 0.11
        let numbers = max(Double(digitRuns), Double(digits) / 2.6)
        let other = Double(marks) * 0.95 + Double(lines) * 0.8 + Double(latinMarked) * 0.7 + Double(twoByte) * 0.36 + Double(dense) * 0.85 + Double(kana) * 0.75 + Double(hangul) * 0.72
            + Double(wide) * 2 + Double(otherThree) * 0.6
        var text = plain + numbers + other
        if counted > 0 { text *= 1 + Double(uncounted) / Double(counted) }
        let frames = isBare ? Double(messages) : Double(messages) * Self.perMessage + Self.perPrompt
        let toolFrames = tools > 0 ? Self.toolPrompt + Double(tools) * Self.perTool : 0
        let all = text + Double(max(0, structures - Self.structureFree)) * 0.3 + toolFrames + Double(tokens) + Double(images) * Self.perImage + frames
        return all < 1e15 ? Int(all.rounded()) : Int(1e15)
    }
}
