import Testing
@testable import ClawWire

/// The request suites: every case whole, byte by byte and cut at each position.
@Suite(.enabled(if: SharedSuites.arePresent, "shared suites not found: set OPENCLAW_SHARED"))
struct RequestSuiteTests {
    @Test func llhttpRequestsAreJudgedAsTheStrictTableSays() throws {
        let cases = try SharedSuites.cases("http1-llhttp/requests.json")
        #expect(cases.count == 179)
        for entry in cases {
            let id = entry["id"] as! String
            let strict = entry["strict"] as! [String: Any]
            check(bytes(base64: entry["bytes"]), strict, id)
            if entry["bytes_with_host"] != nil {
                check(bytes(base64: entry["bytes_with_host"]), strict, id + " with host", isHostGiven: true)
            }
        }
    }

    @Test func H1_06_H1_07_smugglingMutationsAreRefusedOrFramedOnce() throws {
        let cases = try SharedSuites.cases("http1-smuggling/default.json")
        #expect(cases.count == 154)
        for entry in cases {
            for form in ["cl_te", "te_cl"] {
                let probe = entry[form] as! [String: Any]
                check(bytes(base64: probe["bytes"]), probe["strict"] as! [String: Any], "\(entry["name"]!) \(form)")
            }
        }
    }

    @Test func targetsAloneAreJudgedAsTheStrictTableSays() throws {
        let cases = try SharedSuites.cases("http1-llhttp/targets.json")
        #expect(cases.count == 21)
        for entry in cases {
            let strict = entry["strict"] as! [String: Any]
            let stream = Array("GET ".utf8) + bytes(base64: entry["target"]) + Array(" HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
            let outcome = RequestLoop.run(stream, cuts: [])
            if strict["verdict"] as! String == "accept" {
                #expect(outcome.end == .accept && outcome.messages.count == 1, "\(entry["text"]!): \(outcome.end)")
            } else if case .reject(let refusal) = outcome.end {
                #expect((strict["status"] as! [Int]).contains(Int(refusal.status)), "\(entry["text"]!)")
            } else {
                Issue.record("\(entry["text"]!): \(outcome.end)")
            }
            for cut in 0...stream.count { same(RequestLoop.run(stream, cuts: [cut]), outcome, "\(entry["text"]!) cut at \(cut)") }
        }
    }

    private func check(_ stream: [UInt8], _ strict: [String: Any], _ id: String, isHostGiven: Bool = false) {
        let outcome = RequestLoop.run(stream, cuts: [])
        let verdict = strict["verdict"] as! String
        switch outcome.end {
        case .accept: #expect(verdict == "accept", "\(id)")
        case .incomplete: #expect(verdict == "incomplete", "\(id)")
        case .reject(let refusal):
            #expect(verdict == "reject", "\(id): \(refusal)")
            if let status = strict["status"] as? [Int] { #expect(status.contains(Int(refusal.status)), "\(id): \(refusal)") }
        }
        if let ignored = strict["ignored_bytes"] as? Int, !isHostGiven { #expect(outcome.ignoredBytes == ignored, "\(id)") }
        #expect(outcome.inBody == (strict["unfinished"] != nil || strict["refused_in_body"] != nil), "\(id)")
        let expected = strict["messages"] as! [[String: Any]]
        #expect(outcome.messages.count == expected.count, "\(id)")
        for (message, wanted) in zip(outcome.messages, expected) {
            #expect(message.method == wanted["method"] as! String, "\(id)")
            #expect(message.target == wanted["target"] as! String, "\(id)")
            #expect(message.version == wanted["version"] as! String, "\(id)")
            #expect(message.framing == wanted["framing"] as! String, "\(id)")
            #expect(message.body == bytes(base64: wanted["body"]), "\(id)")
            #expect(message.then == wanted["then"] as! String, "\(id)")
            let trailers = (wanted["trailers"] as? [[String]] ?? []).map { "\($0[0]): \($0[1])\r\n" }.joined()
            #expect(message.trailers == Array(trailers.utf8), "\(id)")
            switch wanted["answer"] as! String {
            case "501": #expect(message.knownMethod == .other, "\(id)")
            case "405": #expect(message.knownMethod == .connect, "\(id)")
            default: #expect(message.knownMethod != .other && message.knownMethod != .connect, "\(id)")
            }
            if isHostGiven || wanted["host"] as! String != "missing" {
                #expect(message.hostProblem == .none, "\(id)")
            } else {
                #expect(message.hostProblem == .missing, "\(id)")
            }
        }
        same(RequestLoop.run(stream, cuts: 0..<stream.count), outcome, "\(id) byte by byte")
        for cut in 0...stream.count { same(RequestLoop.run(stream, cuts: [cut]), outcome, "\(id) cut at \(cut)") }
    }
}

/// The same result in every part that is told.
func same(_ outcome: RequestLoop, _ whole: RequestLoop, _ what: @autoclosure () -> String) {
    if outcome.messages != whole.messages || outcome.end != whole.end || outcome.inBody != whole.inBody || outcome.ignoredBytes != whole.ignoredBytes {
        Issue.record("\(what()): \(outcome.end) after \(outcome.messages.count) messages, whole \(whole.end) after \(whole.messages.count)")
    }
}
