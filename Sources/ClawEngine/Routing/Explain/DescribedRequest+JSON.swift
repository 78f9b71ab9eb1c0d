// The body of POST /admin/routes/explain: {"method", "path", "headers", "body", "key_id", "listener"}, none of which has to be there. A body that is a JSON
// text is taken as it stands; one that is a string, as the string's bytes.
import ClawWire

extension DescribedRequest {
    /// What is wrong with a description, in words.
    public struct Problem: Error, CustomStringConvertible {
        public let description: String
    }

    public init(json: [UInt8]) throws(Problem) {
        self.init()
        var problem: Problem?
        json.withUnsafeBytes { bytes in
            do throws(Problem) { try read(bytes) } catch { problem = error }
        }
        if let problem { throw problem }
    }

    private mutating func read(_ bytes: UnsafeRawBufferPointer) throws(Problem) {
        var tape = JSONTape()
        if let refusal = tape.read(bytes) { throw Problem(description: "the body is not valid JSON: \(refusal)") }
        guard tape.root.isObject else { throw Problem(description: "expected a JSON object with method, path, headers, body, key_id, listener") }
        for member in tape.root.members {
            let name = Self.text(member.key)
            switch name {
            case "method": method = try Self.string(member.value, name)
            case "path": path = try Self.string(member.value, name)
            case "key_id": keyID = try Self.optional(member.value, name)
            case "listener": listener = try Self.optional(member.value, name)
            case "headers":
                guard member.value.isObject else { throw Problem(description: "headers: expected an object") }
                for header in member.value.members {
                    if header.value.isArray {
                        for value in header.value.elements { headers.append((Self.text(header.key), try Self.string(value, "headers"))) }
                    } else {
                        headers.append((Self.text(header.key), try Self.string(header.value, "headers")))
                    }
                }
            case "body":
                if member.value.isString {
                    body = Self.bytes(member.value)
                } else if member.value.isPresent {
                    body = Array(member.value.raw.raw)
                }
            default: throw Problem(description: "unknown member \(name); expected method, path, headers, body, key_id, listener")
            }
        }
    }

    private static func optional(_ value: JSONValue, _ name: String) throws(Problem) -> String? { value.isPresent ? try string(value, name) : nil }

    private static func string(_ value: JSONValue, _ name: String) throws(Problem) -> String {
        guard value.isString else { throw Problem(description: "\(name): expected a string") }
        return text(value)
    }

    private static func text(_ value: JSONValue) -> String { String(decoding: bytes(value), as: UTF8.self) }

    private static func bytes(_ value: JSONValue) -> [UInt8] {
        let raw = value.raw.raw
        guard value.isEscaped else { return Array(value.text.raw) }
        return [UInt8](unsafeUninitializedCapacity: raw.count) { memory, count in count = JSONText.unescape(raw, into: UnsafeMutableRawBufferPointer(memory)) ?? 0 }
    }
}
