// Endpoints from the EndpointSlices of a Kubernetes service: a list, page by page, then a watch from its resourceVersion. What the server has forgotten
// (410) is listed again. The token is read from its file for each request, because the kubelet renews it.
import ClawConfig
import ClawPolicy

final class KubernetesSource: DiscoverySource {
    private static let watchSeconds = 300
    private static let refusalBytesMax = 64 << 10

    private let api: String
    private let namespace: String
    private let tokenFile: String?
    private let policy: FetchPolicy
    private let service: String
    private let port: String?
    private var state: KubernetesState
    private var running: PlaceID?
    private var wait: TimerQueue.ID?
    private var watchedAt: UInt64 = 0
    /// As it was read last.
    private var token = ""
    /// Of the list under way.
    private var pages = 0
    /// A server of ours cuts lists of `KubernetesState.slicesMax` slices into far fewer.
    private static let pagesMax = 1024

    init(
        _ api: String, _ namespace: String, _ service: String, _ port: String?, _ tokenFile: String?, _ ca: String?, _ discovery: Discovery,
        _ watcher: Watcher, _ news: @escaping (News) -> Void
    ) {
        self.api = api.hasSuffix("/") ? String(api.dropLast()) : api
        self.namespace = namespace
        self.tokenFile = tokenFile
        self.service = service
        self.port = port
        policy = FetchPolicy(caFile: ca)
        state = KubernetesState(service: service, port: port)
        super.init(discovery, watcher, news)
    }

    override func ask() {
        // Without the pages of a list that was broken off: a slice of it that has gone since would never be named again.
        state = KubernetesState(service: service, port: port)
        pages = 0
        list(after: nil)
    }

    override var secrets: [String] { token.isEmpty ? [] : [token] }

    override func cancel() {
        watcher.cancel(running)
        watcher.cancel(wait)
        running = nil
        wait = nil
    }

    private func request(_ target: String) -> FetchRequest? {
        var request = FetchRequest(api + target)
        request.fields = ["accept: application/json"]
        request.policy = policy
        request.bytesMax = DiscoveryDocument.bytesMax
        request.timeout = 30_000_000_000
        guard let tokenFile else { return request }
        switch FileSource.bytes(of: tokenFile) {
        case .failure(let error):
            failed("\(tokenFile): \(error.description)")
            return nil
        case .success(let bytes):
            token = String(decoding: bytes.prefix(65536), as: UTF8.self).filter { !$0.isWhitespace }
            guard !token.isEmpty, token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                failed("\(tokenFile): no token in it")
                return nil
            }
            request.fields.append("authorization: Bearer \(token)")
            return request
        }
    }

    private func list(after page: String?) {
        guard let request = request(state.listTarget(namespace: namespace, after: page)) else { return }
        running = watcher.collect(request) { [unowned self] result in
            running = nil
            switch result {
            case .failure(let failure): failed("\(api): \(failure.description)")
            case .success(let answer):
                do throws(DiscoveryProblem) {
                    switch try reading(answer.body, { (bytes) throws(DiscoveryProblem) in try state.list(bytes) }) {
                    case .more(let next):
                        pages += 1
                        if pages < Self.pagesMax { list(after: next) } else { failed("\(api): a list of more than \(Self.pagesMax) pages") }
                    case .whole where answer.status == 200:
                        pages = 0
                        found(state.set)
                        watch()
                    case .whole: failed("\(api): status \(answer.status)")
                    }
                } catch { failed("\(api): \(answer.status == 200 ? "" : "status \(answer.status), ")\(error.message)") }
            }
        }
    }

    private func watch() {
        guard var request = request(state.watchTarget(namespace: namespace, timeoutSeconds: Self.watchSeconds)) else { return }
        watchedAt = watcher.now
        request.bytesMax = 0
        request.timeout = UInt64(Self.watchSeconds + 30) * 1_000_000_000
        let stream = WatchStream()
        var status = 200
        var refusal: [UInt8] = []
        running = watcher.fetch(request) { [unowned self] event in
            switch event {
            case .head(let told, _): status = told
            case .data(let bytes):
                guard status == 200 else {
                    if refusal.count < Self.refusalBytesMax { refusal.append(contentsOf: bytes) }
                    return
                }
                take { [unowned self] (isChanged) throws(DiscoveryProblem) in
                    try stream.feed(bytes) { [unowned self] (line) throws(DiscoveryProblem) in if try state.event(line) == .changed { isChanged = true } }
                }
            case .ended(let failure):
                running = nil
                // A watch that the server does not end by its time is begun anew too.
                if let failure, failure.kind != .timeout || watcher.now &- watchedAt < UInt64(Self.watchSeconds) * 1_000_000_000 {
                    return failed("\(api): \(failure.description)")
                }
                guard status == 200 else {
                    // Its body is a Status, which the list's reader knows too.
                    do throws(DiscoveryProblem) {
                        _ = try reading(refusal) { (bytes) throws(DiscoveryProblem) in try state.list(bytes) }
                        return failed("\(api): watch: status \(status)")
                    } catch { return refused(DiscoveryProblem(status == 410 ? .expired : error.kind, error.message)) }
                }
                // The server ends a watch by its time; one that ends at once is not asked in a circle.
                let isShort = watcher.now &- watchedAt < 1_000_000_000
                wait = watcher.after(isShort ? 1_000_000_000 : 0) { [unowned self] in watch() }
            }
        }
    }

    private func take(_ feed: (inout Bool) throws(DiscoveryProblem) -> Void) {
        var isChanged = false
        do throws(DiscoveryProblem) {
            try feed(&isChanged)
            if isChanged { found(state.set) }
        } catch { refused(error) }
    }

    private func refused(_ problem: DiscoveryProblem) {
        watcher.cancel(running)
        running = nil
        // Forgotten by the server: listed again, at once the first time.
        if problem.kind == .expired, watcher.now &- watchedAt > 1_000_000_000 || failures == 0 {
            wait = watcher.after(100_000_000) { [unowned self] in list(after: nil) }
        } else {
            failed("\(api): \(problem.message)")
        }
    }
}
