// A twin is an exchange that nobody has sent: it carries a copy of a request whose own exchange runs too. Two uses. A *shadow* is sent to a mirror, and its
// answer only compared with the client's. A *hedge* is sent to another candidate because the first is late; whichever has something for the client first gets
// the client, and the other is cancelled. While it is detached a twin has no client: what it would send is thrown away, it writes no account of its own, and
// nothing waits for it. Everything else of it (attempt, deadlines, dialects, relay) is that of any exchange.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire

/// What a detached exchange is for.
enum TwinRole: UInt8 {
    case none
    /// Its answer is read to the end and compared.
    case shadow
    /// It answers the client if it has something first.
    case hedge
    /// It had the client, until the other of the two was first.
    case loser
}

/// The label `result` of `openclaw_shadow_total`.
enum ShadowResult: UInt16 {
    case same, different, failed, incomplete, skipped
    static let names = ["same", "different", "failed", "incomplete", "skipped"]
    static func name(_ raw: UInt16) -> String { Int(raw) < names.count ? names[Int(raw)] : "other" }
}

/// The label `result` of `openclaw_hedges_total`.
enum HedgeResult: UInt16 {
    case won, lost, failed, refused
    static let names = ["won", "lost", "failed", "refused"]
    static func name(_ raw: UInt16) -> String { Int(raw) < names.count ? names[Int(raw)] : "other" }
}

/// The label `result` of `openclaw_resumes_total`.
enum ResumeResult: UInt16 {
    case resumed, failed, refused
    static let names = ["resumed", "failed", "refused"]
    static func name(_ raw: UInt16) -> String { Int(raw) < names.count ? names[Int(raw)] : "other" }
}

/// What came of one of two exchanges that are compared.
struct Outcome {
    var upstream: Int32 = -1
    var model = Bytes.empty
    var status: UInt16 = 0
    var errorClass = ErrorClass.none
    var isStream = false
    /// A good answer, whole.
    var isWhole = false
    var finishReason: InlineArray<24, UInt8> = .init(repeating: 0)
    var finishReasonLength: UInt8 = 0
    var usage = Usage()
    var cost: Int64?
    /// Of the answer's body, as it came from the upstream.
    var bytes: UInt64 = 0
    var latency: UInt64 = 0
    /// To the first token; 0: none came.
    var firstToken: UInt64 = 0
}

/// Belongs to a request and its shadow together; the last of the two to end writes the line and frees it.
struct Shadow {
    var primary = Outcome()
    var mirror = Outcome()
    /// One of the two has ended.
    var isHalf = false
}
