// What is probed: one endpoint of an upstream with active health, as text, made from the plan when it comes into force, so that a probe needs no plan.
import CClaw
import ClawConfig
import ClawDialect
import ClawPolicy
import ClawWire

struct ProbeTarget: Sendable {
    enum Question: Sendable {
        case connection(host: String, port: UInt16)
        /// One request for each key of the upstream, asked in turn, so that a bad key does not make its endpoints look bad.
        case requests([FetchRequest])
    }
    var upstream: String
    /// "https://host:port", as it is shown.
    var url: String
    var place: Int
    var generation: UInt32
    var settings: ProbeSettings
    var question: Question
    /// The dialect that the answer's usage is read in; nil: nobody counts tokens.
    var dialect: DialectID?

    /// Two with the same are one and the same target.
    var key: UInt64 { UInt64(place) << 32 | UInt64(generation) }
}

extension PlanOwner {
    /// The endpoints of all upstreams with active health, each place once.
    func probeTargets() -> [ProbeTarget] {
        var out: [ProbeTarget] = []
        for (at, upstream) in configuration.upstreams.enumerated() {
            guard let settings = upstream.probe else { continue }
            let compiled = ref.pointee.upstreams[at]
            var places: Set<Int> = []
            for number in 0..<compiled.pointee.endpoints.count {
                let endpoint = compiled.pointee.endpoints[number]
                guard places.insert(endpoint.pointee.place).inserted else { continue }
                out.append(target(upstream, settings, compiled, endpoint))
            }
        }
        return out
    }

    private func target(
        _ upstream: Upstream, _ settings: ProbeSettings, _ compiled: UnsafeMutablePointer<PlanUpstream>, _ endpoint: UnsafeMutablePointer<PlanEndpoint>
    ) -> ProbeTarget {
        let host = endpoint.pointee.host.string
        let bracketed = host.contains(":") ? "[\(host)]" : host
        let scheme = endpoint.pointee.isTLS ? "https" : "http"
        var target = ProbeTarget(
            upstream: upstream.name, url: "\(scheme)://\(bracketed):\(endpoint.pointee.port)", place: endpoint.pointee.place, generation: endpoint.pointee.generation,
            settings: settings, question: .connection(host: host, port: endpoint.pointee.port))
        // Cleartext HTTP/2 is our own client's alone, and AWS's signatures are made for requests of clients: there a connection has to do.
        guard compiled.pointee.signer == nil, !(endpoint.pointee.insistsOnHTTP2 && !endpoint.pointee.isTLS) else { return target }
        var base = FetchRequest("")
        base.policy.caFile = upstream.tls.caFile
        base.policy.clientCertificate = upstream.tls.clientCertificate
        base.policy.clientKey = upstream.tls.clientKey
        base.policy.proxy = upstream.proxy
        base.policy.skipsVerification = upstream.tls.insecureSkipVerify
        base.policy.mayUseHTTP2 = endpoint.pointee.isTLS && upstream.httpProtocol != .http1
        base.policy.connectMilliseconds = UInt32(clamping: max(1, min(upstream.connectTimeoutNanoseconds, settings.timeout) / 1_000_000))
        base.timeout = settings.timeout
        // The name of Host and of TLS, where it is not the address.
        let line = endpoint.pointee.hostLine.string.dropFirst("host: ".count).filter { !$0.isNewline }
        let authority = line.last == "]" || !line.contains(":") ? "\(line):\(endpoint.pointee.port)" : String(line)
        if authority != "\(bracketed):\(endpoint.pointee.port)" { base.policy.connectTo = "\(authority):\(bracketed):\(endpoint.pointee.port)" }
        let origin = "\(scheme)://\(authority)"
        var fields = Self.lines(compiled.pointee.headerLines) + ["user-agent: openclaw-probe/\(Build.version)"]
        switch settings.kind {
        case .tcp: return target
        case .http(let path):
            base.url = origin + path
            base.bytesMax = 1 << 20
            fields.append("accept: */*")
        case .modelHandshake:
            guard let (path, body) = Self.handshake(upstream, settings, compiled, endpoint) else { return target }
            base.url = origin + path
            base.method = "POST"
            base.body = body
            fields += ["content-type: application/json", "accept: application/json"] + Self.lines(compiled.pointee.defaultLines)
            target.dialect = compiled.pointee.dialect
        }
        let keys = (0..<compiled.pointee.keys.count).map { Self.lines(compiled.pointee.keys[$0].pointee.headerLine) }
        target.question = .requests((keys.isEmpty ? [[]] : keys).map { key in
            var request = base
            request.fields = fields + key
            return request
        })
        return target
    }

    private static func lines(_ bytes: Bytes) -> [String] { bytes.string.split(whereSeparator: \.isNewline).map(String.init) }

    /// The shortest completion there is, in the upstream's dialect: one word asked, one token answered (sixteen where the API takes no less). Its model is the
    /// configured one or the first that the upstream lists; nil: there is none.
    private static func handshake(
        _ upstream: Upstream, _ settings: ProbeSettings, _ compiled: UnsafeMutablePointer<PlanUpstream>, _ endpoint: UnsafeMutablePointer<PlanEndpoint>
    ) -> (path: String, body: [UInt8])? {
        let asked = settings.model.isEmpty ? upstream.models.first?.id ?? "" : settings.model
        let model = upstream.models.first { $0.alias == asked }?.id ?? asked
        guard !model.isEmpty, compiled.pointee.isModel else { return nil }
        let dialect = compiled.pointee.dialect
        let tokens = dialect == .responses ? 16 : 1
        let quoted = PlanCompiler.jsonString(model)
        let plain = Array("{\"model\":\(quoted),\"max_tokens\":\(tokens),\"messages\":[{\"role\":\"user\",\"content\":\"ping\"}]}".utf8)
        let name = Array(quoted.utf8.dropFirst().dropLast())
        let written: [UInt8]? = plain.withUnsafeBytes { body in
            name.withUnsafeBytes { name in
                var tape = JSONTape()
                guard tape.read(body) == nil else { return nil }
                let conversation = Conversation()
                conversation.reset(source: .chat)
                conversation.dropsUnsupported = true
                var target = Target(model: JSONBytes(name.baseAddress?.assumingMemoryBound(to: UInt8.self), name.count), quirks: compiled.pointee.quirks)
                target.maxOutputTokens = Int64(tokens)
                var out = JSONWriter()
                do throws(Refusal) {
                    try DialectID.chat.pieces.readRequest(tape.root, into: conversation)
                    try dialect.pieces.writeRequest(conversation, to: target, into: &out)
                } catch { return nil }
                return Array(out.bytes)
            }
        }
        guard let written else { return nil }
        let template = endpoint.pointee.path(dialect, .generate).pointee
        let path = template.head.string + (template.hasModel ? escaped(model) : "") + template.tail.string + template.query.string
        return (path.hasPrefix("/") ? path : "/" + path, written)
    }

    /// A segment of a path (RFC 3986 §3.3, without sub-delimiters that a server might read).
    private static func escaped(_ text: String) -> String {
        let hex = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E, 0x3A: out.append(byte)
            default: out += [0x25, hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
