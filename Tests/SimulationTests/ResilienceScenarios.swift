import Foundation
import Glibc
@testable import ClawEngine
import ClawPolicy
import Testing

/// What is tried after a failure and what is not: ladders, keys, breakers, queues, deadlines. The played clock says when.
@Suite struct ResilienceScenarios {
    private func answered(_ play: PlayedWorker, _ client: Int32) throws -> ClientAnswer {
        try #require(try ClientAnswer.read(play.taken(client)), "no whole answer head")
    }

    private func code(_ answer: ClientAnswer) -> String? {
        answer.text.range(of: #""code":""#).map { String(answer.text[$0.upperBound...].prefix { $0 != "\"" }) }
    }

    private func attempts(_ play: PlayedWorker, _ line: Int = 0) -> [[String: Any]] { play.logLines[line]["attempts"] as? [[String: Any]] ?? [] }
    private func whys(_ play: PlayedWorker, _ line: Int = 0) -> [String] { attempts(play, line).map { $0["why"] as? String ?? "?" } }
    private func classes(_ play: PlayedWorker, _ line: Int = 0) -> [String] { attempts(play, line).map { $0["class"] as? String ?? "-" } }

    private func failure(_ status: String, _ code: String, message: String = "no", fields: String = "") -> String {
        Message.answer(#"{"error":{"message":"\#(message)","type":"x","param":null,"code":"\#(code)"}}"#, status: status, fields: "content-type: application/json\r\n\(fields)")
    }

    private func key(_ play: PlayedWorker, _ upstream: Int) throws -> String? { try UpstreamRequest.read(play.taken(play.upstream(upstream).fd))?.fields["authorization"] }

    /// Whatever was taken of what workers share was given back.
    private func expectNothingTaken(_ play: PlayedWorker, _ place: SourceLocation = #_sourceLocation) {
        play.expectNothingLeft(place)
        let plan = play.worker.plan
        for at in 0..<plan.pointee.upstreams.count {
            let upstream = plan.pointee.upstreams[at].pointee
            #expect(play.shared.outlook.concurrency(upstream.place).inFlight == 0, sourceLocation: place)
            #expect(play.shared.outlook.queued(upstream.place)[0].load(ordering: .relaxed) == 0, sourceLocation: place)
            #expect(play.shared.outlook.recovering(upstream.place)[0].load(ordering: .relaxed) == 0, sourceLocation: place)
            #expect(play.shared.outlook.waitingWorkers(upstream.place)[0].load(ordering: .relaxed) == 0, sourceLocation: place)
            for traffic in TrafficClass.allCases { #expect(play.shared.outlook.breaker(upstream.place, traffic).probesInFlight == 0, sourceLocation: place) }
        }
    }

    private func events(_ play: PlayedWorker) -> [String] {
        let (first, second) = play.worker.events.pending()
        let text = String(decoding: Array(first) + Array(second), as: UTF8.self)
        play.worker.events.consume(first.count + second.count)
        return text.split(separator: "\n").map { line in
            let object = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any]
            if object == nil { Issue.record("an event is not JSON: \(line)") }
            return object?["event"] as? String ?? "?"
        }
    }

    // MARK: keys

    private func twoKeys(_ more: String = "") -> String {
        """
        upstreams:
          one:
            type: generic
            base_url: http://10.0.0.1:8001/v1
            api_keys: [{ id: a, value: sk-a, weight: 1000 }, { id: b, value: sk-b, weight: 1 }]
            \(more)
        """
    }

    @Test func aSpareKeyAnswersAndTheCooledOneIsLeftAlone() throws {
        let play = try PlayedWorker(twoKeys())
        let client = play.client()
        play.say(client, Message.chat())
        let fd = play.upstream(0).fd
        let first = try key(play, 0)
        play.say(fd, failure("429 Too Many Requests", "rate_limit_exceeded", fields: "retry-after: 20\r\n"))
        // Over the same connection, because the error was read whole.
        #expect(play.connectCount == 1)
        let second = try key(play, 0)
        #expect(first != second && second != nil)
        play.say(fd, Message.answer(Message.completion))
        #expect(try answered(play, client).fields["x-openclaw-attempts"] == "2")
        for _ in 0..<20 {
            play.say(client, Message.chat())
            #expect(try key(play, 0) == second)
            play.say(fd, Message.answer(Message.completion))
            _ = play.taken(client)
        }
        #expect(whys(play) == ["first", "spare_key"])
        #expect(classes(play) == ["rate_limited", "-"])
        #expect(play.count(.keyFailures) == 1)
        #expect(play.count(.keyCooldowns) == 1)
        #expect(events(play) == ["key_cooled"])
        // Its time over, it is one like the other again.
        play.advance(milliseconds: 20_010)
        play.say(client, Message.chat())
        #expect(try key(play, 0) == first)
        play.say(fd, Message.answer(Message.completion))
        expectNothingTaken(play)
    }

    @Test func aRefusedKeyIsOutOfRotation() throws {
        let play = try PlayedWorker(twoKeys())
        let client = play.client()
        play.say(client, Message.chat())
        let fd = play.upstream(0).fd
        let bad = try key(play, 0)
        play.say(fd, failure("401 Unauthorized", "invalid_api_key"))
        #expect(try key(play, 0) != bad)
        play.say(fd, Message.answer(Message.completion))
        play.advance(milliseconds: 200_000)
        play.say(client, Message.chat())
        #expect(try key(play, 0) != bad)
        play.say(fd, Message.answer(Message.completion))
        #expect(classes(play) == ["auth", "-"])
        #expect(events(play) == ["key_refused"])
        // A bad key is no fault of the upstream.
        #expect(play.shared.outlook.breaker(0, .model).opensCount == 0)
        expectNothingTaken(play)
    }

    @Test func UP_11_allKeysCoolingIsA429AtOnceWithTheSoonestRecovery() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat())
        play.say(play.upstream(0).fd, failure("429 Too Many Requests", "rate_limit_exceeded", message: "mine", fields: "retry-after: 30\r\n"))
        let own = try answered(play, client)
        #expect(own.status == 429)
        #expect(own.text.contains("mine"))
        #expect(own.fields["retry-after"] == "30")
        play.advance(milliseconds: 4000)
        play.say(client, Message.chat())
        let refused = try answered(play, client)
        #expect(refused.status == 429)
        #expect(code(refused) == "no_upstream_available")
        #expect(refused.fields["retry-after"] == "26" || refused.fields["retry-after"] == "27")
        #expect(refused.fields["x-openclaw-attempts"] == "0")
        #expect(play.waiting(play.upstream(0).fd) > 0)
        expectNothingTaken(play)
    }

    @Test func RT_11_aShortRecoveryIsWaitedForOnceAndNotByAllAtTheSameMoment() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat())
        play.say(play.upstream(0).fd, failure("429 Too Many Requests", "rate_limit_exceeded", fields: "retry-after: 3\r\n"))
        _ = play.taken(client)
        _ = play.taken(play.upstream(0).fd)
        let waiting = (0..<20).map { _ in play.client() }
        for one in waiting { play.say(one, Message.chat()) }
        #expect(play.worker.waitingCount == 20)
        #expect(play.waiting(play.upstream(0).fd) == 0)
        var begun: [Int] = []
        for _ in 0..<100 {
            play.advance(milliseconds: 50)
            begun.append(20 - play.worker.waitingCount)
        }
        #expect(begun[57] == 0)
        #expect(begun.last == 20)
        #expect(Set(begun).count > 3)
        for at in 0..<play.connectCount where !play.taken(play.upstream(at).fd).isEmpty { play.say(play.upstream(at).fd, Message.answer(Message.completion)) }
        for one in waiting { #expect(try answered(play, one).status == 200) }
        expectNothingTaken(play)
    }

    @Test func aKeyThatCoolsForAGuessedTimeIsProbedAtAPace() throws {
        let play = try PlayedWorker(Plans.one(upstream: "cooldown: { base_seconds: 60 }"))
        let client = play.client()
        play.say(client, Message.chat())
        let fd = play.upstream(0).fd
        play.say(fd, failure("429 Too Many Requests", "rate_limit_exceeded"))
        _ = play.taken(client)
        _ = play.taken(fd)
        // One is let through to look; it says no again, and the next one has to wait for its turn.
        play.say(client, Message.chat())
        #expect(play.waiting(fd) > 0)
        _ = play.taken(fd)
        play.say(fd, failure("429 Too Many Requests", "rate_limit_exceeded"))
        _ = play.taken(client)
        play.say(client, Message.chat())
        #expect(play.waiting(fd) == 0)
        #expect(try answered(play, client).status == 429)
        play.advance(milliseconds: 1100)
        play.say(client, Message.chat())
        #expect(play.waiting(fd) > 0)
        _ = play.taken(fd)
        play.say(fd, Message.answer(Message.completion))
        #expect(try answered(play, client).status == 200)
        // That it went well ends the cool-down.
        play.say(client, Message.chat())
        _ = play.taken(fd)
        play.say(fd, Message.answer(Message.completion))
        #expect(whys(play, 1) == ["probe"])
        #expect(whys(play, 3) == ["probe"])
        #expect(whys(play, 4) == ["first"])
        expectNothingTaken(play)
    }

    // MARK: breakers

    private func failFive(_ play: PlayedWorker, _ client: Int32) {
        for _ in 0..<5 {
            play.say(client, Message.chat())
            play.say(play.upstream(0).fd, failure("500 Internal Server Error", "broken"))
            _ = play.taken(client)
            _ = play.taken(play.upstream(0).fd)
        }
    }

    @Test func RT_04_halfOpenLetsOneProbeThroughAndRefusesTheRest() throws {
        let play = try PlayedWorker(Plans.one(upstream: "breaker: { open_seconds: 10, half_open_successes: 2 }"))
        let client = play.client()
        failFive(play, client)
        #expect(events(play) == ["breaker_opened"])
        play.say(client, Message.chat())
        let refused = try answered(play, client)
        #expect(refused.status == 503)
        #expect(code(refused) == "no_upstream_available")
        #expect(refused.fields["retry-after"] == "10")
        #expect(refused.text.contains("breaker"))
        play.advance(milliseconds: 10_001)
        let many = (0..<30).map { _ in play.client() }
        for one in many { play.say(one, Message.chat()) }
        let fd = play.upstream(0).fd
        #expect(play.connectCount == 1)
        #expect(play.waiting(fd) > 0)
        _ = play.taken(fd)
        for one in many.dropFirst() {
            let answer = try answered(play, one)
            #expect(answer.status == 503)
            #expect(answer.fields["retry-after"] == "1")
        }
        for at in 0..<2 {
            if at > 0 {
                play.say(many[0], Message.chat())
                _ = play.taken(fd)
            }
            play.say(fd, Message.answer(Message.completion))
            #expect(try answered(play, many[0]).status == 200)
        }
        #expect(events(play) == ["breaker_half_open", "breaker_closed"])
        for one in many { play.say(one, Message.chat()) }
        #expect(play.connectCount > 20)
        for at in 0..<play.connectCount { play.say(play.upstream(at).fd, Message.answer(Message.completion)) }
        expectNothingTaken(play)
    }

    @Test func RT_05_aProbeThatHangsOpensTheBreakerAgainAndKeepsNothing() throws {
        let play = try PlayedWorker(Plans.one(upstream: "first_byte_timeout_seconds: 2\nbreaker: { open_seconds: 10 }"))
        let client = play.client()
        failFive(play, client)
        play.advance(milliseconds: 10_001)
        play.say(client, Message.chat())
        #expect(play.shared.outlook.breaker(0, .model).probesInFlight == 1)
        play.advance(milliseconds: 2020)
        #expect(try answered(play, client).status == 504)
        #expect(play.shared.outlook.breaker(0, .model).probesInFlight == 0)
        #expect(events(play) == ["breaker_opened", "breaker_half_open", "breaker_reopened"])
        play.say(client, Message.chat())
        let refused = try answered(play, client)
        #expect(refused.status == 503)
        // Twice the time.
        #expect(refused.fields["retry-after"] == "20")
        expectNothingTaken(play)
    }

    @Test func RT_10_aProbeWhoseClientLeavesGivesItsPlaceBack() throws {
        let play = try PlayedWorker(Plans.one(upstream: "breaker: { open_seconds: 10 }"))
        let client = play.client()
        failFive(play, client)
        play.advance(milliseconds: 10_001)
        let leaver = play.client()
        play.say(leaver, Message.chat())
        #expect(play.shared.outlook.breaker(0, .model).probesInFlight == 1)
        play.end(leaver, error: ECONNRESET)
        play.settle()
        #expect(play.shared.outlook.breaker(0, .model).probesInFlight == 0)
        play.say(client, Message.chat())
        #expect(play.shared.outlook.breaker(0, .model).probesInFlight == 1)
        expectNothingTaken(play)
    }

    @Test func aLongStreamDoesNotKeepItsUpstreamHalfOpen() throws {
        let play = try PlayedWorker(Plans.one(upstream: "breaker: { open_seconds: 10, half_open_successes: 1 }"))
        let client = play.client()
        failFive(play, client)
        play.advance(milliseconds: 10_001)
        play.say(client, Message.chat(stream: true))
        play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.content("a")))
        #expect(play.shared.outlook.breaker(0, .model).state(now: play.worker.now) == .closed)
        // That it breaks off is a failure like any other, and only one.
        play.end(play.upstream(0).fd, error: ECONNRESET)
        play.settle()
        #expect(play.shared.outlook.breaker(0, .model).state(now: play.worker.now) == .closed)
        expectNothingTaken(play)
    }

    @Test func requestsThatAreWrongOpenNoBreaker() throws {
        let play = try PlayedWorker(Plans.one(upstream: "cooldown: { max_seconds: 0 }"))
        let client = play.client()
        for _ in 0..<5 {
            for (status, word) in [("400 Bad Request", "invalid_value"), ("429 Too Many Requests", "rate_limit_exceeded"), ("401 Unauthorized", "invalid_api_key"), ("404 Not Found", "model_not_found")] {
                play.say(client, Message.chat())
                play.say(play.upstream(0).fd, failure(status, word))
                #expect(try answered(play, client).status == Int(status.prefix(3)))
            }
        }
        #expect(play.shared.outlook.breaker(0, .model).opensCount == 0)
        #expect(play.connectCount == 1)
        expectNothingTaken(play)
    }

    // MARK: ladders

    private func withFallback(_ route: String, upstream: String = "") -> String {
        """
        upstreams:
          one: { type: generic, api_key: sk-1, base_url: "http://10.0.0.1:8001/v1", models: [{ id: small, max_context_tokens: 1000 }]\(upstream) }
          two: { type: generic, api_key: sk-2, base_url: "http://10.0.0.2:8002/v1", models: [{ id: big, max_context_tokens: 9000 }] }
        routes:
          - { id: r, strategy: { type: failover, upstreams: [one] }, fallback: { upstreams: [{ name: two, model: big }], allow_downgrade: any }\(route) }
        """
    }

    @Test func aPromptThatIsTooLongGoesToALargerWindowAndTheDowngradeIsTold() throws {
        let play = try PlayedWorker(withFallback(""))
        let client = play.client()
        play.say(client, Message.chat(model: "small", stream: true))
        play.say(play.upstream(0).fd, failure("400 Bad Request", "context_length_exceeded"))
        #expect(play.upstream(1).port == 8002)
        #expect(try UpstreamRequest.read(play.taken(play.upstream(1).fd))?.text.contains(#""model":"big""#) == true)
        let events = Message.content("x") + Message.finish + Message.done
        play.say(play.upstream(1).fd, Message.streamHead + Message.chunk(events) + Message.lastChunk)
        let answer = try answered(play, client)
        #expect(answer.fields["x-openclaw-downgraded"] == "from=small;to=big;reason=context_too_long")
        #expect(answer.text == ": openclaw downgraded from=small;to=big;reason=context_too_long\n\n" + events)
        #expect(whys(play) == ["first", "larger_window"])
        #expect(play.logLines[0]["downgraded"] as? Bool == true)
        #expect((play.logLines[0]["downgrade"] as? [String: Any])?["to"] as? String == "big")
        #expect(play.count(.downgrades) == 1)
        expectNothingTaken(play)
    }

    @Test func aDowngradeSaysWhatIsLost() throws {
        let play = try PlayedWorker("""
            upstreams:
              one: { type: generic, api_key: sk-1, base_url: "http://10.0.0.1:8001/v1", capabilities: [chat, tools, vision], models: [{ id: large, max_context_tokens: 9000 }] }
              two: { type: generic, api_key: sk-2, base_url: "http://10.0.0.2:8002/v1", capabilities: [chat], models: [{ id: small, max_context_tokens: 1000 }] }
            routes:
              - { id: r, strategy: { type: failover, upstreams: [one] }, fallback: { upstreams: [{ name: two, model: small }], allow_downgrade: any } }
            """)
        let client = play.client()
        play.say(client, Message.chat(model: "large"))
        play.say(play.upstream(0).fd, failure("500 Internal Server Error", "odd"))
        play.say(play.upstream(1).fd, Message.answer(Message.completion))
        #expect(try answered(play, client).fields["x-openclaw-downgraded"] == "from=large;to=small;reason=server_error;lost=tools,vision;window=1000")
        let told = play.logLines[0]["downgrade"] as? [String: Any]
        #expect(told?["lost"] as? [String] == ["tools", "vision"])
        #expect(told?["window"] as? Int == 1000)
        expectNothingTaken(play)
    }

    @Test func aBadRequestIsTheClientsWhateverElseCouldBeAsked() throws {
        let play = try PlayedWorker(withFallback(""))
        let client = play.client()
        for (status, word) in [("400 Bad Request", "invalid_value"), ("422 Unprocessable Content", "x"), ("400 Bad Request", "content_policy_violation")] {
            play.say(client, Message.chat(model: "small"))
            play.say(play.upstream(0).fd, failure(status, word))
            #expect(try answered(play, client).status == Int(status.prefix(3)))
        }
        #expect(play.connectCount == 1)
        expectNothingTaken(play)
    }

    @Test func aModelThatIsMissingIsNotSilentlyAnother() throws {
        // Two of the strategy; no fallback is named: the 404 is the client's.
        let play = try PlayedWorker(Plans.two())
        let client = play.client()
        play.say(client, Message.chat())
        play.say(play.upstream(0).fd, failure("404 Not Found", "model_not_found"))
        #expect(try answered(play, client).status == 404)
        #expect(play.connectCount == 1)
        expectNothingTaken(play)
    }

    @Test func theUpstreamHasTheLastWordWhenNobodyElseCanBeAsked() throws {
        let play = try PlayedWorker(withFallback(", retries: { max_attempts: 6 }", upstream: ", breaker: { enabled: false }"))
        // The fallback's breaker is open.
        for _ in 0..<5 { _ = play.shared.outlook.breaker(play.worker.plan.pointee.upstreams[1].pointee.place, .model).record(success: false, now: play.worker.now, BreakerSettings()) }
        let client = play.client()
        play.say(client, Message.chat(model: "small"))
        play.say(play.upstream(0).fd, failure("500 Internal Server Error", "odd", message: "the upstream's own words"))
        let answer = try answered(play, client)
        #expect(answer.status == 500)
        #expect(answer.text.contains("the upstream's own words"))
        #expect(answer.fields["x-openclaw-upstream"] == "one")
        #expect(answer.fields["x-openclaw-downgraded"] == nil)
        #expect(play.connectCount == 1)
        expectNothingTaken(play)
        #expect(play.logLines[0]["error_class"] as? String == "server_error")
    }

    @Test func aDeclaredLadderIsWalkedInsteadOfTheStandardOne() throws {
        let play = try PlayedWorker(withFallback(", on_server_error: [retry, fallback_model], on_overloaded: []"))
        let client = play.client()
        play.say(client, Message.chat(model: "small"))
        play.say(play.upstream(0).fd, failure("500 Internal Server Error", "odd"))
        // Once more, over a connection of its own.
        #expect(play.connectCount == 2)
        #expect(play.upstream(1).port == 8001)
        play.say(play.upstream(1).fd, failure("500 Internal Server Error", "odd"))
        #expect(play.upstream(2).port == 8002)
        play.say(play.upstream(2).fd, Message.answer(Message.completion))
        #expect(try answered(play, client).status == 200)
        play.say(client, Message.chat(model: "small"))
        play.say(play.upstream(1).fd, failure("503 Service Unavailable", "busy"))
        #expect(try answered(play, client).status == 503)
        #expect(whys(play) == ["first", "retry", "fallback_model"])
        expectNothingTaken(play)
    }

    @Test func wordsThatDoNotComeAreNotWaitedForWhereSomebodyElseCanBeAsked() throws {
        let play = try PlayedWorker(Plans.two())
        let client = play.client()
        play.say(client, Message.chat())
        play.say(play.upstream(0).fd, "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"error\":")
        #expect(play.connectCount == 1)
        let spent = play.milliseconds(limit: 3000) { play.connectCount == 2 }
        #expect(spent.map { (2000...2000 + PlayedWorker.timerSlackMilliseconds).contains($0) } == true, "\(String(describing: spent))")
        play.say(play.upstream(1).fd, Message.answer(Message.completion))
        #expect(try answered(play, client).status == 200)
        #expect(classes(play) == ["server_error", "-"])
        expectNothingTaken(play)
    }

    @Test func anAnswerThatIsTooLargeIsNotPaidForTwice() throws {
        let play = try PlayedWorker("""
            server: { max_answer_mb: 1 }
            upstreams:
              one: { type: cohere, api_key: sk-1, base_url: "http://10.0.0.1:8001", models: [m] }
              two: { type: generic, api_key: sk-2, base_url: "http://10.0.0.2:8002/v1", models: [m] }
            routes: [{ id: r, strategy: { type: failover, upstreams: [one, two] } }]
            """)
        let client = play.client()
        play.say(client, Message.chat())
        play.say(play.upstream(0).fd, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9000000\r\n\r\n")
        let answer = try answered(play, client)
        #expect(answer.status == 502)
        #expect(code(answer) == "upstream_answer_too_large")
        #expect(play.connectCount == 1)
        expectNothingTaken(play)
    }

    @Test func RT_01_retriesStayWithinTheirBudget() throws {
        let play = try PlayedWorker(Plans.two(upstream: "breaker: { enabled: false }") + """

            routes: [{ id: r, strategy: { type: failover, upstreams: [one, two] }, retries: { max_attempts: 3, budget: 0.1, min_per_second: 0 } }]
            """)
        let client = play.client()
        for _ in 0..<100 {
            play.say(client, Message.chat())
            for at in 0..<play.connectCount where !play.taken(play.upstream(at).fd).isEmpty { play.say(play.upstream(at).fd, failure("500 Internal Server Error", "odd")) }
            for at in 0..<play.connectCount where !play.taken(play.upstream(at).fd).isEmpty { play.say(play.upstream(at).fd, failure("500 Internal Server Error", "odd")) }
            #expect(try answered(play, client).status == 500)
        }
        #expect((1...10).contains(play.count(.retries)))
        #expect(play.count(.upstreamRequests) == 100 + play.count(.retries))
        #expect(play.count(.retriesRefused) == 100 - play.count(.retries))
        expectNothingTaken(play)
    }

    // MARK: deadlines

    @Test func RT_03_theClientsDeadlineBoundsAllAttempts() throws {
        let play = try PlayedWorker(Plans.two(upstream: "first_byte_timeout_seconds: 2"))
        let client = play.client()
        play.say(client, Message.chat(fields: "x-openclaw-deadline-ms: 3000\r\n"))
        let spent = play.milliseconds(limit: 5000) { play.waiting(client) > 0 }
        #expect(spent.map { (3000...3000 + PlayedWorker.timerSlackMilliseconds).contains($0) } == true, "\(String(describing: spent))")
        #expect(try answered(play, client).status == 504)
        #expect(play.connectCount == 2)
        #expect(classes(play) == ["timeout", "timeout"])
        expectNothingTaken(play)
    }

    @Test func RT_03_aBackoffThatWouldPassTheDeadlineIsNotBegun() throws {
        let play = try PlayedWorker(Plans.two() + """

            routes: [{ id: r, strategy: { type: failover, upstreams: [one, two] }, retries: { backoff_ms: 60000, max_backoff_ms: 60000 } }]
            """)
        var atOnce = 0
        for _ in 0..<20 {
            let client = play.client()
            play.say(client, Message.chat(fields: "x-openclaw-deadline-ms: 50\r\n"))
            for at in 0..<play.connectCount where !play.taken(play.upstream(at).fd).isEmpty { play.say(play.upstream(at).fd, failure("503 Service Unavailable", "busy")) }
            if play.waiting(client) > 0 {
                #expect(try answered(play, client).status == 503)
                atOnce += 1
            }
            play.end(client)
            play.settle()
        }
        // The wait is by chance anywhere in a minute.
        #expect(atOnce >= 4)
        expectNothingTaken(play)
    }

    @Test func aDeadlineIsAPositiveNumberAndIsPassedOnToBackends() throws {
        let play = try PlayedWorker("""
            upstreams:
              one: { type: http, base_url: "http://10.0.0.1:8001" }
            """)
        let client = play.client()
        for junk in ["0", "-5", "1.5", "soon", "", "99999999999"] {
            play.say(client, "GET /a HTTP/1.1\r\nhost: g\r\nx-openclaw-deadline-ms: \(junk)\r\n\r\n")
            let answer = try answered(play, client)
            #expect(answer.status == 400, "\(junk)")
            #expect(answer.text.contains("x-openclaw-deadline-ms"))
        }
        play.nextConnect(0, delayMilliseconds: 100)
        play.say(client, "GET /a HTTP/1.1\r\nhost: g\r\nx-openclaw-deadline-ms: 5000\r\n\r\n")
        play.advance(milliseconds: 101)
        let left = try UpstreamRequest.read(play.taken(play.upstream(0).fd))?.fields["x-openclaw-deadline-ms"].flatMap { Int($0) }
        #expect(left.map { (4850...4900).contains($0) } == true, "\(String(describing: left))")
        play.say(play.upstream(0).fd, Message.answer("{}"))
        expectNothingTaken(play)
    }

    @Test func RT_10_aClientThatLeavesDuringABackoffEndsIt() throws {
        let play = try PlayedWorker(Plans.two() + """

            routes: [{ id: r, strategy: { type: failover, upstreams: [one, two] }, retries: { backoff_ms: 20000, max_backoff_ms: 20000 } }]
            """)
        let client = play.client()
        play.say(client, Message.chat())
        play.say(play.upstream(0).fd, failure("503 Service Unavailable", "busy"))
        #expect(play.connectCount == 1)
        play.end(client, error: ECONNRESET)
        play.settle()
        #expect(play.worker.exchanges.inUse == 0)
        play.advance(milliseconds: 21_000)
        #expect(play.connectCount == 1)
        expectNothingTaken(play)
        #expect(play.loggedStatuses == [499])
        #expect(classes(play) == ["overloaded"])
    }

    // MARK: places

    @Test func placesAreFairBetweenTenants() throws {
        let play = try PlayedWorker("""
            upstreams:
              one: { type: generic, base_url: "http://10.0.0.1:8001/v1", max_concurrency: 1 }
            security:
              keys: [{ id: a, value: sk-tenant-a-000000, tenant: a }, { id: b, value: sk-tenant-b-000000, tenant: b }]
            """)
        func ask(_ name: String, _ tenant: String) -> Int32 {
            let client = play.client()
            play.say(client, Message.chat(model: name, fields: "authorization: Bearer sk-tenant-\(tenant)-000000\r\n"))
            return client
        }
        let clients = [ask("a0", "a"), ask("a1", "a"), ask("a2", "a"), ask("a3", "a"), ask("b1", "b"), ask("b2", "b")]
        #expect(play.connectCount == 1)
        #expect(play.worker.queuedCount == 5)
        let fd = play.upstream(0).fd
        var order: [String] = []
        for _ in 0..<6 {
            let text = try UpstreamRequest.read(play.taken(fd))?.text ?? ""
            order.append(String(text.dropFirst(10).prefix(2)))
            play.say(fd, Message.answer(Message.completion))
        }
        #expect(order == ["a0", "a1", "b1", "a2", "b2", "a3"])
        for client in clients { #expect(try answered(play, client).status == 200) }
        expectNothingTaken(play)
    }

    @Test func theQueueIsBoundedAndWhoLeavesItTakesNothing() throws {
        let play = try PlayedWorker(Plans.one(upstream: "max_concurrency: 1\nmax_pending: 2\ntimeout_seconds: 5"))
        let clients = (0..<4).map { _ in play.client() }
        for client in clients { play.say(client, Message.chat()) }
        let full = try answered(play, clients[3])
        #expect(full.status == 503)
        #expect(code(full) == "upstream_queue_full")
        #expect(full.fields["retry-after"] == "1")
        play.end(clients[1], error: ECONNRESET)
        play.settle()
        #expect(play.worker.queuedCount == 1)
        // The one that waits still runs out of its own time; the one at the upstream too.
        play.advance(milliseconds: 5020)
        #expect(try answered(play, clients[0]).status == 504)
        #expect(try answered(play, clients[2]).status == 504)
        #expect(play.connectCount == 1)
        expectNothingTaken(play)
        #expect(attempts(play, 2).isEmpty || attempts(play, 3).isEmpty)
    }

    @Test func whoWaitsForAPlaceIsNotLetPastAnOpenBreaker() throws {
        let play = try PlayedWorker(Plans.one(upstream: "max_concurrency: 1\nbreaker: { consecutive_failures: 1, open_seconds: 10 }"))
        let first = play.client(), second = play.client()
        play.say(first, Message.chat())
        play.say(second, Message.chat())
        play.say(play.upstream(0).fd, failure("500 Internal Server Error", "odd"))
        #expect(try answered(play, first).status == 500)
        let refused = try answered(play, second)
        #expect(refused.status == 503)
        #expect(refused.fields["retry-after"] == "10")
        #expect(play.connectCount == 1)
        expectNothingTaken(play)
    }

    // MARK: endpoints

    @Test func RT_07_endpointsThatFailAreLeftOutButNeverAll() throws {
        let play = try PlayedWorker("""
            upstreams:
              one:
                type: generic
                endpoints: [{ url: "http://10.0.0.1:8001/v1" }, { url: "http://10.0.0.2:8002/v1" }]
                breaker: { enabled: false }
                health: { passive: { consecutive_failures: 2, ejection_seconds: 60, max_ejected_ratio: 0.5 } }
            routes: [{ id: r, strategy: { upstreams: [one] }, retries: { max_attempts: 1 } }]
            """)
        let client = play.client()
        func round(_ answer: (UInt16) -> String) -> UInt16 {
            play.say(client, Message.chat())
            for at in 0..<play.connectCount where !play.taken(play.upstream(at).fd).isEmpty {
                play.say(play.upstream(at).fd, answer(play.upstream(at).port))
                _ = play.taken(client)
                return play.upstream(at).port
            }
            return 0
        }
        for _ in 0..<40 { _ = round { $0 == 8001 ? failure("500 Internal Server Error", "odd") : Message.answer(Message.completion) } }
        #expect(events(play) == ["endpoint_ejected"])
        #expect(Set((0..<20).map { _ in round { _ in Message.answer(Message.completion) } }) == [8002])
        // The other fails too: it may not go as well, and goes on being asked.
        #expect((0..<10).allSatisfy { _ in round { _ in failure("500 Internal Server Error", "odd") } == 8002 })
        #expect(events(play).isEmpty)
        // Its time over, it comes back with a tenth of its share.
        play.advance(milliseconds: 61_000)
        let later = (0..<200).map { _ in round { _ in Message.answer(Message.completion) } }
        #expect((2...60).contains(later.filter { $0 == 8001 }.count), "\(later.filter { $0 == 8001 }.count)")
        #expect(events(play) == ["endpoint_returned"])
        expectNothingTaken(play)
    }

    @Test func aTimeoutGoesToAnotherEndpointAtOnceAndNeverWithTheSameKey() throws {
        let play = try PlayedWorker("""
            upstreams:
              one:
                type: generic
                endpoints: [{ url: "http://10.0.0.1:8001/v1" }, { url: "http://10.0.0.2:8002/v1" }]
                api_keys: [{ id: a, value: sk-a }, { id: b, value: sk-b }]
                first_byte_timeout_seconds: 2
            """)
        let client = play.client()
        play.say(client, Message.chat())
        let first = try key(play, 0)
        play.advance(milliseconds: 2020)
        #expect(play.connectCount == 2)
        #expect(play.upstream(0).port != play.upstream(1).port)
        let second = try key(play, 1)
        #expect(first != second && second != nil)
        play.advance(milliseconds: 2020)
        // No third key: that was all.
        #expect(play.connectCount == 2)
        #expect(try answered(play, client).status == 504)
        #expect(whys(play) == ["first", "next_endpoint"])
        expectNothingTaken(play)
    }
}
