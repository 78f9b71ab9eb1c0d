// security: who may use the gateway.

enum SecurityTable {
    enum Limit {
        static let keysMax = 10_000
        static let tagsMax = 64
        /// A key that can be guessed is none.
        static let secretBytesMin = 16
    }

    static func make() -> Table<Security> {
        Table(options: [
            .flag("allow_unauthenticated", \.allowUnauthenticated, "Everybody who can connect may use the gateway. Needed to listen beyond loopback without access control."),
            keys(),
            .later("ip_whitelist", "Networks that may connect."),
            .later("ip_blacklist", "Networks that may not connect."),
            .later("trusted_proxies", "Networks whose X-Forwarded-For is believed."),
            .later("jwt", "Issuers whose tokens are accepted."),
            .later("waf", "Request filter."),
            .later("guardrails", "Checks of prompts and answers."),
        ])
    }

    private static func keys() -> Option<Security> {
        let table = Table<CallerKey>(options: [
            .text("id", type: "a name", \.id, "Name of the key in logs and `match.key`.") { Names.isName($0) ? nil : "expected a name of \(Names.rule)" }.required(),
            Option(key: "value", type: "secret of at least \(Limit.secretBytesMin) characters", doc: "What callers show, as `Authorization: Bearer …` or as their SDK shows a key.",
                   read: { target, node, key, loading in
                       guard let secret = secretValue(node, key, loading) else { return }
                       let count = secret.value.utf8.count
                       if count < Limit.secretBytesMin { return loading.error(node.place, key, "expected a secret of at least \(Limit.secretBytesMin) characters, found \(count)") }
                       target.value = secret
                   },
                   write: { .secret($0.value) }).required(),
            .text("tenant", type: "a name", \.tenant, "Whom it belongs to.") { Names.isName($0) ? nil : "expected a name of \(Names.rule)" },
            Option(key: "tags", type: "list of names", doc: "For `match.key.tags`.",
                   read: { target, node, key, loading in target.tags = Names.words(node, key, 0...Limit.tagsMax, loading) },
                   write: { $0.tags.isEmpty ? nil : .array($0.tags.map { .text($0) }) }),
        ])
        return Option(key: "keys", type: "list of keys", doc: "Keys of those who may call. With keys, a request without one of them is answered with 401.",
                      children: { Names.listed(table.rows(CallerKey(id: "", value: Secret("")))) },
                      read: { security, node, key, loading in
                          guard let items = Names.items(node, key, 1...Limit.keysMax, loading) else { return }
                          var lines: [String: Int] = [:], values: [String: Int] = [:]
                          for (index, item) in items.enumerated() {
                              var one = CallerKey(id: "", value: Secret(""))
                              let path = "\(key)[\(index)]"
                              table.read(item, into: &one, at: path, loading)
                              if !one.id.isEmpty, let first = lines.updateValue(item.place.line, forKey: one.id) {
                                  loading.error(item.member("id")?.place ?? item.place, "\(path).id", "duplicate id \"\(one.id)\", first at line \(first)")
                              }
                              if !one.value.value.isEmpty, let first = values.updateValue(item.place.line, forKey: one.value.value) {
                                  loading.error(item.member("value")?.place ?? item.place, "\(path).value", "the same secret as the key at line \(first)")
                              }
                              security.keys.append(one)
                          }
                      },
                      write: { $0.keys.isEmpty ? nil : .array($0.keys.map(table.write)) })
    }

    static func check(_ configuration: Configuration, _ root: DocumentNode, _ loading: Loading) {
        if let allow = root.member("security")?.member("allow_unauthenticated"), configuration.security.allowUnauthenticated, !configuration.security.keys.isEmpty {
            loading.warn(allow.place, "security.allow_unauthenticated", "has no effect with security.keys: a request without one of them is refused")
        }
        checkRoutes(configuration, root, loading)
    }

    /// `match.key` of all routes: which keys there are is known only now. A rule that no key fits is like a shadowed one: it does no harm, and may be there before
    /// its keys are.
    private static func checkRoutes(_ configuration: Configuration, _ root: DocumentNode, _ loading: Loading) {
        guard let items = root.member("routes")?.items, items.count == configuration.routes.count else { return }
        let keys = configuration.security.keys
        // Keys that are wrong have been complained of; what they are called does not matter then.
        let isGiven = root.member("security")?.member("keys") != nil
        let tags = Set(keys.flatMap(\.tags)), ids = Set(keys.map(\.id)), tenants = Set(keys.compactMap(\.tenant))
        for (index, route) in configuration.routes.enumerated() {
            guard let node = items[index].member("match")?.member("key") else { continue }
            let path = "\(RouteTable.path(items[index], index)).match.key"
            guard isGiven else {
                loading.warn(node.place, path, "never holds: without security.keys no caller has a key")
                continue
            }
            guard !keys.isEmpty else { continue }
            let match = route.match
            let areKnown = [
                named("tags", match.keyTags, tags, "tag", node, path, loading), named("id", match.keyIDs, ids, "id", node, path, loading),
                named("tenant", match.keyTenants, tenants, "tenant", node, path, loading),
            ]
            if areKnown.allSatisfy({ $0 }), !keys.contains(where: match.fits) {
                loading.warn(node.place, path, "never holds: none of security.keys is all of this")
            }
        }
    }

    private static func named(_ key: String, _ names: [String], _ known: Set<String>, _ kind: String, _ node: DocumentNode, _ path: String, _ loading: Loading) -> Bool {
        guard let list = node.member(key) else { return true }
        for name in names where !known.contains(name) {
            let place = list.items?.first { if case .scalar(name, _) = $0.value { true } else { false } }?.place ?? list.place
            loading.warn(place, dotted(path, key), "none of security.keys has the \(kind) \(Loading.printable(name, 60))\(Suggestion.hint(for: name, among: known.sorted()))")
        }
        return names.allSatisfy(known.contains)
    }
}

extension RouteMatch {
    /// Whether the conditions on the caller's key hold for this one.
    func fits(_ key: CallerKey) -> Bool {
        keyTags.allSatisfy(key.tags.contains) && (keyIDs.isEmpty || keyIDs.contains(key.id)) && (keyTenants.isEmpty || key.tenant.map(keyTenants.contains) ?? false)
    }
}
