import Foundation
import Testing
@testable import ClawWire

/// Signs with Strings, for the tests' convenience.
struct SigningCase {
    var method = "POST"
    var path = "/model/x/converse"
    var query = ""
    var headers: [(String, String)] = [("Host", "bedrock-runtime.us-east-1.amazonaws.com"), ("Content-Type", "application/json")]
    var body: [UInt8] = []
    var date = "20250102T030405Z"
    var region = "us-east-1"
    var service = "bedrock"
    var accessKey = "AKIDEXAMPLE"
    var secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    var token = ""

    struct Signed: Equatable {
        var outcome: SigV4.Outcome
        var canonicalRequest: String
        var stringToSign: String
        var signedHeaders: String
        var authorization: String
        var keyHex: String
    }

    func sign() -> Signed {
        // One buffer holds all texts, so that they stay where they are.
        var bytes: [UInt8] = []
        func put(_ text: String) -> Range<Int> {
            let start = bytes.count
            bytes += Array(text.utf8)
            return start..<bytes.count
        }
        let places = [method, path, query, date, region, service, accessKey, secret, token, SHA256.hex(of: body)].map(put)
        let fields = headers.map { (put($0.0), put($0.1)) }
        return bytes.withUnsafeBytes { raw in
            func text(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: raw[range]) }
            let key = SigningKey(secret: text(places[7]), date: text(places[3]), region: text(places[4]), service: text(places[5]))
            return fields.map { SigV4.Field(name: text($0.0), value: text($0.1)) }.withUnsafeBufferPointer { fields in
                var request = SigV4.Request(
                    method: text(places[0]), path: text(places[1]), fields: fields, payloadHash: text(places[9]), date: text(places[3]))
                request.query = text(places[2])
                var signatory = SigV4.Signatory(accessKey: text(places[6]), region: text(places[4]), service: text(places[5]))
                signatory.sessionToken = text(places[8])
                var signer = SigV4()
                var out = JSONWriter()
                let outcome = signer.sign(request, by: signatory, with: key, into: &out)
                return Signed(
                    outcome: outcome, canonicalRequest: String(decoding: signer.canonicalRequest, as: UTF8.self),
                    stringToSign: String(decoding: signer.stringToSign, as: UTF8.self), signedHeaders: String(decoding: signer.signedHeaders, as: UTF8.self),
                    authorization: String(decoding: out.bytes, as: UTF8.self), keyHex: (0..<32).map { String(format: "%02x", key.bytes[$0]) }.joined())
            }
        }
    }

    /// Takes a URL apart as it stands, without normalising anything but the host.
    mutating func take(url: String) {
        let rest = url.dropFirst("https://".count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        let target = rest.dropFirst(authority.count)
        path = String(target.prefix { $0 != "?" })
        query = String(target.dropFirst(path.count).dropFirst())
        var host = authority.lowercased()
        if host.hasSuffix(":443") { host.removeLast(4) }
        headers = [("Host", host)]
    }
}

@Suite struct SigV4Tests {
    @Test func hmacPassesTheVectorsOfRFC4231() {
        let cases: [(key: [UInt8], text: [UInt8], code: String)] = [
            (.init(repeating: 0x0b, count: 20), Array("Hi There".utf8), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (Array("Jefe".utf8), Array("what do ya want for nothing?".utf8), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (.init(repeating: 0xaa, count: 20), .init(repeating: 0xdd, count: 50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (.init(repeating: 0xaa, count: 131), Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
             "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
        ]
        for one in cases {
            var hmac = one.key.withUnsafeBytes { HMACSHA256(key: $0) }
            one.text.withUnsafeBytes { hmac.update($0) }
            var code = [UInt8](repeating: 0, count: 32)
            code.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { hmac.finish(into: base) } }
            #expect(code.map { String(format: "%02x", $0) }.joined() == one.code)
        }
    }

    @Test func digestIntoMemoryIsTheArraysDigest() {
        for count in [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000] {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            var digest = [UInt8](repeating: 0, count: 32)
            var hex = [UInt8](repeating: 0, count: 64)
            bytes.withUnsafeBytes { raw in digest.withUnsafeMutableBufferPointer { SHA256.digest(of: raw, into: $0.baseAddress!) } }
            digest.withUnsafeBufferPointer { raw in hex.withUnsafeMutableBufferPointer { SHA256.writeHex(raw.baseAddress!, into: $0.baseAddress!) } }
            #expect(String(decoding: hex, as: UTF8.self) == SHA256.hex(of: bytes) && digest == SHA256.hash(bytes))
        }
    }

    @Test func keyCoversItsDayOnly() {
        func raw<R>(_ text: StaticString, _ body: (UnsafeRawBufferPointer) -> R) -> R { body(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)) }
        let key = raw("secret") { secret in raw("20250102T030405Z") { date in raw("us-east-1") { region in raw("bedrock") { service in
            SigningKey(secret: secret, date: date, region: region, service: service)
        } } } }
        #expect(raw("20250102T235959Z") { key.covers($0) })
        #expect(!raw("20250103T000000Z") { key.covers($0) })
        #expect(!raw("2025") { key.covers($0) })
        #expect("\(key)" == "***" && String(reflecting: key) == "***" && Mirror(reflecting: key).children.isEmpty)
    }

    @Test func datesAreWrittenInUTC() {
        for (seconds, text) in [
            (Int64(0), "19700101T000000Z"), (1_735_787_045, "20250102T030405Z"), (1_767_225_599, "20251231T235959Z"), (1_709_164_800, "20240229T000000Z"),
            (-5, "19700101T000000Z"), (.max, "99991231T235959Z"),
        ] {
            var bytes = [UInt8](repeating: 0, count: 16)
            bytes.withUnsafeMutableBufferPointer { SigV4.writeDate(seconds, into: $0.baseAddress!) }
            #expect(String(decoding: bytes, as: UTF8.self) == text)
        }
        for days in stride(from: Int64(0), to: 40_000, by: 13) { #expect(CivilDate(days: days).days == days) }
    }

    @Test func headersOfOneNameAreJoined() {
        var one = SigningCase()
        one.headers += [("X-A", "1"), ("x-a", " 2  3 ")]
        let signed = one.sign()
        #expect(signed.canonicalRequest.contains("\nx-a:1,2 3\n") && signed.signedHeaders == "content-type;host;x-a;x-amz-date")
    }

    @Test func signersOwnHeadersReplaceTheCallers() {
        var one = SigningCase()
        one.headers += [("X-Amz-Date", "19990101T000000Z"), ("Authorization", "x"), ("X-Amz-Security-Token", "old")]
        #expect(one.sign() == SigningCase().sign())
    }

    @Test func whatCannotBeSignedIsRefused() {
        for date in ["", "2025", "20250102T030405", "20250102 030405Z", "2025010aT030405Z", "20250102T030405ZZ"] where date.utf8.count >= 8 {
            var one = SigningCase()
            one.date = date
            #expect(one.sign().outcome == .refused, "\(date)")
        }
        var many = SigningCase()
        many.headers = (0..<62).map { ("h\($0)", "v") }
        #expect(many.sign().outcome == .signed)
        many.headers.append(("h62", "v"))
        #expect(many.sign().outcome == .refused)
        var pairs = SigningCase()
        pairs.query = (0..<32).map { "a\($0)=1" }.joined(separator: "&")
        #expect(pairs.sign().outcome == .signed)
        pairs.query += "&z"
        #expect(pairs.sign().outcome == .refused)
        var long = SigningCase()
        long.headers.append(("long", String(repeating: "x", count: 300_000)))
        #expect(long.sign().outcome == .refused && long.sign().authorization == "")
    }

    @Test func dotSegmentsAtTheEndAreResolved() {
        for (path, canonical) in [("/a/..", "/"), ("/a/b/..", "/a"), ("/a/b/../", "/a/"), ("/../a", "/a"), ("/.", "/"), ("//", "/"), ("/a/...", "/a/...")] {
            var one = SigningCase()
            one.path = path
            #expect(one.sign().canonicalRequest.hasPrefix("POST\n\(canonical)\n"), "\(path)")
        }
    }
}

@Suite(.enabled(if: WireSuites.isPresent, WireSuites.absence))
struct SigV4SuiteTests {
    @Test func all50CasesAgreeAtEveryStep() throws {
        let cases = FrameSuiteTests.file("sigv4/cases.json")
        #expect(cases.count == 50)
        for one in cases {
            let name = one["name"] as? String ?? ""
            let request = try #require(one["request"] as? [String: Any])
            var mine = SigningCase()
            mine.take(url: request["url"] as? String ?? "")
            mine.method = request["method"] as? String ?? ""
            for header in request["headers"] as? [[String]] ?? [] { mine.headers.append((header[0], header[1])) }
            mine.body = Array(Data(base64Encoded: request["body"] as? String ?? "") ?? Data())
            mine.date = one["time"] as? String ?? ""
            mine.region = one["region"] as? String ?? ""
            mine.service = one["service"] as? String ?? ""
            mine.accessKey = one["access_key"] as? String ?? ""
            mine.secret = one["secret_key"] as? String ?? ""
            mine.token = one["session_token"] as? String ?? ""
            let signed = mine.sign()
            #expect(signed.outcome == .signed, "\(name)")
            #expect(signed.canonicalRequest == one["canonical_request"] as? String, "\(name)")
            #expect(signed.stringToSign == one["string_to_sign"] as? String, "\(name)")
            #expect(signed.keyHex == one["signing_key_hex"] as? String, "\(name)")
            #expect(signed.signedHeaders == one["signed_headers"] as? String, "\(name)")
            #expect(signed.authorization.hasSuffix("Signature=\(one["signature"] as? String ?? "?")"), "\(name)")
            let added = one["added_headers"] as? [[String]] ?? []
            #expect(added.first { $0[0] == "Authorization" }?[1] == signed.authorization, "\(name)")
            #expect(added.contains { $0[0] == "X-Amz-Date" && $0[1] == mine.date }, "\(name)")
            #expect(added.contains { $0[0] == "X-Amz-Security-Token" } == !mine.token.isEmpty, "\(name)")
        }
    }

    @Test func bedrockVectorsAgree() throws {
        let url = try #require(WireSuites.folder?.appendingPathComponent("../providers/vectors/sigv4-bedrock.json"))
        let root = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
        let cases = root["cases"] as? [[String: Any]] ?? []
        #expect(cases.count == 3)
        for one in cases {
            var mine = SigningCase()
            mine.take(url: one["url"] as? String ?? "")
            mine.headers.append(("Content-Type", root["content_type"] as? String ?? ""))
            mine.body = Array((one["body"] as? String ?? "").utf8)
            mine.token = one["token"] as? String ?? ""
            let signed = mine.sign()
            #expect(signed.canonicalRequest == one["canonical_request"] as? String)
            #expect(signed.stringToSign == one["string_to_sign"] as? String)
            #expect(signed.authorization == (one["headers"] as? [String: String])?["Authorization"])
        }
    }
}
