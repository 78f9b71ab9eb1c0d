// What a Claude model takes, read off its name: the API has no negotiation, and refuses with 400 what a model does not know. Names come with a maker or a
// region before them and dates, versions and revisions behind (`us.anthropic.claude-haiku-4-5-20251001-v1:0`, `anthropic/claude-opus-4.6`,
// `claude-sonnet-4@20250514`); only the family and the version count. A name without one (an alias of the operator's) is taken for a recent model that
// refuses nothing.
import ClawWire

struct ClaudeModel {
    enum Thinking: UInt8 {
        /// Not at all.
        case none
        /// `thinking.type: enabled` with a number of tokens.
        case budget
        /// `adaptive` with `output_config.effort`; a number of tokens works as well.
        case both
        /// `adaptive` alone.
        case adaptive
    }

    private struct Row {
        /// Major version × 100 + minor: the first that this holds for.
        var from: Int
        var thinking: Thinking
        var isOnByDefault = false
        var isAlwaysOn = false
        var hasXHigh = false
        var takesSampling = true
        var takesBothSamplings = false
        var hasSchemas = true
    }

    // Sources: shared/catalog (reasoning_options, temperature), platform.claude.com's migration guides. From 4.1 on, temperature and top_p exclude each
    // other; structured outputs came with 4.1 (Opus) and 4.5.
    private static let rows: [Row] = [
        Row(from: 0, thinking: .none, takesBothSamplings: true, hasSchemas: false),
        Row(from: 307, thinking: .budget, takesBothSamplings: true, hasSchemas: false),
        Row(from: 401, thinking: .budget),
        Row(from: 406, thinking: .both),
        Row(from: 407, thinking: .adaptive, hasXHigh: true, takesSampling: false),
        Row(from: 500, thinking: .adaptive, isOnByDefault: true, hasXHigh: true, takesSampling: false),
        Row(from: 505, thinking: .adaptive, isOnByDefault: true, isAlwaysOn: true, hasXHigh: true, takesSampling: false),
    ]
    private static let unknown = Row(from: -1, thinking: .adaptive, hasXHigh: true, takesBothSamplings: true)

    private let row: Row
    /// These think whatever their version.
    private let isOfThinkers: Bool
    var thinking: Thinking { row.thinking }
    var isOnByDefault: Bool { row.isOnByDefault || isOfThinkers }
    var isAlwaysOn: Bool { row.isAlwaysOn || isOfThinkers }
    var hasXHigh: Bool { row.hasXHigh }
    var takesSampling: Bool { row.takesSampling }
    var takesBothSamplings: Bool { row.takesBothSamplings }
    var hasSchemas: Bool { row.hasSchemas }

    init(_ name: JSONBytes) {
        isOfThinkers = name.contains("claude-fable") || name.contains("claude-mythos")
        guard let version = Self.version(name) else {
            row = Self.unknown
            return
        }
        var found = Self.rows[0]
        for row in Self.rows where row.from <= version { found = row }
        row = found
    }

    /// `claude-opus-4-6` → 406, `claude-3-5-sonnet-20240620` → 305, `claude-v2:1` → 201; nil where there is none.
    static func version(_ name: JSONBytes) -> Int? {
        let word: StaticString = "claude"
        guard name.contains(word) else { return nil }
        var at = 0
        while !name.dropFirst(at).begins(with: word) { at += 1 }
        at += 6
        var major: Int?
        while at < name.count {
            // A run of letters and digits.
            while at < name.count, !isWordByte(name[at]) { at += 1 }
            let start = at
            while at < name.count, isWordByte(name[at]) { at += 1 }
            var run = name.prefix(at).dropFirst(start)
            if major == nil, run.count > 1, run[0] == 0x76 { run = run.dropFirst(1) }
            let number = Self.number(run)
            if let major { return major * 100 + (number ?? 0) }
            major = number
        }
        return major.map { $0 * 100 }
    }

    private static func isWordByte(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) }

    /// Of one or two digits; a date has more.
    private static func number(_ run: JSONBytes) -> Int? {
        guard run.count == 1 || run.count == 2 else { return nil }
        var value = 0
        for byte in run.raw {
            guard (48...57).contains(byte) else { return nil }
            value = value * 10 + Int(byte) - 48
        }
        return value
    }

    /// Tokens to think with on models that want a number.
    static func budget(for effort: Reasoning.Effort) -> Int64 {
        switch effort {
        case .none: 0
        case .minimal, .low: 1024
        case .unset, .medium: 2048
        case .high: 4096
        case .xhigh: 8192
        case .max: 16384
        }
    }
}
