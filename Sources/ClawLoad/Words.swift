// The vocabulary of the mock model: a ring of tokens, each with its leading blank as a language model writes them, drawn once from
// a fixed seed. An answer is a run of that ring; where it begins follows from the request's seed. So a text is named by
// (seed, tokens), costs one or two copies to write, and every process writes the same.

/// SplitMix64 (Steele, Lea, Flood 2014): one step from a state to a well mixed word.
@inline(__always)
func splitMix(_ state: UInt64) -> UInt64 {
    var z = state &+ 0x9e37_79b9_7f4a_7c15
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
}

/// A number in 0 ..< 1 that belongs to a seed and a place.
@inline(__always)
func unitInterval(seed: UInt64, place: UInt64) -> Double {
    Double(splitMix(splitMix(seed) ^ place) >> 11) * 0x1p-53
}

/// Which run of the ring an answer is.
struct AnswerText {
    /// Index of the first token in the ring.
    var start = 0
    var tokens = 0
    /// Exact length asked for, 0 when the tokens decide.
    var bytesExact = 0
}

final class Vocabulary {
    static let size = 4096
    private let text: UnsafeMutablePointer<UInt8>
    private let offsets: UnsafeMutablePointer<Int32>
    let ringBytes: Int

    init() {
        // Some words outside ASCII, so that cuts fall into characters.
        let words = [
            "the", "a", "of", "and", "to", "in", "is", "it", "that", "was", "for", "on", "are", "with", "as", "at", "be", "this", "have", "from",
            "gateway", "model", "token", "stream", "request", "answer", "upstream", "latency", "buffer", "socket", "worker", "route", "budget",
            "lantern", "harbour", "river", "mountain", "copper", "window", "garden", "winter", "thunder", "paper", "engine", "signal", "morning",
            "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "café", "naïve", "über", "日本", "smörgåsbord", "→", "because", "however",
            "therefore", "measured", "carefully", "again", "between", "without", "nothing", "everything",
        ]
        var bytes: [UInt8] = []
        var marks: [Int32] = [0]
        for place in 0 ..< UInt64(Self.size) {
            let draw = splitMix(0x6f70_656e_636c_6177 &+ place)
            if draw & 31 == 0 {
                bytes.append(contentsOf: [draw & 32 == 0 ? 0x2e : 0x2c])
            } else {
                bytes.append(0x20)
                bytes.append(contentsOf: words[Int((draw >> 8) % UInt64(words.count))].utf8)
            }
            marks.append(Int32(bytes.count))
        }
        text = .allocate(capacity: bytes.count)
        text.initialize(from: bytes, count: bytes.count)
        offsets = .allocate(capacity: marks.count)
        offsets.initialize(from: marks, count: marks.count)
        ringBytes = bytes.count
    }

    deinit {
        text.deallocate()
        offsets.deallocate()
    }

    /// The answer that belongs to a seed: that many tokens, or as many as cover `bytesExact` bytes.
    func answer(seed: UInt64, tokens: Int, bytesExact: Int) -> AnswerText {
        let start = Int(splitMix(seed) % UInt64(Self.size))
        guard bytesExact > 0 else { return AnswerText(start: start, tokens: tokens, bytesExact: 0) }
        // The leading blank of the first token is not written.
        let first = text[Int(offsets[start])] == 0x20 ? 1 : 0
        let wanted = bytesExact + first
        let rounds = (wanted - 1) / ringBytes
        let rest = wanted - rounds * ringBytes
        // Smallest n ≥ 1 whose run of n tokens from start has at least `rest` bytes.
        var low = 1, high = Self.size
        while low < high {
            let middle = (low + high) / 2
            if runBytes(from: start, middle) >= rest { high = middle } else { low = middle + 1 }
        }
        return AnswerText(start: start, tokens: rounds * Self.size + low, bytesExact: bytesExact)
    }

    private func runBytes(from start: Int, _ tokens: Int) -> Int {
        let end = start + tokens
        if end <= Self.size { return Int(offsets[end] - offsets[start]) }
        return ringBytes - Int(offsets[start]) + Int(offsets[end - Self.size])
    }

    /// Bytes of the first n tokens of an answer without its exact length applied.
    private func lengthBefore(_ token: Int, of answer: AnswerText) -> Int {
        guard token > 0 else { return 0 }
        let rounds = token / Self.size, rest = token % Self.size
        let first = text[Int(offsets[answer.start])] == 0x20 ? 1 : 0
        return rounds * ringBytes + (rest > 0 ? runBytes(from: answer.start, rest) : 0) - first
    }

    /// Writes one token; returns nothing: its length is what `out` grew by.
    func write(token: Int, of answer: AnswerText, into out: inout OutputBytes) {
        let place = (answer.start + token) % Self.size
        var from = Int(offsets[place])
        var length = Int(offsets[place + 1]) - from
        if token == 0 && text[from] == 0x20 {
            from += 1
            length -= 1
        }
        if answer.bytesExact > 0 && token == answer.tokens - 1 {
            writeCut(from, length, exactly: answer.bytesExact - lengthBefore(token, of: answer), into: &out)
        } else {
            out.append(text + from, length)
        }
    }

    /// Writes the whole answer.
    func write(_ answer: AnswerText, into out: inout OutputBytes) {
        guard answer.tokens > 0 else { return }
        write(token: 0, of: answer, into: &out)
        var token = 1
        while token < answer.tokens - 1 {
            let place = (answer.start + token) % Self.size
            let run = min(answer.tokens - 1 - token, Self.size - place)
            out.append(text + Int(offsets[place]), Int(offsets[place + run] - offsets[place]))
            token += run
        }
        if answer.tokens > 1 { write(token: answer.tokens - 1, of: answer, into: &out) }
    }

    /// The beginning of a token in exactly that many bytes: no character is cut, dots fill up.
    private func writeCut(_ from: Int, _ length: Int, exactly: Int, into out: inout OutputBytes) {
        var taken = min(length, exactly)
        while taken > 0 && taken < length && text[from + taken] & 0xc0 == 0x80 { taken -= 1 }
        out.append(text + from, taken)
        out.append(repeating: 0x2e, exactly - taken)
    }
}
