import ArgumentParser
struct OpenClaw: ParsableCommand { static let configuration = CommandConfiguration(commandName: "openclaw") }
OpenClaw.main()
