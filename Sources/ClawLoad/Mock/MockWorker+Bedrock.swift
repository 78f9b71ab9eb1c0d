// What the mock says in Bedrock's Converse, plain and as a stream of frames. As the provider does, text and thinking have no start of their block, usage comes behind
// messageStop, and every payload has a padding `p` of random length.

extension MockWorker {
    func writeConverse(_ connection: UnsafeMutablePointer<MockConnection>) {
        let content = content(connection)
        body.append("{\"metrics\":{\"latencyMs\":408},\"output\":{\"message\":{\"content\":[")
        if content.thought.tokens > 0 {
            body.append("{\"reasoningContent\":{\"reasoningText\":{\"text\":\"")
            vocabulary.write(content.thought, into: &body)
            body.append("\",\"signature\":\"")
            body.append(Self.signature)
            body.append(content.text.tokens > 0 || content.calls > 0 ? "\"}}}," : "\"}}}")
        }
        if content.text.tokens > 0 {
            body.append("{\"text\":\"")
            writeText(content, into: &body)
            body.append(content.calls > 0 ? "\"}," : "\"}")
        }
        for call in 0 ..< content.calls {
            body.append(call == 0 ? "{\"toolUse\":{\"input\":" : ",{\"toolUse\":{\"input\":")
            body.append(MockCall.object)
            body.append(",\"name\":\"")
            writeToolName(connection, into: &body)
            body.append("\",\"toolUseId\":\"")
            writeCallId(connection, "tooluse_", call, into: &body)
            body.append("\"}}")
        }
        body.append("],\"role\":\"assistant\"}},\"stopReason\":\"")
        body.append(Self.converseStop(content))
        body.append("\"")
        if connection.pointee.script.usage != .missing {
            body.append(",")
            writeConverseUsage(connection, content, into: &body)
        }
        body.append("}")
        countTokens(connection, content.outputTokens)
    }

    private static func converseStop(_ content: MockContent) -> StaticString {
        switch content.finish {
        case .stop: "end_turn"
        case .length: "max_tokens"
        case .calls: "tool_use"
        }
    }

    private func writeConverseUsage(_ connection: UnsafeMutablePointer<MockConnection>, _ content: MockContent, into target: inout OutputBytes) {
        let prompt = connection.pointee.glance.promptTokens
        target.append("\"usage\":{\"cacheReadInputTokens\":0,\"cacheWriteInputTokens\":0,\"inputTokens\":")
        target.append(decimal: prompt)
        target.append(",\"outputTokens\":")
        writeOutputCount(connection, content.outputTokens, into: &target)
        target.append(",\"serverToolUsage\":{},\"totalTokens\":")
        target.append(decimal: prompt + UInt64(content.outputTokens))
        target.append("}")
    }

    // ---- streams ----

    func renderBedrock(_ connection: UnsafeMutablePointer<MockConnection>, _ moment: MockMoment, _ step: Int) -> Bool {
        let content = connection.pointee.stream.content
        let script = connection.pointee.script
        switch moment {
        case .lead:
            let chunk = openEvent(connection, name: "messageStart")
            out.append("{")
            writePadding(step)
            out.append(",\"role\":\"assistant\"}")
            closeEvent(connection, chunk)
        case .thinking(let token):
            let chunk = openBlockDelta(connection, 0, "{\"reasoningContent\":{\"text\":\"")
            writeThoughtToken(connection, token)
            closeBlockDelta(connection, chunk, "\"}}", step)
        case .thinkingClose(0):
            let chunk = openBlockDelta(connection, 0, "{\"reasoningContent\":{\"signature\":\"")
            out.append(Self.signature)
            closeBlockDelta(connection, chunk, "\"}}", step)
        case .text(let token):
            let chunk = openBlockDelta(connection, content.textIndex, "{\"text\":\"")
            writeTextToken(connection, token)
            closeBlockDelta(connection, chunk, "\"}", step)
        case .callOpen(let call, _):
            let chunk = openEvent(connection, name: "contentBlockStart")
            out.append("{\"contentBlockIndex\":")
            out.append(decimal: UInt64(content.callIndex + call))
            out.append(",")
            writePadding(step)
            out.append(",\"start\":{\"toolUse\":{\"name\":\"")
            writeToolName(connection, into: &out)
            out.append("\",\"toolUseId\":\"")
            writeCallId(connection, "tooluse_", call, into: &out)
            out.append("\"}}}")
            closeEvent(connection, chunk)
        case .callPart(let call, let part):
            let chunk = openBlockDelta(connection, content.callIndex + call, "{\"toolUse\":{\"input\":\"")
            writeCallPart(connection, part)
            closeBlockDelta(connection, chunk, "\"}}", step)
        case .thinkingClose: stopBlock(connection, 0, step)
        case .textClose: stopBlock(connection, content.textIndex, step)
        case .callClose(let call, _): stopBlock(connection, content.callIndex + call, step)
        case .thinkingOpen, .textOpen: break // no such event
        case .tail where script.leavesOutDone:
            return false
        case .tail(0):
            let chunk = openEvent(connection, name: "messageStop")
            out.append("{")
            writePadding(step)
            out.append(",\"stopReason\":\"")
            out.append(Self.converseStop(content))
            out.append("\"}")
            closeEvent(connection, chunk)
        case .tail(let place):
            let usages = script.usage == .missing ? 0 : script.usage == .twice ? 2 : 1
            if place > usages { return false }
            let chunk = openEvent(connection, name: "metadata")
            out.append("{\"metrics\":{\"latencyMs\":408},")
            writePadding(step)
            out.append(",")
            writeConverseUsage(connection, content, into: &out)
            out.append("}")
            closeEvent(connection, chunk)
        }
        return true
    }

    private func openBlockDelta(_ connection: UnsafeMutablePointer<MockConnection>, _ index: Int, _ start: StaticString) -> Int {
        let chunk = openEvent(connection, name: "contentBlockDelta")
        out.append("{\"contentBlockIndex\":")
        out.append(decimal: UInt64(index))
        out.append(",\"delta\":")
        out.append(start)
        return chunk
    }

    private func closeBlockDelta(_ connection: UnsafeMutablePointer<MockConnection>, _ chunk: Int, _ end: StaticString, _ step: Int) {
        out.append(end)
        out.append(",")
        writePadding(step)
        out.append("}")
        closeEvent(connection, chunk)
    }

    private func stopBlock(_ connection: UnsafeMutablePointer<MockConnection>, _ index: Int, _ step: Int) {
        let chunk = openEvent(connection, name: "contentBlockStop")
        out.append("{\"contentBlockIndex\":")
        out.append(decimal: UInt64(index))
        out.append(",")
        writePadding(step)
        out.append("}")
        closeEvent(connection, chunk)
    }

    private func writePadding(_ step: Int) {
        let letters: StaticString = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        out.append("\"p\":\"")
        out.append(letters.utf8Start, 1 + Int(splitMix(UInt64(step)) % 62))
        out.append("\"")
    }
}
