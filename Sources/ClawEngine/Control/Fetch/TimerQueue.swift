/// Timers of a control thread: a heap by time. A cancelled one stays in it, empty, until its time or until half of the heap is such.
struct TimerQueue {
    struct ID: Hashable { fileprivate var serial: UInt64 }
    private struct Entry {
        var at: UInt64
        var serial: UInt64
    }
    private var heap: [Entry] = []
    private var actions: [UInt64: () -> Void] = [:]
    private var serial: UInt64 = 0

    mutating func add(_ at: UInt64, _ action: @escaping () -> Void) -> ID {
        serial += 1
        actions[serial] = action
        heap.append(Entry(at: at, serial: serial))
        rise(heap.count - 1)
        return ID(serial: serial)
    }

    mutating func cancel(_ id: ID) {
        guard actions.removeValue(forKey: id.serial) != nil, heap.count > 64, actions.count < heap.count / 2 else { return }
        heap = heap.filter { actions[$0.serial] != nil }.sorted { $0.at < $1.at }
    }

    /// What is due, one after the other.
    mutating func next(_ now: UInt64) -> (() -> Void)? {
        while let first = heap.first, first.at <= now {
            pop()
            if let action = actions.removeValue(forKey: first.serial) { return action }
        }
        return nil
    }

    /// Nanoseconds until the next one; < 0: there is none.
    mutating func wait(_ now: UInt64) -> Int64 {
        while let first = heap.first, actions[first.serial] == nil { pop() }
        guard let first = heap.first else { return -1 }
        return first.at <= now ? 0 : Int64(clamping: first.at - now)
    }

    private mutating func pop() {
        let last = heap.removeLast()
        guard !heap.isEmpty else { return }
        heap[0] = last
        var at = 0
        while true {
            var least = at
            for child in [2 * at + 1, 2 * at + 2] where child < heap.count && heap[child].at < heap[least].at { least = child }
            if least == at { return }
            heap.swapAt(at, least)
            at = least
        }
    }

    private mutating func rise(_ from: Int) {
        var at = from
        while at > 0, heap[at].at < heap[(at - 1) / 2].at {
            heap.swapAt(at, (at - 1) / 2)
            at = (at - 1) / 2
        }
    }
}
