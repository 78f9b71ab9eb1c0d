// One price, exactly: USD per 1,000,000 tokens as a whole number of millionths. That unit is also a pico-dollar per token, so a count of tokens times a
// price is a whole number of pico-dollars, and the sums that `Prices` makes of them are exact; only their end is rounded, to the nano-dollar. Six
// decimals hold every price that a provider lists (the finest in the catalogue is 0.083333).
import ClawWire

public struct Price: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// USD × 10⁻⁶ for 1,000,000 tokens, or USD × 10⁻¹² for one; 0…`unitsMax`.
    public let units: Int64
    /// 1,000,000 USD for 1,000,000 tokens.
    public static let unitsMax: Int64 = 1_000_000_000_000
    /// What `init(decimal:)` wants, for messages.
    public static let form = "0…1000000 with at most 6 decimals"

    /// Clamped to 0…`unitsMax`.
    public init(units: Int64) { self.units = max(0, min(Self.unitsMax, units)) }

    /// `2.5` is 2.50 USD per 1,000,000 tokens. Plain decimal without sign and exponent, at most six decimals, at most 1000000; nil for anything else.
    public init?(decimal bytes: some Sequence<UInt8>) {
        var units: Int64 = 0
        var whole = 0, decimals = -1
        var isLedByZero = false
        for byte in bytes {
            if byte == 0x2E {
                guard decimals < 0, whole > 0 else { return nil }
                decimals = 0
                continue
            }
            let digit = Int64(byte) - 0x30
            guard (0...9).contains(digit) else { return nil }
            if decimals < 0 {
                if whole == 0 { isLedByZero = digit == 0 } else if isLedByZero { return nil }
                whole += 1
                guard whole <= 7 else { return nil }
            } else {
                decimals += 1
                guard decimals <= 6 else { return nil }
            }
            units = units * 10 + digit
        }
        guard whole > 0, decimals != 0 else { return nil }
        for _ in max(0, decimals)..<6 { units *= 10 }
        guard units <= Self.unitsMax else { return nil }
        self.units = units
    }

    /// A JSON number, rounded to six decimals; nil for what is none, is negative or beyond 1000000.
    public init?(json bytes: UnsafeRawBufferPointer) {
        guard let value = JSONNumber.parse(bytes), value >= 0, value <= 1_000_000 else { return nil }
        units = Int64((value * 1_000_000).rounded())
    }

    /// The plain decimal that `init(decimal:)` reads: `2.5`, `0.083333`, `0`.
    public var description: String {
        let whole = units / 1_000_000
        var decimals = String(units % 1_000_000 + 1_000_000).dropFirst()
        while decimals.last == "0" { decimals.removeLast() }
        return decimals.isEmpty ? "\(whole)" : "\(whole).\(decimals)"
    }

    public static func < (one: Price, other: Price) -> Bool { one.units < other.units }
}

/// Amounts of money as they are logged.
public enum Cost {
    /// Bytes that `write` may need.
    public static let textMax = 24

    /// USD in plain decimal, exact and without an exponent: 123000 is written `0.000123`, two dollars `2`. Fit for a JSON number.
    /// - Returns: bytes written, at most `textMax`.
    public static func write(nanoUSD: Int64, into out: UnsafeMutablePointer<UInt8>) -> Int {
        var count = 0
        if nanoUSD < 0 {
            out[0] = 0x2D
            count = 1
        }
        var whole = nanoUSD.magnitude / 1_000_000_000
        var decimals = nanoUSD.magnitude % 1_000_000_000
        var length = 1
        var rest = whole
        while rest >= 10 {
            rest /= 10
            length += 1
        }
        for place in stride(from: count + length - 1, through: count, by: -1) {
            out[place] = 0x30 + UInt8(truncatingIfNeeded: whole % 10)
            whole /= 10
        }
        count += length
        guard decimals > 0 else { return count }
        out[count] = 0x2E
        count += 1
        var step: UInt64 = 100_000_000
        while decimals > 0 {
            out[count] = 0x30 + UInt8(truncatingIfNeeded: decimals / step)
            count += 1
            decimals %= step
            step /= 10
        }
        return count
    }
}
