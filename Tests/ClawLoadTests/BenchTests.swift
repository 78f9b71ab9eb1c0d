import ClawLoad
import Foundation
import Testing

/// The load generator against the mock, whose counts are exact.
@Suite(.serialized) struct BenchTests {
    private func options(_ mock: MockServer, _ change: (inout BenchOptions) -> Void) -> BenchOptions {
        var options = BenchOptions(url: "http://127.0.0.1:\(mock.port)")
        options.connections = 4
        options.durationNanoseconds = 300_000_000
        change(&options)
        return options
    }

    private func stats(_ mock: MockServer) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(mock.stats().utf8)) as? [String: Any])
    }

    @Test func countedAnswersAreThoseTheServerGave() throws {
        try withMock { (mock: MockServer) throws in
            let report = try BenchRun(options: options(mock) { $0.requests = 500 }).measure()
            #expect(report.answers == 500)
            #expect(report.errors == 0)
            let finished = try #require(stats(mock)["finished"] as? Int)
            // At the end each other connection may have one more under way.
            #expect((500 ... 504).contains(finished))
            #expect(report.latencyPercentile(50) > 1000)
            #expect(report.latencyPercentile(100) >= report.latencyPercentile(50))
        }
    }

    @Test(arguments: [1, 2]) func closedLoopKeepsAllConnectionsBusy(_ threads: Int) throws {
        try withMock(settings: [("delay-ms", "10")]) { (mock: MockServer) throws in
            let report = try BenchRun(options: options(mock) { $0.threads = threads }).measure()
            // Four connections, ten milliseconds each: at most 120 in 300 ms.
            #expect((20 ... 124).contains(report.answers))
            #expect(report.latencyPercentile(0) >= 10_000_000)
            #expect(report.errors == 0)
        }
    }

    @Test func streamsYieldTokensFirstTokenAndGaps() throws {
        try withMock(settings: [("tokens", "10"), ("ttft-ms", "20"), ("rate", "500")]) { (mock: MockServer) throws in
            let report = try BenchRun(options: options(mock) {
                $0.stream = true
                $0.requests = 20
            }).measure()
            #expect(report.answers == 20)
            #expect(report.errors == 0)
            #expect((200 ... 250).contains(report.tokens))
            #expect(report.firstTokenPercentile(0) >= 20_000_000)
            #expect(report.gapPercentile(100) > 500_000)
            #expect(report.latencyPercentile(0) >= 37_000_000)
        }
    }

    @Test(arguments: ["/v1/completions", "/v1/responses", "/v1/chat/completions"])
    func tokensOfEachDialectAreCounted(_ path: String) throws {
        try withMock(settings: [("tokens", "7")]) { (mock: MockServer) throws in
            let report = try BenchRun(options: options(mock) {
                $0.stream = true
                $0.requests = 5
                $0.connections = 1
                $0.path = path
            }).measure()
            #expect(report.answers == 5)
            #expect(report.tokens == 35)
            #expect(report.errors == 0)
        }
    }

    @Test func openLoopSendsAtItsRate() throws {
        try withMock { (mock: MockServer) throws in
            let report = try BenchRun(options: options(mock) {
                $0.rate = 1000
                $0.durationNanoseconds = 500_000_000
            }).measure()
            // On a busy machine the last ones due may find no time to be sent; they are said to be so.
            #expect((480 ... 501).contains(report.answers + report.errors("unsent")))
            #expect(report.errors == report.errors("unsent"))
        }
    }

    @Test func openLoopChargesAServerThatCannotKeepUp() throws {
        // One connection, 20 ms an answer: 50 a second. At 200 a second the queue grows by 15 ms a request.
        try withMock(settings: [("delay-ms", "20")]) { (mock: MockServer) throws in
            func slow(rate: Double) throws -> BenchReport {
                try BenchRun(options: options(mock) {
                    $0.connections = 1
                    $0.rate = rate
                    $0.durationNanoseconds = 400_000_000
                }).measure()
            }
            let closed = try slow(rate: 0), open = try slow(rate: 200)
            #expect(closed.latencyPercentile(50) < 100_000_000)
            #expect(open.latencyPercentile(90) > 150_000_000)
            #expect(open.errors("unsent") > 0)
        }
    }

    @Test func errorsAreCountedByClass() throws {
        func report(_ mock: MockServer, _ header: String, stream: Bool = false) throws -> BenchReport {
            try BenchRun(options: options(mock) {
                $0.headers = [header]
                $0.stream = stream
                $0.durationNanoseconds = 100_000_000
                $0.timeoutNanoseconds = 20_000_000
            }).measure()
        }
        try withMock { (mock: MockServer) throws in
            #expect(try report(mock, "x-mock-status: 429").errors("status_4xx") > 0)
            #expect(try report(mock, "x-mock-status: 500").errors("status_5xx") > 0)
            #expect(try report(mock, "x-mock-cut-after: 100").errors("closed") > 0)
            #expect(try report(mock, "x-mock-reset: head").errors("closed") > 0)
            #expect(try report(mock, "x-mock-garbage: chunk-size").errors("malformed") > 0)
            #expect(try report(mock, "x-mock-stall: 0").errors("timeout") > 0)
            #expect(try report(mock, "x-mock-no-done: true", stream: true).errors("stream_cut") > 0)
            #expect(try report(mock, "x-mock-error-after: 3", stream: true).errors("stream_error") > 0)
        }
    }

    @Test func closedConnectionsAreMadeAnew() throws {
        try withMock { (mock: MockServer) throws in
            let report = try BenchRun(options: options(mock) {
                $0.headers = ["x-mock-close: true"]
                $0.requests = 50
            }).measure()
            #expect(report.answers == 50)
            #expect(report.errors == 0)
        }
    }

    @Test func refusedConnectionsAreAnErrorNotAHang() throws {
        var options = BenchOptions(url: "http://127.0.0.1:1")
        options.durationNanoseconds = 50_000_000
        let report = try BenchRun(options: options).measure()
        #expect(report.answers == 0)
        #expect(report.errors("connect") > 0)
    }

    @Test func largeBodiesAreSentWhole() throws {
        try withMock { (mock: MockServer) throws in
            let report = try BenchRun(options: options(mock) {
                $0.bodyBytes = 3_000_000
                $0.requests = 8
            }).measure()
            #expect(report.answers == 8)
            let last = RawClient(port: mock.port)
            last.get("/mock/last?n=1")
            #expect(try #require(last.answer(to: .get)).text.contains("\"body_length\":3000000"))
        }
    }

    @Test func urlsThatAreNoneAreRefused() {
        for url in ["ftp://x", "http://", "http://host:0", "http://host:x", "nonsense", "http://u@h"] {
            #expect(throws: LoadError.self, "\(url)") { try BenchRun(options: BenchOptions(url: url)) }
        }
    }

    @Test func reportIsValidJSON() throws {
        try withMock { (mock: MockServer) throws in
            let report = try BenchRun(options: options(mock) { $0.requests = 10 }).measure()
            let object = try JSONSerialization.jsonObject(with: Data(report.json().utf8)) as? [String: Any]
            #expect(object?["answers"] as? Int == 10)
            #expect((object?["latency_ns"] as? [String: Any])?["p99"] is Int)
            #expect(report.text().contains("10 answers"))
        }
    }
}
