import Foundation
import Testing
@testable import ClawConfig

func load(_ text: String, _ environment: [String: String] = [:]) -> ConfigurationLoad {
    loadConfiguration(text: text, name: "openclaw.yaml", environment: environment)
}

/// Everything wrong with a text, one line each.
func issues(_ text: String, _ environment: [String: String] = [:]) -> [String] { load(text, environment).issues.map(\.description) }

enum Workspace {
    static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The folder of shared test data, nil where it is not there.
    static let shared: URL? = {
        if let path = ProcessInfo.processInfo.environment["OPENCLAW_SHARED"] { return URL(fileURLWithPath: path) }
        var folder = package
        while folder.path != "/" {
            folder.deleteLastPathComponent()
            let candidate = folder.appendingPathComponent("shared")
            if FileManager.default.fileExists(atPath: candidate.appendingPathComponent("suites").path) { return candidate }
        }
        return nil
    }()

    /// A fresh folder for one test.
    static func scratch() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("clawconfig-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }
}
