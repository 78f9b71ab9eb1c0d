// Takes out of a provider's error message what is none of the client's business: keys (also the half-masked ones that providers echo) and URLs of
// machines that the client could not reach anyway. What is left is the provider's message, word for word. Works on escaped text and on whole JSON bodies
// alike, since neither keys nor host names are ever escaped.
import ClawWire

public enum Redaction {
    /// Beginnings of keys that providers give out, each followed by at least eight characters of a key.
    private static let marks: [StaticString] = [
        "sk-", "AIza", "gsk_", "xai-", "AKIA", "ASIA", "hf_", "nvapi-", "pplx-", "csk-", "tgp_", "rk-", "eyJ", "oc_", "ya29.", "ABSK",
    ]

    /// `text` itself where there is nothing to take out.
    public static func clean(_ text: JSONBytes, _ arena: inout JSONArena) -> JSONBytes {
        guard isDoubtful(text) else { return text }
        let place = arena.take(text.count * 2 + 16)
        var count = 0
        var at = 0
        var changed = false
        while at < text.count {
            if let (length, substitute) = secret(text, at) {
                let words = substitute
                for byte in 0..<words.utf8CodeUnitCount where count < text.count * 2 + 16 {
                    place[count] = words.utf8Start[byte]
                    count += 1
                }
                at += length
                changed = true
                continue
            }
            place[count] = text[at]
            count += 1
            at += 1
        }
        return changed ? JSONBytes(place, count) : text
    }

    /// Could there be anything?
    private static func isDoubtful(_ text: JSONBytes) -> Bool {
        for mark in marks where text.contains(mark) { return true }
        return text.contains("://") || text.contains("earer ")
    }

    private static func secret(_ text: JSONBytes, _ at: Int) -> (length: Int, substitute: StaticString)? {
        // A key begins where no word is under way.
        let isStart = at == 0 || !isKeyByte(text[at - 1])
        if isStart {
            let rest = text.dropFirst(at)
            for mark in marks where rest.begins(with: mark) {
                var length = mark.utf8CodeUnitCount
                while length < rest.count, isKeyByte(rest[length]) { length += 1 }
                // "sk-" alone, or as part of prose, is no key.
                if length - mark.utf8CodeUnitCount >= 8 { return (length, "***") }
            }
            if rest.begins(with: "http://") || rest.begins(with: "https://") || rest.begins(with: "ws://") || rest.begins(with: "wss://") {
                return url(rest)
            }
            if rest.begins(with: "Bearer ") || rest.begins(with: "bearer ") {
                var length = 7
                while length < rest.count, isKeyByte(rest[length]) { length += 1 }
                if length >= 7 + 12 { return (length, "Bearer ***") }
            }
        }
        return nil
    }

    private static func isKeyByte(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 0x5F || byte == 0x2D || byte == 0x2A || byte == 0x2E
    }

    private static func url(_ text: JSONBytes) -> (length: Int, substitute: StaticString)? {
        var end = 0
        while end < text.count {
            let byte = text[end]
            if byte <= 0x20 || byte == 0x22 || byte == 0x5C || byte == 0x27 || byte == 0x3C || byte == 0x3E || byte == 0x29 || byte == 0x2C { break }
            end += 1
        }
        var start = 0
        while start < end, text[start] != 0x2F { start += 1 }
        start += 2
        var stop = start
        while stop < end, text[stop] != 0x2F, text[stop] != 0x3F, text[stop] != 0x23 { stop += 1 }
        guard start < stop else { return nil }
        let authority = text.prefix(stop).dropFirst(start)
        return isInternal(authority) ? (end, "[internal URL]") : nil
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
