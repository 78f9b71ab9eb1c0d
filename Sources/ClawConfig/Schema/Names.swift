// What names, tokens and hosts may look like, and the shapes lists and maps come in. Everything named here ends up in header lines, log
// lines or metric labels, so the rules are narrow.

import ClawWire

enum Names {
    static let rule = "1…64 letters, digits and . _ - : / @ +, the first a letter or digit"

    /// Names of upstreams, routes and keys: they stand in headers (`x-openclaw-upstream`) and metric labels.
    static func isName(_ text: String) -> Bool {
        guard (1...64).contains(text.utf8.count), let first = text.utf8.first, isAlphanumeric(first) else { return false }
        return text.utf8.allSatisfy { isAlphanumeric($0) || [0x2E, 0x5F, 0x2D, 0x3A, 0x2F, 0x40, 0x2B].contains($0) }
    }

    /// Visible ASCII without quotes and backslash: a model's name is spliced into JSON and answered in a header.
    static func isModel(_ text: String) -> Bool {
        (1...256).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C }
    }

    /// RFC 9110 §5.6.2.
    static func isToken(_ text: String) -> Bool {
        (1...256).contains(text.utf8.count) && text.utf8.allSatisfy { isAlphanumeric($0) || "!#$%&'*+-.^_`|~".utf8.contains($0) }
    }

    static func isHeaderValue(_ text: String) -> Bool {
        text.utf8.count <= 8192 && text.utf8.allSatisfy { (0x20...0x7E).contains($0) } && text.utf8.first != 0x20 && text.utf8.last != 0x20
    }

    /// A host name (RFC 1123 §2.1, underscores let through) or IPv4 address.
    static func isHost(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.utf8.first != 0x2D && label.utf8.last != 0x2D
                && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x2D || $0 == 0x5F }
        }
    }

    static let proxySchemes = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"]

    static func isProxy(_ text: String) -> Bool {
        guard let scheme = proxySchemes.first(where: { text.hasPrefix($0 + "://") }), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return false }
        var authority = text.dropFirst(scheme.count + 3)
        if authority.hasSuffix("/") { authority = authority.dropLast() }
        if let at = authority.lastIndex(of: "@") { authority = authority[authority.index(after: at)...] }
        var host = authority
        if let colon = authority.lastIndex(of: ":"), authority.last != "]" {
            guard let port = Scalars.integer(String(authority[authority.index(after: colon)...])), (1...65535).contains(port) else { return false }
            host = authority[..<colon]
        }
        if host.hasPrefix("[") && host.hasSuffix("]") { return Address.isIPv6(String(host.dropFirst().dropLast())) }
        return isHost(String(host))
    }

    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }

    // MARK: Shapes

    /// The items of a list of bounded length, or nil after an error was noted.
    static func items(_ node: DocumentNode, _ key: String, _ count: ClosedRange<Int>, _ loading: Loading) -> [DocumentNode]? {
        guard let items = node.items else {
            loading.error(node.place, key, "expected a list, found \(node.kind)")
            return nil
        }
        guard count.contains(items.count) else {
            loading.error(node.place, key, "expected \(count.lowerBound)…\(count.upperBound) items, found \(items.count)")
            return nil
        }
        loading.note(node, key)
        return items
    }

    static func members(_ node: DocumentNode, _ key: String, _ countMax: Int, _ loading: Loading) -> [DocumentNode.Member]? {
        guard let members = node.members else {
            loading.error(node.place, key, "expected a map, found \(node.kind)")
            return nil
        }
        guard members.count <= countMax else {
            loading.error(node.place, key, "expected at most \(countMax) keys, found \(members.count)")
            return nil
        }
        return members
    }

    /// A list, or one scalar that stands for a list of one.
    static func oneOrMany(_ node: DocumentNode, _ key: String, _ countMax: Int, _ loading: Loading) -> [DocumentNode]? {
        if case .scalar = node.value { return [node] }
        return items(node, key, 1...countMax, loading)
    }

    /// Names, each once: a list, or one that stands for a list of one.
    static func words(_ node: DocumentNode, _ key: String, _ count: ClosedRange<Int>, _ loading: Loading) -> [String] {
        var items = [node], words: [String] = []
        if case .scalar = node.value {} else { items = self.items(node, key, count, loading) ?? [] }
        for item in items {
            guard let text = loading.text(item, key, expected: "a name") else { continue }
            if !isName(text.string) {
                loading.error(item.place, key, "expected a name of \(rule), found \(text.shown)")
            } else if words.contains(text.string) {
                loading.error(item.place, key, "duplicate \(text.shown)")
            } else {
                words.append(text.string)
            }
        }
        return words
    }

    /// Rows of a list's items for the reference.
    static func listed(_ rows: [ReferenceRow]) -> [ReferenceRow] {
        rows.map { var row = $0; row.key = "[].\($0.key)"; return row }
    }
}
