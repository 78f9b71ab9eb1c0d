// Configuration files. Checked: a load gives a configuration exactly when no issue is an error, the same each time, with places inside the file and a
// masked form that is JSON; a file that was cut off is judged like any other.
import ClawConfig
import ClawWire

private let noPaths = JSONPaths([], unique: [])
nonisolated(unsafe) private let none = UnsafeMutablePointer<JSONSpan>.allocate(capacity: 1)
private let environment = ["OPENAI_API_KEY": "sk-of-the-environment", "NAME": "a name", "EMPTY": "", "PORT": "8080"]

private func load(_ text: String) -> ConfigurationLoad {
    let load = loadConfiguration(text: text, name: "fuzz.yaml", environment: environment)
    let lines = text.utf8.count { $0 == 10 || $0 == 13 } + text.unicodeScalars.count { $0.value == 0x85 || $0.value == 0x2028 || $0.value == 0x2029 } + 1
    var previous = 0
    for issue in load.issues {
        check(issue.line >= 0 && issue.line <= lines + 1, "an issue in line \(issue.line) of \(lines): \(issue.message)")
        check(issue.line >= previous, "issues out of order")
        check(!issue.message.isEmpty, "an issue without a message")
        previous = issue.line
    }
    check((load.configuration == nil) == load.issues.contains { $0.severity == .error }, "a configuration with errors, or neither")
    return load
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: data, count: size)
    let text = String(decoding: bytes, as: UTF8.self)
    let first = load(text)
    var dice = Dice(bytes)
    _ = load(String(decoding: bytes[..<dice.below(size + 1)], as: UTF8.self))
    guard let configuration = first.configuration else { return 0 }
    let second = load(text)
    check(second.configuration?.version == configuration.version && second.configuration?.maskedJSON == configuration.maskedJSON, "loaded twice it differs")
    var masked = configuration.maskedJSON
    var scanner = FieldScanner(paths: noPaths)
    let progress = masked.withUTF8 { scanner.scan(UnsafeRawBufferPointer($0), isLast: true, spans: none) }
    check(progress == .complete && scanner.rootKind == .object, "a masked form that is no JSON: \(progress)")
    return 0
}
