// AWS credentials of one upstream, as the workers see them: a word that points to an immutable copy in plain memory. A control thread publishes new ones
// before the old expire; what was replaced is kept for a minute, which is longer than any worker reads it.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc
import Synchronization

/// One set of credentials.
struct SigningCredentials {
    /// Counts up, so that a worker knows when its derived key is of others.
    var serial: UInt64
    var accessKey: Bytes
    var secret: Bytes
    var token: Bytes
}

final class Signer: @unchecked Sendable {
    /// Which of the process's signers; workers keep a derived key for each.
    let place: Int
    let region: String
    let regionBytes: Bytes
    private let memory = PlanMemory()
    private let word: UnsafeMutablePointer<UInt64>

    struct State {
        var aws = AWS()
        /// Counts `configure`, so that what was found by an older configuration is not published over what a newer one says.
        var round: UInt64 = 0
        var serial: UInt64 = 0
        /// Published sets, the present one last, each with the time it was replaced at.
        var sets: [(set: UnsafeMutablePointer<SigningCredentials>, memory: PlanMemory, replacedAt: UInt64)] = []
        var expiresAt: Int64?
        var lookAt: UInt64 = 0
        var failures = 0
        var problem: String?
        var published: AWSCredentials?
    }
    private let state = Mutex(State())

    init(place: Int, region: String) {
        self.place = place
        self.region = region
        regionBytes = memory.text(region)
        word = .allocate(capacity: 16)
        word.initialize(repeating: 0, count: 16)
    }

    deinit {
        state.withLock { for one in $0.sets { one.set.deallocate() } }
        word.deallocate()
    }

    /// For workers; valid for the call at hand.
    var current: UnsafeMutablePointer<SigningCredentials>? { UnsafeMutablePointer(bitPattern: UInt(claw_word_load(word))) }

    static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// What the configuration says now. Keys that stand there are in force at once.
    func configure(_ aws: AWS) {
        state.withLock { state in
            state.aws = aws
            state.round += 1
            state.lookAt = 0
        }
        if aws.accessKeyID != nil { refresh(now: claw_monotonic_ns(), wall: Int64(claw_realtime_ns() / 1_000_000_000), asksEndpoints: false) }
    }

    var problem: String? { state.withLock { $0.problem } }

    /// Looks for credentials if it is time to. - Returns: what to tell the operator, if anything is new.
    @discardableResult
    func refresh(now: UInt64, wall: Int64, asksEndpoints: Bool = true) -> String? {
        let (aws, round, isDue) = state.withLock { ($0.aws, $0.round, now >= $0.lookAt) }
        guard isDue else { return nil }
        do throws(CredentialProblem) {
            let credentials = try Self.find(aws, asksEndpoints: asksEndpoints)
            return state.withLock { state in
                guard state.round == round else { return nil }
                publish(credentials, &state, now)
                // Renewed five minutes before they expire, or at half of what is left; those of a file may be replaced at any time.
                let left = max(0, (credentials.expiresAt ?? wall + 120) - wall)
                let wait = left > 600 ? left - 300 : left / 2
                state.lookAt = now + UInt64(max(1, min(wait, credentials.expiresAt == nil ? 60 : 3600))) * 1_000_000_000
                state.failures = 0
                defer { state.problem = nil }
                return state.problem == nil ? nil : "there are credentials again"
            }
        } catch {
            // Nobody was asked yet: whoever asks will say.
            if !asksEndpoints { return nil }
            return state.withLock { state in
                guard state.round == round else { return nil }
                state.failures += 1
                state.lookAt = now + UInt64(min(60, 1 << min(state.failures, 6))) * 1_000_000_000
                if let expires = state.expiresAt, expires > wall { state.lookAt = min(state.lookAt, now + UInt64(expires - wall) * 1_000_000_000) }
                if let expires = state.expiresAt, expires <= wall { claw_word_store(word, 0) }
                defer { state.problem = error.message }
                return state.problem == error.message ? nil : error.message
            }
        }
    }

    private func publish(_ credentials: AWSCredentials, _ state: inout State, _ now: UInt64) {
        state.expiresAt = credentials.expiresAt
        while let first = state.sets.first, state.sets.count > 1, first.replacedAt != 0, now &- first.replacedAt > 60_000_000_000 {
            first.set.deallocate()
            state.sets.removeFirst()
        }
        if state.published == credentials, claw_word_load(word) != 0 { return }
        let memory = PlanMemory()
        state.serial += 1
        let set = UnsafeMutablePointer<SigningCredentials>.allocate(capacity: 1)
        set.initialize(to: SigningCredentials(
            serial: state.serial, accessKey: memory.text(credentials.accessKey), secret: memory.text(credentials.secret.value),
            token: memory.text(credentials.token?.value ?? "")))
        if !state.sets.isEmpty { state.sets[state.sets.count - 1].replacedAt = now }
        state.sets.append((set, memory, 0))
        state.published = credentials
        claw_word_store(word, UInt64(UInt(bitPattern: set)))
    }

    // MARK: places

    private static func find(_ aws: AWS, asksEndpoints: Bool) throws(CredentialProblem) -> AWSCredentials {
        var explicit: AWSCredentials?
        if let key = aws.accessKeyID, let secret = aws.secretAccessKey {
            explicit = AWSCredentials(accessKey: key.value, secret: AWSSecret(secret.value), token: aws.sessionToken.map { AWSSecret($0.value) })
        }
        let places = try CredentialSource.order(explicit: explicit, profile: aws.profile) {
            $0 == "AWS_SHARED_CREDENTIALS_FILE" ? aws.credentialsFile ?? environment($0) : environment($0)
        }
        for place in places {
            switch place {
            case .keys(let credentials): return credentials
            case .profile(let name, let credentialsFile, let configFile, let isAsked):
                var found: AWSProfile?
                for (path, kind) in [(configFile, AWSProfileFile.Kind.config), (credentialsFile, .credentials)] where !path.isEmpty {
                    guard let text = text(of: path), let section = try AWSProfileFile.profile(name, in: text, kind) else { continue }
                    if found == nil { found = section } else { found?.take(section) }
                }
                if let found {
                    if isAsked || found.accessKey != nil { return try found.credentials(named: name) }
                } else if isAsked {
                    throw CredentialProblem("profile \(name): in neither \(credentialsFile) nor \(configFile)")
                }
            case .container(let url, let authorization):
                guard asksEndpoints else { continue }
                return try ask(url, authorization)
            }
        }
        throw CredentialProblem("no AWS credentials in upstreams.*.aws, the environment, the profile files, or at a container's endpoint")
    }

    private static func text(of path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: AWSProfileFile.bytesMax + 1)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    private static func ask(_ text: String, _ authorization: CredentialSource.Authorization) throws(CredentialProblem) -> AWSCredentials {
        let bare = String(text.prefix { $0 != "?" })
        let query = String(text.dropFirst(bare.count))
        let url: HTTPURL
        do throws(HTTPURLError) { url = try HTTPURL(bare) } catch { throw CredentialProblem("container credentials: \(error.message)") }
        if url.isTLS { throw CredentialProblem("container credentials: https is not taken, only http to this machine and AWS's link-local addresses") }
        let token: String?
        switch authorization {
        case .none: token = nil
        case .token(let secret): token = secret.value
        case .file(let path):
            guard let held = Self.text(of: path) else { throw CredentialProblem("container credentials: the token file \(path) cannot be read") }
            token = try CredentialSource.authorization(held).value
        }
        let host = url.host.contains(":") ? "[\(url.host)]" : url.host
        let answer: (status: Int, body: String)
        do {
            answer = try AdminClient(address: "\(host):\(url.port)", token: nil, what: "the credential endpoint").fetch((url.path.isEmpty ? "/" : url.path) + query, authorization: token)
        } catch { throw CredentialProblem("\(error)") }
        var body = answer.body
        let result = body.withUTF8 { bytes -> Result<AWSCredentials, CredentialProblem> in
            do throws(CredentialProblem) { return .success(try ContainerCredentials.parse(UnsafeRawBufferPointer(bytes))) } catch { return .failure(error) }
        }
        guard answer.status == 200 else {
            if case .failure(let problem) = result { throw problem }
            throw CredentialProblem("container credentials: status \(answer.status)")
        }
        return try result.get()
    }
}
