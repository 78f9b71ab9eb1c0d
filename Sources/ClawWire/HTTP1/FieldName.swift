import CScan

// Known field names and the table that finds them. The table is a perfect hash over at most three words of the name, so that a
// look-up is one multiplication and one comparison, whatever the name.

/// Fields the gateway treats by name; anything else is `.other`.
public enum FieldName: UInt8, Sendable, CaseIterable {
    case other = 0
    case host, connection, contentLength, transferEncoding, keepAlive, te, trailer, upgrade, proxyConnection
    case proxyAuthorization, proxyAuthenticate, expect, authorization, xApiKey, apiKey, xGoogApiKey
    case contentType, contentEncoding, accept, acceptEncoding, userAgent, cookie, setCookie
    case xRequestId, traceparent, tracestate, baggage, xForwardedFor, xForwardedProto, xForwardedHost, xForwardedPort, forwarded, xRealIp, via
    case date, server, retryAfter, retryAfterMs, cacheControl, location, altSvc, xSessionId
    /// Any name that begins with `x-openclaw-`.
    case xOpenclaw
    case openaiOrganization, openaiProject, openaiProcessingMs, http2Settings
    case secWebSocketKey, secWebSocketAccept, secWebSocketProtocol

    /// The name on the wire, lower case; "" for `.other`, the prefix for `.xOpenclaw`.
    public var spelling: StaticString {
        switch self {
        case .other: ""
        case .host: "host"
        case .connection: "connection"
        case .contentLength: "content-length"
        case .transferEncoding: "transfer-encoding"
        case .keepAlive: "keep-alive"
        case .te: "te"
        case .trailer: "trailer"
        case .upgrade: "upgrade"
        case .proxyConnection: "proxy-connection"
        case .proxyAuthorization: "proxy-authorization"
        case .proxyAuthenticate: "proxy-authenticate"
        case .expect: "expect"
        case .authorization: "authorization"
        case .xApiKey: "x-api-key"
        case .apiKey: "api-key"
        case .xGoogApiKey: "x-goog-api-key"
        case .contentType: "content-type"
        case .contentEncoding: "content-encoding"
        case .accept: "accept"
        case .acceptEncoding: "accept-encoding"
        case .userAgent: "user-agent"
        case .cookie: "cookie"
        case .setCookie: "set-cookie"
        case .xRequestId: "x-request-id"
        case .traceparent: "traceparent"
        case .tracestate: "tracestate"
        case .baggage: "baggage"
        case .xForwardedFor: "x-forwarded-for"
        case .xForwardedProto: "x-forwarded-proto"
        case .xForwardedHost: "x-forwarded-host"
        case .xForwardedPort: "x-forwarded-port"
        case .forwarded: "forwarded"
        case .xRealIp: "x-real-ip"
        case .via: "via"
        case .date: "date"
        case .server: "server"
        case .retryAfter: "retry-after"
        case .retryAfterMs: "retry-after-ms"
        case .cacheControl: "cache-control"
        case .location: "location"
        case .altSvc: "alt-svc"
        case .xSessionId: "x-session-id"
        case .xOpenclaw: "x-openclaw-"
        case .openaiOrganization: "openai-organization"
        case .openaiProject: "openai-project"
        case .openaiProcessingMs: "openai-processing-ms"
        case .http2Settings: "http2-settings"
        case .secWebSocketKey: "sec-websocket-key"
        case .secWebSocketAccept: "sec-websocket-accept"
        case .secWebSocketProtocol: "sec-websocket-protocol"
        }
    }

    /// Fields a Connection field may not take away (faults H1-27): who asks, for whom, and how the message is read.
    var isProtected: Bool {
        switch self {
        case .other, .connection, .keepAlive, .te, .trailer, .upgrade, .proxyConnection, .proxyAuthenticate, .http2Settings, .altSvc,
             .date, .server, .baggage: false
        default: true
        }
    }

    /// Looks a name up, letters in either case.
    public static func find(_ name: UnsafeRawBufferPointer) -> FieldName {
        guard let base = name.baseAddress else { return .other }
        return FieldNameTable.shared.find(base.assumingMemoryBound(to: UInt8.self), name.count)
    }
}

/// Perfect hash of the known names, built once per process and never freed. Heads keep a copy of its three words, so that parsing
/// touches no global.
struct FieldNameTable: @unchecked Sendable {
    /// At most three words that together hold every byte of a name of 2 … 24 bytes; longer names are never known ones.
    struct Words: Equatable {
        var first: UInt64, middle: UInt64, last: UInt64

        @inline(__always) init(first: UInt64, middle: UInt64, last: UInt64) { self.first = first; self.middle = middle; self.last = last }

        /// Overlapping loads from both ends: no byte outside the name is touched.
        @inline(__always) init(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
            let raw = UnsafeRawPointer(bytes)
            if count >= 8 {
                first = raw.loadUnaligned(as: UInt64.self)
                middle = count > 16 ? raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self) : 0
                last = raw.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
            } else if count >= 4 {
                first = UInt64(raw.loadUnaligned(as: UInt32.self)) | UInt64(raw.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self)) << 32
                middle = 0
                last = 0
            } else {
                first = UInt64(bytes[0]) | UInt64(bytes[1]) << 8 | UInt64(bytes[count &- 1]) << 16
                middle = 0
                last = 0
            }
        }
    }

    struct Entry {
        var words = Words(first: 0, middle: 0, last: 0)
        /// 0x20 in each byte where the name has a letter: or-ing it in folds letters and nothing else (0x0D | 0x20 would be "-").
        var folds = Words(first: 0, middle: 0, last: 0)
        /// 0 in the entry of empty slots, which no name matches.
        var count = 0
        var name = FieldName.other
    }

    private static let slotCount = 512
    private static let countMax = 24
    private let entries: UnsafePointer<Entry>
    private let slots: UnsafePointer<UInt8>
    private let multiplier: UInt64

    static let shared = FieldNameTable()

    /// Tries odd multipliers until no two names share a slot; a dozen or so do for fifty names in 512 slots.
    private init() {
        let names = FieldName.allCases.filter { $0 != .other && $0 != .xOpenclaw }
        let entries = UnsafeMutablePointer<Entry>.allocate(capacity: names.count + 1)
        entries.initialize(repeating: Entry(), count: names.count + 1)
        for (index, name) in names.enumerated() {
            let spelling = name.spelling
            let count = spelling.utf8CodeUnitCount
            precondition(count >= 2 && count <= Self.countMax, "a known field name has 2 … 24 bytes")
            let folds = (0..<count).map { spelling.utf8Start[$0] &- 97 < 26 ? UInt8(0x20) : 0 }
            entries[index + 1] = Entry(
                words: Words(spelling.utf8Start, count),
                folds: folds.withUnsafeBufferPointer { Words($0.baseAddress!, count) },
                count: count, name: name
            )
        }
        let slots = UnsafeMutablePointer<UInt8>.allocate(capacity: Self.slotCount)
        var multiplier: UInt64 = 0x9E37_79B9_7F4A_7C15
        search: while true {
            slots.initialize(repeating: 0, count: Self.slotCount)
            for index in 1...names.count {
                let slot = Self.slot(entries[index].words, entries[index].count, multiplier)
                if slots[slot] != 0 { multiplier = multiplier &* 0xD134_2543_DE82_EF95 | 1; continue search }
                slots[slot] = UInt8(index)
            }
            break
        }
        self.entries = UnsafePointer(entries)
        self.slots = UnsafePointer(slots)
        self.multiplier = multiplier
    }

    @inline(__always) private static func slot(_ words: Words, _ count: Int, _ multiplier: UInt64) -> Int {
        let fold: UInt64 = 0x2020_2020_2020_2020
        let mixed = (words.first | fold) &+ (words.last | fold) &* 31 &+ UInt64(truncatingIfNeeded: count)
        return Int(truncatingIfNeeded: (mixed &* multiplier) >> 55)
    }

    @inline(__always) func find(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> FieldName {
        if count >= 2 && count <= Self.countMax {
            let words = Words(bytes, count)
            let entry = entries + Int(slots[Self.slot(words, count, multiplier)])
            let difference = ((words.first | entry.pointee.folds.first) ^ entry.pointee.words.first)
                | ((words.middle | entry.pointee.folds.middle) ^ entry.pointee.words.middle)
                | ((words.last | entry.pointee.folds.last) ^ entry.pointee.words.last)
            if difference == 0 && entry.pointee.count == count { return entry.pointee.name }
        }
        // Ours begin with "x-o"; the rest of the prefix is looked at only then.
        if count > 11 && bytes[0] | 0x20 == 0x78 && bytes[2] | 0x20 == 0x6F && beginsFolded(bytes, "x-openclaw-") { return .xOpenclaw }
        return .other
    }
}
