// Google's Gemini API: `generateContent` and `streamGenerateContent` of the Developer API and of Vertex, whose bodies are the same. A conversation is
// `contents` of two roles, each with parts that hold exactly one kind of data; results of tools are parts of the user's, found by the function's name and
// not by an id; instructions stand apart in `systemInstruction`; everything that steers the model is in `generationConfig`. Answers are candidates of
// such contents, and a stream is a row of whole answers, each with what came since the last and with usage as a running total. There is no end marker.
//
// Requests and their parts are in +Request and +RequestParts, and the other way in +RequestWriter and +ContentWriter; answers in +Answer and
// +AnswerWriter; streams in +StreamReader and +StreamWriter.
import ClawWire

public enum GeminiDialect: DialectPieces {
    public static var id: DialectID { .gemini }

    public static func streamReader(_ quirks: Quirks) -> StreamReader { GeminiStreamReader() }
    public static func streamWriter(_ context: AnswerContext) -> StreamWriter { GeminiStreamWriter(context) }

    public static func name(of field: Field) -> StaticString {
        switch field {
        case .n: "generationConfig.candidateCount"
        case .seed: "generationConfig.seed"
        case .temperature: "generationConfig.temperature"
        case .topP: "generationConfig.topP"
        case .topK: "generationConfig.topK"
        case .presencePenalty: "generationConfig.presencePenalty"
        case .frequencyPenalty: "generationConfig.frequencyPenalty"
        case .stop: "generationConfig.stopSequences"
        case .logprobs: "generationConfig.responseLogprobs"
        case .topLogprobs: "generationConfig.logprobs"
        case .maxTokens: "generationConfig.maxOutputTokens"
        case .toolChoice: "toolConfig.functionCallingConfig"
        case .responseFormat: "generationConfig.responseMimeType"
        case .reasoning: "generationConfig.thinkingConfig"
        case .modalities: "generationConfig.responseModalities"
        case .audio: "generationConfig.speechConfig"
        case .cacheControl: "cachedContent"
        case .messages, .prefill: "contents"
        case .systemRole: "systemInstruction"
        case .image, .inputAudio, .document, .video: "contents[].parts[].inlineData"
        case .toolArguments: "contents[].parts[].functionCall.args"
        case .toolResultContent: "contents[].parts[].functionResponse"
        case .thinking: "contents[].parts[].thought"
        case .strict: "toolConfig.functionCallingConfig.mode"
        case .customTools: "tools[].functionDeclarations"
        case .hostedTools: "tools"
        case .dimensions: "outputDimensionality"
        case .input: "content"
        case .metadata: "labels"
        case .serviceTier: "serviceTier"
        default: field.word
        }
    }

    // Indices under which extras of scope `nested` stand that belong to no part; `Conversation.hintIndex` is the first of them.
    static let configIndex = -2
    static let callingIndex = -3
    static let toolConfigIndex = -4
    static let thinkingIndex = -5
}

/// Names of members. Google's JSON takes each in lowerCamelCase and as the proto has it, in snake_case.
enum GeminiKey {
    /// True for `camel` in either spelling.
    static func matches(_ key: JSONValue, _ camel: StaticString) -> Bool {
        let text = key.text
        let length = camel.utf8CodeUnitCount
        if key.isEscaped { return key.equals(camel) }
        if text.count <= length { return text.count == length && text.equals(camel) }
        let wanted = camel.utf8Start
        var at = 0
        var place = 0
        while at < text.count {
            var byte = text[at]
            if byte == 0x5F {
                at += 1
                guard at < text.count, (97...122).contains(text[at]) else { return false }
                byte = text[at] - 32
            }
            guard place < length, wanted[place] == byte else { return false }
            place += 1
            at += 1
        }
        return place == length
    }

    /// The member of this name, in either spelling; missing where it is null.
    static func pick(_ object: JSONValue, _ camel: StaticString) -> JSONValue {
        for (key, value) in object.members where matches(key, camel) && value.isPresent { return value }
        return JSONValue()
    }

    /// An enum's word, whatever its case.
    static func isWord(_ text: JSONBytes, _ upper: StaticString) -> Bool {
        guard text.count == upper.utf8CodeUnitCount else { return false }
        for at in 0..<text.count {
            let byte = text[at]
            guard ((97...122).contains(byte) ? byte - 32 : byte) == upper.utf8Start[at] else { return false }
        }
        return true
    }

    /// The model's id without the collection it stands in.
    static func bareModel(_ model: JSONBytes) -> JSONBytes { model.begins(with: "models/") ? model.dropFirst(7) : model }

    /// The resource's name, as bodies want it.
    static func writeModel(_ model: JSONBytes, into out: inout JSONWriter, _ arena: ArenaBox) {
        let isWhole = model.begins(with: "models/") || model.begins(with: "tunedModels/") || model.begins(with: "projects/") || model.begins(with: "publishers/")
        out.member("model", isWhole ? model : arena.arena.joined(JSONBytes("models/"), model))
    }
}

/// What a model can do, as far as requests depend on it: told by its name, since the API tells it nowhere else.
struct GeminiModel {
    enum Thinking { case none, level, budget }
    var thinking = Thinking.budget
    /// Tokens to think with.
    var budgetMin: Int64 = 0
    var budgetMax: Int64 = 32768
    /// Thinking can be switched off with a budget of 0.
    var canStop = true
    var hasMinimal = true
    var hasMedium = true
    /// Calls of earlier turns must have their signatures.
    var wantsSignatures = false
    /// Tools together with a JSON answer, media in results.
    var isThird = false
    /// Knows the mode VALIDATED.
    var validates = true

    init(_ id: JSONBytes) {
        let name = Self.lastPiece(id)
        guard name.begins(with: "gemini-") else { return }
        let rest = name.dropFirst(7)
        let isPro = name.contains("-pro")
        let isLite = name.contains("-lite")
        if rest.begins(with: "1") || rest.begins(with: "2.0") {
            thinking = .none
            validates = false
            return
        }
        if rest.begins(with: "2.5") {
            budgetMin = isPro ? 128 : isLite ? 512 : 0
            budgetMax = isPro ? 32768 : 24576
            canStop = !isPro
            return
        }
        if let digit = rest.raw.first, (0x33...0x39).contains(digit) {
            thinking = .level
            isThird = true
            wantsSignatures = true
            hasMinimal = !isPro
            hasMedium = !rest.begins(with: "3-pro")
            return
        }
        // `gemini-flash-latest` and its like take both forms, and may be of the third generation any day.
        wantsSignatures = name.ends(with: "-latest")
        budgetMax = 24576
    }

    private static func lastPiece(_ id: JSONBytes) -> JSONBytes {
        guard let slash = id.raw.lastIndex(of: 0x2F) else { return id }
        return id.dropFirst(slash + 1)
    }
}
