// The admin listener: health, readiness, metrics, status and orders, apart from the listener for clients. It runs on one thread with a loop of its
// own and touches nothing a worker waits for, so that it answers while the workers are overloaded and a slow scraper holds up nobody
// (faults OB-04, OB-05). This type opens it and ends it; AdminLoop is what runs on the thread.
import CClaw
import ClawConfig
import Glibc

public final class AdminServer: @unchecked Sendable {
    private let gateway: Gateway
    private let reload: @Sendable () -> String?
    private var loop: AdminLoop?
    private var thread: UInt64 = 0
    /// The port in use after `start`; 0 for a unix socket.
    public private(set) var port: UInt16 = 0

    /// - Parameter reload: reads the configuration again and puts it in force; says what speaks against it, one thing a line. Called on a thread of
    ///   its own, one call at a time.
    public init(gateway: Gateway, reload: @escaping @Sendable () -> String?) {
        self.gateway = gateway
        self.reload = reload
    }

    /// Opens the listener of `server.admin` and answers from then on.
    public func start() throws(Gateway.StartFailure) {
        let admin = gateway.configuration.server.admin
        if let token = admin.token, token.value.isEmpty {
            throw .plan("server.admin.token is empty: set one, or leave the key out to serve this machine only")
        }
        let fd = try listen(admin)
        let made: AdminLoop
        do { made = try AdminLoop(gateway: gateway, listener: fd, reload: reload) } catch {
            _ = claw_os_close(fd)
            throw error
        }
        let context = Unmanaged.passRetained(made)
        let result = claw_thread_start("admin", { context in
            let loop = Unmanaged<AdminLoop>.fromOpaque(context.unsafelyUnwrapped).takeRetainedValue()
            loop.run()
            return nil
        }, context.toOpaque(), &thread)
        guard result == 0 else {
            context.release()
            throw .plan("admin listener: no thread: \(String(cString: strerror(-result)))")
        }
        loop = made
    }

    private func listen(_ admin: Admin) throws(Gateway.StartFailure) -> Int32 {
        guard var address = ListenerAddress.parse(admin.listenAddress, admin.listenPort) else {
            throw .listen("server.admin.listen_address: \(admin.listenAddress) is not an IP address or unix:/path")
        }
        let fd = claw_listen(&address, 128, 0)
        guard fd >= 0 else {
            let place = admin.listenAddress.contains(":") ? "[\(admin.listenAddress)]:\(admin.listenPort)" : "\(admin.listenAddress):\(admin.listenPort)"
            let reason = fd == -EADDRINUSE ? "port \(admin.listenPort) is taken by another process" : String(cString: strerror(-fd))
            throw .listen("cannot listen on \(place): \(reason) (server.admin.listen_address, server.admin.listen_port)")
        }
        var own = claw_address()
        if claw_local_address(fd, &own) == 0 { port = claw_address_port(&own) }
        return fd
    }

    /// Closes the listener and all its connections; returns when the thread has ended (a reload that runs is waited for).
    public func stop() {
        guard let loop else { return }
        loop.stop()
        _ = claw_thread_join(thread)
        self.loop = nil
    }
}
