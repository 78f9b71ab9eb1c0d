// A link is one of our connections to an upstream endpoint (transport `direct`). Over HTTP/1.1 it carries one transfer at a time and waits in its
// endpoint's pool between transfers; anything that arrives while it waits poisons it. Over HTTP/2 it carries many (`multiplexing`).
import CClaw
import ClawWire

struct Link {
    enum State: UInt8 { case free, connecting, securing, idle, active, multiplexing }
    var generation: UInt32 = 0
    var fd: Int32 = -1
    var state = State.free
    var receiveMode: UInt8 = 0
    /// It has carried a transfer before (a lost connection may then be a stale one).
    var isReused = false
    /// At least one byte of the present answer has arrived.
    var sawBytes = false
    var isDirty = false
    var isBlocked = false
    /// At least one byte of the present request has been handed to the kernel.
    var sentAny = false
    /// The whole request has been handed to the kernel.
    var sentAll = false
    /// The present answer is complete.
    var answerDone = false
    /// Place of the endpoint (Registry).
    var place: Int32 = -1
    var exchange: UInt32 = noIndex
    /// Which of the endpoint's addresses is being tried.
    var addressIndex: UInt8 = 0
    var parser = ResponseParser()
    /// A response head that came in pieces.
    var heldBuffer: UInt32 = noIndex
    var heldLength: UInt32 = 0
    var heldMemory: UnsafeMutablePointer<UInt8>?
    var heldCapacity: UInt32 = 0
    var output = Output()
    /// The HTTP/2 session (claw_h2); then `exchange` is the head of the list of all it carries.
    var session: OpaquePointer?
    var streams: UInt32 = 0
    /// No further request is sent on it.
    var isClosing = false
    /// Others wait for it to be open.
    var isAwaited = false
    var heardAt: UInt64 = 0
    init() {}
}

/// What a worker knows of one endpoint, over all plans: its addresses, its idle connections, who waits for one.
struct EndpointState {
    static let addressesMax = 8
    /// Of the endpoint that has this place (`PlanEndpoint.generation`).
    var generation: UInt32 = 0
    var idle: [UInt32] = []
    var open = 0
    /// Links that speak HTTP/2, and whether one is being opened.
    var sessions: [UInt32] = []
    var isOpening = false
    /// Asked for HTTP/2, it chose HTTP/1.1.
    var prefersHTTP1 = false
    /// Exchanges (index and generation) waiting for an address or a free connection, first in, first out.
    var waiting: [SlotToken] = []
    var addresses: [claw_address] = []
    var resolvedAt: UInt64 = 0
    var isResolving = false
    /// Where the next new connection begins in `addresses`.
    var nextAddress = 0
}
