// Requests that ask to switch protocols (RFC 9110 §7.8; WebSocket: RFC 6455 §4). Such a request goes the way of every request: admission, routing, key,
// failover. Only what its route allows is asked of the upstream; anything else is ignored, and the request goes on as plain HTTP. A WebSocket
// to a model names its model in the query (`/v1/realtime?model=…`): it is routed and mapped like the one in a JSON body.
import CClaw
import ClawConfig
import ClawWire
import Glibc

extension Worker {
    // MARK: the request

    /// The head in `requestHead` has an Upgrade field: gives the exchange a tunnel if its route allows what is asked. False when the request was answered.
    func admitUpgrade(_ index: UInt32, _ route: UnsafeMutablePointer<PlanRoute>) -> Bool {
        let exchange = exchanges.base + Int(index)
        // An Upgrade that Connection does not name is not for us (§7.8); HTTP/1.0 has none; behind a body it would be the body's sender who switches.
        guard requestHead.connectionSaysUpgrade, exchange.pointee.versionMinor >= 1, exchange.pointee.bodyIsComplete, exchange.pointee.bodyLength == 0,
            let name = protocolAsked(exchange, route)
        else { return true }
        let isWebSocket = name.equals(Bytes("websocket").raw)
        if isWebSocket, exchange.pointee.method != .get { return true }
        let tunnel = UnsafeMutablePointer<Tunnel>.allocate(capacity: 1)
        tunnel.initialize(to: Tunnel(name: name, isWebSocket: isWebSocket))
        exchange.pointee.tunnel = tunnel
        return !leadsToModel(exchange, route) || takeModelFromQuery(index, tunnel)
    }

    /// The first of the client's protocols that the route allows, as the plan spells it.
    private func protocolAsked(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) -> Bytes? {
        let upgrades = route.pointee.upgrades
        if upgrades.count == 0 { return nil }
        for at in 0..<requestHead.fieldCount where requestHead.fields[at].name == .upgrade {
            let field = requestHead.fields[at]
            var list = TokenList(exchange.pointee.headBase + Int(field.valueOffset), Int(field.valueLength))
            while let token = list.next() {
                // protocol-name ["/" protocol-version]
                var length = 0
                while length < token.count, token.base[length] != 47 { length += 1 }
                for place in 0..<upgrades.count where isSameProtocol(token.base, length, upgrades[place].pointee) { return upgrades[place].pointee }
            }
        }
        return nil
    }

    private func isSameProtocol(_ token: UnsafePointer<UInt8>, _ count: Int, _ name: Bytes) -> Bool {
        guard count == name.count else { return false }
        for at in 0..<count {
            let c = token[at]
            if (c >= 65 && c <= 90 ? c + 32 : c) != name.base[at] { return false }
        }
        return true
    }

    private func leadsToModel(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) -> Bool {
        for at in 0..<route.pointee.targets.count where exchange.pointee.plan.pointee.upstreams[route.pointee.targets[at].pointee.upstream].pointee.isModel { return true }
        return false
    }

    /// Finds `model` in the query, decoded. Two of them could be read differently by us and by the upstream, as two in a JSON body: refused.
    private func takeModelFromQuery(_ index: UInt32, _ tunnel: UnsafeMutablePointer<Tunnel>) -> Bool {
        let exchange = exchanges.base + Int(index)
        let query = exchange.pointee.query
        var at = 0
        while exchange.pointee.hasQuery, at < query.count {
            var end = at
            while end < query.count, query[end] != 38 { end += 1 }
            var equal = at
            while equal < end, query[equal] != 61 { equal += 1 }
            if let name = decodeQuery(query, at, equal), Bytes("model").equals(scratch, name) {
                if tunnel.pointee.modelAt >= 0 {
                    answerError(index, .badRequest, detail: "the query has a second model", param: "model")
                    return false
                }
                tunnel.pointee.modelAt = min(equal + 1, end)
                tunnel.pointee.modelLength = end - tunnel.pointee.modelAt
                guard let count = decodeQuery(query, tunnel.pointee.modelAt, end), count <= Tunnel.modelBytesMax, isVisible(scratch, count) else {
                    answerError(index, .badRequest, detail: "model is not a name of at most 256 visible characters", param: "model")
                    return false
                }
                withUnsafeMutableBytes(of: &tunnel.pointee.model) { $0.copyMemory(from: UnsafeRawBufferPointer(start: scratch, count: count)) }
                tunnel.pointee.modelCount = count
            }
            at = end + 1
        }
        if tunnel.pointee.modelCount > 0 { exchange.pointee.requestedModel = modelText(tunnel) }
        return true
    }

    private func isVisible(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        for at in 0..<count where bytes[at] < 0x21 || bytes[at] > 0x7E { return false }
        return true
    }

    private func modelText(_ tunnel: UnsafeMutablePointer<Tunnel>) -> UnsafeRawBufferPointer {
        // The tunnel stays where it is until the exchange ends.
        let place = UnsafeRawPointer(tunnel) + (MemoryLayout<Tunnel>.offset(of: \.model) ?? 0)
        return UnsafeRawBufferPointer(start: place, count: tunnel.pointee.modelCount)
    }

    // MARK: towards the upstream

    /// The most that `writeQuery` and `writeUpgrade` add to a request's head: an id whose bytes are all escaped, and the two lines.
    static let upgradeBytesMax = 1024

    /// "?" and the query, with the model this attempt asks for.
    func writeQuery(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ writer: inout TextWriter) {
        let query = exchange.pointee.query
        let candidate = exchange.pointee.candidates[exchange.pointee.candidateNext - 1]
        guard let tunnel = exchange.pointee.tunnel, upstream.pointee.isModel, candidate.hasModel else {
            if exchange.pointee.hasKeyInQuery || (upstream.pointee.isModel && exchange.pointee.tunnel == nil) {
                writeWithoutKey(exchange, &writer)
            } else if exchange.pointee.hasQuery {
                writer.put(byte: 63)
                writer.put(query)
            }
            return
        }
        writer.put(byte: 63)
        if tunnel.pointee.modelAt < 0 {
            // The route names a model that the client did not.
            if query.count > 0 {
                writer.put(query)
                writer.put(byte: 38)
            }
            writer.put("model=")
            writeEscaped(candidate.model.id, &writer)
            return
        }
        let from = tunnel.pointee.modelAt, to = from + tunnel.pointee.modelLength
        if candidate.model.id.equals(modelText(tunnel)) {
            writer.put(query)
            return
        }
        writer.put(UnsafeRawBufferPointer(rebasing: query[..<from]))
        // `model` without "=": it gets one.
        if from == 0 || query[from - 1] != 61 { writer.put(byte: 61) }
        writeEscaped(candidate.model.id, &writer)
        writer.put(UnsafeRawBufferPointer(rebasing: query[to...]))
    }

    /// Percent-encoded but for unreserved characters (RFC 3986 §2.3).
    func writeEscaped(_ text: Bytes, _ writer: inout TextWriter) {
        for at in 0..<text.count {
            let c = text.base[at]
            if (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c == 45 || c == 46 || c == 95 || c == 126 {
                writer.put(byte: c)
            } else {
                writer.put(byte: 37)
                writer.put(byte: c >> 4 < 10 ? 48 + (c >> 4) : 55 + (c >> 4))
                writer.put(byte: c & 15 < 10 ? 48 + (c & 15) : 55 + (c & 15))
            }
        }
    }

    /// What asks the upstream for the switch; the client's fields for that ended here.
    func writeUpgrade(_ exchange: UnsafeMutablePointer<Exchange>, _ tunnel: UnsafeMutablePointer<Tunnel>, _ writer: inout TextWriter) {
        writeFieldsOfSwitch(tunnel, &writer)
        let key = requestHead.first(.secWebSocketKey)
        if key >= 0, !exchange.pointee.isConnect {
            write(requestHead.fields + key, exchange.pointee.headBase, &writer)
        } else if exchange.pointee.isConnect, tunnel.pointee.isWebSocket {
            writeWebSocketKey(&writer)
        }
    }

    private func write(_ field: UnsafeMutablePointer<HTTPField>, _ base: UnsafePointer<UInt8>, _ writer: inout TextWriter) {
        writer.put(base + Int(field.pointee.nameOffset), Int(field.pointee.nameLength))
        writer.put(": ")
        writer.put(base + Int(field.pointee.valueOffset), Int(field.pointee.valueLength))
        writer.put("\r\n")
    }

    /// The two fields every switch has, asked for or answered (RFC 9110 §7.8).
    private func writeFieldsOfSwitch(_ tunnel: UnsafeMutablePointer<Tunnel>, _ writer: inout TextWriter) {
        writer.put("connection: upgrade\r\nupgrade: ")
        writer.put(tunnel.pointee.name)
        writer.put("\r\n")
    }

    /// Sec-WebSocket-Protocol without the item in which browsers, which can't set other fields, carry a key: that key is for the gateway, like any
    /// other credential of a client's.
    func writeProtocols(_ field: UnsafeMutablePointer<HTTPField>, _ base: UnsafePointer<UInt8>, _ writer: inout TextWriter) {
        let carrier = Bytes("openai-insecure-api-key.")
        var list = TokenList(base + Int(field.pointee.valueOffset), Int(field.pointee.valueLength))
        var isFirst = true
        while let token = list.next() {
            if token.count >= carrier.count, isSameProtocol(token.base, carrier.count, carrier) { continue }
            writer.put(isFirst ? "sec-websocket-protocol: " : ", ")
            writer.put(token.base, token.count)
            isFirst = false
        }
        if !isFirst { writer.put("\r\n") }
    }

    // MARK: the answer

    /// A 101 has come that this attempt asked for (head at `base`): true when it switches to what was asked for, and the tunnel is open.
    func takeSwitch(_ index: UInt32, _ base: UnsafePointer<UInt8>) -> Bool {
        let exchange = exchanges.base + Int(index)
        guard let tunnel = exchange.pointee.tunnel, responseHead.versionMinor >= 1, switches(to: tunnel.pointee.name, base) else {
            attemptFailed(index, .upstreamMalformed)
            return false
        }
        guard let start = answerRoom(exchange, 4096 + answerFieldBytes(responseHead)) else {
            attemptFailed(index, .buffersExhausted)
            return false
        }
        exchange.pointee.firstByteAt = now
        exchange.pointee.attempts[exchange.pointee.attemptCount - 1].status = 101
        exchange.pointee.failure = nil
        let isStream = exchange.pointee.stream != 0
        exchange.pointee.status = isStream ? 200 : 101
        var writer = TextWriter(start)
        if !isStream { writer.put("HTTP/1.1 101 Switching Protocols\r\n") }
        copyFields(responseHead, base, isModel: presentUpstream(exchange).pointee.isModel, &writer)
        writeOwnFields(exchange, &writer)
        if isStream {
            commitAnswerLines(exchange, writer)
        } else {
            let accept = responseHead.first(.secWebSocketAccept)
            if accept >= 0 { write(responseHead.fields + accept, base, &writer) }
            writeFieldsOfSwitch(tunnel, &writer)
            writer.put("\r\n")
            commitAnswerText(exchange, writer)
        }
        openTunnel(index, tunnel)
        return true
    }

    /// A 101 must say what it switches to (RFC 9110 §15.2.2).
    private func switches(to name: Bytes, _ base: UnsafePointer<UInt8>) -> Bool {
        for at in 0..<responseHead.fieldCount where responseHead.fields[at].name == .upgrade {
            let field = responseHead.fields[at]
            var list = TokenList(base + Int(field.valueOffset), Int(field.valueLength))
            while let token = list.next() {
                var length = 0
                while length < token.count, token.base[length] != 47 { length += 1 }
                if isSameProtocol(token.base, length, name) { return true }
            }
        }
        return false
    }
}

/// The items of a comma-separated field value (RFC 9110 §5.6.1), white space taken off, empty ones left out.
struct TokenList {
    private let base: UnsafePointer<UInt8>
    private let count: Int
    private var at = 0

    init(_ base: UnsafePointer<UInt8>, _ count: Int) {
        self.base = base
        self.count = count
    }

    mutating func next() -> Bytes? {
        while at < count {
            var from = at
            while at < count, base[at] != 44 { at += 1 }
            var to = at
            at += 1
            while from < to, base[from] == 32 || base[from] == 9 { from += 1 }
            while to > from, base[to - 1] == 32 || base[to - 1] == 9 { to -= 1 }
            if to > from { return Bytes(base: base + from, count: to - from) }
        }
        return nil
    }
}
