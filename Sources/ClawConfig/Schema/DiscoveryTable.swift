// upstreams.*.endpoints.discovery: a source that endpoints come from and go to. Each type has its own keys; those of another type are refused.

import ClawWire

enum DiscoveryTable {
    enum Limit {
        static let serversMax = 16
    }
    enum Kind: String, CaseIterable { case dns, file, kubernetes, consul, etcd }

    /// All that may be written, before it is known what belongs together.
    struct Fields {
        var kind = Kind.dns
        var name: String?
        var record = Discovery.Record.any
        var port: String?
        var server: String?
        var path: String?
        var api: String?
        var namespace: String?
        var service: String?
        var tokenFile: String?
        var ca: String?
        var address: String?
        var tag: String?
        var datacenter: String?
        var token: Secret?
        var servers: [String] = []
        var prefix: String?
        var username: String?
        var password: Secret?
        var isTLS = false
        var interval: UInt64 = 30_000_000_000
    }

    /// Keys of each type, those it needs first.
    private static func keys(_ kind: Kind) -> (needed: [String], others: [String]) {
        switch kind {
        case .dns: (["name"], ["record", "port", "server", "scheme", "path", "interval_seconds"])
        case .file: (["path"], [])
        case .kubernetes: (["service"], ["api", "namespace", "port", "token_file", "ca", "scheme", "path", "interval_seconds"])
        case .consul: (["service"], ["address", "tag", "datacenter", "token", "scheme", "path", "interval_seconds"])
        case .etcd: (["prefix"], ["endpoints", "username", "password", "scheme", "path", "interval_seconds"])
        }
    }

    static let podAPI = "https://kubernetes.default.svc"
    static let podTokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    static let podCA = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    static let consulAddress = "http://127.0.0.1:8500"
    static let etcdEndpoint = "http://127.0.0.1:2379"

    private enum Scheme: String, CaseIterable { case http, https }

    static func make() -> Table<Fields> {
        func word(_ text: String) -> String? { (1...253).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) } ? nil : "expected 1…253 visible ASCII characters without spaces" }
        func file(_ text: String) -> String? { text.hasPrefix("/") && !text.utf8.contains(0) ? nil : "expected an absolute path" }
        func url(_ text: String) -> String? { (try? HTTPURL(text)) == nil ? "expected an http or https URL without user information, query and fragment" : nil }
        return Table(options: [
            .choice("type", \.kind, "Where to look.").required(),
            .text("name", type: "a host name", \.name, "`dns`: the name whose addresses, or SRV records, are the endpoints.") { Names.isHost($0) ? nil : "expected a host name" },
            .choice("record", \.record, "`dns`: which records; `any` is A and AAAA.").defaulting("any"),
            .text("port", type: "a port", \.port, "`dns`: needed, except with `record: srv`. `kubernetes`: number or name, where the service has several.") {
                Scalars.integer($0).map { (1...65535).contains($0) } ?? (Names.isHost($0) && !$0.contains(".")) ? nil : "expected 1…65535, or a port's name"
            },
            .text("server", type: "host:port", \.server, "`dns`: a name server instead of the system's.") { isServer($0) ? nil : "expected an IP address, or address:port" },
            .text("path", type: "a path", \.path, "`file`: a YAML or JSON list of URLs or {url, weight}, looked at once a second. The others: the base path of what is found, e.g. `/v1`.") {
                file($0) == nil ? nil : "expected a path that begins with /"
            },
            .text("api", type: "an http or https URL", \.api, "`kubernetes`: the API server; without it as in a pod, with its token and authorities.", check: url).defaulting(podAPI),
            .text("namespace", type: "a name", \.namespace, "`kubernetes`: of the service.", check: word).defaulting("default"),
            .text("service", type: "a name", \.service, "`kubernetes`, `consul`: the service whose ready, healthy instances are the endpoints.", check: word),
            .text("token_file", type: "a path", \.tokenFile, "`kubernetes`: file with a bearer token, read again when it changes.", check: file).defaulting("the pod's, without `api`"),
            .text("ca", type: "a path", \.ca, "`kubernetes`: PEM file with the authorities of the API server.", check: file).defaulting("the pod's, without `api`"),
            .text("address", type: "an http or https URL", \.address, "`consul`: an agent or server.", check: url).defaulting(consulAddress),
            .text("tag", type: "a name", \.tag, "`consul`: only instances with this tag.", check: word),
            .text("datacenter", type: "a name", \.datacenter, "`consul`: another than the agent's own.", check: word),
            .secret("token", \.token, "`consul`: ACL token."),
            servers(url),
            .text("prefix", type: "a text", \.prefix, "`etcd`: each key below it is an endpoint, its value a URL, host:port, or a JSON map with `url` or `address`, and `weight`.", check: word),
            .text("username", type: "a name", \.username, "`etcd`: with `password`.", check: word),
            .secret("password", \.password, "`etcd`: with `username`."),
            Option(key: "scheme", type: "one of http, https", doc: "How the found addresses are spoken to, where the source says nothing of it.", defaultText: "\"http\"",
                   read: { fields, node, key, loading in if let scheme = chosen(node, key, loading, Scheme.self, later: []) { fields.isTLS = scheme == .https } },
                   write: { $0.isTLS ? .text("https") : .text("http") }),
            .seconds("interval_seconds", 0.1...86400, \.interval, "Least time between two looks where the source does not say when to look again."),
        ])
    }

    private static func servers(_ check: @escaping (String) -> String?) -> Option<Fields> {
        Option(key: "endpoints", type: "list of http or https URLs", doc: "`etcd`: its servers.", defaultText: etcdEndpoint,
               read: { fields, node, key, loading in
                   guard let items = Names.oneOrMany(node, key, Limit.serversMax, loading) else { return }
                   fields.servers = items.enumerated().compactMap { checkedText($1, items.count == 1 ? key : "\(key)[\($0)]", loading, "an http or https URL", check) }
               },
               write: { $0.servers.isEmpty ? nil : .array($0.servers.map { .text($0) }) })
    }

    private static func isServer(_ text: String) -> Bool {
        if Address.isIPv4(text) || Address.isIPv6(text) { return true }
        guard let colon = text.lastIndex(of: ":"), let port = Scalars.integer(String(text[text.index(after: colon)...])), (1...65535).contains(port) else { return false }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { return Address.isIPv6(String(host.dropFirst().dropLast())) }
        return Address.isIPv4(String(host))
    }

    // MARK: In

    static func read(_ node: DocumentNode, _ key: String, _ loading: Loading) -> Discovery? {
        var fields = Fields()
        let errors = loading.errorCount
        make().read(node, into: &fields, at: key, loading)
        guard node.members != nil, let type = node.member("type"), case .scalar = type.value else { return nil }
        // Which keys belong together is not known where the type is not.
        guard errors == loading.errorCount || (node.member("type")?.value).map({ if case .scalar(let text, _) = $0 { Kind(rawValue: text) != nil } else { false } }) ?? false else { return nil }
        let (needed, others) = keys(fields.kind), kind = fields.kind.rawValue
        for member in node.members ?? [] where member.key != "type" && !needed.contains(member.key) && !others.contains(member.key) && allKeys.contains(member.key) {
            loading.error(member.keyPlace, dotted(key, member.key), "has no effect with type: \(kind); known with it: \((needed + others).joined(separator: ", "))")
        }
        for name in needed where node.member(name) == nil { loading.error(node.place, dotted(key, name), "missing; type: \(kind) needs it") }
        checkMore(fields, node, key, loading)
        guard errors == loading.errorCount, let source = source(fields) else { return nil }
        var discovery = Discovery(source: source)
        discovery.isTLS = fields.isTLS
        discovery.interval = fields.interval
        if fields.kind != .file, let path = fields.path { discovery.basePath = path.hasSuffix("/") ? String(path.dropLast()) : path }
        return discovery
    }

    private static let allKeys = make().options.map(\.key)

    private static func checkMore(_ fields: Fields, _ node: DocumentNode, _ key: String, _ loading: Loading) {
        if fields.kind == .dns {
            if let port = node.member("port") {
                if fields.record == .srv {
                    loading.error(port.place, dotted(key, "port"), "has no effect with record: srv, which says it")
                } else if let text = fields.port, Scalars.integer(text) == nil {
                    loading.error(port.place, dotted(key, "port"), "expected 1…65535, found a name")
                }
            } else if fields.record != .srv {
                loading.error(node.place, dotted(key, "port"), "missing; type: dns needs it, except with record: srv")
            }
        }
        if fields.kind != .file, let text = fields.path, let path = node.member("path"), (try? HTTPURL("http://a" + text)) == nil {
            loading.error(path.place, dotted(key, "path"), "expected a path such as /v1")
        }
        if fields.kind == .kubernetes, fields.api.map({ $0.hasPrefix("http://") }) ?? false, let ca = node.member("ca") {
            loading.error(ca.place, dotted(key, "ca"), "has no effect on an http:// URL")
        }
        if fields.kind == .etcd, (node.member("username") == nil) != (node.member("password") == nil), let one = node.member("username") ?? node.member("password") {
            loading.error(one.place, key, "username and password belong together")
        }
    }

    private static func source(_ fields: Fields) -> Discovery.Source? {
        switch fields.kind {
        case .dns:
            fields.name.map { .dns(name: $0, record: fields.record, port: fields.port.flatMap { UInt16($0) } ?? 0, server: fields.server) }
        case .file:
            fields.path.map { .file(path: $0) }
        case .kubernetes:
            fields.service.map { service in
                let isPod = fields.api == nil
                return .kubernetes(api: fields.api ?? podAPI, namespace: fields.namespace ?? "default", service: service, port: fields.port,
                                   tokenFile: fields.tokenFile ?? (isPod ? podTokenFile : nil), ca: fields.ca ?? (isPod ? podCA : nil))
            }
        case .consul:
            fields.service.map { .consul(address: fields.address ?? consulAddress, service: $0, tag: fields.tag, datacenter: fields.datacenter, token: fields.token) }
        case .etcd:
            fields.prefix.map { .etcd(endpoints: fields.servers.isEmpty ? [etcdEndpoint] : fields.servers, prefix: $0, username: fields.username, password: fields.password) }
        }
    }

    // MARK: Out

    static func write(_ discovery: Discovery) -> Canonical {
        var members: [String: Canonical] = [:]
        func put(_ key: String, _ text: String?) { if let text { members[key] = .text(text) } }
        func put(_ key: String, _ secret: Secret?) { if let secret { members[key] = .secret(secret) } }
        switch discovery.source {
        case .dns(let name, let record, let port, let server):
            put("type", "dns"); put("name", name); put("record", record.rawValue); put("server", server)
            if record != .srv { members["port"] = .integer(Int(port)) }
        case .file(let path):
            put("type", "file"); put("path", path)
            return .object(members)
        case .kubernetes(let api, let namespace, let service, let port, let tokenFile, let ca):
            put("type", "kubernetes"); put("api", api); put("namespace", namespace); put("service", service); put("port", port); put("token_file", tokenFile); put("ca", ca)
        case .consul(let address, let service, let tag, let datacenter, let token):
            put("type", "consul"); put("address", address); put("service", service); put("tag", tag); put("datacenter", datacenter); put("token", token)
        case .etcd(let endpoints, let prefix, let username, let password):
            put("type", "etcd"); put("prefix", prefix); put("username", username); put("password", password)
            members["endpoints"] = .array(endpoints.map { .text($0) })
        }
        put("scheme", discovery.isTLS ? "https" : "http")
        if !discovery.basePath.isEmpty { put("path", discovery.basePath) }
        members["interval_seconds"] = Canonical.seconds(discovery.interval)
        return .object(members)
    }
}

extension Upstream {
    /// Whether TLS may be spoken to it; of what a file lists nothing is known before it is read.
    var mayUseTLS: Bool {
        if endpoints.contains(where: \.isTLS) { return true }
        guard let discovery else { return false }
        if case .file = discovery.source { return true }
        return discovery.isTLS
    }
}
