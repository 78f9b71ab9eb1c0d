// Turns the text of a file into a DocumentNode, or says why not. It stands on the event parser of libyaml, which the Yams package carries
// as its module CYaml, and builds the tree itself instead of taking Yams' composed Node, for four reasons found in Yams 6.2:
//  - its duplicate-key check hashes whole keys, so an alias bomb used as a key takes exponential time;
//  - it stops at the first duplicate key and knows only one of the two places;
//  - aliases are gone from its tree, so their expansion cannot be counted;
//  - it guesses YAML 1.1 types with regular expressions of Foundation, which costs more at start-up than all the rest of the load.
// What is refused here: text that is not UTF-8, tags, maps with keys that are not text, a second document, and anything beyond a limit.

import CYaml

struct DocumentReader {
    enum Limit {
        /// A hand-written file is kilobytes; a generated one with thousands of routes is a few megabytes.
        static let fileBytesMax = 8 << 20
        static let depthMax = 64
        /// Nodes with aliases expanded, so that ten lines of aliases cannot become a gigabyte.
        static let nodesMax = 250_000
        /// libyaml compares each %TAG directive with all before it.
        static let directivesMax = 16
        /// Issues about duplicate keys in one file.
        static let duplicatesMax = 20
    }

    private var parser: UnsafeMutablePointer<yaml_parser_t>
    /// Anchors seen so far; nil while the anchored node is still open.
    private var anchors: [String: DocumentNode?] = [:]
    private var nodes = 0
    /// Problems that do not end the reading.
    private var problems: [DocumentError] = []

    /// The tree of the one document in `bytes`, nil for an empty one, with problems that did not stop the reading (duplicate keys).
    static func read(_ bytes: UnsafeRawBufferPointer) throws(DocumentError) -> (root: DocumentNode?, problems: [DocumentError]) {
        guard bytes.count <= Limit.fileBytesMax else {
            throw DocumentError(place: Place(), message: "file too large: \(bytes.count) bytes, limit \(Limit.fileBytesMax)")
        }
        try checkText(bytes)
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        defer { parser.deallocate() }
        guard yaml_parser_initialize(parser) == 1 else { throw DocumentError(place: Place(), message: "out of memory") }
        defer { yaml_parser_delete(parser) }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        // libyaml takes a null pointer for a programming error, and that is what an empty buffer may have.
        var nothing: UInt8 = 0
        return try withUnsafePointer(to: &nothing) { nothing throws(DocumentError) in
            yaml_parser_set_input_string(parser, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? nothing, bytes.count)
            var reader = DocumentReader(parser: parser)
            do throws(DocumentError) {
                let root = try reader.readStream()
                return (root, reader.problems)
            } catch {
                throw explained(error, parser, bytes)
            }
        }
    }

    /// The place and the hint that libyaml does not give.
    private static func explained(_ error: DocumentError, _ parser: UnsafeMutablePointer<yaml_parser_t>, _ bytes: UnsafeRawBufferPointer) -> DocumentError {
        var error = error
        if parser.pointee.error == YAML_READER_ERROR {
            error.place = place(of: min(Int(clamping: parser.pointee.problem_offset), bytes.count), in: bytes)
        }
        // `{key: ${NAME}}`: to YAML the brace behind the dollar sign opens a map.
        if error.message.contains("flow"), error.place.line > 0 {
            let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", maxSplits: error.place.line, omittingEmptySubsequences: false)
            if lines.count >= error.place.line, lines[error.place.line - 1].contains("${") { error.message += "; inside { } and [ ], quote \"${…}\"" }
        }
        return error
    }

    private init(parser: UnsafeMutablePointer<yaml_parser_t>) { self.parser = parser }

    // MARK: Events

    /// One libyaml event with the strings it owns copied out, so that nothing has to be freed later.
    private struct Event {
        var type: yaml_event_type_t
        var place: Place
        var text = ""
        var anchor: String?
        var isTagged = false
        var isPlain = false
    }

    private func next() throws(DocumentError) -> Event {
        var raw = yaml_event_t()
        guard yaml_parser_parse(parser, &raw) == 1 else { throw problem() }
        defer { yaml_event_delete(&raw) }
        var event = Event(type: raw.type, place: Place(line: Int(raw.start_mark.line) + 1, column: Int(raw.start_mark.column) + 1))
        switch raw.type {
        case YAML_ALIAS_EVENT:
            event.anchor = text(raw.data.alias.anchor)
        case YAML_SCALAR_EVENT:
            let scalar = raw.data.scalar
            event.anchor = text(scalar.anchor)
            event.isTagged = scalar.tag != nil
            event.isPlain = scalar.style == YAML_PLAIN_SCALAR_STYLE
            event.text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
        case YAML_SEQUENCE_START_EVENT:
            event.anchor = text(raw.data.sequence_start.anchor)
            event.isTagged = raw.data.sequence_start.tag != nil
        case YAML_MAPPING_START_EVENT:
            event.anchor = text(raw.data.mapping_start.anchor)
            event.isTagged = raw.data.mapping_start.tag != nil
        default: break
        }
        return event
    }

    private func text(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? { pointer.map { String(cString: $0) } }

    private func problem() -> DocumentError {
        let raw = parser.pointee
        if raw.error == YAML_READER_ERROR {
            return DocumentError(place: Place(), message: raw.problem.map { String(cString: $0) } ?? "unreadable text")
        }
        if raw.error == YAML_MEMORY_ERROR { return DocumentError(place: Place(), message: "out of memory") }
        var message = raw.problem.map { String(cString: $0) } ?? "not YAML"
        if message.hasPrefix("Maximum nesting") { message = "nested too deeply, limit \(Limit.depthMax)" }
        if let context = raw.context {
            message += ", \(String(cString: context))"
            if raw.context_mark.line != raw.problem_mark.line { message += " that begins at line \(raw.context_mark.line + 1)" }
        }
        return DocumentError(place: Place(line: Int(raw.problem_mark.line) + 1, column: Int(raw.problem_mark.column) + 1), message: message)
    }

    // MARK: The tree

    private mutating func readStream() throws(DocumentError) -> DocumentNode? {
        _ = try next()
        let start = try next()
        guard start.type == YAML_DOCUMENT_START_EVENT else { return nil }
        let root = try readNode(try next(), depth: 1)
        _ = try next()
        let end = try next()
        guard end.type == YAML_STREAM_END_EVENT else {
            throw DocumentError(place: end.place, message: "expected one document, found a second one")
        }
        return root
    }

    private mutating func readNode(_ event: Event, depth: Int) throws(DocumentError) -> DocumentNode {
        nodes += 1
        guard nodes <= Limit.nodesMax else { throw DocumentError(place: event.place, message: "too many values, limit \(Limit.nodesMax)") }
        guard depth <= Limit.depthMax else { throw DocumentError(place: event.place, message: "nested too deeply, limit \(Limit.depthMax)") }
        if event.isTagged { throw DocumentError(place: event.place, message: "tags (!…) are not allowed; quote the text if it begins with !") }
        if event.type == YAML_ALIAS_EVENT { return try readAlias(event, depth: depth) }
        if let anchor = event.anchor { anchors[anchor] = .some(nil) }
        var node: DocumentNode
        switch event.type {
        case YAML_SCALAR_EVENT: node = DocumentNode(value: .scalar(event.text, isPlain: event.isPlain), place: event.place)
        case YAML_SEQUENCE_START_EVENT: node = try readList(event, depth: depth)
        case YAML_MAPPING_START_EVENT: node = try readMap(event, depth: depth)
        default: throw DocumentError(place: event.place, message: "not YAML")
        }
        if let anchor = event.anchor { anchors[anchor] = node }
        return node
    }

    private mutating func readAlias(_ event: Event, depth: Int) throws(DocumentError) -> DocumentNode {
        let name = event.anchor ?? ""
        guard let known = anchors[name] else { throw DocumentError(place: event.place, message: "alias *\(name) has no anchor before it") }
        guard let node = known else { throw DocumentError(place: event.place, message: "alias *\(name) contains itself") }
        nodes += node.size
        guard nodes <= Limit.nodesMax else {
            throw DocumentError(place: event.place, message: "aliases expand to too many values, limit \(Limit.nodesMax)")
        }
        guard depth + node.depth <= Limit.depthMax else {
            throw DocumentError(place: event.place, message: "nested too deeply, limit \(Limit.depthMax)")
        }
        return node
    }

    private mutating func readList(_ start: Event, depth: Int) throws(DocumentError) -> DocumentNode {
        var items: [DocumentNode] = []
        var node = DocumentNode(value: .list([]), place: start.place)
        while true {
            let event = try next()
            if event.type == YAML_SEQUENCE_END_EVENT { break }
            let item = try readNode(event, depth: depth + 1)
            node.size += item.size
            node.depth = max(node.depth, item.depth + 1)
            items.append(item)
        }
        node.value = .list(items)
        return node
    }

    private mutating func readMap(_ start: Event, depth: Int) throws(DocumentError) -> DocumentNode {
        var members: [DocumentNode.Member] = []
        var merged: [DocumentNode.Member] = []
        var lines: [String: Int] = [:]
        var node = DocumentNode(value: .map([]), place: start.place)
        while true {
            let event = try next()
            if event.type == YAML_MAPPING_END_EVENT { break }
            let key = try readNode(event, depth: depth + 1)
            guard case .scalar(let name, let isPlain) = key.value else {
                throw DocumentError(place: event.place, message: "expected text for a key, found \(key.kind)")
            }
            let value = try readNode(try next(), depth: depth + 1)
            node.size += 1 + value.size
            node.depth = max(node.depth, value.depth + 1)
            if isPlain && name == "<<" {
                merged += try merge(value)
            } else if let first = lines[name] {
                if problems.count < Limit.duplicatesMax {
                    problems.append(DocumentError(place: event.place, message: "duplicate key `\(name)`, first at line \(first)"))
                }
            } else {
                lines[name] = event.place.line
                members.append(.init(key: name, keyPlace: event.place, value: value))
            }
        }
        // YAML's merge key: a map's own keys win, then the maps merged first.
        for member in merged where lines[member.key] == nil {
            lines[member.key] = member.keyPlace.line
            members.append(member)
        }
        node.value = .map(members)
        return node
    }

    private func merge(_ value: DocumentNode) throws(DocumentError) -> [DocumentNode.Member] {
        if let members = value.members { return members }
        guard let items = value.items else { throw DocumentError(place: value.place, message: "expected a map after <<, found \(value.kind)") }
        var members: [DocumentNode.Member] = []
        for item in items {
            guard let more = item.members else { throw DocumentError(place: item.place, message: "expected a map after <<, found \(item.kind)") }
            members += more
        }
        return members
    }

    // MARK: Text

    /// UTF-8 (RFC 3629) and a bounded number of directives; one pass.
    private static func checkText(_ bytes: UnsafeRawBufferPointer) throws(DocumentError) {
        var lineStart = 0, directives = 0, index = 0
        let count = bytes.count
        while index < count {
            let byte = bytes[index]
            if byte < 0x80 {
                if byte == 0x0A { lineStart = index + 1 }
                if byte == 0x25 && index == lineStart {
                    directives += 1
                    guard directives <= Limit.directivesMax else {
                        throw DocumentError(place: place(of: index, in: bytes), message: "too many lines that begin with %, limit \(Limit.directivesMax)")
                    }
                }
                index += 1
                continue
            }
            let length = sequenceLength(bytes, at: index)
            guard length > 0 else {
                throw DocumentError(place: place(of: index, in: bytes), message: "not UTF-8 at byte \(index)")
            }
            index += length
        }
    }

    private static func place(of offset: Int, in bytes: UnsafeRawBufferPointer) -> Place {
        var place = Place(line: 1, column: 1)
        for byte in bytes[..<offset] {
            if byte == 0x0A { place = Place(line: place.line + 1, column: 1) } else if byte & 0xC0 != 0x80 { place.column += 1 }
        }
        return place
    }

    /// Length of the well-formed sequence that begins at `index`, 0 if there is none (Unicode 15, table 3-7).
    private static func sequenceLength(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Int {
        let first = bytes[index]
        func follows(_ offset: Int, _ range: ClosedRange<UInt8> = 0x80...0xBF) -> Bool {
            index + offset < bytes.count && range.contains(bytes[index + offset])
        }
        switch first {
        case 0xC2...0xDF: return follows(1) ? 2 : 0
        case 0xE0: return follows(1, 0xA0...0xBF) && follows(2) ? 3 : 0
        case 0xED: return follows(1, 0x80...0x9F) && follows(2) ? 3 : 0
        case 0xE1...0xEF: return follows(1) && follows(2) ? 3 : 0
        case 0xF0: return follows(1, 0x90...0xBF) && follows(2) && follows(3) ? 4 : 0
        case 0xF1...0xF3: return follows(1) && follows(2) && follows(3) ? 4 : 0
        case 0xF4: return follows(1, 0x80...0x8F) && follows(2) && follows(3) ? 4 : 0
        default: return 0
        }
    }
}
