// Endpoints from the keys below a prefix of etcd: the range once, then a watch from the revision behind it, over etcd's JSON gateway. The watch is begun anew
// every five minutes, so that a connection that died without a word is noticed. A server that does not answer gives way to the next of the list.
import ClawConfig
import ClawPolicy

final class EtcdSource: DiscoverySource {
    private static let watchTime: UInt64 = 300_000_000_000

    private let servers: [String]
    private let prefix: String
    private let username: String?
    private let password: Secret?
    private var server = 0
    private var state: EtcdState
    private var token: String?
    private var running: PlaceID?
    private var wait: TimerQueue.ID?
    private var watchedAt: UInt64 = 0

    init(
        _ servers: [String], _ prefix: String, _ username: String?, _ password: Secret?, _ discovery: Discovery, _ watcher: Watcher,
        _ news: @escaping (News) -> Void
    ) {
        self.servers = servers
        self.prefix = prefix
        self.username = username
        self.password = password
        state = EtcdState(prefix: prefix)
        super.init(discovery, watcher, news)
    }

    override func ask() {
        if username != nil, token == nil { authenticate() } else { range() }
    }

    override var secrets: [String] { [password?.value, token].compactMap { $0 } }

    override func cancel() {
        watcher.cancel(running)
        watcher.cancel(wait)
        running = nil
        wait = nil
    }

    private func request(_ target: String, _ body: String) -> FetchRequest {
        let base = servers[server % servers.count]
        var request = FetchRequest((base.hasSuffix("/") ? String(base.dropLast()) : base) + target)
        request.method = "POST"
        request.fields = ["content-type: application/json", "accept: application/json"]
        if let token { request.fields.append("authorization: \(token)") }
        request.body = Array(body.utf8)
        request.bytesMax = DiscoveryDocument.bytesMax
        return request
    }

    private func nextServer(_ why: String) {
        let base = servers[server % servers.count]
        server += 1
        failed("\(base): \(why)")
        token = nil
    }

    private func authenticate() {
        let body = EtcdState.authenticateRequest(username: username ?? "", password: password?.value ?? "")
        running = watcher.collect(request(EtcdState.authenticateTarget, body)) { [unowned self] result in
            running = nil
            guard let answer = answer(result) else { return }
            do throws(DiscoveryProblem) {
                token = try reading(answer.body) { (bytes) throws(DiscoveryProblem) in try EtcdState.token(bytes) }
                range()
            } catch { nextServer(error.message) }
        }
    }

    private func answer(_ result: Result<Fetched, FetchFailure>) -> Fetched? {
        switch result {
        case .success(let answer): return answer
        case .failure(let failure):
            nextServer(failure.description)
            return nil
        }
    }

    private func range() {
        running = watcher.collect(request(EtcdState.rangeTarget, state.rangeRequest)) { [unowned self] result in
            running = nil
            guard let answer = answer(result) else { return }
            do throws(DiscoveryProblem) {
                try reading(answer.body) { (bytes) throws(DiscoveryProblem) in try state.range(bytes) }
                found(state.set)
                watch()
            } catch { nextServer(error.message) }
        }
    }

    private func watch() {
        watchedAt = watcher.now
        var order = request(EtcdState.watchTarget, state.watchRequest)
        order.bytesMax = 0
        order.timeout = Self.watchTime
        let stream = WatchStream()
        running = watcher.fetch(order) { [unowned self] event in
            switch event {
            case .head: break
            case .data(let bytes):
                var isChanged = false
                do throws(DiscoveryProblem) {
                    try stream.feed(bytes) { [unowned self] (line) throws(DiscoveryProblem) in if try state.watch(line) == .changed { isChanged = true } }
                    if isChanged { found(state.set) }
                } catch { watchRefused(error) }
            case .ended(let failure):
                running = nil
                if let failure {
                    // Its time is over, or the server could not be reached in time.
                    let isOver = failure.kind == .timeout && watcher.now &- watchedAt >= Self.watchTime
                    return isOver ? watch() : nextServer(failure.description)
                }
                // An end without a word, an error's text perhaps in an unfinished line: what was missed is in the range.
                do throws(DiscoveryProblem) {
                    try stream.end { [unowned self] (line) throws(DiscoveryProblem) in _ = try state.watch(line) }
                    let isShort = watcher.now &- watchedAt < 1_000_000_000
                    wait = watcher.after(isShort ? 1_000_000_000 : 0) { [unowned self] in range() }
                } catch { watchRefused(error) }
            }
        }
    }

    private func watchRefused(_ problem: DiscoveryProblem) {
        watcher.cancel(running)
        running = nil
        switch problem.kind {
        case .expired where watcher.now &- watchedAt > 1_000_000_000 || failures == 0:
            // Compacted: the range says what is there now.
            wait = watcher.after(100_000_000) { [unowned self] in range() }
        case .unauthorised where token != nil && watcher.now &- watchedAt > 1_000_000_000:
            token = nil
            ask()
        default: nextServer(problem.message)
        }
    }
}

/// A stream's lines, as an object that closures can share.
final class WatchStream {
    private var stream = DiscoveryStream()

    func feed(_ bytes: UnsafeRawBufferPointer, _ event: (UnsafeRawBufferPointer) throws(DiscoveryProblem) -> Void) throws(DiscoveryProblem) {
        try stream.feed(bytes, event)
    }

    /// The body has ended: a line without its end is one too.
    func end(_ event: (UnsafeRawBufferPointer) throws(DiscoveryProblem) -> Void) throws(DiscoveryProblem) {
        let newline: [UInt8] = [0x0A]
        let outcome: Result<Void, DiscoveryProblem> = newline.withUnsafeBytes { raw in
            do throws(DiscoveryProblem) {
                try stream.feed(raw) { (line) throws(DiscoveryProblem) in if !line.isEmpty { try event(line) } }
                return .success(())
            } catch { return .failure(error) }
        }
        try outcome.get()
    }
}

/// Calls a reader of memory with an array's.
func reading<Value>(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(DiscoveryProblem) -> Value) throws(DiscoveryProblem) -> Value {
    let outcome: Result<Value, DiscoveryProblem> = bytes.withUnsafeBytes { raw in
        do throws(DiscoveryProblem) { return .success(try body(raw)) } catch { return .failure(error) }
    }
    return try outcome.get()
}
