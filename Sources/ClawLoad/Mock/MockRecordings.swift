// MockRecordings: real exchanges with providers, out of files, for the mock to answer with. A folder is read once, at the start: every `*.json` in it and below that
// says `"format": "openclaw-recording/1"`, one exchange a file. A request gets the recording that its header `x-mock-recording` names, or else the first, in the
// order of ids, of its method, path and form; where there is none, the mock answers as it does without recordings.
//
// | member of a file | meaning |
// |---|---|
// | id | names the recording |
// | request.method, .path, .query | `path` percent-encoded as sent; `query` a list of [name, value] |
// | request.body, response.body | `{"encoding":"utf8","text":…}`, `{"encoding":"base64","base64":…}` or `{"encoding":"none"}`, decoded of any content-encoding |
// | response.status | 200…599 |
// | response.headers | a list of [name, value]; content-length, transfer-encoding, content-encoding and connection are left out: the mock frames by itself |
//
// Other members are of no interest here. What is wrong with a file is said with its name, and nothing is served.
import ClawWire
#if canImport(Glibc)
import Glibc
#else
import Musl
#endif

/// Why a folder cannot be replayed.
public struct ReplayFailure: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// There is no such folder, or nothing to replay in it.
        case noInput
        /// A file is not what it should be.
        case badData
    }
    public var kind: Kind
    public var description: String
}

/// How the events of a recorded stream are told apart, to be sent one at a time.
enum RecordedCut { case whole, events, lines, frames }

public final class MockRecordings: Sendable {
    /// Numbers that name no entry: none wanted, and one wanted that is not there.
    static let none: Int32 = -1
    static let unknown: Int32 = -2
    static let format: StaticString = "openclaw-recording/1"
    private static let fileBytesMax = 64 << 20
    private static let foldersMax = 16

    /// What kind of answer a request asks for: recordings of one path differ in it.
    enum Form: Int, Sendable { case plain, stream, array }

    struct Entry: Sendable {
        var id: String
        var method: [UInt8]
        /// Without its percent-encoding.
        var path: [UInt8]
        var form: Form
        var status: Int
        /// Header lines as they are sent, but for the content-type.
        var fields: [UInt8]
        var typeField: [UInt8]
        var body: [UInt8]
        var cut: RecordedCut
        /// Sent in chunks as it comes; otherwise whole.
        var isStreamed: Bool

        /// Length of the piece that begins at `start`: an event with its end, or some kibibytes where there are none.
        func pieceLength(from start: Int) -> Int {
            let left = body.count - start
            switch cut {
            case .whole:
                return min(left, 8192)
            case .frames:
                guard left >= 4 else { return left }
                let length = body[start ..< start + 4].reduce(0) { $0 << 8 | Int($1) }
                return length > 0 ? min(left, length) : left
            case .lines:
                return body.withUnsafeBufferPointer { bytes in
                    (bytes[start...].firstIndex(of: 0x0a) ?? bytes.count - 1) + 1 - start
                }
            case .events:
                return body.withUnsafeBufferPointer { bytes in
                    var at = start
                    while at + 1 < bytes.count {
                        if bytes[at] == 0x0a && bytes[at + 1] == 0x0a || bytes[at] == 0x0d && bytes[at + 1] == 0x0d { return at + 2 - start }
                        if bytes[at] == 0x0a && bytes[at + 1] == 0x0d && at + 2 < bytes.count && bytes[at + 2] == 0x0a { return at + 3 - start }
                        at += 1
                    }
                    return left
                }
            }
        }
    }

    /// Recordings of one method and path: the first of each form.
    struct Group: Sendable {
        var method: [UInt8]
        var path: [UInt8]
        var first: [Int32]
    }

    /// In the order of ids.
    let entries: [Entry]
    let groups: [Group]
    private let numbers: [String: Int32]
    /// Files of the folder that say another format.
    public let skipped: Int
    public var count: Int { entries.count }
    public var ids: [String] { entries.map(\.id) }

    /// No recordings.
    init() {
        entries = []
        groups = []
        numbers = [:]
        skipped = 0
    }

    /// Reads a folder.
    public init(folder: String) throws(ReplayFailure) {
        var files: [String] = []
        try Self.list(folder, 0, into: &files)
        var entries: [Entry] = []
        var skipped = 0
        var tape = JSONTape()
        var arena = JSONArena()
        for file in files.sorted() {
            let bytes = try Self.read(file)
            arena.reset()
            if let entry = try Self.entry(bytes, file, &tape, &arena) { entries.append(entry) } else { skipped += 1 }
        }
        guard !entries.isEmpty else {
            throw ReplayFailure(kind: .noInput, description: "\(folder): no file *.json of the format openclaw-recording/1")
        }
        entries.sort { $0.id < $1.id }
        var numbers: [String: Int32] = [:]
        var groups: [Group] = []
        for (number, entry) in entries.enumerated() {
            guard numbers.updateValue(Int32(number), forKey: entry.id) == nil else {
                throw ReplayFailure(kind: .badData, description: "\(folder): two recordings have the id \(entry.id)")
            }
            var place = groups.firstIndex { $0.method == entry.method && $0.path == entry.path }
            if place == nil {
                place = groups.count
                groups.append(Group(method: entry.method, path: entry.path, first: [Self.none, Self.none, Self.none]))
            }
            if let place, groups[place].first[entry.form.rawValue] == Self.none { groups[place].first[entry.form.rawValue] = Int32(number) }
        }
        self.entries = entries
        self.groups = groups
        self.numbers = numbers
        self.skipped = skipped
    }

    func number(of id: String) -> Int32 { numbers[id] ?? Self.unknown }

    /// The group of a request, or `none`.
    func group(_ method: UnsafeRawBufferPointer, _ path: UnsafeBufferPointer<UInt8>) -> Int32 {
        guard !groups.isEmpty else { return Self.none }
        return groups.firstIndex { $0.method.elementsEqual(method) && Self.isSame(path, $0.path) }.map { Int32($0) } ?? Self.none
    }

    static func form(_ endpoint: MockEndpoint, asksForEvents: Bool, asksForStream: Bool) -> Form {
        switch endpoint {
        case .geminiStream: asksForEvents ? .stream : .array
        case .converseStream: .stream
        default: asksForStream ? .stream : .plain
        }
    }

    /// Is a path as it is sent the one that, decoded, is `plain`?
    private static func isSame(_ path: UnsafeBufferPointer<UInt8>, _ plain: [UInt8]) -> Bool {
        guard path.count >= plain.count else { return false }
        var at = 0, place = 0
        while at < path.count {
            let (byte, length) = decoded(path, at)
            guard place < plain.count, plain[place] == byte else { return false }
            at += length
            place += 1
        }
        return place == plain.count
    }

    /// The byte that a place of a path stands for, and how many bytes say it.
    private static func decoded(_ path: UnsafeBufferPointer<UInt8>, _ at: Int) -> (UInt8, Int) {
        guard path[at] == 0x25, at + 2 < path.count, let high = hex(path[at + 1]), let low = hex(path[at + 2]) else { return (path[at], 1) }
        return (high << 4 | low, 3)
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30 ... 0x39: byte - 0x30
        case 0x41 ... 0x46: byte - 0x37
        case 0x61 ... 0x66: byte - 0x57
        default: nil
        }
    }

    // ---- files ----

    private static func list(_ folder: String, _ depth: Int, into files: inout [String]) throws(ReplayFailure) {
        guard let handle = opendir(folder) else {
            throw ReplayFailure(kind: .noInput, description: "\(folder): cannot be read as a folder: \(String(cString: strerror(errno)))")
        }
        defer { closedir(handle) }
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard !name.hasPrefix(".") else { continue }
            let path = folder.hasSuffix("/") ? folder + name : folder + "/" + name
            var facts = stat()
            guard stat(path, &facts) == 0 else { continue }
            if facts.st_mode & S_IFMT == S_IFDIR {
                guard depth < foldersMax else {
                    throw ReplayFailure(kind: .badData, description: "\(path): folders are nested deeper than \(foldersMax)")
                }
                try list(path, depth + 1, into: &files)
            } else if facts.st_mode & S_IFMT == S_IFREG && name.hasSuffix(".json") {
                files.append(path)
            }
        }
    }

    private static func read(_ path: String) throws(ReplayFailure) -> [UInt8] {
        func failure() -> ReplayFailure {
            ReplayFailure(kind: .noInput, description: "\(path): cannot be read: \(String(cString: strerror(errno)))")
        }
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { throw failure() }
        defer { close(fd) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let got = readBytes(fd, &piece)
            if got == 0 { return bytes }
            if got < 0 {
                if errno == EINTR { continue }
                throw failure()
            }
            bytes += piece[0 ..< got]
            guard bytes.count <= fileBytesMax else {
                throw ReplayFailure(kind: .badData, description: "\(path): longer than \(fileBytesMax) bytes")
            }
        }
    }

    // ---- one file ----

    /// nil for JSON of another format.
    private static func entry(
        _ bytes: [UInt8], _ file: String, _ tape: inout JSONTape, _ arena: inout JSONArena
    ) throws(ReplayFailure) -> Entry? {
        // The tape names bytes of this memory, so it must stay in its place.
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        memory.copyBytes(from: bytes)
        defer { memory.deallocate() }
        if let refusal = tape.read(UnsafeRawBufferPointer(memory)) {
            throw ReplayFailure(kind: .badData, description: "\(file): not JSON: \(refusal)")
        }
        let root = tape.root
        guard root["format"].equals(format) else { return nil }
        func failure(_ field: String, _ expected: String) -> ReplayFailure {
            ReplayFailure(kind: .badData, description: "\(file): \(field): expected \(expected)")
        }
        func text(_ value: JSONValue, _ field: String) throws(ReplayFailure) -> [UInt8] {
            guard value.isString else { throw failure(field, "a string") }
            return Array(arena.unescaped(value.text).raw)
        }
        func body(_ value: JSONValue, _ field: String) throws(ReplayFailure) -> [UInt8] {
            if value["encoding"].equals("none") { return [] }
            if value["encoding"].equals("utf8") { return try text(value["text"], field + ".text") }
            guard value["encoding"].equals("base64") else { throw failure(field + ".encoding", "utf8, base64 or none") }
            guard let plain = decodedBase64(try text(value["base64"], field + ".base64")) else { throw failure(field + ".base64", "base64") }
            return plain
        }
        let id = try text(root["id"], "id")
        guard !id.isEmpty, id.count <= 512, id.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw failure("id", "1…512 characters of printable ASCII without blanks, as a header can name it")
        }
        let request = root["request"], response = root["response"]
        let path = try text(request["path"], "request.path")
        guard path.first == 0x2f else { throw failure("request.path", "a path that begins with /") }
        guard let status = response["status"].int, (200 ... 599).contains(status) else { throw failure("response.status", "200…599") }
        let method = try text(request["method"], "request.method")

        var asksForEvents = false
        for pair in request["query"].elements where pair.isArray && pair.first.equals("alt") {
            asksForEvents = pair.elements.dropFirst().contains { $0.equals("sse") }
        }
        let target = path.withUnsafeBufferPointer { MockTarget.of($0).endpoint }
        var glance = BodyGlance()
        glance.isStream = target == .ollamaChat || target == .ollamaGenerate
        if request["body"].isPresent { try body(request["body"], "request.body").withUnsafeBytes { glance.feed($0) } }
        let form = form(target, asksForEvents: asksForEvents, asksForStream: glance.isStream)

        var fields: [UInt8] = [], typeField: [UInt8] = [], type: [UInt8] = []
        for pair in response["headers"].elements {
            guard pair.isArray, pair.count == 2 else { throw failure("response.headers", "a list of [name, value]") }
            let name = try text(pair.first, "response.headers").map { $0 >= 0x41 && $0 <= 0x5a ? $0 | 0x20 : $0 }
            var second = JSONValue()
            for element in pair.elements { second = element }
            let value = try text(second, "response.headers")
            guard isToken(name), value.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }) else {
                throw failure("response.headers", "names and values that can be sent as HTTP headers")
            }
            let line = name + [0x3a, 0x20] + value + [0x0d, 0x0a]
            switch String(decoding: name, as: UTF8.self) {
            case "content-length", "transfer-encoding", "content-encoding", "connection": break
            case "content-type":
                typeField = line
                type = value
            default: fields += line
            }
        }
        let plain = try body(response["body"], "response.body")
        let cut = cut(type, plain, form)
        if typeField.isEmpty && !plain.isEmpty { typeField = Array("content-type: \(guessedType(cut))\r\n".utf8) }
        return Entry(
            id: String(decoding: id, as: UTF8.self), method: method, path: plainPath(path), form: form, status: Int(status), fields: fields,
            typeField: typeField, body: plain, cut: cut, isStreamed: cut != .whole || (form != .plain && status < 300))
    }

    private static func isToken(_ name: [UInt8]) -> Bool {
        !name.isEmpty && name.allSatisfy { ($0 >= 0x61 && $0 <= 0x7a) || ($0 >= 0x30 && $0 <= 0x39) || "!#$%&'*+-.^_`|~".utf8.contains($0) }
    }

    private static func plainPath(_ path: [UInt8]) -> [UInt8] {
        path.withUnsafeBufferPointer { path in
            var plain: [UInt8] = []
            var at = 0
            while at < path.count {
                let (byte, length) = decoded(path, at)
                plain.append(byte)
                at += length
            }
            return plain
        }
    }

    /// By the content-type, or, where none was recorded, by what the body looks like.
    private static func cut(_ type: [UInt8], _ body: [UInt8], _ form: Form) -> RecordedCut {
        let word = String(decoding: type.prefix { $0 != 0x3b && $0 != 0x20 }, as: UTF8.self).lowercased()
        switch word {
        case "text/event-stream": return .events
        case "application/x-ndjson": return .lines
        case "application/vnd.amazon.eventstream": return .frames
        case "" where form == .stream: return body.starts(with: Array("data:".utf8)) || body.starts(with: Array("event:".utf8)) ? .events : .lines
        default: return .whole
        }
    }

    private static func guessedType(_ cut: RecordedCut) -> String {
        switch cut {
        case .whole: "application/json"
        case .events: "text/event-stream"
        case .lines: "application/x-ndjson"
        case .frames: "application/vnd.amazon.eventstream"
        }
    }

    /// RFC 4648 section 4, with padding; nil when it is not.
    private static func decodedBase64(_ text: [UInt8]) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var plain: [UInt8] = []
        plain.reserveCapacity(text.count / 4 * 3)
        var bits: UInt32 = 0, padding = 0
        for (place, byte) in text.enumerated() {
            let value: UInt32
            switch byte {
            case 0x41 ... 0x5a: value = UInt32(byte) - 0x41
            case 0x61 ... 0x7a: value = UInt32(byte) - 0x47
            case 0x30 ... 0x39: value = UInt32(byte) + 4
            case 0x2b: value = 62
            case 0x2f: value = 63
            case 0x3d where place >= text.count - 2:
                value = 0
                padding += 1
            default: return nil
            }
            if padding > 0 && byte != 0x3d { return nil }
            bits = bits << 6 | value
            if place % 4 == 3 {
                plain.append(UInt8(truncatingIfNeeded: bits >> 16))
                plain.append(UInt8(truncatingIfNeeded: bits >> 8))
                plain.append(UInt8(truncatingIfNeeded: bits))
            }
        }
        plain.removeLast(padding)
        return plain
    }
}

/// `read` of the C library, which the methods above would hide.
private func readBytes(_ fd: Int32, _ piece: inout [UInt8]) -> Int { read(fd, &piece, piece.count) }
