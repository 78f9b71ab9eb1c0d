/// The wait in front of a further try: full jitter, anything from nothing to a bound that doubles with each attempt ("Exponential Backoff And Jitter",
/// AWS Architecture Blog, 2015). `attempt`: how many were made, from 1. `random`: 64 even bits.
public enum Backoff {
    public static func delay(attempt: Int, settings: RetrySettings, random: UInt64) -> UInt64 {
        let bound = min(doubled(settings.backoffBase, max(attempt, 1) &- 1), settings.backoffMax)
        return bound == .max ? random : random.multipliedFullWidth(by: bound &+ 1).high
    }
}

/// `base`·2^`times`, at most the greatest number there is.
func doubled(_ base: UInt64, _ times: Int) -> UInt64 {
    if times <= 0 || base == 0 { return base }
    return times > base.leadingZeroBitCount ? .max : base << UInt64(times)
}

/// a + b, at most the greatest number there is.
@inline(__always) func later(_ time: UInt64, by: UInt64) -> UInt64 {
    let (sum, isOver) = time.addingReportingOverflow(by)
    return isOver ? .max : sum
}

/// a − b, at least nothing: the clock of another worker may be ahead.
@inline(__always) func since(_ time: UInt64, _ now: UInt64) -> UInt64 { now > time ? now &- time : 0 }
