import ArgumentParser
import ClawConfig
import ClawEngine
import Glibc

/// `openclaw explain`: where a request would go, by the file alone.
struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Explain where a request would go and why, from the configuration file; ask POST /admin/routes/explain for a running gateway's view.")

    @Option(name: [.long, .customLong("config", withSingleDash: true), .customShort("c")], help: "The configuration file.")
    var config: String = "openclaw.yaml"

    @Option(name: .shortAndLong, help: "A file with the request's body; - for standard input.")
    var request: String?

    @Option(help: "The method.")
    var method = "POST"

    @Option(help: "The path, with its query.")
    var path = "/v1/chat/completions"

    @Option(name: [.long, .customShort("H")], parsing: .singleValue, help: "A header, NAME:VALUE; may be repeated.")
    var header: [String] = []

    @Option(help: "Ask as the caller with this id of security.keys.")
    var keyID: String?

    @Option(help: "The listener's name; default: the first.")
    var listener: String?

    @Flag(help: "Print one line of JSON.")
    var json = false

    func run() throws {
        let result = loadConfiguration(path: config, environment: environment())
        for issue in result.issues where issue.severity == .error { operatorMessage("error", "\(issue)") }
        guard let configuration = result.configuration else { throw ExitCode(78) }
        var described = DescribedRequest()
        described.method = method
        described.path = path
        described.keyID = keyID
        described.listener = listener
        for text in header {
            guard let colon = text.firstIndex(of: ":"), colon > text.startIndex else { throw ValidationError("expected --header NAME:VALUE, found \(text)") }
            described.headers.append((String(text[..<colon]), String(text[text.index(after: colon)...].drop { $0 == " " })))
        }
        if let request {
            guard let bytes = Self.read(request) else {
                operatorMessage("error", "cannot read \(request): \(String(cString: strerror(errno)))")
                throw ExitCode(66)
            }
            described.body = bytes
        }
        let explanation: Explanation
        do { explanation = try Explanation.make(described, configuration) } catch {
            operatorMessage("error", "\(configuration.path): \(error)")
            throw ExitCode(78)
        }
        print(json ? explanation.json : explanation.text, terminator: json ? "\n" : "")
    }

    private static func read(_ path: String) -> [UInt8]? {
        let fd = path == "-" ? 0 : open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return nil }
        defer { if fd != 0 { close(fd) } }
        var out: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(fd, &chunk, chunk.count)
            if count < 0 { return nil }
            if count == 0 { return out }
            out += chunk[..<count]
        }
    }
}
