// What the mock says in Anthropic's Messages, plain and streamed. As the provider does, a stream has a ping behind the first block's opening, blanks before the
// last brace of its data, and usage that is cumulative.

extension MockWorker {
    /// What stands for a thought's signature in every dialect: opaque to all but its provider, to be sent back as it came.
    static let signature: StaticString = "bW9jay1zaWduYXR1cmUtb2YtYS10aG91Z2h0"

    func writeMessage(_ connection: UnsafeMutablePointer<MockConnection>) {
        let content = content(connection)
        openMessage(connection, into: &body)
        if content.thought.tokens > 0 {
            body.append("{\"type\":\"thinking\",\"thinking\":\"")
            vocabulary.write(content.thought, into: &body)
            body.append("\",\"signature\":\"")
            body.append(Self.signature)
            body.append(content.text.tokens > 0 || content.calls > 0 ? "\"}," : "\"}")
        }
        if content.text.tokens > 0 {
            body.append("{\"type\":\"text\",\"text\":\"")
            writeText(content, into: &body)
            body.append(content.calls > 0 ? "\"}," : "\"}")
        }
        for call in 0 ..< content.calls {
            body.append(call == 0 ? "{\"type\":\"tool_use\",\"id\":\"" : ",{\"type\":\"tool_use\",\"id\":\"")
            writeCallId(connection, "toolu_", call, into: &body)
            body.append("\",\"name\":\"")
            writeToolName(connection, into: &body)
            body.append("\",\"input\":")
            body.append(MockCall.object)
            body.append("}")
        }
        body.append("],\"stop_reason\":\"")
        body.append(Self.anthropicStop(content))
        body.append("\",\"stop_sequence\":null,\"stop_details\":null")
        if connection.pointee.script.usage != .missing {
            body.append(",\"usage\":")
            writeMessageUsage(connection, content, isWhole: true, isStart: false, into: &body)
        }
        body.append("}")
        countTokens(connection, content.outputTokens)
    }

    private func openMessage(_ connection: UnsafeMutablePointer<MockConnection>, into target: inout OutputBytes) {
        target.append("{\"model\":\"")
        writeModel(connection, into: &target)
        target.append("\",\"id\":\"")
        writeId(connection, "msg_", into: &target)
        target.append("\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[")
    }

    private static func anthropicStop(_ content: MockContent) -> StaticString {
        switch content.finish {
        case .stop: "end_turn"
        case .length: "max_tokens"
        case .calls: "tool_use"
        }
    }

    /// - Parameters:
    ///   - isWhole: with the fields that message_delta leaves out.
    ///   - isStart: that of message_start, when next to nothing is said yet.
    private func writeMessageUsage(
        _ connection: UnsafeMutablePointer<MockConnection>, _ content: MockContent, isWhole: Bool, isStart: Bool, into target: inout OutputBytes
    ) {
        target.append("{\"input_tokens\":")
        target.append(decimal: connection.pointee.glance.promptTokens)
        target.append(",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0")
        if isWhole { target.append(",\"cache_creation\":{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":0}") }
        target.append(",\"output_tokens\":")
        if isStart { target.append("1") } else { writeOutputCount(connection, content.outputTokens, into: &target) }
        if content.thought.tokens > 0 && !isStart {
            target.append(",\"output_tokens_details\":{\"thinking_tokens\":")
            target.append(decimal: UInt64(content.thought.tokens))
            target.append("}")
        }
        target.append(isWhole ? ",\"service_tier\":\"standard\",\"inference_geo\":\"not_available\"}" : "}")
    }

    // ---- streams ----

    func renderAnthropic(_ connection: UnsafeMutablePointer<MockConnection>, _ moment: MockMoment, _ step: Int) -> Bool {
        let content = connection.pointee.stream.content
        let script = connection.pointee.script
        switch moment {
        case .lead:
            let chunk = openEvent(connection, name: "message_start")
            out.append("{\"type\":\"message_start\",\"message\":")
            openMessage(connection, into: &out)
            out.append("],\"stop_reason\":null,\"stop_sequence\":null,\"stop_details\":null")
            if script.usage != .missing {
                out.append(",\"usage\":")
                writeMessageUsage(connection, content, isWhole: true, isStart: true, into: &out)
            }
            out.append("}")
            closePadded(connection, chunk, step)
        case .thinkingOpen(0):
            let chunk = openBlock(connection, 0)
            out.append("{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")
            closePadded(connection, chunk, step)
        case .textOpen(0):
            let chunk = openBlock(connection, content.textIndex)
            out.append("{\"type\":\"text\",\"text\":\"\"}")
            closePadded(connection, chunk, step)
        case .callOpen(let call, 0):
            let chunk = openBlock(connection, content.callIndex + call)
            out.append("{\"type\":\"tool_use\",\"id\":\"")
            writeCallId(connection, "toolu_", call, into: &out)
            out.append("\",\"name\":\"")
            writeToolName(connection, into: &out)
            out.append("\",\"input\":{}}")
            closePadded(connection, chunk, step)
        case .thinkingOpen, .textOpen, .callOpen:
            let chunk = openEvent(connection, name: "ping")
            out.append("{\"type\": \"ping\"}")
            closeEvent(connection, chunk)
        case .thinking(let token):
            let chunk = openDelta(connection, 0, "{\"type\":\"thinking_delta\",\"thinking\":\"")
            writeThoughtToken(connection, token)
            out.append("\"}")
            closePadded(connection, chunk, step)
        case .thinkingClose(0):
            let chunk = openDelta(connection, 0, "{\"type\":\"signature_delta\",\"signature\":\"")
            out.append(Self.signature)
            out.append("\"}")
            closePadded(connection, chunk, step)
        case .text(let token):
            let chunk = openDelta(connection, content.textIndex, "{\"type\":\"text_delta\",\"text\":\"")
            writeTextToken(connection, token)
            out.append("\"}")
            closePadded(connection, chunk, step)
        case .callPart(let call, let part):
            let chunk = openDelta(connection, content.callIndex + call, "{\"type\":\"input_json_delta\",\"partial_json\":\"")
            writeCallPart(connection, part)
            out.append("\"}")
            closePadded(connection, chunk, step)
        case .thinkingClose: closeBlock(connection, 0, step)
        case .textClose: closeBlock(connection, content.textIndex, step)
        case .callClose(let call, _): closeBlock(connection, content.callIndex + call, step)
        case .tail(0):
            let chunk = openEvent(connection, name: "message_delta")
            out.append("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"")
            out.append(Self.anthropicStop(content))
            out.append("\",\"stop_sequence\":null,\"stop_details\":null}")
            if script.usage != .missing {
                out.append(",\"usage\":")
                writeMessageUsage(connection, content, isWhole: false, isStart: false, into: &out)
            }
            closePadded(connection, chunk, step)
        case .tail(1) where !script.leavesOutDone:
            let chunk = openEvent(connection, name: "message_stop")
            out.append("{\"type\":\"message_stop\"")
            closePadded(connection, chunk, step)
        case .tail:
            return false
        }
        return true
    }

    private func openBlock(_ connection: UnsafeMutablePointer<MockConnection>, _ index: Int) -> Int {
        let chunk = openEvent(connection, name: "content_block_start")
        out.append("{\"type\":\"content_block_start\",\"index\":")
        out.append(decimal: UInt64(index))
        out.append(",\"content_block\":")
        return chunk
    }

    private func openDelta(_ connection: UnsafeMutablePointer<MockConnection>, _ index: Int, _ start: StaticString) -> Int {
        let chunk = openEvent(connection, name: "content_block_delta")
        out.append("{\"type\":\"content_block_delta\",\"index\":")
        out.append(decimal: UInt64(index))
        out.append(",\"delta\":")
        out.append(start)
        return chunk
    }

    private func closeBlock(_ connection: UnsafeMutablePointer<MockConnection>, _ index: Int, _ step: Int) {
        let chunk = openEvent(connection, name: "content_block_stop")
        out.append("{\"type\":\"content_block_stop\",\"index\":")
        out.append(decimal: UInt64(index))
        closePadded(connection, chunk, step)
    }

    /// The last brace, behind some blanks.
    private func closePadded(_ connection: UnsafeMutablePointer<MockConnection>, _ chunk: Int, _ step: Int) {
        out.append(repeating: 0x20, step * 7 % 13)
        out.append("}")
        closeEvent(connection, chunk)
    }
}
