import Foundation
import Testing
@testable import ClawConfig

/// Listeners, their TLS, the limits of HTTP/2, and the conditions on both in routes. What is wrong with them is in Golden/issues.txt.
@Suite struct ListenerTests {
    static let one = "upstreams:\n  a: {type: generic, base_url: 'http://127.0.0.1:1/v1'}\n"
    /// Files to be read; what is in them is not looked at here.
    static let pem = "/etc/passwd", other = "/etc/group"

    func loaded(_ text: String) throws -> Configuration {
        let result = load(Self.one + text)
        #expect(result.issues.map(\.description) == [])
        return try #require(result.configuration)
    }

    @Test func withoutListenersThereIsMainInClearText() throws {
        let server = try loaded("server: {listen_address: '::1', listen_port: 7}\n").server
        #expect(server.listeners.map(\.name) == ["main"] && server.listeners[0].address == "::1" && server.listeners[0].port == 7)
        #expect(server.listeners[0].tls == nil && server.listeners[0].protocols == [.http2, .http1] && !server.listeners[0].proxyProtocol)
        #expect(server.handshakesMax == 4096 && server.handshakeTimeoutNanoseconds == 10_000_000_000)
    }

    @Test(arguments: [("", ["a"]), ("listen_port: 1", ["main", "a"]), ("listen_address: 127.0.0.2", ["main", "a"]),
                      ("tls: {certificate: /etc/passwd, key: /etc/passwd}", ["main", "a"])])
    func listenersAreTheOnlyOnesWhenNothingIsSaidOfMain(_ row: (main: String, names: [String])) throws {
        let server = try loaded("server:\n  listeners: [{name: a, port: 2}]\n  \(row.main)\n").server
        #expect(server.listeners.map(\.name) == row.names)
    }

    @Test func bindOfOpenclawJSONSaysThatMainIsWanted() throws {
        let server = try loaded("server: {listeners: [{name: a, port: 2}]}\ngateway: {bind: '127.0.0.1:3'}\n").server
        #expect(server.listeners.map(\.name) == ["main", "a"] && server.listeners[0].port == 3)
    }

    @Test func everyOptionOfListenersLands() throws {
        let server = try loaded("""
        server:
          listen_port: 1
          tls: {certificate: \(Self.pem), key: \(Self.other), client_ca: \(Self.pem), client_auth: optional, min_version: 1.2, ciphers: "ECDHE-RSA-AES128-GCM-SHA256",
                ciphersuites: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", ticket_rotation_seconds: 0, kernel_tls: false, strict_sni: true}
          listeners:
            - {name: a, address: "unix:/run/a", proxy_protocol: true, protocols: http/1.1}
            - name: b
              address: 0.0.0.0
              port: 0
              protocols: [h2]
              tls: {certificates: [{certificate: \(Self.pem), key: \(Self.pem)}, {certificate: \(Self.other), key: \(Self.other)}], client_ca: \(Self.other), min_version: "1.3"}
          http2: {max_concurrent_streams: 1, max_resets: 2, resets_per_second: 3, max_control_frames: 4, control_frames_per_second: 5, max_continuations: 6,
                  stream_window_kb: 64, connection_window_kb: 128, ping_seconds: 0.5, websocket: false}
          max_handshakes: 9
          handshake_timeout_seconds: 2.5
        """).server
        let main = try #require(server.listeners[0].tls), b = try #require(server.listeners[2].tls)
        #expect(main.pairs == [.init(certificate: Self.pem, key: Self.other)] && main.clientCA == Self.pem && main.clientAuth == .optional)
        #expect(main.versionMin == .v12 && main.ciphers == "ECDHE-RSA-AES128-GCM-SHA256" && main.ciphersuites == "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384")
        #expect(main.ticketRotationSeconds == 0 && !main.kernelTLS && main.strictSNI)
        #expect(b.pairs.count == 2 && b.pairs[1] == .init(certificate: Self.other, key: Self.other) && b.versionMin == .v13)
        #expect(b.ticketRotationSeconds == 43200 && b.kernelTLS && !b.strictSNI && b.ciphers == nil && b.ciphersuites == nil)
        #expect(b.clientAuth == .required, "client_ca without client_auth asks everybody")
        let a = server.listeners[1]
        #expect(a.address == "unix:/run/a" && a.proxyProtocol && a.protocols == [.http1] && a.tls == nil && server.listeners[2].protocols == [.http2])
        let http2 = server.http2
        #expect(http2.streamsMax == 1 && http2.resetsMax == 2 && http2.resetsPerSecond == 3 && http2.controlFramesMax == 4 && http2.controlFramesPerSecond == 5)
        #expect(http2.continuationsMax == 6 && http2.streamWindowBytes == 65536 && http2.connectionWindowBytes == 131072)
        #expect(http2.pingNanoseconds == 500_000_000 && !http2.webSocket)
        #expect(server.handshakesMax == 9 && server.handshakeTimeoutNanoseconds == 2_500_000_000)
    }

    @Test func conditionsOnListenersAndClientCertificatesLand() throws {
        let configuration = try loaded("""
        server: {listeners: [{name: a, port: 1}, {name: b, port: 2, tls: {certificate: \(Self.pem), key: \(Self.pem), client_ca: \(Self.pem)}}]}
        routes:
          - {match: {listener: a}, strategy: {upstreams: [a]}}
          - {match: {listener: [a, b], client_certificate: {subject: CN=x, san: {regex: "^URI:spiffe://"}}}, strategy: {upstreams: [a]}}
          - {match: {client_certificate: {san: {present: false}}}, strategy: {upstreams: [a]}}
        """)
        let routes = configuration.routes
        #expect(routes[0].match.listeners == ["a"] && routes[1].match.listeners == ["a", "b"] && routes[2].match.listeners == [])
        guard case .equals("CN=x") = routes[1].match.clientSubject, case .regex("^URI:spiffe://") = routes[1].match.clientName,
              case .present(false) = routes[2].match.clientName, routes[2].match.clientSubject == nil else { Issue.record("conditions"); return }
    }

    @Test func aRouteForOneListenerDoesNotHideTheNext() throws {
        _ = try loaded("""
        server: {listen_port: 1, listeners: [{name: a, port: 2}]}
        routes:
          - {match: {listener: a}, strategy: {upstreams: [a]}}
          - {strategy: {upstreams: [a]}}
        """)
    }

    @Test func HTTPVersionTowardsAnUpstreamLands() throws {
        for (text, version) in [("", Upstream.HTTPProtocol.auto), (", protocol: http2", .http2), (", protocol: http1", .http1)] {
            let result = load("upstreams: {a: {type: generic, base_url: 'http://a'\(text)}}")
            #expect(result.configuration?.upstreams[0].httpProtocol == version)
        }
    }

    @Test func clientCertificatesAreAccessControl() throws {
        #expect(load(Self.one + "server: {listen_address: 0.0.0.0, tls: {certificate: /etc/passwd, key: /etc/passwd}}\n").configuration == nil)
        _ = try loaded("server: {listen_address: 0.0.0.0, tls: {certificate: /etc/passwd, key: /etc/passwd, client_ca: /etc/passwd}}\n")
    }

    /// What is shown can be fed back and means the same.
    @Test(arguments: ["server: {listeners: [{name: a, port: 2}, {name: b, address: 'unix:/x'}]}",
                      "server: {listen_port: 5, tls: {certificate: /etc/passwd, key: /etc/group}, listeners: [{name: a, port: 2, protocols: [h2]}]}",
                      "server: {tls: {certificates: [{certificate: /etc/passwd, key: /etc/group}, {certificate: /etc/group, key: /etc/group}], client_ca: /etc/group, client_auth: optional}}\nroutes: [{match: {listener: main, client_certificate: {subject: {regex: a}, san: b}}, strategy: {upstreams: [a]}}]"])
    func maskedFormIsAConfigurationItself(_ text: String) throws {
        let first = try loaded(text)
        var json = try #require(try JSONSerialization.jsonObject(with: Data(first.maskedJSON.utf8)) as? [String: Any])
        json["sources"] = nil
        let again = load(String(decoding: try JSONSerialization.data(withJSONObject: json, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
        #expect(again.issues.map(\.description) == [])
        #expect(again.configuration?.version == first.version)
        #expect(again.configuration?.server.listeners.map(\.name) == first.server.listeners.map(\.name))
    }

    @Test func versionDependsOnListenersAndTheirTLS() throws {
        let texts = ["", "server: {listeners: [{name: a, port: 2}]}", "server: {listen_port: 8080, listeners: [{name: a, port: 2}]}",
                     "server: {tls: {certificate: /etc/passwd, key: /etc/passwd}}", "server: {tls: {certificate: /etc/passwd, key: /etc/group}}",
                     "server: {tls: {certificate: /etc/passwd, key: /etc/passwd, strict_sni: true}}", "server: {http2: {max_resets: 1}}"]
        #expect(Set(try texts.map { try loaded($0).version }).count == texts.count)
        #expect(try loaded("server: {listen_port: 8080}\n").version == loaded("").version)
    }

    @Test func sameSocketIsSeenUnderAnyName() {
        #expect(Address.place("localhost", 1) == Address.place("127.0.0.1", 1) && Address.place("::1", 1) == Address.place("0:0::1", 1))
        #expect(Address.place("unix:/a", 1) == Address.place("unix:/a", 2) && Address.place("127.0.0.1", 0) == nil)
        #expect(Address.place("127.0.0.1", 1) != Address.place("127.0.0.2", 1))
    }
}
