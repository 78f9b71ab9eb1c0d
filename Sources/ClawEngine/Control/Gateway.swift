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
    /// What happened, for operators and whoever subscribes.
    public let bus: EventBus
    /// Endpoints by discovery; `watcher` is nil while nothing needs it.
    let discovery: DiscoveryKeeper
    let health: HealthKeeper
    private let watcher = Mutex<Watcher?>(nil)
    /// Until the workers run, what discovery finds is only noted.
    private let isRunning = Mutex((running: false, missed: false))

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
        bus = EventBus(operatorLog: events)
        discovery = DiscoveryKeeper(bus: bus)
        health = HealthKeeper(shared: shared, bus: bus)
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
        discovery.compile = { [unowned self] in
            let isRunning = isRunning.withLock { state in
                state.missed = !state.running
                return state.running
            }
            return isRunning ? putFoundInForce() : nil
        }
    }

    public var configuration: Configuration { plans.withLock { $0.owners[$0.owners.count - 1].configuration } }
    /// Where clients connect, once started.
    public private(set) var addresses: [ListenerAddress] = []
    /// The first listener's port; 0 for a unix socket.
    public var port: UInt16 { addresses.first?.port ?? 0 }
    /// Files of unix sockets that are still to be taken away.
    private let socketFiles = Mutex<[SocketFile]>([])

    deinit {
        watcher.withLock { $0 }?.stop()
        removeSocketFiles()
    }

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
        shareRegistry()
        try startWatcher(configuration)
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
        let hasMissed = isRunning.withLock { state in
            state.running = true
            return state.missed
        }
        if hasMissed, let problem = putFoundInForce() { events(.error, problem) }
        if case .off = configuration.logging.output {} else {
            let writer = LogWriter(rings: runners.compactMap { $0.worker?.log }, output: configuration.logging.output)
            if let problem = writer.start() { throw .plan(problem) }
            logWriter = writer
        }
    }

    // MARK: reload

    /// Puts a new configuration in force for new requests; those in flight finish on theirs. Returns what speaks against it.
    public func reload(_ configuration: Configuration) -> String? {
        let problem = watchProblem(configuration) ?? refusal(of: configuration) ?? {
            // New upstreams have their endpoints when the first request comes.
            watch(configuration, isComing: true)
            return replacePlan(configuration)
        }()
        if let problem {
            watch(self.configuration)
            plans.withLock {
                $0.rejected += 1
                $0.lastError = problem
            }
            tellRefused(problem)
        } else {
            if let problem = keeper?.start() { events(.error, problem) }
            wakeWorkers()
            watch(configuration)
            bus.publish(
                "config_reloaded", .info, "configuration \(configuration.version.prefix(12)) is in force",
                [("config_version", JSONLine.quoted(configuration.version)), ("git_commit", configuration.gitCommit.map(JSONLine.quoted) ?? "null")], telling: .always)
        }
        return problem
    }

    private func tellRefused(_ problem: String) {
        bus.publish("config_refused", .error, "reload refused, the configuration in force stays: \(problem)", [("error", JSONLine.quoted(problem))], telling: .always)
    }

    /// A file that could not even be read or checked.
    public func reloadRefused(_ problem: String) {
        plans.withLock {
            $0.rejected += 1
            $0.lastError = problem
        }
        tellRefused(problem)
    }

    private func refusal(of configuration: Configuration) -> String? {
        let fixed = Self.fixedAtStart(self.configuration, configuration)
        return fixed.isEmpty ? nil : "\(fixed.joined(separator: ", ")) can only change with a restart"
    }

    private func replacePlan(_ configuration: Configuration) -> String? {
        plans.withLock { (plans: inout Plans) -> String? in compile(configuration, &plans) }
    }

    /// Makes a plan and puts it in force; says why not.
    /// - Parameter isReload: whether it counts as one.
    private func compile(_ configuration: Configuration, _ plans: inout Plans, isReload: Bool = true) -> String? {
        do throws(PlanFailure) {
            let owner = try PlanOwner(configuration, found: discovery.found, serial: plans.serial + 1, workers: workerCount, registry: registry)
            plans.serial += 1
            if isReload {
                plans.reloads += 1
                plans.lastError = nil
            }
            plans.owners.append(owner)
            claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
            return nil
        } catch { return "\(error)" }
    }

    // MARK: events

    /// Takes what the workers' rings hold into the bus. Called every second and whenever somebody looks.
    public func drainEvents() { bus.drain(eventRings) }

    private var eventRings: [LogRing] { workers.map(\.events) }

    /// Events that workers had no room to tell.
    var eventsDropped: UInt64 { eventRings.reduce(0) { $0 &+ claw_word_load_relaxed($1.dropped) } }

    // MARK: what is watched

    private func shareRegistry() {
        registry.isUnused = { [unowned self] place in workers.allSatisfy { claw_word_load_relaxed($0.linksOpen + place) == 0 } }
        registry.clean = { [unowned self] place in
            claw_word_store_relaxed(shared.unavailableUntil + place, 0)
            shared.outlook.cleanEndpoint(place)
        }
    }

    /// Whether a configuration needs the watcher at all, and what it lacks then.
    private func watchProblem(_ configuration: Configuration) -> String? {
        if case .failure(let failure)? = madeWatcher(configuration) { return failure.description }
        let asking = configuration.upstreams.first { $0.discovery?.needsTransfers ?? false }
        let probing = configuration.upstreams.first { $0.probe.map { $0.kind != .tcp } ?? false }
        guard let name = asking.map({ "\($0.name).endpoints.discovery" }) ?? probing.map({ "\($0.name).health.active" }) else { return nil }
        return Watcher.libraryProblem().map { "upstreams.\(name): \($0)" }
    }

    /// The watcher, made and started when the first configuration needs it; nil: this one does not.
    private func madeWatcher(_ configuration: Configuration) -> Result<Watcher, PlanFailure>? {
        guard configuration.upstreams.contains(where: { $0.discovery != nil || $0.probe != nil }) else { return nil }
        return watcher.withLock { watcher in
            if let watcher { return .success(watcher) }
            do throws(PlanFailure) {
                let made = try Watcher()
                if let problem = made.start() { return .failure(PlanFailure(description: problem)) }
                watcher = made
                return .success(made)
            } catch { return .failure(error) }
        }
    }

    /// At the start: discovery's first answers are waited for, for a while, so that the first request finds endpoints.
    private func startWatcher(_ configuration: Configuration) throws(StartFailure) {
        if let problem = watchProblem(configuration) { throw .plan(problem) }
        guard configuration.upstreams.contains(where: { $0.discovery != nil }) else { return watch(configuration) }
        watch(configuration, isComing: true)
        if let problem = putFoundInForce() { throw .plan(problem) }
    }

    /// Tells the watcher what is in force now, or (`isComing`) what will be if nothing speaks against it: then sources of new upstreams begin, and their first
    /// answers are waited for, for a while.
    private func watch(_ configuration: Configuration, isComing: Bool = false) {
        let new = configuration.upstreams.filter { $0.discovery != nil && discovery.state($0.name) == nil }.map(\.name)
        discovery.expect(configuration, keepsOthers: isComing)
        watcher.withLock { $0 }?.tell { [discovery] in discovery.apply(configuration, keepsOthers: isComing, $0) }
        guard isComing else { return probe() }
        for name in discovery.waitForFirst(new) {
            events(.warn, "upstreams.\(name): discovery has not answered yet\(discovery.state(name)?.error.map { ": \($0)" } ?? ""); serving without it")
        }
    }

    /// Tells the watcher which endpoints are in force now.
    private func probe() {
        guard let watcher = watcher.withLock({ $0 }) else { return }
        let targets = plans.withLock { $0.owners[$0.owners.count - 1].probeTargets() }
        watcher.tell { [health] in health.apply(targets, $0) }
    }

    /// Compiles the configuration in force with what discovery knows now; what speaks against it, or nil.
    private func putFoundInForce() -> String? {
        let problem = plans.withLock { (plans: inout Plans) -> String? in
            compile(plans.owners[plans.owners.count - 1].configuration, &plans, isReload: false)
        }
        if problem == nil {
            wakeWorkers()
            probe()
        }
        collectPlans()
        return problem
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
            bus.publish("certificates_changed", .info, "changed certificates are in force: \(changed.joined(separator: ", "))", [("files", "[\(changed.map(JSONLine.quoted).joined(separator: ","))]")], telling: .always)
        case .refused(let problem):
            bus.publish("certificates_refused", .error, "changed certificates refused, those in force stay: \(problem)", [("error", JSONLine.quoted(problem))], telling: .always)
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
        watcher.withLock { $0 }?.stop()
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
