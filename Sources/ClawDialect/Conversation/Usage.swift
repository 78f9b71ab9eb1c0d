// What a request used, in classes that do not overlap, whatever the provider's own sums: OpenAI's prompt_tokens includes what came from the cache,
// Anthropic's input_tokens does not; Gemini's candidates exclude thoughts, OpenAI's completion includes them. Readers take the sums apart, writers
// put them together; prices are per class.

public struct Usage: Sendable, Equatable {
    /// True once the provider stated any count of this side.
    public var hasInput = false
    public var hasOutput = false
    /// Text (and image) tokens read afresh.
    public var freshInput: Int64 = 0
    public var cacheRead: Int64 = 0
    /// Written into the provider's cache, kept for 5 minutes or an unnamed time, and for an hour.
    public var cacheWrite: Int64 = 0
    public var cacheWriteHour: Int64 = 0
    public var audioInput: Int64 = 0
    public var textOutput: Int64 = 0
    public var reasoning: Int64 = 0
    public var audioOutput: Int64 = 0
    /// The provider's own total where it is more than the sum of what it names (hidden tokens); 0: none stated.
    public var statedTotal: Int64 = 0
    /// The provider said something of cached and of reasoning tokens, if only 0; a provider that does not count them says nothing.
    public var saysCached = false
    public var saysReasoning = false
    /// Not the provider's word but the gateway's guess.
    public var isEstimated = false

    public init() {}
    public var isKnown: Bool { hasInput || hasOutput }
    public var input: Int64 { freshInput + cacheRead + cacheWrite + cacheWriteHour + audioInput }
    public var output: Int64 { textOutput + reasoning + audioOutput }
    public var total: Int64 { max(statedTotal, input + output) }

    /// Sets the input side from a sum that includes all classes (OpenAI, Gemini). Cached tokens may exceed the sum (seen on Azure): never below zero.
    public mutating func setInput(sum: Int64, cacheRead: Int64 = 0, cacheWrite: Int64 = 0, audio: Int64 = 0) {
        hasInput = true
        self.cacheRead = max(0, cacheRead)
        self.cacheWrite = max(0, cacheWrite)
        audioInput = max(0, audio)
        freshInput = max(0, sum - self.cacheRead - self.cacheWrite - audioInput)
    }

    /// Sets the output side from a sum that includes reasoning and audio.
    public mutating func setOutput(sum: Int64, reasoning: Int64 = 0, audio: Int64 = 0) {
        hasOutput = true
        self.reasoning = max(0, reasoning)
        audioOutput = max(0, audio)
        textOutput = max(0, sum - self.reasoning - audioOutput)
    }

    /// A later statement about the same answer: what it says replaces, what it leaves out stays. Counts are never added up.
    public mutating func take(_ later: Usage) {
        if later.hasInput {
            hasInput = true
            freshInput = later.freshInput
            cacheRead = later.cacheRead
            cacheWrite = later.cacheWrite
            cacheWriteHour = later.cacheWriteHour
            audioInput = later.audioInput
            saysCached = later.saysCached
        }
        if later.hasOutput {
            hasOutput = true
            textOutput = later.textOutput
            reasoning = later.reasoning
            audioOutput = later.audioOutput
            saysReasoning = later.saysReasoning
        }
        if later.statedTotal > 0 { statedTotal = later.statedTotal }
        isEstimated = later.isEstimated
    }
}
