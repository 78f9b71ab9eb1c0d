// Whole answers of /v2/chat.
import ClawWire

extension CohereDialect {
    public static func readAnswer(_ body: JSONValue, into answer: Answer) -> Bool {
        let message = body["message"]
        let word = body["finish_reason"]
        if message.isString {
            // An error that a 200 went before.
            answer.error = readError(status: 502, body, text: UnsafeRawBufferPointer(start: nil, count: 0), kind: JSONBytes(), answer.arena)
            return false
        }
        guard body.isObject, message.isObject else { return false }
        let finish = self.finish(word)
        if finish == .error {
            answer.error = failure(word, body["error"].text, body.raw)
            return false
        }
        answer.id = body["id"].text
        answer.beginChoice()
        if message["content"].isString { answer.add(.text(message["content"].text)) }
        for element in message["content"].elements {
            if let part = part(element) {
                answer.add(part)
            } else {
                var part = Part(.opaque)
                part.json = element.raw
                answer.add(part)
            }
        }
        // What was thought comes first, as in a stream.
        if message["tool_plan"].isString, !message["tool_plan"].text.isEmpty { answer.add(planPart(message["tool_plan"].text)) }
        for call in message["tool_calls"].elements {
            guard let part = self.call(call) else { return false }
            answer.add(part)
        }
        for member in message.members where !isOfMessage(member.key) { answer.extra(.message, 0, member) }
        answer.choices[0].nativeFinish = word.text
        answer.choices[0].finish = finish == .unset ? .other : finish
        answer.choices[0].logprobs = logprobs(body["logprobs"], answer.arena)
        answer.usage = usage(body["usage"])
        for member in body["usage"].members where !member.key.equals("billed_units") { answer.extra(.usage, 0, member) }
        for member in body["usage"]["billed_units"].members where !isOfBilled(member.key) { answer.extra(.usage, 1, member) }
        for (key, value) in body.members
        where !key.equals("id") && !key.equals("message") && !key.equals("finish_reason") && !key.equals("usage") {
            answer.extra(.root, 0, (key, value))
        }
        return true
    }

    /// Cohere's `[{text, token_ids, logprobs}]` as OpenAI's object. A piece of several tokens stays one, with the probability of them all.
    private static func logprobs(_ value: JSONValue, _ arena: ArenaBox) -> JSONBytes {
        guard value.isArray, value.count > 0 else { return JSONBytes() }
        var out = JSONWriter(limit: 16 << 20)
        out.beginObject()
        out.key("content")
        out.beginArray()
        for piece in value.elements {
            var sum = 0.0
            for one in piece["logprobs"].elements { sum += one.double ?? 0 }
            out.beginObject()
            out.member("token", piece["text"].text.exists ? piece["text"].text : JSONBytes(""))
            out.key("logprob")
            out.number(sum)
            out.null("bytes")
            out.member("top_logprobs", raw: JSONBytes("[]"))
            out.endObject()
        }
        out.endArray()
        out.null("refusal")
        out.endObject()
        return out.isOverflown ? JSONBytes() : arena.arena.copy(out.written)
    }

    public static func writeAnswer(_ answer: Answer, _ context: AnswerContext, into out: inout JSONWriter) {
        let isOwn = answer.source == .cohere
        let choice = answer.choices.first ?? Choice()
        let parts = answer.parts[choice.parts]
        out.beginObject()
        out.member("id", answer.id.isEmpty ? Identifiers.make("", seed: context.seed, &answer.arena.arena) : answer.id)
        out.key("message")
        out.beginObject()
        out.member("role", "assistant")
        if parts.contains(where: isPlan) {
            out.key("tool_plan")
            JSONPieces.beginString(&out)
            for part in parts where isPlan(part) { out.put(part.text) }
            JSONPieces.endString(&out)
        }
        if parts.contains(where: { $0.kind == .text || $0.kind == .refusal || ($0.kind == .thinking && !isPlan($0)) || (isOwn && $0.kind == .opaque) }) {
            out.key("content")
            out.beginArray()
            for part in parts {
                switch part.kind {
                case .text, .refusal: writeText(part.text, into: &out)
                case .thinking where !isPlan(part):
                    out.beginObject()
                    out.member("type", "thinking")
                    out.member("thinking", part.text)
                    out.endObject()
                case .opaque where isOwn: out.value(part.json)
                default: break
                }
            }
            out.endArray()
        }
        let hasCalls = answer.hasCalls(choice)
        if hasCalls {
            out.key("tool_calls")
            out.beginArray()
            var ordinal = 0
            for part in parts where part.kind == .toolCall {
                out.beginObject()
                out.member("id", part.id.isEmpty ? Identifiers.make("call_", seed: context.seed, ordinal: ordinal, &answer.arena.arena) : part.id)
                out.member("type", "function")
                out.key("function")
                out.beginObject()
                out.member("name", part.name)
                writeArguments(part, isOwn: isOwn, into: &out)
                out.endObject()
                out.endObject()
                ordinal += 1
            }
            out.endArray()
        }
        answer.writeExtras(.message, 0, as: .cohere, into: &out)
        out.endObject()
        if isOwn { out.member(ifPresent: "finish_reason", choice.nativeFinish) } else { out.member("finish_reason", word(choice.finish, hasCalls: hasCalls)) }
        if answer.usage.isKnown || (isOwn && answer.extras.contains { $0.scope == .usage }) {
            out.key("usage")
            writeUsage(answer.usage, isOwn ? answer.extras : nil, into: &out)
        }
        answer.writeExtras(.root, 0, as: .cohere, into: &out)
        out.endObject()
    }
}
