// The head of the request as it goes upstream: the client's end-to-end fields, less what is the gateway's business (credentials, hop-by-hop fields,
// internal names), plus the key, the ids and the fields the upstream's configuration adds. Written once for both transports.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

extension Worker {
    /// Upper bound of what `writeFields` and `writeTarget` write together.
    func requestHeadBound(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>) -> Int {
        let endpoint = exchange.pointee.endpoint.unsafelyUnwrapped
        // Values can only shrink; the fixed part covers method, version, our own fields and the client's address.
        return Int(exchange.pointee.headLength) + exchange.pointee.path.count + endpoint.pointee.basePath.count + endpoint.pointee.hostLine.count
            + endpoint.pointee.origin.count + upstream.pointee.headerLines.count + 1024 + keyBytes(exchange, upstream)
            + (exchange.pointee.tunnel == nil ? 0 : Self.upgradeBytesMax) + upstream.pointee.defaultLines.count
            + (exchange.pointee.translation != nil || endpoint.pointee.hasOwnPaths || upstream.pointee.signer != nil ? Self.dialectBytesMax : 0)
    }

    private func keyBytes(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>) -> Int {
        let key = exchange.pointee.attempts[exchange.pointee.attemptCount - 1].key
        return key >= 0 ? upstream.pointee.keys[Int(key)].pointee.headerLine.count : 0
    }

    /// Base path, path and query. For model upstreams the base URL stands for the API's root, so the "/v1" of our own path gives way to it.
    func writeTarget(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ writer: inout TextWriter) {
        let endpoint = exchange.pointee.endpoint.unsafelyUnwrapped
        var path = exchange.pointee.path
        let start = writer.count
        if exchange.pointee.method == .options, path.count == 1, path[0] == 42 {
            writer.put("*")
            return
        }
        if upstream.pointee.isModel, exchange.pointee.tunnel == nil, let template = pathTemplate(exchange, upstream) {
            return writeTarget(exchange, template, &writer)
        }
        if upstream.pointee.isModel {
            let version: StaticString = "/v1"
            if path.count >= 3, sameBytes(path.baseAddress, version.utf8Start, 3), path.count == 3 || path[3] == 47 {
                path = UnsafeRawBufferPointer(rebasing: path[3...])
            }
        } else {
            let strip = exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.stripPrefix
            if strip.count > 0, path.count >= strip.count, sameBytes(path.baseAddress, strip.base, strip.count),
                path.count == strip.count || path[strip.count] == 47
            {
                path = UnsafeRawBufferPointer(rebasing: path[strip.count...])
            }
        }
        writer.put(endpoint.pointee.basePath)
        writer.put(path)
        if writer.count == start { writer.put(byte: 47) }
        writeQuery(exchange, upstream, &writer)
    }

    /// What paths, keys and signatures of dialects may add to a request's head: a model's name percent-encoded, and AWS's three fields.
    private static let dialectBytesMax = 3 * 1024 + 4096 + 2048

    /// The path of a dialect that has one of its own; nil where the client's own path does.
    private func pathTemplate(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>) -> UnsafeMutablePointer<PlanPathTemplate>? {
        let endpoint = exchange.pointee.endpoint.unsafelyUnwrapped
        guard exchange.pointee.method == .post, let front = exchange.pointee.surface.dialect else { return nil }
        guard let translation = exchange.pointee.translation else {
            // OpenAI's own dialects go to OpenAI's paths, but for Azure's, which have the model in them.
            return endpoint.pointee.hasOwnPaths ? endpoint.pointee.path(front, exchange.pointee.surface.operation) : nil
        }
        return translation._withUnsafeGuaranteedRef { translation in
            if !translation.isTranslated, exchange.pointee.surface == .ollamaGenerate { return endpoint.pointee.path(.ollamaGenerate, .generate) }
            if translation.operation == .generate, exchange.pointee.wantsStream { return endpoint.pointee.path(translation.back, .stream) }
            return endpoint.pointee.path(translation.back, translation.operation)
        }
    }

    private func writeTarget(_ exchange: UnsafeMutablePointer<Exchange>, _ template: UnsafeMutablePointer<PlanPathTemplate>, _ writer: inout TextWriter) {
        writer.put(template.pointee.head)
        if template.pointee.hasModel {
            let candidate = exchange.pointee.candidates[exchange.pointee.candidateNext - 1]
            if candidate.hasModel {
                writeEscaped(candidate.model.id, &writer)
            } else {
                writeAskedModel(exchange, &writer)
            }
        }
        let isForeign = exchange.pointee.translation?._withUnsafeGuaranteedRef { $0.isTranslated } ?? false
        guard !isForeign, exchange.pointee.surface.hasModelInPath else {
            writer.put(template.pointee.tail)
            if isForeign || template.pointee.query.count > 0 { writer.put(template.pointee.query) } else { writeWithoutKey(exchange, &writer) }
            return
        }
        // The client's own method and query, but for the key that may be in it.
        let path = exchange.pointee.path
        let colon = path.lastIndex(of: 58) ?? path.count
        writer.put(UnsafeRawBufferPointer(rebasing: path[colon...]))
        writeWithoutKey(exchange, &writer)
    }

    /// The client's query, but for the key that Gemini's clients put into it: it is for the gateway.
    func writeWithoutKey(_ exchange: UnsafeMutablePointer<Exchange>, _ writer: inout TextWriter) {
        var isFirst = true
        let query = exchange.pointee.query
        var at = 0
        while exchange.pointee.hasQuery, at < query.count {
            var end = at
            while end < query.count, query[end] != 38 { end += 1 }
            if end > at, !namesCredential(UnsafeRawBufferPointer(rebasing: query[at..<end])) {
                writer.put(byte: isFirst ? 63 : 38)
                writer.put(UnsafeRawBufferPointer(rebasing: query[at..<end]))
                isFirst = false
            }
            at = end + 1
        }
    }

    /// The client's own name of the model as a segment of a path. It stands in the body as JSON has it, where `/` may be written `\\/`.
    private func writeAskedModel(_ exchange: UnsafeMutablePointer<Exchange>, _ writer: inout TextWriter) {
        let asked = exchange.pointee.requestedModel
        guard let base = asked.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        guard exchange.pointee.modelSpan.isEscaped, asked.count <= 1024 else { return writeEscaped(Bytes(base: base, count: min(asked.count, 1024)), &writer) }
        withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 1) { plain in
            // With the quotes around it.
            let count = JSONText.unescape(UnsafeRawBufferPointer(start: base - 1, count: asked.count + 2), into: plain) ?? 0
            if let start = plain.baseAddress { writeEscaped(Bytes(base: start.assumingMemoryBound(to: UInt8.self), count: count), &writer) }
        }
    }

    /// Is this parameter of a query one that Google takes credentials from, however its name is escaped?
    private func namesCredential(_ parameter: UnsafeRawBufferPointer) -> Bool {
        func names(_ text: StaticString) -> Bool {
            var at = 0
            for place in 0..<text.utf8CodeUnitCount {
                guard at < parameter.count else { return false }
                var byte = parameter[at]
                if byte == 37, at + 2 < parameter.count, let high = Self.hexDigit(parameter[at + 1]), let low = Self.hexDigit(parameter[at + 2]) {
                    byte = high << 4 | low
                    at += 2
                }
                if byte != text.utf8Start[place] { return false }
                at += 1
            }
            return at == parameter.count || parameter[at] == 61
        }
        return names("key") || names("access_token")
    }

    /// Does this field belong to the dialect that the request was translated from?
    private func isOfClientsDialect(_ base: UnsafePointer<UInt8>, _ field: UnsafeMutablePointer<HTTPField>) -> Bool {
        let name = base + Int(field.pointee.nameOffset)
        let count = Int(field.pointee.nameLength)
        func begins(_ text: StaticString) -> Bool { count >= text.utf8CodeUnitCount && Self.sameName(name, text.utf8Start, text.utf8CodeUnitCount) }
        func names(_ text: StaticString) -> Bool { count == text.utf8CodeUnitCount && Self.sameName(name, text.utf8Start, count) }
        return names("content-type") || names("accept") || begins("anthropic-") || begins("openai-") || begins("x-goog-") || begins("x-stainless-") || begins("x-fern-") || begins("x-amz")
            || names("idempotency-key")
    }

    /// All field lines but Host and Content-Length, each with CRLF.
    func writeFields(_ index: UInt32, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ writer: inout TextWriter) {
        let exchange = exchanges.base + Int(index)
        restoreHead(index)
        let head = requestHead
        let base = exchange.pointee.headBase
        let fields = head.fields
        let isModel = upstream.pointee.isModel
        let key = exchange.pointee.attempts[exchange.pointee.attemptCount - 1].key
        // Where callers are known by keys, what looks like one is for the gateway, whoever the upstream is.
        let takesCredentials = isModel || key >= 0 || exchange.pointee.plan.pointee.callers.count > 0
        let isForeign = exchange.pointee.translation?._withUnsafeGuaranteedRef { $0.isTranslated && ($0.front != $0.back || exchange.pointee.continuation == nil) } ?? false
        var saysDefault = false
        for at in 0..<head.fieldCount {
            let field = fields + at
            switch field.pointee.name {
            case .host, .connection, .contentLength, .transferEncoding, .keepAlive, .te, .trailer, .upgrade, .proxyConnection, .proxyAuthorization,
                .proxyAuthenticate, .expect, .http2Settings, .xRequestId, .traceparent, .xOpenclaw, .xForwardedFor, .xForwardedProto, .xForwardedHost,
                .xForwardedPort, .forwarded, .xRealIp:
                continue
            case .authorization, .xApiKey, .apiKey, .xGoogApiKey:
                // A client's credentials are for the gateway. Only a plain API backend without a key of ours gets them.
                if takesCredentials { continue }
            case .secWebSocketKey:
                if exchange.pointee.tunnel != nil { continue }
            case .secWebSocketProtocol:
                if takesCredentials {
                    if !field.pointee.isNamedByConnection { writeProtocols(field, base, &writer) }
                    continue
                }
            case .cookie, .acceptEncoding:
                // A model's answer is read along, so it must come uncompressed.
                if isModel { continue }
            case .tracestate:
                break
            case .other:
                if field.pointee.hasUnderscore { continue }
            default: break
            }
            if field.pointee.isNamedByConnection { continue }
            if upstream.pointee.headerNames.count > 0, isReplaced(upstream, base, field) { continue }
            if isForeign, isOfClientsDialect(base, field) { continue }
            if upstream.pointee.defaultName.count > 0, Int(field.pointee.nameLength) == upstream.pointee.defaultName.count,
                Self.sameName(base + Int(field.pointee.nameOffset), upstream.pointee.defaultName.base, upstream.pointee.defaultName.count)
            {
                saysDefault = true
            }
            writer.put(base + Int(field.pointee.nameOffset), Int(field.pointee.nameLength))
            writer.put(byte: 58)
            writer.put(byte: 32)
            writer.put(base + Int(field.pointee.valueOffset), Int(field.pointee.valueLength))
            writer.put(byte: 13)
            writer.put(byte: 10)
        }
        if let tunnel = exchange.pointee.tunnel { writeUpgrade(exchange, tunnel, &writer) }
        if key >= 0 { writer.put(upstream.pointee.keys[Int(key)].pointee.headerLine) }
        if isForeign { writer.put("content-type: application/json\r\naccept: application/json, text/event-stream, */*\r\n") }
        if !saysDefault { writer.put(upstream.pointee.defaultLines) }
        if let signer = upstream.pointee.signer { signer._withUnsafeGuaranteedRef { writeSignature(exchange, upstream, $0, &writer) } }
        writer.put(upstream.pointee.headerLines)
        writer.put("x-request-id: ")
        withUnsafeBytes(of: exchange.pointee.requestID) {
            writer.put($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), Int(exchange.pointee.requestIDLength))
        }
        writer.put("\r\ntraceparent: 00-")
        writer.put(hex: exchange.pointee.traceHigh, digits: 16)
        writer.put(hex: exchange.pointee.traceLow, digits: 16)
        writer.put(byte: 45)
        writer.put(hex: nextRandom() | 1, digits: 16)
        writer.put(byte: 45)
        writer.put(hex: UInt64(exchange.pointee.traceFlags), digits: 2)
        writer.put(exchange.pointee.stream == 0 ? "\r\nvia: 1.1 openclaw-" : "\r\nvia: 2.0 openclaw-")
        writer.put(hex: instance, digits: 16)
        writer.put("\r\n")
        if !isModel {
            if exchange.pointee.clientDeadline != 0 {
                // What is left of it.
                writer.put("x-openclaw-deadline-ms: ")
                writer.put(number: max(1, (exchange.pointee.clientDeadline &- min(now, exchange.pointee.clientDeadline)) / 1_000_000))
                writer.put("\r\n")
            }
            writer.put("x-forwarded-for: ")
            write(connections.base[Int(exchange.pointee.connection)].peer, &writer)
            writer.put(connections.base[Int(exchange.pointee.connection)].isSecure ? "\r\nx-forwarded-proto: https\r\n" : "\r\nx-forwarded-proto: http\r\n")
            if head.hostLength > 0 {
                writer.put("x-forwarded-host: ")
                writer.put(base + head.hostOffset, head.hostLength)
                writer.put("\r\n")
            }
        }
    }

    private func isReplaced(_ upstream: UnsafeMutablePointer<PlanUpstream>, _ base: UnsafePointer<UInt8>, _ field: UnsafeMutablePointer<HTTPField>) -> Bool {
        for at in 0..<upstream.pointee.headerNames.count {
            let name = upstream.pointee.headerNames[at].pointee
            if name.count == Int(field.pointee.nameLength), Self.sameName(name.base, base + Int(field.pointee.nameOffset), name.count) { return true }
        }
        return false
    }

    static func sameName(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        for at in 0..<count where (a[at] | 32) != (b[at] | 32) { return false }
        return true
    }

    /// An address as text, at most 45 bytes.
    func write(_ peer: PeerAddress, _ writer: inout TextWriter) {
        switch peer.family {
        case 4:
            for shift in 0..<4 {
                if shift > 0 { writer.put(byte: 46) }
                writer.put(number: (peer.low >> UInt64(shift * 8)) & 255)
            }
        case 6:
            var raw = in6_addr()
            withUnsafeMutableBytes(of: &raw) {
                $0.storeBytes(of: peer.high, as: UInt64.self)
                $0.storeBytes(of: peer.low, toByteOffset: 8, as: UInt64.self)
            }
            writer.at.withMemoryRebound(to: CChar.self, capacity: 46) { text in
                _ = inet_ntop(AF_INET6, &raw, text, 46)
            }
            writer.at += strlen(UnsafeRawPointer(writer.at).assumingMemoryBound(to: CChar.self))
        default: writer.put("unix")
        }
    }
}
