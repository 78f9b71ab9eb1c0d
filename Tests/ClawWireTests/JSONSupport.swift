import ClawWire
import Foundation
import Testing

/// The folder of test data, found by OPENCLAW_SHARED or as a sibling of the package; nil if it isn't there.
enum WireSuites {
    static let folder: URL? = {
        var candidates: [URL] = []
        if let named = ProcessInfo.processInfo.environment["OPENCLAW_SHARED"] { candidates.append(URL(fileURLWithPath: named)) }
        var at = URL(fileURLWithPath: #filePath)
        while at.path != "/" {
            at.deleteLastPathComponent()
            candidates.append(at.appendingPathComponent("shared"))
        }
        return candidates.map { $0.appendingPathComponent("suites") }.first { FileManager.default.fileExists(atPath: $0.path) }
    }()
    static let isPresent = folder != nil
    static let absence: Comment = "the folder shared/suites is absent (set OPENCLAW_SHARED)"
}

/// A small generator with a seed, so that a failure can be seen again.
struct SplitMix: RandomNumberGenerator {
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

/// What a scan comes to, comparable.
struct ScanOutcome: Equatable, CustomStringConvertible {
    var progress: JSONProgress
    var root: JSONKind
    var insert: Int
    var isEmpty: Bool
    var spans: [[Int]]

    var description: String { "\(progress) \(root) \(insert) \(isEmpty) \(spans)" }
}

enum Scan {
    static func outcome(_ scanner: FieldScanner, _ progress: JSONProgress, _ spans: [JSONSpan]) -> ScanOutcome {
        ScanOutcome(
            progress: progress, root: scanner.rootKind, insert: scanner.rootInsertOffset, isEmpty: scanner.rootIsEmpty,
            spans: spans.map { [$0.offset, $0.length, Int($0.kind.rawValue), $0.isEscaped ? 1 : 0, $0.isTrue ? 1 : 0] })
    }

    /// Feeds the text up to each of `cuts` in turn, each time as a fresh exact-size copy (so a read past the end or of old memory shows up
    /// under the address sanitizer), then whole and last.
    static func cut(_ text: [UInt8], at cuts: some Sequence<Int>, paths: JSONPaths, depthMax: Int = 128) -> (ScanOutcome, [JSONSpan]) {
        var scanner = FieldScanner(paths: paths, depthMax: depthMax)
        var spans = Array(repeating: JSONSpan(), count: max(1, paths.paths.count))
        for span in spans.indices { spans[span].kind = .array; spans[span].length = 99 }
        var progress = JSONProgress.needMore
        for cut in cuts {
            progress = feed(&scanner, text[..<cut], false, &spans)
            if progress != .needMore { break }
        }
        if progress == .needMore { progress = feed(&scanner, text[...], true, &spans) }
        return (outcome(scanner, progress, spans), spans)
    }

    private static func feed(_ scanner: inout FieldScanner, _ part: ArraySlice<UInt8>, _ isLast: Bool, _ spans: inout [JSONSpan]) -> JSONProgress {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: part.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: part)
        return spans.withUnsafeMutableBufferPointer { scanner.scan(UnsafeRawBufferPointer(copy), isLast: isLast, spans: $0.baseAddress!) }
    }

    static func whole(_ text: [UInt8], paths: JSONPaths, depthMax: Int = 128) -> (ScanOutcome, [JSONSpan]) {
        cut(text, at: [], paths: paths, depthMax: depthMax)
    }

    static func refusal(_ text: String, unique: Set<Int> = [], paths: [String] = [], depthMax: Int = 128) -> JSONRefusal? {
        let compiled = JSONPaths(paths, unique: unique)
        return withExtendedLifetime(compiled) {
            if case .refused(let why) = whole(Array(text.utf8), paths: compiled, depthMax: depthMax).0.progress { return why }
            return nil
        }
    }

    /// The bytes of each wanted value, nil if missing.
    static func values(_ text: String, _ paths: [String], unique: Set<Int> = []) -> [String?] {
        let compiled = JSONPaths(paths, unique: unique)
        let bytes = Array(text.utf8)
        return withExtendedLifetime(compiled) {
            let (outcome, spans) = whole(bytes, paths: compiled)
            guard outcome.progress == .complete else { return ["\(outcome.progress)"] }
            return spans.prefix(paths.count).map { span in
                span.kind == .missing ? nil : String(decoding: bytes[span.offset..<span.offset + span.length], as: UTF8.self)
            }
        }
    }
}
