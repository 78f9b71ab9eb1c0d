import CClaw
@testable import ClawEngine
import Foundation
import Testing

/// A play by chance: many clients and upstreams around one worker, for a number of steps, all of it decided by the seed. It keeps what every
/// upstream was asked and what it answered, so that each answer a client reads can be traced to the very request it belongs to.
final class SeededPlay {
    let seed: UInt64
    var chance: Chance
    let gateway: PlayedWorker
    private(set) var violations: [String] = []
    private var clients: [SeededClient] = []
    private var upstreams: [SeededUpstream] = []
    private var requests: [String: SeededRequest] = [:]
    private var served: [String: [ServedAnswer]] = [:]
    private var timesReceived: [String: Int] = [:]
    private var statuses: [String: Int] = [:]
    /// Everybody finishes what they began, at once.
    private(set) var isEnding = false
    private(set) var isDraining = false
    private var attemptsMax = 1
    private(set) var answersJudged = 0

    init(seed: UInt64) throws {
        self.seed = seed
        var chance = Chance(seed)
        let text = Self.plan(&chance, &attemptsMax)
        gateway = try PlayedWorker(text, seed: chance.next(), connections: 64, buffers: 4096)
        self.chance = chance
    }

    // MARK: plans

    private static func plan(_ chance: inout Chance, _ attemptsMax: inout Int) -> String {
        let attempts = chance.number(1...3)
        attemptsMax = max(attemptsMax, attempts)
        func upstream(_ name: String, _ type: String, _ address: String, _ chance: inout Chance) -> String {
            """
              \(name):
                type: \(type)
                base_url: http://\(address)
                \(type == "http" ? "" : "api_key: sk-played-secret-\(name)")
                timeout_seconds: 12
                connect_timeout_seconds: 1
                first_byte_timeout_seconds: 4
                idle_stream_timeout_seconds: 3
                max_connections_per_endpoint: \(chance.one(of: [0, 0, 1, 3]))
                \(type == "http" ? "" : "stream_usage: \(chance.happens(60))")

            """
        }
        let strategy = chance.one(of: ["failover", "round_robin", "first_available", "shadow"])
        let third = strategy == "shadow" ? "{ name: three, percentage: \(chance.one(of: [20, 100])) }" : "three"
        let hedge = chance.happens(40) ? "hedge: { after_ms: \(chance.one(of: [1, 5, 40, 400])), max_ratio: 1 }" : ""
        return """
        server:
          timeout_seconds: 12
          max_body_mb: 1
          stream_buffer_kb: \(chance.one(of: [4, 16, 64]))
          header_timeout_seconds: 2
          body_timeout_seconds: 3
          write_timeout_seconds: 2
          idle_timeout_seconds: 20
          sse_ping_seconds: \(chance.one(of: [0, 1]))
          max_requests_per_connection: \(chance.one(of: [0, 0, 2]))
        upstreams:
        \(upstream("one", "generic", "10.0.0.1:8001/v1", &chance))\(upstream("two", "openai", chance.happens(50) ? "model.example:8002/v1" : "10.0.0.2:8002/v1", &chance))\(upstream("three", "generic", "10.0.0.3:8003", &chance))\(upstream("things", "http", "10.0.0.4:8004", &chance))\(upstream("more", "http", "10.0.0.5:8005", &chance))
        routes:
          - id: api
            match: { path: "/api/*" }
            strategy: { type: failover, upstreams: [things, more] }
            retries: { max_attempts: \(min(attempts, 2)) }
          - id: models
            match: { path: "/v1/*" }
            strategy: { type: \(strategy), upstreams: [one, two, \(third)] }
            retries: { max_attempts: \(attempts) }
            \(hedge)
        """
    }

    func makeRequest() -> SeededRequest {
        let request = SeededRequest("s\(seed)-r\(requests.count)", &chance)
        requests[request.id] = request
        return request
    }

    func request(_ id: String) -> SeededRequest? { requests[id] }
    func violated(_ text: String) { violations.append("step \(step): \(text)") }

    // MARK: what upstreams report

    func received(_ request: UpstreamRequest, port: UInt16) throws {
        let id = request.fields["x-sim-id"] ?? ""
        guard let origin = requests[id] else { return violated("a request without its id reached port \(port): \(request.line)") }
        if !origin.goesUpstream { violated("\(id) (\(origin.kind)) reached port \(port)") }
        let isThings = port >= 8004
        if isThings != [.apiGet, .apiPost, .apiHead].contains(origin.kind) { violated("\(id) (\(origin.kind)) went to port \(port)") }
        if !request.body.isEmpty, !request.text.contains("\"user\":\"\(id)\"") { violated("\(id): the body is of another request") }
        if !request.body.isEmpty, (try? JSONSerialization.jsonObject(with: Data(request.body))) == nil { violated("\(id): the body is not JSON any more") }
        if !isThings {
            let key = ["sk-played-secret-one", "sk-played-secret-two", "sk-played-secret-three"][Int(port) - 8001]
            if request.fields["authorization"] != "Bearer \(key)" { violated("\(id): port \(port) got the credentials \(request.fields["authorization"] ?? "none")") }
        }
        timesReceived[id, default: 0] += 1
        if origin.isOnceOnly, timesReceived[id] != 1 { violated("\(id) must not be repeated and came \(timesReceived[id] ?? 0) times") }
        // Each attempt may be repeated once on a fresh connection (a stale one had it), and a mirror's too.
        if timesReceived[id]! > 2 * attemptsMax + 2 { violated("\(id) came \(timesReceived[id]!) times for \(attemptsMax) attempts") }
    }

    /// How the gateway's own error event begins.
    static let truncationMark = #"data: {"error":{"message":"the "#

    func note(_ answer: ServedAnswer, for id: String) { served[id, default: []].append(answer) }

    // MARK: what clients report

    /// An answer is the upstream's own, the gateway's own, or the beginning of the upstream's with an honest end.
    func judge(_ answer: ClientAnswer, to request: SeededRequest, isWhole: Bool) {
        answersJudged += 1
        if isWhole { statuses[request.id] = answer.status }
        if request.kind != .garbage, let id = answer.fields["x-request-id"], id != request.id, answer.status != 408 {
            return violated("\(request.id) got the answer of \(id)")
        }
        // 408: the gateway waited for the rest in vain. 503: it drains, or the request's upstreams have too much to do.
        let isOwnHead = request.method == .head && served[request.id]?.contains { $0.status == answer.status } != true
        let isOwnPart = !isWhole && answer.status >= 500 && served[request.id]?.contains { $0.status == answer.status } != true
        if isOwnPart { return }
        if answer.fields["x-openclaw-upstream"] == nil || isOwnHead || answer.text.contains("\"request_id\":\"") {
            return judgeOwn(answer, request)
        }
        // An upstream's farewell to an idle connection that crossed a request.
        if answer.status == 408, answer.body.isEmpty { return }
        guard request.goesUpstream else { return violated("\(request.id) (\(request.kind)) was answered by an upstream") }
        var text = answer.text.replacingOccurrences(of: ": ping\n\n", with: "").replacingOccurrences(of: "\n:\n\n", with: "\n")
        if text.hasPrefix(":\n\n") { text.removeFirst(3) }
        let candidates = (served[request.id] ?? []).filter { $0.status == answer.status }
        if isWhole, candidates.contains(where: { $0.body == text }) { return }
        // By bytes: a String takes CR LF for one Character.
        func begins(_ bytes: Substring.UTF8View) -> Bool { candidates.contains { $0.body.utf8.starts(with: bytes) } }
        if candidates.contains(where: { $0.isStream }), let mark = text.range(of: Self.truncationMark) {
            // An event under way was ended by an empty line.
            let rest = text[..<mark.lowerBound].utf8
            if begins(rest) || begins(Substring(rest.dropLast(2)).utf8) { return }
        }
        if !isWhole, begins(Substring(text).utf8) { return }
        // Behind the dialect's last word, or the upstream's own error, nothing is missed.
        if text.contains("data: [DONE]") || text.contains("\(request.id) in band"), begins(Substring(text).utf8) { return }
        violated("\(request.id) (\(request.kind)): the answer \(answer.status) is none of what its upstreams sent (whole: \(isWhole)): \(candidates.isEmpty ? "nothing" : "") \(Self.difference(text, candidates.last?.body ?? ""))")
    }

    /// Where two texts part.
    private static func difference(_ got: String, _ sent: String) -> String {
        let a = Array(got.utf8), b = Array(sent.utf8)
        let same = zip(a, b).prefix { $0 == $1 }.count
        func shown(_ bytes: [UInt8]) -> String { String(decoding: bytes[max(0, same - 60)..<min(bytes.count, same + 300)], as: UTF8.self).debugDescription }
        return "parts at \(same) of \(a.count) got and \(b.count) sent:\n  got  \(shown(a))\n  sent \(shown(b))"
    }

    private func judgeOwn(_ answer: ClientAnswer, _ request: SeededRequest) {
        var allowed: Set<Int> = [408, 503]
        switch request.kind {
        case .models: allowed.insert(200)
        case .badJSON, .garbage: allowed.insert(400)
        case .noRoute: allowed.insert(404)
        case .tooLarge: allowed.insert(413)
        default: allowed.formUnion([502, 504])
        }
        if !allowed.contains(answer.status) { violated("\(request.id) (\(request.kind)) got \(answer.status) from the gateway: \(answer.text.prefix(200))") }
        if answer.isWhole, request.method != .head, (try? JSONSerialization.jsonObject(with: Data(answer.body))) == nil { violated("\(request.id): the gateway's own answer is not JSON") }
    }

    // MARK: the play

    private(set) var step = 0

    func run(steps: Int) throws {
        if chance.happens(50) { _ = claw_played_name(gateway.loop, "model.example", "10.0.0.2") }
        for _ in 0..<60 {
            let luck = chance.number(0...99)
            gateway.nextConnect(luck < 6 ? -111 : 0, delayMilliseconds: luck > 97 ? 1_000_000 : luck > 60 ? chance.number(0...40) : 0)
        }
        for _ in 0..<steps {
            step += 1
            try turn()
        }
        try finish()
    }

    private func turn() throws {
        if clients.filter({ !$0.isOver }).count < 8, !isDraining, chance.happens(15) {
            let fd = gateway.client()
            if fd >= 0 { clients.append(SeededClient(fd: fd, self)) }
        }
        meetUpstreams()
        for at in clients.indices where !clients[at].isOver && chance.happens(isEnding ? 100 : 50) { clients[at].turn(self) }
        for at in upstreams.indices where !upstreams[at].isOver && chance.happens(isEnding ? 100 : 50) { upstreams[at].turn(self) }
        if chance.happens(1), !isDraining { try gateway.reload(Self.plan(&chance, &attemptsMax)) }
        if step > 100, !isDraining, chance.number(0...1999) == 0 {
            isDraining = true
            gateway.drain(seconds: UInt64(chance.number(0...8)))
        }
        switch chance.number(0...99) {
        case 0: gateway.advance(nanoseconds: UInt64(chance.number(500...3000)) * 1_000_000)
        case 1...10: gateway.advance(nanoseconds: UInt64(chance.number(1...60)) * 1_000_000)
        case 11...60: gateway.advance(nanoseconds: UInt64(chance.number(1...2000)) * 1000)
        default: break
        }
        gateway.tick()
    }

    private func meetUpstreams() {
        while upstreams.count < gateway.connectCount {
            let (fd, port) = gateway.upstream(upstreams.count)
            upstreams.append(SeededUpstream(fd: fd, port: port))
            if chance.happens(8) { gateway.window(fd, UInt64(chance.number(0...3000))) }
        }
        if chance.happens(10) { for upstream in upstreams where !upstream.isOver { gateway.window(upstream.fd, .max) } }
    }

    /// Lets everybody finish, then everything time out, and looks at what is left.
    private func finish() throws {
        isEnding = true
        for at in clients.indices { clients[at].liftWindow(self) }
        for _ in 0..<40 {
            step += 1
            meetUpstreams()
            for upstream in upstreams where !upstream.isOver { gateway.window(upstream.fd, .max) }
            for at in clients.indices { clients[at].turn(self) }
            for at in upstreams.indices { upstreams[at].turn(self) }
            gateway.settle()
            gateway.advance(milliseconds: chance.one(of: [1, 1, 20, 500]))
        }
        // 12 s is the longest a request may take, over all of its attempts; each pipelined one has its own.
        for _ in 0..<60 {
            step += 1
            meetUpstreams()
            for at in clients.indices { clients[at].turn(self) }
            for at in upstreams.indices { upstreams[at].turn(self) }
            gateway.advance(milliseconds: 1000)
        }
        for at in clients.indices { clients[at].judge(self) }
        for text in gateway.leftovers() { violated("left over: \(text)") }
        judgeLog()
    }

    /// One line per request, with the status its client saw, and nobody's secrets.
    private func judgeLog() {
        var seen: [String: Int] = [:]
        for line in gateway.logLines {
            guard line["shadow"] == nil, let id = line["request_id"] as? String, let request = requests[id] else { continue }
            seen[id, default: 0] += 1
            let attempts = (line["attempts"] as? [Any])?.count ?? 0
            if attempts > attemptsMax { violated("\(id): \(attempts) attempts of at most \(attemptsMax)") }
            if !request.goesUpstream, attempts > 0 { violated("\(id): \(attempts) attempts for a request that goes nowhere") }
            if let status = statuses[id], line["status"] as? Int != status { violated("\(id): logged as \(line["status"] ?? "nothing"), answered with \(status)") }
        }
        for (id, count) in seen where count != 1 { violated("\(id) has \(count) log lines") }
        for (id, status) in statuses where seen[id] == nil && status != 408 && requests[id]?.kind != .garbage { violated("\(id) was answered with \(status) and has no log line") }
        if gateway.logHolds("secret") { violated("a secret is in the log") }
    }
}
