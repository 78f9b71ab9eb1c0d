/// Names one use of a place in a table, as a token of the loop.
struct PlaceID: Equatable {
    var value: UInt64
    var index: Int { Int(SlotToken(value: value).index) }
}

/// A table whose entries are named by index and generation: what is asked of an entry that has gone finds nothing.
struct Places<Element> {
    private var entries: [(generation: UInt32, element: Element?)] = []
    private var free: [Int] = []

    mutating func add(_ element: Element, kind: SlotToken.Kind) -> PlaceID {
        let index: Int
        if let last = free.popLast() {
            index = last
        } else {
            entries.append((0, nil))
            index = entries.count - 1
        }
        entries[index].generation = (entries[index].generation &+ 1) & 0xff_ffff
        entries[index].element = element
        return PlaceID(value: SlotToken(kind, generation: entries[index].generation, index: UInt32(index)).value)
    }

    private func isCurrent(_ id: PlaceID) -> Bool {
        entries.indices.contains(id.index) && entries[id.index].generation == SlotToken(value: id.value).generation && entries[id.index].element != nil
    }

    subscript(_ id: PlaceID) -> Element? { isCurrent(id) ? entries[id.index].element : nil }

    @discardableResult
    mutating func remove(_ id: PlaceID) -> Element? {
        guard isCurrent(id) else { return nil }
        defer {
            entries[id.index].element = nil
            free.append(id.index)
        }
        return entries[id.index].element
    }

    var all: [Element] { entries.compactMap(\.element) }
}
