/// What a source named at one time: sorted, each place once, at most `endpointsMax`. The same findings make the same set in whatever order they came.
public struct EndpointSet: Equatable, Sendable {
    public private(set) var endpoints: [FoundEndpoint]
    /// What was left out and why, for the log and the admin's page; at most `notesMax`.
    public private(set) var notes: [String]

    public static let endpointsMax = 256
    public static let notesMax = 8

    /// Of several weights of one place the greatest counts.
    public init(_ found: [FoundEndpoint] = [], notes: [String] = []) {
        var places: Set<FoundEndpoint.Place> = []
        var kept: [FoundEndpoint] = []
        // Backwards, so that a place's greatest weight is met first.
        for endpoint in found.sorted().reversed() where places.insert(endpoint.place).inserted { kept.append(endpoint) }
        kept.reverse()
        var notes = notes
        if kept.count > Self.endpointsMax {
            notes.insert("\(kept.count) endpoints, the first \(Self.endpointsMax) are taken", at: 0)
            kept.removeLast(kept.count - Self.endpointsMax)
        }
        endpoints = kept
        if notes.count > Self.notesMax {
            let more = notes.count - Self.notesMax + 1
            notes.removeLast(more)
            notes.append("and \(more) more")
        }
        self.notes = notes
    }

    public var isEmpty: Bool { endpoints.isEmpty }

    public struct Changes: Equatable, Sendable {
        public var added: [FoundEndpoint] = []
        public var removed: [FoundEndpoint] = []
        /// In both, with another weight or name; as they are now.
        public var changed: [FoundEndpoint] = []
        public var isEmpty: Bool { added.isEmpty && removed.isEmpty && changed.isEmpty }
    }

    /// What has to be done to `old` to make this of it; each list sorted. Notes are no change.
    public func changes(since old: EndpointSet) -> Changes {
        var changes = Changes()
        var before: [FoundEndpoint.Place: FoundEndpoint] = [:]
        for endpoint in old.endpoints { before[endpoint.place] = endpoint }
        for endpoint in endpoints {
            switch before.removeValue(forKey: endpoint.place) {
            case nil: changes.added.append(endpoint)
            case endpoint: break
            default: changes.changed.append(endpoint)
            }
        }
        changes.removed = before.values.sorted()
        return changes
    }
}
