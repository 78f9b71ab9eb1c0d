// Whether two model names are of one family, which is what `allow_downgrade: same_family` asks. A family is the first word of the name that is not a
// vendor, a region or a manner of speaking ("open", "meta"), together with what the model is for where that is not text (embeddings, images, audio,
// moderation, open weights of a closed family): `openai/gpt-4o-2024-11-20` and `gpt-4o-mini` are "gpt", `us.anthropic.claude-haiku-4-5-20251001-v1:0` and
// `claude-sonnet-4-5` are "claude", `o3` and `o4-mini` are "o". Sizes, versions, dates and grades never count. Works on bytes, allocates nothing.

public enum ModelFamily {
    public static func isSame(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        if one.count == other.count, one.indices.allSatisfy({ lower(one[$0]) == lower(other[$0]) }) { return true }
        let (head, purpose) = parts(of: one)
        let (otherHead, otherPurpose) = parts(of: other)
        guard !head.isEmpty, head.count == otherHead.count, purpose == otherPurpose else { return false }
        for step in 0..<head.count where lower(one[head.lowerBound + step]) != lower(other[otherHead.lowerBound + step]) { return false }
        return true
    }

    /// Names longer than this are read only so far.
    static let nameBytesMax = 256

    /// Where the family's word lies, and a bit for each purpose but text.
    private static func parts(of name: UnsafeRawBufferPointer) -> (head: Range<Int>, purpose: UInt8) {
        let end = min(name.count, nameBytesMax)
        var at = 0
        // Vendors and folders: `openai/`, `models/`, `accounts/fireworks/models/`.
        for place in 0..<end where name[place] == 0x2F { at = place + 1 }
        // Fine-tuned: `ft:gpt-4o:team::id`; an own name behind it may say anything, so it is cut off.
        if end - at > 3, lower(name[at]) == 0x66, lower(name[at + 1]) == 0x74, name[at + 2] == 0x3A { at += 3 }
        // Bedrock: `us.anthropic.claude`; but not `deepseek.r1`, where the version is all that follows.
        while let dot = vendorEnd(name, at, end) { at = dot + 1 }
        var head = 0..<0
        var purpose: UInt8 = 0
        while at < end, name[at] != 0x3A {
            guard isLetter(name[at]) else {
                at += 1
                continue
            }
            let start = at
            while at < end, isLetter(name[at]) { at += 1 }
            let word = start..<at
            let mark = purposeBit(name, word)
            purpose |= mark
            if head.isEmpty, !isNoise(name, word) {
                // `chatgpt-4o-latest` is a gpt.
                head = begins(name, word, "chatgpt") && word.count == 7 ? word.lowerBound + 4..<word.upperBound : word
            }
        }
        return (head, purpose)
    }

    /// The dot behind a word of letters, where another word of at least two letters follows it.
    private static func vendorEnd(_ name: UnsafeRawBufferPointer, _ start: Int, _ end: Int) -> Int? {
        var at = start
        while at < end, isLetter(name[at]) { at += 1 }
        guard at > start, at + 2 < end, name[at] == 0x2E, isLetter(name[at + 1]), isLetter(name[at + 2]) else { return nil }
        return at
    }

    private static func purposeBit(_ name: UnsafeRawBufferPointer, _ word: Range<Int>) -> UInt8 {
        if begins(name, word, "embed") { return 1 }
        if begins(name, word, "image") || begins(name, word, "dalle") || begins(name, word, "imagen") { return 2 }
        if begins(name, word, "audio") || begins(name, word, "tts") || begins(name, word, "realtime") || begins(name, word, "transcribe") { return 4 }
        if begins(name, word, "moderation") || begins(name, word, "guard") || begins(name, word, "safeguard") { return 8 }
        if begins(name, word, "rerank") { return 16 }
        if begins(name, word, "oss") { return 32 }
        return 0
    }

    private static func isNoise(_ name: UnsafeRawBufferPointer, _ word: Range<Int>) -> Bool {
        // `c4ai-aya` is read as "c" and "ai".
        isWord(name, word, "open") || isWord(name, word, "meta") || isWord(name, word, "labs") || isWord(name, word, "c") || isWord(name, word, "ai")
    }

    private static func isWord(_ name: UnsafeRawBufferPointer, _ word: Range<Int>, _ text: StaticString) -> Bool {
        word.count == text.utf8CodeUnitCount && begins(name, word, text)
    }
    private static func begins(_ name: UnsafeRawBufferPointer, _ word: Range<Int>, _ text: StaticString) -> Bool {
        guard word.count >= text.utf8CodeUnitCount else { return false }
        for at in 0..<text.utf8CodeUnitCount where lower(name[word.lowerBound + at]) != text.utf8Start[at] { return false }
        return true
    }

    @inline(__always) private static func lower(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte }
    @inline(__always) private static func isLetter(_ byte: UInt8) -> Bool { byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A }
}
