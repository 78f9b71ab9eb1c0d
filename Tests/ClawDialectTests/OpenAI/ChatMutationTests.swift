// Recorded bodies with bytes changed, cut and doubled at random (by a fixed seed): whatever they have become, reading them ends in a value or an error.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct ChatMutationTests {
    private struct Dice {
        var state: UInt64
        mutating func roll(_ sides: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % max(1, sides)
        }
    }

    /// Foundation does not take 1e400, which is a number all the same.
    private func isJSON(_ bytes: [UInt8]) -> Bool {
        let held = Held(bytes)
        var tape = JSONTape()
        return tape.read(held.bytes) == nil
    }

    private func changed(_ body: [UInt8], _ dice: inout Dice) -> [UInt8] {
        var body = body
        for _ in 0...dice.roll(3) where !body.isEmpty {
            let at = dice.roll(body.count)
            switch dice.roll(6) {
            case 0: body[at] = UInt8(dice.roll(256))
            case 1: body.removeSubrange(at..<min(body.count, at + 1 + dice.roll(40)))
            case 2: body.insert(contentsOf: body[at..<min(body.count, at + 1 + dice.roll(40))], at: dice.roll(body.count))
            case 3: body = Array(body[..<at])
            // Values of another kind keep the text valid more often.
            default:
                let words = ["null", "5", "\"x\"", "[]", "{}", "true", "-1", "1e400", "[[[]]]"]
                if let colon = body[at...].firstIndex(of: 0x3A), let end = body[(colon + 1)...].firstIndex(where: { $0 == 0x2C || $0 == 0x7D }) {
                    body.replaceSubrange((colon + 1)..<end, with: Array(words[dice.roll(words.count)].utf8))
                }
            }
        }
        return body
    }

    @Test(.enabled(if: Recordings.isThere))
    func nothingThatIsReadTraps() {
        var dice = Dice(state: 42)
        let all = ChatRecordings.chat + CompletionsTests.recorded + EmbeddingTests.recorded
        let small = all.filter { $0.responseBody.count < 20_000 && $0.requestBody.count < 20_000 }
        var read = 0
        for _ in 0..<2000 {
            let one = small[dice.roll(small.count)]
            let isOld = one.api == "openai.completions"
            let dialect = isOld ? DialectID.completions : .chat
            let request = changed(one.requestBody, &dice)
            let quirks = Quirks.named(Quirks.names[dice.roll(Quirks.names.count)])!
            if (try? translateRequest(String(decoding: request, as: UTF8.self), from: dialect, to: .chat, quirks: quirks, drops: dice.roll(2) == 0)) != nil { read += 1 }
            let body = changed(one.responseBody, &dice)
            if one.isStream {
                let keeps = dice.roll(2) == 0
                let out = translateStream(
                    sseEvents(body, pieces: 1 + dice.roll(500)), reader: dialect.pieces.streamReader(quirks), writer: dialect.pieces.streamWriter(testContext), keepsExtras: keeps)
                let end = out.kinds.last
                #expect(!String(decoding: out.bytes, as: UTF8.self).hasSuffix("[DONE]\n\n") || end == .end)
            } else {
                if let out = translateAnswer(body, from: dialect, to: dialect) {
                    #expect(isJSON(Array(out.utf8)), "\(out)")
                    read += 1
                }
                let held = Held(body)
                var tape = JSONTape()
                _ = tape.read(held.bytes)
                let arena = ArenaBox()
                let error = ChatDialect.readError(status: 400 + dice.roll(150), tape.root, text: held.bytes, kind: JSONBytes(), arena)
                var out = JSONWriter()
                _ = ChatDialect.writeError(error, requestID: JSONBytes(), into: &out)
                #expect(withExtendedLifetime(arena) { isJSON(Array(out.bytes)) })
                _ = ChatDialect.readEmbeddingAnswer(tape.root, into: EmbeddingAnswer())
            }
        }
        #expect(read > 300)
    }
}
