import ClawPolicy
import Foundation

enum Conversation {
    /// A file of Tests/Fixtures/discovery.
    static func bytes(_ name: String) throws -> [UInt8] {
        let here = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent().deletingLastPathComponent()
        return Array(try Data(contentsOf: here.appendingPathComponent("Fixtures/discovery/\(name)")))
    }
    static func text(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }
    static func lines(_ name: String) throws -> [String] { try text(name).split(separator: "\n").map(String.init) }
}

/// Calls `body` with the text in memory that ends where the text does.
func with<R>(_ text: some Sequence<UInt8>, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let bytes = Array(text)
    let held = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 1)
    defer { held.deallocate() }
    held.copyBytes(from: bytes)
    return try body(UnsafeRawBufferPointer(rebasing: held[..<bytes.count]))
}

/// The kind of the problem that `body` ends with.
func kind(_ body: () throws -> Void) -> DiscoveryProblem.Kind? {
    do {
        try body()
        return nil
    } catch { return (error as? DiscoveryProblem)?.kind }
}

extension EndpointSet {
    /// Short forms, for comparisons: scheme where it is told, host, port, path, weight where it is not 1.
    var words: [String] {
        endpoints.map { "\($0.isTLS.map { $0 ? "https://" : "http://" } ?? "")\($0.host):\($0.port)\($0.path ?? "")\($0.weight == 1 ? "" : " \($0.weight)")" }
    }
}

/// A generator with a seed, so that a failure can be seen again.
struct DiscoveryDice: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
