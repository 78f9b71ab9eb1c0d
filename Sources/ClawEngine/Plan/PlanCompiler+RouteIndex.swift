// Compiles the index over a plan's routes (see RouteIndex).
import ClawConfig
import ClawWire

extension PlanCompiler {
    /// Headers, query parameters and paths of the body that get a dimension of their own: the commonest that at least `shareMin` routes ask by value.
    private enum Share {
        static let headersMax = 3, queriesMax = 1, bodiesMax = 2
        static let min = 4
    }

    func routeIndex(_ routes: [PlanRoute]) -> RouteIndex {
        var build = IndexBuild(routes: routes)
        if routes.count > RouteIndex.linearMax, routes.count <= RouteIndex.routesMax {
            build.addPaths()
            build.addHosts()
            build.addMasks()
            build.addKeys()
            for name in Self.commonest(routes.map { $0.headers.elements.compactMap(\.valueName) }, Share.headersMax) { build.addNamed(.header, name) { $0.headers } }
            for name in Self.commonest(routes.map { $0.query.elements.compactMap(\.valueName) }, Share.queriesMax) { build.addNamed(.query, name) { $0.query } }
            for path in Self.commonest(routes.map { $0.body.elements.compactMap { $0.test.texts == nil ? nil : $0.path } }, Share.bodiesMax) { build.addBody(path) }
        }
        return build.finish(memory)
    }

    /// What most routes have, at least `Share.min`; the commonest first.
    private static func commonest<Name: Hashable & Comparable>(_ names: [[Name]], _ count: Int) -> [Name] {
        var counts: [Name: Int] = [:]
        for names in names { for name in Set(names) { counts[name, default: 0] += 1 } }
        return counts.filter { $0.value >= Share.min }.sorted { $0.value != $1.value ? $0.value > $1.value : $0.key < $1.key }.prefix(count).map(\.key)
    }
}

extension List {
    var elements: [Element] { (0..<count).map { base[$0] } }
}

extension PlanNamedTest {
    /// The name, where a value is asked for.
    fileprivate var valueName: String? { if case .equals = test { name.string } else { nil } }
}

extension PlanBodyTest {
    /// The strings it asks for one of; nil when something else would do too.
    fileprivate var texts: [Bytes]? {
        switch self {
        case .equals(.string(let text)): return [text]
        case .isIn(let values):
            var out: [Bytes] = []
            for value in values.elements {
                guard case .string(let text) = value else { return nil }
                out.append(text)
            }
            return out
        default: return nil
        }
    }
}

/// An index in the making.
private struct IndexBuild {
    let routes: [PlanRoute]
    let words: Int
    private var sets: [UInt64] = []
    private var dimensions: [RouteIndex.Dimension] = []
    private var values: [UInt64: [UInt16]] = [:]
    private var methods = InlineArray<16, UInt32>(repeating: 0)
    private var listeners = InlineArray<64, UInt32>(repeating: 0)
    private var exactBytesMax = 0, prefixBytesMax = 0, templateSegmentsMax = 0
    private var templatePlaces: UInt64 = 0
    private var hasHostTails = false

    init(routes: [PlanRoute]) {
        self.routes = routes
        words = (routes.count + 63) / 64
    }

    /// The set of the routes for which this holds.
    private mutating func set(_ holds: (PlanRoute) -> Bool) -> UInt32 {
        let start = sets.count
        sets.append(contentsOf: repeatElement(0, count: words))
        for (at, route) in routes.enumerated() where holds(route) { sets[start + at >> 6] |= 1 << UInt64(at & 63) }
        return UInt32(start / max(1, words))
    }

    private mutating func post(_ hash: UInt64, _ route: Int) {
        if values[hash]?.last == UInt16(route) { return }
        values[hash, default: []].append(UInt16(route))
    }

    private mutating func add(_ kind: RouteIndex.Kind, name: Bytes = .empty, path: Int = 0, absent: UInt32, present: UInt32, valueBytesMax: Int = 0) {
        dimensions.append(RouteIndex.Dimension(kind: kind, name: name, path: path, absent: absent, present: present, valueBytesMax: valueBytesMax, seed: seed(dimensions.count)))
    }

    private func seed(_ dimension: Int) -> UInt64 { RouteIndex.Seed.value + UInt64(dimension) }
    private var nextSeed: UInt64 { seed(dimensions.count) }

    mutating func addPaths() {
        var literals: [UInt64: Int] = [:]
        func literal(_ segments: List<PlanSegment>, _ place: Int) -> UInt64? {
            let segment = segments[place].pointee
            guard !segment.isVariable, place < 64 else { return nil }
            return RouteIndex.finish(RouteIndex.pathHash(segment.literal.raw), RouteIndex.templateSeed(segments: segments.count, place: place))
        }
        for route in routes {
            guard case .template(let segments) = route.path else { continue }
            for place in 0..<segments.count { if let hash = literal(segments, place) { literals[hash, default: 0] += 1 } }
        }
        for (at, route) in routes.enumerated() {
            switch route.path {
            case .any: break
            case .exact(let text):
                exactBytesMax = max(exactBytesMax, text.count)
                post(RouteIndex.finish(RouteIndex.pathHash(text.raw), RouteIndex.Seed.exact), at)
            case .prefix(let text):
                prefixBytesMax = max(prefixBytesMax, text.count)
                post(RouteIndex.finish(RouteIndex.pathHash(text.raw), RouteIndex.Seed.prefix), at)
            case .template(let segments):
                templateSegmentsMax = max(templateSegmentsMax, segments.count)
                // By the rarest of its words.
                var best: (hash: UInt64, place: Int, count: Int)?
                for place in 0..<segments.count {
                    guard let hash = literal(segments, place), let count = literals[hash], count < best?.count ?? .max else { continue }
                    best = (hash, place, count)
                }
                if let best {
                    templatePlaces |= 1 << UInt64(best.place)
                    post(best.hash, at)
                } else {
                    post(RouteIndex.bareTemplateHash(segments: segments.count), at)
                }
            }
        }
        guard routes.contains(where: { if case .any = $0.path { false } else { true } }) else { return }
        let free = set { if case .any = $0.path { true } else { false } }
        add(.path, absent: free, present: free)
    }

    mutating func addHosts() {
        guard routes.contains(where: { $0.hosts.count > 0 }) else { return }
        for (at, route) in routes.enumerated() {
            for host in route.hosts.elements {
                if host.count > 2, host.base[0] == 42 {
                    hasHostTails = true
                    post(RouteIndex.finish(RouteIndex.tailHash(UnsafeRawBufferPointer(rebasing: host.raw[1...])), RouteIndex.Seed.hostTail), at)
                } else {
                    post(RouteIndex.hash(host.raw, RouteIndex.Seed.host), at)
                }
            }
        }
        let free = set { $0.hosts.count == 0 }
        add(.host, absent: free, present: free)
    }

    mutating func addMasks() {
        if routes.contains(where: { $0.methods != 0 }) {
            for method in 0..<16 { methods[method] = set { $0.methods == 0 || $0.methods & (1 << UInt16(method)) != 0 } }
            add(.method, absent: 0, present: 0)
        }
        if routes.contains(where: { $0.listeners != 0 }) {
            let free = set { $0.listeners == 0 }
            let asked = routes.reduce(UInt64(0)) { $0 | $1.listeners }
            for listener in 0..<64 {
                listeners[listener] = asked & (1 << UInt64(listener)) == 0 ? free : set { $0.listeners == 0 || $0.listeners & (1 << UInt64(listener)) != 0 }
            }
            add(.listener, absent: free, present: free)
        }
    }

    mutating func addKeys() {
        func one(_ kind: RouteIndex.Kind, isEach: Bool, _ list: (PlanRoute) -> List<Bytes>) {
            guard routes.contains(where: { list($0).count > 0 }) else { return }
            var longest = 0
            for (at, route) in routes.enumerated() {
                // Of tags all have to be there: the first one leads to the route.
                for text in isEach ? Array(list(route).elements.prefix(1)) : list(route).elements {
                    longest = max(longest, text.count)
                    post(RouteIndex.hash(text.raw, nextSeed), at)
                }
            }
            let free = set { list($0).count == 0 }
            add(kind, absent: free, present: free, valueBytesMax: longest)
        }
        one(.keyID, isEach: false) { $0.keyIDs }
        one(.keyTenant, isEach: false) { $0.keyTenants }
        one(.keyTag, isEach: true) { $0.keyTags }
    }

    /// A header or a parameter of the query.
    mutating func addNamed(_ kind: RouteIndex.Kind, _ name: String, _ list: (PlanRoute) -> List<PlanNamedTest>) {
        var longest = 0
        var isListed = [Bool](repeating: false, count: routes.count), mayBeAbsent = [Bool](repeating: true, count: routes.count)
        var text = Bytes.empty
        for (at, route) in routes.enumerated() {
            for test in list(route).elements where test.name.string == name {
                text = test.name
                switch test.test {
                case .equals(let value):
                    mayBeAbsent[at] = false
                    if isListed[at] { break }
                    isListed[at] = true
                    longest = max(longest, value.count)
                    post(RouteIndex.hash(value.raw, nextSeed), at)
                case .regex: mayBeAbsent[at] = false
                case .present(let wanted): if wanted { mayBeAbsent[at] = false }
                }
            }
        }
        add(kind, name: text, absent: set(mayBeAbsent), present: set(isListed.map { !$0 }), valueBytesMax: longest)
    }

    mutating func addBody(_ path: Int) {
        var longest = 0
        var isListed = [Bool](repeating: false, count: routes.count), mayBeAbsent = [Bool](repeating: true, count: routes.count)
        for (at, route) in routes.enumerated() {
            for condition in route.body.elements where condition.path == path {
                if case .exists(false) = condition.test { continue }
                mayBeAbsent[at] = false
                guard !isListed[at], let texts = condition.test.texts else { continue }
                isListed[at] = true
                for text in texts {
                    longest = max(longest, text.count)
                    post(RouteIndex.hash(text.raw, nextSeed), at)
                }
            }
        }
        add(.body, path: path, absent: set(mayBeAbsent), present: set(isListed.map { !$0 }), valueBytesMax: longest)
    }

    private mutating func set(_ holds: [Bool]) -> UInt32 {
        let start = sets.count
        sets.append(contentsOf: repeatElement(0, count: words))
        for at in holds.indices where holds[at] { sets[start + at >> 6] |= 1 << UInt64(at & 63) }
        return UInt32(start / max(1, words))
    }

    mutating func finish(_ memory: PlanMemory) -> RouteIndex {
        let isIndexed = !dimensions.isEmpty || routes.contains { $0.needsBody } && routes.count > RouteIndex.linearMax && routes.count <= RouteIndex.routesMax
        let bodiless = isIndexed ? set { !$0.needsBody } : 0
        var size = 16
        while size < values.count * 2 { size *= 2 }
        var slots = [RouteIndex.Slot](repeating: RouteIndex.Slot(hash: 0, start: 0, count: 0), count: size)
        var postings: [UInt16] = []
        for (hash, listed) in values {
            var slot = RouteIndex.Slot(hash: hash, start: 0, count: Int32(listed.count))
            if listed.count > max(4, words / 2) {
                // As a set it is shorter to add.
                var holds = [Bool](repeating: false, count: routes.count)
                for route in listed { holds[Int(route)] = true }
                slot.start = set(holds)
                slot.count = -1
            } else {
                slot.start = UInt32(postings.count)
                postings += listed
            }
            var at = Int(truncatingIfNeeded: hash) & (size - 1)
            while slots[at].hash != 0 { at = (at + 1) & (size - 1) }
            slots[at] = slot
        }
        return RouteIndex(
            routeCount: routes.count, words: isIndexed ? words : 0, slots: memory.array(slots).base, slotMask: size - 1, postings: memory.array(postings).base,
            sets: memory.array(sets).base, dimensions: memory.array(dimensions), bodiless: bodiless, exactBytesMax: exactBytesMax, prefixBytesMax: prefixBytesMax,
            templateSegmentsMax: templateSegmentsMax, templatePlaces: templatePlaces, methods: methods, listeners: listeners, hasHostTails: hasHostTails)
    }
}
