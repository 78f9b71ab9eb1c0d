// Takes out of a provider's error message what is none of the client's business: keys (also the half-masked ones that providers echo) and URLs of
// machines that the client could not reach anyway. What is left is the provider's message, word for word. Works on escaped text and on whole JSON bodies
// alike, since neither keys nor host names are ever escaped.
import ClawWire

public enum Redaction {
    /// Beginnings of keys that providers give out, each followed by at least eight characters of a key.
    private static let marks: [StaticString] = [
        "sk-", "AIza", "gsk_", "xai-", "AKIA", "ASIA", "hf_", "nvapi-", "pplx-", "csk-", "tgp_", "rk-", "eyJ", "oc_", "ya29.", "ABSK",
    ]

    /// Shorter ones would be found in any prose.
    private static let keyBytesMin = 8

    /// Most bytes that `count` bytes become: the shortest URL, `ws://a`, is shorter than what is written for it.
    public static func lengthMax(_ count: Int) -> Int { count * 3 + 16 }

    /// `text` itself where there is nothing to take out. `key`: the one that the upstream was shown, whatever it looks like.
    public static func clean(_ text: JSONBytes, _ arena: inout JSONArena, key: JSONBytes = JSONBytes()) -> JSONBytes {
        guard isDoubtful(text) || (key.count >= keyBytesMin && text.contains(key)) else { return text }
        let place = arena.take(lengthMax(text.count))
        var count = 0
        var at = 0
        var changed = false
        // A key begins where no word is under way; the letter of an escape is none of a word's.
        var isStart = true
        while at < text.count {
            if let (length, words) = secret(text.dropFirst(at), key, isStart: isStart) {
                (place + count).update(from: words.utf8Start, count: words.utf8CodeUnitCount)
                count += words.utf8CodeUnitCount
                at += length
                changed = true
                isStart = false
                continue
            }
            let length = escapeLength(text, at)
            for _ in 0..<max(1, length) {
                place[count] = text[at]
                count += 1
                at += 1
            }
            isStart = length > 0 || !isKeyByte(text[at - 1])
        }
        return changed ? JSONBytes(place, count) : text
    }

    /// Could there be anything?
    private static func isDoubtful(_ text: JSONBytes) -> Bool {
        for mark in marks where text.contains(mark) { return true }
        return text.contains("://") || text.contains(":\\/\\/") || text.contains("earer ")
    }

    /// Overwrites a key in place, where a text can change neither its length nor its place.
    public static func mask(_ key: JSONBytes, in text: UnsafeMutableRawBufferPointer) {
        guard key.count >= keyBytesMin else { return }
        var rest = UnsafeMutableRawBufferPointer(rebasing: text[...])
        while let at = JSONBytes(UnsafeRawBufferPointer(rest)).firstIndex(of: key) {
            for place in at..<at + key.count { rest[place] = 0x2A }
            rest = UnsafeMutableRawBufferPointer(rebasing: rest[(at + key.count)...])
        }
    }

    /// Bytes of the escape sequence that begins here; 0: none does.
    private static func escapeLength(_ text: JSONBytes, _ at: Int) -> Int {
        guard text[at] == 0x5C, at + 1 < text.count else { return 0 }
        switch text[at + 1] {
        case 0x22, 0x2F, 0x5C, 0x62, 0x66, 0x6E, 0x72, 0x74: return 2
        case 0x75: return min(6, text.count - at)
        default: return 0
        }
    }

    private static func secret(_ rest: JSONBytes, _ key: JSONBytes, isStart: Bool) -> (length: Int, substitute: StaticString)? {
        if key.count >= keyBytesMin, rest.count >= key.count, rest.prefix(key.count).equals(key) { return (key.count, "***") }
        if !isStart { return nil }
        for mark in marks where rest.begins(with: mark) {
            var length = mark.utf8CodeUnitCount
            while length < rest.count, isKeyByte(rest[length]) { length += 1 }
            // "sk-" alone, or as part of prose, is no key.
            if length - mark.utf8CodeUnitCount >= 8 { return (length, "***") }
        }
        if rest.begins(with: "http:") || rest.begins(with: "https:") || rest.begins(with: "ws:") || rest.begins(with: "wss:") { return url(rest) }
        if rest.begins(with: "Bearer ") || rest.begins(with: "bearer ") {
            var length = 7
            while length < rest.count, isKeyByte(rest[length]) { length += 1 }
            if length >= 7 + 12 { return (length, "Bearer ***") }
        }
        return nil
    }

    private static func isKeyByte(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 0x5F || byte == 0x2D || byte == 0x2A || byte == 0x2E
    }

    private static func url(_ text: JSONBytes) -> (length: Int, substitute: StaticString)? {
        var start = (text.firstIndex(of: 0x3A) ?? 0) + 1
        // Some write a slash with a backslash before it.
        for _ in 0..<2 {
            if start < text.count, text[start] == 0x5C { start += 1 }
            guard start < text.count, text[start] == 0x2F else { return nil }
            start += 1
        }
        var stop = start
        while stop < text.count, !endsURL(text, stop), text[stop] != 0x2F, text[stop] != 0x3F, text[stop] != 0x23, text[stop] != 0x5C { stop += 1 }
        guard start < stop, isInternal(text.prefix(stop).dropFirst(start)) else { return nil }
        while stop < text.count, !endsURL(text, stop) { stop += 1 }
        return (stop, "[internal URL]")
    }

    private static func endsURL(_ text: JSONBytes, _ at: Int) -> Bool {
        let byte = text[at]
        if byte == 0x5C { return at + 1 >= text.count || text[at + 1] != 0x2F }
        return byte <= 0x20 || byte == 0x22 || byte == 0x27 || byte == 0x3C || byte == 0x3E || byte == 0x29 || byte == 0x2C
    }

    /// An address of a private, loopback or link-local network, a name without a dot, or one of the suffixes that never resolve in public.
    private static func isInternal(_ authority: JSONBytes) -> Bool {
        if authority.contains("@") { return true }
        var host = authority
        if host.count > 0, host[0] == 0x5B { return true }
        if let colon = host.firstIndex(of: 0x3A) { host = host.prefix(colon) }
        let suffixes: [StaticString] = [".internal", ".local", ".svc", ".cluster.local", ".lan", ".corp", ".home.arpa", ".localdomain"]
        for suffix in suffixes where host.ends(with: suffix) { return true }
        guard host.raw.contains(0x2E) else { return true }
        var parts: InlineArray<4, Int> = .init(repeating: 0)
        var part = 0
        for byte in host.raw {
            switch byte {
            case 48...57: parts[part] = min(999, parts[part] * 10 + Int(byte - 48))
            case 0x2E:
                part += 1
                if part > 3 { return false }
            default: return false
            }
        }
        if part != 3 { return false }
        return parts[0] == 10 || parts[0] == 127 || parts[0] == 0 || (parts[0] == 172 && (16...31).contains(parts[1]))
            || (parts[0] == 192 && parts[1] == 168) || (parts[0] == 169 && parts[1] == 254) || (parts[0] == 100 && (64...127).contains(parts[1]))
    }
}
