// Endpoints from Consul's health endpoint by blocking queries: each waits at the server until the index has moved on, or a minute.
import ClawConfig
import ClawPolicy

final class ConsulSource: DiscoverySource {
    private static let waitSeconds = 60
    /// At least so long between two questions, whatever the server says.
    private static let questionPause: UInt64 = 200_000_000

    private let address: String
    private let service: String
    private let tag: String?
    private let datacenter: String?
    private let token: Secret?
    private var index = ConsulIndex()
    private var running: PlaceID?
    private var wait: TimerQueue.ID?

    init(
        _ address: String, _ service: String, _ tag: String?, _ datacenter: String?, _ token: Secret?, _ discovery: Discovery, _ watcher: Watcher,
        _ news: @escaping (News) -> Void
    ) {
        self.address = address.hasSuffix("/") ? String(address.dropLast()) : address
        self.service = service
        self.tag = tag
        self.datacenter = datacenter
        self.token = token
        super.init(discovery, watcher, news)
    }

    override func ask() {
        index = ConsulIndex()
        question()
    }

    override var secrets: [String] { token.map { [$0.value] } ?? [] }

    override func cancel() {
        watcher.cancel(running)
        watcher.cancel(wait)
        running = nil
        wait = nil
    }

    private func question() {
        var request = FetchRequest(address + Consul.target(service: service, tag: tag, datacenter: datacenter, index: index, waitSeconds: Self.waitSeconds))
        request.fields = ["accept: application/json"]
        if let token { request.fields.append("x-consul-token: \(token.value)") }
        // A blocked answer comes up to a sixteenth later than was asked for.
        request.timeout = index.value == 0 ? 10_000_000_000 : UInt64(Self.waitSeconds) * 1_000_000_000 * 17 / 16 + 10_000_000_000
        request.bytesMax = DiscoveryDocument.bytesMax
        let askedAt = watcher.now
        running = watcher.collect(request) { [unowned self] result in
            running = nil
            switch result {
            case .failure(let failure): failed("\(address): \(failure.description)")
            case .success(let answer):
                guard answer.status == 200 else { return failed("\(address): \(said(answer))") }
                do throws(DiscoveryProblem) {
                    let set = try reading(answer.body) { (bytes) throws(DiscoveryProblem) in try Consul.read(bytes) }
                    _ = index.take(answer.field("x-consul-index"))
                    found(set)
                    let spent = watcher.now &- askedAt
                    wait = watcher.after(spent >= Self.questionPause ? 0 : Self.questionPause - spent) { [unowned self] in question() }
                } catch { failed("\(address): \(error.message)") }
            }
        }
    }

    /// Consul's errors are plain text.
    private func said(_ answer: Fetched) -> String {
        let text = hidden(String(decoding: answer.body.prefix(4096).map { $0 >= 0x20 && $0 < 0x7F ? $0 : 0x20 }, as: UTF8.self)).prefix(200)
        return text.isEmpty ? "status \(answer.status)" : "\(answer.status) \(text)"
    }
}
