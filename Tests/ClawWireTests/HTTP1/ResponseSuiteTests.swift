import Testing
@testable import ClawWire

@Suite(.enabled(if: SharedSuites.arePresent, "shared suites not found: set OPENCLAW_SHARED"))
struct ResponseSuiteTests {
    @Test func llhttpResponsesAreJudgedAsTheStrictTableSays() throws {
        let cases = try SharedSuites.cases("http1-llhttp/responses.json")
        #expect(cases.count == 86)
        for entry in cases {
            let id = entry["id"] as! String
            let strict = entry["strict"] as! [String: Any]
            let stream = bytes(base64: entry["bytes"])
            let method: HTTPMethod = entry["request_method"] as? String == "HEAD" ? .head : .get
            let outcome = ResponseLoop.run(stream, method: method, cuts: [])
            let verdict = strict["verdict"] as! String
            switch outcome.end {
            case .accept: #expect(verdict == "accept", "\(id)")
            case .incomplete: #expect(verdict == "incomplete", "\(id)")
            case .reject(let refusal):
                #expect(verdict == "reject", "\(id): \(refusal)")
                #expect(refusal.status == 502, "\(id)")
            }
            #expect(outcome.interim == strict["interim"] as? [Int] ?? [], "\(id)")
            if let wanted = strict["response"] as? [String: Any] {
                #expect(outcome.status == wanted["status"] as! Int, "\(id)")
                #expect(outcome.framing == wanted["framing"] as! String, "\(id)")
                #expect(outcome.body == bytes(base64: wanted["body"]), "\(id)")
                #expect(outcome.surplusBytes == wanted["surplus_bytes"] as! Int, "\(id)")
                #expect(outcome.reuse == wanted["reuse"] as! Bool, "\(id)")
            }
            let byBytes = ResponseLoop.run(stream, method: method, cuts: 0..<stream.count)
            #expect(byBytes == outcome, "\(id) byte by byte")
            for cut in 0...stream.count where ResponseLoop.run(stream, method: method, cuts: [cut]) != outcome {
                Issue.record("\(id) cut at \(cut)")
            }
        }
    }
}
