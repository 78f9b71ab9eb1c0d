// What the mock says in Cohere's chat (v2), plain and streamed. Text before calls is the tool plan; in a delta `content` and `tool_calls` are objects where the whole
// answer has arrays, and the stream ends with message-end and then [DONE].

extension MockWorker {
    func writeCohere(_ connection: UnsafeMutablePointer<MockConnection>) {
        let content = content(connection)
        body.append("{\"id\":\"")
        writeUUID(connection, into: &body)
        body.append("\",\"message\":{\"role\":\"assistant\"")
        let hasText = content.text.tokens > 0 && content.calls == 0
        if content.thought.tokens > 0 || hasText {
            body.append(",\"content\":[")
            if content.thought.tokens > 0 {
                body.append("{\"type\":\"thinking\",\"thinking\":\"")
                vocabulary.write(content.thought, into: &body)
                body.append(hasText ? "\"}," : "\"}")
            }
            if hasText {
                body.append("{\"type\":\"text\",\"text\":\"")
                writeText(content, into: &body)
                body.append("\"}")
            }
            body.append("]")
        }
        if content.calls > 0 {
            if content.text.tokens > 0 {
                body.append(",\"tool_plan\":\"")
                writeText(content, into: &body)
                body.append("\"")
            }
            body.append(",\"tool_calls\":[")
            for call in 0 ..< content.calls {
                if call > 0 { body.append(",") }
                writeCohereCall(connection, call, MockCall.escaped, into: &body)
            }
            body.append("]")
        }
        body.append("},\"finish_reason\":\"")
        body.append(Self.cohereFinish(content))
        body.append("\"")
        if connection.pointee.script.usage != .missing { writeCohereUsage(connection, content, into: &body) }
        body.append("}")
        countTokens(connection, content.outputTokens)
    }

    private func writeCohereCall(
        _ connection: UnsafeMutablePointer<MockConnection>, _ call: Int, _ arguments: StaticString, into target: inout OutputBytes
    ) {
        target.append("{\"id\":\"")
        writeToolName(connection, into: &target)
        writeCallId(connection, "_", call, into: &target)
        target.append("\",\"type\":\"function\",\"function\":{\"name\":\"")
        writeToolName(connection, into: &target)
        target.append("\",\"arguments\":\"")
        target.append(arguments)
        target.append("\"}}")
    }

    private static func cohereFinish(_ content: MockContent) -> StaticString {
        switch content.finish {
        case .stop: "COMPLETE"
        case .length: "MAX_TOKENS"
        case .calls: "TOOL_CALL"
        }
    }

    private func writeCohereUsage(_ connection: UnsafeMutablePointer<MockConnection>, _ content: MockContent, into target: inout OutputBytes) {
        let prompt = connection.pointee.glance.promptTokens
        target.append(",\"usage\":{\"billed_units\":{\"input_tokens\":")
        target.append(decimal: prompt)
        target.append(",\"output_tokens\":")
        writeOutputCount(connection, content.outputTokens, into: &target)
        target.append("},\"tokens\":{\"input_tokens\":")
        target.append(decimal: prompt)
        target.append(",\"output_tokens\":")
        writeOutputCount(connection, content.outputTokens, into: &target)
        if content.thought.tokens > 0 {
            target.append(",\"reasoning_tokens\":")
            target.append(decimal: UInt64(content.thought.tokens))
        }
        target.append("},\"cached_tokens\":0}")
    }

    // ---- streams ----

    func renderCohere(_ connection: UnsafeMutablePointer<MockConnection>, _ moment: MockMoment) -> Bool {
        let content = connection.pointee.stream.content
        let script = connection.pointee.script
        let chunk: Int
        switch moment {
        case .lead:
            chunk = openEvent(connection, name: "message-start")
            out.append("{\"id\":\"")
            writeUUID(connection, into: &out)
            out.append("\",\"type\":\"message-start\",\"delta\":{\"message\":{\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\",\"tool_calls\":[],\"citations\":[]}}}")
        case .thinkingOpen:
            chunk = openCohereEvent(connection, "content-start", 0)
            out.append(",\"delta\":{\"message\":{\"content\":{\"type\":\"thinking\",\"thinking\":\"\"}}}}")
        case .thinking(let token):
            chunk = openCohereEvent(connection, "content-delta", 0)
            out.append(",\"delta\":{\"message\":{\"content\":{\"thinking\":\"")
            writeThoughtToken(connection, token)
            out.append("\"}}}}")
        case .thinkingClose:
            chunk = openCohereEvent(connection, "content-end", 0)
            out.append("}")
        case .textOpen:
            chunk = openCohereEvent(connection, "content-start", content.textIndex)
            out.append(",\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}")
        case .text(let token) where content.calls > 0:
            chunk = openEvent(connection, name: "tool-plan-delta")
            out.append("{\"type\":\"tool-plan-delta\",\"delta\":{\"message\":{\"tool_plan\":\"")
            writeTextToken(connection, token)
            out.append("\"}}}")
        case .text(let token):
            chunk = openCohereEvent(connection, "content-delta", content.textIndex)
            out.append(",\"delta\":{\"message\":{\"content\":{\"text\":\"")
            writeTextToken(connection, token)
            out.append("\"}}}}")
        case .textClose:
            chunk = openCohereEvent(connection, "content-end", content.textIndex)
            out.append("}")
        case .callOpen(let call, _):
            chunk = openCohereEvent(connection, "tool-call-start", call)
            out.append(",\"delta\":{\"message\":{\"tool_calls\":")
            writeCohereCall(connection, call, "", into: &out)
            out.append("}}}")
        case .callPart(let call, let part):
            chunk = openCohereEvent(connection, "tool-call-delta", call)
            out.append(",\"delta\":{\"message\":{\"tool_calls\":{\"function\":{\"arguments\":\"")
            writeCallPart(connection, part)
            out.append("\"}}}}}")
        case .callClose(let call, _):
            chunk = openCohereEvent(connection, "tool-call-end", call)
            out.append("}")
        case .tail(0) where !script.leavesOutDone:
            chunk = openEvent(connection, name: "message-end")
            out.append("{\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"")
            out.append(Self.cohereFinish(content))
            out.append("\"")
            if script.usage != .missing { writeCohereUsage(connection, content, into: &out) }
            out.append("}}")
        case .tail(1) where !script.leavesOutDone:
            renderDone(connection)
            return true
        case .tail:
            return false
        }
        closeEvent(connection, chunk)
        return true
    }

    private func openCohereEvent(_ connection: UnsafeMutablePointer<MockConnection>, _ name: StaticString, _ index: Int) -> Int {
        let chunk = openEvent(connection, name: name)
        out.append("{\"type\":\"")
        out.append(name)
        out.append("\",\"index\":")
        out.append(decimal: UInt64(index))
        return chunk
    }
}
