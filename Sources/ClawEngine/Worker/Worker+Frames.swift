// What both sides of HTTP/2 share: payload moves from an exchange's queue to its connection's, behind the frame heads the session makes, and
// is written to the socket.
import CClaw
import Glibc

extension Worker {
    /// Pieces taken from a session at a time, and spans written at a time.
    static let piecesMax = 64
    /// Bytes framed ahead of a socket.
    static let framedMax = 65536
    /// Payload up to this size is copied behind its frame's head: one span more costs more than the copy.
    private static let copiedMax = 2048

    /// The first `length` bytes of one queue go to the end of another. False: there are fewer, or the pool of buffers is exhausted.
    func moveSpan(_ length: Int, from source: inout Output, to target: inout Output) -> Bool {
        guard length <= source.bytes else { return false }
        var left = length
        while left > 0 {
            let segment = source[0]
            let count = min(left, Int(segment.length))
            let isWhole = count == Int(segment.length)
            // Memory without a buffer belongs to the exchange or its plan, which may be gone before the socket has taken it.
            if count <= Self.copiedMax || segment.buffer == noIndex {
                if !copySpan(segment.base, count, to: &target) { return false }
                if isWhole { buffers.release(source.dropFirst().buffer) } else { source.advanceFirst(count) }
            } else if isWhole {
                target.append(source.dropFirst())
            } else {
                buffers.retain(segment.buffer)
                target.append(Segment(base: segment.base, length: UInt32(truncatingIfNeeded: count), buffer: segment.buffer))
                source.advanceFirst(count)
            }
            left -= count
        }
        return true
    }

    /// Copies bytes behind a queue, into the arena.
    func copySpan(_ bytes: UnsafePointer<UInt8>, _ count: Int, to target: inout Output) -> Bool {
        var at = 0
        while at < count {
            let length = min(count - at, 4096)
            guard let room = buffers.reserve(length) else { return false }
            memcpy(room, bytes + at, length)
            let segment = buffers.commit(length)
            if target.extendLast(segment) { buffers.release(segment.buffer) } else { target.append(segment) }
            at += length
        }
        return true
    }

    /// One write of what is framed. False: the socket is broken.
    func sendFramed(_ fd: Int32, _ output: inout Output, _ isBlocked: inout Bool) -> Bool {
        let count = min(Self.piecesMax, Int(output.count))
        var total = 0
        for at in 0..<count {
            let segment = output[at]
            frameSlices[at] = claw_slice(base: UnsafeRawPointer(segment.base), length: Int(segment.length))
            total += Int(segment.length)
        }
        let sent = claw_send(loop, fd, frameSlices, Int32(count))
        if sent < 0, sent != -Int64(EAGAIN) { return false }
        var left = max(0, Int(sent))
        if left < total { isBlocked = true }
        while left > 0 {
            let length = Int(output[0].length)
            if left >= length {
                buffers.release(output.dropFirst().buffer)
                left -= length
            } else {
                output.advanceFirst(left)
                left = 0
            }
        }
        return true
    }
}
