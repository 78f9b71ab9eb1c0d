// The background thread that carries request log lines from the workers' rings to a file or to standard output. A full disk or a blocked pipe
// stops this thread, never a worker: then the rings fill and lines are dropped and counted. It looks at the rings every 20 ms, every 2 ms
// while much is coming.
import CClaw
import ClawConfig
import Glibc
import Synchronization

final class LogWriter: @unchecked Sendable {
    private let rings: [LogRing]
    private let output: Logging.Output
    private var fd: Int32 = -1
    private var written = 0
    /// True when a write may block: a pipe, a terminal, a socket. Then it is asked before each write whether it would.
    private var mayBlock = false
    /// What a pipe that is ready takes without blocking (pipe(7), PIPE_BUF).
    private static let pieceBytesMax = 4096
    private var thread: UInt64 = 0
    private let stopping = Atomic<Bool>(false)
    private let reopening = Atomic<Bool>(false)
    /// Lines (counted as writes) that the file system refused.
    let failures = Atomic<Int>(0)

    init(rings: [LogRing], output: Logging.Output) {
        self.rings = rings
        self.output = output
    }

    /// Opens the output; returns what went wrong.
    func start() -> String? {
        switch output {
        case .off: return nil
        case .stdout: fd = 1
        case .file(let path, _):
            fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
            if fd < 0 { return "logging.path: \(path): \(String(cString: strerror(errno)))" }
            written = Int(lseek(fd, 0, SEEK_END))
        }
        var status = stat()
        mayBlock = fstat(fd, &status) != 0 || status.st_mode & S_IFMT != S_IFREG
        let context = Unmanaged.passRetained(self).toOpaque()
        let result = claw_thread_start("log", { context in
            let writer = Unmanaged<LogWriter>.fromOpaque(context.unsafelyUnwrapped).takeRetainedValue()
            writer.run()
            return nil
        }, context, &thread)
        return result == 0 ? nil : "log thread: \(String(cString: strerror(-result)))"
    }

    /// Writes what is left, as far as it can be written without waiting for a reader, and ends the thread.
    func stop() {
        guard thread != 0 else { return }
        stopping.store(true, ordering: .releasing)
        _ = claw_thread_join(thread)
        thread = 0
    }

    private func run() {
        while true {
            let isLast = stopping.load(ordering: .acquiring)
            var moved = 0
            for ring in rings { moved += drain(ring) }
            if isLast { return }
            rotateIfNeeded()
            var pause = timespec(tv_sec: 0, tv_nsec: moved > 65536 ? 2_000_000 : 20_000_000)
            nanosleep(&pause, nil)
        }
    }

    private func drain(_ ring: LogRing) -> Int {
        let (first, second) = ring.pending()
        let total = first.count + second.count
        if total == 0 { return 0 }
        for piece in [first, second] where piece.count > 0 { writeAll(piece) }
        ring.consume(total)
        return total
    }

    private func writeAll(_ bytes: UnsafeRawBufferPointer) {
        var sent = 0
        while sent < bytes.count {
            if mayBlock {
                var waiting = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
                if poll(&waiting, 1, 100) == 0 {
                    if stopping.load(ordering: .relaxed) { return }
                    continue
                }
            }
            let n = write(fd, bytes.baseAddress.unsafelyUnwrapped + sent, mayBlock ? min(bytes.count - sent, Self.pieceBytesMax) : bytes.count - sent)
            if n > 0 {
                sent += n
                written += n
            } else if errno == EINTR {
                continue
            } else if errno == EAGAIN {
                var waiting = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
                if stopping.load(ordering: .relaxed) { return }
                _ = poll(&waiting, 1, 100)
            } else {
                // Disk full, I/O error: this batch is lost, and counted; the next one tries again.
                failures.wrappingAdd(1, ordering: .relaxed)
                return
            }
        }
    }

    private func rotateIfNeeded() {
        guard case .file(let path, let limit) = output, let limit, written >= limit else { return }
        _ = rename(path, path + ".1")
        let fresh = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        if fresh >= 0 {
            close(fd)
            fd = fresh
            written = 0
        }
    }
}
