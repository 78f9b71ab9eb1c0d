// Times as providers write them in fields and messages: durations ("6m0s", "17.4s", "20 seconds"), HTTP dates (RFC 9110 §5.6.7, all three forms) and RFC 3339.
// Everything here is foreign: what is none of these is nil, what is too much stops at the greatest number, nothing traps.
import ClawWire

enum RateTimes {
    static let second: UInt64 = 1_000_000_000

    /// A number, whole or with a fraction, and where it ends. The fraction is in billionths.
    static func number(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) -> (whole: UInt64, billionths: UInt64)? {
        let from = at
        var whole: UInt64 = 0
        while at < bytes.count, case let digit = bytes[at] &- 0x30, digit < 10 {
            whole = plus(times(whole, 10), UInt64(digit))
            at += 1
        }
        guard at > from else { return nil }
        var billionths: UInt64 = 0
        if at + 1 < bytes.count, bytes[at] == 0x2E, bytes[at + 1] &- 0x30 < 10 {
            at += 1
            var place: UInt64 = 100_000_000
            while at < bytes.count, case let digit = bytes[at] &- 0x30, digit < 10 {
                billionths &+= UInt64(digit) &* place
                place /= 10
                at += 1
            }
        }
        return (whole, billionths)
    }

    /// Nanoseconds of numbers with units from `at` on; nil where the first has no unit that we know.
    static func duration(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) -> UInt64? {
        var sum: UInt64?
        while true {
            var next = at
            if sum != nil { skipSpaces(bytes, &next) }
            guard let number = number(bytes, &next) else { return sum }
            skipSpaces(bytes, &next)
            guard let unit = unit(bytes, &next) else { return sum }
            sum = plus(sum ?? 0, scaled(number, unit))
            at = next
        }
    }

    /// A whole value: a duration with units, or a bare number of seconds.
    static func durationOrSeconds(_ value: UnsafeRawBufferPointer) -> (nanoseconds: UInt64, isBare: Bool)? {
        var at = 0
        if let nanoseconds = duration(value, &at) { return at == value.count ? (nanoseconds, false) : nil }
        at = 0
        guard let number = number(value, &at), at == value.count else { return nil }
        return (scaled(number, second), true)
    }

    static func whole(_ value: UnsafeRawBufferPointer) -> UInt64? {
        var at = 0
        guard let number = number(value, &at), at == value.count else { return nil }
        return number.whole
    }

    /// The whole number that a value begins with.
    static func leading(_ value: UnsafeRawBufferPointer) -> UInt64 {
        var at = 0
        return number(value, &at)?.whole ?? 0
    }

    /// "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994": nanoseconds since 1970.
    static func httpDate(_ value: UnsafeRawBufferPointer) -> UInt64? {
        var at = 0
        guard let weekday = word(value, &at), weekday.count >= 3, place(of: weekday, in: "sunmontuewedthufrisat") != nil, let second = word(value, &at) else { return nil }
        guard let third = word(value, &at), let fourth = word(value, &at), let fifth = word(value, &at) else { return nil }
        let isC = second[0] | 0x20 >= 0x61
        let (day, month, year, clock) = isC ? (third, second, fifth, fourth) : (second, third, fourth, fifth)
        if !isC {
            guard let zone = word(value, &at), zone.count == 3, same(zone, "gmt") || same(zone, "utc") else { return nil }
        }
        guard word(value, &at) == nil, month.count == 3, let monthNumber = place(of: month, in: "janfebmaraprmayjunjulaugsepoctnovdec"), let dayNumber = digits(day, 0, day.count),
              var yearNumber = digits(year, 0, year.count), clock.count == 8, let time = time(clock, 0) else { return nil }
        if year.count == 2 { yearNumber += yearNumber < 70 ? 2000 : 1900 }
        return instant(yearNumber, monthNumber + 1, dayNumber, time)
    }

    /// "2026-08-19T14:34:15Z", with a fraction and an offset where they are: nanoseconds since 1970.
    static func rfc3339(_ value: UnsafeRawBufferPointer) -> UInt64? {
        guard value.count >= 20, value[4] == 0x2D, value[7] == 0x2D, value[10] | 0x20 == 0x74, let year = digits(value, 0, 4), let month = digits(value, 5, 2), let day = digits(value, 8, 2),
              let time = time(value, 11), var instant = instant(year, month, day, time) else { return nil }
        var at = 17
        guard let seconds = number(value, &at), at < value.count else { return nil }
        instant = plus(instant, seconds.billionths)
        let zone = value[at]
        if zone | 0x20 == 0x7A { return at + 1 == value.count ? instant : nil }
        guard zone == 0x2B || zone == 0x2D, value.count == at + 6, value[at + 3] == 0x3A, let hours = digits(value, at + 1, 2), let minutes = digits(value, at + 4, 2), hours < 24, minutes < 60 else { return nil }
        let offset = UInt64(hours * 3600 + minutes * 60) &* second
        return zone == 0x2D ? plus(instant, offset) : instant > offset ? instant &- offset : 0
    }

    // MARK: - Parts

    static func same(_ bytes: UnsafeRawBufferPointer, _ lower: StaticString) -> Bool {
        bytes.count == lower.utf8CodeUnitCount && begins(bytes, 0, lower)
    }

    /// Whether the text stands at `at`, in upper or lower case. Letters of `lower` are lower case.
    static func begins(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ lower: StaticString) -> Bool {
        guard at >= 0, bytes.count - at >= lower.utf8CodeUnitCount else { return false }
        for offset in 0 ..< lower.utf8CodeUnitCount {
            let byte = bytes[at + offset], wanted = lower.utf8Start[offset]
            guard byte == wanted || wanted >= 0x61 && wanted <= 0x7A && byte == wanted & 0xDF else { return false }
        }
        return true
    }

    static func skipSpaces(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) {
        while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x09 { at += 1 }
    }

    static func trimmed(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var from = 0, to = bytes.count
        skipSpaces(bytes, &from)
        while to > from, bytes[to - 1] == 0x20 || bytes[to - 1] == 0x09 { to -= 1 }
        return UnsafeRawBufferPointer(rebasing: bytes[from ..< to])
    }

    /// The nanoseconds of a unit's word.
    private static func unit(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) -> UInt64? {
        let from = at
        while at < bytes.count, at - from < 16, bytes[at] | 0x20 >= 0x61 && bytes[at] | 0x20 <= 0x7A || bytes[at] >= 0x80 { at += 1 }
        let word = UnsafeRawBufferPointer(rebasing: bytes[from ..< at])
        switch word.count {
        case 0: return nil
        case 1: return same(word, "s") ? second : same(word, "m") ? 60 * second : same(word, "h") ? 3600 * second : same(word, "d") ? 86_400 * second : nil
        case 2 where same(word, "ms"): return 1_000_000
        case 2 where same(word, "us"): return 1000
        case 2 where same(word, "ns"): return 1
        default: break
        }
        if same(word, "seconds") || same(word, "second") || same(word, "sec") || same(word, "secs") { return second }
        if same(word, "minutes") || same(word, "minute") || same(word, "min") || same(word, "mins") { return 60 * second }
        if same(word, "hours") || same(word, "hour") || same(word, "hr") || same(word, "hrs") { return 3600 * second }
        if same(word, "days") || same(word, "day") { return 86_400 * second }
        if same(word, "milliseconds") || same(word, "millisecond") || same(word, "msec") { return 1_000_000 }
        return same(word, "µs") || same(word, "μs") ? 1000 : nil
    }

    /// The next run of bytes that are neither space, comma nor dash.
    private static func word(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) -> UnsafeRawBufferPointer? {
        func isBorder(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x2C || byte == 0x2D }
        while at < bytes.count, isBorder(bytes[at]) { at += 1 }
        let from = at
        while at < bytes.count, !isBorder(bytes[at]) { at += 1 }
        return at > from ? UnsafeRawBufferPointer(rebasing: bytes[from ..< at]) : nil
    }

    /// Which of the three-letter words the first three letters are.
    private static func place(of word: UnsafeRawBufferPointer, in names: StaticString) -> Int? {
        guard word.count >= 3 else { return nil }
        for at in 0 ..< names.utf8CodeUnitCount / 3 where (0 ..< 3).allSatisfy({ word[$0] | 0x20 == names.utf8Start[at * 3 + $0] }) { return at }
        return nil
    }

    private static func digits(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ count: Int) -> Int? {
        guard count >= 1, count <= 4, at + count <= bytes.count else { return nil }
        var value = 0
        for offset in at ..< at + count {
            guard bytes[offset] &- 0x30 < 10 else { return nil }
            value = value * 10 + Int(bytes[offset] &- 0x30)
        }
        return value
    }

    /// Seconds of a day, of "08:49:37".
    private static func time(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int? {
        guard at + 8 <= bytes.count, bytes[at + 2] == 0x3A, bytes[at + 5] == 0x3A, let hours = digits(bytes, at, 2), let minutes = digits(bytes, at + 3, 2), let seconds = digits(bytes, at + 6, 2),
              hours < 24, minutes < 60, seconds <= 60 else { return nil }
        return hours * 3600 + minutes * 60 + seconds
    }

    private static func instant(_ year: Int, _ month: Int, _ day: Int, _ time: Int) -> UInt64? {
        guard year >= 1970, year <= 9999, month >= 1, month <= 12, day >= 1, day <= 31 else { return nil }
        let days = CivilDate(year: Int64(year), month: Int64(month), day: Int64(day)).days
        return times(UInt64(clamping: days) &* 86_400 &+ UInt64(time), second)
    }

    private static func scaled(_ number: (whole: UInt64, billionths: UInt64), _ unit: UInt64) -> UInt64 {
        // A unit is at most a day: 8.64·10¹³ · 10⁹ has a high word far below 10⁹.
        plus(times(number.whole, unit), second.dividingFullWidth(unit.multipliedFullWidth(by: number.billionths)).quotient)
    }

    static func times(_ one: UInt64, _ other: UInt64) -> UInt64 {
        let (product, isOver) = one.multipliedReportingOverflow(by: other)
        return isOver ? .max : product
    }
    private static func plus(_ one: UInt64, _ other: UInt64) -> UInt64 { later(one, by: other) }
}
