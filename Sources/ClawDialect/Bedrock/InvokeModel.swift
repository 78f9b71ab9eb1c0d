// Bedrock's InvokeModel carries a model's own format. Its streams are frames of the type `chunk` whose payload is {"bytes": base64 of one event, "p": padding}:
// what is inside is the event of the model's maker, for Claude Anthropic's stream events without their names.
import ClawWire

public enum InvokeModel {
    /// The event inside a `chunk`: its bytes lie in `arena`, which is the list's that the maker's reader will fill; nil for a payload of another shape.
    /// Exceptions, and frames of other types, are given back as they are.
    public static func inner(of event: WireEvent, _ arena: ArenaBox) -> WireEvent? {
        guard event.kind == .event, event.name.equals("chunk") else { return event }
        guard arena.tape.read(event.data) == nil, arena.tape.root["bytes"].isString else { return nil }
        let coded = arena.arena.unescaped(arena.tape.root["bytes"].text)
        guard let bytes = Base64.decode(coded, &arena.arena) else { return nil }
        return WireEvent(bytes.raw)
    }
}
