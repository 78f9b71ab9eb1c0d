// The canonical form of a configuration: every effective value under its contract name, keys sorted, nothing else. It is printed in two
// ways: masked for people (/admin/config), and with digests in place of secrets for the version, which therefore changes when a key
// changes but gives nothing away.

import ClawWire

enum Canonical {
    case object([String: Canonical])
    case array([Canonical])
    case text(String)
    case secret(Secret)
    /// Text with a secret in it, and how it is shown.
    case concealing(String, shown: String)
    case integer(Int)
    case decimal(Double)
    /// A number that no Double may come near: its digits as they are.
    case exact(String)
    case flag(Bool)
    case null

    enum Secrets { case masked, digested }

    func json(_ secrets: Secrets) -> String {
        var output = ""
        write(to: &output, secrets)
        return output
    }

    private func write(to output: inout String, _ secrets: Secrets) {
        switch self {
        case .object(let members):
            output += "{"
            var isFirst = true
            for (key, value) in members.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
                if !isFirst { output += "," }
                isFirst = false
                Self.quote(key, to: &output)
                output += ":"
                value.write(to: &output, secrets)
            }
            output += "}"
        case .array(let items):
            output += "["
            for (index, item) in items.enumerated() {
                if index > 0 { output += "," }
                item.write(to: &output, secrets)
            }
            output += "]"
        case .text(let text): Self.quote(text, to: &output)
        case .secret(let secret):
            switch secrets {
            case .masked: Self.quote(secret.description, to: &output)
            case .digested: Self.quote("sha256:" + SHA256.hex(of: Array(secret.value.utf8)), to: &output)
            }
        case .concealing(let text, let shown):
            Self.quote(secrets == .masked ? shown : "sha256:" + SHA256.hex(of: Array(text.utf8)), to: &output)
        case .integer(let value): output += String(value)
        case .decimal(let value): output += Self.number(value)
        case .exact(let digits): output += digits
        case .flag(let value): output += value ? "true" : "false"
        case .null: output += "null"
        }
    }

    static func number(_ value: Double) -> String {
        if let whole = Int(exactly: value) { return String(whole) }
        return value.isFinite ? value.description : "null"
    }

    /// Nanoseconds as a number of seconds.
    static func seconds(_ nanoseconds: UInt64) -> Canonical {
        nanoseconds % 1_000_000_000 == 0 ? .integer(Int(nanoseconds / 1_000_000_000)) : .decimal(Double(nanoseconds) / 1e9)
    }

    /// Nanoseconds as a whole number of milliseconds.
    static func milliseconds(_ nanoseconds: UInt64) -> Canonical { .integer(Int(nanoseconds / 1_000_000)) }

    private static func quote(_ text: String, to output: inout String) {
        output += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": output += "\\\""
            case "\\": output += "\\\\"
            case "\n": output += "\\n"
            case "\r": output += "\\r"
            case "\t": output += "\\t"
            default:
                if scalar.value < 0x20 || scalar.value == 0x7F {
                    let hex = String(scalar.value, radix: 16)
                    output += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
                } else {
                    output.unicodeScalars.append(scalar)
                }
            }
        }
        output += "\""
    }
}
