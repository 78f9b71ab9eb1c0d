// What a configuration file says before it means anything: scalars, lists and maps, each with the place it was written at. Made by
// DocumentReader, read by the option tables, thrown away when the Configuration stands.

/// A place in the file; line and column count from 1, columns in Unicode scalars. Line 0: the file as a whole.
struct Place: Equatable, Sendable {
    var line = 0
    var column = 0
}

struct DocumentNode: Sendable {
    indirect enum Value: Sendable {
        /// `isPlain`: written without quotes, so that `true` may mean the truth value. No type is guessed here: options know theirs.
        case scalar(String, isPlain: Bool)
        case list([DocumentNode])
        /// In file order; a key occurs once.
        case map([Member])
    }
    struct Member: Sendable {
        var key: String
        var keyPlace: Place
        var value: DocumentNode
    }

    var value: Value
    var place: Place
    /// Nodes in this tree with aliases counted as often as they are used, and its depth: what a walk over it costs.
    var size = 1
    var depth = 1

    var members: [Member]? { if case .map(let members) = value { members } else { nil } }
    var items: [DocumentNode]? { if case .list(let items) = value { items } else { nil } }
    func member(_ key: String) -> DocumentNode? { members?.first { $0.key == key }?.value }

    /// Plain `null`, `~` and nothing at all: a key without a value.
    var isNull: Bool {
        if case .scalar(let text, isPlain: true) = value { text.isEmpty || text == "~" || text == "null" } else { false }
    }
    /// For messages: "a list", "a map", "nothing", "text".
    var kind: String {
        switch value {
        case .list: "a list"
        case .map: "a map"
        case .scalar: isNull ? "nothing" : "text"
        }
    }
}

/// A file that is no document: where and why.
struct DocumentError: Error {
    var place: Place
    var message: String
}
