// What a named server does otherwise than its dialect says: data, not code. A quirk is a fact that a reader or writer asks for; a set of them has the
// provider's name and is chosen by the upstream's type or by `upstreams.*.quirks`.
import ClawWire

/// Who serves Claude: other hosts name the model in their URL and want a version in the body instead.
public enum ClaudeHost: UInt8, Sendable { case anthropic, bedrock, vertex }

public struct Quirks: Sendable, Equatable {
    /// `max_tokens` instead of `max_completion_tokens`.
    public var usesMaxTokens = false
    /// `random_seed` instead of `seed` (Mistral).
    public var usesRandomSeed = false
    /// Calls' ids must be nine letters or digits (Mistral).
    public var callIDsOfNine = false
    /// The name of the required tool choice: `any` instead of `required` (Mistral takes both).
    public var saysAny = false
    /// `stream_options` is refused (Mistral); usage comes anyway.
    public var hasNoStreamOptions = false
    /// The system role is all there is for instructions: `developer` is unknown.
    public var hasNoDeveloperRole = false
    /// Text of the model's thinking is in `reasoning`, not `reasoning_content`.
    public var reasoningInReasoning = false
    /// completion_tokens leaves out the reasoning tokens (xAI).
    public var completionExcludesReasoning = false
    /// json_schema is unknown: json_object and the schema in the instructions.
    public var hasNoSchemas = false
    /// Fields that the server refuses or ignores: those of `Field` in a bit set.
    public var unsupported: UInt64 = 0
    /// reasoning_content of earlier turns must be sent back with tool calls (DeepSeek).
    public var wantsReasoningBack = false
    /// Thoughts of earlier turns are parts of `content`, `{"type":"thinking","thinking":[…]}` (Mistral).
    public var thinkingInContent = false
    /// `reasoning_details` of earlier turns are taken back as they were (OpenRouter).
    public var takesReasoningDetails = false
    /// `reasoning: {effort, max_tokens, exclude}` instead of `reasoning_effort` (OpenRouter).
    public var takesReasoningObject = false
    /// `thinking: {type: enabled|disabled}` switches thinking (DeepSeek, Z.ai).
    public var takesThinkingSwitch = false
    /// Of the efforts only low, medium and high are known.
    public var hasThreeEfforts = false
    /// `cache_control` on parts and tools is understood (OpenRouter).
    public var takesCacheMarks = false
    /// `top_k` and `min_p` are understood; OpenAI itself refuses them.
    public var takesSamplers = false
    /// An assistant's message at the end with `prefix: true` is continued (Mistral).
    public var takesPrefix = false
    /// It is continued where `continue_final_message` says so (vLLM).
    public var asksToContinue = false
    /// Text parts of a message are best sent as one string (Ollama makes a message of each).
    public var joinsTexts = false
    /// Images must be data URLs (Ollama).
    public var hasNoImageURLs = false
    /// Unknown members of a request are refused, so hints that only OpenAI has are left out.
    public var hasNoHints = false
    /// Embeddings: `output_dimension` for `dimensions`, and floats only (Mistral).
    public var embedsFloatsOnly = false
    /// /responses is unknown there.
    public var hasNoResponses = false
    public var claudeHost = ClaudeHost.anthropic

    public init() {}
    public func supports(_ field: Field) -> Bool { unsupported & (1 << UInt64(field.rawValue)) == 0 }
    public mutating func lacks(_ fields: Field...) { for field in fields { unsupported |= 1 << UInt64(field.rawValue) } }
}
