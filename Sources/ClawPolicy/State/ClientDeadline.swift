// How long a client says it waits (`x-openclaw-deadline-ms`).

public enum ClientDeadline {
    /// Nine digits are eleven days.
    public static let digitsMax = 9

    /// The value of the field in nanoseconds; nil: nonsense, or nothing.
    public static func nanoseconds(_ value: UnsafeRawBufferPointer) -> UInt64? {
        guard value.count > 0, value.count <= digitsMax else { return nil }
        var milliseconds: UInt64 = 0
        for byte in value {
            let digit = byte &- 48
            guard digit <= 9 else { return nil }
            milliseconds = milliseconds * 10 + UInt64(digit)
        }
        return milliseconds > 0 ? milliseconds * 1_000_000 : nil
    }
}
