// The key of AWS Signature Version 4 for one day, region and service: HMACs of "AWS4" + secret, date, region, service and "aws4_request", one keyed with
// the other. Whoever signs keeps it and makes a new one when `covers` says no, which spares four of the five HMACs of a request.

public struct SigningKey: Sendable, CustomStringConvertible, CustomReflectable {
    /// Keyed, ready to be copied and used.
    let hmac: HMACSHA256
    /// The 32 bytes themselves, for tests of the derivation.
    let bytes: InlineArray<32, UInt8>
    private let day: UInt64

    /// - Parameter date: `YYYYMMDD…`, of which the first eight bytes count.
    public init(secret: UnsafeRawBufferPointer, date: UnsafeRawBufferPointer, region: UnsafeRawBufferPointer, service: UnsafeRawBufferPointer) {
        precondition(date.count >= 8, "a date has eight digits")
        day = date.loadUnaligned(as: UInt64.self)
        let prefix: StaticString = "AWS4"
        let end: StaticString = "aws4_request"
        var key = InlineArray<32, UInt8>(repeating: 0)
        var keyed = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: secret.count + 4) { buffer -> HMACSHA256 in
            UnsafeMutableRawBufferPointer(buffer).copyMemory(from: UnsafeRawBufferPointer(start: prefix.utf8Start, count: 4))
            if secret.count > 0 { UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[4...]).copyMemory(from: secret) }
            defer { buffer.update(repeating: 0) }
            return HMACSHA256(key: UnsafeRawBufferPointer(buffer))
        }
        for step in 0..<4 {
            switch step {
            case 0: keyed.update(UnsafeRawBufferPointer(rebasing: date[..<8]))
            case 1: keyed.update(region)
            case 2: keyed.update(service)
            default: keyed.update(UnsafeRawBufferPointer(start: end.utf8Start, count: end.utf8CodeUnitCount))
            }
            keyed = withUnsafeMutableBytes(of: &key) { place in
                if let base = place.baseAddress { keyed.finish(into: base.assumingMemoryBound(to: UInt8.self)) }
                return HMACSHA256(key: UnsafeRawBufferPointer(place))
            }
        }
        hmac = keyed
        bytes = key
    }

    /// True for a date of the same day.
    public func covers(_ date: UnsafeRawBufferPointer) -> Bool { date.count >= 8 && date.loadUnaligned(as: UInt64.self) == day }

    public var description: String { "***" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
