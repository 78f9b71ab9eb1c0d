import ClawPolicy
import Testing

@Suite struct PromptPrefixTests {
    private func hash(_ json: String) -> UInt64 {
        var reading = PromptReading(.prefix)
        Array(json.utf8).withUnsafeBytes { _ = reading.read($0) }
        return reading.prefix.value
    }

    @Test func allTurnsOfAConversationAreAlike() {
        let first = hash(#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"Hi"}]}"#)
        #expect(first == hash(#"{"model":"x","messages":[{"content":"S","role":"system"},{"content":"H\u0069","role":"user"},{"role":"assistant","content":"Yes?"},{"role":"user","content":"More"}],"tools":[]}"#))
        #expect(first != hash(#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"Ho"}]}"#))
        #expect(first != hash(#"{"messages":[{"role":"system","content":"T"},{"role":"user","content":"Hi"}]}"#))
        #expect(first != 0 && hash("{}") == 0)
        let claude = hash(#"{"system":"S","messages":[{"role":"user","content":"Hi"}]}"#)
        #expect(claude == hash(#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes?"},{"role":"user","content":"More"}],"system":"S"}"#))
        #expect(claude != hash(#"{"system":"SH","messages":[{"role":"user","content":"i"}]}"#))
        let gemini = hash(#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}"#)
        #expect(gemini == hash(#"{"contents":[{"parts":[{"text":"Hi"}],"role":"user"},{"role":"model","parts":[{"text":"Yes?"}]},{"role":"user","parts":[{"text":"More"}]}]}"#))
    }

    @Test func onlyTheFirstFourKibibytesCount() {
        func body(_ system: Int, _ user: Int, _ tail: String, isSystemFirst: Bool = true) -> String {
            let system = #""system":"\#(String(repeating: "s", count: system))""#
            let messages = #""messages":[{"role":"user","content":"\#(String(repeating: "u", count: user))\#(tail)"}]"#
            return isSystemFirst ? "{\(system),\(messages)}" : "{\(messages),\(system)}"
        }
        #expect(hash(body(5000, 10, "a")) == hash(body(5000, 10, "b")))
        #expect(hash(body(3000, 1100, "a")) == hash(body(3000, 1100, "b")))
        #expect(hash(body(3000, 900, "a")) != hash(body(3000, 900, "b")))
        #expect(hash(body(10, 5000, "a")) == hash(body(10, 5000, "b")))
        for (system, user) in [(0, 10), (3000, 900), (3000, 3000), (4095, 100), (4096, 1), (5000, 5000)] {
            #expect(hash(body(system, user, "x")) == hash(body(system, user, "x", isSystemFirst: false)))
        }
    }
}
