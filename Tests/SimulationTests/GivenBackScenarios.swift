@testable import ClawEngine
import ClawConfig
import ClawPolicy
import Foundation
import Glibc
import Testing

/// Paths on which something that was taken could stay taken, or be held against somebody who did nothing.
@Suite struct GivenBackScenarios {
    private func answered(_ play: PlayedWorker, _ client: Int32) throws -> ClientAnswer {
        try #require(try ClientAnswer.read(play.taken(client)), "no whole answer head")
    }

    private func attempts(_ play: PlayedWorker, _ line: Int = 0) -> [[String: Any]] { play.logLines[line]["attempts"] as? [[String: Any]] ?? [] }
    private func place(_ play: PlayedWorker, _ upstream: Int) -> Int { play.worker.plan.pointee.upstreams[upstream].pointee.place }

    /// Upstream two has one place, and somebody has it.
    private func occupied(_ adjust: (inout Route) -> Void) throws -> PlayedWorker {
        let play = try PlayedWorker("""
            upstreams:
              one: { type: generic, api_key: sk-1, base_url: "http://10.0.0.1:8001/v1" }
              two: { type: generic, api_key: sk-2, base_url: "http://10.0.0.2:8002/v1", max_concurrency: 1 }
            """) { configuration in
            var route = Route(id: "r")
            route.targets = [StrategyTarget(upstream: 0), StrategyTarget(upstream: 1)]
            adjust(&route)
            configuration.routes = [route]
        }
        let two = play.worker.plan.pointee.upstreams[1].pointee
        #expect(play.shared.outlook.concurrency(two.place).tryEnter(two.concurrency))
        return play
    }

    private func expectNobodyWaits(_ play: PlayedWorker, _ at: SourceLocation = #_sourceLocation) {
        let two = place(play, 1)
        #expect(play.worker.queuedCount == 0, sourceLocation: at)
        #expect(play.worker.waitingCount == 0, sourceLocation: at)
        #expect(play.shared.outlook.queued(two)[0].load(ordering: .relaxed) == 0, sourceLocation: at)
        #expect(play.shared.outlook.recovering(two)[0].load(ordering: .relaxed) == 0, sourceLocation: at)
        #expect(play.shared.outlook.waitingWorkers(two)[0].load(ordering: .relaxed) == 0, sourceLocation: at)
    }

    // MARK: queues

    @Test func RT_12_aHedgeThatWaitsForAPlaceLeavesTheQueueWhenItIsNotWanted() throws {
        let play = try occupied { route in
            var hedge = HedgeSettings()
            hedge.after = .nanoseconds(200_000_000)
            hedge.ratioMax = 1
            route.hedge = hedge
        }
        let client = play.client()
        play.say(client, Message.chat())
        for _ in 0..<25 { play.advance(milliseconds: 10) }
        #expect(play.worker.queuedCount == 1)
        play.say(play.upstream(0).fd, Message.answer(Message.completion))
        #expect(try answered(play, client).status == 200)
        expectNobodyWaits(play)
        play.expectNothingLeft()
    }

    @Test func aShadowThatWaitsForAPlaceLeavesTheQueueWhenTheGatewayDrains() throws {
        let play = try occupied { route in
            route.strategy = .shadow
            route.targets[1].percentage = 100
        }
        let client = play.client()
        play.say(client, Message.chat())
        #expect(play.worker.queuedCount == 1)
        play.drain(seconds: 5)
        play.settle()
        expectNobodyWaits(play)
        play.say(play.upstream(0).fd, Message.answer(Message.completion))
        #expect(try answered(play, client).status == 200)
    }

    @Test func aStreamThatWaitsToGoOnLeavesTheQueueHoweverSlowItsClientIs() throws {
        let play = try occupied { $0.resume = true }
        let client = play.client()
        play.window(client, 200)
        play.say(client, Message.chat(stream: true))
        play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.role + Message.content(String(repeating: "Once upon a time ", count: 100))))
        play.end(play.upstream(0).fd, error: ECONNRESET)
        play.settle()
        #expect(play.worker.queuedCount == 1)
        play.window(client, 100)
        play.settle()
        play.end(client, error: ECONNRESET)
        play.settle()
        expectNobodyWaits(play)
        play.expectNothingLeft()
    }

    // MARK: whose fault it was

    @Test func aClientsOwnShortDeadlineIsNoFaultOfTheUpstreams() throws {
        let play = try PlayedWorker(Plans.one(upstream: "connect_timeout_seconds: 2\nbreaker: { consecutive_failures: 3 }"))
        let client = play.client()
        for _ in 0..<5 {
            play.say(client, Message.chat(fields: "x-openclaw-deadline-ms: 50\r\n"))
            play.advance(milliseconds: 70)
            #expect(try answered(play, client).status == 504)
        }
        #expect(play.shared.outlook.breaker(place(play, 0), .model).opensCount == 0)
        // One that leaves enough time for an answer is one like any other.
        for _ in 0..<3 {
            play.say(client, Message.chat(fields: "x-openclaw-deadline-ms: 3000\r\n"))
            play.advance(milliseconds: 3020)
            #expect(try answered(play, client).status == 504)
        }
        #expect(play.shared.outlook.breaker(place(play, 0), .model).opensCount == 1)
        play.expectNothingLeft()
    }

    @Test func RT_03_aClientsDeadlineCutsAStreamAndIsNoFaultOfTheUpstreamThatSpeaks() throws {
        let play = try PlayedWorker(Plans.one(upstream: "connect_timeout_seconds: 1\nbreaker: { consecutive_failures: 1 }"))
        let client = play.client()
        play.say(client, Message.chat(stream: true, fields: "x-openclaw-deadline-ms: 3000\r\n"))
        play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.role))
        for _ in 0..<32 {
            play.deliver(play.upstream(0).fd, Message.chunk(Message.content("a")))
            play.advance(milliseconds: 100)
        }
        let answer = try answered(play, client)
        #expect(answer.isWhole)
        #expect(answer.text.contains("\"error\""))
        #expect(!answer.text.contains("[DONE]"))
        #expect(play.state(play.upstream(0).fd) != .open)
        #expect(play.shared.outlook.breaker(place(play, 0), .model).opensCount == 0)
        play.expectNothingLeft()
    }

    @Test func whereCoolingIsSwitchedOffNoKeyCoolsAnyMore() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat())
        let fd = play.upstream(0).fd
        play.say(fd, Message.answer(#"{"error":{"message":"no","type":"x","code":"rate_limit_exceeded"}}"#, status: "429 Too Many Requests", fields: "content-type: application/json\r\nretry-after: 200\r\n"))
        #expect(try answered(play, client).status == 429)
        _ = play.taken(fd)
        try play.reload(Plans.one(upstream: "cooldown: { max_seconds: 0 }"))
        play.settle()
        play.say(client, Message.chat())
        #expect(play.waiting(fd) > 0)
        play.say(fd, Message.answer(Message.completion))
        #expect(try answered(play, client).status == 200)
        play.expectNothingLeft()
    }

    @Test func SS_09_aClientThatDoesNotReadIsNoFaultOfTheUpstreams() throws {
        let play = try PlayedWorker(Plans.one(upstream: "timeout_seconds: 5\nbreaker: { consecutive_failures: 1 }"))
        let client = play.client()
        play.window(client, 100)
        play.say(client, Message.chat(stream: true))
        play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.role + Message.content(String(repeating: "a", count: 2000))))
        play.advance(milliseconds: 5020)
        #expect(play.state(play.upstream(0).fd) != .open)
        #expect(play.shared.outlook.breaker(place(play, 0), .model).opensCount == 0)
        play.window(client, .max)
        play.settle()
        play.expectNothingLeft()
    }

    @Test func aWaitThatOneUpstreamToldIsNotTheNextOnes() throws {
        let play = try PlayedWorker(Plans.two())
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        play.say(play.upstream(0).fd, Message.answer(#"{"error":{"message":"no","type":"x","code":"rate_limit_exceeded"}}"#, status: "429 Too Many Requests", fields: "content-type: application/json\r\nretry-after: 200\r\n"))
        play.say(play.upstream(1).fd, Message.streamHead + Message.chunk(#"data: {"error":{"message":"slow down","type":"rate_limit_error","code":"rate_limit_exceeded"}}"# + "\n\n") + Message.lastChunk)
        _ = play.taken(client)
        let key = play.worker.plan.pointee.upstreams[1].pointee.keys[0].pointee.place
        let cooling = play.shared.outlook.cooldowns(key).all(now: play.worker.now)
        #expect(cooling.count == 1)
        #expect(cooling.allSatisfy { !$0.isTold && $0.until < play.worker.now + 5_000_000_000 })
        play.expectNothingLeft()
    }

    // MARK: plain backends

    @Test func a404OfAPlainBackendIsOfNoModel() throws {
        let play = try PlayedWorker("upstreams: { one: { type: http, base_url: \"http://10.0.0.1:8001\" } }")
        let client = play.client()
        play.say(client, "GET /a HTTP/1.1\r\nhost: g\r\n\r\n")
        play.say(play.upstream(0).fd, Message.answer("{}", status: "404 Not Found"))
        #expect(try answered(play, client).status == 404)
        #expect(attempts(play)[0]["class"] as? String == "bad_request")
        play.expectNothingLeft()
    }

    @Test func a404OfAProvidersFilesIsOfNoModel() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, "GET /v1/files/f HTTP/1.1\r\nhost: g\r\n\r\n")
        play.say(play.upstream(0).fd, Message.answer("{}", status: "404 Not Found"))
        #expect(try answered(play, client).status == 404)
        #expect(attempts(play)[0]["class"] as? String == "bad_request")
        play.expectNothingLeft()
    }

    @Test func RT_02_aPostThatABackendRefusedIsNotAskedForTwice() throws {
        let play = try PlayedWorker("""
            upstreams:
              one: { type: http, base_url: "http://10.0.0.1:8001" }
              two: { type: http, base_url: "http://10.0.0.2:8002" }
            routes: [{ id: r, strategy: { type: failover, upstreams: [one, two] } }]
            """)
        let client = play.client()
        for status in ["500 Internal Server Error", "503 Service Unavailable", "429 Too Many Requests", "401 Unauthorized", "403 Forbidden", "404 Not Found"] {
            play.say(client, "POST /a HTTP/1.1\r\nhost: g\r\ncontent-length: 2\r\n\r\n{}")
            play.say(play.upstream(0).fd, Message.answer("{}", status: status))
            #expect(try answered(play, client).status == Int(status.prefix(3)))
        }
        #expect(play.connectCount == 1)
        play.say(client, "GET /a HTTP/1.1\r\nhost: g\r\n\r\n")
        play.say(play.upstream(0).fd, Message.answer("{}", status: "500 Internal Server Error"))
        #expect(play.connectCount == 2)
        play.say(play.upstream(1).fd, Message.answer("{}"))
        #expect(try answered(play, client).status == 200)
        play.expectNothingLeft()
    }

    @Test func RT_02_whatMakesSomethingAtAProviderIsNotAskedForTwice() throws {
        let play = try PlayedWorker(Plans.two())
        let body = #"{"input_file_id":"f"}"#
        for (path, again) in [("/v1/batches", false), ("/v1/files", false), ("/v1/audio/speech", true), ("/v1/images/generations", true)] {
            let client = play.client()
            let before = play.connectCount
            play.say(client, "POST \(path) HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
            #expect(play.connectCount == before + 1)
            play.end(play.upstream(before).fd, error: ECONNRESET)
            play.settle()
            #expect(play.connectCount == before + (again ? 2 : 1), "\(path)")
            if again { play.say(play.upstream(before + 1).fd, Message.answer("{}")) }
            #expect(try answered(play, client).status == (again ? 200 : 502), "\(path)")
            for at in 0..<play.connectCount { play.end(play.upstream(at).fd) }
            play.settle()
        }
        play.expectNothingLeft()
    }

    @Test func aCallersKeyInTheQueryGoesToNoBackend() throws {
        let play = try PlayedWorker("""
            upstreams: { one: { type: http, base_url: "http://10.0.0.1:8001" } }
            security: { keys: [{ id: a, value: sk-caller-000000000 }] }
            """)
        let client = play.client()
        play.say(client, "POST /v1beta/models/x:generateContent?alt=1&key=sk-caller-000000000&b=2 HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        let request = try #require(try UpstreamRequest.read(play.taken(play.upstream(0).fd)))
        #expect(request.line == "POST /v1beta/models/x:generateContent?alt=1&b=2 HTTP/1.1")
        play.say(play.upstream(0).fd, Message.answer("{}"))
        play.expectNothingLeft()
    }

    // MARK: downgrades

    @Test func aDowngradeIsToldAlsoWhereTheFirstChoiceWasNotEvenAsked() throws {
        let play = try PlayedWorker("""
            upstreams:
              one: { type: generic, api_key: sk-1, base_url: "http://10.0.0.1:8001/v1", models: [large] }
              two: { type: generic, api_key: sk-2, base_url: "http://10.0.0.2:8002/v1", models: [small] }
            routes:
              - { id: r, strategy: { type: failover, upstreams: [one, { name: two, model: small }] } }
            """)
        let client = play.client()
        for _ in 0..<5 { _ = play.shared.outlook.breaker(place(play, 0), .model).record(success: false, now: play.worker.now, BreakerSettings()) }
        play.say(client, Message.chat(model: "large"))
        #expect(play.upstream(0).port == 8002)
        play.say(play.upstream(0).fd, Message.answer(Message.completion))
        let answer = try answered(play, client)
        #expect(answer.fields["x-openclaw-downgraded"] == "from=large;to=small;reason=unavailable")
        #expect(play.count(.downgrades) == 1)
        #expect(play.logLines[0]["downgraded"] as? Bool == true)
        play.expectNothingLeft()
    }

    @Test func aDowngradeThatBrokeOffWasOneAllTheSame() throws {
        let play = try PlayedWorker("""
            upstreams:
              one: { type: generic, api_key: sk-1, base_url: "http://10.0.0.1:8001/v1", models: [large] }
              two: { type: generic, api_key: sk-2, base_url: "http://10.0.0.2:8002/v1", models: [small] }
            routes:
              - { id: r, strategy: { type: failover, upstreams: [one] }, fallback: { upstreams: [{ name: two, model: small }], allow_downgrade: any } }
            """)
        let client = play.client()
        play.say(client, Message.chat(model: "large", stream: true))
        play.say(play.upstream(0).fd, Message.answer("{}", status: "500 Internal Server Error"))
        play.say(play.upstream(1).fd, Message.streamHead + Message.chunk(Message.role + Message.content("Once")))
        play.end(play.upstream(1).fd, error: ECONNRESET)
        play.settle()
        #expect(try answered(play, client).fields["x-openclaw-downgraded"] == "from=large;to=small;reason=server_error")
        #expect(play.logLines[0]["downgraded"] as? Bool == true)
        #expect(play.count(.downgrades) == 1)
        play.expectNothingLeft()
    }

    // MARK: resumed streams

    private func cutStream(_ request: String, _ adjust: (inout Route) -> Void = { _ in }) throws -> (PlayedWorker, Int32) {
        let play = try PlayedWorker(Plans.two()) { configuration in
            var route = Route(id: "resuming")
            route.targets = [StrategyTarget(upstream: 0), StrategyTarget(upstream: 1)]
            route.resume = true
            adjust(&route)
            configuration.routes = [route]
        }
        let client = play.client()
        play.say(client, request)
        play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.role + Message.content("Once")))
        play.end(play.upstream(0).fd, error: ECONNRESET)
        play.settle()
        return (play, client)
    }

    @Test func RT_01_aStreamGoesOnElsewhereOnlyWithinTheRetryBudget() throws {
        let (play, client) = try cutStream(Message.chat(stream: true)) {
            $0.retries.budget = 0
            $0.retries.perSecondMin = 0
        }
        #expect(play.connectCount == 1)
        let answer = try answered(play, client)
        #expect(answer.isWhole)
        #expect(answer.text.contains("\"error\""))
        #expect(play.count(.retriesRefused) == 1)
        play.expectNothingLeft()
    }

    @Test func SS_09_aSlowClientOfAStreamThatWentOnIsNotTheNewUpstreamsSilence() throws {
        let play = try PlayedWorker(Plans.two(server: "timeout_seconds: 60\nwrite_timeout_seconds: 30", upstream: "idle_stream_timeout_seconds: 2\nbreaker: { consecutive_failures: 1 }")) { configuration in
            var route = Route(id: "resuming")
            route.targets = [StrategyTarget(upstream: 0), StrategyTarget(upstream: 1)]
            route.resume = true
            configuration.routes = [route]
        }
        let client = play.client()
        play.window(client, 100)
        play.say(client, Message.chat(stream: true))
        let piece = Message.chunk(Message.content(String(repeating: "y", count: 3000)))
        play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.role) + piece)
        play.end(play.upstream(0).fd, error: ECONNRESET)
        play.settle()
        play.say(play.upstream(1).fd, Message.streamHead + piece)
        for _ in 0..<40 { play.say(play.upstream(1).fd, piece) }
        #expect(play.isPaused(play.upstream(1).fd))
        for _ in 0..<50 { play.advance(milliseconds: 100) }
        #expect(play.shared.outlook.breaker(place(play, 1), .model).opensCount == 0)
        var bytes: [UInt8] = []
        for _ in 0..<200 {
            bytes += play.taken(client)
            play.window(client, 2000)
            play.settle()
        }
        play.window(client, .max)
        play.settle()
        play.say(play.upstream(1).fd, Message.chunk(Message.finish + Message.done) + Message.lastChunk)
        for _ in 0..<50 { play.settle() }
        bytes += play.taken(client)
        let answer = try #require(try ClientAnswer.read(bytes))
        #expect(answer.isWhole)
        #expect(!answer.text.contains("\"error\""))
        #expect(answer.text.hasSuffix(Message.done))
        play.expectNothingLeft()
    }

    @Test func numbersThatNoRequestShouldHaveStopNoStream() throws {
        for number in ["-9223372036854775808", "9223372036854775807", "0", "-1"] {
            let body = #"{"model":"m","stream":true,"max_tokens":\#(number),"messages":[{"role":"user","content":"x"}]}"#
            let (play, client) = try cutStream("POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
            if play.connectCount > 1 { play.say(play.upstream(1).fd, Message.streamHead + Message.chunk(Message.content(" upon") + Message.finish + Message.done) + Message.lastChunk) }
            #expect(try answered(play, client).isWhole)
            play.expectNothingLeft()
        }
    }
}
