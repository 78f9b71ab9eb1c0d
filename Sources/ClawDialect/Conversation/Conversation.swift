// A Conversation is a request to a model in no dialect: what a reader fills and a writer reads. It is an object of the worker's that is used again for
// every translated request; its arrays keep their room. Texts in it lie in the request's body (which must stay as long) or in `arena`.
//
// What a writer cannot say it must not pass over: it calls `cannot` (refused, or dropped with its name kept where the upstream says
// `drop_unsupported`) or, for what has no influence on the answer, `hint` (always dropped, name kept).
import ClawWire

public struct Message: Sendable {
    public var role: Role
    public var parts: Range<Int> = 0..<0
    /// Of the participant; not of a tool.
    public var name = JSONBytes()
    public init(_ role: Role) { self.role = role }
}

public struct Tool: Sendable {
    public enum Kind: UInt8, Sendable {
        case function
        /// Takes free text (OpenAI's `custom`); `opaque` is its whole definition.
        case custom
        /// A tool that the provider runs itself; `opaque` is its whole definition.
        case hosted
    }
    public var kind = Kind.function
    public var name = JSONBytes()
    public var description = JSONBytes()
    /// A JSON Schema, raw; absent: no arguments.
    public var schema = JSONBytes()
    public var strict: Bool?
    public var cache = CacheMark.none
    public var opaque = JSONBytes()
    public init() {}
}

public enum ToolChoice: Sendable { case unset, auto, none, required, tool(JSONBytes) }

public struct ResponseFormat: Sendable {
    public enum Kind: UInt8, Sendable { case unset, text, jsonObject, jsonSchema }
    public var kind = Kind.unset
    public var name = JSONBytes()
    public var description = JSONBytes()
    public var schema = JSONBytes()
    public var strict: Bool?
    /// The schema as its own dialect wrote it, where `schema` is a translation of that (Gemini's OpenAPI subset).
    public var opaque = JSONBytes()
    public init() {}
}

/// How much a model shall think. At most one of `effort` and `budget` is there as the client said it; `Reasoning.budget(for:)` and `effort(for:)` convert.
public struct Reasoning: Sendable {
    public enum Effort: UInt8, Sendable, CaseIterable {
        case unset, none, minimal, low, medium, high, xhigh, max
        public var word: StaticString {
            switch self {
            case .unset: ""
            case .none: "none"
            case .minimal: "minimal"
            case .low: "low"
            case .medium: "medium"
            case .high: "high"
            case .xhigh: "xhigh"
            case .max: "max"
            }
        }
        /// nil: no word of ours.
        public init?(_ value: JSONValue) {
            for effort in Self.allCases where effort != .unset && value.equals(effort.word) {
                self = effort
                return
            }
            return nil
        }
        /// Tokens to think with (providers/gemini.md, Google's own table; the steps it lacks lie between).
        public var budget: Int64 {
            switch self {
            case .unset, .none: 0
            case .minimal: 512
            case .low: 1024
            case .medium: 8192
            case .high: 24576
            case .xhigh, .max: 32768
            }
        }
        public init(budget: Int64) {
            switch budget {
            case ...0: self = .none
            case 1..<1024: self = .minimal
            case 1024..<4096: self = .low
            case 4096..<16384: self = .medium
            case 16384..<32768: self = .high
            default: self = .xhigh
            }
        }
    }
    public var effort = Effort.unset
    /// Tokens; nil: not said. -1: as the model likes.
    public var budget: Int64?
    /// Switched on or off as such (Anthropic's `thinking.type`, Ollama's `think: true`).
    public var isEnabled: Bool?
    /// The thoughts themselves are wanted (Gemini's includeThoughts, Anthropic's display, the Responses API's summary).
    public var includesThoughts: Bool?
    /// `auto`, `concise`, `detailed` (Responses API), as text.
    public var summary = JSONBytes()
    public init() {}
    public var isSet: Bool { effort != .unset || budget != nil || isEnabled != nil }
}

public final class Conversation {
    /// Most messages, parts and tools of a request, each.
    public static let countMax = 100_000

    public let arena: ArenaBox
    /// The dialect it was read from; extras are its own words.
    public var source: DialectID
    public var model = JSONBytes()
    public var messages: [Message] = []
    public var parts: [Part] = []
    /// Pieces of tool results.
    public var inner: [Part] = []
    public var tools: [Tool] = []
    public var toolChoice = ToolChoice.unset
    /// A raw value that narrows the tools (`allowed_tools`), in the source's words.
    public var parallelToolCalls: Bool?
    public var maxTokens: Int64?
    // Numbers are kept as they were written.
    public var temperature = JSONBytes()
    public var topP = JSONBytes()
    public var topK = JSONBytes()
    public var minP = JSONBytes()
    public var presencePenalty = JSONBytes()
    public var frequencyPenalty = JSONBytes()
    public var seed = JSONBytes()
    /// Answers wanted; nil or 1: one.
    public var n: Int64?
    public var stop: [JSONBytes] = []
    public var logprobs: Bool?
    public var topLogprobs: Int64?
    public var logitBias = JSONBytes()
    public var format = ResponseFormat()
    public var reasoning = Reasoning()
    public var wantsStream = false
    /// The client asked for usage in its stream (OpenAI's stream_options).
    public var includesUsage = false
    /// The last message is the beginning of the answer wanted.
    public var continuesAnswer = false
    public var user = JSONBytes()
    /// Raw object.
    public var metadata = JSONBytes()
    public var serviceTier = JSONBytes()
    /// Raw values of OpenAI's that only some providers know.
    public var modalities = JSONBytes()
    public var audio = JSONBytes()
    public var prediction = JSONBytes()
    public var verbosity = JSONBytes()
    public var store: Bool?
    public var promptCacheKey = JSONBytes()
    /// The whole prompt is to be kept (Anthropic's cache_control at the top).
    public var cache = CacheMark.none
    public var previousResponseID = JSONBytes()
    public var extras: [Extra] = []
    /// More members without a word in the model than this make a request one that is refused (by whoever had it read).
    public static let extrasMax = 4096
    /// Places in `parts` by the hash of a call's id, -1: free; made of the first `callTableParts` parts.
    private var callTable: [Int32] = []
    private var callTableParts = -1
    private var callCount = 0

    /// Names of what the writer left out, in the words of `source`.
    public private(set) var dropped: [JSONBytes] = []
    public var dropsUnsupported = false
    private static let droppedMax = 32

    public init() {
        arena = ArenaBox()
        source = .chat
    }

    /// Makes it ready for the next request.
    public func reset(source: DialectID) {
        self.source = source
        arena.arena.reset()
        callTableParts = -1
        model = JSONBytes()
        messages.removeAll(keepingCapacity: messages.count <= 1024)
        parts.removeAll(keepingCapacity: parts.count <= 1024)
        inner.removeAll(keepingCapacity: inner.count <= 1024)
        tools.removeAll(keepingCapacity: tools.count <= 1024)
        toolChoice = .unset
        parallelToolCalls = nil
        maxTokens = nil
        temperature = JSONBytes()
        topP = JSONBytes()
        topK = JSONBytes()
        minP = JSONBytes()
        presencePenalty = JSONBytes()
        frequencyPenalty = JSONBytes()
        seed = JSONBytes()
        n = nil
        stop.removeAll(keepingCapacity: true)
        logprobs = nil
        topLogprobs = nil
        logitBias = JSONBytes()
        format = ResponseFormat()
        reasoning = Reasoning()
        wantsStream = false
        includesUsage = false
        continuesAnswer = false
        user = JSONBytes()
        metadata = JSONBytes()
        serviceTier = JSONBytes()
        modalities = JSONBytes()
        audio = JSONBytes()
        prediction = JSONBytes()
        verbosity = JSONBytes()
        store = nil
        promptCacheKey = JSONBytes()
        cache = .none
        previousResponseID = JSONBytes()
        extras.removeAll(keepingCapacity: extras.count <= 1024)
        dropped.removeAll(keepingCapacity: true)
        dropsUnsupported = false
    }

    // MARK: reading

    /// Begins a message; parts added from now on are its own.
    public func begin(_ role: Role) throws(Refusal) {
        guard messages.count < Self.countMax else { throw Refusal("messages", "there are more than 100000 of them") }
        var message = Message(role)
        message.parts = parts.count..<parts.count
        messages.append(message)
    }

    /// Adds a part to the last message.
    public func add(_ part: Part) throws(Refusal) {
        guard parts.count < Self.countMax, !messages.isEmpty else { throw Refusal("messages", "they have more than 100000 parts") }
        parts.append(part)
        messages[messages.count - 1].parts = messages[messages.count - 1].parts.lowerBound..<parts.count
    }

    /// Adds a tool's result whose pieces were appended to `inner` from `start` on.
    public func add(result: Part, from start: Int) throws(Refusal) {
        var part = result
        part.children = start..<inner.count
        try add(part)
    }

    public func extra(_ scope: Extra.Scope, _ index: Int, _ member: (key: JSONValue, value: JSONValue)) {
        guard extras.count < Self.countMax else { return }
        extras.append(Extra(scope, index, key: member.key.text, value: member.value.raw))
    }

    // MARK: writing

    /// A call's arguments as a raw JSON object: `{}` for none; nil when they are no JSON object.
    public func argumentsObject(_ part: Part) -> JSONBytes? {
        if part.json.exists { return part.json }
        let text = arena.arena.unescaped(part.text)
        if !text.raw.contains(where: { $0 > 32 }) { return JSONBytes("{}") }
        guard arena.tape.read(text.raw) == nil, arena.tape.root.isObject else { return nil }
        return text
    }

    /// The name of the tool that the call with this id was for.
    public func toolName(of id: JSONBytes) -> JSONBytes { toolName(of: id, before: parts.count) }

    /// The name of the tool that a result belongs to: of the last call with this id before part `place`, since some clients use an id again in each turn.
    /// Writers ask in rising order, so all of a request's results cost one walk over its parts.
    func toolName(of id: JSONBytes, before place: Int) -> JSONBytes {
        if id.isEmpty { return JSONBytes() }
        if callTableParts > place || callTableParts < 0 { emptyCallTable() }
        while callTableParts < place {
            if parts[callTableParts].kind == .toolCall { noteCall(callTableParts) }
            callTableParts += 1
        }
        if callTable.isEmpty { return JSONBytes() }
        let found = callTable[callPlace(of: id)]
        return found < 0 ? JSONBytes() : parts[Int(found)].name
    }

    private func emptyCallTable() {
        callTable.removeAll(keepingCapacity: callTable.count <= 1024)
        callTableParts = 0
        callCount = 0
    }

    /// Where this id stands in the table, or would.
    private func callPlace(of id: JSONBytes) -> Int {
        var place = Int(truncatingIfNeeded: Identifiers.hash(id)) & (callTable.count - 1)
        while callTable[place] >= 0, !parts[Int(callTable[place])].id.equals(id) { place = (place + 1) & (callTable.count - 1) }
        return place
    }

    private func noteCall(_ part: Int) {
        if callTable.count < 2 * (callCount + 1) {
            let calls = callTable.filter { $0 >= 0 }
            callTable = Array(repeating: -1, count: max(16, callTable.count * 2))
            for call in calls { callTable[callPlace(of: parts[Int(call)].id)] = call }
        }
        let place = callPlace(of: parts[part].id)
        if callTable[place] < 0 { callCount += 1 }
        callTable[place] = Int32(truncatingIfNeeded: part)
    }

    /// All text of these parts as one, `separator` between them.
    public func joinedText(_ range: Range<Int>, inner isInner: Bool = false, separator: StaticString = "") -> JSONBytes {
        func text(_ at: Int) -> JSONBytes? {
            let part = isInner ? inner[at] : parts[at]
            return part.kind == .text ? part.text : nil
        }
        var length = 0
        var count = 0
        var one = JSONBytes("")
        for at in range {
            guard let text = text(at) else { continue }
            length += text.count
            count += 1
            one = text
        }
        if count < 2 { return one }
        let gap = separator.utf8CodeUnitCount
        let whole = arena.arena.take(max(1, length + gap * (count - 1)))
        var place = 0
        var isFirst = true
        for at in range {
            guard let text = text(at) else { continue }
            if !isFirst {
                (whole + place).update(from: separator.utf8Start, count: gap)
                place += gap
            }
            isFirst = false
            if let base = text.base { (whole + place).update(from: base, count: text.count) }
            place += text.count
        }
        return JSONBytes(whole, place)
    }

    /// The upstream has no word for this field and the answer depends on it.
    public func cannot(_ field: Field, _ reason: StaticString = "this upstream has no such option") throws(Refusal) {
        try cannot(JSONBytes(source.pieces.name(of: field)), reason)
    }

    public func cannot(_ name: JSONBytes, _ reason: StaticString = "this upstream has no such option") throws(Refusal) {
        if !dropsUnsupported { throw Refusal(name, reason) }
        note(name)
    }

    /// Left out because nothing of the answer depends on it.
    public func hint(_ field: Field) { note(JSONBytes(source.pieces.name(of: field))) }

    public func note(_ name: JSONBytes) {
        if dropped.count < Self.droppedMax, !dropped.contains(where: { $0.equals(name) }) { dropped.append(name) }
    }

    /// Extras of a scope, where the request is written in the dialect it was read from.
    public func writeExtras(_ scope: Extra.Scope, _ index: Int, as dialect: DialectID, into writer: inout JSONWriter) {
        guard dialect == source else { return }
        for extra in extras where extra.scope == scope && extra.index == index {
            writer.key(extra.key)
            writer.value(extra.value)
        }
    }

    /// The index under scope `nested` of root members that are mere hints: their own dialect writes them back, others drop them by name. Indices from
    /// `placedHintMax` down are hints too, of places that their own dialect numbers; those between are places of members that are none.
    public static let hintIndex = -1
    public static let placedHintMax = -16
    /// The index under scope `nested` of forms: how the source worded what the model holds already. For its own writer; nobody else loses anything.
    public static let formIndex = Int.min

    /// For writers of other dialects than the source's: every extra that is left is refused or dropped by name.
    public func refuseExtras(of dialect: DialectID) throws(Refusal) {
        if dialect == source { return }
        // A conversation that another provider keeps.
        if !previousResponseID.isEmpty { try cannot(.previousResponseID, "this upstream does not have the earlier response") }
        for extra in extras where !extra.isQuiet && !extra.value.equals("null") {
            if extra.scope == .nested, extra.index == Self.formIndex { continue }
            if extra.scope == .nested, extra.index == Self.hintIndex || extra.index <= Self.placedHintMax { note(extra.key) } else { try cannot(extra.key, "this upstream does not know it") }
        }
    }
}

/// An arena and a tape for what is unescaped on the way, shared by reference.
public final class ArenaBox {
    public var arena = JSONArena()
    public var tape = JSONTape()
    public init() {}
}

/// Why a request can't be said in the upstream's dialect, or is no request: answered with 400, naming the field.
public struct Refusal: Error, Sendable {
    public var field: JSONBytes
    public var reason: StaticString
    public init(_ field: JSONBytes, _ reason: StaticString) { self.field = field; self.reason = reason }
    public init(_ field: StaticString, _ reason: StaticString) { self.init(JSONBytes(field), reason) }
}

/// Fields that some upstream cannot express. A dialect names them in its own words (`DialectPieces.name(of:)`).
public enum Field: UInt8, Sendable, CaseIterable {
    case n, seed, temperature, topP, topK, minP, presencePenalty, frequencyPenalty, stop, logprobs, topLogprobs, logitBias, maxTokens
    case tools, toolChoice, parallelToolCalls, responseFormat, reasoning, user, metadata, serviceTier, modalities, audio, prediction, verbosity, store
    case promptCacheKey, cacheControl, previousResponseID, messages, image, inputAudio, document, video, toolArguments, toolResultContent, thinking
    case systemRole, hostedTools, customTools, strict, dimensions, encodingFormat, input, suffix, echo, bestOf, stream, name, prefill

    /// OpenAI's words, which are most clients'.
    public var word: StaticString {
        switch self {
        case .n: "n"
        case .seed: "seed"
        case .temperature: "temperature"
        case .topP: "top_p"
        case .topK: "top_k"
        case .minP: "min_p"
        case .presencePenalty: "presence_penalty"
        case .frequencyPenalty: "frequency_penalty"
        case .stop: "stop"
        case .logprobs: "logprobs"
        case .topLogprobs: "top_logprobs"
        case .logitBias: "logit_bias"
        case .maxTokens: "max_tokens"
        case .tools: "tools"
        case .toolChoice: "tool_choice"
        case .parallelToolCalls: "parallel_tool_calls"
        case .responseFormat: "response_format"
        case .reasoning: "reasoning_effort"
        case .user: "user"
        case .metadata: "metadata"
        case .serviceTier: "service_tier"
        case .modalities: "modalities"
        case .audio: "audio"
        case .prediction: "prediction"
        case .verbosity: "verbosity"
        case .store: "store"
        case .promptCacheKey: "prompt_cache_key"
        case .cacheControl: "cache_control"
        case .previousResponseID: "previous_response_id"
        case .messages: "messages"
        case .image: "messages[].content[].image_url"
        case .inputAudio: "messages[].content[].input_audio"
        case .document: "messages[].content[].file"
        case .video: "messages[].content[].video_url"
        case .toolArguments: "messages[].tool_calls[].function.arguments"
        case .toolResultContent: "messages[].content"
        case .thinking: "messages[].reasoning_content"
        case .systemRole: "messages[].role"
        case .hostedTools: "tools[].type"
        case .customTools: "tools[].custom"
        case .strict: "tools[].function.strict"
        case .dimensions: "dimensions"
        case .encodingFormat: "encoding_format"
        case .input: "input"
        case .suffix: "suffix"
        case .echo: "echo"
        case .bestOf: "best_of"
        case .stream: "stream"
        case .name: "messages[].name"
        case .prefill: "messages"
        }
    }
}
