// Where AWS credentials come from, in the order of the AWS SDKs: keys in the configuration, keys in the environment, the profile files, the container's
// endpoint (ECS, EKS Pod Identity). Pure: it looks at the environment through a closure and names places, it opens none. A credential endpoint over
// plain HTTP gets the authorization token and hands out keys, so only addresses of the machine itself and AWS's two link-local ones are taken.
import ClawWire

public enum CredentialSource: Equatable, Sendable {
    case keys(AWSCredentials)
    /// Sections of this name in either file; the first is stronger. Empty path: none.
    case profile(name: String, credentialsFile: String, configFile: String, isAsked: Bool)
    case container(url: String, authorization: Authorization)

    public enum Authorization: Equatable, Sendable {
        case none
        case token(AWSSecret)
        /// Read anew before each fetch: it is renewed there.
        case file(String)
    }

    /// What ECS_CONTAINER_METADATA uses, and EKS Pod Identity (IPv4 and IPv6).
    private static let linkLocalHosts = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"]

    /// Places to try, best first; the first that has credentials decides. Keys end the list; and so does a profile that was asked for by name.
    public static func order(
        explicit: AWSCredentials? = nil, profile: String? = nil, environment: (String) -> String?
    ) throws(CredentialProblem) -> [CredentialSource] {
        func variable(_ name: String) -> String? { environment(name).flatMap { $0.isEmpty ? nil : $0 } }
        if let explicit { return [.keys(explicit)] }
        if profile == nil {
            let accessKey = variable("AWS_ACCESS_KEY_ID")
            let secret = variable("AWS_SECRET_ACCESS_KEY")
            if let accessKey, let secret {
                return [.keys(AWSCredentials(accessKey: accessKey, secret: AWSSecret(secret), token: variable("AWS_SESSION_TOKEN").map(AWSSecret.init)))]
            }
            if accessKey != nil || secret != nil {
                throw CredentialProblem("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together, found only one of them in the environment")
            }
        }
        var places: [CredentialSource] = []
        let home = variable("HOME").map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
        let asked = profile ?? variable("AWS_PROFILE")
        let credentialsFile = variable("AWS_SHARED_CREDENTIALS_FILE").map { expanded($0, home) } ?? home.map { $0 + "/.aws/credentials" } ?? ""
        let configFile = variable("AWS_CONFIG_FILE").map { expanded($0, home) } ?? home.map { $0 + "/.aws/config" } ?? ""
        if !credentialsFile.isEmpty || !configFile.isEmpty {
            places.append(.profile(name: asked ?? "default", credentialsFile: credentialsFile, configFile: configFile, isAsked: asked != nil))
        } else if asked != nil {
            throw CredentialProblem("a profile is asked for, but neither HOME nor AWS_SHARED_CREDENTIALS_FILE says where its file is")
        }
        if asked != nil { return places }
        if let container = try container(variable) { places.append(container) }
        return places
    }

    /// Of the environment, in the SDKs' order; a profile's own region comes after it.
    public static func region(environment: (String) -> String?) -> String? {
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] { if let region = environment(name), !region.isEmpty { return region } }
        return nil
    }

    private static func expanded(_ path: String, _ home: String?) -> String {
        guard path.hasPrefix("~/"), let home else { return path }
        return home + path.dropFirst(1)
    }

    private static func container(_ variable: (String) -> String?) throws(CredentialProblem) -> CredentialSource? {
        let url: String
        if let relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            guard relative.hasPrefix("/"), !relative.hasPrefix("//"), isPlain(relative) else {
                throw CredentialProblem("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: expected a path that begins with one slash")
            }
            url = "http://169.254.170.2" + relative
        } else if let full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            try judge(full)
            url = full
        } else {
            return nil
        }
        if let path = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") { return .container(url: url, authorization: .file(path)) }
        guard let token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN") else { return .container(url: url, authorization: .none) }
        return .container(url: url, authorization: .token(try authorization(token)))
    }

    /// A token as the value of a header: what a file holds has a line end behind it, and one amid it would begin another header.
    public static func authorization(_ text: String) throws(CredentialProblem) -> AWSSecret {
        var text = text[...]
        while let last = text.last, last.isNewline || last == " " { text.removeLast() }
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            throw CredentialProblem("the container authorization token is empty or has control characters")
        }
        return AWSSecret(String(text))
    }

    private static func isPlain(_ text: String) -> Bool { text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } }

    /// https, or http to the machine itself or AWS's link-local addresses.
    private static func judge(_ text: String) throws(CredentialProblem) {
        let name = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
        // A query is legal here, and none of an address's business.
        let bare = String(text.prefix { $0 != "?" })
        guard isPlain(text), !text.contains("#") else { throw CredentialProblem("\(name): a character no URL has") }
        let url: HTTPURL
        do throws(HTTPURLError) { url = try HTTPURL(bare) } catch { throw CredentialProblem("\(name): \(error.message)") }
        guard bare.lowercased().hasPrefix("http") else { throw CredentialProblem("\(name): expected http:// or https://") }
        if url.isTLS { return }
        let isLoopback = url.host == "localhost" || url.host == "::1" || (url.host.hasPrefix("127.") && url.host.allSatisfy { $0.isNumber || $0 == "." })
        guard isLoopback || linkLocalHosts.contains(url.host) else {
            throw CredentialProblem("\(name): http is taken to loopback, 169.254.170.2, 169.254.170.23 and [fd00:ec2::23] only, found host \(url.host)")
        }
    }
}
