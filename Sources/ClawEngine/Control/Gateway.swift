// The gateway: the workers, the log thread, the plans, and the orders from outside (reload, drain). Everything here runs on control threads; what
// it tells the workers goes through `Shared` and a wake-up.
import CClaw
import ClawConfig
import Glibc
import Synchronization

public final class Gateway: @unchecked Sendable {
    public enum StartFailure: Error, CustomStringConvertible {
        case plan(String), listen(String)
        public var description: String {
            switch self {
            case .plan(let text), .listen(let text): text
            }
        }
    }

    let shared = Shared()
    let registry = Registry()
    let instance: UInt64
    let workerCount: Int
    public let startedAt = claw_monotonic_ns()
    private(set) var runners: [WorkerRunner] = []
    private var logWriter: LogWriter?
    private var keeper: CredentialKeeper?

    /// Guards what the control threads change: the plans and the counters of reloads.
    struct Plans {
        var owners: [PlanOwner] = []
        var serial: UInt32 = 0
        var reloads = 0
        var rejected = 0
        var lastError: String?
        var overflowLogged = false
        var certificates = CertificateWatch()
    }
    let plans = Mutex(Plans())
    public let events: @Sendable (Logging.Level, String) -> Void

    /// - Parameter events: takes operator messages (level, text); called from control threads only.
    public init(_ configuration: Configuration, events: @escaping @Sendable (Logging.Level, String) -> Void) throws(StartFailure) {
        self.events = events
        var seed: UInt64 = 0
        withUnsafeMutableBytes(of: &seed) { _ = claw_random($0.baseAddress, $0.count) }
        instance = seed
        workerCount = configuration.server.workers ?? Int(claw_cores())
        let owner: PlanOwner
        do { owner = try PlanOwner(configuration, serial: 1, workers: workerCount, registry: registry) } catch { throw .plan("\(error)") }
        claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
        plans.withLock {
            $0.owners = [owner]
            $0.serial = 1
        }
    }

    public var configuration: Configuration { plans.withLock { $0.owners[$0.owners.count - 1].configuration } }
    /// Where clients connect, once started.
    public private(set) var addresses: [ListenerAddress] = []
    /// The first listener's port; 0 for a unix socket.
    public var port: UInt16 { addresses.first?.port ?? 0 }
    /// Files of unix sockets that are still to be taken away.
    private let socketFiles = Mutex<[SocketFile]>([])

    deinit { removeSocketFiles() }

    /// What speaks against putting a configuration in force that only compiling it shows: certificates, keys, what does not fit.
    public static func problem(with configuration: Configuration) -> String? {
        do throws(PlanFailure) {
            _ = try PlanOwner(configuration, serial: 1, workers: 1, registry: Registry())
            return nil
        } catch { return "\(error)" }
    }

    /// Opens the listeners and starts the workers; returns when all of them accept.
    public func start() throws(StartFailure) {
        let configuration = self.configuration
        _ = claw_descriptors_raise()
        let sockets = try ListenerSockets(configuration.server.places, workers: workerCount)
        addresses = sockets.addresses
        socketFiles.withLock { $0 = sockets.files }
        var options = WorkerOptions()
        options.backend = switch configuration.server.ioBackend {
        case .auto: UInt32(CLAW_BACKEND_EPOLL)
        case .epoll: UInt32(CLAW_BACKEND_EPOLL)
        case .uring: UInt32(CLAW_BACKEND_URING)
        }
        options.connectionsMax = max(16, configuration.server.connectionsMax / workerCount)
        options.bufferCount = max(512, min(65536, options.connectionsMax + 256))
        options.logRingBytes = configuration.logging.ringBytes
        options.seriesMax = configuration.metrics.seriesMax
        let keeper = CredentialKeeper(registry: registry, events: events)
        if let problem = keeper.start() { throw .plan(problem) }
        self.keeper = keeper
        for index in 0..<workerCount {
            options.index = index
            let runner = WorkerRunner(options: options, shared: shared, instance: instance, listeners: sockets.descriptors[index])
            runners.append(runner)
            if let problem = runner.start() { throw .plan(problem) }
        }
        for runner in runners {
            if let problem = runner.waitUntilReady() { throw .plan(problem) }
            if let worker = runner.worker, worker.fallbackErrno != 0 {
                events(.warn, "worker \(worker.index): io_uring is not usable (\(String(cString: strerror(worker.fallbackErrno)))), serving with epoll")
            }
        }
        if case .off = configuration.logging.output {} else {
            let writer = LogWriter(rings: runners.compactMap { $0.worker?.log }, output: configuration.logging.output)
            if let problem = writer.start() { throw .plan(problem) }
            logWriter = writer
        }
    }

    // MARK: reload

    /// Puts a new configuration in force for new requests; those in flight finish on theirs. Returns what speaks against it.
    public func reload(_ configuration: Configuration) -> String? {
        let problem = replacePlan(configuration)
        if let problem {
            plans.withLock {
                $0.rejected += 1
                $0.lastError = problem
            }
            events(.error, "reload refused, the configuration in force stays: \(problem)")
        } else {
            if let problem = keeper?.start() { events(.error, problem) }
            wakeWorkers()
            events(.info, "configuration \(configuration.version.prefix(12)) is in force")
        }
        return problem
    }

    /// A file that could not even be read or checked.
    public func reloadRefused(_ problem: String) {
        plans.withLock {
            $0.rejected += 1
            $0.lastError = problem
        }
        events(.error, "reload refused, the configuration in force stays: \(problem)")
    }

    private func replacePlan(_ configuration: Configuration) -> String? {
        plans.withLock { (plans: inout Plans) -> String? in
            let old = plans.owners[plans.owners.count - 1].configuration
            let fixed = Self.fixedAtStart(old, configuration)
            if !fixed.isEmpty { return "\(fixed.joined(separator: ", ")) can only change with a restart" }
            return compile(configuration, &plans)
        }
    }

    /// Makes a plan and puts it in force; says why not.
    private func compile(_ configuration: Configuration, _ plans: inout Plans) -> String? {
        do throws(PlanFailure) {
            let owner = try PlanOwner(configuration, serial: plans.serial + 1, workers: workerCount, registry: registry)
            plans.serial += 1
            plans.reloads += 1
            plans.lastError = nil
            plans.owners.append(owner)
            claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
            return nil
        } catch { return "\(error)" }
    }

    /// Looks, at most once a second, whether certificates, keys or authorities in force were replaced, and compiles the same configuration anew when
    /// two looks agree on what is there. Connections keep what they began with; a pair that is no good changes nothing.
    public func lookAtCertificates() {
        enum Outcome { case nothing, inForce([String]), refused(String) }
        let now = claw_monotonic_ns()
        let outcome = plans.withLock { (plans: inout Plans) -> Outcome in
            guard plans.certificates.isDue(now) else { return .nothing }
            let owner = plans.owners[plans.owners.count - 1]
            guard let files = plans.certificates.look(CertificateFiles(owner.configuration), inForce: owner.files, now: now) else { return .nothing }
            let changed = files.changes(since: owner.files)
            guard let problem = compile(owner.configuration, &plans) else { return .inForce(changed) }
            plans.certificates.refuse(files)
            plans.rejected += 1
            plans.lastError = problem
            return .refused(problem)
        }
        switch outcome {
        case .nothing: break
        case .inForce(let changed):
            wakeWorkers()
            events(.info, "changed certificates are in force: \(changed.joined(separator: ", "))")
        case .refused(let problem): events(.error, "changed certificates refused, those in force stay: \(problem)")
        }
    }

    /// Settings that sockets, threads and memory were made by.
    private static func fixedAtStart(_ old: Configuration, _ new: Configuration) -> [String] {
        var names: [String] = []
        let (was, wanted) = (old.server.places, new.server.places)
        if let one = was.first, let other = wanted.first, one.name == "main", other.name == "main" {
            if one.address != other.address { names.append("server.listen_address") }
            if one.port != other.port { names.append("server.listen_port") }
        }
        // What a listener speaks and its TLS may change; connections that are there keep what they began with.
        if was.count != wanted.count || zip(was, wanted).contains(where: { $0.name != $1.name || $0.proxyProtocol != $1.proxyProtocol
            || ($0.name != "main" && ($0.address != $1.address || $0.port != $1.port)) }) {
            names.append("server.listeners (name, address, port, proxy_protocol)")
        }
        if old.server.workers != new.server.workers { names.append("server.workers") }
        if old.server.ioBackend != new.server.ioBackend { names.append("server.io_backend") }
        if old.server.connectionsMax != new.server.connectionsMax { names.append("server.max_connections") }
        if old.server.admin.listenAddress != new.server.admin.listenAddress { names.append("server.admin.listen_address") }
        if old.server.admin.listenPort != new.server.admin.listenPort { names.append("server.admin.listen_port") }
        if old.logging.ringBytes != new.logging.ringBytes { names.append("logging.buffer_kb") }
        if "\(old.logging.output)" != "\(new.logging.output)" { names.append("logging.output") }
        return names
    }

    /// Frees plans that no request runs on any more. A plan is kept one round longer than needed, so that a worker that has just read the old
    /// address has counted its request by then.
    public func collectPlans() {
        plans.withLock { plans in
            guard plans.owners.count > 1 else { return }
            guard runners.allSatisfy({ $0.sawPlan(plans.owners[plans.owners.count - 1].ref) }) else { return }
            let newest = plans.owners.removeLast()
            plans.owners.removeAll { $0.isIdle }
            plans.owners.append(newest)
        }
    }

    private func wakeWorkers() {
        for runner in runners { runner.wake() }
    }

    // MARK: ending

    /// Stops accepting and lets what runs finish, at most until the deadline. `now`: ends at once.
    public func drain(now: Bool) {
        let nanoseconds = configuration.server.drainNanoseconds
        if claw_word_load(shared.phase) == 0 { claw_word_store(shared.drainDeadline, claw_monotonic_ns() &+ nanoseconds) }
        removeSocketFiles()
        claw_word_store(shared.phase, now ? 2 : 1)
        wakeWorkers()
    }

    /// Once, and before the workers close their sockets: whoever comes next may put a file of its own there, even with the same inode number.
    private func removeSocketFiles() {
        let files = socketFiles.withLock { files in
            defer { files = [] }
            return files
        }
        for file in files { file.remove() }
    }

    public var isDraining: Bool { claw_word_load(shared.phase) != 0 }

    /// True when all workers have ended.
    public var hasEnded: Bool { runners.allSatisfy { $0.hasEnded } }

    /// Blocks until all workers have ended and the log is written.
    public func join() {
        for runner in runners { runner.join() }
        keeper?.stop()
        logWriter?.stop()
    }

    var logWriteFailures: Int { logWriter?.failures.load(ordering: .relaxed) ?? 0 }
}

/// One worker's thread. The worker is made on its own thread, as io_uring wants it.
final class WorkerRunner: @unchecked Sendable {
    private let options: WorkerOptions
    private let shared: Shared
    private let instance: UInt64
    private let listeners: [Int32]
    private var thread: UInt64 = 0
    private(set) var worker: Worker?
    private var problem: String?
    private let ready: UnsafeMutablePointer<sem_t>
    private let ended = Atomic<Bool>(false)

    init(options: WorkerOptions, shared: Shared, instance: UInt64, listeners: [Int32]) {
        self.options = options
        self.shared = shared
        self.instance = instance
        self.listeners = listeners
        ready = .allocate(capacity: 1)
        sem_init(ready, 0, 0)
    }

    func start() -> String? {
        let context = Unmanaged.passRetained(self).toOpaque()
        let result = claw_thread_start("worker-\(options.index)", { context in
            let runner = Unmanaged<WorkerRunner>.fromOpaque(context.unsafelyUnwrapped).takeRetainedValue()
            runner.run()
            return nil
        }, context, &thread)
        return result == 0 ? nil : "worker \(options.index): no thread: \(String(cString: strerror(-result)))"
    }

    private func run() {
        do {
            let made = try Worker(options: options, shared: shared, instance: instance)
            for (index, fd) in listeners.enumerated() {
                let result = made.listen(fd, at: index)
                if result < 0 { problem = "worker \(options.index): cannot accept: \(String(cString: strerror(-result)))" }
            }
            worker = made
        } catch { problem = "\(error)" }
        sem_post(ready)
        if problem == nil { worker?.run() }
        ended.store(true, ordering: .releasing)
    }

    /// Waits until the worker accepts; what went wrong otherwise.
    func waitUntilReady() -> String? {
        while sem_wait(ready) != 0 {}
        return problem
    }

    func wake() { if let worker { claw_loop_wake(worker.loop) } }
    var hasEnded: Bool { ended.load(ordering: .acquiring) }
    func join() {
        _ = claw_thread_join(thread)
    }

    /// Has the worker taken over this plan (or does it need no plan any more)?
    func sawPlan(_ plan: PlanRef) -> Bool { hasEnded || worker.map { UInt64(UInt(bitPattern: plan)) == claw_word_load($0.planSeen) } ?? true }
}

extension Gateway {
    /// The event loop's backend in use: "epoll" or "io_uring".
    public var backendName: String {
        runners.first?.worker.map { claw_loop_backend($0.loop) == UInt32(CLAW_BACKEND_URING) ? "io_uring" : "epoll" } ?? "none"
    }
    public var workerTotal: Int { workerCount }
}
