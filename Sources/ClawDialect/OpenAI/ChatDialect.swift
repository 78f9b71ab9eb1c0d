// OpenAI's Chat Completions: the dialect of most clients, and of most providers besides (providers/openai.md). What these do otherwise is in `Quirks`;
// what their answers have more is kept as extras, so that an answer read here and written here is the same value. This file holds the pieces' table of
// contents and what several of them need:
//
//   request     ChatDialect+Request (the root), ChatDialect+Messages (messages, parts), ChatDialect+Tools
//               ChatDialect+RequestWriter, ChatDialect+MessageWriter
//   answer      ChatDialect+Answer, ChatDialect+Usage, ChatStreamReader, ChatStreamWriter
//   errors      ChatDialect+Errors
//   embeddings  ChatDialect+Embeddings
//
// Forms. OpenAI has several words for one thing: content as a string or a list, `functions` for `tools`, `stop` as a string or a list. The model holds the
// thing; how it was said is an extra that only this dialect's own writer looks at, so that what came as one form does not leave as another. Forms of the
// root stand under `Conversation.formIndex` with the raw value; forms of a message are extras of it whose key no member can have by accident (it ends in
// a space) and whose value is null, which other writers pass over.
import ClawWire

public enum ChatDialect: DialectPieces {
    public static var id: DialectID { .chat }

    public static func streamReader(_ quirks: Quirks) -> StreamReader { ChatStreamReader(quirks, isLegacy: false) }
    public static func streamWriter(_ context: AnswerContext) -> StreamWriter { ChatStreamWriter(context, isLegacy: false) }

    /// Forms of a message: content was a list of one text (or, without parts, not there); a call was `function_call`.
    static let listForm: StaticString = "content "
    static let legacyCallForm: StaticString = "function_call "
    /// Under scope `nested`: members of stream_options, of a part (written with the part as a whole), and from here on downwards of messages.
    static let streamOptionsIndex = -2
    static let partHintIndex = -3
    static func hintIndex(ofMessage message: Int) -> Int { Conversation.placedHintMax - message }
    /// OpenAI refuses ids of calls that are longer.
    static let callIDMax = 40

    /// The place of a fault in the client's words: `messages[3].content`.
    static func place(_ arena: ArenaBox, _ list: StaticString, _ at: Int, _ rest: StaticString = "") -> JSONBytes {
        var digits = JSONWriter(limit: 64)
        digits.put(number: Int64(at))
        return arena.arena.joined(JSONBytes(list), JSONBytes("["), digits.written, JSONBytes("]"), JSONBytes(rest))
    }

    // What a member must be; the refusal names it.

    static func string(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> JSONBytes {
        guard value.isString else { throw Refusal(field, "must be a string") }
        return value.text
    }
    static func bool(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> Bool {
        guard let flag = value.bool else { throw Refusal(field, "must be true or false") }
        return flag
    }
    static func number(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> JSONBytes {
        guard value.kind == .number else { throw Refusal(field, "must be a number") }
        return value.raw
    }
    static func integer(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> JSONBytes {
        guard value.int != nil else { throw Refusal(field, "must be an integer") }
        return value.raw
    }
    static func count(_ value: JSONValue, _ field: StaticString, from least: Int64 = 1, to most: Int64 = .max) throws(Refusal) -> Int64 {
        guard let number = value.int else { throw Refusal(field, "must be an integer") }
        guard number >= least, number <= most else { throw Refusal(field, "is out of range") }
        return number
    }
    static func object(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> JSONValue {
        guard value.isObject else { throw Refusal(field, "must be an object") }
        return value
    }

    static func write(_ extra: Extra, into out: inout JSONWriter) {
        out.key(extra.key)
        out.value(extra.value)
    }

    /// `{"type":"ephemeral","ttl":"5m"|"1h"}`.
    static func cacheMark(_ value: JSONValue) -> CacheMark {
        guard value["type"].equals("ephemeral") else { return .none }
        return value["ttl"].equals("1h") ? .oneHour : .fiveMinutes
    }
    static func writeCacheMark(_ mark: CacheMark, into out: inout JSONWriter) {
        out.key("cache_control")
        out.beginObject()
        out.member("type", "ephemeral")
        if mark == .oneHour { out.member("ttl", "1h") }
        out.endObject()
    }

    /// The writer's words for an end. OpenAI has five and no other (`function_call` is for `functions` alone).
    static func word(of finish: Finish, hasCalls: Bool) -> StaticString {
        switch finish {
        case .stop, .stopSequence, .pause, .unset, .other: hasCalls ? "tool_calls" : "stop"
        case .toolCalls: "tool_calls"
        // What failed on its way is not whole; of the words there are, this one says so.
        case .length, .contextWindow, .error: "length"
        case .contentFilter, .refusal: "content_filter"
        }
    }

    /// The reader's: OpenAI's, and those that its likes have added.
    static func finish(_ text: JSONBytes) -> Finish {
        if text.equals("stop") || text.equals("eos") { return .stop }
        if text.equals("tool_calls") || text.equals("function_call") { return .toolCalls }
        if text.equals("length") || text.equals("model_length") { return .length }
        if text.equals("content_filter") || text.equals("sensitive") { return .contentFilter }
        if text.equals("error") || text.equals("network_error") || text.equals("insufficient_system_resource") { return .error }
        return .other
    }

    /// An answer's id, unless it is one that Ollama gives: `chatcmpl-` and a number below 1,000, which comes again and again.
    static func answerID(_ id: JSONBytes) -> JSONBytes {
        if id.count <= 12, id.begins(with: "chatcmpl-"), id.dropFirst(9).raw.allSatisfy({ $0 >= 48 && $0 <= 57 }) { return JSONBytes() }
        return id
    }
}

/// Goes once through extras, which stand in the order they were read, as the writer goes through messages, parts or choices.
struct ExtraWalk {
    private let scope: Extra.Scope
    private var at = 0
    init(_ scope: Extra.Scope) { self.scope = scope }

    /// The next extra of this index, if any. Indices are asked for in rising order.
    mutating func next(_ index: Int, in extras: [Extra]) -> Extra? {
        while at < extras.count {
            if extras[at].scope == scope {
                if extras[at].index > index { return nil }
                if extras[at].index == index {
                    at += 1
                    return extras[at - 1]
                }
            }
            at += 1
        }
        return nil
    }
}
