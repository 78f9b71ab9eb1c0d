import CClaw
import ClawConfig
import Foundation
import Synchronization
import Testing

@testable import ClawEngine

/// Opening several listeners, unix sockets among them, and what a plan and a reload make of them.
@Suite struct ListenerTests {
    final class Scratch {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("clawlisten-\(UUID().uuidString.prefix(8))")
        init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(at: folder) }
        func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
        func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }
    }

    static func configuration(_ server: String, workers: Int = 2) throws -> Configuration {
        let text = "server: {workers: \(workers), admin: {listen_port: 0}, \(server)}\nlogging: {output: \"off\"}\nupstreams: {a: {type: generic, base_url: 'http://127.0.0.1:1', models: [m]}}\n"
        let load = loadConfiguration(text: text, name: "test", environment: [:])
        return try #require(load.configuration, "\(load.issues)")
    }

    static func gateway(_ server: String, workers: Int = 2) throws -> Gateway { try Gateway(configuration(server, workers: workers)) { _, _ in } }

    func end(_ gateway: Gateway) {
        gateway.drain(now: true)
        gateway.join()
    }

    /// The status of GET /v1/models at an address.
    func ask(_ address: ListenerAddress) throws -> String {
        var place = try #require(ListenerAddress.parse(address.address, address.port))
        let fd = socket(Int32(place.family), Int32(SOCK_STREAM.rawValue), 0)
        defer { close(fd) }
        var patience = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        let length = socklen_t(place.length)
        let connected = withUnsafePointer(to: &place.bytes) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, length) } }
        try #require(connected == 0, "\(address.url): errno \(errno)")
        let request = "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        try #require(request.withCString { send(fd, $0, strlen($0), 0) } == request.utf8.count)
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let got = recv(fd, &buffer, buffer.count, 0), got > 0 { answer += buffer[..<got] }
        return String(String(decoding: answer, as: UTF8.self).prefix(12))
    }

    @Test func everyListenerIsServedByEveryWorker() throws {
        let scratch = try Scratch()
        let gateway = try Self.gateway("listen_port: 0, listeners: [{name: a, address: localhost, port: 0}, {name: b, address: 'unix:\(scratch.path("b"))'}, {name: c, address: '::1', port: 0}]", workers: 3)
        try gateway.start()
        #expect(gateway.addresses.map(\.name) == ["main", "a", "b", "c"] && gateway.port == gateway.addresses[0].port)
        #expect(Set(gateway.addresses.map(\.port)).count == 4 && gateway.addresses[2].port == 0)
        #expect(gateway.addresses[2].url == "http://unix:\(scratch.path("b"))" && gateway.addresses[3].url == "http://[::1]:\(gateway.addresses[3].port)")
        #expect(gateway.runners.allSatisfy { $0.worker?.listeners.count == 4 })
        for address in gateway.addresses { for _ in 0..<8 { #expect(try ask(address) == "HTTP/1.1 200", "\(address.url)") } }
        let status = try #require(try JSONSerialization.jsonObject(with: Data(gateway.statusJSON().utf8)) as? [String: Any])
        let listed = try #require(status["listeners"] as? [[String: Any]])
        #expect(listed.map { $0["name"] as? String } == ["main", "a", "b", "c"] && listed.map { $0["port"] as? Int } == [gateway.addresses[0].port, gateway.addresses[1].port].map(Int.init) + [nil, Int(gateway.addresses[3].port)])
        #expect(listed[0]["protocols"] as? [String] == ["h2", "http/1.1"] && listed[0]["tls"] is NSNull && listed[0]["proxy_protocol"] as? Bool == false)
        #expect((status["libraries"] as? [String: Any])?.keys.sorted() == ["kernel_tls", "tls"])
        end(gateway)
        #expect(!scratch.exists("b"), "the socket file goes with the gateway")
    }

    @Test func deadSocketIsReplacedAndALiveOneRefused() throws {
        let scratch = try Scratch()
        var place = try #require(ListenerAddress.parse("unix:\(scratch.path("s"))", 0))
        let dead = claw_listen(&place, 1, 0)
        try #require(dead >= 0)
        _ = claw_os_close(dead)
        #expect(scratch.exists("s"))
        let first = try Self.gateway("listen_address: 'unix:\(scratch.path("s"))'")
        try first.start()
        #expect(try ask(first.addresses[0]) == "HTTP/1.1 200")
        let second = try Self.gateway("listen_port: 0, listeners: [{name: x, address: 'unix:\(scratch.path("own"))'}, {name: a, address: 'unix:\(scratch.path("s"))'}]")
        #expect { try second.start() } throws: { "\($0)".contains("another process answers there") && "\($0)".contains("server.listeners, a") }
        #expect(!scratch.exists("own"), "what was opened before the failure is taken back")
        #expect(try ask(first.addresses[0]) == "HTTP/1.1 200")
        end(first)
        #expect(!scratch.exists("s"))
    }

    @Test func fileThatIsNoSocketIsLeftAlone() throws {
        let scratch = try Scratch()
        try Data("precious".utf8).write(to: scratch.folder.appendingPathComponent("f"))
        let gateway = try Self.gateway("listen_address: 'unix:\(scratch.path("f"))'")
        #expect(throws: Gateway.StartFailure.self) { try gateway.start() }
        #expect(try String(contentsOfFile: scratch.path("f"), encoding: .utf8) == "precious")
    }

    @Test func fileOfAnotherProcessIsNotRemoved() throws {
        let scratch = try Scratch()
        let gateway = try Self.gateway("listen_address: 'unix:\(scratch.path("s"))'")
        try gateway.start()
        try FileManager.default.moveItem(atPath: scratch.path("s"), toPath: scratch.path("moved"))
        try Data().write(to: scratch.folder.appendingPathComponent("s"))
        end(gateway)
        #expect(scratch.exists("s"))
    }

    @Test func takenPortIsNamedWithItsListener() throws {
        var place = try #require(ListenerAddress.parse("127.0.0.1", 0)), own = claw_address()
        let fd = claw_listen(&place, 1, 0)
        defer { _ = claw_os_close(fd) }
        try #require(claw_local_address(fd, &own) == 0)
        let port = claw_address_port(&own)
        let gateway = try Self.gateway("listen_port: 0, listeners: [{name: extra, port: \(port)}]")
        #expect { try gateway.start() } throws: { "\($0)" == "cannot listen on 127.0.0.1:\(port): port \(port) is taken by another process (server.listeners, extra)" }
    }

    // MARK: reload

    @Test func listenersAreFixedAtStartButWhatTheySpeakIsNot() throws {
        let gateway = try Self.gateway("listen_port: 0, listeners: [{name: a, port: 0}]")
        #expect(gateway.reload(try Self.configuration("listen_port: 0, listeners: [{name: a, port: 0, protocols: [http/1.1]}]")) == nil)
        for (server, words) in [("listen_port: 0, listeners: [{name: b, port: 0}]", "server.listeners"), ("listen_port: 0", "server.listeners"), ("listen_port: 0, listeners: [{name: a, port: 1}]", "server.listeners"),
                                ("listen_port: 0, listeners: [{name: a, port: 0, proxy_protocol: true}]", "server.listeners"), ("listeners: [{name: a, port: 0}]", "server.listeners"),
                                ("listen_port: 1, listeners: [{name: a, port: 0}]", "server.listen_port "), ("listen_port: 0, listen_address: '::1', listeners: [{name: a, port: 0}]", "server.listen_address ")] {
            let problem = try #require(gateway.reload(try Self.configuration(server)), "\(server)")
            #expect(problem.hasPrefix(words) && problem.hasSuffix("can only change with a restart"), "\(problem)")
        }
    }

    // MARK: what a plan owns

    static let released = Atomic<Int>(0)

    @Test func whatCompilingMadeIsReleasedWithItsMemory() {
        var memory: PlanMemory? = PlanMemory()
        memory?.own(OpaquePointer(bitPattern: 16)!) { _ in ListenerTests.released.add(1, ordering: .relaxed) }
        memory?.own(OpaquePointer(bitPattern: 32)!) { _ in ListenerTests.released.add(1, ordering: .relaxed) }
        #expect(Self.released.load(ordering: .relaxed) == 0)
        memory = nil
        #expect(Self.released.load(ordering: .relaxed) == 2)
    }

    @Test func protocolTowardsAnUpstreamIsCompiled() throws {
        let load = loadConfiguration(text: """
            upstreams:
              a: {type: http, base_url: "http://127.0.0.1:1"}
              b: {type: http, base_url: "http://127.0.0.1:1", protocol: http2}
              c: {type: http, base_url: "https://127.0.0.1:1"}
              d: {type: http, base_url: "https://127.0.0.1:1", protocol: http1}
            """, name: "test", environment: [:])
        let owner = try PlanOwner(try #require(load.configuration), serial: 1, workers: 1, registry: Registry())
        #expect((0..<4).map { owner.ref.pointee.upstreams[$0].pointee.endpoints[0].pointee.speaksHTTP2 } == [false, true, true, false])
    }
}
