// Recorded bytes with small things changed, seeded: whatever they become, nothing traps, and what is written is JSON.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct GeminiBadInputTests {
    private struct Dice {
        var state: UInt64
        mutating func roll(_ below: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % max(1, below)
        }
    }

    private static let scraps = ["null", "[]", "{}", "1", "-1", "1e999", "\"\"", "\"x\"", "true", "\\ud83d", "\\", "\"", "{", "}", "[", "]", ",", ":", "\u{0}", "é"].map { Array($0.utf8) }

    private func mutate(_ bytes: [UInt8], _ dice: inout Dice) -> [UInt8] {
        var out = bytes
        for _ in 0...dice.roll(3) where !out.isEmpty {
            let at = dice.roll(out.count)
            switch dice.roll(4) {
            case 0: out.removeSubrange(at..<min(out.count, at + 1 + dice.roll(20)))
            case 1: out.insert(contentsOf: Self.scraps[dice.roll(Self.scraps.count)], at: at)
            case 2: out[at] = UInt8(dice.roll(256))
            default:
                // A value for another value: from a colon to the next comma.
                guard let colon = out[at...].firstIndex(of: UInt8(ascii: ":")), let comma = out[colon...].firstIndex(of: UInt8(ascii: ",")) else { continue }
                out.replaceSubrange(colon + 1..<comma, with: Self.scraps[dice.roll(8)])
            }
        }
        return out
    }

    /// Valid by the tape; by Foundation too where it took what this was made of (it refuses lone surrogates and numbers beyond the doubles).
    private func isJSON(_ bytes: [UInt8], from source: Held?) -> Bool {
        var tape = JSONTape()
        let held = Held(bytes)
        guard tape.read(held.bytes) == nil else { return false }
        guard let source, (try? parsed(Array(source.bytes))) != nil else { return true }
        return (try? parsed(bytes)) != nil
    }

    @Test func mutatedRequestsNeverTrap() throws {
        let bodies = GeminiRecordingTests.requests.map(\.requestBody).filter { $0.count < 8000 }
        guard !bodies.isEmpty else { return }
        var dice = Dice(state: 11)
        let conversation = Conversation()
        var tape = JSONTape()
        var out = JSONWriter()
        var taken = 0
        for round in 0..<1500 {
            let held = Held(mutate(bodies[round % bodies.count], &dice))
            guard tape.read(held.bytes) == nil else { continue }
            for source in [DialectID.gemini, .chat] {
                conversation.reset(source: .gemini)
                out.reset()
                do throws(Refusal) {
                    try GeminiDialect.readRequest(tape.root, into: conversation)
                    // As if another dialect had said it: the other way through the writer.
                    conversation.source = source
                    conversation.dropsUnsupported = true
                    try GeminiDialect.writeRequest(conversation, to: Target(model: JSONBytes("gemini-3-pro"), quirks: Quirks()), into: &out)
                    taken += 1
                    #expect(isJSON(Array(out.bytes), from: held))
                } catch {
                    #expect(!error.field.isEmpty)
                }
            }
        }
        #expect(taken > 100)
    }

    @Test func mutatedAnswersNeverTrap() throws {
        let bodies = (GeminiRecordingTests.answers + GeminiRecordingTests.errors).map(\.responseBody).filter { $0.count < 8000 }
        guard !bodies.isEmpty else { return }
        var dice = Dice(state: 12)
        let answer = Answer()
        var tape = JSONTape()
        var out = JSONWriter()
        let arena = ArenaBox()
        for round in 0..<1500 {
            let held = Held(mutate(bodies[round % bodies.count], &dice))
            guard tape.read(held.bytes) == nil else { continue }
            answer.reset(source: .gemini)
            if GeminiDialect.readAnswer(tape.root, into: answer) {
                for source in [DialectID.gemini, .messages] {
                    answer.source = source
                    out.reset()
                    GeminiDialect.writeAnswer(answer, testContext, into: &out)
                    #expect(isJSON(Array(out.bytes), from: held))
                }
            } else {
                #expect(answer.error != nil)
            }
            arena.arena.reset()
            let error = GeminiDialect.readError(status: 400, tape.root, text: held.bytes, kind: JSONBytes(), arena)
            out.reset()
            _ = GeminiDialect.writeError(error, requestID: JSONBytes(), into: &out)
            #expect(isJSON(Array(out.bytes), from: held))
        }
    }

    @Test func mutatedStreamsNeverTrap() throws {
        let bodies = GeminiRecordingTests.streams.map(\.responseBody).filter { $0.count < 8000 }
        guard !bodies.isEmpty else { return }
        var dice = Dice(state: 13)
        for round in 0..<600 {
            let events = geminiEvents(bodies[round % bodies.count]).map { one in dice.roll(2) == 0 ? one : event(String(decoding: mutate(one.data, &dice), as: UTF8.self)) }
            for keeps in [false, true] {
                let (bytes, kinds) = translateStream(events, reader: GeminiDialect.streamReader(Quirks()), writer: GeminiDialect.streamWriter(testContext), keepsExtras: keeps)
                #expect(kinds.filter { $0 == .start }.count <= 1)
                #expect(kinds.filter { $0 == .end || $0 == .error }.count <= 1)
                for one in sseEvents(bytes) { #expect(isJSON(one.data, from: nil)) }
            }
        }
    }
}
