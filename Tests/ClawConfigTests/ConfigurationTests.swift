import Foundation
import Testing
@testable import ClawConfig

@Suite struct ConfigurationTests {
    static let one = "upstreams:\n  a: {type: generic, base_url: 'http://127.0.0.1:1/v1'}\n"

    func loaded(_ text: String, _ environment: [String: String] = [:]) throws -> Configuration {
        let result = load(text, environment)
        #expect(result.issues.filter { $0.severity == .error }.map(\.description) == [])
        return try #require(result.configuration)
    }

    @Test func smallestFileHasTheDefaultsOfTheContract() throws {
        let configuration = try loaded("upstreams:\n  openai:\n    type: openai\n    api_key: sk-0123456789\n")
        let server = configuration.server
        #expect(server.listenAddress == "127.0.0.1" && server.listenPort == 8080 && server.timeoutNanoseconds == 60_000_000_000)
        #expect(server.workers == nil && server.ioBackend == .auto && server.drainNanoseconds == 120_000_000_000)
        #expect(server.bodyBytesMax == 32 << 20 && server.headBytesMax == 64 << 10 && server.connectionsMax == 65536)
        #expect(server.idleTimeoutNanoseconds == 75_000_000_000 && server.headerTimeoutNanoseconds == 10_000_000_000)
        #expect(server.admin.listenAddress == "127.0.0.1" && server.admin.listenPort == 9901)
        #expect(configuration.routes.isEmpty)
        let upstream = try #require(configuration.upstreams.first)
        #expect(upstream.name == "openai" && upstream.type == .openai && upstream.models.isEmpty && upstream.streamUsage == nil)
        #expect(upstream.keys.map(\.id) == ["default"] && upstream.keys[0].value.value == "sk-0123456789")
        let endpoint = try #require(upstream.endpoints.first)
        #expect(endpoint.isTLS && endpoint.host == "api.openai.com" && endpoint.port == 443 && endpoint.basePath == "/v1")
    }

    @Test func everyOptionOfServerLands() throws {
        let server = try loaded(Self.one + """
        server:
          listen_address: "unix:/run/openclaw.sock"
          listen_port: 0
          timeout_seconds: 1.5
          workers: 3
          io_backend: io_uring
          drain_seconds: 0
          max_body_mb: 2
          max_header_kb: 8
          max_target_kb: 4
          max_header_fields: 50
          max_connections: 7
          max_body_memory_mb: 5
          stream_buffer_kb: 128
          idle_timeout_seconds: 0.25
          header_timeout_seconds: 2
          body_timeout_seconds: 3
          write_timeout_seconds: 4
          sse_ping_seconds: 15
          max_requests_per_connection: 9
          watch_config: true
          admin: {listen_address: "::", listen_port: 1, token: admin-token}
        """).server
        #expect(server.listenAddress == "unix:/run/openclaw.sock" && server.listenPort == 0 && server.timeoutNanoseconds == 1_500_000_000)
        #expect(server.workers == 3 && server.ioBackend == .uring && server.drainNanoseconds == 0 && server.bodyBytesMax == 2 << 20)
        #expect(server.headBytesMax == 8192 && server.targetBytesMax == 4096 && server.fieldsMax == 50 && server.connectionsMax == 7)
        #expect(server.bodyMemoryBytesMax == 5 << 20 && server.streamBufferBytes == 128 << 10 && server.idleTimeoutNanoseconds == 250_000_000)
        #expect(server.headerTimeoutNanoseconds == 2_000_000_000 && server.bodyTimeoutNanoseconds == 3_000_000_000 && server.writeTimeoutNanoseconds == 4_000_000_000)
        #expect(server.ssePingNanoseconds == 15_000_000_000 && server.requestsPerConnectionMax == 9 && server.watchConfig)
        #expect(server.admin.listenAddress == "::" && server.admin.listenPort == 1 && server.admin.token == Secret("admin-token"))
    }

    @Test func everyOptionOfAnUpstreamLands() throws {
        let configuration = try loaded("""
        server: {timeout_seconds: 30}
        upstreams:
          a:
            type: generic
            api_keys: [{id: one, value: k1, weight: 2}, {id: two, value: k2}]
            endpoints: ["https://[::1]:8443/base/", {url: "http://B.example.com", weight: 3}]
            models: [m1, {id: m2-2026, alias: m2}]
            connect_timeout_seconds: 1
            first_byte_timeout_seconds: 2
            idle_stream_timeout_seconds: 3
            headers: {X-Org: "some org"}
            max_connections_per_endpoint: 4
            stream_usage: false
            proxy: socks5h://user:pw@proxy:1080
            tls: {ca: /ca, insecure_skip_verify: false, client_certificate: /c, client_key: /k, sni: other}
          b: {type: http, base_url: "http://127.0.0.1:9", timeout_seconds: 5}
        """)
        let a = configuration.upstreams[0], b = configuration.upstreams[1]
        #expect(a.keys.map(\.id) == ["one", "two"] && a.keys.map(\.weight) == [2, 1])
        #expect(a.endpoints.map(\.host) == ["::1", "b.example.com"] && a.endpoints.map(\.port) == [8443, 80])
        #expect(a.endpoints.map(\.basePath) == ["/base", ""] && a.endpoints.map(\.weight) == [1, 3] && a.endpoints.map(\.isTLS) == [true, false])
        #expect(a.models.map(\.id) == ["m1", "m2-2026"] && a.models.map(\.alias) == ["m1", "m2"])
        #expect(a.timeoutNanoseconds == 30_000_000_000 && a.connectTimeoutNanoseconds == 1_000_000_000)
        #expect(a.firstByteTimeoutNanoseconds == 2_000_000_000 && a.idleStreamTimeoutNanoseconds == 3_000_000_000)
        #expect(a.headers.map(\.name) == ["X-Org"] && a.headers.map(\.value) == ["some org"] && a.connectionsPerEndpointMax == 4 && a.streamUsage == false)
        #expect(a.proxy == "socks5h://user:pw@proxy:1080" && a.tls.caFile == "/ca" && a.tls.clientCertificate == "/c" && a.tls.clientKey == "/k" && a.tls.sni == "other")
        #expect(b.type == .http && b.timeoutNanoseconds == 5_000_000_000 && b.firstByteTimeoutNanoseconds == 5_000_000_000)
    }

    @Test func everyOptionOfARouteLands() throws {
        let configuration = try loaded("""
        upstreams:
          a: {type: generic, base_url: "http://127.0.0.1:1"}
          b: {type: http, base_url: "http://127.0.0.1:2"}
        routes:
          - match:
              path: "/users/{id}/orders"
              method: [GET, POST]
              host: [API.example.com, "*.example.org"]
              headers: {X-Tier: premium, X-A: {regex: "^a", present: true}}
              query: {Beta: 1}
              json_body:
                model: gpt-4
                n: 1
                s: "1"
                stream: true
                z: null
                t: {gte: 0, lt: 0.5}
                l: {in: [a, 2, false], contains: x, exists: true, not_equals: q}
            strategy: {type: weighted_round_robin, upstreams: [a, {name: b, weight: 5, model: other}]}
            model_map: {x: y}
            retries: {max_attempts: 5}
            timeout_seconds: 7
          - {id: second, match: {path: "/v1/*"}, strategy: {upstreams: [b]}, strip_prefix: /v1}
          - {id: third, match: {path: /exact}, strategy: {type: round_robin, upstreams: [b]}}
        """)
        let route = configuration.routes[0], match = route.match
        #expect(route.id == "route-1" && route.strategy == .weightedRoundRobin && route.retries.attemptsMax == 5 && route.timeoutNanoseconds == 7_000_000_000)
        #expect(route.targets.map(\.upstream) == [0, 1] && route.targets.map(\.weight) == [1, 5] && route.targets.map(\.model) == [nil, "other"])
        #expect(route.modelMap == ["x": "y"] && match.methods == ["GET", "POST"] && match.hosts == ["api.example.com", "*.example.org"])
        guard case .template(let segments) = match.path else { Issue.record("no template"); return }
        #expect(segments == [.literal("users"), .variable("id"), .literal("orders")])
        #expect(match.headers.map(\.name) == ["x-tier", "x-a", "x-a"] && match.query.map(\.name) == ["Beta"])
        guard case .equals("1") = match.query[0].test else { Issue.record("query values are text"); return }
        let equal = match.body.compactMap { test -> (String, Scalar)? in if case .equals(let value) = test.test { (test.path, value) } else { nil } }
        #expect(equal.map(\.0) == ["model", "n", "s", "stream", "z"])
        #expect(equal.map(\.1) == [.string("gpt-4"), .number(1), .string("1"), .bool(true), .null])
        #expect(match.body.count == 11)
        guard case .prefix("/v1/") = configuration.routes[1].match.path, case .exact("/exact") = configuration.routes[2].match.path else { Issue.record("paths"); return }
        #expect(configuration.routes[1].strategy == .failover && configuration.routes[1].stripPrefix == "/v1")
    }

    @Test func otherSectionsLand() throws {
        let configuration = try loaded(Self.one + """
        logging: {format: text, level: warn, output: file, path: /var/log/x, rotate_mb: 10, sample: 0.5, buffer_kb: 16, bodies: none}
        metrics: {max_series: 100}
        security: {allow_unauthenticated: true}
        gateway: {bind: "0.0.0.0:81", requestTimeoutMs: 1500}
        """)
        #expect(configuration.logging.format == .text && configuration.logging.level == .warn && configuration.logging.sample == 0.5 && configuration.logging.ringBytes == 16384)
        guard case .file(path: "/var/log/x", rotateBytes: 10_485_760) = configuration.logging.output else { Issue.record("output"); return }
        #expect(configuration.metrics.seriesMax == 100 && configuration.security.allowUnauthenticated)
        #expect(configuration.server.listenAddress == "0.0.0.0" && configuration.server.listenPort == 81)
        #expect(configuration.upstreams[0].timeoutNanoseconds == 1_500_000_000)
        guard case .off = try loaded(Self.one + "logging: {output: off}\n").logging.output else { Issue.record("off"); return }
    }

    @Test(arguments: [("127.0.0.1", true), ("127.8.8.8", true), ("::1", true), ("0:0:0:0:0:0:0:1", true), ("localhost", true), ("unix:/x", true),
                      ("0.0.0.0", false), ("::", false), ("10.0.0.1", false), ("fe80::1", false), ("::ffff:127.0.0.1", false)])
    func onlyLoopbackAddressesAreLocal(_ row: (address: String, isLocal: Bool)) {
        #expect(Address.problem(row.address) == nil)
        #expect(Address.isLocal(row.address) == row.isLocal)
    }

    @Test func anythingReachableIsRefusedUnlessAllowed() throws {
        #expect(load(Self.one + "server: {listen_address: 0.0.0.0}\n").configuration == nil)
        #expect(try loaded(Self.one + "server: {listen_address: 0.0.0.0}\nsecurity: {allow_unauthenticated: true}\n").server.listenAddress == "0.0.0.0")
        #expect(load(Self.one + "server: {admin: {listen_address: '::'}}\n").configuration == nil)
        #expect(try loaded(Self.one + "server: {admin: {listen_address: '::', token: t}}\n").server.admin.listenAddress == "::")
    }

    @Test func limitsThatWereNotWrittenGiveWay() throws {
        let server = try loaded(Self.one + "server: {max_header_kb: 8, max_body_mb: 2048}\n").server
        #expect(server.targetBytesMax == 8192 && server.bodyMemoryBytesMax == 2048 << 20)
    }

    // MARK: Versions and what is shown

    @Test func versionDependsOnEveryValueAndOnNothingElse() throws {
        let first = try loaded(Self.one)
        #expect(first.version.count == 64)
        #expect(try loaded("# comment\n" + Self.one + "server: {listen_port: 8080}\n").version == first.version)
        #expect(try loaded(Self.one + "server: {listen_port: 8081}\n").version != first.version)
        let keyed = "upstreams: {a: {type: openai, api_key: '${K}'}}\n"
        #expect(try loaded(keyed, ["K": "aaaaaaaaaaaa1234"]).version != loaded(keyed, ["K": "bbbbbbbbbbbb1234"]).version)
        #expect(try loaded(keyed, ["K": "aaaaaaaaaaaa1234"]).version == loaded(keyed, ["K": "aaaaaaaaaaaa1234"]).version)
    }

    @Test func orderOfUpstreamsIsPartOfTheVersion() throws {
        let a = "  a: {type: generic, base_url: 'http://a'}\n", b = "  b: {type: generic, base_url: 'http://b'}\n"
        #expect(try loaded("upstreams:\n" + a + b).version != loaded("upstreams:\n" + b + a).version)
    }

    @Test func maskedFormIsJSONWithDefaultsAndSources() throws {
        let configuration = try loaded(Self.one + "server:\n  listen_port: ${PORT}\n", ["PORT": "8181"])
        let json = try #require(try JSONSerialization.jsonObject(with: Data(configuration.maskedJSON.utf8)) as? [String: Any])
        #expect((json["server"] as? [String: Any])?["listen_port"] as? Int == 8181)
        #expect((json["server"] as? [String: Any])?["drain_seconds"] as? Int == 120)
        let sources = try #require(json["sources"] as? [String: String])
        #expect(sources["server.listen_port"] == "openclaw.yaml:4 ${PORT}")
        #expect(sources["upstreams.a.type"] == "openclaw.yaml:2")
        #expect(sources["server.drain_seconds"] == nil)
    }

    /// What is shown can be fed back: the masked form loads again and means the same, secrets apart.
    @Test(arguments: ["minimal.yaml", "routing.yaml", "openclaw.yaml", "resilience.yaml"]) func maskedFormIsAConfigurationItself(_ name: String) throws {
        let path = Workspace.package.appendingPathComponent("examples/\(name)").path
        let configuration = try #require(loadConfiguration(path: path, environment: ExampleTests.environment).configuration)
        var json = try #require(try JSONSerialization.jsonObject(with: Data(configuration.maskedJSON.utf8)) as? [String: Any])
        json["sources"] = nil
        let text = String(decoding: try JSONSerialization.data(withJSONObject: json, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self)
        // Keys of callers have to be long, and each another.
        var count = 0
        let again = load(text.replacing(#/"\*\*\*([^"]*)"/#) { match in
            count += 1
            return "\"stand-in-for-secret-\(count)\(match.1)\""
        })
        #expect(again.issues.map(\.description) == [])
        func withoutSources(_ json: String) throws -> NSDictionary {
            let masked = json.replacing(#/"\*\*\*[^"]*"/#, with: "\"***\"")
            var object = try #require(try JSONSerialization.jsonObject(with: Data(masked.utf8)) as? [String: Any])
            object["sources"] = nil
            return NSDictionary(dictionary: object)
        }
        #expect(try withoutSources(#require(again.configuration).maskedJSON) == withoutSources(configuration.maskedJSON))
    }

    @Test func CF_10_noSecretIsShown() throws {
        let configuration = try loaded("""
        server: {admin: {token: canary-admin-token}}
        upstreams:
          a:
            type: openai
            api_keys: [{id: x, value: canary-key-one-1234}, {id: y, value: "${K}"}]
            headers: {Authorization: canary-header-value, X-Plain: "${K}"}
            proxy: http://user:canary-password@proxy:1
        """, ["K": "canary-from-environment"])
        #expect(!configuration.maskedJSON.contains("canary"))
        #expect(configuration.maskedJSON.contains("***1234") && configuration.maskedJSON.contains("http://***@proxy:1"))
        #expect("\(configuration.upstreams[0].keys)".contains("canary") == false)
        #expect(String(reflecting: configuration.server.admin).contains("canary") == false)
        var dumped = ""
        dump(configuration.upstreams[0].keys, to: &dumped)
        #expect(!dumped.contains("canary"))
    }

    @Test func CF_10_shortSecretsShowNothing() {
        #expect("\(Secret("short"))" == "***" && "\(Secret("123456789"))" == "***6789")
    }

    // MARK: Substitution

    @Test func referencesAreReplacedInsideValuesOnly() throws {
        let text = """
        upstreams:
          a: {type: generic, base_url: "http://${HOST}:${PORT:-81}/${EMPTY:-v1}", headers: {X-A: "$${HOST} costs 3$", X-B: "${INJECT}"}}
        """
        let configuration = try loaded(text, ["HOST": "h", "EMPTY": "", "INJECT": "x, type: http} #"])
        let upstream = configuration.upstreams[0]
        #expect(upstream.endpoints[0].host == "h" && upstream.endpoints[0].port == 81 && upstream.endpoints[0].basePath == "/v1")
        #expect(upstream.headers.map(\.value) == ["${HOST} costs 3$", "x, type: http} #"] && upstream.type == .generic)
    }

    @Test func valuesFromTheEnvironmentAreNotReplacedAgain() throws {
        let upstream = try loaded("upstreams: {a: {type: generic, base_url: 'http://a', headers: {X: '${A}'}}}", ["A": "${B}", "B": "b"]).upstreams[0]
        #expect(upstream.headers[0].value == "${B}")
    }

    @Test func secretsAreReadFromFiles() throws {
        let folder = try Workspace.scratch()
        defer { try? FileManager.default.removeItem(at: folder) }
        func key(_ contents: [UInt8]) throws -> ConfigurationLoad {
            let file = folder.appendingPathComponent("secret")
            try Data(contents).write(to: file)
            return load("upstreams: {a: {type: openai, api_key: '${file:\(file.path)}'}}")
        }
        for end in ["", "\n", "\r\n"] { #expect(try key(Array("sk-file\(end)".utf8)).configuration?.upstreams[0].keys[0].value.value == "sk-file") }
        #expect(try key(Array("sk-file\n\n".utf8)).configuration == nil)
        #expect(try key([0xFF]).issues[0].message.hasSuffix("not UTF-8"))
        #expect(try key([UInt8](repeating: 0x61, count: 70_000)).issues[0].message.hasSuffix("file too large: 70000 bytes, limit 65536"))
        #expect(load("upstreams: {a: {type: openai, api_key: '${file:\(folder.path)}'}}").issues[0].message.hasSuffix("is a folder"))
    }
}
