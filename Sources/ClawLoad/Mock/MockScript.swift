// MockScript: how one answer of the mock shall be given, the right way and every wrong one. The server has one from its flags;
// a request may override any setting with a header `x-mock-<name>`. Flags and headers are the same words and go through the
// same `set`. A script is plain memory, so that copying it for a request costs a few moves.
//
// | setting (flag `--x`, header `x-mock-x`) | value | effect |
// |---|---|---|
// | seed | integer | names the text; same seed, same text |
// | tokens | count | length of the answer in tokens (the request's max_tokens may lower it) |
// | answer-bytes | bytes | exact length of the answer's text; tokens follow from it |
// | event-bytes | bytes | pads the text of each stream event to this size |
// | thinking | count | tokens of thinking before the text, in the dialect's way |
// | tool-calls | count | answers with so many parallel calls of the first tool that the request offers |
// | tool-text | true | text before those calls |
// | delay-ms | ms | before the head |
// | ttft-ms | ms | from the head to the first event; a plain answer waits that long before its head |
// | rate | tokens/s | pace of tokens, 0 = as fast as it goes; a plain answer waits tokens/rate |
// | jitter | 0…1 | each gap is drawn from gap × (1 ± jitter), seeded |
// | burst | events | that many tokens come together, then nothing until their time is up |
// | status | 100…599 | answers with this status and the dialect's error body |
// | retry-after | text | value of the Retry-After header of such an answer (in Gemini's, the seconds of its RetryInfo) |
// | for-key | text | status and faults only for requests whose credential (Authorization, x-api-key, api-key, x-goog-api-key) ends with it |
// | error-rate | 0…1 | share of requests (seeded) on which status and faults are played; default all |
// | reset | head, bytes:N, events:N | TCP reset before the head, after N bytes of the answer, after N events |
// | stall | N or N:MS | after N events silence for MS (without MS: for ever); a plain answer stalls before (0) or inside its body |
// | cut-after | bytes | closes after N bytes of the answer, head included |
// | garbage | see `Garbage` | breaks HTTP in one named way |
// | error-after | events | after N events the dialect's in-band error and the end of the stream, without what would say that it is whole |
// | no-done | true | a clean end of the stream without what says that it is whole ([DONE], message_stop, …) |
// | usage | see `UsageFault` | what the usage of a stream says, wrongly; twice, first and after-done only where the usage is an event of its own |
// | close | true | Connection: close |
// | framing | auto, content-length, chunked, until-close | how the body is delimited |
// | eol | lf, crlf, cr | line ends of server-sent events; without it CRLF in Gemini's, LF in the others' |
// | comments | events | a comment line after every N events |
// | split | bytes | no write is longer, each in a loop turn of its own |
// | split-ms | ms | pause between such writes |
// | early | true | answers when the request's head is there, without reading its body, then closes |
// | content-type | text | instead of the right one |
// | piece-bytes | bytes | cuts a recorded answer (MockRecordings) into pieces of this size, each a chunk of its own |

/// A short text in place, up to 48 bytes; longer is cut.
struct ShortText: Sendable {
    private var bytes = InlineArray<48, UInt8>(repeating: 0)
    private(set) var count = 0
    init() {}
    init(_ text: UnsafeRawBufferPointer) {
        for byte in text.prefix(48) {
            bytes[count] = byte
            count += 1
        }
    }
    func ends(_ text: UnsafeRawBufferPointer) -> Bool {
        guard text.count >= count else { return false }
        for place in 0 ..< count where text[text.count - count + place] != bytes[place] { return false }
        return true
    }
    func write(into out: inout OutputBytes) {
        for place in 0 ..< count { out.append(byte: bytes[place]) }
    }
}

enum BodyFrame: UInt8, Sendable { case auto, contentLength, chunked, untilClose }
enum LineEnd: UInt8, Sendable { case lf, crlf, cr }

/// Ways to break HTTP. All but `surplus` and `flood1xx` close after it.
enum Garbage: String, CaseIterable, Sendable {
    case none
    /// `HTP/1.1 OK`, a status line that is none.
    case statusLine = "status-line"
    /// A header line without a colon.
    case header
    /// A chunk size that is not hexadecimal.
    case chunkSize = "chunk-size"
    /// A NUL in a header value.
    case nul
    /// Two content-lengths that differ.
    case twoLengths = "two-lengths"
    /// Content-Length and Transfer-Encoding together.
    case lengthAndChunked = "length-and-chunked"
    /// Bytes behind the end of the body; the connection stays open.
    case surplus
    /// A body shorter than its content-length, then FIN.
    case short
    /// A thousand 103 answers before the right one.
    case flood1xx = "flood-1xx"
    /// 101 Switching Protocols that nobody asked for.
    case switching = "101"
    /// A mebibyte of headers.
    case hugeHeaders = "huge-headers"
    /// Two thousand small headers.
    case manyHeaders = "many-headers"
    /// Bare line feeds as line ends of the head.
    case bareLineFeed = "bare-lf"
    /// The chunked body ends (FIN) before its last chunk.
    case noLastChunk = "no-last-chunk"
}

/// What the usage of an answer says.
enum UsageFault: String, CaseIterable, Sendable {
    case right, missing, twice, negative, float, huge, string, first
    /// In the chunk with the finish reason, whether it was asked for or not, as Mistral does it.
    case unasked
    case afterDone = "after-done"
}

public struct MockScript: Sendable {
    var seed: UInt64 = 1
    var tokens = 48
    var answerBytes = 0
    var eventBytes = 0
    var thinking = 0
    var toolCalls = 0
    var hasToolText = false
    var delayNanoseconds: UInt64 = 0
    var firstTokenNanoseconds: UInt64 = 0
    var tokensPerSecond = 0.0
    var jitter = 0.0
    var burst = 1
    var status: UInt16 = 0
    var retryAfter = ShortText()
    /// Empty: whatever the credential is.
    var forKey = ShortText()
    /// < 0: not set, faults are played always.
    var errorRate = -1.0
    var resetsBeforeHead = false
    /// Events or bytes after which the answer breaks off; < 0 never.
    var resetAfterEvents = -1
    var resetAfterBytes = -1
    var cutAfterBytes = -1
    var stallAfterEvents = -1
    /// 0: for ever.
    var stallNanoseconds: UInt64 = 0
    var garbage = Garbage.none
    var errorAfterEvents = -1
    var leavesOutDone = false
    var usage = UsageFault.right
    var closes = false
    var frame = BodyFrame.auto
    /// nil: the dialect's own.
    var lineEnd: LineEnd?
    var commentsEvery = 0
    var splitBytes = 0
    var splitNanoseconds: UInt64 = 0
    var answersEarly = false
    var contentType = ShortText()
    var pieceBytes = 0

    public init() {}

    /// Names and help of all settings, for the command line and its test.
    public static let settings: [(name: String, help: String)] = [
        ("seed", "names the text (default 1)"), ("tokens", "length of an answer in tokens (default 48)"),
        ("answer-bytes", "exact length of the text instead"), ("event-bytes", "pads the text of each stream event"),
        ("thinking", "tokens of thinking before the text"), ("tool-calls", "N parallel calls of the first tool offered"),
        ("tool-text", "true: text before those calls"),
        ("delay-ms", "before the head"), ("ttft-ms", "from head to first event"),
        ("rate", "tokens per second, 0 = as fast as it goes"), ("jitter", "0…1, share of each gap, seeded"),
        ("burst", "tokens that come together"), ("status", "answer with this error status"),
        ("retry-after", "Retry-After of such an answer"), ("for-key", "faults only for credentials that end so"),
        ("error-rate", "0…1, share of requests that get status and faults"),
        ("reset", "head | bytes:N | events:N"), ("stall", "N or N:MS: silence after N events"),
        ("cut-after", "close after N bytes of the answer"),
        ("garbage", Garbage.allCases.dropFirst().map(\.rawValue).joined(separator: " | ")),
        ("error-after", "in-band error after N events"), ("no-done", "true: end without [DONE], message_stop, …"),
        ("usage", UsageFault.allCases.map(\.rawValue).joined(separator: " | ")), ("close", "true: Connection: close"),
        ("framing", "auto | content-length | chunked | until-close"), ("eol", "lf | crlf | cr: line ends of events"),
        ("comments", "a comment line after every N events"), ("split", "no write longer than N bytes"),
        ("split-ms", "pause between such writes"), ("early", "true: answer before the body is read, then close"),
        ("content-type", "instead of the right one"), ("piece-bytes", "recorded answers in chunks of N bytes"),
    ]

    /// Sets one setting by its name. False when the name or the value is none.
    public mutating func set(_ name: String, _ value: String) -> Bool {
        var value = value
        return value.withUTF8 { bytes in set(name, UnsafeRawBufferPointer(bytes)) }
    }

    mutating func set(_ name: String, _ value: UnsafeRawBufferPointer) -> Bool {
        switch name {
        case "seed": return Self.whole(value).map { seed = $0 } != nil
        case "tokens": return count(value, 1 << 30, \.tokens)
        case "answer-bytes": return count(value, 1 << 30, \.answerBytes)
        case "event-bytes": return count(value, 1 << 26, \.eventBytes)
        case "thinking": return count(value, 1 << 30, \.thinking)
        case "tool-calls": return count(value, 64, \.toolCalls)
        case "tool-text": return flag(value, \.hasToolText)
        case "delay-ms": return milliseconds(value, \.delayNanoseconds)
        case "ttft-ms": return milliseconds(value, \.firstTokenNanoseconds)
        case "rate": return number(value, 1e9, \.tokensPerSecond)
        case "jitter": return number(value, 1, \.jitter)
        case "burst": return count(value, 1 << 20, \.burst) && burst > 0
        case "status":
            guard let code = Self.whole(value), code == 0 || (100 ... 599).contains(code) else { return false }
            status = UInt16(code)
        case "retry-after": retryAfter = ShortText(value)
        case "for-key": forKey = ShortText(value)
        case "error-rate": return number(value, 1, \.errorRate)
        case "reset": return setReset(String(decoding: value, as: UTF8.self))
        case "stall":
            let parts = String(decoding: value, as: UTF8.self).split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2, let events = Int(parts[0]), events >= 0, events < 1 << 40 else { return false }
            stallAfterEvents = events
            stallNanoseconds = 0
            if parts.count == 2 {
                guard let pause = UInt64(parts[1]), pause <= 86_400_000 else { return false }
                stallNanoseconds = max(1, pause * 1_000_000)
            }
        case "cut-after": return count(value, 1 << 40, \.cutAfterBytes)
        case "garbage":
            guard let kind = Garbage(rawValue: String(decoding: value, as: UTF8.self)) else { return false }
            garbage = kind
        case "error-after": return count(value, 1 << 40, \.errorAfterEvents)
        case "no-done": return flag(value, \.leavesOutDone)
        case "usage":
            guard let kind = UsageFault(rawValue: String(decoding: value, as: UTF8.self)) else { return false }
            usage = kind
        case "close": return flag(value, \.closes)
        case "framing":
            switch String(decoding: value, as: UTF8.self) {
            case "auto": frame = .auto
            case "content-length": frame = .contentLength
            case "chunked": frame = .chunked
            case "until-close": frame = .untilClose
            default: return false
            }
        case "eol":
            switch String(decoding: value, as: UTF8.self) {
            case "lf": lineEnd = .lf
            case "crlf": lineEnd = .crlf
            case "cr": lineEnd = .cr
            default: return false
            }
        case "comments": return count(value, 1 << 30, \.commentsEvery)
        case "split": return count(value, 1 << 30, \.splitBytes)
        case "split-ms": return milliseconds(value, \.splitNanoseconds)
        case "early": return flag(value, \.answersEarly)
        case "content-type": contentType = ShortText(value)
        case "piece-bytes": return count(value, 1 << 30, \.pieceBytes)
        default: return false
        }
        return true
    }

    /// Forgets status and faults: what a request gets that error-rate spares. Sizes, pace and framing stay.
    mutating func forgetFaults() {
        status = 0
        resetsBeforeHead = false
        resetAfterEvents = -1
        resetAfterBytes = -1
        cutAfterBytes = -1
        stallAfterEvents = -1
        garbage = .none
        errorAfterEvents = -1
        leavesOutDone = false
        usage = .right
        answersEarly = false
    }

    var hasFaults: Bool {
        status != 0 || resetsBeforeHead || breaksAfterBytes >= 0 || garbage != .none || answersEarly || leavesOutDone
            || usage != .right || breaksByEvents
    }

    /// True exactly when something happens after a number of events.
    var breaksByEvents: Bool { resetAfterEvents >= 0 || stallAfterEvents >= 0 || errorAfterEvents >= 0 }

    /// True exactly when output must be counted byte by byte.
    var shapesOutput: Bool { splitBytes > 0 || breaksAfterBytes >= 0 }

    /// Bytes after which the answer is broken off, by FIN or RST; < 0 never.
    var breaksAfterBytes: Int { resetAfterBytes >= 0 ? resetAfterBytes : cutAfterBytes }

    private mutating func setReset(_ text: String) -> Bool {
        if text == "head" {
            resetsBeforeHead = true
            return true
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let number = Int(parts[1]), number >= 0, number < 1 << 40 else { return false }
        switch parts[0] {
        case "bytes": resetAfterBytes = number
        case "events": resetAfterEvents = number
        default: return false
        }
        return true
    }

    private mutating func count(_ value: UnsafeRawBufferPointer, _ limit: UInt64, _ field: WritableKeyPath<MockScript, Int>) -> Bool {
        guard let number = Self.whole(value), number <= limit else { return false }
        self[keyPath: field] = Int(number)
        return true
    }

    private mutating func number(_ value: UnsafeRawBufferPointer, _ limit: Double, _ field: WritableKeyPath<MockScript, Double>) -> Bool {
        guard let number = Double(String(decoding: value, as: UTF8.self)), number >= 0, number <= limit else { return false }
        self[keyPath: field] = number
        return true
    }

    private mutating func milliseconds(_ value: UnsafeRawBufferPointer, _ field: WritableKeyPath<MockScript, UInt64>) -> Bool {
        guard let number = Double(String(decoding: value, as: UTF8.self)), number >= 0, number <= 86_400_000 else { return false }
        self[keyPath: field] = UInt64(number * 1e6)
        return true
    }

    private mutating func flag(_ value: UnsafeRawBufferPointer, _ field: WritableKeyPath<MockScript, Bool>) -> Bool {
        switch String(decoding: value, as: UTF8.self) {
        case "true", "1", "yes", "": self[keyPath: field] = true
        case "false", "0", "no": self[keyPath: field] = false
        default: return false
        }
        return true
    }

    static func whole(_ value: UnsafeRawBufferPointer) -> UInt64? {
        guard value.count > 0, value.count <= 18 else { return nil }
        var total: UInt64 = 0
        for byte in value {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            total = total * 10 + UInt64(byte - 0x30)
        }
        return total
    }
}
