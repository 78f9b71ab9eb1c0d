import ArgumentParser
struct OpenClaw: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "openclaw",
        subcommands: [
            Mock.self,
            Bench.self,
        ]
    )
}
OpenClaw.main()
