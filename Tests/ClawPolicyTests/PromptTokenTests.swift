import ClawPolicy
import Foundation
import Testing

@Suite struct PromptTokenTests {
    private func estimate(_ body: [UInt8]) -> Int {
        var reading = PromptReading(.tokens)
        body.withUnsafeBytes { _ = reading.read($0) }
        return reading.tokens.value
    }
    private func estimate(_ text: String) -> Int { estimate(Array("{\"prompt\":\"\(text)\"}".utf8)) }

    @Test func knownTextsAreNear() {
        // Counts of o200k_base for these texts.
        let table: [(String, Int)] = [
            ("The quick brown fox jumps over the lazy dog.", 10), ("Hello, world!", 4), ("1234567890", 4), ("internationalization", 2), ("", 0),
        ]
        for (text, known) in table { #expect(abs(estimate(text) - known) <= max(2, known / 4), "\(text): \(estimate(text)) for \(known)") }
    }

    @Test func longTextGrowsInProportion() {
        let one = estimate(String(repeating: "The quick brown fox jumps over the lazy dog. ", count: 1000))
        let ten = estimate(String(repeating: "The quick brown fox jumps over the lazy dog. ", count: 10_000))
        #expect(abs(ten - 10 * one) < ten / 50)
        #expect(TokenEstimate.fromBytes(4000) == 1001 && TokenEstimate.fromBytes(-1) >= 0 && TokenEstimate.fromBytes(Int.max) > 0)
    }

    /// What recorded exchanges say, against the estimate: a table, and the median error.
    @Test func recordedExchangesAreWithinFifteenPercentInTheMedian() throws {
        let root = ProcessInfo.processInfo.environment["OPENCLAW_SHARED"] ?? URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../../../shared").standardized.path
        let folder = URL(fileURLWithPath: root).appending(path: "recordings")
        guard let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) else { return }
        var rows: [(String, Int, Int, Bool)] = []
        for case let file as URL in files where file.pathExtension == "json" {
            guard let data = try? Data(contentsOf: file), let all = try? JSONSerialization.jsonObject(with: data) as? [String: Any], let id = all["id"] as? String,
                let request = all["request"] as? [String: Any], let body = request["body"] as? [String: Any], let text = body["text"] as? String,
                let expect = all["expect"] as? [String: Any], let usage = expect["usage_native"] as? [String: Any],
                let fidelity = all["fidelity"] as? [String: Any], !["placeholder", "truncated"].contains(fidelity["request_body"] as? String ?? "")
            else { continue }
            func number(_ name: String) -> Int { (usage[name] as? NSNumber)?.intValue ?? 0 }
            var known = ["prompt_tokens", "promptTokenCount", "prompt_eval_count", "inputTokens"].map(number).first { $0 > 0 } ?? 0
            if known == 0 { known = number("input_tokens") + number("cache_read_input_tokens") + number("cache_creation_input_tokens") }
            let tags = all["tags"] as? [String] ?? []
            // Media, and what providers add of their own (instructions of reasoning models, xAI's prompt), are no text of ours.
            guard known > 0, !tags.contains(where: { ["multimodal", "image", "audio", "pdf", "video", "document", "thinking", "reasoning", "count-tokens"].contains($0) }), !id.hasPrefix("xai/") else { continue }
            rows.append((id, known, estimate(Array(text.utf8)), tags.contains { $0.contains("tool") || $0.contains("schema") || $0.contains("parallel") || $0 == "results" || $0 == "legacy" }))
        }
        guard !rows.isEmpty else { return }
        rows.sort { $0.0 < $1.0 }
        func median(_ rows: [(String, Int, Int, Bool)]) -> Double {
            let errors = rows.map { abs(Double($0.2 - $0.1)) / Double($0.1) }.sorted()
            return errors.isEmpty ? 0 : errors[errors.count / 2]
        }
        for row in rows { print("\(row.0)\(row.3 ? " (tools)" : ""): known \(row.1), estimate \(row.2), \((row.2 - row.1) * 100 / row.1) %") }
        let plain = rows.filter { !$0.3 }
        print("median error: all \(median(rows)), without tools \(median(plain)) of \(plain.count), tools \(median(rows.filter { $0.3 }))")
        #expect(median(plain) <= 0.15)
    }
}
