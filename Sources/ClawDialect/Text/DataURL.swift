// data: URLs (RFC 2397), as OpenAI's image parts carry their images.
import ClawWire

public enum DataURL {
    /// Media type and base64 text of `data:image/png;base64,…`; nil for any other URL. Both are pieces of `url`.
    public static func parse(_ url: JSONBytes) -> (mediaType: JSONBytes, data: JSONBytes)? {
        guard url.count > 5, url.prefix(5).raw.elementsEqual("data:".utf8, by: { $0 | 32 == $1 || $0 == $1 }), let comma = url.firstIndex(of: 0x2C) else { return nil }
        let head = url.prefix(comma).dropFirst(5)
        guard head.ends(with: ";base64") else { return nil }
        let type = head.prefix(head.count - 7)
        let end = type.firstIndex(of: 0x3B) ?? type.count
        return (type.prefix(end), url.dropFirst(comma + 1))
    }

    /// The other way.
    public static func make(mediaType: JSONBytes, data: JSONBytes, _ arena: inout JSONArena) -> JSONBytes {
        arena.joined(JSONBytes("data:"), mediaType.isEmpty ? JSONBytes("application/octet-stream") : mediaType, JSONBytes(";base64,"), data)
    }
}
