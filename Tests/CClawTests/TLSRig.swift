import CClaw
import Glibc
import Testing

/// Certificates for the tests, made once by the `openssl` command in a directory of their own that goes with the process.
enum Certificates {
    static let directory: String = {
        var template = Array("/tmp/claw-tls-XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil, "a directory can be made")
        let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        setenv("CLAW_TLS_DIRECTORY", path, 1)
        let child = Child(["/bin/sh", "-ec", "cd '\(path)'; exec 2>log\n" + script])
        precondition(child.wait() == 0, "openssl makes certificates, see \(path)/log")
        atexit { _ = Child(["/bin/rm", "-rf", String(cString: getenv("CLAW_TLS_DIRECTORY"))]).wait() }
        return path
    }()

    static func path(_ name: String) -> String { directory + "/" + name }

    /// `ca` signs `server` (localhost and others), `other`, `client`, `strange` (awkward names); `rogue` is an authority nobody trusts.
    private static let script = """
    key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $1.key; }
    authority() { key $1; openssl req -x509 -new -key $1.key -out $1.pem -days 30 -subj "/CN=$1"; }
    leaf() {
        [ -e $1.key ] || key $1
        openssl req -new -key $1.key -out $1.csr -subj "$3"
        printf '%s\\n' "$4" > $1.ext
        openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -out $1.pem -days "${5:-20}" ${4:+-extfile $1.ext}
    }
    authority ca; authority rogue
    leaf server ca /CN=localhost 'subjectAltName=DNS:localhost,DNS:*.apps.example,IP:127.0.0.1'
    leaf other ca /CN=ignored.example 'subjectAltName=DNS:other.example'
    leaf named ca /CN=plain.example ''
    leaf client ca '/O=Acme/CN=robot' 'subjectAltName=DNS:robot.acme,URI:spiffe://acme/robot,email:r@acme.example,IP:10.0.0.7'
    leaf strange ca '/CN=a,b"c' 'subjectAltName=@all
    [all]
    URI.1=x,DNS:admin'
    leaf impostor rogue /CN=localhost 'subjectAltName=DNS:localhost'
    leaf expired ca /CN=localhost 'subjectAltName=DNS:localhost' -1
    cat server.pem ca.pem > chained.pem
    { cat server.pem; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do cat ca.pem; done; } > long.pem
    { cat server.pem; echo '-----BEGIN CERTIFICATE-----'; echo 'AAAA!'; echo '-----END CERTIFICATE-----'; } > torn.pem
    openssl ec -in server.key -aes256 -passout pass:secret -out locked.key
    openssl genrsa -out weak.key 1024; leaf weak ca /CN=localhost ''
    echo garbage > garbage.pem; : > empty.pem; mkdir folder.pem
    touch index; echo 01 > serial
    printf '[ca]\\ndefault_ca=x\\n[x]\\ndatabase=index\\nserial=serial\\nnew_certs_dir=.\\ndefault_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' > ca.conf
    openssl ca -batch -config ca.conf -cert ca.pem -keyfile ca.key -in server.csr -out early.pem -notext -startdate 20400101000000Z -enddate 20410101000000Z
    """
}

/// A child process and its words. (Foundation's Process hangs when tests start several at once.)
final class Child {
    private(set) var output: [UInt8] = []
    private var pid: pid_t = 0
    private let input: Int32, from: Int32
    private var status: Int32?

    init(_ words: [String]) {
        var toChild: [Int32] = [0, 0], fromChild: [Int32] = [0, 0]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        precondition(socketpair(AF_UNIX, type, 0, &toChild) == 0 && socketpair(AF_UNIX, type, 0, &fromChild) == 0)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 2)
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        let result = posix_spawnp(&pid, words[0], &actions, nil, &arguments, environ)
        precondition(result == 0, "\(words[0]) starts, was \(result)")
        posix_spawn_file_actions_destroy(&actions)
        arguments.forEach { free($0) }
        close(toChild[0])
        close(fromChild[1])
        input = toChild[1]
        from = fromChild[0]
        _ = fcntl(from, F_SETFL, O_NONBLOCK)
    }

    deinit {
        if status == nil { kill(pid, SIGKILL); waitpid(pid, nil, 0) }
        close(input)
        close(from)
    }

    var text: String { String(decoding: output, as: UTF8.self) }

    func say(_ words: String) { _ = words.withCString { send(input, $0, strlen($0), Int32(MSG_NOSIGNAL)) } }

    /// Takes in what it said meanwhile; true when it has ended.
    func look() -> Bool {
        var some = [UInt8](repeating: 0, count: 16384)
        while true {
            let n = read(from, &some, some.count)
            if n <= 0 { break }
            output += some[..<n]
        }
        var found: Int32 = 0
        if status == nil, waitpid(pid, &found, WNOHANG) == pid {
            status = found
            _ = look()
        }
        return status != nil
    }

    /// Waits for its end: the exit code, or -1.
    func wait() -> Int32 {
        while !look() {
            var p = pollfd(fd: from, events: Int16(POLLIN), revents: 0)
            poll(&p, 1, 10)
        }
        return status! & 0x7f == 0 ? status! >> 8 & 0xff : -1
    }
}

/// Settings of one side, released when they go.
final class TLSSettings {
    private var tls: OpaquePointer?
    private(set) var problem = ""
    private(set) var result: Int32 = 0

    init(
        server pairs: [(String, String)] = [("server.pem", "server.key")], clients: Int = 0, clientAuthority: String? = "ca.pem", version: UInt32 = 12,
        alpn: Int = CLAW_TLS_ALPN_HTTP1 | CLAW_TLS_ALPN_H2, ciphers: String? = nil, suites: String? = nil, tickets: OpaquePointer? = nil, strict: Bool = false
    ) {
        let texts = Texts()
        let made = pairs.map { claw_tls_pair(certificate: texts.path($0.0), key: texts.path($0.1)) }
        made.withUnsafeBufferPointer { made in
            var options = claw_tls_server_options()
            options.pairs = made.baseAddress
            options.pair_count = UInt32(made.count)
            options.client_verify = UInt32(clients)
            options.client_ca = clients == 0 ? nil : clientAuthority.map(texts.path)
            options.version_min = version
            options.alpn = UInt32(alpn)
            options.ciphers = ciphers.map(texts.copy)
            options.ciphersuites = suites.map(texts.copy)
            options.tickets = tickets
            options.strict_sni = strict ? 1 : 0
            finish { claw_tls_server(&options, &$0, $1, 512) }
        }
    }

    init(clientTrusting authority: String?, pair: (String, String)? = nil, skip: Bool = false, alpn: Int = 0) {
        let texts = Texts()
        var options = claw_tls_client_options()
        options.ca_file = authority.map(texts.path)
        options.client_certificate = pair.map { texts.path($0.0) }
        options.client_key = pair.map { texts.path($0.1) }
        options.insecure_skip_verify = skip ? 1 : 0
        options.alpn = UInt32(alpn)
        finish { claw_tls_client(&options, &$0, $1, 512) }
    }

    private func finish(_ make: (inout OpaquePointer?, UnsafeMutablePointer<CChar>) -> Int32) {
        var text = [CChar](repeating: 0, count: 512)
        result = make(&tls, &text)
        problem = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    var isMade: Bool { tls != nil }
    // Swift ends an object after its last use, which may be the reading of `tls`: whoever uses that asks for it here.
    var expires: Int64 { withExtendedLifetime(self) { claw_tls_expires(tls) } }
    func secureServer(_ loop: OpaquePointer, _ fd: Int32) -> Int32 { withExtendedLifetime(self) { claw_secure_server(loop, fd, tls) } }
    func secureServer(_ loop: OpaquePointer, _ fd: Int32, after early: [UInt8]) -> Int32 {
        withExtendedLifetime(self) { claw_secure_server_after(loop, fd, tls, early, early.count) }
    }
    func secureClient(_ loop: OpaquePointer, _ fd: Int32, _ host: String) -> Int32 { withExtendedLifetime(self) { claw_secure_client(loop, fd, tls, host) } }

    deinit { claw_tls_release(tls) }

    /// C strings that live as long as this.
    private final class Texts {
        private var all: [UnsafeMutablePointer<CChar>] = []
        func copy(_ text: String) -> UnsafePointer<CChar> {
            all.append(strdup(text))
            return UnsafePointer(all.last!)
        }
        func path(_ name: String) -> UnsafePointer<CChar> { copy(Certificates.path(name)) }
        deinit { all.forEach { free($0) } }
    }
}

/// What is told of a secure socket, with its texts copied.
struct TLSFacts {
    var version = 0, alpn = 0
    var resumed = false
    var cipher, serverName, subject, names, reason: String?

    init(_ bench: Bench, _ fd: Int32) {
        var facts = claw_tls_facts()
        guard claw_secured(bench.loop, fd, &facts) == 0 else { return }
        (version, alpn, resumed) = (Int(facts.version), Int(facts.alpn), facts.resumed == 1)
        cipher = facts.cipher.map { String(cString: $0) }
        serverName = facts.server_name.map { String(cString: $0) }
        subject = facts.subject.map { String(cString: $0) }
        names = facts.names.map { String(cString: $0) }
        reason = facts.reason.map { String(cString: $0) }
    }
}

/// Both ends of a TLS connection on one loop, and the test's hands on the wire between them: what one end sends the test carries to
/// the other, in pieces of at most `grain` bytes.
final class Wire {
    static let server: UInt64 = 1, client: UInt64 = 2
    let bench: Bench
    let serverEnd: Int32, clientEnd: Int32
    let atServer: Peer, atClient: Peer
    var grain = 65536
    /// Changes what goes to the server, if set.
    var rewrite: (([UInt8]) -> [UInt8])?
    /// All that went to the client, if kept.
    var toClient: [UInt8] = []
    private(set) var waitingForServer: [UInt8] = [], waitingForClient: [UInt8] = []

    init(_ bench: Bench, server: TLSSettings, client: TLSSettings?, host: String = "localhost") throws {
        self.bench = bench
        (serverEnd, atServer) = try bench.connection(token: Wire.server)
        (clientEnd, atClient) = try bench.connection(token: Wire.client)
        try #require(server.secureServer(bench.loop, serverEnd) == 0)
        if let client { try #require(client.secureClient(bench.loop, clientEnd, host) == 0) }
    }

    /// Carries what there is, once around.
    func carry() {
        if var some = atClient.fd < 0 ? nil : atClient.readSome(), !some.isEmpty {
            if let rewrite { some = rewrite(some) }
            waitingForServer += some
        }
        if let some = atServer.fd < 0 ? nil : atServer.readSome() {
            waitingForClient += some
            toClient += some
        }
        if !waitingForServer.isEmpty { waitingForServer.removeFirst(atServer.writeSome(waitingForServer.prefix(grain))) }
        if !waitingForClient.isEmpty { waitingForClient.removeFirst(atClient.writeSome(waitingForClient.prefix(grain))) }
    }

    /// Carries until the condition holds.
    func until(_ holds: () -> Bool) -> Bool {
        let deadline = claw_monotonic_ns() + 20_000_000_000
        while !holds() {
            if claw_monotonic_ns() > deadline { return false }
            carry()
            bench.wait(milliseconds: waitingForServer.isEmpty && waitingForClient.isEmpty ? 1 : 0)
        }
        return true
    }

    /// Carries until an event comes, and takes it out.
    func next(_ kind: Int, token: UInt64, sourceLocation: SourceLocation = #_sourceLocation) throws -> claw_event {
        var found: [claw_event] = []
        _ = until {
            if let at = bench.events.firstIndex(where: { Int($0.kind) == kind && $0.token == token }) { found = [bench.remove(at)] }
            return !found.isEmpty
        }
        return try #require(found.first, "an event of kind \(kind) comes", sourceLocation: sourceLocation)
    }

    /// Both results of the handshake.
    func shake() throws -> (server: Int, client: Int) {
        (Int(try next(CLAW_SECURED, token: Wire.server).result), Int(try next(CLAW_SECURED, token: Wire.client).result))
    }

    func facts(_ token: UInt64) -> TLSFacts { TLSFacts(bench, token == Wire.server ? serverEnd : clientEnd) }
}
