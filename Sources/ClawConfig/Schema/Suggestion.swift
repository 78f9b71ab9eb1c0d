// "Did you mean": the nearest of some known names to a wrong one.

enum Suggestion {
    /// The nearest of `candidates`, if one is near enough to be meant.
    static func nearest(to name: String, among candidates: [String]) -> String? {
        let wanted = folded(name)
        guard wanted.count >= 2, wanted.count <= 64 else { return nil }
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            let known = folded(candidate)
            var distance = distance(wanted, known)
            // `timeout` for `timeout_seconds`: many edits, but nothing else can be meant.
            if distance > 2, min(wanted.count, known.count) >= 3, known.starts(with: wanted) || wanted.starts(with: known) { distance = 2 }
            // `retry` for `retries`: the same stem.
            if distance == 3, wanted.prefix(4) == known.prefix(4), wanted.count >= 4 { distance = 2 }
            if distance <= max(1, min(wanted.count, known.count) / 3) || (distance == 2 && wanted.count >= 3), distance < best?.distance ?? .max {
                best = (candidate, distance)
            }
        }
        return best?.name
    }

    /// "; did you mean `x`?" or nothing.
    static func hint(for name: String, among candidates: [String]) -> String {
        nearest(to: name, among: candidates).map { "; did you mean `\($0)`?" } ?? ""
    }

    /// Case and word separators do not count: `listenPort` is near `listen_port`.
    private static func folded(_ name: String) -> [UInt8] {
        name.utf8.compactMap { byte in
            switch byte {
            case 0x5F, 0x2D, 0x20: nil
            case 0x41...0x5A: byte | 0x20
            default: byte
            }
        }
    }

    /// Edit distance with neighbours swapped counting once (optimal string alignment).
    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
        var older = [Int](), previous = Array(0...b.count)
        for i in 1...a.count {
            var row = [i]
            for j in 1...b.count {
                var cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { cost = min(cost, older[j - 2] + 1) }
                row.append(cost)
            }
            older = previous
            previous = row
        }
        return previous[b.count]
    }
}
