import CClaw
import Foundation
import Testing

private let server = TransferServer.shared

private func pattern(_ count: Int) -> [UInt8] {
    let cycle = (0..<251).map { UInt8($0 * 31 % 251) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 251)
    while bytes.count < count { bytes += cycle }
    return Array(bytes[..<count])
}

/// What libcurl brings over the wire, against a real server on this machine.
@Suite(.serialized, .enabled(if: server != nil, Comment(rawValue: TransferServer.toolsMissing)))
struct TransferTests {
    let ports = server!.ports
    let trusted = TransferPolicy(ca: server!.file("authority.pem"))
    var tls: String { "https://localhost:\(ports.tls)" }

    @Test func libraryIsNamed() throws {
        _ = try TransferRig()
        #expect(String(cString: claw_transfers_library()).hasPrefix("libcurl/"))
    }

    @Test func getAndPostOverTLS() throws {
        let rig = try TransferRig()
        let get = rig.fetch(tls + "/hello", policy: trusted.pointer)
        #expect(get.result == 0 && get.status == 200 && get.text == "hello" && get.version == 11, "\(get.words)")
        #expect(get.head == "Content-Length: 5\r\n")
        let post = rig.fetch(tls + "/echo", method: "POST", body: [Array("ab".utf8), [], Array("cde".utf8)], policy: trusted.pointer)
        #expect(post.result == 0 && post.text == "abcde")
        let plain = rig.fetch("http://127.0.0.1:\(ports.plain)/hello")
        #expect(plain.result == 0 && plain.text == "hello")
        #expect(claw_buffers_in_use(rig.loop) == 0)
    }

    @Test(arguments: [CLAW_BACKEND_EPOLL, CLAW_BACKEND_URING]) func bothKernelBackendsCarryLibcurl(backend: Int) throws {
        let rig = try TransferRig(backend: backend) // where io_uring is refused this is epoll once more
        rig.turn(atMost: 0)
        let lent = claw_buffers_in_use(rig.loop) // the ring holds some from its first wait on
        for token in 1...20 { rig.start(tls + "/big?bytes=200000", token: UInt64(token), policy: trusted.pointer) }
        rig.run { (1...20).allSatisfy { rig.isEnded(UInt64($0)) } }
        for token in 1...20 { #expect(rig.answers[UInt64(token)]!.body == pattern(200_000)) }
        for _ in 0..<5 {
            let echo = rig.fetch(tls + "/echo", method: "POST", body: [pattern(300_000)], policy: trusted.pointer, token: 30)
            #expect(echo.body == pattern(300_000))
        }
        let id = rig.start(tls + "/endless", token: 31, policy: trusted.pointer)
        rig.run { !rig.answers[31]!.body.isEmpty }
        #expect(claw_transfer_cancel(rig.transfers, id) == 0)
        #expect(claw_buffers_in_use(rig.loop) == lent)
    }

    @Test func headersGoOutExactlyAsGiven() throws {
        let rig = try TransferRig()
        let none = rig.fetch(tls + "/head?a=1", policy: trusted.pointer)
        #expect(none.text == "GET /head?a=1 HTTP/1.1\r\nHost: localhost:\(ports.tls)\r\n\r\n")
        let given = ["x-First: 1", "Accept: text/plain;q=0.5", "X-Empty:", "authorization:  Bearer k", "X-First: 2", "X-Spaced:   v  "]
        let some = rig.fetch(tls + "/a/../head", method: "GET", headers: given, policy: trusted.pointer)
        #expect(some.status == 404) // the path as it is, not tidied up
        let post = rig.fetch(tls + "/head", method: "POST", headers: given, body: [Array("hi".utf8)], policy: trusted.pointer)
        let lines = post.text.components(separatedBy: "\r\n")
        #expect(lines.first == "POST /head HTTP/1.1")
        #expect(lines.filter { $0 != lines[0] && !$0.isEmpty && !$0.hasPrefix("Host:") && !$0.hasPrefix("Content-Length:") }
            == ["x-First: 1", "Accept: text/plain;q=0.5", "X-Empty:", "authorization:  Bearer k", "X-First: 2", "X-Spaced:   v"])
        #expect(lines.contains("Content-Length: 2"))
        let host = rig.fetch(tls + "/head", headers: ["Host: other.test"], policy: trusted.pointer)
        #expect(host.text.contains("Host: other.test\r\n") && !host.text.contains("localhost"))
    }

    @Test(arguments: ["POST", "PUT", "PATCH"]) func bodylessMethodsThatAnticipateContentSayZero(method: String) throws {
        let answer = try TransferRig().fetch(tls + "/head", method: method, policy: trusted.pointer)
        #expect(answer.result == 0 && answer.text.contains("Content-Length: 0\r\n") && answer.text.hasPrefix(method))
    }

    @Test func otherMethodsWorkWithAndWithoutBody() throws {
        let rig = try TransferRig()
        let delete = rig.fetch(tls + "/head", method: "DELETE", policy: trusted.pointer)
        #expect(delete.text.hasPrefix("DELETE /head") && !delete.text.contains("Content-Length"))
        let get = rig.fetch(tls + "/echo", method: "GET", body: [[65, 66]], policy: trusted.pointer)
        #expect(get.result == 0 && get.text == "AB")
        let head = rig.fetch(tls + "/hello", method: "HEAD", policy: trusted.pointer)
        #expect(head.result == 0 && head.status == 200 && head.body.isEmpty)
    }

    @Test func answersAreRelayedAsTheyCome() throws {
        let rig = try TransferRig()
        let moved = rig.fetch(tls + "/moved", policy: trusted.pointer)
        #expect(moved.status == 302 && moved.head.contains("Location: /hello\r\n"))
        let encoded = rig.fetch(tls + "/encoded", policy: trusted.pointer)
        #expect(encoded.result == 0 && encoded.body.starts(with: [0x1f, 0x8b]))
        let again = rig.fetch(tls + "/head", policy: trusted.pointer)
        #expect(!again.text.lowercased().contains("cookie"))
        let interim = rig.fetch(tls + "/interim", policy: trusted.pointer)
        #expect(interim.status == 200 && interim.head == "Content-Length: 5\r\nX-Odd: spaced\r\nX-Empty: \r\n")
        let fitting = rig.fetch(tls + "/fitting_head", policy: trusted.pointer)
        #expect(fitting.result == 0 && fitting.head.utf8.count > 59000 && fitting.text == "ok")
    }

    @Test func streamArrivesInPiecesBeforeItsEnd() throws {
        let rig = try TransferRig()
        rig.start(tls + "/gated", token: 1, policy: trusted.pointer)
        rig.run { rig.answers[1]!.body.count == 3 }
        #expect(rig.answers[1]!.text == "one" && !rig.isEnded(1)) // the rest is not even sent
        #expect(rig.fetch(tls + "/open", policy: trusted.pointer, token: 2).text == "opened")
        rig.run { rig.isEnded(1) }
        let answer = rig.answers[1]!
        #expect(answer.text == "onetwo" && answer.pieces == 2 && answer.result == 0 && !answer.head.contains("Trailer"))
    }

    @Test func receivingOffHoldsAtMostTheWindow() throws {
        let rig = try TransferRig()
        let size = 12 << 20 // more than the sockets' buffers take
        let before = server!.log().count
        let id = rig.start(tls + "/big?bytes=\(size)", token: 1, policy: trusted.pointer, window: 65536)
        #expect(claw_transfer_receive(rig.transfers, id, 0) == 0)
        rig.run { rig.answers[1]!.status == 200 }
        rig.run(milliseconds: 300)
        #expect(rig.answers[1]!.body.isEmpty && claw_buffers_in_use(rig.loop) >= 3 && claw_buffers_in_use(rig.loop) <= 5)
        #expect(!server!.log().dropFirst(before).contains { $0.hasPrefix("sent") })
        // On and off again in the middle.
        #expect(claw_transfer_receive(rig.transfers, id, 1) == 0)
        rig.run { rig.answers[1]!.body.count > 500_000 }
        #expect(claw_transfer_receive(rig.transfers, id, 0) == 0)
        let count = rig.answers[1]!.body.count
        rig.run(milliseconds: 100)
        #expect(rig.answers[1]!.body.count == count && claw_buffers_in_use(rig.loop) <= 5)
        #expect(claw_transfer_receive(rig.transfers, id, 1) == 0)
        rig.run { rig.isEnded(1) }
        #expect(rig.answers[1]!.result == 0 && rig.answers[1]!.body == pattern(size))
        #expect(claw_buffers_in_use(rig.loop) == 0)
    }

    @Test func pausedTransferWhoseServerIsDoneEndsWhole() throws {
        let rig = try TransferRig()
        for (path, size) in [("big?bytes=40000", 40000), ("big?bytes=16385", 16385), ("big?bytes=16384", 16384)] {
            let before = server!.log().count
            let id = rig.start(tls + "/" + path, token: 1, policy: trusted.pointer, window: 16384)
            #expect(claw_transfer_receive(rig.transfers, id, 0) == 0)
            rig.run { server!.log().dropFirst(before).contains { $0.hasPrefix("sent") } }
            rig.run(milliseconds: 20)
            #expect(claw_buffers_in_use(rig.loop) == 1 && rig.answers[1]!.body.isEmpty && !rig.isEnded(1))
            #expect(claw_transfer_receive(rig.transfers, id, 1) == 0)
            rig.run { rig.isEnded(1) }
            #expect(rig.answers[1]!.result == 0 && rig.answers[1]!.body == pattern(size))
        }
    }

    @Test(arguments: [4096, 16384, 65536] as [UInt32]) func bodiesAreWholeWhateverTheBufferSize(bytes: UInt32) throws {
        let rig = try TransferRig(bufferBytes: bytes, bufferCount: 32)
        let answer = rig.fetch(tls + "/big?bytes=1000003", policy: trusted.pointer)
        #expect(answer.result == 0 && answer.body == pattern(1_000_003))
        #expect(claw_buffers_in_use(rig.loop) == 0)
    }

    @Test func transfersWithoutBufferWaitUntilOneIsGivenBack() throws {
        let rig = try TransferRig(bufferCount: 2)
        rig.givesBack = false
        rig.start(tls + "/big?bytes=200000", token: 1, policy: trusted.pointer)
        rig.start(tls + "/big?bytes=200000", token: 2, policy: trusted.pointer)
        rig.run { rig.kept.count == 2 }
        rig.run(milliseconds: 100)
        #expect(rig.kept.count == 2 && !rig.isEnded(1) && !rig.isEnded(2))
        for buffer in rig.kept { claw_buffer_release(rig.loop, buffer) }
        rig.givesBack = true
        rig.run { rig.isEnded(1) && rig.isEnded(2) }
        #expect(rig.answers[1]!.body == pattern(200_000) && rig.answers[2]!.body == pattern(200_000))
    }

    @Test func uploadOfAMebibyteArrivesWhole() throws {
        let rig = try TransferRig()
        let bytes = pattern(1 << 20)
        let slices = [Array(bytes[0..<1]), Array(bytes[1..<70_000]), Array(bytes[70_000...])]
        let answer = rig.fetch(tls + "/echo", method: "POST", headers: ["Content-Type: application/json"], body: slices, policy: trusted.pointer)
        #expect(answer.result == 0 && answer.body == bytes)
    }

    @Test func answerBeforeTheUploadIsDoneIsRelayed() throws {
        let rig = try TransferRig()
        let answer = rig.fetch("http://127.0.0.1:\(ports.plain)/early413", method: "POST", body: [pattern(8 << 20)])
        #expect(answer.status == 413 && answer.text == "too large", "\(answer.words)")
    }

    // ---- what can go wrong before a request is out

    @Test func TL_10_untrustedCertificatesGetNoRequest() throws {
        let rig = try TransferRig()
        let stranger = TransferPolicy(ca: server!.file("stranger.pem"))
        let elsewhere = TransferPolicy(ca: server!.file("authority.pem"), connectTo: "wrong.test:443:127.0.0.1:\(ports.tls)")
        let before = server!.log().count
        let cases: [(String, TransferPolicy?)] = [
            (tls + "/wrong-authority", stranger),                            // another authority
            (tls + "/system-authorities", nil),                              // the system's
            ("https://wrong.test/wrong-host", elsewhere),                    // right authority, wrong name
            ("https://localhost:\(ports.expired)/expired", trusted),
        ]
        for (url, policy) in cases {
            let answer = rig.fetch(url, method: "POST", body: [[1, 2, 3]], policy: policy?.pointer)
            #expect(answer.result == Int32(CLAW_TRANSFER_TLS) && answer.status == 0 && !answer.words.isEmpty, "\(url) \(answer.words)")
        }
        #expect(!server!.log().dropFirst(before).contains { $0.hasPrefix("request") })
        let insecure = TransferPolicy(ca: server!.file("stranger.pem"), insecure: true)
        #expect(rig.fetch(tls + "/hello", policy: insecure.pointer).text == "hello")
        // The unverified connection that now idles is nobody else's.
        #expect(rig.fetch(tls + "/hello", policy: stranger.pointer).result == Int32(CLAW_TRANSFER_TLS))
    }

    @Test func ownAuthoritiesReplaceTheSystems() throws {
        // A file that does not exist is no reason to fall back.
        let missing = TransferPolicy(ca: server!.file("nothing.pem"))
        #expect(try TransferRig().fetch(tls + "/hello", policy: missing.pointer).result == Int32(CLAW_TRANSFER_TLS))
    }

    @Test func peerThatSpeaksNoTLSIsATLSFailure() throws {
        let answer = try TransferRig().fetch("https://localhost:\(ports.banner)/hello", policy: trusted.pointer)
        #expect(answer.result == Int32(CLAW_TRANSFER_TLS), "\(answer.words)")
    }

    @Test func refusedConnectionIsConnect() throws {
        let answer = try TransferRig().fetch("https://127.0.0.1:\(ports.refusing)/")
        #expect(answer.result == Int32(CLAW_TRANSFER_CONNECT), "\(answer.words)")
    }

    @Test func unknownNameIsResolve() throws {
        let answer = try TransferRig().fetch("https://no-such-host.invalid/")
        #expect(answer.result == Int32(CLAW_TRANSFER_RESOLVE), "\(answer.words)")
    }

    @Test func silentPeerIsConnectTimeout() throws {
        let hurried = TransferPolicy(connectTimeout: 200)
        let answer = try TransferRig().fetch("https://127.0.0.1:\(ports.mute)/", policy: hurried.pointer)
        #expect(answer.result == Int32(CLAW_TRANSFER_CONNECT_TIMEOUT), "\(answer.words)")
    }

    @Test func requestsThatCannotBeWrittenAreRefusedAtOnce() throws {
        let rig = try TransferRig()
        #expect(rig.start("ftp://localhost/", token: 1) == -EINVAL)
        #expect(rig.start("file:///etc/passwd", token: 1) == -EINVAL)
        #expect(rig.start(tls, method: "GET /x HTTP/1.1\r\nX:", token: 1) == -EINVAL)
        for line in ["X: a\r\nY: b", "X: a\nY: b", "X: a\0b", "no colon", ": no name", "sp ace: x", "Transfer-Encoding: chunked",
                     "Content-Length: 7", "content-length: -0", "Content-Length:", ""] {
            #expect(rig.start(tls + "/hello", headers: [line], body: [[1, 2]], token: 1) == -EINVAL, "\(line)")
        }
        let honest = rig.fetch(tls + "/head", method: "POST", headers: ["content-length: 2"], body: [[1, 2]], policy: trusted.pointer)
        #expect(honest.text.components(separatedBy: "ontent-").count == 2)
        let user = rig.fetch("https://user:secret@localhost:\(ports.tls)/head", policy: trusted.pointer)
        #expect(user.result == Int32(CLAW_TRANSFER_OTHER))
    }

    // ---- what can go wrong after

    @Test(arguments: ["cut", "cut_chunk", "cut_head", "cut_head_line", "nothing", "reset"], [true, false])
    func UP_cutAnswersAreNetwork(path: String, secure: Bool) throws {
        let base = secure ? tls : "http://127.0.0.1:\(ports.plain)"
        let rig = try TransferRig()
        let answer = rig.fetch(base + "/" + path, policy: trusted.pointer)
        #expect(answer.result == Int32(CLAW_TRANSFER_NETWORK), "\(path): \(answer.words)")
        #expect(answer.status == (["cut", "cut_chunk", "reset"].contains(path) ? 200 : 0))
        if path == "cut" { #expect(answer.text == "0123456789") }
        #expect(claw_buffers_in_use(rig.loop) == 0)
    }

    @Test(arguments: ["garbage", "bad_status", "two_lengths", "both_framings", "odd_coding", "folded", "nul", "bare_cr", "no_colon",
                      "spaced_name", "switching", "long_head", "long_line"])
    func UP_05_malformedHeadsAreNotRelayed(path: String) throws {
        let answer = try TransferRig().fetch(tls + "/" + path, policy: trusted.pointer)
        #expect(answer.result == Int32(CLAW_TRANSFER_MALFORMED), "\(path): \(answer.result ?? 99) \(answer.words)")
        #expect(answer.status == 0 && answer.body.isEmpty)
    }

    @Test func UP_05_badChunkIsMalformed() throws {
        let answer = try TransferRig().fetch(tls + "/bad_chunk", policy: trusted.pointer)
        #expect(answer.result == Int32(CLAW_TRANSFER_MALFORMED) && answer.status == 200 && answer.body.isEmpty, "\(answer.words)")
    }

    @Test func cancelInMidStreamClosesTheConnection() throws {
        let rig = try TransferRig()
        let before = server!.log().count
        let id = rig.start(tls + "/endless", token: 1, policy: trusted.pointer)
        rig.run { rig.answers[1]!.body.count > 40 }
        #expect(claw_transfer_receive(rig.transfers, id, 0) == 0)
        rig.run { claw_buffers_in_use(rig.loop) > 0 }
        #expect(claw_transfer_cancel(rig.transfers, id) == 0)
        #expect(claw_buffers_in_use(rig.loop) == 0)
        #expect(claw_transfer_cancel(rig.transfers, id) == -ENOENT)
        rig.run { server!.log().dropFirst(before).contains { $0.hasPrefix("closed") } }
        #expect(server!.log().dropFirst(before).contains { $0.hasPrefix("closed") })
        #expect(!rig.isEnded(1))
    }

    @Test func cancelAtAnyStageLeavesNothing() throws {
        let rig = try TransferRig()
        for turns in 0..<12 {
            let id = rig.start(tls + "/big?bytes=300000", token: 1, policy: trusted.pointer)
            let name = rig.start("https://no-such-host.invalid/", token: 2)
            for _ in 0..<turns { rig.turn(atMost: 2_000_000) }
            if !rig.isEnded(1) { #expect(claw_transfer_cancel(rig.transfers, id) == 0) }
            if !rig.isEnded(2) { #expect(claw_transfer_cancel(rig.transfers, name) == 0) }
            #expect(claw_buffers_in_use(rig.loop) == 0)
        }
        #expect(rig.fetch(tls + "/hello", policy: trusted.pointer).text == "hello")
    }

    @Test func destroyInMidStreamGivesBuffersBack() throws {
        let rig = try TransferRig()
        var second: OpaquePointer?
        #expect(claw_transfers_create(rig.loop, 5, 0, &second) == 0)
        claw_transfers_destroy(second)
        let id = rig.start(tls + "/endless", token: 1, policy: trusted.pointer)
        rig.run { !rig.answers[1]!.body.isEmpty }
        #expect(claw_transfer_receive(rig.transfers, id, 0) == 0)
        rig.run { claw_buffers_in_use(rig.loop) > 0 }
        // The rig's deinit ends it, with the transfer running and a buffer held.
    }

    // ---- connections

    @Test func connectionsAreReused() throws {
        let rig = try TransferRig()
        let first = rig.fetch(tls + "/who", policy: trusted.pointer).text
        for _ in 0..<5 { #expect(rig.fetch(tls + "/who", policy: trusted.pointer).text == first) }
        let sameWords = TransferPolicy(ca: server!.file("authority.pem"))
        #expect(rig.fetch(tls + "/who", policy: sameWords.pointer).text == first)
    }

    @Test func perHostMaximumHolds() throws {
        let rig = try TransferRig(perHost: 2)
        for token in 1...8 { rig.start(tls + "/who", token: UInt64(token), policy: trusted.pointer) }
        rig.run { (1...8).allSatisfy { rig.isEnded(UInt64($0)) } }
        let numbers = Set((1...8).map { rig.answers[UInt64($0)]!.text })
        #expect(numbers.count <= 2 && rig.answers.values.allSatisfy { $0.result == 0 })
    }

    @Test func UP_13_clientCertificatesNeverShareAConnection() throws {
        let rig = try TransferRig()
        func policy(_ name: String) -> TransferPolicy {
            TransferPolicy(ca: server!.file("authority.pem"), certificate: server!.file(name + ".pem"), key: server!.file(name + ".key"))
        }
        let alice = policy("alice"), bob = policy("bob")
        let url = "https://localhost:\(ports.mutual)/who"
        var seen: [String: Set<String>] = [:]
        for _ in 0..<3 {
            for (name, who) in [("alice", alice), ("bob", bob)] {
                let words = rig.fetch(url, policy: who.pointer).text.split(separator: " ")
                #expect(words.count == 2 && words[1] == name)
                seen[name, default: []].insert(String(words.first ?? ""))
            }
        }
        #expect(seen["alice"]!.count == 1 && seen["bob"]!.count == 1 && seen["alice"] != seen["bob"])
        // Both at once, several each.
        for i in 0..<8 { rig.start(url, token: UInt64(10 + i), policy: i % 2 == 0 ? alice.pointer : bob.pointer) }
        rig.run { (10..<18).allSatisfy { rig.isEnded(UInt64($0)) } }
        for i in 0..<8 { #expect(rig.answers[UInt64(10 + i)]!.text.hasSuffix(i % 2 == 0 ? "alice" : "bob")) }
        // None at all: the server refuses, and no idle connection of the others is lent.
        let nobody = rig.fetch(url, policy: trusted.pointer)
        #expect(nobody.result == Int32(CLAW_TRANSFER_NETWORK) || nobody.result == Int32(CLAW_TRANSFER_TLS), "\(nobody.words)")
        #expect(nobody.status == 0)
    }

    // ---- egress

    @Test func proxyOfThePolicyIsUsedAndSeesNoHeaders() throws {
        let rig = try TransferRig()
        let before = server!.log().count
        let proxied = TransferPolicy(ca: server!.file("authority.pem"), proxy: "http://127.0.0.1:\(ports.proxy)")
        let answer = rig.fetch(tls + "/hello", headers: ["Authorization: Bearer secret"], policy: proxied.pointer)
        #expect(answer.result == 0 && answer.text == "hello" && answer.head == "Content-Length: 5\r\n", "\(answer.words)")
        #expect(server!.log().dropFirst(before).contains("tunnel localhost:\(ports.tls) plain"))
        let denied = rig.fetch("https://localhost:1/", policy: proxied.pointer)
        #expect(denied.result == Int32(CLAW_TRANSFER_CONNECT) && denied.status == 0, "\(denied.words)")
        let dropped = rig.fetch("https://localhost:2/", policy: proxied.pointer)
        #expect(dropped.result == Int32(CLAW_TRANSFER_CONNECT), "\(dropped.words)")
        let nowhere = TransferPolicy(proxy: "http://127.0.0.1:\(ports.refusing)")
        #expect(rig.fetch(tls + "/hello", policy: nowhere.pointer).result == Int32(CLAW_TRANSFER_CONNECT))
    }

    @Test func proxyOfTheEnvironmentIsIgnored() throws {
        for name in ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"] { setenv(name, "http://127.0.0.1:\(ports.refusing)", 1) }
        setenv("no_proxy", "*", 1)
        defer { for name in ["https_proxy", "HTTPS_PROXY", "ALL_PROXY", "no_proxy"] { unsetenv(name) } }
        let rig = try TransferRig()
        #expect(rig.fetch(tls + "/hello", policy: trusted.pointer).text == "hello")
        let before = server!.log().count
        let proxied = TransferPolicy(ca: server!.file("authority.pem"), proxy: "http://127.0.0.1:\(ports.proxy)")
        #expect(rig.fetch(tls + "/hello", policy: proxied.pointer).text == "hello")
        #expect(server!.log().dropFirst(before).contains { $0.hasPrefix("tunnel") })
    }
}

/// HTTP/2 by ALPN, against nghttpd.
@Suite(.serialized, .enabled(if: (server?.ports.h2 ?? 0) != 0, Comment(rawValue: TransferServer.nghttpdMissing)))
struct TransferHTTP2Tests {
    let trusted = TransferPolicy(ca: server!.file("authority.pem"))
    var base: String { "https://localhost:\(server!.ports.h2)" }
    /// Connections as nghttpd numbers them in its log: "[id=3] …".
    func connections() -> Set<String> {
        Set(server!.log("nghttpd.log").compactMap { line in
            line.range(of: "[id=").flatMap { start in line[start.upperBound...].split(separator: "]").first.map(String.init) }
        })
    }

    @Test func parallelRequestsShareOneConnection() throws {
        let rig = try TransferRig(bufferCount: 256)
        let before = connections()
        for token in 1...10 { rig.start(base + "/small", token: UInt64(token), policy: trusted.pointer) }
        rig.run { (1...10).allSatisfy { rig.isEnded(UInt64($0)) } }
        for token in 1...10 {
            let answer = rig.answers[UInt64(token)]!
            #expect(answer.result == 0 && answer.version == 20 && answer.text == "small" && answer.status == 200, "\(answer.words)")
            #expect(answer.head.contains("content-length: 5\r\n"))
        }
        #expect(connections().subtracting(before).count == 1)
    }

    @Test func uploadAndDownloadAreWhole() throws {
        let rig = try TransferRig()
        let up = rig.fetch(base + "/echo", method: "POST", headers: ["Content-Type: application/json", "Connection: keep-alive"],
                           body: [pattern(1 << 20)], policy: trusted.pointer)
        #expect(up.result == 0 && up.version == 20 && up.body == pattern(1 << 20), "\(up.words)")
        let down = rig.fetch(base + "/big", policy: trusted.pointer)
        #expect(down.result == 0 && down.body == pattern(12 << 20))
        let old = TransferPolicy(ca: server!.file("authority.pem"), http1: true)
        #expect(rig.fetch(base + "/small", policy: old.pointer).version != 20)
    }

    @Test func pausedStreamHoldsAtMostTheWindowAndEndsWhole() throws {
        let rig = try TransferRig()
        let id = rig.start(base + "/big", token: 1, policy: trusted.pointer, window: 32768)
        #expect(claw_transfer_receive(rig.transfers, id, 0) == 0)
        rig.run { rig.answers[1]!.status == 200 }
        rig.run(milliseconds: 200)
        #expect(claw_buffers_in_use(rig.loop) <= 3 && rig.answers[1]!.body.isEmpty)
        #expect(claw_transfer_receive(rig.transfers, id, 1) == 0)
        rig.run { rig.isEnded(1) }
        #expect(rig.answers[1]!.result == 0 && rig.answers[1]!.body == pattern(12 << 20))
    }

    /// libcurl grants 32 MiB to each stream and keeps what came for a paused one while others go on: they
    /// are not held up, the sum is told, and nothing is lost when it goes on with hardly a buffer to spare.
    @Test func pausedStreamDoesNotHoldUpTheOthers() throws {
        let rig = try TransferRig(bufferCount: 3)
        let before = connections()
        let id = rig.start(base + "/big", token: 1, policy: trusted.pointer, window: 32768)
        #expect(claw_transfer_receive(rig.transfers, id, 0) == 0)
        rig.run { rig.answers[1]!.status == 200 }
        for token in 10..<40 {
            rig.start(base + "/small", token: UInt64(token), policy: trusted.pointer)
            rig.run { rig.isEnded(UInt64(token)) }
            #expect(rig.answers[UInt64(token)]!.text == "small")
        }
        #expect(connections().subtracting(before).count == 1)
        #expect(claw_buffers_in_use(rig.loop) <= 2)
        #expect(claw_transfer_held(rig.transfers, id) >= 16384 && claw_transfer_held(rig.transfers, id) <= 33 << 20)
        #expect(claw_transfer_receive(rig.transfers, id, 1) == 0)
        rig.run { rig.isEnded(1) }
        #expect(rig.answers[1]!.result == 0 && rig.answers[1]!.body == pattern(12 << 20))
        #expect(claw_buffers_in_use(rig.loop) == 0)
    }

    @Test func cancelResetsTheStreamAndKeepsTheConnection() throws {
        let rig = try TransferRig()
        rig.start(base + "/small", token: 9, policy: trusted.pointer)
        rig.run { rig.isEnded(9) }
        let before = connections()
        let id = rig.start(base + "/big", token: 1, policy: trusted.pointer, window: 16384)
        #expect(claw_transfer_receive(rig.transfers, id, 0) == 0)
        rig.run { claw_buffers_in_use(rig.loop) > 0 }
        #expect(claw_transfer_cancel(rig.transfers, id) == 0)
        #expect(claw_buffers_in_use(rig.loop) == 0)
        #expect(rig.fetch(base + "/small", policy: trusted.pointer, token: 2).text == "small")
        #expect(connections() == before)
    }
}
