// What the mock says in OpenAI's chat completions and legacy completions (and Azure's, which are the same), plain and streamed. Thinking is in
// `reasoning_content`, as DeepSeek and others have it.

extension MockWorker {
    func writeChat(_ connection: UnsafeMutablePointer<MockConnection>) {
        let content = content(connection)
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
            body.append(",\"message\":{\"role\":\"assistant\",\"content\":")
            if content.text.tokens > 0 {
                body.append("\"")
                writeText(content, into: &body)
                body.append("\"")
            } else {
                body.append("null")
            }
            if content.thought.tokens > 0 {
                body.append(",\"reasoning_content\":\"")
                vocabulary.write(content.thought, into: &body)
                body.append("\"")
            }
            if content.calls > 0 { writeCalls(connection, content, choice) }
            body.append(",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"")
            body.append(Self.openAIFinish(content))
            body.append("\"}")
        }
        body.append("]")
        if connection.pointee.script.usage != .missing {
            body.append(",\"usage\":")
            writeUsage(connection, content, choices: choices, details: true, into: &body)
        }
        body.append(",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\"}")
        countTokens(connection, content.outputTokens * choices)
    }

    private func writeCalls(_ connection: UnsafeMutablePointer<MockConnection>, _ content: MockContent, _ choice: Int) {
        body.append(",\"tool_calls\":[")
        for call in 0 ..< content.calls {
            body.append(call == 0 ? "{\"id\":\"" : ",{\"id\":\"")
            writeCallId(connection, "call_", choice * content.calls + call, into: &body)
            body.append("\",\"type\":\"function\",\"function\":{\"name\":\"")
            writeToolName(connection, into: &body)
            body.append("\",\"arguments\":\"")
            body.append(MockCall.escaped)
            body.append("\"}}")
        }
        body.append("]")
    }

    func writeCompletion(_ connection: UnsafeMutablePointer<MockConnection>) {
        let content = content(connection)
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
            writeText(content, into: &body)
            body.append("\",\"index\":")
            body.append(decimal: UInt64(choice))
            body.append(",\"logprobs\":null,\"finish_reason\":\"")
            body.append(Self.openAIFinish(content))
            body.append("\"}")
        }
        body.append("]")
        if connection.pointee.script.usage != .missing {
            body.append(",\"usage\":")
            writeUsage(connection, content, choices: choices, details: false, into: &body)
        }
        body.append("}")
        countTokens(connection, content.outputTokens * choices)
    }

    private static func openAIFinish(_ content: MockContent) -> StaticString {
        switch content.finish {
        case .stop: "stop"
        case .length: "length"
        case .calls: "tool_calls"
        }
    }

    private func writeUsage(
        _ connection: UnsafeMutablePointer<MockConnection>, _ content: MockContent, choices: Int, details: Bool, into target: inout OutputBytes
    ) {
        let prompt = connection.pointee.glance.promptTokens
        let completion = content.outputTokens * choices
        target.append("{\"prompt_tokens\":")
        target.append(decimal: prompt)
        target.append(",\"completion_tokens\":")
        writeOutputCount(connection, completion, into: &target)
        target.append(",\"total_tokens\":")
        target.append(decimal: prompt + UInt64(completion))
        if details {
            target.append(",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":")
            target.append(decimal: UInt64(content.thought.tokens * choices))
            target.append(",\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}")
        }
        target.append("}")
    }

    // ---- streams ----

    /// Everything of a chunk up to its choices.
    func writeOpenAIPrefix(_ connection: UnsafeMutablePointer<MockConnection>) {
        let isChat = connection.pointee.endpoint == .chat
        body.append("{\"id\":\"")
        writeId(connection, isChat ? "chatcmpl-" : "cmpl-", into: &body)
        body.append(isChat ? "\",\"object\":\"chat.completion.chunk\",\"created\":" : "\",\"object\":\"text_completion\",\"created\":")
        body.append(decimal: realtime / 1_000_000_000)
        body.append(",\"model\":\"")
        writeModel(connection, into: &body)
        body.append(isChat ? "\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\",\"choices\":[" : "\",\"choices\":[")
    }

    func renderOpenAI(_ connection: UnsafeMutablePointer<MockConnection>, _ moment: MockMoment, _ choice: Int) -> Bool {
        guard case .tail(let place) = moment, place >= connection.pointee.stream.choices else {
            renderChunk(connection, moment, choice)
            return true
        }
        switch tail(connection, place - connection.pointee.stream.choices) {
        case .usage: renderUsage(connection)
        case .done: renderDone(connection)
        case .end: return false
        }
        return true
    }

    private enum Tail { case usage, done, end }

    /// What follows the last choice.
    private func tail(_ connection: UnsafeMutablePointer<MockConnection>, _ place: Int) -> Tail {
        let usage = connection.pointee.script.usage
        let asked = connection.pointee.glance.includeUsage
        var usages = 0
        if asked {
            switch usage {
            case .missing, .first, .afterDone, .unasked: usages = 0
            case .twice: usages = 2
            default: usages = 1
            }
        }
        if place < usages { return .usage }
        let dones = connection.pointee.script.leavesOutDone ? 0 : 1
        if place < usages + dones { return .done }
        if asked && usage == .afterDone && place == usages + dones { return .usage }
        return .end
    }

    private func renderChunk(_ connection: UnsafeMutablePointer<MockConnection>, _ moment: MockMoment, _ choice: Int) {
        let chunk = openEvent(connection)
        writePrefix(connection)
        if connection.pointee.endpoint == .chat {
            out.append("{\"index\":")
            out.append(decimal: UInt64(choice))
            out.append(",\"delta\":{")
            writeDelta(connection, moment, choice)
            out.append("},\"logprobs\":null,\"finish_reason\":")
        } else {
            out.append("{\"text\":\"")
            if case .text(let token) = moment { writeTextToken(connection, token) }
            out.append("\",\"index\":")
            out.append(decimal: UInt64(choice))
            out.append(",\"logprobs\":null,\"finish_reason\":")
        }
        if case .tail = moment {
            out.append("\"")
            out.append(Self.openAIFinish(connection.pointee.stream.content))
            out.append("\"}]")
        } else {
            out.append("null}]")
        }
        if connection.pointee.script.usage == .unasked {
            if case .tail = moment {
                out.append(",\"usage\":")
                writeUsage(connection, connection.pointee.stream.content, choices: connection.pointee.stream.choices, details: false, into: &out)
            }
        } else if connection.pointee.glance.includeUsage {
            if connection.pointee.script.usage == .first && connection.pointee.stream.events == 0 {
                out.append(",\"usage\":")
                writeUsage(connection, connection.pointee.stream.content, choices: connection.pointee.stream.choices, details: true, into: &out)
            } else {
                out.append(",\"usage\":null")
            }
        }
        out.append("}")
        closeEvent(connection, chunk)
    }

    private func writeDelta(_ connection: UnsafeMutablePointer<MockConnection>, _ moment: MockMoment, _ choice: Int) {
        switch moment {
        case .lead:
            let isCall = connection.pointee.stream.content.text.tokens == 0
            out.append(isCall ? "\"role\":\"assistant\",\"content\":null,\"refusal\":null" : "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null")
        case .thinking(let token):
            out.append("\"reasoning_content\":\"")
            writeThoughtToken(connection, token)
            out.append("\"")
        case .text(let token):
            out.append("\"content\":\"")
            writeTextToken(connection, token)
            out.append("\"")
        case .callOpen(let call, _):
            out.append("\"tool_calls\":[{\"index\":")
            out.append(decimal: UInt64(call))
            out.append(",\"id\":\"")
            writeCallId(connection, "call_", choice * connection.pointee.stream.content.calls + call, into: &out)
            out.append("\",\"type\":\"function\",\"function\":{\"name\":\"")
            writeToolName(connection, into: &out)
            out.append("\",\"arguments\":\"\"}}]")
        case .callPart(let call, let part):
            out.append("\"tool_calls\":[{\"index\":")
            out.append(decimal: UInt64(call))
            out.append(",\"function\":{\"arguments\":\"")
            writeCallPart(connection, part)
            out.append("\"}}]")
        case .thinkingOpen, .thinkingClose, .textOpen, .textClose, .callClose, .tail:
            break
        }
    }

    private func renderUsage(_ connection: UnsafeMutablePointer<MockConnection>) {
        let chunk = openEvent(connection)
        writePrefix(connection)
        out.append("],\"usage\":")
        writeUsage(
            connection, connection.pointee.stream.content, choices: connection.pointee.stream.choices, details: connection.pointee.endpoint == .chat, into: &out)
        out.append("}")
        closeEvent(connection, chunk)
    }

    /// The end of OpenAI's streams, and of Cohere's.
    func renderDone(_ connection: UnsafeMutablePointer<MockConnection>) {
        let chunk = openEvent(connection)
        out.append("[DONE]")
        closeEvent(connection, chunk)
    }
}
