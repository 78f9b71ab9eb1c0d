import CScan
import Testing
@testable import ClawWire

struct HTTPURLTests {
    @Test func aURLIsSplit() throws {
        let url = try HTTPURL("HTTPS://Api.Example.com:8443/v1/%7euser/")
        #expect(url.isTLS && url.host == "api.example.com" && url.port == 8443 && url.path == "/v1/~user")
        let plain = try HTTPURL("http://localhost")
        #expect(!plain.isTLS && plain.host == "localhost" && plain.port == 80 && plain.path == "")
        #expect(try HTTPURL("https://a/").port == 443)
        let socket = try HTTPURL("WS://a/b")
        #expect(!socket.isTLS && socket.port == 80 && socket.path == "/b")
        #expect(try HTTPURL("wss://a").isTLS && HTTPURL("wss://a").port == 443)
        let literal = try HTTPURL("http://[2001:DB8:0:0:1:0:0:1]:8080/x")
        #expect(literal.host == "2001:db8::1:0:0:1" && literal.port == 8080 && literal.isIPv6)
        #expect(try HTTPURL("http://[::ffff:192.0.2.1]").host == "::ffff:c000:201")
        #expect(try HTTPURL("http://[::]").host == "::")
        #expect(try HTTPURL("http://[1::]").host == "1::")
        #expect(try HTTPURL("http://[1:0:0:2:0:0:0:3]").host == "1:0:0:2::3")
        #expect(try HTTPURL("http://[1:0:2:3:4:5:6:7]").host == "1:0:2:3:4:5:6:7")
        #expect(try HTTPURL("http://192.0.2.1:81").host == "192.0.2.1")
    }

    @Test(arguments: [
        "", "example.com", "ftp://a", "http:/a", "http://", "http:///a", "http://u@a", "http://u:p@a/", "http://a:0", "http://a:", "http://a:65536", "http://a:-1", "http://a:99999999999999999999",
        "http://a/?q", "http://a?q", "http://a/#f", "http://a b", " http://a", "http://a\n", "http://a\\b", "http://é.com", "http://a_b!c", "http://a..b", "http://.a", "http://a/../..", "http://a//b", "http://a/%zz",
        "http://127.1", "http://0x7f.1", "http://2130706433", "http://0177.0.0.1", "http://127.0.0.01", "http://256.0.0.1", "http://1.2.3.4.", "http://1.2.3", "http://0x7f000001", "http://foo.1", "http://foo.0x",
        "http://[::1", "http://[::1]x", "http://[1:2]", "http://[1::2::3]", "http://[::1.2.3]", "http://[fe80::1%25e]", "http://[12345::]", "http://[:1]", "http://[1:]", "http://[]", "http://[1:2:3:4:5:6:7:8:9]", "http://[1:2:3:4:5:6:7:1.2.3.4]", "http://[::1:2:3:4:5:6:7:8]",
        "http://" + String(repeating: "a", count: 64), "http://" + String(repeating: "a.", count: 130) + "b", "http://a/" + String(repeating: "b", count: 9000),
    ])
    func whatABrowserWouldRepairIsRefused(_ text: String) {
        #expect(throws: HTTPURLError.self) { try HTTPURL(text) }
    }

    @Test func theMessageSaysWhatIsWrong() {
        #expect(throws: HTTPURLError(message: "query in url \"http://a/?q\"")) { try HTTPURL("http://a/?q") }
        #expect(throws: HTTPURLError(message: "IPv4 address not written as four decimal numbers in url \"http://127.1\"")) { try HTTPURL("http://127.1") }
    }

    /// Why we refuse what the URL Standard takes. Each class is a rule of ours; a refusal that fits none fails the test.
    private static let deliberate: [(name: String, fits: @Sendable (String) -> Bool)] = [
        ("scheme other than http, https, ws and wss", { text in
            let lower = text.lowercased()
            return !["http:", "https:", "ws:", "wss:"].contains { lower.hasPrefix($0) }
        }),
        ("slashes missing behind the scheme", { text in
            let lower = text.lowercased()
            return !["http://", "https://", "ws://", "wss://"].contains { lower.hasPrefix($0) }
        }),
        ("control character, blank or backslash, which the standard strips or repairs", { $0.utf8.contains { $0 <= 0x20 || $0 == 0x7F || $0 == 0x5C } }),
        ("character outside ASCII", { $0.utf8.contains { $0 >= 0x80 } }),
        ("query or fragment, which an upstream's URL does not have", { $0.contains("?") || $0.contains("#") }),
        ("user name or password", { $0.split(separator: "/", omittingEmptySubsequences: false).dropFirst(2).first?.contains("@") ?? false }),
        ("number form of an IPv4 address", { isNumberForm(host(of: $0)) }),
        ("empty label, or one longer than DNS takes", { text in host(of: text).split(separator: ".", omittingEmptySubsequences: false).dropLast().contains { $0.isEmpty || $0.utf8.count > 63 } || host(of: text).utf8.count > 253 || (host(of: text).split(separator: ".").last?.utf8.count ?? 0) > 63 || host(of: text).isEmpty }),
        ("character no host name of ours has", { host(of: $0).utf8.contains { !isOfClass($0, cscan_http_plain) && $0 != 0x2E } }),
        ("path without a safe normal form: empty segments, above the root, bad escapes, raw bytes", { text in
            let path = "/" + text.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false).dropFirst(3).joined(separator: "/")
            return path.contains("//") || path.contains("..") || path.utf8.contains { $0 == 0x25 || !isOfClass($0, cscan_http_target) }
        }),
    ]

    private static func host(of text: String) -> String {
        let authority = text.split(separator: "/", omittingEmptySubsequences: false).dropFirst(2).first.map(String.init) ?? ""
        return authority.split(separator: ":", omittingEmptySubsequences: false).first.map(String.init) ?? ""
    }

    private static func isNumberForm(_ host: String) -> Bool {
        guard let last = host.split(separator: ".").last else { return false }
        return last.allSatisfy(\.isNumber) || last.lowercased().hasPrefix("0x")
    }

    @Test(.enabled(if: SharedSuites.arePresent, "shared suites not found: set OPENCLAW_SHARED"))
    func theURLSuiteIsNeverMisread() throws {
        let cases = try SharedSuites.cases("url/urltestdata-even.json")
        #expect(cases.count == 446)
        var failures = 0, accepted = 0, refused: [String: Int] = [:], withBase = 0
        for entry in cases {
            let input = entry["input"] as! String
            if entry["base"] is String { withBase += 1; continue }
            let url = try? HTTPURL(input)
            if entry["failure"] as? Bool == true {
                failures += 1
                #expect(url == nil, "must be refused: \(input)")
                continue
            }
            guard let url else {
                guard let reason = Self.deliberate.first(where: { $0.fits(input) }) else { Issue.record("refused without a class: \(input)"); continue }
                refused[reason.name, default: 0] += 1
                continue
            }
            accepted += 1
            let scheme = entry["protocol"] as! String
            #expect((url.isTLS ? ["https:", "wss:"] : ["http:", "ws:"]).contains(scheme), "\(input)")
            #expect((url.isIPv6 ? "[\(url.host)]" : url.host) == entry["hostname"] as! String, "\(input)")
            let port = entry["port"] as! String
            #expect(port.isEmpty ? url.port == (url.isTLS ? 443 : 80) : port == String(url.port), "\(input)")
        }
        #expect(failures == 103 && withBase == 172)
        #expect(accepted == 22)
    }

    @Test(.enabled(if: SharedSuites.arePresent, "shared suites not found: set OPENCLAW_SHARED"))
    func hostNamesOfTheSuiteKeepTheirASCIIForm() throws {
        var files = 0
        for case let entry as [String: Any] in try SharedSuites.list("url/toascii.json") {
            files += 1
            let input = entry["input"] as! String
            guard let url = try? HTTPURL("http://\(input)/") else { continue }
            #expect(url.host == entry["output"] as? String, "\(input)")
        }
        #expect(files == 87)
    }

    @Test(.enabled(if: SharedSuites.arePresent, "shared suites not found: set OPENCLAW_SHARED"))
    func urlCorpusNeverTraps() throws {
        let files = try SharedSuites.corpus("http1-corpus/url-corpus.tar.gz")
        #expect(files.count == 90)
        var random = SeededGenerator(90)
        for file in files {
            for _ in 0..<50 {
                var changed = file
                if !changed.isEmpty { changed[Int.random(in: 0..<changed.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
                _ = try? HTTPURL(String(decoding: changed, as: UTF8.self))
                var output = [UInt8](repeating: 0, count: changed.count)
                _ = changed.withUnsafeBytes { raw in output.withUnsafeMutableBytes { normalisePath(raw, into: $0) } }
            }
        }
    }
}
