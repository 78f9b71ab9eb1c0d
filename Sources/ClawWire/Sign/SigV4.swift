// AWS Signature Version 4 of a request in headers, for every service but S3 (whose paths are signed as they are). Pure: no clock, no network, no state but
// memory that is used again, so signing a request allocates nothing once a signer has run. The steps, each of which stays readable until the next `sign`:
//
//   canonical request: method, path, query, headers (sorted, lower case), their names, hash of the body; a line each
//   string to sign:    algorithm, time, scope (day/region/service/aws4_request), hash of the canonical request
//   signature:         HMAC of the string to sign with the day's key
//
// The path is what goes on the wire (already percent-encoded), empty and dot segments taken out, and percent-encoded once more: `%3A` is signed as
// `%253A`, and a colon that stands there as it is as `%3A`. Source: AWS General Reference; botocore/auth.py; ../shared/suites/sigv4.

public struct SigV4: ~Copyable {
    /// One header of the request as it goes on the wire.
    public struct Field {
        public var name: UnsafeRawBufferPointer
        public var value: UnsafeRawBufferPointer
        public init(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) { self.name = name; self.value = value }
    }

    public struct Request {
        public var method: UnsafeRawBufferPointer
        /// As sent; empty is "/".
        public var path: UnsafeRawBufferPointer
        /// As sent, without the question mark.
        public var query = UnsafeRawBufferPointer(start: nil, count: 0)
        /// `host`, `content-type` and whatever else shall be signed. Those that proxies change are passed over (`isUnsigned`), and so are
        /// `x-amz-date` and `x-amz-security-token`, which the signer adds by itself: the caller sends them as given below.
        public var fields: UnsafeBufferPointer<Field>
        /// SHA-256 of the body, 64 lower-case hexadecimal digits.
        public var payloadHash: UnsafeRawBufferPointer
        /// `YYYYMMDDTHHMMSSZ`; more than five minutes off, and AWS refuses.
        public var date: UnsafeRawBufferPointer
        public init(
            method: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer, fields: UnsafeBufferPointer<Field>, payloadHash: UnsafeRawBufferPointer,
            date: UnsafeRawBufferPointer
        ) {
            self.method = method; self.path = path; self.fields = fields; self.payloadHash = payloadHash; self.date = date
        }
    }

    public struct Signatory {
        public var accessKey: UnsafeRawBufferPointer
        /// Empty: none.
        public var sessionToken = UnsafeRawBufferPointer(start: nil, count: 0)
        public var region: UnsafeRawBufferPointer
        public var service: UnsafeRawBufferPointer
        public init(accessKey: UnsafeRawBufferPointer, region: UnsafeRawBufferPointer, service: UnsafeRawBufferPointer) {
            self.accessKey = accessKey; self.region = region; self.service = service
        }
    }

    public enum Outcome: Sendable, Equatable {
        case signed
        /// More than `fieldsMax` headers, more than `pairsMax` query pairs, a date of another form, or texts beyond `textBytesMax`.
        case refused
    }

    public static let fieldsMax = 62
    public static let pairsMax = 32
    public static let dateBytes = 16
    private static let textBytesMax = 256 << 10
    private static let algorithm: StaticString = "AWS4-HMAC-SHA256"

    private var canonical = JSONWriter(limit: SigV4.textBytesMax)
    private var names = JSONWriter(limit: SigV4.textBytesMax)
    private var toSign = JSONWriter(limit: SigV4.textBytesMax)
    private var code = InlineArray<64, UInt8>(repeating: 0)

    public init() {}

    /// What the last `sign` went through.
    public var canonicalRequest: UnsafeRawBufferPointer { canonical.bytes }
    public var signedHeaders: UnsafeRawBufferPointer { names.bytes }
    public var stringToSign: UnsafeRawBufferPointer { toSign.bytes }

    /// Writes the value of the `authorization` header behind what is in `out`.
    public mutating func sign(_ request: Request, by signatory: Signatory, with key: SigningKey, into out: inout JSONWriter) -> Outcome {
        canonical.reset()
        names.reset()
        toSign.reset()
        guard Self.isDate(request.date) else { return .refused }
        canonical.put(JSONBytes(request.method))
        canonical.put(byte: 0x0A)
        Self.writePath(request.path, into: &canonical)
        canonical.put(byte: 0x0A)
        guard Self.writeQuery(request.query, into: &canonical) else { return .refused }
        canonical.put(byte: 0x0A)
        guard writeFields(request, signatory) else { return .refused }
        canonical.put(byte: 0x0A)
        canonical.put(names.written)
        canonical.put(byte: 0x0A)
        canonical.put(JSONBytes(request.payloadHash))

        toSign.put(Self.algorithm)
        toSign.put(byte: 0x0A)
        toSign.put(JSONBytes(request.date))
        toSign.put(byte: 0x0A)
        Self.writeScope(request.date, signatory, into: &toSign)
        toSign.put(byte: 0x0A)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { digest in
            guard let digest = digest.baseAddress else { return }
            withUnsafeMutableBytes(of: &code) { hex in
                guard let hex = hex.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
                SHA256.digest(of: canonical.bytes, into: digest)
                SHA256.writeHex(digest, into: hex)
                toSign.put(hex, 64)
                var hmac = key.hmac
                hmac.update(toSign.bytes)
                hmac.finish(into: digest)
                SHA256.writeHex(digest, into: hex)
            }
        }
        guard !canonical.isOverflown, !names.isOverflown, !toSign.isOverflown else { return .refused }

        out.put(Self.algorithm)
        out.put(" Credential=")
        out.put(JSONBytes(signatory.accessKey))
        out.put(byte: 0x2F)
        Self.writeScope(request.date, signatory, into: &out)
        out.put(", SignedHeaders=")
        out.put(names.written)
        out.put(", Signature=")
        withUnsafeBytes(of: code) { out.put(JSONBytes($0)) }
        return .signed
    }

    /// `YYYYMMDDTHHMMSSZ` of seconds since 1970, 16 bytes.
    public static func writeDate(_ seconds: Int64, into out: UnsafeMutablePointer<UInt8>) {
        func digits(_ value: Int64, _ count: Int, _ at: Int) {
            var rest = value
            for place in stride(from: at + count - 1, through: at, by: -1) {
                out[place] = 48 + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            }
        }
        // The years 0 … 9999 have four digits; nothing else is a time to sign at.
        let clamped = min(max(seconds, 0), 253_402_300_799)
        let date = CivilDate(days: clamped / 86400)
        let time = clamped % 86400
        digits(date.year, 4, 0)
        digits(date.month, 2, 4)
        digits(date.day, 2, 6)
        out[8] = 0x54
        digits(time / 3600, 2, 9)
        digits(time / 60 % 60, 2, 11)
        digits(time % 60, 2, 13)
        out[15] = 0x5A
    }

    private static func isDate(_ date: UnsafeRawBufferPointer) -> Bool {
        guard date.count == dateBytes, date[8] == 0x54, date[15] == 0x5A else { return false }
        for at in 0..<15 where at != 8 && !(48...57).contains(date[at]) { return false }
        return true
    }

    private static func writeScope(_ date: UnsafeRawBufferPointer, _ signatory: Signatory, into out: inout JSONWriter) {
        out.put(JSONBytes(date).prefix(8))
        out.put(byte: 0x2F)
        out.put(JSONBytes(signatory.region))
        out.put(byte: 0x2F)
        out.put(JSONBytes(signatory.service))
        out.put("/aws4_request")
    }

    // MARK: path and query

    /// botocore's rule: empty and `.` segments go, `..` takes the one before it with it, a slash at the end stays where anything is before it.
    private static func writePath(_ path: UnsafeRawBufferPointer, into out: inout JSONWriter) {
        let start = out.count
        var at = 0
        while at < path.count {
            guard path[at] != 0x2F else {
                at += 1
                continue
            }
            let from = at
            while at < path.count, path[at] != 0x2F { at += 1 }
            let length = at - from
            if length == 1, path[from] == 0x2E { continue }
            if length == 2, path[from] == 0x2E, path[from + 1] == 0x2E {
                // Back over the last segment and its slash: no slash stands inside a segment.
                var end = out.count
                while end > start, out.bytes[end - 1] != 0x2F { end -= 1 }
                out.truncate(to: max(start, end - 1))
                continue
            }
            out.put(byte: 0x2F)
            for place in from..<at { encode(path[place], into: &out) }
        }
        if out.count == start || path[path.count - 1] == 0x2F { out.put(byte: 0x2F) }
    }

    @inline(__always)
    private static func encode(_ byte: UInt8, into out: inout JSONWriter) {
        switch byte {
        case 48...57, 65...90, 97...122, 0x2D, 0x2E, 0x5F, 0x7E: out.put(byte: byte)
        default:
            out.put(byte: 0x25)
            out.put(byte: upperHex(byte >> 4))
            out.put(byte: upperHex(byte & 15))
        }
    }

    private static func upperHex(_ digit: UInt8) -> UInt8 { digit < 10 ? 48 + digit : 55 + digit }

    /// The pairs sorted by name, then value; each with its equals sign. They come encoded and are signed so.
    private static func writeQuery(_ query: UnsafeRawBufferPointer, into out: inout JSONWriter) -> Bool {
        if query.count == 0 { return true }
        var pairs = InlineArray<32, (from: Int, equals: Int, to: Int)>(repeating: (0, 0, 0))
        var count = 0
        var at = 0
        while at <= query.count {
            var end = at
            var equals = -1
            while end < query.count, query[end] != 0x26 {
                if query[end] == 0x3D, equals < 0 { equals = end }
                end += 1
            }
            guard count < pairsMax else { return false }
            var place = count
            let pair = (from: at, equals: equals < 0 ? end : equals, to: end)
            while place > 0, precedes(query, pair, pairs[place - 1]) {
                pairs[place] = pairs[place - 1]
                place -= 1
            }
            pairs[place] = pair
            count += 1
            at = end + 1
        }
        for index in 0..<count {
            let pair = pairs[index]
            if index > 0 { out.put(byte: 0x26) }
            out.put(JSONBytes(UnsafeRawBufferPointer(rebasing: query[pair.from..<pair.equals])))
            out.put(byte: 0x3D)
            if pair.equals < pair.to { out.put(JSONBytes(UnsafeRawBufferPointer(rebasing: query[(pair.equals + 1)..<pair.to]))) }
        }
        return true
    }

    private static func precedes(
        _ query: UnsafeRawBufferPointer, _ one: (from: Int, equals: Int, to: Int), _ other: (from: Int, equals: Int, to: Int)
    ) -> Bool {
        let names = (query[one.from..<one.equals], query[other.from..<other.equals])
        if !names.0.elementsEqual(names.1) { return names.0.lexicographicallyPrecedes(names.1) }
        return query[min(one.equals + 1, one.to)..<one.to].lexicographicallyPrecedes(query[min(other.equals + 1, other.to)..<other.to])
    }

    // MARK: headers

    /// Headers that proxies and clients' libraries change under way, and those the signer writes itself.
    public static func isUnsigned(_ name: UnsafeRawBufferPointer) -> Bool {
        func named(_ text: StaticString) -> Bool {
            guard name.count == text.utf8CodeUnitCount else { return false }
            for at in 0..<name.count where lower(name[at]) != text.utf8Start[at] { return false }
            return true
        }
        switch name.count {
        case 2: return named("te")
        case 6: return named("expect")
        case 7: return named("trailer") || named("upgrade")
        case 10: return named("connection") || named("user-agent") || named("keep-alive") || named("x-amz-date")
        case 13: return named("authorization")
        case 15: return named("x-amzn-trace-id")
        case 17: return named("transfer-encoding")
        case 18: return named("proxy-authenticate")
        case 19: return named("proxy-authorization")
        case 20: return named("x-amz-security-token")
        default: return false
        }
    }

    private static func lower(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte | 32 : byte }

    private static let dateName: StaticString = "x-amz-date"
    private static let tokenName: StaticString = "x-amz-security-token"

    private mutating func writeFields(_ request: Request, _ signatory: Signatory) -> Bool {
        let fields = request.fields
        // Places of the headers in the order of their names; the signer's own two come behind the caller's.
        let dateAt = fields.count
        let tokenAt = fields.count + 1
        func field(_ at: Int) -> Field {
            if at == dateAt { return Field(name: JSONBytes(Self.dateName).raw, value: request.date) }
            if at == tokenAt { return Field(name: JSONBytes(Self.tokenName).raw, value: signatory.sessionToken) }
            return fields[at]
        }
        guard fields.count <= Self.fieldsMax else { return false }
        var order = InlineArray<64, UInt8>(repeating: 0)
        var count = 0
        for at in 0..<fields.count + 2 {
            if at < fields.count ? Self.isUnsigned(fields[at].name) : at == tokenAt && signatory.sessionToken.count == 0 { continue }
            var place = count
            let name = field(at).name
            while place > 0, Self.precedes(name, field(Int(order[place - 1])).name) {
                order[place] = order[place - 1]
                place -= 1
            }
            order[place] = UInt8(truncatingIfNeeded: at)
            count += 1
        }
        for index in 0..<count {
            let one = field(Int(order[index]))
            // Several headers of one name are one, their values joined.
            if index > 0, Self.isSame(one.name, field(Int(order[index - 1])).name) {
                canonical.truncate(to: canonical.count - 1)
                canonical.put(byte: 0x2C)
            } else {
                if index > 0 { names.put(byte: 0x3B) }
                for byte in one.name {
                    canonical.put(byte: Self.lower(byte))
                    names.put(byte: Self.lower(byte))
                }
                canonical.put(byte: 0x3A)
            }
            Self.writeValue(one.value, into: &canonical)
            canonical.put(byte: 0x0A)
        }
        return true
    }

    private static func isSame(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        guard one.count == other.count else { return false }
        for at in 0..<one.count where lower(one[at]) != lower(other[at]) { return false }
        return true
    }

    private static func precedes(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        for at in 0..<min(one.count, other.count) {
            let a = lower(one[at])
            let b = lower(other[at])
            if a != b { return a < b }
        }
        return one.count < other.count
    }

    /// Blanks around it gone, runs of them inside made one.
    private static func writeValue(_ value: UnsafeRawBufferPointer, into out: inout JSONWriter) {
        var isBlank = false
        var isBegun = false
        for byte in value {
            if byte == 0x20 || (9...13).contains(byte) {
                isBlank = true
                continue
            }
            if isBlank, isBegun { out.put(byte: 0x20) }
            isBlank = false
            isBegun = true
            out.put(byte: byte)
        }
    }
}
