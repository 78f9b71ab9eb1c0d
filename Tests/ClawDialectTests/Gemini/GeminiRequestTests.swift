// Gemini requests as they are read: every field, both spellings, calls and their results, and what is refused with the field's name.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct GeminiRequestTests {
    private let hi = "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}]"

    @Test(arguments: [
        #"{"contents":[{"parts":[{"text":"a"}]}],"systemInstruction":{"parts":[{"text":"s"}]},"generationConfig":{"temperature":0.5,"topP":0.9,"topK":40,"candidateCount":2,"maxOutputTokens":7,"stopSequences":["x","y"],"presencePenalty":0.1,"frequencyPenalty":-0.2,"seed":12345678901,"responseLogprobs":true,"logprobs":3,"responseMimeType":"application/json","responseModalities":["TEXT","IMAGE"],"thinkingConfig":{"includeThoughts":true,"thinkingBudget":-1}},"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}}}"#,
        #"{"contents":[{"parts":[{"text":"a"}]}],"system_instruction":{"parts":[{"text":"s"}]},"generation_config":{"temperature":0.5,"top_p":0.9,"top_k":40,"candidate_count":2,"max_output_tokens":7,"stop_sequences":["x","y"],"presence_penalty":0.1,"frequency_penalty":-0.2,"seed":12345678901,"response_logprobs":true,"logprobs":3,"response_mime_type":"application/json","response_modalities":["text","image"],"thinking_config":{"include_thoughts":true,"thinking_budget":-1}},"tool_config":{"function_calling_config":{"mode":"any","allowed_function_names":["f"]}}}"#,
    ])
    func everyFieldIsReadInBothSpellings(_ body: String) throws {
        let one = try geminiConversation(body)
        #expect(one.messages.map(\.role) == [.system, .user])
        #expect(one.temperature.string == "0.5")
        #expect(one.topP.string == "0.9")
        #expect(one.topK.string == "40")
        #expect(one.n == 2)
        #expect(one.maxTokens == 7)
        #expect(one.stop.map(\.string) == ["x", "y"])
        #expect(one.presencePenalty.string == "0.1")
        #expect(one.frequencyPenalty.string == "-0.2")
        #expect(one.seed.string == "12345678901")
        #expect(one.logprobs == true)
        #expect(one.topLogprobs == 3)
        #expect(one.format.kind == .jsonObject)
        #expect(one.modalities.string == #"["text","image"]"#)
        #expect(one.reasoning.includesThoughts == true)
        #expect(one.reasoning.budget == -1)
        guard case .tool(let name) = one.toolChoice else {
            Issue.record("no tool is chosen")
            return
        }
        #expect(name.string == "f")
        #expect(one.extras.isEmpty)
    }

    @Test(arguments: [
        ("MINIMAL", Reasoning.Effort.minimal), ("low", .low), ("Medium", .medium), ("HIGH", .high), ("THINKING_LEVEL_UNSPECIFIED", .unset),
    ])
    func thinkingLevelIsAnEffort(_ word: String, _ effort: Reasoning.Effort) throws {
        #expect(try geminiConversation("{\(hi),\"generationConfig\":{\"thinkingConfig\":{\"thinkingLevel\":\"\(word)\"}}}").reasoning.effort == effort)
    }

    @Test func partsBecomeParts() throws {
        let one = try geminiConversation(#"""
            {"contents":[{"role":"user","parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"-_-_"}},{"inline_data":{"mime_type":"audio/wav","data":"AA=="}},
            {"fileData":{"fileUri":"https://x/y.pdf","mimeType":"application/pdf"}},{"fileData":{"fileUri":"https://www.youtube.com/watch?v=1"}},
            {"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/a","mimeType":"video/mp4"}},{"fileData":{"fileUri":"gs://b/c","mimeType":"image/png"}}]},
            {"role":"model","parts":[{"text":"t","thought":true},{"text":"b","thoughtSignature":"c2ln"},{"executableCode":{"code":"1"}}]}]}
            """#)
        #expect(one.parts.map(\.kind) == [.text, .image, .audio, .document, .video, .video, .image, .thinking, .text, .opaque])
        #expect(one.parts[1].data.string == "+/+/")
        #expect(one.parts[1].source == .base64)
        #expect(one.parts[3].source == .url)
        #expect(one.parts[4].source == .url)
        #expect(one.parts[5].source == .fileID)
        #expect(one.parts[6].source == .fileID)
        #expect(one.parts[8].signature.string == "c2ln")
        #expect(one.parts[8].signatureOf == .gemini)
        #expect(one.parts[9].json.string == #"{"executableCode":{"code":"1"}}"#)
    }

    @Test func base64urlIsPadded() throws {
        let one = try geminiConversation(#"{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"-_-_-w"}}]}]}"#)
        #expect(one.parts[0].data.string == "+/+/+w==")
    }

    @Test func callsWithoutIDsAndTheirResultsArePairedByNameInOrder() throws {
        let body = #"""
            {"contents":[{"role":"user","parts":[{"text":"go"}]},
            {"role":"model","parts":[{"functionCall":{"name":"a","args":{"n":1}}},{"functionCall":{"name":"b"}},{"functionCall":{"name":"a","args":{"n":2}}}]},
            {"role":"user","parts":[{"functionResponse":{"name":"a","response":{"result":"1"}}},{"functionResponse":{"name":"a","response":{"x":2}}},{"functionResponse":{"name":"b","response":{"error":"no"}}},{"text":"on"}]},
            {"role":"model","parts":[{"functionCall":{"name":"a","id":"own"}}]},{"role":"function","parts":[{"functionResponse":{"name":"a","id":"own","response":{"output":{"y":1}}}}]}]}
            """#
        let one = try geminiConversation(body)
        #expect(one.messages.map(\.role) == [.user, .assistant, .tool, .user, .assistant, .tool])
        let calls = one.parts.filter { $0.kind == .toolCall }
        let results = one.parts.filter { $0.kind == .toolResult }
        #expect(calls.map(\.id.string) == ["gemini_call_0", "gemini_call_1", "gemini_call_2", "own"])
        #expect(results.map(\.id.string) == ["gemini_call_0", "gemini_call_2", "gemini_call_1", "own"])
        #expect(results.map(\.isError) == [false, false, true, false])
        #expect(results.map { one.joinedText($0.children, inner: true).string } == ["1", #"{\"x\":2}"#, "no", #"{\"y\":1}"#])
        #expect(one.argumentsObject(calls[1])?.string == "{}")
        // The same history makes the same ids.
        let again = try geminiConversation(body)
        #expect(again.parts.map(\.id.string) == one.parts.map(\.id.string))
        withExtendedLifetime(again) {}
    }

    @Test func madeIDsAreNotSentToGemini() throws {
        let body = #"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"a","args":{}}},{"functionCall":{"name":"b","id":"x"}}]},{"role":"user","parts":[{"functionResponse":{"name":"a","response":{}}},{"functionResponse":{"name":"b","id":"x","response":{}}}]}]}"#
        #expect(differences(try parsed(body), try parsed(try translateRequest(body, from: .gemini, to: .gemini).body)) == [])
    }

    @Test func toolsAreReadWithTheirSchemasAsJSONSchema() throws {
        let one = try geminiConversation(#"""
            {\#(hi),"tools":[{"functionDeclarations":[{"name":"f","description":"d","parameters":{"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true,"enum":["A"],"format":"enum"},
            "list":{"type":"ARRAY","items":{"type":"INTEGER"},"minItems":"2","max_items":3},"any":{"nullable":true,"anyOf":[{"type":"NUMBER"}]}},"propertyOrdering":["type"],"required":["type"]}},
            {"name":"g","parametersJsonSchema":{"type":"object","additionalProperties":false}},{"name":"h"}]},{"googleSearch":{}},{"code_execution":{},"urlContext":{}}]}
            """#)
        #expect(one.tools.map(\.kind) == [.function, .function, .function, .hosted, .hosted, .hosted])
        #expect(one.tools.map(\.name.string) == ["f", "g", "h", "googleSearch", "code_execution", "urlContext"])
        let wanted = #"{"type":"object","properties":{"type":{"type":["string","null"],"enum":["A",null]},"list":{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3},"any":{"anyOf":[{"type":"number"},{"type":"null"}]}},"required":["type"]}"#
        #expect(differences(try parsed(wanted), try parsed(one.tools[0].schema.string)) == [])
        #expect(one.tools[1].schema.string == #"{"type":"object","additionalProperties":false}"#)
        #expect(!one.tools[2].schema.exists)
        #expect(one.tools[5].opaque.string == #"{"urlContext":{}}"#)
    }

    @Test func modesOfCalling() throws {
        func read(_ config: String) throws -> Conversation {
            try geminiConversation("{\(hi),\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}],\"toolConfig\":{\"functionCallingConfig\":\(config)}}")
        }
        func word(_ choice: ToolChoice) -> String {
            switch choice {
            case .unset: "unset"
            case .auto: "auto"
            case .none: "none"
            case .required: "required"
            case .tool(let name): name.string
            }
        }
        #expect(word(try read("{}").toolChoice) == "unset")
        #expect(word(try read(#"{"mode":"AUTO"}"#).toolChoice) == "auto")
        #expect(word(try read(#"{"mode":"none"}"#).toolChoice) == "none")
        #expect(word(try read(#"{"mode":"ANY"}"#).toolChoice) == "required")
        #expect(word(try read(#"{"mode":"MODE_UNSPECIFIED"}"#).toolChoice) == "unset")
        let validated = try read(#"{"mode":"VALIDATED"}"#)
        #expect(word(validated.toolChoice) == "auto")
        #expect(validated.tools[0].strict == true)
        let several = try read(#"{"mode":"ANY","allowedFunctionNames":["f","g"]}"#)
        #expect(word(several.toolChoice) == "required")
        #expect(throws: Refusal.self) { try several.refuseExtras(of: .chat) }
    }

    @Test func signaturesOfOtherProvidersComeBackToThem() throws {
        let answer = Answer()
        answer.reset(source: .messages)
        var thought = Part(.thinking)
        thought.text = JSONBytes("hm")
        thought.signature = JSONBytes("EqQB+/x=")
        thought.signatureOf = .messages
        answer.add(thought)
        var hidden = Part(.redactedThinking)
        hidden.data = JSONBytes("c2VjcmV0")
        answer.add(hidden)
        var out = JSONWriter()
        GeminiDialect.writeAnswer(answer, testContext, into: &out)
        let written = try #require(try parsed(Array(out.bytes)) as? [String: Any])
        let content = try #require(((written["candidates"] as? [[String: Any]])?.first)?["content"])
        let parts = try #require((content as? [String: Any])?["parts"] as? [[String: Any]])
        // Clients decode them, and give them back in either alphabet.
        for part in parts { #expect(Data(base64Encoded: part["thoughtSignature"] as? String ?? "!") != nil) }
        let text = String(decoding: try JSONSerialization.data(withJSONObject: ["contents": [content]]), as: UTF8.self).replacingOccurrences(of: "+", with: "-")
        let one = try geminiConversation(text)
        #expect(one.parts.map(\.kind) == [.thinking, .redactedThinking])
        #expect(one.parts.map(\.signatureOf) == [.messages, .messages])
        #expect(one.parts[0].signature.string == "EqQB+/x=")
        #expect(one.parts[1].data.string == "c2VjcmV0")
    }

    @Test func thoughtsThatCameInPiecesAreOneUnderTheSignatureOfAnotherProvider() throws {
        func read(_ signature: String) throws -> Conversation {
            try geminiConversation("{\"contents\":[{\"role\":\"model\",\"parts\":[{\"text\":\"h\",\"thought\":true},{\"text\":\"m\",\"thought\":true},{\"text\":\"\",\"thought\":true,\"thoughtSignature\":\"\(signature)\"},{\"text\":\"a\"},{\"text\":\"\"}]}]}")
        }
        let foreign = try read(Data("messages#sig".utf8).base64EncodedString())
        #expect(foreign.parts.map(\.kind) == [.thinking, .text])
        #expect(foreign.parts[0].text.string == "hm")
        #expect(foreign.parts[0].signature.string == "sig")
        #expect(foreign.messages[0].parts == 0..<2)
        let own = try read("c2lnc2lnc2ln")
        #expect(own.parts.map(\.kind) == [.thinking, .thinking, .thinking, .text])
    }

    /// As Google's SDK keeps a streamed answer: the content of each chunk.
    @Test func aTurnThatCameInPiecesIsOne() throws {
        let signature = Data("messages#c2ln".utf8).base64EncodedString()
        let pieces = [
            #"{"text":"h","thought":true}"#, #"{"text":"m","thought":true}"#, "{\"text\":\"\",\"thought\":true,\"thoughtSignature\":\"\(signature)\"}",
            #"{"text":"a"}"#, #"{"text":" "}"#, #"{"text":"b"}"#, #"{"functionCall":{"name":"f","args":{}}}"#, #"{"functionCall":{"name":"g","args":{}}}"#, #"{"text":""}"#,
        ]
        let contents = pieces.map { "{\"role\":\"model\",\"parts\":[\($0)]}" }.joined(separator: ",")
        let results = ["g", "f"].map { "{\"functionResponse\":{\"name\":\"\($0)\",\"response\":{\"result\":\"\($0)\"}}}" }.joined(separator: ",")
        let one = try geminiConversation("{\"contents\":[{\"parts\":[{\"text\":\"q\"}]},\(contents),{\"role\":\"user\",\"parts\":[\(results)]}]}")
        #expect(one.messages.map(\.role) == [.user, .assistant, .tool])
        let turn = one.parts[one.messages[1].parts]
        #expect(turn.map(\.kind) == [.thinking, .text, .toolCall, .toolCall])
        #expect(turn.map(\.text.string).prefix(2) == ["hm", "a b"])
        #expect(turn.first?.signature.string == "c2ln")
        // Results are paired with the calls where those have moved to.
        let calls = turn.suffix(2).map(\.id.string)
        #expect(one.parts[one.messages[2].parts].map(\.id.string) == calls.reversed())
    }

    @Test func forgedSignatureCannotLeaveItsString() throws {
        let forged = Data("messages#\",\"x\":\"".utf8).base64EncodedString()
        let one = try geminiConversation("{\"contents\":[{\"role\":\"model\",\"parts\":[{\"text\":\"a\",\"thoughtSignature\":\"\(forged)\"}]}]}")
        #expect(one.parts[0].signature.string == forged)
        #expect(one.parts[0].signatureOf == .gemini)
    }

    @Test func hintsAreDroppedByNameAndTheRestIsRefusedElsewhere() throws {
        let one = try geminiConversation("{\(hi),\"safetySettings\":[],\"labels\":{\"a\":\"b\"},\"serviceTier\":\"flex\"}")
        try one.refuseExtras(of: .chat)
        #expect(one.dropped.map(\.string) == ["safetySettings", "labels", "serviceTier"])
        for (body, field) in [
            ("\"cachedContent\":\"cachedContents/1\"", "cachedContent"), ("\"generationConfig\":{\"speechConfig\":{}}", "speechConfig"),
            ("\"toolConfig\":{\"retrievalConfig\":{}}", "retrievalConfig"), ("\"somethingNew\":1", "somethingNew"),
            ("\"generationConfig\":{\"responseMimeType\":\"text/x.enum\"}", "responseMimeType"),
        ] {
            let other = try geminiConversation("{\(hi),\(body)}")
            do throws(Refusal) {
                try other.refuseExtras(of: .chat)
                Issue.record("\(field) was passed over")
            } catch {
                #expect(error.field.string == field)
            }
        }
    }

    @Test func everythingGoesBackWhereItWas() throws {
        let body = #"""
            {"contents":[{"role":"user","parts":[{"text":"a","partMetadata":{"k":1}},{"fileData":{"fileUri":"gs://v","mimeType":"video/mp4"},"videoMetadata":{"fps":2},"mediaResolution":{"level":"L"}},
            {"inlineData":{"mimeType":"image/png","data":"AAAA","displayName":"d"}}]},
            {"role":"model","parts":[{"executableCode":{"language":"PYTHON","code":"1"},"thoughtSignature":"x"},{"functionCall":{"name":"f","args":{"big":12345678901234567890},"willContinue":false},"thoughtSignature":"c2ln"}]},
            {"role":"user","parts":[{"functionResponse":{"name":"f","response":{"a":[1]},"scheduling":"SILENT","parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}},{"text":"then"}]}],
            "systemInstruction":{"parts":[{"text":"one"},{"text":"two"}]},
            "tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"a":{"type":"STRING"}},"propertyOrdering":["a"]},"behavior":"BLOCKING"}]},{"googleSearch":{"timeRangeFilter":{}}}],
            "toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f","g"],"streamFunctionCallArguments":true},"retrievalConfig":{"languageCode":"en"}},
            "safetySettings":[{"category":"C","threshold":"OFF"}],"cachedContent":"c","labels":{"l":"1"},"modelArmorConfig":{"p":"q"},"serviceTier":"flex",
            "generationConfig":{"candidateCount":1,"responseLogprobs":false,"responseMimeType":"application/json","responseSchema":{"type":"OBJECT","properties":{"a":{"type":"STRING","nullable":true}}},
            "responseModalities":["TEXT"],"speechConfig":{"v":1},"mediaResolution":"M","thinkingConfig":{"includeThoughts":false,"thinkingBudget":0,"new":1}}}
            """#
        let (written, dropped) = try translateRequest(body, from: .gemini, to: .gemini, model: "gemini-2.5-flash")
        #expect(differences(try parsed(body), try parsed(written)) == [])
        #expect(dropped.isEmpty)
    }

    // MARK: what is refused

    static let refusals: [(String, String)] = [
        ("[]", "body"), ("{}", "contents"), (#"{"contents":null}"#, "contents"), (#"{"contents":{}}"#, "contents"), (#"{"contents":[]}"#, "contents"),
        (#"{"contents":[1]}"#, "contents[]"), (#"{"contents":[],"contents":[]}"#, "contents"),
        (#"{"contents":[{"role":1,"parts":[]}]}"#, "contents[].role"), (#"{"contents":[{"role":"assistant","parts":[]}]}"#, "contents[].role"),
        (#"{"contents":[{"parts":{}}]}"#, "contents[].parts"), (#"{"contents":[{"parts":["x"]}]}"#, "contents[].parts[]"),
        (#"{"contents":[{"parts":[{}]}]}"#, "contents[].parts[]"), (#"{"contents":[{"parts":[{"text":"a","functionCall":{"name":"f"}}]}]}"#, "contents[].parts[]"),
        (#"{"contents":[{"parts":[{"inlineData":{},"fileData":{}}]}]}"#, "contents[].parts[]"),
        (#"{"contents":[{"parts":[{"text":1}]}]}"#, "contents[].parts[].text"), (#"{"contents":[{"parts":[{"text":"a","thought":"x"}]}]}"#, "contents[].parts[].thought"),
        (#"{"contents":[{"parts":[{"text":"a","thoughtSignature":1}]}]}"#, "contents[].parts[].thoughtSignature"),
        (#"{"contents":[{"parts":[{"inlineData":1}]}]}"#, "contents[].parts[].inlineData"),
        (#"{"contents":[{"parts":[{"inlineData":{"data":"AA"}}]}]}"#, "contents[].parts[].inlineData.mimeType"),
        (#"{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png"}}]}]}"#, "contents[].parts[].inlineData.data"),
        (#"{"contents":[{"parts":[{"inlineData":{"mimeType":1,"data":"A"}}]}]}"#, "contents[].parts[].inlineData.mimeType"),
        (#"{"contents":[{"parts":[{"fileData":{}}]}]}"#, "contents[].parts[].fileData.fileUri"),
        (#"{"contents":[{"parts":[{"functionCall":1}]}]}"#, "contents[].parts[].functionCall"),
        (#"{"contents":[{"parts":[{"functionCall":{}}]}]}"#, "contents[].parts[].functionCall.name"),
        (#"{"contents":[{"parts":[{"functionCall":{"name":"f","args":"{}"}}]}]}"#, "contents[].parts[].functionCall.args"),
        (#"{"contents":[{"parts":[{"functionCall":{"name":"f","id":1}}]}]}"#, "contents[].parts[].functionCall.id"),
        (#"{"contents":[{"parts":[{"functionResponse":{"response":{}}}]}]}"#, "contents[].parts[].functionResponse.name"),
        (#"{"contents":[{"parts":[{"functionResponse":{"name":"f","response":"x"}}]}]}"#, "contents[].parts[].functionResponse.response"),
        (#"{"contents":[{"parts":[{"functionResponse":{"name":"f","parts":[{}]}}]}]}"#, "contents[].parts[].functionResponse.parts[]"),
    ]

    static let configRefusals: [(String, String)] = [
        (#""systemInstruction":"s""#, "systemInstruction"), (#""systemInstruction":{}"#, "systemInstruction.parts"),
        (#""systemInstruction":{"parts":[{"inlineData":{}}]}"#, "systemInstruction.parts[].text"), (#""tools":{}"#, "tools"), (#""tools":[1]"#, "tools[]"),
        (#""tools":[{"functionDeclarations":{}}]"#, "tools[].functionDeclarations"), (#""tools":[{"functionDeclarations":[1]}]"#, "tools[].functionDeclarations[]"),
        (#""tools":[{"functionDeclarations":[{}]}]"#, "tools[].functionDeclarations[].name"),
        (#""tools":[{"functionDeclarations":[{"name":"f","description":1}]}]"#, "tools[].functionDeclarations[].description"),
        (#""tools":[{"functionDeclarations":[{"name":"f","parameters":[]}]}]"#, "tools[].functionDeclarations[].parameters"),
        (#""tools":[{"functionDeclarations":[{"name":"f","parameters":{},"parametersJsonSchema":{}}]}]"#, "tools[].functionDeclarations[].parametersJsonSchema"),
        (#""toolConfig":1"#, "toolConfig"), (#""toolConfig":{"functionCallingConfig":1}"#, "toolConfig.functionCallingConfig"),
        (#""toolConfig":{"functionCallingConfig":{"mode":"SOME"}}"#, "toolConfig.functionCallingConfig.mode"),
        (#""toolConfig":{"functionCallingConfig":{"allowedFunctionNames":[1]}}"#, "toolConfig.functionCallingConfig.allowedFunctionNames"),
        (#""generationConfig":1"#, "generationConfig"), (#""generationConfig":{"temperature":"1"}"#, "generationConfig.temperature"),
        (#""generationConfig":{"topP":{}}"#, "generationConfig.topP"), (#""generationConfig":{"topK":[]}"#, "generationConfig.topK"),
        (#""generationConfig":{"candidateCount":1.5}"#, "generationConfig.candidateCount"), (#""generationConfig":{"maxOutputTokens":-1}"#, "generationConfig.maxOutputTokens"),
        (#""generationConfig":{"stopSequences":"x"}"#, "generationConfig.stopSequences"), (#""generationConfig":{"stopSequences":[1]}"#, "generationConfig.stopSequences"),
        (#""generationConfig":{"seed":0.5}"#, "generationConfig.seed"), (#""generationConfig":{"responseLogprobs":1}"#, "generationConfig.responseLogprobs"),
        (#""generationConfig":{"logprobs":true}"#, "generationConfig.logprobs"), (#""generationConfig":{"responseMimeType":1}"#, "generationConfig.responseMimeType"),
        (#""generationConfig":{"responseSchema":1}"#, "generationConfig.responseSchema"),
        (#""generationConfig":{"responseSchema":{},"responseJsonSchema":{}}"#, "generationConfig.responseSchema"),
        (#""generationConfig":{"responseModalities":["SMELL"]}"#, "generationConfig.responseModalities"),
        (#""generationConfig":{"presencePenalty":true}"#, "generationConfig.presencePenalty"), (#""generationConfig":{"frequencyPenalty":""}"#, "generationConfig.frequencyPenalty"),
        (#""generationConfig":{"thinkingConfig":1}"#, "generationConfig.thinkingConfig"),
        (#""generationConfig":{"thinkingConfig":{"includeThoughts":1}}"#, "generationConfig.thinkingConfig.includeThoughts"),
        (#""generationConfig":{"thinkingConfig":{"thinkingBudget":-2}}"#, "generationConfig.thinkingConfig.thinkingBudget"),
        (#""generationConfig":{"thinkingConfig":{"thinkingLevel":"SO_SO"}}"#, "generationConfig.thinkingConfig.thinkingLevel"), (#""model":1"#, "model"),
    ]

    @Test(arguments: refusals) func whatIsNoRequestIsRefusedWithTheFieldsName(_ body: String, _ field: String) { check(body, field) }

    @Test(arguments: configRefusals) func wrongTypeIsRefusedWithTheFieldsName(_ member: String, _ field: String) { check("{\(hi),\(member)}", field) }

    private func check(_ body: String, _ field: String) {
        let held = words(body)
        var tape = JSONTape()
        #expect(tape.read(held.raw) == nil)
        let conversation = Conversation()
        conversation.reset(source: .gemini)
        do throws(Refusal) {
            try GeminiDialect.readRequest(tape.root, into: conversation)
            Issue.record("taken: \(body)")
        } catch {
            #expect(error.field.string == field)
        }
    }

    @Test func nullIsAbsent() throws {
        let one = try geminiConversation(#"{"contents":[{"role":null,"parts":[{"text":"a","thought":null,"functionCall":null}]}],"tools":null,"toolConfig":null,"generationConfig":{"topK":null,"thinkingConfig":null},"x":null}"#)
        #expect(one.parts.count == 1)
        #expect(one.extras.isEmpty)
    }

    @Test func everyFieldHasAName() {
        for field in Field.allCases { #expect(GeminiDialect.name(of: field).utf8CodeUnitCount > 0) }
        #expect("\(GeminiDialect.name(of: .topK))" == "generationConfig.topK")
        #expect("\(GeminiDialect.name(of: .maxTokens))" == "generationConfig.maxOutputTokens")
    }
}
