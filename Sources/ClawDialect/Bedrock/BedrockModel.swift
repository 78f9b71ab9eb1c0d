// What a model's id at Bedrock tells of its maker. The same request is one dialect for all of them, but options beyond the common ones go by the maker's
// own names. An inference profile's id has a region in front (`us.`, `global.`), an ARN hides the model or ends in its id: so the maker is looked for
// anywhere in the id, and what is not known is not guessed.
import ClawWire

struct BedrockModel {
    enum Maker { case claude, nova, titan, llama, mistral, cohere, ai21, gptOSS, unknown }
    let maker: Maker
    /// Claude: 100 × major + minor, 0 where the id has none. Nova: 100 or 200.
    let version: Int

    init(_ id: JSONBytes) {
        if let at = Self.place(of: "claude", in: id) {
            maker = .claude
            version = Self.claudeVersion(id.dropFirst(at + 6))
        } else if id.contains("amazon.nova") {
            maker = .nova
            version = id.contains("amazon.nova-2") ? 200 : 100
        } else {
            maker = id.contains("amazon.titan") ? .titan : id.contains("meta.llama") ? .llama : id.contains("mistral.") ? .mistral
                : id.contains("cohere.") ? .cohere : id.contains("ai21.") ? .ai21 : id.contains("openai.gpt-oss") ? .gptOSS : .unknown
            version = 0
        }
    }

    /// Answers in a JSON schema (`outputConfig.textFormat`): Claude from 4.5 and most open models.
    var hasSchemas: Bool {
        switch maker {
        case .claude: version >= 405
        case .nova, .titan, .llama, .cohere, .ai21: false
        case .mistral, .gptOSS, .unknown: true
        }
    }
    /// Takes cachePoint blocks.
    var hasCache: Bool { maker == .claude ? version >= 305 : maker == .nova }
    /// Keeps a prompt for an hour too.
    var hasHourCache: Bool { maker == .claude && version >= 405 }
    /// Claude thinks from 3.7 on: by a budget; from 4.6 on as much as it likes; from 4.7 on not by a budget any more.
    var thinksByBudget: Bool { maker == .claude && version >= 307 && version < 407 }
    var thinksAdaptively: Bool { maker == .claude && version >= 406 }

    private static func place(of word: StaticString, in id: JSONBytes) -> Int? {
        let length = word.utf8CodeUnitCount
        guard id.count >= length else { return nil }
        for at in 0...id.count - length where id.dropFirst(at).begins(with: word) { return at }
        return nil
    }

    /// Of `-3-7-sonnet-20250219-v1:0`, `-opus-4-6`, `-sonnet-4-20250514`: the first group of one or two digits between hyphens, and the one behind it.
    private static func claudeVersion(_ rest: JSONBytes) -> Int {
        var major = 0
        var at = 0
        while at < rest.count {
            var end = at
            var value = 0
            var isNumber = true
            while end < rest.count, rest[end] != 0x2D {
                let digit = Int(rest[end]) - 48
                if digit < 0 || digit > 9 || end - at >= 2 { isNumber = false }
                if isNumber { value = value * 10 + digit }
                end += 1
            }
            if end == at { isNumber = false }
            if major > 0 { return major * 100 + (isNumber ? value : 0) }
            if isNumber { major = value }
            at = end + 1
        }
        return major * 100
    }
}

/// Media types and Converse's words for them.
enum BedrockFormat {
    typealias Pair = (type: StaticString, word: StaticString)
    static let images: [Pair] = [("image/png", "png"), ("image/jpeg", "jpeg"), ("image/jpg", "jpeg"), ("image/gif", "gif"), ("image/webp", "webp")]
    static let documents: [Pair] = [
        ("application/pdf", "pdf"), ("text/csv", "csv"), ("application/msword", "doc"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"), ("application/vnd.ms-excel", "xls"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"), ("text/html", "html"), ("text/plain", "txt"),
        ("text/markdown", "md"), ("text/x-markdown", "md"),
    ]
    static let videos: [Pair] = [
        ("video/mp4", "mp4"), ("video/quicktime", "mov"), ("video/x-matroska", "mkv"), ("video/webm", "webm"), ("video/x-flv", "flv"),
        ("video/mpeg", "mpeg"), ("video/mpg", "mpg"), ("video/x-ms-wmv", "wmv"), ("video/3gpp", "three_gp"),
    ]
    static let audios: [Pair] = [
        ("audio/wav", "wav"), ("audio/x-wav", "wav"), ("audio/mpeg", "mp3"), ("audio/mp3", "mp3"), ("audio/flac", "flac"), ("audio/aac", "aac"),
        ("audio/ogg", "ogg"), ("audio/opus", "opus"), ("audio/mp4", "mp4"), ("audio/webm", "webm"), ("audio/x-m4a", "m4a"),
    ]

    static func pairs(of kind: Part.Kind) -> [Pair] {
        switch kind {
        case .image: images
        case .document: documents
        case .video: videos
        case .audio: audios
        default: []
        }
    }

    /// Converse's word for a media type (`image/PNG; q=1` too).
    static func word(of mediaType: JSONBytes, _ kind: Part.Kind) -> StaticString? {
        let end = mediaType.firstIndex(of: 0x3B) ?? mediaType.count
        let bare = mediaType.prefix(end)
        for pair in pairs(of: kind) where isSame(bare, pair.type) { return pair.word }
        return nil
    }

    /// The word that a file's name ends in.
    static func word(ofFile name: JSONBytes, _ kind: Part.Kind) -> StaticString? {
        guard let dot = name.raw.lastIndex(of: 0x2E) else { return nil }
        for pair in pairs(of: kind) where isSame(name.dropFirst(dot + 1), pair.word) { return pair.word }
        return nil
    }

    static func mediaType(of word: JSONBytes, _ kind: Part.Kind) -> StaticString? {
        for pair in pairs(of: kind) where word.equals(pair.word) { return pair.type }
        return nil
    }

    /// ASCII letters' case aside.
    static func isSame(_ text: JSONBytes, _ word: StaticString) -> Bool {
        guard text.count == word.utf8CodeUnitCount else { return false }
        for at in 0..<text.count {
            let a = text[at]
            let b = word.utf8Start[at]
            if ((65...90).contains(a) ? a | 32 : a) != ((65...90).contains(b) ? b | 32 : b) { return false }
        }
        return true
    }
}
