// The listening sockets: one per listener and worker. TCP listeners get sockets of their own over SO_REUSEPORT, so that the kernel deals connections out; a
// unix socket is bound once and shared by copies of its descriptor. Opened before the workers start, which own the descriptors from then
// on; the files of unix sockets are taken away when the gateway begins to end.
import CClaw
import ClawConfig
import Glibc
import Synchronization

/// Where clients can connect, for messages and status.
public struct ListenerAddress: Sendable {
    public var name: String
    /// "127.0.0.1", "::1" or "unix:/path".
    public var address: String
    /// The port in use; 0 for a unix socket.
    public var port: UInt16
    public var isTLS: Bool

    /// "https://127.0.0.1:8443", "http://unix:/run/x".
    public var url: String {
        let scheme = isTLS ? "https" : "http"
        if address.hasPrefix("unix:") { return "\(scheme)://\(address)" }
        return "\(scheme)://\(address.contains(":") ? "[\(address)]" : address):\(port)"
    }

    /// An address as it is written in a configuration, for the kernel.
    static func parse(_ text: String, _ port: UInt16) -> claw_address? {
        var address = claw_address()
        return claw_address_parse(text == "localhost" ? "127.0.0.1" : text, port, &address) == 0 ? address : nil
    }
}

struct ListenerSockets {
    /// By worker, then in the order of the listeners.
    private(set) var descriptors: [[Int32]]
    private(set) var addresses: [ListenerAddress] = []
    /// Files of unix sockets that we made.
    private(set) var files: [SocketFile] = []

    init(_ listeners: [Listener], workers: Int) throws(Gateway.StartFailure) {
        descriptors = Array(repeating: [], count: workers)
        do throws(Gateway.StartFailure) {
            for (index, listener) in listeners.enumerated() { try open(listener, key: index == 0 && listener.name == "main" ? "server.listen_address, server.listen_port" : "server.listeners, \(listener.name)") }
        } catch {
            close()
            throw error
        }
    }

    private mutating func open(_ listener: Listener, key: String) throws(Gateway.StartFailure) {
        guard var address = ListenerAddress.parse(listener.address, listener.port) else {
            throw .listen("\(listener.address) is not an IP address or unix:/path (\(key))")
        }
        let isUnix = listener.address.hasPrefix("unix:")
        var port = listener.port
        for worker in descriptors.indices {
            let isFirst = worker == 0
            let fd = isUnix && !isFirst ? fcntl(descriptors[0][descriptors[0].count - 1], F_DUPFD_CLOEXEC, 0) : claw_listen(&address, 4096, 1)
            guard fd >= 0 else { throw .listen(Self.problem(listener, isUnix && !isFirst ? errno : -fd, key)) }
            descriptors[worker].append(fd)
            guard isFirst else { continue }
            // Port 0: the first socket finds a free one, the others share it.
            if port == 0, !isUnix {
                var own = claw_address()
                if claw_local_address(fd, &own) == 0 { port = claw_address_port(&own) }
                if let found = ListenerAddress.parse(listener.address, port) { address = found }
            }
            if isUnix { files.append(SocketFile(String(listener.address.dropFirst(5)))) }
        }
        addresses.append(ListenerAddress(name: listener.name, address: listener.address, port: isUnix ? 0 : port, isTLS: listener.tls != nil))
    }

    private static func problem(_ listener: Listener, _ code: Int32, _ key: String) -> String {
        if listener.address.hasPrefix("unix:") {
            return "cannot listen on \(listener.address): \(code == EADDRINUSE ? "another process answers there, or the file is no socket" : String(cString: strerror(code))) (\(key))"
        }
        let reason = code == EADDRINUSE ? "port \(listener.port) is taken by another process" : String(cString: strerror(code))
        return "cannot listen on \(listener.address.contains(":") ? "[\(listener.address)]" : listener.address):\(listener.port): \(reason) (\(key))"
    }

    /// Closes everything; only while no worker has been given it.
    func close() {
        for worker in descriptors { for fd in worker { _ = claw_os_close(fd) } }
        for file in files { file.remove() }
    }
}

/// The file of a unix socket, told from one that another process has put in its place.
struct SocketFile: Sendable {
    let path: String
    private let device: UInt
    private let inode: UInt

    init(_ path: String) {
        self.path = path
        var status = stat()
        let isThere = lstat(path, &status) == 0
        device = isThere ? UInt(status.st_dev) : 0
        inode = isThere ? UInt(status.st_ino) : 0
    }

    func remove() {
        var status = stat()
        guard lstat(path, &status) == 0, UInt(status.st_dev) == device, UInt(status.st_ino) == inode else { return }
        _ = unlink(path)
    }
}
