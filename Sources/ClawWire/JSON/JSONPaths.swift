import CScan

/// The wanted paths of a plan, compiled to a trie in flat memory that the C machine walks: nodes in preorder, children found through one
/// hash table of (parent, key). Built once per plan by whoever builds the plan, shared by all scans of all workers, never changed.
///
/// A path is a list of segments joined by dots: `model`, `stream_options.include_usage`, `choices.0.finish_reason`. A segment of digits
/// only is an array index and matches nothing in an object. Keys that hold a dot or consist of digits can't be named. At most 64 paths
/// of at most 8 segments of at most 255 bytes.
public final class JSONPaths: @unchecked Sendable {
    public let paths: [String]
    /// Indices into `paths` whose duplicate in a text is refused (policy keys). A duplicate of an object on the way to a unique path is
    /// refused too, for then two readers of the text may see two values.
    public let unique: Set<Int>

    /// What the machine reads. Points into `nodes` and `keys`; all three live as long as self.
    let table: UnsafeMutablePointer<cscan_json_paths>
    private let nodes: UnsafeMutableBufferPointer<cscan_json_node>
    private let keys: UnsafeMutableBufferPointer<UInt8>

    public init(_ paths: [String], unique: Set<Int>) {
        precondition(paths.count <= Int(CSCAN_JSON_PATHS_MAX), "at most 64 paths, not \(paths.count)")
        precondition(unique.allSatisfy(paths.indices.contains), "unique holds indices into paths")
        self.paths = paths
        self.unique = unique

        let trie = Trie(paths: paths, unique: unique)
        nodes = .allocate(capacity: trie.nodes.count)
        _ = nodes.initialize(from: trie.nodes)
        keys = .allocate(capacity: max(1, trie.keys.count))
        keys.initialize(repeating: 0)
        _ = keys.update(from: trie.keys)
        table = .allocate(capacity: 1)
        table.initialize(to: cscan_json_paths())
        table.pointee.nodes = UnsafePointer(nodes.baseAddress)
        table.pointee.keys = UnsafePointer(keys.baseAddress)
        table.pointee.path_count = UInt16(paths.count)
        table.pointee.key_longest = UInt16(trie.nodes.map(\.key_length).max() ?? 0)
        withUnsafeMutableBytes(of: &table.pointee.alias) { alias in
            for (path, next) in trie.aliases.enumerated() { alias[path] = next }
        }
        withUnsafeMutableBytes(of: &table.pointee.buckets) { raw in
            raw.withMemoryRebound(to: UInt16.self) { buckets in
                buckets.update(repeating: Trie.none)
                for index in 1..<max(1, nodes.count) {
                    let bucket = Self.bucket(of: nodes[index], keys: keys.baseAddress!)
                    nodes[index].next = buckets[bucket]
                    buckets[bucket] = UInt16(index)
                }
            }
        }
    }

    deinit {
        table.deallocate()
        nodes.deallocate()
        keys.deallocate()
    }

    private static func bucket(of node: cscan_json_node, keys: UnsafePointer<UInt8>) -> Int {
        if node.flags & Trie.isIndex != 0 { return Int(cscan_json_index_bucket(UInt32(node.parent), node.key_offset)) }
        return Int(cscan_json_key_bucket(UInt32(node.parent), keys + Int(node.key_offset), Int(node.key_length)))
    }

    /// The trie as it is built, preorder.
    private struct Trie {
        static let none = UInt16(CSCAN_JSON_NONE)
        static let noPath = UInt8(CSCAN_JSON_NO_PATH)
        static let isIndex = UInt8(CSCAN_JSON_IS_INDEX)

        private(set) var nodes: [cscan_json_node] = []
        private(set) var keys: [UInt8] = []
        private(set) var aliases: [UInt8]

        init(paths: [String], unique: Set<Int>) {
            aliases = Array(repeating: Self.noPath, count: paths.count)
            // An empty path wants nothing (the text's outermost value is told by `rootKind`).
            let wanted = paths.indices.filter { !paths[$0].isEmpty }.map { index in
                (index: index, segments: paths[index].split(separator: ".", omittingEmptySubsequences: false).map { Array($0.utf8) })
            }
            for path in wanted {
                precondition(path.segments.count <= Int(CSCAN_JSON_SEGMENTS_MAX), "a path has at most 8 segments: \(paths[path.index])")
                precondition(path.segments.allSatisfy { $0.count <= Int(CSCAN_JSON_KEY_MAX) }, "a segment has at most 255 bytes: \(paths[path.index])")
            }
            add(segment: [], parent: Self.none, depth: 0, wanted: wanted, unique: unique)
        }

        /// Adds a node and all below it; `wanted` are the paths through it.
        private mutating func add(segment: [UInt8], parent: UInt16, depth: Int, wanted: [(index: Int, segments: [[UInt8]])], unique: Set<Int>) {
            let own = nodes.count
            var node = cscan_json_node()
            node.parent = parent
            node.path = Self.noPath
            node.unique = wanted.first { unique.contains($0.index) }.map { UInt8($0.index) } ?? Self.noPath
            if let index = Self.arrayIndex(segment) {
                node.flags |= Self.isIndex
                node.key_offset = index
            } else {
                node.key_offset = UInt32(keys.count)
                node.key_length = UInt8(segment.count)
                keys += segment
            }
            for path in wanted.reversed() where path.segments.count == depth {
                aliases[path.index] = node.path
                node.path = UInt8(path.index)
            }
            nodes.append(node)

            var below: [(segment: [UInt8], paths: [(index: Int, segments: [[UInt8]])])] = []
            for path in wanted where path.segments.count > depth {
                if let known = below.firstIndex(where: { Self.isSame($0.segment, path.segments[depth]) }) {
                    below[known].paths.append(path)
                } else {
                    below.append((path.segments[depth], [path]))
                }
            }
            for child in below {
                nodes[own].flags |= UInt8(Self.arrayIndex(child.segment) == nil ? CSCAN_JSON_HAS_KEYS : CSCAN_JSON_HAS_INDICES)
                add(segment: child.segment, parent: UInt16(own), depth: depth + 1, wanted: child.paths, unique: unique)
            }
            nodes[own].end = UInt16(nodes.count)
        }

        private static func isSame(_ a: [UInt8], _ b: [UInt8]) -> Bool {
            guard let left = arrayIndex(a), let right = arrayIndex(b) else { return a == b }
            return left == right
        }

        /// The value of a segment of one to nine digits.
        private static func arrayIndex(_ segment: [UInt8]) -> UInt32? {
            guard !segment.isEmpty, segment.count <= 9, segment.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            return segment.reduce(0) { $0 * 10 + UInt32($1 - 0x30) }
        }
    }
}
