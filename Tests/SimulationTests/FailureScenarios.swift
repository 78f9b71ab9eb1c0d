import Foundation
import Glibc
@testable import ClawEngine
import Testing

/// Upstreams that fail, candidates that take over, timers that fire, and the end of a worker.
@Suite struct FailureScenarios {
    private func answered(_ play: PlayedWorker, _ client: Int32) throws -> ClientAnswer {
        try #require(try ClientAnswer.read(play.taken(client)), "no whole answer head")
    }

    private func code(_ answer: ClientAnswer) -> String? {
        answer.text.range(of: #""code":""#).map { String(answer.text[$0.upperBound...].prefix { $0 != "\"" }) }
    }

    // MARK: stale connections

    @Test func UP_04_stalePooledConnectionIsReplacedOnce() throws {
        for error in [Int32(0), ECONNRESET] {
            let play = try PlayedWorker(Plans.one())
            let client = play.client()
            play.say(client, Message.chat())
            play.say(play.upstream(0).fd, Message.answer("{}"))
            _ = play.taken(client)
            play.say(client, Message.chat(model: "again"))
            #expect(play.connectCount == 1)
            play.end(play.upstream(0).fd, error: error)
            play.settle()
            #expect(play.connectCount == 2)
            #expect(try UpstreamRequest.read(play.taken(play.upstream(1).fd))?.text.contains("again") == true)
            play.say(play.upstream(1).fd, Message.answer("{\"second\":1}"))
            let answer = try answered(play, client)
            #expect(answer.text == "{\"second\":1}")
            #expect(answer.fields["x-openclaw-attempts"] == "1")
            play.expectNothingLeft()
            #expect(play.loggedStatuses == [200, 200])
        }
    }

    @Test func UP_04_connectionThatEndedInThePoolIsNotTaken() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat())
        play.say(play.upstream(0).fd, Message.answer("{}"))
        play.end(play.upstream(0).fd)
        play.settle()
        #expect(play.state(play.upstream(0).fd) == .closed)
        play.say(client, Message.chat())
        #expect(play.connectCount == 2)
        play.say(play.upstream(1).fd, Message.answer("{}"))
        play.expectNothingLeft()
    }

    @Test func UP_03_freshConnectionThatEndsWithoutAnAnswerIsABadGateway() throws {
        for error in [Int32(0), ECONNRESET] {
            let play = try PlayedWorker(Plans.one())
            let client = play.client()
            play.say(client, Message.chat())
            play.end(play.upstream(0).fd, error: error)
            play.settle()
            // A lost connection is tried once more at the same upstream, and no more.
            #expect(play.connectCount == 2)
            #expect(play.waiting(client) == 0)
            play.end(play.upstream(1).fd, error: error)
            play.settle()
            #expect(play.connectCount == 2)
            let answer = try answered(play, client)
            #expect(answer.status == 502)
            #expect(code(answer) == "upstream_connection_lost")
            #expect(answer.keepsAlive)
            play.expectNothingLeft()
            #expect(play.loggedStatuses == [502])
        }
    }

    // MARK: fail-over

    /// What the first upstream does, and whether its connection may stay.
    enum FirstFailure: String, CaseIterable {
        case refused, unavailable, inBandError, truncatedHead, truncatedPreamble, garbage, resetAtOnce, streamWithoutContent
        /// The connection's failure, not the upstream's: it is tried once more there.
        var isNetworks: Bool {
            switch self {
            case .refused, .truncatedHead, .truncatedPreamble, .resetAtOnce, .streamWithoutContent: true
            case .unavailable, .inBandError, .garbage: false
            }
        }
    }

    @Test(arguments: FirstFailure.allCases)
    func UP_01_UP_05_SS_03_SS_12_failureBeforeTheCommitGoesToTheNextCandidate(_ failure: FirstFailure) throws {
        let play = try PlayedWorker(Plans.two())
        if failure == .refused { for _ in 0..<2 { play.nextConnect(-ECONNREFUSED) } }
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        let tries = failure.isNetworks ? 2 : 1
        for at in 0..<tries {
            let (fd, port) = play.upstream(at)
            #expect(port == 8001)
            switch failure {
            case .refused: break
            case .unavailable: play.deliver(fd, Message.answer("{}", status: "503 Service Unavailable"))
            case .inBandError: play.deliver(fd, Message.streamHead + Message.chunk(Message.role) + Message.chunk(Message.failure))
            case .truncatedHead:
                play.deliver(fd, "HTTP/1.1 200 OK\r\ncontent-ty")
                play.end(fd)
            case .truncatedPreamble:
                play.deliver(fd, Message.streamHead + Message.chunk(Message.role))
                play.end(fd, error: ECONNRESET)
            case .garbage: play.deliver(fd, "SSH-2.0-OpenSSH_9.2\r\n")
            case .resetAtOnce: play.end(fd, error: ECONNRESET)
            case .streamWithoutContent: play.deliver(fd, Message.streamHead + Message.chunk(Message.role) + Message.lastChunk)
            }
            play.settle()
            #expect(play.waiting(client) == 0)
        }
        let first = play.upstream(0).fd
        // An overloaded upstream is left a moment (`backoff`) before anybody is asked.
        if failure == .unavailable { play.advance(milliseconds: 25 + PlayedWorker.timerSlackMilliseconds) }
        #expect(play.connectCount == tries + 1)
        let second = play.upstream(tries)
        #expect(second.port == 8002)
        let request = try #require(try UpstreamRequest.read(play.taken(second.fd)))
        #expect(request.fields["authorization"] == "Bearer sk-played-secret-2")
        let events = Message.role + Message.content("from two") + Message.finish + Message.done
        play.say(second.fd, Message.streamHead + Message.chunk(events) + Message.lastChunk)
        let answer = try answered(play, client)
        #expect(answer.isWhole)
        #expect(answer.text == events)
        #expect(answer.fields["x-openclaw-upstream"] == "two")
        #expect(answer.fields["x-openclaw-attempts"] == "\(tries + 1)")
        // Only a whole answer leaves a connection that can be trusted.
        if failure != .unavailable { #expect(play.state(first) != .open) }
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [200])
        let attempts = try #require(play.logLines[0]["attempts"] as? [[String: Any]])
        #expect(attempts.map { $0["why"] as? String } == (failure.isNetworks ? ["first", "retry", "next_candidate"] : ["first", "next_candidate"]))
    }

    @Test func lastCandidatesFailureIsTheAnswer() throws {
        let play = try PlayedWorker(Plans.two())
        let client = play.client()
        for _ in 0..<3 { play.nextConnect(-ECONNREFUSED) }
        play.say(client, Message.chat())
        play.settle()
        // Twice at the first, and then the attempts are used up.
        #expect((0..<play.connectCount).map { play.upstream($0).port } == [8001, 8001, 8002])
        let answer = try answered(play, client)
        #expect(answer.status == 502)
        #expect(code(answer) == "upstream_unreachable")
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [502])
    }

    @Test func lastCandidatesInBandErrorIsPassedOn() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        play.say(play.upstream(0).fd, Message.streamHead + Message.chunk(Message.failure) + Message.lastChunk)
        let answer = try answered(play, client)
        #expect(answer.isWhole)
        #expect(answer.text == Message.failure)
        play.expectNothingLeft()
        #expect(play.logLines[0]["error_class"] as? String == "server_error")
    }

    @Test func UP_06_plainAnswerThatBreaksOffResetsTheClient() throws {
        let play = try PlayedWorker(Plans.two())
        let client = play.client()
        play.say(client, Message.chat())
        play.deliver(play.upstream(0).fd, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"half\":")
        play.settle()
        play.end(play.upstream(0).fd)
        play.settle()
        #expect(play.state(client) == .reset)
        #expect(play.connectCount == 1)
        play.expectNothingLeft()
        #expect(play.logLines[0]["disconnected"] as? String == "upstream")
    }

    @Test func UP_12_answerBeforeTheRequestWasTakenEndsThatConnection() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.nextConnect(0, delayMilliseconds: 5)
        play.say(client, Message.chat(pad: 100_000))
        let upstream = play.upstream(0).fd
        play.window(upstream, 1000)
        play.advance(milliseconds: 6)
        #expect(play.waiting(upstream) == 1000)
        play.say(upstream, Message.answer("{\"error\":{}}", status: "400 Bad Request"))
        #expect(try answered(play, client).status == 400)
        #expect(play.state(upstream) != .open)
        play.expectNothingLeft()
    }

    // MARK: timers

    private func expectFires(_ play: PlayedWorker, _ client: Int32, after milliseconds: Int, _ place: SourceLocation = #_sourceLocation) {
        let spent = play.milliseconds(limit: milliseconds + 1000) { play.waiting(client) > 0 || play.state(client) != .open }
        let bounds = milliseconds...milliseconds + PlayedWorker.timerSlackMilliseconds
        #expect(spent.map { bounds.contains($0) } == true, "fired after \(spent.map(String.init) ?? "never") ms", sourceLocation: place)
    }

    @Test func UP_01_blackHoleEndsAtTheConnectTimeout() throws {
        let play = try PlayedWorker(Plans.one(upstream: "connect_timeout_seconds: 3"))
        let client = play.client()
        play.nextConnect(0, delayMilliseconds: 1_000_000)
        play.deliver(client, Message.chat())
        play.tick()
        expectFires(play, client, after: 3000)
        let answer = try answered(play, client)
        #expect(answer.status == 504)
        #expect(code(answer) == "upstream_connect_timeout")
        #expect(play.state(play.upstream(0).fd) != .open)
        play.expectNothingLeft()
    }

    @Test func silentUpstreamEndsAtTheFirstByteTimeout() throws {
        let play = try PlayedWorker(Plans.one(upstream: "first_byte_timeout_seconds: 7"))
        let client = play.client()
        play.deliver(client, Message.chat())
        play.settle()
        expectFires(play, client, after: 7000)
        let answer = try answered(play, client)
        #expect(answer.status == 504)
        #expect(code(answer) == "upstream_timeout")
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [504])
    }

    @Test func SS_06_stalledStreamEndsAtTheIdleTimeoutCountedFromTheLastEvent() throws {
        let play = try PlayedWorker(Plans.one(upstream: "idle_stream_timeout_seconds: 5"))
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        let upstream = play.upstream(0).fd
        play.say(upstream, Message.streamHead + Message.chunk(Message.content("a")))
        for _ in 0..<4 {
            play.advance(milliseconds: 4000)
            play.say(upstream, Message.chunk(Message.content("b")))
        }
        let head = play.taken(client)
        #expect(play.state(client) == .open)
        expectFires(play, client, after: 5000)
        let answer = try #require(try ClientAnswer.read(head + play.taken(client)))
        #expect(answer.isWhole)
        #expect(answer.text.contains(#""code":"upstream_idle_timeout""#))
        #expect(play.state(upstream) == .reset)
        play.expectNothingLeft()
        #expect(play.logLines[0]["error_class"] as? String == "timeout")
    }

    @Test func RT_03_busyStreamEndsAtTheTotalTimeout() throws {
        let play = try PlayedWorker(Plans.one(upstream: "timeout_seconds: 10"))
        let client = play.client()
        play.deliver(client, Message.chat(stream: true))
        play.settle()
        let upstream = play.upstream(0).fd
        play.say(upstream, Message.streamHead)
        var spent = 0
        while play.state(upstream) == .open, spent < 12_000 {
            play.deliver(upstream, Message.chunk(Message.content("b")))
            play.advance(milliseconds: 5)
            spent += 5
        }
        #expect((10_000...10_000 + PlayedWorker.timerSlackMilliseconds + 5).contains(spent), "\(spent)")
        let answer = try answered(play, client)
        #expect(answer.isWhole)
        #expect(answer.text.contains(#""code":"upstream_timeout""#))
        play.expectNothingLeft()
    }

    @Test func RT_03_totalTimeoutRunsOverAllAttempts() throws {
        let play = try PlayedWorker(Plans.two(upstream: "timeout_seconds: 10\nfirst_byte_timeout_seconds: 6"))
        let client = play.client()
        play.deliver(client, Message.chat())
        play.settle()
        expectFires(play, client, after: 10_000)
        #expect(play.connectCount == 2)
        let answer = try answered(play, client)
        #expect(answer.status == 504)
        play.expectNothingLeft()
        #expect((play.logLines[0]["attempts"] as? [[String: Any]])?.compactMap { $0["class"] as? String } == ["timeout", "timeout"])
    }

    // MARK: names

    @Test func UP_02_nameThatIsNotFoundIsABadGateway() throws {
        let play = try PlayedWorker(Plans.one().replacingOccurrences(of: "10.0.0.1", with: "model.invalid"))
        let client = play.client()
        play.say(client, Message.chat())
        play.settle()
        let answer = try answered(play, client)
        #expect(answer.status == 502)
        #expect(code(answer) == "upstream_name_not_resolved")
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [502])
    }

    // MARK: waiting for a connection

    @Test func requestsBeyondTheCapWaitForAConnectionInOrder() throws {
        let play = try PlayedWorker(Plans.one(upstream: "max_connections_per_endpoint: 1"))
        let clients = (0..<4).map { _ in play.client() }
        for (at, client) in clients.enumerated() { play.say(client, Message.chat(model: "m\(at)")) }
        #expect(play.connectCount == 1)
        #expect(play.worker.waitingCount == 3)
        // The second in the queue leaves.
        play.end(clients[2], error: ECONNRESET)
        play.settle()
        #expect(play.worker.waitingCount == 2)
        for at in [0, 1, 3] {
            let upstream = play.upstream(0).fd
            #expect(try UpstreamRequest.read(play.taken(upstream))?.text.contains("\"m\(at)\"") == true)
            play.say(upstream, Message.answer("{\"n\":\(at)}"))
            #expect(try answered(play, clients[at]).text == "{\"n\":\(at)}")
        }
        #expect(play.connectCount == 1)
        play.expectNothingLeft()
        #expect(play.loggedStatuses.sorted() == [200, 200, 200, 499])
    }

    @Test func waitingRequestTakesOverWhenAConnectionIsLost() throws {
        let play = try PlayedWorker(Plans.one(upstream: "max_connections_per_endpoint: 1"))
        let first = play.client(), second = play.client()
        play.say(first, Message.chat())
        play.say(second, Message.chat())
        play.end(play.upstream(0).fd, error: ECONNRESET)
        play.settle()
        #expect(play.connectCount == 2)
        #expect(play.worker.waitingCount == 1)
        // Who waited has the new connection; who lost the old one has it after that.
        play.say(play.upstream(1).fd, Message.answer("{}"))
        play.say(play.upstream(1).fd, Message.answer("{}"))
        #expect(try answered(play, second).status == 200)
        #expect(try answered(play, first).status == 200)
        play.expectNothingLeft()
    }

    // MARK: draining

    @Test func SD_01_drainClosesIdleConnectionsAndLetsRunningRequestsFinish() throws {
        let play = try PlayedWorker(Plans.one())
        let idle = play.client(), running = play.client(), streaming = play.client()
        play.say(running, Message.chat())
        play.say(streaming, Message.chat(stream: true))
        play.say(play.upstream(1).fd, Message.streamHead + Message.chunk(Message.content("a")))
        play.drain(seconds: 30)
        play.settle()
        #expect(play.state(idle) == .closed)
        #expect(play.client() < 0)
        play.say(play.upstream(0).fd, Message.answer("{}"))
        let answer = try answered(play, running)
        #expect(answer.status == 200)
        #expect(!answer.keepsAlive)
        play.say(play.upstream(1).fd, Message.chunk(Message.done) + Message.lastChunk)
        #expect(try answered(play, streaming).isWhole)
        #expect(!play.hasEnded)
        play.end(running)
        play.end(streaming)
        play.settle()
        #expect(play.hasEnded)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [200, 200])
    }

    @Test func SD_01_whatRunsAtTheDeadlineGetsATypedEnd() throws {
        let play = try PlayedWorker(Plans.one())
        let waiting = play.client(), streaming = play.client(), receiving = play.client()
        play.say(waiting, Message.chat())
        play.say(streaming, Message.chat(stream: true))
        play.say(play.upstream(1).fd, Message.streamHead + Message.chunk(Message.content("a")))
        play.say(receiving, String(Message.chat().dropLast(3)))
        play.drain(seconds: 5)
        play.settle()
        #expect(play.waiting(waiting) == 0)
        play.advance(milliseconds: 4900)
        #expect(play.waiting(waiting) == 0)
        play.advance(milliseconds: 200)
        let refused = try answered(play, waiting)
        #expect(refused.status == 503)
        #expect(code(refused) == "gateway_draining")
        let cut = try answered(play, streaming)
        #expect(cut.isWhole)
        #expect(cut.text.contains(#""code":"gateway_draining""#))
        #expect(try answered(play, receiving).status == 503)
        for _ in 0..<3 { play.advance(milliseconds: 500) }
        #expect(play.hasEnded)
        #expect(play.loggedStatuses.sorted() == [200, 503, 503])
    }
}
