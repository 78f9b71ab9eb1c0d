// The worker's view of the loop's buffers: a reference count per buffer, and the arena in which heads and other short texts are written
// one behind the other, many to a buffer.
import CClaw

struct Buffers: ~Copyable {
    let loop: OpaquePointer
    let base: UnsafeMutablePointer<UInt8>
    let size: Int
    private let references: UnsafeMutablePointer<UInt16>
    /// The buffer texts are written into just now; holds one reference of its own.
    private var arena: UInt32 = noIndex
    private var arenaUsed = 0

    init(loop: OpaquePointer, size: Int, count: Int) {
        self.loop = loop
        self.size = size
        base = claw_buffer_base(loop)
        references = .allocate(capacity: count)
    }

    deinit { references.deallocate() }

    @inline(__always)
    func pointer(_ buffer: UInt32) -> UnsafeMutablePointer<UInt8> { base + Int(buffer) &* size }

    /// A buffer just delivered by the loop gets its first reference.
    @inline(__always)
    func adopt(_ buffer: UInt32) { references[Int(buffer)] = 1 }

    @inline(__always)
    func retain(_ buffer: UInt32) { if buffer != noIndex { references[Int(buffer)] &+= 1 } }

    @inline(__always)
    func release(_ buffer: UInt32) {
        if buffer == noIndex { return }
        references[Int(buffer)] &-= 1
        if references[Int(buffer)] == 0 { claw_buffer_release(loop, buffer) }
    }

    @inline(__always)
    func isShared(_ buffer: UInt32) -> Bool { references[Int(buffer)] > 1 }

    /// Takes a fresh buffer with one reference; noIndex when the pool is exhausted.
    func take() -> UInt32 {
        let buffer = claw_buffer_take(loop)
        if buffer != noIndex { references[Int(buffer)] = 1 }
        return buffer
    }

    /// Room for at most `capacity` (≤ size) bytes of text; nil when the pool is exhausted. `commit` says how much of it was used.
    @inline(__always)
    mutating func reserve(_ capacity: Int) -> UnsafeMutablePointer<UInt8>? {
        if arena == noIndex || size - arenaUsed < capacity {
            if arena != noIndex { release(arena) }
            arenaUsed = 0
            arena = take()
            if arena == noIndex { return nil }
        }
        return pointer(arena) + arenaUsed
    }

    /// Turns the first `length` reserved bytes into a segment with a reference of its own.
    @inline(__always)
    mutating func commit(_ length: Int) -> Segment {
        let segment = Segment(base: UnsafePointer(pointer(arena) + arenaUsed), length: UInt32(truncatingIfNeeded: length), buffer: arena)
        retain(arena)
        arenaUsed += length
        return segment
    }

    /// Called when a tick ends: an arena buffer nobody reads any more is written from its start again, so that it stays in the cache.
    @inline(__always)
    mutating func endTick() {
        if arena != noIndex, references[Int(arena)] == 1 { arenaUsed = 0 }
    }
}
