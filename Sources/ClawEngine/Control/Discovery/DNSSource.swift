// Endpoints from a name: its addresses with the port that the configuration says, or the services of its SRV records. Asked again when the answer's time to live
// is over, within a second and the configured interval. Without a server of its own it asks those of /etc/resolv.conf, with its search list, and /etc/hosts
// before them, as other programs do; both files are read anew each time.
import ClawConfig
import ClawPolicy
import ClawWire

final class DNSSource: DiscoverySource {
    private static let second: UInt64 = 1_000_000_000
    /// Targets of SRV records that are asked for when the answer did not bring their addresses.
    private static let targetsMax = 64

    private let name: String
    private let record: Discovery.Record
    private let port: UInt16
    private let server: String?
    private var servers: NameServers?
    private var timer: TimerQueue.ID?
    /// Seconds that the answers so far are good for.
    private var ttl: UInt32?

    init(
        _ name: String, _ record: Discovery.Record, _ port: UInt16, _ server: String?, _ discovery: Discovery, _ watcher: Watcher,
        _ news: @escaping (News) -> Void
    ) {
        self.name = name
        self.record = record
        self.port = port
        self.server = server
        super.init(discovery, watcher, news)
    }

    override func cancel() {
        servers?.cancel()
        servers = nil
        watcher.cancel(timer)
        timer = nil
    }

    override func ask() {
        let system = server == nil ? Self.read("/etc/resolv.conf") { DNSResolverFile($0) } ?? DNSResolverFile() : DNSResolverFile()
        servers = NameServers(watcher, server: server, system: system)
        ttl = nil
        if server == nil, record != .srv, let literal = hosts(), !literal.isEmpty { return finish(EndpointSet(addresses: literal, of: name, port: port)) }
        tryNames(server == nil ? system.names(for: name) : [name])
    }

    private func hosts() -> [DNSAddress]? {
        Self.read("/etc/hosts") { DNSHostsFile.addresses(of: name, in: $0) }?.filter { record == .any || ($0.isV6 == (record == .aaaa)) }
    }

    private static func read<Value>(_ path: String, _ body: (UnsafeRawBufferPointer) -> Value) -> Value? {
        guard case .success(let bytes) = FileSource.bytes(of: path) else { return nil }
        return bytes.withUnsafeBytes { body($0) }
    }

    /// The names of the search list, one after the other until one has something.
    private func tryNames(_ names: [String]) {
        guard let first = names.first else { return finish(EndpointSet()) }
        let next: (EndpointSet) -> Void = { [unowned self] set in
            if set.isEmpty, names.count > 1 { tryNames(Array(names.dropFirst())) } else { finish(set) }
        }
        if record == .srv { services(of: first, next) } else {
            addresses(of: first, record == .any ? [.a, .aaaa] : [record == .a ? .a : .aaaa]) { [unowned self] result in
                switch result {
                case .success(let found): next(EndpointSet(addresses: found, of: name, port: port))
                case .failure(let failure): failed(failure.description)
                }
            }
        }
    }

    private func good(for seconds: UInt32?) {
        if let seconds { ttl = min(ttl ?? seconds, seconds) }
    }

    /// Addresses of all types together. One type's failure does not hide what the other found.
    private func addresses(of name: String, _ types: [DNSQuestion.RecordType], _ done: @escaping (Result<[DNSAddress], NameServers.NameFailure>) -> Void) {
        var found: Set<DNSAddress> = []
        var failure: NameServers.NameFailure?
        var open = types.count
        for type in types {
            guard let question = DNSQuestion(name, type) else { return done(.failure(.init(description: "\(name) is no name of a host"))) }
            servers?.ask(question) { [unowned self] result in
                switch result {
                case .success(let answer):
                    found.formUnion(answer.addresses)
                    // That there are no addresses of one family is no reason to ask again sooner.
                    if !answer.addresses.isEmpty || types.count == 1 { good(for: answer.ttl) }
                case .failure(let why): failure = why
                }
                open -= 1
                guard open == 0 else { return }
                if found.isEmpty, let failure { done(.failure(failure)) } else { done(.success(found.sorted())) }
            }
        }
    }

    private func services(of name: String, _ done: @escaping (EndpointSet) -> Void) {
        guard let question = DNSQuestion(name, .srv) else { return failed("\(name) is no name of a service") }
        servers?.ask(question) { [unowned self] result in
            switch result {
            case .failure(let why): failed(why.description)
            case .success(let answer):
                good(for: answer.ttl)
                let lowest = answer.services.map(\.priority).min() ?? 0
                let targets = Set(answer.services.filter { $0.priority == lowest && $0.addresses.isEmpty }.map(\.target)).sorted().prefix(Self.targetsMax)
                guard !targets.isEmpty else { return done(EndpointSet(services: answer.services)) }
                var found: [String: [DNSAddress]] = [:]
                var open = targets.count
                for target in targets {
                    addresses(of: target, [.a, .aaaa]) { result in
                        // A target that cannot be found now stands by its name, which the workers look up.
                        if case .success(let some) = result, !some.isEmpty { found[target] = some }
                        open -= 1
                        if open == 0 { done(EndpointSet(services: answer.services, addresses: found)) }
                    }
                }
            }
        }
    }

    private func finish(_ set: EndpointSet) {
        let wait = min(max(Self.second, ttl.map { UInt64($0) * Self.second } ?? discovery.interval), max(Self.second, discovery.interval))
        timer = watcher.after(watcher.jittered(wait)) { [unowned self] in
            cancel()
            ask()
        }
        found(set)
    }
}
