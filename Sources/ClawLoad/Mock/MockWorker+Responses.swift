// What the mock says in OpenAI's Responses API, plain and streamed. Thinking is a reasoning item with a summary, text a message item, each call an item of its own.

extension MockWorker {
    /// The whole Responses object; `status` in_progress has no output and no usage yet.
    func writeResponse(_ connection: UnsafeMutablePointer<MockConnection>, status: StaticString, into target: inout OutputBytes) {
        let content = content(connection)
        let isDone = status.utf8CodeUnitCount == 9 // completed
        let isCut = isDone && content.finish == .length
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
        if isDone {
            if content.thought.tokens > 0 {
                writeReasoningItem(connection, content, into: &target)
                if content.text.tokens > 0 || content.calls > 0 { target.append(",") }
            }
            if content.text.tokens > 0 {
                writeMessageItem(connection, content, into: &target)
                if content.calls > 0 { target.append(",") }
            }
            for call in 0 ..< content.calls {
                if call > 0 { target.append(",") }
                writeCallItem(connection, call, isDone: true, into: &target)
            }
        }
        target.append("],\"parallel_tool_calls\":true,\"previous_response_id\":null,\"reasoning\":{\"effort\":null,\"summary\":null},\"service_tier\":\"default\",\"store\":true,\"temperature\":1.0,\"text\":{\"format\":{\"type\":\"text\"},\"verbosity\":\"medium\"},\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"truncation\":\"disabled\",\"usage\":")
        if isDone && connection.pointee.script.usage != .missing {
            let prompt = connection.pointee.glance.promptTokens
            target.append("{\"input_tokens\":")
            target.append(decimal: prompt)
            target.append(",\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":")
            writeOutputCount(connection, content.outputTokens, into: &target)
            target.append(",\"output_tokens_details\":{\"reasoning_tokens\":")
            target.append(decimal: UInt64(content.thought.tokens))
            target.append("},\"total_tokens\":")
            target.append(decimal: prompt + UInt64(content.outputTokens))
            target.append("}")
        } else {
            target.append("null")
        }
        target.append(",\"user\":null,\"metadata\":{}}")
        if isDone && !connection.pointee.stream.isActive { countTokens(connection, content.outputTokens) }
    }

    private func writeReasoningItem(_ connection: UnsafeMutablePointer<MockConnection>, _ content: MockContent, into target: inout OutputBytes) {
        target.append("{\"id\":\"")
        writeId(connection, "rs_", into: &target)
        target.append("\",\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"")
        writeWhole(connection, content.thought, into: &target)
        target.append("\"}],\"encrypted_content\":\"")
        target.append(Self.signature)
        target.append("\"}")
    }

    private func writeMessageItem(_ connection: UnsafeMutablePointer<MockConnection>, _ content: MockContent, into target: inout OutputBytes) {
        target.append("{\"id\":\"")
        writeId(connection, "msg_", into: &target)
        target.append("\",\"type\":\"message\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"")
        writeWholeText(connection, content, into: &target)
        target.append("\"}],\"role\":\"assistant\"}")
    }

    private func writeCallItem(_ connection: UnsafeMutablePointer<MockConnection>, _ call: Int, isDone: Bool, into target: inout OutputBytes) {
        target.append("{\"id\":\"")
        writeCallId(connection, "fc_", call, into: &target)
        target.append(isDone ? "\",\"type\":\"function_call\",\"status\":\"completed\",\"arguments\":\"" : "\",\"type\":\"function_call\",\"status\":\"in_progress\",\"arguments\":\"")
        if isDone { target.append(MockCall.escaped) }
        target.append("\",\"call_id\":\"")
        writeCallId(connection, "call_", call, into: &target)
        target.append("\",\"name\":\"")
        writeToolName(connection, into: &target)
        target.append("\"}")
    }

    /// A text as the deltas of the stream, which may be padded, add up to.
    private func writeWhole(_ connection: UnsafeMutablePointer<MockConnection>, _ text: AnswerText, into target: inout OutputBytes) {
        let padded = connection.pointee.stream.isActive ? connection.pointee.script.eventBytes : 0
        guard padded > 0 else {
            vocabulary.write(text, into: &target)
            return
        }
        for token in 0 ..< text.tokens {
            let start = target.count
            vocabulary.write(token: token, of: text, into: &target)
            target.append(repeating: 0x78, padded - (target.count - start))
        }
    }

    private func writeWholeText(_ connection: UnsafeMutablePointer<MockConnection>, _ content: MockContent, into target: inout OutputBytes) {
        if content.isJSON { target.append(Self.jsonOpening) }
        writeWhole(connection, content.text, into: &target)
        if content.isJSON && !content.isCut { target.append(Self.jsonClosing) }
    }

    // ---- streams ----

    func renderResponses(_ connection: UnsafeMutablePointer<MockConnection>, _ moment: MockMoment, _ step: Int) -> Bool {
        let content = connection.pointee.stream.content
        let chunk: Int
        switch moment {
        case .lead(let place):
            chunk = openEvent(connection, name: place == 0 ? "response.created" : "response.in_progress")
            out.append(place == 0 ? "{\"type\":\"response.created\",\"response\":" : "{\"type\":\"response.in_progress\",\"response\":")
            writeResponse(connection, status: "in_progress", into: &out)

        case .thinkingOpen(0):
            chunk = openEvent(connection, name: "response.output_item.added")
            out.append("{\"type\":\"response.output_item.added\",\"item\":{\"id\":\"")
            writeId(connection, "rs_")
            out.append("\",\"type\":\"reasoning\",\"summary\":[]},\"output_index\":0")
        case .thinkingOpen:
            chunk = openEvent(connection, name: "response.reasoning_summary_part.added")
            openSummaryEvent(connection, "{\"type\":\"response.reasoning_summary_part.added\",\"summary_index\":0,\"item_id\":\"")
            out.append(",\"part\":{\"type\":\"summary_text\",\"text\":\"\"}")
        case .thinking(let token):
            chunk = openEvent(connection, name: "response.reasoning_summary_text.delta")
            openSummaryEvent(connection, "{\"type\":\"response.reasoning_summary_text.delta\",\"summary_index\":0,\"item_id\":\"")
            out.append(",\"delta\":\"")
            writeThoughtToken(connection, token)
            out.append("\"")
        case .thinkingClose(0):
            chunk = openEvent(connection, name: "response.reasoning_summary_text.done")
            openSummaryEvent(connection, "{\"type\":\"response.reasoning_summary_text.done\",\"summary_index\":0,\"item_id\":\"")
            out.append(",\"text\":\"")
            writeWhole(connection, content.thought, into: &out)
            out.append("\"")
        case .thinkingClose(1):
            chunk = openEvent(connection, name: "response.reasoning_summary_part.done")
            openSummaryEvent(connection, "{\"type\":\"response.reasoning_summary_part.done\",\"summary_index\":0,\"item_id\":\"")
            out.append(",\"part\":{\"type\":\"summary_text\",\"text\":\"")
            writeWhole(connection, content.thought, into: &out)
            out.append("\"}")
        case .thinkingClose:
            chunk = openEvent(connection, name: "response.output_item.done")
            out.append("{\"type\":\"response.output_item.done\",\"item\":")
            writeReasoningItem(connection, content, into: &out)
            out.append(",\"output_index\":0")

        case .textOpen(0):
            chunk = openEvent(connection, name: "response.output_item.added")
            out.append("{\"type\":\"response.output_item.added\",\"item\":{\"id\":\"")
            writeId(connection, "msg_")
            out.append("\",\"type\":\"message\",\"status\":\"in_progress\",\"content\":[],\"role\":\"assistant\"}")
            writeOutputIndex(content.textIndex)
        case .textOpen:
            chunk = openEvent(connection, name: "response.content_part.added")
            openTextEvent(connection, "{\"type\":\"response.content_part.added\",\"content_index\":0,\"item_id\":\"")
            out.append(",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"\"}")
        case .text(let token):
            chunk = openEvent(connection, name: "response.output_text.delta")
            openTextEvent(connection, "{\"type\":\"response.output_text.delta\",\"content_index\":0,\"item_id\":\"")
            out.append(",\"delta\":\"")
            writeTextToken(connection, token)
            out.append("\",\"logprobs\":[]")
        case .textClose(0):
            chunk = openEvent(connection, name: "response.output_text.done")
            openTextEvent(connection, "{\"type\":\"response.output_text.done\",\"content_index\":0,\"item_id\":\"")
            out.append(",\"logprobs\":[],\"text\":\"")
            writeWholeText(connection, content, into: &out)
            out.append("\"")
        case .textClose(1):
            chunk = openEvent(connection, name: "response.content_part.done")
            openTextEvent(connection, "{\"type\":\"response.content_part.done\",\"content_index\":0,\"item_id\":\"")
            out.append(",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"")
            writeWholeText(connection, content, into: &out)
            out.append("\"}")
        case .textClose:
            chunk = openEvent(connection, name: "response.output_item.done")
            out.append("{\"type\":\"response.output_item.done\",\"item\":")
            writeMessageItem(connection, content, into: &out)
            writeOutputIndex(content.textIndex)

        case .callOpen(let call, _):
            chunk = openEvent(connection, name: "response.output_item.added")
            out.append("{\"type\":\"response.output_item.added\",\"item\":")
            writeCallItem(connection, call, isDone: false, into: &out)
            writeOutputIndex(content.callIndex + call)
        case .callPart(let call, let part):
            chunk = openEvent(connection, name: "response.function_call_arguments.delta")
            out.append("{\"type\":\"response.function_call_arguments.delta\",\"item_id\":\"")
            writeCallId(connection, "fc_", call, into: &out)
            out.append("\"")
            writeOutputIndex(content.callIndex + call)
            out.append(",\"delta\":\"")
            writeCallPart(connection, part)
            out.append("\"")
        case .callClose(let call, 0):
            chunk = openEvent(connection, name: "response.function_call_arguments.done")
            out.append("{\"type\":\"response.function_call_arguments.done\",\"item_id\":\"")
            writeCallId(connection, "fc_", call, into: &out)
            out.append("\"")
            writeOutputIndex(content.callIndex + call)
            out.append(",\"arguments\":\"")
            out.append(MockCall.escaped)
            out.append("\"")
        case .callClose(let call, _):
            chunk = openEvent(connection, name: "response.output_item.done")
            out.append("{\"type\":\"response.output_item.done\",\"item\":")
            writeCallItem(connection, call, isDone: true, into: &out)
            writeOutputIndex(content.callIndex + call)

        case .tail(0) where !connection.pointee.script.leavesOutDone:
            let isCut = content.finish == .length
            chunk = openEvent(connection, name: isCut ? "response.incomplete" : "response.completed")
            out.append(isCut ? "{\"type\":\"response.incomplete\",\"response\":" : "{\"type\":\"response.completed\",\"response\":")
            writeResponse(connection, status: "completed", into: &out)
        case .tail:
            return false
        }
        out.append(",\"sequence_number\":")
        out.append(decimal: UInt64(step))
        out.append("}")
        closeEvent(connection, chunk)
        return true
    }

    private func openTextEvent(_ connection: UnsafeMutablePointer<MockConnection>, _ start: StaticString) {
        out.append(start)
        writeId(connection, "msg_")
        out.append("\"")
        writeOutputIndex(connection.pointee.stream.content.textIndex)
    }

    private func openSummaryEvent(_ connection: UnsafeMutablePointer<MockConnection>, _ start: StaticString) {
        out.append(start)
        writeId(connection, "rs_")
        out.append("\"")
        writeOutputIndex(0)
    }

    private func writeOutputIndex(_ index: Int) {
        out.append(",\"output_index\":")
        out.append(decimal: UInt64(index))
    }
}
