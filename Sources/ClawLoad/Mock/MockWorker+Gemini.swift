// What the mock says in Gemini's generateContent, plain and streamed, on the paths of the Gemini API and of Vertex. A stream is server-sent events with CRLF (alt=sse)
// or one JSON array; every chunk carries the usage so far, calls come whole and without an id, and the finish reason in a last chunk with an empty text.

extension MockWorker {
    func writeGenerated(_ connection: UnsafeMutablePointer<MockConnection>) {
        let content = content(connection)
        body.append("{\n  ")
        body.append(Self.geminiOpening)
        if content.thought.tokens > 0 {
            body.append("{\"text\": \"")
            vocabulary.write(content.thought, into: &body)
            body.append(content.text.tokens > 0 || content.calls > 0 ? "\",\"thought\": true}," : "\",\"thought\": true}")
        }
        if content.text.tokens > 0 {
            body.append("{\"text\": \"")
            writeText(content, into: &body)
            body.append("\"")
            if content.thought.tokens > 0 && content.calls == 0 { writeThoughtSignature(into: &body) }
            body.append(content.calls > 0 ? "}," : "}")
        }
        for call in 0 ..< content.calls {
            if call > 0 { body.append(",") }
            writeFunctionCall(connection, content, call, into: &body)
        }
        body.append("],\"role\": \"model\"}")
        writeGeminiFinish(content, into: &body)
        body.append(",\"index\": 0}],\n  ")
        let candidates = content.text.tokens + content.calls * MockCall.parts
        writeGeminiEnd(connection, thoughts: content.thought.tokens, candidates: candidates, gap: "\n  ", into: &body)
        body.append("\n}\n")
        countTokens(connection, content.outputTokens)
    }

    private static let geminiOpening: StaticString = "\"candidates\": [{\"content\": {\"parts\": ["

    private func writeThoughtSignature(into target: inout OutputBytes) {
        target.append(",\"thoughtSignature\": \"")
        target.append(Self.signature)
        target.append("\"")
    }

    /// Of several calls only the first has the signature.
    private func writeFunctionCall(
        _ connection: UnsafeMutablePointer<MockConnection>, _ content: MockContent, _ call: Int, into target: inout OutputBytes
    ) {
        target.append("{\"functionCall\": {\"name\": \"")
        writeToolName(connection, into: &target)
        target.append("\",\"args\": ")
        target.append(MockCall.object)
        target.append("}")
        if call == 0 && content.thought.tokens > 0 { writeThoughtSignature(into: &target) }
        target.append("}")
    }

    private func writeGeminiFinish(_ content: MockContent, into target: inout OutputBytes) {
        switch content.finish {
        case .stop: target.append(",\"finishReason\": \"STOP\"")
        case .length: target.append(",\"finishReason\": \"MAX_TOKENS\"")
        case .calls: target.append(",\"finishReason\": \"STOP\",\"finishMessage\": \"Model generated function call(s).\"")
        }
    }

    /// Usage so far, model and id. Counts of nothing are left out, as the provider does.
    private func writeGeminiEnd(
        _ connection: UnsafeMutablePointer<MockConnection>, thoughts: Int, candidates: Int, gap: StaticString, into target: inout OutputBytes
    ) {
        let prompt = connection.pointee.glance.promptTokens
        if connection.pointee.script.usage != .missing {
            target.append("\"usageMetadata\": {\"promptTokenCount\": ")
            target.append(decimal: prompt)
            if candidates > 0 {
                target.append(",\"candidatesTokenCount\": ")
                writeOutputCount(connection, candidates, into: &target)
            }
            target.append(",\"totalTokenCount\": ")
            target.append(decimal: prompt + UInt64(thoughts + candidates))
            target.append(",\"promptTokensDetails\": [{\"modality\": \"TEXT\",\"tokenCount\": ")
            target.append(decimal: prompt)
            target.append("}]")
            if thoughts > 0 {
                target.append(",\"thoughtsTokenCount\": ")
                target.append(decimal: UInt64(thoughts))
            }
            target.append("},")
            target.append(gap)
        }
        target.append("\"modelVersion\": \"")
        writeModel(connection, into: &target)
        target.append("\",")
        target.append(gap)
        target.append("\"responseId\": \"")
        writeId(connection, "", into: &target)
        target.append("\"")
    }

    // ---- streams ----

    func renderGemini(_ connection: UnsafeMutablePointer<MockConnection>, _ moment: MockMoment) -> Bool {
        let content = connection.pointee.stream.content
        let isArray = connection.pointee.stream.form == .array
        if case .tail(let place) = moment {
            if connection.pointee.script.leavesOutDone || place > 1 { return false }
            if place == 1 {
                if isArray { renderArrayEnd(connection) }
                return isArray
            }
        }
        let chunk = openEvent(connection)
        out.append(isArray ? "{\n  " : "{")
        out.append(Self.geminiOpening)
        var callsTold = content.calls
        switch moment {
        case .thinking(let token):
            callsTold = 0
            out.append("{\"text\": \"")
            writeThoughtToken(connection, token)
            out.append("\",\"thought\": true}")
        case .text(let token):
            callsTold = 0
            out.append("{\"text\": \"")
            writeTextToken(connection, token)
            out.append("\"}")
        case .callOpen(let call, _):
            callsTold = call + 1
            writeFunctionCall(connection, content, call, into: &out)
            countCall(connection)
        default:
            out.append("{\"text\": \"\"")
            if content.thought.tokens > 0 && content.calls == 0 { writeThoughtSignature(into: &out) }
            out.append("}")
        }
        out.append("],\"role\": \"model\"}")
        if case .tail = moment { writeGeminiFinish(content, into: &out) }
        out.append(isArray ? ",\"index\": 0}],\n  " : ",\"index\": 0}],")
        let candidates = connection.pointee.stream.textTold + callsTold * MockCall.parts
        writeGeminiEnd(
            connection, thoughts: connection.pointee.stream.thoughtTold, candidates: candidates, gap: isArray ? "\n  " : "", into: &out)
        out.append(isArray ? "\n}" : "}")
        closeEvent(connection, chunk)
        return true
    }

    /// The bracket that closes the array, and opens it when nothing came before.
    func renderArrayEnd(_ connection: UnsafeMutablePointer<MockConnection>) {
        let chunk = connection.pointee.isChunkedAnswer ? out.openChunk() : out.count
        out.append(connection.pointee.stream.events == 0 ? "[]" : "]")
        endPiece(connection, chunk)
    }
}
