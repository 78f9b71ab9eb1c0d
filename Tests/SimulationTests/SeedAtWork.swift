import Glibc

/// A trap ends the process and with it every message about the seed; so the seed at work is written by the signal itself.
enum SeedAtWork {
    /// Read by the signal handler, written between plays, which run one after the other.
    nonisolated(unsafe) static var seed: UInt64 = 0
    nonisolated(unsafe) private static var before: [Int32: sigaction] = [:]

    static func announceTraps() {
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE] where before[number] == nil {
            var old = sigaction(), new = sigaction()
            new.__sigaction_handler.sa_handler = { SeedAtWork.announce($0) }
            sigaction(number, &new, &old)
            before[number] = old
        }
    }

    private static func announce(_ number: Int32) {
        var digits: (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) =
            (48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48)
        var rest = seed
        withUnsafeMutableBytes(of: &digits) { raw in
            var place = raw.count
            repeat {
                place -= 1
                raw[place] = 48 + UInt8(rest % 10)
                rest /= 10
            } while rest > 0
            let text: StaticString = "\nthe play trapped; to play it again: make sim SEED="
            _ = write(2, text.utf8Start, text.utf8CodeUnitCount)
            _ = write(2, raw.baseAddress! + place, raw.count - place)
            _ = write(2, "\n", 1)
        }
        // What stood here before goes on with it: the instruction is met again.
        if var old = before[number] { sigaction(number, &old, nil) } else { signal(number, SIG_DFL) }
    }
}
