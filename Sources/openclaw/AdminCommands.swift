import ArgumentParser
import CClaw
import ClawEngine
import Glibc

/// Where the admin listener is.
struct AdminOptions: ParsableArguments {
    @Option(help: "Address and port of the gateway's admin listener.")
    var admin = "127.0.0.1:9901"

    @Option(help: "The admin token (server.admin.token); default: the environment variable OPENCLAW_ADMIN_TOKEN.")
    var token: String?

    func ask(_ method: String, _ path: String) throws -> (status: Int, body: String) {
        do {
            return try AdminClient(address: admin, token: token ?? environment()["OPENCLAW_ADMIN_TOKEN"]).ask(method, path)
        } catch {
            operatorMessage("error", "\(error)")
            throw ExitCode(69)
        }
    }
}

/// `openclaw reload`: tells a running gateway to read its file again.
struct Reload: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Put a changed configuration file in force without dropping a request.")
    @OptionGroup var options: AdminOptions

    func run() throws {
        let answer = try options.ask("POST", "/admin/reload")
        print(answer.body)
        if answer.status == 422 { throw ExitCode(78) }
        if answer.status != 200 { throw ExitCode(69) }
    }
}

/// `openclaw status`: what a running gateway says of itself.
struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show what a running gateway is doing.")
    @OptionGroup var options: AdminOptions

    func run() throws {
        let answer = try options.ask("GET", "/admin/status")
        print(answer.body)
        if answer.status != 200 { throw ExitCode(69) }
    }
}
