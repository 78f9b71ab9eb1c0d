// OpenAI's Responses API, spoken towards clients and towards upstreams (providers/openai.md).
//
// A conversation is a flat list of items: messages, reasoning, function calls and their outputs are siblings. The neutral model has turns: all items of the
// assistant between two others become one assistant message, and each output a message of the role `tool`; the writer takes turns apart into items again.
// A `Part` that begins an item says so in its `form`, so that what was read here is written here as it was. An item's own members that the model has no
// word for are extras of scope `message`, those of a content piece extras of scope `part` (or `inner` for a piece of an output); both are indexed by the
// part, the first one of the item.
//
// Items that only this API understands (item_reference, hosted tools' calls) are opaque parts: an upstream of this dialect gets them back, others refuse
// them.
//
// Nothing is stored here. `previous_response_id` stands for a conversation that the provider keeps, so it passes through to an upstream of this dialect
// (it is the upstream's own id that the client has) and is refused with a 400 that names it for any other, which could answer only half of the question.
// `background` is refused in any case: there would be nobody to poll.
//
// A call has two ids, its item's (`fc_…`, `itemID`) and its own (`call_…`, `id`); outputs are paired by the call's own.
import ClawWire

public enum ResponsesDialect: DialectPieces {
    public static var id: DialectID { .responses }

    public static func name(of field: Field) -> StaticString {
        switch field {
        case .messages, .prefill, .input: "input"
        case .maxTokens: "max_output_tokens"
        case .responseFormat: "text.format"
        case .verbosity: "text.verbosity"
        case .reasoning: "reasoning.effort"
        case .logprobs: "include"
        case .image: "input[].content[].image_url"
        case .inputAudio: "input[].content[].input_audio"
        case .document: "input[].content[].input_file"
        case .video: "input[].content[].input_video"
        case .toolArguments: "input[].arguments"
        case .toolResultContent: "input[].output"
        case .thinking: "input[].encrypted_content"
        case .systemRole: "input[].role"
        case .name: "input[].name"
        case .hostedTools, .customTools: "tools[].type"
        case .strict: "tools[].strict"
        case .cacheControl: "input[].content[].prompt_cache_breakpoint"
        default: field.word
        }
    }

    // MARK: /responses/input_tokens, whose request is the same one with fewer members

    public static func readCountAnswer(_ body: JSONValue) -> Int64? { body["input_tokens"].tokens }

    public static func writeCountAnswer(_ tokens: Int64, into out: inout JSONWriter) {
        out.beginObject()
        out.member("object", "response.input_tokens")
        out.member("input_tokens", tokens)
        out.endObject()
    }
}

/// Bits of `Part.form` in this dialect.
enum ItemForm {
    /// The first part of its item.
    static let start: UInt8 = 1
    /// The content (or output) was a bare string.
    static let bare: UInt8 = 2
    /// The whole `input` was a bare string.
    static let input: UInt8 = 4
    /// Stood in `instructions`.
    static let instructions: UInt8 = 8
    /// An opaque piece of a message's content, not an item.
    static let piece: UInt8 = 16
}

/// Finds extras in the order in which they were read: one walk over all of them, however many parts have some.
struct ExtraCursor {
    private let scope: Extra.Scope
    private var at = 0
    init(_ scope: Extra.Scope) { self.scope = scope }

    /// Writes the extras of `index`, which must not be smaller than in earlier calls.
    mutating func write(_ index: Int, of extras: [Extra], into out: inout JSONWriter) {
        while at < extras.count {
            if extras[at].scope == scope {
                if extras[at].index > index { return }
                if extras[at].index == index {
                    out.key(extras[at].key)
                    out.value(extras[at].value)
                }
            }
            at += 1
        }
    }
}

/// The one field of this API that carries proofs is a reasoning item's `encrypted_content`. Besides those of thoughts (see `Signatures`), other dialects
/// have blocks that are nothing but proof, and proofs that belong to a call. Both travel here with a mark between the maker's name and the proof, which is
/// base64 and holds neither `#` nor `@`: `messages##<data>` and `gemini#@<call id>@<signature>`.
enum Seal {
    case thought(JSONBytes, of: DialectID)
    case redacted(JSONBytes, of: DialectID)
    case call(id: JSONBytes, JSONBytes, of: DialectID)

    static func open(_ text: JSONBytes) -> Seal {
        let (inside, maker) = Signatures.inward(text, in: .responses)
        if maker == .responses || inside.isEmpty { return .thought(inside, of: maker) }
        if inside[0] == 0x23 { return .redacted(inside.dropFirst(1), of: maker) }
        if inside[0] == 0x40, let mark = inside.raw.lastIndex(of: 0x40), mark > 0 {
            return .call(id: inside.prefix(mark).dropFirst(1), inside.dropFirst(mark + 1), of: maker)
        }
        return .thought(inside, of: maker)
    }

    static func redacted(_ data: JSONBytes, of maker: DialectID?, _ arena: inout JSONArena) -> JSONBytes {
        maker == .responses ? data : arena.joined(JSONBytes(Signatures.name(maker ?? .messages)), JSONBytes("##"), data)
    }

    static func call(_ id: JSONBytes, _ signature: JSONBytes, of maker: DialectID?, _ arena: inout JSONArena) -> JSONBytes {
        arena.joined(JSONBytes(Signatures.name(maker ?? .gemini)), JSONBytes("#@"), id, JSONBytes("@"), signature)
    }
}
