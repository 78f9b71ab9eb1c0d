// The quirks of servers that speak OpenAI's dialect, by name (`upstreams.*.quirks`, or the upstream's type). What a server says or
// answers is from its documentation and recorded answers; what it lacks is in part general knowledge (DeepSeek, Together, Perplexity, Cerebras, Z.ai, xAI,
// Hugging Face). A server that is not here gets none, which is OpenAI itself.
import ClawWire

extension Quirks {
    public static let names = [
        "vllm", "llama_cpp", "deepseek", "groq", "xai", "openrouter", "together", "perplexity", "cerebras", "zai", "mistral", "azure", "ollama", "huggingface",
    ]

    /// The quirks of the server with this name; nil for a name not in `names`.
    public static func named(_ name: String) -> Quirks? {
        var quirks = Quirks()
        switch name {
        case "vllm":
            // protocol.py takes max_completion_tokens only since 0.6.
            quirks.usesMaxTokens = true
            quirks.hasNoDeveloperRole = true
            quirks.reasoningInReasoning = true
            quirks.takesSamplers = true
            quirks.asksToContinue = true
            quirks.lacks(.customTools, .modalities, .audio, .prediction, .verbosity)
        case "llama_cpp":
            quirks.usesMaxTokens = true
            quirks.hasNoDeveloperRole = true
            quirks.takesSamplers = true
            quirks.lacks(.customTools, .modalities, .audio, .prediction, .verbosity)
        case "deepseek":
            quirks.hasNoResponses = true
            quirks.usesMaxTokens = true
            quirks.hasNoDeveloperRole = true
            quirks.wantsReasoningBack = true
            quirks.takesThinkingSwitch = true
            quirks.hasNoSchemas = true
            quirks.lacks(.n, .seed, .logitBias, .customTools, .image, .inputAudio, .document, .modalities, .audio, .prediction, .verbosity, .parallelToolCalls)
            quirks.lacks(.cacheControl)
        case "groq":
            quirks.hasNoResponses = true
            quirks.reasoningInReasoning = true
            quirks.hasThreeEfforts = true
            quirks.hasNoDeveloperRole = true
            quirks.hasNoHints = true
            quirks.lacks(.logprobs, .topLogprobs, .logitBias, .presencePenalty, .frequencyPenalty, .n, .name, .metadata, .store)
            quirks.lacks(.customTools, .inputAudio, .modalities, .audio, .prediction, .verbosity, .promptCacheKey, .cacheControl)
        case "xai":
            quirks.completionExcludesReasoning = true
            quirks.hasNoDeveloperRole = true
            quirks.lacks(.logitBias, .customTools, .inputAudio, .modalities, .audio, .prediction, .verbosity, .metadata, .store, .cacheControl)
        case "openrouter":
            quirks.reasoningInReasoning = true
            quirks.takesReasoningDetails = true
            quirks.takesReasoningObject = true
            quirks.takesCacheMarks = true
            quirks.takesSamplers = true
            quirks.lacks(.customTools, .n)
        case "together":
            quirks.hasNoResponses = true
            quirks.usesMaxTokens = true
            quirks.hasNoDeveloperRole = true
            quirks.takesSamplers = true
            quirks.lacks(.customTools, .inputAudio, .modalities, .audio, .prediction, .verbosity, .metadata, .store, .serviceTier, .promptCacheKey, .cacheControl)
        case "perplexity":
            quirks.hasNoResponses = true
            quirks.usesMaxTokens = true
            quirks.hasNoStreamOptions = true
            quirks.hasNoDeveloperRole = true
            quirks.hasNoHints = true
            quirks.lacks(.tools, .toolChoice, .parallelToolCalls, .n, .seed, .logprobs, .topLogprobs, .logitBias, .stop, .inputAudio, .modalities, .audio)
            quirks.lacks(.prediction, .verbosity, .metadata, .store, .serviceTier, .promptCacheKey, .user, .cacheControl)
        case "cerebras":
            quirks.hasNoResponses = true
            quirks.reasoningInReasoning = true
            quirks.hasThreeEfforts = true
            quirks.hasNoDeveloperRole = true
            quirks.hasNoHints = true
            quirks.lacks(.n, .logitBias, .presencePenalty, .frequencyPenalty, .image, .inputAudio, .document, .customTools, .modalities, .audio, .verbosity)
            quirks.lacks(.metadata, .store, .promptCacheKey, .cacheControl)
        case "zai":
            quirks.hasNoResponses = true
            quirks.usesMaxTokens = true
            quirks.hasNoDeveloperRole = true
            quirks.takesThinkingSwitch = true
            quirks.hasNoSchemas = true
            quirks.lacks(.n, .seed, .logprobs, .topLogprobs, .logitBias, .presencePenalty, .frequencyPenalty, .parallelToolCalls, .customTools, .reasoning)
            quirks.lacks(.inputAudio, .modalities, .audio, .prediction, .verbosity, .metadata, .store, .serviceTier, .promptCacheKey, .cacheControl)
        case "mistral":
            quirks.hasNoResponses = true
            quirks.usesMaxTokens = true
            quirks.usesRandomSeed = true
            quirks.callIDsOfNine = true
            quirks.saysAny = true
            quirks.hasNoStreamOptions = true
            quirks.hasNoDeveloperRole = true
            quirks.thinkingInContent = true
            quirks.takesPrefix = true
            quirks.hasNoHints = true
            quirks.embedsFloatsOnly = true
            quirks.lacks(.logitBias, .logprobs, .topLogprobs, .customTools, .modalities, .audio, .verbosity, .name, .user, .store, .serviceTier)
            quirks.lacks(.promptCacheKey, .cacheControl)
        case "azure":
            quirks.lacks(.cacheControl)
        case "ollama":
            // openai/openai.go: what is not in its struct is not read.
            quirks.usesMaxTokens = true
            quirks.hasNoDeveloperRole = true
            quirks.reasoningInReasoning = true
            quirks.joinsTexts = true
            quirks.hasNoImageURLs = true
            quirks.lacks(.toolChoice, .logitBias, .n, .user, .parallelToolCalls, .customTools, .inputAudio, .document, .modalities, .audio, .prediction)
            quirks.lacks(.verbosity, .metadata, .store, .serviceTier, .promptCacheKey, .cacheControl)
        case "huggingface":
            quirks.hasNoResponses = true
            quirks.usesMaxTokens = true
            quirks.hasNoDeveloperRole = true
            quirks.lacks(.customTools, .inputAudio, .modalities, .audio, .prediction, .verbosity, .metadata, .store, .serviceTier, .promptCacheKey, .cacheControl)
        default: return nil
        }
        return quirks
    }
}
