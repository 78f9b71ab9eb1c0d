// Signatures of thoughts in Gemini's words are base64, and its clients decode them; one that another provider made therefore travels as base64 of
// what `Signatures` makes of it. So does what a provider redacted, with a mark behind its maker's name. Clients give back either alphabet of base64.
import ClawWire

enum GeminiSignatures {
    private static let redactedMark: StaticString = "redacted:"

    static func outward(_ signature: JSONBytes, of maker: DialectID?, isRedacted: Bool = false, _ arena: inout JSONArena) -> JSONBytes {
        guard let maker, maker != .gemini, !signature.isEmpty else { return signature }
        let plain = arena.unescaped(signature)
        let named = arena.joined(
            JSONBytes(Signatures.name(maker)), JSONBytes("#"), isRedacted ? JSONBytes(redactedMark) : JSONBytes(""), plain)
        return Base64.encode(named.raw, &arena)
    }

    static func inward(_ text: JSONBytes, _ arena: inout JSONArena) -> (signature: JSONBytes, maker: DialectID, isRedacted: Bool) {
        // The longest name and its `#` are in the first 24 characters.
        guard text.count >= 8, let head = Base64.decode(text.prefix(24), &arena), head.firstIndex(of: 0x23) != nil,
            Signatures.inward(head, in: .gemini).maker != .gemini, let whole = Base64.decode(text, &arena),
            whole.raw.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C })
        else { return (text, .gemini, false) }
        let (signature, maker) = Signatures.inward(whole, in: .gemini)
        if signature.begins(with: redactedMark) { return (signature.dropFirst(redactedMark.utf8CodeUnitCount), maker, true) }
        return (signature, maker, false)
    }
}
