import ClawLoad
import Foundation
import Testing

/// Recorded exchanges come back byte for byte, whatever they are.
struct MockReplayTests {
    private final class Folder {
        let path: String
        init() {
            path = NSTemporaryDirectory() + "openclaw-replay-" + UUID().uuidString
            try? FileManager.default.createDirectory(atPath: path + "/deeper", withIntermediateDirectories: true)
        }
        deinit { try? FileManager.default.removeItem(atPath: path) }

        func write(_ name: String, _ text: String) throws { try text.write(toFile: path + "/" + name, atomically: true, encoding: .utf8) }

        /// A file of one recording, written by Foundation.
        func record(
            _ id: String, _ path: String, method: String = "POST", query: [[String]] = [], request: String = "{}", status: Int = 200,
            headers: [[String]] = [["content-type", "application/json"]], body: [String: String], at name: String? = nil
        ) throws {
            let file: [String: Any] = [
                "format": "openclaw-recording/1", "id": id, "tags": ["x"],
                "request": ["method": method, "path": path, "query": query, "headers": [], "body": ["encoding": "utf8", "text": request]],
                "response": ["status": status, "headers": headers, "body": body],
            ]
            let data = try JSONSerialization.data(withJSONObject: file, options: [.prettyPrinted])
            try data.write(to: URL(fileURLWithPath: self.path + "/" + (name ?? id.replacingOccurrences(of: "/", with: "-") + ".json")))
        }
    }

    private static let events = "data: {\"a\":\"é 日本\"}\n\nevent: x\ndata: 2\n\ndata: [DONE]\n\n"
    private static let frames: [UInt8] = [0, 0, 0, 16, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 17, 0, 0, 0, 0, 9, 9, 9, 9, 0xff, 1, 2, 3, 4]

    private func folder() throws -> Folder {
        let folder = Folder()
        try folder.record(
            "b/plain", "/v1/chat/completions",
            headers: [
                ["content-type", "application/json; charset=x"], ["x-odd", "a \"b\" é"], ["set-cookie", "one"], ["set-cookie", "two"], ["content-length", "9999"],
                ["transfer-encoding", "chunked"], ["content-encoding", "gzip"], ["connection", "close"],
            ],
            body: ["encoding": "utf8", "text": "{\"plain\":\"\u{1}\\n\u{1F600} \\\"\"}"], at: "deeper/plain.json")
        try folder.record("a/error", "/v1/chat/completions", status: 429, body: ["encoding": "utf8", "text": "{\"error\":1}"])
        try folder.record(
            "c/stream", "/v1/chat/completions", request: "{\"stream\":true}", headers: [["Content-Type", "text/event-stream"]],
            body: ["encoding": "utf8", "text": Self.events])
        try folder.record(
            "d/frames", "/model/m%3A0/converse-stream", headers: [["content-type", "application/vnd.amazon.eventstream"]],
            body: ["encoding": "base64", "base64": Data(Self.frames).base64EncodedString()])
        try folder.record("e/none", "/v1/thing", method: "DELETE", status: 204, headers: [], body: ["encoding": "none"])
        try folder.record(
            "f/lines", "/api/chat", request: "{\"model\":\"m\"}", headers: [], body: ["encoding": "utf8", "text": "{\"a\":1}\n{\"b\":2}\n{\"c\":3}"])
        try folder.record(
            "g/sse", "/v1beta/models/g:streamGenerateContent", query: [["alt", "sse"]], headers: [["content-type", "text/event-stream"]],
            body: ["encoding": "utf8", "text": "data: 1\r\n\r\ndata: 2\r\n\r\n"])
        try folder.record(
            "h/array", "/v1beta/models/g:streamGenerateContent", headers: [["content-type", "application/json; charset=UTF-8"]],
            body: ["encoding": "utf8", "text": "[{}\n,\n{}]"])
        try folder.record("i/base64", "/v1/models", method: "GET", body: ["encoding": "base64", "base64": Data([0, 255, 10]).base64EncodedString()])
        try folder.write("other.json", "{\"format\":\"something/2\"}")
        try folder.write("notes.txt", "no JSON at all")
        return folder
    }

    private func withReplay(recording: String? = nil, settings: [(String, String)] = [], _ test: (MockServer) throws -> Void) throws {
        let folder = try folder()
        var options = MockOptions()
        options.backend = 1
        options.recordings = try MockRecordings(folder: folder.path)
        options.recording = recording
        for (name, value) in settings { precondition(options.script.set(name, value), "no such setting: \(name)=\(value)") }
        #expect(options.recordings?.skipped == 1)
        let server = try MockServer(options: options)
        try server.start()
        defer { server.stop() }
        try test(server)
    }

    private func ask(_ mock: MockServer, _ recording: String?, _ path: String = "/v1/chat/completions", body: String = "{}", headers: [String] = []) throws -> Answer {
        let client = RawClient(port: mock.port)
        client.post(path, body, headers: (recording.map { ["x-mock-recording: \($0)"] } ?? []) + headers)
        return try #require(client.answer())
    }

    @Test func headerPicksARecordingOnAnyPath() throws {
        try withReplay { (mock: MockServer) throws in
            let answer = try ask(mock, "b/plain", "/anything/at/all")
            #expect(answer.status == 200)
            #expect(answer.text == "{\"plain\":\"\u{1}\\n\u{1F600} \\\"\"}")
            #expect(answer.header("content-type") == "application/json; charset=x")
            #expect(answer.header("x-odd") == "a \"b\" é")
            #expect(answer.headers.filter { $0.name == "set-cookie" }.map(\.value) == ["one", "two"])
            #expect(answer.header("content-length") == "\(answer.body.count)")
            for name in ["transfer-encoding", "content-encoding", "connection", "x-request-id", "openai-version"] { #expect(answer.header(name) == nil) }
            #expect(try ask(mock, "a/error", "/v2/chat").status == 429)
            #expect(try ask(mock, "a/error", "/v2/chat").text == "{\"error\":1}")
        }
    }

    @Test func withoutAHeaderTheFirstOfThePathAndFormAnswers() throws {
        try withReplay { (mock: MockServer) throws in
            #expect(try ask(mock, nil).text == "{\"error\":1}") // a/error is before b/plain
            #expect(try ask(mock, nil, body: "{\"stream\":true}").text == Self.events)
            #expect(try ask(mock, nil, "/api/chat", body: "{}").text.hasPrefix("{\"a\":1}\n"))
            // Nothing recorded of this form, or of this path: the mock's own answer.
            #expect(try object(try ask(mock, nil, "/api/chat", body: "{\"stream\":false}").body)["done"] as? Bool == true)
            #expect(try ask(mock, nil, "/v1/completions").text.contains("text_completion"))
            #expect(try ask(mock, nil, "/v1beta/models/g:streamGenerateContent?x=1&alt=sse").text.hasPrefix("data: 1\r\n"))
            #expect(try ask(mock, nil, "/v1beta/models/g:streamGenerateContent").text == "[{}\n,\n{}]")
            // Percent-encoding does not tell paths apart.
            #expect(try ask(mock, nil, "/model/m:0/converse-stream").body == Self.frames)
            #expect(try ask(mock, nil, "/model/m%3a0/converse-stream").body == Self.frames)
            #expect(try ask(mock, nil, "/model/m%3A1/converse-stream").body != Self.frames)
            let client = RawClient(port: mock.port)
            client.get("/v1/models")
            #expect(client.answer(to: .get)?.body == [0, 255, 10])
        }
    }

    @Test func everyKindOfBodyComesWhole() throws {
        try withReplay { (mock: MockServer) throws in
            for (id, bytes) in [
                ("c/stream", Array(Self.events.utf8)), ("d/frames", Self.frames), ("f/lines", Array("{\"a\":1}\n{\"b\":2}\n{\"c\":3}".utf8)),
                ("g/sse", Array("data: 1\r\n\r\ndata: 2\r\n\r\n".utf8)), ("h/array", Array("[{}\n,\n{}]".utf8)), ("i/base64", [0, 255, 10]),
            ] {
                for headers in [[], ["x-mock-piece-bytes: 1"], ["x-mock-piece-bytes: 3"], ["x-mock-framing: content-length"], ["x-mock-split: 5"]] {
                    let answer = try ask(mock, id, headers: headers)
                    #expect(answer.status == 200)
                    #expect(answer.body == bytes, "\(id) \(headers)")
                }
            }
            let client = RawClient(port: mock.port)
            client.send("DELETE /v1/thing HTTP/1.1\r\nHost: m\r\n\r\nGET /mock/recordings HTTP/1.1\r\nHost: m\r\n\r\n")
            let answer = try #require(client.answer())
            #expect(answer.status == 204)
            #expect(answer.header("content-length") == nil && answer.body.isEmpty)
            #expect(client.answer(to: .get)?.status == 200)
        }
    }

    @Test(arguments: [
        ("c/stream", "", ["19", "12", "e"]), ("f/lines", "", ["8", "8", "7"]), ("d/frames", "", ["10", "11"]), ("g/sse", "", ["b", "b"]),
        ("h/array", "", ["9"]), ("c/stream", "x-mock-piece-bytes: 50\r\n", ["32", "7"]), ("b/plain", "x-mock-piece-bytes: 20\r\n", ["14", "2"]),
    ])
    func streamsComeInChunksOfAnEventOrOfTheSizeAsked(_ id: String, _ header: String, _ sizes: [String]) throws {
        try withReplay { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.send("POST /x HTTP/1.1\r\nHost: m\r\nConnection: close\r\nx-mock-recording: \(id)\r\n\(header)Content-Length: 0\r\n\r\n")
            let bytes = client.readAll().bytes
            var at = try #require((0 ..< bytes.count - 3).first { Array(bytes[$0 ..< $0 + 4]) == [13, 10, 13, 10] }) + 4
            var found: [String] = []
            while at < bytes.count {
                let line = bytes[at...].prefix { $0 != 13 }
                let size = String(decoding: line, as: UTF8.self)
                let length = try #require(Int(size, radix: 16))
                if length == 0 { break }
                found.append(size)
                at += line.count + 2 + length + 2
            }
            #expect(found == sizes)
        }
    }

    @Test func faultsAndPaceWorkOnRecordings() throws {
        try withReplay { (mock: MockServer) throws in
            let failed = try ask(mock, "c/stream", headers: ["x-mock-error-after: 1"])
            #expect(failed.events().count == 2)
            #expect(failed.events()[1].data.hasPrefix("{\"error\":"))
            #expect(try ask(mock, "c/stream", headers: ["x-mock-status: 500"]).status == 500)
            let client = RawClient(port: mock.port)
            client.post("/x", "{}", headers: ["x-mock-recording: c/stream", "x-mock-reset: events:2"])
            #expect(client.readAll().isReset)
            let began = ContinuousClock.now
            #expect(try ask(mock, "c/stream", headers: ["x-mock-rate: 100", "x-mock-ttft-ms: 20"]).text == Self.events)
            #expect(ContinuousClock.now - began >= .milliseconds(39))
            #expect(try ask(mock, "b/plain", headers: ["x-mock-content-type: text/plain"]).header("content-type") == "text/plain")
            let stats = try object(Array(mock.stats().utf8))
            #expect(stats["in_flight"] as? Int == 0)
            #expect((stats["streams"] as? [String: Int])?["started"] == 4 - 1)
        }
    }

    @Test func recordingsAreListedAndUnknownOnesNotFound() throws {
        try withReplay { (mock: MockServer) throws in
            let client = RawClient(port: mock.port)
            client.get("/mock/recordings")
            let list = try object(try #require(client.answer(to: .get)).body)["recordings"] as? [String]
            #expect(list == ["a/error", "b/plain", "c/stream", "d/frames", "e/none", "f/lines", "g/sse", "h/array", "i/base64"])
            for path in ["/v1/chat/completions", "/v2/chat", "/nowhere"] {
                let answer = try ask(mock, "no/such", path)
                #expect(answer.status == 404)
                #expect(answer.header("content-type") == "application/json")
                #expect((try object(answer.body)["error"] as? String)?.contains("recording") == true)
            }
            // The next request on the connection is its own.
            client.post("/v1/completions", "{}", headers: ["x-mock-recording: no/such"])
            #expect(client.answer()?.status == 404)
            client.post("/v1/completions", "{}")
            #expect(client.answer()?.status == 200)
            client.send("GET / HTTP/1.1\r\nbad line\r\n\r\n")
            #expect(client.answer(to: .get)?.status == 400)
        }
        try withMock { (mock: MockServer) throws in #expect(try ask(mock, "a/error").status == 404) }
    }

    @Test func defaultRecordingAnswersWhatNamesNone() throws {
        try withReplay(recording: "b/plain", settings: [("piece-bytes", "4")]) { (mock: MockServer) throws in
            #expect(try ask(mock, nil, "/v2/chat").text.hasPrefix("{\"plain\""))
            #expect(try ask(mock, nil, "/v2/chat").header("transfer-encoding") == "chunked")
            #expect(try ask(mock, "a/error", "/v2/chat").status == 429)
            let client = RawClient(port: mock.port)
            client.get("/mock/stats")
            #expect(client.answer(to: .get)?.text.hasPrefix("{\"backend\"") == true)
        }
        var options = MockOptions()
        let folder = try folder()
        options.recordings = try MockRecordings(folder: folder.path)
        options.recording = "no/such"
        #expect(throws: LoadError.self) { try MockServer(options: options) }
    }

    @Test func echoStillTellsWhatCameWhereNothingIsRecorded() throws {
        try withReplay { (mock: MockServer) throws in
            let answer = try object(try ask(mock, nil, "/echo", body: "abc").body)
            #expect(answer["body_length"] as? Int == 3)
        }
    }

    @Test func badFoldersAndFilesAreNamed() throws {
        func failure(_ fill: (Folder) throws -> Void) throws -> ReplayFailure {
            let folder = Folder()
            try fill(folder)
            var found: ReplayFailure?
            do { _ = try MockRecordings(folder: folder.path) } catch { found = error }
            return try #require(found)
        }
        do {
            _ = try MockRecordings(folder: "/no/such/folder")
            Issue.record("a folder that is none")
        } catch {
            #expect(error.kind == .noInput)
            #expect(error.description == "/no/such/folder: cannot be read as a folder: No such file or directory")
        }
        let empty = try failure { _ in }
        #expect(empty.kind == .noInput)
        let foreign = try failure { try $0.write("x.json", "{\"format\":\"y\"}") }
        #expect(foreign.kind == .noInput)
        let usual = #"{"format":"openclaw-recording/1","id":"a","request":{"method":"POST","path":"/x"},"response":{"status":200,"headers":[["a","b"]],"body":{"encoding":"utf8","text":"x"}}}"#
        let folder = Folder()
        try folder.write("x.json", usual)
        #expect(try MockRecordings(folder: folder.path).ids == ["a"])
        for (from, to, word) in [
            (#"{"format""#, #"["format""#, "not JSON"), (#""id":"a""#, #""id":5"#, "id: expected a string"), (#""id":"a""#, #""id":"a b""#, "id: expected"),
            (#""path":"/x""#, #""path":"x""#, "request.path"), (#""method":"POST","#, "", "request.method"), ("200", "99", "response.status: expected 200…599"),
            ("200", "\"200\"", "response.status"), (#"["a","b"]"#, #"["a"]"#, "response.headers"), (#"["a","b"]"#, #"["a b","b"]"#, "response.headers"),
            (#"["a","b"]"#, #"["a","b\r\nc: d"]"#, "response.headers"), ("utf8", "latin1", "response.body.encoding"), (#""text":"x""#, #""texts":"x""#, "response.body.text"),
            (#""encoding":"utf8","text":"x""#, #""encoding":"base64","base64":"abc""#, "response.body.base64: expected base64"),
            (#""encoding":"utf8","text":"x""#, #""encoding":"base64","base64":"=abc""#, "response.body.base64"),
            (#""encoding":"utf8","text":"x""#, #""encoding":"base64","base64":"ab=c""#, "response.body.base64"),
        ] {
            #expect(usual.contains(from))
            let found = try failure { try $0.write("x.json", usual.replacingOccurrences(of: from, with: to)) }
            #expect(found.kind == .badData)
            #expect(found.description.contains("/x.json: ") && found.description.contains(word), "\(found)")
        }
        let twice = try failure {
            try $0.write("x.json", usual)
            try $0.write("deeper/y.json", usual)
        }
        #expect(twice.description.hasSuffix("two recordings have the id a"))
    }

    @Test func sharedRecordingsAreServedAsTheyAre() throws {
        let folder = ProcessInfo.processInfo.environment["OPENCLAW_SHARED"].map { $0 + "/recordings" } ?? "../shared/recordings"
        guard FileManager.default.fileExists(atPath: folder + "/INDEX.tsv") else {
            print("skipped: no recordings at \(folder)")
            return
        }
        var options = MockOptions()
        options.backend = 1
        let recordings = try MockRecordings(folder: folder)
        options.recordings = recordings
        let server = try MockServer(options: options)
        try server.start()
        defer { server.stop() }
        let client = RawClient(port: server.port)
        for id in recordings.ids {
            let file = try object(Array(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(id).json"))))
            let response = try #require(file["response"] as? [String: Any])
            let body = try #require(response["body"] as? [String: Any])
            let bytes = (body["text"] as? String).map { Array($0.utf8) } ?? Array(Data(base64Encoded: body["base64"] as? String ?? "") ?? Data())
            for header in ["x-a: b", "x-mock-piece-bytes: 61"] {
                client.post("/x", "{}", headers: ["x-mock-recording: \(id)", header])
                let answer = try #require(client.answer())
                #expect(answer.status == response["status"] as? Int)
                #expect(answer.body == bytes, "\(id)")
            }
        }
    }
}
