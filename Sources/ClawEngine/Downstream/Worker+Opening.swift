// How a connection begins, before its first request: the PROXY header where the listener asks for one, the TLS handshake, and which version of HTTP
// is spoken (by ALPN over TLS, by the preface in clear text). Until then it holds no exchange and its time is `handshake_timeout_seconds`.
import CClaw
import ClawConfig
import ClawWire
import Glibc

extension Worker {
    private static let certificateTextMax = 4096

    func listener(of connection: UnsafeMutablePointer<Connection>) -> UnsafeMutablePointer<PlanListener> {
        plan.pointee.listeners[Int(connection.pointee.listener)]
    }

    /// The first step of a new connection.
    func open(_ index: UInt32) {
        let connection = connections.base + Int(index)
        let listener = listener(of: connection)
        if listener.pointee.hasProxyHeader {
            connection.pointee.state = .introducing
            timers.set(connectionTimers + Int(index), now + plan.pointee.handshakeTimeout)
            return receive(index, CLAW_RECEIVE_READABLE)
        }
        introduced(index)
    }

    /// Who the client is is known: TLS, or the first request.
    private func introduced(_ index: UInt32) {
        let connection = connections.base + Int(index)
        guard let tls = listener(of: connection).pointee.tls else {
            connection.pointee.state = .reading
            connection.pointee.headTimerRuns = true
            timers.set(connectionTimers + Int(index), now + plan.pointee.headerTimeout)
            return receive(index, CLAW_RECEIVE_BUFFERED)
        }
        guard Int(claw_handshakes(loop)) < plan.pointee.handshakesMax, claw_secure_server(loop, connection.pointee.fd, tls) == 0 else {
            metrics.add(.refused, RefusalLabel.handshakes.rawValue)
            return close(index, reset: true)
        }
        connection.pointee.state = .securing
        connection.pointee.isSecure = true
        timers.set(connectionTimers + Int(index), now + plan.pointee.handshakeTimeout)
        receive(index, CLAW_RECEIVE_BUFFERED)
    }

    /// READABLE while the PROXY header is awaited: exactly its bytes are read, because what follows may be TLS's.
    func readIntroduction(_ index: UInt32) {
        let connection = connections.base + Int(index)
        if connection.pointee.heldMemory == nil {
            connection.pointee.heldMemory = .allocate(capacity: ProxyHeader.bytesMax)
            connection.pointee.heldCapacity = UInt32(ProxyHeader.bytesMax)
        }
        guard let memory = connection.pointee.heldMemory else { return }
        while true {
            let held = Int(connection.pointee.heldLength)
            switch ProxyHeader.parse(UnsafeRawBufferPointer(start: memory, count: held)) {
            case .complete(_, let source):
                switch source {
                case .own: break
                case .ipv4(let address, _): connection.pointee.peer = PeerAddress(family: 4, high: 0, low: UInt64(address))
                case .ipv6(let high, let low, _): connection.pointee.peer = PeerAddress(family: 6, high: high, low: low)
                case .unix: connection.pointee.peer = PeerAddress()
                }
                dropHeld(index)
                return introduced(index)
            case .refused:
                metrics.add(.refused, RefusalLabel.proxyHeader.rawValue)
                return close(index, reset: true)
            case .needMore:
                let n = claw_recv(loop, connection.pointee.fd, memory + held, min(Self.missing(memory, held), ProxyHeader.bytesMax - held))
                if n == -Int64(EAGAIN) { return }
                if n <= 0 {
                    if held > 0 { metrics.add(.refused, RefusalLabel.proxyHeader.rawValue) }
                    return close(index, reset: false)
                }
                connection.pointee.heldLength += UInt32(n)
            }
        }
    }

    /// How many bytes a header that begins so has at least still to come. The shortest one has 15 ("PROXY UNKNOWN"), a line then ends at any byte, and
    /// version 2 says its length in its first 16.
    private static func missing(_ memory: UnsafePointer<UInt8>, _ held: Int) -> Int {
        if held < 15 { return 15 - held }
        if memory[0] == 0x50 { return 1 }
        if held < 16 { return 1 }
        return max(1, 16 + (Int(memory[14]) << 8 | Int(memory[15])) - held)
    }

    /// The handshake has ended, well or not.
    func secured(_ index: UInt32, _ result: Int32) {
        let connection = connections.base + Int(index)
        guard connection.pointee.state == .securing else { return }
        guard result == 0 else { return handshakeFailed(index, result) }
        var facts = claw_tls_facts()
        guard claw_secured(loop, connection.pointee.fd, &facts) == 0 else { return close(index, reset: true) }
        metrics.add(.handshakes, facts.version == 13 ? 13 : 12, facts.resumed == 0 ? 0 : 1)
        if let subject = facts.subject { keepCertificate(connection, subject, facts.names) }
        let listener = listener(of: connection)
        if facts.alpn == UInt32(CLAW_TLS_ALPN_H2) || !listener.pointee.takesHTTP1 { return startSession(index) }
        connection.pointee.state = .reading
        connection.pointee.headTimerRuns = true
        timers.set(connectionTimers + Int(index), now + plan.pointee.headerTimeout)
        receive(index, CLAW_RECEIVE_BUFFERED)
    }

    private func handshakeFailed(_ index: UInt32, _ result: Int32) {
        let connection = connections.base + Int(index)
        let label: RefusalLabel = switch result {
        case Int32(CLAW_TLS_PLAIN_HTTP): .plainOnTLS
        case Int32(CLAW_TLS_CERTIFICATE): .clientCertificate
        case Int32(CLAW_TLS_NAME): .serverName
        case Int32(CLAW_TLS_PROTOCOL): .alpn
        case Int32(CLAW_TLS_GONE): .handshakeGone
        default: .handshake
        }
        metrics.add(.refused, label.rawValue)
        guard result == Int32(CLAW_TLS_PLAIN_HTTP) else { return close(index, reset: false) }
        let text: StaticString = """
            HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 161\r\n\r\n\
            {"error":{"message":"this port speaks TLS: use https:// (plain HTTP was received)","type":"invalid_request_error","param":null,"code":"plain_http_on_tls_port"}}\n
            """
        var slice = claw_slice(base: text.utf8Start, length: text.utf8CodeUnitCount)
        _ = claw_send(loop, connection.pointee.fd, &slice, 1)
        // The request itself is left unread; a moment later the socket is closed.
        connection.pointee.state = .lingering
        _ = claw_shutdown_send(loop, connection.pointee.fd)
        receive(index, CLAW_RECEIVE_OFF)
        timers.set(connectionTimers + Int(index), now + 200_000_000)
    }

    private func keepCertificate(_ connection: UnsafeMutablePointer<Connection>, _ subject: UnsafePointer<CChar>, _ names: UnsafePointer<CChar>?) {
        func text(_ source: UnsafePointer<CChar>) -> Bytes {
            let count = min(strlen(source), Self.certificateTextMax)
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, count))
            memcpy(memory, source, count)
            return Bytes(base: UnsafePointer(memory), count: count)
        }
        let certificate = UnsafeMutablePointer<ClientCertificate>.allocate(capacity: 1)
        let none: StaticString = ""
        certificate.initialize(to: ClientCertificate(subject: text(subject), names: text(names ?? StaticWord.pointer(none))))
        connection.pointee.clientCertificate = certificate
    }

    func dropCertificate(_ connection: UnsafeMutablePointer<Connection>) {
        guard let certificate = connection.pointee.clientCertificate else { return }
        certificate.pointee.subject.base.deallocate()
        certificate.pointee.names.base.deallocate()
        certificate.deallocate()
        connection.pointee.clientCertificate = nil
    }

    /// Do these bytes, the first of a connection in clear text, begin an HTTP/2 session (RFC 9113 §3.4)? "PRI " begins no HTTP/1.1 request.
    @inline(__always)
    func beginsSession(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafePointer<UInt8>) -> Bool {
        guard connection.pointee.requests == 0, !connection.pointee.isSecure else { return false }
        let listener = listener(of: connection)
        if !listener.pointee.takesHTTP1 { return true }
        return base[0] == 0x50 && listener.pointee.takesHTTP2 && connection.pointee.heldLength >= 4 && base[1] == 0x52 && base[2] == 0x49 && base[3] == 0x20
    }
}
