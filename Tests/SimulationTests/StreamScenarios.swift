@testable import ClawEngine
import Testing

/// Event streams: the commit barrier, pings, slow clients and clients that leave.
@Suite struct StreamScenarios {
    /// A stream of which the head and the first content event have passed.
    private func flowing(_ play: PlayedWorker, _ client: Int32) throws -> Int32 {
        play.say(client, Message.chat(stream: true))
        let upstream = play.upstream(play.connectCount - 1).fd
        #expect(try UpstreamRequest.read(play.taken(upstream)) != nil)
        play.say(upstream, Message.streamHead + Message.chunk(Message.role) + Message.chunk(Message.content("first")))
        #expect(play.waiting(client) > 0)
        return upstream
    }

    @Test func commitBarrierHoldsTheHeadUntilTheFirstContentEvent() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        let upstream = play.upstream(0).fd
        play.say(upstream, Message.streamHead)
        #expect(play.waiting(client) == 0)
        play.say(upstream, Message.chunk(Message.role))
        #expect(play.waiting(client) == 0)
        let content = Message.chunk(Message.content("hello"))
        play.say(upstream, String(content.dropLast(9)))
        #expect(play.waiting(client) == 0)
        play.say(upstream, String(content.suffix(9)))
        #expect(play.waiting(client) > 0)
        play.say(upstream, Message.chunk(Message.finish) + Message.chunk(Message.done) + Message.lastChunk)
        let answer = try #require(try ClientAnswer.read(play.taken(client)))
        #expect(answer.isWhole)
        #expect(answer.text == Message.role + Message.content("hello") + Message.finish + Message.done)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [200])
        #expect(play.logLines[0]["finish_reason"] as? String == "stop")
    }

    @Test func SS_01_streamCutAtEveryByteComesOutTheSame() throws {
        let events = Message.role + Message.content("h\u{e9}llo \u{1f600}") + Message.finish + Message.done
        let whole = Message.streamHead + [Message.role, Message.content("h\u{e9}llo \u{1f600}"), Message.finish, Message.done].map(Message.chunk).joined() + Message.lastChunk
        let bytes = Array(whole.utf8)
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        for cut in 1..<bytes.count {
            play.say(client, Message.chat(stream: true))
            let upstream = play.upstream(0).fd
            _ = play.taken(upstream)
            play.deliver(upstream, Array(bytes[..<cut]))
            play.tick()
            play.deliver(upstream, Array(bytes[cut...]))
            play.settle()
            let answer = try #require(try ClientAnswer.read(play.taken(client)))
            #expect(answer.isWhole)
            #expect(answer.text == events, "cut at \(cut)")
        }
        #expect(play.connectCount == 1)
        play.expectNothingLeft()
    }

    @Test func usageOnlyTheGatewayAskedForIsHiddenAtEveryCut() throws {
        let plan = Plans.one(upstream: "stream_usage: true")
        let usage = #"data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9}}"# + "\n\n"
        let shown = Message.role + Message.content("hi") + Message.finish + Message.done
        let pieces = [Message.role, Message.content("hi"), Message.finish, usage, Message.done]
        let play = try PlayedWorker(plan)
        let client = play.client()
        var requests = 0
        for joined in [false, true] {
            let body = joined ? Message.chunk(pieces.joined()) : pieces.map(Message.chunk).joined()
            let bytes = Array((Message.streamHead + body + Message.lastChunk).utf8)
            for cut in stride(from: 1, to: bytes.count, by: 3) {
                play.say(client, Message.chat(stream: true))
                let upstream = play.upstream(0).fd
                #expect(try UpstreamRequest.read(play.taken(upstream))?.text.contains(#""stream_options":{"include_usage":true}"#) == true)
                play.deliver(upstream, Array(bytes[..<cut]))
                play.tick()
                play.deliver(upstream, Array(bytes[cut...]))
                play.settle()
                let answer = try #require(try ClientAnswer.read(play.taken(client)))
                #expect(answer.isWhole)
                #expect(answer.text == shown, "cut at \(cut), one chunk: \(joined)")
                requests += 1
            }
        }
        play.expectNothingLeft()
        #expect(play.count(.tokens) == requests * 16)
    }

    @Test func pingsGoOutWhileAModelThinks() throws {
        let play = try PlayedWorker(Plans.one(server: "sse_ping_seconds: 2", upstream: "idle_stream_timeout_seconds: 60"))
        let client = play.client()
        let upstream = try flowing(play, client)
        let begun = try #require(try ClientAnswer.read(play.taken(client)))
        #expect(begun.text.contains("first"))
        for _ in 0..<3 {
            let spent = play.milliseconds(limit: 3000) { play.waiting(client) > 0 }
            #expect(spent.map { (1990...2000 + PlayedWorker.timerSlackMilliseconds).contains($0) } == true)
            #expect(play.takenText(client) == "8\r\n: ping\n\n\r\n")
        }
        play.say(upstream, Message.chunk(Message.done) + Message.lastChunk)
        #expect(play.takenText(client) == Message.chunk(Message.done) + Message.lastChunk)
        play.expectNothingLeft()
    }

    @Test func SS_09_slowClientPausesItsOwnUpstreamAndNoOther() throws {
        let play = try PlayedWorker(Plans.one(server: "stream_buffer_kb: 64"))
        let slow = play.client(), fast = play.client()
        let slowUpstream = try flowing(play, slow)
        let fastUpstream = try flowing(play, fast)
        _ = play.taken(slow)
        play.window(slow, 1000)
        let event = Message.chunk(Message.content(String(repeating: "y", count: 4000)))
        var sent = 0
        for _ in 0..<400 {
            play.deliver(slowUpstream, event)
            play.deliver(fastUpstream, event)
            sent += 1
            play.tick()
        }
        play.settle()
        #expect(play.isPaused(slowUpstream))
        #expect(!play.isPaused(fastUpstream))
        // 64 KiB for the slow one, whose buffers are a quarter full, and what one wait may bring.
        #expect(play.buffersInUse < 40)
        #expect(play.waiting(fast) > 400 * 4000)
        #expect(play.waiting(slow) == 1000)
        play.window(slow, .max)
        for _ in 0..<200 { play.tick() }
        #expect(!play.isPaused(slowUpstream))
        play.say(slowUpstream, Message.chunk(Message.done) + Message.lastChunk)
        let rest = play.taken(slow)
        #expect(rest.count == sent * event.utf8.count + Message.chunk(Message.done).utf8.count + Message.lastChunk.utf8.count)
        play.say(fastUpstream, Message.chunk(Message.done) + Message.lastChunk)
        #expect(try ClientAnswer.read(play.taken(fast))?.isWhole == true)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [200, 200])
    }

    /// The upstream's end and the client's appetite arrive in one batch, the appetite first.
    @Test func SS_14_endOfAPausedUpstreamIsNotTheEndOfItsAnswer() throws {
        let play = try PlayedWorker(Plans.one(server: "stream_buffer_kb: 4"))
        let client = play.client()
        play.say(client, Message.chat())
        let upstream = play.upstream(0).fd
        play.window(client, 0)
        let piece = String(repeating: "z", count: 9000)
        play.say(upstream, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n" + piece)
        #expect(play.isPaused(upstream))
        play.deliver(upstream, piece)
        play.deliver(upstream, piece)
        play.window(client, .max)
        play.end(upstream)
        for _ in 0..<4 { play.settle() }
        let answer = try #require(try ClientAnswer.read(play.taken(client)))
        #expect(answer.isWhole)
        #expect(answer.body.count == 27_000)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [200])
    }

    @Test func H1_33_clientThatStopsReadingIsGivenUpAtTheWriteTimeout() throws {
        let play = try PlayedWorker(Plans.one(server: "write_timeout_seconds: 4"))
        let client = play.client()
        let upstream = try flowing(play, client)
        play.window(client, 0)
        play.say(upstream, Message.chunk(Message.content("more")))
        let spent = play.milliseconds(limit: 5000) { play.state(client) != .open }
        #expect(spent.map { (4000...4000 + PlayedWorker.timerSlackMilliseconds).contains($0) } == true)
        #expect(play.state(client) == .reset)
        #expect(play.state(upstream) == .reset)
        play.expectNothingLeft()
        #expect(play.logLines[0]["disconnected"] as? String == "client")
    }

    @Test func SS_07_clientResetInAStreamClosesTheUpstreamInTheSameTick() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        let upstream = try flowing(play, client)
        play.end(client, error: 104)
        play.tick()
        #expect(play.state(upstream) == .reset)
        play.expectNothingLeft()
        #expect(play.logLines[0]["disconnected"] as? String == "client")
        #expect(play.count(.clientDisconnects) == 1)
    }

    @Test func SS_07_clientResetBeforeTheHeadClosesTheUpstreamInTheSameTick() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        play.end(client, error: 104)
        play.tick()
        #expect(play.state(play.upstream(0).fd) == .reset)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [499])
    }

    @Test func SS_08_clientLeavesInTheTickOfTheLastEvent() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        let upstream = try flowing(play, client)
        play.deliver(upstream, Message.chunk(Message.finish) + Message.chunk(Message.done) + Message.lastChunk)
        play.end(client, error: 104)
        play.settle()
        play.expectNothingLeft()
        #expect(play.logLines.count == 1)
    }

    @Test func finInAStreamIsProbedAfterAMoment() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        let upstream = try flowing(play, client)
        _ = play.taken(client)
        play.end(client)
        play.settle()
        #expect(play.waiting(client) == 0)
        let spent = play.milliseconds(limit: 100) { play.waiting(client) > 0 }
        #expect(spent.map { (25...25 + PlayedWorker.timerSlackMilliseconds).contains($0) } == true)
        #expect(play.takenText(client) == "3\r\n:\n\n\r\n")
        // It was only half closed: the rest still comes.
        play.say(upstream, Message.chunk(Message.done) + Message.lastChunk)
        #expect(play.takenText(client) == Message.chunk(Message.done) + Message.lastChunk)
        play.settle()
        #expect(play.state(client) == .closed)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [200])
    }

    @Test func SS_07_finOfAClientThatIsGoneEndsTheUpstream() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        play.say(client, Message.chat(stream: true))
        let upstream = play.upstream(0).fd
        play.end(client)
        play.settle()
        #expect(play.state(upstream) == .open)
        let spent = play.milliseconds(limit: 100) { play.waiting(client) > 0 }
        #expect(spent.map { (25...25 + PlayedWorker.timerSlackMilliseconds).contains($0) } == true)
        #expect(play.takenText(client).hasPrefix("HTTP/1.1 102 "))
        play.end(client, error: 104)
        play.settle()
        #expect(play.state(upstream) == .reset)
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [499])
    }

    @Test func SS_05_cleanEndWithoutDoneAfterAFinishIsPassedOn() throws {
        let play = try PlayedWorker(Plans.one())
        let client = play.client()
        let upstream = try flowing(play, client)
        play.say(upstream, Message.chunk(Message.finish) + Message.lastChunk)
        let answer = try #require(try ClientAnswer.read(play.taken(client)))
        #expect(answer.isWhole)
        play.expectNothingLeft()
        #expect(play.logLines[0]["disconnected"] as? String == "upstream")
    }

    @Test func SS_04_SS_05_streamThatBreaksOffEndsWithATypedError() throws {
        for ending in ["reset", "fin", "end without finish", "bad chunk"] {
            let play = try PlayedWorker(Plans.two())
            let client = play.client()
            let upstream = try flowing(play, client)
            switch ending {
            case "reset": play.end(upstream, error: 104)
            case "fin": play.end(upstream)
            case "bad chunk": play.deliver(upstream, "zz\r\n")
            default: play.deliver(upstream, Message.lastChunk)
            }
            play.settle()
            let answer = try #require(try ClientAnswer.read(play.taken(client)))
            #expect(answer.isWhole, "\(ending)")
            #expect(answer.text.hasPrefix(Message.role + Message.content("first")))
            #expect(answer.text.contains(#""code":"upstream_truncated""#), "\(ending)")
            #expect(!answer.text.contains("[DONE]"))
            #expect(play.connectCount == 1)
            #expect(play.state(upstream) != .open)
            play.expectNothingLeft()
            #expect(play.logLines[0]["disconnected"] as? String == "upstream")
            #expect(play.logLines[0]["error_class"] as? String == "network")
        }
    }
}
