import CScan

/// JSON strings to text and back, in memory the caller owns. Nothing here allocates.
public enum JSONText {
    /// The text of a string value, its escapes undone. `value` is the value as it stands in the JSON text, quotes included (the bytes of a
    /// `JSONSpan` of kind string); the machine has validated it. Lone surrogate escapes become U+FFFD. The text is never longer than
    /// `value.count - 2` bytes, so a buffer of that size always suffices.
    /// - Returns: the length written, or nil if the buffer is too small or `value` is no string.
    public static func unescape(_ value: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer) -> Int? {
        guard value.count >= 2, value[0] == 0x22, value[value.count - 1] == 0x22, let base = value.baseAddress else { return nil }
        let body = base.assumingMemoryBound(to: UInt8.self) + 1
        guard let place = buffer.baseAddress else { return value.count == 2 ? 0 : nil }
        let written = cscan_json_unescape(body, value.count - 2, place.assumingMemoryBound(to: UInt8.self), buffer.count)
        return written < 0 ? nil : written
    }

    /// True when a string value, its escapes undone, is `text`. `value` as in `unescape`; no buffer is needed.
    public static func isEqual(_ value: UnsafeRawBufferPointer, to text: StaticString) -> Bool {
        guard value.count >= 2, value[0] == 0x22, value[value.count - 1] == 0x22, let base = value.baseAddress, text.hasPointerRepresentation else {
            return false
        }
        return cscan_json_equal(base.assumingMemoryBound(to: UInt8.self) + 1, value.count - 2, text.utf8Start, text.utf8CodeUnitCount)
    }

    /// Writes any bytes as the body of a JSON string (without quotes): quote, backslash and control characters escaped (`\n` and its like
    /// short, others as `\u00XX`), each maximal ill-formed part of UTF-8 as `\ufffd`; DEL and all other characters stay as they are.
    /// Stops before the first character that doesn't fit. Six times `bytes.count` always suffices.
    /// - Returns: the length written.
    public static func escape(_ bytes: UnsafeRawBufferPointer, into buffer: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int {
        var consumed = 0
        return escape(bytes, into: buffer, capacity: capacity, consumed: &consumed)
    }

    /// The same; `consumed` is how many of `bytes` are written (less than all when the capacity ran out).
    public static func escape(
        _ bytes: UnsafeRawBufferPointer, into buffer: UnsafeMutablePointer<UInt8>, capacity: Int, consumed: inout Int
    ) -> Int {
        consumed = 0
        guard let base = bytes.baseAddress, capacity > 0 else { return 0 }
        return cscan_json_escape(base.assumingMemoryBound(to: UInt8.self), bytes.count, buffer, capacity, &consumed)
    }
}
