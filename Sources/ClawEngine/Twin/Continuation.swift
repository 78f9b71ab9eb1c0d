// What a stream that may go on at another upstream has delivered so far, and what of its writer must outlive the first upstream. One object per stream, on routes
// with `resume` only. Owned by its exchange.
import ClawDialect
import ClawWire

final class Continuation {
    /// A longer answer is not gone on with.
    static let textBytesMax = 1 << 20
    /// Times a stream may go on elsewhere.
    static let resumesMax = 1

    /// The text so far, escaped as in JSON; a block of the body store.
    var text: UnsafeMutablePointer<UInt8>?
    var textLength = 0
    var textCapacity = 0
    /// The client's stream: it is written by one writer from its beginning to its end.
    var writer: StreamWriter?
    /// Something was said that no other upstream can be made to go on with (a call, a refusal, a second answer), or something was asked for that must come from
    /// one upstream (a schema, log-probabilities).
    var isBarred = false
    /// How often it went on elsewhere, and after what.
    var resumes = 0
    var after = ErrorClass.none
    /// The upstream that goes on has begun to answer.
    var hasBegun = false
    /// White space at the end of the text was not sent along, because some upstreams refuse that; it is left out where it comes again.
    var isTrimmed = false
    /// A part that the client does not get is under way; some text came since the stream went on.
    var skipsPart = false
    var hasText = false
    /// What the parts so far used, and what that cost.
    var usage = Usage()
    var cost: Int64 = 0
    var hasCost = false
}

extension Usage {
    /// Both together; a guess where one of them is.
    func adding(_ other: Usage) -> Usage {
        func sum(_ a: Int64, _ b: Int64) -> Int64 {
            let (value, overflows) = a.addingReportingOverflow(b)
            return overflows ? .max / 8 : value
        }
        var out = self
        out.hasInput = hasInput || other.hasInput
        out.hasOutput = hasOutput || other.hasOutput
        out.freshInput = sum(freshInput, other.freshInput)
        out.cacheRead = sum(cacheRead, other.cacheRead)
        out.cacheWrite = sum(cacheWrite, other.cacheWrite)
        out.cacheWriteHour = sum(cacheWriteHour, other.cacheWriteHour)
        out.audioInput = sum(audioInput, other.audioInput)
        out.textOutput = sum(textOutput, other.textOutput)
        out.reasoning = sum(reasoning, other.reasoning)
        out.audioOutput = sum(audioOutput, other.audioOutput)
        out.statedTotal = 0
        out.saysCached = saysCached || other.saysCached
        out.saysReasoning = saysReasoning || other.saysReasoning
        out.isEstimated = isEstimated || other.isEstimated
        return out
    }
}
