// An exchange is one request and its answer. It belongs to a stream of a connection (HTTP/1.1: one at a time), lives in a slot, and ends in one
// place (`Worker.finish`), whatever happens: one answer, one account, one log line.
import ClawDialect
import ClawPolicy
import ClawWire

/// One attempt at an upstream, for the log.
struct Attempt {
    var upstream: Int32 = -1
    var key: Int32 = -1
    var status: UInt16 = 0
    var errorClass = ErrorClass.none
    var milliseconds: UInt32 = 0
    var model = Bytes.empty
    /// Place of the endpoint, or -1.
    var endpoint: Int32 = -1
    /// Which candidate it was, by its place in the list.
    var candidate: Int8 = -1
    /// Why this attempt was made.
    var why = AttemptReason.first
    /// What was taken for it and is to be given back once: a place among the upstream's concurrent requests, the breaker's leave, or its probe.
    var holdsPlace = false
    var breaker = BreakerHold.none
    var probeTicket: UInt32 = 0
    /// The key cools, and was let through all the same to see whether it still has to.
    var isKeyProbe = false
    /// True from its beginning to `closeAttempt`.
    var isOpen = false
}

/// What an attempt has of its upstream's breaker. `proven`: a probe whose answer began, which counts as good already.
enum BreakerHold: UInt8 { case none, pass, probe, proven }

/// Why an attempt was made: the word in the log's `attempts`.
enum AttemptReason: UInt8 {
    case first, backoff, spareKey, nextEndpoint, retry, nextCandidate, fallbackModel, largerWindow, hedge, probe, resume
    static let names: [StaticString] = [
        "first", "backoff", "spare_key", "next_endpoint", "retry", "next_candidate", "fallback_model", "larger_window", "hedge", "probe", "resume",
    ]
    var name: StaticString { Self.names[Int(rawValue)] }
}

/// One place the request may be sent to.
struct Candidate {
    static var none: Candidate { Candidate(upstream: -1, hasModel: false, model: PlanServed(id: .empty, json: .empty, label: 0, hash: 1)) }
    var upstream: Int32
    /// The model to send; hasModel false: the body stays as it is.
    var hasModel: Bool
    var model: PlanServed
    /// Place of its words in the outlook.
    var target: Int32 = 0
    /// One of the route's `fallback`, not of its strategy.
    var isFallback = false
    /// Its model is not the one that was asked for.
    var isOther = false
    /// Its model is another, and one that serves what was asked for could not be asked.
    var standsIn = false
    /// The strategy's figure it was ordered by (nanoseconds, nano-USD, load …); 0: none.
    var score: Int64 = 0
}

struct Exchange: ~Copyable {
    static let attemptsMax = 6
    /// Of the strategy and of the route's `fallback` together.
    static let candidatesMax = 8

    enum State: UInt8 {
        case free
        /// The request's body is being received.
        case receiving
        /// Waiting for a connection or for the answer's head.
        case attempting
        /// The answer's head is read and may be held back (commit barrier) or on its way.
        case relaying
        /// The upstream has switched protocols: bytes pass both ways (see `tunnel`).
        case tunnelling
        /// The answer is whole in `output`; waiting for the client to take it.
        case draining
    }

    var generation: UInt32 = 0
    var state = State.free
    var connection: UInt32 = noIndex
    /// Its stream on an HTTP/2 connection; 0: HTTP/1.1.
    var stream: UInt32 = 0
    /// Neighbours in the connection's list of exchanges (HTTP/2).
    var nextStream: UInt32 = noIndex
    var previousStream: UInt32 = noIndex
    var plan: PlanRef

    // ---- request
    var method = HTTPMethod.get
    var surface = Surface.plain
    var versionMinor: UInt8 = 1
    var keepAlive = true
    var expectsContinue = false
    /// The body is chunked and read with `requestChunks`.
    var isChunkedRequest = false
    var bodyIsComplete = false
    /// HTTP/2: an extended CONNECT (RFC 8441), which is a tunnel or nothing, and whether its client has ended its side.
    var isConnect = false
    var clientEnded = false
    /// HTTP/2: no body follows the head.
    var endsWithHead = false
    var wantsStream = false
    /// The upstream was asked for usage on our account; the client must not see it.
    var hidesUsage = false
    /// Head bytes, kept until no further attempt can follow.
    var headBase: UnsafePointer<UInt8>
    var headLength: UInt32 = 0
    var headBuffer: UInt32 = noIndex
    /// The head lies in memory of its own (it outgrew a buffer).
    var headMemory: UnsafeMutablePointer<UInt8>?
    /// Path and query in normal form, in the head or in `pathMemory`.
    var path: UnsafeRawBufferPointer
    var pathMemory: UnsafeMutablePointer<UInt8>?
    var query: UnsafeRawBufferPointer
    var hasQuery = false
    var bodyBase: UnsafeMutablePointer<UInt8>?
    var bodyLength = 0
    /// Bytes of a body with known length; -1: chunked, or not said (HTTP/2).
    var bodyExpected = 0
    /// The body lies in a block of this size of the worker's body store; 0: it lies in the head's buffer.
    var bodyCapacity = 0
    /// A small body from a stream lies in this shared buffer.
    var bodyBuffer: UInt32 = noIndex
    var requestChunks = ChunkedReader()
    /// The scan of a large body under way.
    var scan: UnsafeMutablePointer<BodyScan>?

    // ---- what the body said
    var bodyIsJSON = false
    var modelSpan = JSONSpan()
    var streamOptionsSpan = JSONSpan()
    var includeUsageSpan = JSONSpan()
    var insertOffset = 0
    var insertNeedsComma = false

    // ---- translation
    /// Present while an attempt's dialect is not OpenAI's on both sides.
    var translation: Unmanaged<Translation>?
    /// The body as the upstream gets it, where it is another than the client's: a block of the body store.
    var sentBody: UnsafeMutablePointer<UInt8>?
    var sentBodyLength = 0
    var sentBodyCapacity = 0
    /// The answer is held whole, to be written in the client's dialect or to be read along; a block of the body store.
    var collected: UnsafeMutablePointer<UInt8>?
    var collectedLength = 0
    var collectedCapacity = 0
    /// True exactly when nothing of the upstream's own bytes goes to the client: they are collected, or read as a stream and written anew.
    var isCollecting = false
    var isRewritten = false
    /// An error event of the upstream's went out in the client's dialect: none of ours follows.
    var isErrorWritten = false
    /// The upstream's field lines, while the body of its error is collected; owned.
    var savedFields: UnsafeMutablePointer<UInt8>?
    var savedFieldsLength = 0
    /// A plain answer that passes as it is and is read when it is whole.
    var collectsCopy = false
    /// What was written for the client and is too large for buffers: blocks of the body store, each with its `WrittenBlock` in front. They go when
    /// the output is empty.
    var writtenBlocks: UnsafeMutablePointer<WrittenBlock>?
    /// Why no candidate so far could express the request; `field` in front of NUL-free text, owned.
    var refusal400: UnsafeMutablePointer<UInt8>?
    var refusalFieldLength = 0
    var refusalLength = 0
    /// Names of what was left out of the request, comma between them, owned.
    var droppedNames: UnsafeMutablePointer<UInt8>?
    var droppedLength = 0
    /// Bytes of text and pieces of it that were streamed: what an estimate is made of where a stream was cut.
    var contentBytes: UInt64 = 0
    var contentEvents: UInt64 = 0
    /// Length of the request's body, for the same.
    var promptBytes = 0

    // ---- identity
    /// Up to 64 bytes of request id.
    var requestID: InlineArray<64, UInt8> = .init(repeating: 0)
    var requestIDLength: UInt8 = 0
    var traceHigh: UInt64 = 0
    var traceLow: UInt64 = 0
    /// True when the client sent a usable traceparent; its flags and parent are continued.
    var traceFlags: UInt8 = 1

    // ---- routing
    var route: Int32 = -1
    var candidates: Few<Candidate>
    var candidateCount = 0
    var candidateNext = 0
    var attempts: Few<Attempt>
    var attemptCount = 0
    var attemptsMax = 1
    /// Candidates that were tried once more (`LadderStep.retry`), a bit each.
    var retried: UInt8 = 0
    /// Candidates that were asked, or looked at and passed over, and those that may be asked after the last failure: a bit each.
    var passed: UInt8 = 0
    var reachable: UInt8 = .max
    /// Why the next attempt is made, and whether it needs a connection of its own.
    var why = AttemptReason.first
    var wantsFreshLink = false
    /// Why candidates could not be asked, and when the first of them can again; `.max`: not known.
    var refusals = Refusals()
    var refusedUntil: UInt64 = .max
    /// It has waited for a key to be usable again, which is done once.
    var hasWaited = false
    /// The class of an error inside a stream.
    var inBandClass = ErrorClass.serverError
    /// The class of the last failure that was moved on from.
    var movedBy = ErrorClass.none
    /// What the last failed attempt's upstream said, for the case that nobody else can be asked.
    var kept: UnsafeMutablePointer<KeptError>?
    /// Waits for a place among the concurrent requests of the upstream with this place in the outlook, or -1; waits for one of its keys, or -1. (What the
    /// exchange's timer means says neither: a slow client changes that while a stream waits to go on.)
    var queuedAt: Int32 = -1
    var recoveringAt: Int32 = -1
    /// How long the present answer, an error, says that its key should be left alone, in nanoseconds; 0: not said.
    var toldWait: UInt64 = 0
    /// Index into `Plan.callers`, or -1; and the tenant's number, 0 where there are no callers.
    var caller: Int32 = -1
    var tenant: UInt32 = 0
    /// The caller's key stands in the query, which goes nowhere with it.
    var hasKeyInQuery = false
    /// Tokens of the prompt, estimated; 0: not looked at.
    var promptTokens: UInt32 = 0
    /// What the client asked for (`max_tokens` and its kin); 0: nothing.
    var outputTokensAsked: UInt32 = 0
    /// Hash of what this request is told apart by (`strategy.by`), and of what its conversation begins with; 0: not known.
    var identity: UInt64 = 0
    var prefix: UInt64 = 0
    /// The client's own deadline (`x-openclaw-deadline-ms`), monotonic; 0: none.
    var clientDeadline: UInt64 = 0
    /// True exactly when nobody waits for this exchange's answer (a shadow's, a hedge's that has not won).
    var isDetached = false
    /// The requested model, unescaped, in the body or the head (for the log).
    var requestedModel: UnsafeRawBufferPointer

    // ---- attempt
    /// The upstream connection serving, or noIndex.
    var link: UInt32 = noIndex
    /// The curl transfer serving, or -1.
    var transfer: Int32 = -1
    /// Waiting in this endpoint's queue, or -1.
    var waitingAt: Int32 = -1
    var endpoint: UnsafeMutablePointer<PlanEndpoint>?
    /// The attempt may be repeated once on a fresh connection (it went out on a pooled one).
    var staleRetryUsed = false
    /// Connections of HTTP/2 that went away without having taken the present attempt.
    var turnedAway: UInt8 = 0
    var upstreamSaid100 = 0
    /// Its stream on a link that speaks HTTP/2; 0: none. The neighbours in the link's list.
    var upstreamStream: UInt32 = 0
    var nextOnLink: UInt32 = noIndex
    var previousOnLink: UInt32 = noIndex
    /// The body goes upstream as it comes (gRPC), instead of being held whole.
    var streamsBody = false
    /// HTTP/2: what of the request is still to be sent; some of it was; all of it is in there.
    var upload = Output()
    var uploadedAny = false
    var uploadIsWhole = false
    /// Received bytes whose window is given back when the client has taken them.
    var unconsumed = 0
    /// A request head too large for a buffer, until it is sent.
    var sentHeadMemory: UnsafeMutablePointer<UInt8>?

    // ---- answer
    var status: UInt16 = 0
    /// Something of the answer has been handed to the client's socket.
    var isCommitted = false
    /// The head is made but held back until the first content event.
    var isHeld = false
    var isStream = false
    var answerIsChunked = false
    /// HTTP/2: the answer's field lines, until they are handed to the session.
    var answerLines = Segment(base: Bytes.empty.base, length: 0, buffer: noIndex)
    /// Field lines behind the body.
    var trailers = Segment(base: Bytes.empty.base, length: 0, buffer: noIndex)
    var trailersMemory: UnsafeMutablePointer<UInt8>?
    var hasGivenTrailers = false
    /// HTTP/2: in the list of streams whose output is looked at when the turn ends.
    var isOffered = false
    var answerHasBody = true
    /// The upstream's body, as it is framed there; remaining for a known length.
    var upstreamFraming = BodyFraming.none
    var upstreamRemaining: UInt64 = 0
    var upstreamKeepsAlive = false
    /// Body bytes taken from the upstream, after its framing.
    var bytesRelayed: UInt64 = 0
    /// A model's plain JSON answer: its usage is read along.
    var answerIsJSON = false
    /// An answer head too large for a buffer, or the error event of a truncated stream.
    var answerMemory: UnsafeMutablePointer<UInt8>?
    /// The client must not take what it has for a whole answer: its connection is reset at the end.
    var resetsClient = false
    /// While the usage event is being hidden: the unfinished event at the end of the last read.
    var holdback: UnsafeMutablePointer<UInt8>?
    var holdbackLength = 0
    /// An event that was left out ended with CR at the end of what was there: a LF behind it goes with it.
    var hidesLineFeed = false
    static let holdbackMax = 8192
    /// The request asks for another protocol, and its route allows it.
    var tunnel: UnsafeMutablePointer<Tunnel>?
    /// Path, model and method of the request for the log, once the request itself is let go.
    var logMemory: UnsafeMutablePointer<UInt8>?
    var answerChunks = ChunkedReader()
    var events = EventScanner()
    /// The upstream's stream ended in the middle of an event.
    var endedInEvent = false
    var sawDone = false
    var sawFinish = false
    var sawContent = false
    var output = Output()
    /// Buffers of upstream data waiting in `output`.
    var heldBuffers: UInt32 = 0
    var isPaused = false
    /// A piece of the answer found no buffer.
    var lostBytes = false
    /// Bytes of unfinished event held back while the usage event is being hidden.
    var tail = TailWindow()

    // ---- account
    var usage = Usage()
    var serviceTier = ServiceTier.standard
    /// Nano-USD; nil: not known.
    var cost: Int64?
    var finishReason: InlineArray<24, UInt8> = .init(repeating: 0)
    var finishReasonLength: UInt8 = 0
    var failure: FailureKind?
    /// A stable word for what was wrong with the request, for the log; static text.
    var refusal: UnsafePointer<CChar>?
    var clientGone = false
    /// In the list of those that end.
    var isEnding = false
    var upstreamCut = false
    var startedAt: UInt64 = 0
    var attemptStartedAt: UInt64 = 0
    var sentAt: UInt64 = 0
    var firstByteAt: UInt64 = 0
    var firstContentAt: UInt64 = 0
    var lastContentAt: UInt64 = 0
    var overhead: UInt64 = 0
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0

    // ---- twins (see Twin/)
    var twin = TwinRole.none
    /// A request and its hedge name each other here, while it is open which of them answers.
    var partner: UInt32 = noIndex
    var hasHedged = false
    /// The attempt at this place of the list began after the one behind it: a hedge that lost. -1: none.
    var hedgePlace: Int8 = -1
    /// Shared by a request and its shadow, until both have ended.
    var shadow: UnsafeMutablePointer<Shadow>?
    /// What a stream that may go on at another upstream has delivered so far.
    var continuation: Unmanaged<Continuation>?

    // ---- timers
    /// When a second attempt begins beside the first, if nothing has come by then; 0: never.
    var hedgeAt: UInt64 = 0
    var totalDeadline: UInt64 = 0
    /// What the exchange's timer means when it fires.
    enum TimerMeaning: UInt8 { case none, body, connect, firstByte, idle, write, errorBody, backoff, place, recovery }
    var phaseDeadline: UInt64 = 0
    var phase = TimerMeaning.none
    var pingAt: UInt64 = 0
    /// When the client's FIN is to be checked (see Worker.probe).
    var probeAt: UInt64 = 0

    /// The places of `candidates` and `attempts` are the slot's, which outlive this use of it.
    init(plan: PlanRef, candidates: Few<Candidate>, attempts: Few<Attempt>) {
        self.plan = plan
        self.candidates = candidates
        self.attempts = attempts
        headBase = Bytes.empty.base
        path = UnsafeRawBufferPointer(start: nil, count: 0)
        query = path
        requestedModel = path
    }
}

/// The last bytes of a plain answer that came in several buffers, where its usage object is looked for.
struct TailWindow {
    static let size = 2048
    var base: UnsafeMutablePointer<UInt8>?
    var length = 0

    mutating func append(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        if base == nil { base = .allocate(capacity: Self.size) }
        guard let base else { return }
        if count >= Self.size {
            base.update(from: bytes + (count - Self.size), count: Self.size)
            length = Self.size
            return
        }
        let keep = min(length, Self.size - count)
        if keep < length { (base).update(from: base + (length - keep), count: keep) }
        (base + keep).update(from: bytes, count: count)
        length = keep + count
    }

    mutating func release() {
        base?.deallocate()
        base = nil
        length = 0
    }
}

/// The scan of a body that arrives in pieces: the scanner's state and where it writes its spans.
struct BodyScan {
    static let depthMax = 128
    var scanner: FieldScanner
    let spans: UnsafeMutablePointer<JSONSpan>
    var progress = JSONProgress.needMore

    init(plan: PlanRef) {
        scanner = FieldScanner(paths: plan.pointee.paths._withUnsafeGuaranteedRef { $0 }, depthMax: Self.depthMax)
        spans = .allocate(capacity: plan.pointee.pathCount)
        spans.initialize(repeating: JSONSpan(), count: plan.pointee.pathCount)
    }

    func release() { spans.deallocate() }
}
