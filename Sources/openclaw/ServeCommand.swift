import ArgumentParser
import CClaw
import ClawConfig
import ClawEngine
import ClawLoad
import Glibc

/// `openclaw serve`: a supervisor process that keeps one gateway process running. The supervisor is forked off before anything is loaded, so that
/// it stays small; it passes signals on, and starts the gateway again within milliseconds if it crashes.
struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the gateway.")

    @Option(name: [.long, .customLong("config", withSingleDash: true), .customShort("c")], help: "The configuration file.")
    var config: String?

    @Flag(help: "Serve without a file: the built-in mock model as upstream, or OpenAI when OPENAI_API_KEY is set.")
    var demo = false

    @Flag(help: "Run the gateway in this process, without a supervisor.")
    var unsupervised = false

    func validate() throws {
        if demo, config != nil { throw ValidationError("--demo and --config exclude each other") }
    }

    func run() throws {
        _ = claw_signals_block(1)
        if unsupervised { throw ExitCode(serve()) }
        var supervisor = Supervisor()
        throw ExitCode(supervisor.run { serve() })
    }

    /// The gateway process. Returns its exit code.
    private func serve() -> Int32 {
        var process = GatewayProcess(source: demo ? .demo : .file(config ?? "openclaw.yaml"))
        return process.run()
    }
}
