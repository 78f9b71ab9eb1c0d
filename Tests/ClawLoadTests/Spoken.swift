// Spoken: one way of asking the mock for a conversation's next turn, and what its answers and streams say, read with Foundation as a client of that API would.
// The same questions can so be put to every dialect.
import ClawLoad
import Foundation
import Testing

/// What an answer told, whatever the dialect.
struct Told {
    var text = ""
    var thought = ""
    var signature: String?
    var calls: [Call] = []
    /// In the dialect's own words.
    var finish: String?
    var prompt: Int?
    var output: Int?
    /// What says that the stream is whole was there.
    var isWhole = false
    /// An error in the middle of a stream.
    var error: String?
    /// Names of events or members, in order, runs collapsed.
    var order: [String] = []

    struct Call {
        var id: String?
        var name = ""
        var arguments = ""

        var city: String? { object?["city"] as? String }
        var number: Int64? { (object?["n"] as? NSNumber)?.int64Value }
        private var object: [String: Any]? { try? JSONSerialization.jsonObject(with: Data(arguments.utf8)) as? [String: Any] }
    }

    mutating func note(_ name: String) { if order.last != name { order.append(name) } }
}

enum Spoken: String, CaseIterable {
    case chat, responses, messages, gemini, geminiArray, ollama, bedrock, cohere

    /// Asks once, on a connection of its own.
    func ask(
        _ mock: MockServer, stream: Bool = false, tools: Bool = false, json: Bool = false, limit: Int? = nil, headers: [String] = []
    ) throws -> Answer {
        let client = RawClient(port: mock.port)
        client.post(path(stream: stream), body(stream: stream, tools: tools, json: json, limit: limit), headers: headers)
        return try #require(client.answer())
    }

    func told(
        _ mock: MockServer, stream: Bool, tools: Bool = false, json: Bool = false, limit: Int? = nil, headers: [String] = []
    ) throws -> Told {
        let answer = try ask(mock, stream: stream, tools: tools, json: json, limit: limit, headers: headers)
        #expect(answer.status == 200)
        return try read(answer, stream: stream)
    }

    func read(_ answer: Answer, stream: Bool) throws -> Told { stream ? try readStream(answer) : try readPlain(answer) }

    func path(stream: Bool) -> String {
        switch self {
        case .chat: "/v1/chat/completions"
        case .responses: "/v1/responses"
        case .messages: "/v1/messages"
        case .gemini: "/v1beta/models/mini:" + (stream ? "streamGenerateContent?alt=sse" : "generateContent")
        case .geminiArray: "/v1/projects/p/locations/l/publishers/google/models/mini:" + (stream ? "streamGenerateContent" : "generateContent")
        case .ollama: "/api/chat"
        case .bedrock: "/model/us.mini-v1%3A0/" + (stream ? "converse-stream" : "converse")
        case .cohere: "/v2/chat"
        }
    }

    /// Each tool's schema has members called `name` and `tools`, which are none of the tool's.
    func body(stream: Bool, tools: Bool = false, json: Bool = false, limit: Int? = nil) -> String {
        let schema = #"{"type":"object","properties":{"name":{"type":"string"},"tools":{"name":"wrong"}}}"#
        var members: [String] = []
        switch self {
        case .chat, .cohere:
            members = [#""model":"mini""#, #""messages":[{"role":"user","content":"one two","name":"wrong"}]"#]
            if stream { members += [#""stream":true"#, #""stream_options":{"include_usage":true}"#] }
            if tools { members.append(#""tools":[{"type":"function","function":{"parameters":\#(schema),"name":"weather"}},{"type":"function","function":{"name":"second"}}]"#) }
            if json { members.append(#""response_format":{"type":"json_object"}"#) }
            if let limit { members.append("\"max_tokens\":\(limit)") }
        case .responses:
            members = [#""model":"mini""#, #""input":"one two""#]
            if stream { members.append(#""stream":true"#) }
            if tools { members.append(#""tools":[{"type":"web_search"},{"type":"function","parameters":\#(schema),"name":"weather"}]"#) }
            if json { members.append(#""text":{"format":{"type":"json_schema","name":"x","schema":\#(schema)}}"#) }
            if let limit { members.append("\"max_output_tokens\":\(limit)") }
        case .messages:
            members = [#""model":"mini""#, #""messages":[{"role":"user","content":"one two"}]"#, "\"max_tokens\":\(limit ?? 1000)"]
            if stream { members.append(#""stream":true"#) }
            if tools { members.append(#""tools":[{"input_schema":\#(schema),"name":"weather"},{"name":"second"}]"#) }
            if json { members.append(#""output_config":{"format":{"type":"json_schema","schema":\#(schema)}}"#) }
        case .gemini, .geminiArray:
            members = [#""contents":[{"role":"user","parts":[{"text":"one two"}]}]"#]
            if tools { members.append(#""tools":[{"functionDeclarations":[{"parameters":\#(schema),"name":"weather"},{"name":"second"}]}]"#) }
            var settings: [String] = []
            if json { settings.append(#""responseMimeType":"application/json","responseJsonSchema":\#(schema)"#) }
            if let limit { settings.append("\"maxOutputTokens\":\(limit)") }
            if !settings.isEmpty { members.append("\"generationConfig\":{\(settings.joined(separator: ","))}") }
        case .ollama:
            members = [#""model":"mini""#, #""messages":[{"role":"user","content":"one two"}]"#]
            if !stream { members.append(#""stream":false"#) }
            if tools { members.append(#""tools":[{"type":"function","function":{"name":"weather","parameters":\#(schema)}}]"#) }
            if json { members.append(#""format":"# + schema) }
            if let limit { members.append("\"options\":{\"seed\":1,\"num_predict\":\(limit)}") }
        case .bedrock:
            members = [#""messages":[{"role":"user","content":[{"text":"one two"}]}]"#]
            if tools { members.append(#""toolConfig":{"tools":[{"toolSpec":{"inputSchema":{"json":\#(schema)},"name":"weather"}},{"toolSpec":{"name":"second"}}]}"#) }
            if json { members.append(#""outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}"}}}}"#) }
            if let limit { members.append("\"inferenceConfig\":{\"maxTokens\":\(limit)}") }
        }
        return "{" + members.joined(separator: ",") + "}"
    }

    // ---- reading ----

    private func readPlain(_ answer: Answer) throws -> Told {
        let root = try object(answer.body)
        var told = Told()
        switch self {
        case .chat:
            let choice = try #require((root["choices"] as? [[String: Any]])?.first)
            let message = try #require(choice["message"] as? [String: Any])
            told.text = message["content"] as? String ?? ""
            told.thought = message["reasoning_content"] as? String ?? ""
            for call in message["tool_calls"] as? [[String: Any]] ?? [] { told.calls.append(openAICall(call)) }
            told.finish = choice["finish_reason"] as? String
        case .responses:
            readResponse(root, &told)
        case .messages:
            for block in try #require(root["content"] as? [[String: Any]]) {
                told.note(block["type"] as? String ?? "")
                switch block["type"] as? String {
                case "text": told.text += block["text"] as? String ?? ""
                case "thinking":
                    told.thought += block["thinking"] as? String ?? ""
                    told.signature = block["signature"] as? String
                default: told.calls.append(Told.Call(id: block["id"] as? String, name: block["name"] as? String ?? "", arguments: text(of: block["input"])))
                }
            }
            told.finish = root["stop_reason"] as? String
        case .gemini, .geminiArray:
            readGemini(root, &told)
        case .ollama:
            readOllama(root, &told)
        case .bedrock:
            let message = try #require((root["output"] as? [String: Any])?["message"] as? [String: Any])
            for block in try #require(message["content"] as? [[String: Any]]) {
                told.note(block.keys.first ?? "")
                if let text = block["text"] as? String { told.text += text }
                if let thought = (block["reasoningContent"] as? [String: Any])?["reasoningText"] as? [String: Any] {
                    told.thought += thought["text"] as? String ?? ""
                    told.signature = thought["signature"] as? String
                }
                if let call = block["toolUse"] as? [String: Any] {
                    told.calls.append(Told.Call(id: call["toolUseId"] as? String, name: call["name"] as? String ?? "", arguments: text(of: call["input"])))
                }
            }
            told.finish = root["stopReason"] as? String
        case .cohere:
            let message = try #require(root["message"] as? [String: Any])
            for part in message["content"] as? [[String: Any]] ?? [] {
                told.text += part["text"] as? String ?? ""
                told.thought += part["thinking"] as? String ?? ""
            }
            told.text += message["tool_plan"] as? String ?? ""
            for call in message["tool_calls"] as? [[String: Any]] ?? [] { told.calls.append(openAICall(call)) }
            told.finish = root["finish_reason"] as? String
        }
        readUsage(root, &told)
        return told
    }

    private func readUsage(_ root: [String: Any], _ told: inout Told) {
        switch self {
        case .gemini, .geminiArray:
            guard let usage = root["usageMetadata"] as? [String: Any] else { return }
            told.prompt = usage["promptTokenCount"] as? Int
            told.output = (usage["candidatesTokenCount"] as? Int ?? 0) + (usage["thoughtsTokenCount"] as? Int ?? 0)
            #expect(usage["totalTokenCount"] as? Int == told.prompt.map { $0 + (told.output ?? 0) })
        case .ollama:
            if let prompt = root["prompt_eval_count"] as? Int { told.prompt = prompt }
            if let output = root["eval_count"] as? Int { told.output = output }
        default:
            var usage = root["usage"] as? [String: Any] ?? [:]
            if self == .cohere { usage = usage["tokens"] as? [String: Any] ?? [:] }
            for name in ["prompt_tokens", "input_tokens", "inputTokens"] { if let count = usage[name] as? Int { told.prompt = count } }
            for name in ["completion_tokens", "output_tokens", "outputTokens"] { if let count = usage[name] as? Int { told.output = count } }
        }
    }

    private func readStream(_ answer: Answer) throws -> Told {
        var told = Told()
        switch self {
        case .chat:
            for event in answer.events() {
                if event.data == "[DONE]" {
                    told.isWhole = true
                    continue
                }
                let chunk = try object(Array(event.data.utf8))
                if let error = chunk["error"] as? [String: Any] { told.error = error["message"] as? String }
                readUsage(chunk, &told)
                guard let choice = (chunk["choices"] as? [[String: Any]])?.first, let delta = choice["delta"] as? [String: Any] else { continue }
                for name in delta.keys.sorted() { told.note(name) }
                told.text += delta["content"] as? String ?? ""
                told.thought += delta["reasoning_content"] as? String ?? ""
                for call in delta["tool_calls"] as? [[String: Any]] ?? [] {
                    let place = try #require(call["index"] as? Int)
                    if place == told.calls.count { told.calls.append(openAICall(call)) } else {
                        #expect(call["id"] == nil)
                        told.calls[place].arguments += (call["function"] as? [String: Any])?["arguments"] as? String ?? ""
                    }
                }
                if let finish = choice["finish_reason"] as? String { told.finish = finish }
            }
        case .responses:
            for (place, event) in answer.events().enumerated() {
                let data = try object(Array(event.data.utf8))
                #expect(data["type"] as? String == event.name)
                #expect(data["sequence_number"] as? Int == place)
                told.note(event.name)
                switch event.name {
                case "response.output_text.delta": told.text += data["delta"] as? String ?? ""
                case "response.reasoning_summary_text.delta": told.thought += data["delta"] as? String ?? ""
                case "response.function_call_arguments.delta": told.calls[told.calls.count - 1].arguments += data["delta"] as? String ?? ""
                case "response.output_item.added":
                    let item = try #require(data["item"] as? [String: Any])
                    if item["type"] as? String == "function_call" {
                        #expect(item["arguments"] as? String == "")
                        told.calls.append(Told.Call(id: item["call_id"] as? String, name: item["name"] as? String ?? ""))
                    }
                case "response.completed", "response.incomplete":
                    told.isWhole = true
                    var whole = Told()
                    let response = try #require(data["response"] as? [String: Any])
                    readResponse(response, &whole)
                    readUsage(response, &told)
                    #expect(whole.text == told.text)
                    #expect(whole.thought == told.thought)
                    #expect(whole.calls.map(\.arguments) == told.calls.map(\.arguments))
                    #expect(whole.calls.map(\.id) == told.calls.map(\.id))
                    told.finish = whole.finish
                case "error": told.error = data["message"] as? String
                default: break
                }
            }
        case .messages: try readMessageStream(answer, &told)
        case .gemini:
            #expect(answer.isEventStream)
            // An error comes as bare JSON behind the events.
            let parts = answer.text.components(separatedBy: "\r\n\r\n").filter { !$0.isEmpty }
            for part in parts {
                let isEvent = part.hasPrefix("data: ")
                let chunk = try object(Array((isEvent ? String(part.dropFirst(6)) : part).utf8))
                #expect(isEvent == (chunk["error"] == nil))
                readGemini(chunk, &told)
                readUsage(chunk, &told)
            }
            told.isWhole = told.finish != nil
        case .geminiArray:
            var text = answer.text
            told.isWhole = text.hasSuffix("]")
            if !told.isWhole { text += "]" }
            for chunk in try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]]) {
                readGemini(chunk, &told)
                readUsage(chunk, &told)
            }
            told.isWhole = told.isWhole && told.finish != nil
        case .ollama:
            for line in answer.text.split(separator: "\n") {
                let data = try object(Array(line.utf8))
                if let error = data["error"] as? String { told.error = error } else { readOllama(data, &told) }
                readUsage(data, &told)
            }
        case .bedrock: try readFrames(answer, &told)
        case .cohere: try readCohereStream(answer, &told)
        }
        return told
    }

    private func readResponse(_ root: [String: Any], _ told: inout Told) {
        for item in root["output"] as? [[String: Any]] ?? [] {
            switch item["type"] as? String {
            case "message": for part in item["content"] as? [[String: Any]] ?? [] { told.text += part["text"] as? String ?? "" }
            case "reasoning": for part in item["summary"] as? [[String: Any]] ?? [] { told.thought += part["text"] as? String ?? "" }
            default:
                told.calls.append(Told.Call(
                    id: item["call_id"] as? String, name: item["name"] as? String ?? "", arguments: item["arguments"] as? String ?? ""))
            }
        }
        told.finish = root["status"] as? String
    }

    private func readGemini(_ root: [String: Any], _ told: inout Told) {
        if let error = root["error"] as? [String: Any] { told.error = error["message"] as? String }
        guard let candidate = (root["candidates"] as? [[String: Any]])?.first else { return }
        for part in (candidate["content"] as? [String: Any])?["parts"] as? [[String: Any]] ?? [] {
            if let signature = part["thoughtSignature"] as? String { told.signature = signature }
            if let call = part["functionCall"] as? [String: Any] {
                told.calls.append(Told.Call(name: call["name"] as? String ?? "", arguments: text(of: call["args"])))
            } else if part["thought"] as? Bool == true {
                told.thought += part["text"] as? String ?? ""
            } else {
                told.text += part["text"] as? String ?? ""
            }
        }
        if let finish = candidate["finishReason"] as? String { told.finish = finish }
    }

    private func readOllama(_ root: [String: Any], _ told: inout Told) {
        let message = root["message"] as? [String: Any] ?? [:]
        told.text += message["content"] as? String ?? ""
        told.thought += message["thinking"] as? String ?? ""
        for call in message["tool_calls"] as? [[String: Any]] ?? [] {
            let function = call["function"] as? [String: Any] ?? [:]
            #expect(function["index"] as? Int == told.calls.count)
            told.calls.append(Told.Call(id: call["id"] as? String, name: function["name"] as? String ?? "", arguments: text(of: function["arguments"])))
        }
        if root["done"] as? Bool == true {
            told.finish = root["done_reason"] as? String
            told.isWhole = true
        }
    }

    private func readMessageStream(_ answer: Answer, _ told: inout Told) throws {
        var open = -1, blocks = 0
        for event in answer.events() {
            let data = try object(Array(event.data.utf8))
            #expect(data["type"] as? String == event.name)
            told.note(event.name)
            let delta = data["delta"] as? [String: Any] ?? [:]
            switch event.name {
            case "message_start": readUsage(data["message"] as? [String: Any] ?? [:], &told)
            case "content_block_start":
                #expect(open == -1)
                #expect(data["index"] as? Int == blocks)
                open = blocks
                blocks += 1
                let block = try #require(data["content_block"] as? [String: Any])
                if block["type"] as? String == "tool_use" {
                    #expect((block["input"] as? [String: Any])?.isEmpty == true)
                    told.calls.append(Told.Call(id: block["id"] as? String, name: block["name"] as? String ?? ""))
                }
            case "content_block_delta":
                #expect(data["index"] as? Int == open)
                told.text += delta["text"] as? String ?? ""
                told.thought += delta["thinking"] as? String ?? ""
                if let signature = delta["signature"] as? String { told.signature = signature }
                if let part = delta["partial_json"] as? String { told.calls[told.calls.count - 1].arguments += part }
            case "content_block_stop":
                #expect(data["index"] as? Int == open)
                open = -1
            case "message_delta":
                told.finish = delta["stop_reason"] as? String
                readUsage(data, &told)
            case "message_stop": told.isWhole = true
            case "error": told.error = (data["error"] as? [String: Any])?["message"] as? String
            default: #expect(event.name == "ping")
            }
        }
    }

    private func readFrames(_ answer: Answer, _ told: inout Told) throws {
        for frame in try Frame.all(answer.body) {
            let data = try object(frame.payload)
            if frame.headers[":message-type"] == "exception" {
                told.error = data["message"] as? String
                told.note(frame.headers[":exception-type"] ?? "")
                continue
            }
            #expect(frame.headers[":message-type"] == "event")
            #expect(frame.headers[":content-type"] == "application/json")
            #expect((data["p"] as? String)?.isEmpty == false)
            let name = try #require(frame.headers[":event-type"])
            told.note(name)
            let delta = data["delta"] as? [String: Any] ?? [:]
            told.text += delta["text"] as? String ?? ""
            if let thought = delta["reasoningContent"] as? [String: Any] {
                told.thought += thought["text"] as? String ?? ""
                if let signature = thought["signature"] as? String { told.signature = signature }
            }
            if let input = (delta["toolUse"] as? [String: Any])?["input"] as? String { told.calls[told.calls.count - 1].arguments += input }
            if let call = (data["start"] as? [String: Any])?["toolUse"] as? [String: Any] {
                told.calls.append(Told.Call(id: call["toolUseId"] as? String, name: call["name"] as? String ?? ""))
            }
            if let finish = data["stopReason"] as? String {
                told.finish = finish
                told.isWhole = true
            }
            readUsage(data, &told)
        }
    }

    private func readCohereStream(_ answer: Answer, _ told: inout Told) throws {
        for event in answer.events() {
            if event.data == "[DONE]" {
                told.isWhole = true
                continue
            }
            let data = try object(Array(event.data.utf8))
            #expect(data["type"] as? String == event.name)
            told.note(event.name)
            let delta = data["delta"] as? [String: Any] ?? [:]
            let message = delta["message"] as? [String: Any] ?? [:]
            if let content = message["content"] as? [String: Any] {
                told.text += content["text"] as? String ?? ""
                told.thought += content["thinking"] as? String ?? ""
            }
            if event.name == "tool-plan-delta" { told.text += message["tool_plan"] as? String ?? "" }
            if let call = message["tool_calls"] as? [String: Any] {
                #expect(data["index"] as? Int == (event.name == "tool-call-start" ? told.calls.count : told.calls.count - 1))
                if event.name == "tool-call-start" { told.calls.append(openAICall(call)) } else {
                    told.calls[told.calls.count - 1].arguments += (call["function"] as? [String: Any])?["arguments"] as? String ?? ""
                }
            }
            if event.name == "message-end" {
                told.finish = delta["finish_reason"] as? String
                told.error = delta["error"] as? String
                readUsage(delta, &told)
            }
        }
    }

    private func openAICall(_ call: [String: Any]) -> Told.Call {
        let function = call["function"] as? [String: Any] ?? [:]
        #expect(call["type"] as? String == "function")
        return Told.Call(id: call["id"] as? String, name: function["name"] as? String ?? "", arguments: function["arguments"] as? String ?? "")
    }

    private func text(of value: Any?) -> String {
        guard let object = value as? [String: Any], let data = try? JSONSerialization.data(withJSONObject: object, options: .sortedKeys) else { return "" }
        return String(decoding: data, as: UTF8.self)
    }
}

func object(_ bytes: [UInt8]) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any], "\(String(decoding: bytes, as: UTF8.self))")
}

/// A frame of application/vnd.amazon.eventstream, its lengths and both checksums held against the bytes.
struct Frame {
    var headers: [String: String] = [:]
    var payload: [UInt8] = []

    static func all(_ bytes: [UInt8]) throws -> [Frame] {
        func number(_ at: Int) -> Int { (0 ..< 4).reduce(0) { $0 << 8 | Int(bytes[at + $1]) } }
        var frames: [Frame] = []
        var at = 0
        while at < bytes.count {
            try #require(bytes.count - at >= 16)
            let total = number(at), headers = number(at + 4)
            try #require(total >= headers + 16 && at + total <= bytes.count)
            #expect(number(at + 8) == Int(checksum(bytes[at ..< at + 8])))
            #expect(number(at + total - 4) == Int(checksum(bytes[at ..< at + total - 4])))
            var frame = Frame()
            var place = at + 12
            while place < at + 12 + headers {
                let nameLength = Int(bytes[place])
                let name = String(decoding: bytes[place + 1 ..< place + 1 + nameLength], as: UTF8.self)
                place += 1 + nameLength
                #expect(bytes[place] == 7)
                let length = Int(bytes[place + 1]) << 8 | Int(bytes[place + 2])
                #expect(frame.headers[name] == nil)
                frame.headers[name] = String(decoding: bytes[place + 3 ..< place + 3 + length], as: UTF8.self)
                place += 3 + length
            }
            #expect(place == at + 12 + headers)
            frame.payload = Array(bytes[place ..< at + total - 4])
            frames.append(frame)
            at += total
        }
        return frames
    }

    /// CRC-32 bit by bit, from its definition.
    static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        var register: UInt32 = 0xffff_ffff
        for byte in bytes {
            for bit in 0 ..< 8 {
                let isSet = (register ^ UInt32(byte >> UInt8(bit))) & 1 == 1
                register >>= 1
                if isSet { register ^= 0xedb8_8320 }
            }
        }
        return register ^ 0xffff_ffff
    }
}
