// One upstream's source of endpoints at work on the watcher's thread. What a kind of source is, its subclass says: how it asks and what it understands. What
// all have in common is here: a source that cannot answer is asked again after a pause that doubles up to `pauseMax`, with jitter; what it said last stays
// in force meanwhile. An answer that names no endpoint at all, after one that did, is believed only when the same is said once more
// `emptyPause` later: a registry that restarts, a selector that is edited, all instances unready for a moment are more frequent than a service that was
// taken away, and a set that turned out too long costs failed connections, which passive health deals with, where an empty one costs every request.
import CClaw
import ClawConfig
import ClawPolicy
import Glibc

class DiscoverySource {
    static let pauseMin: UInt64 = 500_000_000
    static let pauseMax: UInt64 = 30_000_000_000
    static let emptyPause: UInt64 = 3_000_000_000

    enum News {
        /// An answer; nil: it changed nothing that is known.
        case answer(EndpointSet?)
        case failure(String)
        /// Nothing is named any more, which is to be confirmed.
        case doubtful
    }

    let discovery: Discovery
    unowned let watcher: Watcher
    private let news: (News) -> Void
    private(set) var failures = 0
    private var last: EndpointSet?
    private var emptySince: UInt64?
    private var pause: TimerQueue.ID?
    private var isEnded = false

    init(_ discovery: Discovery, _ watcher: Watcher, _ news: @escaping (News) -> Void) {
        self.discovery = discovery
        self.watcher = watcher
        self.news = news
    }

    // MARK: what a kind of source says

    /// Asks from the beginning. May be called while something is under way, which is then ended first.
    func ask() {}

    /// Ends what is under way.
    func cancel() {}

    /// What it shows to the source and nobody else may see: a server's error may repeat what it was asked with.
    var secrets: [String] { [] }

    // MARK: what all do

    final func end() {
        isEnded = true
        watcher.cancel(pause)
        cancel()
    }

    /// The source answered with this set.
    final func found(_ set: EndpointSet) {
        failures = 0
        if set.isEmpty, let last, !last.isEmpty {
            let since = emptySince ?? watcher.now
            if emptySince == nil || watcher.now &- since < Self.emptyPause {
                if emptySince == nil { news(.doubtful) }
                emptySince = since
                let left = Self.emptyPause - min(Self.emptyPause, watcher.now &- since)
                again(after: left)
                return
            }
        }
        if emptySince != nil { watcher.cancel(pause) }
        emptySince = nil
        let isNew = set != last
        last = set
        news(.answer(isNew ? set : nil))
    }

    /// A text without the secrets that may stand in it.
    final func hidden(_ text: String) -> String { secrets.filter { $0.utf8.count > 3 }.reduce(text) { $0.replacing($1, with: "***") } }

    /// The source answered that nothing has changed.
    final func unchanged() {
        failures = 0
        news(.answer(nil))
    }

    /// The source could not answer: it is asked from the beginning after a pause.
    final func failed(_ why: String) {
        failures = min(failures + 1, 1 << 20)
        news(.failure(hidden(why)))
        let whole = min(Self.pauseMax, Self.pauseMin << UInt64(min(failures - 1, 16)))
        again(after: whole / 2 + watcher.random() % (whole / 2))
    }

    /// The same, for a source that goes on by its own clock.
    final func failedButGoesOn(_ why: String) {
        failures = min(failures + 1, 1 << 20)
        news(.failure(why))
    }

    /// Asks from the beginning after so long, whatever is under way by then.
    final func again(after nanoseconds: UInt64) {
        watcher.cancel(pause)
        pause = watcher.after(nanoseconds) { [unowned self] in
            pause = nil
            guard !isEnded else { return }
            cancel()
            ask()
        }
    }

    static func make(_ discovery: Discovery, _ watcher: Watcher, _ news: @escaping (News) -> Void) -> DiscoverySource {
        switch discovery.source {
        case .file(let path): FileSource(path, discovery, watcher, news)
        case .dns(let name, let record, let port, let server): DNSSource(name, record, port, server, discovery, watcher, news)
        case .etcd(let endpoints, let prefix, let username, let password): EtcdSource(endpoints, prefix, username, password, discovery, watcher, news)
        case .consul(let address, let service, let tag, let datacenter, let token):
            ConsulSource(address, service, tag, datacenter, token, discovery, watcher, news)
        case .kubernetes(let api, let namespace, let service, let port, let tokenFile, let ca):
            KubernetesSource(api, namespace, service, port, tokenFile, ca, discovery, watcher, news)
        }
    }
}

extension Discovery {
    /// Whether it is asked over HTTP, which needs libcurl.
    var needsTransfers: Bool {
        switch source {
        case .dns, .file: false
        case .kubernetes, .consul, .etcd: true
        }
    }

    var kind: String {
        switch source {
        case .dns: "dns"
        case .file: "file"
        case .kubernetes: "kubernetes"
        case .consul: "consul"
        case .etcd: "etcd"
        }
    }

    /// All of it, secrets too: two that are equal are the same source. Never shown.
    var identity: String {
        let what = switch source {
        case .dns(let name, let record, let port, let server): "dns \(name) \(record) \(port) \(server ?? "")"
        case .file(let path): "file \(path)"
        case .kubernetes(let api, let namespace, let service, let port, let tokenFile, let ca):
            "kubernetes \(api) \(namespace) \(service) \(port ?? "") \(tokenFile ?? "") \(ca ?? "")"
        case .consul(let address, let service, let tag, let datacenter, let token):
            "consul \(address) \(service) \(tag ?? "") \(datacenter ?? "") \(token?.value ?? "")"
        case .etcd(let endpoints, let prefix, let username, let password): "etcd \(endpoints) \(prefix) \(username ?? "") \(password?.value ?? "")"
        }
        return "\(what) \(interval)"
    }

    /// A found endpoint with what the configuration puts around it.
    func endpoint(_ found: FoundEndpoint) -> Endpoint {
        var endpoint = Endpoint(isTLS: found.isTLS ?? isTLS, host: found.host, port: found.port, basePath: found.path ?? basePath, weight: Int(found.weight))
        endpoint.name = found.name
        return endpoint
    }
}
