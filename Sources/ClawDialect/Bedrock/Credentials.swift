// What AWS credentials are written as: the profile files (~/.aws/credentials and ~/.aws/config) and the answer of the container credential endpoint (ECS and
// EKS Pod Identity). Pure: whoever reads files and asks endpoints, and when, is elsewhere. None of this is on the path of a request.
import ClawWire

/// A text that never prints itself.
public struct AWSSecret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public let value: String
    public init(_ value: String) { self.value = value }
    public var description: String { value.utf8.count > 8 ? "***" + String(value.suffix(4)) : "***" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

public struct AWSCredentials: Hashable, Sendable {
    public var accessKey: String
    public var secret: AWSSecret
    /// Of temporary credentials.
    public var token: AWSSecret?
    /// Seconds since 1970; nil: they do not expire.
    public var expiresAt: Int64?
    public init(accessKey: String, secret: AWSSecret, token: AWSSecret? = nil, expiresAt: Int64? = nil) {
        self.accessKey = accessKey; self.secret = secret; self.token = token; self.expiresAt = expiresAt
    }
}

/// Why there are no credentials; a sentence that holds no secret.
public struct CredentialProblem: Error, Equatable, Sendable, CustomStringConvertible {
    public var message: String
    public init(_ message: String) { self.message = message }
    public var description: String { message }
}

/// One section of a profile file.
public struct AWSProfile: Equatable, Sendable {
    public var accessKey: String?
    public var secret: AWSSecret?
    public var token: AWSSecret?
    public var region: String?
    /// Names of settings that ask for ways to credentials that are not taken here (`sso_session`, `role_arn`, `credential_process` …).
    public var otherWays: [String] = []
    public init() {}

    /// Where both say something, `other` wins: the credentials file before the config file.
    public mutating func take(_ other: AWSProfile) {
        // A pair belongs together, and its token with it.
        if other.accessKey != nil || other.secret != nil {
            accessKey = other.accessKey
            secret = other.secret
            token = other.token
        } else {
            token = other.token ?? token
        }
        region = other.region ?? region
        otherWays += other.otherWays.filter { !otherWays.contains($0) }
    }

    public func credentials(named name: String) throws(CredentialProblem) -> AWSCredentials {
        guard let accessKey, let secret, !accessKey.isEmpty, !secret.value.isEmpty else {
            if accessKey != nil || secret != nil {
                throw CredentialProblem("profile \(name): aws_access_key_id and aws_secret_access_key belong together, found only one")
            }
            if let way = otherWays.first { throw CredentialProblem("profile \(name): has no keys, and \(way) is no way to credentials here") }
            throw CredentialProblem("profile \(name): has no aws_access_key_id")
        }
        return AWSCredentials(accessKey: accessKey, secret: secret, token: token.flatMap { $0.value.isEmpty ? nil : $0 })
    }
}

public enum AWSProfileFile {
    public enum Kind: Sendable {
        /// Sections are names.
        case credentials
        /// Sections are `default` and `profile x`; others (`sso-session x`, `services x`) are no profiles.
        case config
    }
    public static let bytesMax = 1 << 20

    /// The section of this name; nil where there is none. Several of one name count as one, later settings win.
    /// Lines: `[section]`, `name = value`, comments from `#` or `;` at a line's start or behind a blank; an indented line belongs to the setting above it.
    public static func profile(_ name: String, in text: String, _ kind: Kind) throws(CredentialProblem) -> AWSProfile? {
        guard text.utf8.count <= bytesMax else { throw CredentialProblem("profile file too large: \(text.utf8.count) bytes, limit \(bytesMax)") }
        var profile: AWSProfile?
        var isInside = false
        for line in text.split(omittingEmptySubsequences: false, whereSeparator: { $0.isNewline }) {
            let bare = line.first == "\u{FEFF}" ? line.dropFirst() : line[...]
            guard let first = bare.first, first != "#", first != ";" else { continue }
            if first == "[" {
                guard let end = bare.firstIndex(of: "]") else {
                    isInside = false
                    continue
                }
                isInside = section(trimmed(bare[bare.index(after: bare.startIndex)..<end]), kind) == name
                if isInside, profile == nil { profile = AWSProfile() }
                continue
            }
            // Indented: a nested setting (`s3 =` and what is below it).
            guard isInside, first != " ", first != "\t", let equals = bare.firstIndex(of: "=") else { continue }
            let key = trimmed(bare[..<equals]).lowercased()
            let value = uncommented(bare[bare.index(after: equals)...])
            switch key {
            case "aws_access_key_id": profile?.accessKey = value
            case "aws_secret_access_key": profile?.secret = AWSSecret(value)
            case "aws_session_token": profile?.token = AWSSecret(value)
            case "region": profile?.region = value.isEmpty ? nil : value
            case "role_arn", "source_profile", "credential_source", "credential_process", "web_identity_token_file", "sso_session", "sso_start_url",
                "sso_account_id", "login_session":
                profile?.otherWays.append(key)
            default: break
            }
        }
        return profile
    }

    private static func section(_ title: String, _ kind: Kind) -> String? {
        if kind == .credentials || title == "default" { return title }
        let words = title.split(maxSplits: 1, whereSeparator: { $0 == " " || $0 == "\t" })
        guard words.count == 2, words[0] == "profile" else { return nil }
        var name = trimmed(words[1])
        // `[profile "two words"]`
        if name.count >= 2, let quote = name.first, quote == "\"" || quote == "'", name.last == quote { name = String(name.dropFirst().dropLast()) }
        return name
    }

    private static func uncommented(_ text: Substring) -> String {
        var isBehindBlank = false
        for at in text.indices {
            let one = text[at]
            if isBehindBlank, one == "#" || one == ";" { return trimmed(text[..<at]) }
            isBehindBlank = one == " " || one == "\t"
        }
        return trimmed(text)
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }
}

public enum ContainerCredentials {
    public static let bytesMax = 64 << 10

    /// `{AccessKeyId, SecretAccessKey, Token, Expiration}`; an error of the endpoint's is `{code, message}`.
    public static func parse(_ body: UnsafeRawBufferPointer) throws(CredentialProblem) -> AWSCredentials {
        guard body.count <= bytesMax else { throw CredentialProblem("container credentials: answer too large: \(body.count) bytes, limit \(bytesMax)") }
        let box = ArenaBox()
        guard box.tape.read(body) == nil, box.tape.root.isObject else { throw CredentialProblem("container credentials: the answer is no JSON object") }
        let root = box.tape.root
        func text(_ value: JSONValue) -> String? { value.isString ? box.arena.unescaped(value.text).string : nil }
        guard let accessKey = text(root["AccessKeyId"]), let secret = text(root["SecretAccessKey"]), !accessKey.isEmpty, !secret.isEmpty else {
            if let code = text(root["code"]) ?? text(root["Code"]) {
                let message = text(root["message"]) ?? text(root["Message"]) ?? ""
                throw CredentialProblem("container credentials: refused: \(code.prefix(100)): \(message.prefix(300))")
            }
            throw CredentialProblem("container credentials: AccessKeyId or SecretAccessKey is missing in the answer")
        }
        var credentials = AWSCredentials(accessKey: accessKey, secret: AWSSecret(secret))
        credentials.token = text(root["Token"]).flatMap { $0.isEmpty ? nil : AWSSecret($0) }
        if root["Expiration"].isPresent {
            guard let written = text(root["Expiration"]), let seconds = time(written) else {
                throw CredentialProblem("container credentials: Expiration is no RFC 3339 time")
            }
            credentials.expiresAt = seconds
        }
        return credentials
    }

    /// Seconds since 1970 of an RFC 3339 time, fractions cut off.
    static func time(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        func number(_ at: Int, _ count: Int) -> Int64? {
            guard at + count <= bytes.count else { return nil }
            var value: Int64 = 0
            for byte in bytes[at..<at + count] {
                guard (48...57).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 48)
            }
            return value
        }
        func isAt(_ place: Int, _ marks: UInt8...) -> Bool { place < bytes.count && marks.contains(bytes[place]) }
        guard let year = number(0, 4), isAt(4, 0x2D), let month = number(5, 2), isAt(7, 0x2D), let day = number(8, 2), isAt(10, 0x54, 0x74, 0x20),
            let hour = number(11, 2), isAt(13, 0x3A), let minute = number(14, 2), isAt(16, 0x3A), let second = number(17, 2), year >= 1,
            (1...12).contains(month), hour < 24, minute < 60, second <= 60
        else { return nil }
        let date = CivilDate(year: year, month: month, day: day)
        // A day that the month does not have comes back as another.
        guard date.days >= 0, CivilDate(days: date.days) == date else { return nil }
        var at = 19
        if isAt(at, 0x2E) {
            at += 1
            let first = at
            while at < bytes.count, (48...57).contains(bytes[at]) { at += 1 }
            guard at > first else { return nil }
        }
        var offset: Int64 = 0
        if isAt(at, 0x5A, 0x7A) {
            at += 1
        } else if isAt(at, 0x2B, 0x2D) {
            guard let hours = number(at + 1, 2), isAt(at + 3, 0x3A), let minutes = number(at + 4, 2), hours < 24, minutes < 60 else { return nil }
            offset = (hours * 60 + minutes) * 60 * (bytes[at] == 0x2D ? -1 : 1)
            at += 6
        } else {
            return nil
        }
        guard at == bytes.count else { return nil }
        return date.days * 86400 + hour * 3600 + minute * 60 + second - offset
    }
}
