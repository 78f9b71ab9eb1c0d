import Glibc

/// The values of JSON numbers, for policy (sampling parameters, limits) and for token counts. Bytes that are no JSON number by RFC 8259's
/// grammar (a string, `null`, `+1`, an empty span) give nil everywhere; nothing traps and nothing allocates.
public enum JSONNumber {
    /// The nearest double, ties to even. What lies beyond the doubles becomes the greatest finite one with its sign, never infinity, so a check
    /// against a limit still sees it as too large; what is too small becomes zero. Numbers of over 1,023 bytes give nil.
    public static func parse(_ bytes: UnsafeRawBufferPointer) -> Double? {
        guard let number = Parts(bytes) else { return nil }
        // Both factors are exact, so one operation rounds once (Clinger, "How to read floating point numbers accurately", 1990).
        if number.isExact && number.digits <= 1 << 53 && number.exponent >= -22 && number.exponent <= 22 {
            let digits = Double(number.digits)
            let scaled = number.exponent < 0 ? digits / powersOfTen(-number.exponent) : digits * powersOfTen(number.exponent)
            return number.isNegative ? -scaled : scaled
        }
        guard bytes.count < 1024, let base = bytes.baseAddress else { return nil }
        let value = withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 1) { copy in
            copy.baseAddress!.copyMemory(from: base, byteCount: bytes.count)
            copy[bytes.count] = 0
            return strtod(copy.baseAddress!.assumingMemoryBound(to: CChar.self), nil)
        }
        return max(-Double.greatestFiniteMagnitude, min(Double.greatestFiniteMagnitude, value))
    }

    /// The number if its value is whole, however it is written (`12`, `12.0`, `1.2e1`); nil if it has a fraction. What lies beyond 64 bits
    /// saturates to `Int64.max` or `Int64.min`.
    public static func parseInt(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        guard let number = Parts(bytes) else { return nil }
        let (magnitude, hasFraction) = number.whole
        if hasFraction { return nil }
        if number.isNegative { return magnitude > UInt64(Int64.max) ? .min : -Int64(magnitude) }
        return Int64(clamping: magnitude)
    }

    /// More tokens than this are clamped: sums and products with prices of many such counts stay inside 64 bits.
    public static let countMax: Int64 = 1 << 40

    /// A token count as an upstream reports it (SS-11): 0…`countMax`. Negative numbers count 0, fractions are cut off, numbers that are too large
    /// count `countMax`; in all three cases `isExact` is false and the usage is to be flagged as estimated. Nil for what is no number.
    public static func parseCount(_ bytes: UnsafeRawBufferPointer) -> (count: Int64, isExact: Bool)? {
        guard let number = Parts(bytes) else { return nil }
        let (magnitude, hasFraction) = number.whole
        if number.isNegative && (magnitude > 0 || hasFraction) { return (0, false) }
        if magnitude > UInt64(countMax) { return (countMax, false) }
        return (Int64(magnitude), !hasFraction)
    }

    private static func powersOfTen(_ exponent: Int) -> Double {
        var power = 1.0
        var base = 10.0
        var rest = exponent
        // All factors up to 10^22 are exact doubles, and so are their products up to it.
        while rest > 0 {
            if rest & 1 != 0 { power *= base }
            base *= base
            rest >>= 1
        }
        return power
    }

    /// A number read by the grammar: ±digits × 10^exponent, and a little more if it isn't exact.
    private struct Parts {
        var isNegative = false
        /// The first digits, without leading zeros, as many as fit 64 bits.
        var digits: UInt64 = 0
        /// True once a digit found no room: all after it only count as places.
        var isFull = false
        /// False when a digit that found no room wasn't zero.
        var isExact = true
        var exponent = 0

        init?(_ bytes: UnsafeRawBufferPointer) {
            var at = 0
            let count = bytes.count
            func byte() -> UInt8 { at < count ? bytes[at] : 0 }
            func isDigit() -> Bool { at < count && bytes[at] &- 0x30 < 10 }

            if byte() == 0x2D { isNegative = true; at += 1 }
            guard isDigit() else { return nil }
            if byte() == 0x30 {
                at += 1
            } else {
                while isDigit() {
                    if !take(bytes[at] - 0x30) { exponent += 1 }
                    at += 1
                }
            }
            if byte() == 0x2E {
                at += 1
                guard isDigit() else { return nil }
                while isDigit() {
                    if take(bytes[at] - 0x30) { exponent -= 1 }
                    at += 1
                }
            }
            if byte() | 0x20 == 0x65 {
                at += 1
                var isDown = false
                if byte() == 0x2B || byte() == 0x2D { isDown = byte() == 0x2D; at += 1 }
                guard isDigit() else { return nil }
                var power = 0
                while isDigit() {
                    // Beyond any number of digits that a body can hold; saturates.
                    if power < 1 << 48 { power = power * 10 + Int(bytes[at] - 0x30) }
                    at += 1
                }
                exponent += isDown ? -power : power
            }
            guard at == count else { return nil }
        }

        /// Adds a digit; false if there's no room.
        private mutating func take(_ digit: UInt8) -> Bool {
            let (tens, isOver) = digits.multipliedReportingOverflow(by: 10)
            let (sum, isStillOver) = tens.addingReportingOverflow(UInt64(digit))
            if isFull || isOver || isStillOver {
                isFull = true
                if digit != 0 { isExact = false }
                return false
            }
            digits = sum
            return true
        }

        /// The magnitude without its fraction, saturating, and whether there is a fraction (not told where it saturates).
        var whole: (magnitude: UInt64, hasFraction: Bool) {
            if digits == 0 { return (0, false) }
            var magnitude = digits
            if exponent > 0 {
                // At most twenty steps until it's too large or done.
                for _ in 0..<min(exponent, 20) {
                    let (product, isOver) = magnitude.multipliedReportingOverflow(by: 10)
                    if isOver { return (.max, false) }
                    magnitude = product
                }
                return (magnitude, false)
            }
            var hasFraction = !isExact
            for _ in 0..<min(-exponent, 20) {
                if magnitude % 10 != 0 { hasFraction = true }
                magnitude /= 10
            }
            return (magnitude, hasFraction)
        }
    }
}
