/// What /etc/resolv.conf says (resolv.conf(5)). Lines that are not understood are passed over, as the system's resolver does; numbers are cut to the same bounds.
public struct DNSResolverFile: Equatable, Sendable {
    /// In the order of the file. A scope (`fe80::1%eth0`) is not kept. Empty: the one on this machine, 127.0.0.1.
    public var servers: [DNSAddress] = []
    /// What is put behind names with fewer than `dotsMin` dots, in this order.
    public var search: [String] = []
    public var dotsMin = 1
    public var timeoutSeconds = 5
    public var attempts = 2

    public static let serversMax = 3
    public static let searchMax = 16
    public static let bytesMax = 65_536

    public init() {}

    public init(_ bytes: UnsafeRawBufferPointer) {
        for line in bytes.prefix(Self.bytesMax).split(separator: 0x0A) {
            let words = DNSText.words(line, comments: [0x23, 0x3B])
            guard let key = words.first else { continue }
            switch key {
            case "nameserver":
                guard words.count >= 2, servers.count < Self.serversMax else { continue }
                let address = words[1].split(separator: "%", omittingEmptySubsequences: false).first.map(String.init) ?? ""
                if let address = DNSAddress(address) { servers.append(address) }
            case "search", "domain":
                // The last such line counts.
                search = words.dropFirst().prefix(key == "domain" ? 1 : Self.searchMax).compactMap { DNSName($0)?.text }
            case "options":
                for option in words.dropFirst() {
                    func number(_ name: String, _ range: ClosedRange<Int>) -> Int? {
                        guard option.hasPrefix(name), let value = Int(option.dropFirst(name.count)), value >= 0 else { return nil }
                        return min(range.upperBound, max(range.lowerBound, value))
                    }
                    if let value = number("ndots:", 0...15) { dotsMin = value }
                    if let value = number("timeout:", 1...30) { timeoutSeconds = value }
                    if let value = number("attempts:", 1...5) { attempts = value }
                }
            default: continue
            }
        }
    }

    /// The names to ask for in turn until one is there. A final dot says that the name is whole.
    public func names(for name: String) -> [String] {
        if name.hasSuffix(".") { return [name] }
        let longer = search.map { "\(name).\($0)" }.filter { DNSName($0) != nil }
        return name.utf8.count(where: { $0 == 0x2E }) >= dotsMin ? [name] + longer : longer + [name]
    }
}

/// /etc/hosts (hosts(5)).
public enum DNSHostsFile {
    public static let bytesMax = 1 << 20

    /// The addresses on all lines with this name, sorted, at most `DNSAnswer.recordsMax`.
    public static func addresses(of name: String, in bytes: UnsafeRawBufferPointer) -> [DNSAddress] {
        guard let wanted = DNSName(name) else { return [] }
        var found: Set<DNSAddress> = []
        for line in bytes.prefix(bytesMax).split(separator: 0x0A) {
            let words = DNSText.words(line, comments: [0x23])
            guard words.count >= 2, found.count < DNSAnswer.recordsMax, words.dropFirst().contains(where: { DNSName($0) == wanted }) else { continue }
            let address = words[0].split(separator: "%", omittingEmptySubsequences: false).first.map(String.init) ?? ""
            if let address = DNSAddress(address) { found.insert(address) }
        }
        return found.sorted()
    }
}

enum DNSText {
    /// The words of a line up to the first byte that begins a comment.
    static func words(_ line: Slice<UnsafeRawBufferPointer>, comments: [UInt8]) -> [String] {
        line.prefix { !comments.contains($0) }.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }).map { String(decoding: $0, as: UTF8.self) }
    }
}
