// Who listens to a walk through a request's body. Everything comes in the order of the body.

public protocol PromptSink {
    /// A piece of text, UTF-8 with its JSON escapes undone (what was not UTF-8 in the body comes as it is). One string may come in many pieces.
    mutating func text(_ bytes: UnsafeRawBufferPointer, isSystem: Bool)
    /// The string that the last pieces belong to is over.
    mutating func textEnd(isSystem: Bool)
    /// A message is over: all text since the last one that was no system text was its own. Text without a message (`prompt`, `input`) ends as one of the user's.
    mutating func messageEnd(isUser: Bool)
    /// So many bytes of names and values of tools and of calls to them.
    mutating func structure(bytes: Int)
    /// A number where a text could be: a token.
    mutating func token()
    mutating func image()
    /// The body is of a kind whose messages have no frame of tokens (completions, embeddings, Gemini's).
    mutating func bare()
    /// A tool is described as Anthropic's are, in front of which the provider puts instructions of its own.
    mutating func toolPrompt()
}
