import Foundation
import Testing
@testable import ClawConfig

@Suite struct FileTests {
    static let good = "upstreams: {a: {type: generic, base_url: 'http://127.0.0.1:1'}}\n"

    func inScratch(_ body: (URL) throws -> Void) throws {
        let folder = try Workspace.scratch()
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder)
    }
    func verdict(_ url: URL) -> String {
        let load = loadConfiguration(path: url.path, environment: [:])
        return load.configuration == nil ? load.issues.map(\.message).joined(separator: "; ") : "loaded"
    }

    @Test func CF_02_filesThatCannotBeReadAreRefused() throws {
        try inScratch { folder in
            #expect(verdict(folder.appendingPathComponent("absent.yaml")) == "cannot open: No such file or directory")
            #expect(verdict(folder) == "is a folder")
            let fifo = folder.appendingPathComponent("fifo")
            #expect(mkfifo(fifo.path, 0o600) == 0)
            #expect(verdict(fifo) == "is not a regular file")
            let loop = folder.appendingPathComponent("loop")
            try FileManager.default.createSymbolicLink(at: loop, withDestinationURL: loop)
            #expect(verdict(loop) == "cannot open: Too many levels of symbolic links")
            let locked = folder.appendingPathComponent("locked")
            try Data(Self.good.utf8).write(to: locked)
            #expect(chmod(locked.path, 0) == 0)
            if geteuid() != 0 { #expect(verdict(locked) == "cannot open: Permission denied") }
            #expect(verdict(URL(fileURLWithPath: "/dev/zero")) == "is not a regular file")
            #expect(loadConfiguration(path: "a\0b", environment: [:]).issues.map(\.description) == ["a\0b: a path cannot hold a zero byte"])
        }
    }

    @Test func CF_02_halfWrittenFilesAreRefused() throws {
        let text = Array("upstreams:\n  a:\n    type: generic\n    base_url: 'http://127.0.0.1:1'\n    headers: {X-A: \"b\"}\nserver: {listen_port: 1}\n".utf8)
        // Cut inside a token the text is no YAML or misses what it needs; cut between options it is a right, smaller file, which only an
        // atomic rename by the writer can tell from a whole one.
        for end in 0..<text.count {
            let load = text[..<end].withUnsafeBytes { loadConfiguration(bytes: $0, name: "x", environment: [:]) }
            #expect((load.configuration == nil) == load.issues.contains { $0.severity == .error })
        }
        #expect(text[..<5].withUnsafeBytes { loadConfiguration(bytes: $0, name: "x", environment: [:]) }.configuration == nil)
    }

    @Test func CF_02_symbolicLinksAreFollowed() throws {
        try inScratch { folder in
            let real = folder.appendingPathComponent("v1.yaml"), link = folder.appendingPathComponent("openclaw.yaml")
            try Data(Self.good.utf8).write(to: real)
            try FileManager.default.createSymbolicLink(at: link, withDestinationURL: real)
            #expect(verdict(link) == "loaded")
            try FileManager.default.removeItem(at: real)
            #expect(verdict(link) == "cannot open: No such file or directory")
        }
    }

    @Test func CF_06_hugeFilesAreNotRead() throws {
        try inScratch { folder in
            let file = folder.appendingPathComponent("huge.yaml")
            try Data().write(to: file)
            #expect(truncate(file.path, 100 << 20) == 0)
            #expect(verdict(file) == "file too large: 104857600 bytes, limit 8388608")
        }
    }

    @Test func CF_09_fileAndTextGetTheSameVerdict() throws {
        try inScratch { folder in
            for one in IssueTests.cases {
                let file = folder.appendingPathComponent("openclaw.yaml")
                try Data(one.text.utf8).write(to: file)
                let fromFile = loadConfiguration(path: file.path, environment: IssueTests.environment)
                let fromText = loadConfiguration(text: one.text, name: file.path, environment: IssueTests.environment)
                #expect(fromFile.issues.map(\.description) == fromText.issues.map(\.description))
                #expect(fromFile.configuration?.version == fromText.configuration?.version)
                #expect((fromFile.configuration == nil) == fromFile.issues.contains { $0.severity == .error })
            }
        }
    }

    // MARK: Commit

    @Test func commitIsReadFromLooseAndPackedRefsAndDetachedHeads() throws {
        try inScratch { folder in
            let git = folder.appendingPathComponent(".git"), deep = folder.appendingPathComponent("a/b")
            try FileManager.default.createDirectory(at: git.appendingPathComponent("refs/heads"), withIntermediateDirectories: true)
            try FileManager.default.createDirectory(at: deep, withIntermediateDirectories: true)
            let file = deep.appendingPathComponent("openclaw.yaml")
            try Data(Self.good.utf8).write(to: file)
            func commit() -> String? { loadConfiguration(path: file.path, environment: [:]).configuration?.gitCommit }
            func write(_ text: String, _ name: String) throws { try Data(text.utf8).write(to: git.appendingPathComponent(name)) }
            let one = String(repeating: "1a", count: 20), two = String(repeating: "2b", count: 20), three = String(repeating: "3c", count: 20)
            try write("ref: refs/heads/main\n", "HEAD")
            #expect(commit() == nil)
            try write("# pack-refs with: peeled fully-peeled sorted\n\(two) refs/heads/main\n^\(three)\n", "packed-refs")
            #expect(commit() == two)
            try write(one + "\n", "refs/heads/main")
            #expect(commit() == one)
            try write(three + "\n", "HEAD")
            #expect(commit() == three)
            try write("ref: refs/heads/../../../etc/passwd\n", "HEAD")
            #expect(commit() == nil)
        }
    }

    @Test func commitOfAWorktreeIsFound() throws {
        try inScratch { folder in
            let main = folder.appendingPathComponent("main/.git"), own = main.appendingPathComponent("worktrees/w"), work = folder.appendingPathComponent("w")
            try FileManager.default.createDirectory(at: own, withIntermediateDirectories: true)
            try FileManager.default.createDirectory(at: main.appendingPathComponent("refs/heads"), withIntermediateDirectories: true)
            try FileManager.default.createDirectory(at: work, withIntermediateDirectories: true)
            let hash = String(repeating: "4d", count: 20)
            try Data("gitdir: \(own.path)\n".utf8).write(to: work.appendingPathComponent(".git"))
            try Data("ref: refs/heads/side\n".utf8).write(to: own.appendingPathComponent("HEAD"))
            try Data("../..\n".utf8).write(to: own.appendingPathComponent("commondir"))
            try Data("\(hash)\n".utf8).write(to: main.appendingPathComponent("refs/heads/side"))
            #expect(GitCommit.of(folderOf: work.appendingPathComponent("openclaw.yaml").path) == hash)
        }
    }
}
