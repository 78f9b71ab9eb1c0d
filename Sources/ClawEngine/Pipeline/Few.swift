// A few places for values of one kind that belong to a slot: made once with it and used again by each owner, so that a request that needs one candidate
// and one attempt does not pay for writing all there may be. Whoever uses them knows how many are in use; what lies behind is of earlier owners.

struct Few<Element> {
    let base: UnsafeMutablePointer<Element>
    let capacity: Int

    @inline(__always)
    init(_ base: UnsafeMutablePointer<Element>, _ capacity: Int) {
        self.base = base
        self.capacity = capacity
    }

    /// For as long as the slot.
    @inline(__always)
    func place(_ at: Int) -> UnsafeMutablePointer<Element> {
        precondition(UInt(bitPattern: at) < UInt(bitPattern: capacity), "within the slot")
        return base + at
    }

    @inline(__always)
    subscript(_ at: Int) -> Element {
        _read { yield place(at).pointee }
        nonmutating _modify { yield &place(at).pointee }
    }
}
