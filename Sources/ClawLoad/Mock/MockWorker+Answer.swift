// Plain answers of the mock: when they are due, which one, what it says, its head. The bodies are in the files of the dialects; streams branch off to
// MockWorker+Stream.
import CClaw

extension MockWorker {
    /// What stands around the text where JSON is wanted; as the inside of a JSON string.
    static let jsonOpening: StaticString = #"{\"answer\":\""#
    static let jsonClosing: StaticString = #"\"}"#

    /// The request is whole (or the script does not wait for that): answer now or when its time has come.
    func beginAnswer(_ connection: UnsafeMutablePointer<MockConnection>) {
        chooseRecording(connection)
        var wait = connection.pointee.script.delayNanoseconds
        if !isStream(connection) {
            wait += connection.pointee.script.firstTokenNanoseconds
            if connection.pointee.script.tokensPerSecond > 0 && connection.pointee.status == 0 {
                wait += UInt64(min(1e15, Double(content(connection).outputTokens) / connection.pointee.script.tokensPerSecond * 1e9))
            }
        }
        if wait > 0 {
            connection.pointee.phase = .waiting
            arm(connection, at: now &+ wait)
        } else {
            respond(connection)
        }
    }

    func isStream(_ connection: UnsafeMutablePointer<MockConnection>) -> Bool {
        guard connection.pointee.script.status == 0, !connection.pointee.isHead else { return false }
        if connection.pointee.recording != MockRecordings.none { return isRecordedStream(connection) }
        guard connection.pointee.isPost else { return false }
        switch connection.pointee.endpoint {
        case .chat, .completions, .responses, .messages, .ollamaChat, .ollamaGenerate, .cohereChat: return connection.pointee.glance.isStream
        case .geminiStream, .converseStream: return true
        default: return false
        }
    }

    /// What the answer says, by the script and the request.
    func content(_ connection: UnsafeMutablePointer<MockConnection>) -> MockContent {
        let script = connection.pointee.script
        var content = MockContent()
        content.isJSON = connection.pointee.glance.wantsJSON
        switch connection.pointee.endpoint {
        case .completions: break
        case .ollamaGenerate: content.thought = thought(script)
        default:
            content.thought = thought(script)
            content.calls = script.toolCalls
        }
        if content.calls > 0 && !script.hasToolText { return content }
        var tokens = max(1, script.tokens)
        var exact = script.answerBytes
        let limit = connection.pointee.glance.tokensMax
        if limit > 0 && limit < UInt64(tokens) {
            tokens = Int(limit)
            exact = 0
            content.isCut = true
        }
        content.text = vocabulary.answer(seed: script.seed, tokens: tokens, bytesExact: exact)
        return content
    }

    private func thought(_ script: MockScript) -> AnswerText {
        script.thinking > 0 ? vocabulary.answer(seed: ~script.seed, tokens: script.thinking, bytesExact: 0) : AnswerText()
    }

    func respond(_ connection: UnsafeMutablePointer<MockConnection>) {
        connection.pointee.phase = .answering
        out.count = 0
        if connection.pointee.script.resetsBeforeHead {
            flush(connection, .reset)
            return
        }
        switch connection.pointee.script.garbage {
        case .none:
            break
        case .flood1xx:
            for _ in 0 ..< 1000 { out.append("HTTP/1.1 103 Early Hints\r\nlink: </mock>; rel=preload\r\n\r\n") }
        case .surplus, .short, .noLastChunk:
            break // played at the end of the right answer
        default:
            writeGarbage(connection)
            return
        }
        if connection.pointee.script.status != 0 {
            answerError(connection, Int(connection.pointee.script.status))
            return
        }
        if connection.pointee.recording != MockRecordings.none {
            if isStream(connection) { startStream(connection) } else { answerRecorded(connection) }
            return
        }
        switch connection.pointee.endpoint {
        case .models, .ollamaTags:
            answerModels(connection)
        case .bytes:
            startBytes(connection)
        case .echo:
            body.count = 0
            writeEcho(connection)
            sendBody(connection, status: 200, type: "application/json")
        case .admin:
            break
        default:
            guard connection.pointee.isPost else {
                answerError(connection, 405)
                return
            }
            if isStream(connection) {
                startStream(connection)
                return
            }
            body.count = 0
            writeBody(connection)
            sendBody(connection, status: 200, type: Self.plainType(connection.pointee.dialect))
        }
    }

    static func plainType(_ dialect: MockDialect) -> StaticString {
        switch dialect {
        case .gemini: "application/json; charset=UTF-8"
        case .ollama: "application/json; charset=utf-8"
        default: "application/json"
        }
    }

    private func writeBody(_ connection: UnsafeMutablePointer<MockConnection>) {
        switch connection.pointee.endpoint {
        case .chat: writeChat(connection)
        case .completions: writeCompletion(connection)
        case .responses: writeResponse(connection, status: "completed", into: &body)
        case .messages: writeMessage(connection)
        case .geminiGenerate: writeGenerated(connection)
        case .ollamaChat, .ollamaGenerate: writeOllama(connection)
        case .converse: writeConverse(connection)
        case .cohereChat: writeCohere(connection)
        case .embeddings, .geminiEmbed, .geminiBatchEmbed, .ollamaEmbed, .invoke, .cohereEmbed: writeEmbeddings(connection)
        case .countTokens, .geminiCount, .bedrockCount: writeCount(connection)
        case .models, .ollamaTags, .geminiStream, .converseStream, .bytes, .echo, .admin: break // not answered from here
        }
    }

    /// What the count endpoints say.
    private func writeCount(_ connection: UnsafeMutablePointer<MockConnection>) {
        let tokens = connection.pointee.glance.promptTokens
        switch connection.pointee.endpoint {
        case .geminiCount:
            body.append("{\n  \"totalTokens\": ")
            body.append(decimal: tokens)
            body.append(",\n  \"promptTokensDetails\": [\n    {\n      \"modality\": \"TEXT\",\n      \"tokenCount\": ")
            body.append(decimal: tokens)
            body.append("\n    }\n  ]\n}\n")
        case .bedrockCount:
            body.append("{\"inputTokens\":")
            body.append(decimal: tokens)
            body.append("}")
        default:
            body.append("{\"input_tokens\":")
            body.append(decimal: tokens)
            body.append("}")
        }
    }

    // ---- heads ----

    /// Status line and the headers every answer has, up to where its framing goes.
    func writeHead(_ connection: UnsafeMutablePointer<MockConnection>, status: Int, type: StaticString) {
        let recording = connection.pointee.recording
        let status = recording >= 0 ? server.recordings.entries[Int(recording)].status : status
        connection.pointee.status = status
        if connection.pointee.endpoint != .admin { tally.add(status: status) }
        out.append("HTTP/1.1 ")
        out.append(decimal: UInt64(status))
        out.append(byte: 0x20)
        out.append(Self.reason(status))
        out.append("\r\n")
        let hasType = connection.pointee.script.contentType.count > 0
        if hasType || recording < 0 {
            out.append("content-type: ")
            if hasType { connection.pointee.script.contentType.write(into: &out) } else { out.append(type) }
            out.append("\r\n")
        }
        if recording >= 0 {
            writeRecordedFields(connection, withType: !hasType)
        } else {
            writeIdField(connection)
        }
        if connection.pointee.script.closes || connection.pointee.isOldVersion { connection.pointee.keepsAlive = false }
        if !connection.pointee.keepsAlive { out.append("connection: close\r\n") }
    }

    /// The header that names the request, as the provider calls it; Gemini and Ollama have none.
    private func writeIdField(_ connection: UnsafeMutablePointer<MockConnection>) {
        switch connection.pointee.dialect {
        case .openai:
            out.append("x-request-id: ")
            writeId(connection, "req_")
            out.append("\r\nopenai-version: 2020-10-01\r\n")
        case .azure:
            out.append("apim-request-id: ")
            writeUUID(connection, into: &out)
            out.append("\r\nx-request-id: ")
            writeUUID(connection, into: &out)
            out.append("\r\nx-ms-region: Mock\r\n")
        case .anthropic:
            out.append("request-id: ")
            writeId(connection, "req_")
            out.append("\r\n")
        case .bedrock:
            out.append("x-amzn-requestid: ")
            writeUUID(connection, into: &out)
            out.append("\r\n")
        case .cohere:
            out.append("x-debug-trace-id: ")
            writeUUID(connection, into: &out)
            out.append("\r\n")
        case .gemini, .ollama:
            break
        }
    }

    /// Sends the rendered `body` with its head.
    func sendBody(_ connection: UnsafeMutablePointer<MockConnection>, status: Int, type: StaticString) {
        let start = out.count
        let garbage = connection.pointee.script.garbage
        var frame = connection.pointee.script.frame
        if garbage == .noLastChunk { frame = .chunked }
        if garbage == .surplus || garbage == .short { frame = .contentLength }
        if frame == .chunked && connection.pointee.isOldVersion { frame = .untilClose }
        if frame == .untilClose || garbage == .short || garbage == .noLastChunk { connection.pointee.keepsAlive = false }
        writeHead(connection, status: status, type: type)
        switch frame {
        case .auto, .contentLength:
            out.append("content-length: ")
            out.append(decimal: UInt64(body.count) + (garbage == .short ? 100 : 0))
            out.append("\r\n\r\n")
        case .chunked:
            out.append("transfer-encoding: chunked\r\n\r\n")
        case .untilClose:
            out.append("\r\n")
        }
        let headEnd = out.count
        if !connection.pointee.isHead {
            if frame == .chunked {
                let chunk = out.openChunk()
                out.append(body.bytes)
                out.closeChunk(from: chunk)
                if garbage != .noLastChunk { out.append("0\r\n\r\n") }
            } else {
                out.append(body.bytes)
            }
            if garbage == .surplus { out.append("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad") }
        }
        if connection.pointee.script.stallAfterEvents >= 0 {
            let half = connection.pointee.script.stallAfterEvents == 0 ? 0 : (out.count - headEnd) / 2
            connection.pointee.holdAt = headEnd - start + half
        }
        flush(connection, garbage == .short || garbage == .noLastChunk ? .cut : .finished)
    }

    func writeId(_ connection: UnsafeMutablePointer<MockConnection>, _ kind: StaticString, into target: inout OutputBytes) {
        target.append(kind)
        target.append("mock")
        target.append(hex: UInt64(index) << 48 | (connection.pointee.number & 0xffff_ffff_ffff), digits: 16)
    }

    func writeId(_ connection: UnsafeMutablePointer<MockConnection>, _ kind: StaticString) {
        writeId(connection, kind, into: &out)
    }

    func writeModel(_ connection: UnsafeMutablePointer<MockConnection>, into target: inout OutputBytes) {
        let length = connection.pointee.glance.modelLength
        if length == 0 {
            target.append("mock-model")
            return
        }
        target.reserve(length)
        for place in 0 ..< length { target.append(byte: connection.pointee.glance.model[place]) }
    }

    /// The request's number in the shape of a UUID.
    func writeUUID(_ connection: UnsafeMutablePointer<MockConnection>, into target: inout OutputBytes) {
        target.append(hex: UInt64(index), digits: 8)
        target.append("-6d6f-4636-8b00-")
        target.append(hex: connection.pointee.number & 0xffff_ffff_ffff, digits: 12)
    }

    /// The name of the tool that is called: the first that the request offers.
    func writeToolName(_ connection: UnsafeMutablePointer<MockConnection>, into target: inout OutputBytes) {
        let length = connection.pointee.glance.toolNameLength
        if length == 0 {
            target.append(MockCall.name)
            return
        }
        for place in 0 ..< length { target.append(byte: connection.pointee.glance.toolName[place]) }
    }

    /// The id of one call of the answer.
    func writeCallId(_ connection: UnsafeMutablePointer<MockConnection>, _ kind: StaticString, _ call: Int, into target: inout OutputBytes) {
        writeId(connection, kind, into: &target)
        target.append("_")
        target.append(decimal: UInt64(call))
    }

    // ---- parts of bodies ----

    /// The answer's text as the inside of a JSON string.
    func writeText(_ content: MockContent, into target: inout OutputBytes) {
        if content.isJSON { target.append(Self.jsonOpening) }
        vocabulary.write(content.text, into: &target)
        if content.isJSON && !content.isCut { target.append(Self.jsonClosing) }
    }

    /// The count of the answer's tokens, or what the script has it say.
    func writeOutputCount(_ connection: UnsafeMutablePointer<MockConnection>, _ count: Int, into target: inout OutputBytes) {
        switch connection.pointee.script.usage {
        case .negative:
            target.append("-")
            target.append(decimal: UInt64(count))
        case .float:
            target.append(decimal: UInt64(count))
            target.append(".5")
        case .huge:
            target.append("9223372036854775808")
        case .string:
            target.append("\"")
            target.append(decimal: UInt64(count))
            target.append("\"")
        default:
            target.append(decimal: UInt64(count))
        }
    }

    func countTokens(_ connection: UnsafeMutablePointer<MockConnection>, _ tokens: Int) {
        connection.pointee.tokensSent += tokens
        tally.add(.tokensSent, UInt64(tokens))
    }

    /// A time as RFC 3339 has it, of nanoseconds since 1970.
    static func writeTime(_ nanoseconds: UInt64, into target: inout OutputBytes) {
        let seconds = nanoseconds / 1_000_000_000
        // Days to a date of the Gregorian calendar whose years begin in March (Howard Hinnant, "chrono-compatible low-level date algorithms").
        let z = seconds / 86400 + 719_468
        let era = z / 146_097, dayOfEra = z % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        func append(_ value: UInt64, _ digits: Int) {
            for place in 0 ..< digits {
                var power: UInt64 = 1
                for _ in 0 ..< digits - 1 - place { power *= 10 }
                target.append(byte: 0x30 + UInt8(value / power % 10))
            }
        }
        append(yearOfEra + era * 400 + (month <= 2 ? 1 : 0), 4)
        target.append("-")
        append(month, 2)
        target.append("-")
        append(dayOfYear - (153 * monthFromMarch + 2) / 5 + 1, 2)
        target.append("T")
        append(seconds / 3600 % 24, 2)
        target.append(":")
        append(seconds / 60 % 60, 2)
        target.append(":")
        append(seconds % 60, 2)
        target.append(".")
        append(nanoseconds % 1_000_000_000, 9)
        target.append("Z")
    }
}
