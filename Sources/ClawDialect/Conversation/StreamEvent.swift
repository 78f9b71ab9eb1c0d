// Streams in no dialect. A reader turns one event of its wire (an SSE event, a line, a frame) into any number of neutral events; a writer turns each of
// those into bytes of its own wire. Both keep the little state that their dialect needs between events, and bound it. Texts in an event live until the
// list is reset, which is before the next wire event.
import ClawWire

public struct StreamEvent: Sendable {
    public enum Kind: UInt8, Sendable {
        /// `id`, `model` (in `name`), `number` (created, seconds), `usage` so far. At most once, before all others.
        case start
        /// Optional, from dialects with blocks: a text, thinking or other part begins (`partKind`, `index`) or ends.
        case partStart, partEnd
        /// `text`, escaped; cuts never fall into an escape sequence, but may fall between the two halves of a surrogate pair.
        case textDelta, refusalDelta, thinkingDelta
        /// `text`: the signature of the thinking part under way (`isCall` false) or of call `index`; replaces, does not append.
        case signature
        /// `text`: a whole block of redacted thinking.
        case redactedThinking
        /// A call begins: `index` counts calls from 0, `id` (may be empty), `name`, `signature` in `text` if any.
        case callStart
        /// `text`: escaped JSON text of the arguments of call `index`, to be appended; `json` instead: the whole arguments object, raw.
        case callArguments
        case callEnd
        /// `json`: one citation, raw, in the source's words.
        case citation
        /// `finish`, `native` word in `name`, stop sequence in `text`.
        case finish
        /// `usage`: the latest running total, not a difference.
        case usage
        case ping
        /// `error`: the upstream failed inside its stream. Nothing follows.
        case error
        /// The dialect's own end was seen.
        case end
        /// `json`: a whole wire event that has no neutral meaning; `name` its name. For writers of the same dialect.
        case opaque
    }
    public var kind: Kind
    /// Which of several answers.
    public var choice: Int32 = 0
    /// Part (block) ordinal for part events as the source counts them, call ordinal from 0 for call events.
    public var index: Int32 = 0
    public var partKind = Part.Kind.text
    public var finish = Finish.unset
    public var isCall = false
    public var isCustom = false
    public var number: Int64 = 0
    public var text = JSONBytes()
    public var id = JSONBytes()
    public var name = JSONBytes()
    public var json = JSONBytes()
    /// Whose signature `text` is (`signature`, `callStart`).
    public var signatureOf: DialectID?
    public var usage = Usage()
    public var error: ProviderError?
    /// Extras of the wire event it came from: a range of the list's.
    public var extras: Range<Int> = 0..<0
    public init(_ kind: Kind) { self.kind = kind }

    /// True for what a client can use: it ends the commit barrier.
    public var isContent: Bool {
        switch kind {
        case .textDelta, .refusalDelta, .thinkingDelta: !text.isEmpty
        case .callStart, .callArguments, .finish, .redactedThinking, .citation: true
        case .start, .partStart, .partEnd, .signature, .callEnd, .usage, .ping, .error, .end, .opaque: false
        }
    }
}

/// The neutral events of one wire event.
public final class EventList {
    public var events: [StreamEvent] = []
    public var extras: [Extra] = []
    /// For texts the reader makes, and a tape for the event's JSON. Valid until `reset`.
    public let arena = ArenaBox()
    /// True when somebody will write extras: the stream is written in the dialect it is read from.
    public var keepsExtras = false

    public init() { events.reserveCapacity(16) }

    public func reset() {
        events.removeAll(keepingCapacity: true)
        extras.removeAll(keepingCapacity: true)
        arena.arena.reset()
    }

    public func add(_ event: StreamEvent) { events.append(event) }
    public func add(_ kind: StreamEvent.Kind, text: JSONBytes = JSONBytes(), index: Int = 0, choice: Int = 0) {
        var event = StreamEvent(kind)
        event.text = text
        event.index = Int32(truncatingIfNeeded: index)
        event.choice = Int32(truncatingIfNeeded: choice)
        events.append(event)
    }
    public func extra(_ scope: Extra.Scope, _ index: Int, _ member: (key: JSONValue, value: JSONValue)) {
        if keepsExtras, extras.count < 1024 { extras.append(Extra(scope, index, key: member.key.text, value: member.value.raw)) }
    }
}

/// How events are told apart on the wire.
public enum Framing: UInt8, Sendable {
    /// text/event-stream
    case sse
    /// One JSON object a line.
    case lines
    /// application/vnd.amazon.eventstream
    case frames
    /// One JSON array whose elements come in time (Gemini without alt=sse).
    case array
}

/// One event of the wire.
public struct WireEvent {
    public enum Kind: UInt8, Sendable {
        case event
        /// Amazon's `:message-type: exception` or `error`; `name` is the exception's type or the error's code.
        case exception
        /// SSE's `[DONE]`.
        case done
    }
    public var kind = Kind.event
    /// SSE's event name, or Amazon's `:event-type`; plain bytes, often empty.
    public var name = JSONBytes()
    /// The JSON text (or for exceptions whatever there was).
    public var data: UnsafeRawBufferPointer
    public init(_ data: UnsafeRawBufferPointer, name: JSONBytes = JSONBytes(), kind: Kind = .event) {
        self.data = data; self.name = name; self.kind = kind
    }
}

/// Reads one stream. One object per stream; what it keeps is bounded.
open class StreamReader {
    /// The end that the dialect prescribes was seen, or an error that ends the stream.
    public var sawEnd = false
    /// A finish reason was seen.
    public var sawFinish = false
    public init() {}
    /// Takes one event. A text that is no JSON, or of the wrong shape, becomes an `error` event (class serverError, code `upstream_malformed_answer`).
    open func read(_ event: WireEvent, into list: EventList) {}
    /// The bytes have ended. Adds `finish`/`end` where the dialect has none of its own and the stream was whole; `sawEnd` says whether it was.
    open func finish(into list: EventList) {}
}

/// Mistral's clients speak Chat Completions too, with three differences. Thoughts are parts of a list that is the content, which OpenAI's do not understand;
/// calls come whole in a stream; embeddings have an id. `any` gets what the source had.
public enum ChatClient: UInt8, Sendable { case any, openAI, mistral }

/// What a writer (of a stream or a whole answer) needs to know besides the answer itself.
public struct AnswerContext: Sendable {
    /// Two random words: ids are made of them.
    public var seed: (UInt64, UInt64)
    /// Seconds since 1970.
    public var now: Int64
    /// The model as the client asked for it, escaped; used where the upstream names none.
    public var model: JSONBytes
    /// The client asked for usage in the stream (Chat Completions), and for a stream at all.
    public var includesUsage: Bool
    public var wantsStream: Bool
    /// Gemini without alt=sse: a JSON array instead of SSE.
    public var asArray: Bool
    /// Embeddings: base64 was asked for.
    public var asBase64 = false
    /// Whose client speaks Chat Completions.
    public var client = ChatClient.any
    /// The request was about one text, not a list (embedContent).
    public var isSingle = false
    public init(seed: (UInt64, UInt64), now: Int64, model: JSONBytes, includesUsage: Bool = false, wantsStream: Bool = false, asArray: Bool = false) {
        self.seed = seed; self.now = now; self.model = model; self.includesUsage = includesUsage; self.wantsStream = wantsStream; self.asArray = asArray
    }
}

/// Writes one stream. One object per stream.
open class StreamWriter {
    public init() {}
    /// `list` holds the event's extras.
    open func write(_ event: StreamEvent, _ list: EventList, into out: inout JSONWriter) {}
    /// The stream's beginning went out already, in the provider's own bytes: it is not written again.
    open func beginIsWritten() {}
    /// An error of the upstream's or the gateway's, as the dialect's last event; never followed by what a good end looks like.
    open func write(error: ProviderError, into out: inout JSONWriter) {}
    /// What keeps a quiet stream alive in this dialect; nothing where it has no such thing.
    open func ping(into out: inout JSONWriter) {}
}
