import Foundation
import Glibc

/// Where the suites lie: the folder OPENCLAW_SHARED names, or a folder `shared` beside this package or further up. Nil when there is none.
enum SharedSuites {
    static let folder: URL? = {
        if let path = ProcessInfo.processInfo.environment["OPENCLAW_SHARED"] { return URL(fileURLWithPath: path, isDirectory: true) }
        var up = URL(fileURLWithPath: #filePath)
        while up.pathComponents.count > 1 {
            up.deleteLastPathComponent()
            let candidate = up.appendingPathComponent("shared/suites", isDirectory: true)
            if FileManager.default.fileExists(atPath: candidate.path) { return up.appendingPathComponent("shared", isDirectory: true) }
        }
        return nil
    }()

    static var arePresent: Bool { folder != nil }

    static func data(_ path: String) throws -> Data {
        try Data(contentsOf: folder!.appendingPathComponent("suites/\(path)"))
    }

    /// The list under `cases` of one of our JSON files.
    static func cases(_ path: String) throws -> [[String: Any]] {
        let file = try JSONSerialization.jsonObject(with: try data(path)) as? [String: Any]
        return file?["cases"] as? [[String: Any]] ?? []
    }

    /// A JSON file that is a list.
    static func list(_ path: String) throws -> [Any] {
        try JSONSerialization.jsonObject(with: try data(path)) as? [Any] ?? []
    }

    /// The files of a packed corpus.
    static func corpus(_ path: String) throws -> [[UInt8]] {
        let place = FileManager.default.temporaryDirectory.appendingPathComponent("openclaw-corpus-\(ProcessInfo.processInfo.processIdentifier)-\(UInt64.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: place) }
        guard unpack(folder!.appendingPathComponent("suites/\(path)").path, into: place.path) else { throw CocoaError(.fileReadCorruptFile) }
        var files: [[UInt8]] = []
        let names = FileManager.default.enumerator(at: place, includingPropertiesForKeys: nil)?.allObjects as? [URL] ?? []
        for name in names.sorted(by: { $0.path < $1.path }) where !name.hasDirectoryPath {
            files.append([UInt8](try Data(contentsOf: name)))
        }
        return files
    }
}

func bytes(base64 value: Any?) -> [UInt8] {
    guard let text = value as? String, let data = Data(base64Encoded: text) else { return [] }
    return [UInt8](data)
}

/// A small seeded generator (SplitMix64), so that a run can be told again.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Unpacks an archive with tar. Not with Foundation's Process: on Linux two of them in one test process can wait for each other's children
/// for ever.
func unpack(_ archive: String, into folder: String) -> Bool {
    var pid: pid_t = 0
    let words = ["tar", "-xzf", archive, "-C", folder]
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    guard posix_spawnp(&pid, "tar", nil, nil, &arguments, environ) == 0 else { return false }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 { guard errno == EINTR else { return false } }
    return status == 0
}
