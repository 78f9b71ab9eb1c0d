// Reads a whole answer. Its output items become parts of the one choice there is; members the model has no word for are extras: of the response itself in
// scope `root`, of an item in `message` (by its first part), of a piece of content in `part`, of the usage in `usage` (0 itself, 1 and 2 its details).
import ClawWire

extension ResponsesDialect {
    public static func readAnswer(_ body: JSONValue, into answer: Answer) -> Bool {
        let output = body["output"]
        let status = body["status"]
        let error = body["error"]
        if error.isObject || status.equals("failed") || status.equals("cancelled") {
            var problem = inBand(error)
            problem.native = body.raw
            answer.error = problem
            return false
        }
        // Queued or under way: an answer that has to be asked for again.
        guard output.isArray, !status.equals("queued"), !status.equals("in_progress") else { return false }
        answer.id = body["id"].text
        answer.model = body["model"].text
        answer.created = body["created_at"].int ?? Int64(body["created_at"].double.map { max(0, min($0, 4e9)) } ?? 0)
        if body["service_tier"].isString { answer.serviceTier = body["service_tier"].text }
        let usage = body["usage"]
        answer.usage = readUsage(usage)
        keepUsageExtras(usage, in: answer)
        answer.beginChoice()
        var logprobs = JSONBytes()
        for item in output.elements {
            guard answer.parts.count < Conversation.countMax else { return false }
            readItem(item, into: answer, logprobs: &logprobs)
        }
        let end = readFinish(body, hasCalls: answer.parts.contains { $0.kind == .toolCall })
        answer.choices[0].finish = end.finish
        answer.choices[0].nativeFinish = end.native
        answer.choices[0].logprobs = logprobs
        for member in body.members {
            let key = member.key
            if isOneOf(key, "id", "object", "created_at", "status") || isOneOf(key, "model", "output", "usage", "error") { continue }
            if key.equals("incomplete_details") || (key.equals("service_tier") && member.value.isString) { continue }
            answer.extra(.root, 0, member)
        }
        return true
    }

    /// From the response's `status` and `incomplete_details`; the native word is the reason where there is one.
    static func readFinish(_ response: JSONValue, hasCalls: Bool) -> (finish: Finish, native: JSONBytes) {
        let reason = response["incomplete_details"]["reason"]
        if response["status"].equals("incomplete") || reason.isString {
            let native = reason.isString ? reason.text : JSONBytes("incomplete")
            if reason.equals("max_output_tokens") || reason.equals("max_messages") { return (.length, native) }
            if reason.equals("content_filter") { return (.contentFilter, native) }
            return (.other, native)
        }
        return (hasCalls ? .toolCalls : .stop, JSONBytes("completed"))
    }

    static func readUsage(_ usage: JSONValue) -> Usage {
        var out = Usage()
        guard usage.isObject else { return out }
        let input = usage["input_tokens_details"]
        if let sum = usage["input_tokens"].tokens {
            out.setInput(sum: sum, cacheRead: input["cached_tokens"].tokens ?? 0, cacheWrite: input["cache_write_tokens"].tokens ?? 0)
        }
        if let sum = usage["output_tokens"].tokens {
            out.setOutput(sum: sum, reasoning: usage["output_tokens_details"]["reasoning_tokens"].tokens ?? 0)
        }
        if let total = usage["total_tokens"].tokens, total > out.input + out.output { out.statedTotal = total }
        return out
    }

    private static func keepUsageExtras(_ usage: JSONValue, in answer: Answer) {
        for member in usage.members {
            let key = member.key
            if isOneOf(key, "input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details") || key.equals("total_tokens") { continue }
            answer.extra(.usage, 0, member)
        }
        // cache_write_tokens among them: older models do not state it, so whether it was there is part of the answer.
        for member in usage["input_tokens_details"].members where !member.key.equals("cached_tokens") { answer.extra(.usage, 1, member) }
        for member in usage["output_tokens_details"].members where !member.key.equals("reasoning_tokens") { answer.extra(.usage, 2, member) }
    }

    // MARK: items

    private static func readItem(_ item: JSONValue, into answer: Answer, logprobs: inout JSONBytes) {
        let type = item["type"]
        let first = answer.parts.count
        var isWhole = false
        if type.equals("message") {
            var form = ItemForm.start
            for value in item["content"].elements {
                var part = readPiece(value, answer.parts.count, into: answer, logprobs: &logprobs)
                part.form |= form
                part.itemID = item["id"].text
                form = 0
                answer.add(part)
            }
            isWhole = form == 0
        } else if type.equals("function_call") || type.equals("custom_tool_call"), item["name"].isString {
            var part = Part(.toolCall)
            part.form = ItemForm.start
            part.isCustom = type.equals("custom_tool_call")
            part.id = item["call_id"].text
            part.itemID = item["id"].text
            part.name = item["name"].text
            part.text = item[part.isCustom ? "input" : "arguments"].text
            answer.add(part)
            isWhole = true
        } else if type.equals("reasoning") {
            var part = Part(.thinking)
            part.form = ItemForm.start
            part.itemID = item["id"].text
            part.text = thoughts(of: item, &answer.arena.arena)
            part.json = item.raw
            part.signature = item["encrypted_content"].text
            if !part.signature.isEmpty { part.signatureOf = .responses }
            if !part.text.isEmpty || !part.signature.isEmpty {
                // Written back as it is, with all its members.
                return answer.add(part)
            }
        }
        if !isWhole {
            // Hosted tools' calls, reasoning without a word, messages without content.
            var part = Part(.opaque)
            part.form = ItemForm.start
            part.json = item.raw
            return answer.add(part)
        }
        for member in item.members {
            let key = member.key
            let isRead = isOneOf(key, "type", "content", "role", "id") || key.equals("call_id") || key.equals("name")
                || key.equals(answer.parts[first].isCustom ? "input" : "arguments")
            if !isRead || (member.value.kind == .null && key.equals("id")) { answer.extra(.message, first, member) }
        }
    }

    private static func readPiece(_ value: JSONValue, _ index: Int, into answer: Answer, logprobs: inout JSONBytes) -> Part {
        var part: Part
        if value["type"].equals("output_text"), value["text"].isString {
            part = .text(value["text"].text)
            let annotations = value["annotations"]
            if annotations.isArray, annotations.first.exists { part.citations = annotations.raw }
            let tokens = value["logprobs"]
            if !logprobs.exists, tokens.isArray, tokens.first.exists {
                // The chat API's object, which is what the model holds.
                logprobs = answer.arena.arena.joined(JSONBytes("{\"content\":"), tokens.raw, JSONBytes(",\"refusal\":null}"))
            }
        } else if value["type"].equals("refusal"), value["refusal"].isString {
            part = Part(.refusal)
            part.text = value["refusal"].text
        } else {
            part = Part(.opaque)
            part.form = ItemForm.piece
            part.json = value.raw
            return part
        }
        for member in value.members where !member.key.equals("type") && !member.key.equals(part.kind == .text ? "text" : "refusal") {
            answer.extra(.part, index, member)
        }
        return part
    }
}
