import Foundation
import Testing
@testable import ClawConfig

@Suite struct DocumentTests {
    func problem(_ bytes: [UInt8]) -> String? {
        bytes.withUnsafeBytes { raw in
            do throws(DocumentError) {
                _ = try DocumentReader.read(raw)
                return nil
            } catch { return "\(error.place.line):\(error.place.column): \(error.message)" }
        }
    }
    func problem(_ text: String) -> String? { problem(Array(text.utf8)) }

    /// Ten lists of ten aliases each: ten thousand million values when expanded.
    static let bomb: String = {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...10 { text += "a\(level): &a\(level) [\(Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", "))]\n" }
        return text
    }()

    @Test func CF_06_aliasBombIsRefusedBeforeItExpands() {
        #expect(problem(Self.bomb) == "6:15: aliases expand to too many values, limit 250000")
        #expect(problem(Self.bomb + "? *a10\n: x\n")?.contains("too many values") == true)
    }

    @Test func CF_06_aliasBombOfMergeKeysIsRefused() {
        var text = "a0: &a0 {k: v}\n"
        for level in 1...40 { text += "a\(level): &a\(level) {<<: [*a\(level - 1), *a\(level - 1)]}\n" }
        #expect(problem(text)?.contains("too many values") == true)
    }

    @Test func CF_06_aliasesWithinTheLimitAreExpanded() throws {
        let node = try #require(try YAMLSuiteTests.read("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nmany: {<<: [{x: 4}, *b]}\n"))
        #expect(node.member("use")?.member("x") != nil)
        #expect(YAMLSuiteTests.isEqual(node.member("use"), ["x": 1, "y": 3]))
        #expect(YAMLSuiteTests.isEqual(node.member("many"), ["x": 4, "y": 2]))
    }

    @Test func CF_06_deepNestingIsRefused() {
        for (open, close) in [("[", "]"), ("{a: ", "}")] {
            #expect(problem(String(repeating: open, count: 64) + "x" + String(repeating: close, count: 64))?.hasSuffix("nested too deeply, limit 64") == true)
            #expect(problem(String(repeating: open, count: 63) + "x" + String(repeating: close, count: 63)) == nil)
            #expect(problem(String(repeating: open, count: 100_000))?.contains("nested too deeply") == true)
        }
        #expect(problem(String(repeating: "- ", count: 100_000))?.contains("nested too deeply") == true)
        #expect(problem((0..<100).map { String(repeating: " ", count: $0) + "a:\n" }.joined())?.contains("nested too deeply") == true)
    }

    @Test func CF_06_depthOfAliasesCounts() {
        var text = "a0: &a0 [x]\n"
        for level in 1...80 { text += "a\(level): &a\(level) [*a\(level - 1)]\n" }
        #expect(problem(text)?.contains("nested too deeply") == true)
    }

    @Test func CF_06_hugeFilesAreRefused() {
        #expect(problem([UInt8](repeating: 0x20, count: 9 << 20)) == "0:0: file too large: 9437184 bytes, limit 8388608")
        #expect(problem("- a\n" + String(repeating: "- a\n", count: 300_000)) == "250000:3: too many values, limit 250000")
        #expect(problem(String(repeating: "%TAG !a! !b\n", count: 100_000)) == "17:1: too many lines that begin with %, limit 16")
    }

    @Test func textThatIsNotUTF8IsRefusedWithItsOffset() {
        #expect(problem(Array("a: b\nc: ".utf8) + [0xFF]) == "2:4: not UTF-8 at byte 8")
        for bytes: [UInt8] in [[0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF0, 0x80, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82]] {
            #expect(problem(bytes) == "1:1: not UTF-8 at byte 0")
        }
        #expect(problem([0xFF, 0xFE, 0x61, 0x00]) == "1:1: not UTF-8 at byte 0")
        for text in ["é", "漢", "🙂", "\u{7FF}", "\u{FFFD}", "\u{10FFFD}"] { #expect(problem("a: \(text)\n") == nil, "\(text)") }
    }

    @Test func manyIssuesAreCutOff() {
        let issues = load("upstreams: {a: {type: generic, base_url: 'http://a'}}\n" + (0..<50_000).map { "unknown\($0): 1\n" }.joined()).issues
        #expect(issues.count == 201)
        #expect(issues.first?.description == "openclaw.yaml: more than 200 issues; the rest is not looked at")
    }

    @Test func controlCharactersAreRefused() {
        #expect(problem("a: \u{0}b\n") == "1:4: control characters are not allowed")
        #expect(problem("a: \u{1B}[31m\n") == "1:4: control characters are not allowed")
    }

    @Test func unquotedReferencesInFlowMapsAreExplained() {
        #expect(problem("a: {b: ${NAME}}\n") == "1:9: did not find expected ',' or '}', while parsing a flow mapping; inside { } and [ ], quote \"${…}\"")
    }

    @Test func emptyTextsHaveNoRoot() throws {
        for text in ["", " \n", "# comment\n", "---\n...\n", "\u{FEFF}"] {
            let node = try YAMLSuiteTests.read(text)
            #expect(node.map(\.isNull) ?? true, "\(text.debugDescription)")
        }
    }

    @Test func JSONIsRead() throws {
        let json = #"{"upstreams": {"a": {"type": "generic", "base_url": "http:\/\/127.0.0.1:1\/v1", "timeout_seconds": 1.5}},"# + "\n\t" + #""routes": [], "server": {"listen_port": 0, "watch_config": true}}"#
        let configuration = try #require(load(json).configuration)
        #expect(configuration.upstreams[0].timeoutNanoseconds == 1_500_000_000)
        #expect(configuration.server.watchConfig)
    }

    /// Seeded noise over a real file: bytes changed, dropped and doubled never trap, and what loads once loads again the same.
    @Test func CF_01_brokenFilesNeverTrap() throws {
        let original = Array(try Data(contentsOf: Workspace.package.appendingPathComponent("examples/openclaw.yaml")))
        var seed: UInt64 = 7
        func random(_ below: Int) -> Int {
            seed = seed &* 6364136223846793005 &+ 1442695040888963407
            return Int(seed >> 33) % below
        }
        let interesting = Array("{}[]&*!|>'\"%@`:-?#,\n\t $\0\u{7f}é0".utf8)
        for _ in 0..<300 {
            var bytes = original
            for _ in 0...random(4) {
                let at = random(bytes.count)
                switch random(3) {
                case 0: bytes[at] = interesting[random(interesting.count)]
                case 1: bytes.remove(at: at)
                default: bytes.insert(interesting[random(interesting.count)], at: at)
                }
            }
            let first = bytes.withUnsafeBytes { loadConfiguration(bytes: $0, name: "x", environment: ExampleTests.environment) }
            let again = bytes.withUnsafeBytes { loadConfiguration(bytes: $0, name: "x", environment: ExampleTests.environment) }
            #expect(first.configuration?.version == again.configuration?.version)
            #expect((first.configuration == nil) == first.issues.contains { $0.severity == .error })
        }
        for end in stride(from: 0, to: original.count, by: 7) {
            _ = original[..<end].withUnsafeBytes { loadConfiguration(bytes: $0, name: "x", environment: [:]) }
        }
    }
}
