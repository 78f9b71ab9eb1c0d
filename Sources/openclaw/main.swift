import ArgumentParser

/// The command line. Exit codes follow sysexits: 64 usage, 66 no input, 69 unavailable, 78 configuration.
struct OpenClaw: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "openclaw",
        abstract: "An LLM and API gateway: one endpoint for every model provider, one binary.",
        subcommands: [Serve.self, Check.self, Explain.self, Reload.self, Status.self, Mock.self, Bench.self]
    )
}
OpenClaw.main()
