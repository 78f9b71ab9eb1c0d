import CClaw
import ClawConfig
import Foundation
import Testing

@testable import ClawEngine

/// The admin listener over real sockets, next to a gateway in this process.
@Suite(.serialized) struct AdminServerTests {
    private static let reads = ["/", "/health", "/ready", "/metrics", "/admin/status", "/admin/config", "/admin/upstreams"]
    private static let orders = ["/admin/reload", "/admin/drain"]

    private func object(_ text: String) throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
    }

    // MARK: what is answered

    @Test func everyEndpointAnswersAndNothingIsCached() throws {
        let rig = try AdminRig(workers: 2)
        defer { rig.end() }
        for path in Self.reads {
            let answer = try rig.ask("GET", path)
            #expect(answer.status == 200, "\(path): \(answer.body)")
            #expect(answer.fields["cache-control"] == "no-store")
            if answer.fields["content-type"] == "application/json" { _ = try object(answer.body) }
            let head = try rig.ask("HEAD", path)
            #expect(head.status == 200 && head.body.isEmpty && Int(head.fields["content-length"] ?? "") ?? 0 > 0, "\(path)")
        }
        let health = try object(try rig.ask("GET", "/health").body)
        #expect(health["status"] as? String == "ok" && health["draining"] as? Bool == false)
        #expect(health["config_version"] as? String == rig.gateway.configuration.version)
        let ready = try object(try rig.ask("GET", "/ready").body)
        #expect(((ready["routes"] as? [[String: Any]])?.first?["upstreams"] as? [[String: Any]])?.first?["name"] as? String == "mock")
        #expect(try rig.ask("GET", "/admin/config").body == rig.gateway.configuration.maskedJSON + "\n")
    }

    @Test func statusCountsWhatWasServed() throws {
        let rig = try AdminRig(workers: 2)
        defer { rig.end() }
        for _ in 0..<5 { #expect(try rig.complete() == 200) }
        let status = try object(try rig.ask("GET", "/admin/status").body)
        #expect(status["requests_total"] as? Int == 5)
        #expect(status["workers"] as? Int == 2 && status["pid"] as? Int == Int(getpid()))
        let upstream = try #require((status["upstreams"] as? [[String: Any]])?.first)
        let links = ((upstream["endpoints"] as? [[String: Any]]) ?? []).compactMap { $0["links"] as? Int }
        #expect(upstream["name"] as? String == "mock" && links.reduce(0, +) >= 1)
        #expect((status["config"] as? [String: Any])?["open_plans"] as? Int == 1)
    }

    @Test func OB_06_countersOfRequestsAndRefusalsAgreeWithWhatHappened() throws {
        let rig = try AdminRig()
        defer { rig.end() }
        for _ in 0..<4 { #expect(try rig.complete() == 200) }
        #expect(try rig.complete(stream: true) == 200)
        let broken = AdminPeer(port: rig.gateway.port)
        broken.send("GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n")
        #expect(broken.rest().hasPrefix("HTTP/1.1 400"))
        for accept in ["text/plain", "application/openmetrics-text"] {
            let answer = try rig.ask("GET", "/metrics", ["accept: \(accept)"])
            #expect(answer.fields["content-type"]?.hasPrefix(accept) == true)
            let found = MetricsText(answer.body, openMetrics: accept != "text/plain")
            #expect(found.faults == [])
            #expect(found.samples["openclaw_requests_total{route_id=\"default\",status=\"200\",method=\"POST\"}"] == 5)
            #expect(found.samples["openclaw_refused_total{reason=\"framing\"}"] == 1)
            #expect(found.samples.filter { $0.key.hasPrefix("openclaw_requests_total") }.values.reduce(0, +) == 6)
            #expect(found.samples["openclaw_upstream_requests_total{upstream_name=\"mock\",model=\"m\",status=\"200\"}"] == 5)
            #expect(found.samples["openclaw_config_info{version=\"\(rig.gateway.configuration.version)\",git_sha=\"\"}"] == 1)
            #expect(found.samples["openclaw_time_to_first_token_seconds_count{upstream_name=\"mock\",model=\"m\"}"] == 1)
            #expect(found.samples["openclaw_upstream_healthy{upstream_name=\"mock\",endpoint=\"http://127.0.0.1:\(rig.mock?.port ?? 0)\"}"] == 1)
            #expect(found.samples["openclaw_connections{listener=\"admin\"}"] == 1)
            #expect(found.samples["process_open_fds"] ?? 0 > 0)
        }
    }

    // MARK: readiness

    @Test func OB_05_livenessStaysAndReadinessEndsWithTheDrain() throws {
        let rig = try AdminRig()
        defer { rig.end() }
        let answer = try rig.ask("POST", "/admin/drain")
        #expect(answer.status == 202)
        let ready = try rig.ask("GET", "/ready")
        #expect(ready.status == 503)
        #expect(try object(ready.body)["reasons"] as? [String] == ["draining"])
        let health = try rig.ask("GET", "/health")
        #expect(health.status == 200)
        #expect(try object(health.body)["draining"] as? Bool == true)
        #expect(rig.gateway.isDraining)
    }

    @Test func OB_05_readinessNamesTheRouteWhoseUpstreamsCannotBeReached() throws {
        // A port that was free a moment ago and that nobody listens on.
        var address = claw_address()
        #expect(claw_address_parse("127.0.0.1", 0, &address) == 0)
        let fd = claw_listen(&address, 1, 0)
        var own = claw_address()
        #expect(claw_local_address(fd, &own) == 0)
        _ = claw_os_close(fd)
        let rig = try AdminRig(upstreams: "  gone: {type: generic, base_url: \"http://127.0.0.1:\(claw_address_port(&own))/v1\", models: [m]}")
        defer { rig.end() }
        #expect(try rig.ask("GET", "/ready").status == 200)
        #expect(try rig.complete() == 502)
        let ready = try rig.ask("GET", "/ready")
        #expect(ready.status == 503)
        #expect(try object(ready.body)["reasons"] as? [String] == ["no usable upstream for route default"])
        #expect(try rig.ask("GET", "/health").status == 200)
        let found = MetricsText(try rig.ask("GET", "/metrics").body, openMetrics: false)
        #expect(found.samples["openclaw_upstream_healthy{upstream_name=\"gone\",endpoint=\"http://127.0.0.1:\(claw_address_port(&own))\"}"] == 0)
        // Refused twice: a failed connection is tried once more.
        #expect(found.samples["openclaw_upstream_errors_total{upstream_name=\"gone\",model=\"m\",class=\"network\"}"] == 2)
    }

    @Test func fallbacksSayWhereTheyWent() throws {
        let rig = try AdminRig()
        defer { rig.end() }
        let port = try #require(rig.mock?.port)
        let upstreams = """
              first: {type: generic, base_url: "http://127.0.0.1:1/v1", models: [m]}
              second: {type: generic, base_url: "http://127.0.0.1:\(port)/v1", models: [m]}
            """
        #expect(rig.gateway.reload(try AdminRig.configuration(upstreams: upstreams)) == nil)
        try rig.awaitPlan()
        #expect(try rig.complete() == 200)
        let found = MetricsText(try rig.ask("GET", "/metrics").body, openMetrics: false)
        #expect(found.samples["openclaw_fallbacks_total{route_id=\"default\",from=\"first\",to=\"second\",reason=\"network\"}"] == 1)
        #expect(found.samples["openclaw_config_reloads_total{result=\"ok\"}"] == 1)
    }

    // MARK: who may ask

    @Test func tokenIsNeededForEverythingButTheProbes() throws {
        let rig = try AdminRig(token: "canary-admin-token")
        defer { rig.end() }
        for path in Self.reads + Self.orders + ["/nowhere"] where path != "/health" && path != "/ready" {
            let method = Self.orders.contains(path) ? "POST" : "GET"
            for fields in [[], ["authorization: Bearer canary-admin-toke"], ["authorization: Bearer canary-admin-tokenX"], ["authorization: Basic canary-admin-token"],
                           ["authorization: Bearer "], ["authorization: canary-admin-token"]] {
                let answer = try rig.ask(method, path, fields)
                #expect(answer.status == 401 && answer.fields["www-authenticate"]?.hasPrefix("Bearer") == true, "\(path) \(fields)")
            }
        }
        #expect(!rig.gateway.isDraining)
        let token = ["authorization: bearer canary-admin-token"]
        for path in Self.reads { #expect(try rig.ask("GET", path, token).status == 200) }
        #expect(try rig.ask("GET", "/nowhere", token).status == 404)
        // A probe learns the state, not the names of upstreams.
        #expect(try rig.ask("GET", "/health").status == 200)
        let probe = try rig.ask("GET", "/ready")
        #expect(probe.status == 200 && !probe.body.contains("mock"))
        #expect(try rig.ask("GET", "/ready", token).body.contains("mock"))
        // A name in Host is fine where there is a token.
        #expect(try rig.ask("GET", "/metrics", token + ["host: openclaw:9901"]).status == 200)
        #expect(try rig.ask("GET", "/metrics", token + token).status == 400)
    }

    @Test func AD_04_emptyTokenIsRefusedAtTheStart() throws {
        var configuration = try AdminRig.configuration(upstreams: "  u: {type: generic, base_url: \"http://127.0.0.1:1/v1\", models: [m]}")
        configuration.server.admin.token = Secret("")
        let gateway = try Gateway(configuration) { _, _ in }
        let admin = AdminServer(gateway: gateway) { nil }
        #expect { try admin.start() } throws: { "\($0)".contains("server.admin.token") }
        #expect(!AdminEndpoints.isAuthorized(AdminRequest(), Secret("")))
    }

    @Test func AD_01_adminIsNotReachedThroughAGatewayNorOverTheDataListener() throws {
        let rig = try AdminRig()
        defer { rig.end() }
        // A route to the admin listener, by name so that no check of addresses could have found it.
        let upstreams = "  self: {type: http, base_url: \"http://localhost:\(rig.admin.port)\"}"
        let routes = "routes:\n  - {id: self, match: {path: \"/*\"}, strategy: {type: failover, upstreams: [self]}}"
        let load = loadConfiguration(text: "upstreams:\n\(upstreams)\n\(routes)", name: "test", environment: [:])
        var configuration = try #require(load.configuration, "\(load.issues)")
        configuration.server = rig.gateway.configuration.server
        configuration.logging = rig.gateway.configuration.logging
        #expect(rig.gateway.reload(configuration) == nil)
        try rig.awaitPlan()
        for path in ["/admin/config", "/metrics", "/admin/status"] {
            let peer = AdminPeer(port: rig.gateway.port)
            peer.send("GET", path, ["connection: close"])
            let text = peer.rest()
            #expect(text.hasPrefix("HTTP/1.1 403") && text.contains("through_gateway"), "\(text)")
        }
        let peer = AdminPeer(port: rig.gateway.port)
        peer.send("POST", "/admin/drain", ["connection: close", "content-length: 0"])
        #expect(peer.rest().hasPrefix("HTTP/1.1 403"))
        #expect(!rig.gateway.isDraining)
    }

    @Test func ordersFromWebPagesAndForeignNamesAreRefused() throws {
        let rig = try AdminRig()
        defer { rig.end() }
        for path in Self.orders { #expect(try rig.ask("POST", path, ["Origin: https://evil.example"]).status == 403) }
        for path in Self.orders + ["/metrics", "/admin/config"] {
            let method = Self.orders.contains(path) ? "POST" : "GET"
            #expect(try rig.ask(method, path, ["host: evil.example:9901"]).status == 403)
        }
        for host in ["localhost", "LOCALHOST:9901", "127.0.0.1", "127.0.0.1:1", "[::1]:9901", "[::1]"] { #expect(try rig.ask("GET", "/metrics", ["host: \(host)"]).status == 200, "\(host)") }
        #expect(try rig.ask("GET", "/health", ["host: gateway.internal"]).status == 200)
        #expect(!rig.gateway.isDraining)
    }

    @Test func INV_4_noSecretIsInAnyAdminAnswer() throws {
        let rig = try AdminRig(token: "canary-admin-token", more: "routes:\n  - {id: r, match: {path: \"/v1/*\"}, strategy: {type: failover, upstreams: [mock]}}")
        defer { rig.end() }
        #expect(try rig.complete() == 200)
        let token = ["authorization: Bearer canary-admin-token"]
        for path in Self.reads + Self.orders + ["/nowhere?key=canary-query"] {
            for method in ["GET", "POST", "PUT"] where path != "/admin/drain" || method != "POST" {
                for fields in [token, ["authorization: Bearer canary-wrong"], []] {
                    let answer = try rig.ask(method, path, fields)
                    #expect(!answer.body.contains("canary") && !"\(answer.fields)".contains("canary"), "\(method) \(path)")
                }
            }
        }
    }

    // MARK: paths and methods

    @Test func wrongMethodsAndPathsAreNamed() throws {
        let rig = try AdminRig()
        defer { rig.end() }
        for path in Self.reads {
            let answer = try rig.ask("POST", path, ["content-length: 0"])
            #expect(answer.status == 405 && answer.fields["allow"] == "GET, HEAD", "\(path)")
        }
        for path in Self.orders {
            let answer = try rig.ask("GET", path)
            #expect(answer.status == 405 && answer.fields["allow"] == "POST")
        }
        for path in ["/admin", "/metrics/", "/Health", "//health", "/admin/../health", "/%68ealth"] {
            let answer = try rig.ask("GET", path)
            #expect(answer.status == 404)
            #expect(((try object(answer.body)["error"]) as? [String: Any])?["code"] as? String == "not_found")
        }
        #expect(try rig.ask("OPTIONS", "*").status == 404)
        #expect(try rig.ask("BREW", "/health").status == 405)
    }

    // MARK: reload

    @Test func reloadAnswersWithTheVersionOrEveryError() throws {
        let box = AdminRig.MessageBox()
        let rig = try AdminRig { box.lines.withLock { $0.isEmpty ? nil : $0.joined(separator: "\n") } }
        defer { rig.end() }
        let good = try rig.ask("POST", "/admin/reload")
        #expect(good.status == 200)
        #expect(try object(good.body)["version"] as? String == rig.gateway.configuration.version)
        box.lines.withLock { $0 = ["a.yaml:1:2: x: wrong", "a.yaml:3:4: y: \"also\""] }
        let bad = try rig.ask("POST", "/admin/reload", ["content-length: 0"])
        #expect(bad.status == 422)
        #expect(try object(bad.body)["errors"] as? [String] == ["a.yaml:1:2: x: wrong", "a.yaml:3:4: y: \"also\""])
        #expect(try object(bad.body)["reloaded"] as? Bool == false)
    }

    @Test func probesAreAnsweredWhileAReloadRuns() throws {
        let gate = DispatchSemaphore(value: 0), begun = DispatchSemaphore(value: 0)
        let rig = try AdminRig {
            begun.signal()
            gate.wait()
            return nil
        }
        defer { rig.end() }
        let first = rig.peer(), second = rig.peer(), gone = rig.peer()
        first.send("POST", "/admin/reload", ["content-length: 0"])
        #expect(begun.wait(timeout: .now() + 20) == .success)
        second.send("POST", "/admin/reload", ["content-length: 0"])
        gone.send("POST", "/admin/reload", ["content-length: 0"])
        #expect(try rig.ask("GET", "/health").status == 200)
        gate.signal()
        #expect(try first.answer().status == 200)
        // The second asked after the first had begun, so it gets a reload of its own.
        #expect(begun.wait(timeout: .now() + 20) == .success)
        gate.signal()
        #expect(try second.answer().status == 200)
        #expect(try gone.answer().status == 200)
    }

    // MARK: start

    @Test func takenPortIsNamedWithItsKey() throws {
        let rig = try AdminRig()
        defer { rig.end() }
        var configuration = rig.gateway.configuration
        configuration.server.admin.listenPort = rig.admin.port
        let gateway = try Gateway(configuration) { _, _ in }
        let second = AdminServer(gateway: gateway) { nil }
        #expect { try second.start() } throws: { failure in
            guard case Gateway.StartFailure.listen(let text) = failure else { return false }
            return text.contains("127.0.0.1:\(rig.admin.port)") && text.contains("taken") && text.contains("server.admin.listen_port")
        }
    }

    @Test func clientAsksAndSaysWhyItCouldNot() throws {
        let rig = try AdminRig(token: "t0ken-of-some-length")
        let port = rig.admin.port
        let (status, body) = try AdminClient(address: "127.0.0.1:\(port)", token: "t0ken-of-some-length").ask("GET", "/admin/status")
        #expect(status == 200)
        _ = try object(body)
        #expect(try AdminClient(address: "localhost:\(port)", token: nil).ask("POST", "/admin/reload").status == 401)
        #expect(try AdminClient(address: "127.0.0.1:\(port)", token: "t0ken-of-some-length").ask("POST", "/admin/reload").status == 422)
        rig.end()
        #expect { try AdminClient(address: "127.0.0.1:\(port)", token: nil).ask("GET", "/health") } throws: { "\($0)".contains("127.0.0.1:\(port)") }
        #expect(throws: AdminUnreachable.self) { try AdminClient(address: "nonsense", token: nil).ask("GET", "/health") }
        #expect(throws: AdminUnreachable.self) { try AdminClient(address: "127.0.0.1:1", token: "a\r\nb").ask("GET", "/health") }
    }
}
