// The admin listener's endpoints: who may ask what, and what is answered. Judged in this order: was the request meant for us (Host, Via), may it come
// in (token), is there such a path, is it the right method, does a browser send it for another site (Origin). Everything but a reload is
// answered at once.
import CClaw
import ClawConfig
import ClawWire

struct AdminEndpoints {
    enum Verdict {
        case answer(AdminAnswer)
        /// Answered when the reload is done: it reads files and compiles, on a thread of its own.
        case reload
    }

    enum Place: String, CaseIterable {
        case root = "/", health = "/health", ready = "/ready", metrics = "/metrics"
        case status = "/admin/status", config = "/admin/config", upstreams = "/admin/upstreams", events = "/admin/events", explain = "/admin/routes/explain", reload = "/admin/reload", drain = "/admin/drain"

        var isOrder: Bool { self == .reload || self == .drain || self == .explain }
        /// Asked by probes, which have no token.
        var isOpen: Bool { self == .health || self == .ready }
        var allow: String { isOrder ? "POST" : "GET, HEAD" }

        var summary: String {
            switch self {
            case .root: "this list"
            case .health: "200 while the process lives"
            case .ready: "200 when requests should be sent here, 503 with reasons otherwise"
            case .metrics: "Prometheus or OpenMetrics text"
            case .status: "what the gateway is doing"
            case .config: "the configuration in force, secrets masked"
            case .upstreams: "upstreams: endpoints, keys, breakers, discovery"
            case .events: "what happened, the last 1,024; ?since=N: after number N"
            case .explain: "where a described request would go, and why"
            case .reload: "read the configuration file again and put it in force"
            case .drain: "stop accepting, let what runs finish, end"
            }
        }
    }

    let gateway: Gateway

    /// What can be refused before the body has come; nil: go on and `answer`.
    func refusal(of request: AdminRequest) -> AdminAnswer? {
        guard request.hostProblem == .none else { return .error(400, "bad_host", "the request needs exactly one valid host field") }
        if request.hasDoubtfulFields { return .error(400, "bad_request", "credentials given twice, or named by a connection field") }
        // A route whose upstream is this listener would open it to every client of the data listener (faults AD-01).
        if request.cameThroughGateway { return .error(403, "through_gateway", "admin requests are not taken through a gateway; ask the admin listener itself") }
        let place = Place(rawValue: request.path)
        if let token = gateway.configuration.server.admin.token {
            if place?.isOpen != true, !Self.isAuthorized(request, token) {
                return AdminAnswer.error(401, "unauthorized", "this needs the header authorization: Bearer with the token of server.admin.token")
                    .with("www-authenticate", "Bearer realm=\"openclaw-admin\"")
            }
        } else if place?.isOpen != true, !Self.isLocalName(request.host) {
            // Without a token only the address protects us, and a web page can give this address a name of its own (DNS rebinding).
            return .error(403, "host_not_local", "without server.admin.token the admin listener is asked by IP address or as localhost, not as \(request.host)")
        }
        guard let place else { return .error(404, "not_found", "no such path; GET / lists them") }
        switch request.method {
        case .get where !place.isOrder, .head where !place.isOrder, .post where place.isOrder: break
        default: return AdminAnswer.error(405, "method_not_allowed", "\(place.rawValue) takes \(place.allow)").with("allow", place.allow)
        }
        if place.isOrder, request.hasOrigin { return .error(403, "cross_origin", "orders are not taken from web pages (origin header)") }
        return nil
    }

    /// - Parameter connections: open connections of the admin listener.
    func answer(_ request: AdminRequest, connections: Int) -> Verdict {
        if let refusal = refusal(of: request) { return .answer(refusal) }
        switch Place(rawValue: request.path) {
        case .root: return .answer(AdminAnswer(200, contentType: "text/plain; charset=utf-8", Array(Self.listing.utf8)))
        case .health: return .answer(AdminAnswer(200, json: gateway.healthJSON()))
        case .ready:
            let readiness = gateway.readiness()
            // Names of upstreams are for those who have the token.
            let token = gateway.configuration.server.admin.token
            let isTrusted = token.map { Self.isAuthorized(request, $0) } ?? true
            return .answer(AdminAnswer(readiness.isReady ? 200 : 503, json: readiness.json(withRoutes: isTrusted)))
        case .metrics:
            let format = Exposition.Format(accept: request.accept)
            return .answer(AdminAnswer(200, contentType: format.contentType, gateway.exposition(format, adminConnections: connections)))
        case .status: return .answer(AdminAnswer(200, json: gateway.statusJSON()))
        case .config: return .answer(AdminAnswer(200, json: gateway.configuration.maskedJSON))
        case .upstreams:
            let list = gateway.upstreamStates().map(\.json).joined(separator: ",")
            return .answer(AdminAnswer(200, json: "{\"upstreams\":[\(list)]}"))
        case .explain: return .answer(explain(request))
        case .events:
            guard let since = request.parameter("since").map({ UInt64($0) }) ?? 0 else {
                return .answer(.error(400, "bad_request", "since: expected the number of an event, such as the next of an earlier answer"))
            }
            gateway.drainEvents()
            return .answer(AdminAnswer(200, json: gateway.bus.json(since: since, dropped: gateway.eventsDropped)))
        case .reload: return .reload
        case .drain:
            gateway.drain(now: false)
            gateway.events(.info, "draining as told by POST /admin/drain: no new connections, what runs may finish")
            return .answer(AdminAnswer(202, json: "{\"draining\":true}"))
        case nil: return .answer(.error(404, "not_found", "no such path; GET / lists them"))
        }
    }

    /// The end of a reload. `problem`: what speaks against the new configuration, one thing a line.
    func reloaded(_ problem: String?) -> AdminAnswer {
        var out = JSONLine()
        out.member("reloaded", problem == nil)
        if let problem {
            out.member("errors", list: problem.split(separator: "\n").map { JSONLine.quoted(String($0)) })
        } else {
            out.member("version", gateway.configuration.version)
        }
        return AdminAnswer(problem == nil ? 200 : 422, json: out.text)
    }

    private func explain(_ request: AdminRequest) -> AdminAnswer {
        let described: DescribedRequest
        do throws(DescribedRequest.Problem) { described = try DescribedRequest(json: request.body) } catch { return .error(400, "bad_request", error.description) }
        do throws(PlanFailure) { return AdminAnswer(200, json: try gateway.explain(described).json) } catch { return .error(503, "cannot_explain", error.description) }
    }

    private static let listing: String = {
        let width = Place.allCases.map(\.rawValue.count).max() ?? 0
        let lines = Place.allCases.map { place in
            "\(place.isOrder ? "POST" : "GET ") \(place.rawValue)\(String(repeating: " ", count: width - place.rawValue.count))  \(place.summary)\n"
        }
        return "OpenClaw Gateway \(Build.version), admin listener\n\n" + lines.joined()
    }()

    // MARK: who may ask

    /// `Bearer TOKEN`. Takes as long for any token of the same length, so that time tells nothing of where it differs.
    static func isAuthorized(_ request: AdminRequest, _ token: Secret) -> Bool {
        guard let authorization = request.authorization, authorization.utf8.count > 7, authorization.prefix(7).lowercased() == "bearer " else { return false }
        let given = Array(authorization.utf8.dropFirst(7).drop { $0 == 0x20 })
        let wanted = Array(token.value.utf8)
        var difference = UInt(bitPattern: given.count ^ wanted.count)
        for index in 0..<given.count { difference |= UInt(given[index] ^ (wanted.isEmpty ? 1 : wanted[index % wanted.count])) }
        return difference == 0
    }

    /// An IP address or localhost, with or without port; absent (HTTP/1.0) counts too, since every browser names a host.
    static func isLocalName(_ host: String) -> Bool {
        var name = host[...]
        if let colon = name.lastIndex(of: ":"), name.last != "]", name[name.index(after: colon)...].allSatisfy(\.isNumber) { name = name[..<colon] }
        if name.isEmpty || name.lowercased() == "localhost" { return true }
        var address = claw_address()
        return !name.hasPrefix("unix:") && claw_address_parse(String(name), 0, &address) == 0
    }
}
