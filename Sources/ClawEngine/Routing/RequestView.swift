// What routing looks at of a request, in one place: pointers into its head, path and body, what was found there, and who asks. A worker has one, filled
// from the exchange at hand before each decision; explaining fills its own from a described request. It owns the small memory that decisions need.
import ClawPolicy
import ClawWire

struct RequestView {
    var plan: PlanRef
    /// Nobody has sent it: no turn is taken and nothing is counted.
    var isDescribed = false
    var method = HTTPMethod.get
    /// Its place in `Plan.listeners`.
    var listener: UInt8 = 0
    var surface = Exchange.Surface.plain
    var hasQuery = false
    /// In normal form.
    var path = UnsafeRawBufferPointer(start: nil, count: 0)
    var query = UnsafeRawBufferPointer(start: nil, count: 0)
    /// As it was sent, with its port.
    var host = UnsafeRawBufferPointer(start: nil, count: 0)
    var headBase: UnsafePointer<UInt8>
    var fields: UnsafeMutablePointer<HTTPField>
    var fieldCount = 0
    var certificate: UnsafeMutablePointer<ClientCertificate>?

    // ---- who asks
    /// Index into `Plan.callers`, or -1.
    var caller: Int32 = -1
    /// Nobody knows yet who asks: conditions on the caller may hold.
    var callerIsOpen = false
    var peer = PeerAddress()

    // ---- the body
    var body: UnsafeMutablePointer<UInt8>?
    var bodyLength = 0
    var bodyIsJSON = false
    var spans: UnsafeMutablePointer<JSONSpan>
    var modelSpan = JSONSpan()
    /// The model where it is not in the body: of the path, or of a tunnel's query.
    var requestedModel = UnsafeRawBufferPointer(start: nil, count: 0)
    var hasModelInQuery = false
    var prompt = Prompt()

    // ---- memory
    /// Where texts are unescaped; `Worker.scratchBytes`.
    let scratch: UnsafeMutablePointer<UInt8>
    /// The host's name in lower case, without its port; its length, -1: not looked at yet, -2: too long to be any.
    let hostText: UnsafeMutablePointer<UInt8>
    var hostLength = -1
    static let hostBytesMax = 255
    /// Routes that may match, a bit each, and the union of one dimension (`RouteIndex`).
    let bits: UnsafeMutablePointer<UInt64>
    let union: UnsafeMutablePointer<UInt64>
    /// A bit for each of the plan's keywords that is in the prompt.
    let found: UnsafeMutablePointer<UInt64>
    let choice: Choice

    /// `scratch` must outlive the view.
    init(plan: PlanRef, head: RequestHead, spans: UnsafeMutablePointer<JSONSpan>, scratch: UnsafeMutablePointer<UInt8>) {
        self.plan = plan
        self.spans = spans
        self.scratch = scratch
        headBase = Bytes.empty.base
        fields = head.fields
        hostText = .allocate(capacity: Self.hostBytesMax + 1)
        bits = .allocate(capacity: RouteIndex.wordsMax)
        union = .allocate(capacity: RouteIndex.wordsMax)
        found = .allocate(capacity: (KeywordMatcher.keywordsMax + 63) / 64)
        choice = Choice()
    }

    func release() {
        hostText.deallocate()
        bits.deallocate()
        union.deallocate()
        found.deallocate()
        choice.release()
    }
}

extension Worker {
    /// Makes `view` describe this exchange, whose head `requestHead` describes.
    @inline(__always)
    func look(at exchange: UnsafeMutablePointer<Exchange>) {
        let connection = connections.base + Int(exchange.pointee.connection)
        view.pointee.plan = exchange.pointee.plan
        view.pointee.method = exchange.pointee.method
        view.pointee.listener = connection.pointee.listener
        view.pointee.surface = exchange.pointee.surface
        view.pointee.hasQuery = exchange.pointee.hasQuery
        view.pointee.path = exchange.pointee.path
        view.pointee.query = exchange.pointee.query
        view.pointee.headBase = exchange.pointee.headBase
        view.pointee.host = UnsafeRawBufferPointer(start: exchange.pointee.headBase + requestHead.hostOffset, count: requestHead.hostLength)
        view.pointee.hostLength = -1
        view.pointee.fieldCount = requestHead.fieldCount
        view.pointee.certificate = connection.pointee.clientCertificate
        view.pointee.caller = exchange.pointee.caller
        view.pointee.callerIsOpen = false
        view.pointee.body = exchange.pointee.bodyBase
        view.pointee.bodyLength = exchange.pointee.bodyLength
        view.pointee.bodyIsJSON = exchange.pointee.bodyIsJSON
        view.pointee.modelSpan = exchange.pointee.modelSpan
        view.pointee.requestedModel = exchange.pointee.requestedModel
        view.pointee.hasModelInQuery = exchange.pointee.tunnel?.pointee.modelCount ?? 0 > 0
        view.pointee.prompt.isRead = false
        view.pointee.peer = connection.pointee.peer
    }
}
