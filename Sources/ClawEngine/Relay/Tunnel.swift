// A tunnel is what an exchange becomes when its upstream has switched protocols (101, RFC 9110 §7.8): from then on bytes pass both ways as they are
// until both ways have ended. The exchange owns one from the moment a request asks for a protocol its route allows; it is open once the 101 is
// on its way to the client. What moves the bytes is in Worker+Tunnel.swift, how it ends in Worker+TunnelEnd.swift.
import ClawWire

struct Tunnel {
    /// One way through.
    struct Way {
        var bytes: UInt64 = 0
        /// WebSocket: where this way stands.
        var frames = FrameTracker()
        /// The source has ended its side, or nothing more of it is passed on: what is queued goes out, then the end.
        var isEnded = false
        /// A close frame of ours stands behind all that goes this way. What the source still sends is followed, not passed on.
        var isSealed = false
        /// The close code that is put in when the way next stands between two frames; 0: none.
        var sealCode: UInt16 = 0
        /// Our end (FIN) has been sent.
        var finSent = false
        /// Whoever this way leads to is gone.
        var isBroken = false
        /// Messages already counted in the metrics.
        var counted: UInt64 = 0

        /// Nothing will go this way any more.
        var isOver: Bool { isBroken || finSent }
    }

    enum Party: UInt8 { case none, client, upstream, gateway }

    /// Why it ended, for the log. `peers`: as they agreed between themselves; `exhausted`: no buffer was left.
    enum End: UInt8 {
        case peers, idle, drain, client, upstream, exhausted
        var name: StaticString {
            switch self {
            case .peers: "peers"
            case .idle: "idle"
            case .drain: "drain"
            case .client: "client"
            case .upstream: "upstream"
            case .exhausted: "exhausted"
            }
        }
    }

    /// How long the peers have to end what has begun to end.
    static let endingNanoseconds: UInt64 = 5_000_000_000
    static let modelBytesMax = 256

    // ---- handshake
    /// The protocol asked for, of the plan.
    var name: Bytes
    var isWebSocket: Bool
    /// The model in the query, decoded, and where its value lies in the query; -1: there is none.
    var model: InlineArray<256, UInt8> = .init(repeating: 0)
    var modelCount = 0
    var modelAt = -1
    var modelLength = 0

    // ---- open
    var isOpen = false
    var openedAt: UInt64 = 0
    /// When bytes last moved, in or out, on either side.
    var movedAt: UInt64 = 0
    /// When it is ended whatever the peers do; 0: it is not ending.
    var endsAt: UInt64 = 0
    var fromClient = Way()
    var fromUpstream = Way()
    /// The client's side is not read because the upstream takes nothing.
    var isClientPaused = false
    /// HTTP/2: bytes of the client whose window has not been given back.
    var owed = 0
    /// The first close frame that went by, ours included.
    var closeCode: UInt16 = 0
    var closedBy = Party.none
    var end = End.peers

    init(name: Bytes, isWebSocket: Bool) {
        self.name = name
        self.isWebSocket = isWebSocket
    }
}
