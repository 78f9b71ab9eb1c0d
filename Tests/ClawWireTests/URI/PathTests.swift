import Testing
@testable import ClawWire

struct PathTests {
    private func normal(_ path: String) -> String { normal(Array(path.utf8)) }

    private func normal(_ path: [UInt8]) -> String {
        var output = [UInt8](repeating: 0, count: path.count)
        let form = path.withUnsafeBytes { raw in output.withUnsafeMutableBytes { normalisePath(raw, into: $0) } }
        switch form {
        case .normal: return String(decoding: path, as: UTF8.self)
        case .rewritten(let count):
            let rewritten = Array(output[..<count])
            #expect(rewritten != path, "told as rewritten, but the same")
            #expect(rewritten.withUnsafeBytes { raw in output.withUnsafeMutableBytes { normalisePath(raw, into: $0) } } == .normal, "the normal form of a normal form is itself")
            return String(decoding: rewritten, as: UTF8.self)
        case .refused(let reason): return "refused \(reason)"
        }
    }

    @Test(arguments: [
        ("", ""), ("/", "/"), ("/v1/chat/completions", "/v1/chat/completions"), ("/a/", "/a/"), ("/a;x=1/b", "/a;x=1/b"), ("/models/a:b@c", "/models/a:b@c"),
        ("/%61%2D%7e", "/a-~"), ("/%2f", "refused path_encoded_slash"), ("/a%c3%a9", "/a%C3%A9"), ("/%20", "/%20"), ("/%252f", "/%252f"), ("/%25%32%66", "/%252f"),
        ("/.", "/"), ("/..", "refused path_above_root"), ("/a/.", "/a/"), ("/a/..", "/"), ("/a/b/..", "/a/"), ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/a/b/../../c", "/c"),
        ("/a/../../b", "refused path_above_root"), ("/a/%2e%2e/b", "/b"), ("/a/%2E/b", "/a/b"), ("/%2e%2e%2fb", "refused path_encoded_slash"), ("/...", "/..."), ("/.a", "/.a"), ("/..a", "/..a"), ("/a..", "/a.."),
        ("//", "refused path_empty_segment"), ("//a", "refused path_empty_segment"), ("/a//b", "refused path_empty_segment"), ("/a//", "refused path_empty_segment"), ("/a/..//b", "refused path_empty_segment"),
        ("/a/..;/b", "refused path_dot_segment_parameter"), ("/.;x/b", "refused path_dot_segment_parameter"), ("/%2e%2e;x", "refused path_dot_segment_parameter"),
        ("/%00", "refused path_encoded_control"), ("/%7f", "refused path_encoded_control"), ("/%1F", "refused path_encoded_control"), ("/%5c", "refused path_encoded_slash"), ("/\\", "refused path_backslash"),
        ("/%", "refused path_escape"), ("/%4", "refused path_escape"), ("/%4g", "refused path_escape"), ("/%%", "refused path_escape"), ("/é", "refused path_not_ascii"), ("/ ", "refused path_byte"),
        ("/a?b", "refused path_byte"), ("/a#b", "refused path_byte"), ("/\u{0}", "refused path_byte"), ("a", "refused path_without_slash"), ("*", "refused path_without_slash"), ("/%ff%FE", "/%FF%FE"),
    ])
    func H1_28_aPathHasOneFormOrNone(_ path: String, _ form: String) {
        #expect(normal(path) == form)
    }

    /// Whatever the path: no trap, nothing written too far, the result normal.
    @Test func H1_28_randomPathsNeverTrap() {
        var random = SeededGenerator(28)
        let letters = Array("//..%%2eE2fF5c;a~-".utf8)
        for _ in 0..<20_000 {
            let path = [0x2F] + (0..<Int.random(in: 0...24, using: &random)).map { _ in letters[Int.random(in: 0..<letters.count, using: &random)] }
            _ = normal(path)
        }
    }
}
