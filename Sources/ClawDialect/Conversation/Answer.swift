// A whole answer in no dialect, filled by a reader and read by a writer; an object of the worker's, used again.
import ClawWire

public enum Finish: UInt8, Sendable {
    case unset, stop, stopSequence, length, contextWindow, toolCalls, contentFilter, refusal, pause
    /// The provider says that generating failed.
    case error
    /// A word this gateway does not know; counts as `stop`, or as `toolCalls` where calls were made.
    case other
}

public struct Choice: Sendable {
    public var index: Int64 = 0
    public var parts: Range<Int> = 0..<0
    public var finish = Finish.unset
    /// The dialect's own word, escaped.
    public var nativeFinish = JSONBytes()
    public var stopSequence = JSONBytes()
    /// OpenAI's object, raw.
    public var logprobs = JSONBytes()
    public init() {}
}

public final class Answer {
    public let arena: ArenaBox
    public var source: DialectID
    public var id = JSONBytes()
    public var model = JSONBytes()
    /// Seconds since 1970; 0: not said.
    public var created: Int64 = 0
    public var choices: [Choice] = []
    public var parts: [Part] = []
    public var inner: [Part] = []
    public var usage = Usage()
    public var serviceTier = JSONBytes()
    /// The upstream says, inside a 200, that it failed.
    public var error: ProviderError?
    public var extras: [Extra] = []

    public init() {
        arena = ArenaBox()
        source = .chat
    }

    public func reset(source: DialectID) {
        self.source = source
        arena.arena.reset()
        id = JSONBytes()
        model = JSONBytes()
        created = 0
        choices.removeAll(keepingCapacity: true)
        parts.removeAll(keepingCapacity: parts.count <= 1024)
        inner.removeAll(keepingCapacity: inner.count <= 1024)
        usage = Usage()
        serviceTier = JSONBytes()
        error = nil
        extras.removeAll(keepingCapacity: extras.count <= 1024)
    }

    public func beginChoice(_ index: Int64 = 0) {
        var choice = Choice()
        choice.index = index
        choice.parts = parts.count..<parts.count
        choices.append(choice)
    }

    /// Adds a part to the last choice.
    public func add(_ part: Part) {
        if choices.isEmpty { beginChoice() }
        parts.append(part)
        choices[choices.count - 1].parts = choices[choices.count - 1].parts.lowerBound..<parts.count
    }

    public func extra(_ scope: Extra.Scope, _ index: Int, _ member: (key: JSONValue, value: JSONValue)) {
        guard extras.count < Conversation.countMax else { return }
        extras.append(Extra(scope, index, key: member.key.text, value: member.value.raw))
    }

    /// Extras of a scope, where the answer is written in the dialect it was read from.
    public func writeExtras(_ scope: Extra.Scope, _ index: Int, as dialect: DialectID, into writer: inout JSONWriter) {
        guard dialect == source else { return }
        for extra in extras where extra.scope == scope && extra.index == index {
            writer.key(extra.key)
            writer.value(extra.value)
        }
    }

    public func hasCalls(_ choice: Choice) -> Bool { parts[choice.parts].contains { $0.kind == .toolCall } }

    /// A call's arguments as a raw JSON object; `{}` for none, and for what is no JSON object (its text is then lost to dialects without a string for it).
    public func argumentsObject(_ part: Part) -> JSONBytes {
        if part.json.exists { return part.json }
        let text = arena.arena.unescaped(part.text)
        guard text.raw.contains(where: { $0 > 32 }), arena.tape.read(text.raw) == nil, arena.tape.root.isObject else { return JSONBytes("{}") }
        return text
    }
}

/// Classes of upstream outcome (spec/resilience.md) that a body can tell.
public enum ProblemClass: UInt8, Sendable {
    case rateLimited, overloaded, timeout, serverError, auth, modelMissing, contextTooLong, contentFiltered, badRequest
}

/// An error as a provider said it, in no dialect.
public struct ProviderError: Sendable {
    /// HTTP status, or what it would have been for an error inside a stream.
    public var status: Int
    public var problem: ProblemClass
    /// Escaped text. `type` and `code` are the provider's own words.
    public var message = JSONBytes()
    public var type = JSONBytes()
    public var code = JSONBytes()
    public var param = JSONBytes()
    /// Out of credit: waiting does not help.
    public var isQuota = false
    /// From the body (Gemini's retryDelay); 0: none.
    public var retryAfterSeconds: Double = 0
    /// The whole body, where it was JSON of the source dialect.
    public var native = JSONBytes()
    public var source = DialectID.chat
    public init(status: Int, problem: ProblemClass) { self.status = status; self.problem = problem }

    /// What a status means where the body says nothing more.
    public static func problem(of status: Int) -> ProblemClass {
        switch status {
        case 401, 403: .auth
        case 404: .modelMissing
        case 408, 504: .timeout
        case 429: .rateLimited
        case 503, 529: .overloaded
        case 500...: .serverError
        default: .badRequest
        }
    }
}
