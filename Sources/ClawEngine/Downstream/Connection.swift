// A connection is a client's socket. It owns bytes that have arrived and belong to no exchange yet; everything about a request and its answer
// is the exchange's. Between requests it holds no buffer. Over HTTP/1.1 one exchange runs at a time, over HTTP/2 one on each stream.
import CClaw
import ClawWire

struct Connection {
    enum State: UInt8 {
        /// Not in use.
        case free
        /// Waiting for the PROXY header in front of everything else.
        case introducing
        /// The TLS handshake is running.
        case securing
        /// HTTP/2: each stream has an exchange of its own (`exchange` is the first of their list).
        case multiplexing
        /// HTTP/2, the socket is closed; the slot waits for the last exchange's account.
        case abandoned
        /// Open, waiting for (the rest of) a request head.
        case reading
        /// An exchange is running on it.
        case exchanging
        /// The last answer is sent; what still arrives is thrown away until the peer closes (RFC 9112 §9.6).
        case lingering
    }
    var generation: UInt32 = 0
    var fd: Int32 = -1
    var state = State.free
    var receiveMode: UInt8 = 0
    /// The socket's low-water mark.
    var receiveAtLeast: UInt32 = 1
    /// The peer has ended its side, and all it sent is read.
    var peerEnded = false
    /// The peer has ended its side, read or not: each exchange from now on finds out whether somebody is still there to read.
    var peerMayBeGone = false
    /// No further request is read on this connection.
    var closesAfter = false
    /// The deadline for the head being received is set.
    var headTimerRuns = false
    /// Queued for a flush at the end of this tick.
    var isDirty = false
    /// The kernel's send buffer is full; a WRITABLE event will come.
    var isBlocked = false
    /// Place of its listener in `Plan.listeners`.
    var listener: UInt8 = 0
    /// TLS is on.
    var isSecure = false
    /// HTTP/1.1: the running exchange, or noIndex. HTTP/2: the head of the list of all that run.
    var exchange: UInt32 = noIndex
    /// Exchanges running on streams.
    var streams: UInt32 = 0
    /// The HTTP/2 session (claw_h2).
    var session: OpaquePointer?
    /// HTTP/2: what is on its way to the socket, of all streams.
    var output = Output()
    /// HTTP/2: when bytes last came, and when a PING was sent that has no answer yet (0: none).
    var heardAt: UInt64 = 0
    var pingedAt: UInt64 = 0
    /// HTTP/2: streams refused and messages found malformed by the session, as far as they are counted.
    var refusedStreams: UInt32 = 0
    var malformedMessages: UInt32 = 0
    /// What the client proved about itself, if its certificate was asked for.
    var clientCertificate: UnsafeMutablePointer<ClientCertificate>?
    /// Bytes received and not yet used: a partial head, or requests sent ahead of their turn. In a loop buffer…
    var heldBuffer: UInt32 = noIndex
    var heldOffset: UInt32 = 0
    var heldLength: UInt32 = 0
    /// …or, when a head outgrows a buffer, in memory of its own (then heldBuffer is noIndex and heldOffset 0).
    var heldMemory: UnsafeMutablePointer<UInt8>?
    var heldCapacity: UInt32 = 0
    var requests: UInt32 = 0
    /// Bytes thrown away while lingering.
    var lingered: UInt32 = 0
    var parser = RequestParser()
    var peer = PeerAddress()
    init() {}
}

/// What a verified client certificate says, for routing.
struct ClientCertificate {
    /// RFC 2253 form: "CN=billing,O=Example".
    var subject: Bytes
    /// Its alternative names: "DNS:a.example,URI:spiffe://x/y".
    var names: Bytes
}

/// A client's address, small enough to keep per connection.
struct PeerAddress {
    /// 4, 6, or 0 for a unix socket.
    var family: UInt8 = 0
    var high: UInt64 = 0
    var low: UInt64 = 0

    init() {}
    init(family: UInt8, high: UInt64, low: UInt64) {
        self.family = family
        self.high = high
        self.low = low
    }
    init(fd: Int32) {
        var address = claw_address()
        guard claw_peer_address(fd, &address) == 0 else { return }
        withUnsafeBytes(of: &address.bytes) { raw in
            // struct sockaddr_in: family, port, address at 4; sockaddr_in6: flow information at 4, address at 8.
            if address.family == 2 {
                family = 4
                low = UInt64(raw.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
            } else if address.family == 10 {
                family = 6
                high = raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                low = raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
            }
        }
    }
}
