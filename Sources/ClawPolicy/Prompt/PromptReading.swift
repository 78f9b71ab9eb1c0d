// Everything that routes and choices ask of a prompt, found in one walk through the body. A value that the caller makes for each request and keeps on the
// stack or in its own memory; it owns nothing.

public struct PromptReading: PromptSink {
    /// What is looked for; the rest costs nothing.
    public struct Wanted: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let keywords = Wanted(rawValue: 1), language = Wanted(rawValue: 2), tokens = Wanted(rawValue: 4), prefix = Wanted(rawValue: 8)
    }

    public let wanted: Wanted
    public private(set) var language = LanguageGuess()
    public private(set) var tokens = TokenEstimate()
    public private(set) var prefix = PrefixHash()
    private var keywords = KeywordMatcher.Reading()
    private unowned(unsafe) let matcher: KeywordMatcher?
    private let found: UnsafeMutablePointer<UInt64>?

    /// `found`: `matcher.foundWords` zeroed words, which outlive this, as the matcher does.
    public init(_ wanted: Wanted, matcher: KeywordMatcher? = nil, found: UnsafeMutablePointer<UInt64>? = nil) {
        self.wanted = matcher == nil || found == nil ? wanted.subtracting(.keywords) : wanted
        self.matcher = matcher
        self.found = found
    }

    /// Walks the body. What was found holds afterwards, up to where the body was right; returns whether that was its end.
    @discardableResult
    public mutating func read(_ body: UnsafeRawBufferPointer) -> Bool { PromptScanner.scan(body, into: &self) }

    public mutating func text(_ bytes: UnsafeRawBufferPointer, isSystem: Bool) {
        if wanted.contains(.keywords), let matcher, let found { keywords.read(bytes, matcher, found: found) }
        if wanted.contains(.language) { language.text(bytes, isSystem: isSystem) }
        if wanted.contains(.tokens) { tokens.text(bytes) }
        if wanted.contains(.prefix) { prefix.text(bytes, isSystem: isSystem) }
    }
    public mutating func textEnd(isSystem: Bool) {
        keywords.reset()
        if wanted.contains(.language) { language.textEnd(isSystem: isSystem) }
        tokens.textEnd()
        if wanted.contains(.prefix) { prefix.textEnd(isSystem: isSystem) }
    }
    public mutating func messageEnd(isUser: Bool) {
        if wanted.contains(.language) { language.messageEnd(isUser: isUser) }
        tokens.messageEnd()
        if wanted.contains(.prefix) { prefix.messageEnd(isUser: isUser) }
    }
    public mutating func structure(bytes: Int) { tokens.structure(bytes: bytes) }
    public mutating func token() { tokens.token() }
    public mutating func image() { tokens.image() }
    public mutating func bare() { tokens.bare() }
    public mutating func toolPrompt() { tokens.toolPrompt() }
}
