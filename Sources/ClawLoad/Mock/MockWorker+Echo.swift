// What the mock tells about itself and about what it received: the echo of any unknown path, the model lists, GET /mock/stats,
// GET /mock/last?n=, GET /mock/recordings, POST /mock/set?name=value&… (settings for all requests from now on; without a query those it was started with)
// and POST /mock/reset.
import CClaw
import ClawWire

/// What a request under /mock/ wants; kept in the connection's `argument` with the number asked for.
private enum AdminPage: UInt64 { case unknown, stats, last, reset, recordings, set, wrongSetting }

extension MockWorker {
    /// Begins the echo's JSON from the head, while its bytes are there.
    /// - Parameter nameStart: where the name of the model asked for begins in the path; 0 for an echo proper.
    func beginEcho(_ connection: UnsafeMutablePointer<MockConnection>, _ bytes: UnsafePointer<UInt8>, _ nameStart: Int) {
        connection.pointee.dropEcho()
        var json = OutputBytes(capacity: 1024)
        func span(_ offset: Int, _ length: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes + offset, count: length) }
        json.append("{\"method\":\"")
        json.append(jsonEscaped: span(head.methodOffset, head.methodLength))
        json.append("\",\"path\":\"")
        json.append(jsonEscaped: span(head.pathOffset, head.pathLength))
        json.append(head.hasQuery ? "\",\"query\":\"" : "\",\"query\":")
        if head.hasQuery {
            json.append(jsonEscaped: span(head.queryOffset, head.queryLength))
            json.append("\"")
        } else {
            json.append("null")
        }
        json.append(",\"headers\":[")
        for place in 0 ..< head.fieldCount {
            let field = head.fields[place]
            json.append(place == 0 ? "[\"" : ",[\"")
            json.append(jsonEscaped: span(Int(field.nameOffset), Int(field.nameLength)))
            json.append("\",\"")
            json.append(jsonEscaped: span(Int(field.valueOffset), Int(field.valueLength)))
            json.append("\"]")
        }
        json.append("]")
        if nameStart > 0 {
            json.count = 0
            json.append(jsonEscaped: span(head.pathOffset + nameStart, max(0, head.pathLength - nameStart)))
        }
        let echo = UnsafeMutablePointer<MockEcho>.allocate(capacity: 1)
        echo.initialize(to: MockEcho(json: json))
        connection.pointee.echo = echo
    }

    func writeEcho(_ connection: UnsafeMutablePointer<MockConnection>) {
        guard let echo = connection.pointee.echo else { return }
        body.append(echo.pointee.json.bytes)
        body.append(",\"body_length\":")
        body.append(decimal: echo.pointee.length)
        body.append(",\"body_sha256\":\"")
        let digest = echo.pointee.digest.finish()
        for place in 0 ..< 8 { body.append(hex: UInt64(digest[place]), digits: 8) }
        body.append("\"}")
        connection.pointee.dropEcho()
    }

    func answerModels(_ connection: UnsafeMutablePointer<MockConnection>) {
        body.count = 0
        if connection.pointee.endpoint == .ollamaTags {
            guard !connection.pointee.isPost else {
                answerError(connection, 405)
                return
            }
            writeTags()
        } else if let echo = connection.pointee.echo {
            let asked = String(decoding: echo.pointee.json.bytes, as: UTF8.self)
            connection.pointee.dropEcho()
            guard server.options.models.contains(asked) else {
                answerError(connection, 404)
                return
            }
            writeModelObject(asked)
        } else {
            body.append("{\"object\":\"list\",\"data\":[")
            for (place, model) in server.options.models.enumerated() {
                if place > 0 { body.append(",") }
                writeModelObject(model)
            }
            body.append("]}")
        }
        sendBody(connection, status: 200, type: Self.plainType(connection.pointee.dialect))
    }

    /// The models as Ollama lists them.
    private func writeTags() {
        body.append("{\"models\":[")
        for (place, model) in server.options.models.enumerated() {
            body.append(place == 0 ? "{\"name\":\"" : ",{\"name\":\"")
            writeEscaped(model)
            body.append("\",\"model\":\"")
            writeEscaped(model)
            body.append("\",\"modified_at\":\"2026-05-01T12:00:00.000000000Z\",\"size\":4683087332,\"digest\":\"")
            body.append(hex: splitMix(UInt64(place)), digits: 16)
            body.append("\",\"details\":{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"mock\",\"families\":[\"mock\"],\"parameter_size\":\"7.6B\",\"quantization_level\":\"Q4_K_M\"}}")
        }
        body.append("]}")
    }

    private func writeEscaped(_ text: String) {
        var text = text
        text.withUTF8 { body.append(jsonEscaped: UnsafeRawBufferPointer($0)) }
    }

    private func writeModelObject(_ model: String) {
        body.append("{\"id\":\"")
        writeEscaped(model)
        body.append("\",\"object\":\"model\",\"created\":1715367049,\"owned_by\":\"mock\"}")
    }

    // ---- /mock/… ----

    func onAdminHead(_ connection: UnsafeMutablePointer<MockConnection>, _ bytes: UnsafePointer<UInt8>, _ path: UnsafeBufferPointer<UInt8>) {
        var page = AdminPage.unknown
        var number: UInt64 = UInt64(MockTally.ring)
        if Self.equals(path, "/mock/stats") && head.method == .get {
            page = .stats
        } else if Self.equals(path, "/mock/reset") && head.method == .post {
            page = .reset
        } else if Self.equals(path, "/mock/set") && head.method == .post {
            let query = UnsafeBufferPointer(start: bytes + head.queryOffset, count: head.hasQuery ? head.queryLength : 0)
            page = .set
            if query.isEmpty { server.restoreSettings() } else if server.change(Substring(decoding: query, as: UTF8.self)) != nil { page = .wrongSetting }
        } else if Self.equals(path, "/mock/recordings") && head.method == .get {
            page = .recordings
        } else if Self.equals(path, "/mock/last") && head.method == .get {
            page = .last
            let query = UnsafeBufferPointer(start: bytes + head.queryOffset, count: head.hasQuery ? head.queryLength : 0)
            if Self.begins(query, "n="), let asked = MockScript.whole(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(query)[2...])) {
                number = asked
            }
        }
        connection.pointee.argument = number << 8 | page.rawValue
        connection.pointee.script = MockScript()
        connection.pointee.recording = MockRecordings.none
    }

    func answerAdmin(_ connection: UnsafeMutablePointer<MockConnection>) {
        connection.pointee.phase = .answering
        out.count = 0
        body.count = 0
        switch AdminPage(rawValue: connection.pointee.argument & 255) ?? .unknown {
        case .stats:
            server.writeStats(into: &body)
        case .last:
            server.writeLast(Int(min(connection.pointee.argument >> 8, 1 << 20)), into: &body)
        case .recordings:
            body.append("{\"recordings\":[")
            for (place, id) in server.recordings.ids.enumerated() {
                body.append(place == 0 ? "\"" : ",\"")
                writeEscaped(id)
                body.append("\"")
            }
            body.append("]}")
        case .reset:
            server.reset()
            body.append("{\"reset\":true}")
        case .set: body.append("{\"set\":true}")
        case .wrongSetting:
            answerError(connection, 400)
            return
        case .unknown:
            answerError(connection, 404)
            return
        }
        sendBody(connection, status: 200, type: "application/json")
    }
}
