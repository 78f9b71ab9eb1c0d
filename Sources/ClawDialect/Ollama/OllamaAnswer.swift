// Whole answers of /api/chat and /api/generate, which differ in where their texts are. What an Ollama says besides (durations, a prompt's tokens) is kept as
// extras of the root for whoever asked in the same dialect.
import ClawWire

enum OllamaAnswer {
    static func read(_ body: JSONValue, into answer: Answer, generates: Bool) -> Bool {
        guard body.isObject else { return false }
        if body["error"].isPresent {
            answer.error = error(body, answer.source)
            return false
        }
        let message = generates ? body : body["message"]
        let text = generates ? body["response"] : message["content"]
        guard generates ? text.isString : message.isObject else { return false }
        answer.model = body["model"].text
        answer.created = OllamaTime.seconds(body["created_at"].text)
        answer.beginChoice()
        let thinking = message["thinking"].text
        if !thinking.isEmpty {
            var part = Part(.thinking)
            part.text = thinking
            answer.add(part)
        }
        if !text.text.isEmpty { answer.add(.text(text.text)) }
        var hasCalls = false
        if !generates {
            for call in message["tool_calls"].elements {
                hasCalls = true
                answer.add(self.call(call))
            }
            for member in message.members where !isOfMessage(member.key) { answer.extra(.message, 0, member) }
        }
        let words = body["done_reason"]
        answer.choices[0].nativeFinish = words.text
        answer.choices[0].finish = finish(words, hasCalls: hasCalls)
        answer.usage = usage(body)
        if body["logprobs"].isArray {
            answer.choices[0].logprobs = answer.arena.arena.joined(JSONBytes(#"{"content":"#), body["logprobs"].raw, JSONBytes(#","refusal":null}"#))
        }
        for member in body.members where !isOfAnswer(member.key, generates) { answer.extra(.root, 0, member) }
        return true
    }

    static func error(_ body: JSONValue, _ source: DialectID) -> ProviderError {
        let word = body["error"]
        let message = word.isString ? word.text : word["message"].text
        var error = ProviderError(status: 502, problem: OllamaDialect.problem(502, message))
        error.message = message
        error.native = body.raw
        error.source = source
        return error
    }

    static func call(_ call: JSONValue) -> Part {
        let function = call["function"]
        var part = Part(.toolCall)
        part.id = call["id"].text.exists ? call["id"].text : JSONBytes("")
        part.name = function["name"].text
        let arguments = function["arguments"]
        if arguments.isObject { part.json = arguments.raw } else if arguments.isString { part.text = arguments.text } else { part.json = JSONBytes("{}") }
        if function["index"].kind == .number { part.detail = function["index"].raw }
        return part
    }

    /// Calls end with `stop`; older versions give no reason at all.
    static func finish(_ word: JSONValue, hasCalls: Bool) -> Finish {
        if word.equals("length") { return .length }
        if hasCalls { return .toolCalls }
        if !word.isPresent || word.equals("stop") || word.equals("load") || word.equals("unload") { return .stop }
        return .other
    }

    /// A prompt that was wholly cached has no count (older versions): then it is 0.
    static func usage(_ body: JSONValue) -> Usage {
        var usage = Usage()
        let input = body["prompt_eval_count"].tokens
        let output = body["eval_count"].tokens
        guard input != nil || output != nil else { return usage }
        usage.setInput(sum: input ?? 0)
        usage.setOutput(sum: output ?? 0)
        return usage
    }

    static func isOfMessage(_ key: JSONValue) -> Bool {
        key.equals("role") || key.equals("content") || key.equals("thinking") || key.equals("tool_calls")
    }
    static func isOfAnswer(_ key: JSONValue, _ generates: Bool) -> Bool {
        if key.equals("model") || key.equals("done") || key.equals("done_reason") || key.equals("prompt_eval_count") || key.equals("eval_count") { return true }
        return generates ? key.equals("response") || key.equals("thinking") : key.equals("message")
    }

    // MARK: writing

    static func write(_ answer: Answer, _ context: AnswerContext, into out: inout JSONWriter, generates: Bool) {
        let dialect: DialectID = generates ? .ollamaGenerate : .ollama
        let isOwn = answer.source == dialect
        let choice = answer.choices.first ?? Choice()
        out.beginObject()
        out.member("model", answer.model.isEmpty ? context.model : answer.model)
        if !isOwn {
            out.key("created_at")
            JSONPieces.beginString(&out)
            OllamaTime.put(answer.created > 0 ? answer.created : context.now, into: &out)
            JSONPieces.endString(&out)
        }
        if !generates {
            out.key("message")
            out.beginObject()
            out.member("role", "assistant")
        }
        out.key(generates ? "response" : "content")
        join(answer, choice, thinking: false, into: &out)
        if answer.parts[choice.parts].contains(where: { $0.kind == .thinking && !$0.text.isEmpty }) {
            out.key("thinking")
            join(answer, choice, thinking: true, into: &out)
        }
        if !generates {
            if answer.hasCalls(choice) { writeCalls(answer, choice, context, isOwn: isOwn, into: &out) }
            answer.writeExtras(.message, 0, as: dialect, into: &out)
            out.endObject()
        }
        out.member("done", true)
        if isOwn { out.member(ifPresent: "done_reason", choice.nativeFinish) } else { out.member("done_reason", reason(choice.finish)) }
        writeCounts(answer.usage, isOwn: isOwn, into: &out)
        if isOwn {
            answer.writeExtras(.root, 0, as: dialect, into: &out)
        } else if choice.logprobs.exists, answer.arena.tape.read(choice.logprobs.raw) == nil, answer.arena.tape.root["content"].isArray {
            out.member("logprobs", raw: answer.arena.tape.root["content"].raw)
        }
        out.endObject()
    }

    static func reason(_ finish: Finish) -> StaticString { finish == .length || finish == .contextWindow ? "length" : "stop" }

    /// Counts, and durations in nanoseconds: the gateway knows none of its own. Ollama itself leaves out what is 0.
    static func writeCounts(_ usage: Usage, isOwn: Bool, into out: inout JSONWriter) {
        if !isOwn {
            out.member("total_duration", 0)
            out.member("load_duration", 0)
        }
        if usage.hasInput, !isOwn || usage.input > 0 { out.member("prompt_eval_count", usage.input) }
        if !isOwn { out.member("prompt_eval_duration", 0) }
        if usage.hasOutput, !isOwn || usage.output > 0 { out.member("eval_count", usage.output) }
        if !isOwn { out.member("eval_duration", 0) }
    }

    private static func join(_ answer: Answer, _ choice: Choice, thinking: Bool, into out: inout JSONWriter) {
        JSONPieces.beginString(&out)
        for part in answer.parts[choice.parts] {
            let isWanted = thinking ? part.kind == .thinking : part.kind == .text || part.kind == .refusal
            if isWanted { out.put(part.text) }
        }
        JSONPieces.endString(&out)
    }

    private static func writeCalls(_ answer: Answer, _ choice: Choice, _ context: AnswerContext, isOwn: Bool, into out: inout JSONWriter) {
        out.key("tool_calls")
        out.beginArray()
        var ordinal = 0
        for part in answer.parts[choice.parts] where part.kind == .toolCall {
            let id = part.id.isEmpty && !isOwn ? Identifiers.make("call_", seed: context.seed, ordinal: ordinal, &answer.arena.arena) : part.id
            out.beginObject()
            if !id.isEmpty { out.member("id", id) }
            out.key("function")
            out.beginObject()
            if isOwn { out.member(ifPresent: "index", raw: part.detail) } else { out.member("index", Int64(ordinal)) }
            out.member("name", part.name)
            out.member("arguments", raw: answer.argumentsObject(part))
            out.endObject()
            out.endObject()
            ordinal += 1
        }
        out.endArray()
    }
}
