import ClawLoad
import Foundation
import Testing

/// The mock's figures are exact: each request is in one of finished, aborted, broken or in flight.
struct MockCountTests {
    private func stats(_ mock: MockServer) throws -> [String: Any] {
        let client = RawClient(port: mock.port)
        client.get("/mock/stats")
        let object = try JSONSerialization.jsonObject(with: Data(try #require(client.answer(to: .get)).body))
        return try #require(object as? [String: Any])
    }

    private func figure(_ stats: [String: Any], _ path: String...) -> Int {
        var value: Any? = stats
        for name in path { value = (value as? [String: Any])?[name] }
        return value as? Int ?? 0
    }

    /// Asks until it is so, or twenty seconds have passed.
    private func eventually(_ mock: MockServer, _ condition: ([String: Any]) -> Bool) throws -> [String: Any] {
        for _ in 0 ..< 2000 {
            let now = try stats(mock)
            if condition(now) { return now }
            usleep(10_000)
        }
        return try stats(mock)
    }

    @Test(arguments: [1, 2]) func everyRequestIsCountedOnce(_ threads: Int) throws {
        try withMock(threads: threads) { (mock: MockServer) throws in
            var received = 0, sent = 0
            for _ in 0 ..< 4 {
                let client = RawClient(port: mock.port)
                for number in 0 ..< 25 {
                    let body = chat(stream: number % 5 == 0)
                    let request = "POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nx-mock-tokens: 10\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
                    sent += request.utf8.count
                    client.send(request)
                    let answer = try #require(client.answer())
                    #expect(answer.status == 200)
                    received += 1
                }
                client.post("/v1/chat/completions", chat(), headers: ["x-mock-status: 503"])
                #expect(client.answer()?.status == 503)
            }
            let stats = try stats(mock)
            #expect(figure(stats, "requests") == 104)
            #expect(figure(stats, "finished") == 104)
            #expect(figure(stats, "in_flight") == 0)
            #expect(figure(stats, "by_path", "/v1/chat/completions") == 104)
            #expect(figure(stats, "by_status", "200") == received)
            #expect(figure(stats, "by_status", "503") == 4)
            #expect(figure(stats, "streams", "started") == 20)
            #expect(figure(stats, "streams", "finished") == 20)
            #expect(figure(stats, "tokens_sent") == 1000)
            #expect(figure(stats, "bytes_in") > sent)
            #expect(figure(stats, "connections", "accepted") == 5)
        }
    }

    @Test func clientThatLeavesMidStreamIsSeenWithItsTokens() throws {
        try withMock { (mock: MockServer) throws in
            for _ in 0 ..< 3 {
                let client = RawClient(port: mock.port)
                client.post("/v1/chat/completions", chat(stream: true), headers: ["x-mock-stall: 4"])
                _ = client.read()
            }
            let stats = try eventually(mock) { figure($0, "streams", "aborted") == 3 }
            #expect(figure(stats, "streams", "aborted") == 3)
            #expect(figure(stats, "aborted") == 3)
            #expect(figure(stats, "in_flight") == 0)
            let departures = try #require(stats["client_disconnects"] as? [[String: Any]])
            #expect(departures.count == 3)
            #expect(departures.allSatisfy { $0["tokens_sent"] as? Int == 3 })
        }
    }

    @Test func brokenAnswersAndUnfinishedRequestsAreToldApart() throws {
        try withMock { (mock: MockServer) throws in
            let cut = RawClient(port: mock.port)
            cut.post("/v1/chat/completions", chat(stream: true), headers: ["x-mock-reset: events:2"])
            _ = cut.readAll()
            do {
                let half = RawClient(port: mock.port)
                half.send("POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nContent-Length: 100\r\n\r\nhalf")
            }
            let stats = try eventually(mock) { figure($0, "aborted") == 1 }
            #expect(figure(stats, "requests") == 2)
            #expect(figure(stats, "broken") == 1)
            #expect(figure(stats, "streams", "broken") == 1)
            #expect(figure(stats, "aborted") == 1)
        }
    }

    @Test func resetBeginsAnewAndStatsDoNotCountThemselves() throws {
        try withMock { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.post("/v1/chat/completions", chat())
            _ = client.answer()
            client.post("/mock/reset", "")
            #expect(client.answer()?.text == "{\"reset\":true}")
            let first = try stats(mock)
            #expect(figure(first, "requests") == 0)
            #expect(figure(first, "tokens_sent") == 0)
            #expect(figure(first, "connections", "open") == 2)
            client.get("/mock/last")
            #expect(client.answer(to: .get)?.text == "{\"requests\":[]}")
        }
    }

    @Test func lastRequestsShowHeadAuthAndBody() throws {
        try withMock(threads: 2) { (mock: MockServer) throws in
            for number in 0 ..< 70 {
                let client = RawClient(port: mock.port)
                client.post("/echo/\(number)", "body \(number)", headers: ["Authorization: Bearer sk-\(number)"])
                _ = client.answer()
            }
            let client = RawClient(port: mock.port)
            client.get("/mock/last?n=2")
            let object = try JSONSerialization.jsonObject(with: Data(try #require(client.answer(to: .get)).body)) as? [String: Any]
            let requests = try #require(object?["requests"] as? [[String: Any]])
            #expect(requests.count == 2)
            #expect(requests[1]["request_line"] as? String == "POST /echo/69 HTTP/1.1")
            #expect(requests[1]["auth"] as? String == "Bearer sk-69")
            #expect(requests[1]["body_whole"] as? Bool == true)
            let body = Data(base64Encoded: requests[1]["body_base64"] as? String ?? "") ?? Data()
            #expect(String(decoding: body, as: UTF8.self) == "body 69")
            let head = Data(base64Encoded: requests[1]["head_base64"] as? String ?? "") ?? Data()
            #expect(String(decoding: head, as: UTF8.self).hasSuffix("Authorization: Bearer sk-69\r\n\r\n"))
        }
    }

    @Test func takenPortIsNamed() throws {
        try withMock { (mock: MockServer) throws in
            let holder = mock.port
            var options = MockOptions()
            options.address = "999.1.1.1"
            #expect(throws: LoadError.self) { try MockServer(options: options) }
            options.address = "127.0.0.1"
            options.port = holder
            // SO_REUSEPORT lets two mocks share a port on purpose; a listener without it does not.
            let plain = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(plain) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = bind(plain, $0, length)
                    _ = listen(plain, 1)
                    _ = getsockname(plain, $0, &length)
                }
            }
            options.port = UInt16(bigEndian: address.sin_port)
            do {
                _ = try MockServer(options: options)
                Issue.record("two listeners on one port")
            } catch {
                #expect("\(error)".contains(":\(options.port)"))
            }
        }
    }
}
