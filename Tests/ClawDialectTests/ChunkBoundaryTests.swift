// Every recorded stream says the same however the network cut it: read in pieces of each size, in its own framing, it gives the same neutral events.
import ClawDialect
import ClawWire
import Foundation
import Testing

@Suite struct ChunkBoundaryTests {
    /// The dialect of a recording, nil where it is no stream of ours (InvokeModel's frames hold another provider's events).
    private static func dialect(of one: Recording) -> DialectID? {
        guard one.isStream, one.status == 200 else { return nil }
        switch one.api {
        case "openai.responses", "azure.responses", "xai.responses": return .responses
        case "openai.completions": return .completions
        case "anthropic.messages": return .messages
        case "bedrock.converse_stream": return .converse
        case "cohere.chat": return .cohere
        case "ollama.chat": return .ollama
        case "ollama.generate": return .ollamaGenerate
        case _ where one.api.hasSuffix("streamGenerateContent"): return .gemini
        case _ where one.api.hasSuffix("chat") || one.api == "gemini.openai_compat": return .chat
        default: return nil
        }
    }

    private static let streams = Recordings.all.filter { dialect(of: $0) != nil }

    private func events(_ one: Recording, _ dialect: DialectID, pieces size: Int) -> [String] {
        let isArray = dialect == .gemini && one.contentType.contains("json")
        var scanner = WireScanner(isArray ? .array : dialect.pieces.framing)
        let reader = dialect.pieces.streamReader(Quirks())
        let list = EventList()
        var out: [String] = []
        func take() {
            for event in list.events {
                out.append("\(event.kind) \(event.choice) \(event.index) \(event.text.string)|\(event.id.string)|\(event.name.string)|\(event.json.string)|\(event.usage.input) \(event.usage.output)")
            }
            list.reset()
        }
        var at = 0
        while at < one.responseBody.count {
            let end = min(one.responseBody.count, at + size)
            // Memory of its own for each piece, so that reading beyond it would show.
            let piece = Held(Array(one.responseBody[at..<end]))
            var from = 0
            loop: while true {
                switch scanner.next(piece.bytes, from: from) {
                case .event(let event, let next):
                    from = next
                    reader.read(event, into: list)
                    take()
                case .needMore: break loop
                case .refused(let reason):
                    out.append("refused: \(reason)")
                    break loop
                }
            }
            at = end
        }
        if let last = scanner.finish() {
            reader.read(last, into: list)
            take()
        }
        reader.finish(into: list)
        take()
        return out
    }

    @Test(.enabled(if: Recordings.isThere), arguments: streams)
    func everySizeGivesTheSameEvents(recording: Recording) throws {
        let dialect = try #require(Self.dialect(of: recording))
        let length = recording.responseBody.count
        let whole = events(recording, dialect, pieces: length)
        #expect(whole.count > 1 && !whole.contains { $0.hasPrefix("refused") })
        // Every size while that is a moment's work; of long streams all small ones, and steps of a sixteenth through the others.
        var sizes = Array(1...min(length, 48))
        var next = 49
        while next < length {
            sizes.append(next)
            next += length < 2000 ? 1 : max(1, next / 8)
        }
        for size in sizes { #expect(events(recording, dialect, pieces: size) == whole, "pieces of \(size) bytes") }
    }
}
