// The keys below a prefix of etcd and what their values say, over etcd's JSON gateway (/v3/…, as of 3.4). The caller reads the range once and watches from
// the revision behind it; each line of the watch's body is one answer with the events of one or more revisions. Bytes are base64, int64 are strings, and
// members with the value 0 or false are not written (protobuf's JSON): an event without a type is a put.
//
// Where a watch goes on is behind the last event it gave. The revision in an answer's header is the store's, which may be further on than the events that
// were sent yet; only in an answer without events, a progress notification, does it say that there is nothing before it.
import ClawWire

public struct EtcdState: Sendable {
    public enum Step: Equatable, Sendable {
        case changed
        /// The watch has begun, or it only says how far it is.
        case unchanged
    }

    public static let keysMax = 4096
    public static let keyBytesMax = 4096

    private enum Value: Sendable {
        case endpoint(FoundEndpoint)
        case unreadable(String)
    }

    private let prefix: [UInt8]
    private var values: [[UInt8]: Value] = [:]
    /// Keys that were not taken because there were more than `keysMax`.
    private var isCut = false
    private var cluster = ""
    /// All up to it is known; 0 before the first range.
    public private(set) var revision: Int64 = 0

    public init(prefix: String) { self.prefix = Array(prefix.utf8) }

    /// The first key behind all that begin with `prefix`: the last byte that can be raised is, what is behind it falls away. "\0" stands for no end.
    public static func rangeEnd(_ prefix: [UInt8]) -> [UInt8] {
        var end = prefix
        while let last = end.popLast() {
            if last < 0xFF { return end + [last + 1] }
        }
        return [0]
    }

    private var range: String {
        let key = prefix.isEmpty ? [0] : prefix
        return "\"key\":\"\(DiscoveryDocument.base64(key))\",\"range_end\":\"\(DiscoveryDocument.base64(Self.rangeEnd(prefix)))\""
    }

    public static let rangeTarget = "/v3/kv/range"
    public static let watchTarget = "/v3/watch"
    public static let authenticateTarget = "/v3/auth/authenticate"
    /// The body of a POST to `rangeTarget`.
    public var rangeRequest: String { "{\(range),\"limit\":\"\(Self.keysMax)\"}" }
    /// The body of a POST to `watchTarget`.
    public var watchRequest: String { "{\"create_request\":{\(range),\"start_revision\":\"\(revision < Int64.max ? revision + 1 : revision)\",\"progress_notify\":true}}" }
    /// The body of a POST to `authenticateTarget`.
    public static func authenticateRequest(username: String, password: String) -> String {
        var out = JSONWriter()
        out.beginObject()
        for (key, text) in [("name" as StaticString, username), ("password", password)] {
            out.key(key)
            Array(text.utf8).withUnsafeBytes { out.string(escaping: $0) }
        }
        out.endObject()
        return String(decoding: out.bytes, as: UTF8.self)
    }

    /// The token of an answer to `authenticateRequest`, for the field Authorization; nil: the server asks for none.
    public static func token(_ body: UnsafeRawBufferPointer) throws(DiscoveryProblem) -> String? {
        try DiscoveryDocument.read(body) { (root) throws(DiscoveryProblem) in
            if root["error"].isPresent {
                if root["code"].int == 9, said(root).contains("not enabled") { return nil }
                throw problem(root)
            }
            guard let token = root["token"].string(bytesMax: 4096), !token.isEmpty, token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw .malformed("answer of etcd without a token")
            }
            return token
        }
    }

    /// Takes the answer to `rangeRequest`; it replaces all that was known.
    public mutating func range(_ body: UnsafeRawBufferPointer) throws(DiscoveryProblem) {
        let (fresh, isMore, header) = try DiscoveryDocument.read(body) { (root) throws(DiscoveryProblem) -> ([[UInt8]: Value], Bool, Header) in
            if root["error"].isPresent { throw Self.problem(root) }
            let header = try Self.header(root)
            guard header.revision > 0 else { throw .malformed("answer of etcd without a revision") }
            let pairs = root["kvs"]
            guard pairs.isArray || !pairs.isPresent else { throw .malformed("kvs of etcd that are no array") }
            var fresh: [[UInt8]: Value] = [:]
            var isMore = root["more"].bool ?? false
            for pair in pairs.elements {
                let key = try Self.key(pair)
                guard fresh.count < Self.keysMax, key.count <= Self.keyBytesMax else {
                    isMore = true
                    continue
                }
                fresh[key] = try Self.value(pair)
            }
            return (fresh, isMore, header)
        }
        values = fresh
        isCut = isMore
        cluster = header.cluster
        revision = header.revision
    }

    /// Takes one line of a watch's body.
    public mutating func watch(_ line: UnsafeRawBufferPointer) throws(DiscoveryProblem) -> Step {
        let cluster = cluster
        let (changes, reached) = try DiscoveryDocument.read(line, bytesMax: DiscoveryDocument.eventBytesMax) {
            (root) throws(DiscoveryProblem) -> ([(key: [UInt8], value: Value?)], Int64) in
            if root["error"].isPresent { throw Self.problem(root["error"].isObject ? root["error"] : root) }
            let result = root["result"]
            guard result.isObject else { throw .malformed("watch of etcd without a result") }
            let header = try Self.header(result)
            guard cluster.isEmpty || header.cluster == cluster else { throw DiscoveryProblem(.expired, "etcd: another cluster answers") }
            if result["canceled"].bool == true {
                if let compacted = result["compact_revision"].protobufInt, compacted > 0 {
                    throw DiscoveryProblem(.expired, "etcd: compacted up to revision \(compacted)")
                }
                let reason = result["cancel_reason"].string(bytesMax: 65_536) ?? ""
                throw DiscoveryProblem(Self.isOfCredentials(reason) ? .unauthorised : .failed, "etcd: watch cancelled: \(DiscoveryProblem.printable(reason, 200))")
            }
            let events = result["events"]
            guard events.isArray || !events.isPresent else { throw .malformed("events of etcd that are no array") }
            var changes: [(key: [UInt8], value: Value?)] = []
            var reached: Int64 = 0
            for event in events.elements {
                let pair = event["kv"]
                let key = try Self.key(pair)
                guard let revision = pair["mod_revision"].protobufInt, revision > 0 else { throw .malformed("event of etcd without a mod_revision") }
                reached = max(reached, revision)
                let type = event["type"]
                if type.equals("DELETE") || type.int == 1 {
                    changes.append((key, nil))
                } else if !type.isPresent || type.equals("PUT") || type.int == 0 {
                    changes.append((key, try Self.value(pair)))
                } else {
                    throw .malformed("event of etcd of type \(DiscoveryProblem.printable(type.raw.string))")
                }
            }
            // That a watch was made says nothing of what happened since its first revision.
            if changes.isEmpty, result["created"].bool != true { reached = header.revision }
            return (changes, reached)
        }
        for (key, value) in changes {
            guard key.starts(with: prefix) else { continue }
            guard let value else {
                values[key] = nil
                continue
            }
            guard key.count <= Self.keyBytesMax, values.count < Self.keysMax || values[key] != nil else {
                isCut = true
                continue
            }
            values[key] = value
        }
        revision = max(revision, reached)
        return changes.isEmpty ? .unchanged : .changed
    }

    /// What all keys say. A value that cannot be read is left out with a note: one instance that wrote nonsense does not hide the others.
    public var set: EndpointSet {
        var found: [FoundEndpoint] = []
        var wrong: [(key: [UInt8], why: String)] = []
        for (key, value) in values {
            switch value {
            case .endpoint(let endpoint): found.append(endpoint)
            case .unreadable(let why): wrong.append((key, why))
            }
        }
        wrong.sort { $0.key.lexicographicallyPrecedes($1.key) }
        var notes = wrong.map { "key \"\(DiscoveryProblem.printable(String(decoding: $0.key, as: UTF8.self)))\": \($0.why)" }
        if isCut { notes.insert("more than \(Self.keysMax) keys below the prefix, or keys above \(Self.keyBytesMax) bytes", at: 0) }
        return EndpointSet(found, notes: notes)
    }

    private struct Header { var cluster: String; var revision: Int64 }

    private static func header(_ root: JSONValue) throws(DiscoveryProblem) -> Header {
        let header = root["header"]
        guard header.isObject, let cluster = header["cluster_id"].isString ? header["cluster_id"].string(bytesMax: 20) : header["cluster_id"].raw.string else {
            throw .malformed("answer of etcd without a header")
        }
        guard let revision = header["revision"].isPresent ? header["revision"].protobufInt : 0, revision >= 0 else { throw .malformed("malformed revision of etcd") }
        return Header(cluster: cluster, revision: revision)
    }

    private static func key(_ pair: JSONValue) throws(DiscoveryProblem) -> [UInt8] {
        guard pair.isObject, pair["key"].isString, let key = DiscoveryDocument.decode(base64: pair["key"].text) else {
            throw .malformed("pair of etcd without a key")
        }
        return key
    }

    private static func value(_ pair: JSONValue) throws(DiscoveryProblem) -> Value {
        // An empty value is not written.
        guard pair["value"].isPresent else { return .unreadable("empty value") }
        guard pair["value"].isString, let bytes = DiscoveryDocument.decode(base64: pair["value"].text) else { throw .malformed("pair of etcd whose value is no base64") }
        do throws(DiscoveryProblem) {
            guard bytes.count <= FoundEndpoint.textBytesMax else { throw .malformed("value of \(bytes.count) bytes, limit \(FoundEndpoint.textBytesMax)") }
            let isJSON = bytes.first { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }.map { $0 == 0x7B || $0 == 0x22 } ?? false
            if isJSON { return .endpoint(try parsed(bytes)) }
            let text = bytes.split(whereSeparator: { $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 })
            guard text.count == 1 else { throw .malformed(text.isEmpty ? "empty value" : "blanks in a value") }
            return .endpoint(try FoundEndpoint.read(String(decoding: text[0], as: UTF8.self)))
        } catch {
            return .unreadable(error.message)
        }
    }

    private static func parsed(_ bytes: [UInt8]) throws(DiscoveryProblem) -> FoundEndpoint {
        let outcome: Result<FoundEndpoint, DiscoveryProblem> = bytes.withUnsafeBytes { raw in
            do throws(DiscoveryProblem) {
                return .success(try DiscoveryDocument.read(raw) { (root) throws(DiscoveryProblem) in try FoundEndpoint.read(root) })
            } catch { return .failure(error) }
        }
        return try outcome.get()
    }

    private static func said(_ error: JSONValue) -> String {
        for place in [error["message"], error["error"]] { if let text = place.string(bytesMax: 65_536) { return text } }
        return ""
    }

    private static func isOfCredentials(_ message: String) -> Bool {
        ["invalid auth token", "user name is empty", "authentication failed", "permission denied", "auth revision"].contains { message.contains($0) }
    }

    private static func problem(_ error: JSONValue) -> DiscoveryProblem {
        let code = error["code"].int ?? error["grpc_code"].int ?? 0
        let message = said(error)
        let text = "etcd: \(code) \(DiscoveryProblem.printable(message, 200))"
        if code == 11, message.contains("compacted") { return DiscoveryProblem(.expired, text) }
        return DiscoveryProblem(code == 16 || code == 7 || isOfCredentials(message) ? .unauthorised : .failed, text)
    }
}
