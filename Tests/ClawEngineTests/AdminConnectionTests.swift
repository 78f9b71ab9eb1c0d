import CClaw
import ClawWire
import Foundation
import Testing

@testable import ClawEngine

/// Connections of the admin listener: how requests are cut out of bytes, and what slow and many peers do to each other.
@Suite(.serialized) struct AdminConnectionTests {
    /// What the requests in `text` come to when it arrives in these pieces: "METHOD path body" or the status of a refusal.
    private func outcomes(_ pieces: [ArraySlice<UInt8>]) -> [String] {
        let connection = AdminConnection(fd: -1, token: 0)
        let head = RequestHead()
        var found: [String] = []
        for piece in pieces {
            #expect(piece.withUnsafeBytes { connection.take($0) })
            reading: while true {
                switch connection.next(head, judge: { $0.path == "/refused" ? .error(403, "refused", "no") : nil }) {
                case .needMore: break reading
                case .request(let request):
                    found.append("\(request.method) \(request.path) \(String(decoding: request.body, as: UTF8.self))")
                    if connection.closesAfter { return found + ["close"] }
                    connection.phase = .head
                case .refused(let answer):
                    found.append("\(answer.status)")
                    if connection.closesAfter { return found + ["close"] }
                    connection.phase = .head
                }
            }
        }
        return found
    }

    private static let host = "\r\nhost: x\r\n"

    @Test(arguments: [
        ("GET /a HTTP/1.1\(host)\r\nGET /b?x HTTP/1.1\(host)connection: close\r\n\r\nGET /c", ["get /a ", "get /b ", "close"]),
        ("POST /a HTTP/1.1\(host)content-length: 5\r\n\r\nhelloGET /b HTTP/1.1\(host)\r\n", ["post /a hello", "get /b "]),
        ("POST /a HTTP/1.1\(host)transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\nGET /b HTTP/1.1\(host)\r\n", ["post /a hello", "get /b "]),
        ("POST /a HTTP/1.1\(host)transfer-encoding: chunked\r\n\r\n3\r\nhelX", ["400", "close"]),
        ("POST /a HTTP/1.1\(host)content-length: 1048577\r\n\r\n", ["413", "close"]),
        ("POST /refused HTTP/1.1\(host)content-length: 2\r\n\r\nab", ["403", "close"]),
        ("GET /refused HTTP/1.1\(host)\r\nGET /b HTTP/1.1\(host)\r\n", ["403", "get /b "]),
        ("POST /a HTTP/1.1\(host)content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", ["400", "close"]),
        ("GET /a HTTP/1.0\r\n\r\n", ["get /a ", "close"]),
        ("nonsense\r\n\r\n", ["400", "close"]),
    ])
    func requestsCutAtEveryPointReadAsInOnePiece(_ text: String, _ expected: [String]) {
        let bytes = Array(text.utf8)
        #expect(outcomes([bytes[...]]) == expected)
        for cut in 1..<bytes.count { #expect(outcomes([bytes[..<cut], bytes[cut...]]) == expected, "cut at \(cut)") }
        #expect(outcomes(bytes.indices.map { bytes[$0...$0] }) == expected)
    }

    @Test func moreInputThanAnyRequestNeedsEndsTheConnection() {
        let connection = AdminConnection(fd: -1, token: 0)
        let piece = [UInt8](repeating: 97, count: 65536)
        var taken = 0
        while taken < 100, piece.withUnsafeBytes({ connection.take($0) }) { taken += 1 }
        #expect(taken == 20)
    }

    @Test func pipelinedRequestsAreAnsweredInOrder() throws {
        let rig = try AdminRig()
        defer { rig.end() }
        let peer = rig.peer()
        peer.send((0..<50).map { "GET \($0 % 2 == 0 ? "/health" : "/nowhere") HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" }.joined())
        for index in 0..<50 { #expect(try peer.answer().status == (index % 2 == 0 ? 200 : 404)) }
        peer.send("GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        peer.endSending()
        #expect(try peer.answer().status == 200)
        #expect(peer.rest() == "")
    }

    @Test func bodyIsAskedForWhenTheClientWaits() throws {
        let rig = try AdminRig()
        defer { rig.end() }
        let peer = rig.peer()
        peer.send("POST", "/admin/reload", ["content-length: 3", "expect: 100-continue"])
        #expect(try peer.answer().status == 100)
        peer.send("{}\n")
        #expect(try peer.answer().status == 422)
        let refused = rig.peer()
        refused.send("POST", "/admin/reload", ["content-length: 3", "expect: 100-continue", "origin: x"])
        #expect(try refused.answer().status == 403)
        #expect(refused.rest() == "")
    }

    @Test func OB_04_slowScraperHoldsUpNobody() throws {
        let rig = try AdminRig()
        defer { rig.end() }
        // More than the kernel's socket buffers hold (4 MiB to send at most, by default), so that the listener is left with the rest.
        let count = (8 << 20) / (try rig.ask("GET", "/metrics").body.utf8.count)
        let slow = AdminPeer(port: rig.admin.port, receiveBuffer: 4096)
        slow.send(String(repeating: "GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", count: count))
        for _ in 0..<20 {
            #expect(try rig.ask("GET", "/health").status == 200)
            #expect(try rig.complete() == 200)
        }
        // What it asked for waits for it.
        for _ in 0..<count { #expect(try slow.answer().status == 200) }
    }

    @Test func probesGetThroughWhenAllPlacesAreTaken() throws {
        let rig = try AdminRig()
        defer { rig.end() }
        var peers: [AdminPeer] = []
        for _ in 0..<AdminLoop.connectionsMax {
            let peer = rig.peer()
            peer.send("GET", "/health")
            #expect(try peer.answer().status == 200)
            peers.append(peer)
        }
        // The one that has been idle longest gives way.
        #expect(try rig.ask("GET", "/health").status == 200)
        #expect(peers[0].rest() == "")
        let last = try #require(peers.last)
        last.send("GET", "/health")
        #expect(try last.answer().status == 200)
    }
}
