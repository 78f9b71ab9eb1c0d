// Signatures of thoughts travel through clients of another dialect, who give back what they got. So that a signature never reaches a provider that did not
// make it (which answers 400), one that is foreign to the dialect it is written in carries its maker's name in front: `gemini#CiQB…`. Providers' own
// signatures are base64 and hold no `#`.
import ClawWire

public enum Signatures {
    /// As it is written in `dialect`.
    public static func outward(_ signature: JSONBytes, of maker: DialectID?, in dialect: DialectID, _ arena: inout JSONArena) -> JSONBytes {
        guard let maker, maker != dialect, !signature.isEmpty else { return signature }
        return arena.joined(JSONBytes(name(maker)), JSONBytes("#"), signature)
    }

    /// As it was read in `dialect`: whose it is, and the signature itself.
    public static func inward(_ text: JSONBytes, in dialect: DialectID) -> (signature: JSONBytes, maker: DialectID) {
        if let mark = text.prefix(24).firstIndex(of: 0x23) {
            for maker in DialectID.allCases where text.prefix(mark).equals(name(maker)) { return (text.dropFirst(mark + 1), maker) }
        }
        return (text, dialect)
    }

    public static func name(_ maker: DialectID) -> StaticString {
        switch maker {
        case .chat: "chat"
        case .completions: "completions"
        case .responses: "responses"
        case .messages: "messages"
        case .gemini: "gemini"
        case .converse: "converse"
        case .cohere: "cohere"
        case .ollama: "ollama"
        case .ollamaGenerate: "ollamaGenerate"
        }
    }
}
