// What is on its way to a socket: spans of memory that somebody else filled, in order. A span may hold a reference on a loop buffer; the
// reference goes when the last byte of the span has been taken by the kernel.

struct Segment {
    var base: UnsafePointer<UInt8>
    var length: UInt32
    /// The loop buffer that is kept until the span is sent; noIndex: memory that outlives the exchange (plan, body).
    var buffer: UInt32
}

/// A queue of segments. Its array comes from malloc on first use and is kept while the queue is in use.
struct Output {
    private(set) var base: UnsafeMutablePointer<Segment>?
    private(set) var capacity: UInt32 = 0
    private(set) var head: UInt32 = 0
    private(set) var count: UInt32 = 0
    /// Bytes queued.
    private(set) var bytes = 0

    var isEmpty: Bool { count == 0 }
    var first: UnsafeMutablePointer<Segment> { base.unsafelyUnwrapped + Int(head) }
    subscript(_ index: Int) -> Segment { base.unsafelyUnwrapped[Int(head) + index] }

    @inline(__always)
    mutating func append(_ segment: Segment) {
        if head + count == capacity { makeRoom() }
        base.unsafelyUnwrapped[Int(head + count)] = segment
        count += 1
        bytes += Int(segment.length)
    }

    private mutating func makeRoom() {
        if head > 0 {
            let start = base.unsafelyUnwrapped
            for index in 0..<Int(count) { start[index] = start[Int(head) + index] }
            head = 0
            if count < capacity { return }
        }
        let wider = max(capacity * 2, 8)
        let fresh = UnsafeMutablePointer<Segment>.allocate(capacity: Int(wider))
        if let old = base {
            fresh.update(from: old, count: Int(count))
            old.deallocate()
        }
        base = fresh
        capacity = wider
    }

    /// Takes the first segment away.
    @inline(__always)
    mutating func dropFirst() -> Segment {
        let segment = base.unsafelyUnwrapped[Int(head)]
        count -= 1
        bytes -= Int(segment.length)
        head = count == 0 ? 0 : head + 1
        return segment
    }

    /// Makes the last segment longer by bytes that lie right behind it in the same buffer; false when they don't.
    @inline(__always)
    mutating func extendLast(_ segment: Segment) -> Bool {
        guard count > 0 else { return false }
        let last = base.unsafelyUnwrapped + Int(head + count - 1)
        guard last.pointee.buffer == segment.buffer, segment.buffer != noIndex, last.pointee.base + Int(last.pointee.length) == segment.base else { return false }
        last.pointee.length += segment.length
        bytes += Int(segment.length)
        return true
    }

    /// The first `length` bytes of the first segment are gone.
    @inline(__always)
    mutating func advanceFirst(_ length: Int) {
        let at = base.unsafelyUnwrapped + Int(head)
        at.pointee.base += length
        at.pointee.length -= UInt32(truncatingIfNeeded: length)
        bytes -= length
    }

    /// Gives the array back; the queue must be empty.
    mutating func release() {
        precondition(count == 0, "an output is released only when everything in it was sent or dropped")
        base?.deallocate()
        base = nil
        capacity = 0
        head = 0
    }
}
