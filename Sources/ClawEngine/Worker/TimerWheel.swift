// One deadline per timer id, on a hashed wheel of 1,024 slots of 4 ms. Setting a later deadline only writes the number: the entry stays
// where it is and moves on when its slot comes up. So the usual request, whose deadlines are all far away and never reached, costs one store.
// A timer belongs to a slab index, not to one use of it: the entry outlives the use and finds the deadline of the next one.

struct TimerWheel: ~Copyable {
    private struct Node {
        /// What is wanted; 0: nothing.
        var deadline: UInt64 = 0
        /// Tick of the slot the node is linked in; 0: not linked.
        var linked: UInt64 = 0
        var next: UInt32 = noIndex
        var previous: UInt32 = noIndex
    }
    private static let slots = 1024
    private static let shift: UInt64 = 22  // 2^22 ns = 4.2 ms
    private let nodes: UnsafeMutablePointer<Node>
    private let heads: UnsafeMutablePointer<UInt32>
    private let capacity: Int
    private var touched: UnsafeMutablePointer<UInt8>
    /// The last tick whose slot has been emptied.
    private var tick: UInt64
    private var linkedCount = 0

    init(capacity: Int, now: UInt64) {
        self.capacity = capacity
        // calloc'ed memory is untouched until used; an all-zero node would read as linked to 0, so `linked == 0` decides.
        let raw = UnsafeMutableRawPointer.allocate(byteCount: capacity * MemoryLayout<Node>.stride, alignment: 16)
        nodes = raw.bindMemory(to: Node.self, capacity: capacity)
        let flags = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        touched = flags.bindMemory(to: UInt8.self, capacity: capacity)
        touched.initialize(repeating: 0, count: capacity)
        heads = .allocate(capacity: Self.slots)
        heads.initialize(repeating: noIndex, count: Self.slots)
        tick = now >> Self.shift
    }

    deinit {
        nodes.deallocate()
        heads.deallocate()
        touched.deallocate()
    }

    /// Wants `id` to expire at `deadline` (nanoseconds); replaces what was wanted before.
    @inline(__always)
    mutating func set(_ id: Int, _ deadline: UInt64) {
        if touched[id] == 0 {
            touched[id] = 1
            nodes[id] = Node()
        }
        nodes[id].deadline = deadline
        let wanted = max(deadline >> Self.shift, tick) + 1
        if nodes[id].linked != 0 {
            if nodes[id].linked <= wanted { return }
            unlink(id)
        }
        link(id, wanted)
    }

    @inline(__always)
    mutating func clear(_ id: Int) {
        if touched[id] != 0 { nodes[id].deadline = 0 }
    }

    private mutating func link(_ id: Int, _ wanted: UInt64) {
        let at = min(wanted, tick + UInt64(Self.slots) - 1)
        let slot = Int(at % UInt64(Self.slots))
        let first = heads[slot]
        nodes[id].linked = at
        nodes[id].previous = noIndex
        nodes[id].next = first
        if first != noIndex { nodes[Int(first)].previous = UInt32(id) }
        heads[slot] = UInt32(id)
        linkedCount += 1
    }

    private mutating func unlink(_ id: Int) {
        let node = nodes[id]
        if node.previous != noIndex { nodes[Int(node.previous)].next = node.next }
        else { heads[Int(node.linked % UInt64(Self.slots))] = node.next }
        if node.next != noIndex { nodes[Int(node.next)].previous = node.previous }
        nodes[id].linked = 0
        linkedCount -= 1
    }

    /// The next timer whose deadline has passed; nil when there is none. Its deadline is cleared.
    mutating func nextExpired(_ now: UInt64) -> Int? {
        let last = now >> Self.shift
        while true {
            if linkedCount == 0 {
                tick = max(tick, last)
                return nil
            }
            let slot = Int(tick % UInt64(Self.slots))
            while heads[slot] != noIndex, nodes[Int(heads[slot])].linked <= tick {
                let id = Int(heads[slot])
                unlink(id)
                let deadline = nodes[id].deadline
                if deadline == 0 { continue }
                if deadline <= now {
                    nodes[id].deadline = 0
                    return id
                }
                link(id, max(deadline >> Self.shift, tick) + 1)
            }
            if tick >= last { return nil }
            tick += 1
        }
    }

    /// Nanoseconds until the wheel wants `nextExpired` to be called; -1: no timer is set.
    func wait(_ now: UInt64) -> Int64 {
        if linkedCount == 0 { return -1 }
        // The nearest occupied slot, looked for at most 64 ahead (270 ms): waking up then costs nothing.
        var ahead: UInt64 = 1
        while ahead < 64, heads[Int((tick + ahead) % UInt64(Self.slots))] == noIndex { ahead += 1 }
        let at = (tick + ahead) << Self.shift
        return at > now ? Int64(at - now) : 0
    }
}
