// A link is one of our connections to an upstream endpoint (transport `direct`). It carries one transfer at a time and waits in its endpoint's pool
// between transfers. Anything that arrives while it waits poisons it.
import CClaw
import ClawWire

struct Link {
    enum State: UInt8 { case free, connecting, idle, active }
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
    init() {}
}

/// What a worker knows of one endpoint, over all plans: its addresses, its idle connections, who waits for one.
struct EndpointState {
    static let addressesMax = 8
    var idle: [UInt32] = []
    var open = 0
    /// Exchanges (index and generation) waiting for an address or a free connection, first in, first out.
    var waiting: [SlotToken] = []
    var addresses: [claw_address] = []
    var resolvedAt: UInt64 = 0
    var isResolving = false
    /// Where the next new connection begins in `addresses`.
    var nextAddress = 0
}
