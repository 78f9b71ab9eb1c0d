// Recorded exchanges with providers (../shared/recordings), for tests that read and rewrite them. Absent in a user's clone: then the tests that want
// them are skipped with a line that says so.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct Recording: Sendable, CustomTestStringConvertible {
    var id: String
    var api: String
    var tags: [String]
    var status: Int
    var requestBody: [UInt8]
    var requestPath: String
    var responseHeaders: [[String]]
    var responseBody: [UInt8]
    /// `expect` as JSON text.
    var expect: Data
    var testDescription: String { id }
    var isStream: Bool { tags.contains("stream") || (contentType.contains("event-stream") || contentType.contains("ndjson")) }
    var contentType: String { header("content-type") }
    func header(_ name: String) -> String { responseHeaders.first { $0[0] == name }?[1] ?? "" }
    var expected: [String: Any] { (try? JSONSerialization.jsonObject(with: expect)) as? [String: Any] ?? [:] }
}

enum Recordings {
    static let folder: URL = {
        let environment = ProcessInfo.processInfo.environment["OPENCLAW_SHARED"].map { URL(fileURLWithPath: $0) }
        let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return (environment ?? here.deletingLastPathComponent().appendingPathComponent("shared")).appendingPathComponent("recordings")
    }()
    static let all: [Recording] = load()
    static var isThere: Bool { !all.isEmpty }

    /// All whose api is one of these, or begins with one that ends in a dot.
    static func of(_ apis: String...) -> [Recording] {
        all.filter { one in apis.contains { one.api == $0 || ($0.hasSuffix(".") && one.api.hasPrefix($0)) } }
    }

    private static func load() -> [Recording] {
        guard let walk = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) else {
            print("skipped: no recordings at \(folder.path)")
            return []
        }
        var out: [Recording] = []
        for case let url as URL in walk where url.pathExtension == "json" {
            guard let data = try? Data(contentsOf: url), let one = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any],
                let id = one["id"] as? String, let request = one["request"] as? [String: Any], let response = one["response"] as? [String: Any]
            else { continue }
            out.append(Recording(
                id: id, api: one["api"] as? String ?? "", tags: one["tags"] as? [String] ?? [], status: response["status"] as? Int ?? 0,
                requestBody: body(request["body"]), requestPath: request["path"] as? String ?? "",
                responseHeaders: response["headers"] as? [[String]] ?? [], responseBody: body(response["body"]),
                expect: (try? JSONSerialization.data(withJSONObject: one["expect"] ?? [:])) ?? Data()))
        }
        if out.isEmpty { print("skipped: no recordings at \(folder.path)") }
        return out.sorted { $0.id < $1.id }
    }

    private static func body(_ value: Any?) -> [UInt8] {
        guard let value = value as? [String: Any] else { return [] }
        if let text = value["text"] as? String { return Array(text.utf8) }
        if let coded = value["base64"] as? String { return Array(Data(base64Encoded: coded) ?? Data()) }
        return []
    }
}
