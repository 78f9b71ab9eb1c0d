// One address that a source named. Sources write it in three ways, which `read` takes: a URL ("https://llm.example.com/v1"), "host:port" (an IPv6 address
// in brackets), or a JSON object with `url`, `address` or `Addr`, or `host` and `port`, and possibly `weight`. Hosts and paths are judged by `HTTPURL`, so
// they are as strict here as in the configuration and come out in one form.
import ClawWire

public struct FoundEndpoint: Hashable, Sendable {
    /// As in `HTTPURL.host`: lower case, an address without brackets.
    public var host: String
    /// 1 … 65535.
    public var port: UInt16
    /// 1 … 65535, relative to the others of the set.
    public var weight: UInt16
    /// nil: what the configuration says (`scheme`).
    public var isTLS: Bool?
    /// nil: what the configuration says (`path`); else as in `HTTPURL.path`.
    public var path: String?
    /// The name that `host` is an address of, where the source knows it: what a certificate is issued for.
    public var name: String?

    public init(host: String, port: UInt16, weight: UInt16 = 1, isTLS: Bool? = nil, path: String? = nil, name: String? = nil) {
        self.host = host
        self.port = port
        self.weight = weight
        self.isTLS = isTLS
        self.path = path
        self.name = name
    }

    /// The longest text that is looked at.
    public static let textBytesMax = 4096

    /// Reads a URL or host:port.
    public static func read(_ text: String, weight: UInt16 = 1) throws(DiscoveryProblem) -> FoundEndpoint {
        guard text.utf8.count <= textBytesMax else { throw .malformed("endpoint of \(text.utf8.count) bytes, limit \(textBytesMax)") }
        let isURL = text.utf8.contains(0x2F)
        do throws(HTTPURLError) {
            if isURL {
                let url = try HTTPURL(text)
                return FoundEndpoint(host: url.host, port: url.port, weight: weight, isTLS: url.isTLS, path: url.path.isEmpty ? nil : url.path)
            }
            // The port must be written: a URL's scheme has one, a bare host has not.
            guard let colon = text.utf8.lastIndex(of: 0x3A), text.utf8.last != 0x5D else { throw HTTPURLError(message: "no port in \"\(DiscoveryProblem.printable(text))\"") }
            guard text.utf8[text.utf8.index(after: colon)...].count <= 5 else { throw HTTPURLError(message: "malformed port in \"\(DiscoveryProblem.printable(text))\"") }
            let url = try HTTPURL("http://" + text)
            guard url.path.isEmpty else { throw HTTPURLError(message: "path behind host and port") }
            return FoundEndpoint(host: url.host, port: url.port, weight: weight)
        } catch {
            throw .malformed(error.message)
        }
    }

    /// A host and a port from fields of their own; an IPv6 address may come in brackets or without.
    public static func read(host: String, port: UInt16, weight: UInt16 = 1) throws(DiscoveryProblem) -> FoundEndpoint {
        guard port > 0 else { throw .malformed("port 0") }
        // Whoever has a field for the port has none in the host; a slash would begin a path.
        guard !host.utf8.contains(0x2F), host.utf8.count <= 255 else { throw .malformed("malformed host \"\(DiscoveryProblem.printable(host))\"") }
        let isBare = host.utf8.contains(0x3A) && host.utf8.first != 0x5B
        let found = try read((isBare ? "[\(host)]" : host) + ":\(port)", weight: weight)
        return found
    }

    /// What a key's value or a list's element says: a string or an object as above.
    static func read(_ value: JSONValue) throws(DiscoveryProblem) -> FoundEndpoint {
        if value.isString {
            guard let text = value.string(bytesMax: textBytesMax) else { throw .malformed("endpoint above \(textBytesMax) bytes") }
            return try read(text)
        }
        guard value.isObject else { throw .malformed("endpoint that is neither a string nor an object") }
        var weight: UInt16 = 1
        if value["weight"].isPresent {
            guard let told = value["weight"].int, told >= 1, told <= 65_535 else {
                throw .malformed("weight: expected 1…65535, found \(DiscoveryProblem.printable(value["weight"].raw.string))")
            }
            weight = UInt16(told)
        }
        for place in [value["url"], value["address"], value["Addr"]] where place.isPresent {
            guard let text = place.string(bytesMax: textBytesMax) else { throw .malformed("endpoint whose address is no string") }
            // {"address": "10.0.0.1", "port": 80} is host and port under another name.
            if let port = try port(value["port"]) { return try read(host: text, port: port, weight: weight) }
            return try read(text, weight: weight)
        }
        guard let host = value["host"].string(bytesMax: 255), let port = try port(value["port"]) else {
            throw .malformed("endpoint without url, address, Addr, or host and port")
        }
        return try read(host: host, port: port, weight: weight)
    }

    private static func port(_ value: JSONValue) throws(DiscoveryProblem) -> UInt16? {
        guard value.isPresent else { return nil }
        guard let port = value.int, port >= 1, port <= 65_535 else { throw .malformed("port: expected 1…65535, found \(DiscoveryProblem.printable(value.raw.string))") }
        return UInt16(port)
    }

    /// All but the weight: two of one place are one endpoint.
    struct Place: Hashable {
        var host: String
        var port: UInt16
        var isTLS: Bool?
        var path: String?
    }
    var place: Place { Place(host: host, port: port, isTLS: isTLS, path: path) }
}

extension FoundEndpoint: Comparable {
    public static func < (a: FoundEndpoint, b: FoundEndpoint) -> Bool {
        if a.host != b.host { return a.host < b.host }
        if a.port != b.port { return a.port < b.port }
        func rank(_ isTLS: Bool?) -> Int { isTLS.map { $0 ? 2 : 1 } ?? 0 }
        if a.isTLS != b.isTLS { return rank(a.isTLS) < rank(b.isTLS) }
        if a.path != b.path { return (a.path ?? "") < (b.path ?? "") }
        if a.weight != b.weight { return a.weight < b.weight }
        return (a.name ?? "") < (b.name ?? "")
    }
}
