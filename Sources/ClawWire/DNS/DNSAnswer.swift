// What a name server said, as values. `parse` takes the bytes of one message, which anybody may have sent: it looks at each record's shape, follows no
// pointer forwards, and takes only what belongs to the question, which is the name asked for or what an alias in the same message leads to (RFC 1035 §4.1,
// RFC 2181, RFC 2308 for the time a "no" is good, RFC 2782, RFC 6891).

public struct DNSAnswer: Equatable, Sendable {
    /// One SRV record (RFC 2782). A target of "." says that there is no such service; such a record is not here.
    public struct Service: Equatable, Sendable {
        public var priority: UInt16
        public var weight: UInt16
        public var port: UInt16
        /// In lower case, without the final dot.
        public var target: String
        /// Those the server sent along; empty: ask for them.
        public var addresses: [DNSAddress]
        public init(priority: UInt16, weight: UInt16, port: UInt16, target: String, addresses: [DNSAddress] = []) {
            self.priority = priority
            self.weight = weight
            self.port = port
            self.target = target
            self.addresses = addresses
        }
    }

    /// The server's RCODE with its extended bits: 0 no error, 1 format error, 2 server failure, 3 no such name, 5 refused, 16 unknown version of EDNS.
    public var code: UInt16 = 0
    /// The answer did not fit: nothing was read from it, ask over TCP.
    public var isTruncated = false
    /// Sorted, each once.
    public var addresses: [DNSAddress] = []
    /// In the order of the message.
    public var services: [Service] = []
    /// Where the aliases ended, when there were any.
    public var canonicalName: String?
    /// Seconds for which this is good, `ttlMin` … `ttlMax`: the least of all records used, or, where none was found, what the zone says of that.
    /// nil: nobody said.
    public var ttl: UInt32?
    /// Records of the question that are not here because there were more than `recordsMax`, or because their names are of no host.
    public var leftOut = 0

    public static let recordsMax = 256
    public static let aliasesMax = 16
    public static let ttlMin: UInt32 = 1
    public static let ttlMax: UInt32 = 86_400
    /// Records of one message that are looked at; behind them only shapes are.
    private static let keptMax = 1024

    /// The name exists or not, but it has no records of this type: what was asked is answered with nothing. (A server's failure is not.)
    public var isNegative: Bool { !isTruncated && (code == 0 || code == 3) && addresses.isEmpty && services.isEmpty }
    public var isUsable: Bool { !isTruncated && (code == 0 || code == 3) }

    public init() {}

    /// Why a message is no answer to the question. With the first three a socket goes on waiting: the right answer may still come.
    public enum Refusal: Error, Equatable, Sendable {
        /// Not the id of the query.
        case otherID
        /// Another question, or none.
        case otherQuestion
        /// A query, or another kind of message.
        case notAnAnswer
        /// Ends too soon, or a field has a value it cannot have; `at` is where the record or name begins.
        case malformed(at: Int)
        /// Aliases that go in a circle, or more than `aliasesMax`.
        case aliases
    }

    private struct Record {
        var owner: DNSName
        var type: UInt16
        var ttl: UInt32
        var data: Range<Int>
    }

    public static func parse(_ message: UnsafeRawBufferPointer, to question: DNSQuestion, id: UInt16) throws(Refusal) -> DNSAnswer {
        guard message.count >= 12 else { throw .malformed(at: 0) }
        guard short(message, 0) == id else { throw .otherID }
        let flags = short(message, 2)
        // QR set, opcode 0.
        guard flags & 0xF800 == 0x8000 else { throw .notAnAnswer }
        var answer = DNSAnswer()
        answer.code = flags & 0x000F
        // A server older than EDNS may refuse the form of the query without repeating its question.
        if answer.code == 1, short(message, 4) == 0 { return answer }
        guard short(message, 4) == 1 else { throw .otherQuestion }
        var at = 12
        guard let name = DNSName.read(message, &at), at + 4 <= message.count else { throw .malformed(at: 12) }
        guard name == question.name, short(message, at) == question.type.rawValue, short(message, at + 2) == 1 else { throw .otherQuestion }
        at += 4
        if flags & 0x0200 != 0 {
            answer.isTruncated = true
            return answer
        }

        var answers: [Record] = []
        var authorities: [Record] = []
        var additionals: [Record] = []
        var hasOptions = false
        for section in 0..<3 {
            for _ in 0..<short(message, 6 + section * 2) {
                let start = at
                guard let record = try read(message, &at) else { continue }
                if record.type == 41 {
                    // Once, in the additional section, owned by the root (RFC 6891 §6.1.1).
                    guard section == 2, !hasOptions, record.owner == .root else { throw .malformed(at: start) }
                    hasOptions = true
                    answer.code |= UInt16(truncatingIfNeeded: record.ttl >> 24) << 4
                    continue
                }
                try check(message, record, start)
                guard answers.count + authorities.count + additionals.count < keptMax else { continue }
                switch (section, record.type) {
                case (0, question.type.rawValue), (0, 5): answers.append(record)
                case (1, 6): authorities.append(record)
                case (2, 1), (2, 28): if question.type == .srv { additionals.append(record) }
                default: break
                }
            }
        }
        // Trailing bytes are nobody's; other resolvers let them be too.
        try answer.take(message, question, answers, authorities, additionals)
        return answer
    }

    /// Follows the aliases from the question's name and takes what stands at their end.
    private mutating func take(
        _ message: UnsafeRawBufferPointer, _ question: DNSQuestion, _ answers: [Record], _ authorities: [Record], _ additionals: [Record]
    ) throws(Refusal) {
        guard code == 0 || code == 3 else { return }
        var name = question.name
        var aliases = 0
        var least: UInt32?
        func use(_ ttl: UInt32) { least = min(least ?? .max, ttl) }
        while !answers.contains(where: { $0.type == question.type.rawValue && $0.owner == name }) {
            guard let alias = answers.first(where: { $0.type == 5 && $0.owner == name }) else { break }
            var at = alias.data.lowerBound
            guard let target = DNSName.read(message, &at) else { throw .malformed(at: alias.data.lowerBound) }
            aliases += 1
            guard aliases <= Self.aliasesMax else { throw .aliases }
            use(alias.ttl)
            name = target
        }
        if aliases > 0 { canonicalName = name.text }
        var taken = 0
        var found = false
        for record in answers where record.type == question.type.rawValue && record.owner == name {
            found = true
            use(record.ttl)
            guard taken < Self.recordsMax else {
                leftOut += 1
                continue
            }
            taken += 1
            if question.type != .srv {
                addresses.append(Self.address(message, record))
                continue
            }
            let start = record.data.lowerBound
            var at = start + 6
            guard let target = DNSName.read(message, &at) else { throw .malformed(at: start) }
            if target == .root { continue }
            guard let text = target.text else {
                leftOut += 1
                continue
            }
            services.append(Service(
                priority: Self.short(message, start), weight: Self.short(message, start + 2), port: Self.short(message, start + 4), target: text))
            // An address stands once in a message however many records name its host, so all services together take no more than `recordsMax` of them.
            var some: Set<DNSAddress> = []
            for extra in additionals where extra.owner == target && taken + some.count < Self.recordsMax {
                some.insert(Self.address(message, extra))
                use(extra.ttl)
            }
            taken += some.count
            services[services.count - 1].addresses = some.sorted()
        }
        addresses = Set(addresses).sorted()
        if !found, let zone = authorities.first(where: { $0.owner.isAtOrAbove(name) }) {
            // RFC 2308 §5: the record's own time, or its last field if that is less.
            use(min(zone.ttl, Self.long(message, zone.data.upperBound - 4) & 0x8000_0000 == 0 ? Self.long(message, zone.data.upperBound - 4) : 0))
        } else if !found {
            // An alias alone says nothing of what is behind it.
            least = nil
        }
        ttl = least.map { min(Self.ttlMax, max(Self.ttlMin, $0)) }
    }

    /// Reads one record's frame; nil for a class that is not IN. (OPT's class is a size.)
    private static func read(_ message: UnsafeRawBufferPointer, _ at: inout Int) throws(Refusal) -> Record? {
        let start = at
        guard let owner = DNSName.read(message, &at), at + 10 <= message.count else { throw .malformed(at: start) }
        let type = short(message, at)
        let isOurs = type == 41 || short(message, at + 2) == 1
        var ttl = long(message, at + 4)
        // A time with its top bit set is none (RFC 2181 §8); OPT has other things there.
        if type != 41, ttl & 0x8000_0000 != 0 { ttl = 0 }
        let length = Int(short(message, at + 8))
        at += 10
        guard at + length <= message.count else { throw .malformed(at: start) }
        defer { at += length }
        return isOurs ? Record(owner: owner, type: type, ttl: ttl, data: at..<at + length) : nil
    }

    /// The data of the types we read fill their length exactly.
    private static func check(_ message: UnsafeRawBufferPointer, _ record: Record, _ start: Int) throws(Refusal) {
        var at = record.data.lowerBound
        let end = record.data.upperBound
        let fits: Bool
        switch record.type {
        case 1: fits = record.data.count == 4
        case 28: fits = record.data.count == 16
        case 5: fits = DNSName.read(message, &at) != nil && at == end
        case 33:
            at += 6
            fits = record.data.count >= 7 && DNSName.read(message, &at) != nil && at == end
        case 6: fits = DNSName.read(message, &at) != nil && DNSName.read(message, &at) != nil && at + 20 == end
        default: fits = true
        }
        guard fits else { throw .malformed(at: start) }
    }

    private static func address(_ message: UnsafeRawBufferPointer, _ record: Record) -> DNSAddress {
        let at = record.data.lowerBound
        if record.type == 1 { return .v4(long(message, at)) }
        return .v6(
            high: UInt64(long(message, at)) << 32 | UInt64(long(message, at + 4)), low: UInt64(long(message, at + 8)) << 32 | UInt64(long(message, at + 12)))
    }

    /// Both are asked only for places that are known to be inside.
    private static func short(_ message: UnsafeRawBufferPointer, _ at: Int) -> UInt16 { UInt16(message[at]) << 8 | UInt16(message[at + 1]) }
    private static func long(_ message: UnsafeRawBufferPointer, _ at: Int) -> UInt32 { UInt32(short(message, at)) << 16 | UInt32(short(message, at + 2)) }
}
