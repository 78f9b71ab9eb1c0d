import Foundation
import Testing
@testable import ClawDialect

@Suite struct CredentialsTests {
    static let file = """
        \u{FEFF}# a comment
        [default]
        aws_access_key_id = AKIDDEFAULT
        aws_secret_access_key=secret/with=signs+ # why
        ; another
        [ work ]
        AWS_ACCESS_KEY_ID = AKIDWORK\r
        aws_secret_access_key = s#e;c\r
        aws_session_token = token==
        region = eu-west-1
        s3 =
          region = nested
        [broken
        aws_access_key_id = AKIDLOST
        [work]
        region = eu-central-1
        [half]
        aws_access_key_id = A
        [empty]
        """

    @Test func profilesAreFoundByName() throws {
        let standard = try #require(try AWSProfileFile.profile("default", in: Self.file, .credentials))
        #expect(try standard.credentials(named: "default") == AWSCredentials(accessKey: "AKIDDEFAULT", secret: AWSSecret("secret/with=signs+")))
        let work = try #require(try AWSProfileFile.profile("work", in: Self.file, .credentials))
        #expect(work.accessKey == "AKIDWORK" && work.secret?.value == "s#e;c" && work.token?.value == "token==" && work.region == "eu-central-1")
        #expect(try AWSProfileFile.profile("nobody", in: Self.file, .credentials) == nil)
        #expect(try AWSProfileFile.profile("empty", in: Self.file, .credentials) == AWSProfile())
        #expect(performing { _ = try AWSProfileFile.profile("half", in: Self.file, .credentials)?.credentials(named: "half") }?.contains("belong together") == true)
        #expect(performing { _ = try AWSProfileFile.profile("empty", in: Self.file, .credentials)?.credentials(named: "empty") } == "profile empty: has no aws_access_key_id")
        #expect(performing { _ = try AWSProfileFile.profile("x", in: String(repeating: " ", count: AWSProfileFile.bytesMax + 1), .credentials) }?.contains("too large") == true)
    }

    @Test func theConfigFileSaysProfile() throws {
        let config = """
            [default]
            region = us-west-2
            [profile dev]
            region = eu-west-3
            sso_session = corp
            [profile "two words"]
            region = ap-1
            [dev2]
            region = lost
            [sso-session corp]
            region = lost
            """
        #expect(try AWSProfileFile.profile("default", in: config, .config)?.region == "us-west-2")
        #expect(try AWSProfileFile.profile("dev", in: config, .config)?.region == "eu-west-3")
        #expect(try AWSProfileFile.profile("two words", in: config, .config)?.region == "ap-1")
        for name in ["dev2", "corp"] { #expect(try AWSProfileFile.profile(name, in: config, .config) == nil) }
        var merged = try #require(try AWSProfileFile.profile("dev", in: config, .config))
        #expect(performing { _ = try merged.credentials(named: "dev") } == "profile dev: has no keys, and sso_session is no way to credentials here")
        var keys = AWSProfile()
        keys.accessKey = "A"
        keys.secret = AWSSecret("S")
        merged.take(keys)
        #expect(try merged.credentials(named: "dev").accessKey == "A" && merged.region == "eu-west-3")
    }

    @Test func secretsNeverPrintThemselves() {
        let credentials = AWSCredentials(accessKey: "AKID", secret: AWSSecret("abcdefghijklmnop"), token: AWSSecret("tiny"))
        var dumped = ""
        dump(credentials, to: &dumped)
        for text in ["\(credentials)", String(reflecting: credentials), dumped, "\(CredentialSource.keys(credentials))"] { #expect(!text.contains("abcdefgh") && !text.contains("tiny"), "\(text)") }
        #expect("\(AWSSecret("abcdefghijklmnop"))" == "***mnop" && "\(AWSSecret("tiny"))" == "***")
    }

    static func container(_ text: String) throws -> AWSCredentials {
        let held = Held(Array(text.utf8))
        return try ContainerCredentials.parse(held.bytes)
    }

    @Test func containersAnswersAreRead() throws {
        let whole = try Self.container("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\\/x\",\"Token\":\"T\",\"Expiration\":\"2025-01-02T03:04:05Z\",\"RoleArn\":\"r\"}")
        #expect(whole == AWSCredentials(accessKey: "A", secret: AWSSecret("S/x"), token: AWSSecret("T"), expiresAt: 1_735_787_045))
        #expect(try Self.container("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}").expiresAt == nil)
        for (bad, why) in [("", "no JSON"), ("[]", "no JSON"), ("{}", "missing"), ("{\"AccessKeyId\":\"A\"}", "missing"), ("{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"S\"}", "missing"),
            ("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Expiration\":\"soon\"}", "RFC 3339"), ("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Expiration\":5}", "RFC 3339"),
            ("{\"code\":\"AccessDenied\",\"message\":\"no\"}", "refused: AccessDenied: no")] {
            #expect(performing { _ = try Self.container(bad) }?.contains(why) == true, "\(bad)")
        }
    }

    @Test func timesAreThoseOfRFC3339() {
        for (text, seconds) in [("1970-01-01T00:00:00Z", 0), ("2025-01-02T03:04:05.678Z", 1_735_787_045), ("2025-01-02t03:04:05z", 1_735_787_045), ("2025-01-02T04:04:05+01:00", 1_735_787_045),
            ("2025-01-01T21:34:05-05:30", 1_735_787_045), ("2024-02-29T00:00:00Z", 1_709_164_800), ("2016-12-31T23:59:60Z", 1_483_228_800)] as [(String, Int64)] {
            #expect(ContainerCredentials.time(text) == seconds, "\(text)")
        }
        for text in ["", "2025", "2025-13-01T00:00:00Z", "2025-02-29T00:00:00Z", "2025-01-00T00:00:00Z", "2025-01-02T24:00:00Z", "2025-01-02T00:60:00Z", "2025-01-02T00:00:61Z", "2025-01-02T00:00:00",
            "2025-01-02T00:00:00.Z", "2025-01-02T00:00:00+1:00", "2025-01-02T00:00:00Zx", "2025-01-02 00:00:0Z", "é025-01-02T00:00:00Z", "2025-01-02T00:00:00+25:00"] {
            #expect(ContainerCredentials.time(text) == nil, "\(text)")
        }
    }

    static func order(_ environment: [String: String], explicit: AWSCredentials? = nil, profile: String? = nil) throws -> [CredentialSource] {
        do throws(CredentialProblem) { return try CredentialSource.order(explicit: explicit, profile: profile) { environment[$0] } } catch { throw TestFailure(description: error.message) }
    }

    @Test func sourcesComeInTheOrderOfTheSDKs() throws {
        let mine = AWSCredentials(accessKey: "M", secret: AWSSecret("S"))
        let all = ["AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T", "HOME": "/home/x/", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/token", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t"]
        #expect(try Self.order(all, explicit: mine) == [.keys(mine)])
        #expect(try Self.order(all) == [.keys(AWSCredentials(accessKey: "A", secret: AWSSecret("S"), token: AWSSecret("T")))])
        var rest = all
        rest["AWS_ACCESS_KEY_ID"] = nil
        #expect(performing { _ = try Self.order(rest) }?.contains("belong together") == true)
        rest["AWS_SECRET_ACCESS_KEY"] = ""
        let file = CredentialSource.profile(name: "default", credentialsFile: "/home/x/.aws/credentials", configFile: "/home/x/.aws/config", isAsked: false)
        #expect(try Self.order(rest) == [file, .container(url: "http://169.254.170.23/v1/credentials", authorization: .file("/var/token"))])
        rest["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = nil
        #expect(try Self.order(rest).last == .container(url: "http://169.254.170.23/v1/credentials", authorization: .token(AWSSecret("t"))))
        rest["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/x?id=1"
        #expect(try Self.order(rest).last == .container(url: "http://169.254.170.2/v2/credentials/x?id=1", authorization: .token(AWSSecret("t"))))
        #expect(try Self.order([:]) == [])
        // A profile asked for by name is the last word, and in the configuration it is before the environment's keys.
        #expect(try Self.order(rest.merging(["AWS_PROFILE": "work", "AWS_SHARED_CREDENTIALS_FILE": "~/c", "AWS_CONFIG_FILE": "/d"]) { $1 })
            == [.profile(name: "work", credentialsFile: "/home/x/c", configFile: "/d", isAsked: true)])
        #expect(try Self.order(all, profile: "p").first == .profile(name: "p", credentialsFile: "/home/x/.aws/credentials", configFile: "/home/x/.aws/config", isAsked: true))
        #expect(performing { _ = try Self.order(["AWS_PROFILE": "p"]) }?.contains("HOME") == true)
        #expect(CredentialSource.region { ["AWS_DEFAULT_REGION": "b", "AWS_REGION": ""][$0] } == "b" && CredentialSource.region { _ in nil } == nil)
    }

    @Test func endpointsOverPlainHTTPAreTheMachinesOwn() throws {
        for good in ["http://127.0.0.1:1234/x", "http://127.9.9.9/", "http://localhost/x", "http://[::1]:80/x", "http://169.254.170.2/x", "http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1",
            "http://[FD00:0EC2:0:0:0:0:0:23]/v1", "https://credentials.example/x?y=1"] {
            #expect(try Self.order(["AWS_CONTAINER_CREDENTIALS_FULL_URI": good]) == [.container(url: good, authorization: .none)], "\(good)")
        }
        for bad in ["http://169.254.169.254/latest", "http://example.com/", "http://127.0.0.1.example.com/", "http://127.0.0.1@example.com/", "http://[fd00:ec2::24]/", "http://10.0.0.1/", "ftp://127.0.0.1/",
            "127.0.0.1", "http://2130706433/", "http://0x7f.1/", "http://localhost.example/", "ws://127.0.0.1/", "http://127.0.0.1/ x", "http://127.0.0.1/#x", "http://[::ffff:10.0.0.1]/"] {
            #expect(performing { _ = try Self.order(["AWS_CONTAINER_CREDENTIALS_FULL_URI": bad]) }?.hasPrefix("AWS_CONTAINER_CREDENTIALS_FULL_URI: ") == true, "\(bad)")
        }
        for bad in ["x", "//example.com/x", "@example.com", ":80/x"] {
            #expect(performing { _ = try Self.order(["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": bad]) } != nil, "\(bad)")
        }
        #expect(performing { _ = try Self.order(["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\r\nX: y"]) }?.contains("control") == true)
        #expect(try CredentialSource.authorization("token\n").value == "token")
    }
}
