// StreamWords: the little a benchmark understands of a stream's events: whether one carries text of the model (a token), is an error, or is
// the last of a dialect without [DONE]. Text is looked for as `"content":"`, `"delta":"` or `"text":"` with something behind it, which fits
// OpenAI's chat, completions and responses, and Anthropic's messages.

enum StreamWords {
    static func begins(_ data: UnsafeRawBufferPointer, _ literal: StaticString) -> Bool {
        matches(data, 0, literal)
    }

    private static func matches(_ data: UnsafeRawBufferPointer, _ offset: Int, _ literal: StaticString) -> Bool {
        let length = literal.utf8CodeUnitCount
        guard offset >= 0, data.count >= offset + length else { return false }
        for place in 0 ..< length where data[offset + place] != literal.utf8Start[place] { return false }
        return true
    }

    static func isLast(_ data: UnsafeRawBufferPointer) -> Bool {
        begins(data, "{\"type\":\"response.completed\"") || begins(data, "{\"type\":\"response.incomplete\"")
            || begins(data, "{\"type\":\"message_stop\"")
    }

    /// `hint` is where it was found last; events of one stream have it at the same place.
    static func holdsToken(_ data: UnsafeRawBufferPointer, hint: inout Int) -> Bool {
        if hint > 0 {
            let length = tokenKey(data, hint)
            if length > 0 { return hint + length < data.count && data[hint + length] != 0x22 }
        }
        var at = 0
        while at + 8 < data.count {
            if data[at] == 0x22 {
                let length = tokenKey(data, at)
                if length > 0 && at + length < data.count && data[at + length] != 0x22 {
                    hint = at
                    return true
                }
            }
            at += 1
        }
        return false
    }

    private static func tokenKey(_ data: UnsafeRawBufferPointer, _ at: Int) -> Int {
        if matches(data, at, "\"content\":\"") { return 11 }
        if matches(data, at, "\"delta\":\"") { return 9 }
        if matches(data, at, "\"text\":\"") {
            // Not in the events that repeat the whole text.
            return begins(data, "{\"type\":\"response.") ? 0 : 8
        }
        return 0
    }
}
