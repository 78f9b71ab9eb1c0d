// The watcher is the control thread for everything that is fetched off the request path: discovery's sources and health's probes. It has a loop of its own,
// libcurl's transfers on it (Watcher+Fetch), plain descriptors (Watcher+Sockets) and timers. What runs here are small state machines that
// start something and are told what came of it; they live on this thread alone, so none of them locks. Others talk to it through the mailbox. A gateway
// without probes and discovery has no such thread.
import CClaw
import ClawConfig
import Glibc
import Synchronization

final class Watcher: @unchecked Sendable {
    let loop: OpaquePointer
    /// The tick's beginning, monotonic.
    private(set) var now = claw_monotonic_ns()
    var transfers: OpaquePointer?
    var fetches = Places<Fetch>()
    var sockets = Places<WatchedSocket>()
    var lookUps = Places<([claw_address]) -> Void>()
    /// TLS and time-outs of transfers, by what they say. Those that nobody uses go when there are more than `policiesMax`.
    var policies: [FetchPolicy: KeptPolicy] = [:]
    struct KeptPolicy {
        var pointer: OpaquePointer
        var fetches = 0
    }
    static let policiesMax = 256
    /// Events of transfers that are taken in one turn of the loop.
    static let eventsMax = 256
    /// There are some left of the last turn.
    var hasMoreEvents = false
    private var timers = TimerQueue()
    private var generator = SystemRandomNumberGenerator()

    /// Orders for this thread, first in, first out. Bounded by who writes: control threads, a few for each reload.
    private let mailbox = Mutex<[@Sendable (Watcher) -> Void]>([])
    private let isEnding = Atomic<Bool>(false)
    private var thread: UInt64 = 0

    init() throws(PlanFailure) {
        var options = claw_loop_options(backend: UInt32(CLAW_BACKEND_EPOLL), buffer_bytes: 16384, buffer_count: 512, reserved: 0)
        var made: OpaquePointer?
        let result = claw_loop_create(&options, &made, nil)
        guard result >= 0, let made else { throw PlanFailure(description: "watcher: no event loop: \(String(cString: strerror(-result)))") }
        loop = made
    }

    deinit {
        if let transfers { claw_transfers_destroy(transfers) }
        for policy in policies.values { claw_transfer_policy_destroy(policy.pointer) }
        claw_loop_destroy(loop)
    }

    /// Opens libcurl, which transfers need: what is wrong with it, or nil.
    func openTransfers() -> String? {
        guard transfers == nil else { return nil }
        let result = claw_transfers_create(loop, SlotToken(.transfers, generation: 0, index: 0).value, 0, &transfers)
        return result >= 0 && transfers != nil ? nil : Self.words(result)
    }

    /// Any thread: whether transfers could be made in this process.
    static func libraryProblem() -> String? {
        var options = claw_loop_options(backend: UInt32(CLAW_BACKEND_EPOLL), buffer_bytes: 16384, buffer_count: 1, reserved: 0)
        var loop: OpaquePointer?
        guard claw_loop_create(&options, &loop, nil) >= 0, let loop else { return nil }
        defer { claw_loop_destroy(loop) }
        var made: OpaquePointer?
        let result = claw_transfers_create(loop, 1, 0, &made)
        if let made { claw_transfers_destroy(made) }
        return result >= 0 ? nil : words(result)
    }

    private static func words(_ result: Int32) -> String {
        let words = claw_transfers_library().map { String(cString: $0) } ?? String(cString: strerror(-result))
        return "\(words); install libcurl 7.87 or later (Debian: libcurl4, Alpine: libcurl)"
    }

    func start() -> String? {
        let context = Unmanaged.passRetained(self).toOpaque()
        let result = claw_thread_start("watcher", { context in
            Unmanaged<Watcher>.fromOpaque(context.unsafelyUnwrapped).takeRetainedValue().run()
            return nil
        }, context, &thread)
        return result == 0 ? nil : "watcher: no thread: \(String(cString: strerror(-result)))"
    }

    /// Ends the thread; nobody is told anything any more.
    func stop() {
        guard thread != 0 else { return }
        isEnding.store(true, ordering: .releasing)
        claw_loop_wake(loop)
        _ = claw_thread_join(thread)
        thread = 0
    }

    /// Any thread: does this on the watcher's thread, soon.
    func tell(_ order: @escaping @Sendable (Watcher) -> Void) {
        mailbox.withLock { $0.append(order) }
        claw_loop_wake(loop)
    }

    private func run() {
        let events = UnsafeMutablePointer<claw_event>.allocate(capacity: 64)
        defer { events.deallocate() }
        while !isEnding.load(ordering: .acquiring) {
            let count = claw_loop_wait(loop, events, 64, wait())
            now = claw_loop_now(loop)
            for at in 0..<max(0, Int(count)) { take(events[at]) }
            let orders = mailbox.withLock { mailbox in
                defer { mailbox = [] }
                return mailbox
            }
            for order in orders { order(self) }
            while let action = timers.next(now) { action() }
            pumpTransfers()
        }
        endFetches()
        closeSockets()
        timers = TimerQueue()
    }

    private func wait() -> Int64 {
        if hasMoreEvents { return 0 }
        var wait = timers.wait(now)
        if let transfers {
            let deadline = claw_transfers_deadline(transfers, now)
            if deadline >= 0, wait < 0 || deadline < wait { wait = deadline }
        }
        return wait
    }

    private func take(_ event: claw_event) {
        let token = SlotToken(value: event.token)
        switch SlotToken.Kind(rawValue: token.kind) {
        case .transfers: if let transfers { _ = claw_transfers_ready(transfers, event.fd, event.result) }
        case .link: sockets[PlaceID(value: event.token)]?.onReady(event.result)
        case .resolver: resolved(event)
        default: break
        }
    }

    // MARK: time and chance

    @discardableResult
    func after(_ nanoseconds: UInt64, _ action: @escaping () -> Void) -> TimerQueue.ID { timers.add(now &+ nanoseconds, action) }

    func cancel(_ timer: TimerQueue.ID?) {
        if let timer { timers.cancel(timer) }
    }

    func random() -> UInt64 { generator.next() }

    /// `nanoseconds` ± a tenth, so that what began together does not go on together.
    func jittered(_ nanoseconds: UInt64) -> UInt64 {
        let tenth = nanoseconds / 10
        return tenth == 0 ? nanoseconds : nanoseconds - tenth + random() % (2 * tenth)
    }

    // MARK: names

    /// Looks a name up on the loop's resolver thread; no addresses: it could not be.
    func lookUp(_ host: String, _ port: UInt16, _ done: @escaping ([claw_address]) -> Void) {
        let id = lookUps.add(done, kind: .resolver)
        if claw_resolve(loop, host, port, id.value) < 0 {
            lookUps.remove(id)
            after(0) { done([]) }
        }
    }

    private func resolved(_ event: claw_event) {
        var found = [claw_address](repeating: claw_address(), count: EndpointState.addressesMax)
        let count = event.result > 0 ? claw_resolved(loop, event.token, &found, Int32(found.count)) : 0
        lookUps.remove(PlaceID(value: event.token))?(Array(found.prefix(max(0, Int(count)))))
    }
}
