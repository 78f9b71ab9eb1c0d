// Reads and writes whole chat answers. What is read here and written here is the same value: known members that say more than the model holds (a list as
// content, `reasoning` for `reasoning_content`, usage with prices in it) are kept as extras or as the part's own name, and go back as they were.
import ClawWire

extension ChatDialect {
    /// More choices than a request can ask for.
    static let choicesMax = 128

    public static func readAnswer(_ body: JSONValue, into answer: Answer) -> Bool {
        guard readEnvelope(body, into: answer) else { return false }
        for choice in body["choices"].elements {
            guard choice.isObject, answer.choices.count < choicesMax else { return false }
            let at = answer.choices.count
            answer.beginChoice(choice["index"].int ?? Int64(at))
            readFinish(choice, at, into: answer)
            let message = choice["message"]
            if message.isObject {
                readMessage(message, at, into: answer)
            } else if choice["text"].isString {
                // Together's old servers answer so.
                answer.add(.text(choice["text"].text))
            }
            for member in choice.members {
                let key = member.key.text
                if key.equals("index") || key.equals("finish_reason") || key.equals("message") || (key.equals("text") && !message.isObject) { continue }
                if key.equals("logprobs"), member.value.isPresent { continue }
                answer.extra(.choice, at, member)
            }
            if answer.choices[at].finish == .error {
                answer.error = failedInside(answer.choices[at].nativeFinish, answer.arena)
                return false
            }
        }
        return !answer.choices.isEmpty
    }

    /// A finish word that says that generating failed.
    static func failedInside(_ word: JSONBytes, _ arena: ArenaBox) -> ProviderError {
        var error = ProviderError(status: 502, problem: word.equals("insufficient_system_resource") ? .overloaded : .serverError)
        error.message = arena.arena.joined(JSONBytes("the upstream ended its answer with finish_reason "), word)
        error.code = JSONBytes("upstream_failed")
        return error
    }

    /// What chat and completions share: id, model, created, usage, an error instead of an answer.
    static func readEnvelope(_ body: JSONValue, into answer: Answer) -> Bool {
        if let error = inBandError(body, answer.arena) {
            answer.error = error
            return false
        }
        guard body.isObject, body["choices"].isArray else { return false }
        for member in body.members {
            let key = member.key.text
            let value = member.value
            if key.equals("choices") {
                continue
            } else if key.equals("id"), value.isString {
                answer.id = answerID(value.text)
            } else if key.equals("model"), value.isString {
                answer.model = value.text
            } else if key.equals("created"), let created = value.int {
                answer.created = created
            } else if key.equals("usage"), value.isObject {
                answer.usage.take(usage(value))
                answer.extra(.usage, 0, member)
            } else if key.equals("service_tier"), value.isString {
                answer.serviceTier = value.text
            } else if key.equals("object") {
                continue
            } else {
                if key.equals("x_groq"), !body["usage"].isObject, value["usage"].isObject { answer.usage.take(usage(value["usage"])) }
                answer.extra(.root, 0, member)
            }
        }
        return true
    }

    static func readFinish(_ choice: JSONValue, _ at: Int, into answer: Answer) {
        let word = choice["finish_reason"]
        if word.isString {
            answer.choices[at].nativeFinish = word.text
            answer.choices[at].finish = finish(word.text)
        }
        if choice["logprobs"].isPresent { answer.choices[at].logprobs = choice["logprobs"].raw }
    }

    private static func readMessage(_ message: JSONValue, _ at: Int, into answer: Answer) {
        readReasoning(of: message, at, into: answer)
        let content = message["content"]
        if content.isString {
            answer.add(.text(content.text))
        } else if content.isArray {
            answer.extras.append(Extra(.message, at, key: JSONBytes(listForm), value: JSONBytes("null")))
            for item in content.elements { readPart(item, into: answer) }
        }
        let audio = message["audio"]
        if audio.isObject {
            var part = Part(.audio)
            part.source = .base64
            part.data = audio["data"].text
            part.text = audio["transcript"].text
            part.itemID = audio["id"].text
            part.json = audio.raw
            answer.add(part)
        }
        var calls = answer.parts.count
        for member in message.members {
            let key = member.key.text
            let value = member.value
            if key.equals("role") || key.equals("content") || (key.equals("audio") && value.isObject) {
                continue
            } else if key.equals("refusal"), value.kind == .null || value.isString {
                guard value.isString else { continue }
                var part = Part(.refusal)
                part.text = value.text
                answer.add(part)
                calls += 1
            } else if key.equals("reasoning_content") || key.equals("reasoning") {
                let isUsed = key.equals("reasoning_content") || !message["reasoning_content"].isString || message["reasoning_content"].text.isEmpty
                if !value.isString || value.text.isEmpty || !isUsed { answer.extra(.message, at, member) }
            } else if key.equals("tool_calls"), value.isArray, value.first.exists {
                for call in value.elements { readCall(call, into: answer) }
            } else if key.equals("function_call"), value.isObject {
                var part = Part(.toolCall)
                part.name = value["name"].text
                if value["arguments"].isObject { part.json = value["arguments"].raw } else { part.text = value["arguments"].text }
                answer.extras.append(Extra(.message, at, key: JSONBytes(legacyCallForm), value: JSONBytes("null")))
                answer.add(part)
            } else {
                if key.equals("annotations"), value.first.exists, content.isString {
                    for place in answer.choices[at].parts where answer.parts[place].kind == .text { answer.parts[place].citations = value.raw }
                }
                answer.extra(.message, at, member)
            }
        }
        // Gemini signs a message as a whole at times: the proof belongs to the first call.
        let proof = message["extra_content"]["google"]["thought_signature"]
        if proof.isString, calls < answer.parts.count, answer.parts[calls].kind == .toolCall, !answer.parts[calls].signature.exists {
            (answer.parts[calls].signature, answer.parts[calls].signatureOf) = split(proof.text)
        }
    }

    /// Mistral's list: thoughts, text, references.
    private static func readPart(_ item: JSONValue, into answer: Answer) {
        if item.isString { return answer.add(.text(item.text)) }
        if item["type"].equals("text"), item["text"].isString {
            var part = Part.text(item["text"].text)
            if item.count > 2 { part.json = item.raw }
            answer.add(part)
        } else if item["type"].equals("thinking") {
            answer.add(thinking(item, answer.arena))
        } else {
            var part = Part(.opaque)
            part.json = item.raw
            answer.add(part)
        }
    }

    private static func readReasoning(of message: JSONValue, _ at: Int, into answer: Answer) {
        var part = Part(.thinking)
        part.text = message["reasoning_content"].text
        if part.text.isEmpty, message["reasoning"].isString {
            part.text = message["reasoning"].text
            part.name = JSONBytes("reasoning")
        }
        let details = message["reasoning_details"]
        let hasText = !part.text.isEmpty
        for detail in details.elements where detail["signature"].isString && !detail["signature"].text.isEmpty {
            (part.signature, part.signatureOf) = split(detail["signature"].text)
        }
        if !hasText {
            let text = answer.arena.joined(details.elements.lazy.map { $0["text"].isString ? $0["text"].text : $0["summary"].text })
            if text.exists { part.text = text }
        }
        if !hasText, !part.text.isEmpty { part.name = JSONBytes("reasoning_details") }
        if !part.text.isEmpty || part.signature.exists { answer.add(part) }
        for detail in details.elements where detail["type"].equals("reasoning.encrypted") && detail["data"].isString {
            var hidden = Part(.redactedThinking)
            (hidden.data, hidden.signatureOf) = split(detail["data"].text)
            answer.add(hidden)
        }
    }

    private static func readCall(_ call: JSONValue, into answer: Answer) {
        guard call.isObject else { return }
        var part = Part(.toolCall)
        part.isCustom = call["type"].equals("custom")
        let inner = part.isCustom ? call["custom"] : call["function"]
        part.id = call["id"].text
        part.name = inner["name"].text
        let arguments = part.isCustom ? inner["input"] : inner["arguments"]
        if arguments.isObject { part.json = arguments.raw } else { part.text = arguments.text }
        let proof = call["extra_content"]["google"]["thought_signature"]
        if proof.isString, !proof.text.isEmpty { (part.signature, part.signatureOf) = split(proof.text) }
        let place = answer.parts.count
        answer.add(part)
        for member in call.members {
            let key = member.key.text
            if key.equals("id") || key.equals("function") || key.equals("custom") { continue }
            if key.equals("type"), member.value.isString { continue }
            answer.extra(.part, place, member)
        }
    }

    // MARK: writing

    public static func writeAnswer(_ answer: Answer, _ context: AnswerContext, into out: inout JSONWriter) {
        let isOwn = answer.source == id
        out.beginObject()
        writeHead(answer, context, "chatcmpl-", "chat.completion", into: &out)
        out.key("choices")
        out.beginArray()
        var walks = (choice: ExtraWalk(.choice), message: ExtraWalk(.message), part: ExtraWalk(.part))
        var calls = 0
        for at in answer.choices.indices {
            let choice = answer.choices[at]
            out.beginObject()
            out.member("index", choice.index)
            out.key("message")
            writeMessage(answer, choice, at, context, isOwn, &walks.message, &walks.part, &calls, into: &out)
            writeFinish(answer, choice, isOwn, hasCalls: answer.hasCalls(choice), into: &out)
            if choice.logprobs.exists { out.member("logprobs", raw: choice.logprobs) }
            if isOwn { while let extra = walks.choice.next(at, in: answer.extras) { write(extra, into: &out) } }
            out.endObject()
        }
        out.endArray()
        writeTail(answer, isOwn, into: &out)
        out.endObject()
    }

    static func writeHead(_ answer: Answer, _ context: AnswerContext, _ prefix: StaticString, _ object: StaticString, into out: inout JSONWriter) {
        let isOurs = answer.source == .chat || answer.source == .completions || answer.id.begins(with: prefix)
        let id = isOurs && !answer.id.isEmpty ? answer.id : Identifiers.make(prefix, seed: context.seed, length: 29, &answer.arena.arena)
        out.member("id", id)
        out.member("object", object)
        out.member("created", answer.created > 0 ? answer.created : context.now)
        out.member("model", answer.model.isEmpty ? context.model : answer.model)
    }

    static func writeFinish(_ answer: Answer, _ choice: Choice, _ isOwn: Bool, hasCalls: Bool, into out: inout JSONWriter) {
        if isOwn {
            if choice.nativeFinish.exists { out.member("finish_reason", choice.nativeFinish) } else { out.null("finish_reason") }
        } else {
            out.member("finish_reason", word(of: choice.finish, hasCalls: hasCalls))
        }
    }

    static func writeTail(_ answer: Answer, _ isOwn: Bool, into out: inout JSONWriter) {
        let own = isOwn ? answer.extras.first { $0.scope == .usage } : nil
        if let own {
            write(own, into: &out)
        } else if answer.usage.isKnown {
            out.key("usage")
            writeUsage(answer.usage, into: &out)
        }
        if answer.serviceTier.exists, isOwn || answer.source == .responses { out.member("service_tier", answer.serviceTier) }
        if isOwn { for extra in answer.extras where extra.scope == .root { write(extra, into: &out) } }
    }

    private static func writeMessage(
        _ answer: Answer, _ choice: Choice, _ at: Int, _ context: AnswerContext, _ isOwn: Bool, _ messages: inout ExtraWalk, _ parts: inout ExtraWalk,
        _ calls: inout Int, into out: inout JSONWriter
    ) {
        out.beginObject()
        out.member("role", "assistant")
        var isList = false
        var isLegacyCall = false
        if isOwn {
            while let extra = messages.next(at, in: answer.extras) {
                if extra.key.equals(listForm) { isList = context.client != .openAI } else if extra.key.equals(legacyCallForm) { isLegacyCall = true } else { write(extra, into: &out) }
            }
            if context.client == .openAI { writeListedReasoning(answer, choice, into: &out) }
        } else if context.client == .mistral, choice.parts.contains(where: { answer.parts[$0].kind == .thinking && !answer.parts[$0].text.isEmpty }) {
            isList = true
        } else {
            writeReasoning(answer, choice, into: &out)
        }
        let text = answer.arena.joined(choice.parts.lazy.map { answer.parts[$0].kind == .text ? answer.parts[$0].text : JSONBytes() })
        let refusal = answer.arena.joined(choice.parts.lazy.map { answer.parts[$0].kind == .refusal ? answer.parts[$0].text : JSONBytes() })
        var isMuch = false
        for place in choice.parts {
            let part = answer.parts[place]
            switch part.kind {
            case .audio:
                isMuch = true
                if isOwn, part.json.exists { out.member("audio", raw: part.json) } else { writeAudio(part, context, answer, into: &out) }
            case .toolCall: isMuch = true
            case .thinking where isOwn && !part.json.exists && !part.text.isEmpty && !part.name.equals("reasoning_details"):
                out.member(part.name.equals("reasoning") ? "reasoning" : "reasoning_content", part.text)
            case .text, .refusal, .image, .video, .document, .toolResult, .thinking, .redactedThinking, .opaque: break
            }
        }
        if isList {
            out.key("content")
            writeList(answer, choice, into: &out)
        } else if text.exists {
            out.member("content", text)
        } else if isOwn || isMuch || refusal.exists {
            out.null("content")
        } else {
            out.member("content", "")
        }
        if refusal.exists { out.member("refusal", refusal) } else { out.null("refusal") }
        if answer.hasCalls(choice) { writeCalls(answer, choice, context, isOwn, isLegacyCall, &parts, &calls, into: &out) }
        out.endObject()
    }

    private static func writeList(_ answer: Answer, _ choice: Choice, into out: inout JSONWriter) {
        out.beginArray()
        for place in choice.parts {
            let part = answer.parts[place]
            if part.json.exists, part.kind == .text || part.kind == .thinking || part.kind == .opaque {
                out.value(part.json)
            } else if part.kind == .text {
                writeText(part.text, into: &out)
            } else if part.kind == .thinking, !part.text.isEmpty {
                writeThinking(part.text, into: &out)
            }
        }
        out.endArray()
    }

    private static func writeText(_ text: JSONBytes, into out: inout JSONWriter) {
        out.beginObject()
        out.member("type", "text")
        out.member("text", text)
        out.endObject()
    }

    /// A thought as a part of a list.
    static func writeThinking(_ text: JSONBytes, into out: inout JSONWriter) {
        out.beginObject()
        out.member("type", "thinking")
        out.key("thinking")
        out.beginArray()
        writeText(text, into: &out)
        out.endArray()
        out.endObject()
    }

    /// Thoughts that stood in a list, for a client that knows no lists.
    private static func writeListedReasoning(_ answer: Answer, _ choice: Choice, into out: inout JSONWriter) {
        var text = JSONBytes()
        for place in choice.parts where answer.parts[place].kind == .thinking && answer.parts[place].json.exists && !answer.parts[place].text.isEmpty {
            text = text.exists ? answer.arena.arena.joined(text, answer.parts[place].text) : answer.parts[place].text
        }
        out.member(ifPresent: "reasoning_content", text)
    }

    private static func writeAudio(_ part: Part, _ context: AnswerContext, _ answer: Answer, into out: inout JSONWriter) {
        out.key("audio")
        out.beginObject()
        out.member("id", part.itemID.isEmpty ? Identifiers.make("audio_", seed: context.seed, &answer.arena.arena) : part.itemID)
        out.member("data", part.data)
        out.member("expires_at", context.now + 3600)
        out.member("transcript", part.text)
        out.endObject()
    }

    /// Thoughts of another dialect's answer: the text in the member that most clients read, proofs beside it.
    private static func writeReasoning(_ answer: Answer, _ choice: Choice, into out: inout JSONWriter) {
        let text = answer.arena.joined(choice.parts.lazy.map { at in
            answer.parts[at].kind == .thinking && !answer.parts[at].text.isEmpty ? answer.parts[at].text : JSONBytes()
        })
        var proofs = 0
        for place in choice.parts {
            let part = answer.parts[place]
            if part.kind == .redactedThinking || (part.kind == .thinking && !part.signature.isEmpty) { proofs += 1 }
        }
        out.member(ifPresent: "reasoning_content", text)
        guard proofs > 0 else { return }
        out.key("reasoning_details")
        out.beginArray()
        var index: Int64 = 0
        for place in choice.parts {
            let part = answer.parts[place]
            guard part.kind == .redactedThinking || (part.kind == .thinking && !part.signature.isEmpty) else { continue }
            let proof = part.kind == .thinking ? part.signature : part.data
            let maker = part.signatureOf ?? answer.source
            writeDetail(part.kind == .thinking, text: part.text, Signatures.outward(proof, of: maker, in: id, &answer.arena.arena), index, into: &out)
            index += 1
        }
        out.endArray()
    }

    private static func writeCalls(
        _ answer: Answer, _ choice: Choice, _ context: AnswerContext, _ isOwn: Bool, _ isLegacy: Bool, _ extras: inout ExtraWalk, _ calls: inout Int,
        into out: inout JSONWriter
    ) {
        var isOpen = false
        for place in choice.parts where answer.parts[place].kind == .toolCall {
            let part = answer.parts[place]
            if isLegacy, part.id.isEmpty, place == choice.parts.last {
                if isOpen { out.endArray() }
                isOpen = false
                out.key("function_call")
                out.beginObject()
                out.member("name", part.name)
                writeArguments(part, "arguments", into: &out)
                out.endObject()
                continue
            }
            if !isOpen {
                out.key("tool_calls")
                out.beginArray()
                isOpen = true
            }
            out.beginObject()
            out.member("id", part.id.isEmpty ? Identifiers.make("call_", seed: context.seed, ordinal: calls, &answer.arena.arena) : part.id)
            calls += 1
            out.member("type", part.isCustom ? "custom" : "function")
            out.key(part.isCustom ? "custom" : "function")
            out.beginObject()
            out.member("name", part.name)
            writeArguments(part, part.isCustom ? "input" : "arguments", into: &out)
            out.endObject()
            if isOwn {
                while let extra = extras.next(place, in: answer.extras) { write(extra, into: &out) }
            } else if !part.signature.isEmpty {
                writeProof(Signatures.outward(part.signature, of: part.signatureOf ?? answer.source, in: id, &answer.arena.arena), into: &out)
            }
            out.endObject()
        }
        if isOpen { out.endArray() }
    }

    /// A call's thought signature, where Google's own OpenAI endpoint has it.
    static func writeProof(_ proof: JSONBytes, into out: inout JSONWriter) {
        out.key("extra_content")
        out.beginObject()
        out.key("google")
        out.beginObject()
        out.member("thought_signature", proof)
        out.endObject()
        out.endObject()
    }

    private static func writeArguments(_ part: Part, _ key: StaticString, into out: inout JSONWriter) {
        out.key(key)
        if part.json.exists {
            out.string(escaping: part.json.raw)
        } else if part.text.isEmpty, !part.isCustom {
            out.string("{}")
        } else {
            out.string(part.text)
        }
    }
}
