// The thread that keeps AWS credentials fresh: it looks once a second which signer is due. Files are read and endpoints asked here, never by a worker. A
// gateway without an upstream that signs has no such thread.
import CClaw
import ClawConfig
import Glibc
import Synchronization

final class CredentialKeeper: @unchecked Sendable {
    private let registry: Registry
    private let events: @Sendable (Logging.Level, String) -> Void
    private let isEnding = Atomic<Bool>(false)
    private let wake: UnsafeMutablePointer<sem_t>
    /// 0: not started.
    private let thread = Mutex<UInt64>(0)

    init(registry: Registry, events: @escaping @Sendable (Logging.Level, String) -> Void) {
        self.registry = registry
        self.events = events
        wake = .allocate(capacity: 1)
        sem_init(wake, 0, 0)
    }

    deinit {
        sem_destroy(wake)
        wake.deallocate()
    }

    /// Begins to look, if there is a signer; called whenever there may be a new one. What is at hand without asking anybody is there when this returns.
    func start() -> String? {
        guard !registry.signers().isEmpty else { return nil }
        look(asksEndpoints: false)
        return thread.withLock { thread in
            guard thread == 0 else {
                sem_post(wake)
                return nil
            }
            let context = Unmanaged.passRetained(self).toOpaque()
            let result = claw_thread_start("credentials", { context in
                Unmanaged<CredentialKeeper>.fromOpaque(context.unsafelyUnwrapped).takeRetainedValue().run()
                return nil
            }, context, &thread)
            return result == 0 ? nil : "credentials: no thread: \(String(cString: strerror(-result)))"
        }
    }

    func stop() {
        isEnding.store(true, ordering: .releasing)
        sem_post(wake)
        let started = thread.withLock { $0 }
        if started != 0 { _ = claw_thread_join(started) }
    }

    private func run() {
        while !isEnding.load(ordering: .acquiring) {
            look(asksEndpoints: true)
            var until = timespec()
            clock_gettime(CLOCK_REALTIME, &until)
            until.tv_sec += 1
            while sem_timedwait(wake, &until) != 0, errno == EINTR {}
        }
    }

    private func look(asksEndpoints: Bool) {
        for (name, signer) in registry.signers() {
            guard let news = signer.refresh(now: claw_monotonic_ns(), wall: Int64(claw_realtime_ns() / 1_000_000_000), asksEndpoints: asksEndpoints) else { continue }
            if asksEndpoints { events(signer.problem == nil ? .info : .error, "upstreams.\(name).aws: \(news)") }
        }
    }
}
