@testable import ClawEngine
import Testing

/// Plain requests and answers, however they are cut, and the connections they travel on.
@Suite struct RequestScenarios {
    private func answered(_ play: PlayedWorker, _ client: Int32) throws -> ClientAnswer {
        try #require(try ClientAnswer.read(play.taken(client)), "no whole answer head")
    }

    @Test func requestInOnePacketIsAnswered() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat())
        let upstream = play.upstream(0)
        #expect(play.connectCount == 1)
        #expect(upstream.port == 8001)
        let request = try #require(try UpstreamRequest.read(play.taken(upstream.fd)))
        #expect(request.line == "POST /v1/chat/completions HTTP/1.1")
        #expect(request.fields["authorization"] == "Bearer sk-played-secret-1")
        #expect(request.fields["host"] == "10.0.0.1:8001")
        #expect(Message.chat().hasSuffix("\r\n\r\n" + request.text))
        play.say(upstream.fd, Message.answer(Message.completion))
        let answer = try answered(play, client)
        #expect(answer.status == 200)
        #expect(answer.isWhole && answer.keepsAlive)
        #expect(answer.text == Message.completion)
        #expect(answer.fields["x-request-id"] == request.fields["x-request-id"])
        #expect(answer.fields["x-openclaw-upstream"] == "one")
        play.expectNothingLeft()
        let line = play.logLines[0]
        #expect(line["status"] as? Int == 200)
        #expect(line["request_id"] as? String == request.fields["x-request-id"])
        #expect((line["tokens"] as? [String: Any])?["input"] as? Int == 3)
        #expect(line["bytes_out"] as? Int == answer.length)
    }

    @Test func H1_30_requestAndAnswerByteByByteAreTheSame() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        for byte in Array(Message.chat().utf8) {
            play.deliver(client, [byte])
            play.tick()
        }
        play.settle()
        let upstream = play.upstream(0)
        let request = try #require(try UpstreamRequest.read(play.taken(upstream.fd)))
        #expect(Message.chat().hasSuffix(request.text))
        for byte in Array(Message.answer(Message.completion).utf8) {
            play.deliver(upstream.fd, [byte])
            play.tick()
        }
        let answer = try answered(play, client)
        #expect(answer.isWhole)
        #expect(answer.text == Message.completion)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [200])
    }

    @Test func requestCutAtEveryPointIsAnswered() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        let text = Array(Message.chat().utf8)
        for cut in 1..<text.count {
            play.deliver(client, Array(text[..<cut]))
            play.tick()
            play.deliver(client, Array(text[cut...]))
            play.settle()
            let upstream = play.upstream(0).fd
            #expect(try UpstreamRequest.read(play.taken(upstream)) != nil)
            play.say(upstream, Message.answer("{}"))
            #expect(try answered(play, client).text == "{}")
        }
        #expect(play.connectCount == 1)
        play.expectNothingLeft()
    }

    @Test func H1_25_pipelinedRequestsAreAnsweredInOrder() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, (0..<5).map { Message.chat(model: "m\($0)") }.joined())
        var bytes: [UInt8] = []
        for at in 0..<5 {
            let upstream = play.upstream(0).fd
            let request = try #require(try UpstreamRequest.read(play.taken(upstream)))
            #expect(request.text.contains("\"m\(at)\""))
            #expect(play.taken(client).isEmpty)
            play.say(upstream, Message.answer("{\"n\":\(at)}"))
            bytes = play.taken(client)
            #expect(try ClientAnswer.read(bytes)?.text == "{\"n\":\(at)}")
        }
        #expect(play.connectCount == 1)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [200, 200, 200, 200, 200])
    }

    @Test func twoHundredPipelinedLocalAnswersComeWithoutAnUpstream() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, String(repeating: "GET /v1/models HTTP/1.1\r\nhost: g\r\n\r\n", count: 200))
        // A turn's bound of 64 requests leaves some for the next.
        for _ in 0..<4 { play.tick() }
        var bytes = play.taken(client), count = 0
        while let answer = try ClientAnswer.read(bytes), answer.isWhole {
            #expect(answer.status == 200)
            bytes.removeFirst(answer.length)
            count += 1
        }
        #expect(count == 200)
        #expect(bytes.isEmpty)
        #expect(play.connectCount == 0)
        play.expectNothingLeft()
    }

    @Test func upstreamConnectionIsUsedAgain() throws {
        let play = try PlayedWorker(Plans.one())
        for _ in 0..<4 {
            let client = play.client()
            play.say(client, Message.chat())
            play.say(play.upstream(0).fd, Message.answer("{}"))
            #expect(try answered(play, client).status == 200)
        }
        #expect(play.connectCount == 1)
        play.expectNothingLeft()
    }

    @Test func UP_06_bytesOnAnIdleUpstreamConnectionPoisonIt() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat())
        play.say(play.upstream(0).fd, Message.answer("{}"))
        _ = play.taken(client)
        play.say(play.upstream(0).fd, Message.answer("{\"stolen\":true}"))
        #expect(play.state(play.upstream(0).fd) == .reset)
        play.say(client, Message.chat())
        #expect(play.connectCount == 2)
        play.say(play.upstream(1).fd, Message.answer("{}"))
        #expect(try answered(play, client).text == "{}")
        play.expectNothingLeft()
    }

    @Test func UP_06_answerLongerThanItSaysIsCutAndItsConnectionNotUsedAgain() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat())
        play.say(play.upstream(0).fd, Message.answer("{}") + "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        #expect(try answered(play, client).text == "{}")
        #expect(play.state(play.upstream(0).fd) != .open)
        play.expectNothingLeft()
    }

    @Test func UP_07_interimAnswersInPiecesAreReadOver() throws {
        for pieces in [["HTTP/1.1 100 Continue\r\n\r\n"], ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 10", "2 Processing\r\n\r\n"], ["HTTP/1.1 1", "03 Early Hints\r\nlink: <a>\r\n\r\n"]] {
            let play = try PlayedWorker(Plans.one())
            let client = play.client()
            play.say(client, Message.chat())
            let upstream = play.upstream(0).fd
            for piece in pieces { play.say(upstream, piece) }
            #expect(play.taken(client).isEmpty)
            play.say(upstream, Message.answer("{}"))
            #expect(try answered(play, client).text == "{}")
            play.expectNothingLeft()
            #expect(play.loggedStatuses == [200])
        }
    }

    @Test func UP_07_floodOfInterimAnswersIsABadGateway() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat())
        for _ in 0..<40 { play.say(play.upstream(0).fd, "HTTP/1.1 102 Processing\r\n\r\n") }
        let answer = try answered(play, client)
        #expect(answer.status == 502)
        #expect(answer.text.contains("upstream_malformed_answer"))
        play.expectNothingLeft()
    }

    /// The head is in the first of several buffers of one batch, and the socket holds more than the batch.
    @Test func largeRequestBodyOfOneBurstStaysInOrder() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        let numbers = (0..<30_000).map(String.init).joined(separator: ",")
        let body = #"{"model":"m","input":[\#(numbers)]}"#
        for _ in 0..<3 {
            play.say(client, "POST /v1/embeddings HTTP/1.1\r\nhost: g\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
            let upstream = play.upstream(0).fd
            #expect(try UpstreamRequest.read(play.taken(upstream))?.text == body)
            play.say(upstream, Message.answer("{}"))
            #expect(try answered(play, client).status == 200)
        }
        play.expectNothingLeft()
    }

    @Test func largeRequestBodyIsCountedAndGivenBack() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        let text = Array(Message.chat(pad: 300_000).utf8)
        play.deliver(client, Array(text[..<50_000]))
        play.settle()
        #expect(bodyMemory(play) >= 300_000)
        play.deliver(client, Array(text[50_000...]))
        play.settle()
        let upstream = play.upstream(0).fd
        let request = try #require(try UpstreamRequest.read(play.taken(upstream)))
        #expect(Array(text.suffix(request.body.count)) == request.body)
        play.say(upstream, Message.answer("{}"))
        #expect(try answered(play, client).status == 200)
        #expect(bodyMemory(play) == 0)
        play.expectNothingLeft()
    }

    private func bodyMemory(_ play: PlayedWorker) -> Int { Int(play.shared.bodyMemory.pointee) }

    @Test func H1_23_answerBeforeTheBodyEndsTheConnectionPolitely() throws {
        let play = try PlayedWorker(Plans.one(server: "max_body_mb: 1"))
        let client = play.client()
        play.say(client, "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: 20000000\r\n\r\n{")
        let answer = try answered(play, client)
        #expect(answer.status == 413)
        #expect(!answer.keepsAlive)
        #expect(play.state(client) == .sendingEnded)
        play.say(client, "more of it")
        #expect(play.state(client) == .sendingEnded)
        play.advance(milliseconds: 1100)
        #expect(play.state(client) == .closed)
        #expect(play.connectCount == 0)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [413])
    }

    @Test func H1_31_slowHeadEndsAtItsDeadline() throws {
        let play = try PlayedWorker(Plans.one(server: "header_timeout_seconds: 3"))
        let client = play.client()
        play.deliver(client, "GET /v1/models HTTP/1.1\r\n")
        var bytes: [UInt8] = []
        var spent = 0
        while bytes.isEmpty, spent < 5000 {
            play.deliver(client, "a")
            play.advance(milliseconds: 10)
            spent += 10
            bytes = play.taken(client)
        }
        #expect((3000...3020).contains(spent))
        #expect(try ClientAnswer.read(bytes)?.status == 408)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [408])
    }

    @Test func H1_32_slowBodyEndsAtItsDeadline() throws {
        let play = try PlayedWorker(Plans.one(server: "body_timeout_seconds: 2"))
        let client = play.client()
        play.say(client, String(Message.chat().dropLast(5)))
        let spent = play.milliseconds(limit: 3000) { play.waiting(client) > 0 }
        #expect(spent.map { (2000...2000 + PlayedWorker.timerSlackMilliseconds).contains($0) } == true)
        #expect(try answered(play, client).status == 408)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [408])
    }

    @Test func idleConnectionIsClosedAtItsDeadline() throws {
        let play = try PlayedWorker(Plans.one(server: "idle_timeout_seconds: 5"))
        let client = play.client()
        play.say(client, "GET /v1/models HTTP/1.1\r\nhost: g\r\n\r\n")
        #expect(try answered(play, client).status == 200)
        let spent = play.milliseconds(limit: 6000) { play.state(client) != .open }
        #expect(spent.map { (5000...5000 + PlayedWorker.timerSlackMilliseconds).contains($0) } == true)
        play.expectNothingLeft()
    }

    @Test func reloadLeavesRequestsInFlightOnTheirPlan() throws {
        let play = try PlayedWorker(Plans.one())
        let first = play.client()
        play.say(first, Message.chat())
        try play.reload(Plans.one().replacingUpstream())
        play.settle()
        let second = play.client()
        play.say(second, Message.chat())
        #expect(play.upstream(0).port == 8001)
        #expect(play.upstream(1).port == 9009)
        play.say(play.upstream(1).fd, Message.answer("{\"new\":1}"))
        play.say(play.upstream(0).fd, Message.answer("{\"old\":1}"))
        #expect(try answered(play, first).text == "{\"old\":1}")
        #expect(try answered(play, second).text == "{\"new\":1}")
        play.expectNothingLeft()
        let versions = Set(play.logLines.compactMap { $0["config_version"] as? String })
        #expect(versions.count == 2)
    }

    @Test func H1_30_halfClosedClientGetsAnAnswerToEachPipelinedRequest() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.deliver(client, Message.chat(model: "a") + Message.chat(model: "b"))
        play.tick()
        play.deliver(client, Message.chat(model: "c"))
        play.tick()
        play.deliver(client, Message.chat(model: "d"))
        play.end(client)
        play.settle()
        for name in ["a", "b", "c", "d"] {
            let upstream = play.upstream(0).fd
            #expect(try UpstreamRequest.read(play.taken(upstream))?.text.contains("\"\(name)\"") == true, "\(name)")
            play.say(upstream, Message.answer("{\"n\":\"\(name)\"}"))
            #expect(try answered(play, client).text == "{\"n\":\"\(name)\"}")
        }
        play.settle()
        #expect(play.state(client) == .closed)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [200, 200, 200, 200])
    }

    /// The link's slot is taken by the next request while the batch still holds an event for its last owner.
    @Test func staleEventForReusedSlotIsDropped() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat(model: "a") + Message.chat(model: "b"))
        let first = play.upstream(0).fd
        play.deliver(first, Message.answer("{\"n\":1}", fields: "connection: close\r\n"))
        play.deliver(first, Message.answer("{\"n\":\"for nobody\"}"))
        play.end(first)
        play.tick()
        #expect(play.connectCount == 2)
        #expect(play.worker.links.inUse == 1)
        play.settle()
        play.say(play.upstream(1).fd, Message.answer("{\"n\":2}"))
        var bytes = play.taken(client)
        let one = try #require(try ClientAnswer.read(bytes))
        bytes.removeFirst(one.length)
        #expect(one.text == "{\"n\":1}")
        #expect(try ClientAnswer.read(bytes)?.text == "{\"n\":2}")
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [200, 200])
    }

    @Test func halfAHeadElsewhereLeavesAWaitingRequestAsItWas() throws {
        let play = try PlayedWorker(Plans.one())
        let waiting = play.client(), slow = play.client()
        play.nextConnect(0, delayMilliseconds: 20)
        play.say(waiting, Message.chat(fields: "x-mine: yes\r\naccept: application/json\r\n"))
        play.say(slow, "POST /v1/embeddings HTTP/1.1\r\nx-a-rather-long-field-name: with a value of its own\r\nhost: elsewhere\r\nx-oth")
        play.advance(milliseconds: 21)
        let request = try #require(try UpstreamRequest.read(play.taken(play.upstream(0).fd)))
        #expect(request.line == "POST /v1/chat/completions HTTP/1.1")
        #expect(request.fields["x-mine"] == "yes")
        #expect(request.fields["accept"] == "application/json")
        #expect(request.fields["x-a-rather-long-field-name"] == nil)
        play.say(play.upstream(0).fd, Message.answer("{}"))
        #expect(try answered(play, waiting).status == 200)
        play.expectNothingLeft()
    }

    @Test func H1_22_interimAnswerIsSentWholeOrNotAtAll() throws {
        let request = Message.chat(fields: "expect: 100-continue\r\n")
        let head = String(request[..<request.range(of: "{")!.lowerBound]), body = String(request.dropFirst(head.count))
        for (window, isOpen) in [(UInt64.max, true), (0, true), (1, false)] {
            let play = try PlayedWorker(Plans.one())
            let client = play.client()
            play.window(client, window)
            play.say(client, head)
            #expect((play.state(client) == .open) == isOpen)
            if isOpen {
                #expect(play.takenText(client) == (window > 0 ? "HTTP/1.1 100 Continue\r\n\r\n" : ""))
                play.window(client, .max)
                play.say(client, body)
                play.say(play.upstream(0).fd, Message.answer("{}"))
                #expect(try answered(play, client).text == "{}")
            }
            play.expectNothingLeft()
        }
    }

    @Test func countersAgreeWithWhatHappened() throws {
        let play = try PlayedWorker(Plans.two())
        let client = play.client()
        play.say(client, Message.chat())
        play.say(play.upstream(0).fd, Message.answer("{}", status: "500 Internal Server Error"))
        play.say(play.upstream(1).fd, Message.answer(Message.completion))
        #expect(try answered(play, client).status == 200)
        play.say(client, "GARBAGE\r\n\r\n")
        #expect(try answered(play, client).status == 400)
        play.expectNothingLeft()
        #expect(play.count(.requests) == 2)
        #expect(play.count(.requestDuration) == 2)
        #expect(play.count(.upstreamRequests) == 2)
        #expect(play.count(.upstreamErrors) == 1)
        #expect(play.count(.fallbacks) == 1)
        #expect(play.count(.retries) == 1)
        #expect(play.count(.upstreamConnections) == 2)
        #expect(play.count(.connectionsAccepted) == 1)
        #expect(play.count(.tokens) == 5)
        #expect(play.count(.refused) == 1)
        #expect(play.loggedStatuses == [200, 400])
    }
}

extension String {
    func replacingUpstream() -> String { split(separator: ":8001", omittingEmptySubsequences: false).joined(separator: ":9009") }

    /// Longer than anything a condition could mean, and than the memory queries are decoded in.
    @Test func aQueryBeyondAllConditionsMatchesNoneAndHarmsNothing() throws {
        let play = try PlayedWorker("""
            server: { max_header_kb: 1024, max_target_kb: 1024 }
            upstreams:
              one: { type: http, base_url: "http://10.0.0.1:8001" }
              two: { type: http, base_url: "http://10.0.0.2:8002" }
            routes:
              - { id: one, match: { query: { a: { regex: "^a+$" } } }, strategy: { upstreams: [one] } }
              - { id: two, strategy: { upstreams: [two] } }
            """)
        for (size, port) in [(1000, UInt16(8001)), (262_144, 8001), (262_145, 8002), (900_000, 8002)] {
            let client = play.client()
            play.deliver(client, "GET /?a=\(String(repeating: "a", count: size)) HTTP/1.1\r\nhost: g\r\n\r\n")
            for _ in 0..<100 { play.tick() }
            #expect(play.upstream(play.connectCount - 1).port == port, "\(size) bytes")
        }
        let client = play.client()
        play.deliver(client, "GET /?\(String(repeating: "b", count: 900_000)) HTTP/1.1\r\nhost: g\r\n\r\n")
        for _ in 0..<100 { play.tick() }
        #expect(play.connectCount == 5 && play.upstream(4).port == 8002)
        play.expectNothingLeft()
    }
}
