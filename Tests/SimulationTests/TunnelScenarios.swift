import CClaw
@testable import ClawEngine
import Foundation
import Testing

/// Tunnels under the played kernel: what passes in which order, who is held up by whom, and every way one ends.
@Suite struct TunnelScenarios {
    private static let plan = """
        server:
          timeout_seconds: 60
          stream_buffer_kb: 64
          tunnel_idle_seconds: 300
        upstreams:
          plain: { type: http, base_url: "http://10.0.0.1:8001" }
        routes:
          - { id: all, strategy: { upstreams: [plain] }, upgrade: [websocket, tcp] }
        """

    private func handshake(_ name: String = "websocket") -> String {
        "GET /socket HTTP/1.1\r\nhost: gateway\r\nconnection: Upgrade\r\nupgrade: \(name)\r\nsec-websocket-key: x\r\nsec-websocket-version: 13\r\n\r\n"
    }
    private func switching(_ name: String = "websocket") -> String {
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: \(name)\r\nconnection: upgrade\r\nsec-websocket-accept: y\r\n\r\n"
    }

    private func frame(_ opcode: UInt8, _ payload: [UInt8], masked: Bool = false) -> [UInt8] {
        var out: [UInt8] = [0x80 | opcode]
        let bit: UInt8 = masked ? 0x80 : 0
        out += payload.count < 126 ? [UInt8(payload.count) | bit] : [126 | bit, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        return out + (masked ? [0, 0, 0, 0] : []) + payload
    }
    private func text(_ text: String, masked: Bool = false) -> [UInt8] { frame(1, Array(text.utf8), masked: masked) }
    private func close(_ code: UInt16, masked: Bool = false) -> [UInt8] { frame(8, [UInt8(code >> 8), UInt8(code & 255)], masked: masked) }

    /// The code of a lone close frame, unmasked; nil when the bytes are something else.
    private func closeCode(_ bytes: [UInt8]) -> UInt16? {
        guard bytes.count >= 4, bytes[0] == 0x88 else { return nil }
        let isMasked = bytes[1] & 0x80 != 0
        let mask = isMasked ? Array(bytes[2..<6]) : [0, 0, 0, 0], at = isMasked ? 6 : 2
        guard bytes.count == at + Int(bytes[1] & 0x7F) else { return nil }
        return UInt16(bytes[at] ^ mask[0]) << 8 | UInt16(bytes[at + 1] ^ mask[1])
    }

    /// An open tunnel; both heads are taken.
    private func open(_ play: PlayedWorker, _ name: String = "websocket") throws -> (client: Int32, upstream: Int32) {
        let client = play.client()
        play.say(client, handshake(name))
        let upstream = play.upstream(play.connectCount - 1).fd
        let request = try #require(try UpstreamRequest.read(play.taken(upstream)))
        #expect(request.fields["upgrade"] == name && request.fields["connection"] == "upgrade")
        play.say(upstream, switching(name))
        let head = play.takenText(client)
        #expect(head.hasPrefix("HTTP/1.1 101 ") && head.hasSuffix("connection: upgrade\r\nupgrade: \(name)\r\n\r\n"))
        return (client, upstream)
    }

    private func tunnel(_ play: PlayedWorker) -> [String: Any] { play.logLines.last?["tunnel"] as? [String: Any] ?? [:] }

    // MARK: bytes

    @Test func bytesBehindEitherHandshakePassAtEveryCut() throws {
        let early = text("from the client", masked: true) + text("more", masked: true)
        let answer = Array(switching().utf8) + text("from the upstream") + text("more")
        let play = try PlayedWorker(Self.plan)
        for cut in stride(from: 1, to: answer.count, by: 3) {
            let client = play.client()
            play.deliver(client, Array(handshake().utf8) + Array(early[..<(cut % early.count)]))
            play.settle()
            play.deliver(client, Array(early[(cut % early.count)...]))
            play.settle()
            let upstream = play.upstream(play.connectCount - 1).fd
            let request = try #require(try UpstreamRequest.read(play.taken(upstream)))
            #expect(request.length > 0)
            #expect(play.waiting(upstream) == 0, "nothing passes before the switch")
            play.deliver(upstream, Array(answer[..<cut]))
            play.tick()
            play.deliver(upstream, Array(answer[cut...]))
            play.settle()
            #expect(play.taken(upstream) == early, "cut at \(cut)")
            #expect(Array(play.taken(client).suffix(text("from the upstream").count + text("more").count)) == text("from the upstream") + text("more"), "cut at \(cut)")
            play.deliver(client, close(1000, masked: true))
            play.settle()
            play.deliver(upstream, close(1000))
            play.end(upstream)
            play.settle()
            play.end(client)
            play.settle()
            #expect(tunnel(play)["messages_from_client"] as? Int == 2 && tunnel(play)["close_code"] as? Int == 1000)
        }
        play.expectNothingLeft()
    }

    @Test func H1_24_bytesBehindARefusedHandshakeAreARequestOrAnError() throws {
        let play = try PlayedWorker(Self.plan)
        let client = play.client()
        play.say(client, handshake() + "GET /next HTTP/1.1\r\nhost: gateway\r\n\r\n")
        let upstream = play.upstream(0).fd
        _ = play.taken(upstream)
        play.say(upstream, Message.answer("no", status: "403 Forbidden"))
        #expect(play.takenText(client).hasPrefix("HTTP/1.1 403 "))
        let request = try #require(try UpstreamRequest.read(play.taken(upstream)))
        #expect(request.line == "GET /next HTTP/1.1" && request.fields["upgrade"] == nil)
        play.say(upstream, Message.answer("yes"))
        #expect(play.takenText(client).hasPrefix("HTTP/1.1 200 "))
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [403, 200])
    }

    @Test func aSwitchToSomethingElseIsNoSwitch() throws {
        for answer in [switching("h2c"), "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n", switching().replacingOccurrences(of: "HTTP/1.1", with: "HTTP/1.0")] {
            let play = try PlayedWorker(Self.plan)
            let client = play.client()
            play.say(client, handshake())
            play.say(play.upstream(0).fd, answer)
            #expect(play.takenText(client).contains("upstream_malformed_answer"))
            play.expectNothingLeft()
        }
    }

    // MARK: back-pressure

    @Test func INV_7_eachWayIsHeldUpForItself() throws {
        let play = try PlayedWorker(Self.plan)
        let (client, upstream) = try open(play)
        let big = frame(2, [UInt8](repeating: 7, count: 16000)), bigMasked = frame(2, [UInt8](repeating: 7, count: 16000), masked: true)
        play.window(client, 0)
        var sent = 0
        while !play.isPaused(upstream), sent < 20 {
            play.deliver(upstream, big)
            play.settle()
            sent += 1
        }
        #expect(play.isPaused(upstream) && sent < 8)
        #expect(!play.isPaused(client))
        play.deliver(client, text("still moves", masked: true))
        play.settle()
        #expect(play.taken(upstream) == text("still moves", masked: true))
        play.window(upstream, 0)
        var asked = 0
        while !play.isPaused(client), asked < 20 {
            play.deliver(client, bigMasked)
            play.settle()
            asked += 1
        }
        #expect(play.isPaused(client) && asked < 8)
        #expect(play.buffersInUse < 16)
        play.window(client, .max)
        play.settle()
        #expect(!play.isPaused(upstream) && play.isPaused(client))
        #expect(play.taken(client).count == sent * big.count)
        play.window(upstream, .max)
        play.settle()
        #expect(!play.isPaused(client))
        #expect(play.taken(upstream).count == asked * bigMasked.count)
        play.expectNothingLeft()
    }

    @Test func manySmallFramesHoldNoMoreBuffersThanTheLimit() throws {
        let play = try PlayedWorker(Self.plan)
        let (client, upstream) = try open(play)
        play.window(client, 0)
        for _ in 0..<50 where !play.isPaused(upstream) {
            play.deliver(upstream, text("x"))
            play.tick()
        }
        #expect(play.isPaused(upstream) && play.buffersInUse <= 8)
        play.window(client, .max)
        play.settle()
        #expect(!play.isPaused(upstream))
        play.expectNothingLeft()
    }

    // MARK: ends

    @Test func theClosingHandshakePassesAndBothEndsAreEnded() throws {
        let play = try PlayedWorker(Self.plan)
        let (client, upstream) = try open(play)
        play.deliver(client, close(4000, masked: true))
        play.settle()
        #expect(play.taken(upstream) == close(4000, masked: true))
        play.deliver(upstream, close(4000))
        play.end(upstream)
        play.settle()
        #expect(play.taken(client) == close(4000))
        #expect(play.state(client) == .sendingEnded)
        play.end(client)
        play.settle()
        #expect(play.state(client) == .closed && play.state(upstream) == .closed)
        #expect(tunnel(play)["close_code"] as? Int == 4000 && tunnel(play)["closed_by"] as? String == "client" && tunnel(play)["ended_by"] as? String == "peers")
        play.expectNothingLeft()
    }

    @Test func anUpstreamThatBreaksOffIsA1011BetweenFramesOnly() throws {
        let whole = frame(2, [UInt8](repeating: 3, count: 200))
        for (isReset, cut) in [(false, 0), (true, 0), (false, 1), (true, 3), (false, 100), (true, 203), (false, 204), (true, 204)] {
            let play = try PlayedWorker(Self.plan)
            let (client, upstream) = try open(play)
            play.deliver(upstream, Array(whole[..<cut]))
            play.settle()
            play.end(upstream, error: isReset ? ECONNRESET : 0)
            play.settle()
            let got = play.taken(client)
            #expect(Array(got.prefix(cut)) == Array(whole[..<cut]))
            #expect(closeCode(Array(got.dropFirst(cut))) == (cut == 0 || cut == 204 ? 1011 : nil), "cut at \(cut)")
            #expect(play.state(client) == .sendingEnded)
            play.end(client)
            play.settle()
            let line = try #require(play.logLines.last)
            #expect(line["disconnected"] as? String == "upstream" && line["error_class"] as? String == "network" && line["status"] as? Int == 101)
            play.expectNothingLeft()
        }
    }

    @Test func C_29_aClientThatVanishesIsA1001ToTheUpstreamAtOnce() throws {
        for isReset in [true, false] {
            let play = try PlayedWorker(Self.plan)
            let (client, upstream) = try open(play)
            play.end(client, error: isReset ? ECONNRESET : 0)
            play.settle()
            #expect(closeCode(play.taken(upstream)) == 1001)
            #expect(play.state(upstream) == .sendingEnded)
            play.deliver(upstream, close(1001))
            play.end(upstream)
            play.settle()
            #expect(play.state(upstream) == .closed)
            #expect(tunnel(play)["ended_by"] as? String == "client" && tunnel(play)["closed_by"] as? String == "gateway")
            #expect(play.logLines.last?["disconnected"] as? String == (isReset ? "client" : nil))
            play.expectNothingLeft()
        }
    }

    @Test func anUpstreamThatNeverClosesIsLeftAfterFiveSeconds() throws {
        let play = try PlayedWorker(Self.plan)
        let (client, upstream) = try open(play)
        play.end(client, error: ECONNRESET)
        play.settle()
        play.deliver(upstream, text("talks on"))
        play.advance(milliseconds: 4900)
        #expect(play.state(upstream) == .sendingEnded)
        play.advance(milliseconds: 200)
        #expect(play.state(upstream) == .closed || play.state(upstream) == .reset)
        play.expectNothingLeft()
    }

    @Test func halfCloseOfAnotherProtocolPassesBothWays() throws {
        let play = try PlayedWorker(Self.plan)
        let (client, upstream) = try open(play, "tcp")
        play.say(client, "last words")
        play.end(client)
        play.settle()
        #expect(play.takenText(upstream) == "last words" && play.state(upstream) == .sendingEnded)
        play.say(upstream, "an answer")
        #expect(play.takenText(client) == "an answer" && play.state(client) == .open)
        play.end(upstream)
        play.settle()
        #expect(play.state(upstream) == .closed && play.state(client) == .closed)
        play.expectNothingLeft()
        #expect(tunnel(play)["ended_by"] as? String == "peers")
    }

    // MARK: the gateway ends it

    @Test func onlySilenceOfBothSidesIsIdle() throws {
        let play = try PlayedWorker(Self.plan)
        let (client, upstream) = try open(play)
        for round in 0..<4 {
            play.advance(milliseconds: 299_000)
            if round % 2 == 0 { play.deliver(client, text("x", masked: true)) } else { play.deliver(upstream, text("y")) }
            play.settle()
            #expect(!play.taken(round % 2 == 0 ? upstream : client).isEmpty)
        }
        play.advance(milliseconds: 299_900)
        #expect(play.waiting(client) == 0)
        play.advance(milliseconds: 200)
        #expect(closeCode(play.taken(client)) == 1001 && closeCode(play.taken(upstream)) == 1001)
        play.deliver(client, close(1001, masked: true))
        play.deliver(upstream, close(1001))
        play.settle()
        #expect(play.state(upstream) == .closed)
        #expect(tunnel(play)["ended_by"] as? String == "idle")
        #expect(play.waiting(client) == 0 && play.waiting(upstream) == 0, "the answers to our close frames pass to nobody")
        play.expectNothingLeft()
        #expect(play.loggedStatuses == [101])
    }

    @Test func peersThatDoNotAnswerAnIdleCloseAreLeft() throws {
        let play = try PlayedWorker(Self.plan)
        let (client, upstream) = try open(play)
        play.advance(milliseconds: 300_100)
        _ = play.taken(client)
        play.advance(milliseconds: 5_100)
        #expect(play.state(upstream) == .closed && play.state(client) != .open)
        play.expectNothingLeft()
    }

    /// Whoever ends its connection instead of answering a close frame: the other gets the end, and no second close frame.
    @Test func anEndInsteadOfAClosingHandshakeIsAnEnd() throws {
        for clientCloses in [true, false] {
            let play = try PlayedWorker(Self.plan)
            let (client, upstream) = try open(play)
            play.deliver(clientCloses ? client : upstream, close(1000, masked: clientCloses))
            play.settle()
            _ = play.taken(clientCloses ? upstream : client)
            play.end(clientCloses ? upstream : client)
            play.settle()
            #expect(play.waiting(client) == 0 && play.waiting(upstream) == 0)
            #expect(play.state(clientCloses ? client : upstream) == .sendingEnded)
            play.expectNothingLeft()
            #expect(play.loggedStatuses == [101] && tunnel(play)["ended_by"] as? String == "peers" && tunnel(play)["close_code"] as? Int == 1000)
        }
    }

    /// The drain comes at every byte of a frame: the frame passes whole, the close frame behind it, and nothing after that.
    @Test func aDrainPutsItsCloseFrameBehindTheFrameUnderWay() throws {
        let whole = frame(2, [UInt8](repeating: 5, count: 130)), next = text("not passed on")
        for cut in 0...whole.count {
            let play = try PlayedWorker(Self.plan)
            let (client, upstream) = try open(play)
            play.deliver(upstream, Array(whole[..<cut]))
            play.settle()
            play.drain(seconds: 60)
            play.settle()
            #expect(closeCode(play.taken(upstream)) == 1001)
            play.deliver(upstream, Array(whole[cut...]) + next)
            play.settle()
            let got = play.taken(client)
            if cut > 0 {
                #expect(Array(got.prefix(whole.count)) == whole && closeCode(Array(got.dropFirst(whole.count))) == 1001, "cut at \(cut)")
            } else {
                #expect(closeCode(got) == 1001)
            }
            play.deliver(client, close(1001, masked: true))
            play.deliver(upstream, close(1001))
            play.settle()
            play.end(client)
            play.settle()
            play.advance(milliseconds: 100)
            #expect(play.hasEnded)
            #expect(tunnel(play)["ended_by"] as? String == "drain")
            play.expectNothingLeft()
        }
    }

    @Test func aDrainDoesNotWaitForEver() throws {
        let play = try PlayedWorker(Self.plan)
        let (client, _) = try open(play)
        let (raw, _) = try open(play, "tcp")
        play.drain(seconds: 2)
        play.settle()
        #expect(closeCode(play.taken(client)) == 1001 && play.waiting(raw) == 0)
        for _ in 0..<80 { play.advance(milliseconds: 50) }
        #expect(play.hasEnded)
        #expect(play.loggedStatuses == [101, 101])
        play.expectNothingLeft()
    }

    @Test func aHandshakeDuringADrainIsClosedRightBehindTheSwitch() throws {
        let play = try PlayedWorker(Self.plan)
        let client = play.client()
        play.say(client, handshake())
        let upstream = play.upstream(0).fd
        play.drain(seconds: 60)
        play.settle()
        play.say(upstream, switching())
        let answer = play.taken(client)
        let head = try #require(answer.firstRange(of: Array("\r\n\r\n".utf8)))
        #expect(closeCode(Array(answer[head.upperBound...])) == 1001)
        play.expectNothingLeft()
    }
}
