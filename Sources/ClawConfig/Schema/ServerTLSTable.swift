// server.tls and listeners[].tls: certificates and who is let in with which. The files are only looked at here (is there something to read?); what
// is in them is found out where a plan is compiled, since that takes OpenSSL.

enum ServerTLSTable {
    enum Limit {
        static let pairsMax = 256
        /// A bundle of all public authorities has 0.2 MiB.
        static let fileBytesMax = 4 << 20
    }

    static func option<Target>(_ field: WritableKeyPath<Target, ServerTLS?>, _ doc: String, withChildren: Bool) -> Option<Target> {
        let table = make()
        return Option(key: "tls", type: "map", doc: doc, defaultText: "", children: { withChildren ? table.rows(ServerTLS()) : [] },
                      read: { target, node, key, loading in
                          var tls = ServerTLS()
                          if node.isNull { return loading.error(node.place, key, "expected a map with certificate and key, found nothing") }
                          guard node.members != nil else { return table.read(node, into: &tls, at: key, loading) }
                          table.read(node, into: &tls, at: key, loading)
                          complete(&tls, node, key, loading)
                          target[keyPath: field] = tls
                      },
                      write: { $0[keyPath: field].map(table.write) })
    }

    private static func make() -> Table<ServerTLS> {
        Table(options: [
            Option(key: "certificate", type: "a path", doc: "PEM file with the certificate and those between it and its authority, the own one first; needs `key`.",
                   read: { tls, node, key, loading in
                       guard let path = file(node, key, loading) else { return }
                       if tls.pairs.isEmpty { tls.pairs = [.init(certificate: "", key: "")] }
                       tls.pairs[0].certificate = path
                   },
                   write: { $0.pairs.count == 1 ? .text($0.pairs[0].certificate) : nil }),
            Option(key: "key", type: "a path", doc: "PEM file with the private key of `certificate`, without a pass phrase.",
                   read: { tls, node, key, loading in
                       guard let path = file(node, key, loading) else { return }
                       if tls.pairs.isEmpty { tls.pairs = [.init(certificate: "", key: "")] }
                       tls.pairs[0].key = path
                   },
                   write: { $0.pairs.count == 1 ? .text($0.pairs[0].key) : nil }),
            certificates(),
            Option(key: "client_ca", type: "a path", doc: "PEM file with the authorities of client certificates.",
                   read: { tls, node, key, loading in tls.clientCA = file(node, key, loading) ?? tls.clientCA },
                   write: { $0.clientCA.map { .text($0) } }),
            .choice("client_auth", \.clientAuth, "Whether clients are asked for a certificate, and have to show one.").defaulting("required with `client_ca`, none without"),
            .choice("min_version", \.versionMin, "Oldest version of TLS that is spoken."),
            .text("ciphers", type: "an OpenSSL cipher list", \.ciphers, "Ciphers of TLS 1.2.", check: cipherProblem).defaulting("ECDHE with AES-GCM or ChaCha20"),
            .text("ciphersuites", type: "an OpenSSL list of cipher suites", \.ciphersuites, "Cipher suites of TLS 1.3.", check: cipherProblem).defaulting("OpenSSL's"),
            .integer("ticket_rotation_seconds", 0...302_400, \.ticketRotationSeconds,
                     "How often the keys of session tickets change; a ticket is taken for two periods (RFC 8446 allows 7 days). 0: no tickets."),
            .flag("kernel_tls", \.kernelTLS, "Leaves encryption to the kernel where OpenSSL and the kernel can; `openclaw status` says whether they do."),
            .flag("strict_sni", \.strictSNI, "Refuses clients that ask for a name that no certificate has, or for none, instead of showing them the first certificate."),
        ])
    }

    private static func certificates() -> Option<ServerTLS> {
        let pair = Table<ServerTLS.Pair>(options: [
            Option(key: "certificate", type: "a path", doc: "As `certificate` above.",
                   read: { pair, node, key, loading in if let path = file(node, key, loading) { pair.certificate = path } },
                   write: { .text($0.certificate) }).required(),
            Option(key: "key", type: "a path", doc: "As `key` above.",
                   read: { pair, node, key, loading in if let path = file(node, key, loading) { pair.key = path } },
                   write: { .text($0.key) }).required(),
        ])
        return Option(key: "certificates", type: "list of {certificate, key}",
                      doc: "Several certificates, instead of `certificate` and `key`: chosen by the name the client asks for, the first for everybody else.",
                      children: { Names.listed(pair.rows(.init(certificate: "", key: ""))) },
                      read: { tls, node, key, loading in
                          guard let items = Names.items(node, key, 1...Limit.pairsMax, loading) else { return }
                          tls.pairs = items.enumerated().map { index, item in
                              var one = ServerTLS.Pair(certificate: "", key: "")
                              pair.read(item, into: &one, at: "\(key)[\(index)]", loading)
                              return one
                          }
                      },
                      write: { $0.pairs.count == 1 || $0.pairs.isEmpty ? nil : .array($0.pairs.map(pair.write)) })
    }

    /// The path of a file that can be read.
    private static func file(_ node: DocumentNode, _ key: String, _ loading: Loading) -> String? {
        guard let text = loading.text(node, key, expected: "a path") else { return nil }
        guard !text.string.isEmpty, !text.string.utf8.contains(0) else {
            loading.error(node.place, key, "expected a path, found \(text.shown)")
            return nil
        }
        do throws(FileProblem) { _ = try readFile(text.string, bytesMax: Limit.fileBytesMax) } catch {
            loading.error(node.place, key, "\(text.shown): \(error.message)")
        }
        return text.string
    }

    private static func cipherProblem(_ text: String) -> String? {
        (1...4096).contains(text.utf8.count) && text.utf8.allSatisfy { Names.isAlphanumeric($0) || "-_+:!@=,".utf8.contains($0) }
            ? nil : "expected names of ciphers with : between them"
    }

    /// What only the whole section shows.
    private static func complete(_ tls: inout ServerTLS, _ node: DocumentNode, _ path: String, _ loading: Loading) {
        let isOne = node.member("certificate") != nil || node.member("key") != nil
        if let list = node.member("certificates"), isOne {
            loading.error(list.place, dotted(path, "certificates"), "give either certificate and key or certificates")
        } else if node.member("certificates") == nil {
            for (key, other) in [("certificate", "key"), ("key", "certificate")] where node.member(key) == nil {
                loading.error(node.place, dotted(path, key), isOne ? "missing; \(other) needs it" : "missing; expected a path")
            }
        }
        if node.member("client_auth") == nil { tls.clientAuth = node.member("client_ca") == nil ? .none : .required }
        if let auth = node.member("client_auth"), tls.clientAuth != .none, node.member("client_ca") == nil {
            loading.error(auth.place, dotted(path, "client_ca"), "missing; client_auth: \(tls.clientAuth.rawValue) needs it")
        }
        if let authorities = node.member("client_ca"), tls.clientAuth == .none, node.member("client_auth") != nil {
            loading.error(authorities.place, dotted(path, "client_ca"), "has no effect with client_auth: none")
        }
        if let ciphers = node.member("ciphers"), tls.versionMin == .v13 {
            loading.error(ciphers.place, dotted(path, "ciphers"), "has no effect with min_version: 1.3; ciphersuites are those of TLS 1.3")
        }
    }
}
