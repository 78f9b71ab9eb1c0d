// One request of a control thread's, and what is told of its answer.
import CClaw

/// How a fetch connects. Equal ones share their connections.
struct FetchPolicy: Hashable {
    var caFile: String?
    var clientCertificate: String?
    var clientKey: String?
    var proxy: String?
    /// "HOST:PORT:ADDRESS:PORT", where the name to ask for is not the one to connect to.
    var connectTo: String?
    var skipsVerification = false
    var mayUseHTTP2 = false
    var connectMilliseconds: UInt32 = 5_000
}

struct FetchRequest {
    var method = "GET"
    var url: String
    /// "name: value", without CR and LF.
    var fields: [String] = []
    var body: [UInt8] = []
    var policy = FetchPolicy()
    /// The whole of it; 0: no end.
    var timeout: UInt64 = 10_000_000_000
    /// Without a byte of the answer; 0: any time.
    var silence: UInt64 = 0
    /// Of the answer; 0: for streams, whose reader has bounds of its own.
    var bytesMax = 4 << 20

    init(_ url: String) { self.url = url }
}

enum FetchEvent {
    /// Field lines as they came, each with CRLF.
    case head(status: Int, fields: String)
    case data(UnsafeRawBufferPointer)
    /// Nothing follows. What went wrong, or nil: the answer is whole.
    case ended(FetchFailure?)
}

struct FetchFailure: Error, CustomStringConvertible {
    enum Kind { case name, connect, timeout, tls, network, malformed, tooLarge, unusable }
    var kind: Kind
    var description: String
}

/// A whole answer.
struct Fetched {
    var status = 0
    var fields = ""
    var body: [UInt8] = []

    /// The value of a field, by its lower-case name.
    func field(_ name: String) -> String? { Self.field(name, in: fields) }

    static func field(_ name: String, in fields: String) -> String? {
        for line in fields.split(whereSeparator: \.isNewline) {
            guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == name else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            return String(value)
        }
        return nil
    }
}

/// A fetch under way. Owns the request's body until it is done.
final class Fetch {
    let on: (FetchEvent) -> Void
    let bytesMax: Int
    let silence: UInt64
    let body: UnsafeMutableRawBufferPointer
    let policy: FetchPolicy
    /// libcurl's number; -1: it has ended.
    var transfer: Int32 = -1
    var received = 0
    var heardAt: UInt64 = 0
    var whole: TimerQueue.ID?
    var quiet: TimerQueue.ID?

    init(_ request: FetchRequest, _ on: @escaping (FetchEvent) -> Void) {
        self.on = on
        bytesMax = request.bytesMax
        silence = request.silence
        policy = request.policy
        body = .allocate(byteCount: max(1, request.body.count), alignment: 1)
        body.copyBytes(from: request.body)
    }

    deinit { body.deallocate() }
}
