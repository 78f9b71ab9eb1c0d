// upstreams: a map from name to definition, in file order, because that is the order of fail-over where no route says otherwise.

import ClawDialect
import ClawWire

enum UpstreamTable {
    enum Limit {
        static let upstreamsMax = 1024
        static let keysMax = 64
        static let endpointsMax = 256
        static let modelsMax = 4096
        static let headersMax = 64
        static let weightMax = 1_000_000
    }
    static let openaiBase = Endpoint(isTLS: true, host: "api.openai.com", port: 443, basePath: "/v1")

    /// The option of the whole file.
    static func option() -> Option<Configuration> {
        let table = make()
        return Option(key: "upstreams", type: "map of name → upstream", doc: "Provider accounts and backends, by name. With no `routes`, those that list the requested model are tried in file order.",
                      children: { table.rows(Upstream(name: "", type: .openai)).map { var row = $0; row.key = ".NAME.\(row.key)"; return row } },
                      read: { configuration, node, key, loading in readAll(&configuration, node, key, table, loading) },
                      write: { configuration in
                          .object(Dictionary(configuration.upstreams.map { ($0.name, table.write($0)) }) { first, _ in first })
                      }).required()
    }

    private static func readAll(_ configuration: inout Configuration, _ node: DocumentNode, _ key: String, _ table: Table<Upstream>, _ loading: Loading) {
        guard let members = node.members, !members.isEmpty else {
            return loading.error(node.place, key, "expected a map with at least one upstream, found \(node.members != nil ? "an empty one" : node.kind)")
        }
        guard members.count <= Limit.upstreamsMax else {
            return loading.error(node.place, key, "expected at most \(Limit.upstreamsMax) upstreams, found \(members.count)")
        }
        for member in members {
            let path = dotted(key, member.key)
            loading.upstreamNames.insert(member.key)
            if !Names.isName(member.key) { loading.error(member.keyPlace, path, "expected a name of \(Names.rule)") }
            var upstream = Upstream(name: member.key, type: .generic)
            upstream.timeoutNanoseconds = configuration.server.timeoutNanoseconds
            table.read(member.value, into: &upstream, at: path, loading)
            complete(&upstream, member.value, path, loading)
            CatalogueTable.check(upstream, member.value, path, loading)
            loading.upstreamIndex[member.key] = configuration.upstreams.count
            configuration.upstreams.append(upstream)
        }
    }

    static func make() -> Table<Upstream> {
        Table(options: [
            .choice("type", \.type, "The provider's API; `generic` is any OpenAI-compatible server, `http` a plain API without models.").required(),
            Option(key: "api_key", type: "secret", doc: "The one key; for several use `api_keys`.",
                   read: { upstream, node, key, loading in
                       if let secret = secretValue(node, key, loading) { upstream.keys = [UpstreamKey(id: "default", value: secret)] }
                   },
                   write: { hasOnlyDefaultKey($0) ? .secret($0.keys[0].value) : nil }),
            keys(),
            Option(key: "base_url", type: "an http or https URL", doc: "Root of the API, e.g. `https://api.openai.com/v1`. `generic`, `azure` and `http` need it or `endpoints`.",
                   defaultText: "the provider's own",
                   read: { upstream, node, key, loading in
                       if let endpoint = endpoint(node, key, loading) { upstream.endpoints = [endpoint] }
                   },
                   write: { $0.endpoints.count == 1 && $0.endpoints[0].weight == 1 ? .text(url($0.endpoints[0])) : nil }),
            endpoints(),
            models(),
            .seconds("timeout_seconds", 0.001...86400, \.timeoutNanoseconds, "A whole request.").defaulting("server.timeout_seconds"),
            .seconds("connect_timeout_seconds", 0.001...3600, \.connectTimeoutNanoseconds, "Until a connection stands, TLS included."),
            .seconds("first_byte_timeout_seconds", 0.001...86400, \.firstByteTimeoutNanoseconds, "Until the first byte of the answer.").defaulting("timeout_seconds"),
            .seconds("idle_stream_timeout_seconds", 0.001...86400, \.idleStreamTimeoutNanoseconds, "Longest silence within an answer."),
            headers(),
            .integer("max_connections_per_endpoint", 0...100_000, \.connectionsPerEndpointMax, "Connections per endpoint and worker; 0: no limit."),
            .text("quirks", type: "a name", \.quirks, "What the server does otherwise than OpenAI: \(Quirks.names.map { "`\($0)`" }.joined(separator: ", ")).") {
                Quirks.names.contains($0) ? nil : "expected one of \(Quirks.names.joined(separator: ", "))"
            }.defaulting("the type's"),
            api(),
            .text("api_version", type: "a date", \.apiVersion, "Azure's `api-version`.") { Names.isModel($0) ? nil : "expected a version such as 2024-10-21" }
                .defaulting("2024-10-21 with deployments, 2024-05-01-preview for /models, none for /openai/v1"),
            .text("project", type: "a project id", \.project, "Google Cloud project: `gemini` is then spoken to at Vertex AI, with a bearer token as key.") { Names.isModel($0) ? nil : "expected a project id" },
            .text("location", type: "a location", \.location, "Location of Vertex AI, with `project`.") { Names.isHost($0) ? nil : "expected a location such as us-central1 or global" }.defaulting("global"),
            .text("region", type: "a region", \.region, "Region of Bedrock; a label for upstreams of other types.") { Names.isHost($0) ? nil : "expected a region such as us-east-1" }
                .defaulting("of Bedrock: AWS_REGION or the profile's"),
            awsSection(),
            .flag("drop_unsupported", \.dropUnsupported, "Leave out of a translated request what this upstream cannot express, instead of refusing it; header, log and `dropped` name it.")
                .defaulting("server.drop_unsupported"),
            .flag("stream_usage", \.streamUsage, "Ask for token usage in event streams (`stream_options.include_usage`).").defaulting("as the type does it"),
            .choice("protocol", \.httpProtocol, "HTTP version towards it; `auto` is HTTP/1.1 for `http://`, and what ALPN gives for `https://`. `http2` is spoken without asking over `http://`, and takes nothing else over `https://`."),
            proxy(),
            tlsSection(),
            .price("cost_per_million_input_tokens", \.prices.input, "Input tokens (USD for 1,000,000), of all its models that have no such price of their own, whatever the catalogue says. What the catalogue prices as a share of it (cache, audio) keeps its share.").defaulting("the catalogue's"),
            .price("cost_per_million_output_tokens", \.prices.output, "Output tokens, likewise (share: reasoning, audio).").defaulting("the catalogue's"),
            .price("cost_per_million_cached_input_tokens", \.prices.cachedInput, "Input tokens that come from the provider's cache, likewise.").defaulting("the catalogue's share, else the input price"),
        ] + ResilienceTable.concurrency() + [
            ResilienceTable.health(), ResilienceTable.breaker(), ResilienceTable.cooldown(),
            capabilities(),
            .text("tier", type: "a name", \.tier, "A label, for `model_routing` and people.") { Names.isName($0) ? nil : "expected a name of \(Names.rule)" },
        ])
    }

    /// Shown only where it has an effect.
    private static func tlsSection() -> Option<Upstream> {
        let section = Option<Upstream>.section("tls", \.tls, tls(), UpstreamTLS(), "TLS towards the upstream.")
        return Option(key: section.key, type: section.type, doc: section.doc, children: section.children, read: section.read,
                      write: { $0.mayUseTLS ? section.write($0) : nil })
    }

    private static func tls() -> Table<UpstreamTLS> {
        let path: (String) -> String? = { $0.isEmpty || $0.utf8.contains(0) ? "expected a path" : nil }
        return Table(options: [
            .text("ca", type: "a path", \.caFile, "PEM file with the authorities to trust instead of the system's.", check: path),
            .flag("insecure_skip_verify", \.insecureSkipVerify, "Accept any certificate. Anybody on the way can read the keys."),
            .text("client_certificate", type: "a path", \.clientCertificate, "PEM certificate for mutual TLS; needs `client_key`.", check: path),
            .text("client_key", type: "a path", \.clientKey, "PEM key of `client_certificate`.", check: path),
            .text("sni", type: "a host name", \.sni, "Name to ask for and to check instead of the URL's.") { Names.isHost($0) ? nil : "expected a host name" },
        ])
    }

    /// Shown only where it has an effect.
    private static func api() -> Option<Upstream> {
        let option = Option<Upstream>.choice("api", \.api, "Which of OpenAI's APIs it has: `chat` translates requests to the Responses API, `responses` translates chat completions; `auto` passes both on.")
        return Option(key: option.key, type: option.type, doc: option.doc, read: option.read, write: { hasAPIs($0) ? option.write($0) : nil })
    }

    private static func hasAPIs(_ upstream: Upstream) -> Bool { ["openai", "azure", "generic"].contains(upstream.type.rawValue) }

    private static func awsSection() -> Option<Upstream> {
        func secret(_ key: String, _ field: WritableKeyPath<AWS, Secret?>, _ doc: String) -> Option<AWS> {
            Option(key: key, type: "secret", doc: doc,
                   read: { target, node, key, loading in if let secret = secretValue(node, key, loading) { target[keyPath: field] = secret } },
                   write: { $0[keyPath: field].map { .secret($0) } })
        }
        let path: (String) -> String? = { $0.isEmpty || $0.utf8.contains(0) ? "expected a path" : nil }
        let table = Table<AWS>(options: [
            secret("access_key_id", \.accessKeyID, "With `secret_access_key`: used instead of looking anywhere."),
            secret("secret_access_key", \.secretAccessKey, "Key that requests are signed with."),
            secret("session_token", \.sessionToken, "Of temporary credentials."),
            .text("profile", type: "a name", \.profile, "Profile of the credentials file.") { $0.isEmpty ? "expected a name" : nil }.defaulting("AWS_PROFILE or default"),
            .text("credentials_file", type: "a path", \.credentialsFile, "Instead of `~/.aws/credentials`.", check: path).defaulting("AWS_SHARED_CREDENTIALS_FILE"),
        ])
        let section = Option<Upstream>.section("aws", \.aws, table, AWS(), "Credentials of Bedrock. Without any: environment, profile file, container or EKS Pod Identity endpoint.")
        return Option(key: section.key, type: section.type, doc: section.doc, children: section.children, read: section.read,
                      write: { $0.type == .bedrock ? section.write($0) : nil })
    }

    // MARK: Keys

    private static func hasOnlyDefaultKey(_ upstream: Upstream) -> Bool {
        upstream.keys.count == 1 && upstream.keys[0].id == "default" && upstream.keys[0].weight == 1 && upstream.keys[0].models.isEmpty
    }

    private static func keys() -> Option<Upstream> {
        let table = Table<UpstreamKey>(options: [
            .text("id", type: "a name", \.id, "Name of the key in logs and metrics.") { Names.isName($0) ? nil : "expected a name of \(Names.rule)" }.required(),
            Option(key: "value", type: "secret", doc: "The key itself.",
                   read: { target, node, key, loading in if let secret = secretValue(node, key, loading) { target.value = secret } },
                   write: { .secret($0.value) }).required(),
            .integer("weight", 1...Limit.weightMax, \.weight, "Share of requests that use this key."),
            keyModels(),
        ])
        return Option(key: "api_keys", type: "list of keys", doc: "Several keys, used in turn.",
                      children: { Names.listed(table.rows(UpstreamKey(id: "", value: Secret("")))) },
                      read: { upstream, node, key, loading in
                          guard let items = Names.items(node, key, 1...Limit.keysMax, loading) else { return }
                          var lines: [String: Int] = [:], keys: [UpstreamKey] = []
                          for (index, item) in items.enumerated() {
                              var one = UpstreamKey(id: "", value: Secret(""))
                              table.read(item, into: &one, at: "\(key)[\(index)]", loading)
                              if !one.id.isEmpty, let first = lines.updateValue(item.place.line, forKey: one.id) {
                                  loading.error(item.member("id")?.place ?? item.place, "\(key)[\(index)].id", "duplicate id \"\(one.id)\", first at line \(first)")
                              }
                              keys.append(one)
                          }
                          upstream.keys = keys
                      },
                      write: { hasOnlyDefaultKey($0) || $0.keys.isEmpty ? nil : .array($0.keys.map(table.write)) })
    }

    private static func keyModels() -> Option<UpstreamKey> {
        Option(key: "models", type: "list of models", doc: "Models this key may be used for, by their ids or the upstream's aliases.", defaultText: "all",
               read: { target, node, key, loading in
                   guard let items = Names.oneOrMany(node, key, Limit.modelsMax, loading) else { return }
                   target.models = items.compactMap { checkedText($0, key, loading, "a model", { Names.isModel($0) ? nil : "expected a model" }) }
               },
               write: { $0.models.isEmpty ? nil : .array($0.models.map { .text($0) }) })
    }

    /// A key for a model that the upstream does not list would never be used.
    private static func checkKeyModels(_ upstream: Upstream, _ node: DocumentNode, _ path: String, _ loading: Loading) {
        guard let items = node.member("api_keys")?.items, items.count == upstream.keys.count else { return }
        for (index, key) in upstream.keys.enumerated() {
            guard let models = items[index].member("models") else { continue }
            let path = "\(path).api_keys[\(index)].models"
            if upstream.type == .http { loading.error(models.place, path, "has no effect on an upstream of type http") }
            guard upstream.type != .http, !upstream.models.isEmpty else { continue }
            for (at, model) in key.models.enumerated() where !upstream.models.contains(where: { $0.id == model || $0.alias == model }) {
                let place = models.items.flatMap { $0.count == key.models.count ? $0[at].place : nil } ?? models.place
                loading.error(place, path, "the upstream lists no model \(Loading.printable(model, 60))\(Suggestion.hint(for: model, among: upstream.models.map(\.alias)))")
            }
        }
    }

    private static func capabilities() -> Option<Upstream> {
        let words = Capability.allCases.map(\.rawValue), list = words.joined(separator: ", ")
        return Option(key: "capabilities", type: "list of \(list)", doc: "What its models can do.", defaultText: "the catalogue's",
                      read: { upstream, node, key, loading in
                          for item in Names.oneOrMany(node, key, words.count, loading) ?? [] {
                              guard let capability = chosen(item, key, loading, Capability.self, later: []) else { continue }
                              if upstream.capabilities.contains(capability) {
                                  loading.error(item.place, key, "duplicate \(capability.rawValue)")
                              } else {
                                  upstream.capabilities.append(capability)
                              }
                          }
                      },
                      write: { $0.capabilities.isEmpty ? nil : .array($0.capabilities.map { .text($0.rawValue) }) })
    }

    // MARK: Endpoints

    static func url(_ endpoint: Endpoint) -> String {
        let standard: UInt16 = endpoint.isTLS ? 443 : 80
        let host = endpoint.host.utf8.contains(UInt8(ascii: ":")) ? "[\(endpoint.host)]" : endpoint.host
        return (endpoint.isTLS ? "https://" : "http://") + host + (endpoint.port == standard ? "" : ":\(endpoint.port)") + endpoint.basePath
    }

    private static func endpoint(_ node: DocumentNode, _ key: String, _ loading: Loading) -> Endpoint? {
        guard let text = loading.text(node, key, expected: "an http or https URL") else { return nil }
        do throws(HTTPURLError) {
            let url = try HTTPURL(text.string)
            return Endpoint(isTLS: url.isTLS, host: url.host, port: url.port, basePath: url.path)
        } catch {
            // A URL with a user name may hold a password; then neither the text nor what the parser says of it is repeated.
            let isQuotable = !text.string.utf8.contains(UInt8(ascii: "@")) && !text.string.utf8.contains(UInt8(ascii: "?")) && text.names.isEmpty
            loading.error(node.place, key, isQuotable ? error.message : "expected an http or https URL"
                + (" without user information, query and fragment" + (text.names.isEmpty ? "" : ", found \(text.shown)")))
            return nil
        }
    }

    private static func endpoints() -> Option<Upstream> {
        let table = Table<Endpoint>(options: [
            Option(key: "url", type: "an http or https URL", doc: "As `base_url`.",
                   read: { target, node, key, loading in
                       if let endpoint = endpoint(node, key, loading) {
                           target = Endpoint(isTLS: endpoint.isTLS, host: endpoint.host, port: endpoint.port, basePath: endpoint.basePath, weight: target.weight)
                       }
                   },
                   write: { .text(url($0)) }).required(),
            .integer("weight", 1...Limit.weightMax, \.weight, "Share of requests."),
        ])
        let found = Table<Upstream>(options: [discovery()])
        return Option(key: "endpoints", type: "list of URLs or {url, weight}, or {discovery}", doc: "Several addresses of the same API, instead of `base_url`; or where to find them.",
                      children: { Names.listed(table.rows(openaiBase)) + discoveryRows(found) },
                      read: { upstream, node, key, loading in
                          if node.members != nil { return found.read(node, into: &upstream, at: key, loading) }
                          guard let items = Names.items(node, key, 1...Limit.endpointsMax, loading) else { return }
                          upstream.endpoints = items.enumerated().compactMap { index, item in
                              let path = "\(key)[\(index)]"
                              if case .scalar = item.value { return endpoint(item, path, loading) }
                              var one = Endpoint(isTLS: false, host: "", port: 0, basePath: "")
                              table.read(item, into: &one, at: path, loading)
                              return one
                          }
                      },
                      write: { upstream in
                          if upstream.discovery != nil { return found.write(upstream) }
                          return upstream.endpoints.count == 1 && upstream.endpoints[0].weight == 1 || upstream.endpoints.isEmpty ? nil : .array(upstream.endpoints.map(table.write))
                      })
    }

    /// Required is it only where `endpoints` is a map.
    private static func discoveryRows(_ table: Table<Upstream>) -> [ReferenceRow] {
        table.rows(Upstream(name: "", type: .openai)).map { row in
            var copy = row
            copy.key = ".\(row.key)"
            if row.key == "discovery" { copy.defaultText = "" }
            return copy
        }
    }

    private static func discovery() -> Option<Upstream> {
        Option(key: "discovery", type: "map", doc: "Finds the endpoints, and follows them. A source that is down keeps the last good set.", children: { DiscoveryTable.make().rows(.init()) },
               read: { upstream, node, key, loading in upstream.discovery = DiscoveryTable.read(node, key, loading) },
               write: { $0.discovery.map(DiscoveryTable.write) }).required()
    }

    // MARK: Models, headers, proxy

    private static func models() -> Option<Upstream> {
        let table = Table<Model>(options: [
            .text("id", type: "a model id", \.id, "Name sent to the upstream.") { Names.isModel($0) ? nil : "expected a model id" }.required(),
            .text("alias", type: "a model name", \.alias, "Name clients ask for.") { Names.isModel($0) ? nil : "expected a model name" }.defaulting("the id"),
            .tokens("max_context_tokens", \.contextTokensMax, "Size of the context window.").defaulting("the catalogue's"),
            .tokens("max_output_tokens", \.outputTokensMax, "Most tokens of an answer; asked for where a request says nothing and the provider's API wants a figure.").defaulting("the catalogue's"),
            .price("cost_per_million_input_tokens", \.prices.input, "Input tokens (USD for 1,000,000).").defaulting("the upstream's"),
            .price("cost_per_million_output_tokens", \.prices.output, "Output tokens.").defaulting("the upstream's"),
            .price("cost_per_million_cached_input_tokens", \.prices.cachedInput, "Input tokens that come from the provider's cache.").defaulting("the upstream's"),
        ])
        return Option(key: "models", type: "list of ids or {id, alias, …}", doc: "Models it serves; without it, any.",
                      children: { Names.listed(table.rows(Model(id: "", alias: ""))) },
                      read: { upstream, node, key, loading in
                          guard let items = Names.items(node, key, 1...Limit.modelsMax, loading) else { return }
                          var lines: [String: Int] = [:]
                          for (index, item) in items.enumerated() {
                              let path = "\(key)[\(index)]"
                              var model = Model(id: "", alias: "")
                              if case .scalar = item.value {
                                  model.id = checkedText(item, path, loading, "a model id", { Names.isModel($0) ? nil : "expected a model id" }) ?? ""
                              } else {
                                  table.read(item, into: &model, at: path, loading)
                              }
                              if model.alias.isEmpty { model.alias = model.id }
                              if !model.alias.isEmpty, let first = lines.updateValue(item.place.line, forKey: model.alias) {
                                  loading.error(item.place, path, "duplicate model \"\(model.alias)\", first at line \(first)")
                              }
                              upstream.models.append(model)
                          }
                      },
                      write: { upstream in
                          upstream.models.isEmpty ? nil : .array(upstream.models.map { $0.isBare ? .text($0.id) : table.write($0) })
                      })
    }

    private static func headers() -> Option<Upstream> {
        Option(key: "headers", type: "map of name → text", doc: "Extra request headers. Their values are shown masked.",
               read: { upstream, node, key, loading in
                   guard let members = Names.members(node, key, Limit.headersMax, loading) else { return }
                   var lines: [String: Int] = [:]
                   for member in members {
                       let path = dotted(key, member.key), name = member.key.lowercased()
                       if !Names.isToken(member.key) {
                           loading.error(member.keyPlace, path, "expected a header name")
                       } else if reservedHeaders.contains(name) {
                           loading.error(member.keyPlace, path, "this header is the gateway's own and cannot be set")
                       } else if let first = lines.updateValue(member.keyPlace.line, forKey: name) {
                           loading.error(member.keyPlace, path, "duplicate header, first at line \(first)")
                       }
                       guard let text = loading.text(member.value, path, expected: "text") else { continue }
                       // The value may be a secret, so no message repeats it.
                       guard Names.isHeaderValue(text.string) else {
                           loading.error(member.value.place, path, "expected at most 8192 bytes of visible ASCII and inner spaces")
                           continue
                       }
                       upstream.headers.append((name: member.key, value: text.string))
                   }
               },
               write: { upstream in
                   upstream.headers.isEmpty ? nil : .object(Dictionary(upstream.headers.map { ($0.name, .secret(Secret($0.value))) }) { first, _ in first })
               })
    }

    /// Framing and connection control (RFC 9110 §7.6.1, RFC 9112 §6) are the client's state machine's business.
    private static let reservedHeaders: Set<String> = [
        "host", "connection", "content-length", "transfer-encoding", "keep-alive", "te", "trailer", "upgrade", "proxy-connection", "expect",
        "proxy-authorization", "http2-settings",
    ]

    private static func proxy() -> Option<Upstream> {
        Option(key: "proxy", type: "a proxy URL", doc: "`http://`, `https://`, `socks4://`, `socks4a://`, `socks5://` or `socks5h://` proxy for connections to the upstream, with user and password if need be.",
               read: { upstream, node, key, loading in
                   guard let text = loading.text(node, key, expected: "a proxy URL") else { return }
                   guard Names.isProxy(text.string) else {
                       return loading.error(node.place, key, "expected scheme://[user:password@]host:port with one of \(Names.proxySchemes.joined(separator: ", "))")
                   }
                   upstream.proxy = text.string
               },
               write: { upstream in
                   guard let proxy = upstream.proxy, let at = proxy.lastIndex(of: "@"), let slashes = proxy.firstRange(of: "://") else {
                       return upstream.proxy.map { .text($0) }
                   }
                   return .concealing(proxy, shown: proxy[..<slashes.upperBound] + "***" + proxy[at...])
               })
    }

    // MARK: The whole

    private static func complete(_ upstream: inout Upstream, _ node: DocumentNode, _ path: String, _ loading: Loading) {
        func clash(_ one: String, _ other: String) {
            if let second = node.member(one), node.member(other) != nil { loading.error(second.place, dotted(path, one), "give either \(other) or \(one)") }
        }
        clash("api_keys", "api_key")
        clash("endpoints", "base_url")
        if node.member("first_byte_timeout_seconds") == nil { upstream.firstByteTimeoutNanoseconds = upstream.timeoutNanoseconds }
        let isTyped = node.member("type").map { if case .scalar(let text, _) = $0.value { UpstreamType(rawValue: text) != nil } else { false } } ?? false
        guard isTyped else { return }
        if node.member("base_url") == nil, node.member("endpoints") == nil {
            if let base = defaultBase(upstream, loading.environment), let url = try? HTTPURL(base) {
                upstream.endpoints = [Endpoint(isTLS: url.isTLS, host: url.host, port: url.port, basePath: url.path)]
            } else if upstream.type == .bedrock {
                loading.error(node.place, dotted(path, "region"), "missing; an upstream of type bedrock needs region (or AWS_REGION), base_url or endpoints")
            } else {
                loading.error(node.place, dotted(path, "base_url"), "missing; an upstream of type \(upstream.type.rawValue) needs base_url or endpoints")
            }
        }
        checkDialect(upstream, node, path, loading)
        if upstream.type == .http {
            for key in ["models", "stream_usage", "capabilities"] where node.member(key) != nil {
                loading.error(node.member(key)!.place, dotted(path, key), "has no effect on an upstream of type http")
            }
        }
        if upstream.type == .openai, upstream.keys.isEmpty, upstream.endpoints.contains(where: { $0.host == openaiBase.host }),
           node.member("api_key") == nil, node.member("api_keys") == nil {
            loading.warn(node.place, path, "no api_key: \(openaiBase.host) refuses requests without one")
        }
        if let version = node.member("protocol"), upstream.httpProtocol == .http2, upstream.proxy != nil, upstream.endpoints.contains(where: { !$0.isTLS }) || upstream.discovery.map({ !$0.isTLS }) ?? false {
            loading.error(version.place, dotted(path, "protocol"), "http2 over http:// does not go through a proxy")
        }
        checkTLS(upstream, node, path, loading)
        checkKeyModels(upstream, node, path, loading)
        ResilienceTable.check(&upstream, node, path, loading)
    }

    /// Where a provider is, when nobody says so.
    private static func defaultBase(_ upstream: Upstream, _ environment: [String: String]) -> String? {
        if upstream.type == .gemini, let project = upstream.project {
            let location = upstream.location ?? "global"
            let host = location == "global" ? "aiplatform.googleapis.com" : "\(location)-aiplatform.googleapis.com"
            return "https://\(host)/v1/projects/\(project)/locations/\(location)/publishers/google"
        }
        if upstream.type == .bedrock {
            let region = upstream.region ?? environment["AWS_REGION"] ?? environment["AWS_DEFAULT_REGION"]
            return region.map { "https://bedrock-runtime.\($0).amazonaws.com" }
        }
        return upstream.type.provider?.baseURL
    }

    /// Options that only some types know.
    private static func checkDialect(_ upstream: Upstream, _ node: DocumentNode, _ path: String, _ loading: Loading) {
        func only(_ key: String, _ isFine: Bool, _ types: String) {
            if let member = node.member(key), !isFine { loading.error(member.place, dotted(path, key), "has an effect on upstreams of type \(types) only") }
        }
        let provider = upstream.type.provider
        only("quirks", provider?.isOpenAILike ?? false, "openai, azure, mistral and generic")
        only("api", hasAPIs(upstream), "openai, azure and generic")
        only("api_version", upstream.type == .azure, "azure")
        only("project", upstream.type == .gemini, "gemini")
        only("location", upstream.type == .gemini, "gemini")
        only("aws", upstream.type == .bedrock, "bedrock")
        only("drop_unsupported", provider != nil, "other than http")
        if let location = node.member("location"), upstream.project == nil { loading.error(location.place, dotted(path, "location"), "has no effect without project") }
        if let project = node.member("project"), node.member("base_url") != nil || node.member("endpoints") != nil {
            loading.error(project.place, dotted(path, "project"), "give either base_url (or endpoints) or project")
        }
        if upstream.type == .bedrock, (upstream.aws.accessKeyID == nil) != (upstream.aws.secretAccessKey == nil), let aws = node.member("aws") {
            loading.error(aws.place, dotted(path, "aws"), "access_key_id and secret_access_key belong together")
        }
        if upstream.type == .bedrock, upstream.proxy != nil, let proxy = node.member("proxy") {
            loading.error(proxy.place, dotted(path, "proxy"), "requests to Bedrock are signed by the direct transport only, which goes through no proxy")
        }
    }

    private static func checkTLS(_ upstream: Upstream, _ node: DocumentNode, _ path: String, _ loading: Loading) {
        guard let tls = node.member("tls") else { return }
        if tls.member("client_certificate") != nil, tls.member("client_key") == nil {
            loading.error(tls.place, "\(path).tls.client_key", "missing; client_certificate needs it")
        }
        if let key = tls.member("client_key"), tls.member("client_certificate") == nil {
            loading.error(key.place, "\(path).tls.client_key", "has no effect without client_certificate")
        }
        if let skip = tls.member("insecure_skip_verify"), upstream.tls.insecureSkipVerify {
            loading.warn(skip.place, "\(path).tls.insecure_skip_verify", "certificates are not checked; anybody on the way can read the keys")
        }
        if !upstream.endpoints.isEmpty || upstream.discovery != nil, !upstream.mayUseTLS {
            loading.error(tls.place, "\(path).tls", "has no effect on http:// URLs")
        }
    }
}
