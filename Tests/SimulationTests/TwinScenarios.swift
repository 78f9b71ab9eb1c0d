@testable import ClawEngine
import ClawConfig
import ClawPolicy
import Glibc
import Testing

/// Requests that run twice: shadows and hedges.
@Suite struct TwinScenarios {
    // MARK: plans

    /// Upstream one answers, upstream two gets a share of the requests a second time.
    private func shadowed(_ percentage: Double = 100, server: String = "timeout_seconds: 60", connections: Int = 64) throws -> PlayedWorker {
        try PlayedWorker(Plans.two(server: server), connections: connections) { configuration in
            var route = Route(id: "mirrored")
            route.strategy = .shadow
            route.targets = [StrategyTarget(upstream: 0), StrategyTarget(upstream: 1)]
            route.targets[1].percentage = percentage
            configuration.routes = [route]
        }
    }

    private func hedged(after milliseconds: UInt64 = 200, attempts: Int = 3, upstream: String = "timeout_seconds: 60", listeners: String = "") throws -> PlayedWorker {
        try PlayedWorker(Plans.two(upstream: upstream)) { configuration in
            var route = Route(id: "hedged")
            route.targets = [StrategyTarget(upstream: 0), StrategyTarget(upstream: 1)]
            route.retries.attemptsMax = attempts
            var hedge = HedgeSettings()
            hedge.after = .nanoseconds(milliseconds * 1_000_000)
            hedge.ratioMax = 1
            route.hedge = hedge
            configuration.routes = [route]
        }
    }

    private func answered(_ play: PlayedWorker, _ client: Int32) throws -> ClientAnswer {
        try #require(try ClientAnswer.read(play.taken(client)), "no whole answer head")
    }

    private func request(_ play: PlayedWorker, _ at: Int) throws -> UpstreamRequest {
        try #require(try UpstreamRequest.read(play.taken(play.upstream(at).fd)), "upstream \(at) has no request")
    }

    private func events(_ text: String) -> String { Message.role + Message.content(text) + Message.finish + Message.done }
    private func stream(_ text: String) -> String { Message.streamHead + Message.chunk(events(text)) + Message.lastChunk }

    private func attempts(_ line: [String: Any]) -> [[String: Any]] { line["attempts"] as? [[String: Any]] ?? [] }
    private func requestLines(_ play: PlayedWorker) -> [[String: Any]] { play.logLines.filter { $0["shadow"] == nil } }
    private func shadowLines(_ play: PlayedWorker) -> [[String: Any]] { play.logLines.filter { $0["shadow"] != nil } }

    /// No link is open to an upstream that was cancelled.
    private func expectCancelled(_ play: PlayedWorker, _ at: Int, _ place: SourceLocation = #_sourceLocation) {
        #expect(play.state(play.upstream(at).fd) != .open, sourceLocation: place)
    }

    // MARK: shadows

    @Test(arguments: [true, false])
    func shadowGetsTheSameRequestAndItsAnswerIsOnlyCompared(_ mirrorIsFirst: Bool) throws {
        let play = try shadowed()
        let client = play.client()
        play.say(client, Message.chat(fields: "x-request-id: asked-1\r\n", pad: 100))
        #expect(play.connectCount == 2)
        let (first, second) = (try request(play, 0), try request(play, 1))
        #expect(play.upstream(0).port == 8001 && play.upstream(1).port == 8002)
        #expect(first.body == second.body)
        #expect(second.fields["x-request-id"] == "asked-1")
        #expect(second.fields["authorization"] == "Bearer sk-played-secret-2")
        if mirrorIsFirst { play.say(play.upstream(1).fd, Message.answer(Message.completion)) }
        #expect(play.waiting(client) == 0)
        play.say(play.upstream(0).fd, Message.answer(Message.completion))
        let answer = try answered(play, client)
        #expect(answer.text == Message.completion)
        #expect(answer.fields["x-openclaw-upstream"] == "one")
        #expect(answer.fields["x-openclaw-attempts"] == "1")
        if !mirrorIsFirst { play.say(play.upstream(1).fd, Message.answer(Message.completion)) }
        #expect(play.waiting(client) == 0)
        play.expectNothingLeft()
        #expect(requestLines(play).count == 1)
        let line = try #require(shadowLines(play).first)
        #expect(shadowLines(play).count == 1)
        #expect(line["request_id"] as? String == "asked-1")
        #expect(line["result"] as? String == "same")
        #expect(line["same"] as? Bool == true)
        #expect(line["upstream_name"] as? String == "two")
        #expect((line["primary"] as? [String: Any])?["upstream_name"] as? String == "one")
        #expect(play.count(.shadows) == 1)
        #expect(play.count(.requests) == 1)
    }

    @Test func shadowsDifferencesAreNamed() throws {
        let play = try shadowed()
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        play.say(play.upstream(0).fd, stream("one"))
        #expect(try answered(play, client).text == events("one"))
        let usage = #"data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":5}}"# + "\n\n"
        play.say(play.upstream(1).fd, Message.streamHead + Message.chunk(Message.role + Message.content("other") + usage + Message.done) + Message.lastChunk)
        play.expectNothingLeft()
        let line = try #require(shadowLines(play).first)
        #expect(line["result"] as? String == "different")
        #expect(line["differences"] as? [String] == ["finish_reason", "output_tokens"])
        #expect((line["tokens"] as? [String: Any])?["output"] as? Int == 5)
        #expect(line["stream"] as? Bool == true)
        // What a mirror uses is its own line's, not the requests'.
        #expect(play.count(.tokens) == 0)
    }

    @Test func shadowThatFailsOrIsRefusedNeverTouchesTheClient() throws {
        for (fault, status, errorClass) in [(0, 502, "network"), (1, 503, "overloaded"), (2, 502, "network")] {
            let play = try shadowed()
            let client = play.client()
            play.say(client, Message.chat(stream: true))
            let mirror = play.upstream(1).fd
            switch fault {
            case 0: play.end(mirror, error: ECONNRESET)
            case 1: play.deliver(mirror, Message.answer("{}", status: "503 Service Unavailable"))
            default:
                play.deliver(mirror, Message.streamHead + Message.chunk(Message.role + Message.content("half")))
                play.settle()
                play.end(mirror, error: ECONNRESET)
            }
            play.settle()
            #expect(play.waiting(client) == 0)
            #expect(play.state(client) == .open)
            play.say(play.upstream(0).fd, stream("whole"))
            let answer = try answered(play, client)
            #expect(answer.text == events("whole"))
            #expect(play.connectCount == 2)
            play.expectNothingLeft()
            #expect(play.loggedStatuses.count == 2)
            let line = try #require(shadowLines(play).first)
            #expect(line["result"] as? String == "failed")
            #expect(line["error_class"] as? String == errorClass, "fault \(fault)")
            #expect(fault == 2 || line["status"] as? Int == status)
            #expect(requestLines(play).first?["status"] as? Int == 200)
        }
    }

    @Test func shadowGoesOnWithoutTheClientAndIsBoundedByItsTimes() throws {
        let play = try shadowed()
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        play.end(client, error: ECONNRESET)
        play.settle()
        expectCancelled(play, 0)
        #expect(play.state(play.upstream(1).fd) == .open)
        #expect(requestLines(play).first?["disconnected"] as? String == "client")
        play.say(play.upstream(1).fd, stream("nobody"))
        #expect(shadowLines(play).first?["result"] as? String == "incomplete")
        let other = play.client()
        play.say(other, Message.chat())
        play.say(play.upstream(2).fd, Message.answer(Message.completion))
        #expect(try answered(play, other).text == Message.completion)
        // The mirror stays silent: its own time-out ends it.
        for _ in 0..<61 { play.advance(milliseconds: 1000) }
        #expect(shadowLines(play).last?["error_class"] as? String == "timeout")
        play.expectNothingLeft()
    }

    @Test func shadowsAreAnExactShare() throws {
        let play = try shadowed(30)
        let client = play.client()
        for round in 1...40 {
            play.say(client, Message.chat())
            for at in 0..<play.connectCount where play.waiting(play.upstream(at).fd) > 0 {
                _ = play.taken(play.upstream(at).fd)
                play.deliver(play.upstream(at).fd, Message.answer(Message.completion))
            }
            play.settle()
            _ = play.taken(client)
            #expect(abs(Double(play.count(.shadows)) - 0.3 * Double(round)) <= 1, "after \(round)")
        }
        #expect(play.count(.shadows) == 12)
        play.expectNothingLeft()
        #expect(shadowLines(play).count == 12)
    }

    @Test func beyondSixtyFourAndAboveOneMegabyteShadowsAreSkipped() throws {
        let play = try shadowed(server: "timeout_seconds: 60\nmax_body_mb: 8", connections: 256)
        var clients: [Int32] = []
        for _ in 0..<70 {
            clients.append(play.client())
            play.say(clients.last ?? -1, Message.chat())
        }
        #expect(play.connectCount == 70 + Worker.shadowsMax)
        for at in 0..<play.connectCount { play.deliver(play.upstream(at).fd, Message.answer(Message.completion)) }
        play.settle()
        for client in clients { #expect(try answered(play, client).text == Message.completion) }
        let before = play.connectCount
        let big = play.client()
        play.deliver(big, Message.chat(pad: Worker.twinBodyMax + 1))
        for _ in 0..<40 { play.tick() }
        #expect(play.connectCount <= before + 1)
        for at in 0..<play.connectCount where play.waiting(play.upstream(at).fd) > 0 && play.state(play.upstream(at).fd) == .open {
            _ = play.taken(play.upstream(at).fd)
            play.deliver(play.upstream(at).fd, Message.answer(Message.completion))
        }
        play.settle()
        #expect(try answered(play, big).text == Message.completion)
        play.expectNothingLeft()
        #expect(play.count(.shadows) == 71)
        #expect(shadowLines(play).count == Worker.shadowsMax)
    }

    @Test func endlessShadowHoldsNoMemoryAndTheDrainDoesNotWaitForIt() throws {
        let play = try shadowed()
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        play.say(play.upstream(0).fd, stream("done"))
        #expect(try answered(play, client).isWhole)
        let mirror = play.upstream(1).fd
        play.say(mirror, Message.streamHead + Message.chunk(Message.role))
        let event = Message.chunk(Message.content(String(repeating: "y", count: 4000)))
        for _ in 0..<2000 {
            play.deliver(mirror, event)
            play.tick()
        }
        #expect(play.buffersInUse <= 3)
        #expect(play.isPaused(mirror) == false)
        play.end(client)
        play.settle()
        play.drain(seconds: 30)
        play.settle()
        #expect(play.hasEnded)
        expectCancelled(play, 1)
        #expect(shadowLines(play).first?["result"] as? String == "failed")
    }

    @Test func shadowOfAnAnthropicClientIsTranslatedForItsMirror() throws {
        let play = try PlayedWorker(Plans.one() + """

          two:
            type: anthropic
            api_key: sk-played-secret-2
            base_url: http://10.0.0.2:8002
        """) { configuration in
            var route = Route(id: "mirrored")
            route.strategy = .shadow
            route.targets = [StrategyTarget(upstream: 0), StrategyTarget(upstream: 1)]
            route.targets[1].percentage = 100
            configuration.routes = [route]
        }
        let client = play.client()
        play.say(client, Message.chat(model: "claude-sonnet-4-5", pad: 10))
        #expect(try request(play, 1).line.contains("/v1/messages"))
        play.say(play.upstream(1).fd, Message.answer(#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#))
        play.say(play.upstream(0).fd, Message.answer(Message.completion))
        #expect(try answered(play, client).text == Message.completion)
        play.expectNothingLeft()
        #expect(shadowLines(play).first?["result"] as? String == "same")
    }

    // MARK: hedges

    /// Moves time on until the second attempt has begun.
    private func late(_ play: PlayedWorker, _ place: SourceLocation = #_sourceLocation) {
        let before = play.connectCount
        let spent = play.milliseconds(limit: 1000) { play.connectCount > before }
        #expect(spent.map { (195...200 + PlayedWorker.timerSlackMilliseconds).contains($0) } == true, "began after \(spent.map(String.init) ?? "never") ms", sourceLocation: place)
        play.settle()
    }

    private func expectOneAnswer(_ play: PlayedWorker, hedges: Int = 1, _ place: SourceLocation = #_sourceLocation) {
        play.expectNothingLeft(place)
        #expect(play.logLines.count == 1, sourceLocation: place)
        #expect(play.count(.requests) == 1, sourceLocation: place)
        #expect(play.count(.hedges) == hedges, sourceLocation: place)
    }

    @Test func answerInTimeNeedsNoSecondAttempt() throws {
        let play = try hedged()
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        play.advance(milliseconds: 190)
        play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.role + Message.content("a")))
        for _ in 0..<5 { play.advance(milliseconds: 100) }
        #expect(play.connectCount == 1)
        play.say(play.upstream(0).fd, Message.chunk(Message.finish + Message.done) + Message.lastChunk)
        #expect(try answered(play, client).isWhole)
        expectOneAnswer(play, hedges: 0)
    }

    enum Kind: CaseIterable { case plain, stream, heldStream }

    @Test(arguments: Kind.allCases)
    func RT_12_hedgeThatIsFirstAnswersAndTheLateOneIsCancelled(_ kind: Kind) throws {
        let play = try hedged()
        let client = play.client()
        play.say(client, Message.chat(stream: kind != .plain, fields: "x-request-id: asked-1\r\n"))
        let first = try request(play, 0)
        // A head and a role are not a first token.
        if kind == .heldStream { play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.role)) }
        late(play)
        let second = try request(play, 1)
        #expect(play.upstream(1).port == 8002)
        #expect(second.body == first.body)
        #expect(second.fields["x-request-id"] == "asked-1")
        #expect(play.waiting(client) == 0)
        play.say(play.upstream(1).fd, kind == .plain ? Message.answer(Message.completion) : stream("second"))
        expectCancelled(play, 0)
        let answer = try answered(play, client)
        #expect(answer.isWhole)
        #expect(answer.text == (kind == .plain ? Message.completion : events("second")))
        #expect(answer.fields["x-openclaw-upstream"] == "two")
        #expect(answer.fields["x-openclaw-attempts"] == "2")
        // The connection is as good as ever.
        play.say(client, Message.chat(model: "again"))
        play.say(play.upstream(play.connectCount - 1).fd, Message.answer(Message.completion))
        #expect(try answered(play, client).status == 200)
        play.expectNothingLeft()
        #expect(play.logLines.count == 2)
        let line = play.logLines[0]
        #expect(line["upstream_name"] as? String == "two")
        let both = attempts(line)
        #expect(both.map { $0["upstream"] as? String } == ["one", "two"])
        #expect(both.map { $0["class"] as? String } == ["hedge_lost", nil])
        #expect(play.count(.hedges) == 1)
        #expect(play.count(.upstreamErrors) == 0)
    }

    @Test(arguments: [true, false])
    func RT_12_hedgeThatIsSecondIsCancelledAtOnceAndLogged(_ isStream: Bool) throws {
        let play = try hedged()
        let client = play.client()
        play.say(client, Message.chat(stream: isStream))
        late(play)
        if isStream {
            play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.role + Message.content("first")))
        } else {
            play.say(play.upstream(0).fd, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: \(Message.completion.utf8.count)\r\n\r\n")
        }
        // Long before the answer is whole.
        expectCancelled(play, 1)
        #expect(play.worker.exchanges.inUse == 1)
        play.say(play.upstream(0).fd, isStream ? Message.chunk(Message.finish + Message.done) + Message.lastChunk : Message.completion)
        let answer = try answered(play, client)
        #expect(answer.isWhole)
        #expect(answer.text == (isStream ? events("first") : Message.completion))
        #expect(answer.fields["x-openclaw-upstream"] == "one")
        expectOneAnswer(play)
        let both = attempts(play.logLines[0])
        #expect(both.map { $0["upstream"] as? String } == ["one", "two"])
        #expect(both.map { $0["class"] as? String } == [nil, "hedge_lost"])
        #expect(play.logLines[0]["upstream_name"] as? String == "one")
    }

    @Test func bothAnswersInOneTurnMakeOneAnswer() throws {
        for order in [[0, 1], [1, 0]] {
            let play = try hedged()
            let client = play.client()
            play.say(client, Message.chat(stream: true))
            late(play)
            for at in order { play.deliver(play.upstream(at).fd, stream("from \(at)")) }
            play.settle()
            let answer = try answered(play, client)
            #expect(answer.isWhole)
            #expect(answer.text == events("from 0") || answer.text == events("from 1"))
            #expect(play.waiting(client) == 0)
            expectOneAnswer(play)
        }
    }

    @Test(arguments: [0, 1, 2])
    func whenTheFirstFailsTheSecondTakesItsPlaceAndThereIsNoThird(_ fault: Int) throws {
        let play = try hedged()
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        late(play)
        let first = play.upstream(0).fd
        switch fault {
        case 0: play.end(first, error: ECONNRESET)
        case 1: play.deliver(first, Message.answer("{}", status: "503 Service Unavailable"))
        default: play.deliver(first, Message.streamHead + Message.chunk(Message.role) + Message.chunk(Message.failure))
        }
        play.settle()
        #expect(play.waiting(client) == 0)
        #expect(play.connectCount == 2)
        play.say(play.upstream(1).fd, stream("second"))
        let answer = try answered(play, client)
        #expect(answer.text == events("second"))
        expectOneAnswer(play)
        #expect(attempts(play.logLines[0]).count == 2)
        #expect(attempts(play.logLines[0])[0]["class"] is String)
        #expect(play.logLines[0]["status"] as? Int == 200)
    }

    @Test(arguments: [0, 1, 2, 3])
    func whenTheSecondFailsTheFirstGoesOn(_ fault: Int) throws {
        let play = try hedged()
        if fault == 0 { play.nextConnect(0); play.nextConnect(-ECONNREFUSED) }
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        late(play)
        let second = play.upstream(1).fd
        switch fault {
        case 0: break
        case 1: play.deliver(second, Message.answer("{}", status: "500 Internal Server Error"))
        case 2: play.deliver(second, Message.answer("{\"error\":{\"message\":\"no\"}}", status: "400 Bad Request"))
        default: play.deliver(second, Message.streamHead + Message.chunk(Message.role) + Message.chunk(Message.failure))
        }
        play.settle()
        #expect(play.waiting(client) == 0)
        #expect(play.worker.exchanges.inUse == 1)
        for _ in 0..<5 { play.advance(milliseconds: 100) }
        #expect(play.connectCount == 2)
        play.say(play.upstream(0).fd, stream("first"))
        let answer = try answered(play, client)
        #expect(answer.text == events("first"))
        #expect(answer.fields["x-openclaw-upstream"] == "one")
        expectOneAnswer(play)
        #expect(attempts(play.logLines[0]).map { $0["upstream"] as? String } == ["one", "two"])
    }

    @Test func whenBothFailTheClientGetsOneError() throws {
        for order in [[0, 1], [1, 0]] {
            let play = try hedged(attempts: 2)
            let client = play.client()
            play.say(client, Message.chat(stream: true))
            late(play)
            for at in order {
                play.end(play.upstream(at).fd, error: ECONNRESET)
                play.settle()
            }
            let answer = try answered(play, client)
            #expect(answer.status == 502)
            #expect(play.connectCount == 2)
            expectOneAnswer(play)
            #expect(attempts(play.logLines[0]).count == 2)
        }
    }

    @Test func SS_07_clientThatLeavesCancelsBoth() throws {
        for error in [ECONNRESET] {
            let play = try hedged()
            let client = play.client()
            play.say(client, Message.chat(stream: true))
            late(play)
            play.end(client, error: error)
            play.settle()
            expectCancelled(play, 0)
            expectCancelled(play, 1)
            expectOneAnswer(play)
            #expect(play.logLines[0]["disconnected"] as? String == "client")
        }
    }

    @Test func oneAttemptIsOneAttempt() throws {
        let play = try hedged(attempts: 1)
        let client = play.client()
        play.say(client, Message.chat())
        for _ in 0..<5 { play.advance(milliseconds: 100) }
        #expect(play.connectCount == 1)
        play.say(play.upstream(0).fd, Message.answer(Message.completion))
        #expect(try answered(play, client).status == 200)
        expectOneAnswer(play)
    }

    @Test func totalTimeEndsBoth() throws {
        let play = try hedged(upstream: "timeout_seconds: 2")
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        late(play)
        for _ in 0..<25 { play.advance(milliseconds: 100) }
        let answer = try answered(play, client)
        #expect(answer.status == 504)
        expectCancelled(play, 0)
        expectCancelled(play, 1)
        expectOneAnswer(play)
    }

    @Test func whatIsLateIsLearntFromTheTimesToTheFirstToken() throws {
        let play = try PlayedWorker(Plans.two()) { configuration in
            var route = Route(id: "hedged")
            route.targets = [StrategyTarget(upstream: 0), StrategyTarget(upstream: 1)]
            route.hedge = HedgeSettings()
            route.hedge?.ratioMax = 1
            configuration.routes = [route]
        }
        let client = play.client()
        for _ in 0..<25 {
            play.say(client, Message.chat())
            play.advance(milliseconds: 40)
            play.say(play.upstream(0).fd, Message.answer(Message.completion))
            #expect(try answered(play, client).status == 200)
        }
        #expect(play.connectCount == 1)
        play.say(client, Message.chat())
        let spent = play.milliseconds(limit: 1000) { play.connectCount > 1 }
        #expect(spent.map { (35...60 + PlayedWorker.timerSlackMilliseconds).contains($0) } == true, "began after \(spent.map(String.init) ?? "never") ms")
        play.settle()
        play.say(play.upstream(1).fd, Message.answer(Message.completion))
        #expect(try answered(play, client).fields["x-openclaw-upstream"] == "two")
        play.expectNothingLeft()
        #expect(play.logLines.count == 26)
    }

    // MARK: resumed streams

    private func resuming(_ adjust: (inout Route) -> Void = { _ in }) throws -> PlayedWorker {
        try PlayedWorker(Plans.two()) { configuration in
            var route = Route(id: "resuming")
            route.targets = [StrategyTarget(upstream: 0), StrategyTarget(upstream: 1)]
            route.resume = true
            adjust(&route)
            configuration.routes = [route]
        }
    }

    /// The text of a chat stream, without comments.
    private func text(of answer: ClientAnswer) -> String {
        var text = ""
        for line in answer.text.split(separator: "\n") where line.hasPrefix("data: {") {
            guard let start = line.range(of: "\"content\":\"")?.upperBound else { continue }
            text += line[start...].prefix { $0 != "\"" }
        }
        return text
    }

    @Test func SS_04_streamCutAtEveryByteGoesOnOrFailsHonestly() throws {
        let whole = Array((Message.streamHead + [Message.role, Message.content("Once"), Message.content(" upon"), Message.finish, Message.done].map(Message.chunk).joined() + Message.lastChunk).utf8)
        var resumed = 0
        for cut in stride(from: 1, to: whole.count, by: 3) {
            let play = try resuming()
            let client = play.client()
            play.say(client, Message.chat(stream: true))
            play.deliver(play.upstream(0).fd, Array(whole[..<cut]))
            play.settle()
            play.end(play.upstream(0).fd, error: ECONNRESET)
            play.settle()
            var first = ""
            if play.connectCount > 1 {
                let body = try request(play, 1).text
                if body.contains("\"role\":\"assistant\",\"content\":\"Once upon\"") {
                    first = "Once upon"
                } else if body.contains("\"role\":\"assistant\",\"content\":\"Once\"") {
                    first = "Once"
                }
                if !first.isEmpty { resumed += 1 }
                play.say(play.upstream(1).fd, stream(" and on"))
            }
            let answer = try answered(play, client)
            #expect(answer.status == 200 && answer.isWhole, "cut at \(cut)")
            if play.connectCount > 1 {
                #expect(text(of: answer) == first + " and on", "cut at \(cut)")
                #expect(answer.text.hasSuffix(Message.done))
                #expect(answer.text.contains(": openclaw resumed upstream=two after=network\n\n") == !first.isEmpty)
            }
            #expect(play.waiting(client) == 0)
            play.expectNothingLeft()
            #expect(play.logLines.count == 1, "cut at \(cut)")
            #expect((play.logLines[0]["resumed"] as? Int == 1) == !first.isEmpty)
        }
        #expect(resumed > 10)
    }

    @Test func slowClientOfAStreamThatGoesOnLosesNothing() throws {
        let play = try resuming()
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        play.window(client, 600)
        let piece = Message.chunk(Message.content(String(repeating: "y", count: 3000)))
        play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.role))
        for _ in 0..<30 {
            play.deliver(play.upstream(0).fd, piece)
            play.tick()
        }
        play.end(play.upstream(0).fd, error: ECONNRESET)
        play.settle()
        #expect(play.connectCount == 2)
        play.deliver(play.upstream(1).fd, Message.streamHead + Message.chunk(Message.role))
        for _ in 0..<30 {
            play.deliver(play.upstream(1).fd, piece)
            play.tick()
        }
        var bytes: [UInt8] = []
        for _ in 0..<400 {
            bytes += play.taken(client)
            play.window(client, 1000)
            play.settle()
        }
        play.window(client, .max)
        play.settle()
        play.say(play.upstream(1).fd, Message.chunk(Message.finish + Message.done) + Message.lastChunk)
        for _ in 0..<50 { play.settle() }
        bytes += play.taken(client)
        let answer = try #require(try ClientAnswer.read(bytes))
        #expect(answer.isWhole)
        // What the first upstream's connection still held when it broke is gone with it.
        #expect(text(of: answer).allSatisfy { $0 == "y" })
        #expect(text(of: answer).count % 3000 == 0)
        play.expectNothingLeft()
        #expect(play.logLines.count == 1)
    }

    @Test func deadlineAndDrainEndAStreamThatWaitsToGoOn() throws {
        for drains in [true, false] {
            let play = try resuming { $0.timeoutNanoseconds = 3_000_000_000 }
            let client = play.client()
            play.say(client, Message.chat(stream: true))
            play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.role + Message.content("Once")))
            play.end(play.upstream(0).fd, error: ECONNRESET)
            play.settle()
            #expect(play.connectCount == 2)
            if drains { play.drain(seconds: 1) }
            for _ in 0..<45 { play.advance(milliseconds: 100) }
            let answer = try answered(play, client)
            #expect(answer.isWhole)
            #expect(answer.text.contains("\"error\""))
            #expect(!answer.text.contains("[DONE]"))
            expectCancelled(play, 1)
            if !drains { play.expectNothingLeft() }
            #expect(play.logLines.count == 1)
        }
    }
}
