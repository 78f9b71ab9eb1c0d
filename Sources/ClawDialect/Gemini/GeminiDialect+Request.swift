// Reads a generateContent request. Instructions become the first message; a content of the user's becomes a message of the tool's where it has results and
// one of the user's where it has anything else. The parts themselves are in +RequestParts.
import ClawWire

extension GeminiDialect {
    public static func readRequest(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        try refuseDoubles(body)
        var reader = GeminiRequestReader(conversation)
        try reader.read(body)
    }

    /// `{contents …}` as Vertex has it, or all of a request in `generateContentRequest`.
    public static func readCount(_ body: JSONValue, into conversation: Conversation) throws(Refusal) {
        try refuseDoubles(body)
        let inner = GeminiKey.pick(body, "generateContentRequest")
        guard inner.isPresent else { return try readRequest(body, into: conversation) }
        guard inner.isObject else { throw Refusal("generateContentRequest", "must be an object") }
        guard !GeminiKey.pick(body, "contents").isPresent else { throw Refusal("contents", "must not stand beside generateContentRequest") }
        try readRequest(inner, into: conversation)
    }

    static func refuseDoubles(_ body: JSONValue) throws(Refusal) {
        guard body.isObject else { throw Refusal("body", "must be an object") }
        // Each member is compared with each, so there must not be many.
        var count = 0
        for _ in body.members { count += 1 }
        guard count <= 256 else { throw Refusal("body", "has more than 256 members") }
        if let key = body.duplicateKey { throw Refusal(key, "stands twice") }
    }
}

struct GeminiRequestReader {
    let conversation: Conversation
    /// Calls (indices of parts) that no result was given for yet.
    var pending: [Int32] = []
    /// Calls so far.
    var calls = 0
    /// The last content was the model's, and was not the first of its turn.
    private var wasModel = false
    private var isInPieces = false
    /// More open calls than any model makes; older ones are forgotten.
    static let pendingMax = 4096

    init(_ conversation: Conversation) { self.conversation = conversation }

    mutating func read(_ body: JSONValue) throws(Refusal) {
        var contents = JSONValue()
        var instruction = JSONValue()
        var tools = JSONValue()
        var toolConfig = JSONValue()
        var config = JSONValue()
        for member in body.members where member.value.isPresent {
            let (key, value) = member
            if GeminiKey.matches(key, "contents") {
                contents = value
            } else if GeminiKey.matches(key, "systemInstruction") {
                instruction = value
            } else if GeminiKey.matches(key, "tools") {
                tools = value
            } else if GeminiKey.matches(key, "toolConfig") {
                toolConfig = value
            } else if GeminiKey.matches(key, "generationConfig") {
                config = value
            } else if GeminiKey.matches(key, "model") {
                if !conversation.model.exists { conversation.model = GeminiKey.bareModel(try string(value, "model")) }
            } else if GeminiKey.matches(key, "safetySettings") || GeminiKey.matches(key, "labels") || GeminiKey.matches(key, "serviceTier") {
                // Thresholds of Google's own filters, accounting and a place in Google's queue: no other provider has anything to do with them.
                conversation.extra(.nested, Conversation.hintIndex, member)
            } else {
                conversation.extra(.root, 0, member)
            }
        }
        if instruction.exists { try readInstruction(instruction) }
        guard contents.exists else { throw Refusal("contents", "is required") }
        guard contents.isArray else { throw Refusal("contents", "must be an array") }
        for content in contents.elements { try readContent(content) }
        joinPieces()
        guard contents.first.exists else { throw Refusal("contents", "must not be empty") }
        if tools.exists { try readTools(tools) }
        if toolConfig.exists { try readToolConfig(toolConfig) }
        if config.exists { try readConfig(config) }
    }

    private mutating func readInstruction(_ instruction: JSONValue) throws(Refusal) {
        guard instruction.isObject else { throw Refusal("systemInstruction", "must be an object") }
        let parts = GeminiKey.pick(instruction, "parts")
        guard parts.isArray else { throw Refusal("systemInstruction.parts", "must be an array") }
        try conversation.begin(.system)
        for part in parts.elements {
            let text = GeminiKey.pick(part, "text")
            guard text.isString else { throw Refusal("systemInstruction.parts[].text", "must be a string") }
            try conversation.add(.text(text.text))
        }
    }

    private mutating func readContent(_ content: JSONValue) throws(Refusal) {
        guard content.isObject else { throw Refusal("contents[]", "must be an object") }
        let role = GeminiKey.pick(content, "role")
        guard !role.exists || role.isString else { throw Refusal("contents[].role", "must be a string") }
        let isModel = role.equals("model")
        guard !role.exists || isModel || role.equals("user") || role.equals("function") || role.equals("tool") || role.equals("") else {
            throw Refusal("contents[].role", "must be user or model")
        }
        let parts = GeminiKey.pick(content, "parts")
        guard !parts.exists || parts.isArray else { throw Refusal("contents[].parts", "must be an array") }
        // SDKs give a streamed answer back as it came, a content for each chunk: together they are one turn.
        let goesOn = isModel && wasModel && conversation.messages.last?.role == .assistant
        if goesOn { isInPieces = true } else { joinPieces() }
        wasModel = isModel
        var current: Role? = goesOn ? .assistant : nil
        for part in parts.elements { try readPart(part, isModel: isModel, &current) }
        // A content without parts is a turn in which nothing was said.
        if current == nil { try conversation.begin(isModel ? .assistant : .user) }
    }

    /// Joins the texts of a turn that came in pieces, for who takes no text of white space only, or puts something between two.
    private mutating func joinPieces() {
        guard isInPieces, let turn = conversation.messages.indices.last else { return }
        isInPieces = false
        let range = conversation.messages[turn].parts
        // Extras name parts by their place, so these must keep theirs; the last is of the last part that has any.
        if let extra = conversation.extras.last, extra.scope == .part || extra.scope == .nested, range.contains(extra.index) { return }
        var kept = range.lowerBound
        var at = range.lowerBound
        var waiting = pending.firstIndex { $0 >= Int32(truncatingIfNeeded: range.lowerBound) } ?? pending.count
        while at < range.upperBound {
            var part = conversation.parts[at]
            var end = at + 1
            if isPiece(part) { while end < range.upperBound, conversation.parts[end].kind == part.kind, isPiece(conversation.parts[end]) { end += 1 } }
            if end - at > 1 { part.text = conversation.arena.joined(conversation.parts[at..<end].lazy.map(\.text)) }
            if waiting < pending.count, pending[waiting] == Int32(truncatingIfNeeded: at) {
                pending[waiting] = Int32(truncatingIfNeeded: kept)
                waiting += 1
            }
            conversation.parts[kept] = part
            kept += 1
            at = end
        }
        conversation.parts.removeSubrange(kept...)
        conversation.messages[turn].parts = range.lowerBound..<kept
    }

    private func isPiece(_ part: Part) -> Bool { (part.kind == .text || part.kind == .thinking) && part.signature.isEmpty }

    // MARK: tools

    private func readTools(_ tools: JSONValue) throws(Refusal) {
        guard tools.isArray else { throw Refusal("tools", "must be an array") }
        for tool in tools.elements {
            guard tool.isObject else { throw Refusal("tools[]", "must be an object") }
            for (key, value) in tool.members where value.isPresent {
                if GeminiKey.matches(key, "functionDeclarations") {
                    guard value.isArray else { throw Refusal("tools[].functionDeclarations", "must be an array") }
                    for function in value.elements { try readFunction(function) }
                } else {
                    var hosted = Tool()
                    hosted.kind = .hosted
                    hosted.name = key.text
                    hosted.opaque = conversation.arena.arena.joined(JSONBytes("{"), key.raw, JSONBytes(":"), value.raw, JSONBytes("}"))
                    try add(hosted)
                }
            }
        }
    }

    private func readFunction(_ function: JSONValue) throws(Refusal) {
        guard function.isObject else { throw Refusal("tools[].functionDeclarations[]", "must be an object") }
        var tool = Tool()
        tool.opaque = function.raw
        for member in function.members where member.value.isPresent {
            let (key, value) = member
            if key.equals("name") {
                tool.name = try string(value, "tools[].functionDeclarations[].name")
            } else if key.equals("description") {
                tool.description = try string(value, "tools[].functionDeclarations[].description")
            } else if key.equals("parameters") {
                guard value.isObject else { throw Refusal("tools[].functionDeclarations[].parameters", "must be an object") }
                guard !tool.schema.exists else { throw Refusal("tools[].functionDeclarations[].parameters", "must not stand beside parametersJsonSchema") }
                tool.schema = GeminiSchema.jsonSchema(value, &conversation.arena.arena)
            } else if GeminiKey.matches(key, "parametersJsonSchema") {
                guard !tool.schema.exists else { throw Refusal("tools[].functionDeclarations[].parametersJsonSchema", "must not stand beside parameters") }
                tool.schema = value.raw
            } else {
                conversation.extra(.tool, conversation.tools.count, member)
            }
        }
        guard !tool.name.isEmpty else { throw Refusal("tools[].functionDeclarations[].name", "is required") }
        try add(tool)
    }

    private func add(_ tool: Tool) throws(Refusal) {
        guard conversation.tools.count < Conversation.countMax else { throw Refusal("tools", "there are more than 100000 of them") }
        conversation.tools.append(tool)
    }

    private func readToolConfig(_ toolConfig: JSONValue) throws(Refusal) {
        guard toolConfig.isObject else { throw Refusal("toolConfig", "must be an object") }
        for member in toolConfig.members where member.value.isPresent {
            guard GeminiKey.matches(member.key, "functionCallingConfig") else {
                conversation.extra(.nested, GeminiDialect.toolConfigIndex, member)
                continue
            }
            guard member.value.isObject else { throw Refusal("toolConfig.functionCallingConfig", "must be an object") }
            try readCalling(member.value)
        }
    }

    private func readCalling(_ config: JSONValue) throws(Refusal) {
        var names = JSONValue()
        for member in config.members where member.value.isPresent {
            let (key, value) = member
            if key.equals("mode") {
                let mode = try string(value, "toolConfig.functionCallingConfig.mode")
                if GeminiKey.isWord(mode, "AUTO") {
                    conversation.toolChoice = .auto
                } else if GeminiKey.isWord(mode, "ANY") {
                    conversation.toolChoice = .required
                } else if GeminiKey.isWord(mode, "NONE") {
                    conversation.toolChoice = .none
                } else if GeminiKey.isWord(mode, "VALIDATED") {
                    conversation.toolChoice = .auto
                    for at in conversation.tools.indices where conversation.tools[at].kind == .function { conversation.tools[at].strict = true }
                } else if !GeminiKey.isWord(mode, "MODE_UNSPECIFIED") {
                    throw Refusal("toolConfig.functionCallingConfig.mode", "must be AUTO, ANY, NONE or VALIDATED")
                }
            } else if GeminiKey.matches(key, "allowedFunctionNames") {
                guard value.isArray else { throw Refusal("toolConfig.functionCallingConfig.allowedFunctionNames", "must be an array") }
                for name in value.elements where !name.isString {
                    throw Refusal("toolConfig.functionCallingConfig.allowedFunctionNames", "must be an array of strings")
                }
                names = value
            } else {
                conversation.extra(.nested, GeminiDialect.callingIndex, member)
            }
        }
        guard names.first.exists else { return }
        if case .required = conversation.toolChoice, names.count == 1 {
            conversation.toolChoice = .tool(names.first.text)
        } else {
            conversation.extras.append(Extra(.nested, GeminiDialect.callingIndex, key: JSONBytes("allowedFunctionNames"), value: names.raw))
        }
    }

    // MARK: generationConfig

    private func readConfig(_ config: JSONValue) throws(Refusal) {
        guard config.isObject else { throw Refusal("generationConfig", "must be an object") }
        var mime = JSONValue()
        var schema = JSONValue()
        var jsonSchema = JSONValue()
        for member in config.members where member.value.isPresent {
            let (key, value) = member
            if GeminiKey.matches(key, "temperature") {
                conversation.temperature = try number(value, "generationConfig.temperature")
            } else if GeminiKey.matches(key, "topP") {
                conversation.topP = try number(value, "generationConfig.topP")
            } else if GeminiKey.matches(key, "topK") {
                conversation.topK = try number(value, "generationConfig.topK")
            } else if GeminiKey.matches(key, "candidateCount") {
                conversation.n = try count(value, "generationConfig.candidateCount")
            } else if GeminiKey.matches(key, "maxOutputTokens") {
                conversation.maxTokens = try count(value, "generationConfig.maxOutputTokens")
            } else if GeminiKey.matches(key, "stopSequences") {
                guard value.isArray else { throw Refusal("generationConfig.stopSequences", "must be an array of strings") }
                for one in value.elements {
                    guard conversation.stop.count < 1024 else { throw Refusal("generationConfig.stopSequences", "there are more than 1024 of them") }
                    guard one.isString else { throw Refusal("generationConfig.stopSequences", "must be an array of strings") }
                    conversation.stop.append(one.text)
                }
            } else if GeminiKey.matches(key, "presencePenalty") {
                conversation.presencePenalty = try number(value, "generationConfig.presencePenalty")
            } else if GeminiKey.matches(key, "frequencyPenalty") {
                conversation.frequencyPenalty = try number(value, "generationConfig.frequencyPenalty")
            } else if GeminiKey.matches(key, "seed") {
                guard value.int != nil else { throw Refusal("generationConfig.seed", "must be a whole number") }
                conversation.seed = value.raw
            } else if GeminiKey.matches(key, "responseLogprobs") {
                conversation.logprobs = try flag(value, "generationConfig.responseLogprobs")
            } else if GeminiKey.matches(key, "logprobs") {
                conversation.topLogprobs = try count(value, "generationConfig.logprobs")
            } else if GeminiKey.matches(key, "responseMimeType") {
                guard value.isString else { throw Refusal("generationConfig.responseMimeType", "must be a string") }
                mime = value
            } else if GeminiKey.matches(key, "responseSchema") {
                guard value.isObject else { throw Refusal("generationConfig.responseSchema", "must be an object") }
                schema = value
            } else if GeminiKey.matches(key, "responseJsonSchema") {
                jsonSchema = value
            } else if GeminiKey.matches(key, "responseModalities") {
                try readModalities(value)
            } else if GeminiKey.matches(key, "thinkingConfig") {
                try readThinking(value)
            } else {
                conversation.extra(.nested, GeminiDialect.configIndex, member)
            }
        }
        try readFormat(mime, schema, jsonSchema)
    }

    private func readFormat(_ mime: JSONValue, _ schema: JSONValue, _ jsonSchema: JSONValue) throws(Refusal) {
        if schema.exists, jsonSchema.exists { throw Refusal("generationConfig.responseSchema", "must not stand beside responseJsonSchema") }
        let isJSON = mime.equals("application/json")
        if mime.exists, !isJSON, !mime.equals("text/plain"), !mime.equals("") {
            // `text/x.enum` has no like elsewhere: it goes back as it came, with its schema.
            conversation.extras.append(Extra(.nested, GeminiDialect.configIndex, key: JSONBytes("responseMimeType"), value: mime.raw))
            if schema.exists { conversation.extras.append(Extra(.nested, GeminiDialect.configIndex, key: JSONBytes("responseSchema"), value: schema.raw)) }
            if jsonSchema.exists { conversation.extras.append(Extra(.nested, GeminiDialect.configIndex, key: JSONBytes("responseJsonSchema"), value: jsonSchema.raw)) }
            return
        }
        if schema.exists || jsonSchema.exists {
            conversation.format.kind = .jsonSchema
            conversation.format.name = JSONBytes("response")
            conversation.format.schema = schema.exists ? GeminiSchema.jsonSchema(schema, &conversation.arena.arena) : jsonSchema.raw
            conversation.format.opaque = schema.exists ? schema.raw : JSONBytes()
        } else if isJSON {
            conversation.format.kind = .jsonObject
        } else if mime.equals("text/plain") {
            conversation.format.kind = .text
        }
    }

    /// OpenAI's words for the same things are in lower case.
    private func readModalities(_ value: JSONValue) throws(Refusal) {
        guard value.isArray else { throw Refusal("generationConfig.responseModalities", "must be an array of strings") }
        var out = JSONWriter(limit: 4096)
        out.beginArray()
        for one in value.elements {
            let text = one.text
            if GeminiKey.isWord(text, "TEXT") {
                out.string("text")
            } else if GeminiKey.isWord(text, "AUDIO") {
                out.string("audio")
            } else if GeminiKey.isWord(text, "IMAGE") {
                out.string("image")
            } else {
                throw Refusal("generationConfig.responseModalities", "must be an array of TEXT, IMAGE or AUDIO")
            }
        }
        out.endArray()
        if value.first.exists, !out.isOverflown { conversation.modalities = conversation.arena.arena.copy(out.written) }
    }

    private func readThinking(_ config: JSONValue) throws(Refusal) {
        guard config.isObject else { throw Refusal("generationConfig.thinkingConfig", "must be an object") }
        for member in config.members where member.value.isPresent {
            let (key, value) = member
            if GeminiKey.matches(key, "includeThoughts") {
                conversation.reasoning.includesThoughts = try flag(value, "generationConfig.thinkingConfig.includeThoughts")
            } else if GeminiKey.matches(key, "thinkingBudget") {
                guard let budget = value.int, budget >= -1 else { throw Refusal("generationConfig.thinkingConfig.thinkingBudget", "must be a whole number from -1 on") }
                conversation.reasoning.budget = budget
            } else if GeminiKey.matches(key, "thinkingLevel") {
                let level = try string(value, "generationConfig.thinkingConfig.thinkingLevel")
                if GeminiKey.isWord(level, "MINIMAL") {
                    conversation.reasoning.effort = .minimal
                } else if GeminiKey.isWord(level, "LOW") {
                    conversation.reasoning.effort = .low
                } else if GeminiKey.isWord(level, "MEDIUM") {
                    conversation.reasoning.effort = .medium
                } else if GeminiKey.isWord(level, "HIGH") {
                    conversation.reasoning.effort = .high
                } else if !GeminiKey.isWord(level, "THINKING_LEVEL_UNSPECIFIED") {
                    throw Refusal("generationConfig.thinkingConfig.thinkingLevel", "must be MINIMAL, LOW, MEDIUM or HIGH")
                }
            } else {
                conversation.extra(.nested, GeminiDialect.thinkingIndex, member)
            }
        }
    }

    // MARK: values

    func string(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> JSONBytes {
        guard value.isString else { throw Refusal(field, "must be a string") }
        return value.text
    }

    private func number(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> JSONBytes {
        guard value.kind == .number else { throw Refusal(field, "must be a number") }
        return value.raw
    }

    private func count(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> Int64 {
        guard let number = value.int, number >= 0 else { throw Refusal(field, "must be a whole number from 0 on") }
        return number
    }

    private func flag(_ value: JSONValue, _ field: StaticString) throws(Refusal) -> Bool {
        guard let flag = value.bool else { throw Refusal(field, "must be true or false") }
        return flag
    }
}
