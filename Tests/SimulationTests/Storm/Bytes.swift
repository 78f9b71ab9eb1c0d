import CScan

/// Bytes that are written again and again into the same memory, and the few ways in which a storm looks into bytes. A storm plays millions of requests, so
/// nothing here makes a String.
struct Pen {
    private(set) var bytes: [UInt8] = []
    mutating func clear() { bytes.removeAll(keepingCapacity: true) }
    mutating func put(_ text: StaticString) { bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)) }
    mutating func put(_ number: Int) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { raw in
            var at = raw.count
            var rest = number
            repeat {
                at -= 1
                raw[at] = 48 + UInt8(rest % 10)
                rest /= 10
            } while rest > 0
            bytes.append(contentsOf: raw[at...])
        }
    }
    mutating func put(hex number: Int) {
        let digits: StaticString = "0123456789abcdef"
        var shift = 60
        while shift > 0, number >> shift == 0 { shift -= 4 }
        while shift >= 0 {
            bytes.append(digits.utf8Start[number >> shift & 15])
            shift -= 4
        }
    }
    mutating func pad(_ count: Int) { bytes.append(contentsOf: repeatElement(120, count: count)) }
    mutating func put(_ other: Pen) { bytes.append(contentsOf: other.bytes) }
    var count: Int { bytes.count }
}

extension UnsafeRawBufferPointer {
    /// Where `text` begins at or behind `from`, nil if nowhere.
    func find(_ text: StaticString, from: Int = 0) -> Int? {
        guard let base = baseAddress, from <= count else { return nil }
        let found = from + cscan_find(base.assumingMemoryBound(to: UInt8.self) + from, count - from, text.utf8Start, text.utf8CodeUnitCount)
        return found + text.utf8CodeUnitCount <= count ? found : nil
    }

    /// The number behind `text`, nil where there is none.
    func number(behind text: StaticString, from: Int = 0) -> Int? {
        guard var at = find(text, from: from) else { return nil }
        at += text.utf8CodeUnitCount
        var value: Int?
        while at < count, self[at] >= 48, self[at] <= 57, (value ?? 0) < 1 << 50 {
            value = (value ?? 0) * 10 + Int(self[at] - 48)
            at += 1
        }
        return value
    }

    func begins(_ text: StaticString) -> Bool {
        guard let base = baseAddress, count >= text.utf8CodeUnitCount else { return false }
        return UnsafeRawBufferPointer(start: base, count: text.utf8CodeUnitCount).elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    func ends(_ text: StaticString) -> Bool {
        guard let base = baseAddress, count >= text.utf8CodeUnitCount else { return false }
        return UnsafeRawBufferPointer(start: base + (count - text.utf8CodeUnitCount), count: text.utf8CodeUnitCount)
            .elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// How often `text` stands in there.
    func times(_ text: StaticString) -> Int {
        var found = 0
        var at = 0
        while let next = find(text, from: at) {
            found += 1
            at = next + text.utf8CodeUnitCount
        }
        return found
    }
}
