// One piece of a message: the unit of the neutral model. It is flat and owns nothing; every text in it lies in the request or answer it was read from, or
// in that one's arena. Text is escaped as JSON strings are (see JSONBytes), so it goes from one dialect's text to the other's without being touched.
import ClawWire

public enum Role: UInt8, Sendable { case system, developer, user, assistant, tool }

/// How long a provider is asked to keep the prompt up to here.
public enum CacheMark: UInt8, Sendable { case none, fiveMinutes, oneHour }

public struct Part: Sendable {
    public enum Kind: UInt8, Sendable {
        /// `text`.
        case text
        /// `text`: the model declines.
        case refusal
        /// `data` by `source`, `mediaType`; `detail` for images, `name` for documents.
        case image, audio, video, document
        /// `id`, `name`, arguments (`json` or `text`, see `Conversation.argumentsObject`), `signature`.
        case toolCall
        /// `id` of the call, `name` of the tool where known, `children` in `inner`, `isError`.
        case toolResult
        /// `text`, `signature`.
        case thinking
        /// `data`: what the provider alone can read.
        case redactedThinking
        /// `json`: a whole value that only the dialect it came from understands.
        case opaque
    }
    /// What `data` holds.
    public enum Source: UInt8, Sendable { case none, base64, url, fileID, text }

    public var kind: Kind
    public var source = Source.none
    public var cache = CacheMark.none
    public var isError = false
    /// A call of a tool that takes free text (OpenAI's `custom`): `text` is its input.
    public var isCustom = false
    /// How its own dialect wrote it (a bare string instead of a list of one, the first piece of an item): bits of that dialect's, without meaning to others.
    public var form: UInt8 = 0
    public var text = JSONBytes()
    public var data = JSONBytes()
    /// "image/png", escaped like any text.
    public var mediaType = JSONBytes()
    public var name = JSONBytes()
    public var id = JSONBytes()
    /// The provider's id of the item itself, where that is another than the call's (Responses API).
    public var itemID = JSONBytes()
    /// A raw JSON value: a call's arguments (an object), or the whole of an opaque part.
    public var json = JSONBytes()
    /// Opaque proof of the provider that made it; good for that provider alone, which `signatureOf` names.
    public var signature = JSONBytes()
    public var signatureOf: DialectID?
    public var detail = JSONBytes()
    /// A raw JSON array in the words of the dialect it came from.
    public var citations = JSONBytes()
    /// Pieces of a tool's result: a range of `inner`.
    public var children: Range<Int> = 0..<0

    public init(_ kind: Kind) { self.kind = kind }
    public static func text(_ text: JSONBytes) -> Part {
        var part = Part(.text)
        part.text = text
        return part
    }
}

/// A member of an object that the neutral model has no word for. It goes back where it was when the same dialect is written, and is otherwise
/// refused or dropped by name.
public struct Extra: Sendable {
    public enum Scope: UInt8, Sendable { case root, message, part, inner, tool, choice, usage, event, delta, nested }
    public var scope: Scope
    /// Which message, part, tool or choice.
    public var index: Int
    public var key: JSONBytes
    public var value: JSONBytes
    /// Tells other dialects nothing (an item's status, a default written out): they leave it out without a word.
    public var isQuiet = false
    public init(_ scope: Scope, _ index: Int, key: JSONBytes, value: JSONBytes, isQuiet: Bool = false) {
        self.scope = scope; self.index = index; self.key = key; self.value = value; self.isQuiet = isQuiet
    }
}
