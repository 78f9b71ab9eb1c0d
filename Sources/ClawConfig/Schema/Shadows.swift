// Routes that no request ever reaches, because an earlier one takes all that they match. An earlier route shadows a later one when each of its conditions
// follows from the later one's (`RouteMatch.covers`). That is asked of few pairs: an earlier route is filed under its path and one condition that names a
// value, and a later one looks only where a route that shadows it would have to be filed. Nothing is lost by that but what no file holds: more than
// `comparisonsMax` pairs that only differ in regular expressions, number ranges and the like are not looked at.

struct Shadows {
    static let comparisonsMax = 1_000_000

    struct Shadow: Equatable {
        var path: String
        var line: Int
        var matchesAll: Bool
    }
    private struct Filed {
        var match: RouteMatch
        var path: String
        var line: Int
    }
    /// Where a route is filed: by its path, then by a value that its conditions name.
    private struct Place: Hashable {
        var path: PathPlace
        var value: ValuePlace
    }
    private enum PathPlace: Hashable {
        case any, exact(String), prefix(String)
        /// Number of segments, and the first where it is literal.
        case template(Int, String?)
    }
    private enum ValuePlace: Hashable {
        case none
        case host(String), header(String, String), query(String, String), body(String, Scalar)
        case tag(String), id(String), tenant(String)
    }

    private var filed: [Filed] = []
    private var places: [Place: [Int]] = [:]
    private(set) var comparisons = 0
    private var rules = RouteMatch.Rules()

    /// The route that shadows this one. One that is not shadowed is kept: what a shadowed one would shadow, its shadow does.
    mutating func add(_ match: RouteMatch, path: String, line: Int) -> Shadow? {
        let values = Self.lookups(match)
        for path in Self.lookups(match.path) {
            for value in values {
                for index in places[Place(path: path, value: value)] ?? [] {
                    guard comparisons < Self.comparisonsMax else { return nil }
                    comparisons += 1
                    if filed[index].match.covers(match, &rules) {
                        return Shadow(path: filed[index].path, line: filed[index].line, matchesAll: filed[index].match.matchesAll)
                    }
                }
            }
        }
        let place = Self.place(match.path)
        for value in Self.values(match) { places[Place(path: place, value: value), default: []].append(filed.count) }
        filed.append(Filed(match: match, path: path, line: line))
        return nil
    }

    // MARK: Paths

    private static func place(_ path: PathMatch) -> PathPlace {
        switch path {
        case .any: .any
        case .exact(let path): .exact(path)
        case .prefix(let prefix): .prefix(prefix)
        case .template(let segments): .template(segments.count, literal(segments.first))
        }
    }

    private static func literal(_ segment: TemplateSegment?) -> String? {
        if case .literal(let text)? = segment { text } else { nil }
    }

    /// Where a path that takes all of this one's may be filed.
    private static func lookups(_ path: PathMatch) -> [PathPlace] {
        var places: [PathPlace] = [.any]
        switch path {
        case .any: break
        case .exact(let path):
            let segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            places += prefixes(path) + [.exact(path), .template(segments.count, segments.first.map(String.init)), .template(segments.count, nil)]
        case .prefix(let prefix):
            places += prefixes(prefix)
        case .template(let segments):
            places += prefixes(RouteMatch.literalHead(segments)) + [.template(segments.count, nil)]
            if let first = literal(segments.first) { places.append(.template(segments.count, first)) }
        }
        return places
    }

    /// Prefixes end with a slash.
    private static func prefixes(_ text: String) -> [PathPlace] {
        text.utf8.indices.filter { text.utf8[$0] == UInt8(ascii: "/") }.map { .prefix(String(text[...$0])) }
    }

    // MARK: Values

    /// A route is filed under each value of one condition: one that only requests with one of these values meet.
    private static func values(_ match: RouteMatch) -> [ValuePlace] {
        for (name, test) in match.headers { if case .equals(let text) = test { return [.header(name, text)] } }
        for (path, test) in match.body {
            switch test {
            case .equals(let scalar): return [.body(path, scalar)]
            case .isIn(let scalars) where !scalars.isEmpty: return Array(Set(scalars)).map { .body(path, $0) }
            default: continue
            }
        }
        for (name, test) in match.query { if case .equals(let text) = test { return [.query(name, text)] } }
        if !match.hosts.isEmpty { return Array(Set(match.hosts)).map { .host($0) } }
        if let tag = match.keyTags.first { return [.tag(tag)] }
        if !match.keyIDs.isEmpty { return Array(Set(match.keyIDs)).map { .id($0) } }
        if !match.keyTenants.isEmpty { return Array(Set(match.keyTenants)).map { .tenant($0) } }
        return [.none]
    }

    /// Where a route whose condition follows from one of this one's may be filed. Of a list of values one is enough: it has to be filed under all.
    private static func lookups(_ match: RouteMatch) -> [ValuePlace] {
        var places: [ValuePlace] = [.none]
        for (name, test) in match.headers { if case .equals(let text) = test { places.append(.header(name, text)) } }
        for (name, test) in match.query { if case .equals(let text) = test { places.append(.query(name, text)) } }
        for (path, test) in match.body {
            switch test {
            case .equals(let scalar): places.append(.body(path, scalar))
            case .isIn(let scalars): if let first = scalars.first { places.append(.body(path, first)) }
            default: continue
            }
        }
        if var host = match.hosts.first {
            places.append(.host(host))
            if host.hasPrefix("*.") { host = String(host.dropFirst(2)) }
            while let dot = host.firstIndex(of: ".") {
                host = String(host[host.index(after: dot)...])
                places.append(.host("*." + host))
            }
        }
        for tag in match.keyTags { places.append(.tag(tag)) }
        if let id = match.keyIDs.first { places.append(.id(id)) }
        if let tenant = match.keyTenants.first { places.append(.tenant(tenant)) }
        return places
    }
}
