// The ring between one worker (writer) and the log thread (reader): bytes with a length in front. When it is full the line is dropped and
// counted; the worker never waits. Positions only grow; each side writes its own.
import CClaw
import Glibc

final class LogRing: @unchecked Sendable {
    let capacity: Int
    private let memory: UnsafeMutablePointer<UInt8>
    /// head (reader) and tail (writer), 128 bytes apart, then the dropped count.
    private let words: UnsafeMutablePointer<UInt64>
    private var head: UnsafeMutablePointer<UInt64> { words }
    private var tail: UnsafeMutablePointer<UInt64> { words + 16 }
    /// The writer's last look at the reader's position.
    private var seenHead: UInt64 = 0
    var dropped: UnsafeMutablePointer<UInt64> { words + 32 }

    init(bytes: Int) {
        var size = 4096
        while size < bytes { size *= 2 }
        capacity = size
        memory = .allocate(capacity: size)
        words = .allocate(capacity: 48)
        words.initialize(repeating: 0, count: 48)
    }

    deinit {
        memory.deallocate()
        words.deallocate()
    }

    /// Appends one line; false (and counted) when there is no room.
    @inline(__always)
    func append(_ line: UnsafePointer<UInt8>, _ count: Int) {
        let at = claw_word_load_relaxed(tail)
        if Int(at &- seenHead) + count > capacity {
            seenHead = claw_word_load(head)
            if Int(at &- seenHead) + count > capacity {
                claw_counter_add(dropped, 1)
                return
            }
        }
        let start = Int(at & UInt64(capacity - 1))
        let first = min(count, capacity - start)
        memcpy(memory + start, line, first)
        if first < count { memcpy(memory, line + first, count - first) }
        claw_word_store(tail, at &+ UInt64(count))
    }

    /// Reader: the bytes that are there, in at most two pieces.
    func pending() -> (first: UnsafeRawBufferPointer, second: UnsafeRawBufferPointer) {
        let from = claw_word_load_relaxed(head)
        let to = claw_word_load(tail)
        let count = Int(to &- from)
        let start = Int(from & UInt64(capacity - 1))
        let first = min(count, capacity - start)
        return (UnsafeRawBufferPointer(start: memory + start, count: first), UnsafeRawBufferPointer(start: memory, count: count - first))
    }

    /// Reader: these bytes are done with.
    func consume(_ count: Int) { claw_word_store(head, claw_word_load_relaxed(head) &+ UInt64(count)) }
}
