import CClaw
import Glibc
import Testing

/// The kernel backends this machine lets us use. Where io_uring is refused its half of the tests is
/// left out, and `ringIsUsableHereOrSaysWhyNot` says so.
enum Backend: UInt32, CaseIterable, CustomTestStringConvertible {
    case epoll = 1
    case uring = 2

    static let fallback: Int32 = {
        var options = claw_loop_options(backend: 2, buffer_bytes: 4096, buffer_count: 8, reserved: 0)
        var loop: OpaquePointer?
        var why: Int32 = 0
        precondition(claw_loop_create(&options, &loop, &why) == 0, "a loop can be created")
        claw_loop_destroy(loop)
        return why
    }()
    static var real: [Backend] { fallback == 0 ? [.epoll, .uring] : [.epoll] }
    var testDescription: String { self == .epoll ? "epoll" : "uring" }
}

/// A loop under test and what it has told so far. Everything waits with a deadline and nothing sleeps.
final class Bench {
    let loop: OpaquePointer
    let bufferBytes: Int
    private(set) var events: [claw_event] = []

    init(_ backend: UInt32, bufferBytes: UInt32 = 16384, buffers: UInt32 = 256) {
        var options = claw_loop_options(backend: backend, buffer_bytes: bufferBytes, buffer_count: buffers, reserved: 0)
        var made: OpaquePointer?
        let result = claw_loop_create(&options, &made, nil)
        precondition(result == 0, "loop created, was \(result)")
        loop = made!
        self.bufferBytes = Int(bufferBytes)
        precondition(claw_loop_backend(loop) == backend, "the backend asked for serves")
    }

    convenience init(_ backend: Backend, bufferBytes: UInt32 = 16384, buffers: UInt32 = 256) {
        self.init(backend.rawValue, bufferBytes: bufferBytes, buffers: buffers)
    }

    deinit { claw_loop_destroy(loop) }

    /// One wait. What came is returned and also kept in `events`.
    @discardableResult
    func wait(milliseconds: Int64 = 0, capacity: Int = 64) -> [claw_event] {
        var batch = [claw_event](repeating: claw_event(), count: capacity)
        let n = claw_loop_wait(loop, &batch, Int32(capacity), milliseconds * 1_000_000)
        precondition(n >= 0, "waiting works, was \(n)")
        events += batch[..<Int(n)]
        return Array(batch[..<Int(n)])
    }

    /// Waits until the condition holds; false when ten seconds did not bring it.
    func until(capacity: Int = 64, _ holds: () -> Bool) -> Bool {
        let deadline = claw_monotonic_ns() + 10_000_000_000
        while !holds() {
            if claw_monotonic_ns() > deadline { return false }
            wait(milliseconds: 20, capacity: capacity)
        }
        return true
    }

    /// Waits for the first event of this kind (and token), and takes it out.
    func next(_ kind: Int, token: UInt64? = nil, capacity: Int = 64, sourceLocation: SourceLocation = #_sourceLocation) throws -> claw_event {
        func find() -> Int? { events.firstIndex { Int($0.kind) == kind && (token == nil || $0.token == token) } }
        _ = until(capacity: capacity) { find() != nil }
        let at = try #require(find(), "an event of kind \(kind) comes", sourceLocation: sourceLocation)
        return events.remove(at: at)
    }

    /// Takes out all events seen so far that fit.
    func take(_ kind: Int, token: UInt64? = nil) -> [claw_event] {
        let found = events.filter { Int($0.kind) == kind && (token == nil || $0.token == token) }
        events.removeAll { Int($0.kind) == kind && (token == nil || $0.token == token) }
        return found
    }

    /// Takes one event out.
    func remove(_ at: Int) -> claw_event { events.remove(at: at) }

    func forget() { events.removeAll(keepingCapacity: true) }

    /// The bytes of a RECEIVED event; gives the buffer back.
    func bytes(_ event: claw_event) -> [UInt8] {
        guard event.result > 0 else { return [] }
        let start = claw_buffer_base(loop)! + Int(event.buffer) * bufferBytes
        defer { claw_buffer_release(loop, event.buffer) }
        return Array(UnsafeBufferPointer(start: start, count: Int(event.result)))
    }

    func send(_ fd: Int32, _ bytes: [UInt8]) -> Int64 {
        bytes.withUnsafeBytes { raw in
            var slice = claw_slice(base: raw.baseAddress, length: raw.count)
            return claw_send(loop, fd, &slice, 1)
        }
    }

    func receive(_ fd: Int32, length: Int) -> (Int64, [UInt8]) {
        var into = [UInt8](repeating: 0, count: length)
        let n = claw_recv(loop, fd, &into, length)
        return (n, n > 0 ? Array(into[..<Int(n)]) : [])
    }

    /// A connection between the loop (attached under the token, receiving off) and a raw peer.
    func connection(token: UInt64) throws -> (fd: Int32, peer: Peer) {
        let listener = Listener()
        let peer = Peer(connectingTo: listener.address)
        let fd = listener.accept()
        try #require(claw_attach(loop, fd, token) == 0)
        return (fd, peer)
    }
}

/// A listening socket on the loopback, closed when it goes.
final class Listener {
    let fd: Int32
    var address = claw_address()

    init(backlog: Int32 = 512) {
        var wanted = claw_address()
        precondition(claw_address_parse("127.0.0.1", 0, &wanted) == 0)
        fd = claw_listen(&wanted, backlog, 0)
        precondition(fd >= 0, "listening works, was \(fd)")
        precondition(claw_local_address(fd, &address) == 0)
    }

    deinit { close(fd) }

    func accept() -> Int32 {
        precondition(poll(fd, POLLIN), "a connection comes")
        let connection = Glibc.accept(fd, nil, nil)
        _ = fcntl(connection, F_SETFL, O_NONBLOCK)
        return connection
    }

    private func poll(_ fd: Int32, _ events: Int32) -> Bool {
        var p = pollfd(fd: fd, events: Int16(events), revents: 0)
        return Glibc.poll(&p, 1, 10_000) == 1
    }
}

/// The other side of a connection: a plain non-blocking socket of the test's own.
final class Peer {
    private(set) var fd: Int32

    init(connectingTo address: claw_address) {
        var address = address
        fd = socket(Int32(address.family), Int32(SOCK_STREAM.rawValue), 0)
        precondition(fd >= 0, "a socket can be opened, errno \(errno)")
        let length = socklen_t(address.length)
        let result = withUnsafeBytes(of: &address.bytes) {
            connect(fd, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), length)
        }
        precondition(result == 0, "the peer connects, errno \(errno)")
        _ = fcntl(fd, F_SETFL, O_NONBLOCK)
    }

    init(adopting fd: Int32) {
        self.fd = fd
        _ = fcntl(fd, F_SETFL, O_NONBLOCK)
    }

    deinit { close() }

    func ready(_ events: Int32, milliseconds: Int32 = 10_000) -> Bool {
        var p = pollfd(fd: fd, events: Int16(events), revents: 0)
        return Glibc.poll(&p, 1, milliseconds) == 1
    }

    /// Writes what fits now.
    func writeSome(_ bytes: ArraySlice<UInt8>) -> Int {
        let n = bytes.withUnsafeBytes { Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        return max(n, 0)
    }

    func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            precondition(ready(POLLOUT), "the peer may write within the deadline")
            rest = rest.dropFirst(writeSome(rest))
        }
    }

    /// What is there now: bytes, [] at the end, nil when nothing is there; `error` when broken.
    private(set) var error: Int32 = 0
    func readSome(_ length: Int = 65536) -> [UInt8]? {
        var into = [UInt8](repeating: 0, count: length)
        let n = Glibc.recv(fd, &into, length, Int32(MSG_DONTWAIT))
        if n < 0 {
            if errno != EAGAIN { error = errno }
            return errno == EAGAIN ? nil : []
        }
        return Array(into[..<n])
    }

    /// Reads exactly this many, or up to the end when nil.
    func read(_ length: Int? = nil) -> [UInt8] {
        var all: [UInt8] = []
        while length == nil || all.count < length! {
            guard ready(POLLIN) else { break }
            guard let some = readSome(length.map { $0 - all.count } ?? 65536), !some.isEmpty else { break }
            all += some
        }
        return all
    }

    func shutdownWrite() { shutdown(fd, Int32(SHUT_WR)) }

    func reset() {
        var at = linger(l_onoff: 1, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    func close() {
        if fd >= 0 { Glibc.close(fd) }
        fd = -1
    }
}

private let cycle: [UInt8] = (0..<1 << 16).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ ($0 >> 8)) }
private let twoCycles = cycle + cycle

/// Bytes in which a position is recognisable (they repeat every 64 KiB), so that a lost or swapped piece shows.
func pattern(_ count: Int, seed: Int = 0) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
        let from = (seed + bytes.count) & 0xffff
        bytes += twoCycles[from..<from + min(count - bytes.count, 1 << 16)]
    }
    return bytes
}
