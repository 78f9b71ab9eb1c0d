// RFC 3339 as Ollama writes it, to and from seconds since 1970. The calendar's arithmetic is Howard Hinnant's (chrono-Compatible Low-Level Date
// Algorithms, days_from_civil and civil_from_days).
import ClawWire

enum OllamaTime {
    /// `2024-05-24T20:26:46Z`, without quotes. Years beyond four digits are cut to the last one.
    static func put(_ seconds: Int64, into out: inout JSONWriter) {
        let bounded = max(0, min(seconds, 253_402_300_799))
        let days = bounded / 86400
        let rest = bounded % 86400
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        put(year, 4, &out)
        out.put(byte: 0x2D)
        put(month, 2, &out)
        out.put(byte: 0x2D)
        put(day, 2, &out)
        out.put(byte: 0x54)
        put(rest / 3600, 2, &out)
        out.put(byte: 0x3A)
        put(rest / 60 % 60, 2, &out)
        out.put(byte: 0x3A)
        put(rest % 60, 2, &out)
        out.put(byte: 0x5A)
    }

    private static func put(_ value: Int64, _ digits: Int, _ out: inout JSONWriter) {
        var scale: Int64 = 1
        for _ in 1..<digits { scale *= 10 }
        while scale > 0 {
            out.put(byte: 48 + UInt8(truncatingIfNeeded: value / scale % 10))
            scale /= 10
        }
    }

    /// Whole seconds since 1970 of a time with `Z` or an offset; 0 for what is none.
    static func seconds(_ text: JSONBytes) -> Int64 {
        guard text.count >= 20, text[4] == 0x2D, text[7] == 0x2D, text[10] | 32 == 0x74, text[13] == 0x3A, text[16] == 0x3A,
            let year = number(text, 0, 4), let month = number(text, 5, 2), let day = number(text, 8, 2), let hour = number(text, 11, 2),
            let minute = number(text, 14, 2), let second = number(text, 17, 2), (1...12).contains(month), (1...31).contains(day), hour < 25, minute < 60,
            second < 61
        else { return 0 }
        var at = 19
        if text[at] == 0x2E {
            at += 1
            while at < text.count, text[at] &- 48 < 10 { at += 1 }
        }
        var offset: Int64 = 0
        if at + 6 == text.count, text[at] == 0x2B || text[at] == 0x2D, text[at + 3] == 0x3A, let hours = number(text, at + 1, 2),
            let minutes = number(text, at + 4, 2)
        {
            offset = (hours * 3600 + minutes * 60) * (text[at] == 0x2B ? 1 : -1)
        } else if at + 1 != text.count || text[at] | 32 != 0x7A {
            return 0
        }
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 719_468
        return max(0, days * 86400 + hour * 3600 + minute * 60 + second - offset)
    }

    private static func number(_ text: JSONBytes, _ from: Int, _ length: Int) -> Int64? {
        var value: Int64 = 0
        for at in from..<from + length {
            let digit = text[at] &- 48
            guard digit < 10 else { return nil }
            value = value * 10 + Int64(digit)
        }
        return value
    }
}
