import CClaw
import ClawConfig
import ClawWire
import Testing

@testable import ClawEngine

/// Which route a request takes by where it came in and whose certificate it showed, over a worker that has no sockets.
@Suite struct RouteMatchTests {
    /// A worker with one connection and one request on it.
    final class Rig {
        let worker: Worker
        let owner: PlanOwner
        private let shared = Shared()
        private let exchange: UnsafeMutablePointer<Exchange>
        private let connection: UnsafeMutablePointer<Connection>
        private let certificate = UnsafeMutablePointer<ClientCertificate>.allocate(capacity: 1)
        private let memory = PlanMemory()
        private let head: UnsafeMutableRawBufferPointer

        init(_ configuration: Configuration) throws {
            owner = try PlanOwner(configuration, serial: 1, workers: 1, registry: Registry())
            claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
            var options = WorkerOptions()
            options.backend = UInt32(CLAW_BACKEND_PLAYED)
            options.connectionsMax = 16
            options.bufferCount = 16
            worker = try Worker(options: options, shared: shared, instance: 1)
            let text = "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
            head = .allocate(byteCount: text.utf8.count, alignment: 16)
            head.copyBytes(from: text.utf8)
            var parser = RequestParser()
            guard case .complete = parser.parse(UnsafeRawBufferPointer(head), limits: HeadLimits(), into: worker.requestHead) else { throw PlanFailure(description: "head") }
            guard let slot = worker.connections.take(), let place = worker.exchanges.take() else { throw PlanFailure(description: "slots") }
            connection = worker.connections.base + slot.index
            connection.initialize(to: Connection())
            exchange = worker.exchanges.base + place.index
            exchange.initialize(to: worker.blankExchange(place.index, owner.ref))
            let parsed = worker.requestHead
            exchange.pointee.connection = UInt32(slot.index)
            exchange.pointee.method = parsed.method
            exchange.pointee.headBase = UnsafePointer(try #require(head.baseAddress).assumingMemoryBound(to: UInt8.self))
            exchange.pointee.path = UnsafeRawBufferPointer(rebasing: head[parsed.pathOffset..<parsed.pathOffset + parsed.pathLength])
        }

        deinit {
            head.deallocate()
            certificate.deallocate()
        }

        func route(listener: UInt8 = 0, certificate shown: (subject: String, names: String)? = nil) -> String? {
            connection.pointee.listener = listener
            connection.pointee.clientCertificate = nil
            if let shown {
                certificate.initialize(to: ClientCertificate(subject: memory.text(shown.subject), names: memory.text(shown.names)))
                connection.pointee.clientCertificate = certificate
            }
            return worker.matchRoute(exchange).map { owner.ref.pointee.routes[$0].pointee.id.string }
        }
    }

    func rig(_ routes: String) throws -> Rig {
        let text = """
            server:
              listen_port: 0
              listeners:
                - {name: inside, port: 0}
                - {name: partners, port: 0, tls: {certificate: /etc/passwd, key: /etc/passwd, client_ca: /etc/passwd, client_auth: optional}}
            upstreams: {a: {type: generic, base_url: "http://127.0.0.1:1"}}
            routes:
            \(routes)
            """
        let load = loadConfiguration(text: text, name: "test", environment: [:])
        var configuration = try #require(load.configuration, "\(load.issues)")
        // Conditions on certificates need a listener that asks for them; the files themselves do not matter here.
        for at in configuration.server.listeners.indices { configuration.server.listeners[at].tls = nil }
        return try Rig(configuration)
    }

    @Test func requestsAreRoutedByListener() throws {
        let rig = try rig("""
              - {id: first, match: {listener: main}, strategy: {upstreams: [a]}}
              - {id: second, match: {listener: [partners]}, strategy: {upstreams: [a]}}
              - {id: both, match: {listener: [main, inside]}, strategy: {upstreams: [a]}}
            """)
        #expect(rig.route(listener: 0) == "first" && rig.route(listener: 1) == "both" && rig.route(listener: 2) == "second")
        #expect(rig.route(listener: 3) == nil)
    }

    @Test func noListenerMeansAny() throws {
        let rig = try rig("  - {id: any, strategy: {upstreams: [a]}}\n")
        for listener in 0..<3 { #expect(rig.route(listener: UInt8(listener)) == "any") }
    }

    static let shown = "DNS:a.example,URI:spiffe://x/billing,email:a@b,IP:10.0.0.1"

    @Test(arguments: [
        ("subject: 'CN=x,O=Example'", "CN=x,O=Example", shown, true), ("subject: 'CN=x'", "CN=x,O=Example", shown, false), ("subject: 'O=Example'", "CN=x,O=Example", shown, false),
        ("subject: {regex: '^CN=[a-z],'}", "CN=x,O=Example", shown, true), ("subject: {present: true}", "CN=x", "", true), ("subject: {present: true}", "", shown, false),
        ("subject: {present: false}", "", shown, true), ("san: 'DNS:a.example'", "", shown, true), ("san: 'IP:10.0.0.1'", "", shown, true), ("san: 'IP:10.0.0'", "", shown, false),
        ("san: 'a.example'", "", shown, false), ("san: 'DNS:a.example,URI:spiffe://x/billing'", "", shown, false), ("san: {regex: '^URI:spiffe://x/'}", "", shown, true),
        ("san: {regex: '^URI:spiffe://x/$'}", "", shown, false), ("san: {regex: ','}", "", shown, false), ("san: {present: true}", "CN=x", "", false), ("san: {present: false}", "CN=x", "", true),
        ("san: {present: true}", "", "DNS:a", true), ("san: ''", "CN=x", "", false), ("san: ''", "CN=x", "DNS:a,,DNS:b,", false), ("san: 'DNS:b'", "CN=x", "DNS:a,,DNS:b,", true),
        ("subject: 'CN=x', san: 'DNS:a.example'", "CN=x", shown, true), ("subject: 'CN=y', san: 'DNS:a.example'", "CN=x", shown, false), ("subject: 'CN=x', san: 'DNS:b'", "CN=x", shown, false),
    ])
    func conditionsOnTheClientsCertificateHold(_ row: (condition: String, subject: String, names: String, holds: Bool)) throws {
        let rig = try rig("  - {id: hit, match: {client_certificate: {\(row.condition)}}, strategy: {upstreams: [a]}}\n")
        #expect((rig.route(listener: 2, certificate: (row.subject, row.names)) == "hit") == row.holds)
    }

    @Test(arguments: [("subject: 'CN=x'", false), ("subject: {regex: ''}", false), ("subject: {present: true}", false), ("subject: {present: false}", true),
                      ("san: {regex: ''}", false), ("san: {present: false}", true), ("san: ''", false)])
    func withoutCertificateOnlyItsAbsenceHolds(_ row: (condition: String, holds: Bool)) throws {
        let rig = try rig("  - {id: hit, match: {client_certificate: {\(row.condition)}}, strategy: {upstreams: [a]}}\n")
        #expect((rig.route(listener: 0) == "hit") == row.holds)
    }
}
