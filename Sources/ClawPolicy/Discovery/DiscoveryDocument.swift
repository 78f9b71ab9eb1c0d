// What the sources' readers share: a document's bounds, strings out of JSON, base64, the framing of watches.
import ClawWire

public enum DiscoveryDocument {
    /// A whole list. (A Kubernetes list comes in pages, see `KubernetesState`.)
    public static let bytesMax = 16 << 20
    /// One event of a watch.
    public static let eventBytesMax = 4 << 20

    /// Reads a JSON text and calls `body` with its outermost value.
    static func read<Result>(
        _ bytes: UnsafeRawBufferPointer, bytesMax: Int = DiscoveryDocument.bytesMax, _ body: (JSONValue) throws(DiscoveryProblem) -> Result
    ) throws(DiscoveryProblem) -> Result {
        guard bytes.count <= bytesMax else { throw DiscoveryProblem(.tooLarge, "document too large: \(bytes.count) bytes, limit \(bytesMax)") }
        var tape = JSONTape()
        if let refusal = tape.read(bytes) {
            if refusal == .tooManyValues { throw DiscoveryProblem(.tooLarge, "document of more than \(JSONTape.nodesMax) values") }
            throw .malformed("no JSON: \(refusal)")
        }
        return try body(tape.root)
    }

    /// A file or another plain list: a JSON array of endpoints (strings, or objects as in `FoundEndpoint`), or lines of "URL or host:port [weight]" with
    /// comments after "#". One wrong element or line and nothing of it counts: somebody is at work on the file.
    public static func list(_ bytes: UnsafeRawBufferPointer) throws(DiscoveryProblem) -> EndpointSet {
        guard bytes.count <= bytesMax else { throw DiscoveryProblem(.tooLarge, "file too large: \(bytes.count) bytes, limit \(bytesMax)") }
        if bytes.first(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0A && $0 != 0x0D }) == 0x5B {
            return try read(bytes) { (root) throws(DiscoveryProblem) in
                var found: [FoundEndpoint] = []
                for (index, element) in root.elements.enumerated() {
                    guard index < elementsMax else { throw DiscoveryProblem(.tooLarge, "more than \(elementsMax) endpoints") }
                    do throws(DiscoveryProblem) { found.append(try FoundEndpoint.read(element)) } catch {
                        throw DiscoveryProblem(error.kind, "element \(index + 1): \(error.message)")
                    }
                }
                return EndpointSet(found)
            }
        }
        var found: [FoundEndpoint] = []
        var number = 0
        for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            // A comment begins the line or stands behind a blank, so that it is none in a URL (which may not have a fragment anyway).
            let words = line.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }.prefix { $0.first != 0x23 }.map { String(decoding: $0, as: UTF8.self) }
            guard let first = words.first else { continue }
            guard found.count < elementsMax else { throw DiscoveryProblem(.tooLarge, "more than \(elementsMax) endpoints") }
            var weight: UInt16 = 1
            if words.count > 1 {
                guard words.count == 2, let told = UInt16(words[1]), told > 0 else {
                    throw .malformed("line \(number): expected a weight of 1…65535 behind the endpoint, found \"\(DiscoveryProblem.printable(words[1]))\"")
                }
                weight = told
            }
            do throws(DiscoveryProblem) { found.append(try FoundEndpoint.read(first, weight: weight)) } catch {
                throw DiscoveryProblem(error.kind, "line \(number): \(error.message)")
            }
        }
        return EndpointSet(found)
    }

    /// Findings of one document, before they are sorted and cut.
    static let elementsMax = 65_536

    /// Standard base64 (RFC 4648 §4) with its padding, as protobuf's JSON has bytes; nil for anything else.
    static func decode(base64 text: JSONBytes) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(text.count / 4 * 3)
        var word: UInt32 = 0
        var bits = 0
        var padding = 0
        for byte in text.raw {
            let value: UInt32
            switch byte {
            case 65...90: value = UInt32(byte) - 65
            case 97...122: value = UInt32(byte) - 71
            case 48...57: value = UInt32(byte) + 4
            case 0x2B: value = 62
            case 0x2F: value = 63
            case 0x3D:
                padding += 1
                continue
            default: return nil
            }
            guard padding == 0 else { return nil }
            word = word << 6 | value
            bits += 6
            if bits >= 8 {
                bits -= 8
                out.append(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
            }
        }
        guard padding <= 2, bits == padding * 2 else { return nil }
        return out
    }

    static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var out: [UInt8] = []
        var at = 0
        while at < bytes.count {
            let left = bytes.count - at
            let word = UInt32(bytes[at]) << 16 | (left > 1 ? UInt32(bytes[at + 1]) << 8 : 0) | (left > 2 ? UInt32(bytes[at + 2]) : 0)
            out.append(alphabet[Int(word >> 18)])
            out.append(alphabet[Int(word >> 12 & 63)])
            out.append(left > 1 ? alphabet[Int(word >> 6 & 63)] : 0x3D)
            out.append(left > 2 ? alphabet[Int(word & 63)] : 0x3D)
            at += 3
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// A text as a value of a query or a segment of a path: everything but unreserved characters escaped (RFC 3986 §2.3).
    static func escaped(_ text: String) -> String {
        let hex = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: out.append(byte)
            default: out += [0x25, hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

/// Cuts a watch's body into its events, one JSON text a line, however it arrives.
public struct DiscoveryStream: ~Copyable {
    private var lines = LineScanner(lineBytesMax: DiscoveryDocument.eventBytesMax)
    public init() {}

    /// Calls `event` for each line that ends in `bytes`. What `event` throws ends the feed; an event above the bound is `tooLarge`, and the stream is to be
    /// closed after either.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer, _ event: (UnsafeRawBufferPointer) throws(DiscoveryProblem) -> Void) throws(DiscoveryProblem) {
        var at = 0
        while true {
            switch lines.next(bytes, from: at) {
            case .needMore: return
            case .tooLong: throw DiscoveryProblem(.tooLarge, "event above \(DiscoveryDocument.eventBytesMax) bytes")
            case .line(let data, let end):
                at = end
                try event(data)
            }
        }
    }
}

extension JSONValue {
    /// A string's text, its escapes undone; nil for anything else and for what is longer than `bytesMax` as it is written.
    func string(bytesMax: Int) -> String? {
        guard isString, text.count <= bytesMax else { return nil }
        guard isEscaped else { return text.string }
        var plain = [UInt8](repeating: 0, count: max(1, text.count))
        let length = plain.withUnsafeMutableBytes { JSONText.unescape(raw.raw, into: $0) }
        return length.map { String(decoding: plain[..<$0], as: UTF8.self) }
    }

    /// An int64 of protobuf's JSON: a number, or a string of digits.
    var protobufInt: Int64? {
        if isString { return string(bytesMax: 20).flatMap { Int64($0) } }
        return int
    }
}
