// Plain answers of the mock: when they are due, which one, its head and its body. Streams branch off to MockWorker+Stream.
import CClaw

extension MockWorker {
    /// The request is whole (or the script does not wait for that): answer now or when its time has come.
    func beginAnswer(_ connection: UnsafeMutablePointer<MockConnection>) {
        var wait = connection.pointee.script.delayNanoseconds
        if !isStream(connection) {
            wait += connection.pointee.script.firstTokenNanoseconds
            if connection.pointee.script.tokensPerSecond > 0 && connection.pointee.status == 0 {
                let answer = answerText(connection)
                wait += UInt64(min(1e15, Double(answer.tokens) / connection.pointee.script.tokensPerSecond * 1e9))
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
        guard connection.pointee.glance.isStream, connection.pointee.isPost, connection.pointee.script.status == 0 else { return false }
        switch connection.pointee.endpoint {
        case .chat, .completions, .responses: return true
        default: return false
        }
    }

    func answerText(_ connection: UnsafeMutablePointer<MockConnection>) -> AnswerText {
        var tokens = max(1, connection.pointee.script.tokens)
        var exact = connection.pointee.script.answerBytes
        let limit = connection.pointee.glance.tokensMax
        if limit > 0 && limit < UInt64(tokens) {
            tokens = Int(limit)
            exact = 0
        }
        return vocabulary.answer(seed: connection.pointee.script.seed, tokens: tokens, bytesExact: exact)
    }

    func isCutByLimit(_ connection: UnsafeMutablePointer<MockConnection>) -> Bool {
        let limit = connection.pointee.glance.tokensMax
        return limit > 0 && limit < UInt64(max(1, connection.pointee.script.tokens))
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
        switch connection.pointee.endpoint {
        case .chat, .completions, .responses, .embeddings:
            guard connection.pointee.isPost else {
                answerError(connection, 405)
                return
            }
            if isStream(connection) {
                startStream(connection)
                return
            }
            body.count = 0
            switch connection.pointee.endpoint {
            case .chat: writeChat(connection)
            case .completions: writeCompletion(connection)
            case .embeddings: writeEmbeddings(connection)
            default: writeResponse(connection, status: "completed", into: &body)
            }
            sendBody(connection, status: 200, type: "application/json")
        case .models:
            answerModels(connection)
        case .bytes:
            startBytes(connection)
        case .echo:
            body.count = 0
            writeEcho(connection)
            sendBody(connection, status: 200, type: "application/json")
        case .admin:
            break
        }
    }

    // ---- heads ----

    /// Status line and the headers every answer has, up to where its framing goes.
    func writeHead(_ connection: UnsafeMutablePointer<MockConnection>, status: Int, type: StaticString) {
        connection.pointee.status = status
        if connection.pointee.endpoint != .admin { tally.add(status: status) }
        out.append("HTTP/1.1 ")
        out.append(decimal: UInt64(status))
        out.append(byte: 0x20)
        out.append(Self.reason(status))
        out.append("\r\ncontent-type: ")
        if connection.pointee.script.contentType.count > 0 {
            connection.pointee.script.contentType.write(into: &out)
        } else {
            out.append(type)
        }
        out.append("\r\nx-request-id: ")
        writeId(connection, "req_")
        out.append("\r\nopenai-version: 2020-10-01\r\n")
        if connection.pointee.script.closes || connection.pointee.isOldVersion { connection.pointee.keepsAlive = false }
        if !connection.pointee.keepsAlive { out.append("connection: close\r\n") }
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

    // ---- bodies ----

    private func writeChat(_ connection: UnsafeMutablePointer<MockConnection>) {
        let answer = answerText(connection)
        let choices = Int(connection.pointee.glance.choices)
        body.append("{\"id\":\"")
        writeId(connection, "chatcmpl-", into: &body)
        body.append("\",\"object\":\"chat.completion\",\"created\":")
        body.append(decimal: realtime / 1_000_000_000)
        body.append(",\"model\":\"")
        writeModel(connection, into: &body)
        body.append("\",\"choices\":[")
        for choice in 0 ..< choices {
            body.append(choice == 0 ? "{\"index\":" : ",{\"index\":")
            body.append(decimal: UInt64(choice))
            body.append(",\"message\":{\"role\":\"assistant\",\"content\":\"")
            vocabulary.write(answer, into: &body)
            body.append("\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"")
            body.append(isCutByLimit(connection) ? "length\"}" : "stop\"}")
        }
        body.append("]")
        if connection.pointee.script.usage != .missing {
            body.append(",\"usage\":")
            writeUsage(connection, completion: answer.tokens * choices, details: true, into: &body)
        }
        body.append(",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\"}")
        countTokens(connection, answer.tokens * choices)
    }

    private func writeCompletion(_ connection: UnsafeMutablePointer<MockConnection>) {
        let answer = answerText(connection)
        let choices = Int(connection.pointee.glance.choices)
        body.append("{\"id\":\"")
        writeId(connection, "cmpl-", into: &body)
        body.append("\",\"object\":\"text_completion\",\"created\":")
        body.append(decimal: realtime / 1_000_000_000)
        body.append(",\"model\":\"")
        writeModel(connection, into: &body)
        body.append("\",\"choices\":[")
        for choice in 0 ..< choices {
            body.append(choice == 0 ? "{\"text\":\"" : ",{\"text\":\"")
            vocabulary.write(answer, into: &body)
            body.append("\",\"index\":")
            body.append(decimal: UInt64(choice))
            body.append(isCutByLimit(connection) ? ",\"logprobs\":null,\"finish_reason\":\"length\"}" : ",\"logprobs\":null,\"finish_reason\":\"stop\"}")
        }
        body.append("]")
        if connection.pointee.script.usage != .missing {
            body.append(",\"usage\":")
            writeUsage(connection, completion: answer.tokens * choices, details: false, into: &body)
        }
        body.append("}")
        countTokens(connection, answer.tokens * choices)
    }

    func writeUsage(
        _ connection: UnsafeMutablePointer<MockConnection>, completion: Int, details: Bool, into target: inout OutputBytes
    ) {
        let prompt = connection.pointee.glance.promptTokens
        target.append("{\"prompt_tokens\":")
        target.append(decimal: prompt)
        target.append(",\"completion_tokens\":")
        switch connection.pointee.script.usage {
        case .negative:
            target.append("-")
            target.append(decimal: UInt64(completion))
        case .float:
            target.append(decimal: UInt64(completion))
            target.append(".5")
        case .huge:
            target.append("9223372036854775808")
        case .string:
            target.append("\"")
            target.append(decimal: UInt64(completion))
            target.append("\"")
        default:
            target.append(decimal: UInt64(completion))
        }
        target.append(",\"total_tokens\":")
        target.append(decimal: prompt + UInt64(completion))
        if details {
            target.append(",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}")
        }
        target.append("}")
    }

    func countTokens(_ connection: UnsafeMutablePointer<MockConnection>, _ tokens: Int) {
        connection.pointee.tokensSent += tokens
        tally.add(.tokensSent, UInt64(tokens))
    }

    /// Components are eighths in −1…1 drawn from the seed, so their decimal form is short and exact.
    private func writeEmbeddings(_ connection: UnsafeMutablePointer<MockConnection>) {
        let asked = Int(connection.pointee.glance.dimensions)
        let dimensions = asked > 0 ? asked : 16
        let inputs = Int(min(connection.pointee.glance.inputs, 2048))
        body.append("{\"object\":\"list\",\"data\":[")
        for input in 0 ..< inputs {
            body.append(input == 0 ? "{\"object\":\"embedding\",\"index\":" : ",{\"object\":\"embedding\",\"index\":")
            body.append(decimal: UInt64(input))
            body.append(",\"embedding\":")
            let seed = splitMix(connection.pointee.script.seed &+ UInt64(input))
            if connection.pointee.glance.wantsBase64 {
                var floats = [Float]()
                for place in 0 ..< dimensions { floats.append(Float(Self.eighths(seed, place)) / 8) }
                body.append("\"")
                floats.withUnsafeBytes { body.append(base64: $0) }
                body.append("\"")
            } else {
                body.append("[")
                for place in 0 ..< dimensions {
                    if place > 0 { body.append(",") }
                    let value = Self.eighths(seed, place)
                    if value < 0 { body.append("-") }
                    body.append(decimal: UInt64(abs(value) / 8))
                    body.append(".")
                    let fraction = abs(value) % 8 * 125
                    body.append(decimal: UInt64(fraction / 100))
                    body.append(decimal: UInt64(fraction / 10 % 10))
                    body.append(decimal: UInt64(fraction % 10))
                }
                body.append("]")
            }
            body.append("}")
        }
        body.append("],\"model\":\"")
        writeModel(connection, into: &body)
        body.append("\",\"usage\":{\"prompt_tokens\":")
        body.append(decimal: connection.pointee.glance.promptTokens)
        body.append(",\"total_tokens\":")
        body.append(decimal: connection.pointee.glance.promptTokens)
        body.append("}}")
    }

    private static func eighths(_ seed: UInt64, _ place: Int) -> Int {
        Int(splitMix(seed ^ UInt64(place)) % 17) - 8
    }

    /// The whole Responses object; `status` in_progress has no output and no usage yet.
    func writeResponse(_ connection: UnsafeMutablePointer<MockConnection>, status: StaticString, into target: inout OutputBytes) {
        let answer = answerText(connection)
        let isDone = status.utf8CodeUnitCount == 9 // completed
        let isCut = isDone && isCutByLimit(connection)
        target.append("{\"id\":\"")
        writeId(connection, "resp_", into: &target)
        target.append("\",\"object\":\"response\",\"created_at\":")
        target.append(decimal: realtime / 1_000_000_000)
        target.append(",\"status\":\"")
        target.append(isCut ? "incomplete" : status)
        target.append("\",\"background\":false,\"error\":null,\"incomplete_details\":")
        target.append(isCut ? "{\"reason\":\"max_output_tokens\"}" : "null")
        target.append(",\"instructions\":null,\"max_output_tokens\":null,\"model\":\"")
        writeModel(connection, into: &target)
        target.append("\",\"output\":[")
        if isDone { writeResponseItem(connection, answer, into: &target) }
        target.append("],\"parallel_tool_calls\":true,\"previous_response_id\":null,\"reasoning\":{\"effort\":null,\"summary\":null},\"service_tier\":\"default\",\"store\":true,\"temperature\":1.0,\"text\":{\"format\":{\"type\":\"text\"},\"verbosity\":\"medium\"},\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"truncation\":\"disabled\",\"usage\":")
        if isDone && connection.pointee.script.usage != .missing {
            let prompt = connection.pointee.glance.promptTokens
            target.append("{\"input_tokens\":")
            target.append(decimal: prompt)
            target.append(",\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":")
            target.append(decimal: UInt64(answer.tokens))
            target.append(",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":")
            target.append(decimal: prompt + UInt64(answer.tokens))
            target.append("}")
        } else {
            target.append("null")
        }
        target.append(",\"user\":null,\"metadata\":{}}")
        if isDone && !connection.pointee.stream.isActive { countTokens(connection, answer.tokens) }
    }

    func writeResponseItem(_ connection: UnsafeMutablePointer<MockConnection>, _ answer: AnswerText, into target: inout OutputBytes) {
        target.append("{\"id\":\"")
        writeId(connection, "msg_", into: &target)
        target.append("\",\"type\":\"message\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"")
        vocabulary.write(answer, into: &target)
        target.append("\"}],\"role\":\"assistant\"}")
    }
}
