// Deadlines: the timers of a load worker, a binary heap of (when, whose, which). A timer is never taken out early: its owner bumps its
// own timer number and the entry is dropped when it surfaces. That keeps the heap without back references; entries are
// bounded by the owners because each has one timer at a time and re-arms it at most a few times a second on cold paths.

struct Deadlines {
    struct Entry {
        var at: UInt64
        var owner: UInt32
        var number: UInt32
    }

    private var entries: [Entry] = []

    var nearest: UInt64? { entries.first?.at }

    mutating func add(at: UInt64, owner: UInt32, number: UInt32) {
        entries.append(Entry(at: at, owner: owner, number: number))
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if entries[parent].at <= entries[child].at { break }
            entries.swapAt(parent, child)
            child = parent
        }
    }

    /// Takes the nearest entry if its time has come.
    mutating func pop(due now: UInt64) -> Entry? {
        guard let first = entries.first, first.at <= now else { return nil }
        let last = entries.removeLast()
        if !entries.isEmpty {
            var parent = 0
            let count = entries.count
            while true {
                var child = parent * 2 + 1
                if child >= count { break }
                if child + 1 < count && entries[child + 1].at < entries[child].at { child += 1 }
                if last.at <= entries[child].at { break }
                entries[parent] = entries[child]
                parent = child
            }
            entries[parent] = last
        }
        return first
    }
}
