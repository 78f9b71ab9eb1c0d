// What an exchange needs besides its bytes when its client and its upstream do not both speak OpenAI's API. Two uses. `isTranslated`: request and answer
// are read in one dialect and written in another. Otherwise both speak the same dialect, the bytes pass as they are, and the reader only reads along for
// usage, finish reason, errors and the commit barrier. One object per attempt; what it holds is bounded (see ARCHITECTURE, Limits).
import CClaw
import ClawDialect
import ClawWire

final class Translation {
    let front: DialectID
    let back: DialectID
    let operation: Operation
    let isTranslated: Bool
    var reader: StreamReader?
    var writer: StreamWriter?
    var scanner: WireScanner
    var context: AnswerContext
    /// The client's model, which the context names; the request may be gone by the time it is written.
    private let model: UnsafeMutablePointer<UInt8>
    /// Amazon's x-amzn-ErrorType, while an error's body comes in.
    var errorKind: [UInt8] = []
    /// Seconds from the upstream's Retry-After; 0: none.
    var retryAfter: UInt64 = 0

    init(front: DialectID, back: DialectID, operation: Operation, isTranslated: Bool, context: AnswerContext) {
        self.front = front
        self.back = back
        self.operation = operation
        self.isTranslated = isTranslated
        scanner = WireScanner(back.pieces.framing)
        model = .allocate(capacity: max(1, context.model.count))
        if let base = context.model.base { model.update(from: base, count: context.model.count) }
        self.context = context
        self.context.model = JSONBytes(model, context.model.count)
    }

    deinit { model.deallocate() }
}

/// Stands at the beginning of a block of the body store that holds written text.
struct WrittenBlock {
    var next: UnsafeMutablePointer<WrittenBlock>?
    var capacity: Int
}

/// What a worker keeps for all its translations: each is done within one call, so one of each is enough.
final class Translator {
    var tape = JSONTape()
    let conversation = Conversation()
    let embedding = EmbeddingRequest()
    let answer = Answer()
    let vectors = EmbeddingAnswer()
    let list = EventList()
    let box = ArenaBox()
    /// What a request, an answer or an event is written into.
    var out = JSONWriter()
    /// What is in `out` is a stream's text.
    var wroteStream = false
    /// The last error that a stream stated; its texts are valid until the next event is read.
    private(set) var streamError: ProviderError?
    func keep(streamError: ProviderError) { self.streamError = streamError }
}
