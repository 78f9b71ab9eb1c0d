import CClaw
import Glibc
import Synchronization

/// Keeps one child process running. A child that ends with 0 or with a code that another start would not change (usage, configuration, unavailable)
/// ends the supervisor with the same code; one that crashed is started again: at once, unless it keeps crashing within its first second, then
/// after a pause that doubles up to 5 s.
struct Supervisor {
    private var child: Int32 = 0
    private var startedAt: UInt64 = 0
    private var pause: UInt64 = 0
    private var isEnding = false
    private static let pauseMax: UInt64 = 5_000_000_000

    mutating func run(_ body: () -> Int32) -> Int32 {
        while true {
            startedAt = claw_monotonic_ns()
            child = claw_fork()
            if child == 0 {
                _ = claw_die_with_parent(SIGKILL)
                endAtOnceOnCrash()
                exit(body())
            }
            if child < 0 {
                operatorMessage("error", "fork: \(String(cString: strerror(-child)))")
                return 71
            }
            // From here on this process only waits; its 10 MiB of touched text are the other one's business.
            _ = claw_forget_text()
            let status = waitForChild()
            switch status {
            case 0, 64, 69, 70, 77, 78: return status
            default: break
            }
            if isEnding { return status }
            let lived = claw_monotonic_ns() &- startedAt
            pause = lived > 1_000_000_000 ? 0 : min(Self.pauseMax, max(20_000_000, pause * 2))
            let how = status > 128 ? "signal \(status - 128)" : "exit code \(status)"
            operatorMessage("error", "the gateway process \(child) ended with \(how) after \(lived / 1_000_000) ms, starting it again in \(pause / 1_000_000) ms")
            if pause > 0, waitOut(pause) { return status }
        }
    }

    /// A backtracer of the Swift runtime takes seconds before a crashed process is gone, and a new one is wanted within milliseconds. Who wants the
    /// backtrace sets SWIFT_BACKTRACE.
    private func endAtOnceOnCrash() {
        guard getenv("SWIFT_BACKTRACE") == nil else { return }
        for crash in [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT] { signal(crash, SIG_DFL) }
    }

    /// Passes signals on until the child has ended; its exit code, or 128 + signal.
    private mutating func waitForChild() -> Int32 {
        while true {
            let signal = claw_signals_wait(-1)
            switch signal {
            case SIGCHLD:
                var status: Int32 = 0
                if claw_wait_child(child, &status) == child { return status }
            case 0: continue
            default:
                if signal == SIGTERM || signal == SIGINT || signal == SIGQUIT { isEnding = true }
                _ = claw_kill(child, signal)
            }
        }
    }

    /// The pause before another start; true when the supervisor was told to end meanwhile.
    private func waitOut(_ nanoseconds: UInt64) -> Bool {
        let until = claw_monotonic_ns() &+ nanoseconds
        while true {
            let now = claw_monotonic_ns()
            if now >= until { return false }
            let signal = claw_signals_wait(Int64(until - now))
            if signal == SIGTERM || signal == SIGINT || signal == SIGQUIT { return true }
        }
    }
}

/// Which operator messages are shown (`logging.level`). Set by the control thread when a configuration comes into force.
enum OperatorLog {
    private static let least = Atomic<Int>(1)
    private static let levels = ["debug", "info", "warn", "error"]
    static func setLevel(_ level: String) { least.store(levels.firstIndex(of: level) ?? 1, ordering: .relaxed) }
    static func shows(_ level: String) -> Bool { (levels.firstIndex(of: level) ?? 3) >= least.load(ordering: .relaxed) }
}

/// A line for the operator on standard error, as JSON like the request log.
func operatorMessage(_ level: String, _ text: String) {
    guard OperatorLog.shows(level) else { return }
    let nanoseconds = claw_realtime_ns()
    var time = time_t(nanoseconds / 1_000_000_000)
    var parts = tm()
    gmtime_r(&time, &parts)
    var stamp = [CChar](repeating: 0, count: 32)
    strftime(&stamp, 32, "%Y-%m-%dT%H:%M:%SZ", &parts)
    let length = strnlen(stamp, 32)
    let when = String(decoding: stamp[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    var line = "{\"time\":\"\(when)\",\"level\":\"\(level)\",\"message\":\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": line += "\\\""
        case "\\": line += "\\\\"
        case _ where scalar.value < 0x20: line += " "
        default: line.unicodeScalars.append(scalar)
        }
    }
    line += "\"}\n"
    _ = line.withCString { write(2, $0, strlen($0)) }
}
