// The one description of an option. The loader reads with it, suggestions and the reference in the manual are made from it, and the
// canonical form is written with it, so that the four cannot disagree. Options that only later versions understand are in the tables
// too: their names are known, and using one is an error, because an option that does nothing must never pass in silence.

/// One key of a section, and how its value gets into `Target` and out again.
struct Option<Target> {
    typealias Read = (inout Target, DocumentNode, String, Loading) -> Void

    let key: String
    /// For the reference: "1…65535", "true or false".
    let type: String
    let doc: String
    var isLater = false
    var isRequired = false
    /// For the reference, where the default is not a value that `write` could show.
    var defaultText: String?
    /// Keys below this one, for the reference and for suggestions; made when asked for, since a load that goes well never does.
    var children: () -> [ReferenceRow] = { [] }
    /// Lands the value; notes errors under the dotted key it is given.
    let read: Read
    /// The effective value; nil where there is nothing to show.
    let write: (Target) -> Canonical?
}

/// A row of the configuration reference.
struct ReferenceRow {
    var key: String
    var type: String
    var defaultText: String
    var doc: String
    var isLater: Bool
}

/// All options of one section.
struct Table<Target> {
    let options: [Option<Target>]

    /// Reads a map. `path` is its dotted key, empty for the whole file.
    func read(_ node: DocumentNode, into target: inout Target, at path: String, _ loading: Loading) {
        guard !node.isNull else { return requireAll(in: nil, node.place, path, loading) }
        guard let members = node.members else {
            loading.error(node.place, path, "expected a map, found \(node.kind)")
            return
        }
        for option in options {
            guard let member = members.first(where: { $0.key == option.key }) else { continue }
            let key = dotted(path, option.key)
            if option.isLater {
                loading.error(member.keyPlace, key, "not available in this version")
            } else {
                option.read(&target, member.value, key, loading)
            }
        }
        for member in members where !options.contains(where: { $0.key == member.key }) {
            if loading.isFull { return }
            loading.error(member.keyPlace, dotted(path, member.key), unknown(member.key, path, loading))
        }
        requireAll(in: members, node.place, path, loading)
    }

    private func requireAll(in members: [DocumentNode.Member]?, _ place: Place, _ path: String, _ loading: Loading) {
        for option in options where option.isRequired && members?.contains(where: { $0.key == option.key }) != true {
            loading.error(place, dotted(path, option.key), "missing; expected \(option.type)")
        }
    }

    private func unknown(_ key: String, _ path: String, _ loading: Loading) -> String {
        if let near = Suggestion.nearest(to: key, among: options.map(\.key)) { return "unknown key; did you mean `\(near)`?" }
        // Right name, wrong place: `listen_port` at the top of the file.
        let elsewhere = loading.knownKeys.filter { $0.split(separator: ".").last.map(String.init) == key }
        // One of this map's own maps first: `upstreams` of a route is that of its strategy.
        for option in options where option.children().contains(where: { $0.key == key }) { return "unknown key here; did you mean `\(option.key).\(key)`?" }
        if let first = elsewhere.first { return "unknown key here; did you mean `\(first)`?" }
        return "unknown key; known here: \(options.filter { !$0.isLater }.map(\.key).joined(separator: ", "))"
    }

    func write(_ target: Target) -> Canonical {
        var members: [String: Canonical] = [:]
        for option in options where !option.isLater { if let value = option.write(target) { members[option.key] = value } }
        return .object(members)
    }

    /// Rows for the reference; `prototype` has the defaults.
    func rows(_ prototype: Target, prefix: String = "") -> [ReferenceRow] {
        var rows: [ReferenceRow] = []
        for option in options {
            let key = dotted(prefix, option.key)
            let children = option.children()
            if children.isEmpty || option.isLater {
                let value = option.isRequired ? "required" : option.defaultText ?? option.write(prototype).map { $0.json(.masked) } ?? ""
                rows.append(.init(key: key, type: option.type, defaultText: option.isLater ? "" : value, doc: option.doc, isLater: option.isLater))
            } else {
                rows.append(.init(key: key, type: option.type, defaultText: option.isRequired ? "required" : option.defaultText ?? "", doc: option.doc, isLater: false))
                for child in children {
                    var row = child
                    row.key = key + (child.key.hasPrefix("[") || child.key.hasPrefix(".") ? "" : ".") + child.key
                    rows.append(row)
                }
            }
        }
        return rows
    }
}

func dotted(_ path: String, _ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
