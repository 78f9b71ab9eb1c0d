// Errors that are not in the dialect's words: a text that a proxy in front of the provider wrote, an answer that makes no sense.
import ClawWire

enum PlainError {
    private static let textBytesMax = 500

    /// A body that is no JSON as a message: plain text at most 500 bytes long, nothing of a page of HTML or of bytes that are no text.
    static func message(_ text: UnsafeRawBufferPointer, _ arena: inout JSONArena) -> JSONBytes {
        var low = 0
        var high = text.count
        while low < high, text[low] <= 0x20 { low += 1 }
        while high > low, text[high - 1] <= 0x20 { high -= 1 }
        high = min(high, low + textBytesMax)
        guard low < high, text[low] != 0x3C, !text[low..<high].contains(where: { $0 < 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }) else {
            return JSONBytes()
        }
        return arena.escaped(UnsafeRawBufferPointer(rebasing: text[low..<high]))
    }

    /// What a class of error says where nobody else said anything.
    static func sentence(_ problem: ProblemClass) -> JSONBytes {
        switch problem {
        case .rateLimited: JSONBytes("too many requests")
        case .overloaded: JSONBytes("the upstream is overloaded")
        case .timeout: JSONBytes("the upstream did not answer in time")
        case .serverError: JSONBytes("the upstream failed")
        case .auth: JSONBytes("unauthorized")
        case .modelMissing: JSONBytes("model not found")
        case .contextTooLong: JSONBytes("the prompt is too long for the model")
        case .contentFiltered: JSONBytes("the content was filtered")
        case .badRequest: JSONBytes("bad request")
        }
    }

    /// A 200, or an event of its stream, that is no answer of the dialect.
    static func malformed(_ source: DialectID) -> ProviderError {
        var error = ProviderError(status: 502, problem: .serverError)
        error.message = JSONBytes("the upstream sent what is no answer")
        error.code = JSONBytes("upstream_malformed_answer")
        error.source = source
        return error
    }

    static func event(_ error: ProviderError) -> StreamEvent {
        var event = StreamEvent(.error)
        event.error = error
        return event
    }

    /// True when `text` holds this word in any mixture of letters' cases; `word` is lower case.
    static func mentions(_ text: JSONBytes, _ word: StaticString) -> Bool {
        let length = word.utf8CodeUnitCount
        guard length > 0, text.count >= length else { return false }
        let wanted = word.utf8Start
        var at = 0
        while at + length <= text.count {
            var same = 0
            while same < length, lower(text[at + same]) == wanted[same] { same += 1 }
            if same == length { return true }
            at += 1
        }
        return false
    }
    private static func lower(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte }
}
