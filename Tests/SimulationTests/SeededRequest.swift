import ClawWire

/// One request of a seeded play: what the client sends, and what may come back.
struct SeededRequest {
    enum Kind: CaseIterable {
        case chat, stream, embeddings, apiGet, apiPost, apiHead, models, badJSON, noRoute, garbage, tooLarge
    }

    let id: String
    let kind: Kind
    let bytes: [UInt8]
    let method: HTTPMethod
    /// The client asked for usage in the stream, so it must not be hidden.
    let wantsUsage: Bool
    let isOldVersion: Bool

    /// Is it answered by an upstream?
    var goesUpstream: Bool {
        switch kind {
        case .chat, .stream, .embeddings, .apiGet, .apiPost, .apiHead: true
        default: false
        }
    }

    /// Part of it may be sent only once, whatever happens.
    var isOnceOnly: Bool { kind == .apiPost }

    init(_ id: String, _ chance: inout Chance) {
        self.id = id
        let kinds: [Kind] = [.chat, .chat, .stream, .stream, .stream, .stream, .embeddings, .apiGet, .apiPost, .apiHead, .models]
        kind = chance.happens(8) ? chance.one(of: [.badJSON, .noRoute, .garbage, .tooLarge]) : chance.one(of: kinds)
        wantsUsage = chance.happens(20)
        isOldVersion = chance.happens(6)
        var fields = "host: gateway\r\nx-sim-id: \(id)\r\nx-request-id: \(id)\r\nauthorization: Bearer client-secret-\(id)\r\n"
        if chance.happens(5) { fields += "connection: close\r\n" }
        if isOldVersion, chance.happens(50) { fields += "connection: keep-alive\r\n" }
        let version = isOldVersion ? "HTTP/1.0" : "HTTP/1.1"
        let pad = String(repeating: "p", count: chance.happens(10) ? chance.number(1000...60_000) : chance.number(0...200))
        var line = "", body = ""
        switch kind {
        case .chat:
            line = "POST /v1/chat/completions"
            body = #"{"user":"\#(id)","model":"m","messages":[{"role":"user","content":"\#(pad)"}]}"#
        case .stream:
            line = "POST /v1/chat/completions"
            body = #"{"model":"m","stream":true,\#(wantsUsage ? #""stream_options":{"include_usage":true},"# : "")"user":"\#(id)","messages":[{"role":"user","content":"\#(pad)"}]}"#
        case .embeddings:
            line = "POST /v1/embeddings"
            body = #"{"input":"\#(pad)","user":"\#(id)","model":"m"}"#
        case .apiGet: line = "GET /api/things?id=\(id)"
        case .apiHead: line = "HEAD /api/things?id=\(id)"
        case .apiPost:
            line = "POST /api/things"
            body = #"{"user":"\#(id)","pad":"\#(pad)"}"#
        case .models: line = "GET /v1/models"
        case .badJSON:
            line = "POST /v1/chat/completions"
            body = #"{"model":"m","#
        case .noRoute: line = "GET /nowhere/\(id)"
        case .garbage: line = "G\u{1}T /"
        case .tooLarge:
            line = "POST /v1/chat/completions"
            fields += "content-length: 900000000\r\n"
        }
        method = switch kind {
        case .apiGet, .models, .noRoute: .get
        case .apiHead: .head
        default: .post
        }
        if !body.isEmpty {
            if !isOldVersion, chance.happens(15) {
                fields += "transfer-encoding: chunked\r\n"
                body = Self.chunked(body, &chance)
            } else {
                fields += "content-length: \(body.utf8.count)\r\n"
            }
            if !isOldVersion, chance.happens(5) { fields += "expect: 100-continue\r\n" }
        }
        bytes = Array("\(line) \(version)\r\n\(fields)\r\n\(body)".utf8)
    }

    static func chunked(_ text: String, _ chance: inout Chance) -> String {
        var rest = Substring(text), out = ""
        while !rest.isEmpty {
            let piece = rest.prefix(chance.piece(of: rest.count))
            out += Message.chunk(String(piece))
            rest = rest.dropFirst(piece.count)
        }
        return out + Message.lastChunk
    }
}
