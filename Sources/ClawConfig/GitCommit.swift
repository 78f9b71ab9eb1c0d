// The git commit of the folder a configuration lies in, read from .git itself: starting a git process would cost more than the whole load,
// and git need not be installed where the gateway runs.

import Glibc

enum GitCommit {
    private static let fileBytesMax = 8 << 20

    /// Hash of the checked-out commit of the innermost repository around `path`, nil if there is none.
    static func of(folderOf path: String) -> String? {
        var folder = path.hasPrefix("/") ? path : workingFolder() + "/" + path
        while let slash = folder.lastIndex(of: "/") {
            folder = String(folder[..<slash])
            if let head = text("\(folder)/.git/HEAD") { return commit(head, git: "\(folder)/.git", common: "\(folder)/.git") }
            // A worktree or submodule: .git is a file that says where the repository is.
            if let link = text("\(folder)/.git"), link.hasPrefix("gitdir: ") {
                let git = join(folder, String(link.dropFirst(8)))
                let common = text("\(git)/commondir").map { join(git, $0) } ?? git
                return text("\(git)/HEAD").flatMap { commit($0, git: git, common: common) }
            }
        }
        return nil
    }

    private static func commit(_ head: String, git: String, common: String) -> String? {
        guard head.hasPrefix("ref: ") else { return isHash(head) ? head : nil }
        let name = String(head.dropFirst(5))
        guard name.hasPrefix("refs/"), !name.contains("..") else { return nil }
        for folder in [git, common] { if let hash = text("\(folder)/\(name)"), isHash(hash) { return hash } }
        for line in (text("\(common)/packed-refs") ?? "").split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            if parts.count == 2, parts[1] == name, isHash(String(parts[0])) { return String(parts[0]) }
        }
        return nil
    }

    private static func isHash(_ text: String) -> Bool {
        (text.utf8.count == 40 || text.utf8.count == 64) && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    private static func join(_ folder: String, _ path: String) -> String { path.hasPrefix("/") ? path : "\(folder)/\(path)" }

    /// A small file without the white space at its end.
    private static func text(_ path: String) -> String? {
        guard var bytes = try? readFile(path, bytesMax: fileBytesMax) else { return nil }
        while let last = bytes.last, last <= 0x20 { bytes.removeLast() }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func workingFolder() -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4097) { buffer in
            getcwd(buffer.baseAddress, buffer.count) == nil ? "" : String(cString: buffer.baseAddress!)
        }
    }
}
