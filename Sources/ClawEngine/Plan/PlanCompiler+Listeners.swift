// The listeners' part of a plan: what their connections begin with, the settings of TLS made of the files as they are now, and which routes
// are for which listener.
import CClaw
import ClawConfig
import Glibc

extension Server {
    /// All listeners in the order of their sockets. A configuration made in code, not loaded from a file, may have none listed.
    var places: [Listener] {
        if !listeners.isEmpty { return listeners }
        var main = Listener(name: "main")
        main.address = listenAddress
        main.port = listenPort
        main.tls = tls
        return [main]
    }
}

extension PlanCompiler {
    mutating func listeners() throws(PlanFailure) -> [PlanListener] {
        var out: [PlanListener] = []
        for listener in configuration.server.places {
            var made: OpaquePointer?
            if let tls = listener.tls { made = try settings(tls, listener) }
            out.append(PlanListener(
                name: memory.text(listener.name), label: registry.label(.listener, listener.name), tls: made,
                takesHTTP1: listener.protocols.contains(.http1), takesHTTP2: listener.protocols.contains(.http2), hasProxyHeader: listener.proxyProtocol))
        }
        return out
    }

    private func settings(_ tls: ServerTLS, _ listener: Listener) throws(PlanFailure) -> OpaquePointer {
        let pairs = tls.pairs.map { claw_tls_pair(certificate: pointer($0.certificate), key: pointer($0.key)) }
        var options = claw_tls_server_options()
        options.client_verify = switch tls.clientAuth {
        case .none: UInt32(CLAW_TLS_CLIENT_NONE)
        case .optional: UInt32(CLAW_TLS_CLIENT_OPTIONAL)
        case .required: UInt32(CLAW_TLS_CLIENT_REQUIRED)
        }
        options.client_ca = pointer(tls.clientCA)
        options.version_min = tls.versionMin == .v13 ? 13 : 12
        options.alpn = (listener.protocols.contains(.http1) ? UInt32(CLAW_TLS_ALPN_HTTP1) : 0) | (listener.protocols.contains(.http2) ? UInt32(CLAW_TLS_ALPN_H2) : 0)
        options.ciphers = pointer(tls.ciphers)
        options.ciphersuites = pointer(tls.ciphersuites)
        options.tickets = registry.tickets(seconds: tls.ticketRotationSeconds)
        options.kernel_tls = tls.kernelTLS ? 1 : 0
        options.strict_sni = tls.strictSNI ? 1 : 0
        options.pair_count = UInt32(pairs.count)
        var made: OpaquePointer?
        var problem = [CChar](repeating: 0, count: 512)
        let result = pairs.withUnsafeBufferPointer { pairs in
            options.pairs = pairs.baseAddress
            return claw_tls_server(&options, &made, &problem, problem.count)
        }
        guard result == 0, let made else {
            let words = problem.withUnsafeBufferPointer { String(cString: $0.baseAddress.unsafelyUnwrapped) }
            throw PlanFailure(description: "listener \(listener.name): tls: \(words.isEmpty ? String(cString: strerror(-result)) : words)")
        }
        memory.own(made) { claw_tls_release($0) }
        return made
    }

    /// Bit per listener; 0: any.
    func listenerMask(_ names: [String]) -> UInt64 {
        var mask: UInt64 = 0
        for (at, listener) in configuration.server.places.enumerated() where at < 64 && names.contains(listener.name) { mask |= 1 << UInt64(at) }
        return mask
    }
}
