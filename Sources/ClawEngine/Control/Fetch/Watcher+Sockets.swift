// Plain descriptors on the watcher's loop: datagrams and connections of the name resolver, connections that only show that somebody listens.
import CClaw
import Glibc

/// A socket of the watcher's, closed when it goes.
final class WatchedSocket {
    let fd: Int32
    var onReady: (Int32) -> Void = { _ in }
    init(fd: Int32) { self.fd = fd }
    deinit { close(fd) }
}

extension Watcher {
    /// Opens a socket and begins to connect it. `onReady` is told of readiness (`CLAW_READ` …) until `close`; nil: the kernel refused, `errno` says why.
    func connect(_ address: claw_address, isStream: Bool, interest: Int, _ onReady: @escaping (Int32) -> Void) -> PlaceID? {
        let kind = Int32(isStream ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let fd = socket(Int32(address.family), kind, 0)
        guard fd >= 0 else { return nil }
        let made = WatchedSocket(fd: fd)
        let result = withUnsafePointer(to: address.bytes) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(fd, $0, socklen_t(address.length)) }
        }
        guard result == 0 || errno == EINPROGRESS else { return nil }
        made.onReady = onReady
        let id = sockets.add(made, kind: .link)
        guard claw_watch(loop, fd, UInt32(interest), id.value) >= 0 else {
            sockets.remove(id)
            return nil
        }
        return id
    }

    func descriptor(_ id: PlaceID) -> Int32? { sockets[id]?.fd }

    func watch(_ id: PlaceID, _ interest: Int) {
        if let socket = sockets[id] { _ = claw_watch(loop, socket.fd, UInt32(interest), id.value) }
    }

    func close(_ id: PlaceID?) {
        guard let id, let socket = sockets.remove(id) else { return }
        _ = claw_watch(loop, socket.fd, 0, id.value)
    }

    /// What became of a connection: 0, or the error.
    func connectionError(_ id: PlaceID) -> Int32 {
        guard let socket = sockets[id] else { return EBADF }
        var error: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno
    }

    func closeSockets() {
        for socket in sockets.all { _ = claw_watch(loop, socket.fd, 0, 0) }
        sockets = Places()
    }
}
