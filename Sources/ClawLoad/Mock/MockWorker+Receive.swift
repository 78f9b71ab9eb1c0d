// Input of the mock: heads and bodies out of whatever pieces the socket gives. Bytes are parsed where they lie; only a head that is
// cut, or a request that comes while another is being answered, is copied into the connection's stash.
import CClaw
import ClawWire

extension MockWorker {
    /// Uses received bytes up, as far as they go.
    func consume(_ connection: UnsafeMutablePointer<MockConnection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        var at = 0
        while at < count {
            switch connection.pointee.phase {
            case .head:
                at += consumeHead(connection, bytes + at, count - at)
            case .body:
                at += consumeBody(connection, bytes + at, count - at)
            case .waiting, .answering:
                // Pipelined: kept, and nothing more is read until its turn.
                connection.pointee.appendStash(bytes + at, count - at)
                return
            case .lingering, .closed:
                return
            }
        }
    }

    /// Takes up what came while an answer was under way.
    func resumeInput(_ connection: UnsafeMutablePointer<MockConnection>) {
        while connection.pointee.phase == .head, connection.pointee.stashCount > 0, let stash = connection.pointee.stash {
            let count = connection.pointee.stashCount
            connection.pointee.stash = nil
            connection.pointee.stashCount = 0
            connection.pointee.stashCapacity = 0
            consume(connection, stash, count)
            stash.deallocate()
            if connection.pointee.phase == .head { break } // what is left is a cut head
        }
        adjustReceiving(connection)
    }

    /// Brings the way of receiving in line with what the connection does now.
    func adjustReceiving(_ connection: UnsafeMutablePointer<MockConnection>) {
        switch connection.pointee.phase {
        case .body:
            let isLarge = !connection.pointee.isChunked && connection.pointee.bodyRemaining > Self.largeBodyBytes
            setReceiving(connection, UInt32(isLarge ? CLAW_RECEIVE_READABLE : CLAW_RECEIVE_BUFFERED))
        case .waiting, .answering:
            setReceiving(connection, UInt32(connection.pointee.stashCount > 0 ? CLAW_RECEIVE_OFF : CLAW_RECEIVE_BUFFERED))
        case .head, .lingering:
            setReceiving(connection, UInt32(CLAW_RECEIVE_BUFFERED))
        case .closed:
            break
        }
    }

    /// A large body, read into the worker's own memory.
    func readBody(_ connection: UnsafeMutablePointer<MockConnection>) {
        var turn = 0
        while connection.pointee.phase == .body, !connection.pointee.isChunked, turn < 16 {
            let wanted = Int(min(UInt64(Self.bodyReadBytes), connection.pointee.bodyRemaining))
            let got = claw_recv(loop, connection.pointee.fd, bodyRead, wanted)
            if got == Self.wouldBlock { break }
            guard got > 0 else {
                leave(connection)
                close(connection)
                return
            }
            _ = consumeBody(connection, bodyRead, Int(got))
            turn += 1
        }
        if connection.pointee.phase == .head { resumeInput(connection) } else { adjustReceiving(connection) }
        // Edge-triggered: having stopped with more to read, ask again.
        if turn == 16 && connection.pointee.phase == .body && connection.pointee.receiveMode == UInt32(CLAW_RECEIVE_READABLE) {
            setReceiving(connection, UInt32(CLAW_RECEIVE_OFF))
            setReceiving(connection, UInt32(CLAW_RECEIVE_READABLE))
        }
    }

    private func consumeHead(_ connection: UnsafeMutablePointer<MockConnection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        let before = connection.pointee.stashCount
        var start = bytes
        var length = count
        if before > 0, count > 0 {
            connection.pointee.appendStash(bytes, count)
            if let stash = connection.pointee.stash { start = UnsafePointer(stash) }
            length = connection.pointee.stashCount
        }
        switch connection.pointee.parser.parse(UnsafeRawBufferPointer(start: start, count: length), limits: limits, into: head) {
        case .needMore:
            if before == 0 { connection.pointee.appendStash(bytes, count) }
            return count
        case .complete(let end):
            onHead(connection, start, end)
            if before > 0 { connection.pointee.dropStash() }
            connection.pointee.parser = RequestParser()
            if connection.pointee.phase == .body && connection.pointee.bodyRemaining == 0 && !connection.pointee.isChunked {
                onRequest(connection)
            }
            return end - before
        case .refused(let refusal):
            tally.add(.refused)
            refuse(connection, refusal)
            return count
        }
    }

    /// A head is whole: everything needed of it is taken out, for its memory goes.
    private func onHead(_ connection: UnsafeMutablePointer<MockConnection>, _ bytes: UnsafePointer<UInt8>, _ end: Int) {
        requestNumber &+= 1
        connection.pointee.number = requestNumber
        connection.pointee.phase = .body
        connection.pointee.isHead = head.method == .head
        connection.pointee.isPost = head.method == .post
        connection.pointee.isOldVersion = head.versionMinor == 0
        connection.pointee.keepsAlive = head.keepAlive
        connection.pointee.requestBytes = UInt64(end)
        connection.pointee.glance = BodyGlance()
        takeSettings()
        connection.pointee.script = script
        connection.pointee.sentBytes = 0
        connection.pointee.tokensSent = 0
        connection.pointee.holdAt = -1
        connection.pointee.isHolding = false
        connection.pointee.ending = .none
        connection.pointee.status = 0
        switch head.framing {
        case .none, .untilClose:
            connection.pointee.isChunked = false
            connection.pointee.bodyRemaining = 0
        case .contentLength(let length):
            connection.pointee.isChunked = false
            connection.pointee.bodyRemaining = length
        case .chunked:
            connection.pointee.isChunked = true
            connection.pointee.bodyRemaining = 0
            connection.pointee.chunked = ChunkedReader()
        }
        connection.pointee.recording = server.recording
        let path = UnsafeBufferPointer(start: bytes + head.pathOffset, count: head.pathLength)
        takeTarget(connection, path, bytes)
        if connection.pointee.endpoint == .admin {
            onAdminHead(connection, bytes, path)
            return
        }
        tally.add(.requests)
        tally.add(.inFlight)
        tally.add(path: connection.pointee.endpoint)
        tally.record(number: requestNumber, at: realtime, head: UnsafeRawBufferPointer(start: bytes, count: end))
        applyHeaders(connection, bytes)
        if connection.pointee.endpoint == .echo {
            beginEcho(connection, bytes, 0)
        } else if connection.pointee.endpoint == .models {
            // Only the name behind /v1/models/ is wanted.
            let start = Self.begins(path, "/openai/") ? 18 : 11
            if path.count >= start { beginEcho(connection, bytes, start) }
        }
        if connection.pointee.script.answersEarly {
            connection.pointee.keepsAlive = false
            connection.pointee.script.closes = true
            beginAnswer(connection)
            return
        }
        if head.expectContinue && head.versionMinor > 0 {
            let interim: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"
            var slice = claw_slice(base: interim.utf8Start, length: interim.utf8CodeUnitCount)
            _ = claw_send(loop, connection.pointee.fd, &slice, 1)
        }
    }

    /// What the path says, and of the query that a Gemini stream is asked for as events.
    private func takeTarget(_ connection: UnsafeMutablePointer<MockConnection>, _ path: UnsafeBufferPointer<UInt8>, _ bytes: UnsafePointer<UInt8>) {
        let target = MockTarget.of(path)
        connection.pointee.endpoint = target.endpoint
        connection.pointee.dialect = target.dialect
        connection.pointee.argument = target.number
        if target.model.count > 0 { connection.pointee.glance.fixModel(target.model) }
        connection.pointee.glance.isStream = target.endpoint == .ollamaChat || target.endpoint == .ollamaGenerate
        connection.pointee.asksForEvents = false
        if head.hasQuery {
            let query = UnsafeBufferPointer(start: bytes + head.queryOffset, count: head.queryLength)
            connection.pointee.asksForEvents = query.split(separator: 0x26).contains { Self.equals(UnsafeBufferPointer(rebasing: $0), "alt=sse") }
        }
        let method = UnsafeRawBufferPointer(start: bytes + head.methodOffset, count: head.methodLength)
        connection.pointee.recordingGroup = target.endpoint == .admin ? MockRecordings.none : server.recordings.group(method, path)
    }

    /// Settings that came by POST /mock/set since the last request.
    private func takeSettings() {
        let serial = server.settingsSerial
        if serial == settingsSerial { return }
        settingsSerial = serial
        script = server.script
    }

    /// Does the request show a credential that the faults are for?
    private func isMeant(_ script: MockScript, _ bytes: UnsafePointer<UInt8>) -> Bool {
        if script.forKey.count == 0 { return true }
        for place in 0 ..< head.fieldCount {
            let field = head.fields[place]
            switch field.name {
            case .authorization, .xApiKey, .apiKey, .xGoogApiKey:
                if script.forKey.ends(UnsafeRawBufferPointer(start: bytes + Int(field.valueOffset), count: Int(field.valueLength))) { return true }
            default: break
            }
        }
        return false
    }

    /// The request's own settings, and whether it is among those that get faults.
    private func applyHeaders(_ connection: UnsafeMutablePointer<MockConnection>, _ bytes: UnsafePointer<UInt8>) {
        for place in 0 ..< head.fieldCount {
            let field = head.fields[place]
            guard field.name == .other, field.nameLength > 7 else { continue }
            let name = UnsafeBufferPointer(start: bytes + Int(field.nameOffset), count: Int(field.nameLength))
            guard name[0] | 0x20 == 0x78, Self.begins(name, "x-mock-") else { continue }
            let word = String(decoding: name.dropFirst(7), as: UTF8.self).lowercased()
            let value = UnsafeRawBufferPointer(start: bytes + Int(field.valueOffset), count: Int(field.valueLength))
            if word == "recording" {
                connection.pointee.recording = server.recordings.number(of: String(decoding: value, as: UTF8.self))
            } else {
                _ = connection.pointee.script.set(word, value)
            }
        }
        if !isMeant(connection.pointee.script, bytes) { return connection.pointee.script.forgetFaults() }
        let rate = connection.pointee.script.errorRate
        guard rate >= 0 else { return }
        let place = connection.pointee.number &* 64 &+ UInt64(index)
        if unitInterval(seed: connection.pointee.script.seed, place: place) >= rate {
            connection.pointee.script.forgetFaults()
        } else if !connection.pointee.script.hasFaults {
            connection.pointee.script.status = 500
        }
    }

    private func consumeBody(_ connection: UnsafeMutablePointer<MockConnection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        if !connection.pointee.isChunked {
            let length = Int(min(UInt64(count), connection.pointee.bodyRemaining))
            connection.pointee.bodyRemaining -= UInt64(length)
            connection.pointee.requestBytes &+= UInt64(length)
            take(connection, UnsafeRawBufferPointer(start: bytes, count: length), isLast: connection.pointee.bodyRemaining == 0)
            if connection.pointee.bodyRemaining == 0 { onRequest(connection) }
            return length
        }
        let span = UnsafeRawBufferPointer(start: bytes, count: count)
        var at = 0
        while true {
            switch connection.pointee.chunked.next(span, from: at) {
            case .needMore:
                connection.pointee.requestBytes &+= UInt64(count)
                return count
            case .data(let range):
                take(connection, UnsafeRawBufferPointer(rebasing: span[range]), isLast: false)
                at = range.upperBound
            case .end(let end):
                connection.pointee.requestBytes &+= UInt64(end)
                take(connection, UnsafeRawBufferPointer(start: bytes, count: 0), isLast: true)
                onRequest(connection)
                return end
            case .refused(let refusal):
                leave(connection)
                tally.add(.refused)
                connection.pointee.dropEcho()
                refuse(connection, refusal)
                return count
            }
        }
    }

    private func take(_ connection: UnsafeMutablePointer<MockConnection>, _ bytes: UnsafeRawBufferPointer, isLast: Bool) {
        guard connection.pointee.endpoint != .admin else { return }
        tally.record(number: connection.pointee.number, body: bytes, isLast: isLast)
        if let echo = connection.pointee.echo {
            echo.pointee.length &+= UInt64(bytes.count)
            echo.pointee.digest.update(bytes)
        }
        if connection.pointee.echo == nil || connection.pointee.recordingGroup >= 0 { connection.pointee.glance.feed(bytes) }
    }

    private func onRequest(_ connection: UnsafeMutablePointer<MockConnection>) {
        if connection.pointee.endpoint == .admin {
            answerAdmin(connection)
        } else {
            beginAnswer(connection)
        }
    }

    /// ASCII, case ignored where the literal is lower case.
    static func begins(_ bytes: UnsafeBufferPointer<UInt8>, _ literal: StaticString) -> Bool {
        guard bytes.count >= literal.utf8CodeUnitCount else { return false }
        for place in 0 ..< literal.utf8CodeUnitCount {
            let byte = bytes[place]
            let folded = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
            if folded != literal.utf8Start[place] { return false }
        }
        return true
    }

    static func equals(_ bytes: UnsafeBufferPointer<UInt8>, _ literal: StaticString) -> Bool {
        bytes.count == literal.utf8CodeUnitCount && begins(bytes, literal)
    }
}
