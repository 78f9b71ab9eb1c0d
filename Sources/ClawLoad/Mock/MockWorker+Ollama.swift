// What the mock says in Ollama's own API, /api/chat and /api/generate: one JSON object, or one a line when streamed (which is the default), the last with `done` and the
// counts. A call comes whole, and its end is called `stop` all the same.

extension MockWorker {
    /// `{"model":…,"created_at":…,`: what all lines of a stream begin with.
    func writeOllamaPrefix(_ connection: UnsafeMutablePointer<MockConnection>, into target: inout OutputBytes) {
        target.append("{\"model\":\"")
        writeModel(connection, into: &target)
        target.append("\",\"created_at\":\"")
        Self.writeTime(realtime, into: &target)
        target.append("\",")
    }

    func writeOllama(_ connection: UnsafeMutablePointer<MockConnection>) {
        let content = content(connection)
        let isChat = connection.pointee.endpoint == .ollamaChat
        writeOllamaPrefix(connection, into: &body)
        body.append(isChat ? "\"message\":{\"role\":\"assistant\",\"content\":\"" : "\"response\":\"")
        if content.text.tokens > 0 { writeText(content, into: &body) }
        body.append("\"")
        if content.thought.tokens > 0 {
            body.append(",\"thinking\":\"")
            vocabulary.write(content.thought, into: &body)
            body.append("\"")
        }
        if content.calls > 0 {
            body.append(",\"tool_calls\":[")
            for call in 0 ..< content.calls {
                if call > 0 { body.append(",") }
                writeOllamaCall(connection, call, into: &body)
            }
            body.append("]")
        }
        if isChat { body.append("}") }
        writeOllamaEnd(connection, content, into: &body)
        countTokens(connection, content.outputTokens)
    }

    private func writeOllamaCall(_ connection: UnsafeMutablePointer<MockConnection>, _ call: Int, into target: inout OutputBytes) {
        target.append("{\"id\":\"")
        writeCallId(connection, "call_", call, into: &target)
        target.append("\",\"function\":{\"index\":")
        target.append(decimal: UInt64(call))
        target.append(",\"name\":\"")
        writeToolName(connection, into: &target)
        target.append("\",\"arguments\":")
        target.append(MockCall.object)
        target.append("}}")
    }

    /// The end of the last object: reason, durations in nanoseconds, counts.
    private func writeOllamaEnd(_ connection: UnsafeMutablePointer<MockConnection>, _ content: MockContent, into target: inout OutputBytes) {
        target.append(content.finish == .length ? ",\"done_reason\":\"length\",\"done\":true" : ",\"done_reason\":\"stop\",\"done\":true")
        if connection.pointee.endpoint == .ollamaGenerate { target.append(",\"context\":[105,2364,107]") }
        target.append(",\"total_duration\":1897385625,\"load_duration\":1631208")
        if connection.pointee.script.usage != .missing {
            target.append(",\"prompt_eval_count\":")
            target.append(decimal: connection.pointee.glance.promptTokens)
        }
        target.append(",\"prompt_eval_duration\":313560000")
        if connection.pointee.script.usage != .missing {
            target.append(",\"eval_count\":")
            writeOutputCount(connection, content.outputTokens, into: &target)
        }
        target.append(",\"eval_duration\":1577990000}")
    }

    // ---- streams ----

    func renderOllama(_ connection: UnsafeMutablePointer<MockConnection>, _ moment: MockMoment) -> Bool {
        let isChat = connection.pointee.endpoint == .ollamaChat
        if case .tail(let place) = moment, place > 0 || connection.pointee.script.leavesOutDone { return false }
        let chunk = openEvent(connection)
        writePrefix(connection)
        out.append(isChat ? "\"message\":{\"role\":\"assistant\",\"content\":\"" : "\"response\":\"")
        switch moment {
        case .text(let token):
            writeTextToken(connection, token)
            out.append("\"")
        case .thinking(let token):
            out.append("\",\"thinking\":\"")
            writeThoughtToken(connection, token)
            out.append("\"")
        case .callOpen(let call, _):
            out.append("\",\"tool_calls\":[")
            writeOllamaCall(connection, call, into: &out)
            out.append("]")
            countCall(connection)
        default:
            out.append("\"")
        }
        if isChat { out.append("}") }
        if case .tail = moment {
            writeOllamaEnd(connection, connection.pointee.stream.content, into: &out)
        } else {
            out.append(",\"done\":false}")
        }
        closeEvent(connection, chunk)
        return true
    }
}
