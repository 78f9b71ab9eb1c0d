// A Slab is a fixed number of places for values of one kind, named by index; a place carries its own generation, so that index and
// generation together name one use of it for ever (the kernel's token is made of them). Memory is reserved at once and touched
// on first use; freed places are used again last in, first out, so that the working set stays small.

/// Names a value in a slab: kind (8 bits), generation (24 bits), index (32 bits). The value is what the loop carries as token.
struct SlotToken: Equatable {
    var value: UInt64
    enum Kind: UInt8 { case none = 0, listener, connection, link, transfers, admin, resolver, wake }
    init(value: UInt64) { self.value = value }
    init(_ kind: Kind, generation: UInt32, index: UInt32) {
        value = UInt64(kind.rawValue) << 56 | UInt64(generation & 0xff_ffff) << 32 | UInt64(index)
    }
    var kind: UInt8 { UInt8(truncatingIfNeeded: value >> 56) }
    var generation: UInt32 { UInt32(truncatingIfNeeded: value >> 32) & 0xff_ffff }
    var index: UInt32 { UInt32(truncatingIfNeeded: value) }
}

/// "No slot", "no buffer" where an index is expected.
let noIndex: UInt32 = 0xffff_ffff

struct Slab<Element: ~Copyable>: ~Copyable {
    let base: UnsafeMutablePointer<Element>
    let capacity: Int
    private let free: UnsafeMutablePointer<UInt32>
    private var freeCount = 0
    /// Places below this index have been handed out at least once (and are initialised).
    private(set) var touched = 0
    private(set) var inUse = 0

    /// `spare` places lie behind the last one; they are never handed out, and their owner initialises them.
    init(capacity: Int, spare: Int = 0) {
        self.capacity = capacity
        base = .allocate(capacity: capacity + spare)
        free = .allocate(capacity: capacity)
    }

    /// Index of a free place and whether it is used for the first time (then the caller initialises it); nil when all are in use.
    mutating func take() -> (index: Int, isFresh: Bool)? {
        if freeCount > 0 {
            freeCount -= 1
            inUse += 1
            return (Int(free[freeCount]), false)
        }
        guard touched < capacity else { return nil }
        touched += 1
        inUse += 1
        return (touched - 1, true)
    }

    mutating func give(_ index: Int) {
        free[freeCount] = UInt32(truncatingIfNeeded: index)
        freeCount += 1
        inUse -= 1
    }

    deinit {
        base.deinitialize(count: touched)
        base.deallocate()
        free.deallocate()
    }
}
