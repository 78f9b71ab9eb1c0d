import ClawPolicy
import Testing

/// Writes down what a walk finds.
struct Listener: PromptSink {
    var texts: [String] = []
    var systems: [String] = []
    var users: [Bool] = []
    var structures = 0, numbers = 0, images = 0
    private var piece: [UInt8] = []
    mutating func text(_ bytes: UnsafeRawBufferPointer, isSystem: Bool) { piece += bytes }
    mutating func textEnd(isSystem: Bool) {
        let text = String(decoding: piece, as: UTF8.self)
        if isSystem { systems.append(text) } else { texts.append(text) }
        piece = []
    }
    mutating func messageEnd(isUser: Bool) { users.append(isUser) }
    mutating func structure(bytes: Int) { structures += bytes }
    mutating func token() { numbers += 1 }
    mutating func image() { images += 1 }
    mutating func bare() {}
    mutating func toolPrompt() {}
}

/// Scans a copy that is exactly as large as the text, so that a read beyond it is found by the sanitizer.
func scanned(_ json: [UInt8]) -> (Listener, Bool) {
    let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: json.count, alignment: 1)
    defer { exact.deallocate() }
    exact.copyBytes(from: json)
    var listener = Listener()
    let isWhole = PromptScanner.scan(UnsafeRawBufferPointer(exact), into: &listener)
    return (listener, isWhole)
}
func scanned(_ json: String) -> Listener {
    let (listener, isWhole) = scanned(Array(json.utf8))
    #expect(isWhole)
    return listener
}

@Suite struct PromptScannerTests {
    @Test func chatMessagesAreTextAndNothingElse() {
        let got = scanned(#"""
            {"model":"gpt-4o","messages":[{"role":"system","content":"Be brief."},{"content":[{"type":"text","text":"Look:"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
            {"type":"text","text":"what?"}],"role":"user","name":"bob"},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
            {"role":"tool","tool_call_id":"c","content":"42 degrees"}],"stop":["content"],"metadata":{"content":"no","messages":[{"content":"no"}]},"temperature":0.5}
            """#)
        #expect(got.texts == ["Be brief.", "Look:", "what?", "42 degrees"] && got.systems.isEmpty)
        #expect(got.users == [false, true, false, false] && got.images == 1 && got.structures > 10)
    }

    @Test func everyDialectIsRead() {
        let table: [(String, [String], [String])] = [
            (#"{"prompt":"Once"}"#, ["Once"], []),
            (#"{"prompt":["a","b"]}"#, ["a", "b"], []),
            (#"{"input":"Hello","instructions":"Short."}"#, ["Hello"], ["Short."]),
            (#"{"input":["x","y"],"model":"e"}"#, ["x", "y"], []),
            (#"{"input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},{"type":"function_call_output","call_id":"1","output":"done"}]}"#, ["hi", "done"], []),
            (#"{"system":"S","messages":[{"role":"user","content":"U"}]}"#, ["U"], ["S"]),
            (#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"R"}]}]}],"system":[{"type":"text","text":"S1","cache_control":{"type":"ephemeral"}},{"text":"S2"}]}"#,
             ["R"], ["S1", "S2"]),
            (#"{"contents":[{"role":"user","parts":[{"text":"G"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}],"systemInstruction":{"parts":[{"text":"SI"}]}}"#, ["G"], ["SI"]),
            (#"{"system_instruction":{"parts":{"text":"SI"}},"contents":{"parts":{"text":"G"}}}"#, ["G"], ["SI"]),
            (#"{"content":{"parts":[{"text":"E"}]}}"#, ["E"], []),
            (#"{"requests":[{"model":"m","content":{"parts":[{"text":"E1"}]}},{"content":{"parts":[{"text":"E2"}]}}]}"#, ["E1", "E2"], []),
            (#"{"model":"llama3","prompt":"P","system":"S","images":["AAAA"]}"#, ["P"], ["S"]),
            (#"{"message":"now","chat_history":[{"role":"USER","message":"then"}],"preamble":"pre"}"#, ["now", "then"], ["pre"]),
            (#"{"texts":["t1","t2"],"input_type":"search"}"#, ["t1", "t2"], []),
            (#"{"system":[{"text":"S"}],"messages":[{"role":"user","content":[{"text":"B"},{"toolResult":{"content":[{"text":"T"}]}}]}]}"#, ["B", "T"], ["S"]),
            (#"{}"#, [], []), (#""text""#, [], []), (#"{"messages":null,"prompt":7}"#, [], []),
        ]
        for (json, texts, systems) in table {
            let got = scanned(json)
            #expect(got.texts == texts && got.systems == systems, "\(json)")
        }
    }

    @Test func escapesAreUndone() {
        let got = scanned(#"{"prompt":"a\n\t\"\\\/\u00e9\uD55C\uae00 \ud83d\ude00 \ud83d x \ude00\ud83d\ud83d\ude00한글 é"}"#)
        #expect(got.texts == ["a\n\t\"\\/é한글 😀 \u{FFFD} x \u{FFFD}\u{FFFD}😀한글 é"])
        // More escapes in a row than the scratch holds.
        let long = String(repeating: #"\uD55C\n"#, count: 500)
        #expect(scanned(#"{"prompt":"\#(long)"}"#).texts == [String(repeating: "한\n", count: 500)])
    }

    @Test func tokensByNumberAreCounted() {
        #expect(scanned(#"{"input":[1,22,333]}"#).numbers == 3)
        #expect(scanned(#"{"prompt":[[1,2],[3]],"max_tokens":5}"#).numbers == 3)
    }

    @Test func deepNestingEndsTheWalk() {
        for depth in [127, 128, 129, 5000] {
            let json = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
            #expect(scanned(Array(json.utf8)).1 == (depth <= PromptScanner.depthMax))
        }
    }

    static let samples: [String] = [
        #"{"model":"gpt-4o","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"Wie geht\u2019s \ud83d\ude00?"},{"type":"image_url","image_url":{"url":"x"}}]}],"tools":[{"type":"function","function":{"name":"f","parameters":{"a":[1,2,{"b":null}]}}}]}"#,
        #"{"system":[{"type":"text","text":"S\n\n"}],"messages":[{"role":"user","content":"한국어 \" 글"},{"role":"assistant","content":[{"type":"tool_use","input":{"x":-1.5e3}}]}]}"#,
        #"{"contents":[{"role":"user","parts":[{"text":"Привет мир"}]}],"systemInstruction":{"parts":[{"text":"日本語です"}]},"x":[true,false,null]}"#,
    ]

    @Test func cutAnywhereItNeverTraps() {
        for sample in Self.samples {
            let bytes = Array(sample.utf8)
            for length in 0...bytes.count {
                let (_, isWhole) = scanned(Array(bytes[0..<length]))
                #expect(isWhole == (length == bytes.count))
            }
        }
    }

    @Test func anyBytesNeverTrap() {
        var random = Seeded(7)
        let alphabet = Array(#"{}[]",:\ud80text"role"content"messages"prompt"system"0-9tn"#.utf8) + [0, 9, 10, 0x80, 0xC3, 0xD0, 0xED, 0xFF]
        let keywords = KeywordMatcher([Array("te".utf8), Array("é".utf8), Array("t".utf8)])
        for round in 0..<20_000 {
            var bytes: [UInt8]
            if round % 2 == 0 {
                bytes = Array(Self.samples[round % 3].utf8)
                for _ in 0..<Int(random.next() % 8) + 1 { bytes[Int(random.next() % UInt64(bytes.count))] = alphabet[Int(random.next() % UInt64(alphabet.count))] }
                if round % 4 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
            } else {
                bytes = Array("{\"messages\":[{\"content\":\"".utf8.prefix(Int(random.next() % 26)))
                bytes += (0..<Int(random.next() % 64)).map { _ in alphabet[Int(random.next() % UInt64(alphabet.count))] }
            }
            let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
            exact.copyBytes(from: bytes)
            var found: UInt64 = 0
            withUnsafeMutablePointer(to: &found) { found in
                var reading = PromptReading([.keywords, .language, .tokens, .prefix], matcher: keywords, found: found)
                reading.read(UnsafeRawBufferPointer(exact))
                #expect((0...24).contains(reading.language.language) && reading.tokens.value >= 0)
                _ = reading.prefix.value
            }
            exact.deallocate()
        }
    }
}
