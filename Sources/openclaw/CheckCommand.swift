import ArgumentParser
import ClawConfig
import ClawEngine
import Glibc

/// `openclaw check`: reads a file as `serve` would and says everything that is wrong with it.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Check a configuration file; exit 0 when it is usable, 78 when it is not.")

    @Option(name: [.long, .customLong("config", withSingleDash: true), .customShort("c")], help: "The configuration file.")
    var config: String = "openclaw.yaml"

    @Argument(help: "The file, instead of --config.")
    var file: String?

    @Flag(help: "Print the reference of all options as Markdown and exit.")
    var reference = false

    @Flag(help: "Print the effective configuration as JSON, secrets masked.")
    var show = false

    func run() throws {
        if reference {
            print(configurationReference())
            return
        }
        let result = loadConfiguration(path: file ?? config, environment: environment())
        for issue in result.issues { _ = "\(issue.severity == .warning ? "warning: " : "")\(issue)\n".withCString { write(2, $0, strlen($0)) } }
        guard let configuration = result.configuration else { throw ExitCode(78) }
        if let problem = Gateway.problem(with: configuration) {
            _ = "\(configuration.path): \(problem)\n".withCString { write(2, $0, strlen($0)) }
            throw ExitCode(78)
        }
        if show { print(configuration.maskedJSON) } else { print("ok: \(configuration.path), version \(configuration.version.prefix(12))") }
    }
}
